//! Heads of this device: waiting for their packs, then pushed to every holder.
//!
//! A holder gets a head before it is safe when that holder itself has all that is not safe yet: with
//! the other household asleep, what was backed up meanwhile can be restored from the one that is up.

use std::collections::{BTreeMap, BTreeSet};

use super::{Order, Output, Placing, holder::Holder, pack::Custody, scheduling::FAILURE_BACKOFF};
use crate::{
    ids::{DeviceId, ShardRoot},
    index::{PackClass, ShardRef},
    limits::{HEADS_WAITING_MAX, OFFER_MS_MAX},
    order::OrderId,
};

/// All heads that are not published yet.
#[derive(Debug, Clone, Default)]
pub(super) struct Heads {
    waiting: BTreeMap<u64, Waiting>,
    /// The newest head whose packs are all safe: the one that is pushed.
    safe_seq: u64,
    published_seq: u64,
    /// Number of the newest head, and the packs that it needs: for counts only.
    newest: (u64, Vec<ShardRoot>),
    /// What the heads need that became safe, from the published one on: packs can be lost later.
    settled: BTreeMap<u64, BTreeSet<ShardRoot>>,
}

/// A head that waits for its packs. `missing` is the part of `needs` that is not safe.
#[derive(Debug, Clone)]
struct Waiting {
    needs: BTreeSet<ShardRoot>,
    missing: BTreeSet<ShardRoot>,
}

impl Heads {
    /// Numbers of the heads that wait, and how many packs each lacks.
    pub(super) fn lacking(&self) -> BTreeMap<u64, usize> {
        self.waiting.iter().map(|(seq, head)| (*seq, head.missing.len())).collect()
    }

    /// Whether a holder may hold and does not have the newest head that it may be shown.
    pub(super) fn are_lacking(&self, at: &Holder) -> bool {
        at.acquaintance.may_hold() && !at.is_leaving && at.head_seq < self.due_at(at)
    }

    /// The newest head for this holder: that is safe, or whose every other pack it has itself.
    fn due_at(&self, at: &Holder) -> u64 {
        self.safe_seq.max(at.complete_seq)
    }

    /// What a head needs that is still of interest.
    fn needs_of(&self, seq: u64) -> Option<&BTreeSet<ShardRoot>> {
        let waiting = || self.waiting.get(&seq).map(|head| &head.needs);
        self.settled.get(&seq).or_else(waiting)
    }

    pub(super) const fn published_seq(&self) -> u64 {
        self.published_seq
    }

    /// The newest head, and the packs that it needs.
    pub(super) fn newest(&self) -> (u64, &[ShardRoot]) {
        (self.newest.0, &self.newest.1)
    }

    /// The packs that the newest head needs.
    pub(super) fn newest_needs(&self) -> &[ShardRoot] {
        &self.newest.1
    }

    /// What every head that is still of interest needs.
    pub(super) fn needs(&self) -> impl Iterator<Item = (u64, &BTreeSet<ShardRoot>)> {
        let waiting = self.waiting.iter().map(|(seq, head)| (*seq, &head.needs));
        self.settled.iter().map(|(seq, needs)| (*seq, needs)).chain(waiting)
    }

    /// Notes that a pack is safe; returns the newest head that lacks nothing more because of it.
    pub(super) fn pack_safe(&mut self, root: ShardRoot) -> Option<u64> {
        for head in self.waiting.values_mut() {
            head.missing.remove(&root);
        }
        let done = self.waiting.iter().rfind(|(_, head)| head.missing.is_empty());
        let seq = done.map(|(seq, _)| *seq)?;
        if let Some(head) = self.waiting.remove(&seq) {
            self.settled.insert(seq, head.needs);
        }
        Some(seq)
    }

    /// A head is safe: those before it are superseded, whatever they lack.
    fn settle(&mut self, seq: u64) {
        self.safe_seq = self.safe_seq.max(seq);
        self.waiting.retain(|waiting, _| *waiting > seq);
        let (published, safe) = (self.published_seq, self.safe_seq);
        self.settled.retain(|settled, _| *settled == published || *settled == safe);
    }

    /// Heads that need a dropped pack are of no interest any more.
    pub(super) fn forget(&mut self, root: &ShardRoot) {
        self.waiting.retain(|_, head| !head.needs.contains(root));
        self.settled.retain(|_, needs| !needs.contains(root));
    }

    pub(super) fn pack_unsafe(&mut self, root: ShardRoot) {
        for head in self.waiting.values_mut() {
            if head.needs.contains(&root) {
                head.missing.insert(root);
            }
        }
    }
}

