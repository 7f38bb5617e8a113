//! Orders that a machine gives to its shell: their numbers, and how long to wait before trying
//! one again. Not a scheduler: each machine decides for itself what to try.

use crate::ids::DeviceId;

/// Number of one order. The shell gives it back with the answer; a machine ignores an answer to
/// an order that it has given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OrderId(pub u64);

/// Hands out order numbers, each once in the life of a machine.
#[derive(Debug, Clone, Default)]
pub(crate) struct OrderNumbers {
    next: u64,
}

impl OrderNumbers {
    /// None given yet.
    pub(crate) const fn new() -> Self {
        Self { next: 0 }
    }

    /// The next number.
    pub(crate) fn take(&mut self) -> OrderId {
        self.next = self.next.saturating_add(1);
        OrderId(self.next)
    }
}

/// Waits that grow with every failure in a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Backoff {
    /// After the first failure.
    pub(crate) first_ms: u64,
    /// Never longer, jitter aside.
    pub(crate) most_ms: u64,
}

impl Backoff {
    /// Milliseconds to wait after `failures` failures in a row (1 is the first).
    ///
    /// Up to a quarter is added, drawn from the holder's name and the count: devices that failed
    /// together do not come back together, and a simulation still repeats exactly.
    pub(crate) fn wait_ms(self, failures: u32, holder: &DeviceId) -> u64 {
        let doublings = failures.saturating_sub(1).min(20);
        let wait_ms = self.first_ms.saturating_mul(1 << doublings).min(self.most_ms);
        let mut mixed = u64::from(failures).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        for byte in holder.as_bytes().iter().take(8) {
            mixed = mixed.rotate_left(7) ^ u64::from(*byte).wrapping_mul(0xff51_afd7_ed55_8ccd);
        }
        wait_ms + mixed % (wait_ms / 4 + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_bound_and_differ_between_holders() {
        let backoff = Backoff { first_ms: 1_000, most_ms: 60_000 };
        let (a, b) = (DeviceId::from_bytes([1; 32]), DeviceId::from_bytes([2; 32]));
        assert!((1_000..=1_250).contains(&backoff.wait_ms(1, &a)));
        assert!((2_000..=2_500).contains(&backoff.wait_ms(2, &a)));
        assert!((60_000..=75_000).contains(&backoff.wait_ms(50, &a)));
        assert_ne!(backoff.wait_ms(3, &a), backoff.wait_ms(3, &b));
    }
}
