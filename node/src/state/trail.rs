//! The audit trail, entry by entry.

use larder_protocol::{
    limits::TRAIL_ENTRIES_MAX,
    trail::{TrailEntry, TrailError},
};
use redb::{ReadableTable, ReadableTableMetadata, TableDefinition, WriteTransaction};
use tracing::warn;

use super::{State, StateError};

const TRAIL: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("trail");

/// What is kept.
#[derive(Debug, Default)]
pub struct Trail {
    /// Oldest first.
    pub entries: Vec<TrailEntry>,
    /// Numbers of those that cannot be read.
    pub unreadable: Vec<u64>,
}

pub(super) fn create(tx: &WriteTransaction) -> Result<(), redb::Error> {
    tx.open_table(TRAIL)?;
    Ok(())
}

impl State {
    /// Adds the entry that `make` makes of the last one; the oldest go beyond [`TRAIL_ENTRIES_MAX`].
    ///
    /// # Errors
    /// [`StateError`]; [`StateError::Damaged`] when the last one cannot be read, or none can be made.
    pub fn lengthen_trail(
        &self,
        make: impl FnOnce(Option<&TrailEntry>) -> Result<TrailEntry, TrailError>,
    ) -> Result<(), StateError> {
        let made = self.write(|tx| {
            let mut table = tx.open_table(TRAIL)?;
            let last = table.last()?.map(|(_, bytes)| TrailEntry::decode(bytes.value()));
            let made = last.transpose().and_then(|last| make(last.as_ref()));
            if let Ok(entry) = &made {
                table.insert(entry.number(), entry.bytes())?;
                while table.len()? > u64::try_from(TRAIL_ENTRIES_MAX).expect("64 bits fit") {
                    table.pop_first()?;
                }
            }
            Ok(made)
        })?;
        made.map(drop).map_err(|error| {
            warn!("the audit trail does not go on: {error}");
            StateError::Damaged { table: "trail" }
        })
    }

    /// The whole trail, oldest first.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn trail(&self) -> Result<Trail, StateError> {
        self.read(|tx| {
            let mut trail = Trail::default();
            for row in tx.open_table(TRAIL)?.iter()? {
                let (number, bytes) = row?;
                match TrailEntry::decode(bytes.value()) {
                    Ok(entry) => trail.entries.push(entry),
                    Err(_) => trail.unreadable.push(number.value()),
                }
            }
            Ok(trail)
        })
    }
}

#[cfg(test)]
mod tests {
    use larder_protocol::{keys::DeviceKeys, time::Timestamp, trail::TrailEvent};

    use super::*;

    // TRAIL-4
    #[test]
    fn the_trail_goes_on_after_a_restart_and_loses_its_oldest_alone() {
        let home = tempfile::tempdir().unwrap();
        let keys = DeviceKeys::from_seeds([1; 32], [2; 32]);
        let lengthen = |state: &State, bytes| {
            let event = TrailEvent::Offered { bytes };
            state.lengthen_trail(|last| TrailEntry::after(last, (Timestamp(bytes), event), &keys))
        };
        let state = State::open(home.path()).unwrap();
        lengthen(&state, 1).unwrap();
        drop(state);
        let state = State::open(home.path()).unwrap();
        lengthen(&state, 2).unwrap();
        let trail = state.trail().unwrap().entries;
        trail[1].follows(&trail[0]).unwrap();
        state
            .write(|tx| {
                let mut table = tx.open_table(TRAIL)?;
                for number in 3..=u64::try_from(TRAIL_ENTRIES_MAX).unwrap() {
                    let last = TrailEntry::decode(table.last()?.unwrap().1.value()).unwrap();
                    let event = (Timestamp(number), TrailEvent::Offered { bytes: number });
                    let entry = TrailEntry::after(Some(&last), event, &keys).unwrap();
                    table.insert(number, entry.bytes())?;
                }
                Ok(())
            })
            .unwrap();
        lengthen(&state, 9).unwrap();
        let trail = state.trail().unwrap().entries;
        assert_eq!((trail.len(), trail[0].number()), (TRAIL_ENTRIES_MAX, 2));
        assert!(trail.windows(2).all(|pair| pair[1].follows(&pair[0]).is_ok()));
        // A damaged last one is said, and nothing is written over it.
        let damaged = |tx: &WriteTransaction| {
            tx.open_table(TRAIL)?.insert(trail.last().unwrap().number(), b"x".as_slice())?;
            Ok(())
        };
        state.write(damaged).unwrap();
        assert!(matches!(lengthen(&state, 10), Err(StateError::Damaged { table: "trail" })));
        let Trail { entries, unreadable } = state.trail().unwrap();
        assert_eq!((entries.len(), unreadable.len()), (TRAIL_ENTRIES_MAX - 1, 1));
    }
}
