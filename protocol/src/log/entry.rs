//! One entry of a device log: its bytes, its shape, its signatures. What it means among other
//! entries is for [`DeviceLog`](super::DeviceLog). Source: specs/device_log.md.

use minicbor::{
    Decode, Decoder, Encode,
    bytes::{ByteArray, ByteVec},
};

use super::{
    LogError,
    label::SealedLabel,
    remove::{Reason, Removal},
    rename::Renaming,
    role::Role,
    rotation::Rotation,
};
use crate::{
    cbor,
    ids::{DeviceId, EntryHash, VaultId},
    keys::{DevicePublic, RecoveryPublic, sign, verify, wrap::Wrap},
    limits::{LOG_ENTRY_BYTES_MAX, LOG_PARENTS_MAX},
    time::Timestamp,
};

/// Version of entries that this code writes and reads.
pub const ENTRY_VERSION: u16 = 1;
/// Acts from this number on are not known: 5 and 6 are kept for policy and guardians.
const FIRST_UNKNOWN_ACT: u32 = 5;

/// What is signed.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct EntryBody {
    /// [`ENTRY_VERSION`].
    #[n(0)]
    pub version: u16,
    /// The vault; `None` in the genesis entry alone, whose hash is the vault's name.
    #[n(1)]
    pub vault: Option<VaultId>,
    /// The newest entries that the author knew, ascending; none in the genesis entry alone.
    #[n(2)]
    pub parents: Vec<EntryHash>,
    /// Who says so.
    #[n(3)]
    pub author: Author,
    /// When, by the author's clock. For people; orders nothing.
    #[n(4)]
    pub time: Timestamp,
    /// What is said.
    #[n(5)]
    pub act: Act,
}

/// Who signs an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub enum Author {
    /// A device that the entry's ancestors know.
    #[n(0)]
    Device(#[n(0)] DeviceId),
    /// Whoever has the phrase.
    #[n(1)]
    Recovery,
}

/// What an entry does. Numbers from `FIRST_UNKNOWN_ACT` on belong to later versions.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum Act {
    /// Founds the vault. The recovery key consents.
    #[n(0)]
    Genesis(#[n(0)] Genesis),
    /// Takes in a device. The device consents.
    #[n(1)]
    Add(#[n(0)] Addition),
    /// Begins an epoch: new data is sealed with its key.
    #[n(2)]
    Epoch(#[n(0)] Rotation),
    /// Removes a device, and begins an epoch that it has no part in.
    #[n(3)]
    Remove(#[n(0)] Removal),
    /// Gives a device another name.
    #[n(4)]
    Rename(#[n(0)] Renaming),
}

/// What an entry does, without the keys in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deed {
    /// This device founded the vault.
    Founded(DeviceId),
    /// This device was taken in, in this role.
    TookIn(DeviceId, Role),
    /// An epoch of this number began.
    BeganEpoch(u32),
    /// This device was removed.
    Removed(DeviceId, Reason),
    /// This device was given another name.
    Renamed(DeviceId),
}

/// The founding of a vault.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Genesis {
    /// Random: makes two vaults of one phrase different, and binds wraps to this one.
    #[cbor(n(0), with = "minicbor::bytes")]
    pub salt: [u8; 32],
    /// Public half of the phrase.
    #[n(1)]
    pub recovery: RecoveryPublic,
    /// The first device.
    #[n(2)]
    pub device: DevicePublic,
    /// Its name and site, sealed.
    #[n(3)]
    pub label: SealedLabel,
    /// Commitment of the key of epoch 1.
    #[cbor(n(4), with = "minicbor::bytes")]
    pub commitment: [u8; 32],
    /// That key, to the device and to the recovery key, in this order.
    #[n(5)]
    pub wraps: Vec<Wrap>,
}

/// The joining of a device.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Addition {
    /// The new device.
    #[n(0)]
    pub device: DevicePublic,
    /// Its name and site, sealed.
    #[n(1)]
    pub label: SealedLabel,
    /// Every epoch key that the ancestors know, to the new device, ascending by epoch.
    #[n(2)]
    pub wraps: Vec<EpochWrap>,
    /// What it may do.
    #[n(3)]
    pub role: Role,
}

/// A wrap with the epoch it is of.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct EpochWrap {
    /// Number of the epoch.
    #[n(0)]
    pub epoch: u32,
    /// Its key.
    #[n(1)]
    pub wrap: Wrap,
}

/// What is stored and sent: the body's bytes as signed, and both signatures.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
struct Signed {
    #[n(0)]
    body: ByteVec,
    /// By the author, domain [`sign::LOG_ENTRY`].
    #[cbor(n(1), with = "minicbor::bytes")]
    signature: [u8; 64],
    /// By the other side, domain [`sign::LOG_CONSENT`]; of a genesis and an addition.
    #[n(2)]
    consent: Option<ByteArray<64>>,
    /// By the recovery access key, domain [`sign::LOG_ACCESS`]; of a genesis alone.
    #[n(3)]
    access: Option<ByteArray<64>>,
}

