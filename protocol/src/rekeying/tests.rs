//! Which packs, in which order, how much at once and how often.

use proptest::prelude::*;

use super::*;

const MIB: u64 = 1024 * 1024;

fn root(seed: u32) -> ShardRoot {
    let mut bytes = [7; 32];
    bytes[..4].copy_from_slice(&seed.to_be_bytes());
    ShardRoot::from_bytes(bytes)
}

fn pack(number: u32, epoch: u32, class: PackClass, bond: Bond) -> SealedPack {
    SealedPack { root: root(number), bytes: 32 * MIB, epoch, class, number, bond }
}

fn numbers(packs: &[SealedPack]) -> Vec<u32> {
    packs.iter().map(|pack| pack.number).collect()
}

// REKEY-1, REKEY-2
#[test]
fn what_is_older_is_made_anew_own_metadata_first_and_what_nobody_can_replace_is_counted() {
    let (data, metadata) = (PackClass::Data, PackClass::Metadata);
    let plan = Plan::among(
        [
            pack(1, 1, metadata, Bond::Left),
            pack(9, 2, data, Bond::Own),
            pack(3, 1, data, Bond::Own),
            pack(4, 3, data, Bond::Own),
            pack(5, 4, metadata, Bond::Left),
            pack(6, 2, metadata, Bond::Own),
            pack(7, 1, metadata, Bond::Signed),
            pack(8, 1, data, Bond::Lost),
            pack(2, 2, data, Bond::Left),
        ],
        3,
    );
    assert_eq!(numbers(plan.packs()), [6, 3, 9, 1, 2]);
    assert_eq!(plan.behind, Amount { packs: 5, bytes: 160 * MIB });
    assert_eq!((plan.signed.packs, plan.lost.packs), (1, 1));
    assert!(!plan.packs()[2].is_kin(&plan.packs()[3]), "what was left goes into packs of its own");
    assert_eq!(Plan::among([pack(1, 3, data, Bond::Own)], 3), Plan::default(), "nothing to do");
}

// REKEY-4
#[test]
fn a_round_costs_no_more_than_the_budget_and_always_gets_on() {
    let many = (0..20).map(|number| pack(number, 1, PackClass::Data, Bond::Own));
    let plan = Plan::among(many, 2);
    let first = plan.round(&BTreeSet::new());
    assert_eq!(numbers(&first), [0, 1, 2, 3, 4, 5, 6, 7]);
    let done = first.iter().map(|pack| pack.root).collect();
    assert_eq!(plan.round(&done).first().map(|pack| pack.number), Some(8));
    let huge = SealedPack { bytes: REKEY_BYTES_MAX + 1, ..pack(0, 1, PackClass::Data, Bond::Own) };
    let plan = Plan::among([huge, pack(1, 1, PackClass::Data, Bond::Own)], 2);
    assert_eq!(numbers(&plan.round(&BTreeSet::new())), [0]);
}

// REKEY-5
#[test]
fn the_index_is_written_anew_a_bounded_number_of_times() {
    // A vault of 32 GiB: 64 commits of half a gibibyte each.
    let all: Vec<_> = (0..1024).map(|number| pack(number, 1, PackClass::Data, Bond::Own)).collect();
    let plan = Plan::among(all.clone(), 2);
    let moved = |packs: usize| all.iter().take(packs).map(|pack| pack.root).collect();
    assert!(!plan.is_commit_due(&moved(15), 0, true));
    assert!(plan.is_commit_due(&moved(16), 0, true));
    assert!(plan.is_commit_due(&moved(1), 0, false), "the rest");
    assert!(!plan.is_commit_due(&BTreeSet::new(), 0, false));
    // To the end: the share is of all of it, not of what is left.
    let all = (0..20_000).map(|number| pack(number, 1, PackClass::Data, Bond::Own));
    let mut left: Vec<_> = all.collect();
    let (mut moved, mut dropped_bytes, mut commits) = (BTreeSet::new(), 0, 0);
    while !left.is_empty() {
        let plan = Plan::among(left.clone(), 2);
        moved.extend(plan.round(&moved).iter().map(|pack| pack.root));
        let is_more = !plan.round(&moved).is_empty();
        if plan.is_commit_due(&moved, dropped_bytes, is_more) {
            let before = plan.behind.bytes;
            left.retain(|pack| !moved.contains(&pack.root));
            moved.clear();
            dropped_bytes += before - Plan::among(left.clone(), 2).behind.bytes;
            commits += 1;
        }
    }
    assert!(commits <= REKEY_COMMITS_MAX, "{commits}");
}

