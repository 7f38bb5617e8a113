//! Who lives and who was removed, as a set of entries has it.
//!
//! Removal beats what the removed device did without knowing of it: all that it wrote that is no ancestor of
//! the removal is void, and so is what those did whom only void entries took in. Two that remove each
//! other: the phrase comes before every device, the older device before the younger.
//!
//! **Invariant:** a pure function of the set of entries: two nodes with the same entries agree.
//! **Invariant:** an entry is judged once for each removal that takes effect, and not by way of its
//! ancestors: no log makes that take longer than its length. Source: specs/device_log.md, "Meaning".

use std::collections::{BTreeMap, BTreeSet};

use super::{
    DeviceLog, LogError, Node, Role,
    entry::{Act, Author},
    past::{Entries, Past},
    remove::{LastHead, Reason},
    rotation::EpochId,
};
use crate::{
    ids::{DeviceId, EntryHash},
    time::Timestamp,
};

/// A device that was thrown out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Removed {
    /// The entry that did so.
    pub entry: EntryHash,
    /// Its author.
    pub by: Author,
    /// Why, as its author said.
    pub reason: Reason,
    /// When, by its author's clock.
    pub time: Timestamp,
    /// The last head of the removed device that counts.
    pub last: Option<LastHead>,
}

/// Devices of a vault.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct View {
    pub(super) living: BTreeSet<DeviceId>,
    /// Those whom an entry took in as owner that counts, removed or not.
    pub(super) owners: BTreeSet<DeviceId>,
    pub(super) removed: BTreeMap<DeviceId, Removed>,
    /// Epochs that an entry began which counts.
    pub(super) epochs: BTreeSet<EpochId>,
}

impl View {
    /// Whether an author may write an entry.
    pub(super) fn check_author(&self, author: &Author, needs_owner: bool) -> Result<(), LogError> {
        match author {
            Author::Device(device) if !self.living.contains(device) => Err(LogError::Stranger),
            Author::Device(device) if needs_owner && !self.owners.contains(device) => {
                Err(LogError::NotOwner)
            }
            Author::Device(_) | Author::Recovery => Ok(()),
        }
    }
}

/// A removal that takes effect: what the device did outside of its ancestors is void.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Cut {
    device: DeviceId,
    removal: EntryHash,
}

/// Which entries count.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Judgement {
    cuts: Vec<Cut>,
    /// Those that count.
    counting: Entries,
    /// Of each device, the places of the entries that took it in and count, and its role by each.
    members: BTreeMap<DeviceId, Vec<(usize, Role)>>,
}

/// Whose word comes first when two remove each other: the phrase's, then that of the older device.
type Rank = (u8, u32, EntryHash);

impl Judgement {
    /// Of a log that has its genesis alone: the founding device is entered by [`judge`](Self::judge).
    pub(super) fn of_genesis() -> Self {
        Self::default()
    }

    /// Whether the entry at this place counts; the genesis always does.
    pub(super) fn counts(&self, place: usize) -> bool {
        place == 0 || self.counting.contains(place)
    }

    /// Who is out, and the removals that take effect, the first one first.
    pub(super) fn removals(&self) -> impl Iterator<Item = (&DeviceId, &EntryHash)> {
        self.cuts.iter().map(|cut| (&cut.device, &cut.removal))
    }

    /// The places of the entries that took a device in and count, and its role by each.
    pub(super) fn taken_in(&self, device: &DeviceId) -> &[(usize, Role)] {
        self.members.get(device).map_or(&[], Vec::as_slice)
    }

    /// Judges all entries in `within`, which hold the ancestors of each of them.
    pub(super) fn of(log: &DeviceLog, within: &Entries) -> Self {
        let mut judgement = Self::default();
        judgement.judge_all(log, within);
        for (_, hash) in removals(log, within) {
            let Some(node) = log.entries.get(&hash) else { continue };
            let Act::Remove(removal) = &node.entry.body().act else { continue };
            if judgement.counting.contains(node.place) {
                judgement.cuts.push(Cut { device: removal.device, removal: hash });
                judgement.judge_all(log, within);
            }
        }
        judgement
    }

    fn judge_all(&mut self, log: &DeviceLog, within: &Entries) {
        self.counting = Entries::default();
        self.members.clear();
        let nodes = log.order.iter().filter_map(|hash| log.entries.get(hash));
        for node in nodes.filter(|node| within.contains(node.place)) {
            self.judge(log, node);
        }
    }

    /// Judges one entry by the cuts so far, all its ancestors being judged.
    fn judge(&mut self, log: &DeviceLog, node: &Node) {
        let body = node.entry.body();
        if self.is_counting(log, node) {
            self.counting.insert(node.place);
            if let Some((device, role)) = body.act.taken_in() {
                self.members.entry(device.id).or_default().push((node.place, role));
            }
        }
    }

