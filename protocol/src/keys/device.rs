//! The keys of one device: made on it, never leaving it. Source: specs/keys.md.

use std::fmt;

use ed25519_dalek::SigningKey;
use minicbor::{Decode, Encode};
use thiserror::Error;
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::sign;
use crate::{
    cbor::{self, DecodeError},
    ids::DeviceId,
};

/// Version of the key file.
const KEY_FILE_VERSION: u16 = 1;
/// The whole key file is 73 bytes; no other length is read.
const KEY_FILE_BYTES: usize = 73;

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

/// Why a key file was not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum KeyFileError {
    /// Damaged, or something else altogether.
    #[error("this is not a Larder device key")]
    Malformed,
    /// From a newer Larder.
    #[error("the device key has version {version}, this Larder reads {KEY_FILE_VERSION}")]
    Newer {
        /// Version met.
        version: u16,
    },
}

#[derive(Encode, Decode, Zeroize, ZeroizeOnDrop)]
#[cbor(map)]
struct KeyFile {
    #[n(0)]
    version: u16,
    #[cbor(n(1), with = "minicbor::bytes")]
    signing: [u8; 32],
    #[cbor(n(2), with = "minicbor::bytes")]
    receive: [u8; 32],
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

    /// The bytes of the key file (`device.key`, mode 0600).
    pub fn encode(&self) -> Zeroizing<Vec<u8>> {
        let file = KeyFile {
            version: KEY_FILE_VERSION,
            signing: self.signing.to_bytes(),
            receive: self.receive,
        };
        // Room from the start: a growing buffer would leave copies of the keys behind.
        let mut bytes = Zeroizing::new(Vec::with_capacity(2 * KEY_FILE_BYTES));
        minicbor::encode(&file, &mut *bytes).expect("writing to a Vec cannot fail");
        bytes
    }

    /// Reads a key file.
    ///
    /// # Errors
    /// [`KeyFileError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, KeyFileError> {
        match cbor::peek_version(bytes) {
            Some(KEY_FILE_VERSION) => {}
            Some(version) if version > KEY_FILE_VERSION => {
                return Err(KeyFileError::Newer { version });
            }
            Some(_) | None => return Err(KeyFileError::Malformed),
        }
        let file = cbor::decode::<KeyFile>(bytes, KEY_FILE_BYTES);
        let file = file.map_err(|_: DecodeError| KeyFileError::Malformed)?;
        Ok(Self::from_seeds(file.signing, file.receive))
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

    // KEYS-7
    #[test]
    fn the_key_file_round_trips_and_other_files_are_refused() {
        let bytes = keys().encode();
        assert_eq!(bytes.len(), KEY_FILE_BYTES);
        assert_eq!(DeviceKeys::decode(&bytes).unwrap().public(), keys().public());
        for end in 0..bytes.len() {
            assert!(DeviceKeys::decode(&bytes[..end]).is_err());
        }
        let mut newer = bytes.to_vec();
        newer[2] = 2;
        assert_eq!(DeviceKeys::decode(&newer).unwrap_err(), KeyFileError::Newer { version: 2 });
        assert_eq!(DeviceKeys::decode(b"garbage").unwrap_err(), KeyFileError::Malformed);
    }

    #[test]
    fn a_device_is_known_by_the_key_that_it_signs_with() {
        let signature = keys().sign(HEAD, b"x");
        assert!(sign::verify(HEAD, &keys().id(), b"x", &signature));
        assert!(!format!("{:?}", keys()).contains("0303"));
    }
}
