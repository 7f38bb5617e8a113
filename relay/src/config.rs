//! The settings of a relay: one TOML file, every key with a default.
//!
//! A key that is not known is an error, so that a slip of the finger is not a silent default.
//! Source: specs/relay.md.

use std::{
    env, fs, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    num::NonZeroU32,
    path::{Path, PathBuf},
};

use larder_node::command::ByteSize;
use larder_protocol::{
    relaying::{self, RelayAddress, RelayAddressError, Scheme},
    text::is_plain,
};
use serde::{Deserialize, Deserializer, de::Error as _};
use thiserror::Error;

/// Longest settings file that is read.
const FILE_BYTES_MAX: u64 = 64 * 1024;

/// Everything that can be set.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where to listen: TCP for relaying, UDP for telling addresses.
    pub listen: SocketAddr,
    /// Name or IP address under which nodes reach it, with a port where that is another.
    pub address: Option<String>,
    /// Directory of invitations and of the certificate that it makes for itself.
    pub state: Option<PathBuf>,
    /// Who is let in.
    pub admission: Admission,
    /// Without TLS: for tests and behind nothing but a private network.
    pub plain: bool,
    /// Where numbers for Prometheus are served, in clear; nowhere by default.
    pub metrics: Option<SocketAddr>,
    /// A certificate of its own name, instead of one that it makes for itself.
    pub tls: Option<TlsFiles>,
    /// How much is allowed.
    pub limits: Limits,
    /// What it keeps of families' sealed data; nothing by default.
    pub hold: Option<Hold>,
}

/// Who is let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Admission {
    /// Anybody, within the limits.
    Open,
    /// Who has an invitation.
    Invited,
}

/// Files in PEM, read again every hour.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsFiles {
    /// The certificate and those above it.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
}

/// How much is allowed. What is not here is fixed: see specs/limits.md.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Clients connected at once.
    pub connections: usize,
    /// What one connection may send, in bytes a second.
    pub bytes_per_second: NonZeroU32,
}

/// A relay that is a holder as well.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hold {
    /// How much of the disk all families together may use.
    #[serde(deserialize_with = "size")]
    pub space: ByteSize,
    /// What families see as its name and its site; that of the relay's address by default.
    pub name: Option<String>,
    /// Where it listens (UDP) for direct paths to it.
    #[serde(default = "hold_listen")]
    pub listen: SocketAddr,
    /// Where others reach it beside what it finds by itself, such as where a router forwards a port; by
    /// default the IP address of the relay with the port of `listen`.
    #[serde(default)]
    pub announce: Vec<SocketAddr>,
    /// Directory of what it keeps; in the one of `state` by default.
    pub directory: Option<PathBuf>,
}

fn hold_listen() -> SocketAddr {
    SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), 8444)
}

fn size<'de, D: Deserializer<'de>>(input: D) -> Result<ByteSize, D::Error> {
    String::deserialize(input)?.parse().map_err(D::Error::custom)
}

impl Hold {
    /// What families see: as set, else what they know of the relay, for two relays are two households.
    pub(crate) fn name_beside(&self, relay: Option<&RelayAddress>) -> String {
        let of_relay = || relay.map(|relay| relay.host.clone()).filter(|host| is_plain(host));
        self.name.clone().or_else(of_relay).unwrap_or_else(|| "relay".to_owned())
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), 8443),
            address: None,
            state: None,
            admission: Admission::Invited,
            plain: false,
            metrics: None,
            tls: None,
            limits: Limits::default(),
            hold: None,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        let bytes_per_second = NonZeroU32::new(8 * 1024 * 1024).expect("it is not 0");
        Self { connections: 1024, bytes_per_second }
    }
}

