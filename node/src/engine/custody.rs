//! Carries out the orders of the placing machine: one task owns the machine, workers move bytes
//! and report facts.
//!
//! ```text
//! backup, connections, workers ──facts──▶ [ placing ] ──orders──▶ workers: connect, offer, upload
//!                                             │
//!                                             └──▶ receipts made durable, local copies dropped,
//!                                                  heads pushed, the view that others watch
//! ```
//! Decides nothing: what goes where, and when it is safe, is `larder_protocol::placing`.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use larder_protocol::{
    auditing::{self, Auditing, HolderAudits},
    claiming::{self, Claiming},
    ids::{DeviceId, ShardRoot},
    index::{PackClass, ShardRef},
    leaving::Cover,
    order::OrderId,
    placing::{
        Claim, Condition, Fault, Input, KnownPack, Output, Placing, Policy, Site, Status, Upload,
    },
    receipt::Receipt,
    watching::{self, History, Watching},
    wire::message::{Answer, OfferedShard, Request, Verdict},
};
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::AbortHandle,
};
use tracing::{debug, warn};

use super::{Core, EngineError, Member, clock::wall, fetcher::Want, leaving};

use crate::{
    depot::{DepotError, Origin, ShardRow, ShardState, Tenure},
    net::PutError,
};

mod audits;
mod claims;
mod errands;
mod presence;
#[cfg(test)]
mod tests;

pub(crate) use audits::Examined;

/// Facts waiting for the machine. Workers wait for room; the machine's task never sends to it.
const FACTS_MAX: usize = 256;

/// What the rest of the node sees of placing.
#[derive(Debug, Clone, Default)]
pub(crate) struct View {
    /// Number of the newest own head that survives the loss of this device.
    pub(crate) published_seq: u64,
    /// Bytes of shards sent since the node was opened.
    pub(crate) sent_bytes: u64,
    /// Bytes of data packs that are here, see [`Placing::spool_bytes`].
    pub(crate) spool_bytes: u64,
    /// Grows with every change that a waiting backup may want to look at.
    pub(crate) turn: u64,
}

/// How often the machine hears that an upload is under way.
const UPLOAD_BEAT: Duration = Duration::from_secs(5);

/// Fetches for repair come after what somebody waits for: 0 is metadata, 1 a restore.
const FOR_LATER: u8 = 2;

enum Fact {
    Input(Input),
    Audit(auditing::Input),
    Claim(claiming::Input),
    Watch(watching::Input),
    AskHistories(oneshot::Sender<BTreeMap<DeviceId, History>>),
    AskAudits(oneshot::Sender<BTreeMap<DeviceId, HolderAudits>>),
    AskTelling(oneshot::Sender<bool>),
    AskCover(BTreeSet<DeviceId>, oneshot::Sender<Cover>),
    Sent(u64),
    AskStatus(oneshot::Sender<Status>),
}

/// The handle of the task.
#[derive(Debug, Clone)]
pub(crate) struct Custody {
    facts: mpsc::Sender<Fact>,
    view: watch::Receiver<View>,
}

impl std::fmt::Debug for Fact {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Fact")
    }
}

impl Custody {
    /// Starts the task with everything the database knows.
    pub(crate) fn start(
        core: &Arc<Core>,
        member: &Arc<Member>,
        policy: Policy,
    ) -> Result<Self, EngineError> {
        let (facts, inbox) = mpsc::channel(FACTS_MAX);
        let (show, view) = watch::channel(View::default());
        super::commit::correct_listed(core, member)?;
        let mut machine = Placing::new(member.vault, policy);
        let published = prime(core, member, &mut machine)?;
        let auditing = audits::prime(core)?;
        let claiming = claims::prime(core)?;
        let watching = presence::prime(core)?;
        show.send_modify(|view| view.published_seq = published);
        let task = Task {
            core: Arc::clone(core),
            member: Arc::clone(member),
            machine,
            auditing,
            claiming,
            watching,
            facts: facts.clone(),
            uploads: BTreeMap::new(),
            made: Arc::default(),
            show,
        };
        tokio::spawn(task.run(inbox));
        Ok(Self { facts, view })
    }

    /// Tells the machine a fact.
    pub(crate) async fn tell(&self, input: Input) {
        // The task ends only with the node; a fact that nobody hears is then no loss.
        let _ = self.facts.send(Fact::Input(input)).await;
    }

