//! What a new entry builds on where there is more than it can name.

use super::{
    handing::crowd,
    removal::{family, leaver, living, remove, rotate, with_accomplices},
    *,
};

// LOG-13: more branches than an entry has parents; the log still grows together.
#[test]
fn many_branches_grow_together_again() {
    let (base, _) = vault();
    let mut log = base.clone();
    for number in 2..=90 {
        let mut apart = base.clone();
        log.merge(&add(&mut apart, 1, number)).unwrap();
    }
    assert_eq!(log.heads().len(), LOG_PARENTS_MAX);
    // More of them live than one epoch builds on.
    let begun = log.clone().rotate_into_force(&device(1), NOW, &mut rng(200)).unwrap();
    let mut rotated = log.clone();
    begun.iter().for_each(|entry| _ = rotated.merge(entry).unwrap());
    assert!(begun.len() == 2 && rotated.current_epoch().is_some());
    // Device 90 can be an author only if its own branch is among the parents.
    add(&mut log, 90, 100);
    add(&mut log, 1, 101);
    assert_eq!(log.heads().len(), 1);
    assert_eq!(log.devices().count(), 92);
    let copy = DeviceLog::from_entries(log.entries()).unwrap();
    assert_eq!(view(&copy), view(&log));
}

/// Names by a device beside each other, as many as it may give, with the smallest hashes that it finds.
fn siblings(log: &DeviceLog, by: u8) -> Vec<Vec<u8>> {
    let mut found: Vec<(EntryHash, Vec<u8>)> = (0..240)
        .map(|number| {
            let bytes = log.clone().rename(&device(by), &called(by, number), &mut rng(number));
            let bytes = bytes.unwrap();
            (LogEntry::decode(&bytes).unwrap().hash(), bytes)
        })
        .collect();
    found.sort_unstable();
    found.into_iter().take(RENAMES_OF_DEVICE_MAX).map(|(_, bytes)| bytes).collect()
}

/// One log with what another one has: more of it than comes in by itself.
fn joined(one: &DeviceLog, other: &DeviceLog) -> DeviceLog {
    let mut log = one.clone();
    other.entries().for_each(|entry| _ = log.read_back(entry).unwrap());
    log
}

/// Device 1 throws out device 2 by an entry that is not among the first 64 heads, as hashes are sorted.
fn out_of_sight(log: &DeviceLog) -> DeviceLog {
    let tried = (60..).map(|seed| {
        let mut log = log.clone();
        log.remove(&device(1), &undoing(2), &mut rng(seed)).unwrap();
        log
    });
    let is_last = |log: &DeviceLog| {
        let removal = log.removal_of(&device(2).id()).map(|removed| removed.entry);
        removal.is_some_and(|removal| removal.as_bytes()[0] > 0x80)
    };
    tried.into_iter().find(is_last).unwrap()
}

fn undoing(number: u8) -> Leaver {
    Leaver { undo_removals: true, ..leaver(number) }
}

// LOG-35
#[test]
fn names_beside_each_other_keep_nobody_out_whose_removal_was_taken_back() {
    let before = family(3);
    let mut of_thief = before.clone();
    remove(&mut of_thief, 2, 3);
    remove(&mut of_thief, 2, 1);
    for name in siblings(&of_thief, 2) {
        of_thief.merge(&name).unwrap();
    }
    // The founder throws the thief out: it takes back what he did, whichever of both comes first.
    let (apart, after) = (out_of_sight(&before), out_of_sight(&of_thief));
    for log in [joined(&of_thief, &apart), joined(&apart, &of_thief), after] {
        assert_eq!(living(&log), [1, 3]);
        assert!(log.heads.len() > LOG_PARENTS_MAX);
        let removal = log.removal_of(&device(2).id()).unwrap().entry;
        assert!(!log.heads().contains(&removal), "it is not among the first of them");
        for author in [1, 3] {
            let mut log = log.clone();
            let named = log.rename(&device(author), &called(author, 99), &mut rng(99)).unwrap();
            assert!(log.counts(&LogEntry::decode(&named).unwrap().hash()));
            rotate(&mut log, author, 59);
            assert_eq!(log.heads.len(), 1, "the log grows together");
            assert!(log.current_epoch().is_some());
        }
    }
}

// LOG-35
#[test]
fn who_throws_out_and_who_is_thrown_out_are_known_whatever_else_there_is() {
    let before = family(3);
    let mut taken_in = before.clone();
    let addition = LogEntry::decode(&add(&mut taken_in, 1, 4)).unwrap().hash();
    let mut log = before.clone();
    for name in siblings(&before, 2) {
        log.merge(&name).unwrap();
    }
    let mut log = joined(&log, &taken_in);
    assert!(log.heads.len() > LOG_PARENTS_MAX && !log.heads().contains(&addition));
    let (mut by_it, mut by_phrase) = (log.clone(), log.clone());
    by_it.remove(&device(4), &leaver(2), &mut rng(60)).unwrap();
    by_phrase.remove(&recovery(), &leaver(4), &mut rng(61)).unwrap();
    assert_eq!((living(&by_it), living(&by_phrase)), (vec![1, 3, 4], vec![1, 2, 3]));
    // The same where something is taken back: what he who was taken in apart has removed.
    remove(&mut taken_in, 4, 3);
    log = joined(&log, &taken_in);
    log.remove(&device(1), &undoing(4), &mut rng(62)).unwrap();
    assert_eq!(living(&log), [1, 2, 3]);
}

