//! What was ordered, of whom, and until when an answer is waited for.

use crate::{
    ids::{DeviceId, ShardRoot},
    time::Instant,
};

/// An order whose answer is awaited.
#[derive(Debug, Clone)]
pub(super) enum Order {
    Offer { holder: DeviceId, roots: Vec<ShardRoot>, deadline: Instant },
    Upload { holder: DeviceId, root: ShardRoot, deadline: Instant },
    Push { holder: DeviceId, seq: u64, deadline: Instant },
    Errands { holder: DeviceId, turn: u64, deadline: Instant },
}

impl Order {
    pub(super) const fn deadline(&self) -> Instant {
        match self {
            Self::Offer { deadline, .. }
            | Self::Upload { deadline, .. }
            | Self::Push { deadline, .. }
            | Self::Errands { deadline, .. } => *deadline,
        }
    }

    pub(super) const fn holder(&self) -> DeviceId {
        match self {
            Self::Offer { holder, .. }
            | Self::Upload { holder, .. }
            | Self::Push { holder, .. }
            | Self::Errands { holder, .. } => *holder,
        }
    }
}
