//! What `log` shows.

use serde::{Deserialize, Serialize};

use super::Time;

/// Which record a line is from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogSource {
    /// The vault's device log, signed by the device or the phrase that did it.
    DeviceLog,
    /// This node's audit trail, signed by this device.
    Trail,
}

/// One line of `log`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// When, by the clock of whoever signed it.
    pub time: Time,
    /// Which record it is from.
    pub source: LogSource,
    /// What it is: a word for scripts, such as `add` or `phrase-came`.
    pub what: String,
    /// A sentence.
    pub text: String,
    /// Whether it has an effect: acts of a device that was removed meanwhile have none.
    pub counts: bool,
    /// The bytes as they were signed and are kept, in base64.
    pub signed: String,
}

/// See [`Outcome::Log`](super::Outcome::Log).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogOutcome {
    /// Id of the vault.
    pub vault: String,
    /// Id of the device whose trail it is.
    pub device: String,
    /// How many lines there were.
    pub lines: u64,
}
