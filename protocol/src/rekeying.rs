//! Rekeying: what was sealed under keys that a removed device knew is made anew under the newest one,
//! because somebody asked for it. Which packs, in which order, how much at once, how often, and when it
//! is done.
//!
//! ```text
//!        Wanted                due                     Moved               Settled
//!  off ─────────> resting ───────────> Round under way ──────> settling ──────────> resting ...
//!   ^                ^                   │      │                (safe at holders)
//!   │                └── Busy, Stuck ────┘      │
//!   └──────────────── Done, Unwanted ───────────┘
//! ```
//! Pure: what each pack is sealed with comes in, a plan goes out. A pack is made anew as a whole, what
//! nobody needs of it included: so no snapshot has to be read to know what may go, and nothing is lost
//! by a mistake in that. Nothing is done, and nothing waits for a clock, while nobody has asked.
//!
//! Drive [`Rekeying`] as [`placing`](crate::placing): input, outputs until `None`,
//! [`Rekeying::poll_timeout`]. Invariant: one round under way. Source: specs/rekeying.md.

use std::collections::{BTreeSet, VecDeque};

use crate::{
    ids::{DeviceId, ShardRoot},
    index::PackClass,
    limits::{
        REKEY_BUSY_MS, REKEY_BYTES_MAX, REKEY_COMMITS_MAX, REKEY_FIRST_MS, REKEY_REST_FACTOR,
        REKEY_REST_MS_MAX, REKEY_REST_MS_MIN,
    },
    order::{Backoff, OrderId, OrderNumbers},
    time::Instant,
};

/// After a round for which nothing could be had: holders are away.
const BACKOFF: Backoff = Backoff { first_ms: 600_000, most_ms: 21_600_000 };

/// Why a pack is claimed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Bond {
    /// Snapshots of this device need it, or may.
    Own,
    /// A removed device has left it.
    Left,
    /// Manifest or index of a removed device: the head that it signed names them, and nobody else can
    /// sign another one in its place.
    Signed,
    /// Nobody has it any more, as far as is known.
    Lost,
}

/// A pack that this device claims.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SealedPack {
    /// Which.
    pub root: ShardRoot,
    /// Its length.
    pub bytes: u64,
    /// Epoch whose key seals it.
    pub epoch: u32,
    /// Which kind of pack.
    pub class: PackClass,
    /// Grows as packs come to be known: neighbours hold what lies together.
    pub number: u32,
    /// Why it is claimed.
    pub bond: Bond,
}

impl SealedPack {
    /// Whether what is in both may go into one new pack. What was left behind stays for good, and must
    /// not hold back the space of anything else.
    pub fn is_kin(&self, other: &Self) -> bool {
        (self.bond, self.class) == (other.bond, other.class)
    }
}

/// How many packs, and their bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Amount {
    /// Packs.
    pub packs: u64,
    /// Bytes.
    pub bytes: u64,
}

impl Amount {
    /// One pack more.
    pub const fn add(&mut self, bytes: u64) {
        self.packs = self.packs.saturating_add(1);
        self.bytes = self.bytes.saturating_add(bytes);
    }
}

/// What is to be made anew, in this order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plan {
    packs: Vec<SealedPack>,
    /// Of these.
    pub behind: Amount,
    /// Sealed under older keys for good: see [`Bond::Signed`].
    pub signed: Amount,
    /// Sealed under older keys, and nowhere to be had: see [`Bond::Lost`].
    pub lost: Amount,
}

impl Plan {
    /// What of these packs is sealed under a key of before epoch `up_to`. Own packs come first, and
    /// metadata before data: names tell the most, and all of them are small.
    pub fn among(packs: impl IntoIterator<Item = SealedPack>, up_to: u32) -> Self {
        let mut plan = Self::default();
        for pack in packs.into_iter().filter(|pack| pack.epoch < up_to) {
            match pack.bond {
                Bond::Own | Bond::Left => {
                    plan.behind.add(pack.bytes);
                    plan.packs.push(pack);
                }
                Bond::Signed => plan.signed.add(pack.bytes),
                Bond::Lost => plan.lost.add(pack.bytes),
            }
        }
        plan.packs.sort_by_key(|pack| {
            (pack.bond, pack.class != PackClass::Metadata, pack.number, pack.root)
        });
        plan
    }

    /// All of it, in order.
    pub fn packs(&self) -> &[SealedPack] {
        &self.packs
    }

    /// What one round makes anew: at least one pack, and no more than `REKEY_BYTES_MAX` together. Nothing
    /// once everything is in `passed_over`: made anew before, or not to be had now.
    pub fn round(&self, passed_over: &BTreeSet<ShardRoot>) -> Vec<SealedPack> {
        let mut round = Vec::new();
        let mut budget_bytes = REKEY_BYTES_MAX;
        for pack in self.packs.iter().filter(|pack| !passed_over.contains(&pack.root)) {
            match budget_bytes.checked_sub(pack.bytes) {
                Some(left) => budget_bytes = left,
                None if round.is_empty() => budget_bytes = 0,
                None => break,
            }
            round.push(*pack);
        }
        round
    }

    /// Whether old packs of which everything is in new ones, `moved`, are to be dropped by a commit now. Each
    /// such commit writes the whole index anew, so there are not many: `dropped_bytes` is what earlier ones dropped.
    pub fn is_commit_due(
        &self,
        moved: &BTreeSet<ShardRoot>,
        dropped_bytes: u64,
        is_more: bool,
    ) -> bool {
        let moved = self.packs.iter().filter(|pack| moved.contains(&pack.root));
        let moved_bytes: u64 = moved.map(|pack| pack.bytes).sum();
        let share_bytes = self.behind.bytes.saturating_add(dropped_bytes) / REKEY_COMMITS_MAX;
        moved_bytes > 0 && (!is_more || moved_bytes >= share_bytes.max(REKEY_BYTES_MAX))
    }
}

