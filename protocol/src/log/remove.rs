//! Removing a device. Source: specs/device_log.md.

use std::{collections::BTreeSet, fmt};

use minicbor::{Decode, Encode};
use rand_core::CryptoRng;

use super::{
    DeviceLog, DraftError, LogEntry, LogError,
    add::author_of,
    entry::{Act, Author},
    rotation::Rotation,
};
use crate::{
    ids::{DeviceId, EntryHash, HeadHash},
    keys::Principal,
    limits::LOG_PARENTS_MAX,
    time::Timestamp,
};

/// Why a device is removed: for people, and for what they are told to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
#[cbor(index_only)]
pub enum Reason {
    /// Nobody knows where it is.
    #[n(0)]
    Lost,
    /// Somebody else has it.
    #[n(1)]
    Stolen,
    /// Another one took its place; it is still the owner's.
    #[n(2)]
    Replaced,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Lost => "lost",
            Self::Stolen => "stolen",
            Self::Replaced => "replaced",
        })
    }
}

/// The last head of a removed device that counts: what it signs afterwards is void.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
#[cbor(map)]
pub struct LastHead {
    /// Its number.
    #[n(0)]
    pub seq: u64,
    /// Its hash.
    #[n(1)]
    pub head: HeadHash,
}

/// The removal of a device.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Removal {
    /// Who is thrown out.
    #[n(0)]
    pub device: DeviceId,
    /// Why.
    #[n(1)]
    pub reason: Reason,
    /// The newest of its heads that the author knew.
    #[n(2)]
    pub last: Option<LastHead>,
    /// The epoch that begins with it, for those who are left.
    #[n(3)]
    pub rotation: Rotation,
}

/// A device that is to be removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Leaver {
    /// Who.
    pub device: DeviceId,
    /// Why.
    pub reason: Reason,
    /// The newest of its heads that is known.
    pub last: Option<LastHead>,
    /// Whether its own removals of others are not to count. The author builds on no removal of itself
    /// either: it may be whoever was taken in by this device who removed it. Nor on one of this device that would take effect
    /// there, though it lives by all that is known: two of a thief's that throw each other out are both thrown out so.
    pub undo_removals: bool,
    /// Wall-clock time of the author.
    pub time: Timestamp,
}

impl DeviceLog {
    /// Removes a device in the name of another one or of the phrase. Returns the entry's bytes, to be made
    /// durable and sent on.
    ///
    /// # Errors
    /// [`DraftError`]; the log is then unchanged.
    pub fn remove<'p>(
        &mut self,
        author: impl Into<Principal<'p>>,
        leaver: &Leaver,
        rng: &mut impl CryptoRng,
    ) -> Result<Vec<u8>, DraftError> {
        let principal = author.into();
        let Leaver { device, reason, last, undo_removals, time } = *leaver;
        let parents = self.parents_of_removal(&author_of(&principal), &device, undo_removals);
        let past = self.past_of(&parents)?;
        let view = self.view_after(&past);
        if !view.living.contains(&device) {
            return Err(LogError::Stranger.into());
        }
        let of = (&past, &view);
        let rotation = self.new_epoch(&principal, of, Some(&device), rng)?;
        let removal = Removal { device, reason, last, rotation };
        self.append(&principal, (parents, time), Act::Remove(removal))
    }

    /// What to build on. A removal voids only what its author did not build on: to undo what the removed
    /// device did, it builds on what was there before. Of other removals those are left out as well that would take effect there,
    /// and keep the author from writing, or the leaver from being thrown out, though it lives by all that is known.
    fn parents_of_removal(
        &self,
        author: &Author,
        device: &DeviceId,
        undo_removals: bool,
    ) -> Vec<EntryHash> {
        if !undo_removals {
            return self.parents_of_plain_removal(author, device);
        }
        let by_leaver = |hash: &&EntryHash| {
            self.entry(hash).is_some_and(|it| it.body().author == Author::Device(*device))
        };
        let mut undone: BTreeSet<EntryHash> =
            self.removals.iter().filter(by_leaver).copied().collect();
        loop {
            let parents = if undone.is_empty() {
                self.parents_of_plain_removal(author, device)
            } else {
                self.parents_without(&undone)
            };
            let Ok(past) = self.past_of(&parents) else { return parents };
            let view = self.view_after(&past);
            let of_leaver = view.removed.get(device).filter(|_| self.is_device(device));
            let of_author = match author {
                Author::Device(author) => view.removed.get(author),
                Author::Recovery => None,
            };
            match of_leaver.or(of_author) {
                Some(removed) if undone.insert(removed.entry) => {}
                _ => return parents,
            }
        }
    }

    fn parents_of_plain_removal(&self, author: &Author, device: &DeviceId) -> Vec<EntryHash> {
        if !matches!(author, Author::Recovery) || !self.is_crowded() {
            return self.parents_for(author);
        }
        // The phrase builds on little in a crowded log; whom it removes has to be known there, and
        // somebody who stays: those whom it took in itself.
        let leaver = self.devices.get(device).and_then(|member| member.entries.first());
        let by_phrase = |hash: &&EntryHash| {
            let body = self.entry(hash).map(LogEntry::body);
            body.is_some_and(|it| it.author == Author::Recovery && matches!(it.act, Act::Add(_)))
        };
        let stay = self.order.iter().rev().filter(by_phrase).take(LOG_PARENTS_MAX - 1);
        let all: BTreeSet<EntryHash> = leaver.into_iter().chain(stay).copied().collect();
        all.into_iter().collect()
    }

    /// The newest of the entries that build on none of these.
    fn parents_without(&self, undone: &BTreeSet<EntryHash>) -> Vec<EntryHash> {
        let undone: Vec<usize> = undone
            .iter()
            .filter_map(|hash| self.entries.get(hash))
            .map(|node| node.place)
            .collect();
        let is_sound = |hash: &&EntryHash| {
            let node = self.entries.get(*hash);
            node.is_some_and(|node| {
                let built_on =
                    |place: &usize| node.place == *place || node.past.entries.contains(*place);
                !undone.iter().any(built_on)
            })
        };
        // Of what is sound, what no other sound entry builds on.
        let sound: Vec<EntryHash> = self.order.iter().filter(is_sound).copied().collect();
        let named = sound.iter().filter_map(|child| self.entry(child));
        let named: BTreeSet<EntryHash> =
            named.flat_map(|entry| entry.body().parents.iter().copied()).collect();
        let tips = sound.into_iter().filter(|hash| !named.contains(hash));
        let mut parents: Vec<EntryHash> = tips.take(LOG_PARENTS_MAX).collect();
        parents.sort_unstable();
        parents
    }
}
