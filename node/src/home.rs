//! The home directory of a node: everything that one device knows and keeps.
//!
//! ```text
//! config.toml   settings, for people to edit as well           home/config.rs
//! device.key    this device's two secret keys, mode 0600,      home/device_key.rs
//!               in clear or sealed with a passphrase          home/sealing.rs
//! state.redb    the record                                     state (engine)
//! cache.redb    what the last scan saw; may be deleted         engine
//! depot/        shards, own and held                           depot
//! fetch/        shards being fetched                           engine
//! lock          flock of the one process that works here       home/lock.rs
//! node.sock     control socket of a running node, mode 0600    control
//! ```
//! **Invariant:** a [`Home`] exists only while its lock is held, so two processes never work on
//! one home. **Invariant:** nobody but its owner can enter the directory of an open home.
//! **Invariant:** no device key is ever put in the place of another; only its form changes. Source: specs/command_line.md.

mod config;
mod device_key;
mod directory;
mod keyring_entry;
mod lock;
mod sealing;
mod secret_file;

use std::{
    ffi::OsString,
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{Mutex, OnceLock},
};

use larder_protocol::keys::{DeviceKeys, KeyFile, Passphrase, key_file::KeyFileError};
use thiserror::Error;

pub(crate) use self::{
    config::DEVICE_NAME,
    keyring_entry::KeyringEntry,
    sealing::{no_passphrase, passphrase_command, unfit},
    secret_file::write_new,
};
pub use self::{
    config::{Config, ConfigError, Copies, KeepOwn, Metered},
    device_key::DeviceKeyError,
    lock::LockNote,
    sealing::is_sealed,
};
use crate::command::{ConfigOutcome, ExitKind, Failure, Outcome};

/// An open home: its lock is held until this is dropped.
#[derive(Debug)]
pub struct Home {
    directory: PathBuf,
    /// Once they were in clear, or somebody gave the passphrase.
    keys: OnceLock<DeviceKeys>,
    /// Held while the form of the key file changes.
    sealing: Mutex<()>,
    _lock: lock::Lock,
}

