//! Opening directories without ever leaving the one begun from.

use std::{
    os::fd::{AsFd, OwnedFd},
    path::Path,
};

use rustix::{
    fs::{CWD, Mode, OFlags, ResolveFlags, openat, openat2},
    io::Errno,
};

/// A path handed to the kernel at once stays below `PATH_MAX`.
const STEP_BYTES_MAX: usize = 3800;

/// How a path of several names is resolved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Resolver {
    /// By the kernel, told not to leave and not to follow.
    Openat2,
    /// One name at a time, not followed if it is a symlink.
    Steps,
}

impl Resolver {
    /// This one if the kernel (and a sandbox around us) offers it, else the other.
    pub(super) fn supported(self) -> Self {
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        match openat2(CWD, ".", flags, Mode::empty(), resolve_flags()) {
            Err(Errno::NOSYS | Errno::PERM | Errno::INVAL) => Self::Steps,
            _ => self,
        }
    }

    /// Opens the directory at `names` below `from`; `None` for no names at all. The names are
    /// plain: checked by the caller.
    pub(super) fn open(self, from: impl AsFd, names: &[&[u8]]) -> Result<Option<OwnedFd>, Errno> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut fd: Option<OwnedFd> = None;
        let mut rest = names;
        while !rest.is_empty() {
            let taken = match self {
                Self::Openat2 => fitting(rest),
                Self::Steps => 1,
            };
            let (step, later) = rest.split_at(taken);
            let step = step.join(&b'/');
            let at = fd.as_ref().map_or(from.as_fd(), AsFd::as_fd);
            fd = Some(match self {
                Self::Openat2 => openat2(at, step, flags, Mode::empty(), resolve_flags())?,
                Self::Steps => openat(at, step, flags, Mode::empty())?,
            });
            rest = later;
        }
        Ok(fd)
    }
}

/// How many of `names` (at least one) fit into one call.
fn fitting(names: &[&[u8]]) -> usize {
    let mut bytes = 0;
    let fits = names.iter().take_while(|name| {
        bytes += name.len() + 1;
        bytes <= STEP_BYTES_MAX
    });
    fits.count().max(1)
}

fn resolve_flags() -> ResolveFlags {
    ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS
}

/// Opens the target itself.
pub(super) fn open_root(path: &Path) -> Result<OwnedFd, Errno> {
    openat(CWD, path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
}
