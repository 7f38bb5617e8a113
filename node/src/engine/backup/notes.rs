//! What the scan cache is to know of this run, gathered directory by directory.
//!
//! A directory that is exactly as it is remembered gives no note, so that a run in which nothing
//! changed writes nothing.

use std::collections::HashSet;

use larder_protocol::tree::entry::{Entry, Kind, Xattr};

use super::scan::{Entered, Seen};
use crate::{
    files::{DirectoryKey, Remembered, Stamp},
    state::scan_cache::{ENTRIES_MAX, FolderKey, Note, ScanCache},
};

/// Entries in notes that are written together: some megabytes.
const TOGETHER_MAX: usize = 4096;
/// Directories that are counted at most; a folder with more is never tidied up.
const DIRECTORIES_MAX: usize = 1_000_000;
/// Extended attributes that are remembered of one entry, in bytes.
const XATTR_BYTES_MAX: usize = 4096;

pub(super) struct Notes<'a> {
    cache: &'a ScanCache,
    folder: FolderKey,
    /// When this run began, in seconds since 1970.
    now: u64,
    /// Directories entered and not left, outermost first.
    open: Vec<Open>,
    ready: Vec<Note>,
    /// Entries in them.
    waiting: usize,
    directories: HashSet<DirectoryKey>,
}

struct Open {
    directory: DirectoryKey,
    entries: Vec<Remembered>,
    /// Whether all of them are remembered exactly like this.
    is_known: bool,
    /// How many are remembered, if that is known.
    remembered: Option<usize>,
    /// First names of the parts that are full.
    firsts: Vec<Vec<u8>>,
}

impl<'a> Notes<'a> {
    pub(super) fn new(cache: &'a ScanCache, folder: FolderKey, now: u64) -> Self {
        let (open, ready, directories) = Default::default();
        Self { cache, folder, now, open, ready, waiting: 0, directories }
    }

    pub(super) fn enter(&mut self, entered: &Entered) {
        let Entered { name, attributes, key, seen, remembered } = entered;
        let xattrs = attributes.xattrs.clone().unwrap_or_default();
        self.push(*seen, xattrs, |xattrs, stamp, looked| Remembered {
            name: name.clone(),
            stamp,
            looked,
            xattrs,
            target: Vec::new(),
            content: None,
        });
        if self.directories.len() < DIRECTORIES_MAX {
            self.directories.insert(*key);
        }
        self.open.push(Open {
            directory: *key,
            entries: Vec::new(),
            is_known: true,
            remembered: *remembered,
            firsts: Vec::new(),
        });
    }

    pub(super) fn add(&mut self, entry: Entry, seen: Seen) {
        let Entry { name, kind, attributes } = entry;
        let (target, content) = match kind {
            Kind::File { content, .. } => (Vec::new(), Some(content)),
            Kind::Symlink { target } => (target.into(), None),
            _ => (Vec::new(), None),
        };
        let xattrs = attributes.xattrs.unwrap_or_default();
        self.push(seen, xattrs, |xattrs, stamp, looked| Remembered {
            name: name.into(),
            stamp,
            looked,
            xattrs,
            target,
            content,
        });
    }

    pub(super) fn leave(&mut self) {
        let Some(open) = self.open.pop() else { return };
        let Open { directory, entries, is_known, remembered, mut firsts } = open;
        let is_whole = firsts.is_empty();
        // Also of one that could not be listed: what is remembered of it does no harm.
        let is_empty = is_whole && entries.is_empty();
        if is_empty || (is_whole && is_known && remembered == Some(entries.len())) {
            return;
        }
        if let Some(first) = entries.first() {
            firsts.push(first.name.clone());
            self.note(directory, entries, is_whole);
        }
        if !is_whole {
            self.waiting += firsts.len();
            self.ready.push(Note::End { directory, firsts });
        }
    }

    /// Writes everything out that is complete.
    pub(super) fn flush(&mut self) {
        self.hand_on();
        self.cache.flush();
    }

    /// After a complete scan.
    pub(super) fn finish(&mut self) {
        self.hand_on();
        if self.directories.len() < DIRECTORIES_MAX {
            self.cache.sweep(self.folder, &self.directories, self.now);
        }
    }

    fn push(
        &mut self,
        seen: Seen,
        xattrs: Vec<Xattr>,
        make: impl FnOnce(Option<Vec<Xattr>>, [u8; Stamp::BYTES], u64) -> Remembered,
    ) {
        let Some(open) = self.open.last_mut() else { return };
        open.is_known &= seen.is_known;
        let Some(stamp) = seen.stamp else { return };
        let weight: usize = xattrs.iter().map(|xattr| xattr.name.len() + xattr.value.len()).sum();
        let xattrs = (seen.trace.is_whole && weight <= XATTR_BYTES_MAX).then_some(xattrs);
        let looked = xattrs.as_ref().map_or(0, |_| seen.trace.recalled.unwrap_or(self.now));
        open.entries.push(make(xattrs, stamp.to_bytes(), looked));
        if open.entries.len() < ENTRIES_MAX {
            return;
        }
        let (directory, entries) = (open.directory, std::mem::take(&mut open.entries));
        open.firsts.extend(entries.first().map(|first| first.name.clone()));
        self.note(directory, entries, false);
    }

    fn note(&mut self, directory: DirectoryKey, entries: Vec<Remembered>, is_whole: bool) {
        self.waiting += entries.len();
        self.ready.push(Note::Part { directory, entries, is_whole });
        if self.waiting >= TOGETHER_MAX {
            self.hand_on();
        }
    }

    fn hand_on(&mut self) {
        self.cache.keep(self.folder, &self.ready);
        self.ready.clear();
        self.waiting = 0;
    }
}
