//! The answering side: what this device does when others call.
//!
//! Looks callers up in the device logs, passes requests to the holding machine and carries out
//! its orders. What is granted, taken, kept and shown is decided in `larder_protocol::holding`.

use std::sync::{Arc, Mutex, MutexGuard, Weak};

use larder_protocol::{
    discovering::BeaconKey,
    head::{Offered, SignedHead},
    holding::{
        Action, Caller, HeldVerdict, Holding, Input, Output, PutFailure, ReadVerdict, Row,
        ShowVerdict, Terms,
    },
    ids::{DeviceId, ShardRoot, VaultId},
    index::{PackClass, ShardRef},
    keys::device::DeviceKeys,
    limits::{HEADS_ANSWER_MAX, RETENTION_DAYS_MIN},
    log::Pushed,
    order::OrderId,
    placing,
    proof::Challenge,
    receipt::{Receipt, ReceiptBody},
    wire::{
        frame::prefix_that_fits,
        message::{Answer, OfferedShard, Refusal, Request, Shown, Standing, VERSION, Verdict},
    },
};
use minicbor::bytes::ByteVec;
use tracing::{debug, warn};

use super::{
    Core, EngineError,
    clock::wall,
    guardians, join, leaving, meter, neighbours, offering, on_disk,
    sites::{self, Card},
    trail,
};
use crate::{
    depot::{Depot, DepotError, Origin, ShardRow, ShardState, Tenure},
    net::{FrameStream, Reservation, Serve},
    state::State,
    vaults::{Relation, Vaults},
};

mod claims;
mod errands;
mod guard;
mod pushing;
mod tend;

pub(crate) use claims::{drop_all, told};

/// Of the disk that others must never fill.
const DISK_RESERVE_BYTES: u64 = 256 * 1024 * 1024;

/// The holding machine with its lock; every request is decided at once under it.
#[derive(Debug, Default)]
pub(crate) struct Holder {
    machine: Mutex<Machine>,
}

#[derive(Debug, Default)]
struct Machine {
    holding: Holding,
    next_request: u64,
}

impl Holder {
    /// A holder that knows what the depot keeps and the database grants.
    pub(crate) fn open(state: &State, depot: &Depot, offer: u64) -> Result<Self, EngineError> {
        let holder = Self::default();
        holder.set_terms(state, offer)?;
        let mut machine = holder.lock();
        for (root, row) in depot.rows(None)? {
            if row.origin == Origin::Held {
                machine.holding.handle_input(Input::RowKnown(known_row(root, &row)));
            }
        }
        let free_bytes = depot.free_bytes()?;
        machine.holding.handle_input(Input::DiskMeasured { free_bytes });
        drop(machine);
        Ok(holder)
    }

    /// Takes over the user's offer and grants.
    pub(crate) fn set_terms(&self, state: &State, offer: u64) -> Result<(), EngineError> {
        let mut machine = self.lock();
        let terms = Terms {
            offer_bytes: offer,
            disk_reserve_bytes: DISK_RESERVE_BYTES,
            retention_days: RETENTION_DAYS_MIN,
        };
        machine.holding.handle_input(Input::TermsChanged(terms));
        for grant in state.grants()? {
            let bytes = grant.bytes_of(offer);
            machine.holding.handle_input(Input::GrantChanged { vault: grant.vault, bytes });
        }
        Ok(())
    }

    /// Shards kept for one vault, and their bytes.
    pub(crate) fn kept_for(&self, vault: VaultId) -> (u64, u64) {
        self.lock().holding.kept_for(vault)
    }

    /// Bytes kept for one vault.
    pub(crate) fn kept_bytes(&self, vault: VaultId) -> u64 {
        self.lock().holding.kept_for(vault).1
    }

    /// What a vault is told of its place here.
    pub(crate) fn standing(&self, vault: VaultId) -> Standing {
        self.lock().holding.standing(vault)
    }

    /// What a challenge about a shard comes to, before it is looked at.
    fn may_show(&self, vault: VaultId, shard: ShardRef) -> ShowVerdict {
        self.lock().holding.may_show(vault, shard)
    }

    /// What is kept for a vault, after one root.
    fn list(&self, vault: VaultId, after: Option<ShardRoot>, most: usize) -> Vec<OfferedShard> {
        self.lock().holding.kept_after(vault, after).take(most).collect()
    }