    /// Somebody was called in vain, for whatever reason: is taken to be away until it is met.
    pub(crate) async fn missed(&self, holder: DeviceId, error: &EngineError) {
        self.tell(missed(holder, error)).await;
    }

    /// The same as [`tell`](Self::tell), unless it is busy.
    pub(crate) fn hint(&self, input: Input) {
        let _ = self.facts.try_send(Fact::Input(input));
    }

    /// The same from a thread that may block.
    pub(crate) fn tell_blocking(&self, input: Input) {
        let _ = self.facts.blocking_send(Fact::Input(input));
    }

    /// Counts for people.
    pub(crate) async fn status(&self) -> Option<Status> {
        let (answer, status) = oneshot::channel();
        self.facts.send(Fact::AskStatus(answer)).await.ok()?;
        status.await.ok()
    }

    /// How everything would stand without these holders.
    pub(crate) async fn cover_without(&self, leavers: BTreeSet<DeviceId>) -> Option<Cover> {
        let (answer, cover) = oneshot::channel();
        self.facts.send(Fact::AskCover(leavers, answer)).await.ok()?;
        cover.await.ok()
    }

    /// Has everything that a holder keeps asked for.
    pub(crate) async fn audit(&self, holder: DeviceId) {
        let _ = self.facts.send(Fact::Audit(auditing::Input::AskAll { holder })).await;
    }

    /// How the audits of each holder stand.
    pub(crate) async fn audits(&self) -> Option<BTreeMap<DeviceId, HolderAudits>> {
        let (answer, audits) = oneshot::channel();
        self.facts.send(Fact::AskAudits(answer)).await.ok()?;
        audits.await.ok()
    }

    /// Nothing keeps this device any more from telling holders what it needs.
    pub(crate) async fn may_tell(&self) {
        let _ = self.facts.send(Fact::Claim(claiming::Input::Freed)).await;
    }

    /// Whether some holder is being told what this device needs.
    pub(crate) async fn is_telling(&self) -> bool {
        let (answer, telling) = oneshot::channel();
        self.facts.send(Fact::AskTelling(answer)).await.is_ok() && telling.await.unwrap_or(false)
    }

    /// What changes as things become safe.
    pub(crate) fn view(&self) -> watch::Receiver<View> {
        self.view.clone()
    }
}

/// Tells a fresh machine what was known before. Returns the number of the newest published head.
fn prime(core: &Core, member: &Member, machine: &mut Placing) -> Result<u64, EngineError> {
    let now = core.clock.now();
    machine.handle_input(now, Input::LineIs(core.meter.line()));
    let histories = core.state.histories()?;
    // Also from whom it was apart until a crash: what they said before is asked for anew.
    let mut apart = leaving::apart_from(core, &member.vault)?;
    apart.extend(core.state.apart()?);
    for peer in core.state.peers()?.into_iter().filter(|peer| peer.is_holder) {
        let (holder, acquaintance) = (peer.device, peer.acquaintance());
        let site = Site(peer.site);
        machine.handle_input(now, Input::HolderKnown { holder, site, acquaintance });
        let presence = histories.get(&holder).map(History::presence);
        // Before any pack is taken for safe because of it.
        let is_lost = presence == Some(watching::Presence::Lost);
        machine.handle_input(now, Input::HolderPresumed { holder, is_lost });
        if apart.contains(&peer.vault) {
            machine.handle_input(now, Input::HolderLeaves { holder });
        }
    }
    let mut kept_by: BTreeMap<ShardRoot, Vec<DeviceId>> = BTreeMap::new();
    for receipt in core.state.all_receipts()? {
        kept_by.entry(receipt.body.shard.root).or_default().push(receipt.body.holder);
    }
    for facts in core.state.pack_facts()? {
        let shard = facts.shard;
        let here = core.depot.row(&shard.root, &member.vault)?;
        machine.handle_input(
            now,
            Input::PackKnown(KnownPack {
                shard,
                class: facts.class,
                here: here.is_some_and(|row| is_to_be_placed(&row, facts.own)),
                promised_sites: facts.promised_sites,
                kept_by: kept_by.remove(&shard.root).unwrap_or_default(),
            }),
        );
    }
    let own = member.keys.id();
    let published = core.state.published_seq()?;
    if let Some(commit) = core.state.commit_of(&own)? {
        if published < commit.seq
            && let Some(needs) = super::commit::needs_of_head(core, member, published)
        {
            machine.handle_input(now, Input::HeadCommitted { seq: published, needs });
        }
        let needs = super::commit::needs(core, member)?;
        machine.handle_input(now, Input::HeadCommitted { seq: commit.seq, needs });
    }
    for (holder, seq) in core.state.heads_held()? {
        machine.handle_input(now, Input::HeadHeld { holder, seq });
    }
    Ok(published)
}

