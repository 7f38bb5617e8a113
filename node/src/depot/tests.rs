//! Faults of the disk: crash images, full disks, damaged files.

#![expect(
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    clippy::single_range_in_vec_init,
    reason = "small numbers, lists of one range"
)]

use std::{fs, path::Path, process::Command};

use larder_protocol::{ids::VaultId, index::PackClass, time::Timestamp};

use super::*;
pub(crate) use shard::BLOCK;

mod crash;
pub(crate) mod damage;
pub(crate) mod full;
mod killed;
mod memory;
mod model;
mod partial;
mod reads;
mod vectors;

/// Bytes that do not repeat, the same for the same seed.
pub(crate) fn bytes(seed: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    let mut hasher = blake3::Hasher::new();
    hasher.update(&seed.to_le_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}

pub(crate) fn tenure(vault: u8, origin: Origin) -> Tenure {
    Tenure {
        vault: VaultId::from_bytes([vault; 32]),
        class: PackClass::Data,
        origin,
        stored: Timestamp(1_000),
        keep_until: Timestamp(5_000),
    }
}

/// Runs an ignored test where no other test uses memory, opens files or starts processes.
fn in_a_process_of_its_own(test: &str) {
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--ignored", "--test-threads=1"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&child.stdout);
    assert!(child.status.success() && said.contains("1 passed"), "{said}");
}

fn open(dir: &Path) -> Depot {
    Depot::open(dir).unwrap().0
}

#[test]
fn a_shard_is_found_again_whole_and_in_ranges() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("depot");
    let content = bytes(1, 3_333_333);
    let shard = {
        let depot = open(&dir);
        depot.import(&content, tenure(1, Origin::Held)).unwrap()
    };
    let (depot, report) = Depot::open(&dir).unwrap();
    assert_eq!(report, OpenReport::default());
    let end = content.len() as u64;
    for range in [0..1, 0..end, end - 1..end, 16_383..16_385, 1_000_000..2_000_001, 7..7] {
        let expected = &content[range.start as usize..range.end as usize];
        assert_eq!(depot.read_range(&shard.root, range).unwrap(), expected);
    }
    let beyond = depot.read_range(&shard.root, 0..end + 1);
    assert!(matches!(beyond, Err(DepotError::BadRange)));
    assert!(depot.scrub(&shard.root).unwrap().is_empty());
}

/// DEPOT-5: one file for both vaults, gone with the last of them; totals follow.
#[test]
fn two_vaults_may_keep_the_same_shard() {
    let home = tempfile::tempdir().unwrap();
    let depot = open(home.path());
    let content = bytes(2, 100_000);
    let shard = depot.import(&content, tenure(1, Origin::Held)).unwrap();
    depot.import(&content, tenure(2, Origin::Held)).unwrap();
    let (one, two) = (VaultId::from_bytes([1; 32]), VaultId::from_bytes([2; 32]));
    assert_eq!(depot.totals().all(Origin::Held), Total { shards: 2, bytes: 200_000 });
    assert!(depot.remove(&shard.root, &one).unwrap());
    assert!(!depot.remove(&shard.root, &one).unwrap());
    assert_eq!(depot.totals().of(&one, Origin::Held), Total::default());
    assert_eq!(depot.read_range(&shard.root, 0..5).unwrap(), &content[..5]);
    assert!(depot.remove(&shard.root, &two).unwrap());
    assert!(matches!(depot.open_shard(&shard.root), Err(DepotError::Unknown(_))));
    assert_eq!(depot.totals().all(Origin::Held), Total::default());
}

/// DEPOT-6: a receipt's promise is never shortened, whatever comes later.
#[test]
fn a_later_tenure_only_lengthens_the_earlier() {
    let home = tempfile::tempdir().unwrap();
    let depot = open(home.path());
    let content = bytes(3, 20_000);
    let held = tenure(1, Origin::Held);
    let shard = depot.import(&content, held).unwrap();
    let shorter = Tenure { origin: Origin::Own, keep_until: Timestamp(10), ..held };
    depot.import(&content, shorter).unwrap();
    let row = depot.row(&shard.root, &held.vault).unwrap().unwrap();
    assert_eq!((row.origin, row.keep_until), (Origin::Held, held.keep_until));
    depot.extend(&shard.root, Tenure { keep_until: Timestamp(9_999), ..held }).unwrap();
    let row = depot.row(&shard.root, &held.vault).unwrap().unwrap();
    assert_eq!(row.keep_until, Timestamp(9_999));
}

// PLACE-11, DEPOT-6
#[test]
fn the_spool_lets_go_of_its_own_shards_only() {
    let home = tempfile::tempdir().unwrap();
    let depot = open(home.path());
    let vault = VaultId::from_bytes([1; 32]);
    let own = depot.import(&bytes(5, 20_000), tenure(1, Origin::Own)).unwrap();
    let held = depot.import(&bytes(6, 20_000), tenure(1, Origin::Held)).unwrap();
    let both = depot.import(&bytes(7, 20_000), tenure(1, Origin::Own)).unwrap();
    depot.import(&bytes(7, 20_000), tenure(1, Origin::Held)).unwrap();
    assert!(depot.release_own(&own.root, &vault).unwrap());
    assert!(depot.release_own(&own.root, &vault).unwrap(), "gone already");
    assert!(matches!(depot.open_shard(&own.root), Err(DepotError::Unknown(_))));
    for kept in [held, both] {
        assert!(!depot.release_own(&kept.root, &vault).unwrap(), "a receipt was given");
        assert!(depot.scrub(&kept.root).unwrap().is_empty());
    }
}

#[test]
fn wrong_bytes_and_wrong_lengths_leave_nothing() {
    let home = tempfile::tempdir().unwrap();
    let depot = open(home.path());
    let content = bytes(4, 50_000);
    let mut hasher = ShardHasher::new();
    hasher.update(&content);
    let (shard, _) = hasher.finish();

    let mut writer = depot.writer(shard).unwrap();
    let mut other = content.clone();
    other[40_000] ^= 1;
    writer.write(&other).unwrap();
    let finished = writer.finish(tenure(1, Origin::Held));
    assert!(matches!(finished, Err(DepotError::WrongBytes { promised, .. }) if promised == shard));

    let mut writer = depot.writer(shard).unwrap();
    writer.write(&content[..49_999]).unwrap();
    assert!(writer.finish(tenure(1, Origin::Held)).is_err());

    let mut writer = depot.writer(shard).unwrap();
    writer.write(&content).unwrap();
    assert!(matches!(writer.write(&[0]), Err(DepotError::BadLength(50_001))));
    drop(writer);

    for bytes in [0, u64::MAX, 64 * 1024 * 1024 + 1] {
        let absurd = depot.writer(ShardRef { bytes, ..shard });
        assert!(matches!(absurd, Err(DepotError::BadLength(_))));
    }
    assert_eq!(fs::read_dir(home.path().join("tmp")).unwrap().count(), 0);
    assert!(depot.rows(None).unwrap().is_empty());
}

#[test]
fn many_threads_finish_at_once_and_share_commits() {
    let home = tempfile::tempdir().unwrap();
    let depot = open(home.path());
    std::thread::scope(|scope| {
        for seed in 0..16 {
            let depot = &depot;
            scope.spawn(move || depot.import(&bytes(seed, 70_000), tenure(1, Origin::Own)));
        }
    });
    assert_eq!(depot.totals().all(Origin::Own), Total { shards: 16, bytes: 16 * 70_000 });
    assert_eq!(depot.rows(None).unwrap().len(), 16);
}
