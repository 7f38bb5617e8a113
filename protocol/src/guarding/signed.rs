//! A body as the bytes that were signed, with the one signature: the form of all records of guardians.

use minicbor::{Decode, Encode, bytes::ByteVec};

use super::set::VERSION;
use crate::cbor::{self, DecodeError};

#[derive(Encode, Decode)]
pub(super) struct Signed {
    #[n(0)]
    pub(super) body: ByteVec,
    #[cbor(n(1), with = "minicbor::bytes")]
    pub(super) signature: [u8; 64],
}

impl Signed {
    /// The record of this body.
    pub(super) fn record(body: Vec<u8>, signature: [u8; 64]) -> Vec<u8> {
        cbor::encode(&Self { body: body.into(), signature })
    }

    /// Reads a record of at most `max` bytes.
    pub(super) fn decode(bytes: &[u8], max: usize) -> Result<Self, DecodeError> {
        cbor::decode(bytes, max)
    }

    /// The version of the body, if this code cannot read it.
    pub(super) fn newer(&self) -> Option<u16> {
        cbor::peek_version(&self.body).filter(|version| *version > VERSION)
    }
}