/// Whether placing may take a shard of the depot for its own local copy. A shard that is held for
/// another device of the same vault is not: it stays whatever copies there are elsewhere. A pack
/// that this device made is, also when another device had it kept here.
fn is_to_be_placed(row: &ShardRow, is_own_pack: bool) -> bool {
    row.state == ShardState::Ok && (row.origin == Origin::Own || is_own_pack)
}

struct Task {
    core: Arc<Core>,
    member: Arc<Member>,
    machine: Placing,
    auditing: Auditing,
    claiming: Claiming,
    watching: Watching,
    facts: mpsc::Sender<Fact>,
    uploads: BTreeMap<OrderId, AbortHandle>,
    /// What was last left for whom.
    made: Arc<errands::Made>,
    show: watch::Sender<View>,
}

impl Task {
    async fn run(mut self, mut inbox: mpsc::Receiver<Fact>) {
        loop {
            self.drain().await;
            let timeouts = [
                self.machine.poll_timeout(),
                self.auditing.poll_timeout(),
                self.claiming.poll_timeout(),
                self.watching.poll_timeout(),
            ];
            let timeout = timeouts.into_iter().flatten().min();
            let wake = self.core.clock.reached(timeout);
            tokio::select! {
                fact = inbox.recv() => match fact {
                    None => return,
                    Some(Fact::Input(input)) => self.take(input),
                    Some(Fact::Audit(input)) => self.audit(input),
                    Some(Fact::Claim(input)) => self.claim(input),
                    Some(Fact::Watch(input)) => self.watch(input),
                    Some(Fact::AskHistories(answer)) => {
                        let _ = answer.send(self.watching.status());
                    }
                    Some(Fact::AskAudits(answer)) => {
                        let _ = answer.send(self.auditing.status());
                    }
                    Some(Fact::AskTelling(answer)) => {
                        let _ = answer.send(self.claiming.is_telling());
                    }
                    Some(Fact::AskCover(leavers, answer)) => {
                        let _ = answer.send(self.machine.cover_without(&leavers));
                    }
                    Some(Fact::Sent(bytes)) => self.show.send_modify(|v| v.sent_bytes += bytes),
                    Some(Fact::AskStatus(answer)) => {
                        // Whoever asked may be gone.
                        let _ = answer.send(self.machine.status());
                    }
                },
                () = wake => {
                    self.take(Input::TimePassed);
                    self.audit(auditing::Input::TimePassed);
                    self.claim(claiming::Input::TimePassed);
                    self.watch(watching::Input::TimePassed);
                }
                () = self.core.closing.cancelled() => return,
            }
        }
    }

    fn take(&mut self, input: Input) {
        if let Input::UploadEnded { order, .. } = &input {
            self.uploads.remove(order);
        }
        self.heard_of_claims(&input);
        self.heard_of_presence(&input);
        if let Some(input) = audits::heard(&input) {
            self.audit(input);
        }
        self.machine.handle_input(self.core.clock.now(), input);
    }

    /// Carries out orders until there are none. Receipts are committed together.
    async fn drain(&mut self) {
        loop {
            let mut receipts = Vec::new();
            let mut any = false;
            while let Some(output) = self.machine.poll_output() {
                any = true;
                match output {
                    Output::KeepReceipt { receipt } => receipts.push(receipt),
                    other => self.carry_out(other).await,
                }
            }
            while let Some(output) = self.auditing.poll_output() {
                any = true;
                self.carry_out_audit(output).await;
            }
            while let Some(output) = self.claiming.poll_output() {
                any = true;
                self.carry_out_claim(&output);
            }
            while let Some(output) = self.watching.poll_output() {
                any = true;
                self.carry_out_watch(output).await;
            }
            let spool_bytes = self.machine.spool_bytes();
            self.show.send_if_modified(|view| {
                std::mem::replace(&mut view.spool_bytes, spool_bytes) != spool_bytes
            });
            if !any {
                return;
            }
            self.keep(receipts).await;
            self.show.send_modify(|view| view.turn += 1);
        }
    }

