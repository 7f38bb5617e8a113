//! Content-defined cutting: FastCDC with normalised chunking and a secret gear table.
//!
//! A cut depends on the 64 bytes before it and on the distance to the previous cut, on nothing
//! else, so an insertion disturbs the chunks around it and no others. The secret table keeps a
//! holder from testing for known files by their cuts, but it is no privacy mechanism (eprint
//! 2025/532, 2025/558): sizes of chunks are hidden by the pack.
//!
//! Source: specs/chunk.md, CHUNK-1 to CHUNK-4; Xia et al., FastCDC, USENIX ATC 2016, section 3.

use std::fmt;

use crate::{
    keys::epoch::ContentKey,
    limits::{CHUNK_BYTES_AVG, CHUNK_BYTES_MAX, CHUNK_BYTES_MIN},
};

/// Bytes that the rolling hash remembers: one for each bit of the hash.
const WINDOW_BYTES: usize = 64;
/// Up to this length a cut is 16 times less likely than after it, so that lengths gather around
/// the average. Three quarters of the average gives a measured mean close to the average.
const CENTRE_BYTES: usize = CHUNK_BYTES_AVG / 4 * 3;
/// Before the centre: cut when the upper 22 bits of the hash are zero.
const STRICT_BELOW: u64 = 1 << 42;
/// After the centre: cut when the upper 18 bits of the hash are zero.
const LOOSE_BELOW: u64 = 1 << 46;

const _: () = assert!(
    WINDOW_BYTES <= CHUNK_BYTES_MIN
        && CHUNK_BYTES_MIN < CENTRE_BYTES
        && CENTRE_BYTES < CHUNK_BYTES_AVG
        && CHUNK_BYTES_AVG < CHUNK_BYTES_MAX
);

/// Finds the cuts of large files.
#[derive(Clone)]
pub struct Chunker {
    gear: Box<[u64; 256]>,
}

impl Chunker {
    /// Derives the gear table of a vault.
    pub fn new(key: &ContentKey) -> Self {
        let cut_key = key.cut_key("larder 2026 gear table v1");
        let mut stream = blake3::Hasher::new_keyed(&cut_key).finalize_xof();
        let mut gear = Box::new([0; 256]);
        for value in gear.iter_mut() {
            let mut bytes = [0; 8];
            stream.fill(&mut bytes);
            *value = u64::from_le_bytes(bytes);
        }
        Self { gear }
    }

    /// The length of the next chunk: the first so many bytes of `buffer`, which holds either at
    /// least [`CHUNK_BYTES_MAX`] bytes or all that is left of the file. Zero for an empty buffer.
    pub fn cut(&self, buffer: &[u8]) -> usize {
        let end = buffer.len().min(CHUNK_BYTES_MAX);
        let centre = end.min(CENTRE_BYTES);
        let (Some(window), Some(strict)) = (
            buffer.get(CHUNK_BYTES_MIN - WINDOW_BYTES..CHUNK_BYTES_MIN),
            buffer.get(CHUNK_BYTES_MIN..centre),
        ) else {
            return end;
        };
        let hash = window.iter().fold(0, |hash, byte| roll(hash, self.gear(*byte)));
        let hash = match self.scan(hash, strict, STRICT_BELOW) {
            Scan::Cut(bytes) => return CHUNK_BYTES_MIN + bytes,
            Scan::End(hash) => hash,
        };
        match self.scan(hash, buffer.get(centre..end).unwrap_or_default(), LOOSE_BELOW) {
            Scan::Cut(bytes) => centre + bytes,
            Scan::End(_) => end,
        }
    }

    /// Rolls over `bytes` until the hash falls below `below`.
    ///
    /// Four bytes a turn: the hash four bytes on is computed from the last one directly, so that
    /// the chain of dependent operations is a shift and an addition for four bytes.
    fn scan(&self, mut hash: u64, bytes: &[u8], below: u64) -> Scan {
        let (quads, rest) = bytes.as_chunks::<4>();
        for (turn, &[a, b, c, d]) in quads.iter().enumerate() {
            let (a, b, c, d) = (self.gear(a), self.gear(b), self.gear(c), self.gear(d));
            let ab = roll(a, b);
            let abc = roll(ab, c);
            let abcd = roll(abc, d);
            let first = roll(hash, a);
            let second = (hash << 2).wrapping_add(ab);
            let third = (hash << 3).wrapping_add(abc);
            hash = (hash << 4).wrapping_add(abcd);
            if (first < below) | (second < below) | (third < below) | (hash < below) {
                let into = match (first < below, second < below, third < below) {
                    (true, _, _) => 1,
                    (_, true, _) => 2,
                    (_, _, true) => 3,
                    _ => 4,
                };
                return Scan::Cut(turn * 4 + into);
            }
        }
        for (index, byte) in rest.iter().enumerate() {
            hash = roll(hash, self.gear(*byte));
            if hash < below {
                return Scan::Cut(quads.len() * 4 + index + 1);
            }
        }
        Scan::End(hash)
    }

    /// The table, for the vectors.
    #[cfg(test)]
    pub(crate) fn gear_table(&self) -> [u64; 256] {
        *self.gear
    }

    #[inline]
    fn gear(&self, byte: u8) -> u64 {
        // A byte is always within the table; the compiler drops the check.
        self.gear.get(usize::from(byte)).copied().unwrap_or_default()
    }
}

impl fmt::Debug for Chunker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Chunker(secret table)")
    }
}

enum Scan {
    /// A cut after so many bytes.
    Cut(usize),
    /// None; the hash at the end.
    End(u64),
}

#[inline]
const fn roll(hash: u64, gear: u64) -> u64 {
    (hash << 1).wrapping_add(gear)
}

#[cfg(test)]
mod tests;
