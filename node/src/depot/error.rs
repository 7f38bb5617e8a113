//! What can go wrong in the depot, by whose fault.

use std::{io, sync::Arc};

use larder_protocol::{ids::ShardRoot, index::ShardRef};
use thiserror::Error;

/// Why the depot could not do something. Clones share their cause: one commit may serve many.
#[derive(Debug, Clone, Error)]
pub enum DepotError {
    /// The disk is full, or the user's quota of it is.
    #[error("no space left on the depot's disk")]
    NoSpace,
    /// The file system failed otherwise.
    #[error("could not {doing} in the depot")]
    Disk {
        /// What was tried.
        doing: &'static str,
        /// What the system said.
        #[source]
        source: Arc<io::Error>,
    },
    /// The table of rows cannot be used.
    #[error("the depot's table cannot be used")]
    Table(#[source] Arc<redb::Error>),
    /// A row of the table is not one this version writes.
    #[error("the depot's table holds a row that this version cannot read")]
    BadRow,
    /// No row names this shard.
    #[error("shard {} is not in the depot", .0.short())]
    Unknown(ShardRoot),
    /// A row names this shard, its file is gone.
    #[error("the file of shard {} is missing", .0.short())]
    Missing(ShardRoot),
    /// Bytes on the disk do not have the shard's root, or the disk cannot give them back.
    #[error("shard {} is damaged on disk", .0.short())]
    Corrupt(ShardRoot),
    /// The bytes written are not the promised shard. The writer's source is to blame.
    #[error("met {} bytes of root {}, promised were {} of {}",
        .met.bytes, .met.root.short(), .promised.bytes, .promised.root.short())]
    WrongBytes {
        /// What was promised.
        promised: ShardRef,
        /// What came.
        met: ShardRef,
    },
    /// A length that no shard may have.
    #[error("{0} bytes: a shard has at least 1 and at most 64 MiB")]
    BadLength(u64),
    /// A range outside the shard.
    #[error("a range outside the shard")]
    BadRange,
    /// A partial shard does not have these bytes yet.
    #[error("the bytes have not all arrived yet")]
    Incomplete,
}

impl DepotError {
    /// Turns the system's error of one attempt into ours, keeping "disk full" apart.
    pub(super) fn disk(doing: &'static str) -> impl Fn(io::Error) -> Self {
        move |source| {
            if is_no_space(&source) {
                Self::NoSpace
            } else {
                Self::Disk { doing, source: Arc::new(source) }
            }
        }
    }
}

impl DepotError {
    /// Turns the system's error of reading one shard into ours: what the medium cannot give back
    /// is damage of that shard, not a fault of the depot.
    pub(super) fn reading(doing: &'static str, root: ShardRoot) -> impl Fn(io::Error) -> Self {
        move |source| {
            if is_damage(&source) {
                tracing::warn!(shard = %root.short(), error = %source, "could not {doing}");
                Self::Corrupt(root)
            } else {
                Self::disk(doing)(source)
            }
        }
    }
}

impl From<redb::Error> for DepotError {
    fn from(error: redb::Error) -> Self {
        match error {
            redb::Error::Io(source) if is_no_space(&source) => Self::NoSpace,
            other => Self::Table(Arc::new(other)),
        }
    }
}

/// Disk full and quota used up mean the same to us: refuse, and free something.
pub(super) fn is_no_space(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// What the kernel says of sectors, checksums or directories that are beyond reading.
pub(super) fn is_damage(error: &io::Error) -> bool {
    use rustix::io::Errno;
    const DAMAGE: [Errno; 5] =
        [Errno::IO, Errno::NODATA, Errno::BADMSG, Errno::UCLEAN, Errno::ILSEQ];
    Errno::from_io_error(error).is_some_and(|errno| DAMAGE.contains(&errno))
}
