//! What is taken along with what builds on it: a thief does not split those who keep the log.

use super::{
    removal::{family, leaver, living, remove, rotate},
    *,
};
use crate::limits::{
    EPOCHS_OF_MEMBER_MAX, LOG_DEVICES_BACKED_MAX, LOG_EPOCHS_MAX, LOG_RESERVED, LOG_TRIALS_MAX,
    LOG_VOID_MAX, RENAMES_OF_DEVICE_MAX,
};

/// Sends all of one log to another, as a node does.
fn send(from: &DeviceLog, to: &mut DeviceLog) -> Waiting {
    let mut waiting = Waiting::default();
    let entries: Vec<&[u8]> = from.entries().collect();
    told(to, &entries, &mut waiting);
    waiting
}

/// One request, or one answer.
fn told(to: &mut DeviceLog, entries: &[&[u8]], waiting: &mut Waiting) -> Option<LogError> {
    let Takings { log, new, refused } = to.take(entries, waiting);
    assert_eq!(log.is_some(), !new.is_empty());
    if let Some(log) = log {
        assert_eq!(log.len(), to.len() + new.len());
        *to = log;
    }
    refused
}

/// Two owners and a member, device 3.
pub(in crate::log) fn household() -> DeviceLog {
    let mut log = family(2);
    add_as(&mut log, (1, 3), Role::Member);
    log
}

/// All that a device writes by itself until no more is taken.
pub(in crate::log) fn filled(before: &DeviceLog, thief: u8, seed: u8) -> DeviceLog {
    let (mut log, mut rng) = (before.clone(), rng(seed));
    while log.rotate(&device(thief), NOW, &mut rng).is_ok() {}
    while log.rename(&device(thief), &called(thief, seed), &mut rng).is_ok() {}
    log
}

/// Epochs that the thief of an owner begins: too many for two such lots to fit together.
fn begun(before: &DeviceLog, thief: u8, seed: u8, most: u8) -> DeviceLog {
    let mut log = before.clone();
    let good = rotate(&mut log.clone(), thief, seed);
    for count in 1..=most {
        let parents = log.heads();
        let number = log.next_epoch();
        let entry = signed(&good, thief, |body| {
            let Act::Epoch(rotation) = &mut body.act else { unreachable!("it is a rotation") };
            rotation.number = number;
            rotation.commitment = [seed; 32];
            rotation.commitment[0] = count;
            rotation.prior.clear();
            body.parents = parents;
        });
        log.merge(&entry).unwrap();
    }
    log
}

// LOG-33, LOG-29: to each half of the holders a member's thief has sent as much as it takes, and other things.
#[test]
fn what_an_owner_builds_on_is_taken_where_the_share_of_its_author_is_used_up() {
    let before = household();
    let (mut here, mut there) = (filled(&before, 3, 50), filled(&before, 3, 60));
    let share = before.len() + EPOCHS_OF_MEMBER_MAX + RENAMES_OF_DEVICE_MAX;
    assert_eq!((here.len(), there.len()), (share, share));
    // By itself none of it is taken, and nothing is lost.
    let waiting = send(&here, &mut there.clone());
    assert_eq!(waiting.reason(), Some(LogError::Full));
    assert_eq!(waiting.count(), share - before.len());
    assert_eq!(waiting.tips(), here.heads());
    // An owner on one side throws the thief out; another one takes in a device on the other side.
    here.remove(&device(2), &leaver(3), &mut rng(2)).unwrap();
    add(&mut there, 1, 4);
    let unchanged = there.clone();
    assert_eq!(send(&here, &mut there).reason(), None);
    assert_eq!(send(&unchanged, &mut here).reason(), None);
    for log in [&here, &there] {
        assert_eq!(living(log), [1, 2, 4]);
    }
    assert_eq!(view(&here), view(&there));
    // And whoever has slept until now, whichever he meets.
    let mut late = before;
    assert_eq!(send(&there, &mut late).reason(), None);
    assert_eq!(view(&late), view(&here));
}

