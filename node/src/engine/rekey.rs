//! The `rekey` command, and the task that goes on with it while the node runs.
//!
//! ```text
//! larder rekey ──wish, durable──▶ [ rekeying ] ──Round──▶ round: make anew, commit, drop
//!                                      ▲                          │
//!                                      └──── Settled ◀── safe at holders, head published
//! ```
//! Decides nothing: which packs, how many at once and when is `larder_protocol::rekeying`. Source:
//! specs/rekeying.md.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use larder_protocol::{
    ids::ShardRoot,
    placing::Status,
    rekeying::{Ended, Input, Output, Rekeying, is_settled},
};
use tokio::sync::{Notify, OwnedMutexGuard};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{
    ChunkSource, Core, EngineError, Member, clock::wall, contact, launch, on_disk, report, roster,
};
use crate::command::{Advice, EventSink, Failure, Level, Outcome, Progress, RekeyAct, Stage};

mod round;
#[cfg(test)]
mod tests;
mod told;

use round::Round;
pub(super) use told::progress;

/// Between two looks at whether what was made anew is safe, and whether a backup is over.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long a command that takes the wish back waits for a backup or a restore.
const STOP_WAITS: Duration = Duration::from_secs(10);

/// Who is at work, and what is known of packs in this run. Nothing of it has to outlive a restart.
#[derive(Debug, Default)]
pub(crate) struct Rekeyer {
    /// The wish has changed.
    told: Notify,
    /// Held during a round.
    work: Arc<tokio::sync::Mutex<Memory>>,
    /// Packs that removed devices have left, and of which every holder that there is has said that it has not got them.
    nowhere: Mutex<BTreeSet<ShardRoot>>,
}

impl Rekeyer {
    fn nowhere(&self) -> MutexGuard<'_, BTreeSet<ShardRoot>> {
        self.nowhere.lock().expect("no code panics while holding this lock")
    }
}

/// What is known of packs that are to be made anew.
#[derive(Debug, Default)]
struct Memory {
    /// All of this is for a round up to this epoch.
    up_to: u32,
    /// Everything in them is in new ones, as was found in this run.
    moved: BTreeSet<ShardRoot>,
    /// Could not be had.
    unreachable: BTreeSet<ShardRoot>,
}

impl Memory {
    /// What was made anew up to an earlier epoch is behind again.
    fn aim(&mut self, up_to: u32) {
        if self.up_to != up_to {
            *self = Self { up_to, ..Self::default() };
        }
    }

    fn passed_over(&self) -> BTreeSet<ShardRoot> {
        self.moved.union(&self.unreachable).copied().collect()
    }
}

/// The `rekey` command.
pub(crate) async fn run(
    core: &Arc<Core>,
    act: RekeyAct,
    events: &EventSink,
) -> Result<Outcome, Failure> {
    let member = core.member()?;
    match act {
        RekeyAct::Show => {}
        RekeyAct::Stop => stop(core, &member).await?,
        RekeyAct::Want | RekeyAct::Now => {
            let is_wanted = want(core, &member).await?;
            // Without a running node nobody else would do it.
            let done = if is_wanted && (act == RekeyAct::Now || !core.serves) {
                all_of_it(core, &member, events).await
            } else {
                Ok(())
            };
            // What is left is done by and by.
            core.rekeyer.told.notify_one();
            done?;
        }
    }
    Ok(Outcome::Rekey(told::outcome(core, &member, act).await?))
}

/// Notes that older packs are to be made anew; false when there are none, and nothing is left of an earlier wish.
async fn want(core: &Arc<Core>, member: &Arc<Member>) -> Result<bool, EngineError> {
    // Others may have done some of it before, or have begun an epoch.
    super::sync::refresh(core, member).await;
    let up_to = clear_epoch(core, member).await?;
    // Whoever asks again has every holder asked again.
    core.rekeyer.nowhere().clear();
    let (looking, of) = (Arc::clone(core), Arc::clone(member));
    let is_behind = on_disk(move || round::is_anything_behind(&looking, &of, up_to)).await?;
    if is_behind {
        core.state.want_rekey(up_to, wall())?;
    }
    // Of an earlier one it may be that all is made anew, and not yet safe.
    Ok(is_behind || core.state.rekey_wish()?.is_some())
}

