//! Reads parts of files from holders and compares them.

use std::{collections::BTreeMap, ops::Range, sync::Arc};

use larder_protocol::{
    ids::ChunkId,
    index::ChunkKind,
    snapshot::Snapshot,
    tree::{
        entry::{Entry, Extent, Kind},
        read::{ExtentCursor, ReadError, lookup},
    },
};

use super::{Drawn, Drill, live::LiveFile, reach::Reached};
use crate::{
    command::{DrillFailure, Failure},
    engine::{ChunkSource, Core, EngineError, Member, restore::one_line},
};

/// Nodes of trees that are remembered: the parts of one folder have most of their way in common.
const NODES_MAX: usize = 128;
/// Zeros that are compared at once.
const HOLE_BYTES_MAX: u64 = 256 * 1024;

/// Why a part could not be read, or the whole drill not go on.
#[derive(Debug)]
pub(super) enum Ended {
    /// This file is not as it should be.
    Failed(DrillFailure, String),
    /// Interrupted, or something of this device is broken.
    Stopped(Failure),
}

impl Ended {
    /// What an error of reading one chunk means.
    pub(super) fn of(core: &Arc<Core>, reached: &mut Reached, error: EngineError) -> Self {
        match error {
            EngineError::NoHolder(root) => {
                let member = core.member();
                let told = member.and_then(|member| reached.lack(core, &member.vault, &root));
                match told {
                    Ok((why, what)) => Self::Failed(why, what),
                    Err(error) => Self::Stopped(error.into()),
                }
            }
            EngineError::UnknownChunk(_)
            | EngineError::UnknownEpoch(_)
            | EngineError::Lost(_)
            | EngineError::Record(_) => Self::Failed(DrillFailure::Lost, one_line(&error)),
            error => Self::Stopped(error.into()),
        }
    }

    /// What an error of reading a tree means.
    pub(super) fn unread(
        core: &Arc<Core>,
        reached: &mut Reached,
        error: ReadError<EngineError>,
    ) -> Self {
        match error {
            ReadError::Fetch(error) => Self::of(core, reached, error),
            error => Self::Failed(DrillFailure::Lost, one_line(&error)),
        }
    }
}

/// Reads one part after the other.
pub(super) struct Reading {
    core: Arc<Core>,
    member: Arc<Member>,
    chunks: Chunks,
}

/// Chunks from holders.
struct Chunks {
    core: Arc<Core>,
    source: ChunkSource,
    reached: Reached,
    nodes: BTreeMap<ChunkId, Vec<u8>>,
    /// The chunk of data read last: slices of one bundle may follow each other.
    last: Option<(ChunkId, Vec<u8>)>,
}

impl Chunks {
    fn get(&mut self, id: ChunkId, kind: ChunkKind) -> Result<Vec<u8>, EngineError> {
        if let Some(node) = self.nodes.get(&id) {
            return Ok(node.clone());
        }
        let places = self.core.state.locations(&id)?;
        let mut in_vain = None;
        for place in &places {
            let root = place.shard.root;
            if !self.reached.is_in_vain(&self.core, &root)? {
                in_vain = None;
                break;
            }
            in_vain = in_vain.or(Some(root));
        }
        if let Some(root) = in_vain {
            return Err(EngineError::NoHolder(root));
        }
        let plain = self.source.chunk(id, kind)?;
        if kind != ChunkKind::Data {
            if self.nodes.len() >= NODES_MAX {
                self.nodes.clear();
            }
            self.nodes.insert(id, plain.clone());
        }
        Ok(plain)
    }

    fn data(&mut self, id: ChunkId) -> Result<&[u8], EngineError> {
        if self.last.as_ref().is_none_or(|(last, _)| *last != id) {
            self.last = Some((id, self.get(id, ChunkKind::Data)?));
        }
        Ok(self.last.as_ref().map(|(_, plain)| plain.as_slice()).unwrap_or_default())
    }
}

impl Reading {
    pub(super) fn new(drill: &Drill) -> Self {
        Self {
            core: Arc::clone(&drill.core),
            member: Arc::clone(&drill.member),
            chunks: Chunks {
                core: Arc::clone(&drill.core),
                source: drill.from_holders.clone(),
                reached: drill.reached.clone(),
                nodes: BTreeMap::new(),
                last: None,
            },
        }
    }

