//! The source: the real `Placing` machine, and a model of its shell.

use std::collections::{BTreeMap, BTreeSet};

use larder_protocol::{
    auditing, claiming,
    head::{Claims, HEAD_VERSION, HeadBody, Offered, SignedHead},
    ids::{DeviceId, ShardRoot, VaultId},
    index::{PackClass, ShardRef},
    limits::GROUP_BYTES,
    order::OrderId,
    placing::{Acquaintance, Claim, Input, KnownPack, Output, Placing, Policy, Site, Upload},
    receipt::Receipt,
    time::Instant,
    watching,
};

use super::{Here, groups_of, rotten_between, word};

mod audits;
mod bringing;
mod claims;
mod introducing;
mod presence;

use crate::{
    bug::Bug,
    dice::Dice,
    disk::{Disk, File, PackRow, Ticket, Write},
    event::{Event, Line, Link, Synced, ToClient, ToHolder},
    model::{Check, Commit, Property},
};
use audits::Audits;
use bringing::Bringing;
use claims::Telling;
use presence::Watch;

/// Own data packs kept here at once: the bounded spool.
const SPOOL_PACKS: usize = 24;

/// An upload under way.
#[derive(Debug)]
struct Sending {
    holder: usize,
    shard: ShardRef,
    sent: u64,
}

/// A backup being written: packs, then the commit pack, then the head.
#[derive(Debug, Default)]
struct Making {
    left: Vec<PackClass>,
    commit_pack: Option<ShardRef>,
    dice: Option<Dice>,
}

#[derive(Debug)]
pub(crate) struct Source {
    machine: Placing,
    vault: VaultId,
    policy: Policy,
    uploads: BTreeMap<OrderId, Sending>,
    pushes: BTreeMap<OrderId, (usize, u64)>,
    making: Option<Making>,
    /// It met a head of its own that it did not write: it publishes nothing any more.
    frozen: bool,
    /// Packs whose bytes are damaged here or nowhere at all: the next backup makes them again from
    /// the user's files. (A node stores their chunks in packs of other names.)
    spoilt: BTreeSet<ShardRoot>,
    bringing: Bringing,
    audits: Audits,
    claims: Telling,
    presence: Watch,
}

impl Source {
    pub(crate) fn new(vault: VaultId, policy: Policy) -> Self {
        Self {
            machine: Placing::new(vault, policy),
            vault,
            policy,
            uploads: BTreeMap::new(),
            pushes: BTreeMap::new(),
            making: None,
            frozen: false,
            spoilt: BTreeSet::new(),
            bringing: Bringing::default(),
            audits: Audits::new([0; 32]),
            claims: Telling::default(),
            presence: Watch::default(),
        }
    }

    /// Tells the machine everything that is durable, as after every start.
    pub(crate) fn start(&mut self, here: &mut Here<'_>) {
        *self = Self::new(self.vault, self.policy);
        self.audits = Audits::new(here.dice.bytes());
        let holders: Vec<_> = here.shared.circle.devices.iter().enumerate().collect();
        let known = holders.into_iter().filter(|(number, _)| *number != here.number);
        let known = known.map(|(_, it)| (it.id, Site(format!("site {}", it.site))));
        for (holder, site) in known.collect::<Vec<_>>() {
            // Everybody was paired with, and said so much as to grant something, before the run.
            let acquaintance = Acquaintance::Granted;
            self.give(here, Input::HolderKnown { holder, site, acquaintance });
        }
        self.start_watching(here);
        for row in here.disk.image.packs.clone().into_values() {
            let PackRow { shard, class, here: is_here, promised_sites, .. } = row;
            let kept_by = receipts_of(here, shard);
            let is_here = is_here && here.disk.image.files.contains_key(&shard.root);
            let known = KnownPack { shard, class, here: is_here, promised_sites, kept_by };
            self.give(here, Input::PackKnown(known));
            for holder in receipts_of(here, shard) {
                self.audit(here, auditing::Input::Kept { holder, shard });
            }
        }
        if let Some(seq) = here.disk.image.own_heads.keys().last().copied() {
            self.head_committed(here, seq);
        }
        for (holder, seq) in here.disk.image.held.clone() {
            let holder = here.shared.circle.devices[holder].id;
            self.give(here, Input::HeadHeld { holder, seq });
        }
        self.start_claims(here);
    }

