//! Files that could not be read: named to the user at once, counted for the exit code.

use std::{
    ffi::OsStr,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use super::BackupError;
use crate::command::{Event, EventSink, Level, PathField, Problem, count};

pub(super) struct Problems {
    root: PathBuf,
    events: EventSink,
    count: AtomicU64,
    /// Entries deleted between being listed and being read.
    pub(super) vanished: AtomicU64,
    /// Directories on other file systems.
    mounts: AtomicU64,
}

/// Mounts named one by one; of more the number is told.
const MOUNTS_NAMED_MAX: u64 = 20;

impl Problems {
    pub(super) fn new(root: &Path, events: &EventSink) -> Self {
        let (count, vanished, mounts) = Default::default();
        Self { root: root.to_owned(), events: events.clone(), count, vanished, mounts }
    }

    /// `path` is relative to the folder.
    pub(super) fn add(&self, path: &[u8], what: &str) -> Result<(), BackupError> {
        self.count.fetch_add(1, Ordering::Relaxed);
        let path = PathField::from(self.root.join(OsStr::from_bytes(path)).as_path());
        self.events.blocking_send(Event::Problem(Problem { path, what: what.to_owned() }))?;
        Ok(())
    }

    /// A directory on another file system, which was saved empty: nothing is wrong, and the person
    /// may have thought that it is saved.
    pub(super) fn other_file_system(&self, path: &[u8]) -> Result<(), BackupError> {
        if self.mounts.fetch_add(1, Ordering::Relaxed) >= MOUNTS_NAMED_MAX {
            return Ok(());
        }
        let path = self.root.join(OsStr::from_bytes(path));
        self.tell(format!(
            "{} is another file system and not saved; `larder add` it if it shall be",
            path.display()
        ))
    }

    /// Says what was only counted.
    pub(super) fn tell_counted(&self) -> Result<(), BackupError> {
        let more = self.mounts.load(Ordering::Relaxed).saturating_sub(MOUNTS_NAMED_MAX);
        if more > 0 {
            let directories = count(more, "more directory");
            self.tell(format!("other file systems, not saved: {directories}"))?;
        }
        match self.vanished.load(Ordering::Relaxed) {
            0 => Ok(()),
            vanished => {
                let entries = count(vanished, "entry");
                self.tell(format!("{entries} vanished before being read"))
            }
        }
    }

    fn tell(&self, text: String) -> Result<(), BackupError> {
        Ok(self.events.blocking_send(Event::Notice { level: Level::Normal, text })?)
    }

    pub(super) fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }
}
