//! A restore drill: which parts of which files are read back from holders, so that a restore is
//! known to work before it is needed. Reads nothing itself: files are told to it one after the other,
//! and it remembers the few that are to be read.
//!
//! Most of the sample is drawn by bytes, so that what takes most room is tried most; some of it by
//! files, because a small file is missed as much as a large one. A large file is tried in one part.
//!
//! Invariant: bounded by [`DRILL_PARTS_MAX`], however many files there are. Source: specs/drill.md.

use std::ops::Range;

use rand_chacha::{
    ChaCha20Rng,
    rand_core::{Rng, SeedableRng},
};

use crate::{
    limits::{DRILL_ADVISED_DAYS, DRILL_PART_BYTES_MAX, DRILL_PARTS_BY_FILE, DRILL_PARTS_MAX},
    time::Timestamp,
};

/// What is to be read of one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part<T> {
    /// Which file.
    pub file: T,
    /// At most [`DRILL_PART_BYTES_MAX`]; all of a file that is no longer.
    pub range: Range<u64>,
}

/// Draws while files go by. Every byte is as likely as any other in one share of the parts, every
/// file in the other.
#[derive(Debug, Clone)]
pub struct Sampling<T> {
    dice: ChaCha20Rng,
    /// Each holds one file at a time, or none before the first; those that go by files come first.
    places: Vec<Option<Place<T>>>,
    files: u64,
    bytes: u64,
}

#[derive(Debug, Clone)]
struct Place<T> {
    number: u64,
    part: Part<T>,
}

impl<T: Clone> Sampling<T> {
    /// Nothing drawn yet. Who keeps the files must not foresee `seed`.
    pub fn new(seed: [u8; 32]) -> Self {
        let dice = ChaCha20Rng::from_seed(seed);
        let places = (0..DRILL_PARTS_MAX).map(|_| None).collect();
        Self { dice, places, files: 0, bytes: 0 }
    }

    /// One more file, each once. `file` is called when it is drawn. There is nothing to read of an
    /// empty one.
    pub fn offer(&mut self, bytes: u64, file: impl FnOnce() -> T) {
        if bytes == 0 {
            return;
        }
        let number = self.files;
        self.files = self.files.saturating_add(1);
        self.bytes = self.bytes.saturating_add(bytes);
        let mut file = Some(file);
        let mut drawn: Option<T> = None;
        for (at, place) in self.places.iter_mut().enumerate() {
            // What came later replaces what was there with its share of all so far: in the end each
            // has had the same chance.
            let is_drawn = match at < DRILL_PARTS_BY_FILE {
                true => self.dice.next_u64().is_multiple_of(self.files),
                false => self.dice.next_u64() % self.bytes < bytes,
            };
            if !is_drawn {
                continue;
            }
            if let Some(file) = file.take() {
                drawn = Some(file());
            }
            if let Some(file) = drawn.clone() {
                let range = part_of(bytes, &mut self.dice);
                *place = Some(Place { number, part: Part { file, range } });
            }
        }
    }

    /// The sample, in the order in which the files were told; nothing twice.
    pub fn parts(self) -> Vec<Part<T>> {
        let mut places: Vec<Place<T>> = self.places.into_iter().flatten().collect();
        let key = |place: &Place<T>| (place.number, place.part.range.start);
        places.sort_by_key(key);
        places.dedup_by_key(|place| key(place));
        places.into_iter().map(|place| place.part).collect()
    }
}

/// The part of a file in which a byte lies that was drawn: parts begin at multiples of their length,
/// so that none overlaps another.
fn part_of(bytes: u64, dice: &mut ChaCha20Rng) -> Range<u64> {
    let start = dice.next_u64() % bytes / DRILL_PART_BYTES_MAX * DRILL_PART_BYTES_MAX;
    start..bytes.min(start.saturating_add(DRILL_PART_BYTES_MAX))
}

/// Why bytes could not be had from holders.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lack {
    /// Everybody who might have them was reached, and nobody could give them.
    Lost,
    /// Somebody who might have them could not be reached.
    Away,
    /// No holder was given them yet.
    OnlyHere,
}

/// What was known of bytes that no holder gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Circumstances {
    /// Whether any holder had signed for them.
    pub is_signed_for: bool,
    /// Whether one of those (or of all holders, where none has signed) could not be reached.
    pub is_anybody_away: bool,
    /// Whether this device has them itself.
    pub is_here: bool,
}

impl Lack {
    /// Whoever is away may have them: that is no loss yet.
    pub const fn of(known: Circumstances) -> Self {
        match known {
            Circumstances { is_signed_for: false, is_here: true, .. } => Self::OnlyHere,
            Circumstances { is_anybody_away: true, .. } => Self::Away,
            _ => Self::Lost,
        }
    }
}

