//! What to fetch for a range of a pack, and how it becomes that range.
//!
//! Decides nothing about holders: which shards can be had, and which are the better ones, is said by
//! whoever asks. Leave out a shard that is late, and the plan goes round it.

use std::{collections::BTreeMap, ops::Range};

use super::{CodingError, Layout, ShardNumber, rebuild_shard};
use crate::limits::GROUP_BYTES;

/// Bytes of a pack that one data shard holds, and where they come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    /// The bytes of the pack.
    pub pack: Range<u64>,
    /// The data shard that holds them as they are.
    pub shard: ShardNumber,
    /// Where in it, widened to whole groups: what a transfer can verify.
    pub within: Range<u64>,
    /// The shards of which this range is fetched: one that holds the bytes, or any `k` others.
    pub from: Vec<ShardNumber>,
}

/// All spans of a range, in order, without a gap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    layout: Layout,
    spans: Vec<Span>,
}

/// Verified bytes of a shard.
#[derive(Debug, Clone, Copy)]
pub struct Fetched<'a> {
    /// The shard.
    pub shard: ShardNumber,
    /// Where in it they start.
    pub start: u64,
    /// The bytes.
    pub bytes: &'a [u8],
}

impl Plan {
    /// The range was checked.
    pub(super) fn new(
        layout: &Layout,
        range: Range<u64>,
        available: &[ShardNumber],
    ) -> Result<Self, CodingError> {
        for (at, number) in available.iter().enumerate() {
            if available.iter().take(at).any(|other| other == number) {
                return Err(CodingError::Twice(*number));
            }
        }
        let mut spans: Vec<Span> = cut(layout, &range).collect();
        for span in &mut spans {
            let holds = |number: &&ShardNumber| layout.holds(**number, span.shard);
            span.from.extend(available.iter().find(holds));
        }
        // What is fetched anyway costs nothing when it helps to rebuild something else.
        let fetched: BTreeMap<ShardNumber, Range<u64>> = spans
            .iter()
            .filter_map(|span| Some((*span.from.first()?, span.within.clone())))
            .collect();
        let needed = layout.data_shards();
        for span in spans.iter_mut().filter(|span| span.from.is_empty()) {
            let mut others = available.to_vec();
            others.sort_by_key(|number| more_bytes(&span.within, fetched.get(number)));
            others.truncate(usize::from(needed));
            if others.len() < usize::from(needed) {
                return Err(CodingError::Count { met: available.len(), needed });
            }
            span.from = others;
        }
        Ok(Self { layout: *layout, spans })
    }

    /// The spans, in the order of their bytes.
    pub fn spans(&self) -> &[Span] {
        &self.spans
    }

    /// What is to be fetched of each shard: whole groups, ascending, nothing twice.
    pub fn fetches(&self) -> BTreeMap<ShardNumber, Vec<Range<u64>>> {
        let mut fetches: BTreeMap<ShardNumber, Vec<Range<u64>>> = BTreeMap::new();
        for span in &self.spans {
            for number in &span.from {
                fetches.entry(*number).or_default().push(span.within.clone());
            }
        }
        for ranges in fetches.values_mut() {
            ranges.sort_by_key(|range| range.start);
            let mut merged: Vec<Range<u64>> = Vec::new();
            for range in ranges.drain(..) {
                match merged.last_mut().filter(|last| range.start <= last.end) {
                    Some(last) => last.end = last.end.max(range.end),
                    None => merged.push(range),
                }
            }
            *ranges = merged;
        }
        fetches
    }

    /// The bytes of the pack that the plan was made for, from what [`Self::fetches`] names. What
    /// belongs to one range has to come in one; others do no harm.
    ///
    /// # Errors
    /// [`CodingError::NotGiven`].
    pub fn decode(&self, given: &[Fetched<'_>]) -> Result<Vec<u8>, CodingError> {
        let mut bytes = Vec::new();
        for span in &self.spans {
            let stripes = span.from.iter().map(|number| {
                let stripes = given.iter().filter(|stripe| stripe.shard == *number);
                let missing =
                    || CodingError::NotGiven { shard: *number, range: span.within.clone() };
                let found = stripes.filter_map(|stripe| stripe.cut(&span.within)).next();
                Ok((*number, found.ok_or_else(missing)?))
            });
            let stripes = stripes.collect::<Result<Vec<_>, CodingError>>()?;
            let first = u64::from(u8::from(span.shard)) * self.layout.shard_bytes();
            let wanted = (span.pack.start - first)..(span.pack.end - first);
            match &stripes[..] {
                [(number, stripe)] if self.layout.holds(*number, span.shard) => {
                    bytes.extend_from_slice(of_span(stripe, span, &wanted));
                }
                _ => {
                    let data = self.layout.data_shards();
                    let rebuilt = rebuild_shard(data, span.shard, &stripes)?;
                    bytes.extend_from_slice(of_span(&rebuilt, span, &wanted));
                }
            }
        }
        Ok(bytes)
    }
}

impl<'a> Fetched<'a> {
    /// A range of the shard, when all of it is here.
    fn cut(&self, range: &Range<u64>) -> Option<&'a [u8]> {
        let start = usize::try_from(range.start.checked_sub(self.start)?).ok()?;
        let end = usize::try_from(range.end.checked_sub(self.start)?).ok()?;
        self.bytes.get(start..end)
    }
}

/// The bytes `wanted` of a data shard, of which `stripe` is the range `span.within`.
fn of_span<'a>(stripe: &'a [u8], span: &Span, wanted: &Range<u64>) -> &'a [u8] {
    let whole = Fetched { shard: span.shard, start: span.within.start, bytes: stripe };
    whole.cut(wanted).expect("a span is within the groups that it was widened to")
}

/// How many bytes of a range are still to be fetched.
fn more_bytes(range: &Range<u64>, fetched: Option<&Range<u64>>) -> u64 {
    let common = fetched.map_or(0, |fetched| {
        fetched.end.min(range.end).saturating_sub(fetched.start.max(range.start))
    });
    (range.end - range.start).saturating_sub(common)
}

/// One span for each data shard that holds some of the range.
fn cut(layout: &Layout, range: &Range<u64>) -> impl Iterator<Item = Span> {
    let shard_bytes = layout.shard_bytes();
    ShardNumber::below(layout.data_shards()).filter_map(move |shard| {
        let held = layout.held(shard);
        let pack = held.start.max(range.start)..held.end.min(range.end);
        let (start, end) = (pack.start.checked_sub(held.start)?, pack.end.checked_sub(held.start)?);
        let within =
            start / GROUP_BYTES * GROUP_BYTES..end.next_multiple_of(GROUP_BYTES).min(shard_bytes);
        (pack.start < pack.end).then_some(Span { pack, shard, within, from: Vec::new() })
    })
}
