//! A running relay: sockets in, iroh's relay behind them, the door in between.

use std::{
    convert::Infallible,
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use http_body_util::Full;
use hyper::{
    HeaderMap, Method, Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header::{CONNECTION, CONTENT_TYPE, HeaderValue},
    server::conn::http1,
    service::{Service as _, service_fn},
};
use hyper_util::rt::TokioIo;
use iroh_relay::{
    KeyCache,
    http::{RELAY_PATH, RELAY_PROBE_PATH},
    server::{
        ClientRateLimit, Metrics, QuicConfig, Server, ServerConfig, SpawnError,
        http_server::{BytesBody, Handlers, RelayService, RelayServiceWithNotify},
        streams::MaybeTlsStream,
    },
};
use larder_protocol::{
    limits::RELAY_ARRIVAL_MS_MAX,
    relaying::{Pin, RelayAddress},
};
use thiserror::Error;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Notify,
    task::JoinHandle,
    time::{sleep, timeout},
};
use tokio_rustls::TlsAcceptor;
use tracing::{debug, warn};

use crate::{
    certificate::{Certificate, CertificateError},
    config::{Config, ConfigError, Hold},
    door::{ARRIVAL, Arrived, Door},
    holder::Watch,
    invitations::{Invitations, InvitationsError},
    metrics::Numbers,
    records,
};

/// How often is looked whether somebody's invitation was taken back.
const REVIEW: Duration = Duration::from_secs(1);
/// After an error of the system (too many open files), before the next socket is taken.
const PAUSE: Duration = Duration::from_millis(100);
/// Keys of clients that are remembered in decoded form.
const KEYS_CACHED: usize = 4096;

/// Why a relay does not run.
#[derive(Debug, Error)]
pub enum StartError {
    /// The settings do not say enough.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// There is no certificate.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// The invitations cannot be read.
    #[error(transparent)]
    Invitations(#[from] InvitationsError),
    /// A port cannot be had.
    #[error("cannot listen at {address}: another program may, or the port needs more rights")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// The UDP port cannot be had.
    #[error("cannot tell addresses at UDP {address}")]
    Addresses {
        /// Where.
        address: SocketAddr,
        /// What the relay's library says.
        source: Box<SpawnError>,
    },
}

/// A relay that runs until it is stopped or dropped.
#[derive(Debug)]
pub struct Relay {
    listen: SocketAddr,
    pin: Option<Pin>,
    door: Door,
    holder: Option<Arc<Watch>>,
    service: RelayService,
    addresses: Option<Server>,
    tasks: Vec<Task>,
}

/// A task that ends with its relay.
#[derive(Debug)]
struct Task(JoinHandle<()>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Task {
    fn spawn(work: impl Future<Output = ()> + Send + 'static) -> Self {
        Self(tokio::spawn(work))
    }
}

/// What every connection needs.
#[derive(Clone)]
struct Shared {
    door: Door,
    service: RelayService,
    tls: Option<TlsAcceptor>,
}

impl Relay {
    /// Starts it.
    ///
    /// # Errors
    /// [`StartError`]; nothing runs then.
    pub async fn start(config: &Config) -> Result<Self, StartError> {
        let certificate = Certificate::of(config).await?;
        let invitations = Invitations::open(&config.state()?)?;
        // Once, so that a file that cannot be read is noticed now.
        invitations.list()?;
        let door = Door::new(config.rules(), invitations);
        let listener = listen(config.listen).await?;
        let address = listener
            .local_addr()
            .map_err(|source| StartError::Listen { address: config.listen, source })?;
        let counted = Arc::new(Metrics::default());
        let service = RelayService::new(
            Handlers::default(),
            HeaderMap::new(),
            Some(ClientRateLimit::new(config.limits.bytes_per_second)),
            KeyCache::new(KEYS_CACHED),
            Arc::new(door.clone()),
            Arc::clone(&counted),
        );
        let pin = certificate.as_ref().and_then(|certificate| certificate.pin);
        let (tls, addresses) = match certificate {
            None => (None, None),
            Some(certificate) => {
                let addresses = tell_addresses(address, certificate.server.clone()).await?;
                (Some(TlsAcceptor::from(Arc::new(certificate.server))), Some(addresses))
            }
        };
        let shared = Shared { door: door.clone(), service: service.clone(), tls };
        let tasks = vec![
            Task::spawn(accept(listener, shared)),
            Task::spawn(review(door.clone(), service.clone())),
        ];
        let metrics = match config.metrics {
            Some(at) => Some(listen(at).await?),
            None => None,
        };
        let holder = None;
        let mut relay = Self { listen: address, pin, door, holder, service, addresses, tasks };
        match &config.hold {
            Some(hold) => relay.hold(config, hold).await?,
            None => Watch::warn_of_what_is_left(config),
        }
        if let Some(listener) = metrics {
            relay.tell_numbers(listener, counted);
        }
        Ok(relay)
    }

    /// Starts the holder, which comes in by the door as others do.
    async fn hold(&mut self, config: &Config, hold: &Hold) -> Result<(), StartError> {
        let token = Some(self.door.invite_holder()?);
        let own = RelayAddress { token, pin: self.pin, ..config.own_address(self.listen.port())? };
        let addresses = (own, self.address(config).ok());
        self.holder = Some(Arc::new(Watch::start(config.clone(), hold.clone(), addresses).await));
        Ok(())
    }

    fn tell_numbers(&mut self, listener: TcpListener, counted: Arc<Metrics>) {
        let asked = self
            .addresses
            .as_ref()
            .map_or_else(Arc::default, |server: &Server| Arc::clone(&server.metrics().server));
        let (door, holder) = (self.door.clone(), self.holder.clone());
        let all = Numbers { door, relay: counted, addresses: asked, holder };
        self.tasks.push(Task::spawn(numbers(listener, all)));
    }

    /// Where it listens; TCP, and with TLS UDP as well.
    pub const fn listen(&self) -> SocketAddr {
        self.listen
    }

    /// What nodes are told, without a token.
    ///
    /// # Errors
    /// When the settings do not say under which name it is reached.
    pub fn address(&self, config: &Config) -> Result<RelayAddress, ConfigError> {
        let address = config.address(None, self.listen.port())?;
        Ok(RelayAddress { pin: self.pin, ..address })
    }

    /// Stops: no new clients, goodbye to the others.
    pub async fn stop(mut self) {
        // First: it says goodbye through the relay.
        if let Some(holder) = self.holder.take() {
            holder.stop().await;
        }
        self.tasks.clear();
        self.service.shutdown().await;
        if let Some(server) = self.addresses.take()
            && let Err(error) = server.shutdown().await
        {
            warn!(%error, "the server of addresses did not end well");
        }
    }
}

/// Listens; on a system without IPv6, "everywhere" is IPv4 alone.
async fn listen(address: SocketAddr) -> Result<TcpListener, StartError> {
    let everywhere = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), address.port());
    match TcpListener::bind(address).await {
        Ok(listener) => Ok(listener),
        Err(source) => {
            let other = address.is_ipv6() && address.ip().is_unspecified();
            let bound = if other { TcpListener::bind(everywhere).await.ok() } else { None };
            bound.ok_or(StartError::Listen { address, source })
        }
    }
}

