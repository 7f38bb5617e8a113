//! Pacing: how fast uploads go, by the time of day, and who waits how long.
//!
//! ```text
//! "500kB"                       at any time
//! "08:00 500kB, 23:00 off"      from 8 o'clock on, and without a limit from 23 o'clock on
//! ```
//! A [`Timetable`] says the rate of now, a [`Pacer`] books bytes one after the other (GCRA, ITU-T I.371:
//! a bucket that is kept as one point in time). Both are without a clock. Source: specs/pacing.md.

use std::{fmt, time::Duration};

use thiserror::Error;

use crate::limits::{PACING_BURST_MS, PACING_ENTRIES_MAX};

mod line;

pub use line::{Line, Side};

/// Minutes of a day.
const DAY: u16 = 24 * 60;

/// Rates by the time of day.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Timetable {
    /// From when on, in minutes of the day, ascending, none twice; and bytes a second from then on,
    /// `None` without a limit. Empty: never a limit.
    entries: Vec<(u16, Option<u64>)>,
}

/// Why a text is no timetable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum TimetableError {
    /// Not a time such as 08:00.
    #[error("an entry of several begins with a time such as 08:00")]
    Time,
    /// Not a rate.
    #[error("a rate is a size a second such as 500kB, or off")]
    Rate,
    /// Below what transfers need to stay alive.
    #[error("it is slower than what keeps a transfer alive")]
    TooSlow,
    /// One time twice, or far too many.
    #[error("a time stands there twice, or there are more than {PACING_ENTRIES_MAX}")]
    Entries,
}

impl Timetable {
    /// Reads one. `rate` reads a size; `least` is the lowest rate that is taken, in bytes a second.
    ///
    /// # Errors
    /// [`TimetableError`].
    pub fn parse(
        text: &str,
        least: u64,
        rate: impl Fn(&str) -> Option<u64>,
    ) -> Result<Self, TimetableError> {
        let rate = |word: &str| match word {
            "off" => Ok(None),
            size => match rate(size) {
                None => Err(TimetableError::Rate),
                Some(bytes) if bytes < least => Err(TimetableError::TooSlow),
                Some(bytes) => Ok(Some(bytes)),
            },
        };
        let parts: Vec<&str> = text.split(',').map(str::trim).collect();
        let mut entries = match parts.as_slice() {
            // One rate for all times; one entry with a time holds all day as well.
            [always] if !always.contains(':') => vec![(0, rate(always)?)],
            several => {
                let entry = |part: &&str| {
                    let (time, word) = part.split_once(' ').ok_or(TimetableError::Rate)?;
                    Ok((minute_of(time).ok_or(TimetableError::Time)?, rate(word.trim())?))
                };
                several.iter().map(entry).collect::<Result<_, _>>()?
            }
        };
        entries.sort_unstable_by_key(|(from, _)| *from);
        let is_twice = entries.windows(2).any(|pair| pair[0].0 == pair[1].0);
        if is_twice || entries.len() > PACING_ENTRIES_MAX {
            return Err(TimetableError::Entries);
        }
        Ok(Self { entries })
    }

    /// Bytes a second at a minute of the day, `None` without a limit. Before the first entry of a day
    /// the last one of the day before holds.
    pub fn rate_at(&self, minute: u16) -> Option<u64> {
        let begun = self.entries.iter().rev().find(|(from, _)| *from <= minute % DAY);
        begun.or(self.entries.last()).and_then(|(_, rate)| *rate)
    }

    /// Whether there is ever a limit.
    pub fn is_limited(&self) -> bool {
        self.entries.iter().any(|(_, rate)| rate.is_some())
    }

    /// The text again, with rates as `show` writes them.
    pub fn text(&self, show: impl Fn(u64) -> String) -> String {
        let rate = |rate: Option<u64>| rate.map_or_else(|| "off".to_owned(), &show);
        match self.entries.as_slice() {
            [] => "off".to_owned(),
            [(0, always)] => rate(*always),
            several => {
                let entry =
                    |(from, at): &(u16, Option<u64>)| format!("{} {}", Clock(*from), rate(*at));
                several.iter().map(entry).collect::<Vec<_>>().join(", ")
            }
        }
    }
}

/// A minute of the day as 08:00.
struct Clock(u16);

impl fmt::Display for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}:{:02}", self.0 / 60, self.0 % 60)
    }
}

fn minute_of(text: &str) -> Option<u16> {
    let (hours, minutes) = text.split_once(':')?;
    let digits = |part: &str| {
        let plain = part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_digit());
        plain.then(|| part.parse::<u16>().ok()).flatten()
    };
    let (hours, minutes) = (digits(hours)?, digits(minutes)?);
    (hours < 24 && minutes < 60).then_some(60 * hours + minutes)
}

/// Who may send next, and when. Times count from any one point.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Pacer {
    /// When all that was booked has gone at the rate.
    booked_until: Duration,
}

