//! Retention: forgets own snapshots, and claims no more what none of the others needs. Which ones go is
//! `larder_protocol::retention`'s decision; when holders let anything go is theirs. Source:
//! specs/retention.md, specs/deletion.md.

use std::{collections::BTreeMap, sync::Arc};

use larder_protocol::{
    ids::DeviceId,
    limits::RETENTION_DAYS_MIN,
    manifest::SnapshotSummary,
    retention::{Kept, Rules},
    time::Timestamp,
};

use tracing::warn;

use super::{
    ChunkSource, Core, EngineError,
    clock::wall,
    collect, commit,
    look::Shelf,
    names::{self, CLOCK_DAYS_OFF_MAX},
    on_disk, roster,
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

/// Which snapshots may be forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Of {
    /// All of this device.
    Everything,
    /// Those that it made by itself (RET-7).
    Automatic {
        /// What this device takes for now.
        now: Timestamp,
    },
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

/// Those that stay and those that go, each in the order given, which is that of the manifest; every folder is
/// counted alone.
fn split(
    all: Vec<SnapshotSummary>,
    rules: &Rules,
    of: Of,
) -> (Vec<SnapshotSummary>, Vec<SnapshotSummary>) {
    let mut folders: BTreeMap<Vec<u8>, Vec<usize>> = BTreeMap::new();
    for (index, snapshot) in all.iter().enumerate() {
        folders.entry(snapshot.root_path.to_vec()).or_default().push(index);
    }
    let mut stays = vec![true; all.len()];
    for mut indices in folders.into_values() {
        let last = indices.iter().copied().rfind(|index| all[*index].complete);
        if let Of::Automatic { now } = of {
            // RET-9: what was begun by a clock that stood ahead takes nothing that is new.
            indices.retain(|index| all[*index].started <= now.after_days(CLOCK_DAYS_OFF_MAX));
        }
        let kept = |one: &SnapshotSummary| Kept {
            started: one.started,
            complete: one.complete,
            may_go: of == Of::Everything || one.is_automatic(),
        };
        let facts: Vec<Kept> = indices.iter().map(|index| kept(&all[*index])).collect();
        for (index, chosen) in indices.into_iter().zip(rules.choose(&facts)) {
            // RET-9: `latest` goes by the order, and not by what a clock said.
            stays[index] = chosen || last == Some(index);
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
    use larder_protocol::{ids::ChunkId, snapshot::AUTOMATIC};

    use super::*;

    fn snapshot(number: u8, path: &str, started: u64) -> SnapshotSummary {
        SnapshotSummary {
            id: ChunkId::from_bytes([number; 32]),
            device: DeviceId::from_bytes([9; 32]),
            root_path: path.as_bytes().to_vec().into(),
            started: Timestamp(started),
            files: 1,
            bytes: 1,
            complete: true,
            tags: Vec::new(),
        }
    }

    fn numbers(all: &[SnapshotSummary]) -> Vec<u8> {
        all.iter().map(|one| one.id.as_bytes()[0]).collect()
    }

    // RET-1
    #[test]
    fn every_folder_is_counted_on_its_own() {
        let all = vec![
            snapshot(1, "/a", 1),
            snapshot(2, "/b", 2),
            snapshot(3, "/a", 3),
            snapshot(4, "/a", 4),
        ];
        let rules = Rules { last: 1, ..Rules::default() };
        let (kept, gone) = split(all, &rules, Of::Everything);
        assert_eq!((numbers(&kept), numbers(&gone)), (vec![2, 4], vec![1, 3]));
    }

    // RET-7
    #[test]
    fn of_what_somebody_asked_for_nothing_is_thinned_out() {
        let automatic = |number, started| SnapshotSummary {
            tags: vec![AUTOMATIC.to_owned()],
            ..snapshot(number, "/a", started)
        };
        let all = vec![snapshot(1, "/a", 1), automatic(2, 2), automatic(3, 3), automatic(4, 4)];
        let (rules, now) = (Rules { last: 1, ..Rules::default() }, Timestamp(5));
        let (kept, gone) = split(all.clone(), &rules, Of::Automatic { now });
        assert_eq!((numbers(&kept), numbers(&gone)), (vec![1, 4], vec![2, 3]));
        let (kept, gone) = split(all, &Rules::default(), Of::Automatic { now });
        assert_eq!((kept.len(), gone.len()), (4, 0));
    }

    // RET-9
    #[test]
    fn a_wrong_clock_takes_nothing_that_is_new() {
        const DAY_S: u64 = 86_400;
        let automatic = |number, started| SnapshotSummary {
            tags: vec![AUTOMATIC.to_owned()],
            ..snapshot(number, "/a", started)
        };
        let now = Timestamp(100 * DAY_S);
        let rules = Rules { within_s: 2 * DAY_S, ..Rules::default() };
        // One was begun while the clock stood years ahead.
        let all = vec![
            automatic(1, 90 * DAY_S),
            automatic(2, 4000 * DAY_S),
            automatic(3, 99 * DAY_S),
            automatic(4, now.0),
        ];
        let (kept, gone) = split(all.clone(), &rules, Of::Automatic { now });
        assert_eq!((numbers(&kept), numbers(&gone)), (vec![2, 3, 4], vec![1]));
        // Now the clock stands in 1970: nothing is known of any time.
        let (_, gone) = split(all, &rules, Of::Automatic { now: Timestamp(0) });
        assert!(gone.is_empty());
        // Set back by some days, the newest falls into a day that has a later one.
        let all = vec![automatic(1, 99 * DAY_S + 9), automatic(2, 99 * DAY_S + 1)];
        let rules = Rules { daily: 1, ..Rules::default() };
        let (kept, _) = split(all, &rules, Of::Automatic { now });
        assert_eq!(numbers(&kept), [1, 2]);
    }
}
