//! The opener: opens files ahead of the workers and has the kernel begin to read them, so that on
//! a cold disk many files are looked for at once and no worker waits for the first byte of each.

use crossbeam_channel::{Receiver, Sender};

use super::read::{Job, Wanted, open};
use crate::descriptors;

/// Jobs whose files are open before a worker takes them.
pub(super) const AHEAD_MAX: usize = 12;
/// Files of one job that are opened ahead, if the process may have so many.
const OPENED_MAX: usize = 8;
/// Of the descriptors of a process, one in so many may be a file that was opened ahead.
const OPENED_SHARE: u64 = 4;

/// Passes jobs on to so many workers, until there are no more, or nobody takes them.
pub(super) fn open_ahead(jobs: &Receiver<Job>, opened: &Sender<Job>, workers: usize) {
    // With those that the workers have, and those in hand.
    let jobs_max = AHEAD_MAX + workers + 1;
    let opened_max = descriptors::share(OPENED_SHARE, jobs_max, jobs_max * OPENED_MAX) / jobs_max;
    for mut job in jobs {
        match &mut job {
            Job::File(wanted) => open_one(wanted),
            Job::Bundle(members) => members.iter_mut().take(opened_max).for_each(open_one),
        }
        if opened.send(job).is_err() {
            return;
        }
    }
}

fn open_one(wanted: &mut Wanted) {
    // What fails here is tried again by the worker, when other files are closed.
    if let Ok(reader) = open(&wanted.found) {
        reader.ask();
        wanted.opened = Some(reader);
    }
}