/// QUIC address discovery, on the UDP port with the number of the TCP port.
async fn tell_addresses(
    address: SocketAddr,
    tls: rustls::ServerConfig,
) -> Result<Server, StartError> {
    let mut quic = QuicConfig::new(address);
    quic.server_config = Some(tls);
    let mut config = ServerConfig::default();
    config.quic = Some(quic);
    let spawned = Server::spawn(config).await;
    spawned.map_err(|error| StartError::Addresses { address, source: Box::new(error) })
}

async fn accept(listener: TcpListener, shared: Shared) {
    loop {
        match listener.accept().await {
            Ok((stream, from)) => {
                let Ok((stream, handle)) = twice(stream) else { continue };
                let Some(arrived) = shared.door.arrive(from.ip(), handle) else { continue };
                let shared = shared.clone();
                // Ends when the door closes the socket, at the latest. What becomes a client's lives
                // on in a task of its own.
                tokio::spawn(async move { serve(stream, &shared, arrived).await });
            }
            Err(error) => {
                warn!(%error, "no socket could be taken");
                sleep(PAUSE).await;
            }
        }
    }
}

/// A socket with a second handle, by which it can be ended whoever has it then.
fn twice(stream: TcpStream) -> io::Result<(TcpStream, std::net::TcpStream)> {
    let stream = stream.into_std()?;
    let handle = stream.try_clone()?;
    Ok((TcpStream::from_std(stream)?, handle))
}

async fn serve(stream: TcpStream, shared: &Shared, arrived: Arrived) {
    let stream = match &shared.tls {
        None => MaybeTlsStream::Plain(stream),
        Some(tls) => match tls.accept(stream).await {
            Ok(stream) => MaybeTlsStream::Tls(stream),
            Err(error) => return debug!(%error, "no TLS"),
        },
    };
    let service = shared.service.clone();
    let answer = service_fn(move |request| answer(request, service.clone(), arrived.clone()));
    let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), answer);
    if let Err(error) = connection.with_upgrades().await {
        debug!(%error, "a connection ended");
    }
}

type Answered = Result<Response<BytesBody>, Infallible>;

async fn answer(
    mut request: Request<Incoming>,
    service: RelayService,
    arrived: Arrived,
) -> Answered {
    // Nobody outside says on which socket he came.
    request.headers_mut().remove(ARRIVAL);
    match (request.method(), request.uri().path()) {
        (&Method::GET, RELAY_PATH) => {
            request.headers_mut().insert(ARRIVAL, HeaderValue::from(arrived.number()));
            // Counted until the client was admitted or turned away.
            request.extensions_mut().insert(arrived.clone());
            let service = RelayServiceWithNotify::new(service, Arc::new(Notify::new()));
            let answered = service.call(request).into_inner();
            let broken = |_| text(StatusCode::BAD_REQUEST, "not a relay's client\n".to_owned());
            Ok(answered.unwrap_or_else(broken))
        }
        (&Method::GET, RELAY_PROBE_PATH) => Ok(text(StatusCode::OK, String::new())),
        (&Method::GET, "/healthz") => Ok(text(StatusCode::OK, "ok\n".to_owned())),
        _ => Ok(match records::answer(request, &arrived).await {
            records::Answer::NotHere => text(StatusCode::NOT_FOUND, "not found\n".to_owned()),
            records::Answer::Said(status, why) => last(text(status, why)),
            records::Answer::Records(records) => last(Response::new(Box::new(Full::new(records)))),
        }),
    }
}

