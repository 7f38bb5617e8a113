//! Opens what packs hold, for whoever has the keys of a vault: one of its devices, or its phrase.

use std::sync::Arc;

use larder_protocol::{
    ids::VaultId,
    index::{ChunkKind, Location, PackRecord, ShardRef},
    keys::epoch::ContentKey,
    manifest::Manifest,
    pack::reader::{PackReader, open_chunk, open_header},
};

use super::{EngineError, Keyring, Member, source::range_of};

/// The keys to what a vault has stored.
#[derive(Debug)]
pub(super) struct Opening<'a> {
    pub(super) vault: VaultId,
    pub(super) keyring: Arc<Keyring>,
    pub(super) content: &'a ContentKey,
}

impl Member {
    /// This device's keys.
    pub(super) fn opening(&self) -> Opening<'_> {
        Opening { vault: self.vault, keyring: self.keyring(), content: &self.content }
    }
}

impl Opening<'_> {
    /// What a pack holds by its own footer.
    pub(super) fn record(&self, shard: ShardRef, bytes: &[u8]) -> Result<PackRecord, EngineError> {
        let number = open_header(bytes)?.epoch;
        let read = |epoch: &_| PackReader::read_record(bytes, shard, epoch, self.vault);
        self.keyring.open(number, read)
    }

    /// A sealed chunk: seal, length and name are checked.
    pub(super) fn chunk(&self, location: &Location, sealed: &[u8]) -> Result<Vec<u8>, EngineError> {
        let open = |epoch: &_| open_chunk(location, sealed, epoch, self.vault, self.content);
        self.keyring.open(location.epoch, open)
    }

    /// The manifest in the bytes of a commit pack, and what else the pack holds.
    pub(super) fn manifest(
        &self,
        shard: ShardRef,
        bytes: &[u8],
    ) -> Result<(Manifest, PackRecord), EngineError> {
        let record = self.record(shard, bytes)?;
        // The manifest comes first; whatever else the pack holds is none.
        let location = record
            .location(0)
            .filter(|location| location.record.kind == ChunkKind::Manifest)
            .ok_or(EngineError::Lost(shard.root))?;
        let range = range_of(&location);
        let start = usize::try_from(range.start).unwrap_or(usize::MAX);
        let end = usize::try_from(range.end).unwrap_or(usize::MAX);
        let sealed = bytes.get(start..end).ok_or(EngineError::Lost(shard.root))?;
        let plain = self.chunk(&location, sealed)?;
        Ok((Manifest::decode(&plain)?, record))
    }
}
