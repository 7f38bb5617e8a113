//! The scan cache: what the last scans found, so that what did not change since is neither read
//! nor looked at closely again.
//!
//! ```text
//! parts    folder 8 | directory 16 | first name -> part of a directory: entries ascending by name
//! folders  folder 8                             -> rows written since the last sweep, last scan
//! ```
//! A file of its own, `cache.redb`, because losing it costs time and nothing else: it is written
//! without waiting for the disk, and a damaged one is thrown away. Nothing here can fail: what
//! cannot be read was not there, what cannot be kept is forgotten. A hit is only used after every
//! chunk it names was found in the index. Source: specs/home.md, HOME-5 and HOME-17.

mod part;
mod sweep;
#[cfg(test)]
mod tests;

use std::{
    collections::HashSet,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use redb::{Durability, ReadableTable, TableDefinition, WriteTransaction};
use tracing::warn;

use self::part::Reader;
use crate::{
    database::Database,
    files::{DirectoryKey, Recollection, Remembered, Remembers},
};

pub use self::part::{ENTRIES_MAX, FolderKey};

const PARTS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("parts");
const FOLDERS: TableDefinition<'_, &[u8; 8], (u64, u64)> = TableDefinition::new("folders");

/// Bytes of page cache: each row is asked for once in a scan, so that little is gained by more.
const CACHE_BYTES: usize = 8 * 1024 * 1024;

/// What to remember of one directory. A long one comes in parts, and one note at its end.
#[derive(Debug)]
pub enum Note {
    /// Entries that follow each other, at most [`ENTRIES_MAX`].
    Part {
        /// Where they are.
        directory: DirectoryKey,
        /// Ascending by name, at least one.
        entries: Vec<Remembered>,
        /// Whether the directory has no others that can be remembered; no [`Note::End`] follows.
        is_whole: bool,
    },
    /// The parts of a directory that begin otherwise are of an earlier scan.
    End {
        /// Which one.
        directory: DirectoryKey,
        /// First names of the parts there are now.
        firsts: Vec<Vec<u8>>,
    },
}

/// The open `cache.redb`.
#[derive(Debug)]
pub struct ScanCache {
    /// `None` when not even an empty one could be made.
    database: Option<Database>,
    /// Whether anything was kept since it was written out.
    is_ahead: AtomicBool,
}

impl ScanCache {
    /// Opens the cache in `home`; one that cannot be opened is replaced by an empty one.
    pub fn open(home: &Path) -> Self {
        let path = home.join("cache.redb");
        let opened = open_at(&path).or_else(|error| {
            warn!("the scan cache could not be opened ({error}); starting an empty one");
            remove_quietly(&path);
            open_at(&path)
        });
        match opened {
            Ok(database) => Self { database: Some(database), is_ahead: AtomicBool::new(false) },
            Err(error) => {
                warn!("no scan cache could be made ({error}); every file will be read");
                Self { database: None, is_ahead: AtomicBool::new(false) }
            }
        }
    }

    /// What is remembered of one folder now, for a scan that begins at `now` (seconds since 1970).
    pub fn view(&self, folder: FolderKey, now: u64) -> Arc<ScanView> {
        let opened = self.database.as_ref().map(|file| file.read(|tx| Ok(tx.open_table(PARTS)?)));
        let table = opened.and_then(|opened| noted("be read", opened));
        Arc::new(ScanView { table, folder, reader: Reader::new(now) })
    }

    /// Remembers what a scan found. Not waited for: a crash costs looking again.
    pub fn keep(&self, folder: FolderKey, notes: &[Note]) {
        let Some(database) = self.database.as_ref().filter(|_| !notes.is_empty()) else { return };
        let kept = database.write(Durability::None, |tx| {
            let mut table = tx.open_table(PARTS)?;
            let mut written = 0;
            for note in notes {
                match note {
                    Note::Part { directory, entries, is_whole } => {
                        let Some(first) = entries.first() else { continue };
                        let key = part::key(folder, *directory, &first.name);
                        let row = part::row(entries, *is_whole);
                        let is_there = table.get(&*key)?.is_some_and(|old| old.value() == row);
                        if is_there {
                            continue;
                        }
                        table.insert(&*key, &*row)?;
                        written += 1;
                        if *is_whole {
                            sweep::directory(&mut table, folder, *directory, &[&first.name])?;
                        }
                    }
                    Note::End { directory, firsts } => {
                        let firsts: Vec<_> = firsts.iter().map(Vec::as_slice).collect();
                        sweep::directory(&mut table, folder, *directory, &firsts)?;
                    }
                }
            }
            sweep::count(tx, folder, written)?;
            Ok(written > 0)
        });
        if noted("be written", kept) == Some(true) {
            self.is_ahead.store(true, Ordering::Relaxed);
        }
    }

    /// After a complete scan, at `now` (seconds since 1970), of a folder with these directories:
    /// forgets others once as many rows were written as there are directories, and folders that
    /// were not scanned for longest when there are too many.
    pub fn sweep(&self, folder: FolderKey, directories: &HashSet<DirectoryKey>, now: u64) {
        let Some(database) = &self.database else { return };
        let is_due = database.read(|tx| sweep::is_due(tx, folder, directories.len(), now));
        if noted("be read", is_due) != Some(true) {
            return;
        }
        self.is_ahead.store(true, Ordering::Relaxed);
        let swept =
            database.write(Durability::None, |tx| sweep::folder(tx, folder, directories, now));
        noted("be tidied up", swept);
    }

    /// Writes out what was kept, if anything was.
    pub fn flush(&self) {
        let Some(database) = &self.database else { return };
        if self.is_ahead.swap(false, Ordering::Relaxed) {
            noted("be written out", database.write(Durability::Immediate, |_| Ok(())));
        }
    }
}

fn open_at(path: &Path) -> Result<Database, redb::Error> {
    let make = |tx: &WriteTransaction| {
        tx.open_table(PARTS)?;
        tx.open_table(FOLDERS)?;
        Ok(())
    };
    let database = Database::open(path, CACHE_BYTES, make)?;
    // A file of an older program has other tables: it is replaced.
    database.read(|tx| {
        tx.open_table(PARTS)?;
        tx.open_table(FOLDERS)?;
        Ok(())
    })?;
    Ok(database)
}

/// The cache saves time; its errors are told and cost only that.
fn noted<T>(what: &'static str, done: Result<T, redb::Error>) -> Option<T> {
    done.map_err(|error| warn!("the scan cache could not {what}: {error}")).ok()
}

/// See [`ScanCache::view`].
#[derive(Debug)]
pub struct ScanView {
    /// `None` when it cannot be read: nothing is known then.
    table: Option<redb::ReadOnlyTable<&'static [u8], &'static [u8]>>,
    folder: FolderKey,
    reader: Reader,
}

impl ScanView {
    fn find(
        &self,
        directory: DirectoryKey,
        first: &[u8],
        last: &[u8],
    ) -> Result<Recollection, redb::StorageError> {
        let mut found = Recollection::default();
        let Some(table) = &self.table else { return Ok(found) };
        let key = |name| part::key(self.folder, directory, name);
        let (start, first_key, last_key) = (key(b""), key(first), key(last));
        let before = table.range::<&[u8]>(&*start..=&*first_key)?.next_back();
        let after = table.range::<&[u8]>((
            std::ops::Bound::Excluded(&*first_key),
            std::ops::Bound::Included(&*last_key),
        ))?;
        for row in before.into_iter().chain(after) {
            let (_, row) = row?;
            self.reader.read(row.value(), directory, (first, last), &mut found);
        }
        Ok(found)
    }
}

impl Remembers for ScanView {
    /// An unreadable row is no row.
    fn remembered(&self, directory: DirectoryKey, first: &[u8], last: &[u8]) -> Recollection {
        self.find(directory, first, last).unwrap_or_default()
    }
}

fn remove_quietly(path: &Path) {
    if let Err(error) = std::fs::remove_file(path) {
        warn!("{}: {error}", path.display());
    }
}
