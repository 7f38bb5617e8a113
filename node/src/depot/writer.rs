//! One shard on its way to the disk: hashed while the bytes pass, named and recorded at the end.

use std::{
    fs::{self, File},
    io::Write,
    num::NonZeroU64,
    path::PathBuf,
};

use larder_protocol::{index::ShardRef, limits::SHARD_BYTES_MAX};
use rustix::fs::{Advice, fadvise};

use super::{
    Depot, DepotError, ShardHasher, Tenure, disk,
    steps::{Step, reached},
};

/// The disk is given what was written after so many bytes: it works while more is hashed, and the
/// wait at the end is for the rest alone.
const PIECE_BYTES: u64 = 2 * 1024 * 1024;

/// Writes one shard. Dropped before [`ShardWriter::finish`], it leaves nothing behind.
#[derive(Debug)]
pub struct ShardWriter {
    depot: Depot,
    expected: Option<ShardRef>,
    file: File,
    hasher: ShardHasher,
    /// Bytes that the disk was given.
    given: u64,
    temps: Temps,
}

/// The temporary files of a writer; removed when dropped, unless they were renamed.
#[derive(Debug)]
struct Temps {
    data: PathBuf,
    outboard: PathBuf,
}

impl Drop for Temps {
    fn drop(&mut self) {
        for path in [&self.data, &self.outboard] {
            // What cannot be removed now is removed at the next start.
            let _ = fs::remove_file(path);
        }
    }
}

impl ShardWriter {
    pub(super) fn create(depot: Depot, expected: Option<ShardRef>) -> Result<Self, DepotError> {
        let data = depot.inner.layout.temp();
        let outboard = data.with_extension("obao");
        let temps = Temps { data, outboard };
        if let Some(expected) = expected.filter(|expected| !expected.is_plausible()) {
            return Err(DepotError::BadLength(expected.bytes));
        }
        let file = File::create_new(&temps.data).map_err(DepotError::disk("make a file"))?;
        if let Some(expected) = expected {
            disk::set_aside(&file, expected.bytes)?;
        }
        Ok(Self { depot, expected, file, hasher: ShardHasher::new(), given: 0, temps })
    }

    /// Bytes taken so far.
    pub const fn bytes(&self) -> u64 {
        self.hasher.bytes()
    }

    /// Takes the next bytes.
    ///
    /// # Errors
    /// [`DepotError::BadLength`] when there are more than promised or than a shard may have;
    /// [`DepotError::NoSpace`] on a full disk.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), DepotError> {
        let most = self.expected.map_or(SHARD_BYTES_MAX, |expected| expected.bytes);
        let length = u64::try_from(bytes.len()).expect("a length in memory fits 64 bits");
        let total = self.hasher.bytes().saturating_add(length);
        if total > most {
            return Err(DepotError::BadLength(total));
        }
        let piece = usize::try_from(PIECE_BYTES).unwrap_or(usize::MAX);
        for bytes in bytes.chunks(piece) {
            self.file.write_all(bytes).map_err(DepotError::disk("write a shard"))?;
            self.hasher.update(bytes);
            self.give();
        }
        Ok(())
    }

    /// Has the kernel begin to write, as this advice does for pages that are not on the disk yet.
    fn give(&mut self) {
        let new = self.hasher.bytes() - self.given;
        if new >= PIECE_BYTES {
            // Advice: nothing is lost when it is refused; `finish` waits for all of it.
            let _ = fadvise(&self.file, self.given, NonZeroU64::new(new), Advice::DontNeed);
            self.given += new;
        }
    }

    /// Makes the shard durable, names and records it. Only when this returns may anybody be told.
    ///
    /// # Errors
    /// [`DepotError::WrongBytes`] when it is not the promised shard; nothing is kept then.
    pub fn finish(self, tenure: Tenure) -> Result<ShardRef, DepotError> {
        let Self { depot, expected, file, hasher, temps, .. } = self;
        let (met, outboard) = hasher.finish();
        if let Some(promised) = expected.filter(|expected| *expected != met) {
            return Err(DepotError::WrongBytes { promised, met });
        }
        if !met.is_plausible() {
            return Err(DepotError::BadLength(met.bytes));
        }
        let sealed = Sealed { depot, shard: met, temps, has_outboard: !outboard.is_empty() };
        sealed.sync(&file, &outboard)?;
        let _guard = sealed.depot.lock(&met.root);
        // Also over a copy that is there already: it may have rotted unnoticed.
        sealed.place()?;
        sealed.depot.inner.table.record(met, tenure)?;
        reached(Step::Recorded);
        Ok(met)
    }
}

/// A shard of proven name whose files are still temporary.
#[derive(Debug)]
struct Sealed {
    depot: Depot,
    shard: ShardRef,
    temps: Temps,
    has_outboard: bool,
}

impl Sealed {
    fn sync(&self, data: &File, outboard: &[u8]) -> Result<(), DepotError> {
        let synced = DepotError::disk("make a shard durable");
        data.sync_data().map_err(&synced)?;
        reached(Step::DataSynced);
        if self.has_outboard {
            let mut file = File::create_new(&self.temps.outboard).map_err(&synced)?;
            file.write_all(outboard).map_err(&synced)?;
            file.sync_data().map_err(&synced)?;
            reached(Step::OutboardSynced);
        }
        Ok(())
    }

    fn place(&self) -> Result<(), DepotError> {
        let outboard = self.has_outboard.then_some(self.temps.outboard.as_path());
        self.depot.inner.layout.place(&self.shard.root, &self.temps.data, outboard)
    }
}
