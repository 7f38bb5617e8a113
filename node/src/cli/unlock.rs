//! Where the passphrase of a device key comes from: a file that is named, systemd, a command of the
//! settings, or the person at the terminal, in this order. Source: specs/command_line.md, "Passphrase".

use std::{
    env, fs,
    io::{self, Read},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::OnceLock,
};

use larder_protocol::keys::Passphrase;
use tracing::warn;
use zeroize::Zeroizing;

use super::secret_line;
use crate::{
    command::{ExitKind, Failure},
    home::{Home, is_sealed, no_passphrase, passphrase_command, unfit},
};

/// Name of the credential that systemd hands over.
const CREDENTIAL: &str = "larder.passphrase";
/// Where it puts it.
const CREDENTIALS_DIRECTORY: &str = "CREDENTIALS_DIRECTORY";
/// Times that a person is asked.
const TRIES: usize = 3;
/// Longest text that is read; more than any passphrase.
const TEXT_BYTES_MAX: u64 = 4096;

/// Ways to a passphrase. What was read or typed once is not asked for again.
#[derive(Debug, Default)]
pub(super) struct Unlock {
    file: Option<PathBuf>,
    read: OnceLock<Zeroizing<String>>,
    known: OnceLock<Passphrase>,
}

impl Unlock {
    /// With the file of the command line or of the environment, if one is named there.
    pub(super) fn new(file: Option<PathBuf>) -> Self {
        Self { file, ..Self::default() }
    }

    /// Opens the key of a home if it is sealed.
    pub(super) fn unlock(&self, home: &Home) -> Result<(), Failure> {
        if !home.is_locked()? {
            if self.file.is_some() && !home.is_key_sealed()? {
                warn!(
                    "a passphrase was given, and the device key is in clear: `larder passphrase set` seals it"
                );
            }
            return Ok(());
        }
        if let Some(passphrase) = self.told(home.directory())? {
            return Ok(home.unlock(&passphrase)?);
        }
        if !secret_line::can_ask() {
            // Says that it is sealed, and what to do.
            return Ok(home.device_keys().map(drop)?);
        }
        let mut left = TRIES;
        loop {
            left -= 1;
            let tried = asked().and_then(|typed| {
                home.unlock(&typed)?;
                Ok(typed)
            });
            match tried {
                Ok(typed) => {
                    let _first = self.known.set(typed);
                    return Ok(());
                }
                Err(failure) if failure.kind == ExitKind::Key && left > 0 => {
                    eprintln!("That is not it.");
                }
                Err(failure) => return Err(failure),
            }
        }
    }

    /// The passphrase that seals a key now, from wherever it comes; without trying it.
    pub(super) fn current(&self, directory: &Path) -> Result<Option<Passphrase>, Failure> {
        match self.told(directory)? {
            Some(passphrase) => Ok(Some(passphrase)),
            None if secret_line::can_ask() => asked().map(Some),
            None => Ok(None),
        }
    }

    /// What a key is sealed with that is made now: nobody is asked for it. `None` as well where there is
    /// a sealed one.
    pub(super) fn for_new_home(&self, directory: &Path) -> Result<Option<Passphrase>, Failure> {
        if is_sealed(directory)? == Some(true) {
            return Ok(None);
        }
        self.handed().transpose().map(|text| chosen(&text?)).transpose()
    }

    /// The passphrase, as far as nobody has to be asked.
    fn told(&self, directory: &Path) -> Result<Option<Passphrase>, Failure> {
        if let Some(known) = self.known.get() {
            return Ok(Some(known.clone()));
        }
        let text = match self.handed()? {
            Some(text) => Some(text),
            None => passphrase_command(directory)?.map(|line| from_command(&line)).transpose()?,
        };
        text.map(|text| typed(&text)).transpose()
    }

    /// What was handed over in a file. Read once: it may be a pipe.
    fn handed(&self) -> Result<Option<Zeroizing<String>>, Failure> {
        if let Some(read) = self.read.get() {
            return Ok(Some(read.clone()));
        }
        let text = match &self.file {
            Some(file) => {
                warn_of_readers(file);
                Some(from_file(file)?)
            }
            None => from_systemd()?,
        };
        Ok(text.map(|text| self.read.get_or_init(|| text).clone()))
    }
}

/// Asks for the passphrase of a key that is about to be sealed: twice, since nobody sees it.
pub(super) fn ask_new() -> Result<Option<Passphrase>, Failure> {
    if !secret_line::can_ask() {
        return Ok(None);
    }
    for _ in 0..TRIES {
        let first = match chosen(&line("New passphrase: ")?) {
            Ok(first) => first,
            Err(failure) => {
                eprintln!("{}.", failure.message);
                continue;
            }
        };
        if Passphrase::typed(&line("The same again: ")?).is_ok_and(|again| again == first) {
            return Ok(Some(first));
        }
        eprintln!("The two are not the same.");
    }
    Err(Failure::new(ExitKind::Key, "no new passphrase was given").hint("the key is as it was"))
}

