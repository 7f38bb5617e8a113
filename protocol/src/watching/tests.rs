//! Holders that come and go, and calls that the test answers.

use proptest::prelude::*;

use super::*;
use crate::limits::{
    DISCOVERY_AGAIN_MS, WATCH_CREDIT_S, WATCH_HISTORY_BYTES_MAX, WATCH_LIMIT_S_MAX,
    WATCH_LIMIT_S_MIN, WATCH_START_LAPTOP_S, WATCH_START_PHONE_S,
};

const HOUR_S: u64 = 3_600;
const DAY_S: u64 = 86_400;
const MONDAY_S: u64 = 1_800_000_000 - 1_800_000_000 % (7 * DAY_S) + 4 * DAY_S;

fn holder(seed: u8) -> DeviceId {
    DeviceId::from_bytes([seed; 32])
}

/// A machine in a world where `is_there` answers calls.
struct World {
    machine: Watching,
    seconds: u64,
    clock_off_s: i64,
    presumed: BTreeMap<DeviceId, bool>,
    kept: BTreeMap<DeviceId, History>,
    calls: u64,
}

impl World {
    /// Holders, and whether each is at another site than this device.
    fn new(holders: &[(u8, bool)]) -> Self {
        let mut world = Self {
            machine: Watching::new(),
            seconds: 0,
            clock_off_s: 0,
            presumed: BTreeMap::new(),
            kept: BTreeMap::new(),
            calls: 0,
        };
        for (seed, is_elsewhere) in holders {
            let is_elsewhere = *is_elsewhere;
            let known = Input::HolderKnown { holder: holder(*seed), is_elsewhere, history: None };
            assert_eq!(world.give(known), []);
        }
        world
    }

    /// Gives an input; returns whom it has called.
    fn give(&mut self, input: Input) -> Vec<(OrderId, DeviceId)> {
        let clock = (MONDAY_S + self.seconds).saturating_add_signed(self.clock_off_s);
        let now = Instant(self.seconds * 1_000_000_000);
        self.machine.handle_input(now, Timestamp(clock), input);
        let mut calls = Vec::new();
        while let Some(output) = self.machine.poll_output() {
            match output {
                Output::Call { order, holder } => calls.push((order, holder)),
                Output::Keep { holder, history } => _ = self.kept.insert(holder, *history),
                Output::Presumed { holder, is_lost } => _ = self.presumed.insert(holder, is_lost),
            }
        }
        calls
    }

    /// Lets time pass; calls are answered by whoever is there in that hour.
    fn pass(&mut self, seconds: u64, is_there: impl Fn(DeviceId, u64) -> bool) {
        let end = self.seconds + seconds;
        loop {
            let due =
                self.machine.poll_timeout().expect("somebody is known").0.div_ceil(1_000_000_000);
            if due > end {
                self.seconds = end;
                return;
            }
            self.seconds = self.seconds.max(due);
            let mut calls = self.give(Input::TimePassed);
            while let Some((order, who)) = calls.pop() {
                self.calls += 1;
                let answered = is_there(who, self.seconds / HOUR_S);
                calls.extend(self.give(Input::CallEnded { order, answered }));
            }
        }
    }

    fn presence(&self, seed: u8) -> Presence {
        self.machine.history(&holder(seed)).expect("it is known").presence()
    }

    fn is_presumed_lost(&self, seed: u8) -> bool {
        self.presumed.get(&holder(seed)).copied().unwrap_or(false)
    }

    fn limit_s(&self, seed: u8) -> u64 {
        self.machine.history(&holder(seed)).expect("it is known").limit_s()
    }
}

const fn all(_: DeviceId, _: u64) -> bool {
    true
}

fn but(seed: u8) -> impl Fn(DeviceId, u64) -> bool {
    move |who, _| who != holder(seed)
}

fn heard_of(world: &mut World, seed: u8, ago_s: u64) {
    let since = Timestamp(MONDAY_S + world.seconds - ago_s);
    world.give(Input::HeardOf { holder: holder(seed), since });
}

