//! Which chunks need not be stored again.

use std::{collections::HashSet, sync::Mutex};

use larder_protocol::{
    ids::ChunkId,
    index::ChunkKind,
    tree::{
        entry::{Content, Extent},
        read::{ExtentCursor, ReadError},
    },
};

use super::{
    BackupError,
    ledger::{Ledger, Ticket},
};
use crate::state::{State, index::PackNumber};

/// Chunks of earlier backups (by the index) and of this one (by memory).
pub(super) struct Known<'a> {
    state: &'a State,
    ledger: &'a Ledger,
    /// Chunks that this run has taken on; in the index once their pack is durable.
    taken: Mutex<HashSet<ChunkId>>,
    /// Packs of earlier backups, of any device, that this run relies on.
    relied_on: Mutex<HashSet<PackNumber>>,
    /// Found last: neighbours in a tree are in one chunk, and each of them is asked for.
    last: Mutex<Option<ChunkId>>,
}

impl<'a> Known<'a> {
    pub(super) fn new(state: &'a State, ledger: &'a Ledger) -> Self {
        let (taken, relied_on, last) = Default::default();
        Self { state, ledger, taken, relied_on, last }
    }

    /// Gives out a ticket exactly once for a chunk that has to be stored; the caller then stores it.
    pub(super) fn take(&self, id: ChunkId) -> Result<Option<Ticket>, BackupError> {
        if self.has(&id)? {
            return Ok(None);
        }
        let mut taken = self.taken.lock().expect("no code panics while holding this lock");
        // Under the lock: whoever finds the chunk taken may be sure that a commit waits for it.
        Ok(taken.insert(id).then(|| self.ledger.take_on()))
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

    /// The same, without asking again for the chunk that was found last.
    fn has_like_last(&self, id: ChunkId) -> Result<bool, BackupError> {
        let mut last = self.last.lock().expect("no code panics while holding this lock");
        if *last == Some(id) {
            return Ok(true);
        }
        let has = self.has(&id)?;
        *last = has.then_some(id);
        Ok(has)
    }

    /// Whether a file's whole content is in such packs: every node of its list, by `read`, and
    /// every chunk that they name.
    pub(super) fn has_all<E>(
        &self,
        content: &Content,
        bytes: u64,
        mut read: impl FnMut(ChunkId) -> Result<Vec<u8>, E>,
    ) -> Result<bool, BackupError> {
        let mut fetch = |id: ChunkId, _: ChunkKind| match self.has(&id) {
            Ok(true) => read(id).map_err(|_| None),
            Ok(false) => Err(None),
            Err(error) => Err(Some(error)),
        };
        let mut extents = ExtentCursor::new(content, bytes);
        loop {
            match extents.next_extent(&mut fetch) {
                Ok(None) => return Ok(true),
                Ok(Some(Extent::Chunk { chunk, .. } | Extent::Slice { chunk, .. })) => {
                    if !self.has_like_last(chunk)? {
                        return Ok(false);
                    }
                }
                Ok(Some(Extent::Hole { .. })) => {}
                Err(ReadError::Fetch(Some(error))) => return Err(error),
                // A list that cannot be read here is as good as none: the file is read.
                Err(_) => return Ok(false),
            }
        }
    }

    /// The packs of earlier backups that this run relies on.
    pub(super) fn relied_on(&self) -> Vec<PackNumber> {
        let set = self.relied_on.lock().expect("no code panics while holding this lock");
        set.iter().copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use larder_protocol::{
        ids::ShardRoot,
        index::{ChunkRecord, PackClass, PackRecord, ShardRef},
        keys::epoch::{ContentKey, EpochKey},
        tree::builder::ContentBuilder,
    };

    use super::*;
    use crate::state::index::Standing;

    fn pack(number: u8, class: PackClass, ids: &[ChunkId]) -> PackRecord {
        let kind = match class {
            PackClass::Data => ChunkKind::Data,
            PackClass::Metadata => ChunkKind::Extents,
        };
        let record = |id: &ChunkId| ChunkRecord { id: *id, kind, sealed_bytes: 99, plain_bytes: 9 };
        PackRecord {
            shard: ShardRef { root: ShardRoot::from_bytes([number; 32]), bytes: 16_384 },
            class,
            epoch: 1,
            salt: [number; 32],
            chunks: ids.iter().map(record).collect(),
        }
    }

    // HOME-5
    #[test]
    fn a_long_file_is_taken_from_the_cache_only_if_every_chunk_of_its_list_is_stored() {
        let home = tempfile::tempdir().unwrap();
        let state = State::open(home.path()).unwrap();
        let ledger = Ledger::default();
        let key = ContentKey::derive(&EpochKey::new(1, [7; 32]));
        let chunks: Vec<ChunkId> = (1..=20).map(|n| ChunkId::from_bytes([n; 32])).collect();
        let mut builder = ContentBuilder::new(&key);
        for chunk in &chunks {
            builder.push(Extent::Chunk { chunk: *chunk, bytes: 9 }).unwrap();
        }
        let content = builder.finish();
        let list = builder.next_chunk().unwrap();
        assert!(matches!(content, Content::Listed(id) if id == list.id));
        let has_all = || {
            let known = Known::new(&state, &ledger);
            let read = |id| if id == list.id { Ok(list.plain.clone()) } else { Err(()) };
            (known.has_all(&content, 180, read).unwrap(), known.relied_on().len())
        };
        assert!(!has_all().0);
        let add = |pack| state.add_packs(&[pack], Standing::Own).unwrap();
        add(pack(1, PackClass::Metadata, &[list.id]));
        // The run before was cut off: its list is stored, the second half of its chunks is not.
        add(pack(2, PackClass::Data, &chunks[..10]));
        assert!(!has_all().0);
        add(pack(3, PackClass::Data, &chunks[10..]));
        assert_eq!(has_all(), (true, 3), "and relies on all their packs");
        state.revoke(&ShardRoot::from_bytes([3; 32])).unwrap();
        assert!(!has_all().0, "they are nowhere any more");
    }
}
