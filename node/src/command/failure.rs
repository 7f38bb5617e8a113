//! Why a command did not do what it was asked: what happened, and what to do next.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Kinds of endings, each with its exit code. Source: specs/command_line.md, CLI-2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ExitKind {
    /// 0: done.
    Done,
    /// 1: failed.
    Failed,
    /// 2: the command line makes no sense.
    Usage,
    /// 3: done, but some files could not be read or written.
    Unreadable,
    /// 4: not enough holders could be reached.
    Holders,
    /// 5: wrong phrase or key.
    Key,
    /// 130: interrupted.
    Interrupted,
}

impl ExitKind {
    /// The exit code of the process.
    pub const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Unreadable => 3,
            Self::Holders => 4,
            Self::Key => 5,
            Self::Interrupted => 130,
        }
    }
}

/// The unhappy end of a command. Both texts are one line, without a full stop in the end, and
/// hold no key and no phrase.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Which exit code.
    pub kind: ExitKind,
    /// What happened.
    pub message: String,
    /// What the person can do about it.
    pub hint: Option<String>,
}

impl Failure {
    /// A failure of a kind.
    pub fn new(kind: ExitKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), hint: None }
    }

    /// An ordinary failure, exit code 1.
    pub fn failed(message: impl Into<String>) -> Self {
        Self::new(ExitKind::Failed, message)
    }

    /// A request that makes no sense, exit code 2.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(ExitKind::Usage, message)
    }

    /// The end after Ctrl-C or a vanished client, exit code 130.
    pub fn interrupted() -> Self {
        Self::new(ExitKind::Interrupted, "interrupted")
    }

    /// A mistake in this program.
    pub fn internal(error: &dyn fmt::Display) -> Self {
        Self::failed(format!("internal error: {error}"))
            .hint("this should not happen: please report it with the lines before")
    }

    /// An ordinary failure with the error and its causes in one line: "doing what: why: why".
    pub fn from_error(doing: impl fmt::Display, error: &(dyn std::error::Error + 'static)) -> Self {
        let mut message = format!("{doing}: {error}");
        let mut cause = error.source();
        while let Some(error) = cause {
            let text = error.to_string();
            // Many errors print their cause themselves.
            if !message.ends_with(&text) {
                message.push_str(": ");
                message.push_str(&text);
            }
            cause = error.source();
        }
        Self::failed(message)
    }

    /// The same with advice.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}
