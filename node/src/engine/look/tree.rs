//! One snapshot, opened for reading.

use std::sync::Arc;

use larder_protocol::{
    ids::ChunkId,
    index::ChunkKind,
    manifest::SnapshotSummary,
    snapshot::Snapshot,
    tree::{
        entry::{Entry, Kind},
        read::{Fetch, ReadError, lookup},
    },
};

use super::{
    super::{ChunkSource, Core, EngineError, inside::readings, names},
    say_meant,
};
use crate::command::{
    self, EntryKind, EventSink, Failure, PathField, RawPath, SnapshotName, SnapshotOrigin,
    TargetField, Time,
};

/// A snapshot with the way to its chunks. For threads that may block.
#[derive(Debug)]
pub(crate) struct SnapshotTree {
    /// What the manifest says of it.
    pub(crate) summary: SnapshotSummary,
    /// The record itself.
    pub(crate) snapshot: Snapshot,
    pub(crate) source: ChunkSource,
}

impl SnapshotTree {
    /// Opens the snapshot of a name, and says which that is.
    pub(crate) fn open(
        core: &Arc<Core>,
        name: &SnapshotName,
        events: &EventSink,
    ) -> Result<(Self, SnapshotOrigin), Failure> {
        let summary = names::resolve(core, name)?;
        let origin = say_meant(core, name, &summary, events)?;
        let source = ChunkSource::new(core, &core.member()?).until(events);
        Ok((Self::of(source, summary)?, origin))
    }

    /// Opens a snapshot.
    pub(crate) fn of(source: ChunkSource, summary: SnapshotSummary) -> Result<Self, EngineError> {
        let snapshot = open_snapshot(&source, summary.id)?;
        Ok(Self { summary, snapshot, source })
    }

    /// What fetches chunks for the readers of trees.
    pub(crate) fn fetch(&self) -> impl Fetch<EngineError> {
        |id, kind| self.source.chunk(id, kind)
    }

    /// The entry that a person's path means, and its path from the root.
    pub(crate) fn find(&self, path: &RawPath) -> Result<(Vec<u8>, Entry), Failure> {
        for reading in readings(path.as_bytes(), &self.snapshot.root_path) {
            if let Some(entry) = self.entry(&reading)? {
                return Ok((reading, entry));
            }
        }
        let shown = String::from_utf8_lossy(path.as_bytes());
        let folder = String::from_utf8_lossy(&self.snapshot.root_path);
        let id = self.summary.id.short();
        Err(Failure::failed(format!("there is no `{shown}` in snapshot {id} of {folder}")).hint(
            "a path counts from the root of the snapshot, as `larder ls` shows it, or is the \
             whole path that the file had on its device",
        ))
    }

    /// The entry at a path from the root; the root for the empty one. The root of a snapshot of a
    /// single file answers to its own name as well.
    pub(crate) fn entry(&self, path: &[u8]) -> Result<Option<Entry>, Failure> {
        let root = &self.snapshot.root;
        if path.is_empty() {
            return Ok(Some(root.clone()));
        }
        match root.kind {
            Kind::Directory { node } => lookup(node, path, &mut self.fetch()).map_err(unreadable),
            _ => Ok((*root.name == *path).then(|| root.clone())),
        }
    }

    /// Whether a path may be below this snapshot at all, by what kind its root is.
    pub(crate) fn root_node(&self) -> Option<ChunkId> {
        match self.snapshot.root.kind {
            Kind::Directory { node } => Some(node),
            _ => None,
        }
    }
}

/// Reads and checks the record of a snapshot.
pub(crate) fn open_snapshot(source: &ChunkSource, id: ChunkId) -> Result<Snapshot, EngineError> {
    Ok(Snapshot::decode(&source.chunk(id, ChunkKind::Snapshot)?)?)
}

/// Why a tree could not be read.
pub(crate) fn unreadable(error: ReadError<EngineError>) -> Failure {
    match error {
        ReadError::Fetch(error) => error.into(),
        ReadError::Node(_) | ReadError::TooDeep => {
            Failure::from_error("cannot read the snapshot", &error)
                .hint("run `larder verify`; older snapshots may be whole")
        }
    }
}

/// The line of an entry. `path` is counted from the root of the snapshot.
pub(crate) fn row(path: &[u8], entry: &Entry) -> command::Entry {
    let attributes = &entry.attributes;
    command::Entry {
        path: PathField::new(path),
        kind: kind(&entry.kind),
        bytes: bytes(&entry.kind),
        mode: attributes.mode,
        uid: attributes.uid,
        gid: attributes.gid,
        modified: Time::of_file(attributes.modified),
        target: match &entry.kind {
            Kind::Symlink { target } => Some(TargetField::new(target)),
            _ => None,
        },
    }
}

/// The kind of an entry as rows tell it.
pub(crate) const fn kind(kind: &Kind) -> EntryKind {
    match kind {
        Kind::File { .. } => EntryKind::File,
        Kind::Directory { .. } => EntryKind::Directory,
        Kind::Symlink { .. } => EntryKind::Symlink,
        Kind::Fifo => EntryKind::Fifo,
        Kind::Socket => EntryKind::Socket,
        Kind::CharDevice { .. } => EntryKind::CharDevice,
        Kind::BlockDevice { .. } => EntryKind::BlockDevice,
    }
}

/// Length of a file, 0 for the rest.
pub(crate) const fn bytes(kind: &Kind) -> u64 {
    match kind {
        Kind::File { bytes, .. } => *bytes,
        _ => 0,
    }
}

/// Components joined by slashes.
pub(crate) fn join(directory: &[u8], path: &[u8]) -> Vec<u8> {
    if directory.is_empty() {
        return path.to_vec();
    }
    [directory, b"/", path].concat()
}
