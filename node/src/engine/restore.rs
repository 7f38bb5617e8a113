//! Restores paths of a snapshot into a directory.
//!
//! ```text
//! planner ──groups by pack──▶ packs (own depot, or ranges from holders) ──runs──▶ writers
//!    │ directories, links, nodes                                                     │
//!    └──files without bytes───────────────────────────────────────────────────▶      ▼
//!                         the last piece of a file finishes it, the last entry its directory
//! ```
//! The folder's absolute path is made anew below the directory restored to. All queues are
//! bounded; what is in memory does not grow with the snapshot, but for one number a pack and one
//! path a hard-linked file.
//!
//! **Invariant:** an interrupted restore leaves nothing under a real name that is not whole, and
//! what is there (files, parts of files, fetched ranges) is neither fetched nor written again.

use std::{
    collections::HashSet,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use crossbeam_channel::bounded;
use larder_protocol::{
    ids::DeviceId, index::ChunkKind, manifest::SnapshotSummary, snapshot::Snapshot,
};
use tokio::runtime::Handle;

use super::{Blamed, ChunkSource, Core, Member, look::say_meant, names, waiting::Watch};
use crate::{
    command::{
        Blame, EventSink, Failure, Outcome, Overwrite, PathField, Progress, RawPath,
        RestoreOutcome, SnapshotName, SnapshotOrigin, Stage,
    },
    files::{Policy, Target, TargetOptions},
};

mod compare;
mod entries;
mod error;
mod estimate;
mod packs;
mod plan;
mod room;
mod run;
mod selection;
mod shortfalls;
mod survey;
#[cfg(test)]
mod tests;
mod uses;
mod window;
mod write;

pub(crate) use error::{RestoreError, one_line};

use estimate::{Total, estimate};
use packs::{Job, get_packs};
use plan::Planner;
use run::{Run, counted};
use selection::Selection;
use survey::{Found, Survey};
use window::Group;
use write::write_files;

/// Groups between planner and packs.
const GROUPS_MAX: usize = 8;
/// Packs that are fetched or read at once: several holders each have something to send.
const PACKS_MAX: usize = 4;
/// Runs of chunks between packs and writers.
const JOBS_MAX: usize = 64;
/// Files are written out early when there are so many bytes of new ones, looked at this often.
const FLUSH_BYTES: u64 = 64 * 1024 * 1024;
const FLUSH_EVERY: Duration = Duration::from_millis(250);

/// What was asked for.
pub(crate) struct Wish {
    pub(crate) snapshot: SnapshotName,
    pub(crate) paths: Vec<RawPath>,
    pub(crate) to: RawPath,
    pub(crate) overwrite: Overwrite,
    pub(crate) dry_run: bool,
}

/// Restores.
pub(crate) async fn run(
    core: &Arc<Core>,
    wish: Wish,
    events: &EventSink,
) -> Result<Outcome, Failure> {
    let begun = Instant::now();
    let member = core.member()?;
    // Packs that nothing needs leave the index when this is over.
    let _relying = core.relying.read().await;
    let snapshot = names::resolve(core, &wish.snapshot)?;
    let origin = say_meant(core, &wish.snapshot, &snapshot, events)?;
    // A folder that is being restored is not saved by itself as it is in between.
    let _way = match wish.dry_run {
        true => None,
        false => Some(core.recurrer.make_way(events).await?),
    };
    let _watch = Watch::start(&member.fetcher, events);
    let blamed_before = core.blames();
    let fetched_before = member.fetcher.fetched_bytes();
    let work = Work {
        core: Arc::clone(core),
        source: ChunkSource::new(core, &member).until(events),
        member: Arc::clone(&member),
        summary: snapshot,
        origin,
        wish,
        events: events.clone(),
        runtime: Handle::current(),
    };
    let restored = tokio::task::spawn_blocking(move || work.go());
    let mut done = restored.await.map_err(|_| RestoreError::Panicked)??;
    done.fetched_bytes = member.fetcher.fetched_bytes() - fetched_before;
    let blames = core.blames();
    let new = blames.into_iter().filter(|blame| !blamed_before.contains(blame));
    done.blamed = new.map(|blame| told(core, blame)).collect();
    done.duration_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
    Ok(Outcome::Restore(done))
}

fn told(core: &Core, blame: Blamed) -> Blame {
    let name = |device: &DeviceId| core.state.peer(device).ok().flatten().map(|peer| peer.name);
    Blame {
        device: blame.device.to_string(),
        name: name(&blame.device).unwrap_or_else(|| blame.device.short()),
        what: blame.what,
    }
}

impl From<Overwrite> for Policy {
    fn from(overwrite: Overwrite) -> Self {
        match overwrite {
            Overwrite::Never => Self::Never,
            Overwrite::Newer => Self::Newer,
            Overwrite::Changed => Self::Changed,
            Overwrite::Always => Self::Always,
        }
    }
}

/// A restore on a thread that may block.
struct Work {
    core: Arc<Core>,
    member: Arc<Member>,
    source: ChunkSource,
    summary: SnapshotSummary,
    origin: SnapshotOrigin,
    wish: Wish,
    events: EventSink,
    runtime: Handle,
}

impl Work {
    fn go(&self) -> Result<RestoreOutcome, RestoreError> {
        self.events.progress(Progress::new(Stage::Asking));
        let plain = self.source.chunk(self.summary.id, ChunkKind::Snapshot)?;
        let snapshot = Snapshot::decode(&plain)?;
        let selection = Selection::find(&self.wish.paths, &snapshot, &mut |id, kind| {
            self.source.chunk(id, kind)
        })?;
        let to = self.wish.to.as_path().to_owned();
        let options = TargetOptions { policy: self.wish.overwrite.into() };
        let fail = |error| RestoreError::of_target(&to, error);
        if self.wish.dry_run {
            let target = Target::survey(&to, options).map_err(fail)?;
            return self.survey(target.as_ref(), &snapshot, &selection);
        }
        let target = Target::open(&to, options).map_err(fail)?;
        self.restore(to, target, &snapshot, &selection)
    }

    fn survey(
        &self,
        target: Option<&Target>,
        snapshot: &Snapshot,
        selection: &Selection,
    ) -> Result<RestoreOutcome, RestoreError> {
        let survey = Survey {
            source: &self.source,
            to: self.wish.to.as_path(),
            target,
            selection,
            events: &self.events,
            links: HashSet::new(),
            found: Found::default(),
        };
        let survey = survey.run(snapshot)?;
        Ok(RestoreOutcome {
            dry_run: true,
            files_written: survey.files_written,
            files_same: survey.files_same,
            files_left: survey.files_left,
            directories: survey.directories,
            bytes: survey.bytes,
            problems_total: survey.problems,
            ..self.outcome()
        })
    }

    fn restore(
        &self,
        to: PathBuf,
        target: Target,
        snapshot: &Snapshot,
        selection: &Selection,
    ) -> Result<RestoreOutcome, RestoreError> {
        let parts = (&self.core, &self.member, &self.source, &self.events);
        let mut run = Run::new(parts, to, target, self.runtime.clone());
        let (total, uses) = estimate(&run, snapshot, selection)?;
        run.uses = uses;
        let is_over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let showing = scope.spawn(|| show_progress(&run, total, &is_over));
            let flushing = scope.spawn(|| flush_early(&run, &is_over));
            let written = write_all(&run, snapshot, selection);
            is_over.store(true, Ordering::Relaxed);
            showing.thread().unpark();
            flushing.thread().unpark();
            let shown = showing.join().map_err(|_| RestoreError::Panicked);
            let flushed = flushing.join().unwrap_or(Err(RestoreError::Panicked));
            // Whoever failed first made the others stop.
            RestoreError::first([flushed, written, shown].into_iter().filter_map(Result::err))
        })?;
        let is_all = selection.is_everything();
        let synced = if is_all { run.target.sync() } else { run.target.sync_some() };
        synced.map_err(|error| run.no_way(error))?;
        let waiting = counted(&run.counters.waiting_files);
        if waiting > 0 {
            return Err(RestoreError::Waiting(waiting));
        }
        self.clear_fetched(&run);
        let lacking = shortfalls::tell(&run)?;
        let counters = &run.counters;
        Ok(RestoreOutcome {
            files_written: counted(&counters.files_written),
            files_same: counted(&counters.files_same),
            files_left: counted(&counters.files_left),
            directories: counted(&counters.directories),
            bytes: counted(&counters.bytes),
            problems_total: counted(&counters.problems) + lacking,
            ..self.outcome()
        })
    }

    /// Ranges of packs that this restore (or an earlier attempt) fetched and needs no more.
    fn clear_fetched(&self, run: &Run<'_>) {
        for root in self.member.fetcher.leftovers() {
            let facts = self.core.state.facts_of(&root);
            if facts.is_ok_and(|facts| facts.is_some_and(|facts| run.uses.knows(facts.number))) {
                self.member.fetcher.discard(&root);
            }
        }
        self.member.fetcher.discard_old();
    }

    fn outcome(&self) -> RestoreOutcome {
        RestoreOutcome {
            snapshot: self.summary.id.to_string(),
            origin: self.origin.clone(),
            path: PathField::from(&self.wish.to),
            dry_run: false,
            files_written: 0,
            files_same: 0,
            files_left: 0,
            directories: 0,
            bytes: 0,
            fetched_bytes: 0,
            problems_total: 0,
            blamed: Vec::new(),
            duration_ms: 0,
        }
    }
}

