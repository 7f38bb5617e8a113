//! One line from the terminal that is not shown while it is typed.
//!
//! The terminal gives every key at once, Ctrl-C included, so that whatever is pressed leaves it as it
//! was; a signal from elsewhere ends the process by [`be_loud`].

use std::{
    io::{self, IsTerminal, Write},
    sync::{Mutex, PoisonError},
};

use rustix::termios::{
    InputModes, LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr,
};
use zeroize::Zeroizing;

/// No line is longer; what is typed beyond it is left out.
const LINE_BYTES_MAX: usize = 4096;

/// Whether somebody can be asked.
pub(super) fn can_ask() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Asks for a line; `None` when the person went away (Ctrl-C, Ctrl-D, a closed terminal).
pub(super) fn ask(prompt: &str) -> io::Result<Option<Zeroizing<String>>> {
    let mut screen = io::stderr();
    let silent = Silent::begin()?;
    screen.write_all(prompt.as_bytes())?;
    screen.flush()?;
    let typed = read(&mut || {
        let mut key = [0];
        Ok((rustix::io::read(io::stdin(), &mut key)? == 1).then_some(key[0]))
    });
    drop(silent);
    writeln!(screen)?;
    typed
}

/// Keys until the line ends.
fn read(
    next: &mut impl FnMut() -> io::Result<Option<u8>>,
) -> io::Result<Option<Zeroizing<String>>> {
    // Room from the start: a line that grows leaves copies behind.
    let mut line = Zeroizing::new(Vec::with_capacity(LINE_BYTES_MAX));
    loop {
        match next()? {
            Some(b'\r' | b'\n') => break,
            Some(CTRL_C) => return Ok(None),
            Some(CTRL_D) | None if line.is_empty() => return Ok(None),
            Some(CTRL_D) | None => break,
            Some(CTRL_U) => line.clear(),
            Some(BACKSPACE | DELETE) => rub_out(&mut line),
            // Keys that would stop a process, and have no meaning here.
            Some(CTRL_Z | CTRL_BACKSLASH) => {}
            Some(byte) if line.len() < LINE_BYTES_MAX => line.push(byte),
            Some(_) => {}
        }
    }
    let text = str::from_utf8(&line);
    let text = text.map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "this is no UTF-8"))?;
    let mut owned = Zeroizing::new(String::with_capacity(text.len()));
    owned.push_str(text);
    Ok(Some(owned))
}

/// Takes back the last character, of however many bytes it is.
fn rub_out(line: &mut Vec<u8>) {
    while line.pop().is_some_and(|byte| byte & 0xc0 == 0x80) {}
}

const CTRL_C: u8 = 3;
const CTRL_D: u8 = 4;
const BACKSPACE: u8 = 8;
const CTRL_U: u8 = 21;
const CTRL_Z: u8 = 26;
const CTRL_BACKSLASH: u8 = 28;
const DELETE: u8 = 127;

/// The terminal as it was, while it is silent.
static BEFORE: Mutex<Option<Termios>> = Mutex::new(None);

/// Puts the terminal back as it was; whether it was silent.
pub(super) fn be_loud() -> bool {
    match BEFORE.lock().unwrap_or_else(PoisonError::into_inner).take() {
        Some(before) => {
            let _closed = tcsetattr(io::stdin(), OptionalActions::Now, &before);
            true
        }
        None => false,
    }
}

/// A terminal that shows nothing of what is typed; as before when this is dropped.
struct Silent;

impl Silent {
    fn begin() -> io::Result<Self> {
        let before = tcgetattr(io::stdin())?;
        let mut silent = before.clone();
        let line_by_line = LocalModes::ICANON | LocalModes::IEXTEN | LocalModes::ISIG;
        silent.local_modes -= LocalModes::ECHO | line_by_line;
        silent.input_modes |= InputModes::ICRNL;
        silent.special_codes[SpecialCodeIndex::VMIN] = 1;
        silent.special_codes[SpecialCodeIndex::VTIME] = 0;
        *BEFORE.lock().unwrap_or_else(PoisonError::into_inner) = Some(before);
        // What was typed before was shown, and is no answer.
        tcsetattr(io::stdin(), OptionalActions::Flush, &silent)?;
        Ok(Self)
    }
}

impl Drop for Silent {
    fn drop(&mut self) {
        be_loud();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(keys: &[u8]) -> io::Result<Option<String>> {
        let mut keys = keys.iter().copied();
        let line = read(&mut || Ok(keys.next()))?;
        Ok(line.map(|line| line.as_str().to_owned()))
    }

    // CLI-22
    #[test]
    fn a_line_is_what_was_typed_in_the_end() {
        assert_eq!(typed(b"two words\rmore").unwrap().unwrap(), "two words");
        assert_eq!(typed("caf\u{e9}\u{8}e\n".as_bytes()).unwrap().unwrap(), "cafe");
        assert_eq!(typed(b"wrong\x15right\n").unwrap().unwrap(), "right");
        assert_eq!(typed(b"\x7f\x7fa\n").unwrap().unwrap(), "a");
        assert_eq!(typed(b"no end").unwrap().unwrap(), "no end");
        assert_eq!(typed(b"\n").unwrap().unwrap(), "");
    }

    // CLI-22
    #[test]
    fn whoever_goes_away_has_said_nothing() {
        assert!(typed(b"half\x03").unwrap().is_none());
        assert!(typed(b"\x04").unwrap().is_none());
        assert!(typed(b"").unwrap().is_none());
        typed(b"\xff\xfe\n").unwrap_err();
        let long = [b"x".repeat(2 * LINE_BYTES_MAX), b"\n".to_vec()].concat();
        assert_eq!(typed(&long).unwrap().unwrap().len(), LINE_BYTES_MAX);
    }
}
