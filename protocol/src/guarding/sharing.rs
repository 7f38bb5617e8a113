//! A secret split so that any few of its shares give it back, and fewer say nothing.
//!
//! Shamir's scheme (Communications of the ACM 22, 1979) over GF(2^8) with the polynomial of AES,
//! each of the 32 bytes by itself. Arithmetic has no tables and no branches on secrets.
//! Source: specs/guarding.md.

use std::fmt;

use minicbor::{Decode, Encode};
use rand_core::CryptoRng;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::limits::GUARDIANS_MAX;

/// x^8 + x^4 + x^3 + x + 1 without its highest term.
const POLYNOMIAL: u8 = 0x1b;

/// One share: the polynomials of all bytes at one place.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop, Encode, Decode)]
#[cbor(map)]
pub struct Share {
    /// The place: 1 to [`GUARDIANS_MAX`], never 0, where the secret itself stands.
    #[n(0)]
    pub place: u8,
    /// What stands there.
    #[cbor(n(1), with = "minicbor::bytes")]
    pub bytes: [u8; 32],
}

impl fmt::Debug for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Share({}, secret)", self.place)
    }
}

/// Splits a secret into `count` shares, any `threshold` of which give it back. `None` unless
/// 1 <= `threshold` <= `count` <= [`GUARDIANS_MAX`].
pub fn split(
    secret: &[u8; 32],
    (threshold, count): (u8, u8),
    rng: &mut impl CryptoRng,
) -> Option<Vec<Share>> {
    if threshold == 0 || threshold > count || usize::from(count) > GUARDIANS_MAX {
        return None;
    }
    // Each coefficient is any byte, the highest one too: one that is never zero would say
    // something about the secret to those who have one share too few.
    let mut higher = Zeroizing::new(vec![[0; 32]; usize::from(threshold) - 1]);
    higher.iter_mut().for_each(|coefficients| rng.fill_bytes(coefficients));
    let at = |place: u8| {
        let mut bytes = [0; 32];
        for coefficients in higher.iter().rev().chain([secret]) {
            for (byte, coefficient) in bytes.iter_mut().zip(coefficients) {
                *byte = multiply(*byte, place) ^ coefficient;
            }
        }
        Share { place, bytes }
    };
    Some((1..=count).map(at).collect())
}

/// The secret of which these are shares: of the first `threshold` ones. `None` when they are fewer, or
/// when two of these stand at one place or one at no place that a share has.
pub fn join(threshold: u8, shares: &[Share]) -> Option<Zeroizing<[u8; 32]>> {
    let shares = shares.get(..usize::from(threshold)).filter(|shares| !shares.is_empty())?;
    let mut secret = Zeroizing::new([0; 32]);
    for (index, share) in shares.iter().enumerate() {
        let (mut above, mut below) = (1, 1);
        for (other_index, other) in shares.iter().enumerate() {
            if other.place == 0 || (other_index != index && other.place == share.place) {
                return None;
            }
            if other_index != index {
                above = multiply(above, other.place);
                below = multiply(below, other.place ^ share.place);
            }
        }
        let weight = multiply(above, inverse(below));
        for (byte, of_share) in secret.iter_mut().zip(&share.bytes) {
            *byte ^= multiply(weight, *of_share);
        }
    }
    Some(secret)
}

/// The product of two elements, in the same time whatever they are.
const fn multiply(a: u8, b: u8) -> u8 {
    let (mut product, mut shifted, mut bit) = (0, a, 0);
    while bit < 8 {
        // All ones where the bit is set, so that nothing depends on a secret but values.
        product ^= shifted & (0_u8.wrapping_sub((b >> bit) & 1));
        shifted = (shifted << 1) ^ (POLYNOMIAL & (0_u8.wrapping_sub(shifted >> 7)));
        bit += 1;
    }
    product
}

