//! Tests of `tree::diff`.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::tree::entry::{Content, Extent};
use crate::tree::sample::{Item, Model, Store, attributes, build, change, fifo};

fn text(path: &[u8]) -> String {
    String::from_utf8(path.to_vec()).unwrap()
}

/// Every change as a line, and as many as there are.
fn lines(changes: &[Change]) -> Vec<String> {
    let line = |change: &Change| match change {
        Change::Added { path, .. } => format!("+ {}", text(path)),
        Change::Removed { path, .. } => format!("- {}", text(path)),
        Change::Modified { path, .. } => format!("M {}", text(path)),
        Change::Moved { from, path, .. } => format!("{} -> {}", text(from), text(path)),
    };
    changes.iter().map(line).collect()
}

fn model(items: &[(&str, bool, u32, Option<u16>)]) -> Model {
    let path = |path: &str| path.split('/').map(str::to_owned).collect();
    items
        .iter()
        .map(|(name, directory, version, identity)| {
            let item = Item { directory: *directory, version: *version, identity: *identity };
            (path(name), item)
        })
        .collect()
}

fn compare(old: &Model, new: &Model) -> Vec<Change> {
    let mut store = Store::default();
    let (old, new) = (build(old, &mut store), build(new, &mut store));
    diff(old, new, &mut store.fetcher()).unwrap()
}

fn compare_plainly(old: &Model, new: &Model) -> Vec<Change> {
    let mut store = Store::default();
    let (old, new) = (build(old, &mut store), build(new, &mut store));
    let mut comparison = Comparison::new(old, new);
    let mut fetch = store.fetcher();
    std::iter::from_fn(|| comparison.next_change(&mut fetch).unwrap()).collect()
}

/// A small file whose bytes are a slice of a bundle.
fn sliced(name: &str, bundle: u8, digest: u8) -> Entry {
    let chunk = ChunkId::from_bytes([bundle; 32]);
    let slice = Extent::Slice { chunk, offset: u32::from(bundle), bytes: 7, digest: [digest; 16] };
    let content = Content::Inline(vec![slice]);
    Entry { kind: Kind::File { bytes: 7, content }, ..fifo(name) }
}

// TREE-19
#[test]
fn a_file_that_only_lies_in_another_bundle_has_not_changed() {
    let mut store = Store::default();
    let old = store.directory([sliced("a", 1, 1), sliced("b", 1, 2)].iter());
    let new = store.directory([sliced("a", 2, 3), sliced("b", 2, 2)].iter());
    let mut comparison = Comparison::new(old, new);
    let mut fetch = store.fetcher();
    let changes: Vec<Change> =
        std::iter::from_fn(|| comparison.next_change(&mut fetch).unwrap()).collect();
    assert_eq!(lines(&changes), ["M a"]);
}

// TREE-15
#[test]
fn additions_removals_and_changes_are_named_with_all_that_is_below() {
    let old = model(&[
        ("a", false, 0, None),
        ("d", true, 0, None),
        ("d/x", false, 0, None),
        ("gone", true, 0, None),
        ("gone/y", false, 0, None),
        ("turns", false, 0, None),
    ]);
    let new = model(&[
        ("a", false, 1, None),
        ("d", true, 1, None),
        ("d/x", false, 0, None),
        ("d/z", false, 0, None),
        ("turns", true, 0, None),
        ("turns/in", false, 0, None),
    ]);
    let changes = lines(&compare(&old, &new));
    let expected =
        ["M a", "M d", "+ d/z", "- gone", "- gone/y", "- turns", "+ turns", "+ turns/in"];
    assert_eq!(changes, expected);
    assert_eq!(compare(&old, &old), []);
}

