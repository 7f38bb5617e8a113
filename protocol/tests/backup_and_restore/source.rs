//! The source: the real `Placing` machine, and a model of its shell and disk.

use std::collections::{BTreeMap, BTreeSet};

use larder_protocol::{
    ids::{HeadHash, ShardRoot},
    index::{PackClass, ShardRef},
    limits::{GROUP_BYTES, UPLOADS_TOTAL_MAX},
    order::OrderId,
    placing::{Copies, Input, KnownPack, Output, Placing, Policy, Site, Upload},
    receipt::Receipt,
    recovering::HeadSeen,
    time::Instant,
};

use crate::world::{
    Bug, COPIES, Client, Commit, Event, HOLDERS, SOURCE, Shared, ToClient, ToHolder, VAULT,
    holder_id, holder_of,
};

pub(crate) const PIECE_BYTES: u64 = 256 * 1024;
/// Own data packs kept here at once: the bounded spool.
const SPOOL_PACKS: usize = 12;

/// A pack's row.
#[derive(Debug, Clone)]
struct PackRow {
    shard: ShardRef,
    class: PackClass,
    here: bool,
    promised_sites: u8,
}

pub(crate) struct SourceNode {
    pub(crate) placing: Placing,
    boots: u64,
    wake_at: Option<Instant>,
    wanted: BTreeSet<usize>,
    /// Durable.
    packs: BTreeMap<ShardRoot, PackRow>,
    receipts: BTreeSet<(usize, ShardRoot)>,
    heads: BTreeMap<u64, Commit>,
    held: BTreeMap<usize, u64>,
    /// What the machine said is safe.
    pub(crate) safe: BTreeSet<ShardRoot>,
    pub(crate) published: u64,
    uploads: BTreeMap<OrderId, (usize, u64, ShardRoot)>,
    pushes: BTreeMap<OrderId, (usize, u64)>,
}

fn policy() -> Policy {
    let copies = Copies::Fixed(u8::try_from(COPIES).expect("few copies"));
    Policy { copies, keep_own: false }
}

impl SourceNode {
    pub(crate) fn new() -> Self {
        Self {
            placing: Placing::new(VAULT, policy()),
            boots: 0,
            wake_at: None,
            wanted: BTreeSet::new(),
            packs: BTreeMap::new(),
            receipts: BTreeSet::new(),
            heads: BTreeMap::new(),
            held: BTreeMap::new(),
            safe: BTreeSet::new(),
            published: 0,
            uploads: BTreeMap::new(),
            pushes: BTreeMap::new(),
        }
    }

    /// Tells the machine everything that is durable, as after every start.
    pub(crate) fn start(&mut self, shared: &mut Shared) {
        self.placing = Placing::new(VAULT, policy());
        for holder in 0..HOLDERS {
            let site = Site(format!("household {}", shared.sites[holder]));
            self.give(shared, Input::HolderKnown { holder: holder_id(holder), site });
        }
        for row in self.packs.clone().into_values() {
            let of_pack = self.receipts.iter().filter(|(_, root)| *root == row.shard.root);
            let kept_by = of_pack.map(|(holder, _)| holder_id(*holder)).collect();
            let PackRow { shard, class, here, promised_sites } = row;
            let known = KnownPack { shard, class, here, promised_sites, kept_by };
            self.give(shared, Input::PackKnown(known));
        }
        for (holder, seq) in self.held.clone() {
            self.give(shared, Input::HeadHeld { holder: holder_id(holder), seq });
        }
        if let Some((seq, commit)) = self.heads.last_key_value() {
            let (seq, needs) = (*seq, commit.needs.clone());
            self.give(shared, Input::HeadCommitted { seq, needs });
        }
    }

    pub(crate) fn is_all_published(&self) -> bool {
        self.published == self.heads.keys().last().copied().unwrap_or(0)
    }

    pub(crate) fn receipts(&self) -> impl Iterator<Item = (usize, ShardRoot)> {
        self.receipts.iter().copied()
    }

    pub(crate) fn figures(&self) -> String {
        let here = self.packs.values().filter(|row| row.here).count();
        let (packs, receipts) = (self.packs.len(), self.receipts.len());
        format!("{packs} packs, {here} here, {receipts} receipts, head {}", self.published)
    }

    pub(crate) fn take_wanted(&mut self) -> BTreeSet<usize> {
        std::mem::take(&mut self.wanted)
    }

    pub(crate) fn happen(&mut self, shared: &mut Shared, event: Event) {
        match event {
            Event::Make => self.make(shared),
            Event::SourceKept { boot, receipt } if boot == self.boots => {
                let (holder, root) = (receipt.body.holder, receipt.body.shard.root);
                self.receipts.insert((holder_of(holder), root));
                self.give(shared, Input::ReceiptKept { holder, root });
            }
            Event::SourceRestart => {
                self.boots += 1;
                self.uploads.clear();
                self.pushes.clear();
                self.wanted.clear();
                self.start(shared);
            }
            _ => {}
        }
    }

