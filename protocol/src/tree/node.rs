//! Nodes: what one chunk of a directory or of a list of extents holds.
//!
//! ```text
//! [version, level, items]      level 0: entries or extents; above: children of level - 1
//! ```
//! Everything decoded here has been checked as far as one node alone can be: names, order,
//! lengths. What spans nodes (that a child begins as announced) is checked by
//! [`read`](super::read). Source: specs/tree.md, TREE-1 to TREE-6.

use minicbor::{Decode, Encode, bytes::ByteVec};
use thiserror::Error;

use crate::{
    cbor::{self, DecodeError},
    ids::ChunkId,
    limits::{CHUNK_BYTES_MAX, ENTRY_BYTES_MAX, NODE_LEVELS_MAX},
    tree::entry::{Entry, EntryError, Extent, check_name},
};

/// The one version of nodes so far.
pub const VERSION: u16 = 1;

/// Why a node was not accepted.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum NodeError {
    /// Not a node.
    #[error("not a node")]
    Decode(#[from] DecodeError),
    /// Written by a newer program.
    #[error("a node of version {0}, this program reads version 1")]
    NewerVersion(u16),
    /// A level that no tree reaches, or another than the parent announced.
    #[error("a node of level {0} where none such can be")]
    Level(u8),
    /// An entry that must not be restored.
    #[error("an entry that is not acceptable")]
    Entry(#[from] EntryError),
    /// Names out of order or twice the same, or a node that does not begin as announced.
    #[error("names out of order")]
    Order,
    /// A node of a level above the leaves without children, or an empty leaf below another node.
    #[error("an empty node")]
    Empty,
    /// An extent without bytes, or extents that do not add up as announced.
    #[error("extents do not add up")]
    Extents,
}

/// A node of a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DirectoryNode {
    /// Entries, ascending by name.
    Leaf(Vec<Entry>),
    /// Nodes one level below, ascending by their first names.
    Inner {
        /// Levels below this one, from 1.
        level: u8,
        /// At least one.
        children: Vec<NamedChild>,
    },
}

/// A node below another, in a directory.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct NamedChild {
    /// Name of the first entry below it.
    #[n(0)]
    pub first: ByteVec,
    /// The node.
    #[n(1)]
    pub chunk: ChunkId,
}

/// A node of a list of extents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExtentNode {
    /// Extents in the order of the file.
    Leaf(Vec<Extent>),
    /// Nodes one level below, in the order of the file.
    Inner {
        /// Levels below this one, from 1.
        level: u8,
        /// At least one.
        children: Vec<MeasuredChild>,
    },
}

/// A node below another, in a list of extents.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct MeasuredChild {
    /// Bytes of the file that the extents below it cover.
    #[n(0)]
    pub bytes: u64,
    /// The node.
    #[n(1)]
    pub chunk: ChunkId,
}

/// The form in which every node is written.
#[derive(Encode, Decode)]
struct Record<T> {
    #[n(0)]
    version: u16,
    #[n(1)]
    level: u8,
    #[n(2)]
    items: Vec<T>,
}

impl DirectoryNode {
    /// Decodes a chunk of kind Directory.
    ///
    /// # Errors
    /// [`NodeError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, NodeError> {
        match level_of(bytes)? {
            0 => {
                let entries: Vec<Entry> = items(bytes)?;
                for entry in &entries {
                    entry.check()?;
                }
                if !entries.is_sorted_by(|a, b| *a.name < *b.name) {
                    return Err(NodeError::Order);
                }
                Ok(Self::Leaf(entries))
            }
            level => {
                let children: Vec<NamedChild> = inner_items(bytes)?;
                for child in &children {
                    check_name(&child.first)?;
                }
                if !children.is_sorted_by(|a, b| *a.first < *b.first) {
                    return Err(NodeError::Order);
                }
                Ok(Self::Inner { level, children })
            }
        }
    }

    /// Encodes.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Leaf(entries) => encode(0, entries),
            Self::Inner { level, children } => encode(*level, children),
        }
    }
}

