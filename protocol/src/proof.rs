//! Proof that somebody has one chunk of a shard: the chunk's bytes, and the hashes beside the way
//! from the root down to it.
//!
//! ```text
//!              root               proof of chunk 2 of 5:
//!            /      \               32 bytes  hash of chunk 4         (beside the left half)
//!         0..4       4              32 bytes  hash of chunks 0..2     (beside 2..4)
//!        /    \                     32 bytes  hash of chunk 3
//!     0..2    2..4                1024 bytes  chunk 2
//!     /  \    /  \
//!    0    1  2    3
//! ```
//! Whoever checks it needs the root and the length of the shard, and nothing else. No byte of it is a
//! length or a choice: its own length follows from the shard's. Source: specs/auditing.md, BLAKE3
//! paper, section 2.

use blake3::hazmat::{HasherExt, Mode, merge_subtrees_non_root, merge_subtrees_root};
use minicbor::{Decode, Encode};
use thiserror::Error;

use crate::{ids::ShardRoot, index::ShardRef, limits::GROUP_BYTES};

/// Bytes of a BLAKE3 chunk; the last one of a shard may be shorter.
pub const PROOF_CHUNK_BYTES: u64 = 1024;
/// Bytes of the hash of a node.
const HASH_BYTES: usize = 32;
/// The longest proof: 16 hashes and a chunk, for a shard of 64 MiB.
pub const PROOF_BYTES_MAX: usize = 16 * HASH_BYTES + 1024;

/// The bytes do not show that anybody has the chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the proof does not have the root of the shard")]
pub struct WrongProof;

/// On which side of a node the chunk is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Left,
    Right,
}

/// One chunk of a shard that is to be shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub struct Challenge {
    /// Name and length of the shard.
    #[n(0)]
    pub shard: ShardRef,
    /// Number of the chunk, from 0.
    #[n(1)]
    pub chunk: u32,
}

impl Challenge {
    /// How many chunks a shard has.
    pub fn chunks_of(shard: &ShardRef) -> u32 {
        let chunks = shard.bytes.div_ceil(PROOF_CHUNK_BYTES);
        u32::try_from(chunks).unwrap_or(u32::MAX)
    }

    /// Whether the shard has such a chunk.
    pub fn is_plausible(&self) -> bool {
        self.shard.is_plausible() && self.chunk < Self::chunks_of(&self.shard)
    }

    /// Where the group is that holds the chunk, in bytes of the shard: what a prover reads.
    pub fn group(&self) -> std::ops::Range<u64> {
        let start = self.start() / GROUP_BYTES * GROUP_BYTES;
        start..(start + GROUP_BYTES).min(self.shard.bytes)
    }

    /// Which pairs of the outboard a prover reads, by number in pre-order, from the root down.
    pub fn pairs(&self) -> Vec<u64> {
        let mut groups = self.shard.bytes.div_ceil(GROUP_BYTES);
        let mut target = self.start() / GROUP_BYTES;
        let (mut at, mut pairs) = (0, Vec::new());
        while groups > 1 {
            pairs.push(at);
            let left = left_of(groups);
            if target < left {
                at += 1;
                groups = left;
            } else {
                // The left subtree has one node less than groups.
                at += left;
                target -= left;
                groups -= left;
            }
        }
        pairs
    }

