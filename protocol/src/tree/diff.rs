//! What changed between two trees, in time proportional to the change.
//!
//! Equal nodes are skipped unopened, on every level. What vanished in one place and appeared in
//! another under the same identity has moved. An identity that stands at several paths of one tree
//! (a bind mount) is matched once; the list is then still true of every other path. Source: specs/tree.md, TREE-15 to TREE-17.

mod lockstep;
mod plain;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    ops::Bound,
};

use crate::{
    ids::ChunkId,
    limits::TREE_DEPTH_MAX,
    tree::{
        entry::{Entry, Identity, Kind},
        read::{DirectoryCursor, Fetch, ReadError},
    },
};

pub use plain::Comparison;

use lockstep::{Difference, Lockstep};

/// One change, from an older tree to a newer one. Paths have their components joined by slashes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Was not there. A directory's entries have changes of their own.
    Added {
        /// Where.
        path: Vec<u8>,
        /// What.
        entry: Entry,
    },
    /// Is there no more. A directory's entries have changes of their own.
    Removed {
        /// Where it was.
        path: Vec<u8>,
        /// What it was.
        entry: Entry,
    },
    /// Is something else, or has other content or attributes. Of a directory: other attributes.
    Modified {
        /// Where.
        path: Vec<u8>,
        /// Before.
        old: Entry,
        /// After.
        new: Entry,
    },
    /// The same file or directory elsewhere, perhaps changed as well. What moved along with a
    /// directory is not listed, only what changed in it.
    Moved {
        /// Where it was.
        from: Vec<u8>,
        /// Where it is.
        path: Vec<u8>,
        /// Before.
        old: Entry,
        /// After.
        new: Entry,
    },
}

impl Change {
    /// Where the entry is now, or was when it is removed.
    pub fn path(&self) -> &[u8] {
        match self {
            Self::Added { path, .. }
            | Self::Removed { path, .. }
            | Self::Modified { path, .. }
            | Self::Moved { path, .. } => path,
        }
    }
}

/// Compares two root directories by their nodes. Changes come ascending by path.
///
/// # Errors
/// [`ReadError`].
pub fn diff<E>(
    old: ChunkId,
    new: ChunkId,
    fetch: &mut impl Fetch<E>,
) -> Result<Vec<Change>, ReadError<E>> {
    let mut diff = Diff::default();
    diff.compare(Pair { from: Vec::new(), path: Vec::new(), old, new }, fetch)?;
    // First what can be matched without opening anything: a directory moved as a whole. Then
    // what is below removed directories, which may have moved elsewhere, then below added ones.
    loop {
        diff.match_moves(fetch)?;
        if !expand(&mut diff.removed, &diff.left, fetch)?
            && !expand(&mut diff.added, &diff.arrived, fetch)?
        {
            break;
        }
    }
    Ok(diff.into_changes())
}

/// Two directories to compare: the older is at `from`, the newer at `path`.
struct Pair {
    from: Vec<u8>,
    path: Vec<u8>,
    old: ChunkId,
    new: ChunkId,
}

/// An entry that is on one side only.
struct Lone {
    entry: Entry,
    /// Whether its entries are in the pool as well. Always true for what is no directory.
    expanded: bool,
}

#[derive(Default)]
struct Diff {
    removed: BTreeMap<Vec<u8>, Lone>,
    added: BTreeMap<Vec<u8>, Lone>,
    /// Older and newer paths that have been matched. A directory around them may be matched
    /// later, and its comparison meets them again.
    left: BTreeSet<Vec<u8>>,
    arrived: BTreeSet<Vec<u8>>,
    changes: Vec<Change>,
}

