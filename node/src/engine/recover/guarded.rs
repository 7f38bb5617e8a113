//! Recovers without the phrase: guardians hand over their shares, holders give the phrase after a delay.
//!
//! ```text
//! code ──▶ guardian ──▶ share     as often as needed; kept on this home, days may lie between
//!                         │
//! shares enough ──▶ request ──▶ holders: Waiting … Waiting … Open ──▶ phrase ──▶ recover as with paper
//! ```
//! What is sound, what is enough and what the answers come to is decided in
//! `larder_protocol::guarding::gathering`. Source: specs/guarding.md.

use std::{
    io,
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};

use larder_protocol::{
    guarding::{
        gathering::{Gathering, HolderAnswer, Progress as Gathered, Verdict},
        handing::{HandRefusal, Handed, HandedAnswer},
        release::RequestId,
    },
    ids::DeviceId,
    keys::phrase::Phrase,
    limits::HANDED_BYTES_MAX,
    peer::PeerRecord,
    ticket::{AddressTicket, Invite, InviteKind, InviteSecret, Ticket},
    time::Timestamp,
    wire::message::{Answer, Refusal, Request, VERSION},
};
use tokio::{
    sync::mpsc,
    task::JoinSet,
    time::{sleep, timeout},
};
use tracing::{debug, warn};
use zeroize::Zeroizing;

use super::{Wish as PhraseWish, recover, tickets};
use crate::{
    command::{EventSink, ExitKind, Failure, Level, Outcome, Secret, WaitingOutcome},
    engine::{
        Core, EngineError, clock::wall, guardians, launch, on_disk, report::addresses_of, spoken,
    },
    home::write_new,
    net::{FrameStream, Net, NetError, Peer, Protocol},
};

/// Note in `state.redb`: what was gathered.
const GATHERING: &str = "gathering";
/// How long an invitation for help is good.
const HELP_S: u64 = 3600;
/// How long a guardian may take to send its frame, and a holder to answer.
const PATIENCE: Duration = Duration::from_secs(20);
/// Once one has answered, the others have so long for each answer more.
const SETTLE: Duration = Duration::from_secs(3);
/// A delay that is over so soon is waited for.
const WAIT_HERE_S: u64 = 90;
/// Holders are asked again so often while it is waited for.
const AGAIN: Duration = Duration::from_secs(2);
/// Where no code can be spoken, it is looked for a network again after this.
const NO_CODE: Duration = Duration::from_secs(30);

/// What was asked for.
pub(in crate::engine) struct Wish {
    pub(in crate::engine) connect: Vec<String>,
    pub(in crate::engine) name: Option<String>,
    pub(in crate::engine) site: Option<String>,
    /// New file for the phrase.
    pub(in crate::engine) phrase_out: PathBuf,
    /// Forget what was gathered before.
    pub(in crate::engine) anew: bool,
}

/// The `recover --guardians` command.
pub(in crate::engine) async fn recover_by_guardians(
    core: &Arc<Core>,
    wish: Wish,
    events: &EventSink,
) -> Result<Outcome, Failure> {
    if core.member().is_ok() {
        return Err(Failure::usage("this home belongs to a vault already")
            .hint("recover into a fresh home: name one with --home"));
    }
    if wish.phrase_out.symlink_metadata().is_ok() {
        let path = wish.phrase_out.display();
        return Err(Failure::usage(format!("{path} exists already, and is not written over"))
            .hint("name a new file; if the words are in that one, `larder recover --phrase-file` goes on"));
    }
    let named = tickets(&wish.connect)?;
    let known = if wish.anew { None } else { kept(core)? };
    let mut gathering = known.unwrap_or_default();
    if gathering.secret().is_none() {
        gathering = gather(core, gathering, events).await?;
    }
    let own = core.own_name();
    let mut id = RequestId([0; 16]);
    getrandom::fill(&mut id.0).map_err(|_| EngineError::Randomness)?;
    gathering.request(id, wall(), wish.name.as_deref().unwrap_or(&own));
    keep(core, &gathering).await?;
    let mut holders = gathering.holders();
    holders.extend(named.into_iter().map(record));
    let phrase = match asked(core, &gathering, &holders, events).await? {
        Given::Phrase(phrase) => phrase,
        Given::Later(outcome) => return Ok(Outcome::Waiting(outcome)),
    };
    write_phrase(&wish, &phrase)?;
    let words = phrase.words().text();
    let connect = holders.into_iter().filter_map(ticket).collect();
    let with = PhraseWish {
        phrase: Secret::new(words.to_string()),
        connect,
        name: wish.name,
        site: wish.site,
    };
    let path = wish.phrase_out.display();
    let outcome = recover(core, with, events).await.inspect_err(|_| {
        events.notice(Level::Warning, format!(
            "the 24 words are in {path}: `larder recover --phrase-file {path}` goes on from here"
        ));
    })?;
    guardians::answered(core, &gathering).await?;
    forget(core).await?;
    events.notice(
        Level::Normal,
        format!("the 24 words are in {path}: write them on paper, then delete the file"),
    );
    Ok(outcome)
}

