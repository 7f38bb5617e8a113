//! Collecting: which packs are claimed no more, which are made anew because little of them is needed,
//! and which leave the index of this device for good.
//!
//! Pure: what is needed of each pack comes in, a choice goes out. To make a pack anew costs reading
//! what is needed of it and placing it again, so it is done for packs of which at least half is waste,
//! the cheapest first, within a budget. Source: specs/deletion.md.

use std::collections::BTreeSet;

use crate::{
    ids::ShardRoot,
    limits::{REPACK_BYTES_MAX, REPACK_WASTE_BYTES_MIN},
};

/// What is needed of one pack that this device claims.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PackUse {
    /// Which.
    pub root: ShardRoot,
    /// Its length.
    pub bytes: u64,
    /// Bytes of the sealed chunks in it that something leads to.
    pub needed_bytes: u64,
}

/// What becomes of the packs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Choice {
    /// Nothing of them is needed: claimed no more.
    pub dropped: BTreeSet<ShardRoot>,
    /// What is needed of them is stored anew, then they are claimed no more.
    pub repacked: BTreeSet<ShardRoot>,
    /// Bytes of the dropped ones.
    pub dropped_bytes: u64,
    /// Bytes that repacking gives back, of all packs that deserve it, this time or later.
    pub waste_bytes: u64,
    /// Whether there is more to repack than fits the budget.
    pub is_more: bool,
}

impl Choice {
    /// Chooses among the packs of one device.
    pub fn among(packs: &[PackUse]) -> Self {
        let mut choice = Self::default();
        let mut wasteful = Vec::new();
        for pack in packs {
            if pack.needed_bytes == 0 {
                choice.dropped.insert(pack.root);
                choice.dropped_bytes = choice.dropped_bytes.saturating_add(pack.bytes);
            } else if is_wasteful(pack) {
                choice.waste_bytes += pack.bytes.saturating_sub(pack.needed_bytes);
                wasteful.push(pack);
            }
        }
        wasteful.sort_by_key(|pack| (pack.needed_bytes, pack.root));
        let mut budget_bytes = REPACK_BYTES_MAX;
        for pack in wasteful {
            match budget_bytes.checked_sub(pack.needed_bytes) {
                Some(left) => {
                    budget_bytes = left;
                    choice.repacked.insert(pack.root);
                }
                None => choice.is_more = true,
            }
        }
        choice
    }
}

/// How a pack in the index of this device stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// This device made it, lists it, or is about to.
    pub is_own: bool,
    /// Number of the own head that claims it no more; 0 while there is none.
    pub dropped_at: u64,
    /// The newest manifest of another device needs it.
    pub is_claimed_by_others: bool,
}

/// What becomes of a pack in the index, once everything is known that other devices need.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parting {
    /// It stays as it is.
    Stays,
    /// This device has done with it, another one has not: it is one of that one's.
    HandedOver,
    /// No device needs it.
    Leaves,
}

impl Standing {
    /// `published`: number of the newest own head that is published. What heads before it need is needed
    /// until then.
    pub const fn parting(self, published: u64) -> Parting {
        let is_done = match self.dropped_at {
            0 => !self.is_own,
            dropped_at => dropped_at <= published,
        };
        match (is_done, self.is_claimed_by_others) {
            (false, _) => Parting::Stays,
            (true, true) if self.dropped_at == 0 => Parting::Stays,
            (true, true) => Parting::HandedOver,
            (true, false) => Parting::Leaves,
        }
    }
}

/// Whether a pack is worth making anew. A small one never is: its padding alone may be half of it.
const fn is_wasteful(pack: &PackUse) -> bool {
    let waste_bytes = pack.bytes.saturating_sub(pack.needed_bytes);
    waste_bytes >= pack.needed_bytes && waste_bytes >= REPACK_WASTE_BYTES_MIN
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1024 * 1024;

    fn pack(seed: u8, bytes: u64, needed_bytes: u64) -> PackUse {
        PackUse { root: ShardRoot::from_bytes([seed; 32]), bytes, needed_bytes }
    }

    fn roots(seeds: &[u8]) -> BTreeSet<ShardRoot> {
        seeds.iter().map(|seed| ShardRoot::from_bytes([*seed; 32])).collect()
    }

    // DEL-14
    #[test]
    fn what_is_half_waste_is_made_anew_and_what_is_all_waste_goes() {
        let choice = Choice::among(&[
            pack(1, 32 * MIB, 0),
            pack(2, 32 * MIB, 1),
            pack(3, 32 * MIB, 16 * MIB),
            pack(4, 32 * MIB, 16 * MIB + 1),
            pack(5, 32 * MIB, 32 * MIB),
            pack(6, 16_384, 200),
        ]);
        assert_eq!((choice.dropped, choice.dropped_bytes), (roots(&[1]), 32 * MIB));
        assert_eq!((choice.repacked, choice.is_more), (roots(&[2, 3]), false));
        assert_eq!(choice.waste_bytes, 48 * MIB - 1);
    }

    // DEL-14
    #[test]
    fn one_time_costs_no_more_than_the_budget_and_the_cheapest_come_first() {
        let many: Vec<PackUse> = (0..40).map(|seed| pack(seed, 32 * MIB, 10 * MIB)).collect();
        let choice = Choice::among(&many);
        assert!(choice.is_more);
        let fitting = usize::try_from(REPACK_BYTES_MAX / (10 * MIB)).unwrap();
        assert_eq!(choice.repacked.len(), fitting);
        let cheap = Choice::among(&[many, vec![pack(99, 32 * MIB, MIB)]].concat());
        assert!(cheap.repacked.contains(&ShardRoot::from_bytes([99; 32])));
    }

    // DEL-10
    #[test]
    fn a_pack_leaves_when_no_device_needs_it_and_the_head_without_it_is_published() {
        let parting = |is_own, dropped_at, is_claimed_by_others, published| {
            Standing { is_own, dropped_at, is_claimed_by_others }.parting(published)
        };
        for claimed in [false, true] {
            assert_eq!(parting(true, 0, claimed, 9), Parting::Stays, "claimed here");
            assert_eq!(parting(true, 7, claimed, 6), Parting::Stays, "an older head needs it");
        }
        assert_eq!(parting(true, 7, false, 7), Parting::Leaves);
        assert_eq!(parting(true, 7, true, 7), Parting::HandedOver);
        assert_eq!(parting(false, 0, false, 0), Parting::Leaves);
        assert_eq!(parting(false, 0, true, 0), Parting::Stays);
    }

    // DEL-14
    #[test]
    fn what_was_made_anew_is_not_made_anew_again() {
        let fresh: Vec<PackUse> =
            (1..=64).map(|number| pack(1, number * 16_384, number * 16_384 - 16_000)).collect();
        assert!(fresh.iter().all(|pack| Choice::among(&[*pack]).repacked.is_empty()));
    }
}
