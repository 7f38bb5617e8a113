//! Lists: folders, snapshots, devices, peers, settings.

use super::{Table, line, plain, short, visible, when, when_or_never};
use crate::command::{
    Attendance, ByteSize, ConfigOutcome, DeviceRole, DevicesOutcome, ExpectOutcome, FoldersOutcome,
    HolderKind, Peer, PeerPath, PeerState, PeersOutcome, Presence, Safety, Snapshot,
    SnapshotsOutcome, count,
};

pub(super) const fn safety(safety: Safety) -> &'static str {
    match safety {
        Safety::Local => "only here",
        Safety::Partly => "partly safe",
        Safety::Safe => "safe",
    }
}

pub(super) fn folders(text: &mut String, done: &FoldersOutcome) {
    if done.folders.is_empty() {
        return line(text, "no folders yet; add one with `larder add PATH`");
    }
    let mut table = Table::new(&["LAST SNAPSHOT", "LAST LOOK", "FILES", "SIZE", "STATE", "FOLDER"]);
    for folder in &done.folders {
        let last = folder.last.as_ref();
        let mut path = visible(&folder.path.to_bytes());
        if !folder.excludes.is_empty() {
            path.push_str(&format!("  (without {})", plain(&folder.excludes.join(", "))));
        }
        table.row(vec![
            when_or_never(last.map(|last| last.time)),
            when_or_never(folder.saved),
            last.map_or_else(String::new, |last| last.files.to_string()),
            last.map_or_else(String::new, |last| ByteSize(last.bytes).to_string()),
            last.map_or_else(String::new, state),
            path,
        ]);
    }
    table.write(text);
}

/// The list that was asked for, or why it is empty.
pub(super) fn snapshots(text: &mut String, done: &SnapshotsOutcome) {
    if !done.snapshots.is_empty() {
        return snapshot_table(text, &done.snapshots);
    }
    line(
        text,
        match (done.snapshots_total, done.devices_total) {
            (1.., _) => "no snapshot is meant by that; `larder snapshots` lists all",
            (0, 2..) => {
                "no snapshot is known here: this device has made none (`larder backup`), and those \
                 of the other devices come here once a holder of theirs is reached (`larder peers`)"
            }
            (0, _) => "no snapshots yet; make one with `larder backup`",
        },
    );
}

pub(super) fn snapshot_table(text: &mut String, snapshots: &[Snapshot]) {
    let mut table = Table::new(&[
        "SNAPSHOT",
        "TIME",
        "DEVICE",
        "FILES",
        "SIZE",
        "STATE",
        "SAFE SINCE",
        "FOLDER",
    ]);
    for snapshot in snapshots {
        table.row(vec![
            short(&snapshot.snapshot).to_owned(),
            when(snapshot.time),
            plain(&snapshot.device_name),
            snapshot.files.to_string(),
            ByteSize(snapshot.bytes).to_string(),
            state(snapshot),
            snapshot.safe_since.map_or_else(String::new, when),
            visible(&snapshot.path.to_bytes()),
        ]);
    }
    table.write(text);
}

fn state(snapshot: &Snapshot) -> String {
    let incomplete = if snapshot.complete { "" } else { ", incomplete" };
    let automatic = if snapshot.automatic { ", automatic" } else { "" };
    let pinned = if snapshot.pinned { ", pinned" } else { "" };
    format!("{}{incomplete}{automatic}{pinned}", safety(snapshot.safety))
}

pub(super) fn devices(text: &mut String, done: &DevicesOutcome) {
    let mut table = Table::new(&["DEVICE", "NAME", "ROLE", "ADDED", "LAST SEEN", "LAST SNAPSHOT"]);
    for device in &done.devices {
        let mark = if device.this { " (this one)" } else { "" };
        let removed = device.removed.as_ref().map(|removed| removed.reason);
        let mark = removed.map_or(mark, super::revoke::mark);
        table.row(vec![
            short(&device.device).to_owned(),
            format!("{}{mark}", plain(&device.name)),
            role(device.role).to_owned(),
            device.added.map_or_else(String::new, when),
            if device.this { "now".to_owned() } else { when_or_never(device.last_seen) },
            when_or_never(device.last_snapshot),
        ]);
    }
    table.write(text);
}

const fn role(role: DeviceRole) -> &'static str {
    match role {
        DeviceRole::Owner => "owner",
        DeviceRole::Member => "member",
    }
}

fn path(path: Option<PeerPath>) -> String {
    match path {
        None => "",
        Some(PeerPath::Direct) => "direct",
        Some(PeerPath::Relayed) => "relayed",
    }
    .to_owned()
}

