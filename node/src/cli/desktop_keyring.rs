//! The keyring of the desktop (Secret Service), through libsecret's `secret-tool`: a program that every
//! desktop has in its packages, where a library of our own would speak D-Bus for one secret.

use std::{
    io::{self, Write},
    process::{Command, Stdio},
};

use tracing::warn;

use super::unlock::from_command;
use crate::{
    command::{Failure, Secret},
    home::KeyringEntry,
};

const TOOL: &str = "secret-tool";
/// What to do without a keyring.
const ELSEWHERE: &str = "`larder passphrase set` takes a passphrase that you know; `larder passphrase --help` names \
    other ways to hand it to a start";

/// Keeps a passphrase in the keyring and reads it back; may have to ask the person to open the keyring.
pub(super) fn keep(entry: &KeyringEntry, passphrase: &Secret, device: &str) -> Result<(), Failure> {
    let label = format!("larder: key of {device}");
    let mut store = Command::new(TOOL);
    store.args(["store", "--label", &label]).args(entry.attributes());
    let stored = handed(store, passphrase).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => {
            Failure::failed("`secret-tool`, which speaks to keyrings, is missing")
                .hint("on Debian: apt install libsecret-tools, in the session of a desktop")
        }
        _ => Failure::failed(format!("`secret-tool` cannot be run: {error}")).hint(ELSEWHERE),
    })?;
    if !stored {
        return Err(Failure::failed("no keyring took the passphrase").hint(ELSEWHERE));
    }
    // What a start will do.
    match from_command(&entry.command()) {
        Ok(read) if *read == passphrase.expose() => Ok(()),
        _ => {
            forget(entry);
            Err(Failure::failed("the keyring does not give back what it took").hint(ELSEWHERE))
        }
    }
}

/// Takes an entry out of the keyring; what is left there opens nothing.
pub(super) fn forget(entry: &KeyringEntry) {
    let mut clear = Command::new(TOOL);
    let cleared = clear.arg("clear").args(entry.attributes());
    let cleared = cleared.stdin(Stdio::null()).stdout(Stdio::null()).status();
    if !cleared.is_ok_and(|status| status.success()) {
        warn!(
            "the keyring keeps an old passphrase that opens nothing, with the attribute key {entry}"
        );
    }
}

/// Runs a command that reads a secret to the end of its stdin. Whether it ended well.
fn handed(mut command: Command, secret: &Secret) -> io::Result<bool> {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn()?;
    // One that ends early has a reason, and says it by how it ends.
    let written = child.stdin.take().map(|mut stdin| stdin.write_all(secret.expose().as_bytes()));
    Ok(child.wait()?.success() && matches!(written, Some(Ok(()))))
}
