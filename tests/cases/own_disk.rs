//! A holder's disk rots by one byte, and nobody asks it: it reads its disk back by itself, owns up to its
//! user, and gets a sound copy from the owner.

use std::{fs, path::PathBuf, time::Duration};

use larder_node::depot::Depot;
use larder_protocol::{ids::ShardRoot, index::PackClass, time::Timestamp};
use larder_tests::{circle::Circle, process::eventually, tree};

const PATIENCE: Duration = Duration::from_secs(120);
/// Long before any run of this test.
const LONG_AGO: Timestamp = Timestamp(1_500_000_000);

// SCRUB-10, SCRUB-11
#[test]
fn one_rotten_byte_is_found_by_its_holder_alone() {
    let mut circle = Circle::new(1);
    let folder = circle.folder("folder");
    tree::ordinary(&folder, 195, 20, 100_000);
    // So that it has something to send again.
    circle.source.ask(["config", "set", "depot.keep_own", "all"]);
    circle.backup(&folder);
    let holder = &mut circle.holders[0];
    holder.stop();
    let home = holder.home().join("depot");
    let victim = {
        // Its notes say that nothing was read for years.
        let (depot, _) = Depot::open(&home).unwrap();
        let roots: Vec<ShardRoot> = depot.last_reads().unwrap().into_keys().collect();
        depot.note_read(&roots, LONG_AGO).unwrap();
        let rows = depot.rows(None).unwrap();
        let data = rows.iter().find(|(_, row)| row.class == PackClass::Data);
        data.expect("files were backed up").0.to_string()
    };
    let file: PathBuf = home.join(&victim[..2]).join(&victim);
    let sound = fs::read(&file).unwrap();
    let mut rotten = sound.clone();
    rotten[sound.len() / 2] ^= 1;
    fs::write(&file, &rotten).unwrap();

    holder.up();
    let advises = |holder: &larder_tests::node::Node, words: &str| {
        let status = holder.ask(["status"]);
        let advice = status["advice"].as_array().unwrap();
        advice.iter().any(|one| one["text"].as_str().unwrap().contains(words))
    };
    assert!(advises(holder, "not read back for"), "and a start compares lengths only");
    assert!(!advises(holder, "damage"));
    // A change of the setting has it look at once, and not ten minutes after its start.
    holder.ask(["config", "set", "depot.scrub_days", "80"]);
    eventually("the holder finds it by itself", PATIENCE, || advises(holder, "damage"));
    eventually("the rest is read", PATIENCE, || !advises(holder, "not read back for"));
    assert_eq!(fs::read(&file).unwrap(), rotten, "nobody has asked yet");

    let found = circle.source.cli(["verify"], [""; 0]).expect_code(1).json();
    assert_eq!(found["holders"][0]["lacking"], 1, "{found}");
    eventually("a sound copy came", PATIENCE, || fs::read(&file).is_ok_and(|it| it == sound));
    assert!(!advises(&circle.holders[0], "damage"));
}
