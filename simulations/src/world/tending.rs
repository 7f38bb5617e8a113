//! What holders do for a vault of which no device is heard of, compared with the truth.

use std::collections::BTreeSet;

use larder_protocol::{ids::ShardRoot, limits::TEND_SILENCE_S};

use super::World;
use crate::model::Property;

impl World {
    /// SIM-18: nobody of the vault was heard of for long, or all of them are said to be lost; and a head
    /// that has a list here really needs this.
    pub(super) fn check_fetched(&mut self, holder: usize, root: ShardRoot, vault: usize) {
        let shared = &self.shared;
        let heard = shared.model.heard_of.get(&(holder, vault)).copied().unwrap_or_default();
        let silent_s = shared.now().ms_since(heard) / 1_000;
        let lost = self.devices[holder].presumed_lost();
        let are_lost = shared.circle.of_vault(vault).all(|device| lost.contains(&device));
        if silent_s < TEND_SILENCE_S && !are_lost {
            let text = format!(
                "device {holder} fetches for vault {vault}, heard of {silent_s} seconds ago"
            );
            return self.shared.violation(Property::Tending, text);
        }
        let lists = self.devices[holder].disk.image.claimed.get(&vault).into_iter().flatten();
        let commits = lists.filter_map(|(_, list)| shared.model.commits.get(&list.head().hash()));
        let needed: BTreeSet<ShardRoot> =
            commits.flat_map(|commit| &commit.needs).map(|(shard, _)| shard.root).collect();
        if !needed.contains(&root) {
            let text = format!("device {holder} fetches {root:?}, which vault {vault} needs not");
            self.shared.violation(Property::Tending, text);
        }
    }
}
