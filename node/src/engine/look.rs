//! Looks into snapshots: lists, shows, compares, searches.

use std::sync::Arc;

use larder_protocol::{ids::ChunkId, tree::diff::Change};

use super::{ChunkSource, Core, EngineError};
use crate::command::{EventSink, Failure, Outcome, RawPath, SnapshotName};

pub(crate) async fn snapshots(
    core: &Arc<Core>,
    device: Option<String>,
    path: Option<RawPath>,
) -> Result<Outcome, Failure> {
    let _ = (core, device, path);
    Err(Failure::failed("stub"))
}
pub(crate) async fn list(
    core: &Arc<Core>,
    snapshot: SnapshotName,
    path: RawPath,
    recursive: bool,
    events: &EventSink,
) -> Result<Outcome, Failure> {
    let _ = (core, snapshot, path, recursive, events);
    Err(Failure::failed("stub"))
}
pub(crate) async fn cat(
    core: &Arc<Core>,
    snapshot: SnapshotName,
    path: RawPath,
    events: &EventSink,
) -> Result<Outcome, Failure> {
    let _ = (core, snapshot, path, events);
    Err(Failure::failed("stub"))
}
pub(crate) async fn diff(
    core: &Arc<Core>,
    old: SnapshotName,
    new: SnapshotName,
    path: RawPath,
    events: &EventSink,
) -> Result<Outcome, Failure> {
    let _ = (core, old, new, path, events);
    Err(Failure::failed("stub"))
}
pub(crate) async fn find(
    core: &Arc<Core>,
    pattern: String,
    snapshot: Option<SnapshotName>,
    events: &EventSink,
) -> Result<Outcome, Failure> {
    let _ = (core, pattern, snapshot, events);
    Err(Failure::failed("stub"))
}

/// What differs between two snapshots, by their ids.
pub(crate) fn differences(
    source: &ChunkSource,
    old: ChunkId,
    new: ChunkId,
) -> Result<Vec<Change>, EngineError> {
    let _ = (source, old, new);
    Ok(Vec::new())
}

/// Every live snapshot of every device of the vault, oldest first.
pub(crate) fn all_snapshots(core: &Core) -> Result<Vec<crate::command::Snapshot>, Failure> {
    let _ = core;
    Ok(Vec::new())
}