    /// Whether a shard is kept for a vault, whole.
    pub(crate) fn keeps(&self, vault: VaultId, root: ShardRoot) -> bool {
        self.lock().holding.keeps(vault, root)
    }

    fn is_readable(&self, caller: &Caller, root: ShardRoot) -> bool {
        matches!(self.lock().holding.may_read(caller, root), ReadVerdict::Allowed(_))
    }

    /// The bytes of a kept shard are damaged or gone.
    pub(crate) fn bytes_lost(&self, root: ShardRoot) {
        self.lock().tell(Input::BytesLost { root });
    }

    fn lock(&self) -> MutexGuard<'_, Machine> {
        self.machine.lock().expect("no code panics while holding this lock")
    }
}

impl Machine {
    fn request(&mut self) -> OrderId {
        self.next_request += 1;
        OrderId(self.next_request)
    }

    /// Gives one input and takes all orders that follow from it.
    fn tell(&mut self, input: Input) -> Vec<Output> {
        self.holding.handle_input(input);
        std::iter::from_fn(|| self.holding.poll_output()).collect()
    }
}

/// A caller as the device logs say.
pub(crate) fn caller(vaults: &Vaults, peer: DeviceId) -> Caller {
    match vaults.relation(&peer) {
        Some((vault, Relation::Device)) => Caller::Member { device: peer, vault },
        Some((vault, Relation::Recovery)) => Caller::Recovery { key: peer, vault },
        Some((vault, Relation::Guardians)) => Caller::Guardians { key: peer, vault },
        None => Caller::Stranger { key: peer },
    }
}

/// What the network calls. Holds the core weakly: the core owns the network.
#[derive(Debug)]
pub(crate) struct Server {
    core: Weak<Core>,
    pushed: Mutex<Pushed>,
}

impl Server {
    pub(crate) fn new(core: Weak<Core>) -> Self {
        Self { core, pushed: Mutex::default() }
    }

    fn core(&self) -> Result<Arc<Core>, Refusal> {
        self.core.upgrade().ok_or(Refusal::Internal)
    }

    async fn answer(&self, from: DeviceId, request: Request) -> Result<Answer, Refusal> {
        let core = self.core()?;
        let caller = caller(&core.vaults, from);
        trail::came(&core, &caller);
        match request {
            Request::Hello { versions, beacon_key, site, name } => {
                let said = (beacon_key, Card { site, name });
                greeted(&core, (from, caller), &versions, said).await
            }
            Request::PushLog { vault, entries } => {
                caller.permit(Action::AddLog, vault)?;
                self.push_log(core, (from, vault), entries).await
            }
            Request::PullLog { vault, have } => {
                if !errands::may_have_log(&core, &caller, vault) {
                    tend::permitted(&core, caller, Action::ReadRecords, vault)?;
                }
                let entries = core.vaults.log_beyond(&vault, &have).ok_or(Refusal::Forbidden)?;
                Ok(Answer::Log { entries: fitting(entries) })
            }
            Request::PushHead { vault, head } => {
                caller.permit(Action::AddHead, vault)?;
                take_head(&core, vault, head).await
            }
            Request::PullHeads { vault, after } => {
                tend::permitted(&core, caller, Action::ReadRecords, vault)?;
                let is_asked = |device: &DeviceId| after.is_none_or(|after| *device > after);
                let heads = shown_heads(&core, &vault, is_asked)?;
                Ok(Answer::Heads { heads: fitting_devices(heads) })
            }
            Request::PullPast { vault, device, below } => {
                caller.permit(Action::ReadRecords, vault)?;
                past_heads(core, vault, device, below).await
            }
            Request::Offer { vault, shards } => {
                let verdicts = offered(&core, caller, vault, shards).await?;
                Ok(Answer::Verdicts { verdicts: meter::spared(&core, &from, verdicts) })
            }
            Request::Claim { vault, part } => told(&core, caller, vault, part).await,
            Request::Audit { vault, challenges } => {
                let caller = tend::permitted(&core, caller, Action::Read, vault)?;
                show_all(core, caller, vault, challenges).await
            }
            Request::Guardians { vault, set, sealed } => {
                caller.permit(Action::Guard, vault)?;
                guard::guardians(core, vault, set, sealed).await
            }
            Request::AskRelease { vault, request } => {
                let caller = guard::asker(&core, from, vault).unwrap_or(caller);
                caller.permit(Action::AskRelease, vault)?;
                guard::ask_release(core, vault, request).await
            }
            Request::Releases { vault, told } => {
                let own = core.member().ok().map(|member| member.vault);
                let is_told = caller.tells_requests(vault, own)?;
                guard::releases(core, vault, told, is_told).await
            }
            request @ (Request::Introduce { .. }
            | Request::ListKept { .. }
            | Request::ListClaimed { .. }) => tend::answer(core, caller, request).await,
            request @ (Request::LeaveErrand { .. }
            | Request::PullErrands { .. }
            | Request::LeaveReply { .. }
            | Request::PullReply { .. }) => errands::answer(core, caller, request).await,
            Request::Leaving { words } => leaving::answer(&core, from, words).await,
            Request::Put { .. } => Err(Refusal::Malformed),
        }
    }

