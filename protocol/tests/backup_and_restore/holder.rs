//! A holder: the real `Holding` machine, and a model of its shell and disk.

use std::collections::BTreeMap;

use larder_protocol::{
    fetching::{ByteRange, StripeFailure},
    holding::{Caller, HeldVerdict, Holding, Input, Output, PutFailure, ReadVerdict, Row, Terms},
    ids::{HeadHash, ShardRoot},
    index::ShardRef,
    limits::{GROUP_BYTES, PUTS_TOTAL_MAX, RETENTION_DAYS_MIN},
    order::OrderId,
    placing::Claim,
    receipt::{Receipt, ReceiptBody},
    recovering::HeadSeen,
    wire::message::Refusal,
};

use crate::{
    dice::Dice,
    source::PIECE_BYTES,
    world::{
        Bug, Client, DiskDone, Event, SOURCE, Shared, ToClient, ToHolder, VAULT, Villain,
        holder_id, truth,
    },
};

const DISK_RESERVE_BYTES: u64 = 8 << 20;
const READ_PIECE_GROUPS: u64 = 8;
/// The shell gives up an upload that takes longer: nothing else would end one that stalls.
const PUT_MS_MAX: u64 = 600_000;

/// An upload under way, as the shell sees it.
#[derive(Debug, Clone)]
struct Receiving {
    client: Client,
    /// Answers go back on the connection that the request came by, or nowhere.
    epoch: Option<u64>,
    order: OrderId,
    shard: ShardRef,
    /// Bytes that have not come yet.
    left: u64,
}

/// A download under way.
#[derive(Debug, Clone)]
struct Reading {
    shard: ShardRef,
    range: ByteRange,
    next: u64,
}

pub(crate) struct HolderNode {
    number: usize,
    up: bool,
    boots: u64,
    machine: Holding,
    requests: u64,
    receiving: BTreeMap<OrderId, Receiving>,
    reading: BTreeMap<(Client, OrderId), Reading>,
    /// Durable.
    files: BTreeMap<ShardRoot, u64>,
    rows: BTreeMap<ShardRoot, Row>,
    pub(crate) heads: BTreeMap<HeadHash, HeadSeen>,
    /// Not durable yet.
    volatile_files: BTreeMap<ShardRoot, u64>,
    volatile_rows: BTreeMap<OrderId, Row>,
    pub(crate) granted_bytes: u64,
    offer_bytes: u64,
    disk_bytes: u64,
    /// What other programs take of the disk.
    pub(crate) noise_bytes: u64,
}

fn source_caller() -> Caller {
    Caller::Member { device: SOURCE, vault: VAULT }
}

impl HolderNode {
    pub(crate) fn new(number: usize, dice: &mut Dice) -> Self {
        // One in four is small at first and grows when the world heals: see `measure`.
        let small = dice.chance(25);
        let granted_bytes = if small { dice.range(4, 40) << 20 } else { 1 << 40 };
        let mut node = Self {
            number,
            up: true,
            boots: 0,
            machine: Holding::new(),
            requests: 0,
            receiving: BTreeMap::new(),
            reading: BTreeMap::new(),
            files: BTreeMap::new(),
            rows: BTreeMap::new(),
            heads: BTreeMap::new(),
            volatile_files: BTreeMap::new(),
            volatile_rows: BTreeMap::new(),
            granted_bytes,
            offer_bytes: if dice.chance(20) { dice.range(20, 80) << 20 } else { 1 << 40 },
            disk_bytes: 512 << 20,
            noise_bytes: 0,
        };
        node.load();
        node
    }

    pub(crate) const fn is_up(&self) -> bool {
        self.up
    }

    pub(crate) fn keeps(&self, root: ShardRoot) -> bool {
        self.files.contains_key(&root) && self.rows.contains_key(&root)
    }

