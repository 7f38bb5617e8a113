//! The restorer: the real `Recovering` and `Fetching` machines, and a model of their shell.
//!
//! It has the phrase and nothing else. It asks every holder for heads, takes the newest of the
//! device whose backup it wants, opens its commit pack, and fetches what that names.

use std::collections::{BTreeMap, BTreeSet};

use larder_protocol::{
    fetching::{self, ByteRange, Fetching, Ranges, StripeFailure},
    head::SignedHead,
    ids::{DeviceId, HeadHash, ShardRoot},
    index::{PackClass, ShardRef},
    limits::GROUP_BYTES,
    order::OrderId,
    recovering::{self, HeadSeen, Recovering},
    time::Instant,
};

use super::Here;
use crate::{
    bug::Bug,
    event::{Line, Link, ToClient, ToHolder},
    model::{Check, Property},
};

/// Longer than a holder is away after the world healed: with less patience an older head may
/// win, which the real shell tells its user ("2 of 3 witnesses").
const PATIENCE_MS: u64 = 20 * 60_000;

#[derive(Debug)]
struct Stripe {
    holder: usize,
    root: ShardRoot,
    range: ByteRange,
    received: u64,
}

/// What holders have signed for.
#[derive(Debug, Clone, Default)]
pub(crate) struct Proof {
    pub(crate) receipts: BTreeMap<ShardRoot, BTreeSet<usize>>,
    pub(crate) held: BTreeMap<usize, u64>,
}

#[derive(Debug)]
pub(crate) struct Restorer {
    /// Whose backup.
    of: usize,
    /// Its newest published head when this began.
    published: u64,
    kills: u64,
    recovering: Recovering,
    fetching: Fetching,
    /// What each holder was asked and has not answered.
    asks: BTreeMap<usize, ToHolder>,
    stripes: BTreeMap<OrderId, Stripe>,
    chosen: Option<(u64, HeadHash)>,
    /// The head whose commit pack is here, so that its needs are known.
    opened: Option<HeadHash>,
    /// The search for heads was over at least once.
    finished: bool,
    ready: BTreeSet<ShardRoot>,
    /// What is wanted of each pack.
    wants: BTreeMap<ShardRoot, (ShardRef, Ranges)>,
    /// Receipts of the device that it stands for, and heads that holders acknowledged to it: a
    /// device that lost only its data still has them.
    proof: Proof,
    out_of_holders: bool,
}

impl Restorer {
    pub(crate) fn new(of: usize, published: u64, kills: u64, proof: Proof) -> Self {
        Self {
            of,
            published,
            kills,
            recovering: Recovering::new(PATIENCE_MS),
            fetching: Fetching::new(),
            asks: BTreeMap::new(),
            stripes: BTreeMap::new(),
            chosen: None,
            opened: None,
            finished: false,
            ready: BTreeSet::new(),
            wants: BTreeMap::new(),
            proof,
            out_of_holders: false,
        }
    }

    /// When it is killed next: after so many steps, for so many seconds.
    pub(crate) fn next_kill(&mut self, here: &mut Here<'_>) -> Option<(u64, u64)> {
        self.kills = self.kills.checked_sub(1)?;
        Some((here.dice.tail(10, 3_000), here.dice.tail(1, 600)))
    }

    /// Begins anew, with nothing but verified groups.
    pub(crate) fn start(&mut self, here: &mut Here<'_>) {
        let proof = std::mem::take(&mut self.proof);
        *self = Self::new(self.of, self.published, self.kills, proof);
        let device = here.shared.circle.devices[self.of].id;
        for (holder, seq) in self.proof.held.clone() {
            let holder = here.shared.circle.devices[holder].id;
            let known = recovering::Input::HeadAcknowledged { holder, device, seq };
            self.give_recovering(here, known);
        }
        let devices: Vec<_> = here.shared.circle.devices.iter().map(|device| device.id).collect();
        for (number, holder) in devices.into_iter().enumerate() {
            if number != self.of {
                self.give_recovering(here, recovering::Input::HolderKnown { holder });
            }
        }
    }

    pub(crate) fn bytes_in_flight(&self) -> u64 {
        self.fetching.bytes_in_flight()
    }

    pub(crate) fn digest(&self) -> u64 {
        self.bytes_in_flight() ^ (u64::try_from(self.ready.len()).expect("few packs") << 40)
    }

    pub(crate) fn timeout(&self) -> Option<Instant> {
        let timeouts = [self.recovering.poll_timeout(), self.fetching.poll_timeout()];
        timeouts.into_iter().flatten().min()
    }

    pub(crate) fn time_passed(&mut self, here: &mut Here<'_>) {
        self.give_recovering(here, recovering::Input::TimePassed);
        self.give_fetching(here, fetching::Input::TimePassed);
    }

