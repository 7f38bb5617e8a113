//! The holder: the real `Holding` machine, and a model of its shell.

use std::collections::BTreeMap;

use larder_protocol::{
    auditing::Finding,
    fetching::{ByteRange, StripeFailure},
    head::{HeadBook, Offered, SignedHead},
    holding::{
        Action, Caller, HeldVerdict, Holding, Input, Output, PutFailure, ReadVerdict, Row,
        ShowVerdict, Terms,
    },
    ids::{ShardRoot, VaultId},
    index::ShardRef,
    limits::{GROUP_BYTES, RETENTION_DAYS_MIN},
    order::OrderId,
    proof::Challenge,
    receipt::{Receipt, ReceiptBody},
    wire::message::{Refusal, Verdict},
};

use super::{Here, rotten_between, word};

mod claims;

use crate::{
    bug::Bug,
    disk::{Disk, File, Ticket, Write},
    event::{Event, Line, Synced, ToClient, ToHolder},
    model::{Check, Property},
    schedule::Hostility,
};
use claims::note_rows;

/// Of a request that is about none.
const NO_SHARD: ShardRef = ShardRef { root: ShardRoot::from_bytes([0; 32]), bytes: 0 };
const DISK_RESERVE_BYTES: u64 = 256 << 20;
/// The shell gives up an upload without progress for so long: nothing else would end it.
const PUT_STALL_MS_MAX: u64 = 600_000;

/// An upload, or an offer, under way.
#[derive(Debug)]
struct Receiving {
    line: Line,
    order: OrderId,
    shard: ShardRef,
    /// Bytes that have not come yet.
    left: u64,
    /// The same when the shell last looked.
    left_then: u64,
    /// All bytes so far are those of the root.
    sound: bool,
    /// The machine said `Go`: this much counts as used.
    reserved: bool,
    ticket: Option<Ticket>,
    /// The row is being written: whoever leaves now changes nothing.
    recording: bool,
}

/// A download under way.
#[derive(Debug)]
struct Reading {
    shard: ShardRef,
    range: ByteRange,
    next: u64,
}

#[derive(Debug)]
pub(crate) struct Holder {
    machine: Holding,
    requests: u64,
    receiving: BTreeMap<OrderId, Receiving>,
    reading: BTreeMap<(Line, OrderId), Reading>,
    /// What the user grants each vault; durable.
    granted_bytes: u64,
    /// What a holder that hides heads goes on showing.
    shown: Option<BTreeMap<usize, HeadBook>>,
}

impl Holder {
    pub(crate) fn new(granted_bytes: u64) -> Self {
        Self {
            machine: Holding::new(),
            requests: 0,
            receiving: BTreeMap::new(),
            reading: BTreeMap::new(),
            granted_bytes,
            shown: None,
        }
    }

    pub(crate) fn start(&mut self, here: &mut Here<'_>) {
        self.machine = Holding::new();
        self.receiving.clear();
        self.reading.clear();
        self.tell_terms(here);
        self.tell_grant(here);
        if !here.shared.has(Bug::ForgetRows) || here.boot == 1 {
            for row in here.disk.image.rows.values() {
                self.machine.handle_input(Input::RowKnown(*row));
            }
        }
        // A row and its file are compared at every start.
        let rows = here.disk.image.rows.iter();
        let gone =
            rows.filter(|((root, _), row)| !row.lost && !here.disk.image.files.contains_key(root));
        let gone: Vec<ShardRoot> = gone.map(|((root, _), _)| *root).collect();
        if here.hostile.is_none() {
            for root in gone {
                self.bytes_lost(here, root);
            }
        }
    }

    pub(crate) fn puts_pending(&self) -> usize {
        self.machine.puts_pending()
    }

    pub(crate) fn digest(&self) -> u64 {
        let counts = [self.machine.puts_pending(), self.receiving.len(), self.reading.len()];
        counts.iter().fold(self.requests, |sum, number| {
            (sum << 8) ^ u64::try_from(*number).expect("few requests")
        })
    }

