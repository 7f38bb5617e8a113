//! Real trees there and back in every way that is promised: `LARDER_LARGE=1 cargo test --release ... real_trees`.
//!
//! Trees: Debian's `linux-source-6.1` and `/usr/share`, where they are there, or those that
//! `LARDER_TREES` names. Prints its figures.

use std::{
    env, fs,
    io::Write,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use larder_tests::{circle::Circle, compare, network::Network, node::Node, process::run, skipped};
use serde_json::Value;

use crate::{
    corruption::rot,
    killed_restore::restore_killed_three_times,
    memory::{HOLDER_BYTES_MAX, LIMIT, SOURCE_BYTES_MAX, large},
};

const KERNEL: &str = "/usr/src/linux-source-6.1";
const MIB: u64 = 1 << 20;

#[test]
fn real_trees_go_round() {
    if !large() {
        skipped("real trees", "set LARDER_LARGE=1, it takes long");
        return;
    }
    let trees = env::var("LARDER_TREES").unwrap_or_else(|_| format!("{KERNEL}:/usr/share"));
    for tree in trees.split(':').map(Path::new) {
        if tree.is_dir() || tarball(tree).is_file() {
            goes_round(tree);
        } else {
            skipped("a real tree", &format!("{} is not there", tree.display()));
        }
    }
}

/// Debian ships the kernel's sources packed.
fn tarball(tree: &Path) -> PathBuf {
    tree.with_file_name(format!("{}.tar.xz", tree.file_name().unwrap().to_string_lossy()))
}

fn bring(tree: &Path, folder: &Path) {
    if tree.is_dir() {
        compare::copy(tree, folder);
    } else {
        run(Command::new("tar").arg("-xf").arg(tarball(tree)).arg("-C").arg(folder), LIMIT).ok();
    }
}

fn goes_round(tree: &Path) {
    println!("{}", tree.display());
    let network = Network::isolated();
    let mut circle = Circle::behind(2, network.as_ref().map_or_else(Vec::new, Network::enter));
    let folder = circle.folder("folder");
    bring(tree, &folder);
    first_and_second_snapshot(&circle, &folder);
    for holder in &circle.holders {
        let used = holder.usage().rss_bytes_max;
        println!("  {}: {} MiB at most", holder.name, used / MIB);
        assert!(used < HOLDER_BYTES_MAX, "{} took {} MiB", holder.name, used / MIB);
    }
    circle.lose_source();
    let before = network.as_ref().map(Network::traffic);
    restore(&circle, &folder, "both", &[0, 1]);
    if let (Some(network), Some(before)) = (&network, before) {
        let undisturbed = network.traffic().since(before).bytes;
        let (_fresh, target) = restore_killed_three_times(&circle, network, undisturbed);
        same(&folder, &target);
    } else {
        skipped("restore killed three times", "no network namespace can be made here");
    }
    for (alone, away) in [(0, 1), (1, 0)] {
        circle.holders[away].stop();
        restore(&circle, &folder, &format!("only{alone}"), &[alone]);
        circle.holders[away].up();
    }
    let rotten = circle.holders[0].device();
    circle.holders[0].stop();
    rot(&circle.holders[0].home().join("depot"));
    circle.holders[0].up();
    let outcome = restore(&circle, &folder, "rotten", &[0, 1]);
    let blamed = outcome["blamed"].as_array().unwrap();
    assert!(!blamed.is_empty() && blamed.iter().all(|one| one["device"] == rotten.as_str()));
}

fn first_and_second_snapshot(circle: &Circle, folder: &Path) {
    // What is younger than two seconds is read again by the next backup (HOME-5).
    std::thread::sleep(Duration::from_millis(2100));
    let begun = Instant::now();
    let first = circle.backup(folder);
    println!("  first backup: {:?}, {first}", begun.elapsed());
    let some_file = first_file(folder).expect("a real tree has files");
    fs::File::options().append(true).open(some_file).unwrap().write_all(b"changed\n").unwrap();
    let begun = Instant::now();
    let second = circle.backup(folder);
    println!("  second backup: {:?}, {second}", begun.elapsed());
    assert!(second["sent_bytes"].as_u64().unwrap() / 2 < 1_000_000, "{second:#}");
    let snapshot = &second["snapshots"][0];
    assert_eq!(snapshot["files_changed"], 1, "{second:#}");
    assert!(snapshot["read_bytes"].as_u64().unwrap() < 1_000_000, "{second:#}");
    let used = circle.source.usage().rss_bytes_max;
    println!("  source: {} MiB at most", used / MIB);
    assert!(used < SOURCE_BYTES_MAX, "the source took {} MiB", used / MIB);
}

fn first_file(folder: &Path) -> Option<PathBuf> {
    let mut entries: Vec<PathBuf> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    let is_file = |path: &PathBuf| fs::symlink_metadata(path).is_ok_and(|it| it.is_file());
    entries.iter().find(|path| is_file(path)).cloned().or_else(|| {
        entries
            .iter()
            .filter(|path| path.is_dir() && !path.is_symlink())
            .find_map(|path| first_file(path))
    })
}

/// Restores with a fresh home and compares; a target of a gigabyte does not stay.
fn restore(circle: &Circle, folder: &Path, name: &str, holders: &[usize]) -> Value {
    let fresh: Node = circle.recoverer(name);
    circle.recover(&fresh, holders).ok();
    let target = circle.path(&format!("{name}.restored"));
    let begun = Instant::now();
    let restored = run(&mut fresh.command(["restore", "latest", "--to"], [&target]), LIMIT).ok();
    let (took, used) = (begun.elapsed(), restored.rss_bytes_max);
    let outcome = restored.json();
    println!("  restore, {name}: {took:?}, {} MiB at most, {outcome}", used / MIB);
    assert!(used < SOURCE_BYTES_MAX, "the restorer took {} MiB", used / MIB);
    same(folder, &target);
    outcome
}

fn same(folder: &Path, target: &Path) {
    compare::assert_same_tree(folder, &compare::below(target, folder));
    fs::remove_dir_all(target).unwrap();
}