    /// Everything wanted is here, or there was nothing to want.
    pub(crate) fn is_done(&self) -> bool {
        match self.chosen {
            None => self.finished && self.published == 0,
            Some((_, hash)) => {
                self.finished
                    && self.opened == Some(hash)
                    && self.wants.keys().all(|root| self.ready.contains(root))
            }
        }
    }

    /// Whose backup it restores.
    pub(crate) const fn of(&self) -> usize {
        self.of
    }

    pub(crate) fn unconverged(&self) -> Option<String> {
        if self.is_done() {
            return None;
        }
        let left = self.wants.keys().filter(|root| !self.ready.contains(root)).count();
        Some(format!(
            "restore of {} (head {:?}, {} published) lacks {left} packs, out of holders: {}",
            self.of,
            self.chosen.map(|(seq, _)| seq),
            self.published,
            self.out_of_holders
        ))
    }

    pub(crate) fn connected(&mut self, here: &mut Here<'_>, line: Line) {
        if let Some(ask) = self.asks.get(&line.link.holder) {
            here.shared.tell_holder(line, ask.clone());
        }
        let holder = here.shared.circle.devices[line.link.holder].id;
        self.give_fetching(here, fetching::Input::HolderUp { holder });
    }

    pub(crate) fn lost(&mut self, here: &mut Here<'_>, holder: usize) {
        let running: Vec<OrderId> = self
            .stripes
            .iter()
            .filter(|(_, stripe)| stripe.holder == holder)
            .map(|(order, _)| *order)
            .collect();
        for order in running {
            self.stripes.remove(&order);
            if here.shared.has(Bug::LossAsWrongBytes) {
                let failure = StripeFailure::WrongBytes;
                self.give_fetching(here, fetching::Input::StripeFailed { order, failure });
            }
        }
        if let Some(order) = self.asks.remove(&holder).as_ref().and_then(order_of) {
            self.give_recovering(here, recovering::Input::HolderFailed { order });
        }
        let id = here.shared.circle.devices[holder].id;
        self.give_fetching(here, fetching::Input::HolderDown { holder: id });
        // The shell sees to connections while anything is to be fetched.
        if !self.is_done() {
            dial(here, holder);
        }
    }

    pub(crate) fn answered(&mut self, here: &mut Here<'_>, line: Line, message: ToClient) {
        match message {
            ToClient::Heads { order, heads } => {
                if self.asks.get(&line.link.holder).and_then(order_of) == Some(order) {
                    self.asks.remove(&line.link.holder);
                }
                let (heads, forged) = Self::verify(here, heads);
                let answer = recovering::Input::HeadsAnswered { order, heads, forged };
                self.give_recovering(here, answer);
            }
            ToClient::Groups { order, first, last, wrong } => {
                self.groups(here, order, (first, last), wrong);
            }
            ToClient::ReadFailed { order, failure } => {
                if self.stripes.remove(&order).is_some() {
                    self.give_fetching(here, fetching::Input::StripeFailed { order, failure });
                }
            }
            ToClient::Welcome { .. }
            | ToClient::Verdicts { .. }
            | ToClient::Refused { .. }
            | ToClient::Go { .. }
            | ToClient::Stored { .. }
            | ToClient::HeadTaken { .. }
            | ToClient::OtherHeads { .. }
            | ToClient::Shown { .. }
            | ToClient::ClaimsTaken { .. }
            | ToClient::Told { .. } => {}
        }
    }

    fn verify(here: &mut Here<'_>, heads: Vec<SignedHead>) -> (Vec<HeadSeen>, u32) {
        let (mut good, mut forged) = (Vec::new(), 0);
        for head in heads {
            if here.shared.check_head(here.vault, &head).is_ok() {
                good.push(HeadSeen::from(&head));
            } else {
                forged += 1;
            }
        }
        (good, forged)
    }

    fn groups(
        &mut self,
        here: &mut Here<'_>,
        order: OrderId,
        (first, last): (u64, u64),
        wrong: Option<u64>,
    ) {
        let Some(stripe) = self.stripes.get_mut(&order) else { return };
        let (root, range) = (stripe.root, stripe.range);
        if first * GROUP_BYTES != range.start + stripe.received {
            // A stream has no gaps: what follows a lost piece never arrives.
            return;
        }
        let mut good = last;
        if let Some(wrong) = wrong {
            if here.shared.has(Bug::StripeUnverified) {
                here.disk.image.wrong_groups.insert((root, wrong));
            } else {
                here.shared.saw("wrong bytes met");
                good = wrong;
            }
        }
        let end = (good * GROUP_BYTES).min(range.end);
        let whole = ByteRange::new(first * GROUP_BYTES, end);
        here.disk.image.groups.entry(root).or_default().insert(whole);
        stripe.received = stripe.received.max(end.saturating_sub(range.start));
        let bytes = stripe.received;
        let done = bytes >= range.bytes();
        self.give_fetching(here, fetching::Input::StripeProgressed { order, bytes });
        if good < last {
            let holder = self.stripes.remove(&order).map(|stripe| stripe.holder);
            let failure = StripeFailure::WrongBytes;
            self.give_fetching(here, fetching::Input::StripeFailed { order, failure });
            // RESTORE-8: who serves wrong bytes is named.
            let names =
                |it: &Check| matches!(it, Check::Blamed { holder: of, .. } if Some(*of) == holder);
            if !here.shared.model.checks.iter().any(names) {
                here.shared.violation(Property::Blame, "wrong bytes came, and nobody is named");
            }
        } else if done {
            self.stripes.remove(&order);
            self.give_fetching(here, fetching::Input::StripeDone { order });
        }
    }

