//! `diff`: what differs between two snapshots, in time proportional to the change.

use std::sync::Arc;

use larder_protocol::{
    ids::ChunkId,
    tree::{
        diff::{Change, Comparison},
        entry::{Entry, Kind},
        read::{Fetch, ReadError, Step, Walk},
    },
};

use super::{
    super::{ChunkSource, Core, EngineError},
    in_background,
    tree::{SnapshotTree, bytes, join, kind, open_snapshot, unreadable},
};
use crate::command::{
    self, ChangeKind, DiffOutcome, Event, EventSink, Failure, Outcome, PathField, RawPath, Row,
    SnapshotName,
};

/// Streams differences, ascending by path.
pub(crate) async fn diff(
    core: &Arc<Core>,
    old: SnapshotName,
    new: SnapshotName,
    path: RawPath,
    events: &EventSink,
) -> Result<Outcome, Failure> {
    core.member()?;
    in_background(core, events, move |core, events| {
        let (old, old_origin) = SnapshotTree::open(core, &old, events)?;
        let (new, new_origin) = SnapshotTree::open(core, &new, events)?;
        let outcome = DiffOutcome {
            old: old.summary.id.to_string(),
            new: new.summary.id.to_string(),
            old_origin,
            new_origin,
            added: 0,
            removed: 0,
            changed: 0,
            attributes: 0,
        };
        let mut report = Report { events, outcome };
        report.compare(&old, &new, &path)?;
        Ok(Outcome::Diff(report.outcome))
    })
    .await
}

/// Counts the files that came and those whose content changed from one snapshot to another, in
/// memory that does not grow with their number. A file that moved has come.
pub(crate) fn count_files(
    source: &ChunkSource,
    old: ChunkId,
    new: ChunkId,
) -> Result<(u64, u64), EngineError> {
    let (old, new) = (open_snapshot(source, old)?.root, open_snapshot(source, new)?.root);
    let (Kind::Directory { node: before }, Kind::Directory { node: after }) =
        (&old.kind, &new.kind)
    else {
        return Ok((0, u64::from(!old.kind.is_same_content(&new.kind))));
    };
    let is_file = |entry: &Entry| matches!(entry.kind, Kind::File { .. });
    let mut comparison = Comparison::new(*before, *after);
    let mut fetch = |id, kind| source.chunk(id, kind);
    let (mut came, mut changed) = (0, 0);
    loop {
        match comparison.next_change(&mut fetch).map_err(of_reading)? {
            None => return Ok((came, changed)),
            Some(Change::Added { entry, .. }) => came += u64::from(is_file(&entry)),
            Some(Change::Removed { .. }) => {}
            Some(Change::Modified { old, new, .. } | Change::Moved { old, new, .. }) => {
                changed += u64::from(is_file(&new) && !old.kind.is_same_content(&new.kind));
            }
        }
    }
}

fn of_reading(error: ReadError<EngineError>) -> EngineError {
    match error {
        ReadError::Fetch(error) => error,
        ReadError::Node(error) => error.into(),
        ReadError::TooDeep => larder_protocol::tree::node::NodeError::Level(u8::MAX).into(),
    }
}

/// Rows on their way out.
struct Report<'a> {
    events: &'a EventSink,
    outcome: DiffOutcome,
}

