//! Watching: which holders are there, which are away as usual, and which are presumed lost.
//!
//! ```text
//!  Unknown ──called──> Here <──answers, calls── Away, Suspect, Lost
//!                       └──silent──> Away ──longer than ever──> Suspect ──limit──> Lost
//! ```
//! **Nobody is lost by one silence, nor by time alone.** Time counts only between calls of ours that
//! a device left unanswered, and for `Lost` only while somebody at another site answered: a house
//! without a line, a laptop that slept for a month and a wrong clock presume nobody lost. How long it
//! takes is learnt from each device's own absences, see [`History::limit_s`].
//!
//! Nothing is ever deleted because somebody is presumed lost. Its receipts count no more until it
//! answers, so that [`placing`](crate::placing) sees to other copies; that is all.
//!
//! Drive it as [`placing`](crate::placing): input, outputs until `None`, [`Watching::poll_timeout`];
//! beside the instant it is given the wall clock, which weekdays and long times need.
//! Invariants: one call under way to each holder, and one in [`WATCH_EVERY_MS`] unless it calls us.
//! Source: specs/watching.md.

use std::collections::{BTreeMap, VecDeque};

use crate::{
    ids::DeviceId,
    limits::{DISCOVERY_AGAIN_MS, WATCH_ANSWER_MS_MAX, WATCH_EVERY_MS, WATCH_FIRST_MS},
    order::{Backoff, OrderId, OrderNumbers},
    time::{Instant, Timestamp},
};

mod history;

pub use history::{History, Kind, Presence, Word, limit_s, remembered_s};

/// Calls are spread: up to a quarter is added by the holder's id and the count.
const EVERY: Backoff = Backoff { first_ms: WATCH_EVERY_MS, most_ms: WATCH_EVERY_MS };
const FIRST: Backoff = Backoff { first_ms: WATCH_FIRST_MS, most_ms: WATCH_FIRST_MS };

/// A fact for the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// A holder, at start or new.
    HolderKnown {
        /// Who.
        holder: DeviceId,
        /// Whether its site is another one than that of this device.
        is_elsewhere: bool,
        /// What was kept of it; nothing of a new one.
        history: Option<Box<History>>,
    },
    /// The user removed it.
    HolderRemoved {
        /// Who.
        holder: DeviceId,
    },
    /// It called, or answered something else than our [`Output::Call`].
    Heard {
        /// Who.
        holder: DeviceId,
    },
    /// By way of somebody else it has shown that it was there after `since`, by the clock of this device.
    HeardOf {
        /// Who.
        holder: DeviceId,
        /// Since when.
        since: Timestamp,
    },
    /// Something else that was asked of it came to nothing: if it was here, it is called to see.
    Doubted {
        /// Who.
        holder: DeviceId,
    },
    /// It may be in reach again: somebody shows itself as it would. If it was not here, it is called to
    /// see.
    Sighted {
        /// Who.
        holder: DeviceId,
    },
    /// Answer to [`Output::Call`].
    CallEnded {
        /// Which call.
        order: OrderId,
        /// Whether it answered, whatever it said.
        answered: bool,
    },
    /// The user said something of it.
    Said {
        /// Who.
        holder: DeviceId,
        /// What is to be expected.
        word: Word,
    },
    /// The user said what it is.
    KindSaid {
        /// Who.
        holder: DeviceId,
        /// What.
        kind: Kind,
    },
    /// The time named by [`Watching::poll_timeout`] has come.
    TimePassed,
}

/// An order to the shell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Greet it; answer with `CallEnded`.
    Call {
        /// Number for the answer.
        order: OrderId,
        /// Whom.
        holder: DeviceId,
    },
    /// Write this down durably; it comes back in `HolderKnown`. Losing it costs patience, not data.
    Keep {
        /// Of whom.
        holder: DeviceId,
        /// What.
        history: Box<History>,
    },
    /// Tell placing whether its receipts count. Said again at every start.
    Presumed {
        /// Who.
        holder: DeviceId,
        /// Whether it is presumed lost.
        is_lost: bool,
    },
}

#[derive(Debug, Clone, Default)]
struct Holder {
    is_elsewhere: bool,
    history: History,
    /// When it is called next.
    due: Instant,
    calls: u32,
    /// When it was last called in this run.
    called: Option<Instant>,
    /// When it last answered in this run.
    answered: Option<Instant>,
    /// When it was last called because it seemed to be in reach.
    sighted: Option<Instant>,
    call: Option<Call>,
    is_presumed_lost: bool,
}

