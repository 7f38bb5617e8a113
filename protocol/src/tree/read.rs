//! Reads trees: whoever calls brings a function that fetches a chunk by its identifier.
//!
//! Identifiers are hashes of content, so no tree can contain itself; depth and levels are bounded
//! all the same. A tree is hostile until walked: each node is checked on its own when it is
//! decoded, and here it is checked that nodes fit together. Source: specs/tree.md, TREE-11 to 14.

use std::vec;

use thiserror::Error;

use crate::{
    ids::ChunkId,
    index::ChunkKind,
    limits::{NODE_LEVELS_MAX, TREE_DEPTH_MAX},
    tree::{
        entry::{Content, Entry, Extent, Kind},
        node::{DirectoryNode, ExtentNode, MeasuredChild, NamedChild, NodeError},
    },
};

/// Why a tree could not be read. `E` is the error of the function that fetches chunks.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ReadError<E> {
    /// A chunk could not be fetched.
    #[error("a chunk of the tree could not be fetched")]
    Fetch(#[source] E),
    /// A node that is not acceptable.
    #[error("a node of the tree is not acceptable")]
    Node(#[from] NodeError),
    /// Directories nested deeper than a tree may be.
    #[error("directories nested deeper than {TREE_DEPTH_MAX}")]
    TooDeep,
}

/// What fetches the plaintext of a chunk.
pub trait Fetch<E>: FnMut(ChunkId, ChunkKind) -> Result<Vec<u8>, E> {}
impl<E, F: FnMut(ChunkId, ChunkKind) -> Result<Vec<u8>, E>> Fetch<E> for F {}

/// Goes through one directory, node by node.
#[derive(Debug, Clone)]
pub struct DirectoryCursor {
    /// Nodes not yet opened, the next one last; each with its level (`None`: any, for the root)
    /// and the name with which it begins.
    ahead: Vec<Ahead>,
    entries: vec::IntoIter<Entry>,
    /// Last name given out: everything after must be greater.
    last: Vec<u8>,
}

#[derive(Debug, Clone)]
struct Ahead {
    chunk: ChunkId,
    level: Option<u8>,
    first: Vec<u8>,
}

impl DirectoryCursor {
    /// Starts before the first entry of the directory whose root node this is.
    pub fn new(node: ChunkId) -> Self {
        let root = Ahead { chunk: node, level: None, first: Vec::new() };
        Self { ahead: vec![root], entries: Vec::new().into_iter(), last: Vec::new() }
    }

    /// The next entry, ascending by name.
    ///
    /// # Errors
    /// [`ReadError`]; do not go on after one.
    pub fn next_entry<E>(
        &mut self,
        fetch: &mut impl Fetch<E>,
    ) -> Result<Option<Entry>, ReadError<E>> {
        loop {
            if let Some(entry) = self.entries.next() {
                if *entry.name <= self.last {
                    return Err(NodeError::Order.into());
                }
                self.last = entry.name.to_vec();
                return Ok(Some(entry));
            }
            let Some(next) = self.ahead.pop() else { return Ok(None) };
            match open_directory(next.chunk, next.level, &next.first, fetch)? {
                DirectoryNode::Leaf(entries) => self.entries = entries.into_iter(),
                DirectoryNode::Inner { level, children } => {
                    let below = children.into_iter().rev().map(|child| Ahead {
                        chunk: child.chunk,
                        level: level.checked_sub(1),
                        first: child.first.into(),
                    });
                    self.ahead.extend(below);
                }
            }
        }
    }
}

/// Fetches and decodes a node, and checks that it is what its parent said.
pub(crate) fn open_directory<E>(
    chunk: ChunkId,
    level: Option<u8>,
    first: &[u8],
    fetch: &mut impl Fetch<E>,
) -> Result<DirectoryNode, ReadError<E>> {
    let bytes = fetch(chunk, ChunkKind::Directory).map_err(ReadError::Fetch)?;
    let node = DirectoryNode::decode(&bytes)?;
    let (found, name) = match &node {
        DirectoryNode::Leaf(entries) => (0, entries.first().map(|entry| &entry.name)),
        DirectoryNode::Inner { level, children } => {
            (*level, children.first().map(|child| &child.first))
        }
    };
    match level {
        None => Ok(node),
        Some(level) if level != found => Err(NodeError::Level(found).into()),
        Some(_) => match name {
            None => Err(NodeError::Empty.into()),
            Some(name) if name.as_slice() == first => Ok(node),
            Some(_) => Err(NodeError::Order.into()),
        },
    }
}

/// A step of a [`Walk`].
#[derive(Debug, PartialEq, Eq)]
pub enum Step<'a> {
    /// An entry that is no directory.
    Entry {
        /// Path from the root of the tree, components joined by slashes.
        path: &'a [u8],
        /// The entry.
        entry: Entry,
    },
    /// A directory; its entries follow, unless [`Walk::skip`] is called now.
    Enter {
        /// Its path.
        path: &'a [u8],
        /// The directory's own entry.
        entry: &'a Entry,
    },
    /// The end of a directory: the time to set its attributes.
    Leave {
        /// Its path.
        path: &'a [u8],
        /// The directory's own entry.
        entry: Entry,
    },
}

