//! Entries under way: files whose bytes still come, directories that wait for them.
//!
//! ```text
//! file:       waiting ──first byte──▶ open ──last piece──▶ finished ──▶ its links, its directory
//!                └──────── given up: named as a problem ──────────────────────┘
//! directory:  entered ──planner past its end, all entries done──▶ attributes set ──▶ its parent
//! ```
//! Each counts what it waits for; whoever takes the last one away does what then is to be done.
//! That way no thread waits for another, and only what is under way is in memory.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicU64, Ordering},
};

use larder_protocol::tree::entry::Attributes;

use super::room::Seat;
use crate::files::{Begun, DirHandle, PartFile, Target, TargetError};

/// What becomes of a directory's attributes in the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Finish {
    /// They are set.
    Set,
    /// They are set if the directory is new: only some of its entries are restored.
    IfNew,
    /// They are none of the snapshot's.
    Leave,
}

/// A directory of the target that is being filled.
#[derive(Debug)]
pub(super) struct Dir {
    pub(super) handle: DirHandle,
    pub(super) parent: Option<Arc<Self>>,
    pub(super) attributes: Option<Attributes>,
    pub(super) finish: Finish,
    /// Entries not done, and one for the planner while it is in here.
    pending: AtomicU64,
    seat: Seat,
}

impl Dir {
    /// A directory that the planner has entered. It keeps `parent` from being done.
    pub(super) fn enter(
        handle: DirHandle,
        parent: Option<&Arc<Self>>,
        attributes: Option<Attributes>,
        finish: Finish,
        seat: Seat,
    ) -> Arc<Self> {
        if let Some(parent) = parent {
            parent.hold();
        }
        let (parent, pending) = (parent.cloned(), AtomicU64::new(1));
        Arc::new(Self { handle, parent, attributes, finish, pending, seat })
    }

    /// One more entry that is not done.
    pub(super) fn hold(&self) {
        self.pending.fetch_add(1, Ordering::Relaxed);
    }

    /// One entry is done; true if it was the last.
    pub(super) fn release(&self) -> bool {
        self.pending.fetch_sub(1, Ordering::AcqRel) == 1
    }

    /// Path of an entry from the root of the target.
    pub(super) fn path_of(&self, name: &[u8]) -> Vec<u8> {
        let path = self.handle.path();
        if path.is_empty() { name.to_vec() } else { [path, name].join(&b'/') }
    }
}

/// How far a file is.
#[derive(Debug)]
enum State {
    /// Nothing of it is open: files with their bytes far apart are many.
    Waiting,
    /// Its part file takes bytes.
    Open(Arc<PartFile>),
    /// What stands there already is right, or is kept.
    Settled(Settled),
    /// It cannot be restored now; that was said.
    GivenUp,
}

/// Why a file needs no bytes after all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Settled {
    Unchanged,
    Kept,
}

/// What a piece of a file is written to.
pub(super) enum Place {
    Part(Arc<PartFile>),
    /// Nowhere: the file is settled or given up.
    None,
}

/// How a file ended.
pub(super) enum Ended {
    Part(PartFile),
    Settled(Settled),
    GivenUp,
}

/// A file that is being restored.
#[derive(Debug)]
pub(super) struct File {
    pub(super) dir: Arc<Dir>,
    pub(super) name: Vec<u8>,
    pub(super) bytes: u64,
    pub(super) attributes: Attributes,
    /// Other names of the same file.
    pub(super) links: Option<Arc<Links>>,
    state: Mutex<State>,
    /// Pieces not written, and one for the planner while it adds more.
    pending: AtomicU64,
    /// Held for its room.
    _seat: Seat,
}

impl File {
    /// A file that the planner adds pieces to. It keeps `dir` from being done.
    pub(super) fn begin(
        dir: &Arc<Dir>,
        name: Vec<u8>,
        bytes: u64,
        attributes: Attributes,
        links: Option<Arc<Links>>,
    ) -> Arc<Self> {
        dir.hold();
        let (dir, state) = (Arc::clone(dir), Mutex::new(State::Waiting));
        let (pending, _seat) = (AtomicU64::new(1), dir.seat.file());
        Arc::new(Self { dir, name, bytes, attributes, links, state, pending, _seat })
    }

    /// One more piece that is not written.
    pub(super) fn hold(&self) {
        self.pending.fetch_add(1, Ordering::Relaxed);
    }