fn write_phrase(wish: &Wish, phrase: &Phrase) -> Result<(), Failure> {
    let mut text = phrase.words().text();
    text.push('\n');
    write_new(&wish.phrase_out, text.as_bytes()).map_err(|error: io::Error| {
        let path = wish.phrase_out.display();
        Failure::failed(format!("cannot write the phrase to {path}: {error}"))
            .hint("name a new file in a directory that you can write to, and say this again")
    })
}

fn kept(core: &Core) -> Result<Option<Gathering>, EngineError> {
    Ok(core.state.note(GATHERING)?.and_then(|bytes| Gathering::decode(&bytes)))
}

async fn keep(core: &Arc<Core>, gathering: &Gathering) -> Result<(), EngineError> {
    let (core, bytes) = (Arc::clone(core), gathering.encode());
    on_disk(move || core.state.keep_note(GATHERING, &bytes)).await
}

async fn forget(core: &Arc<Core>) -> Result<(), EngineError> {
    let core = Arc::clone(core);
    on_disk(move || core.state.keep_note(GATHERING, &[])).await
}

fn record(ticket: AddressTicket) -> PeerRecord {
    let AddressTicket { device, vault, addresses } = ticket;
    let name = device.short();
    PeerRecord { device, vault, site: name.clone(), name, addresses }
}

fn ticket(holder: PeerRecord) -> Option<String> {
    let PeerRecord { device, vault, addresses, .. } = holder;
    let ticket = Ticket::Address(AddressTicket { device, vault, addresses });
    ticket.is_plausible().then(|| ticket.to_text())
}

/// Where guardians come to.
struct Desk {
    core: Arc<Core>,
    invite: Invite,
    gathering: Mutex<Gathering>,
    /// Held while a share is kept: what is written last is what was gathered last.
    turn: tokio::sync::Mutex<()>,
    /// One message for each share that was kept.
    taken: mpsc::Sender<()>,
}

impl Desk {
    /// Speaks with somebody who has come.
    async fn meet(self: Arc<Self>, mut stream: FrameStream) {
        let from = stream.peer();
        let body = match timeout(PATIENCE, stream.receive_body(HANDED_BYTES_MAX)).await {
            Ok(Ok(body)) => Zeroizing::new(body),
            Ok(Err(_)) | Err(_) => return,
        };
        let answer = match self.take(from, &body).await {
            Ok(Gathered { have, needed }) => HandedAnswer::Taken { have, needed },
            Err(reason) => {
                warn!("what {} brought was not taken: {reason}", from.short());
                HandedAnswer::Refused { reason }
            }
        };
        if stream.send_frame(answer.frame()).await.is_ok() {
            stream.drain().await;
        }
        if matches!(answer, HandedAnswer::Taken { .. }) {
            // Who listens has one message at least that it has not read yet.
            let _full = self.taken.try_send(());
        }
    }

    /// A share is durable before its guardian is told so.
    async fn take(&self, from: DeviceId, body: &[u8]) -> Result<Gathered, HandRefusal> {
        let handed = Handed::decode(body)?;
        let _one_at_a_time = self.turn.lock().await;
        let (progress, after) = {
            let mut gathering = self.gathering();
            let progress = gathering.take(&self.invite, (&from, wall()), handed)?;
            (progress, gathering.clone())
        };
        keep(&self.core, &after).await.map_err(|error| {
            warn!("a share could not be kept: {error}");
            HandRefusal::Internal
        })?;
        Ok(progress)
    }