#[derive(Debug, Clone, Copy)]
struct Call {
    order: OrderId,
    deadline: Instant,
}

/// The machine. Memory: about 700 bytes for each holder. Outputs: at most three for each holder.
#[derive(Debug, Clone, Default)]
pub struct Watching {
    now: Instant,
    clock: Timestamp,
    holders: BTreeMap<DeviceId, Holder>,
    numbers: OrderNumbers,
    outputs: VecDeque<Output>,
}

impl Watching {
    /// A machine that knows nobody. At start the shell gives `HolderKnown` for every holder.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes one input. `now` never goes back; `clock`, the wall clock, may do anything.
    pub fn handle_input(&mut self, now: Instant, clock: Timestamp, input: Input) {
        self.now = self.now.max(now);
        self.clock = clock;
        match input {
            Input::HolderKnown { holder, is_elsewhere, history } => {
                self.holder_known(holder, is_elsewhere, history);
            }
            Input::HolderRemoved { holder } => _ = self.holders.remove(&holder),
            Input::Heard { holder } => self.heard(holder),
            Input::HeardOf { holder, since } => self.heard_of(holder, since),
            Input::Doubted { holder } => self.doubted(holder),
            Input::Sighted { holder } => self.sighted(holder),
            Input::CallEnded { order, answered } => self.call_ended(order, answered),
            Input::Said { holder, word } => self.note(holder, |history| history.say(word)),
            Input::KindSaid { holder, kind } => self.note(holder, |history| history.is(kind)),
            Input::TimePassed => {}
        }
        self.end_overdue();
        self.call_due();
    }

