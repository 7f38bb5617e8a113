//! Everything but files and directories: symlinks, fifos, sockets, devices, hard links.

use larder_protocol::tree::entry::{Attributes, DeviceNumber};
use rustix::{
    fs::{
        AtFlags, FileType, Mode, OFlags, linkat, makedev, mknodat, openat, readlinkat, symlinkat,
        unlinkat,
    },
    io::Errno,
};

use super::{DirHandle, Lack, Plan, Target, TargetError, take_name};
use crate::files::{
    names::{check_name, part_name},
    status::Status,
};

/// Largest device numbers of Linux: 12 and 20 bits.
const MAJOR_MAX: u32 = (1 << 12) - 1;
const MINOR_MAX: u32 = (1 << 20) - 1;

/// An entry without content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Special<'a> {
    /// Symbolic link to this target, uninterpreted.
    Symlink(&'a [u8]),
    /// Named pipe.
    Fifo,
    /// Unix socket.
    Socket,
    /// Character device.
    CharDevice(DeviceNumber),
    /// Block device.
    BlockDevice(DeviceNumber),
}

/// What came of making an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Made {
    /// It is there now.
    New,
    /// An equal one stood there; its attributes are set.
    Unchanged,
    /// Another one stands there, and the policy keeps it.
    Kept,
    /// It cannot be made here: noted as a shortfall.
    Lacking,
}

impl Special<'_> {
    fn file_type(&self) -> FileType {
        match self {
            Self::Symlink(_) => FileType::Symlink,
            Self::Fifo => FileType::Fifo,
            Self::Socket => FileType::Socket,
            Self::CharDevice(_) => FileType::CharacterDevice,
            Self::BlockDevice(_) => FileType::BlockDevice,
        }
    }

    fn make(&self, directory: &DirHandle, name: &[u8]) -> Result<(), Errno> {
        let private = Mode::RUSR | Mode::WUSR;
        let number = match self {
            Self::Symlink(target) => return symlinkat(*target, &directory.fd, name),
            Self::Fifo | Self::Socket => 0,
            Self::CharDevice(number) | Self::BlockDevice(number) => {
                let DeviceNumber { major, minor } = *number;
                if major > MAJOR_MAX || minor > MINOR_MAX {
                    return Err(Errno::INVAL);
                }
                makedev(major, minor)
            }
        };
        mknodat(&directory.fd, name, self.file_type(), private, number)
    }

    fn lack(&self) -> Lack {
        match self {
            Self::CharDevice(_) | Self::BlockDevice(_) => Lack::Device,
            Self::Symlink(_) | Self::Fifo | Self::Socket => Lack::Special,
        }
    }

    /// Whether what stands at `name` is the same, attributes aside.
    fn equals(&self, directory: &DirHandle, name: &[u8], existing: &Status) -> bool {
        existing.file_type == self.file_type()
            && match self {
                Self::Symlink(target) => readlinkat(&directory.fd, name, Vec::new())
                    .is_ok_and(|existing| existing.as_bytes() == *target),
                Self::Fifo | Self::Socket => true,
                Self::CharDevice(number) | Self::BlockDevice(number) => existing.number == *number,
            }
    }
}

impl Target {
    /// What the policy says about `special` at `name`. Changes nothing.
    ///
    /// # Errors
    /// [`TargetError`] when it cannot be looked at, or something in the way is kept.
    pub fn plan_special(
        &self,
        directory: &DirHandle,
        name: &[u8],
        special: Special<'_>,
        attributes: &Attributes,
    ) -> Result<Plan, TargetError> {
        check_name(name)?;
        let existing = self.existing(directory, name)?;
        let is_equal = |existing: &Status| special.equals(directory, name, existing);
        let wanted = (special.file_type(), attributes.modified);
        self.plan((directory, name), existing.as_ref(), wanted, is_equal)
    }

