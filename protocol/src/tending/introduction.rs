//! A device of a vault introduces its holders to each other, so that they can look after its copies
//! while none of its devices does.
//!
//! Signed by the device; the highest number of each device counts. Sites are tags that only devices of
//! the vault can name. Source: specs/tending.md.

use std::collections::{BTreeMap, BTreeSet};

use minicbor::{Decode, Encode, bytes::ByteVec};
use thiserror::Error;

use crate::{
    cbor::{self, DecodeError},
    ids::{DeviceId, VaultId},
    keys::{DeviceKeys, epoch::ContentKey, sign, verify},
    limits::{
        CLOCK_AHEAD_S_MAX, COPIES_MAX, FELLOWS_MAX, INTRODUCTION_BYTES_MAX,
        INTRODUCTIONS_BYTES_MAX, INTRODUCTIONS_MAX,
    },
    log::DeviceLog,
    peer::are_addresses,
    signed::Signed,
    time::Timestamp,
};

/// Version of the record that this code writes and reads.
pub const VERSION: u16 = 1;

/// Stands for a site: equal for all nodes of one site, and nothing to whoever lacks the vault's keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
#[cbor(transparent)]
pub struct SiteTag(#[cbor(n(0), with = "minicbor::bytes")] pub [u8; 8]);

impl SiteTag {
    /// The tag of the site of this name in the vault of this key.
    pub fn of(content: &ContentKey, name: &str) -> Self {
        let hash = content.site_hash(name);
        Self(std::array::from_fn(|index| hash[index]))
    }
}

/// A node that holds for the vault.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Fellow {
    /// The node.
    #[n(0)]
    pub device: DeviceId,
    /// Where it stands.
    #[n(1)]
    pub site: SiteTag,
    /// Where it was last known to listen, in text form.
    #[n(2)]
    pub addresses: Vec<String>,
}

/// What is signed.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct IntroductionBody {
    /// [`VERSION`].
    #[n(0)]
    pub version: u16,
    /// Whose holders.
    #[n(1)]
    pub vault: VaultId,
    /// The device that says so, and signs.
    #[n(2)]
    pub device: DeviceId,
    /// The highest one of a device counts: the greater of its clock in seconds and one more than its last.
    #[n(3)]
    pub number: u64,
    /// On how many sites each data pack is wanted: 1 to [`COPIES_MAX`].
    #[n(4)]
    pub copies: u8,
    /// Ascending by device, at most [`FELLOWS_MAX`].
    #[n(5)]
    pub holders: Vec<Fellow>,
}

/// Why bytes are no introduction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum IntroductionError {
    /// No such record.
    #[error("the introduction is damaged: {0}")]
    Decode(#[from] DecodeError),
    /// From a newer Larder.
    #[error("the introduction has version {version}, this Larder reads {VERSION}: update")]
    Newer {
        /// Version met.
        version: u16,
    },
    /// It contradicts itself, or breaks a limit.
    #[error("the introduction makes no sense")]
    Shape,
    /// Not of this vault, or not by a device that belongs to it now.
    #[error("the introduction is not by a device of this vault")]
    Stranger,
    /// The signature does not verify.
    #[error("the signature on the introduction is not valid")]
    Signature,
    /// Its number is of a time to come: nothing that the device says later would count.
    #[error("the introduction was made by a clock that is far ahead")]
    Ahead,
}

/// A signed introduction with the bytes it came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Introduction {
    bytes: Vec<u8>,
    body: IntroductionBody,
}

impl IntroductionBody {
    fn check(&self) -> Result<(), IntroductionError> {
        let sound = self.version == VERSION
            && self.number > 0
            && (1..=COPIES_MAX).contains(&self.copies)
            && self.holders.len() <= FELLOWS_MAX
            && self.holders.is_sorted_by(|one, next| one.device < next.device)
            && self.holders.iter().all(|fellow| are_addresses(&fellow.addresses));
        if sound { Ok(()) } else { Err(IntroductionError::Shape) }
    }

    /// Whether it says the same, whenever it was made.
    pub fn says_the_same(&self, other: &Self) -> bool {
        (self.vault, self.device, self.copies) == (other.vault, other.device, other.copies)
            && self.holders == other.holders
    }
}

impl Introduction {
    /// Introduces holders, as the device that `body` names.
    ///
    /// # Errors
    /// [`IntroductionError::Shape`] for what no reader would accept.
    pub fn sign(body: IntroductionBody, device: &DeviceKeys) -> Result<Self, IntroductionError> {
        body.check()?;
        let encoded = cbor::encode(&body);
        let signature = device.sign(sign::INTRODUCTION, &encoded);
        let bytes = Signed::record(encoded, signature);
        let fits = bytes.len() <= INTRODUCTION_BYTES_MAX && body.device == device.id();
        if fits { Ok(Self { bytes, body }) } else { Err(IntroductionError::Shape) }
    }

