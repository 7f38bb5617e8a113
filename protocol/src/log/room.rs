//! Whether one more entry fits into a log. Source: specs/device_log.md.
//!
//! **Invariant:** what fits together fits in any order, because a log is read back in another one: each
//! bound is on a sum, and the part that is the phrase's is counted by itself.

use super::{
    DeviceLog, LogEntry,
    entry::{Act, Author},
    past::Past,
};
use crate::{
    ids::DeviceId,
    limits::{
        ADDS_OF_DEVICE_MAX, DEVICES_MAX, LOG_BYTES_MAX, LOG_BYTES_RESERVED, LOG_DEVICES_MAX,
        LOG_ENTRIES_MAX, LOG_ENTRY_BYTES_MAX, LOG_RESERVED,
    },
};

/// Part of a log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Share {
    pub(super) entries: usize,
    pub(super) devices: usize,
    pub(super) bytes: usize,
}

impl DeviceLog {
    /// Whether an entry fits that builds on this.
    pub(super) fn has_room_for(&self, entry: &LogEntry, past: &Past) -> bool {
        let (author, act) = (&entry.body().author, &entry.body().act);
        let newcomer = act.taken_in().map(|(device, _)| &device.id);
        self.has_room(author, newcomer)
            && self.has_bytes(author, entry.bytes().len())
            && match act {
                Act::Epoch(_) | Act::Remove(_) => {
                    self.rotations.have_room(author, self.is_by_member(author, past))
                }
                Act::Rename(_) => self.renames.have_room(author),
                Act::Add(addition) => self.can_take_in(author, &addition.device.id),
                Act::Genesis(_) => true,
            }
    }

    /// Whether one more entry by `author` has a place. The last places are the phrase's.
    fn has_room(&self, author: &Author, newcomer: Option<&DeviceId>) -> bool {
        let (entries, devices) = (self.order.len(), self.devices.len());
        let fits = |entries: usize, devices: usize, kept_free: usize| {
            let is_known = newcomer.is_none_or(|device| self.knows(device));
            let has_place = is_known || devices + kept_free < LOG_DEVICES_MAX;
            has_place && entries + kept_free < LOG_ENTRIES_MAX
        };
        let by_devices = match author {
            Author::Device(_) => {
                fits(entries - self.phrase.entries, devices - self.phrase.devices, LOG_RESERVED)
            }
            Author::Recovery => true,
        };
        by_devices && fits(entries, devices, 0)
    }

    /// Whether so many bytes more fit. The last ones are the phrase's.
    fn has_bytes(&self, author: &Author, more: usize) -> bool {
        let by_devices = self.bytes - self.phrase.bytes;
        let is_within_share = match author {
            Author::Device(_) => by_devices + more <= LOG_BYTES_MAX - LOG_BYTES_RESERVED,
            Author::Recovery => true,
        };
        is_within_share && self.bytes + more <= LOG_BYTES_MAX
    }

    /// Whether `device` can be taken in once more, beside those entries that did so apart. It consents to each, so
    /// nobody uses up the places of a device whose key he has not got; the phrase has as many of its own.
    fn can_take_in(&self, author: &Author, device: &DeviceId) -> bool {
        let is_of_phrase = |author: &Author| *author == Author::Recovery;
        let entries = self.devices.get(device).into_iter().flat_map(|member| &member.entries);
        let authors = entries.filter_map(|hash| Some(&self.entry(hash)?.body().author));
        let alike = authors.filter(|other| is_of_phrase(other) == is_of_phrase(author));
        alike.count() < ADDS_OF_DEVICE_MAX
    }

    /// Whether devices can add no more here, or not everywhere.
    pub(super) fn is_crowded(&self) -> bool {
        self.devices.len() >= DEVICES_MAX
            || self.order.len() + LOG_RESERVED >= LOG_ENTRIES_MAX
            || self.bytes + LOG_BYTES_RESERVED + LOG_ENTRY_BYTES_MAX > LOG_BYTES_MAX
    }
}
