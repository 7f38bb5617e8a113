//! The board of a relay: what holders left there for whoever has nothing but a phrase.
//!
//! Sealed [records](crate::locating), in slots that only those know who may read them. Nobody is trusted:
//! who knows a slot may leave records there, a few for each address, and replaces his own alone.
//! Invariant: bounded whatever comes; what is there is only replaced by what is newer, and lost only when
//! its time is over. Source: specs/locating.md.

use std::collections::BTreeMap;

use thiserror::Error;

use super::Source;
use crate::{
    ids::{DeviceId, LocatorSlot},
    limits::{
        LOCATOR_RECORD_MS, LOCATOR_RECORDS_MAX, LOCATOR_RECORDS_PER_ADDRESS_MAX,
        LOCATOR_RECORDS_PER_SLOT_AND_ADDRESS_MAX, LOCATOR_RECORDS_PER_SLOT_MAX,
    },
    locating::LocatorRecord,
    time::Instant,
};

/// Why a record is not taken. The text is told to the holder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Error)]
pub enum NotKept {
    /// What is there of this publisher is newer.
    #[error("a newer record is kept")]
    Older,
    /// The slot has as many as there may be.
    #[error("no room for more records of this vault")]
    SlotFull,
    /// Too many come from its address.
    #[error("too many records from this address")]
    Address,
    /// There is no room at all.
    #[error("this relay keeps no more records")]
    Full,
}

#[derive(Debug, Clone)]
struct Kept {
    record: LocatorRecord,
    source: Source,
    /// Until then.
    end: Instant,
}

/// The board. Memory: some 1.3 kB for each record.
#[derive(Debug, Clone, Default)]
pub struct Board {
    slots: BTreeMap<LocatorSlot, BTreeMap<DeviceId, Kept>>,
}

impl Board {
    /// An empty board.
    pub fn new() -> Self {
        Self::default()
    }

    /// Somebody at `source` leaves a record, whose signature was looked at.
    ///
    /// # Errors
    /// [`NotKept`]; what is there stays.
    pub fn put(
        &mut self,
        now: Instant,
        source: Source,
        slot: LocatorSlot,
        record: LocatorRecord,
    ) -> Result<(), NotKept> {
        self.drop_old(now);
        let publisher = record.publisher();
        let there = self.slots.get(&slot);
        let before = there.and_then(|kept| kept.get(&publisher));
        if before.is_some_and(|kept| kept.record.made() > record.made()) {
            return Err(NotKept::Older);
        }
        if before.is_none() && there.map_or(0, BTreeMap::len) >= LOCATOR_RECORDS_PER_SLOT_MAX {
            return Err(NotKept::SlotFull);
        }
        if before.is_none() && self.len() >= LOCATOR_RECORDS_MAX {
            return Err(NotKept::Full);
        }
        // One that comes from another address now counts there: else two could take all room in turns.
        if before.is_none_or(|kept| kept.source != source) {
            let of_source = |kept: &&Kept| kept.source == source;
            let here = there.map_or(0, |kept| kept.values().filter(of_source).count());
            let everywhere = self.all().filter(of_source).count();
            if here >= LOCATOR_RECORDS_PER_SLOT_AND_ADDRESS_MAX
                || everywhere >= LOCATOR_RECORDS_PER_ADDRESS_MAX
            {
                return Err(NotKept::Address);
            }
        }
        let kept = Kept { record, source, end: now.after_ms(LOCATOR_RECORD_MS) };
        self.slots.entry(slot).or_default().insert(publisher, kept);
        Ok(())
    }

    /// What is in a slot, the newest first.
    pub fn records(&self, now: Instant, slot: &LocatorSlot) -> Vec<&LocatorRecord> {
        let kept = self.slots.get(slot).into_iter().flat_map(BTreeMap::values);
        let mut fresh: Vec<_> = kept.filter(|kept| now < kept.end).map(|it| &it.record).collect();
        fresh.sort_by_key(|record| std::cmp::Reverse(record.made()));
        fresh
    }

