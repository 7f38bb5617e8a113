//! A holder loses what it kept, long after the source dropped its own copies: the source finds out,
//! brings the packs back from the other holder, and places them anew.

use std::{fs, time::Duration};

use larder_tests::{circle::Circle, compare, process::eventually, tree};

// PLACE-9, PLACE-17
#[test]
fn what_a_holder_lost_is_placed_anew_without_a_new_backup() {
    let mut circle = Circle::new(2);
    let folder = circle.folder("folder");
    tree::ordinary(&folder, 191, 60, 200_000);
    circle.backup(&folder);
    circle.holders[0].stop();
    let shards = circle.holders[0].shards();
    assert!(shards.len() > 1, "{shards:?}");
    for shard in &shards {
        fs::remove_file(shard).unwrap();
    }
    circle.holders[0].up();

    // It owns up when it is asked to show them; the exit code says that something is lacking.
    circle.source.cli(["verify"], [""; 0]).expect_code(1);
    eventually("everything is safe again", Duration::from_secs(120), || {
        circle.source.ask(["snapshots"])["snapshots"][0]["safety"] == "safe"
            && shards.iter().all(|shard| shard.is_file())
    });
    circle.source.ask(["verify"]);
    circle.lose_source();
    circle.holders[1].stop();
    let (_fresh, restored, _) = circle.restore_with("fresh", &[0]);
    compare::assert_same_tree(&folder, &compare::below(&restored, &folder));
}
