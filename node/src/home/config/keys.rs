//! Every setting: its name, what it takes, and how it reads and writes itself.

use std::net::SocketAddr;

use larder_protocol::{
    limits::{PACING_UP_MIN, RECURRING_MS_MIN, RELAYS_MAX},
    pacing::Timetable,
    relaying::RelayAddress,
    retention::Rules,
};

use super::{Config, ConfigError, Copies, KeepOwn, Metered};
use crate::command::{ByteSize, parse_span, show_span};

/// Longest name of a device or a site, in bytes.
const NAME_BYTES_MAX: usize = 64;
/// Longest command line in the settings.
const COMMAND_BYTES_MAX: usize = 1024;
/// Most addresses that can be announced: some of those that are found have to find room beside them.
const ANNOUNCED_MAX: usize = 4;

/// One key: its name, what it takes, its default in words, what it does, how to get and set it.
pub(super) struct Key {
    pub(super) name: &'static str,
    pub(super) takes: &'static str,
    pub(super) default: &'static str,
    pub(super) help: &'static str,
    /// For the file.
    pub(super) show: fn(&Config) -> Option<String>,
    /// For the user.
    pub(super) tell: fn(&Config) -> Option<String>,
    /// `None` when the text is not what the key takes.
    pub(super) set: fn(&mut Config, &str) -> Option<()>,
    pub(super) reset: fn(&mut Config),
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
pub(super) static KEYS: [Key; 19] = [
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
        "backup.every",
        every_s,
        parse_every,
        show_every,
        "a time from 1min on such as 30min, 6h or 1d, or off",
        "1h",
        "how often `up` backs the folders up by itself; on battery once a day at most"
    ),
    key!(
        "backup.keep",
        keep,
        parse_rules,
        show_rules,
        "off, or rules such as `hourly 24, daily 30, within 2d`",
        "hourly 48, daily 30, weekly 52, monthly 120, yearly 100",
        "which of the snapshots that `up` made by itself stay; off for all. Those of `backup` always do"
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
        "net.announce",
        announce,
        parse_announced,
        |addresses| texts(addresses, SocketAddr::to_string),
        "up to 4 addresses and ports such as 203.0.113.5:4242, with spaces between",
        "none",
        "where others reach this device as well, such as by a port that a router forwards"
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
        "net.limit_lan",
        limit_lan,
        parse_switch,
        show_switch,
        "on or off",
        "off",
        "whether net.upload_max and net.metered hold in the local network as well"
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
    key!(
        "net.metered",
        metered,
        parse_metered,
        show_metered,
        "auto, on or off",
        "auto, as NetworkManager says",
        "whether bytes cost on the line into the internet: backups then wait for another one"
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
        "net.upload_max",
        upload_max,
        parse_rates,
        show_rates,
        "off, a size a second from 64KiB on, or sizes by time such as `08:00 500kB, 23:00 off`",
        "off",
        "how fast backups go out of this network"
    ),
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

/// The setting of a name.
pub(super) fn find(name: &str) -> Result<&'static Key, ConfigError> {
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

/// Seconds; 0 for never.
fn parse_every(text: &str) -> Option<u64> {
    if text == "off" {
        return Some(0);
    }
    parse_span(text).ok().filter(|seconds| seconds.saturating_mul(1000) >= RECURRING_MS_MIN)
}

fn show_every(seconds: &u64) -> String {
    match *seconds {
        0 => "off".to_owned(),
        seconds => show_span(seconds),
    }
}

fn parse_rules(text: &str) -> Option<Rules> {
    Rules::parse(text, |span| parse_span(span).ok())
}

fn show_rules(rules: &Rules) -> String {
    rules.text(show_span)
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

fn parse_metered(text: &str) -> Option<Metered> {
    match text {
        "auto" => Some(Metered::Auto),
        "on" => Some(Metered::On),
        "off" => Some(Metered::Off),
        _ => None,
    }
}

fn show_metered(value: &Metered) -> String {
    match value {
        Metered::Auto => "auto",
        Metered::On => "on",
        Metered::Off => "off",
    }
    .to_owned()
}

fn parse_size(text: &str) -> Option<ByteSize> {
    text.parse().ok()
}

/// Exact, and short where a decimal unit divides it.
fn show_size(size: &ByteSize) -> String {
    let units =
        [(1_000_000_000_000, "TB"), (1_000_000_000, "GB"), (1_000_000, "MB"), (1_000, "kB")];
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

fn parse_rates(text: &str) -> Option<Timetable> {
    let size = |word: &str| word.parse().ok().map(|ByteSize(bytes)| bytes);
    Timetable::parse(text, PACING_UP_MIN, size).ok()
}

fn show_rates(rates: &Timetable) -> String {
    rates.text(|rate| show_size(&ByteSize(rate)))
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

fn parse_announced(text: &str) -> Option<Vec<SocketAddr>> {
    let addresses: Result<Vec<SocketAddr>, _> = text.split_whitespace().map(str::parse).collect();
    let leads_there = |it: &SocketAddr| it.port() != 0 && !it.ip().is_unspecified();
    let is_few = |all: &Vec<SocketAddr>| (1..=ANNOUNCED_MAX).contains(&all.len());
    addresses.ok().filter(|all| is_few(all) && all.iter().all(leads_there))
}

fn texts<T>(all: &[T], text: fn(&T) -> String) -> String {
    all.iter().map(text).collect::<Vec<_>>().join(" ")
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
