//! Spoken codes: carries out the orders of the meeting machines.
//!
//! A code lives in memory only, for five minutes at most, on a network of its own. Whoever comes late is
//! told so until the time is over. Who has used it comes back as anybody with an invitation.
//! Source: specs/meeting.md.

use std::{
    convert::Infallible,
    net::SocketAddr,
    pin::pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use larder_protocol::{
    discovering::Beacon,
    ids::DeviceId,
    limits::MEETING_FRAME_BYTES_MAX,
    meeting::{
        Channel, Ending, Failed, Guest, Host, Input, Offer, Output, Party, Search, SpokenCode,
    },
    ticket::{Invite, InviteKind},
    time::Timestamp,
};
use tokio::{
    sync::mpsc,
    time::{sleep, timeout},
};
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::{debug, info, warn};
use zeroize::Zeroizing;

use super::{Core, EngineError, clock::wall, on_disk};
use crate::{
    command::{EventSink, ExitKind, Failure},
    net::{FrameStream, LookEnd, Net, Protocol},
};

mod renewing;

pub(super) use renewing::Renewing;

/// Codes of the last five minutes, used ones among them: each shows itself and listens.
const CODES_MAX: usize = 8;
/// Note in `state.redb`: the channel of the last code.
const LAST_CHANNEL: &str = "channel";
/// How long the host of a code is looked for.
const SEARCH: Duration = Duration::from_secs(20);
/// Between two attempts to reach it.
const AGAIN: Duration = Duration::from_millis(250);
/// Between two looks around, when the network does not allow it or too much is shown.
const REST: Duration = Duration::from_secs(2);
/// Sightings that wait to be looked at.
const SIGHTINGS: usize = 64;

/// How many codes are open, and who counts channels.
#[derive(Debug, Default)]
pub(crate) struct Codes {
    open: Arc<AtomicUsize>,
    counting: tokio::sync::Mutex<()>,
}

/// A place among the open codes.
#[derive(Debug)]
struct Place(Arc<AtomicUsize>);

impl Codes {
    fn take(&self) -> Option<Place> {
        let more = |open| (open < CODES_MAX).then_some(open + 1);
        let taken = self.open.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        taken.is_ok().then(|| Place(Arc::clone(&self.open)))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A code that is open.
pub(super) struct Opened {
    /// To be spoken.
    pub(super) text: String,
    /// When its time is over.
    pub(super) expires: Timestamp,
    /// Cancelled once it was tried, right or wrong.
    pub(super) tried: CancellationToken,
    /// Cancelled once it is known that it was tried with wrong words.
    pub(super) guessed: CancellationToken,
    /// Ends it when this is dropped; `None` once it stays.
    host: Option<DropGuard>,
}

impl Opened {
    /// Leaves it open until its time is over.
    pub(super) fn stay(&mut self) {
        let _ends_by_itself = self.host.take().map(DropGuard::disarm);
    }

    fn stays(&self) -> bool {
        self.host.is_none()
    }
}

/// Makes a code for an invitation, and hosts it until its time is over. `None` where nobody could come by
/// it: no network is near and there is no relay, or too many codes are open.
pub(super) async fn open(core: &Arc<Core>, invite: &Invite) -> Result<Option<Opened>, EngineError> {
    let is_shown = core.may_show_itself();
    let is_near = is_shown && !core.net.lan_addresses().is_empty();
    if !is_near && core.relays.is_empty() {
        return Ok(None);
    }
    let Some(place) = core.codes.take() else { return Ok(None) };
    let code = SpokenCode::random(next_channel(core).await?, random()?);
    let seed = Zeroizing::new(code.channel().seed());
    let net = core.net.for_strangers(seed, core.relays.clone(), Protocol::Meeting).await?;
    let now = wall();
    let offer = Offer::new(invite, now);
    let expires = offer.expires();
    let left = Duration::from_secs(expires.0.saturating_sub(now.0));
    let text = code.to_text();
    let (tried, guessed) = (CancellationToken::new(), CancellationToken::new());
    let offered = Arc::new(Offered {
        core: Arc::clone(core),
        tried: tried.clone(),
        guessed: guessed.clone(),
        code,
        invite: invite.clone(),
        offer: Mutex::new(offer),
    });
    let closing = core.closing.child_token();
    let host = Some(closing.clone().drop_guard());
    tokio::spawn(async move {
        let _place = place;
        tokio::select! {
            () = sleep(left) => {}
            () = closing.cancelled() => {}
            () = shown(&net), if is_shown => {}
            () = net.host(Protocol::Meeting, move |stream| Arc::clone(&offered).meet(stream)) => {}
        }
        net.close().await;
    });
    Ok(Some(Opened { text, expires, tried, guessed, host }))
}

/// The channel after the last one: none serves two codes.
async fn next_channel(core: &Arc<Core>) -> Result<Channel, EngineError> {
    let _alone = core.codes.counting.lock().await;
    let core = Arc::clone(core);
    on_disk(move || {
        let last = core.state.note(LAST_CHANNEL)?;
        let last = last.and_then(|bytes| Some(u16::from_le_bytes(bytes.try_into().ok()?)));
        let next = match last.and_then(Channel::new) {
            Some(last) => last.following(),
            // Nodes begin at different places, so that two in one house seldom meet.
            None => Channel::of_random(u16::from_le_bytes(random()?)),
        };
        core.state.keep_note(LAST_CHANNEL, &next.number().to_le_bytes())?;
        Ok::<_, EngineError>(next)
    })
    .await
}

pub(super) fn random<const N: usize>() -> Result<[u8; N], EngineError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|_| EngineError::Randomness)?;
    Ok(bytes)
}

/// Shows the channel on the local networks, for ever.
async fn shown(net: &Net) {
    loop {
        let (sightings, _) = mpsc::channel(1);
        let beacon = Beacon::from_bytes(*net.id().as_bytes());
        if !matches!(net.look_around(beacon, sightings).await, LookEnd::Moved) {
            sleep(REST).await;
        }
    }
}

/// A code that is open.
struct Offered {
    core: Arc<Core>,
    tried: CancellationToken,
    guessed: CancellationToken,
    code: SpokenCode,
    invite: Invite,
    offer: Mutex<Offer>,
}

impl Offered {
    /// Speaks with somebody who has come.
    async fn meet(self: Arc<Self>, stream: FrameStream) {
        let Ok(seed) = random() else { return };
        let start = self.core.clock.now();
        let host = Host::new(self.code.clone(), self.invite.clone(), seed, start);
        match drive(&self.core, stream, host, || self.take()).await {
            Ending::Failed(Failed::WrongCode) => {
                self.guessed.cancel();
                warn!(
                    "somebody tried a wrong spoken code: that code is of no use any more, make a new one"
                );
            }
            Ending::Failed(failed) => {
                debug!("a meeting by a spoken code came to nothing: {failed}")
            }
            Ending::Given | Ending::Invited(_) => info!("a spoken code was used"),
        }
    }

    fn take(&self) -> bool {
        let mut open = self.core.invitations.ids();
        if self.invite.kind == InviteKind::Help {
            // Good for several guardians, as long as somebody listens under its key.
            open.push(self.invite.id());
        }
        self.tried.cancel();
        self.offer.lock().unwrap_or_else(PoisonError::into_inner).take(wall(), open)
    }
}

/// Finds the host of a code and has it bring its invitation over.
pub(super) async fn invitation(
    core: &Arc<Core>,
    code: &SpokenCode,
    events: &EventSink,
) -> Result<Invite, Failure> {
    let search = Search::new(code.channel());
    let own = Beacon::from_bytes(random()?);
    let (seed, guest_seed) = (Zeroizing::new(random()?), random()?);
    let net = core.net.for_strangers(seed, core.relays.clone(), Protocol::Meeting);
    let net = net.await.map_err(EngineError::from)?;
    let is_lan = core.may_show_itself();
    let found = tokio::select! {
        found = timeout(SEARCH, reached(&net, search.host())) => {
            found.map_err(|_| not_found(core, code.channel()))
        }
        never = looked_for(&net, search, own), if is_lan => match never {},
        () = events.cancelled() => Err(Failure::interrupted()),
    };
    let invited = match found {
        Ok(stream) => {
            let guest = Guest::new(code, guest_seed, core.clock.now());
            match drive(core, stream, guest, || false).await {
                Ending::Invited(invite) => Ok(*invite),
                Ending::Failed(failed) => Err(failure(failed)),
                Ending::Given => Err(failure(Failed::OutOfTurn)),
            }
        }
        Err(failure) => Err(failure),
    };
    // Nobody needs to wait for its goodbye.
    tokio::spawn(async move { net.close().await });
    invited
}

/// Tries until the host answers: where it shows itself, and at the relays.
async fn reached(net: &Net, host: DeviceId) -> FrameStream {
    loop {
        if let Ok(stream) = net.peer(host).meet().await {
            return stream;
        }
        sleep(AGAIN).await;
    }
}

/// Notes where the host shows itself, for ever.
async fn looked_for(net: &Net, mut search: Search, own: Beacon) -> Infallible {
    loop {
        let (sightings, mut seen) = mpsc::channel(SIGHTINGS);
        let mut looking = pin!(net.look_around(own, sightings));
        let end = loop {
            tokio::select! {
                end = &mut looking => break end,
                Some(sighting) = seen.recv() => {
                    let own: Vec<_> = net.lan_addresses().iter().map(SocketAddr::ip).collect();
                    if search.is_worth_a_try(&sighting.beacon, sighting.address, &own) {
                        net.hint_address(search.host(), sighting.address);
                    }
                }
            }
        };
        if !matches!(end, LookEnd::Moved) {
            sleep(REST).await;
        }
    }
}

/// Runs one meeting to its end over one stream.
async fn drive(
    core: &Arc<Core>,
    mut stream: FrameStream,
    mut party: impl Party,
    take: impl Fn() -> bool,
) -> Ending {
    loop {
        while let Some(output) = party.poll_output() {
            match output {
                Output::Send(frame) => {
                    if stream.send_frame(frame).await.is_err() {
                        party.handle_input(core.clock.now(), Input::Lost);
                    }
                }
                Output::Take => party.handle_input(core.clock.now(), Input::Taken(take())),
                Output::Ended(ending) => {
                    stream.drain().await;
                    return ending;
                }
            }
        }
        let input = tokio::select! {
            body = stream.receive_body(MEETING_FRAME_BYTES_MAX) => body.map_or(Input::Lost, Input::Frame),
            () = core.clock.reached(party.poll_timeout()) => Input::TimePassed,
        };
        party.handle_input(core.clock.now(), input);
    }
}

fn not_found(core: &Core, channel: Channel) -> Failure {
    let also = if core.relays.is_empty() { "" } else { " or at the relays" };
    let number = channel.number();
    Failure::failed(format!("nobody with code number {number} answers in this network{also}")).hint(
        "a code is good for five minutes, for both in one network or with one relay (`--relay URL`); \
         the long text that `larder invite` prints works from anywhere",
    )
}

fn failure(failed: Failed) -> Failure {
    let kind = match failed {
        Failed::WrongCode | Failed::Gone => ExitKind::Key,
        _ => ExitKind::Failed,
    };
    let message = match failed {
        Failed::WrongCode => "the code is mistyped, or somebody else answers at its number",
        _ => return Failure::new(kind, failed.to_string()).hint(ANEW),
    };
    Failure::new(kind, message.to_owned()).hint(ANEW)
}

const ANEW: &str = "each code can be tried once: ask for a new one, which `larder invite` or `larder \
     recover --guardians` shows there";
