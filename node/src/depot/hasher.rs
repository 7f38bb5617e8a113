//! Root and outboard of a shard while its bytes pass by, its length unknown until the end.
//!
//! Keeps one group of 16 KiB and 32 bytes for each group before it. Root and outboard are the same
//! bytes that bao-tree and iroh-blobs (`.obao4`) compute; a test compares them.

use blake3::hazmat::{HasherExt, Mode, merge_subtrees_non_root, merge_subtrees_root};
use larder_protocol::{ids::ShardRoot, index::ShardRef, limits::GROUP_BYTES};

/// Bytes of one verification group, as a length in memory.
pub(super) const GROUP: usize = 16 * 1024;
const _: () = assert!(GROUP_BYTES == 16 * 1024);

/// Computes the root and pre-order outboard of a stream of bytes.
#[derive(Debug, Default)]
pub struct ShardHasher {
    /// The newest group. A full one waits here until more follows: the last one, if it is also
    /// the first, is hashed as the root.
    pending: Vec<u8>,
    groups: Vec<[u8; 32]>,
    bytes: u64,
}

impl ShardHasher {
    /// A hasher that has seen no bytes.
    pub fn new() -> Self {
        Self { pending: Vec::with_capacity(GROUP), groups: Vec::new(), bytes: 0 }
    }

    /// Bytes seen so far.
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Takes the next bytes.
    pub fn update(&mut self, mut bytes: &[u8]) {
        self.bytes += u64::try_from(bytes.len()).expect("a length in memory fits 64 bits");
        while !bytes.is_empty() {
            if self.pending.len() == GROUP {
                self.groups.push(group_hash(self.groups.len(), &self.pending));
                self.pending.clear();
            }
            // A whole group that is not the last needs no copy.
            while self.pending.is_empty() && bytes.len() > GROUP {
                let (group, rest) = bytes.split_at(GROUP);
                self.groups.push(group_hash(self.groups.len(), group));
                bytes = rest;
            }
            let taken = bytes.len().min(GROUP - self.pending.len());
            self.pending.extend_from_slice(&bytes[..taken]);
            bytes = &bytes[taken..];
        }
    }

    /// The shard's name and length, and its outboard: 64 bytes for each inner node, in pre-order.
    pub fn finish(mut self) -> (ShardRef, Vec<u8>) {
        if self.groups.is_empty() {
            let root = ShardRoot::from_bytes(*blake3::hash(&self.pending).as_bytes());
            return (ShardRef { root, bytes: self.bytes }, Vec::new());
        }
        self.groups.push(group_hash(self.groups.len(), &self.pending));
        let mut outboard = Vec::with_capacity((self.groups.len() - 1) * 64);
        let (left, right) = children(&self.groups, &mut outboard);
        let root = merge_subtrees_root(&left, &right, Mode::Hash);
        let root = ShardRoot::from_bytes(*root.as_bytes());
        (ShardRef { root, bytes: self.bytes }, outboard)
    }
}

fn group_hash(index: usize, bytes: &[u8]) -> [u8; 32] {
    let index = u64::try_from(index).expect("a length in memory fits 64 bits");
    let mut hasher = blake3::Hasher::new();
    hasher.set_input_offset(index * GROUP_BYTES);
    hasher.update(bytes);
    hasher.finalize_non_root()
}

/// Hashes of the two halves of `groups` (at least two), written to the outboard before their own
/// children. The left half is the largest power of two that leaves something to the right.
fn children(groups: &[[u8; 32]], outboard: &mut Vec<u8>) -> ([u8; 32], [u8; 32]) {
    let (left, right) = groups.split_at(groups.len().next_power_of_two() / 2);
    let at = outboard.len();
    outboard.extend_from_slice(&[0; 64]);
    let left = subtree(left, outboard);
    let right = subtree(right, outboard);
    outboard[at..at + 32].copy_from_slice(&left);
    outboard[at + 32..at + 64].copy_from_slice(&right);
    (left, right)
}

fn subtree(groups: &[[u8; 32]], outboard: &mut Vec<u8>) -> [u8; 32] {
    if let [only] = groups {
        return *only;
    }
    let (left, right) = children(groups, outboard);
    merge_subtrees_non_root(&left, &right, Mode::Hash)
}

#[cfg(test)]
mod tests {
    use bao_tree::{BlockSize, io::outboard::PreOrderMemOutboard};

    use super::*;

    /// DEPOT-2: root and outboard are those of bao-tree, however the bytes come in.
    #[test]
    fn root_and_outboard_equal_those_of_bao_tree() {
        let lengths = [
            0,
            1,
            1023,
            1024,
            1025,
            16_383,
            16_384,
            16_385,
            32_768,
            32_769,
            49_152,
            100_000,
            1 << 20,
            (1 << 20) + 1,
            3_333_333,
        ];
        for length in lengths {
            let bytes: Vec<u8> =
                (0..length).map(|i: usize| (i * 31 % 251).to_le_bytes()[0]).collect();
            let theirs = PreOrderMemOutboard::create(&bytes, BlockSize::from_chunk_log(4));
            for step in [777, 16_384, 16_385, 70_000, length.max(1)] {
                let mut hasher = ShardHasher::new();
                bytes.chunks(step).for_each(|part| hasher.update(part));
                let (shard, outboard) = hasher.finish();
                assert_eq!(shard.root.as_bytes(), theirs.root.as_bytes(), "{length} by {step}");
                assert_eq!(outboard, theirs.data, "{length} by {step}");
                assert_eq!(shard.bytes, u64::try_from(length).unwrap());
            }
        }
    }
}
