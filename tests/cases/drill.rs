//! A restore drill with real holders: it passes while they are well, and names files and holders when
//! every copy is gone or rotten. Nobody has lost the source for it.

use std::{collections::BTreeSet, fs, path::PathBuf};

use larder_tests::{circle::Circle, node::Node, tree};
use serde_json::Value;

fn shards(holder: &Node) -> Vec<PathBuf> {
    let is_shard =
        |path: &PathBuf| path.is_file() && path.file_name().is_some_and(|name| name.len() == 64);
    tree::bottom_up(&holder.home().join("depot")).into_iter().filter(is_shard).collect()
}

fn drill(circle: &Circle, code: i32) -> Value {
    circle.source.cli(["verify", "--drill"], [""; 0]).expect_code(code).json()
}

// DRILL-2, DRILL-4, DRILL-5, DRILL-6
#[test]
fn a_drill_passes_with_sound_holders_and_names_what_none_of_them_has() {
    let mut circle = Circle::new(2);
    let folder = circle.folder("folder");
    tree::ordinary(&folder, 196, 80, 200_000);
    circle.backup(&folder);
    let well = drill(&circle, 0);
    assert_eq!((&well["failed"], &well["blamed"]), (&Value::from([0; 0]), &Value::from([0; 0])));
    assert!(well["files"].as_u64() > Some(20) && well["compared"] == well["files"], "{well:#}");
    assert!(well["bytes"].as_u64() > Some(0) && well["fetched_bytes"].as_u64() > Some(0));
    assert!(fs::read_dir(circle.source.home().join("fetch")).unwrap().next().is_none());
    let last = &circle.source.ask(["status"])["last_drill"];
    assert_eq!((&last["files"], &last["failed"]), (&well["files"], &0.into()));

    // One holder rotted, and the other one helps out: nothing is lost, and somebody is named.
    let spoil = |shard: &PathBuf| fs::write(shard, vec![0xaa; fs::read(shard).unwrap().len()]);
    shards(&circle.holders[0]).iter().for_each(|shard| spoil(shard).unwrap());
    let helped = drill(&circle, 0);
    assert_eq!(helped["failed"], Value::from([0; 0]), "{helped:#}");
    assert_eq!(helped["holders"][0]["name"], "holder1");

    // Then the other one loses everything.
    shards(&circle.holders[1]).iter().for_each(|shard| fs::remove_file(shard).unwrap());
    let lost = drill(&circle, 1);
    let failed = lost["failed"].as_array().unwrap();
    assert_eq!((&Value::from(failed.len()), &lost["bytes"]), (&lost["files"], &0.into()));
    let within = folder.to_str().unwrap();
    for one in failed {
        assert_eq!(one["why"], "lost", "{lost:#}");
        assert!(one["path"].as_str().unwrap().starts_with(within), "{lost:#}");
    }
    let blamed = lost["blamed"].as_array().unwrap().iter();
    let blamed: BTreeSet<&str> = blamed.map(|one| one["name"].as_str().unwrap()).collect();
    assert_eq!(blamed, BTreeSet::from(["holder0", "holder1"]), "{lost:#}");
    let status = circle.source.ask(["status"]);
    assert_eq!(status["last_drill"]["failed"], lost["files"]);
    let advice = status["advice"].as_array().unwrap();
    assert!(advice.iter().any(|one| one["text"].as_str().unwrap().contains("restore drill")));

    // Of who is away nothing is known to be lost.
    circle.holders.iter_mut().for_each(Node::stop);
    let away = drill(&circle, 4);
    assert!(away["failed"].as_array().unwrap().iter().all(|one| one["why"] == "away"), "{away:#}");
}
