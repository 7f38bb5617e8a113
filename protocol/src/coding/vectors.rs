//! Vectors of specs/coding.md.

use serde_json::{Value, json};

use super::*;
use crate::{
    ids::ShardRoot,
    vectors::{self, hex},
};

/// Made by a rule that stands in the page, so that it need not: byte `j` is `j * j / 7 + j` modulo 251.
fn pack(bytes: u64) -> Vec<u8> {
    (0..bytes).map(|j| u8::try_from((j * j / 7 + j) % 251).unwrap()).collect()
}

fn root(bytes: &[u8]) -> ShardRoot {
    ShardRoot::from_bytes(*blake3::hash(bytes).as_bytes())
}

/// A code and what it makes of a pack: short shards whole, of long ones the root.
fn coded(k: u8, n: u8, pack_bytes: u64) -> Value {
    let pack = pack(pack_bytes);
    let coding = Coding::new(k, n).unwrap();
    let shards = coding.encode(&pack).unwrap();
    let roots: Vec<ShardRoot> = shards.iter().map(|shard| root(shard)).collect();
    let record = CodedPack::new(k, pack_bytes, roots.clone()).unwrap();
    let whole: Vec<String> = shards.iter().filter(|shard| shard.len() <= 64).map(hex).collect();
    json!({
        "k": k,
        "n": n,
        "pack_bytes": pack_bytes,
        "pack_root": hex(root(&pack).as_bytes()),
        "shard_bytes": coding.layout(pack_bytes).unwrap().shard_bytes(),
        "roots": roots.iter().map(|root| hex(root.as_bytes())).collect::<Vec<_>>(),
        "shards": whole,
        "record": hex(record.encode()),
    })
}

/// Records that are refused, each with the reason.
fn refused() -> Value {
    let good =
        CodedPack::new(2, 100_000, vec![root(b"a"), root(b"b"), root(b"c")]).unwrap().encode();
    let with = |at: usize, byte: u8| {
        let mut bytes = good.clone();
        bytes[at] = byte;
        bytes
    };
    let copies = CodedPack::new(1, 5, vec![root(b"a"); 2]).unwrap().encode();
    let mut different = copies;
    *different.last_mut().unwrap() ^= 1;
    let cases = [
        ("a newer version", with(2, 2)),
        ("no data shards", with(4, 0)),
        ("more data shards than shards", with(4, 4)),
        ("copies that differ", different),
        ("a byte after it", [&good[..], &[0]].concat()),
        ("a pack longer than any", [&good[..5], &[2, 0x1a, 5, 0, 0, 0], &good[11..]].concat()),
        ("an empty pack", [&good[..5], &[2, 0], &good[11..]].concat()),
    ];
    let row = |(why, record): &(&str, Vec<u8>)| {
        assert!(CodedPack::decode(record).is_err(), "{why}");
        json!({ "why": why, "record": hex(record) })
    };
    cases.iter().map(row).collect()
}

fn page() -> Value {
    let product = |(a, b): (u8, u8)| json!([a, b, field::multiply(a, b)]);
    let row = |(k, i): (u8, u8)| {
        let factors = field::row(k, ShardNumber::try_from(i).unwrap());
        json!({ "k": k, "shard": i, "factors": factors })
    };
    let codes = [
        (1, 3, 20),
        (2, 6, 1),
        (2, 4, 33),
        (3, 6, 64),
        (5, 9, 60),
        (2, 6, 65_536),
        (3, 6, 163_840),
        (4, 8, 70_001),
        (4, 12, 262_144),
        (32, 64, 589_824),
    ];
    let products = [(2, 0x80), (0x53, 0xca), (0xff, 0xff), (0x1d, 0x8e)].map(product);
    let rows = [(1, 9), (2, 2), (2, 63), (3, 1), (4, 4), (4, 7), (5, 9)].map(row);
    json!({
        "products": products.to_vec(),
        "rows": rows.to_vec(),
        "codes": codes.iter().map(|(k, n, bytes)| coded(*k, *n, *bytes)).collect::<Vec<_>>(),
        "refused_records": refused(),
    })
}

// CODE-13
#[test]
fn packs_are_coded_as_the_vectors_say() {
    vectors::check("coding", &page());
}

#[test]
#[ignore = "writes specs/vectors/coding.json"]
fn write_vectors() {
    vectors::write("coding", &page());
}
