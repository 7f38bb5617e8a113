//! `init`: a vault, its first device, and the phrase, shown once.

use std::{
    fmt::Write as _,
    io::{self, IsTerminal, Write},
    path::{Path, PathBuf},
};

use clap::Args;
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use super::{household, output::Output, phrase_check, session::Session};
use crate::{
    command::{ExitKind, Failure, InitOptions, Launch, Outcome},
    control::Client,
    engine::generated_site,
    home::{Home, write_new},
};

#[derive(Debug, Args)]
#[command(
    after_help = "The 24 words are the only way back when all devices are lost, and whoever \
    has them can read everything. They are shown this once; nothing can show them again.

Examples:
  larder init
  larder init --name laptop --site home
  larder init --phrase-out /media/usb/phrase.txt
  larder init --passphrase-file FILE      seals the device key, see `larder passphrase --help`
  larder init --no-check                  does not ask for three of the words"
)]
pub(super) struct InitArguments {
    /// Name of this device [default: the host's name]
    #[arg(long)]
    name: Option<String>,
    /// Household in which this device stands: copies in one household count as one. Asked for on a
    /// terminal [default: a new name, such as home-maple-orbit]
    #[arg(long)]
    site: Option<String>,
    /// Write the phrase to a new file that only you can read, and do not show it
    #[arg(long, value_name = "FILE")]
    phrase_out: Option<PathBuf>,
    /// Do not ask for three of the words, which a terminal does to see that they are on paper
    #[arg(long)]
    no_check: bool,
}

pub(super) async fn run<L: Launch + 'static>(
    session: &Session<L>,
    arguments: InitArguments,
    output: &mut Output,
) -> Result<ExitKind, Failure> {
    let name = arguments.name.unwrap_or_else(host_name);
    let site = match arguments.site {
        Some(site) => site,
        None => {
            let generated = generated_site()?;
            let is_fresh = !household::has_vault(session.directory());
            let asked = if is_fresh { household::asked(output, &generated)? } else { None };
            asked.unwrap_or(generated)
        }
    };
    let mut config = crate::home::Config::default();
    config.set("device.name", Some(&name))?;
    config.set("device.site", Some(&site))?;
    // Waiting for a node to end would be in vain.
    if let Ok(Some(_)) = Client::connect(session.directory()).await {
        let home = session.directory().display();
        return Err(Failure::failed(format!("a node runs on the home {home} already")).hint(
            "`larder status` tells what it is; for another vault name another --home, and if it \
             has no vault yet, stop it with `larder down`, then run this again",
        ));
    }
    let seal = session.unlock().for_new_home(session.directory())?;
    let create = |directory: &Path| Home::create(directory, "init", seal.as_ref());
    let home = session.own_home(create).await?;
    session.unlock().unlock(&home)?;
    let mut extra = Map::new();
    let is_shown = arguments.phrase_out.is_none() && io::stdout().is_terminal();
    let checks = is_shown && !arguments.no_check && household::is_somebody_there(output);
    let mut words = Zeroizing::new(String::with_capacity(SHOWN_BYTES_MAX));
    let outcome = {
        let to = arguments.phrase_out.as_deref();
        let (json, is_quiet) = (output.is_json(), output.is_quiet());
        let mut reveal = |phrase: &str| match to {
            Some(path) => write_phrase(path, phrase),
            None if json => {
                extra.insert("phrase".to_owned(), Value::String(phrase.to_owned()));
                Ok(())
            }
            None if is_quiet => show(&Zeroizing::new([phrase, "\n"].concat())),
            None => {
                if checks {
                    words.push_str(phrase);
                }
                show_phrase(phrase)
            }
        };
        session.launch().init(&home, InitOptions { name, site }, &mut reveal).await?
    };
    if checks {
        // The vault is made by now: whoever goes away here has one, and its words.
        phrase_check::run(&words, &mut io::stdin().lock(), &mut io::stderr())?;
    }
    if let Some(path) = &arguments.phrase_out {
        output.say(&format!(
            "The recovery phrase is in {}; keep it off this device.",
            path.display()
        ));
    }
    Ok(output.summary(&Outcome::Init(outcome), extra))
}

/// Writes the phrase to a file that was not there before; durable when this returns.
fn write_phrase(path: &Path, phrase: &str) -> Result<(), Failure> {
    let mut text = Zeroizing::new(String::with_capacity(phrase.len() + 1));
    text.push_str(phrase);
    text.push('\n');
    write_new(path, text.as_bytes()).map_err(|error| {
        Failure::failed(format!("cannot write the phrase to {}: {error}", path.display()))
            .hint("name a new file in a directory that you can write to; no vault was made")
    })
}

/// A phrase as it is shown: 24 words of 16 bytes and the lines around them, with room to spare.
const SHOWN_BYTES_MAX: usize = 1024;

/// Shows the phrase on the terminal, numbered, so that it can be copied to paper.
fn show_phrase(phrase: &str) -> Result<(), Failure> {
    let words: Vec<&str> = phrase.split_whitespace().collect();
    let rows = words.len().div_ceil(4);
    // Room for all from the start: a string that grows leaves copies behind.
    let mut text = Zeroizing::new(String::with_capacity(SHOWN_BYTES_MAX));
    text.push_str("Your recovery phrase. Write it on paper, now; it is never shown again.\n\n");
    for row in 0..rows {
        for column in 0..4 {
            let at = column * rows + row;
            if let Some(word) = words.get(at) {
                // A string takes whatever is written to it.
                let _ = write!(text, "  {:>2}. {word:<9}", at + 1);
            }
        }
        text.push('\n');
    }
    text.push('\n');
    show(&text)
}

/// Writes to the terminal at once: the phrase is not to stay in a buffer.
fn show(text: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout();
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).map_err(|error| {
        Failure::failed(format!("cannot show the phrase: {error}"))
            .hint("no vault was made; give --phrase-out FILE, or run it on a terminal")
    })
}

/// The name of this machine, as a device's name.
pub(super) fn host_name() -> String {
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let plain = !name.trim().is_empty() && !name.chars().any(char::is_control);
    if plain { name.chars().take(60).collect() } else { "device".to_owned() }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt};

    use super::*;

    // CLI-11
    #[test]
    fn a_phrase_file_is_new_and_private() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("phrase.txt");
        write_phrase(&path, "abandon ability").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "abandon ability\n");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
        let failure = write_phrase(&path, "other").unwrap_err();
        assert!(failure.hint.is_some() && !failure.message.contains("other"));
        assert_eq!(fs::read_to_string(&path).unwrap(), "abandon ability\n");
    }
}
