//! How stripes end, and what that says about their holders.

use super::{
    ByteRange, Fault, Fetching, Output, Source, StripeFailure, Wanted, choosing::stall_at,
};
use crate::{ids::DeviceId, ids::ShardRoot, limits::GROUP_BYTES, order::OrderId};

impl Fetching {
    pub(super) fn holder_up(&mut self, id: DeviceId) {
        let now = self.now;
        self.sources.entry(id).or_insert_with(Source::new).up(now, &id);
        self.suspect_all();
    }

    pub(super) fn holder_down(&mut self, id: DeviceId) {
        let Some(source) = self.sources.get_mut(&id) else { return };
        source.down();
        for order in self.orders_where(|stripe| stripe.holder == id) {
            self.end(order);
        }
        self.suspect_all();
    }

    /// Verified bytes of a stripe came; `u64::MAX` for all of it.
    pub(super) fn progressed(&mut self, order: OrderId, bytes: u64) {
        let now = self.now;
        let Some(stripe) = self.stripes.get_mut(&order) else { return };
        let whole = stripe.range.bytes();
        // Bytes of a started group are not verified: a shell that counts them is not believed.
        let bytes = if bytes >= whole { whole } else { bytes / GROUP_BYTES * GROUP_BYTES };
        let new_bytes = bytes.saturating_sub(stripe.received);
        if new_bytes == 0 && bytes < whole {
            return;
        }
        stripe.received = stripe.received.max(bytes);
        stripe.progressed = now;
        let (id, root, start) = (stripe.holder, stripe.root, stripe.range.start);
        let complete = stripe.received >= whole;
        if let Some(source) = self.sources.get_mut(&id) {
            source.delivered(now, new_bytes, complete);
        }
        if let Some(want) = self.wants.get_mut(&root) {
            want.present.insert(ByteRange::new(start, start.saturating_add(bytes)));
        }
        if complete {
            self.end(order);
        }
        self.cancel_superfluous(root);
    }

    /// Cancels stripes of which every byte came by another way.
    fn cancel_superfluous(&mut self, root: ShardRoot) {
        let Some(want) = self.wants.get(&root) else { return };
        let superfluous =
            self.orders_where(|stripe| stripe.root == root && want.present.contains(stripe.range));
        for order in superfluous {
            self.cancel(order);
        }
        self.settle(root);
    }

    pub(super) fn stripe_failed(&mut self, order: OrderId, failure: StripeFailure) {
        let Some(stripe) = self.stripes.get(&order) else { return };
        let (id, root) = (stripe.holder, stripe.root);
        self.end(order);
        match failure {
            StripeFailure::WrongBytes => self.blame(id, Fault::WrongBytes, root),
            StripeFailure::NotFound => {
                if self.lacks(id, root).is_some_and(|want| want.receipted.contains(&id)) {
                    self.name(id, Fault::LostShard, root);
                }
            }
            StripeFailure::Damaged => {
                self.lacks(id, root);
                self.name(id, Fault::DamagedShard, root);
            }
            StripeFailure::Forbidden | StripeFailure::Lost => {
                let now = self.now;
                if let Some(source) = self.sources.get_mut(&id) {
                    source.failed(now, &id);
                    if !source.is_serving() {
                        self.suspect_all();
                    }
                }
            }
            StripeFailure::Local => {
                if !std::mem::replace(&mut self.halted, true) {
                    self.outputs.push_back(Output::Halted);
                }
                for order in self.orders_where(|_| true) {
                    self.cancel(order);
                }
            }
        }
    }

    /// A holder does not have a shard, whyever: it is not asked for it again.
    fn lacks(&mut self, id: DeviceId, root: ShardRoot) -> Option<&Wanted> {
        let want = self.wants.get_mut(&root)?;
        want.lacking.insert(id);
        self.unserved_suspects.insert(root);
        Some(want)
    }

    /// Who has lost one shard may be the only one who has another: its disk was replaced, say, and what it
    /// keeps came to it since. It is named, and asked for the others.
    fn name(&mut self, holder: DeviceId, fault: Fault, root: ShardRoot) {
        self.outputs.push_back(Output::Blame { holder, fault, root });
    }

    /// Nothing more is believed of who serves wrong bytes.
    fn blame(&mut self, id: DeviceId, fault: Fault, root: ShardRoot) {
        if let Some(source) = self.sources.get_mut(&id) {
            source.ban();
        }
        self.name(id, fault, root);
        for order in self.orders_where(|stripe| stripe.holder == id) {
            self.cancel(order);
        }
        self.suspect_all();
    }

    /// Ends stripes that made no progress for too long.
    pub(super) fn end_stalled(&mut self) {
        let now = self.now;
        for order in self.orders_where(|stripe| stall_at(stripe) <= now) {
            self.outputs.push_back(Output::CancelStripe { order });
            self.stripe_failed(order, StripeFailure::Lost);
        }
    }

    pub(super) fn cancel(&mut self, order: OrderId) {
        if self.end(order) {
            self.outputs.push_back(Output::CancelStripe { order });
        }
    }

    /// Takes a stripe off the books; what it did not bring is open again unless another stripe
    /// covers it.
    fn end(&mut self, order: OrderId) -> bool {
        let Some(stripe) = self.stripes.remove(&order) else { return false };
        if let Some(source) = self.sources.get_mut(&stripe.holder) {
            source.ended();
        }
        // The stripe that covered it, or was covered by it, may be covered anew.
        for other in self.stripes.values_mut().filter(|other| other.root == stripe.root) {
            if other.range.start < stripe.range.end && stripe.range.start < other.range.end {
                other.hedged = false;
            }
        }
        self.settle(stripe.root);
        true
    }
}
