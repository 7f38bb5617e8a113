//! Writes a tree below one directory and nowhere else.
//!
//! ```text
//! open -> enter_dir -> begin_file -> write_at ... -> finish -> finish_dir -> sync
//!             1700       .larder-part-<hash>     rename    final attributes
//! ```
//! Every object is built under a part name and renamed when it is complete, attributes included,
//! so that whatever stands under a real name is whole. A marker in the root (the part name of the
//! empty name) says that a restore is under way and in which boot of the machine it began.
//!
//! **Invariant:** no path is resolved but by `openat2(RESOLVE_BENEATH, ...)` or one plain name at
//! a time without following symlinks.

mod attributes;
mod beneath;
mod marker;
mod nodes;
mod part;
mod shortfall;
#[cfg(test)]
mod tests;
mod way;

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    os::fd::{AsRawFd, OwnedFd},
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use larder_protocol::tree::entry::{Attributes, FileTime};
use rustix::{
    fs::{
        AtFlags, FileType, Mode, OFlags, RenameFlags, chmod, fchmod, mkdirat, openat, renameat,
        renameat_with, syncfs, unlinkat,
    },
    io::Errno,
    process::geteuid,
};
use thiserror::Error;

use self::{beneath::Resolver, marker::Marker, way::is_way};
pub use self::{
    nodes::{Made, Special},
    part::{Begun, ExistingFile, PartFile, Placed},
    shortfall::{Lack, Shortfall, Shortfalls},
    way::called,
};
use super::{
    directory::Listing,
    names::{NameError, check_name, is_part_name, part_name},
    status::Status,
    xattr::Object,
};

/// Mode of a directory that is being made. The sticky bit tells it from a private one of the user's
/// when an interrupted restore is given again; its own mode takes the place of it in the end.
const UNFINISHED: u32 = 0o1700;

/// What happens to entries that exist already. One of another kind stands in the way and is kept,
/// except by [`Policy::Always`]; a directory with entries is kept by all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Policy {
    /// They are kept, whatever they are.
    Never,
    /// They are replaced if the snapshot's are newer.
    Newer,
    /// They are replaced unless length and modification time are equal.
    #[default]
    Changed,
    /// They are replaced.
    Always,
}

/// How to restore.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TargetOptions {
    /// What happens to entries that exist already.
    pub policy: Policy,
}

/// Why something could not be restored.
#[derive(Debug, Error)]
pub enum TargetError {
    /// No room, or the quota is used up: stop, make room, and run the restore again.
    #[error("the target has no room left")]
    Full,
    /// The snapshot holds a name that must not or cannot be used.
    #[error("an entry of the snapshot has {0}")]
    Name(#[from] NameError),
    /// A directory with entries stands where something else should be.
    #[error("{} is a folder with entries, and those are never deleted", path.escape_ascii())]
    NotEmpty {
        /// Path from the root of the target.
        path: Vec<u8>,
    },
    /// Something of another kind stands where an entry should be, and is kept.
    #[error("{} is {}, where {} should be", path.escape_ascii(), called(*there), called(*wanted))]
    InTheWay {
        /// Path from the root of the target.
        path: Vec<u8>,
        /// What stands there.
        there: FileType,
        /// What the snapshot has there.
        wanted: FileType,
    },
    /// What is to be restored to is a file or the like.
    #[error("it is no directory")]
    RootNotDirectory,
    /// A directory on the way was replaced by a symlink or something else.
    #[error("{} is not a directory any more", path.escape_ascii())]
    NotDirectory {
        /// Path from the root of the target.
        path: Vec<u8>,
    },
    /// Another restore to the same target is running.
    #[error("another restore to this directory is running")]
    Busy,
    /// The kernel refused.
    #[error("{} cannot be restored", path.escape_ascii())]
    Io {
        /// Path from the root of the target.
        path: Vec<u8>,
        /// What the kernel said.
        #[source]
        source: Errno,
    },
}

impl TargetError {
    fn new(path: &[u8], source: Errno) -> Self {
        let path = path.to_vec();
        match source {
            Errno::NOSPC | Errno::DQUOT => Self::Full,
            Errno::LOOP | Errno::NOTDIR | Errno::XDEV => Self::NotDirectory { path },
            Errno::NOTEMPTY | Errno::EXIST => Self::NotEmpty { path },
            source => Self::Io { path, source },
        }
    }
}

/// The directory that is restored to. Clones share everything.
#[derive(Debug, Clone)]
pub struct Target {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    root: DirHandle,
    policy: Policy,
    resolver: Resolver,
    is_superuser: bool,
    /// `None` if nothing is to be written.
    marker: Option<Marker>,
    /// Part files begun and not finished, by path.
    parts: Mutex<BTreeSet<Vec<u8>>>,
    /// A directory of each file system that was entered, by device.
    file_systems: Mutex<BTreeMap<u64, Arc<OwnedFd>>>,
    shortfalls: Mutex<Shortfalls>,
}

/// An open directory of the target. Clones share the descriptor, which is closed with the last.
#[derive(Debug, Clone)]
pub struct DirHandle {
    fd: Arc<OwnedFd>,
    path: Arc<[u8]>,
    /// Whether this restore made it.
    is_new: bool,
    /// Whether what is made in it has no extended attribute of ours by itself.
    is_plain: bool,
    /// The mode it had before it was made usable.
    mode_before: Option<u32>,
}

impl DirHandle {
    /// Path from the root of the target, empty for the root itself.
    pub fn path(&self) -> &[u8] {
        &self.path
    }

