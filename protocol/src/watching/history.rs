//! What is remembered of one device's comings and goings, and what follows from it.
//!
//! Time counts by calls: what lies between two calls of a device counts, and no more than
//! [`WATCH_CREDIT_S`] of it. So neither a watcher that slept for a month nor a clock that jumped ages
//! anybody. Source: specs/watching.md.

use minicbor::{Decode, Encode};

use crate::{
    cbor::{self, DecodeError},
    limits::{
        WATCH_CREDIT_S, WATCH_FACTOR, WATCH_HISTORY_BYTES_MAX, WATCH_LEARN_S, WATCH_LIMIT_S_MAX,
        WATCH_LIMIT_S_MIN, WATCH_START_LAPTOP_S, WATCH_START_PHONE_S, WATCH_STEADY_S,
    },
    time::Timestamp,
};

const HOUR_S: u64 = 3_600;
/// Hours of a week.
const HOURS: usize = 168;
/// An hour of the week remembers about so many calls; older ones fade.
const HOUR_CALLS_MAX: u8 = 32;
/// Absences of up to 1, 2, 4 ... hours; the last one takes the rest.
const LENGTHS: usize = 12;
/// An absence is forgotten after so long: a yearly holiday is remembered until the next one.
const REMEMBERED_DAYS: u32 = 400;

/// What a device is, as far as somebody said so. What is learnt comes before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Encode, Decode)]
#[cbor(index_only)]
pub enum Kind {
    /// It may be away for a weekend or a journey.
    #[n(0)]
    #[default]
    Laptop,
    /// It is meant never to be off.
    #[n(1)]
    AlwaysOn,
    /// It may be off for weeks.
    #[n(2)]
    Phone,
}

/// What the user said of a device. It comes before everything learnt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Encode, Decode)]
pub enum Word {
    /// Nothing.
    #[n(0)]
    #[default]
    Nothing,
    /// It will be away until then: silence before says nothing.
    #[n(1)]
    AwayUntil(#[n(0)] Timestamp),
    /// It will not come back: what it keeps is worth nothing.
    #[n(2)]
    Lost,
}

/// How a device stands. Only `Lost` changes where anything is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Presence {
    /// It was not called yet.
    Unknown,
    /// It answered when it was last called.
    Here,
    /// It does not answer, as it did not before.
    Away,
    /// It does not answer for longer than it ever did; or for as long that it would be presumed
    /// lost, were it sure that the fault is not on this side.
    Suspect,
    /// It is presumed lost, or the user said so.
    Lost,
}

/// Absences of one length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Encode, Decode)]
#[cbor(map)]
struct Absences {
    #[n(0)]
    count: u16,
    /// When the last one ended, in days since 1970.
    #[n(1)]
    last_day: u32,
}

/// All that is remembered of one device. Kept by the shell, of [`WATCH_HISTORY_BYTES_MAX`] at most.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct History {
    #[n(0)]
    version: u16,
    #[n(1)]
    kind: Kind,
    #[n(2)]
    word: Word,
    /// When it was last called, or called by itself; 0 for never.
    #[n(3)]
    last_called: Timestamp,
    /// When it last answered; 0 for never.
    #[n(4)]
    last_answered: Timestamp,
    /// Seconds that count, of its presence and absence together.
    #[n(5)]
    watched_s: u64,
    /// Seconds that count since it answered last.
    #[n(6)]
    silent_s: u64,
    /// Those of them in which somebody at another place than here answered.
    #[n(7)]
    absent_s: u64,
    /// Calls in each hour of the week (UTC, from Monday), then those answered.
    #[n(8)]
    #[cbor(with = "minicbor::bytes")]
    hours: Vec<u8>,
    #[n(9)]
    absences: Vec<Absences>,
}

impl Default for History {
    fn default() -> Self {
        Self {
            version: Self::VERSION,
            kind: Kind::default(),
            word: Word::default(),
            last_called: Timestamp::default(),
            last_answered: Timestamp::default(),
            watched_s: 0,
            silent_s: 0,
            absent_s: 0,
            hours: vec![0; 2 * HOURS],
            absences: vec![Absences::default(); LENGTHS],
        }
    }
}