    fn load(&mut self) {
        self.machine = Holding::new();
        self.tell_terms();
        for row in self.rows.values() {
            self.machine.handle_input(Input::RowKnown(*row));
        }
    }

    fn tell_terms(&mut self) {
        let terms = Terms { offer_bytes: self.offer_bytes, disk_reserve_bytes: DISK_RESERVE_BYTES };
        self.machine.handle_input(Input::TermsChanged(terms));
        let grant = Input::GrantChanged { vault: VAULT, bytes: self.granted_bytes };
        self.machine.handle_input(grant);
        self.machine.handle_input(Input::DiskMeasured { free_bytes: self.free_bytes() });
    }

    fn free_bytes(&self) -> u64 {
        let files: u64 = self.files.values().chain(self.volatile_files.values()).sum();
        self.disk_bytes.saturating_sub(files + self.noise_bytes)
    }

    pub(crate) fn measure(&mut self, shared: &mut Shared) {
        let holder = self.number;
        if !shared.trouble && !shared.restoring {
            self.granted_bytes = 1 << 40;
            self.offer_bytes = 1 << 40;
        }
        if self.up {
            self.tell_terms();
        }
        shared.after(60_000, Event::Measure { holder });
    }

    pub(crate) fn boot(&mut self, shared: &mut Shared) {
        if self.up || self.disk_bytes == 0 {
            return;
        }
        self.up = true;
        for root in self.rows.keys() {
            let forgetful = shared.restoring && shared.is_villain(self.number, Villain::Forgetful);
            if !self.files.contains_key(root) && !forgetful {
                shared.violation(format!("holder {} has a row without its file", self.number));
            }
        }
        self.load();
    }

    pub(crate) fn crash(&mut self, shared: &mut Shared) {
        self.up = false;
        self.boots += 1;
        self.receiving.clear();
        self.reading.clear();
        // What was not synced may have reached the disk all the same, or not.
        for (root, bytes) in std::mem::take(&mut self.volatile_files) {
            if shared.dice.chance(50) {
                self.files.insert(root, bytes);
            }
        }
        for (_, row) in std::mem::take(&mut self.volatile_rows) {
            if shared.dice.chance(50) && self.files.contains_key(&row.shard.root) {
                self.rows.insert(row.shard.root, row);
            }
        }
    }

    pub(crate) fn burn(&mut self) {
        self.up = false;
        self.disk_bytes = 0;
        self.files.clear();
        self.rows.clear();
        self.heads.clear();
    }

    pub(crate) fn forget_some(&mut self, dice: &mut Dice) {
        self.files.retain(|_, _| !dice.chance(30));
    }

    pub(crate) fn hide_newest(&mut self) {
        let newest = self.heads.values().filter(|head| head.device == SOURCE).map(|h| h.seq).max();
        self.heads.retain(|_, head| head.device != SOURCE || Some(head.seq) < newest);
    }

    /// This holder's own head, which says what it has seen of the source.
    pub(crate) fn own_head(&self) -> HeadSeen {
        let newest = self.heads.values().filter(|head| head.device == SOURCE).max_by_key(|h| h.seq);
        let name = u8::try_from(self.number + 100).expect("few holders");
        HeadSeen {
            device: holder_id(self.number),
            seq: 1,
            hash: HeadHash::from_bytes([name; 32]),
            prev: None,
            seen: newest.map(|head| (SOURCE, head.seq, head.hash)).into_iter().collect(),
        }
    }

    pub(crate) fn client_lost(&mut self, shared: &mut Shared, client: Client) {
        self.reading.retain(|(of, _), _| *of != client);
        let gone: Vec<OrderId> = self
            .receiving
            .iter()
            .filter(|(_, receiving)| receiving.client == client)
            .map(|(request, _)| *request)
            .collect();
        for request in gone {
            self.abort(shared, request, PutFailure::Aborted);
        }
    }

    fn abort(&mut self, shared: &mut Shared, request: OrderId, failure: PutFailure) {
        self.machine.handle_input(Input::PutFailed { request, failure });
        self.carry_out(shared);
    }

