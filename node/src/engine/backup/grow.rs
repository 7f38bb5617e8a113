//! The grower: takes the steps of the scan in order and grows the tree from them.

use std::sync::atomic::Ordering;

use crossbeam_channel::Receiver;
use larder_protocol::{
    ids::ChunkId,
    tree::{
        builder::{TreeBuilder, TreeError},
        entry::{Attributes, Entry, Identity, Kind},
    },
};

use super::{
    BackupError, Counters, Problems,
    chunks::{ChunkStore, Tools},
    read::Read,
    scan::Step,
};
use crate::{
    files::Found,
    state::scan_cache::{CachedFile, ScanCache},
};

/// Rows of the scan cache that are written together.
const CACHE_ROWS: usize = 4096;

/// The tree of one folder as it grows.
pub(super) struct Grower<'a> {
    pub(super) store: &'a ChunkStore<'a>,
    pub(super) cache: &'a ScanCache,
    pub(super) counters: &'a Counters,
    pub(super) problems: &'a Problems,
    builder: TreeBuilder,
    tools: Tools,
    /// Attributes of the folder itself.
    root: Option<Attributes>,
    rows: Vec<(Identity, CachedFile)>,
}

/// The root of a tree: attributes of the folder, and its node.
pub(super) struct Grown {
    pub(super) attributes: Attributes,
    pub(super) node: ChunkId,
}

impl<'a> Grower<'a> {
    pub(super) fn new(
        store: &'a ChunkStore<'a>,
        cache: &'a ScanCache,
        counters: &'a Counters,
        problems: &'a Problems,
        level: i32,
    ) -> Self {
        Self {
            store,
            cache,
            counters,
            problems,
            builder: TreeBuilder::new(store.content),
            tools: Tools::new(level),
            root: None,
            rows: Vec::new(),
        }
    }

    /// Takes steps until there are no more; between two of them `pause` may want a checkpoint.
    pub(super) fn grow(
        mut self,
        steps: &Receiver<Step>,
        mut pause: impl FnMut(&mut Self) -> Result<(), BackupError>,
    ) -> Result<Option<Grown>, BackupError> {
        for step in steps {
            match step {
                Step::Enter(_, attributes) if self.root.is_none() => self.root = Some(attributes),
                Step::Enter(name, attributes) => {
                    self.builder.enter(&name, attributes)?;
                }
                Step::Leave if self.builder.depth() == 0 => {}
                Step::Leave => {
                    self.builder.leave()?;
                }
                Step::Ready(entry) => self.add(&entry)?,
                Step::File(found, read) => self.file(&found, &read)?,
            }
            self.store_nodes()?;
            pause(&mut self)?;
        }
        self.finish()
    }

    /// A valid tree of what has come so far.
    pub(super) fn checkpoint(&mut self) -> Result<Option<Grown>, BackupError> {
        let Some(attributes) = self.root.clone() else { return Ok(None) };
        let node = self.builder.checkpoint()?;
        self.store_nodes()?;
        Ok(Some(Grown { attributes, node }))
    }

    /// Hands the rows gathered so far to the scan cache: once the packs they lead to are durable.
    pub(super) fn flush_cache(&mut self) -> Result<(), BackupError> {
        self.cache.keep(&self.rows);
        self.rows.clear();
        self.cache.flush();
        Ok(())
    }

    fn finish(mut self) -> Result<Option<Grown>, BackupError> {
        let Some(attributes) = self.root.take() else { return Ok(None) };
        let node = self.builder.finish()?;
        self.store_nodes()?;
        self.cache.keep(&self.rows);
        Ok(Some(Grown { attributes, node }))
    }

    fn file(&mut self, found: &Found, read: &Receiver<Read>) -> Result<(), BackupError> {
        let stored = match read.recv().map_err(|_| BackupError::Stopped)? {
            Read::Stored(stored) => stored,
            Read::Vanished => return Ok(()),
            Read::Unreadable(what) => return self.problems.add(&found.path(), &what),
        };
        if stored.is_torn {
            self.problems.add(&found.path(), "changed every time it was read")?;
        }
        if let (Some(stamp), Some(identity)) = (stored.stamp, stored.attributes.identity) {
            let stamp = stamp.to_bytes().to_vec();
            self.rows.push((identity, CachedFile { stamp, content: stored.content.clone() }));
            if self.rows.len() >= CACHE_ROWS {
                self.cache.keep(&self.rows);
                self.rows.clear();
            }
        }
        let kind = Kind::File { bytes: stored.bytes, content: stored.content };
        let name = found.name.clone().into();
        self.add(&Entry { name, kind, attributes: stored.attributes })
    }

    fn add(&mut self, entry: &Entry) -> Result<(), BackupError> {
        match self.builder.add(entry) {
            Ok(()) => {}
            Err(error @ (TreeError::TooLong(_) | TreeError::Entry(_))) => {
                return self.problems.add(&entry.name, &error.to_string());
            }
            Err(error) => return Err(error.into()),
        }
        if let Kind::File { bytes, .. } = entry.kind {
            self.counters.files.fetch_add(1, Ordering::Relaxed);
            self.counters.bytes.fetch_add(bytes, Ordering::Relaxed);
        }
        Ok(())
    }

    fn store_nodes(&mut self) -> Result<(), BackupError> {
        while let Some(chunk) = self.builder.next_chunk() {
            self.store.put_named(&mut self.tools, &chunk)?;
        }
        Ok(())
    }
}
