//! What a walk reports.

use std::sync::Arc;

use larder_protocol::tree::entry::{Attributes, Content, DeviceNumber};
use rustix::{fs::FileType, io::Errno};

use super::remembered::Trace;
use crate::files::{
    directory::Directory,
    status::{Stamp, Status},
};

/// What a walk meets, in order.
#[derive(Debug)]
pub enum Event {
    /// A directory; what follows up to its [`Event::Leave`] is in it.
    Enter {
        /// The directory.
        directory: Arc<Directory>,
        /// Its attributes.
        attributes: Attributes,
        /// Tells whether it is as it was.
        stamp: Stamp,
        /// How it came to be known.
        trace: Trace,
        /// How many entries are remembered of it, if that is known.
        remembered: Option<usize>,
    },
    /// Anything that is not a directory.
    Entry(Found),
    /// The end of the directory entered last.
    Leave {
        /// The directory.
        directory: Arc<Directory>,
    },
    /// Something exists and could not be recorded (completely): the snapshot is not complete.
    Unreadable {
        /// Path from the root of the walk.
        path: Vec<u8>,
        /// What the kernel said.
        error: Errno,
    },
    /// Something was left out, or vanished in time: the snapshot is complete without it.
    Skipped {
        /// Path from the root of the walk.
        path: Vec<u8>,
        /// The reason.
        why: Why,
    },
}

/// Why something was left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Why {
    /// A pattern of the caller.
    Excluded,
    /// The larder home.
    Home,
    /// The content of a directory with a valid `CACHEDIR.TAG`; the directory and the tag are kept.
    CacheDirectory,
    /// The content of a directory on another file system; the empty directory is kept.
    OtherFileSystem,
    /// A file that a restore had not completed.
    Part,
    /// Deeper than a tree may be ([`TREE_DEPTH_MAX`](larder_protocol::limits::TREE_DEPTH_MAX)).
    TooDeep,
    /// Deleted or replaced between being listed and being looked at.
    Vanished,
    /// Of a type that this program does not know.
    UnknownType,
    /// One extended attribute, which the kernel lists and does not give out.
    Xattr(Vec<u8>, Errno),
    /// All extended attributes.
    Xattrs(Errno),
}

/// An entry that is not a directory.
#[derive(Debug, Clone)]
pub struct Found {
    /// Where it is.
    pub directory: Arc<Directory>,
    /// Its name there.
    pub name: Vec<u8>,
    /// What it is.
    pub what: What,
    /// Its attributes.
    pub attributes: Attributes,
    /// Tells whether it is as it was.
    pub stamp: Stamp,
    /// How it came to be known.
    pub trace: Trace,
    /// What a file held when it had this stamp before, if it is remembered.
    pub content: Option<Content>,
    /// Which file system of the walk it is on; part of its identity.
    pub(crate) ordinal: u32,
}

impl Found {
    /// Path from the root of the walk.
    pub fn path(&self) -> Vec<u8> {
        self.directory.path_of(&self.name)
    }
}

/// Kinds of entries, directories aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// Regular file.
    File {
        /// Apparent length.
        bytes: u64,
    },
    /// Symbolic link.
    Symlink {
        /// Target, uninterpreted.
        target: Vec<u8>,
    },
    /// Named pipe.
    Fifo,
    /// Unix socket.
    Socket,
    /// Character device.
    CharDevice(DeviceNumber),
    /// Block device.
    BlockDevice(DeviceNumber),
}

impl What {
    /// What `status` says it is; `None` for a directory and for types not known.
    pub(super) fn new(status: &Status, target: Vec<u8>) -> Option<Self> {
        match status.file_type {
            FileType::RegularFile => Some(Self::File { bytes: status.bytes }),
            FileType::Symlink => Some(Self::Symlink { target }),
            FileType::Fifo => Some(Self::Fifo),
            FileType::Socket => Some(Self::Socket),
            FileType::CharacterDevice => Some(Self::CharDevice(status.number)),
            FileType::BlockDevice => Some(Self::BlockDevice(status.number)),
            FileType::Directory | FileType::Unknown => None,
        }
    }
}
