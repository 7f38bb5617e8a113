//! Invitations that are open, and who waits beside them.
//!
//! They live in memory only: a node that restarts has none open, and one that is used is gone before
//! its first consequence is stored. Somebody who waits is asked about whoever comes, hears what became
//! of it, and takes the invitation back by leaving. Source: specs/pairing.md, "Asking".

use std::{
    collections::BTreeMap,
    convert::Infallible,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use larder_protocol::{
    holding::granted,
    log::Role,
    meeting::{Audience, NoMore, RenewalOutput, Why},
    pairing::{Asked, Ending, Invitation, InviteId},
    ticket::{Invite, InviteKind as Kind, InviteSecret, Ticket},
    time::Timestamp,
};
use tokio::{
    sync::{mpsc, oneshot},
    time::sleep,
};
use tracing::warn;

use super::{Core, clock::wall, devices, offering, report, spoken};
use crate::command::{
    About, DeviceRole, Event, EventSink, Failure, Guest, InviteKind, InviteOutcome, Joined, Level,
    Outcome, Question, Time, Waiting,
};

/// Invitations that are open at once.
const INVITATIONS_MAX: usize = 16;
/// How often it is looked whether an invitation has expired, which a suspend does not hold up.
const LOOK: Duration = Duration::from_secs(1);
/// Said where too many codes were guessed.
const NO_MORE: &str =
    "too many wrong codes were tried: there are no more short ones; the long code is good";

/// What whoever waits hears of an invitation.
#[derive(Debug)]
pub(super) enum Told {
    /// Somebody has come with it; whether he is let in.
    Asks(Asked, oneshot::Sender<bool>),
    /// It is over with whoever came.
    Ended(Ending),
}

/// Invitations that are open.
#[derive(Debug, Default)]
pub(crate) struct Invitations {
    open: Mutex<Vec<Open>>,
    questions: Mutex<BTreeMap<u32, oneshot::Sender<bool>>>,
    last_question: AtomicU32,
}

#[derive(Debug)]
struct Open {
    invite: Invite,
    /// What a new device becomes.
    role: Role,
    /// What another vault gets.
    guest: Guest,
    waits: Option<mpsc::Sender<Told>>,
}

/// An invitation that was used up, or taken back.
#[derive(Debug)]
pub(super) struct Spent {
    pub(super) waits: Option<mpsc::Sender<Told>>,
    /// What a vault is called here that comes with it.
    pub(super) called: Option<String>,
}

impl Invitations {
    /// Whether a stranger may be let in to pair.
    pub(crate) fn is_any_open(&self, now: Timestamp) -> bool {
        self.open().iter().any(|open| open.invite.expires > now)
    }

    fn keep(&self, open: Open, now: Timestamp) -> Result<(), Failure> {
        let mut all = self.open();
        // Whoever waits takes his own away.
        let is_waited_for = |open: &Open| open.waits.as_ref().is_some_and(|it| !it.is_closed());
        all.retain(|open| open.invite.expires > now || is_waited_for(open));
        if all.len() >= INVITATIONS_MAX {
            return Err(Failure::failed(format!("{INVITATIONS_MAX} invitations are open already"))
                .hint("wait until one is used or expires"));
        }
        all.push(open);
        Ok(())
    }

    /// Whether a vault that comes with one of them will be called so.
    pub(super) fn is_name_given(&self, name: &str, now: Timestamp) -> bool {
        let is_so = |open: &Open| open.guest.called.as_deref() == Some(name);
        self.open().iter().any(|open| open.invite.expires > now && is_so(open))
    }

    /// Those that can still be used.
    pub(super) fn ids(&self) -> Vec<InviteId> {
        self.open().iter().map(|open| open.invite.id()).collect()
    }

    pub(super) fn all(&self) -> Vec<Invitation> {
        let invitation = |open: &Open| Invitation {
            invite: open.invite.clone(),
            role: open.role,
            allowed_bytes: open.guest.allowed.map(|size| size.0),
        };
        self.open().iter().map(invitation).collect()
    }

    /// Uses an invitation up, or takes it back. `None` if that was done before.
    pub(super) fn spend(&self, id: InviteId) -> Option<Spent> {
        let mut all = self.open();
        let place = all.iter().position(|open| open.invite.id() == id)?;
        let Open { waits, guest, .. } = all.remove(place);
        Some(Spent { waits, called: guest.called })
    }

    /// Whether it is still to be used.
    fn has(&self, id: InviteId) -> bool {
        self.open().iter().any(|open| open.invite.id() == id)
    }

    fn open(&self) -> MutexGuard<'_, Vec<Open>> {
        self.open.lock().expect("no code panics while holding this lock")
    }

    fn questions(&self) -> MutexGuard<'_, BTreeMap<u32, oneshot::Sender<bool>>> {
        self.questions.lock().expect("no code panics while holding this lock")
    }

    /// Numbers a question, whose answer comes by another command.
    pub(super) fn ask(&self) -> (u32, oneshot::Receiver<bool>) {
        let (answer, answered) = oneshot::channel();
        let number = self.last_question.fetch_add(1, Ordering::Relaxed);
        let mut questions = self.questions();
        questions.retain(|_, answer| !answer.is_closed());
        questions.insert(number, answer);
        (number, answered)
    }

    /// Brings an answer to where it is waited for.
    ///
    /// # Errors
    /// [`Failure`] where nobody waits for it any more.
    pub(super) fn answer(&self, question: u32, yes: bool) -> Result<Outcome, Failure> {
        let answer = self.questions().remove(&question);
        let is_taken = answer.is_some_and(|answer| answer.send(yes).is_ok());
        if is_taken {
            Ok(Outcome::Answered)
        } else {
            Err(Failure::failed("nobody waits for this answer any more")
                .hint("whoever wanted to join has left: invite again"))
        }
    }
}