    /// Reads a part of a file. Whether it was compared with the file that stands here.
    pub(super) fn part(&mut self, file: &Drawn, range: &Range<u64>) -> Result<bool, Ended> {
        let entry = self.entry(file)?;
        if entry != file.entry {
            let what = "its holders describe it otherwise than this device".to_owned();
            return Err(Ended::Failed(DrillFailure::Lost, what));
        }
        let Kind::File { bytes, content } = &entry.kind else { return Ok(false) };
        let is_own = file.summary.device == self.member.keys.id();
        let modified = entry.attributes.modified;
        let open = || LiveFile::open(&file.whole_path(), *bytes, modified);
        let mut live = if is_own { open() } else { None };
        let mut differs = false;
        let mut extents = ExtentCursor::new(content, *bytes);
        let sought = extents.seek(range.start, &mut |id, kind| self.chunks.get(id, kind));
        let mut at = sought.map_err(|error| self.unread(error))?;
        while at < range.end {
            let next = extents.next_extent(&mut |id, kind| self.chunks.get(id, kind));
            let extent = match next {
                Ok(Some(extent)) => extent,
                Ok(None) => return Err(short()),
                Err(error) => return Err(self.unread(error)),
            };
            let end = at.saturating_add(extent.bytes());
            let wanted = range.start.max(at)..range.end.min(end);
            if wanted.start < wanted.end {
                match self.extent(&extent, at, &wanted, live.as_ref())? {
                    Some(is_same) => differs |= !is_same,
                    None => live = None,
                }
            }
            at = end;
        }
        // Who writes to it while it is read has not broken anything.
        match live.filter(LiveFile::is_unchanged) {
            Some(_) if differs => {
                let what = "what came back is what was backed up, but not what stands here, though \
                    length and time are the same";
                Err(Ended::Failed(DrillFailure::Differs, what.to_owned()))
            }
            live => Ok(live.is_some()),
        }
    }

    /// The entry of a file, by what holders have of the snapshot.
    fn entry(&mut self, file: &Drawn) -> Result<Entry, Ended> {
        let read = self.chunks.get(file.summary.id, ChunkKind::Snapshot);
        let snapshot = read.and_then(|plain| Ok(Snapshot::decode(&plain)?));
        let snapshot = snapshot.map_err(|error| self.lacking(error))?;
        let Kind::Directory { node } = snapshot.root.kind else { return Ok(snapshot.root) };
        let found = lookup(node, &file.path, &mut |id, kind| self.chunks.get(id, kind));
        match found {
            Ok(Some(entry)) => Ok(entry),
            Ok(None) => Err(short()),
            Err(error) => Err(self.unread(error)),
        }
    }

    /// Reads one extent and compares the wanted bytes of it with the file here: whether they are the
    /// same, `None` where that cannot be told.
    fn extent(
        &mut self,
        extent: &Extent,
        at: u64,
        wanted: &Range<u64>,
        live: Option<&LiveFile>,
    ) -> Result<Option<bool>, Ended> {
        let (chunk, offset, bytes, digest) = match extent {
            Extent::Hole { .. } => return Ok(live.and_then(|live| is_hole(live, wanted))),
            Extent::Chunk { chunk, bytes } => (*chunk, 0, *bytes, None),
            Extent::Slice { chunk, offset, bytes, digest } => {
                (*chunk, *offset, *bytes, Some(*digest))
            }
        };
        let member = Arc::clone(&self.member);
        let plain = match self.chunks.data(chunk) {
            Ok(plain) => plain,
            Err(error) => return Err(self.lacking(error)),
        };
        let part = slice(plain, u64::from(offset), u64::from(bytes)).ok_or_else(short)?;
        let is_right = match digest {
            None => part.len() == plain.len(),
            Some(digest) => member.content.slice_digest(part) == digest,
        };
        if !is_right {
            return Err(short());
        }
        let here = slice(part, wanted.start - at, wanted.end - wanted.start).ok_or_else(short)?;
        Ok(live.and_then(|live| live.has(wanted.start, here)))
    }

    fn lacking(&mut self, error: EngineError) -> Ended {
        Ended::of(&self.core, &mut self.chunks.reached, error)
    }

    fn unread(&mut self, error: ReadError<EngineError>) -> Ended {
        Ended::unread(&self.core, &mut self.chunks.reached, error)
    }
}

fn is_hole(live: &LiveFile, wanted: &Range<u64>) -> Option<bool> {
    let mut at = wanted.start;
    while at < wanted.end {
        let bytes = (wanted.end - at).min(HOLE_BYTES_MAX);
        let zeros = vec![0; usize::try_from(bytes).ok()?];
        if !live.has(at, &zeros)? {
            return Some(false);
        }
        at += bytes;
    }
    Some(true)
}

fn short() -> Ended {
    let what = "its snapshot and its chunks do not belong together".to_owned();
    Ended::Failed(DrillFailure::Lost, what)
}

fn slice(bytes: &[u8], start: u64, length: u64) -> Option<&[u8]> {
    let start = usize::try_from(start).ok()?;
    bytes.get(start..start.checked_add(usize::try_from(length).ok()?)?)
}