    /// Path of an entry from the root of the target.
    pub fn path_of(&self, name: &[u8]) -> Vec<u8> {
        if self.path.is_empty() { name.to_vec() } else { [&self.path, name].join(&b'/') }
    }
}

/// What the policy says about one entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plan {
    /// Nothing stands there, or what does is to be replaced.
    Make,
    /// What stands there is equal as far as can be told without reading.
    Unchanged,
    /// What stands there differs and is kept.
    Keep,
}

impl Target {
    /// Opens the directory `path`, made if it does not exist, and marks it as being restored to.
    /// Symlinks in `path` itself are followed: a person named it.
    ///
    /// # Errors
    /// When it cannot be opened or written to, or another restore to it is running.
    pub fn open(path: &Path, options: TargetOptions) -> Result<Self, TargetError> {
        Self::open_with(path, options, Resolver::Openat2)
    }

    fn open_with(
        path: &Path,
        options: TargetOptions,
        resolver: Resolver,
    ) -> Result<Self, TargetError> {
        let fail = |source| TargetError::new(b".", source);
        let is_new = match std::fs::metadata(path) {
            Ok(status) if !status.is_dir() => return Err(TargetError::RootNotDirectory),
            status => status.is_err_and(|error| error.kind() == io::ErrorKind::NotFound),
        };
        std::fs::create_dir_all(path)
            .map_err(|error| fail(Errno::from_io_error(&error).unwrap_or(Errno::IO)))?;
        let fd = beneath::open_root(path).map_err(fail)?;
        let status = Status::of(&fd).map_err(fail)?;
        let is_plain = is_new && hands_nothing_down(&fd, &status);
        let path = Arc::default();
        let root = DirHandle { fd: Arc::new(fd), path, is_new, is_plain, mode_before: None };
        let marker = Marker::set(&root.fd)?;
        Ok(Self::with(root, options, resolver, Some(marker)))
    }

    /// Opens the directory `path` to see what a restore would do, for [`Target::plan_file`] and
    /// its like. Nothing is changed, and nothing may be made; `None` if there is no directory.
    ///
    /// # Errors
    /// When it exists and cannot be opened.
    pub fn survey(path: &Path, options: TargetOptions) -> Result<Option<Self>, TargetError> {
        let fd = match beneath::open_root(path) {
            Ok(fd) => fd,
            Err(Errno::NOENT) => return Ok(None),
            Err(Errno::NOTDIR) => return Err(TargetError::RootNotDirectory),
            Err(source) => return Err(TargetError::new(b".", source)),
        };
        let root = DirHandle {
            fd: Arc::new(fd),
            path: Arc::default(),
            is_new: false,
            is_plain: false,
            mode_before: None,
        };
        Ok(Some(Self::with(root, options, Resolver::Openat2, None)))
    }

    fn with(
        root: DirHandle,
        options: TargetOptions,
        resolver: Resolver,
        marker: Option<Marker>,
    ) -> Self {
        let inner = Inner {
            root,
            policy: options.policy,
            resolver: resolver.supported(),
            is_superuser: geteuid().is_root(),
            marker,
            parts: Mutex::default(),
            file_systems: Mutex::default(),
            shortfalls: Mutex::default(),
        };
        Self { inner: Arc::new(inner) }
    }

    /// The root of the target.
    pub fn root(&self) -> DirHandle {
        self.inner.root.clone()
    }

