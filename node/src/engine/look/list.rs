//! `ls`: the entries of a directory, or of everything below it.

use std::sync::Arc;

use larder_protocol::tree::{
    entry::{Entry, Kind},
    read::{DirectoryCursor, Step, Walk},
};

use super::{
    super::Core,
    in_background,
    tree::{SnapshotTree, bytes, join, row, unreadable},
};
use crate::command::{Event, EventSink, Failure, ListOutcome, Outcome, RawPath, Row, SnapshotName};

/// Streams entries.
pub(crate) async fn list(
    core: &Arc<Core>,
    snapshot: SnapshotName,
    path: RawPath,
    recursive: bool,
    events: &EventSink,
) -> Result<Outcome, Failure> {
    core.member()?;
    in_background(core, events, move |core, events| {
        let (tree, origin) = SnapshotTree::open(core, &snapshot, events)?;
        let (path, entry) = tree.find(&path)?;
        let mut listing = Listing { events, base: &path, entries: 0, bytes: 0 };
        match entry.kind {
            Kind::Directory { node } if recursive => {
                let mut walk = Walk::new(node);
                let mut fetch = tree.fetch();
                while let Some(step) = walk.next_step(&mut fetch).map_err(unreadable)? {
                    match step {
                        Step::Enter { path, entry } => listing.add(path, entry)?,
                        Step::Entry { path, entry } => listing.add(path, &entry)?,
                        Step::Leave { .. } => {}
                    }
                }
            }
            Kind::Directory { node } => {
                let mut cursor = DirectoryCursor::new(node);
                let mut fetch = tree.fetch();
                while let Some(entry) = cursor.next_entry(&mut fetch).map_err(unreadable)? {
                    listing.add(&entry.name, &entry)?;
                }
            }
            // What is no directory is listed itself, under the path that was asked for.
            _ if path.is_empty() => listing.add(&entry.name, &entry)?,
            _ => listing.add(b"", &entry)?,
        }
        Ok(Outcome::List(ListOutcome {
            snapshot: tree.summary.id.to_string(),
            origin,
            entries_total: listing.entries,
            bytes: listing.bytes,
        }))
    })
    .await
}

/// Rows on their way out.
struct Listing<'a> {
    events: &'a EventSink,
    /// What all paths are below.
    base: &'a [u8],
    entries: u64,
    bytes: u64,
}

impl Listing<'_> {
    fn add(&mut self, path: &[u8], entry: &Entry) -> Result<(), Failure> {
        let path = if path.is_empty() { self.base.to_vec() } else { join(self.base, path) };
        self.entries += 1;
        self.bytes = self.bytes.saturating_add(bytes(&entry.kind));
        self.events.blocking_send(Event::Row(Row::Entry(row(&path, entry))))?;
        Ok(())
    }
}