    pub(crate) fn hide(&mut self, disk: &Disk) {
        self.shown = Some(disk.image.books.clone());
    }

    pub(crate) fn set_grant(&mut self, here: &mut Here<'_>, bytes: u64, up: bool) {
        let lowered = bytes < self.granted_bytes;
        self.granted_bytes = bytes;
        if up && !(lowered && here.shared.has(Bug::IgnoreLoweredGrant)) {
            self.tell_grant(here);
            self.tell_terms(here);
        }
    }

    fn tell_grant(&mut self, here: &Here<'_>) {
        for vault in &here.shared.circle.vaults {
            let bytes = self.granted_bytes;
            self.machine.handle_input(Input::GrantChanged { vault: vault.id, bytes });
        }
    }

    fn tell_terms(&mut self, here: &Here<'_>) {
        let device = &here.shared.circle.devices[here.number];
        let offer_bytes = device.offer_bytes;
        let disk_reserve_bytes = DISK_RESERVE_BYTES;
        let terms = Terms { offer_bytes, disk_reserve_bytes, retention_days: RETENTION_DAYS_MIN };
        self.machine.handle_input(Input::TermsChanged(terms));
        let free_bytes = here.disk.free_bytes(device.disk_bytes);
        self.machine.handle_input(Input::DiskMeasured { free_bytes });
    }

    fn caller(here: &Here<'_>, line: Line) -> Caller {
        let client = line.link.client;
        if let Some(device) = here.shared.circle.devices.get(client) {
            let vault = here.shared.circle.vaults[device.vault].id;
            return Caller::Member { device: device.id, vault };
        }
        let vault = &here.shared.circle.vaults[here.shared.model.recovering[&client]];
        Caller::Recovery { key: vault.access, vault: vault.id }
    }

    fn vault_of(here: &Here<'_>, line: Line) -> usize {
        let vault = Self::caller(here, line).vault().expect("nobody here is a stranger");
        here.shared.circle.vault_of(vault).expect("a vault of the circle")
    }

    fn request(&mut self, line: Line, order: OrderId, shard: ShardRef) -> OrderId {
        self.requests += 1;
        let request = OrderId(self.requests);
        let receiving = Receiving {
            line,
            order,
            shard,
            left: shard.bytes,
            left_then: shard.bytes,
            sound: true,
            reserved: false,
            ticket: None,
            recording: false,
        };
        self.receiving.insert(request, receiving);
        request
    }

