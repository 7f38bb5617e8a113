//! The file with the two secrets that make this machine a device. They never leave it.
//!
//! Its form, in clear or sealed with a passphrase, is `larder_protocol::keys::key_file`. A key is made
//! once and never replaced by another: one that is lost is another device. Only its form changes.

use std::{
    fs, io,
    io::{Seek, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use larder_protocol::{
    keys::{
        DeviceKeys, KeyFile, Passphrase, SealedKeys,
        key_file::{KeyFileError, PassphraseSealError, SALT_BYTES, SealCost},
    },
    limits::KEY_FILE_BYTES_MAX,
};
use thiserror::Error;
use zeroize::Zeroizing;

use super::sync_directory;

/// A key file that has not its name yet, beside the one that has.
const TEMPORARY: &str = "device.key.new";

/// Why the device key cannot be used.
#[derive(Debug, Error)]
pub enum DeviceKeyError {
    /// Not in a form that this version reads.
    #[error("the device key {} cannot be read: {why}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: KeyFileError,
    },
    /// Others could read it.
    #[error("the device key {} can be read by others (mode {mode:o})", path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// It is sealed, and nobody has given the passphrase.
    #[error("the device key {} is sealed with a passphrase", .0.display())]
    Locked(PathBuf),
    /// The passphrase does not open it, or there is no memory to try.
    #[error("the device key {} stays sealed: {why}", path.display())]
    Sealed {
        /// The file.
        path: PathBuf,
        /// Why.
        why: PassphraseSealError,
    },
    /// What was written does not read back as it was meant. The old file is still there.
    #[error("the device key {} was not changed: what was written did not read back", .0.display())]
    Garbled(PathBuf),
    /// It has other names, which would stay as they are.
    #[error("the device key {} has another name as well (a hard link)", .0.display())]
    Linked(PathBuf),
    /// The system has no randomness to give.
    #[error("the system gave no random bytes for a device key")]
    Random,
    /// The file system refuses.
    #[error("cannot {doing} the device key {}", path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

/// Draws new keys from the system's randomness.
pub(super) fn generate() -> Result<DeviceKeys, DeviceKeyError> {
    Ok(DeviceKeys::from_seeds(*random()?, *random()?))
}

fn random<const BYTES: usize>() -> Result<Zeroizing<[u8; BYTES]>, DeviceKeyError> {
    let mut bytes = Zeroizing::new([0; BYTES]);
    getrandom::fill(&mut *bytes).map_err(|_| DeviceKeyError::Random)?;
    Ok(bytes)
}

/// The file for these keys: sealed where there is a passphrase.
pub(super) fn file_of(
    keys: &DeviceKeys,
    passphrase: Option<&Passphrase>,
    path: &Path,
) -> Result<KeyFile, DeviceKeyError> {
    let Some(passphrase) = passphrase else { return Ok(KeyFile::Clear(keys.clone())) };
    let salt = random::<SALT_BYTES>()?;
    SealedKeys::seal(keys, passphrase, *salt, SealCost::default())
        .map(KeyFile::Sealed)
        .map_err(|why| DeviceKeyError::Sealed { path: path.to_owned(), why })
}

/// Reads the file.
pub(super) fn load(path: &Path) -> Result<KeyFile, DeviceKeyError> {
    let at = at("read", path);
    let facts = fs::metadata(path).map_err(&at)?;
    let mode = facts.permissions().mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(DeviceKeyError::Exposed { path: path.to_owned(), mode });
    }
    let unreadable = |why| DeviceKeyError::Unreadable { path: path.to_owned(), why };
    if usize::try_from(facts.len()).is_ok_and(|bytes| bytes <= KEY_FILE_BYTES_MAX) {
        let bytes = Zeroizing::new(fs::read(path).map_err(&at)?);
        KeyFile::parse(&bytes).map_err(unreadable)
    } else {
        Err(unreadable(KeyFileError::Malformed))
    }
}

/// Opens a sealed file.
pub(super) fn open(
    sealed: &SealedKeys,
    passphrase: &Passphrase,
    path: &Path,
) -> Result<DeviceKeys, DeviceKeyError> {
    sealed.open(passphrase).map_err(|why| DeviceKeyError::Sealed { path: path.to_owned(), why })
}

/// Writes it where no key is yet: complete and durable, or not at all.
pub(super) fn store(path: &Path, file: &KeyFile) -> Result<(), DeviceKeyError> {
    let temporary = write_beside(path, file)?;
    // A link and not a rename: it fails when a key is already there.
    let named = fs::hard_link(&temporary, path).or_else(|error| match error.kind() {
        // File systems without hard links (exFAT, some network mounts).
        io::ErrorKind::PermissionDenied | io::ErrorKind::Unsupported if !path.try_exists()? => {
            fs::rename(&temporary, path)
        }
        _ => Err(error),
    });
    let _gone = fs::remove_file(&temporary);
    named.map_err(at("name", path))?;
    sync_directory(parent(path)).map_err(at("sync", path))
}

/// Puts another form of the same keys in the place of the file. KEYS-14: the new one is durable and
/// was read back, as `reads_back` judges, before the old one goes; whatever happens, one of both is
/// there. A symbolic link stays, and what it points to changes.
pub(super) fn replace(
    path: &Path,
    file: &KeyFile,
    reads_back: impl FnOnce(&KeyFile) -> bool,
) -> Result<(), DeviceKeyError> {
    let path = &fs::canonicalize(path).map_err(at("find", path))?;
    if fs::metadata(path).map_err(at("look at", path))?.nlink() > 1 {
        return Err(DeviceKeyError::Linked(path.clone()));
    }
    let temporary = write_beside(path, file)?;
    let is_right = load(&temporary).is_ok_and(|written| reads_back(&written));
    // Its bytes can be overwritten as long as it is open, whatever has its name.
    let old = open_to_overwrite(path);
    let named = match is_right {
        true => fs::rename(&temporary, path).map_err(at("name", path)),
        false => Err(DeviceKeyError::Garbled(path.clone())),
    };
    if named.is_err() {
        discard(&temporary);
    }
    named?;
    sync_directory(parent(path)).map_err(at("sync", path))?;
    if let Err(error) = old.and_then(overwrite) {
        tracing::warn!("the old form of the device key could not be overwritten: {error}");
    }
    Ok(())
}

/// Removes what an interrupted run left beside a key: it was never in use, and may be in clear.
pub(super) fn tidy(path: &Path) {
    let Ok(path) = fs::canonicalize(path) else { return };
    discard(&parent(&path).join(TEMPORARY));
}

/// Overwrites and removes a file that was never in use, if it is there.
fn discard(temporary: &Path) {
    if let Ok(file) = open_to_overwrite(temporary) {
        let _as_far_as_it_goes = overwrite(file);
    }
    let _left_over = fs::remove_file(temporary);
}

fn open_to_overwrite(path: &Path) -> io::Result<fs::File> {
    let open = || fs::OpenOptions::new().write(true).open(path);
    open().or_else(|error| match error.kind() {
        // Somebody has protected it from being changed.
        io::ErrorKind::PermissionDenied => {
            fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
            open()
        }
        _ => Err(error),
    })
}

fn overwrite(mut file: fs::File) -> io::Result<()> {
    let length = usize::try_from(file.metadata()?.len()).unwrap_or(0).min(KEY_FILE_BYTES_MAX);
    file.rewind()?;
    file.write_all(&vec![0; length])?;
    file.sync_all()
}

/// The file as `device.key.new`, durable but for its name.
fn write_beside(path: &Path, file: &KeyFile) -> Result<PathBuf, DeviceKeyError> {
    let temporary = parent(path).join(TEMPORARY);
    discard(&temporary);
    let mut options = fs::OpenOptions::new();
    let options = options.write(true).create_new(true).mode(0o600);
    let mut new = options.open(&temporary).map_err(at("create", path))?;
    let written = new.write_all(file.text().as_bytes()).and_then(|()| new.sync_all());
    if written.is_err() {
        discard(&temporary);
    }
    written.map_err(at("write", path))?;
    Ok(temporary)
}

fn parent(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new("."))
}

