//! A fresh home with nothing but the phrase finds who holds its vault: in its network, and at a relay.
//!
//! Figures are printed for the reader (`cargo test phrase_alone -- --nocapture`).

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use larder_tests::{
    circle::Circle,
    compare,
    houses::Houses,
    node::{Node, error_of},
    process::eventually,
    routers::Router,
    short_directory, skipped,
    street::Street,
    tree,
};
use serde_json::Value;

/// Longest until holders have left word at a relay that forgot all: a vault is noticed within a minute, and on
/// a busy machine an attempt may fail, which is made up for after one minute, and after two more.
const WORD_LIMIT: Duration = Duration::from_secs(300);

/// Recovers with the phrase and these words; prints how long it took.
#[track_caller]
fn recover(fresh: &Node, words: &[&str], phrase: &Path) -> Value {
    let begun = Instant::now();
    let mut all = vec!["recover", "--name", &fresh.name, "--site", &fresh.site];
    all.extend(words);
    all.push("--phrase-file");
    let done = fresh.cli(all, [phrase]).ok().json();
    let (answered, known) = (&done["witnesses_answered"], &done["witnesses_known"]);
    let seconds = begun.elapsed().as_secs_f64();
    println!("  recovered in {seconds:.1} s, {answered} of {known} holders answered");
    done
}

#[track_caller]
fn assert_restores(circle: &Circle, fresh: &Node, folder: &Path) {
    let target = circle.path(&format!("{}.restored", fresh.name));
    fresh.cli(["restore", "latest", "--to"], [&target]).ok();
    compare::assert_same_tree(folder, &compare::below(&target, folder));
}

/// What is said when nobody who holds is found.
#[track_caller]
fn finds_nobody(fresh: &Node, words: &[&str], phrase: &Path) -> String {
    let mut all = vec!["recover"];
    all.extend(words);
    all.push("--phrase-file");
    let output = fresh.cli(all, [phrase]);
    assert_eq!(output.code, Some(4), "{output}");
    error_of(&output).0
}

// LOC-11
#[test]
fn in_the_network_of_its_holders_a_fresh_home_needs_nothing_else() {
    let Some(houses) = Houses::new(5) else {
        skipped("the phrase alone", "no network namespaces can be made and joined here");
        return;
    };
    println!("three holders on one switch, whose addresses have changed:");
    let directory = short_directory();
    let node = |place, name: &str| houses.node(place, directory.path(), name).with_lan();
    let (source, fresh) = (node(0, "source"), node(4, "fresh"));
    let holders = (1..4).map(|place| node(place, &format!("holder{place}"))).collect();
    let mut circle = Circle::of(directory, source, holders);
    let folder = circle.folder("folder");
    tree::ordinary(&folder, 7, 20, 50_000);
    circle.backup(&folder);
    circle.lose_source();
    for holder in &mut circle.holders {
        holder.stop();
        holder.move_elsewhere();
        holder.up();
    }
    let others = circle.path("others.phrase");
    let other = Node::new(&circle.path(""), "other");
    fs::rename(other.init(), &others).unwrap();
    let begun = Instant::now();
    let said = finds_nobody(&fresh, &[], &others);
    println!("  the phrase of another vault: {:.1} s", begun.elapsed().as_secs_f64());
    assert!(said.contains("no holder of this vault is in this network"), "{said}");

    let done = recover(&fresh, &[], &circle.phrase);
    assert_eq!(done["witnesses_answered"], 3, "{done:#}");
    assert_restores(&circle, &fresh, &folder);
}

// LOC-12
#[test]
fn who_does_not_show_himself_is_not_found_and_a_dead_ticket_is_no_obstacle() {
    let Some(houses) = Houses::new(4) else {
        skipped("the phrase and a ticket", "no network namespaces can be made here");
        return;
    };
    println!("a holder that shows itself, and one that does not:");
    let directory = short_directory();
    let source = houses.node(0, directory.path(), "source").with_lan();
    let hidden = houses.node(1, directory.path(), "hidden");
    let open = houses.node(2, directory.path(), "open").with_lan();
    let fresh = houses.node(3, directory.path(), "fresh").with_lan();
    let mut circle = Circle::of(directory, source, vec![hidden, open]);
    let folder = circle.folder("folder");
    tree::ordinary(&folder, 7, 20, 50_000);
    circle.backup(&folder);
    circle.lose_source();
    let ticket = circle.holders[1].ticket();
    circle.holders[1].stop();
    finds_nobody(&fresh, &[], &circle.phrase);
    circle.holders[1].move_elsewhere();
    circle.holders[1].up();
    // Where it was, nobody is now.
    recover(&fresh, &["--connect", &ticket], &circle.phrase);
    assert_restores(&circle, &fresh, &folder);
}

// LOC-13
#[test]
fn away_from_home_the_phrase_and_the_relay_are_enough() {
    let story = "a fresh home behind a third router";
    let Some(street) = Street::new(story, &[Router::RelayOnly; 3]) else { return };
    let Street { mut circle, folder, address, mut relay, routers } = street;
    tree::ordinary(&folder, 7, 20, 50_000);
    circle.backup(&folder);
    // Of the own vault and of the source's, from two devices.
    let records = || relay.number("larder_relay_records");
    eventually("both have left word", WORD_LIMIT, || records() == 3);
    circle.lose_source();

    let stranger = routers.node(2, &circle.path(""), "stranger");
    let (host, rest) = address.split_once('@').map(|(_, rest)| ("https://", rest)).unwrap();
    let without_token = format!("{host}{rest}");
    finds_nobody(&stranger, &["--relay", &without_token], &circle.phrase);

    relay.stop();
    relay.start();
    let begun = Instant::now();
    let records = || relay.number("larder_relay_records");
    eventually("a relay that forgot all is told again", WORD_LIMIT, || records() == 2);
    println!("  told again after {:.1} s", begun.elapsed().as_secs_f64());

    let fresh = routers.node(2, &circle.path(""), "fresh");
    recover(&fresh, &["--relay", &address], &circle.phrase);
    assert_restores(&circle, &fresh, &folder);
}