    pub(crate) fn asked(&mut self, here: &mut Here<'_>, line: Line, message: ToHolder) {
        let caller = Self::caller(here, line);
        let vault = caller.vault().expect("nobody here is a stranger");
        match message {
            ToHolder::Greet => {
                let granted_bytes = self.machine.standing(vault).granted_bytes;
                let heads = self.heads(here, line);
                here.shared.tell_client(line, ToClient::Welcome { granted_bytes, heads });
            }
            ToHolder::Offer { order, shards } => {
                self.tell_terms(here);
                let request = self.request(line, order, shards[0].shard);
                self.machine.handle_input(Input::Offered { request, caller, vault, shards });
            }
            ToHolder::Put { order, shard, class } => {
                self.tell_terms(here);
                let request = self.request(line, order, shard);
                let asked = Input::PutAsked { request, caller, vault, shard, class };
                self.machine.handle_input(asked);
            }
            ToHolder::Piece { order, bytes, left, sound } => {
                self.piece(here, (line, order), (bytes, left), sound);
            }
            ToHolder::Abort { order } => {
                if let Some(request) = self.find(line, order) {
                    self.fail(here, request, PutFailure::Aborted);
                }
            }
            ToHolder::PushHead { order, head } => self.head_pushed(here, line, order, *head),
            ToHolder::PullHeads { order } => {
                if caller.permit(Action::ReadRecords, vault).is_ok() {
                    let heads = self.heads(here, line);
                    here.shared.tell_client(line, ToClient::Heads { order, heads });
                }
            }
            ToHolder::PullPast { order, device, below } => {
                if caller.permit(Action::ReadRecords, vault).is_ok() {
                    let device = here.shared.circle.devices[device].id;
                    let past = here.disk.image.past.get(&device);
                    let heads = past.map(|past| past.range(..below).map(|(_, it)| it.clone()));
                    let heads = heads.into_iter().flatten().collect();
                    here.shared.tell_client(line, ToClient::Heads { order, heads });
                }
            }
            ToHolder::Read { order, shard, range } => {
                let own = here.disk.image.packs.get(&shard.root).is_some_and(|row| row.here) && {
                    let own_vault = here.shared.circle.vaults[here.vault].id;
                    caller.permit(Action::Read, own_vault).is_ok()
                };
                let next = range.start / GROUP_BYTES;
                self.read(here, (line, order), Reading { shard, range, next }, own);
            }
            ToHolder::StopRead { order } => {
                self.reading.remove(&(line, order));
            }
            ToHolder::Claim { order, part } => {
                let request = self.request(line, order, NO_SHARD);
                self.claims_told(here, request, (caller, vault), *part);
            }
            ToHolder::Audit { order, challenges } => {
                let shown =
                    challenges.iter().map(|challenge| self.show(here, vault, *challenge)).collect();
                here.shared.tell_client(line, ToClient::Shown { order, shown });
            }
        }
        self.drain(here);
    }

    fn heads(&self, here: &mut Here<'_>, line: Line) -> Vec<SignedHead> {
        let books = self.shown.as_ref().unwrap_or(&here.disk.image.books);
        let Some(book) = books.get(&Self::vault_of(here, line)) else { return Vec::new() };
        let own = book.highest(&here.shared.circle.devices[here.number].id);
        // One of the same number that it signed before it was set back was placed then.
        let is_known = |head: &&SignedHead| {
            let known = here.disk.image.own_heads.get(&head.body().seq);
            known.is_none_or(|known| known.hash() == head.hash())
        };
        if let Some(seq) = own.filter(is_known).map(|head| head.body().seq) {
            here.shared.check(Check::Shown { source: here.number, seq });
        }
        book.heads().cloned().collect()
    }

    fn head_pushed(&self, here: &mut Here<'_>, line: Line, order: OrderId, head: SignedHead) {
        let vault = Self::vault_of(here, line);
        if here.hostile == Some(Hostility::Hides) {
            return here.shared.tell_client(line, ToClient::HeadTaken { order });
        }
        let device = head.body().device;
        let book = here.disk.image.books.get(&vault);
        let mut book = book.map(|book| book.part(&device)).unwrap_or_default();
        let known = book.heads_of(&device).any(|known| known.hash() == head.hash());
        let Ok(head) = here.shared.check_head(vault, &head) else {
            let reason = Refusal::Invalid;
            return here.shared.tell_client(line, ToClient::Refused { order, reason });
        };
        let answer = match if known { Offered::Known } else { book.take(head.clone()) } {
            Offered::Known => ToClient::HeadTaken { order },
            Offered::Taken => {
                let ticket = here.disk.begin(Write::Head(vault, head));
                here.sync(ticket, Synced::HeldHead { line, order });
                if !here.shared.has(Bug::SkipHeadSync) {
                    return;
                }
                ToClient::HeadTaken { order }
            }
            Offered::Forked(_) => {
                here.shared.saw("fork kept");
                here.write_now(Write::Head(vault, head));
                ToClient::OtherHeads { order, heads: book.heads_of(&device).cloned().collect() }
            }
            Offered::Older(_) => {
                ToClient::OtherHeads { order, heads: book.heads_of(&device).cloned().collect() }
            }
            Offered::Invalid(_) => ToClient::Refused { order, reason: Refusal::Invalid },
        };
        here.shared.tell_client(line, answer);
    }

