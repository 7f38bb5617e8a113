//! Locating: how a phrase alone leads to those who hold its vault.
//!
//! ```text
//! public keys of the phrase ──▶ locator ─┬─▶ seek key ──▶ a beacon that holders recognise and answer
//!                                        └─▶ slot ──────▶ records at a relay that say who holds
//! ```
//! Who has the phrase and who holds the vault can both make the locator; nobody else can: the relay that
//! keeps the records cannot read them, and to a network the beacon says nothing.
//! Source: specs/locating.md.

use std::fmt;

use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::{discovering::BeaconKey, ids::LocatorSlot, keys::recovery::RecoveryPublic};

mod publishing;
mod record;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod vectors;

pub use publishing::Publishing;
pub use record::{LocatorRecord, RecordError, Whereabouts};

/// Name of the protocol in the TLS handshake: a holder calls whoever seeks. That it does is all it says.
pub const ALPN: &[u8] = b"larder/seek/1";

/// Where a relay has the records of a slot: the path of its URL.
pub const PATH: &str = "/locator/";

/// What leads to the holders of one vault. No key to anything that is held, but not for strangers.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct Locator([u8; 32]);

impl Locator {
    /// The locator of the vault whose device log names these keys. All three go in: the access key alone
    /// is seen by relays and by whoever listens while a device recovers.
    pub fn of(phrase: &RecoveryPublic) -> Self {
        let mut material = Zeroizing::new([0; 96]);
        material[..32].copy_from_slice(&phrase.signing);
        material[32..64].copy_from_slice(&phrase.access);
        material[64..].copy_from_slice(&phrase.hpke);
        Self(blake3::derive_key("larder 2026 locator v1", &*material))
    }

    /// By which holders recognise somebody who has the phrase and looks for them in their network.
    pub fn seek_key(&self) -> BeaconKey {
        BeaconKey::from_bytes(blake3::derive_key("larder 2026 seek beacon key v1", &self.0))
    }

    /// Under which a relay keeps the records of this vault's holders.
    pub fn slot(&self) -> LocatorSlot {
        LocatorSlot::from_bytes(blake3::derive_key("larder 2026 locator slot v1", &self.0))
    }
}

impl fmt::Debug for Locator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Locator(secret)")
    }
}