// ERR-10
#[test]
fn who_is_heard_of_by_way_of_another_is_not_presumed_lost_and_counts_again_if_it_was() {
    let mut world = World::new(&[(1, true), (2, true)]);
    world.pass(DAY_S, all);
    for _ in 0..40 {
        world.pass(DAY_S, but(1));
        heard_of(&mut world, 1, DAY_S / 2);
        assert_eq!(world.presence(1), Presence::Away, "it never answers, and it is there");
    }
    world.pass(60 * DAY_S, but(1));
    assert!(world.is_presumed_lost(1));
    heard_of(&mut world, 1, DAY_S);
    assert!(!world.is_presumed_lost(1));
    assert_eq!(world.presence(1), Presence::Away, "that it is here nobody says");
}

// ERR-10
#[test]
fn who_is_heard_of_now_and_then_is_not_taken_for_one_that_is_always_there() {
    let mut world = World::new(&[(1, true), (2, true)]);
    world.pass(DAY_S, all);
    for _ in 0..10 {
        // There at weekends, when this side is not.
        for _ in 0..7 {
            world.pass(DAY_S, but(1));
            assert!(!world.is_presumed_lost(1), "a week is not long for it");
        }
        heard_of(&mut world, 1, DAY_S / 2);
    }
}

// ERR-10, WATCH-4
#[test]
fn old_word_and_the_same_word_again_change_nothing() {
    let mut world = World::new(&[(1, true), (2, true)]);
    world.pass(DAY_S, all);
    world.pass(2 * DAY_S, but(1));
    let before = world.machine.history(&holder(1)).unwrap().clone();
    world.kept.clear();
    heard_of(&mut world, 1, 30 * DAY_S);
    assert!(world.kept.is_empty(), "nothing is written for it");
    assert_eq!(world.machine.history(&holder(1)), Some(&before));
    heard_of(&mut world, 1, HOUR_S);
    let after = world.machine.history(&holder(1)).unwrap().clone();
    assert_eq!(after.silent_s(), HOUR_S);
    assert_eq!(after.availability_percent(), before.availability_percent());
    world.kept.clear();
    heard_of(&mut world, 1, HOUR_S);
    assert!(world.kept.is_empty());
    // Who the user says is lost is lost, whoever says otherwise.
    world.give(Input::Said { holder: holder(1), word: Word::Lost });
    heard_of(&mut world, 1, 0);
    assert_eq!(world.presence(1), Presence::Lost);
}

// WATCH-1, WATCH-2
#[test]
fn who_stays_silent_while_others_answer_is_suspected_then_presumed_lost_and_one_word_undoes_it() {
    let mut world = World::new(&[(1, true), (2, true)]);
    assert_eq!(world.presence(1), Presence::Unknown);
    world.pass(DAY_S, all);
    assert_eq!(world.presence(1), Presence::Here);
    world.pass(DAY_S, but(1));
    assert_eq!(world.presence(1), Presence::Away);
    world.pass(7 * DAY_S, but(1));
    assert_eq!(world.presence(1), Presence::Suspect);
    assert!(!world.is_presumed_lost(1));
    world.pass(6 * DAY_S + DAY_S / 2, but(1));
    assert!(world.is_presumed_lost(1), "{:?}", world.machine.history(&holder(1)));
    assert_eq!(world.presence(2), Presence::Here);
    world.give(Input::Heard { holder: holder(1) });
    assert!(!world.is_presumed_lost(1));
    assert_eq!(world.presence(1), Presence::Here);
}

// WATCH-2
#[test]
fn a_house_without_a_line_presumes_nobody_lost() {
    // The other one that answers stands in the same house as this device.
    let mut world = World::new(&[(1, true), (2, true), (3, false)]);
    world.pass(DAY_S, all);
    world.pass(100 * DAY_S, |who, _| who == holder(3));
    assert_eq!((world.presence(1), world.presence(2)), (Presence::Suspect, Presence::Suspect));
    assert!(!world.is_presumed_lost(1) && !world.is_presumed_lost(2));
    // The line is back, and one of the two: now it is sure of the other, from here on.
    world.pass(13 * DAY_S, but(1));
    assert_eq!(world.presence(2), Presence::Here);
    assert!(!world.is_presumed_lost(1));
    world.pass(2 * DAY_S, but(1));
    assert!(world.is_presumed_lost(1));
}