    fn find(&self, line: Line, order: OrderId) -> Option<OrderId> {
        let same = |it: &Receiving| it.line == line && it.order == order && it.reserved;
        self.receiving.iter().find(|(_, it)| same(it)).map(|(request, _)| *request)
    }

    pub(crate) fn caller_lost(&mut self, here: &mut Here<'_>, client: usize) {
        self.reading.retain(|(line, _), _| line.link.client != client);
        let of = |it: &Receiving| it.line.link.client == client;
        let gone: Vec<OrderId> =
            self.receiving.iter().filter(|(_, it)| of(it)).map(|(request, _)| *request).collect();
        for request in gone {
            self.fail(here, request, PutFailure::Aborted);
        }
    }

    pub(crate) fn put_over(&mut self, here: &mut Here<'_>, request: OrderId) {
        let Some(receiving) = self.receiving.get_mut(&request) else { return };
        if receiving.ticket.is_some() {
            return;
        }
        if receiving.left == receiving.left_then {
            return self.fail(here, request, PutFailure::Aborted);
        }
        receiving.left_then = receiving.left;
        let (device, boot) = (here.number, here.boot);
        here.shared.queue.after(PUT_STALL_MS_MAX, Event::PutOver { device, boot, request });
    }

    fn fail(&mut self, here: &mut Here<'_>, request: OrderId, failure: PutFailure) {
        let left = |it: &Receiving| !it.recording && failure == PutFailure::Aborted;
        if self.receiving.get(&request).is_some_and(left) {
            // Nobody waits for an answer; what was written does not count.
            if let Some(ticket) = self.receiving.remove(&request).and_then(|it| it.ticket) {
                here.disk.abandon(ticket);
            }
        }
        self.machine.handle_input(Input::PutFailed { request, failure });
        self.drain(here);
    }

    fn piece(
        &mut self,
        here: &mut Here<'_>,
        (line, order): (Line, OrderId),
        (bytes, left): (u64, u64),
        sound: bool,
    ) {
        let Some(request) = self.find(line, order) else { return };
        let Some(receiving) = self.receiving.get_mut(&request) else { return };
        if receiving.left != left + bytes {
            // A stream has no gaps: what follows a lost piece never arrives.
            return;
        }
        receiving.left = left;
        receiving.sound &= sound;
        if left > 0 {
            return;
        }
        let (shard, sound) = (receiving.shard, receiving.sound);
        let checks = !here.shared.has(Bug::SkipRootCheck);
        if !sound && checks {
            here.shared.saw("wrong bytes uploaded");
            return self.fail(here, request, PutFailure::WrongBytes);
        }
        let disk_bytes = here.shared.circle.devices[here.number].disk_bytes;
        if here.disk.free_bytes(disk_bytes) < shard.bytes {
            here.shared.saw("disk full under an upload");
            return self.fail(here, request, PutFailure::DiskFull);
        }
        let mut file = File::sound(shard.bytes);
        if !sound {
            file.rotten.insert(0);
        }
        let ticket = here.disk.begin(Write::File(shard.root, file));
        receiving_of(&mut self.receiving, request).ticket = Some(ticket);
        here.sync(ticket, Synced::HeldFile { request });
        if here.shared.has(Bug::AckBeforeDurable) {
            let wall = here.shared.wall(here.clock_off_s);
            self.machine.handle_input(Input::BytesDurable { request, wall });
            self.machine.handle_input(Input::RowDurable { request });
        }
    }

