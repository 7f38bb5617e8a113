//! Tests of `chunk::chunker`.

use std::collections::BTreeSet;

use super::*;
use crate::keys::epoch::EpochKey;

fn chunker(seed: u8) -> Chunker {
    Chunker::new(&ContentKey::derive(&EpochKey::new(1, [seed; 32])))
}

fn noise(seed: u8, bytes: usize) -> Vec<u8> {
    let mut buffer = vec![0; bytes];
    blake3::Hasher::new_keyed(&[seed; 32]).finalize_xof().fill(&mut buffer);
    buffer
}

fn chunks<'a>(chunker: &Chunker, mut bytes: &'a [u8]) -> Vec<&'a [u8]> {
    let mut chunks = Vec::new();
    while !bytes.is_empty() {
        let (chunk, rest) = bytes.split_at(chunker.cut(bytes));
        chunks.push(chunk);
        bytes = rest;
    }
    chunks
}

/// The definition in specs/chunk.md, word for word and slow.
fn cut_by_definition(chunker: &Chunker, buffer: &[u8]) -> usize {
    let end = buffer.len().min(CHUNK_BYTES_MAX);
    for length in CHUNK_BYTES_MIN + 1..=end {
        let mut hash: u64 = 0;
        for back in 0..64 {
            let gear = chunker.gear[usize::from(buffer[length - 1 - back])];
            hash = hash.wrapping_add(gear << back);
        }
        let below = if length <= CENTRE_BYTES { STRICT_BELOW } else { LOOSE_BELOW };
        if hash < below {
            return length;
        }
    }
    end
}

// CHUNK-1
#[test]
fn the_fast_scan_agrees_with_the_definition() {
    let chunker = chunker(1);
    let bytes = noise(2, 12_000_000);
    let mut rest = &bytes[..];
    for _ in 0..4 {
        let cut = chunker.cut(rest);
        assert_eq!(cut, cut_by_definition(&chunker, rest));
        rest = &rest[cut..];
    }
}

// CHUNK-2
#[test]
fn short_files_are_one_chunk_and_no_chunk_is_too_long() {
    let chunker = chunker(1);
    assert_eq!(chunker.cut(&[]), 0);
    for bytes in [1, 63, 64, CHUNK_BYTES_MIN - 1, CHUNK_BYTES_MIN] {
        assert_eq!(chunker.cut(&noise(3, bytes)), bytes);
    }
    let zeros = vec![0; CHUNK_BYTES_MAX + 5];
    assert_eq!(chunker.cut(&zeros), CHUNK_BYTES_MAX);
}

// CHUNK-3
#[test]
fn lengths_gather_around_the_average() {
    let bytes = noise(4, 256 * 1024 * 1024);
    let chunker = chunker(5);
    let chunks = chunks(&chunker, &bytes);
    let mean = bytes.len() / chunks.len();
    assert!((900 * 1024..1100 * 1024).contains(&mean), "{mean}");
    let (_, all_but_last) = chunks.split_last().unwrap();
    for chunk in all_but_last {
        assert!((CHUNK_BYTES_MIN + 1..=CHUNK_BYTES_MAX).contains(&chunk.len()));
    }
}

// CHUNK-4
#[test]
fn an_insertion_or_removal_disturbs_the_chunks_around_it_alone() {
    let chunker = chunker(6);
    let bytes = noise(7, 48 * 1024 * 1024);
    let before: BTreeSet<&[u8]> = chunks(&chunker, &bytes).into_iter().collect();
    for (at, removed, inserted) in [(0, 0, 1), (20_000_000, 0, 17), (33_333_333, 1000, 1)] {
        let mut changed = bytes.clone();
        changed.splice(at..at + removed, noise(8, inserted));
        let after = chunks(&chunker, &changed);
        let new = after.iter().filter(|chunk| !before.contains(*chunk)).count();
        assert!((1..=6).contains(&new), "{new} new chunks after a change at {at}");
    }
}

// CHUNK-4
#[test]
fn another_vault_cuts_elsewhere() {
    let bytes = noise(9, 16 * 1024 * 1024);
    let lengths = |seed| -> Vec<usize> {
        chunks(&chunker(seed), &bytes).iter().map(|chunk| chunk.len()).collect()
    };
    assert_ne!(lengths(10), lengths(11));
    assert_eq!(lengths(10), lengths(10));
}
