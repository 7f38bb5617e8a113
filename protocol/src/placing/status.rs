//! Counts for `larder status`: how safe, what is pending, what stands in the way.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Acquaintance, Condition, Placing, Site,
    holder::Link,
    pack::{Custody, Pack},
};
use crate::{
    ids::{DeviceId, ShardRoot},
    limits::COPIES_AUTO_MAX,
};

/// Why unsafe packs do not get on. Named in this order when several hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Blocked {
    /// No holder is known: pair with one.
    NoHolder,
    /// The policy asks for more sites than are known.
    TooFewSites {
        /// Sites known.
        known: usize,
        /// Sites asked for.
        wanted: usize,
    },
    /// Bytes are paid for on the way to those that could take more.
    Metered,
    /// No holder that could take more is connected.
    NotConnected,
    /// Every connected holder that could help is full, or our grants there are used up.
    NoRoom,
    /// Connected holders forbid, fail, or are distrusted.
    Refused,
}

/// One holder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HolderStatus {
    /// Its site.
    pub site: Site,
    /// Whether a connection is up.
    pub connected: bool,
    /// How it stands.
    pub condition: Condition,
    /// Whether it has shown that it can hold.
    pub acquaintance: Acquaintance,
    /// Whether it is presumed lost, so that nothing it keeps counts.
    pub presumed_lost: bool,
    /// Whether its vault and this one go apart, so that nothing it keeps counts.
    pub is_leaving: bool,
    /// Packs with a durable receipt of it.
    pub kept_packs: u64,
    /// Their bytes.
    pub kept_bytes: u64,
    /// Packs it is known to lack or was not asked about, and that should be offered to it.
    pub pending_packs: u64,
    /// How many copies, since start, were found to be none.
    pub lost_packs: u64,
    /// Uploads under way.
    pub uploads: usize,
    /// Attempts to reach it, or to have it keep something, that failed in a row.
    pub failures: u32,
}

/// The whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// Packs known.
    pub packs: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Packs that meet the policy.
    pub safe_packs: u64,
    /// Their bytes.
    pub safe_bytes: u64,
    /// Bytes of packs that are here and do not meet the policy: what waits to be sent.
    pub waiting_bytes: u64,
    /// Packs on fewer sites than the policy asks now, though they met it when their local copy
    /// went (a site was added since).
    pub below_policy_packs: u64,
    /// Sites on which the least-held pack of the newest head is; 0 without a head. Any so many less
    /// one may be lost at once, beside this device.
    pub copies_least: usize,
    /// Holders that keep the least-held pack of the newest head; 0 without a head.
    pub holders_least: usize,
    /// Packs of the newest head that do not meet the policy now.
    pub newest_lacks: u64,
    /// Those of them that are neither here nor at any holder: waiting cannot help.
    pub newest_lost: u64,
    /// How many of the packs that it needs do not meet the policy now, for every head that waits,
    /// is the newest safe one, or the published one.
    pub heads_lack: BTreeMap<u64, u64>,
    /// Packs that are not here and only at holders that are presumed lost.
    pub stranded_packs: u64,
    /// Packs that are neither here nor at any holder: lost, or of a device not heard of yet.
    pub nowhere_packs: u64,
    /// Those of them that every holder known has been asked about.
    pub lost_packs: u64,
    /// Sites on which each pack must be.
    pub copies: usize,
    /// Sites of holders that can hold, as far as is known: those that the automatic policy counts.
    pub sites: usize,
    /// Whether two sites would be better than what there is: warn loudly.
    pub one_site_only: bool,
    /// Numbers of the heads that wait, and how many packs each lacks.
    pub waiting_heads: BTreeMap<u64, usize>,
    /// The newest head that is at enough holders.
    pub published_seq: u64,
    /// What stands in the way, when something is unsafe and nothing is under way.
    pub blocked: Option<Blocked>,
    /// Each holder.
    pub holders: BTreeMap<DeviceId, HolderStatus>,
}

impl Status {
    /// Whether everything that a head needs meets the policy now. A head was once published and
    /// can have lost something since; of one that nothing is known of, nothing is claimed.
    pub fn is_whole(&self, seq: u64) -> bool {
        self.heads_lack.get(&seq) == Some(&0)
    }
}

