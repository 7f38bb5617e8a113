//! The grower: takes the steps of the scan in order and grows the tree from them.

use std::sync::atomic::Ordering;

use crossbeam_channel::Receiver;
use larder_protocol::{
    ids::ChunkId,
    tree::{
        builder::{TreeBuilder, TreeError},
        entry::{Attributes, Entry, FileTime, Kind},
    },
};

use super::{
    BackupError, Counters, Problems,
    chunks::{ChunkStore, Tools},
    notes::Notes,
    read::Read,
    scan::{Seen, Step},
};
use crate::files::Found;

/// The tree of one folder as it grows.
pub(super) struct Grower<'a> {
    pub(super) store: &'a ChunkStore<'a>,
    pub(super) counters: &'a Counters,
    pub(super) problems: &'a Problems,
    builder: TreeBuilder,
    tools: Tools,
    /// Attributes of the folder itself.
    root: Option<Attributes>,
    /// Names of the directories entered below it.
    way: Vec<Vec<u8>>,
    notes: Notes<'a>,
}

/// The root of a tree: attributes of the folder, and its node.
pub(super) struct Grown {
    pub(super) attributes: Attributes,
    pub(super) node: ChunkId,
}

impl<'a> Grower<'a> {
    pub(super) fn new(
        store: &'a ChunkStore<'a>,
        notes: Notes<'a>,
        counters: &'a Counters,
        problems: &'a Problems,
        level: i32,
    ) -> Self {
        Self {
            store,
            counters,
            problems,
            builder: TreeBuilder::new(store.content),
            tools: Tools::new(level),
            root: None,
            way: Vec::new(),
            notes,
        }
    }

