//! Rot, truncation, missing files: found, named, never passed on.

use std::{fs, os::unix::fs::FileExt};

use super::{bytes, open, tenure};
use crate::depot::{Depot, DepotError, EncodeFault, Origin, ShardRef, ShardState, group_ranges};

struct Stored {
    home: tempfile::TempDir,
    depot: Depot,
    shard: ShardRef,
    content: Vec<u8>,
}

impl Stored {
    fn new(length: usize) -> Self {
        let home = tempfile::tempdir().unwrap();
        let depot = open(home.path());
        let content = bytes(1, length);
        let shard = depot.import(&content, tenure(1, Origin::Held)).unwrap();
        Self { home, depot, shard, content }
    }

    fn data(&self) -> std::path::PathBuf {
        let root = self.shard.root;
        self.home.path().join(format!("{:02x}", root.as_bytes()[0])).join(root.to_string())
    }

    fn state(&self) -> ShardState {
        self.depot.rows_of(&self.shard.root).unwrap()[0].state
    }

    fn reopen(self) -> (Self, crate::depot::OpenReport) {
        let Self { home, depot, shard, content } = self;
        drop(depot);
        let (depot, report) = Depot::open(home.path()).unwrap();
        (Self { home, depot, shard, content }, report)
    }

    fn flip(&self, at: u64) {
        let file = fs::File::options().write(true).read(true).open(self.data()).unwrap();
        let mut byte = [0];
        file.read_exact_at(&mut byte, at).unwrap();
        file.write_all_at(&[byte[0] ^ 0x10], at).unwrap();
    }
}

/// DEPOT-8: the bad group is named by the scrub, kept back when serving, and marked.
#[test]
fn a_flipped_bit_is_found_by_scrub_by_reading_and_by_serving() {
    let stored = Stored::new(1_000_000);
    stored.flip(500_000);
    let group = 491_520..507_904;
    assert_eq!(stored.depot.scrub(&stored.shard.root).unwrap(), std::slice::from_ref(&group));
    assert_eq!(stored.state(), ShardState::Corrupt);

    let read = stored.depot.read_range(&stored.shard.root, 499_000..499_010);
    assert!(matches!(read, Err(DepotError::Corrupt(_))));
    let fine = stored.depot.read_range(&stored.shard.root, 0..group.start).unwrap();
    assert_eq!(fine, &stored.content[..group.start as usize], "the rest is still of use");

    let shard = stored.depot.open_shard(&stored.shard.root).unwrap();
    let mut sent = Vec::new();
    let all = group_ranges(&[0..stored.shard.bytes], stored.shard.bytes);
    assert!(matches!(shard.encode(&all, &mut sent), Err(EncodeFault::Corrupt)));
    let before: &[u8] = &stored.content[group.start as usize - 100..group.start as usize];
    assert!(sent.ends_with(before) || sent.len() > group.start as usize);
    let bad = fs::read(stored.data()).unwrap();
    let bad = &bad[group.start as usize..group.end as usize];
    assert!(!sent.windows(bad.len()).any(|window| window == bad), "no bad byte was passed on");

    stored.flip(500_000);
    assert!(stored.depot.scrub(&stored.shard.root).unwrap().is_empty());
    assert_eq!(stored.state(), ShardState::Ok);
}

/// DEPOT-7: truncated, gone, and back again.
#[test]
fn a_truncated_or_missing_file_is_reported_and_forgiven_when_it_returns() {
    let stored = Stored::new(300_000);
    let whole = fs::read(stored.data()).unwrap();
    fs::write(stored.data(), &whole[..200_000]).unwrap();
    let (stored, report) = stored.reopen();
    assert_eq!(report.corrupt.len(), 1);
    assert_eq!(stored.state(), ShardState::Corrupt);
    let cut = stored.depot.read_range(&stored.shard.root, 250_000..250_001);
    assert!(matches!(cut, Err(DepotError::Corrupt(_))));

    fs::remove_file(stored.data()).unwrap();
    let (stored, report) = stored.reopen();
    assert_eq!(report.missing, [(stored.shard.root, tenure(1, Origin::Held).vault)]);
    assert!(matches!(stored.depot.open_shard(&stored.shard.root), Err(DepotError::Missing(_))));
    assert_eq!(stored.depot.totals().all(Origin::Held).bytes, 0, "what is gone does not count");

    fs::write(stored.data(), &whole).unwrap();
    let (stored, report) = stored.reopen();
    assert_eq!(report.returned.len(), 1);
    assert_eq!(stored.state(), ShardState::Ok);
    assert_eq!(stored.depot.totals().all(Origin::Held).bytes, 300_000);
}