// LOG-33: neither the author nor another member backs anything.
#[test]
fn what_only_members_build_on_waits_in_vain() {
    let mut before = household();
    add_as(&mut before, (1, 4), Role::Member);
    let (mut here, mut there) = (filled(&before, 3, 50), filled(&before, 3, 60));
    here.rename(&device(4), &called(4, 70), &mut rng(7)).unwrap();
    let unchanged = view(&there);
    let waiting = send(&here, &mut there);
    assert_eq!((waiting.reason(), view(&there)), (Some(LogError::Full), unchanged));
    // Once an owner has built on that as well, all of it comes.
    here.rename(&device(1), &called(1, 71), &mut rng(7)).unwrap();
    assert_eq!(send(&here, &mut there).reason(), None);
    assert!(here.entries().all(|entry| knows(&there, entry)));
}

// LOG-33: an owner's thief has used up what devices have together, apart and with other things.
#[test]
fn what_a_thief_has_done_elsewhere_is_void_where_an_owner_throws_him_out() {
    let mut before = family(2);
    add(&mut before, 1, 3);
    let (mut here, mut there) = (begun(&before, 2, 50, 120), begun(&before, 2, 60, 120));
    assert_eq!(send(&here, &mut there.clone()).reason(), Some(LogError::Full));
    // What somebody builds on it who does not throw him out is not enough: all of it would count.
    here.rename(&device(1), &called(1, 90), &mut rng(9)).unwrap();
    assert_eq!(send(&here, &mut there.clone()).reason(), Some(LogError::Full));
    here.remove(&device(1), &leaver(2), &mut rng(2)).unwrap();
    let unchanged = there.clone();
    assert_eq!(send(&here, &mut there).reason(), None);
    assert_eq!(living(&there), [1, 3]);
    // There is as much room as before on both sides, though here it does not matter what he did there.
    for count in 0..6 {
        rotate(&mut here, 1, 100 + count);
    }
    assert_eq!(send(&here, &mut there).reason(), None);
    send(&unchanged, &mut here);
    assert_eq!(living(&here), [1, 3]);
    assert_eq!(here.current_epoch(), there.current_epoch());
}

// LOG-33, LOG-21: the thief has the oldest device; the phrase is said at two nodes that have not heard of each other.
#[test]
fn what_the_phrase_builds_on_is_taken_where_that_of_all_devices_is_used_up() {
    let before = family(2);
    let mut logs = [50, 60, 70].map(|seed| begun(&before, 1, seed, 70));
    assert!(!logs[0].is_crowded());
    logs[0].remove(&recovery(), &leaver(1), &mut rng(3)).unwrap();
    add_by_phrase(&mut logs[1], 5);
    for (from, to) in [(0, 2), (1, 2), (0, 1), (1, 0)] {
        let sent = logs[from].clone();
        send(&sent, &mut logs[to]);
        assert!(logs[to].contains(&sent.order[sent.len() - 1]), "{from} to {to}");
    }
    // And devices go on everywhere, on whatever there is.
    for (seed, log) in (80..).zip(&mut logs) {
        assert_eq!(living(log), [2, 5]);
        rotate(log, 2, seed);
    }
    for (from, to) in [(0, 2), (1, 2), (2, 1), (2, 0)] {
        let sent = logs[from].clone();
        assert_eq!(send(&sent, &mut logs[to]).reason(), None, "{from} to {to}");
    }
    assert_eq!(view(&logs[0]), view(&logs[1]));
    assert_eq!(view(&logs[1]), view(&logs[2]));
}

// LOG-33: one that has been thrown out does not fill the log for all that.
#[test]
fn of_what_does_not_count_little_is_taken_by_itself() {
    let mut log = household();
    let mut thief = log.clone();
    remove(&mut log, 1, 2);
    let mut taken = 0;
    for seed in 0..=u8::try_from(LOG_VOID_MAX).unwrap() {
        let entry = thief.clone().rotate(&device(2), NOW, &mut rng(seed)).unwrap();
        thief.merge(&entry).unwrap();
        taken += usize::from(log.merge(&entry).is_ok());
    }
    assert_eq!(taken, LOG_VOID_MAX);
    // An owner that has not heard of it builds on that, and loses nothing.
    thief.rename(&device(1), &called(1, 40), &mut rng(1)).unwrap();
    assert_eq!(send(&thief, &mut log).reason(), None);
    assert_eq!(living(&log), [1, 3]);
}