    /// A backup: some packs and a head, unless the spool is full.
    fn make(&mut self, shared: &mut Shared) {
        let spooled =
            self.packs.values().filter(|row| row.here && row.class == PackClass::Data).count();
        if spooled >= SPOOL_PACKS {
            return shared.after(60_000, Event::Make);
        }
        for _ in 0..shared.dice.range(0, 5) {
            self.make_pack(shared, PackClass::Data);
        }
        self.make_pack(shared, PackClass::Metadata);
        let commit_pack = self.make_pack(shared, PackClass::Metadata);
        let seq = self.heads.keys().last().map_or(1, |seq| seq + 1);
        let hash = HeadHash::from_bytes(shared.dice.bytes());
        let prev = self.heads.values().last().map(|commit| commit.head.hash);
        let head = HeadSeen { device: SOURCE, seq, hash, prev, seen: vec![] };
        let needs: Vec<(ShardRef, PackClass)> =
            self.packs.values().map(|row| (row.shard, row.class)).collect();
        let commit = Commit { head, commit_pack, needs: needs.clone() };
        shared.commits.insert(hash, commit.clone());
        self.heads.insert(seq, commit);
        self.give(shared, Input::HeadCommitted { seq, needs });
        if shared.bug == Some(Bug::PushBeforeSafe) {
            for holder in 0..HOLDERS {
                self.push(shared, OrderId(u64::MAX), holder, seq);
            }
        }
    }

    fn make_pack(&mut self, shared: &mut Shared, class: PackClass) -> ShardRef {
        let groups = match class {
            PackClass::Data => shared.dice.range(1, 400),
            PackClass::Metadata => shared.dice.range(1, 20),
        };
        let root = ShardRoot::from_bytes(shared.dice.bytes());
        let shard = ShardRef { root, bytes: groups * GROUP_BYTES };
        self.packs.insert(root, PackRow { shard, class, here: true, promised_sites: 0 });
        self.give(shared, Input::PackStored { shard, class });
        shard
    }

    pub(crate) fn wake(&mut self, shared: &mut Shared) {
        if self.wake_at.is_some_and(|at| at <= shared.now) {
            self.wake_at = None;
            self.give(shared, Input::TimePassed);
        }
    }

    pub(crate) fn connected(&mut self, shared: &mut Shared, holder: usize, granted_bytes: u64) {
        let holder = holder_id(holder);
        self.give(shared, Input::HolderConnected { holder, granted_bytes });
    }

    pub(crate) fn lost(&mut self, shared: &mut Shared, holder: usize) {
        self.uploads.retain(|_, (of, _, _)| *of != holder);
        self.pushes.retain(|_, (of, _)| *of != holder);
        self.give(shared, Input::HolderLost { holder: holder_id(holder) });
    }

    pub(crate) fn receive(&mut self, shared: &mut Shared, holder: usize, message: ToClient) {
        match message {
            ToClient::Verdicts { order, claims } => {
                self.give(shared, Input::OfferAnswered { order, claims });
            }
            ToClient::Refused { order, reason } => {
                let upload = Upload::Refused(reason);
                if self.uploads.remove(&order).is_some() {
                    self.give(shared, Input::UploadEnded { order, upload });
                } else {
                    self.give(shared, Input::OfferFailed { order, refusal: Some(reason) });
                }
            }
            ToClient::Go { order } => self.plan_piece(shared, holder, order),
            ToClient::Stored { order, receipt } => {
                self.uploads.remove(&order);
                let upload = Upload::Stored(receipt);
                self.give(shared, Input::UploadEnded { order, upload });
            }
            ToClient::HeadTaken { order, taken } => {
                if let Some((holder, seq)) = self.pushes.remove(&order) {
                    self.held.insert(holder, seq);
                }
                self.give(shared, Input::HeadPushed { order, taken });
            }
            ToClient::Heads { .. } | ToClient::Groups { .. } | ToClient::ReadFailed { .. } => {
                shared.violation("an answer that the source did not ask for");
            }
        }
    }

    fn plan_piece(&mut self, shared: &mut Shared, holder: usize, order: OrderId) {
        let Some(epoch) = shared.epoch(Client::Source, holder) else { return };
        let when = shared.sent_at(Client::Source, holder, PIECE_BYTES);
        shared.at(when, Event::SendPiece { holder, epoch, order });
    }

    pub(crate) fn send_piece(&mut self, shared: &mut Shared, holder: usize, order: OrderId) {
        let Some((_, left, root)) = self.uploads.get_mut(&order) else { return };
        *left = left.saturating_sub(PIECE_BYTES);
        let left = *left;
        if !self.packs.get(root).is_some_and(|row| row.here) {
            shared.violation("a pack was dropped under its upload");
        }
        shared.tell_holder(Client::Source, holder, ToHolder::Piece { order, left });
        if left > 0 {
            self.plan_piece(shared, holder, order);
        }
        self.give(shared, Input::UploadProgressed { order });
    }