    /// Whether an earlier restore to this directory did not end.
    pub fn is_resumed(&self) -> bool {
        self.inner.marker.as_ref().is_some_and(|marker| marker.is_resumed)
    }

    /// Opens the existing directory at `path` (its components) from the root.
    ///
    /// # Errors
    /// [`TargetError::NotDirectory`] if any component is a symlink, or no directory.
    pub fn open_dir<N: AsRef<[u8]>>(&self, path: &[N]) -> Result<DirHandle, TargetError> {
        for name in path {
            check_name(name.as_ref())?;
        }
        let names: Vec<&[u8]> = path.iter().map(AsRef::as_ref).collect();
        let path = names.join(&b'/');
        let root = self.inner.root.fd.clone();
        let fd = match self.inner.resolver.open(&root, &names) {
            Ok(fd) => fd.map_or(root, Arc::new),
            Err(source) => return Err(TargetError::new(&path, source)),
        };
        Ok(DirHandle { fd, path: path.into(), is_new: false, is_plain: false, mode_before: None })
    }

    /// Opens the directory `name` in `parent`, made for the user alone if it is not there.
    ///
    /// # Errors
    /// [`TargetError::InTheWay`] when the policy keeps what stands there: leave out all that is
    /// below. A directory is never deleted here.
    pub fn enter_dir(&self, parent: &DirHandle, name: &[u8]) -> Result<DirHandle, TargetError> {
        check_name(name)?;
        let path = parent.path_of(name);
        let fail = |source| TargetError::new(&path, source);
        let mut is_new = self.make_dir(parent, name).map_err(fail)?;
        let mut mode_before = None;
        if !is_new {
            let status = Status::at(&parent.fd, name).map_err(fail)?;
            if status.file_type == FileType::Directory {
                mode_before = self.make_usable(parent, name, &status);
            } else {
                self.may_make_way(parent, name, &status, FileType::Directory)?;
                unlinkat(&parent.fd, name, AtFlags::empty()).map_err(fail)?;
                is_new = self.make_dir(parent, name).map_err(fail)?;
            }
        }
        let fd = self.inner.resolver.open(&parent.fd, &[name]).map_err(fail)?;
        let fd = Arc::new(fd.ok_or_else(|| fail(Errno::NOTDIR))?);
        let status = self.note_file_system(&fd).map_err(fail)?;
        let is_plain = is_new && hands_nothing_down(&fd, &status);
        Ok(DirHandle { fd, path: path.into(), is_new, is_plain, mode_before })
    }

    /// Opens the directory `name` in `parent` on the way to what is restored: made for this user
    /// alone when it is not there, and never given attributes. Its own are not recorded, and what
    /// comes below it may have been out of sight of others because of them.
    ///
    /// # Errors
    /// [`TargetError::InTheWay`] when a symlink or something else stands there, whatever the policy.
    pub fn pass_dir(&self, parent: &DirHandle, name: &[u8]) -> Result<DirHandle, TargetError> {
        check_name(name)?;
        let path = parent.path_of(name);
        let fail = |source| TargetError::new(&path, source);
        let is_new = match mkdirat(&parent.fd, name, Mode::RWXU) {
            Ok(()) => true,
            Err(Errno::EXIST) => {
                let existing = self.existing(parent, name)?;
                existing.map_or(Ok(()), |it| is_way(parent, name, &it))?;
                false
            }
            Err(source) => return Err(fail(source)),
        };
        let fd = self.inner.resolver.open(&parent.fd, &[name]).map_err(fail)?;
        let fd = Arc::new(fd.ok_or_else(|| fail(Errno::NOTDIR))?);
        let status = self.note_file_system(&fd).map_err(fail)?;
        let is_plain = is_new && hands_nothing_down(&fd, &status);
        Ok(DirHandle { fd, path: path.into(), is_new, is_plain, mode_before: None })
    }

    /// Remembers the file system of a directory for [`Self::sync`]; answers its status.
    fn note_file_system(&self, fd: &Arc<OwnedFd>) -> Result<Status, Errno> {
        let status = Status::of(fd)?;
        let device = status.device;
        let all = &self.inner.file_systems;
        let mut all = all.lock().unwrap_or_else(PoisonError::into_inner);
        all.entry(device).or_insert_with(|| Arc::clone(fd));
        Ok(status)
    }

