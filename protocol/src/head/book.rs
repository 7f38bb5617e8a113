//! The heads of one vault that somebody keeps: the highest valid one of each device.
//!
//! A device numbers its heads and links each to the one before. Two heads that cannot stand in one
//! chain were signed by two machines with one key: a clone, or a device set back to an old image.
//! Both sides are kept then, as data to restore from and as proof.
//!
//! ```text
//! nothing ──► one ──► forked (for good): the proof, and what either side wrote afterwards
//! ```
//! Source: specs/head.md.

use std::{cmp::Reverse, collections::BTreeMap};

use thiserror::Error;

use super::{HeadError, Seen, SignedHead, VerifiedHead};
use crate::{ids::DeviceId, limits::HEADS_OF_DEVICE_MAX, log::DeviceLog};

/// Heads kept of a forked device beside the two that prove the fork.
const FORK_LATER_MAX: usize = HEADS_OF_DEVICE_MAX - 2;

/// What became of a head that was offered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Offered {
    /// New and highest: to be made durable.
    Taken,
    /// Already here.
    Known,
    /// The offerer is behind: this is the highest head here.
    Older(Box<SignedHead>),
    /// New, and its device is forked: the two heads prove that two machines sign with its key.
    /// [`HeadBook::heads_of`] the device are to be made durable.
    Forked(Box<[SignedHead; 2]>),
    /// Not valid; nothing changed.
    Invalid(HeadError),
}

/// Somebody else signs with this device's key, or this device was set back to an old image.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "head {} of this very device was met, which this device did not write: it was cloned, or set \
     back to an older state. It must not publish; make it a new device of the vault", met.body().seq
)]
pub struct CloneError {
    /// The head that this device did not write.
    pub met: Box<SignedHead>,
}

/// The heads of one vault.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HeadBook {
    devices: BTreeMap<DeviceId, Kept>,
}

/// Heads of one device.
#[expect(
    clippy::large_enum_variant,
    reason = "forks are rare: the large variant is the common one"
)]
#[derive(Debug, Clone, PartialEq, Eq)]
enum Kept {
    One(SignedHead),
    Forked(Box<Fork>),
}

/// Two heads that cannot both stand in one chain, and what either side wrote afterwards.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Fork {
    proof: [SignedHead; 2],
    /// At most [`FORK_LATER_MAX`]; none is the parent of another.
    later: Vec<SignedHead>,
}

impl HeadBook {
    /// Takes a head from anybody, after checking it against the vault's log.
    pub fn offer(&mut self, log: &DeviceLog, head: SignedHead) -> Offered {
        match head.verified(log) {
            Ok(head) => self.take(head),
            Err(error) => Offered::Invalid(error),
        }
    }

    /// Takes a head that was checked against the vault's log before; never `Invalid`.
    pub fn take(&mut self, VerifiedHead(head): VerifiedHead) -> Offered {
        let device = head.body().device;
        let (kept, offered) = match self.devices.remove(&device) {
            None => (Kept::One(head), Offered::Taken),
            Some(Kept::One(tip)) => meet(tip, head),
            Some(Kept::Forked(fork)) => fork.meet(head),
        };
        self.devices.insert(device, kept);
        offered
    }

    /// What is kept of one device, as a book of its own: a head is weighed there and made durable
    /// while others go on reading this one.
    #[must_use]
    pub fn part(&self, device: &DeviceId) -> Self {
        let kept = self.devices.get(device).map(|kept| (*device, kept.clone()));
        Self { devices: kept.into_iter().collect() }
    }

    /// Takes back what [`part`](Self::part) gave.
    pub fn put_back(&mut self, part: Self) {
        self.devices.extend(part.devices);
    }

    /// Drops the heads that do not count any more because their devices were removed (HEAD-13). Returns
    /// those devices: a head that counts may be in the past.
    pub fn drop_void(&mut self, log: &DeviceLog) -> Vec<DeviceId> {
        let mut changed = Vec::new();
        self.devices.retain(|device, kept| {
            let counts =
                |head: &&SignedHead| log.head_counts(device, (head.body().seq, &head.hash()));
            if kept.heads().all(|head| counts(&head)) {
                return true;
            }
            changed.push(*device);
            if let Kept::Forked(fork) = kept
                && fork.proof.iter().all(|head| counts(&head))
            {
                fork.later.retain(|head| counts(&head));
                return true;
            }
            // Of a fork the side that counts stays.
            let highest = kept.heads().filter(counts).max_by_key(|head| head.body().seq).cloned();
            let stays = highest.is_some();
            if let Some(head) = highest {
                *kept = Kept::One(head);
            }
            stays
        });
        changed
    }

    /// The highest head of a device; of a forked one, the side with the highest number.
    pub fn highest(&self, device: &DeviceId) -> Option<&SignedHead> {
        self.devices.get(device).map(Kept::highest)
    }

    /// All heads kept of one device: one, or more if it is forked. To be made durable together
    /// when one was taken, and shown together to whoever asks.
    pub fn heads_of(&self, device: &DeviceId) -> impl Iterator<Item = &SignedHead> {
        self.devices.get(device).into_iter().flat_map(Kept::heads)
    }

    /// All heads kept, ascending by device.
    pub fn heads(&self) -> impl Iterator<Item = &SignedHead> {
        self.devices.values().flat_map(Kept::heads)
    }

    /// The heads from which nobody has gone on, ascending by device: one of each device, and of a forked one at
    /// least one of each side. Together they lead to everything that was saved last.
    pub fn tips(&self) -> impl Iterator<Item = &SignedHead> {
        self.devices.values().flat_map(|kept| {
            let passed: Vec<_> = kept.heads().filter_map(|head| head.body().prev).collect();
            kept.heads().filter(move |head| !passed.contains(&head.hash()))
        })
    }