/// The last answer on its socket: places are few.
fn last(mut response: Response<BytesBody>) -> Response<BytesBody> {
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    response
}

fn text(status: StatusCode, content: String) -> Response<BytesBody> {
    let body: BytesBody = Box::new(Full::new(Bytes::from(content)));
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; version=0.0.4"));
    response
}

/// Closes the connections of those whose invitation was taken back or is over.
async fn review(door: Door, service: RelayService) {
    loop {
        sleep(REVIEW).await;
        for (key, connection) in door.review() {
            service.clients().disconnect(key, Some(connection));
        }
    }
}

/// Serves `/metrics`, one request after the other.
async fn numbers(listener: TcpListener, numbers: Numbers) {
    let numbers = Arc::new(numbers);
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            sleep(PAUSE).await;
            continue;
        };
        let answer = service_fn(|request: Request<Incoming>| {
            let numbers = Arc::clone(&numbers);
            async move {
                Ok::<_, Infallible>(match request.uri().path() {
                    "/metrics" => text(StatusCode::OK, numbers.text().await),
                    "/healthz" => text(StatusCode::OK, "ok\n".to_owned()),
                    _ => text(StatusCode::NOT_FOUND, "not found\n".to_owned()),
                })
            }
        });
        let serving = http1::Builder::new().serve_connection(TokioIo::new(stream), answer);
        if timeout(Duration::from_millis(RELAY_ARRIVAL_MS_MAX), serving).await.is_err() {
            debug!("a reader of numbers took too long");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read as _, Write as _},
        net::TcpStream,
        time::Instant,
    };

    use larder_protocol::limits::RELAY_CONNECTIONS_PER_ADDRESS_MAX;

    use super::*;

    /// What a client of a relay asks first; its proof of a key would come next.
    const UPGRADE: &[u8] = b"GET /relay HTTP/1.1\r\nHost: relay\r\nConnection: Upgrade\r\n\
        Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
        Sec-WebSocket-Protocol: iroh-relay-v1\r\n\r\n";

    /// Waits until the other side has closed; panics after twice the time that it may take.
    fn read_to_the_end(mut socket: &TcpStream) -> Vec<u8> {
        let within = Duration::from_millis(2 * RELAY_ARRIVAL_MS_MAX);
        socket.set_read_timeout(Some(within)).unwrap();
        let mut bytes = Vec::new();
        socket.read_to_end(&mut bytes).unwrap();
        bytes
    }

    /// Whether the relay answers on this connection that it is well; one that found no place is reset.
    fn is_well(mut socket: TcpStream) -> bool {
        let mut answer = Vec::new();
        socket.set_read_timeout(Some(Duration::from_millis(RELAY_ARRIVAL_MS_MAX))).unwrap();
        socket.write_all(b"GET /healthz HTTP/1.1\r\nConnection: close\r\n\r\n").is_ok()
            && socket.read_to_end(&mut answer).is_ok()
            && answer.ends_with(b"ok\n")
    }

    // RELAY-16, RELAY-3
    #[test]
    fn sockets_that_are_held_are_closed_in_whatever_state() {
        let directory = tempfile::tempdir().unwrap();
        let listen = "127.0.0.1:0".parse().unwrap();
        let state = Some(directory.path().to_owned());
        let config = Config { listen, state, plain: true, ..Config::default() };
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let relay = runtime.block_on(Relay::start(&config)).unwrap();
        let open = || TcpStream::connect(relay.listen()).unwrap();
        let begun = Instant::now();
        let mut upgraded = open();
        upgraded.write_all(UPGRADE).unwrap();
        let mut answer = [0; 12];
        upgraded.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"HTTP/1.1 101");
        let silent: Vec<_> = (1..RELAY_CONNECTIONS_PER_ADDRESS_MAX).map(|_| open()).collect();
        assert_eq!(read_to_the_end(&open()), b"", "one more from this address");
        assert!(begun.elapsed() < Duration::from_millis(RELAY_ARRIVAL_MS_MAX), "it was at once");
        for socket in &silent {
            assert_eq!(read_to_the_end(socket), b"");
        }
        read_to_the_end(&upgraded);
        assert!(begun.elapsed() >= Duration::from_millis(RELAY_ARRIVAL_MS_MAX));
        // A place is free when the relay has let go of its end, a moment after this one saw it close.
        let until = Instant::now() + Duration::from_millis(RELAY_ARRIVAL_MS_MAX);
        while !is_well(open()) {
            assert!(Instant::now() < until, "the places became free");
            std::thread::sleep(Duration::from_millis(20));
        }
        runtime.block_on(relay.stop());
    }
}
