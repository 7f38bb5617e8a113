//! Claims: which packs other devices of the vault need, and the leave-taking of packs that nobody does.

use std::collections::BTreeSet;

use larder_protocol::ids::{DeviceId, ShardRoot};
use redb::{ReadableTable, TableDefinition, WriteTransaction};

use super::{State, StateError, index, receipts};

/// Roots of all packs that the newest known manifest of a device needs, one after the other.
const CLAIMED: TableDefinition<'_, &[u8; 32], &[u8]> = TableDefinition::new("claimed");

pub(super) fn create(tx: &WriteTransaction) -> Result<(), redb::Error> {
    tx.open_table(CLAIMED)?;
    Ok(())
}

pub(super) fn forget(tx: &WriteTransaction, device: &DeviceId) -> Result<(), redb::Error> {
    tx.open_table(CLAIMED)?.remove(device.as_bytes())?;
    Ok(())
}

/// What a device needs, as it stands in the table.
pub(super) fn bytes_of(tx: &WriteTransaction, device: &DeviceId) -> Result<Vec<u8>, redb::Error> {
    let table = tx.open_table(CLAIMED)?;
    Ok(table.get(device.as_bytes())?.map(|bytes| bytes.value().to_vec()).unwrap_or_default())
}

pub(super) fn keep(
    tx: &WriteTransaction,
    device: &DeviceId,
    bytes: &[u8],
) -> Result<(), redb::Error> {
    tx.open_table(CLAIMED)?.insert(device.as_bytes(), bytes)?;
    Ok(())
}

impl State {
    /// Remembers what the newest manifest of another device needs, in place of what it needed before.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn keep_claimed(
        &self,
        device: &DeviceId,
        roots: &BTreeSet<ShardRoot>,
    ) -> Result<(), StateError> {
        let bytes: Vec<u8> = roots.iter().flat_map(|root| *root.as_bytes()).collect();
        self.write(|tx| keep(tx, device, &bytes))
    }

    /// What other devices but these need, as far as is known; of a forked one what each side needs.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn claimed_but_of(&self, devices: &[DeviceId]) -> Result<BTreeSet<ShardRoot>, StateError> {
        let mut roots = self.read(|tx| {
            let mut roots = BTreeSet::new();
            for row in tx.open_table(CLAIMED)?.iter()? {
                let (device, bytes) = row?;
                if devices.contains(&DeviceId::from_bytes(*device.value())) {
                    continue;
                }
                let (all, _) = bytes.value().as_chunks::<32>();
                roots.extend(all.iter().map(|root| ShardRoot::from_bytes(*root)));
            }
            Ok(roots)
        })?;
        let others = self.sides()?.into_iter().filter(|side| !devices.contains(&side.device));
        roots.extend(others.flat_map(|side| side.claimed));
        Ok(roots)
    }

    /// What some other devices need, as far as is known; of a forked one what each side needs.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn claimed_of(&self, devices: &[DeviceId]) -> Result<BTreeSet<ShardRoot>, StateError> {
        let mut roots = self.read(|tx| {
            let (table, mut roots) = (tx.open_table(CLAIMED)?, BTreeSet::new());
            for device in devices {
                if let Some(bytes) = table.get(device.as_bytes())? {
                    let (all, _) = bytes.value().as_chunks::<32>();
                    roots.extend(all.iter().map(|root| ShardRoot::from_bytes(*root)));
                }
            }
            Ok(roots)
        })?;
        let theirs = self.sides()?.into_iter().filter(|side| devices.contains(&side.device));
        roots.extend(theirs.flat_map(|side| side.claimed));
        Ok(roots)
    }

    /// Whether it is known what a device needs.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn has_claims_of(&self, device: &DeviceId) -> Result<bool, StateError> {
        self.read(|tx| Ok(tx.open_table(CLAIMED)?.get(device.as_bytes())?.is_some()))
    }

    /// Takes packs out of the index, with their receipts: no device of the vault needs them. Those that
    /// are handed over stay, as packs of other devices.
    ///
    /// # Errors
    /// [`StateError`]; nothing has changed then.
    pub fn remove_packs(
        &self,
        gone: &BTreeSet<ShardRoot>,
        handed_over: &BTreeSet<ShardRoot>,
    ) -> Result<(), StateError> {
        let numbers = self.write(|tx| {
            index::hand_over(tx, handed_over)?;
            receipts::remove(tx, gone)?;
            index::remove(tx, gone)
        })?;
        self.forget_numbers(&numbers);
        self.load_usable_packs()
    }
}
