//! Closed forms from the literature, for the page of validation. None of them is used to simulate.

use super::float;

/// Logarithm of `n` over `k`.
fn log_choose(n: u64, k: u64) -> f64 {
    libm::lgamma(float(n) + 1.0) - libm::lgamma(float(k) + 1.0) - libm::lgamma(float(n - k) + 1.0)
}

/// Chance that exactly `number` of `n` fail, each with chance `p`.
pub fn binomial(n: u64, number: u64, p: f64) -> f64 {
    let log = log_choose(n, number) + float(number) * libm::log(p);
    libm::exp(log + float(n - number) * libm::log1p(-p))
}

/// Chance that at least `least` of `n` fail, each with chance `p`. All summands are positive.
pub fn binomial_tail(n: u64, least: u64, p: f64) -> f64 {
    // From the smallest summand: the least is lost.
    (least..=n).rev().map(|number| binomial(n, number, p)).sum()
}

/// Chance that a Poisson number with this mean is above `most`.
pub fn poisson_tail(mean: f64, most: u64) -> f64 {
    let chance = |number: u64| {
        libm::exp(float(number) * libm::log(mean) - mean - libm::lgamma(float(number) + 1.0))
    };
    (most + 1..most + 400).rev().map(chance).sum()
}

/// Chance that at least `least` of `drawn` are among the `bad` of `all`, drawn without putting back.
pub fn hypergeometric_tail(all: u64, bad: u64, drawn: u64, least: u64) -> f64 {
    let most = drawn.min(bad);
    let chance = |hit: u64| {
        libm::exp(
            log_choose(bad, hit) + log_choose(all - bad, drawn - hit) - log_choose(all, drawn),
        )
    };
    (least..=most).rev().map(chance).sum()
}

/// Lazy repair of `k` of `n`, from `m` left on (Giroire and others, as the Storj white paper gives
/// it): repair traffic as a multiple of the data in each mean lifetime `1 / leaves`.
pub fn lazy_repair_traffic([k, n, m]: [f64; 3], leaves: f64) -> f64 {
    leaves * (n - m + k) / (k * libm::log(n / m))
}

/// The same: losses in a unit of time, for repairs that come so often.
pub fn lazy_repair_losses([k, n, m]: [f64; 3], leaves: f64, repairs: f64) -> f64 {
    let log = libm::lgamma(m + 1.0) - libm::lgamma(k) + (m - k + 2.0) * libm::log(leaves / repairs);
    libm::exp(log) / ((m + 1.0) * libm::log(n / m))
}

/// Redundancy for which `blocks` of the coded blocks can be reached with the confidence of `z`
/// standard deviations, when hosts are there with chance `a` (Bhagwan and others; Blake and Rodrigues).
pub fn coding_redundancy(a: f64, blocks: f64, z: f64) -> f64 {
    let spread = z * (a * (1.0 - a) / blocks).sqrt();
    let root = (spread + (spread * spread + 4.0 * a).sqrt()) / (2.0 * a);
    root * root
}

/// Mean time to loss with repair at the end of every epoch, in epochs (Weatherspoon and
/// Kubiatowicz): `lost` is the chance that a replica does not live through one.
pub fn epochs_to_loss(n: u64, needed: u64, lost: f64) -> f64 {
    let block = binomial_tail(n, n - needed + 1, lost);
    (1.0 - block) / block
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tails_agree_with_sums_by_hand() {
        assert!((binomial_tail(3, 2, 0.1) - 0.028).abs() < 1e-15);
        assert!((poisson_tail(1.0, 0) - (-libm::expm1(-1.0))).abs() < 1e-14);
        // Both of two from 5 with 2 bad: 1 of 10.
        assert!((hypergeometric_tail(5, 2, 2, 2) - 0.1).abs() < 1e-13);
        assert!((libm::exp(log_choose(50, 3)) / 19_600.0 - 1.0).abs() < 1e-12);
    }
}
