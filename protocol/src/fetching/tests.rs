//! The fetching machine alone: a world of one function per fact.

use super::*;
use crate::limits::{GROUP_BYTES, STRIPE_BYTES, STRIPE_STALL_MS_MAX};

const MIB: u64 = 1024 * 1024;

fn holder(seed: u8) -> DeviceId {
    DeviceId::from_bytes([seed; 32])
}

fn shard(seed: u8, bytes: u64) -> ShardRef {
    ShardRef { root: ShardRoot::from_bytes([seed; 32]), bytes }
}

fn at(ms: u64) -> Instant {
    Instant(0).after_ms(ms)
}

fn whole(shard: ShardRef) -> Ranges {
    Ranges::of(ByteRange::new(0, shard.bytes))
}

struct Driven {
    machine: Fetching,
    stripes: BTreeMap<OrderId, (DeviceId, ShardRoot, ByteRange)>,
    said: Vec<Output>,
}

impl Driven {
    fn new(holders: &[u8]) -> Self {
        let mut driven =
            Self { machine: Fetching::new(), stripes: BTreeMap::new(), said: Vec::new() };
        for seed in holders {
            driven.give(0, Input::HolderUp { holder: holder(*seed) });
        }
        driven
    }

    fn give(&mut self, ms: u64, input: Input) {
        self.machine.handle_input(at(ms), input);
        while let Some(output) = self.machine.poll_output() {
            match output {
                Output::FetchStripe { order, holder, shard, range } => {
                    self.stripes.insert(order, (holder, shard.root, range));
                }
                Output::CancelStripe { order } => {
                    self.stripes.remove(&order);
                }
                other => self.said.push(other),
            }
        }
    }

    fn want(&mut self, shard: ShardRef, priority: u8) {
        let (ranges, present) = (whole(shard), Ranges::default());
        self.give(0, Input::Want { shard, ranges, present, priority });
    }

    fn of(&self, seed: u8) -> Vec<OrderId> {
        let of = self.stripes.iter().filter(|(_, (by, ..))| *by == holder(seed));
        of.map(|(order, _)| *order).collect()
    }

    fn done(&mut self, ms: u64, order: OrderId) {
        self.stripes.remove(&order);
        self.give(ms, Input::StripeDone { order });
    }

    fn fail(&mut self, ms: u64, order: OrderId, failure: StripeFailure) {
        self.stripes.remove(&order);
        self.give(ms, Input::StripeFailed { order, failure });
    }
}

// RESTORE-8, RESTORE-9
#[test]
fn wrong_bytes_are_blamed_what_came_before_is_kept_and_the_rest_goes_elsewhere() {
    let mut driven = Driven::new(&[1, 2]);
    let wanted = shard(9, 2 * MIB);
    driven.want(wanted, 0);
    let (liar, order) = {
        let (order, (by, _, range)) = driven.stripes.iter().next().unwrap();
        assert_eq!(range.start, 0);
        (*by, *order)
    };
    let bytes = 3 * GROUP_BYTES;
    driven.give(10, Input::StripeProgressed { order, bytes });
    driven.fail(20, order, StripeFailure::WrongBytes);
    let root = wanted.root;
    assert_eq!(driven.said, [Output::Blame { holder: liar, fault: Fault::WrongBytes, root }]);
    assert!(driven.stripes.values().all(|(by, ..)| *by != liar));
    let first = driven.stripes.values().map(|(_, _, range)| range.start).min();
    assert_eq!(first, Some(bytes));
    // It comes back as if nothing had happened: still nothing is asked of it.
    driven.give(30, Input::HolderDown { holder: liar });
    driven.give(40, Input::HolderUp { holder: liar });
    while let Some(order) = driven.stripes.keys().next().copied() {
        assert_ne!(driven.stripes[&order].0, liar);
        driven.done(50, order);
    }
    assert_eq!(driven.said.last(), Some(&Output::RangesReady { root }));
    assert_eq!(driven.machine.bytes_in_flight(), 0);
}

// RESTORE-5
#[test]
fn not_found_is_blamed_only_against_a_receipt() {
    for receipted in [false, true] {
        let mut driven = Driven::new(&[1, 2]);
        let wanted = shard(9, GROUP_BYTES);
        driven.want(wanted, 0);
        let (order, by) = driven.stripes.iter().map(|(o, (by, ..))| (*o, *by)).next().unwrap();
        if receipted {
            driven.give(1, Input::HolderHas { holder: by, root: wanted.root });
        }
        driven.fail(2, order, StripeFailure::NotFound);
        let blamed = driven.said.iter().any(|o| matches!(o, Output::Blame { .. }));
        assert_eq!(blamed, receipted);
        // The other one is asked in any case.
        assert!(driven.stripes.values().all(|(other, ..)| *other != by));
        assert_eq!(driven.stripes.len(), 1);
    }
}

