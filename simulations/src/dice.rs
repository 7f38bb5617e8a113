//! Seeded chance: one ChaCha8 stream for each (seed, entity, purpose).
//!
//! Streams are independent, so that taking one fault or one device out of a run moves nothing
//! that another stream decides: this is what lets a failing run shrink.

use rand_chacha::{
    ChaCha8Rng,
    rand_core::{Rng, SeedableRng},
};

/// One stream.
#[derive(Debug, Clone)]
pub(crate) struct Dice(ChaCha8Rng);

impl Dice {
    /// The stream of `entity` (a device, a step) for one `purpose`.
    pub(crate) fn new(seed: u64, entity: u64, purpose: &str) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("larder 2026 simulation dice v1");
        hasher.update(&seed.to_le_bytes());
        hasher.update(&entity.to_le_bytes());
        hasher.update(purpose.as_bytes());
        Self(ChaCha8Rng::from_seed(*hasher.finalize().as_bytes()))
    }

    /// A number from `low` to `high`, both included.
    pub(crate) fn range(&mut self, low: u64, high: u64) -> u64 {
        low + self.0.next_u64() % (high - low + 1)
    }

    /// One of `count` things; `count` is at least 1.
    pub(crate) fn pick(&mut self, count: usize) -> usize {
        let last = u64::try_from(count.max(1) - 1).expect("a count of things in memory");
        usize::try_from(self.range(0, last)).expect("below a count of things in memory")
    }

    /// One of these.
    pub(crate) fn one<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.pick(of.len())]
    }

    pub(crate) fn chance(&mut self, percent: u64) -> bool {
        self.range(0, 99) < percent
    }

    /// A number with a heavy tail, from `low` to `high`: every doubling is as likely as the next.
    pub(crate) fn tail(&mut self, low: u64, high: u64) -> u64 {
        let doublings = high.checked_div(low.max(1)).unwrap_or(1).max(1).ilog2();
        let start = low.max(1) << self.range(0, u64::from(doublings));
        self.range(start.min(high), (start * 2).min(high))
    }

    pub(crate) fn bytes(&mut self) -> [u8; 32] {
        let mut bytes = [0; 32];
        self.0.fill_bytes(&mut bytes);
        bytes
    }

    /// For the key ceremonies of the core, which take their randomness as an argument.
    pub(crate) const fn source(&mut self) -> &mut ChaCha8Rng {
        &mut self.0
    }
}
