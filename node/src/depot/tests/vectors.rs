//! The bytes that specs/depot.md promises to readers in other languages.

use std::{fs, path::PathBuf};

use data_encoding::HEXLOWER;
use larder_protocol::{ids::VaultId, index::PackClass, time::Timestamp};
use serde_json::{Value, json};

use crate::depot::{Origin, ShardHasher, ShardRow, ShardState};

fn path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../specs/vectors/depot.json")
}

/// Byte `i` of every sample is `i * 31 mod 251`.
fn sample(length: u64) -> Vec<u8> {
    (0..length).map(|i| (i * 31 % 251) as u8).collect()
}

fn rows() -> Vec<ShardRow> {
    let row = |class, origin, state, number: u64| ShardRow {
        bytes: 16_384 * number,
        class,
        vault: VaultId::from_bytes([0xaa; 32]),
        origin,
        stored: Timestamp(1_790_000_000),
        keep_until: Timestamp(1_790_000_000 + number),
        state,
        unclaimed: (number == 7).then_some(Timestamp(1_780_000_000)),
    };
    vec![
        row(PackClass::Data, Origin::Own, ShardState::Ok, 1),
        row(PackClass::Metadata, Origin::Held, ShardState::Missing, 2),
        row(PackClass::Data, Origin::Held, ShardState::Corrupt, 4096),
        row(PackClass::Data, Origin::Held, ShardState::Ok, 7),
    ]
}

fn vectors() -> Value {
    let lengths = [1, 1024, 16_384, 16_385, 49_152, 100_000, 1_048_576];
    let shards = lengths.map(|length| {
        let mut hasher = ShardHasher::new();
        hasher.update(&sample(length));
        let (shard, outboard) = hasher.finish();
        json!({
            "bytes": length,
            "root": shard.root.to_string(),
            "outboard_bytes": outboard.len(),
            "outboard": if outboard.len() <= 512 { HEXLOWER.encode(&outboard) } else { String::new() },
            "outboard_blake3": blake3::hash(&outboard).to_hex().to_string(),
        })
    });
    let rows = rows().into_iter().map(|row| {
        json!({
            "bytes": row.bytes,
            "class": u8::from(row.class == PackClass::Metadata),
            "origin": u8::from(row.origin == Origin::Held),
            "stored": row.stored.0,
            "keep_until": row.keep_until.0,
            "state": row.state as u8,
            "value": HEXLOWER.encode(&row.encode()),
        })
    });
    json!({
        "sample": "byte i of every shard is i * 31 mod 251; long outboards are given by their BLAKE3",
        "shards": shards,
        "rows": rows.collect::<Vec<_>>(),
    })
}

#[test]
fn vectors_of_the_depot_hold() {
    let written: Value = serde_json::from_slice(&fs::read(path()).unwrap()).unwrap();
    assert_eq!(written, vectors());
    for (row, value) in rows().iter().zip(written["rows"].as_array().unwrap()) {
        let value = HEXLOWER.decode(value["value"].as_str().unwrap().as_bytes()).unwrap();
        let mut key = [0; 64];
        key[32..].copy_from_slice(row.vault.as_bytes());
        assert_eq!(&ShardRow::decode(&key, &value).unwrap().1, row);
        for cut in 0..value.len() {
            assert!(ShardRow::decode(&key, &value[..cut]).is_err());
        }
    }
}

#[test]
#[ignore = "writes specs/vectors/depot.json"]
fn write_vectors() {
    let text = serde_json::to_string_pretty(&vectors()).unwrap();
    fs::write(path(), text + "\n").unwrap();
}
