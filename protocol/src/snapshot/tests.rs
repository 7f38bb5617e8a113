//! Tests of `snapshot`.

use proptest::prelude::*;

use super::*;
use crate::tree::entry::{Attributes, FileTime, Kind};

pub(crate) fn sample() -> Snapshot {
    let attributes = Attributes {
        mode: 0o755,
        uid: 0,
        gid: 0,
        modified: FileTime { seconds: 1_700_000_000, nanoseconds: 1 },
        identity: None,
        links: 2,
        xattrs: None,
    };
    let node = ChunkId::from_bytes([1; 32]);
    let name = ByteVec::from(b"docs".to_vec());
    Snapshot {
        version: VERSION,
        device: DeviceId::from_bytes([2; 32]),
        root_path: ByteVec::from(b"/home/ada/docs".to_vec()),
        root: Entry { name, kind: Kind::Directory { node }, attributes },
        started: Timestamp(1_800_000_000),
        finished: Timestamp(1_800_000_060),
        files: 3,
        directories: 2,
        other: 1,
        bytes: 12_345,
        unreadable: 0,
        complete: true,
        parent: None,
        tags: vec!["first".into()],
        program: "larder 0.1.0".into(),
    }
}

// SNAPSHOT-1
#[test]
fn snapshots_round_trip_also_of_a_root_without_name() {
    let mut snapshot = sample();
    assert_eq!(Snapshot::decode(&snapshot.encode()), Ok(snapshot.clone()));
    snapshot.root.name = ByteVec::from(Vec::new());
    snapshot.root_path = ByteVec::from(b"/".to_vec());
    snapshot.parent = Some(ChunkId::from_bytes([3; 32]));
    assert_eq!(Snapshot::decode(&snapshot.encode()), Ok(snapshot));
}

// SNAPSHOT-2
#[test]
fn impossible_snapshots_are_refused() {
    let with = |change: &dyn Fn(&mut Snapshot)| {
        let mut snapshot = sample();
        change(&mut snapshot);
        Snapshot::decode(&snapshot.encode())
    };
    assert_eq!(with(&|it| it.version = 2), Err(SnapshotError::NewerVersion(2)));
    let name = |name: &str| ByteVec::from(name.as_bytes().to_vec());
    for bad in ["..", ".", "a/b", "/"] {
        let refused = with(&|it| it.root.name = name(bad));
        assert_eq!(refused, Err(SnapshotError::Root(EntryError::Name)));
    }
    let mode = with(&|it| it.root.attributes.mode = 0o70_000);
    assert_eq!(mode, Err(SnapshotError::Root(EntryError::Attributes)));
    assert_eq!(with(&|it| it.root_path = name("a\0")), Err(SnapshotError::Path));
    let long = "x".repeat(PATH_BYTES_MAX + 1);
    assert_eq!(with(&|it| it.root_path = name(&long)), Err(SnapshotError::Path));
}

proptest! {
    #[test]
    fn mutated_snapshots_are_refused_or_are_what_they_say(
        edits in prop::collection::vec(any::<(u16, u8)>(), 1..4),
    ) {
        let mut bytes = sample().encode();
        for (at, value) in edits {
            let at = usize::from(at) % bytes.len();
            bytes[at] = value;
        }
        if let Ok(snapshot) = Snapshot::decode(&bytes) {
            prop_assert_eq!(snapshot.encode(), bytes);
        }
    }
}
