//! Goes through two directories side by side, node by node, and skips what is equal.

use std::cmp::Ordering;

use crate::{
    ids::ChunkId,
    tree::{
        entry::Entry,
        node::DirectoryNode,
        node::NodeError,
        read::{Fetch, ReadError, open_directory},
    },
};

/// An entry on which two directories differ.
#[derive(Debug)]
pub(super) enum Difference {
    /// Only in the older one.
    Old(Entry),
    /// Only in the newer one.
    New(Entry),
    /// In both under one name, not equal.
    Both(Entry, Entry),
}

/// The two sides. What lies ahead is opened only where they differ.
#[derive(Debug)]
pub(super) struct Lockstep {
    old: Side,
    new: Side,
}

/// What lies ahead of one side, the next last.
#[derive(Debug)]
struct Side {
    ahead: Vec<Ahead>,
    last: Vec<u8>,
}

#[derive(Debug)]
enum Ahead {
    Node { chunk: ChunkId, level: Option<u8>, first: Vec<u8> },
    Entry(Box<Entry>),
}

impl Lockstep {
    pub(super) fn new(old: ChunkId, new: ChunkId) -> Self {
        Self { old: Side::new(old), new: Side::new(new) }
    }

    pub(super) fn next_difference<E>(
        &mut self,
        fetch: &mut impl Fetch<E>,
    ) -> Result<Option<Difference>, ReadError<E>> {
        loop {
            let step = match (self.old.ahead.last(), self.new.ahead.last()) {
                (None, None) => return Ok(None),
                (Some(_), None) => Turn::Old,
                (None, Some(_)) => Turn::New,
                (Some(old), Some(new)) => Turn::of(old, new),
            };
            let difference = match step {
                Turn::Equal => {
                    self.old.ahead.pop();
                    self.new.ahead.pop();
                    None
                }
                Turn::Old => self.old.advance(fetch)?.map(Difference::Old),
                Turn::New => self.new.advance(fetch)?.map(Difference::New),
                Turn::Both => match (self.old.advance(fetch)?, self.new.advance(fetch)?) {
                    (Some(old), Some(new)) if old == new => None,
                    (Some(old), Some(new)) => Some(Difference::Both(old, new)),
                    (Some(old), None) => Some(Difference::Old(old)),
                    (None, Some(new)) => Some(Difference::New(new)),
                    (None, None) => None,
                },
            };
            if difference.is_some() {
                return Ok(difference);
            }
        }
    }
}

/// Whose turn it is to go on.
enum Turn {
    /// Both begin with the same node: nothing below it differs.
    Equal,
    Old,
    New,
    Both,
}

impl Turn {
    /// The side that is behind goes on: it may have entries that the other has not. Where both
    /// begin with the same name, the higher node is opened first, so that equal nodes of one
    /// level come to stand side by side.
    fn of(old: &Ahead, new: &Ahead) -> Self {
        match (old, new) {
            (Ahead::Node { chunk: a, .. }, Ahead::Node { chunk: b, .. }) if a == b => Self::Equal,
            _ => match old.first().cmp(new.first()).then(new.height().cmp(&old.height())) {
                Ordering::Less => Self::Old,
                Ordering::Greater => Self::New,
                Ordering::Equal => Self::Both,
            },
        }
    }
}

impl Ahead {
    fn first(&self) -> &[u8] {
        match self {
            Self::Node { first, .. } => first,
            Self::Entry(entry) => &entry.name,
        }
    }

    /// Entries below leaves below inner nodes below the root, whose level is not known yet.
    fn height(&self) -> u16 {
        match self {
            Self::Entry(_) => 0,
            Self::Node { level: Some(level), .. } => u16::from(*level) + 1,
            Self::Node { level: None, .. } => u16::MAX,
        }
    }
}

impl Side {
    fn new(root: ChunkId) -> Self {
        let root = Ahead::Node { chunk: root, level: None, first: Vec::new() };
        Self { ahead: vec![root], last: Vec::new() }
    }

    /// Opens the next node, or takes the next entry.
    fn advance<E>(&mut self, fetch: &mut impl Fetch<E>) -> Result<Option<Entry>, ReadError<E>> {
        match self.ahead.pop() {
            None => Ok(None),
            Some(Ahead::Entry(entry)) => {
                if *entry.name <= self.last {
                    return Err(NodeError::Order.into());
                }
                self.last = entry.name.to_vec();
                Ok(Some(*entry))
            }
            Some(Ahead::Node { chunk, level, first }) => {
                match open_directory(chunk, level, &first, fetch)? {
                    DirectoryNode::Leaf(entries) => {
                        let entries = entries.into_iter().rev();
                        self.ahead.extend(entries.map(|entry| Ahead::Entry(Box::new(entry))));
                    }
                    DirectoryNode::Inner { level, children } => {
                        let children = children.into_iter().rev();
                        self.ahead.extend(children.map(|child| Ahead::Node {
                            chunk: child.chunk,
                            level: level.checked_sub(1),
                            first: child.first.into(),
                        }));
                    }
                }
                Ok(None)
            }
        }
    }
}
