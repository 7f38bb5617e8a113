//! When the bytes of each shard were last compared with their hash.
//!
//! A redb table beside the rows. What it says is a day, not a fact about the bytes: those are in the
//! rows. What is lost of it, by a crash or with the table, is read again.

use std::collections::BTreeMap;

use larder_protocol::{
    ids::{ShardRoot, VaultId},
    time::Timestamp,
};
use redb::{Durability, ReadTransaction, ReadableTable, Table as Open, TableDefinition};

use super::{
    DepotError, ShardRow, ShardState,
    table::{SHARDS, Table, join},
};

/// Key: root. Value: seconds since 1970.
pub(super) const READS: TableDefinition<'_, &[u8; 32], u64> = TableDefinition::new("reads");

/// When a shard was last read whole, or stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LastRead {
    /// Its length.
    pub bytes: u64,
    /// By this device's clock.
    pub at: Timestamp,
    /// Whether nothing is known to be wrong with it.
    pub is_well: bool,
}

impl Table {
    /// Notes in one commit that these were read whole. Those that are kept no more are left out.
    pub(super) fn note_read(&self, roots: &[ShardRoot], at: Timestamp) -> Result<(), DepotError> {
        self.ready()?;
        self.database().write(Durability::Immediate, |tx| {
            let rows = tx.open_table(SHARDS)?;
            let mut reads = tx.open_table(READS)?;
            for root in roots {
                if has_row(&rows, root)? {
                    reads.insert(root.as_bytes(), at.0)?;
                }
            }
            Ok(())
        })?;
        Ok(())
    }

    /// Every shard, when it was last read or else stored.
    pub(super) fn last_reads(&self) -> Result<BTreeMap<ShardRoot, LastRead>, DepotError> {
        self.ready()?;
        let noted = self.database().read(noted)?;
        let mut all: BTreeMap<ShardRoot, LastRead> = BTreeMap::new();
        self.each(None, |root, row: ShardRow| {
            let is_well = row.state == ShardState::Ok;
            let at = noted.get(&root).copied().unwrap_or(row.stored);
            let last = all.entry(root).or_insert(LastRead { bytes: row.bytes, at, is_well });
            last.at = last.at.min(at);
            last.is_well &= is_well;
        })?;
        Ok(all)
    }
}

/// What is noted. Tables made before there was anything to note have nothing.
fn noted(tx: &ReadTransaction) -> Result<BTreeMap<ShardRoot, Timestamp>, redb::Error> {
    let reads = match tx.open_table(READS) {
        Err(redb::TableError::TableDoesNotExist(_)) => return Ok(BTreeMap::new()),
        other => other?,
    };
    let mut noted = BTreeMap::new();
    for row in reads.iter()? {
        let (root, at) = row?;
        noted.insert(ShardRoot::from_bytes(*root.value()), Timestamp(at.value()));
    }
    Ok(noted)
}

/// Whether a shard is kept for anybody.
pub(super) fn has_row(
    rows: &Open<'_, &'static [u8; 64], &'static [u8]>,
    root: &ShardRoot,
) -> Result<bool, redb::Error> {
    let low = join(root, &VaultId::from_bytes([0; 32]));
    let high = join(root, &VaultId::from_bytes([0xff; 32]));
    Ok(rows.range::<&[u8; 64]>(&low..=&high)?.next().transpose()?.is_some())
}
