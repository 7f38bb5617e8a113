//! What all threads of one restore share, and what they do when an entry is done.

use std::{
    ffi::OsStr,
    os::unix::ffi::OsStrExt,
    path::PathBuf,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use larder_protocol::{
    ids::{ChunkId, ShardRoot},
    index::ChunkKind,
};
use tokio::{runtime::Handle, time::timeout};
use tokio_util::sync::CancellationToken;

use super::{
    RestoreError,
    entries::{Dir, Ended, File, Finish, Link, Links, Next, Settled},
    error::{one_line, told},
    room::Room,
    uses::Uses,
};
use crate::{
    command::{Event, EventSink, PathField, Problem},
    depot::{DepotError, PartialShard},
    engine::{
        ChunkSource, Core, EngineError, Member, chunk_here, contact, error::HostError,
        fetcher::Want, source::is_absence,
    },
    files::{Begun, Made, PartFile, Placed, Target, TargetError},
    state::index::PackNumber,
};

/// How long a holder may take to say that it is there.
const HELLO_MAX: Duration = Duration::from_secs(10);

/// What is counted on the way.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) files_written: AtomicU64,
    pub(super) files_same: AtomicU64,
    pub(super) files_left: AtomicU64,
    pub(super) directories: AtomicU64,
    /// Bytes of the files written.
    pub(super) bytes: AtomicU64,
    /// Files and bytes dealt with in any way: for the progress bar.
    pub(super) done_files: AtomicU64,
    pub(super) done_bytes: AtomicU64,
    pub(super) problems: AtomicU64,
    /// Files that only holders have that cannot be reached.
    pub(super) waiting_files: AtomicU64,
}

/// Adds to a counter.
pub(super) fn count(counter: &AtomicU64, by: u64) {
    counter.fetch_add(by, Ordering::Relaxed);
}

/// Reads a counter.
pub(super) fn counted(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

/// Why the bytes of some files cannot be had.
#[derive(Debug, Clone)]
pub(super) enum Lack {
    /// To be said of each of them.
    Said(String),
    /// No holder can be reached at all: said once, in the end.
    Waiting,
}

/// One restore.
pub(super) struct Run<'a> {
    pub(super) core: &'a Arc<Core>,
    pub(super) member: &'a Arc<Member>,
    pub(super) source: &'a ChunkSource,
    pub(super) events: &'a EventSink,
    /// Where to, as it was named.
    pub(super) to: PathBuf,
    pub(super) target: Target,
    pub(super) counters: Counters,
    pub(super) uses: Uses,
    pub(super) room: Arc<Room>,
    /// Cancelled when a thread fails.
    pub(super) stop: CancellationToken,
    pub(super) runtime: Handle,
    /// Nobody answered when there was need.
    holders_away: AtomicBool,
    has_peers: OnceLock<bool>,
}

impl<'a> Run<'a> {
    pub(super) fn new(
        parts: (&'a Arc<Core>, &'a Arc<Member>, &'a ChunkSource, &'a EventSink),
        to: PathBuf,
        target: Target,
        runtime: Handle,
    ) -> Self {
        let (core, member, source, events) = parts;
        Self {
            core,
            member,
            source,
            events,
            to,
            target,
            counters: Counters::default(),
            uses: Uses::default(),
            room: Room::of_process(),
            stop: CancellationToken::new(),
            runtime,
            holders_away: AtomicBool::new(false),
            has_peers: OnceLock::new(),
        }
    }

    /// Whether to go on.
    pub(super) fn check(&self) -> Result<(), RestoreError> {
        self.events.check()?;
        if self.stop.is_cancelled() { Err(RestoreError::Stopped) } else { Ok(()) }
    }

    /// Names a file with what is wrong with it; `path` is from the root of the target.
    pub(super) fn problem(&self, path: &[u8], what: String) -> Result<(), RestoreError> {
        count(&self.counters.problems, 1);
        self.say(path, what)
    }

    /// The same without counting it.
    pub(super) fn say(&self, path: &[u8], what: String) -> Result<(), RestoreError> {
        let path = PathField::from(self.to.join(OsStr::from_bytes(path)).as_path());
        Ok(self.events.blocking_send(Event::Problem(Problem { path, what }))?)
    }

    /// What the kernel refused: the end if there is no room, else a problem of this one entry.
    pub(super) fn refused(&self, path: &[u8], error: &TargetError) -> Result<(), RestoreError> {
        match error {
            TargetError::Full => Err(RestoreError::Full(self.to.clone())),
            error => self.problem(path, told(error)),
        }
    }

    /// The target as a whole cannot be used, or nothing of the snapshot has a place in it.
    pub(super) fn no_way(&self, error: TargetError) -> RestoreError {
        RestoreError::of_target(&self.to, error)
    }

