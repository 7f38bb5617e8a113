//! What one holder keeps, as an auditor looks at it: so many bytes, each as likely to be asked for as
//! any other.

use std::collections::BTreeMap;

use rand_chacha::rand_core::Rng;

use crate::{
    ids::ShardRoot,
    index::ShardRef,
    proof::{Challenge, PROOF_CHUNK_BYTES},
};

/// Shards with a receipt, and their bytes together.
#[derive(Debug, Clone, Default)]
pub(super) struct Ledger {
    shards: BTreeMap<ShardRoot, u64>,
    bytes: u64,
}

impl Ledger {
    pub(super) fn add(&mut self, shard: ShardRef) {
        // No such length is ever signed for; and so the sum stays far below what its type holds.
        if shard.is_plausible() && !self.shards.contains_key(&shard.root) {
            self.shards.insert(shard.root, shard.bytes);
            self.bytes += shard.bytes;
        }
    }

    pub(super) fn remove(&mut self, root: &ShardRoot) {
        if let Some(bytes) = self.shards.remove(root) {
            self.bytes = self.bytes.saturating_sub(bytes);
        }
    }

    pub(super) fn has(&self, root: &ShardRoot) -> bool {
        self.shards.contains_key(root)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.shards.is_empty()
    }

    pub(super) fn roots(&self) -> impl Iterator<Item = ShardRoot> {
        self.shards.keys().copied()
    }

    /// At most `count` chunks, drawn from all bytes alike: a shard twice as long is asked about twice
    /// as often. Fewer where the same chunk was drawn twice.
    pub(super) fn draw(&self, count: usize, dice: &mut impl Rng) -> Vec<Challenge> {
        if self.bytes == 0 {
            return Vec::new();
        }
        let mut places: Vec<u64> = (0..count).map(|_| dice.next_u64() % self.bytes).collect();
        places.sort_unstable();
        let (mut drawn, mut places) = (Vec::with_capacity(count), places.into_iter().peekable());
        let mut start = 0;
        for (root, bytes) in &self.shards {
            let shard = ShardRef { root: *root, bytes: *bytes };
            while let Some(place) = places.next_if(|place| *place < start + bytes) {
                let chunk = u32::try_from((place - start) / PROOF_CHUNK_BYTES).unwrap_or(u32::MAX);
                drawn.push(Challenge { shard, chunk });
            }
            start += bytes;
        }
        drawn.dedup();
        drawn
    }

    /// One chunk of this shard, if it is kept.
    pub(super) fn draw_from(&self, root: ShardRoot, dice: &mut impl Rng) -> Option<Challenge> {
        let shard = ShardRef { root, bytes: *self.shards.get(&root)? };
        let chunk = dice.next_u64() % u64::from(Challenge::chunks_of(&shard)).max(1);
        Some(Challenge { shard, chunk: u32::try_from(chunk).unwrap_or(u32::MAX) })
    }
}

#[cfg(test)]
mod tests {
    use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};

    use super::*;

    fn shard(seed: u8, bytes: u64) -> ShardRef {
        ShardRef { root: ShardRoot::from_bytes([seed; 32]), bytes }
    }

    // AUDIT-2
    #[test]
    fn every_byte_is_as_likely_as_any_other() {
        let mut ledger = Ledger::default();
        ledger.add(shard(1, 10 << 20));
        ledger.add(shard(2, 30 << 20));
        ledger.add(shard(3, 1));
        ledger.add(shard(3, 1));
        let mut dice = ChaCha8Rng::from_seed([7; 32]);
        let mut met: BTreeMap<ShardRoot, usize> = BTreeMap::new();
        let mut highest = 0;
        for _ in 0..100 {
            for challenge in ledger.draw(400, &mut dice) {
                assert!(challenge.is_plausible());
                *met.entry(challenge.shard.root).or_default() += 1;
                highest = highest.max(challenge.chunk);
            }
        }
        let of = |seed: u8| met.get(&ShardRoot::from_bytes([seed; 32])).copied().unwrap_or(0);
        assert!((9_000..11_000).contains(&of(1)), "{met:?}");
        assert!((28_000..31_000).contains(&of(2)), "{met:?}");
        assert!(highest > 30_000, "the end of the long shard is drawn as well");
    }

    #[test]
    fn nothing_is_drawn_from_nothing_and_what_went_is_not_drawn() {
        let mut ledger = Ledger::default();
        let mut dice = ChaCha8Rng::from_seed([7; 32]);
        assert!(ledger.draw(10, &mut dice).is_empty());
        ledger.add(shard(1, 5000));
        ledger.add(shard(2, 5000));
        ledger.remove(&ShardRoot::from_bytes([1; 32]));
        ledger.remove(&ShardRoot::from_bytes([9; 32]));
        let drawn = ledger.draw(100, &mut dice);
        assert_eq!(drawn.len(), 5, "five chunks, each once: {drawn:?}");
        assert!(drawn.iter().all(|challenge| challenge.shard == shard(2, 5000)));
        assert_eq!(ledger.draw_from(ShardRoot::from_bytes([1; 32]), &mut dice), None);
    }
}
