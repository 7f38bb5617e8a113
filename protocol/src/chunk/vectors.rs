//! Vectors of specs/chunk.md.

use serde_json::{Value, json};

use super::{Chunker, bundle::BundlePlanner, codec};
use crate::{
    index::ChunkKind,
    keys::epoch::{ContentKey, EpochKey},
    limits::CHUNK_BYTES_MAX,
    vectors::{self, hex},
};

/// 200 times the letter a: a zstd frame of one run-length block, made by hand (RFC 8878), so that
/// no version of zstd can change it.
pub(crate) const ZSTD_FRAME: [u8; 11] =
    [1, 0x28, 0xb5, 0x2f, 0xfd, 0x20, 200, 0x43, 0x06, 0x00, b'a'];

fn cuts(chunker: &Chunker, mut input: &[u8]) -> Vec<usize> {
    let mut lengths = Vec::new();
    while !input.is_empty() {
        let window = input.get(..CHUNK_BYTES_MAX).unwrap_or(input);
        let (chunk, rest) = input.split_at(chunker.cut(window));
        lengths.push(chunk.len());
        input = rest;
    }
    lengths
}

fn inputs(chunker: &Chunker) -> Value {
    let mut noise = vec![0; 12_000_000];
    blake3::Hasher::new_keyed(&[7; 32]).finalize_xof().fill(&mut noise);
    let mut inserted = noise.clone();
    inserted.insert(3_000_000, b'x');
    json!([
        {
            "input": "12,000,000 bytes: output of keyed BLAKE3 of nothing under the key 07 x 32",
            "key": hex([7; 32]),
            "bytes": noise.len(),
            "chunk_lengths": cuts(chunker, &noise),
        },
        {
            "input": "the same with one byte 78 inserted before byte 3,000,000",
            "bytes": inserted.len(),
            "chunk_lengths": cuts(chunker, &inserted),
        },
        {
            "input": "5,000,000 zeros",
            "bytes": 5_000_000,
            "chunk_lengths": cuts(chunker, &vec![0; 5_000_000]),
        },
    ])
}

fn bundles(content: &ContentKey) -> Value {
    let mut planner = BundlePlanner::new(content);
    let files = (0..40_u64).map(|number| {
        let (parent, name) = (format!("dir{}", number / 10), format!("file{number:02}"));
        let bytes = if number < 30 { 1000 + number } else { 60_000 };
        let cut = planner.cut_before(parent.as_bytes(), name.as_bytes(), bytes);
        json!({ "parent": parent, "name": name, "bytes": bytes, "cut_before": cut })
    });
    files.collect()
}

fn frames(content: &ContentKey) -> Value {
    let raw = b"a raw frame";
    let zstd = [b'a'; 200];
    assert_eq!(codec::decompress(&ZSTD_FRAME, 200).as_deref(), Ok(&zstd[..]));
    let frame = |plain: &[u8], frame: &[u8]| {
        json!({
            "plain": hex(plain),
            "frame": hex(frame),
            "plain_bytes": plain.len(),
            "chunk_id_data": hex(content.chunk_id(ChunkKind::Data, plain).as_bytes()),
            "slice_digest": hex(content.slice_digest(plain)),
        })
    };
    json!([frame(raw, codec::Frame::raw(raw).as_bytes()), frame(&zstd, &ZSTD_FRAME)])
}

fn page() -> Value {
    let epoch = EpochKey::new(1, [3; 32]);
    let content = ContentKey::derive(&epoch);
    let chunker = Chunker::new(&content);
    json!({
        "epoch_key_1": hex(epoch.expose_secret()),
        "gear_key": hex(content.cut_key("larder 2026 gear table v1")),
        "gear": chunker.gear_table().map(|value| format!("{value:016x}")).to_vec(),
        "cuts": inputs(&chunker),
        "bundle_key": hex(content.cut_key("larder 2026 bundle cut v1")),
        "bundles": bundles(&content),
        "frames": frames(&content),
    })
}

// CHUNK-12
#[test]
fn files_are_cut_and_framed_as_the_vectors_say() {
    vectors::check("chunk", &page());
}

#[test]
#[ignore = "writes specs/vectors/chunk.json"]
fn write_vectors() {
    vectors::write("chunk", &page());
}