/// REKEY-3: a pack names its epoch by number alone. Where another epoch that is known, void or not, has the
/// number of the one that is sealed with, or a higher one, an epoch above all of them is begun first.
async fn clear_epoch(core: &Arc<Core>, member: &Arc<Member>) -> Result<u32, EngineError> {
    roster::ensure_epoch(core, member).await?;
    let _turn = core.rotating.lock().await;
    let mut log = core.log_of(&member.vault)?;
    if let Some(number) = log.clear_epoch() {
        return Ok(number);
    }
    let entry = log.rotate(&member.keys, wall(), &mut launch::rng()?)?;
    roster::keep_entry(core, member.vault, entry).await?;
    info!("a new key is used from now on: the number of the last one did not tell it from others");
    contact::spread_log(core, member.vault);
    core.log_of(&member.vault)?.clear_epoch().ok_or(EngineError::EpochDue)
}

/// Takes the wish back. What was made anew already is used: else it would be kept twice.
async fn stop(core: &Arc<Core>, member: &Arc<Member>) -> Result<(), EngineError> {
    let Some(wish) = core.state.rekey_wish()? else { return Ok(()) };
    core.state.drop_rekey_wish()?;
    core.rekeyer.told.notify_one();
    let memory = core.rekeyer.work.lock().await;
    let begun = std::time::Instant::now();
    loop {
        let round = Round::new(core, member, wish.up_to, core.closing.clone());
        let is_finished = on_disk(move || round.finish_begun()).await?;
        if is_finished || begun.elapsed() >= STOP_WAITS {
            break;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    drop(memory);
    Ok(())
}

/// Begins to go on with what was asked for, now or in an earlier run.
pub(super) fn start(core: &Arc<Core>, member: &Arc<Member>) {
    let (core, member) = (Arc::clone(core), Arc::clone(member));
    tokio::spawn(async move {
        let closing = core.closing.clone();
        let _closed = closing.run_until_cancelled(drive(&core, &member)).await;
    });
}

async fn drive(core: &Arc<Core>, member: &Arc<Member>) {
    let mut machine = Rekeying::new(core.keys.id());
    let mut input = wanted(core, true);
    // Kept over the rounds of the loop: whoever asks again and again does not put it off.
    let mut next_look = tokio::time::Instant::now();
    loop {
        machine.handle_input(core.clock.now(), input);
        input = if let Some(Output::Round { order }) = machine.poll_output() {
            Input::Ended { order, how: one_round(core, member).await }
        } else {
            tokio::select! {
                () = core.rekeyer.told.notified() => wanted(core, false),
                () = core.clock.reached(machine.poll_timeout()) => Input::TimePassed,
                () = tokio::time::sleep_until(next_look), if machine.is_settling() => {
                    next_look = tokio::time::Instant::now() + LOOK_EVERY;
                    look(core, member).await
                }
            }
        };
    }
}

fn wanted(core: &Core, is_start: bool) -> Input {
    match core.state.rekey_wish() {
        Ok(Some(_)) => Input::Wanted { is_start },
        Ok(None) => Input::Unwanted,
        Err(error) => {
            warn!("whether older packs are to be made anew is not known: {error}");
            Input::Unwanted
        }
    }
}

/// One round by the way, when nothing else is going on.
async fn one_round(core: &Arc<Core>, member: &Arc<Member>) -> Ended {
    let Ok(memory) = Arc::clone(&core.rekeyer.work).try_lock_owned() else { return Ended::Busy };
    match work(core, member, memory, core.closing.clone()).await {
        Ok((_, how)) => how,
        Err(error) => {
            warn!("older packs could not be made anew: {error}");
            Ended::Stuck
        }
    }
}

type Guard = OwnedMutexGuard<Memory>;

/// One round.
async fn work(
    core: &Arc<Core>,
    member: &Arc<Member>,
    mut memory: Guard,
    stop: CancellationToken,
) -> Result<(Guard, Ended), EngineError> {
    if core.state.rekey_wish()?.is_none() {
        return Ok((memory, Ended::Done));
    }
    // What was sealed since the wish may have another epoch's number, which nothing tells from the wanted one.
    let number = clear_epoch(core, member).await?;
    let Some(wish) = core.state.raise_rekey_wish(number)? else {
        return Ok((memory, Ended::Done));
    };
    let round = Round::new(core, member, wish.up_to, stop);
    let (memory, how) = on_disk(move || {
        let how = round.run(&mut memory)?;
        Ok::<_, EngineError>((memory, how))
    })
    .await?;
    if how != Ended::Done {
        return Ok((memory, how));
    }
    let is_clear = core.log_of(&member.vault)?.clear_epoch() == Some(wish.up_to);
    if !is_clear || !core.state.fulfil_rekey_wish(wish.up_to)? {
        return Ok((memory, Ended::Moved));
    }
    info!("what is claimed here and can be had needs no key of before epoch {}", wish.up_to);
    Ok((memory, Ended::Done))
}

/// Whether what was made anew is at holders.
async fn look(core: &Core, member: &Member) -> Input {
    let looked = async {
        let status = member.custody()?.status().await.ok_or(EngineError::Stopped)?;
        Ok::<_, EngineError>((is_safe(core, member, &status)?, status.blocked.is_some()))
    };
    match looked.await {
        Ok((true, _)) => Input::Settled,
        Ok((false, is_held_up)) => Input::Unsettled { is_held_up },
        Err(error) => {
            warn!("whether what was made anew is safe is not known: {error}");
            Input::Unsettled { is_held_up: true }
        }
    }
}

fn is_safe(core: &Core, member: &Member, status: &Status) -> Result<bool, EngineError> {
    let newest = core.state.commit_of(&member.keys.id())?.map_or(0, |commit| commit.seq);
    Ok(is_settled(status.waiting_bytes, (newest, status.published_seq)))
}

/// All of it in one go, while somebody waits. What cannot be done now stays wanted.
async fn all_of_it(
    core: &Arc<Core>,
    member: &Arc<Member>,
    events: &EventSink,
) -> Result<(), Failure> {
    let mut memory = tokio::select! {
        memory = Arc::clone(&core.rekeyer.work).lock_owned() => memory,
        () = events.cancelled() => return Err(Failure::interrupted()),
    };
    loop {
        show(core, member, events).await?;
        let how = match work(core, member, memory, events.token().clone()).await {
            Ok((same, how)) => {
                memory = same;
                how
            }
            Err(error) => return Err(error.into()),
        };
        match how {
            Ended::Done => return Ok(()),
            Ended::Moved => {
                if !settle(core, member, events).await? {
                    return Ok(());
                }
            }
            Ended::Stuck => {
                events.notice(
                    Level::Warning,
                    "some older packs cannot be had now: who keeps them is away",
                );
                return Ok(());
            }
            Ended::Busy => tokio::select! {
                () = tokio::time::sleep(LOOK_EVERY) => {}
                () = events.cancelled() => return Err(Failure::interrupted()),
            },
        }
    }
}

/// Waits until what was made anew is safe; false when waiting cannot help.
async fn settle(
    core: &Arc<Core>,
    member: &Arc<Member>,
    events: &EventSink,
) -> Result<bool, Failure> {
    let custody = member.custody()?;
    let names = report::peer_names(core)?;
    let mut said = None;
    loop {
        let status = custody.status().await.ok_or(EngineError::Stopped)?;
        if is_safe(core, member, &status)? {
            return Ok(true);
        }
        events.check().map_err(EngineError::from)?;
        if said != status.blocked {
            if let Some(Advice { text, hint }) = report::why_blocked(&status, &names) {
                events.notice(Level::Warning, format!("{text}: {hint}"));
            }
            said = status.blocked;
        }
        if report::is_hopeless(said.as_ref()) {
            return Ok(false);
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK_EVERY / 4) => {}
            () = events.cancelled() => return Err(Failure::interrupted()),
        }
    }
}

/// How far it is.
async fn show(core: &Arc<Core>, member: &Arc<Member>, events: &EventSink) -> Result<(), Failure> {
    if !events.is_watched() {
        return Ok(());
    }
    let (looking, of) = (Arc::clone(core), Arc::clone(member));
    if let Some(far) = on_disk(move || progress(&looking, &of)).await? {
        events.progress(Progress {
            stage: Stage::Rekeying,
            bytes_done: far.moved_bytes,
            bytes_total: Some(far.moved_bytes + far.behind_bytes),
            files_done: far.moved_packs,
            files_total: Some(far.moved_packs + far.behind_packs),
        });
    }
    Ok(())
}

/// A reader of chunks for a round.
fn source(core: &Arc<Core>, member: &Arc<Member>) -> ChunkSource {
    ChunkSource::new(core, member)
}
