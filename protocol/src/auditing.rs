//! Auditing: whether holders still have what they signed for. They are tested, not asked: each has to
//! show chunks that it could not foresee.
//!
//! The source's side of a proof. It is told which receipts are durable here and who is connected; it
//! orders challenges, and says of every copy whether it was shown or is no copy any more.
//! ```text
//!  kept ──due──> challenge ──> proven ─────────────> note it, again in a day
//!                   │  ├─────> wrong, absent ──────> no copy any more, and everything else that
//!                   │  │                             this holder keeps is asked about at once
//!                   │  └─────> damaged, it says ───> no copy any more; honest, so no blame
//!                   └ away, slow, refused: tried again later. Nothing is concluded from it
//! ```
//! **Silence proves nothing**: only an answer takes a copy away (AUDIT-4).
//!
//! Chunks are drawn from all bytes that a holder keeps alike. Of [`AUDIT_CHALLENGES_MAX`] drawn ones
//! at least one hits with 99 % when a hundredth is missing: `1 - 0.99^459`. A drawn audit is due
//! once a day; a shard that was ever failed, or that the user wants to know about, is asked about by
//! itself, and first.
//!
//! Drive it as [`placing`](crate::placing): input, outputs until `None`, [`Auditing::poll_timeout`].
//! Proofs are checked by the shell with [`Finding::of`], in that one place.
//!
//! Invariants: one challenge under way to each holder. Source: specs/auditing.md.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

use crate::{
    ids::{DeviceId, ShardRoot},
    index::ShardRef,
    limits::{AUDIT_CHALLENGES_MAX, AUDIT_EVERY_MS, AUDIT_FIRST_MS, AUDIT_MS_MAX},
    order::{Backoff, OrderId, OrderNumbers},
    proof::Challenge,
    time::Instant,
    wire::message::{Refusal, Shown},
};

mod ledger;

use ledger::Ledger;

/// After an audit without an answer.
const BACKOFF: Backoff = Backoff { first_ms: 60_000, most_ms: 3_600_000 };

/// What an answer to one challenge means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Finding {
    /// The holder has the chunk.
    Proven,
    /// It shows something else.
    Wrong,
    /// It says that it does not have the shard.
    Absent,
    /// It says that its own copy is damaged.
    Damaged,
    /// It could not look now.
    Unable(Refusal),
}

impl Finding {
    /// Checks what a holder shows. Pure; about 30 hashes of 64 bytes.
    pub fn of(challenge: &Challenge, shown: &Shown) -> Self {
        match shown {
            Shown::Proof(bytes) if challenge.verify(bytes).is_ok() => Self::Proven,
            Shown::Proof(_) => Self::Wrong,
            Shown::Absent => Self::Absent,
            Shown::Damaged => Self::Damaged,
            Shown::Unable(reason) => Self::Unable(*reason),
        }
    }
}

/// A fact for the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// A receipt is durable here: from now on its holder has to show the shard.
    Kept {
        /// Who signed.
        holder: DeviceId,
        /// For which shard.
        shard: ShardRef,
    },
    /// A receipt counts no more.
    Forgotten {
        /// Whose.
        holder: DeviceId,
        /// For which shard.
        root: ShardRoot,
    },
    /// At start, after `Kept`: how long ago this holder showed something.
    ProvenBefore {
        /// Who.
        holder: DeviceId,
        /// So long ago, by the wall clock; one that lies makes an audit come late by a day at most.
        age_ms: u64,
    },
    /// It was met just now: who is due need not wait any longer.
    HolderConnected {
        /// Whom.
        holder: DeviceId,
    },
    /// The user removed a holder.
    HolderRemoved {
        /// Whom.
        holder: DeviceId,
    },
    /// Answer to [`Output::Challenge`]: one finding for each challenge, in the order asked.
    Answered {
        /// Which.
        order: OrderId,
        /// As many as challenges.
        findings: Vec<Finding>,
    },
    /// It was refused as a whole or got no sound answer.
    Failed {
        /// Which.
        order: OrderId,
    },
    /// The user wants to know of everything that a holder keeps.
    AskAll {
        /// Whom to ask.
        holder: DeviceId,
    },
    /// The time named by [`Auditing::poll_timeout`] has come.
    TimePassed,
}

/// How a holder failed: the copy counts no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Failure {
    /// It shows something else.
    Wrong,
    /// It signed for the shard and says that it does not have it.
    Absent,
    /// It owned up to damage.
    Damaged,
    /// Absent or damaged, and it was so before: sending it again does not help.
    Again,
}

/// An order to the shell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Ask a holder to show these, connecting to it if need be; answer with `Answered` or `Failed`. While it is asked, it is
    /// served none of these shards from here: it must not be able to fetch what it has to show.
    Challenge {
        /// Number for the answer.
        order: OrderId,
        /// Whom.
        holder: DeviceId,
        /// 1 to [`AUDIT_CHALLENGES_MAX`].
        challenges: Vec<Challenge>,
    },
    /// The holder has shown a chunk of each of these: note the day.
    NoteProven {
        /// Who.
        holder: DeviceId,
        /// Which, ascending.
        roots: Vec<ShardRoot>,
    },
    /// This copy counts no more: tell placing.
    CopyFailed {
        /// Whose.
        holder: DeviceId,
        /// Of which shard.
        root: ShardRoot,
        /// How.
        failure: Failure,
    },
}

