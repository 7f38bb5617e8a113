//! What `recover --dry-run` comes to.

use serde::{Deserialize, Serialize};

use super::{ExitKind, PathField, Time};

/// See [`Outcome::Trial`](super::Outcome::Trial).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrialOutcome {
    /// Id of the vault of this phrase.
    pub vault: String,
    /// Whether this home belongs to it.
    pub own: bool,
    /// When the phrase was proved to work; `null` where the newest state of some device could not be read.
    pub proved: Option<Time>,
    /// Holders that answered: witnesses of the newest heads.
    pub witnesses_answered: u32,
    /// Holders that are known.
    pub witnesses_known: u32,
    /// All of them.
    pub holders: Vec<TrialHolder>,
    /// What would come back, oldest first.
    pub snapshots: Vec<TrialSnapshot>,
    /// What would not, as far as those who answered tell.
    pub unread: Vec<TrialLack>,
}

/// A holder that was asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrialHolder {
    /// Id of its device.
    pub device: String,
    /// Its name, as a manifest that was read has it.
    pub name: String,
    /// Whether it answered.
    pub answered: bool,
}

/// A snapshot that would come back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrialSnapshot {
    /// Id.
    pub snapshot: String,
    /// When it was begun.
    pub time: Time,
    /// Id of the device that made it.
    pub device: String,
    /// Name of that device.
    pub device_name: String,
    /// The folder.
    #[serde(flatten)]
    pub path: PathField,
    /// Files in it (everything that is no directory).
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Whether it holds the whole folder.
    pub complete: bool,
}

/// Something of a device that those who answered did not give.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrialLack {
    /// Id of the device whose state it is.
    pub device: String,
    /// Its name.
    pub device_name: String,
    /// In one line.
    pub what: String,
}

impl TrialOutcome {
    pub(super) const fn exit_kind(&self) -> ExitKind {
        if self.proved.is_some() { ExitKind::Done } else { ExitKind::Holders }
    }
}
