//! What a node remembers beside shards: index, receipts, peers, folders, manifests.
//!
//! One redb file, `state.redb`. Everything in it is either a cache that can be rebuilt from packs
//! and holders (index, manifests of others) or a fact that was acknowledged to somebody and is
//! committed with immediate durability before the acknowledgement (receipts, grants, the own
//! head's number). Source: specs/home.md.
//!
//! **Invariant:** a method that returns `Ok` after a write has made it durable.

use std::{
    path::{Path, PathBuf},
    sync::Mutex,
};

use larder_protocol::cbor;
use redb::{Durability, ReadableTable, TableDefinition, WriteTransaction};
use thiserror::Error;

use crate::database::Database;

pub mod circle;
mod claims;
pub mod commits;
pub mod folders;
pub mod index;
pub mod leaving;
mod met;
pub mod receipts;
pub mod rekey;
pub mod scan_cache;
pub mod sides;
pub mod trail;
mod vigils;
mod watched;

/// Bytes of page cache for `state.redb`. redb's own default is a gigabyte.
const CACHE_BYTES: usize = 16 * 1024 * 1024;

/// Largest record that is read back; everything is written by this node itself.
const RECORD_BYTES_MAX: usize = 64 * 1024 * 1024;

const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");

/// Layout of `state.redb` that this program begins with.
const LAYOUT: u32 = 1;
/// The same once packs are adopted: a program that does not know of them would have them dropped.
const LAYOUT_ADOPTED: u32 = 2;

/// Why the node's memory could not be read or written.
#[derive(Debug, Error)]
pub enum StateError {
    /// The database refused.
    #[error("{path}: the database could not be used")]
    Database {
        /// File.
        path: PathBuf,
        /// What redb said.
        source: Box<redb::Error>,
    },
    /// A record in it does not decode.
    #[error("a record in {table} is damaged")]
    Damaged {
        /// Table name.
        table: &'static str,
    },
    /// Written by a newer program.
    #[error("this home was written by a newer larder (layout {found}, this program knows {known})")]
    Newer {
        /// Layout met.
        found: u32,
        /// Newest layout known.
        known: u32,
    },
}

/// The open `state.redb` of one node.
#[derive(Debug)]
pub struct State {
    database: Database,
    usable: index::UsablePacks,
    recent: index::RecentPacks,
    /// Held while what is known of a peer is read and written: several tasks learn of one at once.
    changing_peers: Mutex<()>,
}

impl State {
    /// Opens or creates `state.redb` in `home`.
    ///
    /// # Errors
    /// [`StateError`] when it cannot be opened, is damaged or newer than this program.
    pub fn open(home: &Path) -> Result<Self, StateError> {
        let path = home.join("state.redb");
        // The tables are made below: a newer program may add some to a file that is there.
        let database = Database::open(&path, CACHE_BYTES, |_| Ok(()))
            .map_err(|error| database_error(&path, error))?;
        let state = Self {
            database,
            usable: index::UsablePacks::default(),
            recent: index::RecentPacks::default(),
            changing_peers: Mutex::default(),
        };
        state.check_layout()?;
        state.create_tables()?;
        state.load_usable_packs()?;
        Ok(state)
    }

    fn check_layout(&self) -> Result<(), StateError> {
        let found = self.write(|tx| {
            let mut meta = tx.open_table(META)?;
            let found = meta.get("layout")?.map(|value| value.value().to_vec());
            if found.is_none() {
                meta.insert("layout", LAYOUT.to_le_bytes().as_slice())?;
            }
            Ok(found)
        })?;
        match found.map(|bytes| <[u8; 4]>::try_from(bytes.as_slice())) {
            None => Ok(()),
            Some(Ok(bytes)) => match u32::from_le_bytes(bytes) {
                LAYOUT | LAYOUT_ADOPTED => Ok(()),
                found => Err(StateError::Newer { found, known: LAYOUT_ADOPTED }),
            },
            Some(Err(_)) => Err(StateError::Damaged { table: "meta" }),
        }
    }

    fn create_tables(&self) -> Result<(), StateError> {
        self.write(|tx| {
            index::create(tx)?;
            leaving::create(tx)?;
            met::create(tx)?;
            receipts::create(tx)?;
            rekey::create(tx)?;
            circle::create(tx)?;
            folders::create(tx)?;
            commits::create(tx)?;
            claims::create(tx)?;
            sides::create(tx)?;
            trail::create(tx)?;
            vigils::create(tx)?;
            watched::create(tx)
        })
    }

    /// Runs `body` in one transaction and commits it durably.
    fn write<T>(
        &self,
        body: impl FnOnce(&WriteTransaction) -> Result<T, redb::Error>,
    ) -> Result<T, StateError> {
        let written = self.database.write(Durability::Immediate, body);
        written.map_err(|error| database_error(self.database.path(), error))
    }

    fn read<T>(
        &self,
        body: impl Fn(&redb::ReadTransaction) -> Result<T, redb::Error>,
    ) -> Result<T, StateError> {
        self.database.read(body).map_err(|error| database_error(self.database.path(), error))
    }
}

fn database_error(path: &Path, error: redb::Error) -> StateError {
    StateError::Database { path: path.to_owned(), source: Box::new(error) }
}

/// Decodes a record of `table`.
fn record<T>(table: &'static str, bytes: &[u8]) -> Result<T, StateError>
where
    T: minicbor::Encode<()> + for<'b> minicbor::Decode<'b, ()>,
{
    cbor::decode(bytes, RECORD_BYTES_MAX).map_err(|_| StateError::Damaged { table })
}

/// Collects the values of a whole small table.
fn values<K: redb::Key + 'static>(
    table: &impl ReadableTable<K, &'static [u8]>,
) -> Result<Vec<Vec<u8>>, redb::Error> {
    let mut all = Vec::new();
    for row in table.iter()? {
        all.push(row?.1.value().to_vec());
    }
    Ok(all)
}

#[cfg(test)]
mod tests;
