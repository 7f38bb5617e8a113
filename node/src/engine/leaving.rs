//! The `leave` command, and the task that goes on with it: this vault and another one of the circle go apart
//! without either losing anything.
//!
//! ```text
//! larder leave ──wish, durable──▶ words ◀──exchanged── devices of both vaults
//!                                   │ judged by larder_protocol::leaving
//!                                   ▼
//!              place elsewhere, waive, wait, drop, forget
//! ```
//! Decides nothing: what follows from which words is `larder_protocol::leaving`. Source: specs/leaving.md.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use larder_protocol::{
    ids::{DeviceId, VaultId},
    leaving::{
        LeavingWord, Pair, Side, VERSION, Wish, WordBody, Words, apart_since, tell_again_ms,
    },
    limits::{LEAVING_LOOK_MS, LEAVING_TELL_MS},
    log::DeviceLog,
    time,
    trail::TrailEvent,
};
use tokio::sync::Notify;
use tracing::{info, warn};

use super::{
    Core, EngineError, Member,
    clock::wall,
    devices,
    guardians::{self, is_named},
    on_disk, trail,
};
use crate::{
    command::{Failure, LeaveAct, LeaveOutcome, Outcome},
    state::{State, circle::GrantRow, leaving::Said},
};

mod acting;
mod telling;
#[cfg(test)]
mod tests;
mod words;

pub(super) use telling::advice;
pub(super) use words::{answer, greeted, met};

/// What is known of who leaves whom.
#[derive(Debug)]
pub(crate) struct Leaver {
    words: Mutex<Words>,
    /// What each node has shown that it knows; of one that has forgotten this vault, everything.
    told: Mutex<BTreeMap<DeviceId, Known>>,
    /// Nodes that know something else, as they said in a greeting.
    differing: Mutex<BTreeSet<DeviceId>>,
    /// When this node last told others what it knows.
    exchanged: Mutex<BTreeMap<DeviceId, time::Instant>>,
    /// Vaults that there was an attempt to tell, in this run.
    tried: Mutex<BTreeSet<VaultId>>,
    /// Held while something follows from words.
    turn: tokio::sync::Mutex<()>,
    /// Something was said, or a log has grown.
    news: Notify,
    /// Something was said or done here that nobody has been told yet.
    is_to_be_told: AtomicBool,
}

/// The numbers of words.
type Known = BTreeMap<(Pair, DeviceId), u64>;

/// Whether whoever knows `theirs` knows all of `ours`, or something newer.
fn covers(theirs: &Known, ours: &Known) -> bool {
    let is_known = |(whose, number): (&(Pair, DeviceId), &u64)| theirs.get(whose) >= Some(number);
    ours.iter().all(is_known)
}

impl Leaver {
    /// With what was said before.
    pub(crate) fn open(state: &State) -> Result<Self, EngineError> {
        let mut words = Words::default();
        // They were taken before, within the bounds of then; own ones are never too many.
        state.leaving_words()?.into_iter().for_each(|word| words.say(word));
        Ok(Self {
            words: Mutex::new(words),
            told: Mutex::default(),
            differing: Mutex::default(),
            exchanged: Mutex::default(),
            tried: Mutex::default(),
            turn: tokio::sync::Mutex::default(),
            news: Notify::new(),
            is_to_be_told: AtomicBool::default(),
        })
    }

    /// Has everything looked at again.
    pub(crate) fn wake(&self) {
        self.news.notify_one();
    }

