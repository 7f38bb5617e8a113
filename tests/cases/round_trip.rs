//! The promise itself: the device is gone, the phrase and any one holder bring everything back.

use std::{fs, process::Command};

use larder_tests::{circle::Circle, compare, node::Node, skipped, tree};

// FILES-1, INV-2, INV-3
#[test]
fn a_folder_survives_its_device_with_both_holders_and_with_each_alone() {
    let mut circle = Circle::new(2);
    let folder = circle.folder("folder");
    tree::every_kind(&folder, 11);
    let done = circle.backup(&folder);
    assert_eq!(done["copies_reached"], 2, "{done:#}");
    assert_eq!(done["problems_total"], 0, "{done:#}");
    circle.lose_source();

    let (fresh, restored, outcome) = circle.restore_with("both", &[0, 1]);
    assert_eq!(outcome["problems_total"], 0, "{outcome:#}");
    assert_eq!(outcome["blamed"].as_array().unwrap().len(), 0, "{outcome:#}");
    compare::assert_same_tree(&folder, &compare::below(&restored, &folder));
    for name in ["contents/sparse", "contents/only.hole"] {
        let restored = compare::below(&restored, &folder);
        compare::assert_as_sparse(&folder.join(name), &restored.join(name));
    }
    drop(fresh);
    for (alone, away) in [(0, 1), (1, 0)] {
        circle.holders[away].stop();
        let (_fresh, restored, _) = circle.restore_with(&format!("only{alone}"), &[alone]);
        compare::assert_same_tree(&folder, &compare::below(&restored, &folder));
        circle.holders[away].up();
    }
}

#[test]
fn a_recovered_device_sees_what_there_was_and_goes_on_backing_up() {
    let mut circle = Circle::new(1);
    let folder = circle.folder("folder");
    tree::ordinary(&folder, 12, 60, 20_000);
    circle.backup(&folder);
    circle.lose_source();

    let mut fresh = circle.recoverer("fresh");
    let recovered = circle.recover(&fresh, &[0]).ok().json();
    assert_eq!(recovered["snapshots"].as_array().unwrap().len(), 1, "{recovered:#}");
    assert_eq!(recovered["witnesses_answered"], 1, "{recovered:#}");
    fresh.up();
    let restored = circle.path("restored");
    fresh.cli(["restore", "latest", "--to"], [&restored]).ok();
    compare::assert_same_tree(&folder, &compare::below(&restored, &folder));
    // The same files again: nothing but directories (new inodes, new identities) is new.
    let done = fresh.cli(["backup"], [compare::below(&restored, &folder)]).ok().json();
    assert_eq!(done["reached"], "safe", "{done:#}");
    let new = done["snapshots"][0]["new_bytes"].as_u64().unwrap();
    assert!(new < 1_100_000 / 20, "{done:#}");
    assert_eq!(fresh.ask(["snapshots"])["snapshots"].as_array().unwrap().len(), 2);
    assert_eq!(fresh.ask(["devices"])["devices"].as_array().unwrap().len(), 2);
}

#[test]
fn a_part_of_a_snapshot_can_be_seen_and_restored_alone() {
    let circle = Circle::new(1);
    let folder = circle.folder("folder");
    tree::every_kind(&folder, 13);
    circle.backup(&folder);
    let source = &circle.source;
    let listed = source.ask(["ls", "latest", "names"]);
    assert!(listed["entries"].as_array().unwrap().len() > 16, "{listed:#}");
    let shown = source.command(["cat", "latest", "contents/text"], [""; 0]);
    let words: Vec<_> = shown.get_args().filter(|word| *word != "--json").collect();
    let mut plain = Command::new(shown.get_program());
    let bytes = larder_tests::process::run(plain.args(words), larder_tests::node::COMMAND_LIMIT);
    assert_eq!(bytes.ok().stdout, fs::read(folder.join("contents/text")).unwrap());
    let found = source.ask(["find", "twin.*"]);
    assert_eq!(found["matches"].as_array().unwrap().len(), 2, "{found:#}");
    let target = circle.path("part");
    source.cli(["restore", "latest", "attributes", "--to"], [&target]).ok();
    let restored = compare::below(&target, &folder);
    compare::assert_same_tree(&folder.join("attributes"), &restored.join("attributes"));
    assert_eq!(fs::read_dir(&restored).unwrap().count(), 1);
}

// FILES-31, FILES-35, FILES-36
#[test]
fn what_is_there_already_is_treated_as_asked() {
    let circle = Circle::new(0);
    let folder = circle.folder("folder");
    tree::every_kind(&folder, 14);
    let node = &circle.source;
    node.cli(["backup", "--wait", "local"], [&folder]).ok();
    let target = circle.path("target");
    node.cli(["restore", "latest", "--dry-run", "--to"], [&target]).ok();
    assert!(!target.exists(), "a dry run made something");
    node.cli(["restore", "latest", "--to"], [&target]).ok();
    let below = compare::below(&target, &folder);
    compare::assert_same_tree(&folder, &below);

    let changed = |path: &std::path::Path| {
        use std::os::unix::fs::MetadataExt;
        let metadata = fs::symlink_metadata(path).unwrap();
        (path.to_owned(), metadata.ino(), metadata.ctime(), metadata.ctime_nsec())
    };
    let stamps = |root| tree::bottom_up(root).iter().map(|p| changed(p)).collect::<Vec<_>>();
    let before = stamps(&below);
    let again = node.cli(["restore", "latest", "--to"], [&target]).ok().json();
    assert_eq!(again["files_written"], 0, "{again:#}");
    let touched: Vec<_> =
        stamps(&below).into_iter().zip(before).filter(|(now, then)| now != then).collect();
    assert!(touched.is_empty(), "a restore of what is there touched {touched:?}");

    let mine = below.join("contents/text");
    let write = || fs::write(&mine, b"changed by the person since").unwrap();
    let read = || fs::read(&mine).unwrap();
    let saved = fs::read(folder.join("contents/text")).unwrap();
    for (policy, stays) in [("never", true), ("newer", true), ("changed", false), ("always", false)]
    {
        write();
        let words = ["restore", "latest", "--overwrite", policy, "--to"];
        node.cli(words, [&target]).ok();
        assert_eq!(read() != saved, stays, "with --overwrite {policy}");
    }
    compare::assert_same_tree(&folder, &below);
}

// FILES-41, FILES-45
#[test]
fn a_backup_and_a_restore_need_few_open_files() {
    if Command::new("prlimit").arg("--version").output().is_err() {
        skipped("few open files", "there is no prlimit here");
        return;
    }
    let circle = Circle::new(0);
    let folder = circle.folder("folder");
    for number in 0_u32..600 {
        let dir = folder.join(format!("dir {number}"));
        fs::create_dir(&dir).unwrap();
        fs::write(dir.join("file"), number.to_le_bytes().repeat(100)).unwrap();
    }
    let words = ["prlimit", "--nofile=160:160", "--"];
    let node = Node::new(&circle.path(""), "few").behind(words.map(Into::into).to_vec());
    node.init();
    node.cli(["backup", "--wait", "local"], [&folder]).ok();
    let target = circle.path("target");
    let done = node.cli(["restore", "latest", "--to"], [&target]).ok().json();
    assert_eq!(done["files_written"], 600, "{done:#}");
    compare::assert_same_tree(&folder, &compare::below(&target, &folder));
}
