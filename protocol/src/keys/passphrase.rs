//! A passphrase that a person chose: the same bytes however it was typed.
//!
//! In the way of OpaqueString (RFC 8265, 4.2): every space is the ASCII one, then NFC; control
//! characters are refused. Source: specs/keys.md, "Passphrase".

use std::fmt;

use thiserror::Error;
use unicode_normalization::UnicodeNormalization;
use zeroize::Zeroizing;

use crate::limits::{PASSPHRASE_BYTES_MAX, PASSPHRASE_CHARACTERS_MIN};

/// NFC makes at most three bytes of one (Unicode Standard Annex #15).
const GROWTH_MAX: usize = 3;

/// A passphrase in its one form.
#[derive(Clone, PartialEq, Eq)]
pub struct Passphrase(Zeroizing<String>);

/// Why a text is no passphrase.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum PassphraseError {
    /// Nothing at all.
    #[error("the passphrase is empty")]
    Empty,
    /// Fewer characters than a new one has to have.
    #[error("a passphrase has at least {PASSPHRASE_CHARACTERS_MIN} characters")]
    TooShort,
    /// More bytes than are read.
    #[error("a passphrase has at most {PASSPHRASE_BYTES_MAX} bytes")]
    TooLong,
    /// A line end, a tab, or another control character in it.
    #[error("a passphrase is one line without control characters")]
    Control,
}

impl Passphrase {
    /// Takes a text as it was typed, without its line end.
    ///
    /// # Errors
    /// [`PassphraseError`], but for [`PassphraseError::TooShort`]: what was once accepted opens.
    pub fn typed(text: &str) -> Result<Self, PassphraseError> {
        if text.is_empty() {
            return Err(PassphraseError::Empty);
        }
        if text.len() > PASSPHRASE_BYTES_MAX {
            return Err(PassphraseError::TooLong);
        }
        if text.chars().any(char::is_control) {
            return Err(PassphraseError::Control);
        }
        // Room from the start: a string that grows leaves copies behind.
        let mut one = Zeroizing::new(String::with_capacity(GROWTH_MAX * text.len()));
        one.extend(text.chars().map(plain_space).nfc());
        // A form that is too long could not be given again.
        if one.len() > PASSPHRASE_BYTES_MAX {
            return Err(PassphraseError::TooLong);
        }
        Ok(Self(one))
    }

    /// Takes a text that is to seal something from now on.
    ///
    /// # Errors
    /// [`PassphraseError`].
    pub fn chosen(text: &str) -> Result<Self, PassphraseError> {
        let passphrase = Self::typed(text)?;
        match passphrase.0.chars().count() < PASSPHRASE_CHARACTERS_MIN {
            true => Err(PassphraseError::TooShort),
            false => Ok(passphrase),
        }
    }

    /// The one form: for whoever opens or seals with it, never for output.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The bytes that a key is derived from, UTF-8.
    pub(super) fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

/// A space of any kind (category Zs) as the ASCII one.
const fn plain_space(character: char) -> char {
    match character {
        '\u{a0}' | '\u{1680}' | '\u{2000}'..='\u{200a}' | '\u{202f}' | '\u{205f}' | '\u{3000}' => {
            ' '
        }
        other => other,
    }
}

impl fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passphrase(..)")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    // KEYS-15
    #[test]
    fn it_is_the_same_however_it_was_typed() {
        let one = Passphrase::typed("caf\u{e9} au lait").unwrap();
        // Decomposed, as some systems type it, and with spaces that do not break.
        let other = Passphrase::typed("cafe\u{301}\u{a0}au\u{3000}lait").unwrap();
        assert_eq!(one.as_bytes(), other.as_bytes());
        // What looks alike and is something else stays so; so does case, and a space at the end.
        for differs in
            ["cafe au lait", "Caf\u{e9} au lait", "caf\u{e9} au lait ", "caf\u{e9}  au lait"]
        {
            assert_ne!(one, Passphrase::typed(differs).unwrap(), "{differs}");
        }
        assert!(!format!("{one:?}").contains("lait"));
    }

    // KEYS-15
    #[test]
    fn what_is_none_is_refused() {
        let refused = |text: &str| Passphrase::chosen(text).unwrap_err();
        assert_eq!(refused(""), PassphraseError::Empty);
        assert_eq!(refused("1234567"), PassphraseError::TooShort);
        assert_eq!(refused("two\nlines of text"), PassphraseError::Control);
        assert_eq!(refused("a\u{85}bcdefgh"), PassphraseError::Control);
        assert_eq!(refused(&"x".repeat(PASSPHRASE_BYTES_MAX + 1)), PassphraseError::TooLong);
        Passphrase::chosen(&"x".repeat(PASSPHRASE_BYTES_MAX)).unwrap();
        Passphrase::typed("1234567").unwrap();
        // Four bytes each become twelve.
        assert_eq!(refused(&"\u{1d160}".repeat(100)), PassphraseError::TooLong);
        // Counted in characters, not in bytes.
        assert_eq!(refused("\u{e9}\u{e9}\u{e9}\u{e9}"), PassphraseError::TooShort);
    }

    proptest! {
        // KEYS-15
        #[test]
        fn its_form_is_a_fixed_point_and_fits(text in "\\PC{1,60}") {
            let once = Passphrase::typed(&text).unwrap();
            prop_assert!(once.0.len() <= GROWTH_MAX * text.len());
            let form = once.0.as_str().to_owned();
            prop_assert_eq!(Passphrase::typed(&form).unwrap(), once);
        }
    }
}
