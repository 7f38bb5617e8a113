//! Seeded choices: a failing case prints its seed, and the seed makes the same choices again.

use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

/// A stream of choices.
#[derive(Debug, Clone)]
pub struct Dice {
    stream: ChaCha8Rng,
}

impl Dice {
    /// The stream of a seed.
    pub fn new(seed: u64) -> Self {
        Self { stream: ChaCha8Rng::seed_from_u64(seed) }
    }

    /// The seed given by the environment variable, or the default; printed either way.
    pub fn from_env(variable: &str, default: u64) -> Self {
        let seed = number_from_env(variable).unwrap_or(default);
        println!("{variable}={seed}");
        Self::new(seed)
    }

    /// A number below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        assert!(end > 0, "there is nothing to choose from");
        self.stream.next_u64() % end
    }

    /// An index into a list of `length`.
    pub fn index(&mut self, length: usize) -> usize {
        let length = u64::try_from(length).expect("a list's length fits");
        usize::try_from(self.below(length)).expect("it is below the length")
    }

    /// Whether an event of `one_in` happened.
    pub fn hits(&mut self, one_in: u64) -> bool {
        self.below(one_in) == 0
    }

    /// Bytes that no compressor makes smaller.
    pub fn bytes(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        self.stream.fill_bytes(&mut bytes);
        bytes
    }

    /// Text that compresses like text does.
    pub fn text(&mut self, length: usize) -> Vec<u8> {
        const WORDS: [&str; 12] = [
            "shelf", "jar", "winter", "the", "and", "apple", "of", "salt", "cellar", "keeps",
            "bread", "until",
        ];
        let mut text = Vec::with_capacity(length + 16);
        while text.len() < length {
            text.extend_from_slice(WORDS[self.index(WORDS.len())].as_bytes());
            text.push(if self.hits(9) { b'\n' } else { b' ' });
        }
        text.truncate(length);
        text
    }
}

/// A number from the environment.
pub fn number_from_env(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} must be a number, not {text:?}")))
}
