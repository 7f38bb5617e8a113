//! Builds trees while they are walked: entries in, metadata chunks out.
//!
//! Depth first, names of each directory ascending by bytes. Memory is bounded by one open node
//! for each level of each directory on the way down, whatever the directories hold.
//! Source: specs/tree.md, TREE-7 to TREE-10.

use minicbor::bytes::ByteVec;
use thiserror::Error;

use crate::{
    cbor,
    ids::ChunkId,
    index::ChunkKind,
    keys::epoch::ContentKey,
    limits::{ENTRY_BYTES_MAX, EXTENTS_INLINE_MAX, TREE_DEPTH_MAX},
    tree::{
        entry::{Attributes, Content, Entry, EntryError, Extent, Kind, check_name},
        split::{Item, Label, Made, NodeKeys, Splitter},
    },
};

pub use crate::tree::split::NewChunk;

/// Misuse of a builder, or an entry that no tree may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum TreeError {
    /// A name that does not come after the one before it.
    #[error("entries are not in ascending order of their names")]
    Order,
    /// See the source.
    #[error("an entry that cannot be recorded")]
    Entry(#[from] EntryError),
    /// Extended attributes of more than a megabyte.
    #[error("an entry of {0} bytes, at most {ENTRY_BYTES_MAX} can be recorded")]
    TooLong(usize),
    /// More directories within each other than a tree may have.
    #[error("directories nested deeper than {TREE_DEPTH_MAX}")]
    TooDeep,
    /// `leave` without `enter`, or `finish` with directories still open.
    #[error("directories entered and left do not match")]
    Unbalanced,
}

/// Builds the tree of one snapshot, from the entries of its root directory down.
#[derive(Debug, Clone)]
pub struct TreeBuilder {
    keys: NodeKeys,
    root: Directory,
    /// Open directories below the root, outermost first.
    open: Vec<Directory>,
    made: Made,
}

/// A directory that is still being filled.
#[derive(Debug, Clone)]
struct Directory {
    name: Vec<u8>,
    /// `None` for the root, whose attributes stand in the snapshot.
    attributes: Option<Attributes>,
    entries: Splitter,
    last: Vec<u8>,
}

impl TreeBuilder {
    /// Starts in the root directory.
    pub fn new(content: &ContentKey) -> Self {
        Self {
            keys: NodeKeys::new(content),
            root: Directory::new(Vec::new(), None),
            open: Vec::new(),
            made: Made::new(),
        }
    }

    /// Opens a directory in the current one. Its entries follow, then [`leave`](Self::leave).
    ///
    /// # Errors
    /// [`TreeError::Order`], [`TreeError::Entry`] or [`TreeError::TooDeep`]; nothing is changed.
    pub fn enter(&mut self, name: &[u8], attributes: Attributes) -> Result<(), TreeError> {
        if self.open.len() + 1 >= TREE_DEPTH_MAX {
            return Err(TreeError::TooDeep);
        }
        // Checked here, so that nothing can be wrong with it when the directory is left.
        let node = ChunkId::from_bytes([0; 32]);
        encode(&directory_entry(name, attributes.clone(), node))?;
        self.current().follows(name)?;
        self.current_mut().last = name.to_vec();
        self.open.push(Directory::new(name.to_vec(), Some(attributes)));
        Ok(())
    }

    /// Adds an entry to the current directory. A directory may be added as a whole, when its node
    /// is known from an earlier snapshot.
    ///
    /// # Errors
    /// [`TreeError::Order`], [`TreeError::Entry`] or [`TreeError::TooLong`]; nothing is changed.
    pub fn add(&mut self, entry: &Entry) -> Result<(), TreeError> {
        let encoded = encode(entry)?;
        self.current().follows(&entry.name)?;
        let Self { keys, root, open, made } = self;
        let directory = open.last_mut().unwrap_or(root);
        directory.last = entry.name.to_vec();
        directory.push(keys, &entry.name, encoded, made);
        Ok(())
    }

    /// Closes the current directory; the identifier of its root node.
    ///
    /// # Errors
    /// [`TreeError::Unbalanced`] in the root directory.
    pub fn leave(&mut self) -> Result<ChunkId, TreeError> {
        let directory = self.open.pop().ok_or(TreeError::Unbalanced)?;
        let Self { keys, root, open, made } = self;
        let parent = open.last_mut().unwrap_or(root);
        directory.close_into(parent, keys, made)
    }

    /// Closes the root directory; the identifier of its root node. Take the last chunks with
    /// [`next_chunk`](Self::next_chunk) before the builder is dropped.
    ///
    /// # Errors
    /// [`TreeError::Unbalanced`] when a directory is still open.
    pub fn finish(&mut self) -> Result<ChunkId, TreeError> {
        if !self.open.is_empty() {
            return Err(TreeError::Unbalanced);
        }
        let root = std::mem::replace(&mut self.root, Directory::new(Vec::new(), None));
        Ok(root.entries.finish(&self.keys, &mut self.made))
    }

