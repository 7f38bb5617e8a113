//! What `join` comes to.

use serde::{Deserialize, Serialize};

use super::{DeviceRole, InviteKind};

/// See [`Outcome::Join`](super::Outcome::Join).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JoinOutcome {
    /// What was joined: the vault, or its circle.
    pub kind: InviteKind,
    /// What this device is now. Of no meaning where a circle was joined.
    #[serde(default)]
    pub role: DeviceRole,
    /// Id of the inviting vault.
    pub vault: String,
    /// Id of the inviting device.
    pub device: String,
    /// Name of the inviting device.
    pub name: String,
    /// Words that both screens show.
    pub words: Option<String>,
    /// Whether a person here has said that they are the same.
    #[serde(default)]
    pub compared: bool,
    /// Household of this device.
    pub site: String,
    /// Whether the inviting device names the same household: copies on both count as one.
    pub same_site: bool,
}
