//! One holder as the source sees it: connection, queues of packs, and how long it is left alone.

use std::{collections::BTreeSet, fmt};

use super::pack::Key;
use crate::{order::OrderId, time::Instant};

/// A household: the unit that fails together. Two holders of one site count as one copy.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Site(pub String);

impl fmt::Display for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
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
    pub(super) link: Link,
    pub(super) condition: Condition,
    /// It has greeted us at least once since start.
    pub(super) has_greeted: bool,
    /// It has granted room at least once: it is a holder, not merely a device. Never unset, so
    /// that no holder can lower the number of copies by taking its grant back.
    pub(super) has_granted: bool,
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
    pub(super) refusals: u32,
    pub(super) offer: Option<OrderId>,
    pub(super) push: Option<OrderId>,
    pub(super) uploads: usize,
    /// The newest head of ours that it is known to have; 0 for none.
    pub(super) head_seq: u64,
    /// Packs that it said it does not have any more.
    pub(super) lost: u64,
}

impl Holder {
    pub(super) fn new(site: Site) -> Self {
        Self {
            site,
            link: Link::Down { retry_at: Instant::default() },
            condition: Condition::Away,
            has_greeted: false,
            has_granted: false,
            failures: 0,
            unasked: BTreeSet::new(),
            wanted: BTreeSet::new(),
            refused: BTreeSet::new(),
            ask_refused_at: None,
            refusals: 0,
            offer: None,
            push: None,
            uploads: 0,
            head_seq: 0,
            lost: 0,
        }
    }

    /// Whether orders may be given to it now.
    pub(super) fn is_available(&self, now: Instant) -> bool {
        matches!(self.link, Link::Up { rest_until } if rest_until <= now)
    }

    /// Whether its site counts among those over which copies are spread: every holder counts
    /// until it has been met and found to grant nothing.
    pub(super) const fn counts_as_holder(&self) -> bool {
        self.has_granted || !self.has_greeted
    }

    pub(super) fn leave_queues(&mut self, key: &Key) {
        self.unasked.remove(key);
        self.wanted.remove(key);
        self.refused.remove(key);
    }
}
