//! Two vaults of a circle go apart with real processes: everything is moved first, whoever is killed goes on, and
//! both restore everything afterwards.
//!
//! Figures are printed for the reader (`cargo test leaving -- --nocapture`).

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use larder_tests::{
    circle::{OFFER, pair},
    compare,
    node::{Node, error_of},
    process::eventually,
    short_directory, tree,
};
use serde_json::Value;

/// Longest until everything was moved and all have heard of it.
const SETTLE: Duration = Duration::from_secs(120);

struct Three {
    anna: Node,
    bob: Node,
    carol: Node,
    folders: [PathBuf; 2],
    // Last, so that it goes after the processes that work in it.
    directory: tempfile::TempDir,
}

impl Three {
    /// Anna and Bob have backed up to each other and to Carol.
    fn new() -> Self {
        let directory = short_directory();
        let [anna, bob, carol] = ["anna", "bob", "carol"].map(|name| started(&directory, name));
        pair(&anna, &bob, "--circle");
        pair(&anna, &carol, "--circle");
        pair(&bob, &carol, "--circle");
        let folders = [(&anna, 811), (&bob, 812)].map(|(node, seed)| {
            let folder = directory.path().join(format!("{}.data", node.name));
            fs::create_dir(&folder).unwrap();
            tree::ordinary(&folder, seed, 60, 120_000);
            let done = node.cli(["backup"], [&folder]).ok().json();
            assert_eq!(done["reached"], "safe", "{done:#}");
            folder
        });
        Self { anna, bob, carol, folders, directory }
    }

    fn restored(&self, node: &Node, folder: &Path) {
        let target = self.directory.path().join(format!("{}.restored", node.name));
        node.cli(["restore", "latest", "--to"], [&target]).ok();
        compare::assert_same_tree(folder, &compare::below(&target, folder));
    }
}

/// A running node with a vault of its own that keeps something for others.
fn started(directory: &tempfile::TempDir, name: &str) -> Node {
    let mut node = Node::new(directory.path(), name);
    node.init();
    node.up();
    node.ask(["offer", OFFER]);
    node
}

fn stands(node: &Node, whom: &str) -> Value {
    node.ask(["leave", whom, "--dry-run"])["circles"][0].clone()
}

fn knows(node: &Node, name: &str) -> bool {
    let peers = node.ask(["peers"]);
    peers["peers"].as_array().unwrap().iter().any(|peer| peer["name"] == name)
}

// LEAVE-1, LEAVE-3, LEAVE-4, LEAVE-7, LEAVE-8
#[test]
fn a_relative_leaves_and_everything_was_moved_before() {
    let mut three = Three::new();
    let before = stands(&three.anna, "bob");
    assert_eq!((&before["who"], &before["copies_after"]), (&Value::Null, &Value::from(1)));
    let begun = Instant::now();
    three.bob.ask(["leave", "anna"]);
    // Killed at once, it goes on where it was.
    three.bob.kill();
    three.bob.up();
    eventually("Anna hears of it", SETTLE, || stands(&three.anna, "bob")["who"] == "them");
    let advice = three.anna.ask(["status"])["advice"].to_string();
    assert!(advice.contains("bob leaves this circle"), "{advice}");
    // He accepted one place less; she is asked.
    eventually("Bob needs nothing there", SETTLE, || {
        stands(&three.bob, "anna")["ours"]["waived"] == true
    });
    assert_eq!(stands(&three.anna, "bob")["ours"]["waived"], false);
    three.anna.ask(["leave", "bob", "--give-up-copies"]);
    eventually("he knows", SETTLE, || stands(&three.bob, "anna")["theirs"]["waived"] == true);
    println!("both had everything elsewhere after {:.1} s", begun.elapsed().as_secs_f64());
    let waiting = stands(&three.bob, "anna");
    assert!(waiting["days_left"].as_u64() >= Some(89), "{waiting:#}");
    assert!(waiting["kept_shards"].as_u64() > Some(0));
    three.bob.ask(["leave", "anna", "--drop-theirs"]);
    let hers = stands(&three.anna, "bob");
    if hers["done"] == false {
        three.anna.ask(["leave", "bob", "--drop-theirs"]);
    }
    eventually("it is over", SETTLE, || !knows(&three.bob, "anna") && !knows(&three.anna, "bob"));
    println!("it was over after {:.1} s", begun.elapsed().as_secs_f64());
    three.restored(&three.anna, &three.folders[0]);
    three.restored(&three.bob, &three.folders[1]);
    assert!(knows(&three.carol, "anna") && knows(&three.carol, "bob"));
    let log = three.anna.ask(["log"]).to_string();
    assert!(log.contains("\"parted\""), "{log}");
}

// LEAVE-2, LEAVE-6
#[test]
fn the_only_copy_stays_until_a_person_says_otherwise_and_what_is_taken_back_counts_again() {
    let directory = short_directory();
    let [anna, bob] = ["anna", "bob"].map(|name| started(&directory, name));
    pair(&anna, &bob, "--circle");
    let folder = directory.path().join("data");
    fs::create_dir(&folder).unwrap();
    tree::ordinary(&folder, 813, 20, 60_000);
    anna.cli(["backup"], [&folder]).ok();
    let refused = bob.cli(["leave", "anna", "--drop-theirs"], [""; 0]);
    assert!(error_of(&refused).0.contains("not being left"), "{refused:?}");
    bob.ask(["leave", "anna"]);
    bob.ask(["leave", "anna", "--drop-theirs"]);
    eventually("Anna hears of it", SETTLE, || stands(&anna, "bob")["who"] == "them");
    let there = stands(&anna, "bob");
    assert!(there["there"]["moving_packs"].as_u64() > Some(0), "{there:#}");
    assert_eq!(stands(&bob, "anna")["theirs"]["waits_for"], Value::from(vec!["anna"]));
    assert!(stands(&bob, "anna")["kept_shards"].as_u64() > Some(0));
    bob.ask(["leave", "anna", "--cancel"]);
    eventually("they are together", SETTLE, || stands(&anna, "bob")["who"] == Value::Null);
    fs::write(folder.join("new"), b"the next day").unwrap();
    let done = anna.cli(["backup"], [&folder]).ok().json();
    assert_eq!(done["reached"], "safe", "{done:#}");
}
