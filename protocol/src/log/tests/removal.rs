//! Devices that are thrown out, and the keys of those who stay.

use super::*;
use crate::{ids::HeadHash, keys::Principal};

pub(super) fn leaver(number: u8) -> Leaver {
    let last = Some(LastHead { seq: 7, head: HeadHash::from_bytes([number; 32]) });
    let (device, reason) = (device(number).id(), Reason::Stolen);
    Leaver { device, reason, last, undo_removals: false, time: NOW }
}

pub(super) fn remove(log: &mut DeviceLog, by: u8, whom: u8) -> Vec<u8> {
    log.remove(&device(by), &leaver(whom), &mut rng(whom)).unwrap()
}

pub(super) fn rotate(log: &mut DeviceLog, by: u8, seed: u8) -> Vec<u8> {
    log.rotate(&device(by), NOW, &mut rng(seed)).unwrap()
}

pub(super) fn living(log: &DeviceLog) -> Vec<u8> {
    (1..=40).filter(|number| log.is_device(&device(*number).id())).collect()
}

/// A vault of devices 1 to `count`, each taken in by the one before.
pub(super) fn family(count: u8) -> DeviceLog {
    let (mut log, _) = vault();
    (1..count).for_each(|number| _ = add(&mut log, number, number + 1));
    log
}

pub(super) fn merged(one: &DeviceLog, other: &DeviceLog) -> DeviceLog {
    let mut log = one.clone();
    for entry in other.entries() {
        log.merge(entry).unwrap();
    }
    log
}

/// A vault of devices 1 and 2, and of 8 and 9, whom 2 took in.
pub(super) fn with_accomplices() -> DeviceLog {
    let mut log = family(2);
    add(&mut log, 2, 8);
    add(&mut log, 2, 9);
    log
}

/// Whether somebody can open the key with which new data is sealed.
fn opens_current<'p>(log: &DeviceLog, who: impl Into<Principal<'p>>) -> bool {
    let current = log.current_epoch().expect("there is an epoch to seal with");
    log.epoch_keys(who).is_ok_and(|keys| keys.iter().any(|key| current.is_of(key)))
}

// LOG-16, LOG-18
#[test]
fn whoever_is_removed_is_out_and_reads_nothing_that_comes_after() {
    let mut log = family(3);
    let before = log.epoch_keys(&device(3)).unwrap();
    remove(&mut log, 1, 2);
    assert_eq!(living(&log), [1, 3]);
    let removed = log.removal_of(&device(2).id()).unwrap();
    assert_eq!((removed.reason, removed.last), (Reason::Stolen, leaver(2).last));
    assert!(log.knows(&device(2).id()));
    assert!(opens_current(&log, &device(1)) && opens_current(&log, &device(3)));
    assert!(opens_current(&log, &recovery()));
    assert!(!opens_current(&log, &device(2)));
    assert_eq!(log.epoch_keys(&device(2)).unwrap().len(), 1, "what it could read it can read");

    // It can do nothing more here, and whoever joins reads everything.
    assert!(log.rotate(&device(2), NOW, &mut rng(9)).is_err());
    assert!(log.draft_add(&device(2), &newcomer(9), &mut rng(9)).is_err());
    assert!(log.remove(&device(2), &leaver(1), &mut rng(9)).is_err());
    add(&mut log, 3, 4);
    let keys = log.epoch_keys(&device(4)).unwrap();
    assert_eq!(keys.len(), 2);
    assert_eq!(keys[0].expose_secret(), before[0].expose_secret());
    assert!(opens_current(&log, &device(4)));
    assert!(log.draft_add(&device(1), &newcomer(2), &mut rng(9)).is_err(), "not under that key");
}

// REKEY-7
#[test]
fn it_is_known_which_keys_a_removed_device_had() {
    let mut log = family(3);
    rotate(&mut log, 1, 50);
    remove(&mut log, 1, 2);
    remove(&mut log, 1, 3);
    let newest = |number| log.newest_epoch_of(&device(number).id());
    assert_eq!((newest(1), newest(2), newest(3), newest(4)), (Some(4), Some(2), Some(3), None));
    let keys = log.epoch_keys(&device(2)).unwrap();
    assert_eq!(keys.iter().map(EpochKey::number).max(), newest(2));
}

