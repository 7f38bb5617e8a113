//! Numerics of the lab: exact where it can be, with a stated error where not, and the same bits on
//! every machine.
//!
//! Logarithms and the like come from `libm`, never from the system. Sums are taken in a fixed order.

pub mod chain;
pub mod estimate;
pub mod formula;
pub mod law;
pub mod stream;

/// An integer as a float; exact below 2^53.
pub fn float(number: u64) -> f64 {
    let [a, b, c, d, e, f, g, h] = number.to_be_bytes();
    let high = u32::from_be_bytes([a, b, c, d]);
    let low = u32::from_be_bytes([e, f, g, h]);
    f64::from(high) * 4_294_967_296.0 + f64::from(low)
}

/// The same of one of twice the length.
pub fn float_wide(number: u128) -> f64 {
    let half = |bits: u128| float(u64::try_from(bits & u128::from(u64::MAX)).unwrap_or(0));
    half(number >> 64) * 18_446_744_073_709_551_616.0 + half(number)
}

/// A count of things in memory as a float.
pub fn count(number: usize) -> f64 {
    float(u64::try_from(number).unwrap_or(u64::MAX))
}

/// The nearest integer; below zero and no number give zero, above the range the largest.
#[expect(clippy::as_conversions, reason = "a cast of floats saturates, which is what is said here")]
#[expect(clippy::cast_possible_truncation, reason = "rounded first, and saturating")]
#[expect(clippy::cast_sign_loss, reason = "below zero gives zero")]
pub const fn whole(number: f64) -> u64 {
    number.round() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_become_floats_and_come_back() {
        for number in [0, 1, 4_294_967_295, 4_294_967_296, 1 << 52, (1 << 53) - 1] {
            assert_eq!(whole(float(number)), number);
        }
        assert!((float_wide(3 << 64) / 3.0 - float_wide(1 << 64)).abs() < 1.0);
        assert_eq!([whole(-3.0), whole(f64::NAN), whole(2.5), whole(1e300)], [0, 0, 3, u64::MAX]);
    }
}
