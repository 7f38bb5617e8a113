//! The scanner: walks the folder, asks the scan cache, groups small files, hands out the rest.
//!
//! Every entry of the walk becomes one step, in order. A file that has to be read becomes a step
//! that waits for its answer, so the tree grows in order while files are read out of order. Steps
//! behind an open bundle are held back until it is decided whether its files are read, and go to
//! the grower many at a time: waking it for each would cost more than the step.

use std::sync::atomic::Ordering;

use crossbeam_channel::{Receiver, Sender, bounded};
use larder_protocol::{
    chunk::bundle::BundlePlanner,
    ids::ChunkId,
    tree::entry::{Attributes, Content, Entry, Extent, Kind},
};
use rustix::io::Errno;
use tracing::debug;

use super::{
    BackupError, Counters, Problems,
    chunks::ChunkStore,
    read::{Job, Read, Wanted},
};
use crate::{
    engine::{Core, EngineError, chunk_here},
    files::{DirectoryKey, Event, Found, Stamp, Trace, Walk, What, Why},
};

/// A bundle is cut after so many entries, files or not: steps behind an open bundle wait in
/// memory.
const BUNDLE_ENTRIES_MAX: usize = 1024;
/// Steps that go to the grower together, or more if they were held back longer.
pub(super) const STEPS_TOGETHER: usize = 256;

/// One step of the growing tree.
pub(super) enum Step {
    /// A directory; the root of the walk has an empty name.
    Enter(Entered),
    /// The directory entered last is complete.
    Leave,
    /// An entry that is complete.
    Ready(Entry, Seen),
    /// A file that is being read.
    File(Found, Receiver<Read>),
}

/// A directory that the walk entered.
pub(super) struct Entered {
    pub(super) name: Vec<u8>,
    pub(super) attributes: Attributes,
    pub(super) key: DirectoryKey,
    pub(super) seen: Seen,
    /// How many of its entries are in the scan cache, if that is known.
    pub(super) remembered: Option<usize>,
}

/// What the scan cache is to know of an entry.
#[derive(Clone, Copy)]
pub(super) struct Seen {
    /// `None` when it is not to be remembered.
    pub(super) stamp: Option<Stamp>,
    pub(super) trace: Trace,
    /// Whether it is remembered exactly like this.
    pub(super) is_known: bool,
}

impl Seen {
    fn new(stamp: Stamp, trace: Trace) -> Self {
        let stamp = trace.is_settled.then_some(stamp);
        Self { stamp, trace, is_known: trace.recalled.is_some() }
    }

    /// Of a file that was read, with the stamp that it had if an equal one later means equal content.
    /// That does not hold for attributes that were read earlier, when the stamp was too fresh.
    pub(super) fn read(stamp: Option<Stamp>, trace: Trace) -> Self {
        let is_whole = trace.is_whole && trace.is_settled;
        Self { stamp, trace: Trace { is_whole, ..trace }, is_known: false }
    }
}

/// What one scan needs.
pub(super) struct Scanner<'a> {
    pub(super) core: &'a Core,
    pub(super) member: &'a crate::engine::Member,
    pub(super) store: &'a ChunkStore<'a>,
    pub(super) counters: &'a Counters,
    pub(super) problems: &'a Problems,
    pub(super) steps: Sender<Vec<Step>>,
    pub(super) jobs: Sender<Job>,
}

/// A member of the bundle being gathered.
struct Member {
    found: Found,
    cached: Option<Content>,
}

/// The bundle being gathered, and the steps that have not gone to the grower.
#[derive(Default)]
struct Bundle {
    members: Vec<Member>,
    entries: usize,
    /// In order; `None` for a member of the bundle, whose step is not known yet.
    held: Vec<Option<Step>>,
}

