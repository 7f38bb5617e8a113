//! The person at this end of a pairing: sees the words to compare, and is asked about whoever comes.

use larder_protocol::pairing::{Asked, CompareWords, Ending};
use tokio::sync::{mpsc, oneshot};

use super::invitations::Told;
use crate::command::{EventSink, Level};

/// What a person says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Said {
    /// Whoever came is let in.
    Yes,
    /// He is not, or whoever waited for him has gone away.
    No,
    /// The person who joins does not want to any more.
    Left,
}

/// Who is there to see and to answer.
#[derive(Default)]
pub(super) struct Reception<'a> {
    /// Of the command that joins.
    screen: Option<&'a EventSink>,
    /// What was shown there.
    words: Option<CompareWords>,
    /// Whoever waits beside the invitation, once it is known which one it is.
    waits: Option<mpsc::Sender<Told>>,
    answer: Option<oneshot::Receiver<bool>>,
    /// That somebody has gone away is said once.
    has_left: bool,
}

impl<'a> Reception<'a> {
    /// Of a command that joins.
    pub(super) fn of_joiner(screen: &'a EventSink) -> Self {
        Self { screen: Some(screen), ..Self::default() }
    }
}

impl Reception<'_> {
    /// What was shown.
    pub(super) fn words(&self) -> Option<String> {
        self.words.map(|words| words.to_string())
    }

    /// It is known now by which invitation the other side comes, and so who waits for it.
    pub(super) fn comes_with(&mut self, waits: Option<mpsc::Sender<Told>>) {
        self.waits = waits;
    }

    pub(super) fn show(&mut self, words: CompareWords) {
        self.words = Some(words);
        if let Some(screen) = self.screen {
            let said = format!(
                "the screen of the other device, if somebody waits there, has to show: {words}"
            );
            screen.notice(Level::Normal, said);
        }
    }

    /// Asks whether whoever came is let in; where nobody waits, he is.
    pub(super) async fn ask(&mut self, asked: Asked) -> Option<Said> {
        let Some(waits) = &self.waits else { return Some(Said::Yes) };
        let (answer, answered) = oneshot::channel();
        if waits.send(Told::Asks(asked, answer)).await.is_err() {
            return Some(Said::No);
        }
        self.answer = Some(answered);
        None
    }

    /// What a person says: the answer to a question, or by going away.
    pub(super) async fn says(&mut self) -> Said {
        if let Some(answer) = &mut self.answer {
            let answered = answer.await;
            self.answer = None;
            // Whoever was asked may have gone away.
            return if answered.unwrap_or(false) { Said::Yes } else { Said::No };
        }
        let said = match (&self.waits, self.screen) {
            _ if self.has_left => std::future::pending().await,
            (Some(waits), _) => {
                waits.closed().await;
                Said::No
            }
            (None, Some(screen)) => {
                screen.cancelled().await;
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
