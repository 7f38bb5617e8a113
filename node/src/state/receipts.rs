//! Receipts: which holder has signed for which shard. Durable before it counts.

use larder_protocol::{
    cbor,
    ids::{DeviceId, ShardRoot},
    receipt::Receipt,
};
use redb::{TableDefinition, WriteTransaction};

use super::{State, StateError, record, values};

/// Key: shard root, then holder.
const RECEIPTS: TableDefinition<'_, &[u8; 64], &[u8]> = TableDefinition::new("receipts");

pub(super) fn create(tx: &WriteTransaction) -> Result<(), redb::Error> {
    tx.open_table(RECEIPTS)?;
    Ok(())
}

fn key(root: &ShardRoot, holder: &DeviceId) -> [u8; 64] {
    let mut key = [0; 64];
    let (first, second) = key.split_at_mut(32);
    first.copy_from_slice(root.as_bytes());
    second.copy_from_slice(holder.as_bytes());
    key
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
            Ok(())
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