impl Scanner<'_> {
    pub(super) fn scan(self, walk: Walk) -> Result<(), BackupError> {
        let mut planner = BundlePlanner::new(&self.member.content);
        let mut bundle = Bundle::default();
        for event in walk {
            bundle.entries += 1;
            match event {
                Event::Enter { directory, attributes, stamp, trace, remembered } => {
                    self.counters.directories.fetch_add(1, Ordering::Relaxed);
                    let (name, key) = (directory.name().to_vec(), directory.key());
                    let seen = Seen::new(stamp, trace);
                    let entered = Entered { name, attributes, key, seen, remembered };
                    self.step(&mut bundle, Step::Enter(entered))?;
                }
                Event::Leave { .. } => self.step(&mut bundle, Step::Leave)?,
                Event::Entry(found) => self.entry(found, &mut planner, &mut bundle)?,
                Event::Unreadable { path, error } => {
                    self.problems.add(&path, &error.to_string())?;
                }
                Event::Skipped { path, why } => self.skipped(&path, &why)?,
            }
            if bundle.entries >= BUNDLE_ENTRIES_MAX && !bundle.members.is_empty() {
                self.close(&mut bundle)?;
            }
        }
        self.close(&mut bundle)?;
        self.hand_on(&mut bundle)
    }

    fn entry(
        &self,
        mut found: Found,
        planner: &mut BundlePlanner,
        bundle: &mut Bundle,
    ) -> Result<(), BackupError> {
        let What::File { bytes } = found.what else {
            self.counters.others.fetch_add(1, Ordering::Relaxed);
            return self.step(bundle, ready(found, special));
        };
        if bytes == 0 {
            return self
                .step(bundle, ready(found, |found| file(found, Content::Inline(Vec::new()))));
        }
        let cached = self.cached(&mut found)?;
        if !BundlePlanner::takes(bytes) {
            return match cached {
                Some(content) => {
                    let step = self.reuse(found, content);
                    self.step(bundle, step)
                }
                None => {
                    let (wanted, step) = wanted(found);
                    self.step(bundle, step)?;
                    self.job(Job::File(Box::new(wanted)))
                }
            };
        }
        if planner.cut_before(found.directory.name(), &found.name, bytes) {
            self.close(bundle)?;
        }
        bundle.members.push(Member { found, cached });
        bundle.held.push(None);
        Ok(())
    }

    /// A bundle is kept as it is if none of its members changed and all are in one chunk still;
    /// else all are read again, so that equal neighbours make equal bundles on every device.
    fn close(&self, bundle: &mut Bundle) -> Result<(), BackupError> {
        bundle.entries = 0;
        let members = std::mem::take(&mut bundle.members);
        if members.is_empty() {
            return Ok(());
        }
        let mut chunks = members.iter().map(|member| shared_chunk(member.cached.as_ref()));
        let first = chunks.next().flatten();
        let is_kept = first.is_some() && chunks.all(|chunk| chunk == first);
        let mut jobs = Vec::new();
        let steps: Vec<Step> = members
            .into_iter()
            .map(|Member { found, cached }| match cached {
                Some(content) if is_kept => self.reuse(found, content),
                Some(_) | None => {
                    let (wanted, step) = wanted(found);
                    jobs.push(wanted);
                    step
                }
            })
            .collect();
        let mut steps = steps.into_iter();
        for held in bundle.held.iter_mut().filter(|held| held.is_none()) {
            *held = steps.next();
        }
        if !jobs.is_empty() {
            self.job(Job::Bundle(jobs))?;
        }
        self.hand_on_many(bundle)
    }

    /// What the file held when it was last read, if that is certain and all of it is stored.
    fn cached(&self, found: &mut Found) -> Result<Option<Content>, BackupError> {
        let Some(content) = found.content.take() else { return Ok(None) };
        let read = |id| self.list_node(id);
        let is_stored = self.store.known.has_all(&content, found.stamp.bytes(), read)?;
        Ok(is_stored.then_some(content))
    }

    /// A node of a list of extents, if its pack is here.
    fn list_node(&self, id: ChunkId) -> Result<Vec<u8>, EngineError> {
        let places = self.core.state.locations(&id)?;
        let mut read = places.iter().map(|place| chunk_here(self.core, self.member, place));
        read.find(Result::is_ok).unwrap_or(Err(EngineError::UnknownChunk(id)))
    }

    fn reuse(&self, found: Found, content: Content) -> Step {
        self.counters.done_bytes.fetch_add(found.stamp.bytes(), Ordering::Relaxed);
        ready(found, |found| file(found, content))
    }

    fn skipped(&self, path: &[u8], why: &Why) -> Result<(), BackupError> {
        match why {
            Why::Xattr(name, error) if *error != Errno::OPNOTSUPP => {
                let what = format!("attribute {}: {error}", String::from_utf8_lossy(name));
                self.problems.add(path, &what)
            }
            Why::Xattrs(error) if *error != Errno::OPNOTSUPP => {
                self.problems.add(path, &format!("extended attributes: {error}"))
            }
            Why::TooDeep => self.problems.add(path, "too many directories above it"),
            Why::UnknownType => self.problems.add(path, "of a type that is not known"),
            Why::OtherFileSystem => self.problems.other_file_system(path),
            Why::Vanished => {
                self.problems.vanished.fetch_add(1, Ordering::Relaxed);
                Ok(())
            }
            Why::Excluded
            | Why::Home
            | Why::CacheDirectory
            | Why::Part
            | Why::Xattr(..)
            | Why::Xattrs(_) => {
                debug!("{}: left out: {why:?}", String::from_utf8_lossy(path));
                Ok(())
            }
        }
    }

    fn step(&self, bundle: &mut Bundle, step: Step) -> Result<(), BackupError> {
        bundle.held.push(Some(step));
        self.hand_on_many(bundle)
    }

    /// Hands steps on once there are many and none of them waits for the bundle.
    fn hand_on_many(&self, bundle: &mut Bundle) -> Result<(), BackupError> {
        let is_due = bundle.members.is_empty() && bundle.held.len() >= STEPS_TOGETHER;
        if is_due { self.hand_on(bundle) } else { Ok(()) }
    }

    fn hand_on(&self, bundle: &mut Bundle) -> Result<(), BackupError> {
        let steps = bundle.held.drain(..).flatten();
        self.steps.send(steps.collect()).map_err(|_| BackupError::Stopped)
    }

    fn job(&self, job: Job) -> Result<(), BackupError> {
        self.jobs.send(job).map_err(|_| BackupError::Stopped)
    }
}