// REKEY-4
#[test]
fn the_next_round_waits_until_the_last_one_is_safe() {
    assert!(is_settled(0, (7, 7)));
    assert!(!is_settled(0, (8, 7)), "the head is not published");
    assert!(!is_settled(REKEY_BYTES_MAX, (7, 7)), "a holder is full, or away");
}

fn at(ms: u64) -> Instant {
    Instant::default().after_ms(ms)
}

fn machine() -> Rekeying {
    Rekeying::new(DeviceId::from_bytes([3; 32]))
}

fn order(machine: &mut Rekeying) -> OrderId {
    let Some(Output::Round { order }) = machine.poll_output() else {
        panic!("no round is ordered")
    };
    assert_eq!(machine.poll_output(), None);
    order
}

// REKEY-8
#[test]
fn nothing_is_done_and_no_clock_is_waited_for_while_nobody_has_asked() {
    let mut machine = machine();
    machine.handle_input(at(1_000_000), Input::TimePassed);
    machine.handle_input(at(1_000_000), Input::Settled);
    assert_eq!((machine.poll_output(), machine.poll_timeout()), (None, None));
}

// REKEY-4, REKEY-8
#[test]
fn it_begins_when_it_is_asked_for_and_rests_for_three_times_as_long_as_it_works() {
    let mut machine = machine();
    machine.handle_input(at(0), Input::Wanted { is_start: false });
    let first = order(&mut machine);
    machine.handle_input(at(20_000), Input::Ended { order: first, how: Ended::Moved });
    assert!(machine.is_settling());
    assert_eq!(machine.poll_timeout(), None);
    machine.handle_input(at(100_000), Input::Settled);
    assert_eq!(machine.poll_timeout(), Some(at(400_000)));
    machine.handle_input(at(399_999), Input::TimePassed);
    assert_eq!(machine.poll_output(), None);
    machine.handle_input(at(400_000), Input::TimePassed);
    let second = order(&mut machine);
    machine.handle_input(at(400_001), Input::Ended { order: first, how: Ended::Done });
    machine.handle_input(at(400_001), Input::Ended { order: second, how: Ended::Moved });
    machine.handle_input(at(400_002), Input::Settled);
    assert_eq!(
        machine.poll_timeout(),
        Some(at(400_002 + REKEY_REST_MS_MIN)),
        "a short one as well"
    );
    machine.handle_input(at(500_000), Input::TimePassed);
    let third = order(&mut machine);
    machine.handle_input(at(500_001), Input::Ended { order: third, how: Ended::Done });
    assert_eq!((machine.poll_output(), machine.poll_timeout()), (None, None), "over");
}

// REKEY-4
#[test]
fn to_wait_for_a_holder_is_no_work_and_no_rest_is_without_end() {
    let settling = || {
        let mut machine = machine();
        machine.handle_input(at(0), Input::Wanted { is_start: false });
        let first = order(&mut machine);
        machine.handle_input(at(20_000), Input::Ended { order: first, how: Ended::Moved });
        machine
    };
    let mut machine = settling();
    machine.handle_input(at(30_000), Input::Unsettled { is_held_up: false });
    let week = 30_000 + 7 * 86_400_000;
    machine.handle_input(at(week), Input::Unsettled { is_held_up: true });
    machine.handle_input(at(week + 10_000), Input::Settled);
    assert_eq!(machine.poll_timeout(), Some(at(week + 10_000 + 3 * 40_000)));
    let mut machine = settling();
    machine.handle_input(at(week), Input::Unsettled { is_held_up: false });
    machine.handle_input(at(week), Input::Settled);
    assert_eq!(machine.poll_timeout(), Some(at(week + REKEY_REST_MS_MAX)));
}