// REKEY-3
#[test]
fn an_epoch_is_clear_when_no_other_one_void_or_not_has_its_number_or_a_higher_one() {
    let mut log = family(3);
    assert_eq!((log.clear_epoch(), log.next_epoch()), (Some(1), 2));
    // The thief removes others apart, and is removed without knowing of it.
    let mut of_thief = log.clone();
    rotate(&mut of_thief, 3, 60);
    rotate(&mut of_thief, 3, 61);
    remove(&mut log, 1, 3);
    assert_eq!(log.clear_epoch(), Some(2));
    let mut log = merged(&log, &of_thief);
    assert_eq!(log.current_epoch().map(|id| id.number), Some(2), "void ones do not count");
    assert_eq!((log.clear_epoch(), log.next_epoch()), (None, 4));
    rotate(&mut log, 1, 62);
    assert_eq!((log.clear_epoch(), log.next_epoch()), (Some(4), 5));
}

// LOG-18: a key that only a later one leads to.
#[test]
fn the_newest_key_leads_to_all_before_it() {
    let mut log = family(2);
    let mut apart = log.clone();
    rotate(&mut log, 1, 50);
    add(&mut apart, 1, 3);
    // Device 3 was taken in by somebody who did not know of epoch 2.
    let mut log = merged(&log, &apart);
    assert!(log.is_epoch_due(), "device 3 has no key of it");
    assert_eq!(log.epoch_keys(&device(3)).unwrap().len(), 1);
    rotate(&mut log, 2, 51);
    assert_eq!(log.current_epoch().unwrap().number, 3);
    assert_eq!(log.epoch_keys(&device(3)).unwrap().len(), 3);
}

// LOG-16
#[test]
fn what_the_removed_device_did_meanwhile_is_void() {
    let log = family(3);
    let (mut owner, mut thief) = (log.clone(), log);
    remove(&mut owner, 1, 3);
    add(&mut thief, 3, 8);
    add(&mut thief, 8, 9);
    remove(&mut thief, 8, 2);
    let log = merged(&owner, &thief);
    assert_eq!(living(&log), [1, 2]);
    assert!(log.removal_of(&device(2).id()).is_none());
    assert!(!log.is_epoch_due());
    assert!(!opens_current(&log, &device(9)) && opens_current(&log, &device(2)));
    // What it had done before that stays.
    let mut log = family(3);
    remove(&mut log, 1, 2);
    assert_eq!(living(&log), [1, 3], "device 3 was taken in by device 2");
}

// LOG-17
#[test]
fn of_two_that_remove_each_other_the_older_stays_and_the_phrase_beats_both() {
    let log = family(3);
    let (mut older, mut younger) = (log.clone(), log.clone());
    remove(&mut older, 2, 3);
    remove(&mut younger, 3, 2);
    let both = merged(&older, &younger);
    assert_eq!(living(&both), [1, 2]);
    assert_eq!(living(&merged(&younger, &older)), [1, 2]);

    // The thief has the oldest device, and was quicker.
    let mut log = log;
    remove(&mut log, 1, 2);
    remove(&mut log, 1, 3);
    assert_eq!(living(&log), [1]);
    let undo = Leaver { undo_removals: true, ..leaver(1) };
    log.remove(&recovery(), &undo, &mut rng(60)).unwrap();
    assert_eq!(living(&log), [2, 3]);
    assert!(!log.is_epoch_due() && !opens_current(&log, &device(1)));
}

// LOG-17
#[test]
fn an_older_device_takes_back_what_a_younger_one_removed() {
    let mut log = family(3);
    remove(&mut log, 3, 1);
    assert_eq!(living(&log), [2, 3]);
    assert!(log.clone().remove(&device(1), &leaver(3), &mut rng(9)).is_err(), "it is out");
    let undo = Leaver { undo_removals: true, ..leaver(3) };
    log.remove(&device(1), &undo, &mut rng(61)).unwrap();
    assert_eq!(living(&log), [1, 2]);
    assert!(opens_current(&log, &device(1)));
}

