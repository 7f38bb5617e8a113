//! What a holder leaves at a relay: that it holds the vault, and where it is.
//!
//! ```text
//! publisher 32 | made u64 | salt 32 | sealed 1040 | signature 64            1176 bytes, always
//! sealed = ChaCha20-Poly1305(key of locator and salt, nonce 0, AAD slot | publisher | made)
//! plain  = length u16 | whereabouts | zeros                                 1024 bytes
//! ```
//! The relay sees that the publisher of an earlier record replaces it, and nothing of what is in it.
//! Source: specs/locating.md.

use chacha20poly1305::{AeadInOut, ChaCha20Poly1305, KeyInit, Nonce};
use ed25519_dalek::SigningKey;
use minicbor::{Decode, Encode};
use thiserror::Error;
use zeroize::Zeroizing;

use super::Locator;
use crate::{
    cbor,
    ids::{DeviceId, LocatorSlot},
    keys::{DeviceKeys, sign},
    limits::{ADDRESS_BYTES_MAX, ADDRESSES_MAX, LOCATOR_RECORD_BYTES, WHEREABOUTS_BYTES_MAX},
    time::Timestamp,
};

const PUBLISHER: usize = 0;
const MADE: usize = 32;
const SALT: usize = 40;
const SEALED: usize = 72;
const SIGNATURE: usize = LOCATOR_RECORD_BYTES - 64;
const TAG: usize = 16;
/// What is sealed: the length, and the whereabouts filled up, so that all records look alike.
const PLAIN: usize = SIGNATURE - SEALED - TAG;

/// Who holds, and where it was when it said so. A hint, as every address is.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Whereabouts {
    /// The holder.
    #[n(0)]
    pub device: DeviceId,
    /// Its addresses, at most [`ADDRESSES_MAX`].
    #[n(1)]
    pub addresses: Vec<String>,
}

/// A record as a relay keeps it: of the right form, and signed by its publisher.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocatorRecord(Box<[u8; LOCATOR_RECORD_BYTES]>);

/// Why bytes are no record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum RecordError {
    /// Of another length.
    #[error("a record of a holder has {LOCATOR_RECORD_BYTES} bytes")]
    Length,
    /// Not signed by its publisher for this slot.
    #[error("the signature of the record does not hold")]
    Signature,
}

impl LocatorRecord {
    /// The record of the device of these keys, in clear to whoever has the locator. `made` tells a newer
    /// record of this device from an older one; `salt` is 32 random bytes. Addresses that there is no room
    /// for are left out.
    pub fn seal(
        locator: &Locator,
        keys: &DeviceKeys,
        addresses: &[String],
        made: Timestamp,
        salt: [u8; 32],
    ) -> Self {
        let slot = locator.slot();
        let publisher = publisher(keys, &slot);
        let mut plain = plain(keys.id(), addresses);
        let mut bytes = Box::new([0; LOCATOR_RECORD_BYTES]);
        bytes[PUBLISHER..MADE].copy_from_slice(publisher.verifying_key().as_bytes());
        bytes[MADE..SALT].copy_from_slice(&made.0.to_le_bytes());
        bytes[SALT..SEALED].copy_from_slice(&salt);
        let aad = aad(&slot, &bytes);
        let sealed = cipher(locator, &salt).encrypt_in_place(&Nonce::default(), &aad, &mut *plain);
        sealed.expect("a record is far below the cipher's limit");
        bytes[SEALED..SIGNATURE].copy_from_slice(&plain);
        let signature =
            sign::sign(&publisher, sign::LOCATOR_RECORD, &body(&slot, &bytes[..SIGNATURE]));
        bytes[SIGNATURE..].copy_from_slice(&signature);
        Self(bytes)
    }

    /// Reads what is said to be a record of this slot.
    ///
    /// # Errors
    /// [`RecordError`].
    pub fn read(slot: &LocatorSlot, bytes: &[u8]) -> Result<Self, RecordError> {
        let bytes: [u8; LOCATOR_RECORD_BYTES] =
            bytes.try_into().map_err(|_| RecordError::Length)?;
        let record = Self(Box::new(bytes));
        let (signed, signature) = record.0.split_at(SIGNATURE);
        let signature: [u8; 64] = signature.try_into().map_err(|_| RecordError::Length)?;
        let body = body(slot, signed);
        let holds = sign::verify(sign::LOCATOR_RECORD, &record.publisher(), &body, &signature);
        if holds { Ok(record) } else { Err(RecordError::Signature) }
    }

