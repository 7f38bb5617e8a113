//! What could not be restored as it was, counted and listed.

use std::collections::BTreeMap;

/// Shortfalls listed one by one; more are counted only. An ordinary user restoring another's
/// million files meets a million of them.
const LISTED_MAX: usize = 1000;

/// Something that could not be restored as it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shortfall {
    /// Path from the root of the target.
    pub path: Vec<u8>,
    /// What is lacking.
    pub what: Lack,
}

/// What can be lacking. None of it concerns a file's content.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lack {
    /// Owner or group: only the superuser gives files away.
    Owner,
    /// Mode bits; setuid and setgid are left out where the owner is.
    Mode,
    /// Modification time.
    Modified,
    /// The extended attribute of this name.
    Xattr(Vec<u8>),
    /// The device node itself.
    Device,
    /// The fifo or socket itself, which the file system does not know.
    Special,
    /// A hard link, which the file system does not know.
    Link,
}

/// All shortfalls of a restore.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Shortfalls {
    /// The first of them.
    pub listed: Vec<Shortfall>,
    /// How many there are in all.
    pub total: u64,
    /// How many of each kind; extended attributes by name.
    pub by_kind: BTreeMap<Lack, u64>,
}

impl Shortfalls {
    pub(super) fn add(&mut self, path: &[u8], what: Lack) {
        self.total += 1;
        // Names of attributes come from the snapshot: their number is bounded as well.
        if self.by_kind.len() < LISTED_MAX || self.by_kind.contains_key(&what) {
            *self.by_kind.entry(what.clone()).or_default() += 1;
        }
        if self.listed.len() < LISTED_MAX {
            self.listed.push(Shortfall { path: path.to_vec(), what });
        }
    }
}
