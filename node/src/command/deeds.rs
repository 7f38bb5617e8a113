//! Entries of the device log and of the trail as lines of `log`, in words. Used by the engine, and to
//! check a document against what was signed.

use std::collections::BTreeMap;

use data_encoding::BASE64;

use larder_protocol::{
    ids::DeviceId,
    log::{Author, Deed, DeviceLog, LogEntry, Reason, Role},
    trail::{TrailEntry, TrailEvent},
};

use super::{ByteSize, LogLine, LogSource};

/// Names of devices, as far as they are known.
type Names = BTreeMap<DeviceId, String>;

impl LogLine {
    /// The line of an entry of this device log.
    /// `given`: the name that it gives to a device, where that can be read.
    pub(crate) fn of_log(
        entry: &LogEntry,
        log: &DeviceLog,
        (names, given): (&Names, Option<&str>),
    ) -> Self {
        let (what, text) = deed(entry, names, given);
        Self {
            time: entry.body().time.into(),
            source: LogSource::DeviceLog,
            what: what.to_owned(),
            text,
            counts: log.counts(&entry.hash()),
            signed: BASE64.encode(entry.bytes()),
        }
    }

    /// The line of an entry of a trail.
    pub(crate) fn of_trail(entry: &TrailEntry, names: &Names) -> Self {
        let (what, text) = event(entry.event(), names);
        Self {
            time: entry.time().into(),
            source: LogSource::Trail,
            what: what.to_owned(),
            text,
            counts: true,
            signed: BASE64.encode(entry.bytes()),
        }
    }
}

fn name(device: &DeviceId, names: &Names) -> String {
    let short = device.short();
    names.get(device).map_or_else(|| short.clone(), |name| format!("{name} ({short})"))
}

/// What an entry of a device log says, with a word for scripts.
fn deed(entry: &LogEntry, names: &Names, given: Option<&str>) -> (&'static str, String) {
    let author = match &entry.body().author {
        Author::Device(device) => name(device, names),
        Author::Recovery => "somebody with the phrase".to_owned(),
    };
    match entry.deed() {
        Deed::Founded(device) => {
            ("genesis", format!("{} founded this vault", name(&device, names)))
        }
        Deed::TookIn(device, role) => {
            let role = match role {
                Role::Owner => "",
                Role::Member => " as a member",
            };
            ("add", format!("{author} let {} in{role}", name(&device, names)))
        }
        Deed::Renamed(device) => {
            // By its id: the name that is known is the newest one.
            let named =
                given.map_or_else(|| "another name".to_owned(), |it| format!("the name {it}"));
            ("rename", format!("{author} gave {} {named}", device.short()))
        }
        Deed::BeganEpoch(number) => {
            ("epoch", format!("{author} began epoch {number}: a new key for what comes"))
        }
        Deed::Removed(device, reason) => {
            let reason = match reason {
                Reason::Lost => "lost",
                Reason::Stolen => "stolen",
                Reason::Replaced => "replaced",
            };
            ("remove", format!("{author} removed {}: {reason}", name(&device, names)))
        }
    }
}

/// What an entry of the trail says, with a word for scripts.
fn event(event: &TrailEvent, names: &Names) -> (&'static str, String) {
    match event {
        TrailEvent::TookIn { device, name, site } => {
            ("took-in", format!("let {name} ({}) into this vault, at site {site}", device.short()))
        }
        TrailEvent::Became { vault, by: Some(by) } => {
            let by = name(by, names);
            ("became", format!("became a device of vault {}, let in by {by}", vault.short()))
        }
        TrailEvent::Became { vault, by: None } => {
            ("became", format!("became a device of vault {} by its phrase", vault.short()))
        }
        TrailEvent::Befriended { vault, device, name, granted_bytes } => (
            "befriended",
            format!(
                "joined circles with vault {} through {name} ({}), which keeps up to {}",
                vault.short(),
                device.short(),
                ByteSize(*granted_bytes)
            ),
        ),
        TrailEvent::Declined { device } => (
            "declined",
            format!("did not let {} in, which came with an invitation", device.short()),
        ),
        TrailEvent::Offered { bytes } => {
            ("offered", format!("keeps up to {} for others from now on", ByteSize(*bytes)))
        }
        TrailEvent::PhraseCame { vault } => (
            "phrase-came",
            format!("somebody with the phrase of vault {} asked here", vault.short()),
        ),
        TrailEvent::ReleaseAsked { vault } => {
            ("release-asked", format!("guardians asked for the phrase of vault {}", vault.short()))
        }
        TrailEvent::ShareGiven { vault } => (
            "share-given",
            format!("set about handing over a share of the phrase of vault {}", vault.short()),
        ),
        TrailEvent::Leaves { vault, name, leaves: true } => {
            ("leaves", format!("said that this vault leaves {name} (vault {})", vault.short()))
        }
        TrailEvent::Leaves { vault, name, leaves: false } => {
            ("stays", format!("said that this vault stays with {name} (vault {})", vault.short()))
        }
        TrailEvent::Parted { vault, name } => {
            ("parted", format!("forgot {name} (vault {}), which was left", vault.short()))
        }
        TrailEvent::Accepted { device, name } => (
            "accepted",
            format!("said yes to {name} ({}), which came with an invitation", device.short()),
        ),
    }
}