/// Why there are no settings to work with.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the settings in {}", path.display())]
    Read {
        /// File.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// It is no TOML, or has a key or value that is none.
    #[error("{} is not valid: correct it, or take the line out for its default", path.display())]
    Syntax {
        /// File.
        path: PathBuf,
        /// Where, and what is allowed there.
        source: Box<toml::de::Error>,
    },
    /// In clear over the internet.
    #[error(
        "`plain = true` is for loopback and private addresses, and `listen` is {0}: take it out, \
         or set `listen` to such an address"
    )]
    Plain(SocketAddr),
    /// Two ways at once.
    #[error("`plain = true` and [tls] contradict each other: take one of them out")]
    PlainAndTls,
    /// Its name would be shown to people.
    #[error("`hold.name` has 1 to 64 bytes and no control characters")]
    HoldName,
    /// A directory is needed, and none is known.
    #[error("set `state` to the directory where this relay keeps its invitations")]
    NoState,
    /// Nobody said where the relay is.
    #[error(
        "say where nodes reach this relay: `--address HOST`, or `address = \"HOST\"` in the settings"
    )]
    NoAddress,
    /// What was said is no address.
    #[error("`{address}` is no address of a relay; expected HOST or HOST:PORT")]
    Address {
        /// What was said.
        address: String,
        /// Why.
        source: RelayAddressError,
    },
}

impl Config {
    /// Reads the file.
    ///
    /// # Errors
    /// When it cannot be read, or is not valid.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let at = |source| ConfigError::Read { path: path.to_owned(), source };
        if fs::metadata(path).map_err(at)?.len() > FILE_BYTES_MAX {
            return Err(at(io::ErrorKind::FileTooLarge.into()));
        }
        let text = fs::read_to_string(path).map_err(at)?;
        let config: Self = toml::from_str(&text).map_err(|source| ConfigError::Syntax {
            path: path.to_owned(),
            source: Box::new(source),
        })?;
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> Result<(), ConfigError> {
        if self.plain && self.tls.is_some() {
            return Err(ConfigError::PlainAndTls);
        }
        let name = self.hold.as_ref().and_then(|hold| hold.name.as_deref());
        if name.is_some_and(|name| !is_plain(name)) {
            return Err(ConfigError::HoldName);
        }
        let near: Result<RelayAddress, _> = format!("http://{}", self.listen).parse();
        // Port 0 means any, which an address of a relay cannot.
        if self.plain && matches!(near, Err(RelayAddressError::Clear)) {
            return Err(ConfigError::Plain(self.listen));
        }
        Ok(())
    }

    /// The directory of this relay: as set, as the service manager says, or the user's own.
    ///
    /// # Errors
    /// [`ConfigError::NoState`].
    pub fn state(&self) -> Result<PathBuf, ConfigError> {
        let of = |name| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let users = || {
            let home = || Some(of("HOME")?.join(".local/state"));
            Some(of("XDG_STATE_HOME").or_else(home)?.join("larder-relay"))
        };
        let set = self.state.clone().or_else(|| of("STATE_DIRECTORY"));
        set.or_else(users).ok_or(ConfigError::NoState)
    }

    /// The directory of what this relay keeps for families, whether it does so now or not.
    ///
    /// # Errors
    /// [`ConfigError::NoState`].
    pub fn hold_directory(&self) -> Result<PathBuf, ConfigError> {
        let set = self.hold.as_ref().and_then(|hold| hold.directory.clone());
        set.map_or_else(|| Ok(self.state()?.join("holder")), Ok)
    }

    /// Where nodes reach this relay, without token and pin. `given` comes before the settings, the
    /// settings before an address that it listens at; `port` is the one in use.
    ///
    /// # Errors
    /// When nothing of that says it.
    pub fn address(&self, given: Option<&str>, port: u16) -> Result<RelayAddress, ConfigError> {
        let listening = || {
            let own = self.listen.ip();
            (!own.is_unspecified()).then(|| SocketAddr::new(own, port).to_string())
        };
        let said = given.map(str::to_owned).or_else(|| self.address.clone());
        let text = said.or_else(listening).ok_or(ConfigError::NoAddress)?;
        let bare_v6 = text.parse::<Ipv6Addr>().is_ok();
        let bracketed = if bare_v6 { format!("[{text}]") } else { text.clone() };
        let has_port = bracketed.rsplit_once(':').is_some_and(|(_, port)| !port.contains(']'));
        let scheme = if self.plain { "http" } else { "https" };
        let url = match has_port {
            true => format!("{scheme}://{bracketed}"),
            false => format!("{scheme}://{bracketed}:{port}"),
        };
        url.parse().map_err(|source| ConfigError::Address { address: text, source })
    }

