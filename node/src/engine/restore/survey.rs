//! A restore that writes nothing: says what would be written.

use std::{collections::HashSet, ffi::OsStr, os::unix::ffi::OsStrExt, path::Path};

use larder_protocol::{
    snapshot::Snapshot,
    tree::{
        entry::{Entry, Identity, Kind},
        read::{Step, Walk},
    },
};

use super::{
    RestoreError,
    error::told,
    selection::{Selection, Standing, root_node},
};
use crate::{
    command::{
        Entry as EntryRow, EntryKind, Event, EventSink, PathField, Problem, TargetField, Time,
    },
    engine::{ChunkSource, inside::components},
    files::{DirHandle, Plan, Special, Target, TargetError},
};

/// What would be done.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) files_written: u64,
    pub(super) files_same: u64,
    pub(super) files_left: u64,
    pub(super) directories: u64,
    pub(super) bytes: u64,
    pub(super) problems: u64,
}

/// Looks at a target. It is `None` when there is no such directory yet.
pub(super) struct Survey<'a> {
    pub(super) source: &'a ChunkSource,
    /// Where to, as it was named.
    pub(super) to: &'a Path,
    pub(super) target: Option<&'a Target>,
    pub(super) selection: &'a Selection,
    pub(super) events: &'a EventSink,
    /// Files with several names of which one was met: the others take no bytes.
    pub(super) links: HashSet<Identity>,
    pub(super) found: Found,
}

/// What becomes of a directory.
type PlanDir = fn(&Target, &DirHandle, &[u8]) -> Result<Option<DirHandle>, TargetError>;

/// Where a directory of the snapshot is in the target.
#[derive(Clone)]
enum At {
    There(DirHandle),
    /// It would be made.
    Nowhere,
    /// It would be left out.
    LeftOut,
}

