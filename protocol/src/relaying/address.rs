//! How a relay is written: where it is, how its certificate is told, and the token that it asks for.
//!
//! ```text
//! https://[TOKEN@]HOST[:PORT][/][#PIN]
//! ```
//! Read by nodes (`larder up --relay`), written by relays (`larder-relay invite`). The token is a
//! secret: every form but [`RelayAddress::to_secret_text`] is without it. Source: specs/relay.md.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

use data_encoding::BASE32_NOPAD;
use thiserror::Error;
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::limits::{ADDRESS_BYTES_MAX, RELAY_TOKEN_BYTES};

/// Longest name of a host: with token, port and pin it is no longer than an address may be.
const HOST_BYTES_MAX: usize = 128;
const PIN_BYTES: usize = 32;

/// The secret of an invitation to a relay.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct RelayToken([u8; RELAY_TOKEN_BYTES]);

impl RelayToken {
    /// A token of random bytes.
    pub const fn from_bytes(bytes: [u8; RELAY_TOKEN_BYTES]) -> Self {
        Self(bytes)
    }

    /// Its text, which is as secret as the token.
    pub fn to_secret_text(&self) -> String {
        BASE32_NOPAD.encode(&self.0).to_ascii_lowercase()
    }

    /// What the relay keeps of it. The token has 128 random bits, so nobody finds it by trying.
    pub fn hash(&self) -> TokenHash {
        TokenHash(blake3::derive_key("larder 2026 relay token v1", &self.0))
    }
}

impl FromStr for RelayToken {
    type Err = RelayAddressError;

    fn from_str(text: &str) -> Result<Self, RelayAddressError> {
        base32(text).map(Self).ok_or(RelayAddressError::Token)
    }
}

impl fmt::Debug for RelayToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RelayToken(secret)")
    }
}

/// Tells one token from all others, without being one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct TokenHash(pub [u8; 32]);

/// Tells the one certificate that a relay made for itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pin(pub [u8; PIN_BYTES]);

impl Pin {
    /// The pin of a certificate, given in DER.
    pub fn of_certificate(der: &[u8]) -> Self {
        Self(blake3::derive_key("larder 2026 relay certificate v1", der))
    }
}

impl fmt::Display for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&BASE32_NOPAD.encode(&self.0).to_ascii_lowercase())
    }
}

/// How a relay is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scheme {
    /// TLS.
    Https,
    /// In clear: a token would be read on the way. On this machine or a private network alone.
    Http,
}

impl Scheme {
    const fn prefix(self) -> &'static str {
        match self {
            Self::Https => "https://",
            Self::Http => "http://",
        }
    }

    const fn port(self) -> u16 {
        match self {
            Self::Https => 443,
            Self::Http => 80,
        }
    }
}

/// Where a relay is, and what it takes to use it.
#[derive(Clone, PartialEq, Eq)]
pub struct RelayAddress {
    /// How it is spoken to.
    pub scheme: Scheme,
    /// Name or IP address; IPv6 without brackets.
    pub host: String,
    /// TCP for relaying; UDP with the same number tells nodes their address.
    pub port: u16,
    /// Its certificate, when it made that itself; else one that the world's authorities vouch for.
    pub pin: Option<Pin>,
    /// What it asks for.
    pub token: Option<RelayToken>,
}

/// Why a text is no address of a relay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum RelayAddressError {
    /// It does not begin as one.
    #[error("the address of a relay begins with https:// (http:// on a private network)")]
    Scheme,
    /// Longer than any.
    #[error("the address of a relay has at most {ADDRESS_BYTES_MAX} bytes")]
    Long,
    /// What stands before `@` is no token.
    #[error("the token before the @ is cut off or mistyped")]
    Token,
    /// No host, or none that may be one.
    #[error("the address names no host")]
    Host,
    /// No port.
    #[error("the port is not a number from 1 to 65535")]
    Port,
    /// What stands after `#` is no pin.
    #[error("the fingerprint after the # is cut off or mistyped")]
    Pin,
    /// There is more than a relay's address has.
    #[error("the address of a relay has no path")]
    Path,
    /// In clear over the internet.
    #[error("http:// is for this machine and private networks: a token would be read on the way")]
    Clear,
}

impl RelayAddress {
    /// With the token: for whoever is to use it.
    pub fn to_secret_text(&self) -> String {
        let token = self.token.as_ref().map(|token| format!("{}@", token.to_secret_text()));
        self.text(token.as_deref().unwrap_or_default())
    }

