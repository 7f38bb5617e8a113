//! Heads: the signed, numbered, hash-linked pointers to a device's newest manifest.
//!
//! A head is the sole commit point: what no head leads to does not exist. It is in clear, because
//! holders order heads, keep them and show them to whoever recovers; it names packs, never
//! content. Which heads are kept, and what two of one number mean, is in [`book`].
//! Source: specs/head.md.

use std::collections::BTreeSet;

use minicbor::{Decode, Encode, bytes::ByteVec};
use thiserror::Error;

use crate::{
    cbor::{self, DecodeError},
    ids::{DeviceId, EntryHash, HeadHash, ShardRoot, VaultId},
    index::ShardRef,
    keys::{DeviceKeys, sign, verify},
    limits::{HEAD_BYTES_MAX, LOG_DEVICES_BACKED_MAX, LOG_PARENTS_MAX},
    log::DeviceLog,
    time::Timestamp,
};

pub mod book;
pub mod past;

pub use book::{CloneError, HeadBook, Offered};

/// Version of heads that this code writes and reads.
pub const HEAD_VERSION: u16 = 1;

/// What a device signs, in the domain `larder head v1`.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct HeadBody {
    /// [`HEAD_VERSION`].
    #[n(0)]
    pub version: u16,
    /// The vault.
    #[n(1)]
    pub vault: VaultId,
    /// The device, whose key signs.
    #[n(2)]
    pub device: DeviceId,
    /// From 1, without gaps.
    #[n(3)]
    pub seq: u64,
    /// The device's head before this one; `None` for the first alone.
    #[n(4)]
    pub prev: Option<HeadHash>,
    /// Newest entries of the device log that the device knew, ascending, at least one, at most
    /// [`LOG_PARENTS_MAX`].
    #[n(5)]
    pub log: Vec<EntryHash>,
    /// The commit pack: a metadata pack whose first chunk is the manifest.
    #[n(6)]
    pub commit: ShardRef,
    /// Everything that this manifest needs.
    #[n(7)]
    pub claims: Claims,
    /// Newest heads of the vault's other devices that this device knew, ascending by device.
    #[n(8)]
    pub seen: Vec<Seen>,
    /// When, by the device's clock. For people; orders nothing.
    #[n(9)]
    pub time: Timestamp,
}

/// Summary of all packs that a head's manifest needs, the commit pack among them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Claims {
    /// BLAKE3 of their roots, ascending, back to back: see [`Claims::of`].
    #[cbor(n(0), with = "minicbor::bytes")]
    pub root: [u8; 32],
    /// How many.
    #[n(1)]
    pub count: u64,
}

/// That a device knew another device's head.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub struct Seen {
    /// The other device.
    #[n(0)]
    pub device: DeviceId,
    /// Number of its head.
    #[n(1)]
    pub seq: u64,
    /// The head.
    #[n(2)]
    pub head: HeadHash,
}

/// Why a head is not valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum HeadError {
    /// Not a head.
    #[error("the head cannot be read: {0}")]
    Decode(#[from] DecodeError),
    /// From a newer Larder.
    #[error("the head was written by a newer Larder (version {version}): update")]
    Newer {
        /// Version met.
        version: u16,
    },
    /// Fields that do not go together.
    #[error("the head contradicts itself")]
    Shape,
    /// Belongs to another vault.
    #[error("the head belongs to another vault")]
    ForeignVault,
    /// No device of the vault, as far as the log here goes.
    #[error("the head names {device}, which is no device of the vault")]
    Stranger {
        /// The device named.
        device: DeviceId,
    },
    /// The device was removed, and this head comes after the last one that counts.
    #[error("device {device} was removed, and this head of it does not count")]
    Removed {
        /// The device.
        device: DeviceId,
    },
    /// The device knew a log entry that is not known here: merge the log first, then try again.
    #[error("the head knows {entry} of the device log, which is not known here")]
    LogBehind {
        /// The missing entry.
        entry: EntryHash,
    },
    /// The signature does not verify.
    #[error("the signature on the head is not valid")]
    Signature,
}

#[derive(Encode, Decode)]
struct Signed {
    #[n(0)]
    body: ByteVec,
    #[cbor(n(1), with = "minicbor::bytes")]
    signature: [u8; 64],
}

/// A decoded head together with the bytes it came from. Not necessarily a valid one: see
/// [`verify`](Self::verify).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedHead {
    bytes: Vec<u8>,
    body: HeadBody,
    signature: [u8; 64],
    hash: HeadHash,
}

/// A head that was checked against the log of its vault. [`SignedHead::verified`] alone makes one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedHead(SignedHead);

impl VerifiedHead {
    /// The head.
    pub const fn head(&self) -> &SignedHead {
        &self.0
    }
}

impl Claims {
    /// Summarises these packs; order and repetition do not matter.
    pub fn of(shards: impl IntoIterator<Item = ShardRef>) -> Self {
        let roots: BTreeSet<_> = shards.into_iter().map(|shard| shard.root).collect();
        let mut digest = ClaimsDigest::new();
        for root in &roots {
            digest.add(root).expect("a set is ascending");
        }
        digest.finish()
    }
}

/// [`Claims`] of a list that is seen in parts, in order.
#[derive(Debug, Clone)]
pub struct ClaimsDigest {
    hasher: blake3::Hasher,
    last: Option<ShardRoot>,
    count: u64,
}

/// A list of claims is not strictly ascending.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the list of claims is not ascending")]
pub struct OutOfOrder;

