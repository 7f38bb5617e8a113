//! What entries say, in words.

use std::collections::BTreeMap;

use larder_protocol::{
    ids::DeviceId,
    log::{Author, Deed, DeviceLog, LogEntry, Reason},
    trail::TrailEvent,
};

use crate::command::ByteSize;

type Names = BTreeMap<DeviceId, String>;

/// An entry of a device log in words.
pub(super) struct Told {
    pub(super) what: &'static str,
    pub(super) text: String,
    /// Whether it has an effect.
    pub(super) counts: bool,
}

fn name(device: &DeviceId, names: &Names) -> String {
    let short = device.short();
    names.get(device).map_or_else(|| short.clone(), |name| format!("{name} ({short})"))
}

/// What an entry of a device log says.
pub(super) fn of_entry(entry: &LogEntry, log: &DeviceLog, names: &Names) -> Told {
    let author = match &entry.body().author {
        Author::Device(device) => name(device, names),
        Author::Recovery => "somebody with the phrase".to_owned(),
    };
    match entry.deed() {
        Deed::Founded(device) => Told {
            what: "genesis",
            text: format!("{} founded this vault", name(&device, names)),
            counts: true,
        },
        Deed::TookIn(device) => Told {
            what: "add",
            text: format!("{author} let {} in", name(&device, names)),
            counts: log.is_device(&device) || log.removal_of(&device).is_some(),
        },
        Deed::BeganEpoch(number) => Told {
            what: "epoch",
            text: format!("{author} began epoch {number}: a new key for what comes"),
            counts: true,
        },
        Deed::Removed(device, reason) => {
            let reason = match reason {
                Reason::Lost => "lost",
                Reason::Stolen => "stolen",
                Reason::Replaced => "replaced",
            };
            Told {
                what: "remove",
                text: format!("{author} removed {}: {reason}", name(&device, names)),
                counts: log.removal_of(&device).is_some(),
            }
        }
    }
}

/// What an entry of the trail says, with a word for scripts.
pub(super) fn of_event(event: &TrailEvent, names: &Names) -> (&'static str, String) {
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
        TrailEvent::ShareGiven { vault } => {
            ("share-given", format!("handed over a share of the phrase of vault {}", vault.short()))
        }
    }
}
