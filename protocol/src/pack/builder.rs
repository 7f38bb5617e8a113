//! Builds one pack in memory while many threads seal its chunks.
//!
//! One thread reserves slots in order; a slot goes to any worker, which seals the chunk with it;
//! the sealed bytes come back in any order and are placed. Finished, the pack is padded and
//! closed with its footer. Source: specs/pack.md, PACK-3 to PACK-9.

use minicbor::{Decode, Encode};
use thiserror::Error;

use crate::{
    cbor,
    chunk::codec::{Frame, compress},
    ids::{ChunkId, VaultId},
    index::{ChunkKind, ChunkRecord, PackClass, PackRecord, ShardRef},
    keys::epoch::{ContentKey, EpochKey},
    limits::{CHUNK_BYTES_MAX, DATA_PACK_BYTES, METADATA_PACK_BYTES, PACK_CHUNKS_MAX},
    pack::{
        PackError, Part, SEALED_CHUNK_BYTES_MAX, TAG_BYTES, TRAILER_BYTES,
        header::{HEADER_BYTES, Header},
        padded_bytes,
        seal::{PackSeal, Verifier, nonce},
    },
};

/// Most bytes that one chunk adds to the footer: array 1, id 34, kind 1, two lengths of 5.
pub(crate) const RECORD_BYTES_MAX: usize = 46;
/// Footer without records (array, version, class, array of records) and its tag.
pub(crate) const FOOTER_OVERHEAD_BYTES: usize = 16 + TAG_BYTES;

/// What a pack says of itself, sealed within it.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Footer {
    #[n(0)]
    pub(crate) version: u16,
    #[n(1)]
    pub(crate) class: PackClass,
    #[n(2)]
    pub(crate) chunks: Vec<ChunkRecord>,
}

/// Misuse of a builder, or a machine that computes wrongly.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum BuildError {
    /// What was sealed does not open to what it was made from: bad memory, or a bug in the
    /// compressor. The pack must not be used.
    #[error("a sealed chunk did not open to what it was made from")]
    Verify(#[source] Option<PackError>),
    /// The frame has another length than the slot was reserved for.
    #[error("a slot for {reserved} bytes was given {given}")]
    Length {
        /// Sealed length that was reserved.
        reserved: usize,
        /// Length given.
        given: usize,
    },
    /// A slot that this pack did not hand out, or already filled.
    #[error("a slot that is not open in this pack")]
    Slot,
    /// A pack that is finished while slots are still open, or without any chunk.
    #[error("a pack with {open} of {chunks} chunks not placed")]
    Unfinished {
        /// Slots without bytes.
        open: usize,
        /// Slots reserved.
        chunks: usize,
    },
    /// A plaintext that is empty or longer than any chunk, or of a kind for another class.
    #[error("a chunk that no such pack may hold")]
    Chunk,
}

/// A pack in the making.
#[derive(Debug)]
pub struct PackBuilder {
    class: PackClass,
    header: Header,
    seal: PackSeal,
    bytes: Vec<u8>,
    chunks: Vec<ChunkRecord>,
    /// For each chunk whether its bytes are there.
    placed: Vec<bool>,
}

/// The place of one chunk in a pack, with all that is needed to seal it. Goes to a worker.
#[derive(Debug, Clone)]
pub struct Slot {
    seal: PackSeal,
    salt: [u8; 32],
    position: u32,
    offset: usize,
    record: ChunkRecord,
}

impl PackBuilder {
    /// Starts an empty pack. `salt` is 32 fresh random bytes: a salt used twice under one epoch
    /// key would repeat nonces.
    pub fn new(class: PackClass, epoch: &EpochKey, vault: VaultId, salt: [u8; 32]) -> Self {
        Self::new_in(Vec::new(), class, epoch, vault, salt)
    }

    /// The same, in memory that may have held another pack; it is overwritten.
    pub fn new_in(
        mut buffer: Vec<u8>,
        class: PackClass,
        epoch: &EpochKey,
        vault: VaultId,
        salt: [u8; 32],
    ) -> Self {
        let header = Header::new(epoch, salt);
        buffer.clear();
        buffer.extend_from_slice(&header.encode());
        Self {
            class,
            header,
            seal: PackSeal::new(epoch, vault, &salt),
            bytes: buffer,
            chunks: Vec::new(),
            placed: Vec::new(),
        }
    }

    /// Whether nothing has been reserved yet.
    pub const fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    /// Chunks reserved so far.
    pub const fn chunks(&self) -> usize {
        self.chunks.len()
    }

