//! How shards are made from others: one sum of products for each, the same at every position.
//!
//! Encoding, decoding and rebuilding are all this one step. It needs memory for its results and
//! nothing else, so that whoever has long shards hands them in stripe by stripe.

use super::{CodingError, ShardNumber, check_data_shards, field};

/// Bytes that are worked on together: they stay in the registers of the machine, as the compiler
/// finds by itself for whatever machine it is. Half and twice as many are slower. Source: decision 0002.
const BLOCK_BYTES: usize = 128;

type Block = [u8; BLOCK_BYTES];

/// The factors by which `k` shards make others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipe {
    sources: usize,
    /// One row for each result, one factor in it for each source.
    rows: Vec<Vec<u8>>,
}

impl Recipe {
    /// How the shards `results` follow from the shards `sources`: exactly `data` (k) different ones,
    /// in any order. A result may be a source, and may be a shard that nobody has made yet.
    ///
    /// # Errors
    /// [`CodingError::DataShards`], [`CodingError::Count`], [`CodingError::Twice`].
    pub fn new(
        data: u8,
        sources: &[ShardNumber],
        results: &[ShardNumber],
    ) -> Result<Self, CodingError> {
        check_data_shards(data)?;
        if sources.len() != usize::from(data) {
            return Err(CodingError::Count { met: sources.len(), needed: data });
        }
        for (at, number) in sources.iter().enumerate() {
            if sources.iter().take(at).any(|other| other == number) {
                return Err(CodingError::Twice(*number));
            }
        }
        let matrix = sources.iter().map(|number| field::row(data, *number)).collect();
        let inverse = field::invert_matrix(matrix)
            .expect("different rows of a unit matrix over a Cauchy matrix are independent");
        let product = |number: &ShardNumber| {
            let mut sum = vec![0; sources.len()];
            for (factor, row) in field::row(data, *number).iter().zip(&inverse) {
                for (element, other) in sum.iter_mut().zip(row) {
                    *element ^= field::multiply(*factor, *other);
                }
            }
            sum
        };
        Ok(Self { sources: sources.len(), rows: results.iter().map(product).collect() })
    }

    /// The same range of all results, from that range of all sources, both in the order in which
    /// they were named.
    ///
    /// # Errors
    /// [`CodingError::Count`], [`CodingError::Unequal`].
    pub fn combine(&self, sources: &[&[u8]]) -> Result<Vec<Vec<u8>>, CodingError> {
        let bytes = sources.first().map_or(0, |source| source.len());
        let mut results = vec![vec![0; bytes]; self.rows.len()];
        let mut room: Vec<&mut [u8]> = results.iter_mut().map(Vec::as_mut_slice).collect();
        self.combine_into(sources, &mut room)?;
        Ok(results)
    }

    /// As [`Self::combine`], into memory that is there already. What it held does not matter.
    ///
    /// # Errors
    /// [`CodingError::Count`], [`CodingError::Unequal`], [`CodingError::Room`]; nothing was written.
    pub fn combine_into(
        &self,
        sources: &[&[u8]],
        results: &mut [&mut [u8]],
    ) -> Result<(), CodingError> {
        self.check(sources, results)?;
        let mut sums: Vec<(&[u8], &mut [u8])> = Vec::new();
        for (row, result) in self.rows.iter().zip(results) {
            match repeated(row) {
                Some(place) => result.copy_from_slice(sources[place]),
                None => sums.push((row, result)),
            }
        }
        if !sums.is_empty() {
            add_up(sources, &mut sums);
        }
        Ok(())
    }

    fn check(&self, sources: &[&[u8]], results: &[&mut [u8]]) -> Result<(), CodingError> {
        if sources.len() != self.sources {
            let needed = u8::try_from(self.sources).unwrap_or(u8::MAX);
            return Err(CodingError::Count { met: sources.len(), needed });
        }
        if results.len() != self.rows.len() {
            return Err(CodingError::Room { met: results.len(), expected: self.rows.len() });
        }
        let expected = sources.first().map_or(0, |source| source.len());
        let lengths = sources.iter().map(|source| source.len());
        match lengths.chain(results.iter().map(|room| room.len())).find(|met| *met != expected) {
            Some(met) => Err(CodingError::Unequal { met, expected }),
            None => Ok(()),
        }
    }
}

/// Which source a row only repeats, if it does.
fn repeated(row: &[u8]) -> Option<usize> {
    let mut used = row.iter().enumerate().filter(|(_, factor)| **factor != 0);
    let (place, factor) = used.next()?;
    (*factor == 1 && used.next().is_none()).then_some(place)
}

/// All sums of products, block by block. All are of one length.
fn add_up(sources: &[&[u8]], sums: &mut [(&[u8], &mut [u8])]) {
    let bytes = sources.first().map_or(0, |source| source.len());
    let mut blocks: Vec<Block> = vec![[0; BLOCK_BYTES]; sources.len()];
    for start in (0..bytes).step_by(BLOCK_BYTES) {
        let range = start..bytes.min(start + BLOCK_BYTES);
        for (block, source) in blocks.iter_mut().zip(sources) {
            // Behind the short end of a source stand bytes of before: worked on, and not taken.
            block[..range.len()].copy_from_slice(&source[range.clone()]);
        }
        for (row, result) in &mut *sums {
            let sum = sum_of_products(row, &blocks);
            result[range.clone()].copy_from_slice(&sum[..range.len()]);
        }
    }
}

/// The sum of each block times its factor, by Horner's rule in x: seven doublings however many blocks
/// there are, and for each one bit of a factor one sum of blocks.
///
/// Never part of its caller: there the compiler keeps the sum in memory, and is slower by 40 %.
#[inline(never)]
fn sum_of_products(factors: &[u8], blocks: &[Block]) -> Block {
    let mut sum = [0; BLOCK_BYTES];
    for bit in (0..8).rev() {
        sum.iter_mut().for_each(|byte| *byte = field::double(*byte));
        for (factor, block) in factors.iter().zip(blocks) {
            if (factor >> bit) & 1 != 0 {
                sum.iter_mut().zip(block).for_each(|(byte, other)| *byte ^= other);
            }
        }
    }
    sum
}

/// A shard, or a range of it, from the same range of `k` others: what a holder does for a shard that
/// is lost, without any key.
///
/// # Errors
/// As [`Recipe::new`] and [`Recipe::combine`].
pub fn rebuild_shard(
    data: u8,
    lost: ShardNumber,
    others: &[(ShardNumber, &[u8])],
) -> Result<Vec<u8>, CodingError> {
    let (numbers, bytes): (Vec<ShardNumber>, Vec<&[u8]>) = others.iter().copied().unzip();
    let mut results = Recipe::new(data, &numbers, &[lost])?.combine(&bytes)?;
    Ok(results.pop().expect("one result was asked for"))
}
