//! The answering side: connections that others dialled, and what is done on them.
//!
//! Every connection and every stream is a task of its own: a panic in one ends that one. Bounds
//! hold at each step: handshakes, connections, streams, transfers.

mod put;

use std::{future::pending, sync::Arc};

use iroh::endpoint::{Connection, Incoming, IncomingAddr, RecvStream, SendStream};
use larder_protocol::{
    ids::{DeviceId, ShardRoot, VaultId},
    index::{PackClass, ShardRef},
    limits::FRAME_BYTES_MAX,
    wire::message::{Answer, Refusal, Request},
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    task::{JoinHandle, JoinSet},
    time::{sleep, timeout},
};

use super::{
    FrameStream, Net, NetError, Protocol,
    quota::Quota,
    shards,
    tuning::{
        CODE_BROKEN, CODE_BUSY, CODE_DONE, CODE_REFUSED, CONNECTIONS, CONNECTIONS_PER_PEER,
        DOWNLOADS, DOWNLOADS_PER_PEER, HANDSHAKE, HANDSHAKES, HANDSHAKES_UNPROVEN, PAIRING_IDLE,
        PAIRINGS, PAIRINGS_PER_PEER, REQUEST, UNUSED_INCOMING, UPLOADS, UPLOADS_PER_PEER,
    },
};
use crate::depot::{Depot, Tenure};

/// Leave to upload one shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reservation {
    /// Names the reservation towards [`Serve`].
    pub id: u64,
    /// For whom and until when the shard will be kept; written with its row.
    pub tenure: Tenure,
}

/// What this node answers. The network calls; the node decides.
pub trait Serve: Send + Sync + 'static {
    /// Answers any request but [`Request::Put`].
    fn request(&self, from: DeviceId, request: Request) -> impl Future<Output = Answer> + Send;

    /// Reserves room for a shard, or answers at once: [`Answer::Stored`] when it is kept already,
    /// [`Answer::Refused`]. Each reservation ends in exactly one call of [`Serve::put_stored`] or
    /// [`Serve::put_aborted`].
    fn begin_put(
        &self,
        from: DeviceId,
        vault: VaultId,
        shard: ShardRef,
        class: PackClass,
    ) -> impl Future<Output = Result<Reservation, Answer>> + Send;

    /// The shard of a reservation is durable, row included. Returns the answer with the receipt.
    fn put_stored(
        &self,
        from: DeviceId,
        reservation: Reservation,
        shard: ShardRef,
    ) -> impl Future<Output = Answer> + Send;

    /// The shard of a reservation did not come, or was not the promised one: there is no row. Must
    /// not block.
    fn put_aborted(&self, from: DeviceId, reservation: Reservation);

    /// Whether `from` may read a shard. Must not block for long: called on the async threads.
    fn may_read(&self, from: &DeviceId, root: &ShardRoot) -> bool;

    /// A shard was found damaged or gone while it was served; its row says so already, if there
    /// was room to write it.
    fn found_corrupt(&self, root: &ShardRoot);

    /// Speaks with a stranger who was admitted for pairing.
    fn pair(&self, from: DeviceId, stream: FrameStream) -> impl Future<Output = ()> + Send;
}

/// The running answering side; ends when dropped or when the network closes.
#[derive(Debug)]
pub struct Serving(JoinHandle<()>);