// REKEY-4, REKEY-6
#[test]
fn a_backup_goes_first_absent_holders_are_not_pressed_and_a_start_waits() {
    let mut machine = machine();
    machine.handle_input(at(0), Input::Wanted { is_start: true });
    assert_eq!(machine.poll_timeout(), Some(at(REKEY_FIRST_MS)));
    machine.handle_input(at(REKEY_FIRST_MS), Input::TimePassed);
    let first = order(&mut machine);
    machine.handle_input(at(70_000), Input::Ended { order: first, how: Ended::Busy });
    assert_eq!(machine.poll_timeout(), Some(at(70_000 + REKEY_BUSY_MS)));
    machine.handle_input(at(200_000), Input::TimePassed);
    let second = order(&mut machine);
    machine.handle_input(at(200_000), Input::Ended { order: second, how: Ended::Stuck });
    let again = machine.poll_timeout().unwrap();
    assert!((at(800_000)..at(950_000)).contains(&again));
    // Whoever asks once more does not wait.
    machine.handle_input(at(210_000), Input::Wanted { is_start: false });
    let third = order(&mut machine);
    machine.handle_input(at(210_000), Input::Wanted { is_start: false });
    assert_eq!(machine.poll_output(), None, "one round at a time");
    machine.handle_input(at(211_000), Input::Unwanted);
    machine.handle_input(at(212_000), Input::Ended { order: third, how: Ended::Moved });
    assert_eq!((machine.is_settling(), machine.poll_timeout()), (false, None));
}

fn any_pack() -> impl Strategy<Value = (u32, u64, bool, u8)> {
    (1..5_u32, 1..64 * MIB, any::<bool>(), 0..4_u8)
}

proptest! {
    // REKEY-1, REKEY-4, REKEY-5
    #[test]
    fn every_older_pack_is_taken_once_whatever_could_not_be_had_meanwhile(
        drawn in proptest::collection::vec(any_pack(), 0..60),
        up_to in 1..6_u32,
        absent in proptest::collection::vec(any::<bool>(), 60),
    ) {
        let packs: Vec<SealedPack> = (0..).zip(&drawn).map(|(number, (epoch, bytes, is_data, bond))| {
            let bond = match bond {
                0 => Bond::Own,
                1 => Bond::Left,
                2 => Bond::Signed,
                _ => Bond::Lost,
            };
            let class = if *is_data { PackClass::Data } else { PackClass::Metadata };
            SealedPack { bytes: *bytes, ..pack(number, *epoch, class, bond) }
        }).collect();
        let wanted: BTreeSet<ShardRoot> = packs
            .iter()
            .filter(|pack| pack.epoch < up_to && matches!(pack.bond, Bond::Own | Bond::Left))
            .map(|pack| pack.root)
            .collect();
        let (mut moved, mut dropped, mut unreachable) =
            (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        let (mut commits, mut is_home) = (0_u64, false);
        let all_bytes = Plan::among(packs.clone(), up_to).behind.bytes;
        loop {
            let left = packs.iter().filter(|pack| !dropped.contains(&pack.root)).copied();
            let plan = Plan::among(left, up_to);
            let round = plan.round(&moved.union(&unreachable).copied().collect());
            let bytes: u64 = round.iter().map(|pack| pack.bytes).sum();
            prop_assert!(bytes <= REKEY_BYTES_MAX || round.len() == 1);
            for pack in &round {
                prop_assert!(wanted.contains(&pack.root) && !moved.contains(&pack.root));
                let is_absent = absent.get(usize::try_from(pack.number).unwrap()) == Some(&true);
                if is_absent && !is_home {
                    unreachable.insert(pack.root);
                } else {
                    moved.insert(pack.root);
                }
            }
            let is_more = !plan.round(&moved.union(&unreachable).copied().collect()).is_empty();
            let dropped_bytes = all_bytes - plan.behind.bytes;
            if plan.is_commit_due(&moved, dropped_bytes, is_more) {
                commits += 1;
                dropped.append(&mut moved);
            } else if round.is_empty() {
                if unreachable.is_empty() {
                    break;
                }
                // The holders are back.
                is_home = true;
                unreachable.clear();
            }
        }
        prop_assert_eq!(dropped, wanted);
        prop_assert!(commits <= 2 + all_bytes / REKEY_BYTES_MAX);
    }
}