    /// Makes the entry `name`. A device node that may not be made is a shortfall.
    ///
    /// # Errors
    /// [`TargetError`].
    pub fn make_special(
        &self,
        directory: &DirHandle,
        name: &[u8],
        special: Special<'_>,
        attributes: &Attributes,
    ) -> Result<Made, TargetError> {
        check_name(name)?;
        let path = directory.path_of(name);
        let fail = |source| TargetError::new(&path, source);
        let existing = self.existing(directory, name)?;
        let is_equal = |existing: &Status| special.equals(directory, name, existing);
        let wanted = (special.file_type(), attributes.modified);
        match self.plan((directory, name), existing.as_ref(), wanted, is_equal)? {
            Plan::Keep => return Ok(Made::Kept),
            Plan::Unchanged if self.refresh(directory, name, existing.as_ref(), attributes)? => {
                return Ok(Made::Unchanged);
            }
            Plan::Unchanged | Plan::Make => {}
        }
        let part = part_name(name);
        self.clear_way(directory, name, existing.as_ref())?;
        self.remove_part(directory, &part).map_err(fail)?;
        match special.make(directory, &part) {
            Ok(()) => {}
            Err(Errno::PERM | Errno::INVAL | Errno::OPNOTSUPP | Errno::NOSYS) => {
                self.lacks(&path, special.lack());
                return Ok(Made::Lacking);
            }
            Err(source) => return Err(fail(source)),
        }
        let may_replace = replaces(existing.as_ref());
        let finished = self.finish_special(directory, name, (special, may_replace), attributes);
        if !matches!(finished, Ok(Made::New)) {
            // Nobody would come back for it, unlike for a part of a file.
            let _ = self.remove_part(directory, &part);
        }
        finished
    }

    /// Gives what was made under the part name of `name` its attributes and its name.
    fn finish_special(
        &self,
        directory: &DirHandle,
        name: &[u8],
        (special, may_replace): (Special<'_>, bool),
        attributes: &Attributes,
    ) -> Result<Made, TargetError> {
        let (path, part) = (directory.path_of(name), part_name(name));
        let fail = |source| TargetError::new(&path, source);
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let node = openat(&directory.fd, &part, flags, Mode::empty()).map_err(fail)?;
        // Somebody who may write here could have put a thing of his own in its place.
        if Status::of(&node).map_err(fail)?.file_type != special.file_type() {
            return Err(fail(Errno::STALE));
        }
        self.apply(&node, None, &path, attributes)?;
        match take_name(directory, &part, name, may_replace) {
            Ok(()) => Ok(Made::New),
            Err(Errno::EXIST) if !may_replace => Ok(Made::Kept),
            Err(source) => Err(fail(source)),
        }
    }

    /// Makes `name` a hard link to the entry restored earlier at `earlier` (components from the
    /// root). Attributes are the earlier entry's.
    ///
    /// # Errors
    /// [`TargetError`]; where links are not possible, [`Made::Lacking`]: restore a copy.
    pub fn hardlink<N: AsRef<[u8]>>(
        &self,
        directory: &DirHandle,
        name: &[u8],
        earlier: &[N],
    ) -> Result<Made, TargetError> {
        check_name(name)?;
        let path = directory.path_of(name);
        let fail = |source| TargetError::new(&path, source);
        let (last, parents) = earlier.split_last().ok_or_else(|| fail(Errno::NOENT))?;
        let last = last.as_ref();
        check_name(last)?;
        let from = self.open_dir(parents)?;
        let first = Status::at(&from.fd, last).map_err(fail)?;
        let existing = self.existing(directory, name)?;
        if existing.as_ref().is_some_and(|existing| existing.object() == first.object()) {
            return Ok(Made::Unchanged);
        }
        let wanted = (first.file_type, first.modified);
        match self.plan((directory, name), existing.as_ref(), wanted, |_| false)? {
            Plan::Keep | Plan::Unchanged => return Ok(Made::Kept),
            Plan::Make => {}
        }
        let part = part_name(name);
        self.clear_way(directory, name, existing.as_ref())?;
        self.remove_part(directory, &part).map_err(fail)?;
        match linkat(&from.fd, last, &directory.fd, &part, AtFlags::empty()) {
            Ok(()) => {}
            Err(Errno::PERM | Errno::MLINK | Errno::XDEV | Errno::OPNOTSUPP) => {
                self.lacks(&path, Lack::Link);
                return Ok(Made::Lacking);
            }
            Err(source) => return Err(fail(source)),
        }
        let may_replace = replaces(existing.as_ref());
        match take_name(directory, &part, name, may_replace) {
            Ok(()) => Ok(Made::New),
            Err(source) => {
                let _ = self.remove_part(directory, &part);
                let came_meanwhile = source == Errno::EXIST && !may_replace;
                if came_meanwhile { Ok(Made::Kept) } else { Err(fail(source)) }
            }
        }
    }

    /// Removes a leftover of an earlier attempt.
    fn remove_part(&self, directory: &DirHandle, part: &[u8]) -> Result<(), Errno> {
        match unlinkat(&directory.fd, part, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// Whether a name is taken from something: an empty directory has made way already.
fn replaces(existing: Option<&Status>) -> bool {
    existing.is_some_and(|existing| existing.file_type != FileType::Directory)
}
