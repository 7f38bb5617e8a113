//! Joining, and letting in: carries out the orders of the pairing machines.

use std::sync::Arc;

use larder_protocol::{
    ids::{DeviceId, VaultId},
    limits::{ADDRESSES_MAX, FRAME_BYTES_MAX},
    log::{DeviceLog, Label},
    meeting::{SpokenCode, sounds_like_a_code},
    pairing::{
        self, Ending, Input, Inviter, InviterParts, JoinAs, Joiner, JoinerParts, Output, Store,
    },
    peer::PeerRecord,
    placing,
    ticket::{Invite, InviteKind as Kind, Ticket},
    time::Instant,
    trail::TrailEvent,
};
use tracing::{info, warn};

use super::{
    Core, EngineError,
    clock::wall,
    contact, exposed, launch, leaving, on_disk,
    reception::{Reception, Said, Screen},
    rename, report, roster, sites, spoken, trail,
};
use crate::{
    command::{EventSink, ExitKind, Failure, InviteKind, JoinOutcome, Outcome},
    net::{FrameStream, NetError},
    state::circle::{GrantRow, PeerRow},
    vaults::VaultError,
};

/// The `join` command.
pub(crate) async fn join(
    core: &Arc<Core>,
    code: String,
    (name, site): (Option<String>, Option<String>),
    asks: bool,
    events: &EventSink,
) -> Result<Outcome, Failure> {
    // Before a code is used up.
    for text in [&name, &site].into_iter().flatten() {
        if !(Label { name: text.clone(), site: text.clone() }).is_plain() {
            return Err(Failure::usage("this cannot be the name of a device or a site")
                .hint("letters, digits and spaces do; control characters and long texts do not"));
        }
    }
    let invite = invitation(core, &code, events).await?;
    let device = invite.inviter;
    let kind = match invite.kind {
        Kind::Device => InviteKind::Device,
        Kind::Circle => InviteKind::Circle,
        Kind::OneWay => InviteKind::OneWay,
        Kind::Help => {
            return Err(Failure::usage("this code is of somebody who recovers and asks for help")
                .hint("if you are a guardian, give it to `larder guardians give`"));
        }
    };
    let is_said = site.is_some();
    // A device of a vault is called what the log of its vault says.
    if let (Some(name), Ok(_)) = (&name, core.member()) {
        rename::rename_this(core, Some(name.clone())).await?;
    }
    let join_as = join_as(core, kind, &device, name, site)?;
    if is_said {
        sites::moved(core).await?;
    }
    let start = core.clock.now();
    let keys = core.keys.clone();
    let addresses = launch::socket_addresses(&invite.addresses);
    let seed = spoken::random()?;
    let joiner = Joiner::new(JoinerParts { keys, invite, join_as, start, seed })
        .map_err(|error| Failure::usage(error.to_string()))?;
    core.net.set_addresses(device, addresses);
    let invitations = &core.invitations;
    let screen = Screen { events, invitations, kind, asks };
    let mut reception = Reception::of_joiner(screen);
    let ending = match core.net.peer(device).pair().await {
        Ok(stream) => drive(core, device, (stream, joiner), &mut reception).await?,
        // Turned away at the door, where a stranger is told no reason.
        Err(NetError::Refused | NetError::Lost) => Ending::Lost,
        Err(error) => return Err(EngineError::from(error).into()),
    };
    match ending {
        Ending::Done => {}
        ending => return Err(left(ending, events).unwrap_or_else(|| ended(ending))),
    }
    let vault = core.vaults.relation(&device).map(|(vault, _)| vault);
    let peer = core.state.peer(&device).map_err(EngineError::from)?;
    Ok(Outcome::Join(JoinOutcome {
        kind,
        vault: vault.map(|vault| vault.to_string()).unwrap_or_default(),
        device: device.to_string(),
        name: peer.as_ref().map(|peer| peer.name.clone()).unwrap_or_default(),
        role: reception.role(),
        words: reception.words(),
        compared: asks,
        same_site: peer.is_some_and(|peer| peer.site == core.own_site()),
        site: core.own_site(),
    }))
}

