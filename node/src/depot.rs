//! The depot: the store of shards on this device's disk, own and held.
//!
//! Write once: a shard is hashed while its bytes pass by, made durable, given its final name, and
//! only then recorded; nothing is acknowledged before its record is durable. Not the judge of what
//! may be deleted: it keeps and removes what it is told.
//!
//! ```text
//! writer ──write──▶ temp file ──fsync──▶ renamed ──fsync dir──▶ row committed ──▶ acknowledged
//!    │ dropped          │ crash             │ crash                 │ crash
//!    ▼                  ▼                   ▼                       ▼
//!  removed       removed at open     removed at open            there at open
//! ```
//!
//! **Invariant:** a row in state [`ShardState::Ok`] means that its file was durable before the row
//! was. Every call blocks on the disk: call from a thread that may block, never from async code.
//! Source: specs/depot.md.

mod disk;
mod error;
mod hasher;
mod partial;
mod reads;
mod reconcile;
mod reserve;
mod shard;
mod steps;
mod table;
#[cfg(test)]
pub(crate) mod tests;
mod writer;

use std::{
    collections::BTreeMap,
    ops::Range,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use larder_protocol::{
    ids::{ShardRoot, VaultId},
    index::ShardRef,
    proof::Challenge,
    time::Timestamp,
};

pub use error::DepotError;
pub use hasher::ShardHasher;
pub use partial::PartialShard;
pub use reads::LastRead;
pub use reconcile::OpenReport;
pub use shard::{EncodeFault, Shard, group_ranges};
pub use table::{ClaimNote, Origin, ShardRow, ShardState, Tenure, Total, Totals};
pub use writer::ShardWriter;

use disk::Layout;
use reserve::Reserve;
use steps::{Step, reached};
use table::Table;

/// Stripes of the lock that keeps a shard from being placed and removed at once.
const STRIPES: usize = 64;

/// The store of shards. Clones share one store.
#[derive(Clone, Debug)]
pub struct Depot {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    layout: Layout,
    table: Table,
    stripes: [Mutex<()>; STRIPES],
}

impl Depot {
    /// Opens the depot at `dir`, making it when there is none, and clears up after a crash.
    ///
    /// # Errors
    /// [`DepotError`] when the disk or the table cannot be used. Damaged or missing shards are
    /// no error: they are in the report and in their rows.
    pub fn open(dir: &Path) -> Result<(Self, OpenReport), DepotError> {
        let layout = Layout::create(dir)?;
        let reserve = Reserve::open(layout.reserve());
        let table = Table::open(&layout, reserve)?;
        let depot = Self {
            inner: Arc::new(Inner { layout, table, stripes: [const { Mutex::new(()) }; STRIPES] }),
        };
        let report = reconcile::reconcile(&depot)?;
        Ok((depot, report))
    }

    /// Starts a shard whose name and length are promised beforehand. Its space is reserved at once.
    ///
    /// # Errors
    /// [`DepotError::BadLength`] or [`DepotError::NoSpace`] before a byte was taken.
    pub fn writer(&self, expected: ShardRef) -> Result<ShardWriter, DepotError> {
        ShardWriter::create(self.clone(), Some(expected))
    }

    /// Starts a shard whose name is found out while it is written.
    ///
    /// # Errors
    /// [`DepotError`] when the disk refuses.
    pub fn writer_unnamed(&self) -> Result<ShardWriter, DepotError> {
        ShardWriter::create(self.clone(), None)
    }

    /// Stores `bytes` as one shard; durable when this returns.
    ///
    /// # Errors
    /// [`DepotError`]; nothing is left behind then.
    pub fn import(&self, bytes: &[u8], tenure: Tenure) -> Result<ShardRef, DepotError> {
        let mut writer = self.writer_unnamed()?;
        writer.write(bytes)?;
        writer.finish(tenure)
    }

    /// Takes over a complete partial shard by renaming its files; durable when this returns.
    /// `partial` may still be read afterwards, and taken over again by whoever else waited for it.
    ///
    /// # Errors
    /// [`DepotError::Incomplete`] when ranges are missing.
    pub fn adopt(&self, partial: &PartialShard, tenure: Tenure) -> Result<(), DepotError> {
        let ready = partial.finished()?;
        let _guard = self.lock(&ready.shard.root);
        ready.sync()?;
        ready.place(&self.inner.layout)?;
        self.inner.table.record(ready.shard, tenure)
    }

    /// Opens a shard for reading.
    ///
    /// # Errors
    /// [`DepotError::Unknown`] without a row, [`DepotError::Missing`] when its file is gone (the
    /// row says so from then on), [`DepotError::Corrupt`] when its outboard had to be rebuilt and
    /// the data does not have the root.
    pub fn open_shard(&self, root: &ShardRoot) -> Result<Shard, DepotError> {
        let opened = Shard::open(&self.inner.layout, self.named(root)?);
        match &opened {
            Err(DepotError::Missing(_)) => self.note(root, ShardState::Missing),
            Err(DepotError::Corrupt(_)) => self.note(root, ShardState::Corrupt),
            _ => {}
        }
        opened
    }

    /// Reads `range` of a shard, verified against its root.
    ///
    /// # Errors
    /// As [`Depot::open_shard`]; [`DepotError::Corrupt`] for bad bytes, which the row then says.
    pub fn read_range(&self, root: &ShardRoot, range: Range<u64>) -> Result<Vec<u8>, DepotError> {
        let read = self.open_shard(root)?.read_range(range);
        if let Err(DepotError::Corrupt(_)) = &read {
            self.note(root, ShardState::Corrupt);
        }
        read
    }

    /// Reads the whole shard, from the disk as far as the system allows, and names the byte ranges
    /// that do not have their hash; none means that the shard is well. The row says the outcome.
    ///
    /// What looks lost is looked at again before anything is concluded, while nobody may store or
    /// remove it: an outboard may have rotted rather than the bytes, and a sound copy may have come
    /// in place of the one that was read.
    ///
    /// # Errors
    /// As [`Depot::open_shard`].
    pub fn scrub(&self, root: &ShardRoot) -> Result<Vec<Range<u64>>, DepotError> {
        let first = self.named(root).and_then(|shard| Shard::read_whole(&self.inner.layout, shard));
        if !is_lost(&first) {
            self.note_found(root, &first);
            return first;
        }
        let _guard = self.lock(root);
        let second = self.named(root).and_then(|shard| Shard::examine(&self.inner.layout, shard));
        self.note_found(root, &second);
        second
    }

    /// Notes in one commit that these shards were read whole; what was found is in their rows.
    ///
    /// # Errors
    /// [`DepotError`] when the table cannot be written. They will be read again.
    pub fn note_read(&self, roots: &[ShardRoot], at: Timestamp) -> Result<(), DepotError> {
        self.inner.table.note_read(roots, at)
    }

    /// When each shard was last read whole, or stored.
    ///
    /// # Errors
    /// [`DepotError`] when the table cannot be read.
    pub fn last_reads(&self) -> Result<BTreeMap<ShardRoot, LastRead>, DepotError> {
        self.inner.table.last_reads()
    }

    /// Shows one chunk of a shard. The row says when it cannot be shown because it is damaged.
    ///
    /// # Errors
    /// As [`Depot::open_shard`]; [`DepotError::Corrupt`] when the bytes do not have their hash.
    pub fn prove(&self, challenge: &Challenge) -> Result<Vec<u8>, DepotError> {
        let root = challenge.shard.root;
        let proof = self.open_shard(&root)?.prove(challenge);
        if let Err(DepotError::Corrupt(_)) = &proof {
            self.note(&root, ShardState::Corrupt);
        }
        proof
    }

    /// Notes what is known of a shard's bytes in all its rows.
    ///
    /// # Errors
    /// [`DepotError`] when the table cannot be written.
    pub fn mark(&self, root: &ShardRoot, state: ShardState) -> Result<(), DepotError> {
        self.inner.table.mark(root, state)
    }

    /// Ends `vault`'s tenure of a shard; the bytes go with the last tenure. Needs no free space.
    /// Returns whether there was such a tenure.
    ///
    /// # Errors
    /// [`DepotError`] when the table cannot be written even with the reserve given up.
    pub fn remove(&self, root: &ShardRoot, vault: &VaultId) -> Result<bool, DepotError> {
        let _guard = self.lock(root);
        let known = self.row(root, vault)?.is_some();
        if known {
            // The row goes first: a crash in between leaves a file without a row, which the next
            // start removes; the other way round it would leave a row that says "lost".
            self.inner.table.forget(root, vault)?;
            reached(Step::RowDeleted);
        }
        // Without a row it may be one whose row was lost: not for us to delete.
        let is_ours = known || !self.inner.table.rows_lost();
        if is_ours && self.inner.table.rows_of(root)?.is_empty() {
            self.inner.layout.unlink(root)?;
        }
        self.inner.table.refill_reserve();
        Ok(known)
    }

    /// Ends `vault`'s tenure of a shard of the spool; one for which a receipt was given stays, even
    /// if it was given while this runs. Returns whether the tenure has ended.
    ///
    /// # Errors
    /// As [`Depot::remove`].
    pub fn release_own(&self, root: &ShardRoot, vault: &VaultId) -> Result<bool, DepotError> {
        let _guard = self.lock(root);
        // A row that cannot be read is an error here, and never one to delete.
        if self.row(root, vault)?.is_some_and(|row| row.origin == Origin::Own) {
            self.inner.table.forget_own(root, vault)?;
            reached(Step::RowDeleted);
        }
        let rows = self.inner.table.rows_of(root)?;
        if rows.is_empty() {
            self.inner.layout.unlink(root)?;
        }
        self.inner.table.refill_reserve();
        Ok(rows.iter().all(|row| row.vault != *vault))
    }

    /// Lengthens a tenure, or hands it from the spool to the held shards; never shortens it.
    ///
    /// # Errors
    /// [`DepotError::Unknown`] without such a tenure.
    pub fn extend(&self, root: &ShardRoot, tenure: Tenure) -> Result<(), DepotError> {
        let row = self.row(root, &tenure.vault)?.ok_or(DepotError::Unknown(*root))?;
        self.inner.table.extend(ShardRef { root: *root, bytes: row.bytes }, tenure)
    }

    /// Notes, durably and all at once, how long shards are kept and since when nobody claims them.
    ///
    /// # Errors
    /// [`DepotError`] when the table cannot be written even with the reserve given up.
    pub fn note_claims(&self, notes: &[ClaimNote]) -> Result<(), DepotError> {
        self.inner.table.note_claims(notes)
    }

    /// Lets the wait of every unclaimed shard have ended at a time, as if it had passed.
    #[cfg(test)]
    pub(crate) fn backdate(&self, keep_until: Timestamp) {
        self.inner.table.backdate(keep_until).expect("the table of a test can be written");
    }

    /// The row of one shard for one vault.
    ///
    /// # Errors
    /// [`DepotError`] when the table cannot be read.
    pub fn row(&self, root: &ShardRoot, vault: &VaultId) -> Result<Option<ShardRow>, DepotError> {
        self.inner.table.row(root, vault)
    }

    /// All rows of one shard, one for each vault it is kept for.
    ///
    /// # Errors
    /// [`DepotError`] when the table cannot be read.
    pub fn rows_of(&self, root: &ShardRoot) -> Result<Vec<ShardRow>, DepotError> {
        self.inner.table.rows_of(root)
    }

    /// Every row in the order of roots, or those of one vault.
    ///
    /// # Errors
    /// [`DepotError`] when the table cannot be read.
    pub fn rows(&self, vault: Option<&VaultId>) -> Result<Vec<(ShardRoot, ShardRow)>, DepotError> {
        let mut rows = Vec::new();
        self.inner.table.each(None, |root, row| {
            if vault.is_none_or(|vault| *vault == row.vault) {
                rows.push((root, row));
            }
        })?;
        Ok(rows)
    }

    /// Shards and bytes by vault and origin, kept as rows come and go.
    pub fn totals(&self) -> Totals {
        self.inner.table.totals()
    }

    /// Shard files that no row names, because the rows were lost: kept until they are stored again.
    ///
    /// # Errors
    /// [`DepotError`] when directories or table cannot be read.
    pub fn unclaimed(&self) -> Result<Total, DepotError> {
        reconcile::unclaimed(self)
    }

    /// Bytes that an ordinary user may still write on the depot's disk.
    ///
    /// # Errors
    /// [`DepotError::Disk`] when the file system does not say.
    pub fn free_bytes(&self) -> Result<u64, DepotError> {
        self.inner.layout.free_bytes()
    }

    /// The directory in which the depot lives.
    pub fn dir(&self) -> &PathBuf {
        self.inner.layout.dir()
    }

    /// A shard that a row names, with its length.
    fn named(&self, root: &ShardRoot) -> Result<ShardRef, DepotError> {
        let row = self.inner.table.rows_of(root)?.into_iter().next();
        let row = row.ok_or(DepotError::Unknown(*root))?;
        Ok(ShardRef { root: *root, bytes: row.bytes })
    }

    fn note_found(&self, root: &ShardRoot, found: &Result<Vec<Range<u64>>, DepotError>) {
        match found {
            Ok(bad) if bad.is_empty() => self.note(root, ShardState::Ok),
            Ok(_) | Err(DepotError::Corrupt(_)) => self.note(root, ShardState::Corrupt),
            Err(DepotError::Missing(_)) => self.note(root, ShardState::Missing),
            Err(_) => {}
        }
    }

    /// As [`Depot::mark`], for a reader: what was found is to be told whether or not it could be
    /// written down. It will be found again.
    fn note(&self, root: &ShardRoot, state: ShardState) {
        if let Err(error) = self.mark(root, state) {
            tracing::warn!(shard = %root.short(), %error, "could not note that it is {state:?}");
        }
    }

    pub(crate) fn lock(&self, root: &ShardRoot) -> MutexGuard<'_, ()> {
        let stripe = usize::from(root.as_bytes()[31]) % STRIPES;
        // The lock guards files, not memory: a panic elsewhere leaves nothing half-changed in it.
        self.inner.stripes[stripe].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a look at a shard says that its bytes are gone or not what they were.
fn is_lost(found: &Result<Vec<Range<u64>>, DepotError>) -> bool {
    match found {
        Ok(bad) => !bad.is_empty(),
        Err(error) => matches!(error, DepotError::Corrupt(_) | DepotError::Missing(_)),
    }
}
