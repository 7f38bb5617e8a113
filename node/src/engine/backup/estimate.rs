//! A rough total: for the time left, nothing else. That of the snapshot before; for a first one it
//! is counted by a thread of its own beside the run.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

/// Files and bytes below a folder, as far as they have been counted. Follows no symlink.
#[derive(Default)]
pub(super) struct Estimate {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    files: AtomicU64,
    bytes: AtomicU64,
    is_complete: AtomicBool,
    is_stopped: AtomicBool,
}

impl Estimate {
    /// Begins to count what is below `root`, `home` left out.
    pub(super) fn start(root: &Path, home: &Path) -> Self {
        let estimate = Self::default();
        let shared = Arc::clone(&estimate.shared);
        let (root, home) = (root.to_owned(), home.to_owned());
        std::thread::spawn(move || {
            count(root, &home, &shared);
            let all = !shared.is_stopped.load(Ordering::Relaxed);
            shared.is_complete.store(all, Ordering::Relaxed);
        });
        estimate
    }

    /// What is known already.
    pub(super) fn of(files: u64, bytes: u64) -> Self {
        let (files, bytes) = (AtomicU64::new(files), AtomicU64::new(bytes));
        let is_complete = AtomicBool::new(true);
        let is_stopped = AtomicBool::default();
        Self { shared: Arc::new(Shared { files, bytes, is_complete, is_stopped }) }
    }

    pub(super) fn so_far(&self) -> (u64, u64) {
        (self.shared.files.load(Ordering::Relaxed), self.shared.bytes.load(Ordering::Relaxed))
    }

    pub(super) fn is_complete(&self) -> bool {
        self.shared.is_complete.load(Ordering::Relaxed)
    }

    pub(super) fn stop(&self) {
        self.shared.is_stopped.store(true, Ordering::Relaxed);
    }
}

/// What cannot be read is not counted: the walk proper says why.
fn count(root: PathBuf, home: &Path, shared: &Shared) {
    let mut directories = vec![root];
    while let Some(directory) = directories.pop() {
        let Ok(entries) = fs::read_dir(&directory) else { continue };
        for entry in entries.flatten() {
            if shared.is_stopped.load(Ordering::Relaxed) {
                return;
            }
            let Ok(metadata) = entry.metadata() else { continue };
            if metadata.is_dir() && entry.path() != home {
                directories.push(entry.path());
            } else if metadata.is_file() {
                shared.files.fetch_add(1, Ordering::Relaxed);
                shared.bytes.fetch_add(metadata.len(), Ordering::Relaxed);
            }
        }
    }
}
