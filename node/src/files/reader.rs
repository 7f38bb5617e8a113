//! Reads the bytes of one file: data and holes apart, without disturbing the page cache, and
//! says whether the file held still meanwhile.
//!
//! Opens regular files only: a pipe would wait for ever, opening a device may move a tape.

#[cfg(test)]
mod tests;

use std::{
    io::IoSliceMut,
    num::NonZeroU64,
    os::fd::{AsFd, AsRawFd, OwnedFd},
    sync::Arc,
    time::SystemTime,
};

use rustix::{
    fs::{Advice, CWD, FileType, Mode, OFlags, SeekFrom, fadvise, openat, seek},
    io::{Errno, ReadWriteFlags, pread, preadv2},
};
use thiserror::Error;

use super::{
    directory::Directory,
    status::{Stamp, Status},
    walk::{Found, Trace, What},
    xattr::{Object, Xattrs},
};

/// Files below this are asked for holes only when they take less room than their length.
const ALWAYS_SEEK_BYTES: u64 = 64 * 1024;
/// How often the pages read are given back.
const DROP_EVERY_BYTES: u64 = 8 * 1024 * 1024;

/// How much of a file is asked for ahead: one chunk of the largest size.
const ASKED_BYTES: NonZeroU64 = NonZeroU64::new(4 * 1024 * 1024).unwrap();

/// Why a file could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ReadError {
    /// It is no longer there.
    #[error("the file vanished before it was read")]
    Vanished,
    /// Something that is not a regular file stands there now.
    #[error("it is no longer a regular file")]
    NotAFile,
    /// The kernel refused.
    #[error("the file cannot be read")]
    Io(#[from] Errno),
}

/// A piece of a file, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Piece {
    /// So many bytes were put at the start of the buffer, at least 1.
    Data(usize),
    /// So many zeros that take no room on disk, at least 1.
    Hole(u64),
    /// Nothing more. The pieces add up to [`FileReader::bytes`], unless the file was cut short.
    End,
}

/// Whether a file held still while it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// What was read is what the file held at one moment.
    Unchanged,
    /// It was changed: what was read may be torn. Read it again.
    ChangedWhileRead,
    /// It was deleted, or replaced by another file. What was read is whole.
    Vanished,
}

/// The end of reading a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Finished {
    /// Whether it held still.
    pub verdict: Verdict,
    /// The stamp when it was opened, `None` if it must not enter the scan cache because a later
    /// change could leave the same stamp.
    pub cacheable: Option<Stamp>,
}

/// A regular file being read from start to end.
#[derive(Debug)]
pub struct FileReader {
    fd: OwnedFd,
    directory: Arc<Directory>,
    name: Vec<u8>,
    opened: Status,
    /// A moment before that look at it.
    before: SystemTime,
    /// Bytes handed out, holes included.
    at: u64,
    /// End of the data run that `at` is in; `at` itself when that has to be found out.
    run_end: u64,
    /// Whether the file system tells data and holes apart.
    seeks: bool,
    /// Whether pages are given back once read: not if they were cached before.
    drops: bool,
    /// Pages before this are given back.
    dropped: u64,
}

impl FileReader {
    /// Opens the file `name` in `directory`.
    ///
    /// # Errors
    /// [`ReadError`]; opening has no effect on anything that is not a regular file.
    pub fn open(directory: &Arc<Directory>, name: &[u8]) -> Result<Self, ReadError> {
        let before = SystemTime::now();
        let dir = directory.fd().map_err(ReadError::new)?;
        let (fd, opened) = match open_regular(&dir, name) {
            // Replaced meanwhile; or listed, and not to be opened under any circumstances.
            Err(ReadError::Vanished) if Status::at(&dir, name).is_ok() => open_regular(&dir, name)
                .map_err(|error| match error {
                    ReadError::Vanished if Status::at(&dir, name).is_ok() => Errno::NOENT.into(),
                    error => error,
                })?,
            opened => opened?,
        };
        let bytes = opened.bytes;
        let is_long = bytes > ALWAYS_SEEK_BYTES;
        let drops = !is_cached(&fd, 0) || (is_long && !is_cached(&fd, bytes / 2));
        if bytes > ALWAYS_SEEK_BYTES {
            // Advice: nothing is lost when it is refused.
            let _ = fadvise(&fd, 0, None, Advice::Sequential);
        }
        Ok(Self {
            seeks: bytes >= ALWAYS_SEEK_BYTES || opened.allocated < bytes,
            fd,
            directory: directory.clone(),
            name: name.to_vec(),
            opened,
            before,
            at: 0,
            run_end: 0,
            drops,
            dropped: 0,
        })
    }

