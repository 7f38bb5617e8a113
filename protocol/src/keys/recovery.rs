//! What follows from the recovery phrase. Source: specs/keys.md.

use std::fmt;

use ed25519_dalek::SigningKey;
use minicbor::{Decode, Encode};
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::{Zeroize, ZeroizeOnDrop};

use super::sign;
use crate::ids::DeviceId;

/// Secrets derived from the phrase, each by BLAKE3 `derive_key` with a context of its own, so
/// that none tells anything about another.
#[derive(Clone, ZeroizeOnDrop)]
pub struct RecoveryKeys {
    signing: SigningKey,
    access_seed: [u8; 32],
    hpke: [u8; 32],
}

/// The public half: what the genesis entry says about the phrase.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
#[cbor(map)]
pub struct RecoveryPublic {
    /// Ed25519: signs entries of the device log.
    #[cbor(n(0), with = "minicbor::bytes")]
    pub signing: [u8; 32],
    /// Ed25519: the endpoint id of a device in recovery. Holders let it read this vault.
    #[cbor(n(1), with = "minicbor::bytes")]
    pub access: [u8; 32],
    /// X25519: epoch keys are wrapped to it.
    #[cbor(n(2), with = "minicbor::bytes")]
    pub hpke: [u8; 32],
}

impl RecoveryKeys {
    pub(super) fn derive(entropy: &[u8; 32]) -> Self {
        let mut seed = blake3::derive_key("larder 2026 recovery signing v1", entropy);
        let signing = SigningKey::from_bytes(&seed);
        seed.zeroize();
        Self {
            signing,
            access_seed: blake3::derive_key("larder 2026 recovery access v1", entropy),
            hpke: blake3::derive_key("larder 2026 recovery hpke v1", entropy),
        }
    }

    /// The public half.
    pub fn public(&self) -> RecoveryPublic {
        RecoveryPublic {
            signing: self.signing.verifying_key().to_bytes(),
            access: self.access_id().as_bytes().to_owned(),
            hpke: PublicKey::from(&StaticSecret::from(self.hpke)).to_bytes(),
        }
    }

    /// Signs as the recovery key.
    pub fn sign(&self, domain: &[u8], body: &[u8]) -> [u8; 64] {
        sign::sign(&self.signing, domain, body)
    }

    /// Seed of the Ed25519 key under which a device in recovery speaks to holders: it becomes
    /// its iroh secret key until the device is in the log under its own.
    pub const fn access_seed(&self) -> &[u8; 32] {
        &self.access_seed
    }

    /// The endpoint id that belongs to [`access_seed`](Self::access_seed).
    pub fn access_id(&self) -> DeviceId {
        let key = SigningKey::from_bytes(&self.access_seed);
        DeviceId::from_bytes(key.verifying_key().to_bytes())
    }

    /// Signs as the access key: proves that whoever founds a vault has the key it names.
    pub fn sign_access(&self, domain: &[u8], body: &[u8]) -> [u8; 64] {
        sign::sign(&SigningKey::from_bytes(&self.access_seed), domain, body)
    }

    pub(super) const fn hpke_secret(&self) -> &[u8; 32] {
        &self.hpke
    }
}

impl RecoveryPublic {
    /// The access key as the network names it.
    pub const fn access_id(&self) -> DeviceId {
        DeviceId::from_bytes(self.access)
    }

    /// The signing key, in the type that signatures are checked with.
    pub const fn signing_id(&self) -> DeviceId {
        DeviceId::from_bytes(self.signing)
    }
}

impl fmt::Debug for RecoveryKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RecoveryKeys(secret)")
    }
}

#[cfg(test)]
mod tests {
    use crate::keys::phrase::Phrase;

    // KEYS-6
    #[test]
    fn no_two_secrets_of_a_phrase_are_equal() {
        let keys = Phrase::from_entropy([9; 32]).recovery();
        let public = keys.public();
        let all =
            [*keys.access_seed(), *keys.hpke_secret(), public.signing, public.access, public.hpke];
        for (index, one) in all.iter().enumerate() {
            assert!(all.iter().skip(index + 1).all(|other| other != one));
        }
        let again = Phrase::from_entropy([9; 32]).recovery().public();
        assert_eq!(public, again);
    }
}
