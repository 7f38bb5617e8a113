//! A device and a holder that are never on together, and a relay between them that keeps sealed data.
//!
//! Figures are printed for the reader (`cargo test never_together -- --nocapture`).

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use larder_tests::{
    compare,
    node::Node,
    process::eventually,
    relay::Relay,
    routers::{Router, Routers},
    short_directory, skipped, tree,
};

/// Longest for each step, on a busy machine.
const LIMIT: Duration = Duration::from_secs(180);

/// Files in which the relay keeps what was left for somebody, with their lengths.
fn left(relay: &Relay) -> Vec<(PathBuf, u64)> {
    let vaults = fs::read_dir(relay.held().join("vaults")).expect("it keeps vaults");
    let mut all = Vec::new();
    for vault in vaults {
        let errands = vault.expect("a readable directory").path().join("errands");
        for file in fs::read_dir(errands).into_iter().flatten() {
            let file = file.expect("a readable directory");
            all.push((file.path(), file.metadata().map_or(0, |it| it.len())));
        }
    }
    all
}

fn is_safe(node: &Node) -> bool {
    node.ask(["status"])["safety"] == "safe"
}

fn kept_bytes(node: &Node) -> u64 {
    let offer = node.ask(["offer"]);
    offer["vaults"]
        .as_array()
        .map_or(0, |vaults| vaults.iter().filter_map(|vault| vault["kept_bytes"].as_u64()).sum())
}

/// A home of its own for each; both reach the relay alone, and nobody else.
fn family(routers: &Routers, relay: &Relay, directory: &Path) -> (Node, Node, PathBuf) {
    let (address, code) = relay.invite_to_hold("anna", "1GB");
    let mut anna = routers.node(0, directory, "anna").with_relay(&address);
    let phrase = anna.init();
    anna.up();
    anna.ask(["join", &code]);
    let mut oma = routers.node(1, directory, "oma").with_relay(&relay.invite("oma"));
    oma.init();
    oma.up();
    oma.ask(["offer", "1GB"]);
    let invited = anna.ask(["invite"]);
    oma.ask(["join", invited["code"].as_str().expect("a code")]);
    (anna, oma, phrase)
}

// ERR-1
#[test]
fn a_backup_becomes_safe_though_owner_and_holder_are_never_on_together() {
    let story = "an owner in the morning, a holder in the evening";
    let Some(routers) = Routers::new(&[Router::RelayOnly; 3]) else {
        skipped(story, "no network namespaces with nftables can be made and joined here");
        return;
    };
    println!("{story}:");
    let directory = short_directory();
    let mut relay = routers.relay(directory.path(), 8443);
    relay.set("[hold]\nspace = \"2 GB\"\nname = \"the cloud\"\n");
    relay.start();
    let (mut anna, mut oma, phrase) = family(&routers, &relay, directory.path());
    // They have met, once.
    let folder = directory.path().join("folder");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("first"), "first").unwrap();
    let first = anna.cli(["backup"], [&folder]).ok().json();
    assert_eq!(first["reached"], "safe", "{first:#}");
    oma.stop();

    tree::ordinary(&folder, 7, 20, 150_000);
    let begun = Instant::now();
    let morning = anna.cli(["backup", "--timeout", "5"], [&folder]);
    assert_eq!(morning.code, Some(4), "the other household is off: {morning}");
    assert!(!is_safe(&anna));
    let met = || left(&relay).iter().any(|(_, bytes)| *bytes > 500);
    eventually("what is to be fetched is left at the relay", LIMIT, met);
    println!("  left at the relay {:.1} s after the backup began", begun.elapsed().as_secs_f64());
    let before = left(&relay);
    anna.stop();

    let begun = Instant::now();
    oma.up();
    let has_said = || left(&relay).iter().zip(&before).any(|(now, then)| now.1 > then.1 + 200);
    eventually("the holder has fetched it, and said so", LIMIT, has_said);
    let (kept, took) = (kept_bytes(&oma), begun.elapsed().as_secs_f64());
    assert!(kept > 500_000, "it keeps {kept} bytes");
    println!("  all of it fetched, and said, {took:.1} s after its start");
    oma.stop();

    let begun = Instant::now();
    anna.up();
    eventually("the backup is safe", LIMIT, || is_safe(&anna));
    println!("  known to be safe {:.1} s after the next start", begun.elapsed().as_secs_f64());
    anna.kill();

    // What the relay keeps is gone, and the owner's home: the holder alone is enough.
    relay.stop();
    fs::remove_dir_all(relay.held()).unwrap();
    fs::remove_dir_all(anna.home()).unwrap();
    relay.set("");
    relay.start();
    oma.up();
    let ticket = oma.ticket();
    let fresh = routers.node(2, directory.path(), "fresh");
    let address = relay.invite("fresh");
    let mut words = vec!["recover", "--name", "fresh", "--site", "new"];
    words.extend(["--relay", &address, "--connect", &ticket, "--phrase-file"]);
    fresh.cli(words, [&phrase]).ok();
    let target = directory.path().join("restored");
    fresh.cli(["restore", "latest", "--to"], [&target]).ok();
    compare::assert_same_tree(&folder, &compare::below(&target, &folder));
}
