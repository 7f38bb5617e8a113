//! Holding: what this device keeps for vaults, its own and others of the circle.
//!
//! Decides who may store and read, within grants, the total offer and the free disk; and when a
//! receipt may go out. It knows no key and reads no byte. What it deletes is what its user wants
//! gone, and what no device of a vault has claimed for a long time: see `unclaimed`.
//!
//! One upload, from request to receipt:
//! ```text
//!  PutAsked ──> Go ──> BytesDurable ──> WriteRow ──> RowDurable ──> Acknowledge
//!     │                    (file and its directory      (row durable:
//!     ├─> Acknowledge       synced, root checked)        shell signs the receipt and sends it)
//!     │   (kept already)
//!     └─> Refuse           PutFailed / RowFailed ──> Refuse, reservation released
//! ```
//! **An acknowledgement exists only as the answer to `RowDurable`**, or of a row that was durable
//! before. There is no other path to [`Output::Acknowledge`] (HOLD-1).
//!
//! Who calls is decided in one place at the boundary: the shell looks the authenticated key of the
//! connection up in the device logs of the vaults it knows, and says so as a [`Caller`].
//!
//! Drive it so: [`Holding::handle_input`], then [`Holding::poll_output`] until `None`. There are no
//! timers: the shell's own read timeout ends a stalled upload with `PutFailed`.
//!
//! Invariants: bytes kept and reserved for a vault never pass its grant as it was at the
//! reservation, and never pass the offer or the free disk (HOLD-3); at most [`PUTS_TOTAL_MAX`]
//! uploads at once, [`PUTS_PER_CALLER_MAX`] for each caller (HOLD-6). Source: specs/holding.md.

use std::collections::{BTreeMap, VecDeque};

use crate::{
    ids::{DeviceId, ShardRoot, VaultId},
    index::{PackClass, ShardRef},
    limits::{PUTS_PER_CALLER_MAX, PUTS_TOTAL_MAX, RETENTION_DAYS_MIN},
    order::OrderId,
    time::Timestamp,
    wire::message::{ClaimsPart, OfferedShard, Refusal, Standing},
};

mod caller;
mod listing;
mod room;
mod unclaimed;
mod uploads;

pub use caller::{Action, Caller, ReadVerdict, ShowVerdict};
pub use room::{Room, Terms, granted};
pub use unclaimed::Circumstances;

use unclaimed::Unclaimed;
use uploads::Put;

/// What the shell keeps durably for each shard of each vault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// For whom.
    pub vault: VaultId,
    /// Name and length.
    pub shard: ShardRef,
    /// By which rules the vault placed it.
    pub class: PackClass,
    /// When its bytes became durable.
    pub stored: Timestamp,
    /// Not deleted before, except by the user of this device.
    pub keep_until: Timestamp,
    /// Since when no device of the vault claims it; `None` while one may.
    pub unclaimed: Option<Timestamp>,
    /// The bytes were found missing or damaged since: to be had again, not to be served.
    pub lost: bool,
}

/// How an upload failed before its bytes were durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PutFailure {
    /// The caller went away or stopped.
    Aborted,
    /// Root or length are not what was promised.
    WrongBytes,
    /// No space left.
    DiskFull,
    /// Any other error of the disk.
    Disk,
}

