//! The restore drill of `verify --drill`: reads files that were drawn as a restore would that has lost
//! this device, and compares them. Everything that describes a file comes from holders as well,
//! from its snapshot on; only which files there are to draw from is read from this device's own copies.
//!
//! ```text
//! newest snapshots ──walk──▶ sample ──each part──▶ snapshot, tree, chunks from holders ──▶ compared
//! ```
//! Fetched bytes go to a directory that was empty before and is gone after it: nothing counts that
//! lay here. What is drawn, and what a failure means, is `larder_protocol::drilling`.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use larder_protocol::{
    drilling::{Part, Sampling},
    ids::DeviceId,
    manifest::SnapshotSummary,
    time::Timestamp,
    tree::{
        entry::{Entry, Kind},
        read::{Step, Walk},
    },
};
use tracing::warn;

use super::{
    Core, EngineError, Member,
    clock::wall,
    fetcher::Fetcher,
    look::{SnapshotTree, join},
    names,
    source::ChunkSource,
    waiting::Watch,
};
use crate::command::{
    Blame, DrillOutcome, EventSink, FailedFile, Failure, LastDrill, Outcome, PathField, Progress,
    ServingHolder, Stage,
};

mod live;
mod reach;
mod reading;
#[cfg(test)]
mod tests;

use reach::Reached;
use reading::{Ended, Reading};

/// The note of the last drill in `state.redb`: time, files, bytes, failed.
const LAST: &str = "last drill";

/// A file that was drawn.
#[derive(Debug)]
struct Drawn {
    summary: SnapshotSummary,
    /// From the root of the snapshot; empty for a snapshot of a single file.
    path: Vec<u8>,
    entry: Entry,
}

impl Drawn {
    /// Where it was on its device.
    fn whole_path(&self) -> Vec<u8> {
        match self.path.is_empty() {
            true => self.summary.root_path.to_vec(),
            false => join(&self.summary.root_path, &self.path),
        }
    }
}

/// Holds a restore drill.
pub(crate) async fn run(core: &Arc<Core>, events: &EventSink) -> Result<Outcome, Failure> {
    let begun = Instant::now();
    let member = core.member()?;
    // Packs that nothing needs leave the index when this is over.
    let _relying = core.relying.read().await;
    let Ok(_one_at_a_time) = core.drilling.try_lock() else {
        return Err(Failure::failed("a restore drill is under way already").hint("wait for it"));
    };
    let directory = Directory::make(core)?;
    let fetcher = Fetcher::start(core, directory.0.clone());
    let _watch = Watch::start(&fetcher, events);
    let source = ChunkSource::new(core, &member).until(events);
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(|_| EngineError::Randomness)?;
    events.progress(Progress::new(Stage::Asking));
    let drill = Drill {
        reached: Reached::ask(core).await?,
        core: Arc::clone(core),
        member,
        events: events.clone(),
        from_holders: source.clone().without_depot(fetcher.clone()),
        source,
        fetcher,
        outcome: DrillOutcome {
            folders: 0,
            files: 0,
            bytes: 0,
            compared: 0,
            holders: Vec::new(),
            failed: Vec::new(),
            blamed: Vec::new(),
            fetched_bytes: 0,
            duration_ms: 0,
        },
    };
    let held = tokio::task::spawn_blocking(move || drill.hold(seed));
    let mut done = held.await.map_err(|_| EngineError::Stopped)??;
    done.duration_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
    keep(core, &done)?;
    Ok(Outcome::Drill(done))
}

/// Removes what a drill left that was killed.
pub(super) fn clear(core: &Core) {
    let _nothing_there = std::fs::remove_dir_all(directory_of(core));
}

fn directory_of(core: &Core) -> PathBuf {
    core.home.fetch_directory().join("drill")
}

/// Where a drill fetches to; goes with it.
struct Directory(PathBuf);

impl Directory {
    fn make(core: &Core) -> Result<Self, Failure> {
        clear(core);
        let path = directory_of(core);
        std::fs::create_dir(&path).map_err(|error| {
            Failure::from_error("cannot make the directory of the drill", &error)
                .hint("see that the disk of the home is not full and can be written")
        })?;
        Ok(Self(path))
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            warn!("what the drill fetched stays until the next one: {error}");
        }
    }
}

/// A drill on a thread that may block.
struct Drill {
    core: Arc<Core>,
    member: Arc<Member>,
    events: EventSink,
    /// Reads what describes files, from here if it is here.
    source: ChunkSource,
    from_holders: ChunkSource,
    fetcher: Fetcher,
    reached: Reached,
    outcome: DrillOutcome,
}

impl Drill {
    fn hold(mut self, seed: [u8; 32]) -> Result<DrillOutcome, Failure> {
        let parts = self.draw(seed)?;
        let total = u64::try_from(parts.len()).unwrap_or(u64::MAX);
        let bytes_total: u64 = parts.iter().map(|part| part.range.end - part.range.start).sum();
        let mut reading = Reading::new(&self);
        let mut outcome = self.outcome.clone();
        let mut last: Option<Vec<u8>> = None;
        let (mut bytes_tried, mut told) = (0, Instant::now());
        for (number, Part { file, range }) in (0..).zip(parts) {
            self.events.check()?;
            if told.elapsed() >= Duration::from_millis(100) && self.fetcher.looking().is_none() {
                told = Instant::now();
                self.events.progress(Progress {
                    stage: Stage::Reading,
                    bytes_done: bytes_tried,
                    bytes_total: Some(bytes_total),
                    files_done: number,
                    files_total: Some(total),
                });
            }
            let path = file.whole_path();
            let is_new = last.as_ref() != Some(&path);
            bytes_tried += range.end - range.start;
            outcome.files += u64::from(is_new);
            match reading.part(&file, &range) {
                Ok(is_compared) => {
                    outcome.bytes += range.end - range.start;
                    outcome.compared += u64::from(is_compared && is_new);
                }
                Err(Ended::Failed(why, what)) => {
                    let is_told = outcome
                        .failed
                        .last()
                        .is_some_and(|one| one.path.to_bytes() == path && !is_new);
                    if !is_told {
                        let path = PathField::new(&path);
                        outcome.failed.push(FailedFile { path, why, what });
                    }
                }
                Err(Ended::Stopped(failure)) => return Err(failure),
            }
            last = Some(path);
        }
        self.tell_holders(&mut outcome);
        Ok(outcome)
    }