    /// The key that replaces it: one for each device and vault, that leads to neither.
    pub fn publisher(&self) -> DeviceId {
        let mut key = [0; 32];
        key.copy_from_slice(&self.0[PUBLISHER..MADE]);
        DeviceId::from_bytes(key)
    }

    /// When it was made, by the clock of who made it.
    pub fn made(&self) -> Timestamp {
        let mut seconds = [0; 8];
        seconds.copy_from_slice(&self.0[MADE..SALT]);
        Timestamp(u64::from_le_bytes(seconds))
    }

    /// Its bytes.
    pub const fn as_bytes(&self) -> &[u8; LOCATOR_RECORD_BYTES] {
        &self.0
    }

    /// What it says; `None` of one that was made with another locator, or that says nothing sound.
    pub fn open(&self, locator: &Locator) -> Option<Whereabouts> {
        let mut salt = [0; 32];
        salt.copy_from_slice(&self.0[SALT..SEALED]);
        let mut plain = self.0[SEALED..SIGNATURE].to_vec();
        let aad = aad(&locator.slot(), &self.0);
        cipher(locator, &salt).decrypt_in_place(&Nonce::default(), &aad, &mut plain).ok()?;
        let (length, rest) = plain.split_first_chunk::<2>()?;
        let whereabouts = rest.get(..usize::from(u16::from_le_bytes(*length)))?;
        let found: Whereabouts = cbor::decode(whereabouts, WHEREABOUTS_BYTES_MAX).ok()?;
        let are_few = found.addresses.len() <= ADDRESSES_MAX;
        let are_short = found.addresses.iter().all(|one| one.len() <= ADDRESS_BYTES_MAX);
        (are_few && are_short).then_some(found)
    }
}

/// With what a device signs its records of one slot.
pub(super) fn publisher(keys: &DeviceKeys, slot: &LocatorSlot) -> SigningKey {
    let mut material = Zeroizing::new([0; 64]);
    material[..32].copy_from_slice(&*keys.signing_seed());
    material[32..].copy_from_slice(slot.as_bytes());
    let seed = Zeroizing::new(blake3::derive_key("larder 2026 locator publisher v1", &*material));
    SigningKey::from_bytes(&seed)
}

fn cipher(locator: &Locator, salt: &[u8; 32]) -> ChaCha20Poly1305 {
    let mut material = Zeroizing::new([0; 64]);
    material[..32].copy_from_slice(&locator.0);
    material[32..].copy_from_slice(salt);
    let key = Zeroizing::new(blake3::derive_key("larder 2026 locator record v1", &*material));
    ChaCha20Poly1305::new(&(*key).into())
}

/// Slot, publisher and time: a seal holds for these alone.
fn aad(slot: &LocatorSlot, record: &[u8; LOCATOR_RECORD_BYTES]) -> Vec<u8> {
    body(slot, &record[..SALT])
}

fn body(slot: &LocatorSlot, signed: &[u8]) -> Vec<u8> {
    [slot.as_bytes(), signed].concat()
}

/// The whereabouts with their length, filled up; with as many addresses as there is room for.
fn plain(device: DeviceId, addresses: &[String]) -> Zeroizing<Vec<u8>> {
    let mut addresses: Vec<String> = addresses.iter().take(ADDRESSES_MAX).cloned().collect();
    let encoded = loop {
        let encoded = cbor::encode(&Whereabouts { device, addresses: addresses.clone() });
        if encoded.len() <= WHEREABOUTS_BYTES_MAX || addresses.pop().is_none() {
            break encoded;
        }
    };
    let length = u16::try_from(encoded.len()).expect("whereabouts without an address are short");
    let mut plain = Zeroizing::new(Vec::with_capacity(PLAIN + TAG));
    plain.extend_from_slice(&length.to_le_bytes());
    plain.extend_from_slice(&encoded);
    plain.resize(PLAIN, 0);
    plain
}