    fn gathering(&self) -> std::sync::MutexGuard<'_, Gathering> {
        self.gathering.lock().expect("no code panics while holding this lock")
    }
}

/// Waits for guardians until there are shares enough.
async fn gather(
    core: &Arc<Core>,
    gathering: Gathering,
    events: &EventSink,
) -> Result<Gathering, Failure> {
    let seed = Zeroizing::new(random()?);
    let net = core.net.for_strangers(seed, core.relays.clone(), Protocol::Helping);
    let net = net.await.map_err(EngineError::from)?;
    let result = gather_on(core, &net, gathering, events).await;
    net.close().await;
    result
}

async fn gather_on(
    core: &Arc<Core>,
    net: &Net,
    gathering: Gathering,
    events: &EventSink,
) -> Result<Gathering, Failure> {
    tell_progress(&gathering, events);
    let mut gathering = gathering;
    loop {
        let invite = Invite {
            kind: InviteKind::Help,
            inviter: net.id(),
            addresses: addresses_of(core, net),
            secret: InviteSecret(random()?),
            expires: Timestamp(wall().0.saturating_add(HELP_S)),
        };
        let text = Ticket::Invite(invite.clone()).to_text();
        events.notice(
            Level::Normal,
            format!("each guardian says, within the hour: larder guardians give {text}"),
        );
        let (taken, mut arrivals) = mpsc::channel(1);
        let desk = Arc::new(Desk {
            core: Arc::clone(core),
            invite: invite.clone(),
            gathering: Mutex::new(gathering),
            turn: tokio::sync::Mutex::default(),
            taken,
        });
        let at = Arc::clone(&desk);
        let ended = tokio::select! {
            () = net.host(Protocol::Helping, move |stream| Arc::clone(&at).meet(stream)) => None,
            () = codes(core, &invite, events) => None,
            () = sleep(Duration::from_secs(HELP_S)) => None,
            () = events.cancelled() => Some(Err(Failure::interrupted())),
            () = enough(&desk, &mut arrivals, events) => Some(Ok(())),
        };
        let now = desk.gathering().clone();
        match ended {
            Some(Ok(())) => return Ok(now),
            Some(Err(failure)) => {
                return Err(failure
                    .hint("what guardians have handed over is kept: say the same again to go on"));
            }
            None => gathering = now,
        }
    }
}

/// Ends when there are shares enough.
async fn enough(desk: &Desk, arrivals: &mut mpsc::Receiver<()>, events: &EventSink) {
    while desk.gathering().secret().is_none() {
        if arrivals.recv().await.is_none() {
            return;
        }
        tell_progress(&desk.gathering(), events);
    }
}

fn tell_progress(gathering: &Gathering, events: &EventSink) {
    let Some(Gathered { have, needed }) = gathering.progress() else { return };
    let names = gathering.helpers().join(", ");
    events.notice(Level::Normal, format!("{have} of {needed} shares are here: from {names}"));
}

/// Shows one spoken code after the other: each is good for one guardian, or for one wrong guess.
async fn codes(core: &Arc<Core>, invite: &Invite, events: &EventSink) {
    loop {
        match spoken::open(core, invite).await {
            Ok(Some(opened)) => {
                events.notice(
                    Level::Normal,
                    format!(
                        "or, in this network or by a relay of both: larder guardians give {}",
                        opened.text
                    ),
                );
                let left = opened.expires.0.saturating_sub(wall().0);
                let _over = timeout(Duration::from_secs(left), opened.tried.cancelled()).await;
            }
            Ok(None) => sleep(NO_CODE).await,
            Err(error) => {
                warn!("there is no spoken code: {error}");
                sleep(NO_CODE).await;
            }
        }
    }
}

fn random<const N: usize>() -> Result<[u8; N], EngineError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|_| EngineError::Randomness)?;
    Ok(bytes)
}

/// What the holders gave.
enum Given {
    Phrase(Phrase),
    Later(WaitingOutcome),
}

