//! Which snapshot a person means.

use std::collections::{BTreeMap, BTreeSet};

use larder_protocol::{
    ids::{ChunkId, DeviceId},
    manifest::{Manifest, SnapshotSummary},
};

use super::{Core, EngineError};
use crate::command::{Failure, SnapshotName};

/// Candidates named when a prefix is not unique.
const CANDIDATES_MAX: usize = 5;

/// The newest manifests of all devices of the vault, as far as known here.
pub(crate) fn manifests(core: &Core) -> Result<Vec<(DeviceId, Manifest)>, EngineError> {
    let commits = core.state.commits()?;
    let decoded = commits.into_iter().map(|(device, row)| {
        let manifest = Manifest::decode(&row.manifest)?;
        Ok((device, manifest))
    });
    decoded.collect()
}

/// All snapshots that are not forgotten, of all devices, oldest first.
pub(crate) fn live_snapshots(core: &Core) -> Result<Vec<SnapshotSummary>, EngineError> {
    let manifests = manifests(core)?;
    let mut seen: BTreeSet<ChunkId> = BTreeSet::new();
    let mut all: Vec<SnapshotSummary> = manifests
        .iter()
        .flat_map(|(_, manifest)| manifest.live_snapshots())
        .filter(|one| seen.insert(one.id))
        .cloned()
        .collect();
    // Of two begun in one second, the one that its device lists later is the newer one.
    all.sort_by_key(|snapshot| snapshot.started);
    Ok(all)
}

/// The snapshot of this name.
pub(crate) fn resolve(core: &Core, name: &SnapshotName) -> Result<SnapshotSummary, Failure> {
    core.member()?;
    choose(live_snapshots(core)?, name)
}

/// The newest complete snapshot of each folder of each device but that of `chosen`: what a person
/// who says `latest` does not get.
pub(crate) fn newest_of_others(
    core: &Core,
    chosen: &SnapshotSummary,
) -> Result<Vec<SnapshotSummary>, EngineError> {
    Ok(others(live_snapshots(core)?, chosen))
}

fn others(all: Vec<SnapshotSummary>, chosen: &SnapshotSummary) -> Vec<SnapshotSummary> {
    let folder = |one: &SnapshotSummary| (one.root_path.to_vec(), one.device);
    let complete = all.into_iter().filter(|one| one.complete);
    // Oldest first: the newest takes the place of those before it.
    let mut newest: BTreeMap<_, _> = complete.map(|one| (folder(&one), one)).collect();
    newest.remove(&folder(chosen));
    newest.into_values().collect()
}

/// The same among `all`, oldest first.
fn choose(all: Vec<SnapshotSummary>, name: &SnapshotName) -> Result<SnapshotSummary, Failure> {
    if all.is_empty() {
        return Err(Failure::failed("there is no snapshot yet").hint(
            "make one with `larder backup`; on a recovered device, start a device that holds one \
             and try again",
        ));
    }
    match name {
        SnapshotName::Latest => {
            let newest = all.iter().rfind(|snapshot| snapshot.complete);
            newest.cloned().ok_or_else(|| unfinished(&all))
        }
        SnapshotName::Prefix(prefix) => {
            let mut meant: Vec<SnapshotSummary> =
                all.into_iter().filter(|one| one.id.to_string().starts_with(prefix)).collect();
            match (meant.pop(), meant.is_empty()) {
                (None, _) => Err(Failure::failed(format!("no snapshot begins with {prefix}"))
                    .hint("see `larder snapshots` for those there are")),
                (Some(one), true) => Ok(one),
                (Some(one), false) => {
                    meant.push(one);
                    Err(ambiguous(prefix, &meant))
                }
            }
        }
    }
}

fn unfinished(all: &[SnapshotSummary]) -> Failure {
    let newest = all.last().map(|snapshot| snapshot.id.short()).unwrap_or_default();
    Failure::failed("no snapshot is complete yet").hint(format!(
        "wait for the running backup, or take what it has saved so far: name {newest} instead of \
         latest"
    ))
}

