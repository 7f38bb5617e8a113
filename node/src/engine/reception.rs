//! The person at this end of a pairing: sees the words to compare, and is asked about whoever comes.

use larder_protocol::pairing::{Asked, CompareWords, Ending, Input};
use tokio::sync::{mpsc, oneshot};

use super::invitations::Told;
use crate::command::{EventSink, Level};

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
                "the other screen has to show the same two words, if somebody waits there: {words}"
            );
            screen.notice(Level::Normal, said);
        }
    }

    /// Asks whether whoever came is let in; where nobody waits, he is.
    pub(super) async fn ask(&mut self, asked: Asked) -> Option<Input> {
        let Some(waits) = &self.waits else { return Some(Input::Accepted) };
        let (answer, answered) = oneshot::channel();
        if waits.send(Told::Asks(asked, answer)).await.is_err() {
            return Some(Input::Declined);
        }
        self.answer = Some(answered);
        None
    }

    /// What a person says: an answer where one was asked, or that he does not want to join any more.
    pub(super) async fn says(&mut self) -> Input {
        if let Some(answer) = &mut self.answer {
            let answered = answer.await;
            self.answer = None;
            // Whoever was asked may have gone away.
            return if answered.unwrap_or(false) { Input::Accepted } else { Input::Declined };
        }
        match self.screen {
            Some(screen) => screen.cancelled().await,
            None => std::future::pending().await,
        }
        Input::Lost
    }

    /// Tells whoever waits what became of it.
    pub(super) async fn tell(self, ending: Ending) {
        if let Some(waits) = self.waits {
            let _gone = waits.send(Told::Ended(ending)).await;
        }
    }
}