/// How the audits of one holder stand, for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct HolderAudits {
    /// Chunks shown rightly since start.
    pub proven: u64,
    /// Chunks that it failed to show since start.
    pub failed: u64,
    /// Shards that are still to be asked about one by one.
    pub pending: u64,
    /// Milliseconds since it last answered; `None` for never.
    pub answered_ms_ago: Option<u64>,
    /// Attempts in a row without an answer.
    pub failures: u32,
}

#[derive(Debug, Clone)]
struct Holder {
    kept: Ledger,
    /// When the next drawn audit is due.
    due: Instant,
    rest_until: Instant,
    /// To be asked about one by one.
    wanted: BTreeSet<ShardRoot>,
    /// Failed before: a new receipt for it is to be proven at once.
    doubted: BTreeSet<ShardRoot>,
    order: Option<OrderId>,
    answered: Option<Instant>,
    counts: HolderAudits,
}

#[derive(Debug, Clone)]
struct Order {
    holder: DeviceId,
    challenges: Vec<Challenge>,
    deadline: Instant,
}

/// The machine. Memory: about 100 bytes for each receipt. Outputs: at most one for each challenge
/// answered, and two.
#[derive(Debug, Clone)]
pub struct Auditing {
    now: Instant,
    dice: ChaCha20Rng,
    holders: BTreeMap<DeviceId, Holder>,
    orders: BTreeMap<OrderId, Order>,
    numbers: OrderNumbers,
    /// Before this, nothing happens because of time alone.
    timeout: Option<Instant>,
    outputs: VecDeque<Output>,
}

impl Auditing {
    /// A machine that knows nothing yet. `seed` must be secret: whoever knows it knows what will be
    /// asked. At start the shell gives `Kept` for every receipt, then `ProvenBefore`.
    pub fn new(seed: [u8; 32]) -> Self {
        Self {
            now: Instant::default(),
            dice: ChaCha20Rng::from_seed(seed),
            holders: BTreeMap::new(),
            orders: BTreeMap::new(),
            numbers: OrderNumbers::new(),
            timeout: None,
            outputs: VecDeque::new(),
        }
    }

    /// Takes one input; late and repeated answers do no harm.
    pub fn handle_input(&mut self, now: Instant, input: Input) {
        self.now = self.now.max(now);
        match input {
            Input::Kept { holder, shard } => self.kept(holder, shard),
            Input::Forgotten { holder, root } => self.forgotten(holder, root),
            Input::ProvenBefore { holder, age_ms } => {
                let due = self.now.after_ms(AUDIT_EVERY_MS.saturating_sub(age_ms));
                self.holder(holder).due = due;
            }
            Input::HolderConnected { holder } => {
                self.holder(holder).rest_until = Instant::default();
            }
            Input::HolderRemoved { holder } => {
                self.holders.remove(&holder);
                self.orders.retain(|_, order| order.holder != holder);
            }
            Input::Answered { order, findings } => self.answered(order, &findings),
            Input::Failed { order } => self.failed(order),
            Input::AskAll { holder } => {
                let holder = self.holder(holder);
                holder.wanted.extend(holder.kept.roots());
                holder.rest_until = Instant::default();
            }
            Input::TimePassed => self.give_up_overdue(),
        }
        self.challenge();
        let due = self.holders.values().filter_map(Holder::next_at);
        self.timeout = due.chain(self.orders.values().map(|order| order.deadline)).min();
    }

    /// The next order; `None` when there is none for now.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to give [`Input::TimePassed`]; `None` for never.
    pub const fn poll_timeout(&self) -> Option<Instant> {
        self.timeout
    }

    /// Challenges under way.
    pub fn orders_pending(&self) -> usize {
        self.orders.len()
    }

    /// Counts for people.
    pub fn status(&self) -> BTreeMap<DeviceId, HolderAudits> {
        let of = |holder: &Holder| HolderAudits {
            pending: u64::try_from(holder.wanted.len()).unwrap_or(u64::MAX),
            answered_ms_ago: holder.answered.map(|at| self.now.ms_since(at)),
            ..holder.counts
        };
        self.holders.iter().map(|(id, holder)| (*id, of(holder))).collect()
    }

    fn holder(&mut self, id: DeviceId) -> &mut Holder {
        self.holders.entry(id).or_insert_with(Holder::new)
    }

    fn kept(&mut self, id: DeviceId, shard: ShardRef) {
        let due = self.now.after_ms(AUDIT_FIRST_MS);
        let holder = self.holder(id);
        if holder.kept.is_empty() {
            holder.due = due;
        }
        holder.kept.add(shard);
        if holder.doubted.contains(&shard.root) {
            holder.wanted.insert(shard.root);
        }
    }

    fn forgotten(&mut self, id: DeviceId, root: ShardRoot) {
        if let Some(holder) = self.holders.get_mut(&id) {
            holder.kept.remove(&root);
            holder.wanted.remove(&root);
        }
    }

