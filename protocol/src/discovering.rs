//! Discovering: which of those who show themselves on the local network are ours, and where to try
//! them.
//!
//! Everybody in the network may show anything. What is shown is a **hint**: it leads to an attempt
//! to connect, in which the device has to prove its key; it never replaces what was known.
//!
//! Drive it: [`Discovering::handle_input`], then [`Discovering::poll_output`] until `None`. It needs no
//! timer. Invariants: nobody is tried who is not known; nobody at one address twice, nor at more than
//! [`DISCOVERY_TRIES_MAX`] addresses, within [`DISCOVERY_AGAIN_MS`], whatever is shown.
//! Source: specs/discovery.md.

use std::{
    collections::{BTreeMap, VecDeque},
    net::{IpAddr, SocketAddr},
};

use crate::{
    ids::DeviceId,
    limits::{DISCOVERY_AGAIN_MS, DISCOVERY_TRIES_MAX},
    time::{Instant, Timestamp},
};

mod beacon;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod vectors;

pub use beacon::{BEACON_BYTES, Beacon, BeaconKey, NONCE_BYTES, is_stale};

/// A fact for the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// Whom this device knows, all of them, by what each told of itself.
    PeersKnown {
        /// Their keys.
        keys: BTreeMap<DeviceId, BeaconKey>,
    },
    /// Somebody showed a beacon.
    Seen {
        /// What.
        beacon: Beacon,
        /// Where it says it listens, in a network of this device.
        address: SocketAddr,
    },
}

/// An order to the shell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// It may be there: look for it there first, and now.
    Try {
        /// Whom.
        device: DeviceId,
        /// Where.
        address: SocketAddr,
    },
}

/// The machine. Memory: about 300 bytes for each peer.
#[derive(Debug, Clone, Default)]
pub struct Discovering {
    peers: BTreeMap<DeviceId, Peer>,
    outputs: VecDeque<Output>,
}

#[derive(Debug, Clone)]
struct Peer {
    key: BeaconKey,
    /// Where it was tried lately, oldest first.
    tried: VecDeque<(SocketAddr, Instant)>,
}

impl Discovering {
    /// A machine that knows nobody.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes one input. `now` never goes back; `clock`, the wall clock, may do anything.
    pub fn handle_input(&mut self, now: Instant, clock: Timestamp, input: Input) {
        match input {
            Input::PeersKnown { keys } => self.peers_known(keys),
            Input::Seen { beacon, address } => self.seen(now, clock, &beacon, address),
        }
    }

    /// The next order; `None` when there is none for now.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    fn peers_known(&mut self, keys: BTreeMap<DeviceId, BeaconKey>) {
        let mut before = std::mem::take(&mut self.peers);
        for (device, key) in keys {
            let tried = before.remove(&device).map(|peer| peer.tried).unwrap_or_default();
            self.peers.insert(device, Peer { key, tried });
        }
    }

    fn seen(&mut self, now: Instant, clock: Timestamp, beacon: &Beacon, address: SocketAddr) {
        if !is_plausible(address) {
            return;
        }
        // All of them: somebody may have told the key of another as its own.
        for (device, peer) in
            self.peers.iter_mut().filter(|(_, peer)| peer.key.is_of(beacon, clock))
        {
            peer.tried.retain(|(_, at)| now.ms_since(*at) < DISCOVERY_AGAIN_MS);
            let is_known = peer.tried.iter().any(|(tried, _)| *tried == address);
            if !is_known && peer.tried.len() < DISCOVERY_TRIES_MAX {
                peer.tried.push_back((address, now));
                self.outputs.push_back(Output::Try { device: *device, address });
            }
        }
    }
}

/// Whether one device can be there.
const fn is_plausible(address: SocketAddr) -> bool {
    let is_one = match address.ip() {
        IpAddr::V4(ip) => {
            !(ip.is_unspecified() || ip.is_loopback() || ip.is_multicast() || ip.is_broadcast())
        }
        IpAddr::V6(ip) => !(ip.is_unspecified() || ip.is_loopback() || ip.is_multicast()),
    };
    is_one && address.port() != 0
}
