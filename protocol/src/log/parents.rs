//! What a new entry builds on, and what a head names: the newest entries, 64 of them at the most.
//!
//! Whoever writes more than that beside each other must not decide which ones are left out, or nobody whom he has removed
//! would come to name in what it writes what took the removal back:
//! ```text
//! removal of A by T ◄── 64 names by T, beside each other     A's entry names these and is signed by a stranger,
//! removal of T by A                                          or this one as well and counts
//! ```
//! Source: specs/device_log.md, "What a new entry builds on".

use std::{cmp::Reverse, collections::BTreeSet};

use super::{
    DeviceLog, LogEntry, Node,
    entry::{Act, Author},
    past::Entries,
    view::Judgement,
};
use crate::{
    ids::{DeviceId, EntryHash},
    limits::LOG_PARENTS_MAX,
};

impl DeviceLog {
    /// What an `add` by `author` builds on.
    ///
    /// The phrase builds on the founding entry alone once the log is crowded: that entry is valid
    /// everywhere, whatever somebody with a device's key has filled the log with.
    pub(super) fn parents_of_addition(&self, author: &Author) -> Vec<EntryHash> {
        if matches!(author, Author::Recovery) && self.is_crowded() {
            return vec![EntryHash::from_bytes(*self.vault.as_bytes())];
        }
        self.heads_for(author, None)
    }

    /// What an entry by `author` builds on, however crowded the log is, ascending; `about`: whom it is about, besides the
    /// author.
    pub(super) fn heads_for(&self, author: &Author, about: Option<&DeviceId>) -> Vec<EntryHash> {
        let mut devices = those_of(author, about);
        devices.retain(|device| self.is_device(device));
        self.parents_without(BTreeSet::new(), &devices)
    }

    /// What a head names: of the entries that are no renames, whether they count or not, those on which no other of them
    /// builds, at most 64, ascending. Whoever takes the head then knows who belongs to the vault and has the
    /// keys that it was sealed with; names that a thief gives in two forms keep nobody from taking it (LOG-33).
    pub fn tips_beside_names(&self) -> Vec<EntryHash> {
        let (mut covered, mut tips) = (Entries::default(), Vec::new());
        let nodes = self.order.iter().rev().filter_map(|it| Some((it, self.entries.get(it)?)));
        for (hash, node) in nodes {
            if !node.is_name() && !covered.contains(node.place) {
                covered.join(&node.past.entries);
                tips.push(*hash);
            }
        }
        self.foremost(tips, &self.judgement, &[])
    }

    /// What the removal of a device builds on. A removal voids only what its author did not build on: to undo what the removed
    /// device did, it builds on what was there before.
    ///
    /// The phrase builds on little in a crowded log.
    pub(super) fn parents_of_removal(
        &self,
        author: &Author,
        device: &DeviceId,
        undo_removals: bool,
    ) -> Vec<EntryHash> {
        let mut undone = BTreeSet::new();
        if undo_removals {
            let is_by_leaver = |hash: &&EntryHash| {
                self.entry(hash).is_some_and(|it| it.body().author == Author::Device(*device))
            };
            let by_leaver = self.removals.iter().filter(is_by_leaver);
            undone.extend(by_leaver.filter_map(|hash| self.place_of(hash)));
        }
        // The author undoes what was done to itself, though it is out by all that is known.
        let is_author = |device: &DeviceId| *author == Author::Device(*device);
        let mut devices = those_of(author, Some(device));
        devices.retain(|it| self.is_device(it) || (undo_removals && is_author(it)));
        if matches!(author, Author::Recovery) && self.is_crowded() && undone.is_empty() {
            let mut little = self.little_for_removal(device);
            undone = self.effective_in(&little, &devices);
            little.retain(|hash| {
                self.entries.get(hash).is_some_and(|node| !node.builds_on_any(&undone))
            });
            if self
                .past_of(&little)
                .is_ok_and(|past| self.view_after(&past).living.contains(device))
            {
                return little;
            }
        }
        self.parents_without(undone, &devices)
    }

