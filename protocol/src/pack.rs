//! Packs: many sealed chunks in one blob, which is what holders store.
//!
//! ```text
//! header 80 | sealed chunks, back to back | padding | sealed footer | sealed trailer 24
//! ```
//! **Invariant:** outside the header nothing can be told from noise: no lengths, no kinds, no
//! class. **Invariant:** each nonce is used once, because a pack's key is its own (fresh salt)
//! and the nonce is the position. Source: specs/pack.md.

pub mod builder;
pub mod header;
pub mod reader;
pub mod seal;
#[cfg(test)]
mod vectors;

use thiserror::Error;

use crate::{
    chunk::codec::CodecError,
    index::IndexError,
    limits::{CHUNK_BYTES_MAX, GROUP_BYTES, SHARD_BYTES_MAX},
};

pub use builder::{BuildError, PackBuilder, SealedPack, Slot};
pub use header::Header;
pub use reader::PackReader;
pub use seal::{PackSeal, Verifier};

/// Length of the tag that ends everything sealed.
pub const TAG_BYTES: usize = 16;
/// Length of the sealed trailer: offset and length of the footer, and the tag.
pub const TRAILER_BYTES: usize = 8 + TAG_BYTES;
/// Longest sealed chunk: a raw frame of the longest plaintext.
pub const SEALED_CHUNK_BYTES_MAX: usize = CHUNK_BYTES_MAX + 1 + TAG_BYTES;

/// Why bytes were not accepted as (part of) a pack.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PackError {
    /// Does not begin as a pack does.
    #[error("not a pack")]
    NotAPack,
    /// A pack of a version that this program does not know.
    #[error("a pack of version {0}, this program reads version 1")]
    NewerVersion(u16),
    /// The key is of another epoch, or of another vault.
    #[error("sealed with another key than that of epoch {epoch}")]
    WrongKey {
        /// Epoch of the key that was tried.
        epoch: u32,
    },
    /// The seal does not open: wrong bytes, wrong place, or wrong description.
    #[error("the seal of a pack's {0} does not open")]
    BrokenSeal(Part),
    /// A length that no pack has.
    #[error("a pack of {0} bytes")]
    Length(u64),
    /// The trailer names a footer that is not in the pack.
    #[error("a footer that is not within its pack")]
    FooterRange,
    /// The footer does not describe this pack.
    #[error("a footer that no pack has")]
    Footer(#[from] IndexError),
    /// The sealed frame does not hold what its record says.
    #[error("a chunk that does not decompress")]
    Codec(#[from] CodecError),
    /// The plaintext has another identifier than its record says.
    #[error("a chunk whose content is not what its identifier says")]
    WrongChunk,
}

/// The sealed parts of a pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// A chunk.
    Chunk,
    /// The footer.
    Footer,
    /// The trailer.
    Trailer,
}

impl std::fmt::Display for Part {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Chunk => "chunk",
            Self::Footer => "footer",
            Self::Trailer => "trailer",
        })
    }
}

/// The length to which a pack of `bytes` bytes is padded: the next multiple of 16 KiB and of
/// 2^(floor(log2 bytes) - 6). So there are 64 sizes between one power of two and the next, and
/// the padding is below 1/64 of the pack wherever that is more than a group.
pub const fn padded_bytes(bytes: u64) -> u64 {
    let exponent = bytes.checked_ilog2();
    let fine = match exponent {
        Some(log) => 1 << log.saturating_sub(6),
        None => 1,
    };
    let unit: u64 = if fine > GROUP_BYTES { fine } else { GROUP_BYTES };
    match bytes.checked_next_multiple_of(unit) {
        Some(padded) => padded,
        None => u64::MAX,
    }
}

/// Whether a shard of this length can be a pack at all.
pub(crate) const fn is_pack_length(bytes: u64) -> bool {
    bytes > 0 && bytes <= SHARD_BYTES_MAX && padded_bytes(bytes) == bytes
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    // PACK-6
    #[test]
    fn padding_costs_less_than_two_percent_and_keeps_size_classes() {
        assert_eq!(padded_bytes(0), 0);
        assert_eq!(padded_bytes(1), 16_384);
        assert_eq!(padded_bytes(16_385), 32_768);
        assert_eq!(padded_bytes(32 << 20), 32 << 20);
        assert_eq!(padded_bytes((32 << 20) - 1), 32 << 20);
        assert_eq!(padded_bytes((32 << 20) + 1), (32 << 20) + (512 << 10));
        let (mut padding, mut sum) = (0, 0);
        for bytes in (1 << 20..64 << 20).step_by(99_991) {
            padding += padded_bytes(bytes) - bytes;
            sum += bytes;
        }
        assert!(padding * 1000 < sum * 9, "mean padding below 0.9 %");
    }

    proptest! {
        #[test]
        fn padding_is_idempotent_and_monotone(bytes in 1_u64..80 << 20) {
            let padded = padded_bytes(bytes);
            prop_assert!(padded >= bytes && padded.is_multiple_of(GROUP_BYTES));
            prop_assert_eq!(padded_bytes(padded), padded);
            prop_assert!(padded_bytes(bytes + 1) >= padded);
            prop_assert!((padded - bytes) * 64 <= bytes || padded - bytes < GROUP_BYTES);
        }
    }
}
