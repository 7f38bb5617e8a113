//! The threads that list directories and look at entries ahead of the walk.
//!
//! Work is a map ordered by the place in the walk. A free thread takes the earliest piece, so
//! that what the walk needs next is always being worked on; it takes none while much lies ready.
//! Results lie in a second map until taken. What nobody has begun when the walk needs it, the walk
//! does itself: on a warm cache waking another thread takes longer than the work.

use std::{
    collections::BTreeMap,
    os::fd::AsFd,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::JoinHandle,
    time::SystemTime,
};

use larder_protocol::{limits::TREE_DEPTH_MAX, tree::entry::Content};
use rustix::{
    fs::{FileType, Mode, OFlags, openat, readlinkat},
    io::{Errno, pread},
};

use super::{Recollection, Remembered, Remembers, Trace, Why};
use crate::files::{
    directory::{Directory, Listing, open_directory},
    exclude::Rules,
    status::Status,
    xattr::{Object, Xattrs},
};

/// Entries looked at in one piece of work; the first of a directory are looked at when it is listed.
const BATCH_ENTRIES: usize = 256;
/// Weight that may lie ready: 1 for each entry, and for each [`WEIGHT_BYTES`] of its extended
/// attributes and link target.
const READY_WEIGHT_MAX: usize = 8192;
/// Threads that stopped there begin again below this, and not for each entry that was taken.
const READY_WEIGHT_AGAIN: usize = READY_WEIGHT_MAX / 2;
/// About what an entry takes in memory without them.
const WEIGHT_BYTES: usize = 512;
/// Names that may lie ready in directories listed and not entered.
const READY_NAMES_MAX: usize = 100_000;

/// File that marks a directory as a cache, and how it begins. Source: bford.info/cachedir.
const CACHE_TAG: &[u8] = b"CACHEDIR.TAG";
const CACHE_SIGNATURE: &[u8; 43] = b"Signature: 8a477f597d28d172789f06886806bc55";

/// A directory with its names.
#[derive(Debug)]
pub(super) struct Listed {
    pub(super) directory: Arc<Directory>,
    pub(super) listing: Listing,
}

/// What came of opening and listing a directory.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) listed: Arc<Listed>,
    /// Its first entries.
    pub(super) first: Vec<Looked>,
    /// How many entries of it are remembered, if that is known.
    pub(super) remembered: Option<usize>,
    /// Whether the directory was there; if not, it vanished.
    pub(super) found: bool,
    /// Why entries are missing, if some are.
    pub(super) left_out: Option<Why>,
    pub(super) error: Option<Errno>,
}

/// What came of looking at one name.
#[derive(Debug)]
pub(super) struct Looked {
    pub(super) name: Vec<u8>,
    pub(super) look: Look,
}

#[derive(Debug)]
pub(super) enum Look {
    Seen(Box<Seen>),
    LeftOut(Why),
    Failed(Errno),
    /// Listed again and again, and never there to be looked at.
    Phantom,
}

/// An object as it was seen.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) status: Status,
    pub(super) xattrs: Result<Xattrs, Errno>,
    /// Of a symlink.
    pub(super) target: Vec<u8>,
    /// Of a file, if it is remembered.
    pub(super) content: Option<Content>,
    pub(super) trace: Trace,
}

/// Place of a piece of work in the walk: indices from the root down. A batch is placed at its
/// first entry, the listing of a directory at the directory, right behind its batch.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    path: Vec<u32>,
    step: Step,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Look,
    List,
}

#[derive(Debug)]
enum Work {
    Root(Arc<Directory>),
    List { parent: Arc<Directory>, device: u64, name: Vec<u8>, seen: Status },
    Look { listed: Arc<Listed>, device: u64, first: usize },
}

/// Entries that were looked at together.
#[derive(Debug, Default)]
struct Batch {
    looked: Vec<Looked>,
    /// See [`Opened::remembered`].
    remembered: Option<usize>,
}

#[derive(Debug)]
enum Done {
    Opened(Opened),
    Looked(Vec<Looked>),
}