    pub(crate) fn put_over(&mut self, shared: &mut Shared, boot: u64, request: OrderId) {
        if boot == self.boots && self.receiving.contains_key(&request) {
            self.receiving.remove(&request);
            self.abort(shared, request, PutFailure::Aborted);
        }
    }

    fn request(&mut self) -> OrderId {
        self.requests += 1;
        OrderId(self.requests)
    }

    pub(crate) fn receive(&mut self, shared: &mut Shared, client: Client, message: ToHolder) {
        let epoch = shared.epoch(client, self.number);
        match message {
            ToHolder::Offer { order, shards } => {
                let request = self.request();
                let shard = shards[0].shard;
                self.receiving
                    .insert(request, Receiving { client, epoch, order, shard, left: shard.bytes });
                let (caller, vault) = (source_caller(), VAULT);
                self.machine.handle_input(Input::Offered { request, caller, vault, shards });
            }
            ToHolder::Put { order, shard, class } => {
                let request = self.request();
                self.receiving
                    .insert(request, Receiving { client, epoch, order, shard, left: shard.bytes });
                let (caller, vault) = (source_caller(), VAULT);
                let asked = Input::PutAsked { request, caller, vault, shard, class };
                self.machine.handle_input(asked);
            }
            ToHolder::Piece { order, left } => self.piece(shared, client, order, left),
            ToHolder::Abort { order } => {
                if let Some(request) = self.find(shared, client, order) {
                    self.abort(shared, request, PutFailure::Aborted);
                }
            }
            ToHolder::PushHead { order, head } => {
                self.heads.insert(head.hash, head);
                shared.tell_client(client, self.number, ToClient::HeadTaken { order, taken: true });
            }
            ToHolder::PullHeads { order } => {
                let heads = self.heads.values().cloned().collect();
                shared.tell_client(client, self.number, ToClient::Heads { order, heads });
            }
            ToHolder::Read { order, shard, range } => {
                let reading = Reading { shard, range, next: range.start / GROUP_BYTES };
                self.read(shared, client, order, reading);
            }
            ToHolder::StopRead { order } => {
                self.reading.remove(&(client, order));
            }
        }
        self.carry_out(shared);
    }

    fn find(&self, shared: &Shared, client: Client, order: OrderId) -> Option<OrderId> {
        let epoch = shared.epoch(client, self.number);
        let same = |r: &Receiving| r.client == client && r.order == order && r.epoch == epoch;
        self.receiving.iter().find(|(_, r)| same(r)).map(|(request, _)| *request)
    }

    fn piece(&mut self, shared: &mut Shared, client: Client, order: OrderId, left: u64) {
        let Some(request) = self.find(shared, client, order) else { return };
        let receiving = self.receiving.get_mut(&request).expect("just found");
        let shard = receiving.shard;
        if receiving.left.saturating_sub(PIECE_BYTES) != left {
            // A stream has no gaps: what follows a lost piece never arrives.
            return;
        }
        receiving.left = left;
        if left > 0 {
            return;
        }
        let (holder, boot) = (self.number, self.boots);
        let done = if self.free_bytes() < shard.bytes {
            DiskDone::FileFailed { request }
        } else {
            self.volatile_files.insert(shard.root, shard.bytes);
            DiskDone::File { request }
        };
        if shared.bug == Some(Bug::AckBeforeDurable) {
            let wall = shared.wall();
            self.machine.handle_input(Input::BytesDurable { request, wall });
        }
        let sync_ms = shared.dice.range(1, 2_000);
        shared.after(sync_ms, Event::HolderDisk { holder, boot, done });
    }

