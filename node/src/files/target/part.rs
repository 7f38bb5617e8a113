//! Files of the target: built up under a part name, renamed when complete.

use std::{
    num::NonZeroUsize,
    os::fd::{AsFd, AsRawFd, OwnedFd},
};

use larder_protocol::tree::entry::Attributes;
use rustix::{
    fs::{
        AtFlags, FallocateFlags, FileType, Mode, OFlags, copy_file_range, fallocate, fchmod,
        fdatasync, ftruncate, openat, unlinkat,
    },
    io::{Errno, pread, pwrite},
    process::geteuid,
};

use super::{
    DirHandle, Plan, Policy, Target, TargetError, attributes::has_attributes, take_free_name,
    take_name,
};
use crate::files::{
    names::{check_name, part_name},
    reader::length,
    status::Status,
};

/// Buffer for copying and for writing zeros.
const COPY_BYTES: usize = 256 * 1024;

/// How often a finished file tries for its name while somebody else puts things there.
const NAME_TRIES_MAX: usize = 8;

/// What came of beginning a file.
#[derive(Debug)]
pub enum Begun {
    /// Its bytes are wanted.
    Part(PartFile),
    /// Equal in length and time to the file that stands there, which now has the attributes.
    Unchanged,
    /// Another one stands there, and the policy keeps it.
    Kept,
}

/// What came of finishing a file.
#[derive(Debug)]
pub enum Placed {
    /// It stands under its name.
    New,
    /// An equal one came to stand there meanwhile; it has the attributes.
    Unchanged,
    /// Another one came to stand there meanwhile, and the policy keeps it: the part still is.
    Kept(PartFile),
}

/// A file that is being restored. Dropped unfinished, it stays for the next attempt.
#[derive(Debug)]
pub struct PartFile {
    target: Target,
    directory: DirHandle,
    name: Vec<u8>,
    part: Vec<u8>,
    fd: OwnedFd,
    bytes: u64,
    is_resumed: bool,
    /// Whether it is new and has no extended attribute of ours.
    is_plain: bool,
    /// What stood under the name when it was begun.
    seen: Option<Box<Status>>,
}

/// A file that stands in the target, read to find out which of its bytes are right already.
#[derive(Debug)]
pub struct ExistingFile {
    fd: OwnedFd,
    opened: Status,
}

impl Target {
    /// What the policy says about a file of so many `bytes` at `name`. Changes nothing, and looks at
    /// nothing in a directory that this restore made.
    ///
    /// # Errors
    /// [`TargetError`] when it cannot be looked at, or something in the way is kept.
    pub fn plan_file(
        &self,
        directory: &DirHandle,
        name: &[u8],
        bytes: u64,
        attributes: &Attributes,
    ) -> Result<Plan, TargetError> {
        check_name(name)?;
        // Whoever begins the file looks again.
        if directory.is_new {
            return Ok(Plan::Make);
        }
        let existing = self.existing(directory, name)?;
        let wanted = (FileType::RegularFile, attributes.modified);
        self.plan((directory, name), existing.as_ref(), wanted, is_equal(bytes, attributes))
    }

    /// Begins (or takes up again) the file `name` of so many `bytes`.
    ///
    /// # Errors
    /// [`TargetError`].
    pub fn begin_file(
        &self,
        directory: &DirHandle,
        name: &[u8],
        bytes: u64,
        attributes: &Attributes,
    ) -> Result<Begun, TargetError> {
        check_name(name)?;
        // In a directory of our own nothing stands; if something does, `finish` will meet it.
        let existing = if directory.is_new { None } else { self.existing(directory, name)? };
        let is_equal = is_equal(bytes, attributes);
        let wanted = (FileType::RegularFile, attributes.modified);
        match self.plan((directory, name), existing.as_ref(), wanted, is_equal)? {
            Plan::Keep => Ok(Begun::Kept),
            Plan::Unchanged if self.refresh(directory, name, existing.as_ref(), attributes)? => {
                Ok(Begun::Unchanged)
            }
            Plan::Unchanged | Plan::Make => {
                self.clear_way(directory, name, existing.as_ref())?;
                let part = part_name(name);
                let path = directory.path_of(&part);
                let (fd, is_old) = open_part(directory, &part)
                    .map_err(|source| TargetError::new(&path, source))?;
                // Of a restore whose marker is gone: nobody compares what it holds, so that stale
                // bytes would show in the holes.
                if is_old && !self.is_resumed() {
                    ftruncate(&fd, 0).map_err(|source| TargetError::new(&path, source))?;
                }
                let is_resumed = is_old && self.is_resumed();
                let is_plain = directory.is_plain && !is_old;
                self.parts().insert(path);
                let (directory, name) = (directory.clone(), name.to_vec());
                let target = self.clone();
                let seen = existing.filter(|it| it.file_type != FileType::Directory).map(Box::new);
                let part = PartFile {
                    target,
                    directory,
                    name,
                    part,
                    fd,
                    bytes,
                    is_resumed,
                    is_plain,
                    seen,
                };
                Ok(Begun::Part(part))
            }
        }
    }