    /// Takes those rights of group and others from an existing directory that it will not have in
    /// the end either, before anything is put into it. What cannot be taken is noted in the end.
    pub fn shut(&self, directory: &DirHandle, attributes: &Attributes) {
        if directory.is_new || self.inner.policy == Policy::Never {
            return;
        }
        let Ok(status) = Status::of(&directory.fd) else { return };
        let mode = status.mode & (attributes.mode | !0o077);
        if mode != status.mode {
            let _ = fchmod(&directory.fd, Mode::from_raw_mode(mode));
        }
    }

    /// Gives a directory its attributes, after everything in it is done.
    ///
    /// # Errors
    /// [`TargetError`]; what an ordinary user may not set is a shortfall, not an error.
    pub fn finish_dir(
        &self,
        directory: &DirHandle,
        attributes: &Attributes,
    ) -> Result<(), TargetError> {
        if self.inner.policy == Policy::Never {
            return self.finish_new_dir(directory, attributes);
        }
        self.clear_dir(directory);
        self.apply(&directory.fd, None, &directory.path, attributes)
    }

    /// The same for a directory of which only some entries are restored: one that was there before
    /// keeps its attributes.
    ///
    /// # Errors
    /// As [`Self::finish_dir`].
    pub fn finish_new_dir(
        &self,
        directory: &DirHandle,
        attributes: &Attributes,
    ) -> Result<(), TargetError> {
        self.clear_dir(directory);
        let fail = |source| TargetError::new(&directory.path, source);
        let status = Status::of(&directory.fd).map_err(fail)?;
        // Made by an earlier restore that did not come to this point. Setgid may be inherited.
        let is_unfinished = self.is_resumed()
            && status.mode & 0o5777 == UNFINISHED
            && status.uid == geteuid().as_raw();
        if directory.is_new || is_unfinished {
            return self.apply(&directory.fd, None, &directory.path, attributes);
        }
        if let Some(before) = directory.mode_before {
            // As it was found. Should that fail, it stays as usable as this restore made it.
            let _ = fchmod(&directory.fd, Mode::from_raw_mode(before));
        }
        Ok(())
    }

    fn clear_dir(&self, directory: &DirHandle) {
        if self.is_resumed() {
            self.remove_old_parts(directory);
        }
    }

    /// Makes everything durable, and takes the marker away if nothing was left unfinished.
    ///
    /// # Errors
    /// [`TargetError`] when the file system reports that writing failed.
    pub fn sync(&self) -> Result<(), TargetError> {
        self.write_out()?;
        let root = &self.inner.root.fd;
        let fail = |source| TargetError::new(b".", source);
        if let (Some(marker), true) = (&self.inner.marker, self.parts().is_empty()) {
            // Taking the marker away must not show in the root's own time.
            let modified = Status::of(root).map_err(fail)?.modified;
            marker.remove(root).map_err(fail)?;
            attributes::set_modified(root, modified);
        }
        Ok(())
    }

    /// The same after restoring some paths only: after a crash of the machine the marker stays, for
    /// what the earlier restore wrote elsewhere has not been compared.
    ///
    /// # Errors
    /// As [`Self::sync`].
    pub fn sync_some(&self) -> Result<(), TargetError> {
        let is_after_crash = self.inner.marker.as_ref().is_some_and(|it| it.is_after_crash);
        if is_after_crash { self.write_out() } else { self.sync() }
    }

    /// Makes everything durable that was written so far.
    ///
    /// # Errors
    /// [`TargetError`] when the file system reports that writing failed, which it does once.
    pub fn write_out(&self) -> Result<(), TargetError> {
        let fail = |source| TargetError::new(b".", source);
        syncfs(&self.inner.root.fd).map_err(fail)?;
        let others = self.inner.file_systems.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for fd in others.values() {
            syncfs(fd).map_err(fail)?;
        }
        Ok(())
    }

