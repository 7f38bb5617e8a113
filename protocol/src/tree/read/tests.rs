//! Tests of `tree::read`.

use minicbor::bytes::ByteVec;

use super::*;
use crate::tree::{
    builder::TreeBuilder,
    sample::{Store, attributes, content, fifo},
};

fn directory(name: &str, node: ChunkId) -> Entry {
    Entry { kind: Kind::Directory { node }, ..fifo(name) }
}

fn child(first: &str, chunk: ChunkId) -> NamedChild {
    NamedChild { first: ByteVec::from(first.as_bytes().to_vec()), chunk }
}

fn leaf(store: &mut Store, entries: Vec<Entry>) -> ChunkId {
    store.forge(ChunkKind::Directory, DirectoryNode::Leaf(entries).encode())
}

fn inner(store: &mut Store, level: u8, children: Vec<NamedChild>) -> ChunkId {
    store.forge(ChunkKind::Directory, DirectoryNode::Inner { level, children }.encode())
}

fn walk(store: &mut Store, root: ChunkId) -> Result<usize, ReadError<()>> {
    let mut walk = Walk::new(root);
    let mut steps = 0;
    while walk.next_step(&mut store.fetcher())?.is_some() {
        steps += 1;
    }
    Ok(steps)
}

// TREE-13
#[test]
fn nodes_that_do_not_fit_together_are_refused() {
    let mut store = Store::default();
    let ab = leaf(&mut store, vec![fifo("a"), fifo("b")]);
    let cd = leaf(&mut store, vec![fifo("c"), fifo("d")]);
    let empty = leaf(&mut store, vec![]);
    let good = inner(&mut store, 1, vec![child("a", ab), child("c", cd)]);
    assert_eq!(walk(&mut store, good), Ok(4));
    let order = Err(ReadError::Node(NodeError::Order));
    let late = inner(&mut store, 1, vec![child("a", ab), child("bb", cd)]);
    assert_eq!(walk(&mut store, late), order);
    let overlapping = leaf(&mut store, vec![fifo("a"), fifo("c")]);
    let overlap = inner(&mut store, 1, vec![child("a", overlapping), child("c", cd)]);
    assert_eq!(walk(&mut store, overlap), order);
    let level = |level| Err(ReadError::Node(NodeError::Level(level)));
    let skips = inner(&mut store, 2, vec![child("a", ab)]);
    assert_eq!(walk(&mut store, skips), level(0));
    let same = inner(&mut store, 1, vec![child("a", good)]);
    assert_eq!(walk(&mut store, same), level(1));
    let hollow = inner(&mut store, 1, vec![child("a", empty)]);
    assert_eq!(walk(&mut store, hollow), Err(ReadError::Node(NodeError::Empty)));
    assert_eq!(walk(&mut store, empty), Ok(0));
}

// TREE-13
#[test]
fn a_lookup_meets_the_same_checks() {
    let mut store = Store::default();
    let cd = leaf(&mut store, vec![fifo("c"), fifo("d")]);
    let late = inner(&mut store, 1, vec![child("b", cd)]);
    let found = lookup(late, b"d", &mut store.fetcher());
    assert_eq!(found, Err(ReadError::Node(NodeError::Order)));
    let before_all = lookup(late, b"a", &mut store.fetcher());
    assert_eq!(before_all, Ok(None));
}

// TREE-14
#[test]
fn trees_deeper_than_the_limit_end_in_an_error_and_not_in_an_overflow() {
    let mut store = Store::default();
    let mut node = leaf(&mut store, vec![]);
    for _ in 0..TREE_DEPTH_MAX + 10 {
        node = leaf(&mut store, vec![directory("d", node)]);
    }
    assert_eq!(walk(&mut store, node), Err(ReadError::TooDeep));
    let path = vec!["d"; TREE_DEPTH_MAX + 5].join("/");
    assert_eq!(lookup(node, path.as_bytes(), &mut store.fetcher()), Err(ReadError::TooDeep));
    let mut builder = TreeBuilder::new(&content());
    while builder.enter(b"d", attributes()).is_ok() {}
    assert_eq!(builder.depth() + 1, TREE_DEPTH_MAX);
    while builder.leave().is_ok() {}
    let deep = builder.finish().unwrap();
    store.take(&mut builder);
    assert_eq!(walk(&mut store, deep), Ok(2 * (TREE_DEPTH_MAX - 1)));
    let other = leaf(&mut store, vec![]);
    let diff = crate::tree::diff::diff(other, node, &mut store.fetcher());
    assert_eq!(diff.map(|changes| changes.len()), Err(ReadError::TooDeep));
}