/// The `invite` command: opens an invitation, which stays open after the command unless it waits.
pub(crate) async fn invite(
    core: &Arc<Core>,
    (kind, role, expires_s): (InviteKind, DeviceRole, u64),
    (guest, waiting): (Guest, Waiting),
    events: &EventSink,
) -> Result<Outcome, Failure> {
    events.check()?;
    if let Some(name) = &guest.called {
        offering::check_name(core, name)?;
    }
    let member = core.member()?;
    if kind == InviteKind::Device {
        devices::check_owner(core, &member, "invites devices")?;
    }
    let now = wall();
    let invite = Invite {
        kind: match kind {
            InviteKind::Circle => Kind::Circle,
            InviteKind::OneWay => Kind::OneWay,
            InviteKind::Device => Kind::Device,
        },
        inviter: core.keys.id(),
        addresses: report::own_addresses(core),
        secret: InviteSecret(spoken::random()?),
        expires: Timestamp(now.0.saturating_add(expires_s)),
    };
    let (tell, told) = mpsc::channel(1);
    let waits = (waiting != Waiting::No).then_some(tell);
    let allowed = guest.allowed;
    core.invitations.keep(Open { invite: invite.clone(), role: role.into(), guest, waits }, now)?;
    let spoken = speak(core, &invite).await;
    let outcome = InviteOutcome {
        code: Ticket::Invite(invite.clone()).to_text(),
        kind,
        role,
        allowed_bytes: allowed.map(|size| size.0),
        expires: Time::from(invite.expires),
        spoken: spoken.as_ref().map(|opened| opened.text.clone()),
        spoken_expires: spoken.as_ref().map(|opened| Time::from(opened.expires)),
        joined: None,
    };
    if waiting == Waiting::No {
        if let Some(mut opened) = spoken {
            opened.stay();
        }
        return Ok(Outcome::Invite(outcome));
    }
    let (asks, said_yes) = (waiting == Waiting::Ask, AtomicBool::new(false));
    let wait = Wait { core, invite, asks, events, said_yes };
    events.send(Event::Invited(Box::new(outcome.clone()))).await?;
    let joined = tokio::select! {
        biased;
        () = events.cancelled() => return Err(wait.left()),
        joined = wait.for_somebody(told) => joined?,
        never = wait.speaking(spoken) => match never {},
    };
    Ok(Outcome::Invite(InviteOutcome { joined: Some(joined), ..outcome }))
}

async fn speak(core: &Arc<Core>, invite: &Invite) -> Option<spoken::Opened> {
    spoken::open(core, invite).await.unwrap_or_else(|error| {
        warn!("there is no spoken code: {error}");
        None
    })
}

/// Somebody waits beside an invitation, and takes it back by leaving.
struct Wait<'a> {
    core: &'a Arc<Core>,
    invite: Invite,
    /// Whether a person is asked about whoever comes.
    asks: bool,
    events: &'a EventSink,
    /// Whether somebody was let in, whatever became of him then.
    said_yes: AtomicBool,
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        self.core.invitations.spend(self.invite.id());
    }
}