impl Survey<'_> {
    /// Goes through everything and streams what would be written.
    pub(super) fn run(mut self, snapshot: &Snapshot) -> Result<Found, RestoreError> {
        let mut at = self.target.map_or(At::Nowhere, |target| At::There(target.root()));
        let names = components(&snapshot.root_path);
        let (last, parents) = names.split_last().unzip();
        for name in parents.unwrap_or_default() {
            at = self.below(&at, name, Target::plan_way)?;
        }
        let Some(node) = root_node(snapshot) else {
            let name = last.copied().unwrap_or_default().to_vec().into();
            let entry = Entry { name, ..snapshot.root.clone() };
            self.entry(&at, &entry.name.clone(), &entry)?;
            return Ok(self.found);
        };
        if let Some(name) = last {
            at = self.below(&at, name, Target::plan_dir)?;
        }
        self.found.directories += 1;
        let mut open = vec![at];
        let mut walk = Walk::new(node);
        loop {
            self.events.check()?;
            let step = walk.next_step(&mut |id, kind| self.source.chunk(id, kind))?;
            let is_left_out = match step {
                None => return Ok(self.found),
                Some(Step::Enter { path, entry }) => {
                    let at = match (self.selection.standing(path), open.last()) {
                        (Standing::Outside, _) | (_, None | Some(At::LeftOut)) => At::LeftOut,
                        (_, Some(above)) => {
                            let above = above.clone();
                            self.directory(&above, path, entry)?
                        }
                    };
                    let is_left_out = matches!(at, At::LeftOut);
                    open.push(at);
                    is_left_out
                }
                Some(Step::Leave { .. }) => {
                    open.pop();
                    false
                }
                Some(Step::Entry { path, entry }) => {
                    if let Some(at) = open.last().cloned()
                        && self.selection.standing(path) == Standing::Whole
                    {
                        self.entry(&at, path, &entry)?;
                    }
                    false
                }
            };
            if is_left_out {
                walk.skip();
            }
        }
    }

    /// Where the directory `name` is, on the way to what is restored.
    fn below(&self, at: &At, name: &[u8], plan: PlanDir) -> Result<At, RestoreError> {
        let (Some(target), At::There(dir)) = (self.target, at) else { return Ok(At::Nowhere) };
        let planned = plan(target, dir, name);
        let dir = planned.map_err(|error| RestoreError::of_target(self.to, error))?;
        Ok(dir.map_or(At::Nowhere, At::There))
    }

    fn directory(&mut self, above: &At, path: &[u8], entry: &Entry) -> Result<At, RestoreError> {
        let planned = match (self.target, above) {
            (Some(target), At::There(dir)) => target.plan_dir(dir, &entry.name),
            _ => Ok(None),
        };
        match planned {
            Ok(Some(dir)) => {
                self.found.directories += 1;
                Ok(At::There(dir))
            }
            Ok(None) => {
                self.found.directories += 1;
                self.events.blocking_send(Event::Row(row(path, entry).into()))?;
                Ok(At::Nowhere)
            }
            Err(error) => self.refused(above, &entry.name, &error).map(|()| At::LeftOut),
        }
    }

    /// Says of an entry what the restore would say of it.
    fn refused(&mut self, at: &At, name: &[u8], error: &TargetError) -> Result<(), RestoreError> {
        self.found.problems += 1;
        let path = if let At::There(dir) = at { dir.path_of(name) } else { name.to_vec() };
        let path = PathField::from(self.to.join(OsStr::from_bytes(&path)).as_path());
        Ok(self.events.blocking_send(Event::Problem(Problem { path, what: told(error) }))?)
    }

    fn entry(&mut self, at: &At, path: &[u8], entry: &Entry) -> Result<(), RestoreError> {
        let plan = match (self.target, at) {
            (Some(target), At::There(dir)) => planned(target, dir, entry),
            _ => Ok(Plan::Make),
        };
        match plan {
            Ok(Plan::Keep) => {
                self.found.files_left += 1;
                return Ok(());
            }
            Err(error) => return self.refused(at, &entry.name, &error),
            Ok(Plan::Unchanged) => self.found.files_same += 1,
            Ok(Plan::Make) => {
                self.found.files_written += 1;
                let row = row(path, entry);
                let bytes = if self.is_known(entry) { 0 } else { row.bytes };
                self.found.bytes = self.found.bytes.saturating_add(bytes);
                self.events.blocking_send(Event::Row(row.into()))?;
            }
        }
        if let (Some(identity), 2..) = (entry.attributes.identity, entry.attributes.links) {
            self.links.insert(identity);
        }
        Ok(())
    }

    /// Whether the entry is one more name of a file that was met.
    fn is_known(&self, entry: &Entry) -> bool {
        entry.attributes.identity.is_some_and(|identity| self.links.contains(&identity))
    }
}

fn planned(target: &Target, dir: &DirHandle, entry: &Entry) -> Result<Plan, TargetError> {
    let attributes = &entry.attributes;
    let special = match &entry.kind {
        Kind::File { bytes, .. } => {
            return target.plan_file(dir, &entry.name, *bytes, attributes);
        }
        Kind::Directory { .. } => return Ok(Plan::Unchanged),
        Kind::Symlink { target } => Special::Symlink(target),
        Kind::Fifo => Special::Fifo,
        Kind::Socket => Special::Socket,
        Kind::CharDevice { device } => Special::CharDevice(*device),
        Kind::BlockDevice { device } => Special::BlockDevice(*device),
    };
    target.plan_special(dir, &entry.name, special, attributes)
}

/// An entry as listings show it.
fn row(path: &[u8], entry: &Entry) -> EntryRow {
    let attributes = &entry.attributes;
    let (kind, bytes, target) = match &entry.kind {
        Kind::File { bytes, .. } => (EntryKind::File, *bytes, None),
        Kind::Directory { .. } => (EntryKind::Directory, 0, None),
        Kind::Symlink { target } => (EntryKind::Symlink, 0, Some(TargetField::new(target))),
        Kind::Fifo => (EntryKind::Fifo, 0, None),
        Kind::Socket => (EntryKind::Socket, 0, None),
        Kind::CharDevice { .. } => (EntryKind::CharDevice, 0, None),
        Kind::BlockDevice { .. } => (EntryKind::BlockDevice, 0, None),
    };
    EntryRow {
        path: PathField::new(path),
        kind,
        bytes,
        mode: attributes.mode,
        uid: attributes.uid,
        gid: attributes.gid,
        modified: Time::of_file(attributes.modified),
        target,
    }
}