    pub(crate) fn orders_pending(&self) -> usize {
        self.machine.orders_pending() + self.audits.machine().orders_pending()
    }

    pub(crate) fn timeout(&self) -> Option<Instant> {
        let timeouts = [
            self.machine.poll_timeout(),
            self.audits.machine().poll_timeout(),
            self.claims.machine().poll_timeout(),
            self.presence.timeout(),
        ];
        timeouts.into_iter().flatten().min()
    }

    pub(crate) fn time_passed(&mut self, here: &mut Here<'_>) {
        let due = |at: Option<Instant>| at.is_some_and(|at| at <= here.shared.now());
        let (places, audits) =
            (due(self.machine.poll_timeout()), due(self.audits.machine().poll_timeout()));
        let claims = due(self.claims.machine().poll_timeout());
        let presence = due(self.presence.timeout());
        if places {
            self.give(here, Input::TimePassed);
        }
        if audits {
            self.audit(here, auditing::Input::TimePassed);
        }
        if claims {
            self.claim(here, claiming::Input::TimePassed);
        }
        if presence {
            self.watch(here, watching::Input::TimePassed);
        }
    }

    pub(crate) fn digest(&self) -> u64 {
        let numbers = [self.orders_pending(), self.uploads.len(), self.pushes.len()];
        numbers.iter().fold(u64::from(self.frozen), |sum, number| {
            (sum << 8) ^ u64::try_from(*number).expect("few orders")
        })
    }

    pub(crate) fn unconverged(&self, disk: &Disk) -> Option<String> {
        let newest = disk.image.own_heads.keys().last().copied().unwrap_or(0);
        if self.frozen || newest <= disk.image.published {
            return None;
        }
        let status = self.machine.status();
        let (blocked, lacks) = (status.blocked, status.newest_lacks);
        let published = disk.image.published;
        Some(format!("head {newest}, published {published}, lacks {lacks}, {blocked:?}"))
    }

    /// AUDIT-8: who has to show a shard does not get it here.
    pub(crate) fn has_to_show(&self, holder: usize, root: ShardRoot) -> bool {
        self.audits.has_to_show(holder, root)
    }

    pub(crate) fn verify(&mut self, here: &mut Here<'_>) {
        here.shared.saw("verify");
        let ids: Vec<_> = here.shared.circle.devices.iter().map(|device| device.id).collect();
        for holder in ids {
            self.audit(here, auditing::Input::AskAll { holder });
        }
    }

    // Backups.

    pub(crate) fn back_up(&mut self, here: &mut Here<'_>, dice: &mut Dice, packs: u64) {
        let image = &here.disk.image;
        let in_spool =
            |row: &&PackRow| row.here && row.class == PackClass::Data && !self.policy.keep_own;
        let spooled = image.packs.values().filter(in_spool).count();
        if self.frozen || self.making.is_some() || spooled >= SPOOL_PACKS {
            return here.shared.saw("backup put off");
        }
        self.look_for_clones(here);
        if self.frozen {
            return;
        }
        for root in std::mem::take(&mut self.spoilt) {
            if let Some(row) = here.disk.image.packs.get(&root).copied() {
                here.write_now(Write::File(root, File::sound(row.shard.bytes)));
                here.write_now(Write::Pack(PackRow { here: true, ..row }));
                here.shared.saw("pack made again");
                self.give(here, Input::PackStored { shard: row.shard, class: row.class });
            }
        }
        here.shared.saw("backup");
        let mut left = vec![PackClass::Metadata; 2];
        left.extend((0..packs).map(|_| PackClass::Data));
        self.making = Some(Making { left, commit_pack: None, dice: Some(dice.clone()) });
        self.make_next(here);
    }

