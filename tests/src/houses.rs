//! Houses that are far from each other: a network of its own for each, joined by lines to a bridge
//! that stands for the internet, in a network of its own as well.
//!
//! ```text
//!  house 0           house 1           house 2
//!  uplink 10.77.1.1  uplink 10.77.2.1  uplink 10.77.3.1
//!  fd77::1           fd77::2           fd77::3
//!     |                 |                 |
//!  house0            house1            house2              ports of the bridge
//!  +-- internet: a bridge, 10.77.0.0/16 --------------+
//! ```
//!
//! What the nodes of one house send each other stays on its loopback; what leaves it is counted at
//! its `uplink`. All of it lives in networks of this process and goes with it: no interface of the
//! machine is touched. Lines have a limit of rate at most: no delay, and no losses but those of a
//! full queue. Packets that the kernel hands on in one piece are counted with one header.

use std::{ffi::OsString, io, path::Path, time::Duration};

use crate::{
    guesser::{Guesses, guess_in},
    network::{Crossed, Network},
    node::Node,
    stranger::Stranger,
};

/// The interface of a house.
const UPLINK: &str = "uplink";
/// State of a port of the bridge that lets nothing pass; the carrier stays.
const DISABLED: u8 = 0;
/// State of a port that works.
const FORWARDING: u8 = 3;

/// Houses, each joined to all others until it is cut off. Gone when dropped.
#[derive(Debug)]
pub struct Houses {
    // Before the internet, so that a line goes with its house.
    houses: Vec<Network>,
    internet: Network,
}

impl Houses {
    /// So many houses, all joined. `None` where that is not allowed.
    pub fn new(count: usize) -> Option<Self> {
        let internet = Network::isolated()?;
        let bridge = "ip link add internet type bridge stp_state 0 forward_delay 0";
        if !internet.run(bridge) || !internet.run("ip link set internet up") {
            return None;
        }
        let mut houses = Self { houses: Vec::new(), internet };
        for _ in 0..count {
            houses.build()?;
        }
        Some(houses)
    }

    fn build(&mut self) -> Option<()> {
        let house = Network::isolated()?;
        let number = self.houses.len();
        let keeper = house.keeper();
        let done = self
            .internet
            .run(&format!("ip link add house{number} type veth peer name {UPLINK} netns {keeper}"))
            && self.internet.run(&format!("ip link set house{number} master internet up"))
            && house.run(&format!("ip address add {}/16 dev {UPLINK}", address(number)))
            // At once: nobody else could have it.
            && house.run(&format!("ip address add {}/64 dev {UPLINK} nodad", address_v6(number)))
            // Tried here, so that a machine where a line cannot be cut is one without houses. The
            // kernel opens the port by itself when the other end comes up.
            && self.set_port(number, DISABLED)
            && house.run(&format!("ip link set {UPLINK} up"));
        self.houses.push(house);
        done.then_some(())
    }

    /// A node that stands in a house; its home will be `directory/name`. Makes nothing yet.
    pub fn node(&self, house: usize, directory: &Path, name: &str) -> Node {
        // A node would keep its network if it outlived the test.
        let with_us = ["setpriv", "--pdeathsig", "KILL", "--"].map(OsString::from);
        let words = with_us.into_iter().chain(self.houses[house].enter()).collect();
        let node = Node::new(directory, name).behind(words);
        node.standing_at(&site(house), &address(house))
    }

    /// Somebody who stands in a house.
    ///
    /// # Errors
    /// What the system says.
    pub fn stranger(&self, house: usize) -> io::Result<Stranger> {
        let address = address(house).parse().expect("an address of a house is one");
        Stranger::in_network(&self.houses[house], address)
    }

    /// Somebody in a house tries spoken codes for this long.
    ///
    /// # Errors
    /// What the system says.
    pub fn guess(&self, house: usize, within: Duration) -> io::Result<Guesses> {
        let address = address(house).parse().expect("an address of a house is one");
        guess_in(&self.houses[house], address, within)
    }

    /// The same as [`Houses::node`], reached by IPv6 and nothing else.
    pub fn node_v6(&self, house: usize, directory: &Path, name: &str) -> Node {
        let node = self.node(house, directory, name);
        node.standing_at(&site(house), &format!("[{}]", address_v6(house)))
    }

    /// The line goes dead, both ways and without a word: to the house it looks as if all others
    /// were silent, as behind a router that has lost its line. Its own network goes on.
    pub fn cut_off(&self, house: usize) {
        assert!(self.set_port(house, DISABLED), "the line of house {house} can be cut");
    }

    /// The line works again.
    pub fn join_again(&self, house: usize) {
        assert!(self.set_port(house, FORWARDING), "the line of house {house} can be mended");
    }

    fn set_port(&self, house: usize, state: u8) -> bool {
        self.internet.run(&format!("bridge link set dev house{house} state {state}"))
    }

    /// Limits what a house can send to so many bytes a second. `false` where the kernel cannot.
    pub fn limit_uplink(&self, house: usize, bytes_per_second: u64) -> bool {
        self.houses[house].limit_sending(UPLINK, bytes_per_second)
    }

    /// What has left a house and come into it so far, with all headers.
    pub fn uplink(&self, house: usize) -> Crossed {
        self.houses[house].crossed(UPLINK)
    }

    /// The same for every house.
    pub fn uplinks(&self) -> Vec<Crossed> {
        (0..self.houses.len()).map(|house| self.uplink(house)).collect()
    }
}

/// The site of the nodes of a house.
fn site(house: usize) -> String {
    format!("house{house}")
}

fn address(house: usize) -> String {
    format!("10.77.{}.1", house + 1)
}

fn address_v6(house: usize) -> String {
    format!("fd77::{}", house + 1)
}
