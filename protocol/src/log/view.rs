//! Who lives and who was removed, as a set of entries has it.
//!
//! Removal beats what the removed device did without knowing of it: all that it wrote that is no ancestor of
//! the removal is void, and so is what those did whom only void entries took in. Two that remove each
//! other: the phrase comes before every device, the older device before the younger.
//!
//! **Invariant:** a pure function of the set of entries: two nodes with the same entries agree.
//! Source: specs/device_log.md, "Meaning".

use std::collections::{BTreeMap, BTreeSet};

use super::{
    DeviceLog,
    entry::{Act, Author},
    past::Entries,
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
    pub(super) removed: BTreeMap<DeviceId, Removed>,
    /// Epochs that an entry began which counts.
    pub(super) epochs: BTreeSet<EpochId>,
}

/// A removal that takes effect: what the device did outside of `before` is void.
struct Cut {
    device: DeviceId,
    before: Entries,
}

/// Whose word comes first when two remove each other: the phrase's, then that of the older device.
type Rank = (u8, u32, EntryHash);

impl View {
    /// What the entries in `within` say; they hold the ancestors of each of them.
    pub(super) fn of(log: &DeviceLog, within: &Entries) -> Self {
        let judge = Judge { log, within };
        let mut view = Self::default();
        let mut cuts: Vec<Cut> = Vec::new();
        for (_, hash) in judge.removals() {
            let Some(node) = log.entries.get(&hash) else { continue };
            let body = node.entry.body();
            let Act::Remove(removal) = &body.act else { continue };
            if !judge.stands(&hash, &cuts) {
                continue;
            }
            cuts.push(Cut { device: removal.device, before: node.past.entries.clone() });
            let (by, reason, time) = (body.author, removal.reason, body.time);
            let this = Removed { entry: hash, by, reason, time, last: removal.last };
            let kept = view.removed.entry(removal.device).or_insert(this);
            // Of two that were made apart the one that keeps more of its data.
            let rank = |it: &Removed| (it.last.map(|last| last.seq), std::cmp::Reverse(it.entry));
            if rank(&this) > rank(kept) {
                *kept = this;
            }
        }
        for device in log.devices.keys() {
            let is_removed = cuts.iter().any(|cut| cut.device == *device);
            if !is_removed && judge.memberships(device).any(|entry| judge.stands(entry, &cuts)) {
                view.living.insert(*device);
            }
        }
        for (id, began) in &log.epochs {
            let counts = |entry: &EntryHash| judge.is_within(entry) && judge.stands(entry, &cuts);
            if began.iter().any(counts) {
                view.epochs.insert(*id);
            }
        }
        view
    }
}

struct Judge<'a> {
    log: &'a DeviceLog,
    within: &'a Entries,
}

impl<'a> Judge<'a> {
    fn is_within(&self, hash: &EntryHash) -> bool {
        self.log.entries.get(hash).is_some_and(|node| self.within.contains(node.place))
    }

    /// The entries that took a device in.
    fn memberships(&self, device: &DeviceId) -> impl Iterator<Item = &'a EntryHash> {
        let member = self.log.devices.get(device);
        let entries = member.into_iter().flat_map(|member| &member.entries);
        entries.filter(|hash| self.is_within(hash))
    }

    /// All removals, in the order in which they are looked at.
    fn removals(&self) -> BTreeSet<((Rank, u32), EntryHash)> {
        let within = self.log.removals.iter().filter(|hash| self.is_within(hash));
        let ranked = within.filter_map(|hash| {
            let node = self.log.entries.get(hash)?;
            Some(((self.rank(&node.entry.body().author), node.past.depth), *hash))
        });
        ranked.collect()
    }

    fn rank(&self, author: &Author) -> Rank {
        let first = EntryHash::from_bytes([0; 32]);
        let Author::Device(device) = author else { return (0, 0, first) };
        let age = |hash: &EntryHash| Some((self.log.entries.get(hash)?.past.depth, *hash));
        let oldest = self.memberships(device).filter_map(age).min();
        oldest.map_or((2, u32::MAX, first), |(depth, hash)| (1, depth, hash))
    }

    /// Whether an entry counts: its author was there, by an entry that counts, and was not thrown out
    /// by somebody who had not seen it. Ends, since each step goes to an ancestor.
    fn stands(&self, hash: &EntryHash, cuts: &[Cut]) -> bool {
        let Some(node) = self.log.entries.get(hash) else { return false };
        let body = node.entry.body();
        let Author::Device(author) = &body.author else { return true };
        if matches!(body.act, Act::Genesis(_)) {
            return true;
        }
        let is_cut =
            cuts.iter().any(|cut| cut.device == *author && !cut.before.contains(node.place));
        let is_ancestor = |entry: &&EntryHash| {
            let place = self.log.entries.get(*entry).map(|node| node.place);
            place.is_some_and(|place| node.past.entries.contains(place))
        };
        !is_cut
            && self.memberships(author).filter(is_ancestor).any(|entry| self.stands(entry, cuts))
    }
}