    #[expect(clippy::result_large_err, reason = "an answer ends the request either way")]
    fn reserve(
        &self,
        from: DeviceId,
        vault: VaultId,
        shard: ShardRef,
        class: PackClass,
    ) -> Result<Reservation, Answer> {
        let core = self.core().map_err(|reason| Answer::Refused { reason })?;
        let caller = caller(&core.vaults, from);
        trail::came(&core, &caller);
        if !meter::carries_packs(&core, &from) && !core.holding.keeps(vault, shard.root) {
            return Err(Answer::Refused { reason: Refusal::Busy });
        }
        reserve(&core, caller, vault, (shard, class)).map_err(|not| match not {
            NotReserved::Refused(reason) => Answer::Refused { reason },
            NotReserved::Kept(row) => Answer::Stored { receipt: receipt(&core.keys, &row) },
        })
    }
}

/// Why nothing was reserved.
#[derive(Debug)]
pub(crate) enum NotReserved {
    /// It is not taken.
    Refused(Refusal),
    /// It is here already.
    Kept(Row),
}

/// Reserves room for a shard that is to come.
pub(crate) fn reserve(
    core: &Core,
    caller: Caller,
    vault: VaultId,
    (shard, class): (ShardRef, PackClass),
) -> Result<Reservation, NotReserved> {
    measure(core);
    let mut machine = core.holding.lock();
    let request = machine.request();
    let orders = machine.tell(Input::PutAsked { request, caller, vault, shard, class });
    drop(machine);
    for order in orders {
        match order {
            Output::Go { request, .. } => {
                let stored = wall();
                let keep_until = stored.after_days(RETENTION_DAYS_MIN);
                let origin = Origin::Held;
                let tenure = Tenure { vault, class, origin, stored, keep_until };
                return Ok(Reservation { id: request.0, tenure });
            }
            Output::Refuse { reason, .. } => return Err(NotReserved::Refused(reason)),
            Output::Acknowledge { row, .. } => return Err(NotReserved::Kept(row)),
            other => debug!("an order out of turn: {other:?}"),
        }
    }
    Err(NotReserved::Refused(Refusal::Internal))
}

/// What was reserved has come. The depot wrote the row together with the file; the machine asks for
/// exactly that row.
pub(crate) fn stored(core: &Core, reservation: &Reservation) -> Result<Row, Refusal> {
    let request = OrderId(reservation.id);
    let wall = reservation.tenure.stored;
    let mut machine = core.holding.lock();
    let mut orders = machine.tell(Input::BytesDurable { request, wall });
    let written = orders.iter().any(|order| {
        matches!(order, Output::WriteRow { row, .. }
        if core.depot.row(&row.shard.root, &row.vault).is_ok_and(|kept| {
            kept.is_some_and(|kept| kept.keep_until >= row.keep_until)
        }))
    });
    if written {
        orders = machine.tell(Input::RowDurable { request });
    } else if orders.iter().any(|order| matches!(order, Output::WriteRow { .. })) {
        orders = machine.tell(Input::RowFailed { request });
    }
    drop(machine);
    for order in orders {
        match order {
            Output::Acknowledge { row, .. } => return Ok(row),
            Output::Refuse { reason, .. } => return Err(reason),
            other => debug!("an order out of turn: {other:?}"),
        }
    }
    Err(Refusal::Internal)
}

/// What was reserved does not come.
pub(crate) fn aborted(core: &Core, reservation: &Reservation) {
    let request = OrderId(reservation.id);
    let failure = PutFailure::Aborted;
    core.holding.lock().tell(Input::PutFailed { request, failure });
}

