//! Asks a fellow: what it knows of the vault, what it keeps for it, and to show some of that.

use std::{sync::Arc, time::Duration};

use larder_protocol::{
    head::SignedHead,
    ids::{DeviceId, ShardRoot, VaultId},
    limits::{CLAIMED_ROOTS_MAX, TEND_ANSWER_MS_MAX},
    tending::{
        Fellow, Inventory,
        choosing::{believable, has_shown, sample},
        claimed::ClaimedList,
    },
    wire::message::{Answer, Request},
};
use tokio::time::timeout;
use tracing::{debug, warn};

use crate::engine::{Core, EngineError, Member, contact, launch, on_disk};

/// What came of asking.
pub(super) enum Told {
    /// What it keeps, and whether it has shown what it was asked to show of that.
    All { kept: Inventory, is_shown: bool },
    /// It is there, and did not tell, or not in time.
    Nothing,
    /// Nothing came.
    Silence,
}

/// Asks a fellow.
pub(super) async fn ask(
    core: &Arc<Core>,
    member: &Member,
    vault: VaultId,
    fellow: &Fellow,
) -> Told {
    let peer = fellow.device;
    // Of a node of the circle it is known better; of others this is all there is.
    let is_known = core.state.peer(&peer).is_ok_and(|known| known.is_some());
    if !is_known && peer != member.keys.id() {
        for address in launch::socket_addresses(&fellow.addresses) {
            core.net.hint_address(peer, address);
        }
    }
    if let Err(error) = contact::hello(core, peer).await {
        debug!("fellow {}: {error}", peer.short());
        let is_there = error.is_refusal() || error.turns_away();
        return if is_there { Told::Nothing } else { Told::Silence };
    }
    // The machine waits no longer. Whatever goes wrong from here on, it was there.
    let within = Duration::from_millis(TEND_ANSWER_MS_MAX);
    match timeout(within, ask_all(core, peer, vault)).await {
        Ok(Ok((kept, is_shown))) => Told::All { kept, is_shown },
        Ok(Err(error)) => {
            debug!("fellow {}: {error}", peer.short());
            Told::Nothing
        }
        Err(_) => Told::Nothing,
    }
}

async fn ask_all(
    core: &Arc<Core>,
    peer: DeviceId,
    vault: VaultId,
) -> Result<(Inventory, bool), EngineError> {
    contact::pull_log(core, peer, vault).await?;
    contact::pull_heads(core, peer, vault).await?;
    pull_lists(core, peer, vault).await?;
    let reading = Arc::clone(core);
    let needed = on_disk(move || reading.vaults.claimed(&vault)).await?.len();
    let kept = list_kept(core, peer, vault, believable(needed)).await?;
    let is_shown = shows(core, peer, vault, &kept).await?;
    if !is_shown {
        warn!(
            "{} does not have what it says that it keeps for vault {}",
            peer.short(),
            vault.short()
        );
    }
    Ok((kept, is_shown))
}

/// Takes lists that are newer than those here.
async fn pull_lists(core: &Arc<Core>, peer: DeviceId, vault: VaultId) -> Result<(), EngineError> {
    let devices: Vec<DeviceId> = {
        let vaults = core.vaults.read();
        let heads = vaults.get(&vault).map(|known| known.heads());
        heads.into_iter().flat_map(|book| book.heads()).map(|head| head.body().device).collect()
    };
    for device in devices {
        let Some((head, roots)) = pull_list(core, peer, vault, device).await? else { continue };
        let keeping = Arc::clone(core);
        let kept = on_disk(move || {
            let log = keeping.log_of(&vault)?;
            match ClaimedList::new(head, roots, &log) {
                Ok(list) => Ok(keeping.vaults.keep_claimed(vault, &list).map(|()| true)?),
                Err(_) => Ok::<_, EngineError>(false),
            }
        });
        if !kept.await? {
            debug!("{} has a list of {} that is none", peer.short(), device.short());
        }
    }
    Ok(())
}

/// A list with the head that is to sign for it, unless one as new is here.
async fn pull_list(
    core: &Arc<Core>,
    peer: DeviceId,
    vault: VaultId,
    device: DeviceId,
) -> Result<Option<(SignedHead, Vec<ShardRoot>)>, EngineError> {
    let (mut head, mut all): (Option<SignedHead>, Vec<ShardRoot>) = (None, Vec::new());
    loop {
        let after = all.last().copied();
        let request = Request::ListClaimed { vault, device, after };
        let (its, roots) = match core.net.peer(peer).request(&request).await? {
            Answer::Claimed { head, roots } => (head, roots),
            Answer::Refused { reason } => return Err(EngineError::Refused(reason)),
            _ => return Err(EngineError::OutOfTurn),
        };
        if head.is_none() {
            let Some(Ok(signed)) = its.map(|bytes| SignedHead::decode(&bytes)) else {
                return Ok(None);
            };
            let reading = Arc::clone(core);
            let here = on_disk(move || reading.vaults.claimed_by(&vault, &device)).await?;
            if here.is_some_and(|here| here.head().body().seq >= signed.body().seq) {
                return Ok(None);
            }
            head = Some(signed);
        }
        let is_last = roots.is_empty();
        all.extend(roots);
        if all.len() > CLAIMED_ROOTS_MAX {
            return Ok(None);
        }
        if is_last {
            return Ok(head.map(|head| (head, all)));
        }
    }
}

async fn list_kept(
    core: &Arc<Core>,
    peer: DeviceId,
    vault: VaultId,
    most: usize,
) -> Result<Inventory, EngineError> {
    let (mut kept, mut after) = (Inventory::new(), None);
    loop {
        let request = Request::ListKept { vault, after };
        let shards = match core.net.peer(peer).request(&request).await? {
            Answer::Kept { shards } => shards,
            Answer::Refused { reason } => return Err(EngineError::Refused(reason)),
            _ => return Err(EngineError::OutOfTurn),
        };
        // Each answer goes on where the one before ended, so this ends.
        let Some(last) = shards.last() else { return Ok(kept) };
        after = Some(last.shard.root);
        kept.extend(shards.iter().map(|it| (it.shard.root, (it.shard.bytes, it.class))));
        if kept.len() > most {
            return Err(EngineError::OutOfTurn);
        }
    }
}

/// TEND-7: it has each chunk that it is asked for.
async fn shows(
    core: &Arc<Core>,
    peer: DeviceId,
    vault: VaultId,
    kept: &Inventory,
) -> Result<bool, EngineError> {
    let challenges = sample(kept, &mut launch::rng()?);
    if challenges.is_empty() {
        return Ok(true);
    }
    let request = Request::Audit { vault, challenges: challenges.clone() };
    // It must not get from here what it is to show.
    core.examined.begin(peer, &challenges);
    let shown = core.net.peer(peer).request(&request).await;
    core.examined.end(peer);
    let shown = match shown? {
        Answer::Shown { shown } => shown,
        Answer::Refused { reason } => return Err(EngineError::Refused(reason)),
        _ => return Err(EngineError::OutOfTurn),
    };
    Ok(has_shown(&challenges, &shown))
}
