//! The threads that list directories and look at entries ahead of the walk.
//!
//! Work is a map ordered by the place in the walk. A free thread takes the earliest piece, so
//! that what the walk needs next is always being worked on; it takes none while too much lies
//! ready, unless the walk waits for exactly that piece. Results lie in a second map until taken.

use std::{
    collections::BTreeMap,
    os::fd::AsFd,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::JoinHandle,
};

use larder_protocol::limits::TREE_DEPTH_MAX;
use rustix::{
    fs::{FileType, Mode, OFlags, openat, readlinkat},
    io::{Errno, pread},
};

use super::Why;
use crate::files::{
    directory::{Directory, Listing, open_directory},
    exclude::Rules,
    status::Status,
    xattr::{Object, Xattrs},
};

/// Entries looked at in one piece of work.
const BATCH_ENTRIES: usize = 64;
/// Weight that may lie ready: 1 for each entry, and for each [`WEIGHT_BYTES`] of its extended
/// attributes and link target.
const READY_WEIGHT_MAX: usize = 8192;
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
    Seen(Seen),
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
    /// What the walk waits for.
    wanted: Option<Place>,
    closed: bool,
}

impl Ahead {
    /// Starts `threads` threads on the directory `root`.
    pub(super) fn new(rules: Rules, threads: usize, root: Arc<Directory>) -> Self {
        let mut board = Board::default();
        board.pending.insert(Place { path: Vec::new(), step: Step::List }, Work::Root(root));
        let board = Mutex::new(board);
        let shared = Arc::new(Shared { rules, board, work: Condvar::new(), done: Condvar::new() });
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

    /// Waits for the result at `place`. Called by the walk alone.
    fn take(&self, place: Place) -> Done {
        let mut board = self.board();
        loop {
            if let Some(done) = board.ready.remove(&place) {
                board.wanted = None;
                board.ready_weight -= done.weight();
                board.ready_names -= done.names();
                self.work.notify_one();
                return done;
            }
            assert!(!board.closed, "a thread of the walk panicked");
            board.wanted = Some(place.clone());
            self.work.notify_all();
            board = self.done.wait(board).unwrap_or_else(PoisonError::into_inner);
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
            let more = found.len();
            board.pending.extend(found);
            drop(board);
            if is_wanted {
                self.done.notify_one();
            }
            if more > 0 {
                self.work.notify_one();
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
            if board.may_start_first()
                && let Some((place, work)) = board.pending.pop_first()
            {
                // The next batch of the same directory may go to another thread at once.
                if let Work::Look { listed, device, first } = &work
                    && first + BATCH_ENTRIES < listed.listing.len()
                {
                    let (listed, device) = (listed.clone(), *device);
                    let first = first + BATCH_ENTRIES;
                    let position = &place.path[..place.path.len() - 1];
                    let next = place_of_batch(position, first);
                    board.pending.insert(next, Work::Look { listed, device, first });
                }
                if !board.pending.is_empty() {
                    self.work.notify_one();
                }
                return Some((place, work));
            }
            board = self.work.wait(board).unwrap_or_else(PoisonError::into_inner);
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
            Work::Look { listed, device, first } => self.look(&listed, device, first, place),
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
        let mut found = Vec::new();
        if listed.listing.len() > 0 {
            let work = Work::Look { listed: listed.clone(), device, first: 0 };
            found.push((place_of_batch(&place.path, 0), work));
        }
        (Done::Opened(Opened { listed, found: true, left_out, error }), found)
    }

    fn look(
        &self,
        listed: &Arc<Listed>,
        device: u64,
        first: usize,
        place: &Place,
    ) -> (Done, Vec<(Place, Work)>) {
        let Listed { directory, listing } = &**listed;
        let indices = first..listing.len().min(first + BATCH_ENTRIES);
        let fd = match directory.fd() {
            Ok(fd) => fd,
            Err(error) => {
                let looked = indices
                    .map(|at| Looked { name: listing.name(at).to_vec(), look: Look::Failed(error) })
                    .collect();
                return (Done::Looked(looked), Vec::new());
            }
        };
        let mut found = Vec::new();
        let mut looked = Vec::with_capacity(indices.len());
        for index in indices {
            let name = listing.name(index).to_vec();
            let look = self.look_at(directory, &fd, &name);
            if let Look::Seen(Seen { status, .. }) = &look
                && status.file_type == FileType::Directory
            {
                let mut path = place.path[..place.path.len() - 1].to_vec();
                path.push(u32::try_from(index).expect("a listing has fewer than 2^32 names"));
                let (parent, name, seen) = (directory.clone(), name.clone(), status.clone());
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
        (Done::Looked(looked), found)
    }

    fn look_at(
        &self,
        directory: &Directory,
        fd: &(impl AsFd + std::os::fd::AsRawFd),
        name: &[u8],
    ) -> Look {
        let status = match Status::at(fd, name) {
            Ok(status) => status,
            Err(error) => return Look::Failed(error),
        };
        if let Some(why) = self.rules.leaves_out(name, &status, || directory.path_of(name)) {
            return Look::LeftOut(why);
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
        Look::Seen(Seen { status, xattrs, target })
    }
}

impl Board {
    /// Whether the earliest piece of work may be started.
    fn may_start_first(&self) -> bool {
        let has_room = self.ready_weight < READY_WEIGHT_MAX && self.ready_names < READY_NAMES_MAX;
        has_room || self.wanted.as_ref() == self.pending.first_key_value().map(|(place, _)| place)
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
        Self::Opened(Opened { listed, found, left_out, error })
    }

    fn weight(&self) -> usize {
        match self {
            Self::Opened(_) => 1,
            Self::Looked(looked) => looked.iter().map(Looked::weight).sum(),
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
        let Look::Seen(Seen { xattrs, target, .. }) = &self.look else { return 1 };
        let xattrs = xattrs.as_ref().map_or(0, |xattrs| {
            xattrs.read.iter().map(|xattr| xattr.name.len() + xattr.value.len()).sum()
        });
        1 + (xattrs + target.len()) / WEIGHT_BYTES
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