// LOG-35, LOG-20: of many removals that take effect the one is built on without which another one would.
#[test]
fn removals_of_an_accomplice_beside_each_other_keep_nobody_out() {
    let mut before = with_accomplices();
    let mut log = before.clone();
    remove(&mut log, 9, 1);
    let out = log.clone();
    for seed in 100..170 {
        let of_this = out.clone().remove(&device(2), &leaver(8), &mut rng(seed)).unwrap();
        log.merge(&of_this).unwrap();
    }
    // Of a greater depth than those, so that it comes after them.
    (0..3).for_each(|number| _ = before.rename(&device(2), &called(2, number), &mut rng(1)));
    remove(&mut before, 2, 9);
    let mut log = joined(&log, &before);
    assert_eq!(living(&log), [1, 2]);
    for seed in 80..82 {
        let begun = rotate(&mut log, 1, seed);
        assert!(log.counts(&LogEntry::decode(&begun).unwrap().hash()));
    }
    assert!(log.current_epoch().is_some() && log.heads.len() == 1);
}

const ACCOMPLICES: std::ops::RangeInclusive<u8> = 100..=166;

/// A vault with more accomplices of device 2 than an entry has parents, and a removal of device 1 by each of them, apart.
fn accomplices() -> (DeviceLog, Vec<Vec<u8>>) {
    let mut log = family(2);
    ACCOMPLICES.for_each(|number| _ = add(&mut log, 2, number));
    let removals = ACCOMPLICES.map(|number| remove(&mut log.clone(), number, 1)).collect();
    (log, removals)
}

fn counts(log: &DeviceLog, entry: &[u8]) -> bool {
    log.counts(&LogEntry::decode(entry).unwrap().hash())
}

// LOG-35, LOG-21, LOG-34: more removals than can be named at once, each of which would bring back another one. What is written then builds on
// what was there before.
#[test]
fn whoever_removes_many_who_have_removed_an_older_device_is_thrown_out_by_it() {
    let (before, by_them) = accomplices();
    let mut log = before.clone();
    let mut loose = Vec::new();
    for (number, next) in ACCOMPLICES.zip(by_them.iter().cycle().skip(1)) {
        let mut apart = before.clone();
        apart.merge(next).unwrap();
        loose = rotate(&mut apart.clone(), number, 90);
        log.read_back(next).unwrap();
        log.read_back(&remove(&mut apart, 2, number)).unwrap();
    }
    log.read_back(&loose).unwrap();
    assert_eq!(living(&log), [1, 2]);
    assert!(!counts(&log, &loose));
    assert_eq!(
        log.tie_up(&device(1), NOW, &mut rng(79)).unwrap(),
        None,
        "no name is spent in vain"
    );
    let begun = rotate(&mut log, 1, 80);
    assert!(counts(&log, &begun));
    log.remove(&device(1), &undoing(2), &mut rng(81)).unwrap();
    assert!(!log.is_device(&device(2).id()));
}

// LOG-35, LOG-23
#[test]
fn a_new_name_speaks_whatever_else_there_is() {
    let before = family(2);
    let mut log = before.clone();
    (0..5).for_each(|number| _ = log.rename(&device(1), &called(2, number), &mut rng(number)));
    for seed in 0..70 {
        log.merge(&rotate(&mut before.clone(), 1, seed)).unwrap();
    }
    log.rename(&device(2), &called(2, 99), &mut rng(99)).unwrap();
    let keys = log.epoch_keys(&recovery()).unwrap();
    assert_eq!(log.label(&device(2).id(), &keys), Some(called(2, 99).label));
}

// LOG-32, LOG-20: where there is little room left the phrase's epoch is one with which is sealed.
#[test]
fn an_epoch_by_the_phrase_is_in_force_where_the_log_is_full() {
    let mut log = family(2);
    add(&mut log, 1, 3);
    crowd(&mut log);
    log.remove(&recovery(), &leaver(2), &mut rng(60)).unwrap();
    assert!(log.is_epoch_due(), "it builds on little, where device 3 is none");
    log.rotate(&recovery(), NOW, &mut rng(61)).unwrap();
    let current = log.current_epoch().unwrap();
    assert!(log.epoch_keys(&device(3)).unwrap().iter().any(|key| current.is_of(key)));
}

// LOG-35: of more tips than a head can name, it names those that say who lives and what it was sealed with.
#[test]
fn a_head_names_who_lives_and_the_epochs_that_count_before_what_is_void() {
    let before = family(3);
    let mut log = before.clone();
    remove(&mut log, 1, 2);
    for seed in 0..80 {
        let mut apart = before.clone();
        let void = rotate(&mut apart, 2, seed);
        log.read_back(&void).unwrap();
    }
    let tips = log.tips_beside_names();
    assert_eq!(tips.len(), LOG_PARENTS_MAX);
    let removal = log.removal_of(&device(2).id()).unwrap().entry;
    assert!(tips.contains(&removal), "the epoch that is sealed with began there");
}
