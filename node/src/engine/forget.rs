//! Retention: forgets own snapshots, and claims no more what none of the others needs; pins. Which ones go is
//! `larder_protocol::retention`'s decision; when holders let anything go is theirs. Source:
//! specs/retention.md, specs/deletion.md.

use std::{collections::BTreeSet, sync::Arc};

use larder_protocol::{
    ids::{ChunkId, DeviceId},
    limits::RETENTION_DAYS_MIN,
    manifest::SnapshotSummary,
    retention::{Named, Of, Rules, Stays, part, split},
};
use tracing::warn;

use super::{
    ChunkSource, Core, EngineError,
    clock::wall,
    collect, commit,
    look::{self, Shelf},
    names, on_disk, roster,
};
use crate::command::{Failure, ForgetOutcome, Keep, Outcome, PinOutcome, SnapshotName};

/// What stays, and what goes.
type Parted = (Vec<SnapshotSummary>, Vec<SnapshotSummary>);

/// Forgets what no rule keeps, or only tells what would be forgotten, and how much is not needed then.
pub(crate) async fn run(core: &Arc<Core>, keep: Keep, dry_run: bool) -> Result<Outcome, Failure> {
    if keep.is_empty() {
        return Err(Failure::usage("without a rule nothing would be kept").hint(
            "say what stays, such as --keep-daily 14 --keep-monthly 12, or name what is to go",
        ));
    }
    let during = During::Anything;
    go(core, (dry_run, during), move |all| Ok(split(all, &rules(keep), Of::Everything))).await
}

/// Forgets the snapshots that somebody names; `even_last`: also where nothing is left of a folder.
pub(crate) async fn named(
    core: &Arc<Core>,
    snapshots: Vec<SnapshotName>,
    (even_last, dry_run): (bool, bool),
) -> Result<Outcome, Failure> {
    let ids: BTreeSet<ChunkId> =
        resolve_own(core, snapshots).await?.into_iter().map(|one| one.id).collect();
    let looking = Arc::clone(core);
    let doubtful = on_disk(move || commit::in_doubt(&looking)).await?;
    let named = Named { ids, doubtful, even_last };
    // A backup that finds nothing changed stands on the newest: it must not go meanwhile.
    go(core, (dry_run, During::Quiet), move |all| {
        part(all, &named).map_err(|stays| {
            let hint = match stays {
                Stays::Pinned(id) => format!("`larder unpin {}` first, if it is to go", id.short()),
                Stays::Last(_) => "if it is to go all the same: --even-last".to_owned(),
            };
            Failure::failed(stays.to_string()).hint(hint)
        })
    })
    .await
}

/// Pins snapshots, or takes their pins off: rules forget no pinned one.
pub(crate) async fn pin(
    core: &Arc<Core>,
    snapshots: Vec<SnapshotName>,
    pinned: bool,
) -> Result<Outcome, Failure> {
    let member = core.member()?;
    let meant = resolve_own(core, snapshots).await?;
    if let Some(one) = meant.iter().find(|one| !one.complete) {
        return Err(Failure::failed(format!("snapshot {} is not complete yet", one.id.short()))
            .hint("pin the one that its backup ends with"));
    }
    let ids: Vec<ChunkId> = meant.into_iter().map(|one| one.id).collect();
    roster::ensure_epoch(core, &member).await?;
    let _alone = core.choosing.lock().await;
    let (working, of, meant) = (Arc::clone(core), Arc::clone(&member), ids.clone());
    let all = on_disk(move || {
        let is_news = |one: &SnapshotSummary| meant.contains(&one.id) && one.is_pinned() != pinned;
        if own_snapshots(&working, of.keys.id())?.iter().any(is_news) {
            let pin = Some((meant, pinned));
            let change = commit::Change { pin, ..commit::Change::default() };
            commit::commit(&working, &of, of.custody()?, change)?;
        }
        own_snapshots(&working, of.keys.id())
    })
    .await?;
    let shelf = Shelf::of(core).await?;
    let is_so = |id: &&ChunkId| all.iter().any(|one| one.id == **id && one.is_pinned() == pinned);
    if let Some(gone) = ids.iter().find(|id| !is_so(id)) {
        return Err(Failure::failed(format!("snapshot {} was forgotten meanwhile", gone.short()))
            .hint("see `larder snapshots`"));
    }
    let meant = all.iter().filter(|one| ids.contains(&one.id));
    let snapshots = meant.map(|one| shelf.line(one)).collect();
    Ok(Outcome::Pin(PinOutcome { pinned, snapshots }))
}

/// The snapshots of this device that somebody means; `latest` is the newest complete one of this device.
async fn resolve_own(
    core: &Arc<Core>,
    names: Vec<SnapshotName>,
) -> Result<Vec<SnapshotSummary>, Failure> {
    let member = core.member()?;
    let (looking, own) = (Arc::clone(core), member.keys.id());
    let resolve = move || -> Result<Vec<SnapshotSummary>, Failure> {
        let mine = own_snapshots(&looking, own)?;
        let newest = mine.into_iter().rfind(|one| one.complete);
        let resolve = |name: &SnapshotName| match (name, &newest) {
            (SnapshotName::Latest, Some(newest)) => Ok(newest.clone()),
            _ => names::resolve(&looking, name),
        };
        names.iter().map(resolve).collect()
    };
    let meant = tokio::task::spawn_blocking(resolve).await.map_err(|_| EngineError::Stopped)??;
    // RET-6
    if let Some(other) = meant.iter().find(|one| one.device != own) {
        let devices = look::device_names(core, &member);
        let name = devices.get(&other.device).cloned().unwrap_or_else(|| other.device.short());
        let said =
            format!("snapshot {} is of {name}, which alone changes its list", other.id.short());
        return Err(Failure::failed(said).hint(format!(
            "say this on {name}; the list of a device that is gone stays as it is"
        )));
    }
    Ok(meant)
}

/// What may go on beside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum During {
    /// Whatever it is.
    Anything,
    /// No backup and no restore.
    Quiet,
}

/// Forgets what `choose` gives as its second list, or only tells what that would come to.
async fn go(
    core: &Arc<Core>,
    (dry_run, during): (bool, During),
    choose: impl FnOnce(Vec<SnapshotSummary>) -> Result<Parted, Failure> + Send + 'static,
) -> Result<Outcome, Failure> {
    let member = core.member()?;
    if !dry_run {
        roster::ensure_epoch(core, &member).await?;
    }
    let _alone = core.choosing.lock().await;
    let shelf = Shelf::of(core).await?;
    // DEL-7: what a backup or a restore relies on just now is looked at later.
    let nobody_relies = core.relying.try_write().ok();
    let may_drop = nobody_relies.is_some();
    if !may_drop && !dry_run && during == During::Quiet {
        return Err(Failure::failed("a backup or a restore is running")
            .hint("nothing was forgotten; say it again when that is done"));
    }
    let source = ChunkSource::new(core, &member);
    let working = Arc::clone(core);
    let work = move || -> Result<_, Failure> {
        let all = own_snapshots(&working, member.keys.id())?;
        let (kept, forgotten) = choose(all)?;
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
        Ok((kept, forgotten, freed_bytes))
    };
    let work = tokio::task::spawn_blocking(work);
    let (kept, forgotten, freed_bytes) = work.await.map_err(|_| EngineError::Stopped)??;
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
    let _alone = core.choosing.lock().await;
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

#[cfg(test)]
mod tests;