impl Serve for Server {
    async fn request(&self, from: DeviceId, request: Request) -> Answer {
        let answer = self.answer(from, request).await;
        answer.unwrap_or_else(|reason| Answer::Refused { reason })
    }

    async fn begin_put(
        &self,
        from: DeviceId,
        vault: VaultId,
        shard: ShardRef,
        class: PackClass,
    ) -> Result<Reservation, Answer> {
        self.reserve(from, vault, shard, class)
    }

    async fn put_stored(&self, _: DeviceId, reservation: Reservation, _: ShardRef) -> Answer {
        let Ok(core) = self.core() else { return Answer::Refused { reason: Refusal::Internal } };
        match stored(&core, &reservation) {
            Ok(row) => Answer::Stored { receipt: receipt(&core.keys, &row) },
            Err(reason) => Answer::Refused { reason },
        }
    }

    fn put_aborted(&self, _: DeviceId, reservation: Reservation) {
        if let Ok(core) = self.core() {
            aborted(&core, &reservation);
        }
    }

    fn may_read(&self, from: &DeviceId, root: &ShardRoot) -> bool {
        self.core().is_ok_and(|core| may_read(&core, from, root))
    }

    fn found_corrupt(&self, root: &ShardRoot) {
        warn!("shard {} was found damaged while it was read", root.short());
        if let Ok(core) = self.core() {
            core.holding.bytes_lost(*root);
        }
    }

    async fn pair(&self, from: DeviceId, stream: FrameStream) {
        if let Ok(core) = self.core()
            && let Err(error) = join::answer_stranger(&core, from, stream).await
        {
            warn!("a pairing did not succeed: {error}");
        }
    }
}

/// Whether somebody may read a shard that is here.
pub(crate) fn may_read(core: &Arc<Core>, from: &DeviceId, root: &ShardRoot) -> bool {
    // AUDIT-8: who has to show a shard does not get it here.
    if core.examined.has_to_show(from, root) {
        return false;
    }
    let caller = caller(&core.vaults, *from);
    trail::came(core, &caller);
    // The lock is given back before anything else is done.
    let verdict = core.holding.lock().holding.may_read(&caller, *root);
    match verdict {
        ReadVerdict::Allowed(_) => {
            if let Some(vault) = caller.vault() {
                claims::served(core, vault, *root);
            }
            true
        }
        ReadVerdict::Forbidden => may_read_for_others(core, from, root),
        ReadVerdict::Absent => {
            may_read_own(core, &caller, root) || may_read_for_others(core, from, root)
        }
    }
}

/// Whether somebody may read a shard of a vault that it is no device of: to keep it for that one as well.
fn may_read_for_others(core: &Core, from: &DeviceId, root: &ShardRoot) -> bool {
    tend::may_read(core, from, root) || errands::may_read(core, from, root)
}

async fn show_all(
    core: Arc<Core>,
    caller: Caller,
    vault: VaultId,
    challenges: Vec<Challenge>,
) -> Result<Answer, Refusal> {
    let shown = on_disk(move || {
        let show = |challenge: &Challenge| match tend::may_be_shown(&core, &caller, challenge) {
            true => show(&core, vault, challenge),
            false => Shown::Absent,
        };
        Ok::<_, EngineError>(challenges.iter().map(show).collect())
    });
    Ok(Answer::Shown { shown: shown.await.map_err(|_| Refusal::Internal)? })
}

/// Shows one chunk, or says why not. Damage that is met is owned up to from then on.
fn show(core: &Core, vault: VaultId, challenge: &Challenge) -> Shown {
    let root = challenge.shard.root;
    match core.holding.may_show(vault, challenge.shard) {
        ShowVerdict::Absent => return Shown::Absent,
        ShowVerdict::Damaged => return Shown::Damaged,
        ShowVerdict::Look => {}
    }
    match core.depot.prove(challenge) {
        Ok(proof) => Shown::Proof(proof.into()),
        Err(DepotError::Corrupt(_) | DepotError::Missing(_)) => {
            warn!("shard {} was found damaged when it had to be shown", root.short());
            core.holding.bytes_lost(root);
            Shown::Damaged
        }
        Err(error) => {
            warn!("shard {} could not be shown: {error}", root.short());
            Shown::Unable(Refusal::Internal)
        }
    }
}

/// Packs of this device that it still has itself: any device of its vault may restore from here.
fn may_read_own(core: &Core, caller: &Caller, root: &ShardRoot) -> bool {
    let Ok(member) = core.member() else { return false };
    caller.permit(Action::Read, member.vault).is_ok()
        && core
            .depot
            .row(root, &member.vault)
            .is_ok_and(|row| row.is_some_and(|row| row.state == ShardState::Ok))
}