    /// The URL alone: neither token nor pin.
    pub fn url(&self) -> String {
        Self { pin: None, token: None, ..self.clone() }.to_string()
    }

    /// Host and port as URLs and requests name them.
    pub fn host_and_port(&self) -> String {
        match self.host.parse::<Ipv6Addr>() {
            Ok(address) => format!("[{address}]:{}", self.port),
            Err(_) => format!("{}:{}", self.host, self.port),
        }
    }

    fn text(&self, token: &str) -> String {
        let pin = self.pin.map(|pin| format!("#{pin}")).unwrap_or_default();
        format!("{}{token}{}{pin}", self.scheme.prefix(), self.host_and_port())
    }
}

/// Without the token.
impl fmt::Display for RelayAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text(""))
    }
}

impl fmt::Debug for RelayAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let token = if self.token.is_some() { ", with a token" } else { "" };
        write!(f, "RelayAddress({self}{token})")
    }
}

impl FromStr for RelayAddress {
    type Err = RelayAddressError;

    fn from_str(text: &str) -> Result<Self, RelayAddressError> {
        let text = text.trim();
        if text.len() > ADDRESS_BYTES_MAX {
            return Err(RelayAddressError::Long);
        }
        let found = [Scheme::Https, Scheme::Http]
            .into_iter()
            .find_map(|scheme| Some((scheme, text.strip_prefix(scheme.prefix())?)));
        let (scheme, rest) = found.ok_or(RelayAddressError::Scheme)?;
        let (rest, pin) = match rest.split_once('#') {
            None => (rest, None),
            Some((rest, pin)) => (rest, Some(base32(pin).map(Pin).ok_or(RelayAddressError::Pin)?)),
        };
        let (token, rest) = match rest.rsplit_once('@') {
            None => (None, rest),
            Some((token, rest)) => (Some(token.parse()?), rest),
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        if rest.contains(['/', '?']) {
            return Err(RelayAddressError::Path);
        }
        let (host, port) = split_port(rest)?;
        if scheme == Scheme::Http && !is_near(&host) {
            return Err(RelayAddressError::Clear);
        }
        Ok(Self { scheme, host, port: port.unwrap_or(scheme.port()), pin, token })
    }
}

/// `HOST`, `HOST:PORT`, `[V6]` and `[V6]:PORT`.
fn split_port(text: &str) -> Result<(String, Option<u16>), RelayAddressError> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, after) = rest.split_once(']').ok_or(RelayAddressError::Host)?;
            let host: Ipv6Addr = host.parse().map_err(|_| RelayAddressError::Host)?;
            let port = match after {
                "" => None,
                after => Some(after.strip_prefix(':').ok_or(RelayAddressError::Port)?),
            };
            (host.to_string(), port)
        }
        None => match text.split_once(':') {
            None => (name(text)?, None),
            Some((host, port)) => (name(host)?, Some(port)),
        },
    };
    let port = match port {
        None => None,
        Some(text) => {
            let port: u16 = text.parse().map_err(|_| RelayAddressError::Port)?;
            Some(Some(port).filter(|port| *port != 0).ok_or(RelayAddressError::Port)?)
        }
    };
    Ok((host, port))
}

/// A name of the DNS or an IPv4 address, in lower case.
fn name(text: &str) -> Result<String, RelayAddressError> {
    let is_label = |label: &str| {
        !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    if text.len() > HOST_BYTES_MAX || !text.split('.').all(is_label) {
        return Err(RelayAddressError::Host);
    }
    Ok(text.to_ascii_lowercase())
}

/// Whether what is said to this host in clear stays in the house.
fn is_near(host: &str) -> bool {
    match host.parse() {
        Ok(IpAddr::V4(address)) => is_near_v4(address),
        Ok(IpAddr::V6(address)) => {
            address.is_loopback()
                || address.is_unique_local()
                || address.is_unicast_link_local()
                || address.to_ipv4_mapped().is_some_and(is_near_v4)
        }
        Err(_) => host == "localhost",
    }
}

const fn is_near_v4(address: Ipv4Addr) -> bool {
    address.is_loopback() || address.is_private() || address.is_link_local()
}

/// Exactly `N` bytes in base32, in lower or upper case.
fn base32<const N: usize>(text: &str) -> Option<[u8; N]> {
    if text.len() != BASE32_NOPAD.encode_len(N) {
        return None;
    }
    let bytes = BASE32_NOPAD.decode(text.to_ascii_uppercase().as_bytes()).ok()?;
    bytes.try_into().ok()
}