/// The one line of a file.
pub(super) fn from_file(path: &Path) -> Result<Zeroizing<String>, Failure> {
    let failed = |error: io::Error| {
        Failure::failed(format!("cannot read the passphrase file {}: {error}", path.display()))
            .hint("it holds the passphrase and nothing else, in one line")
    };
    one_line(fs::File::open(path).map_err(failed)?).map_err(failed)
}

/// Says so when others can read a file that somebody has named.
fn warn_of_readers(path: &Path) {
    let is_open = |facts: fs::Metadata| facts.is_file() && facts.permissions().mode() & 0o077 != 0;
    if fs::metadata(path).is_ok_and(is_open) {
        warn!("the passphrase file {} can be read by others: chmod 600", path.display());
    }
}

fn from_systemd() -> Result<Option<Zeroizing<String>>, Failure> {
    let Some(directory) = env::var_os(CREDENTIALS_DIRECTORY) else { return Ok(None) };
    let path = Path::new(&directory).join(CREDENTIAL);
    // A unit may be given other credentials and not this one.
    if path.exists() { from_file(&path).map(Some) } else { Ok(None) }
}

/// What a command prints; it may ask on the terminal by itself.
pub(super) fn from_command(line: &str) -> Result<Zeroizing<String>, Failure> {
    let hint = "see `larder config get device.passphrase_command`";
    let failed = |what: String| {
        Failure::failed(format!("the command that gives the passphrase {what}")).hint(hint)
    };
    let mut child = Command::new("/bin/sh")
        .args(["-c", line])
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| failed(format!("does not start: {error}")))?;
    let text = child.stdout.take().map(one_line);
    let ended = child.wait().map_err(|error| failed(format!("is lost: {error}")))?;
    if !ended.success() {
        return Err(failed(format!("failed ({ended})")));
    }
    match text {
        Some(Ok(text)) => Ok(text),
        Some(Err(error)) => Err(failed(format!("printed no passphrase: {error}"))),
        None => Err(failed("printed nothing".to_owned())),
    }
}

/// All of a source, without the end of its one line.
fn one_line(from: impl Read) -> io::Result<Zeroizing<String>> {
    let mut bytes =
        Zeroizing::new(Vec::with_capacity(usize::try_from(TEXT_BYTES_MAX).unwrap_or(0)));
    from.take(TEXT_BYTES_MAX).read_to_end(&mut bytes)?;
    let text = str::from_utf8(&bytes);
    let text = text.map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is no UTF-8"))?;
    // Some editors begin a file with a mark of its encoding.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let line = text.strip_suffix('\n').unwrap_or(text);
    let line = line.strip_suffix('\r').unwrap_or(line);
    let mut owned = Zeroizing::new(String::with_capacity(line.len()));
    owned.push_str(line);
    Ok(owned)
}

fn asked() -> Result<Passphrase, Failure> {
    typed(&line("Passphrase of the device key: ")?)
}

fn line(prompt: &str) -> Result<Zeroizing<String>, Failure> {
    let typed = secret_line::ask(prompt);
    let typed = typed.map_err(|error| Failure::from_error("cannot read the passphrase", &error))?;
    typed.ok_or_else(Failure::interrupted)
}

fn typed(text: &str) -> Result<Passphrase, Failure> {
    Passphrase::typed(text).map_err(no_passphrase)
}

/// A passphrase for a key that is sealed from now on.
pub(super) fn chosen(text: &str) -> Result<Passphrase, Failure> {
    Passphrase::chosen(text).map_err(unfit)
}

#[cfg(test)]
mod tests {
    use super::*;

    // CLI-22
    #[test]
    fn one_line_is_read_without_its_end() {
        let read = |text: &'static str| one_line(text.as_bytes()).unwrap().as_str().to_owned();
        for text in ["two words", "two words\n", "two words\r\n", "\u{feff}two words\n"] {
            assert_eq!(read(text), "two words");
        }
        // What is left of a second line is refused as a passphrase, not cut off.
        assert!(typed(&read("two\nlines\n")).is_err());
        assert!(typed(&read("two words\n\n")).is_err());
        one_line(&b"\xff\n"[..]).unwrap_err();
        let endless = one_line(io::repeat(b'x')).unwrap();
        assert!(typed(&endless).is_err(), "more than a passphrase has");
    }

    // CLI-22
    #[test]
    fn a_command_gives_it_or_says_why_not() {
        assert_eq!(*from_command("printf 'two words\\n'").unwrap(), "two words");
        let failure = from_command("echo half; exit 7").unwrap_err();
        assert!(failure.message.contains("exit status: 7"), "{failure}");
        assert!(!failure.message.contains("half"));
    }
}
