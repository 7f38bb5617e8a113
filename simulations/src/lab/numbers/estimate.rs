//! What a number of runs proves: estimates with intervals of 95 %, and no more digits than that.

use super::float;

/// Two-sided 95 % of a normal.
const Z95: f64 = 1.959_963_984_540_054;
/// Above this relative error (of one standard deviation) no nines are told.
pub const NINES_ERROR_MAX: f64 = 0.2;

/// An estimate and its interval.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct Estimate {
    /// The best guess.
    pub value: f64,
    /// Lower end of the interval.
    pub low: f64,
    /// Upper end of the interval.
    pub high: f64,
    /// Standard deviation of the guess as a share of it; none when nothing was seen.
    pub relative_error: Option<f64>,
}

impl Estimate {
    /// A chance, from how often something happened in independent trials. Clopper and Pearson:
    /// exact, so also right for none of many.
    pub fn chance(happened: u64, trials: u64) -> Self {
        let (x, n) = (float(happened), float(trials.max(1)));
        let value = x / n;
        let low = if happened == 0 { 0.0 } else { beta_quantile(0.025, x, n - x + 1.0) };
        let high = if happened >= trials { 1.0 } else { beta_quantile(0.975, x + 1.0, n - x) };
        let error = ((1.0 - value) / x.max(1.0)).sqrt();
        Self { value, low, high, relative_error: (happened > 0).then_some(error) }
    }

    /// A mean over independent runs, from the sums of the values and of their squares. A bound
    /// without any sighting is not known then: the interval is the point.
    pub fn mean(sum: f64, squares: f64, runs: u64) -> Self {
        let n = float(runs.max(2));
        let value = sum / n;
        let variance = ((squares - sum * value) / (n - 1.0)).max(0.0);
        let error = (variance / n).sqrt();
        let half = Z95 * error;
        let relative_error = (value > 0.0).then(|| error / value);
        Self { value, low: (value - half).max(0.0), high: value + half, relative_error }
    }

    /// A share of all that was looked at, where what one run adds to both sums hangs together: by the
    /// sums over runs of the squares of all, of those that count, and of their products.
    pub fn share(counted: f64, all: f64, runs: f64, [squares, own, both]: [f64; 3]) -> Self {
        if counted <= 0.0 || runs < 2.0 {
            return Self::chance(0, super::whole(runs));
        }
        let value = counted / all;
        let spread = (own - 2.0 * value * both + value * value * squares).max(0.0);
        let error = (spread * runs / (runs - 1.0)).sqrt() / all;
        let (low, high) = ((value - Z95 * error).max(0.0), (value + Z95 * error).min(1.0));
        Self { value, low, high, relative_error: Some(error / value) }
    }

    /// The chance within one of so many years that are alike, from the chance within all of them: what
    /// is left of a year's chance of living through it, multiplied year by year, is that of living
    /// through all.
    #[must_use]
    pub fn in_one_of(self, years: f64) -> Self {
        let one = |chance: f64| -libm::expm1(libm::log1p(-chance.clamp(0.0, 1.0)) / years);
        let value = one(self.value);
        // To first order: by how much the chance in a year moves with that in all.
        let slope = (1.0 - value) / (years * (1.0 - self.value)) * self.value / value;
        let relative_error = self.relative_error.map(|error| error * slope);
        let relative_error = relative_error.map(|it| if it.is_finite() { it } else { 0.0 });
        Self { value, low: one(self.low), high: one(self.high), relative_error }
    }

    /// The same of something that is a share of this, or so many times it.
    #[must_use]
    pub fn scaled(self, factor: f64) -> Self {
        let (value, low, high) = (self.value * factor, self.low * factor, self.high * factor);
        Self { value, low, high, ..self }
    }

    /// Nines of the opposite, where the estimate is good enough to speak of nines.
    pub fn nines(&self) -> Option<f64> {
        let is_known = self.relative_error.is_some_and(|error| error <= NINES_ERROR_MAX);
        (is_known && self.value < 1.0).then(|| -libm::log10(self.value))
    }
}

/// The point below which a share `p` of a beta law lies.
fn beta_quantile(p: f64, a: f64, b: f64) -> f64 {
    let (mut low, mut high) = (0.0, 1.0);
    // The chances asked for may be 10^-9 and less: halving goes on until it is relative.
    for _ in 0..200 {
        let middle = 0.5 * (low + high);
        if beta_share(middle, a, b) < p {
            low = middle;
        } else {
            high = middle;
        }
        if high - low <= 1e-12 * high {
            break;
        }
    }
    0.5 * (low + high)
}

