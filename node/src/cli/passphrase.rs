//! `passphrase`: how the device key is kept on disk.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use larder_protocol::keys::Passphrase;
use tokio_util::sync::CancellationToken;

use super::{
    output::Output,
    session::Session,
    signals,
    unlock::{ask_new, chosen, from_file},
};
use crate::{
    command::{Command, ExitKind, Failure, Launch, PassphraseAct, Secret},
    home::{HomeError, is_sealed},
};

#[derive(Debug, Args)]
#[command(
    after_help = "The device key is what makes this machine a device of the vault. In clear (the \
    default) whoever copies the disk can read the vault and act as this device until it is revoked. \
    Sealed with a passphrase he cannot, and every start of larder needs the passphrase; commands \
    beside a running node do not.

A start takes it from the first of these that there is:
  --passphrase-file FILE or LARDER_PASSPHRASE_FILE   a file, or /dev/fd/N
  systemd                                            the credential `larder.passphrase`
  the setting device.passphrase_command              prints it, such as `secret-tool lookup app larder`
  the terminal                                       asks

Whoever forgets it makes a new device with `larder recover` and the 24 words, and revokes this one.

Examples:
  larder passphrase                       whether the key is sealed
  larder passphrase set                   seals it, or changes the passphrase
  larder passphrase check                 whether I still know it
  larder passphrase clear
  larder init --passphrase-file FILE      sealed from the first moment; so do join and recover
  systemd-creds encrypt --name=larder.passphrase FILE /etc/credstore.encrypted/larder.passphrase"
)]
pub(super) struct PassphraseArguments {
    #[command(subcommand)]
    act: Option<Act>,
}

#[derive(Debug, Subcommand)]
enum Act {
    /// Seal the device key, or seal it with another passphrase
    #[command(after_help = "Examples:
  larder passphrase set
  larder passphrase set --new-passphrase-file new.txt
  larder passphrase set --passphrase-file old.txt --new-passphrase-file new.txt")]
    Set {
        /// File with the new passphrase in one line [default: asked for on the terminal]
        #[arg(long, value_name = "FILE")]
        new_passphrase_file: Option<PathBuf>,
    },
    /// Keep the device key in clear from now on
    #[command(after_help = "Examples:\n  larder passphrase clear")]
    Clear,
    /// Try the passphrase, and change nothing
    #[command(after_help = "Examples:\n  larder passphrase check")]
    Check,
}

pub(super) async fn run<L: Launch + 'static>(
    session: &Session<L>,
    arguments: PassphraseArguments,
    output: &mut Output,
) -> Result<ExitKind, Failure> {
    // Whoever is ended while he types leaves the terminal as it was.
    signals::watch(CancellationToken::new())?;
    let directory = session.directory();
    let is_sealed =
        is_sealed(directory)?.ok_or_else(|| HomeError::Missing(directory.to_owned()))?;
    let current = || session.unlock().current(directory);
    let act = match arguments.act {
        None => PassphraseAct::Show,
        Some(Act::Check) if is_sealed => {
            PassphraseAct::Check { current: secret(current()?.ok_or_else(nobody_to_ask)?) }
        }
        Some(Act::Check) => {
            return Err(Failure::failed(
                "the device key is in clear: there is no passphrase to try",
            )
            .hint("`larder passphrase set` seals it"));
        }
        // It is in clear already.
        Some(Act::Clear) if !is_sealed => PassphraseAct::Show,
        Some(Act::Clear) => {
            PassphraseAct::Clear { current: secret(current()?.ok_or_else(nobody_to_ask)?) }
        }
        Some(Act::Set { new_passphrase_file }) => {
            let current = match is_sealed {
                true => Some(secret(current()?.ok_or_else(nobody_to_ask)?)),
                false => None,
            };
            let new = match new_passphrase_file {
                Some(path) => chosen(&from_file(&path)?)?,
                None => ask_new()?.ok_or_else(no_new_one)?,
            };
            PassphraseAct::Set { current, new: secret(new) }
        }
    };
    session.ask(Command::Passphrase { act }, output).await
}

fn secret(passphrase: Passphrase) -> Secret {
    Secret::new(passphrase.as_str().to_owned())
}

fn nobody_to_ask() -> Failure {
    Failure::new(ExitKind::Key, "the device key is sealed, and nobody gave its passphrase")
        .hint("give it with --passphrase-file FILE, or run it on a terminal")
}

fn no_new_one() -> Failure {
    Failure::usage("there is no terminal to ask for the new passphrase")
        .hint("give it with --new-passphrase-file FILE; --passphrase-file is the present one")
}
