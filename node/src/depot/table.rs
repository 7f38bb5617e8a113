//! The rows of the depot: which shard is kept for whom, until when, and in what state.
//!
//! One redb table, keyed by root and vault: two vaults may have the same bytes kept, each with its
//! own retention. Changes of many threads share one durable commit: whoever holds the commit lock
//! commits for all who wait.

use std::{
    collections::BTreeMap,
    mem,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use larder_protocol::{
    cbor,
    ids::{ShardRoot, VaultId},
    index::{PackClass, ShardRef},
    time::Timestamp,
};
use minicbor::{Decode, Encode};
use redb::{Durability, ReadableTable, TableDefinition, WriteTransaction};

use super::{
    DepotError,
    disk::Layout,
    error::is_no_space,
    reads::{READS, has_row},
    reserve::Reserve,
};
use crate::database::Database;

/// Key: root, then vault. Value: canonical CBOR of [`StoredRow`].
pub(super) const SHARDS: TableDefinition<'_, &[u8; 64], &[u8]> = TableDefinition::new("shards");
/// What is to be remembered of the table itself.
const NOTES: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("notes");
/// Note: shard files were there when this table was made, so that rows of an earlier one are lost.
const ROWS_LOST: &str = "rows lost";
/// Pages that redb may keep in memory; its own default is 1 GiB.
const CACHE_BYTES: usize = 8 * 1024 * 1024;
/// A row is about 80 bytes.
const ROW_BYTES_MAX: usize = 1024;
const ROW_VERSION: u16 = 1;

/// Why a shard is here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
#[cbor(index_only)]
pub enum Origin {
    /// Made by this device, on its way to the holders: the spool.
    #[n(0)]
    Own,
    /// Kept for another device: a receipt was given.
    #[n(1)]
    Held,
}

/// What is known of a shard's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
#[cbor(index_only)]
pub enum ShardState {
    /// As written, as far as is known.
    #[n(0)]
    Ok,
    /// The file is gone.
    #[n(1)]
    Missing,
    /// Bytes were found that do not have their hash.
    #[n(2)]
    Corrupt,
}

/// For whom and until when a shard is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tenure {
    /// The vault whose shard it is.
    pub vault: VaultId,
    /// By which rules it is placed.
    pub class: PackClass,
    /// Why it is here.
    pub origin: Origin,
    /// When it came, by this device's clock.
    pub stored: Timestamp,
    /// Kept at least until then.
    pub keep_until: Timestamp,
}

/// One shard as kept for one vault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShardRow {
    /// Length of the shard.
    pub bytes: u64,
    /// By which rules it is placed.
    pub class: PackClass,
    /// For whom.
    pub vault: VaultId,
    /// Why it is here.
    pub origin: Origin,
    /// When it first came.
    pub stored: Timestamp,
    /// Kept at least until then.
    pub keep_until: Timestamp,
    /// What is known of its bytes.
    pub state: ShardState,
    /// Since when no device of the vault claims it; `None` while one may.
    pub unclaimed: Option<Timestamp>,
}

/// What is known of whether a shard is still needed by its vault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClaimNote {
    /// Which shard.
    pub root: ShardRoot,
    /// Whose.
    pub vault: VaultId,
    /// Kept at least until then.
    pub keep_until: Timestamp,
    /// Since when no device claims it.
    pub unclaimed: Option<Timestamp>,
}

#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
struct StoredRow {
    #[n(0)]
    version: u16,
    #[n(1)]
    bytes: u64,
    #[n(2)]
    class: PackClass,
    #[n(3)]
    origin: Origin,
    #[n(4)]
    stored: Timestamp,
    #[n(5)]
    keep_until: Timestamp,
    #[n(6)]
    state: ShardState,
    #[n(7)]
    unclaimed: Option<Timestamp>,
}

/// How much is kept of one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Total {
    /// Shards.
    pub shards: u64,
    /// Their bytes, outboards and the table not counted.
    pub bytes: u64,
}

/// What is kept, by vault and origin. Shards whose file is missing do not count.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Totals(BTreeMap<(VaultId, Origin), Total>);

impl Totals {
    /// What is kept for one vault for one reason.
    pub fn of(&self, vault: &VaultId, origin: Origin) -> Total {
        self.0.get(&(*vault, origin)).copied().unwrap_or_default()
    }

    /// What is kept for one reason, all vaults together.
    pub fn all(&self, origin: Origin) -> Total {
        let kept = self.0.iter().filter(|((_, of), _)| *of == origin);
        kept.fold(Total::default(), |sum, (_, total)| Total {
            shards: sum.shards + total.shards,
            bytes: sum.bytes + total.bytes,
        })
    }