    /// Whether an earlier restore left a part of the file `name`.
    pub fn has_part(&self, directory: &DirHandle, name: &[u8]) -> bool {
        self.is_resumed() && Status::at(&directory.fd, &part_name(name)).is_ok()
    }

    /// Gives the file at `name`, whose content was compared and is right, its attributes; false if
    /// a new file has to take its place.
    ///
    /// # Errors
    /// [`TargetError`], `ESTALE` when it was written to or another file has taken the name since.
    pub fn keep_content(
        &self,
        directory: &DirHandle,
        name: &[u8],
        compared: &ExistingFile,
        attributes: &Attributes,
    ) -> Result<bool, TargetError> {
        check_name(name)?;
        let path = directory.path_of(name);
        let fail = |source| TargetError::new(&path, source);
        let status = Status::at(&directory.fd, name).map_err(fail)?;
        if !is_same(Some(&status), Some(&compared.opened)) {
            return Err(fail(Errno::STALE));
        }
        self.apply_alone(&compared.fd, &status, &path, attributes)
    }

    /// Opens the regular file at `name`, if one stands there and may be read. Nothing is looked for
    /// in a directory that this restore made.
    ///
    /// # Errors
    /// [`TargetError::Name`].
    pub fn open_existing(
        &self,
        directory: &DirHandle,
        name: &[u8],
    ) -> Result<Option<ExistingFile>, TargetError> {
        check_name(name)?;
        if directory.is_new {
            return Ok(None);
        }
        if !Status::at(&directory.fd, name).is_ok_and(|it| it.file_type == FileType::RegularFile) {
            return Ok(None);
        }
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let Ok(fd) = openat(&directory.fd, name, flags, Mode::empty()) else { return Ok(None) };
        match Status::of(&fd) {
            Ok(status) if status.file_type == FileType::RegularFile => {
                Ok(Some(ExistingFile { fd, opened: status }))
            }
            _ => Ok(None),
        }
    }

    /// Gives what stands at `name` the attributes that differ, if the policy touches it at all;
    /// false if a new object has to take its place.
    pub(super) fn refresh(
        &self,
        directory: &DirHandle,
        name: &[u8],
        seen: Option<&Status>,
        attributes: &Attributes,
    ) -> Result<bool, TargetError> {
        if self.inner.policy == Policy::Never {
            return Ok(true);
        }
        let path = directory.path_of(name);
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let node = openat(&directory.fd, name, flags, Mode::empty())
            .map_err(|source| TargetError::new(&path, source))?;
        let status = Status::of(&node).map_err(|source| TargetError::new(&path, source))?;
        if seen.is_none_or(|seen| seen.object() != status.object()) {
            return Ok(false);
        }
        self.apply_alone(&node, &status, &path, attributes)
    }

    /// Sets attributes on an object that was there before, unless it has other names and would
    /// change: who may write in the target may have linked another's file to it, which then would
    /// get this owner and mode.
    fn apply_alone(
        &self,
        fd: &(impl AsFd + AsRawFd),
        status: &Status,
        path: &[u8],
        attributes: &Attributes,
    ) -> Result<bool, TargetError> {
        if status.links > 1 && !has_attributes(fd, status, attributes) {
            return Ok(false);
        }
        self.apply(fd, None, path, attributes).map(|()| true)
    }
}

impl ExistingFile {
    /// Its length.
    pub fn bytes(&self) -> u64 {
        self.opened.bytes
    }

    /// Reads at `offset` until `buffer` is full or the file ends; answers how much was read.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize, Errno> {
        read_full(&self.fd, offset, buffer)
    }
}

impl PartFile {
    /// Whether it holds bytes of an earlier attempt, right or wrong.
    pub fn is_resumed(&self) -> bool {
        self.is_resumed
    }

    /// Path of the finished file from the root of the target.
    pub fn path(&self) -> Vec<u8> {
        self.directory.path_of(&self.name)
    }

