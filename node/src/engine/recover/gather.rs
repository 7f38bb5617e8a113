//! The shell of `larder_protocol::recovering`: asks holders for heads and follows those that are found.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use larder_protocol::{
    head::SignedHead,
    ids::{DeviceId, HeadHash},
    limits::ADDRESSES_MAX,
    manifest::Manifest,
    order::OrderId,
    peer::PeerRecord,
    recovering::{Finding, FoundHead, HeadSeen, Input, Output, Recovering},
};
use tokio::{sync::mpsc, time::sleep_until};
use tracing::{debug, warn};

use super::{Access, MissingKeys};
use crate::{
    command::{EventSink, Failure, Level},
    engine::{Core, EngineError, Member, contact, join, sites, sync},
};

/// How long holders are waited for before what was found is acted upon.
pub(super) const PATIENCE_MS: u64 = 8_000;

/// How many holders answered, of how many that are known.
pub(super) struct Witnesses {
    pub(super) answered: u32,
    pub(super) known: u32,
}

/// What a holder that was asked for heads said.
struct Asked {
    order: OrderId,
    holder: DeviceId,
    answer: Result<Vec<SignedHead>, EngineError>,
}

/// Asks every known holder for its heads, follows the newest to their manifests, and goes on to
/// the holders named there until there are no new ones.
pub(super) async fn gather(
    core: &Arc<Core>,
    member: &Arc<Member>,
    (access, missing): (&Arc<Access>, &Arc<MissingKeys>),
    witnesses: &BTreeSet<DeviceId>,
    events: &EventSink,
) -> Result<Witnesses, Failure> {
    let (answers, mut inbox) = mpsc::channel(64);
    let mut gathering = Gathering {
        core: Arc::clone(core),
        member: Arc::clone(member),
        access: Arc::clone(access),
        missing: Arc::clone(missing),
        machine: Recovering::new(PATIENCE_MS),
        answers,
        heads: BTreeMap::new(),
        taken: BTreeMap::new(),
    };
    for holder in witnesses {
        gathering.tell(Input::HolderKnown { holder: *holder });
    }
    // Said once: it holds until somebody else is asked, also while manifests are followed.
    let mut is_finished = false;
    loop {
        gathering.carry_out(&mut is_finished);
        let has_followed = gathering.follow_found().await;
        if has_followed {
            continue;
        }
        if is_finished {
            break;
        }
        let late = gathering.machine.poll_timeout().map(|instant| core.clock.moment(instant));
        tokio::select! {
            Some(asked) = inbox.recv() => gathering.take(asked),
            () = async { match late {
                Some(moment) => sleep_until(moment).await,
                None => std::future::pending().await,
            } } => gathering.tell(Input::TimePassed),
            () = events.cancelled() => return Err(Failure::interrupted()),
        }
    }
    // The other sides of forked devices, and whatever came last.
    if let Err(error) = sync::follow(core, member).await {
        warn!("other devices of the vault could not be followed: {error}");
    }
    Ok(gathering.report(events))
}

struct Gathering {
    core: Arc<Core>,
    member: Arc<Member>,
    access: Arc<Access>,
    missing: Arc<MissingKeys>,
    machine: Recovering,
    answers: mpsc::Sender<Asked>,
    /// Every head that was served.
    heads: BTreeMap<HeadHash, SignedHead>,
    /// Of each device the head whose manifest is known.
    taken: BTreeMap<DeviceId, HeadHash>,
}

impl Gathering {
    fn tell(&mut self, input: Input) {
        self.machine.handle_input(self.core.clock.now(), input);
    }

    fn take(&mut self, asked: Asked) {
        let Asked { order, holder, answer } = asked;
        match answer {
            Ok(heads) => {
                let seen = heads.iter().map(HeadSeen::from).collect();
                self.heads.extend(heads.into_iter().map(|head| (head.hash(), head)));
                self.tell(Input::HeadsAnswered { order, heads: seen, forged: 0 });
            }
            Err(error) => {
                debug!("holder {}: {error}", holder.short());
                self.tell(Input::HolderFailed { order });
            }
        }
    }

    fn carry_out(&mut self, is_finished: &mut bool) {
        while let Some(output) = self.machine.poll_output() {
            let (core, member) = (Arc::clone(&self.core), Arc::clone(&self.member));
            let (access, missing) = (Arc::clone(&self.access), Arc::clone(&self.missing));
            let answers = self.answers.clone();
            match output {
                Output::Ask { order, holder } => {
                    *is_finished = false;
                    tokio::spawn(async move {
                        let answer = ask(&core, &member, (&access, &missing), holder).await;
                        let _ = answers.send(Asked { order, holder, answer }).await;
                    });
                }
                Output::AskPast { order, holder, device, below } => {
                    *is_finished = false;
                    tokio::spawn(async move {
                        let of = (member.vault, device);
                        let answer = contact::pull_past(&core, holder, of, below).await;
                        let _ = answers.send(Asked { order, holder, answer }).await;
                    });
                }
                Output::Blame { holder, fault } => {
                    warn!("holder {}: {fault:?}", holder.short());
                    core.blame(holder, "kept back a newer head", None);
                }
                Output::Finished { .. } => *is_finished = true,
            }
        }
    }