    pub(crate) fn synced(&mut self, here: &mut Here<'_>, ticket: Ticket, what: Synced) {
        match what {
            Synced::HeldFile { request } => {
                // Given up meanwhile: what was written does not count.
                let Some(receiving) = self.receiving.get_mut(&request) else { return };
                receiving.recording = true;
                if !here.shared.has(Bug::SkipFileSync) {
                    here.commit(ticket);
                }
                let wall = here.shared.wall(here.clock_off_s);
                self.machine.handle_input(Input::BytesDurable { request, wall });
            }
            Synced::HeldRow { request } => {
                here.commit(ticket);
                self.machine.handle_input(Input::RowDurable { request });
            }
            Synced::HeldHead { line, order } => {
                here.commit(ticket);
                if !here.shared.has(Bug::SkipHeadSync) {
                    here.shared.tell_client(line, ToClient::HeadTaken { order });
                }
            }
            Synced::Pack { .. } | Synced::OwnHead { .. } | Synced::Receipt { .. } => {}
        }
        self.drain(here);
    }

    fn drain(&mut self, here: &mut Here<'_>) {
        while let Some(output) = self.machine.poll_output() {
            self.carry_out(here, output);
        }
    }

    fn carry_out(&mut self, here: &mut Here<'_>, output: Output) {
        match output {
            Output::AnswerOffer { request, verdicts } => {
                let verdicts = verdicts.iter().map(|it| verdict(here, it)).collect();
                self.answer(here, request, |order| ToClient::Verdicts { order, verdicts });
            }
            Output::Go { request, .. } => self.go(here, request),
            Output::Refuse { request, reason } => {
                match reason {
                    Refusal::Quota => here.shared.saw("refused: quota"),
                    Refusal::Full => here.shared.saw("refused: full"),
                    Refusal::Busy => here.shared.saw("refused: busy"),
                    _ => {}
                }
                self.answer(here, request, |order| ToClient::Refused { order, reason });
            }
            Output::WriteRow { request, row } => {
                let vault = here.shared.circle.vault_of(row.vault).expect("of the circle");
                let ticket = here.disk.begin(Write::Row(vault, row));
                here.sync(ticket, Synced::HeldRow { request });
                if here.shared.has(Bug::SkipRowSync) {
                    self.machine.handle_input(Input::RowDurable { request });
                }
            }
            Output::Acknowledge { request, row } => {
                if here.hostile == Some(Hostility::Drops) && here.dice.chance(50) {
                    here.disk.remove_file(row.shard.root);
                }
                let receipt = receipt(here, &row);
                self.answer(here, request, |order| ToClient::Stored { order, receipt });
            }
            Output::MarkLost { vault, root } => {
                let vault = here.shared.circle.vault_of(vault).expect("of the circle");
                here.shared.saw("held shard found lost");
                here.disk.mark_lost(root, vault);
            }
            Output::AnswerClaims { request } => {
                self.answer(here, request, |order| ToClient::ClaimsTaken { order });
            }
            Output::Revive { request, rows } => {
                here.shared.saw("unclaimed shard promised again");
                note_rows(here, &rows);
                self.machine.handle_input(Input::Revived { request, is_durable: true });
            }
            Output::NoteRows { rows } => {
                if rows.iter().any(|row| row.unclaimed.is_some()) {
                    here.shared.saw("shard unclaimed");
                }
                note_rows(here, &rows);
            }
            // No fellow asks for it yet.
            Output::KeepClaimed { .. } => {}
            Output::UnclaimedServed { .. } => here.shared.saw("unclaimed shard served"),
            Output::EraseRow { vault, root } => {
                here.shared.saw("shard let go");
                let number = here.shared.circle.vault_of(vault).expect("of the circle");
                here.disk.erase_row(root, number);
                let holder = here.number;
                here.shared.check(Check::Erased { holder, root, vault: number });
                self.machine.handle_input(Input::RowErased { vault, root });
            }
            Output::DropFile { root } => here.disk.remove_file_if_unnamed(root),
        }
    }

