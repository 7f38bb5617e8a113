//! The scan cache: what a file held when it was last read, so that an unchanged one is not read
//! again.
//!
//! A file of its own, `cache.redb`, because losing it costs time and nothing else: it is written
//! without waiting for the disk, and a damaged one is thrown away. Keyed by the identity of the
//! file, not by its path, so a moved directory is not read again. A hit is only used after every
//! chunk it names was found in the index.

use std::path::{Path, PathBuf};

use larder_protocol::{
    cbor,
    tree::entry::{Content, Identity},
};
use minicbor::{Decode, Encode};
use redb::{Database, Durability, ReadableDatabase, TableDefinition};
use tracing::warn;

const FILES: TableDefinition<'_, &[u8; 16], &[u8]> = TableDefinition::new("files");

/// Bytes of page cache; rows are asked for in the order of the walk, which is not theirs.
const CACHE_BYTES: usize = 24 * 1024 * 1024;

/// Longest row: the inline extents of one file with room to spare.
const ROW_BYTES_MAX: usize = 64 * 1024;

/// What one file held.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct CachedFile {
    /// The file's stamp when it was read: any difference means read again.
    #[cbor(n(0), with = "minicbor::bytes")]
    pub stamp: Vec<u8>,
    /// Its bytes.
    #[n(1)]
    pub content: Content,
}

/// The open `cache.redb`.
#[derive(Debug)]
pub struct ScanCache {
    database: Database,
}

impl ScanCache {
    /// Opens the cache in `home`; one that cannot be opened is replaced by an empty one.
    ///
    /// # Errors
    /// The database's error when not even an empty one can be made.
    pub fn open(home: &Path) -> Result<Self, redb::Error> {
        let path = home.join("cache.redb");
        match Self::open_at(&path) {
            Ok(cache) => Ok(cache),
            Err(error) => {
                warn!("the scan cache could not be opened ({error}); starting an empty one");
                remove_quietly(&path);
                Self::open_at(&path)
            }
        }
    }

    fn open_at(path: &PathBuf) -> Result<Self, redb::Error> {
        let database = Database::builder().set_cache_size(CACHE_BYTES).create(path)?;
        let tx = database.begin_write()?;
        tx.open_table(FILES)?;
        tx.commit()?;
        Ok(Self { database })
    }

    /// A view for one scan: consistent, and cheap to ask many times.
    ///
    /// # Errors
    /// The database's error.
    pub fn view(&self) -> Result<ScanView, redb::Error> {
        Ok(ScanView { table: self.database.begin_read()?.open_table(FILES)? })
    }

    /// Remembers what files held. Not waited for: a crash costs reading them again.
    ///
    /// # Errors
    /// The database's error.
    pub fn keep(&self, rows: &[(Identity, CachedFile)]) -> Result<(), redb::Error> {
        let mut tx = self.database.begin_write()?;
        tx.set_durability(Durability::None)?;
        {
            let mut table = tx.open_table(FILES)?;
            for (identity, file) in rows {
                table.insert(&identity.0, cbor::encode(file).as_slice())?;
            }
        }
        tx.commit()?;
        Ok(())
    }

    /// Writes out what was kept, at the end of a scan.
    ///
    /// # Errors
    /// The database's error.
    pub fn flush(&self) -> Result<(), redb::Error> {
        self.database.begin_write()?.commit()?;
        Ok(())
    }
}

/// See [`ScanCache::view`].
#[derive(Debug)]
pub struct ScanView {
    table: redb::ReadOnlyTable<&'static [u8; 16], &'static [u8]>,
}

impl ScanView {
    /// What the file held, if it was read in exactly this state. An unreadable row is no row.
    pub fn find(&self, identity: &Identity, stamp: &[u8]) -> Option<Content> {
        let row = self.table.get(&identity.0).ok()??;
        let cached: CachedFile = cbor::decode(row.value(), ROW_BYTES_MAX).ok()?;
        (cached.stamp == stamp).then_some(cached.content)
    }
}

fn remove_quietly(path: &Path) {
    if let Err(error) = std::fs::remove_file(path) {
        warn!("{}: {error}", path.display());
    }
}
