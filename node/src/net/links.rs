//! Connections that we dialled, kept while they are used, and a list of those that others dialled.
//!
//! One connection for each peer and protocol, dialled once however many ask at once, closed when
//! no stream has used it for a while.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use iroh::endpoint::{Connection, WeakConnectionHandle};
use larder_protocol::ids::DeviceId;
use tokio::{
    sync::{Mutex as AsyncMutex, watch},
    time::timeout,
};

use super::{
    NetError, Protocol,
    tuning::{CODE_DONE, UNUSED_OUTGOING},
};

/// All connections that we dialled, bounded by the devices we know, and weak handles of those that
/// we accepted, bounded by their quota.
#[derive(Debug, Default)]
pub(super) struct Links {
    slots: Mutex<BTreeMap<(DeviceId, Protocol), Slot>>,
    incoming: Mutex<BTreeMap<(DeviceId, usize), WeakConnectionHandle>>,
}

/// Keeps an accepted connection listed.
#[derive(Debug)]
pub(super) struct Listed<'a> {
    links: &'a Links,
    key: (DeviceId, usize),
}

impl Drop for Listed<'_> {
    fn drop(&mut self) {
        self.links.incoming.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key);
    }
}

/// How packets go to a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Path {
    /// From device to device.
    Direct,
    /// Through a relay.
    Relayed,
}

impl Path {
    /// The path in use of a connection that lives.
    fn of(connection: &Connection) -> Option<Self> {
        if connection.close_reason().is_some() {
            return None;
        }
        let paths = connection.paths();
        let selected = paths.iter().find(|path| path.is_selected())?;
        Some(if selected.is_relay() { Self::Relayed } else { Self::Direct })
    }
}

type Slot = Arc<AsyncMutex<Option<Link>>>;

#[derive(Debug)]
struct Link {
    connection: Connection,
    users: watch::Sender<usize>,
}

/// The right to use a connection: it is not closed for idleness while this lives.
#[derive(Debug)]
pub(super) struct Lease {
    pub(super) connection: Connection,
    /// Whether the connection was dialled for this lease.
    pub(super) fresh: bool,
    users: watch::Sender<usize>,
}

impl Links {
    /// The connection to a peer, dialled by `dial` when there is none.
    pub(super) async fn lease<F>(
        &self,
        peer: DeviceId,
        protocol: Protocol,
        dial: impl FnOnce() -> F,
    ) -> Result<Lease, NetError>
    where
        F: Future<Output = Result<Connection, NetError>>,
    {
        let slot = self.slot(peer, protocol);
        // Held while dialling, so that those who ask meanwhile wait for this one attempt.
        let mut link = slot.lock().await;
        if let Some(link) = link.as_ref().filter(|link| link.connection.close_reason().is_none()) {
            return Ok(link.lease(false));
        }
        *link = None;
        let connection = dial().await?;
        let new = Link::start(connection);
        let lease = new.lease(true);
        *link = Some(new);
        Ok(lease)
    }

    /// Lists a connection that a peer dialled.
    pub(super) fn list(&self, peer: DeviceId, connection: &Connection) -> Listed<'_> {
        let key = (peer, connection.stable_id());
        let mut incoming = self.incoming.lock().unwrap_or_else(PoisonError::into_inner);
        incoming.insert(key, connection.weak_handle());
        Listed { links: self, key }
    }

    /// Closes every connection with a peer, whoever dialled it: while one seems alive, iroh does
    /// not reach the peer at a new address. Returns whether there was any.
    pub(super) fn close(&self, peer: &DeviceId) -> bool {
        let accepted: Vec<Connection> = {
            let incoming = self.incoming.lock().unwrap_or_else(PoisonError::into_inner);
            let of_peer = incoming.range((*peer, usize::MIN)..=(*peer, usize::MAX));
            of_peer.filter_map(|(_, handle)| handle.upgrade()).collect()
        };
        for connection in &accepted {
            connection.close(CODE_DONE.into(), b"redial");
        }
        let slots: Vec<Slot> = {
            let slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
            let of_peer = slots.iter().filter(|((of, _), _)| of == peer);
            of_peer.map(|(_, slot)| Arc::clone(slot)).collect()
        };
        let mut any = !accepted.is_empty();
        for slot in slots {
            // A slot that is locked is just being dialled: it has no old connection.
            if let Ok(mut link) = slot.try_lock()
                && let Some(link) = link.take()
            {
                any |= link.connection.close_reason().is_none();
                link.connection.close(CODE_DONE.into(), b"redial");
            }
        }
        any
    }

    /// The best path among the connections with a peer, whoever dialled them.
    pub(super) fn path(&self, peer: &DeviceId) -> Option<Path> {
        self.connections(peer).iter().filter_map(Path::of).min()
    }

    /// The connections with a peer, whoever dialled them.
    pub(super) fn connections(&self, peer: &DeviceId) -> Vec<Connection> {
        let mut connections: Vec<Connection> = {
            let incoming = self.incoming.lock().unwrap_or_else(PoisonError::into_inner);
            let of_peer = incoming.range((*peer, usize::MIN)..=(*peer, usize::MAX));
            of_peer.filter_map(|(_, handle)| handle.upgrade()).collect()
        };
        let slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let of_peer = slots.iter().filter(|((of, _), _)| of == peer);
        // A slot that is locked is just being dialled.
        connections.extend(of_peer.filter_map(|(_, slot)| {
            let link = slot.try_lock().ok()?;
            link.as_ref().map(|link| link.connection.clone())
        }));
        drop(slots);
        connections
    }

    fn slot(&self, peer: DeviceId, protocol: Protocol) -> Slot {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(slots.entry((peer, protocol)).or_default())
    }
}

impl Link {
    fn start(connection: Connection) -> Self {
        let (users, watched) = watch::channel(0);
        tokio::spawn(close_unused(connection.clone(), watched));
        Self { connection, users }
    }

    fn lease(&self, fresh: bool) -> Lease {
        self.users.send_modify(|users| *users += 1);
        Lease { connection: self.connection.clone(), fresh, users: self.users.clone() }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.users.send_modify(|users| *users -= 1);
    }
}

async fn close_unused(connection: Connection, mut users: watch::Receiver<usize>) {
    loop {
        let unused = async {
            if users.wait_for(|users| *users == 0).await.is_err() {
                return true;
            }
            let used = users.wait_for(|users| *users > 0);
            !matches!(timeout(UNUSED_OUTGOING, used).await, Ok(Ok(_)))
        };
        tokio::select! {
            _ = connection.closed() => return,
            unused = unused => if unused {
                return connection.close(CODE_DONE.into(), b"unused");
            },
        }
    }
}