impl ClaimsDigest {
    /// Of an empty list.
    #[expect(clippy::new_without_default, reason = "an empty list of claims is never a default")]
    pub fn new() -> Self {
        let hasher = blake3::Hasher::new_derive_key("larder 2026 claims v1");
        Self { hasher, last: None, count: 0 }
    }

    /// The next pack of the list.
    ///
    /// # Errors
    /// [`OutOfOrder`]; nothing was added then.
    pub fn add(&mut self, root: &ShardRoot) -> Result<(), OutOfOrder> {
        if self.last.is_some_and(|last| last >= *root) {
            return Err(OutOfOrder);
        }
        self.hasher.update(root.as_bytes());
        self.last = Some(*root);
        self.count = self.count.saturating_add(1);
        Ok(())
    }

    /// How many were added.
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// Of all that was added.
    pub fn finish(&self) -> Claims {
        Claims { root: *self.hasher.finalize().as_bytes(), count: self.count }
    }
}

impl HeadBody {
    fn check(&self) -> Result<(), HeadError> {
        let first = self.seq == 1;
        let linked = self.seq > 0 && first == self.prev.is_none();
        let log = (1..=LOG_PARENTS_MAX).contains(&self.log.len())
            && self.log.is_sorted_by(|one, next| one < next);
        let seen = self.seen.len() <= LOG_DEVICES_BACKED_MAX
            && self.seen.is_sorted_by(|one, next| one.device < next.device)
            && self.seen.iter().all(|seen| seen.device != self.device && seen.seq > 0);
        let sound = linked && log && seen && self.commit.is_plausible() && self.claims.count > 0;
        if sound { Ok(()) } else { Err(HeadError::Shape) }
    }
}

impl SignedHead {
    /// Signs `body` as the device that it names.
    ///
    /// # Errors
    /// [`HeadError::Shape`] for a body that no reader would accept, [`HeadError::Stranger`] for
    /// the body of another device.
    pub fn sign(body: HeadBody, device: &DeviceKeys) -> Result<Self, HeadError> {
        body.check()?;
        if body.device != device.id() {
            return Err(HeadError::Stranger { device: body.device });
        }
        let encoded = cbor::encode(&body);
        let signature = device.sign(sign::HEAD, &encoded);
        let hash = hash_body(&encoded);
        let bytes = cbor::encode(&Signed { body: encoded.into(), signature });
        Ok(Self { bytes, body, signature, hash })
    }

    /// Decodes a head and checks its shape, not its signature.
    ///
    /// # Errors
    /// [`HeadError::Decode`], [`HeadError::Newer`] or [`HeadError::Shape`].
    pub fn decode(bytes: &[u8]) -> Result<Self, HeadError> {
        let signed: Signed = cbor::decode(bytes, HEAD_BYTES_MAX)?;
        match cbor::peek_version(&signed.body) {
            Some(version) if version > HEAD_VERSION => return Err(HeadError::Newer { version }),
            Some(HEAD_VERSION) => {}
            Some(_) | None => return Err(HeadError::Decode(DecodeError::Malformed)),
        }
        let body: HeadBody = cbor::decode(&signed.body, HEAD_BYTES_MAX)?;
        body.check()?;
        let hash = hash_body(&signed.body);
        Ok(Self { bytes: bytes.to_vec(), body, signature: signed.signature, hash })
    }

    /// Checks that a device of this vault signed it, and that all it knew of the log is known
    /// here.
    ///
    /// # Errors
    /// [`HeadError`]; after [`HeadError::LogBehind`] and [`HeadError::Stranger`] a newer log may
    /// change the verdict.
    pub fn verify(&self, log: &DeviceLog) -> Result<(), HeadError> {
        let body = &self.body;
        if body.vault != log.vault() {
            return Err(HeadError::ForeignVault);
        }
        if let Some(entry) = body.log.iter().find(|entry| !log.contains(entry)) {
            return Err(HeadError::LogBehind { entry: *entry });
        }
        // What it has seen are heads of the vault's devices, or it would bear witness for nobody. Those that
        // were removed since are among them.
        let named = body.seen.iter().map(|seen| seen.device).chain([body.device]);
        if let Some(device) = named.into_iter().find(|device| !log.knows(device)) {
            return Err(HeadError::Stranger { device });
        }
        if !log.head_counts(&body.device, (body.seq, &self.hash)) {
            return Err(HeadError::Removed { device: body.device });
        }
        let valid = verify(sign::HEAD, &body.device, &cbor::encode(body), &self.signature);
        if valid { Ok(()) } else { Err(HeadError::Signature) }
    }

    /// Checks it as [`verify`](Self::verify) does, and says so by its type.
    ///
    /// # Errors
    /// As [`verify`](Self::verify).
    pub fn verified(self, log: &DeviceLog) -> Result<VerifiedHead, HeadError> {
        self.verify(log)?;
        Ok(VerifiedHead(self))
    }

    /// The bytes, as received or signed.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// What it says.
    pub const fn body(&self) -> &HeadBody {
        &self.body
    }

    /// Its name.
    pub const fn hash(&self) -> HeadHash {
        self.hash
    }

    /// What another device's head says of this one.
    pub const fn seen(&self) -> Seen {
        Seen { device: self.body.device, seq: self.body.seq, head: self.hash }
    }
}

fn hash_body(body: &[u8]) -> HeadHash {
    HeadHash::from_bytes(blake3::derive_key("larder 2026 head v1", body))
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod vectors;
