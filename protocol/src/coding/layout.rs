//! Where the bytes of a pack are in its shards. Depends on `k` and the length of the pack alone.

use std::{borrow::Cow, ops::Range};

use super::{CodingError, Plan, Recipe, ShardNumber, check_data_shards, check_range};
use crate::limits::{GROUP_BYTES, SHARD_BYTES_MAX};

/// How a pack is cut into data shards.
///
/// ```text
/// pack bytes:   0 ... L | L ... 2L | ... | (k - 1) L ... P, then zeros up to kL
/// data shard:      0    |    1     | ... |     k - 1
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    data: u8,
    pack_bytes: u64,
}

impl Layout {
    /// That of a pack of `pack_bytes` in `data` (k) data shards.
    ///
    /// # Errors
    /// [`CodingError::DataShards`], [`CodingError::PackBytes`].
    pub fn new(data: u8, pack_bytes: u64) -> Result<Self, CodingError> {
        check_data_shards(data)?;
        if !(1..=SHARD_BYTES_MAX).contains(&pack_bytes) {
            return Err(CodingError::PackBytes { met: pack_bytes });
        }
        Ok(Self { data, pack_bytes })
    }

    /// That of this pack.
    pub(super) fn of(data: u8, pack: &[u8]) -> Result<Self, CodingError> {
        Self::new(data, u64::try_from(pack.len()).unwrap_or(u64::MAX))
    }

    /// `k`.
    pub const fn data_shards(&self) -> u8 {
        self.data
    }

    /// Length of the pack.
    pub const fn pack_bytes(&self) -> u64 {
        self.pack_bytes
    }

    /// `L`, the length of every shard: a `k`th of the pack, rounded up to whole groups, but never
    /// longer than the pack.
    pub fn shard_bytes(&self) -> u64 {
        let groups = self.pack_bytes.div_ceil(u64::from(self.data) * GROUP_BYTES);
        (groups * GROUP_BYTES).min(self.pack_bytes)
    }

    /// Which bytes of the pack stand in a shard as they are: none in a parity shard, nor in a data
    /// shard that is padding from its first byte.
    pub fn held(&self, number: ShardNumber) -> Range<u64> {
        if u8::from(number) >= self.data {
            return 0..0;
        }
        let start = u64::from(u8::from(number)) * self.shard_bytes();
        let end = (start + self.shard_bytes()).min(self.pack_bytes);
        if start < end { start..end } else { 0..0 }
    }

    /// The bytes `within` of the shards `numbers`, from the pack: stripe by stripe, so that memory is
    /// bounded by what is asked for at once. Shards that are added later come the same way.
    ///
    /// # Errors
    /// [`CodingError::OtherPack`], [`CodingError::Range`].
    pub fn stripes(
        &self,
        pack: &[u8],
        numbers: &[ShardNumber],
        within: Range<u64>,
    ) -> Result<Vec<Vec<u8>>, CodingError> {
        if u64::try_from(pack.len()) != Ok(self.pack_bytes) {
            return Err(CodingError::OtherPack { met: pack.len(), expected: self.pack_bytes });
        }
        check_range(&within, self.shard_bytes())?;
        let all: Vec<ShardNumber> = ShardNumber::below(self.data).collect();
        let sources: Vec<Cow<'_, [u8]>> =
            all.iter().map(|number| self.cut(pack, *number, &within)).collect();
        let sources: Vec<&[u8]> = sources.iter().map(AsRef::as_ref).collect();
        Recipe::new(self.data, &all, numbers)?.combine(&sources)
    }

    /// What is to be fetched for the bytes `range` of the pack, from shards that can be had, named in
    /// order of preference. What must be rebuilt comes from those of which the fewest bytes are fetched
    /// for it, and among equals from the preferred ones.
    ///
    /// # Errors
    /// [`CodingError::Range`], [`CodingError::Twice`]; [`CodingError::Count`] when they are too few.
    pub fn plan(&self, range: Range<u64>, available: &[ShardNumber]) -> Result<Plan, CodingError> {
        check_range(&range, self.pack_bytes)?;
        Plan::new(self, range, available)
    }

    /// Whether shard `number` holds, as they are, the bytes that data shard `of` holds.
    pub(super) fn holds(&self, number: ShardNumber, of: ShardNumber) -> bool {
        number == of || self.data == 1
    }

    /// A range of a data shard, with zeros where the pack has ended.
    fn cut<'a>(&self, pack: &'a [u8], number: ShardNumber, within: &Range<u64>) -> Cow<'a, [u8]> {
        let size = |bytes: u64| usize::try_from(bytes).expect("a pack is shorter than an address");
        let start = size(u64::from(u8::from(number)) * self.shard_bytes() + within.start);
        let bytes = size(within.end - within.start);
        let there = pack.get(start..).unwrap_or_default();
        match there.get(..bytes) {
            Some(whole) => Cow::Borrowed(whole),
            None => {
                let mut padded = there.to_vec();
                padded.resize(bytes, 0);
                Cow::Owned(padded)
            }
        }
    }
}
