//! Room: grants, the total offer, the free disk, and what of them is used or reserved.

use std::collections::BTreeMap;

use crate::{ids::VaultId, wire::message::Refusal};

/// What the user of this device set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Terms {
    /// Bytes for all vaults together (`larder offer`).
    pub offer_bytes: u64,
    /// Bytes of the disk that stay free for its user.
    pub disk_reserve_bytes: u64,
    /// Days that what no device claims is kept for; less than
    /// [`RETENTION_DAYS_MIN`](crate::limits::RETENTION_DAYS_MIN) counts as that.
    pub retention_days: u64,
}

/// Bytes that a vault may keep: what it is allowed, `None` for as much as is offered to all together, and never
/// more than that.
pub fn granted(allowed: Option<u64>, offered: u64) -> u64 {
    allowed.map_or(offered, |allowed| allowed.min(offered))
}

/// One vault's account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Account {
    pub(super) granted_bytes: u64,
    pub(super) used_bytes: u64,
    pub(super) used_shards: u64,
    pub(super) reserved_bytes: u64,
}

impl Account {
    const fn taken_bytes(&self) -> u64 {
        self.used_bytes.saturating_add(self.reserved_bytes)
    }
}

/// All accounts and what bounds their sum.
#[derive(Debug, Clone, Default)]
pub struct Room {
    pub(super) terms: Terms,
    /// Free bytes of the disk, less what was stored since it was measured.
    pub(super) disk_free_bytes: u64,
    pub(super) accounts: BTreeMap<VaultId, Account>,
    used_bytes: u64,
    reserved_bytes: u64,
}

impl Room {
    pub(super) fn account(&mut self, vault: VaultId) -> &mut Account {
        self.accounts.entry(vault).or_default()
    }

    /// Bytes that could be taken for a vault now.
    pub(super) fn free_bytes(&self, vault: VaultId) -> u64 {
        self.grant_left(vault).min(self.shared_left())
    }

    fn grant_left(&self, vault: VaultId) -> u64 {
        self.accounts
            .get(&vault)
            .map_or(0, |account| account.granted_bytes.saturating_sub(account.taken_bytes()))
    }

    /// What offer and disk leave. Bytes of a running upload that are on disk already are counted
    /// twice until it ends: on the safe side.
    fn shared_left(&self) -> u64 {
        let taken = self.used_bytes.saturating_add(self.reserved_bytes);
        let offer = self.terms.offer_bytes.saturating_sub(taken);
        let disk = self
            .disk_free_bytes
            .saturating_sub(self.terms.disk_reserve_bytes)
            .saturating_sub(self.reserved_bytes);
        offer.min(disk)
    }

    /// Reserves room, or says what is exhausted.
    pub(super) fn reserve(&mut self, vault: VaultId, bytes: u64) -> Result<(), Refusal> {
        if bytes > self.grant_left(vault) {
            return Err(Refusal::Quota);
        }
        if bytes > self.shared_left() {
            return Err(Refusal::Full);
        }
        self.account(vault).reserved_bytes += bytes;
        self.reserved_bytes += bytes;
        Ok(())
    }

    pub(super) fn release(&mut self, vault: VaultId, bytes: u64) {
        let account = self.account(vault);
        account.reserved_bytes = account.reserved_bytes.saturating_sub(bytes);
        self.reserved_bytes = self.reserved_bytes.saturating_sub(bytes);
    }

    pub(super) fn add_used(&mut self, vault: VaultId, bytes: u64) {
        let account = self.account(vault);
        account.used_bytes = account.used_bytes.saturating_add(bytes);
        account.used_shards = account.used_shards.saturating_add(1);
        self.used_bytes = self.used_bytes.saturating_add(bytes);
    }

    pub(super) fn take_used(&mut self, vault: VaultId, bytes: u64) {
        let account = self.account(vault);
        account.used_bytes = account.used_bytes.saturating_sub(bytes);
        account.used_shards = account.used_shards.saturating_sub(1);
        self.used_bytes = self.used_bytes.saturating_sub(bytes);
    }

    /// A reservation became a kept shard.
    pub(super) fn settle(&mut self, vault: VaultId, bytes: u64) {
        self.release(vault, bytes);
        self.add_used(vault, bytes);
        self.disk_free_bytes = self.disk_free_bytes.saturating_sub(bytes);
    }
}
