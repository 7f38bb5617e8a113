//! Bringing back: packs that are on too few sites and not here are fetched from whoever has them, and
//! placed anew.
//!
//! The source's own repair, over its own line: a holder lost what it kept, was removed, or is presumed
//! lost, long after the local copy had gone. Only packs that met the policy once, or were here: of
//! others the device that made them still has the bytes. Those that are *lean*, safe by what was asked
//! when they went and on fewer sites than are asked for now, come after those that are short.
//! ```text
//!  short ──BringBack──> fetching ──came──> here ──placed, safe──> dropped as any other
//!    ^                     └── failed: rest, longer each time
//! ```
//! Nothing is fetched that could not be placed: somebody has to keep it, and somebody at another site
//! has to want it. So a pack that nobody can help costs no traffic and no wake-up.
//!
//! Invariants: one fetch at a time, at most [`BROUGHT_BACK_MAX`] packs here for this reason.
//! Source: specs/placing.md, "Bringing back".

use std::collections::BTreeSet;

use super::{
    Output, Placing,
    pack::{Custody, Key, Pack, Safety},
};
use crate::{
    ids::{DeviceId, ShardRoot},
    index::PackClass,
    limits::{BRING_BACK_MS_MAX, BROUGHT_BACK_MAX},
    order::{Backoff, OrderId},
    pacing::Side,
    time::Instant,
};

/// After a fetch that failed: whoever has the pack may be away for a night.
const BACKOFF: Backoff = Backoff { first_ms: 60_000, most_ms: 3_600_000 };

/// What is short, what is on its way, what is here because of it.
#[derive(Debug, Clone, Default)]
pub(super) struct Bringing {
    short: BTreeSet<Key>,
    lean: BTreeSet<Key>,
    fetching: Option<Fetch>,
    here: BTreeSet<ShardRoot>,
    failures: u32,
    rest_until: Instant,
    /// Something changed that may make a pack worth fetching.
    is_due: bool,
}

#[derive(Debug, Clone, Copy)]
struct Fetch {
    order: OrderId,
    root: ShardRoot,
    deadline: Instant,
}

impl Bringing {
    /// A pack is placed no more. A fetch that is under way ends by itself.
    pub(super) fn forget(&mut self, key: &Key) {
        self.short.remove(key);
        self.lean.remove(key);
        self.is_due |= self.here.remove(&key.1);
    }

    pub(super) const fn orders_pending(&self) -> usize {
        if self.fetching.is_some() { 1 } else { 0 }
    }

    /// A pack that was brought back before a restart, and still has to be placed.
    pub(super) fn resume(&mut self, pack: &Pack) {
        let is_on_its_way = pack.here && pack.promised_sites > 0 && pack.safety != Safety::Full;
        if is_on_its_way && pack.class == PackClass::Data {
            self.here.insert(pack.shard.root);
        }
    }

    /// Keeps the lists up to date after anything about a pack changed.
    pub(super) fn note(&mut self, pack: &Pack) {
        let key = (pack.seq, pack.shard.root);
        if pack.safety == Safety::Full || !pack.here {
            self.is_due |= self.here.remove(&pack.shard.root);
        }
        let is_wanted_here = [pack.is_short(), pack.is_lean() && !pack.here];
        for (list, is_in) in [&mut self.short, &mut self.lean].into_iter().zip(is_wanted_here) {
            if is_in {
                list.insert(key);
                self.is_due = true;
            } else {
                list.remove(&key);
            }
        }
    }
}

impl Placing {
    /// Somebody came who may keep or want what is short.
    pub(super) fn look_at_short_packs(&mut self) {
        let bringing = &mut self.bringing;
        let (short, lean, here) = (&bringing.short, &bringing.lean, &bringing.here);
        bringing.is_due = !(short.is_empty() && lean.is_empty() && here.is_empty());
    }

