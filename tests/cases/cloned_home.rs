//! A home that was copied and runs twice: two heads with one number. It is noticed, said, and
//! nothing of either side is lost.

use std::{fs, path::Path, process::Command, time::Duration};

use larder_tests::{
    circle::Circle,
    compare,
    node::{COMMAND_LIMIT, Node},
    process::{eventually, run},
    tree,
};
use serde_json::Value;

const LIMIT: Duration = Duration::from_secs(60);
/// What a device says that met a head of its own which it did not write.
const CLONED: &str = "another machine works with this device's key";

fn copy(from: &Path, to: &Path) {
    run(Command::new("cp").arg("-a").args([from, to]), COMMAND_LIMIT).ok();
}

fn advice(node: &Node) -> String {
    node.ask(["status"])["advice"].to_string()
}

/// The home of a stopped source, once more.
fn clone_of(circle: &Circle) -> Node {
    copy(circle.source.home(), &circle.path("twin"));
    Node::new(&circle.path(""), "twin")
}

// INV-7, HEAD-7
#[test]
fn a_clone_that_meets_a_head_of_its_own_publishes_nothing() {
    let mut circle = Circle::new(1);
    let folder = circle.folder("folder");
    tree::ordinary(&folder, 171, 30, 20_000);
    circle.backup(&folder);
    circle.source.stop();
    let mut twin = clone_of(&circle);

    circle.source.up();
    fs::write(folder.join("of the first"), b"1").unwrap();
    circle.backup(&folder);
    let before = circle.path("before");
    copy(&folder, &before);
    circle.source.stop();
    let heads = || circle.holders[0].home().join("vaults");
    let kept = tree::bottom_up(&heads()).len();
    twin.up();
    fs::remove_file(folder.join("of the first")).unwrap();
    fs::write(folder.join("of the clone"), b"2").unwrap();
    let refused = twin.cli(["backup", "--timeout", "30"], [&folder]);
    assert_ne!(refused.code, Some(0), "{refused}");
    eventually("it says so", LIMIT, || advice(&twin).contains(CLONED));
    // What it has saved stays with it: nobody is given a second head of that number.
    assert_eq!(tree::bottom_up(&heads()).len(), kept);
    twin.stop();

    let (_, target, _) = circle.restore_with("fresh", &[0]);
    compare::assert_same_tree(&before, &compare::below(&target, &folder));
}

// HEAD-7: a disk image of last month, and the machine alone with its holder.
#[test]
fn a_home_set_back_to_an_old_image_is_noticed_at_the_start() {
    let mut circle = Circle::new(1);
    let folder = circle.folder("folder");
    tree::ordinary(&folder, 172, 10, 20_000);
    circle.backup(&folder);
    circle.source.stop();
    copy(circle.source.home(), &circle.path("image"));
    circle.source.up();
    for day in 0..3 {
        fs::write(folder.join(format!("of day {day}")), b"more").unwrap();
        circle.backup(&folder);
    }
    circle.source.stop();
    fs::remove_dir_all(circle.source.home()).unwrap();
    copy(&circle.path("image"), circle.source.home());
    circle.source.up();
    eventually("it is noticed without any command", LIMIT, || {
        advice(&circle.source).contains(CLONED)
    });
    circle.source.cli(["backup", "--timeout", "5"], [&folder]).expect_failure();
    let (_, target, _) = circle.restore_with("fresh", &[0]);
    compare::assert_same_tree(&folder, &compare::below(&target, &folder));
}

/// The newest snapshot of which a file is part.
fn with_file(node: &Node, name: &str) -> Option<String> {
    let found = node.ask(["find", name]);
    let matches = found["matches"].as_array().unwrap();
    matches.last().map(|one| one["snapshot"].as_str().unwrap().to_owned())
}

// HEAD-6, HEAD-13, HEAD-14: both go on, each with a holder that the other one does not reach.
#[test]
fn both_sides_of_a_fork_are_restored_and_stay_when_the_device_is_removed() {
    let mut circle = Circle::new(2);
    let folder = circle.folder("folder");
    tree::ordinary(&folder, 173, 20, 20_000);
    circle.backup(&folder);
    circle.source.ask(["config", "set", "policy.copies", "1"]);
    circle.source.stop();
    let mut twin = clone_of(&circle);
    circle.holders[1].stop();
    circle.source.up();
    fs::write(folder.join("of-the-first"), b"1").unwrap();
    circle.backup(&folder);
    let first = circle.path("first");
    copy(&folder, &first);
    circle.lose_source();
    circle.holders[0].stop();
    circle.holders[1].up();
    twin.up();
    fs::remove_file(folder.join("of-the-first")).unwrap();
    fs::write(folder.join("of-the-twin"), b"2").unwrap();
    let done = twin.cli(["backup"], [&folder]).ok().json();
    assert_eq!(done["reached"], "safe", "{done:#}");
    let second = circle.path("second");
    copy(&folder, &second);
    twin.kill();
    circle.holders[0].up();

    let restores_both = |node: &Node, again: &str| {
        for (name, tree) in [("of-the-first", &first), ("of-the-twin", &second)] {
            let snapshot =
                with_file(node, name).unwrap_or_else(|| panic!("no snapshot has {name}"));
            let target = circle.path(&format!("{name}{again}"));
            node.cli(["restore", &snapshot, "--to"], [&target]).ok();
            compare::assert_same_tree(tree, &compare::below(&target, &folder));
        }
    };
    let mut fresh = circle.recoverer("fresh");
    circle.recover(&fresh, &[0, 1]).ok();
    assert!(advice(&fresh).contains("two histories"), "{}", advice(&fresh));
    restores_both(&fresh, "");

    // As is advised: the device is replaced by the one that recovered.
    fresh.up();
    let revoked = fresh.ask(["revoke", "source", "--reason", "replaced"]);
    assert_eq!(revoked["not_told"], Value::Array(Vec::new()), "{revoked:#}");
    restores_both(&fresh, ".revoked");
    // It claims what either side needs with its next commit, and whoever recovers finds both.
    let other = circle.folder("other");
    fs::write(other.join("file"), b"of the device that recovered").unwrap();
    fresh.cli(["backup"], [&other]).ok();
    let claimed = fresh.ask(["forget", "--keep-last", "1", "--dry-run"]);
    println!("waste besides: {} bytes", claimed["freed_bytes"]);
    fresh.stop();
    let last = circle.recoverer("last");
    circle.recover(&last, &[0, 1]).ok();
    restores_both(&last, ".last");
}
