//! Entries of an audit trail, and documents of it as `larder log --check` reads them.

use std::sync::LazyLock;

use data_encoding::BASE64;
use larder_node::{cli::is_valid_log_document, command::Time};
use larder_protocol::{
    log::DeviceLog,
    time::Timestamp,
    trail::{TrailEntry, TrailEvent},
};
use serde_json::json;

use super::{
    pieces::{joined, pieces},
    world::{device, found},
};

static LOG: LazyLock<DeviceLog> = LazyLock::new(|| found(1));

/// One entry; a document; and entries that are put into a document as if they were all of what was offered.
pub fn trail(bytes: &[u8]) {
    if let Ok(entry) = TrailEntry::decode(bytes) {
        assert_eq!(entry.bytes(), bytes);
        assert!(entry.follows(&entry).is_err(), "no entry stands behind itself");
    }
    let _is_valid = is_valid_log_document(&String::from_utf8_lossy(bytes));
    let mut entries = pieces(bytes);
    entries.truncate(16);
    if !is_valid_log_document(&document(&entries)) {
        return;
    }
    let read = entries.iter().map(|bytes| TrailEntry::decode(bytes).expect("it was checked"));
    let mut read: Vec<TrailEntry> = read.collect();
    read.sort_by_key(TrailEntry::number);
    assert!(read.windows(2).all(|pair| pair[1].follows(&pair[0]).is_ok()));
    assert!(read.iter().all(|entry| entry.device() == device(1).id()));
    if read.len() > 2 {
        let number = read[1].number();
        let is_kept =
            |bytes: &&&[u8]| TrailEntry::decode(bytes).is_ok_and(|entry| entry.number() != number);
        let fewer: Vec<&[u8]> = entries.iter().filter(is_kept).copied().collect();
        assert!(!is_valid_log_document(&document(&fewer)), "one was taken out");
    }
}

/// A document of the vault's log and of these as its device's trail.
fn document(trail: &[&[u8]]) -> String {
    let genesis = LOG.entries().next().expect("a log has one");
    let line = |source: &str, what: &str, time: Timestamp, bytes: &[u8]| {
        let (time, signed) = (Time::from(time), BASE64.encode(bytes));
        json!({ "source": source, "time": time, "what": what, "counts": true, "signed": signed })
    };
    let mut entries = vec![line("device-log", "genesis", super::world::NOW, genesis)];
    for bytes in trail {
        let time = TrailEntry::decode(bytes).map_or(Timestamp(0), |entry| entry.time());
        entries.push(line("trail", "offered", time, bytes));
    }
    let (vault, device) = (LOG.vault().to_string(), device(1).id().to_string());
    json!({ "vault": vault, "device": device, "entries": entries }).to_string()
}

/// What the target takes for good: entries, a list of them, a document.
pub fn trails() -> Vec<Vec<u8>> {
    let mut trail: Vec<TrailEntry> = Vec::new();
    for bytes in 1..=4 {
        let what = (Timestamp(1_800_000_000 + bytes), TrailEvent::Offered { bytes });
        trail.push(TrailEntry::after(trail.last(), what, &device(1)).expect("it is plausible"));
    }
    let entries: Vec<&[u8]> = trail.iter().map(TrailEntry::bytes).collect();
    let document = document(&entries);
    assert!(is_valid_log_document(&document));
    let mut seeds: Vec<Vec<u8>> = entries.iter().map(|bytes| bytes.to_vec()).collect();
    seeds.extend([joined(entries), document.into_bytes()]);
    seeds
}
