//! The opener: opens files ahead of the workers and has the kernel begin to read them, so that on
//! a cold disk many files are looked for at once and no worker waits for the first byte of each.

use crossbeam_channel::{Receiver, Sender};

use super::read::{Job, Wanted, open};

/// Jobs whose files are open before a worker takes them.
pub(super) const AHEAD_MAX: usize = 12;
/// Files of one job that are opened ahead: with those that the workers have, some 120 descriptors
/// on two cores and 230 on sixteen. A usual process may have 1,024.
const OPENED_MAX: usize = 8;

/// Passes jobs on until there are no more, or nobody takes them.
pub(super) fn open_ahead(jobs: &Receiver<Job>, opened: &Sender<Job>) {
    for mut job in jobs {
        match &mut job {
            Job::File(wanted) => open_one(wanted),
            Job::Bundle(members) => members.iter_mut().take(OPENED_MAX).for_each(open_one),
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
