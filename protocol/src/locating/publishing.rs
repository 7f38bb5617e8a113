//! When a holder leaves its records at which relay.
//!
//! At once where there is none of it yet, anew long before the last one is over, soon after it failed, and
//! a while after the connection with relays has changed: one that was restarted has forgotten all.
//! Source: specs/locating.md.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    ids::LocatorSlot,
    limits::{LOCATOR_PUBLISH_MS, LOCATOR_SETTLE_MS},
    time::Instant,
};

/// After the first failure; each further one doubles it.
const RETRY_MS: u64 = 60_000;
/// Up to an hour.
const DOUBLINGS: u32 = 6;

#[derive(Debug, Clone, Copy)]
struct Turn {
    due: Instant,
    failures: u32,
}

/// The machine, for a fixed number of relays. Memory: some 100 bytes for each relay and vault.
#[derive(Debug, Clone)]
pub struct Publishing {
    relays: usize,
    turns: BTreeMap<(usize, LocatorSlot), Turn>,
}

impl Publishing {
    /// For so many relays, at which nothing has been left yet.
    pub const fn new(relays: usize) -> Self {
        Self { relays, turns: BTreeMap::new() }
    }

    /// These are the slots of the vaults that are known here now.
    pub fn slots(&mut self, now: Instant, slots: &BTreeSet<LocatorSlot>) {
        self.turns.retain(|(_, slot), _| slots.contains(slot));
        for relay in 0..self.relays {
            for slot in slots {
                let turn = Turn { due: now, failures: 0 };
                self.turns.entry((relay, *slot)).or_insert(turn);
            }
        }
    }

    /// The connection with a relay is another one than before, or there is none any more. Which relay was
    /// restarted nobody says, so all are told again, once however often that happens meanwhile.
    pub fn connections_changed(&mut self, now: Instant) {
        let soon = now.after_ms(LOCATOR_SETTLE_MS);
        for turn in self.turns.values_mut() {
            turn.due = turn.due.min(soon);
        }
    }

    /// What is to be left where, now: the number of a relay, and a slot.
    pub fn due(&self, now: Instant) -> Vec<(usize, LocatorSlot)> {
        let is_due = |turn: &Turn| turn.due <= now;
        self.turns.iter().filter(|(_, turn)| is_due(turn)).map(|(place, _)| *place).collect()
    }

    /// When something is due next; `None` when there is nothing to leave.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.turns.values().map(|turn| turn.due).min()
    }

    /// How an attempt ended.
    pub fn tried(&mut self, now: Instant, place: (usize, LocatorSlot), was_kept: bool) {
        let Some(turn) = self.turns.get_mut(&place) else { return };
        if was_kept {
            *turn = Turn { due: now.after_ms(LOCATOR_PUBLISH_MS), failures: 0 };
        } else {
            let wait = RETRY_MS << turn.failures.min(DOUBLINGS);
            let failures = turn.failures.saturating_add(1);
            *turn = Turn { due: now.after_ms(wait), failures };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Instant = Instant(0);

    fn slots(of: &[u8]) -> BTreeSet<LocatorSlot> {
        of.iter().map(|of| LocatorSlot::from_bytes([*of; 32])).collect()
    }

    fn place(relay: usize, of: u8) -> (usize, LocatorSlot) {
        (relay, LocatorSlot::from_bytes([of; 32]))
    }

    // LOC-10
    #[test]
    fn a_record_is_left_everywhere_at_once_and_anew_before_it_is_over() {
        let mut machine = Publishing::new(2);
        assert_eq!(machine.poll_timeout(), None);
        machine.slots(START, &slots(&[1]));
        assert_eq!(machine.due(START), [place(0, 1), place(1, 1)]);
        machine.tried(START, place(0, 1), true);
        machine.tried(START, place(1, 1), true);
        let later = START.after_ms(LOCATOR_PUBLISH_MS);
        assert_eq!(machine.poll_timeout(), Some(later));
        assert_eq!(machine.due(START.after_ms(LOCATOR_PUBLISH_MS - 1)), []);
        machine.slots(START.after_ms(5), &slots(&[1, 2]));
        assert_eq!(machine.due(START.after_ms(5)), [place(0, 2), place(1, 2)]);
        assert_eq!(machine.due(later).len(), 4);
        machine.slots(later, &slots(&[]));
        assert_eq!(machine.due(later), [], "a vault that is not held any more");
    }

    // LOC-10
    #[test]
    fn what_fails_is_tried_again_less_and_less_often() {
        let mut machine = Publishing::new(1);
        machine.slots(START, &slots(&[1]));
        let (mut now, mut waits) = (START, Vec::new());
        for _ in 0..9 {
            machine.tried(now, place(0, 1), false);
            let next = machine.poll_timeout().unwrap();
            waits.push(next.ms_since(now) / 60_000);
            now = next;
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 64, 64, 64]);
    }

    // LOC-10
    #[test]
    fn after_a_change_of_connections_all_are_told_once_however_many_changes_there_are() {
        let mut machine = Publishing::new(1);
        machine.slots(START, &slots(&[1]));
        machine.tried(START, place(0, 1), true);
        machine.connections_changed(START.after_ms(1_000));
        machine.connections_changed(START.after_ms(9_000));
        let soon = START.after_ms(1_000 + LOCATOR_SETTLE_MS);
        assert_eq!(machine.poll_timeout(), Some(soon));
        machine.tried(soon, place(0, 1), false);
        // It was away; when it is back, that is a change as well.
        machine.connections_changed(soon.after_ms(5));
        assert_eq!(machine.poll_timeout(), Some(soon.after_ms(5 + LOCATOR_SETTLE_MS)));
    }
}