/// A fact for the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// A row from the database, at start.
    RowKnown(Row),
    /// The user's terms: total offer and disk reserve.
    TermsChanged(Terms),
    /// Bytes that this device lets a vault keep; 0 takes the grant back. Kept shards stay.
    GrantChanged {
        /// Which vault.
        vault: VaultId,
        /// So many bytes.
        bytes: u64,
    },
    /// Free bytes of the disk as measured just now.
    DiskMeasured {
        /// So many bytes.
        free_bytes: u64,
    },
    /// An offer came in. The message was checked.
    Offered {
        /// Number that the shell gave to the request.
        request: OrderId,
        /// Who asks.
        caller: Caller,
        /// For which vault.
        vault: VaultId,
        /// Which shards.
        shards: Vec<OfferedShard>,
    },
    /// A put came in. The message was checked.
    PutAsked {
        /// Number that the shell gave to the request.
        request: OrderId,
        /// Who asks.
        caller: Caller,
        /// For which vault.
        vault: VaultId,
        /// Which shard.
        shard: ShardRef,
        /// By which rules it is placed.
        class: PackClass,
    },
    /// After [`Output::Go`]: all bytes came, root and length are right, file and directory are
    /// synced.
    BytesDurable {
        /// Which put.
        request: OrderId,
        /// The wall clock.
        wall: Timestamp,
    },
    /// After [`Output::Go`]: the upload failed; what was written is or will be removed.
    PutFailed {
        /// Which put.
        request: OrderId,
        /// How.
        failure: PutFailure,
    },
    /// Answer to [`Output::WriteRow`]: durable.
    RowDurable {
        /// Which put.
        request: OrderId,
    },
    /// Answer to [`Output::WriteRow`]: it could not be written.
    RowFailed {
        /// Which put.
        request: OrderId,
    },
    /// The bytes of a kept shard are missing or damaged.
    BytesLost {
        /// Which.
        root: ShardRoot,
    },
    /// Answer to [`Output::Revive`]: durable, or not.
    Revived {
        /// Which offer.
        request: OrderId,
        /// Whether it is durable.
        is_durable: bool,
    },
    /// A device tells, in parts, which packs its newest head needs. The message was checked.
    ClaimsTold {
        /// Number that the shell gave to the request.
        request: OrderId,
        /// Who tells.
        caller: Caller,
        /// Of which vault.
        vault: VaultId,
        /// A part of the list.
        part: ClaimsPart,
        /// What is known here of vault and device.
        now: Circumstances,
    },
    /// A shard is being read by somebody who may.
    Served {
        /// For which vault it is kept.
        vault: VaultId,
        /// Which.
        root: ShardRoot,
    },
    /// The user of this device wants these bytes gone.
    DeleteAsked {
        /// For which vault it was kept.
        vault: VaultId,
        /// Which.
        root: ShardRoot,
    },
    /// Answer to [`Output::EraseRow`]: the row is durably gone.
    RowErased {
        /// For which vault it was kept.
        vault: VaultId,
        /// Which.
        root: ShardRoot,
    },
    /// Answer to [`Output::EraseRow`]: it could not be erased; it stays for now.
    EraseFailed {
        /// For which vault it is kept.
        vault: VaultId,
        /// Which.
        root: ShardRoot,
    },
}

/// A holder's answer for one offered shard; the shell adds the receipt to `Kept` from the row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeldVerdict {
    /// Not here; there is room.
    Wanted,
    /// Here and durable, as this row says.
    Kept(Row),
    /// Not here and not taken.
    Refused(Refusal),
}

/// An order to the shell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Answer an offer.
    AnswerOffer {
        /// Which.
        request: OrderId,
        /// One for each shard, in order.
        verdicts: Vec<HeldVerdict>,
    },
    /// Room is reserved: send `Go`, receive, write to a temporary file, check root and length,
    /// sync, rename, sync the directory; then answer `BytesDurable` or `PutFailed`.
    Go {
        /// Which put.
        request: OrderId,
        /// What.
        shard: ShardRef,
    },
    /// Refuse a request; close its stream.
    Refuse {
        /// Which.
        request: OrderId,
        /// Why.
        reason: Refusal,
    },
    /// Write this row durably, then answer `RowDurable`.
    WriteRow {
        /// Which put.
        request: OrderId,
        /// The row.
        row: Row,
    },
    /// Everything is durable: sign the receipt of this row and send `Stored`.
    Acknowledge {
        /// Which put.
        request: OrderId,
        /// The row.
        row: Row,
    },
    /// A device has told the whole list that its newest head signs for: to be kept with that head, so that
    /// it can be shown to fellows.
    KeepClaimed {
        /// Of which vault.
        vault: VaultId,
        /// Which device.
        device: DeviceId,
        /// The list, ascending.
        roots: Vec<ShardRoot>,
    },
    /// Note durably in the row that its bytes are lost. No answer: until it is written a restart
    /// finds out again.
    MarkLost {
        /// For which vault it was kept.
        vault: VaultId,
        /// Which.
        root: ShardRoot,
    },
    /// The claims were taken.
    AnswerClaims {
        /// Which request.
        request: OrderId,
    },
    /// Write these rows durably, then answer `Revived`: what was unclaimed is promised again.
    Revive {
        /// Which offer waits for it.
        request: OrderId,
        /// As they are to be.
        rows: Vec<Row>,
    },
    /// Write these rows. No answer: should it be lost, they are only kept for longer.
    NoteRows {
        /// As they are to be.
        rows: Vec<Row>,
    },
    /// Somebody reads what nobody claims: a device may have forgotten what it needs. For people.
    UnclaimedServed {
        /// For which vault it is kept.
        vault: VaultId,
        /// Which.
        root: ShardRoot,
    },
    /// Erase a row durably, then answer `RowErased`, or `EraseFailed`.
    EraseRow {
        /// For which vault it was kept.
        vault: VaultId,
        /// Which.
        root: ShardRoot,
    },
    /// No row names this file any more: delete it.
    DropFile {
        /// Which.
        root: ShardRoot,
    },
}