    /// Writes the next pack; after the last one, the head.
    fn make_next(&mut self, here: &mut Here<'_>) {
        let Some(making) = &mut self.making else { return };
        let Some(class) = making.left.pop() else { return self.make_head(here) };
        let dice = making.dice.as_mut().expect("it has its dice until it is over");
        let groups = match class {
            PackClass::Data => dice.tail(1, 2_048),
            PackClass::Metadata => dice.tail(1, 64),
        };
        let root = ShardRoot::from_bytes(dice.bytes());
        let shard = ShardRef { root, bytes: groups * GROUP_BYTES };
        let last = making.left.is_empty();
        if last {
            making.commit_pack = Some(shard);
        }
        let ticket = here.disk.begin(Write::File(root, File::sound(shard.bytes)));
        here.sync(ticket, Synced::Pack { shard, class });
        if last && here.shared.has(Bug::HeadBeforePacks) {
            self.make_head(here);
        }
    }

    fn make_head(&mut self, here: &mut Here<'_>) {
        let Some(making) = self.making.take() else { return };
        let commit_pack = making.commit_pack.expect("every backup has a commit pack");
        self.look_for_clones(here);
        if self.frozen {
            return;
        }
        let dropped = self.forgotten(here, commit_pack.root);
        let image = &here.disk.image;
        let live = |row: &&PackRow| row.dropped == 0 && !dropped.contains(&row.shard.root);
        let rows = image.packs.values().filter(live).map(|row| (row.shard, row.class));
        let mut needs: Vec<(ShardRef, PackClass)> = rows.collect();
        if !needs.iter().any(|(shard, _)| *shard == commit_pack) {
            needs.push((commit_pack, PackClass::Metadata));
        }
        let last = image.own_heads.values().last();
        let device = &here.shared.circle.devices[here.number];
        let vault = &here.shared.circle.vaults[here.vault];
        let book = image.books.get(&here.vault);
        let body = HeadBody {
            version: HEAD_VERSION,
            vault: vault.id,
            device: device.id,
            seq: last.map_or(1, |head| head.body().seq + 1),
            prev: last.map(SignedHead::hash),
            log: vault.log.heads(),
            commit: commit_pack,
            claims: Claims::of(claimed(here, &needs)),
            seen: book.map(|book| book.seen_by(&device.id)).unwrap_or_default(),
            time: here.shared.wall(here.clock_off_s),
        };
        let head = SignedHead::sign(body, &device.keys).expect("a body made from a sound chain");
        let seq = head.body().seq;
        let roots = needs.iter().map(|(shard, _)| shard.root).collect();
        let commit = Commit { commit_pack, needs };
        here.shared.model.commits.insert(head.hash(), commit);
        let ticket = here.disk.begin(Write::OwnHead(head, roots, dropped));
        here.sync(ticket, Synced::OwnHead { seq });
    }

    /// HEAD-7: a device that meets a head of its own that it did not write publishes no more.
    fn look_for_clones(&mut self, here: &mut Here<'_>) {
        if here.shared.has(Bug::TrustRolledBackDisk) {
            return;
        }
        let id = here.shared.circle.devices[here.number].id;
        let image = &here.disk.image;
        let last = image.own_heads.values().last();
        let book = image.books.get(&here.vault);
        if book.is_some_and(|book| book.may_publish(&id, last).is_err()) && !self.frozen {
            self.frozen = true;
            here.shared.saw("clone found");
        }
    }

    fn head_committed(&mut self, here: &mut Here<'_>, seq: u64) {
        let needs = here.disk.image.own_heads.get(&seq).and_then(|head| {
            here.shared.model.commits.get(&head.hash()).map(|commit| commit.needs.clone())
        });
        self.give(here, Input::HeadCommitted { seq, needs: needs.unwrap_or_default() });
    }

