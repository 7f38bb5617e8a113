//! Discovering: which of those who show themselves on the local network are ours, and where to try
//! them; and who looks for a vault that is held here, with nothing but its phrase.
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
    limits::{DISCOVERY_AGAIN_MS, DISCOVERY_SEEN_MAX, DISCOVERY_TRIES_MAX},
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
    /// The vaults that this device has or holds: who has the phrase of one may look for it.
    VaultsKnown {
        /// Under which key whoever has the phrase is called, and by what it is recognised.
        seekers: BTreeMap<DeviceId, BeaconKey>,
    },
    /// Where this device is, in the networks in which it shows itself.
    Placed {
        /// Its own addresses there.
        own: Vec<IpAddr>,
    },
    /// Somebody showed a beacon.
    Seen {
        /// What.
        beacon: Beacon,
        /// Where it says it listens.
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
    /// Somebody who has the phrase of a vault that is held here looks for its holders: call there, once.
    Answer {
        /// Under which key.
        seeker: DeviceId,
        /// Where.
        address: SocketAddr,
    },
    /// More is shown than any home has, so somebody makes it up: look away for a while.
    Rest,
}

/// The machine. Memory: about 300 bytes for each peer and each vault.
#[derive(Debug, Clone, Default)]
pub struct Discovering {
    peers: BTreeMap<DeviceId, Peer>,
    seekers: BTreeMap<DeviceId, Peer>,
    own: Vec<IpAddr>,
    /// When this minute began, and what was seen in it.
    minute: Instant,
    seen: usize,
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
            Input::PeersKnown { keys } => know(&mut self.peers, keys),
            Input::VaultsKnown { seekers } => know(&mut self.seekers, seekers),
            Input::Placed { own } => self.own = own,
            Input::Seen { beacon, address } => self.seen(now, clock, &beacon, address),
        }
    }

    /// The next order; `None` when there is none for now.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Counts what is seen; false once it is more in a minute than a home has.
    fn is_few(&mut self, now: Instant) -> bool {
        if now.ms_since(self.minute) >= 60_000 {
            (self.minute, self.seen) = (now, 0);
        }
        self.seen += 1;
        self.seen <= DISCOVERY_SEEN_MAX
    }

    fn seen(&mut self, now: Instant, clock: Timestamp, beacon: &Beacon, address: SocketAddr) {
        if !self.is_few(now) {
            self.outputs.push_back(Output::Rest);
            return;
        }
        if !is_believable(address, &self.own) {
            return;
        }
        let is_shown = |peer: &Peer| peer.key.is_of(beacon, clock);
        // All of them: somebody may have told the key of another as its own.
        for (device, peer) in self.peers.iter_mut().filter(|(_, peer)| is_shown(peer)) {
            if peer.is_to_be_tried(now, address) {
                self.outputs.push_back(Output::Try { device: *device, address });
            }
        }
        for (seeker, peer) in self.seekers.iter_mut().filter(|(_, peer)| is_shown(peer)) {
            if peer.is_to_be_tried(now, address) {
                self.outputs.push_back(Output::Answer { seeker: *seeker, address });
            }
        }
    }
}

/// Takes these for the ones that are known; where those who stay were tried is not forgotten.
fn know(known: &mut BTreeMap<DeviceId, Peer>, keys: BTreeMap<DeviceId, BeaconKey>) {
    let mut before = std::mem::take(known);
    for (device, key) in keys {
        let tried = before.remove(&device).map(|peer| peer.tried).unwrap_or_default();
        known.insert(device, Peer { key, tried });
    }
}

impl Peer {
    /// Whether there is to be an attempt at this address, which is noted then.
    fn is_to_be_tried(&mut self, now: Instant, address: SocketAddr) -> bool {
        self.tried.retain(|(_, at)| now.ms_since(*at) < DISCOVERY_AGAIN_MS);
        let is_known = self.tried.iter().any(|(tried, _)| *tried == address);
        let is_due = !is_known && self.tried.len() < DISCOVERY_TRIES_MAX;
        if is_due {
            self.tried.push_back((address, now));
        }
        is_due
    }
}

/// Whether an address that was shown may be tried by a device that is at `own`: one device can be there,
/// in a network of this one.
pub fn is_believable(address: SocketAddr, own: &[IpAddr]) -> bool {
    is_plausible(address) && own.iter().any(|own| is_near(*own, address.ip()))
}

/// Whether an address is in the network of an own one, as far as addresses tell: nobody is sent elsewhere
/// by what is shown. No home is larger than the first 16 bits of IPv4 allow.
fn is_near(own: IpAddr, other: IpAddr) -> bool {
    match (own, other) {
        (IpAddr::V4(own), IpAddr::V4(other)) => own.octets()[..2] == other.octets()[..2],
        (IpAddr::V6(own), IpAddr::V6(other)) => own.octets()[..8] == other.octets()[..8],
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
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