    pub(crate) fn disk_done(&mut self, shared: &mut Shared, boot: u64, done: DiskDone) {
        if boot != self.boots {
            return;
        }
        match done {
            DiskDone::File { request } => {
                let Some(receiving) = self.receiving.get(&request) else { return };
                let ShardRef { root, bytes } = receiving.shard;
                self.volatile_files.remove(&root);
                self.files.insert(root, bytes);
                let wall = shared.wall();
                self.machine.handle_input(Input::BytesDurable { request, wall });
            }
            DiskDone::FileFailed { request } => {
                let failure = PutFailure::DiskFull;
                self.machine.handle_input(Input::PutFailed { request, failure });
            }
            DiskDone::Row { request } => {
                let Some(row) = self.volatile_rows.remove(&request) else { return };
                self.rows.insert(row.shard.root, row);
                self.machine.handle_input(Input::RowDurable { request });
            }
        }
        self.carry_out(shared);
    }

    fn receipt(&self, row: &Row) -> Receipt {
        let body = ReceiptBody {
            vault: row.vault,
            shard: row.shard,
            holder: holder_id(self.number),
            stored: row.stored,
            keep_until: row.keep_until,
        };
        Receipt { body, signature: [0; 64] }
    }

    fn carry_out(&mut self, shared: &mut Shared) {
        while let Some(output) = self.machine.poll_output() {
            match output {
                Output::AnswerOffer { request, verdicts } => {
                    let claims = verdicts.iter().map(|verdict| self.claim(verdict)).collect();
                    self.answer(shared, request, |order| ToClient::Verdicts { order, claims });
                }
                Output::Go { request, .. } => {
                    let Some(receiving) = self.receiving.get(&request) else { continue };
                    let (client, order) = (receiving.client, receiving.order);
                    shared.tell_client(client, self.number, ToClient::Go { order });
                    let (holder, boot) = (self.number, self.boots);
                    shared.after(PUT_MS_MAX, Event::PutOver { holder, boot, request });
                }
                Output::Refuse { request, reason } => {
                    shared.refused_for_room +=
                        usize::from(matches!(reason, Refusal::Full | Refusal::Quota));
                    self.answer(shared, request, |order| ToClient::Refused { order, reason });
                }
                Output::WriteRow { request, row } => self.write_row(shared, request, row),
                Output::Acknowledge { request, row } => {
                    let receipt = self.receipt(&row);
                    self.answer(shared, request, |order| ToClient::Stored { order, receipt });
                }
                Output::MarkLost { root, .. } => {
                    if let Some(row) = self.rows.get_mut(&root) {
                        row.lost = true;
                    }
                }
                Output::EraseRow { .. } => shared.violation("a row is to be erased"),
                Output::DropFile { root } => {
                    self.files.remove(&root);
                }
            }
        }
    }

    fn claim(&self, verdict: &HeldVerdict) -> Claim {
        match verdict {
            HeldVerdict::Wanted => Claim::Wanted,
            HeldVerdict::Kept(row) => Claim::Kept(self.receipt(row)),
            HeldVerdict::Refused(reason) => Claim::Refused(*reason),
        }
    }

    fn write_row(&mut self, shared: &mut Shared, request: OrderId, row: Row) {
        let (holder, boot) = (self.number, self.boots);
        self.volatile_rows.insert(request, row);
        if shared.bug == Some(Bug::AckBeforeDurable) {
            self.machine.handle_input(Input::RowDurable { request });
        }
        let sync_ms = shared.dice.range(1, 500);
        let done = DiskDone::Row { request };
        shared.after(sync_ms, Event::HolderDisk { holder, boot, done });
    }

    fn answer(
        &mut self,
        shared: &mut Shared,
        request: OrderId,
        message: impl FnOnce(OrderId) -> ToClient,
    ) {
        if let Some(receiving) = self.receiving.remove(&request) {
            // A refused upload leaves no file behind.
            let message = message(receiving.order);
            if matches!(message, ToClient::Refused { .. }) {
                self.volatile_files.remove(&receiving.shard.root);
            }
            if shared.epoch(receiving.client, self.number) == receiving.epoch {
                shared.tell_client(receiving.client, self.number, message);
            }
        }
    }

