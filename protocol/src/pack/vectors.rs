//! Vectors of specs/pack.md and specs/index.md.

use serde_json::{Value, json};

use super::{PackBuilder, PackReader, SealedPack, Verifier, reader};
use crate::{
    chunk::{codec::Frame, vectors::ZSTD_FRAME},
    ids::{ShardRoot, VaultId},
    index::{ChunkKind, PackClass, ShardRef, encode_segments},
    keys::epoch::{ContentKey, EpochKey},
    vectors::{self, hex},
};

struct Keys {
    epoch: EpochKey,
    content: ContentKey,
    vault: VaultId,
    salt: [u8; 32],
}

fn keys() -> Keys {
    let content = ContentKey::derive(&EpochKey::new(1, [3; 32]));
    // Another epoch than the first: the content key comes from the first all the same.
    let epoch = EpochKey::new(2, [4; 32]);
    Keys { epoch, content, vault: VaultId::from_bytes([9; 32]), salt: [5; 32] }
}

fn build(keys: &Keys, class: PackClass, chunks: &[(ChunkKind, &[u8], Frame)]) -> SealedPack {
    let mut builder = PackBuilder::new(class, &keys.epoch, keys.vault, keys.salt);
    for (kind, plain, frame) in chunks {
        let id = keys.content.chunk_id(*kind, plain);
        let slot = builder.reserve(id, *kind, plain.len(), frame.len()).unwrap().unwrap();
        let sealed = slot.seal(frame.clone(), plain, &mut Verifier::new()).unwrap();
        builder.place(&slot, &sealed).unwrap();
    }
    builder.finish().unwrap()
}

fn describe(keys: &Keys, pack: &SealedPack, plains: &[&[u8]]) -> Value {
    let root = ShardRoot::from_bytes(*blake3::hash(&pack.bytes).as_bytes());
    let shard = ShardRef { root, bytes: u64::try_from(pack.bytes.len()).unwrap() };
    let record = PackReader::read_record(&pack.bytes, shard, &keys.epoch, keys.vault).unwrap();
    assert_eq!(record, pack.record(shard));
    let chunks: Vec<Value> = record
        .locations()
        .zip(plains)
        .map(|(location, plain)| {
            let start = usize::try_from(location.offset).unwrap();
            let end = usize::try_from(location.range().end).unwrap();
            let sealed = &pack.bytes[start..end];
            let epoch = &keys.epoch;
            let opened =
                reader::open_chunk(&location, sealed, epoch, keys.vault, &keys.content).unwrap();
            assert_eq!(&opened, plain);
            json!({
                "id": hex(location.record.id.as_bytes()),
                "kind": format!("{:?}", location.record.kind),
                "position": location.position,
                "offset": location.offset,
                "sealed_bytes": location.record.sealed_bytes,
                "plain_bytes": location.record.plain_bytes,
                "plain": hex(plain),
            })
        })
        .collect();
    let segments = encode_segments([record]);
    json!({
        "class": format!("{:?}", pack.class),
        "epoch": pack.epoch,
        "root": hex(root.as_bytes()),
        "bytes": shard.bytes,
        "chunks": chunks,
        "index_segment": hex(&segments[0]),
        "pack": hex(&pack.bytes),
    })
}

fn page() -> Value {
    let keys = keys();
    let (run, text) = ([b'a'; 200], b"a raw frame");
    let data = [
        (ChunkKind::Data, &text[..], Frame::raw(text)),
        (ChunkKind::Data, &run[..], Frame::from_bytes(&ZSTD_FRAME)),
    ];
    let directory = [0x83, 0x01, 0x00, 0x80];
    let metadata = [(ChunkKind::Directory, &directory[..], Frame::raw(&directory))];
    let first = build(&keys, PackClass::Data, &data);
    let second = build(&Keys { salt: [6; 32], ..keys }, PackClass::Metadata, &metadata);
    let keys = self::keys();
    let lengths: [u64; 7] = [1, 16_384, 16_385, 1_000_000, 1_048_577, 5_000_000, 33_000_000];
    let padded = lengths.map(|bytes| [bytes, super::padded_bytes(bytes)]);
    json!({
        "epoch_key_1": hex([3; 32]),
        "epoch_key_2": hex([4; 32]),
        "vault": hex(keys.vault.as_bytes()),
        "packs": [
            describe(&keys, &first, &[text, &run]),
            describe(&keys, &second, &[&directory]),
        ],
        "padded_lengths": padded.to_vec(),
    })
}

// PACK-14, INDEX-6
#[test]
fn packs_are_sealed_as_the_vectors_say() {
    vectors::check("pack", &page());
}

#[test]
#[ignore = "writes specs/vectors/pack.json"]
fn write_vectors() {
    vectors::write("pack", &page());
}