fn at<'a>(doing: &'static str, path: &'a Path) -> impl Fn(io::Error) -> DeviceKeyError + 'a {
    move |source| DeviceKeyError::Io { doing, path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(passphrase: Option<&Passphrase>) -> (tempfile::TempDir, PathBuf, DeviceKeys) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("device.key");
        let keys = generate().unwrap();
        store(&path, &file_of(&keys, passphrase, &path).unwrap()).unwrap();
        (directory, path, keys)
    }

    fn passphrase(text: &str) -> Passphrase {
        Passphrase::typed(text).unwrap()
    }

    fn keys_at(path: &Path, with: &Passphrase) -> DeviceKeys {
        match load(path).unwrap() {
            KeyFile::Clear(keys) => keys,
            KeyFile::Sealed(sealed) => open(&sealed, with, path).unwrap(),
        }
    }

    // CLI-9
    #[test]
    fn a_key_comes_back_and_is_for_its_owner_alone() {
        let word = passphrase("correct horse");
        for sealed in [None, Some(&word)] {
            let (directory, path, keys) = stored(sealed);
            assert_eq!(keys_at(&path, &word).public(), keys.public());
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
            assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "no left-over");
        }
    }

    // CLI-9
    #[test]
    fn a_key_is_never_overwritten() {
        let word = passphrase("correct horse");
        let (_directory, path, keys) = stored(None);
        let other = file_of(&generate().unwrap(), None, &path).unwrap();
        store(&path, &other).unwrap_err();
        assert_eq!(keys_at(&path, &word).public(), keys.public());
    }

    // KEYS-7
    #[test]
    fn damage_and_open_permissions_are_found() {
        let (_directory, path, _keys) = stored(None);
        let good = fs::read(&path).unwrap();
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1;
            fs::write(&path, &bad).unwrap();
            assert!(matches!(load(&path), Err(DeviceKeyError::Unreadable { .. })), "{at}");
        }
        fs::write(&path, vec![b'x'; 10_000]).unwrap();
        assert!(matches!(load(&path), Err(DeviceKeyError::Unreadable { .. })));
        fs::write(&path, &good).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(load(&path), Err(DeviceKeyError::Exposed { mode: 0o640, .. })));
    }

    // KEYS-14
    #[test]
    fn the_form_changes_and_the_keys_stay() {
        let word = passphrase("correct horse");
        let (directory, path, keys) = stored(None);
        let elsewhere = directory.path().join("copy");
        fs::hard_link(&path, &elsewhere).unwrap();
        let linked = replace(&path, &file_of(&keys, None, &path).unwrap(), |_| true).unwrap_err();
        assert!(matches!(linked, DeviceKeyError::Linked(_)), "the other name would open as before");
        fs::remove_file(&elsewhere).unwrap();
        // What an interrupted run left is no hindrance.
        fs::write(directory.path().join("device.key.new"), "half of a").unwrap();
        let sealed = file_of(&keys, Some(&word), &path).unwrap();
        replace(&path, &sealed, |read| *read.text() == *sealed.text()).unwrap();
        assert_eq!(keys_at(&path, &word).public(), keys.public());
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "no left-over");
        // What does not read back changes nothing.
        let open = file_of(&keys, None, &path).unwrap();
        let refused = replace(&path, &open, |_| false).unwrap_err();
        assert!(matches!(refused, DeviceKeyError::Garbled(_)));
        assert_eq!(*load(&path).unwrap().text(), *sealed.text());
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "nothing in clear is left");
        // Whoever still has the old file open sees that it was overwritten.
        let mut old = fs::File::open(&path).unwrap();
        replace(&path, &open, |_| true).unwrap();
        let mut left = Vec::new();
        io::Read::read_to_end(&mut old, &mut left).unwrap();
        assert!(!left.is_empty() && left.iter().all(|byte| *byte == 0));
        assert_eq!(keys_at(&path, &word).public(), keys.public());
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "no left-over");
    }

    // KEYS-14
    #[test]
    fn a_key_elsewhere_changes_there_and_a_protected_one_changes_as_well() {
        let word = passphrase("correct horse");
        let (directory, path, keys) = stored(None);
        let home = directory.path().join("home");
        fs::create_dir(&home).unwrap();
        let link = home.join("device.key");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
        let sealed = file_of(&keys, Some(&word), &link).unwrap();
        replace(&link, &sealed, |_| true).unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(*load(&path).unwrap().text(), *sealed.text());
        assert_eq!(fs::read_dir(&home).unwrap().count(), 1);
        // What a kill left is gone at the next start, its bytes as well.
        let left = directory.path().join("device.key.new");
        fs::write(&left, file_of(&keys, None, &path).unwrap().text().as_bytes()).unwrap();
        let mut still_open = fs::File::open(&left).unwrap();
        tidy(&link);
        assert!(!left.exists());
        let mut bytes = Vec::new();
        io::Read::read_to_end(&mut still_open, &mut bytes).unwrap();
        assert!(!bytes.is_empty() && bytes.iter().all(|byte| *byte == 0));
    }
}
