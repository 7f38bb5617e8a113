//! A passphrase that the keyring of a desktop keeps (Secret Service: GNOME Keyring, KWallet, KeePassXC):
//! under which attributes it lies there, and the command that prints it at a start.
//! Source: specs/command_line.md, "Passphrase".

use std::fmt;

/// What prints a passphrase, but for the tag.
const LOOKUP: &str = "secret-tool lookup application larder key ";
/// Hex digits of a tag.
const TAG_DIGITS: usize = 16;

/// One secret in a keyring, found by a tag that is random: two homes of one user never share one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KeyringEntry(String);

impl KeyringEntry {
    /// A new entry; nothing is kept under it yet.
    ///
    /// # Errors
    /// When the system gives no random bytes.
    pub(crate) fn generate() -> Result<Self, getrandom::Error> {
        Ok(Self(format!("{:016x}", getrandom::u64()?)))
    }

    /// The entry with this tag, if it is one.
    pub(crate) fn tagged(tag: &str) -> Option<Self> {
        let is_digit = |one: u8| one.is_ascii_digit() || (b'a'..=b'f').contains(&one);
        (tag.len() == TAG_DIGITS && tag.bytes().all(is_digit)).then(|| Self(tag.to_owned()))
    }

    /// The entry that a command of the settings reads, if it is the one that larder has set.
    pub(crate) fn of_command(line: &str) -> Option<Self> {
        line.strip_prefix(LOOKUP).and_then(Self::tagged)
    }

    /// The command that prints the passphrase.
    pub(crate) fn command(&self) -> String {
        format!("{LOOKUP}{}", self.0)
    }

    /// By what it is found, as the tool takes it.
    pub(crate) fn attributes(&self) -> [&str; 4] {
        ["application", "larder", "key", &self.0]
    }
}

impl fmt::Display for KeyringEntry {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // CLI-24
    #[test]
    fn only_a_command_that_larder_has_set_is_taken_for_one() {
        let entry = KeyringEntry::generate().unwrap();
        assert_ne!(entry, KeyringEntry::generate().unwrap());
        assert_eq!(KeyringEntry::of_command(&entry.command()), Some(entry.clone()));
        assert_eq!(KeyringEntry::tagged(&entry.to_string()), Some(entry.clone()));
        for other in [
            "secret-tool lookup app larder",
            "secret-tool lookup application larder key 0123456789abcdeg",
            "secret-tool lookup application larder key 0123456789abcdef; reboot",
            "secret-tool lookup application larder key 0123456789ABCDEF",
        ] {
            assert_eq!(KeyringEntry::of_command(other), None, "{other}");
        }
    }
}