/// A shard of one vault as the machine knows it.
#[derive(Debug, Clone)]
enum Keeping {
    /// Row durable.
    Kept(Row),
    /// Being erased.
    Erasing(Row),
}

/// The machine. Memory: about 200 bytes for each shard kept, and as much again for those of which
/// some devices have said that they do not claim them. Outputs: at most three per input, one more for
/// each vault that keeps a lost shard, and one for each shard that is let go.
#[derive(Debug, Clone, Default)]
pub struct Holding {
    room: Room,
    /// By root first: one file may be kept for several vaults.
    kept: BTreeMap<(ShardRoot, VaultId), Keeping>,
    puts: BTreeMap<OrderId, Put>,
    unclaimed: Unclaimed,
    outputs: VecDeque<Output>,
}

impl Holding {
    /// A machine that keeps nothing and grants nothing. At start the shell gives `TermsChanged`,
    /// `GrantChanged` for every vault, `RowKnown` for every row, `DiskMeasured`.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes one input; late and repeated answers do no harm.
    pub fn handle_input(&mut self, input: Input) {
        match input {
            Input::RowKnown(row) => self.row_known(row),
            Input::TermsChanged(terms) => self.room.terms = terms,
            Input::GrantChanged { vault, bytes } => self.room.account(vault).granted_bytes = bytes,
            Input::DiskMeasured { free_bytes } => self.room.disk_free_bytes = free_bytes,
            Input::Offered { request, caller, vault, shards } => {
                self.offered(request, caller, vault, &shards);
            }
            Input::PutAsked { request, caller, vault, shard, class } => {
                self.put_asked(request, Put::new(caller, vault, shard, class));
            }
            Input::BytesDurable { request, wall } => self.bytes_durable(request, wall),
            Input::PutFailed { request, failure } => self.put_failed(request, failure),
            Input::RowDurable { request } => self.row_durable(request),
            Input::RowFailed { request } => self.row_failed(request),
            Input::BytesLost { root } => self.bytes_lost(root),
            Input::Revived { request, is_durable } => self.revived(request, is_durable),
            Input::ClaimsTold { request, caller, vault, part, now } => {
                let heard = self.listen(caller, vault, part, &now);
                self.answer_claims(request, heard);
            }
            Input::Served { vault, root } => self.served(vault, root),
            Input::DeleteAsked { vault, root } => self.delete_asked(vault, root),
            Input::RowErased { vault, root } => self.row_erased(vault, root),
            Input::EraseFailed { vault, root } => self.erase_failed(vault, root),
        }
    }

    /// The next order; `None` when there is none for now.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Uploads under way.
    pub fn puts_pending(&self) -> usize {
        self.puts.len()
    }

    /// What a vault is told of its place here.
    pub fn standing(&self, vault: VaultId) -> Standing {
        let account = self.room.accounts.get(&vault).copied().unwrap_or_default();
        Standing {
            vault,
            granted_bytes: account.granted_bytes,
            used_bytes: account.used_bytes.saturating_add(account.reserved_bytes),
            free_bytes: self.room.free_bytes(vault),
            unclaimed_bytes: self.unclaimed_of(vault).1,
            // No matters of shards: whoever knows fills them in.
            guarding: None,
            introduced: 0,
            leaving: 0,
        }
    }

    /// Whether a caller may read a shard. A pure question, asked for every read.
    pub fn may_read(&self, caller: &Caller, root: ShardRoot) -> ReadVerdict {
        let Some(vault) = caller.vault() else { return ReadVerdict::Forbidden };
        let is_fellow = matches!(caller, Caller::Fellow { .. });
        match self.kept.get(&(root, vault)) {
            // What goes soon is not worth another copy: only devices of the vault bring it back.
            Some(Keeping::Kept(row)) if is_fellow && row.unclaimed.is_some() => ReadVerdict::Absent,
            Some(Keeping::Kept(row)) if !row.lost => ReadVerdict::Allowed(row.shard),
            Some(Keeping::Kept(_) | Keeping::Erasing(_)) | None => ReadVerdict::Absent,
        }
    }