    fn replace(&mut self, before: Option<&ShardRow>, after: Option<&ShardRow>) {
        let counts = |row: &&ShardRow| row.state != ShardState::Missing;
        if let Some(row) = before.filter(counts) {
            let total = self.0.entry((row.vault, row.origin)).or_default();
            total.shards = total.shards.saturating_sub(1);
            total.bytes = total.bytes.saturating_sub(row.bytes);
        }
        if let Some(row) = after.filter(counts) {
            let total = self.0.entry((row.vault, row.origin)).or_default();
            total.shards += 1;
            total.bytes += row.bytes;
        }
    }
}

impl ShardRow {
    /// A row for a shard that is durable now, joined with what the table said before. The longer
    /// retention wins, and a promise to somebody else outranks the spool.
    fn joined(before: Option<&Self>, bytes: u64, tenure: &Tenure) -> Self {
        Self {
            bytes,
            class: before.map_or(tenure.class, |row| row.class.max(tenure.class)),
            vault: tenure.vault,
            origin: before.map_or(tenure.origin, |row| row.origin.max(tenure.origin)),
            stored: before.map_or(tenure.stored, |row| row.stored.min(tenure.stored)),
            keep_until: before
                .map_or(tenure.keep_until, |row| row.keep_until.max(tenure.keep_until)),
            state: ShardState::Ok,
            // Whoever stores it wants it.
            unclaimed: None,
        }
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        cbor::encode(&StoredRow {
            version: ROW_VERSION,
            bytes: self.bytes,
            class: self.class,
            origin: self.origin,
            stored: self.stored,
            keep_until: self.keep_until,
            state: self.state,
            unclaimed: self.unclaimed,
        })
    }

    pub(super) fn decode(key: &[u8; 64], value: &[u8]) -> Result<(ShardRoot, Self), DepotError> {
        let row: StoredRow = cbor::decode(value, ROW_BYTES_MAX).map_err(|_| DepotError::BadRow)?;
        if row.version != ROW_VERSION {
            return Err(DepotError::BadRow);
        }
        let (root, vault) = split(key);
        let row = Self {
            bytes: row.bytes,
            class: row.class,
            vault,
            origin: row.origin,
            stored: row.stored,
            keep_until: row.keep_until,
            state: row.state,
            unclaimed: row.unclaimed,
        };
        Ok((root, row))
    }
}

/// What becomes of a row, given what it was.
type Rule = Box<dyn Fn(Option<&ShardRow>) -> Option<ShardRow> + Send + Sync>;

struct Change {
    key: [u8; 64],
    rule: Rule,
    /// When the bytes were hashed, where they were.
    hashed: Option<Timestamp>,
}

struct Batch {
    changes: Vec<Change>,
    /// Frees space: may use the reserve.
    freeing: bool,
    outcome: Arc<OnceLock<Result<(), DepotError>>>,
}

/// The table, safe to use from many threads.
pub(super) struct Table {
    database: Database,
    waiting: Mutex<Vec<Batch>>,
    commit: Mutex<()>,
    totals: Mutex<Totals>,
    rows_lost: AtomicBool,
    reserve: Reserve,
}

impl std::fmt::Debug for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Table").field("database", &self.database).finish_non_exhaustive()
    }
}

impl Table {
    /// Opens the table of `layout`, made when there is none. Shard files that are there before
    /// their table are noted in the transaction that makes it: whatever happens then, no later
    /// start takes them for left-overs.
    pub(super) fn open(layout: &Layout, reserve: Reserve) -> Result<Self, DepotError> {
        let make = |tx: &WriteTransaction| {
            tx.open_table(SHARDS)?;
            let mut notes = tx.open_table(NOTES)?;
            if layout.has_shards()? {
                notes.insert(ROWS_LOST, [].as_slice())?;
            }
            Ok(())
        };
        let database = Database::open(&layout.table(), CACHE_BYTES, make)?;
        // A file that an older program had just begun has no table. Nothing is written when it is
        // there: a full disk must not keep the depot closed.
        if !has_shards_table(&database)? {
            database.write(Durability::Immediate, make)?;
        }
        let rows_lost = AtomicBool::new(is_noted(&database, ROWS_LOST)?);
        let table = Self {
            database,
            waiting: Mutex::default(),
            commit: Mutex::default(),
            totals: Mutex::default(),
            rows_lost,
            reserve,
        };
        let mut totals = Totals::default();
        table.each(None, |_, row| totals.replace(None, Some(&row)))?;
        *lock(&table.totals) = totals;
        Ok(table)
    }

    /// Whether files may be here whose rows were lost.
    pub(super) fn rows_lost(&self) -> bool {
        self.rows_lost.load(Ordering::Relaxed)
    }

    /// Every file has a row again.
    pub(super) fn rows_found(&self) -> Result<(), DepotError> {
        self.ready()?;
        self.database.write(Durability::Immediate, |tx| {
            tx.open_table(NOTES)?.remove(ROWS_LOST)?;
            Ok(())
        })?;
        self.rows_lost.store(false, Ordering::Relaxed);
        Ok(())
    }

