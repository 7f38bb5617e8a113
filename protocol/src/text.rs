//! Text that people or peers gave: bounded, and safe to show on a terminal.
//!
//! Source: specs/limits.md.

use crate::limits::TEXT_BYTES_MAX;

/// Whether a text is not empty, not longer than [`TEXT_BYTES_MAX`], and free of characters that
/// move the cursor, start an escape sequence or turn the direction of what follows.
pub fn is_plain(text: &str) -> bool {
    is_plain_within(text, TEXT_BYTES_MAX)
}

/// As [`is_plain`], with a bound of its own.
pub fn is_plain_within(text: &str, bytes_max: usize) -> bool {
    (1..=bytes_max).contains(&text.len()) && !text.chars().any(is_treacherous)
}

fn is_treacherous(c: char) -> bool {
    let turns =
        matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let breaks = matches!(c, '\u{2028}' | '\u{2029}');
    c.is_control() || turns || breaks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_people_pass_and_escape_sequences_do_not() {
        for fine in ["laptop", "Omas Küche", "居間", "a b"] {
            assert!(is_plain(fine));
        }
        for bad in ["", "a\nb", "\u{1b}[2J", "a\u{202e}b", &"x".repeat(257)] {
            assert!(!is_plain(bad));
        }
    }
}