    fn words(&self) -> MutexGuard<'_, Words> {
        self.words.lock().expect("no code panics while holding this lock")
    }

    fn told(&self) -> MutexGuard<'_, BTreeMap<DeviceId, Known>> {
        self.told.lock().expect("no code panics while holding this lock")
    }

    fn differing(&self) -> MutexGuard<'_, BTreeSet<DeviceId>> {
        self.differing.lock().expect("no code panics while holding this lock")
    }

    /// What stands for all that a device of `of` may know here.
    pub(crate) fn tag_for(&self, core: &Core, of: VaultId) -> u64 {
        core.member().map_or(0, |member| self.words().tag(member.vault, of))
    }

    /// A node said in its greeting what it knows. If that is something else than what is known here, the two have
    /// to talk; soon, unless they just have.
    fn greeted(&self, (now, own, of): (time::Instant, VaultId, VaultId), peer: DeviceId, tag: u64) {
        if self.words().tag(own, of) == tag {
            self.differing().remove(&peer);
            return;
        }
        self.differing().insert(peer);
        let last = self.exchanged().get(&peer).copied();
        if last.is_none_or(|last| now.ms_since(last) >= LEAVING_TELL_MS) {
            self.is_to_be_told.store(true, Ordering::Relaxed);
            self.wake();
        }
    }

    fn exchanged(&self) -> MutexGuard<'_, BTreeMap<DeviceId, time::Instant>> {
        self.exchanged.lock().expect("no code panics while holding this lock")
    }

    fn tried(&self) -> MutexGuard<'_, BTreeSet<VaultId>> {
        self.tried.lock().expect("no code panics while holding this lock")
    }

    /// Whether a device of `of` is known to know all that it may know and is known here.
    fn is_told(&self, (own, of): (VaultId, VaultId), peer: &DeviceId) -> bool {
        let known = self.known_for(own, of);
        known.is_empty() || self.told().get(peer).is_some_and(|told| covers(told, &known))
    }

    /// What a device of `of` is to know that devices of `own` know.
    fn known_for(&self, own: VaultId, of: VaultId) -> Known {
        let words = self.words();
        let of = words.for_device_of(own, of);
        of.into_iter().map(number_of).collect()
    }
}

/// How this vault and another one stand.
struct Stand {
    pair: Pair,
    ours: Side,
    theirs: Side,
    /// The wish that they are apart for.
    since: Option<u64>,
}

impl Stand {
    fn of(core: &Core, own: VaultId, other: VaultId) -> Result<Self, EngineError> {
        let pair = Pair { vault: own, other };
        let (own, other) = (living(core, pair)?, living(core, pair.turned())?);
        let (ours, theirs) = {
            let words = core.leaving.words();
            (words.side(pair, own.into_iter()), words.side(pair.turned(), other.into_iter()))
        };
        let since = apart_since(&ours, &theirs);
        Ok(Self { pair, ours, theirs, since })
    }
}

/// The devices of one side: by its log, or, where that is not here, those that are known otherwise and those that
/// have said something.
fn living(core: &Core, side: Pair) -> Result<Vec<DeviceId>, EngineError> {
    let by_log = {
        let vaults = core.vaults.read();
        let known = vaults.get(&side.vault);
        known.map(|it| it.log().devices().map(|device| device.public.id).collect())
    };
    if let Some(devices) = by_log {
        return Ok(devices);
    }
    let peers = core.state.peers()?.into_iter().filter(|peer| peer.vault == side.vault);
    let mut devices: BTreeSet<DeviceId> = peers.map(|peer| peer.device).collect();
    devices.extend(core.leaving.words().speakers(side));
    Ok(devices.into_iter().collect())
}

fn number_of(word: &LeavingWord) -> ((Pair, DeviceId), u64) {
    ((word.body().pair(), word.body().device), word.body().number)
}

/// Whether this vault and another one go apart.
pub(super) fn is_apart(core: &Core, other: &VaultId) -> bool {
    let Ok(member) = core.member() else { return false };
    Stand::of(core, member.vault, *other).is_ok_and(|stand| stand.since.is_some())
}

/// All vaults from which `own` goes apart.
pub(super) fn apart_from(core: &Core, own: &VaultId) -> Result<BTreeSet<VaultId>, EngineError> {
    let others = core.leaving.words().others_of(own);
    let mut apart = BTreeSet::new();
    for other in others {
        if Stand::of(core, *own, other)?.since.is_some() {
            apart.insert(other);
        }
    }
    Ok(apart)
}

