//! Gathers pieces of many files and sorts them by pack and place, so that each pack is asked for
//! once and read in order, however the files lie.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use larder_protocol::{
    ids::ChunkId,
    index::{ChunkKind, Location, PackRecord},
};

use super::{
    RestoreError,
    entries::File,
    error::one_line,
    run::{Lack, Run},
};
use crate::{engine::EngineError, state::index::PackNumber};

/// Pieces in one window: a few hundred bytes each with their files.
const PIECES_MAX: usize = if cfg!(test) { 16 } else { 4096 };
/// Bytes of files in one window: several packs, so that they come from several holders at once.
const BYTES_MAX: u64 = if cfg!(test) { 3 << 20 } else { 256 << 20 };
/// Descriptions of packs that are remembered: a window ends within a pack, the next goes on there.
const RECORDS_MAX: usize = 4;

/// Where some bytes of a chunk belong.
#[derive(Debug)]
pub(super) struct Piece {
    pub(super) file: Arc<File>,
    /// First byte in the file.
    pub(super) at: u64,
    /// First byte in the chunk's plaintext.
    pub(super) from: u32,
    pub(super) bytes: u32,
}

/// A chunk and everything that is made of it.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) location: Location,
    pub(super) pieces: Vec<Piece>,
}

/// What is wanted of one pack, in the order of its chunks.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) pack: PackNumber,
    pub(super) wanted: Vec<Wanted>,
}

/// Pieces on their way.
#[derive(Debug, Default)]
pub(super) struct Window {
    pieces: Vec<(ChunkId, Piece)>,
    bytes: u64,
    records: VecDeque<(PackNumber, Arc<PackRecord>)>,
}

impl Window {
    /// Adds a piece of a file, which waits for it from now on.
    pub(super) fn add(&mut self, chunk: ChunkId, piece: Piece) {
        piece.file.hold();
        self.bytes += u64::from(piece.bytes);
        self.pieces.push((chunk, piece));
    }

    /// Whether it is time to send it off.
    pub(super) fn is_full(&self) -> bool {
        self.pieces.len() >= PIECES_MAX || self.bytes >= BYTES_MAX
    }

    /// Sorts everything by pack and place. Files with chunks that the index does not know are
    /// given up.
    pub(super) fn take(&mut self, run: &Run<'_>) -> Result<Vec<Group>, RestoreError> {
        let mut by_pack: BTreeMap<PackNumber, BTreeMap<u32, (ChunkId, Vec<Piece>)>> =
            BTreeMap::new();
        self.bytes = 0;
        for (chunk, piece) in std::mem::take(&mut self.pieces) {
            match run.core.state.place_of(&chunk)? {
                Some((pack, position)) => {
                    let places = by_pack.entry(pack).or_default();
                    let (_, pieces) = places.entry(position).or_insert_with(|| (chunk, Vec::new()));
                    pieces.push(piece);
                }
                None => unknown(run, chunk, vec![piece])?,
            }
        }
        let mut groups = Vec::with_capacity(by_pack.len());
        for (pack, places) in by_pack {
            let wanted = self.located(run, pack, places)?;
            if !wanted.is_empty() {
                groups.push(Group { pack, wanted });
            }
        }
        Ok(groups)
    }

    fn located(
        &mut self,
        run: &Run<'_>,
        pack: PackNumber,
        mut places: BTreeMap<u32, (ChunkId, Vec<Piece>)>,
    ) -> Result<Vec<Wanted>, RestoreError> {
        let mut wanted = Vec::with_capacity(places.len());
        if let Some(record) = self.record(run, pack)? {
            for location in record.locations() {
                let Some((chunk, pieces)) = places.remove(&location.position) else { continue };
                // The name that the tree asks for, not the one that the index has there.
                if location.record.id == chunk && location.record.kind == ChunkKind::Data {
                    wanted.push(Wanted { location, pieces });
                } else {
                    unknown(run, chunk, pieces)?;
                }
            }
        }
        for (chunk, pieces) in places.into_values() {
            unknown(run, chunk, pieces)?;
        }
        Ok(wanted)
    }

    fn record(
        &mut self,
        run: &Run<'_>,
        pack: PackNumber,
    ) -> Result<Option<Arc<PackRecord>>, RestoreError> {
        if let Some((_, record)) = self.records.iter().find(|(number, _)| *number == pack) {
            return Ok(Some(Arc::clone(record)));
        }
        let Some(record) = run.core.state.pack(pack)? else { return Ok(None) };
        let record = Arc::new(record);
        self.records.truncate(RECORDS_MAX - 1);
        self.records.push_front((pack, Arc::clone(&record)));
        Ok(Some(record))
    }
}

fn unknown(run: &Run<'_>, chunk: ChunkId, pieces: Vec<Piece>) -> Result<(), RestoreError> {
    let lack = Lack::Said(one_line(&EngineError::UnknownChunk(chunk)));
    for piece in pieces {
        run.give_up(&piece.file, &lack)?;
        run.release(&piece.file)?;
    }
    Ok(())
}
