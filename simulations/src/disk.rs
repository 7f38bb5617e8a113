//! The disk of one device: what is durable, and what was written and not synced.
//!
//! ```text
//! begin(write) ──> pending ──commit──> image          a crash applies some of what is pending,
//!                     └──crash──> image, or nothing   in any combination, and forgets the rest
//! ```

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use larder_protocol::{
    fetching::Ranges,
    head::{
        HeadBook, Offered, SignedHead, VerifiedHead,
        past::{Superseded, worth_keeping},
    },
    holding::Row,
    ids::{DeviceId, HeadHash, ShardRoot},
    index::{PackClass, ShardRef},
    limits::GROUP_BYTES,
    tending::{claimed::ClaimedList, introduction::Introductions},
    time::Timestamp,
    watching::History,
};

use crate::dice::Dice;

/// A shard's bytes. What is in them follows from the root; only what is wrong is written down.
#[derive(Debug, Clone, Default)]
pub(crate) struct File {
    pub(crate) bytes: u64,
    /// Groups whose bytes are not what the root says.
    pub(crate) rotten: BTreeSet<u64>,
}

impl File {
    pub(crate) const fn sound(bytes: u64) -> Self {
        Self { bytes, rotten: BTreeSet::new() }
    }

    pub(crate) fn is_sound(&self) -> bool {
        self.rotten.is_empty()
    }
}

/// A source's row of one of its packs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PackRow {
    pub(crate) shard: ShardRef,
    pub(crate) class: PackClass,
    pub(crate) here: bool,
    pub(crate) promised_sites: u8,
    /// The own head that needs it no more; 0 while it is needed.
    pub(crate) dropped: u64,
}

/// Everything durable.
#[derive(Debug, Clone, Default)]
pub(crate) struct Image {
    /// Own and held shards.
    pub(crate) files: BTreeMap<ShardRoot, File>,
    /// What is held, by root and vault.
    pub(crate) rows: BTreeMap<(ShardRoot, usize), Row>,
    /// Own packs.
    pub(crate) packs: BTreeMap<ShardRoot, PackRow>,
    /// Holders whose receipts are here.
    pub(crate) receipts: BTreeMap<ShardRoot, BTreeSet<usize>>,
    pub(crate) own_heads: BTreeMap<u64, SignedHead>,
    /// Packs that each own head needs.
    pub(crate) needs: BTreeMap<u64, Vec<ShardRoot>>,
    /// Holders and the newest own head that each is known to have.
    pub(crate) held: BTreeMap<usize, u64>,
    pub(crate) published: u64,
    /// What is remembered of the comings and goings of each holder.
    pub(crate) histories: BTreeMap<usize, Box<History>>,
    /// Heads kept, by vault.
    pub(crate) books: BTreeMap<usize, HeadBook>,
    /// When each of them arrived, by the clock of this device.
    pub(crate) arrived: BTreeMap<HeadHash, Timestamp>,
    /// Heads that others have superseded, by their device and number, and when they arrived: those that are
    /// worth keeping.
    pub(crate) past: BTreeMap<DeviceId, BTreeMap<u64, (Timestamp, SignedHead)>>,
    /// Who holds for a vault, as its devices say; checked when they came.
    pub(crate) introductions: BTreeMap<usize, Introductions>,
    /// What a vault needs, by the device that told it; checked when it came.
    pub(crate) claimed: BTreeMap<usize, BTreeMap<DeviceId, Arc<ClaimedList>>>,
    /// For how long no device of a vault was heard of.
    pub(crate) vigils: BTreeMap<usize, Vec<u8>>,
    /// Verified parts of shards that are being restored.
    pub(crate) groups: BTreeMap<ShardRoot, Ranges>,
    /// Parts that were taken without being right.
    pub(crate) wrong_groups: BTreeSet<(ShardRoot, u64)>,
}

/// One change.
#[derive(Debug, Clone)]
pub(crate) enum Write {
    File(ShardRoot, File),
    Row(usize, Row),
    Pack(PackRow),
    Receipt(usize, ShardRoot),
    /// With what it needs, and what it needs no more.
    OwnHead(SignedHead, Vec<ShardRoot>, Vec<ShardRoot>),
    Held(usize, u64),
    /// Of which vault, and when it came.
    Head(usize, VerifiedHead, Timestamp),
    Vigil(usize, Vec<u8>),
}

