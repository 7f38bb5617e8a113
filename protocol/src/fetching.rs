//! Fetching: byte ranges of many shards from several holders at once.
//!
//! Decides which stripe of which shard comes from which holder, when a stripe is asked for a
//! second time elsewhere, and when a holder is left. It moves and verifies no bytes: the shell
//! streams a stripe, checks every group against the shard's root as it comes, writes it, and says
//! how far it got.
//!
//! A wanted range:
//! ```text
//!  open ──FetchStripe──> in flight ──progress, done──> present ──all──> RangesReady
//!    ^                       │ └── late: a second stripe for the rest elsewhere, first wins
//!    └── failed, stalled, holder down or banned ───┘
//! ```
//! A holder: up or down as the shell says; resting after failures, longer each time; banned for
//! good after wrong bytes. One that says that its copy of a shard is damaged, or that it has none though
//! it has given a receipt for it, is named, and asked for other shards.
//!
//! **Only verified bytes are reported as progress**, so nothing wrong ever becomes present; what
//! came before a failure is kept and never fetched again.
//!
//! Drive it so: [`Fetching::handle_input`], then [`Fetching::poll_output`] until `None`, then wait
//! for the next input or for [`Fetching::poll_timeout`]; when it was the time, give
//! [`Input::TimePassed`].
//!
//! Invariants: bytes in flight stay within [`FETCH_BYTES_TOTAL_MAX`], stripes per holder within
//! [`FETCH_STRIPES_PER_HOLDER_MAX`](crate::limits::FETCH_STRIPES_PER_HOLDER_MAX); at most two stripes cover one byte; a banned holder gets no
//! order. Source: specs/restoring.md.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::{
    ids::{DeviceId, ShardRoot},
    index::ShardRef,
    limits::{FETCH_BYTES_TOTAL_MAX, FETCH_PATIENCE_MS, FETCH_WANTS_MAX},
    order::{OrderId, OrderNumbers},
    time::Instant,
};

mod choosing;
mod ending;
mod ranges;
mod source;

pub use ranges::{ByteRange, Ranges};

use source::Source;

/// Why a stripe ended early. Verified bytes before the failure were reported as progress.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum StripeFailure {
    /// Bytes or hashes do not lead to the shard's root, or the length differs.
    WrongBytes,
    /// The holder says that it does not have the shard.
    NotFound,
    /// The holder says that its own copy is damaged.
    Damaged,
    /// The holder says that we may not read it.
    Forbidden,
    /// Connection or stream lost, or no answer in time.
    Lost,
    /// Our own disk could not take the bytes. Stops everything until `Input::Resumed`.
    Local,
}

/// A fact for the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// These ranges of a shard are needed. Repeat it to want more.
    Want {
        /// Name and length.
        shard: ShardRef,
        /// Needed bytes; rounded outwards to whole groups.
        ranges: Ranges,
        /// Groups that are here and verified already (a resumed restore).
        present: Ranges,
        /// Lower comes first: 0 for metadata.
        priority: u8,
    },
    /// The shard is not needed any more.
    Cancel {
        /// Which.
        root: ShardRoot,
    },
    /// A holder exists and is being connected: until that has failed for a while, it may have what
    /// others lack.
    HolderKnown {
        /// Who.
        holder: DeviceId,
    },
    /// A holder can be asked.
    HolderUp {
        /// Who.
        holder: DeviceId,
    },
    /// The connection to a holder is lost; the shell sees to a new one.
    HolderDown {
        /// Who.
        holder: DeviceId,
    },
    /// A holder is known to keep a wanted shard by its own signed receipt: "not found" is a broken
    /// word. Without this it is merely asked, and may not have it.
    HolderHas {
        /// Who.
        holder: DeviceId,
        /// What.
        root: ShardRoot,
    },
    /// A running stripe has now `bytes` verified and written bytes from its start.
    StripeProgressed {
        /// Which.
        order: OrderId,
        /// Bytes from the start of the stripe's range, never fewer than before.
        bytes: u64,
    },
    /// A stripe is complete, verified and written.
    StripeDone {
        /// Which.
        order: OrderId,
    },
    /// A stripe ended early.
    StripeFailed {
        /// Which.
        order: OrderId,
        /// Why.
        failure: StripeFailure,
    },
    /// Our own disk takes bytes again.
    Resumed,
    /// The time named by [`Fetching::poll_timeout`] has come.
    TimePassed,
}

