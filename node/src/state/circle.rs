//! The circle: who holds for this vault, and for whom this device holds.

use std::sync::{MutexGuard, PoisonError};

use larder_protocol::{
    cbor,
    discovering::BeaconKey,
    holding::granted,
    ids::{DeviceId, VaultId},
    keys::epoch::ReceivingPublic,
    placing::Acquaintance,
};
use minicbor::{Decode, Encode};
use redb::{TableDefinition, WriteTransaction};

use super::{State, StateError, record, values, watched};

const PEERS: TableDefinition<'_, &[u8; 32], &[u8]> = TableDefinition::new("peers");
/// Peers that were removed from their vaults: a removal may turn out to be void.
const ASIDE: TableDefinition<'_, &[u8; 32], &[u8]> = TableDefinition::new("peers aside");
const GRANTS: TableDefinition<'_, &[u8; 32], &[u8]> = TableDefinition::new("grants");

/// A device that this node knows and may call.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct PeerRow {
    /// The device.
    #[n(0)]
    pub device: DeviceId,
    /// Its vault: the own one, or another of the circle.
    #[n(1)]
    pub vault: VaultId,
    /// What its owner calls it.
    #[n(2)]
    pub name: String,
    /// Where it stands; devices of one site fail together.
    #[n(3)]
    pub site: String,
    /// Socket addresses at which it was last known.
    #[n(4)]
    pub addresses: Vec<String>,
    /// When it last answered, in seconds since 1970; 0 for never.
    #[n(5)]
    pub last_seen: u64,
    /// Bytes that it last said it grants to this vault.
    #[n(6)]
    pub granted_bytes: u64,
    /// Bytes of them in use, as it last said.
    #[n(7)]
    pub used_bytes: u64,
    /// Whether packs of this vault may be placed there. Not where this device has waived what that vault keeps
    /// for it: then others are not told of it as a holder either.
    #[n(8)]
    pub is_holder: bool,
    /// Whether it has shown that it can hold for this vault. Missing in older records.
    #[cbor(n(9), default)]
    pub acquaintance: Acquaintance,
    /// Bytes of those used that no device of this vault claims any more, as it last said.
    #[cbor(n(10), default)]
    pub unclaimed_bytes: u64,
    /// By what it is recognised on a local network, as it last told.
    #[n(11)]
    pub beacon_key: Option<BeaconKey>,
    /// To which its vault receives a share as a guardian, as it last told.
    #[n(13)]
    pub receiving: Option<ReceivingPublic>,
}

impl PeerRow {
    /// Whether it has shown that it can hold: a record of an earlier version tells by the grant.
    pub fn acquaintance(&self) -> Acquaintance {
        if self.granted_bytes > 0 { Acquaintance::Granted } else { self.acquaintance }
    }
}

/// A signed-for allowance of this device to a vault.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct GrantRow {
    /// The vault that may keep shards here.
    #[n(0)]
    pub vault: VaultId,
    /// What it is called here: as the invitation said, or like the device that joined.
    #[n(1)]
    pub name: String,
    /// 0 while the two vaults go apart, and otherwise nothing.
    #[n(2)]
    pub while_apart: Option<u64>,
    /// How many bytes; `None` means as many as this device offers in all. Missing in older records.
    #[n(3)]
    pub allowed_bytes: Option<u64>,
    /// Whether it keeps nothing for the vault of this device, now or later: it came one way.
    #[cbor(n(4), default)]
    pub is_guest: bool,
    /// When a device of it was last heard of, an hour late at most, in seconds since 1970; 0 for never.
    #[cbor(n(5), default)]
    pub heard: u64,
}

impl GrantRow {
    /// For a vault that is not apart from this one, and may keep as much as is offered.
    pub const fn new(vault: VaultId, name: String) -> Self {
        let (while_apart, allowed_bytes) = (None, None);
        Self { vault, name, while_apart, allowed_bytes, is_guest: false, heard: 0 }
    }

    /// Whether nothing is taken because the two vaults go apart.
    pub const fn is_apart(&self) -> bool {
        self.while_apart.is_some()
    }

    /// How many bytes it may keep here of those that this device offers.
    pub fn bytes_of(&self, offered: u64) -> u64 {
        granted(self.allowed_bytes, offered).min(self.while_apart.unwrap_or(u64::MAX))
    }
}

pub(super) fn create(tx: &WriteTransaction) -> Result<(), redb::Error> {
    tx.open_table(PEERS)?;
    tx.open_table(ASIDE)?;
    tx.open_table(GRANTS)?;
    Ok(())
}

fn move_row(
    tx: &WriteTransaction,
    device: &DeviceId,
    from: TableDefinition<'_, &'static [u8; 32], &'static [u8]>,
    to: TableDefinition<'_, &'static [u8; 32], &'static [u8]>,
) -> Result<(), redb::Error> {
    let mut from = tx.open_table(from)?;
    let row = from.remove(device.as_bytes())?.map(|bytes| bytes.value().to_vec());
    if let Some(row) = row {
        tx.open_table(to)?.insert(device.as_bytes(), row.as_slice())?;
    }
    Ok(())
}

/// Forgets the devices of a vault, and what it was granted.
pub(super) fn forget(
    tx: &WriteTransaction,
    vault: &VaultId,
    devices: &[DeviceId],
) -> Result<(), redb::Error> {
    let (mut peers, mut aside) = (tx.open_table(PEERS)?, tx.open_table(ASIDE)?);
    for device in devices {
        peers.remove(device.as_bytes())?;
        aside.remove(device.as_bytes())?;
    }
    tx.open_table(GRANTS)?.remove(vault.as_bytes())?;
    Ok(())
}