    /// Whether an entry counts by the cuts so far, all its ancestors being judged.
    pub(super) fn is_counting(&self, log: &DeviceLog, node: &Node) -> bool {
        let body = node.entry.body();
        match &body.author {
            Author::Recovery => true,
            Author::Device(_) if matches!(body.act, Act::Genesis(_)) => true,
            Author::Device(author) => {
                let knows = |cut: &Cut| {
                    let removal = log.entries.get(&cut.removal);
                    removal.is_some_and(|removal| removal.past.entries.contains(node.place))
                };
                let is_cut = self.cuts.iter().any(|cut| cut.device == *author && !knows(cut));
                let may = |role: &Role| *role == Role::Owner || !body.needs_owner();
                let mut entries = self.members.get(author).into_iter().flatten();
                let took_in =
                    |(place, role): &(usize, Role)| may(role) && node.past.entries.contains(*place);
                !is_cut && entries.any(took_in)
            }
        }
    }

    pub(super) fn view(&self, log: &DeviceLog) -> View {
        let mut view = View::default();
        for cut in &self.cuts {
            let Some(node) = log.entries.get(&cut.removal) else { continue };
            let body = node.entry.body();
            let Act::Remove(removal) = &body.act else { continue };
            let (entry, by, reason, time) = (cut.removal, body.author, removal.reason, body.time);
            let this = Removed { entry, by, reason, time, last: removal.last };
            let kept = view.removed.entry(removal.device).or_insert(this);
            // Of two that were made apart the one that keeps more of its data.
            let rank = |it: &Removed| (it.last.map(|last| last.seq), std::cmp::Reverse(it.entry));
            if rank(&this) > rank(kept) {
                *kept = this;
            }
        }
        let living = self.members.keys().filter(|device| !view.removed.contains_key(*device));
        view.living = living.copied().collect();
        let is_owner = |(_, entries): &(_, &Vec<(usize, Role)>)| {
            entries.iter().any(|(_, role)| *role == Role::Owner)
        };
        view.owners = self.members.iter().filter(is_owner).map(|(device, _)| *device).collect();
        for (id, began) in &log.epochs {
            let counts = |entry: &EntryHash| {
                log.entries.get(entry).is_some_and(|node| self.counts(node.place))
            };
            if began.iter().any(counts) {
                view.epochs.insert(*id);
            }
        }
        view
    }
}

impl DeviceLog {
    /// Judges the entry that was just taken in.
    pub(super) fn judge_newest(&mut self) {
        let Some(newest) = self.order.last().and_then(|hash| self.entries.get(hash)) else {
            return;
        };
        if self.judgement.members.is_empty() || matches!(newest.entry.body().act, Act::Remove(_)) {
            self.judgement = Judgement::of(self, &Entries::first(self.order.len()));
        } else {
            // What takes effect depends on removals and their ancestors alone: no other entry, which is
            // an ancestor of none, changes that.
            let mut judgement = std::mem::take(&mut self.judgement);
            judgement.judge(self, newest);
            self.judgement = judgement;
        }
        self.view = self.judgement.view(self);
    }

    /// Who lives for whoever builds on these entries.
    pub(super) fn view_after(&self, past: &Past) -> View {
        if past.entries == Entries::first(self.order.len()) {
            return self.view.clone();
        }
        Judgement::of(self, &past.entries).view(self)
    }

    /// What counts for whoever builds on these entries.
    pub(super) fn judgement_after(&self, past: &Past) -> Judgement {
        if past.entries == Entries::first(self.order.len()) {
            return self.judgement.clone();
        }
        Judgement::of(self, &past.entries)
    }

    /// Who speaks first: the age of a device is that by which the entry knew it.
    fn rank(&self, node: &Node) -> Rank {
        let first = EntryHash::from_bytes([0; 32]);
        let Author::Device(device) = &node.entry.body().author else { return (0, 0, first) };
        let age = |hash: &EntryHash| {
            let membership = self.entries.get(hash)?;
            let is_known = node.past.entries.contains(membership.place);
            is_known.then_some((membership.past.depth, *hash))
        };
        let memberships = self.devices.get(device).into_iter().flat_map(|it| &it.entries);
        let oldest = memberships.filter_map(age).min();
        oldest.map_or((2, u32::MAX, first), |(depth, hash)| (1, depth, hash))
    }
}

/// All removals among these entries, in the order in which they are looked at.
fn removals(log: &DeviceLog, within: &Entries) -> BTreeSet<((Rank, u32), EntryHash)> {
    let nodes = log.removals.iter().filter_map(|hash| Some((*hash, log.entries.get(hash)?)));
    let within = nodes.filter(|(_, node)| within.contains(node.place));
    within.map(|(hash, node)| ((log.rank(node), node.past.depth), hash)).collect()
}
