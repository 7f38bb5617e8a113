//! Claiming: when this device tells which holder what it needs. Without its word a holder lets nothing
//! go, whatever other devices of the vault say.
//!
//! ```text
//!  our newest head is published, holder has it ──due──> Tell ──told──> again in a day
//!                                        │            in a quarter of an hour, if short and news
//!                                        └── failed: again later, or when it is met
//! ```
//! Told is the whole list that the newest head signs for, to each holder and to the holder that this
//! device itself is. Which shards may go then is the holder's decision, see
//! [`holding`](crate::holding).
//!
//! Drive it as [`placing`](crate::placing): input, outputs until `None`, [`Claiming::poll_timeout`].
//! Invariants: one list under way, to one holder. Source: specs/deletion.md.

use std::collections::{BTreeMap, VecDeque};

use crate::{
    ids::DeviceId,
    limits::{CLAIM_EVERY_MS, CLAIM_MS_MAX, CLAIM_SOON_MS, CLAIMS_SOON_MAX},
    order::{Backoff, OrderId, OrderNumbers},
    time::Instant,
};

/// After a list that was not taken, or not told, for the second time: nothing hangs on the hour.
const BACKOFF: Backoff = Backoff { first_ms: 600_000, most_ms: 21_600_000 };
/// After the first failure, and when it is met meanwhile, it is told after so long: whoever calls all
/// the time gains nothing.
const SOON_MS: u64 = 10_000;

/// A fact for the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// Somebody who may keep something of ours; this device as well.
    HolderKnown {
        /// Who.
        holder: DeviceId,
    },
    /// The user removed it.
    HolderRemoved {
        /// Who.
        holder: DeviceId,
    },
    /// It was met just now, or called.
    HolderConnected {
        /// Who.
        holder: DeviceId,
    },
    /// What kept lists from being told is over: a backup has ended.
    Freed,
    /// A head of ours is durable here.
    HeadCommitted {
        /// Number of the head.
        seq: u64,
    },
    /// Enough holders have a head of ours: see [`placing`](crate::placing).
    HeadPublished {
        /// Number of the head.
        seq: u64,
    },
    /// A holder has this head of ours, or a newer one.
    HeadHeld {
        /// Who.
        holder: DeviceId,
        /// Number of the head.
        seq: u64,
    },
    /// Answer to [`Output::Tell`]: the whole list was taken.
    Told {
        /// Which order.
        order: OrderId,
        /// How many packs the list names.
        packs: u64,
    },
    /// Answer to [`Output::Tell`]: it was not, or it could not be told now.
    NotTold {
        /// Which order.
        order: OrderId,
    },
    /// The time named by [`Claiming::poll_timeout`] has come.
    TimePassed,
}

/// An order to the shell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Take in every head of other devices that this holder has; let go here of what no device
    /// claims; then tell it everything that head `seq` of ours needs. Answer with `Told` or
    /// `NotTold`. While a backup is being made that may rely on what others claim: `NotTold`.
    Tell {
        /// Number for the answer.
        order: OrderId,
        /// Whom.
        holder: DeviceId,
        /// Our newest head; 0 when there is none.
        seq: u64,
    },
}

#[derive(Debug, Clone, Default)]
struct Holder {
    /// The newest head of ours that it has.
    head_seq: u64,
    /// The head whose list it was told last.
    told_seq: u64,
    due: Instant,
    /// When it may be told of a newer head already.
    soon: Option<Instant>,
    /// When it was last met.
    met: Option<Instant>,
    /// When it was last not told, and how often in a row.
    failed: Instant,
    failures: u32,
}

#[derive(Debug, Clone, Copy)]
struct Telling {
    order: OrderId,
    holder: DeviceId,
    seq: u64,
    begun: Instant,
    deadline: Instant,
}

/// The machine. Memory: 60 bytes for each holder. Outputs: at most one per input.
#[derive(Debug, Clone, Default)]
pub struct Claiming {
    now: Instant,
    newest_seq: u64,
    published_seq: u64,
    holders: BTreeMap<DeviceId, Holder>,
    telling: Option<Telling>,
    numbers: OrderNumbers,
    outputs: VecDeque<Output>,
}