/// Runs planner, packs and writers to their end.
fn write_all(
    run: &Run<'_>,
    snapshot: &Snapshot,
    selection: &Selection,
) -> Result<(), RestoreError> {
    let (groups, groups_in) = bounded::<Group>(GROUPS_MAX);
    let (jobs, jobs_in) = bounded::<Job>(JOBS_MAX);
    std::thread::scope(|scope| {
        // Whoever fails wakes all others.
        let guarded = |done: Result<(), RestoreError>| {
            if done.is_err() {
                run.stop.cancel();
            }
            done
        };
        let mut threads = Vec::new();
        for _ in 0..PACKS_MAX {
            let (groups, jobs) = (groups_in.clone(), jobs.clone());
            threads.push(scope.spawn(move || guarded(get_packs(run, &groups, &jobs))));
        }
        for _ in 0..writers() {
            let jobs = jobs_in.clone();
            threads.push(scope.spawn(move || guarded(write_files(run, &jobs))));
        }
        drop((groups_in, jobs_in));
        let planned = guarded(Planner::new(run, selection, groups, jobs).plan(snapshot));
        let ended =
            threads.into_iter().map(|thread| thread.join().unwrap_or(Err(RestoreError::Panicked)));
        let errors: Vec<RestoreError> = ended.chain([planned]).filter_map(Result::err).collect();
        RestoreError::first(errors)
    })
}

