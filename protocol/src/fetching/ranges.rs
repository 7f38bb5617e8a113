//! Sets of byte ranges: sorted, disjoint, never touching.

use crate::limits::GROUP_BYTES;

/// Bytes from `start` up to, not including, `end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteRange {
    /// First byte.
    pub start: u64,
    /// First byte after.
    pub end: u64,
}

impl ByteRange {
    /// A range; empty when `end` is not after `start`.
    pub const fn new(start: u64, end: u64) -> Self {
        Self { start, end }
    }

    /// Length.
    pub const fn bytes(&self) -> u64 {
        self.end.saturating_sub(self.start)
    }

    /// Whether there is no byte in it.
    pub const fn is_empty(&self) -> bool {
        self.end <= self.start
    }

    /// The smallest range of whole groups around this one, within a shard of `shard_bytes`.
    pub const fn to_groups(self, shard_bytes: u64) -> Self {
        let start = self.start / GROUP_BYTES * GROUP_BYTES;
        let end = self.end.div_ceil(GROUP_BYTES).saturating_mul(GROUP_BYTES);
        Self { start, end: if end < shard_bytes { end } else { shard_bytes } }
    }

    /// The largest range of whole groups inside this one, within a shard of `shard_bytes`.
    pub const fn within_groups(self, shard_bytes: u64) -> Self {
        let start = self.start.div_ceil(GROUP_BYTES).saturating_mul(GROUP_BYTES);
        let end = if self.end >= shard_bytes {
            shard_bytes
        } else {
            self.end / GROUP_BYTES * GROUP_BYTES
        };
        Self { start, end }
    }
}

/// A set of bytes as ranges in ascending order with gaps between them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ranges(Vec<ByteRange>);

impl Ranges {
    /// The set of one range.
    pub fn of(range: ByteRange) -> Self {
        let mut ranges = Self::default();
        ranges.insert(range);
        ranges
    }

    /// Whether there is no byte in it.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Number of bytes in it.
    pub fn bytes(&self) -> u64 {
        self.0.iter().map(ByteRange::bytes).sum()
    }

    /// The ranges, ascending.
    pub fn iter(&self) -> impl Iterator<Item = ByteRange> {
        self.0.iter().copied()
    }

    /// The lowest range.
    pub fn first(&self) -> Option<ByteRange> {
        self.0.first().copied()
    }

    /// Whether every byte of `range` is in the set.
    pub fn contains(&self, range: ByteRange) -> bool {
        range.is_empty()
            || self.0.iter().any(|own| own.start <= range.start && range.end <= own.end)
    }

    /// Adds a range.
    pub fn insert(&mut self, range: ByteRange) {
        if range.is_empty() {
            return;
        }
        let from = self.0.partition_point(|own| own.end < range.start);
        let to = self.0.partition_point(|own| own.start <= range.end);
        let mut joined = range;
        for own in self.0.iter().take(to).skip(from) {
            joined.start = joined.start.min(own.start);
            joined.end = joined.end.max(own.end);
        }
        self.0.splice(from..to, [joined]);
    }

    /// Takes a range out.
    pub fn remove(&mut self, range: ByteRange) {
        if range.is_empty() {
            return;
        }
        let from = self.0.partition_point(|own| own.end <= range.start);
        let to = self.0.partition_point(|own| own.start < range.end).max(from);
        let mut rests = Vec::new();
        for own in self.0.iter().take(to).skip(from) {
            rests.push(ByteRange::new(own.start, range.start));
            rests.push(ByteRange::new(range.end, own.end));
        }
        rests.retain(|rest| !rest.is_empty());
        self.0.splice(from..to, rests);
    }

    /// Takes all of another set out.
    pub fn remove_all(&mut self, other: &Self) {
        for range in other.iter() {
            self.remove(range);
        }
    }
}

impl FromIterator<ByteRange> for Ranges {
    fn from_iter<I: IntoIterator<Item = ByteRange>>(all: I) -> Self {
        let mut ranges = Self::default();
        for range in all {
            ranges.insert(range);
        }
        ranges
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        // Against the plainest model: a set of numbers.
        #[test]
        fn ranges_behave_as_a_set_of_bytes(
            steps in prop::collection::vec((any::<bool>(), 0_u64..60, 0_u64..20), 0..40),
        ) {
            let mut ranges = Ranges::default();
            let mut model = BTreeSet::new();
            for (add, start, bytes) in steps {
                let range = ByteRange::new(start, start + bytes);
                if add {
                    ranges.insert(range);
                    model.extend(start..start + bytes);
                } else {
                    ranges.remove(range);
                    model.retain(|byte| !(start..start + bytes).contains(byte));
                }
                let all: BTreeSet<u64> = ranges.iter().flat_map(|r| r.start..r.end).collect();
                prop_assert_eq!(&all, &model);
                prop_assert_eq!(ranges.bytes(), u64::try_from(model.len()).unwrap());
                let list: Vec<ByteRange> = ranges.iter().collect();
                prop_assert!(list.windows(2).all(|pair| pair[0].end < pair[1].start));
            }
        }
    }

    #[test]
    fn groups_are_rounded_outwards_and_inwards_and_end_with_the_shard() {
        let shard_bytes = 3 * GROUP_BYTES + 100;
        let range = ByteRange::new(GROUP_BYTES + 1, 2 * GROUP_BYTES + 1);
        let outer = ByteRange::new(GROUP_BYTES, 3 * GROUP_BYTES);
        assert_eq!(range.to_groups(shard_bytes), outer);
        assert!(range.within_groups(shard_bytes).is_empty());
        let all = ByteRange::new(0, u64::MAX);
        assert_eq!(all.to_groups(shard_bytes), ByteRange::new(0, shard_bytes));
        assert_eq!(all.within_groups(shard_bytes), ByteRange::new(0, shard_bytes));
    }
}
