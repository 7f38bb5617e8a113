//! What a device may do to the list of devices, as commands name it.

use clap::ValueEnum;
use larder_protocol::log::Role;
use serde::{Deserialize, Serialize};

/// The role of a device of the vault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeviceRole {
    /// Invites, removes and names devices.
    #[default]
    Owner,
    /// Has no say in which devices there are.
    Member,
}

impl DeviceRole {
    /// What a device may do in this role, after "it may" or "this device may".
    pub const fn rights(self) -> &'static str {
        match self {
            Self::Owner => {
                "read everything that is in it, back up into it, and invite, remove and name devices"
            }
            Self::Member => {
                "read everything that is in it and back up into it; it can not invite, remove or name \
                 other devices"
            }
        }
    }
}

impl From<Role> for DeviceRole {
    fn from(role: Role) -> Self {
        match role {
            Role::Owner => Self::Owner,
            Role::Member => Self::Member,
        }
    }
}

impl From<DeviceRole> for Role {
    fn from(role: DeviceRole) -> Self {
        match role {
            DeviceRole::Owner => Self::Owner,
            DeviceRole::Member => Self::Member,
        }
    }
}