    pub(crate) fn synced(&mut self, here: &mut Here<'_>, ticket: Ticket, what: Synced) {
        match what {
            Synced::Pack { shard, class } => {
                here.commit(ticket);
                here.write_now(Write::Pack(PackRow {
                    shard,
                    class,
                    here: true,
                    promised_sites: 0,
                    dropped: 0,
                }));
                self.give(here, Input::PackStored { shard, class });
                self.make_next(here);
            }
            Synced::OwnHead { seq } => {
                here.commit(ticket);
                check_committed(here, seq);
                if here.shared.has(Bug::ShowUnsafeHead) {
                    show_head(here, seq);
                }
                self.head_committed(here, seq);
                let holder = here.shared.circle.devices[here.number].id;
                self.claim(here, claiming::Input::HeadCommitted { seq });
                self.claim(here, claiming::Input::HeadHeld { holder, seq });
                if here.shared.has(Bug::PushBeforeSafe) {
                    for holder in 0..here.shared.circle.devices.len() {
                        self.push(here, OrderId(u64::MAX), holder, seq);
                    }
                }
            }
            Synced::Receipt { holder, shard } => {
                here.commit(ticket);
                self.receipt_kept(here, holder, shard);
            }
            Synced::HeldFile { .. }
            | Synced::HeldRow { .. }
            | Synced::HeldHead { .. }
            | Synced::Vigil { .. } => {}
        }
    }

    fn receipt_kept(&mut self, here: &mut Here<'_>, holder: usize, shard: ShardRef) {
        let holder = here.shared.circle.devices[holder].id;
        self.give(here, Input::ReceiptKept { holder, root: shard.root });
        self.audit(here, auditing::Input::Kept { holder, shard });
    }

    // What holders say.

    pub(crate) fn lost(&mut self, here: &mut Here<'_>, holder: usize) {
        self.uploads.retain(|_, sending| sending.holder != holder);
        self.pushes.retain(|_, (of, _)| *of != holder);
        self.fetch_lost(here, holder);
        self.audits_lost(here, holder);
        self.claims_lost(here, holder);
        self.was_silent(here, holder);
        let holder = here.shared.circle.devices[holder].id;
        self.give(here, Input::HolderLost { holder });
    }

    pub(crate) fn answered(&mut self, here: &mut Here<'_>, line: Line, message: ToClient) {
        match message {
            ToClient::Welcome { granted_bytes, heads, introduced } => {
                self.take_heads(here, heads);
                self.introduce(here, line, introduced);
                self.was_heard(here, line.link.holder);
                let holder = here.shared.circle.devices[line.link.holder].id;
                self.give(here, Input::HolderConnected { holder, granted_bytes });
                self.audit(here, auditing::Input::HolderConnected { holder });
                self.claim(here, claiming::Input::HolderConnected { holder });
            }
            ToClient::Verdicts { order, verdicts } => {
                let seed = here.shared.seed;
                let claim = |it| Claim::from_verdict(it, |receipt| word::verify(seed, receipt));
                let claims: Vec<Claim> = verdicts.into_iter().map(claim).collect();
                for claim in &claims {
                    if let Claim::Kept(receipt) = claim {
                        note_receipt(here, line, receipt);
                    }
                }
                self.give(here, Input::OfferAnswered { order, claims });
            }
            ToClient::ClaimsTaken { order } => self.claims_ended(here, order, true),
            ToClient::Refused { order, .. } if self.is_claim(order, line.link.holder) => {
                self.claims_ended(here, order, false);
            }
            ToClient::Refused { order, reason } => {
                if self.uploads.remove(&order).is_some() {
                    let upload = Upload::Refused(reason);
                    self.give(here, Input::UploadEnded { order, upload });
                } else if self.pushes.remove(&order).is_some() {
                    self.give(here, Input::HeadPushed { order, taken: false });
                } else {
                    self.give(here, Input::OfferFailed { order, refusal: Some(reason) });
                }
            }
            ToClient::Go { order } => self.plan_piece(here, line, order),
            ToClient::Stored { order, receipt } => {
                self.uploads.remove(&order);
                let upload = if word::verify(here.shared.seed, &receipt) {
                    note_receipt(here, line, &receipt);
                    Upload::Stored(receipt)
                } else {
                    Upload::Forged
                };
                self.give(here, Input::UploadEnded { order, upload });
            }
            ToClient::HeadTaken { order } => {
                if let Some((holder, seq)) = self.pushes.remove(&order) {
                    here.write_now(Write::Held(holder, seq));
                    here.shared.saw("head taken");
                    let source = here.number;
                    here.shared.check(Check::HeadTaken { holder, source, seq });
                    let id = here.shared.circle.devices[holder].id;
                    self.claim(here, claiming::Input::HeadHeld { holder: id, seq });
                    self.give(here, Input::HeadPushed { order, taken: true });
                }
            }
            ToClient::OtherHeads { order, heads } => {
                self.take_heads(here, heads);
                self.pushes.remove(&order);
                self.give(here, Input::HeadPushed { order, taken: false });
            }
            ToClient::Groups { order, last, wrong, .. } => {
                self.groups_came(here, order, last, wrong);
            }
            ToClient::ReadFailed { order, .. } => self.reading_failed(here, order),
            ToClient::Shown { order, shown } => self.shown(here, order, &shown),
            ToClient::Heads { .. } | ToClient::Told { .. } => {}
        }
    }

