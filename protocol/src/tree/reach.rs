//! Reach: every chunk that a snapshot's tree leads to. What no tree reaches is not needed.
//!
//! Each node is opened once, however many trees share it, so many snapshots of one folder take
//! little longer than one. Memory: the name of each node. Source: specs/deletion.md.

use std::collections::BTreeSet;

use super::{
    entry::{Content, Entry, Extent, Kind},
    node::{DirectoryNode, ExtentNode},
    read::{Fetch, ReadError},
};
use crate::{ids::ChunkId, index::ChunkKind};

/// What has been reached so far.
#[derive(Debug, Clone, Default)]
pub struct Reach {
    nodes: BTreeSet<ChunkId>,
    /// Nodes that are known and not opened yet.
    ahead: Vec<(ChunkId, ChunkKind)>,
}

impl Reach {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Goes through everything below an entry, and tells `reached` of each chunk: of nodes once, of
    /// data as often as nodes name it. Whatever was reached by an earlier call is not told again.
    ///
    /// # Errors
    /// [`ReadError`]: then not everything was told, and nothing may be concluded from what was not.
    pub fn through<E>(
        &mut self,
        root: &Entry,
        fetch: &mut impl Fetch<E>,
        reached: &mut impl FnMut(ChunkId) -> Result<(), E>,
    ) -> Result<(), ReadError<E>> {
        self.entry(root, reached)?;
        while let Some((chunk, kind)) = self.ahead.pop() {
            reached(chunk).map_err(ReadError::Fetch)?;
            let bytes = fetch(chunk, kind).map_err(ReadError::Fetch)?;
            if kind == ChunkKind::Directory {
                match DirectoryNode::decode(&bytes)? {
                    DirectoryNode::Leaf(entries) => {
                        entries.iter().try_for_each(|entry| self.entry(entry, reached))?;
                    }
                    DirectoryNode::Inner { children, .. } => {
                        children.iter().for_each(|child| self.node(child.chunk, kind));
                    }
                }
            } else {
                match ExtentNode::decode(&bytes)? {
                    ExtentNode::Leaf(extents) => extents_of(&extents, reached)?,
                    ExtentNode::Inner { children, .. } => {
                        children.iter().for_each(|child| self.node(child.chunk, kind));
                    }
                }
            }
        }
        Ok(())
    }

    fn node(&mut self, chunk: ChunkId, kind: ChunkKind) {
        if self.nodes.insert(chunk) {
            self.ahead.push((chunk, kind));
        }
    }

    fn entry<E>(
        &mut self,
        entry: &Entry,
        reached: &mut impl FnMut(ChunkId) -> Result<(), E>,
    ) -> Result<(), ReadError<E>> {
        match &entry.kind {
            Kind::Directory { node } => self.node(*node, ChunkKind::Directory),
            Kind::File { content: Content::Listed(node), .. } => {
                self.node(*node, ChunkKind::Extents);
            }
            Kind::File { content: Content::Inline(extents), .. } => extents_of(extents, reached)?,
            Kind::Symlink { .. }
            | Kind::Fifo
            | Kind::Socket
            | Kind::CharDevice { .. }
            | Kind::BlockDevice { .. } => {}
        }
        Ok(())
    }
}

fn extents_of<E>(
    extents: &[Extent],
    reached: &mut impl FnMut(ChunkId) -> Result<(), E>,
) -> Result<(), ReadError<E>> {
    for extent in extents {
        match extent {
            Extent::Chunk { chunk, .. } | Extent::Slice { chunk, .. } => {
                reached(*chunk).map_err(ReadError::Fetch)?;
            }
            Extent::Hole { .. } => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
