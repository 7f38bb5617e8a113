//! Frames: the plaintext of a chunk, compressed where that gains anything.
//!
//! ```text
//! codec u8 | bytes        codec 0 raw, 1 zstd, 2 zstd with a vault dictionary (reserved)
//! ```
//! The length of the plaintext is not in the frame; it travels in the chunk's record, and is
//! checked against the limit before anything is allocated. Source: specs/chunk.md, CHUNK-8 to 11.

use std::fmt;

use thiserror::Error;

use crate::limits::CHUNK_BYTES_MAX;

/// Longest frame: a raw one of the largest chunk.
pub const FRAME_OVERHEAD_BYTES: usize = 1;

const RAW: u8 = 0;
const ZSTD: u8 = 1;

/// Plaintexts from this length are probed before they are compressed.
const PROBE_FROM_BYTES: usize = 128 * 1024;
/// The probe takes three samples of this length, from start, middle and end.
const PROBE_SAMPLE_BYTES: usize = 8 * 1024;
/// Level for the probe: the fastest ordinary one.
const PROBE_LEVEL: i32 = 1;
/// A gain below one part in so many is not worth the reader's time.
const GAIN_PART: usize = 64;

/// Why a frame was not accepted. The bytes were sealed by a device of the vault, so each of these
/// means a damaged writer, a newer one, or a hostile device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum CodecError {
    /// No codec byte.
    #[error("a frame of no bytes")]
    Empty,
    /// A codec that this version does not know.
    #[error("codec {0} is of a newer version")]
    NewerVersion(u8),
    /// A plaintext longer than any chunk.
    #[error("a plaintext of {bytes} bytes, at most {CHUNK_BYTES_MAX} are allowed")]
    TooLong {
        /// Length promised.
        bytes: u64,
    },
    /// Not what the codec says, or not of the promised length.
    #[error("a frame does not hold the promised {bytes} bytes")]
    Corrupt {
        /// Length promised.
        bytes: u32,
    },
}

/// A plaintext made ready for sealing.
#[derive(Clone, PartialEq, Eq)]
pub struct Frame(Vec<u8>);

impl Frame {
    /// Length in bytes, codec byte included.
    #[expect(clippy::len_without_is_empty, reason = "a frame is never empty")]
    pub const fn len(&self) -> usize {
        self.0.len()
    }

    /// The frame's bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether the plaintext stands in it uncompressed.
    pub fn is_raw(&self) -> bool {
        self.0.first() == Some(&RAW)
    }

    /// A frame that holds `plain` as it is.
    pub fn raw(plain: &[u8]) -> Self {
        Self::join(RAW, plain)
    }

    /// A frame made by other means.
    #[cfg(test)]
    pub(crate) fn from_bytes(bytes: &[u8]) -> Self {
        Self(bytes.to_vec())
    }

    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    fn join(codec: u8, bytes: &[u8]) -> Self {
        // Room for the tag as well: sealing then needs no second allocation.
        let mut frame = Vec::with_capacity(bytes.len() + FRAME_OVERHEAD_BYTES + 16);
        frame.push(codec);
        frame.extend_from_slice(bytes);
        Self(frame)
    }
}

impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let codec = if self.is_raw() { "raw" } else { "zstd" };
        write!(f, "Frame({codec}, {} bytes)", self.len())
    }
}

/// Compresses one plaintext after another with one zstd state. One for each worker thread.
pub struct Compressor {
    zstd: zstd::bulk::Compressor<'static>,
    probe: zstd::bulk::Compressor<'static>,
    scratch: Vec<u8>,
    sample: Vec<u8>,
}

impl Compressor {
    /// The level to use where nothing else is said. Source: DESIGN, measured on source trees.
    pub const LEVEL: i32 = 3;

    /// Starts with a zstd level (1 to 22; others are brought into this range).
    pub fn new(level: i32) -> Self {
        let make = |level| {
            zstd::bulk::Compressor::new(level).expect("a level in range is accepted by zstd")
        };
        Self {
            zstd: make(level.clamp(1, 22)),
            probe: make(PROBE_LEVEL),
            scratch: Vec::new(),
            sample: Vec::new(),
        }
    }

