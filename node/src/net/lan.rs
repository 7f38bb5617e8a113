//! Who shows itself on the local networks: mDNS, as libp2p has it.
//!
//! What libp2p takes for the id of a peer is a beacon, which says nothing to strangers; it is asked to
//! find, never to connect. What is seen is a hint: the caller has the device prove its key.
//!
//! **One runtime for each round.** libp2p goes on answering on behalf of a discovery that was let go,
//! until it hears something. A beacon that outlived a change of networks would tell that both were
//! visited by one device, so everything that has shown it ends with the runtime.
//! Source: specs/discovery.md.

use std::{
    collections::BTreeSet,
    future::{pending, poll_fn},
    io,
    net::{IpAddr, SocketAddr},
    task::Poll,
};

use iroh::{Endpoint, Watcher as _};
use larder_protocol::discovering::Beacon;
use libp2p::{
    Multiaddr, PeerId,
    core::transport::ListenerId,
    mdns,
    multiaddr::Protocol,
    multihash::Multihash,
    swarm::{
        FromSwarm, NetworkBehaviour as _, ToSwarm,
        behaviour::{NewListenAddr, NewListener},
    },
};
use tokio::{runtime, sync::mpsc, task::spawn_blocking};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::{
    Net,
    tuning::{BEACON_TTL, LAN_QUERY, LAN_SETTLE, SHOWN_MAX},
};

/// The number of SHA-256 in multihashes: libp2p takes 32 bytes under it as they are.
const MULTIHASH: u64 = 0x12;

/// Somebody shows itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sighting {
    /// What it shows.
    pub beacon: Beacon,
    /// Where it says it listens.
    pub address: SocketAddr,
}

/// Why looking around came to an end.
#[derive(Debug)]
pub enum LookEnd {
    /// This device has other addresses than before: time for another beacon.
    Moved,
    /// More is shown than any home has: somebody makes it up.
    Crowded,
    /// The system does not let us.
    Failed(io::Error),
}

