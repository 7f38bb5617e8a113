//! What to order next: connections, offers, uploads; and what to give up because its time is over.

use super::{
    Condition, Order, Output, Placing,
    holder::{CallBack, Holder, Link},
    pack::{Custody, Key, Pack},
};
use crate::{
    ids::{DeviceId, ShardRoot},
    limits::{
        CONNECT_MS_MAX, OFFER_MS_MAX, OFFER_SHARDS_MAX, UPLOAD_STALL_MS_MAX,
        UPLOADS_PER_HOLDER_MAX, UPLOADS_TOTAL_MAX,
    },
    order::{Backoff, OrderId},
    time::Instant,
    wire::message::OfferedShard,
};

/// After a failure of the connection or of an order. An hour of absence costs at most five
/// minutes of delay; a holder that is down costs twelve attempts an hour.
pub(super) const FAILURE_BACKOFF: Backoff = Backoff { first_ms: 1_000, most_ms: 300_000 };
/// After "no room": room comes from people, in minutes to days.
pub(super) const NO_ROOM_BACKOFF: Backoff = Backoff { first_ms: 60_000, most_ms: 3_600_000 };
/// Calls of a holder within this are answered once, at its end: two nodes that greet each other
/// come to an end, and whoever calls all the time gains nothing.
pub(super) const HEARD_PAUSE_MS: u64 = 10_000;
/// After a wrong receipt, or when we are not known there.
pub(super) const DISTRUST_BACKOFF: Backoff = Backoff { first_ms: 1_800_000, most_ms: 14_400_000 };

impl Placing {
    /// When something is over, or may be tried again.
    pub(super) fn next_timeout(&self) -> Option<Instant> {
        let orders = self.orders.values().map(Order::deadline);
        let holders = self.holders.values().flat_map(|holder| {
            let queued = holder.has_something_queued() || holder.call_back == CallBack::Now;
            // One that is presumed lost is called by `watching` alone, and seldom.
            let busy = (queued || self.heads.are_lacking(holder)) && holder.is_relied_on();
            let link = match holder.link {
                Link::Down { retry_at } => busy.then_some(retry_at),
                Link::Connecting { deadline } => Some(deadline),
                Link::Up { rest_until } => (rest_until > self.now).then_some(rest_until),
            };
            let ask_refused_at = holder.ask_refused_at.filter(|_| !holder.refused.is_empty());
            let is_late = holder.call_back == CallBack::AfterPause;
            [link, ask_refused_at, is_late.then_some(holder.heard_until)]
        });
        let others = self.bring_back_at().into_iter().chain(self.errands_at());
        orders.chain(holders.flatten()).chain(others).min()
    }

    /// Gives up what is overdue: orders without an answer, attempts to connect.
    pub(super) fn end_overdue(&mut self) {
        let now = self.now;
        let overdue: Vec<OrderId> = self
            .orders
            .iter()
            .filter(|(_, order)| order.deadline() <= now)
            .map(|(id, _)| *id)
            .collect();
        for order in overdue {
            match self.orders.get(&order) {
                Some(Order::Upload { .. }) => {
                    self.outputs.push_back(Output::CancelUpload { order });
                    self.upload_ended(order, super::Upload::Lost);
                }
                Some(Order::Offer { .. }) => self.offer_failed(order, None),
                Some(Order::Push { .. }) => self.head_pushed(order, false),
                Some(Order::Errands { .. }) => self.errands_ended(order, false),
                None => {}
            }
        }
        self.end_overdue_fetch();
        let silent: Vec<DeviceId> = self
            .holders
            .iter()
            .filter(|(_, holder)| {
                matches!(holder.link, Link::Connecting { deadline } if deadline <= now)
            })
            .map(|(id, _)| *id)
            .collect();
        for holder in silent {
            self.holder_lost(holder, Condition::Away);
        }
    }

    /// Orders all that can be ordered now.
    pub(super) fn schedule(&mut self) {
        self.scheduled = self.now;
        self.bring_one_back();
        self.note_complete_holders();
        let due = |(id, holder): (&DeviceId, &Holder)| self.is_due(holder).then_some(*id);
        let due: Vec<DeviceId> = self.holders.iter().filter_map(due).collect();
        for holder in due {
            self.ask_refused_again(holder);
            self.connect_if_needed(holder);
            self.push_to(holder);
            self.offer_to(holder);
        }
        if std::mem::take(&mut self.uploads_due) {
            self.start_uploads();
        }
        self.run_errands();
    }

