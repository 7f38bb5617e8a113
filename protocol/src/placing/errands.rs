//! What holders that are away are to fetch from others, and when that is said and asked for.
//!
//! ```text
//! something changed ──pause──▶ look: a wish for each holder that is away
//!        wishes changed, or a carrier was met ──▶ Errands ──▶ replies: receipts, heads
//! ```
//! A holder is *away* when it was called in vain since it was last heard of; a *carrier* is any that can be
//! reached and counts. Source: specs/errands.md.

use std::{cmp::Reverse, collections::BTreeMap};

use super::{
    Claim, Order, Output, Placing,
    holder::{Holder, Link},
    pack::{Custody, Pack, Safety},
    policy::{spread, turns},
};
use crate::{
    ids::{DeviceId, ShardRoot},
    index::PackClass,
    limits::{
        ERRAND_ASK_MS, ERRAND_MS_MAX, ERRAND_PACKS_MAX, ERRAND_PAUSE_MS, ERRAND_PAUSE_PACK_MS,
        ERRAND_RENEW_MS, ERRAND_VAIN_MS,
    },
    order::OrderId,
    time::Instant,
    wire::message::OfferedShard,
};

/// What a holder that is away is to fetch from others: the shell makes an
/// [`Errand`](crate::errands::Errand) of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wish {
    /// Whose errand it is.
    pub holder: DeviceId,
    /// Another one for each change, and for each time that it is to be said anew.
    pub turn: u64,
    /// Ascending by root, at most [`ERRAND_PACKS_MAX`]; none to hear of it alone.
    pub packs: Vec<OfferedShard>,
    /// The head that it may take when it has them.
    pub head_seq: Option<u64>,
}

/// All wishes, and when they are looked at.
#[derive(Debug, Clone, Default)]
pub(super) struct Errands {
    wishes: BTreeMap<DeviceId, Kept>,
    turn: u64,
    look_at: Option<Instant>,
    /// Since when packs are wished for, and no receipt has come.
    vain_since: Option<Instant>,
}

#[derive(Debug, Clone)]
struct Kept {
    wish: Wish,
    renew_at: Instant,
}

/// How far a holder is as a carrier.
#[derive(Debug, Clone, Default)]
pub(super) struct Carrier {
    /// Wishes of a later turn were not left there.
    left_turn: u64,
    /// When errands are left there next, and replies asked for.
    next_at: Option<Instant>,
    order: Option<OrderId>,
}

impl Carrier {
    pub(super) fn is_of(&self, order: OrderId) -> bool {
        self.order == Some(order)
    }

    /// It may have replies, or has to be told something.
    pub(super) const fn is_due(&mut self, at: Instant) {
        self.next_at = Some(at);
    }

    pub(super) const fn ended(&mut self) {
        self.order = None;
    }
}

const fn is_away(holder: &Holder) -> bool {
    holder.away_since.is_some() && holder.has_granted() && !holder.is_leaving
}

impl Placing {
    /// Something happened after which other errands may be due, if anybody is away.
    pub(super) fn look_at_errands_soon(&mut self) {
        if self.errands.wishes.is_empty() && !self.holders.values().any(is_away) {
            return;
        }
        let named = self.errands.wishes.values().map(|kept| kept.wish.packs.len()).sum::<usize>();
        let named = u64::try_from(named).unwrap_or(u64::MAX);
        let soon = self.now.after_ms(ERRAND_PAUSE_MS + named.saturating_mul(ERRAND_PAUSE_PACK_MS));
        let at = self.errands.look_at.map_or(soon, |at| at.min(soon));
        self.errands.look_at = Some(at);
    }

    /// When something is due of errands.
    pub(super) fn errands_at(&self) -> Option<Instant> {
        let carriers = self.holders.values().filter(|holder| self.carries(holder));
        let asked = carriers.filter(|holder| holder.carrier.order.is_none());
        asked.filter_map(|holder| holder.carrier.next_at).chain(self.errands.look_at).min()
    }

    fn carries(&self, holder: &Holder) -> bool {
        holder.has_granted() && holder.may_take(self.now)
    }

