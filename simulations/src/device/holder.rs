//! The holder: the real `Holding` machine, and a model of its shell.

use std::collections::{BTreeMap, VecDeque};

use larder_protocol::{
    auditing::Finding,
    head::{HeadBook, Offered, SignedHead},
    holding::{
        Action, Caller, HeldVerdict, Holding, Input, Output, PutFailure, Row, ShowVerdict, Terms,
    },
    ids::{DeviceId, ShardRoot, VaultId},
    index::ShardRef,
    limits::{GROUP_BYTES, RETENTION_DAYS_MIN},
    order::OrderId,
    proof::Challenge,
    receipt::{Receipt, ReceiptBody},
    wire::message::{Refusal, Verdict},
};

use super::{Here, word};

mod claims;
mod fellows;
mod serving;

use crate::{
    bug::Bug,
    disk::{Disk, File, Ticket, Write},
    event::{Event, Line, Synced, ToClient, ToHolder},
    model::{Check, Property},
    schedule::Hostility,
};
use claims::note_rows;
use serving::Reading;

/// Of a request that is about none.
const NO_SHARD: ShardRef = ShardRef { root: ShardRoot::from_bytes([0; 32]), bytes: 0 };
const DISK_RESERVE_BYTES: u64 = 256 << 20;
/// The shell gives up an upload without progress for so long: nothing else would end it.
const PUT_STALL_MS_MAX: u64 = 600_000;

/// Who waits for an answer, and by which number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Whom {
    Caller(Line, OrderId),
    /// The tender of this device.
    Tender(OrderId),
}

