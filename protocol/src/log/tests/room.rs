//! How much a log takes in all, and what is left for the phrase.

use super::{
    removal::{family, leaver, remove, rotate},
    *,
};
use crate::{
    keys::wrap::Wrap,
    limits::{
        EPOCHS_RESERVED, LOG_BYTES_RESERVED, LOG_ENTRY_BYTES_MAX, LOG_RESERVED, RENAMES_RESERVED,
    },
    log::{
        rename::Renaming,
        rotation::{PriorKey, Rotation},
    },
};

/// An addition of one of many devices by device 1, as a thief writes it: what is wrapped opens to nothing.
fn added_again(good: &[u8], number: u16, time: u64) -> Vec<u8> {
    let new = numbered(number);
    let mut body = LogEntry::decode(good).unwrap().body().clone();
    body.time = Timestamp(time);
    let addition = addition(&mut body);
    addition.device = new.public();
    addition.wraps.iter_mut().for_each(|wrap| wrap.wrap.to = new.public().hpke);
    let body = cbor::encode(&body);
    let author = device(1).sign(sign::LOG_ENTRY, &body);
    let consent = Some(new.sign(sign::LOG_CONSENT, &body));
    LogEntry::assemble(&body, Signatures { author, consent, access: None })
}

/// A family of two with all epochs that devices can begin, of which nobody has the keys, and an addition as large as they make it.
fn many_epochs() -> (DeviceLog, Vec<u8>) {
    let mut log = family(2);
    let good = rotate(&mut log.clone(), 1, 2);
    for number in 2..=u32::try_from(EPOCHS_MAX - EPOCHS_RESERVED).unwrap() + 1 {
        let parents = log.heads();
        let entry = signed(&good, 1, |body| {
            let Act::Epoch(rotation) = &mut body.act else { unreachable!("it is a rotation") };
            rotation.number = number;
            rotation.commitment = [u8::try_from(number).unwrap(); 32];
            rotation.prior.clear();
            body.parents = parents;
        });
        log.merge(&entry).unwrap();
    }
    let good = add_numbered(&mut log.clone(), 1, 1000).unwrap();
    (log, good)
}

/// Lets this log count as if all but so many such entries had been written before.
fn nearly_full(log: &mut DeviceLog, entry: &[u8]) {
    log.bytes = LOG_BYTES_MAX - LOG_BYTES_RESERVED - 40 * entry.len();
}

/// Takes in the same devices again and again until no more fits.
fn fill(log: &mut DeviceLog, good: &[u8], first: u16) {
    let error = (first..first + 100)
        .flat_map(|number| (0..16).map(move |time| (number, time)))
        .find_map(|(number, time)| log.merge(&added_again(good, number, time)).err());
    assert_eq!(error, Some(LogError::Full));
}

// LOG-32
#[test]
fn a_device_is_taken_in_apart_so_often_and_no_more() {
    let mut log = family(2);
    let good = add_numbered(&mut log.clone(), 1, 1000).unwrap();
    for time in 0..16 {
        log.merge(&added_again(&good, 1000, time)).unwrap();
    }
    assert_eq!(log.merge(&added_again(&good, 1000, 16)), Err(LogError::Full));
    log.merge(&added_again(&good, 1001, 0)).unwrap();
    // The phrase has places of its own, for the same device too.
    let mut apart = vault().0;
    let mut by_phrase = Vec::new();
    for seed in 0..17 {
        let keys = numbered(1000);
        let new = Newcomer { device: keys.public(), ..newcomer(3) };
        by_phrase.push(vault().0.enrol(&recovery(), &keys, &new, &mut rng(seed)).unwrap());
        apart.merge(&by_phrase[0]).unwrap();
    }
    let (last, before) = by_phrase.split_last().unwrap();
    before.iter().for_each(|entry| _ = log.merge(entry).unwrap());
    assert_eq!(log.merge(last), Err(LogError::Full));
    let copy = DeviceLog::from_entries(log.entries()).unwrap();
    assert_eq!(view(&copy), view(&log));
}

// LOG-32, LOG-15, LOG-21: an owner's thief writes as much as a log takes from devices.
#[test]
fn no_thief_uses_up_the_bytes_that_the_phrase_needs() {
    let (before, good) = many_epochs();
    let (mut log, mut elsewhere) = (before.clone(), before.clone());
    fill(&mut log, &good, 1000);
    let bytes: usize = log.entries().map(<[u8]>::len).sum();
    assert_eq!(log.bytes, bytes);
    let by_devices = LOG_BYTES_MAX - LOG_BYTES_RESERVED;
    assert!(bytes <= by_devices && bytes + LOG_ENTRY_BYTES_MAX > by_devices);
    assert_eq!(log.merge(&added_again(&good, 1200, 0)), Err(LogError::Full));
    // To another one he sent other entries: what the phrase says is taken there as well.
    nearly_full(&mut elsewhere, &good);
    fill(&mut elsewhere, &good, 2000);
    let mut said = vec![enrol_numbered(&mut log, 3000).unwrap()];
    said.push(log.remove(&recovery(), &leaver(1), &mut rng(1)).unwrap());
    for entry in &said {
        before.clone().merge(&said[0]).unwrap();
        elsewhere.merge(entry).unwrap();
    }
    for log in [&log, &elsewhere] {
        assert!(!log.is_device(&device(1).id()) && log.is_device(&numbered(3000).id()));
    }
    log.rotate(&recovery(), NOW, &mut rng(2)).unwrap();
    log.rename(&recovery(), &called(2, 40), &mut rng(3)).unwrap();
}