// RESTORE-8
#[test]
fn who_lost_what_it_had_signed_for_is_named_and_asked_for_what_it_has() {
    let mut driven = Driven::new(&[1]);
    let (lost, had) = (shard(9, GROUP_BYTES), shard(8, GROUP_BYTES));
    driven.want(lost, 0);
    driven.give(1, Input::HolderHas { holder: holder(1), root: lost.root });
    let order = driven.of(1)[0];
    driven.fail(2, order, StripeFailure::NotFound);
    let root = lost.root;
    let blame = Output::Blame { holder: holder(1), fault: Fault::LostShard, root };
    assert_eq!(driven.said, [blame, Output::OutOfHolders { roots: vec![root] }]);
    driven.want(had, 0);
    assert_eq!(driven.of(1).len(), 1, "nobody else may have that one");
}

// RESTORE-8
#[test]
fn a_holder_that_owns_up_to_a_damaged_copy_is_named_and_asked_for_other_shards() {
    let mut driven = Driven::new(&[1]);
    let rotten = shard(9, GROUP_BYTES);
    driven.want(rotten, 0);
    let order = driven.of(1)[0];
    driven.fail(1, order, StripeFailure::Damaged);
    let root = rotten.root;
    let blame = Output::Blame { holder: holder(1), fault: Fault::DamagedShard, root };
    assert_eq!(driven.said, [blame, Output::OutOfHolders { roots: vec![root] }]);
    driven.want(shard(8, GROUP_BYTES), 0);
    assert_eq!(driven.of(1).len(), 1);
}

// RESTORE-13
#[test]
fn nobody_left_is_said_at_once_and_nobody_reachable_after_a_while() {
    let mut driven = Driven::new(&[1]);
    let wanted = shard(9, GROUP_BYTES);
    driven.want(wanted, 0);
    let order = driven.of(1)[0];
    driven.fail(1, order, StripeFailure::NotFound);
    let out = Output::OutOfHolders { roots: vec![wanted.root] };
    assert_eq!(driven.said, std::slice::from_ref(&out));
    // A holder that turns up is used.
    driven.give(2, Input::HolderUp { holder: holder(2) });
    assert_eq!(driven.of(2).len(), 1);

    // One that is still being connected may have it.
    let mut driven = Driven::new(&[1]);
    driven.give(0, Input::HolderKnown { holder: holder(2) });
    driven.want(wanted, 0);
    let order = driven.of(1)[0];
    driven.fail(1, order, StripeFailure::NotFound);
    assert!(driven.said.is_empty());
    driven.give(2, Input::HolderUp { holder: holder(2) });
    assert_eq!(driven.of(2).len(), 1);

    let mut driven = Driven::new(&[1]);
    driven.want(wanted, 0);
    driven.give(1, Input::HolderDown { holder: holder(1) });
    assert!(driven.said.is_empty());
    let timeout = driven.machine.poll_timeout().unwrap();
    assert_eq!(timeout, at(1 + FETCH_PATIENCE_MS));
    driven.give(1 + FETCH_PATIENCE_MS, Input::TimePassed);
    assert_eq!(driven.said, [out]);
}

// RESTORE-12
#[test]
fn a_stalled_stripe_is_taken_away_and_its_holder_rests() {
    let mut driven = Driven::new(&[1]);
    driven.want(shard(9, MIB), 0);
    let stalled = driven.of(1)[0];
    driven.give(0, Input::HolderUp { holder: holder(2) });
    let late = driven.machine.poll_timeout().unwrap();
    assert!(late < at(STRIPE_STALL_MS_MAX));
    driven.give(STRIPE_STALL_MS_MAX, Input::TimePassed);
    assert!(!driven.stripes.contains_key(&stalled));
    assert_eq!(driven.of(2).len(), 1, "the other one has the rest");
    assert!(driven.said.is_empty(), "slow is not guilty");
}

// RESTORE-12, RESTORE-10
#[test]
fn a_late_stripe_is_hedged_once_and_the_first_wins() {
    let mut driven = Driven::new(&[1]);
    let wanted = shard(9, MIB);
    driven.want(wanted, 0);
    let slow = driven.of(1)[0];
    driven.give(0, Input::HolderUp { holder: holder(2) });
    driven.give(4_000, Input::StripeProgressed { order: slow, bytes: 2 * GROUP_BYTES });
    driven.give(6_000, Input::TimePassed);
    let twin = driven.of(2);
    assert_eq!(twin.len(), 1);
    assert_eq!(driven.stripes[&twin[0]].2, ByteRange::new(2 * GROUP_BYTES, MIB));
    driven.give(7_000, Input::TimePassed);
    assert_eq!(driven.stripes.len(), 2, "at most two for one byte");
    driven.done(7_100, twin[0]);
    assert_eq!(driven.said, [Output::RangesReady { root: wanted.root }]);
    assert!(driven.stripes.is_empty(), "the loser is cancelled");
}

