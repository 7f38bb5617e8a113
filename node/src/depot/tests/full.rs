//! A full disk: a small tmpfs, which takes root to mount.

use std::{
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
    process::Command,
};

use super::{bytes, in_a_process_of_its_own, open, tenure};
use crate::depot::{Depot, DepotError, Origin, ShardHasher, ShardRef};

const MIB: usize = 1024 * 1024;

/// A file system of 32 MiB, unmounted when dropped.
pub(crate) struct SmallDisk {
    dir: tempfile::TempDir,
}

impl SmallDisk {
    pub(crate) fn mount() -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=32m", "larder-test"])
            .arg(dir.path())
            .output();
        if mounted.is_ok_and(|output| output.status.success()) {
            return Some(Self { dir });
        }
        eprintln!("skipped: mounting a small disk takes root");
        None
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Takes every byte that is left. A file that was just deleted keeps its space for as long as
    /// a process that another test is starting has it open: what comes back then is taken as well.
    pub(crate) fn fill(&self) -> PathBuf {
        let path = self.dir.path().join("filler");
        let mut file = File::create(&path).unwrap();
        let probe = self.dir.path().join("probe");
        for _ in 0..100 {
            for block in [MIB, 4096, 1] {
                while file.write_all(&vec![1; block]).is_ok() {}
            }
            if File::create(&probe).and_then(|mut f| f.write_all(b"x")).is_err() {
                return path;
            }
        }
        panic!("{} does not become full", path.display());
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: a failed test may still have files open.
        let _ = Command::new("umount").arg("-l").arg(self.dir.path()).status();
    }
}

fn filled(depot: &Depot) -> Vec<ShardRef> {
    let mut kept = Vec::new();
    let error =
        (0..).find_map(|seed| match depot.import(&bytes(seed, 2 * MIB), tenure(1, Origin::Held)) {
            Ok(shard) => {
                kept.push(shard);
                None
            }
            Err(error) => Some(error),
        });
    assert!(matches!(error, Some(DepotError::NoSpace)), "{error:?}");
    kept
}

/// DEPOT-11, DEPOT-12: refuses, serves, removes, and takes again.
#[test]
fn a_full_disk_refuses_serves_removes_and_recovers() {
    in_a_process_of_its_own("depot::tests::full::a_disk_is_filled_to_the_last_byte");
}

#[test]
#[ignore = "no other test may start a process meanwhile; run by another test"]
fn a_disk_is_filled_to_the_last_byte() {
    let Some(disk) = SmallDisk::mount() else { return };
    let dir = disk.path().join("depot");
    let depot = open(&dir);
    let kept = filled(&depot);
    assert!(kept.len() >= 8);
    let filler = disk.fill();

    let content = bytes(0, 2 * MIB);
    assert_eq!(depot.read_range(&kept[0].root, 0..kept[0].bytes).unwrap(), content);
    assert!(depot.scrub(&kept[1].root).unwrap().is_empty());
    assert!(depot.free_bytes().unwrap() < 4096);
    assert_eq!(fs::read_dir(dir.join("tmp")).unwrap().count(), 0);
    let small = depot.import(&bytes(77, 20_000), tenure(1, Origin::Held));
    assert!(matches!(small, Err(DepotError::NoSpace)));

    let vault = tenure(1, Origin::Held).vault;
    for shard in &kept[..3] {
        assert!(depot.remove(&shard.root, &vault).unwrap());
        assert!(fs::metadata(dir.join("reserve")).unwrap().len() >= 64 * 1024);
        disk.fill();
    }
    assert!(depot.row(&kept[0].root, &vault).unwrap().is_none());
    drop(depot);
    // A restart on the full disk as well.
    let (depot, report) = Depot::open(&dir).unwrap();
    assert!(report.is_well(), "{report:?}");
    assert_eq!(depot.rows(None).unwrap().len(), kept.len() - 3);
    assert!(depot.remove(&kept[3].root, &vault).unwrap());

    fs::remove_file(filler).unwrap();
    let again = depot.import(&content, tenure(1, Origin::Held)).unwrap();
    assert_eq!(depot.read_range(&again.root, 0..again.bytes).unwrap(), content);
}

/// Space is set aside before the first byte is taken.
#[test]
fn a_promised_shard_that_does_not_fit_is_refused_at_once() {
    let Some(disk) = SmallDisk::mount() else { return };
    let depot = open(&disk.path().join("depot"));
    let content = bytes(1, MIB);
    let mut hasher = ShardHasher::new();
    hasher.update(&content);
    let (shard, _) = hasher.finish();
    let too_large = ShardRef { bytes: 60 * 1024 * 1024, ..shard };
    assert!(matches!(depot.writer(too_large), Err(DepotError::NoSpace)));
    let mut writer = depot.writer(shard).unwrap();
    writer.write(&content).unwrap();
    assert_eq!(writer.finish(tenure(1, Origin::Held)).unwrap(), shard);
}

/// DEPOT-12: the table itself has no page left to write on, and removes all the same.
#[test]
fn rows_can_be_removed_when_the_table_cannot_grow() {
    let Some(disk) = SmallDisk::mount() else { return };
    let dir = disk.path().join("depot");
    let depot = open(&dir);
    let vault = tenure(1, Origin::Held).vault;
    let named = |number: u32| {
        let root = *blake3::hash(&number.to_le_bytes()).as_bytes();
        ShardRef { root: larder_protocol::ids::ShardRoot::from_bytes(root), bytes: 1 }
    };
    for number in 0..200 {
        depot.inner.table.record(named(number), tenure(1, Origin::Held)).unwrap();
    }
    disk.fill();
    let full = (200..100_000_u32).find(|number| {
        match depot.inner.table.record(named(*number), tenure(1, Origin::Held)) {
            Ok(()) => false,
            Err(DepotError::NoSpace) => true,
            Err(other) => panic!("{other}"),
        }
    });
    let rows = full.expect("the disk is full");
    for number in 0..rows {
        assert!(depot.row(&named(number).root, &vault).unwrap().is_some());
    }
    for number in 0..rows {
        assert!(depot.remove(&named(number).root, &vault).unwrap(), "{number} of {rows}");
        disk.fill();
    }
    assert!(depot.rows(None).unwrap().is_empty());
}
