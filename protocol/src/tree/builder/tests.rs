use std::collections::BTreeMap;

use super::*;
use crate::{
    keys::epoch::EpochKey,
    tree::{
        entry::FileTime,
        read::{Step, Walk, lookup},
    },
};

fn content() -> ContentKey {
    ContentKey::derive(&EpochKey::new(1, [3; 32]))
}

fn attributes() -> Attributes {
    Attributes {
        mode: 0o644,
        uid: 1000,
        gid: 1000,
        modified: FileTime { seconds: 1_700_000_000, nanoseconds: 123_456_789 },
        identity: None,
        links: 1,
        xattrs: None,
    }
}

fn fifo(name: &str) -> Entry {
    let name = ByteVec::from(name.as_bytes().to_vec());
    Entry { name, kind: Kind::Fifo, attributes: attributes() }
}

#[derive(Default)]
struct Store(BTreeMap<ChunkId, (ChunkKind, Vec<u8>)>);

impl Store {
    fn take(&mut self, builder: &mut TreeBuilder) {
        while let Some(chunk) = builder.next_chunk() {
            assert_eq!(content().chunk_id(chunk.kind, &chunk.plain), chunk.id);
            self.0.insert(chunk.id, (chunk.kind, chunk.plain));
        }
    }

    fn fetch(&self, id: ChunkId, kind: ChunkKind) -> Result<Vec<u8>, ()> {
        let (stored, plain) = self.0.get(&id).ok_or(())?;
        if *stored == kind { Ok(plain.clone()) } else { Err(()) }
    }

    fn walk(&self, root: ChunkId) -> Vec<String> {
        let mut walk = Walk::new(root);
        let mut lines = Vec::new();
        while let Some(step) = walk.next_step(&mut |id, kind| self.fetch(id, kind)).unwrap() {
            let (sign, path) = match &step {
                Step::Entry { path, .. } => (' ', *path),
                Step::Enter { path, .. } => ('+', *path),
                Step::Leave { path, .. } => ('-', *path),
            };
            lines.push(format!("{sign}{}", String::from_utf8_lossy(path)));
        }
        lines
    }
}

// TREE-10, TREE-11
#[test]
fn what_is_built_is_walked_in_the_same_order() {
    let (mut builder, mut store) = (TreeBuilder::new(&content()), Store::default());
    builder.add(&fifo("a")).unwrap();
    builder.enter(b"b", attributes()).unwrap();
    builder.add(&fifo("x")).unwrap();
    builder.enter(b"y", attributes()).unwrap();
    let early = builder.checkpoint().unwrap();
    builder.add(&fifo("deep")).unwrap();
    builder.leave().unwrap();
    builder.leave().unwrap();
    builder.enter(b"empty", attributes()).unwrap();
    builder.leave().unwrap();
    builder.add(&fifo("z")).unwrap();
    let root = builder.finish().unwrap();
    store.take(&mut builder);
    let all = [" a", "+b", " b/x", "+b/y", " b/y/deep", "-b/y", "-b", "+empty", "-empty", " z"];
    assert_eq!(store.walk(root), all);
    assert_eq!(store.walk(early), [" a", "+b", " b/x", "+b/y", "-b/y", "-b"]);
    for path in ["a", "b", "b/x", "b/y/deep", "empty"] {
        let found = lookup(root, path.as_bytes(), &mut |id, kind| store.fetch(id, kind));
        let entry = found.unwrap().unwrap();
        assert_eq!(entry.name.as_slice(), path.rsplit('/').next().unwrap().as_bytes());
    }
    for path in ["", "c", "a/b", "b/y/deep/er", "b/", "/a", "empty/x"] {
        let found = lookup(root, path.as_bytes(), &mut |id, kind| store.fetch(id, kind));
        assert_eq!(found, Ok(None), "{path}");
    }
}

#[test]
fn misuse_is_refused_and_changes_nothing() {
    let mut builder = TreeBuilder::new(&content());
    assert_eq!(builder.leave(), Err(TreeError::Unbalanced));
    builder.add(&fifo("b")).unwrap();
    for name in ["b", "a"] {
        assert_eq!(builder.add(&fifo(name)), Err(TreeError::Order));
        assert_eq!(builder.enter(name.as_bytes(), attributes()), Err(TreeError::Order));
    }
    for name in ["", ".", "..", "x/y", "x\0"] {
        assert_eq!(builder.add(&fifo(name)), Err(TreeError::Entry(EntryError::Name)));
    }
    builder.enter(b"c", attributes()).unwrap();
    assert_eq!(builder.finish(), Err(TreeError::Unbalanced));
    builder.add(&fifo("a")).unwrap();
    builder.leave().unwrap();
    assert_eq!(builder.add(&fifo("c")), Err(TreeError::Order));
    assert!(builder.finish().is_ok());
}

// TREE-7
#[test]
fn a_directory_of_a_million_entries_is_built_in_bounded_memory() {
    let (mut builder, mut chunks, mut bytes, mut most) = (TreeBuilder::new(&content()), 0, 0, 0);
    for number in 0..1_000_000 {
        builder.add(&fifo(&format!("file {number:07}"))).unwrap();
        most = most.max(builder.made.len());
        while let Some(chunk) = builder.next_chunk() {
            (chunks, bytes) = (chunks + 1, bytes + chunk.plain.len());
        }
    }
    builder.finish().unwrap();
    assert!(most <= 3, "{most}");
    let mean = bytes / chunks;
    assert!((50_000..80_000).contains(&mean), "{chunks} nodes of {mean} bytes");
}
