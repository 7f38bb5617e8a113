//! A line on which bytes cost: backups wait, what is near does not, and nobody is without what he asked for.

use std::{
    fs,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use larder_tests::{
    circle::Circle, compare, dice::Dice, node::Node, process::eventually, routers::Router,
    street::Street,
};
use serde_json::Value;

const LIMIT: Duration = Duration::from_secs(60);
/// What heads, logs, offers and questions may take while packs wait.
const WORDS_BYTES_MAX: u64 = 300_000;

/// Says of a node that its line is metered; the loopback of this machine counts as outside.
fn meter(node: &Node) {
    node.ask(["config", "set", "net.limit_lan", "on"]);
    node.ask(["config", "set", "net.metered", "on"]);
}

fn noise(folder: &Path, name: &str, (seed, bytes): (u64, usize)) {
    fs::write(folder.join(name), Dice::new(seed).bytes(bytes)).unwrap();
}

fn is_safe(node: &Node) -> bool {
    node.ask(["status"])["safety"] == "safe"
}

fn kept(node: &Node) -> u64 {
    node.ask(["status"])["kept_bytes"].as_u64().unwrap()
}

fn advice(node: &Node) -> Value {
    node.ask(["status"])["advice"].clone()
}

// PACE-6, PACE-5
#[test]
fn a_backup_waits_on_a_metered_line_and_says_so() {
    let circle = Circle::new(2);
    let folder = circle.folder("folder");
    meter(&circle.source);
    noise(&folder, "noise", (5, 2_000_000));
    let cut = circle.source.cli(["backup", "--timeout", "4"], [&folder]);
    assert_eq!(cut.code, Some(4), "{cut}");
    assert!(cut.stderr.contains("metered"), "{cut}");
    assert!(circle.holders.iter().all(|holder| kept(holder) == 0));
    let said = advice(&circle.source).to_string();
    assert!(said.contains("net.metered off"), "{said}");
    // In the same network nothing costs.
    circle.source.ask(["config", "set", "net.limit_lan", "off"]);
    eventually("all is safe nearby", LIMIT, || is_safe(&circle.source));
    assert!(!advice(&circle.source).to_string().contains("metered"));

    // A change counts while bytes go.
    meter(&circle.source);
    noise(&folder, "more", (6, 3_000_000));
    circle.source.cli(["backup", "--wait", "local"], [&folder]).ok();
    let before: u64 = circle.holders.iter().map(kept).sum();
    circle.source.ask(["config", "set", "net.metered", "off"]);
    eventually("all is safe", LIMIT, || is_safe(&circle.source));
    let after: u64 = circle.holders.iter().map(kept).sum();
    assert!(after >= before + 6_000_000, "{before} {after}");
}

// PACE-6, PACE-4
#[test]
fn a_holder_on_a_metered_line_takes_nothing_new_and_gives_what_it_keeps() {
    let mut circle = Circle::new(2);
    let folder = circle.folder("folder");
    noise(&folder, "noise", (5, 1_000_000));
    circle.backup(&folder);
    meter(&circle.holders[0]);
    let before = kept(&circle.holders[0]);
    noise(&folder, "more", (6, 2_000_000));
    let cut = circle.source.cli(["backup", "--timeout", "4"], [&folder]);
    assert_eq!(cut.code, Some(4), "{cut}");
    assert_eq!(kept(&circle.holders[0]), before);
    assert!(kept(&circle.holders[1]) > before + 1_900_000, "the other one takes it");
    let blamed = circle.source.ask(["peers"]).to_string();
    assert!(!blamed.contains("\"failed\""), "it is not to blame: {blamed}");

    // Who needs something back gets it, over whatever line.
    circle.holders[1].stop();
    circle.lose_source();
    let fresh = Node::new(&circle.path(""), "fresh");
    let ticket = circle.holders[0].ticket();
    fresh.cli(["recover", "--connect", &ticket, "--phrase-file"], [&circle.phrase]).ok();
    let target = circle.path("restored");
    fresh.cli(["restore", "latest", "--to"], [&target]).ok();
    let back = fs::read(compare::below(&target, &folder).join("noise")).unwrap();
    assert!(back == fs::read(folder.join("noise")).unwrap(), "what was safe before is there");
}

// PACE-6
#[test]
fn through_a_relay_nothing_but_words_goes_while_the_line_is_metered() {
    let story = "a metered line and a relay";
    let Some(street) = Street::new(story, &[Router::RelayOnly; 2]) else { return };
    let source = &street.circle.source;
    source.ask(["config", "set", "net.metered", "on"]);
    noise(&street.folder, "noise", (5, 4_000_000));
    let before = street.carried();
    source.cli(["backup", "--wait", "local"], [&street.folder]).ok();
    thread::sleep(Duration::from_secs(5));
    let carried = street.carried() - before;
    println!("  {carried} bytes carried while it waits");
    assert!(carried < WORDS_BYTES_MAX && !is_safe(source), "{carried} bytes carried");
    let begun = Instant::now();
    source.ask(["config", "set", "net.metered", "off"]);
    eventually("it is safe", LIMIT, || is_safe(source));
    println!("  safe {:.1} s after the line was free", begun.elapsed().as_secs_f64());
    assert!(street.carried() - before > 4_000_000);
}
