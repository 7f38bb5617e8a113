//! The bytes of a download, as specs/network.md promises them.

use std::{fs, path::PathBuf, time::Duration};

use data_encoding::HEXLOWER;
use serde_json::{Value, json};

use super::world::{Node, bare};
use crate::net::Protocol;

fn path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../specs/vectors/network.json")
}

/// Byte `i` of the shard is `i * 31 mod 251`, as in the vectors of the depot.
fn sample() -> Vec<u8> {
    (0..100_000_u64).map(|i| (i * 31 % 251) as u8).collect()
}

/// Requests written out by hand from the spec: everything, two groups, the last group.
fn requests(root: &[u8; 32]) -> Vec<(&'static str, Vec<u8>)> {
    let with = |spec: &[u8]| [&[0], &root[..], &[2, 0], spec, &[1, 0]].concat();
    vec![
        ("everything", with(&[1, 0])),
        ("bytes 16384 to 49152", with(&[2, 16, 32])),
        ("the first group and the last", with(&[4, 0, 16, 80, 18])),
    ]
}

async fn vectors() -> Value {
    let (source, holder) = (Node::start(1).await, Node::start(2).await);
    let shard = holder.keep(&sample());
    let connection = bare(&source, &holder, Protocol::Shards).await;
    let mut downloads = Vec::new();
    for (what, request) in requests(shard.root.as_bytes()) {
        let (mut send, mut recv) = connection.open_bi().await.unwrap();
        send.write_all(&request).await.unwrap();
        send.finish().unwrap();
        let answer = tokio::time::timeout(Duration::from_secs(20), recv.read_to_end(200_000));
        let answer = answer.await.unwrap().unwrap();
        downloads.push(json!({
            "what": what,
            "request": HEXLOWER.encode(&request),
            "answer_bytes": answer.len(),
            "answer_start": HEXLOWER.encode(&answer[..200]),
            "answer_blake3": blake3::hash(&answer).to_hex().to_string(),
        }));
    }
    json!({
        "sample": "byte i of the shard is i * 31 mod 251, for 100000 bytes",
        "root": shard.root.to_string(),
        "downloads": downloads,
    })
}

/// NET-13
#[tokio::test(flavor = "multi_thread")]
async fn vectors_of_downloads_hold() {
    let written: Value = serde_json::from_slice(&fs::read(path()).unwrap()).unwrap();
    assert_eq!(written, vectors().await);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "writes specs/vectors/network.json"]
async fn write_vectors() {
    let text = serde_json::to_string_pretty(&vectors().await).unwrap();
    fs::write(path(), text + "\n").unwrap();
}