    /// The entry that took the device in, and somebody who stays: those whom the phrase took in itself.
    fn little_for_removal(&self, device: &DeviceId) -> Vec<EntryHash> {
        let leaver = self.devices.get(device).and_then(|member| member.entries.first());
        let by_phrase = |hash: &&EntryHash| {
            let body = self.entry(hash).map(LogEntry::body);
            body.is_some_and(|it| it.author == Author::Recovery && matches!(it.act, Act::Add(_)))
        };
        let stay = self.order.iter().rev().filter(by_phrase).take(LOG_PARENTS_MAX - 1);
        let all: BTreeSet<EntryHash> = leaver.into_iter().chain(stay).copied().collect();
        all.into_iter().collect()
    }

    /// The newest of the entries that build on none of these removals (by their places), nor on any other that would take effect there and throw one of
    /// `devices` out: on no more than can be named at once it may be in force, though it is void by all that is known.
    fn parents_without(&self, mut undone: BTreeSet<usize>, devices: &[DeviceId]) -> Vec<EntryHash> {
        loop {
            let parents = self.foremost_without(&undone, devices);
            let before = undone.len();
            undone.extend(self.effective_in(&parents, devices));
            if undone.len() == before {
                return parents;
            }
        }
    }

    /// The places of the removals of any of `devices` that take effect for whoever builds on these.
    fn effective_in(&self, parents: &[EntryHash], devices: &[DeviceId]) -> BTreeSet<usize> {
        let Ok(past) = self.past_of(parents) else { return BTreeSet::new() };
        let judgement = self.judgement_after(&past);
        let of_these = judgement.removals().filter(|(leaver, _)| devices.contains(leaver));
        of_these.filter_map(|(_, removal)| self.place_of(removal)).collect()
    }

    fn foremost_without(&self, undone: &BTreeSet<usize>, devices: &[DeviceId]) -> Vec<EntryHash> {
        if undone.is_empty() {
            let heads = self.heads.iter().copied().collect();
            return self.foremost(heads, &self.judgement, devices);
        }
        // Of what is sound, what no other sound entry builds on.
        let (mut sound, mut named) = (Entries::default(), BTreeSet::<EntryHash>::new());
        for node in self.order.iter().filter_map(|hash| self.entries.get(hash)) {
            if !node.builds_on_any(undone) {
                sound.insert(node.place);
                named.extend(&node.entry.body().parents);
            }
        }
        let is_tip = |(hash, node): &(&EntryHash, &Node)| {
            sound.contains(node.place) && !named.contains(*hash)
        };
        let tips: Vec<_> = self.entries.iter().filter(is_tip).map(|(hash, _)| *hash).collect();
        if tips.len() <= LOG_PARENTS_MAX {
            return tips;
        }
        self.foremost(tips, &Judgement::of(self, &sound), devices)
    }

    /// At most 64 of these entries, none of which is an ancestor of another one, ascending. If there are more, those come first that
    /// are needed so that whoever builds on them sees the same as the judgement does: that `devices` are known, who was
    /// removed, who else lives, which epochs there are; then the newest, those that count first, and names last.
    fn foremost(
        &self,
        mut tips: Vec<EntryHash>,
        judgement: &Judgement,
        devices: &[DeviceId],
    ) -> Vec<EntryHash> {
        if tips.len() > LOG_PARENTS_MAX {
            let mut nodes: Vec<(&EntryHash, &Node)> =
                tips.iter().filter_map(|hash| Some((hash, self.entries.get(hash)?))).collect();
            nodes.sort_by_key(|(_, node)| {
                (node.is_name(), !judgement.counts(node.place), Reverse(node.place))
            });
            let (mut covered, mut chosen) = (Entries::default(), BTreeSet::new());
            for place in self.needed(judgement, devices) {
                let has_it = |(_, node): &&(&EntryHash, &Node)| node.builds_on(place);
                if chosen.len() < LOG_PARENTS_MAX
                    && !covered.contains(place)
                    && let Some((hash, node)) = nodes.iter().find(has_it)
                {
                    covered.join(&node.past.entries);
                    covered.insert(node.place);
                    chosen.insert(**hash);
                }
            }
            for (hash, _) in nodes {
                if chosen.len() < LOG_PARENTS_MAX {
                    chosen.insert(*hash);
                }
            }
            tips = chosen.into_iter().collect();
        }
        tips.sort_unstable();
        tips
    }