// LOG-33, LOG-21: a thief uses up all that owners have together.
#[test]
fn an_owner_throws_out_whoever_has_used_up_everything() {
    let mut log = family(2);
    add(&mut log, 1, 3);
    log = filled(&log, 2, 50);
    let full = Err(LogError::Full.into());
    assert_eq!(log.rotate(&device(1), NOW, &mut rng(1)), full);
    assert!(
        matches!(log.remove(&device(1), &leaver(3), &mut rng(1)), Err(error) if error == LogError::Full.into())
    );
    remove(&mut log, 1, 2);
    assert_eq!(living(&log), [1, 3]);
    for seed in 200..205 {
        rotate(&mut log, 1, seed);
    }
    let mut elsewhere = filled(&family(2), 2, 60);
    assert_eq!(send(&log, &mut elsewhere).reason(), None);
    assert_eq!(living(&elsewhere), [1, 3]);
    assert_eq!(elsewhere.current_epoch(), log.current_epoch());
}

// LOG-33: an older owner throws out a younger one that was quicker where that one has told its own.
#[test]
fn who_was_thrown_out_by_a_younger_thief_comes_back_by_what_he_says_himself() {
    let before = family(2);
    let (mut here, mut there) = (begun(&before, 2, 50, 100), begun(&before, 2, 60, 100));
    remove(&mut there, 2, 1);
    assert_eq!(living(&there), [2]);
    remove(&mut here, 1, 2);
    assert_eq!(send(&here, &mut there).reason(), None);
    assert_eq!(living(&there), [1]);
}

// LOG-33: entries of a member and of owners by turns, as they come about by themselves.
#[test]
fn whoever_backs_again_and_again_is_taken_again_and_again() {
    let before = household();
    let (mut here, mut there) = (before.clone(), filled(&before, 3, 60));
    for turn in 0..10 {
        rotate(&mut here, 3, 100 + turn);
        rotate(&mut here, 1, 120 + turn);
    }
    assert_eq!(send(&here, &mut there).reason(), None);
    assert!(here.entries().all(|entry| knows(&there, entry)));
}

// LOG-33, LOG-25: whoever builds on nobody else has what he may have by himself.
#[test]
fn nobody_backs_himself_beyond_his_share() {
    let mut log = household();
    let mut rng = rng(9);
    while log.rename(&recovery(), &called(1, 30), &mut rng).is_ok() {}
    while log.rename(&device(1), &called(1, 31), &mut rng).is_ok() {}
    let (before, good) = (log.clone(), log.entries().last().unwrap().to_vec());
    let own = signed(&good, 1, |body| body.time = Timestamp(1));
    let by_phrase = {
        let mut body = LogEntry::decode(&good).unwrap().body().clone();
        body.author = Author::Recovery;
        let body = cbor::encode(&body);
        let author = recovery().sign(sign::LOG_ENTRY, &body);
        LogEntry::assemble(&body, Signatures { author, consent: None, access: None })
    };
    for entry in [own, by_phrase] {
        let refused = told(&mut log, &[&entry], &mut Waiting::default());
        assert_eq!((refused, log.len()), (Some(LogError::Full), before.len()));
    }
}

