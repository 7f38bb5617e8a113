//! The code that is spoken: where to meet, and three words.
//!
//! ```text
//! 7-maple-orbit-candy      channel 1..999, then words of the BIP39 list: 33 bits
//! ```
//! Source: specs/meeting.md.

use std::{fmt, str::FromStr};

use bip39::Language;
use ed25519_dalek::SigningKey;
use thiserror::Error;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::ids::DeviceId;

/// Words in a code.
const CODE_WORDS: usize = 3;
/// Channels there are: short to say, and more than are in use in one place.
pub const CHANNELS: u16 = 999;
/// Letters after which every word of the list is told from all others.
const PREFIX_LETTERS: usize = 4;
/// No text that is longer is looked at.
const CODE_TEXT_MAX: usize = 200;

/// Where two devices meet. No secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Channel(u16);

impl Channel {
    /// The channel of this number, 1 to [`CHANNELS`].
    pub fn new(number: u16) -> Option<Self> {
        (1..=CHANNELS).contains(&number).then_some(Self(number))
    }

    /// The channel for a random number.
    pub const fn of_random(random: u16) -> Self {
        Self(random % CHANNELS + 1)
    }

    /// Its number.
    pub const fn number(self) -> u16 {
        self.0
    }

    /// The one after it: a channel serves one code, so that who is late does not use up the code of
    /// somebody else.
    pub const fn following(self) -> Self {
        Self(self.0 % CHANNELS + 1)
    }

    /// Seed of the Ed25519 key by which the host is found there. Everybody can make it: it names the
    /// place and proves nothing.
    pub fn seed(self) -> [u8; 32] {
        blake3::derive_key("larder 2026 meeting channel v1", &self.0.to_le_bytes())
    }

    /// The id under which the host is found.
    pub fn id(self) -> DeviceId {
        let key = SigningKey::from_bytes(&self.seed());
        DeviceId::from_bytes(key.verifying_key().to_bytes())
    }
}

/// A code: a secret until it was used or has expired, five minutes at most.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct SpokenCode {
    #[zeroize(skip)]
    channel: Channel,
    words: [u16; CODE_WORDS],
}

/// Why a text is not a code.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CodeError {
    /// Nothing like one.
    #[error("a code is a number and {CODE_WORDS} words, as in 7-maple-orbit-candy")]
    NotACode,
    /// The number is none that codes have.
    #[error("the number of a code is between 1 and {CHANNELS}")]
    Channel,
    /// Words are missing or too many.
    #[error("a code has {CODE_WORDS} words after its number, this text has {words}")]
    WordCount {
        /// How many there are.
        words: usize,
    },
    /// A word that no code has.
    #[error("word {position} of the code is not on the list of words{}", meant(.like))]
    UnknownWord {
        /// Counted from 1.
        position: usize,
        /// Words of the list that differ in one letter.
        like: Vec<&'static str>,
    },
}

fn meant(like: &[&str]) -> String {
    if like.is_empty() { String::new() } else { format!("; did you mean {}?", like.join(" or ")) }
}

impl SpokenCode {
    /// Makes a code of random bytes.
    pub fn random(channel: Channel, random: [u8; 2 * CODE_WORDS]) -> Self {
        let mut words = [0; CODE_WORDS];
        for (word, bytes) in words.iter_mut().zip(random.chunks_exact(2)) {
            // 2^16 is a multiple of 2^11: no word is likelier than another.
            *word = u16::from_le_bytes([bytes[0], bytes[1]]) % 2048;
        }
        Self { channel, words }
    }

    /// Where to meet.
    pub const fn channel(&self) -> Channel {
        self.channel
    }

    /// The words as CPace takes them.
    pub(super) fn password(&self) -> Zeroizing<String> {
        let list = Language::English.word_list();
        let words = self.words.map(|word| list[usize::from(word)]);
        Zeroizing::new(words.join("-"))
    }

    /// The text to speak.
    pub fn to_text(&self) -> String {
        format!("{}-{}", self.channel.0, *self.password())
    }
}

impl fmt::Debug for SpokenCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SpokenCode({}-secret)", self.channel.0)
    }
}

/// Whether somebody who typed this meant a code and not a ticket.
pub fn sounds_like_a_code(text: &str) -> bool {
    text.trim_start().starts_with(|first: char| first.is_ascii_digit())
}

impl FromStr for SpokenCode {
    type Err = CodeError;

    /// Reads a code. Upper case, and white space, commas or dots instead of hyphens do no harm; four
    /// letters of a word are enough.
    fn from_str(text: &str) -> Result<Self, CodeError> {
        if text.len() > CODE_TEXT_MAX || !sounds_like_a_code(text) {
            return Err(CodeError::NotACode);
        }
        let plain = Zeroizing::new(text.to_ascii_lowercase());
        let separator = |c: char| c.is_whitespace() || matches!(c, '-' | ',' | '.' | '_');
        let mut parts = plain.split(separator).filter(|part| !part.is_empty());
        let number = parts.next().and_then(|number| number.parse().ok());
        let channel = number.and_then(Channel::new).ok_or(CodeError::Channel)?;
        let count = parts.clone().count();
        if count != CODE_WORDS {
            return Err(CodeError::WordCount { words: count });
        }
        let mut words = [0; CODE_WORDS];
        for (index, (word, text)) in words.iter_mut().zip(parts).enumerate() {
            *word = find(text).ok_or_else(|| CodeError::UnknownWord {
                position: index + 1,
                like: similar(text),
            })?;
        }
        Ok(Self { channel, words })
    }
}

/// The place of a word in the list.
fn find(text: &str) -> Option<u16> {
    let list = Language::English.word_list();
    let is_short = text.len() == PREFIX_LETTERS;
    let whole = list.iter().position(|word| *word == text);
    let begun = || list.iter().position(|word| is_short && word.starts_with(text));
    whole.or_else(begun).and_then(|index| u16::try_from(index).ok())
}

/// Up to three words of the list that are one letter away.
fn similar(text: &str) -> Vec<&'static str> {
    let list = Language::English.word_list();
    list.iter().copied().filter(|word| is_near(word, text)).take(3).collect()
}

/// Whether one letter was changed, left out, put in, or changed places with the next.
fn is_near(word: &str, text: &str) -> bool {
    let (word, text) = (word.as_bytes(), text.as_bytes());
    let same = word.iter().zip(text).take_while(|(one, other)| one == other).count();
    let (word, text) = (&word[same..], &text[same..]);
    match (word, text) {
        ([a, b, rest @ ..], [c, d, other @ ..]) if (a, b) == (d, c) && rest == other => true,
        ([_, rest @ ..], [_, other @ ..]) if rest == other => true,
        ([_, rest @ ..], _) if rest == text => true,
        (_, [_, other @ ..]) => word == other,
        _ => false,
    }
}
