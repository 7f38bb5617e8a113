//! What was saved before a device was stolen is sealed anew: nothing that is claimed needs a key it had.

use std::{collections::BTreeMap, fs, path::Path, process::Stdio, time::Duration};

use larder_tests::{circle::Circle, compare, node::Node, process::eventually, tree};
use serde_json::Value;

/// Longest until the node has done something by itself on a busy machine.
const PATIENCE: Duration = Duration::from_secs(150);

/// Shards that a node keeps, by name: the epoch that each says in its header.
fn epochs(node: &Node) -> BTreeMap<String, u32> {
    let shards = node.shards().into_iter().filter_map(|path| {
        let bytes = fs::read(&path).ok()?;
        let epoch = bytes.get(12..16)?.try_into().ok()?;
        Some((path.file_name()?.to_str()?.to_owned(), u32::from_le_bytes(epoch)))
    });
    shards.collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Whether a list of claims names a shard: roots stand in it one after the other.
fn names(list: &[u8], root: &str) -> bool {
    (0..list.len().saturating_sub(31)).any(|at| {
        // Cheap first: the lists are long in all.
        root.starts_with(&hex(&list[at..=at])) && hex(&list[at..at + 32]) == *root
    })
}

/// Shards of older keys at a holder that the device still claims, by the list that it told last.
fn claimed_and_old(holder: &Node, device: &str, newest: u32) -> Vec<String> {
    let vaults = fs::read_dir(holder.home().join("vaults")).unwrap();
    let lists =
        vaults.filter_map(|vault| fs::read(vault.unwrap().path().join("claims").join(device)).ok());
    let list: Vec<u8> = lists.flatten().collect();
    assert!(!list.is_empty(), "it has told what it needs");
    let old = epochs(holder).into_iter().filter(|(_, epoch)| *epoch < newest);
    old.map(|(root, _)| root).filter(|root| names(&list, root)).collect()
}

fn of<'a>(list: &'a Value, path: &Path) -> &'a str {
    let all = list["snapshots"].as_array().unwrap();
    let found = all.iter().rfind(|one| one["path"].as_str().unwrap() == path.to_str().unwrap());
    found.unwrap_or_else(|| panic!("{list:#}"))["snapshot"].as_str().unwrap()
}

/// A circle of two holders whose vault has a second device; each device has a backup, with files of the
/// other in it.
fn family() -> (Circle, Node) {
    let circle = Circle::new(2);
    let phone = circle.phone();
    let folder = circle.folder("folder");
    tree::ordinary(&folder, 601, 120, 400_000);
    circle.backup(&folder);
    let theirs = circle.folder("of the phone");
    tree::ordinary(&theirs, 602, 20, 100_000);
    compare::copy(&folder, &theirs.join("shared"));
    let done = phone.cli(["backup"], [&theirs]).ok().json();
    assert_eq!(done["reached"], "safe", "{done:#}");
    (circle, phone)
}