    /// Takes steps until there are no more; between two of them `pause` may want a checkpoint.
    pub(super) fn grow(
        mut self,
        steps: &Receiver<Vec<Step>>,
        mut pause: impl FnMut(&mut Self) -> Result<(), BackupError>,
    ) -> Result<Option<Grown>, BackupError> {
        for step in steps.iter().flatten() {
            match step {
                Step::Enter(entered) => {
                    self.notes.enter(&entered);
                    if self.root.is_none() {
                        self.enter_root(entered.attributes)?;
                    } else {
                        self.enter(entered.name, &entered.attributes)?;
                    }
                }
                Step::Leave => {
                    self.notes.leave();
                    if self.way.pop().is_some() {
                        self.builder.leave()?;
                    }
                }
                Step::Ready(entry, seen) => self.add(entry, seen)?,
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

    /// Writes the scan cache out: once the packs that it leads to are durable.
    pub(super) fn flush_cache(&mut self) {
        self.notes.flush();
    }

    fn finish(mut self) -> Result<Option<Grown>, BackupError> {
        let Some(attributes) = self.root.take() else { return Ok(None) };
        let node = self.builder.finish()?;
        self.store_nodes()?;
        self.notes.finish();
        self.problems.tell_counted()?;
        Ok(Some(Grown { attributes, node }))
    }

    fn enter(&mut self, name: Vec<u8>, attributes: &Attributes) -> Result<(), BackupError> {
        let wrong = as_far_as_possible(attributes, |fewer| {
            self.builder.enter(&name, fewer.unwrap_or_else(|| attributes.clone()))
        })?;
        self.way.push(name);
        wrong.map_or(Ok(()), |wrong| self.problems.add(&self.way.join(&b'/'), &simplified(wrong)))
    }

    /// The folder itself has no entry in the tree; its snapshot takes what an entry would.
    fn enter_root(&mut self, attributes: Attributes) -> Result<(), BackupError> {
        let mut taken = attributes.clone();
        let wrong = as_far_as_possible(&attributes, |fewer| {
            taken = fewer.unwrap_or_else(|| attributes.clone());
            TreeBuilder::new(self.store.content).enter(b"root", taken.clone())
        })?;
        self.root = Some(taken);
        wrong.map_or(Ok(()), |wrong| self.problems.add(b"", &simplified(wrong)))
    }

    fn file(&mut self, found: &Found, read: &Receiver<Read>) -> Result<(), BackupError> {
        let stored = match read.recv().map_err(|_| BackupError::Stopped)? {
            Read::Stored(stored) => stored,
            Read::Vanished => {
                self.problems.vanished.fetch_add(1, Ordering::Relaxed);
                return Ok(());
            }
            Read::Unreadable(what) => return self.problems.add(&found.path(), &what),
        };
        if stored.is_torn {
            self.problems.add(&found.path(), "changed every time it was read")?;
        }
        let kind = Kind::File { bytes: stored.bytes, content: stored.content };
        let name = found.name.clone().into();
        self.add(Entry { name, kind, attributes: stored.attributes }, stored.seen)
    }

    fn add(&mut self, entry: Entry, seen: Seen) -> Result<(), BackupError> {
        let added = as_far_as_possible(&entry.attributes, |fewer| match fewer {
            None => self.builder.add(&entry),
            Some(attributes) => self.builder.add(&Entry { attributes, ..entry.clone() }),
        });
        let path = || [self.way.as_slice(), &[entry.name.to_vec()]].concat().join(&b'/');
        match added {
            Ok(None) => {}
            Ok(Some(wrong)) => self.problems.add(&path(), &simplified(wrong))?,
            Err(error @ (TreeError::TooLong(_) | TreeError::Entry(_))) => {
                return self.problems.add(&path(), &error.to_string());
            }
            Err(error) => return Err(error.into()),
        }
        if let Kind::File { bytes, .. } = entry.kind {
            self.counters.files.fetch_add(1, Ordering::Relaxed);
            self.counters.bytes.fetch_add(bytes, Ordering::Relaxed);
        }
        self.notes.add(entry, seen);
        Ok(())
    }

    fn store_nodes(&mut self) -> Result<(), BackupError> {
        while let Some(chunk) = self.builder.next_chunk() {
            self.store.put_named(&mut self.tools, &chunk)?;
        }
        Ok(())
    }
}

/// Tries all attributes (`None`), then those that no tree refuses; answers what was wrong before.
fn as_far_as_possible(
    attributes: &Attributes,
    mut attempt: impl FnMut(Option<Attributes>) -> Result<(), TreeError>,
) -> Result<Option<TreeError>, TreeError> {
    match attempt(None) {
        Ok(()) => Ok(None),
        Err(wrong @ (TreeError::TooLong(_) | TreeError::Entry(_))) => {
            let FileTime { seconds, nanoseconds } = attributes.modified;
            let modified = FileTime { seconds, nanoseconds: nanoseconds.min(999_999_999) };
            attempt(Some(Attributes { modified, xattrs: None, ..attributes.clone() }))?;
            Ok(Some(wrong))
        }
        Err(error) => Err(error),
    }
}

fn simplified(wrong: TreeError) -> String {
    format!("saved without its extended attributes: {wrong}")
}

#[cfg(test)]
mod tests {
    use larder_protocol::{
        keys::epoch::{ContentKey, EpochKey},
        tree::entry::Xattr,
    };

    use super::*;

    // FILES-39
    #[test]
    fn attributes_that_no_tree_takes_are_left_out_and_said() {
        let mut builder = TreeBuilder::new(&ContentKey::derive(&EpochKey::new(1, [1; 32])));
        let plain = Attributes {
            mode: 0o755,
            uid: 0,
            gid: 0,
            modified: FileTime::default(),
            identity: None,
            links: 1,
            xattrs: None,
        };
        let xattr =
            |name: &[u8], bytes| Xattr { name: name.to_vec().into(), value: vec![7; bytes].into() };
        let large = vec![xattr(b"user.a", 600_000), xattr(b"user.b", 600_000)];
        let twice = vec![xattr(b"user.a", 1), xattr(b"user.a", 1)];
        let second = FileTime { seconds: 5, nanoseconds: 1_000_000_000 };
        for (name, attributes) in [
            (b"large", Attributes { xattrs: Some(large), ..plain.clone() }),
            (b"twice", Attributes { xattrs: Some(twice), ..plain.clone() }),
            (b"watch", Attributes { modified: second, ..plain.clone() }),
        ] {
            let enter = |fewer: Option<_>| builder.enter(name, fewer.unwrap_or(attributes.clone()));
            assert!(as_far_as_possible(&attributes, enter).unwrap().is_some());
            builder.leave().unwrap();
        }
        let enter = |fewer: Option<_>| builder.enter(b"a/b", fewer.unwrap_or(plain.clone()));
        assert!(as_far_as_possible(&plain, enter).is_err());
    }
}