    /// Says once that a file is not restored.
    pub(super) fn give_up(&self, file: &File, lack: &Lack) -> Result<(), RestoreError> {
        if !file.give_up() {
            return Ok(());
        }
        match lack {
            Lack::Said(what) => self.problem(&file.path(), what.clone()),
            Lack::Waiting => {
                count(&self.counters.waiting_files, 1);
                Ok(())
            }
        }
    }

    /// The same for what the kernel refused.
    pub(super) fn give_up_refused(
        &self,
        file: &File,
        error: &TargetError,
    ) -> Result<(), RestoreError> {
        match error {
            TargetError::Full => Err(RestoreError::Full(self.to.clone())),
            error => self.give_up(file, &Lack::Said(told(error))),
        }
    }

    /// One piece of a file is dealt with; finishes the file with the last.
    pub(super) fn release(&self, file: &Arc<File>) -> Result<(), RestoreError> {
        if !file.release() {
            return Ok(());
        }
        let is_there = match file.end() {
            Ended::Part(part) => self.finish(file, part)?,
            Ended::Settled(Settled::Unchanged) => {
                count(&self.counters.files_same, 1);
                true
            }
            Ended::Settled(Settled::Kept) => {
                count(&self.counters.files_left, 1);
                false
            }
            Ended::GivenUp => false,
        };
        count(&self.counters.done_files, 1);
        if let Some(links) = &file.links {
            self.settle_links(links, is_there)?;
        }
        self.leave(&file.dir)
    }

    /// Gives a file that is whole its name; whether it is there then.
    fn finish(&self, file: &File, part: PartFile) -> Result<bool, RestoreError> {
        let finished = match part.finish(&file.attributes) {
            Ok(Placed::Kept(part)) => part.discard().map(|()| None),
            Ok(Placed::New) => Ok(Some(true)),
            Ok(Placed::Unchanged) => Ok(Some(false)),
            Err(error) => Err(error),
        };
        match finished {
            Ok(Some(is_new)) => {
                let counters = &self.counters;
                count(if is_new { &counters.files_written } else { &counters.files_same }, 1);
                count(&counters.bytes, if is_new { file.bytes } else { 0 });
                Ok(true)
            }
            Ok(None) => {
                count(&self.counters.files_left, 1);
                Ok(false)
            }
            Err(error) => {
                self.refused(&file.path(), &error)?;
                Ok(false)
            }
        }
    }

    /// The first of several names is there, or never will be: deals with the waiting ones.
    pub(super) fn settle_links(&self, links: &Links, is_there: bool) -> Result<(), RestoreError> {
        for link in links.settle(is_there) {
            if is_there {
                self.make_link(links, &link)?;
            } else {
                self.give_up_link(link)?;
            }
        }
        Ok(())
    }

    /// Makes one more name of a file, now or when the file is there.
    pub(super) fn link(&self, links: &Links, link: Link) -> Result<(), RestoreError> {
        match links.add(link) {
            Next::Later => Ok(()),
            Next::Make(link) => self.make_link(links, &link),
            Next::GivenUp(link) => self.give_up_link(link),
        }
    }

    fn give_up_link(&self, link: Link) -> Result<(), RestoreError> {
        let path = link.dir.path_of(&link.name);
        self.problem(&path, "the file to which it is a hard link is not restored".to_owned())?;
        self.end_link(&link)
    }

    fn make_link(&self, links: &Links, link: &Link) -> Result<(), RestoreError> {
        let earlier: Vec<&[u8]> = links.path.split(|byte| *byte == b'/').collect();
        let made = match self.target.hardlink(&link.dir.handle, &link.name, &earlier) {
            Ok(Made::Lacking) => self.copy_link(link, &earlier),
            made => made,
        };
        match made {
            Ok(Made::New) => count(&self.counters.files_written, 1),
            Ok(Made::Unchanged) => count(&self.counters.files_same, 1),
            Ok(Made::Kept) => count(&self.counters.files_left, 1),
            Ok(Made::Lacking) => {}
            Err(error) => self.refused(&link.dir.path_of(&link.name), &error)?,
        }
        self.end_link(link)
    }

    /// Where the file system has no links: the same bytes again.
    fn copy_link(&self, link: &Link, earlier: &[&[u8]]) -> Result<Made, TargetError> {
        let Some((name, parents)) = earlier.split_last() else { return Ok(Made::Lacking) };
        let from = self.target.open_dir(parents)?;
        let Some(first) = self.target.open_existing(&from, name)? else {
            return Ok(Made::Lacking);
        };
        let (dir, bytes) = (&link.dir.handle, first.bytes());
        match self.target.begin_file(dir, &link.name, bytes, &link.attributes)? {
            Begun::Unchanged => Ok(Made::Unchanged),
            Begun::Kept => Ok(Made::Kept),
            Begun::Part(part) => {
                part.copy_from(&first, 0, bytes)?;
                match part.finish(&link.attributes)? {
                    Placed::New => Ok(Made::New),
                    Placed::Unchanged => Ok(Made::Unchanged),
                    Placed::Kept(part) => part.discard().map(|()| Made::Kept),
                }
            }
        }
    }