/// The invitation that a code stands for.
pub(super) async fn invitation(
    core: &Arc<Core>,
    code: &str,
    events: &EventSink,
) -> Result<Invite, Failure> {
    if sounds_like_a_code(code) {
        let code = code.parse::<SpokenCode>().map_err(|error| {
            Failure::usage(error.to_string())
                .hint("ask for the code again: it was not tried, and is still good")
        })?;
        return spoken::invitation(core, &code, events).await;
    }
    match code.parse::<Ticket>() {
        Ok(Ticket::Invite(invite)) => Ok(invite),
        Ok(Ticket::Address(_)) => {
            Err(Failure::usage("this is a ticket with addresses, not an invitation")
                .hint("ask for the text that `larder invite` prints"))
        }
        Err(error) => Err(Failure::usage(error.to_string())
            .hint("copy the whole text that `larder invite` printed, in one piece")),
    }
}

fn join_as(
    core: &Arc<Core>,
    kind: InviteKind,
    inviter: &DeviceId,
    name: Option<String>,
    site: Option<String>,
) -> Result<JoinAs, Failure> {
    let is_ours = |vault| core.log_of(&vault).is_ok_and(|log| log.is_device(inviter));
    match (kind, core.member()) {
        (InviteKind::Device, Ok(member)) if !is_ours(member.vault) => Err(Failure::usage(
            "this invitation makes a fresh home a device of a vault, and this home has a vault",
        )
        .hint("use another --home, or ask for an invitation with `larder invite --circle`")),
        (InviteKind::Circle | InviteKind::OneWay, Err(_)) => {
            Err(Failure::usage("this invitation is for another vault, and this home has none")
                .hint("make a vault with `larder init`, or ask for `larder invite --device`"))
        }
        // A device that is in already finishes what an earlier try has begun.
        (InviteKind::Device, _) => {
            let config = core.config();
            let name = name.or_else(|| config.name().map(str::to_owned));
            let name = name.unwrap_or_else(|| core.own_name());
            // One that is in stays where it is; any other stands with its inviter.
            let is_in = core.member().is_ok();
            let site = site.or_else(|| config.site().map(str::to_owned));
            let site = site.or_else(|| is_in.then(|| core.own_site()));
            launch::remember_names(&core.home, &name, site.as_deref())?;
            core.reload_config()?;
            Ok(JoinAs::Device { name, site, addresses: report::own_addresses(core) })
        }
        (InviteKind::Circle | InviteKind::OneWay, Ok(_)) => {
            // The others learn what is told to them now.
            if name.is_some() || site.is_some() {
                let site = site.unwrap_or_else(|| core.own_site());
                let name = name.unwrap_or_else(|| core.own_name());
                launch::remember_names(&core.home, &name, Some(&site))?;
                core.reload_config()?;
            }
            Ok(JoinAs::Circle(Box::new(brought_along(core)?)))
        }
    }
}

/// A stranger who was let in while an invitation is open.
pub(crate) async fn answer_stranger(
    core: &Arc<Core>,
    from: DeviceId,
    stream: FrameStream,
) -> Result<(), EngineError> {
    let seed = spoken::random()?;
    let inviter = Inviter::new(InviterParts {
        keys: core.keys.clone(),
        member: brought_along(core)?,
        invites: core.invitations.all(),
        peer: from,
        time: wall(),
        start: core.clock.now(),
        seed,
    });
    let inviter = inviter.map_err(|_| EngineError::NoVault)?;
    let mut reception = Reception::default();
    let exposure = exposed::Exposure::of(core, from);
    let ended = drive(core, from, (stream, inviter), &mut reception).await;
    exposure.end().await;
    if matches!(ended, Ok(Ending::Declined)) && !reception.said_yes() {
        trail::note(core, TrailEvent::Declined { device: from }).await;
    }
    reception.tell(*ended.as_ref().unwrap_or(&Ending::Lost)).await;
    info!("pairing with {}: {}", from.short(), ended?);
    Ok(())
}