impl History {
    const VERSION: u16 = 1;

    /// Bytes for the shell to keep.
    pub fn encode(&self) -> Vec<u8> {
        cbor::encode(self)
    }

    /// Reads what [`History::encode`] made.
    ///
    /// # Errors
    /// [`DecodeError`] when it is none.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let history: Self = cbor::decode(bytes, WATCH_HISTORY_BYTES_MAX)?;
        let has_shape = history.hours.len() == 2 * HOURS && history.absences.len() == LENGTHS;
        let is_known = history.version == Self::VERSION;
        if has_shape && is_known { Ok(history) } else { Err(DecodeError::Malformed) }
    }

    /// What the user said last.
    pub const fn word(&self) -> Word {
        self.word
    }

    /// What the user said it is.
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// When it last answered; 0 for never.
    pub const fn last_answered(&self) -> Timestamp {
        self.last_answered
    }

    /// When it was last called; 0 for never.
    pub const fn last_called(&self) -> Timestamp {
        self.last_called
    }

    /// Seconds for which it has been silent, as far as they count.
    pub const fn silent_s(&self) -> u64 {
        self.silent_s
    }

    /// A word of what is to be expected ends what was made of the silence before it.
    pub(super) const fn say(&mut self, word: Word) {
        self.word = word;
        if !matches!(word, Word::Lost) {
            self.watched_s = self.watched_s.saturating_sub(self.silent_s);
            self.silent_s = 0;
            self.absent_s = 0;
        }
    }

    pub(super) const fn is(&mut self, kind: Kind) {
        self.kind = kind;
    }

    /// It answered a call, or called.
    pub(super) fn answered(&mut self, clock: Timestamp) {
        let credit_s = self.called(clock);
        self.watched_s = self.watched_s.saturating_add(credit_s);
        self.note_hour(clock, true);
        // What was not sure may have been an absence of this side.
        if self.absent_s > 0 {
            self.absence_ended(clock);
        }
        self.silent_s = 0;
        self.absent_s = 0;
        self.last_answered = self.last_called;
    }

    /// It did not answer a call. `is_sure`: somebody at another place did lately.
    pub(super) fn was_silent(&mut self, clock: Timestamp, is_sure: bool) {
        let credit_s = self.called(clock);
        if matches!(self.word, Word::AwayUntil(until) if clock < until) {
            return;
        }
        self.note_hour(clock, false);
        self.watched_s = self.watched_s.saturating_add(credit_s);
        // The first silence after an answer: it may have gone at any time since.
        self.silent_s = self.silent_s.saturating_add(credit_s).max(1);
        if is_sure {
            self.absent_s = self.absent_s.saturating_add(credit_s).max(1);
        }
    }

    /// It was there after `since`, and may have gone at any time after that: no silence is longer. When it answers
    /// itself, and how often it does, is learnt from its own answers alone.
    pub(super) fn was_there(&mut self, clock: Timestamp, since: Timestamp) {
        let within_s = clock.0.saturating_sub(since.0);
        // What was silence is none, and no presence that was watched either.
        self.watched_s = self.watched_s.saturating_sub(self.silent_s.saturating_sub(within_s));
        self.silent_s = self.silent_s.min(within_s);
        self.absent_s = self.absent_s.min(within_s);
    }

    /// How it stands at this time.
    pub fn presence(&self) -> Presence {
        if self.word == Word::Lost {
            return Presence::Lost;
        }
        if self.last_called == Timestamp::default() {
            return Presence::Unknown;
        }
        if self.last_answered == self.last_called {
            return Presence::Here;
        }
        let limit_s = self.limit_s();
        if self.absent_s >= limit_s {
            Presence::Lost
        } else if self.silent_s >= limit_s || self.silent_s > self.longest_s().max(limit_s / 2) {
            Presence::Suspect
        } else {
            Presence::Away
        }
    }

    /// Seconds of absence after which it is presumed lost: by its kind at first, then a multiple of
    /// the longest absence that it came back from. Only of what was never off for a night less is
    /// enough than half of what its kind says.
    pub fn limit_s(&self) -> u64 {
        limit_s(self.kind, self.watched_s.saturating_sub(self.silent_s), self.longest_s())
    }

    /// Of a hundred calls how many it answers. `None`: hardly ever called.
    pub fn availability_percent(&self) -> Option<u64> {
        let (calls, answers) = self.hours.split_at(HOURS);
        let sum = |counts: &[u8]| counts.iter().map(|count| u64::from(*count)).sum::<u64>();
        let calls_total = sum(calls);
        // Fewer say nothing.
        (calls_total >= 8).then(|| sum(answers) * 100 / calls_total)
    }

    /// Notes a call; returns the seconds that count since the one before.
    fn called(&mut self, clock: Timestamp) -> u64 {
        let since_s = match self.last_called {
            Timestamp(0) => 0,
            last => clock.0.saturating_sub(last.0).min(WATCH_CREDIT_S),
        };
        // A clock that was set back starts anew from where it is.
        self.last_called = Timestamp(clock.0.max(1));
        since_s
    }

    fn note_hour(&mut self, clock: Timestamp, is_answered: bool) {
        // 1970 began on a Thursday: three days after a Monday.
        let hour = (clock.0 / HOUR_S + 3 * 24) % u64::try_from(HOURS).unwrap_or(1);
        let hour = usize::try_from(hour).unwrap_or(0);
        let (calls, answers) = self.hours.split_at_mut(HOURS);
        if let (Some(calls), Some(answers)) = (calls.get_mut(hour), answers.get_mut(hour)) {
            if *calls >= HOUR_CALLS_MAX {
                (*calls, *answers) = (*calls / 2, *answers / 2);
            }
            *calls += 1;
            *answers += u8::from(is_answered);
        }
    }

    fn absence_ended(&mut self, clock: Timestamp) {
        let day = u32::try_from(clock.0 / 86_400).unwrap_or(u32::MAX);
        for length in &mut self.absences {
            // A clock was ahead then.
            length.last_day = length.last_day.min(day);
            if day.saturating_sub(length.last_day) > REMEMBERED_DAYS {
                *length = Absences::default();
            }
        }
        if let Some(length) = self.absences.get_mut(length_of(self.absent_s)) {
            length.count = length.count.saturating_add(1);
            length.last_day = day;
        }
    }

    /// Upper bound of the longest absence that is remembered.
    fn longest_s(&self) -> u64 {
        let longest = self.absences.iter().rposition(|length| length.count > 0);
        longest.map_or(0, |length| HOUR_S << length)
    }
}