/// Goes through a whole tree, depth first, names of each directory ascending.
#[derive(Debug, Clone)]
pub struct Walk {
    root: DirectoryCursor,
    open: Vec<Open>,
    path: Vec<u8>,
    /// Length of the path to go back to before the next step.
    back_to: usize,
}

#[derive(Debug, Clone)]
struct Open {
    entry: Entry,
    cursor: DirectoryCursor,
    /// Length of the parent's path.
    parent_bytes: usize,
}

impl Walk {
    /// Starts before the first entry of the root directory whose node this is.
    pub fn new(root: ChunkId) -> Self {
        let root = DirectoryCursor::new(root);
        Self { root, open: Vec::new(), path: Vec::new(), back_to: 0 }
    }

    /// The next step; `None` at the end. Every `Enter` has its `Leave`, skipped or not.
    ///
    /// # Errors
    /// [`ReadError`]; do not go on after one.
    pub fn next_step<E>(
        &mut self,
        fetch: &mut impl Fetch<E>,
    ) -> Result<Option<Step<'_>>, ReadError<E>> {
        self.path.truncate(self.back_to);
        let cursor = self.open.last_mut().map_or(&mut self.root, |open| &mut open.cursor);
        let Some(entry) = cursor.next_entry(fetch)? else {
            let Some(Open { entry, parent_bytes, .. }) = self.open.pop() else { return Ok(None) };
            self.back_to = parent_bytes;
            return Ok(Some(Step::Leave { path: &self.path, entry }));
        };
        let parent_bytes = self.path.len();
        if parent_bytes > 0 {
            self.path.push(b'/');
        }
        self.path.extend_from_slice(&entry.name);
        let Kind::Directory { node } = entry.kind else {
            return Ok(Some(Step::Entry { path: &self.path, entry }));
        };
        if self.open.len() + 1 >= TREE_DEPTH_MAX {
            return Err(ReadError::TooDeep);
        }
        self.back_to = self.path.len();
        let cursor = DirectoryCursor::new(node);
        self.open.push(Open { entry, cursor, parent_bytes });
        let entered = self.open.last().map(|open| &open.entry);
        Ok(entered.map(|entry| Step::Enter { path: &self.path, entry }))
    }

    /// Leaves out what remains of the directory entered last: nothing of it is fetched.
    pub fn skip(&mut self) {
        if let Some(open) = self.open.last_mut() {
            open.cursor.ahead.clear();
            open.cursor.entries = Vec::new().into_iter();
        }
    }
}

/// Finds the entry at a path (components joined by single slashes), opening only the nodes on
/// the way. `None` when there is none, and for the empty path, whose entry is in the snapshot.
///
/// # Errors
/// [`ReadError`].
pub fn lookup<E>(
    root: ChunkId,
    path: &[u8],
    fetch: &mut impl Fetch<E>,
) -> Result<Option<Entry>, ReadError<E>> {
    let mut node = root;
    let mut found: Option<Entry> = None;
    for (depth, name) in path.split(|byte| *byte == b'/').enumerate() {
        if depth >= TREE_DEPTH_MAX {
            return Err(ReadError::TooDeep);
        }
        if let Some(entry) = found {
            let Kind::Directory { node: below } = entry.kind else { return Ok(None) };
            node = below;
        }
        found = lookup_name(node, name, fetch)?;
        if found.is_none() {
            return Ok(None);
        }
    }
    Ok(found)
}

