//! Shards that arrive in ranges.

use std::{fs, os::unix::fs::FileExt, path::Path};

use bao_tree::io::{BaoContentItem, outboard::PreOrderMemOutboard, sync::DecodeResponseIter};

use super::{bytes, tenure};
use crate::depot::{
    Depot, DepotError, Origin, PartialShard, ShardHasher, ShardRef, group_ranges, shard::BLOCK,
};

/// The verified items that a peer with `content` would send for `ranges`.
fn items(content: &[u8], ranges: &[std::ops::Range<u64>]) -> Vec<BaoContentItem> {
    let outboard = PreOrderMemOutboard::create(content, BLOCK);
    let ranges = group_ranges(ranges, content.len() as u64);
    let mut encoded = Vec::new();
    bao_tree::io::sync::encode_ranges_validated(content, &outboard, &ranges, &mut encoded).unwrap();
    let decoded = DecodeResponseIter::new(outboard.root, outboard.tree, &encoded[..], &ranges);
    decoded.map(Result::unwrap).collect()
}

fn shard_of(content: &[u8]) -> ShardRef {
    let mut hasher = ShardHasher::new();
    hasher.update(content);
    hasher.finish().0
}

/// A partial shard with all of `content`.
pub(super) fn complete(dir: &Path, content: &[u8]) -> PartialShard {
    let partial = PartialShard::open(dir, shard_of(content)).unwrap();
    let all = 0..content.len() as u64;
    items(content, &[all]).iter().for_each(|item| assert!(partial.write(item).is_ok()));
    partial
}

/// DEPOT-9, DEPOT-13
#[test]
fn what_arrived_is_found_again_after_a_crash_and_nothing_else() {
    let home = tempfile::tempdir().unwrap();
    for length in [10_000, 16_384, 16_385, 1_000_000, 1_048_576] {
        let content = bytes(length, length as usize);
        let shard = shard_of(&content);
        let wanted = [0..1_u64, length / 2..length / 2 + 20_000, length - 1..length];
        let wanted = wanted.map(|range| range.start..range.end.min(length));
        {
            let partial = PartialShard::open(home.path(), shard).unwrap();
            assert!(partial.present().is_empty());
            assert!(matches!(partial.read(0..1), Err(DepotError::Incomplete)));
            items(&content, &wanted).iter().for_each(|item| assert!(partial.write(item).is_ok()));
        }
        let again = PartialShard::open(home.path(), shard).unwrap();
        for range in &wanted {
            assert!(again.has(range));
            let expected = &content[range.start as usize..range.end as usize];
            assert_eq!(again.read(range.clone()).unwrap(), expected);
        }
        let (present, missing) = (again.present(), again.missing());
        let sum =
            |ranges: &[std::ops::Range<u64>]| ranges.iter().map(|r| r.end - r.start).sum::<u64>();
        assert_eq!(sum(&present) + sum(&missing), length);
        items(&content, &missing).iter().for_each(|item| assert!(again.write(item).is_ok()));
        assert!(again.is_complete());
        again.remove().unwrap();
    }
    assert_eq!(fs::read_dir(home.path()).unwrap().count(), 0);
}

#[test]
fn damage_between_two_runs_is_fetched_again() {
    let home = tempfile::tempdir().unwrap();
    let content = bytes(1, 500_000);
    drop(complete(home.path(), &content));
    let shard = shard_of(&content);
    let path = home.path().join(shard.root.to_string());
    let file = fs::File::options().write(true).open(&path).unwrap();
    file.write_all_at(b"rot", 100_000).unwrap();
    let again = PartialShard::open(home.path(), shard).unwrap();
    assert_eq!(again.missing(), [98_304..114_688]);
    drop(again);
    // Cut short: what is left still counts.
    file.set_len(200_000).unwrap();
    let again = PartialShard::open(home.path(), shard).unwrap();
    assert_eq!(again.present(), [0..98_304, 114_688..196_608]);
}

#[test]
fn an_incomplete_shard_is_not_taken_over() {
    let home = tempfile::tempdir().unwrap();
    let (depot, _) = Depot::open(&home.path().join("depot")).unwrap();
    let content = bytes(1, 100_000);
    let partial = PartialShard::open(&home.path().join("fetch"), shard_of(&content)).unwrap();
    items(&content, &[0..50_000]).iter().for_each(|item| assert!(partial.write(item).is_ok()));
    let taken = depot.adopt(&partial, tenure(1, Origin::Held));
    assert!(matches!(taken, Err(DepotError::Incomplete)));
    assert!(depot.rows(None).unwrap().is_empty());
}

#[test]
fn absurd_lengths_and_ranges_are_refused() {
    let home = tempfile::tempdir().unwrap();
    let content = bytes(1, 20_000);
    let shard = shard_of(&content);
    for bytes in [0, u64::MAX] {
        assert!(PartialShard::open(home.path(), ShardRef { bytes, ..shard }).is_err());
    }
    let partial = complete(home.path(), &content);
    let reversed = std::ops::Range { start: 10, end: 5 };
    for range in [0..20_001, u64::MAX - 1..u64::MAX, reversed] {
        assert!(!partial.has(&range));
        assert!(matches!(partial.read(range), Err(DepotError::BadRange)));
    }
}

/// DEPOT-14: two readers of one pack wait for the same bytes, and both keep them.
#[test]
fn a_shard_that_was_taken_over_can_be_taken_over_again() {
    let home = tempfile::tempdir().unwrap();
    let depot = Depot::open(&home.path().join("depot")).unwrap().0;
    let content = bytes(9, 250_000);
    let partial = complete(&home.path().join("fetch"), &content);
    let shard = partial.shard();
    std::thread::scope(|scope| {
        for vault in [1, 1, 2] {
            let (depot, partial) = (&depot, &partial);
            scope.spawn(move || depot.adopt(partial, tenure(vault, Origin::Own)).unwrap());
        }
    });
    assert_eq!(depot.rows_of(&shard.root).unwrap().len(), 2);
    assert_eq!(depot.read_range(&shard.root, 0..shard.bytes).unwrap(), content);
    assert!(depot.scrub(&shard.root).unwrap().is_empty());
    // A crash between the two names: the outboard has its own already.
    let halfway = complete(&home.path().join("fetch"), &bytes(10, 250_000));
    let root = halfway.shard().root;
    let bucket = home.path().join("depot").join(format!("{:02x}", root.as_bytes()[0]));
    let name = format!("{root}.obao");
    fs::rename(home.path().join("fetch").join(&name), bucket.join(&name)).unwrap();
    depot.adopt(&halfway, tenure(1, Origin::Own)).unwrap();
    assert!(depot.scrub(&root).unwrap().is_empty());
}
