//! Room for what is open at once: directories that wait for their entries, files that wait for
//! their bytes. Each takes one descriptor of the process, which has few of them in some places.
//!
//! **Invariant:** only the planner waits for room, and only while some file is under way elsewhere:
//! what the others need to go on is theirs already.

use std::{
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use super::RestoreError;
use crate::descriptors;

/// Of the descriptors of a process, one in so many may be a directory, and as many a file. The rest
/// is for the depot, the database and the network.
const SHARE: u64 = 4;
/// Fewer would stand still; more are never under way.
const TAKEN_MIN: usize = 16;
const TAKEN_MAX: usize = 64 * 1024;
/// How often whoever waits looks whether to go on at all.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// What may be open at once, and what is.
#[derive(Debug)]
pub(super) struct Room {
    taken_max: usize,
    taken: Mutex<Taken>,
    freed: Condvar,
}

#[derive(Debug, Default)]
struct Taken {
    directories: usize,
    files: usize,
}

/// What takes a descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Directory,
    File,
}

/// The room of one directory or file, given back when it is dropped.
#[derive(Debug)]
pub(super) struct Seat {
    room: Arc<Room>,
    kind: Kind,
}

impl Room {
    /// As much as this process has, after asking for all that it may have.
    pub(super) fn of_process() -> Arc<Self> {
        let taken_max = descriptors::share(SHARE, TAKEN_MIN, TAKEN_MAX);
        let taken_max = if cfg!(test) { TAKEN_MIN } else { taken_max };
        Arc::new(Self { taken_max, taken: Mutex::default(), freed: Condvar::new() })
    }

    /// Whether one more directory and one more file may be opened.
    pub(super) fn is_free(&self) -> bool {
        self.lock().fits(self.taken_max)
    }

    /// Waits for room, or until all that is left are the directories that the planner is in.
    pub(super) fn wait(
        &self,
        check: impl Fn() -> Result<(), RestoreError>,
    ) -> Result<(), RestoreError> {
        let mut taken = self.lock();
        while !taken.fits(self.taken_max) && taken.files > 0 {
            check()?;
            let waited = self.freed.wait_timeout(taken, LOOK_EVERY);
            taken = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        Ok(())
    }

    /// Takes the room of a directory, whether there is any or not.
    pub(super) fn directory(self: &Arc<Self>) -> Seat {
        self.take(Kind::Directory)
    }

    fn take(self: &Arc<Self>, kind: Kind) -> Seat {
        *self.lock().of(kind) += 1;
        Seat { room: Arc::clone(self), kind }
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Taken {
    const fn fits(&self, taken_max: usize) -> bool {
        self.directories < taken_max && self.files < taken_max
    }

    const fn of(&mut self, kind: Kind) -> &mut usize {
        match kind {
            Kind::Directory => &mut self.directories,
            Kind::File => &mut self.files,
        }
    }
}

impl Seat {
    /// Takes the room of a file in the directory that has this one.
    pub(super) fn file(&self) -> Self {
        self.room.take(Kind::File)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        *self.room.lock().of(self.kind) -= 1;
        self.room.freed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // FILES-41
    #[test]
    fn the_planner_waits_for_others_and_never_for_itself() {
        let room = Room::of_process();
        let mut own: Vec<Seat> = (0..TAKEN_MIN).map(|_| room.directory()).collect();
        assert!(!room.is_free());
        // Nothing else is under way: deep trees go on.
        room.wait(|| Err(RestoreError::Stopped)).unwrap();
        let file = own[0].file();
        room.wait(|| Err(RestoreError::Stopped)).unwrap_err();
        drop(file);
        room.wait(|| Err(RestoreError::Stopped)).unwrap();
        own.pop();
        assert!(room.is_free());
    }
}
