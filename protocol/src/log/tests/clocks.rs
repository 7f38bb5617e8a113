//! Clocks that are years behind or ahead: they are shown to people, and decide nothing.

use super::{
    removal::{leaver, living, merged},
    *,
};

const YEAR: u64 = 365 * 86_400;

/// Any time that a clock may show: none, years behind, right, years ahead, the last one there is.
fn clock() -> impl Strategy<Value = Timestamp> {
    prop_oneof![
        Just(Timestamp(0)),
        Just(NOW),
        Just(Timestamp(u64::MAX)),
        (0..100 * YEAR).prop_map(Timestamp),
        any::<u64>().prop_map(Timestamp),
    ]
}

/// Clocks, one for each entry.
struct Clocks<'c>(std::iter::Cycle<std::slice::Iter<'c, Timestamp>>);

impl Clocks<'_> {
    fn next(&mut self) -> Timestamp {
        *self.0.next().expect("there is one")
    }

    fn add(&mut self, log: &mut DeviceLog, by: u8, new: u8) {
        let newcomer = Newcomer { time: self.next(), ..newcomer(new) };
        let draft = log.draft_add(&device(by), &newcomer, &mut rng(new)).unwrap();
        let consent = draft.consent(log, &device(new), (&label(new), Role::Owner)).unwrap();
        log.append_add(&draft, consent, &device(by)).unwrap();
    }

    fn remove(&mut self, log: &mut DeviceLog, by: u8, whom: u8, seed: u8) {
        let leaver = Leaver { time: self.next(), ..leaver(whom) };
        log.remove(&device(by), &leaver, &mut rng(seed)).unwrap();
    }

    fn rotate(&mut self, log: &mut DeviceLog, by: u8, seed: u8) {
        log.rotate(&device(by), self.next(), &mut rng(seed)).unwrap();
    }

    fn rename(&mut self, log: &mut DeviceLog, by: u8, whom: u8, name: u8) {
        let new = NewLabel { time: self.next(), ..called(whom, name) };
        log.rename(&device(by), &new, &mut rng(name)).unwrap();
    }
}

/// Device 3 of four is removed while it does all that it may, apart, by clocks of any kind; returns what each
/// side has.
fn apart(clocks: &[Timestamp]) -> (DeviceLog, DeviceLog) {
    let mut clocks = Clocks(clocks.iter().cycle());
    let (one, recovery, label) = (device(1), recovery(), label(1));
    let time = clocks.next();
    let founding = Founding { device: &one, recovery: &recovery, label: &label, time };
    let mut log = DeviceLog::found(&founding, &mut rng(1)).unwrap().log;
    for number in 1..=3 {
        clocks.add(&mut log, number, number + 1);
    }
    clocks.rename(&mut log, 3, 4, 40);
    clocks.rotate(&mut log, 2, 41);
    let (mut owner, mut thief) = (log.clone(), log);
    clocks.rename(&mut owner, 1, 2, 20);
    clocks.remove(&mut owner, 1, 3, 50);
    clocks.add(&mut owner, 2, 5);
    clocks.add(&mut thief, 3, 6);
    clocks.rename(&mut thief, 3, 2, 60);
    clocks.remove(&mut thief, 6, 4, 61);
    clocks.rotate(&mut thief, 3, 62);
    clocks.remove(&mut thief, 3, 1, 63);
    (owner, thief)
}

/// What is to be the same whatever the clocks showed: hashes aside, which name the entries.
fn outcome(log: &DeviceLog) -> impl PartialEq + std::fmt::Debug + use<> {
    let keys = log.epoch_keys(&device(1)).unwrap();
    let names = [1, 2, 4, 5].map(|number| log.label(&device(number).id(), &keys));
    let owners: Vec<DeviceId> = log.view.owners.iter().copied().collect();
    let epochs: Vec<EpochId> = log.view.epochs.iter().copied().collect();
    let removed: Vec<_> =
        log.removed().map(|(id, removed)| (id, removed.by, removed.last)).collect();
    (living(log), owners, removed, epochs, log.current_epoch(), names)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    // LOG-16, LOG-19, LOG-23
    #[test]
    fn no_clock_decides_who_lives_which_epoch_counts_or_what_anybody_is_called(
        clocks in prop::collection::vec(clock(), 1..18),
    ) {
        let (owner, thief) = apart(&clocks);
        let (all, turned) = (merged(&owner, &thief), merged(&thief, &owner));
        prop_assert_eq!(view(&all), view(&turned));
        prop_assert_eq!(living(&all), [1, 2, 4, 5]);
        let (owner, thief) = apart(&[NOW]);
        let (right, alone) = (merged(&owner, &thief), owner);
        prop_assert_eq!(outcome(&all), outcome(&right));
        prop_assert_eq!(outcome(&all), outcome(&alone), "what the thief did apart is void");
        prop_assert!(all.current_epoch().is_some());
        let copy = DeviceLog::from_entries(all.entries()).unwrap();
        prop_assert_eq!(view(&copy), view(&all));
    }
}
