//! Vectors of specs/tree.md, specs/snapshot.md and specs/manifest.md.

use minicbor::bytes::ByteVec;
use serde_json::{Value, json};

use super::{
    builder::{ContentBuilder, NewChunk},
    entry::{Attributes, Content, DeviceNumber, Entry, Extent, FileTime, Identity, Kind, Xattr},
    node::{DirectoryNode, ExtentNode, MeasuredChild, NamedChild},
    sample::{attributes, content, fifo},
};
use crate::{
    ids::ChunkId,
    index::ChunkKind,
    manifest, snapshot,
    tree::builder::TreeBuilder,
    vectors::{self, hex},
};

fn bytes(text: &[u8]) -> ByteVec {
    ByteVec::from(text.to_vec())
}

fn entries() -> Vec<(&'static str, Entry)> {
    let (id, other) = (ChunkId::from_bytes([0x11; 32]), ChunkId::from_bytes([0x22; 32]));
    let inline = vec![
        Extent::Slice { chunk: id, offset: 5, bytes: 300, digest: [4; 16] },
        Extent::Hole { bytes: 65_536 },
        Extent::Chunk { chunk: other, bytes: 70_000 },
    ];
    let device = DeviceNumber { major: 8, minor: 1 };
    let entry = |name: &[u8], kind| Entry { name: bytes(name), kind, attributes: attributes() };
    let xattr = |name: &[u8], value: &[u8]| Xattr { name: bytes(name), value: bytes(value) };
    let rich = Attributes {
        mode: 0o4755,
        uid: 0,
        gid: 100_000,
        modified: FileTime { seconds: -2, nanoseconds: 999_999_999 },
        identity: Some(Identity([0x33; 16])),
        links: 2,
        xattrs: Some(vec![xattr(b"security.x", &[0, 1]), xattr(b"user.note", b"")]),
    };
    let empty = Kind::File { bytes: 0, content: Content::Inline(vec![]) };
    let file = Kind::File { bytes: 135_836, content: Content::Inline(inline) };
    let listed = Kind::File { bytes: 1 << 40, content: Content::Listed(id) };
    vec![
        ("an empty file", entry(b"a", empty)),
        ("a file: slice, hole, whole chunk", entry(b"b", file)),
        ("a file with a list of extents", entry(b"c", listed)),
        ("a directory", entry(b"d", Kind::Directory { node: other })),
        ("a symlink", entry(b"e", Kind::Symlink { target: bytes(b"../elsewhere") })),
        ("a fifo", entry(b"f", Kind::Fifo)),
        ("a socket", entry(b"g", Kind::Socket)),
        ("a character device", entry(b"h", Kind::CharDevice { device })),
        ("a block device", entry(b"i", Kind::BlockDevice { device })),
        ("all attributes", Entry { attributes: rich, ..entry(b"j", Kind::Fifo) }),
        ("a name that is no text", entry(b"\n\xff", Kind::Fifo)),
    ]
}

fn node(kind: ChunkKind, plain: &[u8]) -> Value {
    json!({ "plain": hex(plain), "id": hex(content().chunk_id(kind, plain).as_bytes()) })
}

fn nodes() -> Value {
    let (id, other) = (ChunkId::from_bytes([0x11; 32]), ChunkId::from_bytes([0x22; 32]));
    let mut sorted: Vec<Entry> = entries().into_iter().map(|(_, entry)| entry).collect();
    sorted.sort_by(|a, b| a.name.cmp(&b.name));
    let child = |name: &[u8], chunk| NamedChild { first: bytes(name), chunk };
    let inner =
        DirectoryNode::Inner { level: 1, children: vec![child(b"a", id), child(b"m", other)] };
    let extents = vec![Extent::Hole { bytes: 7 }, Extent::Chunk { chunk: id, bytes: 9 }];
    let child = |bytes, chunk| MeasuredChild { bytes, chunk };
    let list = ExtentNode::Inner { level: 1, children: vec![child(16, id), child(99, other)] };
    json!({
        "empty_directory": node(ChunkKind::Directory, &DirectoryNode::Leaf(vec![]).encode()),
        "directory_of_all_entries":
            node(ChunkKind::Directory, &DirectoryNode::Leaf(sorted).encode()),
        "directory_above_two_leaves": node(ChunkKind::Directory, &inner.encode()),
        "extents": node(ChunkKind::Extents, &ExtentNode::Leaf(extents).encode()),
        "extents_above_two_leaves": node(ChunkKind::Extents, &list.encode()),
    })
}

fn list(chunks: &[NewChunk]) -> Value {
    let line =
        |chunk: &NewChunk| json!({ "id": hex(chunk.id.as_bytes()), "bytes": chunk.plain.len() });
    chunks.iter().map(line).collect()
}

fn large_directory() -> Value {
    let mut builder = TreeBuilder::new(&content());
    for number in 0..10_000 {
        builder.add(&fifo(&format!("file {number:05}"))).unwrap();
    }
    let root = builder.finish().unwrap();
    let chunks: Vec<NewChunk> = std::iter::from_fn(|| builder.next_chunk()).collect();
    json!({
        "entries": "fifos named 'file 00000' to 'file 09999', attributes as 'a fifo'",
        "root": hex(root.as_bytes()),
        "nodes": list(&chunks),
    })
}

fn large_file() -> Value {
    let mut builder = ContentBuilder::new(&content());
    for number in 0..5_000_u32 {
        let chunk = ChunkId::from_bytes(*blake3::hash(&number.to_le_bytes()).as_bytes());
        builder.push(Extent::Chunk { chunk, bytes: 1_000_000 + number }).unwrap();
    }
    let Content::Listed(root) = builder.finish() else { panic!("too many to be inline") };
    let chunks: Vec<NewChunk> = std::iter::from_fn(|| builder.next_chunk()).collect();
    json!({
        "extents": "for i in 0..5000: whole chunk BLAKE3(i as u32 LE) of 1,000,000 + i bytes",
        "root": hex(root.as_bytes()),
        "nodes": list(&chunks),
    })
}

fn page() -> Value {
    let encode = |(what, entry): (&str, Entry)| json!({ "what": what, "entry": hex(crate::cbor::encode(&entry)) });
    json!({
        "epoch_key_1": hex([3; 32]),
        "node_cut_key": hex(content().cut_key("larder 2026 node cut v1")),
        "entries": entries().into_iter().map(encode).collect::<Vec<_>>(),
        "nodes": nodes(),
        "large_directory": large_directory(),
        "large_file": large_file(),
        "snapshot": node(ChunkKind::Snapshot, &snapshot::tests::sample().encode()),
        "manifest": node(ChunkKind::Manifest, &manifest::tests::sample().encode()),
    })
}

// TREE-18, SNAPSHOT-3, MANIFEST-4
#[test]
fn trees_are_written_as_the_vectors_say() {
    vectors::check("tree", &page());
}

#[test]
#[ignore = "writes specs/vectors/tree.json"]
fn write_vectors() {
    vectors::write("tree", &page());
}
