//! Whether there is room for one more entry, or for several that come together. Source: specs/device_log.md,
//! "How much a log takes".
//!
//! What devices have used up follows from the entries that are there, and not from how they came: only what counts is
//! charged to them, as long as its author is not thrown out, and nothing on which the phrase builds. So there is
//! always room to throw a thief out, and room again after that.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    DeviceLog, LogEntry, Node,
    backing::Voice,
    entry::{Act, Author},
    past::Past,
};
use crate::{
    ids::DeviceId,
    limits::{
        ADDS_OF_DEVICE_MAX, DEVICES_MAX, EPOCHS_MAX, EPOCHS_OF_MEMBER_MAX, EPOCHS_RESERVED,
        LOG_BACKED_TIMES, LOG_BYTES_MAX, LOG_BYTES_RESERVED, LOG_DEVICES_BACKED_MAX,
        LOG_DEVICES_MAX, LOG_ENTRIES_MAX, LOG_ENTRY_BYTES_MAX, LOG_EPOCHS_MAX, LOG_READ_BACK_TIMES,
        LOG_RESERVED, LOG_TIMES, LOG_VOID_MAX, RENAMES_MAX, RENAMES_OF_DEVICE_MAX,
        RENAMES_RESERVED,
    },
};

const EPOCHS_OF_DEVICES_MAX: usize = EPOCHS_MAX - EPOCHS_RESERVED;
const RENAMES_OF_DEVICES_MAX: usize = RENAMES_MAX - RENAMES_RESERVED;

/// Part of a log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Share {
    pub(super) entries: usize,
    pub(super) devices: usize,
    pub(super) bytes: usize,
}

/// What one device has written by itself.
#[derive(Debug, Clone, Copy, Default)]
struct Own {
    epochs: usize,
    renames: usize,
    /// What does not count.
    void: usize,
}

/// How an entry of a device is charged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Charge {
    Full,
    /// It does not count.
    Void,
    /// It is paid for: the phrase builds on it, or its author was thrown out.
    Nothing,
}

/// What is used up.
#[derive(Debug, Clone, Default)]
struct Used {
    /// Of all devices.
    entries: usize,
    bytes: usize,
    /// By owners together.
    epochs: usize,
    renames: usize,
    /// By members together.
    epochs_of_members: usize,
    renames_of_members: usize,
    /// By whoever it is, of what does not count.
    void_epochs: usize,
    /// Those whom devices have taken in, and the one that founded the vault.
    devices: BTreeSet<DeviceId>,
    /// How often devices have taken each of them in.
    adds: BTreeMap<DeviceId, usize>,
    own: BTreeMap<DeviceId, Own>,
    epochs_of_phrase: usize,
    renames_of_phrase: usize,
    adds_of_phrase: BTreeMap<DeviceId, usize>,
}

impl Used {
    fn charge(&mut self, node: &Node, charge: Charge) {
        let body = node.entry.body();
        let Author::Device(author) = &body.author else { return self.charge_phrase(&body.act) };
        if charge != Charge::Full {
            self.entries -= 1;
            self.bytes -= node.entry.bytes().len();
        }
        let own = self.own.entry(*author).or_default();
        match (&body.act, node.voice) {
            _ if charge == Charge::Nothing => {}
            (act, _) if charge == Charge::Void => {
                own.void += 1;
                self.void_epochs += usize::from(act.begins_epoch());
            }
            (Act::Epoch(_) | Act::Remove(_), Voice::Member) => {
                own.epochs += 1;
                self.epochs_of_members += 1;
            }
            (Act::Epoch(_) | Act::Remove(_), _) => self.epochs += 1,
            (Act::Rename(_), voice) => {
                own.renames += 1;
                let is_by_member = voice == Voice::Member;
                self.renames_of_members += usize::from(is_by_member);
                self.renames += usize::from(!is_by_member);
            }
            (Act::Genesis(_) | Act::Add(_), _) => {
                if let Some((device, _)) = body.act.taken_in() {
                    self.devices.insert(device.id);
                    *self.adds.entry(device.id).or_default() += 1;
                }
            }
        }
    }