// LOG-33: strangers do not fill what waits.
#[test]
fn nothing_waits_that_a_stranger_has_signed() {
    let (log, mut waiting) = (household(), Waiting::default());
    let good = rotate(&mut log.clone(), 1, 5);
    let unknown = EntryHash::from_bytes([7; 32]);
    let stranger = signed(&good, 9, |body| {
        body.author = Author::Device(device(9).id());
        body.parents = vec![unknown];
    });
    let tell = |entry: &[u8], waiting: &mut Waiting| told(&mut log.clone(), &[entry], waiting);
    assert_eq!(tell(&stranger, &mut waiting), Some(LogError::Stranger));
    let early = signed(&good, 1, |body| body.parents = vec![unknown]);
    let mut forged = early.clone();
    *forged.last_mut().unwrap() ^= 1;
    assert_eq!(tell(&forged, &mut waiting), Some(LogError::Signature));
    assert_eq!(waiting.count(), 0);
    let reason = Some(LogError::UnknownParent { parent: unknown });
    assert_eq!(tell(&early, &mut waiting), reason);
    assert_eq!((waiting.count(), waiting.tips().len(), waiting.reason()), (1, 1, reason));
    // It is said of what was sent now, and not of what waits since earlier.
    assert_eq!(tell(log.entries().next().unwrap(), &mut waiting), None);
    // Whoever asks on is told no more than that in so many answers.
    assert!(waiting.is_worth_asking(false, 0) && !waiting.is_worth_asking(false, 1));
}

/// Whether somebody takes what a head of another one would name.
fn takes_head(log: &DeviceLog, of: &DeviceLog) -> bool {
    of.tips_beside_names().iter().all(|tip| log.contains(tip))
}

// LOG-34: a thief has shown a lot to a member alone, and another one to everybody else, before he was thrown out.
#[test]
fn what_a_member_has_of_one_who_is_out_is_taken_along_with_his_name() {
    let mut before = household();
    add(&mut before, 1, 4);
    let (mut here, there) = (begun(&before, 4, 50, 100), begun(&before, 4, 60, 100));
    let mut owners = there;
    remove(&mut owners, 1, 4);
    assert_eq!(send(&owners, &mut here).reason(), None);
    assert_eq!(living(&here), [1, 2, 3]);
    let waiting = send(&here, &mut owners.clone());
    assert_eq!(waiting.reason(), Some(LogError::Full));
    assert!(!takes_head(&owners, &here));
    // The member builds on it: once, and everybody has room.
    here.tie_up(&device(3), NOW, &mut rng(1)).unwrap().unwrap();
    assert_eq!(here.tie_up(&device(3), NOW, &mut rng(2)).unwrap(), None);
    assert_eq!(send(&here, &mut owners).reason(), None);
    assert!(takes_head(&owners, &here) && takes_head(&here, &owners));
    assert_eq!(owners.tie_up(&device(1), NOW, &mut rng(3)).unwrap(), None, "it was built on");
    assert_eq!(view(&here), view(&owners));
    // As much room as before is left to owners.
    for seed in 100..110 {
        rotate(&mut owners, 2, seed);
    }
    // Where so much of him is there even a little more has no room by itself.
    let mut little = before.clone();
    rotate(&mut little, 4, 200);
    send(&owners, &mut little);
    assert_eq!(send(&little, &mut owners.clone()).reason(), Some(LogError::Full));
    little.tie_up(&device(2), NOW, &mut rng(4)).unwrap().unwrap();
    assert_eq!(send(&little, &mut owners).reason(), None);
    assert!(takes_head(&owners, &little));
    // Half of its names are for people.
    let mut tried = owners.clone();
    let mut ties = 0;
    for seed in 0..u8::try_from(RENAMES_OF_DEVICE_MAX).unwrap() {
        let mut apart = before.clone();
        let entry = rotate(&mut apart, 4, 100 + seed);
        // Taken as one does that had it before.
        tried.read_back(&entry).unwrap();
        ties += usize::from(tried.tie_up(&device(2), NOW, &mut rng(seed)).unwrap().is_some());
    }
    // One of them was used up above.
    assert_eq!(ties, RENAMES_OF_DEVICE_MAX / 2 - 1);
    // Nothing is tied up where all counts, nor by whoever is out.
    assert_eq!(before.tie_up(&device(3), NOW, &mut rng(5)).unwrap(), None);
    let mut out = begun(&before, 4, 90, 2);
    remove(&mut before, 1, 4);
    send(&before, &mut out);
    assert_eq!(out.tie_up(&device(4), NOW, &mut rng(6)).unwrap(), None);
}