impl Diff {
    /// Compares two directories and all directories within them that are on both sides.
    fn compare<E>(&mut self, pair: Pair, fetch: &mut impl Fetch<E>) -> Result<(), ReadError<E>> {
        let mut pairs = VecDeque::from([pair]);
        while let Some(Pair { from, path, old, new }) = pairs.pop_front() {
            if depth(&from).max(depth(&path)) >= TREE_DEPTH_MAX {
                return Err(ReadError::TooDeep);
            }
            let mut lockstep = Lockstep::new(old, new);
            while let Some(difference) = lockstep.next_difference(fetch)? {
                let (old, new) = match difference {
                    Difference::Old(old) => (Some(old), None),
                    Difference::New(new) => (None, Some(new)),
                    Difference::Both(old, new) => (Some(old), Some(new)),
                };
                let old = old.map(|entry| (join(&from, &entry.name), entry));
                let new = new.map(|entry| (join(&path, &entry.name), entry));
                let old = old.filter(|(from, _)| !self.left.contains(from));
                let new = new.filter(|(path, _)| !self.arrived.contains(path));
                pairs.extend(self.compare_entries(old, new));
            }
        }
        Ok(())
    }

    /// Two different entries of one name, or one alone; the directories to compare next, if they
    /// are such.
    fn compare_entries(
        &mut self,
        old: Option<(Vec<u8>, Entry)>,
        new: Option<(Vec<u8>, Entry)>,
    ) -> Option<Pair> {
        let ((from, old), (path, new)) = match (old, new) {
            (Some(old), Some(new)) => (old, new),
            (old, new) => {
                self.removed.extend(old.map(|(from, entry)| (from, Lone::new(entry))));
                self.added.extend(new.map(|(path, entry)| (path, Lone::new(entry))));
                return None;
            }
        };
        match (&old.kind, &new.kind) {
            (Kind::Directory { node: before }, Kind::Directory { node: after }) => {
                let pair = Pair { from, path: path.clone(), old: *before, new: *after };
                if old.attributes != new.attributes {
                    self.changes.push(Change::Modified { path, old, new });
                }
                (pair.old != pair.new).then_some(pair)
            }
            (Kind::Directory { .. }, _) | (_, Kind::Directory { .. }) => {
                self.removed.insert(from, Lone::new(old));
                self.added.insert(path, Lone::new(new));
                None
            }
            _ => {
                self.changes.push(Change::Modified { path, old, new });
                None
            }
        }
    }

    /// Turns pairs of one identity into moves until none is left.
    fn match_moves<E>(&mut self, fetch: &mut impl Fetch<E>) -> Result<(), ReadError<E>> {
        loop {
            let mut removed: BTreeMap<(bool, Identity), Vec<u8>> = BTreeMap::new();
            for (path, lone) in &self.removed {
                if let Some(identity) = lone.identity() {
                    removed.entry(identity).or_insert_with(|| path.clone());
                }
            }
            let moves: Vec<(Vec<u8>, Vec<u8>)> = self
                .added
                .iter()
                .filter_map(|(path, lone)| Some((removed.remove(&lone.identity()?)?, path.clone())))
                .collect();
            if moves.is_empty() {
                return Ok(());
            }
            for (from, path) in moves {
                self.apply_move(from, path, fetch)?;
            }
        }
    }

    fn apply_move<E>(
        &mut self,
        from: Vec<u8>,
        path: Vec<u8>,
        fetch: &mut impl Fetch<E>,
    ) -> Result<(), ReadError<E>> {
        // A move of a directory may have taken either side out of its pool already.
        if !self.added.contains_key(&path) {
            return Ok(());
        }
        let Some(Lone { entry: old, .. }) = self.removed.remove(&from) else { return Ok(()) };
        let Some(Lone { entry: new, .. }) = self.added.remove(&path) else { return Ok(()) };
        self.left.insert(from.clone());
        self.arrived.insert(path.clone());
        let nodes = match (&old.kind, &new.kind) {
            (Kind::Directory { node: before }, Kind::Directory { node: after }) => {
                Some((*before, *after))
            }
            _ => None,
        };
        if let Some((old, new)) = nodes {
            // What was listed below either side is compared again, side by side.
            remove_below(&mut self.removed, &self.left, &from);
            remove_below(&mut self.added, &self.arrived, &path);
            if old != new {
                let pair = Pair { from: from.clone(), path: path.clone(), old, new };
                self.compare(pair, fetch)?;
            }
        }
        self.changes.push(Change::Moved { from, path, old, new });
        Ok(())
    }