    fn give_recovering(&mut self, here: &mut Here<'_>, input: recovering::Input) {
        self.recovering.handle_input(here.shared.now(), input);
        while let Some(output) = self.recovering.poll_output() {
            match output {
                recovering::Output::Ask { order, holder } => {
                    self.ask(here, holder, ToHolder::PullHeads { order });
                }
                recovering::Output::AskPast { order, holder, device, below } => {
                    here.shared.saw("older head asked for");
                    let device = here.shared.number(device);
                    self.ask(here, holder, ToHolder::PullPast { order, device, below });
                }
                recovering::Output::Blame { holder, fault } => {
                    blame(here, holder, format!("{fault:?}"));
                }
                recovering::Output::Finished { .. } => {
                    self.finished = true;
                    self.choose_head(here);
                }
            }
        }
    }

    fn ask(&mut self, here: &mut Here<'_>, holder: DeviceId, ask: ToHolder) {
        let holder = here.shared.number(holder);
        self.asks.insert(holder, ask.clone());
        match here.shared.network.line(Link { client: here.number, holder }) {
            Some(line) => here.shared.tell_holder(line, ask),
            None => dial(here, holder),
        }
    }

    /// What was never called safe may rest on one disk, and that may be lost by now: whoever restores takes
    /// the state before. What only a head chosen before needed says nothing about the one chosen now.
    fn give_up_on_head(&mut self, here: &mut Here<'_>, lost: &[ShardRoot]) {
        let Some((_, hash)) = self.chosen.filter(|(seq, _)| *seq > self.published) else {
            return;
        };
        let commit = here.shared.model.commits.get(&hash);
        let is_open = self.opened == Some(hash);
        let is_needed = |root: &ShardRoot| {
            let leads = commit.is_some_and(|commit| commit.commit_pack.root == *root);
            self.wants.contains_key(root) && (is_open || leads)
        };
        if lost.iter().any(is_needed) {
            here.shared.saw("head that was not safe given up");
            self.give_recovering(here, recovering::Input::HeadUnreadable { hash });
        }
    }

    fn choose_head(&mut self, here: &mut Here<'_>) {
        let found = self.recovering.found();
        let wanted = here.shared.circle.devices[self.of].id;
        let Some(best) = found.heads.get(&wanted) else { return };
        if best.witnesses.is_empty() {
            here.shared.violation(Property::Restore, "a head without a witness");
        }
        let chosen = (best.head.seq, best.head.hash);
        if self.chosen == Some(chosen) {
            return;
        }
        self.chosen = Some(chosen);
        // Of one that is chosen for the second time, what it needs may have been wanted in part.
        self.opened = None;
        if let Some(commit) = here.shared.model.commits.get(&chosen.1).cloned() {
            self.want(here, commit.commit_pack, PackClass::Metadata);
        }
        for holder in 0..here.shared.circle.devices.len() {
            dial(here, holder);
        }
    }

    /// Metadata whole, of data packs some ranges.
    fn want(&mut self, here: &mut Here<'_>, shard: ShardRef, class: PackClass) {
        let whole = Ranges::of(ByteRange::new(0, shard.bytes));
        let ranges = if class == PackClass::Metadata || here.dice.chance(70) {
            whole
        } else {
            let start = here.dice.range(0, shard.bytes - 1);
            let end = here.dice.range(start + 1, shard.bytes);
            [ByteRange::new(start, end), ByteRange::new(0, 1)].into_iter().collect()
        };
        let root = shard.root;
        let present = here.disk.image.groups.get(&root).cloned().unwrap_or_default();
        self.wants.insert(root, (shard, ranges.clone()));
        self.ready.remove(&root);
        let priority = u8::from(class == PackClass::Data);
        self.give_fetching(here, fetching::Input::Want { shard, ranges, present, priority });
        for holder in self.proof.receipts.get(&root).cloned().unwrap_or_default() {
            let holder = here.shared.circle.devices[holder].id;
            self.give_fetching(here, fetching::Input::HolderHas { holder, root });
        }
    }

