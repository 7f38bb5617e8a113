//! The other sides of forked devices: what heads lead to that cannot stand in one chain with the device's
//! highest one. A clone, or a device that was set back to an old image, has saved them.
//!
//! Which heads are kept at all is decided in `larder_protocol::head::book`. Source: specs/head.md, "Forks".

use std::collections::BTreeSet;

use larder_protocol::{
    cbor,
    head::SignedHead,
    ids::{DeviceId, HeadHash, ShardRoot},
};
use minicbor::{Decode, Encode};
use redb::{ReadableTable, TableDefinition, WriteTransaction};

use super::{
    State, StateError, claims,
    commits::{self, CommitRow},
    record,
};

/// By device and hash of the head.
const SIDES: TableDefinition<'_, (&[u8; 32], &[u8; 32]), &[u8]> = TableDefinition::new("sides");

/// One side: where its head leads, and what that needs.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
struct SideRow {
    #[n(0)]
    commit: CommitRow,
    /// Roots of packs, one after the other.
    #[cbor(n(1), with = "minicbor::bytes")]
    claimed: Vec<u8>,
}

pub(super) fn create(tx: &WriteTransaction) -> Result<(), redb::Error> {
    tx.open_table(SIDES)?;
    Ok(())
}

impl State {
    /// Remembers what a head beside the highest one of its device leads to.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn keep_side(
        &self,
        (device, head): (&DeviceId, &HeadHash),
        commit: CommitRow,
        claimed: &BTreeSet<ShardRoot>,
    ) -> Result<(), StateError> {
        let claimed = claimed.iter().flat_map(|root| *root.as_bytes()).collect();
        let row = cbor::encode(&SideRow { commit, claimed });
        self.write(|tx| {
            let mut table = tx.open_table(SIDES)?;
            table.insert((device.as_bytes(), head.as_bytes()), row.as_slice())?;
            Ok(())
        })
    }

    /// Whether it is known what a head leads to that is not the highest of its device.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn has_side(&self, device: &DeviceId, head: &HeadHash) -> Result<bool, StateError> {
        self.read(|tx| {
            Ok(tx.open_table(SIDES)?.get((device.as_bytes(), head.as_bytes()))?.is_some())
        })
    }

    /// Puts what is known of a forked device where it belongs now, so that nothing has to be fetched again: the commit
    /// that was the newest so far becomes a side when its head is one, and a side the newest when its head is that.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn seat_sides(
        &self,
        device: &DeviceId,
        highest: &HeadHash,
        sides: &BTreeSet<HeadHash>,
    ) -> Result<(), StateError> {
        let newest = self.commit_of(device)?;
        let head_of = |row: &CommitRow| SignedHead::decode(&row.head).map(|head| head.hash());
        let newest = newest.and_then(|row| head_of(&row).ok().map(|head| (head, row)));
        let moves = newest.filter(|(head, _)| head != highest && sides.contains(head));
        let seated = self.side(device, highest)?;
        if moves.is_none() && seated.is_none() {
            return Ok(());
        }
        self.write(|tx| {
            let mut table = tx.open_table(SIDES)?;
            if let Some((head, commit)) = &moves {
                let claimed = claims::bytes_of(tx, device)?;
                let row = cbor::encode(&SideRow { commit: commit.clone(), claimed });
                table.insert((device.as_bytes(), head.as_bytes()), row.as_slice())?;
            }
            if let Some(SideRow { commit, claimed }) = &seated {
                commits::keep(tx, device, commit)?;
                claims::keep(tx, device, claimed)?;
                table.remove((device.as_bytes(), highest.as_bytes()))?;
            }
            Ok(())
        })
    }

    fn side(&self, device: &DeviceId, head: &HeadHash) -> Result<Option<SideRow>, StateError> {
        let bytes = self.read(|tx| {
            let table = tx.open_table(SIDES)?;
            let row = table.get((device.as_bytes(), head.as_bytes()))?;
            Ok(row.map(|bytes| bytes.value().to_vec()))
        })?;
        bytes.map(|bytes| record("sides", &bytes)).transpose()
    }

    /// Forgets the sides that `stays` does not want, by device and head: others go on from them, or they count no more.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn retain_sides(
        &self,
        stays: impl Fn(&DeviceId, &HeadHash) -> bool,
    ) -> Result<(), StateError> {
        if self.sides()?.iter().all(|side| stays(&side.device, &side.head)) {
            return Ok(());
        }
        self.write(|tx| {
            tx.open_table(SIDES)?.retain(|(device, head), _| {
                stays(&DeviceId::from_bytes(*device), &HeadHash::from_bytes(*head))
            })?;
            Ok(())
        })
    }

    /// Every side that is known.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn sides(&self) -> Result<Vec<Side>, StateError> {
        let rows = self.read(|tx| {
            let mut rows = Vec::new();
            for row in tx.open_table(SIDES)?.iter()? {
                let (key, bytes) = row?;
                let (device, head) = key.value();
                let key = (DeviceId::from_bytes(*device), HeadHash::from_bytes(*head));
                rows.push((key, bytes.value().to_vec()));
            }
            Ok(rows)
        })?;
        let decoded = rows.into_iter().map(|((device, head), bytes)| {
            let SideRow { commit, claimed } = record("sides", &bytes)?;
            let (all, _) = claimed.as_chunks::<32>();
            let claimed = all.iter().map(|root| ShardRoot::from_bytes(*root)).collect();
            Ok(Side { device, head, commit, claimed })
        });
        decoded.collect()
    }
}

/// What is known of one side of a forked device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Side {
    /// The device.
    pub device: DeviceId,
    /// Hash of the head.
    pub head: HeadHash,
    /// What it leads to.
    pub commit: CommitRow,
    /// Packs that this needs.
    pub claimed: BTreeSet<ShardRoot>,
}
