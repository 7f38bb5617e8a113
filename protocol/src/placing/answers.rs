//! What holders did and said: connections, verdicts, ends of uploads, receipts.

use super::{
    Acquaintance, Claim, Condition, Fault, Order, Output, Placing, Site, Upload,
    holder::{CallBack, Holder, Link},
    pack::{Custody, Pack},
    scheduling::{DISTRUST_BACKOFF, FAILURE_BACKOFF, HEARD_PAUSE_MS, NO_ROOM_BACKOFF},
};
use crate::{
    ids::{DeviceId, ShardRoot},
    limits::{ACQUAINT_TRIES, RETENTION_DAYS_MIN, UPLOAD_STALL_MS_MAX},
    order::OrderId,
    receipt::Receipt,
    time::Instant,
    wire::message::Refusal,
};

impl Placing {
    pub(super) fn holder_known(&mut self, id: DeviceId, site: Site, acquaintance: Acquaintance) {
        if let Some(holder) = self.holders.get_mut(&id) {
            // What was found out since the database was read stands, but for a grant.
            let has_granted = acquaintance == Acquaintance::Granted && !holder.has_granted();
            if holder.site == site && !has_granted {
                return;
            }
            holder.site = site;
            if has_granted {
                holder.acquaintance = acquaintance;
            }
        } else {
            let mut holder = Holder::new(site, acquaintance);
            for (root, pack) in &mut self.packs {
                pack.custody.insert(id, Custody::Unasked);
                if pack.matters() {
                    holder.unasked.insert((pack.seq, *root));
                }
            }
            self.holders.insert(id, holder);
        }
        self.number_sites();
        self.reconsider_all();
    }

    pub(super) fn holder_removed(&mut self, id: DeviceId) {
        let orders: Vec<OrderId> = self.orders_of(id);
        for order in orders {
            if let Some(Order::Upload { .. }) = self.orders.remove(&order) {
                self.outputs.push_back(Output::CancelUpload { order });
            }
        }
        self.holders.remove(&id);
        self.number_sites();
        let mut forsaken = Vec::new();
        for (root, pack) in &mut self.packs {
            let had = pack.custody.remove(&id);
            if had.is_some_and(|custody| custody.covers()) {
                forsaken.push(*root);
            }
        }
        self.reconsider_all();
        for root in forsaken {
            self.note_if_nowhere(root);
        }
    }

    /// Nothing is forgotten and nothing undone: what it keeps counts again when it is met.
    pub(super) fn holder_presumed(&mut self, id: DeviceId, is_lost: bool) {
        let Some(holder) = self.holders.get_mut(&id) else { return };
        if std::mem::replace(&mut holder.is_presumed_lost, is_lost) == is_lost {
            return;
        }
        self.reconsider_all();
        self.look_at_short_packs();
        if is_lost {
            let keeps = |pack: &Pack| pack.custody.get(&id).is_some_and(Custody::covers);
            let its: Vec<ShardRoot> =
                self.packs.iter().filter(|(_, pack)| keeps(pack)).map(|(root, _)| *root).collect();
            its.into_iter().for_each(|root| self.note_if_nowhere(root));
        }
    }

    fn orders_of(&self, id: DeviceId) -> Vec<OrderId> {
        let of_holder = |order: &Order| order.holder() == id;
        self.orders.iter().filter(|(_, order)| of_holder(order)).map(|(id, _)| *id).collect()
    }

    pub(super) fn holder_connected(&mut self, id: DeviceId, granted_bytes: u64) {
        let may_leave_word = |(other, it): (&DeviceId, &Holder)| *other != id && it.has_granted();
        let has_others = self.holders.iter().any(may_leave_word);
        let Some(holder) = self.holders.get_mut(&id) else { return };
        let has_room = granted_bytes > 0 && holder.rests_for_room;
        if has_room || !matches!(holder.link, Link::Up { .. }) {
            holder.link = Link::Up { rest_until: Instant::default() };
            holder.rests_for_room = false;
        }
        holder.away_since = None;
        if has_others {
            holder.carrier.is_due(self.now);
        }
        let condition = if granted_bytes == 0 { Condition::Forbidden } else { Condition::Fine };
        if granted_bytes > 0 && !holder.refused.is_empty() {
            holder.ask_refused_at = Some(self.now);
        }
        self.set_condition(id, condition);
        let met = if granted_bytes > 0 { Acquaintance::Granted } else { Acquaintance::Idle };
        self.acquaint(id, met);
        self.look_at_short_packs();
    }