    /// Writes all of `data` at `offset`. May be called in any order and from several threads.
    ///
    /// # Errors
    /// [`TargetError::Full`] when there is no room.
    pub fn write_at(&self, offset: u64, data: &[u8]) -> Result<(), TargetError> {
        write_full(&self.fd, offset, data).map_err(|source| self.fail(source))
    }

    /// Reads at `offset` until `buffer` is full or the file ends; answers how much was read.
    ///
    /// # Errors
    /// [`TargetError::Io`].
    pub fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize, TargetError> {
        read_full(&self.fd, offset, buffer).map_err(|source| self.fail(source))
    }

    /// Makes `bytes` from `offset` on read as zeros that take no room. Costs nothing in a new file.
    ///
    /// # Errors
    /// [`TargetError`].
    pub fn hole(&self, offset: u64, bytes: u64) -> Result<(), TargetError> {
        if !self.is_resumed || bytes == 0 {
            return Ok(());
        }
        let fail = |source| self.fail(source);
        let end = Status::of(&self.fd).map_err(fail)?.bytes;
        if offset >= end {
            return Ok(());
        }
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        match fallocate(&self.fd, flags, offset, bytes) {
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => {
                let zeros = vec![0; COPY_BYTES];
                let mut at = offset;
                let end = end.min(offset.saturating_add(bytes));
                while at < end {
                    let step = length(zeros.len()).min(end - at);
                    let step_bytes = usize::try_from(step).expect("at most a buffer");
                    write_full(&self.fd, at, &zeros[..step_bytes]).map_err(fail)?;
                    at += step;
                }
                Ok(())
            }
            result => result.map_err(fail),
        }
    }

    /// Copies `bytes` at `offset` from the file that stands there to the same place; where the
    /// file system can, both then share the room.
    ///
    /// # Errors
    /// [`TargetError`]; also when `from` ends early.
    pub fn copy_from(
        &self,
        from: &ExistingFile,
        offset: u64,
        bytes: u64,
    ) -> Result<(), TargetError> {
        let mut at = offset;
        let end = offset.saturating_add(bytes);
        let mut buffer = Vec::new();
        while at < end {
            let step = usize::try_from(end - at).unwrap_or(usize::MAX).min(1 << 30);
            let (mut source, mut place) = (at, at);
            let copied = if buffer.is_empty() {
                copy_file_range(&from.fd, Some(&mut source), &self.fd, Some(&mut place), step)
            } else {
                let step = NonZeroUsize::new(step.min(buffer.len())).expect("at < end").get();
                read_full(&from.fd, at, &mut buffer[..step]).and_then(|read| {
                    write_full(&self.fd, at, &buffer[..read])?;
                    Ok(read)
                })
            };
            match copied {
                Ok(0) => return Err(self.fail(Errno::IO)),
                Ok(copied) => at += length(copied),
                Err(Errno::XDEV | Errno::INVAL | Errno::OPNOTSUPP | Errno::NOSYS)
                    if buffer.is_empty() =>
                {
                    buffer.resize(COPY_BYTES, 0);
                }
                Err(source) => return Err(self.fail(source)),
            }
        }
        Ok(())
    }

    /// Gives the file its length, attributes and name. What stood there when it was begun is
    /// replaced at once; what has changed since is treated by the policy anew.
    ///
    /// # Errors
    /// [`TargetError`]; the part file then stays.
    pub fn finish(self, attributes: &Attributes) -> Result<Placed, TargetError> {
        let fail = |source| self.fail(source);
        let mut status = Status::of(&self.fd).map_err(fail)?;
        if status.bytes != self.bytes {
            ftruncate(&self.fd, self.bytes).map_err(fail)?;
            status = Status::of(&self.fd).map_err(fail)?;
        }
        let made = self.is_plain.then_some(status);
        self.target.apply(&self.fd, made, &self.path(), attributes)?;
        if self.target.inner.policy == Policy::Never {
            // After a crash of the machine it would be kept unread, whatever of it is there.
            fdatasync(&self.fd).map_err(fail)?;
        }
        // In a directory of our own nothing stands there; where that cannot be told while the name is
        // taken, and where something does, it is looked at below.
        let is_free = self.directory.is_new && self.seen.is_none();
        if is_free && take_free_name(&self.directory, &self.part, &self.name).is_ok() {
            self.target.parts().remove(&self.directory.path_of(&self.part));
            return Ok(Placed::New);
        }
        let mut seen = self.seen.as_deref().cloned();
        for _ in 0..NAME_TRIES_MAX {
            let now = self.target.existing(&self.directory, &self.name)?;
            if !is_same(seen.as_ref(), now.as_ref()) {
                let is_equal = is_equal(self.bytes, attributes);
                let at = (&self.directory, self.name.as_slice());
                let wanted = (FileType::RegularFile, attributes.modified);
                match self.target.plan(at, now.as_ref(), wanted, is_equal)? {
                    Plan::Keep => return Ok(Placed::Kept(self)),
                    Plan::Unchanged
                        if self.target.refresh(
                            &self.directory,
                            &self.name,
                            now.as_ref(),
                            attributes,
                        )? =>
                    {
                        self.discard()?;
                        return Ok(Placed::Unchanged);
                    }
                    Plan::Unchanged | Plan::Make => {
                        self.target.clear_way(&self.directory, &self.name, now.as_ref())?;
                        seen = now.filter(|it| it.file_type != FileType::Directory);
                    }
                }
            }
            match take_name(&self.directory, &self.part, &self.name, seen.is_some()) {
                Ok(()) => {
                    self.target.parts().remove(&self.directory.path_of(&self.part));
                    return Ok(Placed::New);
                }
                // Somebody was quicker than the look above.
                Err(Errno::EXIST) if seen.is_none() => {}
                Err(source) => return Err(fail(source)),
            }
        }
        Err(fail(Errno::BUSY))
    }

