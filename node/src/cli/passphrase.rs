//! `passphrase`: how the device key is kept on disk.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use data_encoding::HEXLOWER;
use larder_protocol::keys::Passphrase;
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

use super::{
    desktop_keyring,
    output::Output,
    session::Session,
    signals,
    unlock::{ask_new, chosen, from_command, from_file},
};
use crate::{
    command::{Command, ExitKind, Failure, Launch, PassphraseAct, Secret},
    home::{HomeError, KeyringEntry, is_sealed, passphrase_command},
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
  the setting device.passphrase_command              prints it, such as `pass show larder`
  the terminal                                       asks

A keyring (GNOME Keyring, KWallet, KeePassXC) is open while its user is logged in: a node that is to \
    start before that needs one of the other ways. The passphrase there is random, and nobody knows it.

Whoever forgets it makes a new device with `larder recover` and the 24 words, and revokes this one.

Examples:
  larder passphrase                       whether the key is sealed
  larder passphrase set                   seals it, or changes the passphrase
  larder passphrase set --keyring         seals it; the keyring of this desktop opens it
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
  larder passphrase set --keyring
  larder passphrase set --new-passphrase-file new.txt
  larder passphrase set --passphrase-file old.txt --new-passphrase-file new.txt")]
    Set {
        /// File with the new passphrase in one line [default: asked for on the terminal]
        #[arg(long, value_name = "FILE")]
        new_passphrase_file: Option<PathBuf>,
        /// A random one that the keyring of this desktop keeps; starts ask it from now on
        #[arg(long, conflicts_with = "new_passphrase_file")]
        keyring: bool,
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
        Some(Act::Set { new_passphrase_file, keyring }) => {
            let current = match is_sealed {
                true => Some(secret(current()?.ok_or_else(nobody_to_ask)?)),
                false => None,
            };
            let new = match new_passphrase_file {
                _ if keyring => return leave_to_keyring(session, current, output).await,
                Some(path) => chosen(&from_file(&path)?)?,
                None => ask_new()?.ok_or_else(no_new_one)?,
            };
            PassphraseAct::Set { current, new: secret(new), keyring: None }
        }
    };
    let before = keyring_entry(directory)?;
    let done = session.ask(Command::Passphrase { act }, output).await?;
    forget_unless_asked(before, directory);
    Ok(done)
}

/// Seals the key with a passphrase that nobody but the keyring knows.
async fn leave_to_keyring<L: Launch + 'static>(
    session: &Session<L>,
    current: Option<Secret>,
    output: &mut Output,
) -> Result<ExitKind, Failure> {
    let directory = session.directory();
    if let (Some(current), Some(kept)) = (&current, keyring_entry(directory)?)
        && from_command(&kept.command()).is_ok_and(|text| *text == current.expose())
    {
        // It is there already: one more look whether it opens.
        let act = PassphraseAct::Check { current: current.clone() };
        return session.ask(Command::Passphrase { act }, output).await;
    }
    let random = |error: getrandom::Error| Failure::failed(format!("no random bytes: {error}"));
    let entry = KeyringEntry::generate().map_err(random)?;
    let new = random_passphrase().map_err(random)?;
    desktop_keyring::keep(&entry, &new, &directory.display().to_string())?;
    let act = PassphraseAct::Set { current, new, keyring: Some(entry.to_string()) };
    // An entry stays in the keyring whatever becomes of this: a node that was not heard to the end may be sealing
    // with it still, and one that opens nothing does no harm.
    session.ask(Command::Passphrase { act }, output).await
}

/// What the settings of a home take from a keyring.
fn keyring_entry(directory: &Path) -> Result<Option<KeyringEntry>, HomeError> {
    Ok(passphrase_command(directory)?.as_deref().and_then(KeyringEntry::of_command))
}

/// Takes an entry out of the keyring, but never one that a start may ask for.
fn forget_unless_asked(entry: Option<KeyringEntry>, directory: &Path) {
    if let (Some(entry), Ok(asked)) = (entry, keyring_entry(directory))
        && asked.as_ref() != Some(&entry)
    {
        desktop_keyring::forget(&entry);
    }
}

/// 256 bits as text.
fn random_passphrase() -> Result<Secret, getrandom::Error> {
    let mut bytes = Zeroizing::new([0; 32]);
    getrandom::fill(&mut *bytes)?;
    Ok(Secret::new(HEXLOWER.encode(&*bytes)))
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
