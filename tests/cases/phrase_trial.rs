//! The phrase is tried, and nothing is changed by it: neither here nor at those who hold.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use larder_tests::{
    circle::Circle,
    houses::Houses,
    node::{Node, error_of},
    process::Output,
    short_directory, skipped, tree,
};
use serde_json::Value;

/// Tries a phrase with these tickets.
fn try_phrase(node: &Node, tickets: &[&str], phrase: &Path) -> Output {
    let mut words = vec!["recover", "--dry-run"];
    for ticket in tickets {
        words.extend(["--connect", ticket]);
    }
    words.push("--phrase-file");
    node.cli(words, [phrase])
}

/// Every file below a directory of a home, with its bytes.
fn files(directory: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let all = if directory.is_dir() { tree::bottom_up(directory) } else { Vec::new() };
    let files = all.into_iter().filter(|path| path.is_file());
    files.map(|path| (path.clone(), fs::read(&path).unwrap())).collect()
}

/// What a home keeps of vaults, and for others: logs, heads, shards, receipts' rows.
fn kept(node: &Node) -> [BTreeMap<PathBuf, Vec<u8>>; 3] {
    let at = |name: &str| node.home().join(name);
    let settings = ["config.toml", "device.key"].map(|name| (at(name), fs::read(at(name)).ok()));
    let settings = settings.into_iter().map(|(path, bytes)| (path, bytes.unwrap_or_default()));
    [files(&at("vaults")), files(&at("depot")), settings.collect()]
}

fn snapshots(tried: &Value) -> Vec<&str> {
    let all = tried["snapshots"].as_array().unwrap();
    all.iter().map(|one| one["snapshot"].as_str().unwrap()).collect()
}

// TRIAL-1, TRIAL-2
#[test]
fn a_fresh_home_tries_the_phrase_and_neither_it_nor_any_holder_is_changed() {
    let mut circle = Circle::new(2);
    let folder = circle.folder("folder");
    tree::ordinary(&folder, 5, 20, 50_000);
    let first = circle.backup(&folder);
    fs::write(folder.join("more"), b"more").unwrap();
    let second = circle.backup(&folder);
    let devices = circle.source.ask(["devices"])["devices"].as_array().unwrap().len();
    // Nobody else has anything to do with the holders meanwhile.
    circle.source.stop();
    let before: Vec<_> = circle.holders.iter().map(kept).collect();
    let peers = |holder: &Node| {
        let mut peers = holder.ask(["peers"])["peers"].clone();
        // How long it is silent by now is the one thing that goes on.
        for peer in peers.as_array_mut().unwrap() {
            for passing in ["attendance", "state", "path"] {
                peer.as_object_mut().unwrap().remove(passing);
            }
        }
        peers
    };
    let peers_before: Vec<_> = circle.holders.iter().map(peers).collect();

    let fresh = circle.recoverer("fresh");
    let tickets: Vec<String> = circle.holders.iter().map(Node::ticket).collect();
    // The second holder is found by what the first has: it is named in the manifest.
    let tried = try_phrase(&fresh, &[&tickets[0]], &circle.phrase).ok().json();
    assert_eq!((&tried["outcome"], &tried["own"]), (&"trial".into(), &false.into()), "{tried:#}");
    assert!(tried["proved"].is_string(), "{tried:#}");
    assert_eq!((&tried["witnesses_answered"], &tried["witnesses_known"]), (&2.into(), &2.into()));
    let ids = [&first, &second].map(|done| done["snapshots"][0]["snapshot"].as_str().unwrap());
    assert_eq!(snapshots(&tried), ids, "{tried:#}");
    assert_eq!(tried["snapshots"][1]["device_name"], "source", "{tried:#}");
    assert_eq!(tried["unread"], Value::Array(Vec::new()), "{tried:#}");

    let after: Vec<_> = circle.holders.iter().map(kept).collect();
    assert!(before == after, "a holder keeps something else than before");
    assert_eq!(peers_before, circle.holders.iter().map(peers).collect::<Vec<_>>());
    assert!(kept(&fresh)[0].is_empty() && fresh.shards().is_empty());
    assert!(files(&fresh.home().join("fetch")).is_empty());
    assert!(fresh.ask(["status"])["vault"].is_null());
    circle.source.up();
    let known = circle.source.ask(["devices"])["devices"].as_array().unwrap().len();
    assert_eq!(known, devices, "a trial is no device");
    // It is as fresh as before.
    let recovered = circle.recover(&fresh, &[0]).ok().json();
    assert_eq!(recovered["snapshots"].as_array().unwrap().len(), 2, "{recovered:#}");
    assert!(fresh.ask(["status"])["phrase_proved"].is_string(), "a recovery is a proof");
}

