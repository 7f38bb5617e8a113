//! A shard that is still arriving, in ranges, from several holders, across restarts.
//!
//! A sparse data file and an outboard file. Only verified groups are written, and what is there is
//! found again after a crash by verifying it, so nothing need be synced on the way.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io,
    ops::Range,
    os::unix::fs::{FileExt, MetadataExt},
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bao_tree::{BaoTree, ChunkRanges, io::BaoContentItem};
use larder_protocol::{ids::ShardRoot, index::ShardRef, limits::GROUP_BYTES};

use super::{
    DepotError,
    disk::{self, Layout},
    shard::{BLOCK, OutboardFile, byte_ranges, validate},
};

/// A shard of which some ranges are here. Safe to share between the streams that fill it.
#[derive(Debug)]
pub struct PartialShard {
    shard: ShardRef,
    data_path: PathBuf,
    outboard_path: PathBuf,
    data: File,
    outboard: OutboardFile,
    /// One flag for each group.
    present: Mutex<Vec<bool>>,
}

/// A partial shard that is complete, on its way into the depot.
pub(super) struct Finished<'a> {
    pub(super) shard: ShardRef,
    partial: &'a PartialShard,
}

impl PartialShard {
    /// Opens the partial shard in `dir`, making it when there is none. What an earlier run left is
    /// verified and kept.
    ///
    /// # Errors
    /// [`DepotError::BadLength`] for a length no shard has; [`DepotError`] of the disk.
    pub fn open(dir: &Path, shard: ShardRef) -> Result<Self, DepotError> {
        if !shard.is_plausible() {
            return Err(DepotError::BadLength(shard.bytes));
        }
        let opened = DepotError::disk("open a partial shard");
        fs::create_dir_all(dir).map_err(&opened)?;
        let data_path = dir.join(shard.root.to_string());
        let outboard_path = data_path.with_extension("obao");
        let tree = BaoTree::new(shard.bytes, BLOCK);
        let is_new = !data_path.exists();
        let data = open_sized(&data_path, shard.bytes).map_err(&opened)?;
        let file = match tree.outboard_size() {
            0 => None,
            bytes => Some(open_sized(&outboard_path, bytes).map_err(&opened)?),
        };
        let root = (*shard.root.as_bytes()).into();
        let partial = Self {
            shard,
            data_path,
            outboard_path,
            data,
            outboard: OutboardFile { root, tree, file },
            present: Mutex::new(vec![false; group_count(shard.bytes)]),
        };
        if !is_new {
            partial.revalidate()?;
        }
        Ok(partial)
    }

    /// Name and length.
    pub const fn shard(&self) -> ShardRef {
        self.shard
    }

    /// Writes one item of a verified stream. Returns the bytes it added.
    ///
    /// # Errors
    /// [`DepotError::BadRange`] for a leaf that is not a whole group; [`DepotError`] of the disk.
    pub fn write(&self, item: &BaoContentItem) -> Result<Range<u64>, DepotError> {
        let written = DepotError::disk("write a partial shard");
        match item {
            BaoContentItem::Parent(parent) => {
                let offset = self.outboard.tree.pre_order_offset(parent.node);
                if let (Some(file), Some(offset)) = (&self.outboard.file, offset) {
                    let mut pair = [0; 64];
                    pair[..32].copy_from_slice(parent.pair.0.as_bytes());
                    pair[32..].copy_from_slice(parent.pair.1.as_bytes());
                    file.write_all_at(&pair, offset * 64).map_err(written)?;
                }
                Ok(0..0)
            }
            BaoContentItem::Leaf(leaf) => {
                let length = u64::try_from(leaf.data.len()).expect("a length fits 64 bits");
                let end = leaf.offset.saturating_add(length);
                let whole = end == (leaf.offset + GROUP_BYTES).min(self.shard.bytes);
                if leaf.offset % GROUP_BYTES != 0 || !whole {
                    return Err(DepotError::BadRange);
                }
                self.data.write_all_at(&leaf.data, leaf.offset).map_err(written)?;
                let group = usize::try_from(leaf.offset / GROUP_BYTES).expect("checked length");
                self.flags()[group] = true;
                Ok(leaf.offset..end)
            }
        }
    }

    /// The ranges that are here, joined and in order.
    pub fn present(&self) -> Vec<Range<u64>> {
        self.ranges(true)
    }

    /// The ranges that are not here yet, joined and in order.
    pub fn missing(&self) -> Vec<Range<u64>> {
        self.ranges(false)
    }

    /// Whether all of `range` is here.
    pub fn has(&self, range: &Range<u64>) -> bool {
        let Some(groups) = self.groups_of(range) else { return false };
        self.flags()[groups].iter().all(|present| *present)
    }

    /// Whether every byte is here.
    pub fn is_complete(&self) -> bool {
        self.flags().iter().all(|present| *present)
    }

    /// Reads `range`.
    ///
    /// # Errors
    /// [`DepotError::Incomplete`] when some of it is not here, [`DepotError::BadRange`] when it is
    /// not in the shard.
    pub fn read(&self, range: Range<u64>) -> Result<Vec<u8>, DepotError> {
        let groups = self.groups_of(&range).ok_or(DepotError::BadRange)?;
        if !self.flags()[groups].iter().all(|present| *present) {
            return Err(DepotError::Incomplete);
        }
        let length = usize::try_from(range.end - range.start).map_err(|_| DepotError::BadRange)?;
        let mut bytes = vec![0; length];
        let read = self.data.read_exact_at(&mut bytes, range.start);
        read.map_err(DepotError::disk("read a partial shard"))?;
        Ok(bytes)
    }