    /// Draws from the newest complete snapshot of each folder of this device; of every device where
    /// this one has none.
    fn draw(&mut self, seed: [u8; 32]) -> Result<Vec<Part<Arc<Drawn>>>, Failure> {
        let all = names::live_snapshots(&self.core)?;
        let own = self.member.keys.id();
        let newest = |is_wanted: &dyn Fn(&SnapshotSummary) -> bool| {
            // Oldest first: the last one stays.
            let complete = all.iter().filter(|one| one.complete && is_wanted(one));
            let newest: BTreeMap<(DeviceId, Vec<u8>), SnapshotSummary> =
                complete.map(|one| ((one.device, one.root_path.to_vec()), one.clone())).collect();
            newest
        };
        let mut chosen = newest(&|one| one.device == own);
        if chosen.is_empty() {
            chosen = newest(&|_| true);
        }
        if chosen.is_empty() {
            return Err(Failure::failed("there is no complete snapshot to read files of")
                .hint("back something up with `larder backup DIR`"));
        }
        let mut sampling = Sampling::new(seed);
        self.outcome.folders = u64::try_from(chosen.len()).unwrap_or(u64::MAX);
        for summary in chosen.into_values() {
            if let Err(ended) = self.offer(&summary, &mut sampling) {
                let (why, what) = match ended {
                    Ended::Failed(why, what) => (why, what),
                    Ended::Stopped(failure) => return Err(failure),
                };
                let what = format!("its files cannot be listed: {what}");
                let path = PathField::new(&summary.root_path);
                self.outcome.files += 1;
                self.outcome.failed.push(FailedFile { path, why, what });
            }
        }
        Ok(sampling.parts())
    }

    fn offer(
        &mut self,
        summary: &SnapshotSummary,
        sampling: &mut Sampling<Arc<Drawn>>,
    ) -> Result<(), Ended> {
        let opened = SnapshotTree::of(self.source.clone(), summary.clone());
        let tree = opened.map_err(|error| Ended::of(&self.core, &mut self.reached, error))?;
        let mut offer = |path: &[u8], entry: Entry| {
            let Kind::File { bytes, .. } = entry.kind else { return };
            let (summary, path) = (summary.clone(), path.to_vec());
            sampling.offer(bytes, || Arc::new(Drawn { summary, path, entry }));
        };
        let Kind::Directory { node } = tree.snapshot.root.kind else {
            offer(b"", tree.snapshot.root.clone());
            return Ok(());
        };
        let mut walk = Walk::new(node);
        let mut fetch = tree.fetch();
        loop {
            self.events.check().map_err(|error| Ended::Stopped(error.into()))?;
            match walk.next_step(&mut fetch) {
                Ok(Some(Step::Entry { path, entry })) => offer(path, entry),
                Ok(Some(Step::Enter { .. } | Step::Leave { .. })) => {}
                Ok(None) => return Ok(()),
                Err(error) => return Err(Ended::unread(&self.core, &mut self.reached, error)),
            }
        }
    }

    fn tell_holders(&self, outcome: &mut DrillOutcome) {
        let tally = self.fetcher.tally();
        let name = |device: &DeviceId| self.reached.name(device);
        outcome.holders = tally
            .bytes
            .iter()
            .map(|(device, bytes)| ServingHolder {
                device: device.to_string(),
                name: name(device),
                bytes: *bytes,
            })
            .collect();
        outcome.holders.sort_by_key(|holder| std::cmp::Reverse(holder.bytes));
        outcome.blamed = tally
            .faults
            .iter()
            .map(|(device, what)| Blame {
                device: device.to_string(),
                name: name(device),
                what: (*what).to_owned(),
            })
            .collect();
        outcome.fetched_bytes = self.fetcher.fetched_bytes();
    }
}

fn keep(core: &Core, done: &DrillOutcome) -> Result<(), EngineError> {
    let failed = u64::try_from(done.failed.len()).unwrap_or(u64::MAX);
    let numbers = [wall().0, done.files, done.bytes, failed];
    Ok(core.state.keep_note(LAST, &numbers.map(u64::to_le_bytes).concat())?)
}

/// When the last drill was, and what it came to.
pub(super) fn last(core: &Core) -> Result<Option<(Timestamp, LastDrill)>, EngineError> {
    let Some(bytes) = core.state.note(LAST)? else { return Ok(None) };
    let (numbers, rest) = bytes.as_chunks::<8>();
    let [at, files, bytes, failed] = *numbers else { return Ok(None) };
    if !rest.is_empty() {
        return Ok(None);
    }
    let at = Timestamp(u64::from_le_bytes(at));
    let number = u64::from_le_bytes;
    let (files, bytes, failed) = (number(files), number(bytes), number(failed));
    Ok(Some((at, LastDrill { time: at.into(), files, bytes, failed })))
}