    /// Whether there may be something to order of this holder, uploads aside.
    fn is_due(&self, holder: &Holder) -> bool {
        let by_link = match holder.link {
            Link::Down { retry_at } => retry_at <= self.now,
            Link::Connecting { .. } => false,
            Link::Up { .. } => {
                let may_be_asked = holder.offer.is_none() && !holder.is_leaving;
                let offer = may_be_asked && !holder.unasked.is_empty();
                let push = holder.push.is_none() && self.heads.are_lacking(holder);
                (offer || push) && holder.is_available(self.now)
            }
        };
        by_link || holder.ask_refused_at.is_some_and(|at| at <= self.now)
    }

    /// Looks for whether a holder may be given orders again that rested when they were last looked
    /// for.
    pub(super) fn note_ended_rests(&mut self) {
        let (before, now) = (self.scheduled, self.now);
        let ended = |holder: &Holder| match holder.link {
            Link::Up { rest_until } => before < rest_until && rest_until <= now,
            Link::Down { .. } | Link::Connecting { .. } => false,
        };
        if self.holders.values().any(ended) {
            self.uploads_due = true;
            self.look_at_short_packs();
        }
    }

    /// One for each holder in turn, so that no holder takes all the places.
    fn start_uploads(&mut self) {
        let holders: Vec<DeviceId> = self.holders.keys().copied().collect();
        let mut places = UPLOADS_TOTAL_MAX.saturating_sub(self.uploads_total());
        loop {
            let before = places;
            for holder in &holders {
                if places > 0 && self.upload_one(*holder) {
                    places -= 1;
                }
            }
            if places == before {
                return;
            }
        }
    }

    fn ask_refused_again(&mut self, id: DeviceId) {
        let now = self.now;
        let Some(holder) = self.holders.get_mut(&id) else { return };
        if holder.ask_refused_at.is_none_or(|at| at > now) {
            return;
        }
        holder.ask_refused_at = None;
        self.uploads_due = true;
        let mut again = std::mem::take(&mut holder.refused);
        for (_, root) in &again {
            if let Some(pack) = self.packs.get_mut(root) {
                pack.custody.insert(id, Custody::Unasked);
            }
        }
        holder.unasked.append(&mut again);
    }

    fn connect_if_needed(&mut self, id: DeviceId) {
        let now = self.now;
        let due = self.holders.get(&id).is_some_and(|holder| {
            matches!(holder.link, Link::Down { retry_at } if retry_at <= now)
                && !holder.is_presumed_lost
        });
        if !due {
            return;
        }
        self.prune(id);
        let lacks_head = self.lacks_head(id);
        let Some(holder) = self.holders.get_mut(&id) else { return };
        let is_owed = holder.call_back == CallBack::Now;
        if is_owed {
            holder.call_back = CallBack::Never;
        }
        let has_orders = holder.has_something_queued() && !holder.is_leaving;
        if lacks_head || is_owed || has_orders {
            holder.link = Link::Connecting { deadline: now.after_ms(CONNECT_MS_MAX) };
            self.outputs.push_back(Output::Connect { holder: id });
        }
    }

    /// Drops from the front of a holder's queues what has become pointless. Their custody stays,
    /// and `requeue` brings them back should they matter again.
    fn prune(&mut self, id: DeviceId) {
        let Some(holder) = self.holders.get_mut(&id) else { return };
        while let Some((_, root)) = holder.unasked.first() {
            if self.packs.get(root).is_some_and(Pack::matters) {
                break;
            }
            holder.unasked.pop_first();
        }
        while let Some((_, root)) = holder.wanted.first() {
            if self.packs.get(root).is_some_and(|pack| pack.here && pack.matters()) {
                break;
            }
            holder.wanted.pop_first();
        }
    }