    /// Length of the pack so far, footer included, padding not.
    pub fn bytes(&self) -> usize {
        self.bytes_with(self.bytes.len(), self.chunks.len())
    }

    /// Reserves the next position for a chunk of `plain_bytes` bytes whose frame has `frame_len`.
    ///
    /// `Ok(None)` says that the pack is full: finish it and reserve in the next one. An empty pack
    /// takes any chunk.
    ///
    /// # Errors
    /// [`BuildError::Chunk`] for a chunk that no pack of this class may hold.
    pub fn reserve(
        &mut self,
        id: ChunkId,
        kind: ChunkKind,
        plain_bytes: usize,
        frame_len: usize,
    ) -> Result<Option<Slot>, BuildError> {
        let sealed_bytes = frame_len.saturating_add(TAG_BYTES);
        let fits_chunk = (1..=CHUNK_BYTES_MAX).contains(&plain_bytes)
            && frame_len > 1
            && sealed_bytes <= SEALED_CHUNK_BYTES_MAX;
        if !fits_chunk || kind.class() != self.class {
            return Err(BuildError::Chunk);
        }
        let offset = self.bytes.len();
        let target = match self.class {
            PackClass::Data => DATA_PACK_BYTES,
            PackClass::Metadata => METADATA_PACK_BYTES,
        };
        let bytes = self.bytes_with(offset + sealed_bytes, self.chunks.len() + 1);
        let full = bytes > target || self.chunks.len() >= PACK_CHUNKS_MAX;
        if full && !self.is_empty() {
            return Ok(None);
        }
        let record = ChunkRecord {
            id,
            kind,
            sealed_bytes: small(sealed_bytes),
            plain_bytes: small(plain_bytes),
        };
        let position = small(self.chunks.len());
        self.chunks.push(record.clone());
        self.placed.push(false);
        self.bytes.resize(offset + sealed_bytes, 0);
        let (seal, salt) = (self.seal.clone(), self.header.salt);
        Ok(Some(Slot { seal, salt, position, offset, record }))
    }

    /// Puts a sealed chunk into its place.
    ///
    /// # Errors
    /// [`BuildError::Slot`] or [`BuildError::Length`].
    pub fn place(&mut self, slot: &Slot, sealed: &[u8]) -> Result<(), BuildError> {
        let position = usize::try_from(slot.position).map_err(|_| BuildError::Slot)?;
        let placed = self.placed.get_mut(position).filter(|placed| !**placed);
        let (Some(placed), true) = (placed, slot.salt == self.header.salt) else {
            return Err(BuildError::Slot);
        };
        if sealed.len() != slot.sealed_len() {
            return Err(BuildError::Length { reserved: slot.sealed_len(), given: sealed.len() });
        }
        let range = slot.offset..slot.offset + sealed.len();
        self.bytes.get_mut(range).ok_or(BuildError::Slot)?.copy_from_slice(sealed);
        *placed = true;
        Ok(())
    }

    /// Compresses, seals and places one chunk here and now: for metadata, which is little.
    /// The identifier, or `None` when the pack is full.
    ///
    /// # Errors
    /// As [`reserve`](Self::reserve) and [`Slot::seal`].
    pub fn add(
        &mut self,
        content: &ContentKey,
        kind: ChunkKind,
        plain: &[u8],
    ) -> Result<Option<ChunkId>, BuildError> {
        let id = content.chunk_id(kind, plain);
        let frame = compress(plain, crate::chunk::codec::Compressor::LEVEL);
        let Some(slot) = self.reserve(id, kind, plain.len(), frame.len())? else {
            return Ok(None);
        };
        let sealed = slot.seal(frame, plain, &mut Verifier::new())?;
        self.place(&slot, &sealed)?;
        Ok(Some(id))
    }

