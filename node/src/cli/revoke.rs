//! `revoke`: throwing a device out.

use std::path::PathBuf;

use clap::Args;

use super::restore::phrase_from;
use crate::command::{Command, Failure, RemovalReason};

#[derive(Debug, Args)]
#[command(after_help = "Everybody who hears of it refuses the device from then on, what is saved \
    from then on is sealed with a new key that it does not have, and what it saved stays \
    restorable. It cannot be taken back: found again, it joins anew with a fresh home.

If a thief was quicker and removed your devices, the word of the recovery phrase comes before his: \
    --phrase-file FILE --undo. Of two devices that remove each other the one that joined first stays.

Examples:
  larder devices                        names and ids
  larder revoke old-phone --reason stolen
  larder revoke laptop --reason replaced
  larder revoke phone --undo --phrase-file words.txt")]
pub(super) struct RevokeArguments {
    /// Name of the device, or the beginning of its id
    device: String,
    /// Why: decides what you are told to do next
    #[arg(long, value_enum, default_value_t)]
    reason: RemovalReason,
    /// Devices that it has removed come back. Whom it took in stays, and is removed in the same way
    #[arg(long)]
    undo: bool,
    /// File with the 24 words; `-` reads them from stdin
    #[arg(long, value_name = "FILE")]
    phrase_file: Option<PathBuf>,
}

impl RevokeArguments {
    pub(super) fn command(self) -> Result<Command, Failure> {
        let phrase = self.phrase_file.as_deref().map(phrase_from).transpose()?;
        let Self { device, reason, undo, .. } = self;
        Ok(Command::Revoke { device, reason, undo, phrase })
    }
}
