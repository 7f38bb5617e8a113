//! Why a restore ended early. What concerns one file only is a problem, not an error.

use std::path::{Path, PathBuf};

use larder_protocol::{snapshot::SnapshotError, tree::read::ReadError};
use thiserror::Error;

use crate::{
    command::{Cancelled, ExitKind, Failure, count},
    engine::EngineError,
    files::{TargetError, called},
    state::StateError,
};

/// Why a restore ended early.
#[derive(Debug, Error)]
pub(crate) enum RestoreError {
    /// Whoever asked wants no more.
    #[error("interrupted")]
    Cancelled,
    /// Another thread of this restore failed; its error is the one to tell.
    #[error("another part of the restore failed")]
    Stopped,
    /// A mistake in this program.
    #[error("a thread of the restore panicked")]
    Panicked,
    /// The disk restored to is full.
    #[error("the disk of {} is full", .0.display())]
    Full(PathBuf),
    /// The target cannot be used at all.
    #[error("restoring to {}", .0.display())]
    Target(PathBuf, #[source] TargetError),
    /// A path that the snapshot does not have.
    #[error("the snapshot has no {}", .0.escape_ascii())]
    NoSuchPath(Vec<u8>),
    /// Some files are only with holders that cannot be reached.
    #[error("no holder can be reached that has {}", count(*.0, "file"))]
    Waiting(u64),
    /// The snapshot's record is not valid.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// Its tree cannot be read from the root.
    #[error(transparent)]
    Tree(#[from] ReadError<EngineError>),
    /// Disk, database or network of this node.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

impl RestoreError {
    /// What keeps the target `to` from being used.
    pub(super) fn of_target(to: &Path, error: TargetError) -> Self {
        match error {
            TargetError::Full => Self::Full(to.to_owned()),
            error => Self::Target(to.to_owned(), error),
        }
    }

    /// The most telling of several: what made the others stop.
    pub(super) fn first(errors: impl IntoIterator<Item = Self>) -> Result<(), Self> {
        let mut first = None;
        for error in errors {
            match first {
                None | Some(Self::Stopped) => first = Some(error),
                Some(_) => {}
            }
        }
        first.map_or(Ok(()), Err)
    }
}

/// What is said of an entry that has no place in the target, without its path.
pub(super) fn told(error: &TargetError) -> String {
    match error {
        TargetError::InTheWay { there, wanted, .. } => format!(
            "{} is in the way of {} and was kept: move it away and run the same command again, \
             or give --overwrite always",
            called(*there),
            called(*wanted),
        ),
        TargetError::NotEmpty { .. } => "a folder with entries is in the way, and those are never \
             deleted: move it away and run the same command again"
            .to_owned(),
        error => one_line(error),
    }
}

/// An error with its causes in one line.
pub(crate) fn one_line(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.ends_with(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = error.source();
    }
    text
}

impl From<Cancelled> for RestoreError {
    fn from(_: Cancelled) -> Self {
        Self::Cancelled
    }
}

impl From<StateError> for RestoreError {
    fn from(error: StateError) -> Self {
        Self::Engine(error.into())
    }
}

impl From<RestoreError> for Failure {
    fn from(error: RestoreError) -> Self {
        const AGAIN: &str = "run the same command again: what is done is not done twice";
        match error {
            RestoreError::Cancelled | RestoreError::Stopped => Self::interrupted(),
            RestoreError::Engine(error) | RestoreError::Tree(ReadError::Fetch(error)) => {
                error.into()
            }
            RestoreError::Full(_) => Self::from_error("restoring", &error).hint(
                "free some space there, then run the same command again: what is done is not done twice",
            ),
            RestoreError::Target(_, TargetError::Busy) => {
                Self::from_error("cannot go on", &error).hint("wait for it to end")
            }
            RestoreError::Target(_, TargetError::RootNotDirectory) => {
                Self::from_error("cannot go on", &error)
                    .hint("name a directory with --to; it is made when it does not exist")
            }
            RestoreError::Target(
                _,
                TargetError::InTheWay { .. } | TargetError::NotEmpty { .. },
            ) => Self::from_error("nothing was restored", &error)
                .hint("move it away, or name another directory with --to"),
            RestoreError::Target(..) => Self::from_error("cannot go on", &error)
                .hint("name a directory that you can write to with --to"),
            RestoreError::NoSuchPath(_) => Self::from_error("nothing was restored", &error)
                .hint("see `larder ls SNAP` for what it has; paths count from its root"),
            RestoreError::Waiting(_) => Self {
                kind: ExitKind::Holders,
                ..Self::from_error("the restore is not complete", &error)
            }
            .hint(
                "see `larder peers` for who holds what, start those devices, and run the same \
                 command again: what is done is not done twice",
            ),
            RestoreError::Snapshot(_) | RestoreError::Tree(_) => {
                Self::from_error("the snapshot cannot be read", &error)
                    .hint("run `larder doctor`, or restore an earlier one: see `larder snapshots`")
            }
            RestoreError::Panicked => Self::internal(&error).hint(AGAIN),
        }
    }
}
