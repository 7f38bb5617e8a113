//! When this device last heard holders themselves: what others say in their name of the time before counts no more
//! (specs/errands.md, ERR-15).

use larder_protocol::{ids::DeviceId, time::Timestamp};
use redb::{ReadableTable, TableDefinition, WriteTransaction};

use super::{State, StateError};

/// Seconds since 1970, by the clock of this device, by holder. Never goes back, and stays when the holder goes.
const MET: TableDefinition<'_, &[u8; 32], u64> = TableDefinition::new("met");

pub(super) fn create(tx: &WriteTransaction) -> Result<(), redb::Error> {
    tx.open_table(MET)?;
    Ok(())
}

impl State {
    /// These were met, or parted from, now.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn note_met(&self, holders: &[DeviceId], clock: Timestamp) -> Result<(), StateError> {
        self.write(|tx| {
            let mut met = tx.open_table(MET)?;
            for holder in holders {
                let before = met.get(holder.as_bytes())?.map_or(0, |at| at.value());
                met.insert(holder.as_bytes(), clock.0.max(before))?;
            }
            Ok(())
        })
    }

    /// When this one was met last.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn met(&self, holder: &DeviceId) -> Result<Option<Timestamp>, StateError> {
        self.read(|tx| {
            let at = tx.open_table(MET)?.get(holder.as_bytes())?;
            Ok(at.map(|at| Timestamp(at.value())))
        })
    }
}