    /// Reads one that counts by this log.
    ///
    /// # Errors
    /// [`IntroductionError`].
    pub fn decode(bytes: &[u8], log: &DeviceLog) -> Result<Self, IntroductionError> {
        let signed = Signed::decode(bytes, INTRODUCTION_BYTES_MAX)?;
        if let Some(version) = signed.newer(VERSION) {
            return Err(IntroductionError::Newer { version });
        }
        let body: IntroductionBody = cbor::decode(&signed.body, INTRODUCTION_BYTES_MAX)?;
        body.check()?;
        if body.vault != log.vault() || !log.is_device(&body.device) {
            return Err(IntroductionError::Stranger);
        }
        if !verify(sign::INTRODUCTION, &body.device, &signed.body, &signed.signature) {
            return Err(IntroductionError::Signature);
        }
        Ok(Self { bytes: bytes.to_vec(), body })
    }

    /// Whether its number is one that a clock like this one could have given.
    ///
    /// # Errors
    /// [`IntroductionError::Ahead`].
    pub const fn check_number(&self, clock: Timestamp) -> Result<(), IntroductionError> {
        let most = clock.0.saturating_add(CLOCK_AHEAD_S_MAX);
        if self.body.number <= most { Ok(()) } else { Err(IntroductionError::Ahead) }
    }

    /// The bytes, as received.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// What it says.
    pub const fn body(&self) -> &IntroductionBody {
        &self.body
    }
}

/// Everybody who holds for a vault, as its devices say together.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Circle {
    /// On how many sites each data pack is wanted.
    pub copies: u8,
    /// Them, this node among them.
    pub fellows: BTreeMap<DeviceId, Fellow>,
}

/// The introductions of a vault that a node keeps: one of each of its devices.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Introductions {
    of: BTreeMap<DeviceId, Introduction>,
}

#[derive(Encode, Decode)]
#[cbor(map)]
struct Stored {
    #[n(0)]
    version: u16,
    #[n(1)]
    records: Vec<ByteVec>,
}

impl Introductions {
    /// Takes one, if it counts more than the one of that device that is here. True if it was taken.
    pub fn offer(&mut self, introduction: Introduction, log: &DeviceLog) -> bool {
        let device = introduction.body.device;
        let number = introduction.body.number;
        if self.number_of(&device) >= number {
            return false;
        }
        // Those of removed devices make room: there are more keys that once belonged than devices.
        if self.of.len() >= INTRODUCTIONS_MAX && !self.of.contains_key(&device) {
            self.of.retain(|device, _| log.is_device(device));
            if self.of.len() >= INTRODUCTIONS_MAX {
                return false;
            }
        }
        self.of.insert(device, introduction);
        true
    }

    /// Whether no device has said anything.
    pub fn is_empty(&self) -> bool {
        self.of.is_empty()
    }

    /// Number of the one of a device; 0 for none.
    pub fn number_of(&self, device: &DeviceId) -> u64 {
        self.of.get(device).map_or(0, |it| it.body.number)
    }

    /// The one of a device.
    pub fn of(&self, device: &DeviceId) -> Option<&Introduction> {
        self.of.get(device)
    }

    /// Whether some device that belongs to the vault names this node as a holder.
    pub fn names(&self, node: &DeviceId, log: &DeviceLog) -> bool {
        self.circle(log).fellows.contains_key(node)
    }

    /// What the devices that belong to the vault say together. Where two name one node, the later word
    /// counts; so it does for the copies.
    pub fn circle(&self, log: &DeviceLog) -> Circle {
        let mut counting: Vec<_> = self.counting(log).collect();
        counting.sort_by_key(|body| (body.number, body.device));
        let mut circle = Circle::default();
        for body in counting {
            circle.copies = body.copies;
            let fellows = body.holders.iter().filter(|fellow| !log.knows(&fellow.device));
            circle.fellows.extend(fellows.map(|fellow| (fellow.device, fellow.clone())));
        }
        let beyond: BTreeSet<_> = circle.fellows.keys().skip(FELLOWS_MAX).copied().collect();
        circle.fellows.retain(|device, _| !beyond.contains(device));
        circle
    }

    fn counting(&self, log: &DeviceLog) -> impl Iterator<Item = &IntroductionBody> {
        self.of.values().map(Introduction::body).filter(|body| log.is_device(&body.device))
    }

    /// The file that keeps them.
    pub fn encode(&self) -> Vec<u8> {
        let records = self.of.values().map(|it| it.bytes.clone().into()).collect();
        cbor::encode(&Stored { version: VERSION, records })
    }

    /// Reads the file. What does not count by this log is left out.
    ///
    /// # Errors
    /// [`IntroductionError`] when it is no such file.
    pub fn decode(bytes: &[u8], log: &DeviceLog) -> Result<Self, IntroductionError> {
        if let Some(version) = cbor::peek_version(bytes).filter(|version| *version > VERSION) {
            return Err(IntroductionError::Newer { version });
        }
        let stored: Stored = cbor::decode(bytes, INTRODUCTIONS_BYTES_MAX)?;
        let mut all = Self::default();
        for record in stored.records.iter().take(INTRODUCTIONS_MAX) {
            if let Ok(introduction) = Introduction::decode(record, log) {
                all.offer(introduction, log);
            }
        }
        Ok(all)
    }
}
