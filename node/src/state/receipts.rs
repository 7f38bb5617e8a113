//! Receipts: which holder has signed for which shard, durable before it counts; and when it last
//! showed that it has it.

use std::collections::BTreeMap;

use larder_protocol::{
    cbor,
    ids::{DeviceId, ShardRoot},
    receipt::Receipt,
    time::Timestamp,
};
use redb::{ReadableTable, TableDefinition, WriteTransaction};

use super::{State, StateError, record, values};

/// Key: shard root, then holder.
const RECEIPTS: TableDefinition<'_, &[u8; 64], &[u8]> = TableDefinition::new("receipts");

/// When a holder last showed a chunk of what it signed for: seconds since 1970. Keys as above.
const PROVEN: TableDefinition<'_, &[u8; 64], u64> = TableDefinition::new("proven");

/// When what was last shown, by holder.
pub type Proofs = BTreeMap<DeviceId, BTreeMap<ShardRoot, Timestamp>>;

pub(super) fn create(tx: &WriteTransaction) -> Result<(), redb::Error> {
    tx.open_table(RECEIPTS)?;
    tx.open_table(PROVEN)?;
    Ok(())
}

fn key(root: &ShardRoot, holder: &DeviceId) -> [u8; 64] {
    let mut key = [0; 64];
    let (first, second) = key.split_at_mut(32);
    first.copy_from_slice(root.as_bytes());
    second.copy_from_slice(holder.as_bytes());
    key
}

/// Forgets all receipts for these shards, and what was shown of them.
pub(super) fn remove(
    tx: &WriteTransaction,
    roots: &std::collections::BTreeSet<ShardRoot>,
) -> Result<(), redb::Error> {
    let (mut receipts, mut proven) = (tx.open_table(RECEIPTS)?, tx.open_table(PROVEN)?);
    for root in roots {
        let first = key(root, &DeviceId::from_bytes([0; 32]));
        let last = key(root, &DeviceId::from_bytes([0xff; 32]));
        receipts.retain_in::<&[u8; 64], _>(&first..=&last, |_, _| false)?;
        proven.retain_in::<&[u8; 64], _>(&first..=&last, |_, _| false)?;
    }
    Ok(())
}

/// Forgets all receipts of these holders, and what they have shown.
pub(super) fn remove_of(tx: &WriteTransaction, holders: &[DeviceId]) -> Result<(), redb::Error> {
    let is_of = |key: &[u8; 64]| holders.iter().any(|holder| key.ends_with(holder.as_bytes()));
    tx.open_table(RECEIPTS)?.retain(|key, _| !is_of(key))?;
    tx.open_table(PROVEN)?.retain(|key, _| !is_of(key))?;
    Ok(())
}

impl State {
    /// Remembers verified receipts; returns once they are durable.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn keep_receipts(&self, receipts: &[Receipt]) -> Result<(), StateError> {
        self.write(|tx| {
            let mut table = tx.open_table(RECEIPTS)?;
            for receipt in receipts {
                let key = key(&receipt.body.shard.root, &receipt.body.holder);
                table.insert(&key, cbor::encode(receipt).as_slice())?;
            }
            Ok(())
        })
    }

    /// Forgets the receipt of a holder that was found not to keep the shard.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn drop_receipt(&self, root: &ShardRoot, holder: &DeviceId) -> Result<(), StateError> {
        self.write(|tx| {
            tx.open_table(RECEIPTS)?.remove(&key(root, holder))?;
            tx.open_table(PROVEN)?.remove(&key(root, holder))?;
            Ok(())
        })
    }

    /// Remembers that a holder showed a chunk of each of these.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn note_proven(
        &self,
        holder: &DeviceId,
        roots: &[ShardRoot],
        at: Timestamp,
    ) -> Result<(), StateError> {
        self.write(|tx| {
            let mut table = tx.open_table(PROVEN)?;
            for root in roots {
                table.insert(&key(root, holder), at.0)?;
            }
            Ok(())
        })
    }

    /// Everything that was shown, and when.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn proofs(&self) -> Result<Proofs, StateError> {
        self.read(|tx| {
            let mut proofs = Proofs::new();
            for row in tx.open_table(PROVEN)?.iter()? {
                let (key, at) = row?;
                let (root, holder) = key.value().split_at(32);
                let id = |bytes: &[u8]| <[u8; 32]>::try_from(bytes).expect("half of 64 bytes");
                let (root, holder) =
                    (ShardRoot::from_bytes(id(root)), DeviceId::from_bytes(id(holder)));
                proofs.entry(holder).or_default().insert(root, Timestamp(at.value()));
            }
            Ok(proofs)
        })
    }

    /// All receipts for one shard.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn receipts_for(&self, root: &ShardRoot) -> Result<Vec<Receipt>, StateError> {
        let low = key(root, &DeviceId::from_bytes([0; 32]));
        let high = key(root, &DeviceId::from_bytes([0xff; 32]));
        let rows = self.read(|tx| {
            let mut rows = Vec::new();
            for row in tx.open_table(RECEIPTS)?.range::<&[u8; 64]>(&low..=&high)? {
                rows.push(row?.1.value().to_vec());
            }
            Ok(rows)
        })?;
        rows.iter().map(|bytes| record("receipts", bytes)).collect()
    }

    /// Every receipt.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn all_receipts(&self) -> Result<Vec<Receipt>, StateError> {
        let rows = self.read(|tx| values(&tx.open_table(RECEIPTS)?))?;
        rows.iter().map(|bytes| record("receipts", bytes)).collect()
    }
}
