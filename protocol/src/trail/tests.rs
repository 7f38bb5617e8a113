//! A trail, everything that can be done to it, and its vectors.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::vectors::{self, hex};

fn keys(number: u8) -> DeviceKeys {
    DeviceKeys::from_seeds([number; 32], [number.wrapping_add(100); 32])
}

fn events() -> Vec<TrailEvent> {
    let (vault, device) = (VaultId::from_bytes([7; 32]), keys(2).id());
    let (name, site) = ("phone".to_owned(), "home".to_owned());
    vec![
        TrailEvent::Became { vault, by: None },
        TrailEvent::TookIn { device, name: name.clone(), site },
        TrailEvent::Befriended { vault, device, name, granted_bytes: 1 << 40 },
        TrailEvent::Declined { device },
        TrailEvent::Offered { bytes: 500_000_000_000 },
        TrailEvent::PhraseCame { vault },
        TrailEvent::ReleaseAsked { vault },
        TrailEvent::ShareGiven { vault },
        TrailEvent::Became { vault, by: Some(device) },
        TrailEvent::Accepted { device, name: "nas".to_owned() },
    ]
}

fn trail(keys: &DeviceKeys) -> Vec<TrailEntry> {
    let mut trail: Vec<TrailEntry> = Vec::new();
    for (after, event) in (0..).zip(events()) {
        let time = Timestamp(1_800_000_000 + after);
        trail.push(TrailEntry::after(trail.last(), (time, event), keys).unwrap());
    }
    trail
}

/// The first thing that is wrong with a trail.
fn check(entries: &[Vec<u8>]) -> Result<usize, TrailError> {
    let entries: Vec<_> =
        entries.iter().map(|bytes| TrailEntry::decode(bytes)).collect::<Result<_, _>>()?;
    for pair in entries.windows(2) {
        pair[1].follows(&pair[0])?;
    }
    Ok(entries.len())
}

fn bytes(trail: &[TrailEntry]) -> Vec<Vec<u8>> {
    trail.iter().map(|entry| entry.bytes().to_vec()).collect()
}

// TRAIL-1
#[test]
fn a_trail_is_read_back_entry_by_entry() {
    let trail = trail(&keys(1));
    assert_eq!(check(&bytes(&trail)), Ok(events().len()));
    for (entry, event) in trail.iter().zip(events()) {
        assert_eq!(TrailEntry::decode(entry.bytes()).unwrap(), *entry);
        assert_eq!((entry.device(), entry.event()), (keys(1).id(), &event));
    }
    assert!(trail.iter().all(|entry| entry.bytes().len() <= TRAIL_ENTRY_BYTES_MAX));
}

// TRAIL-2
#[test]
fn an_entry_that_is_taken_out_put_in_or_moved_breaks_the_trail() {
    let all = bytes(&trail(&keys(1)));
    let mut taken_out = all.clone();
    taken_out.remove(3);
    assert_eq!(check(&taken_out), Err(TrailError::Broken { number: 5, before: 3 }));
    let mut moved = all.clone();
    moved.swap(3, 4);
    assert!(matches!(check(&moved), Err(TrailError::Broken { .. })));
    let mut of_another = all.clone();
    of_another[3] = trail(&keys(2))[3].bytes().to_vec();
    assert_eq!(check(&of_another), Err(TrailError::OtherDevice));
    // Written anew from the middle on by the device itself: the rest does not follow.
    let known = trail(&keys(1));
    let other = (Timestamp(9), TrailEvent::Offered { bytes: 1 });
    let mut anew = all;
    anew[3] = TrailEntry::after(Some(&known[2]), other, &keys(1)).unwrap().bytes().to_vec();
    assert_eq!(check(&anew), Err(TrailError::Broken { number: 5, before: 4 }));
}

// TRAIL-2
#[test]
fn nobody_signs_for_another_and_newer_entries_are_told() {
    let entry = &trail(&keys(1))[0];
    let signed = Signed::decode(entry.bytes(), TRAIL_ENTRY_BYTES_MAX).unwrap();
    let forged = Signed::record(signed.body.to_vec(), keys(2).sign(sign::TRAIL, &signed.body));
    assert_eq!(TrailEntry::decode(&forged), Err(TrailError::Signature));
    let elsewhere = Signed::record(signed.body.to_vec(), keys(1).sign(sign::HEAD, &signed.body));
    assert_eq!(TrailEntry::decode(&elsewhere), Err(TrailError::Signature));
    let newer = cbor::encode(&Body { version: 2, ..entry.body.clone() });
    let newer = Signed::record(newer.clone(), keys(1).sign(sign::TRAIL, &newer));
    assert_eq!(TrailEntry::decode(&newer), Err(TrailError::Newer(2)));
    let control = TrailEvent::TookIn {
        device: keys(2).id(),
        name: "\u{1b}[2J".to_owned(),
        site: "home".to_owned(),
    };
    let refused = TrailEntry::after(None, (Timestamp(1), control), &keys(1));
    assert_eq!(refused, Err(TrailError::Implausible));
}

proptest! {
    // TRAIL-2
    #[test]
    fn no_changed_byte_and_no_garbage_is_an_entry(
        at in any::<prop::sample::Index>(),
        change in 1_u8..,
        garbage in proptest::collection::vec(any::<u8>(), 0..200),
    ) {
        let mut bytes = trail(&keys(1))[1].bytes().to_vec();
        let at = at.index(bytes.len());
        bytes[at] ^= change;
        prop_assert!(TrailEntry::decode(&bytes).is_err());
        prop_assert!(TrailEntry::decode(&garbage).is_err());
    }
}

fn page() -> Value {
    let entry = |entry: &TrailEntry| {
        json!({
            "number": entry.number(),
            "time": entry.time().0,
            "hash": hex(entry.hash().0),
            "entry": hex(entry.bytes()),
        })
    };
    let trail = trail(&keys(1));
    json!({
        "spec": "specs/trail.md",
        "device": hex(keys(1).id().as_bytes()),
        "trail": trail.iter().map(entry).collect::<Vec<_>>(),
    })
}

// TRAIL-3, VERSIONS-2
#[test]
fn the_trail_is_as_the_vectors_say() {
    vectors::check("trail", &page());
}

#[test]
#[ignore = "writes specs/vectors/trail.json"]
fn write_vectors() {
    vectors::write("trail", &page());
}
