//! Sealing with the key of one pack: ChaCha20-Poly1305, the position as nonce.
//!
//! ```text
//! nonce           domain u32 | position u64       domain 0 chunk, 1 footer, 2 trailer
//! AAD of a chunk  vault 32 | epoch u32 | kind u8 | chunk id 32
//! AAD otherwise   vault 32 | epoch u32
//! ```
//! All integers little-endian. Source: specs/pack.md, PACK-3 to PACK-5; RFC 8439.

use std::fmt;

use chacha20poly1305::{AeadInOut, ChaCha20Poly1305, KeyInit, Nonce, Tag, aead::inout::InOutBuf};

use crate::{
    chunk::codec::{CodecError, Decompressor},
    ids::{ChunkId, VaultId},
    index::{ChunkKind, ChunkRecord},
    keys::epoch::{EpochKey, PackKey},
    limits::CHUNK_BYTES_MAX,
    pack::{PackError, Part, TAG_BYTES},
};

/// What seals and opens the parts of one pack.
#[derive(Clone)]
pub struct PackSeal {
    key: PackKey,
    vault: VaultId,
    epoch: u32,
}

impl PackSeal {
    /// Derives the pack's key. `salt` is the one of the header or of a location.
    pub fn new(epoch: &EpochKey, vault: VaultId, salt: &[u8; 32]) -> Self {
        Self { key: epoch.pack_key(salt), vault, epoch: epoch.number() }
    }

    /// Seals in place and appends the tag.
    pub(crate) fn seal(&self, nonce: Nonce, aad: &[u8], mut bytes: Vec<u8>) -> Vec<u8> {
        let sealed = self.cipher().encrypt_in_place(&nonce, aad, &mut bytes);
        sealed.expect("parts of a pack are far below the cipher's limit of 256 GiB");
        bytes
    }

    /// Opens into `plain`, whose old content is dropped. False when the seal is broken.
    #[must_use]
    pub(crate) fn open(
        &self,
        nonce: Nonce,
        aad: &[u8],
        sealed: &[u8],
        plain: &mut Vec<u8>,
    ) -> bool {
        let Some((bytes, tag)) = sealed.split_last_chunk::<TAG_BYTES>() else { return false };
        plain.clear();
        plain.resize(bytes.len(), 0);
        let Ok(buffer) = InOutBuf::new(bytes, plain) else { return false };
        self.cipher().decrypt_inout_detached(&nonce, aad, buffer, &Tag::from(*tag)).is_ok()
    }

    /// AAD of a chunk.
    pub(crate) fn chunk_aad(&self, kind: ChunkKind, id: &ChunkId) -> [u8; 69] {
        let kind = [kind_byte(kind)];
        let parts: [&[u8]; 3] = [&self.part_aad(), &kind, id.as_bytes()];
        join(&parts)
    }

    /// AAD of footer and trailer.
    pub(crate) fn part_aad(&self) -> [u8; 36] {
        join(&[self.vault.as_bytes(), &self.epoch.to_le_bytes()])
    }

    /// The bytes that fill a pack up: a stream that only the pack's key yields.
    pub(crate) fn fill_padding(&self, padding: &mut [u8]) {
        let mut hasher = blake3::Hasher::new_derive_key("larder 2026 pack padding v1");
        hasher.update(&self.key.0);
        hasher.finalize_xof().fill(padding);
    }

    fn cipher(&self) -> ChaCha20Poly1305 {
        ChaCha20Poly1305::new(&self.key.0.into())
    }
}

impl fmt::Debug for PackSeal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PackSeal(epoch {}, secret)", self.epoch)
    }
}

/// The nonce of the chunk at this position, or of one of the other parts.
pub(crate) fn nonce(part: Part, position: u32) -> Nonce {
    let domain: u32 = match part {
        Part::Chunk => 0,
        Part::Footer => 1,
        Part::Trailer => 2,
    };
    join::<12>(&[&domain.to_le_bytes(), &u64::from(position).to_le_bytes()]).into()
}

const fn kind_byte(kind: ChunkKind) -> u8 {
    match kind {
        ChunkKind::Data => 0,
        ChunkKind::Directory => 1,
        ChunkKind::Extents => 2,
        ChunkKind::Snapshot => 3,
        ChunkKind::Index => 4,
        ChunkKind::Manifest => 5,
    }
}

fn join<const N: usize>(parts: &[&[u8]]) -> [u8; N] {
    let mut bytes = [0; N];
    for (to, from) in bytes.iter_mut().zip(parts.iter().copied().flatten()) {
        *to = *from;
    }
    bytes
}

/// Opens chunks, reusing its buffers. One for each worker thread.
#[derive(Debug, Default)]
pub struct Verifier {
    decompressor: Decompressor,
    frame: Vec<u8>,
    plain: Vec<u8>,
}

impl Verifier {
    /// Starts.
    pub fn new() -> Self {
        Self::default()
    }

    /// The plaintext of a sealed chunk, from its seal and frame alone; the caller compares it
    /// with the identifier or with the original. Valid until the next call.
    pub(crate) fn open(
        &mut self,
        seal: &PackSeal,
        position: u32,
        record: &ChunkRecord,
        sealed: &[u8],
    ) -> Result<&[u8], PackError> {
        let bytes = u64::from(record.plain_bytes);
        if usize::try_from(bytes).map_or(true, |bytes| bytes > CHUNK_BYTES_MAX) {
            return Err(CodecError::TooLong { bytes }.into());
        }
        let aad = seal.chunk_aad(record.kind, &record.id);
        if !seal.open(nonce(Part::Chunk, position), &aad, sealed, &mut self.frame) {
            return Err(PackError::BrokenSeal(Part::Chunk));
        }
        self.decompressor.decompress_into(&self.frame, record.plain_bytes, &mut self.plain)?;
        Ok(&self.plain)
    }

    /// Gives the plaintext opened last away, uncopied.
    pub(crate) fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.plain)
    }
}