/// See [`History::limit_s`]: of a device of this kind that was watched for `watched_s`, the present
/// absence aside, and of which an absence of up to `longest_s` is remembered.
pub fn limit_s(kind: Kind, watched_s: u64, longest_s: u64) -> u64 {
    let start_s = match kind {
        Kind::AlwaysOn => WATCH_LIMIT_S_MIN,
        Kind::Laptop => WATCH_START_LAPTOP_S,
        Kind::Phone => WATCH_START_PHONE_S,
    };
    if watched_s < WATCH_LEARN_S {
        return start_s;
    }
    let is_steady = longest_s <= WATCH_STEADY_S;
    let least_s = if is_steady { 0 } else { start_s / 2 };
    let learnt_s = longest_s.saturating_mul(WATCH_FACTOR).max(least_s);
    learnt_s.clamp(WATCH_LIMIT_S_MIN, WATCH_LIMIT_S_MAX)
}

/// As what length an absence is remembered: the next of 1, 2, 4 ... hours, in seconds.
pub fn remembered_s(absent_s: u64) -> u64 {
    HOUR_S << length_of(absent_s)
}

fn length_of(absent_s: u64) -> usize {
    (0..LENGTHS).find(|length| absent_s <= HOUR_S << length).unwrap_or(LENGTHS - 1)
}