    fn charge_phrase(&mut self, act: &Act) {
        match act {
            Act::Epoch(_) | Act::Remove(_) => self.epochs_of_phrase += 1,
            Act::Rename(_) => self.renames_of_phrase += 1,
            Act::Add(addition) => {
                *self.adds_of_phrase.entry(addition.device.id).or_default() += 1;
            }
            Act::Genesis(_) => {}
        }
    }

    /// Whether the share of its author, and of all owners, has room for one more.
    fn takes(&self, node: &Node, counts: bool) -> bool {
        let body = node.entry.body();
        let author = match &body.author {
            Author::Device(author) => author,
            Author::Recovery => return self.takes_of_phrase(&body.act),
        };
        let own = self.own.get(author).copied().unwrap_or_default();
        match &body.act {
            _ if !counts => own.void < LOG_VOID_MAX,
            Act::Epoch(_) | Act::Remove(_) if node.voice == Voice::Member => {
                own.epochs < EPOCHS_OF_MEMBER_MAX && self.epochs_of_members < EPOCHS_OF_DEVICES_MAX
            }
            Act::Epoch(_) | Act::Remove(_) => self.epochs < EPOCHS_OF_DEVICES_MAX,
            Act::Rename(_) => {
                let is_by_member = node.voice == Voice::Member;
                let all = if is_by_member { self.renames_of_members } else { self.renames };
                all < RENAMES_OF_DEVICES_MAX && own.renames < RENAMES_OF_DEVICE_MAX
            }
            Act::Add(addition) => {
                let device = &addition.device.id;
                let is_known = self.devices.contains(device);
                let times = self.adds.get(device).copied().unwrap_or_default();
                (is_known || self.devices.len() < DEVICES_MAX) && times < ADDS_OF_DEVICE_MAX
            }
            Act::Genesis(_) => true,
        }
    }

    fn takes_of_phrase(&self, act: &Act) -> bool {
        match act {
            Act::Epoch(_) | Act::Remove(_) => self.epochs_of_phrase < EPOCHS_RESERVED,
            Act::Rename(_) => self.renames_of_phrase < RENAMES_RESERVED,
            Act::Add(addition) => {
                let times = self.adds_of_phrase.get(&addition.device.id);
                times.is_none_or(|times| *times < ADDS_OF_DEVICE_MAX)
            }
            Act::Genesis(_) => true,
        }
    }

    /// Whether what devices have together, and what the one has written that backs it, is within its bounds, or no more than
    /// `before`.
    fn is_within_sums(&self, before: &Self, backer: &DeviceId) -> bool {
        let most = |used: &Self| used.adds.values().max().copied().unwrap_or_default();
        let own = |used: &Self| used.own.get(backer).copied().unwrap_or_default();
        let sums = |used: &Self| {
            [
                (used.entries, LOG_ENTRIES_MAX - LOG_RESERVED),
                (used.bytes, LOG_BYTES_MAX - LOG_BYTES_RESERVED),
                (used.epochs, EPOCHS_OF_DEVICES_MAX),
                (used.renames, RENAMES_OF_DEVICES_MAX),
                (used.devices.len(), DEVICES_MAX),
                (most(used), ADDS_OF_DEVICE_MAX),
                (own(used).renames, RENAMES_OF_DEVICE_MAX),
                (own(used).void, LOG_VOID_MAX),
            ]
        };
        are_within(sums(self), sums(before))
    }

    /// Whether members together, and each of those who live, have no more than there is for them, or than `before`, and no more
    /// epochs begin that do not count. So what is taken along beyond that counts for nobody, and leaves room for epochs that do.
    fn is_within_shares(&self, before: &Self, lives: impl Fn(&DeviceId) -> bool) -> bool {
        let together = |used: &Self| {
            [
                (used.epochs_of_members, EPOCHS_OF_DEVICES_MAX),
                (used.renames_of_members, RENAMES_OF_DEVICES_MAX),
                (used.void_epochs, EPOCHS_OF_DEVICES_MAX),
            ]
        };
        let each = |own: Own| {
            [
                (own.epochs, EPOCHS_OF_MEMBER_MAX),
                (own.renames, RENAMES_OF_DEVICE_MAX),
                (own.void, LOG_VOID_MAX),
            ]
        };
        let mut living = self.own.iter().filter(|(device, _)| lives(device));
        are_within(together(self), together(before))
            && living.all(|(device, own)| {
                let before = before.own.get(device).copied().unwrap_or_default();
                are_within(each(*own), each(before))
            })
    }
}