fn ambiguous(prefix: &str, meant: &[SnapshotSummary]) -> Failure {
    let texts: Vec<String> = meant.iter().map(|one| one.id.to_string()).collect();
    // As many digits as tell them apart, and no fewer than people are used to.
    let mut sorted = texts.clone();
    sorted.sort();
    let shared = sorted.windows(2).map(|pair| match pair {
        [a, b] => a.bytes().zip(b.bytes()).take_while(|(a, b)| a == b).count(),
        _ => 0,
    });
    let digits = (shared.max().unwrap_or(0) + 1).clamp(8, 64);
    let shown: Vec<&str> =
        texts.iter().rev().take(CANDIDATES_MAX).filter_map(|text| text.get(..digits)).collect();
    let count = meant.len();
    Failure::failed(format!("{count} snapshots begin with {prefix}"))
        .hint(format!("give more digits: {}", shown.join(", ")))
}

#[cfg(test)]
mod tests {
    use larder_protocol::time::Timestamp;

    use super::*;

    fn snapshot(first: u8, started: u64, complete: bool) -> SnapshotSummary {
        let mut id = [0x11; 32];
        id[0] = first;
        SnapshotSummary {
            id: ChunkId::from_bytes(id),
            device: DeviceId::from_bytes([1; 32]),
            root_path: b"/home".to_vec().into(),
            started: Timestamp(started),
            files: 1,
            bytes: 1,
            complete,
            tags: Vec::new(),
        }
    }

    fn prefix(text: &str) -> SnapshotName {
        SnapshotName::Prefix(text.to_owned())
    }

    #[test]
    fn latest_is_the_newest_that_is_complete() {
        let all = vec![snapshot(1, 1, true), snapshot(2, 2, true), snapshot(3, 3, false)];
        assert_eq!(choose(all.clone(), &SnapshotName::Latest).unwrap(), all[1]);
        let begun = vec![snapshot(3, 3, false)];
        let hint = choose(begun.clone(), &SnapshotName::Latest).unwrap_err().hint.unwrap();
        assert!(hint.contains("03111111"), "{hint}");
        assert_eq!(choose(begun.clone(), &prefix("03")).unwrap(), begun[0]);
    }

    // FILES-40
    #[test]
    fn latest_knows_what_it_leaves_out() {
        let other = |first, started, path: &[u8]| SnapshotSummary {
            root_path: path.to_vec().into(),
            ..snapshot(first, started, true)
        };
        let all = vec![
            other(1, 1, b"/photos"),
            other(2, 2, b"/photos"),
            snapshot(3, 3, true),
            other(4, 4, b"/mail"),
            SnapshotSummary { complete: false, ..other(5, 5, b"/mail") },
            snapshot(6, 6, true),
        ];
        assert_eq!(others(all.clone(), &all[5]), [all[3].clone(), all[1].clone()]);
        assert_eq!(others(vec![all[5].clone()], &all[5]), []);
    }

    #[test]
    fn a_prefix_names_one_snapshot_or_says_what_is_missing() {
        let all = vec![snapshot(0xa1, 1, true), snapshot(0xa2, 2, true)];
        assert_eq!(choose(all.clone(), &prefix("a2")).unwrap(), all[1]);
        assert_eq!(choose(all.clone(), &prefix(&all[0].id.to_string())).unwrap(), all[0]);
        let several = choose(all.clone(), &prefix("a")).unwrap_err();
        assert_eq!(several.message, "2 snapshots begin with a");
        assert_eq!(several.hint.unwrap(), "give more digits: a2111111, a1111111");
        assert_eq!(choose(all, &prefix("b")).unwrap_err().message, "no snapshot begins with b");
        let none = choose(Vec::new(), &SnapshotName::Latest).unwrap_err();
        assert!(none.hint.unwrap().contains("larder backup"));
    }
}