    /// The next order; `None` when there is none for now.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to come back with `TimePassed` at the latest.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let at = |holder: &Holder| holder.call.map_or(holder.due, |call| call.deadline);
        self.holders.values().map(at).min()
    }

    /// What is known of a holder; for people.
    pub fn history(&self, holder: &DeviceId) -> Option<&History> {
        self.holders.get(holder).map(|holder| &holder.history)
    }

    /// How every holder stands.
    pub fn status(&self) -> BTreeMap<DeviceId, History> {
        self.holders.iter().map(|(id, holder)| (*id, holder.history.clone())).collect()
    }

    fn holder_known(&mut self, id: DeviceId, is_elsewhere: bool, history: Option<Box<History>>) {
        let due = self.now.after_ms(FIRST.wait_ms(1, &id));
        let holder = self.holders.entry(id).or_insert_with(|| Holder { due, ..Holder::default() });
        holder.is_elsewhere = is_elsewhere;
        if let Some(history) = history {
            holder.history = *history;
        }
        self.presume(id);
    }

    /// An answer ends an absence at once, however it came. Otherwise one in a while is enough.
    fn heard(&mut self, id: DeviceId) {
        let now = self.now;
        let Some(holder) = self.holders.get_mut(&id) else { return };
        holder.answered = Some(now);
        if holder.history.last_answered() != holder.history.last_called()
            || holder.history.presence() == Presence::Unknown
            || holder.call.is_some()
        {
            self.answered(id);
        }
    }

    /// ERR-10: it was there, and may be away again. The same word twice is no news.
    fn heard_of(&mut self, id: DeviceId, since: Timestamp) {
        let clock = self.clock;
        let is_news = |holder: &Holder| {
            let mut history = holder.history.clone();
            history.was_there(clock, since);
            history != holder.history
        };
        if self.holders.get(&id).is_some_and(is_news) {
            self.note(id, |history| history.was_there(clock, since));
        }
    }

    /// Once it is known to be away, more of that is no news.
    fn doubted(&mut self, id: DeviceId) {
        let now = self.now;
        let Some(holder) = self.holders.get_mut(&id) else { return };
        let lately = |at: Instant| now.ms_since(at) < WATCH_ANSWER_MS_MAX;
        let was_called = holder.called.is_some_and(lately);
        if holder.history.presence() == Presence::Here && !was_called {
            holder.answered = None;
            holder.due = now;
        }
    }

    /// Only whoever was not met lately; and whoever shows itself again and again is not called for it
    /// more than twice a minute.
    fn sighted(&mut self, id: DeviceId) {
        let now = self.now;
        let Some(holder) = self.holders.get_mut(&id) else { return };
        let is_met = holder.history.presence() == Presence::Here && holder.answered.is_some();
        let was_sighted = holder.sighted.is_some_and(|at| now.ms_since(at) < DISCOVERY_AGAIN_MS);
        if !is_met && !was_sighted {
            holder.sighted = Some(now);
            holder.answered = None;
            holder.due = now;
        }
    }

    fn call_ended(&mut self, order: OrderId, answered: bool) {
        let is_of = |holder: &Holder| holder.call.is_some_and(|call| call.order == order);
        let Some(id) = self.holders.iter().find(|(_, it)| is_of(it)).map(|(id, _)| *id) else {
            return;
        };
        if answered {
            self.answered(id);
        } else {
            self.was_silent(id);
        }
    }

    fn answered(&mut self, id: DeviceId) {
        let now = self.now;
        if let Some(holder) = self.holders.get_mut(&id) {
            holder.answered = Some(now);
            holder.call = None;
        }
        self.call_again(id);
        let clock = self.clock;
        self.note(id, |history| history.answered(clock));
    }

    fn was_silent(&mut self, id: DeviceId) {
        let since = |holder: &Holder| holder.answered.map(|at| self.now.ms_since(at));
        let lately = |holder: &Holder| since(holder).is_some_and(|ms| ms <= 2 * WATCH_EVERY_MS);
        let mut others = self.holders.iter().filter(|(other, _)| **other != id);
        let is_sure = others.any(|(_, other)| other.is_elsewhere && lately(other));
        if let Some(holder) = self.holders.get_mut(&id) {
            holder.call = None;
        }
        self.call_again(id);
        // It came into sight while the call was under way to where it was before.
        if let Some(holder) = self.holders.get_mut(&id).filter(|it| it.sighted > it.called) {
            holder.due = self.now;
        }
        let clock = self.clock;
        self.note(id, |history| history.was_silent(clock, is_sure));
    }

    fn call_again(&mut self, id: DeviceId) {
        let now = self.now;
        if let Some(holder) = self.holders.get_mut(&id) {
            holder.calls = holder.calls.wrapping_add(1);
            holder.due = now.after_ms(EVERY.wait_ms(holder.calls, &id));
        }
    }

    /// Changes what is known of a holder, has it kept, and draws the conclusion.
    fn note(&mut self, id: DeviceId, change: impl FnOnce(&mut History)) {
        let Some(holder) = self.holders.get_mut(&id) else { return };
        change(&mut holder.history);
        let history = Box::new(holder.history.clone());
        self.outputs.push_back(Output::Keep { holder: id, history });
        self.presume(id);
    }

    fn presume(&mut self, id: DeviceId) {
        let Some(holder) = self.holders.get_mut(&id) else { return };
        let is_lost = holder.history.presence() == Presence::Lost;
        if std::mem::replace(&mut holder.is_presumed_lost, is_lost) != is_lost {
            self.outputs.push_back(Output::Presumed { holder: id, is_lost });
        }
    }

    fn end_overdue(&mut self) {
        let now = self.now;
        let is_over = |holder: &Holder| holder.call.is_some_and(|call| call.deadline <= now);
        let over: Vec<DeviceId> =
            self.holders.iter().filter(|(_, it)| is_over(it)).map(|(id, _)| *id).collect();
        for id in over {
            self.was_silent(id);
        }
    }

    /// Calls whoever is due, unless it was heard of just before.
    fn call_due(&mut self) {
        let now = self.now;
        let is_due = |holder: &Holder| holder.call.is_none() && holder.due <= now;
        let due: Vec<DeviceId> =
            self.holders.iter().filter(|(_, it)| is_due(it)).map(|(id, _)| *id).collect();
        for id in due {
            let Some(holder) = self.holders.get_mut(&id) else { continue };
            if holder.answered.is_some_and(|at| now.ms_since(at) <= WATCH_EVERY_MS / 3) {
                self.answered(id);
                continue;
            }
            let order = self.numbers.take();
            let deadline = now.after_ms(WATCH_ANSWER_MS_MAX);
            holder.call = Some(Call { order, deadline });
            holder.called = Some(now);
            self.outputs.push_back(Output::Call { order, holder: id });
        }
    }
}

#[cfg(test)]
mod tests;
