//! Files that could not be read: named to the user at once, counted for the exit code.

use std::{
    ffi::OsStr,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use super::BackupError;
use crate::command::{Event, EventSink, PathField, Problem};

pub(super) struct Problems {
    root: PathBuf,
    events: EventSink,
    count: AtomicU64,
}

impl Problems {
    pub(super) fn new(root: &Path, events: &EventSink) -> Self {
        Self { root: root.to_owned(), events: events.clone(), count: AtomicU64::new(0) }
    }

    /// `path` is relative to the folder.
    pub(super) fn add(&self, path: &[u8], what: &str) -> Result<(), BackupError> {
        self.count.fetch_add(1, Ordering::Relaxed);
        let path = PathField::from(self.root.join(OsStr::from_bytes(path)).as_path());
        self.events.blocking_send(Event::Problem(Problem { path, what: what.to_owned() }))?;
        Ok(())
    }

    pub(super) fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }
}