impl Drop for Serving {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// What all connections share.
#[derive(Debug)]
pub(super) struct Shared<S> {
    pub(super) depot: Depot,
    pub(super) serve: Arc<S>,
    connections: Quota,
    /// Strangers: they never take a place that a known device needs.
    pairings: Quota,
    pub(super) downloads: Quota,
    uploads: Quota,
}

impl Net {
    /// Starts answering other devices.
    pub fn serve<S: Serve>(&self, depot: Depot, serve: Arc<S>) -> Serving {
        let shared = Arc::new(Shared {
            depot,
            serve,
            connections: Quota::new(CONNECTIONS_PER_PEER, CONNECTIONS),
            pairings: Quota::new(PAIRINGS_PER_PEER, PAIRINGS),
            downloads: Quota::new(DOWNLOADS_PER_PEER, DOWNLOADS),
            uploads: Quota::new(UPLOADS_PER_PEER, UPLOADS),
        });
        let net = self.clone();
        let endpoint = self.inner.endpoint.clone();
        endpoint.set_alpns(Protocol::OF_NODES.map(|protocol| protocol.alpn().to_vec()).to_vec());
        Serving(tokio::spawn(async move {
            let handshakes = Arc::new(Semaphore::new(HANDSHAKES));
            let mut tasks = JoinSet::new();
            while let Some(incoming) = endpoint.accept().await {
                if let Some((incoming, permit)) = let_in(incoming, &handshakes) {
                    tasks.spawn(connection(net.clone(), Arc::clone(&shared), incoming, permit));
                }
                while let Some(ended) = tasks.try_join_next() {
                    note_panic("a connection", ended);
                }
            }
        }))
    }
}

/// Bounds the handshakes: each costs a signature and a key exchange before anything is known of
/// the other side.
fn let_in(
    incoming: Incoming,
    handshakes: &Arc<Semaphore>,
) -> Option<(Incoming, OwnedSemaphorePermit)> {
    let crowded = handshakes.available_permits() <= HANDSHAKES - HANDSHAKES_UNPROVEN;
    if crowded && !incoming.remote_addr_validated() {
        // Costs a forger of addresses more than us. The error says it is validated: it is not.
        let _ = incoming.retry();
        return None;
    }
    match Arc::clone(handshakes).try_acquire_owned() {
        Ok(permit) => Some((incoming, permit)),
        Err(_) => {
            incoming.refuse();
            None
        }
    }
}

async fn connection<S: Serve>(
    net: Net,
    shared: Arc<Shared<S>>,
    incoming: Incoming,
    handshaking: OwnedSemaphorePermit,
) {
    let seen_at = incoming.remote_addr();
    // Refused peers end here: the door stands in the handshake.
    let Ok(Ok(connection)) = timeout(HANDSHAKE, incoming.into_future()).await else { return };
    drop(handshaking);
    let from = DeviceId::from_bytes(*connection.remote_id().as_bytes());
    let Some(protocol) = Protocol::of_alpn(connection.alpn()) else { return };
    let quota = match protocol {
        Protocol::Pairing => &shared.pairings,
        Protocol::Control | Protocol::Shards => &shared.connections,
        // Never under the key of the node.
        Protocol::Meeting | Protocol::Helping | Protocol::Seeking => {
            return connection.close(CODE_REFUSED.into(), b"not here");
        }
    };
    let Some(_place) = quota.take(from) else {
        return connection.close(CODE_BUSY.into(), b"too many connections");
    };
    let _listed = net.inner.links.list(from, &connection);
    if matches!(protocol, Protocol::Pairing) {
        return pairing(&shared, connection, from).await;
    }
    if let (Protocol::Control, IncomingAddr::Ip(address)) = (protocol, seen_at) {
        // It calls from the port that it listens at. Only devices that are known come this far.
        net.inner.addresses.met_at(from, address);
    }
    let mut streams = JoinSet::new();
    loop {
        let is_unused = streams.is_empty();
        let unused =
            async move { if is_unused { sleep(UNUSED_INCOMING).await } else { pending().await } };
        tokio::select! {
            opened = connection.accept_bi() => match opened {
                Ok((send, recv)) => {
                    let shared = Arc::clone(&shared);
                    streams.spawn(stream(shared, connection.clone(), protocol, (send, recv)));
                }
                Err(_) => return,
            },
            () = unused => return connection.close(CODE_DONE.into(), b"unused"),
            Some(ended) = streams.join_next(), if !streams.is_empty() => {
                note_panic("a stream", ended);
            }
        }
    }
}

/// A stranger's connection: one stream, soon.
async fn pairing<S: Serve>(shared: &Shared<S>, connection: Connection, from: DeviceId) {
    if let Ok(Ok((send, recv))) = timeout(PAIRING_IDLE, connection.accept_bi()).await {
        shared.serve.pair(from, FrameStream::new(connection.clone(), send, recv)).await;
    }
    connection.close(CODE_DONE.into(), b"over");
}

async fn stream<S: Serve>(
    shared: Arc<Shared<S>>,
    connection: Connection,
    protocol: Protocol,
    (send, recv): (SendStream, RecvStream),
) {
    let from = DeviceId::from_bytes(*connection.remote_id().as_bytes());
    match protocol {
        Protocol::Control => {
            let mut stream = FrameStream::new(connection, send, recv);
            match control(&shared, from, &mut stream).await {
                Ok(()) => stream.drain().await,
                Err(error) => {
                    tracing::debug!(peer = %from.short(), %error, "gave up a request");
                    stream.abandon(CODE_BROKEN);
                }
            }
        }
        Protocol::Shards => shards::answer(shared, from, send, recv).await,
        // Have one stream or none, and are answered where the connection is.
        Protocol::Pairing | Protocol::Meeting | Protocol::Helping | Protocol::Seeking => {}
    }
}

async fn control<S: Serve>(
    shared: &Shared<S>,
    from: DeviceId,
    stream: &mut FrameStream,
) -> Result<(), NetError> {
    let request: Request = match stream.receive(FRAME_BYTES_MAX, REQUEST).await {
        Ok(request) => request,
        Err(NetError::Frame(error)) => {
            tracing::debug!(peer = %from.short(), %error, "no request");
            return stream.send(&Answer::Refused { reason: Refusal::Malformed }).await;
        }
        Err(error) => return Err(error),
    };
    if request.check().is_err() {
        return stream.send(&Answer::Refused { reason: Refusal::Malformed }).await;
    }
    let Request::Put { vault, shard, class } = request else {
        let answer = shared.serve.request(from, request).await;
        return stream.send(&answer).await;
    };
    let Some(_place) = shared.uploads.take(from) else {
        return stream.send(&Answer::Refused { reason: Refusal::Busy }).await;
    };
    match shared.serve.begin_put(from, vault, shard, class).await {
        Ok(reservation) => put::take(shared, from, reservation, shard, stream).await,
        Err(answer) => stream.send(&answer).await,
    }
}

fn note_panic(what: &str, ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!(%error, "{what} ended in a panic; the others go on");
    }
}
