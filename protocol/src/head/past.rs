//! Superseded heads: which of them a holder goes on keeping.
//!
//! Whoever has a device's key can publish a head whose manifest names nothing. The one before is
//! then the only way to the device's history, so it must not go at the word of the newer one, nor
//! be washed away by many of them. Of each device stay the first and the last head that arrived
//! in each of its newest [`HOURS`] hours and [`DAYS`] days in which any arrived: one more hour or
//! day has to pass on the holder's own clock for each that goes.
//! Source: specs/head.md, HEAD-12.

use std::collections::{BTreeMap, BTreeSet};

use crate::{ids::HeadHash, limits::HEADS_PAST_MAX, time::Timestamp};

/// Hours of which superseded heads are kept.
pub const HOURS: usize = 24;
/// Days of which superseded heads are kept: those of the retention.
pub const DAYS: usize = 30;
const _: () = assert!(HEADS_PAST_MAX == 2 * (HOURS + DAYS));

/// A superseded head of one device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Superseded {
    /// When it arrived, by the holder's clock.
    pub arrived: Timestamp,
    /// Its number.
    pub seq: u64,
    /// The head.
    pub head: HeadHash,
}

/// Which of one device's superseded heads stay; at most [`HEADS_PAST_MAX`].
pub fn worth_keeping(all: impl IntoIterator<Item = Superseded>) -> BTreeSet<HeadHash> {
    let all: BTreeSet<Superseded> = all.into_iter().collect();
    let mut kept = BTreeSet::new();
    for (seconds, count) in [(3_600, HOURS), (86_400, DAYS)] {
        let mut spans: BTreeMap<u64, (HeadHash, HeadHash)> = BTreeMap::new();
        for one in &all {
            let span = spans.entry(one.arrived.0 / seconds).or_insert((one.head, one.head));
            span.1 = one.head;
        }
        for (first, last) in spans.into_values().rev().take(count) {
            kept.extend([first, last]);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(arrived: u64, seq: u64) -> Superseded {
        let mut hash = [0; 32];
        hash[..8].copy_from_slice(&seq.to_be_bytes());
        Superseded { arrived: Timestamp(arrived), seq, head: HeadHash::from_bytes(hash) }
    }

    /// What is left when heads are superseded one after the other.
    fn kept(heads: impl IntoIterator<Item = Superseded>) -> Vec<u64> {
        let mut left: Vec<Superseded> = Vec::new();
        for head in heads {
            left.push(head);
            let stay = worth_keeping(left.iter().copied());
            left.retain(|one| stay.contains(&one.head));
            assert!(left.len() <= HEADS_PAST_MAX);
        }
        left.iter().map(|one| one.seq).collect()
    }

    // HEAD-12: a thief publishes as often as he likes on the day of the last honest head.
    #[test]
    fn a_flood_of_heads_washes_no_honest_one_away() {
        let honest = one(1_000 * 86_400 + 10, 1);
        let flood = (0..5_000).map(|n| one(1_000 * 86_400 + 20 + n, 2 + n));
        let left = kept([honest].into_iter().chain(flood));
        assert!(left.contains(&1), "{left:?}");
        assert!(left.len() <= 6, "{left:?}");
    }

    // HEAD-12
    #[test]
    fn a_head_stays_for_thirty_days_with_heads() {
        let days = |count: u64| kept((0..count).map(|day| one(day * 86_400, day + 1)));
        assert!(days(30).contains(&1));
        assert!(!days(31).contains(&1));
        // However long ago it arrived, when nothing came since.
        assert_eq!(kept([one(5, 1), one(900 * 86_400, 2)]), [1, 2]);
    }

    // HEAD-12
    #[test]
    fn within_a_day_each_hour_keeps_its_first_and_last() {
        let left = kept((0..48).map(|half| one(half * 1_800, half + 1)));
        assert_eq!(left.len(), 48);
        let left = kept((0..96).map(|quarter| one(quarter * 900, quarter + 1)));
        assert_eq!(left.len(), 48);
    }
}
