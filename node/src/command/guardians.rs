//! Guardians: who they are, who asks for the phrase, and what a guardian does.

use serde::{Deserialize, Serialize};

use super::{Secret, Time};

/// What is to be done about the guardians of this vault.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "act", rename_all = "kebab-case")]
pub enum GuardiansAct {
    /// Only tells.
    Show,
    /// Appoints these, in place of those before.
    Appoint {
        /// How many of them are enough.
        threshold: u8,
        /// How long holders keep the phrase back after it was asked for, in seconds.
        delay_s: u64,
        /// Names of their devices, or beginnings of ids.
        peers: Vec<String>,
        /// The recovery phrase.
        phrase: Secret,
    },
    /// Takes all shares back: there are no guardians any more.
    Dissolve {
        /// The recovery phrase.
        phrase: Secret,
    },
    /// Stops every request for the phrase that is open.
    Stop,
}

/// See [`Outcome::Guardians`](super::Outcome::Guardians).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct GuardiansOutcome {
    /// How many of them are enough; `null` while there are none.
    pub threshold: Option<u8>,
    /// How long holders wait.
    pub delay_ms: Option<u64>,
    /// When they were appointed.
    pub appointed: Option<Time>,
    /// Who they are.
    pub guardians: Vec<GuardianName>,
    /// Who asks, or has asked, for the phrase, as far as it is known here.
    pub requests: Vec<PhraseRequest>,
    /// Requests that this command has stopped.
    pub stopped: u32,
    /// Names of the nodes that know of what was done.
    pub told: Vec<String>,
    /// Names of those that learn of it when they are met.
    pub not_told: Vec<String>,
    /// Other vaults whose guardian this one is.
    pub guardian_of: Vec<GuardianOf>,
}

/// One guardian of this vault.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuardianName {
    /// Id of its vault.
    pub vault: String,
    /// What its device was called when it was appointed.
    pub name: String,
    /// Whether its vault has had another key since: a device that was thrown out there opens the share until the
    /// guardians are appointed anew.
    pub has_new_key: bool,
}

/// Somebody who has gathered shares and asks for the phrase.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PhraseRequest {
    /// Names it.
    pub id: String,
    /// What the machine calls itself that asks.
    pub from: String,
    /// When this node came to know of it.
    pub asked: Time,
    /// When the holder that was asked then gives the phrase.
    pub due: Time,
    /// Who has stopped it: a device, or `the phrase`; `null` while nobody has.
    pub stopped_by: Option<String>,
}

/// Another vault whose guardian this one is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuardianOf {
    /// Its id.
    pub vault: String,
    /// What one of its devices is called.
    pub name: String,
    /// How many of its guardians are enough.
    pub threshold: u8,
    /// How many there are.
    pub guardians: u32,
    /// When this device last handed the share to somebody.
    pub gave: Option<Time>,
}

/// See [`Outcome::Gave`](super::Outcome::Gave).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GaveOutcome {
    /// Id of the vault whose share it was.
    pub vault: String,
    /// What one of its devices is called.
    pub name: String,
    /// Shares that who asks has now.
    pub have: u8,
    /// How many are enough.
    pub needed: u8,
}

/// See [`Outcome::Gathered`](super::Outcome::Gathered).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GatheredOutcome {
    /// Vaults of which there are shares, those with enough of them first. One is the right one.
    pub vaults: Vec<GatheredVault>,
}

/// A vault of which shares were brought.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GatheredVault {
    /// Its id.
    pub vault: String,
    /// When it was made.
    pub founded: Time,
    /// Shares that are here.
    pub have: u8,
    /// Shares that are enough.
    pub needed: u8,
    /// How many guardians it has.
    pub guardians: u32,
    /// How long its holders wait.
    pub delay_ms: u64,
    /// Names of the devices that have brought them.
    pub helpers: Vec<String>,
}

/// See [`Outcome::Waiting`](super::Outcome::Waiting).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaitingOutcome {
    /// Id of the vault.
    pub vault: String,
    /// Names of the devices of the guardians that have helped.
    pub helpers: Vec<String>,
    /// Holders that were asked and wait.
    pub holders: u32,
    /// When the first of them gives the phrase.
    pub due: Time,
}