fn hello(
    core: &Core,
    (from, caller): (DeviceId, &Caller),
    versions: &[u16],
) -> Result<Answer, Refusal> {
    if !versions.contains(&VERSION) {
        return Err(Refusal::Version);
    }
    let standing = caller.vault().map(|vault| {
        let guarding = guardians::standing(core, &vault);
        let introduced = {
            let vaults = core.vaults.read();
            vaults.get(&vault).map_or(0, |known| known.introductions().number_of(&from))
        };
        let leaving = core.leaving.tag_for(core, vault);
        Standing { guarding, introduced, leaving, ..core.holding.standing(vault) }
    });
    let beacon_key = neighbours::key_for(core, &from);
    let Card { site, name } = sites::told_to(core, &from);
    Ok(Answer::Welcome { version: VERSION, standing, beacon_key, site, name })
}

/// Answers a greeting, and learns what it tells of the caller.
async fn greeted(
    core: &Arc<Core>,
    (from, caller): (DeviceId, Caller),
    versions: &[u16],
    (beacon_key, card): (Option<BeaconKey>, Card),
) -> Result<Answer, Refusal> {
    let welcome = hello(core, (from, &caller), versions);
    if let Caller::Member { device, vault } = caller {
        neighbours::learn_key(core, device, beacon_key).await;
        sites::called(core, device, card).await;
        core.tending.heard(core, vault, device);
        offering::heard(core, vault).await;
    }
    if let Ok(member) = core.member() {
        member.hint(placing::Input::HolderHeard { holder: from });
    }
    welcome
}

async fn offered(
    core: &Arc<Core>,
    caller: Caller,
    vault: VaultId,
    shards: Vec<OfferedShard>,
) -> Result<Vec<Verdict>, Refusal> {
    measure(core);
    let orders = {
        let mut machine = core.holding.lock();
        let request = machine.request();
        machine.tell(Input::Offered { request, caller, vault, shards })
    };
    offer_answer(&core.keys, claims::revive(core, orders).await)
}

/// Takes a head of a device of a vault, if it is newer than what is here.
pub(crate) async fn take_head(
    core: &Arc<Core>,
    vault: VaultId,
    head: ByteVec,
) -> Result<Answer, Refusal> {
    let head = SignedHead::decode(&head).map_err(|_| Refusal::Invalid)?;
    let device = head.body().device;
    let offering = Arc::clone(core);
    let offered = on_disk(move || offering.vaults.offer_head(vault, head)).await;
    match offered.map_err(|_| Refusal::Internal)? {
        Offered::Taken => {
            super::sync::head_came(core, vault);
            Ok(Answer::HeadTaken)
        }
        Offered::Known => Ok(Answer::HeadTaken),
        Offered::Older(_) | Offered::Forked(_) => {
            let heads = shown_heads(core, &vault, |of| *of == device)?;
            Ok(Answer::Heads { heads: fitting_devices(heads) })
        }
        Offered::Invalid(_) => Err(Refusal::Invalid),
    }
}

/// The heads of a vault that others may see, by device, ascending.
///
/// INV-2, PLACE-24: a head of this very device is shown when it may leave. Until then the newest one
/// that did stands in its place.
fn shown_heads(
    core: &Core,
    vault: &VaultId,
    is_asked: impl Fn(&DeviceId) -> bool,
) -> Result<Vec<(DeviceId, Vec<u8>)>, Refusal> {
    let own = core.keys.id();
    let heads: Vec<SignedHead> = {
        let all = core.vaults.read();
        let book = all.get(vault).ok_or(Refusal::Forbidden)?.heads();
        book.heads().filter(|head| is_asked(&head.body().device)).cloned().collect()
    };
    let newest_shown = core.state.shown_seq().map_err(|_| Refusal::Internal)?;
    let mut shown = Vec::with_capacity(heads.len());
    for head in heads {
        let is_held_back = head.body().device == own && head.body().seq > newest_shown;
        let device = head.body().device;
        if !is_held_back {
            shown.push((device, head.bytes().to_vec()));
            continue;
        }
        let written = |seq| core.state.own_head(seq).map_err(|_| Refusal::Internal);
        if written(head.body().seq)?.is_none_or(|written| written != head.bytes()) {
            // Not of this device's writing: the proof of a clone is kept from nobody.
            shown.push((device, head.bytes().to_vec()));
        } else {
            shown.extend(written(newest_shown)?.map(|bytes| (device, bytes)));
        }
    }
    Ok(shown)
}