// RESTORE-10, RESTORE-11
#[test]
fn what_is_in_flight_is_bounded_and_metadata_goes_first() {
    let mut driven = Driven::new(&[1, 2, 3]);
    for seed in 10..30 {
        driven.want(shard(seed, 32 * MIB), 1);
    }
    // Not measured yet: two stripes each.
    assert_eq!(driven.stripes.len(), 6);
    driven.want(shard(1, MIB), 0);
    let mut ms = 0;
    for _ in 0..300 {
        ms += 10;
        let order = *driven.stripes.keys().next().unwrap();
        driven.done(ms, order);
        assert!(driven.machine.bytes_in_flight() <= FETCH_BYTES_TOTAL_MAX);
        for seed in [1, 2, 3] {
            assert!(driven.of(seed).len() <= 16);
        }
        if ms == 10 {
            let next = driven.stripes.range(OrderId(7)..).next().unwrap().1;
            assert_eq!(next.1, ShardRoot::from_bytes([1; 32]), "metadata came first");
        }
    }
    assert!(driven.machine.speed(&holder(1)).unwrap() > MIB);
}

// RESTORE-9
#[test]
fn what_is_present_is_never_asked_for() {
    let mut driven = Driven::new(&[1]);
    let wanted = shard(9, 3 * MIB + 100);
    // A group that is only partly there does not count.
    let present = [ByteRange::new(0, MIB), ByteRange::new(2 * MIB, 2 * MIB + GROUP_BYTES + 5)];
    let present = present.into_iter().collect();
    let ranges = whole(wanted);
    driven.give(0, Input::Want { shard: wanted, ranges, present, priority: 0 });
    let mut asked = Ranges::default();
    while let Some((order, (.., range))) = driven.stripes.first_key_value() {
        let (order, range) = (*order, *range);
        assert!(range.bytes() <= STRIPE_BYTES);
        asked.insert(range);
        driven.done(1, order);
    }
    let missing =
        [ByteRange::new(MIB, 2 * MIB), ByteRange::new(2 * MIB + GROUP_BYTES, 3 * MIB + 100)];
    assert_eq!(asked, missing.into_iter().collect());
    assert_eq!(driven.said, [Output::RangesReady { root: wanted.root }]);
    driven.want(shard(8, 0), 0);
    assert_eq!(driven.said.len(), 2, "nothing wanted is ready at once");
}

// RESTORE-14
#[test]
fn an_own_full_disk_stops_everything_and_blames_nobody() {
    let mut driven = Driven::new(&[1, 2]);
    driven.want(shard(9, 8 * MIB), 0);
    let order = driven.of(1)[0];
    driven.fail(1, order, StripeFailure::Local);
    assert_eq!(driven.said, [Output::Halted]);
    assert!(driven.stripes.is_empty());
    driven.give(2, Input::TimePassed);
    assert!(driven.stripes.is_empty());
    driven.give(3, Input::Resumed);
    assert_eq!(driven.stripes.len(), 4);
}

#[test]
fn the_faster_holder_gets_more() {
    let mut driven = Driven::new(&[1, 2]);
    for seed in 10..20 {
        driven.want(shard(seed, 32 * MIB), 0);
    }
    // One MiB takes 20 ms from the first and 200 ms from the second.
    let mut due: BTreeMap<(u64, OrderId), u8> = BTreeMap::new();
    let mut free = [0_u64; 3];
    let mut served = [0_usize; 3];
    let mut planned = BTreeSet::new();
    for _ in 0..200 {
        for (order, (by, ..)) in &driven.stripes {
            let seed = if *by == holder(1) { 1 } else { 2 };
            if planned.insert(*order) {
                let now = due.first_key_value().map_or(0, |((ms, _), _)| *ms);
                let took = if seed == 1 { 20 } else { 200 };
                free[usize::from(seed)] = free[usize::from(seed)].max(now) + took;
                due.insert((free[usize::from(seed)], *order), seed);
            }
        }
        let ((ms, order), seed) = due.pop_first().unwrap();
        served[usize::from(seed)] += 1;
        driven.done(ms, order);
    }
    assert!(served[1] > 5 * served[2], "{served:?}");
}