/// Why a home cannot be used.
#[derive(Debug, Error)]
pub enum HomeError {
    /// There is none.
    #[error("there is no larder home at {}", .0.display())]
    Missing(PathBuf),
    /// `init`, `recover` or the joining of a vault in a home that has a vault.
    #[error("{} already has a vault", .0.display())]
    Exists(PathBuf),
    /// Another process holds the lock.
    #[error("another larder process ({note}) works on the home {}", path.display())]
    Busy {
        /// The home.
        path: PathBuf,
        /// What that process left in the lock file.
        note: LockNote,
    },
    /// A directory that is to become a home has other things in it.
    #[error("{} is not empty: it has {} in it", path.display(), name.display())]
    Foreign {
        /// The directory.
        path: PathBuf,
        /// One of the other things.
        name: OsString,
    },
    /// The directory belongs to another user, who could read and replace everything in it.
    #[error("{} belongs to another user (id {owner})", path.display())]
    NotOurs {
        /// The home.
        path: PathBuf,
        /// Whose it is.
        owner: u32,
    },
    /// The device key cannot be read or written.
    #[error(transparent)]
    DeviceKey(#[from] DeviceKeyError),
    /// The settings cannot be read or written.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The file system refuses.
    #[error("cannot {doing} {}", path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

impl From<HomeError> for Failure {
    fn from(error: HomeError) -> Self {
        let hint = match &error {
            HomeError::DeviceKey(DeviceKeyError::Exposed { path, .. }) => {
                let hint = format!(
                    "close it: chmod 600 {}; if somebody else may have read it, make another device \
                     with `larder recover` in a fresh home",
                    path.display()
                );
                return Self::failed(error.to_string()).hint(hint);
            }
            HomeError::DeviceKey(DeviceKeyError::Locked(_)) => {
                return Self::new(ExitKind::Key, error.to_string()).hint(
                    "give it with --passphrase-file FILE or run it on a terminal; for a node that starts by \
                     itself see `larder passphrase --help`",
                );
            }
            HomeError::DeviceKey(DeviceKeyError::Sealed { why, .. }) => {
                let (kind, hint) = sealing::advice(*why);
                return Self::new(kind, error.to_string()).hint(hint);
            }
            HomeError::DeviceKey(DeviceKeyError::Garbled(_)) => {
                "check the disk: the old form of the key is in use as before"
            }
            HomeError::DeviceKey(DeviceKeyError::Linked(_)) => {
                "remove the other name first: what is under it would open as before"
            }
            HomeError::DeviceKey(DeviceKeyError::Random) => {
                "nothing was changed; give the command again when the system is up"
            }
            HomeError::DeviceKey(DeviceKeyError::Unreadable {
                why: KeyFileError::Newer { .. },
                ..
            }) => "update larder: the key is whole",
            HomeError::DeviceKey(DeviceKeyError::Io { source, .. })
                if source.kind() != io::ErrorKind::NotFound =>
            {
                "check the disk, its space and the permissions of the home; the key itself is as it was, \
                 or complete in its new form"
            }
            HomeError::Missing(_) => {
                "make one with `larder init`, or name another with --home or LARDER_HOME"
            }
            HomeError::Exists(_) => "use it as it is, or name another with --home",
            HomeError::Busy { .. } => {
                "wait until it has ended; or keep a node running with `larder up`, then any number \
                 of commands can work at once"
            }
            HomeError::Foreign { .. } => {
                "a home needs a directory of its own: name one that is empty or not there yet"
            }
            HomeError::NotOurs { .. } => {
                "run larder as that user, or give the directory to this one with chown -R"
            }
            HomeError::DeviceKey(_) => {
                "a device without its key is lost: move the home away and run `larder recover` \
                 with your phrase"
            }
            HomeError::Config(_) => "correct config.toml in an editor, or delete the line",
            HomeError::Io { .. } => "check the owner, the permissions and the space of the home",
        };
        let whole: &(dyn std::error::Error + 'static) = &error;
        let mut message = whole.to_string();
        if let Some(cause) = whole.source() {
            message.push_str(&format!(": {cause}"));
        }
        Self::failed(message).hint(hint)
    }
}

/// Wraps an error of the file system with what was done to what.
fn doing<'a>(doing: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> HomeError + 'a {
    move |source| HomeError::Io { doing, path: path.to_owned(), source }
}

impl Home {
    /// Makes what a home lacks, device keys included, and opens it. Whether a vault lives there
    /// already is for the engine to find out, which then answers [`HomeError::Exists`]. A key that
    /// is made here is sealed if there is a passphrase.
    ///
    /// # Errors
    /// [`HomeError::Busy`] when another process has it.
    pub fn create(
        directory: &Path,
        purpose: &str,
        passphrase: Option<&Passphrase>,
    ) -> Result<Self, HomeError> {
        directory::make(directory)?;
        if !is_made(directory)? {
            directory::refuse_foreign(directory)?;
        }
        let home = Self::locked(directory, purpose)?;
        let file = home.device_key_file();
        let is_there = file.try_exists().map_err(doing("look for the device key", &file))?;
        match passphrase {
            passphrase if !is_there => home.make_key(passphrase)?,
            // A first try without a passphrase went wrong before the key was of any vault.
            Some(passphrase) if !home.has_vaults() && !home.is_key_sealed()? => {
                home.keep(None, Some(passphrase))?;
            }
            _ => {}
        }
        home.make_parts()
    }

    /// Opens a home and takes its lock. `purpose` is what others are told meanwhile.
    ///
    /// # Errors
    /// [`HomeError::Missing`] without a device key, [`HomeError::Busy`] when another process has it.
    pub fn open(directory: &Path, purpose: &str) -> Result<Self, HomeError> {
        if !is_made(directory)? {
            return Err(HomeError::Missing(directory.to_owned()));
        }
        Self::locked(directory, purpose)?.make_parts()
    }

    fn has_vaults(&self) -> bool {
        let mut kept = fs::read_dir(self.vaults_directory()).into_iter().flatten();
        kept.next().is_some()
    }

    fn make_parts(self) -> Result<Self, HomeError> {
        for part in [self.depot_directory(), self.fetch_directory(), self.vaults_directory()] {
            directory::make(&part)?;
        }
        // Also when they were there: the run that made them may have ended just before.
        sync_directory(&self.directory).map_err(doing("sync", &self.directory))?;
        Ok(self)
    }

    fn locked(directory: &Path, purpose: &str) -> Result<Self, HomeError> {
        // Absolute, so that a later change of the working directory does no harm.
        let directory =
            std::path::absolute(directory).map_err(doing("find the home", directory))?;
        directory::close(&directory)?;
        let lock = lock::Lock::take(&directory, purpose)?;
        device_key::tidy(&directory.join(DEVICE_KEY));
        Ok(Self { directory, keys: OnceLock::new(), sealing: Mutex::default(), _lock: lock })
    }

    /// The directory itself, absolute.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// This device's secret keys.
    ///
    /// # Errors
    /// When the file is missing or damaged, or sealed and [`Home::unlock`] was not called.
    pub fn device_keys(&self) -> Result<DeviceKeys, HomeError> {
        if let Some(keys) = self.keys.get() {
            return Ok(keys.clone());
        }
        match device_key::load(&self.device_key_file())? {
            KeyFile::Clear(keys) => Ok(self.keys.get_or_init(|| keys).clone()),
            KeyFile::Sealed(_) => Err(DeviceKeyError::Locked(self.device_key_file()).into()),
        }
    }

    /// The settings as they are on disk now.
    ///
    /// # Errors
    /// When the file is not what `config` writes.
    pub fn config(&self) -> Result<Config, HomeError> {
        Ok(Config::load(&self.config_file())?)
    }

    /// Shows one setting or all: what `config get` and `config list` answer.
    ///
    /// # Errors
    /// When the key is unknown or the file is not valid.
    pub fn show_settings(&self, key: Option<&str>) -> Result<Outcome, Failure> {
        let settings = self.config()?.settings(key)?;
        Ok(Outcome::Config(ConfigOutcome { settings }))
    }

    /// Changes a setting, or with `None` goes back to its default; durable when this returns.
    ///
    /// # Errors
    /// When key or value are not accepted, or the file cannot be read or written.
    pub fn change_setting(&self, key: &str, value: Option<&str>) -> Result<Outcome, Failure> {
        let before = self.config()?;
        let mut config = before.clone();
        config.set(key, value)?;
        if config != before {
            config.store(&self.config_file())?;
        }
        self.show_settings(Some(key))
    }

    /// `config.toml`.
    pub fn config_file(&self) -> PathBuf {
        self.directory.join(CONFIG)
    }

    /// `device.key`.
    pub fn device_key_file(&self) -> PathBuf {
        self.directory.join(DEVICE_KEY)
    }

    /// `state.redb`.
    pub fn state_file(&self) -> PathBuf {
        self.directory.join("state.redb")
    }

    /// `cache.redb`.
    pub fn cache_file(&self) -> PathBuf {
        self.directory.join("cache.redb")
    }

    /// `depot/`.
    pub fn depot_directory(&self) -> PathBuf {
        self.directory.join("depot")
    }

    /// `vaults/`.
    pub fn vaults_directory(&self) -> PathBuf {
        self.directory.join("vaults")
    }

    /// `fetch/`.
    pub fn fetch_directory(&self) -> PathBuf {
        self.directory.join("fetch")
    }

    /// `node.sock`.
    pub fn socket_file(&self) -> PathBuf {
        self.directory.join(SOCKET)
    }
}

/// Whether there is a home. One that this user may not look into is somebody else's, not missing.
fn is_made(directory: &Path) -> Result<bool, HomeError> {
    directory.join(DEVICE_KEY).try_exists().map_err(|source| {
        let owner = fs::metadata(directory).map(|facts| facts.uid());
        match owner {
            Ok(owner) if owner != rustix::process::geteuid().as_raw() => {
                HomeError::NotOurs { path: directory.to_owned(), owner }
            }
            Ok(_) | Err(_) => doing("look into", directory)(source),
        }
    })
}

const CONFIG: &str = "config.toml";
/// Name of the file with the keys of the device: where it is, is a home.
pub const DEVICE_KEY: &str = "device.key";
/// Name of the control socket in a home.
pub const SOCKET: &str = "node.sock";

/// The home that is meant when none is named: `$XDG_DATA_HOME/larder`, else
/// `~/.local/share/larder`. `None` when there is neither.
pub fn default_directory() -> Option<PathBuf> {
    let absolute = |name| std::env::var_os(name).map(PathBuf::from).filter(|p| p.is_absolute());
    absolute("XDG_DATA_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".local/share")))
        .map(|base| base.join("larder"))
}

/// Makes the names in a directory durable.
pub(crate) fn sync_directory(path: &Path) -> io::Result<()> {
    fs::File::open(path)?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    // CLI-8, CLI-9, HOME-13
    #[test]
    fn a_home_is_made_once_and_is_private() {
        let outer = tempfile::tempdir().unwrap();
        let path = outer.path().join("deep/home");
        assert!(matches!(Home::open(&path, "status"), Err(HomeError::Missing(_))));
        let home = Home::create(&path, "init", None).unwrap();
        let keys = home.device_keys().unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
        assert!(matches!(Home::open(&path, "status"), Err(HomeError::Busy { .. })));
        drop(home);
        // An interrupted start goes on with the same key.
        let home = Home::create(&path, "init", None).unwrap();
        assert_eq!(home.device_keys().unwrap().public(), keys.public());
        for part in [home.vaults_directory(), home.depot_directory(), home.fetch_directory()] {
            assert!(part.is_dir());
        }
        drop(home);
        Home::open(&path, "status").unwrap();
    }
}
