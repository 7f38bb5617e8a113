//! What callers have pushed of logs that waits for what they push next: a log comes in several requests where it is long.
//! Source: specs/device_log.md, "What is taken along".

use super::Waiting;
use crate::{
    ids::{DeviceId, VaultId},
    limits::{LOG_PUSH_MS, LOG_PUSHES_MAX},
    time::Instant,
};

/// Of a few callers, each for a minute.
#[derive(Debug, Default)]
pub struct Pushed {
    slots: Vec<Slot>,
}

#[derive(Debug)]
struct Slot {
    of: (DeviceId, VaultId),
    since: Instant,
    waiting: Waiting,
}

impl Pushed {
    /// What waits of an earlier request of this caller, if that is not long ago.
    pub fn resume(&mut self, now: Instant, of: (DeviceId, VaultId)) -> Waiting {
        let is_over = |slot: &Slot| now.ms_since(slot.since) >= LOG_PUSH_MS;
        self.slots.retain(|slot| !is_over(slot));
        let at = self.slots.iter().position(|slot| slot.of == of);
        at.map(|at| self.slots.remove(at).waiting).unwrap_or_default()
    }

    /// Keeps what waits for the next request of this caller; the oldest goes where there are too many.
    pub fn keep(&mut self, now: Instant, of: (DeviceId, VaultId), mut waiting: Waiting) {
        self.slots.retain(|slot| slot.of != of);
        if waiting.count() == 0 {
            return;
        }
        if self.slots.len() >= LOG_PUSHES_MAX {
            self.slots.remove(0);
        }
        // A minute in all: whoever asks again and again renews nothing.
        let since = *waiting.since.get_or_insert(now);
        self.slots.push(Slot { of, since, waiting });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::tests::backing::{filled, household};

    fn waiting() -> Waiting {
        let before = household();
        let (here, there) = (filled(&before, 3, 50), filled(&before, 3, 60));
        let mut waiting = Waiting::default();
        let entries: Vec<&[u8]> = here.entries().collect();
        there.take(&entries, &mut waiting);
        waiting
    }

    // LOG-33: a log that comes in several requests.
    #[test]
    fn what_waits_is_kept_for_a_minute_of_a_few_callers() {
        let of = |number: u8| (DeviceId::from_bytes([number; 32]), VaultId::from_bytes([7; 32]));
        let (start, all) = (Instant(0), waiting().count());
        let mut pushed = Pushed::default();
        pushed.keep(start, of(1), waiting());
        assert_eq!(pushed.resume(start, of(2)).count(), 0);
        assert_eq!(pushed.resume(start, of(1)).count(), all);
        assert_eq!(pushed.resume(start, of(1)).count(), 0, "it was given away");
        pushed.keep(start, of(1), waiting());
        let later = start.after_ms(LOG_PUSH_MS - 1);
        let resumed = pushed.resume(later, of(1));
        pushed.keep(later, of(1), resumed);
        assert_eq!(pushed.resume(start.after_ms(LOG_PUSH_MS), of(1)).count(), 0);
        for caller in 0..=u8::try_from(LOG_PUSHES_MAX).unwrap() {
            pushed.keep(start, of(caller), waiting());
        }
        assert_eq!(pushed.resume(start, of(0)).count(), 0);
        assert_eq!(pushed.resume(start, of(1)).count(), all);
    }
}
