//! `config.toml`: the settings of a node, few and typed.
//!
//! People may edit the file; `larder config` writes it anew from what it understood, with one
//! comment per setting. A key that is not known is an error, so that a slip of the finger is not
//! a silent default. Source: specs/command_line.md, CLI-10.

mod keys;

use std::{
    fmt::Write as _,
    fs, io,
    io::Write as _,
    net::SocketAddr,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use larder_protocol::{pacing::Timetable, relaying::RelayAddress, retention::Rules};
use thiserror::Error;

use self::keys::{KEYS, Key, find};
use super::sync_directory;
use crate::command::{ByteSize, Failure, Setting};

/// The setting that says what this device is called.
pub(crate) const DEVICE_NAME: &str = "device.name";
/// How often the folders are backed up by themselves, unless the settings say otherwise.
const EVERY_S: u64 = 3600;
/// Which of the snapshots so made stay: by hours for two days, then by days, weeks and months, and for
/// ever by years.
const KEEP: Rules =
    Rules { last: 0, hourly: 48, daily: 30, weekly: 52, monthly: 120, yearly: 100, within_s: 0 };
/// Longest settings file that is read.
const FILE_BYTES_MAX: u64 = 256 * 1024;

/// How many copies make a snapshot safe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Copies {
    /// As many as there are known sites, at most 2.
    #[default]
    Auto,
    /// So many, each at another site.
    Count(u32),
}

/// What a device keeps of its own packs once holders have them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum KeepOwn {
    /// Nothing.
    None,
    /// Indexes and directories: browsing needs no network.
    #[default]
    Metadata,
    /// Everything: this device is its own holder (NAS, external disk).
    All,
}

/// Whether bytes cost on the line out of the local network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Metered {
    /// As the system says.
    #[default]
    Auto,
    /// They do.
    On,
    /// They do not.
    Off,
}

/// The settings; a `None` follows the default, which a later version may change.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Config {
    copies: Option<Copies>,
    keep_own: Option<KeepOwn>,
    scrub_days: Option<u32>,
    tend: Option<bool>,
    spool_max: Option<ByteSize>,
    offer: Option<ByteSize>,
    compression_level: Option<i32>,
    every_s: Option<u64>,
    keep: Option<Rules>,
    lan: Option<bool>,
    limit_lan: Option<bool>,
    metered: Option<Metered>,
    upload_max: Option<Timetable>,
    announce: Option<Vec<SocketAddr>>,
    listen: Option<SocketAddr>,
    relays: Option<Vec<RelayAddress>>,
    name: Option<String>,
    passphrase_command: Option<String>,
    site: Option<String>,
}

/// Why settings cannot be read or changed.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// There is no such key.
    #[error("there is no setting `{0}`")]
    UnknownKey(String),
    /// The value is not of the kind that the key takes.
    #[error("`{key}` takes {takes}, not `{value}`")]
    Value {
        /// Key.
        key: &'static str,
        /// What it takes.
        takes: &'static str,
        /// What was given.
        value: String,
    },
    /// The file is no TOML.
    #[error("{} is not valid TOML", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: Box<toml::de::Error>,
    },
    /// The file system refuses, or the file is far too long.
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

impl Config {
    /// How many copies make a snapshot safe.
    pub fn copies(&self) -> Copies {
        self.copies.unwrap_or_default()
    }

    /// What stays of own packs.
    pub fn keep_own(&self) -> KeepOwn {
        self.keep_own.unwrap_or_default()
    }

    /// Within how many days everything in the depot is read back; `None` for never.
    pub fn scrub_days(&self) -> Option<u32> {
        Some(self.scrub_days.unwrap_or(90)).filter(|days| *days > 0)
    }

    /// Own bytes waiting for holders, at most.
    pub fn spool_bytes_max(&self) -> u64 {
        self.spool_max.map_or(8 << 30, u64::from)
    }

    /// Bytes kept for others, at most.
    pub fn offer_bytes(&self) -> u64 {
        self.offer.map_or(0, u64::from)
    }

