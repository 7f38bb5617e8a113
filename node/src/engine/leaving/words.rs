//! What devices of both vaults tell each other: each hands on everything that it knows and the other may
//! know, so that nobody has to meet everybody.

use std::{
    collections::BTreeSet,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use larder_protocol::{
    ids::{DeviceId, VaultId},
    leaving::{LeavingWord, Pair},
    limits::LEAVING_PART_MAX,
    wire::message::{Answer, Refusal, Request},
};
use minicbor::bytes::ByteVec;
use tokio::time::timeout;
use tracing::{debug, info};

use super::{acting, living, number_of};
use crate::{
    engine::{Core, EngineError, Member, clock::wall, contact, on_disk},
    vaults::Relation,
};

/// How long one node is told.
const TELL: Duration = Duration::from_secs(10);

/// A node was met: both come to know what the other knows. Nothing is sent that it is known to know. True if
/// something was said.
///
/// # Errors
/// [`EngineError`] when a node of another vault could not be told: it might go by less than is known here.
pub(in crate::engine) async fn met(
    core: &Arc<Core>,
    member: &Arc<Member>,
    peer: DeviceId,
) -> Result<bool, EngineError> {
    let Some(of) = vault_of(core, member, &peer)? else { return Ok(false) };
    let is_same = !core.leaving.differing().contains(&peer);
    if is_same && core.leaving.is_told((member.vault, of), &peer) {
        return Ok(false);
    }
    exchange(core, member, (peer, of)).await?;
    let is_told = core.leaving.is_told((member.vault, of), &peer);
    // A sibling drops nothing of this vault's because of words.
    if is_told || of == member.vault { Ok(true) } else { Err(EngineError::NotTold) }
}

/// A node that was greeted said what stands for all that it knows of it.
pub(in crate::engine) fn greeted(core: &Core, peer: DeviceId, tag: u64) -> Result<(), EngineError> {
    if let Ok(member) = core.member()
        && let Some(of) = vault_of(core, &member, &peer)?
    {
        core.leaving.greeted((core.clock.now(), member.vault, of), peer, tag);
    }
    Ok(())
}

/// The vault of a node, as far as it is known here.
fn vault_of(core: &Core, member: &Member, peer: &DeviceId) -> Result<Option<VaultId>, EngineError> {
    match core.vaults.relation(peer) {
        Some((vault, Relation::Device)) => Ok(Some(vault)),
        Some((_, Relation::Recovery | Relation::Guardians)) => Ok(None),
        None => {
            let known = core.state.peer(peer)?;
            Ok(known.map(|peer| peer.vault).filter(|vault| *vault != member.vault))
        }
    }
}

async fn exchange(
    core: &Arc<Core>,
    member: &Arc<Member>,
    (peer, of): (DeviceId, VaultId),
) -> Result<(), EngineError> {
    let words = words_for(core, member.vault, of);
    match core.net.peer(peer).request(&Request::Leaving { words }).await? {
        Answer::LeavingIs { words } => {
            core.leaving.differing().remove(&peer);
            core.leaving.exchanged().insert(peer, core.clock.now());
            // What it has shown is what it knows, whatever it was sent.
            take(core, member, (peer, of), words).await
        }
        Answer::Refused { reason } => Err(EngineError::Refused(reason)),
        _ => Err(EngineError::OutOfTurn),
    }
}

/// A node has shown that it knows this. Of what nobody here knows nothing is noted: so it is bounded.
fn note_shown(core: &Core, peer: DeviceId, shown: &[LeavingWord]) {
    let words = core.leaving.words();
    let mut told = core.leaving.told();
    let known = told.entry(peer).or_default();
    let is_known =
        |((pair, device), _): &((Pair, DeviceId), u64)| words.of(*pair, device).is_some();
    for (whose, number) in shown.iter().map(number_of).filter(is_known) {
        let newest = known.entry(whose).or_default();
        *newest = number.max(*newest);
    }
}

/// Answers a node that tells what it knows with all that is known here after that.
pub(in crate::engine) async fn answer(
    core: &Arc<Core>,
    from: DeviceId,
    words: Vec<ByteVec>,
) -> Result<Answer, Refusal> {
    let member = core.member().map_err(|_| Refusal::Forbidden)?;
    let Some((of, Relation::Device)) = core.vaults.relation(&from) else {
        return Err(Refusal::Forbidden);
    };
    let taken = take(core, &member, (from, of), words).await;
    taken.map_err(|error| {
        debug!("what {} says of leaving was not taken: {error}", from.short());
        Refusal::Internal
    })?;
    Ok(Answer::LeavingIs { words: words_for(core, member.vault, of) })
}

/// What a device of `of` may know.
fn words_for(core: &Core, own: VaultId, of: VaultId) -> Vec<ByteVec> {
    let words = core.leaving.words();
    let bytes = words.for_device_of(own, of).into_iter().map(LeavingWord::bytes);
    bytes.take(LEAVING_PART_MAX).map(|bytes| bytes.to_vec().into()).collect()
}

/// Takes what a device of `of` says and counts; what does not count is passed over.
async fn take(
    core: &Arc<Core>,
    member: &Arc<Member>,
    (peer, of): (DeviceId, VaultId),
    words: Vec<ByteVec>,
) -> Result<(), EngineError> {
    // While something is erased, nobody is told that he is heard.
    let turn = core.leaving.turn.lock().await;
    let shown: Vec<LeavingWord> =
        words.iter().filter_map(|bytes| LeavingWord::decode(bytes).ok()).collect();
    let mut sound = Vec::new();
    for word in &shown {
        if is_taken(core, member, of, word)? {
            sound.push(word.clone());
        }
    }
    let is_news = !sound.is_empty();
    // Whoever slept while the two were apart hears of the end alone: what was signed for before counts for nothing.
    let parted: BTreeSet<VaultId> = {
        let words = core.leaving.words();
        let is_new = |word: &&LeavingWord| words.is_wish_new(word);
        let other = |word: &LeavingWord| word.body().pair().other_than(member.vault);
        sound.iter().filter(is_new).map(other).collect()
    };
    let (keeping, rows) = (Arc::clone(core), sound.clone());
    on_disk(move || {
        parted.iter().try_for_each(|other| keeping.state.go_apart(other))?;
        keeping.state.keep_leaving_words(&rows)
    })
    .await?;
    sound.into_iter().for_each(|word| _ = core.leaving.words().offer(word));
    note_shown(core, peer, &shown);
    if !is_news {
        return Ok(());
    }
    core.leaving.is_to_be_told.store(true, Ordering::Relaxed);
    drop(turn);
    info!("a vault of the circle has said how it stands to another one");
    // At once: what is asked and offered after this goes by it.
    acting::settle(core, member).await;
    core.leaving.wake();
    Ok(())
}

/// Whether a word that a device of `of` brings concerns the two vaults and is news that counts. Of a vault whose
/// log is not here the word of the own vault's devices is taken, and that of devices whom they have named.
fn is_taken(
    core: &Core,
    member: &Member,
    of: VaultId,
    word: &LeavingWord,
) -> Result<bool, EngineError> {
    let (pair, device) = (word.body().pair(), word.body().device);
    let is_ours = pair.vault == member.vault || pair.other == member.vault;
    let is_between = of == member.vault || pair.vault == of || pair.other == of;
    // Nobody but this device says what it says.
    if !is_ours || !is_between || device == core.keys.id() {
        return Ok(false);
    }
    if !core.leaving.words().has_place_for(word) {
        return Ok(false);
    }
    let checked = core.vaults.read().get(&pair.vault).map(|it| word.check(it.log(), wall()));
    let counts = match checked {
        Some(checked) => checked.is_ok(),
        None => {
            let is_known = of == member.vault || living(core, pair)?.contains(&device);
            is_known && word.check_numbers(wall()).is_ok()
        }
    };
    Ok(counts)
}

/// Tells everybody whom it concerns and who does not know yet, all at once; true if all were reached.
pub(super) async fn tell(core: &Arc<Core>, member: &Arc<Member>) -> bool {
    let others = core.leaving.words().others_of(&member.vault);
    let mut telling = tokio::task::JoinSet::new();
    for peer in core.state.peers().unwrap_or_default() {
        let (device, of, is_own) = (peer.device, peer.vault, peer.vault == member.vault);
        let differs = core.leaving.differing().contains(&device);
        let concerns = differs || is_own || others.contains(&of);
        let is_told = core.leaving.is_told((member.vault, of), &device);
        if !concerns || (is_told && !differs) {
            continue;
        }
        let (core, member) = (Arc::clone(core), Arc::clone(member));
        telling.spawn(async move {
            let told = async {
                contact::hello(&core, device).await?;
                // It may not have heard of the device that speaks.
                contact::push_log(&core, device, member.vault).await?;
                exchange(&core, &member, (device, of)).await
            };
            match timeout(TELL, told).await {
                Ok(Ok(())) => return true,
                // It has forgotten this vault: there is nothing left to tell it.
                Ok(Err(error)) if error.turns_away() && !is_own => {
                    let known = core.leaving.known_for(member.vault, of);
                    core.leaving.told().insert(device, known);
                    return true;
                }
                Ok(Err(error)) => {
                    debug!("{} was not told who leaves whom: {error}", device.short());
                    contact::missed(&core, device, &error).await;
                }
                Err(_) => debug!("{} was not told in time", device.short()),
            }
            false
        });
    }
    let all_reached = telling.join_all().await.into_iter().all(|is_reached| is_reached);
    core.leaving.tried().extend(others);
    all_reached
}

/// Whether some living device of another vault knows all that is known here: also one that calls from where nobody
/// here would find it.
pub(super) fn is_told(core: &Core, own: VaultId, of: VaultId) -> Result<bool, EngineError> {
    let devices = living(core, Pair { vault: of, other: own })?;
    Ok(devices.iter().any(|device| core.leaving.is_told((own, of), device)))
}