fn ready(found: Found, entry: impl FnOnce(Found) -> Entry) -> Step {
    let seen = Seen::new(found.stamp, found.trace);
    Step::Ready(entry(found), seen)
}

fn wanted(found: Found) -> (Wanted, Step) {
    let (answer, read) = bounded(1);
    (Wanted { found: found.clone(), answer, opened: None }, Step::File(found, read))
}

/// The chunk that holds all of a small file.
fn shared_chunk(content: Option<&Content>) -> Option<ChunkId> {
    match content {
        Some(Content::Inline(extents)) => match extents.as_slice() {
            [extent] => chunk_of(extent),
            _ => None,
        },
        Some(Content::Listed(_)) | None => None,
    }
}

fn chunk_of(extent: &Extent) -> Option<ChunkId> {
    match extent {
        Extent::Chunk { chunk, .. } | Extent::Slice { chunk, .. } => Some(*chunk),
        Extent::Hole { .. } => None,
    }
}

fn file(found: Found, content: Content) -> Entry {
    let kind = Kind::File { bytes: found.stamp.bytes(), content };
    Entry { name: found.name.into(), kind, attributes: found.attributes }
}

fn special(found: Found) -> Entry {
    let kind = match found.what {
        What::Symlink { target } => Kind::Symlink { target: target.into() },
        What::Fifo => Kind::Fifo,
        What::Socket => Kind::Socket,
        What::CharDevice(device) => Kind::CharDevice { device },
        What::BlockDevice(device) => Kind::BlockDevice { device },
        What::File { .. } => unreachable!("files are taken before"),
    };
    Entry { name: found.name.into(), kind, attributes: found.attributes }
}

#[cfg(test)]
mod tests {
    use super::*;

    // HOME-5
    #[test]
    fn attributes_that_were_read_too_early_are_not_remembered_with_a_later_stamp() {
        for (is_settled, is_whole, expected) in
            [(true, true, true), (false, true, false), (true, false, false)]
        {
            let trace = Trace { recalled: None, is_settled, is_whole };
            assert_eq!(Seen::read(None, trace).trace.is_whole, expected);
        }
    }
}