/// Opening chunks and writing files take turns on each.
fn writers() -> usize {
    std::thread::available_parallelism().map_or(2, usize::from).clamp(2, 16)
}

/// Has the disk write while files are made, so that the wait for it at the end is short. An error
/// is told here and not once more at the end.
fn flush_early(run: &Run<'_>, is_over: &AtomicBool) -> Result<(), RestoreError> {
    let mut flushed = 0;
    while !is_over.load(Ordering::Relaxed) {
        std::thread::park_timeout(FLUSH_EVERY);
        let written = counted(&run.counters.bytes);
        if written - flushed < FLUSH_BYTES || is_over.load(Ordering::Relaxed) {
            continue;
        }
        flushed = written;
        if let Err(error) = run.target.write_out() {
            run.stop.cancel();
            return Err(run.no_way(error));
        }
    }
    Ok(())
}

fn show_progress(run: &Run<'_>, total: Total, is_over: &AtomicBool) {
    while !is_over.load(Ordering::Relaxed) {
        std::thread::park_timeout(Duration::from_millis(100));
        // That holders are away is told then.
        if run.member.fetcher.looking().is_some() {
            continue;
        }
        let counters = &run.counters;
        run.events.progress(Progress {
            stage: Stage::Writing,
            bytes_done: counted(&counters.done_bytes),
            bytes_total: Some(total.bytes),
            files_done: counted(&counters.done_files),
            files_total: Some(total.files),
        });
    }
}