    fn offer_to(&mut self, id: DeviceId) {
        let now = self.now;
        let Some(holder) = self.holders.get_mut(&id) else { return };
        if holder.offer.is_some() || holder.is_leaving || !holder.is_available(now) {
            return;
        }
        let mut shards = Vec::new();
        let mut roots = Vec::new();
        while shards.len() < OFFER_SHARDS_MAX {
            let Some((_, root)) = holder.unasked.pop_first() else { break };
            let Some(pack) = self.packs.get_mut(&root) else { continue };
            if !pack.matters() {
                continue;
            }
            pack.custody.insert(id, Custody::Asked);
            shards.push(OfferedShard { shard: pack.shard, class: pack.class });
            roots.push(root);
        }
        if roots.is_empty() {
            return;
        }
        let order = self.numbers.take();
        holder.offer = Some(order);
        let deadline = now.after_ms(OFFER_MS_MAX);
        self.orders.insert(order, Order::Offer { holder: id, roots, deadline });
        self.outputs.push_back(Output::Offer { order, holder: id, shards });
    }

    fn uploads_total(&self) -> usize {
        self.holders.values().map(|holder| holder.uploads).sum()
    }

    /// Starts one upload to this holder if there is one to start.
    fn upload_one(&mut self, id: DeviceId) -> bool {
        self.prune(id);
        let Some(holder) = self.holders.get(&id) else { return false };
        let is_full = holder.uploads >= UPLOADS_PER_HOLDER_MAX;
        let rests = holder.is_leaving || !holder.is_available(self.now);
        if is_full || rests || self.is_spared(holder) {
            return false;
        }
        let found: Option<Key> = holder
            .wanted
            .iter()
            .find(|(_, root)| {
                self.packs
                    .get(root)
                    .is_some_and(|pack| pack.here && pack.matters() && self.is_planned(pack, id))
            })
            .copied();
        found.is_some_and(|key| self.start_upload(id, key))
    }

    fn start_upload(&mut self, id: DeviceId, key: Key) -> bool {
        let root: ShardRoot = key.1;
        let (Some(holder), Some(pack)) = (self.holders.get_mut(&id), self.packs.get_mut(&root))
        else {
            return false;
        };
        let order = self.numbers.take();
        holder.leave_queues(&key);
        holder.uploads += 1;
        pack.custody.insert(id, Custody::Uploading(order));
        let (shard, class) = (pack.shard, pack.class);
        let deadline = self.now.after_ms(UPLOAD_STALL_MS_MAX);
        self.orders.insert(order, Order::Upload { holder: id, root, deadline });
        self.outputs.push_back(Output::Upload { order, holder: id, shard, class });
        true
    }

    /// Leaves a connected holder alone for a while.
    pub(super) fn rest(&mut self, id: DeviceId, backoff: Backoff, condition: Condition) {
        let now = self.now;
        let Some(holder) = self.holders.get_mut(&id) else { return };
        if matches!(holder.link, Link::Up { rest_until } if rest_until > now) {
            // One failure of many orders at once counts once.
            return;
        }
        self.uploads_due = true;
        holder.rests_for_room = backoff == NO_ROOM_BACKOFF;
        holder.failures = holder.failures.saturating_add(1);
        let until = now.after_ms(backoff.wait_ms(holder.failures, &id));
        match &mut holder.link {
            Link::Up { rest_until } => *rest_until = until.max(*rest_until),
            Link::Down { retry_at } => *retry_at = until.max(*retry_at),
            Link::Connecting { .. } => {}
        }
        self.set_condition(id, condition);
        self.release_awaited(id);
    }

    pub(super) fn set_condition(&mut self, id: DeviceId, condition: Condition) {
        let Some(holder) = self.holders.get_mut(&id) else { return };
        if holder.condition != condition {
            holder.condition = condition;
            self.outputs.push_back(Output::HolderIs { holder: id, condition });
        }
    }

    /// Metadata packs that waited for this holder alone may be safe without it.
    pub(super) fn release_awaited(&mut self, id: DeviceId) {
        let Some(holder) = self.holders.get(&id) else { return };
        let waiting: Vec<ShardRoot> =
            holder.unasked.iter().chain(&holder.wanted).map(|(_, root)| *root).collect();
        for root in waiting {
            self.reconsider_awaited(root);
        }
        self.look_at_short_packs();
    }
}
