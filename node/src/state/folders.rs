//! The folders that this device backs up, with their exclude patterns.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::{Path, PathBuf},
};

use larder_protocol::{cbor, time::Timestamp};
use minicbor::{Decode, Encode};
use redb::{ReadableTable, TableDefinition, WriteTransaction};

use super::{State, StateError, record};

/// When each was last found saved as it was then, in seconds since 1970.
const SAVED: TableDefinition<'_, &[u8], u64> = TableDefinition::new("saved");
const FOLDERS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("folders");

/// What is excluded below one folder.
#[derive(Debug, Clone, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct FolderRow {
    /// Patterns in gitignore syntax, relative to the folder.
    #[n(0)]
    pub excludes: Vec<String>,
}

/// One folder to back up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folder {
    /// Absolute path.
    pub path: PathBuf,
    /// Patterns in gitignore syntax, relative to `path`.
    pub excludes: Vec<String>,
}

pub(super) fn create(tx: &WriteTransaction) -> Result<(), redb::Error> {
    tx.open_table(FOLDERS)?;
    tx.open_table(SAVED)?;
    Ok(())
}

impl State {
    /// Adds a folder, or replaces its excludes.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn add_folder(&self, folder: &Folder) -> Result<(), StateError> {
        let row = FolderRow { excludes: folder.excludes.clone() };
        self.write(|tx| {
            let mut table = tx.open_table(FOLDERS)?;
            table.insert(folder.path.as_os_str().as_bytes(), cbor::encode(&row).as_slice())?;
            Ok(())
        })
    }

    /// Stops backing a folder up; its snapshots stay. False if it was not there.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn remove_folder(&self, path: &Path) -> Result<bool, StateError> {
        self.write(|tx| {
            let key = path.as_os_str().as_bytes();
            tx.open_table(SAVED)?.remove(key)?;
            Ok(tx.open_table(FOLDERS)?.remove(key)?.is_some())
        })
    }

    /// All folders, ascending by path.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn folders(&self) -> Result<Vec<Folder>, StateError> {
        let rows = self.read(|tx| {
            let mut rows = Vec::new();
            for row in tx.open_table(FOLDERS)?.iter()? {
                let (path, bytes) = row?;
                rows.push((path.value().to_vec(), bytes.value().to_vec()));
            }
            Ok(rows)
        })?;
        rows.into_iter()
            .map(|(path, bytes)| {
                let row: FolderRow = record("folders", &bytes)?;
                let path = PathBuf::from(std::ffi::OsString::from_vec(path));
                Ok(Folder { path, excludes: row.excludes })
            })
            .collect()
    }

    /// Notes that everything in a folder of the list was saved as it was at `at`, changed since the last time
    /// or not.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn note_saved(&self, path: &Path, at: Timestamp) -> Result<(), StateError> {
        let key = path.as_os_str().as_bytes();
        self.write(|tx| {
            tx.open_table(SAVED)?.insert(key, at.0)?;
            Ok(())
        })
    }

    /// When the folders were last saved, as far as they ever were.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn saved(&self) -> Result<BTreeMap<PathBuf, Timestamp>, StateError> {
        self.read(|tx| {
            let mut all = BTreeMap::new();
            for row in tx.open_table(SAVED)?.iter()? {
                let (path, at) = row?;
                let path = PathBuf::from(std::ffi::OsString::from_vec(path.value().to_vec()));
                all.insert(path, Timestamp(at.value()));
            }
            Ok(all)
        })
    }

    /// The excludes of the folder at `path`, if it is one.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn folder(&self, path: &Path) -> Result<Option<Folder>, StateError> {
        let key: &OsStr = path.as_os_str();
        let bytes = self.read(|tx| {
            Ok(tx.open_table(FOLDERS)?.get(key.as_bytes())?.map(|bytes| bytes.value().to_vec()))
        })?;
        let Some(bytes) = bytes else { return Ok(None) };
        let row: FolderRow = record("folders", &bytes)?;
        Ok(Some(Folder { path: path.to_owned(), excludes: row.excludes }))
    }
}