// LOG-34, LOG-29: what counts is not taken along with a member's word beyond what there is for its author, nor so much that
// owners have no room.
#[test]
fn a_member_has_nothing_taken_that_counts_nor_all_room_there_is() {
    let mut before = household();
    add(&mut before, 1, 4);
    let (mut here, there) = (begun(&before, 4, 50, 100), begun(&before, 4, 60, 100));
    // Device 4 lives here.
    here.rename(&device(3), &called(3, 70), &mut rng(7)).unwrap();
    assert_eq!(send(&here, &mut there.clone()).reason(), Some(LogError::Full));
    // It does not any more, and there are three lots.
    let mut owners = there;
    remove(&mut owners, 1, 4);
    assert_eq!(send(&here, &mut owners).reason(), None);
    let mut third = begun(&before, 4, 80, 100);
    send(&owners, &mut third);
    assert_eq!(living(&third), [1, 2, 3]);
    third.tie_up(&device(3), NOW, &mut rng(8)).unwrap().unwrap();
    let unchanged = owners.len();
    assert_eq!(send(&third, &mut owners).reason(), Some(LogError::Full));
    assert_eq!(owners.len(), unchanged);
    rotate(&mut owners, 1, 90);
    // An owner's word is enough for that many.
    third.rename(&device(2), &called(2, 71), &mut rng(9)).unwrap();
    assert_eq!(send(&third, &mut owners).reason(), None);
    assert!(takes_head(&owners, &third));
}

// LOG-33, LOG-20: what a head names leads to every key, also one that does not count any more.
#[test]
fn a_head_names_all_but_names() {
    let mut log = household();
    let before = log.tips_beside_names();
    assert_eq!(before, log.heads());
    log.rename(&device(3), &called(3, 30), &mut rng(1)).unwrap();
    assert_eq!(log.tips_beside_names(), before);
    let mut apart = log.clone();
    rotate(&mut log, 1, 5);
    assert_eq!(log.tips_beside_names(), log.heads());
    apart.rotate(&device(2), NOW, &mut rng(6)).unwrap();
    remove(&mut log, 1, 2);
    let void = apart.heads();
    send(&apart, &mut log);
    assert_eq!(log.heads().len(), 2);
    assert!(log.tips_beside_names().contains(&void[0]), "somebody may have sealed with its key");
}

fn knows(log: &DeviceLog, entry: &[u8]) -> bool {
    log.contains(&LogEntry::decode(entry).unwrap().hash())
}

fn add_by_phrase(log: &mut DeviceLog, number: u8) {
    log.enrol(&recovery(), &device(number), &newcomer(number), &mut rng(number)).unwrap();
}

// LOG-33, LOG-8: what was taken is read back in whatever order it is found.
#[test]
fn what_was_taken_along_is_read_back_in_any_order() {
    let before = household();
    let (mut here, mut there) = (filled(&before, 3, 50), filled(&before, 3, 60));
    here.remove(&device(2), &leaver(3), &mut rng(2)).unwrap();
    send(&here, &mut there);
    let mut left: Vec<&[u8]> = there.entries().skip(1).collect();
    left.sort_unstable();
    let mut copy = DeviceLog::begin(there.entries().next().unwrap()).unwrap();
    while !left.is_empty() {
        let count = left.len();
        left.retain(|entry| copy.read_back(entry).is_err());
        assert!(left.len() < count, "all that was taken is read back");
    }
    assert_eq!(view(&copy), view(&there));
    // And as much fits there as before.
    for log in [&mut copy, &mut there] {
        let mut renames = 0;
        while log.rename(&device(1), &called(1, 80), &mut rng(9)).is_ok() {
            renames += 1;
        }
        assert_eq!(renames, RENAMES_OF_DEVICE_MAX);
    }
}

