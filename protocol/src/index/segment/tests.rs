//! Tests of `index::segment`.

use proptest::prelude::*;

use super::*;
use crate::{
    ids::{ChunkId, ShardRoot},
    index::{ChunkKind, ShardRef},
};

fn pack(seed: u8, chunks: usize) -> PackRecord {
    let number = |position: usize| u32::try_from(position).unwrap();
    let chunk = |position: usize| {
        let mut id = [seed; 32];
        id[..4].copy_from_slice(&number(position).to_le_bytes());
        ChunkRecord {
            id: ChunkId::from_bytes(id),
            kind: ChunkKind::Data,
            sealed_bytes: 18 + number(position) % 400,
            plain_bytes: 1 + number(position),
        }
    };
    PackRecord {
        shard: ShardRef { root: ShardRoot::from_bytes([seed; 32]), bytes: 32 << 20 },
        class: PackClass::Data,
        epoch: 1,
        salt: [seed; 32],
        chunks: (0..chunks).map(chunk).collect(),
    }
}

// INDEX-1
#[test]
fn segments_round_trip_whatever_the_order_they_were_made_in() {
    let packs = || (0..5).map(|seed| pack(seed, 30));
    let chunks = encode_segments(packs());
    assert_eq!(chunks.len(), 1);
    assert_eq!(encode_segments(packs().rev().chain(packs())), chunks);
    let segment = Segment::decode(&chunks[0]).unwrap();
    assert_eq!(segment.packs, packs().collect::<Vec<_>>());
    assert_eq!(segment.encode(), chunks[0]);
    assert_eq!(encode_segments([]), Vec::<Vec<u8>>::new());
}

// INDEX-2
#[test]
fn many_records_are_split_and_the_longest_record_fits() {
    let packs = || (0..40).map(|seed| pack(seed, 5000)).chain([pack(40, PACK_CHUNKS_MAX)]);
    let chunks = encode_segments(packs());
    assert!(chunks.len() >= 3 && chunks.iter().all(|chunk| chunk.len() <= CHUNK_BYTES_MAX));
    let merged = merge(chunks.iter().map(|chunk| Segment::decode(chunk).unwrap()));
    assert_eq!(merged, packs().collect::<BTreeSet<_>>());
}

// INDEX-3
#[test]
fn locations_follow_each_other_without_gaps() {
    let pack = pack(1, 100);
    let mut end = 80;
    for (position, location) in pack.locations().enumerate() {
        assert_eq!(location.range().start, end);
        assert_eq!(usize::try_from(location.position).unwrap(), position);
        assert!(location.is_plausible());
        end = location.range().end;
    }
    let mut wrong = pack.location(3).unwrap();
    wrong.offset = 79;
    assert!(!wrong.is_plausible());
    wrong.offset = u32::MAX;
    assert!(!wrong.is_plausible());
    assert_eq!(pack.location(100), None);
}

// INDEX-4
#[test]
fn segments_that_describe_no_packs_are_refused() {
    let decode = |packs: Vec<PackRecord>| Segment::decode(&Segment { version: 1, packs }.encode());
    assert!(decode(vec![]).is_ok());
    assert_eq!(decode(vec![pack(2, 1), pack(1, 1)]), Err(IndexError::Order));
    assert_eq!(decode(vec![pack(2, 1), pack(2, 1)]), Err(IndexError::Order));
    assert_eq!(decode(vec![pack(2, 0)]), Err(IndexError::Count(0)));
    let with_bytes = |bytes| {
        let mut pack = pack(1, 2000);
        pack.shard.bytes = bytes;
        decode(vec![pack])
    };
    for bytes in [0, 100, (32 << 20) + 16_384, u64::MAX] {
        assert_eq!(with_bytes(bytes), Err(IndexError::PackLength(bytes)));
    }
    assert!(matches!(with_bytes(16_384), Err(IndexError::Overflow { .. })));
    let newer = Segment { version: 9, packs: vec![] }.encode();
    assert_eq!(Segment::decode(&newer), Err(IndexError::NewerVersion(9)));
}

proptest! {
    // INDEX-5
    #[test]
    fn merging_is_commutative_associative_and_idempotent(
        sets in prop::collection::vec(prop::collection::btree_set(0_u8..12, 0..8), 0..5),
        split in 0_usize..5,
    ) {
        let segment = |seeds: &BTreeSet<u8>| Segment {
            version: 1,
            packs: seeds.iter().map(|seed| pack(*seed, 2)).collect(),
        };
        let all = merge(sets.iter().map(segment));
        prop_assert_eq!(&merge(sets.iter().rev().map(segment)), &all);
        prop_assert_eq!(&merge(sets.iter().chain(&sets).map(segment)), &all);
        let (left, right) = sets.split_at(split.min(sets.len()));
        let join = |part: &[BTreeSet<u8>]| Segment {
            version: 1,
            packs: merge(part.iter().map(segment)).into_iter().collect(),
        };
        prop_assert_eq!(&merge([join(left), join(right)]), &all);
    }

    // INDEX-4
    #[test]
    fn mutated_segments_are_refused_or_are_what_they_say(
        edits in prop::collection::vec(any::<(u16, u8)>(), 1..4),
    ) {
        let mut bytes = encode_segments([pack(1, 3), pack(2, 3)]).remove(0);
        for (at, value) in edits {
            let at = usize::from(at) % bytes.len();
            bytes[at] = value;
        }
        if let Ok(segment) = Segment::decode(&bytes) {
            prop_assert_eq!(segment.encode(), bytes);
        }
    }
}