    /// Everything that could not be restored as it was.
    pub fn shortfalls(&self) -> Shortfalls {
        self.inner.shortfalls.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn lacks(&self, path: &[u8], lack: Lack) {
        self.inner.shortfalls.lock().unwrap_or_else(PoisonError::into_inner).add(path, lack);
    }

    fn parts(&self) -> MutexGuard<'_, BTreeSet<Vec<u8>>> {
        self.inner.parts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the policy keeps `existing`, which differs from an entry modified at `modified`.
    fn keeps(&self, existing: &Status, modified: FileTime) -> bool {
        match self.inner.policy {
            Policy::Never => true,
            Policy::Newer => existing.modified > modified,
            Policy::Changed | Policy::Always => false,
        }
    }

    /// What the policy says, given what stands at a name and whether it looks equal.
    fn plan(
        &self,
        (parent, name): (&DirHandle, &[u8]),
        existing: Option<&Status>,
        (wanted, modified): (FileType, FileTime),
        is_equal: impl FnOnce(&Status) -> bool,
    ) -> Result<Plan, TargetError> {
        let Some(existing) = existing else { return Ok(Plan::Make) };
        if existing.file_type != wanted {
            return self.may_make_way(parent, name, existing, wanted).map(|()| Plan::Make);
        }
        // After a crash of the machine, length and time may be right and the bytes may be not.
        let is_after_crash = self.inner.marker.as_ref().is_some_and(|it| it.is_after_crash);
        let is_trusted = !is_after_crash && self.inner.policy != Policy::Always;
        Ok(if is_trusted && is_equal(existing) {
            Plan::Unchanged
        } else if self.keeps(existing, modified) {
            Plan::Keep
        } else {
            Plan::Make
        })
    }

    /// Looks at what stands at `name`.
    fn existing(&self, parent: &DirHandle, name: &[u8]) -> Result<Option<Status>, TargetError> {
        match Status::at(&parent.fd, name) {
            Ok(status) => Ok(Some(status)),
            Err(Errno::NOENT) => Ok(None),
            Err(source) => Err(TargetError::new(&parent.path_of(name), source)),
        }
    }

    /// Whether the directory was made; if not, something stands there.
    fn make_dir(&self, parent: &DirHandle, name: &[u8]) -> Result<bool, Errno> {
        match mkdirat(&parent.fd, name, Mode::from_raw_mode(UNFINISHED)) {
            Ok(()) => Ok(true),
            Err(Errno::EXIST) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Lets an ordinary owner work in an existing directory whose mode forbids it; should that
    /// fail, opening it will say why. Answers the mode before, if it was changed.
    fn make_usable(&self, parent: &DirHandle, name: &[u8], status: &Status) -> Option<u32> {
        if self.inner.is_superuser || status.mode & 0o700 == 0o700 {
            return None;
        }
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let node = openat(&parent.fd, name, flags, Mode::empty()).ok()?;
        let mode = Mode::from_raw_mode(status.mode | 0o700);
        let changed = chmod(format!("/proc/self/fd/{}", node.as_raw_fd()), mode);
        changed.is_ok().then_some(status.mode)
    }

    /// Removes part files of an earlier restore that this one did not take up.
    fn remove_old_parts(&self, directory: &DirHandle) {
        let (listing, _) = Listing::read(&directory.fd);
        let marker = part_name(b"");
        let parts = self.parts();
        for index in 0..listing.len() {
            let name = listing.name(index);
            let is_marker = directory.path.is_empty() && name == marker;
            if is_part_name(name) && !is_marker && !parts.contains(&directory.path_of(name)) {
                // It may have been removed by hand, or be a directory, which is not ours.
                let _ = unlinkat(&directory.fd, name, AtFlags::empty());
            }
        }
    }
}

/// Gives what stands at `part` in `directory` the name `name`; what has that name is replaced only
/// if something was seen there that may be.
///
/// # Errors
/// `EEXIST` when something came to stand there unseen.
fn take_name(
    directory: &DirHandle,
    part: &[u8],
    name: &[u8],
    may_replace: bool,
) -> Result<(), Errno> {
    let dir = &directory.fd;
    if !may_replace {
        match take_free_name(directory, part, name) {
            // Not known to every file system: a small race remains there.
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {}
            result => return result,
        }
    }
    renameat(dir, part, dir, name)
}

/// Gives a part its name if nothing stands there.
///
/// # Errors
/// `EEXIST`; `EINVAL` and its like from file systems that cannot tell.
fn take_free_name(directory: &DirHandle, part: &[u8], name: &[u8]) -> Result<(), Errno> {
    let dir = &directory.fd;
    renameat_with(dir, part, dir, name, RenameFlags::NOREPLACE)
}

/// Whether a directory that was just made has no default ACL, which new entries would take over. Not
/// one of another user, which he may have put in the place of ours before it was opened.
fn hands_nothing_down(fd: &impl AsRawFd, status: &Status) -> bool {
    let is_plain = |names: Vec<Vec<u8>>| !names.iter().any(|it| it == b"system.posix_acl_default");
    status.uid == geteuid().as_raw() && Object::of(fd).names().is_ok_and(is_plain)
}