/// The threads and what they share.
#[derive(Debug)]
pub(super) struct Ahead {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    rules: Rules,
    memory: Option<Arc<dyn Remembers>>,
    board: Mutex<Board>,
    /// Signals threads: there is work, or there is room for results.
    work: Condvar,
    /// Signals the walk: the result it waits for is there.
    done: Condvar,
}

#[derive(Debug, Default)]
struct Board {
    pending: BTreeMap<Place, Work>,
    ready: BTreeMap<Place, Done>,
    ready_weight: usize,
    ready_names: usize,
    /// What the walk waits for; a thread works on it.
    wanted: Option<Place>,
    /// Threads that wait for work or room.
    idle: usize,
    closed: bool,
}

impl Ahead {
    /// Starts `threads` threads on the directory `root`.
    pub(super) fn new(
        rules: Rules,
        memory: Option<Arc<dyn Remembers>>,
        threads: usize,
        root: Arc<Directory>,
    ) -> Self {
        let mut board = Board::default();
        board.pending.insert(Place { path: Vec::new(), step: Step::List }, Work::Root(root));
        let board = Mutex::new(board);
        let (work, done) = (Condvar::new(), Condvar::new());
        let shared = Arc::new(Shared { rules, memory, board, work, done });
        let threads = (0..threads)
            .map(|_| {
                let shared = shared.clone();
                std::thread::spawn(move || shared.run())
            })
            .collect();
        Self { shared, threads }
    }

    /// Takes the directory at `position`, waiting for it.
    pub(super) fn opened(&self, position: &[u32]) -> Opened {
        match self.shared.take(Place { path: position.to_vec(), step: Step::List }) {
            Done::Opened(opened) => opened,
            Done::Looked(_) => unreachable!("listing gives a listing"),
        }
    }

    /// Takes the entries from the `first` on of the directory at `position`, waiting for them.
    pub(super) fn batch(&self, position: &[u32], first: usize) -> Vec<Looked> {
        match self.shared.take(place_of_batch(position, first)) {
            Done::Looked(looked) => looked,
            Done::Opened(_) => unreachable!("looking gives entries"),
        }
    }
}

impl Drop for Ahead {
    fn drop(&mut self) {
        self.shared.close();
        for thread in self.threads.drain(..) {
            // A thread that panicked has closed the board already; there is nothing to add.
            drop(thread.join());
        }
    }
}

fn place_of_batch(position: &[u32], first: usize) -> Place {
    let mut path = position.to_vec();
    path.push(u32::try_from(first).expect("a listing has fewer than 2^32 names"));
    Place { path, step: Step::Look }
}