pub(super) fn peers(text: &mut String, done: &PeersOutcome) {
    if done.peers.is_empty() {
        return line(text, "no peers yet; `larder invite` asks one in");
    }
    let mut table = Table::new(&[
        "PEER",
        "NAME",
        "SITE",
        "STATE",
        "PATH",
        "ANSWERS",
        "LAST SEEN",
        "HOLDS FOR US",
        "LAST PROOF",
        "OFFERS US",
        "WE KEEP",
        "VAULT",
    ]);
    for peer in &done.peers {
        let holds =
            format!("{} ({})", ByteSize(peer.holds_bytes), count(peer.holds_shards, "shard"));
        let granted = peer.granted_bytes.map(|bytes| ByteSize(bytes).to_string());
        table.row(vec![
            short(&peer.device).to_owned(),
            plain(&peer.name),
            plain(&peer.site),
            peer_state(peer),
            path(peer.path),
            answers(peer.attendance.as_ref()),
            when_or_never(peer.last_seen),
            holds,
            when_or_never(peer.last_proof),
            granted.unwrap_or_else(|| "?".to_owned()),
            ByteSize(peer.kept_bytes).to_string(),
            if peer.own { "ours".to_owned() } else { short(&peer.vault).to_owned() },
        ]);
    }
    table.write(text);
    for peer in done.peers.iter().filter(|peer| peer.unclaimed_bytes > 0) {
        let (name, bytes) = (plain(&peer.name), ByteSize(peer.unclaimed_bytes));
        let what = "more for us that was forgotten; it lets go of it when the wait is over";
        line(text, &format!("{name} keeps {bytes} {what}"));
    }
}

fn peer_state(peer: &Peer) -> String {
    let state = match peer.state {
        PeerState::Online => "online",
        PeerState::Offline => "offline",
        PeerState::Unknown => "unknown",
        PeerState::Failed => "FAILED",
        PeerState::Refusing => "refuses us",
    };
    match peer.attendance.as_ref().map(|it| (it.presence, it.said_lost)) {
        Some((Presence::Lost, true)) => format!("{state}, said to be lost"),
        Some((Presence::Lost, false)) => format!("{state}, presumed lost"),
        Some((Presence::Suspect, _)) => format!("{state}, longer than usual"),
        _ => state.to_owned(),
    }
}

/// How many of our calls it answers.
fn answers(attendance: Option<&Attendance>) -> String {
    let percent = attendance.and_then(|it| it.availability_percent);
    percent.map_or_else(String::new, |percent| format!("{percent} %"))
}

pub(super) fn expect(text: &mut String, done: &ExpectOutcome) {
    let (name, it) = (plain(&done.name), &done.attendance);
    let for_days = |ms: u64| match ms / 86_400_000 {
        0 => count(ms / 3_600_000, "hour"),
        days => count(days, "day"),
    };
    let silent = for_days(it.silent_ms);
    let presence = match it.presence {
        Presence::Unknown => "was not called yet".to_owned(),
        Presence::Here => "answered when it was last called".to_owned(),
        Presence::Away => format!("has been silent for {silent}, which is not unusual"),
        Presence::Suspect => format!("has been silent for {silent}, longer than usual"),
        Presence::Lost if it.said_lost => {
            "is lost, as you said: its copies do not count".to_owned()
        }
        Presence::Lost => {
            format!("is presumed lost after {silent} of silence: its copies do not count")
        }
    };
    line(text, &format!("{name} {presence}"));
    if let Some(percent) = it.availability_percent {
        line(text, &format!("it answers {percent} of 100 calls"));
    }
    let kind = match it.kind {
        HolderKind::AlwaysOn => "something that is always on",
        HolderKind::Laptop => "a laptop, or something that nobody described",
        HolderKind::Phone => "a phone",
    };
    match it.away_until {
        Some(until) => line(text, &format!("it is away until {}, as you said", when(until))),
        None if !it.said_lost => {
            let limit = for_days(it.lost_after_ms);
            line(text, &format!("as {kind}, it is presumed lost after {limit} of silence"));
        }
        None => {}
    }
}

pub(super) fn settings(text: &mut String, done: &ConfigOutcome) {
    if let [setting] = done.settings.as_slice() {
        return line(text, &plain(&setting.value));
    }
    let mut table = Table::new(&["SETTING", "VALUE", "WHAT IT DOES"]);
    for setting in &done.settings {
        let mark = if setting.default { " (default)" } else { "" };
        table.row(vec![
            setting.key.clone(),
            format!("{}{mark}", plain(&setting.value)),
            setting.help.clone(),
        ]);
    }
    table.write(text);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_list_says_why_it_is_empty() {
        let said = |snapshots_total, devices_total| {
            let mut text = String::new();
            let none = Vec::new();
            let done = SnapshotsOutcome { snapshots_total, devices_total, snapshots: none };
            snapshots(&mut text, &done);
            text
        };
        assert!(said(0, 1).contains("make one with `larder backup`"));
        assert!(said(0, 2).contains("come here once a holder of theirs is reached"));
        assert!(said(3, 2).contains("lists all"), "it is the filter");
    }
}