// LOG-17, LOG-21: apart from each other one throws the owner out, and the other one the first.
#[test]
fn accomplices_who_throw_each_other_out_are_both_thrown_out() {
    let mut log = with_accomplices();
    let mut apart = log.clone();
    remove(&mut log, 8, 1);
    remove(&mut apart, 9, 8);
    let mut log = merged(&log, &apart);
    assert_eq!(living(&log), [2, 9]);
    for thief in [2, 9, 8] {
        let undo = Leaver { undo_removals: true, ..leaver(thief) };
        log.remove(&recovery(), &undo, &mut rng(70 + thief)).unwrap();
        assert!(!log.is_device(&device(thief).id()), "{thief}");
    }
    assert_eq!(living(&log), [1]);
    // By the older device as well, which both have removed.
    let log = with_accomplices();
    let (mut one, mut other) = (log.clone(), log.clone());
    remove(&mut one, 8, 1);
    remove(&mut other, 9, 8);
    let mut log = merged(&one, &other);
    for thief in [2, 9, 8] {
        let undo = Leaver { undo_removals: true, ..leaver(thief) };
        log.remove(&device(1), &undo, &mut rng(80 + thief)).unwrap();
    }
    assert_eq!(living(&log), [1]);
}

// LOG-17, LOG-16: a removal that never took effect, and on which all has been built since, changes nothing of what can be undone.
#[test]
fn what_was_undone_long_ago_costs_nobody_who_came_later() {
    let undo = |number| Leaver { undo_removals: true, ..leaver(number) };
    // The founder's thief removes device 2; the phrase takes that back, and takes in device 5, which device 2 removes later.
    let mut log = family(2);
    remove(&mut log, 1, 2);
    log.remove(&recovery(), &undo(1), &mut rng(60)).unwrap();
    log.enrol(&recovery(), &device(5), &newcomer(5), &mut rng(61)).unwrap();
    remove(&mut log, 2, 5);
    assert_eq!(living(&log), [2]);
    log.remove(&recovery(), &undo(2), &mut rng(62)).unwrap();
    assert_eq!(living(&log), [5]);
    // Device 3 was thrown out by a thief, came back, took in device 8, and is stolen in its turn.
    let mut log = family(3);
    remove(&mut log, 2, 3);
    log.remove(&device(1), &undo(2), &mut rng(63)).unwrap();
    assert_eq!(living(&log), [1, 3]);
    add(&mut log, 3, 8);
    let mut by_other = log.clone();
    log.remove(&device(1), &undo(3), &mut rng(64)).unwrap();
    assert_eq!(living(&log), [1, 8]);
    // Whoever came in since then throws it out as well.
    by_other.enrol(&recovery(), &device(5), &newcomer(5), &mut rng(65)).unwrap();
    by_other.remove(&device(5), &undo(3), &mut rng(66)).unwrap();
    assert_eq!(living(&by_other), [1, 5, 8]);
}

// LOG-20
#[test]
fn removals_made_apart_leave_no_key_to_seal_with_until_there_is_a_new_one() {
    let log = family(4);
    let (mut one, mut other) = (log.clone(), log);
    remove(&mut one, 1, 3);
    remove(&mut other, 2, 4);
    let mut log = merged(&one, &other);
    assert_eq!(living(&log), [1, 2]);
    assert!(log.is_epoch_due(), "device 4 has the key of one epoch, device 3 that of the other");
    rotate(&mut log, 2, 62);
    assert!(opens_current(&log, &device(1)) && opens_current(&log, &recovery()));
    for gone in [3, 4] {
        assert!(!opens_current(&log, &device(gone)));
    }
    // Both keys of number 2 are readable by those who stay.
    assert_eq!(log.epoch_keys(&device(1)).unwrap().len(), 4);
}

