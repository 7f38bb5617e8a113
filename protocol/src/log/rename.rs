//! Giving a device another name. Source: specs/device_log.md.
//!
//! The newest word speaks: of the renames that count the one that builds on most, then the one with the
//! smaller hash. One that cannot be opened is passed over, and the next one speaks; in the end the entry
//! that took the device in.

use std::cmp::Reverse;

use minicbor::{Decode, Encode};
use rand_core::CryptoRng;

use super::{
    DeviceLog, DraftError, Label, LogError, Node, SealedLabel,
    add::author_of,
    entry::{Act, Author},
    past::Past,
    view::Judgement,
};
use crate::{
    ids::{DeviceId, EntryHash},
    keys::{Principal, epoch::EpochKey, wrap::WrapError},
    time::Timestamp,
};

/// Another name for a device.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Renaming {
    /// Which.
    #[n(0)]
    pub device: DeviceId,
    /// Its name and site, sealed.
    #[n(1)]
    pub label: SealedLabel,
}

/// A device that is to be called differently.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewLabel {
    /// Which.
    pub device: DeviceId,
    /// Its name and site from now on.
    pub label: Label,
    /// Wall-clock time of the author.
    pub time: Timestamp,
}

impl DeviceLog {
    /// Gives a device another name, in the name of a device or of the phrase. Returns the entry's bytes, to
    /// be made durable and sent on.
    ///
    /// # Errors
    /// [`DraftError`]; [`LogError::NotOwner`] for a member that names somebody else. The log is then
    /// unchanged.
    pub fn rename<'p>(
        &mut self,
        author: impl Into<Principal<'p>>,
        new: &NewLabel,
        rng: &mut impl CryptoRng,
    ) -> Result<Vec<u8>, DraftError> {
        let principal = author.into();
        let NewLabel { device, label, time } = new;
        let keys = self.keys_of(principal.hpke_public(), principal.hpke_secret())?;
        let current = self.current_epoch();
        let is_current = |key: &&EpochKey| current.is_some_and(|epoch| epoch.is_of(key));
        let key = keys.iter().find(is_current).or(keys.last()).ok_or(WrapError::NotForUs)?;
        let label = label.seal(device, key, rng).ok_or(DraftError::Label)?;
        // The phrase too: a name that builds on little would be spoken over.
        let parents = self.heads_for(&author_of(&principal), Some(device));
        let act = Act::Rename(Renaming { device: *device, label });
        self.append(&principal, (parents, *time), act)
    }

    /// Everything about a rename that depends on its ancestors.
    pub(super) fn check_rename(
        &self,
        author: &Author,
        device: &DeviceId,
        past: &Past,
    ) -> Result<(), LogError> {
        self.check_author(author, *author != Author::Device(*device), past)?;
        let member = self.devices.get(device);
        let is_known = member.is_some_and(|member| past.roster.contains(&member.number));
        if is_known { Ok(()) } else { Err(LogError::Stranger) }
    }

    /// Name and site of a device, read with the epoch keys: the newest that was said of it and opens.
    pub fn label(&self, device: &DeviceId, epochs: &[EpochKey]) -> Option<Label> {
        let taken_in = self.device(device)?.label;
        self.renamed(device, epochs).or_else(|| taken_in.open(device, epochs))
    }

    /// The newest name and site that a device was given since it was taken in.
    pub fn renamed(&self, device: &DeviceId, epochs: &[EpochKey]) -> Option<Label> {
        self.names_of(device).into_iter().find_map(|label| label.open(device, epochs))
    }

    /// Name and site that a rename gives, whether it counts or not.
    pub fn given_in(&self, entry: &EntryHash, epochs: &[EpochKey]) -> Option<Label> {
        match &self.entry(entry)?.body().act {
            Act::Rename(renaming) => renaming.label.open(&renaming.device, epochs),
            Act::Genesis(_) | Act::Add(_) | Act::Epoch(_) | Act::Remove(_) => None,
        }
    }

    /// The labels of the renames of a device that count, the one that speaks first.
    pub(super) fn names_of(&self, device: &DeviceId) -> Vec<&SealedLabel> {
        let namings = self.namings(device, &self.judgement).into_iter();
        namings.filter_map(|node| node.entry.body().act.new_label()).collect()
    }

    /// The renames of a device that count by a judgement, the one that speaks first.
    pub(super) fn namings(&self, device: &DeviceId, judgement: &Judgement) -> Vec<&Node> {
        let entries = self.renames.get(device).into_iter().flatten();
        let counting = entries.filter_map(|hash| Some((hash, self.entries.get(hash)?)));
        let mut counting: Vec<_> =
            counting.filter(|(_, node)| judgement.counts(node.place)).collect();
        counting.sort_by_key(|(hash, node)| (Reverse(node.past.depth), **hash));
        counting.into_iter().map(|(_, node)| node).collect()
    }
}

impl Act {
    const fn new_label(&self) -> Option<&SealedLabel> {
        match self {
            Self::Rename(renaming) => Some(&renaming.label),
            Self::Genesis(_) | Self::Add(_) | Self::Epoch(_) | Self::Remove(_) => None,
        }
    }
}