/// Goes on with what was said before, until the node closes.
pub(super) fn start(core: &Arc<Core>, member: &Arc<Member>) {
    let (core, member) = (Arc::clone(core), Arc::clone(member));
    tokio::spawn(async move {
        let closing = core.closing.clone();
        let _closed = closing.run_until_cancelled(drive(&core, &member)).await;
    });
}

async fn drive(core: &Arc<Core>, member: &Arc<Member>) {
    let mut tell_at = in_ms(0);
    let mut failures = 0_u32;
    loop {
        let next = acting::settle(core, member).await;
        let is_news = core.leaving.is_to_be_told.swap(false, Ordering::Relaxed);
        if is_news || (next.is_open && tell_at <= in_ms(0)) {
            failures = match words::tell(core, member).await {
                true => 0,
                false => failures.saturating_add(1),
            };
            tell_at = in_ms(tell_again_ms(failures, &core.keys.id()));
            // What came back may lead to more, and somebody may have been told just now.
            core.leaving.wake();
        }
        let look_at = match (next.is_moving, next.is_open) {
            (true, _) => Some(tell_at.min(in_ms(LEAVING_LOOK_MS))),
            (false, true) => Some(tell_at),
            // Nothing is counted and nobody called: an idle node stays idle.
            (false, false) => None,
        };
        tokio::select! {
            () = core.leaving.news.notified() => {}
            () = reached(look_at) => {}
        }
    }
}

fn in_ms(millis: u64) -> tokio::time::Instant {
    tokio::time::Instant::now() + Duration::from_millis(millis)
}

