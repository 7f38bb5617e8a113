//! Gets the needed parts of packs: from this device's own depot, else from holders.
//!
//! Several of these run at once, so that shards stream from several holders in parallel while
//! others are written. What they hand on is bounded by the queue to the writers.

use std::{ops::Range, sync::Arc};

use crossbeam_channel::{Receiver, Sender};
use larder_protocol::{index::ShardRef, limits::GROUP_BYTES};

use super::{
    RestoreError,
    entries::File,
    run::{Lack, Run},
    window::{Group, Wanted},
};
use crate::{
    depot::{DepotError, PartialShard, Shard, ShardState},
    engine::{EngineError, fetcher::Want, source::range_of},
    state::index::PackNumber,
};

/// Ranges of one shard closer than this are fetched as one: asking costs more than the gap.
const GAP_BYTES_MAX: u64 = 128 * 1024;
/// What a writer reads and opens at once, unless one chunk alone is longer.
const RUN_BYTES_MAX: u64 = 1024 * 1024;

/// A pack, open for reading.
#[derive(Debug)]
pub(super) struct Pack {
    pub(super) number: PackNumber,
    shard: ShardRef,
    bytes: Bytes,
}

#[derive(Debug)]
enum Bytes {
    Here(Shard),
    Fetched(Arc<PartialShard>),
}

/// Work for a writer.
pub(super) enum Job {
    /// Chunks that lie close together in a pack.
    Chunks(Arc<Pack>, Vec<Wanted>),
    /// A file without a byte to write.
    Bare(Arc<File>),
}

/// Gets one group after the other and cuts it up for the writers.
pub(super) fn get_packs(
    run: &Run<'_>,
    groups: &Receiver<Group>,
    jobs: &Sender<Job>,
) -> Result<(), RestoreError> {
    for group in groups {
        run.check()?;
        match Pack::get(run, &group) {
            Ok(pack) => {
                let pack = Arc::new(pack);
                for wanted in runs(group.wanted) {
                    let job = Job::Chunks(Arc::clone(&pack), wanted);
                    jobs.send(job).map_err(|_| RestoreError::Stopped)?;
                }
            }
            Err(error) => {
                let lack = run.lack(error)?;
                give_up(run, group.pack, group.wanted, &lack)?;
            }
        }
    }
    Ok(())
}

/// Gives up all files that need these chunks.
pub(super) fn give_up(
    run: &Run<'_>,
    pack: PackNumber,
    wanted: Vec<Wanted>,
    lack: &Lack,
) -> Result<(), RestoreError> {
    for piece in wanted.into_iter().flat_map(|wanted| wanted.pieces) {
        run.give_up(&piece.file, lack)?;
        run.release(&piece.file)?;
        run.used(pack, 1);
    }
    Ok(())
}

impl Pack {
    fn get(run: &Run<'_>, group: &Group) -> Result<Self, EngineError> {
        let first = group.wanted.first().ok_or(EngineError::OutOfTurn)?;
        let (number, shard) = (group.pack, first.location.shard);
        let bytes = match open_here(run, shard)? {
            Some(shard) => Bytes::Here(shard),
            None => {
                let ranges = joined(&group.wanted, shard.bytes);
                Bytes::Fetched(run.fetch(Want { shard, ranges, priority: 1, from: Vec::new() })?)
            }
        };
        Ok(Self { number, shard, bytes })
    }

    /// Reads a range within one run of chunks. What is damaged here comes from holders.
    pub(super) fn read(&self, run: &Run<'_>, range: Range<u64>) -> Result<Vec<u8>, EngineError> {
        let shard = match &self.bytes {
            Bytes::Fetched(partial) => return Ok(partial.read(range)?),
            Bytes::Here(shard) => shard,
        };
        let damage = match shard.read_range(range.clone()) {
            Err(error @ (DepotError::Corrupt(_) | DepotError::Disk { .. })) => error,
            read => return Ok(read?),
        };
        // The row says what a scrub would find; a disk that fails may read again tomorrow.
        if let DepotError::Corrupt(root) = &damage {
            run.core.depot.mark(root, ShardState::Corrupt)?;
        }
        let ranges = vec![to_groups(&range, self.shard.bytes)];
        match run.fetch(Want { shard: self.shard, ranges, priority: 1, from: Vec::new() }) {
            Ok(fetched) => Ok(fetched.read(range)?),
            Err(EngineError::NoHolder(_)) => Err(damage.into()),
            Err(error) => Err(error),
        }
    }

    /// Whether reading less at once may succeed where reading all of it did not.
    pub(super) const fn is_here(&self) -> bool {
        matches!(self.bytes, Bytes::Here(_))
    }
}

/// The pack in this device's own depot, if it is there and well.
fn open_here(run: &Run<'_>, shard: ShardRef) -> Result<Option<Shard>, EngineError> {
    let row = run.core.depot.row(&shard.root, &run.member.vault)?;
    if row.is_none_or(|row| row.state == ShardState::Missing) {
        return Ok(None);
    }
    match run.core.depot.open_shard(&shard.root) {
        Ok(shard) => Ok(Some(shard)),
        Err(
            DepotError::Missing(_)
            | DepotError::Corrupt(_)
            | DepotError::Unknown(_)
            | DepotError::Disk { .. },
        ) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// The wanted chunks as ranges of whole groups, those close together as one.
fn joined(wanted: &[Wanted], shard_bytes: u64) -> Vec<Range<u64>> {
    let mut ranges: Vec<Range<u64>> = Vec::new();
    for wanted in wanted {
        let range = to_groups(&range_of(&wanted.location), shard_bytes);
        match ranges.last_mut() {
            Some(last) if range.start <= last.end + GAP_BYTES_MAX => {
                last.end = last.end.max(range.end);
            }
            _ => ranges.push(range),
        }
    }
    ranges
}

fn to_groups(range: &Range<u64>, shard_bytes: u64) -> Range<u64> {
    let start = range.start / GROUP_BYTES * GROUP_BYTES;
    let end = range.end.div_ceil(GROUP_BYTES).saturating_mul(GROUP_BYTES);
    start..end.min(shard_bytes)
}

/// Cuts chunks into runs that are read at once. No run goes over a gap that was not fetched.
fn runs(wanted: Vec<Wanted>) -> Vec<Vec<Wanted>> {
    let mut runs: Vec<Vec<Wanted>> = Vec::new();
    let mut open = 0..0;
    for wanted in wanted {
        let range = range_of(&wanted.location);
        let fits = range.start <= open.end + GROUP_BYTES && range.end - open.start <= RUN_BYTES_MAX;
        match runs.last_mut() {
            Some(run) if fits => {
                open.end = range.end;
                run.push(wanted);
            }
            _ => {
                open = range;
                runs.push(vec![wanted]);
            }
        }
    }
    runs
}

/// The range that covers a run.
pub(super) fn span(wanted: &[Wanted]) -> Range<u64> {
    let start = wanted.first().map_or(0, |first| range_of(&first.location).start);
    let end = wanted.last().map_or(start, |last| range_of(&last.location).end);
    start..end
}