impl Placing {
    pub(super) fn head_committed(&mut self, seq: u64, needs: Vec<(ShardRef, PackClass)>) {
        for (shard, class) in &needs {
            if !self.packs.contains_key(&shard.root) {
                self.insert_pack(*shard, *class);
            }
        }
        let needs: BTreeSet<ShardRoot> = needs.into_iter().map(|(shard, _)| shard.root).collect();
        if seq >= self.heads.newest.0 {
            self.heads.newest = (seq, needs.iter().copied().collect());
        }
        let missing: BTreeSet<ShardRoot> =
            needs.iter().filter(|root| !self.is_safe(root)).copied().collect();
        if missing.is_empty() {
            self.heads.settled.insert(seq, needs);
            return self.head_safe(seq);
        }
        self.heads.waiting.insert(seq, Waiting { needs, missing });
        while self.heads.waiting.len() > HEADS_WAITING_MAX {
            // The oldest is superseded: a newer head names what is still wanted of it.
            self.heads.waiting.pop_first();
        }
    }

    /// Looks for which holders have all that the newest head lacks to be safe.
    pub(super) fn note_complete_holders(&mut self) {
        let Some((seq, head)) = self.heads.waiting.last_key_value() else { return };
        for (id, holder) in &mut self.holders {
            if holder.complete_seq >= *seq {
                continue;
            }
            let lacks = |root: &&ShardRoot| {
                let pack = self.packs.get(*root);
                !pack.and_then(|pack| pack.custody.get(id)).is_some_and(Custody::counts)
            };
            // What it lacked last is asked first: mostly that is the answer.
            let last = holder.lacked.filter(|root| head.missing.contains(root));
            holder.lacked = match last.as_ref().filter(lacks) {
                Some(root) => Some(*root),
                None => head.missing.iter().find(lacks).copied(),
            };
            if holder.lacked.is_none() {
                holder.complete_seq = *seq;
            }
        }
    }

    pub(super) fn head_safe(&mut self, seq: u64) {
        self.heads.settle(seq);
        self.outputs.push_back(Output::HeadSafe { seq });
        self.publish_if_held();
    }

    pub(super) fn head_held(&mut self, id: DeviceId, seq: u64) {
        if let Some(holder) = self.holders.get_mut(&id) {
            holder.head_seq = holder.head_seq.max(seq);
        }
        self.publish_if_held();
    }

    /// Whether this holder should be given a head.
    pub(super) fn lacks_head(&self, id: DeviceId) -> bool {
        self.holders.get(&id).is_some_and(|holder| self.heads.are_lacking(holder))
    }

    pub(super) fn push_to(&mut self, id: DeviceId) {
        let now = self.now;
        if !self.lacks_head(id) {
            return;
        }
        let Some(holder) = self.holders.get(&id) else { return };
        if holder.push.is_some() || !holder.is_available(now) {
            return;
        }
        let newest_first = [self.heads.due_at(holder), self.heads.safe_seq];
        let is_due = |seq: &u64| *seq > holder.head_seq && self.may_show(*seq, &id);
        let Some(seq) = newest_first.into_iter().find(is_due) else { return };
        let order = self.numbers.take();
        let Some(holder) = self.holders.get_mut(&id) else { return };
        holder.push = Some(order);
        let deadline = now.after_ms(OFFER_MS_MAX);
        self.orders.insert(order, Order::Push { holder: id, seq, deadline });
        self.outputs.push_back(Output::PushHead { order, holder: id, seq });
    }

    /// PLACE-5, PLACE-24: whether a holder may have a head. What was found is looked at again: a pack
    /// may have been lost since.
    fn may_show(&self, seq: u64, id: &DeviceId) -> bool {
        let fits = |root: &ShardRoot| {
            let pack = self.packs.get(root);
            pack.is_some_and(|it| it.is_safe() || it.custody.get(id).is_some_and(Custody::counts))
        };
        // Of a head from before the start nothing is known but that it was safe.
        self.heads.needs_of(seq).map_or(seq == self.heads.safe_seq, |it| it.iter().all(fits))
    }

    pub(super) fn head_pushed(&mut self, order: OrderId, taken: bool) {
        let Some(Order::Push { seq, .. }) = self.orders.get(&order) else { return };
        let seq = *seq;
        let Some((id, _)) = self.end_order(order) else { return };
        if taken {
            self.head_held(id, seq);
        } else {
            self.rest(id, FAILURE_BACKOFF, super::Condition::Failing);
        }
    }

    pub(super) fn publish_if_held(&mut self) {
        let seq = self.heads.safe_seq;
        if seq <= self.heads.published_seq {
            return;
        }
        let has_it = |holder: &Holder| holder.head_seq >= seq && holder.is_relied_on();
        if self.sites_of_holders(has_it) >= self.copies {
            self.heads.published_seq = seq;
            self.heads.settled.retain(|settled, _| *settled >= seq);
            self.outputs.push_back(Output::HeadPublished { seq });
        }
    }
}
