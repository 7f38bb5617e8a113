//! What an entry builds on: its ancestors, as a set of places in the order of arrival.

use std::collections::BTreeSet;

/// A set of entries of one log, by their place in the order of arrival.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Entries(Vec<u64>);

impl Entries {
    /// The first `count` entries.
    pub(super) fn first(count: usize) -> Self {
        let mut all = Self::default();
        (0..count).for_each(|place| all.insert(place));
        all
    }

    pub(super) fn insert(&mut self, place: usize) {
        let word = place / 64;
        if self.0.len() <= word {
            self.0.resize(word + 1, 0);
        }
        if let Some(bits) = self.0.get_mut(word) {
            *bits |= 1 << (place % 64);
        }
    }

    pub(super) fn contains(&self, place: usize) -> bool {
        self.0.get(place / 64).is_some_and(|bits| bits & (1 << (place % 64)) != 0)
    }

    /// Adds all of another set.
    pub(super) fn join(&mut self, other: &Self) {
        if self.0.len() < other.0.len() {
            self.0.resize(other.0.len(), 0);
        }
        for (bits, more) in self.0.iter_mut().zip(&other.0) {
            *bits |= more;
        }
    }
}

/// Everything before an entry.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Past {
    /// The ancestors.
    pub(super) entries: Entries,
    /// Local numbers of the devices that they took in.
    pub(super) roster: BTreeSet<u16>,
    /// Length of the longest way from the genesis to this entry.
    pub(super) depth: u32,
}
