//! `restore` and `recover`: getting things back.

use std::{
    ffi::OsString,
    fs,
    io::{self, IsTerminal, Read, Write},
    path::{Path, PathBuf},
};

use clap::Args;
use larder_protocol::relaying::RelayAddress;
use zeroize::Zeroizing;

use super::{
    arguments::{absolute, inside, snapshot_name},
    pair::RelayArguments,
};
use crate::command::{Command, Failure, Overwrite, Secret, SnapshotName};

/// 24 words of at most 8 letters, with room for line ends and numbers.
const PHRASE_BYTES_MAX: u64 = 4096;

#[derive(Debug, Args)]
#[command(after_help = "An interrupted restore goes on where it was when it is given again. \
    Nothing outside DIR is ever written.

Examples:
  larder restore latest --to ~/restored
  larder restore 3fa9 letters photos/2024 --to /tmp/some
  larder restore latest --to ~/Documents --overwrite never --dry-run")]
pub(super) struct RestoreArguments {
    /// Snapshot: the first digits of its id as `larder snapshots` shows it, or `latest`: the one
    /// saved last, of one folder of one device
    #[arg(value_name = "SNAP", value_parser = snapshot_name)]
    snapshot: SnapshotName,
    /// What of it, counted from its root (or by its whole path); everything when nothing is given
    #[arg(value_name = "PATH")]
    paths: Vec<OsString>,
    /// Directory to restore into, made when it does not exist; the folder's whole path is made
    /// anew below it: /home/ann/letters comes to DIR/home/ann/letters
    #[arg(long, value_name = "DIR")]
    to: PathBuf,
    /// What happens to a file that is there already and differs; what is of another kind (a file
    /// where a folder goes) is kept and named, except with `always`
    #[arg(long, value_enum, default_value_t)]
    overwrite: Overwrite,
    /// Only show what would be written, by sizes and times; nothing is read there or changed
    #[arg(long)]
    dry_run: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "In the network of those who hold for the vault, or with the relay \
    that they use, nothing but the phrase is needed. Elsewhere name some of them: `larder ticket` prints a \
    ticket there. Without --phrase-file the phrase is asked for.

Examples:
  larder recover --phrase-file phrase.txt
  larder recover --phrase-file phrase.txt --relay https://abcdefghijklmnopqrstuvwxy4@relay.example.org
  larder recover --connect TICKET --connect TICKET --name new-laptop
  larder recover --guardians --phrase-out words.txt      the phrase is lost as well
  larder recover --dry-run --phrase-file phrase.txt      does the phrase in the drawer work? once a year
  larder restore latest --to ~/restored      what to do next")]
pub(super) struct RecoverArguments {
    /// File with the 24 words; `-` reads them from stdin
    #[arg(long, value_name = "FILE")]
    phrase_file: Option<PathBuf>,
    /// Ticket of a node to ask; may be given many times
    #[arg(long, value_name = "TICKET")]
    connect: Vec<String>,
    /// Without the phrase: guardians give it back, see `larder guardians`. Can be broken off and said again
    #[arg(long, requires = "phrase_out", conflicts_with_all = ["phrase_file", "dry_run"])]
    guardians: bool,
    /// New file for the phrase that guardians give back
    #[arg(long, value_name = "FILE", requires = "guardians")]
    phrase_out: Option<PathBuf>,
    /// The vault that is meant: the first digits of its id, as guardians and a recovery sheet tell it
    #[arg(long, value_name = "ID", requires = "guardians")]
    vault: Option<String>,
    /// Forget what guardians have handed over before
    #[arg(long, requires = "guardians")]
    anew: bool,
    /// Only show that the phrase works: find holders, take the log, open the keys, read what they saved
    /// last; nothing is changed here or there. On a home that has a vault as well
    #[arg(long, conflicts_with_all = ["name", "site"])]
    dry_run: bool,
    /// Name of this device [default: the host's name]
    #[arg(long)]
    name: Option<String>,
    /// Household in which this device stands: copies in one household count as one. Asked for on a
    /// terminal [default: that of the vault's other devices]
    #[arg(long)]
    site: Option<String>,
    #[command(flatten)]
    pub(super) relays: RelayArguments,
}

impl RestoreArguments {
    pub(super) fn command(self) -> Result<Command, Failure> {
        let paths = self.paths.iter().map(|path| inside(path)).collect::<Result<_, _>>()?;
        Ok(Command::Restore {
            snapshot: self.snapshot,
            paths,
            to: absolute(self.to)?,
            overwrite: self.overwrite,
            dry_run: self.dry_run,
        })
    }
}

impl RecoverArguments {
    /// Whether nothing is to be changed: not even relays are kept then.
    pub(super) const fn is_dry(&self) -> bool {
        self.dry_run
    }