// REKEY-1, REKEY-2, REKEY-5, REKEY-6, REKEY-7
#[test]
fn killed_in_the_middle_it_goes_on_and_at_the_end_nothing_claimed_needs_an_old_key() {
    let (mut circle, mut phone) = family();
    let (folder, theirs) = (circle.path("folder"), circle.path("of the phone"));
    let nothing = circle.source.ask(["rekey"]);
    assert!(nothing["wanted"].is_null() && nothing["older"][0].is_null(), "{nothing:#}");
    circle.source.ask(["revoke", "phone", "--reason", "stolen"]);
    phone.kill();
    let before = circle.source.ask(["rekey", "--dry-run"]);
    assert_eq!((&before["key"], &before["wanted"]), (&2.into(), &Value::Null), "{before:#}");
    assert!(before["older"][0]["bytes"].as_u64().unwrap() > 20_000_000, "{before:#}");
    let reader = &before["removed"][0];
    assert_eq!(reader["name"], "phone");
    assert_eq!((&reader["reason"], &reader["key"]), (&"stolen".into(), &1.into()), "{before:#}");
    assert_eq!(reader["snapshots"], 2, "both devices' snapshots: {before:#}");

    // Killed while new packs are being made, three times, at another moment each.
    for round in 0..3 {
        let kept = circle.source.shards().len();
        let mut command = circle.source.command(["rekey", "--now"], [""; 0]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut asked = command.spawn().unwrap();
        eventually("it makes packs, or is done", PATIENCE, || {
            let is_over = asked.try_wait().unwrap().is_some();
            is_over || circle.source.shards().len() > kept + round
        });
        circle.source.kill();
        asked.wait().unwrap();
        circle.source.up();
        let far = circle.source.ask(["status"])["rekey"].clone();
        println!("killed in round {round}: {far}");
        if far.is_null() {
            break;
        }
        assert_eq!(far["key"], 2, "it is wanted still");
    }

    // A start goes on by itself; whoever waits does not have to.
    eventually("it is done", PATIENCE, || {
        let done = circle.source.cli(["rekey", "--now"], [""; 0]).json();
        done["wanted"].is_null() && done["older"][0].is_null()
    });
    let after = circle.source.ask(["rekey", "--dry-run"]);
    assert_eq!(after["index_behind"], false, "{after:#}");
    let reader = &after["removed"][0];
    assert_eq!(reader["packs"], 0, "{after:#}");
    assert_eq!(reader["signed_packs"], after["signed_packs"], "{after:#}");
    assert!(after["signed_packs"].as_u64().unwrap() > 0, "what the phone has signed: {after:#}");
    assert!(after["signed_bytes"].as_u64().unwrap() < 300_000, "lists alone: {after:#}");
    let device = circle.source.device();
    for holder in &circle.holders {
        // Lists are told a quarter of an hour after the last time, or after a start.
        let is_told = || {
            let old = claimed_and_old(holder, &device, 2);
            u64::try_from(old.len()).unwrap() <= after["signed_packs"].as_u64().unwrap()
        };
        circle.source.stop();
        circle.source.up();
        eventually("holders know what is not claimed any more", PATIENCE, is_told);
        assert!(epochs(holder).values().any(|epoch| *epoch == 1), "they keep it for a while");
    }

    // A new device reads both devices' files from what is claimed, and so does nobody with old keys.
    let list = circle.source.ask(["snapshots"]);
    let (ours, theirs_id) = (of(&list, &folder).to_owned(), of(&list, &theirs).to_owned());
    circle.lose_source();
    let fresh = circle.recoverer("fresh");
    circle.recover(&fresh, &[0, 1]).ok();
    for (id, original) in [(&ours, &folder), (&theirs_id, &theirs)] {
        let target = circle.path(&format!("restored {}", &id[..8]));
        fresh.cli(["restore", id, "--to"], [&target]).ok();
        compare::assert_same_tree(original, &compare::below(&target, original));
    }
}

// REKEY-6, REKEY-8
#[test]
fn a_running_node_does_it_by_the_way_and_a_wish_is_taken_back() {
    let (circle, mut phone) = family();
    phone.kill();
    let revoked = circle.source.plain(["revoke", "phone"]).output().unwrap();
    let said =
        String::from_utf8(revoked.stdout).unwrap() + &String::from_utf8(revoked.stderr).unwrap();
    assert!(said.contains("larder rekey"), "{said}");
    let wanted = circle.source.ask(["rekey"]);
    assert_eq!(wanted["wanted"]["key"], 2, "{wanted:#}");
    assert!(circle.source.ask(["rekey", "--stop"])["wanted"].is_null());
    assert!(circle.source.ask(["status"])["rekey"].is_null());
    circle.source.ask(["rekey"]);
    eventually("it is done", PATIENCE, || circle.source.ask(["status"])["rekey"].is_null());
    let done = circle.source.ask(["rekey", "--dry-run"]);
    assert!(done["older"][0].is_null() && done["index_behind"] == false, "{done:#}");
    let again = circle.backup(&circle.path("folder"));
    assert!(
        again["sent_bytes"].as_u64().unwrap() < 1_000_000,
        "nothing is stored again: {again:#}"
    );
    let text = circle.source.plain(["rekey"]).output().unwrap();
    let text = String::from_utf8(text.stdout).unwrap();
    assert!(text.contains("nothing to do") && text.contains("could read everything"), "{text}");
}