    fn give(&mut self, shared: &mut Shared, input: Input) {
        self.placing.handle_input(shared.now, input);
        while let Some(output) = self.placing.poll_output() {
            self.carry_out(shared, output);
        }
        let Some(at) = self.placing.poll_timeout() else { return };
        if self.wake_at.is_none_or(|old| at < old || old <= shared.now) {
            self.wake_at = Some(at);
            shared.at(at, Event::Wake(Client::Source));
        }
    }

    fn carry_out(&mut self, shared: &mut Shared, output: Output) {
        match output {
            Output::Connect { holder } => {
                self.wanted.insert(holder_of(holder));
            }
            Output::Offer { order, holder, shards } => {
                let message = ToHolder::Offer { order, shards };
                shared.tell_holder(Client::Source, holder_of(holder), message);
            }
            Output::Upload { order, holder, shard, class } => {
                if !self.packs.get(&shard.root).is_some_and(|row| row.here) {
                    shared.violation("an upload of a pack that is not here");
                }
                self.uploads.insert(order, (holder_of(holder), shard.bytes, shard.root));
                let message = ToHolder::Put { order, shard, class };
                shared.tell_holder(Client::Source, holder_of(holder), message);
            }
            Output::CancelUpload { order } => {
                if let Some((holder, _, _)) = self.uploads.remove(&order) {
                    shared.tell_holder(Client::Source, holder, ToHolder::Abort { order });
                }
            }
            Output::KeepReceipt { receipt } => self.keep_receipt(shared, receipt),
            Output::ForgetReceipt { holder, root } => {
                self.receipts.remove(&(holder_of(holder), root));
            }
            Output::PackSafe { root, .. } => {
                self.safe.insert(root);
            }
            Output::DropLocal { shard, sites } => self.drop_local(shared, shard, sites),
            Output::PushHead { order, holder, seq } => {
                self.push(shared, order, holder_of(holder), seq);
            }
            Output::HeadPublished { seq } => self.published = self.published.max(seq),
            Output::Blame { holder, fault, .. } => shared.blame(holder, &fault),
            Output::CheckLocal { .. } | Output::LocalLost { .. } | Output::PackNowhere { .. } => {
                shared.violation("the source's own disk is sound here");
            }
            Output::HeadSafe { .. } | Output::HolderIs { .. } => {}
        }
    }

    fn keep_receipt(&mut self, shared: &mut Shared, receipt: Receipt) {
        let root = receipt.body.shard.root;
        if shared.bug == Some(Bug::DropOnFirstReceipt)
            && let Some(row) = self.packs.get(&root)
            && row.class == PackClass::Data
        {
            let shard = row.shard;
            self.drop_local(shared, shard, 1);
        }
        let (boot, delay_ms) = (self.boots, shared.dice.range(1, 200));
        shared.after(delay_ms, Event::SourceKept { boot, receipt });
    }

    /// Distinct sites with a durable receipt.
    fn sites_with(&self, shared: &Shared, root: ShardRoot) -> usize {
        let of_pack = self.receipts.iter().filter(|(_, of)| *of == root);
        of_pack.map(|(holder, _)| shared.sites[*holder]).collect::<BTreeSet<usize>>().len()
    }

    // PLACE-4
    fn drop_local(&mut self, shared: &mut Shared, shard: ShardRef, sites: u8) {
        let kept = self.sites_with(shared, shard.root);
        if kept < COPIES {
            shared.violation(format!("a local copy dropped with {kept} durable receipts"));
        }
        if let Some(row) = self.packs.get_mut(&shard.root) {
            if row.class == PackClass::Metadata {
                shared.violation("a metadata pack dropped");
            }
            row.here = false;
            row.promised_sites = sites;
        }
    }

    // PLACE-5
    fn push(&mut self, shared: &mut Shared, order: OrderId, holder: usize, seq: u64) {
        let Some(commit) = self.heads.get(&seq) else { return };
        let unsafe_packs =
            commit.needs.iter().filter(|(shard, _)| self.sites_with(shared, shard.root) < COPIES);
        let count = unsafe_packs.count();
        if count > 0 {
            shared.violation(format!("head {seq} pushed while {count} of its packs are unsafe"));
        }
        let head = commit.head.clone();
        shared.tell_holder(Client::Source, holder, ToHolder::PushHead { order, head });
        self.pushes.insert(order, (holder, seq));
    }

    pub(crate) fn check_bounds(&self, shared: &mut Shared) {
        if self.placing.orders_pending() > UPLOADS_TOTAL_MAX + 2 * HOLDERS {
            shared.violation("too many orders under way");
        }
    }
}
