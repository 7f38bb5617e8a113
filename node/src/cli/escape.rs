//! Names that are safe to print: a file's name must not be able to steer a terminal.

use std::fmt::Write;

/// Text of bytes in one line: what is no UTF-8 and what is no visible character comes as `\x..`
/// or `\u{..}`, a backslash as `\\`.
pub(super) fn visible(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for piece in bytes.utf8_chunks() {
        for c in piece.valid().chars() {
            match c {
                '\\' => text.push_str("\\\\"),
                // The marks that turn the direction of writing make a name look like another one.
                '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
                    text.extend(c.escape_unicode());
                }
                c if c.is_control() => text.extend(c.escape_default()),
                c => text.push(c),
            }
        }
        for byte in piece.invalid() {
            let _infallible = write!(text, "\\x{byte:02x}");
        }
    }
    text
}

/// The same for text that came from another node or a failing system.
pub(super) fn visible_text(text: &str) -> String {
    visible(text.as_bytes()).replace("\\\\", "\\")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_name_reaches_the_terminal_as_a_command() {
        assert_eq!(visible("Käse/日本.txt".as_bytes()), "Käse/日本.txt");
        assert_eq!(visible(b"a\nb\x1b[2J\\"), "a\\nb\\u{1b}[2J\\\\");
        assert_eq!(visible(b"caf\xe9"), "caf\\xe9");
        assert_eq!(visible("gpj\u{202e}.exe".as_bytes()), "gpj\\u{202e}.exe");
        assert_eq!(visible_text("a\tb\\c"), "a\\tb\\c");
    }
}
