//! One holder as the source sees it: connection, queues of packs, and how long it is left alone.

use std::{collections::BTreeSet, fmt};

use super::{
    errands::Carrier,
    pack::{Custody, Key, Pack},
};
use crate::{ids::ShardRoot, order::OrderId, pacing::Side, time::Instant};

/// A household: the unit that fails together. Two holders of one site count as one copy.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Site(pub String);

impl fmt::Display for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How far a device has shown that it can hold for this vault. What the automatic policy counts.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, minicbor::Encode, minicbor::Decode,
)]
#[cbor(index_only)]
pub enum Acquaintance {
    /// Only heard of: nobody has tried to reach it yet, or not often enough to judge.
    #[n(0)]
    #[default]
    Named,
    /// Only heard of, and silent whenever it was called.
    #[n(1)]
    Silent,
    /// Met, and it has never granted anything: a device, not a holder.
    #[n(2)]
    Idle,
    /// It granted this vault room at least once. Never unset, however long it is away and whatever
    /// it grants now, so that neither sleep nor a grant taken back lowers the number of copies.
    #[n(3)]
    Granted,
}

impl Acquaintance {
    /// Whether its site counts among those over which the automatic policy spreads copies.
    pub const fn counts(self) -> bool {
        matches!(self, Self::Named | Self::Granted)
    }

    /// Whether it may yet turn out to hold something.
    pub(super) const fn may_hold(self) -> bool {
        !matches!(self, Self::Idle)
    }
}

/// How a holder stands, for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Condition {
    /// Nothing is wrong.
    Fine,
    /// Not connected.
    Away,
    /// Our grant there is used up.
    QuotaUsed,
    /// Its disk or total offer is full.
    Full,
    /// It does not know us, or grants nothing.
    Forbidden,
    /// It answers with errors or not at all; tried again later.
    Failing,
    /// It gave wrong receipts; nothing new goes there for a while.
    Distrusted,
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Fine => "nothing is wrong",
            Self::Away => "not connected",
            Self::QuotaUsed => "its grant to this vault is used up",
            Self::Full => "its disk or offer is full",
            Self::Forbidden => "does not know this vault, or grants it nothing",
            Self::Failing => "is busy, answers with errors, or not at all",
            Self::Distrusted => "gave wrong receipts; nothing new goes there for a while",
        })
    }
}

/// Whether a call of a holder is still to be answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum CallBack {
    /// No.
    #[default]
    Never,
    /// When the pause after its call before is over.
    AfterPause,
    /// Now: it called while it was taken to be away. Also if there is nothing to place with it, since it
    /// may have missed what is said to everybody.
    Now,
}

/// State of the connection to a holder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Link {
    /// No connection; the next attempt is not before `retry_at`.
    Down { retry_at: Instant },
    /// An attempt was ordered.
    Connecting { deadline: Instant },
    /// Connected; nothing new is ordered before `rest_until`.
    Up { rest_until: Instant },
}

/// One holder.
#[derive(Debug, Clone)]
pub(super) struct Holder {
    pub(super) site: Site,
    /// Place of its site among those of all holders.
    pub(super) site_number: usize,
    pub(super) link: Link,
    pub(super) condition: Condition,
    pub(super) acquaintance: Acquaintance,
    /// What it keeps is not counted on until it is met again.
    pub(super) is_presumed_lost: bool,
    /// Its vault and this one go apart: what it keeps is placed elsewhere, and is fetched from it still.
    pub(super) is_leaving: bool,
    /// Failures in a row; a receipt sets it back.
    pub(super) failures: u32,
    /// To be offered.
    pub(super) unasked: BTreeSet<Key>,
    /// It would take these.
    pub(super) wanted: BTreeSet<Key>,
    /// It had no room for these.
    pub(super) refused: BTreeSet<Key>,
    /// When to ask about `refused` again, and how often that was in vain.
    pub(super) ask_refused_at: Option<Instant>,
    /// Its calls are not answered before.
    pub(super) heard_until: Instant,
    pub(super) call_back: CallBack,
    /// It rests because it had no room, which its call or greeting ends.
    pub(super) rests_for_room: bool,
    pub(super) refusals: u32,
    pub(super) offer: Option<OrderId>,
    pub(super) push: Option<OrderId>,
    pub(super) uploads: usize,
    /// The newest head of ours that it is known to have; 0 for none.
    pub(super) head_seq: u64,
    /// The newest head of ours whose every pack is safe or was found to be there; 0 for none.
    pub(super) complete_seq: u64,
    /// A pack for want of which the newest head was not complete there.
    pub(super) lacked: Option<ShardRoot>,
    /// Packs that it said it does not have any more.
    pub(super) lost: u64,
    /// Since when it is away: called in vain, or heard of by way of another alone.
    pub(super) away_since: Option<Instant>,
    /// What is left with it for others.
    pub(super) carrier: Carrier,
    /// On which side of the line it stands.
    pub(super) side: Side,
}

