//! Where other devices were last known to be: the only address book that iroh is given.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use iroh::{
    EndpointAddr, EndpointId,
    address_lookup::{self, AddressLookup, EndpointInfo, Item},
};
use larder_protocol::ids::DeviceId;
use n0_future::boxed::BoxStream;
use tokio::sync::Notify;

use super::{
    relays::Relays,
    tuning::{ADDRESSES_PER_PEER, HINT_LIFE, HINTS_PER_PEER},
};

/// Where a device showed itself, and when.
type Hint = (SocketAddr, Instant);

/// Socket addresses by device. Clones share one table. Entries come from tickets, manifests and
/// the user, so their number is that of the devices the user knows.
///
/// A device may also be behind any relay of this node: a family shares its relays, and a device
/// that has moved is found there by its key alone.
#[derive(Debug, Clone, Default)]
pub(super) struct Addresses {
    table: Arc<Mutex<BTreeMap<DeviceId, Vec<SocketAddr>>>>,
    /// Where devices show themselves on the local network, and since when. Beside the table: whoever
    /// shows what it likes takes nothing out of it.
    hints: Arc<Mutex<BTreeMap<DeviceId, Vec<Hint>>>>,
    hinted: Arc<Notify>,
    relays: Relays,
}

impl Addresses {
    /// An empty table of a node with these relays.
    pub(super) fn new(relays: Relays) -> Self {
        Self { table: Arc::default(), hints: Arc::default(), hinted: Arc::default(), relays }
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

    /// A device shows itself there: whoever dials it now or in the next minute looks there as well.
    pub(super) fn hint(&self, peer: DeviceId, address: SocketAddr) {
        let mut hints = self.hints.lock().unwrap_or_else(PoisonError::into_inner);
        let of_peer = hints.entry(peer).or_default();
        of_peer.retain(|(other, since)| *other != address && since.elapsed() < HINT_LIFE);
        of_peer.insert(0, (address, Instant::now()));
        of_peer.truncate(HINTS_PER_PEER);
        drop(hints);
        self.hinted.notify_waiters();
    }

    /// Waits for a hint by which a device may be where it was not looked for, `before` being the hints
    /// that were followed.
    pub(super) async fn news_of(&self, peer: &DeviceId, before: &[SocketAddr]) {
        loop {
            let hinted = self.hinted.notified();
            if self.hints_of(peer).iter().any(|hint| !before.contains(hint)) {
                return;
            }
            hinted.await;
        }
    }

    /// Where a device showed itself lately, the last one first.
    pub(super) fn hints_of(&self, peer: &DeviceId) -> Vec<SocketAddr> {
        let hints = self.hints.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = hints.get(peer).into_iter().flatten();
        let fresh = fresh.filter(|(_, since)| since.elapsed() < HINT_LIFE);
        fresh.map(|(address, _)| *address).collect()
    }

    pub(super) fn of(&self, peer: &DeviceId) -> Vec<SocketAddr> {
        let table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        table.get(peer).cloned().unwrap_or_default()
    }
}

impl AddressLookup for Addresses {
    fn resolve(&self, id: EndpointId) -> Option<BoxStream<Result<Item, address_lookup::Error>>> {
        let peer = DeviceId::from_bytes(*id.as_bytes());
        let known = self.hints_of(&peer).into_iter().chain(self.of(&peer));
        let direct = known.fold(EndpointAddr::new(id), EndpointAddr::with_ip_addr);
        let place = self.relays.urls().fold(direct, EndpointAddr::with_relay_url);
        if place.is_empty() {
            return None;
        }
        let item = Item::new(EndpointInfo::from(place), "larder", None);
        Some(Box::pin(n0_future::stream::once(Ok(item))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // DISC-5
    #[test]
    fn whatever_is_shown_takes_nothing_out_of_what_is_known() {
        let addresses = Addresses::new(Relays::default());
        let peer = DeviceId::from_bytes([1; 32]);
        let at = |port| SocketAddr::from(([192, 168, 1, 2], port));
        addresses.set(peer, vec![at(1), at(2)]);
        for port in 100..200 {
            addresses.hint(peer, at(port));
        }
        assert_eq!(addresses.of(&peer), [at(1), at(2)]);
        assert_eq!(addresses.hints_of(&peer).len(), HINTS_PER_PEER);
        assert_eq!(addresses.hints_of(&peer)[0], at(199));
    }
}
