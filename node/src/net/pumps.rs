//! Bytes between the network (async) and the disk (blocking): one thread for each transfer, a
//! short bounded queue between, so that neither side waits long and memory stays small.

use std::{
    io::{self, Write},
    ops::Range,
    sync::Arc,
};

use bao_tree::{ChunkRanges, io::BaoContentItem};
use bytes::{BufMut, Bytes, BytesMut};
use larder_protocol::{ids::ShardRoot, index::ShardRef};
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
};

use super::tuning::{GROUPS, PIECE_BYTES, PIECES};
use crate::depot::{Depot, DepotError, EncodeFault, PartialShard, Shard, Tenure};

/// Reads a whole shard, verified, piece by piece. The queue ends early when a read fails.
pub(super) fn read_shard(
    shard: Shard,
) -> (mpsc::Receiver<Bytes>, JoinHandle<Result<(), DepotError>>) {
    let (pieces, queue) = mpsc::channel(PIECES);
    let step = u64::try_from(PIECE_BYTES).expect("a small constant");
    let thread = tokio::task::spawn_blocking(move || {
        let mut start = 0;
        while start < shard.shard().bytes {
            let end = (start + step).min(shard.shard().bytes);
            let piece = shard.read_range(start..end)?;
            if pieces.blocking_send(piece.into()).is_err() {
                break;
            }
            start = end;
        }
        Ok(())
    });
    (queue, thread)
}

/// What goes to the thread that writes an upload.
pub(super) enum Upload {
    Piece(Bytes),
    /// All bytes were sent: make them durable. Without this the upload was broken off.
    End,
}

/// Writes an upload. The result is `None` when it was broken off; then nothing is left of it.
pub(super) type Written = JoinHandle<Result<Option<ShardRef>, DepotError>>;

/// Starts writing one shard. The last channel says when there is room: until then no piece should
/// be asked for; it closes without a word when there is none.
pub(super) fn write_shard(
    depot: Depot,
    shard: ShardRef,
    tenure: Tenure,
) -> (mpsc::Sender<Upload>, Written, oneshot::Receiver<()>) {
    let (sender, mut queue) = mpsc::channel(PIECES);
    let (ready, waiting) = oneshot::channel();
    let thread = tokio::task::spawn_blocking(move || {
        let mut writer = depot.writer(shard)?;
        // Who asked may be gone: then the queue is closed as well.
        let _ = ready.send(());
        while let Some(step) = queue.blocking_recv() {
            match step {
                Upload::Piece(bytes) => writer.write(&bytes)?,
                Upload::End => return writer.finish(tenure).map(Some),
            }
        }
        Ok(None)
    });
    (sender, thread, waiting)
}

/// Encodes ranges of a shard for a peer: the length, then groups with their proof.
pub(super) fn encode_shard(
    depot: Depot,
    root: ShardRoot,
    ranges: ChunkRanges,
) -> (mpsc::Receiver<Bytes>, JoinHandle<Result<(), EncodeFault>>) {
    let (pieces, queue) = mpsc::channel(PIECES);
    let thread = tokio::task::spawn_blocking(move || {
        let shard = depot.open_shard(&root).map_err(|error| match error {
            DepotError::Corrupt(_) => EncodeFault::Corrupt,
            DepotError::Missing(_) => EncodeFault::Missing,
            other => EncodeFault::Disk(other),
        })?;
        let mut sink = Pieces { pieces, gathered: BytesMut::with_capacity(PIECE_BYTES) };
        sink.gathered.put_u64_le(shard.shard().bytes);
        shard.encode(&ranges, &mut sink)?;
        sink.flush().map_err(|_| EncodeFault::Sink)
    });
    (queue, thread)
}

/// Gathers small writes into pieces.
struct Pieces {
    pieces: mpsc::Sender<Bytes>,
    gathered: BytesMut,
}

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.gathered.len() + bytes.len() > PIECE_BYTES {
            self.flush()?;
        }
        self.gathered.put_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.gathered.is_empty() {
            return Ok(());
        }
        let piece = self.gathered.split().freeze();
        self.gathered.reserve(PIECE_BYTES);
        let sent = self.pieces.blocking_send(piece);
        sent.map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))
    }
}

/// Writes verified items into a partial shard, telling `progress` of every range that is there.
pub(super) fn write_partial(
    partial: Arc<PartialShard>,
    mut progress: impl FnMut(Range<u64>) + Send + 'static,
) -> (mpsc::Sender<BaoContentItem>, JoinHandle<Result<(), DepotError>>) {
    let (sender, mut queue) = mpsc::channel::<BaoContentItem>(GROUPS);
    let thread = tokio::task::spawn_blocking(move || {
        while let Some(item) = queue.blocking_recv() {
            let added = partial.write(&item)?;
            if !added.is_empty() {
                progress(added);
            }
        }
        Ok(())
    });
    (sender, thread)
}
