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

use super::tuning::ADDRESSES_PER_PEER;

/// Socket addresses by device. Clones share one table. Entries come from tickets, manifests and
/// the user, so their number is that of the devices the user knows.
#[derive(Debug, Clone, Default)]
pub(super) struct Addresses(Arc<Mutex<BTreeMap<DeviceId, Vec<SocketAddr>>>>);

impl Addresses {
    /// Replaces what is known of a device.
    pub(super) fn set(&self, peer: DeviceId, mut addresses: Vec<SocketAddr>) {
        addresses.truncate(ADDRESSES_PER_PEER);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(peer, addresses);
    }

    /// A device was met there just now: the best place to look first.
    pub(super) fn met_at(&self, peer: DeviceId, address: SocketAddr) {
        let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = table.entry(peer).or_default();
        known.retain(|other| *other != address);
        known.insert(0, address);
        known.truncate(ADDRESSES_PER_PEER);
    }

    pub(super) fn of(&self, peer: &DeviceId) -> Vec<SocketAddr> {
        let table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        table.get(peer).cloned().unwrap_or_default()
    }
}

impl AddressLookup for Addresses {
    fn resolve(&self, id: EndpointId) -> Option<BoxStream<Result<Item, address_lookup::Error>>> {
        let known = self.of(&DeviceId::from_bytes(*id.as_bytes()));
        if known.is_empty() {
            return None;
        }
        let place = known.into_iter().fold(EndpointAddr::new(id), EndpointAddr::with_ip_addr);
        let item = Item::new(EndpointInfo::from(place), "larder", None);
        Some(Box::pin(n0_future::stream::once(Ok(item))))
    }
}
