//! The directory of a home: made durable, or taken over if it is ours, and closed to everybody else.
//!
//! Privacy rests on this one directory: nobody else enters it, so that the modes of what is in it
//! matter only if it is ever moved or copied.

use std::{
    ffi::OsString,
    fs, io,
    os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt},
    path::Path,
};

use super::{HomeError, doing, sync_directory};

/// What may be in a directory that becomes a home: what an interrupted start leaves, settings that
/// were put there beforehand, and what a file system makes by itself.
const HARMLESS: [&str; 13] = [
    "config.toml",
    "config.toml.new",
    "device.key",
    "device.key.new",
    "state.redb",
    "state.redb.new",
    "cache.redb",
    "vaults",
    "depot",
    "fetch",
    "lock",
    "node.sock",
    "lost+found",
];

/// Makes a directory that only its owner can enter, parents included; durable when this returns.
pub(super) fn make(path: &Path) -> Result<(), HomeError> {
    if path.is_dir() {
        return Ok(());
    }
    // The nearest one that is there already gets a new name in it, as does each that is made.
    let made = path.ancestors().take_while(|above| !above.is_dir());
    let synced: Vec<&Path> = made.filter_map(Path::parent).collect();
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(doing("make the directory", path))?;
    let only_owner = fs::Permissions::from_mode(0o700);
    fs::set_permissions(path, only_owner).map_err(doing("protect", path))?;
    for parent in synced {
        let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
        sync_directory(parent).map_err(doing("sync the directory", parent))?;
    }
    Ok(())
}

/// Refuses a directory that serves something else: it would be closed to whoever uses it.
pub(super) fn refuse_foreign(path: &Path) -> Result<(), HomeError> {
    let listed = doing("list", path);
    let foreign = || -> io::Result<Option<OsString>> {
        for entry in fs::read_dir(path)? {
            let name = entry?.file_name();
            if !HARMLESS.iter().any(|harmless| name == *harmless) {
                return Ok(Some(name));
            }
        }
        Ok(None)
    };
    match foreign().map_err(listed)? {
        Some(name) => Err(HomeError::Foreign { path: path.to_owned(), name }),
        None => Ok(()),
    }
}

/// Closes a directory to everybody but its owner, who has to be the user of this process.
pub(super) fn close(path: &Path) -> Result<(), HomeError> {
    let facts = fs::metadata(path).map_err(doing("look at", path))?;
    if facts.uid() != rustix::process::geteuid().as_raw() {
        return Err(HomeError::NotOurs { path: path.to_owned(), owner: facts.uid() });
    }
    let mode = facts.permissions().mode() & 0o7777;
    if mode & 0o077 == 0 {
        return Ok(());
    }
    tracing::warn!("{} could be entered by others (mode {mode:o}): closed", path.display());
    let only_owner = fs::Permissions::from_mode(mode & !0o077);
    fs::set_permissions(path, only_owner).map_err(doing("protect", path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::home::Home;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    fn set_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    // HOME-11
    #[test]
    fn a_directory_that_was_there_is_closed_to_others() {
        let outer = tempfile::tempdir().unwrap();
        let path = outer.path().join("home");
        fs::create_dir(&path).unwrap();
        fs::write(path.join("config.toml"), "").unwrap();
        set_mode(&path, 0o755);
        drop(Home::create(&path, "init", None).unwrap());
        assert_eq!(mode(&path), 0o700);
        // Opened by whoever, for whatever reason.
        set_mode(&path, 0o770);
        fs::write(path.join("notes of the user"), "").unwrap();
        drop(Home::open(&path, "status").unwrap());
        assert_eq!(mode(&path), 0o700);
    }

    // HOME-12
    #[test]
    fn a_directory_of_something_else_does_not_become_a_home() {
        let path = tempfile::tempdir().unwrap();
        set_mode(path.path(), 0o755);
        fs::write(path.path().join("letter.txt"), "").unwrap();
        let refused = Home::create(path.path(), "init", None);
        assert!(matches!(&refused, Err(HomeError::Foreign { name, .. }) if name == "letter.txt"));
        assert_eq!(mode(path.path()), 0o755, "left as it was");
        assert_eq!(fs::read_dir(path.path()).unwrap().count(), 1);
    }

    // HOME-12
    #[test]
    fn a_home_of_somebody_else_is_refused() {
        let path = tempfile::tempdir().unwrap();
        drop(Home::create(path.path(), "init", None).unwrap());
        if std::os::unix::fs::chown(path.path(), Some(65_534), None).is_err() {
            return eprintln!("skipped: giving a directory away takes root");
        }
        for refused in [Home::open(path.path(), "up"), Home::create(path.path(), "init", None)] {
            assert!(matches!(refused, Err(HomeError::NotOurs { owner: 65_534, .. })));
        }
    }
}