// WATCH-3
#[test]
fn neither_sleep_nor_a_clock_that_jumps_ages_anybody() {
    let mut world = World::new(&[(1, true), (2, true)]);
    world.pass(DAY_S, all);
    world.pass(DAY_S, but(1));
    let before_s = world.machine.history(&holder(1)).unwrap().silent_s();
    // The machine sleeps for 100 days: nobody was called.
    world.seconds += 100 * DAY_S;
    world.pass(HOUR_S, but(1));
    let silent_s = world.machine.history(&holder(1)).unwrap().silent_s();
    assert!(silent_s <= before_s + WATCH_CREDIT_S, "{before_s} {silent_s}");
    for days in [4_000, -8_000, 4_000] {
        world.clock_off_s += days * 86_400;
        world.pass(4 * HOUR_S, but(1));
    }
    assert_eq!(world.presence(1), Presence::Away);
    assert!(!world.is_presumed_lost(1));
}

// WATCH-4
#[test]
fn how_long_it_takes_is_learnt_from_the_absences_that_ended() {
    let steady = |who: DeviceId, _| who != holder(9);
    let mut world = World::new(&[(1, true), (2, true), (3, true)]);
    assert_eq!(world.limit_s(1), WATCH_START_LAPTOP_S);
    // 1 is always there; 2 is off in the nights and at weekends; 3 was on a journey of 25 days once.
    let habits = |who: DeviceId, hour: u64| {
        let (day, hour_of_day) = (hour / 24, hour % 24);
        if who == holder(2) {
            (7..22).contains(&hour_of_day) && day % 7 < 5
        } else if who == holder(3) {
            !(20..32).contains(&day)
        } else {
            true
        }
    };
    world.pass(60 * DAY_S, habits);
    assert_eq!(world.limit_s(1), WATCH_LIMIT_S_MIN, "as good as always on");
    assert!((7 * DAY_S..=20 * DAY_S).contains(&world.limit_s(2)), "{}", world.limit_s(2) / DAY_S);
    assert!((30 * DAY_S..=60 * DAY_S).contains(&world.limit_s(3)), "{}", world.limit_s(3) / DAY_S);
    assert!(world.limit_s(3) <= WATCH_LIMIT_S_MAX);
    let percent = |seed: u8| {
        world.machine.history(&holder(seed)).and_then(History::availability_percent).unwrap()
    };
    assert_eq!(percent(1), 100);
    assert!((35..=55).contains(&percent(2)), "{}", percent(2));
    // A weekend more does not make it suspected of anything.
    world.pass(2 * DAY_S, |who, hour| who != holder(2) && steady(who, hour));
    assert_eq!(world.presence(2), Presence::Away);
}

// WATCH-4
#[test]
fn what_a_device_is_counts_until_more_is_known() {
    let mut world = World::new(&[(1, true), (2, true)]);
    for (kind, limit_s) in [
        (Kind::AlwaysOn, WATCH_LIMIT_S_MIN),
        (Kind::Phone, WATCH_START_PHONE_S),
        (Kind::Laptop, WATCH_START_LAPTOP_S),
    ] {
        world.give(Input::KindSaid { holder: holder(1), kind });
        assert_eq!(world.limit_s(1), limit_s);
        assert_eq!(world.kept[&holder(1)].kind(), kind);
    }
    // A long silence is no knowledge: a phone that vanished on its second day has its 30 days.
    world.give(Input::KindSaid { holder: holder(1), kind: Kind::Phone });
    world.pass(DAY_S, all);
    world.pass(28 * DAY_S, but(1));
    assert!(!world.is_presumed_lost(1));
    world.pass(3 * DAY_S, but(1));
    assert!(world.is_presumed_lost(1));
}

