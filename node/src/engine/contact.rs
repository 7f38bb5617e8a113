//! What two nodes say when they meet: greeting, device logs, heads.
//!
//! Asked on every connect, in this order: who are you to me (`Hello`), log entries both ways,
//! heads down, own safe head up. Everything that comes in is verified before it is kept.

use larder_protocol::{
    head::{HeadError, Offered, SignedHead},
    ids::{DeviceId, EntryHash, VaultId},
    limits::HEADS_PAST_MAX,
    log::{LogError, Waiting},
    placing::Acquaintance,
    wire::{
        frame::lists_that_fit,
        message::{Answer, Refusal, Request, Standing, VERSION},
    },
};
use minicbor::bytes::ByteVec;
use tracing::{debug, warn};

use super::{
    Core, EngineError, Member,
    clock::wall,
    guardians, leaving, neighbours, on_disk, roster,
    sites::{self, Card},
    tending,
};
use crate::{state::circle::PeerRow, vaults::Relation};

/// Greets a holder and brings both sides up to date.
pub(crate) async fn greet(
    core: &std::sync::Arc<Core>,
    member: &std::sync::Arc<Member>,
    holder: DeviceId,
) -> Result<Standing, EngineError> {
    let standing = hello(core, holder).await?.ok_or(EngineError::Stranger)?;
    if standing.vault != member.vault {
        return Err(EngineError::Stranger);
    }
    pull_log(core, holder, member.vault).await?;
    push_log(core, holder, member.vault).await?;
    pull_heads(core, holder, member.vault).await?;
    super::sync::head_came(core, member.vault);
    note_met(core, holder, Some(&standing))?;
    guardians::met(core, member, holder, standing.guarding.as_ref()).await;
    tending::met(core, member, holder, &standing).await;
    // Before anything is offered: what is said here decides what the other side may let go.
    if leaving::met(core, member, holder).await? {
        // It may grant something else by now.
        return hello(core, holder).await?.ok_or(EngineError::Stranger);
    }
    Ok(standing)
}

/// The first request of a connection: versions, what the other side is to us, where each stands, and by
/// what it is recognised on a local network.
pub(crate) async fn hello(
    core: &std::sync::Arc<Core>,
    peer: DeviceId,
) -> Result<Option<Standing>, EngineError> {
    let beacon_key = neighbours::key_for(core, &peer);
    let Card { site, name } = sites::told_to(core, &peer);
    let hello = Request::Hello { versions: vec![VERSION], beacon_key, site, name };
    match core.net.peer(peer).request(&hello).await? {
        Answer::Welcome { version: VERSION, standing, beacon_key, site, name } => {
            neighbours::learn_key(core, peer, beacon_key).await;
            sites::answered(core, peer, Card { site, name }).await;
            if let Some((vault, Relation::Device)) = core.vaults.relation(&peer) {
                core.tending.heard(core, vault, peer);
            }
            if let Some(standing) = &standing {
                leaving::greeted(core, peer, standing.leaving)?;
            }
            Ok(standing)
        }
        Answer::Refused { reason } => Err(EngineError::Refused(reason)),
        _ => Err(EngineError::OutOfTurn),
    }
}

/// Takes log entries that the peer has and we lack. Entries that cannot be taken are passed over:
/// somebody with a device's key could have put them there to keep everybody else apart.
pub(crate) async fn pull_log(
    outer: &std::sync::Arc<Core>,
    peer: DeviceId,
    vault: VaultId,
) -> Result<(), EngineError> {
    let core = outer;
    let mut waiting = Waiting::default();
    loop {
        // What waits is not sent again, and what builds on it may have it taken.
        let have = [core.vaults.log_heads(&vault), waiting.tips()].concat();
        let before = waiting.count();
        let entries = match core.net.peer(peer).request(&Request::PullLog { vault, have }).await? {
            Answer::Log { entries } => entries,
            Answer::Refused { reason } => return Err(EngineError::Refused(reason)),
            _ => return Err(EngineError::OutOfTurn),
        };
        if entries.is_empty() {
            return Ok(());
        }
        let core = std::sync::Arc::clone(core);
        let entries: Vec<Vec<u8>> = entries.into_iter().map(Vec::from).collect();
        let taking = on_disk(move || {
            let taken = core.vaults.take_log(vault, &entries, &mut waiting)?;
            Ok::<_, EngineError>((taken, waiting))
        });
        let taken;
        (taken, waiting) = taking.await?;
        if taken.grown {
            roster::log_grew(outer, vault).await;
        }
        match taken.refused {
            // It may remove a device: a log that cannot be read completely cannot be trusted.
            Some(error @ LogError::Newer { .. }) => {
                return Err(crate::vaults::VaultError::from(error).into());
            }
            Some(error) => debug!("{} has log entries not taken here: {error}", peer.short()),
            None => {}
        }
        // A log that does not fit one answer is cut; an answer without news is the last.
        if !waiting.is_worth_asking(taken.grown, before) {
            return Ok(());
        }
    }
}

