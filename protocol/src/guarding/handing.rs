//! A guardian hands its share to whoever has asked for help, by an invitation of that kind.
//!
//! One frame there, one frame back. The connection proves both keys; the frame proves that the
//! guardian was told the code. Source: specs/guarding.md.

use minicbor::{Decode, Encode, bytes::ByteVec};
use thiserror::Error;

use super::sharing::Share;
use crate::{
    cbor,
    ids::DeviceId,
    limits::{GUARDIAN_HOLDERS_MAX, HANDED_BYTES_MAX},
    peer::PeerRecord,
    text,
    ticket::Invite,
    wire::frame::encode_frame,
};

/// Its name in the TLS handshake.
pub const ALPN: &[u8] = b"larder/help/1";

/// The one version of this exchange so far.
pub const VERSION: u16 = 1;

/// What a guardian brings.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Handed {
    /// [`VERSION`].
    #[n(0)]
    pub version: u16,
    /// Shows that the guardian has the invitation.
    #[cbor(n(1), with = "minicbor::bytes")]
    pub proof: [u8; 32],
    /// What the guardian's device is called.
    #[n(2)]
    pub name: String,
    /// First entry of the device log of the vault: its hash is the vault's name, and it names the keys of
    /// the phrase.
    #[n(3)]
    pub genesis: ByteVec,
    /// The set, signed by that phrase.
    #[n(4)]
    pub set: ByteVec,
    /// The share, opened.
    #[n(5)]
    pub share: Share,
    /// Nodes that may hold for the vault; at most [`GUARDIAN_HOLDERS_MAX`].
    #[n(6)]
    pub holders: Vec<PeerRecord>,
}

/// The answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub enum HandedAnswer {
    /// The share is kept.
    #[n(0)]
    Taken {
        /// How many are there now.
        #[n(0)]
        have: u8,
        /// How many are enough.
        #[n(1)]
        needed: u8,
    },
    /// It is not.
    #[n(1)]
    Refused {
        /// Why.
        #[n(0)]
        reason: HandRefusal,
    },
}

/// Why a share is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error, Encode, Decode)]
#[cbor(index_only)]
pub enum HandRefusal {
    /// Of another version.
    #[error("it speaks another version")]
    #[n(0)]
    Version,
    /// The code was not proved to be known, or it is over.
    #[error("the code is not that of who asks, or it has expired")]
    #[n(1)]
    WrongCode,
    /// Set or share do not hold.
    #[error("the share does not fit its set")]
    #[n(2)]
    Invalid,
    /// It is another vault that is to be recovered, or there are shares of too many already.
    #[error("it is another vault that is to be recovered there")]
    #[n(3)]
    OtherVault,
    /// Its disk failed.
    #[error("it could not keep the share")]
    #[n(4)]
    Internal,
}

impl Handed {
    /// The frame with its length, ready to be sent.
    ///
    /// # Errors
    /// When there is more than a frame holds.
    pub fn frame(&self) -> Result<Vec<u8>, crate::wire::frame::FrameError> {
        encode_frame(self)
    }

    /// Reads the content of a frame.
    ///
    /// # Errors
    /// [`HandRefusal`].
    pub fn decode(bytes: &[u8]) -> Result<Self, HandRefusal> {
        match cbor::peek_version(bytes) {
            Some(VERSION) => {}
            Some(_) => return Err(HandRefusal::Version),
            None => return Err(HandRefusal::Invalid),
        }
        let handed: Self =
            cbor::decode(bytes, HANDED_BYTES_MAX).map_err(|_| HandRefusal::Invalid)?;
        let is_sound = text::is_plain(&handed.name)
            && handed.holders.len() <= GUARDIAN_HOLDERS_MAX
            && handed.holders.iter().all(PeerRecord::is_plausible);
        if is_sound { Ok(handed) } else { Err(HandRefusal::Invalid) }
    }
}

impl HandedAnswer {
    /// The frame with its length, ready to be sent.
    pub fn frame(&self) -> Vec<u8> {
        encode_frame(self).expect("an answer is short")
    }

    /// Reads the content of a frame; `None` if it is none.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        cbor::decode(bytes, HANDED_BYTES_MAX).ok()
    }
}

impl Invite {
    /// By which a guardian shows that it was given this invitation for help.
    pub fn help_proof(&self, guardian: &DeviceId) -> blake3::Hash {
        let key = blake3::derive_key("larder 2026 help proof v1", &self.secret.0);
        let both = [&guardian.as_bytes()[..], self.inviter.as_bytes()].concat();
        blake3::keyed_hash(&key, &both)
    }
}
