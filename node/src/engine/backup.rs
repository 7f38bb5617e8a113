//! Backs one folder up: walk, read, cut, seal, pack, commit.
//!
//! ```text
//! scanner ──steps, in order──────────────────────────▶ grower ──nodes──▶ packers ──▶ keeper
//!    └──jobs──▶ opener ──▶ workers (read, cut, compress, seal) ──chunks────▲     (depot, index)
//!                             └──answers to the grower's waiting steps
//! ```
//! All queues are bounded; memory is that of two chunks a worker, three packs, and the steps
//! waiting. Any thread that fails ends the run; what is durable by then stays and is not done again.

use std::{
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use crossbeam_channel::bounded;
use larder_protocol::{
    ids::ChunkId,
    index::{ChunkKind, PackClass},
    manifest::{Manifest, SnapshotSummary},
    recurring::Walked,
    snapshot::{self, Snapshot},
    time::Timestamp,
    tree::entry::{Entry, Kind},
};

use super::{Core, Member, clock::wall, commit, custody::Custody};
use crate::{
    command::{EventSink, Progress, Stage},
    files::{Walk, WalkOptions},
    state::scan_cache::FolderKey,
};

mod buffers;
mod chunks;
mod error;
mod estimate;
mod grow;
mod keeper;
mod known;
mod ledger;
mod notes;
mod opener;
mod packer;
mod problems;
mod read;
mod scan;

pub(crate) use error::BackupError;

use buffers::Buffers;
use chunks::{ChunkStore, Tools};
use grow::{Grower, Grown};
use keeper::Keeper;
use known::Known;
use ledger::{CloseOnPanic, Ledger};
use notes::Notes;
use packer::Packer;
use problems::Problems;
use read::{Job, Worker};
use scan::Scanner;

/// Steps between scanner and grower, as long as none are held back for a bundle.
const STEPS_MAX: usize = 8 * 1024;
/// Files and bundles between scanner and opener.
const JOBS_MAX: usize = 256;
/// Finished packs between packers and keeper: each is 32 MiB of memory, and whoever finished one
/// waits with it anyway while the keeper is busy.
const FINISHED_MAX: usize = 0;
/// A checkpoint is committed after so many bytes of new packs: about what an interruption costs.
const CHECKPOINT_BYTES: u64 = 1024 * 1024 * 1024;
/// And after so much time, if there is anything new.
const CHECKPOINT_AFTER: Duration = Duration::from_secs(300);

/// What to back up.
pub(crate) struct Plan {
    /// Absolute path of the folder.
    pub(crate) root: PathBuf,
    /// Patterns in gitignore syntax.
    pub(crate) excludes: Vec<String>,
    /// zstd level.
    pub(crate) level: i32,
    /// Own bytes in the depot at most, unless this device keeps them anyway.
    pub(crate) spool_bytes_max: Option<u64>,
    /// Whether the device does it by itself.
    pub(crate) is_automatic: bool,
}

/// What became of it.
pub(crate) struct Made {
    pub(crate) snapshot: SnapshotSummary,
    /// The newest complete snapshot of the same folder before this one.
    pub(crate) parent: Option<ChunkId>,
    pub(crate) is_unchanged: bool,
    pub(crate) directories: u64,
    pub(crate) read_bytes: u64,
    pub(crate) new_bytes: u64,
    pub(crate) stored_bytes: u64,
    pub(crate) problems: u64,
}

/// What the threads of one run count together.
#[derive(Default)]
struct Counters {
    files: AtomicU64,
    directories: AtomicU64,
    others: AtomicU64,
    /// Sum of the lengths of all files.
    bytes: AtomicU64,
    /// Bytes of files dealt with, read or not: for the progress bar.
    done_bytes: AtomicU64,
    read_bytes: AtomicU64,
    stored_bytes: AtomicU64,
    packs: AtomicU64,
}

/// One run: what every part of it needs.
struct Run<'a> {
    core: &'a Arc<Core>,
    member: &'a Member,
    custody: &'a Custody,
    plan: &'a Plan,
    events: &'a EventSink,
    counters: &'a Counters,
    problems: &'a Problems,
    ledger: &'a Ledger,
    buffers: &'a Buffers,
    started: Timestamp,
    /// The newest complete snapshot of the folder.
    parent: Option<SnapshotSummary>,
}

