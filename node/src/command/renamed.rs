//! Of `rename`: a device is called differently.

use serde::{Deserialize, Serialize};

/// See [`Outcome::Rename`](super::Outcome::Rename).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RenameOutcome {
    /// Id of the device.
    pub device: String,
    /// Its name now.
    pub name: String,
    /// Its name before.
    pub before: String,
    /// Names of the nodes that know of it.
    pub told: Vec<String>,
    /// Names of those that will learn of it when they are met.
    pub not_told: Vec<String>,
}
