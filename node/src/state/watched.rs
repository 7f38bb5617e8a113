//! What is remembered of the comings and goings of each holder.

use std::collections::BTreeMap;

use larder_protocol::{ids::DeviceId, watching::History};
use redb::{ReadableTable, TableDefinition, WriteTransaction};
use tracing::warn;

use super::{State, StateError};

const WATCHED: TableDefinition<'_, &[u8; 32], &[u8]> = TableDefinition::new("watched");

pub(super) fn create(tx: &WriteTransaction) -> Result<(), redb::Error> {
    tx.open_table(WATCHED)?;
    Ok(())
}

pub(super) fn forget(tx: &WriteTransaction, holder: &DeviceId) -> Result<(), redb::Error> {
    tx.open_table(WATCHED)?.remove(holder.as_bytes())?;
    Ok(())
}

impl State {
    /// Remembers this of a holder, in place of what was remembered before.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn keep_history(&self, holder: &DeviceId, history: &History) -> Result<(), StateError> {
        self.write(|tx| {
            let mut table = tx.open_table(WATCHED)?;
            table.insert(holder.as_bytes(), history.encode().as_slice())?;
            Ok(())
        })
    }

    /// What is remembered of every holder. What cannot be read is learnt anew: it costs patience, and
    /// nobody is presumed lost because of it.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn histories(&self) -> Result<BTreeMap<DeviceId, History>, StateError> {
        self.read(|tx| {
            let mut all = BTreeMap::new();
            for row in tx.open_table(WATCHED)?.iter()? {
                let (holder, bytes) = row?;
                let holder = DeviceId::from_bytes(*holder.value());
                match History::decode(bytes.value()) {
                    Ok(history) => _ = all.insert(holder, history),
                    Err(error) => warn!("what was learnt of {}: {error}", holder.short()),
                }
            }
            Ok(all)
        })
    }
}
