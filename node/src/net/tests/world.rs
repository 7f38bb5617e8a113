//! Nodes on loopback with a scripted answering side.

use std::{
    collections::BTreeSet,
    net::SocketAddr,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use iroh::{EndpointAddr, EndpointId, endpoint::Connection};
use larder_protocol::{
    ids::{DeviceId, ShardRoot, VaultId},
    index::{PackClass, ShardRef},
    receipt::{Receipt, ReceiptBody},
    time::Timestamp,
    wire::message::{Answer, Refusal, Request},
};

use crate::{
    depot::{Depot, Origin, PartialShard, Tenure},
    net::{
        Admission, Entry, FrameStream, Listen, Net, Peer, Protocol, Rates, Reservation, Serve,
        Serving, Settings,
    },
};

pub(super) const VAULT: VaultId = VaultId::from_bytes([7; 32]);

/// A node: its network, its depot, and what it does.
pub(super) struct Node {
    pub(super) net: Net,
    pub(super) depot: Depot,
    pub(super) script: Arc<Script>,
    pub(super) home: tempfile::TempDir,
    pub(super) _serving: Serving,
}

/// What a node answers, and what it was told.
#[derive(Default)]
pub(super) struct Script {
    pub(super) strangers: Mutex<BTreeSet<DeviceId>>,
    pub(super) unreadable: Mutex<BTreeSet<ShardRoot>>,
    pub(super) refuse_puts: Mutex<Option<Refusal>>,
    pub(super) panics: AtomicBool,
    pub(super) requests: AtomicUsize,
    pub(super) reserved: AtomicUsize,
    pub(super) stored: AtomicUsize,
    pub(super) aborted: AtomicUsize,
    pub(super) corrupt: Mutex<Vec<ShardRoot>>,
}

impl Script {
    /// Reservations that have not ended.
    pub(super) fn open_reservations(&self) -> usize {
        self.reserved.load(Ordering::SeqCst)
            - self.stored.load(Ordering::SeqCst)
            - self.aborted.load(Ordering::SeqCst)
    }
}

struct Gate(Arc<Script>);

impl Admission for Gate {
    fn admit(&self, peer: &DeviceId, _: Protocol) -> Entry {
        let stranger = self.0.strangers.lock().unwrap().contains(peer);
        if stranger { Entry::Refused } else { Entry::Admitted }
    }
}

impl Serve for Script {
    async fn request(&self, _: DeviceId, _: Request) -> Answer {
        self.requests.fetch_add(1, Ordering::SeqCst);
        assert!(!self.panics.load(Ordering::SeqCst), "a handler that panics");
        Answer::Welcome { version: 1, standing: None, beacon_key: None, site: None, name: None }
    }

    async fn begin_put(
        &self,
        _: DeviceId,
        vault: VaultId,
        _: ShardRef,
        class: PackClass,
    ) -> Result<Reservation, Answer> {
        if let Some(reason) = *self.refuse_puts.lock().unwrap() {
            return Err(Answer::Refused { reason });
        }
        let id = self.reserved.fetch_add(1, Ordering::SeqCst) as u64;
        let (stored, keep_until) = (Timestamp(1), Timestamp(2));
        let tenure = Tenure { vault, class, origin: Origin::Held, stored, keep_until };
        Ok(Reservation { id, tenure })
    }

    async fn put_stored(
        &self,
        from: DeviceId,
        reservation: Reservation,
        shard: ShardRef,
    ) -> Answer {
        self.stored.fetch_add(1, Ordering::SeqCst);
        let body = ReceiptBody {
            vault: reservation.tenure.vault,
            shard,
            holder: from,
            stored: reservation.tenure.stored,
            keep_until: reservation.tenure.keep_until,
        };
        Answer::Stored { receipt: Receipt { body, signature: [0; 64] } }
    }

    fn put_aborted(&self, _: DeviceId, _: Reservation) {
        self.aborted.fetch_add(1, Ordering::SeqCst);
    }

    fn may_read(&self, _: &DeviceId, root: &ShardRoot) -> bool {
        !self.unreadable.lock().unwrap().contains(root)
    }

    fn found_corrupt(&self, root: &ShardRoot) {
        self.corrupt.lock().unwrap().push(*root);
    }

    async fn pair(&self, _: DeviceId, mut stream: FrameStream) {
        let said: Request = stream.receive(1000, Duration::from_secs(5)).await.unwrap();
        stream.send(&said).await.unwrap();
        stream.drain().await;
    }
}

pub(super) fn settings(seed: u8, port: u16) -> Settings {
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    Settings {
        seed: [seed; 32].into(),
        listen: Listen::Only(address),
        relays: Vec::new(),
        rates: Rates::default(),
    }
}

impl Node {
    /// A node that answers.
    pub(super) async fn start(seed: u8) -> Self {
        Self::start_on(seed, 0).await
    }

    /// A node that answers on a port; 0 for any.
    pub(super) async fn start_on(seed: u8, port: u16) -> Self {
        let home = tempfile::tempdir().unwrap();
        let dir = home.path().join("depot");
        Self::start_with(seed, port, home, &dir).await
    }

    /// A node that answers and keeps its shards in `dir`.
    pub(super) async fn start_with(
        seed: u8,
        port: u16,
        home: tempfile::TempDir,
        dir: &Path,
    ) -> Self {
        let script = Arc::new(Script::default());
        let gate = Arc::new(Gate(Arc::clone(&script)));
        let net = Net::start(settings(seed, port), gate).await.unwrap();
        let (depot, _) = Depot::open(dir).unwrap();
        let serving = net.serve(depot.clone(), Arc::clone(&script));
        Self { net, depot, script, home, _serving: serving }
    }

    /// This node as `other` sees it.
    pub(super) fn seen_by(&self, other: &Self) -> Peer {
        other.net.set_addresses(self.net.id(), self.net.own_addresses());
        other.net.peer(self.net.id())
    }

    pub(super) fn keep(&self, content: &[u8]) -> ShardRef {
        let (class, origin) = (PackClass::Data, Origin::Held);
        let (stored, keep_until) = (Timestamp(1), Timestamp(2));
        self.depot
            .import(content, Tenure { vault: VAULT, class, origin, stored, keep_until })
            .unwrap()
    }

    pub(super) fn partial(&self, shard: ShardRef) -> Arc<PartialShard> {
        Arc::new(PartialShard::open(&self.home.path().join("fetch"), shard).unwrap())
    }

    /// Files that a broken transfer might have left.
    pub(super) fn temps(&self) -> usize {
        std::fs::read_dir(self.depot.dir().join("tmp")).unwrap().count()
    }
}

/// Waits until `done`, or fails after a while.
pub(super) async fn until(what: &str, mut done: impl FnMut() -> bool) {
    for _ in 0..500 {
        if done() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("waited in vain until {what}");
}

/// A bare connection to `to`, past all that [`Peer`] does.
pub(super) async fn bare(from: &Node, to: &Node, protocol: Protocol) -> Connection {
    let id = EndpointId::from_bytes(to.net.id().as_bytes()).unwrap();
    let place = EndpointAddr::new(id).with_ip_addr(to.net.own_addresses()[0]);
    from.net.inner.endpoint.connect(place, protocol.alpn()).await.unwrap()
}
