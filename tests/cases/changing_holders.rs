//! Holders come and go for good: what one of them kept is copied to another, and a second household
//! that joins later gets what was placed before.

use std::time::Duration;

use larder_tests::{
    circle::{Circle, OFFER, pair},
    compare,
    node::Node,
    process::eventually,
    tree,
};

fn holds(circle: &Circle, name: &str) -> u64 {
    let peers = circle.source.ask(["peers"]);
    let peers = peers["peers"].as_array().unwrap();
    let peer = peers.iter().find(|peer| peer["name"] == name).expect("it is known");
    peer["holds_bytes"].as_u64().unwrap()
}

/// Safe, and on two sites.
fn is_on_two_sites(circle: &Circle) -> bool {
    let status = circle.source.ask(["status"]);
    status["safety"] == "safe" && status["survives_households"] == 1
}

// PLACE-22, WATCH-5
#[test]
fn what_a_lost_holder_kept_is_copied_to_another_and_counts_again_when_it_is_found() {
    let mut circle = Circle::new(3);
    let folder = circle.folder("folder");
    tree::ordinary(&folder, 192, 80, 400_000);
    circle.backup(&folder);
    assert!(is_on_two_sites(&circle));
    let since =
        |circle: &Circle| circle.source.ask(["snapshots"])["snapshots"][0]["safe_since"].clone();
    let safe_since = since(&circle);
    assert!(safe_since.is_string(), "{safe_since}");
    let kept = holds(&circle, "holder0");
    circle.holders[0].kill();
    let said = circle.source.ask(["expect", "holder0", "--lost"]);
    assert_eq!((&said["presence"], &said["said_lost"]), (&"lost".into(), &true.into()), "{said:#}");
    eventually("the others have everything twice", Duration::from_secs(120), || {
        is_on_two_sites(&circle)
    });
    let advice = circle.source.ask(["status"])["advice"].to_string();
    assert!(advice.contains("holder0 is lost, as you said"), "{advice}");

    assert_eq!(since(&circle), safe_since);
    // Nothing counts on it, so nobody misses its answer.
    circle.source.ask(["verify"]);

    // The word outlives the node; found again, everything that it kept counts.
    circle.source.stop();
    assert_eq!(circle.source.ask(["expect", "holder0"])["presence"], "lost");
    circle.source.up();
    circle.holders[0].up();
    let back = circle.source.ask(["expect", "holder0", "--back"]);
    assert_eq!(back["said_lost"], false, "{back:#}");
    assert!(holds(&circle, "holder0") >= kept);
    circle.source.ask(["verify"]);

    circle.lose_source();
    circle.holders[0].stop();
    circle.holders[1].stop();
    let (_fresh, restored, _) = circle.restore_with("fresh", &[2]);
    compare::assert_same_tree(&folder, &compare::below(&restored, &folder));
}

// WATCH-9
#[test]
fn a_holder_that_is_gone_is_called_offline_though_nothing_is_to_be_sent() {
    let mut circle = Circle::new(2);
    let folder = circle.folder("folder");
    tree::ordinary(&folder, 194, 20, 50_000);
    circle.backup(&folder);
    let state = |circle: &Circle| {
        let peers = circle.source.ask(["peers"]);
        let peers = peers["peers"].as_array().unwrap();
        let peer = peers.iter().find(|peer| peer["name"] == "holder1").unwrap();
        peer["state"].as_str().unwrap().to_owned()
    };
    assert_eq!(state(&circle), "online");
    circle.holders[1].kill();
    circle.source.cli(["verify"], [""; 0]).expect_code(4);
    let limit = Duration::from_secs(120);
    eventually("it is known to be away", limit, || state(&circle) == "offline");
    assert_eq!(circle.source.ask(["status"])["peers_online"], 1);
    circle.holders[1].up();
    eventually("it is met again", limit, || state(&circle) == "online");
    circle.source.ask(["verify"]);
}

// PLACE-23
#[test]
fn a_second_household_gets_what_was_placed_before_it_came() {
    let mut circle = Circle::new(1);
    let folder = circle.folder("folder");
    tree::ordinary(&folder, 193, 80, 400_000);
    circle.backup(&folder);
    assert_eq!(circle.source.ask(["status"])["survives_households"], 0);
    let mut late = Node::new(circle.path("").as_path(), "late");
    late.init();
    late.up();
    late.ask(["offer", OFFER]);
    pair(&circle.source, &late, "--circle");
    eventually("everything is with both", Duration::from_secs(120), || is_on_two_sites(&circle));
    assert_eq!(holds(&circle, "late"), holds(&circle, "holder0"));
    assert_eq!(circle.source.ask(["status"])["spool_bytes"], 0);

    circle.lose_source();
    circle.holders[0].stop();
    circle.holders.push(late);
    let (_fresh, restored, _) = circle.restore_with("fresh", &[1]);
    compare::assert_same_tree(&folder, &compare::below(&restored, &folder));
}
