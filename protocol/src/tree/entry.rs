//! One directory entry: name, kind, attributes. What is recorded, not how it is read or restored.
//!
//! Everything here is hostile when it comes from a decoded node: [`Entry::check`] is called by
//! the node decoder, so code behind it never meets a name with a slash. Source: specs/tree.md.

use minicbor::{Decode, Encode, bytes::ByteVec};
use thiserror::Error;

use crate::{
    ids::ChunkId,
    limits::{EXTENTS_INLINE_MAX, NAME_BYTES_MAX, SYMLINK_BYTES_MAX},
};

/// One entry of a directory. Entries of one directory are in ascending order of their name bytes.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Entry {
    /// Name as bytes: no slash, no NUL, not empty, not `.` or `..`, at most [`NAME_BYTES_MAX`].
    #[n(0)]
    pub name: ByteVec,
    /// What it is, with what only this kind has.
    #[n(1)]
    pub kind: Kind,
    /// Owner, mode, times and extended attributes.
    #[n(2)]
    pub attributes: Attributes,
}

/// Kinds of entries.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum Kind {
    /// Regular file.
    #[n(0)]
    File {
        /// Apparent length in bytes, holes included.
        #[n(0)]
        bytes: u64,
        /// Where its bytes are.
        #[n(1)]
        content: Content,
    },
    /// Directory; `node` is the root of its (possibly multi-level) directory node.
    #[n(1)]
    Directory {
        /// Chunk of the directory's root node.
        #[n(0)]
        node: ChunkId,
    },
    /// Symbolic link.
    #[n(2)]
    Symlink {
        /// Target, uninterpreted, 1 to [`SYMLINK_BYTES_MAX`] bytes without NUL.
        #[n(0)]
        target: ByteVec,
    },
    /// Named pipe.
    #[n(3)]
    Fifo,
    /// Unix socket: recorded, restored as a socket node.
    #[n(4)]
    Socket,
    /// Character device.
    #[n(5)]
    CharDevice {
        /// Device number.
        #[n(0)]
        device: DeviceNumber,
    },
    /// Block device.
    #[n(6)]
    BlockDevice {
        /// Device number.
        #[n(0)]
        device: DeviceNumber,
    },
}

impl Kind {
    /// Whether both are of one kind with the same content. Of small files this compares the
    /// bytes, not the bundles in which they lie: a neighbour that changed moves them to another.
    pub fn is_same_content(&self, other: &Self) -> bool {
        match (self, other) {
            (
                Self::File { bytes: a, content: Content::Inline(old) },
                Self::File { bytes: b, content: Content::Inline(new) },
            ) => {
                let pairs = old.iter().zip(new);
                a == b && old.len() == new.len() && pairs.into_iter().all(|(a, b)| a.is_same(b))
            }
            _ => self == other,
        }
    }
}

/// Major and minor number of a device node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct DeviceNumber {
    /// Major number.
    #[n(0)]
    pub major: u32,
    /// Minor number.
    #[n(1)]
    pub minor: u32,
}

/// The bytes of a file as an ordered list of extents; their lengths add up to the file's length.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum Content {
    /// The list itself, at most [`EXTENTS_INLINE_MAX`] extents.
    #[n(0)]
    Inline(#[n(0)] Vec<Extent>),
    /// Root of a list of extents kept in chunks of its own.
    #[n(1)]
    Listed(#[n(0)] ChunkId),
}

/// A run of a file's bytes.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum Extent {
    /// A whole chunk.
    #[n(0)]
    Chunk {
        /// The chunk.
        #[n(0)]
        chunk: ChunkId,
        /// Its plaintext length, which is the length of this extent.
        #[n(1)]
        bytes: u32,
    },
    /// A part of a chunk that small files share.
    #[n(1)]
    Slice {
        /// The bundle.
        #[n(0)]
        chunk: ChunkId,
        /// First byte within the bundle's plaintext.
        #[n(1)]
        offset: u32,
        /// Length of this extent.
        #[n(2)]
        bytes: u32,
        /// First 16 bytes of the keyed hash of these bytes (key: the content key), so that a
        /// file already on disk can be recognised without fetching the bundle.
        #[cbor(n(3), with = "minicbor::bytes")]
        digest: [u8; 16],
    },
    /// Zeros that take no space (a sparse file).
    #[n(2)]
    Hole {
        /// Length of the hole.
        #[n(0)]
        bytes: u64,
    },
}

impl Extent {
    /// Bytes of the file that this extent covers.
    pub fn bytes(&self) -> u64 {
        match self {
            Self::Chunk { bytes, .. } | Self::Slice { bytes, .. } => u64::from(*bytes),
            Self::Hole { bytes } => *bytes,
        }
    }
}

impl Extent {
    fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (
                Self::Slice { bytes: a, digest: old, .. },
                Self::Slice { bytes: b, digest: new, .. },
            ) => a == b && old == new,
            _ => self == other,
        }
    }
}

