//! Tests of `pack::reader`.

use proptest::prelude::*;

use super::*;
use crate::{
    cbor::DecodeError,
    ids::{ChunkId, ShardRoot},
    index::{ChunkKind, IndexError},
    limits::SHARD_BYTES_MAX,
    pack::{PackBuilder, SealedPack},
};

fn keys() -> (EpochKey, ContentKey, VaultId) {
    let first = EpochKey::new(1, [3; 32]);
    let content = ContentKey::derive(&first);
    (first, content, VaultId::from_bytes([9; 32]))
}

fn pack() -> SealedPack {
    let (epoch, content, vault) = keys();
    let mut builder = PackBuilder::new(PackClass::Metadata, &epoch, vault, [5; 32]);
    for (kind, plain) in [
        (ChunkKind::Manifest, &b"manifest"[..]),
        (ChunkKind::Index, b"index"),
        (ChunkKind::Directory, &b"directory ".repeat(100)),
    ] {
        builder.add(&content, kind, plain).unwrap().unwrap();
    }
    builder.finish().unwrap()
}

fn shard(bytes: &[u8]) -> ShardRef {
    let root = ShardRoot::from_bytes(*blake3::hash(bytes).as_bytes());
    ShardRef { root, bytes: u64::try_from(bytes.len()).unwrap() }
}

fn read(bytes: &[u8]) -> Result<PackRecord, PackError> {
    let (epoch, _, vault) = keys();
    PackReader::read_record(bytes, shard(bytes), &epoch, vault)
}

fn part(bytes: &[u8], range: &Range<u64>) -> Vec<u8> {
    bytes[usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap()].to_vec()
}

// PACK-10
#[test]
fn lengths_that_no_pack_has_are_refused_before_anything_is_fetched() {
    for bytes in [0, 1, 16_383, 16_385, SHARD_BYTES_MAX + 1, SHARD_BYTES_MAX * 2, u64::MAX] {
        assert_eq!(trailer_range(bytes), Err(PackError::Length(bytes)));
    }
    assert_eq!(trailer_range(16_384), Ok(16_360..16_384));
    assert_eq!(trailer_range(SHARD_BYTES_MAX), Ok(SHARD_BYTES_MAX - 24..SHARD_BYTES_MAX));
}

// PACK-3, PACK-11
#[test]
fn everything_is_bound_to_key_vault_kind_id_and_position() {
    let (epoch, content, vault) = keys();
    let pack = pack();
    let record = read(&pack.bytes).unwrap();
    let location = record.location(2).unwrap();
    let sealed = part(&pack.bytes, &location.range());
    let open = |location: &Location, epoch: &EpochKey, vault, content: &ContentKey| {
        open_chunk(location, &sealed, epoch, vault, content)
    };
    assert_eq!(open(&location, &epoch, vault, &content), Ok(b"directory ".repeat(100)));
    let broken = Err(PackError::BrokenSeal(Part::Chunk));
    let other_key = EpochKey::new(1, [4; 32]);
    assert_eq!(open(&location, &other_key, vault, &content), broken);
    let other_epoch = EpochKey::new(2, [3; 32]);
    assert_eq!(
        open(&location, &other_epoch, vault, &content),
        Err(PackError::WrongKey { epoch: 2 })
    );
    assert_eq!(open(&location, &epoch, VaultId::from_bytes([8; 32]), &content), broken);
    let with = |change: &dyn Fn(&mut Location)| {
        let mut location = location.clone();
        change(&mut location);
        open(&location, &epoch, vault, &content)
    };
    assert_eq!(with(&|location| location.record.kind = ChunkKind::Snapshot), broken);
    assert_eq!(with(&|location| location.record.id = ChunkId::from_bytes([0; 32])), broken);
    assert_eq!(with(&|location| location.position = 1), broken);
    assert_eq!(with(&|location| location.salt[0] ^= 1), broken);
    assert!(matches!(with(&|at| at.record.plain_bytes += 1), Err(PackError::Codec(_))));
    assert!(matches!(with(&|at| at.record.plain_bytes = u32::MAX), Err(PackError::Codec(_))));
    let other_content = ContentKey::derive(&other_key);
    assert_eq!(open(&location, &epoch, vault, &other_content), Err(PackError::WrongChunk));
}

// PACK-2
#[test]
fn a_wrong_key_is_told_from_damage() {
    let pack = pack();
    let vault = VaultId::from_bytes([9; 32]);
    let other = EpochKey::new(1, [4; 32]);
    let wrong = PackReader::read_record(&pack.bytes, shard(&pack.bytes), &other, vault);
    assert_eq!(wrong, Err(PackError::WrongKey { epoch: 1 }));
    let mut damaged = pack.bytes.clone();
    let last = damaged.len() - 1;
    damaged[last] ^= 1;
    assert_eq!(read(&damaged), Err(PackError::BrokenSeal(Part::Trailer)));
    damaged[last] ^= 1;
    damaged[last - TRAILER_BYTES] ^= 1;
    assert_eq!(read(&damaged), Err(PackError::BrokenSeal(Part::Footer)));
    assert_eq!(read(&pack.bytes[..16_384]).unwrap(), read(&pack.bytes).unwrap());
    assert_eq!(read(&[0; 16_384]), Err(PackError::NotAPack));
}

