//! Invitations that are open, and who waits beside them.
//!
//! They live in memory only: a node that restarts has none open, and one that is used is gone before
//! its first consequence is stored. Somebody who waits is asked about whoever comes, hears what became
//! of it, and takes the invitation back by leaving. Source: specs/pairing.md, "Asking".

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use larder_protocol::{
    pairing::{Asked, Ending, InviteId},
    ticket::{Invite, InviteKind as Kind, InviteSecret, Ticket},
    time::Timestamp,
};
use tokio::{
    sync::{mpsc, oneshot},
    time::{sleep, timeout},
};
use tracing::warn;

use super::{Core, clock::wall, report, spoken};
use crate::command::{
    Event, EventSink, Failure, InviteKind, InviteOutcome, Joined, Level, Outcome, Question, Time,
    Waiting,
};

/// Invitations that are open at once.
const INVITATIONS_MAX: usize = 16;
/// How often it is looked whether an invitation has expired, which a suspend does not hold up.
const LOOK: Duration = Duration::from_secs(1);

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
    waits: Option<mpsc::Sender<Told>>,
}

impl Invitations {
    /// Whether a stranger may be let in to pair.
    pub(crate) fn is_any_open(&self, now: Timestamp) -> bool {
        self.open().iter().any(|open| open.invite.expires > now)
    }

    fn keep(&self, open: Open, now: Timestamp) -> Result<(), Failure> {
        let mut all = self.open();
        all.retain(|open| open.invite.expires > now);
        if all.len() >= INVITATIONS_MAX {
            return Err(Failure::failed(format!("{INVITATIONS_MAX} invitations are open already"))
                .hint("wait until one is used or expires"));
        }
        all.push(open);
        Ok(())
    }

    /// Those that can still be used.
    pub(super) fn ids(&self) -> Vec<InviteId> {
        self.open().iter().map(|open| open.invite.id()).collect()
    }

    pub(super) fn all(&self) -> Vec<Invite> {
        self.open().iter().map(|open| open.invite.clone()).collect()
    }

    /// Who waits beside an invitation, if anybody does.
    pub(super) fn waits(&self, id: InviteId) -> Option<mpsc::Sender<Told>> {
        let open = self.open();
        open.iter().find(|open| open.invite.id() == id)?.waits.clone()
    }

    /// Uses an invitation up, or takes it back; false if that was done before.
    pub(super) fn spend(&self, id: InviteId) -> bool {
        let mut all = self.open();
        let before = all.len();
        all.retain(|open| open.invite.id() != id);
        all.len() < before
    }