    pub(super) fn command(self) -> Result<Command, Failure> {
        if let Some(path) = self.phrase_out {
            return Ok(Command::RecoverByGuardians {
                connect: self.connect,
                name: self.name,
                site: self.site,
                phrase_out: absolute(path)?,
                vault: self.vault,
                anew: self.anew,
            });
        }
        let phrase = match self.phrase_file.as_deref() {
            Some(path) => phrase_from(path)?,
            None => tidy_phrase(&ask_phrase()?),
        };
        let connect = self.connect;
        if self.dry_run {
            let secret = |relay: RelayAddress| Secret::new(relay.to_secret_text());
            let relays = self.relays.relay.into_iter().map(secret).collect();
            return Ok(Command::Trial { phrase, connect, relays });
        }
        Ok(Command::Recover { phrase, connect, name: self.name, site: self.site })
    }
}

/// The phrase in a file; `-` is stdin.
pub(super) fn phrase_from(path: &Path) -> Result<Secret, Failure> {
    let text = if path == Path::new("-") {
        read_phrase(io::stdin(), "stdin")?
    } else {
        let file = fs::File::open(path).map_err(|error| {
            Failure::failed(format!("cannot open {}: {error}", path.display()))
                .hint("name the file that `larder init --phrase-out` wrote")
        })?;
        read_phrase(file, &path.display().to_string())?
    };
    Ok(tidy_phrase(&text))
}

fn read_phrase(from: impl Read, name: &str) -> Result<Zeroizing<String>, Failure> {
    let mut text = Zeroizing::new(String::with_capacity(4097));
    from.take(PHRASE_BYTES_MAX).read_to_string(&mut text).map_err(|error| {
        Failure::failed(format!("cannot read a phrase from {name}: {error}"))
            .hint("the phrase is 24 English words")
    })?;
    Ok(text)
}

pub(super) fn ask_phrase() -> Result<Zeroizing<String>, Failure> {
    let terminal = io::stdin().is_terminal();
    if terminal {
        let _closed = write!(io::stderr(), "Recovery phrase (24 words, in one line): ");
    }
    let mut line = Zeroizing::new(String::with_capacity(4097));
    let mut limited = io::BufReader::new(io::stdin().take(PHRASE_BYTES_MAX));
    io::BufRead::read_line(&mut limited, &mut line)
        .map_err(|error| Failure::failed(format!("cannot read the phrase: {error}")))?;
    if line.trim().is_empty() {
        return Err(Failure::usage("no recovery phrase was given")
            .hint("give --phrase-file FILE, or type the 24 words"));
    }
    Ok(line)
}

/// Words in lower case with one blank between. Numbers before all of them, as `init` prints, give the
/// order: whoever copies the table of several columns copies it line by line.
pub(super) fn tidy_phrase(text: &str) -> Secret {
    let number = |word: &str| word.trim_end_matches('.').parse::<usize>().ok();
    let mut words: Vec<(Option<usize>, &str)> = Vec::with_capacity(24);
    let mut before = None;
    for word in text.split_whitespace() {
        match number(word) {
            Some(place) => before = Some(place),
            None => words.push((before.take(), word)),
        }
    }
    if words.iter().all(|(place, _)| place.is_some()) {
        words.sort_by_key(|(place, _)| *place);
    }
    let mut tidy = String::with_capacity(text.len());
    for (_, word) in words {
        if !tidy.is_empty() {
            tidy.push(' ');
        }
        tidy.extend(word.chars().map(|c| c.to_ascii_lowercase()));
    }
    Secret::new(tidy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_phrase_is_read_however_it_is_laid_out() {
        let text = " 1. Abandon\t2. ability\r\n 3. able \n\n";
        assert_eq!(tidy_phrase(text).expose(), "abandon ability able");
        // Two columns, line by line.
        let table = "1. abandon  3. able\n2. ability  4. about\n";
        assert_eq!(tidy_phrase(table).expose(), "abandon ability able about");
        assert_eq!(tidy_phrase("b 1. a").expose(), "b a", "a number alone says nothing");
    }
}
