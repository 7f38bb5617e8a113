//! A directory of a walked tree: held by descriptor, reopened when too many are open, never
//! found again through a path that somebody could have changed.

use std::{
    collections::VecDeque,
    mem::MaybeUninit,
    os::{
        fd::{AsFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use rustix::{
    fs::{CWD, Mode, OFlags, RawDir, openat},
    io::Errno,
};

use super::status::Status;
use crate::descriptors;

/// Directories of one walk that are open at once, of those that the process may have open.
const OPEN_SHARE: u64 = 4;
const OPEN_MIN: usize = 16;
const OPEN_MAX: usize = 192;
/// Buffer for one `getdents`: a few thousand names a call.
const LISTING_BUFFER_BYTES: usize = 128 * 1024;

/// Which directory it is, from one walk to the next: the same one also after it was moved, where
/// its file system keeps birth times; else the one at the same path, of whose entries nothing is
/// remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DirectoryKey(pub [u8; 16]);

impl DirectoryKey {
    fn of(parent: Option<Self>, name: &[u8], seen: &Status) -> Self {
        let mut key = [0; 16];
        if let Some(born) = &seen.born {
            let (inode, rest) = key.split_at_mut(8);
            // First: what was made together is remembered together.
            inode.copy_from_slice(&seen.inode.to_be_bytes());
            let (seconds, nanoseconds) = rest.split_at_mut(4);
            // The low half of the seconds will do for 136 years.
            seconds.copy_from_slice(&born.seconds.to_be_bytes()[4..]);
            nanoseconds.copy_from_slice(&born.nanoseconds.to_be_bytes());
        } else {
            let mut hasher = blake3::Hasher::new_derive_key("larder 2026 directory key v1");
            hasher.update(&parent.map_or([0; 16], |parent| parent.0)).update(name);
            key.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
        }
        Self(key)
    }
}

/// One directory of a walked tree. Cheap to keep: it may close itself and open again.
#[derive(Debug)]
pub struct Directory {
    parent: Option<Arc<Self>>,
    name: Vec<u8>,
    depth: usize,
    key: DirectoryKey,
    object: (u64, u64),
    open: Mutex<Option<Arc<OwnedFd>>>,
    pool: Arc<OpenPool>,
}

impl Directory {
    /// Opens the root of a walk. Symlinks in `path` are followed: a person named it.
    pub(crate) fn root(path: &Path) -> Result<(Arc<Self>, Status), Errno> {
        let fd = open_long(path)?;
        let status = Status::of(&fd)?;
        let directory = Self {
            parent: None,
            name: Vec::new(),
            depth: 0,
            key: DirectoryKey::of(None, path.as_os_str().as_bytes(), &status),
            object: status.object(),
            open: Mutex::new(Some(Arc::new(fd))),
            pool: Arc::new(OpenPool::of_process()),
        };
        Ok((Arc::new(directory), status))
    }

    /// Opens `name` below `parent`, if it is still the directory that `seen` describes.
    ///
    /// # Errors
    /// `ESTALE` when something else stands there now.
    pub(crate) fn child(
        parent: &Arc<Self>,
        name: &[u8],
        seen: &Status,
    ) -> Result<Arc<Self>, Errno> {
        let fd = parent.pool.open(&parent.fd()?, name)?;
        if Status::of(&fd)?.object() != seen.object() {
            return Err(Errno::STALE);
        }
        let directory = Arc::new(Self::closed(parent, name, seen));
        directory.keep(Arc::new(fd));
        Ok(directory)
    }

    /// The directory that `seen` describes, not opened (yet).
    pub(crate) fn closed(parent: &Arc<Self>, name: &[u8], seen: &Status) -> Self {
        Self {
            parent: Some(parent.clone()),
            name: name.to_vec(),
            depth: parent.depth + 1,
            key: DirectoryKey::of(Some(parent.key), name, seen),
            object: seen.object(),
            open: Mutex::new(None),
            pool: parent.pool.clone(),
        }
    }

    /// Last component of its path, empty for the root.
    pub fn name(&self) -> &[u8] {
        &self.name
    }

    /// Which one it is, from one walk to the next.
    pub fn key(&self) -> DirectoryKey {
        self.key
    }

    /// Directories above it, up to the root of the walk.
    pub fn depth(&self) -> usize {
        self.depth
    }

    /// The directory it is in, `None` for the root of the walk.
    pub fn parent(&self) -> Option<&Arc<Self>> {
        self.parent.as_ref()
    }

    /// Path from the root of the walk, empty for the root itself. May be longer than `PATH_MAX`.
    pub fn path(&self) -> Vec<u8> {
        let mut names = Vec::with_capacity(self.depth);
        let mut at = self;
        while let Some(parent) = &at.parent {
            names.push(at.name.as_slice());
            at = parent;
        }
        names.reverse();
        names.join(&b'/')
    }

    /// Path of `name` in this directory, from the root of the walk.
    pub fn path_of(&self, name: &[u8]) -> Vec<u8> {
        let mut path = self.path();
        if !path.is_empty() {
            path.push(b'/');
        }
        path.extend_from_slice(name);
        path
    }

    /// A descriptor of it. Opens it again, if need be, from the nearest open directory above.
    ///
    /// # Errors
    /// `ESTALE` when a directory on the way was replaced.
    pub(crate) fn fd(self: &Arc<Self>) -> Result<Arc<OwnedFd>, Errno> {
        let mut chain = Vec::new();
        let mut at = self;
        let mut fd = loop {
            if let Some(fd) = at.held() {
                break fd;
            }
            chain.push(at);
            // The root is never closed.
            at = at.parent.as_ref().ok_or(Errno::STALE)?;
        };
        while let Some(next) = chain.pop() {
            let opened = self.pool.open(&fd, &next.name)?;
            if Status::of(&opened)?.object() != next.object {
                return Err(Errno::STALE);
            }
            fd = Arc::new(opened);
            next.keep(fd.clone());
        }
        Ok(fd)
    }

    fn held(&self) -> Option<Arc<OwnedFd>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn keep(self: &Arc<Self>, fd: Arc<OwnedFd>) {
        *self.open.lock().unwrap_or_else(PoisonError::into_inner) = Some(fd);
        self.pool.opened(self);
    }
}

impl Drop for Directory {
    /// Drops the chain of parents in a loop: thousands of nested drops would overflow a stack.
    fn drop(&mut self) {
        let mut parent = self.parent.take();
        while let Some(mut directory) = parent.and_then(Arc::into_inner) {
            parent = directory.parent.take();
        }
    }
}

/// The directories of one walk that are open, oldest first.
#[derive(Debug)]
pub(crate) struct OpenPool {
    open: Mutex<VecDeque<Weak<Directory>>>,
    open_max: usize,
}

impl OpenPool {
    fn of_process() -> Self {
        let open_max = descriptors::share(OPEN_SHARE, OPEN_MIN, OPEN_MAX);
        Self { open: Mutex::default(), open_max }
    }

    /// Opens `name` in `dir`, for which others of this walk are closed if need be.
    fn open(&self, dir: impl AsFd, name: &[u8]) -> Result<OwnedFd, Errno> {
        descriptors::patiently(|| open_directory(&dir, name), || self.close_but(0))
    }

    fn opened(&self, directory: &Arc<Directory>) {
        let mut open = self.lock();
        open.push_back(Arc::downgrade(directory));
        drop(open);
        self.close_but(self.open_max);
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Weak<Directory>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Closes the oldest until no more than `kept` are open.
    fn close_but(&self, kept: usize) {
        let mut open = self.lock();
        let count = open.len().saturating_sub(kept);
        let closing: Vec<_> = open.drain(..count).filter_map(|oldest| oldest.upgrade()).collect();
        drop(open);
        for directory in closing {
            *directory.open.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
    }
}

/// Opens a directory for listing, without following a symlink and without touching its access
/// time where that is allowed.
pub(crate) fn open_directory(dir: impl AsFd, name: &[u8]) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match openat(&dir, name, flags | OFlags::NOATIME, Mode::empty()) {
        Err(Errno::PERM) => openat(&dir, name, flags, Mode::empty()),
        result => result,
    }
}

/// Opens a directory by path, in steps if the path is longer than the kernel takes at once.
fn open_long(path: &Path) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    match openat(CWD, path, flags, Mode::empty()) {
        Err(Errno::NAMETOOLONG) => {}
        result => return result,
    }
    let mut fd: Option<OwnedFd> = None;
    for component in path.components() {
        let step = PathBuf::from(component.as_os_str());
        fd = Some(match &fd {
            Some(fd) => openat(fd, &step, flags, Mode::empty())?,
            None => openat(CWD, &step, flags, Mode::empty())?,
        });
    }
    fd.ok_or(Errno::NOENT)
}

/// Names of one directory in ascending order of their bytes: about 30 bytes of memory more than
/// the name each, so that a million of them fit anywhere.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    bytes: Vec<u8>,
    /// Start and length of each name within `bytes`.
    spans: Vec<(u32, u16)>,
}

impl Listing {
    /// Reads all names. What was read before an error is kept, and the error told.
    pub(crate) fn read(fd: impl AsFd) -> (Self, Option<Errno>) {
        let mut listing = Self::default();
        let mut buffer = vec![MaybeUninit::uninit(); LISTING_BUFFER_BYTES];
        // The descriptor may have been listed before: begin at the first name.
        if let Err(error) = rustix::fs::seek(&fd, rustix::fs::SeekFrom::Start(0)) {
            return (listing, Some(error));
        }
        let mut entries = RawDir::new(fd, &mut buffer);
        let mut failed = None;
        while let Some(entry) = entries.next() {
            match entry {
                Ok(entry) => listing.push(entry.file_name().to_bytes()),
                Err(Errno::INTR) => {}
                // ENOENT: the directory was removed while it was listed.
                Err(error) => {
                    failed = Some(error);
                    break;
                }
            }
        }
        let Self { bytes, spans } = &mut listing;
        spans.sort_unstable_by(|left, right| slice(bytes, *left).cmp(slice(bytes, *right)));
        // A directory changed while listed may name an entry twice.
        spans.dedup_by(|left, right| slice(bytes, *left) == slice(bytes, *right));
        (listing, failed)
    }

    fn push(&mut self, name: &[u8]) {
        if matches!(name, b"." | b"..") {
            return;
        }
        // 4 GiB of names and names beyond 64 KiB do not exist: such an entry cannot be opened.
        let (Ok(start), Ok(length)) = (u32::try_from(self.bytes.len()), u16::try_from(name.len()))
        else {
            return;
        };
        self.bytes.extend_from_slice(name);
        self.spans.push((start, length));
    }

    pub(crate) fn len(&self) -> usize {
        self.spans.len()
    }

    pub(crate) fn name(&self, index: usize) -> &[u8] {
        slice(&self.bytes, self.spans[index])
    }

    pub(crate) fn contains(&self, name: &[u8]) -> bool {
        self.spans.binary_search_by(|span| slice(&self.bytes, *span).cmp(name)).is_ok()
    }

    /// Forgets all names but `name`.
    pub(crate) fn keep_only(&mut self, name: &[u8]) {
        let Self { bytes, spans } = self;
        spans.retain(|span| slice(bytes, *span) == name);
    }
}

fn slice(bytes: &[u8], (start, length): (u32, u16)) -> &[u8] {
    let start = usize::try_from(start).expect("32 bits fit");
    &bytes[start..start + usize::from(length)]
}
