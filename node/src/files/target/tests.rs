//! Restoring against real directories.

use std::{fs, os::unix::fs::MetadataExt, path::Path};

use super::*;
use crate::files::{WalkOptions, testing::*};

fn open(path: &Path, policy: Policy) -> Target {
    Target::open(path, TargetOptions { policy }).unwrap()
}

// FILES-1, FILES-30
#[test]
fn a_tree_with_every_kind_of_entry_is_copied_identically() {
    let temporary = tempfile::tempdir().unwrap();
    let (from, to) = (temporary.path().join("from"), temporary.path().join("to"));
    make_odd_tree(&from);
    let target = open(&to, Policy::Changed);
    let copied = copy_tree(&from, &target, &WalkOptions::default());
    assert_eq!(copied.unreadable, Vec::<Vec<u8>>::new());
    assert_eq!(copied.skipped, []);
    if is_root() {
        assert_eq!(target.shortfalls(), Shortfalls::default());
        assert_identical(&from, &to);
    }
    for sparse in ["sparse", "all hole"] {
        let (source, copy) =
            (fs::metadata(from.join(sparse)).unwrap(), fs::metadata(to.join(sparse)).unwrap());
        assert!(copy.blocks() <= source.blocks() + 8, "{sparse} takes {} blocks", copy.blocks());
    }
    // A second time nothing is written.
    drop(target);
    let again = copy_tree(&from, &open(&to, Policy::Changed), &WalkOptions::default());
    assert_eq!(again.data_bytes, 0);
    assert_eq!(again.kept, 0);
    if is_root() {
        assert_identical(&from, &to);
    }
}

/// A large real tree: `cargo test -p larder-node a_real_tree -- --ignored --nocapture`, with
/// `LARDER_TEST_TREE` naming it.
#[test]
#[ignore = "takes a minute and needs a large tree"]
fn a_real_tree_is_copied_identically() {
    let from = std::env::var_os("LARDER_TEST_TREE").expect("LARDER_TEST_TREE names a folder");
    let from = Path::new(&from);
    let temporary = tempfile::tempdir_in("/var/tmp").unwrap();
    let to = temporary.path().join("to");
    let start = std::time::Instant::now();
    let copied = copy_tree(from, &open(&to, Policy::Changed), &WalkOptions::default());
    skipped(&format!("(nothing) {copied:?} in {:?}", start.elapsed()));
    assert_identical(from, &to);
}