impl Claiming {
    /// A machine that knows nothing yet. At start the shell gives `HolderKnown`, `HeadCommitted` for
    /// its newest head, `HeadPublished`, and `HeadHeld`.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes one input; late and repeated answers do no harm.
    pub fn handle_input(&mut self, now: Instant, input: Input) {
        self.now = self.now.max(now);
        match input {
            Input::HolderKnown { holder } => {
                self.holders.entry(holder).or_default();
            }
            Input::HolderRemoved { holder } => {
                self.holders.remove(&holder);
            }
            Input::HolderConnected { holder } => {
                let holder = self.holders.entry(holder).or_default();
                holder.met = Some(self.now);
                if holder.failures > 0 {
                    holder.due = holder.due.min(holder.failed.after_ms(SOON_MS));
                }
            }
            Input::Freed => {
                for holder in self.holders.values_mut().filter(|holder| holder.failures > 0) {
                    holder.due = self.now;
                }
            }
            Input::HeadCommitted { seq } => self.newest_seq = self.newest_seq.max(seq),
            Input::HeadPublished { seq } => self.published_seq = self.published_seq.max(seq),
            Input::HeadHeld { holder, seq } => {
                let holder = self.holders.entry(holder).or_default();
                holder.head_seq = holder.head_seq.max(seq);
            }
            Input::Told { order, packs } => self.ended(order, Some(packs)),
            Input::NotTold { order } => self.ended(order, None),
            Input::TimePassed => {}
        }
        if let Some(overdue) = self.telling.filter(|telling| telling.deadline <= self.now) {
            self.ended(overdue.order, None);
        }
        self.tell_one();
    }

    /// The next order; `None` when there is none for now.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to come back with `TimePassed` at the latest.
    pub fn poll_timeout(&self) -> Option<Instant> {
        match &self.telling {
            Some(telling) => Some(telling.deadline),
            None => self.candidates().map(|(_, holder)| self.due(holder)).min(),
        }
    }

    /// Whether somebody is being told: a process that ends soon may wait for it.
    pub const fn is_telling(&self) -> bool {
        self.telling.is_some()
    }

    /// Holders that can be told. A list is for the newest head alone, and what older ones need is
    /// needed until that one is published.
    fn candidates(&self) -> impl Iterator<Item = (&DeviceId, &Holder)> {
        let is_published = self.published_seq >= self.newest_seq;
        let has_it = |holder: &Holder| holder.head_seq == self.newest_seq;
        self.holders.iter().filter(move |(_, holder)| is_published && has_it(holder))
    }

    /// A short list is told sooner when there is news: should this device be lost, holders look after what
    /// the last list names (see [`tending`](crate::tending)).
    fn due(&self, holder: &Holder) -> Instant {
        let soon = holder.soon.filter(|_| self.newest_seq > holder.told_seq);
        soon.map_or(holder.due, |soon| soon.min(holder.due))
    }

    /// One after the other, the one that waits longest first.
    fn tell_one(&mut self) {
        let due = self.candidates().filter(|(_, holder)| self.due(holder) <= self.now);
        let next = due.min_by_key(|(_, holder)| self.due(holder)).map(|(id, _)| *id);
        let Some(holder) = next else { return };
        if self.telling.is_some() {
            return;
        }
        let order = self.numbers.take();
        let deadline = self.now.after_ms(CLAIM_MS_MAX);
        let seq = self.newest_seq;
        self.telling = Some(Telling { order, holder, seq, begun: self.now, deadline });
        self.outputs.push_back(Output::Tell { order, holder, seq });
    }

    /// With the packs of the list if it was told.
    fn ended(&mut self, order: OrderId, told: Option<u64>) {
        let telling = self.telling.filter(|it| it.order == order);
        let Some(Telling { holder: id, seq, begun, .. }) = telling else { return };
        self.telling = None;
        let Some(holder) = self.holders.get_mut(&id) else { return };
        // What was said of a list that failed is void.
        holder.soon = None;
        if let Some(packs) = told {
            holder.failures = 0;
            holder.told_seq = seq;
            holder.due = self.now.after_ms(CLAIM_EVERY_MS);
            if packs <= CLAIMS_SOON_MAX {
                holder.soon = Some(self.now.after_ms(CLAIM_SOON_MS));
            }
        } else {
            holder.failed = self.now;
            holder.failures = holder.failures.saturating_add(1);
            // Met while the list was on its way to where it was before: no reason to wait. Nor after one
            // failure: two nodes that start and call each other may cut each other off.
            let was_met = holder.met.is_some_and(|met| met >= begun);
            let wait_ms = match holder.failures {
                _ if was_met => SOON_MS,
                0 | 1 => SOON_MS,
                more => BACKOFF.wait_ms(more - 1, &id),
            };
            holder.due = self.now.after_ms(wait_ms);
        }
    }
}

#[cfg(test)]
mod tests;
