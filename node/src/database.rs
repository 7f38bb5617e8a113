//! A redb file that comes into being whole, is private, and opens itself again after a disk error.
//!
//! redb refuses all work after the first I/O error, a full disk included, until it is opened anew.
//! A node runs for months: the next call opens the file again instead. Knows no table.
//!
//! ```text
//! (no file) ─ made under another name, first commit, renamed, directory synced ─▶ open
//! open ── I/O error ──▶ closed ── next call ──▶ open, or still closed with that call's error
//! ```
//! **Invariant:** the file is never seen without what `make` writes: a crash leaves none or a whole
//! one.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::{PoisonError, RwLock},
};

use redb::{DatabaseError, Durability, Error, ReadTransaction, ReadableDatabase, WriteTransaction};

use crate::{home::sync_directory, lock};

/// Of the name of a file that is being made; what a crash leaves under it is made again.
const UNFINISHED_ENDING: &str = "new";

/// The open file. Safe to use from many threads.
pub(crate) struct Database {
    path: PathBuf,
    cache_bytes: usize,
    opened: RwLock<Opened>,
}

struct Opened {
    /// `None` only between an I/O error and the next successful opening.
    file: Option<redb::Database>,
    /// Counts openings: an error closes only the opening in which it was met.
    times: u64,
}

impl std::fmt::Debug for Database {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Database").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Database {
    /// Opens the file at `path`, making it with the first commit of `make` when there is none.
    pub(crate) fn open(
        path: &Path,
        cache_bytes: usize,
        make: impl FnOnce(&WriteTransaction) -> Result<(), Error>,
    ) -> Result<Self, Error> {
        // An empty file is what a crash may leave of one that was never synced.
        let is_there = fs::metadata(path).is_ok_and(|facts| facts.len() > 0);
        let file =
            if is_there { open_file(path, cache_bytes)? } else { made(path, cache_bytes, make)? };
        // Also when it was there: the run that made it may have ended just before.
        sync_directory(path.parent().unwrap_or(Path::new(".")))?;
        let opened = RwLock::new(Opened { file: Some(file), times: 0 });
        Ok(Self { path: path.to_owned(), cache_bytes, opened })
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Reads. Done a second time when another thread's error had closed the file.
    pub(crate) fn read<T>(
        &self,
        work: impl Fn(&ReadTransaction) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let read = |file: &redb::Database| work(&file.begin_read()?);
        match self.with(read) {
            Err(Error::PreviousIo) => self.with(read),
            other => other,
        }
    }

    /// Writes and commits. Not repeated: whoever called knows whether that does harm.
    pub(crate) fn write<T>(
        &self,
        durability: Durability,
        work: impl FnOnce(&WriteTransaction) -> Result<T, Error>,
    ) -> Result<T, Error> {
        self.with(|file| {
            let mut transaction = file.begin_write()?;
            transaction.set_durability(durability)?;
            let value = work(&transaction)?;
            transaction.commit()?;
            Ok(value)
        })
    }

    /// Opens the file again if an error closed it.
    pub(crate) fn ready(&self) -> Result<(), Error> {
        self.with(|_| Ok(()))
    }

    fn with<T>(&self, work: impl FnOnce(&redb::Database) -> Result<T, Error>) -> Result<T, Error> {
        let opened = self.opened.read().unwrap_or_else(PoisonError::into_inner);
        let (result, times) = if let Some(file) = &opened.file {
            let done = (work(file), opened.times);
            drop(opened);
            done
        } else {
            drop(opened);
            let mut opened = self.opened.write().unwrap_or_else(PoisonError::into_inner);
            if opened.file.is_none() {
                opened.file = Some(open_file(&self.path, self.cache_bytes)?);
                opened.times += 1;
            }
            (work(opened.file.as_ref().expect("opened a line above")), opened.times)
        };
        if let Err(Error::Io(_) | Error::PreviousIo) = &result {
            let mut opened = self.opened.write().unwrap_or_else(PoisonError::into_inner);
            if opened.times == times {
                opened.file = None;
            }
        }
        result
    }
}

/// Makes the file under another name and renames it when it is whole. redb itself would leave a
/// file behind that it never opens again if it were stopped in its first moments.
fn made(
    path: &Path,
    cache_bytes: usize,
    make: impl FnOnce(&WriteTransaction) -> Result<(), Error>,
) -> Result<redb::Database, Error> {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(UNFINISHED_ENDING);
    let unfinished = PathBuf::from(name);
    match fs::remove_file(&unfinished) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    let file = open_file(&unfinished, cache_bytes)?;
    let mut transaction = file.begin_write()?;
    transaction.set_durability(Durability::Immediate)?;
    make(&transaction)?;
    transaction.commit()?;
    fs::rename(&unfinished, path)?;
    Ok(file)
}

/// Opens what is there, or an empty file; either is for its owner only.
fn open_file(path: &Path, cache_bytes: usize) -> Result<redb::Database, Error> {
    let file = File::options().write(true).create(true).truncate(false).mode(0o600).open(path)?;
    if file.metadata()?.permissions().mode() & 0o077 != 0 {
        file.set_permissions(fs::Permissions::from_mode(0o600))?;
    }
    let open = || redb::Database::builder().set_cache_size(cache_bytes).create(path);
    Ok(lock::for_a_moment(open, |error| matches!(error, DatabaseError::DatabaseAlreadyOpen))?)
}

#[cfg(test)]
mod tests {
    use redb::TableDefinition;

