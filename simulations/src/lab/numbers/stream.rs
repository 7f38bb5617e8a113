//! Seeded chance: one ChaCha8 stream for each (seed, circle, entity, purpose).
//!
//! What one stream decides moves no other: a device that is added, or another policy, leaves the
//! failures of all others as they were, so that alternatives are compared under the same fate.

use rand_chacha::{
    ChaCha8Rng,
    rand_core::{Rng, SeedableRng},
};

use super::float;

/// What a stream is drawn for. Numbers are part of every result: none is ever given twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Coming and going of a device, or outages of a house.
    Presence = 1,
    /// Permanent loss.
    Loss = 2,
    /// What takes how long after a loss.
    Aftermath = 3,
    /// What a house's line is like.
    Line = 4,
    /// Whom a shock hits.
    Shock = 5,
    /// When shocks come, for all circles.
    Timeline = 6,
    /// Repair in textbook models.
    Repair = 7,
    /// Names of placement groups.
    Root = 8,
    /// When it is looked whether everything can be reached.
    Probe = 9,
    /// Replacement of devices that work.
    Replacement = 10,
    /// Common causes.
    Common = 11,
    /// Who takes what before the start.
    Settling = 12,
}

/// The streams of one circle.
#[derive(Debug, Clone)]
pub struct Streams([u8; 32]);

impl Streams {
    /// Those of circle `circle` in a run with `seed`.
    pub fn new(seed: u64, circle: u64) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("larder 2026 durability lab streams v1");
        hasher.update(&seed.to_le_bytes());
        hasher.update(&circle.to_le_bytes());
        Self(*hasher.finalize().as_bytes())
    }

    /// The stream of one entity for one purpose.
    pub fn stream(&self, entity: usize, purpose: Purpose) -> Stream {
        let mut source = ChaCha8Rng::from_seed(self.0);
        let entity = u64::try_from(entity).unwrap_or(u64::MAX);
        #[expect(clippy::as_conversions, reason = "the number of a variant")]
        source.set_stream((entity << 8) | purpose as u64);
        Stream(source)
    }
}

/// One stream.
#[derive(Debug, Clone)]
pub struct Stream(ChaCha8Rng);

impl Stream {
    /// A number above 0 and below 1; all 2^52 multiples of 2^-52, moved by half of one.
    pub fn uniform(&mut self) -> f64 {
        (float(self.0.next_u64() >> 12) + 0.5) * (1.0 / 4_503_599_627_370_496.0)
    }

    /// A number below `bound`, which is at least 1; each as likely as any other.
    pub fn below(&mut self, bound: u64) -> u64 {
        let bound = bound.max(1);
        let zone = u64::MAX - u64::MAX % bound;
        loop {
            let number = self.0.next_u64();
            if number < zone {
                return number % bound;
            }
        }
    }

    /// Exponential with mean 1.
    pub fn exponential(&mut self) -> f64 {
        -libm::log(self.uniform())
    }

    /// Standard normal (Box and Muller; one of the two, so that a stream has no memory beside its
    /// place).
    pub fn normal(&mut self) -> f64 {
        let radius = (2.0 * self.exponential()).sqrt();
        radius * libm::cos(std::f64::consts::TAU * self.uniform())
    }

    /// Gamma with this shape (at least 1) and scale 1. Source: Marsaglia and Tsang, 2000.
    pub fn gamma(&mut self, shape: f64) -> f64 {
        let d = shape - 1.0 / 3.0;
        let c = 1.0 / (9.0 * d).sqrt();
        loop {
            let normal = self.normal();
            let root = 1.0 + c * normal;
            if root <= 0.0 {
                continue;
            }
            let cube = root * root * root;
            let bound = 0.5 * normal * normal + d - d * cube + d * libm::log(cube);
            if libm::log(self.uniform()) < bound {
                return d * cube;
            }
        }
    }

    /// 32 bytes.
    pub fn bytes(&mut self) -> [u8; 32] {
        let mut bytes = [0; 32];
        self.0.fill_bytes(&mut bytes);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // LAB-1: these bits are those of every platform and profile.
    #[test]
    fn streams_have_the_same_bits_everywhere() {
        let mut hasher = blake3::Hasher::new();
        for purpose in [Purpose::Loss, Purpose::Presence] {
            let mut stream = Streams::new(7, 3).stream(5, purpose);
            for _ in 0..10_000 {
                let drawn = [
                    stream.uniform(),
                    stream.exponential(),
                    stream.normal(),
                    stream.gamma(1.7),
                    float(stream.below(1_000_003)),
                ];
                drawn.iter().for_each(|number| _ = hasher.update(&number.to_bits().to_le_bytes()));
            }
        }
        let hash = hasher.finalize().to_hex();
        assert_eq!(&hash.as_str()[..16], "3301e95ebfa993db");
    }

    #[test]
    fn moments_are_those_of_the_distributions() {
        let mut stream = Streams::new(1, 1).stream(1, Purpose::Loss);
        let mut means = [0.0; 5];
        for _ in 0..200_000 {
            let normal = stream.normal();
            let drawn = [
                stream.uniform(),
                stream.exponential(),
                normal,
                normal * normal,
                stream.gamma(2.5),
            ];
            for (mean, number) in means.iter_mut().zip(drawn) {
                *mean += number / 200_000.0;
            }
        }
        for (mean, expected) in means.into_iter().zip([0.5, 1.0, 0.0, 1.0, 2.5]) {
            assert!((mean - expected).abs() < 0.015, "{mean} is not {expected}");
        }
    }
}