    fn take_heads(&mut self, here: &mut Here<'_>, heads: Vec<SignedHead>) {
        for head in heads {
            let vault = here.vault;
            let device = head.body().device;
            let book = here.disk.image.books.get(&vault);
            let mut book = book.map(|book| book.part(&device)).unwrap_or_default();
            if book.heads_of(&device).any(|known| known.hash() == head.hash()) {
                continue;
            }
            let head = match here.shared.check_head(vault, &head) {
                Ok(head) => head,
                Err(error) => {
                    let text = format!("an invalid head: {error}");
                    here.shared.violation(Property::Head, text);
                    continue;
                }
            };
            match book.take(head.clone()) {
                Offered::Taken => here.write_now(here.head_kept(vault, head)),
                Offered::Forked(_) => {
                    here.shared.saw("fork met");
                    here.write_now(here.head_kept(vault, head));
                }
                Offered::Known | Offered::Older(_) | Offered::Invalid(_) => {}
            }
        }
        if !here.shared.has(Bug::CheckClonesAtCommitOnly) {
            self.look_for_clones(here);
        }
    }

    // Uploads.

    fn plan_piece(&self, here: &mut Here<'_>, line: Line, order: OrderId) {
        if !self.uploads.contains_key(&order) {
            return;
        }
        let now = here.shared.now();
        let bytes = here.shared.network.piece_bytes(now, line.link);
        let at = here.shared.network.sent_at(now, line, true, bytes);
        here.shared.queue.at(at, Event::SendPiece { line, order });
    }

    pub(crate) fn send_piece(&mut self, here: &mut Here<'_>, line: Line, order: OrderId) {
        let Some(sending) = self.uploads.get_mut(&order) else { return };
        let (shard, start) = (sending.shard, sending.sent);
        if !here.disk.image.files.contains_key(&shard.root) {
            self.uploads.remove(&order);
            here.shared.tell_holder(line, ToHolder::Abort { order });
            return self.give(here, Input::UploadEnded { order, upload: Upload::Unreadable });
        }
        let now = here.shared.now();
        let bytes = here.shared.network.piece_bytes(now, line.link).min(shard.bytes - start);
        sending.sent += bytes;
        let left = shard.bytes - sending.sent;
        let groups = (start / GROUP_BYTES, sending.sent.div_ceil(GROUP_BYTES));
        let sound = rotten_between(here.disk, shard.root, groups).is_none();
        here.shared.tell_holder(line, ToHolder::Piece { order, bytes, left, sound });
        if left > 0 {
            self.plan_piece(here, line, order);
        }
        self.give(here, Input::UploadProgressed { order });
    }

