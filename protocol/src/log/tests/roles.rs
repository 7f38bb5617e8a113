//! What a member may not do, whatever it tries.

use super::{
    removal::{Step, family, leaver, living, merged, remove, rotate, run, steps},
    *,
};
use crate::limits::EPOCHS_OF_MEMBER_MAX;

/// Devices 1 and 2 are owners, device 3 is a member, and device 4 an owner whom device 2 took in.
fn household() -> DeviceLog {
    let mut log = family(2);
    add_as(&mut log, (1, 3), Role::Member);
    add(&mut log, 2, 4);
    log
}

fn role(log: &DeviceLog, number: u8) -> Role {
    log.device(&device(number).id()).unwrap().role
}

// LOG-26
#[test]
fn the_founder_and_whoever_the_phrase_or_an_owner_takes_in_without_a_word_are_owners() {
    let mut log = household();
    log.enrol(&recovery(), &device(5), &newcomer(5), &mut rng(5)).unwrap();
    let roles: Vec<Role> = (1..=5).map(|number| role(&log, number)).collect();
    assert_eq!(roles, [Role::Owner, Role::Owner, Role::Member, Role::Owner, Role::Owner]);
    let copy = DeviceLog::from_entries(log.entries()).unwrap();
    assert_eq!(view(&copy), view(&log));
}

// LOG-26
#[test]
fn an_owner_is_not_written_down_and_other_roles_are_none() {
    let (log, _) = vault();
    let good = add_as(&mut log.clone(), (1, 2), Role::Member);
    assert!(log.check(&said_role(&good, 1)).is_ok());
    let not_canonical = Err(LogError::Decode(DecodeError::NotCanonical));
    assert_eq!(log.check(&said_role(&good, 0)), not_canonical);
    let malformed = Err(LogError::Decode(DecodeError::Malformed));
    assert_eq!(log.check(&said_role(&good, 2)), malformed);
    let as_owner = add(&mut log.clone(), 1, 2);
    assert_eq!(as_owner.len() + 2, good.len(), "key 3 and the number");
    // Whoever has the phrase takes in an owner.
    let newcomer = Newcomer { role: Role::Member, ..newcomer(5) };
    let refused = log.clone().enrol(&recovery(), &device(5), &newcomer, &mut rng(5));
    assert_eq!(refused, Err(LogError::Shape.into()));
}

// LOG-26
#[test]
fn the_joining_device_consents_to_the_role_that_it_was_told() {
    let (log, _) = vault();
    for (told, given) in [(Role::Owner, Role::Member), (Role::Member, Role::Owner)] {
        let newcomer = Newcomer { role: given, ..newcomer(2) };
        let draft = log.draft_add(&device(1), &newcomer, &mut rng(2)).unwrap();
        let refused = draft.consent(&log, &device(2), (&label(2), told));
        assert_eq!(refused, Err(DraftError::Role));
        assert!(draft.consent(&log, &device(2), (&label(2), given)).is_ok());
    }
}

// LOG-27
#[test]
fn a_member_reads_begins_an_epoch_and_names_itself_and_nothing_else() {
    let mut log = household();
    assert!(log.epoch_keys(&device(3)).is_ok());
    let not_owner = DraftError::Log(LogError::NotOwner);
    let refused = log.draft_add(&device(3), &newcomer(9), &mut rng(9)).unwrap_err();
    assert_eq!(refused, not_owner);
    assert_eq!(log.remove(&device(3), &leaver(4), &mut rng(9)).unwrap_err(), not_owner);
    let refused = log.rename(&device(3), &called(1, 9), &mut rng(9)).unwrap_err();
    assert_eq!(refused, not_owner);
    // After a removal as well, where who lives is judged anew.
    remove(&mut log, 1, 4);
    assert_eq!(log.remove(&device(3), &leaver(2), &mut rng(9)).unwrap_err(), not_owner);
    let refused = log.draft_add(&device(3), &newcomer(9), &mut rng(9)).unwrap_err();
    assert_eq!(refused, not_owner);
    rotate(&mut log, 3, 30);
    log.rename(&device(3), &called(3, 33), &mut rng(9)).unwrap();
    let keys = log.epoch_keys(&device(1)).unwrap();
    assert_eq!(log.label(&device(3).id(), &keys), Some(label(33)));
    assert_eq!(log.current_epoch().unwrap().number, 3);
    // An owner names it and throws it out.
    log.rename(&device(2), &called(3, 34), &mut rng(9)).unwrap();
    assert_eq!(log.label(&device(3).id(), &keys), Some(label(34)));
    remove(&mut log, 2, 3);
    assert_eq!(living(&log), [1, 2]);
}