/// An upload, an offer, or something that this device fetches, under way.
#[derive(Debug)]
struct Receiving {
    whom: Whom,
    vault: usize,
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
    /// Answers for the tender of this device.
    to_tender: VecDeque<ToClient>,
    /// Lists of claims that devices have told whole.
    claimed: VecDeque<(VaultId, DeviceId, Vec<ShardRoot>)>,
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
            to_tender: VecDeque::new(),
            claimed: VecDeque::new(),
        }
    }

    pub(crate) fn start(&mut self, here: &mut Here<'_>) {
        self.machine = Holding::new();
        self.receiving.clear();
        self.reading.clear();
        self.to_tender.clear();
        self.claimed.clear();
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

    fn request(&mut self, whom: Whom, vault: usize, shard: ShardRef) -> OrderId {
        self.requests += 1;
        let request = OrderId(self.requests);
        let receiving = Receiving {
            whom,
            vault,
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
        let number = Self::vault_of(here, line);
        match message {
            ToHolder::Greet => self.greeted(here, line, vault),
            ToHolder::Offer { order, shards } => {
                self.tell_terms(here);
                let request = self.request(Whom::Caller(line, order), number, shards[0].shard);
                self.machine.handle_input(Input::Offered { request, caller, vault, shards });
            }
            ToHolder::Put { order, shard, class } => {
                self.tell_terms(here);
                let request = self.request(Whom::Caller(line, order), number, shard);
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
                    let heads = self.heads(here, number);
                    here.shared.tell_client(line, ToClient::Heads { order, heads });
                }
            }
            ToHolder::PullPast { order, device, below } => {
                if caller.permit(Action::ReadRecords, vault).is_ok() {
                    let device = here.shared.circle.devices[device].id;
                    let past = here.disk.image.past.get(&device);
                    let heads = past.map(|past| past.range(..below).map(|(_, (_, it))| it.clone()));
                    let heads = heads.into_iter().flatten().collect();
                    here.shared.tell_client(line, ToClient::Heads { order, heads });
                }
            }
            ToHolder::Read { order, shard, range } => {
                let own = here.disk.image.packs.get(&shard.root).is_some_and(|row| row.here) && {
                    let own_vault = here.shared.circle.vaults[here.vault].id;
                    caller.permit(Action::Read, own_vault).is_ok()
                };
                let reading = Reading::new(caller, shard, range, own);
                self.read(here, (line, order), reading);
            }
            ToHolder::StopRead { order } => {
                self.reading.remove(&(line, order));
            }
            ToHolder::Claim { order, part } => {
                let request = self.request(Whom::Caller(line, order), number, NO_SHARD);
                self.claims_told(here, request, (caller, vault), *part);
            }
            ToHolder::Audit { order, challenges } => {
                let shown =
                    challenges.iter().map(|challenge| self.show(here, vault, *challenge)).collect();
                here.shared.tell_client(line, ToClient::Shown { order, shown });
            }
            // These are for the tender.
            ToHolder::Introduce { .. } | ToHolder::Tend { .. } => {}
        }
        self.drain(here);
    }

    fn greeted(&self, here: &mut Here<'_>, line: Line, vault: VaultId) {
        let granted_bytes = self.machine.standing(vault).granted_bytes;
        let number = Self::vault_of(here, line);
        let heads = self.heads(here, number);
        let device = here.shared.circle.devices.get(line.link.client);
        let kept = here.disk.image.introductions.get(&number);
        let introduced = device.and_then(|it| Some(kept?.number_of(&it.id))).unwrap_or(0);
        here.shared.tell_client(line, ToClient::Welcome { granted_bytes, heads, introduced });
    }

    fn heads(&self, here: &mut Here<'_>, vault: usize) -> Vec<SignedHead> {
        let books = self.shown.as_ref().unwrap_or(&here.disk.image.books);
        let Some(book) = books.get(&vault) else { return Vec::new() };
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
                let ticket = here.disk.begin(here.head_kept(vault, head));
                here.sync(ticket, Synced::HeldHead { line, order });
                if !here.shared.has(Bug::SkipHeadSync) {
                    return;
                }
                ToClient::HeadTaken { order }
            }
            Offered::Forked(_) => {
                here.shared.saw("fork kept");
                here.write_now(here.head_kept(vault, head));
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
        let whom = Whom::Caller(line, order);
        self.of(whom)
    }

    fn of(&self, whom: Whom) -> Option<OrderId> {
        let same = |it: &Receiving| it.whom == whom && it.reserved;
        self.receiving.iter().find(|(_, it)| same(it)).map(|(request, _)| *request)
    }

    pub(crate) fn caller_lost(&mut self, here: &mut Here<'_>, client: usize) {
        self.reading.retain(|(line, _), _| line.link.client != client);
        let of =
            |it: &Receiving| matches!(it.whom, Whom::Caller(line, _) if line.link.client == client);
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
            // No caller waits for an answer; what was written does not count.
            let receiving = self.receiving.remove(&request);
            if let Some(ticket) = receiving.as_ref().and_then(|it| it.ticket) {
                here.disk.abandon(ticket);
            }
            if let Some(Whom::Tender(order)) = receiving.map(|it| it.whom) {
                self.to_tender.push_back(ToClient::Refused { order, reason: Refusal::Busy });
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
        if left == 0 {
            self.all_came(here, request);
        }
    }

    /// The last byte came.
    fn all_came(&mut self, here: &mut Here<'_>, request: OrderId) {
        let Some(receiving) = self.receiving.get(&request) else { return };
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
            Synced::Pack { .. }
            | Synced::OwnHead { .. }
            | Synced::Receipt { .. }
            | Synced::Vigil { .. } => {}
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
                let now = here.shared.now();
                here.shared.model.found_lost.insert((here.number, root), now);
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
            Output::KeepClaimed { vault, device, roots } => {
                self.claimed.push_back((vault, device, roots));
            }
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
        let (whom, vault) = (receiving.whom, receiving.vault);
        let reserved = self.receiving.values().filter(|it| it.reserved);
        let promised: Vec<(usize, u64)> = reserved.map(|it| (it.vault, it.shard.bytes)).collect();
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
        let (Whom::Caller(_, order) | Whom::Tender(order)) = whom;
        self.tell(here, whom, ToClient::Go { order });
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
            let (Whom::Caller(_, order) | Whom::Tender(order)) = receiving.whom;
            let message = message(order);
            if let (ToClient::Refused { .. }, Some(ticket)) = (&message, receiving.ticket) {
                // A refused upload leaves no file behind.
                here.disk.abandon(ticket);
            }
            self.tell(here, receiving.whom, message);
        }
    }

    fn tell(&mut self, here: &mut Here<'_>, whom: Whom, message: ToClient) {
        match whom {
            Whom::Caller(line, _) => here.shared.tell_client(line, message),
            Whom::Tender(_) => self.to_tender.push_back(message),
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
}

fn receiving_of(receiving: &mut BTreeMap<OrderId, Receiving>, request: OrderId) -> &mut Receiving {
    receiving.get_mut(&request).expect("it was there a moment ago")
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
