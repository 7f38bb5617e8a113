//! Index segments: pack records, gathered into chunks of kind Index.
//!
//! Source: specs/index.md.

use std::{collections::BTreeSet, iter};

use minicbor::{Decode, Encode};
use thiserror::Error;

use crate::{
    cbor::{self, DecodeError},
    index::{ChunkRecord, Location, PackClass, PackRecord},
    limits::{CHUNK_BYTES_MAX, PACK_CHUNKS_MAX},
    pack::{SEALED_CHUNK_BYTES_MAX, TAG_BYTES, header::HEADER_BYTES, is_pack_length},
};

/// Most bytes of a pack record beside its chunks, with room to spare.
const RECORD_OVERHEAD_BYTES: usize = 128;
/// Most bytes of a segment beside its records.
const SEGMENT_OVERHEAD_BYTES: usize = 16;
const CHUNK_RECORD_BYTES_MAX: usize = 46;

// One record always fits into one segment.
const _: () = assert!(
    PACK_CHUNKS_MAX * CHUNK_RECORD_BYTES_MAX + RECORD_OVERHEAD_BYTES + SEGMENT_OVERHEAD_BYTES
        <= CHUNK_BYTES_MAX
);

/// Why a footer or segment was not accepted.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum IndexError {
    /// Not an index record at all.
    #[error("not an index record")]
    Decode(#[from] DecodeError),
    /// Written by a newer program.
    #[error("an index of version {0}, this program reads version 1")]
    NewerVersion(u16),
    /// No chunk, or more than a pack may hold.
    #[error("a pack of {0} chunks")]
    Count(usize),
    /// A chunk of a kind that does not belong into this class of pack.
    #[error("the chunk at position {position} is of a kind for the other class of packs")]
    Kind {
        /// Position in the pack.
        position: usize,
    },
    /// A chunk of an impossible length.
    #[error("the chunk at position {position} has an impossible length")]
    Length {
        /// Position in the pack.
        position: usize,
    },
    /// Chunks that do not fit before the footer.
    #[error("chunks of {bytes} bytes in a pack that has room for {room}")]
    Overflow {
        /// End of the last chunk.
        bytes: u64,
        /// Where they must end.
        room: u64,
    },
    /// A pack of a length that no pack has.
    #[error("a pack of {0} bytes")]
    PackLength(u64),
    /// Records that are not in ascending order, or twice the same.
    #[error("pack records out of order")]
    Order,
}

/// Pack records, ascending and without repetition.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Segment {
    /// Version of this record.
    #[n(0)]
    pub version: u16,
    /// The records, ascending by shard.
    #[n(1)]
    pub packs: Vec<PackRecord>,
}

impl Segment {
    /// Decodes a chunk of kind Index.
    ///
    /// # Errors
    /// [`IndexError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, IndexError> {
        if let Some(version) = cbor::peek_version(bytes).filter(|version| *version != 1) {
            return Err(IndexError::NewerVersion(version));
        }
        let segment: Self = cbor::decode(bytes, CHUNK_BYTES_MAX)?;
        if !segment.packs.is_sorted_by(|a, b| a < b) {
            return Err(IndexError::Order);
        }
        for pack in &segment.packs {
            if !is_pack_length(pack.shard.bytes) {
                return Err(IndexError::PackLength(pack.shard.bytes));
            }
            check_chunks(pack.class, &pack.chunks, pack.shard.bytes)?;
        }
        Ok(segment)
    }

    /// Encodes; see [`encode_segments`] for any number of records.
    pub fn encode(&self) -> Vec<u8> {
        cbor::encode(self)
    }
}