/// Whether each number is within its bound, or no more than `before`.
fn are_within<const N: usize>(after: [(usize, usize); N], before: [(usize, usize); N]) -> bool {
    let mut pairs = after.into_iter().zip(before);
    pairs.all(|((after, bound), (before, _))| after <= bound.max(before))
}

impl DeviceLog {
    /// Whether an entry has room by itself.
    pub(super) fn has_room_for(&self, entry: &LogEntry, past: &Past) -> bool {
        let (author, bytes) = (&entry.body().author, entry.bytes().len());
        // Whoever is thrown out with it has used up nothing that it needs.
        let used = self.used_without(entry.body().act.thrown_out());
        let has_room = match author {
            Author::Device(_) => {
                used.entries < LOG_ENTRIES_MAX - LOG_RESERVED
                    && used.bytes + bytes <= LOG_BYTES_MAX - LOG_BYTES_RESERVED
                    && self.is_within(LOG_TIMES, 1, bytes)
                    && (!entry.body().act.begins_epoch() || self.beginnings() < LOG_EPOCHS_MAX)
                    && (!self.is_of_newcomer(entry)
                        || self.devices.len() < LOG_DEVICES_BACKED_MAX - LOG_RESERVED)
            }
            Author::Recovery => self.has_room_for_phrase(entry),
        };
        if !has_room {
            return false;
        }
        let (place, voice) = (self.order.len(), self.voice(author, past));
        let (entry, past, roster) = (entry.clone(), past.clone(), Vec::new());
        let node = Node { entry, place, past, voice, roster };
        used.takes(&node, self.judgement.is_counting(self, &node))
    }

    /// Whether the phrase has room for this: what devices leave, and at least what is kept for it.
    fn has_room_for_phrase(&self, entry: &LogEntry) -> bool {
        let phrase = &self.phrase;
        let bytes = entry.bytes().len();
        let is_new = self.is_of_newcomer(entry);
        (self.order.len() < LOG_ENTRIES_MAX || phrase.entries < LOG_RESERVED)
            && (self.bytes + bytes <= LOG_BYTES_MAX || phrase.bytes + bytes <= LOG_BYTES_RESERVED)
            && (!is_new || self.devices.len() < LOG_DEVICES_MAX || phrase.devices < LOG_RESERVED)
    }

    /// Whether an entry that was taken once is read back: there is more room than anybody fills, whoever builds on what.
    pub(super) fn has_place_for(&self, entry: &LogEntry, _: &Past) -> bool {
        self.is_within(LOG_READ_BACK_TIMES, 1, entry.bytes().len())
    }

    /// Whether what this log has taken along since it was `before` has room.
    pub(super) fn has_room_since(&self, before: &Self, backer: &Author) -> bool {
        let is_member = matches!(backer, Author::Device(device) if !self.is_owner(device));
        // What a member has taken along leaves room for what owners write by themselves.
        let most = |all: usize| if is_member { all / 4 * 3 } else { all };
        // The phrase may have taken in more by itself.
        if self.devices.len()
            > most(LOG_DEVICES_BACKED_MAX - LOG_RESERVED).max(before.devices.len())
        {
            return false;
        }
        match backer {
            Author::Recovery => {
                self.is_within(LOG_BACKED_TIMES, 0, 0)
                    && self.beginnings() <= LOG_TIMES * LOG_EPOCHS_MAX
            }
            // He may have been thrown out, and come back by what he says himself.
            Author::Device(device) if is_member => {
                let (used, before) = (self.used_without(None), before.used_without(None));
                self.is_device(device)
                    && self.is_within(LOG_TIMES, LOG_ENTRIES_MAX / 2, LOG_BYTES_MAX / 2)
                    && self.beginnings() <= most(LOG_EPOCHS_MAX)
                    && used.is_within_sums(&before, device)
                    && used.is_within_shares(&before, |device| self.is_device(device))
            }
            Author::Device(device) => {
                self.is_device(device)
                    && self.is_within(LOG_TIMES, 0, 0)
                    && self.beginnings() <= LOG_EPOCHS_MAX + EPOCHS_MAX
                    && self.used_without(None).is_within_sums(&before.used_without(None), device)
            }
        }
    }

