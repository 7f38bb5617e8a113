//! A node that backs up by itself, every minute here, and nobody says a word: what is new is safe with
//! others, what is unchanged makes no snapshot, and what is not there is told of.

use std::{
    fs,
    time::{Duration, Instant},
};

use larder_tests::{circle::Circle, node::Node, tree};
use serde_json::Value;

/// A minute until it is due, and as much for a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < PATIENCE, "{what}");
        std::thread::sleep(Duration::from_millis(500));
    }
}

fn snapshots(node: &Node) -> Vec<Value> {
    node.ask(["snapshots"])["snapshots"].as_array().unwrap().clone()
}

// RECUR-1, RECUR-6, RECUR-9, RECUR-10
#[test]
fn a_running_node_backs_up_without_being_asked() {
    let mut circle = Circle::new(2);
    let folder = circle.folder("folder");
    tree::ordinary(&folder, 311, 40, 50_000);
    let source = &mut circle.source;
    source.cli(["config", "set", "backup.every", "1min"], [""; 0]).expect_code(0);
    source.cli(["add"], [&folder]).expect_code(0);
    until("nothing was saved", || !snapshots(source).is_empty());
    until("it is not safe", || source.ask(["status"])["safety"] == "safe");
    let first = snapshots(source);
    assert_eq!((&first[0]["automatic"], &first[0]["complete"]), (&true.into(), &true.into()));

    // Killed and started again, it knows when it last looked, and that nothing has changed.
    let saved = |node: &Node| node.ask(["folders"])["folders"][0]["saved"].clone();
    let before = saved(source);
    assert!(before.is_string(), "{before}");
    source.kill();
    source.up();
    assert_eq!(saved(source), before);
    until("it does not look again", || saved(source) != before);
    assert_eq!(snapshots(source), first);

    fs::write(folder.join("new"), b"saved by nobody").unwrap();
    until("what is new was not saved", || snapshots(source).len() == 2);
    let new = source.plain(["cat", "latest", "new"]).output().unwrap();
    assert_eq!(new.stdout, b"saved by nobody", "{new:?}");

    source.cli(["config", "set", "backup.every", "off"], [""; 0]).expect_code(0);
    let status = source.ask(["status"]);
    assert_eq!(status["backup_every_s"], Value::Null);
    let said = source.plain(["status"]).output().unwrap();
    assert!(String::from_utf8_lossy(&said.stdout).contains("backup.every is off"));
}