    fn open(&self) -> MutexGuard<'_, Vec<Open>> {
        self.open.lock().expect("no code panics while holding this lock")
    }

    fn questions(&self) -> MutexGuard<'_, BTreeMap<u32, oneshot::Sender<bool>>> {
        self.questions.lock().expect("no code panics while holding this lock")
    }

    /// Numbers a question, whose answer comes by another command.
    fn ask(&self) -> (u32, oneshot::Receiver<bool>) {
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
    (kind, expires_s): (InviteKind, u64),
    waiting: Waiting,
    events: &EventSink,
) -> Result<Outcome, Failure> {
    events.check()?;
    core.member()?;
    let now = wall();
    let invite = Invite {
        kind: match kind {
            InviteKind::Circle => Kind::Circle,
            InviteKind::Device => Kind::Device,
        },
        inviter: core.keys.id(),
        addresses: report::own_addresses(core),
        secret: InviteSecret(spoken::random()?),
        expires: Timestamp(now.0.saturating_add(expires_s)),
    };
    let (tell, told) = mpsc::channel(1);
    let waits = (waiting != Waiting::No).then_some(tell);
    core.invitations.keep(Open { invite: invite.clone(), waits }, now)?;
    let spoken = speak(core, &invite).await;
    let outcome = InviteOutcome {
        code: Ticket::Invite(invite.clone()).to_text(),
        kind,
        expires: Time::from(invite.expires),
        spoken: spoken.as_ref().map(|opened| opened.text.clone()),
        spoken_expires: spoken.as_ref().map(|opened| Time::from(opened.expires)),
        joined: None,
    };
    if waiting == Waiting::No {
        return Ok(Outcome::Invite(outcome));
    }
    let wait = Wait { core, invite, asks: waiting == Waiting::Ask, events };
    events.send(Event::Invited(Box::new(outcome.clone()))).await?;
    let joined = tokio::select! {
        joined = wait.for_somebody(told) => joined?,
        () = wait.speaking(spoken) => return Err(wait.expired()),
        () = events.cancelled() => {
            return Err(Failure::interrupted().hint("the invitation is taken back"));
        }
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
        while let Some(told) = told.recv().await {
            match told {
                Told::Asks(asked, mut answer) => {
                    let is_welcome = tokio::select! {
                        is_welcome = self.ask(&asked) => is_welcome?,
                        // It has left meanwhile: its end is told next.
                        () = answer.closed() => false,
                    };
                    known = Some(asked);
                    let _left = answer.send(is_welcome);
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
                        (_, ending) => Err(came_to_nothing(ending)),
                    };
                }
            }
        }
        // The invitation was taken, and nothing was heard of it.
        Err(came_to_nothing(Ending::Lost))
    }

    /// Whether whoever came is let in: as a person says, or where none is asked.
    async fn ask(&self, asked: &Asked) -> Result<bool, Failure> {
        if !self.asks {
            return Ok(true);
        }
        let (number, answered) = self.core.invitations.ask();
        let question = Question {
            number,
            name: asked.name.clone(),
            site: asked.site.clone(),
            vault: asked.vault.map(|vault| vault.to_string()),
            granted_bytes: asked.granted_bytes,
            offered_bytes: self.core.config().offer_bytes(),
            words: asked.words.to_string(),
        };
        self.events.send(Event::Question(Box::new(question))).await?;
        // Nobody is left who could answer: no.
        Ok(answered.await.unwrap_or(false))
    }

    /// Shows one spoken code after the other while the invitation is good; ends with it, and not while
    /// somebody who came with it is spoken with.
    async fn speaking(&self, mut opened: Option<spoken::Opened>) {
        while self.is_open() {
            if let Some(opened) = opened.take() {
                self.until_over(opened).await;
            } else {
                sleep(LOOK).await;
            }
            if self.is_open() && wall() < self.invite.expires {
                opened = self.speak_again().await;
            }
        }
        while !self.is_over() {
            sleep(LOOK).await;
        }
    }

    /// Waits until a spoken code was tried or its time is over.
    async fn until_over(&self, opened: spoken::Opened) {
        while wall() < opened.expires && self.is_open() {
            if timeout(LOOK, opened.tried.cancelled()).await.is_ok() {
                // Whoever has the invitation now comes with it at once.
                sleep(LOOK).await;
                return;
            }
        }
    }

    async fn speak_again(&self) -> Option<spoken::Opened> {
        let opened = speak(self.core, &self.invite).await?;
        let said = format!(
            "the short code was tried, or its time is over; the new one: larder join {}",
            opened.text
        );
        self.events.notice(Level::Normal, said);
        Some(opened)
    }

    /// Whether it can still be used.
    fn is_open(&self) -> bool {
        wall() < self.invite.expires && self.core.invitations.ids().contains(&self.invite.id())
    }

    /// Whether its time is over, and nobody has taken it.
    fn is_over(&self) -> bool {
        wall() >= self.invite.expires && self.core.invitations.ids().contains(&self.invite.id())
    }

    fn expired(&self) -> Failure {
        Failure::failed("nobody came, and the invitation has expired").hint("invite again")
    }
}

/// How an invitation is told that was used and brought nobody.
fn came_to_nothing(ending: Ending) -> Failure {
    let message = match ending {
        Ending::Declined => "nobody was let in, and nothing was told".to_owned(),
        ending => format!("somebody came, and nobody was let in: {ending}"),
    };
    Failure::failed(message).hint("the invitation is used up: make a new one with `larder invite`")
}

#[cfg(test)]
mod tests;
