//! Asks in which household a device stands, where somebody is there to be asked.

use std::{
    io::{self, BufRead, IsTerminal, Write},
    path::Path,
};

use super::output::Output;
use crate::{
    command::{Command, Failure},
    home::Config,
};

/// Answers that cannot be taken before it gives up.
const TRIES: usize = 3;
/// No answer is longer; a terminal's own line is 4096 bytes.
const ANSWER_BYTES_MAX: u64 = 4096;

/// The household that a person names; `None` for the usual one, or when nobody is there to be asked.
///
/// # Errors
/// [`Failure`] when no answer can be taken.
pub(super) fn asked(output: &Output, usual: &str) -> Result<Option<String>, Failure> {
    if is_somebody_there(output) {
        ask(&mut io::stdin().lock(), &mut io::stderr(), usual)
    } else {
        Ok(None)
    }
}

/// Whether somebody sees what is asked, and can answer.
pub(super) fn is_somebody_there(output: &Output) -> bool {
    let is_heard = !cfg!(test) && !output.is_json() && !output.is_quiet();
    is_heard && io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Asks for what is left open in a command that makes a fresh home a device of a vault, and notes whether
/// somebody is there to be asked more.
///
/// # Errors
/// As [`asked`].
pub(super) fn complete(command: &mut Command, home: &Path, output: &Output) -> Result<(), Failure> {
    if let Command::Join { asks, .. } = command {
        *asks = is_somebody_there(output);
    }
    match command {
        Command::Join { site: site @ None, .. } if !has_vault(home) => {
            *site = asked(output, "that of the device that invited it")?;
        }
        Command::Recover { site: site @ None, .. } if !has_vault(home) => {
            *site = asked(output, "that of the vault's other devices")?;
        }
        _ => {}
    }
    Ok(())
}

/// Whether a home knows a vault already: then its device has a site.
pub(super) fn has_vault(home: &Path) -> bool {
    home.join("vaults").read_dir().is_ok_and(|mut entries| entries.next().is_some())
}

fn ask(
    from: &mut impl BufRead,
    to: &mut impl Write,
    usual: &str,
) -> Result<Option<String>, Failure> {
    let cannot = |error: io::Error| {
        Failure::failed(format!("cannot ask for the household: {error}")).hint("give --site NAME")
    };
    for _ in 0..TRIES {
        write!(to, "In which household does this device stand? [{usual}] ")
            .and_then(|()| to.flush())
            .map_err(cannot)?;
        let mut line = String::new();
        io::Read::take(&mut *from, ANSWER_BYTES_MAX).read_line(&mut line).map_err(cannot)?;
        let answer = line.trim();
        if answer.is_empty() {
            return Ok(None);
        }
        match Config::default().set("device.site", Some(answer)) {
            Ok(()) => return Ok(Some(answer.to_owned())),
            Err(_) => {
                writeln!(
                    to,
                    "A household has a name of at most 64 bytes, such as `home` or `parents`."
                )
                .map_err(cannot)?;
            }
        }
    }
    Err(Failure::usage("no household was named").hint("give --site NAME"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(lines: &str) -> (Option<Option<String>>, String) {
        let mut shown = Vec::new();
        let answer = ask(&mut lines.as_bytes(), &mut shown, "home-maple-orbit").ok();
        (answer, String::from_utf8(shown).unwrap())
    }

    // CLI-20
    #[test]
    fn an_empty_answer_is_the_usual_household_and_a_bad_one_is_asked_for_again() {
        let (answer, shown) = answered("\n");
        assert_eq!(answer, Some(None));
        assert_eq!(shown, "In which household does this device stand? [home-maple-orbit] ");
        assert_eq!(answered("").0, Some(None), "the end of the input");
        assert_eq!(answered("  Omas Haus \n").0, Some(Some("Omas Haus".to_owned())));
        let (answer, shown) = answered("a\u{7}b\nparents\n");
        assert_eq!(answer, Some(Some("parents".to_owned())));
        assert!(shown.contains("at most 64 bytes"), "{shown}");
        let long = "x".repeat(65) + "\n";
        assert_eq!(answered(&long.repeat(4)).0, None);
    }

    // CLI-20
    #[test]
    fn a_home_that_knows_a_vault_is_not_asked_about() {
        let home = tempfile::tempdir().unwrap();
        assert!(!has_vault(home.path()));
        std::fs::create_dir(home.path().join("vaults")).unwrap();
        assert!(!has_vault(home.path()));
        std::fs::create_dir(home.path().join("vaults").join("aa")).unwrap();
        assert!(has_vault(home.path()));
    }
}
