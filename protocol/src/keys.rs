//! Secrets: where each comes from and what it may be used for.
//!
//! ```text
//! 24 words = entropy ─┬─ recovery signing   names itself in the genesis entry, may add a device
//!                     ├─ recovery access    who a device in recovery is to the network
//!                     └─ recovery hpke      every epoch key is wrapped to it
//! device: signing seed, receiving secret    random, made on the device, never leave it
//! epoch key 1..                             random, wrapped to every device and to the phrase
//! ```
//! Source: specs/keys.md.

pub mod device;
pub mod epoch;
pub mod key_file;
pub mod passphrase;
pub mod phrase;
pub mod recovery;
pub mod sealed;
pub mod sign;
pub mod wrap;

pub use device::{DeviceKeys, DevicePublic};
pub use key_file::{KeyFile, SealedKeys};
pub use passphrase::Passphrase;
pub use recovery::{RecoveryKeys, RecoveryPublic};
pub use sign::verify;

/// Somebody who may sign for a vault and open what is wrapped to it: one of its devices, or
/// whoever has the phrase.
#[derive(Debug, Clone, Copy)]
pub enum Principal<'a> {
    /// A device, in its own name.
    Device(&'a DeviceKeys),
    /// The recovery phrase.
    Recovery(&'a RecoveryKeys),
}

impl<'a> From<&'a DeviceKeys> for Principal<'a> {
    fn from(keys: &'a DeviceKeys) -> Self {
        Self::Device(keys)
    }
}

impl<'a> From<&'a RecoveryKeys> for Principal<'a> {
    fn from(keys: &'a RecoveryKeys) -> Self {
        Self::Recovery(keys)
    }
}

impl Principal<'_> {
    /// Signs `body` in `domain`.
    pub fn sign(&self, domain: &[u8], body: &[u8]) -> [u8; 64] {
        match self {
            Self::Device(keys) => keys.sign(domain, body),
            Self::Recovery(keys) => keys.sign(domain, body),
        }
    }

    /// The X25519 public key to which epoch keys are wrapped.
    pub fn hpke_public(&self) -> [u8; 32] {
        match self {
            Self::Device(keys) => keys.public().hpke,
            Self::Recovery(keys) => keys.public().hpke,
        }
    }

    pub(crate) fn hpke_secret(&self) -> &[u8; 32] {
        match self {
            Self::Device(keys) => keys.hpke_secret(),
            Self::Recovery(keys) => keys.hpke_secret(),
        }
    }
}

#[cfg(test)]
mod vectors;