// TRIAL-3, TRIAL-5, TRIAL-6
#[test]
fn a_home_with_a_vault_tries_its_phrase_and_is_told_that_of_another() {
    let mut circle = Circle::new(1);
    let folder = circle.folder("folder");
    tree::ordinary(&folder, 6, 10, 50_000);
    circle.backup(&folder);
    let ticket = circle.holders[0].ticket();
    let proved = |circle: &Circle| circle.source.ask(["status"])["phrase_proved"].clone();
    assert!(proved(&circle).is_null());

    // With its node, and without; the holder has all of it.
    let tried = try_phrase(&circle.source, &[&ticket], &circle.phrase).ok().json();
    assert_eq!(tried["own"], true, "{tried:#}");
    assert_eq!(snapshots(&tried).len(), 1, "{tried:#}");
    let holders = tried["holders"].as_array().unwrap();
    assert_eq!(holders.len(), 1, "this device is no holder: {tried:#}");
    let first = proved(&circle);
    assert_eq!(first, tried["proved"], "{tried:#}");
    circle.source.stop();
    let before = kept(&circle.source);
    let tried = try_phrase(&circle.source, &[&ticket], &circle.phrase).ok().json();
    assert_eq!((&tried["own"], snapshots(&tried).len()), (&true.into(), 1), "{tried:#}");
    assert!(before[0] == kept(&circle.source)[0], "logs and heads stay as they were");
    assert_eq!(proved(&circle), tried["proved"]);

    // The phrase of another vault, here and on a fresh home; its own ticket; nobody there.
    let other = Node::new(&circle.path(""), "other");
    let others = other.init();
    let (message, _) = error_of(&try_phrase(&circle.source, &[&ticket], &others).expect_code(5));
    assert!(message.contains("of another one"), "{message}");
    circle.source.up();
    let (message, _) = error_of(&try_phrase(&circle.source, &[&ticket], &others).expect_code(5));
    assert!(message.contains("of another one"), "{message}");
    let own = circle.source.ticket();
    let output = try_phrase(&circle.source, &[&own], &circle.phrase);
    assert!(error_of(&output.expect_code(2)).0.contains("this very device"));
    let fresh = circle.recoverer("fresh");
    try_phrase(&fresh, &[&ticket], &others).expect_code(5);
    assert!(fresh.ask(["status"])["vault"].is_null());
    circle.holders[0].stop();
    fresh.ask(["config", "set", "net.lan", "off"]);
    try_phrase(&fresh, &[&ticket], &circle.phrase).expect_code(4);
    assert_eq!(proved(&circle), tried["proved"], "what fails proves nothing");
}

// TRIAL-3
#[test]
fn in_its_own_network_a_home_finds_its_holders_and_not_itself() {
    let Some(houses) = Houses::new(3) else {
        skipped("a trial in the network", "no network namespaces can be made here");
        return;
    };
    let directory = short_directory();
    let node = |place, name: &str| houses.node(place, directory.path(), name).with_lan();
    let (source, holders) = (node(0, "source"), vec![node(1, "holder0"), node(2, "holder1")]);
    let circle = Circle::of(directory, source, holders);
    let folder = circle.folder("folder");
    tree::ordinary(&folder, 9, 10, 50_000);
    circle.backup(&folder);
    // Its node shows itself as well, and holds the vault whose phrase this is.
    let tried = try_phrase(&circle.source, &[], &circle.phrase).ok().json();
    assert_eq!((&tried["own"], &tried["witnesses_known"]), (&true.into(), &2.into()), "{tried:#}");
    let own = circle.source.device();
    let holders = tried["holders"].as_array().unwrap();
    assert!(holders.iter().all(|holder| holder["device"] != own.as_str()), "{tried:#}");
    assert_eq!(snapshots(&tried).len(), 1, "{tried:#}");
}

// TRIAL-4
#[test]
fn a_newest_state_that_nobody_can_give_is_no_proof() {
    let mut circle = Circle::new(1);
    let folder = circle.folder("folder");
    tree::ordinary(&folder, 8, 10, 50_000);
    circle.backup(&folder);
    fs::write(folder.join("more"), b"more").unwrap();
    circle.backup(&folder);
    let ticket = circle.holders[0].ticket();
    circle.lose_source();
    circle.holders[0].stop();
    // All that the holder keeps is damaged, and its word stays.
    for shard in circle.holders[0].shards() {
        let mut bytes = fs::read(&shard).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(&shard, bytes).unwrap();
    }
    circle.holders[0].up();
    let fresh = circle.recoverer("fresh");
    let output = try_phrase(&fresh, &[&ticket], &circle.phrase).expect_code(4);
    let tried = output.json();
    assert!(tried["proved"].is_null(), "{tried:#}");
    let unread = tried["unread"].as_array().unwrap();
    assert!(unread[0]["what"].as_str().unwrap().contains("cannot be read"), "{tried:#}");
    assert_eq!(unread[0]["device_name"], "source", "{tried:#}");
}
