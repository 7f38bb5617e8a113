//! The machine alone: when it begins, how often, and what failures, batteries and sleep change.

use super::*;

const MINUTE_MS: u64 = 60_000;
const HOUR_MS: u64 = 60 * MINUTE_MS;
const DAY_MS: u64 = 24 * HOUR_MS;

/// A device: the machine, a monotonic clock, and a wall clock that goes on while the machine sleeps.
struct Device {
    machine: Recurring,
    now: Instant,
    wall_ms: u64,
    /// When everything was saved last, by the wall clock.
    saved_ms: Option<u64>,
    power: Power,
    takes_ms: u64,
    came: Came,
    has_folders: bool,
    /// When the last run began, by the wall clock.
    tried_ms: Option<u64>,
    /// When runs began, by the wall clock, in milliseconds since the start.
    runs: Vec<u64>,
    thinned: u64,
    looks: u64,
}

impl Device {
    fn new(every_ms: u64) -> Self {
        Self {
            machine: Recurring::new(Some(every_ms)),
            now: Instant::default(),
            wall_ms: 0,
            saved_ms: None,
            power: Power::Mains,
            takes_ms: 10_000,
            came: Came::Whole,
            has_folders: true,
            tried_ms: None,
            runs: Vec::new(),
            thinned: 0,
            looks: 0,
        }
    }

    fn pass(&mut self, ms: u64) {
        self.now = self.now.after_ms(ms);
        self.wall_ms += ms;
    }

    fn give(&mut self, input: Input) {
        self.machine.handle_input(self.now, input);
        while let Some(output) = self.machine.poll_output() {
            assert_eq!(self.machine.orders_pending(), 1);
            match output {
                Output::Look { order } => {
                    self.looks += 1;
                    let age_ms = match self.saved_ms {
                        _ if !self.has_folders => None,
                        Some(saved_ms) => Some(self.wall_ms - saved_ms),
                        None => Some(u64::MAX),
                    };
                    let tried_ms = self.tried_ms.map_or(u64::MAX, |at| self.wall_ms - at);
                    self.give(Input::Looked { order, age_ms, tried_ms, power: self.power });
                }
                Output::BackUp { order } => {
                    let begun = self.wall_ms;
                    self.runs.push(begun);
                    self.tried_ms = Some(begun);
                    self.pass(self.takes_ms);
                    if self.came == Came::Whole {
                        self.saved_ms = Some(begun);
                    }
                    self.give(Input::BackedUp { order, came: self.came });
                }
                Output::Thin { order } => {
                    self.thinned += 1;
                    self.give(Input::Thinned { order });
                }
            }
        }
    }

    /// Lives on for so long.
    fn live(&mut self, ms: u64) {
        let end = self.wall_ms + ms;
        while let Some(timeout) = self.machine.poll_timeout() {
            let wait_ms = timeout.ms_since(self.now);
            if self.wall_ms + wait_ms > end {
                break;
            }
            self.pass(wait_ms);
            self.give(Input::TimePassed);
        }
        self.pass(end.saturating_sub(self.wall_ms));
    }

    /// The wall clock alone goes on.
    fn suspend(&mut self, ms: u64) {
        self.wall_ms += ms;
    }
}

fn gaps(runs: &[u64]) -> Vec<u64> {
    runs.windows(2).map(|pair| pair[1] - pair[0]).collect()
}

// RECUR-1, RECUR-2
#[test]
fn it_begins_a_little_after_the_start_and_comes_again_after_the_interval() {
    let mut device = Device::new(HOUR_MS);
    device.live(DAY_MS);
    assert_eq!(device.runs[0], RECURRING_FIRST_MS);
    assert!(gaps(&device.runs).iter().all(|gap| *gap == HOUR_MS), "{:?}", device.runs);
    assert_eq!(device.runs.len(), 24);
    // Four looks an hour, and one that is due.
    assert!(device.looks <= 5 * 24 + 1, "{}", device.looks);
}

// RECUR-1
#[test]
fn what_a_person_saved_counts_and_so_does_the_time_suspended() {
    let mut device = Device::new(HOUR_MS);
    device.saved_ms = Some(0);
    device.live(50 * MINUTE_MS);
    assert!(device.runs.is_empty());
    // By a command, from whatever process.
    device.saved_ms = Some(device.wall_ms);
    device.live(50 * MINUTE_MS);
    assert!(device.runs.is_empty());
    let suspended = device.wall_ms;
    device.suspend(9 * HOUR_MS);
    device.live(RECURRING_LOOK_MS);
    assert_eq!(device.runs.len(), 1);
    assert!(device.runs[0] <= suspended + 9 * HOUR_MS + RECURRING_LOOK_MS);
}