/// The share of a beta law below `x`: regularised incomplete beta by its continued fraction.
/// Source: DLMF 8.17.22, evaluated by Lentz's method.
fn beta_share(x: f64, a: f64, b: f64) -> f64 {
    if x <= 0.0 || x >= 1.0 {
        return if x <= 0.0 { 0.0 } else { 1.0 };
    }
    if x > (a + 1.0) / (a + b + 2.0) {
        return 1.0 - beta_share(1.0 - x, b, a);
    }
    let log_front = libm::lgamma(a + b) - libm::lgamma(a) - libm::lgamma(b)
        + a * libm::log(x)
        + b * libm::log1p(-x);
    let tiny = 1e-300;
    let kept = |value: f64| if value.abs() < tiny { tiny } else { value };
    let mut d = 1.0 / kept(1.0 - (a + b) * x / (a + 1.0));
    let (mut c, mut fraction) = (1.0, d);
    for step in 1..500_u32 {
        let m = f64::from(step);
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        for term in [even, odd] {
            d = 1.0 / kept(1.0 + term * d);
            c = kept(1.0 + term / c);
            fraction *= c * d;
        }
        if (c * d - 1.0).abs() < 1e-15 {
            break;
        }
    }
    libm::exp(log_front) * fraction / a
}

#[cfg(test)]
mod tests {
    use super::*;

    // LAB-4
    #[test]
    fn lab_4_intervals_are_exact_and_none_of_many_proves_little() {
        // Rule of three, as an exact bound: 1 - 0.025^(1/n).
        let none = Estimate::chance(0, 83_333);
        let bound = -libm::expm1(libm::log(0.025) / 83_333.0);
        assert!((none.high / bound - 1.0).abs() < 1e-9, "{none:?}");
        assert_eq!((none.value, none.low, none.nines()), (0.0, 0.0, None));
        // A published table of Clopper and Pearson: 10 of 100.
        let some = Estimate::chance(10, 100);
        assert!((some.low - 0.049_005).abs() < 1e-5 && (some.high - 0.176_223).abs() < 1e-5);
        let all = Estimate::chance(5, 5);
        assert!((all.high - 1.0).abs() < 1e-12 && (all.low - 0.478_176).abs() < 1e-5, "{all:?}");
    }

    #[test]
    fn no_nines_are_told_above_a_fifth_of_error() {
        assert_eq!(Estimate::chance(20, 1_000_000).nines(), None);
        assert!(Estimate::chance(30, 1_000_000).nines().is_some_and(|nines| nines > 4.5));
        let mean = Estimate::mean(3.0, 3.0, 1_000);
        assert_eq!(mean.nines(), None);
        assert!(mean.low < 0.003 && mean.high > 0.003);
    }

    // LAB-4
    #[test]
    fn lab_4_looks_at_one_circle_are_not_taken_for_many() {
        // 400 circles, each looked at ten times and always the same: 100 of them are never there.
        let sums = [400.0 * 100.0, 100.0 * 100.0, 100.0 * 100.0];
        let share = Estimate::share(1_000.0, 4_000.0, 400.0, sums);
        let circles = (0.25_f64 * 0.75 / 399.0).sqrt();
        assert!((share.relative_error.unwrap() * 0.25 / circles - 1.0).abs() < 1e-9, "{share:?}");
        assert_eq!(Estimate::share(0.0, 4_000.0, 400.0, [0.0; 3]), Estimate::chance(0, 400));
    }

    // LAB-4
    #[test]
    fn lab_4_a_chance_over_years_is_not_divided_by_them() {
        let all = Estimate::chance(8_784, 10_000);
        let one = all.in_one_of(10.0);
        // 0.1216 are left after ten years in which 0.81 of each year's are left: not 0.08784 are lost.
        assert!((one.value - 0.19).abs() < 5e-4, "{one:?}");
        assert!(one.low < one.value && one.value < one.high);
        let rare = Estimate::chance(30, 1_000_000);
        let tenth = rare.in_one_of(10.0);
        assert!((tenth.value / 3e-6 - 1.0).abs() < 1e-4);
        let errors = [rare.relative_error.unwrap(), tenth.relative_error.unwrap()];
        assert!((errors[0] / errors[1] - 1.0).abs() < 1e-4);
        let same = rare.in_one_of(1.0);
        assert!((same.value / rare.value - 1.0).abs() < 1e-9);
    }

    #[test]
    fn intervals_hold_the_truth_nineteen_times_of_twenty() {
        use crate::lab::numbers::stream::{Purpose, Streams};
        let mut stream = Streams::new(4, 0).stream(0, Purpose::Loss);
        let mut holds = 0;
        for _ in 0..2_000 {
            let happened = (0..200).filter(|_| stream.uniform() < 0.02).count();
            let estimate = Estimate::chance(u64::try_from(happened).unwrap(), 200);
            holds += i32::from(estimate.low <= 0.02 && 0.02 <= estimate.high);
        }
        assert!((1_880..=2_000).contains(&holds), "{holds} of 2000");
    }
}
