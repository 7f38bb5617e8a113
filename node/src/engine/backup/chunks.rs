//! Turns plaintext into stored chunks: name it, see whether it is known, compress, pack.

use std::sync::atomic::{AtomicU64, Ordering};

use larder_protocol::{
    chunk::codec::Compressor,
    ids::ChunkId,
    index::{ChunkKind, PackClass},
    keys::epoch::ContentKey,
    pack::Verifier,
    tree::builder::NewChunk,
};

use super::{
    BackupError,
    known::Known,
    ledger::{Ledger, Ticket},
    packer::{Packable, Packer},
};

/// What one thread needs to make chunks; reused from chunk to chunk.
pub(super) struct Tools {
    compressor: Compressor,
    verifier: Verifier,
}

impl Tools {
    pub(super) fn new(level: i32) -> Self {
        Self { compressor: Compressor::new(level), verifier: Verifier::new() }
    }
}

/// The way of every chunk into a pack; shared by all threads of one backup.
pub(super) struct ChunkStore<'a> {
    pub(super) content: &'a ContentKey,
    pub(super) ledger: &'a Ledger,
    pub(super) known: Known<'a>,
    pub(super) data: Packer<'a>,
    pub(super) metadata: Packer<'a>,
    /// Plaintext bytes of chunks that had to be stored.
    pub(super) new_bytes: AtomicU64,
}

impl ChunkStore<'_> {
    /// Stores a chunk unless it is known, and returns its name either way.
    pub(super) fn put(
        &self,
        tools: &mut Tools,
        kind: ChunkKind,
        plain: &[u8],
    ) -> Result<ChunkId, BackupError> {
        let id = self.content.chunk_id(kind, plain);
        self.put_as(tools, id, kind, plain)?;
        Ok(id)
    }

    /// Stores a chunk whose name was worked out already.
    pub(super) fn put_named(&self, tools: &mut Tools, chunk: &NewChunk) -> Result<(), BackupError> {
        self.put_as(tools, chunk.id, chunk.kind, &chunk.plain)
    }

    /// Waits until every chunk that was put so far is in a durable pack; `check` ends the wait.
    pub(super) fn settle(
        &self,
        check: impl Fn() -> Result<(), BackupError>,
    ) -> Result<(), BackupError> {
        let flush = || {
            self.data.flush()?;
            self.metadata.flush()
        };
        self.ledger.settle_all(flush, check)
    }

    fn put_as(
        &self,
        tools: &mut Tools,
        id: ChunkId,
        kind: ChunkKind,
        plain: &[u8],
    ) -> Result<(), BackupError> {
        let Some(ticket) = self.known.take(id)? else { return Ok(()) };
        let stored = self.store(tools, (id, &ticket), kind, plain);
        if stored.is_err() {
            // Others rely on this chunk already.
            self.ledger.close();
        }
        stored
    }

    fn store(
        &self,
        tools: &mut Tools,
        (id, ticket): (ChunkId, &Ticket),
        kind: ChunkKind,
        plain: &[u8],
    ) -> Result<(), BackupError> {
        let frame = tools.compressor.compress(plain);
        let packer = match kind.class() {
            PackClass::Data => &self.data,
            PackClass::Metadata => &self.metadata,
        };
        packer.add(Packable { id, kind, plain, frame, ticket }, &mut tools.verifier)?;
        let bytes = u64::try_from(plain.len()).unwrap_or(u64::MAX);
        self.new_bytes.fetch_add(bytes, Ordering::Relaxed);
        Ok(())
    }
}