// LOG-16
#[test]
fn the_only_device_cannot_be_removed_and_nobody_removes_himself() {
    let mut log = family(1);
    let alone = log.remove(&recovery(), &leaver(1), &mut rng(9)).unwrap_err();
    assert_eq!(alone, DraftError::Log(LogError::LastDevice));
    add(&mut log, 1, 2);
    let before = log.clone();
    assert_eq!(
        log.remove(&device(2), &leaver(2), &mut rng(9)).unwrap_err(),
        DraftError::Log(LogError::Shape)
    );
    assert_eq!(log, before);
}

// LOG-4: a rotation that shares the key with somebody else, or leaves somebody out, is none.
#[test]
fn a_new_epoch_is_wrapped_to_exactly_those_who_live() {
    let mut log = family(3);
    remove(&mut log, 1, 3);
    let mut forged = log.clone();
    let good = rotate(&mut forged, 1, 70);
    let sign_as_one = |change: &dyn Fn(&mut rotation::Rotation)| {
        let mut body = LogEntry::decode(&good).unwrap().body().clone();
        let Act::Epoch(rotation) = &mut body.act else { unreachable!() };
        change(rotation);
        let body = cbor::encode(&body);
        let author = device(1).sign(sign::LOG_ENTRY, &body);
        LogEntry::assemble(&body, Signatures { author, consent: None, access: None })
    };
    let to_three = crate::keys::wrap::wrap(
        &EpochKey::new(3, [1; 32]),
        &[0; 32],
        &device(3).public().hpke,
        &mut rng(1),
    );
    let to_three = to_three.unwrap();
    let also_three = |it: &mut rotation::Rotation| {
        it.wraps.push(to_three.clone());
        it.wraps.sort();
    };
    let cases: [&dyn Fn(&mut rotation::Rotation); 6] = [
        &also_three,
        &|it| _ = it.wraps.pop(),
        &|it| it.wraps.reverse(),
        &|it| it.number += 1,
        &|it| it.commitment = it.prior[0].commitment,
        &|it| it.prior[0].commitment = [1; 32],
    ];
    for (number, change) in cases.into_iter().enumerate() {
        assert_eq!(log.check(&sign_as_one(change)), Err(LogError::Shape), "case {number}");
    }
    assert!(log.check(&sign_as_one(&|_| {})).is_ok());
    let unsigned = LogEntry::decode(&good).unwrap();
    let body = cbor::encode(unsigned.body());
    let consented = Signatures { author: [0; 64], consent: Some([0; 64]), access: None };
    assert_eq!(log.check(&LogEntry::assemble(&body, consented)), Err(LogError::Shape));
}

/// What one of several copies of a log is made to do.
#[derive(Debug, Clone, Copy)]
pub(super) enum Step {
    Add { by: u8 },
    Remove { by: u8, whom: u8 },
    Undo { by: u8, whom: u8 },
    Rotate { by: u8 },
    Rename { by: u8, whom: u8 },
    Pull { from: usize },
}

pub(super) fn steps(devices: u8) -> impl Strategy<Value = Vec<(usize, Step)>> {
    let number = move || 1..=devices;
    let step = prop_oneof![
        2 => number().prop_map(|by| Step::Add { by }),
        3 => (number(), number()).prop_map(|(by, whom)| Step::Remove { by, whom }),
        1 => (number(), number()).prop_map(|(by, whom)| Step::Undo { by, whom }),
        1 => number().prop_map(|by| Step::Rotate { by }),
        1 => (number(), number()).prop_map(|(by, whom)| Step::Rename { by, whom }),
        3 => (0..3_usize).prop_map(|from| Step::Pull { from }),
    ];
    prop::collection::vec((0..3_usize, step), 1..18)
}

