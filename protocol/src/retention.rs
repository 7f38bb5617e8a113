//! Retention: which snapshots of one folder stay, by rules that people understand.
//!
//! Pure: times come in, a choice goes out; there is no clock. Civil time is UTC, worked out with
//! integers. Source: specs/retention.md.

use std::collections::BTreeSet;

use crate::time::Timestamp;

const DAY_S: u64 = 86_400;
/// What stands for no rules in a text.
const OFF: &str = "off";
/// The word of the rule that takes a time.
const WITHIN: &str = "within";

/// What stays; a snapshot that any rule keeps stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rules {
    /// The newest so many.
    pub last: u32,
    /// The newest of each of the last so many hours that have one.
    pub hourly: u32,
    /// The same for days.
    pub daily: u32,
    /// The same for weeks, which begin on Monday.
    pub weekly: u32,
    /// The same for months.
    pub monthly: u32,
    /// The same for years.
    pub yearly: u32,
    /// Everything begun within so many seconds before the newest.
    pub within_s: u64,
}

/// One snapshot, as far as retention looks at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Kept {
    /// When its walk began.
    pub started: Timestamp,
    /// False for a checkpoint.
    pub complete: bool,
    /// Whether the choice is about it. What is not stays, and is counted as ever (RET-7).
    pub may_go: bool,
}

impl Rules {
    /// Whether there is no rule at all.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Reads rules such as `hourly 24, daily 30, within 2d`, each word once; `off` for none. `span` reads
    /// the time of `within`, in seconds. `None` for anything else, and for a rule that keeps nothing.
    pub fn parse(text: &str, span: impl Fn(&str) -> Option<u64>) -> Option<Self> {
        let mut rules = Self::default();
        if text.trim() == OFF {
            return Some(rules);
        }
        for rule in text.split(',') {
            let (word, value) = rule.trim().split_once(char::is_whitespace)?;
            let value = value.trim();
            if word == WITHIN {
                let within_s = span(value).filter(|within_s| *within_s > 0)?;
                let before = std::mem::replace(&mut rules.within_s, within_s);
                (before == 0).then_some(())?;
                continue;
            }
            let count = value.parse().ok().filter(|count| *count > 0)?;
            let mut counts = rules.counts_mut().into_iter();
            let (_, place) = counts.find(|(name, place)| *name == word && **place == 0)?;
            *place = count;
        }
        Some(rules)
    }

    /// The rules as [`parse`](Self::parse) reads them. `span` writes the time of `within`.
    pub fn text(&self, span: impl Fn(u64) -> String) -> String {
        if self.is_empty() {
            return OFF.to_owned();
        }
        let mut copy = *self;
        let counts = copy.counts_mut().map(|(name, count)| (name, *count));
        let counts = counts.iter().filter(|(_, count)| *count > 0);
        let within = (self.within_s > 0).then(|| format!("{WITHIN} {}", span(self.within_s)));
        let rules = counts.map(|(name, count)| format!("{name} {count}")).chain(within);
        rules.collect::<Vec<_>>().join(", ")
    }

    fn counts_mut(&mut self) -> [(&'static str, &mut u32); 6] {
        [
            ("last", &mut self.last),
            ("hourly", &mut self.hourly),
            ("daily", &mut self.daily),
            ("weekly", &mut self.weekly),
            ("monthly", &mut self.monthly),
            ("yearly", &mut self.yearly),
        ]
    }

    /// Says of each snapshot of one folder of one device whether it stays. Without any rule
    /// everything does.
    pub fn choose(&self, snapshots: &[Kept]) -> Vec<bool> {
        if self.is_empty() {
            return vec![true; snapshots.len()];
        }
        // Newest first; of two begun in one second, the one that comes later in the list.
        let mut order: Vec<(Timestamp, usize)> = (0..)
            .zip(snapshots)
            .filter(|(_, snapshot)| snapshot.complete)
            .map(|(index, snapshot)| (snapshot.started, index))
            .collect();
        order.sort_unstable_by(|a, b| b.cmp(a));
        let newest = order.first().copied();
        let mut stays: BTreeSet<usize> = BTreeSet::new();
        // RET-2: also under rules that would keep nothing.
        stays.extend(newest.map(|(_, index)| index));
        let periods: [(u32, Period); 6] = [
            (self.last, Period::Each),
            (self.hourly, Period::Hour),
            (self.daily, Period::Day),
            (self.weekly, Period::Week),
            (self.monthly, Period::Month),
            (self.yearly, Period::Year),
        ];
        for (count, period) in periods {
            stays.extend(newest_of_each(&order, count, period));
        }
        let within = |started: Timestamp| {
            let newest = newest.map_or(Timestamp::default(), |(newest, _)| newest);
            self.within_s > 0 && newest.0.saturating_sub(started.0) <= self.within_s
        };
        // RET-3: a checkpoint stays while no complete snapshot has been begun after it.
        let unfinished = |started: Timestamp| newest.is_none_or(|(newest, _)| started > newest);
        let stays = |index: usize, one: &Kept| {
            !one.may_go
                || stays.contains(&index)
                || within(one.started)
                || !one.complete && unfinished(one.started)
        };
        (0..).zip(snapshots).map(|(index, snapshot)| stays(index, snapshot)).collect()
    }
}

/// The newest of each of the last `count` periods that have one. `order` is newest first.
fn newest_of_each(
    order: &[(Timestamp, usize)],
    count: u32,
    period: Period,
) -> impl Iterator<Item = usize> {
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    let mut last = None;
    let newest = order.iter().filter(move |(started, index)| {
        let number = period.number(*started, *index);
        last.replace(number) != Some(number)
    });
    newest.take(count).map(|(_, index)| *index)
}

/// A stretch of civil time, UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Period {
    /// Every snapshot is one of its own.
    Each,
    Hour,
    Day,
    Week,
    Month,
    Year,
}

impl Period {
    /// The number of the period in which a time lies; later periods have higher numbers.
    fn number(self, time: Timestamp, index: usize) -> u64 {
        let day = time.0 / DAY_S;
        match self {
            Self::Each => u64::try_from(index).unwrap_or(u64::MAX),
            Self::Hour => time.0 / 3600,
            Self::Day => day,
            // 1970-01-01 was a Thursday: three days into its week.
            Self::Week => (day + 3) / 7,
            Self::Month => {
                let (year, month) = year_and_month(day);
                year * 12 + month
            }
            Self::Year => year_and_month(day).0,
        }
    }
}

/// Year and month (0 for January) of a day counted from 1970-01-01, in the Gregorian calendar.
///
/// Years are counted from March here, so that the leap day is the last one of its year, and in
/// eras of 400 years, which all have the same number of days.
fn year_and_month(day: u64) -> (u64, u64) {
    const ERA_DAYS: u64 = 146_097;
    // From 0000-03-01 to 1970-01-01.
    let day = day + 719_468;
    let (era, day) = (day / ERA_DAYS, day % ERA_DAYS);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let from_march = (5 * day + 2) / 153;
    let month = (from_march + 2) % 12;
    (era * 400 + year + u64::from(from_march >= 10), month)
}

mod of;
#[cfg(test)]
mod tests;

pub use of::{Named, Of, Stays, part, split};
