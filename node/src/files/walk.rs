//! Walks a folder: depth first, names ascending by their bytes, files and directories in one order.
//!
//! The walk itself takes results in that order; a few threads work ahead of it (see `ahead`),
//! because on a cold disk each `stat` is a seek. It decides nothing about content and opens no
//! file. Invariants: every [`Event::Enter`] has its [`Event::Leave`]; memory is bounded by the
//! largest directory's names; an entry that cannot be recorded is an event, never silence.

mod ahead;
mod event;
mod remembered;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, VecDeque},
    path::{Path, PathBuf},
    sync::Arc,
    vec::IntoIter,
};

use larder_protocol::tree::entry::Xattr;
use rustix::{fs::FileType, io::Errno};
use thiserror::Error;

use self::ahead::{Ahead, Listed, Look, Looked, Opened, Seen};
pub use self::{
    event::{Event, Found, What, Why},
    remembered::{Recollection, Remembered, Remembers, Trace},
};
use super::{
    directory::{Directory, DirectoryKey},
    exclude::{PatternError, Rules},
    xattr::{Object, Xattrs},
};

/// Threads that work ahead when the caller names no other number. The Linux source tree on a cold
/// virtual disk took 6 to 9 s with 1, 3 to 4 s with 4, and no less with 16.
const THREADS: usize = 4;

/// How to walk.
#[derive(Debug, Clone)]
pub struct Options {
    /// Patterns in gitignore syntax, relative to the root; later ones win.
    pub excludes: Vec<String>,
    /// Never entered wherever they are met, recognised by device and inode: the larder home.
    pub never: Vec<PathBuf>,
    /// Whether to enter directories on other file systems than the root's.
    pub cross_file_systems: bool,
    /// Threads that read ahead, at least 1.
    pub threads: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            excludes: Vec::new(),
            never: Vec::new(),
            cross_file_systems: false,
            threads: THREADS,
        }
    }
}

