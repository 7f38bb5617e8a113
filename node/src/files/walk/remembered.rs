//! What an earlier walk recorded, so that an entry with the same stamp is not looked at as closely
//! again: neither its extended attributes nor its target are read.
//!
//! Whoever remembers decides what is still good; the walk compares stamps and nothing else.

use std::fmt::Debug;

use larder_protocol::tree::entry::{Content, Xattr};
use minicbor::{Decode, Encode};

use crate::files::{directory::DirectoryKey, status::Stamp};

/// An entry as an earlier walk recorded it.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Remembered {
    /// Its name in its directory.
    #[cbor(n(0), with = "minicbor::bytes")]
    pub name: Vec<u8>,
    /// Its stamp: with any other one, nothing here counts.
    #[cbor(n(1), with = "minicbor::bytes")]
    pub stamp: [u8; Stamp::BYTES],
    /// When its attributes and its target were read, in seconds since 1970; 0 if they are to be
    /// read again.
    #[n(2)]
    pub looked: u64,
    /// Extended attributes, ascending by name; `None` when they and the target are to be read again.
    #[n(3)]
    pub xattrs: Option<Vec<Xattr>>,
    /// Of a symlink, else empty.
    #[cbor(n(4), with = "minicbor::bytes")]
    pub target: Vec<u8>,
    /// Of a file that was read.
    #[n(5)]
    pub content: Option<Content>,
}

/// What is remembered of some entries of one directory.
#[derive(Debug, Default)]
pub struct Recollection {
    /// Ascending by name.
    pub entries: Vec<Remembered>,
    /// How many are remembered of the whole directory, if that is known.
    pub whole: Option<usize>,
}

/// Where a walk asks.
pub trait Remembers: Debug + Send + Sync {
    /// What is remembered of the entries of `directory` with names from `first` to `last`.
    fn remembered(&self, directory: DirectoryKey, first: &[u8], last: &[u8]) -> Recollection;
}

/// How the walk came to know an entry, for whoever will remember it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Trace {
    /// When it was looked at closely (seconds since 1970), if that was an earlier walk.
    pub recalled: Option<u64>,
    /// Whether an equal stamp later means that nothing changed.
    pub is_settled: bool,
    /// Whether everything but the content could be read.
    pub is_whole: bool,
}