    fn end_link(&self, link: &Link) -> Result<(), RestoreError> {
        count(&self.counters.done_files, 1);
        count(&self.counters.done_bytes, link.bytes);
        self.leave(&link.dir)
    }

    /// One entry of a directory is done; gives the directory its attributes with the last, and
    /// goes on with the one above.
    pub(super) fn leave(&self, dir: &Arc<Dir>) -> Result<(), RestoreError> {
        let mut dir = Arc::clone(dir);
        while dir.release() {
            let finished = match (dir.finish, &dir.attributes) {
                (Finish::Set, Some(attributes)) => self.target.finish_dir(&dir.handle, attributes),
                (Finish::IfNew, Some(attributes)) => {
                    self.target.finish_new_dir(&dir.handle, attributes)
                }
                _ => Ok(()),
            };
            if let Err(error) = finished {
                self.refused(dir.handle.path(), &error)?;
            }
            let Some(parent) = dir.parent.clone() else { break };
            dir = parent;
        }
        Ok(())
    }

    /// The plaintext of a metadata chunk, from here or from a holder.
    pub(super) fn chunk(&self, id: ChunkId, kind: ChunkKind) -> Result<Vec<u8>, EngineError> {
        let location = self.core.state.locate(&id)?.ok_or(EngineError::UnknownChunk(id))?;
        match chunk_here(self.core, self.member, &location) {
            Err(error) if is_absence(&error) && self.is_alone() => {
                Err(EngineError::NoHolder(location.shard.root))
            }
            Err(error) if is_absence(&error) => self.source.chunk(id, kind),
            read => read,
        }
    }

    /// Fetches ranges of a shard from holders, unless that is known to be in vain.
    pub(super) fn fetch(&self, want: Want) -> Result<Arc<PartialShard>, EngineError> {
        if self.is_alone() {
            return Err(EngineError::NoHolder(want.shard.root));
        }
        self.runtime.block_on(async {
            tokio::select! {
                fetched = self.member.fetcher.fetch(want) => fetched,
                () = self.events.cancelled() => Err(EngineError::Interrupted),
                () = self.stop.cancelled() => Err(EngineError::Interrupted),
            }
        })
    }

    /// Whether an error of reading is one of these bytes alone, and how to tell it.
    pub(super) fn lack(&self, error: EngineError) -> Result<Lack, RestoreError> {
        match error {
            EngineError::NoHolder(root) if self.has_peers() => {
                if self.holders_answer() {
                    Ok(Lack::Said(absent(root)))
                } else {
                    Ok(Lack::Waiting)
                }
            }
            EngineError::NoHolder(_)
            | EngineError::Lost(_)
            | EngineError::UnknownChunk(_)
            | EngineError::UnknownEpoch(_)
            | EngineError::Record(_)
            | EngineError::Host(HostError::Depot(
                DepotError::Unknown(_)
                | DepotError::Missing(_)
                | DepotError::Corrupt(_)
                | DepotError::Disk { .. },
            )) => Ok(Lack::Said(one_line(&error))),
            EngineError::Interrupted => {
                self.check()?;
                Err(RestoreError::Stopped)
            }
            error => Err(error.into()),
        }
    }

    /// So many pieces of a pack are dealt with. What was fetched of it goes with the last.
    pub(super) fn used(&self, pack: PackNumber, pieces: u64) {
        if self.uses.less(pack, pieces)
            && let Ok(Some(record)) = self.core.state.pack(pack)
        {
            self.member.fetcher.discard(&record.shard.root);
        }
    }

    /// Whether there is nobody to ask.
    fn is_alone(&self) -> bool {
        self.holders_away.load(Ordering::Relaxed) || !self.has_peers()
    }

    fn has_peers(&self) -> bool {
        *self.has_peers.get_or_init(|| self.core.state.peers().is_ok_and(|peers| !peers.is_empty()))
    }

    /// Whether any holder says a word. Once none did, this restore asks no more.
    fn holders_answer(&self) -> bool {
        if self.holders_away.load(Ordering::Relaxed) {
            return false;
        }
        let peers = self.core.state.peers().unwrap_or_default();
        let answered = self.runtime.block_on(async {
            let mut asked = tokio::task::JoinSet::new();
            for peer in peers {
                let core = Arc::clone(self.core);
                asked.spawn(async move {
                    let answer = timeout(HELLO_MAX, contact::hello(&core, peer.device)).await;
                    matches!(answer, Ok(Ok(_)))
                });
            }
            while let Some(answered) = asked.join_next().await {
                if matches!(answered, Ok(true)) {
                    return true;
                }
            }
            false
        });
        if !answered {
            self.holders_away.store(true, Ordering::Relaxed);
        }
        answered
    }
}

fn absent(root: ShardRoot) -> String {
    format!("no holder that can be reached has shard {}", root.short())
}
