//! kill -9 of a process that stores shards, at moments that nobody chose.

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Command, Stdio},
};

use super::{bytes, open, tenure};
use crate::depot::{Depot, Origin, ShardRef};

const KILLS: u64 = 20;
const DIR: &str = "LARDER_TEST_DEPOT";
const FIRST: &str = "LARDER_TEST_FIRST";

fn length(number: u64) -> usize {
    20_000 + (number as usize * 7919) % 400_000
}

/// Stores shards one after the other for ever, saying the number of each once it is acknowledged.
#[test]
#[ignore = "run, and killed, by another test"]
fn stores_until_it_is_killed() {
    let Ok(dir) = std::env::var(DIR) else { return };
    let first: u64 = std::env::var(FIRST).unwrap().parse().unwrap();
    let depot = open(Path::new(&dir));
    for number in first.. {
        depot.import(&bytes(number, length(number)), tenure(1, Origin::Held)).unwrap();
        println!("stored {number}");
        if number % 3 == 2 {
            let gone = shard(number - 1);
            depot.remove(&gone.root, &tenure(1, Origin::Held).vault).unwrap();
            println!("removed {}", number - 1);
        }
    }
}

fn shard(number: u64) -> ShardRef {
    let mut hasher = crate::depot::ShardHasher::new();
    hasher.update(&bytes(number, length(number)));
    hasher.finish().0
}

/// DEPOT-4: whatever was acknowledged before the kill is there and whole after it.
#[test]
fn a_process_killed_twenty_times_keeps_what_it_acknowledged() {
    let home = tempfile::tempdir().unwrap();
    let (mut next, mut kept) = (0, std::collections::BTreeSet::new());
    for kill in 0..KILLS {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "depot::tests::killed::stores_until_it_is_killed"])
            .args(["--ignored", "--nocapture", "--test-threads=1"])
            .env(DIR, home.path())
            .env(FIRST, next.to_string())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let output = child.stdout.take().unwrap();
        // After so many acknowledgements, wherever the process is by then.
        let mut left = 1 + kill * 5 % 7;
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            let Some((what, number)) = line.split_once(' ') else { continue };
            let Ok(number) = number.parse::<u64>() else { continue };
            match what {
                "stored" => assert!(kept.insert(number)),
                "removed" => assert!(kept.remove(&number)),
                _ => continue,
            }
            left -= 1;
            if left == 0 {
                child.kill().unwrap();
            }
            left = left.max(1);
        }
        child.wait().unwrap();
        let (depot, report) = Depot::open(home.path()).unwrap();
        assert!(report.is_well(), "{report:?}");
        for number in &kept {
            let content = bytes(*number, length(*number));
            let root = shard(*number).root;
            // The last removal may have happened without a word.
            let silent = depot.rows_of(&root).unwrap().is_empty() && number + 2 > next;
            assert!(silent || depot.read_range(&root, 0..content.len() as u64).unwrap() == content);
        }
        kept.retain(|number| !depot.rows_of(&shard(*number).root).unwrap().is_empty());
        // One more may have been stored without a word: it starts again beyond it.
        next = kept.last().map_or(next, |last| last + 10) / 3 * 3;
        assert_eq!(std::fs::read_dir(home.path().join("tmp")).unwrap().count(), 0);
    }
    assert!(!kept.is_empty());
}