/// Number of a write that is not durable yet.
pub(crate) type Ticket = u64;

/// The disk.
#[derive(Debug, Clone, Default)]
pub(crate) struct Disk {
    pub(crate) image: Image,
    pending: BTreeMap<Ticket, Write>,
    tickets: Ticket,
    /// Bytes that other programs take.
    pub(crate) noise_bytes: u64,
    file_bytes: u64,
    /// Bytes of sound rows, by vault.
    row_bytes: BTreeMap<usize, u64>,
}

impl Disk {
    pub(crate) fn begin(&mut self, write: Write) -> Ticket {
        self.tickets += 1;
        self.pending.insert(self.tickets, write);
        self.tickets
    }

    /// Makes a write durable.
    pub(crate) fn commit(&mut self, ticket: Ticket) {
        if let Some(write) = self.pending.remove(&ticket) {
            self.apply(write);
        }
    }

    /// Forgets a write that came to nothing.
    pub(crate) fn abandon(&mut self, ticket: Ticket) {
        self.pending.remove(&ticket);
    }

    pub(crate) fn write_now(&mut self, write: Write) {
        self.apply(write);
    }

    fn apply(&mut self, write: Write) {
        match write {
            Write::File(root, file) => {
                self.remove_file(root);
                self.file_bytes += file.bytes;
                self.image.files.insert(root, file);
            }
            Write::Row(vault, row) => {
                self.mark_lost(row.shard.root, vault);
                *self.row_bytes.entry(vault).or_default() += row.shard.bytes;
                self.image.rows.insert((row.shard.root, vault), row);
            }
            Write::Pack(row) => {
                self.image.packs.insert(row.shard.root, row);
            }
            Write::Receipt(holder, root) => {
                self.image.receipts.entry(root).or_default().insert(holder);
            }
            Write::OwnHead(head, needs, dropped) => {
                for root in dropped {
                    if let Some(row) = self.image.packs.get_mut(&root) {
                        row.dropped = head.body().seq;
                    }
                }
                self.image.needs.insert(head.body().seq, needs);
                self.image.own_heads.insert(head.body().seq, head);
                // The shell keeps the newest ones only: nobody pushes an old one.
                while self.image.own_heads.len() > 8 {
                    self.image.own_heads.pop_first();
                    self.image.needs.pop_first();
                }
            }
            Write::Held(holder, seq) => {
                let held = self.image.held.entry(holder).or_default();
                *held = seq.max(*held);
            }
            Write::Vigil(vault, vigil) => {
                self.image.vigils.insert(vault, vigil);
            }
            Write::Head(vault, head, now) => self.keep_head(vault, head, now),
        }
    }

    /// Of what it replaces stays what a node would keep (HEAD-12).
    fn keep_head(&mut self, vault: usize, head: VerifiedHead, now: Timestamp) {
        let (device, hash) = (head.head().body().device, head.head().hash());
        let book = self.image.books.entry(vault).or_default();
        let before = book.highest(&device).cloned();
        self.image.arrived.entry(hash).or_insert(now);
        let (Offered::Taken, Some(before)) = (book.take(head), before) else { return };
        let arrived = self.image.arrived.remove(&before.hash()).unwrap_or(now);
        let past = self.image.past.entry(device).or_default();
        past.insert(before.body().seq, (arrived, before));
        let all = past.iter().map(|(seq, (arrived, head))| Superseded {
            arrived: *arrived,
            seq: *seq,
            head: head.hash(),
        });
        let stay = worth_keeping(all);
        past.retain(|_, (_, head)| stay.contains(&head.hash()));
    }

    pub(crate) fn remove_file(&mut self, root: ShardRoot) {
        if let Some(file) = self.image.files.remove(&root) {
            self.file_bytes -= file.bytes;
        }
    }

    /// Power fails. Returns how many writes were lost.
    pub(crate) fn crash(&mut self, dice: &mut Dice) -> usize {
        let mut lost = 0;
        for write in std::mem::take(&mut self.pending).into_values() {
            if dice.chance(40) {
                self.apply(write);
            } else {
                lost += 1;
            }
        }
        lost
    }

