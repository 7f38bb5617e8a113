//! The rule for when a pack is safe, and the plan for where a pack goes.
//!
//! Site first: copies count by distinct sites. The plan starts at a site given by the pack's
//! root, so packs spread evenly and there are only as many combinations of holders as there are
//! sites: few combinations of losses are fatal.

use super::{
    Output, Placing,
    holder::Holder,
    pack::{Custody, Pack, Safety},
    sites::SiteSet,
};
use crate::{
    ids::{DeviceId, ShardRoot},
    index::PackClass,
    limits::COPIES_AUTO_MAX,
};

/// On how many sites each pack must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Copies {
    /// Two, or one while there is one site only whose holders can hold, see [`Acquaintance`].
    ///
    /// [`Acquaintance`]: super::Acquaintance
    Auto,
    /// So many; never safe while there are fewer sites.
    Fixed(u8),
}

impl Copies {
    /// On how many sites a pack is wanted, when holders that count are on `sites` of them.
    pub fn wanted(self, sites: usize) -> usize {
        match self {
            Self::Auto => sites.clamp(1, COPIES_AUTO_MAX),
            Self::Fixed(copies) => usize::from(copies.max(1)),
        }
    }
}

/// What the user chose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// On how many sites each pack must be.
    pub copies: Copies,
    /// Keep data packs on this device as well (`keep-own = all`).
    pub keep_own: bool,
}

impl Default for Policy {
    fn default() -> Self {
        Self { copies: Copies::Auto, keep_own: false }
    }
}

impl Placing {
    /// Number of distinct sites where there are holders that can hold, as far as is known
    /// (PLACE-18).
    pub(super) fn sites_known(&self) -> usize {
        self.sites_of_holders(Holder::counts)
    }

    pub(super) fn copies_wanted(&self) -> usize {
        self.policy.copies.wanted(self.sites_known())
    }

    /// Sites on which this pack must be to be safe. A pack whose bytes went when it met the policy is
    /// held to what was true then: that more is asked since makes nothing unsafe. It is raised to it.
    pub(super) fn bar(&self, pack: &Pack) -> usize {
        match usize::from(pack.promised_sites) {
            0 => self.copies,
            promised => self.copies.min(promised),
        }
    }

    /// Distinct sites whose holders satisfy `test` for this pack, those presumed lost or leaving aside.
    pub(super) fn sites_where(&self, pack: &Pack, test: impl Fn(&Custody) -> bool) -> SiteSet {
        pack.custody
            .iter()
            .filter(|(_, custody)| test(custody))
            .filter_map(|(holder, _)| self.holders.get(holder))
            .filter(|holder| holder.is_relied_on())
            .map(|holder| holder.site_number)
            .collect()
    }

    /// Looks at one pack again after something about it changed.
    pub(super) fn reconsider(&mut self, root: ShardRoot) {
        let Some(pack) = self.packs.get(&root) else { return };
        let sites = self.sites_where(pack, Custody::counts).len();
        let enough = sites >= self.bar(pack);
        let is_awaited =
            || !pack.is_safe() && pack.class == PackClass::Metadata && self.is_awaited(pack);
        let (was_safe, is_safe) = (pack.is_safe(), enough && !is_awaited());
        let kept_on = u8::try_from(sites).unwrap_or(u8::MAX);
        let Some(pack) = self.packs.get_mut(&root) else { return };
        let safety = match (is_safe, sites < self.copies) {
            (false, _) => Safety::Below,
            (true, true) => Safety::Lean,
            (true, false) => Safety::Full,
        };
        let becomes_lean = safety == Safety::Lean && !pack.is_lean();
        pack.safety = safety;
        if is_safe && !pack.here && pack.promised_sites == 0 {
            pack.promised_sites = kept_on;
        }
        self.bringing.note(pack);
        if is_safe && !was_safe {
            self.became_safe(root, kept_on);
        } else if was_safe && !is_safe {
            self.became_unsafe(root);
        }
        if becomes_lean {
            self.requeue(root);
        }
        if is_safe {
            self.drop_if_allowed(root, sites);
        }
    }

    /// Looks at a pack again if it may have waited for a holder that is not to be waited for now.
    pub(super) fn reconsider_awaited(&mut self, root: ShardRoot) {
        let may_wait = |pack: &Pack| !pack.is_safe() && pack.class == PackClass::Metadata;
        if self.packs.get(&root).is_some_and(may_wait) {
            self.reconsider(root);
        }
    }