// LOG-33: an owner's thief has much tried in vain, before an owner and the phrase say a word.
#[test]
fn whoever_has_much_tried_in_vain_does_not_use_up_what_others_have() {
    let mut before = family(2);
    for accomplice in 3..30 {
        add(&mut before, 2, accomplice);
    }
    let there = begun(&before, 2, 60, 128);
    let mut here = begun(&before, 2, 50, 120);
    let good = here.clone().rename(&device(3), &called(3, 100), &mut rng(9)).unwrap();
    for accomplice in 3..30 {
        // Each for itself, on what the thief wrote.
        let own = |body: &mut EntryBody| {
            body.author = Author::Device(device(accomplice).id());
            let Act::Rename(renaming) = &mut body.act else { unreachable!("it is a rename") };
            renaming.device = device(accomplice).id();
        };
        for time in 0..u64::try_from(LOG_TRIALS_MAX).unwrap() {
            here.merge(&signed(&good, accomplice, |body| {
                own(body);
                body.time = Timestamp(time);
            }))
            .unwrap();
        }
    }
    let unchanged = view(&there);
    let (mut waiting, mut elsewhere) = (Waiting::default(), there.clone());
    for _ in 0..3 {
        let entries: Vec<&[u8]> = here.entries().collect();
        assert_eq!(told(&mut elsewhere, &entries, &mut waiting), Some(LogError::Full));
    }
    assert_eq!(view(&elsewhere), unchanged);
    // Whoever was there before them is heard before them, also after others of his own entries.
    for name in 0..6 {
        here.rename(&device(1), &called(1, 100 + name), &mut rng(name)).unwrap();
    }
    remove(&mut here, 1, 2);
    assert_eq!(send(&here, &mut there.clone()).reason(), None);
    assert!(send(&here, &mut there.clone()).count() == 0);
    here.remove(&recovery(), &leaver(3), &mut rng(3)).unwrap();
    let entries: Vec<&[u8]> = here.entries().collect();
    assert_eq!(told(&mut elsewhere, &entries, &mut waiting), None);
    assert!(!elsewhere.is_device(&device(3).id()));
}

// LOG-33, LOG-15: a thief takes in one accomplice after the other, has it write what there is room for, and throws it out.
#[test]
fn whatever_is_thrown_out_epochs_and_devices_are_bounded_and_the_phrase_has_room() {
    let mut log = family(1);
    for accomplice in 10..20 {
        add(&mut log, 1, accomplice);
    }
    let apart = log.clone();
    for accomplice in 10..20 {
        remove(&mut log, 1, accomplice);
    }
    for accomplice in 10..20 {
        for number in 0..80 {
            // What does not count, of devices of which nobody has heard.
            let mut apart = apart.clone();
            let number = u16::from(accomplice) * 100 + number;
            let entry = add_numbered(&mut apart, accomplice, number).unwrap();
            let _full = log.merge(&entry);
        }
    }
    assert_eq!(log.devices.len(), LOG_DEVICES_BACKED_MAX - LOG_RESERVED);
    for number in 5000..5000 + u16::try_from(LOG_RESERVED).unwrap() {
        enrol_numbered(&mut log, number).unwrap();
    }
    assert_eq!(log.devices.len(), LOG_DEVICES_BACKED_MAX);
    // And epochs.
    let mut log = family(1);
    for accomplice in 10..15 {
        add(&mut log, 1, accomplice);
        log = begun(&log, accomplice, accomplice, 60);
        remove(&mut log, 1, accomplice);
    }
    let mut rng = rng(9);
    while log.rotate(&device(1), NOW, &mut rng).is_ok() {}
    let begun: usize = log.epochs.values().map(BTreeSet::len).sum();
    assert_eq!(begun, LOG_EPOCHS_MAX);
    assert!(log.is_crowded());
    enrol_numbered(&mut log, 6000).unwrap();
    log.remove(&recovery(), &leaver(1), &mut rng).unwrap();
    assert_eq!(log.devices().count(), 1);
}
