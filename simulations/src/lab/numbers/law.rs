//! Laws of time: how long something lasts, and when something fails.
//!
//! As a survival law each has a cumulative hazard, so that failures can be made more frequent and
//! be weighed back, whatever the law is.

use serde::{Deserialize, Serialize};

use super::stream::Stream;

/// A distribution of times, in whatever unit the scenario names.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "law", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Law {
    /// Always the same.
    Constant {
        /// How long.
        value: f64,
    },
    /// Without memory.
    Exponential {
        /// Its mean.
        mean: f64,
    },
    /// Weibull: a shape below 1 fails early, above 1 wears out.
    Weibull {
        /// Its mean.
        mean: f64,
        /// Its shape.
        shape: f64,
    },
    /// The logarithm is normal.
    Lognormal {
        /// Half of all are below.
        median: f64,
        /// Standard deviation of the natural logarithm.
        sigma: f64,
    },
    /// All between the two alike.
    Uniform {
        /// The least.
        low: f64,
        /// The most.
        high: f64,
    },
}

impl Law {
    /// What is wrong with its parameters, if anything.
    pub fn fault(&self) -> Option<&'static str> {
        let is_good = |number: f64| number.is_finite() && number > 0.0;
        let fine = match *self {
            Self::Constant { value } => value.is_finite() && value >= 0.0,
            Self::Exponential { mean } => is_good(mean),
            Self::Weibull { mean, shape } => is_good(mean) && is_good(shape),
            Self::Lognormal { median, sigma } => {
                is_good(median) && sigma.is_finite() && sigma >= 0.0
            }
            Self::Uniform { low, high } => low >= 0.0 && high.is_finite() && low <= high,
        };
        (!fine).then_some("a law has parameters that cannot be: times are positive and finite")
    }

    /// Its mean.
    pub fn mean(&self) -> f64 {
        match *self {
            Self::Constant { value } => value,
            Self::Exponential { mean } | Self::Weibull { mean, .. } => mean,
            Self::Lognormal { median, sigma } => median * libm::exp(0.5 * sigma * sigma),
            Self::Uniform { low, high } => 0.5 * (low + high),
        }
    }

    /// One time.
    pub fn sample(&self, stream: &mut Stream) -> f64 {
        match *self {
            Self::Constant { value } => value,
            Self::Exponential { mean } => mean * stream.exponential(),
            Self::Weibull { mean, shape } => {
                weibull_scale(mean, shape) * libm::pow(stream.exponential(), 1.0 / shape)
            }
            Self::Lognormal { median, sigma } => median * libm::exp(sigma * stream.normal()),
            Self::Uniform { low, high } => low + (high - low) * stream.uniform(),
        }
    }
}

/// Scale of a Weibull law with this mean.
fn weibull_scale(mean: f64, shape: f64) -> f64 {
    mean / libm::tgamma(1.0 + 1.0 / shape)
}

/// A law of failure by age: cumulative hazard `(age / scale)^shape`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Hazard {
    scale: f64,
    shape: f64,
}

impl Hazard {
    /// Without memory, so many a year.
    pub const fn constant(per_year: f64) -> Self {
        Self { scale: 1.0 / per_year, shape: 1.0 }
    }

    /// Weibull with this mean in years.
    pub fn weibull(mean_years: f64, shape: f64) -> Self {
        Self { scale: weibull_scale(mean_years, shape), shape }
    }

    /// What has added up at this age, in years.
    pub fn cumulative(&self, age: f64) -> f64 {
        if self.has_memory() { libm::pow(age / self.scale, self.shape) } else { age / self.scale }
    }

    /// The age at which so much has added up.
    pub fn age(&self, cumulative: f64) -> f64 {
        if self.has_memory() {
            self.scale * libm::pow(cumulative, 1.0 / self.shape)
        } else {
            self.scale * cumulative
        }
    }

    /// The age of a device met at any time, when each is replaced as it fails, and beside that so often
    /// a year while it works: ages are as frequent as they are reached.
    pub fn stationary_age(&self, stream: &mut Stream, replaced_per_year: f64) -> f64 {
        if replaced_per_year <= 0.0 {
            return self.age_before_failure(stream);
        }
        // Drawn by that end of life which comes sooner, and kept with the chance that the other had
        // not come by then.
        let mean = self.scale * libm::tgamma(1.0 + 1.0 / self.shape);
        loop {
            let (age, kept) = if replaced_per_year * mean > 1.0 {
                let age = stream.exponential() / replaced_per_year;
                (age, libm::exp(-self.cumulative(age)))
            } else {
                let age = self.age_before_failure(stream);
                (age, libm::exp(-replaced_per_year * age))
            };
            if stream.uniform() < kept {
                return age;
            }
        }
    }

    /// Its life was drawn by length, and any moment of it is as likely as another.
    fn age_before_failure(&self, stream: &mut Stream) -> f64 {
        let life = self.age(stream.gamma(1.0 + 1.0 / self.shape));
        life * stream.uniform()
    }

    #[expect(clippy::float_cmp, reason = "1.0 is given, not computed")]
    fn has_memory(&self) -> bool {
        self.shape != 1.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::numbers::stream::{Purpose, Streams};

    // LAB-2
    #[test]
    fn lab_2_devices_met_at_any_time_fail_as_often_as_in_the_long_run() {
        for shape in [0.7, 1.0, 1.2] {
            let hazard = Hazard::weibull(10.0, shape);
            let mut stream = Streams::new(2, 0).stream(0, Purpose::Loss);
            let mut fail = 0.0;
            let runs = 200_000;
            for _ in 0..runs {
                let age = hazard.stationary_age(&mut stream, 0.0);
                let at = hazard.age(hazard.cumulative(age) + stream.exponential());
                fail += if at < age + 1.0 { 1.0 } else { 0.0 };
            }
            // The first failure of a stationary renewal process comes at rate S(t) / mean.
            let steps: u32 = 1_000;
            let survivors = |at: f64| libm::exp(-hazard.cumulative(at));
            let middle = |step: u32| (f64::from(step) + 0.5) / f64::from(steps);
            let expected = (0..steps).map(|step| survivors(middle(step))).sum::<f64>()
                / f64::from(steps)
                / 10.0;
            let share: f64 = fail / f64::from(runs);
            assert!((share - expected).abs() < 0.0025, "{shape}: {share} is not {expected}");
        }
    }

    #[test]
    fn laws_have_the_mean_that_they_say() {
        let laws = [
            Law::Constant { value: 3.0 },
            Law::Exponential { mean: 3.0 },
            Law::Weibull { mean: 3.0, shape: 0.7 },
            Law::Lognormal { median: 2.0, sigma: 0.8 },
            Law::Uniform { low: 1.0, high: 4.0 },
        ];
        for law in laws {
            let mut stream = Streams::new(3, 0).stream(0, Purpose::Presence);
            let mean = (0..200_000).map(|_| law.sample(&mut stream)).sum::<f64>() / 200_000.0;
            assert!((mean / law.mean() - 1.0).abs() < 0.02, "{law:?}: {mean}");
        }
    }
}
