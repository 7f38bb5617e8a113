//! A device is stolen and thrown out; a thief throws the others out.

use std::{fs, time::Duration};

use larder_tests::{circle::Circle, compare, node::Node, process::eventually, tree};
use serde_json::Value;

/// Longest until two that are both there have met, on a busy machine: far below the five minutes after which
/// somebody who was tried in vain is tried again anyway.
const MET_LIMIT: Duration = Duration::from_secs(60);

/// A circle of two holders whose vault has a second device, which has a backup of its own.
fn with_phone() -> (Circle, Node) {
    let circle = Circle::new(2);
    let phone = circle.phone();
    let folder = circle.folder("of the phone");
    tree::ordinary(&folder, 501, 20, 40_000);
    let done = phone.cli(["backup"], [&folder]).ok().json();
    assert_eq!(done["reached"], "safe", "{done:#}");
    (circle, phone)
}

fn device<'a>(devices: &'a Value, name: &str) -> &'a Value {
    let all = devices["devices"].as_array().unwrap();
    all.iter().find(|device| device["name"] == name).unwrap_or_else(|| panic!("{devices:#}"))
}

fn names(list: &Value) -> Vec<&str> {
    list.as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect()
}

/// Whether a holder turns this node away: a backup of it cannot become safe.
fn is_refused(node: &Node, folder: &std::path::Path) -> bool {
    let tried = node.cli(["backup", "--timeout", "10"], [folder]);
    tried.code != Some(0)
}

// LOG-16, LOG-18, HEAD-13, DEL-17
#[test]
fn a_stolen_device_is_refused_by_all_and_what_it_had_saved_stays() {
    let (mut circle, phone) = with_phone();
    let folder = circle.folder("folder");
    tree::ordinary(&folder, 502, 20, 40_000);
    circle.backup(&folder);
    circle.holders[1].stop();

    let done = circle.source.ask(["revoke", "phone", "--reason", "stolen"]);
    assert_eq!(names(&done["told"]), [circle.holders[0].name.as_str()], "{done:#}");
    assert_eq!(names(&done["not_told"]), [circle.holders[1].name.as_str()], "{done:#}");
    assert!(!done["last_saved"].is_null());
    let devices = circle.source.ask(["devices"]);
    assert_eq!(device(&devices, "phone")["removed"]["reason"], "stolen");
    assert!(device(&devices, &circle.source.name)["removed"].is_null());

    // The one that slept learns of it when it is met, by whomever.
    circle.holders[1].up();
    // It may meet the thief before its owner: it answers him until then, and not much longer.
    let answers = || {
        let asked = phone.cli(["verify"], [""; 0]).json();
        asked["holders"].as_array().unwrap().iter().any(|holder| holder["answered"] == true)
    };
    eventually("nobody answers it any more", MET_LIMIT, || !answers());
    let loot = circle.folder("loot");
    fs::write(loot.join("more"), b"saved by a thief").unwrap();
    assert!(is_refused(&phone, &loot), "nobody takes anything from it");
    assert!(!answers(), "a closed door stays closed");

    // The vault goes on under a new key, and a new device reads what was saved under both.
    fs::write(folder.join("of today"), b"after the theft").unwrap();
    circle.backup(&folder);
    // What the phone has left is not taken for waste by those who stay.
    let dry = circle.source.ask(["forget", "--keep-last", "9", "--dry-run"]);
    assert!(dry["freed_bytes"].as_u64().unwrap() < 150_000, "{dry:#}");
    circle.source.ask(["forget", "--keep-last", "1"]);
    let of_phone = |node: &Node| {
        let list = node.ask(["snapshots"]);
        let all = list["snapshots"].as_array().unwrap().clone();
        all.into_iter().find(|it| it["path"].as_str().unwrap().contains("of the phone")).unwrap()
    };
    assert_eq!(of_phone(&circle.source)["device_name"], "phone");
    circle.lose_source();
    let fresh = circle.recoverer("fresh");
    circle.recover(&fresh, &[0, 1]).ok();
    let target = circle.path("restored");
    let id = of_phone(&fresh)["snapshot"].as_str().unwrap().to_owned();
    fresh.cli(["restore", id.as_str(), "--to"], [&target]).ok();
    let original = circle.path("of the phone");
    compare::assert_same_tree(&original, &compare::below(&target, &original));
    let target = circle.path("restored too");
    fresh.cli(["restore", "latest", "--to"], [&target]).ok();
    compare::assert_same_tree(&folder, &compare::below(&target, &folder));
}

// LOG-17
#[test]
fn a_thief_who_was_quicker_is_thrown_out_with_the_phrase() {
    let (circle, phone) = with_phone();
    let folder = circle.folder("folder");
    tree::ordinary(&folder, 503, 10, 10_000);
    circle.backup(&folder);
    phone.ask(["revoke", &circle.source.name, "--reason", "lost"]);
    fs::write(folder.join("more"), b"no holder takes this now").unwrap();
    assert!(is_refused(&circle.source, &folder), "the thief was believed");

    let words = circle.phrase.to_str().unwrap();
    let undo = ["revoke", "phone", "--undo", "--reason", "stolen", "--phrase-file", words];
    let done = circle.source.ask(undo);
    assert_eq!(names(&done["told"]).len(), 2, "{done:#}");
    eventually("the holders take what its owner saves", MET_LIMIT, || {
        circle.source.cli(["backup", "--timeout", "20"], [&folder]).code == Some(0)
    });
    assert!(is_refused(&phone, &folder));
    let devices = circle.source.ask(["devices"]);
    assert_eq!(device(&devices, "phone")["removed"]["by"], Value::Null, "by the phrase");
}

#[test]
fn only_a_device_of_the_vault_can_be_removed_and_not_by_itself() {
    let circle = Circle::new(1);
    let alone = circle.source.cli(["revoke", &circle.source.name], [""; 0]).expect_code(2);
    assert!(alone.stderr.contains("cannot remove itself"), "{alone}");
    let stranger = circle.source.cli(["revoke", "nobody"], [""; 0]).expect_code(1);
    assert!(stranger.stderr.contains("larder devices"), "{stranger}");
    let wrong = circle.path("wrong");
    fs::write(&wrong, "abandon ".repeat(23) + "art").unwrap();
    let words = wrong.to_str().unwrap();
    let wrong = ["revoke", &circle.source.name, "--phrase-file", words];
    circle.source.cli(wrong, [""; 0]).expect_code(5);
}