// WATCH-5
#[test]
fn the_users_word_comes_first() {
    let mut world = World::new(&[(1, true), (2, true)]);
    world.pass(DAY_S, all);
    let say = |word| Input::Said { holder: holder(1), word };
    world.give(say(Word::Lost));
    assert!(world.is_presumed_lost(1), "at once, though it answers");
    world.pass(DAY_S, all);
    assert!(world.is_presumed_lost(1));
    world.give(say(Word::Nothing));
    assert!(!world.is_presumed_lost(1));
    // A journey of 40 days, told of: afterwards its patience begins.
    world.give(say(Word::AwayUntil(Timestamp(MONDAY_S + world.seconds + 40 * DAY_S))));
    world.pass(40 * DAY_S, but(1));
    assert_eq!(world.presence(1), Presence::Away);
    world.pass(13 * DAY_S, but(1));
    assert!(!world.is_presumed_lost(1));
    world.pass(2 * DAY_S, but(1));
    assert!(world.is_presumed_lost(1));
    // Said afterwards it is worth as much, and its patience begins anew.
    world.give(say(Word::AwayUntil(Timestamp(MONDAY_S + world.seconds + DAY_S))));
    assert!(!world.is_presumed_lost(1));
    assert_eq!(world.presence(1), Presence::Away);
    world.pass(14 * DAY_S, but(1));
    assert!(!world.is_presumed_lost(1));
    world.pass(2 * DAY_S, but(1));
    assert!(world.is_presumed_lost(1));
    world.give(say(Word::Nothing));
    assert_eq!(world.presence(1), Presence::Away);
}

// WATCH-4
#[test]
fn an_outage_on_this_side_is_not_learnt_as_an_absence_of_others() {
    let mut world = World::new(&[(1, true), (2, true)]);
    world.pass(20 * DAY_S, all);
    let before_s = world.limit_s(1);
    world.pass(10 * DAY_S, |_, _| false);
    world.pass(DAY_S, all);
    assert_eq!((world.presence(1), world.limit_s(1)), (Presence::Here, before_s));
}

// WATCH-1
#[test]
fn who_calls_while_it_is_called_is_here() {
    let mut world = World::new(&[(1, true)]);
    world.pass(DAY_S, all);
    world.seconds += 4 * HOUR_S;
    let calls = world.give(Input::TimePassed);
    world.give(Input::Heard { holder: holder(1) });
    world.give(Input::CallEnded { order: calls[0].0, answered: false });
    assert_eq!(world.presence(1), Presence::Here);
}

// WATCH-6
#[test]
fn what_was_kept_goes_on_after_a_restart() {
    let mut world = World::new(&[(1, true), (2, true)]);
    world.pass(DAY_S, all);
    world.pass(13 * DAY_S, but(1));
    assert!(!world.is_presumed_lost(1));
    let kept = std::mem::take(&mut world.kept);
    let bytes = kept[&holder(1)].encode();
    assert!(bytes.len() <= WATCH_HISTORY_BYTES_MAX);
    let history = History::decode(&bytes).expect("what was kept can be read");
    assert_eq!(history, kept[&holder(1)]);
    for cut in 0..bytes.len() {
        assert!(History::decode(&bytes[..cut]).is_err());
    }

    let seconds = world.seconds;
    world = World::new(&[(2, true)]);
    world.seconds = seconds;
    let history = Some(Box::new(history));
    world.give(Input::HolderKnown { holder: holder(1), is_elsewhere: true, history });
    world.pass(2 * DAY_S, but(1));
    assert!(world.is_presumed_lost(1));
    // Told again at the next start.
    let history = Some(Box::new(world.kept[&holder(1)].clone()));
    let mut again = World::new(&[]);
    again.give(Input::HolderKnown { holder: holder(1), is_elsewhere: true, history });
    assert!(again.is_presumed_lost(1));
}

// WATCH-7
#[test]
fn a_holder_is_called_a_few_times_a_day_and_less_when_it_is_heard_of() {
    let mut world = World::new(&[(1, true)]);
    world.pass(10 * DAY_S, all);
    assert!((60..=81).contains(&world.calls), "{}", world.calls);
    let (before, end) = (world.calls, world.seconds + DAY_S);
    while world.seconds < end {
        world.give(Input::Heard { holder: holder(1) });
        world.pass(HOUR_S / 2, all);
    }
    assert_eq!(world.calls, before);
}