    /// Whether a holder that can be reached now is still expected to take this metadata pack.
    fn is_awaited(&self, pack: &Pack) -> bool {
        pack.custody.iter().any(|(id, custody)| {
            let here = pack.here || matches!(custody, Custody::Unasked | Custody::Asked);
            let can = |holder: &Holder| holder.has_granted() && self.may_receive(holder);
            here && custody.is_open() && self.holders.get(id).is_some_and(can)
        })
    }

    fn became_safe(&mut self, root: ShardRoot, sites: u8) {
        self.outputs.push_back(Output::PackSafe { root, sites });
        if let Some(seq) = self.heads.pack_safe(root) {
            self.head_safe(seq);
        }
    }

    fn became_unsafe(&mut self, root: ShardRoot) {
        self.heads.pack_unsafe(root);
        self.holders.values_mut().for_each(Holder::forget_completeness);
        self.requeue(root);
    }

    // PLACE-4: only data, only when safe, never under an upload that reads it.
    fn drop_if_allowed(&mut self, root: ShardRoot, sites: usize) {
        let keep_own = self.policy.keep_own;
        let Some(pack) = self.packs.get_mut(&root) else { return };
        let may_go = pack.safety == Safety::Full && pack.here && pack.class == PackClass::Data;
        if may_go && !keep_own && !pack.is_uploading() {
            pack.promised_sites = u8::try_from(sites).unwrap_or(u8::MAX);
            let (shard, sites) = (pack.shard, pack.promised_sites);
            self.set_here(root, false);
            self.outputs.push_back(Output::DropLocal { shard, sites });
        }
    }

    /// Looks at every pack again: policy or sites changed.
    pub(super) fn reconsider_all(&mut self) {
        self.uploads_due = true;
        self.copies = self.copies_wanted();
        let roots: Vec<ShardRoot> = self.packs.keys().copied().collect();
        for root in roots {
            self.reconsider(root);
        }
        self.publish_if_held();
    }

    /// Puts a pack into the queue of every holder that was not asked yet, if asking matters.
    pub(super) fn requeue(&mut self, root: ShardRoot) {
        let Some(pack) = self.packs.get(&root).filter(|pack| pack.matters()) else { return };
        for (id, custody) in &pack.custody {
            if let Some(holder) = self.holders.get_mut(id) {
                holder.enqueue(pack, custody);
            }
        }
    }

    /// Whether this holder is one that should take this pack now.
    pub(super) fn is_planned(&self, pack: &Pack, candidate: DeviceId) -> bool {
        if pack.class == PackClass::Metadata {
            return self.is_counted_on(&candidate);
        }
        let covered = self.sites_where(pack, Custody::covers);
        let mut missing = self.copies.saturating_sub(covered.len());
        for site in turns(pack.shard.root, self.sites) {
            if missing == 0 {
                return false;
            }
            if covered.contains(site) {
                continue;
            }
            if let Some(holder) = self.planned_at(pack, site) {
                if holder == candidate {
                    return true;
                }
                missing -= 1;
            }
        }
        false
    }

    /// The holder of `site` that should take this pack: one that can be reached and has not
    /// refused, the choice among several given by the root.
    pub(super) fn planned_at(&self, pack: &Pack, site: usize) -> Option<DeviceId> {
        let fit = self
            .holders
            .iter()
            .filter(|(_, holder)| holder.site_number == site && self.may_receive(holder))
            .filter(|(id, _)| {
                matches!(
                    pack.custody.get(id),
                    Some(Custody::Unasked | Custody::Asked | Custody::Wanted)
                )
            })
            .map(|(id, _)| *id);
        let chosen = spread(pack.shard.root, fit.clone().count());
        fit.clone().nth(chosen)
    }
}

/// In which order the sites, numbered in the order of their names, have their turn to take a data
/// pack.
pub fn turns(root: ShardRoot, sites: usize) -> impl Iterator<Item = usize> {
    let start = spread(root, sites);
    (start..sites).chain(0..start)
}

/// Which of `count` holders of one site, in the order of their ids, takes a data pack: a number below
/// `count` given by the root alone; 0 for none.
pub fn spread(root: ShardRoot, count: usize) -> usize {
    let number =
        root.as_bytes().iter().take(4).fold(0_u32, |sum, byte| (sum << 8) | u32::from(*byte));
    usize::try_from(number).unwrap_or(0).checked_rem(count).unwrap_or(0)
}