    /// Looks at what is to be fetched, and has errands left and replies asked for where it is time.
    pub(super) fn run_errands(&mut self) {
        if self.errands.look_at.is_some_and(|at| at <= self.now) {
            self.look_at_errands();
        }
        let is_due = |holder: &Holder| {
            let carrier = &holder.carrier;
            carrier.order.is_none()
                && carrier.next_at.is_some_and(|at| at <= self.now)
                && self.carries(holder)
        };
        let due: Vec<DeviceId> =
            self.holders.iter().filter(|(_, it)| is_due(it)).map(|(id, _)| *id).collect();
        due.into_iter().for_each(|carrier| self.send_errands(carrier));
    }

    fn look_at_errands(&mut self) {
        let now = self.now;
        self.errands.look_at = None;
        let vain_ms = self.errands.vain_since.map_or(0, |since| now.ms_since(since));
        let more = usize::try_from(vain_ms / ERRAND_VAIN_MS).unwrap_or(usize::MAX);
        let away: Vec<DeviceId> =
            self.holders.iter().filter(|(_, it)| is_away(it)).map(|(id, _)| *id).collect();
        let mut wishes = BTreeMap::new();
        let mut is_news = false;
        for holder in away {
            let (packs, head_seq) = self.wished_of(holder, more);
            let before = self.errands.wishes.remove(&holder);
            let same = before.filter(|it| {
                (it.wish.packs == packs && it.wish.head_seq == head_seq) && it.renew_at > now
            });
            let kept = same.unwrap_or_else(|| {
                is_news = true;
                self.errands.turn += 1;
                let wish = Wish { holder, turn: self.errands.turn, packs, head_seq };
                Kept { wish, renew_at: now.after_ms(ERRAND_RENEW_MS) }
            });
            wishes.insert(holder, kept);
        }
        let asks_for_packs = wishes.values().any(|kept| !kept.wish.packs.is_empty());
        let since = self.errands.vain_since.filter(|_| asks_for_packs);
        self.errands.vain_since = since.or_else(|| asks_for_packs.then_some(now));
        self.errands.look_at = wishes.values().map(|kept| kept.renew_at).min();
        self.errands.wishes = wishes;
        if is_news {
            self.holders.values_mut().for_each(|holder| holder.carrier.is_due(now));
        }
    }

    /// ERR-7, ERR-8: what a holder that is away is to fetch, and the head that goes with it.
    fn wished_of(&self, id: DeviceId, more: usize) -> (Vec<OfferedShard>, Option<u64>) {
        let Some(holder) = self.holders.get(&id).filter(|holder| holder.is_relied_on()) else {
            return (Vec::new(), None);
        };
        let is_wished = |pack: &&Pack| self.is_wished(pack, id, more);
        let mut packs: Vec<&Pack> = self.packs.values().filter(is_wished).collect();
        packs.sort_by_key(|pack| (Reverse(pack.class), pack.seq));
        packs.truncate(ERRAND_PACKS_MAX);
        packs.sort_by_key(|pack| pack.shard.root);
        let comes = |root: &ShardRoot| packs.binary_search_by_key(root, |it| it.shard.root).is_ok();
        let fits = |root: &ShardRoot| {
            let is_there = |it: &Pack| it.custody.get(&id).is_some_and(Custody::counts);
            self.packs.get(root).is_some_and(|it| it.is_safe() || is_there(it)) || comes(root)
        };
        let (seq, needs) = self.heads.newest();
        let is_due = seq > holder.head_seq && needs.iter().all(fits);
        let offered = |pack: &&Pack| OfferedShard { shard: pack.shard, class: pack.class };
        (packs.iter().map(offered).collect(), is_due.then_some(seq))
    }

    fn is_wished(&self, pack: &Pack, id: DeviceId, more: usize) -> bool {
        let is_open = match pack.custody.get(&id) {
            // Named until its receipt is durable here: the carrier has it until then.
            Some(Custody::Keeping) => return true,
            Some(custody) => custody.is_open(),
            None => false,
        };
        let keeps = |(other, custody): (&DeviceId, &Custody)| {
            let counts = |holder: &Holder| holder.is_relied_on();
            *other != id && custody.counts() && self.holders.get(other).is_some_and(counts)
        };
        is_open
            && pack.matters()
            && pack.custody.iter().any(keeps)
            && (pack.class == PackClass::Metadata
                || (pack.safety != Safety::Full && self.is_its_turn(pack, id, more)))
    }