    fn read(&mut self, shared: &mut Shared, client: Client, order: OrderId, reading: Reading) {
        let root = reading.shard.root;
        let fail = |failure| ToClient::ReadFailed { order, failure };
        match self.machine.may_read(&source_caller(), root) {
            ReadVerdict::Forbidden => {
                shared.tell_client(client, self.number, fail(StripeFailure::Forbidden));
            }
            ReadVerdict::Absent => {
                shared.tell_client(client, self.number, fail(StripeFailure::NotFound));
            }
            ReadVerdict::Allowed(_) if !self.files.contains_key(&root) => {
                self.machine.handle_input(Input::BytesLost { root });
                shared.tell_client(client, self.number, fail(StripeFailure::NotFound));
            }
            ReadVerdict::Allowed(_) => {
                self.reading.insert((client, order), reading);
                self.next_piece(shared, client, order);
            }
        }
    }

    fn next_piece(&mut self, shared: &mut Shared, client: Client, order: OrderId) {
        let holder = self.number;
        let Some(epoch) = shared.epoch(client, holder) else { return };
        let when = shared.sent_at(client, holder, READ_PIECE_GROUPS * GROUP_BYTES);
        shared.at(when, Event::ReadPiece { client, holder, epoch, order });
    }

    pub(crate) fn read_piece(&mut self, shared: &mut Shared, client: Client, order: OrderId) {
        let Some(reading) = self.reading.get_mut(&(client, order)) else { return };
        let end = reading.range.end.div_ceil(GROUP_BYTES);
        let (first, root) = (reading.next, reading.shard.root);
        let last = end.min(first + READ_PIECE_GROUPS);
        reading.next = last;
        let mut groups: Vec<u64> = (first..last).map(|group| truth(root, group)).collect();
        if shared.is_villain(self.number, Villain::Liar) && shared.dice.chance(20) {
            groups[0] ^= 1;
        }
        shared.tell_client(client, self.number, ToClient::Groups { order, first, groups });
        if last < end {
            self.next_piece(shared, client, order);
        } else {
            self.reading.remove(&(client, order));
        }
    }

    /// HOLD-1: whatever is receipted is durable here at that moment.
    pub(crate) fn check_receipt(&self, shared: &mut Shared, receipt: &Receipt) {
        let root = receipt.body.shard.root;
        if !self.keeps(root) {
            shared.violation(format!("holder {} acknowledged before durable", self.number));
        }
        let least = receipt.body.stored.after_days(RETENTION_DAYS_MIN);
        if receipt.body.keep_until < least {
            shared.violation("a receipt for less than the minimum retention");
        }
    }

    /// HOLD-3, HOLD-6: never more than granted, offered, or than the disk has; bounded uploads.
    pub(crate) fn check(&self, shared: &mut Shared) {
        let bytes: u64 = self.rows.values().map(|row| row.shard.bytes).sum();
        if bytes > self.granted_bytes || bytes > self.offer_bytes {
            shared.violation(format!("holder {} keeps {bytes} B: over quota", self.number));
        }
        let files: u64 = self.files.values().sum();
        if self.disk_bytes > 0 && files + DISK_RESERVE_BYTES > self.disk_bytes {
            shared.violation(format!("holder {} ate into the reserve", self.number));
        }
        let standing = self.machine.standing(VAULT);
        let sound: u64 =
            self.rows.values().filter(|row| !row.lost).map(|row| row.shard.bytes).sum();
        if self.up && self.machine.puts_pending() == 0 && standing.used_bytes != sound {
            let used = standing.used_bytes;
            shared.violation(format!("holder {} counts {used} B, keeps {sound} B", self.number));
        }
        if self.machine.puts_pending() > PUTS_TOTAL_MAX {
            shared.violation("too many uploads at once");
        }
    }
}
