//! Time as the core sees it: numbers handed in by the shell.

use minicbor::{Decode, Encode};

/// A point on the shell's monotonic clock, in nanoseconds since an arbitrary start. Never goes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Instant(pub u64);

impl Instant {
    /// The instant `millis` milliseconds later, stopping at the end of time.
    pub const fn after_ms(self, millis: u64) -> Self {
        Self(self.0.saturating_add(millis.saturating_mul(1_000_000)))
    }

    /// Milliseconds from `earlier` to `self`; zero when `earlier` is later.
    pub const fn ms_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0) / 1_000_000
    }
}

/// Wall-clock time in whole seconds since 1970-01-01 UTC.
///
/// Wall clocks lie. They may lengthen a wait; they never order events and never shorten one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Encode, Decode)]
#[cbor(transparent)]
pub struct Timestamp(#[n(0)] pub u64);

impl Timestamp {
    /// The number of what a device says next: the greater of its clock and one more than its last. So the
    /// highest number is the newest word, and a clock that was set back makes no word an old one.
    pub const fn number_after(self, last: u64) -> u64 {
        let next = last.saturating_add(1);
        if self.0 > next { self.0 } else { next }
    }

    /// The time `days` days later.
    pub const fn after_days(self, days: u64) -> Self {
        Self(self.0.saturating_add(days.saturating_mul(86_400)))
    }
}
