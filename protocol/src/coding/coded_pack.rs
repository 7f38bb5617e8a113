//! What a holder has to know of a coded pack to rebuild a shard of it, and no more: no key, no id of
//! a chunk. Source: specs/coding.md.

use minicbor::{Decode, Encode};
use thiserror::Error;

use super::{Coding, CodingError, Layout, ShardNumber};
use crate::{
    cbor::{self, DecodeError},
    ids::ShardRoot,
    index::ShardRef,
    limits::CODED_PACK_BYTES_MAX,
};

/// The one version of this record so far.
const VERSION: u16 = 1;

/// A pack as its shards: `k`, the length of the pack, and the roots of all `n` shards in order.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct CodedPack {
    #[n(0)]
    version: u16,
    #[n(1)]
    data: u8,
    #[n(2)]
    pack_bytes: u64,
    #[n(3)]
    roots: Vec<ShardRoot>,
}

/// Why a record was not accepted.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CodedPackError {
    /// Not a record of a coded pack.
    #[error("not a record of a coded pack")]
    Decode(#[from] DecodeError),
    /// Written by a newer program.
    #[error("a coded pack of version {0}, this program reads version 1")]
    NewerVersion(u16),
    /// Numbers that no pack and no code has.
    #[error("an impossible coded pack")]
    Coding(#[from] CodingError),
    /// Shards that are all the pack itself, under different roots.
    #[error("copies of one pack that have different roots")]
    Copies,
}

impl CodedPack {
    /// A pack of that length and the roots of its shards, from shard 0 on.
    ///
    /// # Errors
    /// [`CodedPackError::Coding`], [`CodedPackError::Copies`].
    pub fn new(data: u8, pack_bytes: u64, roots: Vec<ShardRoot>) -> Result<Self, CodedPackError> {
        let pack = Self { version: VERSION, data, pack_bytes, roots };
        pack.check()?;
        Ok(pack)
    }

    fn check(&self) -> Result<(), CodedPackError> {
        let met = self.roots.len();
        let shards = u8::try_from(met).map_err(|_| CodingError::Shards { met, data: self.data })?;
        Coding::new(self.data, shards)?.layout(self.pack_bytes)?;
        let mut pairs = self.roots.iter().zip(self.roots.iter().skip(1));
        if self.data == 1 && pairs.any(|(one, next)| one != next) {
            return Err(CodedPackError::Copies);
        }
        Ok(())
    }

    /// The canonical encoding.
    pub fn encode(&self) -> Vec<u8> {
        cbor::encode(self)
    }

    /// Decodes and checks a record.
    ///
    /// # Errors
    /// [`CodedPackError`] when it is not the canonical encoding of a pack that can be.
    pub fn decode(bytes: &[u8]) -> Result<Self, CodedPackError> {
        if let Some(version) = cbor::peek_version(bytes).filter(|version| *version != VERSION) {
            return Err(CodedPackError::NewerVersion(version));
        }
        let pack: Self = cbor::decode(bytes, CODED_PACK_BYTES_MAX)?;
        pack.check()?;
        Ok(pack)
    }

    /// `k` and `n`.
    pub fn coding(&self) -> Coding {
        let shards = u8::try_from(self.roots.len()).ok();
        let coding = shards.and_then(|shards| Coding::new(self.data, shards).ok());
        coding.expect("checked when the record was made")
    }

    /// Where the bytes of the pack are in its shards.
    pub fn layout(&self) -> Layout {
        Layout::new(self.data, self.pack_bytes).expect("checked when the record was made")
    }

    /// The shard of that number, by name and length; `None` when it has not been made.
    pub fn shard(&self, number: ShardNumber) -> Option<ShardRef> {
        let root = *self.roots.get(number.place())?;
        Some(ShardRef { root, bytes: self.layout().shard_bytes() })
    }

    /// The shard of that name; the first, when several are equal.
    pub fn number_of(&self, root: &ShardRoot) -> Option<ShardNumber> {
        self.coding()
            .numbers()
            .zip(&self.roots)
            .find_map(|(number, other)| (other == root).then_some(number))
    }

    /// Whether this is `earlier` with more shards, or with as many: the same pack, and every shard
    /// that was made still stands.
    pub fn extends(&self, earlier: &Self) -> bool {
        self.data == earlier.data
            && self.pack_bytes == earlier.pack_bytes
            && self.roots.starts_with(&earlier.roots)
    }
}
