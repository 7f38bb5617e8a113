//! Scrubbing: when a device reads back what it keeps, so that rot is found long before somebody needs
//! the bytes. It asks nobody, and only its own disk; what others keep is `auditing`.
//!
//! ```text
//!  listed ──due──> segment: the oldest one is read, then rest, the next one ... ──none is left──> noted
//!                    ├── whole ──────> again when it is due next
//!                    ├── damaged ────> told at once; not read again before it is due next
//!                    └── unreadable ─> nothing is concluded; not tried again for a day
//! ```
//! **When.** A shard is due when half the period has passed since it was read last or stored, and up
//! to a quarter of the period more, by its root: what came in one day is not read in one day. That
//! leaves a quarter of the period for reading. Where one shard is due, those that would be due in the
//! next hours are read as well, so that a disk may sleep in between.
//!
//! **How fast.** One shard at a time; after one that took `t` to read, at least
//! [`SCRUB_REST_FACTOR`]` * t` of rest. However much is due: a device that was away for a year
//! catches up with a tenth of its disk, and no faster (SCRUB-3).
//!
//! The shell lists what is kept once a day, rather than telling of every change: what came since
//! cannot be due yet, and ages by the wall clock are right also after the machine slept.
//!
//! Drive it as [`placing`](crate::placing): input, outputs until `None`, [`Scrubbing::poll_timeout`].
//! An order has no deadline: a disk that hangs is not asked a second thing.
//!
//! Invariants: one order under way; nothing is noted that was not read. Source: specs/scrubbing.md.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, VecDeque},
};

use crate::{
    ids::ShardRoot,
    limits::{
        SCRUB_FIRST_MS, SCRUB_GATHER_MS, SCRUB_LIST_MS, SCRUB_NOTE_MS, SCRUB_PERIOD_MS_MIN,
        SCRUB_REST_FACTOR, SCRUB_RETRY_MS, SCRUB_SEGMENT_SHARDS_MAX,
    },
    order::{OrderId, OrderNumbers},
    time::Instant,
};

/// A shard that this device keeps, and is not known to be damaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kept {
    /// Which.
    pub root: ShardRoot,
    /// Since it was read whole or stored, by the wall clock; as old as can be where nobody knows.
    pub age_ms: u64,
}

/// What reading one shard came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Found {
    /// Every byte has its hash.
    Whole,
    /// Bytes do not have their hash, or are gone.
    Damaged,
    /// It is kept no more.
    Gone,
    /// It could not be looked at now, which says nothing of its bytes.
    Unable,
}

/// A fact for the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// Everything is to be read within so long; `None` for never.
    PeriodChanged {
        /// Below a day it counts as a day.
        period_ms: Option<u64>,
    },
    /// Somebody else has read shards and noted it: a new list is worth while.
    ReadElsewhere,
    /// Answer to [`Output::List`]: all that is kept, each once, in any order.
    Listed {
        /// Which.
        order: OrderId,
        /// What is not among them is kept no more, or known to be damaged.
        shards: Vec<Kept>,
    },
    /// Answer to [`Output::List`]: it could not be told.
    ListFailed {
        /// Which.
        order: OrderId,
    },
    /// Answer to [`Output::Scrub`].
    Scrubbed {
        /// Which.
        order: OrderId,
        /// What was found.
        found: Found,
    },
    /// The time named by [`Scrubbing::poll_timeout`] has come.
    TimePassed,
}