    /// How long a row is kept, and since when nobody claims it.
    pub(crate) fn note_row(&mut self, vault: usize, row: &Row) {
        if let Some(known) = self.image.rows.get_mut(&(row.shard.root, vault)) {
            (known.keep_until, known.unclaimed) = (row.keep_until, row.unclaimed);
        }
    }

    /// A row is durably gone, and its file unless something else names it.
    pub(crate) fn erase_row(&mut self, root: ShardRoot, vault: usize) {
        self.mark_lost(root, vault);
        self.image.rows.remove(&(root, vault));
        self.remove_file_if_unnamed(root);
    }

    /// What a row keeps is known to be gone.
    pub(crate) fn mark_lost(&mut self, root: ShardRoot, vault: usize) {
        if let Some(row) = self.image.rows.get_mut(&(root, vault))
            && !row.lost
        {
            row.lost = true;
            *self.row_bytes.entry(vault).or_default() -= row.shard.bytes;
        }
    }

    /// Bytes kept for a vault.
    pub(crate) fn row_bytes(&self, vault: usize) -> u64 {
        self.row_bytes.get(&vault).copied().unwrap_or(0)
    }

    pub(crate) fn all_row_bytes(&self) -> u64 {
        self.row_bytes.values().sum()
    }

    /// Switched off in order: nothing is left half done.
    pub(crate) fn abandon_all(&mut self) {
        self.pending.clear();
    }

    /// The start: files that no row names are removed.
    pub(crate) fn clean(&mut self) {
        let roots: Vec<ShardRoot> = self.image.files.keys().copied().collect();
        for root in roots {
            self.remove_file_if_unnamed(root);
        }
    }

    pub(crate) fn remove_file_if_unnamed(&mut self, root: ShardRoot) {
        if !self.is_named(root) {
            self.remove_file(root);
        }
    }

    /// Whether its bytes are to be here, as own or for somebody else.
    pub(crate) fn is_named(&self, root: ShardRoot) -> bool {
        let own = self.image.packs.get(&root).is_some_and(|row| row.here);
        own || self.image.rows.range((root, 0)..=(root, usize::MAX)).next().is_some()
    }

    pub(crate) fn replace_image(&mut self, image: Image) {
        self.file_bytes = image.files.values().map(|file| file.bytes).sum();
        self.row_bytes.clear();
        for ((_, vault), row) in image.rows.iter().filter(|(_, row)| !row.lost) {
            *self.row_bytes.entry(*vault).or_default() += row.shard.bytes;
        }
        self.image = image;
        self.pending.clear();
    }

    pub(crate) fn drop_files(&mut self, dice: &mut Dice, percent: u64) -> usize {
        let roots: Vec<ShardRoot> = self.image.files.keys().copied().collect();
        let gone: Vec<ShardRoot> = roots.into_iter().filter(|_| dice.chance(percent)).collect();
        for root in &gone {
            self.remove_file(*root);
        }
        gone.len()
    }

    pub(crate) fn rot(&mut self, dice: &mut Dice, percent: u64) -> usize {
        let mut hit = 0;
        for file in self.image.files.values_mut() {
            if dice.chance(percent) {
                file.rotten.insert(dice.range(0, (file.bytes.max(1) - 1) / GROUP_BYTES));
                hit += 1;
            }
        }
        hit
    }

    /// Free bytes of a disk of this size.
    pub(crate) fn free_bytes(&self, disk_bytes: u64) -> u64 {
        let pending: u64 = self
            .pending
            .values()
            .map(|write| if let Write::File(_, file) = write { file.bytes } else { 0 })
            .sum();
        disk_bytes.saturating_sub(self.file_bytes + pending + self.noise_bytes)
    }

    pub(crate) const fn file_bytes(&self) -> u64 {
        self.file_bytes
    }

    pub(crate) fn pending_writes(&self) -> usize {
        self.pending.len()
    }

    /// Whether this shard is durably kept for this vault, every byte of it.
    pub(crate) fn keeps(&self, root: ShardRoot, vault: usize) -> bool {
        let row = self.image.rows.get(&(root, vault)).is_some_and(|row| !row.lost);
        row && self.image.files.get(&root).is_some_and(File::is_sound)
    }
}
