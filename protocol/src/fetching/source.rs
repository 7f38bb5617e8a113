//! One holder as a source of bytes: reachable or not, how fast, how trusted.

use crate::{
    ids::DeviceId,
    limits::{FETCH_STRIPES_PER_HOLDER_MAX, STRIPE_BYTES},
    order::Backoff,
    time::Instant,
};

/// After a failed or stalled stripe.
const BACKOFF: Backoff = Backoff { first_ms: 1_000, most_ms: 60_000 };
/// So many failures in a row, and a holder is not counted on any more, only tried.
const FAILURES_SERVING_MAX: u32 = 5;
/// Speed is measured over at least so long: shorter windows measure bursts of a buffer.
const METER_MS_MIN: u64 = 250;
/// Assumed before anything was measured: a home uplink. Only compares holders.
const SPEED_UNKNOWN: u64 = 1_000_000;
/// A holder is given so many milliseconds of its measured speed in advance.
const WINDOW_MS: u64 = 1_000;
/// Stripes in flight to a holder that is slow or not measured: one on the wire, one asked.
const STRIPES_MIN: usize = 2;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reach {
    Down,
    Up { rest_until: Instant },
    Banned,
}

/// One holder.
#[derive(Debug, Clone)]
pub(super) struct Source {
    reach: Reach,
    failures: u32,
    pub(super) stripes: usize,
    /// Bytes per second, smoothed.
    speed: Option<u64>,
    meter_start: Instant,
    meter_bytes: u64,
}

impl Source {
    pub(super) const fn new() -> Self {
        Self {
            reach: Reach::Down,
            failures: 0,
            stripes: 0,
            speed: None,
            meter_start: Instant(0),
            meter_bytes: 0,
        }
    }

    pub(super) const fn speed(&self) -> Option<u64> {
        self.speed
    }

    pub(super) const fn is_banned(&self) -> bool {
        matches!(self.reach, Reach::Banned)
    }

    /// Whether it can be counted on, now or after a short rest.
    pub(super) const fn is_serving(&self) -> bool {
        matches!(self.reach, Reach::Up { .. }) && self.failures < FAILURES_SERVING_MAX
    }

    /// Whether one more stripe may be ordered from it now.
    pub(super) fn has_place(&self, now: Instant) -> bool {
        matches!(self.reach, Reach::Up { rest_until } if rest_until <= now)
            && self.stripes < self.window()
    }

    /// When it may be asked again, if it rests.
    pub(super) fn rest_until(&self, now: Instant) -> Option<Instant> {
        match self.reach {
            Reach::Up { rest_until } if rest_until > now => Some(rest_until),
            Reach::Up { .. } | Reach::Down | Reach::Banned => None,
        }
    }

    fn window(&self) -> usize {
        if self.failures > 0 {
            // On probation: one stripe, until it delivers.
            return 1;
        }
        let ahead = self.speed.unwrap_or(0).saturating_mul(WINDOW_MS) / 1_000 / STRIPE_BYTES;
        usize::try_from(ahead)
            .unwrap_or(FETCH_STRIPES_PER_HOLDER_MAX)
            .clamp(STRIPES_MIN, FETCH_STRIPES_PER_HOLDER_MAX)
    }

    /// Milliseconds that `bytes` take at the measured speed.
    pub(super) fn expected_ms(&self, bytes: u64) -> u64 {
        bytes.saturating_mul(1_000) / self.speed.unwrap_or(SPEED_UNKNOWN).max(1)
    }

    pub(super) fn up(&mut self, now: Instant, id: &DeviceId) {
        if matches!(self.reach, Reach::Down) {
            // The first loss is forgiven; one whose every connection breaks is asked less often.
            let wait_ms = if self.failures > 1 { BACKOFF.wait_ms(self.failures, id) } else { 0 };
            self.reach = Reach::Up { rest_until: now.after_ms(wait_ms) };
        }
    }

    pub(super) fn down(&mut self) {
        if matches!(self.reach, Reach::Up { .. }) {
            self.reach = Reach::Down;
            if self.stripes > 0 {
                self.failures = self.failures.saturating_add(1);
            }
        }
    }

    pub(super) fn ban(&mut self) {
        self.reach = Reach::Banned;
    }

    /// One failure; several within one rest count once.
    pub(super) fn failed(&mut self, now: Instant, id: &DeviceId) {
        if let Reach::Up { rest_until } = &mut self.reach
            && *rest_until <= now
        {
            self.failures = self.failures.saturating_add(1);
            *rest_until = now.after_ms(BACKOFF.wait_ms(self.failures, id));
        }
    }

    pub(super) fn started(&mut self, now: Instant) {
        if self.stripes == 0 {
            self.meter_start = now;
            self.meter_bytes = 0;
        }
        self.stripes += 1;
    }

    pub(super) fn ended(&mut self) {
        self.stripes = self.stripes.saturating_sub(1);
    }

    /// Verified bytes came.
    pub(super) fn delivered(&mut self, now: Instant, bytes: u64, complete: bool) {
        if complete {
            self.failures = 0;
        }
        self.meter_bytes = self.meter_bytes.saturating_add(bytes);
        let window_ms = now.ms_since(self.meter_start);
        // The first measure is taken early, so that speeds matter from the second stripe on.
        let early = self.speed.is_none() && complete && window_ms > 0;
        if window_ms < METER_MS_MIN && !early {
            return;
        }
        let sample = self.meter_bytes.saturating_mul(1_000) / window_ms.max(1);
        self.speed = Some(match self.speed {
            None => sample,
            Some(speed) => (speed.saturating_mul(3).saturating_add(sample)) / 4,
        });
        self.meter_start = now;
        self.meter_bytes = 0;
    }
}
