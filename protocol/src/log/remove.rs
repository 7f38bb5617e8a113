//! Removing a device. Source: specs/device_log.md.

use std::fmt;

use minicbor::{Decode, Encode};
use rand_core::CryptoRng;

use super::{DeviceLog, DraftError, LogError, add::author_of, entry::Act, rotation::Rotation};
use crate::{
    ids::{DeviceId, HeadHash},
    keys::Principal,
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
}
