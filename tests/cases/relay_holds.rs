//! A relay that keeps sealed data: the only holder that is awake, for several families, none of which it
//! can read or tells of another.
//!
//! Figures are printed for the reader (`cargo test relay_holds -- --nocapture`).

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use data_encoding::HEXLOWER;
use larder_tests::{
    compare,
    needles::found,
    node::Node,
    process::eventually,
    relay::Relay,
    routers::{Router, Routers},
    short_directory, skipped, tree,
};

/// Longest until a holder has left word at its relay, on a busy machine.
const WORD_LIMIT: Duration = Duration::from_secs(300);

/// A relay that holds, and homes behind routers.
struct Town {
    relay: Relay,
    // After the processes that live in it.
    routers: Routers,
    directory: tempfile::TempDir,
}

impl Town {
    fn new(story: &str, routers: &[Router]) -> Option<Self> {
        let Some(routers) = Routers::new(routers) else {
            skipped(story, "no network namespaces with nftables can be made and joined here");
            return None;
        };
        println!("{story}:");
        let directory = short_directory();
        let mut relay = routers.relay(directory.path(), 8443);
        relay.set("[hold]\nspace = \"2 GB\"\nname = \"the cloud\"\n");
        relay.start();
        Some(Self { relay, routers, directory })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// A running node in a home, of a vault that keeps something at the relay; with the address of the
    /// relay and the phrase.
    #[track_caller]
    fn family(&self, home: usize, name: &str, space: &str) -> (Node, String, PathBuf) {
        let (address, code) = self.relay.invite_to_hold(name, space);
        let mut node = self.routers.node(home, self.directory.path(), name).with_relay(&address);
        let phrase = node.init();
        node.up();
        let joined = node.ask(["join", &code]);
        assert_eq!(joined["kind"], "one-way", "{joined:#}");
        (node, address, phrase)
    }

    #[track_caller]
    fn folder(&self, name: &str, seed: u64, bytes: u64) -> PathBuf {
        let folder = self.path(name);
        fs::create_dir(&folder).unwrap();
        tree::ordinary(&folder, seed, 20, bytes / 20);
        folder
    }
}

#[track_caller]
fn backup(node: &Node, folder: &Path) {
    let done = node.cli(["backup"], [folder]).ok().json();
    assert_eq!(done["reached"], "safe", "{done:#}");
}

/// A fresh home with nothing but the phrase and the address of the relay gets a folder back.
#[track_caller]
fn comes_back(town: &Town, home: usize, (address, phrase): (&str, &Path), folder: &Path) {
    let fresh = town.routers.node(home, town.directory.path(), "fresh");
    let begun = Instant::now();
    let words =
        ["recover", "--name", "fresh", "--site", "new", "--relay", address, "--phrase-file"];
    fresh.cli(words, [phrase]).ok();
    println!("  recovered in {:.1} s", begun.elapsed().as_secs_f64());
    let target = town.path("restored");
    fresh.cli(["restore", "latest", "--to"], [&target]).ok();
    compare::assert_same_tree(folder, &compare::below(&target, folder));
}

// RELAY-18, RELAY-19
#[test]
fn with_everybody_off_the_phrase_and_the_address_of_the_relay_bring_all_back() {
    let story = "a family that is off, and its relay";
    let Some(mut town) = Town::new(story, &[Router::RelayOnly; 2]) else { return };
    let (mut anna, address, phrase) = town.family(0, "anna", "1GB");
    let folder = town.folder("photos-4471", 7, 3_000_000);
    fs::write(folder.join("file-name-2210"), "short").unwrap();
    backup(&anna, &folder);
    let peers = anna.ask(["peers"]);
    let relay = &peers["peers"][0];
    assert_eq!((&relay["name"], &relay["site"]), (&"the cloud".into(), &"the cloud".into()));
    assert_eq!(relay["granted_bytes"], 1_000_000_000, "{peers:#}");
    // A restore from there would work.
    let drill = anna.cli(["verify", "--drill"], [""; 0]).ok().json();
    assert!(drill["files"].as_u64().unwrap_or(0) > 0, "{drill:#}");
    let records = || town.relay.number("larder_relay_records");
    // Of two vaults, each from two devices.
    eventually("both have left word", WORD_LIMIT, || records() == 4);
    anna.kill();
    fs::remove_dir_all(anna.home()).unwrap();

    // It stops well, and has everything when it is back.
    town.relay.stop();
    town.relay.start();
    eventually("it has left word again", WORD_LIMIT, || {
        town.relay.number("larder_relay_records") == 2
    });
    comes_back(&town, 1, (&address, &phrase), &folder);
    assert!(town.relay.number("larder_relay_held_bytes") > 100_000);
    assert_eq!(town.relay.number("larder_relay_held_vaults"), 1);
    let needles = ["photos-4471", "file-name-2210"].map(|it| it.as_bytes().to_vec());
    assert!(!found(&town.path("photos-4471"), &needles[1..]).is_empty(), "the search itself works");
    assert_eq!(found(&town.relay.held(), &needles), [""; 0]);
    // The whole names: four digits alone are in the ids and times of any long log.
    let log = town.relay.words();
    assert!(
        !log.contains("photos-4471") && !log.contains("file-name-2210"),
        "the log names a file"
    );
}

// RELAY-20, RELAY-21
#[test]
fn each_family_has_its_space_and_learns_of_no_other() {
    let story = "two families at one relay";
    let Some(town) = Town::new(story, &[Router::RelayOnly; 2]) else { return };
    let (mut anna, ..) = town.family(0, "anna", "1GB");
    let (mut ben, ..) = town.family(1, "ben", "2MB");
    let ids = [&anna, &ben].map(|node| {
        let status = node.ask(["status"]);
        let bytes = |key: &str| HEXLOWER.decode(status[key].as_str().unwrap().as_bytes()).unwrap();
        vec![bytes("device"), bytes("vault")]
    });
    let (small, large) = (town.folder("small", 7, 500_000), town.folder("large", 8, 8_000_000));
    backup(&anna, &large);
    backup(&ben, &small);
    // More than he may keep there: it is said, and harms nobody.
    let full = ben.cli(["backup", "--timeout", "20"], [&large]);
    assert_eq!(full.code, Some(4), "{full}");
    tree::ordinary(&large, 9, 40, 100_000);
    backup(&anna, &large);
    for (node, other) in [(&anna, ben.device()), (&ben, anna.device())] {
        let peers = node.ask(["peers"])["peers"].to_string();
        assert!(!peers.contains(&other), "{peers}");
        assert_eq!(node.ask(["peers"])["peers"].as_array().map(Vec::len), Some(1));
    }
    let listed = town.relay.cli(&["accounts"]).ok();
    let lines = listed.text();
    assert!(lines.contains("anna: ") && lines.contains(" of 1.00 GB"), "{lines}");
    assert!(lines.contains("ben: ") && lines.contains(" of 2.00 MB"), "{lines}");
    assert!(!lines.contains("not heard of yet"), "{lines}");

    // More room is taken at once.
    town.relay.cli(&["space", "ben", "100MB"]).ok();
    let begun = Instant::now();
    backup(&ben, &large);
    println!("  more room was found in {:.1} s", begun.elapsed().as_secs_f64());
    // Less room takes nothing away, and the families grant the relay nothing.
    town.relay.cli(&["space", "ben", "0"]).ok();
    assert!(town.relay.cli(&["accounts"]).ok().text().contains(" of 0 B"));
    for node in [&mut anna, &mut ben] {
        let offer = node.ask(["offer"]);
        assert_eq!(offer["vaults"][0]["allowed_bytes"], 0, "{offer:#}");
        assert_eq!(offer["vaults"][0]["kept_bytes"], 0, "{offer:#}");
        node.stop();
    }
    // Nothing that either was told or keeps knows of the other, by its key or its vault.
    for (node, other) in [(&anna, &ids[1]), (&ben, &ids[0])] {
        assert_eq!(found(node.home(), other), [""; 0]);
    }
    assert_ne!(found(&town.relay.held(), &ids[1]), [""; 0], "the search itself works");
}

// RELAY-22, RELAY-23
#[test]
fn what_it_cannot_do_is_said_with_what_to_do() {
    let story = "a relay that does not hold";
    let Some(routers) = Routers::new(&[]) else {
        skipped(story, "no network namespaces can be made here");
        return;
    };
    println!("{story}:");
    let directory = short_directory();
    let mut relay = routers.relay(directory.path(), 8443);
    let refused = |relay: &Relay, words: &[&str], why: &str| {
        let output = relay.cli(words).expect_failure();
        assert!(output.stderr.contains(why), "{output}");
    };
    refused(&relay, &["accounts"], "put `[hold]`");
    refused(&relay, &["invite", "--name", "anna", "--hold", "1GB"], "put `[hold]`");
    relay.set("[hold]\nspace = \"1 GB\"\n");
    refused(&relay, &["hold", "1GB", "--name", "anna"], "nobody answers there");
    relay.start();
    refused(&relay, &["space", "anna", "1GB"], "nobody");
    refused(&relay, &["leave", "anna"], "nobody");
    refused(&relay, &["hold", "much", "--name", "anna"], "not a size");
    // What was refused has left no invitation behind.
    assert_eq!(relay.cli(&["invitations"]).ok().text(), "");
    relay.invite_to_hold("anna", "1GB");
    refused(&relay, &["invite", "--name", "anna", "--hold", "1GB"], "already");
    refused(&relay, &["hold", "1GB", "--name", "anna"], "called anna here already");
    refused(&relay, &["leave", "anna", "--even-if-needed"], "--yes");
    let promised = relay.cli(&["hold", "3GB", "--name", "carl"]).ok();
    assert!(promised.stderr.contains("More is promised than there is"), "{promised}");
    assert_eq!(relay.cli(&["invitations"]).ok().text().lines().count(), 1);
    // Without `[hold]` what is kept stays, and it is said that nobody is served.
    relay.stop();
    relay.set("");
    relay.start();
    assert!(relay.held().join("depot").exists());
    assert!(relay.words().contains("served to nobody"), "{}", relay.words());
    relay.stop();
    // A disk that is not there is no reason to begin anew, nor to relay no more.
    let away = directory.path().join("away");
    fs::rename(relay.held(), &away).unwrap();
    relay.set("[hold]\nspace = \"1 GB\"\n");
    relay.start();
    assert!(relay.words().contains("is its disk mounted?"), "{}", relay.words());
    assert_eq!(relay.number("larder_relay_holding"), 0);
    refused(&relay, &["accounts"], "nobody answers there");
    relay.stop();
    fs::rename(&away, relay.held()).unwrap();
    relay.start();
    assert_eq!(relay.number("larder_relay_holding"), 1);
    relay.stop();
    relay.set("[hold]\nspace = \"much\"\n");
    let output = relay.cli(&[]).expect_failure();
    assert!(output.stderr.contains("not a size"), "{output}");
}
