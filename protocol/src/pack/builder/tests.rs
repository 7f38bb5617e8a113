//! Tests of `pack::builder`.

use super::*;
use crate::{chunk::codec::Compressor, ids::ShardRoot, pack::PackReader, pack::reader};

fn keys() -> (EpochKey, ContentKey, VaultId) {
    let first = EpochKey::new(1, [3; 32]);
    let content = ContentKey::derive(&first);
    (first, content, VaultId::from_bytes([9; 32]))
}

fn builder(class: PackClass) -> PackBuilder {
    let (epoch, _, vault) = keys();
    PackBuilder::new(class, &epoch, vault, [5; 32])
}

fn noise(seed: u8, bytes: usize) -> Vec<u8> {
    let mut buffer = vec![0; bytes];
    blake3::Hasher::new_keyed(&[seed; 32]).finalize_xof().fill(&mut buffer);
    buffer
}

fn shard(pack: &SealedPack) -> ShardRef {
    let root = ShardRoot::from_bytes(*blake3::hash(&pack.bytes).as_bytes());
    ShardRef { root, bytes: u64::from(small(pack.bytes.len())) }
}

// PACK-8
#[test]
fn chunks_sealed_in_any_order_read_back_from_footer_and_from_locations() {
    let (epoch, content, vault) = keys();
    let mut builder = builder(PackClass::Data);
    let mut compressor = Compressor::new(3);
    let plains: Vec<Vec<u8>> =
        (0..40).map(|seed| noise(seed, 1 + 700 * usize::from(seed))).collect();
    let mut slots = Vec::new();
    for plain in &plains {
        let frame = compressor.compress(plain);
        let id = content.chunk_id(ChunkKind::Data, plain);
        let slot = builder.reserve(id, ChunkKind::Data, plain.len(), frame.len());
        slots.push((slot.unwrap().unwrap(), frame, plain));
    }
    let mut verifier = Verifier::new();
    for (slot, frame, plain) in slots.into_iter().rev() {
        let sealed = slot.seal(frame, plain, &mut verifier).unwrap();
        builder.place(&slot, &sealed).unwrap();
    }
    let expected = builder.bytes();
    let pack = builder.finish().unwrap();
    assert!(pack.bytes.len() >= expected - 40 * RECORD_BYTES_MAX);
    let record = pack.record(shard(&pack));
    assert_eq!(
        PackReader::read_record(&pack.bytes, record.shard, &epoch, vault),
        Ok(record.clone())
    );
    for (location, plain) in record.locations().zip(&plains) {
        let range = location.range();
        let range = usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap();
        let opened = reader::open_chunk(&location, &pack.bytes[range], &epoch, vault, &content);
        assert_eq!(opened.as_ref(), Ok(plain));
    }
    assert_eq!(record.locations().count(), plains.len());
    assert_eq!(record.location(7), record.locations().nth(7));
}

// PACK-7
#[test]
fn a_full_pack_refuses_and_an_empty_one_takes_anything() {
    let (_, content, _) = keys();
    let plain = noise(1, CHUNK_BYTES_MAX);
    let id = content.chunk_id(ChunkKind::Directory, &plain);
    let mut metadata = builder(PackClass::Metadata);
    let frame_len = CHUNK_BYTES_MAX + 1;
    let slot = metadata.reserve(id, ChunkKind::Directory, CHUNK_BYTES_MAX, frame_len);
    assert!(slot.unwrap().is_some());
    assert_eq!(metadata.reserve(id, ChunkKind::Directory, 10, 11).unwrap().map(drop), None);
    let mut data = builder(PackClass::Data);
    let mut count = 0;
    while data.reserve(id, ChunkKind::Data, 1 << 20, (1 << 20) + 1).unwrap().is_some() {
        count += 1;
    }
    assert_eq!(count, 31);
    let bytes = u64::from(small(data.bytes()));
    assert!(padded_bytes(bytes) <= u64::from(small(DATA_PACK_BYTES)));
}

