//! Splits a sequence of items into nodes, and the nodes' sequence into nodes, up to one root.
//!
//! Cuts depend on the items next to them alone ("prolly tree"), so that a changed item changes
//! one node of each level, and equal sequences have equal nodes however they came about.
//! Source: specs/tree.md, TREE-7 to TREE-9.

use std::{collections::VecDeque, fmt};

use minicbor::bytes::ByteVec;

use crate::{
    cbor,
    ids::ChunkId,
    index::ChunkKind,
    keys::epoch::ContentKey,
    limits::{NODE_BYTES_AVG, NODE_BYTES_MAX, NODE_LEVELS_MAX},
    tree::node::{MeasuredChild, NamedChild, NodeBuffer},
};

/// A chunk of metadata that a builder has made and its owner is to store, unless it is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewChunk {
    /// Its identifier.
    pub id: ChunkId,
    /// What it holds.
    pub kind: ChunkKind,
    /// Its plaintext.
    pub plain: Vec<u8>,
}

/// Chunks made and not yet taken.
pub(crate) type Made = VecDeque<NewChunk>;

/// The keys of a vault that decide where nodes are cut and how they are named.
#[derive(Clone)]
pub(crate) struct NodeKeys {
    content: ContentKey,
    cut: [u8; 32],
}

impl NodeKeys {
    pub(crate) fn new(content: &ContentKey) -> Self {
        Self { content: content.clone(), cut: content.cut_key("larder 2026 node cut v1") }
    }

    /// Whether a node of `level` is cut before an item of this length and mark: with a chance
    /// in proportion to the length, so that nodes have about [`NODE_BYTES_AVG`] bytes whatever
    /// their items are.
    fn cuts_before(&self, level: u8, mark: &[u8], bytes: usize) -> bool {
        let hash = blake3::Hasher::new_keyed(&self.cut).update(&[level]).update(mark).finalize();
        let [a, b, c, d, ..] = *hash.as_bytes();
        let draw = u64::from(u32::from_le_bytes([a, b, c, d]));
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        draw < bytes.saturating_mul(DRAWS_PER_BYTE)
    }

    fn make(&self, kind: ChunkKind, plain: Vec<u8>, made: &mut Made) -> ChunkId {
        let id = self.content.chunk_id(kind, &plain);
        made.push_back(NewChunk { id, kind, plain });
        id
    }
}

impl fmt::Debug for NodeKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NodeKeys(secret)")
    }
}

/// 2^32 / [`NODE_BYTES_AVG`].
const DRAWS_PER_BYTE: u64 = 1 << 16;
const _: () = assert!(NODE_BYTES_AVG == 1 << 16);

/// How a node is named in the level above it.
#[derive(Debug, Clone)]
pub(crate) enum Label {
    /// By its first name (directories).
    First(Vec<u8>),
    /// By the length that it covers (lists of extents).
    Bytes(u64),
}

/// The nodes of one sequence that are still open, one for each level, leaves first.
#[derive(Debug, Clone)]
pub(crate) struct Splitter {
    kind: ChunkKind,
    levels: Vec<Level>,
}

#[derive(Debug, Clone)]
struct Level {
    node: NodeBuffer,
    label: Label,
}

impl Splitter {
    /// For nodes of this kind: `Directory` or `Extents`.
    pub(crate) const fn new(kind: ChunkKind) -> Self {
        Self { kind, levels: Vec::new() }
    }

    /// Appends an item, encoded. `mark` decides about the cut before it.
    pub(crate) fn push(&mut self, keys: &NodeKeys, item: Item, made: &mut Made) {
        self.push_at(0, keys, item, made);
    }

    /// Closes all nodes; the root's identifier. An empty sequence has an empty leaf.
    pub(crate) fn finish(mut self, keys: &NodeKeys, made: &mut Made) -> ChunkId {
        let mut number = 0;
        loop {
            let is_root = usize::from(number) + 1 >= self.levels.len();
            let Some(level) = self.levels.get_mut(usize::from(number)) else {
                return keys.make(self.kind, NodeBuffer::default().take(number), made);
            };
            let chunk = keys.make(self.kind, level.node.take(number), made);
            if is_root {
                return chunk;
            }
            let item = Item::child(&level.label, chunk);
            number += 1;
            self.push_at(number, keys, item, made);
        }
    }

    /// Appends an item at a level. A node that is closed by it becomes an item one level up.
    fn push_at(&mut self, from: u8, keys: &NodeKeys, item: Item, made: &mut Made) {
        let mut item = item;
        for number in from..=NODE_LEVELS_MAX {
            let Some(level) = self.levels.get_mut(usize::from(number)) else {
                let mut node = NodeBuffer::default();
                node.push(&item.encoded);
                self.levels.push(Level { node, label: item.label });
                return;
            };
            let cut = level.node.bytes() + item.encoded.len() > NODE_BYTES_MAX
                || keys.cuts_before(number, &item.mark, item.encoded.len());
            // The uppermost level is never cut: no tree of this world comes near it.
            let empty = level.node.is_empty();
            if empty || !cut || number == NODE_LEVELS_MAX {
                level.node.push(&item.encoded);
                level.label.extend(empty, item.label);
                return;
            }
            let chunk = keys.make(self.kind, level.node.take(number), made);
            level.node.push(&item.encoded);
            let closed = std::mem::replace(&mut level.label, item.label);
            item = Item::child(&closed, chunk);
        }
    }
}

/// An item on its way into a node.
#[derive(Debug)]
pub(crate) struct Item {
    /// As it will stand in the node.
    pub(crate) encoded: Vec<u8>,
    /// What decides about the cut before it.
    pub(crate) mark: Vec<u8>,
    /// How the node above names it.
    pub(crate) label: Label,
}

impl Item {
    fn child(label: &Label, chunk: ChunkId) -> Self {
        let (encoded, mark) = match label {
            Label::First(name) => {
                let child = NamedChild { first: ByteVec::from(name.clone()), chunk };
                (cbor::encode(&child), name.clone())
            }
            Label::Bytes(bytes) => {
                let child = MeasuredChild { bytes: *bytes, chunk };
                (cbor::encode(&child), chunk.as_bytes().to_vec())
            }
        };
        Self { encoded, mark, label: label.clone() }
    }
}

impl Label {
    /// Takes the label of a further item into that of the node.
    fn extend(&mut self, empty: bool, item: Self) {
        match (self, item) {
            (Self::Bytes(sum), Self::Bytes(bytes)) => {
                let before = if empty { 0 } else { *sum };
                *sum = before.saturating_add(bytes);
            }
            (label, item) if empty => *label = item,
            (Self::First(_) | Self::Bytes(_), _) => {}
        }
    }
}
