//! What of a snapshot is restored: everything, or some paths with the directories above them.

use larder_protocol::{
    ids::ChunkId,
    snapshot::Snapshot,
    tree::{entry::Kind, read::lookup},
};

use super::RestoreError;
use crate::{
    command::RawPath,
    engine::{
        EngineError,
        inside::{components, readings},
    },
};

/// Paths from the snapshot's root, ascending, none below another. Everything when `None`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Selection(Option<Vec<Vec<u8>>>);

/// How a path stands to a selection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// It is restored, and everything below it.
    Whole,
    /// Something below it is restored.
    Above,
    /// Nothing of it is.
    Outside,
}

impl Selection {
    /// Finds each of `paths` in the snapshot. A path may begin with the path that the folder had
    /// on its device; one that the snapshot has as it stands is taken so first.
    pub(super) fn find(
        paths: &[RawPath],
        snapshot: &Snapshot,
        fetch: &mut impl larder_protocol::tree::read::Fetch<EngineError>,
    ) -> Result<Self, RestoreError> {
        let mut found = Vec::with_capacity(paths.len());
        'paths: for path in paths {
            let readings = readings(path.as_bytes(), &snapshot.root_path);
            for reading in &readings {
                if reading.is_empty() {
                    return Ok(Self(None));
                }
                if exists(snapshot, reading, fetch)? {
                    found.push(reading.clone());
                    continue 'paths;
                }
            }
            return Err(RestoreError::NoSuchPath(components(path.as_bytes()).join(&b'/')));
        }
        Ok(Self::of(found))
    }

    /// These paths, or everything when there is none.
    fn of(mut paths: Vec<Vec<u8>>) -> Self {
        if paths.is_empty() {
            return Self(None);
        }
        paths.sort();
        // A path sorts before what is below it, though not always right before.
        let mut kept: Vec<Vec<u8>> = Vec::with_capacity(paths.len());
        for path in paths {
            if !kept.iter().any(|above| is_at_or_below(&path, above)) {
                kept.push(path);
            }
        }
        Self(Some(kept))
    }

    /// Whether everything is restored.
    pub(super) const fn is_everything(&self) -> bool {
        self.0.is_none()
    }

    /// How `path` stands; the empty path is the root's.
    pub(super) fn standing(&self, path: &[u8]) -> Standing {
        let Some(paths) = &self.0 else { return Standing::Whole };
        if paths.iter().any(|selected| is_at_or_below(path, selected)) {
            Standing::Whole
        } else if path.is_empty() || paths.iter().any(|selected| is_at_or_below(selected, path)) {
            Standing::Above
        } else {
            Standing::Outside
        }
    }
}

fn is_at_or_below(path: &[u8], above: &[u8]) -> bool {
    let rest = path.strip_prefix(above);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
}

fn exists(
    snapshot: &Snapshot,
    path: &[u8],
    fetch: &mut impl larder_protocol::tree::read::Fetch<EngineError>,
) -> Result<bool, RestoreError> {
    let Some(node) = root_node(snapshot) else { return Ok(false) };
    Ok(lookup(node, path, fetch)?.is_some())
}

/// The root directory's node; `None` for the snapshot of a single file.
pub(super) fn root_node(snapshot: &Snapshot) -> Option<ChunkId> {
    match snapshot.root.kind {
        Kind::Directory { node } => Some(node),
        Kind::File { .. }
        | Kind::Symlink { .. }
        | Kind::Fifo
        | Kind::Socket
        | Kind::CharDevice { .. }
        | Kind::BlockDevice { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_selection_knows_what_is_in_it_and_what_is_above() {
        let paths = [&b"a/b"[..], b"a/b/c", b"a.b", b"x"].map(<[u8]>::to_vec);
        let selection = Selection::of(paths.to_vec());
        assert_eq!(selection.0.as_ref().unwrap().len(), 3);
        for (path, standing) in [
            (&b""[..], Standing::Above),
            (b"a", Standing::Above),
            (b"a/b", Standing::Whole),
            (b"a/b/c/d", Standing::Whole),
            (b"a/bc", Standing::Outside),
            (b"a.b", Standing::Whole),
            (b"a.bc", Standing::Outside),
            (b"xy", Standing::Outside),
        ] {
            assert_eq!(selection.standing(path), standing, "{}", path.escape_ascii());
        }
        assert_eq!(Selection::of(Vec::new()).standing(b"any"), Standing::Whole);
    }
}