/// Seals a footer and a trailer as a hostile device of the vault could.
fn forge(footer: &[u8], range: Option<(u32, u32)>) -> Result<PackRecord, PackError> {
    let (epoch, _, vault) = keys();
    let mut bytes = pack().bytes;
    let seal = PackSeal::new(&epoch, vault, &[5; 32]);
    let sealed = seal.seal(nonce(Part::Footer, 0), &seal.part_aad(), footer.to_vec());
    let offset = bytes.len() - TRAILER_BYTES - sealed.len();
    let small = |value| u32::try_from(value).unwrap();
    let (start, length) = range.unwrap_or((small(offset), small(sealed.len())));
    bytes.truncate(offset);
    bytes.extend_from_slice(&sealed);
    let trailer = [start.to_le_bytes(), length.to_le_bytes()].concat();
    bytes.extend(seal.seal(nonce(Part::Trailer, 0), &seal.part_aad(), trailer));
    read(&bytes)
}

// PACK-12
#[test]
fn footers_that_describe_no_pack_are_refused() {
    let record = |kind, sealed_bytes, plain_bytes| ChunkRecord {
        id: ChunkId::from_bytes([1; 32]),
        kind,
        sealed_bytes,
        plain_bytes,
    };
    let with = |class, chunks: Vec<ChunkRecord>| {
        forge(&cbor::encode(&Footer { version: 1, class, chunks }), None)
    };
    let good = record(ChunkKind::Directory, 100, 50);
    assert!(with(PackClass::Metadata, vec![good.clone()]).is_ok());
    let index = |error| Err(PackError::Footer(error));
    assert_eq!(with(PackClass::Metadata, vec![]), index(IndexError::Count(0)));
    assert_eq!(with(PackClass::Data, vec![good.clone()]), index(IndexError::Kind { position: 0 }));
    let data = record(ChunkKind::Data, 100, 50);
    let mixed = vec![good.clone(), data];
    assert_eq!(with(PackClass::Metadata, mixed), index(IndexError::Kind { position: 1 }));
    let lengths = [(17, 1), (4_194_322, 1), (100, 0), (100, 4_194_305), (u32::MAX, 1)];
    for (sealed_bytes, plain_bytes) in lengths {
        let bad = record(ChunkKind::Directory, sealed_bytes, plain_bytes);
        let refused = with(PackClass::Metadata, vec![good.clone(), bad]);
        assert_eq!(refused, index(IndexError::Length { position: 1 }));
    }
    let long = with(PackClass::Metadata, vec![record(ChunkKind::Directory, 17_000, 50)]);
    assert!(matches!(long, Err(PackError::Footer(IndexError::Overflow { bytes: 17_080, .. }))));
    let newer = cbor::encode(&Footer { version: 2, class: PackClass::Data, chunks: vec![] });
    assert_eq!(forge(&newer, None), Err(PackError::NewerVersion(2)));
    assert_eq!(forge(b"\xa0", None), index(IndexError::Decode(DecodeError::Malformed)));
}

// PACK-12
#[test]
fn footers_outside_their_pack_are_refused() {
    let footer = cbor::encode(&Footer { version: 1, class: PackClass::Metadata, chunks: vec![] });
    for range in [(0, 0), (79, 100), (u32::MAX, u32::MAX), (16_360, 0), (80, 16_279), (80, 15)] {
        assert_eq!(forge(&footer, Some(range)), Err(PackError::FooterRange), "{range:?}");
    }
}

proptest! {
    // PACK-13
    #[test]
    fn no_changed_byte_goes_unnoticed_but_in_the_padding(
        at in prop_oneof![0_usize..1000, 0_usize..16_384, 16_000_usize..16_384],
        bit in 0..8_u8,
    ) {
        let pack = pack();
        let good = read(&pack.bytes).unwrap();
        let mut bytes = pack.bytes;
        bytes[at] ^= 1 << bit;
        let (epoch, content, vault) = keys();
        let opens = |location: &Location| {
            let sealed = part(&bytes, &location.range());
            open_chunk(location, &sealed, &epoch, vault, &content).is_ok()
        };
        let intact = read(&bytes)
            .is_ok_and(|record| record.chunks == good.chunks && record.locations().all(|at| opens(&at)));
        let start = good.locations().last().unwrap().range().end;
        let footer = Footer { version: 1, class: good.class, chunks: good.chunks };
        let footer_bytes = cbor::encode(&footer).len() + TAG_BYTES;
        let padding = usize::try_from(start).unwrap()..16_384 - TRAILER_BYTES - footer_bytes;
        prop_assert_eq!(intact, padding.contains(&at));
    }

    #[test]
    fn garbage_is_refused_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let (epoch, _, vault) = keys();
        let reader = PackReader::new(&Header::new(&epoch, [5; 32]), &epoch, vault).unwrap();
        prop_assert!(reader.open_trailer(&bytes, 16_384).is_err());
        prop_assert!(reader.open_footer(&bytes, &(80..16_360)).is_err());
        prop_assert!(read(&bytes).is_err());
    }
}