async fn reached(at: Option<tokio::time::Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// The `leave` command.
pub(crate) async fn run(
    core: &Arc<Core>,
    whom: Option<String>,
    act: LeaveAct,
) -> Result<Outcome, Failure> {
    let member = core.member()?;
    let Some(whom) = whom else {
        let others: Vec<VaultId> = apart_from(core, &member.vault)?.into_iter().collect();
        return Ok(Outcome::Leave(outcome(core, &member, act, others).await?));
    };
    let other = named(core, &member, &whom)?;
    match act {
        LeaveAct::Show => {}
        LeaveAct::Want => {
            devices::check_owner(core, &member, "leaves another vault")?;
            wish(core, &member, other, true).await?;
        }
        LeaveAct::Cancel => cancel(core, &member, other).await?,
        LeaveAct::GiveUp | LeaveAct::Drop | LeaveAct::DropRegardless => {
            say(core, &member, other, act).await?;
        }
    }
    if act != LeaveAct::Show {
        // Twice: what the others say in their turn is acted upon as well.
        for _ in 0..2 {
            acting::settle(core, &member).await;
            words::tell(core, &member).await;
        }
        acting::settle(core, &member).await;
        core.leaving.wake();
    }
    Ok(Outcome::Leave(outcome(core, &member, act, vec![other]).await?))
}

async fn outcome(
    core: &Arc<Core>,
    member: &Arc<Member>,
    act: LeaveAct,
    others: Vec<VaultId>,
) -> Result<LeaveOutcome, EngineError> {
    let mut circles = Vec::new();
    for other in others {
        circles.push(telling::circle(core, member, other).await?);
    }
    Ok(LeaveOutcome { act, circles })
}

/// The other vault that a person means: by what it is called here, the name of one of its devices, or the
/// beginning of an id.
pub(super) fn named(core: &Core, member: &Member, text: &str) -> Result<VaultId, Failure> {
    let peers = core.state.peers().map_err(EngineError::from)?;
    // What this user calls it comes first: what devices are called is theirs to say.
    let grants = core.state.grants().map_err(EngineError::from)?;
    let is_called = |grant: &&GrantRow| grant.vault != member.vault && grant.name == text;
    let called: Vec<VaultId> = grants.iter().filter(is_called).map(|grant| grant.vault).collect();
    if let [vault] = called.as_slice() {
        return Ok(*vault);
    }
    let of_text = |name: &str, device: &DeviceId, vault: &VaultId| {
        is_named(text, name, [&device.to_string(), &vault.to_string()])
    };
    let meant = peers.iter().filter(|peer| of_text(&peer.name, &peer.device, &peer.vault));
    let mut vaults: BTreeSet<VaultId> = meant.map(|peer| peer.vault).collect();
    let is_own = vaults.remove(&member.vault);
    // One that was left has no devices here any more.
    let left = core.leaving.words().others_of(&member.vault);
    vaults.extend(left.into_iter().filter(|vault| is_named(text, "", [&vault.to_string()])));
    match vaults.len() {
        0 if is_own => Err(Failure::usage(format!("{text} is a device of this very vault")).hint(
            "a device is removed with `larder revoke`; `leave` is for another person's vault",
        )),
        0 => Err(Failure::failed(format!("nobody in this circle is called {text}"))
            .hint("see `larder peers` for names")),
        1 => vaults.pop_first().ok_or_else(|| Failure::internal(&"nobody of one")),
        many => Err(Failure::failed(format!("{many} vaults are meant by {text}"))
            .hint("give the beginning of an id, as `larder peers --json` shows it")),
    }
}

/// Says for the user that this vault leaves another one, or stays; true if that is news.
async fn wish(
    core: &Arc<Core>,
    member: &Arc<Member>,
    other: VaultId,
    leaves: bool,
) -> Result<bool, EngineError> {
    let turn = core.leaving.turn.lock().await;
    let stand = Stand::of(core, member.vault, other)?;
    let highest = core.leaving.words().highest_wish(stand.pair);
    let Some(wish) = stand.ours.next_wish(leaves, wall().number_after(highest)) else {
        return Ok(false);
    };
    let word = speak(core, member, other, |body| body.wish = Some(wish))?;
    say_durably(core, word).await?;
    drop(turn);
    note(core, other, wish).await?;
    Ok(true)
}

async fn note(core: &Arc<Core>, vault: VaultId, wish: Wish) -> Result<(), EngineError> {
    let name = telling::name_of(core, &vault)?;
    trail::note(core, TrailEvent::Leaves { vault, name, leaves: wish.leaves }).await;
    info!("vault {}: {}", vault.short(), if wish.leaves { "is left" } else { "is not left" });
    Ok(())
}

/// The two vaults are being paired, anew if they had gone apart: this one wishes to leave no more, and what the
/// other one has said is forgotten. Its devices say it anew, should it still be so.
pub(super) async fn stay(
    core: &Arc<Core>,
    member: &Arc<Member>,
    other: VaultId,
) -> Result<(), EngineError> {
    wish(core, member, other, false).await?;
    let _turn = core.leaving.turn.lock().await;
    let side = Pair { vault: other, other: member.vault };
    let forgotten = core.leaving.words().forget_side(side);
    core.leaving.tried().remove(&other);
    let devices = core.state.devices_of(&other)?;
    for device in &devices {
        // It may have forgotten this vault meanwhile: what it has shown before it has to show again.
        core.leaving.told().remove(device);
    }
    let forgetting = Arc::clone(core);
    on_disk(move || {
        // Whatever it signed for before it may have erased since: it is asked for anew.
        if !devices.is_empty() {
            forgetting.state.go_apart(&other)?;
        }
        forgetting.state.forget_leaving_words(&forgotten)
    })
    .await
}

/// The log of a vault has grown: who was removed has nothing to say any more, and others are to be heard.
pub(super) async fn log_grew(core: &Arc<Core>, log: &DeviceLog) -> Result<(), EngineError> {
    let forgotten = core.leaving.words().forget_strangers(log);
    let forgetting = Arc::clone(core);
    on_disk(move || forgetting.state.forget_leaving_words(&forgotten)).await?;
    core.leaving.wake();
    Ok(())
}

/// Two vaults were paired.
pub(super) async fn paired(core: &Arc<Core>, member: &Arc<Member>) {
    acting::settle(core, member).await;
    core.leaving.wake();
}

async fn cancel(core: &Arc<Core>, member: &Arc<Member>, other: VaultId) -> Result<(), Failure> {
    let stand = Stand::of(core, member.vault, other)?;
    if !is_known(core, &other)? {
        return Err(Failure::failed("that vault was left, and is not known here any more")
            .hint("pair with it anew: `larder invite --circle`"));
    }
    if wish(core, member, other, false).await? {
        return Ok(());
    }
    Err(match stand.theirs.leaves() {
        Some(_) => {
            Failure::usage("it is the other vault that leaves: only there can that be taken back")
        }
        None => Failure::usage("that vault is not being left"),
    })
}

/// Notes what the user says of copies, here or there.
async fn say(
    core: &Arc<Core>,
    member: &Arc<Member>,
    other: VaultId,
    act: LeaveAct,
) -> Result<(), Failure> {
    let _turn = core.leaving.turn.lock().await;
    let Some(since) = Stand::of(core, member.vault, other)?.since else {
        return Err(Failure::usage("that vault is not being left")
            .hint("say that first: `larder leave NAME`"));
    };
    let before = core.state.leaving_said(&other, since).map_err(EngineError::from)?;
    let said = Said {
        gives_up: before.gives_up || act == LeaveAct::GiveUp,
        drops: before.drops || act == LeaveAct::Drop,
        regardless: before.regardless || act == LeaveAct::DropRegardless,
        ..before
    };
    let keeping = Arc::clone(core);
    on_disk(move || keeping.state.keep_leaving_said(&other, said)).await?;
    Ok(())
}

/// A new word of this device about another vault, with this changed in what it said last. Not said yet.
fn speak(
    core: &Core,
    member: &Member,
    other: VaultId,
    change: impl FnOnce(&mut WordBody),
) -> Result<LeavingWord, EngineError> {
    let (vault, device) = (member.vault, member.keys.id());
    let last = {
        let words = core.leaving.words();
        words.of(Pair { vault, other }, &device).map(|word| word.body().clone())
    };
    let fresh =
        WordBody { version: VERSION, vault, device, other, number: 0, wish: None, waives: None };
    let mut body = last.unwrap_or(fresh);
    body.number = wall().number_after(body.number);
    change(&mut body);
    Ok(LeavingWord::sign(body, &member.keys)?)
}

/// Makes a word of this device durable, and then goes by it. With the turn.
async fn say_durably(core: &Arc<Core>, word: LeavingWord) -> Result<(), EngineError> {
    let (keeping, row) = (Arc::clone(core), word.clone());
    on_disk(move || keeping.state.keep_leaving_words(&[row])).await?;
    core.leaving.words().say(word);
    core.leaving.is_to_be_told.store(true, Ordering::Relaxed);
    Ok(())
}

/// Whether anything is known of another vault here.
fn is_known(core: &Core, other: &VaultId) -> Result<bool, EngineError> {
    let has_log = core.vaults.read().contains_key(other);
    Ok(has_log || core.state.peers()?.iter().any(|peer| peer.vault == *other))
}

fn log_failure<T>(result: Result<T, EngineError>) -> Option<T> {
    result.inspect_err(|error| warn!("going apart from a vault does not get on: {error}")).ok()
}

/// What guardians have to do with it.
fn guards(core: &Core, member: &Member, other: &VaultId) -> (bool, bool) {
    let theirs = guardians::is_our_guardian(core, member, other);
    (theirs, guardians::is_guardian_of(core, member, other))
}
