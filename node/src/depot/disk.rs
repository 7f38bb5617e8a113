//! Where the depot's files are, and the few operations on them. Knows names, not meanings.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use larder_protocol::ids::ShardRoot;

use super::{
    DepotError,
    error::is_damage,
    steps::{Step, reached},
};

/// Ending of an outboard file, after the root in hex.
const OUTBOARD_ENDING: &str = "obao";

/// The directories of a depot. Source: specs/depot.md, "Layout".
#[derive(Debug)]
pub(super) struct Layout {
    dir: PathBuf,
    next_temp: AtomicU64,
}

impl Layout {
    /// Makes all directories, durable, so that no later rename needs to sync their parent.
    pub(super) fn create(dir: &Path) -> Result<Self, DepotError> {
        let made = DepotError::disk("make the directories");
        fs::create_dir_all(dir.join("tmp")).map_err(&made)?;
        for bucket in 0..=u8::MAX {
            match fs::create_dir(dir.join(format!("{bucket:02x}"))) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                other => other.map_err(&made)?,
            }
        }
        sync_dir(dir)?;
        // The depot's own name as well: a row is worth nothing in a directory that is gone.
        if let Some(parent) = dir.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            sync_dir(parent)?;
        }
        Ok(Self { dir: dir.to_owned(), next_temp: AtomicU64::new(0) })
    }

    pub(super) const fn dir(&self) -> &PathBuf {
        &self.dir
    }

    pub(super) fn table(&self) -> PathBuf {
        self.dir.join("depot.redb")
    }

    pub(super) fn reserve(&self) -> PathBuf {
        self.dir.join("reserve")
    }

    pub(super) fn temps(&self) -> PathBuf {
        self.dir.join("tmp")
    }

    /// A name for a temporary file that nobody else uses: all older ones go when a depot opens.
    pub(super) fn temp(&self) -> PathBuf {
        let number = self.next_temp.fetch_add(1, Ordering::Relaxed);
        self.dir.join("tmp").join(format!("{number:016x}"))
    }

    pub(super) fn bucket(&self, first: u8) -> PathBuf {
        self.dir.join(format!("{first:02x}"))
    }

    pub(super) fn data(&self, root: &ShardRoot) -> PathBuf {
        self.bucket(root.as_bytes()[0]).join(root.to_string())
    }

    pub(super) fn outboard(&self, root: &ShardRoot) -> PathBuf {
        self.data(root).with_extension(OUTBOARD_ENDING)
    }

    /// Gives the files their final names, durable. The outboard goes first: data without an
    /// outboard costs a rebuild, an outboard without data costs nothing.
    pub(super) fn place(
        &self,
        root: &ShardRoot,
        data: &Path,
        outboard: Option<&Path>,
    ) -> Result<(), DepotError> {
        let named = DepotError::disk("name a shard");
        if let Some(outboard) = outboard {
            fs::rename(outboard, self.outboard(root)).map_err(&named)?;
            reached(Step::OutboardNamed);
        }
        fs::rename(data, self.data(root)).map_err(&named)?;
        reached(Step::DataNamed);
        sync_dir(&self.bucket(root.as_bytes()[0]))?;
        reached(Step::NamesSynced);
        Ok(())
    }

    /// Removes a shard's files. Not synced: if a crash brings them back, the next start removes
    /// them, for they have no row.
    pub(super) fn unlink(&self, root: &ShardRoot) -> Result<(), DepotError> {
        remove_if_there(&self.data(root))?;
        reached(Step::DataUnlinked);
        remove_if_there(&self.outboard(root))?;
        reached(Step::OutboardUnlinked);
        Ok(())
    }

    /// Whether any file of a shard is here.
    pub(super) fn has_shards(&self) -> io::Result<bool> {
        for bucket in 0..=u8::MAX {
            let entries = match fs::read_dir(self.bucket(bucket)) {
                // Whatever is in it cannot be seen now.
                Err(error) if is_damage(&error) => return Ok(true),
                entries => entries?,
            };
            for entry in entries {
                let name = entry?.file_name();
                let named = name.to_str().map(|name| Named::parse(bucket, name));
                if matches!(named, Some(Named::Data(_) | Named::Outboard(_))) {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    pub(super) fn free_bytes(&self) -> Result<u64, DepotError> {
        let stat = rustix::fs::statvfs(&self.dir)
            .map_err(|error| DepotError::disk("ask for free space")(error.into()))?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }
}

/// What a name in a bucket directory stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Named {
    Data(ShardRoot),
    Outboard(ShardRoot),
    /// Nothing that we ever write there.
    Foreign,
}

impl Named {
    pub(super) fn parse(bucket: u8, name: &str) -> Self {
        let (stem, outboard) = match name.strip_suffix(".obao") {
            Some(stem) => (stem, true),
            None => (name, false),
        };
        match stem.parse::<ShardRoot>() {
            Ok(root) if root.as_bytes()[0] == bucket && root.to_string() == stem => {
                if outboard {
                    Self::Outboard(root)
                } else {
                    Self::Data(root)
                }
            }
            _ => Self::Foreign,
        }
    }
}

/// Makes the names in a directory durable.
pub(super) fn sync_dir(dir: &Path) -> Result<(), DepotError> {
    let synced = File::open(dir).and_then(|dir| dir.sync_all());
    synced.map_err(DepotError::disk("sync a directory"))
}

pub(super) fn remove_if_there(path: &Path) -> Result<(), DepotError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(DepotError::disk("remove a file")(error))
        }
        _ => Ok(()),
    }
}

/// Sets aside `bytes` of disk for `file` without changing its length, where the file system can.
pub(super) fn set_aside(file: &File, bytes: u64) -> Result<(), DepotError> {
    use rustix::{fs::FallocateFlags, io::Errno};
    match rustix::fs::fallocate(file, FallocateFlags::KEEP_SIZE, 0, bytes) {
        Ok(()) | Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => Ok(()),
        Err(error) => Err(DepotError::disk("set aside space")(error.into())),
    }
}
