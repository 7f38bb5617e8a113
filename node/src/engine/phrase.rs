//! The 24 words that a person gives.

use larder_protocol::keys::phrase::Phrase;

use super::{Core, Member};
use crate::command::{ExitKind, Failure, Secret};

/// The phrase of these words.
pub(super) fn parse(words: &Secret) -> Result<Phrase, Failure> {
    Phrase::parse(words.expose()).map_err(|error| {
        Failure::new(ExitKind::Key, error.to_string())
            .hint("check each word against the sheet; 24 words of the English BIP39 list")
    })
}

/// The same, if it is that of the vault of this home.
pub(super) fn of_vault(core: &Core, member: &Member, words: &Secret) -> Result<Phrase, Failure> {
    let phrase = parse(words)?;
    if *core.log_of(&member.vault)?.recovery() == phrase.recovery().public() {
        return Ok(phrase);
    }
    Err(Failure::new(ExitKind::Key, "these are not the words of this vault")
        .hint("check each word against the sheet of this vault"))
}
