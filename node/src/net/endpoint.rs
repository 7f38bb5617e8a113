//! This device on the network: one key, one UDP port.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
};

use iroh::{
    Endpoint, EndpointAddr, EndpointId, SecretKey, Watcher,
    endpoint::{
        BindError, BindOpts, ConnectError, Connection, PortmapperConfig, QuicTransportConfig,
        presets,
    },
};
use larder_protocol::{ids::DeviceId, relaying::RelayAddress};
use noq_proto::congestion::Bbr3Config;
use tokio::time::timeout;
use zeroize::Zeroizing;

use super::{
    Admission, NetError, Peer, Protocol,
    addresses::Addresses,
    admission::Door,
    links::{Lease, Links, Path},
    pace::{Pace, Rates},
    relays::{RelayStanding, Relays},
    tuning::{CONNECTION_WINDOW, DIAL, GOODBYE, IDLE_TIMEOUT, KEEP_ALIVE, STREAMS_PER_CONNECTION},
};

/// Where to listen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listen {
    /// On every interface, on this port; on another when it is taken; 0 for any.
    Everywhere {
        /// The UDP port used last time: peers remember it.
        port: u16,
    },
    /// On one address only, or at `[::]` on every one of both kinds; port 0 for any.
    Only(SocketAddr),
}

/// What the network needs to start.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Seed of the device's Ed25519 key.
    pub seed: Zeroizing<[u8; 32]>,
    /// Where to listen.
    pub listen: Listen,
    /// Relays to use. Without any, no server of anybody's is contacted.
    pub relays: Vec<RelayAddress>,
    /// How fast uploads go.
    pub rates: Rates,
}

/// The network of this device. Clones share one endpoint.
#[derive(Debug, Clone)]
pub struct Net {
    pub(super) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) endpoint: Endpoint,
    pub(super) addresses: Addresses,
    pub(super) links: Links,
    relays: Relays,
    /// Where it was told to listen.
    pub(super) listen: Listen,
    pub(super) pace: Pace,
}

