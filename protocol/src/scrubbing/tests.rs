//! The machine alone: order, pace, what failures cost, and clocks that jump.

use std::collections::BTreeSet;

use super::*;

const DAY_MS: u64 = 86_400_000;
const PERIOD_MS: u64 = 90 * DAY_MS;

fn root(number: u16) -> ShardRoot {
    // Spread over all that the first two bytes can say.
    let mut bytes = [0; 32];
    bytes[..2].copy_from_slice(&number.wrapping_mul(40_503).to_be_bytes());
    bytes[2..4].copy_from_slice(&number.to_be_bytes());
    ShardRoot::from_bytes(bytes)
}

/// A device: the machine, its disk as the times when each shard was read last, and how it reads.
struct Device {
    machine: Scrubbing,
    now: Instant,
    /// What its notes say, on the same clock as `now`, which starts late enough to have a past.
    noted: BTreeMap<ShardRoot, Instant>,
    read_ms: u64,
    found: BTreeMap<ShardRoot, Found>,
    /// Every reading: when it began and of what.
    reads: Vec<(Instant, ShardRoot)>,
    damaged: Vec<ShardRoot>,
    commits: usize,
    notes_fail: bool,
}

impl Device {
    fn new(ages_ms: impl IntoIterator<Item = (ShardRoot, u64)>) -> Self {
        let now = Instant::default().after_ms(1000 * DAY_MS);
        let at = |age_ms: u64| Instant(now.0 - age_ms * 1_000_000);
        Self {
            machine: Scrubbing::new(Some(PERIOD_MS)),
            now,
            noted: ages_ms.into_iter().map(|(root, age_ms)| (root, at(age_ms))).collect(),
            read_ms: 300,
            found: BTreeMap::new(),
            reads: Vec::new(),
            damaged: Vec::new(),
            commits: 0,
            notes_fail: false,
        }
    }

    /// So many shards that came so long ago.
    fn keeping(shards: u16, age_ms: u64) -> Self {
        Self::new((0..shards).map(|number| (root(number), age_ms)))
    }

    fn give(&mut self, input: Input) {
        self.machine.handle_input(self.now, input);
        while let Some(output) = self.machine.poll_output() {
            match output {
                Output::List { order } => {
                    let shards = self.kept();
                    self.give(Input::Listed { order, shards });
                }
                Output::Scrub { order, root } => {
                    self.reads.push((self.now, root));
                    self.now = self.now.after_ms(self.read_ms);
                    let found = self.found.get(&root).copied().unwrap_or(Found::Whole);
                    self.give(Input::Scrubbed { order, found });
                }
                Output::NoteScrubbed { roots } => {
                    assert!((1..=SCRUB_SEGMENT_SHARDS_MAX).contains(&roots.len()));
                    self.commits += 1;
                    if !self.notes_fail {
                        self.noted.extend(roots.into_iter().map(|root| (root, self.now)));
                    }
                }
                Output::Damaged { root } => self.damaged.push(root),
            }
        }
    }

    /// What is damaged is listed no more: its row says so.
    fn kept(&self) -> Vec<Kept> {
        let is_well = |(root, _): &(&ShardRoot, &Instant)| !self.damaged.contains(root);
        let kept = |(root, at): (&ShardRoot, &Instant)| Kept {
            root: *root,
            age_ms: self.now.ms_since(*at),
        };
        self.noted.iter().filter(is_well).map(kept).collect()
    }

    /// Lets time pass, waking as the machine asks. How often it woke.
    fn run(&mut self, ms: u64) -> usize {
        let end = self.now.after_ms(ms);
        let mut wakes = 0;
        while let Some(wake) = self.machine.poll_timeout().filter(|wake| *wake <= end) {
            self.now = self.now.max(wake);
            self.give(Input::TimePassed);
            wakes += 1;
            assert!(wakes < 1_000_000, "it spins");
        }
        self.now = self.now.max(end);
        wakes
    }

    /// The process ends and starts again; the clock of the machines goes on.
    fn restart(&mut self) {
        self.machine = Scrubbing::new(Some(PERIOD_MS));
        self.give(Input::ReadElsewhere);
    }