// PACK-7
#[test]
fn no_pack_has_more_chunks_than_the_limit() {
    let (_, content, _) = keys();
    let id = content.chunk_id(ChunkKind::Data, b"x");
    let mut data = builder(PackClass::Data);
    for _ in 0..PACK_CHUNKS_MAX {
        assert!(data.reserve(id, ChunkKind::Data, 1, 2).unwrap().is_some());
    }
    assert!(data.reserve(id, ChunkKind::Data, 1, 2).unwrap().is_none());
}

// PACK-9
#[test]
fn what_does_not_open_to_its_plaintext_is_never_stored() {
    let (_, content, _) = keys();
    let (plain, other) = (noise(1, 5000), noise(2, 5000));
    let mut builder = builder(PackClass::Data);
    let frame = compress(&other, 3);
    let id = content.chunk_id(ChunkKind::Data, &plain);
    let slot = builder.reserve(id, ChunkKind::Data, plain.len(), frame.len()).unwrap().unwrap();
    let mut verifier = Verifier::new();
    let wrong = slot.seal(frame, &plain, &mut verifier);
    assert_eq!(wrong, Err(BuildError::Verify(None)));
    let slot = builder.reserve(id, ChunkKind::Data, 4999, 5001).unwrap().unwrap();
    let wrong = slot.seal(compress(&plain, 3), &plain, &mut verifier);
    assert!(matches!(wrong, Err(BuildError::Verify(Some(PackError::Codec(_))))));
}

#[test]
fn misuse_is_refused() {
    let (epoch, content, vault) = keys();
    let plain = noise(1, 300);
    let id = content.chunk_id(ChunkKind::Data, &plain);
    let mut data = builder(PackClass::Data);
    assert_eq!(
        builder(PackClass::Data).finish(),
        Err(BuildError::Unfinished { open: 0, chunks: 0 })
    );
    let wrong = [
        (ChunkKind::Directory, 300, 301),
        (ChunkKind::Data, 0, 1),
        (ChunkKind::Data, CHUNK_BYTES_MAX + 1, 500),
        (ChunkKind::Data, 300, CHUNK_BYTES_MAX + 2),
    ];
    for (kind, plain_bytes, frame_len) in wrong {
        let refused = data.reserve(id, kind, plain_bytes, frame_len).err();
        assert_eq!(refused, Some(BuildError::Chunk));
    }
    let slot = data.reserve(id, ChunkKind::Data, 300, 301).unwrap().unwrap();
    let length = |given| BuildError::Length { reserved: 317, given };
    let too_short = Frame::raw(&plain[1..]);
    assert_eq!(slot.seal(too_short, &plain, &mut Verifier::new()), Err(length(316)));
    let sealed = slot.seal(Frame::raw(&plain), &plain, &mut Verifier::new()).unwrap();
    assert_eq!(data.place(&slot, &sealed[1..]), Err(length(316)));
    let mut other = PackBuilder::new(PackClass::Data, &epoch, vault, [6; 32]);
    other.reserve(id, ChunkKind::Data, 300, 301).unwrap().unwrap();
    assert_eq!(other.place(&slot, &sealed), Err(BuildError::Slot));
    assert_eq!(other.finish(), Err(BuildError::Unfinished { open: 1, chunks: 1 }));
    assert_eq!(data.place(&slot, &sealed), Ok(()));
    assert_eq!(data.place(&slot, &sealed), Err(BuildError::Slot));
}

// PACK-4, PACK-5
#[test]
fn equal_chunks_are_sealed_differently_in_every_place() {
    let (_, content, _) = keys();
    let mut metadata = builder(PackClass::Metadata);
    for _ in 0..2 {
        metadata.add(&content, ChunkKind::Directory, b"same").unwrap().unwrap();
    }
    let pack = metadata.finish().unwrap();
    let sealed: Vec<&[u8]> = pack.bytes[80..].chunks(21).take(2).collect();
    assert_ne!(sealed[0], sealed[1]);
    assert!(!pack.bytes.windows(4).any(|window| window == b"same"));
}
