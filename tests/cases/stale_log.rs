//! The first holder that a recovery finds has slept through a removal: its device log is old.

use std::{fs, path::PathBuf};

use larder_tests::{circle::Circle, compare, node::error_of, tree};

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
fn the_phrase_said_again_makes_the_device_known_to_who_slept_and_opens_what_is_new() {
    let (mut circle, folder) = with_a_sleeper();
    circle.holders[0].stop();
    let mut fresh = circle.recoverer("fresh");
    circle.recover(&fresh, &[1]).ok();
    fresh.up();
    circle.holders[0].up();
    // That holder knows nothing of this device, and does not answer it, until the phrase is said once more.
    let snapshots = || fresh.ask(["snapshots"])["snapshots"].as_array().unwrap().len();
    assert_eq!(snapshots(), 1);
    let again = fresh.cli(["recover", "--phrase-file"], [&circle.phrase]).ok().json();
    assert_eq!(again["device"], fresh.device(), "it is the same device");
    assert_eq!(snapshots(), 2);
    let target = circle.path("restored");
    fresh.cli(["restore", "latest", "--to"], [&target]).ok();
    compare::assert_same_tree(&folder, &compare::below(&target, &folder));
    // Said where nothing is missing it changes nothing.
    let epochs = || fresh.ask(["log"])["entries"].as_array().unwrap().len();
    let before = epochs();
    fresh.cli(["recover", "--phrase-file"], [&circle.phrase]).ok();
    assert_eq!(epochs(), before);
    // Words of another vault do nothing here.
    let other = circle.path("holder0.phrase");
    let refused = fresh.cli(["recover", "--phrase-file"], [&other]).expect_code(5);
    assert!(error_of(&refused).0.contains("not its words"), "{refused}");
}
