//! Full disks: at the holder, at the source, and where a restore writes.

use std::{fs, io::Write, path::Path, process::Stdio, time::Duration};

use larder_tests::{
    circle::{Circle, OFFER, pair},
    compare,
    disk::SmallDisk,
    node::{Node, error_of},
    process::eventually,
    skipped, tree,
};

const MIB: u64 = 1 << 20;

fn small_disk(circle: &Circle, name: &str, bytes: u64) -> Option<SmallDisk> {
    let disk = SmallDisk::mount(&circle.path(name), bytes);
    if disk.is_none() {
        skipped("full disks", "no file system can be mounted here");
    }
    disk
}

/// Adds a running holder whose whole home lies on `disk`.
fn holder_on(circle: &mut Circle, disk: &SmallDisk) {
    let name = disk.path().file_name().unwrap().to_str().unwrap();
    let mut holder = Node::new(disk.path().parent().unwrap(), name);
    holder.init();
    holder.up();
    holder.ask(["offer", OFFER]);
    pair(&circle.source, &holder, "--circle");
    circle.holders.push(holder);
}

// DEPOT-11
#[test]
fn a_holder_with_a_full_disk_refuses_and_stays_serviceable() {
    let mut circle = Circle::new(0);
    // Beyond what a holder leaves free for its owner there is little room.
    let Some(disk) = small_disk(&circle, "small", 330 * MIB) else { return };
    holder_on(&mut circle, &disk);
    let folder = circle.folder("folder");
    tree::ordinary(&folder, 111, 20, 100_000);
    circle.backup(&folder);
    let small = circle.path("restored.small");
    let first = circle.source.ask(["snapshots"])["snapshots"][0]["snapshot"].clone();
    // Its owner fills the disk to the last byte.
    let filler = disk.path().join("filler");
    let full = fill(&filler);
    assert!(full > 200 * MIB, "only {full} bytes were free");

    let more = folder.join("more");
    fs::create_dir(&more).unwrap();
    tree::ordinary(&more, 112, 300, 400_000);
    let output = circle.source.cli(["backup", "--timeout", "20"], [&folder]).expect_code(4);
    assert_eq!(output.json()["reached"], "local", "{output}");
    let status = circle.source.ask(["status"]);
    assert!(!status["advice"].as_array().unwrap().is_empty(), "{status:#}");
    // Full, and still there: it answers, proves and serves.
    assert!(circle.holders[0].is_up());
    circle.holders[0].ask(["status"]);
    let verified = circle.holders[0].ask(["verify"]);
    assert_eq!(verified["missing"], 0, "{verified:#}");
    let words = ["restore", first.as_str().unwrap(), "--to"];
    circle.source.cli(words, [&small]).ok();
    // Restarted on the full disk as well.
    circle.holders[0].stop();
    circle.holders[0].up();
    // With room again, it goes on by itself.
    fs::remove_file(&filler).unwrap();
    disk.resize(700 * MIB);
    circle.backup(&folder);
    circle.lose_source();
    let (_fresh, restored, _) = circle.restore_with("fresh", &[0]);
    compare::assert_same_tree(&folder, &compare::below(&restored, &folder));
    circle.holders.clear();
}

#[test]
fn a_source_with_a_full_spool_waits_says_so_and_goes_on() {
    let mut circle = Circle::new(1);
    let folder = circle.folder("folder");
    tree::ordinary(&folder, 113, 200, 500_000);
    circle.source.ask(["config", "set", "depot.spool_max", "24MiB"]);
    circle.source.stop();
    circle.source.up();
    circle.holders[0].stop();
    let mut command = circle.source.command(["backup"], [&folder]);
    let log = circle.path("backup.log");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(fs::File::create(&log).unwrap());
    let mut backup = command.spawn().unwrap();
    eventually("it says that it waits", Duration::from_secs(90), || {
        assert!(backup.try_wait().unwrap().is_none(), "{}", fs::read_to_string(&log).unwrap());
        fs::read_to_string(&log).unwrap().to_lowercase().contains("wait")
    });
    let kept = size(&circle.source.home().join("depot"));
    assert!(kept < 80 * MIB, "{kept} bytes in a spool of 24 MiB");
    circle.holders[0].up();
    eventually("the backup ends", Duration::from_secs(180), || {
        backup.try_wait().unwrap().is_some_and(|status| {
            assert!(status.success(), "{status}: {}", fs::read_to_string(&log).unwrap());
            true
        })
    });
    circle.lose_source();
    let (_fresh, restored, _) = circle.restore_with("fresh", &[0]);
    compare::assert_same_tree(&folder, &compare::below(&restored, &folder));
}

/// Writes until nothing fits any more; how much it was.
fn fill(path: &Path) -> u64 {
    let mut file = fs::File::create(path).unwrap();
    for block in [1 << 20, 4096, 1] {
        while file.write_all(&vec![b'f'; block]).is_ok() {}
    }
    fs::metadata(path).unwrap().len()
}

fn size(directory: &Path) -> u64 {
    let paths = tree::bottom_up(directory);
    paths.iter().filter(|path| path.is_file()).map(|path| fs::metadata(path).unwrap().len()).sum()
}

// FILES-34
#[test]
fn a_restore_onto_a_full_disk_stops_cleanly_and_goes_on_later() {
    let mut circle = Circle::new(1);
    let Some(disk) = small_disk(&circle, "target", 16 * MIB) else { return };
    let folder = circle.folder("folder");
    tree::ordinary(&folder, 114, 100, 400_000);
    circle.backup(&folder);
    circle.lose_source();
    let fresh = circle.recoverer("fresh");
    circle.recover(&fresh, &[0]).ok();
    let output = fresh.cli(["restore", "latest", "--to"], [disk.path()]).expect_code(1);
    let (message, hint) = error_of(&output);
    let said = format!("{message} {hint}").to_lowercase();
    assert!(said.contains("space") || said.contains("full"), "{output}");
    disk.resize(400 * MIB);
    let done = fresh.cli(["restore", "latest", "--to"], [disk.path()]).ok().json();
    assert!(done["files_same"].as_u64().unwrap() > 0, "nothing was taken up again: {done:#}");
    compare::assert_same_tree(&folder, &compare::below(disk.path(), &folder));
    drop(fresh);
}