    /// Orders the oldest short pack that can be helped, or else the oldest lean one.
    pub(super) fn bring_one_back(&mut self) {
        self.let_stuck_ones_go();
        let bringing = &self.bringing;
        let is_busy = bringing.fetching.is_some() || bringing.here.len() >= BROUGHT_BACK_MAX;
        // Whoever may have it may be far.
        let is_spared = !self.line.carries_packs(Side::Beyond);
        if !bringing.is_due || is_busy || is_spared || bringing.rest_until > self.now {
            return;
        }
        let helps = |(_, root): &&Key| self.packs.get(root).is_some_and(|pack| self.can_help(pack));
        let candidates = bringing.short.iter().chain(&bringing.lean);
        let Some((_, root)) = candidates.into_iter().find(helps).copied() else {
            self.bringing.is_due = false;
            return;
        };
        let Some(pack) = self.packs.get(&root) else { return };
        let (shard, class) = (pack.shard, pack.class);
        let order = self.numbers.take();
        let deadline = self.now.after_ms(BRING_BACK_MS_MAX);
        self.bringing.fetching = Some(Fetch { order, root, deadline });
        self.outputs.push_back(Output::BringBack { order, shard, class });
    }

    /// Packs that were fetched and that nobody takes after all must not keep others from being fetched.
    /// Only lean ones: of what is short every copy counts. Who would take one and rests, or is away for a
    /// while, is waited for, unless short ones wait for the place.
    fn let_stuck_ones_go(&mut self) {
        if !self.bringing.is_due || self.policy.keep_own {
            return;
        }
        let is_full = self.bringing.here.len() >= BROUGHT_BACK_MAX;
        let at_once = is_full && !self.bringing.short.is_empty();
        let may_take = |id: &DeviceId| {
            let holder = self.holders.get(id);
            holder.is_some_and(|it| it.is_relied_on() && (!at_once || it.may_take(self.now)))
        };
        let moves = |(id, custody): (&DeviceId, &Custody)| custody.is_open() && may_take(id);
        let is_stuck = |pack: &Pack| {
            let is_data = pack.class == PackClass::Data && pack.is_lean();
            is_data && !pack.is_uploading() && !pack.custody.iter().any(moves)
        };
        let stuck = |root: &&ShardRoot| self.packs.get(root).is_some_and(is_stuck);
        let stuck: Vec<ShardRoot> = self.bringing.here.iter().filter(stuck).copied().collect();
        for root in stuck {
            self.set_here(root, false);
            let Some(pack) = self.packs.get(&root) else { continue };
            let (shard, sites) = (pack.shard, pack.promised_sites);
            self.bringing.note(pack);
            self.outputs.push_back(Output::DropLocal { shard, sites });
        }
    }

    /// Whether somebody keeps this pack, and somebody else would take it who counts.
    fn can_help(&self, pack: &Pack) -> bool {
        let has_room =
            |id: &DeviceId| self.holders.get(id).is_some_and(|it| !it.lacks_room(self.now));
        let wants = |(id, custody): (&DeviceId, &Custody)| {
            *custody == Custody::Wanted && has_room(id) && self.is_planned(pack, *id)
        };
        let keeps =
            |(id, custody): (&DeviceId, &Custody)| custody.counts() && self.is_counted_on(id);
        pack.custody.iter().any(keeps) && pack.custody.iter().any(wants)
    }

    /// The fetch has ended.
    pub(super) fn brought_back(&mut self, order: OrderId, came: bool) {
        let Some(Fetch { root, .. }) = self.bringing.fetching.filter(|it| it.order == order) else {
            return;
        };
        self.bringing.fetching = None;
        self.bringing.is_due = true;
        if !came {
            self.bringing.failures = self.bringing.failures.saturating_add(1);
            let seed = DeviceId::from_bytes(*root.as_bytes());
            let wait_ms = BACKOFF.wait_ms(self.bringing.failures, &seed);
            self.bringing.rest_until = self.now.after_ms(wait_ms);
            return;
        }
        self.bringing.failures = 0;
        if !self.packs.contains_key(&root) {
            return;
        }
        self.bringing.here.insert(root);
        self.set_here(root, true);
        self.requeue(root);
        self.reconsider(root);
    }

    /// Gives up a fetch without an answer.
    pub(super) fn end_overdue_fetch(&mut self) {
        let overdue = self.bringing.fetching.filter(|it| it.deadline <= self.now);
        if let Some(Fetch { order, .. }) = overdue {
            self.brought_back(order, false);
        }
    }

    /// When to come back because of a fetch, or a rest after one.
    pub(super) fn bring_back_at(&self) -> Option<Instant> {
        let bringing = &self.bringing;
        match &bringing.fetching {
            Some(fetch) => Some(fetch.deadline),
            None => {
                (bringing.is_due && bringing.rest_until > self.now).then_some(bringing.rest_until)
            }
        }
    }
}