/// The signatures on an entry.
#[derive(Debug, Clone, Copy)]
pub(super) struct Signatures {
    /// By the author.
    pub(super) author: [u8; 64],
    /// By the other side, where there is one.
    pub(super) consent: Option<[u8; 64]>,
    /// By the recovery access key that a genesis names.
    pub(super) access: Option<[u8; 64]>,
}

/// A decoded entry together with the bytes it came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogEntry {
    bytes: Vec<u8>,
    body: EntryBody,
    hash: EntryHash,
}

impl LogEntry {
    /// Decodes and checks what can be checked of an entry alone: size, version, form, shape.
    ///
    /// # Errors
    /// [`LogError::Decode`], [`LogError::Newer`], [`LogError::Shape`] or [`LogError::Key`].
    pub fn decode(bytes: &[u8]) -> Result<Self, LogError> {
        let signed: Signed = cbor::decode(bytes, LOG_ENTRY_BYTES_MAX)?;
        let body = decode_body(&signed.body)?;
        let (founds, takes_in) = match body.act {
            Act::Genesis(_) => (true, true),
            Act::Add(_) => (false, true),
            Act::Epoch(_) | Act::Remove(_) | Act::Rename(_) => (false, false),
        };
        if founds != signed.access.is_some() || takes_in != signed.consent.is_some() {
            return Err(LogError::Shape);
        }
        let hash = hash_body(&signed.body);
        Ok(Self { bytes: bytes.to_vec(), body, hash })
    }

    pub(super) fn assemble(body: &[u8], signatures: Signatures) -> Vec<u8> {
        let Signatures { author: signature, consent, access } = signatures;
        let (access, consent) = (access.map(ByteArray::from), consent.map(ByteArray::from));
        cbor::encode(&Signed { body: body.to_vec().into(), signature, consent, access })
    }

    /// The bytes, as received.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// What it says.
    pub const fn body(&self) -> &EntryBody {
        &self.body
    }

    /// What it does.
    pub const fn deed(&self) -> Deed {
        match &self.body.act {
            Act::Genesis(genesis) => Deed::Founded(genesis.device.id),
            Act::Add(addition) => Deed::TookIn(addition.device.id, addition.role),
            Act::Epoch(rotation) => Deed::BeganEpoch(rotation.number),
            Act::Remove(removal) => Deed::Removed(removal.device, removal.reason),
            Act::Rename(renaming) => Deed::Renamed(renaming.device),
        }
    }

    /// Its name.
    pub const fn hash(&self) -> EntryHash {
        self.hash
    }

    /// Checks all signatures; `recovery` is the recovery key of the vault.
    pub(super) fn verify(&self, recovery: &RecoveryPublic) -> Result<(), LogError> {
        let author = match self.body.author {
            Author::Device(device) => device,
            Author::Recovery => recovery.signing_id(),
        };
        let consenting = match &self.body.act {
            Act::Genesis(genesis) => Some(genesis.recovery.signing_id()),
            Act::Add(addition) => Some(addition.device.id),
            Act::Epoch(_) | Act::Remove(_) | Act::Rename(_) => None,
        };
        // Decoded again rather than kept: a log is verified once and kept for years.
        let signed: Signed = cbor::decode(&self.bytes, LOG_ENTRY_BYTES_MAX)?;
        let body = &signed.body;
        let access = signed.access.is_none_or(|signature| {
            verify(sign::LOG_ACCESS, &recovery.access_id(), body, &signature)
        });
        let consent = match (consenting, signed.consent) {
            (Some(by), Some(consent)) => verify(sign::LOG_CONSENT, &by, body, &consent),
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        };
        let valid = access && consent && verify(sign::LOG_ENTRY, &author, body, &signed.signature);
        if valid { Ok(()) } else { Err(LogError::Signature) }
    }
}

/// The name of an entry with this body.
pub(super) fn hash_body(body: &[u8]) -> EntryHash {
    EntryHash::from_bytes(blake3::derive_key("larder 2026 log entry v1", body))
}

/// Decodes a body and checks its shape.
pub(super) fn decode_body(bytes: &[u8]) -> Result<EntryBody, LogError> {
    match peek(bytes) {
        Some((ENTRY_VERSION, act)) if act < FIRST_UNKNOWN_ACT => {}
        Some((0, _)) | None => return Err(LogError::Decode(cbor::DecodeError::Malformed)),
        Some((version, act)) => return Err(LogError::Newer { version, act }),
    }
    let body: EntryBody = cbor::decode(bytes, LOG_ENTRY_BYTES_MAX)?;
    body.check()?;
    Ok(body)
}

