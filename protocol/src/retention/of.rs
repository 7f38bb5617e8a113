//! Which snapshots of a device the rules are applied to, and what stays beside what they keep. Pure. Source:
//! specs/retention.md, RET-1, RET-7, RET-9.

use std::collections::{BTreeMap, BTreeSet};

use super::{Kept, Rules};
use thiserror::Error;

use crate::{ids::ChunkId, limits::CLOCK_DAYS_OFF_MAX, manifest::SnapshotSummary, time::Timestamp};

/// Which snapshots may be forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Of {
    /// All of this device.
    Everything,
    /// Those that it made by itself (RET-7).
    Automatic {
        /// What this device takes for now.
        now: Timestamp,
    },
}

/// Of the snapshots of one device those that stay and those that go, each in the order given, which is that of
/// the manifest; every folder is counted alone (RET-1).
pub fn split(
    all: Vec<SnapshotSummary>,
    rules: &Rules,
    of: Of,
) -> (Vec<SnapshotSummary>, Vec<SnapshotSummary>) {
    let mut folders: BTreeMap<Vec<u8>, Vec<usize>> = BTreeMap::new();
    for (index, snapshot) in all.iter().enumerate() {
        folders.entry(snapshot.root_path.to_vec()).or_default().push(index);
    }
    let mut gone: BTreeSet<usize> = BTreeSet::new();
    for mut indices in folders.into_values() {
        let at = |index: &usize| all.get(*index).expect("an index of `all`");
        let last = indices.iter().copied().rfind(|index| at(index).complete);
        if let Of::Automatic { now } = of {
            // RET-9: what was begun by a clock that stood ahead takes nothing that is new.
            indices.retain(|index| at(index).started <= now.after_days(CLOCK_DAYS_OFF_MAX));
        }
        let kept = |one: &SnapshotSummary| Kept {
            started: one.started,
            complete: one.complete,
            may_go: !one.is_pinned() && (of == Of::Everything || one.is_automatic()),
        };
        let facts: Vec<Kept> = indices.iter().map(|index| kept(at(index))).collect();
        for (index, chosen) in indices.into_iter().zip(rules.choose(&facts)) {
            // RET-9: `latest` goes by the order, and not by what a clock said.
            if !chosen && last != Some(index) {
                gone.insert(index);
            }
        }
    }
    let (forgotten, kept): (Vec<_>, Vec<_>) =
        (0..).zip(all).partition(|(index, _)| gone.contains(index));
    let bare = |numbered: Vec<(usize, SnapshotSummary)>| {
        numbered.into_iter().map(|(_, snapshot)| snapshot).collect()
    };
    (bare(kept), bare(forgotten))
}

/// Why a snapshot that somebody named does not go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Stays {
    /// It is pinned.
    #[error("snapshot {} is pinned", .0.short())]
    Pinned(ChunkId),
    /// There would be no complete snapshot of its folder any more.
    #[error("without snapshot {} no complete one of its folder would be left", .0.short())]
    Last(ChunkId),
}

/// What somebody names who wants it forgotten.
#[derive(Debug, Clone, Default)]
pub struct Named {
    /// Which.
    pub ids: BTreeSet<ChunkId>,
    /// Those of which it is not sure that they can be restored: they do not count as left.
    pub doubtful: BTreeSet<ChunkId>,
    /// Also where nothing is left of a folder.
    pub even_last: bool,
}

/// Of the snapshots of one device those that stay and those that go because somebody named them, each in the
/// order given.
///
/// # Errors
/// [`Stays`], for the first that has to; nothing is to be forgotten then (RET-11).
pub fn part(
    all: Vec<SnapshotSummary>,
    named: &Named,
) -> Result<(Vec<SnapshotSummary>, Vec<SnapshotSummary>), Stays> {
    let (forgotten, kept): (Vec<_>, Vec<_>) =
        all.into_iter().partition(|one| named.ids.contains(&one.id));
    if let Some(pinned) = forgotten.iter().find(|one| one.is_pinned()) {
        return Err(Stays::Pinned(pinned.id));
    }
    let is_left = |folder: &SnapshotSummary| {
        let is_whole = |one: &&SnapshotSummary| one.complete && !named.doubtful.contains(&one.id);
        kept.iter().filter(is_whole).any(|one| one.root_path == folder.root_path)
    };
    match forgotten.iter().rfind(|one| one.complete && !is_left(one)) {
        Some(last) if !named.even_last => Err(Stays::Last(last.id)),
        _ => Ok((kept, forgotten)),
    }
}

#[cfg(test)]
mod tests {
    use crate::{
        ids::{ChunkId, DeviceId},
        snapshot::{AUTOMATIC, PINNED},
    };

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

    // RET-10
    #[test]
    fn what_is_pinned_stays_and_uses_rules_up_as_ever() {
        let pinned = |number, started| SnapshotSummary {
            tags: vec![AUTOMATIC.to_owned(), PINNED.to_owned()],
            ..snapshot(number, "/a", started)
        };
        let all = vec![pinned(1, 1), snapshot(2, "/a", 2), pinned(3, 3), snapshot(4, "/a", 4)];
        let rules = Rules { last: 2, ..Rules::default() };
        for of in [Of::Everything, Of::Automatic { now: Timestamp(9) }] {
            let (kept, gone) = split(all.clone(), &rules, of);
            let stays = if of == Of::Everything { vec![1, 3, 4] } else { vec![1, 2, 3, 4] };
            assert_eq!(numbers(&kept), stays, "{of:?}");
            assert_eq!(kept.len() + gone.len(), 4);
        }
    }

    // RET-11
    #[test]
    fn what_is_named_goes_unless_it_is_pinned_or_the_last_of_its_folder() {
        let id = |number| ChunkId::from_bytes([number; 32]);
        let name = |numbers: &[u8]| Named {
            ids: numbers.iter().copied().map(id).collect(),
            ..Named::default()
        };
        let unfinished = SnapshotSummary { complete: false, ..snapshot(5, "/a", 5) };
        let pinned = SnapshotSummary { tags: vec![PINNED.to_owned()], ..snapshot(3, "/a", 3) };
        let all = vec![
            snapshot(1, "/a", 1),
            snapshot(2, "/b", 2),
            pinned,
            snapshot(4, "/a", 4),
            unfinished,
        ];
        let (kept, gone) = part(all.clone(), &name(&[4, 1, 9])).unwrap();
        assert_eq!((numbers(&kept), numbers(&gone)), (vec![2, 3, 5], vec![1, 4]));
        let even_last = |numbers: &[u8]| Named { even_last: true, ..name(numbers) };
        assert_eq!(part(all.clone(), &even_last(&[1, 3])), Err(Stays::Pinned(id(3))));
        assert_eq!(part(all.clone(), &name(&[1, 2])), Err(Stays::Last(id(2))));
        let (_, gone) = part(all.clone(), &even_last(&[2])).unwrap();
        assert_eq!(numbers(&gone), [2]);
        // What may not come back any more is not counted on.
        let doubtful = Named { doubtful: [id(3)].into(), ..name(&[1, 4]) };
        assert_eq!(part(all.clone(), &doubtful), Err(Stays::Last(id(4))));
        // What is not complete keeps nothing from going.
        let (_, gone) = part(all, &name(&[5])).unwrap();
        assert_eq!(numbers(&gone), [5]);
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
