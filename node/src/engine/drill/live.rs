//! The file that was drawn, as it stands here now.

use std::{
    ffi::OsStr,
    fs::File,
    os::unix::{
        ffi::OsStrExt,
        fs::{FileExt, MetadataExt},
    },
    path::Path,
};

use larder_protocol::tree::entry::FileTime;
use rustix::fs::{Mode, OFlags, open};

/// A file whose length and time are those of the snapshot.
#[derive(Debug)]
pub(super) struct LiveFile {
    file: File,
    bytes: u64,
    modified: FileTime,
}

impl LiveFile {
    /// The file at a path, unless something else is there now.
    pub(super) fn open(path: &[u8], bytes: u64, modified: FileTime) -> Option<Self> {
        // Neither a pipe that waits for its writer nor what a link points to.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let path = Path::new(OsStr::from_bytes(path));
        let file = File::from(open(path, flags, Mode::empty()).ok()?);
        let live = Self { file, bytes, modified };
        live.is_unchanged().then_some(live)
    }

    /// Whether it still has the length and the time of the snapshot.
    pub(super) fn is_unchanged(&self) -> bool {
        self.file.metadata().is_ok_and(|facts| {
            facts.is_file()
                && facts.len() == self.bytes
                && facts.mtime() == self.modified.seconds
                && facts.mtime_nsec() == i64::from(self.modified.nanoseconds)
        })
    }

    /// Whether these bytes stand at `at`. `None` where that cannot be read.
    pub(super) fn has(&self, at: u64, bytes: &[u8]) -> Option<bool> {
        let mut here = vec![0; bytes.len()];
        self.file.read_exact_at(&mut here, at).ok()?;
        Some(here == bytes)
    }
}
