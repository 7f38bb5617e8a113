//! The person at this end of a pairing: sees the words to compare, and is asked about whoever comes.

use larder_protocol::pairing::{Asked, CompareWords, Ending};
use tokio::sync::{mpsc, oneshot};

use super::invitations::{Invitations, Spent, Told};
use crate::command::{About, DeviceRole, Event, EventSink, InviteKind, Level, Question};

/// What a person says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Said {
    /// Whoever came is let in.
    Yes,
    /// The words are the same, as far as anybody was asked.
    Same,
    /// He is not, or whoever waited for him has gone away.
    No,
    /// The person who joins does not want to any more.
    Left,
}

/// Who is there to see and to answer.
#[derive(Default)]
pub(super) struct Reception<'a> {
    /// Of the command that joins.
    screen: Option<Screen<'a>>,
    /// What was shown there.
    words: Option<CompareWords>,
    /// What this device is going to be, as was shown with them.
    role: DeviceRole,
    /// Whoever waits beside the invitation, once it is known which one it is.
    waits: Option<mpsc::Sender<Told>>,
    /// What a vault is called here that comes with it.
    called: Option<String>,
    answer: Option<oneshot::Receiver<bool>>,
    /// Who came, by the name that it said.
    applicant: Option<String>,
    /// Whether he was let in.
    said_yes: bool,
    /// That somebody has gone away is said once.
    has_left: bool,
}

/// What whoever joins looks at.
#[derive(Clone, Copy)]
pub(super) struct Screen<'a> {
    pub(super) events: &'a EventSink,
    pub(super) invitations: &'a Invitations,
    pub(super) kind: InviteKind,
    /// Whether somebody is asked.
    pub(super) asks: bool,
}

impl<'a> Reception<'a> {
    /// Of a command that joins.
    pub(super) fn of_joiner(screen: Screen<'a>) -> Self {
        Self { screen: Some(screen), ..Self::default() }
    }
}

impl Reception<'_> {
    /// What was shown.
    pub(super) fn words(&self) -> Option<String> {
        self.words.map(|words| words.to_string())
    }

    /// What was shown beside them.
    pub(super) fn role(&self) -> DeviceRole {
        self.role
    }

    /// It is known now by which invitation the other side comes, and so who waits for it.
    pub(super) fn comes_with(&mut self, spent: Spent) {
        (self.waits, self.called) = (spent.waits, spent.called);
    }

    /// What a vault is to be called here.
    pub(super) fn called(&self) -> Option<String> {
        self.called.clone()
    }

    /// Shows the words to whoever joins, and what this device would be, and asks about them.
    pub(super) async fn show(&mut self, words: CompareWords, role: DeviceRole) -> Option<Said> {
        (self.words, self.role) = (Some(words), role);
        let Some(Screen { events, invitations, kind, asks }) = self.screen else {
            return Some(Said::Same);
        };
        if !asks {
            let said = format!(
                "the screen of the other device, if somebody waits there, has to show: {words}"
            );
            events.notice(Level::Normal, said);
            if kind == InviteKind::Device {
                let rights = role.rights();
                events.notice(Level::Normal, format!("of that vault this device may {rights}"));
            }
            return Some(Said::Same);
        }
        let (number, answered) = invitations.ask();
        let (words, about) = (words.to_string(), About::Joining { kind, role });
        let question = Question { number, words, about };
        if events.send(Event::Question(Box::new(question))).await.is_err() {
            return Some(Said::Left);
        }
        self.answer = Some(answered);
        None
    }

    /// Asks whether whoever came is let in; where nobody waits, he is.
    pub(super) async fn ask(&mut self, asked: Asked) -> Option<Said> {
        self.applicant = Some(asked.name.clone());
        let Some(waits) = &self.waits else { return Some(Said::Yes) };
        let (answer, answered) = oneshot::channel();
        if waits.send(Told::Asks(asked, answer)).await.is_err() {
            return Some(Said::No);
        }
        self.answer = Some(answered);
        None
    }

    /// Whoever came is let in from here on: his name.
    pub(super) fn lets_in(&mut self) -> Option<String> {
        self.said_yes = true;
        self.applicant.clone()
    }

    /// Whether somebody was let in, whatever became of it.
    pub(super) fn said_yes(&self) -> bool {
        self.said_yes
    }

    /// What a person says: the answer to a question, or by going away.
    pub(super) async fn says(&mut self) -> Said {
        if let Some(answer) = &mut self.answer {
            let events = self.screen.map(|screen| screen.events);
            let answered = tokio::select! {
                answered = answer => answered,
                () = gone(events) => Ok(false),
            };
            self.answer = None;
            return match (answered, events) {
                (Ok(true), None) => Said::Yes,
                (Ok(true), Some(_)) => Said::Same,
                // Whoever was asked may have gone away.
                (Ok(false) | Err(_), _) => Said::No,
            };
        }
        let said = match (&self.waits, self.screen) {
            _ if self.has_left => std::future::pending().await,
            (Some(waits), _) => {
                waits.closed().await;
                Said::No
            }
            (None, Some(screen)) => {
                screen.events.cancelled().await;
                Said::Left
            }
            (None, None) => std::future::pending().await,
        };
        self.has_left = true;
        said
    }

    /// Tells whoever waits what became of it.
    pub(super) async fn tell(self, ending: Ending) {
        if let Some(waits) = self.waits {
            let _gone = waits.send(Told::Ended(ending)).await;
        }
    }
}

/// Ends when whoever looks at this has gone away.
async fn gone(events: Option<&EventSink>) {
    match events {
        Some(events) => events.cancelled().await,
        None => std::future::pending().await,
    }
}
