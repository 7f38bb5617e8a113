//! What has been committed: the newest manifest of every device of the vault, and the number of
//! the own head.
//!
//! The own head's number is raised here, durably, before the head leaves this device: two heads
//! with one number are proof of a clone, so a number is never used twice.

use std::collections::{BTreeMap, BTreeSet};

use larder_protocol::{
    ids::{ChunkId, DeviceId, ShardRoot},
    index::ShardRef,
    time::Timestamp,
};
use minicbor::{Decode, Encode};
use redb::{ReadableTable, TableDefinition, WriteTransaction};

use super::{META, State, StateError, claims, index, record, rekey};

/// Note in `meta`.
const PUBLISHED_SEQ: &str = "published seq";
/// Its newest head that may have left this device.
const SHOWN_SEQ: &str = "shown seq";

const MANIFESTS: TableDefinition<'_, &[u8; 32], &[u8]> = TableDefinition::new("manifests");

/// The newest manifest of a device, with the head and commit pack it came by.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct CommitRow {
    /// Number of the head.
    #[n(0)]
    pub seq: u64,
    /// The commit pack.
    #[n(1)]
    pub pack: ShardRef,
    /// Encoded manifest.
    #[cbor(n(2), with = "minicbor::bytes")]
    pub manifest: Vec<u8>,
    /// Encoded signed head.
    #[cbor(n(3), with = "minicbor::bytes")]
    pub head: Vec<u8>,
}

/// What an own commit changes for packs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ClaimChange {
    /// Its segments list these beside those that were listed before.
    pub listed: BTreeSet<ShardRoot>,
    /// It does not need these any more, because they are lost.
    pub given_up: BTreeSet<ShardRoot>,
    /// It claims these no more.
    pub dropped: BTreeSet<ShardRoot>,
    /// What becomes of what removed devices have left.
    pub left: rekey::LeftChange,
}

/// Own heads that are not yet published, by number.
const OWN_HEADS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("own_heads");

/// Highest own head that each holder has taken.
const HEADS_HELD: TableDefinition<'_, &[u8; 32], u64> = TableDefinition::new("heads_held");

/// When each own snapshot was found to be safe, in seconds since 1970.
const SAFE_SINCE: TableDefinition<'_, &[u8; 32], u64> = TableDefinition::new("safe_since");

/// Own heads that are kept for pushing: more than can ever wait.
const OWN_HEADS_MAX: u64 = 64;

pub(super) fn create(tx: &WriteTransaction) -> Result<(), redb::Error> {
    tx.open_table(MANIFESTS)?;
    tx.open_table(OWN_HEADS)?;
    tx.open_table(HEADS_HELD)?;
    tx.open_table(SAFE_SINCE)?;
    tx.open_table(META)?;
    Ok(())
}

pub(super) fn forget_held(tx: &WriteTransaction, holder: &DeviceId) -> Result<(), redb::Error> {
    tx.open_table(HEADS_HELD)?.remove(holder.as_bytes())?;
    Ok(())
}

pub(super) fn keep(
    tx: &WriteTransaction,
    device: &DeviceId,
    row: &CommitRow,
) -> Result<(), redb::Error> {
    let mut table = tx.open_table(MANIFESTS)?;
    table.insert(device.as_bytes(), larder_protocol::cbor::encode(row).as_slice())?;
    Ok(())
}

