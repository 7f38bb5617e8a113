//! Tells whoever waits that nothing comes because holders are away.
//!
//! Fetching waits up to a minute for holders to come up. Whoever looks or restores would not know
//! from a program that hangs; so they are told after a second, and how many were reached.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::task::AbortHandle;

use super::fetcher::Fetcher;
use crate::command::{EventSink, Progress, Stage};

/// So long nothing has to come before anything is said.
const QUIET: Duration = Duration::from_secs(1);
/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// What is waited for, shared by the fetcher and those who tell of it.
#[derive(Debug, Default)]
pub(crate) struct Reach(Mutex<Figures>);

#[derive(Debug, Default)]
struct Figures {
    /// Since when nothing came although something is wanted.
    idle_since: Option<Instant>,
    /// What had come by then.
    bytes: u64,
    holders_known: u64,
    holders_up: u64,
}

impl Reach {
    /// Something is wanted from so many holders, or nothing any more.
    pub(crate) fn set(&self, is_wanted: bool, holders_known: usize, holders_up: usize) {
        let mut figures = self.lock();
        if !is_wanted {
            figures.idle_since = None;
        } else if figures.idle_since.is_none() {
            figures.idle_since = Some(Instant::now());
        }
        figures.holders_known = u64::try_from(holders_known).unwrap_or(u64::MAX);
        figures.holders_up = u64::try_from(holders_up).unwrap_or(u64::MAX);
    }

    /// What to tell when nothing has come for a while; `bytes` is what has come in all.
    pub(crate) fn looking(&self, bytes: u64) -> Option<Progress> {
        let mut figures = self.lock();
        let since = figures.idle_since?;
        if figures.bytes != bytes {
            figures.bytes = bytes;
            figures.idle_since = Some(Instant::now());
            return None;
        }
        (since.elapsed() >= QUIET).then_some(Progress {
            files_done: figures.holders_up,
            files_total: Some(figures.holders_known),
            ..Progress::new(Stage::Looking)
        })
    }

    fn lock(&self) -> MutexGuard<'_, Figures> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells of it while a command runs, until it is dropped.
#[derive(Debug)]
pub(crate) struct Watch(AbortHandle);

impl Watch {
    /// Begins to watch.
    pub(crate) fn start(fetcher: &Fetcher, events: &EventSink) -> Self {
        let (fetcher, events) = (fetcher.clone(), events.clone());
        let watching = tokio::spawn(async move {
            loop {
                tokio::time::sleep(LOOK_EVERY).await;
                if let Some(progress) = fetcher.looking() {
                    events.progress(progress);
                }
            }
        });
        Self(watching.abort_handle())
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.0.abort();
    }
}
