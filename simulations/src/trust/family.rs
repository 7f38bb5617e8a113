//! What people really did, whatever a log says: who belongs to the family, and who was thrown out.
//!
//! A removal voids what its author did not know of what the removed device had done (specs/device_log.md, "Meaning"). Whether
//! those live whom it took in then, and whom it threw out, is *doubtful*: nothing is owed.

use std::collections::{BTreeMap, BTreeSet};

use larder_protocol::{
    ids::{DeviceId, EntryHash},
    log::{Author, Deed, DeviceLog, LogEntry},
};

#[derive(Debug, Default)]
pub(super) struct Family {
    joined: BTreeMap<DeviceId, Joined>,
    thrown_out: Vec<ThrownOut>,
    lost: BTreeSet<DeviceId>,
    doubtful: BTreeSet<DeviceId>,
}

/// A removal by people.
#[derive(Debug, Clone, Copy)]
pub(super) struct Out {
    /// `None`: by the phrase.
    pub(super) by: Option<DeviceId>,
    pub(super) whom: DeviceId,
    /// Whether what that one had removed is taken back.
    pub(super) undo: bool,
}

#[derive(Debug)]
struct Joined {
    by: Option<DeviceId>,
    entry: EntryHash,
}

#[derive(Debug)]
struct ThrownOut {
    /// `None`: by the phrase.
    by: Option<DeviceId>,
    whom: DeviceId,
    entry: EntryHash,
    is_doubtful: bool,
}

impl Family {
    pub(super) fn joined(&mut self, device: DeviceId, by: Option<DeviceId>, entry: EntryHash) {
        self.joined.insert(device, Joined { by, entry });
        self.spread_doubt();
    }

    pub(super) fn lost(&mut self, device: DeviceId) {
        self.lost.insert(device);
    }

    pub(super) fn is_lost(&self, device: &DeviceId) -> bool {
        self.lost.contains(device)
    }

    /// Somebody was thrown out by the newest entry of this log.
    pub(super) fn threw_out(&mut self, log: &DeviceLog, out: &Out) {
        let newest = log.entries().last().expect("no log is empty");
        let entry = LogEntry::decode(newest).expect("it stands in a log").hash();
        let (unknown, Out { by, whom, .. }) = (self.unknown_to(log, out), *out);
        for (device, joined) in &self.joined {
            if joined.by == Some(whom) && unknown.contains(&joined.entry) {
                self.doubtful.insert(*device);
            }
        }
        for before in &mut self.thrown_out {
            before.is_doubtful |= before.by == Some(whom) && unknown.contains(&before.entry);
        }
        self.thrown_out.push(ThrownOut { by, whom, entry, is_doubtful: false });
        self.spread_doubt();
    }

    /// What people did of which the author of a removal does not know, or on which it must not build where it undoes: it
    /// builds on what the leaver has removed, or on how a thief threw out leaver or author.
    fn unknown_to(&self, log: &DeviceLog, out: &Out) -> BTreeSet<EntryHash> {
        let all: Vec<(EntryHash, LogEntry)> = log
            .entries()
            .map(|bytes| LogEntry::decode(bytes).expect("it stands in a log"))
            .map(|entry| (entry.hash(), entry))
            .collect();
        let is_left_out = |entry: &LogEntry| {
            let Deed::Removed(whom, _) = entry.deed() else { return false };
            let Author::Device(author) = entry.body().author else { return false };
            let is_thief = !self.has(&author) || self.is_lost(&author);
            let is_in_the_way = is_thief && (whom == out.whom || Some(whom) == out.by);
            out.undo && (author == out.whom || is_in_the_way)
        };
        let mut left_out: BTreeSet<EntryHash> = BTreeSet::new();
        // Parents come first.
        for (hash, entry) in &all {
            if is_left_out(entry) || entry.body().parents.iter().any(|it| left_out.contains(it)) {
                left_out.insert(*hash);
            }
        }
        let joined = self.joined.values().map(|it| it.entry);
        let people = joined.chain(self.thrown_out.iter().map(|it| it.entry));
        people.filter(|it| !log.contains(it) || left_out.contains(it)).collect()
    }

    /// Whatever somebody did counts only if he does.
    fn spread_doubt(&mut self) {
        loop {
            let is_doubtful =
                |by: &Option<DeviceId>| by.is_some_and(|by| self.doubtful.contains(&by));
            let more = self.joined.iter().filter(|(_, it)| is_doubtful(&it.by));
            let more: Vec<_> =
                more.map(|(id, _)| *id).filter(|id| !self.doubtful.contains(id)).collect();
            if more.is_empty() {
                break;
            }
            self.doubtful.extend(more);
        }
        for it in &mut self.thrown_out {
            it.is_doubtful |= it.by.is_some_and(|by| self.doubtful.contains(&by));
        }
    }

    /// Whether somebody belongs to the family, or did once.
    pub(super) fn has(&self, device: &DeviceId) -> bool {
        self.joined.contains_key(device)
    }

    /// The entry that took somebody in.
    pub(super) fn entry_of(&self, device: &DeviceId) -> Option<EntryHash> {
        self.joined.get(device).map(|it| it.entry)
    }

    /// Those who live, whatever a thief has done.
    pub(super) fn living(&self) -> impl Iterator<Item = DeviceId> {
        let is_out = |id: &DeviceId| self.thrown_out.iter().any(|it| it.whom == *id);
        let sure = self.joined.keys().filter(|id| !self.doubtful.contains(*id));
        sure.filter(move |id| !is_out(id)).copied()
    }

    /// Those who do not.
    pub(super) fn gone(&self) -> impl Iterator<Item = DeviceId> {
        self.thrown_out.iter().filter(|it| !it.is_doubtful).map(|it| it.whom)
    }

    pub(super) fn is_doubtful(&self, device: &DeviceId) -> bool {
        self.doubtful.contains(device)
    }
}