    /// PLACE: a receipt counts once it is durable here.
    async fn keep(&mut self, receipts: Vec<Receipt>) {
        if receipts.is_empty() {
            return;
        }
        let core = Arc::clone(&self.core);
        let batch = receipts.clone();
        let kept = super::on_disk(move || core.state.keep_receipts(&batch)).await;
        if let Err(error) = kept {
            warn!("receipts could not be kept and do not count: {error}");
            for receipt in receipts {
                let (holder, root) = (receipt.body.holder, receipt.body.shard.root);
                self.take(Input::ReceiptNotKept { holder, root });
            }
            return;
        }
        for receipt in receipts {
            let (holder, shard) = (receipt.body.holder, receipt.body.shard);
            self.take(Input::ReceiptKept { holder, root: shard.root });
            self.audit(auditing::Input::Kept { holder, shard });
        }
    }

    async fn carry_out(&mut self, output: Output) {
        match output {
            Output::Connect { holder } => self.connect(holder),
            Output::Offer { order, holder, shards } => self.offer(order, holder, shards),
            Output::Upload { order, holder, shard, class } => {
                self.upload(order, holder, shard, class);
            }
            Output::CancelUpload { order } => {
                if let Some(upload) = self.uploads.remove(&order) {
                    upload.abort();
                }
            }
            Output::ForgetReceipt { holder, root } => {
                self.audit(auditing::Input::Forgotten { holder, root });
                let core = Arc::clone(&self.core);
                log_failure(super::on_disk(move || core.state.drop_receipt(&root, &holder)).await);
            }
            Output::DropLocal { shard, sites } => self.drop_local(shard, sites).await,
            Output::HeadSafe { seq } => debug!("everything that head {seq} needs is safe"),
            Output::PushHead { order, holder, seq } => self.push_head(order, holder, seq),
            Output::HeadPublished { seq } => self.published(seq).await,
            Output::CheckLocal { shard } => self.check_local(shard),
            Output::PackSafe { root, sites } => {
                let core = Arc::clone(&self.core);
                log_failure(super::on_disk(move || core.state.vouch(&root, sites)).await);
            }
            Output::PackNowhere { root } => {
                let core = Arc::clone(&self.core);
                log_failure(super::on_disk(move || core.state.revoke(&root)).await);
            }
            Output::Errands { order, carrier, wishes } => self.run_errands(order, carrier, wishes),
            Output::BringBack { order, shard, class } => self.bring_back(order, shard, class),
            Output::LocalLost { root } => warn!("the local copy of {} is lost", root.short()),
            Output::HolderIs { holder, condition } => report(holder, condition),
            Output::Acquainted { holder, acquaintance } => {
                let core = Arc::clone(&self.core);
                let noted = move || super::contact::note_acquaintance(&core, holder, acquaintance);
                log_failure(super::on_disk(noted).await);
            }
            Output::Blame { holder, fault, root } => {
                self.core.blame(holder, describe(fault), root);
            }
            Output::KeepReceipt { .. } => unreachable!("gathered by the caller"),
        }
    }

    fn bring_back(&self, order: OrderId, shard: ShardRef, class: PackClass) {
        let (core, member, facts) = self.worker();
        tokio::spawn(async move {
            let brought = fetch_back(&core, &member, shard, class).await;
            if let Err(error) = &brought {
                debug!("{} was not brought back: {error}", shard.root.short());
            }
            let came = brought.is_ok();
            let _ = facts.send(Fact::Input(Input::BroughtBack { order, came })).await;
        });
    }

    fn connect(&self, holder: DeviceId) {
        let (core, member, facts) = self.worker();
        tokio::spawn(async move {
            let input = match super::contact::greet(&core, &member, holder).await {
                Ok(standing) => {
                    tell_side(&core, &facts, holder).await;
                    Input::HolderConnected { holder, granted_bytes: standing.granted_bytes }
                }
                Err(error) => {
                    debug!("holder {}: {error}", holder.short());
                    missed(holder, &error)
                }
            };
            let _ = facts.send(Fact::Input(input)).await;
        });
    }

