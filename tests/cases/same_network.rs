//! Nodes in one network that know nothing of each other's addresses any more, and a stranger there.
//!
//! Figures are printed for the reader (`cargo test same_network -- --nocapture`).

use std::{
    path::Path,
    time::{Duration, Instant},
};

use larder_tests::{
    circle::Circle,
    houses::Houses,
    node::Node,
    process::eventually,
    short_directory, skipped,
    stranger::{Stranger, ids},
    tree,
};

/// Longest that nodes may take to find each other, on a busy machine: ten times what it takes.
const FIND_LIMIT: Duration = Duration::from_secs(20);
/// Longest that answers to one question take.
const ANSWERS: Duration = Duration::from_secs(2);

/// A source and holders, each with a network interface of its own on one switch.
struct Home {
    circle: Circle,
    // After the nodes that live in them.
    houses: Houses,
}

impl Home {
    /// Paired, and at rest; `spare` more places are for others. `None` where no networks can be made,
    /// which is said.
    fn new(story: &str, holders: usize, spare: usize) -> Option<Self> {
        Self::by(story, holders, spare, Houses::node)
    }

    /// The same with nodes that are made so.
    fn by(
        story: &str,
        holders: usize,
        spare: usize,
        by: impl Fn(&Houses, usize, &Path, &str) -> Node,
    ) -> Option<Self> {
        let Some(houses) = Houses::new(1 + holders + spare) else {
            skipped(story, "no network namespaces can be made and joined here");
            return None;
        };
        println!("{story}:");
        let directory = short_directory();
        let node = |place, name: &str| by(&houses, place, directory.path(), name).with_lan();
        let source = node(0, "source");
        let holders = (1..=holders).map(|place| node(place, &format!("holder{place}")));
        let holders = holders.collect();
        let circle = Circle::of(directory, source, holders);
        Some(Self { circle, houses })
    }

    fn nodes(&mut self) -> impl Iterator<Item = &mut Node> {
        std::iter::once(&mut self.circle.source).chain(&mut self.circle.holders)
    }

    /// Everything is switched off, and comes back under another address.
    fn all_move(&mut self) {
        self.nodes().for_each(Node::stop);
        for node in self.nodes() {
            node.move_elsewhere();
            node.up();
        }
    }

    fn online(&self) -> usize {
        let said = self.circle.source.cli(["peers"], [""; 0]).json();
        let peers = said["peers"].as_array().expect("peers are a list");
        peers.iter().filter(|peer| peer["state"] == "online").count()
    }

    fn wait_for(&self, count: usize, what: &str) {
        let begun = Instant::now();
        eventually(what, FIND_LIMIT, || self.online() == count);
        println!("  {what}: {:.1} s", begun.elapsed().as_secs_f64());
    }

    fn stranger(&self, place: usize) -> Stranger {
        self.houses.stranger(place).expect("a socket can be made in a network of one's own")
    }
}

// DISC-7
#[test]
fn after_all_addresses_have_changed_the_nodes_of_a_home_find_each_other() {
    let Some(mut home) = Home::new("six nodes on one switch", 5, 0) else { return };
    let folder = home.circle.folder("folder");
    tree::ordinary(&folder, 7, 20, 50_000);
    home.circle.backup(&folder);
    home.all_move();
    home.wait_for(5, "all five are online after everything moved");
    tree::ordinary(&folder.join("more"), 8, 20, 50_000);
    home.circle.backup(&folder);

    home.circle.holders[2].kill();
    home.circle.holders[2].move_elsewhere();
    home.circle.holders[2].up();
    home.wait_for(5, "it is online elsewhere");
}

// DISC-7
#[test]
fn so_they_do_where_there_is_nothing_but_ipv6() {
    let Some(mut home) = Home::by("IPv6 alone", 1, 0, Houses::node_v6) else { return };
    home.all_move();
    home.wait_for(1, "the holder is online");
}

