//! Lines of listings. They stream, one event each, so that a million of them need no memory.

use serde::{Deserialize, Serialize};

use super::{LogLine, PathField, TargetField, Time};

/// One line of a listing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "row", rename_all = "kebab-case")]
pub enum Row {
    /// Of `ls` and of `restore --dry-run`.
    Entry(Entry),
    /// Of `diff`.
    Change(Change),
    /// Of `find`.
    Found(Found),
    /// Of `log`.
    Logged(LogLine),
}

/// Kinds of directory entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EntryKind {
    /// Regular file.
    File,
    /// Directory.
    Directory,
    /// Symbolic link.
    Symlink,
    /// Named pipe.
    Fifo,
    /// Unix socket.
    Socket,
    /// Character device.
    CharDevice,
    /// Block device.
    BlockDevice,
}

/// An entry of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Path from the root of the snapshot.
    #[serde(flatten)]
    pub path: PathField,
    /// What it is.
    pub kind: EntryKind,
    /// Apparent length of a file in bytes, 0 for the rest.
    pub bytes: u64,
    /// Permission bits with setuid, setgid and sticky.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Last modification; `null` when it is out of range of RFC 3339.
    pub modified: Option<Time>,
    /// Where a symlink points.
    #[serde(flatten)]
    pub target: Option<TargetField>,
}

/// How an entry differs between two snapshots.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ChangeKind {
    /// Only in the newer one.
    Added,
    /// Only in the older one.
    Removed,
    /// Content (or link target, or kind) differs.
    Changed,
    /// Only mode, owner, times or extended attributes differ.
    Attributes,
}

/// A line of `diff`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// Path from the root of the snapshots.
    #[serde(flatten)]
    pub path: PathField,
    /// How it differs.
    pub change: ChangeKind,
    /// What it is in the newer one (in the older one when removed).
    pub kind: EntryKind,
    /// Length in the older one.
    pub bytes_old: Option<u64>,
    /// Length in the newer one.
    pub bytes_new: Option<u64>,
}

/// A line of `find`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// Id of the snapshot, in full.
    pub snapshot: String,
    /// When that snapshot was made.
    pub time: Time,
    /// The entry.
    #[serde(flatten)]
    pub entry: Entry,
}

/// A file that could not be read, written or set as recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// The file.
    #[serde(flatten)]
    pub path: PathField,
    /// What went wrong, in one line: "permission denied", "changed while it was read".
    pub what: String,
}

impl From<Entry> for Row {
    fn from(entry: Entry) -> Self {
        Self::Entry(entry)
    }
}

impl From<Change> for Row {
    fn from(change: Change) -> Self {
        Self::Change(change)
    }
}

impl From<Found> for Row {
    fn from(found: Found) -> Self {
        Self::Found(found)
    }
}
