//! Tests of `tree::node`.

use minicbor::bytes::ByteVec;
use proptest::prelude::*;

use super::*;
use crate::tree::{
    entry::{Content, DeviceNumber, Identity, Kind, Xattr},
    sample::{attributes, fifo},
};

fn entries() -> Vec<Entry> {
    let bytes = |text: &str| ByteVec::from(text.as_bytes().to_vec());
    let id = ChunkId::from_bytes([7; 32]);
    let slice = Extent::Slice { chunk: id, offset: 5, bytes: 300, digest: [4; 16] };
    let device = DeviceNumber { major: 8, minor: 1 };
    let kinds = [
        Kind::File { bytes: 0, content: Content::Inline(vec![]) },
        Kind::File { bytes: 300, content: Content::Inline(vec![slice]) },
        Kind::File { bytes: 1 << 40, content: Content::Listed(id) },
        Kind::Directory { node: id },
        Kind::Symlink { target: bytes("../elsewhere") },
        Kind::Fifo,
        Kind::Socket,
        Kind::CharDevice { device },
        Kind::BlockDevice { device },
    ];
    let mut entries: Vec<Entry> = (0..)
        .zip(kinds)
        .map(|(number, kind): (u8, Kind)| Entry { kind, ..fifo(&format!("{number}")) })
        .collect();
    entries[0].attributes.identity = Some(Identity([1; 16]));
    entries[1].attributes.modified.seconds = -1;
    let xattr = |name, value| Xattr { name: bytes(name), value: bytes(value) };
    entries[2].attributes.xattrs = Some(vec![xattr("user.a", ""), xattr("user.b", "x")]);
    entries
}

// TREE-1
#[test]
fn nodes_round_trip_and_the_buffer_writes_the_same_bytes() {
    let leaf = DirectoryNode::Leaf(entries());
    assert_eq!(DirectoryNode::decode(&leaf.encode()), Ok(leaf.clone()));
    let mut buffer = NodeBuffer::default();
    for entry in entries() {
        buffer.push(&cbor::encode(&entry));
    }
    assert_eq!(buffer.take(0), leaf.encode());
    assert!(buffer.is_empty());
    let child =
        NamedChild { first: ByteVec::from(b"x".to_vec()), chunk: ChunkId::from_bytes([1; 32]) };
    let inner = DirectoryNode::Inner { level: 3, children: vec![child] };
    assert_eq!(DirectoryNode::decode(&inner.encode()), Ok(inner));
    let extents = ExtentNode::Leaf(vec![Extent::Hole { bytes: 9 }]);
    assert_eq!(ExtentNode::decode(&extents.encode()), Ok(extents));
}

// TREE-2
#[test]
fn other_versions_and_levels_are_refused() {
    let mut bytes = DirectoryNode::Leaf(vec![]).encode();
    assert_eq!(bytes, [0x83, 1, 0, 0x80]);
    bytes[1] = 2;
    assert_eq!(DirectoryNode::decode(&bytes), Err(NodeError::NewerVersion(2)));
    assert_eq!(ExtentNode::decode(&bytes), Err(NodeError::NewerVersion(2)));
    bytes[1] = 1;
    bytes[2] = NODE_LEVELS_MAX + 1;
    assert_eq!(DirectoryNode::decode(&bytes), Err(NodeError::Level(NODE_LEVELS_MAX + 1)));
    bytes[2] = 1;
    assert_eq!(DirectoryNode::decode(&bytes), Err(NodeError::Empty));
}

// TREE-3
#[test]
fn entries_that_would_leave_their_directory_are_refused() {
    let name = NodeError::Entry(EntryError::Name);
    let long = "x".repeat(1025);
    for bad in ["", ".", "..", "/", "a/b", "/etc", "a\0", "\0", long.as_str()] {
        let leaf = DirectoryNode::Leaf(vec![fifo(bad)]);
        assert_eq!(DirectoryNode::decode(&leaf.encode()), Err(name.clone()), "{bad:?}");
        let first = ByteVec::from(bad.as_bytes().to_vec());
        let child = NamedChild { first, chunk: ChunkId::from_bytes([1; 32]) };
        let inner = DirectoryNode::Inner { level: 1, children: vec![child] };
        assert_eq!(DirectoryNode::decode(&inner.encode()), Err(name.clone()), "{bad:?}");
    }
    for good in ["...", "..a", "-rf", "\n", "x".repeat(1024).as_str(), "\u{202e}"] {
        let leaf = DirectoryNode::Leaf(vec![fifo(good)]);
        assert!(DirectoryNode::decode(&leaf.encode()).is_ok(), "{good:?}");
    }
}

