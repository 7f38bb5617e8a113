//! The first holder that a recovery finds has slept through a removal: its device log is old.

use std::{fs, path::PathBuf, time::Duration};

use larder_tests::{circle::Circle, compare, node::error_of, process::eventually, tree};

const LIMIT: Duration = Duration::from_secs(60);

/// A circle whose vault revoked a phone and saved something under the new key while the second holder slept;
/// then the source is gone for ever.
fn with_a_sleeper() -> (Circle, PathBuf) {
    let mut circle = Circle::new(2);
    let mut phone = circle.phone();
    let folder = circle.folder("folder");
    tree::ordinary(&folder, 811, 20, 40_000);
    // Both holders have what there is so far.
    circle.backup(&folder);
    circle.source.ask(["config", "set", "policy.copies", "1"]);
    phone.stop();
    circle.holders[1].stop();
    circle.source.ask(["revoke", "phone", "--reason", "stolen"]);
    fs::write(folder.join("of today"), b"sealed with the new key").unwrap();
    circle.backup(&folder);
    circle.lose_source();
    circle.holders[1].up();
    (circle, folder)
}

// LOG-31: a holder that serves a device log without its last entries.
#[test]
fn an_old_log_at_the_first_holder_keeps_no_key_from_who_has_the_phrase() {
    let (circle, folder) = with_a_sleeper();
    let fresh = circle.recoverer("fresh");
    // The sleeper alone is named; the other one is in what the sleeper leads to.
    let recovered = circle.recover(&fresh, &[1]).ok().json();
    println!("{} snapshots", recovered["snapshots"].as_array().unwrap().len());
    let target = circle.path("restored");
    fresh.cli(["restore", "latest", "--to"], [&target]).ok();
    compare::assert_same_tree(&folder, &compare::below(&target, &folder));
    // It goes on, under a key of its own that the phone does not have.
    fresh.cli(["add"], [compare::below(&target, &folder)]).ok();
    fresh.cli(["backup", "--wait", "local"], [""; 0]).ok();
}

// LOG-31
#[test]
fn who_learns_of_newer_keys_when_the_phrase_is_gone_is_told_and_can_say_it_again() {
    let (mut circle, folder) = with_a_sleeper();
    circle.holders[0].stop();
    let mut fresh = circle.recoverer("fresh");
    circle.recover(&fresh, &[1]).ok();
    fresh.up();
    circle.holders[0].up();
    fresh.ask(["connect", &circle.holders[0].ticket()]);
    let says = || fresh.ask(["status"])["advice"].to_string();
    eventually("it says that a key is missing", LIMIT, || says().contains("24 words"));
    let phrase =
        |node: &larder_tests::node::Node| node.cli(["recover", "--phrase-file"], [&circle.phrase]);
    phrase(&fresh).ok();
    let target = circle.path("restored");
    fresh.cli(["restore", "latest", "--to"], [&target]).ok();
    compare::assert_same_tree(&folder, &compare::below(&target, &folder));
    assert!(!says().contains("24 words"), "{}", says());
    // Where nothing is missing it is refused, as ever.
    let refused = phrase(&fresh).expect_code(2);
    assert!(error_of(&refused).0.contains("has all keys"), "{refused}");
}