/// Finds one name in a directory.
///
/// # Errors
/// [`ReadError`].
pub fn lookup_name<E>(
    node: ChunkId,
    name: &[u8],
    fetch: &mut impl Fetch<E>,
) -> Result<Option<Entry>, ReadError<E>> {
    let (mut chunk, mut level, mut first) = (node, None, Vec::new());
    for _ in 0..=NODE_LEVELS_MAX {
        match open_directory(chunk, level, &first, fetch)? {
            DirectoryNode::Leaf(entries) => {
                return Ok(entries.into_iter().find(|entry| entry.name.as_slice() == name));
            }
            DirectoryNode::Inner { level: above, children } => {
                let end = children.partition_point(|child| child.first.as_slice() <= name);
                let child = end.checked_sub(1).and_then(|last| children.into_iter().nth(last));
                let Some(NamedChild { first: begins, chunk: below }) = child else {
                    return Ok(None);
                };
                (chunk, level, first) = (below, above.checked_sub(1), begins.into());
            }
        }
    }
    Err(NodeError::Level(NODE_LEVELS_MAX).into())
}

/// Goes through the extents of a file in order.
#[derive(Debug, Clone)]
pub struct ExtentCursor {
    /// Nodes not yet opened, the next one last; the root has no level.
    ahead: Vec<(MeasuredChild, Option<u8>)>,
    extents: vec::IntoIter<Extent>,
}

impl ExtentCursor {
    /// Starts before the first extent of a file of `bytes` bytes.
    pub fn new(content: &Content, bytes: u64) -> Self {
        match content {
            Content::Inline(extents) => {
                Self { ahead: Vec::new(), extents: extents.clone().into_iter() }
            }
            Content::Listed(chunk) => {
                let root = MeasuredChild { bytes, chunk: *chunk };
                Self { ahead: vec![(root, None)], extents: Vec::new().into_iter() }
            }
        }
    }

    /// The next extent. Their lengths add up to the file's length, or there is an error.
    ///
    /// # Errors
    /// [`ReadError`]; do not go on after one.
    pub fn next_extent<E>(
        &mut self,
        fetch: &mut impl Fetch<E>,
    ) -> Result<Option<Extent>, ReadError<E>> {
        loop {
            if let Some(extent) = self.extents.next() {
                return Ok(Some(extent));
            }
            if !self.open_node(fetch)? {
                return Ok(None);
            }
        }
    }

    /// Passes over what ends at or before byte `to`, opening only the nodes on the way there. To be
    /// called before the first extent is taken. Answers where the next extent begins.
    ///
    /// # Errors
    /// [`ReadError`]; do not go on after one.
    pub fn seek<E>(&mut self, to: u64, fetch: &mut impl Fetch<E>) -> Result<u64, ReadError<E>> {
        let mut at: u64 = 0;
        loop {
            while let Some(extent) = self.extents.as_slice().first() {
                let end = at.saturating_add(extent.bytes());
                if end > to {
                    return Ok(at);
                }
                at = end;
                self.extents.next();
            }
            let Some((child, _)) = self.ahead.last() else { return Ok(at) };
            let end = at.saturating_add(child.bytes);
            if end > to {
                self.open_node(fetch)?;
            } else {
                at = end;
                self.ahead.pop();
            }
        }
    }

    /// Opens the next node; false when there is none.
    fn open_node<E>(&mut self, fetch: &mut impl Fetch<E>) -> Result<bool, ReadError<E>> {
        let Some((child, level)) = self.ahead.pop() else { return Ok(false) };
        let bytes = fetch(child.chunk, ChunkKind::Extents).map_err(ReadError::Fetch)?;
        let node = ExtentNode::decode(&bytes)?;
        if node.bytes() != child.bytes {
            return Err(NodeError::Extents.into());
        }
        let found = match &node {
            ExtentNode::Leaf(_) => 0,
            ExtentNode::Inner { level, .. } => *level,
        };
        if level.is_some_and(|level| level != found) {
            return Err(NodeError::Level(found).into());
        }
        match node {
            ExtentNode::Leaf(extents) => self.extents = extents.into_iter(),
            ExtentNode::Inner { level, children } => {
                let below = level.checked_sub(1);
                let children = children.into_iter().rev().map(|child| (child, below));
                self.ahead.extend(children);
            }
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests;