    /// Closes the pack: padding, footer, trailer.
    ///
    /// # Errors
    /// [`BuildError::Unfinished`] when a slot is open or none was reserved.
    pub fn finish(self) -> Result<SealedPack, BuildError> {
        let Self { class, header, seal, mut bytes, chunks, placed } = self;
        let open = placed.iter().filter(|placed| !**placed).count();
        if open > 0 || chunks.is_empty() {
            return Err(BuildError::Unfinished { open, chunks: chunks.len() });
        }
        let footer = Footer { version: 1, class, chunks };
        let sealed_footer =
            seal.seal(nonce(Part::Footer, 0), &seal.part_aad(), cbor::encode(&footer));
        let end = sealed_footer.len() + TRAILER_BYTES;
        let unpadded = u64::from(small(bytes.len() + end));
        let padding = usize::try_from(padded_bytes(unpadded) - unpadded);
        let padding = padding.expect("padding is below 1/64 of the pack");
        let filled = bytes.len();
        let offset = filled + padding;
        bytes.reserve_exact(padding + end);
        bytes.resize(offset, 0);
        seal.fill_padding(bytes.get_mut(filled..).unwrap_or_default());
        bytes.extend_from_slice(&sealed_footer);
        let mut trailer = small(offset).to_le_bytes().to_vec();
        trailer.extend_from_slice(&small(sealed_footer.len()).to_le_bytes());
        let trailer = seal.seal(nonce(Part::Trailer, 0), &seal.part_aad(), trailer);
        bytes.extend_from_slice(&trailer);
        let Footer { chunks, .. } = footer;
        Ok(SealedPack { bytes, class, epoch: header.epoch, salt: header.salt, chunks })
    }

    const fn bytes_with(&self, filled: usize, chunks: usize) -> usize {
        filled + chunks * RECORD_BYTES_MAX + FOOTER_OVERHEAD_BYTES + TRAILER_BYTES
    }
}

impl Slot {
    /// Which chunk belongs here.
    pub const fn record(&self) -> &ChunkRecord {
        &self.record
    }

    /// Seals a chunk, then opens the result again and compares it with `plain`, from which the
    /// frame was made ("extra verify"). Pure: runs on any thread.
    ///
    /// # Errors
    /// [`BuildError::Length`] for another frame than was reserved, [`BuildError::Verify`].
    pub fn seal(
        &self,
        frame: Frame,
        plain: &[u8],
        verifier: &mut Verifier,
    ) -> Result<Vec<u8>, BuildError> {
        let sealed = self.seal_unverified(frame)?;
        match verifier.open(&self.seal, self.position, &self.record, &sealed) {
            Ok(opened) if opened == plain => Ok(sealed),
            Ok(_) => Err(BuildError::Verify(None)),
            Err(error) => Err(BuildError::Verify(Some(error))),
        }
    }

    /// Seals without opening again. For measuring what the verification costs.
    ///
    /// # Errors
    /// [`BuildError::Length`].
    pub fn seal_unverified(&self, frame: Frame) -> Result<Vec<u8>, BuildError> {
        let given = frame.len() + TAG_BYTES;
        if given != self.sealed_len() {
            return Err(BuildError::Length { reserved: self.sealed_len(), given });
        }
        let aad = self.seal.chunk_aad(self.record.kind, &self.record.id);
        Ok(self.seal.seal(nonce(Part::Chunk, self.position), &aad, frame.into_bytes()))
    }

    fn sealed_len(&self) -> usize {
        usize::try_from(self.record.sealed_bytes).unwrap_or(usize::MAX)
    }
}

/// A finished pack, ready to be stored under the root of its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedPack {
    /// All of it, header to trailer.
    pub bytes: Vec<u8>,
    /// By which rules it is placed.
    pub class: PackClass,
    /// Epoch whose key seals it.
    pub epoch: u32,
    /// Salt of its key.
    pub salt: [u8; 32],
    /// Its chunks in order.
    pub chunks: Vec<ChunkRecord>,
}

impl SealedPack {
    /// The pack's entry in the index, once the root of its bytes is known.
    pub fn record(&self, shard: ShardRef) -> PackRecord {
        PackRecord {
            shard,
            class: self.class,
            epoch: self.epoch,
            salt: self.salt,
            chunks: self.chunks.clone(),
        }
    }

    /// Lets go of the bytes; what remains is the pack's entry in the index.
    pub fn into_record(self, shard: ShardRef) -> PackRecord {
        let Self { class, epoch, salt, chunks, .. } = self;
        PackRecord { shard, class, epoch, salt, chunks }
    }
}

const _: () = assert!(
    HEADER_BYTES
        + SEALED_CHUNK_BYTES_MAX
        + PACK_CHUNKS_MAX * RECORD_BYTES_MAX
        + FOOTER_OVERHEAD_BYTES
        + TRAILER_BYTES
        < DATA_PACK_BYTES
);

/// Lengths and counts within a pack: bounded by the pack's target plus one chunk.
fn small(value: usize) -> u32 {
    u32::try_from(value).expect("a pack is far below 4 GiB")
}

#[cfg(test)]
mod tests;
