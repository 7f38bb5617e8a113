//! Goes through what is to be restored before anything is written: how much it is, and how many
//! pieces of each pack it needs. Reads metadata only.

use std::collections::BTreeMap;

use larder_protocol::{
    index::PackClass,
    snapshot::Snapshot,
    tree::{
        entry::{Content, Kind},
        read::{ExtentCursor, ReadError, Step, Walk},
    },
};

use super::{
    RestoreError,
    run::Run,
    selection::{Selection, Standing, root_node},
    uses::{Uses, chunk_of},
};
use crate::{
    depot::ShardState,
    engine::{Core, EngineError, Member},
    state::index::PackNumber,
};

/// How much is to be restored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Total {
    pub(super) files: u64,
    pub(super) bytes: u64,
}

/// Finds out what a restore needs; as little as possible where all packs are here.
pub(super) fn estimate(
    run: &Run<'_>,
    snapshot: &Snapshot,
    selection: &Selection,
) -> Result<(Total, Uses), RestoreError> {
    let is_all_here = is_all_here(run.core, run.member)?;
    if is_all_here && selection.is_everything() {
        let files = snapshot.files.saturating_add(snapshot.other);
        return Ok((Total { files, bytes: snapshot.bytes }, Uses::default()));
    }
    let mut sum =
        Sum { run, is_counted: !is_all_here, total: Total::default(), uses: BTreeMap::new() };
    match root_node(snapshot) {
        Some(node) => sum.walk(Walk::new(node), selection)?,
        None => sum.entry(&snapshot.root.kind)?,
    }
    let uses = if is_all_here { Uses::default() } else { Uses::of(sum.uses) };
    Ok((sum.total, uses))
}

/// Whether no data pack is away, so that nothing will be fetched.
fn is_all_here(core: &Core, member: &Member) -> Result<bool, RestoreError> {
    for facts in core.state.pack_facts()? {
        if facts.class == PackClass::Data {
            let row =
                core.depot.row(&facts.shard.root, &member.vault).map_err(EngineError::from)?;
            if row.is_none_or(|row| row.state != ShardState::Ok) {
                return Ok(false);
            }
        }
    }
    Ok(true)
}

struct Sum<'r, 'a> {
    run: &'r Run<'a>,
    is_counted: bool,
    total: Total,
    uses: BTreeMap<PackNumber, u64>,
}

impl Sum<'_, '_> {
    /// What cannot be read now cannot be read later either: it is said then.
    fn walk(&mut self, mut walk: Walk, selection: &Selection) -> Result<(), RestoreError> {
        let run = self.run;
        loop {
            run.check()?;
            let is_left_out = match walk.next_step(&mut |id, kind| run.chunk(id, kind)) {
                Ok(None) => return Ok(()),
                Ok(Some(Step::Enter { path, .. })) => selection.standing(path) == Standing::Outside,
                Ok(Some(Step::Leave { .. })) => false,
                Ok(Some(Step::Entry { path, entry })) => {
                    if selection.standing(path) == Standing::Whole {
                        self.entry(&entry.kind)?;
                    }
                    false
                }
                Err(ReadError::Fetch(error)) => {
                    run.lack(error)?;
                    true
                }
                Err(_) => true,
            };
            if is_left_out {
                walk.skip();
            }
        }
    }

    fn entry(&mut self, kind: &Kind) -> Result<(), RestoreError> {
        self.total.files += 1;
        if let Kind::File { bytes, content } = kind {
            self.total.bytes = self.total.bytes.saturating_add(*bytes);
            if self.is_counted {
                self.file(content, *bytes)?;
            }
        }
        Ok(())
    }

    fn file(&mut self, content: &Content, bytes: u64) -> Result<(), RestoreError> {
        let run = self.run;
        let mut extents = ExtentCursor::new(content, bytes);
        while let Ok(Some(extent)) = extents.next_extent(&mut |id, kind| run.chunk(id, kind)) {
            if let Some((chunk, _, _)) = chunk_of(&extent)
                && let Some((pack, _)) = run.core.state.place_of(&chunk)?
            {
                *self.uses.entry(pack).or_default() += 1;
            }
        }
        Ok(())
    }
}
