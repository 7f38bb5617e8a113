//! When a holder leaves its records at which relay.
//!
//! At once where there is none of it yet, anew long before the last one is over, soon after it failed, and
//! as soon as a relay is back: it may have forgotten all. Source: specs/locating.md.

use std::collections::{BTreeMap, BTreeSet};

use crate::{ids::LocatorSlot, limits::LOCATOR_PUBLISH_MS, time::Instant};

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
    /// Relays that were connected once, and whether they are.
    connected: BTreeMap<usize, bool>,
}

impl Publishing {
    /// For so many relays, at which nothing has been left yet.
    pub const fn new(relays: usize) -> Self {
        Self { relays, turns: BTreeMap::new(), connected: BTreeMap::new() }
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

    /// These relays are connected now. One that was, and was not in between, may have forgotten all.
    pub fn connected(&mut self, now: Instant, relays: &BTreeSet<usize>) {
        for relay in 0..self.relays {
            let is = relays.contains(&relay);
            let before = self.connected.get(&relay).copied();
            if is || before.is_some() {
                self.connected.insert(relay, is);
            }
            let is_back = is && before == Some(false);
            let is_new = is && before.is_none();
            for (_, turn) in self.turns.iter_mut().filter(|((of, _), _)| *of == relay) {
                if is_back || (is_new && turn.failures > 0) {
                    *turn = Turn { due: now.min(turn.due), failures: 0 };
                }
            }
        }
    }

    /// What is to be left where, now: the number of a relay, and a slot.
    pub fn due(&self, now: Instant) -> Vec<(usize, LocatorSlot)> {
        let is_due = |turn: &Turn| turn.due <= now;
        self.turns.iter().filter(|(_, turn)| is_due(turn)).map(|(place, _)| *place).collect()
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
        machine.slots(START, &slots(&[1]));
        assert_eq!(machine.due(START), [place(0, 1), place(1, 1)]);
        machine.tried(START, place(0, 1), true);
        machine.tried(START, place(1, 1), true);
        assert_eq!(machine.due(START.after_ms(LOCATOR_PUBLISH_MS - 1)), []);
        machine.slots(START.after_ms(5), &slots(&[1, 2]));
        assert_eq!(machine.due(START.after_ms(5)), [place(0, 2), place(1, 2)]);
        let later = START.after_ms(LOCATOR_PUBLISH_MS);
        assert_eq!(machine.due(later).len(), 4);
        machine.slots(later, &slots(&[]));
        assert_eq!(machine.due(later), [], "a vault that is not held any more");
    }

    // LOC-10
    #[test]
    fn what_fails_is_tried_again_less_and_less_often_until_the_relay_is_back() {
        let mut machine = Publishing::new(1);
        machine.slots(START, &slots(&[1]));
        let (mut now, mut waits) = (START, Vec::new());
        for _ in 0..9 {
            machine.tried(now, place(0, 1), false);
            let wait = (0..).find(|min| !machine.due(now.after_ms(min * 60_000)).is_empty());
            waits.push(wait.unwrap());
            now = now.after_ms(wait.unwrap() * 60_000);
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 64, 64, 64]);
        machine.tried(now, place(0, 1), false);
        assert_eq!(machine.due(now), []);
        let (here, gone) = (BTreeSet::from([0]), BTreeSet::new());
        machine.connected(now, &here);
        assert_eq!(machine.due(now), [place(0, 1)]);
        machine.tried(now, place(0, 1), true);
        machine.connected(now, &here);
        assert_eq!(machine.due(now), [], "it was there all the time");
        machine.connected(now, &gone);
        machine.connected(now.after_ms(1), &here);
        assert_eq!(machine.due(now.after_ms(1)), [place(0, 1)], "it may have forgotten all");
    }
}