impl State {
    /// Changes what is known of a peer: `change` gets what there is, and gives what is to be kept. Nothing
    /// is written when it gives nothing, or the same. Changes come one after the other, so that none
    /// undoes another.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn change_peer(
        &self,
        device: &DeviceId,
        change: impl FnOnce(Option<PeerRow>) -> Option<PeerRow>,
    ) -> Result<(), StateError> {
        let _alone = self.alone_with_peers();
        let known = self.peer(device)?;
        let Some(peer) = change(known.clone()).filter(|peer| known.as_ref() != Some(peer)) else {
            return Ok(());
        };
        self.write(|tx| {
            let mut table = tx.open_table(PEERS)?;
            table.insert(device.as_bytes(), cbor::encode(&peer).as_slice())?;
            Ok(())
        })
    }

    pub(super) fn alone_with_peers(&self) -> MutexGuard<'_, ()> {
        self.changing_peers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a peer aside, and forgets its comings and goings: it was removed from its vault.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn set_peer_aside(&self, device: &DeviceId) -> Result<(), StateError> {
        let _alone = self.alone_with_peers();
        self.write(|tx| {
            move_row(tx, device, PEERS, ASIDE)?;
            watched::forget(tx, device)
        })
    }

    /// Takes a peer back that was put aside.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn take_back_peer(&self, device: &DeviceId) -> Result<(), StateError> {
        let _alone = self.alone_with_peers();
        self.write(|tx| move_row(tx, device, ASIDE, PEERS))
    }

    /// Peers that were put aside.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn peers_aside(&self) -> Result<Vec<PeerRow>, StateError> {
        let rows = self.read(|tx| values(&tx.open_table(ASIDE)?))?;
        rows.iter().map(|bytes| record("peers", bytes)).collect()
    }

    /// One peer.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn peer(&self, device: &DeviceId) -> Result<Option<PeerRow>, StateError> {
        let bytes = self.read(|tx| {
            let table = tx.open_table(PEERS)?;
            Ok(table.get(device.as_bytes())?.map(|bytes| bytes.value().to_vec()))
        })?;
        bytes.map(|bytes| record("peers", &bytes)).transpose()
    }

    /// All peers, ascending by device.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn peers(&self) -> Result<Vec<PeerRow>, StateError> {
        let rows = self.read(|tx| values(&tx.open_table(PEERS)?))?;
        rows.iter().map(|bytes| record("peers", bytes)).collect()
    }

    /// Devices of a vault that are or were known, those put aside included.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn devices_of(&self, vault: &VaultId) -> Result<Vec<DeviceId>, StateError> {
        let all = self.peers()?.into_iter().chain(self.peers_aside()?);
        Ok(all.filter(|peer| peer.vault == *vault).map(|peer| peer.device).collect())
    }

    /// Says of every device of a vault whether packs may be placed there, in one piece with what `more` does
    /// about these devices.
    pub(super) fn change_holders(
        &self,
        vault: &VaultId,
        is_holder: bool,
        more: impl FnOnce(&WriteTransaction, &[DeviceId]) -> Result<(), redb::Error>,
    ) -> Result<(), StateError> {
        let _alone = self.alone_with_peers();
        let peers: Vec<PeerRow> =
            self.peers()?.into_iter().filter(|peer| peer.vault == *vault).collect();
        let devices: Vec<DeviceId> = peers.iter().map(|peer| peer.device).collect();
        self.write(|tx| {
            {
                let mut table = tx.open_table(PEERS)?;
                for peer in peers {
                    let row = PeerRow { is_holder, ..peer };
                    table.insert(row.device.as_bytes(), cbor::encode(&row).as_slice())?;
                }
            }
            more(tx, &devices)
        })
    }

    /// Changes what a vault is granted: `change` gets what there is, and gives what is to be kept. Nothing is
    /// written when it gives nothing, or the same. Returns what is there now.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn change_grant(
        &self,
        vault: &VaultId,
        change: impl FnOnce(Option<GrantRow>) -> Option<GrantRow>,
    ) -> Result<Option<GrantRow>, StateError> {
        let _alone = self.alone_with_peers();
        let known = self.grant(vault)?;
        let Some(grant) = change(known.clone()).filter(|grant| known.as_ref() != Some(grant))
        else {
            return Ok(known);
        };
        self.write(|tx| {
            let mut table = tx.open_table(GRANTS)?;
            table.insert(vault.as_bytes(), cbor::encode(&grant).as_slice())?;
            Ok(())
        })?;
        Ok(Some(grant))
    }

    /// What a vault is granted, if it is granted anything.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn grant(&self, vault: &VaultId) -> Result<Option<GrantRow>, StateError> {
        let bytes = self.read(|tx| {
            let table = tx.open_table(GRANTS)?;
            Ok(table.get(vault.as_bytes())?.map(|bytes| bytes.value().to_vec()))
        })?;
        bytes.map(|bytes| record("grants", &bytes)).transpose()
    }

    /// All grants of this device.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn grants(&self) -> Result<Vec<GrantRow>, StateError> {
        let rows = self.read(|tx| values(&tx.open_table(GRANTS)?))?;
        rows.iter().map(|bytes| record("grants", bytes)).collect()
    }
}
