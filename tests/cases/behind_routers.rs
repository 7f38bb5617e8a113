//! Two homes behind routers and a relay between them: what reaches whom, and on which path.
//!
//! Figures are printed for the reader (`cargo test behind_routers -- --nocapture`); what is asserted
//! is what is promised, never how fast it was.

use std::{
    fs,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use larder_tests::{
    circle::Circle,
    node::Node,
    process::eventually,
    relay::Relay,
    routers::{RELAY, Router, Routers},
    short_directory, skipped,
    street::Street,
    tree,
};
use serde_json::Value;

/// Longest that a path may take to become direct.
const DIRECT_LIMIT: Duration = Duration::from_secs(10);
/// Longest that nodes may take to notice that a relay is gone, and to choose another.
const TAKEOVER_LIMIT: Duration = Duration::from_secs(90);
/// Longest that nodes may take to connect to a relay.
const RELAY_LIMIT: Duration = Duration::from_secs(30);

// RELAY-11
#[test]
fn homes_behind_ordinary_routers_meet_by_the_relay_and_then_go_direct() {
    let story = "behind ordinary routers";
    let Some(mut street) = Street::new(story, &[Router::PortRestricted; 2]) else { return };
    let begun = Instant::now();
    eventually("the path is direct", DIRECT_LIMIT, || street.path() == "direct");
    println!("  direct after {:.1} s", begun.elapsed().as_secs_f64());
    let (sent, carried) = street.backup("first", 8_000_000);
    assert!(carried < sent / 2, "{carried} bytes of {sent} went through the relay");
    street.restore();
}

// RELAY-12
#[test]
fn homes_whose_routers_cannot_be_pierced_are_carried_by_the_relay() {
    for router in [Router::Symmetric, Router::RelayOnly] {
        let story = format!("behind {router:?} routers");
        let Some(mut street) = Street::new(&story, &[router; 2]) else { return };
        let (sent, carried) = street.backup("first", 8_000_000);
        assert_eq!(street.path(), "relayed");
        assert!(carried >= sent, "{carried} bytes of {sent} went through the relay");
        let status = street.circle.source.ask(["status"]);
        assert_eq!(status["peers_relayed"], 1, "{status:#}");
        assert_eq!(status["relays"][0]["state"], "connected", "{status:#}");
        street.restore();
        println!("  memory of the relay: {} bytes", street.relay.usage().rss_bytes_max);
    }
}

// MEET-12
#[test]
fn three_words_are_enough_where_both_know_a_relay() {
    let story = "a code through a relay";
    let Some(routers) = Routers::new(&[Router::Symmetric, Router::Symmetric]) else {
        skipped(story, "no network namespaces with nftables can be made and joined here");
        return;
    };
    println!("{story}:");
    let directory = short_directory();
    let mut relay = routers.relay(directory.path(), 8443);
    let address = relay.invite("family");
    relay.start();
    let mut inviter = routers.node(0, directory.path(), "inviter").with_relay(&address);
    inviter.init();
    inviter.up();
    let phone = routers.node(1, directory.path(), "phone");
    let invited = inviter.ask(["invite", "--device"]);
    let code = invited["spoken"].as_str().expect("there is a relay");
    let begun = Instant::now();
    phone.ask(["join", "--relay", &address, code]);
    println!("  joined in {:.1} s", begun.elapsed().as_secs_f64());
    assert_eq!(inviter.ask(["devices"])["devices"].as_array().map(Vec::len), Some(2));
}

// RELAY-13, RELAY-15
#[test]
fn a_transfer_goes_on_when_the_relay_is_started_again() {
    let story = "the relay is started again";
    let Some(mut street) = Street::new(story, &[Router::RelayOnly; 2]) else { return };
    assert!(street.routers.limit_uplink(0, 1_500_000), "the kernel has tbf");
    let new = street.folder.join("first");
    fs::create_dir(&new).unwrap();
    tree::ordinary(&new, 9, 40, 700_000);
    let before = street.carried();
    let source = &street.circle.source;
    let (relay, folder) = (&mut street.relay, &street.folder);
    thread::scope(|scope| {
        let backup = scope.spawn(|| source.cli(["backup"], [folder]).ok().json());
        let carried = |relay: &Relay| relay.number("larder_relay_sent_bytes_total");
        eventually("the transfer is under way", RELAY_LIMIT, || {
            carried(relay) > before + 2_000_000
        });
        assert!(!backup.is_finished(), "the transfer was over too soon");
        relay.stop();
        let said = relay.start();
        println!("  started again, {said}");
        let done = backup.join().unwrap();
        assert_eq!(done["reached"], "safe", "{done:#}");
        // Its numbers began anew with it.
        let after = carried(relay);
        println!("  safe after {} ms; {after} bytes carried since", done["duration_ms"]);
        assert!(after > 1_000_000, "the transfer was over too soon: {after} bytes since");
    });
    assert_eq!(street.relay.get(&format!("https://{RELAY}:8443/healthz")), "ok\n");
    street.routers.limit_uplink(0, 100_000_000);
    street.restore();
}

// RELAY-10, CLI-5
#[test]
fn who_has_no_token_or_a_revoked_one_is_turned_away() {
    let story = "outsiders at the relay";
    let Some(street) = Street::new(story, &[Router::RelayOnly; 2]) else { return };
    let directory = street.circle.path("");
    let without_token = {
        let (_, rest) = street.address.split_once('@').unwrap();
        format!("https://{rest}")
    };
    let mut stranger = outsider(&street, &directory, "outsider", &without_token);
    eventually("the outsider is turned away", RELAY_LIMIT, || relay_state(&stranger) == "denied");
    let check = relay_check(&stranger);
    assert_eq!(check["state"], "poor", "{check:#}");
    assert!(check["found"].as_str().unwrap().contains("asks for a token"), "{check:#}");
    assert!(check["hint"].as_str().unwrap().contains("larder-relay invite"), "{check:#}");
    assert!(street.relay.number("larder_relay_turned_away_total{why=\"no_token\"}") > 0);
    stranger.stop();

    let (host, _) = without_token.split_once('#').unwrap();
    let other_pin = format!("{host}#{}", "a".repeat(52));
    let mut misled = outsider(&street, &directory, "misled", &other_pin);
    let check = relay_check(&misled);
    assert!(check["found"].as_str().unwrap().contains("certificate"), "{check:#}");
    misled.stop();
    let clients = || street.relay.number("larder_relay_arrivals");
    eventually("no socket is left without its client", RELAY_LIMIT, || clients() == 0);

    let holder = &street.circle.holders[0];
    eventually("the holder is connected", RELAY_LIMIT, || relay_state(holder) == "connected");
    street.relay.cli(&["revoke", "family"]).ok();
    eventually("the holder is disconnected", RELAY_LIMIT, || relay_state(holder) == "denied");
    let check = relay_check(holder);
    assert!(check["found"].as_str().unwrap().contains("does not know the token"), "{check:#}");
    assert_eq!(street.relay.number("larder_relay_clients"), 0);
    let token = street.address.split_once('@').unwrap().0.trim_start_matches("https://");
    assert!(!street.relay.words().contains(token), "the log has the token");
    assert!(street.relay.words().contains("turned away"));
}

// Prints what a relay carries, and what that costs it. Best with programs of the release profile.
#[test]
#[ignore = "measures"]
fn what_a_relay_carries() {
    const BYTES: usize = 300_000_000;
    let Some(mut street) = Street::new("a relay under load", &[Router::RelayOnly; 2]) else {
        return;
    };
    street.relay.stop();
    street.relay.set("[limits]\nbytes_per_second = 1000000000\n");
    street.relay.start();
    let idle = street.relay.usage();
    println!("  idle with two clients: {} bytes of memory", idle.rss_bytes);
    let mut dice = larder_tests::dice::Dice::new(7);
    for number in 0..6 {
        fs::write(street.folder.join(number.to_string()), dice.bytes(BYTES / 6)).unwrap();
    }
    let begun = Instant::now();
    let done = street.circle.backup(&street.folder);
    let (seconds, after) = (begun.elapsed().as_secs_f64(), street.relay.usage());
    let (sent, carried) = (&done["sent_bytes"], street.carried());
    println!("  {sent} bytes sent in {seconds:.1} s, {carried} carried; relay: {after:?}");
    // Long enough for connections without a stream to be closed.
    thread::sleep(Duration::from_secs(90));
    let idle = street.routers.uplink(0);
    thread::sleep(Duration::from_secs(60));
    let crossed = street.routers.uplink(0).since(idle);
    println!("  a minute of nothing at home 0: {crossed:?}");
}

// RELAY-17
#[test]
fn a_second_relay_takes_over_when_the_first_is_gone() {
    let Some(routers) = Routers::new(&[Router::RelayOnly, Router::RelayOnly]) else {
        skipped("two relays", "no network namespaces with nftables can be made and joined here");
        return;
    };
    println!("two relays:");
    let directory = short_directory();
    let mut relays = [8443, 8543].map(|port| routers.relay(directory.path(), port));
    let addresses = relays.each_ref().map(|relay| relay.invite("family"));
    for relay in &mut relays {
        relay.start();
    }
    let node = |home: usize, name: &str| {
        let node = routers.node(home, directory.path(), name);
        addresses.iter().fold(node, |node, address| node.with_relay(address))
    };
    let (source, holder) = (node(0, "source"), node(1, "holder"));
    let circle = Circle::of(directory, source, vec![holder]);
    let folder = circle.folder("folder");
    tree::ordinary(&folder, 5, 40, 50_000);
    circle.backup(&folder);
    let connected = |node: &Node| {
        let relays = node.ask(["status"])["relays"].clone();
        relays.as_array().unwrap().iter().position(|relay| relay["state"] == "connected")
    };
    let first = connected(&circle.source).expect("the source is connected to one of them");
    relays[first].kill();
    let begun = Instant::now();
    eventually("both are connected to the other relay", TAKEOVER_LIMIT, || {
        [&circle.source, &circle.holders[0]].map(connected) == [Some(1 - first); 2]
    });
    println!("  the other relay after {:.1} s", begun.elapsed().as_secs_f64());
    tree::ordinary(&folder, 6, 80, 50_000);
    circle.backup(&folder);
    println!("  safe after {:.1} s", begun.elapsed().as_secs_f64());
}

/// A node in the internet that uses the relay by this address.
fn outsider(street: &Street, directory: &Path, name: &str, address: &str) -> Node {
    let mut node = street.routers.outsider(directory, name).with_relay(address);
    node.init();
    node.up();
    node
}

fn relay_state(node: &Node) -> Value {
    node.ask(["status"])["relays"][0]["state"].clone()
}

/// What `doctor` says of the one relay of a node.
fn relay_check(node: &Node) -> Value {
    let checks = node.cli(["doctor"], [""; 0]).json()["checks"].clone();
    let of_relay = |check: &&Value| check["name"].as_str().unwrap().starts_with("relay ");
    checks.as_array().unwrap().iter().find(of_relay).expect("there is such a check").clone()
}
