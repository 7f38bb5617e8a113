//! A snapshot: one state of one root folder of one device. Its chunk's identifier is its name.
//!
//! Source: specs/snapshot.md.

use minicbor::{Decode, Encode, bytes::ByteVec};
use thiserror::Error;

use crate::{
    cbor::{self, DecodeError},
    ids::{ChunkId, DeviceId},
    limits::{CHUNK_BYTES_MAX, PATH_BYTES_MAX},
    time::Timestamp,
    tree::entry::{Entry, EntryError},
};

/// The one version of snapshots so far.
pub const VERSION: u16 = 1;
/// The tag of a snapshot that a device made by itself. Source: specs/recurring.md, RECUR-7.
pub const AUTOMATIC: &str = "automatic";
/// The tag of a snapshot that somebody wants to stay whatever the rules are. It stands in the manifest alone.
/// Source: specs/retention.md, RET-10.
pub const PINNED: &str = "pinned";

/// A snapshot, as it stands in a chunk of kind Snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Snapshot {
    /// Version of this record.
    #[n(0)]
    pub version: u16,
    /// The device whose folder it was.
    #[n(1)]
    pub device: DeviceId,
    /// Absolute path of the folder on that device, as bytes. Shown to people, never followed.
    #[n(2)]
    pub root_path: ByteVec,
    /// The folder itself (or a single file). Its name is the last component of the path; empty
    /// where there is none.
    #[n(3)]
    pub root: Entry,
    /// When the walk began, by the device's clock.
    #[n(4)]
    pub started: Timestamp,
    /// When it ended, or when the checkpoint was taken.
    #[n(5)]
    pub finished: Timestamp,
    /// Regular files.
    #[n(6)]
    pub files: u64,
    /// Directories, the root included.
    #[n(7)]
    pub directories: u64,
    /// Everything else.
    #[n(8)]
    pub other: u64,
    /// Sum of the lengths of the files.
    #[n(9)]
    pub bytes: u64,
    /// Entries that could not be read and are missing.
    #[n(10)]
    pub unreadable: u64,
    /// False for a checkpoint of a backup that goes on.
    #[n(11)]
    pub complete: bool,
    /// The snapshot that this one was made upon, if any.
    #[n(12)]
    pub parent: Option<ChunkId>,
    /// Words of the user.
    #[n(13)]
    pub tags: Vec<String>,
    /// What wrote it, such as `larder 0.1.0`.
    #[n(14)]
    pub program: String,
}

/// Why a snapshot was not accepted.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SnapshotError {
    /// Not a snapshot.
    #[error("not a snapshot")]
    Decode(#[from] DecodeError),
    /// Written by a newer program.
    #[error("a snapshot of version {0}, this program reads version 1")]
    NewerVersion(u16),
    /// A path that is too long or holds a NUL.
    #[error("a snapshot of an impossible path")]
    Path,
    /// Its root is not acceptable.
    #[error("a snapshot of an entry that is not acceptable")]
    Root(#[from] EntryError),
}

impl Snapshot {
    /// Decodes a chunk of kind Snapshot.
    ///
    /// # Errors
    /// [`SnapshotError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, SnapshotError> {
        if let Some(version) = cbor::peek_version(bytes).filter(|version| *version != VERSION) {
            return Err(SnapshotError::NewerVersion(version));
        }
        let snapshot: Self = cbor::decode(bytes, CHUNK_BYTES_MAX)?;
        if snapshot.root_path.len() > PATH_BYTES_MAX || snapshot.root_path.contains(&0) {
            return Err(SnapshotError::Path);
        }
        snapshot.root.check_root()?;
        Ok(snapshot)
    }

    /// Encodes.
    pub fn encode(&self) -> Vec<u8> {
        cbor::encode(self)
    }
}

#[cfg(test)]
pub(crate) mod tests;
