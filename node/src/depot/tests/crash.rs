//! Crash images: the directory as a crash would leave it after each step, opened anew.
//!
//! The live image is what a killed process leaves. After a power loss, renames since the last sync
//! of their directory may be undone, each on its own, and unsynced bytes may be gone; these
//! variants are made from the live image.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    rc::Rc,
};

use super::{
    super::steps::{Step, watch},
    bytes, open, tenure,
};
use crate::depot::{Depot, DepotError, Origin, PartialShard, ShardRef, Total};

/// Directories as they were after each step.
type Images = Rc<RefCell<Vec<(Step, tempfile::TempDir)>>>;

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Does `work`, keeping an image of `dir` after each step of it.
fn images_of(dir: &Path, work: impl FnOnce()) -> Vec<(Step, tempfile::TempDir)> {
    let images = Images::default();
    let (kept, from) = (Rc::clone(&images), dir.to_owned());
    let observer = move |step| {
        let image = tempfile::tempdir().unwrap();
        copy(&from, image.path());
        kept.borrow_mut().push((step, image));
    };
    watch(observer, work);
    images.take()
}

/// All files of an image, for naming what a variant differs in.
fn files(dir: &Path) -> BTreeMap<PathBuf, u64> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.insert(path.clone(), fs::metadata(&path).unwrap().len());
        }
    }
    found
}

/// The image's depot must have every shard of `kept`, whole, and no temporary file.
fn check(image: &Path, kept: &[(ShardRef, Vec<u8>)]) -> Depot {
    let (depot, report) = Depot::open(image).unwrap();
    assert!(report.is_well(), "{report:?}");
    for (shard, content) in kept {
        assert_eq!(&depot.read_range(&shard.root, 0..shard.bytes).unwrap(), content);
        assert!(depot.scrub(&shard.root).unwrap().is_empty());
    }
    assert_eq!(depot.rows(None).unwrap().len(), kept.len());
    assert_eq!(fs::read_dir(image.join("tmp")).unwrap().count(), 0);
    let shard_files = files(image).into_keys().filter(|path| path.parent() != Some(image));
    assert_eq!(shard_files.count(), kept.len() * 2, "a data file and an outboard each");
    // And it goes on working.
    drop(depot);
    let depot = open(image);
    depot.import(&bytes(99, 40_000), tenure(1, Origin::Held)).unwrap();
    depot
}

/// INV-9, DEPOT-1, DEPOT-4: whatever the moment of the crash, what was acknowledged is whole, what was
/// not is gone without a trace.
#[test]
fn a_crash_at_any_step_of_storing_loses_nothing_acknowledged() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("depot");
    let depot = open(&dir);
    let (old, new) = (bytes(1, 200_000), bytes(2, 300_000));
    let old = (depot.import(&old, tenure(1, Origin::Held)).unwrap(), old);
    let mut stored = None;
    let images = images_of(&dir, || {
        stored = Some(depot.import(&new, tenure(1, Origin::Held)).unwrap());
    });
    let new = (stored.unwrap(), new);
    let steps: Vec<Step> = images.iter().map(|(step, _)| *step).collect();
    let expected = [
        Step::DataSynced,
        Step::OutboardSynced,
        Step::OutboardNamed,
        Step::DataNamed,
        Step::NamesSynced,
        Step::Recorded,
    ];
    assert_eq!(steps, expected);
    for (step, image) in images {
        let both = [old.clone(), new.clone()];
        for lost in losses(image.path(), step, &new.0) {
            check(lost.path(), &both[..1]);
        }
        let kept = if step == Step::Recorded { &both[..] } else { &both[..1] };
        check(image.path(), kept);
    }
}

/// What a power loss may make of an image: each unsynced rename undone on its own.
fn losses(image: &Path, step: Step, shard: &ShardRef) -> Vec<tempfile::TempDir> {
    if !matches!(step, Step::OutboardNamed | Step::DataNamed) {
        return Vec::new();
    }
    let name = image.join(format!("{:02x}", shard.root.as_bytes()[0])).join(shard.root.to_string());
    let renamed = [(name.clone(), "0"), (name.with_extension("obao"), "0.obao")];
    let mut variants = Vec::new();
    for undone in 1..4_usize {
        let variant = tempfile::tempdir().unwrap();
        copy(image, variant.path());
        for (index, (name, temp)) in renamed.iter().enumerate() {
            let name = variant.path().join(name.strip_prefix(image).unwrap());
            if undone & (1 << index) != 0 && name.exists() {
                fs::rename(name, variant.path().join("tmp").join(temp)).unwrap();
            }
        }
        variants.push(variant);
    }
    variants
}

/// Unsynced bytes may be lost in part: nothing names them yet.
#[test]
fn a_torn_temporary_file_is_removed() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("depot");
    let depot = open(&dir);
    let old = bytes(1, 100_000);
    let old = (depot.import(&old, tenure(1, Origin::Held)).unwrap(), old);
    let mut writer = depot.writer_unnamed().unwrap();
    writer.write(&bytes(2, 100_000)).unwrap();
    let image = tempfile::tempdir().unwrap();
    copy(&dir, image.path());
    for (path, length) in files(&image.path().join("tmp")) {
        fs::File::options().write(true).open(path).unwrap().set_len(length / 2).unwrap();
    }
    let (_, report) = Depot::open(image.path()).unwrap();
    assert_eq!(report.temps_removed, 1);
    check(image.path(), &[old]);
    drop(writer);
    assert!(files(&dir.join("tmp")).is_empty(), "a dropped writer removes its file at once");
}