    /// Whether it is this holder's turn, of all that are away, to fetch a data pack.
    fn is_its_turn(&self, pack: &Pack, id: DeviceId, more: usize) -> bool {
        let covered = self.sites_where(pack, Custody::covers);
        let missing = self.copies.saturating_sub(covered.len());
        if missing == 0 {
            return false;
        }
        let uncovered = turns(pack.shard.root, self.sites).filter(|site| !covered.contains(*site));
        let (reached, others): (Vec<usize>, Vec<usize>) =
            uncovered.partition(|site| self.planned_at(pack, *site).is_some());
        let turns = missing.saturating_sub(reached.len()).saturating_add(more);
        let mut absent = others.into_iter().filter_map(|site| self.absent_at(pack, site));
        turns > more && absent.by_ref().take(turns).any(|holder| holder == id)
    }

    /// The holder of `site` that should fetch this pack, of those that are away.
    fn absent_at(&self, pack: &Pack, site: usize) -> Option<DeviceId> {
        let fits = |(id, holder): &(&DeviceId, &Holder)| {
            let is_open = pack.custody.get(*id).is_some_and(Custody::is_open);
            holder.site_number == site && is_away(holder) && holder.is_relied_on() && is_open
        };
        let fit: Vec<DeviceId> = self.holders.iter().filter(fits).map(|(id, _)| *id).collect();
        fit.get(spread(pack.shard.root, fit.len())).copied()
    }

    fn send_errands(&mut self, id: DeviceId) {
        let turn = self.errands.turn;
        let order = self.numbers.take();
        let Some(carrier) = self.holders.get_mut(&id).map(|holder| &mut holder.carrier) else {
            return;
        };
        carrier.order = Some(order);
        carrier.next_at = None;
        let is_due = |wish: &&Wish| wish.turn > carrier.left_turn && wish.holder != id;
        let wishes = self.errands.wishes.values().map(|kept| &kept.wish);
        let wishes: Vec<Wish> = wishes.filter(is_due).cloned().collect();
        let deadline = self.now.after_ms(ERRAND_MS_MAX);
        self.orders.insert(order, Order::Errands { holder: id, turn, deadline });
        self.outputs.push_back(Output::Errands { order, carrier: id, wishes });
    }

    pub(super) fn errands_ended(&mut self, order: OrderId, is_done: bool) {
        let Some(Order::Errands { turn, .. }) = self.orders.get(&order) else { return };
        let turn = *turn;
        let Some((id, _)) = self.end_order(order) else { return };
        let is_waiting = !self.errands.wishes.is_empty();
        let again = self.now.after_ms(ERRAND_ASK_MS);
        let Some(holder) = self.holders.get_mut(&id) else { return };
        if is_done {
            holder.carrier.left_turn = holder.carrier.left_turn.max(turn);
        }
        // What has changed meanwhile may have it due already.
        if is_waiting || !is_done {
            holder.carrier.next_at = holder.carrier.next_at.or(Some(again));
        }
    }

    /// What a holder that is away has said by way of another: its receipts count like all others.
    pub(super) fn replied(&mut self, id: DeviceId, claims: Vec<(ShardRoot, Claim)>) {
        // Whoever is connected says himself what he keeps, and later; who is not known any more says nothing.
        let is_met = |holder: &Holder| matches!(holder.link, Link::Up { .. });
        if self.holders.get(&id).is_none_or(is_met) {
            return;
        }
        let is_news = |(root, _): &(ShardRoot, Claim)| {
            let custody = self.packs.get(root).and_then(|pack| pack.custody.get(&id));
            custody.is_some_and(|custody| !custody.counts())
        };
        if claims.iter().any(is_news) {
            self.errands.vain_since = None;
        }
        // There is an errand out for it, of an earlier run perhaps, and what it says to that came another way.
        self.set_away(id);
        for (root, claim) in claims {
            self.claimed(id, root, claim);
        }
    }

    /// Whoever can be reached is not away, whatever was tried in vain.
    pub(super) fn set_away(&mut self, id: DeviceId) {
        let now = self.now;
        if let Some(holder) = self.holders.get_mut(&id)
            && !matches!(holder.link, Link::Up { .. })
        {
            holder.away_since.get_or_insert(now);
        }
    }

    pub(super) fn set_heard_of(&mut self, id: DeviceId) {
        if let Some(holder) = self.holders.get_mut(&id) {
            holder.away_since = None;
        }
    }
}
