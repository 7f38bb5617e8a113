//! Asks others for what devices of a vault have left with them for this node, fetches it, and leaves receipts.
//!
//! ```text
//! rounds ──whose turn──▶ each fellow: errands for me? ──▶ fetch ──▶ take the head ──▶ leave reply and receipts
//! ```
//! When it asks is `larder_protocol::errands`; what is fetched is in the errand; whether there is room decides
//! `larder_protocol::holding`. Source: specs/errands.md.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard},
};

use larder_protocol::{
    errands::{Errand, Reply, ReplyBody, Round, Rounds, VERSION},
    ids::{DeviceId, VaultId},
    limits::{ERRAND_BATCH_MAX, ERRAND_CARRIER_MS_MAX, ERRAND_FETCHES_MAX, REPLY_RECEIPTS_MAX},
    receipt::Receipt,
    tending::{Fetched, Wanted},
    time::Instant,
    wire::message::{Answer, OfferedShard, Request},
};
use tokio::{sync::Notify, task::JoinSet};
use tracing::{debug, info};

#[cfg(test)]
mod tests;

use super::{Core, EngineError, clock::wall, contact, launch, leaving, on_disk, serve, tending};

/// When which vault has its turn.
#[derive(Debug, Default)]
pub(crate) struct Errands {
    rounds: Mutex<Rounds>,
    told: Notify,
}

