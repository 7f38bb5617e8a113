//! `device.key`: the two secrets that make this machine a device. They never leave it.
//!
//! ```text
//! larder device key 1
//! sign 64 hex digits      Ed25519 seed; its public key is the device's id
//! open 64 hex digits      X25519 secret; epoch keys are wrapped to its public key
//! check 16 hex digits     BLAKE3 of the three lines before, 8 bytes
//! ```
//! Made once, never overwritten: a key that is lost or replaced is another device.

use std::{
    fmt, fs, io,
    io::Write,
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use data_encoding::HEXLOWER;
use thiserror::Error;
use zeroize::Zeroizing;

use super::sync_directory;

const TITLE: &str = "larder device key 1";
/// Longest file that is read: about twice the real one.
const FILE_BYTES_MAX: u64 = 512;

/// The secret keys of this device.
#[derive(Clone)]
pub struct DeviceSecrets {
    /// Ed25519 seed.
    pub sign: Zeroizing<[u8; 32]>,
    /// X25519 secret.
    pub open: Zeroizing<[u8; 32]>,
}

impl fmt::Debug for DeviceSecrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DeviceSecrets(..)")
    }
}

/// Why the device key cannot be used.
#[derive(Debug, Error)]
pub enum DeviceKeyError {
    /// Not in the form that this version writes, or its check is wrong.
    #[error("the device key {} is damaged or of a future version", .0.display())]
    Damaged(PathBuf),
    /// Others could read it.
    #[error("the device key {} can be read by others (mode {mode:o})", path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
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

impl DeviceSecrets {
    /// Draws new keys from the system's randomness.
    ///
    /// # Errors
    /// [`DeviceKeyError::Random`].
    pub fn generate() -> Result<Self, DeviceKeyError> {
        let mut secrets = Self { sign: Zeroizing::new([0; 32]), open: Zeroizing::new([0; 32]) };
        getrandom::fill(&mut *secrets.sign).map_err(|_| DeviceKeyError::Random)?;
        getrandom::fill(&mut *secrets.open).map_err(|_| DeviceKeyError::Random)?;
        Ok(secrets)
    }

    /// Writes them where no key is yet: complete and durable, or not at all.
    pub(super) fn store(&self, path: &Path) -> Result<(), DeviceKeyError> {
        let at = |doing| move |source| DeviceKeyError::Io { doing, path: path.to_owned(), source };
        let directory = path.parent().unwrap_or(Path::new("."));
        let temporary = directory.join("device.key.new");
        // A left-over of an interrupted start: it was never in use, or the link below would stand.
        match fs::remove_file(&temporary) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(at("prepare")(error));
            }
            Ok(()) | Err(_) => {}
        }
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&temporary)
            .map_err(at("create"))?;
        file.write_all(self.text().as_bytes())
            .and_then(|()| file.sync_all())
            .map_err(at("write"))?;
        // A link and not a rename: it fails when a key is already there.
        fs::hard_link(&temporary, path)
            .or_else(|error| match error.kind() {
                io::ErrorKind::AlreadyExists => Err(error),
                // File systems without hard links (exFAT, some network mounts).
                _ => fs::rename(&temporary, path),
            })
            .map_err(at("name"))?;
        let _gone = fs::remove_file(&temporary);
        sync_directory(directory).map_err(at("sync"))
    }

    /// Reads them.
    ///
    /// # Errors
    /// When the file is missing, damaged, or readable by others.
    pub fn load(path: &Path) -> Result<Self, DeviceKeyError> {
        let at = |doing| move |source| DeviceKeyError::Io { doing, path: path.to_owned(), source };
        let facts = fs::metadata(path).map_err(at("read"))?;
        let mode = facts.permissions().mode() & 0o7777;
        if mode & 0o077 != 0 {
            return Err(DeviceKeyError::Exposed { path: path.to_owned(), mode });
        }
        let damaged = || DeviceKeyError::Damaged(path.to_owned());
        if facts.len() > FILE_BYTES_MAX {
            return Err(damaged());
        }
        let text = Zeroizing::new(fs::read(path).map_err(at("read"))?);
        let text = str::from_utf8(&text).map_err(|_| damaged())?;
        let secrets = Self::parse(text).ok_or_else(damaged)?;
        // One accepted form: what is read is exactly what would be written.
        if *secrets.text() == text { Ok(secrets) } else { Err(damaged()) }
    }

    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        (lines.next()? == TITLE).then_some(())?;
        let sign = secret_line(lines.next()?, "sign ")?;
        let open = secret_line(lines.next()?, "open ")?;
        Some(Self { sign, open })
    }

    fn text(&self) -> Zeroizing<String> {
        let sign = Zeroizing::new(HEXLOWER.encode(&*self.sign));
        let open = Zeroizing::new(HEXLOWER.encode(&*self.open));
        let mut text = Zeroizing::new(format!("{TITLE}\nsign {}\nopen {}\n", *sign, *open));
        let check = blake3::hash(text.as_bytes()).to_hex();
        text.push_str("check ");
        text.push_str(&check[..16]);
        text.push('\n');
        text
    }
}

fn secret_line(line: &str, label: &str) -> Option<Zeroizing<[u8; 32]>> {
    let digits = line.strip_prefix(label)?;
    let bytes = Zeroizing::new(HEXLOWER.decode(digits.as_bytes()).ok()?);
    let mut secret = Zeroizing::new([0; 32]);
    if bytes.len() != secret.len() {
        return None;
    }
    secret.copy_from_slice(&bytes);
    Some(secret)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored() -> (tempfile::TempDir, PathBuf, DeviceSecrets) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("device.key");
        let secrets = DeviceSecrets::generate().unwrap();
        secrets.store(&path).unwrap();
        (directory, path, secrets)
    }

    // CLI-9
    #[test]
    fn a_key_comes_back_and_is_for_its_owner_alone() {
        let (directory, path, secrets) = stored();
        let loaded = DeviceSecrets::load(&path).unwrap();
        assert_eq!((*loaded.sign, *loaded.open), (*secrets.sign, *secrets.open));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
        assert_eq!(fs::metadata(&path).unwrap().len(), 183);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "no left-over");
        assert!(!format!("{loaded:?}").contains(&HEXLOWER.encode(&*secrets.sign)));
    }

    // CLI-9
    #[test]
    fn a_key_is_never_overwritten() {
        let (_directory, path, secrets) = stored();
        DeviceSecrets::generate().unwrap().store(&path).unwrap_err();
        assert_eq!(*DeviceSecrets::load(&path).unwrap().sign, *secrets.sign);
    }

    #[test]
    fn damage_and_open_permissions_are_found() {
        let (_directory, path, _secrets) = stored();
        let good = fs::read(&path).unwrap();
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1;
            fs::write(&path, &bad).unwrap();
            assert!(matches!(DeviceSecrets::load(&path), Err(DeviceKeyError::Damaged(_))), "{at}");
        }
        fs::write(&path, vec![b'x'; 10_000]).unwrap();
        assert!(matches!(DeviceSecrets::load(&path), Err(DeviceKeyError::Damaged(_))));
        fs::write(&path, &good).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(
            DeviceSecrets::load(&path),
            Err(DeviceKeyError::Exposed { mode: 0o640, .. })
        ));
    }
}