    /// Where the holder in this process reaches this relay, without token and pin: on this machine, unless
    /// a certificate of the settings stands for the relay's name alone.
    ///
    /// # Errors
    /// When the settings do not say that name.
    pub(crate) fn own_address(&self, port: u16) -> Result<RelayAddress, ConfigError> {
        if self.tls.is_some() {
            return self.address(None, port);
        }
        let host = match self.listen.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
            // It takes IPv4 as well, and a system without IPv6 has nothing else.
            IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
            ip => ip,
        };
        let scheme = if self.plain { Scheme::Http } else { Scheme::Https };
        Ok(RelayAddress { scheme, host: host.to_string(), port, pin: None, token: None })
    }

    /// What the core decides by.
    pub const fn rules(&self) -> relaying::Rules {
        let admission = match self.admission {
            Admission::Open => relaying::Admission::Open,
            Admission::Invited => relaying::Admission::Invited,
        };
        relaying::Rules { admission, connections_max: self.limits.connections }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str) -> Result<Config, ConfigError> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("relay.toml");
        fs::write(&path, text).unwrap();
        Config::load(&path)
    }

    // RELAY-6
    #[test]
    fn every_key_of_the_shipped_file_is_known_and_at_its_default() {
        let shipped = include_str!("../larder-relay.toml");
        let config = load(shipped).unwrap();
        let expected = Config { state: Some("/var/lib/larder-relay".into()), ..Config::default() };
        assert_eq!(config, expected);
        // With every example taken in.
        let all: String = shipped
            .lines()
            .map(|line| line.strip_prefix("#= ").unwrap_or(line).to_owned() + "\n")
            .collect();
        let config = load(&all).unwrap();
        assert!(config.address.is_some() && config.metrics.is_some() && config.tls.is_some());
        let hold = config.hold.unwrap();
        assert_eq!((hold.space, hold.listen), (ByteSize(500_000_000_000), hold_listen()));
        assert!(hold.name.is_some() && !hold.announce.is_empty() && hold.directory.is_some());
    }

    // RELAY-6
    #[test]
    fn a_key_that_is_not_known_is_refused_and_the_known_ones_are_named() {
        for text in ["adress = \"a\"", "[limits]\nbytes = 1", "[tls]\ncert = \"a\""] {
            let error = load(text).unwrap_err();
            let ConfigError::Syntax { source, .. } = error else { panic!("{error}") };
            assert!(source.message().contains("unknown field"), "{source}");
            assert!(source.message().contains("expected"), "{source}");
        }
        for text in ["admission = \"all\"", "[limits]\nbytes_per_second = 0", "listen = 1"] {
            assert!(matches!(load(text), Err(ConfigError::Syntax { .. })), "{text}");
        }
    }

    // RELAY-7
    #[test]
    fn without_tls_it_listens_at_home_only() {
        assert!(load("plain = true\nlisten = \"127.0.0.1:0\"").is_ok());
        assert!(load("plain = true\nlisten = \"10.0.0.1:80\"").is_ok());
        for text in ["plain = true", "plain = true\nlisten = \"192.0.2.1:80\""] {
            assert!(matches!(load(text), Err(ConfigError::Plain(_))), "{text}");
        }
        let both =
            "plain = true\nlisten = \"127.0.0.1:0\"\n[tls]\ncertificate = \"a\"\nkey = \"b\"";
        assert!(matches!(load(both), Err(ConfigError::PlainAndTls)));
    }

    #[test]
    fn an_address_is_completed_with_the_port_and_checked() {
        let config = Config::default();
        let address = |given: &str| config.address(Some(given), 8443).map(|one| one.to_string());
        assert_eq!(address("relay.org").unwrap(), "https://relay.org:8443");
        assert_eq!(address("relay.org:443").unwrap(), "https://relay.org:443");
        assert_eq!(address("2001:db8::1").unwrap(), "https://[2001:db8::1]:8443");
        assert_eq!(address("[2001:db8::1]:1").unwrap(), "https://[2001:db8::1]:1");
        assert!(matches!(address("https://relay.org"), Err(ConfigError::Address { .. })));
        assert!(matches!(config.address(None, 8443), Err(ConfigError::NoAddress)));
        let listen = "192.0.2.1:1".parse().unwrap();
        let config = Config { listen, ..config };
        assert_eq!(config.address(None, 8443).unwrap().to_string(), "https://192.0.2.1:8443");
    }
}
