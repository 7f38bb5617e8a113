//! Opens packs part by part: each function says which bytes it needs next, so that nothing is
//! fetched in vain. What arrives here has matched the shard's root, or has not: both are checked.
//!
//! ```text
//! with a location:    open_chunk(sealed bytes)
//! from the pack alone: header -> trailer -> footer -> chunks
//! ```
//! Source: specs/pack.md, PACK-10 to PACK-14.

use std::ops::Range;

use crate::{
    cbor,
    ids::VaultId,
    index::{ChunkRecord, Location, PackClass, PackRecord, ShardRef, check_chunks},
    keys::epoch::{ContentKey, EpochKey},
    limits::PACK_CHUNKS_MAX,
    pack::{
        PackError, Part, TAG_BYTES, TRAILER_BYTES,
        builder::{FOOTER_OVERHEAD_BYTES, Footer, RECORD_BYTES_MAX},
        header::{HEADER_BYTES, Header},
        is_pack_length,
        seal::{PackSeal, Verifier, nonce},
    },
};

const FOOTER_BYTES_MAX: usize = PACK_CHUNKS_MAX * RECORD_BYTES_MAX + FOOTER_OVERHEAD_BYTES;

/// The bytes with which every pack begins.
pub const fn header_range() -> Range<u64> {
    0..HEADER_BYTES_U64
}

const HEADER_BYTES_U64: u64 = 80;
const TRAILER_BYTES_U64: u64 = 24;
const _: () = assert!(HEADER_BYTES == 80 && TRAILER_BYTES == 24);

/// Where the trailer of a pack of this length is.
///
/// # Errors
/// [`PackError::Length`] for a length that no pack has.
pub const fn trailer_range(pack_bytes: u64) -> Result<Range<u64>, PackError> {
    if !is_pack_length(pack_bytes) {
        return Err(PackError::Length(pack_bytes));
    }
    Ok(pack_bytes - TRAILER_BYTES_U64..pack_bytes)
}

/// Reads the header.
///
/// # Errors
/// [`PackError::NotAPack`] or [`PackError::NewerVersion`].
pub fn open_header(bytes: &[u8]) -> Result<Header, PackError> {
    Header::decode(bytes)
}

/// Opens the chunks of one pack and keeps the buffers for it.
#[derive(Debug)]
pub struct PackReader {
    seal: PackSeal,
    header: Option<Header>,
    verifier: Verifier,
}

impl PackReader {
    /// A reader for the pack with this header; the commitment is checked.
    ///
    /// # Errors
    /// [`PackError::WrongKey`].
    pub fn new(header: &Header, epoch: &EpochKey, vault: VaultId) -> Result<Self, PackError> {
        let seal = header.unlock(epoch, vault)?;
        Ok(Self { seal, header: Some(*header), verifier: Verifier::new() })
    }

    /// A reader for chunks whose location is known: the header is not needed, since the salt
    /// comes from the vault's own index.
    ///
    /// # Errors
    /// [`PackError::WrongKey`] when the location names another epoch.
    pub fn at(location: &Location, epoch: &EpochKey, vault: VaultId) -> Result<Self, PackError> {
        if location.epoch != epoch.number() {
            return Err(PackError::WrongKey { epoch: epoch.number() });
        }
        let seal = PackSeal::new(epoch, vault, &location.salt);
        Ok(Self { seal, header: None, verifier: Verifier::new() })
    }

    /// Opens the trailer (the bytes of [`trailer_range`]); says where the footer is.
    ///
    /// # Errors
    /// [`PackError::BrokenSeal`], [`PackError::FooterRange`] or [`PackError::Length`].
    pub fn open_trailer(&self, bytes: &[u8], pack_bytes: u64) -> Result<Range<u64>, PackError> {
        let trailer = trailer_range(pack_bytes)?;
        let mut plain = Vec::new();
        if !self.seal.open(nonce(Part::Trailer, 0), &self.seal.part_aad(), bytes, &mut plain) {
            return Err(PackError::BrokenSeal(Part::Trailer));
        }
        let (offset, rest) = plain.split_first_chunk::<4>().ok_or(PackError::FooterRange)?;
        let length = rest.first_chunk::<4>().ok_or(PackError::FooterRange)?;
        let (start, length) = (u32::from_le_bytes(*offset), u32::from_le_bytes(*length));
        let (start, length) = (u64::from(start), u64::from(length));
        let short = usize::try_from(length)
            .is_ok_and(|bytes| (TAG_BYTES..=FOOTER_BYTES_MAX).contains(&bytes));
        if !short || start < HEADER_BYTES_U64 || start + length != trailer.start {
            return Err(PackError::FooterRange);
        }
        Ok(start..trailer.start)
    }

