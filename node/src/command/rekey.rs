//! Of `rekey`: what is sealed under older keys, and what removed devices could read.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use super::{ExitKind, RemovalReason, Time};

/// What is to be done about packs that are sealed under older keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RekeyAct {
    /// They are made anew by and by.
    Want,
    /// All of it at once, while somebody waits.
    Now,
    /// Nothing: only tells.
    Show,
    /// They are not made anew any more.
    Stop,
}

/// See [`Outcome::Rekey`](super::Outcome::Rekey).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RekeyOutcome {
    /// What was asked.
    pub act: RekeyAct,
    /// Number of the key that everything new is sealed with.
    pub key: u32,
    /// How far it is, `null` when nobody wants it or it is done.
    pub wanted: Option<RekeyProgress>,
    /// Whether manifest and index of this device are still under an older key.
    pub index_behind: bool,
    /// Packs that can be made anew, by the key that they are sealed with.
    pub older: Vec<OlderKey>,
    /// Bytes of those that are not on this device and are fetched first.
    pub fetch_bytes: u64,
    /// About how much is sent to holders, all copies together.
    pub send_bytes: u64,
    /// Packs with manifest and index of removed devices, which nobody can make anew.
    pub signed_packs: u64,
    /// Their bytes.
    pub signed_bytes: u64,
    /// Packs under older keys that nobody has any more, as far as is known.
    pub lost_packs: u64,
    /// Removed devices and what they could read, the last removed first.
    pub removed: Vec<RemovedReader>,
    /// Other devices of the vault that claim packs under older keys.
    pub others: Vec<OtherClaims>,
    /// Days that holders keep old packs at least.
    pub retention_days: u64,
    /// The same for what is a quarter of the vault or more within a week.
    pub mass_retention_days: u64,
}

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RekeyProgress {
    /// Everything is to be under this key or a later one.
    pub key: u32,
    /// Since when.
    pub since: Time,
    /// Packs that were made anew since, and their bytes.
    pub moved_packs: u64,
    /// Bytes of those.
    pub moved_bytes: u64,
    /// Packs that are left, and their bytes.
    pub behind_packs: u64,
    /// Bytes of those.
    pub behind_bytes: u64,
}

/// What is sealed with one older key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct OlderKey {
    /// Its number.
    pub key: u32,
    /// Packs.
    pub packs: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// A removed device, and what it could read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemovedReader {
    /// Its id.
    pub device: String,
    /// Its name.
    pub name: String,
    /// Why it was removed.
    pub reason: RemovalReason,
    /// When, by the clock of the device where that was said.
    pub at: Time,
    /// Number of the newest key that it had; it opens that and every one before.
    pub key: Option<u32>,
    /// Snapshots that are still here and were begun until then: these at least it could read.
    pub snapshots: u64,
    /// Packs that are claimed here, can be made anew and are still sealed with keys that it had.
    pub packs: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Lists under such keys that removed devices have signed and nobody can make anew.
    pub signed_packs: u64,
    /// Packs under such keys that nobody has any more, as far as is known.
    pub lost_packs: u64,
}

/// What another device of the vault claims.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OtherClaims {
    /// Its id.
    pub device: String,
    /// Its name.
    pub name: String,
    /// Packs under older keys.
    pub packs: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl RekeyOutcome {
    /// Whether anything is left that this device can do.
    pub fn is_behind(&self) -> bool {
        self.index_behind || !self.older.is_empty()
    }

    pub(super) fn exit_kind(&self) -> ExitKind {
        // What could not be had, or could not be made safe, is wanted still.
        let is_short = self.act == RekeyAct::Now && (self.is_behind() || self.wanted.is_some());
        if is_short { ExitKind::Holders } else { ExitKind::Done }
    }
}