/// For how many days there was no drill, where that is so long that a word is due. `since` is when
/// the last one was, or else the oldest snapshot.
pub const fn overdue_days(since: Timestamp, now: Timestamp) -> Option<u64> {
    let days = now.0.saturating_sub(since.0) / 86_400;
    if days >= DRILL_ADVISED_DAYS { Some(days) } else { None }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn drawn(seed: u8, files: &[u64]) -> Vec<Part<usize>> {
        let mut sampling = Sampling::new([seed; 32]);
        for (number, bytes) in files.iter().enumerate() {
            sampling.offer(*bytes, || number);
        }
        sampling.parts()
    }

    // DRILL-1
    #[test]
    fn most_parts_go_where_the_bytes_are_and_some_to_small_files() {
        // A thousand small files, and four that have nearly all bytes.
        let mut files = vec![1_000; 1000];
        files.extend([1 << 40; 4]);
        let (mut large, mut small) = (0, 0);
        for seed in 0..50 {
            let parts = drawn(seed, &files);
            large += parts.iter().filter(|part| part.file >= 1000).count();
            small += parts.iter().filter(|part| part.file < 1000).count();
        }
        let by_bytes = 50 * (DRILL_PARTS_MAX - DRILL_PARTS_BY_FILE);
        assert!((by_bytes - by_bytes / 20..=by_bytes + 20).contains(&large), "{large}");
        let by_files = 50 * DRILL_PARTS_BY_FILE;
        assert!((by_files - by_files / 10..=by_files + 60).contains(&small), "{small}");
    }

    // DRILL-1
    #[test]
    fn every_file_of_the_same_length_is_as_likely_whenever_it_comes() {
        let mut times = [0_u32; 10];
        for seed in 0..200 {
            let mut sampling = Sampling::new([seed; 32]);
            for number in 0..10 {
                sampling.offer(DRILL_PART_BYTES_MAX * 1000, || number);
            }
            for part in sampling.parts() {
                times[part.file] += 1;
            }
        }
        let expected = 200 * u32::try_from(DRILL_PARTS_MAX).unwrap() / 10;
        for count in times {
            assert!(count.abs_diff(expected) < expected / 5, "{times:?}");
        }
    }

    // DRILL-1
    #[test]
    fn a_sample_is_bounded_and_within_its_files_and_a_file_that_fits_is_read_whole() {
        let files: Vec<u64> = (0..500_u64).map(|number| (number * 7919) << (number % 30)).collect();
        for seed in 0..20 {
            let parts = drawn(seed, &files);
            assert!((1..=DRILL_PARTS_MAX).contains(&parts.len()));
            let distinct: BTreeSet<_> =
                parts.iter().map(|part| (part.file, part.range.start)).collect();
            assert_eq!(distinct.len(), parts.len());
            for Part { file, range } in parts {
                let bytes = files[file];
                assert!(
                    range.start.is_multiple_of(DRILL_PART_BYTES_MAX) && range.start < range.end
                );
                assert_eq!(range.end, bytes.min(range.start + DRILL_PART_BYTES_MAX));
            }
        }
        // A few files are all of the sample; of empty ones there is nothing to read.
        let all: Vec<usize> = drawn(1, &[5, 0, 7, 9]).iter().map(|part| part.file).collect();
        assert_eq!(all, [0, 2, 3]);
        assert_eq!(drawn(1, &[0, 0]), []);
        // One huge file is tried in many places, up to its end; and no length overflows.
        let starts: Vec<u64> =
            drawn(1, &[u64::MAX, u64::MAX]).iter().map(|part| part.range.start).collect();
        assert!(starts.len() > 50 && starts.iter().any(|start| *start > u64::MAX / 2));
        // One seed, one sample.
        assert_eq!(drawn(9, &files), drawn(9, &files));
        assert_ne!(drawn(9, &files), drawn(8, &files));
    }

    // DRILL-4
    #[test]
    fn who_is_away_may_have_it_and_what_was_never_sent_is_not_lost() {
        let lack = |is_signed_for, is_anybody_away, is_here| {
            Lack::of(Circumstances { is_signed_for, is_anybody_away, is_here })
        };
        assert_eq!(lack(true, false, true), Lack::Lost, "whoever signed does not have it");
        assert_eq!(lack(true, false, false), Lack::Lost);
        assert_eq!(lack(true, true, true), Lack::Away);
        assert_eq!(lack(false, true, false), Lack::Away);
        assert_eq!(lack(false, true, true), Lack::OnlyHere);
        assert_eq!(lack(false, false, true), Lack::OnlyHere);
        assert_eq!(lack(false, false, false), Lack::Lost);
    }

    // DRILL-6
    #[test]
    fn a_word_is_due_after_ninety_days() {
        let day = |days: u64| Timestamp(1_800_000_000 + days * 86_400);
        assert_eq!(overdue_days(day(0), day(89)), None);
        assert_eq!(overdue_days(day(0), day(91)), Some(91));
        assert_eq!(overdue_days(day(5), day(0)), None, "a clock that was set back");
    }
}
