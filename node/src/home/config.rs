//! `config.toml`: the settings of a node, few and typed.
//!
//! People may edit the file; `larder config` writes it anew from what it understood, with one
//! comment per setting. A key that is not known is an error, so that a slip of the finger is not
//! a silent default. Source: specs/command_line.md, CLI-10.

use std::{
    fmt::Write as _,
    fs, io,
    io::Write as _,
    net::SocketAddr,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use larder_protocol::{limits::RELAYS_MAX, relaying::RelayAddress};
use thiserror::Error;

use super::sync_directory;
use crate::command::{ByteSize, Failure, Setting};

/// Longest settings file that is read.
const FILE_BYTES_MAX: u64 = 256 * 1024;
/// Longest name of a device or a site, in bytes.
const NAME_BYTES_MAX: usize = 64;

/// Longest command line in the settings.
const COMMAND_BYTES_MAX: usize = 1024;

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
    lan: Option<bool>,
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

/// One key: its name, what it takes, its default in words, what it does, how to get and set it.
struct Key {
    name: &'static str,
    takes: &'static str,
    default: &'static str,
    help: &'static str,
    /// For the file.
    show: fn(&Config) -> Option<String>,
    /// For the user.
    tell: fn(&Config) -> Option<String>,
    /// `None` when the text is not what the key takes.
    set: fn(&mut Config, &str) -> Option<()>,
    reset: fn(&mut Config),
}

macro_rules! key {
    ($name:literal, $field:ident, $parse:expr, $show:expr, $takes:literal, $default:literal, $help:literal) => {
        Key {
            name: $name,
            takes: $takes,
            default: $default,
            help: $help,
            show: |config| config.$field.as_ref().map($show),
            tell: |config| config.$field.as_ref().map($show),
            set: |config, text| {
                config.$field = Some($parse(text)?);
                Some(())
            },
            reset: |config| config.$field = None,
        }
    };
}

/// Every key, ascending.
static KEYS: [Key; 13] = [
    key!(
        "backup.compression_level",
        compression_level,
        parse_level,
        i32::to_string,
        "a zstd level from 1 to 19",
        "3",
        "how hard to compress: higher is smaller and slower"
    ),
    key!(
        "depot.keep_own",
        keep_own,
        parse_keep_own,
        show_keep_own,
        "none, metadata or all",
        "metadata",
        "what stays on this device of its own backups once holders have them"
    ),
    key!(
        "depot.offer",
        offer,
        parse_size,
        show_size,
        "a size such as 100GB",
        "0",
        "how much this device keeps for others"
    ),
    key!(
        "depot.scrub_days",
        scrub_days,
        parse_days,
        u32::to_string,
        "a number of days up to 3650, or 0 for never",
        "90",
        "within how many days everything kept here is read back from the disk; 0 for never"
    ),
    key!(
        "depot.spool_max",
        spool_max,
        parse_size,
        show_size,
        "a size such as 10GB",
        "8GiB",
        "own bytes waiting for holders at most; a backup waits for room beyond"
    ),
    key!(
        "depot.tend",
        tend,
        parse_switch,
        show_switch,
        "on or off",
        "on",
        "whether `up` looks after the copies of a circle's vault whose devices are all silent"
    ),
    key!(
        "device.name",
        name,
        parse_name,
        String::clone,
        "a name of at most 64 bytes",
        "the host's name",
        "how this device is shown to others"
    ),
    key!(
        "device.passphrase_command",
        passphrase_command,
        parse_command,
        String::clone,
        "a command line such as `secret-tool lookup app larder`",
        "none",
        "prints the passphrase of the device key, with /bin/sh, where nobody else gives it"
    ),
    key!(
        "device.site",
        site,
        parse_name,
        String::clone,
        "a name of at most 64 bytes",
        "as it was at first",
        "the household in which this device stands: copies go to different ones; others hear of a change"
    ),
    key!(
        "net.lan",
        lan,
        parse_switch,
        show_switch,
        "on or off",
        "on",
        "whether `up` finds the circle's devices in the same network by itself"
    ),
    key!(
        "net.listen",
        listen,
        parse_address,
        SocketAddr::to_string,
        "an address and port such as 0.0.0.0:4242",
        "0.0.0.0:0, the port chosen once and kept",
        "where `up` listens (UDP)"
    ),
    Key {
        // Told without the tokens: what is told ends up on screens and in reports of faults.
        tell: |config| config.relays.as_deref().map(|relays| texts(relays, ToString::to_string)),
        ..key!(
            "net.relays",
            relays,
            parse_relays,
            |relays| texts(relays, RelayAddress::to_secret_text),
            "up to 4 addresses of relays such as https://TOKEN@relay.example.org:8443, with spaces \
             between",
            "none",
            "relays that help to reach other devices from behind a router"
        )
    },
    key!(
        "policy.copies",
        copies,
        parse_copies,
        show_copies,
        "auto or a number from 1 to 16",
        "auto",
        "copies at different sites that make a snapshot safe; auto is 2 where there are 2 sites"
    ),
];

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

    /// Where `up` listens; `None` means any address, on the port that the node remembers.
    pub fn listen(&self) -> Option<SocketAddr> {
        self.listen
    }

    /// Whether to look after the copies of vaults whose devices are silent.
    pub fn tends(&self) -> bool {
        self.tend.unwrap_or(true)
    }

    /// Whether to find devices of the circle in the same network.
    pub fn lan(&self) -> bool {
        self.lan.unwrap_or(true)
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

fn find(name: &str) -> Result<&'static Key, ConfigError> {
    KEYS.iter()
        .find(|key| key.name == name)
        .ok_or_else(|| ConfigError::UnknownKey(name.chars().take(80).collect()))
}

fn parse_level(text: &str) -> Option<i32> {
    text.parse().ok().filter(|level| (1..=19).contains(level))
}

fn parse_days(text: &str) -> Option<u32> {
    text.parse().ok().filter(|days| (0..=3650).contains(days))
}

fn parse_keep_own(text: &str) -> Option<KeepOwn> {
    match text {
        "none" => Some(KeepOwn::None),
        "metadata" => Some(KeepOwn::Metadata),
        "all" => Some(KeepOwn::All),
        _ => None,
    }
}

fn show_keep_own(value: &KeepOwn) -> String {
    match value {
        KeepOwn::None => "none",
        KeepOwn::Metadata => "metadata",
        KeepOwn::All => "all",
    }
    .to_owned()
}

fn parse_size(text: &str) -> Option<ByteSize> {
    text.parse().ok()
}

/// Exact, and short where a decimal unit divides it.
fn show_size(size: &ByteSize) -> String {
    let units = [(1_000_000_000_000, "TB"), (1_000_000_000, "GB"), (1_000_000, "MB")];
    units
        .iter()
        .find(|(factor, _)| size.0 != 0 && size.0.is_multiple_of(*factor))
        .map_or_else(|| size.0.to_string(), |(factor, unit)| format!("{}{unit}", size.0 / factor))
}

/// A name that can stand in one line of a terminal.
fn parse_name(text: &str) -> Option<String> {
    let plain = !text.trim().is_empty()
        && text.len() <= NAME_BYTES_MAX
        && !text.chars().any(char::is_control);
    plain.then(|| text.trim().to_owned())
}

fn parse_command(text: &str) -> Option<String> {
    let plain = !text.trim().is_empty()
        && text.len() <= COMMAND_BYTES_MAX
        && !text.chars().any(char::is_control);
    plain.then(|| text.trim().to_owned())
}

fn parse_switch(text: &str) -> Option<bool> {
    match text {
        "on" => Some(true),
        "off" => Some(false),
        _ => None,
    }
}

fn show_switch(is_on: &bool) -> String {
    if *is_on { "on" } else { "off" }.to_owned()
}

fn parse_address(text: &str) -> Option<SocketAddr> {
    text.parse().ok()
}

fn parse_relays(text: &str) -> Option<Vec<RelayAddress>> {
    let relays: Result<Vec<RelayAddress>, _> = text.split_whitespace().map(str::parse).collect();
    relays.ok().filter(|relays| (1..=RELAYS_MAX).contains(&relays.len()))
}

fn texts(relays: &[RelayAddress], text: fn(&RelayAddress) -> String) -> String {
    relays.iter().map(text).collect::<Vec<_>>().join(" ")
}

fn parse_copies(text: &str) -> Option<Copies> {
    if text == "auto" {
        return Some(Copies::Auto);
    }
    text.parse().ok().filter(|count| (1..=16).contains(count)).map(Copies::Count)
}

fn show_copies(value: &Copies) -> String {
    match value {
        Copies::Auto => "auto".to_owned(),
        Copies::Count(count) => count.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: [(&str, &str); 13] = [
        ("backup.compression_level", "7"),
        ("depot.keep_own", "all"),
        ("depot.offer", "10GB"),
        ("depot.scrub_days", "0"),
        ("depot.spool_max", "12345"),
        ("depot.tend", "off"),
        ("device.name", "Anna's \"laptop\""),
        ("device.passphrase_command", "pass show 'larder' | head -1"),
        ("device.site", "home"),
        ("net.lan", "off"),
        ("net.listen", "0.0.0.0:4242"),
        ("net.relays", "https://relay.example.org:8443 http://127.0.0.1:3340"),
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
            ("depot.keep_own", "some"),
            ("depot.offer", "much"),
            ("depot.scrub_days", "3651"),
            ("depot.scrub_days", "-1"),
            ("device.name", "a\nb"),
            ("device.passphrase_command", " "),
            ("device.name", "  "),
            ("net.lan", "maybe"),
            ("net.listen", "4242"),
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
