//! Recurring: when a device backs up by itself, so that nobody has to think of it.
//!
//! ```text
//!  rests ──a look is due──▶ looks: how long ago was the folder saved that was saved least lately?
//!    ▲                        ├── not long enough ──▶ rests
//!    │                        └── long enough ──────▶ backs all folders up
//!    │                                                  ├── nothing could be saved ─┐ tried again later
//!    │                                                  ├── some could not be ──┐   │ and later
//!    └────── rests ◀── thins out, once a day ◀──────────┴── all saved           │   │
//!            rests ◀────────────────────────────────────────────────────────────┴───┘
//! ```
//! **When.** The shell tells ages by the wall clock at each look, so that also what a person saved
//! with a command counts, and the time that a machine slept. Looks are cheap and come every quarter of
//! an hour at most: a laptop that wakes up is saved soon after.
//!
//! **How much.** After a run that took `t`, none begins for [`RECURRING_REST_FACTOR`]` * t`, or for the
//! interval where that is shorter: a first backup that waits for its line for days does not keep
//! what is new waiting for weeks (RECUR-2). On battery, once a day at most (RECUR-3).
//!
//! Drive it as [`placing`](crate::placing): input, outputs until `None`, [`Recurring::poll_timeout`].
//!
//! Invariant: one order under way. Source: specs/recurring.md.

use std::collections::VecDeque;

use crate::{
    limits::{
        RECURRING_BATTERY_MS, RECURRING_FIRST_MS, RECURRING_LOOK_MS, RECURRING_MS_MIN,
        RECURRING_REST_FACTOR, RECURRING_RETRY_MS, RECURRING_THIN_MS, RECURRING_TIRED_MS_MAX,
    },
    order::{OrderId, OrderNumbers},
    time::Instant,
};

/// What feeds this device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Power {
    /// The mains, or nobody knows.
    Mains,
    /// A battery that is being emptied.
    Battery,
}

/// What came of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Came {
    /// Every folder is saved as it is; files that cannot be read do not count.
    Whole,
    /// Some folders are, and some could not be.
    Partly,
    /// None could be.
    Nothing,
    /// It made way for what somebody asked for.
    MadeWay,
}

/// A fact for the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Input {
    /// So often it is to be; `None` for never.
    EveryChanged {
        /// Below a minute it counts as a minute.
        every_ms: Option<u64>,
    },
    /// Another folder is to be backed up.
    FolderAdded,
    /// Answer to [`Output::Look`].
    Looked {
        /// Which.
        order: OrderId,
        /// Since the folder that was saved least lately was saved, by the wall clock; `u64::MAX` for
        /// never. `None` where there is nothing to back up.
        age_ms: Option<u64>,
        /// Since the last order to back up was taken, by the wall clock; `u64::MAX` for never.
        tried_ms: u64,
        /// What feeds this device now.
        power: Power,
    },
    /// Answer to [`Output::BackUp`].
    BackedUp {
        /// Which.
        order: OrderId,
        /// What came of it.
        came: Came,
    },
    /// Answer to [`Output::Thin`], whatever came of it.
    Thinned {
        /// Which.
        order: OrderId,
    },
    /// The time named by [`Recurring::poll_timeout`] has come.
    TimePassed,
}