// TREE-17
#[test]
fn moves_are_recognised_by_identity() {
    let old = model(&[
        ("d", true, 0, Some(1)),
        ("d/a", false, 0, Some(2)),
        ("d/b", false, 0, Some(3)),
        ("d/sub", true, 0, Some(4)),
        ("d/sub/f", false, 0, Some(5)),
        ("old", true, 0, Some(6)),
        ("old/kept", true, 0, Some(7)),
        ("old/kept/g", false, 0, Some(8)),
        ("plain", false, 0, None),
    ]);
    let new = model(&[
        ("e", true, 0, Some(1)),
        ("e/a", false, 1, Some(2)),
        ("e/c", false, 0, Some(9)),
        ("e/sub", true, 0, Some(4)),
        ("e/sub/f", false, 0, Some(5)),
        ("kept", true, 0, Some(7)),
        ("kept/g", false, 0, Some(8)),
        ("b", false, 0, Some(3)),
        ("renamed", false, 0, None),
    ]);
    let changes = lines(&compare(&old, &new));
    let expected = [
        "d/b -> b",
        "d -> e",
        "M e/a",
        "+ e/c",
        "old/kept -> kept",
        "- old",
        "- plain",
        "+ renamed",
    ];
    assert_eq!(changes, expected);
}

// TREE-17
#[test]
fn hardlinked_files_do_not_count_as_moved() {
    let mut store = Store::default();
    let linked = |name: &str| {
        let mut entry = fifo(name);
        entry.attributes = crate::tree::entry::Attributes {
            links: 2,
            identity: Some(Identity([1; 16])),
            ..attributes()
        };
        entry
    };
    let old = store.directory([linked("a")].iter());
    let new = store.directory([linked("b")].iter());
    let changes = diff(old, new, &mut store.fetcher()).unwrap();
    assert_eq!(lines(&changes), ["- a", "+ b"]);
}

// TREE-16
#[test]
fn equal_nodes_are_never_fetched() {
    let mut entries: Vec<Entry> =
        (0..50_000).map(|number| fifo(&format!("file {number:06}"))).collect();
    let mut store = Store::default();
    let old = store.directory(entries.iter());
    entries[33_333].attributes.mode = 0o600;
    entries.remove(40_000);
    entries.insert(10_000, fifo("file 009999+"));
    let new = store.directory(entries.iter());
    let nodes = store.chunks.len();
    store.fetched = 0;
    let changes = diff(old, new, &mut store.fetcher()).unwrap();
    assert_eq!(lines(&changes), ["+ file 009999+", "M file 033333", "- file 040000"]);
    assert!(nodes > 30 && store.fetched <= 14, "{} of {nodes} fetched", store.fetched);
    store.fetched = 0;
    assert_eq!(diff(new, new, &mut store.fetcher()), Ok(Vec::new()));
    assert_eq!(store.fetched, 0);
}

fn components(change: &Change) -> Vec<&[u8]> {
    let (Change::Added { path, .. }
    | Change::Removed { path, .. }
    | Change::Modified { path, .. }
    | Change::Moved { path, .. }) = change;
    path.split(|byte| *byte == b'/').collect()
}

/// Paths and items compared one by one, without moves.
fn naive(old: &Model, new: &Model) -> BTreeSet<String> {
    let mut lines = BTreeSet::new();
    let paths: BTreeSet<&Vec<String>> = old.keys().chain(new.keys()).collect();
    for path in paths {
        let name = path.join("/");
        match (old.get(path), new.get(path)) {
            (Some(old), Some(new)) if old.directory != new.directory => {
                lines.insert(format!("- {name}"));
                lines.insert(format!("+ {name}"));
            }
            (Some(old), Some(new)) if old != new => {
                lines.insert(format!("M {name}"));
            }
            (Some(_), None) => {
                lines.insert(format!("- {name}"));
            }
            (None, Some(_)) => {
                lines.insert(format!("+ {name}"));
            }
            _ => {}
        }
    }
    lines
}