    /// Opens the footer, whose range the trailer gave; its chunks fit into the pack before it.
    ///
    /// # Errors
    /// [`PackError::BrokenSeal`], [`PackError::NewerVersion`] or [`PackError::Footer`].
    pub fn open_footer(
        &self,
        bytes: &[u8],
        range: &Range<u64>,
    ) -> Result<(PackClass, Vec<ChunkRecord>), PackError> {
        let mut plain = Vec::new();
        if !self.seal.open(nonce(Part::Footer, 0), &self.seal.part_aad(), bytes, &mut plain) {
            return Err(PackError::BrokenSeal(Part::Footer));
        }
        if let Some(version) = cbor::peek_version(&plain).filter(|version| *version != 1) {
            return Err(PackError::NewerVersion(version));
        }
        let footer: Footer = cbor::decode(&plain, FOOTER_BYTES_MAX)
            .map_err(|error| PackError::Footer(error.into()))?;
        check_chunks(footer.class, &footer.chunks, range.start)?;
        Ok((footer.class, footer.chunks))
    }

    /// Opens one chunk and checks everything: seal, place, length, identifier.
    ///
    /// # Errors
    /// [`PackError::BrokenSeal`], [`PackError::Codec`] or [`PackError::WrongChunk`].
    pub fn open_chunk(
        &mut self,
        record: &ChunkRecord,
        position: u32,
        sealed: &[u8],
        content: &ContentKey,
    ) -> Result<Vec<u8>, PackError> {
        let plain = self.verifier.open(&self.seal, position, record, sealed)?;
        if content.chunk_id(record.kind, plain) == record.id {
            Ok(self.verifier.take())
        } else {
            Err(PackError::WrongChunk)
        }
    }

    /// Reads the whole description of a pack that is at hand in full: how an index is rebuilt.
    ///
    /// # Errors
    /// Any [`PackError`] of header, trailer and footer; the root is not checked here.
    pub fn read_record(
        bytes: &[u8],
        shard: ShardRef,
        epoch: &EpochKey,
        vault: VaultId,
    ) -> Result<PackRecord, PackError> {
        if u64::try_from(bytes.len()) != Ok(shard.bytes) {
            return Err(PackError::Length(shard.bytes));
        }
        let header = open_header(bytes)?;
        let reader = Self::new(&header, epoch, vault)?;
        let part = |range: &Range<u64>| {
            let start = usize::try_from(range.start).unwrap_or(usize::MAX);
            let end = usize::try_from(range.end).unwrap_or(usize::MAX);
            bytes.get(start..end).ok_or(PackError::FooterRange)
        };
        let footer = reader.open_trailer(part(&trailer_range(shard.bytes)?)?, shard.bytes)?;
        let (class, chunks) = reader.open_footer(part(&footer)?, &footer)?;
        Ok(PackRecord { shard, class, epoch: header.epoch, salt: header.salt, chunks })
    }

    /// The header, when the reader was made from one.
    pub const fn header(&self) -> Option<&Header> {
        self.header.as_ref()
    }
}

/// Opens one chunk at a known location.
///
/// # Errors
/// As [`PackReader::at`] and [`PackReader::open_chunk`].
pub fn open_chunk(
    location: &Location,
    sealed: &[u8],
    epoch: &EpochKey,
    vault: VaultId,
    content: &ContentKey,
) -> Result<Vec<u8>, PackError> {
    let mut reader = PackReader::at(location, epoch, vault)?;
    reader.open_chunk(&location.record, location.position, sealed, content)
}

#[cfg(test)]
mod tests;