impl Placing {
    /// Counts everything. Takes time proportional to packs times holders: for people, not for
    /// every input.
    pub fn status(&self) -> Status {
        let sites = self.sites_known();
        let mut status = Status {
            packs: 0,
            bytes: 0,
            safe_packs: 0,
            safe_bytes: 0,
            waiting_bytes: 0,
            below_policy_packs: 0,
            copies_least: 0,
            holders_least: 0,
            newest_lacks: 0,
            newest_lost: 0,
            heads_lack: self.heads_lack(),
            stranded_packs: 0,
            nowhere_packs: 0,
            lost_packs: 0,
            copies: self.copies,
            sites,
            one_site_only: sites < COPIES_AUTO_MAX,
            waiting_heads: self.heads.lacking(),
            published_seq: self.heads.published_seq(),
            blocked: None,
            holders: self.holder_statuses(),
        };
        for pack in self.packs.values() {
            status.packs += 1;
            status.bytes = status.bytes.saturating_add(pack.shard.bytes);
            let kept_sites = self.sites_where(pack, Custody::counts).len();
            if pack.is_safe() {
                status.safe_packs += 1;
                status.safe_bytes = status.safe_bytes.saturating_add(pack.shard.bytes);
                status.below_policy_packs += u64::from(kept_sites < self.copies);
            } else if pack.here {
                status.waiting_bytes = status.waiting_bytes.saturating_add(pack.shard.bytes);
            }
            let is_nowhere = self.is_nowhere(pack);
            let said_no = |custody: &Custody| matches!(custody, Custody::Wanted | Custody::Refused);
            let is_kept = pack.custody.values().any(Custody::counts);
            status.stranded_packs += u64::from(is_nowhere && is_kept);
            status.nowhere_packs += u64::from(is_nowhere);
            status.lost_packs += u64::from(is_nowhere && pack.custody.values().all(said_no));
            for (id, custody) in &pack.custody {
                let Some(holder) = status.holders.get_mut(id) else { continue };
                if custody.counts() {
                    holder.kept_packs += 1;
                    holder.kept_bytes = holder.kept_bytes.saturating_add(pack.shard.bytes);
                } else if pack.matters() {
                    holder.pending_packs += 1;
                }
            }
        }
        let newest = || self.heads.newest_needs().iter().filter_map(|root| self.packs.get(root));
        let sites_of = |pack| self.sites_where(pack, Custody::counts).len();
        status.copies_least = newest().map(sites_of).min().unwrap_or(0);
        status.holders_least = newest().map(|pack| self.holders_of(pack)).min().unwrap_or(0);
        status.newest_lacks = newest().map(|pack| u64::from(!pack.is_safe())).sum();
        status.newest_lost = newest().map(|pack| u64::from(self.is_nowhere(pack))).sum();
        if status.safe_packs < status.packs && self.orders.is_empty() {
            status.blocked = self.blocked();
        }
        status
    }

    /// How many holders keep a pack, those presumed lost aside.
    fn holders_of(&self, pack: &Pack) -> usize {
        let keeps =
            |(id, custody): &(&DeviceId, &Custody)| custody.counts() && self.is_counted_on(id);
        pack.custody.iter().filter(keeps).count()
    }

    fn heads_lack(&self) -> BTreeMap<u64, u64> {
        let lack = |needs: &BTreeSet<ShardRoot>| {
            needs.iter().map(|root| u64::from(!self.is_safe(root))).sum()
        };
        self.heads.needs().map(|(seq, needs)| (seq, lack(needs))).collect()
    }

    fn holder_statuses(&self) -> BTreeMap<DeviceId, HolderStatus> {
        let of = |holder: &super::Holder| HolderStatus {
            site: holder.site.clone(),
            connected: matches!(holder.link, Link::Up { .. }),
            condition: holder.condition,
            acquaintance: holder.acquaintance,
            presumed_lost: holder.is_presumed_lost,
            is_leaving: holder.is_leaving,
            kept_packs: 0,
            kept_bytes: 0,
            pending_packs: 0,
            lost_packs: holder.lost,
            uploads: holder.uploads,
            failures: holder.failures,
        };
        self.holders.iter().map(|(id, holder)| (*id, of(holder))).collect()
    }

    fn blocked(&self) -> Option<Blocked> {
        // A device that was met and grants nothing is no holder: it stands in nobody's way. One that
        // was not met yet may be one.
        let may_hold = |holder: &super::Holder| holder.acquaintance.may_hold();
        let sites = self.sites_of_holders(|it| may_hold(it) && it.is_relied_on());
        let stays = |holder: &&super::Holder| !holder.is_leaving;
        let mut holders = self.holders.values().filter(stays).filter(|holder| may_hold(holder));
        let is_up = |holder: &&super::Holder| matches!(holder.link, Link::Up { .. });
        let mut up = holders.clone().filter(is_up);
        if holders.next().is_none() {
            Some(Blocked::NoHolder)
        } else if sites < self.copies {
            Some(Blocked::TooFewSites { known: sites, wanted: self.copies })
        } else if up.clone().any(|it| it.condition == Condition::Fine && self.is_spared(it)) {
            Some(Blocked::Metered)
        } else if up
            .clone()
            .any(|holder| matches!(holder.condition, Condition::Full | Condition::QuotaUsed))
        {
            Some(Blocked::NoRoom)
        } else if up.any(|holder| holder.condition != Condition::Fine)
            || self
                .holders
                .values()
                .filter(stays)
                .any(|holder| holder.condition == Condition::Forbidden)
        {
            Some(Blocked::Refused)
        } else {
            Some(Blocked::NotConnected)
        }
    }
}
