//! Which chunks need not be stored again.

use std::{collections::HashSet, sync::Mutex};

use larder_protocol::ids::ChunkId;

use super::BackupError;
use crate::state::{State, index::PackNumber};

/// Chunks of earlier backups (by the index) and of this one (by memory).
pub(super) struct Known<'a> {
    state: &'a State,
    /// Chunks that this run has taken on; in the index once their pack is durable.
    taken: Mutex<HashSet<ChunkId>>,
    /// Packs of earlier backups, of any device, that this run relies on.
    relied_on: Mutex<HashSet<PackNumber>>,
}

impl<'a> Known<'a> {
    pub(super) fn new(state: &'a State) -> Self {
        Self { state, taken: Mutex::default(), relied_on: Mutex::default() }
    }

    /// True exactly once for a chunk that has to be stored; the caller then stores it.
    pub(super) fn take(&self, id: ChunkId) -> Result<bool, BackupError> {
        if self.has(&id)? {
            return Ok(false);
        }
        Ok(self.taken.lock().expect("no code panics while holding this lock").insert(id))
    }

    /// Whether a chunk is in a pack that a new backup may rely on, or on its way into one.
    pub(super) fn has(&self, id: &ChunkId) -> Result<bool, BackupError> {
        if self.taken.lock().expect("no code panics while holding this lock").contains(id) {
            return Ok(true);
        }
        let Some(pack) = self.state.usable_pack_of(id)? else { return Ok(false) };
        self.relied_on.lock().expect("no code panics while holding this lock").insert(pack);
        Ok(true)
    }

    /// The packs of earlier backups that this run relies on.
    pub(super) fn relied_on(&self) -> Vec<PackNumber> {
        let set = self.relied_on.lock().expect("no code panics while holding this lock");
        set.iter().copied().collect()
    }
}
