//! A holder whose disk rots: it is named, what it has is fetched elsewhere, nothing wrong is written.

use std::{
    fs::{self, File},
    os::unix::fs::FileExt,
    path::Path,
};

use larder_tests::{circle::Circle, compare, tree};

/// Flips a byte in every third verification group of every shard.
pub(crate) fn rot(depot: &Path) -> usize {
    let mut flipped = 0;
    for path in tree::bottom_up(depot) {
        let is_shard = path.file_name().is_some_and(|name| name.len() == 64);
        if !is_shard || !path.is_file() {
            continue;
        }
        let file = File::options().read(true).write(true).open(&path).unwrap();
        let length = file.metadata().unwrap().len();
        for start in (0..length).step_by(3 * 16 * 1024) {
            let mut byte = [0];
            let at = (start + 77).min(length - 1);
            file.read_exact_at(&mut byte, at).unwrap();
            file.write_all_at(&[byte[0] ^ 0x10], at).unwrap();
            flipped += 1;
        }
    }
    flipped
}

// INV-11
#[test]
fn a_holder_with_rotten_shards_is_named_and_nothing_wrong_is_written() {
    let mut circle = Circle::new(2);
    let folder = circle.folder("folder");
    tree::ordinary(&folder, 21, 120, 200_000);
    circle.backup(&folder);
    let rotten = circle.holders[0].device();
    circle.holders[0].stop();
    assert!(rot(&circle.holders[0].home().join("depot")) > 100);
    circle.holders[0].up();
    circle.lose_source();

    let (_fresh, restored, outcome) = circle.restore_with("fresh", &[0, 1]);
    compare::assert_same_tree(&folder, &compare::below(&restored, &folder));
    let blamed = outcome["blamed"].as_array().unwrap();
    assert!(!blamed.is_empty(), "the rotten holder is not named: {outcome:#}");
    let only_rotten = blamed.iter().all(|blame| blame["device"] == rotten.as_str());
    assert!(only_rotten, "only the rotten holder is to blame: {outcome:#}");
    // The holder finds it as well, says so, and goes on serving.
    let verified = circle.holders[0].cli(["verify"], [""; 0]).expect_code(1).json();
    assert!(verified["damaged"].as_u64().unwrap() > 0, "{verified:#}");
}

#[test]
fn with_every_holder_rotten_the_restore_fails_and_writes_no_wrong_file() {
    let mut circle = Circle::new(1);
    let folder = circle.folder("folder");
    tree::ordinary(&folder, 22, 40, 100_000);
    circle.backup(&folder);
    circle.lose_source();
    // What the recoverer needs to begin is fetched first, so that the data alone is rotten.
    let fresh = circle.recoverer("fresh");
    circle.recover(&fresh, &[0]).ok();
    circle.holders[0].stop();
    rot(&circle.holders[0].home().join("depot"));
    circle.holders[0].up();
    let target = circle.path("restored");
    let output = fresh.cli(["restore", "latest", "--to"], [&target]);
    assert_ne!(output.code, Some(0), "{output}");
    if target.exists() {
        for path in tree::bottom_up(&target) {
            let name = path.strip_prefix(&target).unwrap();
            let original = Path::new("/").join(name);
            let temporary = path.file_name().unwrap().to_string_lossy().starts_with(".larder-part");
            if path.is_file() && !temporary {
                assert_eq!(fs::read(&path).unwrap(), fs::read(original).unwrap());
            }
        }
    }
}
