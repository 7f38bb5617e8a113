//! One pack as the source sees it, and how far it is with each holder.

use std::collections::BTreeMap;

use crate::{
    ids::{DeviceId, ShardRoot},
    index::{PackClass, ShardRef},
    order::OrderId,
};

/// Orders packs by age: the first one known is offered and uploaded first.
pub(super) type Key = (u64, ShardRoot);

/// A pack from the database, or of another device of the vault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownPack {
    /// Name and length.
    pub shard: ShardRef,
    /// By which rules it is placed.
    pub class: PackClass,
    /// Whether its bytes are durable on this device.
    pub here: bool,
    /// On how many sites it was when its local copy went, from `DropLocal`, or, for a pack of
    /// another device, when it was found to meet the policy, from `PackSafe`; 0 before that.
    pub promised_sites: u8,
    /// Holders whose receipts are durable here.
    pub kept_by: Vec<DeviceId>,
}

/// How far one pack is with one holder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Custody {
    /// To be offered, when it matters.
    Unasked,
    /// In an offer that is under way.
    Asked,
    /// The holder would take it.
    Wanted,
    /// The holder had no room; asked again later.
    Refused,
    /// Bytes are on their way.
    Uploading(OrderId),
    /// A receipt came and is not durable here yet.
    Keeping,
    /// A durable receipt.
    Kept,
}

impl Custody {
    /// Whether a durable receipt stands behind it.
    pub(super) const fn counts(&self) -> bool {
        matches!(self, Self::Kept)
    }

    /// Whether bytes are or may soon be at the holder: its site needs no other copy.
    pub(super) const fn covers(&self) -> bool {
        self.counts() || matches!(self, Self::Uploading(_) | Self::Keeping)
    }

    /// Whether the outcome is open and the holder is expected to take it.
    pub(super) const fn is_open(&self) -> bool {
        matches!(
            self,
            Self::Unasked | Self::Asked | Self::Wanted | Self::Uploading(_) | Self::Keeping
        )
    }
}

/// How a pack stands to the policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Safety {
    /// On too few sites.
    Below,
    /// Safe by what was asked when its local copy went, and on fewer sites than are asked for now.
    Lean,
    /// On as many as are asked for.
    Full,
}

/// One pack.
#[derive(Debug, Clone)]
pub(super) struct Pack {
    pub(super) shard: ShardRef,
    pub(super) class: PackClass,
    /// Age: lower is older.
    pub(super) seq: u64,
    /// Its bytes are on this device and may be read.
    pub(super) here: bool,
    pub(super) promised_sites: u8,
    /// Its bytes were on this device and were lost.
    pub(super) missed: bool,
    pub(super) safety: Safety,
    /// One entry for each known holder.
    pub(super) custody: BTreeMap<DeviceId, Custody>,
}

impl Pack {
    pub(super) const fn new(shard: ShardRef, class: PackClass, seq: u64) -> Self {
        Self {
            shard,
            class,
            seq,
            here: false,
            promised_sites: 0,
            missed: false,
            safety: Safety::Below,
            custody: BTreeMap::new(),
        }
    }

    pub(super) const fn is_safe(&self) -> bool {
        matches!(self.safety, Safety::Lean | Safety::Full)
    }

    pub(super) const fn is_lean(&self) -> bool {
        matches!(self.safety, Safety::Lean)
    }

    /// Whether asking a holder about this pack can still change anything.
    pub(super) fn matters(&self) -> bool {
        self.safety != Safety::Full || (self.here && self.class == PackClass::Metadata)
    }

    /// Whether it met the policy once, or was here, and is neither now: nobody but this device sees
    /// to it that there are enough copies again.
    pub(super) fn is_short(&self) -> bool {
        !self.is_safe() && !self.here && (self.promised_sites > 0 || self.missed)
    }

    pub(super) fn is_uploading(&self) -> bool {
        self.custody.values().any(|custody| matches!(custody, Custody::Uploading(_)))
    }
}