    fn give(&mut self, here: &mut Here<'_>, input: Input) {
        self.machine.handle_input(here.shared.now(), input);
        while let Some(output) = self.machine.poll_output() {
            self.carry_out(here, output);
        }
    }

    fn carry_out(&mut self, here: &mut Here<'_>, output: Output) {
        match output {
            Output::Connect { holder } => {
                let link = Link { client: here.number, holder: here.shared.number(holder) };
                match here.shared.network.line(link) {
                    // The greeting or its answer was lost: it is sent again.
                    Some(line) => here.shared.tell_holder(line, ToHolder::Greet),
                    None => here.shared.wanted.push(link),
                }
            }
            Output::Offer { order, holder, shards } => {
                let holder = here.shared.number(holder);
                tell(here, holder, ToHolder::Offer { order, shards });
            }
            Output::Upload { order, holder, shard, class } => {
                let holder = here.shared.number(holder);
                self.uploads.insert(order, Sending { holder, shard, sent: 0 });
                tell(here, holder, ToHolder::Put { order, shard, class });
            }
            Output::CancelUpload { order } => {
                if let Some(sending) = self.uploads.remove(&order) {
                    here.shared.saw("upload cancelled");
                    tell(here, sending.holder, ToHolder::Abort { order });
                }
            }
            Output::KeepReceipt { receipt } => self.keep_receipt(here, &receipt),
            Output::ForgetReceipt { holder, root } => {
                self.audit(here, auditing::Input::Forgotten { holder, root });
                let holder = here.shared.number(holder);
                if let Some(holders) = here.disk.image.receipts.get_mut(&root) {
                    holders.remove(&holder);
                }
            }
            Output::DropLocal { shard, sites } => drop_local(here, shard, sites),
            Output::PushHead { order, holder, seq } => {
                let holder = here.shared.number(holder);
                self.push(here, order, holder, seq);
            }
            Output::HeadPublished { seq } => {
                here.shared.saw("head published");
                here.disk.image.published = seq.max(here.disk.image.published);
                here.shared.check(Check::Published { source: here.number, seq });
                self.claim(here, claiming::Input::HeadPublished { seq });
            }
            Output::Blame { holder, fault, .. } => {
                let (by, holder) = (here.number, here.shared.number(holder));
                here.shared.check(Check::Blamed { by, holder, fault: format!("{fault:?}") });
            }
            Output::CheckLocal { shard } => {
                let groups = (0, groups_of(shard));
                let bad = rotten_between(here.disk, shard.root, groups).is_some();
                if bad || !here.disk.image.files.contains_key(&shard.root) {
                    here.shared.saw("own copy found damaged");
                    self.give(here, Input::PackLost { root: shard.root });
                }
            }
            Output::BringBack { order, shard, .. } => self.bring_back(here, order, shard),
            // In this world whoever is left word loses it: a carrier can do no worse.
            Output::Errands { order, .. } => {
                here.shared.saw("errand left");
                self.give(here, Input::ErrandsEnded { order, is_done: true });
            }
            Output::LocalLost { root } | Output::PackNowhere { root } => {
                self.spoilt.insert(root);
            }
            Output::HeadSafe { .. }
            | Output::PackSafe { .. }
            | Output::HolderIs { .. }
            | Output::Acquainted { .. } => {}
        }
    }

    fn keep_receipt(&mut self, here: &mut Here<'_>, receipt: &Receipt) {
        let (shard, holder) = (receipt.body.shard, here.shared.number(receipt.body.holder));
        if here.shared.has(Bug::DropOnFirstReceipt)
            && here.disk.image.packs.get(&shard.root).is_some_and(|it| it.class == PackClass::Data)
        {
            drop_local(here, shard, 1);
        }
        if here.shared.has(Bug::LoseReceipt) {
            return self.receipt_kept(here, holder, shard);
        }
        let ticket = here.disk.begin(Write::Receipt(holder, shard.root));
        here.sync(ticket, Synced::Receipt { holder, shard });
    }

