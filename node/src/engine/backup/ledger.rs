//! Which chunks of this run have no place in a pack yet, and which packs are not durable yet.
//!
//! ```text
//! taken on ──▶ placed in a pack that was begun ──▶ settled: durable and in the index
//! ```
//! Before a snapshot is committed, every chunk taken on so far must be in a settled pack (INV-1:
//! packs before index, index before head). The ledger is how a committer waits for exactly that,
//! whatever the other threads begin meanwhile.

use std::{
    collections::BTreeSet,
    sync::{Condvar, Mutex, MutexGuard},
    time::Duration,
};

use super::BackupError;

/// How often one who waits looks whether the user still wants it.
const LOOK: Duration = Duration::from_millis(200);

#[derive(Default)]
pub(super) struct Ledger {
    pages: Mutex<Pages>,
    changed: Condvar,
}

#[derive(Default)]
struct Pages {
    next_chunk: u64,
    unplaced: BTreeSet<u64>,
    next_pack: u64,
    unsettled: BTreeSet<u64>,
    /// The run has failed: nothing more will settle.
    is_closed: bool,
}

/// A chunk that somebody has taken on to store.
#[must_use = "others rely on the chunk: it has to be placed"]
pub(super) struct Ticket(u64);

/// Closes the ledger when its thread panics: nobody else would wake those who wait.
pub(super) struct CloseOnPanic<'a>(pub(super) &'a Ledger);

impl Drop for CloseOnPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.close();
        }
    }
}

impl Ledger {
    /// A chunk is going to be stored. To be called before others can see that it is.
    pub(super) fn take_on(&self) -> Ticket {
        let mut pages = self.lock();
        let number = pages.next_chunk;
        pages.next_chunk += 1;
        pages.unplaced.insert(number);
        Ticket(number)
    }

    /// A chunk has its place in a pack that was begun.
    pub(super) fn place(&self, ticket: &Ticket) {
        self.lock().unplaced.remove(&ticket.0);
        self.changed.notify_all();
    }

    /// Numbers a new pack.
    pub(super) fn begin(&self) -> u64 {
        let mut pages = self.lock();
        let number = pages.next_pack;
        pages.next_pack += 1;
        pages.unsettled.insert(number);
        number
    }

    /// A pack is durable and in the index.
    pub(super) fn settle(&self, number: u64) {
        self.lock().unsettled.remove(&number);
        self.changed.notify_all();
    }

    /// Wakes everybody who waits: the run has failed.
    pub(super) fn close(&self) {
        self.lock().is_closed = true;
        self.changed.notify_all();
    }

    pub(super) fn is_closed(&self) -> bool {
        self.lock().is_closed
    }

    /// Waits until all chunks taken on before this call have their places, `flush`es the packs
    /// begun until then, and waits until these are durable.
    pub(super) fn settle_all(
        &self,
        flush: impl FnOnce() -> Result<(), BackupError>,
        check: impl Fn() -> Result<(), BackupError>,
    ) -> Result<(), BackupError> {
        let chunks = self.lock().next_chunk;
        self.wait(|pages| is_beyond(&pages.unplaced, chunks), &check)?;
        // Not later: a pack that is begun after the flush would be waited for and never closed.
        let packs = self.lock().next_pack;
        flush()?;
        self.wait(|pages| is_beyond(&pages.unsettled, packs), &check)
    }

    fn wait(
        &self,
        is_over: impl Fn(&Pages) -> bool,
        check: &impl Fn() -> Result<(), BackupError>,
    ) -> Result<(), BackupError> {
        let mut pages = self.lock();
        loop {
            if pages.is_closed {
                return Err(BackupError::Stopped);
            }
            if is_over(&pages) {
                return Ok(());
            }
            check()?;
            let waited = self.changed.wait_timeout(pages, LOOK);
            pages = waited.expect("no code panics while holding this lock").0;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Pages> {
        self.pages.lock().expect("no code panics while holding this lock")
    }
}

/// Whether nothing below `limit` is left.
fn is_beyond(open: &BTreeSet<u64>, limit: u64) -> bool {
    open.first().is_none_or(|oldest| *oldest >= limit)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// Waits on another thread; `looked` hears of every time it looks whether to go on.
    fn wait<'s>(
        scope: &'s std::thread::Scope<'s, '_>,
        ledger: &'s Ledger,
        flushed: mpsc::SyncSender<()>,
        looked: mpsc::SyncSender<()>,
    ) -> std::thread::ScopedJoinHandle<'s, Result<(), BackupError>> {
        scope.spawn(move || {
            let flush = || flushed.send(()).map_err(|_| BackupError::Stopped);
            ledger.settle_all(flush, || match looked.try_send(()) {
                Ok(()) | Err(mpsc::TrySendError::Full(())) => Ok(()),
                Err(mpsc::TrySendError::Disconnected(())) => Err(BackupError::Cancelled),
            })
        })
    }

    // INV-1
    #[test]
    fn a_commit_waits_for_chunks_that_are_in_no_pack_yet_and_for_no_later_ones() {
        let ledger = Ledger::default();
        let (flushed, flushes) = mpsc::sync_channel(64);
        let (looked, looks) = mpsc::sync_channel(64);
        let ticket = ledger.take_on();
        std::thread::scope(|scope| {
            let waiting = wait(scope, &ledger, flushed, looked);
            looks.recv().unwrap();
            assert!(flushes.try_recv().is_err(), "its pack may be one that is not begun yet");
            let later = ledger.take_on();
            let pack = ledger.begin();
            ledger.place(&ticket);
            flushes.recv().unwrap();
            // What comes after the flush is nobody's to wait for.
            let open = ledger.begin();
            ledger.place(&later);
            assert!(!waiting.is_finished(), "the chunk's pack is not durable");
            ledger.settle(pack);
            waiting.join().unwrap().unwrap();
            ledger.settle(open);
        });
    }

    #[test]
    fn a_failure_or_the_user_ends_the_waiting() {
        let ledger = Ledger::default();
        let (flushed, _flushes) = mpsc::sync_channel(64);
        let (looked, looks) = mpsc::sync_channel(64);
        let _never_placed = ledger.take_on();
        std::thread::scope(|scope| {
            let waiting = wait(scope, &ledger, flushed.clone(), looked.clone());
            looks.recv().unwrap();
            drop(looks);
            assert!(matches!(waiting.join().unwrap(), Err(BackupError::Cancelled)));
        });
        let (looked, looks) = mpsc::sync_channel(64);
        std::thread::scope(|scope| {
            let waiting = wait(scope, &ledger, flushed, looked);
            looks.recv().unwrap();
            let failing = scope.spawn(|| {
                let _guard = CloseOnPanic(&ledger);
                panic!("on purpose");
            });
            assert!(failing.join().is_err());
            assert!(matches!(waiting.join().unwrap(), Err(BackupError::Stopped)));
        });
    }
}