    /// HOLD-3: what is kept and promised stays within grant, offer, and the disk's reserve.
    fn go(&mut self, here: &mut Here<'_>, request: OrderId) {
        let Some(receiving) = self.receiving.get_mut(&request) else { return };
        receiving.reserved = true;
        let (line, order) = (receiving.line, receiving.order);
        let vault = Self::vault_of(here, line);
        let promised: Vec<(usize, u64)> = self
            .receiving
            .values()
            .filter(|it| it.reserved)
            .map(|it| (Self::vault_of(here, it.line), it.shard.bytes))
            .collect();
        let of_vault: u64 = promised.iter().filter(|it| it.0 == vault).map(|it| it.1).sum();
        let of_all: u64 = promised.iter().map(|it| it.1).sum();
        let device = &here.shared.circle.devices[here.number];
        let kept = here.disk.row_bytes(vault);
        let free = here.disk.free_bytes(device.disk_bytes);
        let over_grant = kept + of_vault > self.granted_bytes;
        let over_offer = here.disk.all_row_bytes() + of_all > device.offer_bytes;
        let to_come = self.receiving.values().filter(|it| it.reserved && it.ticket.is_none());
        let over_disk = free < DISK_RESERVE_BYTES + to_come.map(|it| it.shard.bytes).sum::<u64>();
        if over_grant || over_offer || over_disk {
            let text = format!(
                "device {} takes more than it has room for: grant {over_grant}, offer \
                 {over_offer}, disk {over_disk}",
                here.number
            );
            here.shared.violation(Property::Quota, text);
        }
        here.shared.tell_client(line, ToClient::Go { order });
        let (device, boot) = (here.number, here.boot);
        here.shared.queue.after(PUT_STALL_MS_MAX, Event::PutOver { device, boot, request });
    }

    fn answer(
        &mut self,
        here: &mut Here<'_>,
        request: OrderId,
        message: impl FnOnce(OrderId) -> ToClient,
    ) {
        if let Some(receiving) = self.receiving.remove(&request) {
            let message = message(receiving.order);
            if let (ToClient::Refused { .. }, Some(ticket)) = (&message, receiving.ticket) {
                // A refused upload leaves no file behind.
                here.disk.abandon(ticket);
            }
            here.shared.tell_client(receiving.line, message);
        }
    }

    fn bytes_lost(&mut self, here: &mut Here<'_>, root: ShardRoot) {
        self.machine.handle_input(Input::BytesLost { root });
        self.drain(here);
    }

    /// One chunk, and whether it is really there.
    fn show(
        &mut self,
        here: &mut Here<'_>,
        vault: VaultId,
        challenge: Challenge,
    ) -> (Finding, bool) {
        let root = challenge.shard.root;
        match self.machine.may_show(vault, challenge.shard) {
            ShowVerdict::Absent => return (Finding::Absent, false),
            ShowVerdict::Damaged => return (Finding::Damaged, false),
            ShowVerdict::Look => {}
        }
        let group = challenge.group().start / GROUP_BYTES;
        let file = here.disk.image.files.get(&root);
        let damaged = file.is_none_or(|file| file.rotten.contains(&group));
        match here.hostile {
            Some(Hostility::Drops) if damaged => (Finding::Wrong, false),
            Some(Hostility::Lies) if here.dice.chance(30) => (Finding::Wrong, false),
            _ if damaged => {
                here.shared.saw("audit: damage met");
                self.bytes_lost(here, root);
                (Finding::Damaged, false)
            }
            _ => (Finding::Proven, true),
        }
    }

    // Downloads.

    fn read(&mut self, here: &mut Here<'_>, key: (Line, OrderId), reading: Reading, own: bool) {
        let (line, order) = key;
        let root = reading.shard.root;
        let fail = |failure| ToClient::ReadFailed { order, failure };
        match self.machine.may_read(&Self::caller(here, line), root) {
            ReadVerdict::Forbidden => {
                here.shared.tell_client(line, fail(StripeFailure::Forbidden));
            }
            ReadVerdict::Absent if !own => {
                here.shared.tell_client(line, fail(StripeFailure::NotFound));
            }
            ReadVerdict::Allowed(_) | ReadVerdict::Absent
                if !here.disk.image.files.contains_key(&root) =>
            {
                self.bytes_lost(here, root);
                here.shared.tell_client(line, fail(StripeFailure::NotFound));
            }
            ReadVerdict::Allowed(_) | ReadVerdict::Absent => {
                if let Some(vault) = Self::caller(here, line).vault() {
                    self.machine.handle_input(Input::Served { vault, root });
                }
                self.reading.insert(key, reading);
                next_piece(here, line, order);
            }
        }
    }