    /// The places of the entries that decide what whoever builds on them sees, the gravest first.
    ///
    /// With all removals that take effect among the ancestors, those take effect there and no others: each is judged by
    /// the ones before it and by its ancestors alone. Those that void nothing but names and epochs decide nothing about others.
    fn needed(&self, judgement: &Judgement, devices: &[DeviceId]) -> Vec<usize> {
        let view = judgement.view(self);
        let mut needed = Vec::new();
        for device in devices {
            needed.extend(self.weighty(judgement, device));
        }
        needed.extend(self.by_gravity(judgement));
        let named_last = |device| self.namings(device, judgement).first().map(|node| node.place);
        needed.extend(devices.iter().filter_map(named_last));
        for device in &view.living {
            needed.extend(self.weighty(judgement, device));
        }
        for began in view.epochs.iter().rev().filter_map(|id| self.epochs.get(id)) {
            let mut began = began.iter().filter_map(|hash| self.place_of(hash));
            needed.extend(began.find(|place| judgement.counts(*place)));
        }
        needed
    }

    /// Of the entries that took a device in those by which it is an owner, if it is one, and as old as it is; and the one
    /// whose keys are wrapped to.
    fn weighty(&self, judgement: &Judgement, device: &DeviceId) -> impl Iterator<Item = usize> {
        let entries = judgement.taken_in(device);
        let age = |place: &usize| {
            let hash = self.order.get(*place)?;
            Some((self.entries.get(hash)?.past.depth, *hash))
        };
        let as_owner = entries.iter().min_by_key(|(place, role)| (*role, age(place)));
        let oldest = entries.iter().min_by_key(|(place, _)| age(place));
        let counting = as_owner.into_iter().chain(oldest).map(|(place, _)| *place);
        let speaks = self.devices.get(device).and_then(|member| member.entries.first());
        counting.chain(speaks.and_then(|hash| self.place_of(hash)))
    }

    fn place_of(&self, entry: &EntryHash) -> Option<usize> {
        self.entries.get(entry).map(|node| node.place)
    }

    /// The places of the removals that take effect; first those without which another removal, or somebody who was taken in,
    /// would count that does not.
    fn by_gravity(&self, judgement: &Judgement) -> Vec<usize> {
        let taken_in = self.devices.values().flat_map(|member| &member.entries);
        let weighty = self.removals.iter().chain(taken_in);
        let weighty: Vec<&Node> = weighty.filter_map(|hash| self.entries.get(hash)).collect();
        let (mut grave, mut other, mut voided) = (Vec::new(), Vec::new(), Entries::default());
        for (leaver, removal) in judgement.removals() {
            let Some(removal) = self.entries.get(removal) else { continue };
            let is_voided = |node: &&&Node| {
                let author = node.entry.body().author;
                author == Author::Device(*leaver) && !removal.builds_on(node.place)
            };
            let is_new = |place: &usize| !voided.contains(*place);
            let voids = weighty.iter().filter(is_voided).map(|node| node.place).filter(is_new);
            let voids: Vec<usize> = voids.collect();
            if voids.is_empty() { &mut other } else { &mut grave }.push(removal.place);
            voids.into_iter().for_each(|place| voided.insert(place));
        }
        grave.extend(other);
        grave
    }
}

impl Node {
    /// Whether it is the entry at this place, or that one an ancestor.
    fn builds_on(&self, place: usize) -> bool {
        self.place == place || self.past.entries.contains(place)
    }

    fn builds_on_any(&self, places: &BTreeSet<usize>) -> bool {
        places.iter().any(|place| self.builds_on(*place))
    }

    /// Whether it gives a name and does nothing else.
    pub(super) const fn is_name(&self) -> bool {
        matches!(self.entry.body().act, Act::Rename(_))
    }
}

/// Whom an entry needs to know of first.
fn those_of(author: &Author, about: Option<&DeviceId>) -> Vec<DeviceId> {
    let author = match author {
        Author::Device(author) => Some(author),
        Author::Recovery => None,
    };
    author.into_iter().chain(about).copied().collect()
}
