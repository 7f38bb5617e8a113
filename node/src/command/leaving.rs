//! Of `leave`: two vaults of a circle go apart.

use serde::{Deserialize, Serialize};

use super::Time;

/// What is to be done about another vault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LeaveAct {
    /// Nothing: only tells how it stands, or would.
    Show,
    /// It is left.
    Want,
    /// It is not left any more.
    Cancel,
    /// What it keeps is given up, though it is not everywhere else.
    GiveUp,
    /// What is kept for it goes when its devices need it no more, without a wait.
    Drop,
    /// What is kept for it goes now, needed or not.
    DropRegardless,
}

/// See [`Outcome::Leave`](super::Outcome::Leave).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaveOutcome {
    /// What was asked.
    pub act: LeaveAct,
    /// The vault that was named, or all from which this one goes apart.
    pub circles: Vec<LeavingCircle>,
}

/// Who wishes to leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WhoLeaves {
    /// This vault.
    Us,
    /// The other one.
    Them,
    /// Both.
    Both,
}

/// How this vault and another one stand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "one for each key of the document")]
pub struct LeavingCircle {
    /// The other vault.
    pub vault: String,
    /// What its devices are called.
    pub name: String,
    /// Who wishes to leave; `null` while nobody does.
    pub who: Option<WhoLeaves>,
    /// Since when.
    pub since: Option<Time>,
    /// How far the devices of this vault are.
    pub ours: LeavingSide,
    /// How far those of the other one are.
    pub theirs: LeavingSide,
    /// What it keeps for this device.
    pub there: Kept,
    /// On how many sites each pack is wanted while its holders count.
    pub copies_now: u32,
    /// And without them.
    pub copies_after: u32,
    /// Shards that are kept here for it.
    pub kept_shards: u64,
    /// Their bytes.
    pub kept_bytes: u64,
    /// Days until these go, once its devices need them no more; `null` while they may.
    pub days_left: Option<u32>,
    /// How many days that are in all.
    pub wait_days: u32,
    /// Whether one of its devices knows all of this.
    pub told: bool,
    /// Whether it is a guardian of this vault.
    pub guards_us: bool,
    /// Whether this vault is a guardian of it.
    pub guards_them: bool,
    /// Whether it is over: nothing is known of it here any more.
    pub done: bool,
}

/// How far the devices of one vault are.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct LeavingSide {
    /// Whether all of them have said that they do not need what the other side keeps.
    pub waived: bool,
    /// Those that have not, by name, or by id where the name is not known here.
    pub waits_for: Vec<String>,
}

/// What a vault keeps for this device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// Packs.
    pub packs: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Those of them that are on too few sites without it.
    pub moving_packs: u64,
    /// Their bytes.
    pub moving_bytes: u64,
    /// Whether the newest list of what there is is elsewhere as well.
    pub head_elsewhere: bool,
}