    fn read_of(&self, root: ShardRoot) -> usize {
        self.reads.iter().filter(|(_, read)| *read == root).count()
    }
}

// SCRUB-1
#[test]
fn everything_is_read_within_the_period_for_ever_and_nothing_twice_as_often() {
    let mut device = Device::keeping(500, 0);
    let mut last: BTreeMap<ShardRoot, Instant> = device.noted.clone();
    device.run(3 * PERIOD_MS);
    for (at, root) in &device.reads {
        let age_ms = at.ms_since(last[root]);
        assert!(age_ms >= PERIOD_MS / 2 - SCRUB_GATHER_MS, "after {} days", age_ms / DAY_MS);
        assert!(age_ms <= PERIOD_MS * 4 / 5, "after {} days", age_ms / DAY_MS);
        last.insert(*root, *at);
    }
    assert!(last.values().all(|at| device.now.ms_since(*at) <= PERIOD_MS * 4 / 5));
}

// SCRUB-2
#[test]
fn what_came_in_one_day_is_not_read_in_one_day() {
    let mut device = Device::keeping(1000, 0);
    device.run(PERIOD_MS / 2 - DAY_MS);
    assert_eq!(device.reads, []);
    let mut busiest = 0;
    while device.reads.len() < 1000 {
        let before = device.reads.len();
        device.run(DAY_MS);
        busiest = busiest.max(device.reads.len() - before);
    }
    assert!(busiest < 120, "{busiest} of 1,000 in one of 22 days");
}

// SCRUB-2
#[test]
fn the_oldest_comes_first() {
    let ages = (0..40_u16).map(|number| (root(number), PERIOD_MS + u64::from(number) * DAY_MS));
    let mut device = Device::new(ages);
    device.run(DAY_MS);
    let oldest_first: Vec<ShardRoot> = (0..40).rev().map(root).collect();
    let read: Vec<ShardRoot> = device.reads.iter().map(|(_, root)| *root).collect();
    assert_eq!(read, oldest_first);
}

// SCRUB-3
#[test]
fn after_a_year_away_it_catches_up_with_a_tenth_of_its_time() {
    let mut device = Device::keeping(2000, 365 * DAY_MS);
    device.read_ms = 5_000;
    for session in 0..30 {
        // On for two hours now and then.
        let before = device.reads.len();
        device.restart();
        device.run(7_200_000);
        let busy_ms = u64::try_from(device.reads.len() - before).unwrap() * device.read_ms;
        assert!(busy_ms <= 7_200_000 / 10 + device.read_ms, "session {session}: {busy_ms} ms");
        device.now = device.now.after_ms(DAY_MS / 2);
    }
    for pair in device.reads.windows(2) {
        assert!(pair[1].0.ms_since(pair[0].0) >= device.read_ms * 10, "{pair:?}");
    }
    let read: BTreeSet<ShardRoot> = device.reads.iter().map(|(_, root)| *root).collect();
    assert_eq!(read.len(), 2000, "and it does catch up");
    // What was read and not noted when it was switched off.
    assert!(device.reads.len() < 2000 + 30 * 8, "{}", device.reads.len());
}

// SCRUB-4
#[test]
fn with_little_to_do_it_sleeps_for_hours_and_writes_once_for_many() {
    let mut device = Device::keeping(100, 0);
    let wakes = device.run(90 * DAY_MS);
    assert_eq!(device.reads.len(), 100);
    // A look each day, and a few times for each shard that is due.
    assert!(wakes < 90 + 3 * 100, "{wakes} wakes in 90 days");
    assert!(device.commits < 80, "{} commits", device.commits);
    let pauses = device.reads.windows(2).filter_map(|pair| {
        let pause_ms = pair[1].0.ms_since(pair[0].0);
        (pause_ms > 10 * device.read_ms).then_some(pause_ms)
    });
    assert!(pauses.min().unwrap() >= SCRUB_GATHER_MS - 60_000);

    let mut empty = Device::keeping(0, 0);
    assert!(empty.run(90 * DAY_MS) <= 91);
}