    fn give_fetching(&mut self, here: &mut Here<'_>, input: fetching::Input) {
        self.fetching.handle_input(here.shared.now(), input);
        while let Some(output) = self.fetching.poll_output() {
            self.carry_out(here, output);
        }
    }

    fn carry_out(&mut self, here: &mut Here<'_>, output: fetching::Output) {
        match output {
            fetching::Output::FetchStripe { order, holder, shard, range } => {
                let holder = here.shared.number(holder);
                let root = shard.root;
                // RESTORE-9: what is here is not fetched again.
                let present = here.disk.image.groups.get(&root);
                if present.is_some_and(|present| present.contains(range)) {
                    here.shared.violation(Property::Restore, "a stripe that is here already");
                }
                self.stripes.insert(order, Stripe { holder, root, range, received: 0 });
                let link = Link { client: here.number, holder };
                if let Some(line) = here.shared.network.line(link) {
                    here.shared.tell_holder(line, ToHolder::Read { order, shard, range });
                }
            }
            fetching::Output::CancelStripe { order } => {
                if let Some(stripe) = self.stripes.remove(&order) {
                    let link = Link { client: here.number, holder: stripe.holder };
                    if let Some(line) = here.shared.network.line(link) {
                        here.shared.tell_holder(line, ToHolder::StopRead { order });
                    }
                }
            }
            fetching::Output::RangesReady { root } => self.ranges_ready(here, root),
            fetching::Output::OutOfHolders { roots } => {
                here.shared.saw("out of holders");
                self.out_of_holders = true;
                self.give_up_on_head(here, &roots);
            }
            fetching::Output::Blame { holder, fault, .. } => {
                blame(here, holder, format!("{fault:?}"));
            }
            fetching::Output::Halted => {
                here.shared.violation(Property::Restore, "the restorer's disk is sound here");
            }
        }
    }

    fn ranges_ready(&mut self, here: &mut Here<'_>, root: ShardRoot) {
        self.ready.insert(root);
        let Some((_, hash)) = self.chosen else { return };
        let Some(commit) = here.shared.model.commits.get(&hash).cloned() else { return };
        if commit.commit_pack.root != root || self.opened == Some(hash) {
            return;
        }
        self.opened = Some(hash);
        // Packs of a head that was chosen before and is not any more are not wanted.
        let named: BTreeSet<ShardRoot> = commit.needs.iter().map(|(shard, _)| shard.root).collect();
        let old: Vec<ShardRoot> =
            self.wants.keys().filter(|root| !named.contains(root)).copied().collect();
        for root in old {
            self.wants.remove(&root);
            self.give_fetching(here, fetching::Input::Cancel { root });
        }
        for (shard, class) in commit.needs {
            // What was wanted just now may be nowhere, and another head chosen because of it: the rest of this
            // one is no part of that.
            if self.opened != Some(hash) {
                return;
            }
            if !self.ready.contains(&shard.root) {
                self.want(here, shard, class);
            }
        }
    }

    /// The end: the newest published head or a newer one, and every wanted byte as it was.
    pub(crate) fn check(&self, here: &mut Here<'_>, newest: bool) {
        if let Some(text) = self.unconverged() {
            return here.shared.violation(Property::Restore, text);
        }
        let seq = self.chosen.map_or(0, |(seq, _)| seq);
        if newest && seq < self.published {
            let text = format!("head {seq} of {} restored, {} published", self.of, self.published);
            here.shared.violation(Property::Restore, text);
        }
        for (root, (shard, ranges)) in &self.wants {
            let present = here.disk.image.groups.get(root);
            let here_whole = |range: ByteRange| {
                present.is_some_and(|present| present.contains(range.to_groups(shard.bytes)))
            };
            if !ranges.iter().all(here_whole) {
                let text = format!("parts of {root:?} are missing");
                return here.shared.violation(Property::Restore, text);
            }
        }
        let wrong = here.disk.image.wrong_groups.iter().next().copied();
        if let Some((root, group)) = wrong {
            let text = format!("group {group} of {root:?} is wrong");
            here.shared.violation(Property::Restore, text);
        }
    }
}

/// Calls a holder, unless there is a connection or a call already.
fn dial(here: &mut Here<'_>, holder: usize) {
    here.shared.wanted.push(Link { client: here.number, holder });
}

const fn order_of(ask: &ToHolder) -> Option<OrderId> {
    match ask {
        ToHolder::PullHeads { order } | ToHolder::PullPast { order, .. } => Some(*order),
        _ => None,
    }
}

fn blame(here: &mut Here<'_>, holder: DeviceId, fault: String) {
    let (by, holder) = (here.number, here.shared.number(holder));
    here.shared.check(Check::Blamed { by, holder, fault });
}