/// The inverse of an element that is not zero: its 254th power.
const fn inverse(a: u8) -> u8 {
    let (mut result, mut power, mut bit) = (1, a, 0);
    // 254 = 0b1111_1110.
    while bit < 7 {
        power = multiply(power, power);
        result = multiply(result, power);
        bit += 1;
    }
    result
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};

    use super::*;

    // The products of FIPS 197, section 4.2, and of its tables.
    #[test]
    fn the_field_is_that_of_aes() {
        assert_eq!(multiply(0x57, 0x83), 0xc1);
        assert_eq!(multiply(0x57, 0x13), 0xfe);
        for one in 1..=255 {
            assert_eq!(multiply(one, inverse(one)), 1);
            assert_eq!(multiply(one, 1), one);
            assert_eq!(multiply(one, 0), 0);
        }
    }

    // GUARD-2: with the highest coefficient never zero, a guess is excluded for each byte.
    #[test]
    fn one_share_too_few_excludes_no_secret() {
        // A second share of the secret 0x2a is, over all random bytes, each byte equally often.
        let mut seen = [0_u32; 256];
        let mut rng = ChaCha8Rng::from_seed([1; 32]);
        for _ in 0..4096 {
            let shares = split(&[0x2a; 32], (2, 2), &mut rng).unwrap();
            shares[0].bytes.iter().for_each(|byte| seen[usize::from(*byte)] += 1);
        }
        // 131,072 bytes: 512 of each, give or take six deviations.
        assert!(seen.iter().all(|count| (376..=648).contains(count)), "{seen:?}");
        // And whatever the secret, there is a second share that makes this first one a share of it.
        let first = Share { place: 1, bytes: [7; 32] };
        let secrets: std::collections::BTreeSet<u8> = (0..=255)
            .map(|second| {
                let second = Share { place: 2, bytes: [second; 32] };
                join(2, &[first.clone(), second]).unwrap()[0]
            })
            .collect();
        assert_eq!(secrets.len(), 256);
    }

    // GUARD-3
    #[test]
    fn what_cannot_be_a_set_of_shares_gives_nothing() {
        let mut rng = ChaCha8Rng::from_seed([2; 32]);
        for wrong in [(0, 3), (4, 3), (2, 17)] {
            assert!(split(&[1; 32], wrong, &mut rng).is_none());
        }
        let shares = split(&[1; 32], (2, 3), &mut rng).unwrap();
        assert!(join(2, &shares[..1]).is_none(), "too few");
        assert!(join(0, &shares).is_none(), "a threshold that is none");
        assert!(join(2, &[shares[0].clone(), shares[0].clone()]).is_none(), "one twice");
        let zero = Share { place: 0, bytes: [0; 32] };
        assert!(join(2, &[shares[0].clone(), zero.clone()]).is_none(), "the place of the secret");
        assert!(join(2, &[zero, shares[0].clone()]).is_none());
    }

    proptest! {
        // GUARD-1
        #[test]
        fn any_few_shares_give_the_secret_back(
            secret in any::<[u8; 32]>(),
            seed in any::<[u8; 32]>(),
            (threshold, count) in (1..=16_u8).prop_flat_map(|count| (1..=count, Just(count))),
            order in any::<u64>(),
        ) {
            let mut rng = ChaCha8Rng::from_seed(seed);
            let mut shares = split(&secret, (threshold, count), &mut rng).unwrap();
            // Some order of them.
            shares.sort_by_key(|share| blake3::hash(&[&order.to_le_bytes()[..], &[share.place]].concat()).to_hex());
            prop_assert_eq!(*join(threshold, &shares).unwrap(), secret);
            shares.truncate(usize::from(threshold) - 1);
            prop_assert!(join(threshold, &shares).is_none());
            if threshold > 1 {
                // Nobody who pretends that fewer are enough gets it, but by chance of one in 2^256.
                prop_assert_ne!(join(threshold - 1, &shares).map(|it| *it), Some(secret));
            }
        }
    }
}