    fn push(&mut self, here: &mut Here<'_>, order: OrderId, holder: usize, seq: u64) {
        if !here.shared.has(Bug::CheckClonesAtCommitOnly) {
            self.look_for_clones(here);
        }
        let head = here.disk.image.own_heads.get(&seq).cloned();
        let Some(head) = head.filter(|_| !self.frozen) else {
            return self.give(here, Input::HeadPushed { order, taken: false });
        };
        let now = here.shared.now();
        let (source, set_back) = (here.number, here.shared.model.set_back.contains(&here.number));
        let new = here.shared.model.head_leaves(now, source, &head, !set_back);
        here.shared.check(Check::Pushed { source, holder, seq, new });
        self.pushes.insert(order, (holder, seq));
        show_head(here, seq);
        tell(here, holder, ToHolder::PushHead { order, head: Box::new(head) });
    }
}

/// What a head signs that it needs.
fn claimed(here: &Here<'_>, needs: &[(ShardRef, PackClass)]) -> Vec<ShardRef> {
    let mut claimed: Vec<ShardRef> = needs.iter().map(|(shard, _)| *shard).collect();
    claimed.sort_unstable_by_key(|shard| shard.root);
    claimed.dedup();
    if here.shared.has(Bug::ClaimLess) && claimed.len() > 1 {
        claimed.remove(0);
    }
    claimed
}

/// Whose receipts for this shard are durable here.
fn receipts_of(here: &Here<'_>, shard: ShardRef) -> Vec<DeviceId> {
    let id = |number: &usize| here.shared.circle.devices[*number].id;
    here.disk.image.receipts.get(&shard.root).into_iter().flatten().map(id).collect()
}

/// INV-1: when a head is durable, everything that it leads to is.
fn check_committed(here: &mut Here<'_>, seq: u64) {
    let image = &here.disk.image;
    let needs = image.needs.get(&seq).into_iter().flatten();
    if needs.into_iter().any(|root| !image.packs.contains_key(root)) {
        let text = format!("head {seq} of {} is durable, a pack is not", here.number);
        here.shared.violation(Property::HeadPlaced, text);
    }
}

/// INV-2: whoever asks for heads is shown an own one only when its packs are safe.
fn show_head(here: &mut Here<'_>, seq: u64) {
    if let Some(head) = here.disk.image.own_heads.get(&seq) {
        let head = here.shared.check_head(here.vault, head).expect("it signed it itself");
        here.write_now(here.head_kept(here.vault, head));
    }
}

/// The receipt of a holder arrived: it must be true.
fn note_receipt(here: &mut Here<'_>, line: Line, receipt: &Receipt) {
    here.shared.saw("receipt");
    let (holder, vault, root) = (line.link.holder, here.vault, receipt.body.shard.root);
    here.shared.check(Check::Receipt { holder, root, vault });
}

fn tell(here: &mut Here<'_>, holder: usize, message: ToHolder) {
    let link = Link { client: here.number, holder };
    if let Some(line) = here.shared.network.line(link) {
        here.shared.tell_holder(line, message);
    }
}

/// What the row says comes first: a crash in between leaves a copy too many, not too few.
fn drop_local(here: &mut Here<'_>, shard: ShardRef, sites: u8) {
    let Some(row) = here.disk.image.packs.get(&shard.root).copied() else { return };
    here.shared.saw("local copy dropped");
    let receipts = here.disk.image.receipts.get(&shard.root).cloned().unwrap_or_default();
    here.shared.check(Check::Dropped { source: here.number, root: shard.root, receipts, sites });
    here.write_now(Write::Pack(PackRow { here: false, promised_sites: sites, ..row }));
    here.disk.remove_file_if_unnamed(shard.root);
}
