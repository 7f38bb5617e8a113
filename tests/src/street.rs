//! Homes behind routers and a relay between them.

use std::{fs, path::PathBuf, time::Instant};

use serde_json::Value;

use crate::{
    circle::Circle,
    compare,
    relay::Relay,
    routers::{Router, Routers},
    short_directory, skipped, tree,
};

/// A source in home 0, a holder in home 1, and a relay that both were invited to; further homes are for
/// others.
#[derive(Debug)]
pub struct Street {
    /// The source and the holder.
    pub circle: Circle,
    /// What the source backs up; empty at first.
    pub folder: PathBuf,
    /// The address of the relay, with its token.
    pub address: String,
    /// It runs.
    pub relay: Relay,
    /// The homes. After the processes that live in them.
    pub routers: Routers,
}

impl Street {
    /// A street of homes behind these routers. `None` where no networks can be made, which is said.
    #[track_caller]
    pub fn new(story: &str, routers: &[Router]) -> Option<Self> {
        let Some(routers) = Routers::new(routers) else {
            skipped(story, "no network namespaces with nftables can be made and joined here");
            return None;
        };
        println!("{story}:");
        let directory = short_directory();
        let mut relay = routers.relay(directory.path(), 8443);
        let address = relay.invite("family");
        relay.start();
        let source = routers.node(0, directory.path(), "source").with_relay(&address);
        let holder = routers.node(1, directory.path(), "holder").with_relay(&address);
        let begun = Instant::now();
        let circle = Circle::of(directory, source, vec![holder]);
        println!("  paired in {:.1} s", begun.elapsed().as_secs_f64());
        let folder = circle.folder("folder");
        Some(Self { circle, folder, address, relay, routers })
    }

    /// How packets go from the source to the holder.
    #[track_caller]
    pub fn path(&self) -> Value {
        self.circle.source.ask(["peers"])["peers"][0]["path"].clone()
    }

    /// Bytes that the relay has carried.
    #[track_caller]
    pub fn carried(&self) -> u64 {
        self.relay.number("larder_relay_sent_bytes_total")
    }

    /// Backs up so many bytes more; prints and returns what was sent, and what the relay carried.
    #[track_caller]
    pub fn backup(&self, name: &str, bytes: u64) -> (u64, u64) {
        let new = self.folder.join(name);
        fs::create_dir(&new).expect("it is there");
        tree::ordinary(&new, bytes, 40, bytes / 40);
        let (before, begun) = (self.carried(), Instant::now());
        let done = self.circle.backup(&self.folder);
        let (carried, seconds) = (self.carried() - before, begun.elapsed().as_secs_f64());
        let sent = done["sent_bytes"].as_u64().expect("it is there");
        println!("  backup {name}: {seconds:.1} s, {sent} bytes sent, {carried} carried");
        (sent, carried)
    }

    /// The source is gone; a fresh home in its place gets everything back from the holder.
    #[track_caller]
    pub fn restore(&mut self) {
        self.circle.lose_source();
        let fresh = self.routers.node(0, &self.circle.path(""), "fresh");
        let begun = Instant::now();
        let ticket = self.circle.holders[0].ticket();
        let words = ["recover", "--relay", &self.address, "--connect", &ticket, "--phrase-file"];
        fresh.cli(words, [&self.circle.phrase]).ok();
        println!("  recovered in {:.1} s", begun.elapsed().as_secs_f64());
        let target = self.circle.path("restored");
        let begun = Instant::now();
        fresh.cli(["restore", "latest", "--to"], [&target]).ok();
        println!("  restored in {:.1} s", begun.elapsed().as_secs_f64());
        compare::assert_same_tree(&self.folder, &compare::below(&target, &self.folder));
    }
}
