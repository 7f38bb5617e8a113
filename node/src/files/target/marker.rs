//! The marker of a restore under way: a locked file in the root that holds the boot it began in.
//!
//! While the machine runs, what one process wrote another one reads, whether it reached the disk
//! or not. So a restore that was killed may trust length and time of what it completed; one that
//! ended with the machine may not, and compares content.

use std::os::fd::OwnedFd;

use rustix::{
    fs::{AtFlags, Mode, OFlags, fsync, openat, unlinkat},
    io::{Errno, pread, pwrite},
};

use super::TargetError;
use crate::{files::names::part_name, lock};

/// Text of the kernel, new at each boot.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";
/// A UUID and a newline.
const BOOT_ID_BYTES_MAX: usize = 37;

#[derive(Debug)]
pub(super) struct Marker {
    /// Held for its lock.
    _file: OwnedFd,
    /// Whether an earlier restore did not end.
    pub(super) is_resumed: bool,
    /// Whether that one may have ended with the machine.
    pub(super) is_after_crash: bool,
}

impl Marker {
    /// Sets the marker in `root`, or takes over the one that stands there.
    pub(super) fn set(root: &OwnedFd) -> Result<Self, TargetError> {
        let fail = |source| TargetError::new(b".", source);
        let name = part_name(b"");
        let flags =
            OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = openat(root, &name, flags, Mode::RUSR | Mode::WUSR).map_err(fail)?;
        // File systems without locks fail otherwise: two restores are then the user's to avoid.
        if lock::take(&file) == Err(Errno::WOULDBLOCK) {
            return Err(TargetError::Busy);
        }
        let boot = std::fs::read(BOOT_ID).unwrap_or_default();
        let mut before = [0; BOOT_ID_BYTES_MAX];
        let read = pread(&file, &mut before, 0).map_err(fail)?;
        let before = &before[..read];
        if before.is_empty() {
            // Durable before anything else is written, so that it is there after a crash.
            pwrite(&file, &boot, 0).map_err(fail)?;
            fsync(&file).map_err(fail)?;
            fsync(root).map_err(fail)?;
        }
        let is_resumed = !before.is_empty();
        let is_after_crash = is_resumed && (boot.is_empty() || before != boot);
        Ok(Self { _file: file, is_resumed, is_after_crash })
    }

    /// Takes the marker away.
    pub(super) fn remove(&self, root: &OwnedFd) -> Result<(), Errno> {
        match unlinkat(root, part_name(b""), AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => fsync(root),
            Err(error) => Err(error),
        }
    }
}
