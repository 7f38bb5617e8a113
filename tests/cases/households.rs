//! Households that nobody named: two families are two, and the devices of one are one.

use std::time::Duration;

use larder_tests::{circle::pair, node::Node, process::eventually, short_directory, tree};
use serde_json::Value;

/// What is told at once when two nodes run.
const TOLD_LIMIT: Duration = Duration::from_secs(30);

/// A vault on a machine that is called like many.
#[track_caller]
fn founded(directory: &std::path::Path, name: &str) -> (Node, String) {
    let mut node = Node::new(directory, name);
    let phrase = directory.join(format!("{name}.phrase"));
    let words = ["init", "--name", "raspberrypi", "--phrase-out"];
    let made = node.cli(words, [&phrase]).ok().json();
    let site = made["site"].as_str().unwrap().to_owned();
    assert!(site.starts_with("home-"), "{made:#}");
    node.up();
    node.ask(["offer", "1GB"]);
    (node, site)
}

/// Where a node knows its only peer of another vault to stand.
fn site_of_other(node: &Node) -> Value {
    let peers = node.ask(["peers"]);
    let peers = peers["peers"].as_array().unwrap();
    peers.iter().find(|peer| peer["own"] == false).unwrap()["site"].clone()
}

// CLI-20, PLACE-26, PAIR-14
#[test]
fn two_families_are_two_households_and_two_devices_of_one_are_one() {
    let directory = short_directory();
    let (mine, my_site) = founded(directory.path(), "mine");
    let (theirs, their_site) = founded(directory.path(), "theirs");
    assert_ne!(my_site, their_site);
    let joined = pair(&mine, &theirs, "--circle");
    assert_eq!(
        (&joined["site"], &joined["same_site"]),
        (&their_site.clone().into(), &false.into())
    );
    assert_eq!(site_of_other(&mine), their_site);

    let mut second = Node::new(directory.path(), "second");
    let joined = pair(&mine, &second, "--device");
    assert_eq!((&joined["site"], &joined["same_site"]), (&my_site.clone().into(), &true.into()));
    second.up();
    assert_eq!(second.ask(["status"])["site"], my_site);

    let folder = directory.path().join("folder");
    std::fs::create_dir(&folder).unwrap();
    tree::ordinary(&folder, 3, 10, 50_000);
    let done = mine.cli(["backup"], [&folder]).ok().json();
    assert_eq!(done["reached"], "safe", "{done:#}");

    // The others say where they really stand, which is here.
    theirs.ask(["config", "set", "device.site", &my_site]);
    eventually("a new site is told", TOLD_LIMIT, || site_of_other(&mine) == my_site.as_str());
    let status = mine.ask(["status"]);
    let advice = status["advice"].as_array().unwrap();
    let here = |one: &&Value| one["text"].as_str().unwrap().contains("on the site of this device");
    let hint = advice.iter().find(here).unwrap_or_else(|| panic!("{status:#}"))["hint"].as_str();
    assert!(hint.unwrap().contains("larder config set device.site"), "{status:#}");
    let joined = pair(&mine, &theirs, "--circle");
    assert_eq!(joined["same_site"], true, "{joined:#}");

    // The machine is lost; the one that takes its place stands where the vault's devices do.
    let (ticket, phrase) = (theirs.ticket(), directory.path().join("mine.phrase"));
    drop(mine);
    let fresh = Node::new(directory.path(), "fresh");
    let words = ["recover", "--name", "raspberrypi", "--connect", &ticket, "--phrase-file"];
    let recovered = fresh.cli(words, [&phrase]).ok().json();
    assert_eq!(recovered["site"], my_site, "{recovered:#}");
    // The manifest is older than the move.
    assert_eq!(site_of_other(&fresh), my_site);
}