impl Pacer {
    /// Books bytes and says how long to wait before they go. Who was idle may send
    /// [`PACING_BURST_MS`] of the rate at once. A lower or higher rate counts from now on: what was
    /// booked keeps its place.
    pub fn book(&mut self, now: Duration, bytes: u64, rate: u64) -> Duration {
        let burst = Duration::from_millis(PACING_BURST_MS);
        let begins = self.booked_until.max(now.saturating_sub(burst));
        let micros = (u128::from(bytes) * 1_000_000).div_ceil(u128::from(rate.max(1)));
        let takes = Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX));
        self.booked_until = begins.saturating_add(takes);
        begins.saturating_sub(now)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LEAST: u64 = 16_384;

    fn size(text: &str) -> Option<u64> {
        text.strip_suffix("kB")
            .map_or_else(|| text.parse().ok(), |k| Some(1000 * k.parse::<u64>().ok()?))
    }

    fn parsed(text: &str) -> Result<Timetable, TimetableError> {
        Timetable::parse(text, LEAST, size)
    }

    // PACE-1
    #[test]
    fn a_timetable_says_the_rate_of_every_minute() {
        let always = parsed("500kB").unwrap();
        assert_eq!([0, 719, 1439].map(|minute| always.rate_at(minute)), [Some(500_000); 3]);
        assert_eq!(parsed("off").unwrap().rate_at(5), None);
        assert_eq!(Timetable::default().rate_at(5), None);
        let days = parsed("23:00 off, 08:00 500kB, 12:30 100kB").unwrap();
        let at = |hours: u16, minutes: u16| days.rate_at(60 * hours + minutes);
        assert_eq!((at(8, 0), at(12, 29)), (Some(500_000), Some(500_000)));
        assert_eq!((at(12, 30), at(22, 59)), (Some(100_000), Some(100_000)));
        // The night goes on past midnight.
        assert_eq!((at(23, 0), at(0, 0), at(7, 59)), (None, None, None));
        assert!(days.is_limited() && !parsed("off").unwrap().is_limited());
        let text = days.text(|rate| format!("{}kB", rate / 1000));
        assert_eq!(text, "08:00 500kB, 12:30 100kB, 23:00 off");
        assert_eq!(parsed(&text).unwrap(), days);
        // One entry with a time holds all day.
        assert_eq!(parsed("08:00 500kB").unwrap().rate_at(0), Some(500_000));
    }

    // PACE-1
    #[test]
    fn what_is_no_timetable_is_refused() {
        let refused = |text: &str| parsed(text).unwrap_err();
        for text in ["", "fast", "08:00", "08:00 ", "08:00 fast", "500kB,", "off off"] {
            assert_eq!(refused(text), TimetableError::Rate, "{text:?}");
        }
        for text in ["8:00 500kB", "24:00 off", "08:60 off", "a:b off", "08:00:00 off"] {
            assert_eq!(refused(text), TimetableError::Time, "{text:?}");
        }
        assert_eq!(refused("16383"), TimetableError::TooSlow);
        assert_eq!(refused("0"), TimetableError::TooSlow);
        assert_eq!(refused("08:00 off, 08:00 500kB"), TimetableError::Entries);
        let many: Vec<String> = (0..=PACING_ENTRIES_MAX)
            .map(|at| format!("{} off", Clock(u16::try_from(at).unwrap())))
            .collect();
        assert_eq!(refused(&many.join(",")), TimetableError::Entries);
    }

    // PACE-2
    #[test]
    fn who_was_idle_sends_a_little_at_once_and_then_at_the_rate() {
        let mut pacer = Pacer::default();
        let now = Duration::from_secs(100);
        let rate = 100_000;
        let burst = PACING_BURST_MS * 100;
        assert_eq!(pacer.book(now, burst, rate), Duration::ZERO);
        assert_eq!(pacer.book(now, 100_000, rate), Duration::ZERO);
        assert_eq!(pacer.book(now, 100_000, rate), Duration::from_secs(1));
        assert_eq!(pacer.book(now, 1, rate), Duration::from_secs(2));
    }

    proptest! {
        // PACE-2: over any stretch of time no more goes than the rate and one burst, and whoever waits
        // his time gets the rate.
        #[test]
        fn the_rate_is_kept_and_reached(
            rate in LEAST..10_000_000,
            pieces in prop::collection::vec((0_u64..2_000, 1_u64..200_000), 1..60),
        ) {
            let mut pacer = Pacer::default();
            let mut now = Duration::from_secs(1000);
            let (mut first, mut sent) = (None, 0);
            for (idle_ms, bytes) in pieces {
                now += Duration::from_millis(idle_ms);
                now += pacer.book(now, bytes, rate);
                let began = *first.get_or_insert(now);
                let allowed = u128::from(rate) * (now - began + Duration::from_millis(PACING_BURST_MS)).as_micros() / 1_000_000;
                prop_assert!(u128::from(sent) <= allowed + 64, "{sent} of {allowed}");
                sent += bytes;
            }
            let owed = pacer.book(now, 0, rate);
            prop_assert!(owed <= Duration::from_micros(200_000 * 1_000_000 / LEAST + 1));
        }
    }
}