    /// Zstd level.
    pub fn compression_level(&self) -> i32 {
        self.compression_level.unwrap_or(3)
    }

    /// How often to back up without being asked, in seconds; `None` for never.
    pub fn every_s(&self) -> Option<u64> {
        Some(self.every_s.unwrap_or(EVERY_S)).filter(|seconds| *seconds > 0)
    }

    /// Which of the snapshots so made stay; without a rule, all.
    pub fn keep(&self) -> Rules {
        self.keep.unwrap_or(KEEP)
    }

    /// Where `up` listens; `None` means any address, on the port that the node remembers.
    pub fn listen(&self) -> Option<SocketAddr> {
        self.listen
    }

    /// Addresses that others are told beside those that are found.
    pub fn announced(&self) -> &[SocketAddr] {
        self.announce.as_deref().unwrap_or_default()
    }

    /// Whether to look after the copies of vaults whose devices are silent.
    pub fn tends(&self) -> bool {
        self.tend.unwrap_or(true)
    }

    /// Whether to find devices of the circle in the same network.
    pub fn lan(&self) -> bool {
        self.lan.unwrap_or(true)
    }

    /// Whether bytes cost on the line out of the local network.
    pub fn metered(&self) -> Metered {
        self.metered.unwrap_or_default()
    }

    /// How fast uploads go.
    pub fn upload_max(&self) -> Timetable {
        self.upload_max.clone().unwrap_or_default()
    }

    /// Whether that holds in the local network as well.
    pub fn limits_lan(&self) -> bool {
        self.limit_lan.unwrap_or(false)
    }

    /// Relays to use; none unless some were set.
    pub fn relays(&self) -> &[RelayAddress] {
        self.relays.as_deref().unwrap_or_default()
    }

    /// Name of this device, when one was set.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Command that prints the passphrase of the device key.
    pub fn passphrase_command(&self) -> Option<&str> {
        self.passphrase_command.as_deref()
    }

    /// Household of this device, when one was set.
    pub fn site(&self) -> Option<&str> {
        self.site.as_deref()
    }