/// What the file system says beside name and content. Access time is not kept: reading changes it.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Attributes {
    /// Permission bits with setuid, setgid and sticky: `st_mode & 0o7777`.
    #[n(0)]
    pub mode: u32,
    /// Owner.
    #[n(1)]
    pub uid: u32,
    /// Group.
    #[n(2)]
    pub gid: u32,
    /// Time of last modification of the content.
    #[n(3)]
    pub modified: FileTime,
    /// Identity that survives a rename: 16 bytes derived from inode number and birth time (never
    /// from the device number, which changes between boots). Entries of one snapshot that share
    /// it and have `links > 1` are one hardlinked file. `None` where the system offers none.
    #[n(4)]
    pub identity: Option<Identity>,
    /// Hard links that the file had, 1 for most.
    #[n(5)]
    pub links: u32,
    /// Extended attributes (POSIX ACLs and capabilities are among them), ascending by name.
    #[n(6)]
    pub xattrs: Option<Vec<Xattr>>,
}

/// See [`Attributes::identity`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(transparent)]
pub struct Identity(#[cbor(n(0), with = "minicbor::bytes")] pub [u8; 16]);

/// A moment of a file: `seconds` since 1970 (negative before), plus `nanoseconds` in
/// `0..1_000_000_000`, always counted forwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Encode, Decode)]
pub struct FileTime {
    /// Whole seconds, rounded towards the past.
    #[n(0)]
    pub seconds: i64,
    /// Nanoseconds after that second.
    #[n(1)]
    pub nanoseconds: u32,
}

/// One extended attribute.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub struct Xattr {
    /// Full name with its namespace, such as `user.note` or `security.capability`.
    #[n(0)]
    pub name: ByteVec,
    /// Value, uninterpreted.
    #[n(1)]
    pub value: ByteVec,
}

/// What makes an entry unacceptable, whoever signed it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum EntryError {
    /// Empty, too long, `.`, `..`, or with a slash or NUL: would leave the directory.
    #[error("an entry's name is not a plain file name")]
    Name,
    /// Empty, too long, or with a NUL.
    #[error("a symlink's target is empty, too long or holds a NUL")]
    SymlinkTarget,
    /// Mode bits beyond 0o7777, nanoseconds beyond a second, no link at all, or extended
    /// attributes out of order or without a name.
    #[error("an entry's attributes are out of range")]
    Attributes,
    /// Extents that do not add up to the file's length, that have no bytes, or that are too many
    /// for the entry itself.
    #[error("a file's extents do not add up to its length")]
    Extents,
}

impl Entry {
    /// Checks everything that can be checked of an entry alone.
    ///
    /// # Errors
    /// The first [`EntryError`] met.
    pub fn check(&self) -> Result<(), EntryError> {
        check_name(&self.name)?;
        self.check_beside_name()
    }

    /// As [`check`](Self::check) for the root of a snapshot, which may have no name.
    ///
    /// # Errors
    /// The first [`EntryError`] met.
    pub fn check_root(&self) -> Result<(), EntryError> {
        if self.name.is_empty() { self.check_beside_name() } else { self.check() }
    }

    fn check_beside_name(&self) -> Result<(), EntryError> {
        let attributes = &self.attributes;
        if attributes.mode & !0o7777 != 0
            || attributes.modified.nanoseconds >= 1_000_000_000
            || attributes.links == 0
            || attributes.xattrs.as_ref().is_some_and(|xattrs| !check_xattrs(xattrs))
        {
            return Err(EntryError::Attributes);
        }
        match &self.kind {
            Kind::Symlink { target } => {
                let fits = (1..=SYMLINK_BYTES_MAX).contains(&target.len());
                if fits && !target.contains(&0) { Ok(()) } else { Err(EntryError::SymlinkTarget) }
            }
            Kind::File { bytes, content: Content::Inline(extents) } => {
                if extents.len() > EXTENTS_INLINE_MAX {
                    return Err(EntryError::Extents);
                }
                check_extents(extents, *bytes)
            }
            Kind::File { .. }
            | Kind::Directory { .. }
            | Kind::Fifo
            | Kind::Socket
            | Kind::CharDevice { .. }
            | Kind::BlockDevice { .. } => Ok(()),
        }
    }
}

/// Checks that a name stays within its directory.
///
/// # Errors
/// [`EntryError::Name`].
pub fn check_name(name: &[u8]) -> Result<(), EntryError> {
    let plain = !matches!(name, b"" | b"." | b"..")
        && name.len() <= NAME_BYTES_MAX
        && !name.iter().any(|byte| matches!(byte, b'/' | 0));
    if plain { Ok(()) } else { Err(EntryError::Name) }
}

/// Ascending, no name twice, none empty or with a NUL; `None` stands for no attribute at all.
fn check_xattrs(xattrs: &[Xattr]) -> bool {
    !xattrs.is_empty()
        && xattrs.is_sorted_by(|a, b| *a.name < *b.name)
        && xattrs.iter().all(|xattr| !xattr.name.is_empty() && !xattr.name.contains(&0))
}

/// Checks that `extents` cover exactly `bytes` bytes and none is empty.
///
/// # Errors
/// [`EntryError::Extents`].
pub fn check_extents(extents: &[Extent], bytes: u64) -> Result<(), EntryError> {
    let mut sum: u64 = 0;
    for extent in extents {
        let length = extent.bytes();
        sum = sum.checked_add(length).ok_or(EntryError::Extents)?;
        if length == 0 {
            return Err(EntryError::Extents);
        }
    }
    if sum == bytes { Ok(()) } else { Err(EntryError::Extents) }
}
