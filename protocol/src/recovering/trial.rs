//! Trying the phrase without recovering: what proves that it works, and when it is time to try it.
//!
//! Source: specs/trial.md.

use super::{Finding, Found};
use crate::{limits::PHRASE_ADVISED_DAYS, log::DeviceLog, time::Timestamp};

impl Found {
    /// Whether a recovery by those who answered would bring back all that they were shown to have: somebody
    /// answered, and the newest head of every device that anybody serves leads to something. Holders that
    /// are behind or away take nothing from that.
    pub fn proves_the_phrase(&self) -> bool {
        let is_unreadable = |finding: &Finding| matches!(finding, Finding::Unreadable { .. });
        !self.answered.is_empty() && !self.findings.iter().any(is_unreadable)
    }
}

impl DeviceLog {
    /// When the vault was made, by the clock of its first device.
    pub fn founded(&self) -> Timestamp {
        self.all_devices().map(|device| device.added).min().unwrap_or(Timestamp(0))
    }
}

/// For how many days the phrase was not proved, where that is so long that a word is due. `last` is when it was
/// proved last, if it ever was, and `founded` when the vault was made: whoever made it had the phrase.
pub fn unproved_days(last: Option<Timestamp>, founded: Timestamp, now: Timestamp) -> Option<u64> {
    let since = last.unwrap_or(founded);
    let days = now.0.saturating_sub(since.0) / 86_400;
    (days > PHRASE_ADVISED_DAYS).then_some(days)
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;
    use crate::ids::DeviceId;

    // TRIAL-6
    #[test]
    fn a_word_is_due_a_year_after_the_last_proof_or_the_making_of_the_vault() {
        let day = |days: u64| Timestamp(1_800_000_000 + days * 86_400);
        assert_eq!(unproved_days(None, day(0), day(365)), None);
        assert_eq!(unproved_days(None, day(0), day(366)), Some(366));
        assert_eq!(unproved_days(Some(day(300)), day(0), day(366)), None);
        assert_eq!(unproved_days(Some(day(300)), day(0), day(700)), Some(400));
        assert_eq!(unproved_days(Some(day(9)), day(0), day(1)), None, "a clock that was set back");
    }

    // TRIAL-4
    #[test]
    fn who_is_behind_or_away_takes_nothing_from_a_proof_and_what_cannot_be_read_does() {
        let [one, two] = [1, 2].map(|seed| DeviceId::from_bytes([seed; 32]));
        let found = |findings: Vec<Finding>| Found {
            heads: BTreeMap::new(),
            findings,
            answered: BTreeSet::from([one]),
            silent: BTreeSet::from([two]),
        };
        assert!(found(Vec::new()).proves_the_phrase());
        let behind = Finding::Behind { holder: one, device: two, served: 1 };
        let missing = Finding::Missing { device: two, found: 1, exists: 2 };
        assert!(found(vec![behind.clone(), missing]).proves_the_phrase());
        let unreadable = Finding::Unreadable { device: two, seq: 2 };
        assert!(!found(vec![behind, unreadable]).proves_the_phrase());
        let nobody = Found { answered: BTreeSet::new(), ..found(Vec::new()) };
        assert!(!nobody.proves_the_phrase());
    }
}
