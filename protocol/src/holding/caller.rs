//! Who calls, and what such a caller may do: one exhaustive table.

use crate::{
    ids::{DeviceId, VaultId},
    index::ShardRef,
    wire::message::Refusal,
};

/// The other side of a connection, as the device logs say. The connection has proved the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Caller {
    /// A device that belongs to a vault.
    Member {
        /// Which device.
        device: DeviceId,
        /// Which vault.
        vault: VaultId,
    },
    /// The recovery access key of a vault: a device in recovery.
    Recovery {
        /// The key, for counting.
        key: DeviceId,
        /// Which vault.
        vault: VaultId,
    },
    /// Somebody who has the secret of the set of guardians of a vault: may ask for its phrase, and
    /// nothing else.
    Guardians {
        /// The key, for counting.
        key: DeviceId,
        /// Which vault.
        vault: VaultId,
    },
    /// A node that holds for a vault of which no device is heard of, as a device of it has introduced it.
    Fellow {
        /// Which node.
        node: DeviceId,
        /// Which vault.
        vault: VaultId,
    },
    /// This node itself, which fetches something for such a vault.
    Tender {
        /// This node.
        node: DeviceId,
        /// For which vault.
        vault: VaultId,
    },
    /// Any other key. Let in only while an invitation is outstanding, and only to pair.
    Stranger {
        /// The key, for counting.
        key: DeviceId,
    },
}

/// What a caller asks to do with a vault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Offer and put shards.
    Store,
    /// Read shards.
    Read,
    /// Read the device log and the heads.
    ReadRecords,
    /// Add entries to the device log: each carries its own signature.
    AddLog,
    /// Add heads.
    AddHead,
    /// Change who the guardians are, and be told who asks for the phrase: each record carries its own
    /// signature.
    Guard,
    /// Ask for the phrase.
    AskRelease,
    /// Name the other holders: the record carries its own signature.
    Introduce,
    /// Read what is kept, and what is claimed.
    ReadLists,
    /// Leave word for other holders, and ask for what they say to it.
    LeaveErrands,
}

impl Caller {
    /// The vault on whose behalf the caller acts.
    pub const fn vault(&self) -> Option<VaultId> {
        match self {
            Self::Member { vault, .. }
            | Self::Recovery { vault, .. }
            | Self::Fellow { vault, .. }
            | Self::Tender { vault, .. } => Some(*vault),
            // Acts for nobody before the phrase was given.
            Self::Guardians { .. } | Self::Stranger { .. } => None,
        }
    }

    /// The key of the connection.
    pub const fn key(&self) -> DeviceId {
        match self {
            Self::Member { device: key, .. }
            | Self::Recovery { key, .. }
            | Self::Guardians { key, .. }
            | Self::Fellow { node: key, .. }
            | Self::Tender { node: key, .. }
            | Self::Stranger { key } => *key,
        }
    }

    /// Whether this caller may do that with `vault` (HOLD-4).
    ///
    /// A device in recovery reads everything of its vault and adds its own device-log entry; it
    /// stores nothing before it is a device. Nobody does anything with another vault.
    ///
    /// # Errors
    /// [`Refusal::Forbidden`].
    pub fn permit(&self, action: Action, vault: VaultId) -> Result<(), Refusal> {
        let own = self.vault() == Some(vault);
        let allowed = match (self, action) {
            (Self::Guardians { vault: of, .. }, Action::AskRelease) => *of == vault,
            (
                Self::Member { .. },
                Action::Store
                | Action::Read
                | Action::ReadRecords
                | Action::AddLog
                | Action::AddHead
                | Action::Guard
                | Action::Introduce
                | Action::ReadLists
                | Action::LeaveErrands,
            )
            | (
                Self::Recovery { .. },
                Action::Read
                | Action::ReadRecords
                | Action::AddLog
                | Action::Guard
                | Action::ReadLists,
            )
            | (Self::Fellow { .. }, Action::Read | Action::ReadRecords | Action::ReadLists)
            | (Self::Tender { .. }, Action::Store) => own,
            (Self::Member { .. }, Action::AskRelease)
            | (
                Self::Recovery { .. },
                Action::Store
                | Action::AddHead
                | Action::AskRelease
                | Action::Introduce
                | Action::LeaveErrands,
            )
            | (
                Self::Fellow { .. }
                | Self::Tender { .. }
                | Self::Guardians { .. }
                | Self::Stranger { .. },
                _,
            ) => false,
        };
        if allowed { Ok(()) } else { Err(Refusal::Forbidden) }
    }
}

impl Caller {
    /// Whether this caller may tell a node of vault `own` of requests for the phrase of `vault`, and if
    /// so, whether it is told of them as well. Each request proves itself; a holder tells the devices
    /// of the vault, and learns nothing by it.
    ///
    /// # Errors
    /// [`Refusal::Forbidden`].
    pub fn tells_requests(&self, vault: VaultId, own: Option<VaultId>) -> Result<bool, Refusal> {
        match self {
            Self::Member { .. } if own == Some(vault) && self.vault() != own => Ok(false),
            _ => self.permit(Action::Guard, vault).map(|()| true),
        }
    }
}

/// What a challenge comes to before any byte is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShowVerdict {
    /// It is kept: look and show.
    Look,
    /// It is not kept for this vault, or has another length.
    Absent,
    /// It is kept, and its bytes are known to be lost.
    Damaged,
}

/// Answer to "may this caller read this shard?".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadVerdict {
    /// Yes.
    Allowed(ShardRef),
    /// It is not here for the caller's vault, though perhaps for another: both look the same.
    Absent,
    /// The caller acts for no vault.
    Forbidden,
}