/// Why a walk could not begin.
#[derive(Debug, Error)]
pub enum WalkError {
    /// The root cannot be opened as a directory.
    #[error("the folder cannot be opened")]
    Root(#[source] Errno),
    /// The root is, or lies within, what is never walked.
    #[error("the folder lies within the larder home, which is never backed up")]
    Home,
    /// A pattern cannot be understood.
    #[error(transparent)]
    Pattern(#[from] PatternError),
}

/// A running walk. Dropping it stops the threads behind it.
#[derive(Debug)]
pub struct Walk {
    ahead: Ahead,
    /// Events made and not yet handed out: a handful.
    events: VecDeque<Event>,
    frames: Vec<Frame>,
    /// File systems in the order they were met.
    ordinals: BTreeMap<u64, u32>,
    root: Option<Seen>,
}

/// A directory entered and not left.
#[derive(Debug)]
struct Frame {
    listed: Arc<Listed>,
    /// Where it is among the directories above: its index in each of them.
    position: Vec<u32>,
    /// Entries taken, ready to be handed out.
    batch: IntoIter<Looked>,
    /// Index of the first entry not handed out.
    next: usize,
    ordinal: u32,
}

impl Walk {
    /// What tells the directory `root` from others, from one walk to the next.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn key_of(root: &Path) -> Result<DirectoryKey, WalkError> {
        let (directory, _) = Directory::root(root).map_err(WalkError::Root)?;
        Ok(directory.key())
    }

    /// Begins to walk the directory `root`; a symlink as the root itself is followed.
    ///
    /// # Errors
    /// When `root` cannot be opened, lies in what is never walked, or a pattern is wrong.
    pub fn new(root: &Path, options: &Options) -> Result<Self, WalkError> {
        Self::remembering(root, options, None)
    }

    /// The same; what `memory` has of an entry with an equal stamp is not read again.
    ///
    /// # Errors
    /// Those of [`new`](Self::new).
    pub fn remembering(
        root: &Path,
        options: &Options,
        memory: Option<Arc<dyn Remembers>>,
    ) -> Result<Self, WalkError> {
        let Options { excludes, never, cross_file_systems, threads } = options;
        let rules = Rules::new(excludes, never, *cross_file_systems)?;
        let (directory, status) = Directory::root(root).map_err(WalkError::Root)?;
        if rules.is_never(&status) || lies_within(root, never) {
            return Err(WalkError::Home);
        }
        let xattrs = directory.fd().and_then(|fd| Object::of(&fd).read());
        let trace = Trace::default();
        let seen = Seen { status, xattrs, target: Vec::new(), content: None, trace };
        Ok(Self {
            ahead: Ahead::new(rules, memory, (*threads).max(1), directory),
            events: VecDeque::new(),
            frames: Vec::new(),
            ordinals: BTreeMap::new(),
            root: Some(seen),
        })
    }

    /// Makes the next events, or answers that there are none.
    fn advance(&mut self) -> bool {
        if let Some(seen) = self.root.take() {
            self.enter(Vec::new(), seen);
            return true;
        }
        let Some(frame) = self.frames.last_mut() else { return false };
        if let Some(looked) = frame.batch.next() {
            let index = u32::try_from(frame.next).expect("a listing has fewer than 2^32 names");
            frame.next += 1;
            self.look(index, looked);
        } else if frame.next < frame.listed.listing.len() {
            frame.batch = self.ahead.batch(&frame.position, frame.next).into_iter();
        } else {
            let directory = frame.listed.directory.clone();
            self.frames.pop();
            self.events.push_back(Event::Leave { directory });
        }
        true
    }

    /// Makes the events of one entry of the directory entered last.
    fn look(&mut self, index: u32, looked: Looked) {
        let frame = self.frames.last().expect("an entry is taken from a frame");
        let (directory, ordinal) = (frame.listed.directory.clone(), frame.ordinal);
        let Looked { name, look } = looked;
        let seen = match look {
            Look::Seen(seen) => *seen,
            Look::LeftOut(why) => return self.skip(directory.path_of(&name), why),
            Look::Failed(error) => return self.fail(directory.path_of(&name), error),
            Look::Phantom => {
                let (path, error) = (directory.path_of(&name), Errno::NOENT);
                return self.events.push_back(Event::Unreadable { path, error });
            }
        };
        if seen.status.file_type == FileType::Directory {
            let mut position = frame.position.clone();
            position.push(index);
            return self.enter(position, seen);
        }
        let Seen { status, xattrs, target, content, trace } = seen;
        let Some(what) = What::new(&status, target) else {
            return self.skip(directory.path_of(&name), Why::UnknownType);
        };
        let xattrs = self.xattrs(xattrs, || directory.path_of(&name));
        let attributes = status.attributes(ordinal, xattrs);
        let stamp = status.stamp();
        self.events.push_back(Event::Entry(Found {
            directory,
            name,
            what,
            attributes,
            stamp,
            trace,
            content,
            ordinal,
        }));
    }

    /// Enters the directory at `position`, which a thread has listed or is about to list.
    fn enter(&mut self, position: Vec<u32>, seen: Seen) {
        let Seen { status, xattrs, trace, .. } = seen;
        let Opened { listed, first, remembered, found, left_out, error } =
            self.ahead.opened(&position);
        let directory = listed.directory.clone();
        // Gone or replaced since it was listed: as if it had never been there.
        if !found {
            return self.skip(directory.path(), Why::Vanished);
        }
        let ordinals = u32::try_from(self.ordinals.len()).unwrap_or(u32::MAX);
        let ordinal = *self.ordinals.entry(status.device).or_insert(ordinals);
        let xattrs = self.xattrs(xattrs, || directory.path());
        let attributes = status.attributes(ordinal, xattrs);
        let (stamp, entered) = (status.stamp(), directory.clone());
        // What `xattrs` noted stands before: notes about a directory surround its `Enter`.
        self.events.push_back(Event::Enter {
            directory: entered,
            attributes,
            stamp,
            trace,
            remembered,
        });
        if let Some(why) = left_out {
            self.skip(directory.path(), why);
        }
        if let Some(error) = error {
            self.events.push_back(Event::Unreadable { path: directory.path(), error });
        }
        let batch = first.into_iter();
        self.frames.push(Frame { listed, position, batch, next: 0, ordinal });
    }

    fn skip(&mut self, path: Vec<u8>, why: Why) {
        self.events.push_back(Event::Skipped { path, why });
    }

    fn fail(&mut self, path: Vec<u8>, error: Errno) {
        match error {
            Errno::NOENT => self.skip(path, Why::Vanished),
            error => self.events.push_back(Event::Unreadable { path, error }),
        }
    }

    /// The attributes that were read; the others become events.
    fn xattrs(&mut self, xattrs: Result<Xattrs, Errno>, path: impl Fn() -> Vec<u8>) -> Vec<Xattr> {
        match xattrs {
            Ok(Xattrs { read, unread }) => {
                for (name, error) in unread {
                    self.skip(path(), Why::Xattr(name, error));
                }
                read
            }
            Err(error) => {
                self.skip(path(), Why::Xattrs(error));
                Vec::new()
            }
        }
    }
}

impl Iterator for Walk {
    type Item = Event;

    fn next(&mut self) -> Option<Event> {
        while self.events.is_empty() {
            if !self.advance() {
                return None;
            }
        }
        self.events.pop_front()
    }
}

/// Whether `root` lies in or below one of `outer`.
fn lies_within(root: &Path, outer: &[PathBuf]) -> bool {
    let Ok(root) = root.canonicalize() else { return false };
    outer.iter().filter_map(|path| path.canonicalize().ok()).any(|path| root.starts_with(path))
}
