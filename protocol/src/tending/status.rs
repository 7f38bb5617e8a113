//! What people are told of vaults whose devices are silent.

use super::{Tended, Tending};
use crate::ids::VaultId;

/// How a vault stands whose devices are silent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Status {
    /// Which.
    pub vault: VaultId,
    /// For how long none of its devices was heard of, in seconds that count.
    pub silent_s: u64,
    /// Others who hold for it, as its devices said.
    pub fellows: usize,
    /// Those of them that told in the last round what they keep.
    pub present: usize,
    /// Packs that it needs; 0 before the first round.
    pub packs: u64,
    /// Those of them that are on fewer sites than its devices wanted.
    pub short: u64,
    /// Those of them that nobody keeps who counts.
    pub nowhere: u64,
    /// Whether this node has no room for more of it.
    pub is_full: bool,
    /// Whether a round is under way.
    pub is_busy: bool,
}

impl Tending {
    /// Vaults whose devices are silent, in the order of their ids.
    pub fn status(&self) -> Vec<Status> {
        let unattended = self.vaults.iter().filter(|(vault, _)| self.is_unattended(vault));
        unattended.map(|(vault, tended)| self.status_of(vault, tended)).collect()
    }

    /// Bytes that were fetched since the start.
    pub const fn fetched_bytes(&self) -> u64 {
        self.fetched_bytes
    }

    fn status_of(&self, vault: &VaultId, tended: &Tended) -> Status {
        let last = tended.last.unwrap_or_default();
        Status {
            vault: *vault,
            silent_s: tended.silent_s,
            fellows: tended.circle.fellows.len().saturating_sub(1),
            present: tended.told.values().filter(|told| told.is_new).count(),
            packs: last.packs,
            short: last.short,
            nowhere: last.nowhere,
            is_full: last.is_full,
            is_busy: self.round.as_ref().is_some_and(|round| round.vault == *vault),
        }
    }
}