/// A shard that was lost is as good as new when it is stored again.
#[test]
fn storing_again_heals_a_damaged_shard() {
    let stored = Stored::new(300_000);
    // Even if nobody has noticed the damage yet.
    stored.flip(10);
    stored.depot.import(&stored.content, tenure(1, Origin::Held)).unwrap();
    assert_eq!(stored.state(), ShardState::Ok);
    assert!(stored.depot.scrub(&stored.shard.root).unwrap().is_empty());

    fs::remove_file(stored.data()).unwrap();
    assert!(stored.depot.open_shard(&stored.shard.root).is_err());
    assert_eq!(stored.state(), ShardState::Missing);
    stored.depot.import(&stored.content, tenure(1, Origin::Held)).unwrap();
    assert_eq!(stored.depot.read_range(&stored.shard.root, 0..5).unwrap(), &stored.content[..5]);
}

/// DEPOT-10
#[test]
fn a_lost_or_cut_outboard_is_made_again_while_running_and_at_the_start() {
    let mut stored = Stored::new(600_000);
    let outboard = stored.data().with_extension("obao");
    let whole = fs::read(&outboard).unwrap();
    for cut in [None, Some(64), Some(0)] {
        for reopened in [false, true] {
            match cut {
                None => fs::remove_file(&outboard).unwrap(),
                Some(length) => fs::write(&outboard, &whole[..length]).unwrap(),
            }
            if reopened {
                let (again, report) = stored.reopen();
                assert_eq!(report.outboards_rebuilt, 1);
                stored = again;
            }
            let read = stored.depot.read_range(&stored.shard.root, 599_000..600_000).unwrap();
            assert_eq!(read, &stored.content[599_000..]);
            assert_eq!(fs::read(&outboard).unwrap(), whole);
        }
    }
    // Of damaged data no outboard is made: it would vouch for the damage.
    stored.flip(7);
    fs::remove_file(&outboard).unwrap();
    let (stored, report) = stored.reopen();
    assert_eq!(report.corrupt.len(), 1);
    assert!(matches!(stored.depot.open_shard(&stored.shard.root), Err(DepotError::Corrupt(_))));
}

/// SCRUB-12, DEPOT-10: a rotten outboard never makes wrong bytes right, and right bytes are doubtful
/// only until they are read whole.
#[test]
fn a_flipped_bit_in_the_outboard_is_never_a_wrong_byte_and_never_a_lost_shard() {
    let stored = Stored::new(600_000);
    let path = stored.data().with_extension("obao");
    let whole = fs::read(&path).unwrap();
    let mut rotten = whole.clone();
    rotten[100] ^= 1;
    fs::write(&path, &rotten).unwrap();
    let read = |stored: &Stored| stored.depot.read_range(&stored.shard.root, 0..600_000);
    assert!(matches!(read(&stored), Err(DepotError::Corrupt(_))));
    assert_eq!(stored.state(), ShardState::Corrupt);
    assert!(stored.depot.scrub(&stored.shard.root).unwrap().is_empty());
    assert_eq!((stored.state(), fs::read(&path).unwrap()), (ShardState::Ok, whole.clone()));
    assert_eq!(read(&stored).unwrap(), stored.content);
    // A start does what a scrub does.
    fs::write(&path, &rotten).unwrap();
    assert!(read(&stored).is_err());
    let (stored, report) = stored.reopen();
    assert_eq!((report.returned.len(), report.corrupt.len()), (1, 0));
    assert_eq!(read(&stored).unwrap(), stored.content);
    // Both rotten: the outboard is not made to vouch for the bytes.
    fs::write(&path, &rotten).unwrap();
    stored.flip(500_000);
    assert!(!stored.depot.scrub(&stored.shard.root).unwrap().is_empty());
    assert_eq!((stored.state(), fs::read(&path).unwrap()), (ShardState::Corrupt, rotten));
}

