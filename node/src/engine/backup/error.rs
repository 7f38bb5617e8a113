//! Why a backup ended before its time.

use std::path::Path;

use larder_protocol::{pack::BuildError, tree::builder::TreeError};
use rustix::io::Errno;
use thiserror::Error;

use crate::{
    command::{Cancelled, Failure, count},
    depot::DepotError,
    engine::EngineError,
    files::WalkError,
    state::StateError,
};

/// Why a folder could not be backed up. What was durable before stays.
#[derive(Debug, Error)]
pub(crate) enum BackupError {
    /// The folder cannot be walked.
    #[error(transparent)]
    Walk(#[from] WalkError),
    /// A tree that breaks its own rules: a fault of this program.
    #[error("the tree of the folder could not be built")]
    Tree(#[from] TreeError),
    /// A chunk could not be sealed, or did not open again to what it was.
    #[error("a chunk could not be sealed")]
    Seal(#[from] BuildError),
    /// The depot could not take a pack.
    #[error(transparent)]
    Depot(#[from] DepotError),
    /// The index could not be used.
    #[error(transparent)]
    State(#[from] StateError),
    /// The commit did not succeed.
    #[error(transparent)]
    Engine(Box<EngineError>),
    /// Not one file is there to be saved, and nobody has said that this is as it should be: more likely a
    /// disk is not there.
    #[error("not one file is in it")]
    Emptied {
        /// Files in snapshots before.
        files: u64,
        /// What could not be read.
        unreadable: u64,
    },
    /// The system gave no random bytes.
    #[error("the system gave no random bytes")]
    Randomness,
    /// The user wants to stop.
    #[error("interrupted")]
    Cancelled,
    /// Another thread of the run has failed; its error is the one to show.
    #[error("the backup stopped")]
    Stopped,
    /// A thread panicked: a fault of this program.
    #[error("a part of the backup failed unexpectedly")]
    Panicked,
}

impl BackupError {
    /// Whether it is the fault of the folder alone: others can be backed up all the same.
    pub(crate) const fn is_of_folder(&self) -> bool {
        let is_of_tree = matches!(self, Self::Walk(_) | Self::Tree(_) | Self::Seal(_));
        is_of_tree || matches!(self, Self::Emptied { .. } | Self::Panicked)
    }

    /// How the person is told that the folder at `root` could not be backed up.
    pub(crate) fn of_folder(&self, root: &Path) -> Failure {
        let shown = root.display();
        let failed = || Failure::from_error(format!("backing up {shown}"), self);
        if let Self::Emptied { files, unreadable } = self {
            return emptied(&shown.to_string(), *files, *unreadable);
        }
        let Self::Walk(WalkError::Root(errno)) = self else {
            return failed().hint("`larder folders` shows what is backed up");
        };
        match *errno {
            Errno::NOENT => Failure::failed(format!("there is no folder {shown}")).hint(
                "connect the disk that it is on, or take it off the list with `larder remove`",
            ),
            Errno::NOTDIR => Failure::failed(format!("{shown} is a file, not a folder")).hint(
                "back up the folder in which it stands, and leave out the rest with --exclude",
            ),
            _ => failed().hint("run larder as a user who may read the folder"),
        }
    }

    /// The cause among several errors: not those that only say that another part has failed.
    pub(super) fn first<T>(errors: Vec<Self>, made: Result<T, Self>) -> Result<T, Self> {
        let (value, last) = match made {
            Ok(value) => (Some(value), None),
            Err(error) => (None, Some(error)),
        };
        let mut all: Vec<Self> = errors.into_iter().chain(last).collect();
        let cause = all.iter().position(|error| !matches!(error, Self::Stopped));
        match (value, cause) {
            (Some(value), _) if all.is_empty() => Ok(value),
            (_, Some(cause)) => Err(all.swap_remove(cause)),
            (_, None) => Err(Self::Stopped),
        }
    }
}

fn emptied(shown: &str, files: u64, unreadable: u64) -> Failure {
    let before = match files {
        0 => String::new(),
        files => format!(", and {} were in it before", count(files, "file")),
    };
    if unreadable > 0 {
        return Failure::failed(format!("not one file in {shown} can be read{before}")).hint(
            "run larder as a user who may read the folder; `larder backup` names each error",
        );
    }
    Failure::failed(format!("{shown} is empty{before}")).hint(
        "connect the disk that it is on; if nothing of it is to be saved, say so once with \
         `larder backup`",
    )
}

impl From<EngineError> for BackupError {
    fn from(error: EngineError) -> Self {
        Self::Engine(Box::new(error))
    }
}

impl From<Cancelled> for BackupError {
    fn from(_: Cancelled) -> Self {
        Self::Cancelled
    }
}
