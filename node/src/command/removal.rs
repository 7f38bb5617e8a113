//! Of `revoke`: a device is removed from the vault.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use super::Time;

/// Why a device is removed: decides what people are told to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RemovalReason {
    /// Nobody knows where it is.
    #[default]
    Lost,
    /// Somebody else has it.
    Stolen,
    /// Another device took its place.
    Replaced,
}

/// A device that was removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Removal {
    /// Why.
    pub reason: RemovalReason,
    /// When, by the clock of the device where it was said.
    pub at: Option<Time>,
    /// Name of the device where it was said; `null` when it was said with the phrase.
    pub by: Option<String>,
}

/// See [`Outcome::Revoke`](super::Outcome::Revoke).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RevokeOutcome {
    /// Id of the device.
    pub device: String,
    /// Name.
    pub name: String,
    /// Why it was removed.
    pub reason: RemovalReason,
    /// When what it saved last was saved; that and all before stays restorable.
    pub last_saved: Option<Time>,
    /// Names of the nodes that know of it and refuse the device from now on.
    pub told: Vec<String>,
    /// Names of those that will learn of it when they are met.
    pub not_told: Vec<String>,
    /// Names of the vaults whose guardian this one is: the removed device opens the shares that it keeps.
    pub guardian_of: Vec<String>,
}
