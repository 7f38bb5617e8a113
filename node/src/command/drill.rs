//! What a restore drill came to.

use serde::{Deserialize, Serialize};

use super::{Blame, ExitKind, PathField, Time};

/// See [`Outcome::Drill`](super::Outcome::Drill).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DrillOutcome {
    /// Folders whose newest complete snapshots were drawn from.
    pub folders: u64,
    /// Files that were read, or tried; a folder that cannot be looked into counts as one.
    pub files: u64,
    /// Bytes of them that came from holders and are as they were backed up.
    pub bytes: u64,
    /// Files that stand here unchanged, and were compared byte by byte.
    pub compared: u64,
    /// Who gave the bytes, most first.
    pub holders: Vec<ServingHolder>,
    /// What is not as it should be, at most one for each file.
    pub failed: Vec<FailedFile>,
    /// Holders that did something wrong, though another one may have helped out.
    pub blamed: Vec<Blame>,
    /// Bytes that came from holders, with what describes the files.
    pub fetched_bytes: u64,
    /// How long it took.
    pub duration_ms: u64,
}

/// A holder that gave bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServingHolder {
    /// Id of its device.
    pub device: String,
    /// Its name.
    pub name: String,
    /// Verified bytes that it gave.
    pub bytes: u64,
}

/// A file that a drill could not bring back, or not as it stands here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedFile {
    /// Where it was on its device; the folder where that cannot be looked into.
    #[serde(flatten)]
    pub path: PathField,
    /// The kind of failure.
    pub why: DrillFailure,
    /// The same in one line.
    pub what: String,
}

/// Why a file is not as it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DrillFailure {
    /// No holder can give it, and everybody who might have it was reached. Exit code 1.
    Lost,
    /// What came is what was backed up, and what stands here is something else, though its length and
    /// its time are the same. Exit code 1.
    Differs,
    /// Holders that might have it could not be reached. Exit code 4.
    Away,
    /// No holder was given it yet. Exit code 4.
    OnlyHere,
}

/// The last drill, as `status` tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastDrill {
    /// When it ended.
    pub time: Time,
    /// Files that were read, or tried.
    pub files: u64,
    /// Bytes of them that came back.
    pub bytes: u64,
    /// Files that did not.
    pub failed: u64,
}

impl DrillOutcome {
    pub(super) fn exit_kind(&self) -> ExitKind {
        let is_bad =
            |one: &FailedFile| matches!(one.why, DrillFailure::Lost | DrillFailure::Differs);
        if self.failed.is_empty() {
            ExitKind::Done
        } else if self.failed.iter().any(is_bad) {
            ExitKind::Failed
        } else {
            ExitKind::Holders
        }
    }
}
