//! The moments at which a crash could matter, named so that tests can stop at each of them.
//!
//! Outside of tests nothing happens here.

/// What has just been done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Step {
    DataSynced,
    OutboardSynced,
    OutboardNamed,
    DataNamed,
    NamesSynced,
    Recorded,
    RowDeleted,
    DataUnlinked,
    OutboardUnlinked,
}

#[cfg(not(test))]
pub(super) const fn reached(_: Step) {}

#[cfg(test)]
pub(super) use watched::{reached, watch};

#[cfg(test)]
mod watched {
    use std::cell::RefCell;

    use super::Step;

    type Observer = Box<dyn FnMut(Step)>;

    thread_local! {
        static OBSERVER: RefCell<Option<Observer>> = const { RefCell::new(None) };
    }

    pub(in crate::depot) fn reached(step: Step) {
        // Taken out while it runs: what it does may reach steps of its own.
        let observer = OBSERVER.with_borrow_mut(Option::take);
        if let Some(mut observer) = observer {
            observer(step);
            OBSERVER.set(Some(observer));
        }
    }

    /// Does `work` on this thread while `observer` hears of every step it reaches.
    pub(in crate::depot) fn watch<T>(
        observer: impl FnMut(Step) + 'static,
        work: impl FnOnce() -> T,
    ) -> T {
        OBSERVER.set(Some(Box::new(observer)));
        let done = work();
        OBSERVER.set(None);
        done
    }
}
