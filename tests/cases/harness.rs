//! The comparison that every other case trusts: it sees each difference, and none in a copy.

use std::{fs, path::Path, time::Duration};

use larder_tests::{compare, short_directory, tree};

/// Something done to a copied tree.
type Change = fn(&Path);

fn copied() -> (tempfile::TempDir, std::path::PathBuf, std::path::PathBuf) {
    let directory = short_directory();
    let (original, copy) = (directory.path().join("a"), directory.path().join("b"));
    fs::create_dir(&original).unwrap();
    tree::every_kind(&original, 1);
    compare::copy(&original, &copy);
    (directory, original, copy)
}

#[test]
fn a_copy_by_rsync_is_the_same_and_every_change_to_it_is_seen() {
    let (_directory, original, copy) = copied();
    compare::assert_same_tree(&original, &copy);
    compare::assert_as_sparse(&original.join("contents/sparse"), &copy.join("contents/sparse"));
    let changes: [(&str, Change); 5] = [
        ("a byte, with size and time kept", flip_a_byte),
        ("a nanosecond", |copy| shift_time(&copy.join("contents/text"), 1)),
        ("a file too many", |copy| fs::write(copy.join("empty/a/more"), b"").unwrap()),
        ("a link broken up", |copy| {
            let path = copy.join("links/group.2");
            fs::copy(&path, copy.join("links/x")).unwrap();
            fs::rename(copy.join("links/x"), &path).unwrap();
        }),
        ("an attribute lost", |copy| {
            let path = copy.join("attributes/extended");
            rustix::fs::lremovexattr(&path, "user.note").unwrap();
        }),
    ];
    for (what, change) in changes {
        change(&copy);
        assert_ne!(compare::differences(&original, &copy), "", "not seen: {what}");
        compare::copy(&original, &copy);
        assert_eq!(compare::differences(&original, &copy), "", "after undoing: {what}");
    }
}

fn flip_a_byte(copy: &Path) {
    let path = copy.join("contents/random.65536");
    let modified = fs::metadata(&path).unwrap().modified().unwrap();
    let mut bytes = fs::read(&path).unwrap();
    bytes[40_000] ^= 1;
    fs::write(&path, bytes).unwrap();
    fs::File::options().write(true).open(&path).unwrap().set_modified(modified).unwrap();
}

fn shift_time(path: &Path, nanoseconds: u64) {
    let modified = fs::metadata(path).unwrap().modified().unwrap();
    let shifted = modified + Duration::from_nanos(nanoseconds);
    fs::File::options().write(true).open(path).unwrap().set_modified(shifted).unwrap();
}