    /// Takes in what the newest heads found so far lead to; returns whether the machine was told
    /// anything: holders that manifests name, or heads that lead to nothing now.
    async fn follow_found(&mut self) -> bool {
        let mut has_told = false;
        for (device, FoundHead { head, .. }) in self.machine.found().heads {
            if self.taken.get(&device) == Some(&head.hash) {
                continue;
            }
            let Some(signed) = self.heads.get(&head.hash).cloned() else { continue };
            match self.manifest_of(&signed).await {
                Ok(manifest) => {
                    self.taken.insert(device, head.hash);
                    has_told |= self.meet(manifest).await;
                }
                Err(error) => {
                    warn!("head {} of device {}: {error}", head.seq, device.short());
                    self.tell(Input::HeadUnreadable { hash: head.hash });
                    has_told = true;
                }
            }
        }
        has_told
    }

    /// The manifest that a head leads to. A device that just became a member follows heads by itself
    /// as well (`sync`): two that do so at once would take each other's packs away, and the one with
    /// the older head could have the last word.
    async fn manifest_of(&self, head: &SignedHead) -> Result<Manifest, EngineError> {
        let _one_at_a_time = self.core.following.lock().await;
        match self.core.state.commit_of(&head.body().device)? {
            Some(known) if known.seq >= head.body().seq => Ok(Manifest::decode(&known.manifest)?),
            _ => sync::take(&self.core, &self.member, head).await,
        }
    }

    /// Goes on to the holders that a manifest names; returns whether there are any.
    async fn meet(&mut self, manifest: Manifest) -> bool {
        let own = self.core.keys.id();
        let others = manifest.peers.into_iter().filter(|it| it.device != own);
        let peers: Vec<_> = others.map(|peer| self.where_it_was_found(peer)).collect();
        let named: Vec<DeviceId> = peers.iter().map(|peer| peer.device).collect();
        if let Err(error) = join::keep_peers(&self.core, peers).await {
            warn!("holders could not be remembered: {error}");
        }
        for holder in &named {
            self.tell(Input::HolderKnown { holder: *holder });
        }
        !named.is_empty()
    }

    /// Where somebody was found just now counts more than where he was when the manifest was written, and so
    /// does the household that he told himself.
    fn where_it_was_found(&self, peer: PeerRecord) -> PeerRecord {
        let known = self.core.state.peer(&peer.device).ok().flatten();
        let told = known.filter(|known| known.last_seen > 0 && known.site != sites::NOT_KNOWN);
        let site = told.map_or(peer.site, |known| known.site);
        let found = self.access.net.addresses(&peer.device);
        let mut addresses: Vec<String> = found.iter().map(ToString::to_string).collect();
        let before = peer.addresses.into_iter().filter(|one| !addresses.contains(one));
        let before: Vec<String> = before.collect();
        addresses.extend(before);
        addresses.truncate(ADDRESSES_MAX);
        PeerRecord { addresses, site, ..peer }
    }

    fn report(&self, events: &EventSink) -> Witnesses {
        let found = self.machine.found();
        for finding in &found.findings {
            match finding {
                Finding::Unreadable { device, seq } => events.notice(
                    Level::Warning,
                    format!(
                        "what device {} saved last (its state {seq}) cannot be read from the \
                         holders that answered: what it saved before that is shown. It is looked \
                         for again whenever another holder is met",
                        device.short()
                    ),
                ),
                other => events.notice(Level::Detail, format!("{other:?}")),
            }
        }
        let count = |set: usize| u32::try_from(set).unwrap_or(u32::MAX);
        let answered = count(found.answered.len());
        Witnesses { answered, known: answered + count(found.silent.len()) }
    }
}

/// One holder: log first, then heads, verified against it.
async fn ask(
    core: &Arc<Core>,
    member: &Member,
    (access, missing): (&Access, &MissingKeys),
    holder: DeviceId,
) -> Result<Vec<SignedHead>, EngineError> {
    access.reach(core, holder);
    access.introduce(holder, &core.log_of(&member.vault)?).await?;
    let standing = contact::hello(core, holder).await?;
    contact::pull_log(core, holder, member.vault).await?;
    // Before anything is read that the keys are for.
    if let Err(error) = missing.open(core, member.vault).await {
        warn!("keys that holder {} knows of are not opened: {error}", holder.short());
    }
    contact::push_log(core, holder, member.vault).await?;
    let heads = contact::pull_heads(core, holder, member.vault).await?;
    contact::note_met(core, holder, standing.as_ref())?;
    Ok(heads)
}