// SCRUB-4
#[test]
fn what_was_read_is_noted_within_minutes_and_when_nothing_is_left() {
    let mut device = Device::keeping(u16::try_from(SCRUB_SEGMENT_SHARDS_MAX).unwrap(), PERIOD_MS);
    device.run(DAY_MS);
    assert_eq!(device.commits, 1, "one commit for a segment");
    // Of a slow disk, each takes a minute and ten with its rest.
    let mut slow = Device::keeping(100, PERIOD_MS);
    slow.read_ms = 60_000;
    slow.run(3_600_000);
    assert!(slow.commits >= 5, "{} commits", slow.commits);
    // One that is alone is noted at once.
    let mut alone = Device::keeping(1, PERIOD_MS);
    alone.give(Input::TimePassed);
    assert_eq!((alone.reads.len(), alone.commits), (1, 1));
}

// SCRUB-5
#[test]
fn damage_is_told_once_and_at_once() {
    let mut device = Device::keeping(30, PERIOD_MS);
    device.found.insert(root(7), Found::Damaged);
    device.run(2 * PERIOD_MS);
    assert_eq!(device.damaged, [root(7)]);
    assert_eq!(device.read_of(root(7)), 1);
}

// SCRUB-6
#[test]
fn what_cannot_be_looked_at_is_tried_once_a_day_and_concludes_nothing() {
    let mut device = Device::keeping(30, PERIOD_MS);
    device.found.insert(root(7), Found::Unable);
    device.found.insert(root(8), Found::Gone);
    device.run(10 * DAY_MS);
    assert_eq!(device.damaged, []);
    assert!((5..=11).contains(&device.read_of(root(7))), "{}", device.read_of(root(7)));
    assert!(device.now.ms_since(device.noted[&root(7)]) > PERIOD_MS, "not noted");
    device.found.clear();
    device.run(2 * DAY_MS);
    assert!(device.now.ms_since(device.noted[&root(7)]) < 2 * DAY_MS);
}

// SCRUB-6
#[test]
fn notes_that_cannot_be_written_have_nothing_read_again_and_again() {
    let mut device = Device::keeping(30, PERIOD_MS);
    device.notes_fail = true;
    device.run(PERIOD_MS / 2 - DAY_MS);
    assert_eq!(device.reads.len(), 30);
}

// SCRUB-7
#[test]
fn ages_outlive_a_restart() {
    let mut device = Device::keeping(200, 40 * DAY_MS);
    for _ in 0..180 {
        // On for an hour each day.
        device.restart();
        device.run(3_600_000);
        device.now = device.now.after_ms(23 * 3_600_000);
    }
    for number in 0..200 {
        assert!(
            (2..=4).contains(&device.read_of(root(number))),
            "{}",
            device.read_of(root(number))
        );
    }
}

// SCRUB-7
#[test]
fn absurd_ages_and_times_that_jump_cost_one_reading() {
    let mut device = Device::keeping(20, 0);
    // The wall clock says that all are as old as the world, again and again.
    for _ in 0..5 {
        device.machine.handle_input(device.now, Input::ReadElsewhere);
        let Some(Output::List { order }) = device.machine.poll_output() else { panic!() };
        let shards = (0..20).map(|number| Kept { root: root(number), age_ms: u64::MAX }).collect();
        device.give(Input::Listed { order, shards });
        for _ in 0..100 {
            device.now = device.now.after_ms(10_000);
            device.give(Input::TimePassed);
            // Time never goes back for the machine.
            device.machine.handle_input(Instant(0), Input::TimePassed);
        }
    }
    assert_eq!(device.reads.len(), 20);
}