    /// Makes the smaller of the two frames; a raw one when zstd does not gain.
    pub fn compress(&mut self, plain: &[u8]) -> Frame {
        if plain.len() >= PROBE_FROM_BYTES && !self.probe_gains(plain) {
            return Frame::raw(plain);
        }
        if squeeze(&mut self.zstd, plain, &mut self.scratch) {
            Frame::join(ZSTD, &self.scratch)
        } else {
            Frame::raw(plain)
        }
    }

    /// Tries three small samples: photographs, films and archives show at once that they are
    /// dense, and zstd need not look at the rest.
    fn probe_gains(&mut self, plain: &[u8]) -> bool {
        let last = plain.len() - PROBE_SAMPLE_BYTES;
        self.sample.clear();
        for start in [0, last / 2, last] {
            let sample = plain.get(start..start + PROBE_SAMPLE_BYTES).unwrap_or_default();
            self.sample.extend_from_slice(sample);
        }
        squeeze(&mut self.probe, &self.sample, &mut self.scratch)
    }
}

/// Compresses `plain` into `scratch`; whether that gained enough.
fn squeeze(
    zstd: &mut zstd::bulk::Compressor<'static>,
    plain: &[u8],
    scratch: &mut Vec<u8>,
) -> bool {
    scratch.clear();
    scratch.reserve(zstd::zstd_safe::compress_bound(plain.len()));
    let Ok(bytes) = zstd.compress_to_buffer(plain, scratch) else { return false };
    bytes + plain.len() / GAIN_PART < plain.len()
}

impl fmt::Debug for Compressor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Compressor").finish_non_exhaustive()
    }
}

/// Takes one frame after another apart with one zstd state.
pub struct Decompressor {
    zstd: zstd::bulk::Decompressor<'static>,
}

impl Decompressor {
    /// Starts.
    pub fn new() -> Self {
        let zstd = zstd::bulk::Decompressor::new().expect("zstd has no reason to refuse");
        Self { zstd }
    }

    /// The plaintext of a frame, which must be exactly `plain_bytes` long.
    ///
    /// # Errors
    /// [`CodecError`]; nothing longer than [`CHUNK_BYTES_MAX`] is ever allocated.
    pub fn decompress(&mut self, frame: &[u8], plain_bytes: u32) -> Result<Vec<u8>, CodecError> {
        let mut plain = Vec::new();
        self.decompress_into(frame, plain_bytes, &mut plain)?;
        Ok(plain)
    }

    /// As [`decompress`](Self::decompress), into a buffer whose old content is dropped.
    ///
    /// # Errors
    /// As [`decompress`](Self::decompress); the buffer then holds nothing of use.
    pub fn decompress_into(
        &mut self,
        frame: &[u8],
        plain_bytes: u32,
        plain: &mut Vec<u8>,
    ) -> Result<(), CodecError> {
        plain.clear();
        let length = usize::try_from(plain_bytes).ok().filter(|bytes| *bytes <= CHUNK_BYTES_MAX);
        let length = length.ok_or(CodecError::TooLong { bytes: u64::from(plain_bytes) })?;
        let corrupt = CodecError::Corrupt { bytes: plain_bytes };
        match frame.split_first() {
            None => return Err(CodecError::Empty),
            Some((&RAW, bytes)) => {
                if bytes.len() != length {
                    return Err(corrupt);
                }
                plain.extend_from_slice(bytes);
            }
            Some((&ZSTD, bytes)) => {
                plain.reserve_exact(length);
                // Fills at most the capacity, which may be more than asked for; the length is
                // compared below.
                self.zstd.decompress_to_buffer(bytes, plain).map_err(|_| corrupt)?;
            }
            Some((&codec, _)) => return Err(CodecError::NewerVersion(codec)),
        }
        if plain.len() == length { Ok(()) } else { Err(corrupt) }
    }
}

impl Default for Decompressor {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Decompressor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decompressor").finish_non_exhaustive()
    }
}

/// Makes a frame with a compressor of its own. For single chunks; workers keep a [`Compressor`].
pub fn compress(plain: &[u8], level: i32) -> Frame {
    Compressor::new(level).compress(plain)
}

/// Opens a frame with a decompressor of its own.
///
/// # Errors
/// As [`Decompressor::decompress`].
pub fn decompress(frame: &[u8], plain_bytes: u32) -> Result<Vec<u8>, CodecError> {
    Decompressor::new().decompress(frame, plain_bytes)
}

#[cfg(test)]
mod tests;
