//! What a vault needs, as its devices have told: lists of claims that a holder keeps with the heads that
//! sign for them, so that it can show them to its fellows. Source: specs/tending.md.

use minicbor::{Decode, Encode, bytes::ByteVec};
use thiserror::Error;

use crate::{
    cbor::{self, DecodeError},
    head::{ClaimsDigest, HeadError, SignedHead},
    ids::ShardRoot,
    limits::{CLAIMED_BYTES_MAX, CLAIMED_ROOTS_MAX},
    log::DeviceLog,
};

const ROOT_BYTES: usize = 32;

/// A list of claims with the head that signs for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimedList {
    head: SignedHead,
    roots: Vec<ShardRoot>,
}

/// Why a list is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ClaimedError {
    /// No such record.
    #[error("the list is damaged: {0}")]
    Decode(#[from] DecodeError),
    /// The head is none, or none of this vault.
    #[error(transparent)]
    Head(#[from] HeadError),
    /// Not the list that the head signs for, or too long to be kept.
    #[error("the list is not the one that its head signs for")]
    List,
}

#[derive(Encode, Decode)]
struct Stored {
    #[n(0)]
    head: ByteVec,
    #[n(1)]
    roots: ByteVec,
}

impl ClaimedList {
    /// A list that is the one of its head.
    ///
    /// # Errors
    /// [`ClaimedError`].
    pub fn new(
        head: SignedHead,
        roots: Vec<ShardRoot>,
        log: &DeviceLog,
    ) -> Result<Self, ClaimedError> {
        if roots.len() > CLAIMED_ROOTS_MAX {
            return Err(ClaimedError::List);
        }
        head.verify(log)?;
        let mut digest = ClaimsDigest::new();
        for root in &roots {
            digest.add(root).map_err(|_| ClaimedError::List)?;
        }
        if digest.finish() != head.body().claims {
            return Err(ClaimedError::List);
        }
        Ok(Self { head, roots })
    }

    /// The head that signs for it.
    pub const fn head(&self) -> &SignedHead {
        &self.head
    }

    /// Roots of the packs that are needed, ascending.
    pub fn roots(&self) -> &[ShardRoot] {
        &self.roots
    }

    /// At most so many of those after one.
    pub fn after(&self, last: Option<&ShardRoot>, most: usize) -> &[ShardRoot] {
        let from = last.map_or(0, |last| self.roots.partition_point(|root| root <= last));
        let rest = self.roots.get(from..).unwrap_or_default();
        rest.get(..most).unwrap_or(rest)
    }

    /// The file that keeps it.
    pub fn encode(&self) -> Vec<u8> {
        let roots: Vec<u8> = self.roots.iter().flat_map(|root| *root.as_bytes()).collect();
        cbor::encode(&Stored { head: self.head.bytes().to_vec().into(), roots: roots.into() })
    }

    /// Reads the file.
    ///
    /// # Errors
    /// [`ClaimedError`].
    pub fn decode(bytes: &[u8], log: &DeviceLog) -> Result<Self, ClaimedError> {
        let stored: Stored = cbor::decode(bytes, CLAIMED_BYTES_MAX)?;
        let (roots, rest) = stored.roots.as_chunks::<ROOT_BYTES>();
        if !rest.is_empty() {
            return Err(ClaimedError::List);
        }
        let roots = roots.iter().map(|root| ShardRoot::from_bytes(*root)).collect();
        Self::new(SignedHead::decode(&stored.head)?, roots, log)
    }
}