/// Whether the next round may begin: what was made anew is at holders, all but one round of it, and so is
/// the head that claims it. A full or absent holder holds everything back, and the spool stays small.
pub const fn is_settled(waiting_bytes: u64, (newest, published): (u64, u64)) -> bool {
    waiting_bytes < REKEY_BYTES_MAX && published >= newest
}

/// A fact for the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Input {
    /// Somebody asks for it just now, or (at the start of the node) asked for it before.
    Wanted {
        /// Other things come first after a start.
        is_start: bool,
    },
    /// The wish was taken back.
    Unwanted,
    /// Answer to [`Output::Round`].
    Ended {
        /// Which order.
        order: OrderId,
        /// How it went.
        how: Ended,
    },
    /// Not yet [`is_settled`].
    Unsettled {
        /// Nothing is under way: a holder is away or full.
        is_held_up: bool,
    },
    /// [`is_settled`].
    Settled,
    /// The time named by [`Rekeying::poll_timeout`] has come.
    TimePassed,
}

/// How a round went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// Something was made anew, or dropped.
    Moved,
    /// A backup or a restore is running, which goes first.
    Busy,
    /// Nothing of what is left can be had now.
    Stuck,
    /// Nothing is left.
    Done,
}

/// An order to the shell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// Make anew what [`Plan::round`] says. Answer with `Ended`, always.
    Round {
        /// Number for the answer.
        order: OrderId,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum State {
    /// Nobody wants it.
    #[default]
    Off,
    /// Until the next round.
    Resting { until: Instant },
    /// A round is under way.
    Working { order: OrderId, since: Instant },
    /// What it made is on its way to holders. So long was worked for it until `looked`.
    Settling { worked_ms: u64, looked: Instant },
}

/// The machine that says when.
#[derive(Debug, Clone)]
pub struct Rekeying {
    own: DeviceId,
    now: Instant,
    state: State,
    failures: u32,
    numbers: OrderNumbers,
    outputs: VecDeque<Output>,
}

impl Rekeying {
    /// A machine of which nothing is wanted.
    pub const fn new(own: DeviceId) -> Self {
        Self {
            own,
            now: Instant(0),
            state: State::Off,
            failures: 0,
            numbers: OrderNumbers::new(),
            outputs: VecDeque::new(),
        }
    }

    /// Takes one input; late and repeated ones do no harm.
    pub fn handle_input(&mut self, now: Instant, input: Input) {
        self.now = self.now.max(now);
        match (input, self.state) {
            (Input::Wanted { is_start }, State::Off | State::Resting { .. }) => {
                self.failures = 0;
                self.rest(if is_start { REKEY_FIRST_MS } else { 0 });
            }
            (Input::Unwanted, _) => {
                self.state = State::Off;
                self.outputs.clear();
            }
            (Input::Ended { order, how }, State::Working { order: current, since })
                if order == current =>
            {
                self.ended(how, since);
            }
            (Input::Unsettled { is_held_up }, State::Settling { worked_ms, looked }) => {
                // To wait for somebody is no work.
                let more_ms = if is_held_up { 0 } else { self.now.ms_since(looked) };
                let worked_ms = worked_ms.saturating_add(more_ms);
                self.state = State::Settling { worked_ms, looked: self.now };
            }
            (Input::Settled, State::Settling { worked_ms, looked }) => {
                let worked_ms = worked_ms.saturating_add(self.now.ms_since(looked));
                let rest_ms = worked_ms.saturating_mul(REKEY_REST_FACTOR);
                self.rest(rest_ms.clamp(REKEY_REST_MS_MIN, REKEY_REST_MS_MAX));
            }
            (
                Input::Wanted { .. }
                | Input::Ended { .. }
                | Input::Unsettled { .. }
                | Input::Settled
                | Input::TimePassed,
                _,
            ) => {}
        }
        if let State::Resting { until } = self.state
            && until <= self.now
        {
            let order = self.numbers.take();
            self.state = State::Working { order, since: self.now };
            self.outputs.push_back(Output::Round { order });
        }
    }

    /// The next order; `None` when there is none for now.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to come back with `TimePassed` at the latest.
    pub const fn poll_timeout(&self) -> Option<Instant> {
        match self.state {
            State::Resting { until } => Some(until),
            State::Off | State::Working { .. } | State::Settling { .. } => None,
        }
    }

    /// Whether it waits for [`Input::Settled`].
    pub const fn is_settling(&self) -> bool {
        matches!(self.state, State::Settling { .. })
    }

    fn rest(&mut self, wait_ms: u64) {
        self.state = State::Resting { until: self.now.after_ms(wait_ms) };
    }

    fn ended(&mut self, how: Ended, since: Instant) {
        match how {
            Ended::Moved => {
                self.failures = 0;
                let worked_ms = self.now.ms_since(since);
                self.state = State::Settling { worked_ms, looked: self.now };
            }
            Ended::Busy => self.rest(REKEY_BUSY_MS),
            Ended::Stuck => {
                self.failures = self.failures.saturating_add(1);
                self.rest(BACKOFF.wait_ms(self.failures, &self.own));
            }
            Ended::Done => self.state = State::Off,
        }
    }
}

#[cfg(test)]
mod tests;
