//! The same comparison without moves: one change after the other, in the order of paths, in
//! memory that depends on the depth of the trees alone. For people and scripts, to whom a moved
//! directory is one that is gone here and new there.

use crate::{
    ids::ChunkId,
    limits::TREE_DEPTH_MAX,
    tree::{
        diff::{
            Change, depth, join,
            lockstep::{Difference, Lockstep},
        },
        entry::{Entry, Kind},
        read::{Fetch, ReadError, Step, Walk},
    },
};

/// Goes through two trees side by side. Source: specs/tree.md, TREE-15.
#[derive(Debug)]
pub struct Comparison {
    /// The innermost last.
    open: Vec<Open>,
}

#[derive(Debug)]
struct Open {
    base: Vec<u8>,
    part: Part,
}

/// What is gone through below one path.
#[derive(Debug)]
enum Part {
    /// Directories on both sides.
    Both(Box<Lockstep>),
    /// A directory that only one side has.
    Alone(Side, Box<Walk>),
    /// An entry, at the path itself, that took the place of a directory.
    Entry(Side, Box<Entry>),
}

#[derive(Debug, Clone, Copy)]
enum Side {
    Old,
    New,
}

impl Side {
    fn change(self, path: Vec<u8>, entry: Entry) -> Change {
        match self {
            Self::Old => Change::Removed { path, entry },
            Self::New => Change::Added { path, entry },
        }
    }
}

impl Comparison {
    /// Starts before the first difference of two root directories, named by their nodes.
    pub fn new(old: ChunkId, new: ChunkId) -> Self {
        let part = Part::Both(Box::new(Lockstep::new(old, new)));
        Self { open: vec![Open { base: Vec::new(), part }] }
    }

    /// The next change: added, removed or modified; never moved. Everything in a directory that
    /// one side lacks is a change of its own, right after the directory. A file whose bytes
    /// merely lie in another bundle has not changed.
    ///
    /// # Errors
    /// [`ReadError`]; do not go on after one.
    pub fn next_change<E>(
        &mut self,
        fetch: &mut impl Fetch<E>,
    ) -> Result<Option<Change>, ReadError<E>> {
        while let Some(Open { base, mut part }) = self.open.pop() {
            match &mut part {
                Part::Both(lockstep) => {
                    let Some(difference) = lockstep.next_difference(fetch)? else { continue };
                    let directory = base.clone();
                    self.open.push(Open { base, part });
                    if let Some(change) = self.enter(&directory, difference)? {
                        return Ok(Some(change));
                    }
                }
                Part::Alone(side, walk) => {
                    let side = *side;
                    let found = match walk.next_step(fetch)? {
                        None => continue,
                        Some(Step::Entry { path, entry }) => Some((join(&base, path), entry)),
                        Some(Step::Enter { path, entry }) => {
                            Some((join(&base, path), entry.clone()))
                        }
                        Some(Step::Leave { .. }) => None,
                    };
                    self.open.push(Open { base, part });
                    if let Some((path, entry)) = found {
                        return Ok(Some(side.change(path, entry)));
                    }
                }
                Part::Entry(..) => {
                    if let Part::Entry(side, entry) = part {
                        return Ok(Some(self.alone(side, base, *entry)));
                    }
                }
            }
        }
        Ok(None)
    }

    /// Tells a difference and opens what is below it.
    fn enter<E>(
        &mut self,
        directory: &[u8],
        difference: Difference,
    ) -> Result<Option<Change>, ReadError<E>> {
        let name = match &difference {
            Difference::Old(entry) | Difference::New(entry) | Difference::Both(entry, _) => {
                &entry.name
            }
        };
        let path = join(directory, name);
        if depth(&path) >= TREE_DEPTH_MAX {
            return Err(ReadError::TooDeep);
        }
        Ok(match difference {
            Difference::Old(entry) => Some(self.alone(Side::Old, path, entry)),
            Difference::New(entry) => Some(self.alone(Side::New, path, entry)),
            Difference::Both(old, new) => self.both(path, old, new),
        })
    }

    fn alone(&mut self, side: Side, path: Vec<u8>, entry: Entry) -> Change {
        if let Kind::Directory { node } = entry.kind {
            let part = Part::Alone(side, Box::new(Walk::new(node)));
            self.open.push(Open { base: path.clone(), part });
        }
        side.change(path, entry)
    }

    fn both(&mut self, path: Vec<u8>, old: Entry, new: Entry) -> Option<Change> {
        match (&old.kind, &new.kind) {
            (Kind::Directory { node: before }, Kind::Directory { node: after }) => {
                if before != after {
                    let part = Part::Both(Box::new(Lockstep::new(*before, *after)));
                    self.open.push(Open { base: path.clone(), part });
                }
                let is_changed = old.attributes != new.attributes;
                is_changed.then_some(Change::Modified { path, old, new })
            }
            (Kind::Directory { .. }, _) | (_, Kind::Directory { .. }) => {
                let part = Part::Entry(Side::New, Box::new(new));
                self.open.push(Open { base: path.clone(), part });
                Some(self.alone(Side::Old, path, old))
            }
            _ => {
                let is_same =
                    old.attributes == new.attributes && old.kind.is_same_content(&new.kind);
                (!is_same).then_some(Change::Modified { path, old, new })
            }
        }
    }
}
