//! Which packs of this run are not durable yet.
//!
//! Before a snapshot is committed, every pack begun so far must be durable (INV: packs before
//! index, index before head). The ledger is how a committer waits for exactly that.

use std::{
    collections::BTreeSet,
    sync::{Condvar, Mutex, MutexGuard},
};

#[derive(Default)]
pub(super) struct Ledger {
    pages: Mutex<Pages>,
    settled: Condvar,
}

#[derive(Default)]
struct Pages {
    next: u64,
    unsettled: BTreeSet<u64>,
    /// The run has failed: nothing more will settle.
    is_closed: bool,
}

impl Ledger {
    /// Numbers a new pack.
    pub(super) fn begin(&self) -> u64 {
        let mut pages = self.lock();
        let number = pages.next;
        pages.next += 1;
        pages.unsettled.insert(number);
        number
    }

    /// A pack is durable and in the index.
    pub(super) fn settle(&self, number: u64) {
        self.lock().unsettled.remove(&number);
        self.settled.notify_all();
    }

    /// Wakes everybody who waits: the run has failed.
    pub(super) fn close(&self) {
        self.lock().is_closed = true;
        self.settled.notify_all();
    }

    /// Waits until all packs begun before this call are durable. False if that will never be.
    pub(super) fn wait_for_all_begun(&self) -> bool {
        let mut pages = self.lock();
        let limit = pages.next;
        loop {
            if pages.is_closed {
                return false;
            }
            if pages.unsettled.first().is_none_or(|oldest| *oldest >= limit) {
                return true;
            }
            pages = self.settled.wait(pages).expect("no code panics while holding this lock");
        }
    }

    fn lock(&self) -> MutexGuard<'_, Pages> {
        self.pages.lock().expect("no code panics while holding this lock")
    }
}
