//! The restorer: the real `Recovering` and `Fetching` machines, and a model of their shell.

use std::collections::{BTreeMap, BTreeSet};

use larder_protocol::{
    fetching::{self, ByteRange, Fetching, Ranges, StripeFailure},
    ids::{DeviceId, HeadHash, ShardRoot},
    index::{PackClass, ShardRef},
    limits::{FETCH_BYTES_TOTAL_MAX, GROUP_BYTES},
    order::OrderId,
    recovering::{self, Recovering},
    time::Instant,
};

use crate::{
    dice::Dice,
    source::SourceNode,
    world::{
        Bug, Client, Event, HOLDERS, SOURCE, Shared, ToClient, ToHolder, Villain, holder_id,
        holder_of, truth,
    },
};

/// Longer than any holder here is down: with less patience an older head may win, which the real
/// shell tells its user ("2 of 3 witnesses").
const PATIENCE_MS: u64 = 20 * 60_000;

/// Groups that hedging and the ends of cancelled stripes may bring a second time.
const TWICE_GROUPS_MAX: u64 = 256;

struct Stripe {
    holder: usize,
    root: ShardRoot,
    range: ByteRange,
    received: u64,
}

pub(crate) struct RestorerNode {
    recovering: Recovering,
    fetching: Fetching,
    wake_at: Option<Instant>,
    wanted: BTreeSet<usize>,
    asks: BTreeMap<usize, OrderId>,
    stripes: BTreeMap<OrderId, Stripe>,
    chosen: Option<HeadHash>,
    /// The head whose commit pack is here, so that its needs are known.
    opened: Option<HeadHash>,
    /// Ready of this life; the shell asks again after a restart.
    ready: BTreeSet<ShardRoot>,
    /// What is wanted of each pack.
    wants: BTreeMap<ShardRoot, (ShardRef, Ranges)>,
    /// Durable: verified groups of partial shards.
    groups: BTreeMap<(ShardRoot, u64), u64>,
    groups_received: u64,
    restarts: u64,
    /// It found the receipts of the lost device as well (a device that lost only its data).
    receipts: BTreeSet<(usize, ShardRoot)>,
    published: u64,
    out_of_holders: bool,
    /// Blamed in this life: nothing more is asked of them.
    left: BTreeSet<DeviceId>,
}

impl RestorerNode {
    pub(crate) fn new(source: &SourceNode, dice: &mut Dice) -> Self {
        let receipts = if dice.chance(50) { source.receipts().collect() } else { BTreeSet::new() };
        Self {
            recovering: Recovering::new(PATIENCE_MS),
            fetching: Fetching::new(),
            wake_at: None,
            wanted: BTreeSet::new(),
            asks: BTreeMap::new(),
            stripes: BTreeMap::new(),
            chosen: None,
            opened: None,
            ready: BTreeSet::new(),
            wants: BTreeMap::new(),
            groups: BTreeMap::new(),
            groups_received: 0,
            restarts: 0,
            receipts,
            published: source.published,
            out_of_holders: false,
            left: BTreeSet::new(),
        }
    }

    pub(crate) fn start(&mut self, shared: &mut Shared) {
        for holder in 0..HOLDERS {
            let holder = holder_id(holder);
            self.give_recovering(shared, recovering::Input::HolderKnown { holder });
        }
    }

    /// Killed and started: machines and orders are gone, verified groups are there.
    pub(crate) fn restart(&mut self, shared: &mut Shared) {
        self.restarts += 1;
        self.recovering = Recovering::new(PATIENCE_MS);
        self.fetching = Fetching::new();
        self.asks.clear();
        self.stripes.clear();
        self.wanted.clear();
        self.ready.clear();
        self.left.clear();
        self.wants.clear();
        self.chosen = None;
        self.opened = None;
        self.start(shared);
    }

    pub(crate) fn figures(&self) -> String {
        let (groups, received) = (self.groups.len(), self.groups_received);
        format!("{groups} groups, {received} received, {} restarts", self.restarts)
    }

    pub(crate) fn take_wanted(&mut self) -> BTreeSet<usize> {
        std::mem::take(&mut self.wanted)
    }

    pub(crate) fn is_done(&self) -> bool {
        self.published == 0
            || (self.chosen.is_some()
                && self.opened == self.chosen
                && self.wants.keys().all(|root| self.ready.contains(root)))
    }

    pub(crate) fn connected(&mut self, shared: &mut Shared, holder: usize) {
        if let Some(order) = self.asks.get(&holder) {
            let message = ToHolder::PullHeads { order: *order };
            shared.tell_holder(Client::Restorer, holder, message);
        }
        let holder = holder_id(holder);
        self.give_fetching(shared, fetching::Input::HolderUp { holder });
    }