/// An epoch of a member with rubbish in the wraps that `spoils` says, as one with a changed program could write it.
fn spoilt_epoch(log: &mut DeviceLog, member: u8, spoils: impl Fn(&[u8; 32]) -> bool) {
    let mut copy = log.clone();
    let honest = copy.rotate(&device(member), NOW, &mut rng(77)).unwrap();
    let mut body = LogEntry::decode(&honest).unwrap().body().clone();
    let Act::Epoch(rotation) = &mut body.act else { panic!() };
    for wrap in rotation.wraps.iter_mut().filter(|wrap| spoils(&wrap.to)) {
        wrap.sealed[0] ^= 1;
    }
    let body = cbor::encode(&body);
    let author = device(member).sign(sign::LOG_ENTRY, &body);
    let signatures = Signatures { author, consent: None, access: None };
    log.merge(&LogEntry::assemble(&body, signatures)).unwrap();
}

// LOG-30: a thief who begins an epoch whose key nobody gets.
#[test]
fn an_epoch_that_nobody_can_open_keeps_nobody_out_and_is_sealed_with_by_nobody() {
    let mut log = household();
    spoilt_epoch(&mut log, 3, |_| true);
    let keys = |log: &DeviceLog, number: u8| log.epoch_keys(&device(number)).unwrap();
    for number in [1, 2, 4] {
        assert!(log.needs_epoch(&device(number).id(), &keys(&log, number)));
    }
    // The phrase takes in a device, and an owner another one, before anybody has begun a new epoch and after.
    let mut recovered = log.clone();
    recovered.enrol(&recovery(), &device(7), &newcomer(7), &mut rng(7)).unwrap();
    assert!(recovered.needs_epoch(&device(7).id(), &keys(&recovered, 7)));
    for log in [&mut recovered, &mut log] {
        add(log, 1, 8);
        rotate(log, 1, 50);
        for number in [1, 2, 3, 4, 8] {
            let keys = keys(log, number);
            assert!(!log.needs_epoch(&device(number).id(), &keys), "{number}");
            assert!(log.current_epoch().is_some_and(|id| keys.iter().any(|key| id.is_of(key))));
        }
        remove(log, 1, 3);
        assert!(!log.is_device(&device(3).id()));
        log.enrol(&recovery(), &device(9), &newcomer(9), &mut rng(9)).unwrap();
    }
}

// LOG-30: a thief who keeps the key of an epoch from the phrase alone.
#[test]
fn what_a_member_keeps_from_the_phrase_an_owner_gives_it() {
    let mut log = household();
    let phrase = recovery().public().hpke;
    spoilt_epoch(&mut log, 3, |to| *to == phrase);
    let spoilt = log.current_epoch().unwrap();
    let opens = |log: &DeviceLog| {
        let keys = log.epoch_keys(&recovery()).unwrap();
        keys.iter().any(|key| spoilt.is_of(key))
    };
    assert!(!opens(&log));
    let keys = |log: &DeviceLog, number: u8| log.epoch_keys(&device(number)).unwrap();
    assert!(!log.needs_epoch(&device(3).id(), &keys(&log, 3)), "members go by it");
    assert!(log.needs_epoch(&device(1).id(), &keys(&log, 1)), "owners do not");
    rotate(&mut log, 1, 51);
    assert!(!log.needs_epoch(&device(1).id(), &keys(&log, 1)));
    assert!(opens(&log), "what was sealed with it meanwhile is read by the phrase");
}

// LOG-29: a thief who begins one epoch after the other, to use up those with which he is removed.
#[test]
fn a_member_does_not_use_up_the_epochs() {
    let mut log = household();
    for number in 0..EPOCHS_OF_MEMBER_MAX {
        rotate(&mut log, 3, 100 + u8::try_from(number).unwrap());
    }
    let full = Err(LogError::Full.into());
    assert_eq!(log.rotate(&device(3), NOW, &mut rng(99)), full);
    rotate(&mut log, 4, 98);
    remove(&mut log, 1, 3);
    assert_eq!(living(&log), [1, 2, 4]);
    let copy = DeviceLog::from_entries(log.entries()).unwrap();
    assert_eq!(view(&copy), view(&log));
}

// LOG-28
#[test]
fn a_role_by_an_entry_that_does_not_count_is_none() {
    let log = household();
    let (mut owner, mut thief) = (log.clone(), log.clone());
    // Owner 4 is a thief, and takes device 9, a member already, in as an owner.
    add_as(&mut owner, (1, 9), Role::Member);
    let mut apart = thief.clone();
    add(&mut apart, 4, 9);
    thief = merged(&owner, &apart);
    assert_eq!(role(&thief, 9), Role::Owner, "what one owner gave another one does not take");
    remove(&mut thief, 9, 2);
    remove(&mut owner, 1, 4);
    for all in [merged(&owner, &thief), merged(&thief, &owner)] {
        assert_eq!(living(&all), [1, 2, 3, 9]);
        assert_eq!(role(&all, 9), Role::Member);
        assert!(all.removal_of(&device(2).id()).is_none());
    }
}

