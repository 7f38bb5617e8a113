//! What happens next: one time for each slot, the earliest first, among equals the lowest slot.
//!
//! A tree of winners over a fixed number of slots: everything that can happen to a circle has a slot
//! of its own, so nothing is queued, and moving a time costs the height of the tree.

/// Milliseconds since the start of a run.
pub type Millis = u64;

/// Never.
pub const NEVER: Millis = Millis::MAX;

/// The times of all slots.
#[derive(Debug, Clone)]
pub struct Agenda {
    times: Vec<Millis>,
    /// Winners of each pair, from the root at 1; leaves are slots.
    winners: Vec<u32>,
    leaves: usize,
}

impl Agenda {
    /// So many slots, none of which ever happens.
    pub fn new(slots: usize) -> Self {
        let leaves = slots.next_power_of_two().max(2);
        let mut winners = vec![0; leaves];
        for node in (1..leaves).rev() {
            let first = u32::try_from(first_leaf(node, leaves)).expect("as many as slots");
            winners[node] = first;
        }
        Self { times: vec![NEVER; leaves], winners, leaves }
    }

    /// Sets when a slot happens.
    pub fn set(&mut self, slot: usize, time: Millis) {
        if self.times[slot] == time {
            return;
        }
        self.times[slot] = time;
        let mut node = (self.leaves + slot) / 2;
        while node > 0 {
            let (left, right) = (self.winner(2 * node), self.winner(2 * node + 1));
            let winner =
                if self.times[index(right)] < self.times[index(left)] { right } else { left };
            // Whoever wins as before with another time may win otherwise above, so nothing is skipped.
            self.winners[node] = winner;
            node /= 2;
        }
    }

    /// The next slot and its time.
    pub fn next(&self) -> (Millis, usize) {
        let slot = index(self.winners[1]);
        (self.times[slot], slot)
    }

    fn winner(&self, node: usize) -> u32 {
        if node >= self.leaves {
            u32::try_from(node - self.leaves).expect("as many as slots")
        } else {
            self.winners[node]
        }
    }
}

fn index(slot: u32) -> usize {
    usize::try_from(slot).expect("a slot is a place in memory")
}

fn first_leaf(node: usize, leaves: usize) -> usize {
    let mut node = node;
    while node < leaves {
        node *= 2;
    }
    node - leaves
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_next_is_the_earliest_and_among_equals_the_lowest(
            moves in proptest::collection::vec((0..13_usize, prop_oneof![0..20_u64, Just(NEVER)]), 1..60)
        ) {
            let mut agenda = Agenda::new(13);
            let mut plain = [NEVER; 13];
            for (slot, time) in moves {
                agenda.set(slot, time);
                plain[slot] = time;
                let expected = (0..13).map(|slot| (plain[slot], slot)).min();
                prop_assert_eq!(Some(agenda.next()), expected);
            }
        }
    }
}