    /// No need to wait any longer before it is called, or asked for the room that it may have now.
    pub(super) fn holder_heard(&mut self, id: DeviceId) {
        let now = self.now;
        let Some(holder) = self.holders.get_mut(&id) else { return };
        // Whoever showed wrong things does not cut its own waiting short.
        if holder.condition == Condition::Distrusted {
            return;
        }
        if holder.heard_until > now {
            holder.call_back = CallBack::AfterPause;
            return;
        }
        holder.heard_until = now.after_ms(HEARD_PAUSE_MS);
        match holder.link {
            Link::Down { .. } => {
                holder.link = Link::Down { retry_at: now };
                holder.call_back = CallBack::Now;
            }
            Link::Up { .. } if holder.lacks_room(now) => {
                self.outputs.push_back(Output::Connect { holder: id });
            }
            // It may be on its way to where the holder was before: then it is called again.
            Link::Connecting { .. } => holder.call_back = CallBack::AfterPause,
            Link::Up { .. } => {}
        }
    }

    /// Answers calls that came too soon after another: what their callers changed is not missed.
    pub(super) fn answer_late_calls(&mut self) {
        let now = self.now;
        let late =
            |holder: &Holder| holder.call_back == CallBack::AfterPause && holder.heard_until <= now;
        let late: Vec<DeviceId> =
            self.holders.iter().filter(|(_, it)| late(it)).map(|(id, _)| *id).collect();
        for id in late {
            if let Some(holder) = self.holders.get_mut(&id) {
                holder.call_back = CallBack::Never;
            }
            self.holder_heard(id);
        }
    }

    // PLACE-18: once it granted something, a holder stays one.
    fn acquaint(&mut self, id: DeviceId, acquaintance: Acquaintance) {
        let Some(holder) = self.holders.get_mut(&id) else { return };
        let before = holder.acquaintance;
        if before == acquaintance || before == Acquaintance::Granted {
            return;
        }
        holder.acquaintance = acquaintance;
        self.outputs.push_back(Output::Acquainted { holder: id, acquaintance });
        if before.counts() != acquaintance.counts() {
            self.reconsider_all();
        }
    }

    pub(super) fn holder_lost(&mut self, id: DeviceId, condition: Condition) {
        let now = self.now;
        let Some(holder) = self.holders.get_mut(&id) else { return };
        let was_up = match holder.link {
            Link::Down { .. } => return,
            Link::Connecting { .. } => false,
            Link::Up { .. } => true,
        };
        holder.failures = holder.failures.saturating_add(1);
        let wait_ms = FAILURE_BACKOFF.wait_ms(holder.failures, &id);
        holder.link = Link::Down { retry_at: now.after_ms(wait_ms) };
        let is_named_only = holder.acquaintance == Acquaintance::Named;
        let is_silent = is_named_only && holder.failures >= ACQUAINT_TRIES;
        for order in self.orders_of(id) {
            self.end_order(order);
        }
        self.set_condition(id, condition);
        if is_silent {
            self.acquaint(id, Acquaintance::Silent);
        }
        // Of a call in vain nobody expected anything.
        if was_up {
            self.uploads_due = true;
            self.release_awaited(id);
        }
    }

    /// Takes an order off the books; its packs are to be asked about again, for a lost answer may
    /// have been a receipt.
    pub(super) fn end_order(&mut self, order: OrderId) -> Option<(DeviceId, Vec<ShardRoot>)> {
        let (id, roots) = self.close_order(order)?;
        for root in &roots {
            self.ask_again(id, *root);
        }
        Some((id, roots))
    }

    /// The same of an order whose answer says how each of its packs stands.
    fn close_order(&mut self, order: OrderId) -> Option<(DeviceId, Vec<ShardRoot>)> {
        self.uploads_due = true;
        let (id, roots) = match self.orders.remove(&order)? {
            Order::Offer { holder, roots, .. } => (holder, roots),
            Order::Upload { holder, root, .. } => (holder, vec![root]),
            Order::Push { holder, .. } | Order::Errands { holder, .. } => (holder, Vec::new()),
        };
        let holder = self.holders.get_mut(&id)?;
        if holder.offer == Some(order) {
            holder.offer = None;
        } else if holder.push == Some(order) {
            holder.push = None;
        } else if holder.carrier.is_of(order) {
            holder.carrier.ended();
        } else {
            holder.uploads = holder.uploads.saturating_sub(1);
        }
        Some((id, roots))
    }

    fn ask_again(&mut self, id: DeviceId, root: ShardRoot) {
        let Some(pack) = self.packs.get_mut(&root) else { return };
        let (Some(holder), Some(custody)) = (self.holders.get_mut(&id), pack.custody.get_mut(&id))
        else {
            return;
        };
        // A receipt may have become known from elsewhere meanwhile.
        if !custody.counts() {
            holder.unasked.insert((pack.seq, root));
            *custody = Custody::Unasked;
        }
    }

