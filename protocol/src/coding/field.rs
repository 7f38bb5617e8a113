//! The field of 256 elements, and the matrix of the code.
//!
//! Elements are polynomials over GF(2), bit 7 for x^7, modulo x^8 + x^4 + x^3 + x^2 + 1. Nothing here
//! is fast: what runs over bytes of packs is in `recipe`. Source: specs/coding.md.

use super::ShardNumber;

/// What x^8 is: x^4 + x^3 + x^2 + 1.
const REDUCTION: u8 = 0x1d;

/// `a` times x.
#[inline]
pub(super) const fn double(a: u8) -> u8 {
    (a << 1) ^ if a & 0x80 == 0 { 0 } else { REDUCTION }
}

/// `a` times `b`.
pub(super) const fn multiply(mut a: u8, mut b: u8) -> u8 {
    let mut product = 0;
    while b != 0 {
        if b & 1 != 0 {
            product ^= a;
        }
        a = double(a);
        b >>= 1;
    }
    product
}

/// The inverse of `a`: its 254th power. That of zero is zero.
pub(super) const fn invert(a: u8) -> u8 {
    let (mut power, mut squarings) = (a, 1);
    while squarings < 7 {
        power = multiply(multiply(power, power), a);
        squarings += 1;
    }
    multiply(power, power)
}

/// What each of the `data` data shards is multiplied by in the sum that is shard `number`.
///
/// Below them stands a Cauchy matrix, `1 / (i + j)`, with row `i` multiplied by `i`: so the first
/// column is all ones, and one data shard is only repeated.
pub(super) fn row(data: u8, number: ShardNumber) -> Vec<u8> {
    let ShardNumber(i) = number;
    let factor = |j: u8| if i < data { u8::from(i == j) } else { multiply(i, invert(i ^ j)) };
    (0..data).map(factor).collect()
}

/// The inverse of a square matrix, by elimination; `None` when it has none.
pub(super) fn invert_matrix(mut matrix: Vec<Vec<u8>>) -> Option<Vec<Vec<u8>>> {
    let size = matrix.len();
    for (at, row) in matrix.iter_mut().enumerate() {
        row.extend((0..size).map(|column| u8::from(column == at)));
    }
    for column in 0..size {
        let pivot = (column..size).find(|at| matrix[*at][column] != 0)?;
        matrix.swap(column, pivot);
        let mut pivot = std::mem::take(&mut matrix[column]);
        let factor = invert(pivot[column]);
        pivot.iter_mut().for_each(|element| *element = multiply(*element, factor));
        for row in matrix.iter_mut().filter(|row| !row.is_empty()) {
            let factor = row[column];
            for (element, other) in row.iter_mut().zip(&pivot) {
                *element ^= multiply(*other, factor);
            }
        }
        matrix[column] = pivot;
    }
    Some(matrix.into_iter().map(|mut row| row.split_off(size)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    // CODE-1
    #[test]
    fn the_field_is_one() {
        for a in 1..=u8::MAX {
            assert_eq!(multiply(a, invert(a)), 1);
            assert_eq!(multiply(a, 1), a);
            assert_eq!(multiply(a, 0), 0);
        }
        // x is primitive: its powers are all elements but zero.
        let powers = (0..255).scan(1, |power, _| {
            *power = double(*power);
            Some(*power)
        });
        let distinct: std::collections::BTreeSet<u8> = powers.collect();
        assert_eq!(distinct.len(), 255);
        assert_eq!(invert(0), 0);
        assert_eq!(multiply(0x80, 2), 0x1d);
        assert_eq!(multiply(0x53, 0xca), multiply(0xca, 0x53));
    }

    #[test]
    fn a_matrix_without_an_inverse_has_none() {
        assert_eq!(invert_matrix(vec![vec![3, 5], vec![3, 5]]), None);
        let swapped = vec![vec![0, 1], vec![1, 0]];
        assert_eq!(invert_matrix(swapped.clone()), Some(swapped));
    }
}
