//! What `invite` comes to, and what it asks on the way.

use serde::{Deserialize, Serialize};

use super::{ByteSize, DeviceRole, InviteKind, Time};

/// What `invite` does once the invitation is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Waiting {
    /// Ends; the invitation stays open.
    #[default]
    No,
    /// Waits until somebody has come, and lets him in.
    Report,
    /// Waits, and asks whether whoever comes is let in.
    Ask,
}

/// What another vault gets that comes with an invitation.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Guest {
    /// Bytes that it may keep here; `None` for as many as are offered in all.
    pub allowed: Option<ByteSize>,
    /// What it is called here; `None` for the name of the device that joins.
    pub called: Option<String>,
}

/// See [`Outcome::Invite`](super::Outcome::Invite).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InviteOutcome {
    /// The text for `join`. Whoever has it can join until it is used or expires.
    pub code: String,
    /// Whom it invites.
    pub kind: InviteKind,
    /// What a new device becomes. Of no meaning for another vault.
    #[serde(default)]
    pub role: DeviceRole,
    /// Bytes that another vault may keep here; `None` for as many as are offered in all.
    #[serde(default)]
    pub allowed_bytes: Option<u64>,
    /// When it expires.
    pub expires: Time,
    /// A code for `join` that can be spoken: for one guess, in the same network or by a relay. `None`
    /// where nobody could come by it.
    pub spoken: Option<String>,
    /// When that expires.
    pub spoken_expires: Option<Time>,
    /// Who came, where it was waited for.
    #[serde(default)]
    pub joined: Option<Joined>,
}

/// Who came by an invitation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Joined {
    /// Name of the device.
    pub name: String,
    /// Its household.
    pub site: String,
    /// Id of its vault; `None` for a new device of the own.
    pub vault: Option<String>,
    /// Words that both screens showed.
    pub words: String,
    /// Whether it has said that it stored everything; if not, it may have to join again.
    pub confirmed: bool,
}

/// What a person decides; [`Command::Answer`](super::Command::Answer) answers it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
    /// Names it in the answer.
    pub number: u32,
    /// Words that the other screen shows.
    pub words: String,
    /// What it is about.
    pub about: About,
}

/// What a [`Question`] is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum About {
    /// Somebody wants to be a device of this vault.
    Device {
        /// Its name, as it says.
        name: String,
        /// Its household, as it says.
        site: String,
        /// What it would be.
        #[serde(default)]
        role: DeviceRole,
    },
    /// Another vault wants to keep for this one, and the other way round.
    Vault {
        /// Its id.
        vault: String,
        /// Name of its device, as it says.
        name: String,
        /// The household of that, as it says.
        site: String,
        /// Bytes that it lets this vault keep with it.
        granted_bytes: u64,
        /// Bytes that this device keeps for others at most.
        offered_bytes: u64,
    },
    /// This home is about to join.
    Joining {
        /// Whether it becomes a device, or its vault joins a circle.
        kind: InviteKind,
        /// What it would be, where it becomes a device.
        #[serde(default)]
        role: DeviceRole,
    },
}
