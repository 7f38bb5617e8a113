//! The recovery phrase: 24 English BIP39 words that hold 256 bits.
//!
//! The words are the entropy itself; no password and no PBKDF2 stand between them, because 256
//! random bits need no stretching. The phrase is never shown by accident: there is no `Display`,
//! `Debug` is blank, and errors name positions, never words. Source: specs/keys.md.

use std::fmt;

use bip39::{Language, Mnemonic};
use thiserror::Error;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::recovery::RecoveryKeys;

/// Words of a phrase.
pub const PHRASE_WORDS: usize = 24;
/// The longest word of the list has eight letters; a space follows.
const WORD_BYTES_MAX: usize = 9;

/// The secret that a person keeps on paper: whoever has it has the vault.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Phrase {
    entropy: [u8; 32],
}

/// Why a text is not a recovery phrase. Never repeats a part of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum PhraseError {
    /// Too few or too many words.
    #[error("a recovery phrase has {PHRASE_WORDS} words, this text has {words}")]
    WordCount {
        /// Words met.
        words: usize,
    },
    /// A word that is not in the list.
    #[error("word {position} is not a word of recovery phrases: check its spelling")]
    UnknownWord {
        /// Which word, counted from 1.
        position: usize,
    },
    /// All words exist, but not together.
    #[error(
        "every word exists, but the check in the last word does not fit: \
         a word is wrong, or two are swapped"
    )]
    Check,
}

impl Phrase {
    /// Makes the phrase of 32 random bytes.
    pub const fn from_entropy(entropy: [u8; 32]) -> Self {
        Self { entropy }
    }

    /// The 256 bits, to be sealed for guardians.
    pub(crate) const fn entropy(&self) -> &[u8; 32] {
        &self.entropy
    }

    /// Reads a phrase. Upper case, any white space, commas, and numbers before the words (`1.`,
    /// `2)`) do no harm.
    ///
    /// # Errors
    /// [`PhraseError`] says which word to look at.
    pub fn parse(text: &str) -> Result<Self, PhraseError> {
        let plain = Zeroizing::new(text.to_ascii_lowercase());
        let words = || {
            let separator = |c: char| c.is_whitespace() || c == ',' || c == ';';
            plain.split(separator).filter(|word| !is_ornament(word))
        };
        let count = words().count();
        if count != PHRASE_WORDS {
            return Err(PhraseError::WordCount { words: count });
        }
        let mut joined = Zeroizing::new(String::with_capacity(text.len() + PHRASE_WORDS));
        for word in words() {
            joined.push_str(word);
            joined.push(' ');
        }
        let mnemonic = Mnemonic::parse_in_normalized(Language::English, &joined);
        let mnemonic = mnemonic.map_err(|error| match error {
            bip39::Error::UnknownWord(index) => PhraseError::UnknownWord { position: index + 1 },
            bip39::Error::BadWordCount(_)
            | bip39::Error::BadEntropyBitCount(_)
            | bip39::Error::InvalidChecksum
            | bip39::Error::AmbiguousLanguages(_) => PhraseError::Check,
        })?;
        let bytes = Zeroizing::new(mnemonic.to_entropy());
        let entropy = <[u8; 32]>::try_from(bytes.as_slice()).map_err(|_| PhraseError::Check)?;
        Ok(Self { entropy })
    }

    /// The words, for showing them on purpose.
    pub fn words(&self) -> Words {
        let mnemonic = Mnemonic::from_entropy_in(Language::English, &self.entropy);
        Words(mnemonic.expect("256 bits are a length that BIP39 knows"))
    }

    /// All keys that follow from the phrase.
    pub fn recovery(&self) -> RecoveryKeys {
        RecoveryKeys::derive(&self.entropy)
    }
}

/// A number before a word, or nothing.
fn is_ornament(word: &str) -> bool {
    word.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b')' | b':'))
}

impl fmt::Debug for Phrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Phrase(secret)")
    }
}

/// The words of a phrase in clear: [`Display`](fmt::Display) puts one space between them.
pub struct Words(Mnemonic);

impl Words {
    /// The words with one space between them, wiped when it is dropped.
    pub fn text(&self) -> Zeroizing<String> {
        // Room for all from the start: a string that grows leaves copies behind.
        let mut text = Zeroizing::new(String::with_capacity(PHRASE_WORDS * WORD_BYTES_MAX));
        for (index, word) in self.iter().enumerate() {
            if index > 0 {
                text.push(' ');
            }
            text.push_str(word);
        }
        text
    }

    /// The words in order.
    pub fn iter(&self) -> impl Iterator<Item = &'static str> {
        self.0.words()
    }
}

impl fmt::Display for Words {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, word) in self.iter().enumerate() {
            let space = if index == 0 { "" } else { " " };
            write!(f, "{space}{word}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text() -> String {
        Phrase::from_entropy([0x5a; 32]).words().to_string()
    }

    // KEYS-1
    #[test]
    fn words_and_entropy_round_trip() {
        let phrase = Phrase::parse(&text()).unwrap();
        assert_eq!(phrase.entropy, [0x5a; 32]);
        assert_eq!(text().split(' ').count(), PHRASE_WORDS);
        let shown = phrase.words().text();
        assert_eq!(*shown, text());
        assert_eq!(shown.capacity(), PHRASE_WORDS * WORD_BYTES_MAX, "it was never moved");
    }

    // KEYS-2
    #[test]
    fn case_space_and_numbers_do_no_harm() {
        let words = text();
        let shouted = words.to_uppercase().replace(' ', "\n\t ");
        let numbered: String =
            (1..).zip(words.split(' ')).map(|(n, w)| format!("{n}. {w},\n")).collect();
        for written in [shouted, numbered] {
            assert_eq!(Phrase::parse(&written).unwrap().entropy, [0x5a; 32]);
        }
    }

    // KEYS-3
    #[test]
    fn errors_say_where_and_never_what() {
        let words = text();
        let mut list: Vec<&str> = words.split(' ').collect();
        list[6] = "abandom";
        let error = Phrase::parse(&list.join(" ")).unwrap_err();
        assert_eq!(error, PhraseError::UnknownWord { position: 7 });
        assert!(!error.to_string().contains("abandom"));
        let short = words.rsplit_once(' ').unwrap().0;
        assert_eq!(Phrase::parse(short).unwrap_err(), PhraseError::WordCount { words: 23 });
        list[6] = "zoo";
        assert_eq!(Phrase::parse(&list.join(" ")).unwrap_err(), PhraseError::Check);
        assert_eq!(Phrase::parse("").unwrap_err(), PhraseError::WordCount { words: 0 });
        assert_eq!(format!("{:?}", Phrase::from_entropy([1; 32])), "Phrase(secret)");
    }
}