/// What a holder did wrong, provably.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// It served bytes that do not have the root it was asked for.
    WrongBytes,
    /// It gave a receipt and does not have the shard.
    LostShard,
    /// By its own word its copy is damaged. It is asked for other shards as before: it tells the
    /// truth.
    DamagedShard,
}

/// An order to the shell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Fetch a range of a shard from a holder, verified.
    FetchStripe {
        /// Number for the answers.
        order: OrderId,
        /// From whom.
        holder: DeviceId,
        /// Of what.
        shard: ShardRef,
        /// Which bytes: starts and ends at groups, or at the shard's end.
        range: ByteRange,
    },
    /// Stop a stripe; no answer is needed.
    CancelStripe {
        /// Which.
        order: OrderId,
    },
    /// All wanted ranges of this shard are present; the machine has forgotten the shard.
    RangesReady {
        /// Which.
        root: ShardRoot,
    },
    /// No holder that might have these can be asked, and none came back for a while. Wanted still:
    /// a holder that comes up is asked.
    OutOfHolders {
        /// Which.
        roots: Vec<ShardRoot>,
    },
    /// A holder broke its word and is asked no more, or says that it cannot keep it for this shard.
    Blame {
        /// Who.
        holder: DeviceId,
        /// What it did.
        fault: Fault,
        /// With which shard.
        root: ShardRoot,
    },
    /// Our own disk refused bytes: everything stopped, give `Resumed` when it is well again.
    Halted,
}

/// A shard of which something is missing.
#[derive(Debug, Clone)]
struct Wanted {
    shard: ShardRef,
    priority: u8,
    age: u64,
    wanted: Ranges,
    present: Ranges,
    /// Wanted, not present, not in flight.
    open: Ranges,
    /// Holders that said they do not have it, or not whole.
    lacking: BTreeSet<DeviceId>,
    /// Holders whose receipt says they have it.
    receipted: BTreeSet<DeviceId>,
}

/// A shard for which nobody can be asked.
#[derive(Debug, Clone, Copy)]
struct Unserved {
    since: Instant,
    reported: bool,
}

/// A stripe in flight.
#[derive(Debug, Clone)]
struct Stripe {
    holder: DeviceId,
    root: ShardRoot,
    range: ByteRange,
    received: u64,
    started: Instant,
    progressed: Instant,
    /// How long it should take at the holder's speed when it was ordered.
    expected_ms: u64,
    /// Another stripe covers the rest of it.
    hedged: bool,
}

impl Stripe {
    const fn rest(&self) -> u64 {
        self.range.bytes().saturating_sub(self.received)
    }
}

/// The machine. Outputs per input: bounded by stripes in flight and wanted shards.
#[derive(Debug, Clone, Default)]
pub struct Fetching {
    now: Instant,
    wants: BTreeMap<ShardRoot, Wanted>,
    wants_seen: u64,
    /// Shards with open ranges, in the order in which they are served.
    queue: BTreeSet<(u8, u64, ShardRoot)>,
    unserved: BTreeMap<ShardRoot, Unserved>,
    /// Shards for which it is to be looked whether somebody can be asked.
    unserved_suspects: BTreeSet<ShardRoot>,
    sources: BTreeMap<DeviceId, Source>,
    stripes: BTreeMap<OrderId, Stripe>,
    numbers: OrderNumbers,
    halted: bool,
    outputs: VecDeque<Output>,
}

impl Fetching {
    /// A machine that wants nothing and knows no holder.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many more shards should be wanted now. The shell holds the rest back.
    pub fn wants_free(&self) -> usize {
        FETCH_WANTS_MAX.saturating_sub(self.wants.len())
    }

    /// Bytes ordered and not received.
    pub fn bytes_in_flight(&self) -> u64 {
        self.stripes.values().map(Stripe::rest).sum()
    }

    /// Measured speed of a holder in bytes per second; `None` before it was measured.
    pub fn speed(&self, holder: &DeviceId) -> Option<u64> {
        self.sources.get(holder)?.speed()
    }

    /// Takes one input. `now` never goes back; early, late and repeated inputs do no harm.
    pub fn handle_input(&mut self, now: Instant, input: Input) {
        self.now = self.now.max(now);
        match input {
            Input::Want { shard, ranges, present, priority } => {
                self.want(shard, &ranges, &present, priority);
            }
            Input::Cancel { root } => self.forget(root),
            Input::HolderKnown { holder } => {
                self.sources.entry(holder).or_insert_with(Source::new);
            }
            Input::HolderUp { holder } => self.holder_up(holder),
            Input::HolderDown { holder } => self.holder_down(holder),
            Input::HolderHas { holder, root } => {
                if let Some(want) = self.wants.get_mut(&root) {
                    want.receipted.insert(holder);
                }
            }
            Input::StripeProgressed { order, bytes } => self.progressed(order, bytes),
            Input::StripeDone { order } => self.progressed(order, u64::MAX),
            Input::StripeFailed { order, failure } => self.stripe_failed(order, failure),
            Input::Resumed => self.halted = false,
            Input::TimePassed => {}
        }
        self.end_stalled();
        if !self.halted {
            self.schedule();
            self.report_unserved();
        }
    }

