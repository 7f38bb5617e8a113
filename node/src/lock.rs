//! Locks of files, tried for a moment.
//!
//! A lock goes with the last handle of its file, and a process that starts another one has all
//! handles twice between fork and exec. So what was given up may seem taken for some milliseconds.

use std::{
    os::fd::AsFd,
    thread::sleep,
    time::{Duration, Instant},
};

use rustix::{
    fs::{FlockOperation, flock},
    io::Errno,
};

const MOMENT: Duration = Duration::from_millis(200);
const PAUSE: Duration = Duration::from_millis(5);

/// Takes the exclusive lock of a file, until its last handle is closed.
///
/// # Errors
/// `WOULDBLOCK` when another one has it and keeps it; anything else where a file system has no locks.
pub(crate) fn take(file: impl AsFd) -> Result<(), Errno> {
    let take = || flock(&file, FlockOperation::NonBlockingLockExclusive);
    for_a_moment(take, |error| *error == Errno::WOULDBLOCK)
}

/// Tries again while the error is one that passes.
pub(crate) fn for_a_moment<T, E>(
    attempt: impl Fn() -> Result<T, E>,
    passes: impl Fn(&E) -> bool,
) -> Result<T, E> {
    let begun = Instant::now();
    loop {
        match attempt() {
            Err(error) if passes(&error) && begun.elapsed() < MOMENT => sleep(PAUSE),
            done => return done,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    #[test]
    fn what_is_given_up_within_a_moment_is_taken() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("lock");
        let held = File::create(&path).unwrap();
        take(&held).unwrap();
        let other = File::open(&path).unwrap();
        assert_eq!(take(&other), Err(Errno::WOULDBLOCK));
        let holder = std::thread::spawn(move || {
            sleep(PAUSE * 4);
            drop(held);
        });
        assert_eq!(take(&other), Ok(()));
        holder.join().unwrap();
    }
}
