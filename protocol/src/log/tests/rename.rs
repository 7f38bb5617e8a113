//! Devices that are given another name.

use super::{
    removal::{family, merged, remove},
    *,
};
use crate::{limits::RENAMES_RESERVED, log::rename::Renaming};

fn rename(log: &mut DeviceLog, by: u8, whom: u8, name: u8) -> Vec<u8> {
    log.rename(&device(by), &called(whom, name), &mut rng(name)).unwrap()
}

/// What the phrase reads as the name of a device.
fn name(log: &DeviceLog, whom: u8) -> String {
    let keys = log.epoch_keys(&recovery()).unwrap();
    log.label(&device(whom).id(), &keys).unwrap().name
}

// LOG-23
#[test]
fn the_newest_name_speaks_and_of_two_given_apart_the_one_that_builds_on_more() {
    let mut log = family(3);
    rename(&mut log, 2, 2, 20);
    assert_eq!(name(&log, 2), "device 20");
    rename(&mut log, 1, 2, 21);
    assert_eq!(name(&log, 2), "device 21");
    let (mut one, mut other) = (log.clone(), log);
    rename(&mut one, 1, 2, 22);
    rename(&mut other, 1, 3, 30);
    rename(&mut other, 3, 2, 23);
    let (all, turned) = (merged(&one, &other), merged(&other, &one));
    assert_eq!((name(&all, 2), name(&turned, 2)), ("device 23".into(), "device 23".into()));
    assert_eq!((name(&all, 1), name(&all, 3)), ("device 1".into(), "device 30".into()));
    assert_eq!(view(&all), view(&turned));
}

// LOG-23
#[test]
fn of_two_names_that_build_on_as_much_the_smaller_hash_speaks() {
    let log = family(2);
    let (mut one, mut other) = (log.clone(), log);
    let entries = [rename(&mut one, 1, 2, 20), rename(&mut other, 2, 2, 21)];
    let [first, second] = entries.map(|bytes| LogEntry::decode(&bytes).unwrap().hash());
    let expected = if first < second { "device 20" } else { "device 21" };
    assert_eq!(name(&merged(&one, &other), 2), expected);
    assert_eq!(name(&merged(&other, &one), 2), expected);
}

// LOG-24
#[test]
fn a_name_by_whoever_was_removed_does_not_count_unless_the_removal_builds_on_it() {
    let mut log = family(3);
    rename(&mut log, 3, 2, 20);
    let (mut owner, mut thief) = (log.clone(), log);
    remove(&mut owner, 1, 3);
    rename(&mut thief, 3, 2, 21);
    rename(&mut thief, 3, 1, 22);
    let all = merged(&owner, &thief);
    assert_eq!((name(&all, 2), name(&all, 1)), ("device 20".into(), "device 1".into()));
    assert_eq!(view(&all), view(&merged(&thief, &owner)));
}

// LOG-24
#[test]
fn a_name_that_cannot_be_opened_is_passed_over() {
    let mut log = family(2);
    rename(&mut log, 1, 2, 20);
    let mut forged = log.clone();
    let good = rename(&mut forged, 1, 2, 21);
    let unsealed = signed(&good, 1, |body| renaming(body).label.sealed[7] ^= 1);
    log.merge(&unsealed).unwrap();
    assert_eq!(name(&log, 2), "device 20");
    // Nor does the name of another device open.
    let moved = signed(&good, 1, |body| renaming(body).device = device(1).id());
    log.merge(&moved).unwrap();
    assert_eq!(name(&log, 1), "device 1");
    rename(&mut log, 2, 2, 22);
    assert_eq!(name(&log, 2), "device 22");
}

fn renaming(body: &mut EntryBody) -> &mut Renaming {
    match &mut body.act {
        Act::Rename(renaming) => renaming,
        _ => unreachable!("only renames are changed here"),
    }
}

// LOG-4, LOG-24
#[test]
fn a_rename_is_of_a_device_that_its_ancestors_took_in_and_well_formed() {
    let mut log = family(2);
    let before = log.clone();
    let good = rename(&mut log, 1, 2, 20);
    let by_stranger = |body: &mut EntryBody| body.author = Author::Device(device(5).id());
    let as_phrase = |body: &mut EntryBody| body.author = Author::Recovery;
    let of_nobody = |body: &mut EntryBody| renaming(body).device = device(5).id();
    let short = |body: &mut EntryBody| renaming(body).label.sealed = vec![0; 9].into();
    let no_epoch = |body: &mut EntryBody| renaming(body).label.epoch = 0;
    let cases = [
        (signed(&good, 5, by_stranger), LogError::Stranger),
        (signed(&good, 5, |_| {}), LogError::Signature),
        (signed(&good, 1, as_phrase), LogError::Signature),
        (signed(&good, 1, of_nobody), LogError::Stranger),
        (signed(&good, 1, short), LogError::Shape),
        (signed(&good, 1, no_epoch), LogError::Shape),
        (resigned(&good, 1, 2, |_| {}), LogError::Shape),
    ];
    for (number, (bytes, expected)) in cases.into_iter().enumerate() {
        let mut log = before.clone();
        assert_eq!(log.merge(&bytes), Err(expected), "case {number}");
        assert_eq!(log, before, "case {number}");
    }
    let nameless =
        NewLabel { label: Label { name: String::new(), site: "a".into() }, ..called(2, 1) };
    assert_eq!(log.rename(&device(1), &nameless, &mut rng(1)), Err(DraftError::Label));
    assert!(log.rename(&device(1), &called(9, 1), &mut rng(1)).is_err());
    let copy = DeviceLog::from_entries(log.entries()).unwrap();
    assert_eq!(view(&copy), view(&log));
}

// LOG-25
#[test]
fn whoever_has_the_key_of_a_device_uses_up_its_own_names_alone() {
    let mut log = family(2);
    for _ in 0..RENAMES_OF_DEVICE_MAX {
        rename(&mut log, 2, 2, 20);
    }
    let full = Err(LogError::Full.into());
    assert_eq!(log.rename(&device(2), &called(2, 21), &mut rng(1)), full);
    assert_eq!(log.rename(&device(2), &called(1, 21), &mut rng(1)), full);
    // All else goes on.
    rename(&mut log, 1, 2, 22);
    assert_eq!(name(&log, 2), "device 22");
    add(&mut log, 2, 3);
    rename(&mut log, 3, 3, 23);
    log.rotate(&device(2), NOW, &mut rng(24)).unwrap();
    for _ in 0..RENAMES_RESERVED {
        log.rename(&recovery(), &called(2, 25), &mut rng(25)).unwrap();
    }
    assert_eq!(name(&log, 2), "device 25");
    assert_eq!(log.rename(&recovery(), &called(2, 26), &mut rng(26)), full);
    remove(&mut log, 1, 2);
    let copy = DeviceLog::from_entries(log.entries()).unwrap();
    assert_eq!(view(&copy), view(&log));
}

// LOG-25
#[test]
fn the_phrase_names_a_device_also_where_the_log_is_full() {
    let mut log = family(2);
    let mut number = 1000;
    while add_numbered(&mut log, 1, number).is_ok() {
        number += 1;
    }
    // Each of his devices uses up its share.
    let mut renames = 0;
    for by in 1000..number {
        while log.rename(&numbered(by), &called(1, 30), &mut rng(1)).is_ok() {
            renames += 1;
        }
    }
    assert_eq!(renames, RENAMES_MAX - RENAMES_RESERVED);
    log.rename(&recovery(), &called(1, 40), &mut rng(2)).unwrap();
    assert_eq!(name(&log, 1), "device 40");
    remove(&mut log, 1, 2);
}