/// An order to the shell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Tell what is kept, and how old each is.
    List {
        /// Number for the answer.
        order: OrderId,
    },
    /// Read this shard whole and compare it with its root.
    Scrub {
        /// Number for the answer.
        order: OrderId,
        /// Which.
        root: ShardRoot,
    },
    /// These were read: note the day, all in one. A crash before costs reading them again.
    NoteScrubbed {
        /// Which, ascending; at most [`SCRUB_SEGMENT_SHARDS_MAX`].
        roots: Vec<ShardRoot>,
    },
    /// The bytes of this shard are lost: tell whoever relies on them.
    Damaged {
        /// Which.
        root: ShardRoot,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Work {
    Resting,
    Listing { order: OrderId },
    Reading { order: OrderId, root: ShardRoot, since: Instant },
}

/// What came of a shard since start. A note that could not be written, and a wall clock that lies, must
/// not have it read again and again.
#[derive(Debug, Clone, Copy)]
struct Tried {
    at: Instant,
    was_read: bool,
}

/// The machine. Memory: about 100 bytes for each shard that is due within 30 hours or was read since
/// start. Outputs: at most three for one input.
#[derive(Debug, Clone)]
pub struct Scrubbing {
    now: Instant,
    period_ms: Option<u64>,
    list_at: Instant,
    /// When each is due, of those that a segment before the next list may read; the oldest first.
    plan: BTreeMap<(Reverse<u64>, ShardRoot), Instant>,
    tried: BTreeMap<ShardRoot, Tried>,
    work: Work,
    /// While a segment is being read: what is due until then belongs to it.
    segment_until: Option<Instant>,
    rest_until: Instant,
    unnoted: Vec<ShardRoot>,
    /// When the first of them was read.
    unnoted_since: Instant,
    numbers: OrderNumbers,
    outputs: VecDeque<Output>,
}

impl Scrubbing {
    /// A machine that knows nothing yet and begins [`SCRUB_FIRST_MS`] after the start of the clock.
    pub fn new(period_ms: Option<u64>) -> Self {
        Self {
            now: Instant::default(),
            period_ms: at_least_a_day(period_ms),
            list_at: Instant::default().after_ms(SCRUB_FIRST_MS),
            plan: BTreeMap::new(),
            tried: BTreeMap::new(),
            work: Work::Resting,
            segment_until: None,
            rest_until: Instant::default(),
            unnoted: Vec::new(),
            unnoted_since: Instant::default(),
            numbers: OrderNumbers::new(),
            outputs: VecDeque::new(),
        }
    }

    /// Takes one input; late and repeated answers do no harm.
    pub fn handle_input(&mut self, now: Instant, input: Input) {
        self.now = self.now.max(now);
        match input {
            Input::PeriodChanged { period_ms } => self.period_changed(at_least_a_day(period_ms)),
            Input::ReadElsewhere => self.list_at = self.now,
            Input::Listed { order, shards } => {
                if self.work == (Work::Listing { order }) {
                    self.work = Work::Resting;
                    self.listed(&shards);
                }
            }
            Input::ListFailed { order } => {
                if self.work == (Work::Listing { order }) {
                    self.work = Work::Resting;
                    self.list_at = self.now.after_ms(SCRUB_FIRST_MS);
                }
            }
            Input::Scrubbed { order, found } => self.scrubbed(order, found),
            Input::TimePassed => {}
        }
        if self.note_by().is_some_and(|by| by <= self.now) {
            self.note();
        }
        self.go_on();
    }

    /// The next order; `None` when there is none for now.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to give [`Input::TimePassed`]; `None` for never.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let is_free = self.period_ms.is_some() && self.work == Work::Resting;
        let due = match self.segment_until {
            Some(_) => Some(self.rest_until),
            None => self.first_due().map(|due| due.max(self.rest_until)),
        };
        let next = is_free.then(|| due.map_or(self.list_at, |due| due.min(self.list_at)));
        next.into_iter().chain(self.note_by()).min()
    }

    /// Orders under way.
    pub fn orders_pending(&self) -> usize {
        usize::from(self.work != Work::Resting)
    }

    fn period_changed(&mut self, period_ms: Option<u64>) {
        if self.period_ms == period_ms {
            return;
        }
        self.period_ms = period_ms;
        self.plan.clear();
        self.list_at = self.now;
        if period_ms.is_none() {
            self.end_segment();
        }
    }

    /// Takes a new list for the old one. Of what was read since start, the later of both counts.
    fn listed(&mut self, shards: &[Kept]) {
        let Some(period_ms) = self.period_ms else { return };
        let horizon = self.list_at.after_ms(SCRUB_GATHER_MS);
        self.plan.clear();
        let before = std::mem::take(&mut self.tried);
        for Kept { root, age_ms } in shards {
            let (mut age_ms, mut not_before) = (*age_ms, self.now);
            if let Some(tried) = before.get(root) {
                self.tried.insert(*root, *tried);
                match tried.was_read {
                    true => age_ms = age_ms.min(self.now.ms_since(tried.at)),
                    false => not_before = not_before.max(tried.at.after_ms(SCRUB_RETRY_MS)),
                }
            }
            let due = self.now.after_ms(due_after_ms(period_ms, root).saturating_sub(age_ms));
            let due = due.max(not_before);
            if due <= horizon {
                self.plan.insert((Reverse(age_ms), *root), due);
            }
        }
    }

    fn scrubbed(&mut self, answered: OrderId, found: Found) {
        let Work::Reading { order, root, since } = self.work else { return };
        if order != answered {
            return;
        }
        self.work = Work::Resting;
        let rest_ns = self.now.0.saturating_sub(since.0).saturating_mul(SCRUB_REST_FACTOR);
        self.rest_until = Instant(self.now.0.saturating_add(rest_ns));
        if found == Found::Gone {
            return;
        }
        let was_read = found != Found::Unable;
        self.tried.insert(root, Tried { at: self.now, was_read });
        if found == Found::Damaged {
            self.outputs.push_back(Output::Damaged { root });
        }
        if was_read {
            if self.unnoted.is_empty() {
                self.unnoted_since = self.now;
            }
            self.unnoted.push(root);
        }
        if self.unnoted.len() >= SCRUB_SEGMENT_SHARDS_MAX {
            self.note();
        }
    }

    /// Orders what comes next, if anything does.
    fn go_on(&mut self) {
        let Some(period_ms) = self.period_ms else {
            // Also what was still being read when it was switched off.
            return self.note();
        };
        if self.work != Work::Resting {
            return;
        }
        if self.list_at <= self.now {
            // From now, not from the answer: what is told meanwhile asks for another list.
            self.list_at = self.now.after_ms(SCRUB_LIST_MS.min(period_ms / 4));
            let order = self.numbers.take();
            self.work = Work::Listing { order };
            self.outputs.push_back(Output::List { order });
            return;
        }
        if self.segment_until.is_none() && self.first_due().is_some_and(|due| due <= self.now) {
            self.segment_until = Some(self.now.after_ms(SCRUB_GATHER_MS));
        }
        let Some(until) = self.segment_until else { return };
        let Some(oldest) = self.oldest_due_by(until) else { return self.end_segment() };
        if self.rest_until <= self.now {
            self.plan.remove(&oldest);
            let (order, (_, root)) = (self.numbers.take(), oldest);
            self.work = Work::Reading { order, root, since: self.now };
            self.outputs.push_back(Output::Scrub { order, root });
        }
    }

    fn first_due(&self) -> Option<Instant> {
        self.plan.values().min().copied()
    }

    fn oldest_due_by(&self, until: Instant) -> Option<(Reverse<u64>, ShardRoot)> {
        self.plan.iter().find(|(_, due)| **due <= until).map(|(oldest, _)| *oldest)
    }

    fn end_segment(&mut self) {
        self.segment_until = None;
        self.note();
    }

    fn note_by(&self) -> Option<Instant> {
        (!self.unnoted.is_empty()).then(|| self.unnoted_since.after_ms(SCRUB_NOTE_MS))
    }

    fn note(&mut self) {
        if !self.unnoted.is_empty() {
            let mut roots = std::mem::take(&mut self.unnoted);
            roots.sort_unstable();
            self.outputs.push_back(Output::NoteScrubbed { roots });
        }
    }
}

fn at_least_a_day(period_ms: Option<u64>) -> Option<u64> {
    period_ms.map(|ms| ms.max(SCRUB_PERIOD_MS_MIN))
}

/// After what age a shard is due: from half to three quarters of the period, spread by the first two
/// bytes of its root, which nobody chooses.
fn due_after_ms(period_ms: u64, root: &ShardRoot) -> u64 {
    let [high, low, ..] = *root.as_bytes();
    let place = u64::from(u16::from_be_bytes([high, low]));
    period_ms / 2 + period_ms / 4 / 65_536 * place
}

#[cfg(test)]
mod tests;
