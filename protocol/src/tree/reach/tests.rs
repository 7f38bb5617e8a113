//! Tests of reach.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::tree::{
    builder::{ContentBuilder, TreeBuilder},
    read::{ExtentCursor, Step, Walk},
    sample::{Model, Store, attributes, build, change, content, fifo},
};

fn root(node: ChunkId) -> Entry {
    Entry { kind: Kind::Directory { node }, ..fifo("root") }
}

fn reached(store: &mut Store, reach: &mut Reach, root: &Entry) -> Vec<ChunkId> {
    let mut all = Vec::new();
    let mut tell = |chunk| {
        all.push(chunk);
        Ok(())
    };
    reach.through(root, &mut store.fetcher(), &mut tell).unwrap();
    all
}

/// What a plain walk that opens everything meets.
fn walked(store: &mut Store, node: ChunkId) -> BTreeSet<ChunkId> {
    let mut met = BTreeSet::new();
    let mut fetch = |id, kind| {
        met.insert(id);
        store.fetch(id, kind)
    };
    let mut data = Vec::new();
    let mut walk = Walk::new(node);
    while let Some(step) = walk.next_step(&mut fetch).unwrap() {
        let Step::Entry { entry, .. } = step else { continue };
        let Kind::File { bytes, content } = &entry.kind else { continue };
        data.push((*bytes, content.clone()));
    }
    let mut all = BTreeSet::new();
    for (bytes, content) in data {
        let mut cursor = ExtentCursor::new(&content, bytes);
        while let Some(extent) = cursor.next_extent(&mut fetch).unwrap() {
            if let Extent::Chunk { chunk, .. } | Extent::Slice { chunk, .. } = extent {
                all.insert(chunk);
            }
        }
    }
    all.extend(met);
    all
}

// DEL-12
#[test]
fn nodes_of_lists_of_extents_and_what_they_name_are_reached() {
    let mut store = Store::default();
    let key = content();
    let mut builder = ContentBuilder::new(&key);
    for number in 0..2000_u32 {
        let chunk = store.forge(ChunkKind::Data, number.to_le_bytes().to_vec());
        builder.push(Extent::Chunk { chunk, bytes: 4 }).unwrap();
    }
    let listed = builder.finish();
    while let Some(chunk) = builder.next_chunk() {
        store.put(chunk);
    }
    let kind = Kind::File { bytes: 8000, content: listed };
    let file = Entry { kind, attributes: attributes(), ..fifo("long") };
    let mut tree = TreeBuilder::new(&key);
    tree.add(&file).unwrap();
    let node = tree.finish().unwrap();
    store.take(&mut tree);
    let all = reached(&mut store, &mut Reach::new(), &root(node));
    assert!(all.len() > 2001);
    let stored: BTreeSet<ChunkId> = store.chunks.keys().copied().collect();
    assert_eq!(all.into_iter().collect::<BTreeSet<_>>(), stored, "there is nothing else");
    // The root of a snapshot may be a file.
    let of_file = reached(&mut store, &mut Reach::new(), &file);
    assert_eq!(of_file.len(), stored.len() - 1, "all but the directory");
}

// DEL-12
#[test]
fn what_cannot_be_read_is_an_error_and_no_end() {
    let mut store = Store::default();
    let entries = [fifo("a"), root(ChunkId::from_bytes([1; 32]))];
    let node = store.directory(entries.iter());
    let mut tell = |_| Ok(());
    let through = Reach::new().through(&root(node), &mut store.fetcher(), &mut tell);
    assert_eq!(through, Err(ReadError::Fetch(())));
    let broken = store.forge(ChunkKind::Directory, vec![1, 2, 3]);
    let through = Reach::new().through(&root(broken), &mut store.fetcher(), &mut tell);
    assert!(matches!(through, Err(ReadError::Node(_))));
}

proptest! {
    // DEL-12
    #[test]
    fn many_trees_together_reach_what_each_alone_does_and_open_each_node_once(
        changes in prop::collection::vec((any::<u8>(), any::<u16>(), any::<u16>()), 1..60),
    ) {
        let (mut store, mut model): (Store, Model) = (Store::default(), BTreeMap::new());
        let mut nodes = Vec::new();
        for (what, which, whereto) in changes {
            change(&mut model, what, which, whereto);
            nodes.push(build(&model, &mut store));
        }
        let mut expected = BTreeSet::new();
        for node in &nodes {
            expected.extend(walked(&mut store, *node));
        }
        let (mut reach, mut all) = (Reach::new(), BTreeSet::new());
        store.fetched = 0;
        for node in &nodes {
            all.extend(reached(&mut store, &mut reach, &root(*node)));
        }
        prop_assert_eq!(&all, &expected);
        let count = store.chunks.keys().filter(|id| all.contains(id)).count();
        prop_assert_eq!(store.fetched, count);
    }
}
