//! Looks into snapshots: lists, shows, compares, searches.
//!
//! Directories are read node by node where a path leads, never a whole tree for one file; rows
//! stream, so that a million of them need no memory. All of it may block and may fetch.

mod cat;
mod diff;
mod find;
mod list;
mod meant;
mod shelf;
mod tree;

use std::sync::Arc;

pub(crate) use cat::cat;
pub(crate) use diff::{count_files, diff};
pub(crate) use find::find;
pub(crate) use list::list;
pub(crate) use meant::say_meant;
pub(crate) use shelf::{Shelf, device_names, note_safe, snapshots};
pub(crate) use tree::{SnapshotTree, join, open_snapshot};

use super::{Core, EngineError, waiting::Watch};
use crate::command::{EventSink, Failure};

/// Runs work that blocks; returns at once when the command shall stop, while the work notices it
/// with its next row or chunk.
async fn in_background<T: Send + 'static>(
    core: &Arc<Core>,
    events: &EventSink,
    work: impl FnOnce(&Arc<Core>, &EventSink) -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    let _watch = Watch::start(&core.member()?.fetcher, events);
    let (core, sink) = (Arc::clone(core), events.clone());
    let work = tokio::task::spawn_blocking(move || work(&core, &sink));
    tokio::select! {
        done = work => done.map_err(|_| EngineError::Stopped)?,
        () = events.cancelled() => Err(Failure::interrupted()),
    }
}

#[cfg(test)]
mod tests;