    /// Whether so many entries and bytes more are within so many times what there is for all.
    const fn is_within(&self, times: usize, entries: usize, bytes: usize) -> bool {
        self.order.len() + entries <= times * LOG_ENTRIES_MAX
            && self.bytes + bytes <= times * LOG_BYTES_MAX
    }

    /// How many entries begin an epoch, with or without throwing somebody out, whether they count or not.
    fn beginnings(&self) -> usize {
        self.epochs.values().map(BTreeSet::len).sum()
    }

    /// Whether an entry takes in somebody of whom nothing was known.
    fn is_of_newcomer(&self, entry: &LogEntry) -> bool {
        entry.body().act.taken_in().is_some_and(|(device, _)| !self.knows(&device.id))
    }

    /// What is charged of all that is there, but for what this device wrote.
    fn used_without(&self, but: Option<&DeviceId>) -> Used {
        let mut used = Used {
            entries: self.order.len() - self.phrase.entries,
            bytes: self.bytes - self.phrase.bytes,
            ..Used::default()
        };
        let is_out =
            |device: &DeviceId| but == Some(device) || self.view.removed.contains_key(device);
        for node in self.order.iter().filter_map(|hash| self.entries.get(hash)) {
            let counts = self.judgement.counts(node.place);
            let charge = match &node.entry.body().author {
                _ if self.settled.contains(node.place) => Charge::Nothing,
                _ if !counts => Charge::Void,
                Author::Device(author) if is_out(author) => Charge::Nothing,
                _ => Charge::Full,
            };
            used.charge(node, charge);
        }
        used
    }

    /// Whether a device has half of its names left, and all together have: the other half is not for what nobody asked for.
    pub(super) fn has_names_to_spare(&self, device: &DeviceId) -> bool {
        let used = self.used_without(None);
        let own = used.own.get(device).map_or(0, |own| own.renames);
        let all = if self.is_owner(device) { used.renames } else { used.renames_of_members };
        own < RENAMES_OF_DEVICE_MAX / 2 && all < RENAMES_OF_DEVICES_MAX / 2
    }

    /// Who is to be thrown out first, where there is no room to throw out another one: of those who live, and are none of these, the
    /// one without which most room is left. `None` where that helps nobody: then only the phrase has room.
    pub fn filled_by(&self, none_of: &[DeviceId]) -> Option<DeviceId> {
        if !self.is_within(LOG_TIMES, 2, 2 * LOG_ENTRY_BYTES_MAX)
            || self.beginnings() + 2 > LOG_EPOCHS_MAX
        {
            return None;
        }
        let living = self.devices().map(|device| device.public.id);
        let left = living.filter(|device| !none_of.contains(device)).filter_map(|device| {
            let used = self.used_without(Some(&device));
            let has_room = used.epochs + 1 < EPOCHS_OF_DEVICES_MAX
                && used.entries + 1 < LOG_ENTRIES_MAX - LOG_RESERVED
                && used.bytes + 2 * LOG_ENTRY_BYTES_MAX <= LOG_BYTES_MAX - LOG_BYTES_RESERVED;
            has_room.then_some(((used.epochs, used.entries), device))
        });
        left.min().map(|(_, device)| device)
    }

    /// Whether devices can add no more here, or not everywhere.
    pub(super) fn is_crowded(&self) -> bool {
        self.devices.len() >= DEVICES_MAX
            || self.beginnings() >= LOG_EPOCHS_MAX
            || self.order.len() + LOG_RESERVED >= LOG_ENTRIES_MAX
            || self.bytes + LOG_BYTES_RESERVED + LOG_ENTRY_BYTES_MAX > LOG_BYTES_MAX
    }
}