/// What this side brings along: its log, every node that it knows, and what it grants.
fn brought_along(core: &Core) -> Result<pairing::Member, EngineError> {
    let member = core.member()?;
    let log = core.log_of(&member.vault)?;
    let mut peers = vec![own_record(core, member.vault)];
    let known = core.state.peers()?.into_iter().filter(|peer| peer.is_holder);
    peers.extend(known.map(record_of));
    Ok(pairing::Member { log, peers, offered_bytes: core.config().offer_bytes() })
}

/// This node as others should know it.
pub(crate) fn own_record(core: &Core, vault: VaultId) -> PeerRecord {
    PeerRecord {
        device: core.keys.id(),
        vault,
        site: core.own_site(),
        name: core.own_name(),
        addresses: report::own_addresses(core),
    }
}

/// A peer as others should know it.
pub(crate) fn record_of(peer: PeerRow) -> PeerRecord {
    let PeerRow { device, vault, name, addresses, site, .. } = peer;
    PeerRecord { device, vault, name, addresses, site }
}

/// The two machines have one shape.
trait Machine {
    fn handle(&mut self, now: Instant, input: Input);
    fn poll(&mut self) -> Option<Output>;
    fn timeout(&self) -> Option<Instant>;
    /// Longest frame that may come now: little until the other side has proved the invitation.
    fn frame_bytes_max(&self) -> usize;
}

macro_rules! machine {
    ($name:ident, $frame_bytes_max:expr) => {
        impl Machine for $name {
            fn handle(&mut self, now: Instant, input: Input) {
                self.handle_input(now, input);
            }
            fn poll(&mut self) -> Option<Output> {
                self.poll_output()
            }
            fn timeout(&self) -> Option<Instant> {
                self.poll_timeout()
            }
            fn frame_bytes_max(&self) -> usize {
                $frame_bytes_max(self)
            }
        }
    };
}
machine!(Inviter, Self::frame_bytes_max);
// The joiner dialled the inviter's proven key itself.
machine!(Joiner, |_: &Self| FRAME_BYTES_MAX);

/// Runs one pairing to its end over one stream.
async fn drive(
    core: &Arc<Core>,
    peer: DeviceId,
    (mut stream, mut machine): (FrameStream, impl Machine),
    reception: &mut Reception<'_>,
) -> Result<Ending, EngineError> {
    loop {
        while let Some(output) = machine.poll() {
            match output {
                Output::Send(frame) => {
                    if stream.send_frame(frame).await.is_err() {
                        machine.handle(core.clock.now(), Input::Lost);
                    }
                }
                Output::Show(words, role) => {
                    if let Some(said) = reception.show(words, role.into()).await {
                        machine.handle(core.clock.now(), meant(core, said));
                    }
                }
                Output::Ask(asked) => {
                    if let Some(said) = reception.ask(*asked).await {
                        note_yes(core, (peer, reception), said).await;
                        machine.handle(core.clock.now(), meant(core, said));
                    }
                }
                Output::Store(store) => {
                    let kept = match *store {
                        // PAIR-6: of two who come with one invitation at once, one is turned away.
                        Store::Spent(id) => match core.invitations.spend(id) {
                            Some(spent) => {
                                reception.comes_with(spent);
                                Ok(())
                            }
                            None => Err(EngineError::InviteSpent),
                        },
                        store => keep(core, (peer, reception.called()), store).await,
                    };
                    let input = match kept {
                        Ok(()) => Input::Stored,
                        Err(error) => {
                            warn!("the result of a pairing could not be stored: {error}");
                            Input::StoreFailed
                        }
                    };
                    machine.handle(core.clock.now(), input);
                }
                Output::Ended(ending) => {
                    stream.drain().await;
                    return Ok(ending);
                }
            }
        }
        let input = tokio::select! {
            body = stream.receive_body(machine.frame_bytes_max()) => body.map_or(Input::Lost, Input::Frame),
            // While a person is asked, nothing comes from the other side but its end.
            said = reception.says() => {
                note_yes(core, (peer, reception), said).await;
                meant(core, said)
            }
            () = core.clock.reached(machine.timeout()) => Input::TimePassed,
        };
        machine.handle(core.clock.now(), input);
    }
}

