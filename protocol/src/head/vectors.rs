//! Vectors of specs/head.md.

use serde_json::{Value, json};

use super::{tests::*, *};
use crate::vectors::{self, hex};

fn described(head: &SignedHead) -> Value {
    let body = head.body();
    json!({
        "head": hex(head.bytes()),
        "hash": hex(head.hash().as_bytes()),
        "device": hex(body.device.as_bytes()),
        "seq": body.seq,
        "prev": body.prev.map(|prev| hex(prev.as_bytes())),
        "commit_root": hex(body.commit.root.as_bytes()),
        "commit_bytes": body.commit.bytes,
        "claims_root": hex(body.claims.root),
        "claims_count": body.claims.count,
    })
}

fn refused(log: &DeviceLog) -> Value {
    let stranger = head(log, 5, 1, None);
    let mut foreign = body(log, 1, 1, None);
    foreign.vault = VaultId::from_bytes([8; 32]);
    let foreign = SignedHead::sign(foreign, &device(1)).unwrap();
    let mut newer = body(log, 1, 1, None);
    newer.version = 2;
    let newer = SignedHead::sign(newer, &device(1)).unwrap();
    let mut forged = head(log, 1, 1, None).bytes().to_vec();
    *forged.last_mut().unwrap() ^= 1;
    let cases = [
        ("no device of the vault", stranger.bytes().to_vec()),
        ("another vault", foreign.bytes().to_vec()),
        ("newer version", newer.bytes().to_vec()),
        ("signature wrong", forged),
    ];
    json!(cases.map(|(why, bytes)| {
        let refusal = SignedHead::decode(&bytes).and_then(|head| head.verify(log)).unwrap_err();
        json!({ "why": why, "head": hex(bytes), "this_code_says": refusal.to_string() })
    }))
}

fn page() -> Value {
    let log = vault();
    let chain = chain(&log, 1, 3);
    let mut with_seen = body(&log, 2, 1, None);
    with_seen.seen = vec![chain[2].seen()];
    let witness = SignedHead::sign(with_seen, &device(2)).unwrap();
    let clone = twin(&log, 1, 3, Some(&chain[1]));
    let roots: [[u8; 32]; 3] = [[3; 32], [1; 32], [2; 32]];
    let claims =
        Claims::of(roots.map(|root| ShardRef { root: ShardRoot::from_bytes(root), bytes: 16_384 }));
    json!({
        "spec": "specs/head.md",
        "log": log.entries().map(hex).collect::<Vec<_>>(),
        "heads": chain.iter().chain([&witness]).map(described).collect::<Vec<_>>(),
        "forked_with_the_third": described(&clone),
        "claims": {
            "roots": roots.map(hex),
            "root": hex(claims.root),
            "count": claims.count,
        },
        "refused": refused(&log),
    })
}

// HEAD-10, VERSIONS-2
#[test]
fn heads_are_read_as_the_vectors_say() {
    vectors::check("head", &page());
}

#[test]
#[ignore = "writes specs/vectors/head.json"]
fn write_vectors() {
    vectors::write("head", &page());
}
