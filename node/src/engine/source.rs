//! Reads chunks: from this device's own depot if the pack is here, else from holders.
//!
//! Metadata packs are fetched whole and kept, so browsing is quick the second time; of data packs
//! only the needed ranges are fetched. A restore drill has all of it come from holders.

use std::sync::Arc;

use larder_protocol::{
    ids::ChunkId,
    index::{ChunkKind, Location, PackClass, PackRecord, ShardRef},
};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::{
    Core, EngineError, Member,
    clock::wall,
    fetcher::{Fetcher, Want},
};
use crate::{
    command::EventSink,
    depot::{DepotError, Origin, ShardState, Tenure},
    state::index::Standing,
};

/// A reader of chunks for code that may block.
#[derive(Debug, Clone)]
pub(crate) struct ChunkSource {
    core: Arc<Core>,
    member: Arc<Member>,
    fetcher: Fetcher,
    /// Whether what is here is read, and what was fetched kept.
    uses_depot: bool,
    runtime: Handle,
    /// Ends waiting for holders.
    stop: CancellationToken,
}

impl ChunkSource {
    /// To be made on a thread of the runtime, to be used on one that may block.
    pub(crate) fn new(core: &Arc<Core>, member: &Arc<Member>) -> Self {
        let (core, member, runtime) = (Arc::clone(core), Arc::clone(member), Handle::current());
        let (fetcher, stop) = (member.fetcher.clone(), CancellationToken::new());
        Self { core, member, fetcher, uses_depot: true, runtime, stop }
    }

    /// The same, which waits for nobody any more once whoever asked wants no more.
    pub(crate) fn until(self, events: &EventSink) -> Self {
        Self { stop: events.token().clone(), ..self }
    }

    /// The same as if nothing were here: everything comes from holders by way of `fetcher`.
    pub(crate) fn without_depot(self, fetcher: Fetcher) -> Self {
        Self { fetcher, uses_depot: false, ..self }
    }

    /// The plaintext of a chunk, verified.
    pub(crate) fn chunk(&self, id: ChunkId, kind: ChunkKind) -> Result<Vec<u8>, EngineError> {
        let mut places = self.core.state.locations(&id)?;
        places.retain(|place| place.record.kind == kind);
        let here = |place| chunk_here(&self.core, &self.member, place).ok();
        if self.uses_depot
            && let Some(plain) = places.iter().find_map(here)
        {
            return Ok(plain);
        }
        // A pack of another device may not hold what that device says: then the next one is tried.
        let mut failed = None;
        for place in &places {
            match self.chunk_at(place) {
                Ok(plain) => return Ok(plain),
                Err(error @ (EngineError::Interrupted | EngineError::Stopped)) => {
                    return Err(error);
                }
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        Err(failed.unwrap_or(EngineError::UnknownChunk(id)))
    }

    /// The same when its place is known.
    pub(crate) fn chunk_at(&self, location: &Location) -> Result<Vec<u8>, EngineError> {
        if !self.uses_depot {
            return self.fetched(location);
        }
        match chunk_here(&self.core, &self.member, location) {
            Err(error) if is_absence(&error) => self.fetched(location),
            read => read,
        }
    }

    /// What a metadata pack holds by its own footer, kept in the index; `None` when its bytes are not
    /// here.
    pub(crate) fn record_of(&self, shard: ShardRef) -> Result<Option<PackRecord>, EngineError> {
        let read = self.core.depot.read_range(&shard.root, 0..shard.bytes);
        let Ok(bytes) = read else { return Ok(None) };
        let record = self.member.opening().record(shard, &bytes)?;
        self.core.state.add_packs(std::slice::from_ref(&record), Standing::Known)?;
        Ok(Some(record))
    }

    fn fetched(&self, location: &Location) -> Result<Vec<u8>, EngineError> {
        let shard = location.shard;
        let is_metadata = location.record.kind.class() == PackClass::Metadata;
        let needed = range_of(location);
        // Browsing goes on where a metadata pack was met.
        let is_kept = is_metadata && self.uses_depot;
        let wanted = if is_kept { 0..shard.bytes } else { needed.clone() };
        let want = Want {
            shard,
            ranges: std::iter::once(wanted).collect(),
            priority: u8::from(!is_metadata),
            from: Vec::new(),
        };
        let partial = self.runtime.block_on(async {
            tokio::select! {
                fetched = self.fetcher.fetch(want) => fetched,
                () = self.stop.cancelled() => Err(EngineError::Interrupted),
            }
        })?;
        let plain = self.member.opening().chunk(location, &partial.read(needed)?)?;
        if is_kept {
            let stored = wall();
            let adopted = self.core.depot.adopt(
                &partial,
                Tenure {
                    vault: self.member.vault,
                    class: PackClass::Metadata,
                    origin: Origin::Own,
                    stored,
                    keep_until: stored,
                },
            );
            // The chunk is here: a full disk costs fetching it again, not the reading.
            if let Err(error) = adopted {
                warn!("pack {} was fetched and could not be kept: {error}", shard.root.short());
            }
        }
        Ok(plain)
    }
}

/// The plaintext of a chunk whose pack is in this device's depot.
pub(crate) fn chunk_here(
    core: &Core,
    member: &Member,
    location: &Location,
) -> Result<Vec<u8>, EngineError> {
    let root = location.shard.root;
    let row = core.depot.row(&root, &member.vault)?;
    if row.is_none_or(|row| row.state != ShardState::Ok) {
        return Err(EngineError::Lost(root));
    }
    let sealed = core.depot.read_range(&root, range_of(location))?;
    member.opening().chunk(location, &sealed)
}

/// The bytes of the sealed chunk within its pack.
pub(crate) fn range_of(location: &Location) -> std::ops::Range<u64> {
    let start = u64::from(location.offset);
    start..start + u64::from(location.record.sealed_bytes)
}

/// Whether an error only says that the bytes cannot be had here. A disk with a bad sector is such:
/// holders have the same bytes.
pub(crate) fn is_absence(error: &EngineError) -> bool {
    use super::error::HostError;
    matches!(
        error,
        EngineError::Lost(_)
            | EngineError::Host(HostError::Depot(
                DepotError::Unknown(_)
                    | DepotError::Missing(_)
                    | DepotError::Corrupt(_)
                    | DepotError::Disk { .. }
            ))
    )
}