// LOG-32, LOG-8: what fits together fits in any order, the phrase's last or first.
#[test]
fn what_a_full_log_took_it_takes_in_another_order() {
    let (mut before, good) = many_epochs();
    nearly_full(&mut before, &good);
    let mut log = before.clone();
    fill(&mut log, &good, 1000);
    let by_devices = log.entries_beyond(&before.heads());
    let mut by_devices: Vec<Vec<u8>> = by_devices.into_iter().map(<[u8]>::to_vec).collect();
    let by_phrase = (3000..3010).map(|number| enrol_numbered(&mut log, number).unwrap());
    by_devices.extend(by_phrase.collect::<Vec<_>>());
    let mut turned = before;
    for entry in by_devices.iter().rev() {
        turned.merge(entry).unwrap();
    }
    assert_eq!(view(&turned), view(&log));
    assert_eq!((turned.bytes, turned.phrase), (log.bytes, log.phrase));
}

// LOG-32: where each device is taken in once, the bytes of a log are never what it lacks.
#[test]
fn the_largest_log_of_devices_that_are_taken_in_once_fits() {
    let (log, _) = vault();
    let mut largest = LogEntry::decode(&add(&mut log.clone(), 1, 2)).unwrap().body().clone();
    largest.parents = vec![EntryHash::from_bytes([0xff; 32]); LOG_PARENTS_MAX];
    largest.time = Timestamp(u64::MAX);
    let size = |act: Act| {
        let body = cbor::encode(&EntryBody { act, ..largest.clone() });
        let consent = Some([0; 64]);
        LogEntry::assemble(&body, Signatures { author: [0; 64], consent, access: None }).len()
    };
    let wrap = || Wrap { to: [0; 32], encapsulated: [0; 32], sealed: [0; 48] };
    let number = u32::from(u16::MAX);
    let prior = || PriorKey { number, commitment: [0; 32], sealed: [0; 48] };
    let rotation = Rotation {
        number,
        commitment: [0; 32],
        wraps: (0..=LOG_DEVICES_MAX).map(|_| wrap()).collect(),
        prior: (0..EPOCHS_MAX).map(|_| prior()).collect(),
    };
    let removal = remove::Removal {
        device: device(1).id(),
        reason: Reason::Lost,
        last: leaver(1).last.map(|last| LastHead { seq: u64::MAX, ..last }),
        rotation,
    };
    let mut taking_in = addition(&mut largest.clone()).clone();
    taking_in.wraps =
        (0..=EPOCHS_MAX).map(|_| entry::EpochWrap { epoch: number, wrap: wrap() }).collect();
    let renaming = Renaming { device: device(1).id(), label: taking_in.label.clone() };
    let (epoch, one_more) = (size(Act::Remove(removal)), size(Act::Add(taking_in)));
    let name = size(Act::Rename(renaming));
    assert!(epoch <= LOG_ENTRY_BYTES_MAX && one_more <= LOG_ENTRY_BYTES_MAX);
    let all = |epochs: usize, devices: usize, names: usize| {
        epochs * epoch + devices * one_more + names * name
    };
    let by_devices = all(EPOCHS_MAX - EPOCHS_RESERVED, DEVICES_MAX, RENAMES_MAX - RENAMES_RESERVED);
    assert!(by_devices <= LOG_BYTES_MAX - LOG_BYTES_RESERVED, "{by_devices}");
    let by_phrase = all(EPOCHS_RESERVED, LOG_RESERVED, RENAMES_RESERVED);
    assert!(by_phrase <= LOG_BYTES_RESERVED, "{by_phrase}");
}

// LOG-29, LOG-32: all that a member can write leaves most of it.
#[test]
fn a_member_uses_up_few_bytes() {
    let mut log = family(2);
    add_as(&mut log, (1, 3), Role::Member);
    let member = device(3);
    while log.rotate(&member, NOW, &mut rng(9)).is_ok() {}
    let own = called(3, 30);
    while log.rename(&member, &own, &mut rng(9)).is_ok() {}
    assert!(log.bytes < (LOG_BYTES_MAX - LOG_BYTES_RESERVED) / 16);
    remove(&mut log, 1, 3);
}