    /// The proof that a device is forked, if it is.
    pub fn fork(&self, device: &DeviceId) -> Option<&[SignedHead; 2]> {
        match self.devices.get(device)? {
            Kept::One(_) => None,
            Kept::Forked(fork) => Some(&fork.proof),
        }
    }

    /// What `device` writes into its next head: the newest head of every other device.
    pub fn seen_by(&self, device: &DeviceId) -> Vec<Seen> {
        let others = self.devices.keys().filter(|other| *other != device);
        others.filter_map(|other| self.highest(other)).map(SignedHead::seen).collect()
    }

    /// Heads that some device has seen and that are newer than what is here: whoever showed this
    /// book to us hides them, or does not know them. Ascending by device, the highest of each.
    pub fn missing(&self) -> Vec<Seen> {
        let mut missing: BTreeMap<DeviceId, Seen> = BTreeMap::new();
        for seen in self.heads().flat_map(|head| &head.body().seen) {
            let known = self.highest(&seen.device).map_or(0, |head| head.body().seq);
            let noted = missing.get(&seen.device).map_or(known, |other| other.seq);
            if seen.seq > noted {
                missing.insert(seen.device, *seen);
            }
        }
        missing.into_values().collect()
    }

    /// How many devices' heads say that they saw `head` or a later one of the same device:
    /// witnesses that it is no old one.
    pub fn witnesses(&self, head: &SignedHead) -> usize {
        let own = head.seen();
        let saw = |other: &&SignedHead| {
            other.body().seen.iter().any(|seen| seen.device == own.device && seen.seq >= own.seq)
        };
        self.devices.keys().filter_map(|device| self.highest(device)).filter(saw).count()
    }

    /// Whether `device` may publish its next head, having written `last` last. To be asked after
    /// every head of its own that it meets at a holder, and before it publishes.
    ///
    /// # Errors
    /// [`CloneError`] with a head of its own that it did not write.
    pub fn may_publish(
        &self,
        device: &DeviceId,
        last: Option<&SignedHead>,
    ) -> Result<(), CloneError> {
        let written = |head: &SignedHead| {
            last.is_some_and(|last| {
                let (seq, hash) = (head.body().seq, head.hash());
                let parent = last.body().prev == Some(hash);
                hash == last.hash() || parent || seq.saturating_add(1) < last.body().seq
            })
        };
        match self.devices.get(device) {
            Some(Kept::One(met)) if written(met) => Ok(()),
            Some(kept) => {
                let met = kept.heads().find(|head| !written(head)).unwrap_or(kept.highest());
                Err(CloneError { met: Box::new(met.clone()) })
            }
            None => Ok(()),
        }
    }
}

/// Whether two different heads of one device cannot both stand in one chain.
fn conflict(one: &SignedHead, other: &SignedHead) -> bool {
    let (low, high) = if one.body().seq <= other.body().seq { (one, other) } else { (other, one) };
    let neighbours = low.body().seq.checked_add(1) == Some(high.body().seq);
    low.body().seq == high.body().seq || (neighbours && high.body().prev != Some(low.hash()))
}

fn meet(tip: SignedHead, head: SignedHead) -> (Kept, Offered) {
    if head.hash() == tip.hash() {
        return (Kept::One(tip), Offered::Known);
    }
    if conflict(&tip, &head) {
        let mut proof = [tip, head];
        proof.sort_by_key(SignedHead::hash);
        let fork = Fork { proof: proof.clone(), later: Vec::new() };
        return (Kept::Forked(Box::new(fork)), Offered::Forked(Box::new(proof)));
    }
    if head.body().seq > tip.body().seq {
        (Kept::One(head), Offered::Taken)
    } else {
        (Kept::One(tip.clone()), Offered::Older(Box::new(tip)))
    }
}

impl Kept {
    fn heads(&self) -> impl Iterator<Item = &SignedHead> {
        let (first, later) = match self {
            Self::One(tip) => (std::slice::from_ref(tip), [].as_slice()),
            Self::Forked(fork) => (fork.proof.as_slice(), fork.later.as_slice()),
        };
        first.iter().chain(later)
    }

    fn highest(&self) -> &SignedHead {
        let rank = |head: &&SignedHead| (head.body().seq, Reverse(head.hash()));
        match self {
            Self::One(tip) => tip,
            Self::Forked(fork) => {
                let [one, _] = &fork.proof;
                self.heads().max_by_key(rank).unwrap_or(one)
            }
        }
    }
}

impl Fork {
    /// A fork stays a fork. Each side may go on, so that nothing that a clone saves is lost.
    fn meet(mut self, head: SignedHead) -> (Kept, Offered) {
        let all = || self.proof.iter().chain(&self.later);
        if all().any(|kept| kept.hash() == head.hash()) {
            return (Kept::Forked(Box::new(self)), Offered::Known);
        }
        let lowest = self.proof.iter().map(|side| side.body().seq).min();
        let passed = lowest.is_some_and(|lowest| head.body().seq <= lowest)
            || all().any(|kept| kept.body().prev == Some(head.hash()));
        let parent = |kept: &SignedHead| head.body().prev == Some(kept.hash());
        let proof = self.proof.clone();
        if let Some(place) = self.later.iter_mut().find(|kept| parent(kept)) {
            *place = head;
        } else if !passed && self.later.len() < FORK_LATER_MAX {
            self.later.push(head);
        } else {
            let kept = Kept::Forked(Box::new(self));
            let highest = Box::new(kept.highest().clone());
            return (kept, Offered::Older(highest));
        }
        (Kept::Forked(Box::new(self)), Offered::Forked(Box::new(proof)))
    }
}
