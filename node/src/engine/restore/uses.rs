//! How long a partly fetched pack is needed: until the last piece of it is written.
//!
//! Counted beforehand by going through the tree once, which needs metadata only. So nothing is
//! fetched twice, and no more than what is under way lies about. Where every pack is here nothing
//! is counted.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use larder_protocol::{ids::ChunkId, tree::entry::Extent};

use crate::state::index::PackNumber;

/// Pieces of each pack that are not dealt with yet; `None` where no pack is to be fetched.
#[derive(Debug, Default)]
pub(super) struct Uses(Option<Mutex<BTreeMap<PackNumber, u64>>>);

impl Uses {
    /// These counts.
    pub(super) const fn of(counts: BTreeMap<PackNumber, u64>) -> Self {
        Self(Some(Mutex::new(counts)))
    }

    /// Whether anything is counted.
    pub(super) const fn are_counted(&self) -> bool {
        self.0.is_some()
    }

    /// So many pieces of a pack are dealt with; true when these were the last.
    pub(super) fn less(&self, pack: PackNumber, pieces: u64) -> bool {
        let Some(mut counts) = self.lock() else { return false };
        let Some(count) = counts.get_mut(&pack) else { return false };
        let before = *count;
        *count = before.saturating_sub(pieces);
        before > 0 && *count == 0
    }

    /// Whether this restore needed a pack at any time.
    pub(super) fn knows(&self, pack: PackNumber) -> bool {
        self.lock().is_some_and(|counts| counts.contains_key(&pack))
    }

    fn lock(&self) -> Option<MutexGuard<'_, BTreeMap<PackNumber, u64>>> {
        self.0.as_ref().map(|counts| counts.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The chunk that an extent needs, and where in it its bytes are.
pub(super) fn chunk_of(extent: &Extent) -> Option<(ChunkId, u32, u32)> {
    match extent {
        Extent::Chunk { chunk, bytes } => Some((*chunk, 0, *bytes)),
        Extent::Slice { chunk, offset, bytes, .. } => Some((*chunk, *offset, *bytes)),
        Extent::Hole { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_piece_is_noticed_once() {
        let uses = Uses::of(BTreeMap::from([(7, 3)]));
        assert!(!uses.less(7, 2));
        assert!(!uses.less(8, 2));
        assert!(uses.less(7, 1));
        assert!(!uses.less(7, 1));
        assert!(uses.knows(7) && !uses.knows(8));
        assert!(!Uses::default().less(7, 1));
    }
}
