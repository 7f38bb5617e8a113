//! A file of nothing: space that is given up when the disk is full, so that a removal, which must
//! write a row before it frees anything, always can.

use std::{fs::File, path::PathBuf};

use super::disk;

/// Enough for many commits of the table: a commit of one row writes some ten pages of 4 KiB.
const RESERVE_BYTES: u64 = 1024 * 1024;
/// Better than nothing: enough for one commit.
const RESERVE_BYTES_MIN: u64 = 64 * 1024;

/// The reserve. Best effort: a disk that is full at the start has none.
#[derive(Debug)]
pub(super) struct Reserve {
    path: PathBuf,
}

impl Reserve {
    pub(super) fn open(path: PathBuf) -> Self {
        let reserve = Self { path };
        reserve.refill();
        reserve
    }

    /// Gives the space up.
    pub(super) fn release(&self) {
        if let Err(error) = disk::remove_if_there(&self.path) {
            tracing::warn!(%error, "could not give up the depot's reserve");
        }
    }

    /// Takes the space again, as much as there is room for.
    pub(super) fn refill(&self) {
        let opened = File::options().create(true).truncate(false).write(true).open(&self.path);
        let Ok(file) = opened else { return };
        let had = file.metadata().map_or(0, |meta| meta.len());
        let mut bytes = RESERVE_BYTES;
        while bytes > had.max(RESERVE_BYTES_MIN - 1) {
            if disk::set_aside(&file, bytes).is_ok() {
                // The length says how much is held; failing to say it only costs a second try.
                let _ = file.set_len(bytes);
                return;
            }
            bytes /= 2;
        }
    }
}
