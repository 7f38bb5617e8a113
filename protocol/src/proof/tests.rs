//! Proofs of chunks: made, checked, changed.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::{
    limits::SHARD_BYTES_MAX,
    vectors::{self, hex},
};

fn bytes(length: usize) -> Vec<u8> {
    (0..length).map(|i| (i * 31 % 251).to_le_bytes()[0]).collect()
}

fn shard(bytes: &[u8]) -> ShardRef {
    let root = ShardRoot::from_bytes(*blake3::hash(bytes).as_bytes());
    ShardRef { root, bytes: bytes.len().try_into().unwrap() }
}

/// Both halves of the node over `bytes`, then those of its children: the outboard, from the bytes
/// alone.
fn outboard(offset: u64, bytes: &[u8], pairs: &mut Vec<[u8; 64]>) {
    let groups = u64::try_from(bytes.len()).unwrap().div_ceil(GROUP_BYTES);
    if groups < 2 {
        return;
    }
    let cut = left_of(groups) * GROUP_BYTES;
    let (left, right) = bytes.split_at(cut.try_into().unwrap());
    let mut pair = [0; 64];
    pair[..32].copy_from_slice(&subtree(offset, left));
    pair[32..].copy_from_slice(&subtree(offset + cut, right));
    pairs.push(pair);
    outboard(offset, left, pairs);
    outboard(offset + cut, right, pairs);
}

fn prove(challenge: Challenge, bytes: &[u8]) -> Vec<u8> {
    let mut all = Vec::new();
    outboard(0, bytes, &mut all);
    let pairs: Vec<[u8; 64]> =
        challenge.pairs().iter().map(|at| all[usize::try_from(*at).unwrap()]).collect();
    let group = challenge.group();
    let group = usize::try_from(group.start).unwrap()..usize::try_from(group.end).unwrap();
    challenge.prove(&bytes[group], &pairs).unwrap()
}

// AUDIT-1
#[test]
fn every_chunk_of_a_shard_of_any_length_can_be_shown() {
    for length in [1, 1023, 1024, 1025, 2048, 5000, 16_384, 16_385, 40_000, 49_153, 200_000] {
        let bytes = bytes(length);
        let shard = shard(&bytes);
        for chunk in 0..Challenge::chunks_of(&shard) {
            let challenge = Challenge { shard, chunk };
            let proof = prove(challenge, &bytes);
            assert_eq!(challenge.verify(&proof), Ok(()), "{length}, {chunk}");
            assert!(proof.len() <= PROOF_BYTES_MAX);
            let other = Challenge { chunk: chunk + 1, ..challenge };
            assert_eq!(other.verify(&proof), Err(WrongProof), "{length}, {chunk}");
        }
    }
}

// AUDIT-1
#[test]
fn damage_is_found_before_a_proof_leaves() {
    let bytes = bytes(100_000);
    let challenge = Challenge { shard: shard(&bytes), chunk: 50 };
    let mut all = Vec::new();
    outboard(0, &bytes, &mut all);
    let pairs: Vec<[u8; 64]> =
        challenge.pairs().iter().map(|at| all[usize::try_from(*at).unwrap()]).collect();
    let range = challenge.group();
    let mut group = bytes[range.start.try_into().unwrap()..range.end.try_into().unwrap()].to_vec();
    // Another chunk of the group than the one that is asked for.
    group[0] ^= 1;
    assert_eq!(challenge.prove(&group, &pairs), Err(WrongProof));
    assert_eq!(challenge.prove(&group[..5000], &pairs), Err(WrongProof));
    assert_eq!(challenge.prove(&[], &pairs), Err(WrongProof));
    assert_eq!(challenge.prove(&group, &pairs[1..]), Err(WrongProof));
    group[0] ^= 1;
    assert!(challenge.prove(&group, &pairs).is_ok());
}

// AUDIT-1
#[test]
fn the_longest_proof_is_as_long_as_the_limit() {
    let shard = ShardRef { root: ShardRoot::from_bytes([0; 32]), bytes: SHARD_BYTES_MAX };
    let challenge = Challenge { shard, chunk: 0 };
    assert_eq!(challenge.sides().len() * HASH_BYTES + 1024, PROOF_BYTES_MAX);
    assert!(Challenge { chunk: Challenge::chunks_of(&shard) - 1, shard }.is_plausible());
    assert!(!Challenge { chunk: Challenge::chunks_of(&shard), shard }.is_plausible());
}

proptest! {
    // AUDIT-1
    #[test]
    fn a_changed_proof_proves_nothing(
        length in 1_usize..150_000,
        chunk in any::<prop::sample::Index>(),
        at in any::<prop::sample::Index>(),
        flip in 1_u8..,
        noise in prop::collection::vec(any::<u8>(), 0..2000),
    ) {
        let bytes = bytes(length);
        let shard = shard(&bytes);
        let chunks = usize::try_from(Challenge::chunks_of(&shard)).unwrap();
        let challenge = Challenge { shard, chunk: chunk.index(chunks).try_into().unwrap() };
        let mut proof = prove(challenge, &bytes);
        prop_assert_eq!(challenge.verify(&noise), Err(WrongProof));
        let at = at.index(proof.len());
        proof[at] ^= flip;
        prop_assert_eq!(challenge.verify(&proof), Err(WrongProof));
        proof[at] ^= flip;
        proof.push(0);
        prop_assert_eq!(challenge.verify(&proof), Err(WrongProof));
    }
}

fn page() -> Value {
    let made = [(1, 0), (1024, 0), (1025, 1), (49_153, 17), (49_153, 48), (100_000, 50)];
    let proofs = made.map(|(length, chunk)| {
        let bytes = bytes(length);
        let challenge = Challenge { shard: shard(&bytes), chunk };
        json!({
            "shard_bytes": length,
            "root": hex(challenge.shard.root.as_bytes()),
            "chunk": chunk,
            "proof": hex(prove(challenge, &bytes)),
        })
    });
    json!({
        "spec": "specs/auditing.md",
        "shards": "byte i is 31 * i mod 251",
        "proofs": proofs,
    })
}

// AUDIT-1
#[test]
fn proofs_are_the_bytes_of_the_vectors() {
    vectors::check("auditing", &page());
}

#[test]
#[ignore = "writes specs/vectors/auditing.json"]
fn write_vectors() {
    vectors::write("auditing", &page());
}