// WATCH-9
#[test]
fn who_leaves_something_else_unanswered_is_called_to_see_but_not_over_and_over() {
    let mut world = World::new(&[(1, true)]);
    world.pass(DAY_S, all);
    world.seconds += 100;
    let doubted = Input::Doubted { holder: holder(1) };
    let calls = world.give(doubted.clone());
    assert_eq!(calls.len(), 1);
    world.give(Input::CallEnded { order: calls[0].0, answered: true });
    assert_eq!(world.give(doubted.clone()), [], "it was called just now");
    world.seconds += 100;
    let calls = world.give(doubted.clone());
    world.give(Input::CallEnded { order: calls[0].0, answered: false });
    assert_eq!(world.presence(1), Presence::Away);
    world.seconds += 100;
    assert_eq!(world.give(doubted), [], "that is known");
}

// WATCH-10
#[test]
fn who_shows_itself_is_called_at_once_unless_it_is_here() {
    let mut world = World::new(&[(1, true)]);
    let sighted = || Input::Sighted { holder: holder(1) };
    let calls = world.give(sighted());
    assert_eq!(calls.len(), 1, "it was never met");
    world.give(Input::CallEnded { order: calls[0].0, answered: true });
    world.seconds += 600;
    assert_eq!(world.give(sighted()), [], "it is here");
    // It answers an hour ago, then is silent, then seems to be back.
    let calls = world.give(Input::Doubted { holder: holder(1) });
    world.give(Input::CallEnded { order: calls[0].0, answered: false });
    let calls = world.give(sighted());
    assert_eq!(calls.len(), 1, "it went away");
    world.give(Input::CallEnded { order: calls[0].0, answered: false });
    for _ in 0..DISCOVERY_AGAIN_MS / 1000 - 1 {
        world.seconds += 1;
        assert_eq!(world.give(sighted()), [], "somebody shows it again and again");
    }
    world.seconds += 1;
    assert_eq!(world.give(sighted()).len(), 1);
    assert_eq!(world.machine.history(&holder(1)).unwrap().presence(), Presence::Away);
    assert_eq!(world.give(Input::Sighted { holder: holder(9) }), [], "nobody knows it");

    // It comes into sight while a call is on its way to where it was.
    let mut world = World::new(&[(1, true)]);
    world.seconds = 2 * WATCH_FIRST_MS / 1000;
    let [(order, _)] = world.give(Input::TimePassed)[..] else { panic!() };
    world.seconds += 2;
    assert_eq!(world.give(sighted()), []);
    assert_eq!(world.give(Input::CallEnded { order, answered: false }).len(), 1);
}

// WATCH-7
#[test]
fn a_call_without_an_end_is_a_silence() {
    let mut world = World::new(&[(1, true)]);
    world.seconds = HOUR_S;
    let calls = world.give(Input::TimePassed);
    assert_eq!(calls.len(), 1);
    world.seconds += 61;
    assert_eq!(world.give(Input::TimePassed), []);
    assert_eq!(world.presence(1), Presence::Away);
    // Its late answer is to no call any more.
    world.give(Input::CallEnded { order: calls[0].0, answered: true });
    assert_eq!(world.presence(1), Presence::Away);
}

proptest! {
    // WATCH-2, WATCH-3
    #[test]
    fn nobody_is_presumed_lost_before_36_hours_of_silence_whatever_the_clock_does(
        steps in proptest::collection::vec((1..40_u64, any::<bool>(), -400_i64..400), 1..40),
        is_sound in any::<bool>(),
    ) {
        let mut world = World::new(&[(1, true), (2, true)]);
        world.give(Input::KindSaid { holder: holder(1), kind: Kind::AlwaysOn });
        let mut heard_at = 0;
        for (hours, is_there, clock_days) in steps {
            world.clock_off_s = if is_sound { 0 } else { clock_days * 86_400 };
            world.pass(hours * HOUR_S, |who, _| is_there || who == holder(2));
            if matches!(world.presence(1), Presence::Here | Presence::Unknown) {
                heard_at = world.seconds;
            }
            // Twelve silences at least, three hours apart at least, of which a clock makes six each.
            let silent_s = world.seconds - heard_at;
            prop_assert!(!world.is_presumed_lost(1) || silent_s >= WATCH_LIMIT_S_MIN / 2, "{silent_s}");
            // With a sound clock it is three days; the case has to be met.
            if is_sound && silent_s > 2 * world.limit_s(1) {
                prop_assert!(world.is_presumed_lost(1));
            }
        }
    }
}
