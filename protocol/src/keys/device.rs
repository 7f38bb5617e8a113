//! The keys of one device: made on it, never leaving it. Source: specs/keys.md.

use std::fmt;

use ed25519_dalek::SigningKey;
use minicbor::{Decode, Encode};
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::{ZeroizeOnDrop, Zeroizing};

use super::sign;
use crate::ids::DeviceId;

/// A device's secrets: Ed25519 to sign and to be known by, X25519 to receive.
#[derive(Clone, ZeroizeOnDrop)]
pub struct DeviceKeys {
    signing: SigningKey,
    receive: [u8; 32],
}

/// The public half of a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
#[cbor(map)]
pub struct DevicePublic {
    /// Ed25519 public key, which is also the iroh endpoint id.
    #[n(0)]
    pub id: DeviceId,
    /// X25519 public key to which epoch keys are wrapped.
    #[cbor(n(1), with = "minicbor::bytes")]
    pub hpke: [u8; 32],
}

impl DeviceKeys {
    /// Makes the keys from 2 times 32 random bytes, or from those of the key file.
    pub fn from_seeds(signing: [u8; 32], receive: [u8; 32]) -> Self {
        let signing = Zeroizing::new(signing);
        Self { signing: SigningKey::from_bytes(&signing), receive }
    }

    /// The device's name.
    pub fn id(&self) -> DeviceId {
        DeviceId::from_bytes(self.signing.verifying_key().to_bytes())
    }

    /// The public half.
    pub fn public(&self) -> DevicePublic {
        let hpke = PublicKey::from(&StaticSecret::from(self.receive)).to_bytes();
        DevicePublic { id: self.id(), hpke }
    }

    /// Signs as this device.
    pub fn sign(&self, domain: &[u8], body: &[u8]) -> [u8; 64] {
        sign::sign(&self.signing, domain, body)
    }

    /// The Ed25519 seed, for the iroh secret key and nothing else.
    pub fn signing_seed(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.signing.to_bytes())
    }

    pub(crate) const fn hpke_secret(&self) -> &[u8; 32] {
        &self.receive
    }
}

impl fmt::Debug for DeviceKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DeviceKeys({}, secret)", self.id().short())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::sign::HEAD;

    fn keys() -> DeviceKeys {
        DeviceKeys::from_seeds([3; 32], [4; 32])
    }

    #[test]
    fn a_device_is_known_by_the_key_that_it_signs_with() {
        let signature = keys().sign(HEAD, b"x");
        assert!(sign::verify(HEAD, &keys().id(), b"x", &signature));
        assert!(!format!("{:?}", keys()).contains("0303"));
    }
}