    pub(super) fn row(
        &self,
        root: &ShardRoot,
        vault: &VaultId,
    ) -> Result<Option<ShardRow>, DepotError> {
        let rows = self.rows_of(root)?;
        Ok(rows.into_iter().find(|row| row.vault == *vault))
    }

    pub(super) fn rows_of(&self, root: &ShardRoot) -> Result<Vec<ShardRow>, DepotError> {
        let mut rows = Vec::new();
        let low = join(root, &VaultId::from_bytes([0; 32]));
        let high = join(root, &VaultId::from_bytes([0xff; 32]));
        self.each(Some((low, high)), |_, row| rows.push(row))?;
        Ok(rows)
    }

    /// Visits the rows between two keys (both included), or all, in the order of keys.
    pub(super) fn each(
        &self,
        between: Option<([u8; 64], [u8; 64])>,
        mut visit: impl FnMut(ShardRoot, ShardRow),
    ) -> Result<(), DepotError> {
        let (low, high) = between.unwrap_or(([0; 64], [0xff; 64]));
        self.ready()?;
        let rows = self.database.read(|tx| {
            let table = tx.open_table(SHARDS)?;
            let mut rows = Vec::new();
            for entry in table.range::<&[u8; 64]>(&low..=&high)? {
                let (key, value) = entry?;
                rows.push(ShardRow::decode(key.value(), value.value()));
            }
            Ok(rows)
        })?;
        rows.into_iter().try_for_each(|row| row.map(|(root, row)| visit(root, row)))
    }

    /// Records a tenure of a shard whose file is durable. It was hashed as it came.
    pub(super) fn record(&self, shard: ShardRef, tenure: Tenure) -> Result<(), DepotError> {
        self.join_tenure(shard, tenure, Some(tenure.stored))
    }

    /// Records a further tenure of a shard that is here, and was not looked at.
    pub(super) fn extend(&self, shard: ShardRef, tenure: Tenure) -> Result<(), DepotError> {
        self.join_tenure(shard, tenure, None)
    }

    fn join_tenure(
        &self,
        shard: ShardRef,
        tenure: Tenure,
        hashed: Option<Timestamp>,
    ) -> Result<(), DepotError> {
        let key = join(&shard.root, &tenure.vault);
        let rule: Rule =
            Box::new(move |before| Some(ShardRow::joined(before, shard.bytes, &tenure)));
        self.apply(vec![Change { key, rule, hashed }], false)
    }

    /// Deletes a row. May use the reserve.
    pub(super) fn forget(&self, root: &ShardRoot, vault: &VaultId) -> Result<(), DepotError> {
        let rule: Rule = Box::new(|_| None);
        self.apply(vec![Change { key: join(root, vault), rule, hashed: None }], true)
    }

    /// Deletes a row of the spool; a row of a held shard stays. May use the reserve.
    pub(super) fn forget_own(&self, root: &ShardRoot, vault: &VaultId) -> Result<(), DepotError> {
        let stays =
            |before: Option<&ShardRow>| before.filter(|row| row.origin == Origin::Held).copied();
        let rule: Rule = Box::new(stays);
        self.apply(vec![Change { key: join(root, vault), rule, hashed: None }], true)
    }

    /// Notes how long rows are kept and since when nobody claims them, all in one commit. A row that
    /// is gone stays gone, and none is kept for less long. May use the reserve: it leads to space.
    pub(super) fn note_claims(&self, notes: &[ClaimNote]) -> Result<(), DepotError> {
        let changes = notes.iter().copied().map(|note| Change {
            key: join(&note.root, &note.vault),
            hashed: None,
            rule: Box::new(move |before| {
                before.map(|row| ShardRow {
                    keep_until: row.keep_until.max(note.keep_until),
                    unclaimed: note.unclaimed,
                    ..*row
                })
            }),
        });
        self.apply(changes.collect(), true)
    }

    /// Lets the wait of every unclaimed row have ended at a time, as if it had passed.
    #[cfg(test)]
    pub(super) fn backdate(&self, keep_until: Timestamp) -> Result<(), DepotError> {
        let mut changes = Vec::new();
        self.each(None, |root, row| {
            if row.unclaimed.is_some() {
                let rule: Rule =
                    Box::new(move |before| before.map(|row| ShardRow { keep_until, ..*row }));
                changes.push(Change { key: join(&root, &row.vault), hashed: None, rule });
            }
        })?;
        self.apply(changes, false)
    }

