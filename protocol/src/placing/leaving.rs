//! Holders whose vault goes apart from this one: nothing new goes there, nothing that they keep counts, and
//! what they keep is fetched from them while it is needed elsewhere.

use std::collections::BTreeSet;

use super::{
    Placing,
    holder::Holder,
    pack::{Custody, Pack},
};
use crate::{ids::DeviceId, leaving::Cover};

impl Placing {
    pub(super) fn holder_leaves(&mut self, id: DeviceId) {
        let Some(holder) = self.holders.get_mut(&id) else { return };
        if std::mem::replace(&mut holder.is_leaving, true) {
            return;
        }
        // What was complete because of it is looked at again.
        self.holders.values_mut().for_each(Holder::forget_completeness);
        self.reconsider_all();
        self.look_at_short_packs();
    }

    /// How everything would stand without these holders, beside those that leave already. Takes time
    /// proportional to packs times holders.
    pub fn cover_without(&self, leavers: &BTreeSet<DeviceId>) -> Cover {
        let ids = |test: &dyn Fn(&DeviceId, &Holder) -> bool| -> BTreeSet<DeviceId> {
            self.holders.iter().filter(|(id, it)| test(id, it)).map(|(id, _)| *id).collect()
        };
        let stays = ids(&|id, holder| holder.is_relied_on() && !leavers.contains(id));
        let sites = |test: &dyn Fn(&DeviceId, &Holder) -> bool| {
            let holders = self.holders.iter().filter(|(id, holder)| test(id, holder));
            holders.map(|(_, holder)| holder.site_number).collect::<super::sites::SiteSet>().len()
        };
        let counts = |holder: &Holder| holder.acquaintance.counts() && !holder.is_presumed_lost;
        let now =
            sites(&|id, holder| counts(holder) && (!holder.is_leaving || leavers.contains(id)));
        let after = sites(&|id, holder| counts(holder) && stays.contains(id));
        let copies_after = self.policy.copies.wanted(after);
        let published = self.heads.published_seq();
        let has_it = |holder: &Holder| published > 0 && holder.head_seq >= published;
        let is_head_there = leavers.iter().filter_map(|id| self.holders.get(id)).any(has_it);
        let has_head = sites(&|id, holder| stays.contains(id) && has_it(holder));
        let mut cover = Cover {
            copies_now: self.policy.copies.wanted(now),
            copies_after,
            is_head_elsewhere: !is_head_there || has_head >= copies_after,
            ..Cover::default()
        };
        // A pack of another device that never was safe here, and that no own head needs, is that device's to place:
        // nothing here relies on it.
        let newest = self.heads.newest_needs().iter();
        let needed: BTreeSet<_> =
            newest.chain(self.heads.needs().flat_map(|(_, needs)| needs)).collect();
        let relies = |pack: &Pack| {
            let was_own = pack.here || pack.missed || pack.promised_sites > 0;
            was_own || needed.contains(&pack.shard.root)
        };
        for pack in self.packs.values().filter(|pack| relies(pack)) {
            let keeps = |id: &DeviceId| pack.custody.get(id).is_some_and(Custody::covers);
            if !leavers.iter().any(keeps) {
                continue;
            }
            let bytes = pack.shard.bytes;
            cover.kept_packs += 1;
            cover.kept_bytes = cover.kept_bytes.saturating_add(bytes);
            let has_it = |id: &DeviceId| pack.custody.get(id).is_some_and(Custody::counts);
            if sites(&|id, _| stays.contains(id) && has_it(id)) < copies_after {
                cover.moving_packs += 1;
                cover.moving_bytes = cover.moving_bytes.saturating_add(bytes);
            }
        }
        cover
    }
}
