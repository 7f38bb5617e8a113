//! How long the devices of vaults, and those who hold for them as well, were silent.

use std::collections::BTreeMap;

use larder_protocol::{ids::VaultId, tending::Vigil};
use redb::{ReadableTable, TableDefinition, WriteTransaction};
use tracing::warn;

use super::{State, StateError};

const VIGILS: TableDefinition<'_, &[u8; 32], &[u8]> = TableDefinition::new("vigils");

pub(super) fn create(tx: &WriteTransaction) -> Result<(), redb::Error> {
    tx.open_table(VIGILS)?;
    Ok(())
}

pub(super) fn forget(tx: &WriteTransaction, vault: &VaultId) -> Result<(), redb::Error> {
    tx.open_table(VIGILS)?.remove(vault.as_bytes())?;
    Ok(())
}

impl State {
    /// Remembers this of a vault, in place of what was remembered before.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn keep_vigil(&self, vault: &VaultId, vigil: &Vigil) -> Result<(), StateError> {
        self.write(|tx| {
            let mut table = tx.open_table(VIGILS)?;
            table.insert(vault.as_bytes(), vigil.encode().as_slice())?;
            Ok(())
        })
    }

    /// What is remembered of every vault. What cannot be read is counted anew: it costs patience.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn vigils(&self) -> Result<BTreeMap<VaultId, Vigil>, StateError> {
        self.read(|tx| {
            let mut all = BTreeMap::new();
            for row in tx.open_table(VIGILS)?.iter()? {
                let (vault, bytes) = row?;
                let vault = VaultId::from_bytes(*vault.value());
                match Vigil::decode(bytes.value()) {
                    Ok(vigil) => _ = all.insert(vault, vigil),
                    Err(error) => warn!("the silence of vault {}: {error}", vault.short()),
                }
            }
            Ok(all)
        })
    }
}