impl Errands {
    /// There may be errands of a vault, from now on.
    pub(crate) fn known(&self, core: &Core, vault: VaultId) {
        self.lock().known(core.clock.now(), vault);
        self.told.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, Rounds> {
        self.rounds.lock().expect("no code panics while holding this lock")
    }
}

/// Asks until the node closes.
pub(super) fn start(core: &Arc<Core>) {
    let vaults: Vec<VaultId> = core.vaults.read().keys().copied().collect();
    vaults.into_iter().for_each(|vault| core.errands.known(core, vault));
    let core = Arc::clone(core);
    tokio::spawn(async move {
        let closing = core.closing.clone();
        let _closed = closing.run_until_cancelled(run(&core)).await;
    });
}

async fn run(core: &Arc<Core>) {
    loop {
        let (next, timeout) = {
            let mut rounds = core.errands.lock();
            rounds.look(core.clock.now(), wall());
            (rounds.next(core.clock.now()), rounds.poll_timeout())
        };
        if let Some(vault) = next {
            let round = round(core, vault).await;
            core.errands.lock().ended(core.clock.now(), round);
            continue;
        }
        tokio::select! {
            () = core.errands.told.notified() => {}
            () = core.clock.reached(timeout) => {}
        }
    }
}

/// Asks all who may have something of one vault.
async fn round(core: &Arc<Core>, vault: VaultId) -> Round {
    let mut round = Round::default();
    if !core.vaults.read().contains_key(&vault) {
        core.errands.lock().forget(&vault);
        return round;
    }
    if leaving::is_apart(core, &vault) {
        return round;
    }
    for (carrier, addresses) in carriers(core, vault) {
        for address in launch::socket_addresses(&addresses) {
            core.net.hint_address(carrier, address);
        }
        if let Err(error) = at(core, carrier, vault, &mut round).await {
            debug!("errands of {} at {}: {error}", vault.short(), carrier.short());
        }
    }
    round
}

/// Who holds for a vault, and its devices: with the addresses that are not known anyhow.
fn carriers(core: &Core, vault: VaultId) -> BTreeMap<DeviceId, Vec<String>> {
    let peers = core.state.peers().unwrap_or_default();
    let known: BTreeSet<DeviceId> = peers.iter().map(|peer| peer.device).collect();
    let fellows = core.vaults.circle_of(&vault).fellows.into_values();
    let fellows = fellows.map(|fellow| match known.contains(&fellow.device) {
        true => (fellow.device, Vec::new()),
        false => (fellow.device, fellow.addresses),
    });
    let devices = peers.iter().filter(|peer| peer.vault == vault);
    let mut all: BTreeMap<_, _> =
        fellows.chain(devices.map(|peer| (peer.device, Vec::new()))).collect();
    all.remove(&core.keys.id());
    all
}

/// Asks one of them, and does what it was left.
async fn at(
    core: &Arc<Core>,
    carrier: DeviceId,
    vault: VaultId,
    round: &mut Round,
) -> Result<(), EngineError> {
    contact::hello(core, carrier).await?;
    let errands = match core.net.peer(carrier).request(&Request::PullErrands { vault }).await? {
        Answer::Errands { errands } => errands,
        Answer::Refused { reason } => return Err(EngineError::Refused(reason)),
        _ => return Err(EngineError::OutOfTurn),
    };
    if errands.is_empty() {
        return Ok(());
    }
    contact::pull_log(core, carrier, vault).await?;
    let log = core.log_of(&vault)?;
    let until = core.clock.now().after_ms(ERRAND_CARRIER_MS_MAX);
    for bytes in errands {
        let errand = Errand::decode(&bytes, &log);
        let checked = errand.and_then(|it| it.check_number(wall()).map(|()| it));
        let errand = match checked {
            Ok(errand) if errand.body().holder == core.keys.id() => errand,
            Ok(_) => continue,
            Err(error) => {
                debug!("{} has an errand that is none: {error}", carrier.short());
                continue;
            }
        };
        // What a thief wants fetched is not.
        if core.tending.is_lost(&errand.body().device) {
            continue;
        }
        if errand.is_fresh(wall()) {
            core.tending.heard(core, vault, errand.body().device);
        }
        match run_one(core, (carrier, until), &errand, round).await {
            // The others may be as they should.
            Err(EngineError::Refused(reason)) => {
                debug!("{} refuses what is said to an errand: {reason}", carrier.short());
            }
            ended => ended?,
        }
    }
    Ok(())
}

/// Fetches what an errand names, and says what is here of it.
async fn run_one(
    core: &Arc<Core>,
    (carrier, until): (DeviceId, Instant),
    errand: &Errand,
    round: &mut Round,
) -> Result<(), EngineError> {
    let vault = errand.body().vault;
    let keeps = |pack: &OfferedShard| core.holding.keeps(vault, pack.shard.root);
    let missing: Vec<OfferedShard> = errand.in_turn().into_iter().filter(|it| !keeps(it)).collect();
    let mut batches = missing.chunks(ERRAND_BATCH_MAX).peekable();
    while let Some(batch) = batches.next() {
        let fetched = fetch_all(core, (carrier, until), vault, batch).await;
        let came = fetched.iter().filter(|it| **it == Fetched::Kept).count();
        round.has_fetched |= came > 0;
        if came > 0 {
            info!("fetched {came} packs of vault {} from {}", vault.short(), carrier.short());
        }
        if core.clock.now() >= until {
            break;
        }
        // What this carrier does not have, or there is no room for, holds up nothing else.
        if came > 0 && batches.peek().is_some() {
            say(core, carrier, errand).await?;
        }
    }
    let is_complete = errand.body().packs.iter().all(keeps);
    round.is_open |= !is_complete;
    if let Some(head) = errand.body().head.clone().filter(|_| is_complete) {
        // Like one that was pushed: ERR-8.
        if let Err(reason) = serve::take_head(core, vault, head).await {
            debug!("the head that came with an errand was not taken: {reason}");
        }
    }
    say(core, carrier, errand).await
}

/// Fetches packs, some at once, and says how each ended that was begun before the time was over.
async fn fetch_all(
    core: &Arc<Core>,
    (carrier, until): (DeviceId, Instant),
    vault: VaultId,
    packs: &[OfferedShard],
) -> Vec<Fetched> {
    let (mut waiting, mut running) = (packs.iter(), JoinSet::new());
    let mut ended = Vec::with_capacity(packs.len());
    loop {
        while running.len() < ERRAND_FETCHES_MAX
            && core.clock.now() < until
            && let Some(pack) = waiting.next()
        {
            let core = Arc::clone(core);
            let wanted = Wanted { shard: pack.shard, class: pack.class, from: vec![carrier] };
            running.spawn(async move { tending::fetch(&core, vault, wanted).await });
        }
        match running.join_next().await {
            Some(fetched) => ended.push(fetched.unwrap_or(Fetched::Failed)),
            None => return ended,
        }
    }
}

/// Leaves a reply, and a receipt for each pack of the errand that is here.
async fn say(core: &Arc<Core>, carrier: DeviceId, errand: &Errand) -> Result<(), EngineError> {
    let body = errand.body();
    let reading = Arc::clone(core);
    let (vault, packs) = (body.vault, body.packs.clone());
    let receipts = on_disk(move || {
        let given = |pack: &OfferedShard| serve::receipt_for(&reading, vault, pack.shard.root);
        Ok::<_, EngineError>(packs.iter().filter_map(given).collect::<Vec<Receipt>>())
    });
    let receipts = receipts.await?;
    let head_seq = {
        let vaults = core.vaults.read();
        let heads = vaults.get(&vault).map(|known| known.heads());
        heads.and_then(|heads| heads.highest(&body.device)).map_or(0, |head| head.body().seq)
    };
    let (holder, device, number) = (core.keys.id(), body.device, body.number);
    let said = ReplyBody { version: VERSION, vault, holder, device, number, head_seq };
    let reply = Reply::sign(said, &core.keys)?;
    // One at least: who has nothing to give is there all the same.
    let parts = receipts.len().div_ceil(REPLY_RECEIPTS_MAX).max(1);
    let mut rest = receipts.into_iter();
    for _ in 0..parts {
        let receipts = rest.by_ref().take(REPLY_RECEIPTS_MAX).collect();
        let reply = reply.bytes().to_vec().into();
        let request = Request::LeaveReply { vault, reply, receipts };
        match core.net.peer(carrier).request(&request).await? {
            Answer::ReplyTaken => {}
            Answer::Refused { reason } => return Err(EngineError::Refused(reason)),
            _ => return Err(EngineError::OutOfTurn),
        }
    }
    Ok(())
}