impl State {
    /// Remembers the newest commit of a device.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn keep_commit(&self, device: &DeviceId, row: &CommitRow) -> Result<(), StateError> {
        self.write(|tx| keep(tx, device, row))
    }

    /// Remembers this device's own newest commit and what it changes for packs; its head stays
    /// available for pushing. All or nothing of it is kept.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn keep_own_commit(
        &self,
        device: &DeviceId,
        row: &CommitRow,
        change: &ClaimChange,
    ) -> Result<(), StateError> {
        self.write(|tx| {
            index::mark_listed(tx, &change.listed)?;
            index::mark_given_up(tx, &change.given_up)?;
            index::mark_dropped(tx, &change.dropped, row.seq)?;
            rekey::mark_left(tx, &change.left)?;
            let mut table = tx.open_table(MANIFESTS)?;
            table.insert(device.as_bytes(), larder_protocol::cbor::encode(row).as_slice())?;
            let mut heads = tx.open_table(OWN_HEADS)?;
            heads.insert(row.seq, row.head.as_slice())?;
            heads.retain(|seq, _| seq.saturating_add(OWN_HEADS_MAX) > row.seq)?;
            Ok(())
        })?;
        self.rely_no_more_on(&change.dropped)
    }

    /// An own head by its number, if it is kept still.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn own_head(&self, seq: u64) -> Result<Option<Vec<u8>>, StateError> {
        self.read(|tx| {
            let table = tx.open_table(OWN_HEADS)?;
            Ok(table.get(seq)?.map(|head| head.value().to_vec()))
        })
    }

    /// A holder has taken an own head.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn keep_head_held(&self, holder: &DeviceId, seq: u64) -> Result<(), StateError> {
        self.write(|tx| {
            let mut held = tx.open_table(HEADS_HELD)?;
            let before = held.get(holder.as_bytes())?.map(|before| before.value());
            // Word of an older one may come later.
            if before.is_none_or(|before| before < seq) {
                held.insert(holder.as_bytes(), seq)?;
            }
            Ok(())
        })
    }

    /// Which own head each holder has.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn heads_held(&self) -> Result<Vec<(DeviceId, u64)>, StateError> {
        self.read(|tx| {
            let mut all = Vec::new();
            for row in tx.open_table(HEADS_HELD)?.iter()? {
                let (holder, seq) = row?;
                all.push((DeviceId::from_bytes(*holder.value()), seq.value()));
            }
            Ok(all)
        })
    }

    /// The newest known commit of a device.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn commit_of(&self, device: &DeviceId) -> Result<Option<CommitRow>, StateError> {
        let bytes = self.read(|tx| {
            let table = tx.open_table(MANIFESTS)?;
            Ok(table.get(device.as_bytes())?.map(|bytes| bytes.value().to_vec()))
        })?;
        bytes.map(|bytes| record("manifests", &bytes)).transpose()
    }

    /// Forgets what is known of another device's commits: its newest one does not count any more.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn forget_commit(&self, device: &DeviceId) -> Result<(), StateError> {
        self.write(|tx| {
            tx.open_table(MANIFESTS)?.remove(device.as_bytes())?;
            claims::forget(tx, device)
        })
    }

    /// The newest known commits of all devices of the vault.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn commits(&self) -> Result<Vec<(DeviceId, CommitRow)>, StateError> {
        let rows = self.read(|tx| {
            let mut rows = Vec::new();
            for row in tx.open_table(MANIFESTS)?.iter()? {
                let (device, bytes) = row?;
                rows.push((DeviceId::from_bytes(*device.value()), bytes.value().to_vec()));
            }
            Ok(rows)
        })?;
        rows.into_iter().map(|(device, bytes)| Ok((device, record("manifests", &bytes)?))).collect()
    }

    /// Number of the newest own head that was published: on as many sites as the policy asks.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn published_seq(&self) -> Result<u64, StateError> {
        self.seq_note(PUBLISHED_SEQ)
    }

    fn seq_note(&self, name: &'static str) -> Result<u64, StateError> {
        let bytes = self.note(name)?;
        match bytes.map(|bytes| <[u8; 8]>::try_from(bytes.as_slice())) {
            None => Ok(0),
            Some(Ok(bytes)) => Ok(u64::from_le_bytes(bytes)),
            Some(Err(_)) => Err(StateError::Damaged { table: "meta" }),
        }
    }

    /// Number of the newest own head that others may see: it was published, or has left this device.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn shown_seq(&self) -> Result<u64, StateError> {
        Ok(self.seq_note(SHOWN_SEQ)?.max(self.published_seq()?))
    }

    /// Raises [`Self::shown_seq`]; a lower number changes nothing.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn raise_shown_seq(&self, seq: u64) -> Result<(), StateError> {
        if seq > self.shown_seq()? { self.keep_note(SHOWN_SEQ, &seq.to_le_bytes()) } else { Ok(()) }
    }

    /// Raises [`Self::published_seq`]; a lower number changes nothing.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn raise_published_seq(&self, seq: u64) -> Result<(), StateError> {
        if seq > self.published_seq()? {
            self.keep_note(PUBLISHED_SEQ, &seq.to_le_bytes())
        } else {
            Ok(())
        }
    }

    /// Remembers that these own snapshots are safe now, where it was not known before, and forgets all
    /// others.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn note_safe(&self, safe: &BTreeSet<ChunkId>, now: Timestamp) -> Result<(), StateError> {
        self.write(|tx| {
            let mut table = tx.open_table(SAFE_SINCE)?;
            table.retain(|id, _| safe.contains(&ChunkId::from_bytes(*id)))?;
            for id in safe {
                if table.get(id.as_bytes())?.is_none() {
                    table.insert(id.as_bytes(), now.0)?;
                }
            }
            Ok(())
        })
    }

    /// Since when each own snapshot that is safe has been.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn safe_since(&self) -> Result<BTreeMap<ChunkId, Timestamp>, StateError> {
        self.read(|tx| {
            let mut all = BTreeMap::new();
            for row in tx.open_table(SAFE_SINCE)?.iter()? {
                let (id, since) = row?;
                all.insert(ChunkId::from_bytes(*id.value()), Timestamp(since.value()));
            }
            Ok(all)
        })
    }

    /// A small value by name.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn note(&self, name: &str) -> Result<Option<Vec<u8>>, StateError> {
        self.read(|tx| Ok(tx.open_table(META)?.get(name)?.map(|value| value.value().to_vec())))
    }

    /// Keeps a small value by name.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn keep_note(&self, name: &str, value: &[u8]) -> Result<(), StateError> {
        self.write(|tx| {
            tx.open_table(META)?.insert(name, value)?;
            Ok(())
        })
    }

    /// Forgets a small value.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn drop_note(&self, name: &str) -> Result<(), StateError> {
        self.write(|tx| {
            tx.open_table(META)?.remove(name)?;
            Ok(())
        })
    }
}