impl Report<'_> {
    fn compare(
        &mut self,
        old: &SnapshotTree,
        new: &SnapshotTree,
        path: &RawPath,
    ) -> Result<(), Failure> {
        // A whole path may be one of the other folder, or what it names may be gone.
        let (path, _) = new.find(path).or_else(|failure| old.find(path).map_err(|_| failure))?;
        let path = path.as_slice();
        let (before, after) = match (old.entry(path)?, new.entry(path)?) {
            (Some(before), Some(after)) => (before, after),
            (None, Some(after)) => return self.lone(ChangeKind::Added, new, path, &after),
            (Some(before), None) => return self.lone(ChangeKind::Removed, old, path, &before),
            (None, None) => return Ok(()),
        };
        let (Kind::Directory { node: a }, Kind::Directory { node: b }) =
            (&before.kind, &after.kind)
        else {
            let at = if path.is_empty() { after.name.to_vec() } else { path.to_vec() };
            return self.modified(&at, &before, &after);
        };
        let mut comparison = Comparison::new(*a, *b);
        let mut fetch = new.fetch();
        loop {
            // Long stretches may hold no difference, and so send nothing.
            self.events.check()?;
            let change = comparison.next_change(&mut fetch).map_err(unreadable)?;
            let Some(change) = change else { return Ok(()) };
            let at = join(path, change.path());
            match &change {
                Change::Added { entry, .. } => {
                    self.row(&at, ChangeKind::Added, None, Some(entry))?
                }
                Change::Removed { entry, .. } => {
                    self.row(&at, ChangeKind::Removed, Some(entry), None)?;
                }
                Change::Modified { old, new, .. } | Change::Moved { old, new, .. } => {
                    self.modified(&at, old, new)?;
                }
            }
        }
    }

    /// Everything at and below a path that only one side has.
    fn lone(
        &mut self,
        change: ChangeKind,
        tree: &SnapshotTree,
        path: &[u8],
        entry: &Entry,
    ) -> Result<(), Failure> {
        self.one_sided(path, change, entry)?;
        if let Kind::Directory { node } = entry.kind {
            self.below(change, node, path, &mut tree.fetch())?;
        }
        Ok(())
    }

    fn below(
        &mut self,
        change: ChangeKind,
        node: ChunkId,
        base: &[u8],
        fetch: &mut impl Fetch<EngineError>,
    ) -> Result<(), Failure> {
        let mut walk = Walk::new(node);
        while let Some(step) = walk.next_step(fetch).map_err(unreadable)? {
            match step {
                Step::Enter { path, entry } => {
                    self.one_sided(&join(base, path), change, entry)?;
                }
                Step::Entry { path, entry } => {
                    self.one_sided(&join(base, path), change, &entry)?;
                }
                Step::Leave { .. } => {}
            }
        }
        Ok(())
    }

    fn one_sided(&mut self, path: &[u8], change: ChangeKind, entry: &Entry) -> Result<(), Failure> {
        match change {
            ChangeKind::Removed => self.row(path, change, Some(entry), None),
            _ => self.row(path, change, None, Some(entry)),
        }
    }

    fn modified(&mut self, path: &[u8], old: &Entry, new: &Entry) -> Result<(), Failure> {
        if !old.kind.is_same_content(&new.kind) && kind(&new.kind) != command::EntryKind::Directory
        {
            self.row(path, ChangeKind::Changed, Some(old), Some(new))
        } else if old.attributes != new.attributes {
            self.row(path, ChangeKind::Attributes, Some(old), Some(new))
        } else {
            Ok(())
        }
    }

    fn row(
        &mut self,
        path: &[u8],
        change: ChangeKind,
        old: Option<&Entry>,
        new: Option<&Entry>,
    ) -> Result<(), Failure> {
        let count = match change {
            ChangeKind::Added => &mut self.outcome.added,
            ChangeKind::Removed => &mut self.outcome.removed,
            ChangeKind::Changed => &mut self.outcome.changed,
            ChangeKind::Attributes => &mut self.outcome.attributes,
        };
        *count += 1;
        let Some(shown) = new.or(old) else { return Ok(()) };
        let length = |entry: Option<&Entry>| entry.map(|entry| bytes(&entry.kind));
        self.events.blocking_send(Event::Row(Row::Change(command::Change {
            path: PathField::new(path),
            change,
            kind: kind(&shown.kind),
            bytes_old: length(old),
            bytes_new: length(new),
        })))?;
        Ok(())
    }
}
