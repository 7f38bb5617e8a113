//! Erasure coding: a pack becomes `n` shards, any `k` of which give it back.
//!
//! ```text
//! pack, zeros after it to k * L:   | shard 0 | shard 1 | ... | shard k - 1 |    data shards
//!                                       \        |               /
//!                                  | shard k | shard k + 1 | ... | shard n - 1 | parity shards
//! ```
//! Pure functions over bytes: who keeps which shard is decided elsewhere, and whether bytes are those
//! of a shard is for its root to say. Wrong bytes in, wrong bytes out.
//!
//! Invariants: shard `i` depends on `k` and `i` alone, so `n` may grow for ever; byte `j` of a shard
//! depends on bytes `j` of the data shards alone, so any range of the pack comes from the same range
//! of `k` shards; with `k = 1` every shard is the pack. Source: specs/coding.md.

mod coded_pack;
mod field;
mod layout;
mod plan;
mod recipe;

use std::ops::Range;

use thiserror::Error;

pub use self::{
    coded_pack::{CodedPack, CodedPackError},
    layout::Layout,
    plan::{Fetched, Plan, Span},
    recipe::{Recipe, rebuild_shard},
};
use crate::limits::{CODING_DATA_SHARDS_MAX, CODING_SHARDS_MAX, SHARD_BYTES_MAX};

/// Why shards cannot be made or rebuilt: always a fault of whoever asks.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CodingError {
    /// `k` out of bounds.
    #[error("{met} data shards, from 1 to {CODING_DATA_SHARDS_MAX} are allowed")]
    DataShards {
        /// Data shards met.
        met: u8,
    },
    /// `n` out of bounds.
    #[error("{met} shards for {data} data shards, from {data} to {CODING_SHARDS_MAX} are allowed")]
    Shards {
        /// Shards met.
        met: usize,
        /// Data shards.
        data: u8,
    },
    /// A number that no shard has.
    #[error("a shard of number {met}, below {CODING_SHARDS_MAX} are allowed")]
    Number {
        /// Number met.
        met: u8,
    },
    /// A length that no pack has.
    #[error("a pack of {met} bytes, from 1 to {SHARD_BYTES_MAX} are allowed")]
    PackBytes {
        /// Bytes met.
        met: u64,
    },
    /// Bytes of another length than the pack that they are said to be.
    #[error("{met} bytes given for a pack of {expected}")]
    OtherPack {
        /// Bytes met.
        met: usize,
        /// Bytes of the pack.
        expected: u64,
    },
    /// One shard named twice among those that others are made from.
    #[error("shard {0} is named twice")]
    Twice(ShardNumber),
    /// Not exactly `k` shards, or a plan for fewer.
    #[error("{met} shards to rebuild from, exactly {needed} are needed")]
    Count {
        /// Shards met.
        met: usize,
        /// Shards needed.
        needed: u8,
    },
    /// Not as many results asked for as there is room for.
    #[error("room for {met} shards, {expected} are made")]
    Room {
        /// Places met.
        met: usize,
        /// Places needed.
        expected: usize,
    },
    /// Ranges of shards that are not of one length.
    #[error("{met} bytes of one shard beside {expected} of another")]
    Unequal {
        /// Bytes met.
        met: usize,
        /// Bytes of the first.
        expected: usize,
    },
    /// A range that is empty, backwards, or ends outside.
    #[error("the range {}..{} of {bytes} bytes", range.start, range.end)]
    Range {
        /// The range met.
        range: Range<u64>,
        /// Bytes that there are.
        bytes: u64,
    },
    /// What a plan names was not given.
    #[error("the range {}..{} of shard {shard} was not given", range.start, range.end)]
    NotGiven {
        /// The shard.
        shard: ShardNumber,
        /// The range of it.
        range: Range<u64>,
    },
}

/// Which of the shards of a pack, from 0. Below `k` they hold the pack itself, from `k` on parity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShardNumber(u8);

impl ShardNumber {
    /// The first shard.
    pub const ZERO: Self = Self(0);

    /// All numbers below `count`, in order.
    fn below(count: u8) -> impl Iterator<Item = Self> + Clone {
        (0..count).map(Self)
    }

    /// As a place in a list.
    pub(crate) fn place(self) -> usize {
        usize::from(self.0)
    }
}

impl TryFrom<u8> for ShardNumber {
    type Error = CodingError;

    fn try_from(met: u8) -> Result<Self, CodingError> {
        if met < CODING_SHARDS_MAX { Ok(Self(met)) } else { Err(CodingError::Number { met }) }
    }
}

impl From<ShardNumber> for u8 {
    fn from(number: ShardNumber) -> Self {
        number.0
    }
}

impl std::fmt::Display for ShardNumber {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// How many shards a pack becomes, and how many of them give it back: `1 <= k <= n`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Coding {
    data: u8,
    shards: u8,
}

impl Coding {
    /// A code of which any `data` (k) of `shards` (n) shards give the pack back.
    ///
    /// # Errors
    /// [`CodingError::DataShards`], [`CodingError::Shards`].
    pub fn new(data: u8, shards: u8) -> Result<Self, CodingError> {
        check_data_shards(data)?;
        if shards < data || shards > CODING_SHARDS_MAX {
            return Err(CodingError::Shards { met: usize::from(shards), data });
        }
        Ok(Self { data, shards })
    }

    /// `k`.
    pub const fn data_shards(self) -> u8 {
        self.data
    }

    /// `n`.
    pub const fn shards(self) -> u8 {
        self.shards
    }

    /// The numbers of all shards, in order.
    pub fn numbers(self) -> impl Iterator<Item = ShardNumber> + Clone {
        ShardNumber::below(self.shards)
    }

    /// Where the bytes of a pack of that length are in its shards.
    ///
    /// # Errors
    /// [`CodingError::PackBytes`].
    pub fn layout(self, pack_bytes: u64) -> Result<Layout, CodingError> {
        Layout::new(self.data, pack_bytes)
    }

    /// All shards of a pack, whole: `n` times [`Layout::shard_bytes`] of memory. For less of it, and
    /// for shards that are added later, see [`Layout::stripes`].
    ///
    /// # Errors
    /// [`CodingError::PackBytes`].
    pub fn encode(self, pack: &[u8]) -> Result<Vec<Vec<u8>>, CodingError> {
        let layout = Layout::of(self.data, pack)?;
        let numbers: Vec<ShardNumber> = self.numbers().collect();
        layout.stripes(pack, &numbers, 0..layout.shard_bytes())
    }
}

fn check_data_shards(met: u8) -> Result<(), CodingError> {
    let fits = (1..=CODING_DATA_SHARDS_MAX).contains(&met);
    if fits { Ok(()) } else { Err(CodingError::DataShards { met }) }
}

/// Checks that a range is neither empty nor backwards and ends within `bytes`.
fn check_range(range: &Range<u64>, bytes: u64) -> Result<(), CodingError> {
    let fits = range.start < range.end && range.end <= bytes;
    if fits { Ok(()) } else { Err(CodingError::Range { range: range.clone(), bytes }) }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod vectors;