// TREE-11
#[test]
fn a_skipped_directory_is_not_fetched() {
    let mut store = Store::default();
    let missing = ChunkId::from_bytes([0; 32]);
    let root = leaf(&mut store, vec![fifo("a"), directory("d", missing), fifo("e")]);
    let mut steps = Walk::new(root);
    let mut seen = Vec::new();
    while let Some(step) = steps.next_step(&mut store.fetcher()).unwrap() {
        let entered = matches!(step, Step::Enter { .. });
        let (Step::Entry { path, .. } | Step::Enter { path, .. } | Step::Leave { path, .. }) = step;
        seen.push(path.to_vec());
        if entered {
            steps.skip();
        }
    }
    assert_eq!(seen, [&b"a"[..], b"d", b"d", b"e"]);
    assert_eq!(walk(&mut store, root), Err(ReadError::Fetch(())));
}

// TREE-11
#[test]
fn a_lookup_opens_only_the_nodes_on_its_way() {
    let mut store = Store::default();
    let entries: Vec<Entry> = (0..50_000).map(|number| fifo(&format!("{number:06}"))).collect();
    let big = store.directory(entries.iter());
    let root = leaf(&mut store, vec![directory("big", big), fifo("other")]);
    store.fetched = 0;
    let found = lookup(root, b"big/031415", &mut store.fetcher()).unwrap().unwrap();
    assert_eq!(found.name.as_slice(), b"031415");
    assert!(store.fetched <= 4, "{} nodes", store.fetched);
}

// TREE-12
#[test]
fn lists_of_extents_that_do_not_add_up_are_refused() {
    let mut store = Store::default();
    let hole = |bytes| Extent::Hole { bytes };
    let mut forge = |node: ExtentNode| store.forge(ChunkKind::Extents, node.encode());
    let ten = forge(ExtentNode::Leaf(vec![hole(4), hole(6)]));
    let child = |bytes, chunk| MeasuredChild { bytes, chunk };
    let inner = |level, children| ExtentNode::Inner { level, children };
    let twenty = forge(inner(1, vec![child(10, ten), child(10, ten)]));
    let liar = forge(inner(1, vec![child(10, ten), child(11, ten)]));
    let skips = forge(inner(2, vec![child(10, ten), child(10, ten)]));
    let empty = forge(ExtentNode::Leaf(vec![]));
    let hollow = forge(ExtentNode::Leaf(vec![hole(0), hole(3)]));
    let endless = forge(inner(1, vec![child(u64::MAX, ten), child(2, ten)]));
    let mut read = |root, bytes| {
        let mut cursor = ExtentCursor::new(&Content::Listed(root), bytes);
        let mut sum = 0;
        while let Some(extent) = cursor.next_extent(&mut store.fetcher())? {
            sum += extent.bytes();
        }
        Ok::<u64, ReadError<()>>(sum)
    };
    assert_eq!(read(ten, 10), Ok(10));
    assert_eq!(read(twenty, 20), Ok(20));
    let extents = Err(ReadError::Node(NodeError::Extents));
    assert_eq!(read(twenty, 19), extents);
    assert_eq!(read(liar, 21), extents);
    assert_eq!(read(hollow, 3), extents);
    assert_eq!(read(endless, 1), extents);
    assert_eq!(read(skips, 20), Err(ReadError::Node(NodeError::Level(0))));
    assert_eq!(read(empty, 0), Err(ReadError::Node(NodeError::Empty)));
}

#[test]
fn seeking_a_byte_of_a_file_opens_only_the_nodes_on_the_way() {
    let mut store = Store::default();
    let hole = |bytes| Extent::Hole { bytes };
    let leaf = ExtentNode::Leaf(vec![hole(4), hole(6)]);
    let ten = store.forge(ChunkKind::Extents, leaf.encode());
    let child = |bytes, chunk| MeasuredChild { bytes, chunk };
    // What lies before it may be beyond reading.
    let lost = ChunkId::from_bytes([9; 32]);
    let children = vec![child(7, lost), child(10, ten), child(10, ten)];
    let node = ExtentNode::Inner { level: 1, children };
    let root = store.forge(ChunkKind::Extents, node.encode());
    let mut seek = |to| {
        let mut cursor = ExtentCursor::new(&Content::Listed(root), 27);
        let at = cursor.seek(to, &mut store.fetcher()).unwrap();
        (at, cursor.next_extent(&mut store.fetcher()).unwrap())
    };
    assert_eq!(seek(7), (7, Some(hole(4))));
    assert_eq!(seek(10), (7, Some(hole(4))));
    assert_eq!(seek(11), (11, Some(hole(6))));
    assert_eq!(seek(26), (21, Some(hole(6))));
    assert_eq!(seek(27), (27, None));
    let inline = Content::Inline(vec![hole(4), hole(6)]);
    let mut cursor = ExtentCursor::new(&inline, 10);
    assert_eq!(cursor.seek(4, &mut store.fetcher()), Ok(4));
    assert_eq!(cursor.next_extent(&mut store.fetcher()), Ok(Some(hole(6))));
}