    fn into_changes(self) -> Vec<Change> {
        let Self { removed, added, mut changes, .. } = self;
        let removed = removed.into_iter();
        changes.extend(removed.map(|(path, lone)| Change::Removed { path, entry: lone.entry }));
        let added = added.into_iter();
        changes.extend(added.map(|(path, lone)| Change::Added { path, entry: lone.entry }));
        // By components, so that a directory comes right before what is in it; of two changes at
        // one path (a file that became a directory) the removal comes first.
        changes.sort_by(|a, b| {
            let components = |change: &Change| -> Vec<Vec<u8>> {
                change.path().split(|byte| *byte == b'/').map(<[u8]>::to_vec).collect()
            };
            let rank = |change: &Change| !matches!(change, Change::Removed { .. });
            (components(a), rank(a)).cmp(&(components(b), rank(b)))
        });
        changes
    }
}

impl Lone {
    fn new(entry: Entry) -> Self {
        let expanded = !matches!(entry.kind, Kind::Directory { .. });
        Self { entry, expanded }
    }

    /// The identity by which it can be found elsewhere, together with whether it is a directory.
    /// Hardlinked files have one identity at several paths, which says nothing about moves.
    fn identity(&self) -> Option<(bool, Identity)> {
        let directory = matches!(self.entry.kind, Kind::Directory { .. });
        let identity = self.entry.attributes.identity?;
        (directory || self.entry.attributes.links == 1).then_some((directory, identity))
    }
}

/// Puts the entries of all unexpanded directories into the pool, but for those that have been
/// matched already; false when there was no such directory.
fn expand<E>(
    pool: &mut BTreeMap<Vec<u8>, Lone>,
    matched: &BTreeSet<Vec<u8>>,
    fetch: &mut impl Fetch<E>,
) -> Result<bool, ReadError<E>> {
    let mut below = Vec::new();
    let mut any = false;
    for (path, lone) in pool.iter_mut().filter(|(_, lone)| !lone.expanded) {
        lone.expanded = true;
        any = true;
        let Kind::Directory { node } = lone.entry.kind else { continue };
        if depth(path) >= TREE_DEPTH_MAX {
            return Err(ReadError::TooDeep);
        }
        let mut cursor = DirectoryCursor::new(node);
        while let Some(entry) = cursor.next_entry(fetch)? {
            let path = join(path, &entry.name);
            if !matched.contains(&path) {
                below.push((path, Lone::new(entry)));
            }
        }
    }
    pool.extend(below);
    Ok(any)
}

/// Drops everything below a directory from a pool, but for what is below directories that have
/// been matched on their own: it belongs to those.
fn remove_below(pool: &mut BTreeMap<Vec<u8>, Lone>, matched: &BTreeSet<Vec<u8>>, directory: &[u8]) {
    let mut prefix = directory.to_vec();
    prefix.push(b'/');
    let from = (Bound::Included(prefix.clone()), Bound::Unbounded);
    let below: Vec<Vec<u8>> = pool
        .range(from)
        .map(|(path, _)| path)
        .take_while(|path| path.starts_with(&prefix))
        .filter(|path| !ancestors(path, prefix.len()).any(|path| matched.contains(path)))
        .cloned()
        .collect();
    for path in below {
        pool.remove(&path);
    }
}

/// The directories around a path that are longer than `beyond` bytes.
fn ancestors(path: &[u8], beyond: usize) -> impl Iterator<Item = &[u8]> {
    let slashes = path.iter().enumerate().filter(|(_, byte)| **byte == b'/');
    slashes.filter(move |(at, _)| *at > beyond).filter_map(|(at, _)| path.get(..at))
}

fn join(directory: &[u8], name: &[u8]) -> Vec<u8> {
    if directory.is_empty() {
        return name.to_vec();
    }
    [directory, b"/", name].concat()
}

fn depth(path: &[u8]) -> usize {
    if path.is_empty() { 0 } else { path.split(|byte| *byte == b'/').count() }
}

#[cfg(test)]
mod tests;