    /// Has the kernel begin to read the file, up to some megabytes, unless it is in memory already.
    pub fn ask(&self) {
        if self.drops {
            // Advice: nothing is lost when it is refused.
            let _ = fadvise(&self.fd, 0, Some(ASKED_BYTES), Advice::WillNeed);
        }
    }

    /// Length of the file when it was opened.
    pub fn bytes(&self) -> u64 {
        self.opened.bytes
    }

    /// Its stamp when it was opened.
    pub fn stamp(&self) -> Stamp {
        self.opened.stamp()
    }

    /// Makes `found` describe the file that was opened, if it changed or was replaced since it
    /// was walked over. Answers whether it had to.
    ///
    /// # Errors
    /// When extended attributes cannot be read.
    pub fn refresh(&self, found: &mut Found) -> Result<bool, ReadError> {
        if found.stamp == self.opened.stamp() {
            return Ok(false);
        }
        let Xattrs { read, unread } = Object::of(&self.fd).read()?;
        found.attributes = self.opened.attributes(found.ordinal, read);
        found.stamp = self.opened.stamp();
        // Read while it is open: as fresh as its content, of which `finish` tells.
        found.trace = Trace { recalled: None, is_settled: true, is_whole: unread.is_empty() };
        found.content = None;
        found.what = What::File { bytes: self.opened.bytes };
        Ok(true)
    }