/// Names that are not ours are nobody's business.
#[test]
fn foreign_files_are_left_alone() {
    let stored = Stored::new(50_000);
    let foreign = ["notes.txt", "ABCDEF", ".hidden", &"zz".repeat(32)];
    for name in foreign {
        fs::write(stored.home.path().join("00").join(name), b"mine").unwrap();
    }
    let wrong_bucket = stored.home.path().join("00").join(format!("11{}", "00".repeat(31)));
    fs::write(&wrong_bucket, b"mine").unwrap();
    let (stored, report) = stored.reopen();
    assert_eq!(report.foreign, 5);
    assert!(report.is_well() && wrong_bucket.exists());
    assert_eq!(stored.depot.rows(None).unwrap().len(), 1);
}

/// Puts a file in the place of a shard's that can be opened but not read: the first page of a
/// process is mapped nowhere, which the kernel answers with EIO as it does for a bad sector. The
/// length of the link is that of the shard.
pub(crate) fn make_unreadable(data: &std::path::Path, bytes: usize) {
    let target = format!("/proc{}self/mem", "/".repeat(bytes - "/procself/mem".len()));
    fs::remove_file(data).unwrap();
    std::os::unix::fs::symlink(target, data).unwrap();
}

/// DEPOT-17: an unreadable shard is a damaged shard, whoever meets it, and the others go on.
#[test]
fn a_shard_that_the_disk_cannot_read_is_damaged_and_stops_nothing_else() {
    let stored = Stored::new(2000);
    let other = stored.depot.import(&bytes(2, 3000), tenure(1, Origin::Held)).unwrap();
    make_unreadable(&stored.data(), 2000);
    let root = stored.shard.root;
    let read = stored.depot.read_range(&root, 0..10);
    assert!(matches!(read, Err(DepotError::Corrupt(_))), "{read:?}");
    assert_eq!(stored.state(), ShardState::Corrupt);
    assert_eq!(stored.depot.scrub(&root).unwrap(), std::slice::from_ref(&(0..2000)));
    let shard = stored.depot.open_shard(&root).unwrap();
    let encoded = shard.encode(&group_ranges(&[0..2000], 2000), &mut Vec::new());
    assert!(matches!(encoded, Err(EncodeFault::Corrupt)), "{encoded:?}");
    // At the start a row that is not well has its file read.
    let (stored, report) = stored.reopen();
    assert_eq!((report.corrupt.len(), report.missing.len()), (1, 0));
    assert_eq!(stored.depot.read_range(&other.root, 0..3000).unwrap(), bytes(2, 3000));
    // Stored again, it is well.
    stored.depot.import(&stored.content, tenure(1, Origin::Held)).unwrap();
    assert!(stored.depot.scrub(&root).unwrap().is_empty());
}

/// DEPOT-17: an outboard has to be made again, and the data for it cannot be read.
#[test]
fn a_start_that_cannot_read_one_shard_goes_on_with_the_others() {
    let stored = Stored::new(600_000);
    let other = stored.depot.import(&bytes(2, 3000), tenure(1, Origin::Held)).unwrap();
    let outboard = stored.data().with_extension("obao");
    fs::remove_file(&outboard).unwrap();
    // A directory: it can be opened and not be read, and it is no damage of a medium.
    fs::create_dir(&outboard).unwrap();
    let (stored, report) = stored.reopen();
    assert!(report.missing.is_empty() && report.corrupt.is_empty(), "nothing is known to be lost");
    assert_eq!(stored.depot.read_range(&other.root, 0..3000).unwrap(), bytes(2, 3000));
    fs::remove_dir(&outboard).unwrap();
    assert!(stored.depot.scrub(&stored.shard.root).unwrap().is_empty());
}