/// Encodes records as the plaintexts of as many Index chunks as it takes. Records are put into
/// order and repetitions dropped, so equal sets give equal chunks. No record, no chunk.
pub fn encode_segments(packs: impl IntoIterator<Item = PackRecord>) -> Vec<Vec<u8>> {
    let packs: BTreeSet<PackRecord> = packs.into_iter().collect();
    let mut chunks = Vec::new();
    let mut segment = Segment { version: 1, packs: Vec::new() };
    let mut bytes = SEGMENT_OVERHEAD_BYTES;
    for pack in packs {
        let more = RECORD_OVERHEAD_BYTES + pack.chunks.len() * CHUNK_RECORD_BYTES_MAX;
        if bytes + more > CHUNK_BYTES_MAX && !segment.packs.is_empty() {
            chunks.push(segment.encode());
            segment.packs.clear();
            bytes = SEGMENT_OVERHEAD_BYTES;
        }
        bytes += more;
        segment.packs.push(pack);
    }
    if !segment.packs.is_empty() {
        chunks.push(segment.encode());
    }
    chunks
}

/// Joins segments as sets: the order in which they come and repetitions make no difference.
pub fn merge(segments: impl IntoIterator<Item = Segment>) -> BTreeSet<PackRecord> {
    segments.into_iter().flat_map(|segment| segment.packs).collect()
}

/// Checks the chunks of one pack, of which `room` bytes are header and chunks at most.
///
/// # Errors
/// [`IndexError`].
pub fn check_chunks(class: PackClass, chunks: &[ChunkRecord], room: u64) -> Result<(), IndexError> {
    if chunks.is_empty() || chunks.len() > PACK_CHUNKS_MAX {
        return Err(IndexError::Count(chunks.len()));
    }
    let mut end = u64::from(offset_of_first());
    for (position, chunk) in chunks.iter().enumerate() {
        if chunk.kind.class() != class {
            return Err(IndexError::Kind { position });
        }
        // One codec byte and one byte of content at least.
        if !within(chunk.sealed_bytes, TAG_BYTES + 2, SEALED_CHUNK_BYTES_MAX)
            || !within(chunk.plain_bytes, 1, CHUNK_BYTES_MAX)
        {
            return Err(IndexError::Length { position });
        }
        end = end.saturating_add(u64::from(chunk.sealed_bytes));
    }
    if end > room { Err(IndexError::Overflow { bytes: end, room }) } else { Ok(()) }
}

fn within(value: u32, least: usize, most: usize) -> bool {
    usize::try_from(value).is_ok_and(|value| (least..=most).contains(&value))
}

fn offset_of_first() -> u32 {
    u32::try_from(HEADER_BYTES).unwrap_or(u32::MAX)
}

impl PackRecord {
    /// Where each chunk of this pack is, in order.
    pub fn locations(&self) -> impl Iterator<Item = Location> + '_ {
        let mut offset = offset_of_first();
        let mut positions = 0..u32::MAX;
        let mut chunks = self.chunks.iter();
        iter::from_fn(move || {
            let (record, position) = (chunks.next()?, positions.next()?);
            let location = Location {
                shard: self.shard,
                epoch: self.epoch,
                salt: self.salt,
                position,
                offset,
                record: record.clone(),
            };
            offset = offset.saturating_add(record.sealed_bytes);
            Some(location)
        })
    }

    /// Where the chunk at `position` is.
    pub fn location(&self, position: u32) -> Option<Location> {
        self.locations().nth(usize::try_from(position).ok()?)
    }
}

impl Location {
    /// The bytes of the shard that hold the sealed chunk.
    pub fn range(&self) -> std::ops::Range<u64> {
        let start = u64::from(self.offset);
        start..start + u64::from(self.record.sealed_bytes)
    }

    /// Checks what can be checked of a location alone: used where one is decoded.
    pub fn is_plausible(&self) -> bool {
        is_pack_length(self.shard.bytes)
            && self.offset >= offset_of_first()
            && self.range().end <= self.shard.bytes
            && within(self.record.sealed_bytes, TAG_BYTES + 2, SEALED_CHUNK_BYTES_MAX)
            && within(self.record.plain_bytes, 1, CHUNK_BYTES_MAX)
            && within(self.position, 0, PACK_CHUNKS_MAX - 1)
    }
}

#[cfg(test)]
mod tests;