    /// The root node of a valid tree of everything added so far; open directories hold what they
    /// have. The builder goes on as if nothing had been asked.
    ///
    /// # Errors
    /// None that [`enter`](Self::enter) and [`add`](Self::add) have not already excluded.
    pub fn checkpoint(&mut self) -> Result<ChunkId, TreeError> {
        let mut copy = Self {
            keys: self.keys.clone(),
            root: self.root.clone(),
            open: self.open.clone(),
            made: std::mem::take(&mut self.made),
        };
        while !copy.open.is_empty() {
            copy.leave()?;
        }
        let root = copy.finish()?;
        self.made = copy.made;
        Ok(root)
    }

    /// The next chunk to store, oldest first. Drain after every call above: then at most a few
    /// are ever waiting.
    pub fn next_chunk(&mut self) -> Option<NewChunk> {
        self.made.pop_front()
    }

    /// Directories open below the root.
    pub const fn depth(&self) -> usize {
        self.open.len()
    }

    fn current(&self) -> &Directory {
        self.open.last().unwrap_or(&self.root)
    }

    fn current_mut(&mut self) -> &mut Directory {
        self.open.last_mut().unwrap_or(&mut self.root)
    }
}

impl Directory {
    const fn new(name: Vec<u8>, attributes: Option<Attributes>) -> Self {
        let entries = Splitter::new(ChunkKind::Directory);
        Self { name, attributes, entries, last: Vec::new() }
    }

    /// Whether an entry of this name may come next.
    fn follows(&self, name: &[u8]) -> Result<(), TreeError> {
        check_name(name)?;
        if name > self.last.as_slice() { Ok(()) } else { Err(TreeError::Order) }
    }

    fn push(&mut self, keys: &NodeKeys, name: &[u8], encoded: Vec<u8>, made: &mut Made) {
        let item = Item { encoded, mark: name.to_vec(), label: Label::First(name.to_vec()) };
        self.entries.push(keys, item, made);
    }

    /// Finishes this directory and makes it an entry of its parent.
    fn close_into(
        self,
        parent: &mut Self,
        keys: &NodeKeys,
        made: &mut Made,
    ) -> Result<ChunkId, TreeError> {
        let node = self.entries.finish(keys, made);
        let attributes = self.attributes.ok_or(TreeError::Unbalanced)?;
        let encoded = encode(&directory_entry(&self.name, attributes, node))?;
        parent.push(keys, &self.name, encoded, made);
        Ok(node)
    }
}

fn directory_entry(name: &[u8], attributes: Attributes, node: ChunkId) -> Entry {
    let name = ByteVec::from(name.to_vec());
    Entry { name, kind: Kind::Directory { node }, attributes }
}

fn encode(entry: &Entry) -> Result<Vec<u8>, TreeError> {
    entry.check()?;
    let encoded = cbor::encode(entry);
    if encoded.len() > ENTRY_BYTES_MAX {
        return Err(TreeError::TooLong(encoded.len()));
    }
    Ok(encoded)
}

/// Collects the extents of one file, few in the entry itself, many in chunks of their own.
#[derive(Debug, Clone)]
pub struct ContentBuilder {
    keys: NodeKeys,
    inline: Vec<Extent>,
    listed: Option<Splitter>,
    bytes: u64,
    made: Made,
}

impl ContentBuilder {
    /// Starts with no extents.
    pub fn new(content: &ContentKey) -> Self {
        Self {
            keys: NodeKeys::new(content),
            inline: Vec::new(),
            listed: None,
            bytes: 0,
            made: Made::new(),
        }
    }

    /// Adds the next extent of the file.
    ///
    /// # Errors
    /// [`TreeError::Entry`] for one without bytes, or past the end of all files.
    pub fn push(&mut self, extent: Extent) -> Result<(), TreeError> {
        let bytes = extent.bytes();
        let sum = self.bytes.checked_add(bytes).filter(|_| bytes > 0);
        self.bytes = sum.ok_or(EntryError::Extents)?;
        if self.listed.is_none() && self.inline.len() < EXTENTS_INLINE_MAX {
            self.inline.push(extent);
            return Ok(());
        }
        let listed = self.listed.get_or_insert(Splitter::new(ChunkKind::Extents));
        for extent in self.inline.drain(..).chain([extent]) {
            let encoded = cbor::encode(&extent);
            let label = Label::Bytes(extent.bytes());
            let item = Item { mark: encoded.clone(), encoded, label };
            listed.push(&self.keys, item, &mut self.made);
        }
        Ok(())
    }

    /// Bytes of the file so far.
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The content of the file's entry. Take the last chunks before the builder is dropped, or
    /// go on with the next file: it is empty again.
    pub fn finish(&mut self) -> Content {
        self.bytes = 0;
        match self.listed.take() {
            Some(listed) => Content::Listed(listed.finish(&self.keys, &mut self.made)),
            None => Content::Inline(std::mem::take(&mut self.inline)),
        }
    }

    /// The next chunk to store, oldest first.
    pub fn next_chunk(&mut self) -> Option<NewChunk> {
        self.made.pop_front()
    }
}

#[cfg(test)]
mod tests;
