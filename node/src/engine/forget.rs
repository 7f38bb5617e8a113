//! Retention: forgets own snapshots, and claims no more what none of the others needs. Which ones go is
//! `larder_protocol::retention`'s decision; when holders let anything go is theirs. Source:
//! specs/retention.md, specs/deletion.md.

use std::sync::Arc;

use larder_protocol::{
    ids::DeviceId,
    limits::RETENTION_DAYS_MIN,
    manifest::SnapshotSummary,
    retention::{Of, Rules, split},
};

use tracing::warn;

use super::{
    ChunkSource, Core, EngineError, clock::wall, collect, commit, look::Shelf, names, on_disk,
    roster,
};
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
        let all = own_snapshots(&working, member.keys.id())?;
        let (kept, forgotten) = split(all, &rules(keep), Of::Everything);
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

/// Forgets those of the snapshots that this device made by itself that no rule keeps; how many. What is not
/// needed any more is found out when that is done for everything that was put off: it reads all trees.
pub(super) async fn thin(core: &Arc<Core>, rules: Rules) -> Result<usize, Failure> {
    let member = core.member()?;
    let (working, of) = (Arc::clone(core), Arc::clone(&member));
    let forget = move || {
        let all = own_snapshots(&working, of.keys.id())?;
        let (_, old) = split(all, &rules, Of::Automatic { now: wall() });
        if !old.is_empty() {
            collect::put_off(&working)?;
            let forget = old.iter().map(|snapshot| snapshot.id).collect();
            let change = commit::Change { forget, ..commit::Change::default() };
            commit::commit(&working, &of, of.custody()?, change)?;
        }
        Ok::<_, EngineError>(old.len())
    };
    roster::ensure_epoch(core, &member).await?;
    Ok(on_disk(forget).await?)
}

/// RET-6: the manifests of other devices are theirs to write.
fn own_snapshots(core: &Core, own: DeviceId) -> Result<Vec<SnapshotSummary>, EngineError> {
    let all = names::live_snapshots(core)?;
    Ok(all.into_iter().filter(|snapshot| snapshot.device == own).collect())
}

fn rules(keep: Keep) -> Rules {
    let Keep { last, hourly, daily, weekly, monthly, yearly, within_s } = keep;
    Rules { last, hourly, daily, weekly, monthly, yearly, within_s }
}
