//! Work of people that goes on for so long that backups by themselves are overdue because of it.

use crate::time::Timestamp;

/// Nobody is told of less.
const LEAST_S: u64 = 3_600;
/// Runs that fell out.
const RUNS: u64 = 3;

/// Whether a person should know that runs make way since then: three of them fell out, and an hour has passed.
pub const fn is_long(since: Timestamp, now: Timestamp, every_ms: u64) -> bool {
    let runs_s = (every_ms / 1_000).saturating_mul(RUNS);
    let most_s = if runs_s > LEAST_S { runs_s } else { LEAST_S };
    now.0.saturating_sub(since.0) > most_s
}

#[cfg(test)]
mod tests {
    use super::*;

    // RECUR-14
    #[test]
    fn what_keeps_three_runs_away_is_told_and_nothing_that_takes_an_hour() {
        let (since, hour_ms) = (Timestamp(1_000_000), 3_600_000);
        let at = |seconds: u64| Timestamp(since.0 + seconds);
        assert!(
            !is_long(since, at(3 * 3_600), hour_ms) && is_long(since, at(3 * 3_600 + 1), hour_ms)
        );
        assert!(!is_long(since, at(3_600), 60_000) && is_long(since, at(3_601), 60_000));
        assert!(!is_long(since, Timestamp(5), hour_ms), "a clock that was set back");
        assert!(!is_long(since, at(1 << 40), u64::MAX), "off for all that anybody sees");
    }
}
