//! Whether a holder is there, as it was learnt, and as the user said.

use serde::{Deserialize, Serialize};

use super::Time;

/// What the user says of a holder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Expectation {
    /// It will not come back.
    Lost,
    /// Nothing special: what was said before is over.
    Back,
    /// It will be away for so many seconds.
    Away(u64),
    /// What it is.
    Kind(HolderKind),
}

/// What a holder is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum HolderKind {
    /// Meant never to be off: a NAS, a server, an old PC in the cellar.
    AlwaysOn,
    /// May be off for a weekend or a journey.
    Laptop,
    /// May be off for weeks.
    Phone,
}

/// How a holder stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Presence {
    /// Not called yet.
    Unknown,
    /// Answered when it was last called.
    Here,
    /// Does not answer, as it did not before.
    Away,
    /// Does not answer for longer than usual.
    Suspect,
    /// Presumed lost, or said to be: its copies do not count.
    Lost,
}

/// What is known of a holder's comings and goings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attendance {
    /// How it stands.
    pub presence: Presence,
    /// What it is, as the user said; `laptop` when nothing was said.
    pub kind: HolderKind,
    /// Whether the user said that it is lost.
    pub said_lost: bool,
    /// Until when it is away, as the user said.
    pub away_until: Option<Time>,
    /// Of a hundred calls so many are answered; `null` while there were only few.
    pub availability_percent: Option<u64>,
    /// For how long it has been silent, as far as that counts.
    pub silent_ms: u64,
    /// After how long it is presumed lost.
    pub lost_after_ms: u64,
}

/// See [`Outcome::Expect`](super::Outcome::Expect).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExpectOutcome {
    /// Id of the device.
    pub device: String,
    /// Its name.
    pub name: String,
    /// How it stands now.
    #[serde(flatten)]
    pub attendance: Attendance,
}