/// Version and act of a body of any version, without understanding the rest. Every version keeps
/// these two where they are: keys 0 and 5 of the map, the act's number first in its array.
fn peek(bytes: &[u8]) -> Option<(u16, u32)> {
    let version = cbor::peek_version(bytes)?;
    let mut decoder = Decoder::new(bytes);
    for _ in 0..decoder.map().ok()?? {
        if decoder.u64().ok()? == 5 {
            decoder.array().ok()?;
            return Some((version, decoder.u32().ok()?));
        }
        decoder.skip().ok()?;
    }
    // A newer version may lack what we look for; it is still a newer version.
    (version > ENTRY_VERSION).then_some((version, 0))
}

impl EntryBody {
    fn check(&self) -> Result<(), LogError> {
        let ascending = self.parents.is_sorted_by(|one, next| one < next);
        if !ascending || self.parents.len() > LOG_PARENTS_MAX {
            return Err(LogError::Shape);
        }
        match &self.act {
            Act::Genesis(genesis) => {
                let first = self.vault.is_none() && self.parents.is_empty();
                let own = self.author == Author::Device(genesis.device.id);
                if first && own { genesis.check() } else { Err(LogError::Shape) }
            }
            Act::Add(addition) => {
                self.check_later()?;
                // Whoever has the phrase takes in his own machine.
                let is_limited = addition.role != Role::Owner;
                if self.author == Author::Recovery && is_limited {
                    return Err(LogError::Shape);
                }
                addition.check()
            }
            Act::Epoch(rotation) => {
                self.check_later()?;
                rotation.check()
            }
            Act::Remove(removal) => {
                self.check_later()?;
                // Nobody throws himself out: he would get the key that is made to keep him out.
                if self.author == Author::Device(removal.device) {
                    return Err(LogError::Shape);
                }
                removal.rotation.check()
            }
            Act::Rename(renaming) => {
                self.check_later()?;
                if renaming.label.is_plausible() { Ok(()) } else { Err(LogError::Shape) }
            }
        }
    }

    /// Whether only an owner may say this.
    pub(super) fn needs_owner(&self) -> bool {
        match &self.act {
            Act::Add(_) | Act::Remove(_) => true,
            Act::Rename(renaming) => self.author != Author::Device(renaming.device),
            Act::Genesis(_) | Act::Epoch(_) => false,
        }
    }

    const fn check_later(&self) -> Result<(), LogError> {
        let later = self.vault.is_some() && !self.parents.is_empty();
        if later { Ok(()) } else { Err(LogError::Shape) }
    }
}

impl Act {
    /// Whom it throws out.
    pub(super) const fn thrown_out(&self) -> Option<&DeviceId> {
        match self {
            Self::Remove(removal) => Some(&removal.device),
            Self::Genesis(_) | Self::Add(_) | Self::Epoch(_) | Self::Rename(_) => None,
        }
    }

    /// Whether an epoch begins with it.
    pub(super) const fn begins_epoch(&self) -> bool {
        matches!(self, Self::Epoch(_) | Self::Remove(_))
    }

    /// The device that is in from here on, and its role.
    pub(super) const fn taken_in(&self) -> Option<(&DevicePublic, Role)> {
        match self {
            Self::Genesis(genesis) => Some((&genesis.device, Role::Owner)),
            Self::Add(addition) => Some((&addition.device, addition.role)),
            Self::Epoch(_) | Self::Remove(_) | Self::Rename(_) => None,
        }
    }
}

impl Genesis {
    fn check(&self) -> Result<(), LogError> {
        let to = |key: &[u8; 32], wrap: &Wrap| wrap.to == *key;
        let wrapped = match self.wraps.as_slice() {
            [first, second] => to(&self.device.hpke, first) && to(&self.recovery.hpke, second),
            _ => false,
        };
        if !wrapped || !self.label.is_plausible() {
            return Err(LogError::Shape);
        }
        let recovery = &self.recovery;
        let mut signing = [recovery.signing_id(), recovery.access_id(), self.device.id];
        let keys = signing.iter().all(sign::is_usable)
            && [&recovery.hpke, &self.device.hpke].into_iter().all(crate::keys::wrap::is_usable);
        signing.sort_unstable();
        let distinct = signing.is_sorted_by(|one, next| one < next);
        if keys && distinct { Ok(()) } else { Err(LogError::Key) }
    }
}

impl Addition {
    fn check(&self) -> Result<(), LogError> {
        let ascending = self.wraps.is_sorted_by(|one, next| one.epoch <= next.epoch);
        let own = self.wraps.iter().all(|wrap| wrap.wrap.to == self.device.hpke);
        if !ascending || !own || !self.label.is_plausible() {
            return Err(LogError::Shape);
        }
        let keys =
            sign::is_usable(&self.device.id) && crate::keys::wrap::is_usable(&self.device.hpke);
        if keys { Ok(()) } else { Err(LogError::Key) }
    }
}