    fn offer(&self, order: OrderId, holder: DeviceId, shards: Vec<OfferedShard>) {
        let (core, member, facts) = self.worker();
        tokio::spawn(async move {
            let request = Request::Offer { vault: member.vault, shards };
            let input = match core.net.peer(holder).request(&request).await {
                Ok(Answer::Verdicts { verdicts }) => {
                    tell_side(&core, &facts, holder).await;
                    Input::OfferAnswered { order, claims: claims(verdicts) }
                }
                Ok(Answer::Refused { reason }) => {
                    Input::OfferFailed { order, refusal: Some(reason) }
                }
                Ok(_) => Input::OfferFailed { order, refusal: None },
                Err(error) => {
                    debug!("offer to {}: {error}", holder.short());
                    let _ =
                        facts.send(Fact::Input(Input::OfferFailed { order, refusal: None })).await;
                    Input::HolderLost { holder }
                }
            };
            let _ = facts.send(Fact::Input(input)).await;
        });
    }

    fn upload(&mut self, order: OrderId, holder: DeviceId, shard: ShardRef, class: PackClass) {
        let (core, member, facts) = self.worker();
        let worker = tokio::spawn(async move {
            let progress = facts.clone();
            let sending = send(&core, &member, holder, shard, class);
            tokio::pin!(sending);
            // The network gives a stalled upload up by itself; the machine is told that it lives.
            let mut beat = tokio::time::interval(UPLOAD_BEAT);
            beat.tick().await;
            let ended = loop {
                tokio::select! {
                    ended = &mut sending => break ended,
                    _ = beat.tick() => {
                        let _ = progress.send(Fact::Input(Input::UploadProgressed { order })).await;
                    }
                }
            };
            let upload = match ended {
                Ok(receipt) => {
                    let _ = facts.send(Fact::Sent(shard.bytes)).await;
                    if receipt.verify() { Upload::Stored(receipt) } else { Upload::Forged }
                }
                Err(PutError::Refused(reason)) => Upload::Refused(reason),
                Err(PutError::Local(error)) if is_loss(&error) => Upload::Unreadable,
                Err(error) => {
                    debug!("upload to {}: {error}", holder.short());
                    Upload::Lost
                }
            };
            let _ = facts.send(Fact::Input(Input::UploadEnded { order, upload })).await;
        });
        self.uploads.insert(order, worker.abort_handle());
    }

    /// What the row says comes first: a crash in between leaves a copy too many, not too few.
    async fn drop_local(&self, shard: ShardRef, sites: u8) {
        let core = Arc::clone(&self.core);
        let vault = self.member.vault;
        let dropped = super::on_disk(move || {
            core.state.promise_sites(&shard.root, sites)?;
            if !core.depot.release_own(&shard.root, &vault)? {
                debug!("{} stays here: it is held for another device", shard.root.short());
            }
            Ok::<(), EngineError>(())
        })
        .await;
        log_failure(dropped);
    }

    fn push_head(&self, order: OrderId, holder: DeviceId, seq: u64) {
        let (core, member, facts) = self.worker();
        tokio::spawn(async move {
            let taken = match super::contact::push_head(&core, &member, holder, seq).await {
                Ok(taken) => taken,
                Err(error) => {
                    debug!("head {seq} was not pushed to {}: {error}", holder.short());
                    false
                }
            };
            if taken {
                let held = claiming::Input::HeadHeld { holder, seq };
                let _ = facts.send(Fact::Claim(held)).await;
            }
            let _ = facts.send(Fact::Input(Input::HeadPushed { order, taken })).await;
        });
    }

    /// Noted before anybody is told that the backup is safe.
    async fn published(&mut self, seq: u64) {
        let core = Arc::clone(&self.core);
        let member = Arc::clone(&self.member);
        let noted = super::on_disk(move || {
            core.state.raise_published_seq(seq)?;
            super::look::note_safe(&core, &member)
        });
        log_failure(noted.await);
        self.claim(claiming::Input::HeadPublished { seq });
        self.show.send_modify(|view| view.published_seq = view.published_seq.max(seq));
    }

