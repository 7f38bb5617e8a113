//! Tests of `manifest`.

use proptest::prelude::*;

use super::*;
use crate::{
    ids::{ShardRoot, VaultId},
    index::{ChunkRecord, PackClass, PackRecord},
};

fn shard(seed: u8) -> ShardRef {
    ShardRef { root: ShardRoot::from_bytes([seed; 32]), bytes: 16_384 }
}

fn chunk(kind: ChunkKind) -> ChunkRecord {
    ChunkRecord { id: ChunkId::from_bytes([1; 32]), kind, sealed_bytes: 100, plain_bytes: 50 }
}

fn segment(seeds: &[u8]) -> Segment {
    let pack = |seed: &u8| PackRecord {
        shard: shard(*seed),
        class: PackClass::Data,
        epoch: 1,
        salt: [0; 32],
        chunks: vec![chunk(ChunkKind::Data)],
    };
    Segment { version: 1, packs: seeds.iter().map(pack).collect() }
}

pub(crate) fn sample() -> Manifest {
    let device = DeviceId::from_bytes([7; 32]);
    let location = Location {
        shard: shard(50),
        epoch: 1,
        salt: [0; 32],
        position: 1,
        offset: 180,
        record: chunk(ChunkKind::Index),
    };
    let summary = |seed: u8| SnapshotSummary {
        id: ChunkId::from_bytes([seed; 32]),
        device,
        root_path: ByteVec::from(b"/home/ada".to_vec()),
        started: Timestamp(u64::from(seed)),
        files: 1,
        bytes: 2,
        complete: seed != 1,
        tags: vec![],
    };
    Manifest {
        snapshots: vec![summary(1), summary(2)],
        segments: vec![location],
        peers: vec![PeerRecord {
            device,
            vault: VaultId::from_bytes([8; 32]),
            name: "nas".into(),
            addresses: vec!["192.0.2.7:4711".into()],
            site: "home".into(),
        }],
        forgotten: vec![ChunkId::from_bytes([1; 32])],
        ..Manifest::new(device, 5)
    }
}

// MANIFEST-1
#[test]
fn manifests_round_trip_and_hide_what_is_forgotten() {
    let manifest = sample();
    assert_eq!(Manifest::decode(&manifest.encode()), Ok(manifest.clone()));
    let live: Vec<u64> = manifest.live_snapshots().map(|snapshot| snapshot.started.0).collect();
    assert_eq!(live, [2]);
    let empty = Manifest::new(manifest.device, 1);
    assert_eq!(Manifest::decode(&empty.encode()), Ok(empty));
}

// MANIFEST-5
#[test]
fn a_manifest_is_believed_only_of_its_own_device() {
    let manifest = sample();
    let (device, other) = (manifest.device, DeviceId::from_bytes([6; 32]));
    assert_eq!(manifest.check_author(device, 5), Ok(()));
    assert_eq!(manifest.check_author(device, 4), Err(ManifestError::Author), "an older one");
    assert_eq!(manifest.check_author(other, 5), Err(ManifestError::Author), "of somebody else");
    let mut foreign = sample();
    foreign.snapshots[1].device = other;
    assert_eq!(foreign.check_author(device, 5), Err(ManifestError::Author));
}

// MANIFEST-6
#[test]
fn small_segments_are_merged_when_there_are_too_many() {
    let mut manifest = sample();
    let segment = |plain_bytes| {
        let mut location = sample().segments[0].clone();
        location.record.plain_bytes = plain_bytes;
        location
    };
    manifest.segments = vec![segment(50); SEGMENTS_SMALL_MAX];
    manifest.segments.extend(vec![segment(SEGMENT_BYTES_SMALL); 100]);
    assert_eq!(manifest.segments_to_merge(), []);
    manifest.segments.push(segment(SEGMENT_BYTES_SMALL - 1));
    let merged = manifest.segments_to_merge();
    assert_eq!(merged.len(), SEGMENTS_SMALL_MAX + 1, "and none of the long ones");
}

// MANIFEST-7
#[test]
fn what_is_forgotten_leaves_no_trace() {
    let mut manifest = sample();
    manifest.forget(&[]);
    let ids = |manifest: &Manifest| -> Vec<u8> {
        manifest.snapshots.iter().map(|one| one.id.as_bytes()[0]).collect()
    };
    assert_eq!(ids(&manifest), [2], "the mark of an earlier version");
    assert_eq!(manifest.forgotten, []);
    manifest.forget(&[ChunkId::from_bytes([2; 32])]);
    assert!(ids(&manifest).is_empty());
}

// MANIFEST-2
#[test]
fn claims_are_every_pack_once_in_order() {
    let claims = sample().claims([&segment(&[9, 3]), &segment(&[3, 50, 60])], shard(4));
    assert_eq!(claims, [3, 4, 9, 50, 60].map(shard));
}

// MANIFEST-3
#[test]
fn impossible_manifests_are_refused() {
    let with = |change: &dyn Fn(&mut Manifest)| {
        let mut manifest = sample();
        change(&mut manifest);
        Manifest::decode(&manifest.encode())
    };
    assert_eq!(with(&|it| it.version = 2), Err(ManifestError::NewerVersion(2)));
    let segment = Err(ManifestError::Segment);
    assert_eq!(with(&|it| it.segments[0].record.kind = ChunkKind::Data), segment);
    assert_eq!(with(&|it| it.segments[0].offset = u32::MAX), segment);
    assert_eq!(with(&|it| it.segments[0].shard.bytes = u64::MAX), segment);
    assert_eq!(with(&|it| it.forgotten.push(it.forgotten[0])), Err(ManifestError::Order));
    assert_eq!(with(&|it| it.peers[0].name = "a\nb".into()), Err(ManifestError::Peer));
    let path = with(&|it| it.snapshots[1].root_path = ByteVec::from(vec![0]));
    assert_eq!(path, Err(ManifestError::Path));
}

proptest! {
    #[test]
    fn mutated_manifests_are_refused_or_are_what_they_say(
        edits in prop::collection::vec(any::<(u16, u8)>(), 1..4),
    ) {
        let mut bytes = sample().encode();
        for (at, value) in edits {
            let at = usize::from(at) % bytes.len();
            bytes[at] = value;
        }
        if let Ok(manifest) = Manifest::decode(&bytes) {
            prop_assert_eq!(manifest.encode(), bytes);
        }
    }
}
