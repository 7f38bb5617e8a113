//! Where each chunk is: packs and what they hold.
//!
//! The index is always a cache. Every pack carries its own part of it in a sealed footer; index
//! segments are the same records gathered, so that a restorer need not open every footer.
//! Segments merge as a set union; no writer ever needs a lock. Source: specs/index.md.

mod segment;

use minicbor::{Decode, Encode};

pub use segment::{IndexError, Segment, check_chunks, encode_segments, merge};

use crate::{
    ids::{ChunkId, ShardRoot},
    limits::SHARD_BYTES_MAX,
};

/// What a chunk holds. Bound into its seal, so that one kind can never be passed off as another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(index_only)]
pub enum ChunkKind {
    /// Bytes of one file, or a bundle of small files.
    #[n(0)]
    Data,
    /// A directory node.
    #[n(1)]
    Directory,
    /// A list of extents of a large file.
    #[n(2)]
    Extents,
    /// A snapshot.
    #[n(3)]
    Snapshot,
    /// An index segment.
    #[n(4)]
    Index,
    /// A manifest.
    #[n(5)]
    Manifest,
}

/// Which of the two kinds of packs. Placed by different rules: metadata goes to every holder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(index_only)]
pub enum PackClass {
    /// File bytes: chunks of kind [`ChunkKind::Data`] only.
    #[n(0)]
    Data,
    /// Everything else.
    #[n(1)]
    Metadata,
}

impl ChunkKind {
    /// The class of pack that such a chunk goes into.
    pub const fn class(self) -> PackClass {
        match self {
            Self::Data => PackClass::Data,
            Self::Directory | Self::Extents | Self::Snapshot | Self::Index | Self::Manifest => {
                PackClass::Metadata
            }
        }
    }
}

/// A shard by name and length. The two always travel together: an inner proof accepts some wrong
/// lengths, so a root alone names nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct ShardRef {
    /// BLAKE3 root of the shard's bytes.
    #[n(0)]
    pub root: ShardRoot,
    /// Length of the shard in bytes, padding included.
    #[n(1)]
    pub bytes: u64,
}

impl ShardRef {
    /// Whether the length is one that a shard can have.
    pub const fn is_plausible(&self) -> bool {
        self.bytes > 0 && self.bytes <= SHARD_BYTES_MAX
    }
}

/// One chunk of a pack. Its position in the pack's list is its nonce; its offset is the header
/// plus the sealed lengths before it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub struct ChunkRecord {
    /// Keyed hash of the plaintext.
    #[n(0)]
    pub id: ChunkId,
    /// What it holds.
    #[n(1)]
    pub kind: ChunkKind,
    /// Length in the pack, tag included.
    #[n(2)]
    pub sealed_bytes: u32,
    /// Length of the plaintext.
    #[n(3)]
    pub plain_bytes: u32,
}

/// One pack and all its chunks in order: what a footer says, with the pack's own name added.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub struct PackRecord {
    /// The pack as stored. With replication (k = 1) the pack is its own shard.
    #[n(0)]
    pub shard: ShardRef,
    /// Which kind of pack.
    #[n(1)]
    pub class: PackClass,
    /// Epoch whose key seals it.
    #[n(2)]
    pub epoch: u32,
    /// Salt of its key, as in its header.
    #[cbor(n(3), with = "minicbor::bytes")]
    pub salt: [u8; 32],
    /// Its chunks, in the order of their positions.
    #[n(4)]
    pub chunks: Vec<ChunkRecord>,
}

/// Where one chunk is, complete: enough to fetch, open and check it with nothing but epoch keys.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub struct Location {
    /// The pack that holds it.
    #[n(0)]
    pub shard: ShardRef,
    /// Epoch whose key seals the pack.
    #[n(1)]
    pub epoch: u32,
    /// Salt of the pack's key.
    #[cbor(n(2), with = "minicbor::bytes")]
    pub salt: [u8; 32],
    /// Position in the pack: its nonce.
    #[n(3)]
    pub position: u32,
    /// First byte of the sealed chunk within the pack.
    #[n(4)]
    pub offset: u32,
    /// The chunk itself.
    #[n(5)]
    pub record: ChunkRecord,
}