    use super::*;
    use crate::depot::tests::full::SmallDisk;

    const ROWS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("rows");
    const CACHE_BYTES: usize = 1024 * 1024;

    fn open(path: &Path) -> Database {
        let make = |tx: &WriteTransaction| {
            tx.open_table(ROWS)?;
            Ok(())
        };
        Database::open(path, CACHE_BYTES, make).unwrap()
    }

    fn put(database: &Database, key: u64, bytes: usize) -> Result<(), Error> {
        database.write(Durability::Immediate, |tx| {
            tx.open_table(ROWS)?.insert(key, vec![7; bytes].as_slice())?;
            Ok(())
        })
    }

    fn rows(database: &Database) -> u64 {
        use redb::ReadableTableMetadata;
        database.read(|tx| Ok(tx.open_table(ROWS)?.len()?)).unwrap()
    }

    // HOME-11
    #[test]
    fn it_is_for_its_owner_only_also_when_it_was_not() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("one.redb");
        let mode = || fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        drop(open(&path));
        assert_eq!(mode(), 0o600);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        drop(open(&path));
        assert_eq!(mode(), 0o600);
    }

    // HOME-9
    #[test]
    fn a_file_that_was_never_finished_is_made_again() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("one.redb");
        // What redb leaves when it is stopped before it wrote its first bytes.
        fs::write(home.path().join("one.redb.new"), vec![0; 8192]).unwrap();
        fs::write(&path, b"").unwrap();
        let database = open(&path);
        put(&database, 1, 10).unwrap();
        drop(database);
        assert_eq!(fs::read_dir(home.path()).unwrap().count(), 1, "nothing is left over");
        assert_eq!(rows(&open(&path)), 1);
    }

    // HOME-10
    #[test]
    fn a_full_disk_is_forgotten_once_there_is_room() {
        let Some(disk) = SmallDisk::mount() else { return };
        let database = open(&disk.path().join("one.redb"));
        put(&database, 0, 1000).unwrap();
        let filler = disk.fill();
        let full = (1..100).find(|key| put(&database, *key, 1024 * 1024).is_err()).unwrap();
        // What was there is read at once, though redb has refused all work.
        assert_eq!(rows(&database), full);
        assert!(put(&database, full, 1024 * 1024).is_err(), "still full");
        assert_eq!(rows(&database), full);
        fs::remove_file(filler).unwrap();
        put(&database, full, 1024 * 1024).unwrap();
        assert_eq!(rows(&database), full + 1);
    }
}