// LOG-28
#[test]
fn only_members_may_be_left_and_the_phrase_takes_an_owner_in() {
    let (mut log, _) = vault();
    add_as(&mut log, (1, 2), Role::Member);
    log.remove(&recovery(), &leaver(1), &mut rng(9)).unwrap();
    assert_eq!(living(&log), [2]);
    assert!(log.draft_add(&device(2), &newcomer(3), &mut rng(3)).is_err());
    log.enrol(&recovery(), &device(4), &newcomer(4), &mut rng(4)).unwrap();
    add(&mut log, 4, 5);
    assert_eq!(living(&log), [2, 4, 5]);
}

/// What a thief with a member's key sends besides: whatever owners could write, in his name, on a log
/// where he chose what to build on.
fn forged(log: &DeviceLog, thief: u8, seed: u8) -> Vec<(u8, Vec<u8>)> {
    let by_thief = |body: &mut EntryBody| body.author = Author::Device(device(thief).id());
    let new = seed.wrapping_add(60);
    let mut made = Vec::new();
    for owner in (1..=4).filter(|owner| *owner != thief && log.is_owner(&device(*owner).id())) {
        for role in [Role::Owner, Role::Member] {
            if !log.knows(&device(new).id()) {
                let entry = add_as(&mut log.clone(), (owner, new), role);
                made.push((new, resigned(&entry, thief, new, by_thief)));
            }
        }
        for whom in 1..=4 {
            let leaver = leaver(whom);
            if let Ok(entry) = log.clone().remove(&device(owner), &leaver, &mut rng(seed)) {
                made.push((whom, signed(&entry, thief, by_thief)));
            }
            let renamed = log.clone().rename(&device(owner), &called(whom, seed), &mut rng(seed));
            if let Ok(entry) = renamed {
                made.push((whom, signed(&entry, thief, by_thief)));
            }
        }
    }
    made
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    // LOG-29
    #[test]
    fn no_acts_by_the_key_of_a_member_add_remove_or_rename_anybody_else(
        steps in steps(14),
        seed in 1..100_u8,
    ) {
        let before = household();
        let copies = run(&before, &steps, |by| by == 3 || by > 10);
        let keys = before.epoch_keys(&recovery()).unwrap();
        let names = |log: &DeviceLog| -> Vec<_> {
            let devices = log.all_devices().filter(|it| it.public.id != device(3).id());
            devices.map(|it| (it.public.id, it.role, log.label(&it.public.id, &keys))).collect()
        };
        for copy in &copies {
            for (whom, entry) in forged(copy, 3, seed) {
                // It may well name itself.
                let taken = copy.check(&entry);
                let itself = whom == 3 && taken.is_ok();
                prop_assert!(itself || matches!(taken, Err(LogError::NotOwner | LogError::Shape | LogError::Full)), "{taken:?}");
            }
        }
        let all = merged(&merged(&copies[0], &copies[1]), &copies[2]);
        prop_assert_eq!(living(&all), living(&before));
        prop_assert!(!all.has_removals());
        prop_assert_eq!(names(&all), names(&before));
        // Nor does it keep anybody from throwing it out.
        for by in [1, 2, 4] {
            let mut log = all.clone();
            remove(&mut log, by, 3);
            let late = merged(&log, &merged(&copies[2], &all));
            prop_assert_eq!(living(&late), [1, 2, 4]);
        }
    }

    // LOG-27, LOG-29: among the acts of all others too.
    #[test]
    fn whatever_owners_do_a_member_writes_nothing_but_epochs_and_its_own_name(
        steps in steps(14),
    ) {
        let copies = run(&household(), &steps, |_| true);
        let all = merged(&merged(&copies[0], &copies[1]), &copies[2]);
        let turned = merged(&copies[2], &merged(&copies[1], &copies[0]));
        prop_assert_eq!(view(&all), view(&turned));
        let member = device(3).id();
        for bytes in all.entries() {
            let entry = LogEntry::decode(bytes).unwrap();
            let is_its = entry.body().author == Author::Device(member);
            let may = matches!(entry.deed(), Deed::BeganEpoch(_)) || entry.deed() == Deed::Renamed(member);
            prop_assert!(!is_its || may, "{:?}", entry.deed());
        }
        let is_used = steps.iter().any(|(_, step)| matches!(step, Step::Rename { .. }));
        prop_assert!(is_used || all.renames == Default::default());
    }
}
