//! Where guardians come to: shows codes, takes shares, until there are enough.

use std::{
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use larder_protocol::{
    guarding::{
        gathering::{Gathering, Progress},
        handing::{HandRefusal, Handed, HandedAnswer},
    },
    ids::DeviceId,
    limits::HANDED_BYTES_MAX,
    meeting::{Audience, NoMore, RenewalOutput, Why},
    ticket::{Invite, InviteKind, InviteSecret, Ticket},
    time::Timestamp,
};
use tokio::{
    sync::mpsc,
    time::{sleep, timeout},
};
use tracing::warn;
use zeroize::Zeroizing;

use super::{is_enough, keep, tell_progress};
use crate::{
    command::{EventSink, Failure, Level},
    engine::{
        Core, EngineError,
        clock::wall,
        report::addresses_of,
        spoken::{self, random},
    },
    net::{FrameStream, Net, Protocol},
};

/// How long an invitation for help is good.
const HELP_S: u64 = 3600;
/// So often is looked whether it is over: a machine that slept has not counted the time.
const LOOK: Duration = Duration::from_secs(20);
/// How long a guardian may take to send its frame.
const PATIENCE: Duration = Duration::from_secs(20);
/// Said where too many codes were guessed.
const NO_MORE: &str =
    "too many wrong codes were tried: there are no more short ones; the long code above is good";

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
            Ok(Progress { have, needed }) => HandedAnswer::Taken { have, needed },
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
    async fn take(&self, from: DeviceId, body: &[u8]) -> Result<Progress, HandRefusal> {
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

    fn gathering(&self) -> MutexGuard<'_, Gathering> {
        self.gathering.lock().expect("no code panics while holding this lock")
    }
}

/// Waits for guardians until there are shares enough, of the vault that is meant.
pub(super) async fn gather(
    core: &Arc<Core>,
    gathering: Gathering,
    vault: Option<&str>,
    events: &EventSink,
) -> Result<Gathering, Failure> {
    let seed = Zeroizing::new(random()?);
    let net = core.net.for_strangers(seed, core.relays.clone(), Protocol::Helping);
    let net = net.await.map_err(EngineError::from)?;
    tell_progress(&gathering, events);
    let mut gathering = gathering;
    let result = loop {
        let (after, ended) = for_an_hour(core, &net, (gathering, vault), events).await;
        match ended {
            Some(result) => break result.map(|()| after),
            None => gathering = after,
        }
    };
    net.close().await;
    result
}

/// One invitation, as long as it is good. `None` when its time is over.
async fn for_an_hour(
    core: &Arc<Core>,
    net: &Net,
    (gathering, vault): (Gathering, Option<&str>),
    events: &EventSink,
) -> (Gathering, Option<Result<(), Failure>>) {
    let secret = match random() {
        Ok(secret) => InviteSecret(secret),
        Err(error) => return (gathering, Some(Err(error.into()))),
    };
    let invite = Invite {
        kind: InviteKind::Help,
        inviter: net.id(),
        addresses: addresses_of(core, net),
        secret,
        expires: Timestamp(wall().0.saturating_add(HELP_S)),
    };
    let text = Ticket::Invite(invite.clone()).to_text();
    let said = format!("each guardian says, within the hour: larder guardians give {text}");
    events.notice(Level::Normal, said);
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
        () = codes(core, net, &invite, events) => None,
        () = expired(&invite) => None,
        () = events.cancelled() => Some(Err(Failure::interrupted().hint(
            "what guardians have handed over is kept: say the same again to go on",
        ))),
        () = enough(&desk, vault, &mut arrivals, events) => Some(Ok(())),
    };
    // Whoever is just being served has written what it brought.
    let _turn = desk.turn.lock().await;
    let after = desk.gathering().clone();
    (after, ended)
}

async fn expired(invite: &Invite) {
    while wall() < invite.expires {
        sleep(LOOK).await;
    }
}

/// Ends when there are shares enough.
async fn enough(
    desk: &Desk,
    vault: Option<&str>,
    arrivals: &mut mpsc::Receiver<()>,
    events: &EventSink,
) {
    while !is_enough(&desk.gathering(), vault) {
        if arrivals.recv().await.is_none() {
            return;
        }
        let now = desk.gathering().clone();
        tell_progress(&now, events);
    }
}

/// Shows one spoken code after the other: each is good for one guardian, or for one wrong guess. Ends with
/// the invitation.
async fn codes(core: &Arc<Core>, net: &Net, invite: &Invite, events: &EventSink) {
    let mut renewing = spoken::Renewing::new(core, Audience::Several);
    loop {
        match renewing.next(|| wall() < invite.expires).await {
            RenewalOutput::Open => renewing.opened(speak(core, net, invite).await),
            RenewalOutput::Show(why) => {
                if why == Why::Guessed {
                    events
                        .notice(Level::Warning, "somebody tried a wrong code: another one follows");
                }
                let code = renewing.code();
                let said = format!(
                    "or, in this network or by a relay of both: larder guardians give {code}"
                );
                events.notice(Level::Normal, said);
            }
            RenewalOutput::Ended(NoMore::Guessed) => {
                events.notice(Level::Warning, NO_MORE);
                return expired(invite).await;
            }
            RenewalOutput::Ended(NoMore::Closed) => return,
        }
    }
}

async fn speak(core: &Arc<Core>, net: &Net, invite: &Invite) -> Option<spoken::Opened> {
    // Where this device is may have changed since.
    let invite = Invite { addresses: addresses_of(core, net), ..invite.clone() };
    spoken::open(core, &invite).await.unwrap_or_else(|error| {
        warn!("there is no spoken code: {error}");
        None
    })
}
