//! Whether a holder that says that it stands elsewhere now is believed at once.
//!
//! Every pack is counted anew then, so whoever calls and says something else each time would keep this
//! device busy. What is answered to a call of our own comes no faster than we call.

use std::collections::BTreeMap;

use crate::{ids::DeviceId, limits::SITE_CHANGE_MS_MIN, time::Instant};

/// When callers last moved. Bounded by the devices of the circle: others are not asked about.
#[derive(Debug, Clone, Default)]
pub struct Moves {
    last: BTreeMap<DeviceId, Instant>,
}

impl Moves {
    /// Whether a caller that names another site than it did is believed now. What is passed over is heard
    /// of again when the two next meet.
    pub fn may_move(&mut self, now: Instant, caller: DeviceId) -> bool {
        let is_early =
            self.last.get(&caller).is_some_and(|last| now < last.after_ms(SITE_CHANGE_MS_MIN));
        if !is_early {
            self.last.insert(caller, now);
        }
        !is_early
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // PLACE-26
    #[test]
    fn a_caller_that_moves_all_the_time_is_believed_now_and_then() {
        let (mut moves, start) = (Moves::default(), Instant(1));
        let [one, two] = [1, 2].map(|seed| DeviceId::from_bytes([seed; 32]));
        assert!(moves.may_move(start, one));
        assert!(!moves.may_move(start.after_ms(SITE_CHANGE_MS_MIN - 1), one));
        assert!(moves.may_move(start.after_ms(1), two));
        assert!(moves.may_move(start.after_ms(SITE_CHANGE_MS_MIN), one));
    }
}
