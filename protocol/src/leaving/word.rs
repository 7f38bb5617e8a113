//! How one device stands to another vault: signed, of each the highest number counts.

use minicbor::{Decode, Encode};
use thiserror::Error;

use super::Pair;
use crate::{
    cbor::{self, DecodeError},
    ids::{DeviceId, VaultId},
    keys::{DeviceKeys, sign, verify},
    limits::{CLOCK_AHEAD_S_MAX, LEAVING_WORD_BYTES_MAX},
    log::DeviceLog,
    signed::Signed,
    time::Timestamp,
};

/// Version of the record that this code writes and reads.
pub const VERSION: u16 = 1;

/// What a user of this device said last: that the vault leaves the other one, or stays. Of the devices of a
/// vault the highest number counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
#[cbor(map)]
pub struct Wish {
    /// Higher than that of every wish between the two that was known when it was expressed.
    #[n(0)]
    pub number: u64,
    /// Whether it is to leave.
    #[n(1)]
    pub leaves: bool,
    /// Number of the newest wish to stay that was known then; 0 for none. It outlives the word that
    /// expressed it, which a later one of the same device replaces.
    #[n(2)]
    pub stayed: u64,
}

impl Wish {
    /// The number of its vault's newest wish to stay, as far as this one tells.
    pub(super) const fn newest_stay(&self) -> u64 {
        if self.leaves { self.stayed } else { self.number }
    }
}

/// What is signed.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct WordBody {
    /// [`VERSION`].
    #[n(0)]
    pub version: u16,
    /// The vault of the device.
    #[n(1)]
    pub vault: VaultId,
    /// Who says so, and signs.
    #[n(2)]
    pub device: DeviceId,
    /// The vault that it is about.
    #[n(3)]
    pub other: VaultId,
    /// The highest of a device about one vault counts: the greater of its clock in seconds and one more than
    /// its last.
    #[n(4)]
    pub number: u64,
    /// What its user said, if anybody asked for anything here.
    #[n(5)]
    pub wish: Option<Wish>,
    /// It has no need of what the other vault keeps for it, since the wish of this number.
    #[n(6)]
    pub waives: Option<u64>,
}

impl WordBody {
    /// Between whom.
    pub const fn pair(&self) -> Pair {
        Pair { vault: self.vault, other: self.other }
    }

    /// The highest of its numbers.
    fn highest(&self) -> u64 {
        let wish = self.wish.map_or(0, |wish| wish.number);
        self.number.max(wish).max(self.waives.unwrap_or(0))
    }

    fn is_sound(&self) -> bool {
        let is_numbered = self.number > 0 && self.wish.is_none_or(|wish| wish.number > wish.stayed);
        self.version == VERSION && self.vault != self.other && is_numbered
    }
}

/// Why a word does not count.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum WordError {
    /// Not the bytes of one.
    #[error("it cannot be read: {0}")]
    Decode(#[from] DecodeError),
    /// Of a later version.
    #[error("a newer larder wrote it (version {version})")]
    Newer {
        /// Which.
        version: u16,
    },
    /// Says what no word says.
    #[error("it says what makes no sense")]
    Shape,
    /// By nobody who belongs to the vault.
    #[error("no device of the vault said it")]
    Stranger,
    /// A wish to leave by a member of the vault.
    #[error("a member of the vault wishes to leave for all of it")]
    Member,
    /// The signature is not the device's.
    #[error("its signature is not that of the device")]
    Signature,
    /// Its numbers are ahead of the clock.
    #[error("its numbers are ahead of the clock here")]
    Ahead,
}

/// A word whose signature was checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeavingWord {
    body: WordBody,
    bytes: Vec<u8>,
}

impl LeavingWord {
    /// Says it, as the device that `body` names.
    ///
    /// # Errors
    /// [`WordError::Shape`] for what no reader would accept.
    pub fn sign(body: WordBody, device: &DeviceKeys) -> Result<Self, WordError> {
        if !body.is_sound() || body.device != device.id() {
            return Err(WordError::Shape);
        }
        let encoded = cbor::encode(&body);
        let signature = device.sign(sign::LEAVING, &encoded);
        Ok(Self { bytes: Signed::record(encoded, signature), body })
    }

    /// Reads one of whoever signed it; whether that one belongs to the vault is another question.
    ///
    /// # Errors
    /// [`WordError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, WordError> {
        let signed = Signed::decode(bytes, LEAVING_WORD_BYTES_MAX)?;
        if let Some(version) = signed.newer(VERSION) {
            return Err(WordError::Newer { version });
        }
        let body: WordBody = cbor::decode(&signed.body, LEAVING_WORD_BYTES_MAX)?;
        if !body.is_sound() {
            return Err(WordError::Shape);
        }
        if !verify(sign::LEAVING, &body.device, &signed.body, &signed.signature) {
            return Err(WordError::Signature);
        }
        Ok(Self { body, bytes: bytes.to_vec() })
    }

    /// Whether it counts: said by a device that lives in this log, and with a wish to leave by an owner, with numbers
    /// that a clock like this one could have given. A number from far ahead could never be answered.
    ///
    /// # Errors
    /// [`WordError::Stranger`], [`WordError::Member`], [`WordError::Ahead`].
    pub fn check(&self, log: &DeviceLog, clock: Timestamp) -> Result<(), WordError> {
        if self.body.vault != log.vault() || !log.is_device(&self.body.device) {
            return Err(WordError::Stranger);
        }
        let leaves = self.body.wish.is_some_and(|wish| wish.leaves);
        if leaves && !log.is_owner(&self.body.device) {
            return Err(WordError::Member);
        }
        self.check_numbers(clock)
    }

    /// Whether its numbers are some that a clock like this one could have given: for whoever has no log of that
    /// vault, and knows its devices otherwise.
    ///
    /// # Errors
    /// [`WordError::Ahead`].
    pub fn check_numbers(&self, clock: Timestamp) -> Result<(), WordError> {
        let most = clock.0.saturating_add(CLOCK_AHEAD_S_MAX);
        if self.body.highest() <= most { Ok(()) } else { Err(WordError::Ahead) }
    }

    /// The bytes, as received.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// What it says.
    pub const fn body(&self) -> &WordBody {
        &self.body
    }
}