/// Runs steps on three copies of a vault. Whoever may not do something does not.
pub(super) fn run(
    vault: &DeviceLog,
    steps: &[(usize, Step)],
    may: impl Fn(u8) -> bool,
) -> Vec<DeviceLog> {
    let mut copies = vec![vault.clone(); 3];
    let mut next = 10;
    for (at, step) in steps {
        let log = &mut copies[*at];
        match *step {
            Step::Add { by } if may(by) => {
                next += 1;
                let draft = log.draft_add(&device(by), &newcomer(next), &mut rng(next));
                if let Ok(draft) = draft
                    && let Ok(consent) =
                        draft.consent(log, &device(next), (&label(next), Role::Owner))
                {
                    log.append_add(&draft, consent, &device(by)).unwrap();
                }
            }
            Step::Remove { by, whom } | Step::Undo { by, whom } if may(by) => {
                next += 1;
                let undo_removals = matches!(step, Step::Undo { .. });
                let leaver = Leaver { undo_removals, ..leaver(whom) };
                let _ = log.remove(&device(by), &leaver, &mut rng(next));
            }
            Step::Rotate { by } if may(by) => {
                next += 1;
                let _ = log.rotate(&device(by), NOW, &mut rng(next));
            }
            Step::Rename { by, whom } if may(by) => {
                next += 1;
                let _ = log.rename(&device(by), &called(whom, next), &mut rng(next));
            }
            Step::Pull { from } => {
                let other = copies[from].clone();
                copies[*at] = merged(&copies[*at], &other);
            }
            _ => {}
        }
    }
    copies
}

/// Removes the thief and whoever is there because of him, until nobody of them is.
fn rid_of<'p>(log: &DeviceLog, by: impl Into<Principal<'p>> + Copy, thief: u8) -> DeviceLog {
    let mut log = log.clone();
    for round in 0..40 {
        let there = |number: &u8| log.is_device(&device(*number).id());
        let there: Vec<u8> = std::iter::once(thief).chain(11..40).filter(there).collect();
        if there.is_empty() {
            break;
        }
        for number in there {
            let undo = Leaver { undo_removals: true, ..leaver(number) };
            let _ = log.remove(by, &undo, &mut rng(100 + round));
        }
    }
    log
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    // LOG-8, LOG-19, LOG-20
    #[test]
    fn whatever_is_done_apart_all_come_to_see_the_same(steps in steps(14)) {
        let copies = run(&family(4), &steps, |_| true);
        let mut all = merged(&merged(&copies[0], &copies[1]), &copies[2]);
        let other = merged(&copies[2], &merged(&copies[1], &copies[0]));
        prop_assert_eq!(view(&all), view(&other));
        prop_assert!(!living(&all).is_empty(), "somebody always stays");
        // Whoever lives can make a key that those who live have, and nobody else.
        let by = living(&all)[0];
        if all.is_epoch_due() {
            rotate(&mut all, by, 99);
        }
        for number in 1..=4_u8 {
            let id = device(number).id();
            prop_assert_eq!(opens_current(&all, &device(number)), all.is_device(&id));
        }
        prop_assert!(opens_current(&all, &recovery()));
    }

    // LOG-21
    #[test]
    fn no_acts_of_one_thief_keep_an_older_device_or_the_phrase_from_throwing_him_out(
        steps in steps(14),
        thief in 1..=4_u8,
    ) {
        // The thief's device and those that it took in act; the owner's copy is the last one.
        let copies = run(&family(4), &steps, |by| by == thief || by > 10);
        let mut log = merged(&merged(&copies[0], &copies[1]), &copies[2]);
        if thief > 1 {
            let owner = device(1);
            let by_owner = rid_of(&log, &owner, thief);
            prop_assert!(by_owner.is_device(&owner.id()));
            prop_assert!(!by_owner.is_device(&device(thief).id()));
        }
        log = rid_of(&log, &recovery(), thief);
        for number in 1..=4_u8 {
            prop_assert_eq!(log.is_device(&device(number).id()), number != thief);
        }
        // Nothing that he goes on doing without knowing of it counts.
        let mut late = merged(&copies[0], &copies[1]);
        if late.remove(&device(thief), &leaver(if thief == 2 { 3 } else { 2 }), &mut rng(96)).is_ok() {
            let after = merged(&log, &late);
            for number in 1..=4_u8 {
                prop_assert_eq!(after.is_device(&device(number).id()), number != thief);
            }
        }
    }
}

