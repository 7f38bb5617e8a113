//! Which stripe from which holder: the earliest expected arrival wins; late stripes are asked for
//! a second time elsewhere.

use super::{
    ByteRange, FETCH_BYTES_TOTAL_MAX, FETCH_PATIENCE_MS, Fetching, Output, ShardRoot, Stripe,
    Wanted,
};
use crate::{
    ids::DeviceId,
    limits::{STRIPE_BYTES, STRIPE_STALL_MS_MAX},
    order::OrderId,
    time::Instant,
};

/// A stripe is late after this and three times what it should have taken.
const HEDGE_MS_MIN: u64 = 1_500;
/// Near the end, when nothing else is left to ask for, a stripe that has run so long may be asked
/// for elsewhere if that is expected to be at least twice as fast.
const ENDGAME_MS_MIN: u64 = 300;

impl Fetching {
    /// When to come back with `TimePassed` at the latest.
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.wants.is_empty() || self.halted {
            return None;
        }
        let stripes = self.stripes.values().flat_map(|stripe| {
            let late = (!stripe.hedged).then(|| late_at(stripe)).filter(|at| *at > self.now);
            let endgame = stripe.started.after_ms(ENDGAME_MS_MIN);
            let endgame = (!stripe.hedged && endgame > self.now).then_some(endgame);
            [Some(stall_at(stripe)), late, endgame]
        });
        let rests = self.sources.values().map(|source| source.rest_until(self.now));
        let patience = self.unserved.values().map(|unserved| {
            (!unserved.reported).then(|| unserved.since.after_ms(FETCH_PATIENCE_MS))
        });
        stripes.chain(rests).chain(patience).flatten().min()
    }

    /// Orders all that can be ordered now.
    pub(super) fn schedule(&mut self) {
        while let Some((root, holder)) = self.choose() {
            if !self.order_next(root, holder) {
                break;
            }
        }
        while let Some((order, holder)) = self.choose_hedge() {
            self.hedge(order, holder);
        }
    }

    fn has_room(&self, bytes: u64) -> bool {
        self.bytes_in_flight().saturating_add(bytes) <= FETCH_BYTES_TOTAL_MAX
    }

    /// The first shard in order that some holder can be asked for, and the best such holder.
    fn choose(&self) -> Option<(ShardRoot, DeviceId)> {
        let any_place = self.sources.values().any(|source| source.has_place(self.now));
        if !any_place || !self.has_room(STRIPE_BYTES) {
            return None;
        }
        self.queue.iter().find_map(|(_, _, root)| {
            let want = self.wants.get(root)?;
            Some((*root, self.best_for(want, None)?))
        })
    }

    /// The holder that would deliver one more stripe first.
    fn best_for(&self, want: &Wanted, not: Option<DeviceId>) -> Option<DeviceId> {
        self.sources
            .iter()
            .filter(|(id, source)| {
                source.has_place(self.now) && !want.lacking.contains(id) && Some(**id) != not
            })
            // A receipt breaks ties: who is known to have it is asked before who may have it.
            .min_by_key(|(id, _)| (self.arrival_ms(id, STRIPE_BYTES), !want.receipted.contains(id)))
            .map(|(id, _)| *id)
    }

    /// Milliseconds until `bytes` more would be here from this holder, behind what it owes.
    fn arrival_ms(&self, id: &DeviceId, bytes: u64) -> u64 {
        let of_holder = |stripe: &&Stripe| stripe.holder == *id;
        let owed: u64 = self.stripes.values().filter(of_holder).map(Stripe::rest).sum();
        self.sources
            .get(id)
            .map_or(u64::MAX, |source| source.expected_ms(owed.saturating_add(bytes)))
    }

    /// Orders the first open stripe of a shard.
    fn order_next(&mut self, root: ShardRoot, holder: DeviceId) -> bool {
        let Some(open) = self.wants.get(&root).and_then(|want| want.open.first()) else {
            return false;
        };
        // Stripes end at multiples of their size, so that holes fill to whole stripes.
        let end = (open.start / STRIPE_BYTES + 1).saturating_mul(STRIPE_BYTES).min(open.end);
        self.order(root, holder, ByteRange::new(open.start, end), false)
    }

    fn order(&mut self, root: ShardRoot, id: DeviceId, range: ByteRange, hedged: bool) -> bool {
        let (Some(want), Some(source)) = (self.wants.get_mut(&root), self.sources.get_mut(&id))
        else {
            return false;
        };
        let now = self.now;
        let order = self.numbers.take();
        let expected_ms = source.expected_ms(range.bytes());
        source.started(now);
        want.open.remove(range);
        if want.open.is_empty() {
            self.queue.remove(&(want.priority, want.age, root));
        }
        let shard = want.shard;
        let stripe = Stripe {
            holder: id,
            root,
            range,
            received: 0,
            started: now,
            progressed: now,
            expected_ms,
            hedged,
        };
        self.stripes.insert(order, stripe);
        self.outputs.push_back(Output::FetchStripe { order, holder: id, shard, range });
        true
    }

    /// A late stripe, and a holder that should bring its rest sooner.
    fn choose_hedge(&self) -> Option<(OrderId, DeviceId)> {
        let endgame = self.queue.is_empty();
        self.stripes.iter().find_map(|(order, stripe)| {
            if stripe.hedged || !self.has_room(stripe.rest()) {
                return None;
            }
            let late = late_at(stripe) <= self.now;
            let old = self.now.ms_since(stripe.started) >= ENDGAME_MS_MIN;
            let worthwhile = late || (endgame && old);
            if !worthwhile {
                return None;
            }
            let want = self.wants.get(&stripe.root)?;
            let other = self.best_for(want, Some(stripe.holder))?;
            let own_ms = self.sources.get(&stripe.holder)?.expected_ms(stripe.rest());
            let sooner = self.arrival_ms(&other, stripe.rest()) < own_ms / 2;
            (late || sooner).then_some((*order, other))
        })
    }

    fn hedge(&mut self, order: OrderId, holder: DeviceId) {
        let Some(stripe) = self.stripes.get_mut(&order) else { return };
        stripe.hedged = true;
        let (root, range) = (stripe.root, stripe.range);
        // Only whole groups were verified, so the rest starts at a group.
        let rest = ByteRange::new(range.start.saturating_add(stripe.received), range.end);
        self.order(root, holder, rest, true);
    }
}

const fn late_at(stripe: &Stripe) -> Instant {
    stripe.started.after_ms(HEDGE_MS_MIN.saturating_add(stripe.expected_ms.saturating_mul(3)))
}

pub(super) const fn stall_at(stripe: &Stripe) -> Instant {
    stripe.progressed.after_ms(STRIPE_STALL_MS_MAX)
}