impl Holder {
    pub(super) fn new(site: Site, acquaintance: Acquaintance) -> Self {
        Self {
            site,
            site_number: 0,
            link: Link::Down { retry_at: Instant::default() },
            condition: Condition::Away,
            acquaintance,
            is_presumed_lost: false,
            is_leaving: false,
            failures: 0,
            unasked: BTreeSet::new(),
            wanted: BTreeSet::new(),
            refused: BTreeSet::new(),
            ask_refused_at: None,
            heard_until: Instant::default(),
            call_back: CallBack::Never,
            rests_for_room: false,
            refusals: 0,
            offer: None,
            push: None,
            uploads: 0,
            head_seq: 0,
            complete_seq: 0,
            lacked: None,
            lost: 0,
            away_since: None,
            carrier: Carrier::default(),
            side: Side::Beyond,
        }
    }

    /// A copy that counted does not any more: what this holder has is to be looked at again.
    pub(super) const fn forget_completeness(&mut self) {
        self.complete_seq = 0;
        self.lacked = None;
    }

    /// Whether it waits to be asked about packs, or to be sent some.
    pub(super) fn has_something_queued(&self) -> bool {
        !(self.unasked.is_empty() && self.wanted.is_empty())
    }

    /// Whether orders may be given to it now.
    pub(super) fn is_available(&self, now: Instant) -> bool {
        matches!(self.link, Link::Up { rest_until } if rest_until <= now)
    }

    /// Whether something may be sent there that is to count.
    pub(super) fn may_take(&self, now: Instant) -> bool {
        self.is_available(now) && self.is_relied_on()
    }

    /// Whether a copy there is one that counts.
    pub(super) const fn is_relied_on(&self) -> bool {
        !self.is_presumed_lost && !self.is_leaving
    }

    /// Whether it refused something for want of room that it may have now.
    pub(super) fn lacks_room(&self, now: Instant) -> bool {
        !self.refused.is_empty() || (self.rests_for_room && !self.is_available(now))
    }

    /// Whether its site is one of those over which the automatic policy spreads copies.
    pub(super) const fn counts(&self) -> bool {
        self.acquaintance.counts() && self.is_relied_on()
    }

    pub(super) const fn has_granted(&self) -> bool {
        matches!(self.acquaintance, Acquaintance::Granted)
    }

    /// Puts a pack that matters into the queue that fits how far it is with this holder.
    pub(super) fn enqueue(&mut self, pack: &Pack, custody: &Custody) {
        let key = (pack.seq, pack.shard.root);
        match custody {
            Custody::Unasked => self.unasked.insert(key),
            Custody::Wanted => pack.here && self.wanted.insert(key),
            Custody::Refused => self.refused.insert(key),
            Custody::Asked | Custody::Uploading(_) | Custody::Keeping | Custody::Kept => false,
        };
    }

    pub(super) fn leave_queues(&mut self, key: &Key) {
        self.unasked.remove(key);
        self.wanted.remove(key);
        self.refused.remove(key);
    }
}