impl ExtentNode {
    /// Decodes a chunk of kind Extents.
    ///
    /// # Errors
    /// [`NodeError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, NodeError> {
        let level = level_of(bytes)?;
        let (node, lengths): (_, Vec<u64>) = if level == 0 {
            let extents: Vec<Extent> = inner_items(bytes)?;
            let lengths = extents.iter().map(Extent::bytes).collect();
            (Self::Leaf(extents), lengths)
        } else {
            let children: Vec<MeasuredChild> = inner_items(bytes)?;
            let lengths = children.iter().map(|child| child.bytes).collect();
            (Self::Inner { level, children }, lengths)
        };
        let sum = lengths.iter().try_fold(0_u64, |sum, length| sum.checked_add(*length));
        if sum.is_none() || lengths.contains(&0) { Err(NodeError::Extents) } else { Ok(node) }
    }

    /// Encodes.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Leaf(extents) => encode(0, extents),
            Self::Inner { level, children } => encode(*level, children),
        }
    }

    /// Bytes of the file that this node covers.
    pub fn bytes(&self) -> u64 {
        match self {
            Self::Leaf(extents) => sum(extents.iter().map(Extent::bytes)),
            Self::Inner { children, .. } => sum(children.iter().map(|child| child.bytes)),
        }
    }
}

/// Adds up lengths; one that would overflow is no file's length and stays at the end.
fn sum(lengths: impl Iterator<Item = u64>) -> u64 {
    lengths.fold(0, u64::saturating_add)
}

fn encode<T: Encode<()> + Clone>(level: u8, items: &[T]) -> Vec<u8> {
    cbor::encode(&Record { version: VERSION, level, items: items.to_vec() })
}

/// Version and level, before the rest is looked at.
fn level_of(bytes: &[u8]) -> Result<u8, NodeError> {
    if let Some(version) = cbor::peek_version(bytes).filter(|version| *version != VERSION) {
        return Err(NodeError::NewerVersion(version));
    }
    let mut decoder = minicbor::Decoder::new(bytes);
    let level = decoder.array().and_then(|_| decoder.u16()).and_then(|_| decoder.u8());
    let level = level.map_err(|_| DecodeError::Malformed)?;
    if level > NODE_LEVELS_MAX { Err(NodeError::Level(level)) } else { Ok(level) }
}

fn items<T>(bytes: &[u8]) -> Result<Vec<T>, NodeError>
where
    T: Encode<()> + for<'b> Decode<'b, ()>,
{
    let record: Record<T> = cbor::decode(bytes, CHUNK_BYTES_MAX)?;
    Ok(record.items)
}

fn inner_items<T>(bytes: &[u8]) -> Result<Vec<T>, NodeError>
where
    T: Encode<()> + for<'b> Decode<'b, ()>,
{
    let items = items(bytes)?;
    if items.is_empty() { Err(NodeError::Empty) } else { Ok(items) }
}

/// A node in the making: its items as they will stand in it, already encoded.
#[derive(Debug, Clone, Default)]
pub(crate) struct NodeBuffer {
    items: Vec<u8>,
    count: u64,
}

impl NodeBuffer {
    pub(crate) const fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub(crate) const fn bytes(&self) -> usize {
        self.items.len()
    }

    pub(crate) fn push(&mut self, item: &[u8]) {
        self.items.extend_from_slice(item);
        self.count += 1;
    }

    /// The node's bytes, equal to those of `encode`; the buffer is empty afterwards.
    pub(crate) fn take(&mut self, level: u8) -> Vec<u8> {
        let Self { items, count } = std::mem::take(self);
        let mut bytes = Vec::with_capacity(items.len() + 12);
        let mut encoder = minicbor::Encoder::new(&mut bytes);
        let head = encoder.array(3).and_then(|e| e.u16(VERSION)).and_then(|e| e.u8(level));
        let head = head.and_then(|e| e.array(count)).map(|_| ());
        head.expect("writing to a Vec cannot fail");
        bytes.extend_from_slice(&items);
        bytes
    }
}

// The longest entry, alone in a node, fits into a chunk.
const _: () = assert!(ENTRY_BYTES_MAX + 16 <= CHUNK_BYTES_MAX);

#[cfg(test)]
mod tests;