impl Shared {
    fn board(&self) -> MutexGuard<'_, Board> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn close(&self) {
        self.board().closed = true;
        self.work.notify_all();
        self.done.notify_all();
    }

    /// The result at `place`: does the work if nobody has begun it, else waits for it. Called by
    /// the walk alone.
    fn take(&self, place: Place) -> Done {
        let mut board = self.board();
        loop {
            if let Some(done) = board.ready.remove(&place) {
                board.wanted = None;
                board.ready_weight -= done.weight();
                board.ready_names -= done.names();
                self.wake(board);
                return done;
            }
            if let Some(work) = board.begin(&place) {
                // The next batch may be begun meanwhile.
                self.wake(board);
                let (done, found) = self.carry_out(work, &place);
                let mut board = self.board();
                board.pending.extend(found);
                self.wake(board);
                return done;
            }
            assert!(!board.closed, "a thread of the walk panicked");
            board.wanted = Some(place.clone());
            board = self.done.wait(board).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Wakes a thread if there is work, and room for more than a single result.
    fn wake(&self, board: MutexGuard<'_, Board>) {
        let is_worth_it = board.idle > 0
            && !board.pending.is_empty()
            && board.ready_weight < READY_WEIGHT_AGAIN
            && board.ready_names < READY_NAMES_MAX;
        drop(board);
        if is_worth_it {
            self.work.notify_one();
        }
    }

    /// What each thread does: the earliest piece of work, again and again.
    fn run(&self) {
        // Unwinding must wake the walk, which would wait for ever.
        let guard = CloseOnUnwind(self);
        while let Some((place, work)) = self.next_work() {
            let (done, found) = self.carry_out(work, &place);
            let mut board = self.board();
            board.ready_weight += done.weight();
            board.ready_names += done.names();
            let is_wanted = board.wanted.as_ref() == Some(&place);
            board.ready.insert(place, done);
            board.pending.extend(found);
            self.wake(board);
            if is_wanted {
                self.done.notify_one();
            }
        }
        std::mem::forget(guard);
    }

    /// Waits for work that may be done now; `None` when the walk is over.
    fn next_work(&self) -> Option<(Place, Work)> {
        let mut board = self.board();
        loop {
            if board.closed {
                return None;
            }
            if board.has_room()
                && let Some(place) = board.pending.first_key_value().map(|(place, _)| place.clone())
                && let Some(work) = board.begin(&place)
            {
                self.wake(board);
                return Some((place, work));
            }
            board.idle += 1;
            board = self.work.wait(board).unwrap_or_else(PoisonError::into_inner);
            board.idle -= 1;
        }
    }

    /// Does one piece of work; answers its result and the work that it gives rise to.
    fn carry_out(&self, work: Work, place: &Place) -> (Done, Vec<(Place, Work)>) {
        match work {
            Work::Root(directory) => {
                let device = directory.fd().and_then(Status::of).map_or(0, |it| it.device);
                self.list(directory, device, place)
            }
            Work::List { parent, device, name, seen } => {
                // The root is a level as well.
                let left_out = if parent.depth() + 2 >= TREE_DEPTH_MAX {
                    Some(Why::TooDeep)
                } else {
                    self.rules.stays_out_of(device, &seen)
                };
                let closed = || Arc::new(Directory::closed(&parent, &name, &seen));
                if left_out.is_some() {
                    return (Done::empty(closed(), true, left_out, None), Vec::new());
                }
                match Directory::child(&parent, &name, &seen) {
                    Ok(directory) => self.list(directory, seen.device, place),
                    Err(Errno::NOENT | Errno::STALE | Errno::NOTDIR | Errno::LOOP) => {
                        (Done::empty(closed(), false, None, None), Vec::new())
                    }
                    Err(error) => (Done::empty(closed(), true, None, Some(error)), Vec::new()),
                }
            }
            Work::Look { listed, device, first } => {
                let position = place.path.split_last().map_or(&[][..], |(_, position)| position);
                let (batch, found) = self.look(&listed, device, first, position);
                (Done::Looked(batch.looked), found)
            }
        }
    }

    fn list(
        &self,
        directory: Arc<Directory>,
        device: u64,
        place: &Place,
    ) -> (Done, Vec<(Place, Work)>) {
        let fd = match directory.fd() {
            Ok(fd) => fd,
            Err(error) => return (Done::empty(directory, true, None, Some(error)), Vec::new()),
        };
        let (mut listing, mut error) = Listing::read(&fd);
        let mut left_out = None;
        // Deleted since it was opened, so that its entries are gone as well.
        if error == Some(Errno::NOENT) {
            error = None;
            left_out = Some(Why::Vanished);
        }
        if listing.contains(CACHE_TAG) && is_cache_tag(&fd) {
            listing.keep_only(CACHE_TAG);
            left_out = Some(Why::CacheDirectory);
        }
        let listed = Arc::new(Listed { directory, listing });
        let (looked, mut found) = self.look(&listed, device, 0, &place.path);
        if listed.listing.len() > BATCH_ENTRIES {
            let first = BATCH_ENTRIES;
            let work = Work::Look { listed: listed.clone(), device, first };
            found.push((place_of_batch(&place.path, first), work));
        }
        let Batch { looked: first, remembered } = looked;
        (Done::Opened(Opened { listed, first, remembered, found: true, left_out, error }), found)
    }

    fn look(
        &self,
        listed: &Arc<Listed>,
        device: u64,
        first: usize,
        position: &[u32],
    ) -> (Batch, Vec<(Place, Work)>) {
        let Listed { directory, listing } = &**listed;
        let indices = first..listing.len().min(first + BATCH_ENTRIES);
        if indices.is_empty() {
            return (Batch::default(), Vec::new());
        }
        let fd = match directory.fd() {
            Ok(fd) => fd,
            Err(error) => {
                let looked = indices
                    .map(|at| Looked { name: listing.name(at).to_vec(), look: Look::Failed(error) })
                    .collect();
                return (Batch { looked, remembered: None }, Vec::new());
            }
        };
        let mut found = Vec::new();
        let mut looked = Vec::with_capacity(indices.len());
        let now = SystemTime::now();
        let Recollection { entries, whole: remembered } =
            self.memory.as_ref().map_or_else(Recollection::default, |memory| {
                let (first, last) = (listing.name(indices.start), listing.name(indices.end - 1));
                memory.remembered(directory.key(), first, last)
            });
        let mut entries = entries.into_iter().peekable();
        for index in indices {
            let name = listing.name(index).to_vec();
            while entries.next_if(|entry| entry.name < name).is_some() {}
            let before = entries.next_if(|entry| entry.name == name);
            let look = self.look_at(directory, &fd, &name, (before, now));
            if let Look::Seen(seen) = &look
                && seen.status.file_type == FileType::Directory
            {
                let mut path = position.to_vec();
                path.push(u32::try_from(index).expect("a listing has fewer than 2^32 names"));
                let (parent, name, seen) = (directory.clone(), name.clone(), seen.status.clone());
                let work = Work::List { parent, device, name, seen };
                found.push((Place { path, step: Step::List }, work));
            }
            looked.push(Looked { name, look });
        }
        let is_lost = |one: &Looked| matches!(one.look, Look::Failed(Errno::NOENT));
        if looked.iter().any(is_lost)
            // Not the shared descriptor: another thread may be listing through it.
            && let Ok(again) = open_directory(&fd, b".")
        {
            let (fresh, _) = Listing::read(&again);
            find_phantoms(&mut looked, &fresh, |name| Status::at(&fd, name));
        }
        (Batch { looked, remembered }, found)
    }

    fn look_at(
        &self,
        directory: &Directory,
        fd: &(impl AsFd + std::os::fd::AsRawFd),
        name: &[u8],
        (before, now): (Option<Remembered>, SystemTime),
    ) -> Look {
        let status = match Status::at(fd, name) {
            Ok(status) => status,
            Err(error) => return Look::Failed(error),
        };
        if let Some(why) = self.rules.leaves_out(name, &status, || directory.path_of(name)) {
            return Look::LeftOut(why);
        }
        let stamp = status.stamp();
        // Where there is no birth time, inode numbers and change times are often made up as well.
        let is_reliable = status.born.is_some();
        let before = before.filter(|before| is_reliable && before.stamp == stamp.to_bytes());
        if let Some(Remembered { xattrs: Some(read), looked, target, content, .. }) = before {
            let xattrs = Ok(Xattrs { read, unread: Vec::new() });
            let trace = Trace { recalled: Some(looked), is_settled: true, is_whole: true };
            let seen = Seen { status, xattrs, target, content, trace };
            return Look::Seen(Box::new(seen));
        }
        let mut target = Vec::new();
        if status.file_type == FileType::Symlink {
            match readlinkat(fd, name, Vec::new()) {
                Ok(text) => target = text.into_bytes(),
                Err(error) => return Look::Failed(error),
            }
        }
        let xattrs = Object::at(fd, name).read();
        // Either it vanished, or there is no `/proc` to name it by.
        if matches!(xattrs, Err(Errno::NOENT))
            && let Err(error) = Status::at(fd, name)
        {
            return Look::Failed(error);
        }
        let is_settled = is_reliable && stamp.is_settled(now);
        // What was read by name may be of another object than the status.
        let has_more = !target.is_empty() || xattrs.as_ref().is_ok_and(|it| !it.read.is_empty());
        let is_same = || Status::at(fd, name).is_ok_and(|again| again.stamp() == stamp);
        let is_all = xattrs.as_ref().is_ok_and(|xattrs| xattrs.unread.is_empty());
        let is_whole = is_all && (!is_settled || !has_more || is_same());
        let trace = Trace { recalled: None, is_settled, is_whole };
        let content = before.and_then(|before| before.content);
        Look::Seen(Box::new(Seen { status, xattrs, target, content, trace }))
    }
}

impl Board {
    fn has_room(&self) -> bool {
        self.ready_weight < READY_WEIGHT_MAX && self.ready_names < READY_NAMES_MAX
    }

    /// Takes a piece of work that nobody has begun.
    fn begin(&mut self, place: &Place) -> Option<Work> {
        let work = self.pending.remove(place)?;
        // The next batch of the same directory may go to another thread at once.
        if let Work::Look { listed, device, first } = &work
            && first + BATCH_ENTRIES < listed.listing.len()
        {
            let (listed, device) = (listed.clone(), *device);
            let first = first + BATCH_ENTRIES;
            let position = place.path.split_last().map_or(&[][..], |(_, position)| position);
            let next = place_of_batch(position, first);
            self.pending.insert(next, Work::Look { listed, device, first });
        }
        Some(work)
    }
}

impl Done {
    fn empty(
        directory: Arc<Directory>,
        found: bool,
        left_out: Option<Why>,
        error: Option<Errno>,
    ) -> Self {
        let listed = Arc::new(Listed { directory, listing: Listing::default() });
        let (first, remembered) = (Vec::new(), None);
        Self::Opened(Opened { listed, first, remembered, found, left_out, error })
    }

    fn weight(&self) -> usize {
        let weight = |looked: &[Looked]| looked.iter().map(Looked::weight).sum::<usize>();
        match self {
            Self::Opened(opened) => 1 + weight(&opened.first),
            Self::Looked(looked) => weight(looked),
        }
    }

    fn names(&self) -> usize {
        match self {
            Self::Opened(opened) => opened.listed.listing.len(),
            Self::Looked(_) => 0,
        }
    }
}

impl Looked {
    fn weight(&self) -> usize {
        let Look::Seen(seen) = &self.look else { return 1 };
        let xattrs = seen.xattrs.as_ref().map_or(0, |xattrs| {
            xattrs.read.iter().map(|xattr| xattr.name.len() + xattr.value.len()).sum()
        });
        1 + (xattrs + seen.target.len()) / WEIGHT_BYTES
    }
}

/// What was listed and cannot be found was deleted in between, unless a fresh listing has it too.
fn find_phantoms(
    looked: &mut [Looked],
    fresh: &Listing,
    look: impl Fn(&[u8]) -> Result<Status, Errno>,
) {
    for one in looked {
        if matches!(one.look, Look::Failed(Errno::NOENT))
            && fresh.contains(&one.name)
            && look(&one.name) == Err(Errno::NOENT)
        {
            one.look = Look::Phantom;
        }
    }
}

/// Closes the board when dropped, which happens while unwinding only.
struct CloseOnUnwind<'a>(&'a Shared);