// DISC-10; and without it nobody is found, so that it is discovery that the case above is about.
#[test]
fn a_node_that_does_not_look_around_is_not_found() {
    let Some(mut home) = Home::new("one does not look around", 2, 1) else { return };
    home.circle.holders[1].stop();
    home.circle.holders[0].stop();
    home.circle.holders[1].set_lan(false);
    for index in [0, 1] {
        home.circle.holders[index].move_elsewhere();
    }
    home.circle.source.stop();
    home.circle.source.move_elsewhere();
    home.circle.source.up();
    for index in [0, 1] {
        home.circle.holders[index].up();
    }
    // It greets everybody when it starts, but nobody is where it was.
    home.wait_for(1, "the one that looks around is online");
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(home.online(), 1);
    let stranger = home.stranger(3);
    let hidden = home.circle.holders[1].host().to_owned();
    let answers = stranger.ask(ANSWERS);
    assert!(!answers.is_empty(), "the others answer");
    assert!(answers.iter().all(|(from, _)| from.ip().to_string() != hidden), "it said something");
}

// DISC-2, DISC-8
#[test]
fn a_stranger_learns_that_somebody_is_there_and_nothing_else() {
    let Some(mut home) = Home::new("a stranger listens", 1, 1) else { return };
    let stranger = home.stranger(2);
    let mut shown = Vec::new();
    for _ in 0..2 {
        let answers = stranger.ask(ANSWERS);
        let of: Vec<String> = answers.iter().flat_map(|(_, answer)| ids(answer)).collect();
        assert!(of.len() >= 2, "both nodes answer: {answers:?}");
        for node in [&home.circle.source, &home.circle.holders[0]] {
            let told = node.ask(["ticket"]);
            let device = told["device"].as_str().unwrap();
            for secret in [device, &device[..8], &node.name] {
                let is_said = |answer: &[u8]| {
                    answer.windows(secret.len()).any(|part| part == secret.as_bytes())
                };
                assert!(!answers.iter().any(|(_, answer)| is_said(answer)), "{secret} is told");
            }
        }
        shown.push(of);
        home.all_move();
        home.wait_for(1, "the holder is online");
    }
    assert!(
        shown[0].iter().all(|id| !shown[1].contains(id)),
        "a beacon was shown again: {shown:?}"
    );
}

// DISC-9
#[test]
fn whoever_floods_the_network_costs_discovery_and_nothing_else() {
    let Some(home) = Home::new("a stranger shows a thousand devices", 1, 1) else { return };
    let stranger = home.stranger(2);
    home.wait_for(1, "the holder is online");
    let answers = stranger.ask(ANSWERS);
    let answer = answers.iter().map(|(_, answer)| answer).find(|answer| !ids(answer).is_empty());
    let answer = answer.expect("somebody answers").clone();
    let before = home.circle.source.usage();
    let local = |node: &Node| {
        let said = node.cli(["doctor"], [""; 0]).json();
        let checks = said["checks"].as_array().expect("checks are a list").clone();
        let check = checks.into_iter().find(|check| check["name"] == "local network");
        check.expect("it looks around")["state"].clone()
    };
    // On a busy machine most of it is dropped before it is read, and a node that has just got another
    // address looks away for a moment: whoever floods does not stop after one time.
    eventually("it is noticed", FIND_LIMIT, || {
        stranger.show_many(&answer, 20_000);
        stranger.say(&[7; 1_400]);
        stranger.say(&[]);
        local(&home.circle.source) == "poor"
    });
    let after = home.circle.source.usage();
    let grown = after.rss_bytes.saturating_sub(before.rss_bytes) >> 20;
    println!("  {:?} of processor, {grown} MiB", after.cpu.saturating_sub(before.cpu));
    assert!(grown < 16, "{grown} MiB more");
    assert_eq!(home.online(), 1, "the holder is still there");
    let folder = home.circle.folder("folder");
    tree::ordinary(&folder, 9, 10, 10_000);
    home.circle.backup(&folder);
}
