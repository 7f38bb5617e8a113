//! Which snapshot a person means.

use std::collections::{BTreeMap, BTreeSet};

use larder_protocol::{
    ids::{ChunkId, DeviceId},
    limits::CLOCK_DAYS_OFF_MAX,
    manifest::{Manifest, SnapshotSummary},
    time::Timestamp,
};

use super::{Core, EngineError, clock::wall};
use crate::command::{Failure, SnapshotName};

/// Candidates named when a prefix is not unique.
const CANDIDATES_MAX: usize = 5;

/// The newest manifests of all devices of the vault, as far as known here; of a forked one that of each side.
pub(crate) fn manifests(core: &Core) -> Result<Vec<(DeviceId, Manifest)>, EngineError> {
    let sides = core.state.sides()?.into_iter().map(|side| (side.device, side.commit));
    let commits = core.state.commits()?.into_iter().chain(sides);
    let decoded = commits.map(|(device, row)| {
        let manifest = Manifest::decode(&row.manifest)?;
        Ok((device, manifest))
    });
    decoded.collect()
}

/// All snapshots that are not forgotten, of all devices, oldest first.
pub(crate) fn live_snapshots(core: &Core) -> Result<Vec<SnapshotSummary>, EngineError> {
    Ok(in_order(&manifests(core)?, Some(&core.keys.id()), wall()))
}

/// The live snapshots of these manifests, oldest first. Of each device in the order of its
/// manifest; among devices by the time at which they were begun. A time that has not come yet says
/// nothing: such a snapshot counts as begun with the one before it. `own` is this device, if it is one of
/// the vault.
pub(super) fn in_order(
    manifests: &[(DeviceId, Manifest)],
    own: Option<&DeviceId>,
    now: Timestamp,
) -> Vec<SnapshotSummary> {
    let starts = |manifest: &Manifest| manifest.snapshots.iter().map(|one| one.started).max();
    // A clock that stands before what this device has done itself is of no use.
    let done =
        manifests.iter().find(|(device, _)| Some(device) == own).and_then(|(_, own)| starts(own));
    let now = done.map_or(now, |done| now.max(done)).after_days(CLOCK_DAYS_OFF_MAX);
    let mut seen: BTreeSet<ChunkId> = BTreeSet::new();
    let mut all: Vec<(Timestamp, &SnapshotSummary)> = Vec::new();
    // What this device lists itself is believed first.
    let (mine, others): (Vec<_>, Vec<_>) = manifests.iter().partition(|(id, _)| Some(id) == own);
    for (device, manifest) in mine.into_iter().chain(others) {
        let mut begun = Timestamp(0);
        // Nobody lists another device's snapshots (MANIFEST-5).
        for one in manifest.live_snapshots().filter(|one| one.device == *device) {
            if one.started <= now {
                begun = begun.max(one.started);
            }
            if seen.insert(one.id) {
                all.push((begun, one));
            }
        }
    }
    all.sort_by_key(|(begun, _)| *begun);
    all.into_iter().map(|(_, one)| one.clone()).collect()
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

    fn manifest(device: u8, snapshots: &[(u8, u64)]) -> (DeviceId, Manifest) {
        let device = DeviceId::from_bytes([device; 32]);
        let summary = |(first, started): &(u8, u64)| SnapshotSummary {
            device,
            ..snapshot(*first, *started, true)
        };
        let snapshots = snapshots.iter().map(summary).collect();
        (device, Manifest { snapshots, ..Manifest::new(device, 1) })
    }

    fn order(manifests: &[(DeviceId, Manifest)], now: u64) -> Vec<u8> {
        let own = DeviceId::from_bytes([1; 32]);
        let all = in_order(manifests, Some(&own), Timestamp(now));
        all.iter().map(|one| one.id.as_bytes()[0]).collect()
    }

    // SNAPSHOT-4
    #[test]
    fn a_clock_far_ahead_does_not_make_a_snapshot_the_latest() {
        let day = 86_400;
        let wrong = manifest(2, &[(20, 5 * day), (21, 9_000 * day), (22, 9_001 * day)]);
        let right = manifest(1, &[(10, 4 * day), (11, 6 * day)]);
        assert_eq!(order(&[wrong.clone(), right.clone()], 7 * day), [10, 20, 21, 22, 11]);
        let off = manifest(3, &[(30, 7 * day + 3_600)]);
        let all = [right.clone(), off, wrong.clone()];
        assert_eq!(order(&all, 7 * day).last(), Some(&30), "an hour ahead is nothing");
        // The reader's own clock has been set back to 1970.
        assert_eq!(order(&[wrong, right], 0), [10, 20, 21, 22, 11]);
    }

    // SNAPSHOT-4
    #[test]
    fn the_snapshots_of_a_device_are_in_its_own_order() {
        let jumped = manifest(1, &[(10, 50), (11, 20), (12, 20), (13, 60)]);
        assert_eq!(order(&[jumped], 100), [10, 11, 12, 13]);
    }

    // MANIFEST-5
    #[test]
    fn nobody_lists_the_snapshots_of_another_device() {
        let own = manifest(1, &[(10, 5)]);
        let (device, mut other) = manifest(2, &[(10, 9), (20, 6)]);
        other.snapshots.extend(own.1.snapshots.clone());
        other.snapshots[2].root_path = b"/elsewhere".to_vec().into();
        let all = [(device, other), own.clone()];
        let listed = in_order(&all, Some(&own.0), Timestamp(100));
        assert_eq!(listed.len(), 2);
        assert_eq!(listed[0], own.1.snapshots[0], "as the own manifest says");
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