/// DEPOT-12: a removal that was cut short is finished, and never shows as a loss.
#[test]
fn a_crash_at_any_step_of_removing_is_no_loss() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("depot");
    let depot = open(&dir);
    let (one, two) = (bytes(1, 200_000), bytes(2, 300_000));
    let one = (depot.import(&one, tenure(1, Origin::Held)).unwrap(), one);
    let two = depot.import(&two, tenure(1, Origin::Held)).unwrap();
    let images = images_of(&dir, || {
        depot.remove(&two.root, &tenure(1, Origin::Held).vault).unwrap();
    });
    let steps: Vec<Step> = images.iter().map(|(step, _)| *step).collect();
    assert_eq!(steps, [Step::RowDeleted, Step::DataUnlinked, Step::OutboardUnlinked]);
    for (_, image) in images {
        check(image.path(), std::slice::from_ref(&one));
    }
}

/// DEPOT-14: as storing does, so does taking over a shard that arrived in ranges.
#[test]
fn a_crash_while_a_partial_shard_is_taken_over_loses_at_most_the_fetch() {
    let home = tempfile::tempdir().unwrap();
    let (dir, fetch) = (home.path().join("depot"), home.path().join("fetch"));
    let depot = open(&dir);
    let content = bytes(5, 250_000);
    let partial = super::partial::complete(&fetch, &content);
    let shard = partial.shard();
    let images = images_of(home.path(), || depot.adopt(&partial, tenure(1, Origin::Held)).unwrap());
    for (step, image) in images {
        let (depot, report) = Depot::open(&image.path().join("depot")).unwrap();
        assert!(report.is_well());
        let acknowledged = depot.read_range(&shard.root, 0..shard.bytes);
        assert!(matches!(acknowledged, Err(DepotError::Unknown(_))), "no row yet after {step:?}");
        // What is left of the fetch can be opened and filled again.
        PartialShard::open(&image.path().join("fetch"), shard).unwrap();
    }
    let (depot, _) = {
        drop(depot);
        Depot::open(&dir).unwrap()
    };
    assert_eq!(depot.read_range(&shard.root, 0..shard.bytes).unwrap(), content);
    assert_eq!(partial.read(5..10).unwrap(), &content[5..10], "still open after the renaming");
}

/// DEPOT-16: rows that are lost as a whole do not take the shards with them, at no later start.
#[test]
fn a_lost_table_leaves_the_files_alone_until_they_are_stored_again() {
    let home = tempfile::tempdir().unwrap();
    let (one, two) = (bytes(6, 100_000), bytes(7, 200_000));
    let depot = open(home.path());
    let shard = depot.import(&one, tenure(1, Origin::Held)).unwrap();
    let other = depot.import(&two, tenure(1, Origin::Held)).unwrap();
    drop(depot);
    fs::remove_file(home.path().join("depot.redb")).unwrap();
    let vault = tenure(1, Origin::Held).vault;
    for start in 0..3 {
        let (depot, report) = Depot::open(home.path()).unwrap();
        assert_eq!((report.unclaimed, report.orphans_removed), (2, 0), "start {start}");
        assert!(!report.is_well());
        assert_eq!(depot.unclaimed().unwrap(), Total { shards: 2, bytes: 300_000 });
        assert!(matches!(depot.open_shard(&shard.root), Err(DepotError::Unknown(_))));
        // Whoever asks for it to go does not know whose it is either.
        assert!(!depot.remove(&shard.root, &vault).unwrap());
    }
    let depot = open(home.path());
    depot.import(&one, tenure(1, Origin::Held)).unwrap();
    assert_eq!(depot.read_range(&shard.root, 0..shard.bytes).unwrap(), one);
    assert_eq!(depot.unclaimed().unwrap(), Total { shards: 1, bytes: 200_000 });
    drop(depot);
    let (depot, report) = Depot::open(home.path()).unwrap();
    assert_eq!((report.unclaimed, report.orphans_removed), (1, 0), "the other one stays");
    depot.import(&two, tenure(1, Origin::Held)).unwrap();
    drop(depot);
    // All have a row again: from now on a file without one is what a crash left.
    assert!(Depot::open(home.path()).unwrap().1.is_well());
    let orphan = home.path().join("00").join("00".repeat(32));
    fs::write(&orphan, b"never acknowledged").unwrap();
    let (depot, report) = Depot::open(home.path()).unwrap();
    assert_eq!((report.unclaimed, report.orphans_removed), (0, 1));
    assert!(!orphan.exists());
    assert_eq!(depot.read_range(&other.root, 0..other.bytes).unwrap(), two);
}

/// DEPOT-16: the first start after the loss is cut short at any moment of making the new table.
#[test]
fn a_table_that_was_never_finished_does_not_hide_that_rows_are_lost() {
    for left in ["nothing", "unfinished", "empty", "no table"] {
        let home = tempfile::tempdir().unwrap();
        let table = home.path().join("depot.redb");
        let shard = open(home.path()).import(&bytes(8, 50_000), tenure(1, Origin::Held)).unwrap();
        fs::remove_file(&table).unwrap();
        match left {
            "unfinished" => fs::write(home.path().join("depot.redb.new"), [0; 5000]).unwrap(),
            "empty" => fs::write(&table, b"").unwrap(),
            // As programs before this one left it.
            "no table" => drop(redb::Database::create(&table).unwrap()),
            _ => {}
        }
        for _ in 0..2 {
            let (_, report) = Depot::open(home.path()).unwrap();
            assert_eq!((report.unclaimed, report.orphans_removed), (1, 0), "{left}");
        }
        let name = format!("{:02x}/{}", shard.root.as_bytes()[0], shard.root);
        assert!(home.path().join(name).exists(), "{left}");
    }
}