    pub(crate) fn read_piece(&mut self, here: &mut Here<'_>, line: Line, order: OrderId) {
        let Some(reading) = self.reading.get_mut(&(line, order)) else { return };
        let now = here.shared.now();
        let groups = here.shared.network.piece_bytes(now, line.link) / GROUP_BYTES;
        let end = reading.range.end.div_ceil(GROUP_BYTES);
        let (first, root) = (reading.next, reading.shard.root);
        let last = end.min(first + groups);
        reading.next = last;
        let rotten = rotten_between(here.disk, root, (first, last));
        let gone = !here.disk.image.files.contains_key(&root);
        let mut wrong = None;
        if here.hostile == Some(Hostility::Lies) && here.dice.chance(30) {
            wrong = Some(here.dice.range(first, last - 1));
        } else if gone || rotten.is_some() {
            // Verified while it is read: what is right goes out, then the truth.
            self.reading.remove(&(line, order));
            if let Some(rotten) = rotten.filter(|rotten| *rotten > first) {
                let groups = ToClient::Groups { order, first, last: rotten, wrong: None };
                here.shared.tell_client(line, groups);
            }
            here.shared.saw("damage met while serving");
            let failure = StripeFailure::Damaged;
            here.shared.tell_client(line, ToClient::ReadFailed { order, failure });
            return self.bytes_lost(here, root);
        }
        here.shared.tell_client(line, ToClient::Groups { order, first, last, wrong });
        if last < end {
            next_piece(here, line, order);
        } else {
            self.reading.remove(&(line, order));
        }
    }
}

fn receiving_of(receiving: &mut BTreeMap<OrderId, Receiving>, request: OrderId) -> &mut Receiving {
    receiving.get_mut(&request).expect("it was there a moment ago")
}

fn next_piece(here: &mut Here<'_>, line: Line, order: OrderId) {
    let now = here.shared.now();
    let bytes = here.shared.network.piece_bytes(now, line.link);
    let at = here.shared.network.sent_at(now, line, false, bytes);
    here.shared.queue.at(at, Event::ReadPiece { line, order });
}

fn verdict(here: &mut Here<'_>, verdict: &HeldVerdict) -> Verdict {
    match verdict {
        HeldVerdict::Wanted => Verdict::Wanted,
        HeldVerdict::Kept(row) => Verdict::Kept(receipt(here, row)),
        HeldVerdict::Refused(reason) => {
            match reason {
                Refusal::Quota => here.shared.saw("refused: quota"),
                Refusal::Full => here.shared.saw("refused: full"),
                _ => {}
            }
            Verdict::Refused(*reason)
        }
    }
}

fn receipt(here: &mut Here<'_>, row: &Row) -> Receipt {
    let body = ReceiptBody {
        vault: row.vault,
        shard: row.shard,
        holder: here.shared.circle.devices[here.number].id,
        stored: row.stored,
        keep_until: row.keep_until,
    };
    let mut receipt = word::sign(here.shared.seed, body);
    if here.hostile == Some(Hostility::Forges) && here.dice.chance(50) {
        here.shared.saw("receipt forged");
        if here.dice.chance(50) {
            receipt.signature[0] ^= 1;
        } else {
            let mut body = receipt.body;
            body.shard.bytes += GROUP_BYTES;
            receipt = word::sign(here.shared.seed, body);
        }
    }
    receipt
}