impl Drop for CloseOnUnwind<'_> {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// Whether `CACHEDIR.TAG` in `dir` is a regular file with the right signature.
fn is_cache_tag(dir: impl AsFd) -> bool {
    let is_file = Status::at(&dir, CACHE_TAG).is_ok_and(|it| it.file_type == FileType::RegularFile);
    if !is_file {
        return false;
    }
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let Ok(fd) = openat(dir, CACHE_TAG, flags, Mode::empty()) else { return false };
    let mut start = [0; CACHE_SIGNATURE.len()];
    pread(&fd, &mut start, 0) == Ok(start.len()) && start == *CACHE_SIGNATURE
}

#[cfg(test)]
mod tests {
    use super::*;

    // FILES-13
    #[test]
    fn a_name_that_is_listed_and_never_there_is_told_from_one_that_vanished() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["listed still", "back again"] {
            std::fs::write(dir.path().join(name), name).unwrap();
        }
        let (directory, _) = Directory::root(dir.path()).unwrap();
        let fd = directory.fd().unwrap();
        let lost = |name: &str| Looked {
            name: name.as_bytes().to_vec(),
            look: Look::Failed(Errno::NOENT),
        };
        let mut looked = ["listed still", "back again", "vanished"].map(lost);
        find_phantoms(&mut looked, &Listing::read(&fd).0, |name| match name {
            // No usual file system does that.
            b"listed still" => Err(Errno::NOENT),
            name => Status::at(&fd, name),
        });
        let is_phantom = looked.map(|one| matches!(one.look, Look::Phantom));
        assert_eq!(is_phantom, [true, false, false]);
    }
}