    /// What a challenge about a shard comes to. A pure question; who asks was let in before, as one
    /// who may read.
    pub fn may_show(&self, vault: VaultId, shard: ShardRef) -> ShowVerdict {
        match self.kept.get(&(shard.root, vault)) {
            Some(Keeping::Kept(row)) if row.shard != shard => ShowVerdict::Absent,
            Some(Keeping::Kept(row)) if row.lost => ShowVerdict::Damaged,
            Some(Keeping::Kept(_)) => ShowVerdict::Look,
            Some(Keeping::Erasing(_)) | None => ShowVerdict::Absent,
        }
    }

    /// Bytes and shards kept for a vault, for people.
    pub fn kept_for(&self, vault: VaultId) -> (u64, u64) {
        let account = self.room.accounts.get(&vault).copied().unwrap_or_default();
        (account.used_shards, account.used_bytes)
    }

    fn row_known(&mut self, row: Row) {
        let key = (row.shard.root, row.vault);
        if !self.kept.contains_key(&key) {
            if !row.lost {
                self.room.add_used(row.vault, row.shard.bytes);
            }
            self.kept.insert(key, Keeping::Kept(row));
        }
    }

    fn offered(
        &mut self,
        request: OrderId,
        caller: Caller,
        vault: VaultId,
        shards: &[OfferedShard],
    ) {
        if let Err(reason) = caller.permit(Action::Store, vault) {
            return self.outputs.push_back(Output::Refuse { request, reason });
        }
        // A trial: every shard said to be wanted makes the room smaller for those after it.
        let mut room = self.room.clone();
        let verdicts = shards
            .iter()
            .map(|offered| match self.kept.get(&(offered.shard.root, vault)) {
                Some(Keeping::Kept(row)) if row.shard != offered.shard => {
                    HeldVerdict::Refused(Refusal::Malformed)
                }
                Some(Keeping::Kept(row)) if !row.lost => HeldVerdict::Kept(*row),
                Some(Keeping::Erasing(_)) => HeldVerdict::Refused(Refusal::Busy),
                Some(Keeping::Kept(_)) | None => match room.reserve(vault, offered.shard.bytes) {
                    Ok(()) => HeldVerdict::Wanted,
                    Err(reason) => HeldVerdict::Refused(reason),
                },
            })
            .collect();
        self.answer_offer(request, vault, verdicts);
    }

    fn bytes_lost(&mut self, root: ShardRoot) {
        let first = (root, VaultId::from_bytes([0; 32]));
        let last = (root, VaultId::from_bytes([0xff; 32]));
        for ((root, vault), keeping) in self.kept.range_mut(first..=last) {
            if let Keeping::Kept(row) = keeping
                && !row.lost
            {
                row.lost = true;
                self.room.take_used(*vault, row.shard.bytes);
                self.outputs.push_back(Output::MarkLost { vault: *vault, root: *root });
            }
        }
    }

    fn delete_asked(&mut self, vault: VaultId, root: ShardRoot) {
        // Whoever is sending it wants it, and its row is about to be written.
        if self.puts.values().any(|put| put.vault == vault && put.shard.root == root) {
            return;
        }
        if let Some(keeping) = self.kept.get_mut(&(root, vault))
            && let Keeping::Kept(row) = keeping
        {
            *keeping = Keeping::Erasing(*row);
            self.outputs.push_back(Output::EraseRow { vault, root });
        }
    }

    fn row_erased(&mut self, vault: VaultId, root: ShardRoot) {
        let Some(Keeping::Erasing(row)) = self.kept.get(&(root, vault)) else { return };
        if !row.lost {
            self.room.take_used(vault, row.shard.bytes);
        }
        self.kept.remove(&(root, vault));
        self.forget_tally(vault, root);
        self.drop_file_if_unnamed(root);
    }

    fn erase_failed(&mut self, vault: VaultId, root: ShardRoot) {
        if let Some(keeping) = self.kept.get_mut(&(root, vault))
            && let Keeping::Erasing(row) = keeping
        {
            *keeping = Keeping::Kept(*row);
        }
    }

    /// A file goes only when no row names it and no upload of the same bytes is about to.
    fn drop_file_if_unnamed(&mut self, root: ShardRoot) {
        let first = (root, VaultId::from_bytes([0; 32]));
        let last = (root, VaultId::from_bytes([0xff; 32]));
        let kept = self.kept.range(first..=last).next().is_some();
        if !kept && !self.puts.values().any(|put| put.shard.root == root) {
            self.outputs.push_back(Output::DropFile { root });
        }
    }
}

#[cfg(test)]
mod tests;
