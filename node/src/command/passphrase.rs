//! Of `passphrase`: how the device key is kept on disk.

use serde::{Deserialize, Serialize};

use super::{ByteSize, Secret};

/// What is to be done about the passphrase of the device key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "act", rename_all = "kebab-case")]
pub enum PassphraseAct {
    /// Only tells.
    Show,
    /// Tries a passphrase.
    Check {
        /// The one that seals the key.
        current: Secret,
    },
    /// Seals the key, or seals it with another passphrase.
    Set {
        /// The one that seals the key; `None` where it is in clear.
        current: Option<Secret>,
        /// The one that is to seal it.
        new: Secret,
        /// Under which tag the keyring of the desktop keeps the new one, where it does: the settings say
        /// so from now on.
        #[serde(default)]
        keyring: Option<String>,
    },
    /// Keeps the key in clear from now on.
    Clear {
        /// The one that seals the key.
        current: Secret,
    },
}

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PassphraseDone {
    /// Nothing but looking.
    Shown,
    /// The passphrase was tried, and is right.
    Checked,
    /// The key is sealed with another one than before, or for the first time.
    Set,
    /// The key is in clear.
    Cleared,
}

/// See [`Outcome::Passphrase`](super::Outcome::Passphrase).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PassphraseOutcome {
    /// What was done.
    pub done: PassphraseDone,
    /// How the key is sealed now; `null` when it is in clear.
    pub seal: Option<SealKind>,
    /// What a start asks for the passphrase, as far as the settings say; `null` when the key is in clear.
    pub opened_by: Option<OpenedBy>,
}

/// What the settings name for a start to take the passphrase from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OpenedBy {
    /// The keyring of the desktop, as `passphrase set --keyring` has set it.
    Keyring,
    /// Another command.
    Command,
}

/// How a key is sealed: what one guess at the passphrase costs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealKind {
    /// Function that makes a key of the passphrase: `argon2id`.
    pub kdf: String,
    /// Memory that it takes.
    pub memory_bytes: ByteSize,
    /// Passes over that memory.
    pub passes: u32,
}