/// Notes that somebody is let in, before he gets anything.
async fn note_yes(
    core: &Arc<Core>,
    (device, reception): (DeviceId, &mut Reception<'_>),
    said: Said,
) {
    if said == Said::Yes
        && let Some(name) = reception.lets_in()
    {
        trail::note(core, TrailEvent::Accepted { device, name }).await;
    }
}

/// What a person's word is to the machine.
fn meant(core: &Core, said: Said) -> Input {
    match said {
        Said::Yes => match brought_along(core) {
            Ok(member) => Input::Accepted(Box::new(member)),
            Err(error) => {
                warn!("nobody can be let in: {error}");
                Input::Declined
            }
        },
        Said::Same => Input::Confirmed,
        Said::No => Input::Declined,
        Said::Left => Input::Lost,
    }
}

/// Makes the result of a pairing durable, all of it or nothing that matters.
async fn keep(
    core: &Arc<Core>,
    (peer, called): (DeviceId, Option<String>),
    store: Store,
) -> Result<(), EngineError> {
    match store {
        // Taken where it is known who waits for it.
        Store::Spent(_) => Ok(()),
        Store::Exposed(device) => exposed::begin(core, device).await,
        Store::Added { entry, peer } => {
            let vault = core.member()?.vault;
            roster::keep_entry(core, vault, entry).await?;
            let PeerRecord { device, name, site, .. } = peer.clone();
            keep_peers(core, vec![peer]).await?;
            contact::spread_log(core, vault);
            trail::note(core, TrailEvent::TookIn { device, name, site }).await;
            Ok(())
        }
        Store::Joined { log, peers, site } => {
            launch::remember_names(&core.home, &core.own_name(), Some(&site))?;
            core.reload_config()?;
            // Before the note that makes this home a member: a member that knows nobody could
            // not even ask again.
            keep_peers(core, peers).await?;
            let vault = log.vault();
            become_member(core, log).await?;
            trail::note(core, TrailEvent::Became { vault, by: Some(peer) }).await;
            Ok(())
        }
        Store::Befriended { log, peers, granted_bytes, allowed_bytes, keeps_for_us } => {
            let vault = log.vault();
            let name = peers.iter().find(|known| known.device == peer);
            let name = name.map(|known| known.name.clone()).unwrap_or_default();
            let device = peer;
            let noted = TrailEvent::Befriended { vault, device, name: name.clone(), granted_bytes };
            // First: by what was said before nothing is to follow from here on.
            let member = core.member()?;
            leaving::stay(core, &member, vault).await?;
            let keeping = Arc::clone(core);
            // The newest invitation says how much, and whether it is one way. Who holds already goes on.
            let peers_now = core.state.peers()?;
            let holds = peers_now.iter().any(|known| known.vault == vault && known.is_holder);
            let grant = move |known: Option<GrantRow>| {
                let known = known.unwrap_or_else(|| GrantRow::new(vault, name));
                let name = called.unwrap_or(known.name);
                let (while_apart, is_guest) = (None, !keeps_for_us && !holds);
                GrantRow { name, while_apart, allowed_bytes, is_guest, ..known }
            };
            on_disk(move || {
                keeping.vaults.add(&log)?;
                keeping.state.change_grant(&vault, |known| Some(grant(known)))?;
                keeping.holding.set_terms(&keeping.state, keeping.config().offer_bytes())
            })
            .await?;
            info!("vault {} grants {granted_bytes} bytes", vault.short());
            keep_nodes(core, peers, keeps_for_us).await?;
            if granted_bytes > 0 {
                note_grant(core, peer, granted_bytes).await?;
            }
            trail::note(core, noted).await;
            leaving::paired(core, &member).await;
            Ok(())
        }
    }
}

/// Makes this home a device of the vault of `log`. One that is in already learns what is new.
pub(crate) async fn become_member(core: &Arc<Core>, log: DeviceLog) -> Result<(), EngineError> {
    let keeping = Arc::clone(core);
    if let Ok(member) = core.member() {
        if member.vault != log.vault() {
            return Err(VaultError::Claimed(log.vault()).into());
        }
        return on_disk(move || keeping.vaults.add(&log)).await;
    }
    on_disk(move || {
        keeping.vaults.add(&log)?;
        keeping
            .state
            .keep_note(launch::OWN_VAULT, log.vault().as_bytes())
            .map_err(EngineError::from)
    })
    .await?;
    if let Some(member) = launch::member_of(core)? {
        launch::enter(core, member)?;
    }
    Ok(())
}

/// Remembers nodes that may hold, and tells the placing machine of them.
pub(crate) async fn keep_peers(
    core: &Arc<Core>,
    peers: Vec<PeerRecord>,
) -> Result<(), EngineError> {
    keep_nodes(core, peers, true).await
}

/// Remembers nodes. Those that held before go on doing so, whether or not they are to do so now.
async fn keep_nodes(
    core: &Arc<Core>,
    peers: Vec<PeerRecord>,
    may_hold: bool,
) -> Result<(), EngineError> {
    let own = core.keys.id();
    for PeerRecord { device, vault, name, addresses, site } in peers {
        let log = core.log_of(&vault);
        let is_removed = log.is_ok_and(|log| log.removal_of(&device).is_some());
        if device == own || is_removed {
            continue;
        }
        let site_text = site.clone();
        let row = move |known: Option<PeerRow>| PeerRow {
            device,
            vault,
            name,
            site: site_text,
            addresses: joined(known.as_ref(), addresses),
            last_seen: known.as_ref().map_or(0, |known| known.last_seen),
            granted_bytes: known.as_ref().map_or(0, |known| known.granted_bytes),
            used_bytes: known.as_ref().map_or(0, |known| known.used_bytes),
            unclaimed_bytes: known.as_ref().map_or(0, |known| known.unclaimed_bytes),
            is_holder: may_hold || known.as_ref().is_some_and(|known| known.is_holder),
            acquaintance: known.as_ref().map(PeerRow::acquaintance).unwrap_or_default(),
            receiving: known.as_ref().and_then(|known| known.receiving),
            beacon_key: known.and_then(|known| known.beacon_key),
        };
        let Some(row) = change_peer(core, device, |known| Some(row(known))).await? else {
            continue;
        };
        let acquaintance = row.acquaintance;
        core.net.set_addresses(device, launch::socket_addresses(&row.addresses));
        if row.is_holder
            && let Ok(member) = core.member()
        {
            let site = placing::Site(site);
            let known = placing::Input::HolderKnown { holder: device, site, acquaintance };
            member.custody()?.tell(known).await;
        }
    }
    Ok(())
}

/// What the other side grants, as it said in pairing: it counts as a holder before it is greeted.
async fn note_grant(
    core: &Arc<Core>,
    peer: DeviceId,
    granted_bytes: u64,
) -> Result<(), EngineError> {
    let acquaintance = placing::Acquaintance::Granted;
    let granted = move |known: PeerRow| PeerRow { granted_bytes, acquaintance, ..known };
    let row = change_peer(core, peer, move |known| known.map(granted)).await?;
    let Some(PeerRow { site, .. }) = row else { return Ok(()) };
    let site = placing::Site(site);
    if let Ok(member) = core.member() {
        let known = placing::Input::HolderKnown { holder: peer, site, acquaintance };
        member.custody()?.tell(known).await;
    }
    Ok(())
}

/// Changes what is known of a peer; returns what is kept.
async fn change_peer(
    core: &Arc<Core>,
    device: DeviceId,
    change: impl FnOnce(Option<PeerRow>) -> Option<PeerRow> + Send + 'static,
) -> Result<Option<PeerRow>, EngineError> {
    let core = Arc::clone(core);
    on_disk(move || {
        let mut kept = None;
        core.state.change_peer(&device, |known| {
            kept = change(known);
            kept.clone()
        })?;
        Ok::<_, EngineError>(kept)
    })
    .await
}

/// Addresses of both: a manifest may name an older one than a ticket, or the other way round.
/// What was known before comes first, and few enough are kept.
fn joined(known: Option<&PeerRow>, new: Vec<String>) -> Vec<String> {
    let mut all = known.map(|known| known.addresses.clone()).unwrap_or_default();
    for address in new {
        if !all.contains(&address) {
            all.push(address);
        }
    }
    all.truncate(ADDRESSES_MAX);
    all
}

/// How it is told where the person who joins has broken it off.
fn left(ending: Ending, events: &EventSink) -> Option<Failure> {
    let interrupted = events.check().err().map(Failure::from)?;
    match ending {
        Ending::Lost | Ending::Declined => Some(interrupted),
        Ending::Unconfirmed => Some(interrupted.hint(
            "the other side may have let this one in all the same: join again with a new code to be sure",
        )),
        _ => None,
    }
}

/// How a pairing that did not succeed is told.
fn ended(ending: Ending) -> Failure {
    let kind = match ending {
        Ending::Refused(pairing::Refusal::UnknownInvite) => ExitKind::Key,
        _ => ExitKind::Failed,
    };
    let message = match ending {
        // It tells a stranger nothing; these are the reasons that there are.
        Ending::Lost => format!(
            "{ending}: most likely the invitation was used already, has expired or was taken back, or that \
             node was started anew since"
        ),
        _ => ending.to_string(),
    };
    Failure::new(kind, message)
        .hint("ask for a new code with `larder invite`, while that node runs (`larder up`)")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        command::{ByteSize, Command, DeviceRole, Engine, Guest, Waiting},
        engine::testing::TestNode,
    };

    // PAIR-13
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_used_invitation_is_told_as_one_and_a_name_that_was_given_is_taken() {
        let (one, two) = (TestNode::new("one").await, TestNode::new("two").await);
        let invite = Command::Invite {
            kind: InviteKind::Circle,
            role: DeviceRole::Owner,
            guest: Guest::default(),
            expires_s: 600,
            waiting: Waiting::No,
        };
        let Outcome::Invite(invited) = one.ask(invite).await else { panic!() };
        let join = |name: Option<&str>| Command::Join {
            code: invited.code.clone(),
            name: name.map(str::to_owned),
            site: None,
            asks: false,
        };
        two.ask(join(Some("cellar"))).await;
        let known = one.node.core.state.peers().unwrap();
        assert_eq!((known[0].name.as_str(), known[0].site.as_str()), ("cellar", "two"));
        assert_eq!(two.node.core.own_name(), "cellar");
        let failure = two.run(join(None)).await.err().expect("it was used");
        assert!(failure.message.contains("used already, has expired"), "{failure}");
        assert!(failure.hint.unwrap().contains("larder invite"));
        let garbage = Command::Join {
            code: invited.code[..40].to_owned(),
            name: None,
            site: None,
            asks: false,
        };
        let failure = two.run(garbage).await.err().expect("it was cut");
        assert!(!failure.message.contains("ticket"), "{failure}");
    }

    // PLACE-18
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn what_is_granted_in_pairing_counts_at_once_and_after_a_restart() {
        let (one, two) = (TestNode::new("one").await, TestNode::new("two").await);
        two.ask(Command::Offer { bytes: Some(ByteSize(1 << 30)), to: None }).await;
        crate::engine::testing::pair(&one, &two).await;
        two.node.close().await;
        let granted = |node: &TestNode| node.node.core.state.peers().unwrap()[0].acquaintance();
        assert_eq!(granted(&one), placing::Acquaintance::Granted);
        let one = one.reopen().await;
        assert_eq!(granted(&one), placing::Acquaintance::Granted);
        let custody = one.node.core.member().unwrap();
        let status = custody.custody().unwrap().status().await.unwrap();
        assert_eq!(status.sites, 1);
    }
}
