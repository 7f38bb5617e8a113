//! The frames of a meeting. Source: specs/meeting.md.

use minicbor::{Decode, Encode, bytes::ByteVec};
use thiserror::Error;

use super::Failed;
use crate::{cbor, limits::MEETING_FRAME_BYTES_MAX, wire::frame::encode_frame};

/// One frame.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub(super) enum Frame {
    /// Guest's first word.
    #[n(0)]
    Hello {
        #[n(0)]
        version: u16,
        #[cbor(n(1), with = "minicbor::bytes")]
        point: [u8; 32],
    },
    /// Host's point.
    #[n(1)]
    Answer {
        #[cbor(n(0), with = "minicbor::bytes")]
        point: [u8; 32],
    },
    /// The guest has the code.
    #[n(2)]
    Proof {
        #[cbor(n(0), with = "minicbor::bytes")]
        proof: [u8; 32],
    },
    /// So has the host, and this is what it was for.
    #[n(3)]
    Invitation {
        #[cbor(n(0), with = "minicbor::bytes")]
        proof: [u8; 32],
        #[n(1)]
        sealed: ByteVec,
    },
    /// It ends here.
    #[n(4)]
    Refuse {
        #[n(0)]
        reason: Refusal,
    },
}

/// Why a side ends a meeting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Error, Encode, Decode)]
#[cbor(index_only)]
pub enum Refusal {
    /// Of another version.
    #[error("it speaks another version")]
    #[n(0)]
    Version,
    /// The proof does not fit.
    #[error("the codes differ")]
    #[n(1)]
    WrongCode,
    /// There is no code here any more.
    #[error("its code was used or has expired")]
    #[n(2)]
    Gone,
    /// What was sent is not valid.
    #[error("it found what this side sent not valid")]
    #[n(3)]
    Invalid,
}

impl Frame {
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, Failed> {
        cbor::decode(bytes, MEETING_FRAME_BYTES_MAX).map_err(Failed::Garbage)
    }

    /// The frame with its length, ready to be sent.
    pub(super) fn encode(&self) -> Vec<u8> {
        encode_frame(self).expect("a ticket fits a frame")
    }
}
