//! How much memory large shards take, measured in a process of its own.

use std::{fs, io};

use super::{bytes, in_a_process_of_its_own, open, tenure};
use crate::depot::{Origin, group_ranges};

/// Above what a fresh test process takes: the row cache, one group, and pieces.
const GROWTH_KIB_MAX: u64 = 24 * 1024;

fn peak_kib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// DEPOT-15
#[test]
fn shards_of_64_mib_pass_through_little_memory() {
    in_a_process_of_its_own("depot::tests::memory::shards_pass_and_are_measured");
}

#[test]
#[ignore = "measures its whole process; run by another test"]
fn shards_pass_and_are_measured() {
    let home = tempfile::tempdir().unwrap();
    let depot = open(home.path());
    let piece = bytes(1, 128 * 1024);
    let before = peak_kib();
    for number in 0..3_u8 {
        let mut writer = depot.writer_unnamed().unwrap();
        writer.write(&[number]).unwrap();
        for _ in 0..511 {
            writer.write(&piece).unwrap();
        }
        let shard = writer.finish(tenure(1, Origin::Held)).unwrap();
        assert!(depot.scrub(&shard.root).unwrap().is_empty());
        let all = group_ranges(&[0..shard.bytes], shard.bytes);
        let opened = depot.open_shard(&shard.root).unwrap();
        opened.encode(&all, &mut io::sink()).unwrap();
    }
    let growth = peak_kib() - before;
    assert!(growth < GROWTH_KIB_MAX, "grew by {growth} KiB");
}