impl Net {
    /// Shows `beacon` on all local networks of this device, and tells what others show there. Ends
    /// when it is dropped, when the addresses of this device change, or when too much is shown.
    pub async fn look_around(&self, beacon: Beacon, sightings: mpsc::Sender<Sighting>) -> LookEnd {
        let stop = CancellationToken::new();
        let _stop_when_dropped = stop.clone().drop_guard();
        let net = self.clone();
        let round = spawn_blocking(move || {
            let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async {
                tokio::select! {
                    () = stop.cancelled() => Ok(LookEnd::Moved),
                    end = net.look(beacon, &sightings) => end,
                }
            })
        });
        match round.await {
            Ok(Ok(end)) => end,
            Ok(Err(error)) => LookEnd::Failed(error),
            // It never panics; if libp2p did, that is no reason to end with it.
            Err(error) => LookEnd::Failed(io::Error::other(error)),
        }
    }

    async fn look(
        &self,
        beacon: Beacon,
        sightings: &mpsc::Sender<Sighting>,
    ) -> io::Result<LookEnd> {
        let addresses = self.lan_addresses();
        let mut of_ipv4 = Radio::start(beacon, &addresses, Family::V4)?;
        let mut of_ipv6 = Radio::start(beacon, &addresses, Family::V6)?;
        loop {
            let seen = tokio::select! {
                seen = Radio::next(&mut of_ipv4) => seen,
                seen = Radio::next(&mut of_ipv6) => seen,
                () = moved(&self.inner.endpoint, || self.lan_addresses() != addresses) => {
                    // Addresses of a new network come one after the other.
                    tokio::time::sleep(LAN_SETTLE).await;
                    return Ok(LookEnd::Moved);
                }
            };
            for sighting in seen.iter().filter_map(sighting) {
                // Whoever reads them is slower than somebody who makes them up.
                if sightings.try_send(sighting).is_err() {
                    debug!("a sighting on the local network was passed over");
                }
            }
            let shown = [&of_ipv4, &of_ipv6].into_iter().flatten().map(Radio::shown);
            if shown.sum::<usize>() > SHOWN_MAX {
                return Ok(LookEnd::Crowded);
            }
        }
    }

    /// Own addresses that others in the same network can use.
    pub(crate) fn lan_addresses(&self) -> BTreeSet<SocketAddr> {
        let is_near = |address: &SocketAddr| match address.ip() {
            IpAddr::V4(ip) => !ip.is_loopback(),
            // One that holds for one interface only is of no use without its name.
            IpAddr::V6(ip) => !ip.is_loopback() && !ip.is_unicast_link_local(),
        };
        self.own_addresses().into_iter().filter(is_near).collect()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Family {
    V4,
    V6,
}

/// mDNS of one kind of addresses.
struct Radio(mdns::tokio::Behaviour);

impl Radio {
    /// Begins to show the beacon and to ask; nothing where there is no such address.
    fn start(
        beacon: Beacon,
        addresses: &BTreeSet<SocketAddr>,
        family: Family,
    ) -> io::Result<Option<Self>> {
        let is_of_family = |address: &&SocketAddr| address.is_ipv6() == (family == Family::V6);
        let mut own = addresses.iter().filter(is_of_family).peekable();
        if own.peek().is_none() {
            return Ok(None);
        }
        let config = mdns::Config {
            ttl: BEACON_TTL,
            query_interval: LAN_QUERY,
            enable_ipv6: family == Family::V6,
        };
        let mut mdns = mdns::tokio::Behaviour::new(config, peer_of(beacon))?;
        let listener_id = ListenerId::next();
        mdns.on_swarm_event(FromSwarm::NewListener(NewListener { listener_id }));
        for address in own {
            let addr = Multiaddr::from(address.ip()).with(Protocol::Udp(address.port()));
            let addr = NewListenAddr { listener_id, addr: &addr };
            mdns.on_swarm_event(FromSwarm::NewListenAddr(addr));
        }
        Ok(Some(Self(mdns)))
    }

    /// What has come into sight; never, where there is no radio.
    async fn next(radio: &mut Option<Self>) -> Vec<(PeerId, Multiaddr)> {
        let Some(Self(mdns)) = radio else { return pending().await };
        poll_fn(|context| {
            loop {
                match mdns.poll(context) {
                    Poll::Ready(ToSwarm::GenerateEvent(mdns::Event::Discovered(seen))) => {
                        return Poll::Ready(seen);
                    }
                    // What went out of sight may be asleep: nothing follows from it.
                    Poll::Ready(_) => {}
                    Poll::Pending => return Poll::Pending,
                }
            }
        })
        .await
    }

    /// How much is in sight.
    fn shown(&self) -> usize {
        self.0.discovered_nodes().len()
    }
}

fn peer_of(beacon: Beacon) -> PeerId {
    let hash = Multihash::wrap(MULTIHASH, beacon.as_bytes()).expect("32 bytes fit a multihash");
    PeerId::from_multihash(hash).expect("32 bytes under this number are the id of a peer")
}

/// What is shown, if it is a beacon at a UDP port. All else that speaks libp2p is none of ours.
fn sighting((peer, address): &(PeerId, Multiaddr)) -> Option<Sighting> {
    let hash: &Multihash<64> = peer.as_ref();
    let beacon = <[u8; 32]>::try_from(hash.digest()).ok().filter(|_| hash.code() == MULTIHASH)?;
    let mut parts = address.iter();
    let ip: IpAddr = match parts.next()? {
        Protocol::Ip4(ip) => ip.into(),
        Protocol::Ip6(ip) => ip.into(),
        _ => return None,
    };
    let Protocol::Udp(port) = parts.next()? else { return None };
    let is_all = parts.all(|part| matches!(part, Protocol::P2p(of) if of == *peer));
    let address = SocketAddr::new(ip, port);
    is_all.then_some(Sighting { beacon: Beacon::from_bytes(beacon), address })
}

/// Waits until the endpoint has noticed a change after which `is_other` holds.
pub(super) async fn moved(endpoint: &Endpoint, is_other: impl Fn() -> bool) {
    let mut addresses = endpoint.watch_addr();
    while !is_other() {
        if addresses.updated().await.is_err() {
            // The endpoint is closed; whoever looks around is about to be dropped.
            pending().await
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(address: &str) -> Option<Sighting> {
        sighting(&(peer_of(Beacon::from_bytes([7; 32])), address.parse().unwrap()))
    }

    // DISC-6
    #[test]
    fn what_is_no_beacon_at_a_udp_port_is_passed_over() {
        let beacon = Beacon::from_bytes([7; 32]);
        let peer = peer_of(beacon);
        let at = |text: &str| Some(Sighting { beacon, address: text.parse().unwrap() });
        assert_eq!(seen("/ip4/10.0.0.1/udp/4711"), at("10.0.0.1:4711"));
        assert_eq!(seen("/ip6/fd00::1/udp/9"), at("[fd00::1]:9"));
        assert_eq!(seen(&format!("/ip4/10.0.0.1/udp/4711/p2p/{peer}")), at("10.0.0.1:4711"));
        let other = peer_of(Beacon::from_bytes([8; 32]));
        assert_eq!(seen(&format!("/ip4/10.0.0.1/udp/4711/p2p/{other}")), None);
        for address in ["/ip4/10.0.0.1/tcp/4711", "/ip4/10.0.0.1/udp/1/quic-v1", "/ip4/10.0.0.1"] {
            assert_eq!(seen(address), None, "{address}");
        }
        assert_eq!(seen("/dns4/larder.example.org/udp/4711"), None);
        // A peer that is named by its key, as those of other programs are.
        let key = Multihash::wrap(0, &[8, 1, 18, 32]).unwrap();
        if let Ok(named) = PeerId::from_multihash(key) {
            assert_eq!(sighting(&(named, "/ip4/10.0.0.1/udp/1".parse().unwrap())), None);
        }
    }
}
