//! What a command says while it works, and how it learns that nobody listens any more.
//!
//! **Invariant:** the channel is bounded. Rows and bytes wait for room (back-pressure reaches the
//! socket and the terminal); progress never waits, a newer figure replaces a lost one.

use serde::{Deserialize, Serialize};
use thiserror::Error;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{Failure, InviteOutcome, Problem, Question, Row, text::base64_bytes};

/// Events waiting for the reader. Bytes come in pieces of at most 256 KiB, so 16 MiB at worst.
const EVENTS_MAX: usize = 64;

/// Something said on the way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", content = "value", rename_all = "kebab-case")]
pub enum Event {
    /// How far it is.
    Progress(Progress),
    /// A sentence for a person.
    Notice {
        /// How loud.
        level: Level,
        /// The sentence.
        text: String,
    },
    /// A file that could not be read or written; the rest goes on.
    Problem(Problem),
    /// An invitation is open, and is waited beside.
    Invited(Box<InviteOutcome>),
    /// Something that a person has to decide.
    Question(Box<Question>),
    /// One line of a listing. Every row of one command is of one kind.
    Row(Row),
    /// The next bytes of a file, at most 256 KiB.
    Bytes(#[serde(with = "base64_bytes")] Vec<u8>),
}

/// How loud a notice is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// Shown with `--verbose`.
    Detail,
    /// Shown unless `--quiet`.
    Normal,
    /// Always shown.
    Warning,
}

/// What a long command is doing. Counters of one stage only grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// Walking folders.
    Scanning,
    /// Reading, sealing and packing files.
    Reading,
    /// Sending shards to holders.
    Sending,
    /// Nothing can be sent now: waiting for holders or for room in the spool.
    Waiting,
    /// Asking holders for logs, heads and indexes.
    Asking,
    /// Something is to be fetched and nothing comes: looking for holders that can be reached.
    Looking,
    /// Fetching shards.
    Fetching,
    /// Writing restored files.
    Writing,
    /// Reading back what is kept.
    Verifying,
    /// Making anew what is sealed under older keys.
    Rekeying,
    /// Holders say whether they have what they signed for.
    Confirming,
}

/// Figures of one stage. Rate and time left are the reader's to work out: it has a clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// What is being done.
    pub stage: Stage,
    /// Bytes done.
    pub bytes_done: u64,
    /// Bytes in all, when known; it may grow.
    pub bytes_total: Option<u64>,
    /// Files (or shards, or holders) done.
    pub files_done: u64,
    /// Files in all, when known.
    pub files_total: Option<u64>,
}

impl Progress {
    /// A stage that has just begun.
    pub const fn new(stage: Stage) -> Self {
        Self { stage, bytes_done: 0, bytes_total: None, files_done: 0, files_total: None }
    }
}

/// Whoever asked is gone, or wants the command to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("interrupted")]
pub struct Cancelled;

impl From<Cancelled> for Failure {
    fn from(_: Cancelled) -> Self {
        Self::interrupted()
    }
}

/// The engine's end of a command: says things, and knows when to stop. Cheap to clone.
#[derive(Debug, Clone)]
pub struct EventSink {
    events: mpsc::Sender<Event>,
    cancel: CancellationToken,
    is_watched: bool,
}

/// The reader's end. Dropping it cancels the command.
#[derive(Debug)]
pub struct EventStream {
    events: mpsc::Receiver<Event>,
    cancel: CancellationToken,
}

impl EventSink {
    /// A sink and its stream; `cancel` asks the command to stop.
    pub fn channel(cancel: CancellationToken) -> (Self, EventStream) {
        let (sender, receiver) = mpsc::channel(EVENTS_MAX);
        (
            Self { events: sender, cancel: cancel.clone(), is_watched: true },
            EventStream { events: receiver, cancel },
        )
    }

    /// Whether anybody sees what is told: work for the display alone can be spared otherwise.
    pub fn is_watched(&self) -> bool {
        self.is_watched
    }

    /// A sink that swallows everything: for work that nobody asked for.
    pub fn nobody(cancel: CancellationToken) -> Self {
        let (sender, mut receiver) = mpsc::channel(EVENTS_MAX);
        tokio::spawn(async move { while receiver.recv().await.is_some() {} });
        Self { events: sender, cancel, is_watched: false }
    }

    /// Says something that must arrive; waits while the reader is slow.
    ///
    /// # Errors
    /// [`Cancelled`] when the reader is gone or the command shall stop.
    pub async fn send(&self, event: Event) -> Result<(), Cancelled> {
        tokio::select! {
            biased;
            () = self.cancel.cancelled() => Err(Cancelled),
            sent = self.events.send(event) => sent.map_err(|_| Cancelled),
        }
    }

    /// [`send`](Self::send) for a thread outside the runtime.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn blocking_send(&self, event: Event) -> Result<(), Cancelled> {
        self.check()?;
        self.events.blocking_send(event).map_err(|_| Cancelled)
    }

    /// Streams one line of a listing.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub async fn row(&self, row: impl Into<Row>) -> Result<(), Cancelled> {
        self.send(Event::Row(row.into())).await
    }

    /// Tells of a file that could not be read or written.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub async fn problem(&self, problem: Problem) -> Result<(), Cancelled> {
        self.send(Event::Problem(problem)).await
    }

    /// Says a sentence to the person. Dropped when the reader is far behind.
    pub fn notice(&self, level: Level, text: impl Into<String>) {
        let _full_or_gone = self.events.try_send(Event::Notice { level, text: text.into() });
    }

    /// Tells how far it is; never waits, from any thread. Call it as often as convenient but not
    /// per file: 5 to 10 times a second is what a reader can show.
    pub fn progress(&self, progress: Progress) {
        let _full_or_gone = self.events.try_send(Event::Progress(progress));
    }

    /// Whether the command shall stop, as an error to return with `?`.
    ///
    /// # Errors
    /// [`Cancelled`] when it shall.
    pub fn check(&self) -> Result<(), Cancelled> {
        if self.cancel.is_cancelled() || self.events.is_closed() { Err(Cancelled) } else { Ok(()) }
    }

    /// Completes when the command shall stop.
    pub async fn cancelled(&self) {
        tokio::select! {
            () = self.cancel.cancelled() => {}
            () = self.events.closed() => {}
        }
    }

    /// The token itself, for work that is spawned.
    pub fn token(&self) -> &CancellationToken {
        &self.cancel
    }
}

impl EventStream {
    /// The next event; `None` when the command has ended and everything has been read.
    pub async fn next(&mut self) -> Option<Event> {
        self.events.recv().await
    }

    /// An event that is there already. After the command has ended that is all of them.
    pub fn try_next(&mut self) -> Option<Event> {
        self.events.try_recv().ok()
    }
}

impl Drop for EventStream {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}
