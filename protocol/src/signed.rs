//! A body as the bytes that were signed, with the one signature: the form of records that one key signs.

use minicbor::{Decode, Encode, bytes::ByteVec};

use crate::cbor::{self, DecodeError};

#[derive(Encode, Decode)]
pub(crate) struct Signed {
    #[n(0)]
    pub(crate) body: ByteVec,
    #[cbor(n(1), with = "minicbor::bytes")]
    pub(crate) signature: [u8; 64],
}

impl Signed {
    /// The record of this body.
    pub(crate) fn record(body: Vec<u8>, signature: [u8; 64]) -> Vec<u8> {
        cbor::encode(&Self { body: body.into(), signature })
    }

    /// Reads a record of at most `max` bytes.
    pub(crate) fn decode(bytes: &[u8], max: usize) -> Result<Self, DecodeError> {
        cbor::decode(bytes, max)
    }

    /// The version of the body, if it is above the one that the caller reads.
    pub(crate) fn newer(&self, reads: u16) -> Option<u16> {
        cbor::peek_version(&self.body).filter(|version| *version > reads)
    }
}