    /// Removes the files of a partial shard in `dir` that is not open.
    ///
    /// # Errors
    /// [`DepotError`] of the disk.
    pub fn discard(dir: &Path, root: &ShardRoot) -> Result<(), DepotError> {
        let data_path = dir.join(root.to_string());
        disk::remove_if_there(&data_path)?;
        disk::remove_if_there(&data_path.with_extension("obao"))
    }

    /// The partial shards in `dir`.
    pub fn list(dir: &Path) -> BTreeSet<ShardRoot> {
        Self::list_older(dir, Duration::ZERO)
    }

    /// The partial shards in `dir` to which nothing came for `age`.
    pub fn list_older(dir: &Path, age: Duration) -> BTreeSet<ShardRoot> {
        let Ok(entries) = fs::read_dir(dir) else { return BTreeSet::new() };
        let (mut old, mut young) = (BTreeSet::new(), BTreeSet::new());
        for entry in entries.flatten() {
            let path = entry.path();
            let root = path.file_stem().and_then(|name| name.to_str()?.parse().ok());
            let Some(root) = root else { continue };
            let modified = entry.metadata().and_then(|metadata| metadata.modified());
            // A time in the future is no age.
            let is_old = modified.is_ok_and(|at| at.elapsed().is_ok_and(|since| since > age));
            if age.is_zero() || is_old {
                old.insert(root)
            } else {
                young.insert(root)
            };
        }
        old.difference(&young).copied().collect()
    }

    /// Removes the files.
    ///
    /// # Errors
    /// [`DepotError`] of the disk.
    pub fn remove(self) -> Result<(), DepotError> {
        disk::remove_if_there(&self.data_path)?;
        disk::remove_if_there(&self.outboard_path)
    }

    pub(super) fn finished(&self) -> Result<Finished<'_>, DepotError> {
        if !self.is_complete() {
            return Err(DepotError::Incomplete);
        }
        Ok(Finished { shard: self.shard, partial: self })
    }

    fn revalidate(&self) -> Result<(), DepotError> {
        let valid = validate(&self.outboard, &self.data, &ChunkRanges::all())?;
        let mut flags = self.flags();
        for range in byte_ranges(&valid, self.shard.bytes) {
            let first = range.start.div_ceil(GROUP_BYTES);
            // A group counts when it is there to its end, which for the last is the shard's.
            let last = if range.end == self.shard.bytes {
                range.end.div_ceil(GROUP_BYTES)
            } else {
                range.end / GROUP_BYTES
            };
            for group in first..last {
                flags[usize::try_from(group).expect("checked length")] = true;
            }
        }
        Ok(())
    }

    fn groups_of(&self, range: &Range<u64>) -> Option<Range<usize>> {
        if range.start > range.end || range.end > self.shard.bytes {
            return None;
        }
        let first = usize::try_from(range.start / GROUP_BYTES).ok()?;
        let last = usize::try_from(range.end.div_ceil(GROUP_BYTES)).ok()?;
        Some(first..last.max(first))
    }

    fn ranges(&self, present: bool) -> Vec<Range<u64>> {
        let mut ranges: Vec<Range<u64>> = Vec::new();
        let mut start = 0;
        for flag in self.flags().iter() {
            let end = (start + GROUP_BYTES).min(self.shard.bytes);
            if *flag == present {
                match ranges.last_mut() {
                    Some(last) if last.end == start => last.end = end,
                    _ => ranges.push(start..end),
                }
            }
            start = end;
        }
        ranges
    }

    fn flags(&self) -> MutexGuard<'_, Vec<bool>> {
        self.present.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Finished<'_> {
    pub(super) fn sync(&self) -> Result<(), DepotError> {
        let synced = DepotError::disk("make a shard durable");
        self.partial.data.sync_data().map_err(&synced)?;
        let outboard = self.partial.outboard.file.as_ref();
        outboard.map_or(Ok(()), File::sync_data).map_err(synced)
    }

    /// To be called under the lock of the shard. What has its final name already keeps it: of two
    /// readers that waited for one shard, each takes it over.
    pub(super) fn place(&self, layout: &Layout) -> Result<(), DepotError> {
        let (partial, root) = (self.partial, &self.shard.root);
        if is_at(&partial.data, &layout.data(root)) {
            // The outboard goes first, so it is there too; it may not have been synced.
            return disk::sync_dir(&layout.bucket(root.as_bytes()[0]));
        }
        let outboard = partial.outboard.file.as_ref();
        let outboard = outboard.filter(|file| !is_at(file, &layout.outboard(root)));
        let outboard = outboard.map(|_| partial.outboard_path.as_path());
        layout.place(root, &partial.data_path, outboard)
    }
}

/// Whether `path` names this very file.
fn is_at(file: &File, path: &Path) -> bool {
    match (file.metadata(), fs::metadata(path)) {
        (Ok(ours), Ok(named)) => (ours.dev(), ours.ino()) == (named.dev(), named.ino()),
        _ => false,
    }
}

fn group_count(bytes: u64) -> usize {
    usize::try_from(bytes.div_ceil(GROUP_BYTES)).expect("a shard's length was checked")
}

fn open_sized(path: &Path, bytes: u64) -> io::Result<File> {
    let file = File::options().read(true).write(true).create(true).truncate(false).open(path)?;
    if file.metadata()?.len() != bytes {
        file.set_len(bytes)?;
    }
    Ok(file)
}
