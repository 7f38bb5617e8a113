//! Homes behind routers, as most families have them: each has a network of its own with private
//! addresses, and a router that lets out what the home sends and in what answers it.
//!
//! ```text
//!  home 0              home 1               a place in the internet: the relay's
//!  192.168.1.2         192.168.2.2
//!     | lan               | lan
//!  router 0            router 1
//!     | uplink 10.78.1.1  | uplink 10.78.2.1    10.78.0.1
//!     +-------------------+---------------------+   a bridge, 10.78.0.0/16
//! ```
//! All of it lives in networks of this process and goes with it. Routers are nftables: real ones
//! differ in how long they remember, not in what they let through.

use std::{ffi::OsString, path::Path};

use crate::{
    network::{Crossed, Network},
    node::Node,
    relay::Relay,
};

/// The address of the relay.
pub const RELAY: &str = "10.78.0.1";
/// Where a router is joined to the internet.
const UPLINK: &str = "uplink";
/// Where a home is joined to its router.
const LAN: &str = "lan";

/// How a router translates addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Router {
    /// One port outside for one inside, whoever is spoken to; only answers come in. Most homes.
    PortRestricted,
    /// Another port outside for everybody who is spoken to: nobody can be told one. Some offices and
    /// mobile networks.
    Symmetric,
    /// Nothing goes out but to the relay.
    RelayOnly,
}

#[derive(Debug)]
struct Home {
    // Before its router, so that the line goes with the home.
    house: Network,
    router: Network,
}

/// Homes behind routers. Gone when dropped.
#[derive(Debug)]
pub struct Routers {
    homes: Vec<Home>,
    internet: Network,
}

impl Routers {
    /// A home behind each of these. `None` where that is not allowed.
    pub fn new(kinds: &[Router]) -> Option<Self> {
        let internet = Network::isolated()?;
        let made = internet.run("ip link add internet type bridge stp_state 0 forward_delay 0")
            && internet.run(&format!("ip address add {RELAY}/16 dev internet"))
            && internet.run("ip link set internet up");
        let mut routers = Self { homes: Vec::new(), internet };
        for kind in kinds {
            routers.build(*kind)?;
        }
        made.then_some(routers)
    }

    fn build(&mut self, kind: Router) -> Option<()> {
        let (house, router) = (Network::isolated()?, Network::isolated()?);
        let number = self.homes.len() + 1;
        let (outside, inside) = (router.keeper(), house.keeper());
        let joined = self
            .internet
            .run(&format!("ip link add home{number} type veth peer name {UPLINK} netns {outside}"))
            && self.internet.run(&format!("ip link set home{number} master internet up"))
            && router.run(&format!("ip link add {LAN} type veth peer name {LAN} netns {inside}"));
        let router_is_up = joined
            && router.run(&format!("ip address add 10.78.{number}.1/16 dev {UPLINK}"))
            && router.run(&format!("ip link set {UPLINK} up"))
            && router.run(&format!("ip address add 192.168.{number}.1/24 dev {LAN}"))
            && router.run(&format!("ip link set {LAN} up"))
            && router.run("sysctl -qw net.ipv4.ip_forward=1");
        let is_up = router_is_up
            && house.run(&format!("ip address add {}/24 dev {LAN}", address(number - 1)))
            && house.run(&format!("ip link set {LAN} up"))
            && house.run(&format!("ip route add default via 192.168.{number}.1"))
            && translate(&router, kind);
        self.homes.push(Home { house, router });
        is_up.then_some(())
    }

    /// A node that stands in a home; its own home directory will be `directory/name`.
    pub fn node(&self, home: usize, directory: &Path, name: &str) -> Node {
        let node = Node::new(directory, name).behind(with_us(&self.homes[home].house));
        node.standing_at(&format!("home{home}"), &address(home))
    }

    /// A relay in the internet, on this port; its state will be below `directory`.
    pub fn relay(&self, directory: &Path, port: u16) -> Relay {
        Relay::new(directory, RELAY, port, with_us(&self.internet))
    }

    /// Somebody who stands in the internet, beside the relay.
    pub fn outsider(&self, directory: &Path, name: &str) -> Node {
        Node::new(directory, name).behind(with_us(&self.internet)).standing_at("outside", RELAY)
    }

    /// Limits what a home can send to so many bytes a second. `false` where the kernel cannot.
    pub fn limit_uplink(&self, home: usize, bytes_per_second: u64) -> bool {
        self.homes[home].router.limit_sending(UPLINK, bytes_per_second)
    }

    /// What has left a home and come into it so far, at its router.
    pub fn uplink(&self, home: usize) -> Crossed {
        self.homes[home].router.crossed(UPLINK)
    }
}

/// Words that put a program into a network; it ends with this process, and so does the network.
fn with_us(network: &Network) -> Vec<OsString> {
    let with_us = ["setpriv", "--pdeathsig", "KILL", "--"].map(OsString::from);
    with_us.into_iter().chain(network.enter()).collect()
}

/// Sets a router up. What comes in unasked is dropped without a trace, as by the routers of homes:
/// a trace would make the router choose another port for what goes out.
fn translate(router: &Network, kind: Router) -> bool {
    let masquerade = match kind {
        Router::Symmetric => "masquerade random,fully-random",
        Router::PortRestricted | Router::RelayOnly => "masquerade",
    };
    let out = format!("nft add rule ip larder out oifname {UPLINK} {masquerade}");
    let unasked = format!("iifname {UPLINK} ct state new drop");
    let only = format!("nft add rule ip larder through iifname {LAN} ip daddr != {RELAY} drop");
    router.run("nft add table ip larder")
        && router.run("nft add chain ip larder out { type nat hook postrouting priority 100 ; }")
        && router.run("nft add chain ip larder here { type filter hook input priority 0 ; }")
        && router.run("nft add chain ip larder through { type filter hook forward priority 0 ; }")
        && router.run(&out)
        && router.run(&format!("nft add rule ip larder here {unasked}"))
        && router.run(&format!("nft add rule ip larder through {unasked}"))
        && (kind != Router::RelayOnly || router.run(&only))
}

fn address(home: usize) -> String {
    format!("192.168.{}.2", home + 1)
}