impl Net {
    /// Starts listening. Nobody is answered before [`Net::serve`].
    ///
    /// # Errors
    /// [`NetError::Bind`] when no UDP port can be had.
    pub async fn start(
        settings: Settings,
        admission: Arc<dyn Admission>,
    ) -> Result<Self, NetError> {
        let relays = Relays::new(&settings.relays);
        let addresses = Addresses::new(relays.clone());
        let endpoint = match bind(&settings, settings.listen, &admission, &addresses).await {
            Ok(endpoint) => endpoint,
            // The port of last time is taken: peers will learn the new one.
            Err(_) if matches!(settings.listen, Listen::Everywhere { port } if port != 0) => {
                let any = Listen::Everywhere { port: 0 };
                let bound = bind(&settings, any, &admission, &addresses).await;
                bound.map_err(|error| NetError::Bind(Arc::new(error)))?
            }
            Err(error) => return Err(NetError::Bind(Arc::new(error))),
        };
        let (links, listen) = (Links::default(), settings.listen);
        let pace = Pace::new(settings.rates);
        let inner = Inner { endpoint, addresses, links, relays, listen, pace };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// This device's id: its public key.
    pub fn id(&self) -> DeviceId {
        DeviceId::from_bytes(*self.inner.endpoint.id().as_bytes())
    }

    /// The UDP port in use; to be kept for the next start.
    pub fn port(&self) -> u16 {
        self.inner.endpoint.bound_sockets().first().map_or(0, SocketAddr::port)
    }

    /// Addresses under which others may reach this device, as far as it knows by itself.
    pub fn own_addresses(&self) -> Vec<SocketAddr> {
        let known: Vec<SocketAddr> = self.inner.endpoint.addr().ip_addrs().copied().collect();
        if !known.is_empty() {
            return known;
        }
        let bound = self.inner.endpoint.bound_sockets();
        bound.into_iter().filter(|address| !address.ip().is_unspecified()).collect()
    }

    /// Replaces the addresses known of a device.
    pub fn set_addresses(&self, peer: DeviceId, addresses: Vec<SocketAddr>) {
        self.inner.addresses.set(peer, addresses);
    }

    /// A device may be there: attempts of the next minute look there as well.
    pub fn hint_address(&self, peer: DeviceId, address: SocketAddr) {
        self.inner.addresses.hint(peer, address);
    }

    /// The addresses known of a device.
    pub fn addresses(&self, peer: &DeviceId) -> Vec<SocketAddr> {
        self.inner.addresses.of(peer)
    }

    /// How a device is reached just now; `None` while there is no connection with it.
    pub fn path(&self, peer: &DeviceId) -> Option<Path> {
        self.inner.links.path(peer)
    }

    /// The relays of this node, and how each stands.
    pub fn relays(&self) -> Vec<(RelayAddress, RelayStanding)> {
        self.inner.relays.standings(&self.inner.endpoint)
    }

    /// Tells of every change of a connection with a relay, also of one that is over again.
    pub fn relay_changes(&self) -> impl Watcher<Value: Send> + Send + use<> {
        self.inner.endpoint.home_relay_status()
    }

    /// How fast uploads go from now on.
    pub fn set_rates(&self, rates: Rates) {
        self.inner.pace.set(rates);
    }

    /// Another device. Nothing is sent before the first request.
    pub fn peer(&self, peer: DeviceId) -> Peer {
        Peer::new(self.clone(), peer)
    }

    /// Closes all connections with a device, so that the next request dials anew: to be called when
    /// it is known to have moved, or seems to hang.
    pub fn forget_connections(&self, peer: &DeviceId) {
        self.inner.links.close(peer);
    }

    /// Tells all peers goodbye and gives the port back. Whoever does not answer is not waited for:
    /// an attempt to reach somebody who is away would take seconds to end.
    pub async fn close(&self) {
        let _told = timeout(GOODBYE, self.inner.endpoint.close()).await;
    }

    /// A connection to a peer for one protocol, dialled when there is none.
    pub(super) async fn lease(
        &self,
        peer: DeviceId,
        protocol: Protocol,
    ) -> Result<Lease, NetError> {
        let links = &self.inner.links;
        links.lease(peer, protocol, || self.dial(peer, protocol)).await
    }

    async fn dial(&self, peer: DeviceId, protocol: Protocol) -> Result<Connection, NetError> {
        let id = EndpointId::from_bytes(peer.as_bytes()).map_err(|_| NetError::NotAKey)?;
        if self.inner.endpoint.is_closed() {
            return Err(NetError::Closed);
        }
        let first = self.dial_once(id, protocol).await;
        // Nobody answered: an old connection to the same key may be in the way (iroh #3602).
        let silent = matches!(first, Err(NetError::Unreachable(None)));
        if silent && self.inner.links.close(&peer) {
            return self.dial_once(id, protocol).await;
        }
        first
    }

    async fn dial_once(&self, id: EndpointId, protocol: Protocol) -> Result<Connection, NetError> {
        let peer = DeviceId::from_bytes(*id.as_bytes());
        let connect = || self.inner.endpoint.connect(EndpointAddr::new(id), protocol.alpn());
        let dialled = loop {
            let followed = self.inner.addresses.hints_of(&peer);
            tokio::select! {
                dialled = timeout(DIAL, connect()) => break dialled,
                // An attempt that has begun does not look where the peer shows itself now.
                () = self.inner.addresses.news_of(&peer, &followed) => {}
            }
        };
        match dialled {
            Ok(Ok(connection)) => Ok(connection),
            Ok(Err(ConnectError::Connection { source, .. })) => {
                Err(match NetError::of_close(&source) {
                    NetError::Lost => NetError::Unreachable(None),
                    refused => refused,
                })
            }
            Ok(Err(error)) => Err(NetError::Unreachable(Some(Arc::new(error)))),
            Err(_) => Err(NetError::Unreachable(None)),
        }
    }
}

/// Sockets at every address, and which of them there have to be.
fn everywhere(port: u16) -> Vec<(SocketAddr, bool)> {
    vec![
        (SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port), true),
        // A system without IPv6 is no reason to stay away.
        (SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), port), false),
    ]
}

async fn bind(
    settings: &Settings,
    listen: Listen,
    admission: &Arc<dyn Admission>,
    addresses: &Addresses,
) -> Result<Endpoint, BindError> {
    let idle = IDLE_TIMEOUT.try_into().expect("ten seconds fit an idle timeout");
    // The window of a stream stays at its default: see STREAM window in tuning.
    let transport = QuicTransportConfig::builder()
        .max_idle_timeout(Some(idle))
        .keep_alive_interval(KEEP_ALIVE)
        .congestion_controller_factory(Arc::new(Bbr3Config::default()))
        .max_concurrent_bidi_streams(STREAMS_PER_CONNECTION.into())
        .max_concurrent_uni_streams(0_u32.into())
        .receive_window(CONNECTION_WINDOW.into())
        .build();
    let relays = Relays::new(&settings.relays);
    let builder = Endpoint::builder(presets::Minimal)
        .secret_key(SecretKey::from_bytes(&settings.seed))
        .relay_mode(relays.mode())
        .ca_tls_config(relays.tls())
        .portmapper_config(PortmapperConfig::Disabled)
        .transport_config(transport)
        .address_lookup(addresses.clone())
        .hooks(Door(Arc::clone(admission)))
        .clear_ip_transports();
    let sockets = match listen {
        // A socket at `[::]` takes IPv6 alone, and whoever says so means everywhere.
        Listen::Only(address) if address.ip() == Ipv6Addr::UNSPECIFIED => {
            everywhere(address.port())
        }
        Listen::Only(address) => vec![(address, true)],
        Listen::Everywhere { port } => everywhere(port),
    };
    let with_sockets = sockets.into_iter().fold(builder, |builder, (address, is_required)| {
        let options = BindOpts::default().set_is_required(is_required);
        let bound = builder.bind_addr_with_opts(address, options);
        bound.expect("a socket address is a valid socket address")
    });
    with_sockets.bind().await
}