/// Device `new` with another receiving key than the usual one.
fn add_with_key(log: &mut DeviceLog, by: u8, new: u8, receive: u8) -> Vec<u8> {
    let keys = DeviceKeys::from_seeds([new; 32], [receive; 32]);
    let newcomer = Newcomer { device: keys.public(), ..newcomer(new) };
    let draft = log.draft_add(&device(by), &newcomer, &mut rng(receive)).unwrap();
    let consent = draft.consent(log, &keys, (&label(new), Role::Owner)).unwrap();
    log.append_add(&draft, consent, &device(by)).unwrap()
}

// LOG-19: whether a removal is valid does not depend on what its author never saw.
#[test]
fn a_device_with_two_receiving_keys_keeps_nobody_from_taking_a_removal() {
    for receive in [201, 202, 203, 204, 205, 206] {
        let mut seen = family(2);
        let mut unseen = seen.clone();
        add(&mut seen, 2, 9);
        let other = add_with_key(&mut unseen, 2, 9, receive);
        let removal = remove(&mut seen, 1, 2);
        let entries: Vec<Vec<u8>> = seen.entries().map(<[u8]>::to_vec).collect();
        let mut holder = unseen.clone();
        for entry in &entries {
            holder.merge(entry).unwrap();
        }
        assert!(holder.contains(&LogEntry::decode(&removal).unwrap().hash()));
        seen.merge(&other).unwrap();
        assert_eq!(view(&holder), view(&seen));
        assert_eq!(living(&seen), [1, 9]);
    }
}

// LOG-22: each layer doubles the ways in which its last device was taken in.
#[test]
fn no_log_takes_longer_than_its_length_to_judge() {
    let mut log = family(2);
    let before = log.clone();
    for layer in 0..60_u8 {
        let (by, new) = (if layer == 0 { 2 } else { 10 + layer - 1 }, 10 + layer);
        let mut apart = log.clone();
        add_with_key(&mut log, by, new, new.wrapping_add(100));
        let twin = add_with_key(&mut apart, by, new, new.wrapping_add(101));
        log.merge(&twin).unwrap();
    }
    let mut owner = before;
    remove(&mut owner, 1, 2);
    let all = merged(&owner, &log);
    assert_eq!(living(&all), [1], "nobody whom it took in meanwhile");
}

// LOG-17, LOG-21: however many devices the founder's thief has taken in.
#[test]
fn the_phrase_removes_a_founder_who_has_filled_the_log() {
    let mut log = family(1);
    let keys = |number: u8, kind: u8| {
        let (mut sign, mut receive) = ([number; 32], [number; 32]);
        (sign[0], receive[0]) = (kind, kind.wrapping_add(1));
        DeviceKeys::from_seeds(sign, receive)
    };
    for number in 0..u8::MAX {
        let new = keys(number, 0x90);
        let newcomer = Newcomer { device: new.public(), ..newcomer(number) };
        let draft = log.draft_add(&device(1), &newcomer, &mut rng(number)).unwrap();
        let consent = draft.consent(&log, &new, (&label(number), Role::Owner)).unwrap();
        log.append_add(&draft, consent, &device(1)).unwrap();
    }
    let fresh = keys(7, 0x80);
    let newcomer = Newcomer { device: fresh.public(), ..newcomer(250) };
    log.enrol(&recovery(), &fresh, &newcomer, &mut rng(250)).unwrap();
    log.remove(&recovery(), &leaver(1), &mut rng(251)).unwrap();
    assert!(!log.is_device(&device(1).id()) && log.is_device(&fresh.id()));
    if log.is_epoch_due() {
        log.rotate(&recovery(), NOW, &mut rng(252)).unwrap();
    }
    assert!(opens_current(&log, &fresh));
    assert!(!opens_current(&log, &device(1)));
}