/// Backs one folder up and commits its snapshot. Blocks; not for the runtime's threads.
pub(crate) fn run(
    core: &Arc<Core>,
    member: &Member,
    custody: &Custody,
    plan: &Plan,
    events: &EventSink,
) -> Result<Made, BackupError> {
    let counters = Counters::default();
    let problems = Problems::new(&plan.root, events);
    let (ledger, buffers) = (Ledger::default(), Buffers::default());
    let parent = newest(core, member, &plan.root)?;
    let run = Run {
        core,
        member,
        custody,
        plan,
        events,
        counters: &counters,
        problems: &problems,
        ledger: &ledger,
        buffers: &buffers,
        started: wall(),
        parent,
    };
    run.go()
}

impl Run<'_> {
    /// The keeper outlives the rest: commits wait for what it makes durable.
    fn go(&self) -> Result<Made, BackupError> {
        let (finished, finished_in) = bounded(FINISHED_MAX);
        let is_over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let keeper = self.keeper();
            let keeping = scope.spawn(move || {
                let _guard = CloseOnPanic(keeper.ledger);
                let kept = keeper.run(&finished_in);
                keeper.ledger.close();
                kept
            });
            let packer = |class| {
                Packer::new(class, self.member, self.ledger, self.buffers, finished.clone())
            };
            let store = ChunkStore {
                content: &self.member.content,
                ledger: self.ledger,
                known: Known::new(&self.core.state, self.ledger),
                data: packer(PackClass::Data),
                metadata: packer(PackClass::Metadata),
                new_bytes: AtomicU64::new(0),
            };
            drop(finished);
            let showing = scope.spawn(|| self.show_progress(&is_over));
            let made = self.part(|| {
                let grown = self.scan_and_grow(&store)?;
                self.finish(&store, grown)
            });
            is_over.store(true, Ordering::Relaxed);
            // A small backup does not wait for the next report.
            showing.thread().unpark();
            // The keeper ends when nobody can hand it a pack any more.
            drop(store);
            let kept = join(keeping.join());
            join(showing.join().map(Ok))?;
            BackupError::first(kept.err().into_iter().collect(), made)
        })
    }

    /// Runs scanner, workers and grower to their end.
    fn scan_and_grow(&self, store: &ChunkStore<'_>) -> Result<Option<Grown>, BackupError> {
        let (steps, steps_in) = bounded(STEPS_MAX / scan::STEPS_TOGETHER);
        let (jobs, jobs_in) = bounded::<Job>(JOBS_MAX);
        let (opened, opened_in) = bounded::<Job>(opener::AHEAD_MAX);
        let workers = thread_count();
        let scanner = Scanner {
            core: self.core,
            member: self.member,
            store,
            counters: self.counters,
            problems: self.problems,
            steps,
            jobs,
        };
        let (folder, now) = (FolderKey::of(Walk::key_of(&self.plan.root)?), self.started.0);
        let memory = self.core.cache.view(folder, now);
        let walk = Walk::remembering(&self.plan.root, &self.options(), Some(memory))?;
        let notes = Notes::new(&self.core.cache, folder, now);
        std::thread::scope(|scope| {
            let scan = || self.part(|| scanner.scan(walk));
            let open = move || {
                opener::open_ahead(&jobs_in, &opened, workers);
                Ok(())
            };
            let mut threads = vec![scope.spawn(scan), scope.spawn(open)];
            for _ in 0..workers {
                let jobs = opened_in.clone();
                let mut worker = Worker::new(store, self.counters, self.events, self.plan.level);
                let work = move || self.part(|| jobs.iter().try_for_each(|job| worker.work(job)));
                threads.push(scope.spawn(work));
            }
            drop(opened_in);
            let grown = self.part(|| self.grow(store, notes, &steps_in));
            // Wakes whoever still wants to hand something on after a failure.
            drop(steps_in);
            let errors = threads.into_iter().filter_map(|thread| join(thread.join()).err());
            BackupError::first(errors.collect(), grown)
        })
    }

    /// Does one thread's part of the run. If it fails, nobody waits for what it was to do.
    fn part<T>(&self, work: impl FnOnce() -> Result<T, BackupError>) -> Result<T, BackupError> {
        let _guard = CloseOnPanic(self.ledger);
        work().inspect_err(|_| self.ledger.close())
    }

    fn check(&self) -> Result<(), BackupError> {
        Ok(self.events.check()?)
    }

    fn keeper(&self) -> Keeper<'_> {
        Keeper {
            core: self.core,
            member: self.member,
            custody: self.custody,
            ledger: self.ledger,
            counters: self.counters,
            events: self.events,
            buffers: self.buffers,
            spool_bytes_max: self.plan.spool_bytes_max,
        }
    }

    fn options(&self) -> WalkOptions {
        WalkOptions {
            excludes: self.plan.excludes.clone(),
            never: vec![self.core.home.directory().to_owned()],
            ..WalkOptions::default()
        }
    }

    fn grow(
        &self,
        store: &ChunkStore<'_>,
        notes: Notes<'_>,
        steps: &crossbeam_channel::Receiver<Vec<scan::Step>>,
    ) -> Result<Option<Grown>, BackupError> {
        let grower = Grower::new(store, notes, self.counters, self.problems, self.plan.level);
        let (mut bytes, mut moment) = (0, Instant::now());
        grower.grow(steps, |grower| {
            self.events.check()?;
            let stored = self.counters.stored_bytes.load(Ordering::Relaxed);
            let is_due = stored > bytes
                && (stored - bytes >= CHECKPOINT_BYTES || moment.elapsed() >= CHECKPOINT_AFTER);
            if is_due && let Some(grown) = grower.checkpoint()? {
                (bytes, moment) = (stored, Instant::now());
                self.commit(store, &grown, false)?;
                grower.flush_cache();
            }
            Ok(())
        })
    }

    fn finish(&self, store: &ChunkStore<'_>, grown: Option<Grown>) -> Result<Made, BackupError> {
        let grown = grown.ok_or(BackupError::Stopped)?;
        let manifest = commit::own_manifest(self.core, self.member)?;
        self.check_emptied(&manifest)?;
        // It may have been forgotten meanwhile.
        let before = self
            .parent
            .as_ref()
            .filter(|parent| manifest.snapshots.iter().any(|snapshot| snapshot.id == parent.id));
        let same = match before {
            Some(before) => self.is_same(before, &grown, store)?,
            None => None,
        };
        let (snapshot, is_unchanged) = match same {
            Some(same) => {
                store.settle(|| self.check())?;
                self.list(store)?;
                (same, true)
            }
            None => (self.commit(store, &grown, true)?, false),
        };
        self.core.cache.flush();
        Ok(Made {
            snapshot,
            parent: self.parent_id(),
            is_unchanged,
            directories: self.counters.directories.load(Ordering::Relaxed),
            read_bytes: self.counters.read_bytes.load(Ordering::Relaxed),
            new_bytes: store.new_bytes.load(Ordering::Relaxed),
            stored_bytes: self.counters.stored_bytes.load(Ordering::Relaxed),
            problems: self.problems.count(),
        })
    }

    /// The parent, if the folder is exactly as it was, everything could be read, and nothing that
    /// is claimed was lost.
    fn is_same(
        &self,
        before: &SnapshotSummary,
        grown: &Grown,
        store: &ChunkStore<'_>,
    ) -> Result<Option<SnapshotSummary>, BackupError> {
        let state = &self.core.state;
        let is_stored_anew = store.new_bytes.load(Ordering::Relaxed) > 0;
        // RECUR-7: what somebody asks for must not be thinned out with the rest.
        let is_of_lesser_kind = before.is_automatic() && !self.plan.is_automatic;
        if is_stored_anew || is_of_lesser_kind || commit::is_any_lost(self.core)? {
            return Ok(None);
        }
        let Some(location) = state.locate(&before.id)? else { return Ok(None) };
        let Ok(plain) = super::chunk_here(self.core, self.member, &location) else {
            return Ok(None);
        };
        let Ok(snapshot) = Snapshot::decode(&plain) else { return Ok(None) };
        let same = snapshot.root.kind == Kind::Directory { node: grown.node }
            && snapshot.root.attributes == grown.attributes
            && snapshot.unreadable == self.problems.count();
        Ok(same.then(|| before.clone()))
    }

    /// Has packs listed that an unchanged folder was found in and no manifest lists: rekeying made them, or
    /// a backup that was cut off.
    fn list(&self, store: &ChunkStore<'_>) -> Result<(), BackupError> {
        let relied_on = store.known.relied_on();
        if commit::is_any_unlisted(self.core, &relied_on)? {
            let change = commit::Change { relied_on, ..commit::Change::default() };
            commit::commit(self.core, self.member, self.custody, change)?;
        }
        Ok(())
    }

    /// Everything so far durable, then the snapshot's chunk durable, then the commit.
    fn commit(
        &self,
        store: &ChunkStore<'_>,
        grown: &Grown,
        is_complete: bool,
    ) -> Result<SnapshotSummary, BackupError> {
        let snapshot = self.snapshot(grown, is_complete);
        let mut tools = Tools::new(self.plan.level);
        let id = store.put(&mut tools, ChunkKind::Snapshot, &snapshot.encode())?;
        store.settle(|| self.check())?;
        let summary = SnapshotSummary::of(id, &snapshot);
        let manifest = commit::own_manifest(self.core, self.member)?;
        let root = self.plan.root.as_os_str().as_bytes();
        let checkpoints = manifest.snapshots.iter().filter(|old| {
            !old.complete && old.device == snapshot.device && *old.root_path == *root
        });
        let change = commit::Change {
            add: Some(summary.clone()),
            replace: checkpoints.map(|old| old.id).chain([id]).collect(),
            relied_on: store.known.relied_on(),
            ..commit::Change::default()
        };
        commit::commit(self.core, self.member, self.custody, change)?;
        Ok(summary)
    }

    fn snapshot(&self, grown: &Grown, complete: bool) -> Snapshot {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let root = &self.plan.root;
        let name = root.file_name().map(|name| name.as_bytes().to_vec()).unwrap_or_default();
        Snapshot {
            version: snapshot::VERSION,
            device: self.member.keys.id(),
            root_path: root.as_os_str().as_bytes().to_vec().into(),
            root: Entry {
                name: name.into(),
                kind: Kind::Directory { node: grown.node },
                attributes: grown.attributes.clone(),
            },
            started: self.started,
            finished: wall(),
            files: count(&self.counters.files),
            directories: count(&self.counters.directories),
            other: count(&self.counters.others),
            bytes: count(&self.counters.bytes),
            unreadable: self.problems.count(),
            complete,
            parent: self.parent_id(),
            tags: self.tags(),
            program: concat!("larder ", env!("CARGO_PKG_VERSION")).to_owned(),
        }
    }

    fn tags(&self) -> Vec<String> {
        self.plan.is_automatic.then(|| snapshot::AUTOMATIC.to_owned()).into_iter().collect()
    }

    /// RECUR-11: nobody is there who would notice that `latest` has nothing in it.
    fn check_emptied(&self, manifest: &Manifest) -> Result<(), BackupError> {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let walked = Walked {
            files: count(&self.counters.files),
            directories: count(&self.counters.directories),
            others: count(&self.counters.others),
            unreadable: self.problems.count(),
        };
        // What came since the last complete one as well: checkpoints of a backup that is not over.
        let root = self.plan.root.as_os_str().as_bytes();
        let own: Vec<&SnapshotSummary> =
            manifest.live_snapshots().filter(|one| *one.root_path == *root).collect();
        let since = own.iter().rev().take_while(|one| Some(one.id) != self.parent_id());
        let before = since.copied().chain(self.parent.as_ref()).map(|one| one.files).max();
        if self.plan.is_automatic && walked.looks_lost(before) {
            let (files, unreadable) = (before.unwrap_or(0), walked.unreadable);
            return Err(BackupError::Emptied { files, unreadable });
        }
        Ok(())
    }

    fn parent_id(&self) -> Option<ChunkId> {
        self.parent.as_ref().map(|parent| parent.id)
    }

    /// Reports until the run is over, if anybody looks. A rough total is that of the snapshot before; without one it
    /// is counted beside the run itself.
    fn show_progress(&self, is_over: &AtomicBool) {
        if !self.events.is_watched() {
            return;
        }
        let total = match &self.parent {
            Some(parent) => estimate::Estimate::of(parent.files, parent.bytes),
            None => estimate::Estimate::start(&self.plan.root, self.core.home.directory()),
        };
        while !is_over.load(Ordering::Relaxed) {
            std::thread::park_timeout(Duration::from_millis(100));
            let (files, bytes) = total.so_far();
            let bytes_done = self.counters.done_bytes.load(Ordering::Relaxed);
            let files_done = self.counters.files.load(Ordering::Relaxed);
            // The folder may have grown.
            let is_complete = total.is_complete();
            self.events.progress(Progress {
                stage: Stage::Reading,
                bytes_done,
                bytes_total: is_complete.then_some(bytes.max(bytes_done)),
                files_done,
                files_total: is_complete.then_some(files.max(files_done)),
            });
        }
        total.stop();
    }
}

/// The newest complete snapshot of a folder that this device made.
fn newest(
    core: &Core,
    member: &Member,
    root: &Path,
) -> Result<Option<SnapshotSummary>, BackupError> {
    let manifest = commit::own_manifest(core, member)?;
    let path = root.as_os_str().as_bytes();
    let newest = manifest
        .live_snapshots()
        .filter(|old| old.complete && old.device == member.keys.id() && *old.root_path == *path);
    Ok(newest.last().cloned())
}

/// Reading, compressing and sealing take turns on each; more than the cores is no gain.
fn thread_count() -> usize {
    std::thread::available_parallelism().map_or(2, usize::from).clamp(2, 16)
}

fn join<T>(joined: std::thread::Result<Result<T, BackupError>>) -> Result<T, BackupError> {
    joined.unwrap_or(Err(BackupError::Panicked))
}