/// Sends log entries that the peer lacks, after asking which those are.
pub(crate) async fn push_log(
    core: &Core,
    peer: DeviceId,
    vault: VaultId,
) -> Result<(), EngineError> {
    // The founding entry, which both have: the answer tells how far the peer is.
    let founding = core.vaults.log_beyond(&vault, &[]).unwrap_or_default();
    let founding = founding.into_iter().take(1).map(ByteVec::from).collect();
    let theirs = push_entries(core, peer, vault, founding).await?;
    if theirs == core.vaults.log_heads(&vault) {
        return Ok(());
    }
    let missing = core.vaults.log_beyond(&vault, &theirs).unwrap_or_default();
    let missing: Vec<ByteVec> = missing.into_iter().map(ByteVec::from).collect();
    for entries in lists_that_fit(&missing) {
        match push_entries(core, peer, vault, entries).await {
            Ok(_) => {}
            // It has taken the others, and what it has no room for harms nobody else.
            Err(EngineError::Refused(Refusal::Invalid)) => {
                debug!("{} did not take all log entries", peer.short());
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

async fn push_entries(
    core: &Core,
    peer: DeviceId,
    vault: VaultId,
    entries: Vec<ByteVec>,
) -> Result<Vec<EntryHash>, EngineError> {
    match core.net.peer(peer).request(&Request::PushLog { vault, entries }).await? {
        Answer::LogAt { heads } => Ok(heads),
        Answer::Refused { reason } => Err(EngineError::Refused(reason)),
        _ => Err(EngineError::OutOfTurn),
    }
}

/// Takes heads that the peer has and we lack. An invalid one is the peer's fault and is named.
pub(crate) async fn pull_heads(
    core: &std::sync::Arc<Core>,
    peer: DeviceId,
    vault: VaultId,
) -> Result<Vec<SignedHead>, EngineError> {
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let request = Request::PullHeads { vault, after };
        let heads = match core.net.peer(peer).request(&request).await? {
            Answer::Heads { heads } => heads,
            Answer::Refused { reason } => return Err(EngineError::Refused(reason)),
            _ => return Err(EngineError::OutOfTurn),
        };
        let valid = take_served(core, peer, vault, heads).await?;
        // Ascending and of devices of the vault, so this ends whatever the peer does.
        let last = valid.iter().map(|head| head.body().device).max();
        all.extend(valid);
        if last.is_none() || last <= after {
            return Ok(all);
        }
        after = last;
    }
}

/// The heads of one device of a vault that others have superseded at a peer, with lower numbers than
/// `below`.
pub(crate) async fn pull_past(
    core: &std::sync::Arc<Core>,
    peer: DeviceId,
    (vault, device): (VaultId, DeviceId),
    below: u64,
) -> Result<Vec<SignedHead>, EngineError> {
    let (mut all, mut lowest) = (Vec::new(), below);
    loop {
        let request = Request::PullPast { vault, device, below: Some(lowest) };
        let heads = match core.net.peer(peer).request(&request).await? {
            Answer::Heads { heads } => heads,
            Answer::Refused { reason } => return Err(EngineError::Refused(reason)),
            _ => return Err(EngineError::OutOfTurn),
        };
        let mut past = take_served(core, peer, vault, heads).await?;
        past.retain(|head| head.body().device == device && head.body().seq < lowest);
        // Each answer goes further down, so this ends whatever the peer does.
        let Some(next) = past.iter().map(|head| head.body().seq).min() else { return Ok(all) };
        all.extend(past);
        if all.len() >= HEADS_PAST_MAX {
            return Ok(all);
        }
        lowest = next;
    }
}

/// Takes heads that a peer served. Some may be of a device that joined after the log was asked
/// for: the log is asked for again then, once, and no honest peer is blamed.
async fn take_served(
    core: &std::sync::Arc<Core>,
    peer: DeviceId,
    vault: VaultId,
    heads: Vec<ByteVec>,
) -> Result<Vec<SignedHead>, EngineError> {
    let taking = std::sync::Arc::clone(core);
    let mut met = on_disk(move || take_heads(&taking, peer, vault, heads)).await?;
    if met.early.is_empty() {
        return Ok(met.valid);
    }
    pull_log(core, peer, vault).await?;
    let (taking, early) = (std::sync::Arc::clone(core), std::mem::take(&mut met.early));
    let late = on_disk(move || take_heads(&taking, peer, vault, early)).await?;
    if !late.early.is_empty() {
        debug!("{} serves heads that its log does not explain", peer.short());
    }
    met.valid.extend(late.valid);
    Ok(met.valid)
}

/// Heads that a peer served.
struct Met {
    valid: Vec<SignedHead>,
    /// Those that only a newer log can explain.
    early: Vec<ByteVec>,
}

fn take_heads(
    core: &Core,
    peer: DeviceId,
    vault: VaultId,
    heads: Vec<ByteVec>,
) -> Result<Met, EngineError> {
    let mut met = Met { valid: Vec::with_capacity(heads.len()), early: Vec::new() };
    for bytes in heads {
        let Ok(head) = SignedHead::decode(&bytes) else {
            core.blame(peer, "served a head that is none", None);
            continue;
        };
        match core.vaults.offer_head(vault, head.clone())? {
            Offered::Invalid(HeadError::LogBehind { .. } | HeadError::Stranger { .. }) => {
                met.early.push(bytes);
            }
            // Whoever serves it has not heard yet that its device was removed.
            Offered::Invalid(HeadError::Removed { .. }) => {}
            Offered::Invalid(error) => {
                warn!("{} served a head that is not valid: {error}", peer.short());
                core.blame(peer, "served a head that is not valid", None);
            }
            Offered::Forked(_) => {
                warn!("device {} has two heads with one number", head.body().device.short());
                met.valid.push(head);
            }
            Offered::Taken | Offered::Known | Offered::Older(_) => met.valid.push(head),
        }
    }
    Ok(met)
}

/// Sends one of our own heads; true if the holder took it. What it took is remembered durably.
pub(crate) async fn push_head(
    core: &std::sync::Arc<Core>,
    member: &Member,
    peer: DeviceId,
    seq: u64,
) -> Result<bool, EngineError> {
    let Some(head) = core.state.own_head(seq)? else { return Ok(false) };
    // Another machine with this key may have come to light since the commit, in the greeting even.
    super::commit::check_no_clone(core, member)?;
    let showing = std::sync::Arc::clone(core);
    on_disk(move || showing.state.raise_shown_seq(seq)).await?;
    let request = Request::PushHead { vault: member.vault, head: head.into() };
    let mut answer = core.net.peer(peer).request(&request).await?;
    if answer == (Answer::Refused { reason: Refusal::Invalid }) {
        // The head may name an entry of the log that came here after the two last met.
        push_log(core, peer, member.vault).await?;
        answer = core.net.peer(peer).request(&request).await?;
    }
    match answer {
        Answer::HeadTaken => {
            let core = std::sync::Arc::clone(core);
            on_disk(move || core.state.keep_head_held(&peer, seq)).await?;
            Ok(true)
        }
        Answer::Heads { heads } => {
            debug!("{} knows {} other heads", peer.short(), heads.len());
            take_served(core, peer, member.vault, heads).await?;
            Ok(false)
        }
        Answer::Refused { reason } => Err(EngineError::Refused(reason)),
        _ => Err(EngineError::OutOfTurn),
    }
}

/// Hands on the head of another device of the vault; what the peer has already is no news.
pub(crate) async fn hand_on_head(
    core: &Core,
    peer: DeviceId,
    vault: VaultId,
    head: &SignedHead,
) -> Result<(), EngineError> {
    let request = Request::PushHead { vault, head: head.bytes().to_vec().into() };
    match core.net.peer(peer).request(&request).await? {
        Answer::HeadTaken | Answer::Heads { .. } => Ok(()),
        Answer::Refused { reason } => Err(EngineError::Refused(reason)),
        _ => Err(EngineError::OutOfTurn),
    }
}

/// Tells every node that can be reached of new log entries: a device that just joined is refused
/// by holders that have not heard of it. Those that cannot be reached learn when they are met.
pub(crate) fn spread_log(core: &std::sync::Arc<Core>, vault: VaultId) {
    for peer in core.state.peers().unwrap_or_default() {
        let core = std::sync::Arc::clone(core);
        tokio::spawn(async move {
            let told = async {
                hello(&core, peer.device).await?;
                push_log(&core, peer.device, vault).await
            };
            if let Err(error) = told.await {
                debug!("the log was not pushed to {}: {error}", peer.device.short());
                missed(&core, peer.device, &error).await;
            }
        });
    }
}

/// Somebody could not be told what everybody is told: it is called when it is heard of again.
pub(crate) async fn missed(core: &Core, peer: DeviceId, error: &EngineError) {
    if let Ok(member) = core.member()
        && let Ok(custody) = member.custody()
    {
        custody.missed(peer, error).await;
    }
}

/// Remembers that a peer answered, and what it grants.
pub(crate) fn note_met(
    core: &Core,
    device: DeviceId,
    standing: Option<&Standing>,
) -> Result<(), EngineError> {
    core.state.note_met(&[device], wall())?;
    core.state.change_peer(&device, |known| {
        let mut peer = known?;
        peer.last_seen = wall().0;
        if let Some(standing) = standing {
            // A grant that is taken back was one all the same.
            peer.acquaintance = peer.acquaintance();
            peer.granted_bytes = standing.granted_bytes;
            peer.used_bytes = standing.used_bytes;
            peer.unclaimed_bytes = standing.unclaimed_bytes;
            let receiving = standing.guarding.as_ref().and_then(|guarding| guarding.receiving);
            peer.receiving = receiving.or(peer.receiving);
            peer.acquaintance = peer.acquaintance();
        }
        Some(peer)
    })?;
    Ok(())
}

/// Remembers what a device has shown of itself as a holder.
pub(crate) fn note_acquaintance(
    core: &Core,
    device: DeviceId,
    acquaintance: Acquaintance,
) -> Result<(), EngineError> {
    core.state.change_peer(&device, |known| {
        let is_open = |peer: &PeerRow| peer.acquaintance != Acquaintance::Granted;
        known.filter(is_open).map(|peer| PeerRow { acquaintance, ..peer })
    })?;
    Ok(())
}