// TREE-4
#[test]
fn names_out_of_order_are_refused() {
    for names in [["b", "a"], ["a", "a"]] {
        let leaf = DirectoryNode::Leaf(names.map(fifo).to_vec());
        assert_eq!(DirectoryNode::decode(&leaf.encode()), Err(NodeError::Order));
        let children = names.map(|name| NamedChild {
            first: ByteVec::from(name.as_bytes().to_vec()),
            chunk: ChunkId::from_bytes([1; 32]),
        });
        let inner = DirectoryNode::Inner { level: 1, children: children.to_vec() };
        assert_eq!(DirectoryNode::decode(&inner.encode()), Err(NodeError::Order));
    }
}

// TREE-5
#[test]
fn impossible_attributes_and_contents_are_refused() {
    let refused = |change: &dyn Fn(&mut Entry)| {
        let mut entry = fifo("x");
        change(&mut entry);
        match DirectoryNode::decode(&DirectoryNode::Leaf(vec![entry]).encode()) {
            Err(NodeError::Entry(error)) => error,
            other => panic!("{other:?}"),
        }
    };
    let attributes = EntryError::Attributes;
    let bytes = |text: &str| ByteVec::from(text.as_bytes().to_vec());
    let xattr = |name| Xattr { name: bytes(name), value: bytes("v") };
    assert_eq!(refused(&|entry| entry.attributes.mode = 0o10_000), attributes);
    assert_eq!(refused(&|entry| entry.attributes.links = 0), attributes);
    assert_eq!(refused(&|entry| entry.attributes.modified.nanoseconds = 1_000_000_000), attributes);
    for xattrs in [vec![], vec![xattr("b"), xattr("a")], vec![xattr("")], vec![xattr("a\0")]] {
        assert_eq!(refused(&|entry| entry.attributes.xattrs = Some(xattrs.clone())), attributes);
    }
    let extents = EntryError::Extents;
    let file = |bytes, extents| Kind::File { bytes, content: Content::Inline(extents) };
    let hole = |bytes| Extent::Hole { bytes };
    for (sum, list) in [
        (1, vec![]),
        (9, vec![hole(10)]),
        (0, vec![hole(0)]),
        (u64::MAX, vec![hole(u64::MAX), hole(1)]),
        (9, vec![hole(1); 9]),
    ] {
        assert_eq!(refused(&|entry| entry.kind = file(sum, list.clone())), extents);
    }
    for target in ["", "a\0b", "x".repeat(4097).as_str()] {
        let kind = Kind::Symlink { target: bytes(target) };
        assert_eq!(refused(&|entry| entry.kind = kind.clone()), EntryError::SymlinkTarget);
    }
    assert!(attributes_are_fine());
}

fn attributes_are_fine() -> bool {
    Entry { attributes: attributes(), ..fifo("x") }.check().is_ok()
}

// TREE-6
#[test]
fn a_claimed_length_does_not_make_the_decoder_allocate() {
    // An array of 2^60 entries, and a name of 2^62 bytes.
    let array = [0x83, 1, 0, 0x9b, 0x10, 0, 0, 0, 0, 0, 0, 0];
    let name = [0x83, 1, 0, 0x81, 0xa3, 0, 0x5b, 0x40, 0, 0, 0, 0, 0, 0, 0];
    for bytes in [&array[..], &name] {
        let refused = DirectoryNode::decode(bytes);
        assert_eq!(refused, Err(NodeError::Decode(DecodeError::Malformed)));
        assert!(ExtentNode::decode(bytes).is_err());
    }
    let too_long = vec![0x80; CHUNK_BYTES_MAX + 1];
    assert!(DirectoryNode::decode(&too_long).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    // TREE-6
    #[test]
    fn mutated_nodes_are_refused_or_are_what_they_say(
        edits in prop::collection::vec(any::<(u16, u8, u8)>(), 1..4),
    ) {
        let mut bytes = DirectoryNode::Leaf(entries()).encode();
        for (at, value, what) in edits {
            let at = usize::from(at) % bytes.len();
            match what % 4 {
                0 => bytes.truncate(at.max(1)),
                1 => bytes.insert(at, value),
                2 => bytes[at] ^= 1 << (value % 8),
                _ => bytes[at] = value,
            }
        }
        if let Ok(node) = DirectoryNode::decode(&bytes) {
            prop_assert_eq!(node.encode(), bytes.clone());
        }
        if let Ok(node) = ExtentNode::decode(&bytes) {
            prop_assert_eq!(node.encode(), bytes);
        }
    }

    #[test]
    fn garbage_is_refused_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = DirectoryNode::decode(&bytes);
        let _ = ExtentNode::decode(&bytes);
    }
}