impl Wait<'_> {
    /// Waits until somebody has come, and tells who joined.
    async fn for_somebody(&self, mut told: mpsc::Receiver<Told>) -> Result<Joined, Failure> {
        let mut known = None;
        loop {
            let told = tokio::select! {
                told = told.recv() => told,
                () = self.expired() => {
                    let message = "nobody came, and the invitation has expired";
                    return Err(Failure::failed(message).hint("invite again"));
                }
            };
            // The invitation was taken, and nothing was heard of it.
            match told.unwrap_or(Told::Ended(Ending::Lost)) {
                Told::Asks(asked, mut answer) => {
                    let is_welcome = tokio::select! {
                        is_welcome = self.ask(&asked) => is_welcome?,
                        () = answer.closed() => false,
                    };
                    known = Some(asked);
                    // Where it has left meanwhile, its end is told next.
                    if answer.send(is_welcome).is_ok() && is_welcome {
                        self.said_yes.store(true, Ordering::Relaxed);
                        self.events
                            .notice(Level::Normal, "letting it in, if it says yes there as well");
                    }
                }
                Told::Ended(ending) => {
                    return match (known, ending) {
                        (Some(asked), Ending::Done | Ending::Unconfirmed) => Ok(Joined {
                            name: asked.name,
                            site: asked.site,
                            vault: asked.vault.map(|vault| vault.to_string()),
                            words: asked.words.to_string(),
                            confirmed: ending == Ending::Done,
                        }),
                        (_, ending) => Err(self.came_to_nothing(ending)),
                    };
                }
            }
        }
    }

    /// Ends when its time is over and nobody has taken it.
    async fn expired(&self) {
        while wall() < self.invite.expires || !self.core.invitations.has(self.invite.id()) {
            sleep(LOOK).await;
        }
    }

    /// How it is told that whoever waited has gone away.
    fn left(&self) -> Failure {
        let hint = if self.said_yes.load(Ordering::Relaxed) {
            "it was let in before, and may be in: see `larder devices` and `larder peers`; `larder revoke` \
             throws a device out"
        } else {
            "the invitation is taken back"
        };
        Failure::interrupted().hint(hint)
    }

    /// How an invitation is told that was used and brought nobody.
    fn came_to_nothing(&self, ending: Ending) -> Failure {
        let again = "the invitation is used up: make a new one with `larder invite`";
        match ending {
            Ending::Declined => {
                Failure::failed("nobody was let in, and nothing was told").hint(again)
            }
            ending if self.said_yes.load(Ordering::Relaxed) => {
                let message =
                    format!("somebody was let in, and it did not come to its end: {ending}");
                Failure::failed(message).hint(
                    "see `larder devices` and `larder peers` for whether it is in. If that was not \
                     yours: it may have the keys of what is saved so far, which no holder gives it",
                )
            }
            ending => {
                let message = format!("somebody came, and nobody was let in: {ending}");
                Failure::failed(message).hint(again)
            }
        }
    }

    /// Whether whoever came is let in: as a person says, or where none is asked.
    async fn ask(&self, asked: &Asked) -> Result<bool, Failure> {
        if !self.asks {
            return Ok(true);
        }
        let (number, answered) = self.core.invitations.ask();
        let (name, site) = (asked.name.clone(), asked.site.clone());
        let about = match asked.vault {
            None => About::Device { name, site, role: asked.role.into() },
            Some(vault) => About::Vault {
                vault: vault.to_string(),
                name,
                site,
                granted_bytes: asked.granted_bytes,
                offered_bytes: granted(asked.allowed_bytes, self.core.config().offer_bytes()),
            },
        };
        let question = Question { number, words: asked.words.to_string(), about };
        self.events.send(Event::Question(Box::new(question))).await?;
        // Nobody is left who could answer: no.
        Ok(answered.await.unwrap_or(false))
    }

    /// Shows one spoken code after the other, `first` at the beginning. Never ends: what ends it is told
    /// elsewhere.
    async fn speaking(&self, first: Option<spoken::Opened>) -> Infallible {
        let mut renewing = spoken::Renewing::new(self.core, Audience::One);
        let mut first = Some(first);
        loop {
            match renewing.next(|| self.is_open()).await {
                RenewalOutput::Open => renewing.opened(match first.take() {
                    Some(first) => first,
                    None => speak(self.core, &self.invite).await,
                }),
                RenewalOutput::Show(why) => self.tell(why, renewing.code()),
                RenewalOutput::Ended(why) => {
                    if why == NoMore::Guessed {
                        self.events.notice(Level::Warning, NO_MORE);
                    }
                    return std::future::pending().await;
                }
            }
        }
    }

    fn tell(&self, why: Why, code: &str) {
        let (level, why) = match why {
            // Shown with the invitation.
            Why::First => return,
            Why::Late => (Level::Normal, "there is a short code now"),
            Why::Expired => (Level::Normal, "the time of the short code is over; the new one"),
            Why::Given => (Level::Normal, "whoever had the short code did not come; a new one"),
            Why::Guessed => (Level::Warning, "somebody tried a wrong code; the new one"),
        };
        self.events.notice(level, format!("{why}, for five minutes: larder join {code}"));
    }

    /// Whether it can still be used.
    fn is_open(&self) -> bool {
        wall() < self.invite.expires && self.core.invitations.has(self.invite.id())
    }
}

#[cfg(test)]
mod tests;
