//! What is kept for a vault, told to whoever looks after its copies. Source: specs/tending.md.

use std::ops::Bound;

use super::{Holding, Keeping, Row};
use crate::{
    ids::{ShardRoot, VaultId},
    wire::message::OfferedShard,
};

impl Holding {
    /// Shards kept for a vault, after one, ascending by root: whole ones that some device may claim.
    pub fn kept_after(
        &self,
        vault: VaultId,
        after: Option<ShardRoot>,
    ) -> impl Iterator<Item = OfferedShard> {
        let last = VaultId::from_bytes([0xff; 32]);
        let from = after.map_or(Bound::Unbounded, |after| Bound::Excluded((after, last)));
        let rows =
            self.kept.range((from, Bound::Unbounded)).filter_map(|(_, keeping)| match keeping {
                Keeping::Kept(row) => Some(row),
                Keeping::Erasing(_) => None,
            });
        let is_kept = move |row: &&Row| row.vault == vault && !row.lost && row.unclaimed.is_none();
        rows.filter(is_kept).map(|row| OfferedShard { shard: row.shard, class: row.class })
    }

    /// Whether this very shard is kept for a vault, whole, and some device may claim it.
    pub fn keeps(&self, vault: VaultId, root: ShardRoot) -> bool {
        matches!(
            self.kept.get(&(root, vault)),
            Some(Keeping::Kept(Row { lost: false, unclaimed: None, .. }))
        )
    }

    /// Vaults that something is kept for, or may be.
    pub fn vaults(&self) -> impl Iterator<Item = VaultId> {
        self.room.accounts.keys().copied()
    }
}