/// An order to the shell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// Tell how old what is saved is.
    Look {
        /// Number for the answer.
        order: OrderId,
    },
    /// Back all folders up.
    BackUp {
        /// Number for the answer.
        order: OrderId,
    },
    /// Forget those snapshots that were made in this way and that the rules keep no longer.
    Thin {
        /// Number for the answer.
        order: OrderId,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Work {
    Resting,
    Looking { order: OrderId },
    BackingUp { order: OrderId, since: Instant },
    Thinning { order: OrderId },
}

/// The machine. A few numbers, and one output for an input.
#[derive(Debug, Clone)]
pub struct Recurring {
    now: Instant,
    every_ms: Option<u64>,
    work: Work,
    look_at: Instant,
    /// No run begins before.
    rest_until: Instant,
    /// The same for how long the last run took alone, which nothing shortens.
    tired_until: Instant,
    thin_at: Instant,
    /// Runs in a row in which some folder could not be saved.
    failures: u32,
    /// Something is to be saved for the first time: when the last run was says nothing.
    is_anew: bool,
    numbers: OrderNumbers,
    outputs: VecDeque<Output>,
}

impl Recurring {
    /// A machine that knows nothing yet and begins [`RECURRING_FIRST_MS`] after the start of the clock,
    /// or after the interval if that is shorter.
    pub fn new(every_ms: Option<u64>) -> Self {
        let every_ms = at_least_a_minute(every_ms);
        let first = Instant::default().after_ms(first_ms(every_ms));
        Self {
            now: Instant::default(),
            every_ms,
            work: Work::Resting,
            look_at: first,
            rest_until: first,
            tired_until: Instant::default(),
            thin_at: Instant::default(),
            failures: 0,
            is_anew: false,
            numbers: OrderNumbers::new(),
            outputs: VecDeque::new(),
        }
    }

    /// Takes one input; late and repeated answers do no harm.
    pub fn handle_input(&mut self, now: Instant, input: Input) {
        self.now = self.now.max(now);
        match input {
            Input::EveryChanged { every_ms } => self.every_changed(at_least_a_minute(every_ms)),
            Input::FolderAdded => self.begin_in(first_ms(self.every_ms)),
            Input::Looked { order, age_ms, tried_ms, power } => {
                if self.work == (Work::Looking { order }) {
                    self.looked(age_ms, tried_ms, power);
                }
            }
            Input::BackedUp { order, came } => self.backed_up(order, came),
            Input::Thinned { order } => {
                if self.work == (Work::Thinning { order }) {
                    self.work = Work::Resting;
                }
            }
            Input::TimePassed => {}
        }
        self.look_if_due();
    }

    /// The next order; `None` when there is none for now.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to give [`Input::TimePassed`]; `None` for never.
    pub fn poll_timeout(&self) -> Option<Instant> {
        (self.every_ms.is_some() && self.work == Work::Resting).then_some(self.look_at)
    }

    /// Orders under way.
    pub fn orders_pending(&self) -> usize {
        usize::from(self.work != Work::Resting)
    }

    fn every_changed(&mut self, every_ms: Option<u64>) {
        if self.every_ms != every_ms {
            self.every_ms = every_ms;
            self.begin_in(first_ms(every_ms));
        }
    }

    /// Whatever failed before, a run may begin after so long, and not before. Who adds folder after folder
    /// does not put it off for ever.
    fn begin_in(&mut self, ms: u64) {
        self.failures = 0;
        self.is_anew = true;
        let by = self.now.after_ms(ms);
        let is_waiting = self.rest_until > self.now;
        let by = if is_waiting { self.rest_until.min(by) } else { by };
        self.rest_until = by.max(self.tired_until);
        self.look_at = self.rest_until;
    }

    fn looked(&mut self, age_ms: Option<u64>, tried_ms: u64, power: Power) {
        self.work = Work::Resting;
        self.look_at = self.now.after_ms(RECURRING_LOOK_MS);
        if self.is_anew && self.rest_until > self.now {
            // What was added while it looked is not in the answer.
            self.look_at = self.look_at.min(self.rest_until);
        }
        let (Some(age_ms), Some(every_ms)) = (age_ms, self.every_ms) else { return };
        let wait_ms = match power {
            Power::Mains => every_ms,
            Power::Battery => every_ms.max(RECURRING_BATTERY_MS),
        };
        let again_ms = match (self.failures, power) {
            _ if self.is_anew => 0,
            (1.., Power::Mains) => retry_ms(self.failures).min(every_ms),
            // Also where nothing failed: an age that does not become less starts no run after run.
            (0, _) | (_, Power::Battery) => wait_ms,
        };
        let missing_ms = wait_ms.saturating_sub(age_ms).max(again_ms.saturating_sub(tried_ms));
        let due = self.now.after_ms(missing_ms).max(self.rest_until);
        if due > self.now {
            self.look_at = self.look_at.min(due);
            return;
        }
        self.is_anew = false;
        let order = self.numbers.take();
        self.work = Work::BackingUp { order, since: self.now };
        self.outputs.push_back(Output::BackUp { order });
    }

    fn backed_up(&mut self, answered: OrderId, came: Came) {
        let Work::BackingUp { order, since } = self.work else { return };
        if order != answered {
            return;
        }
        self.work = Work::Resting;
        let (first_ms, took_ms) = (first_ms(self.every_ms), self.now.ms_since(since));
        let tired_ms = took_ms.saturating_mul(RECURRING_REST_FACTOR).min(self.tired_ms_max());
        self.tired_until = self.now.after_ms(if came == Came::MadeWay { 0 } else { tired_ms });
        self.rest_until = self.now.after_ms(first_ms).max(self.tired_until);
        self.look_at = self.rest_until.min(self.now.after_ms(RECURRING_LOOK_MS));
        self.failures = match came {
            // What was added meanwhile was no part of it.
            _ if self.is_anew => 0,
            Came::Whole => 0,
            Came::Partly | Came::Nothing => self.failures.saturating_add(1),
            Came::MadeWay => self.failures,
        };
        // What made way is to be begun again as if it had not been.
        self.is_anew |= came == Came::MadeWay;
        let may_thin = matches!(came, Came::Whole | Came::Partly) && self.every_ms.is_some();
        if may_thin && self.thin_at <= self.now {
            self.thin_at = self.now.after_ms(RECURRING_THIN_MS);
            let order = self.numbers.take();
            self.work = Work::Thinning { order };
            self.outputs.push_back(Output::Thin { order });
        }
    }

    /// However long a run took, the next one may begin after so long.
    fn tired_ms_max(&self) -> u64 {
        self.every_ms.unwrap_or(0).max(RECURRING_TIRED_MS_MAX)
    }

    fn look_if_due(&mut self) {
        let is_free = self.every_ms.is_some() && self.work == Work::Resting;
        if is_free && self.look_at <= self.now {
            let order = self.numbers.take();
            self.work = Work::Looking { order };
            self.outputs.push_back(Output::Look { order });
        }
    }
}

fn at_least_a_minute(every_ms: Option<u64>) -> Option<u64> {
    every_ms.map(|every_ms| every_ms.max(RECURRING_MS_MIN))
}

/// From a start, from a new folder, and from one run to the next at least.
fn first_ms(every_ms: Option<u64>) -> u64 {
    every_ms.map_or(RECURRING_FIRST_MS, |every_ms| every_ms.min(RECURRING_FIRST_MS))
}

/// After so many failures in a row, doubling.
fn retry_ms(failures: u32) -> u64 {
    RECURRING_RETRY_MS.saturating_mul(1 << failures.saturating_sub(1).min(20))
}

pub mod kept_away;
#[cfg(test)]
mod tests;
mod walked;

pub use walked::Walked;
