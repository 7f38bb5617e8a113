//! `cat`: the bytes of one file.

use std::sync::Arc;

use larder_protocol::{
    ids::ChunkId,
    index::ChunkKind,
    tree::{
        entry::{Extent, Kind},
        read::ExtentCursor,
    },
};

use super::{
    super::{ChunkSource, Core},
    in_background,
    tree::{SnapshotTree, kind, unreadable},
};
use crate::command::{
    CatOutcome, EntryKind, Event, EventSink, Failure, Outcome, RawPath, SnapshotName,
};

/// Longest piece of one event.
const PIECE_BYTES_MAX: usize = 256 * 1024;

/// Streams a file; holes as zeros.
pub(crate) async fn cat(
    core: &Arc<Core>,
    snapshot: SnapshotName,
    path: RawPath,
    events: &EventSink,
) -> Result<Outcome, Failure> {
    core.member()?;
    in_background(core, events, move |core, events| {
        let (tree, origin) = SnapshotTree::open(core, &snapshot, events)?;
        let (_, entry) = tree.find(&path)?;
        let Kind::File { bytes, content } = &entry.kind else {
            let shown = path.as_path().display();
            let what = match kind(&entry.kind) {
                EntryKind::Directory => "a directory: `larder ls` shows it",
                EntryKind::Symlink => "a symlink: `larder ls` shows where it points",
                _ => "no regular file",
            };
            return Err(Failure::failed(format!("`{shown}` is {what}")));
        };
        let mut reading = Reading { source: &tree.source, last: None, events };
        let mut cursor = ExtentCursor::new(content, *bytes);
        let mut fetch = tree.fetch();
        while let Some(extent) = cursor.next_extent(&mut fetch).map_err(unreadable)? {
            reading.send(&extent)?;
        }
        let snapshot = tree.summary.id.to_string();
        Ok(Outcome::Cat(CatOutcome { snapshot, origin, bytes: *bytes }))
    })
    .await
}

/// Extents on their way out.
struct Reading<'a> {
    source: &'a ChunkSource,
    /// The chunk opened last: slices of one bundle may follow each other.
    last: Option<(ChunkId, Vec<u8>)>,
    events: &'a EventSink,
}

impl Reading<'_> {
    fn send(&mut self, extent: &Extent) -> Result<(), Failure> {
        match extent {
            Extent::Hole { bytes } => {
                let mut left = *bytes;
                while left > 0 {
                    let most = usize::try_from(left).unwrap_or(usize::MAX).min(PIECE_BYTES_MAX);
                    self.events.blocking_send(Event::Bytes(vec![0; most]))?;
                    left -= u64::try_from(most).expect("a length in memory fits 64 bits");
                }
                Ok(())
            }
            Extent::Chunk { chunk, bytes } => self.send_part(*chunk, 0, *bytes, true),
            Extent::Slice { chunk, offset, bytes, .. } => {
                self.send_part(*chunk, *offset, *bytes, false)
            }
        }
    }

    fn send_part(
        &mut self,
        chunk: ChunkId,
        offset: u32,
        bytes: u32,
        whole: bool,
    ) -> Result<(), Failure> {
        if self.last.as_ref().is_none_or(|(last, _)| *last != chunk) {
            self.last = Some((chunk, self.source.chunk(chunk, ChunkKind::Data)?));
        }
        let plain = self.last.as_ref().map(|(_, plain)| plain.as_slice()).unwrap_or_default();
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let length = usize::try_from(bytes).unwrap_or(usize::MAX);
        let part = plain.get(start..start.saturating_add(length));
        let part = part.filter(|part| !whole || part.len() == plain.len()).ok_or_else(|| {
            Failure::failed("the snapshot names bytes that its chunk does not have")
                .hint("an older snapshot may have the file whole: see `larder find`")
        })?;
        for piece in part.chunks(PIECE_BYTES_MAX) {
            self.events.blocking_send(Event::Bytes(piece.to_vec()))?;
        }
        Ok(())
    }
}
