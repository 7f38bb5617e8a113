//! A holder that comes back with an older head: the newer one wins wherever it is known.

use std::{fs, path::Path, time::Duration};

use larder_tests::{circle::Circle, compare, process::eventually, tree};

#[test]
fn a_head_older_than_one_already_seen_hides_nothing() {
    let mut circle = Circle::new(2);
    let folder = circle.folder("folder");
    tree::ordinary(&folder, 81, 40, 10_000);
    circle.backup(&folder);
    let old = circle.path("old");
    circle.holders[0].stop();
    compare::copy(&circle.holders[0].home().join("vaults"), &old);
    circle.holders[0].up();
    fs::write(folder.join("newer"), b"only in the second snapshot").unwrap();
    circle.backup(&folder);
    circle.holders[0].stop();
    compare::copy(&old, &circle.holders[0].home().join("vaults"));
    circle.holders[0].up();

    // The source knows better and goes on; the holder takes the newer head again.
    fs::write(folder.join("newest"), b"only in the third snapshot").unwrap();
    circle.backup(&folder);
    circle.lose_source();
    circle.holders[1].stop();
    let (_fresh, restored, _) = circle.restore_with("alone", &[0]);
    compare::assert_same_tree(&folder, &compare::below(&restored, &folder));
    circle.holders[1].up();

    // Without the source: one holder with an old head beside one with the newest.
    circle.holders[0].stop();
    compare::copy(&old, &circle.holders[0].home().join("vaults"));
    circle.holders[0].up();
    let fresh = circle.recoverer("fresh");
    let recovered = circle.recover(&fresh, &[0, 1]).ok().json();
    assert_eq!(recovered["witnesses_answered"], 2, "{recovered:#}");
    assert_eq!(recovered["snapshots"].as_array().unwrap().len(), 3, "{recovered:#}");
    let target = circle.path("target");
    fresh.cli(["restore", "latest", "--to"], [&target]).ok();
    compare::assert_same_tree(&folder, &compare::below(&target, &folder));
}

// PLACE-24
#[test]
fn what_one_household_alone_was_given_while_the_other_slept_is_restored_from_it() {
    let mut circle = Circle::new(2);
    let folder = circle.folder("folder");
    tree::ordinary(&folder, 83, 40, 10_000);
    circle.backup(&folder);
    circle.holders[1].stop();
    fs::write(folder.join("of today"), b"while the other household slept").unwrap();
    circle.source.cli(["backup", "--wait", "local"], [&folder]).ok();
    let awake = circle.holders[0].home().join("vaults");
    eventually("the one that is up has the newer head", Duration::from_secs(30), || {
        superseded(&awake) > 0
    });
    assert_eq!(circle.source.ask(["status"])["survives_households"], 0, "this one is not enough");
    circle.lose_source();
    let (_fresh, restored, _) = circle.restore_with("alone", &[0]);
    compare::assert_same_tree(&folder, &compare::below(&restored, &folder));
}

/// Heads that newer ones have replaced, of all vaults.
fn superseded(vaults: &Path) -> usize {
    let count =
        |vault: fs::DirEntry| fs::read_dir(vault.path().join("past")).map_or(0, Iterator::count);
    fs::read_dir(vaults).unwrap().map(|vault| count(vault.unwrap())).sum()
}

// RESTORE-16
#[test]
fn a_head_whose_packs_are_lost_hides_no_older_one() {
    let mut circle = Circle::new(2);
    let folder = circle.folder("folder");
    tree::ordinary(&folder, 84, 40, 10_000);
    circle.backup(&folder);
    let kept = circle.path("kept");
    compare::copy(&folder, &kept);
    circle.holders[1].stop();
    let before = circle.holders[0].shards();
    fs::write(folder.join("of today"), b"lost with the disk that alone had it").unwrap();
    circle.source.cli(["backup", "--wait", "local"], [&folder]).ok();
    let awake = circle.holders[0].home().join("vaults");
    eventually("the one that is up has the newer head", Duration::from_secs(30), || {
        superseded(&awake) > 0
    });
    circle.lose_source();
    circle.holders[0].stop();
    for shard in circle.holders[0].shards().iter().filter(|it| !before.contains(it)) {
        fs::remove_file(shard).unwrap();
    }
    circle.holders[0].up();
    // The head before is in the past of that very holder.
    let (_fresh, restored, _) = circle.restore_with("fresh", &[0]);
    compare::assert_same_tree(&kept, &compare::below(&restored, &folder));
}

#[test]
fn a_holder_that_comes_back_at_another_address_is_found_again() {
    let mut circle = Circle::new(1);
    let folder = circle.folder("folder");
    tree::ordinary(&folder, 82, 10, 10_000);
    circle.backup(&folder);
    circle.holders[0].stop();
    circle.holders[0].move_elsewhere();
    circle.holders[0].up();
    // Nobody is told: the holder knows where the source is, and says where it is itself.
    fs::write(folder.join("newer"), b"after the move").unwrap();
    circle.backup(&folder);
}
