//! Carries out what follows from words: each step durable before the next, and done again after a crash.

use std::{
    collections::BTreeSet,
    sync::{Arc, atomic::Ordering},
};

use larder_protocol::{
    ids::{DeviceId, VaultId},
    leaving::{Cover, DaysSeen, Deed, Facts, Side, deeds},
    placing::{Input, Site},
    trail::TrailEvent,
};
use tracing::info;

use super::{Stand, guards, is_known, log_failure, say_durably, speak, telling, words};
use crate::{
    engine::{Core, EngineError, Member, clock::wall, on_disk, serve, sync, trail},
    state::circle::{GrantRow, PeerRow},
};

/// Deeds that may follow one from the other before somebody else has to do something.
const STEPS_MAX: usize = 8;

/// What is still to come.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Next {
    /// Copies are being placed elsewhere.
    pub(super) is_moving: bool,
    /// Something is waited for.
    pub(super) is_open: bool,
}

/// What one look has led to.
struct Step {
    /// Something was said or done: it is looked at again.
    is_news: bool,
    next: Next,
}

/// Looks at every vault that this one has to do with in this way, and does what is to be done.
pub(super) async fn settle(core: &Arc<Core>, member: &Arc<Member>) -> Next {
    let _one_at_a_time = core.leaving.turn.lock().await;
    let mut others = core.leaving.words().others_of(&member.vault);
    // Also those of whom nothing is said any more: whoever said it was removed.
    others.extend(log_failure(core.state.apart().map_err(EngineError::from)).unwrap_or_default());
    let mut next = Next::default();
    for other in others {
        // Tried again later when it fails, or does not come to an end.
        let mut last = Next { is_moving: false, is_open: true };
        for _ in 0..STEPS_MAX {
            let Some(step) = log_failure(step(core, member, other).await) else { break };
            if !step.is_news {
                last = step.next;
                break;
            }
            core.leaving.is_to_be_told.store(true, Ordering::Relaxed);
        }
        next.is_moving |= last.is_moving;
        next.is_open |= last.is_open;
    }
    next
}

/// Looks at one vault, and does what is to be done now.
async fn step(core: &Arc<Core>, member: &Arc<Member>, other: VaultId) -> Result<Step, EngineError> {
    let stand = Stand::of(core, member.vault, other)?;
    let peers: Vec<PeerRow> =
        core.state.peers()?.into_iter().filter(|peer| peer.vault == other).collect();
    let waived = stand.ours.waives.get(&core.keys.id()).copied().flatten();
    let has_waived = stand.since.is_some_and(|since| waived >= Some(since));
    let holders: BTreeSet<DeviceId> =
        peers.iter().filter(|peer| peer.is_holder).map(|peer| peer.device).collect();
    let is_known = is_known(core, &other)?;
    reflect(core, member, &stand, &holders).await?;
    if has_waived && !holders.is_empty() {
        // A crash came between the word and the deed, or somebody has named them anew.
        stop_relying(core, member, other).await?;
        return Ok(Step { is_news: true, next: Next::default() });
    }
    let moves = stand.since.is_some() && !has_waived;
    let cover = match moves && !holders.is_empty() {
        true => cover(member, &holders).await?,
        // Whoever keeps nothing of it here loses nothing.
        false => Cover { is_head_elsewhere: true, ..Cover::default() },
    };
    let said = core.state.leaving_said(&other, stand.since.unwrap_or(0))?;
    let is_tried = said.regardless && core.leaving.tried().contains(&other);
    let facts = Facts {
        own: core.keys.id(),
        ours: &stand.ours,
        theirs: &stand.theirs,
        cover,
        is_known,
        gives_up: said.gives_up,
        kept: core.holding.kept_for(other).0,
        days: days(core, other).await?,
        say: said.say(),
        is_told: is_tried || words::is_told(core, member.vault, other)?,
    };
    let deeds = deeds(&facts);
    let mut is_news = false;
    for deed in deeds {
        is_news |= carry_out(core, member, &stand, deed).await?;
    }
    let is_open = stand.since.is_some() && is_known;
    Ok(Step { is_news, next: Next { is_moving: moves, is_open } })
}

async fn cover(member: &Member, holders: &BTreeSet<DeviceId>) -> Result<Cover, EngineError> {
    member.custody()?.cover_without(holders.clone()).await.ok_or(EngineError::Stopped)
}

/// Counts another day that has gone by.
async fn days(core: &Arc<Core>, other: VaultId) -> Result<Option<DaysSeen>, EngineError> {
    let Some(days) = core.state.leaving_days(&other)? else { return Ok(None) };
    let Some(seen) = days.seen(wall()) else { return Ok(Some(days)) };
    let counting = Arc::clone(core);
    on_disk(move || counting.state.keep_leaving_days(&other, Some(seen))).await?;
    Ok(Some(seen))
}

