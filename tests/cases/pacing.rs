//! Limits of the line: kept, changed while bytes go, and nobody takes them for a fault.

use std::{
    fs,
    time::{Duration, Instant},
};

use larder_tests::{circle::Circle, compare, dice::Dice, node::Node, process::eventually, tree};

/// The lowest limit that there is, in bytes a second.
const SLOW: &str = "64KiB";

/// Sets a limit of this node that holds at loopback as well.
fn limit(node: &Node, rate: &str) {
    node.ask(["config", "set", "net.limit_lan", "on"]);
    node.ask(["config", "set", "net.upload_max", rate]);
}

/// How long no less than so many bytes take at 64 KiB a second, but for a burst of half a second.
fn least(bytes: u64) -> Duration {
    Duration::from_millis(1000 * bytes / (64 * 1024)).saturating_sub(Duration::from_secs(1))
}

// PACE-2, PACE-4, PACE-5
#[test]
fn a_backup_keeps_to_the_limit_and_goes_on_without_it_once_it_is_lifted() {
    let circle = Circle::new(2);
    limit(&circle.source, SLOW);
    let folder = circle.folder("folder");
    fs::write(folder.join("noise"), Dice::new(5).bytes(500_000)).unwrap();
    let started = Instant::now();
    let slow = circle.backup(&folder);
    let (took, sent) = (started.elapsed(), slow["sent_bytes"].as_u64().unwrap());
    assert!(sent >= 1_000_000, "two copies of all: {slow:#}");
    assert!(took >= least(sent), "{sent} bytes in {took:?}");

    // Far more than fits a short while: it ends because the limit is lifted while it goes.
    fs::write(folder.join("more"), Dice::new(6).bytes(30_000_000)).unwrap();
    circle.source.cli(["backup", "--wait", "local"], [&folder]).ok();
    let spool = || circle.source.ask(["status"])["spool_bytes"].as_u64().unwrap();
    assert!(spool() > 25_000_000, "nearly all of it waits");
    circle.source.ask(["config", "set", "net.upload_max", "off"]);
    let limit = Duration::from_secs(60);
    eventually("everything is placed", limit, || circle.source.ask(["status"])["safety"] == "safe");
    let peers = circle.source.ask(["peers"]);
    for peer in peers["peers"].as_array().unwrap() {
        assert_eq!(peer["state"], "online", "{peer:#}");
    }
}

// PACE-4
#[test]
fn a_restore_is_not_held_back_by_the_limits_of_holders() {
    let mut circle = Circle::new(2);
    let folder = circle.folder("folder");
    tree::ordinary(&folder, 8, 30, 20_000);
    fs::write(folder.join("noise"), Dice::new(7).bytes(2_000_000)).unwrap();
    circle.backup(&folder);
    for holder in &circle.holders {
        limit(holder, SLOW);
    }
    circle.lose_source();
    let (_fresh, restored, done) = circle.restore_with("fresh", &[0, 1]);
    compare::assert_same_tree(&folder, &compare::below(&restored, &folder));
    assert_eq!(done["blamed"].as_array().map_or(0, Vec::len), 0, "{done:#}");
}