fn without_identities(model: &Model) -> Model {
    let strip = |(path, item): (&Vec<String>, &Item)| {
        (path.clone(), Item { identity: None, ..item.clone() })
    };
    model.iter().map(strip).collect()
}

/// Carries the paths of `old` along the changes; checks that they and the added ones are exactly
/// those of `new`, and that what is not said to have changed has not.
fn replay(old: &Model, new: &Model, changes: &[Change]) {
    let (mut moves, mut lost, mut added, mut touched) =
        (BTreeMap::new(), BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for change in changes {
        match change {
            Change::Added { path, .. } => assert!(added.insert(text(path))),
            Change::Removed { path, .. } => assert!(lost.insert(text(path))),
            Change::Modified { path, .. } => assert!(touched.insert(text(path))),
            Change::Moved { from, path, .. } => {
                touched.insert(text(path));
                assert!(moves.insert(text(from), text(path)).is_none());
            }
        }
    }
    let mut carried = BTreeMap::new();
    for (path, item) in old {
        if lost.contains(&path.join("/")) {
            continue;
        }
        let lead = (1..=path.len()).rev().find(|end| moves.contains_key(&path[..*end].join("/")));
        let now = match lead {
            Some(end) => {
                let moved = moves[&path[..end].join("/")].clone();
                [&[moved], &path[end..]].concat().join("/")
            }
            None => path.join("/"),
        };
        assert!(carried.insert(now, item).is_none());
    }
    for (path, item) in new {
        let path = path.join("/");
        match carried.remove(&path) {
            Some(before) => {
                assert!(!added.contains(&path), "{path} is carried over and added");
                assert!(before == item || touched.contains(&path), "{path} changed unsaid");
            }
            None => assert!(added.contains(&path), "{path} is not explained"),
        }
    }
    assert!(carried.is_empty(), "{carried:?} should be gone");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn equals_the_naive_comparison(
        first in prop::collection::vec(any::<(u8, u16, u16)>(), 0..60),
        then in prop::collection::vec(any::<(u8, u16, u16)>(), 0..12),
    ) {
        let mut old = Model::new();
        for (what, which, whereto) in first {
            change(&mut old, what, which, whereto);
        }
        let mut new = old.clone();
        for (what, which, whereto) in then {
            change(&mut new, what, which, whereto);
        }
        replay(&old, &new, &compare(&old, &new));
        let (old, new) = (without_identities(&old), without_identities(&new));
        let changes = lines(&compare(&old, &new));
        prop_assert_eq!(changes.len(), changes.iter().collect::<BTreeSet<_>>().len());
        prop_assert_eq!(changes.into_iter().collect::<BTreeSet<_>>(), naive(&old, &new));
    }

    // TREE-15
    #[test]
    fn the_plain_comparison_is_the_same_in_order_of_paths(
        first in prop::collection::vec(any::<(u8, u16, u16)>(), 0..60),
        then in prop::collection::vec(any::<(u8, u16, u16)>(), 0..12),
    ) {
        let mut old = Model::new();
        for (what, which, whereto) in first {
            change(&mut old, what, which, whereto);
        }
        let mut new = old.clone();
        for (what, which, whereto) in then {
            change(&mut new, what, which, whereto);
        }
        let changes = lines(&compare_plainly(&old, &new));
        prop_assert_eq!(changes.into_iter().collect::<BTreeSet<_>>(), naive(&old, &new));
        let (old, new) = (without_identities(&old), without_identities(&new));
        let mut plain = compare_plainly(&old, &new);
        // What took the place of a directory comes after all that was in the directory.
        let in_order = |a: &Change, b: &Change| {
            components(a) <= components(b)
                || (matches!(b, Change::Added { .. }) && components(a).starts_with(&components(b)))
        };
        prop_assert!(plain.is_sorted_by(in_order), "{:?}", lines(&plain));
        plain.sort_by(|a, b| components(a).cmp(&components(b)));
        prop_assert_eq!(plain, compare(&old, &new));
    }
}
