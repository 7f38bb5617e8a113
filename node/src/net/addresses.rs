//! Where other devices were last known to be: the only address book that iroh is given.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use iroh::{
    EndpointAddr, EndpointId,
    address_lookup::{self, AddressLookup, EndpointInfo, Item},
};
use larder_protocol::ids::DeviceId;
use n0_future::boxed::BoxStream;
use tokio::sync::Notify;

use super::{relays::Relays, tuning::ADDRESSES_PER_PEER};

/// Socket addresses by device. Clones share one table. Entries come from tickets, manifests and
/// the user, so their number is that of the devices the user knows.
///
/// A device may also be behind any relay of this node: a family shares its relays, and a device
/// that has moved is found there by its key alone.
#[derive(Debug, Clone, Default)]
pub(super) struct Addresses {
    table: Arc<Mutex<BTreeMap<DeviceId, Vec<SocketAddr>>>>,
    hinted: Arc<Notify>,
    relays: Relays,
}

impl Addresses {
    /// An empty table of a node with these relays.
    pub(super) fn new(relays: Relays) -> Self {
        Self { table: Arc::default(), hinted: Arc::default(), relays }
    }

    /// Replaces what is known of a device.
    pub(super) fn set(&self, peer: DeviceId, mut addresses: Vec<SocketAddr>) {
        addresses.truncate(ADDRESSES_PER_PEER);
        self.table.lock().unwrap_or_else(PoisonError::into_inner).insert(peer, addresses);
    }

    /// A device was met there just now: the best place to look first.
    pub(super) fn met_at(&self, peer: DeviceId, address: SocketAddr) {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        let known = table.entry(peer).or_default();
        known.retain(|other| *other != address);
        known.insert(0, address);
        known.truncate(ADDRESSES_PER_PEER);
    }

    /// A device shows itself there: whoever is dialling it looks there as well.
    pub(super) fn hint(&self, peer: DeviceId, address: SocketAddr) {
        self.met_at(peer, address);
        self.hinted.notify_waiters();
    }

    /// Waits for a hint by which a device may be where it was not known to be.
    pub(super) async fn news_of(&self, peer: &DeviceId) {
        let before = self.of(peer);
        loop {
            let hinted = self.hinted.notified();
            if self.of(peer) != before {
                return;
            }
            hinted.await;
        }
    }

    pub(super) fn of(&self, peer: &DeviceId) -> Vec<SocketAddr> {
        let table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        table.get(peer).cloned().unwrap_or_default()
    }
}

impl AddressLookup for Addresses {
    fn resolve(&self, id: EndpointId) -> Option<BoxStream<Result<Item, address_lookup::Error>>> {
        let known = self.of(&DeviceId::from_bytes(*id.as_bytes()));
        let direct = known.into_iter().fold(EndpointAddr::new(id), EndpointAddr::with_ip_addr);
        let place = self.relays.urls().fold(direct, EndpointAddr::with_relay_url);
        if place.is_empty() {
            return None;
        }
        let item = Item::new(EndpointInfo::from(place), "larder", None);
        Some(Box::pin(n0_future::stream::once(Ok(item))))
    }
}