    pub(super) fn offer_failed(&mut self, order: OrderId, refusal: Option<Refusal>) {
        if !matches!(self.orders.get(&order), Some(Order::Offer { .. })) {
            return;
        }
        if let Some((id, roots)) = self.end_order(order) {
            self.holder_refused(id, refusal.unwrap_or(Refusal::Internal));
            roots.into_iter().for_each(|root| self.reconsider_awaited(root));
        }
    }

    pub(super) fn offer_answered(&mut self, order: OrderId, claims: Vec<Claim>) {
        let Some(Order::Offer { roots, .. }) = self.orders.get(&order) else { return };
        if roots.len() != claims.len() {
            let Some((id, roots)) = self.end_order(order) else { return };
            self.blame(id, Fault::WrongCount, None);
            return roots.into_iter().for_each(|root| self.reconsider_awaited(root));
        }
        let Some((id, roots)) = self.close_order(order) else { return };
        for (root, claim) in roots.into_iter().zip(claims) {
            self.claimed(id, root, claim);
        }
        self.settle_condition(id);
        self.look_at_short_packs();
    }

    /// Says that a holder is fine again, when nothing is held against it any more.
    fn settle_condition(&mut self, id: DeviceId) {
        let now = self.now;
        let fine = |holder: &Holder| holder.is_available(now) && holder.refused.is_empty();
        if self.holders.get(&id).is_some_and(fine) {
            self.set_condition(id, Condition::Fine);
        }
    }

    pub(super) fn claimed(&mut self, id: DeviceId, root: ShardRoot, claim: Claim) {
        // It may have been dropped since it was offered.
        let Some(pack) = self.packs.get(&root) else { return };
        if pack.custody.get(&id).is_some_and(Custody::counts) {
            return;
        }
        match claim {
            Claim::Wanted => self.set_custody(id, root, Custody::Wanted),
            Claim::Kept(receipt) => self.receipt_came(id, root, receipt),
            Claim::Refused(Refusal::Quota) => self.no_room(id, root, Condition::QuotaUsed),
            Claim::Refused(Refusal::Full) => self.no_room(id, root, Condition::Full),
            Claim::Refused(
                refusal @ (Refusal::Version
                | Refusal::Forbidden
                | Refusal::Busy
                | Refusal::Malformed
                | Refusal::WrongBytes
                | Refusal::Invalid
                | Refusal::Internal),
            ) => {
                self.ask_again(id, root);
                self.holder_refused(id, refusal);
            }
            Claim::Forged => {
                self.ask_again(id, root);
                self.blame(id, Fault::ForgedReceipt, Some(root));
            }
        }
        // Nothing that was said makes a copy: a receipt does when it is durable.
        self.reconsider_awaited(root);
    }

    /// What was a copy is none: the holder is offered the pack anew, if that matters.
    pub(super) fn copy_failed(&mut self, id: DeviceId, root: ShardRoot, fault: Option<Fault>) {
        let custody = self.packs.get(&root).and_then(|pack| pack.custody.get(&id));
        if !custody.is_some_and(Custody::counts) {
            return;
        }
        self.outputs.push_back(Output::ForgetReceipt { holder: id, root });
        if let Some(fault) = fault {
            self.blame(id, fault, Some(root));
        }
        if let Some(holder) = self.holders.get_mut(&id) {
            holder.lost = holder.lost.saturating_add(1);
            holder.forget_completeness();
        }
        self.set_custody(id, root, Custody::Unasked);
        self.reconsider(root);
        self.note_if_nowhere(root);
    }

    /// Moves a pack to the queue of a holder that fits its new custody.
    fn set_custody(&mut self, id: DeviceId, root: ShardRoot, custody: Custody) {
        let (Some(pack), Some(holder)) = (self.packs.get_mut(&root), self.holders.get_mut(&id))
        else {
            return;
        };
        holder.leave_queues(&(pack.seq, root));
        if pack.matters() {
            holder.enqueue(pack, &custody);
        }
        pack.custody.insert(id, custody);
    }

    fn no_room(&mut self, id: DeviceId, root: ShardRoot, condition: Condition) {
        self.set_custody(id, root, Custody::Refused);
        let now = self.now;
        let Some(holder) = self.holders.get_mut(&id) else { return };
        if holder.ask_refused_at.is_none() {
            holder.refusals = holder.refusals.saturating_add(1);
            let wait_ms = NO_ROOM_BACKOFF.wait_ms(holder.refusals, &id);
            holder.ask_refused_at = Some(now.after_ms(wait_ms));
        }
        self.set_condition(id, condition);
        self.look_at_short_packs();
    }