// SCRUB-8
#[test]
fn never_means_never_and_a_change_takes_effect_at_once() {
    let mut device = Device::keeping(20, 40 * DAY_MS);
    device.give(Input::PeriodChanged { period_ms: None });
    assert_eq!(device.machine.poll_timeout(), None);
    device.run(PERIOD_MS);
    assert_eq!(device.reads, []);
    device.give(Input::PeriodChanged { period_ms: Some(PERIOD_MS) });
    device.run(3_600_000);
    assert_eq!(device.reads.len(), 20);
    // Off in the middle of a segment: what was read is noted, and that is all.
    let mut device = Device::keeping(20, PERIOD_MS);
    device.run(1_000);
    assert!((1..20).contains(&device.reads.len()) && device.commits == 0);
    device.give(Input::PeriodChanged { period_ms: None });
    assert_eq!((device.commits, device.machine.poll_timeout()), (1, None));
    // A period of a minute is one of a day.
    device.give(Input::PeriodChanged { period_ms: Some(60_000) });
    device.run(DAY_MS);
    let reads = device.reads.len();
    device.run(10 * DAY_MS);
    assert!(device.reads.len() - reads <= 20 * 40, "{}", device.reads.len() - reads);
}

// SCRUB-9
#[test]
fn what_somebody_else_has_read_is_not_read_again() {
    let mut device = Device::keeping(20, PERIOD_MS);
    device.run(1_000);
    let reads = device.reads.len();
    assert!(reads < 20);
    let now = device.now;
    device.noted.values_mut().for_each(|at| *at = now);
    device.give(Input::ReadElsewhere);
    device.run(DAY_MS);
    assert!(device.reads.len() <= reads + 1);
}

// SCRUB-9
#[test]
fn a_list_that_was_made_before_somebody_else_noted_is_made_again() {
    let mut device = Device::keeping(20, PERIOD_MS);
    device.now = device.now.after_ms(SCRUB_FIRST_MS);
    device.machine.handle_input(device.now, Input::TimePassed);
    let Some(Output::List { order }) = device.machine.poll_output() else { panic!() };
    let stale = device.kept();
    let now = device.now;
    device.noted.values_mut().for_each(|at| *at = now);
    device.machine.handle_input(now, Input::ReadElsewhere);
    device.give(Input::Listed { order, shards: stale });
    device.run(DAY_MS);
    assert_eq!(device.reads, []);
}

#[test]
fn one_thing_at_a_time_and_late_answers_do_no_harm() {
    let mut machine = Scrubbing::new(Some(PERIOD_MS));
    let now = Instant::default().after_ms(SCRUB_FIRST_MS);
    machine.handle_input(Instant(0), Input::TimePassed);
    assert_eq!(machine.poll_output(), None);
    assert_eq!(machine.poll_timeout(), Some(now));
    machine.handle_input(now, Input::TimePassed);
    let Some(Output::List { order }) = machine.poll_output() else { panic!() };
    assert_eq!((machine.orders_pending(), machine.poll_timeout()), (1, None));
    machine.handle_input(now, Input::ListFailed { order: OrderId(77) });
    machine.handle_input(now, Input::Scrubbed { order, found: Found::Damaged });
    assert_eq!(machine.poll_output(), None);
    machine.handle_input(now, Input::ListFailed { order });
    assert_eq!(machine.poll_timeout(), Some(now.after_ms(SCRUB_FIRST_MS)));
    machine.handle_input(now.after_ms(SCRUB_FIRST_MS), Input::TimePassed);
    let Some(Output::List { order }) = machine.poll_output() else { panic!() };
    let shards = (0..3).map(|number| Kept { root: root(number), age_ms: PERIOD_MS }).collect();
    machine.handle_input(now, Input::Listed { order, shards });
    let Some(Output::Scrub { order, .. }) = machine.poll_output() else { panic!() };
    machine.handle_input(now, Input::Listed { order, shards: Vec::new() });
    machine.handle_input(now, Input::TimePassed);
    assert_eq!(machine.poll_output(), None, "one at a time");
    machine.handle_input(now, Input::Scrubbed { order: OrderId(1), found: Found::Damaged });
    assert_eq!(machine.poll_output(), None);
    // Switched off while it reads: what it read is noted all the same.
    machine.handle_input(now, Input::PeriodChanged { period_ms: None });
    machine.handle_input(now, Input::Scrubbed { order, found: Found::Whole });
    assert!(matches!(machine.poll_output(), Some(Output::NoteScrubbed { .. })));
    assert_eq!((machine.orders_pending(), machine.poll_timeout()), (0, None));
}