/// What placing and holding go by while two vaults are apart, and afterwards.
async fn reflect(
    core: &Arc<Core>,
    member: &Arc<Member>,
    stand: &Stand,
    holders: &BTreeSet<DeviceId>,
) -> Result<(), EngineError> {
    let (other, is_apart) = (stand.pair.other, stand.since.is_some());
    let is_noted = core.state.apart()?.contains(&other);
    match (is_apart, is_noted) {
        (true, false) => {
            let noting = Arc::clone(core);
            on_disk(move || noting.state.go_apart(&other)).await?;
        }
        // It may have erased anything meanwhile: whatever it signed for is asked for anew.
        (false, true) => rely_anew(core, member, other).await?,
        (true, true) | (false, false) => {}
    }
    for holder in holders.iter().filter(|_| is_apart) {
        member.custody()?.tell(Input::HolderLeaves { holder: *holder }).await;
    }
    if core.state.grant(&other)?.is_none_or(|grant| grant.is_apart() == is_apart) {
        return Ok(());
    }
    let granting = Arc::clone(core);
    on_disk(move || {
        // Nothing more is taken for it; what is kept stays.
        let while_apart = is_apart.then_some(0);
        let change = |grant: GrantRow| GrantRow { while_apart, ..grant };
        granting.state.change_grant(&other, |known| known.map(change))?;
        granting.holding.set_terms(&granting.state, granting.config().offer_bytes())
    })
    .await?;
    core.tending.log_grew(core, other);
    if !is_apart && core.serves {
        // There is room again: who was refused need not wait until it asks by itself.
        sync::meet_everybody(core, member);
    }
    Ok(())
}

/// Does one thing; true if that may lead to another.
async fn carry_out(
    core: &Arc<Core>,
    member: &Arc<Member>,
    stand: &Stand,
    deed: Deed,
) -> Result<bool, EngineError> {
    let other = stand.pair.other;
    match deed {
        Deed::Waive { since } => {
            // The word is durable first: whatever fails after it is done again because of it.
            let word = speak(core, member, other, |body| body.waives = Some(since))?;
            let (keeping, row) = (Arc::clone(core), word.clone());
            on_disk(move || keeping.state.keep_leaving_words(&[row])).await?;
            stop_relying(core, member, other).await?;
            // And told last: nobody hears it who could act before this device did.
            core.leaving.words().say(word);
            info!("what vault {} keeps for this one is not needed any more", other.short());
        }
        Deed::Unwaive => {
            let word = speak(core, member, other, |body| body.waives = None)?;
            say_durably(core, word).await?;
        }
        Deed::Await { since } => {
            let begun = DaysSeen::begin(since, wall());
            let counting = Arc::clone(core);
            on_disk(move || counting.state.keep_leaving_days(&other, Some(begun))).await?;
        }
        Deed::StopWaiting => {
            let counting = Arc::clone(core);
            on_disk(move || counting.state.keep_leaving_days(&other, None)).await?;
        }
        Deed::Drop => {
            let dropping = Arc::clone(core);
            on_disk(move || serve::drop_all(&dropping, other)).await?;
            let (left, _) = core.holding.kept_for(other);
            info!("what was kept for vault {} was erased; {left} shards are left", other.short());
            return Ok(left == 0);
        }
        Deed::Forget => return forget(core, member, &stand.theirs, other).await,
    }
    Ok(true)
}

/// Counts no copy there any more.
async fn stop_relying(
    core: &Arc<Core>,
    member: &Member,
    other: VaultId,
) -> Result<(), EngineError> {
    let devices = core.state.devices_of(&other)?;
    let custody = member.custody()?;
    for holder in &devices {
        custody.tell(Input::HolderRemoved { holder: *holder }).await;
    }
    // Answered after that: no receipt of theirs is being kept any more.
    custody.status().await.ok_or(EngineError::Stopped)?;
    let keeping = Arc::clone(core);
    on_disk(move || {
        // What others say in their name from here on is of the time before.
        keeping.state.note_met(&devices, wall())?;
        keeping.state.stop_relying(&other)
    })
    .await
}

/// Its devices are holders again, of which nothing is known.
async fn rely_anew(core: &Arc<Core>, member: &Member, other: VaultId) -> Result<(), EngineError> {
    let custody = member.custody()?;
    let devices = core.state.devices_of(&other)?;
    for holder in &devices {
        custody.tell(Input::HolderRemoved { holder: *holder }).await;
    }
    custody.status().await.ok_or(EngineError::Stopped)?;
    let keeping = Arc::clone(core);
    on_disk(move || {
        keeping.state.note_met(&devices, wall())?;
        keeping.state.rely_anew(&other)
    })
    .await?;
    let holders = core.state.peers()?.into_iter().filter(|it| it.vault == other && it.is_holder);
    for peer in holders {
        let (holder, acquaintance) = (peer.device, peer.acquaintance());
        let site = Site(peer.site);
        custody.tell(Input::HolderKnown { holder, site, acquaintance }).await;
    }
    Ok(())
}

/// Forgets the other vault. Whose guardian this one is has its share kept until it appoints others.
async fn forget(
    core: &Arc<Core>,
    member: &Member,
    theirs: &Side,
    other: VaultId,
) -> Result<bool, EngineError> {
    let devices = core.state.devices_of(&other)?;
    if guards(core, member, &other).1 {
        return Ok(false);
    }
    let name = telling::name_of(core, &other)?;
    trail::note(core, TrailEvent::Parted { vault: other, name }).await;
    let (forgetting, parted) = (Arc::clone(core), devices.clone());
    on_disk(move || {
        forgetting.state.note_met(&parted, wall()).map_err(EngineError::from)?;
        // Who calls is a stranger from here on; what is left of it goes with the next step, or the next start.
        forgetting.vaults.forget(other)?;
        forgetting.state.forget_circle(&other).map_err(EngineError::from)
    })
    .await?;
    for device in devices.iter().chain(theirs.waives.keys()) {
        core.net.set_addresses(*device, Vec::new());
        core.net.forget_connections(device);
        member.custody()?.tell(Input::HolderRemoved { holder: *device }).await;
        core.leaving.told().remove(device);
    }
    core.tending.introduced(core, other);
    info!("vault {} was left: nothing is kept for it, and it keeps nothing", other.short());
    Ok(true)
}
