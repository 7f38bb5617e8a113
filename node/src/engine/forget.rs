//! Retention: forgets own snapshots, and claims no more what none of the others needs. Which ones go is
//! `larder_protocol::retention`'s decision; when holders let anything go is theirs. Source:
//! specs/retention.md, specs/deletion.md.

use std::{collections::BTreeMap, sync::Arc};

use larder_protocol::{
    limits::RETENTION_DAYS_MIN,
    manifest::SnapshotSummary,
    retention::{Kept, Rules},
};

use tracing::warn;

use super::{ChunkSource, Core, EngineError, collect, commit, look::Shelf, names, on_disk, roster};
use crate::command::{Failure, ForgetOutcome, Keep, Outcome};

/// Forgets what no rule keeps, or only tells what would be forgotten, and how much is not needed then.
pub(crate) async fn run(core: &Arc<Core>, keep: Keep, dry_run: bool) -> Result<Outcome, Failure> {
    if keep.is_empty() {
        return Err(Failure::usage("without a rule nothing would be kept")
            .hint("say what stays, such as --keep-daily 14 --keep-monthly 12"));
    }
    let member = core.member()?;
    if !dry_run {
        roster::ensure_epoch(core, &member).await?;
    }
    let shelf = Shelf::of(core).await?;
    // DEL-7: what a backup or a restore relies on just now is looked at later.
    let nobody_relies = core.relying.try_write().ok();
    let may_drop = nobody_relies.is_some();
    let source = ChunkSource::new(core, &member);
    let working = Arc::clone(core);
    let (kept, forgotten, freed_bytes) = on_disk(move || {
        let own = member.keys.id();
        // RET-6: the manifests of other devices are theirs to write.
        let all: Vec<SnapshotSummary> = names::live_snapshots(&working)?
            .into_iter()
            .filter(|snapshot| snapshot.device == own)
            .collect();
        let (kept, forgotten) = split(all, &rules(keep));
        let choice = match collect::survey(&working, &member, &source, &kept) {
            Ok(survey) => Some(survey.choice),
            Err(error) => {
                warn!("what is not needed any more is not known: {error}");
                None
            }
        };
        let freed_bytes = choice.as_ref().map(|choice| choice.dropped_bytes + choice.waste_bytes);
        let is_wasteful = choice.as_ref().is_some_and(|choice| !choice.repacked.is_empty());
        let drop = choice.filter(|_| may_drop).map(|choice| choice.dropped);
        if !dry_run {
            if drop.is_none() || is_wasteful {
                collect::put_off(&working)?;
            }
            let drop = drop.unwrap_or_default();
            if !forgotten.is_empty() || !drop.is_empty() {
                let forget = forgotten.iter().map(|snapshot| snapshot.id).collect();
                let change = commit::Change { forget, drop, ..commit::Change::default() };
                commit::commit(&working, &member, member.custody()?, change)?;
            }
        }
        Ok::<_, EngineError>((kept, forgotten, freed_bytes))
    })
    .await?;
    let lines = |all: Vec<SnapshotSummary>| all.iter().map(|one| shelf.line(one)).collect();
    Ok(Outcome::Forget(ForgetOutcome {
        dry_run,
        kept: lines(kept),
        forgotten: lines(forgotten),
        freed_bytes,
        retention_days: RETENTION_DAYS_MIN,
    }))
}

fn rules(keep: Keep) -> Rules {
    let Keep { last, hourly, daily, weekly, monthly, yearly, within_s } = keep;
    Rules { last, hourly, daily, weekly, monthly, yearly, within_s }
}

/// Those that stay and those that go, each in the order given; every folder is counted alone.
fn split(all: Vec<SnapshotSummary>, rules: &Rules) -> (Vec<SnapshotSummary>, Vec<SnapshotSummary>) {
    let mut folders: BTreeMap<Vec<u8>, Vec<usize>> = BTreeMap::new();
    for (index, snapshot) in all.iter().enumerate() {
        folders.entry(snapshot.root_path.to_vec()).or_default().push(index);
    }
    let mut stays = vec![true; all.len()];
    for indices in folders.values() {
        let facts: Vec<Kept> = indices
            .iter()
            .map(|index| Kept { started: all[*index].started, complete: all[*index].complete })
            .collect();
        for (index, chosen) in indices.iter().zip(rules.choose(&facts)) {
            stays[*index] = chosen;
        }
    }
    let (mut kept, mut forgotten) = (Vec::new(), Vec::new());
    for (snapshot, stays) in all.into_iter().zip(stays) {
        if stays { kept.push(snapshot) } else { forgotten.push(snapshot) }
    }
    (kept, forgotten)
}

#[cfg(test)]
mod tests {
    use larder_protocol::{
        ids::{ChunkId, DeviceId},
        time::Timestamp,
    };

    use super::*;

    // RET-1
    #[test]
    fn every_folder_is_counted_on_its_own() {
        let snapshot = |number: u8, path: &str, started: u64| SnapshotSummary {
            id: ChunkId::from_bytes([number; 32]),
            device: DeviceId::from_bytes([9; 32]),
            root_path: path.as_bytes().to_vec().into(),
            started: Timestamp(started),
            files: 1,
            bytes: 1,
            complete: true,
            tags: Vec::new(),
        };
        let all = vec![
            snapshot(1, "/a", 1),
            snapshot(2, "/b", 2),
            snapshot(3, "/a", 3),
            snapshot(4, "/a", 4),
        ];
        let (kept, gone) = split(all, &Rules { last: 1, ..Rules::default() });
        let ids = |all: Vec<SnapshotSummary>| -> Vec<u8> {
            all.iter().map(|one| one.id.as_bytes()[0]).collect()
        };
        assert_eq!((ids(kept), ids(gone)), (vec![2, 4], vec![1, 3]));
    }
}
