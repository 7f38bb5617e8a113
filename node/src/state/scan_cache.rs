//! The scan cache: what a file held when it was last read, so that an unchanged one is not read
//! again.
//!
//! A file of its own, `cache.redb`, because losing it costs time and nothing else: it is written
//! without waiting for the disk, and a damaged one is thrown away. Nothing here can fail: what
//! cannot be read was not there, what cannot be kept is forgotten. Keyed by the identity of the
//! file, not by its path, so a moved directory is not read again. A hit is only used after every
//! chunk it names was found in the index.

use std::path::Path;

use larder_protocol::{
    cbor,
    tree::entry::{Content, Identity},
};
use minicbor::{Decode, Encode};
use redb::{Durability, TableDefinition, WriteTransaction};
use tracing::warn;

use crate::database::Database;

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
    /// `None` when not even an empty one could be made.
    database: Option<Database>,
}

impl ScanCache {
    /// Opens the cache in `home`; one that cannot be opened is replaced by an empty one.
    pub fn open(home: &Path) -> Self {
        let path = home.join("cache.redb");
        let opened = open_at(&path).or_else(|error| {
            warn!("the scan cache could not be opened ({error}); starting an empty one");
            remove_quietly(&path);
            open_at(&path)
        });
        match opened {
            Ok(database) => Self { database: Some(database) },
            Err(error) => {
                warn!("no scan cache could be made ({error}); every file will be read");
                Self { database: None }
            }
        }
    }

    /// A view for one scan: consistent, and cheap to ask many times.
    pub fn view(&self) -> ScanView {
        let opened = self.database.as_ref().map(|file| file.read(|tx| Ok(tx.open_table(FILES)?)));
        ScanView { table: opened.and_then(|opened| noted("be read", opened)) }
    }

    /// Remembers what files held. Not waited for: a crash costs reading them again.
    pub fn keep(&self, rows: &[(Identity, CachedFile)]) {
        let Some(database) = &self.database else { return };
        let kept = database.write(Durability::None, |tx| {
            let mut table = tx.open_table(FILES)?;
            for (identity, file) in rows {
                table.insert(&identity.0, cbor::encode(file).as_slice())?;
            }
            Ok(())
        });
        noted("be written", kept);
    }

    /// Writes out what was kept, at the end of a scan.
    pub fn flush(&self) {
        let Some(database) = &self.database else { return };
        noted("be written out", database.write(Durability::Immediate, |_| Ok(())));
    }
}

fn open_at(path: &Path) -> Result<Database, redb::Error> {
    let make = |tx: &WriteTransaction| {
        tx.open_table(FILES)?;
        Ok(())
    };
    let database = Database::open(path, CACHE_BYTES, make)?;
    // A file that an older program had just begun has no table.
    database.read(|tx| Ok(tx.open_table(FILES)?))?;
    Ok(database)
}

/// The cache saves time; its errors are told and cost only that.
fn noted<T>(what: &'static str, done: Result<T, redb::Error>) -> Option<T> {
    done.map_err(|error| warn!("the scan cache could not {what}: {error}")).ok()
}

/// See [`ScanCache::view`].
#[derive(Debug)]
pub struct ScanView {
    /// `None` when it cannot be read: nothing is known then.
    table: Option<redb::ReadOnlyTable<&'static [u8; 16], &'static [u8]>>,
}

impl ScanView {
    /// What the file held, if it was read in exactly this state. An unreadable row is no row.
    pub fn find(&self, identity: &Identity, stamp: &[u8]) -> Option<Content> {
        let row = self.table.as_ref()?.get(&identity.0).ok()??;
        let cached: CachedFile = cbor::decode(row.value(), ROW_BYTES_MAX).ok()?;
        (cached.stamp == stamp).then_some(cached.content)
    }
}

fn remove_quietly(path: &Path) {
    if let Err(error) = std::fs::remove_file(path) {
        warn!("{}: {error}", path.display());
    }
}