    /// Deletes what was written.
    ///
    /// # Errors
    /// [`TargetError::Io`].
    pub fn discard(self) -> Result<(), TargetError> {
        unlinkat(&self.directory.fd, &self.part, AtFlags::empty())
            .map_err(|source| self.fail(source))?;
        self.target.parts().remove(&self.directory.path_of(&self.part));
        Ok(())
    }

    fn fail(&self, source: Errno) -> TargetError {
        match source {
            Errno::ISDIR => TargetError::NotEmpty { path: self.path() },
            source => TargetError::new(&self.path(), source),
        }
    }
}

/// Whether what stands at a name is what stood there before, untouched.
fn is_same(before: Option<&Status>, now: Option<&Status>) -> bool {
    match (before, now) {
        (Some(before), Some(now)) => {
            before.object() == now.object() && before.stamp() == now.stamp()
        }
        (before, now) => before.is_none() && now.is_none(),
    }
}

/// Whether a file looks equal without being read.
fn is_equal(bytes: u64, attributes: &Attributes) -> impl FnOnce(&Status) -> bool {
    let modified = attributes.modified;
    move |existing| {
        existing.file_type == FileType::RegularFile
            && existing.bytes == bytes
            && existing.modified == modified
    }
}

/// Opens the part file, and tells whether it was there.
///
/// In a directory that others may write to, somebody may have put something else there: another
/// file's hard link, or a file of his own that he keeps open. Such a thing is replaced.
fn open_part(directory: &DirHandle, part: &[u8]) -> Result<(OwnedFd, bool), Errno> {
    let dir = &directory.fd;
    let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let private = Mode::RUSR | Mode::WUSR;
    // Two attempts: what was there is in the way at most once, unless somebody works against us.
    for _ in 0..2 {
        match openat(dir, part, flags | OFlags::CREATE | OFlags::EXCL, private) {
            Err(Errno::EXIST) => {}
            result => return result.map(|fd| (fd, false)),
        }
        let is_usable = |status: &Status| {
            status.file_type == FileType::RegularFile
                && status.links == 1
                && status.uid == geteuid().as_raw()
        };
        if Status::at(dir, part).is_ok_and(|status| is_usable(&status))
            && let Ok(fd) = openat(dir, part, flags | OFlags::NONBLOCK, Mode::empty())
            && Status::of(&fd).is_ok_and(|status| is_usable(&status))
        {
            // It may have got its attributes already, and another mode with them.
            fchmod(&fd, private)?;
            return Ok((fd, true));
        }
        match unlinkat(dir, part, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(error) => return Err(error),
        }
    }
    Err(Errno::EXIST)
}

fn write_full(fd: &OwnedFd, mut offset: u64, mut data: &[u8]) -> Result<(), Errno> {
    while !data.is_empty() {
        match pwrite(fd, data, offset) {
            Ok(0) => return Err(Errno::IO),
            Ok(written) => {
                data = &data[written..];
                offset += length(written);
            }
            Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn read_full(fd: &OwnedFd, offset: u64, buffer: &mut [u8]) -> Result<usize, Errno> {
    let mut filled = 0;
    while filled < buffer.len() {
        match pread(fd, &mut buffer[filled..], offset + length(filled)) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}