/// Asks all holders for the phrase; waits for it when that is not long.
async fn asked(
    core: &Arc<Core>,
    gathering: &Gathering,
    holders: &[PeerRecord],
    events: &EventSink,
) -> Result<Given, Failure> {
    let secret = gathering.secret().ok_or(EngineError::OutOfTurn)?;
    let net = core.net.aside(secret.release_seed(), core.relays.clone(), Protocol::Control);
    let net = net.await.map_err(EngineError::from)?;
    let result = async {
        loop {
            let answers = answers(&net, gathering, holders).await;
            match gathering.verdict(&answers) {
                Verdict::Phrase(phrase) => return Ok(Given::Phrase(phrase)),
                Verdict::Waiting { left_s, holders } if left_s > WAIT_HERE_S => {
                    return Ok(Given::Later(waiting(gathering, left_s, holders)));
                }
                Verdict::Waiting { left_s, .. } => {
                    let said = format!("the holders wait: {left_s} s are left of the delay");
                    events.notice(Level::Normal, said);
                    tokio::select! {
                        () = sleep(Duration::from_secs(left_s).max(AGAIN)) => {}
                        () = events.cancelled() => return Err(Failure::interrupted()),
                    }
                }
                failed => return Err(failure(&failed)),
            }
        }
    }
    .await;
    net.close().await;
    result
}

fn waiting(gathering: &Gathering, left_s: u64, holders: usize) -> WaitingOutcome {
    WaitingOutcome {
        vault: gathering.vault().map(|vault| vault.to_string()).unwrap_or_default(),
        helpers: gathering.helpers().into_iter().map(str::to_owned).collect(),
        holders: u32::try_from(holders).unwrap_or(u32::MAX),
        due: Timestamp(wall().0.saturating_add(left_s)).into(),
    }
}

fn failure(verdict: &Verdict) -> Failure {
    match verdict {
        Verdict::Stopped => {
            Failure::new(ExitKind::Key, "a device of this vault has stopped the request").hint(
                "if that was not you, somebody else has a device of yours: your guardians can help \
                 again once it is removed. To ask again from the beginning: --anew",
            )
        }
        Verdict::Unknown => {
            Failure::new(ExitKind::Key, "the holders know other guardians than those who helped")
                .hint("the guardians were appointed anew since: begin again with --anew, and ask those")
        }
        _ => Failure::new(ExitKind::Holders, "no holder that has the phrase could be reached").hint(
            "start a holder with `larder up`, and say the same again; name it with --connect TICKET \
             if it has moved (`larder ticket` there)",
        ),
    }
}

/// What the holders answer: those that answer soon after the first one, and nobody is waited for once
/// the phrase is there.
async fn answers(net: &Net, gathering: &Gathering, holders: &[PeerRecord]) -> Vec<HolderAnswer> {
    let mut asking = JoinSet::new();
    let (Some(vault), Some(request)) = (gathering.vault(), gathering.asked()) else {
        return Vec::new();
    };
    for holder in holders {
        net.set_addresses(holder.device, launch::socket_addresses(&holder.addresses));
        let (peer, request) = (net.peer(holder.device), request.bytes().to_vec());
        asking.spawn(answer(peer, Request::AskRelease { vault, request: request.into() }));
    }
    let mut answers = Vec::with_capacity(holders.len());
    let mut patience = PATIENCE;
    while let Ok(Some(Ok(answer))) = timeout(patience, asking.join_next()).await {
        answers.push(answer);
        if answer != HolderAnswer::Silent {
            patience = SETTLE;
        }
        if matches!(gathering.verdict(&answers), Verdict::Phrase(_)) {
            break;
        }
    }
    answers
}

async fn answer(peer: Peer, ask: Request) -> HolderAnswer {
    // Under the key of guardians, which stands nowhere.
    let hello = Request::Hello { versions: vec![VERSION], beacon_key: None, site: None };
    let asked = timeout(PATIENCE, async {
        peer.request(&hello).await?;
        peer.request(&ask).await
    });
    match asked.await {
        Ok(Ok(Answer::Release { state })) => HolderAnswer::State(state),
        Ok(
            Ok(Answer::Refused { reason: Refusal::Forbidden | Refusal::Invalid })
            | Err(NetError::Refused),
        ) => HolderAnswer::Unknown,
        other => {
            debug!("holder {} gave no answer: {other:?}", peer.id().short());
            HolderAnswer::Silent
        }
    }
}