    /// Records on the board.
    pub fn len(&self) -> usize {
        self.slots.values().map(BTreeMap::len).sum()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    fn all(&self) -> impl Iterator<Item = &Kept> {
        self.slots.values().flat_map(BTreeMap::values)
    }

    fn drop_old(&mut self, now: Instant) {
        self.slots.retain(|_, kept| {
            kept.retain(|_, it| now < it.end);
            !kept.is_empty()
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        keys::{DeviceKeys, phrase::Phrase},
        locating::Locator,
        time::Timestamp,
    };

    const START: Instant = Instant(0);

    fn source(of: u8) -> Source {
        Source([0, 0, 0, 0, 0, 0, 0, of])
    }

    fn locator(of: u8) -> Locator {
        Locator::of(&Phrase::from_entropy([of; 32]).recovery().public())
    }

    fn record(of: &Locator, by: u16, made: u64) -> LocatorRecord {
        let mut seed = [0; 32];
        seed[..2].copy_from_slice(&by.to_le_bytes());
        let keys = DeviceKeys::from_seeds(seed, seed);
        LocatorRecord::seal(of, &keys, &[], Timestamp(made), [1; 32])
    }

    // LOC-6
    #[test]
    fn records_are_there_until_their_time_is_over_and_newer_ones_replace_them() {
        let (mut board, vault) = (Board::new(), locator(1));
        let slot = vault.slot();
        board.put(START, source(1), slot, record(&vault, 1, 5)).unwrap();
        board.put(START, source(2), slot, record(&vault, 2, 7)).unwrap();
        let older = board.put(START, source(1), slot, record(&vault, 1, 4));
        assert_eq!(older, Err(NotKept::Older));
        let newer = record(&vault, 1, 9);
        let later = START.after_ms(LOCATOR_RECORD_MS / 2);
        board.put(later, source(9), slot, newer.clone()).unwrap();
        assert_eq!(board.records(later, &slot), [&newer, &record(&vault, 2, 7)]);
        assert!(board.records(later, &locator(2).slot()).is_empty());
        let over = START.after_ms(LOCATOR_RECORD_MS);
        assert_eq!(board.records(over, &slot), [&newer]);
        board.put(over, source(3), locator(2).slot(), record(&locator(2), 1, 1)).unwrap();
        assert_eq!(board.len(), 2, "what is over takes no room");
    }

    // LOC-7
    #[test]
    fn nobody_fills_a_slot_or_the_board_from_one_address() {
        let (mut board, vault) = (Board::new(), locator(1));
        let slot = vault.slot();
        let mut put =
            |by: u16, from: u8| board.put(START, source(from), slot, record(&vault, by, 1)).err();
        let first: Vec<_> = (0..9).filter_map(|by| put(by, 1)).collect();
        assert_eq!(first, [NotKept::Address]);
        assert_eq!(put(0, 1), None, "what is there may be left anew");
        for from in 2..5 {
            assert!((0..8).all(|by| put(u16::from(from) * 100 + by, from).is_none()));
        }
        assert_eq!(put(900, 9), Some(NotKept::SlotFull));
        let others = (2..60).map(|of| {
            let vault = locator(of);
            board.put(START, source(1), vault.slot(), record(&vault, 1, 1)).err()
        });
        let others: Vec<_> = others.collect();
        assert_eq!(others.iter().filter(|it| it.is_none()).count(), 56);
        assert_eq!(others.last(), Some(&Some(NotKept::Address)));
    }

    // LOC-7
    #[test]
    fn two_addresses_in_turns_take_no_more_room_than_two() {
        let mut board = Board::new();
        let mut vaults: Vec<Locator> = (0..200).map(locator).collect();
        for turn in 0..8 {
            for vault in &vaults {
                let (from, record) = (u8::from(turn % 2 == 0), record(vault, 1, turn));
                let _kept = board.put(START, source(from), vault.slot(), record);
            }
            // What one has left, the other leaves anew; then the first goes on with others.
            if turn % 2 == 1 {
                vaults.reverse();
            }
        }
        assert_eq!(board.len(), 2 * LOCATOR_RECORDS_PER_ADDRESS_MAX);
    }
}