    pub(crate) fn lost(&mut self, shared: &mut Shared, holder: usize) {
        self.stripes.retain(|_, stripe| stripe.holder != holder);
        if let Some(order) = self.asks.remove(&holder) {
            self.give_recovering(shared, recovering::Input::HolderFailed { order });
        }
        let id = holder_id(holder);
        self.give_fetching(shared, fetching::Input::HolderDown { holder: id });
        // The shell sees to connections while anything is to be fetched.
        if !self.is_done() {
            self.wanted.insert(holder);
        }
    }

    pub(crate) fn receive(&mut self, shared: &mut Shared, holder: usize, message: ToClient) {
        match message {
            ToClient::Heads { order, heads } => {
                self.asks.remove(&holder);
                let answer = recovering::Input::HeadsAnswered { order, heads, forged: 0 };
                self.give_recovering(shared, answer);
            }
            ToClient::Groups { order, first, groups } => self.groups(shared, order, first, &groups),
            ToClient::ReadFailed { order, failure } => {
                if self.stripes.remove(&order).is_some() {
                    let receipted = failure == StripeFailure::NotFound;
                    shared.caught |= receipted
                        && self.receipts.iter().any(|(h, _)| *h == holder)
                        && shared.is_villain(holder, Villain::Forgetful);
                    self.give_fetching(shared, fetching::Input::StripeFailed { order, failure });
                }
            }
            ToClient::Verdicts { .. }
            | ToClient::Refused { .. }
            | ToClient::Go { .. }
            | ToClient::Stored { .. }
            | ToClient::HeadTaken { .. } => {
                shared.violation("an answer that the restorer did not ask for");
            }
        }
    }

    fn groups(&mut self, shared: &mut Shared, order: OrderId, first: u64, groups: &[u64]) {
        let Some(stripe) = self.stripes.get_mut(&order) else { return };
        let (root, start) = (stripe.root, stripe.range.start);
        if first * GROUP_BYTES != start + stripe.received {
            // A stream has no gaps: what follows a lost piece never arrives.
            return;
        }
        let mut wrong = false;
        for (group, content) in (first..).zip(groups) {
            self.groups_received += 1;
            if *content != truth(root, group) && shared.bug != Some(Bug::AcceptUnverified) {
                wrong = true;
                break;
            }
            self.groups.insert((root, group), *content);
            stripe.received = ((group + 1) * GROUP_BYTES).min(stripe.range.end) - start;
        }
        let bytes = stripe.received;
        let done = bytes >= stripe.range.bytes();
        self.give_fetching(shared, fetching::Input::StripeProgressed { order, bytes });
        if wrong {
            shared.caught = true;
            self.stripes.remove(&order);
            let failure = StripeFailure::WrongBytes;
            self.give_fetching(shared, fetching::Input::StripeFailed { order, failure });
        } else if done {
            self.stripes.remove(&order);
            self.give_fetching(shared, fetching::Input::StripeDone { order });
        }
    }

    pub(crate) fn wake(&mut self, shared: &mut Shared) {
        if self.wake_at.is_some_and(|at| at <= shared.now) {
            self.wake_at = None;
            self.give_recovering(shared, recovering::Input::TimePassed);
            self.give_fetching(shared, fetching::Input::TimePassed);
        }
    }

    fn give_recovering(&mut self, shared: &mut Shared, input: recovering::Input) {
        self.recovering.handle_input(shared.now, input);
        while let Some(output) = self.recovering.poll_output() {
            match output {
                recovering::Output::Ask { order, holder } => {
                    let holder = holder_of(holder);
                    self.asks.insert(holder, order);
                    if shared.epoch(Client::Restorer, holder).is_some() {
                        let message = ToHolder::PullHeads { order };
                        shared.tell_holder(Client::Restorer, holder, message);
                    } else {
                        self.wanted.insert(holder);
                    }
                }
                recovering::Output::Blame { holder, fault } => {
                    shared.caught |= shared.is_villain(holder_of(holder), Villain::Hider);
                    shared.blame(holder, &fault);
                }
                recovering::Output::Finished { .. } => self.choose_head(shared),
            }
        }
        self.plan_wake(shared);
    }

    fn choose_head(&mut self, shared: &mut Shared) {
        let found = self.recovering.found();
        let Some(best) = found.heads.get(&SOURCE) else { return };
        if best.witnesses.is_empty() {
            shared.violation("a head without a witness");
        }
        if self.chosen == Some(best.head.hash) {
            return;
        }
        self.chosen = Some(best.head.hash);
        let commit = shared.commits[&best.head.hash].clone();
        self.want(shared, commit.commit_pack, PackClass::Metadata);
    }