    /// A refusal that is about the holder rather than one shard.
    fn holder_refused(&mut self, id: DeviceId, refusal: Refusal) {
        match refusal {
            Refusal::Version | Refusal::Forbidden => {
                self.rest(id, DISTRUST_BACKOFF, Condition::Forbidden);
            }
            Refusal::Full => self.rest(id, NO_ROOM_BACKOFF, Condition::Full),
            Refusal::Quota => self.rest(id, NO_ROOM_BACKOFF, Condition::QuotaUsed),
            Refusal::Busy
            | Refusal::Malformed
            | Refusal::WrongBytes
            | Refusal::Invalid
            | Refusal::Internal => self.rest(id, FAILURE_BACKOFF, Condition::Failing),
        }
    }

    pub(super) fn upload_progressed(&mut self, order: OrderId) {
        let later = self.now.after_ms(UPLOAD_STALL_MS_MAX);
        if let Some(Order::Upload { deadline, .. }) = self.orders.get_mut(&order) {
            *deadline = later;
        }
    }

    pub(super) fn upload_ended(&mut self, order: OrderId, upload: Upload) {
        let Some(Order::Upload { .. }) = self.orders.get(&order) else { return };
        let Some((id, roots)) = self.end_order(order) else { return };
        let Some(root) = roots.first().copied() else { return };
        match upload {
            Upload::Stored(receipt) => self.receipt_came(id, root, receipt),
            Upload::Forged => self.blame(id, Fault::ForgedReceipt, Some(root)),
            Upload::Refused(Refusal::Quota) => self.no_room(id, root, Condition::QuotaUsed),
            Upload::Refused(Refusal::Full) => self.no_room(id, root, Condition::Full),
            Upload::Refused(refusal) => {
                if let (Refusal::WrongBytes, Some(pack)) = (refusal, self.packs.get(&root)) {
                    self.outputs.push_back(Output::CheckLocal { shard: pack.shard });
                }
                self.holder_refused(id, refusal);
            }
            Upload::Lost => self.rest(id, FAILURE_BACKOFF, Condition::Failing),
            Upload::Unreadable => self.local_lost(root),
        }
        self.reconsider(root);
    }

    pub(super) fn local_lost(&mut self, root: ShardRoot) {
        if self.set_here(root, false) {
            if let Some(pack) = self.packs.get_mut(&root) {
                pack.missed = true;
            }
            self.outputs.push_back(Output::LocalLost { root });
            self.reconsider(root);
            self.note_if_nowhere(root);
        }
    }

    fn receipt_is_right(&self, id: DeviceId, root: ShardRoot, receipt: &Receipt) -> bool {
        let Some(pack) = self.packs.get(&root) else { return false };
        let body = &receipt.body;
        body.vault == self.vault
            && body.shard == pack.shard
            && body.holder == id
            && body.keep_until >= body.stored.after_days(RETENTION_DAYS_MIN)
    }

    fn receipt_came(&mut self, id: DeviceId, root: ShardRoot, receipt: Receipt) {
        if !self.receipt_is_right(id, root, &receipt) {
            self.ask_again(id, root);
            return self.blame(id, Fault::WrongReceipt, Some(root));
        }
        self.set_custody(id, root, Custody::Keeping);
        if let Some(holder) = self.holders.get_mut(&id) {
            holder.failures = 0;
            holder.refusals = 0;
        }
        self.acquaint(id, Acquaintance::Granted);
        self.outputs.push_back(Output::KeepReceipt { receipt });
        self.settle_condition(id);
    }

    pub(super) fn receipt_kept(&mut self, id: DeviceId, root: ShardRoot) {
        let Some(pack) = self.packs.get_mut(&root) else { return };
        if pack.custody.get(&id) == Some(&Custody::Keeping) {
            pack.custody.insert(id, Custody::Kept);
            self.reconsider(root);
        }
    }

    /// Our own disk failed: the holder is asked again after a rest, and says that it keeps it.
    pub(super) fn receipt_not_kept(&mut self, id: DeviceId, root: ShardRoot) {
        let keeping = |pack: &Pack| pack.custody.get(&id) == Some(&Custody::Keeping);
        if self.packs.get(&root).is_some_and(keeping) {
            self.set_custody(id, root, Custody::Unasked);
            let condition = self.holders.get(&id).map(|holder| holder.condition);
            self.rest(id, FAILURE_BACKOFF, condition.unwrap_or(Condition::Away));
            self.reconsider_awaited(root);
        }
    }

    fn blame(&mut self, id: DeviceId, fault: Fault, root: Option<ShardRoot>) {
        self.outputs.push_back(Output::Blame { holder: id, fault, root });
        if fault != Fault::LostShard {
            self.rest(id, DISTRUST_BACKOFF, Condition::Distrusted);
        }
    }
}