    fn check_local(&self, shard: ShardRef) {
        let (core, _, facts) = self.worker();
        tokio::spawn(async move {
            let root = shard.root;
            let scrubbed = tokio::task::spawn_blocking(move || core.depot.scrub(&root)).await;
            let is_lost = match scrubbed {
                Ok(Ok(bad)) => !bad.is_empty(),
                Ok(Err(error)) => is_loss(&error),
                Err(_) => false,
            };
            if is_lost {
                let _ = facts.send(Fact::Input(Input::PackLost { root })).await;
            }
        });
    }

    fn worker(&self) -> (Arc<Core>, Arc<Member>, mpsc::Sender<Fact>) {
        (Arc::clone(&self.core), Arc::clone(&self.member), self.facts.clone())
    }
}

/// Where a holder stands that has just answered, before what follows from its answer.
async fn tell_side(core: &Core, facts: &mpsc::Sender<Fact>, holder: DeviceId) {
    if let Some(side) = core.net.side_of(&holder) {
        let _ = facts.send(Fact::Input(Input::HolderStands(holder, side))).await;
    }
}

async fn send(
    core: &Arc<Core>,
    member: &Member,
    holder: DeviceId,
    shard: ShardRef,
    class: PackClass,
) -> Result<Receipt, PutError> {
    let opening = Arc::clone(core);
    let opened = tokio::task::spawn_blocking(move || opening.depot.open_shard(&shard.root)).await;
    let opened = opened.map_err(|_| PutError::Stalled)?.map_err(PutError::Local)?;
    core.net.peer(holder).put(member.vault, class, opened).await
}

/// What a call in vain says of a holder.
const fn missed(holder: DeviceId, error: &EngineError) -> Input {
    if error.turns_away() { Input::HolderRefused { holder } } else { Input::HolderLost { holder } }
}

/// Whether an error means that the bytes of a shard are not here any more. Any other one passes: a
/// full table of files or a full disk must not make a copy count as lost.
const fn is_loss(error: &DepotError) -> bool {
    matches!(error, DepotError::Corrupt(_) | DepotError::Missing(_) | DepotError::Unknown(_))
}

/// Fetches a whole pack from whoever keeps it; durable here when this returns.
async fn fetch_back(
    core: &Arc<Core>,
    member: &Member,
    shard: ShardRef,
    class: PackClass,
) -> Result<(), EngineError> {
    let ranges = std::iter::once(0..shard.bytes).collect();
    let want = Want { shard, ranges, priority: FOR_LATER, from: Vec::new() };
    let partial = member.fetcher.fetch(want).await?;
    let stored = wall();
    let (vault, origin) = (member.vault, Origin::Own);
    let tenure = Tenure { vault, class, origin, stored, keep_until: stored };
    let core = Arc::clone(core);
    super::on_disk(move || {
        core.depot.adopt(&partial, tenure)?;
        if core.state.facts_of(&shard.root)?.is_none() {
            // It has left the index meanwhile: nobody would ever let it go again.
            core.depot.release_own(&shard.root, &vault)?;
            return Err(EngineError::Busy);
        }
        Ok(())
    })
    .await
}

/// The one place where signatures of receipts in verdicts are checked.
fn claims(verdicts: Vec<Verdict>) -> Vec<Claim> {
    verdicts.into_iter().map(|verdict| Claim::from_verdict(verdict, Receipt::verify)).collect()
}

fn log_failure<T, E: std::fmt::Display>(result: Result<T, E>) {
    if let Err(error) = result {
        warn!("{error}");
    }
}

fn report(holder: DeviceId, condition: Condition) {
    match condition {
        Condition::Fine | Condition::Away => debug!("holder {}: {condition}", holder.short()),
        Condition::QuotaUsed
        | Condition::Full
        | Condition::Forbidden
        | Condition::Failing
        | Condition::Distrusted => warn!("holder {}: {condition}", holder.short()),
    }
}

const fn describe(fault: Fault) -> &'static str {
    match fault {
        Fault::ForgedReceipt => "gave a receipt with a wrong signature",
        Fault::WrongReceipt => "gave a receipt for something else",
        Fault::LostAgain => "lost the same shard again after it was sent once more",
        Fault::LostShard => "lost a shard for which it had given a receipt",
        Fault::WrongProof => "showed other bytes than those for which it had given a receipt",
        Fault::WrongCount => "answered an offer with a wrong number of verdicts",
    }
}