    /// Metadata whole, of data packs some ranges.
    fn want(&mut self, shared: &mut Shared, shard: ShardRef, class: PackClass) {
        let whole = Ranges::of(ByteRange::new(0, shard.bytes));
        let ranges = if class == PackClass::Metadata || shared.dice.chance(50) {
            whole
        } else {
            let start = shared.dice.range(0, shard.bytes - 1);
            let end = shared.dice.range(start + 1, shard.bytes);
            [ByteRange::new(start, end), ByteRange::new(0, 1)].into_iter().collect()
        };
        let range_of = |group: u64| {
            ByteRange::new(group * GROUP_BYTES, ((group + 1) * GROUP_BYTES).min(shard.bytes))
        };
        let root = shard.root;
        let present = self
            .groups
            .range((root, 0)..=(root, u64::MAX))
            .map(|((_, g), _)| range_of(*g))
            .collect();
        self.wants.insert(root, (shard, ranges.clone()));
        self.ready.remove(&root);
        let priority = u8::from(class == PackClass::Data);
        let want = fetching::Input::Want { shard, ranges, present, priority };
        self.give_fetching(shared, want);
        for holder in 0..HOLDERS {
            if self.receipts.contains(&(holder, root)) {
                let holder = holder_id(holder);
                self.give_fetching(shared, fetching::Input::HolderHas { holder, root });
            }
        }
    }

    fn give_fetching(&mut self, shared: &mut Shared, input: fetching::Input) {
        self.fetching.handle_input(shared.now, input);
        while let Some(output) = self.fetching.poll_output() {
            self.carry_out(shared, output);
        }
        self.plan_wake(shared);
    }

    fn carry_out(&mut self, shared: &mut Shared, output: fetching::Output) {
        match output {
            fetching::Output::FetchStripe { order, holder, shard, range } => {
                if range.start % GROUP_BYTES != 0 || range.end > shard.bytes || range.is_empty() {
                    shared.violation(format!("a stripe of {range:?}"));
                }
                if self.left.contains(&holder) {
                    shared.violation("an order to a holder that was blamed");
                }
                let holder = holder_of(holder);
                let root = shard.root;
                self.stripes.insert(order, Stripe { holder, root, range, received: 0 });
                let message = ToHolder::Read { order, shard, range };
                shared.tell_holder(Client::Restorer, holder, message);
            }
            fetching::Output::CancelStripe { order } => {
                if let Some(stripe) = self.stripes.remove(&order) {
                    let message = ToHolder::StopRead { order };
                    shared.tell_holder(Client::Restorer, stripe.holder, message);
                }
            }
            fetching::Output::RangesReady { root } => {
                self.ready.insert(root);
                let commit = self.chosen.map(|hash| shared.commits[&hash].clone());
                if let Some(commit) = commit.filter(|c| c.commit_pack.root == root) {
                    self.opened = self.chosen;
                    for (shard, class) in commit.needs {
                        if shard.root != root {
                            self.want(shared, shard, class);
                        }
                    }
                }
            }
            fetching::Output::OutOfHolders { .. } => self.out_of_holders = true,
            fetching::Output::Blame { holder, fault, .. } => {
                self.left.insert(holder);
                shared.blame(holder, &fault);
            }
            fetching::Output::Halted => shared.violation("the restorer's disk is sound here"),
        }
    }

    fn plan_wake(&mut self, shared: &mut Shared) {
        let timeouts = [self.recovering.poll_timeout(), self.fetching.poll_timeout()];
        let Some(at) = timeouts.into_iter().flatten().min() else { return };
        if self.wake_at.is_none_or(|old| at < old || old <= shared.now) {
            self.wake_at = Some(at);
            shared.at(at, Event::Wake(Client::Restorer));
        }
    }

    pub(crate) fn check_bounds(&self, shared: &mut Shared) {
        if self.fetching.bytes_in_flight() > FETCH_BYTES_TOTAL_MAX {
            shared.violation("too many bytes in flight");
        }
    }

    /// The end: the newest published head or a newer one, and every wanted byte as it was.
    pub(crate) fn check(&self, shared: &mut Shared) {
        if self.published == 0 {
            return;
        }
        let Some(hash) = self.chosen else {
            return shared.violation("the restorer found no head");
        };
        let seq = shared.commits[&hash].head.seq;
        if seq < self.published {
            shared.violation(format!("head {seq} restored, {} was published", self.published));
        }
        if !self.is_done() {
            let left = self.wants.keys().filter(|root| !self.ready.contains(root)).count();
            let out = self.out_of_holders;
            shared.violation(format!("restore not done: {left} packs, out of holders: {out}"));
        }
        // RESTORE-9: only what was asked for twice at once may come twice.
        let groups = u64::try_from(self.groups.len()).expect("few groups");
        if self.groups_received > groups + groups / 20 + TWICE_GROUPS_MAX {
            let received = self.groups_received;
            shared.violation(format!("{received} groups received to have {groups}"));
        }
        for (root, (shard, ranges)) in &self.wants {
            for range in ranges.iter().map(|range| range.to_groups(shard.bytes)) {
                for group in range.start / GROUP_BYTES..range.end.div_ceil(GROUP_BYTES) {
                    if self.groups.get(&(*root, group)) != Some(&truth(*root, group)) {
                        shared.violation(format!("group {group} of {root:?} is wrong or missing"));
                        return;
                    }
                }
            }
        }
    }
}
