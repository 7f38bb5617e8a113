//! A holder's disk rots while it runs, and it does not know: it has to show what it signed for, cannot,
//! and gets it again.

use std::{fs, time::Duration};

use larder_tests::{circle::Circle, process::eventually, tree};

// AUDIT-4, AUDIT-5, AUDIT-7, AUDIT-9
#[test]
fn a_rotten_copy_is_found_by_its_owner_from_afar() {
    let mut circle = Circle::new(2);
    let folder = circle.folder("folder");
    tree::ordinary(&folder, 192, 60, 200_000);
    circle.backup(&folder);
    let verified = circle.source.ask(["verify"]);
    for holder in verified["holders"].as_array().unwrap() {
        assert_eq!((&holder["answered"], &holder["lacking"]), (&true.into(), &0.into()));
    }
    let peers = circle.source.ask(["peers"]);
    for peer in peers["peers"].as_array().unwrap() {
        assert!(!peer["last_proof"].is_null() && peer["proven_shards"] == peer["holds_shards"]);
    }

    let shard = circle.holders[0].shards().remove(0);
    let sound = fs::read(&shard).unwrap();
    fs::write(&shard, vec![0xaa; sound.len()]).unwrap();
    let found = circle.source.cli(["verify"], [""; 0]).expect_code(1).json();
    let lacking = |index: usize| found["holders"][index]["lacking"].as_u64().unwrap();
    assert_eq!(lacking(0) + lacking(1), 1, "{found}");
    eventually("the rotten copy is a sound one again", Duration::from_secs(120), || {
        fs::read(&shard).is_ok_and(|bytes| bytes == sound)
    });

    // Who is away has not failed.
    circle.holders[0].stop();
    let silent = circle.source.cli(["verify"], [""; 0]).json();
    let answered = |index: usize| silent["holders"][index]["answered"] == true;
    assert!(answered(0) != answered(1), "{silent}");
    assert!(silent["holders"].as_array().unwrap().iter().all(|one| one["lacking"] == 0));
}