    fn answered(&mut self, order: OrderId, findings: &[Finding]) {
        let right_count = |it: &Order| it.challenges.len() == findings.len();
        if !self.orders.get(&order).is_some_and(right_count) {
            return self.failed(order);
        }
        let Some(Order { holder: id, challenges, .. }) = self.orders.remove(&order) else { return };
        let (now, next) = (self.now, self.now.after_ms(AUDIT_EVERY_MS));
        let Some(holder) = self.holders.get_mut(&id) else { return };
        holder.order = None;
        let (mut proven, mut failed, mut unable) = (BTreeSet::new(), BTreeMap::new(), 0);
        for (challenge, finding) in challenges.iter().zip(findings) {
            let root = challenge.shard.root;
            match finding {
                Finding::Proven => _ = proven.insert(root),
                Finding::Wrong => _ = failed.insert(root, Failure::Wrong),
                Finding::Absent => _ = failed.insert(root, Failure::Absent),
                Finding::Damaged => _ = failed.insert(root, Failure::Damaged),
                Finding::Unable(_) => unable += 1,
            }
        }
        if unable == challenges.len() {
            return self.rest(id);
        }
        holder.answered = Some(now);
        let is_drawn = challenges.iter().all(|it| !holder.wanted.contains(&it.shard.root));
        if is_drawn {
            holder.due = next;
        }
        proven.retain(|root| !failed.contains_key(root));
        for root in &proven {
            holder.counts.proven += 1;
            holder.wanted.remove(root);
            holder.doubted.remove(root);
        }
        let news = failed.keys().any(|root| holder.kept.has(root));
        for (root, failure) in failed {
            if !holder.kept.has(&root) {
                continue;
            }
            holder.counts.failed += 1;
            holder.kept.remove(&root);
            holder.wanted.remove(&root);
            // Else whoever goes on losing would go on being sent the same.
            let failure = match (holder.doubted.insert(root), failure) {
                (false, Failure::Absent | Failure::Damaged) => Failure::Again,
                (_, failure) => failure,
            };
            self.outputs.push_back(Output::CopyFailed { holder: id, root, failure });
        }
        if news {
            // One hole is seldom alone.
            holder.wanted.extend(holder.kept.roots().filter(|root| !proven.contains(root)));
        }
        if !proven.is_empty() {
            let roots = proven.into_iter().collect();
            self.outputs.push_back(Output::NoteProven { holder: id, roots });
        }
        match unable {
            0 => holder.counts.failures = 0,
            _ => self.rest(id),
        }
    }

    fn failed(&mut self, order: OrderId) {
        let Some(Order { holder, .. }) = self.orders.remove(&order) else { return };
        if let Some(holder) = self.holders.get_mut(&holder) {
            holder.order = None;
        }
        self.rest(holder);
    }

    fn rest(&mut self, id: DeviceId) {
        let Some(holder) = self.holders.get_mut(&id) else { return };
        holder.counts.failures = holder.counts.failures.saturating_add(1);
        let wait_ms = BACKOFF.wait_ms(holder.counts.failures, &id);
        holder.rest_until = self.now.after_ms(wait_ms);
    }

    fn give_up_overdue(&mut self) {
        let overdue = |(order, it): (&OrderId, &Order)| (it.deadline <= self.now).then_some(*order);
        let overdue: Vec<OrderId> = self.orders.iter().filter_map(overdue).collect();
        for order in overdue {
            self.failed(order);
        }
    }

    /// Orders a challenge of everybody who is due.
    fn challenge(&mut self) {
        for (id, holder) in &mut self.holders {
            if holder.next_at().is_none_or(|at| at > self.now) {
                continue;
            }
            let challenges = if holder.wanted.is_empty() {
                holder.kept.draw(AUDIT_CHALLENGES_MAX, &mut self.dice)
            } else {
                let wanted = holder.wanted.iter().take(AUDIT_CHALLENGES_MAX);
                wanted.filter_map(|root| holder.kept.draw_from(*root, &mut self.dice)).collect()
            };
            if challenges.is_empty() {
                continue;
            }
            let order = self.numbers.take();
            holder.order = Some(order);
            let deadline = self.now.after_ms(AUDIT_MS_MAX);
            let awaited = Order { holder: *id, challenges: challenges.clone(), deadline };
            self.orders.insert(order, awaited);
            self.outputs.push_back(Output::Challenge { order, holder: *id, challenges });
        }
    }
}

impl Holder {
    fn new() -> Self {
        Self {
            kept: Ledger::default(),
            due: Instant::default(),
            rest_until: Instant::default(),
            wanted: BTreeSet::new(),
            doubted: BTreeSet::new(),
            order: None,
            answered: None,
            counts: HolderAudits::default(),
        }
    }

    /// When it is to be challenged, if nothing else happens.
    fn next_at(&self) -> Option<Instant> {
        if self.order.is_some() || self.kept.is_empty() {
            return None;
        }
        let due = if self.wanted.is_empty() { self.due } else { Instant::default() };
        Some(due.max(self.rest_until))
    }
}

#[cfg(test)]
mod tests;
