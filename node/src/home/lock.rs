//! One process per home: an flock, with a note of who holds it.
//!
//! The kernel drops the lock with the process, however it ends, so a stale lock cannot exist; the
//! note is only for the message to the second process.

use std::{
    fmt, fs,
    io::{Read, Seek, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use super::{HomeError, doing};
use crate::lock;

/// A held lock.
#[derive(Debug)]
pub(super) struct Lock {
    _file: fs::File,
}

/// Who holds a lock, as it wrote down itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LockNote {
    /// Process id; 0 when the note cannot be read.
    pub pid: u32,
    /// What it does, such as `up` or `backup`.
    pub purpose: String,
}

impl fmt::Display for LockNote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.pid, self.purpose.as_str()) {
            (0, _) => f.write_str("just starting"),
            (pid, "") => write!(f, "pid {pid}"),
            (pid, purpose) => write!(f, "pid {pid}, `{purpose}`"),
        }
    }
}

impl LockNote {
    fn parse(text: &str) -> Self {
        let (pid, purpose) = text.trim().split_once(' ').unwrap_or((text.trim(), ""));
        let purpose = purpose.chars().filter(|c| !c.is_control()).take(40).collect();
        Self { pid: pid.parse().unwrap_or(0), purpose }
    }
}

impl Lock {
    /// Takes the lock of a home without waiting for whoever works on it.
    pub(super) fn take(home: &Path, purpose: &str) -> Result<Self, HomeError> {
        let path = home.join("lock");
        let mut file = fs::OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(doing("open", &path))?;
        match lock::take(&file) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let mut text = String::new();
                // A note that cannot be read changes only the wording.
                let _read = (&file).take(256).read_to_string(&mut text);
                let note = LockNote::parse(&text);
                return Err(HomeError::Busy { path: home.to_owned(), note });
            }
            Err(errno) => return Err(doing("lock", &path)(errno.into())),
        }
        let note = format!("{} {purpose}\n", std::process::id());
        file.set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| file.write_all(note.as_bytes()))
            .map_err(doing("write", &path))?;
        Ok(Self { _file: file })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // CLI-8
    #[test]
    fn a_second_process_is_told_who_holds_the_lock() {
        let home = tempfile::tempdir().unwrap();
        let held = Lock::take(home.path(), "backup").unwrap();
        let error = Lock::take(home.path(), "status").unwrap_err();
        let HomeError::Busy { note, .. } = &error else { panic!("{error}") };
        assert_eq!(*note, LockNote { pid: std::process::id(), purpose: "backup".to_owned() });
        assert!(error.to_string().contains("`backup`"));
        drop(held);
        Lock::take(home.path(), "status").unwrap();
    }

    #[test]
    fn a_strange_note_does_no_harm() {
        assert_eq!(LockNote::parse("").to_string(), "just starting");
        assert_eq!(LockNote::parse("\u{1b}[2J 7").pid, 0);
        assert_eq!(LockNote::parse("12 a\u{1b}b\n").purpose, "ab");
    }
}
