//! Counting what peers have open at once, each and all together.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use larder_protocol::ids::DeviceId;

/// A bound per peer and for all peers. Clones share one count.
#[derive(Debug, Clone)]
pub(super) struct Quota {
    per_peer: usize,
    total: usize,
    taken: Arc<Mutex<BTreeMap<DeviceId, usize>>>,
}

/// One unit of a quota, given back when dropped.
#[derive(Debug)]
pub(super) struct Place {
    quota: Quota,
    peer: DeviceId,
}

impl Quota {
    pub(super) fn new(per_peer: usize, total: usize) -> Self {
        Self { per_peer, total, taken: Arc::default() }
    }

    /// Takes a place for `peer`, unless it or all peers together have taken all of theirs.
    pub(super) fn take(&self, peer: DeviceId) -> Option<Place> {
        let mut taken = self.lock();
        let all: usize = taken.values().sum();
        let own = taken.get(&peer).copied().unwrap_or_default();
        if all >= self.total || own >= self.per_peer {
            return None;
        }
        taken.insert(peer, own + 1);
        drop(taken);
        Some(Place { quota: self.clone(), peer })
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<DeviceId, usize>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.quota.lock();
        if let Some(own) = taken.get_mut(&self.peer) {
            *own -= 1;
            if *own == 0 {
                taken.remove(&self.peer);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_peer_cannot_take_the_places_of_all() {
        let quota = Quota::new(2, 3);
        let (a, b) = (DeviceId::from_bytes([1; 32]), DeviceId::from_bytes([2; 32]));
        let first = quota.take(a).unwrap();
        let _second = quota.take(a).unwrap();
        assert!(quota.take(a).is_none());
        let _third = quota.take(b).unwrap();
        assert!(quota.take(b).is_none(), "all together have three");
        drop(first);
        assert!(quota.take(b).is_some());
    }
}
