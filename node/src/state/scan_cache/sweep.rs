//! Forgetting what the scan cache needs no more, so that it does not grow with what was deleted.

use std::collections::HashSet;

use redb::{Error, ReadTransaction, ReadableTable, ReadableTableMetadata, Table, WriteTransaction};

use super::{
    FOLDERS, PARTS,
    part::{FolderKey, key, parse},
};
use crate::files::DirectoryKey;

/// Folders that are remembered at once.
const FOLDERS_MAX: u64 = 64;
/// A sweep reads all rows; it waits for so many new ones at least.
const WRITTEN_MIN: u64 = 4096;
/// How exactly it is known when a folder was scanned last.
const DAY_SECONDS: u64 = 24 * 3600;

/// Forgets the parts of one directory that do not begin with one of `firsts`, which ascend.
pub(super) fn directory(
    table: &mut Table<'_, &[u8], &[u8]>,
    folder: FolderKey,
    directory: DirectoryKey,
    firsts: &[&[u8]],
) -> Result<(), Error> {
    let start = key(folder, directory, b"");
    let mut stale = Vec::new();
    for row in table.range::<&[u8]>(&*start..)? {
        let (key, _) = row?;
        match parse(key.value()) {
            Some((its, of, first)) if its == folder && of == directory => {
                if firsts.binary_search(&first).is_err() {
                    stale.push(key.value().to_vec());
                }
            }
            _ => break,
        }
    }
    remove(table, &stale)
}

/// Counts rows written for a folder.
pub(super) fn count(tx: &WriteTransaction, folder: FolderKey, rows: u64) -> Result<(), Error> {
    if rows == 0 {
        return Ok(());
    }
    let mut folders = tx.open_table(FOLDERS)?;
    let (written, scanned) = folders.get(&folder.0)?.map_or((0, 0), |row| row.value());
    folders.insert(&folder.0, (written.saturating_add(rows), scanned))?;
    Ok(())
}

/// Whether there is anything to do after a complete scan of `folder`.
pub(super) fn is_due(
    tx: &ReadTransaction,
    folder: FolderKey,
    directories: usize,
    now: u64,
) -> Result<bool, Error> {
    let folders = tx.open_table(FOLDERS)?;
    let (written, scanned) = folders.get(&folder.0)?.map_or((0, 0), |row| row.value());
    let is_today = now.checked_sub(scanned).is_some_and(|age| age < DAY_SECONDS);
    Ok(!is_today || folders.len()? > FOLDERS_MAX || is_much(written, directories))
}

fn is_much(written: u64, directories: usize) -> bool {
    let directories = u64::try_from(directories).unwrap_or(u64::MAX);
    written > directories.saturating_mul(2).max(WRITTEN_MIN)
}

/// Notes the scan; forgets what is not in `directories`, and the folders that are too many.
pub(super) fn folder(
    tx: &WriteTransaction,
    folder: FolderKey,
    directories: &HashSet<DirectoryKey>,
    now: u64,
) -> Result<(), Error> {
    let mut folders = tx.open_table(FOLDERS)?;
    let (written, _) = folders.get(&folder.0)?.map_or((0, 0), |row| row.value());
    let is_much = is_much(written, directories.len());
    folders.insert(&folder.0, (if is_much { 0 } else { written }, now))?;
    let mut table = tx.open_table(PARTS)?;
    if is_much {
        forget(&mut table, folder, |directory| !directories.contains(&directory))?;
    }
    while folders.len()? > FOLDERS_MAX {
        let mut oldest = None;
        for row in folders.iter()? {
            let (key, row) = row?;
            let (_, scanned) = row.value();
            let key = *key.value();
            if key != folder.0 && oldest.is_none_or(|(before, _)| scanned < before) {
                oldest = Some((scanned, key));
            }
        }
        let Some((_, key)) = oldest else { break };
        forget(&mut table, FolderKey(key), |_| true)?;
        folders.remove(&key)?;
    }
    Ok(())
}

fn forget(
    table: &mut Table<'_, &[u8], &[u8]>,
    folder: FolderKey,
    is_stale: impl Fn(DirectoryKey) -> bool,
) -> Result<(), Error> {
    let mut stale = Vec::new();
    for row in table.range::<&[u8]>(&folder.0[..]..)? {
        let (key, _) = row?;
        match parse(key.value()) {
            Some((its, directory, _)) if its == folder => {
                if is_stale(directory) {
                    stale.push(key.value().to_vec());
                }
            }
            _ => break,
        }
    }
    remove(table, &stale)
}

fn remove(table: &mut Table<'_, &[u8], &[u8]>, keys: &[Vec<u8>]) -> Result<(), Error> {
    for key in keys {
        table.remove(key.as_slice())?;
    }
    Ok(())
}