// RECUR-2
#[test]
fn a_run_is_followed_by_rest_and_by_no_more_than_the_interval() {
    let mut device = Device::new(MINUTE_MS);
    device.takes_ms = 10 * MINUTE_MS;
    device.live(DAY_MS);
    assert!(gaps(&device.runs).iter().all(|gap| *gap == 50 * MINUTE_MS), "{:?}", device.runs);
    // And a short one is not begun again and again, whatever the shell says of ages.
    let mut device = Device::new(1);
    device.takes_ms = 0;
    device.live(HOUR_MS);
    assert_eq!(device.runs.len(), 60);
    // A first backup waits for its line for five days: what is new since does not wait for twenty.
    let mut device = Device::new(2 * HOUR_MS);
    device.takes_ms = 5 * DAY_MS;
    device.live(HOUR_MS);
    device.takes_ms = MINUTE_MS;
    device.live(5 * DAY_MS);
    assert_eq!(gaps(&device.runs)[0], 5 * DAY_MS + 2 * HOUR_MS);
    // What is said to be saved, and goes on being old, is saved once in the interval all the same.
    let mut device = Device::new(HOUR_MS);
    for _ in 0..50 {
        device.saved_ms = None;
        device.live(10 * MINUTE_MS);
    }
    assert!(gaps(&device.runs).iter().all(|gap| *gap >= HOUR_MS), "{:?}", device.runs);
}

// RECUR-3
#[test]
fn on_battery_it_is_once_a_day() {
    let mut device = Device::new(HOUR_MS);
    device.power = Power::Battery;
    device.live(4 * DAY_MS);
    assert_eq!(device.runs.len(), 4);
    assert!(gaps(&device.runs).iter().all(|gap| *gap >= RECURRING_BATTERY_MS));
    // Plugged in again, it does not wait for the day.
    device.power = Power::Mains;
    device.live(HOUR_MS);
    assert_eq!(device.runs.len(), 5);
    // A longer interval is no shorter on battery.
    let mut device = Device::new(7 * DAY_MS);
    device.power = Power::Battery;
    device.saved_ms = Some(0);
    device.live(6 * DAY_MS);
    assert!(device.runs.is_empty());
}

// RECUR-3, RECUR-4
#[test]
fn a_folder_that_is_away_keeps_nothing_from_being_saved_on_battery_or_after_it() {
    let mut device = Device::new(HOUR_MS);
    device.came = Came::Partly;
    device.live(2 * DAY_MS);
    // Two hours on battery, in which nothing is begun, and the mains again.
    device.power = Power::Battery;
    let before = device.runs.len();
    device.live(2 * HOUR_MS);
    assert_eq!(device.runs.len(), before);
    device.power = Power::Mains;
    device.live(RECURRING_LOOK_MS);
    assert_eq!(device.runs.len(), before + 1);
    // On battery for days: once a day, also by the time that it is suspended.
    device.power = Power::Battery;
    device.live(3 * DAY_MS);
    assert_eq!(device.runs.len(), before + 4);
    device.suspend(DAY_MS);
    device.live(RECURRING_LOOK_MS);
    assert_eq!(device.runs.len(), before + 5);
    // The first failures are no reason to try again and again.
    let mut device = Device::new(HOUR_MS);
    (device.came, device.power) = (Came::Nothing, Power::Battery);
    device.live(3 * DAY_MS);
    assert_eq!(device.runs.len(), 3);
}

// RECUR-4
#[test]
fn after_failures_it_is_tried_less_and_less_often_and_never_less_than_the_interval() {
    let mut device = Device::new(2 * HOUR_MS);
    device.came = Came::Nothing;
    device.live(DAY_MS);
    let gaps = gaps(&device.runs);
    let minutes: Vec<u64> = gaps.iter().map(|gap| gap / MINUTE_MS).collect();
    assert_eq!(minutes[..5], [10, 20, 40, 80, 120]);
    assert!(minutes[5..].iter().all(|gap| *gap == 120), "{minutes:?}");
    assert_eq!(device.thinned, 0);
    // Whole again: as if nothing had been.
    device.came = Came::Whole;
    device.live(3 * HOUR_MS);
    device.came = Came::Nothing;
    let before = device.runs.len();
    device.live(3 * HOUR_MS);
    assert_eq!((device.runs[before + 1] - device.runs[before]) / MINUTE_MS, 10);
}

