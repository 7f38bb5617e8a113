//! Two words that both screens show, for the persons to compare: who stands between two pairings and
//! plays the other side in each has two that differ, but for one chance in 2^22.
//!
//! ```text
//! joiner  commitment to its number ──►
//!                                  ◄── inviter's number
//!         its number               ──►          words of both numbers, and of who speaks for what
//! ```
//! Each side's number is fixed before it learns the other's, so that nobody can choose device keys or
//! numbers until the words fit. Source: specs/pairing.md, and the same idea in ZRTP (RFC 6189, 4.4.1).

use std::fmt;

use bip39::Language;
use minicbor::{Decode, Encode};

/// Bits of each word.
const WORD_BITS: u32 = 11;
const WORD_MASK: u32 = (1 << WORD_BITS) - 1;

/// A random number of one side. No secret once it was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(transparent)]
pub(super) struct Nonce(#[cbor(n(0), with = "minicbor::bytes")] pub(super) [u8; 32]);

/// What fixes a number without telling it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(transparent)]
pub(super) struct Commitment(#[cbor(n(0), with = "minicbor::bytes")] [u8; 32]);

/// The numbers of both sides.
#[derive(Debug, Clone, Copy)]
pub(super) struct Nonces {
    pub(super) joiner: Nonce,
    pub(super) inviter: Nonce,
}

/// Two words of the English BIP39 list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CompareWords([&'static str; 2]);

impl Nonce {
    pub(super) fn commitment(&self) -> Commitment {
        Commitment(blake3::derive_key("larder 2026 pairing commitment v1", &self.0))
    }
}

impl CompareWords {
    /// The words of both numbers and of what the inviter proves: who speaks, and for which vault.
    pub(super) fn new(nonces: &Nonces, transcript: &[u8]) -> Self {
        let numbers = [nonces.joiner.0, nonces.inviter.0].concat();
        let key = blake3::derive_key("larder 2026 pairing words v1", &numbers);
        let hash = blake3::keyed_hash(&key, transcript);
        let [first, second, third, ..] = *hash.as_bytes();
        let bits = u32::from_be_bytes([0, first, second, third]) >> 2;
        let list = Language::English.word_list();
        let word = |bits: u32| list[usize::try_from(bits & WORD_MASK).expect("eleven bits fit")];
        Self([word(bits >> WORD_BITS), word(bits)])
    }
}

impl fmt::Display for CompareWords {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [first, second] = self.0;
        write!(formatter, "{first} {second}")
    }
}
