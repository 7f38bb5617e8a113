//! Tests of `tree::builder`.

use proptest::prelude::*;

use super::*;
use crate::tree::{
    node::DirectoryNode,
    read::{ExtentCursor, Step, Walk, lookup},
    sample::{Store, attributes, content, fifo},
};

fn walk(store: &mut Store, root: ChunkId) -> Vec<String> {
    let mut walk = Walk::new(root);
    let mut lines = Vec::new();
    while let Some(step) = walk.next_step(&mut store.fetcher()).unwrap() {
        let (sign, path) = match &step {
            Step::Entry { path, .. } => (' ', *path),
            Step::Enter { path, .. } => ('+', *path),
            Step::Leave { path, .. } => ('-', *path),
        };
        lines.push(format!("{sign}{}", String::from_utf8_lossy(path)));
    }
    lines
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
    assert_eq!(walk(&mut store, root), all);
    assert_eq!(walk(&mut store, early), [" a", "+b", " b/x", "+b/y", "-b/y", "-b"]);
    for path in ["a", "b", "b/x", "b/y/deep", "empty"] {
        let found = lookup(root, path.as_bytes(), &mut store.fetcher());
        let entry = found.unwrap().unwrap();
        assert_eq!(entry.name.as_slice(), path.rsplit('/').next().unwrap().as_bytes());
    }
    for path in ["", "c", "a/b", "b/y/deep/er", "b/", "/a", "empty/x"] {
        let found = lookup(root, path.as_bytes(), &mut store.fetcher());
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

fn names(count: usize) -> Vec<Entry> {
    (0..count).map(|number| fifo(&format!("file {number:06}.txt"))).collect()
}

// TREE-8
#[test]
fn one_entry_more_or_less_makes_few_new_nodes() {
    let mut entries = names(30_000);
    let mut store = Store::default();
    store.directory(entries.iter());
    for at in [0, 1, 7_777, 15_000, 29_999] {
        let before = store.chunks.len();
        entries.insert(at, fifo(&format!("file {at:06}.tx")));
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        store.directory(entries.iter());
        let new = store.chunks.len() - before;
        assert!((1..=4).contains(&new), "{new} new nodes after an insertion at {at}");
        let before = store.chunks.len();
        entries.remove(at);
        store.directory(entries.iter());
        let new = store.chunks.len() - before;
        assert!(new <= 4, "{new} new nodes after a removal at {at}");
    }
}

// TREE-8
#[test]
fn a_changed_entry_changes_one_node_of_each_level() {
    let mut entries = names(30_000);
    let mut store = Store::default();
    let root = store.directory(entries.iter());
    assert!(store.chunks.len() > 15);
    let before = store.chunks.len();
    entries[12_345].attributes.mode = 0o600;
    assert_ne!(store.directory(entries.iter()), root);
    let root_node = DirectoryNode::decode(&store.fetch(root, ChunkKind::Directory).unwrap());
    let Ok(DirectoryNode::Inner { level, .. }) = root_node else { panic!("a leaf") };
    assert_eq!(store.chunks.len() - before, usize::from(level) + 1);
}

// TREE-9
#[test]
fn entries_of_any_length_make_nodes_that_fit() {
    let mut store = Store::default();
    let long = |number: usize, bytes: usize| {
        let mut entry = fifo(&format!("{number:04}"));
        let name = ByteVec::from(b"user.long".to_vec());
        let value = ByteVec::from(vec![7; bytes]);
        entry.attributes.xattrs = Some(vec![crate::tree::entry::Xattr { name, value }]);
        entry
    };
    let entries: Vec<Entry> =
        (0..60).map(|number| long(number, [10, 300_000, 900_000, 60_000][number % 4])).collect();
    let root = store.directory(entries.iter());
    assert_eq!(walk(&mut store, root).len(), 60);
    for (_, plain) in store.chunks.values() {
        assert!(plain.len() <= ENTRY_BYTES_MAX);
    }
    let mut builder = TreeBuilder::new(&content());
    let refused = builder.add(&long(0, ENTRY_BYTES_MAX));
    assert!(matches!(refused, Err(TreeError::TooLong(_))));
}

// TREE-10
#[test]
fn checkpoints_leave_the_tree_as_it_would_have_been() {
    let entries = names(3000);
    let mut roots = Vec::new();
    for often in [usize::MAX, 100, 1] {
        let mut builder = TreeBuilder::new(&content());
        builder.enter(b"d", attributes()).unwrap();
        for (number, entry) in entries.iter().enumerate() {
            builder.add(entry).unwrap();
            if number % often == 0 {
                builder.checkpoint().unwrap();
            }
            while builder.next_chunk().is_some() {}
        }
        builder.leave().unwrap();
        roots.push(builder.finish().unwrap());
    }
    assert!(roots.iter().all(|root| *root == roots[0]));
}

fn extent(number: u32) -> Extent {
    let [a, b, c, d] = number.to_le_bytes();
    let mut id = [0; 32];
    (id[0], id[1], id[2], id[3]) = (a, b, c, d);
    Extent::Chunk { chunk: ChunkId::from_bytes(id), bytes: number % 1000 + 1 }
}

fn list(store: &mut Store, extents: impl Iterator<Item = Extent>) -> (Content, u64) {
    let mut builder = ContentBuilder::new(&content());
    for extent in extents {
        builder.push(extent).unwrap();
        while let Some(chunk) = builder.next_chunk() {
            store.put(chunk);
        }
    }
    let bytes = builder.bytes();
    let made = builder.finish();
    while let Some(chunk) = builder.next_chunk() {
        store.put(chunk);
    }
    (made, bytes)
}

// TREE-12
#[test]
fn extents_stand_in_the_entry_or_in_a_list_and_come_back_in_order() {
    for count in [0, 1, 8, 9, 2000, 50_000] {
        let mut store = Store::default();
        let (made, bytes) = list(&mut store, (0..count).map(extent));
        assert_eq!(matches!(made, Content::Inline(_)), count <= 8);
        let mut cursor = ExtentCursor::new(&made, bytes);
        let mut read = Vec::new();
        while let Some(extent) = cursor.next_extent(&mut store.fetcher()).unwrap() {
            read.push(extent);
        }
        assert_eq!(read, (0..count).map(extent).collect::<Vec<_>>());
        if count > 8 {
            let mut wrong = ExtentCursor::new(&made, bytes + 1);
            assert!(wrong.next_extent(&mut store.fetcher()).is_err());
        }
    }
}

// TREE-8
#[test]
fn an_extent_more_makes_few_new_nodes() {
    let mut store = Store::default();
    let many = || (0..50_000).map(extent);
    list(&mut store, many());
    let before = store.chunks.len();
    list(&mut store, many().take(20_000).chain([extent(99_999)]).chain(many().skip(20_000)));
    let new = store.chunks.len() - before;
    assert!((1..=4).contains(&new), "{new} of {before}");
}

#[test]
fn extents_without_bytes_or_beyond_all_files_are_refused() {
    let mut builder = ContentBuilder::new(&content());
    let empty = builder.push(Extent::Hole { bytes: 0 });
    assert_eq!(empty, Err(TreeError::Entry(EntryError::Extents)));
    builder.push(Extent::Hole { bytes: u64::MAX }).unwrap();
    let beyond = builder.push(Extent::Hole { bytes: 1 });
    assert_eq!(beyond, Err(TreeError::Entry(EntryError::Extents)));
}

proptest! {
    // TREE-11
    #[test]
    fn directories_of_any_names_round_trip(
        names in prop::collection::btree_set(prop::collection::vec(1_u8..=255, 1..40), 0..600),
    ) {
        let entries: Vec<Entry> = names
            .iter()
            .map(|name| Entry { name: ByteVec::from(name.clone()), ..fifo("x") })
            .filter(|entry| entry.check().is_ok())
            .collect();
        let mut store = Store::default();
        let root = store.directory(entries.iter());
        let mut walk = Walk::new(root);
        let mut read = Vec::new();
        while let Some(step) = walk.next_step(&mut store.fetcher()).unwrap() {
            let Step::Entry { entry, .. } = step else { panic!("no directory was made") };
            read.push(entry);
        }
        prop_assert_eq!(&read, &entries);
        for entry in entries.iter().step_by(50) {
            let found = lookup(root, &entry.name, &mut store.fetcher()).unwrap();
            prop_assert_eq!(found.as_ref(), Some(entry));
        }
    }
}