    /// Reads the next piece, at most as much data as `buffer` holds (at least 1 byte).
    ///
    /// # Errors
    /// [`ReadError::Io`], such as a bad block. What was read before is good.
    pub fn read(&mut self, buffer: &mut [u8]) -> Result<Piece, ReadError> {
        let end = self.opened.bytes;
        if self.at >= end {
            return Ok(Piece::End);
        }
        if self.at >= self.run_end {
            let data = self.find_run()?;
            if data > self.at {
                let hole = data - self.at;
                self.at = data;
                return Ok(Piece::Hole(hole));
            }
        }
        let room = usize::try_from(self.run_end - self.at).unwrap_or(usize::MAX);
        let room = room.min(buffer.len());
        let mut filled = 0;
        while filled < room {
            let offset = self.at + length(filled);
            match pread(&self.fd, &mut buffer[filled..room], offset) {
                Ok(0) => break,
                Ok(more) => filled += more,
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        if filled == 0 {
            // Cut short since it was opened; `finish` will say so.
            self.at = end;
            return Ok(Piece::End);
        }
        self.at += length(filled);
        if self.at - self.dropped >= DROP_EVERY_BYTES {
            self.drop_pages();
        }
        Ok(Piece::Data(filled))
    }

    /// Looks at the file again and says whether it held still.
    ///
    /// # Errors
    /// [`ReadError::Io`] when the file cannot even be looked at.
    pub fn finish(mut self) -> Result<Finished, ReadError> {
        self.drop_pages();
        let there = self.directory.fd().and_then(|dir| Status::at(dir, &self.name));
        let (now, is_there) = match there {
            Ok(status) if status.object() == self.opened.object() => (status, true),
            Ok(_) | Err(_) => (Status::of(&self.fd)?, false),
        };
        let before = self.opened.stamp();
        // Being unlinked changes the change time, and nothing that was read.
        let held_still = now.modified == self.opened.modified && now.bytes == self.opened.bytes;
        let verdict = if now.stamp() == before && is_there {
            Verdict::Unchanged
        } else if held_still && !is_there {
            Verdict::Vanished
        } else {
            Verdict::ChangedWhileRead
        };
        // Settled by then: while it was read, a change may have left the stamp of the one before.
        // Without a birth time the other numbers may be made up as well.
        let is_reliable = self.opened.born.is_some();
        let is_cacheable =
            is_reliable && verdict == Verdict::Unchanged && before.is_settled(self.before);
        Ok(Finished { verdict, cacheable: is_cacheable.then_some(before) })
    }

    /// Finds the next data run at or behind `at`, sets its end and answers its start.
    fn find_run(&mut self) -> Result<u64, ReadError> {
        let end = self.opened.bytes;
        self.run_end = end;
        if !self.seeks {
            return Ok(self.at);
        }
        match seek(&self.fd, SeekFrom::Data(self.at)) {
            Ok(data) => {
                let data = data.min(end);
                self.run_end = seek(&self.fd, SeekFrom::Hole(data)).map_or(end, |at| at.min(end));
                Ok(data)
            }
            // No data any more, or nothing at all behind a new end.
            Err(Errno::NXIO) if Status::of(&self.fd)?.bytes >= end => Ok(end),
            Err(Errno::NXIO) => Ok(self.at),
            Err(_) => {
                self.seeks = false;
                Ok(self.at)
            }
        }
    }

    fn drop_pages(&mut self) {
        if let (true, Some(span)) = (self.drops, NonZeroU64::new(self.at - self.dropped)) {
            // Advice: nothing is lost when it is refused.
            let _ = fadvise(&self.fd, self.dropped, Some(span), Advice::DontNeed);
        }
        self.dropped = self.at;
    }
}

impl ReadError {
    fn new(error: Errno) -> Self {
        match error {
            Errno::NOENT | Errno::STALE => Self::Vanished,
            Errno::LOOP | Errno::NOTDIR | Errno::NXIO => Self::NotAFile,
            error => Self::Io(error),
        }
    }
}

/// Opens `name` if it is a regular file, and says what it was right before: first as a mere path,
/// which touches nothing, then, the type being known and fixed, through `/proc`. Without `/proc` a
/// small race remains in which a device could be opened, though not read.
fn open_regular(dir: impl AsFd, name: &[u8]) -> Result<(OwnedFd, Status), ReadError> {
    let path = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let node = openat(&dir, name, path, Mode::empty()).map_err(ReadError::new)?;
    let status = Status::of(&node)?;
    if status.file_type != FileType::RegularFile {
        return Err(ReadError::NotAFile);
    }
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let link = format!("/proc/self/fd/{}", node.as_raw_fd());
    let opened = match openat(CWD, &link, flags | OFlags::NOATIME, Mode::empty()) {
        // Without being the owner, reading may not hide itself.
        Err(Errno::PERM) => openat(CWD, &link, flags, Mode::empty()),
        result => result,
    };
    match opened {
        Err(Errno::NOENT) => {
            let fd = openat(dir, name, flags | OFlags::NOFOLLOW, Mode::empty())
                .map_err(ReadError::new)?;
            let status = Status::of(&fd)?;
            match status.file_type {
                FileType::RegularFile => Ok((fd, status)),
                _ => Err(ReadError::NotAFile),
            }
        }
        result => Ok((result?, status)),
    }
}

/// Whether the page at `offset` is in memory already, found without reading from the disk.
fn is_cached(fd: &OwnedFd, offset: u64) -> bool {
    let mut byte = [0];
    preadv2(fd, &mut [IoSliceMut::new(&mut byte)], offset, ReadWriteFlags::NOWAIT) == Ok(1)
}

/// A length in memory as a length on disk.
pub(crate) fn length(bytes: usize) -> u64 {
    u64::try_from(bytes).expect("memory is smaller than 2^64 bytes")
}
