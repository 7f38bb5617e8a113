//! The audit trail of one node: what it saw that no device log tells, signed and chained.
//!
//! ```text
//! entry 1 ◄── entry 2 ◄── entry 3        each names the hash of the one before
//! ```
//! Taking one out, changing one or putting one in breaks the chain; only the newest can be cut off
//! without a trace. Source: specs/trail.md.

use minicbor::{Decode, Encode};
use thiserror::Error;

use crate::{
    cbor::{self, DecodeError},
    ids::{DeviceId, VaultId},
    keys::{DeviceKeys, sign, verify},
    limits::TRAIL_ENTRY_BYTES_MAX,
    signed::Signed,
    text::is_plain,
    time::Timestamp,
};

mod callers;

pub use callers::Callers;

/// The one version so far.
const VERSION: u16 = 1;

/// Names an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(transparent)]
pub struct TrailHash(#[cbor(n(0), with = "minicbor::bytes")] pub [u8; 32]);

/// Something that the node saw or did.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub enum TrailEvent {
    /// It let a device into its vault.
    #[n(0)]
    TookIn {
        /// The device.
        #[n(0)]
        device: DeviceId,
        /// Its name, as it said.
        #[n(1)]
        name: String,
        /// Its site, as it said.
        #[n(2)]
        site: String,
    },
    /// It was let into a vault.
    #[n(1)]
    Became {
        /// The vault.
        #[n(0)]
        vault: VaultId,
        /// Who let it in; `None` for the phrase.
        #[n(1)]
        by: Option<DeviceId>,
    },
    /// It and another vault keep for each other.
    #[n(2)]
    Befriended {
        /// The other vault.
        #[n(0)]
        vault: VaultId,
        /// The device that it paired with.
        #[n(1)]
        device: DeviceId,
        /// That one's name, as it said.
        #[n(2)]
        name: String,
        /// Bytes that it said to keep for this vault.
        #[n(3)]
        granted_bytes: u64,
    },
    /// Somebody came with an invitation, and a person said no.
    #[n(3)]
    Declined {
        /// The device that came.
        #[n(0)]
        device: DeviceId,
    },
    /// It was set to keep so many bytes for others.
    #[n(4)]
    Offered {
        /// Bytes.
        #[n(0)]
        bytes: u64,
    },
    /// Somebody with the phrase of a vault greeted it, to recover or to try whether it would work.
    #[n(5)]
    PhraseCame {
        /// The vault.
        #[n(0)]
        vault: VaultId,
    },
    /// Guardians of a vault asked for its phrase.
    #[n(6)]
    ReleaseAsked {
        /// The vault.
        #[n(0)]
        vault: VaultId,
    },
    /// Its person set about handing a guardian's share over.
    #[n(7)]
    ShareGiven {
        /// The vault whose phrase the share is of.
        #[n(0)]
        vault: VaultId,
    },
    /// Somebody came with an invitation and was let in, by a person or because none was asked: from here
    /// on he may have what is given to a new device or to a circle.
    #[n(8)]
    Accepted {
        /// The device that came.
        #[n(0)]
        device: DeviceId,
        /// Its name, as it said.
        #[n(1)]
        name: String,
    },
    /// Its person said that this vault leaves another one, or stays with it after all.
    #[n(9)]
    Leaves {
        /// The other vault.
        #[n(0)]
        vault: VaultId,
        /// What its devices are called.
        #[n(1)]
        name: String,
        /// Whether it is left.
        #[n(2)]
        leaves: bool,
    },
    /// It forgets a vault that this one is apart from: nothing is kept for it here any more.
    #[n(10)]
    Parted {
        /// The other vault.
        #[n(0)]
        vault: VaultId,
        /// What its devices were called.
        #[n(1)]
        name: String,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
struct Body {
    #[n(0)]
    version: u16,
    #[n(1)]
    device: DeviceId,
    #[n(2)]
    number: u64,
    #[n(3)]
    before: Option<TrailHash>,
    #[n(4)]
    time: Timestamp,
    #[n(5)]
    event: TrailEvent,
}

/// An entry whose signature was checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrailEntry {
    body: Body,
    hash: TrailHash,
    bytes: Vec<u8>,
}

/// Why an entry is none, or does not belong where it stands.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TrailError {
    /// Not the bytes of an entry.
    #[error("it cannot be read: {0}")]
    Decode(#[from] DecodeError),
    /// Of a later version.
    #[error("a newer larder wrote it (version {0})")]
    Newer(u16),
    /// Texts or a number that cannot be.
    #[error("it says what no entry says")]
    Implausible,
    /// Signed by nobody, or by another device.
    #[error("the device that it names did not sign it")]
    Signature,
    /// Of another device than the one before it.
    #[error("it is of another device than the one before it")]
    OtherDevice,
    /// Something is missing, was put in or stands elsewhere.
    #[error("it does not follow the one before it: number {number} after {before}")]
    Broken {
        /// Its number.
        number: u64,
        /// Number of the one before it.
        before: u64,
    },
}

impl TrailEntry {
    /// The entry that follows `last`, the first without one.
    pub fn after(
        last: Option<&Self>,
        (time, event): (Timestamp, TrailEvent),
        keys: &DeviceKeys,
    ) -> Result<Self, TrailError> {
        let number = last.map_or(1, |last| last.body.number.saturating_add(1));
        let before = last.map(|last| last.hash);
        let body = Body { version: VERSION, device: keys.id(), number, before, time, event };
        if !body.is_plausible() {
            return Err(TrailError::Implausible);
        }
        let encoded = cbor::encode(&body);
        let hash = hash_of(&encoded);
        let signature = keys.sign(sign::TRAIL, &encoded);
        Ok(Self { body, hash, bytes: Signed::record(encoded, signature) })
    }

    /// Reads an entry and checks its signature.
    ///
    /// # Errors
    /// [`TrailError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, TrailError> {
        let signed = Signed::decode(bytes, TRAIL_ENTRY_BYTES_MAX)?;
        if let Some(version) = signed.newer(VERSION) {
            return Err(TrailError::Newer(version));
        }
        let body: Body = cbor::decode(&signed.body, TRAIL_ENTRY_BYTES_MAX)?;
        if body.version != VERSION || !body.is_plausible() {
            return Err(TrailError::Implausible);
        }
        if !verify(sign::TRAIL, &body.device, &signed.body, &signed.signature) {
            return Err(TrailError::Signature);
        }
        let hash = hash_of(&signed.body);
        Ok(Self { body, hash, bytes: bytes.to_vec() })
    }

    /// Checks that this one stands right behind `before`.
    ///
    /// # Errors
    /// [`TrailError::OtherDevice`] and [`TrailError::Broken`].
    pub fn follows(&self, before: &Self) -> Result<(), TrailError> {
        if self.body.device != before.body.device {
            return Err(TrailError::OtherDevice);
        }
        let is_next = before.body.number.checked_add(1) == Some(self.body.number);
        if is_next && self.body.before == Some(before.hash) {
            Ok(())
        } else {
            Err(TrailError::Broken { number: self.body.number, before: before.body.number })
        }
    }

    /// The node that signed it.
    pub const fn device(&self) -> DeviceId {
        self.body.device
    }

    /// Its place in the trail, from 1 on.
    pub const fn number(&self) -> u64 {
        self.body.number
    }

    /// When, by that node's clock.
    pub const fn time(&self) -> Timestamp {
        self.body.time
    }

    /// What happened.
    pub const fn event(&self) -> &TrailEvent {
        &self.body.event
    }

    /// Its name.
    pub const fn hash(&self) -> TrailHash {
        self.hash
    }

    /// As it is kept.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl Body {
    fn is_plausible(&self) -> bool {
        let is_text = |text: &String| is_plain(text);
        let has_texts = match &self.event {
            TrailEvent::TookIn { name, site, .. } => is_text(name) && is_text(site),
            TrailEvent::Befriended { name, .. }
            | TrailEvent::Accepted { name, .. }
            | TrailEvent::Leaves { name, .. }
            | TrailEvent::Parted { name, .. } => is_text(name),
            TrailEvent::Became { .. }
            | TrailEvent::Declined { .. }
            | TrailEvent::Offered { .. }
            | TrailEvent::PhraseCame { .. }
            | TrailEvent::ReleaseAsked { .. }
            | TrailEvent::ShareGiven { .. } => true,
        };
        has_texts && (self.number == 1) == self.before.is_none() && self.number > 0
    }
}

fn hash_of(body: &[u8]) -> TrailHash {
    TrailHash(blake3::derive_key("larder 2026 trail entry v1", body))
}

#[cfg(test)]
mod tests;
