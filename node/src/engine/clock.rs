//! The two clocks, in the numbers that the core understands.

use std::time::{Instant as StdInstant, SystemTime, UNIX_EPOCH};

use larder_protocol::time::{Instant, Timestamp};

/// Monotonic time since the node was opened, and wall-clock time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    start: StdInstant,
}

impl Clock {
    pub(crate) fn start() -> Self {
        Self { start: StdInstant::now() }
    }

    /// Now, for the machines.
    pub(crate) fn now(&self) -> Instant {
        Instant(u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX))
    }

    /// Waits until a machine wants to be told that time has passed; for ever, if it does not.
    pub(crate) async fn reached(&self, timeout: Option<Instant>) {
        match timeout {
            Some(instant) => tokio::time::sleep_until(self.moment(instant)).await,
            None => std::future::pending().await,
        }
    }

    /// The moment of the runtime's clock that a machine's instant stands for.
    pub(crate) fn moment(&self, instant: Instant) -> tokio::time::Instant {
        tokio::time::Instant::from_std(self.start + std::time::Duration::from_nanos(instant.0))
    }
}

/// Wall-clock time; a clock before 1970 counts as 1970.
pub(crate) fn wall() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(since.as_secs())
}

/// How long ago something was noted, in milliseconds. A note that lies more than `slack_s` seconds ahead of the
/// clock was made by a clock that was wrong, and says nothing: it is as old as can be.
pub(crate) fn age_ms(at: Timestamp, now: Timestamp, slack_s: u64) -> u64 {
    if at.0 > now.0.saturating_add(slack_s) {
        return u64::MAX;
    }
    now.0.saturating_sub(at.0).saturating_mul(1000)
}
