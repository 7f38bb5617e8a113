//! Who comes with the phrase of a vault: noted once an hour, however often he calls.
//!
//! **Invariant:** it remembers [`TRAIL_CALLERS_MAX`] vaults at the most, and where it forgets one too early
//! somebody is noted twice rather than not at all. Source: specs/trail.md, "Entry".

use std::collections::BTreeMap;

use crate::{
    ids::VaultId,
    limits::{TRAIL_CALLER_MS, TRAIL_CALLERS_MAX},
    time::Instant,
};

/// When somebody with the phrase of each vault was noted last.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Callers {
    noted: BTreeMap<VaultId, Instant>,
}

impl Callers {
    /// Whether a call at `now` by somebody with the phrase of `vault` is to be noted. If it is, those that
    /// follow are not.
    pub fn is_to_be_noted(&mut self, vault: VaultId, now: Instant) -> bool {
        let is_recent = |last: &Instant| now < last.after_ms(TRAIL_CALLER_MS);
        if self.noted.get(&vault).is_some_and(is_recent) {
            return false;
        }
        if self.noted.len() >= TRAIL_CALLERS_MAX {
            self.noted.retain(|_, last| is_recent(last));
        }
        while self.noted.len() >= TRAIL_CALLERS_MAX {
            let oldest = self.noted.iter().min_by_key(|(_, last)| **last);
            let Some(oldest) = oldest.map(|(vault, _)| *vault) else { break };
            self.noted.remove(&oldest);
        }
        self.noted.insert(vault, now);
        true
    }

    /// What was to be noted could not be written: the next call is.
    pub fn was_not_noted(&mut self, vault: VaultId) {
        self.noted.remove(&vault);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vault(number: usize) -> VaultId {
        let mut id = [0; 32];
        id[..8].copy_from_slice(&u64::try_from(number).unwrap().to_le_bytes());
        VaultId::from_bytes(id)
    }

    fn at(ms: u64) -> Instant {
        Instant(0).after_ms(ms)
    }

    // TRAIL-8
    #[test]
    fn who_has_the_phrase_is_noted_once_an_hour_for_each_vault() {
        let mut callers = Callers::default();
        let (one, two) = (vault(1), vault(2));
        assert!(callers.is_to_be_noted(one, at(1)) && callers.is_to_be_noted(two, at(1)));
        for ms in [1, 2, 1_000, TRAIL_CALLER_MS] {
            assert!(!callers.is_to_be_noted(one, at(ms)), "{ms}");
        }
        assert!(callers.is_to_be_noted(one, at(TRAIL_CALLER_MS + 1)));
        assert!(!callers.is_to_be_noted(one, at(TRAIL_CALLER_MS + 2)));
        assert!(!callers.is_to_be_noted(one, at(2 * TRAIL_CALLER_MS)));
    }

    // TRAIL-8
    #[test]
    fn what_was_not_written_is_noted_at_the_next_call() {
        let mut callers = Callers::default();
        assert!(callers.is_to_be_noted(vault(1), at(1)));
        callers.was_not_noted(vault(1));
        assert!(callers.is_to_be_noted(vault(1), at(2)));
        assert!(!callers.is_to_be_noted(vault(1), at(3)));
        // Nothing of others is forgotten with it.
        assert!(callers.is_to_be_noted(vault(2), at(3)));
        callers.was_not_noted(vault(2));
        callers.was_not_noted(vault(3));
        assert!(!callers.is_to_be_noted(vault(1), at(4)));
    }

    // TRAIL-8
    #[test]
    fn it_does_not_grow_with_the_vaults_and_forgets_the_oldest_first() {
        let mut callers = Callers::default();
        let ms = |number: usize| u64::try_from(number).unwrap();
        for number in 0..3 * TRAIL_CALLERS_MAX {
            assert!(callers.is_to_be_noted(vault(number), at(ms(number))));
            assert!(callers.noted.len() <= TRAIL_CALLERS_MAX);
        }
        let last = 3 * TRAIL_CALLERS_MAX;
        for number in 2 * TRAIL_CALLERS_MAX..last {
            assert!(!callers.is_to_be_noted(vault(number), at(ms(last))), "{number}");
        }
        assert!(callers.is_to_be_noted(vault(0), at(ms(last))), "forgotten, so noted twice");
        // After an hour nobody is in the way.
        let later = at(ms(last) + TRAIL_CALLER_MS);
        assert!(callers.is_to_be_noted(vault(last), later));
        assert_eq!(callers.noted.len(), 1);
    }
}
