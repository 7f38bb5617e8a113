//! Restores paths of a snapshot into a directory.

use std::sync::Arc;

use super::Core;
use crate::command::{EventSink, Failure, Outcome, Overwrite, RawPath, SnapshotName};

/// What was asked for.
pub(crate) struct Wish {
    pub(crate) snapshot: SnapshotName,
    pub(crate) paths: Vec<RawPath>,
    pub(crate) to: RawPath,
    pub(crate) overwrite: Overwrite,
    pub(crate) dry_run: bool,
}

pub(crate) async fn run(
    core: &Arc<Core>,
    wish: Wish,
    events: &EventSink,
) -> Result<Outcome, Failure> {
    let _ = (core, wish.snapshot, wish.paths, wish.to, wish.overwrite, wish.dry_run, events);
    Err(Failure::failed("stub"))
}