    /// Makes the proof from the group that holds the chunk and the pairs of the outboard above it,
    /// as [`Self::group`] and [`Self::pairs`] name them.
    ///
    /// # Errors
    /// [`WrongProof`] when the bytes given do not have the root of the shard: whoever has them has
    /// found damage of its own, and shows nobody anything.
    pub fn prove(&self, group: &[u8], pairs: &[[u8; 64]]) -> Result<Vec<u8>, WrongProof> {
        let (sides, range) = (self.sides(), self.group());
        let is_group = u64::try_from(group.len()) == Ok(range.end.saturating_sub(range.start));
        if !is_group || !self.is_plausible() || pairs.len() != self.pairs().len() {
            return Err(WrongProof);
        }
        let mut proof = Vec::with_capacity(PROOF_BYTES_MAX);
        for (pair, side) in pairs.iter().zip(&sides) {
            let (left, right) = pair.split_at(HASH_BYTES);
            proof.extend_from_slice(if *side == Side::Left { right } else { left });
        }
        let (mut rest, mut offset) = (group, range.start);
        for side in sides.get(pairs.len()..).ok_or(WrongProof)? {
            let chunks = u64::try_from(rest.len().div_ceil(1024)).map_err(|_| WrongProof)?;
            let cut =
                usize::try_from(left_of(chunks) * PROOF_CHUNK_BYTES).map_err(|_| WrongProof)?;
            let (left, right) = rest.split_at_checked(cut).ok_or(WrongProof)?;
            let middle = offset + left_of(chunks) * PROOF_CHUNK_BYTES;
            if *side == Side::Left {
                proof.extend_from_slice(&subtree(middle, right));
                rest = left;
            } else {
                proof.extend_from_slice(&subtree(offset, left));
                (rest, offset) = (right, middle);
            }
        }
        proof.extend_from_slice(rest);
        self.verify(&proof).map(|()| proof)
    }

    /// Checks a proof.
    ///
    /// # Errors
    /// [`WrongProof`] when it has another length than it must have, or does not lead to the root.
    pub fn verify(&self, proof: &[u8]) -> Result<(), WrongProof> {
        if !self.is_plausible() {
            return Err(WrongProof);
        }
        let sides = self.sides();
        let (hashes, chunk) = proof.split_at_checked(sides.len() * HASH_BYTES).ok_or(WrongProof)?;
        if u64::try_from(chunk.len()) != Ok(self.chunk_bytes()) {
            return Err(WrongProof);
        }
        let met = match sides.first() {
            None => *blake3::hash(chunk).as_bytes(),
            Some(_) => climb(subtree(self.start(), chunk), hashes, &sides),
        };
        if ShardRoot::from_bytes(met) == self.shard.root { Ok(()) } else { Err(WrongProof) }
    }

    fn start(&self) -> u64 {
        u64::from(self.chunk) * PROOF_CHUNK_BYTES
    }

    fn chunk_bytes(&self) -> u64 {
        self.shard.bytes.saturating_sub(self.start()).min(PROOF_CHUNK_BYTES)
    }

    /// The way from the root down to the chunk.
    fn sides(&self) -> Vec<Side> {
        let mut chunks = u64::from(Self::chunks_of(&self.shard));
        let mut target = u64::from(self.chunk);
        let mut sides = Vec::new();
        while chunks > 1 {
            let left = left_of(chunks);
            if target < left {
                sides.push(Side::Left);
                chunks = left;
            } else {
                sides.push(Side::Right);
                target -= left;
                chunks -= left;
            }
        }
        sides
    }
}

/// How many of `count` leaves (at least two) are in the left half of their node: the largest power of
/// two that leaves something to the right.
const fn left_of(count: u64) -> u64 {
    count.next_power_of_two() / 2
}

fn subtree(offset: u64, bytes: &[u8]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    hasher.set_input_offset(offset);
    hasher.update(bytes);
    hasher.finalize_non_root()
}

/// From the hash of a leaf up to that of the root.
fn climb(leaf: [u8; 32], hashes: &[u8], sides: &[Side]) -> [u8; 32] {
    let levels = hashes.chunks_exact(HASH_BYTES).zip(sides).enumerate();
    levels.rev().fold(leaf, |below, (level, (beside, side))| {
        let beside = <[u8; 32]>::try_from(beside).expect("cut into pieces of 32 bytes");
        let (left, right) = match side {
            Side::Left => (below, beside),
            Side::Right => (beside, below),
        };
        match level {
            0 => *merge_subtrees_root(&left, &right, Mode::Hash).as_bytes(),
            _ => merge_subtrees_non_root(&left, &right, Mode::Hash),
        }
    })
}

#[cfg(test)]
mod tests;