    /// Names of all keys, ascending.
    pub fn keys() -> impl Iterator<Item = &'static str> {
        KEYS.iter().map(|key| key.name)
    }

    /// Sets a key from text; `None` goes back to the default.
    ///
    /// # Errors
    /// [`ConfigError::UnknownKey`] or [`ConfigError::Value`].
    pub fn set(&mut self, name: &str, value: Option<&str>) -> Result<(), ConfigError> {
        let key = find(name)?;
        match value {
            None => (key.reset)(self),
            Some(text) => (key.set)(self, text).ok_or_else(|| ConfigError::Value {
                key: key.name,
                takes: key.takes,
                value: text.to_owned(),
            })?,
        }
        Ok(())
    }

    /// One setting, or all of them.
    ///
    /// # Errors
    /// [`ConfigError::UnknownKey`].
    pub fn settings(&self, name: Option<&str>) -> Result<Vec<Setting>, ConfigError> {
        let row = |key: &Key| {
            let value = (key.tell)(self);
            Setting {
                key: key.name.to_owned(),
                default: value.is_none(),
                value: value.unwrap_or_else(|| key.default.to_owned()),
                help: key.help.to_owned(),
            }
        };
        match name {
            Some(name) => Ok(vec![row(find(name)?)]),
            None => Ok(KEYS.iter().map(row).collect()),
        }
    }

    /// Reads the file; without one, everything is at its default.
    ///
    /// # Errors
    /// When it is not valid, or cannot be read.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let at = |source| ConfigError::Io { doing: "read", path: path.to_owned(), source };
        let text = match fs::metadata(path) {
            Ok(facts) if facts.len() > FILE_BYTES_MAX => {
                return Err(at(io::ErrorKind::FileTooLarge.into()));
            }
            Ok(_) => fs::read_to_string(path).map_err(at)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(at(error)),
        };
        let table: toml::Table = toml::from_str(&text).map_err(|source| ConfigError::Syntax {
            path: path.to_owned(),
            source: Box::new(source),
        })?;
        let mut config = Self::default();
        for (section, values) in table {
            let toml::Value::Table(values) = values else {
                return Err(ConfigError::UnknownKey(section));
            };
            for (name, value) in values {
                let text = match value {
                    toml::Value::String(text) => text,
                    other => other.to_string(),
                };
                config.set(&format!("{section}.{name}"), Some(&text))?;
            }
        }
        Ok(config)
    }

    /// Replaces the file: whole or not at all, durable when this returns.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn store(&self, path: &Path) -> Result<(), ConfigError> {
        let at = |source| ConfigError::Io { doing: "write", path: path.to_owned(), source };
        let directory = path.parent().unwrap_or(Path::new("."));
        let temporary = path.with_extension("toml.new");
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&temporary)
            .map_err(at)?;
        file.write_all(self.text().as_bytes()).and_then(|()| file.sync_all()).map_err(at)?;
        fs::rename(&temporary, path).and_then(|()| sync_directory(directory)).map_err(at)
    }

    fn text(&self) -> String {
        let mut text = String::from("# Settings of this larder node; `larder config` lists all.\n");
        let mut open = "";
        for key in &KEYS {
            let Some(value) = (key.show)(self) else { continue };
            let (section, name) = key.name.split_once('.').expect("every key has a section");
            if section != open {
                let _infallible = write!(text, "\n[{section}]\n");
                open = section;
            }
            let value = toml::Value::String(value);
            let _infallible = writeln!(text, "# {}\n{name} = {value}", key.help);
        }
        text
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        let hint = match &error {
            ConfigError::UnknownKey(_) => {
                format!("the settings are {}", Config::keys().collect::<Vec<_>>().join(", "))
            }
            ConfigError::Value { .. } => "`larder config list` shows every setting".to_owned(),
            ConfigError::Syntax { .. } => "correct the file in an editor".to_owned(),
            ConfigError::Io { .. } => "check the owner and the permissions of the home".to_owned(),
        };
        let usage = matches!(error, ConfigError::UnknownKey(_) | ConfigError::Value { .. });
        let failure = match &error {
            ConfigError::Syntax { source, .. } => {
                Self::failed(format!("{error}: {}", source.message()))
            }
            ConfigError::Io { source, .. } => Self::failed(format!("{error}: {source}")),
            _ if usage => Self::usage(error.to_string()),
            _ => Self::failed(error.to_string()),
        };
        failure.hint(hint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: [(&str, &str); 19] = [
        ("backup.compression_level", "7"),
        ("backup.every", "6h"),
        ("backup.keep", "daily 7, within 2d"),
        ("depot.keep_own", "all"),
        ("depot.offer", "10GB"),
        ("depot.scrub_days", "0"),
        ("depot.spool_max", "12345"),
        ("depot.tend", "off"),
        ("device.name", "Anna's \"laptop\""),
        ("device.passphrase_command", "pass show 'larder' | head -1"),
        ("device.site", "home"),
        ("net.announce", "203.0.113.5:4242 [2001:db8::1]:4242"),
        ("net.lan", "off"),
        ("net.limit_lan", "on"),
        ("net.listen", "0.0.0.0:4242"),
        ("net.metered", "on"),
        ("net.relays", "https://relay.example.org:8443 http://127.0.0.1:3340"),
        ("net.upload_max", "08:00 500kB, 23:00 off"),
        ("policy.copies", "3"),
    ];

    // CLI-10
    #[test]
    fn every_setting_survives_the_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("config.toml");
        let mut config = Config::load(&path).unwrap();
        assert_eq!(config, Config::default());
        for (key, value) in GOOD {
            config.set(key, Some(value)).unwrap();
            config.store(&path).unwrap();
            assert_eq!(Config::load(&path).unwrap(), config, "{key}");
        }
        for (setting, (key, value)) in config.settings(None).unwrap().iter().zip(GOOD) {
            assert_eq!((setting.key.as_str(), setting.value.as_str()), (key, value));
            assert!(!setting.default);
        }
        assert_eq!(config.copies(), Copies::Count(3));
        assert_eq!(config.offer_bytes(), 10_000_000_000);
        assert_eq!((config.lan(), Config::default().lan()), (false, true));
        assert_eq!((config.tends(), Config::default().tends()), (false, true));
        assert_eq!((config.scrub_days(), Config::default().scrub_days()), (None, Some(90)));
        config.set("policy.copies", None).unwrap();
        assert_eq!(config.copies(), Copies::Auto);
    }

    // RECUR-9
    #[test]
    fn the_defaults_in_words_are_the_defaults() {
        let mut said = Config::default();
        for setting in Config::default().settings(None).unwrap() {
            if setting.key.starts_with("backup.") {
                said.set(&setting.key, Some(&setting.value)).unwrap();
            }
        }
        let default = Config::default();
        assert_eq!((said.every_s(), said.keep()), (default.every_s(), default.keep()));
        assert_eq!(said.compression_level(), default.compression_level());
        said.set("backup.every", Some("off")).unwrap();
        assert_eq!(said.every_s(), None);
    }

    #[test]
    fn keys_are_sorted_and_settable() {
        assert!(Config::keys().is_sorted());
        assert!(Config::keys().eq(GOOD.iter().map(|(key, _)| *key)));
    }

    // RELAY-5
    #[test]
    fn the_token_of_a_relay_is_kept_in_the_file_and_told_nowhere() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("config.toml");
        let mut config = Config::default();
        let relay = "https://abcdefghijklmnopqrstuvwxy4@relay.example.org:8443";
        config.set("net.relays", Some(relay)).unwrap();
        config.store(&path).unwrap();
        assert_eq!(Config::load(&path).unwrap().relays()[0].to_secret_text(), relay);
        let told = config.settings(Some("net.relays")).unwrap();
        assert_eq!(told[0].value, "https://relay.example.org:8443");
    }

    // CLI-10
    #[test]
    fn an_unknown_key_is_an_error_that_lists_the_keys() {
        let error = Config::default().set("policy.copys", Some("2")).unwrap_err();
        let failure = Failure::from(error);
        assert!(failure.hint.unwrap().contains("policy.copies"));
        assert_eq!(failure.kind.code(), 2);
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("config.toml");
        for text in ["[policy]\ncopys = 2\n", "copies = 2\n", "[policy]\ncopies = 0\n", "[po"] {
            fs::write(&path, text).unwrap();
            Config::load(&path).unwrap_err();
        }
        fs::write(&path, "# mine\n[policy]\ncopies = 2\n[depot]\noffer = 500\n").unwrap();
        let config = Config::load(&path).unwrap();
        assert_eq!((config.copies(), config.offer_bytes()), (Copies::Count(2), 500));
    }

    #[test]
    fn values_of_the_wrong_kind_are_refused() {
        let bad = [
            ("backup.compression_level", "20"),
            ("backup.every", "30s"),
            ("backup.every", "0"),
            ("backup.keep", "daily 0"),
            ("backup.keep", "fortnightly 3"),
            ("depot.keep_own", "some"),
            ("depot.offer", "much"),
            ("depot.scrub_days", "3651"),
            ("depot.scrub_days", "-1"),
            ("device.name", "a\nb"),
            ("device.passphrase_command", " "),
            ("net.upload_max", "65535"),
            ("net.upload_max", "25:00 500kB"),
            ("device.name", "  "),
            ("net.announce", "example.org:4242"),
            ("net.announce", "203.0.113.5:0"),
            ("net.announce", "[::]:4242"),
            ("net.lan", "maybe"),
            ("net.listen", "4242"),
            ("net.metered", "sometimes"),
            ("net.relays", ""),
            ("net.relays", "http://relay.example.org"),
            ("policy.copies", "0"),
        ];
        for (key, value) in bad {
            let error = Config::default().set(key, Some(value)).unwrap_err();
            assert!(matches!(error, ConfigError::Value { .. }), "{key}");
        }
    }
}
