//! A file of nothing: space that is given up when the disk is full, so that a removal, which must
//! write a row before it frees anything, always can.

use std::{fs::File, path::PathBuf};

use super::disk;

/// Enough for many commits of the table: a commit of one row writes some ten pages of 4 KiB.
const RESERVE_BYTES: u64 = 4 * 1024 * 1024;

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

    /// Takes the space again if it was given up and there is room.
    pub(super) fn refill(&self) {
        let Ok(file) = File::create_new(&self.path) else { return };
        if disk::set_aside(&file, RESERVE_BYTES).is_err() {
            // A partial reserve would look like a full one.
            self.release();
        }
    }
}