    /// One piece is dealt with; true if it was the last.
    pub(super) fn release(&self) -> bool {
        self.pending.fetch_sub(1, Ordering::AcqRel) == 1
    }

    /// Path from the root of the target.
    pub(super) fn path(&self) -> Vec<u8> {
        self.dir.path_of(&self.name)
    }

    /// Where to write; begins the part file the first time.
    pub(super) fn place(&self, target: &Target) -> Result<Place, TargetError> {
        let mut state = self.lock();
        match &*state {
            State::Open(part) => return Ok(Place::Part(Arc::clone(part))),
            State::Settled(_) | State::GivenUp => return Ok(Place::None),
            State::Waiting => {}
        }
        let dir = &self.dir.handle;
        match target.begin_file(dir, &self.name, self.bytes, &self.attributes)? {
            Begun::Part(part) => {
                let part = Arc::new(part);
                *state = State::Open(Arc::clone(&part));
                Ok(Place::Part(part))
            }
            Begun::Unchanged => {
                *state = State::Settled(Settled::Unchanged);
                Ok(Place::None)
            }
            Begun::Kept => {
                *state = State::Settled(Settled::Kept);
                Ok(Place::None)
            }
        }
    }

    /// What stands there turned out to be right.
    pub(super) fn settle(&self) {
        *self.lock() = State::Settled(Settled::Unchanged);
    }

    /// Gives the file up; true the first time, when it is to be said. What was written stays for
    /// the next attempt.
    pub(super) fn give_up(&self) -> bool {
        let before = std::mem::replace(&mut *self.lock(), State::GivenUp);
        !matches!(before, State::GivenUp)
    }

    /// Whether it is given up.
    pub(super) fn is_given_up(&self) -> bool {
        matches!(*self.lock(), State::GivenUp)
    }

    /// How it ended, asked by whoever released it last.
    pub(super) fn end(&self) -> Ended {
        match std::mem::replace(&mut *self.lock(), State::GivenUp) {
            State::Open(part) => match Arc::into_inner(part) {
                Some(part) => Ended::Part(part),
                // Writers drop the part before they release the file.
                None => Ended::GivenUp,
            },
            State::Settled(how) => Ended::Settled(how),
            // A file without any byte was begun before it came here.
            State::Waiting | State::GivenUp => Ended::GivenUp,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A name that waits for the file it is a link to.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) dir: Arc<Dir>,
    pub(super) name: Vec<u8>,
    pub(super) bytes: u64,
    pub(super) attributes: Attributes,
}

/// The names of one hard-linked file, after the first of them.
#[derive(Debug)]
pub(super) struct Links {
    /// Path of the first from the root of the target.
    pub(super) path: Vec<u8>,
    state: Mutex<LinkState>,
}

#[derive(Debug)]
enum LinkState {
    Waiting(Vec<Link>),
    Ready,
    GivenUp,
}

/// What to do with one more link.
pub(super) enum Next {
    /// It was put aside until the file is done.
    Later,
    /// The file is there.
    Make(Link),
    /// The file is not.
    GivenUp(Link),
}

impl Links {
    /// The links to the file that is to stand at `path`.
    pub(super) fn new(path: Vec<u8>) -> Arc<Self> {
        Arc::new(Self { path, state: Mutex::new(LinkState::Waiting(Vec::new())) })
    }

    /// Takes one more link, which keeps its directory from being done.
    pub(super) fn add(&self, link: Link) -> Next {
        link.dir.hold();
        match &mut *self.lock() {
            LinkState::Waiting(waiting) => {
                waiting.push(link);
                Next::Later
            }
            LinkState::Ready => Next::Make(link),
            LinkState::GivenUp => Next::GivenUp(link),
        }
    }

    /// The file is there, or given up; returns the links that waited for it.
    pub(super) fn settle(&self, is_there: bool) -> Vec<Link> {
        let state = if is_there { LinkState::Ready } else { LinkState::GivenUp };
        match std::mem::replace(&mut *self.lock(), state) {
            LinkState::Waiting(waiting) => waiting,
            LinkState::Ready | LinkState::GivenUp => Vec::new(),
        }
    }

    /// Whether the first name was given up.
    pub(super) fn are_given_up(&self) -> bool {
        matches!(*self.lock(), LinkState::GivenUp)
    }

    fn lock(&self) -> MutexGuard<'_, LinkState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