// RECUR-2
#[test]
fn a_folder_that_is_added_during_a_look_or_a_run_is_saved_after_it() {
    let every_ms = Some(DAY_MS);
    let mut machine = Recurring::new(every_ms);
    let mut now = Instant::default().after_ms(RECURRING_FIRST_MS);
    machine.handle_input(now, Input::TimePassed);
    let Some(Output::Look { order }) = machine.poll_output() else { panic!("no look") };
    machine.handle_input(now, Input::FolderAdded);
    let power = Power::Mains;
    // The answer knows nothing of it yet.
    let fresh = Input::Looked { order, age_ms: Some(0), tried_ms: 0, power };
    machine.handle_input(now, fresh);
    assert_eq!(machine.poll_timeout(), Some(now.after_ms(RECURRING_FIRST_MS)));
    now = now.after_ms(RECURRING_FIRST_MS);
    machine.handle_input(now, Input::TimePassed);
    let Some(Output::Look { order }) = machine.poll_output() else { panic!("no look") };
    let never = |order, tried_ms| Input::Looked { order, age_ms: Some(u64::MAX), tried_ms, power };
    machine.handle_input(now, never(order, 0));
    let Some(Output::BackUp { order }) = machine.poll_output() else { panic!("no run") };
    // And another one while that goes on.
    machine.handle_input(now, Input::FolderAdded);
    machine.handle_input(now, Input::BackedUp { order, came: Came::Whole });
    let Some(Output::Thin { order }) = machine.poll_output() else { panic!("no thinning") };
    machine.handle_input(now, Input::Thinned { order });
    now = machine.poll_timeout().unwrap();
    machine.handle_input(now, Input::TimePassed);
    let Some(Output::Look { order }) = machine.poll_output() else { panic!("no look") };
    machine.handle_input(now, never(order, RECURRING_FIRST_MS));
    let Some(Output::BackUp { .. }) = machine.poll_output() else { panic!("no run") };
}

// RECUR-13
#[test]
fn what_made_way_is_begun_again_soon_and_is_no_failure() {
    let mut device = Device::new(DAY_MS);
    (device.came, device.takes_ms) = (Came::MadeWay, HOUR_MS);
    device.live(RECURRING_FIRST_MS);
    device.came = Came::Whole;
    device.live(HOUR_MS);
    assert_eq!(gaps(&device.runs), [HOUR_MS + RECURRING_FIRST_MS]);
}

// RECUR-2
#[test]
fn a_folder_that_is_added_is_saved_soon_and_not_at_once() {
    let mut device = Device::new(DAY_MS);
    device.has_folders = false;
    device.live(3 * HOUR_MS);
    assert!(device.runs.is_empty());
    (device.has_folders, device.saved_ms) = (true, None);
    let added = device.wall_ms;
    device.give(Input::FolderAdded);
    device.live(HOUR_MS);
    assert_eq!(device.runs, [added + RECURRING_FIRST_MS]);
    // One after the other, without end.
    let mut device = Device::new(DAY_MS);
    device.live(HOUR_MS);
    let before = device.runs.len();
    for _ in 0..20 {
        device.saved_ms = None;
        device.give(Input::FolderAdded);
        device.live(MINUTE_MS);
    }
    assert!((3..=4).contains(&(device.runs.len() - before)), "{:?}", device.runs);
}

// RECUR-8
#[test]
fn it_thins_out_once_a_day_also_while_a_folder_is_away() {
    let mut device = Device::new(HOUR_MS);
    device.live(10 * DAY_MS);
    assert_eq!(device.thinned, 10);
    device.came = Came::Partly;
    device.live(2 * DAY_MS);
    assert_eq!(device.thinned, 12);
    device.came = Came::Nothing;
    device.live(2 * DAY_MS);
    assert_eq!(device.thinned, 12);
}

// RECUR-9
#[test]
fn off_begins_nothing_and_a_change_takes_effect_at_once() {
    let mut device = Device::new(DAY_MS);
    device.live(DAY_MS / 2);
    assert_eq!(device.runs.len(), 1);
    device.give(Input::EveryChanged { every_ms: None });
    assert_eq!(device.machine.poll_timeout(), None);
    device.live(3 * DAY_MS);
    assert_eq!(device.runs.len(), 1);
    device.give(Input::EveryChanged { every_ms: Some(MINUTE_MS) });
    let changed = device.wall_ms;
    device.live(MINUTE_MS);
    assert_eq!(device.runs[1], changed + MINUTE_MS);
    // What was under way when it was switched off ends, and nothing follows.
    let mut machine = Recurring::new(Some(MINUTE_MS));
    let start = Instant::default().after_ms(MINUTE_MS);
    machine.handle_input(start, Input::TimePassed);
    let Some(Output::Look { order }) = machine.poll_output() else { panic!("no look") };
    let (age_ms, tried_ms, power) = (Some(u64::MAX), u64::MAX, Power::Mains);
    machine.handle_input(start, Input::Looked { order, age_ms, tried_ms, power });
    let Some(Output::BackUp { order }) = machine.poll_output() else { panic!("no run") };
    machine.handle_input(start, Input::EveryChanged { every_ms: None });
    machine.handle_input(start, Input::BackedUp { order, came: Came::Whole });
    assert_eq!((machine.poll_output(), machine.poll_timeout()), (None, None));
    // A late answer to an order that is over changes nothing.
    machine.handle_input(start, Input::BackedUp { order, came: Came::Nothing });
    assert_eq!((machine.poll_output(), machine.orders_pending()), (None, 0));
}
