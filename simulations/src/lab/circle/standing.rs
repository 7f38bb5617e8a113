//! How groups stand in truth, and what people get to know of losses.

use super::{Circle, Standing, whole_count};
use crate::lab::{
    plan::{Devices, each, only, size},
    scenario::Repair,
};

impl Circle<'_> {
    /// Looks at what is left of a group after something of it went.
    pub(super) fn judge(&mut self, number: usize, cause: &str) {
        let k = self.plan.scenario.policy.k;
        self.note_whole(number);
        let group = &mut self.groups[number];
        if group.is_dead() || size(group.held) >= k {
            return;
        }
        if group.standing == Standing::Placed {
            group.standing = Standing::Bare;
            *self.tally.backups_lost.entry(cause.to_owned()).or_default() += 1;
        }
        self.bury(number, cause);
    }

    /// A group of which too few shards and no files are left is gone for good; also when it was never
    /// placed as it should have been.
    pub(super) fn bury(&mut self, number: usize, cause: &str) {
        let k = self.plan.scenario.policy.k;
        let group = &mut self.groups[number];
        if group.is_dead() || group.original || size(group.held) >= k {
            return;
        }
        group.standing = Standing::Dead;
        if group.below_since.take().is_some() {
            self.tally.protection.add_endless();
        }
        self.vaults[group.vault].lost_some = true;
        *self.tally.groups_lost.entry(cause.to_owned()).or_default() += 1;
    }

    /// Whether a group has, in truth, as many shards as it has when nothing is lost.
    fn is_whole(&self, number: usize) -> bool {
        let group = &self.groups[number];
        if self.plan.scenario.policy.repair == Repair::Real {
            let holders = self.holders_of(number);
            // More than there are houses, or holders, is not to be had.
            let most = self.count_of(holders);
            self.count_of(group.held) >= self.wanted_with(holders).min(most)
        } else {
            group.home & !group.held == 0
        }
    }

    /// What a group has became more or less.
    pub(super) fn note_whole(&mut self, number: usize) {
        let (now, is_whole) = (self.now, self.is_whole(number));
        let group = &mut self.groups[number];
        if group.is_dead() {
            return;
        }
        if !is_whole {
            group.below_since.get_or_insert(now);
        } else if let Some(since) = group.below_since.take() {
            self.tally.protection.add(now - since);
        }
    }

    /// A vault gets to know that those of these which are lost are. Each loss counts once.
    pub(super) fn note_known(&mut self, vault: usize, devices: Devices) {
        let it = &mut self.vaults[vault];
        let Some(source) = it.source else { return };
        let holders = self.plan.holders() & !only(source);
        let news = devices & holders & !self.alive & !it.known;
        it.known |= news;
        for device in each(news) {
            self.tally.detection.add(self.now - self.lost_at[device]);
        }
    }

    /// Nobody waits for news of whoever was presumed lost before it was.
    pub(super) fn note_known_already(&mut self, lost: Devices) {
        for vault in 0..self.vaults.len() {
            self.note_known(vault, lost & self.vaults[vault].presumed);
        }
    }

    /// Whoever did not know of a loss knows it when another device is there.
    pub(super) fn note_replaced(&mut self, device: usize) {
        for vault in 0..self.vaults.len() {
            self.note_known(vault, only(device));
            self.vaults[vault].known &= !only(device);
        }
    }

    /// What is still under way at the end.
    pub(super) fn note_unfinished(&mut self) {
        let now = self.now;
        let open = self.groups.iter().filter_map(|group| group.below_since);
        open.for_each(|since| self.tally.protection.add_open(now - since));
        for vault in &self.vaults {
            if let Some(since) = vault.restoring_since {
                self.tally.restore.add_open(now - since);
            }
            let Some(source) = vault.source else { continue };
            let unknown = self.plan.holders() & !only(source) & !self.alive & !vault.known;
            for device in each(unknown) {
                self.tally.detection.add_open(now - self.lost_at[device]);
            }
        }
        let groups = self.tally.groups_lost.values().sum::<u64>();
        self.tally.groups_lost_squared = groups * groups;
        let lost = self.groups.iter().filter(|group| group.is_dead()).count();
        debug_assert_eq!(whole_count(lost), groups, "each group is lost once");
    }
}