    /// The next order; `None` when there is none for now.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    fn want(&mut self, shard: ShardRef, ranges: &Ranges, present: &Ranges, priority: u8) {
        let root = shard.root;
        self.wants_seen += 1;
        let age = self.wants_seen;
        let want = self.wants.entry(root).or_insert_with(|| Wanted {
            shard,
            priority,
            age,
            wanted: Ranges::default(),
            present: Ranges::default(),
            open: Ranges::default(),
            lacking: BTreeSet::new(),
            receipted: BTreeSet::new(),
        });
        self.queue.remove(&(want.priority, want.age, root));
        want.priority = want.priority.min(priority);
        for range in ranges.iter() {
            want.wanted.insert(range.to_groups(want.shard.bytes));
        }
        for range in present.iter() {
            want.present.insert(range.within_groups(want.shard.bytes));
        }
        self.unserved.remove(&root);
        self.settle(root);
        self.unserved_suspects.insert(root);
    }

    /// Computes anew what is open of a shard; says so when nothing is missing.
    fn settle(&mut self, root: ShardRoot) {
        let Some(want) = self.wants.get_mut(&root) else { return };
        let key = (want.priority, want.age, root);
        let mut open = want.wanted.clone();
        open.remove_all(&want.present);
        if open.is_empty() {
            self.forget(root);
            self.outputs.push_back(Output::RangesReady { root });
            return;
        }
        for stripe in self.stripes.values().filter(|stripe| stripe.root == root) {
            open.remove(stripe.range);
        }
        if open.is_empty() {
            self.queue.remove(&key);
            self.unserved.remove(&root);
        } else {
            self.queue.insert(key);
        }
        want.open = open;
    }

    fn forget(&mut self, root: ShardRoot) {
        if let Some(want) = self.wants.remove(&root) {
            self.queue.remove(&(want.priority, want.age, root));
            self.unserved.remove(&root);
        }
        let running = |stripe: &Stripe| stripe.root == root;
        for order in self.orders_where(running) {
            self.cancel(order);
        }
    }

    fn orders_where(&self, test: impl Fn(&Stripe) -> bool) -> Vec<OrderId> {
        self.stripes.iter().filter(|(_, stripe)| test(stripe)).map(|(order, _)| *order).collect()
    }

    /// The set of holders that can be asked has changed: every open shard is looked at again.
    fn suspect_all(&mut self) {
        self.unserved_suspects.extend(self.queue.iter().map(|(_, _, root)| *root));
    }

    /// Says once which shards nobody can be asked for: at once when nobody is left at all, after
    /// a while when somebody may come back.
    fn report_unserved(&mut self) {
        let mut suspects = std::mem::take(&mut self.unserved_suspects);
        suspects.extend(self.unserved.keys());
        let roots: Vec<ShardRoot> =
            suspects.into_iter().filter(|root| self.is_news_that_unserved(*root)).collect();
        if !roots.is_empty() {
            self.outputs.push_back(Output::OutOfHolders { roots });
        }
    }

    fn is_news_that_unserved(&mut self, root: ShardRoot) -> bool {
        let Some(want) = self.wants.get(&root).filter(|want| !want.open.is_empty()) else {
            self.unserved.remove(&root);
            return false;
        };
        let left = |(id, source): &(&DeviceId, &Source)| {
            !source.is_banned() && !want.lacking.contains(*id)
        };
        let mut left = self.sources.iter().filter(left).peekable();
        let nobody_left = left.peek().is_none() && !self.sources.is_empty();
        if left.any(|(_, source)| source.is_serving()) {
            self.unserved.remove(&root);
            return false;
        }
        let now = self.now;
        let unserved =
            self.unserved.entry(root).or_insert(Unserved { since: now, reported: false });
        let over = nobody_left || unserved.since.after_ms(FETCH_PATIENCE_MS) <= now;
        over && !std::mem::replace(&mut unserved.reported, over)
    }
}

#[cfg(test)]
mod tests;