/// INV-2 holds for these as well: what a newer head of this very device has superseded before it
/// could leave never was a head that others may see.
async fn past_heads(
    core: Arc<Core>,
    vault: VaultId,
    device: DeviceId,
    below: Option<u64>,
) -> Result<Answer, Refusal> {
    let reading = Arc::clone(&core);
    let heads = on_disk(move || reading.vaults.past_heads(&vault, &device)).await;
    let heads = heads.map_err(|_| Refusal::Internal)?;
    let newest_shown = core.state.shown_seq().map_err(|_| Refusal::Internal)?;
    let is_shown = |head: &&SignedHead| {
        let seq = head.body().seq;
        below.is_none_or(|below| seq < below) && (device != core.keys.id() || seq <= newest_shown)
    };
    let shown = heads.iter().filter(is_shown).map(|head| head.bytes().to_vec());
    Ok(Answer::Heads { heads: fitting(shown.collect()) })
}

fn offer_answer(keys: &DeviceKeys, orders: Vec<Output>) -> Result<Vec<Verdict>, Refusal> {
    for order in orders {
        match order {
            Output::AnswerOffer { verdicts, .. } => {
                let verdicts = verdicts.into_iter().map(|verdict| match verdict {
                    HeldVerdict::Wanted => Verdict::Wanted,
                    HeldVerdict::Kept(row) => Verdict::Kept(receipt(keys, &row)),
                    HeldVerdict::Refused(reason) => Verdict::Refused(reason),
                });
                return Ok(verdicts.collect());
            }
            Output::Refuse { reason, .. } => return Err(reason),
            other => debug!("an order out of turn: {other:?}"),
        }
    }
    Err(Refusal::Internal)
}

/// Others fill the same disk: what is free is measured before anything is promised.
fn measure(core: &Core) {
    match core.depot.free_bytes() {
        Ok(free_bytes) => {
            core.holding.lock().holding.handle_input(Input::DiskMeasured { free_bytes })
        }
        Err(error) => warn!("the free space of the depot is not known: {error}"),
    }
}

fn receipt(keys: &DeviceKeys, row: &Row) -> Receipt {
    let body = ReceiptBody {
        vault: row.vault,
        shard: row.shard,
        holder: keys.id(),
        stored: row.stored,
        keep_until: row.keep_until,
    };
    Receipt::sign(body, keys).expect("the body names the device that signs")
}

/// The word of this node that it keeps a shard for a vault, if it does.
pub(crate) fn receipt_for(core: &Core, vault: VaultId, root: ShardRoot) -> Option<Receipt> {
    let row = core.depot.row(&root, &vault).ok()??;
    core.holding.keeps(vault, root).then(|| receipt(&core.keys, &known_row(root, &row)))
}

fn known_row(root: ShardRoot, row: &ShardRow) -> Row {
    Row {
        vault: row.vault,
        shard: ShardRef { root, bytes: row.bytes },
        class: row.class,
        stored: row.stored,
        keep_until: row.keep_until,
        unclaimed: row.unclaimed,
        lost: row.state != ShardState::Ok,
    }
}

/// As many heads, from the front, as fit one answer. A device's heads stay together: the caller
/// asks again for the devices after the last one.
fn fitting_devices(heads: Vec<(DeviceId, Vec<u8>)>) -> Vec<ByteVec> {
    let (devices, heads): (Vec<DeviceId>, Vec<Vec<u8>>) = heads.into_iter().unzip();
    let mut fitting = fitting(heads);
    fitting.truncate(HEADS_ANSWER_MAX);
    if let (Some(cut), Some(last)) = (devices.get(fitting.len()), fitting.len().checked_sub(1))
        && devices.get(last) == Some(cut)
    {
        let whole = devices.iter().position(|device| device == cut).unwrap_or(0);
        fitting.truncate(whole);
    }
    fitting
}

/// As many records, from the front, as fit one frame; the caller asks again for the rest.
fn fitting(records: Vec<Vec<u8>>) -> Vec<ByteVec> {
    let mut records: Vec<ByteVec> = records.into_iter().map(ByteVec::from).collect();
    records.truncate(prefix_that_fits(&records));
    records
}