    /// Sets the state in all rows of a shard; writes nothing when they say so already.
    pub(super) fn mark(&self, root: &ShardRoot, state: ShardState) -> Result<(), DepotError> {
        let rows = self.rows_of(root)?;
        let others = rows.into_iter().filter(|row| row.state != state);
        let changes: Vec<Change> = others
            .map(|row| Change {
                key: join(root, &row.vault),
                rule: Box::new(move |before| before.map(|row| ShardRow { state, ..*row })),
                hashed: None,
            })
            .collect();
        if changes.is_empty() { Ok(()) } else { self.apply(changes, false) }
    }

    pub(super) const fn database(&self) -> &Database {
        &self.database
    }

    pub(super) fn totals(&self) -> Totals {
        lock(&self.totals).clone()
    }

    pub(super) fn refill_reserve(&self) {
        self.reserve.refill();
    }

    /// Makes the changes durable, together with those of all threads that wait.
    fn apply(&self, changes: Vec<Change>, freeing: bool) -> Result<(), DepotError> {
        let outcome = Arc::new(OnceLock::new());
        lock(&self.waiting).push(Batch { changes, freeing, outcome: Arc::clone(&outcome) });
        let _leading = lock(&self.commit);
        if let Some(done) = outcome.get() {
            return done.clone();
        }
        let batches = mem::take(&mut *lock(&self.waiting));
        self.lead(batches);
        outcome.get().cloned().expect("the leader's own batch was among those waiting")
    }

    /// Commits all batches, or, on a full disk, those that free space.
    fn lead(&self, batches: Vec<Batch>) {
        let mut result = self.write(&batches);
        if matches!(result, Err(DepotError::NoSpace)) {
            let (freeing, others): (Vec<_>, Vec<_>) = batches.into_iter().partition(|b| b.freeing);
            settle(&others, &result);
            if !freeing.is_empty() {
                self.reserve.release();
                result = self.write(&freeing);
            }
            settle(&freeing, &result);
        } else {
            settle(&batches, &result);
        }
    }

    fn write(&self, batches: &[Batch]) -> Result<(), DepotError> {
        self.ready()?;
        let mut replaced = Vec::new();
        let written = self.database.write(Durability::Immediate, |tx| {
            let mut table = tx.open_table(SHARDS)?;
            let mut reads = tx.open_table(READS)?;
            for Change { key, rule, hashed } in batches.iter().flat_map(|batch| &batch.changes) {
                let before = match table.get(key)? {
                    Some(value) => ShardRow::decode(key, value.value()).ok().map(|(_, row)| row),
                    None => None,
                };
                let after = rule(before.as_ref());
                match &after {
                    Some(row) => drop(table.insert(key, row.encode().as_slice())?),
                    None => drop(table.remove(key)?),
                }
                let (root, _) = split(key);
                if let Some(at) = hashed {
                    reads.insert(root.as_bytes(), at.0)?;
                } else if after.is_none() && !has_row(&table, &root)? {
                    reads.remove(root.as_bytes())?;
                }
                replaced.push((before, after));
            }
            Ok(())
        });
        if written.is_ok() {
            let mut totals = lock(&self.totals);
            for (before, after) in &replaced {
                totals.replace(before.as_ref(), after.as_ref());
            }
        }
        Ok(written?)
    }

    /// Opens the file again after an error. It repairs itself, which may take space: reading and
    /// removing come before the reserve.
    pub(super) fn ready(&self) -> Result<(), DepotError> {
        match self.database.ready() {
            Err(redb::Error::Io(error)) if is_no_space(&error) => {
                self.reserve.release();
                Ok(self.database.ready()?)
            }
            other => Ok(other?),
        }
    }
}

fn has_shards_table(database: &Database) -> Result<bool, redb::Error> {
    match database.read(|tx| Ok(tx.open_table(SHARDS)?)) {
        Ok(_) => Ok(true),
        Err(redb::Error::TableDoesNotExist(_)) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Whether there is a note. Tables made before there were any have none.
fn is_noted(database: &Database, note: &str) -> Result<bool, redb::Error> {
    match database.read(|tx| Ok(tx.open_table(NOTES)?.get(note)?.is_some())) {
        Err(redb::Error::TableDoesNotExist(_)) => Ok(false),
        other => other,
    }
}

fn settle(batches: &[Batch], result: &Result<(), DepotError>) {
    for batch in batches {
        batch.outcome.set(result.clone()).expect("a batch is settled once");
    }
}

pub(super) fn join(root: &ShardRoot, vault: &VaultId) -> [u8; 64] {
    let mut key = [0; 64];
    key[..32].copy_from_slice(root.as_bytes());
    key[32..].copy_from_slice(vault.as_bytes());
    key
}

fn split(key: &[u8; 64]) -> (ShardRoot, VaultId) {
    let (mut root, mut vault) = ([0; 32], [0; 32]);
    root.copy_from_slice(&key[..32]);
    vault.copy_from_slice(&key[32..]);
    (ShardRoot::from_bytes(root), VaultId::from_bytes(vault))
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
