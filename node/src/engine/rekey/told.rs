//! What is sealed under older keys, and what removed devices could read, for people.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use larder_protocol::{
    ids::{DeviceId, ShardRoot},
    index::{PackClass, ShardRef},
    limits::{MASS_UNCLAIM_FACTOR, RETENTION_DAYS_MIN},
    log::{DeviceLog, Reason},
    placing::Status,
    rekeying::{Amount, Plan, SealedPack},
};

use super::round;
use crate::{
    command::{
        Failure, OlderKey, OtherClaims, RekeyAct, RekeyOutcome, RekeyProgress, RemovalReason,
        RemovedReader,
    },
    depot::ShardState,
    engine::{Core, EngineError, Member, look, names, on_disk},
    state::{index::PackFacts, rekey::RekeyWish},
};

/// How far it is, while it is wanted. Blocks.
pub(crate) fn progress(core: &Core, member: &Member) -> Result<Option<RekeyProgress>, EngineError> {
    let Some(wish) = core.state.rekey_wish()? else { return Ok(None) };
    let plan = Plan::among(round::claimed(core, member)?, wish.up_to);
    Ok(Some(far(&wish, &plan)))
}

fn far(wish: &RekeyWish, plan: &Plan) -> RekeyProgress {
    RekeyProgress {
        key: wish.up_to,
        since: wish.asked.into(),
        moved_packs: wish.moved.packs,
        moved_bytes: wish.moved.bytes,
        behind_packs: plan.behind.packs,
        behind_bytes: plan.behind.bytes,
    }
}

pub(super) async fn outcome(
    core: &Arc<Core>,
    member: &Arc<Member>,
    act: RekeyAct,
) -> Result<RekeyOutcome, Failure> {
    let status = member.custody()?.status().await.ok_or(EngineError::Stopped)?;
    let (core, member) = (Arc::clone(core), Arc::clone(member));
    Ok(on_disk(move || gather(&core, &member, act, &status)).await?)
}

fn gather(
    core: &Core,
    member: &Member,
    act: RekeyAct,
    status: &Status,
) -> Result<RekeyOutcome, EngineError> {
    let log = core.log_of(&member.vault)?;
    // Where its number does not tell the newest key from others, one is begun first.
    let newest = log.clear_epoch().unwrap_or_else(|| log.next_epoch());
    let wish = core.state.rekey_wish()?;
    let up_to = wish.map_or(newest, |wish| wish.up_to);
    let claimed = round::claimed(core, member)?;
    let plan = Plan::among(claimed.iter().copied(), up_to);
    let mut older: BTreeMap<u32, Amount> = BTreeMap::new();
    for pack in plan.packs() {
        older.entry(pack.epoch).or_default().add(pack.bytes);
    }
    let names = look::device_names(core, member);
    let older =
        older.into_iter().map(|(key, Amount { packs, bytes })| OlderKey { key, packs, bytes });
    Ok(RekeyOutcome {
        act,
        key: newest,
        wanted: wish.map(|wish| far(&wish, &plan)),
        index_behind: round::is_index_behind(core, member, up_to)?,
        older: older.collect(),
        fetch_bytes: absent_bytes(core, member, &plan)?,
        send_bytes: sent_bytes(&plan, status),
        signed_packs: plan.signed.packs,
        signed_bytes: plan.signed.bytes,
        lost_packs: plan.lost.packs,
        removed: removed(core, &log, &claimed, &names)?,
        others: others(core, member, &log, (up_to, &names))?,
        retention_days: RETENTION_DAYS_MIN,
        mass_retention_days: RETENTION_DAYS_MIN * MASS_UNCLAIM_FACTOR,
    })
}

fn absent_bytes(core: &Core, member: &Member, plan: &Plan) -> Result<u64, EngineError> {
    let mut bytes = 0;
    for pack in plan.packs() {
        let row = core.depot.row(&pack.root, &member.vault)?;
        if row.is_none_or(|row| row.state != ShardState::Ok) {
            bytes += pack.bytes;
        }
    }
    Ok(bytes)
}

/// Metadata goes to every holder that there is room at, data to as many as the policy asks for.
fn sent_bytes(plan: &Plan, status: &Status) -> u64 {
    let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
    let holders = count(status.holders.len());
    let copies = count(status.copies).min(holders);
    let sent = |pack: &SealedPack| {
        let times = if pack.class == PackClass::Metadata { holders } else { copies };
        pack.bytes.saturating_mul(times)
    };
    plan.packs().iter().map(sent).fold(0, u64::saturating_add)
}

/// REKEY-7: what was saved until a device was removed it could read, whatever is done since.
fn removed(
    core: &Core,
    log: &DeviceLog,
    claimed: &[SealedPack],
    names: &BTreeMap<DeviceId, String>,
) -> Result<Vec<RemovedReader>, EngineError> {
    let snapshots = names::live_snapshots(core)?;
    let mut all: Vec<_> = log.removed().collect();
    all.sort_by_key(|(_, removal)| std::cmp::Reverse(removal.time));
    let reader = |(device, removal): (DeviceId, &larder_protocol::log::Removed)| {
        let key = log.newest_epoch_of(&device);
        let still = key.map_or_else(Plan::default, |key| {
            Plan::among(claimed.iter().copied(), key.saturating_add(1))
        });
        let before = snapshots.iter().filter(|snapshot| snapshot.started <= removal.time);
        RemovedReader {
            device: device.to_string(),
            name: names.get(&device).cloned().unwrap_or_default(),
            reason: match removal.reason {
                Reason::Lost => RemovalReason::Lost,
                Reason::Stolen => RemovalReason::Stolen,
                Reason::Replaced => RemovalReason::Replaced,
            },
            at: removal.time.into(),
            key,
            snapshots: u64::try_from(before.count()).unwrap_or(u64::MAX),
            packs: still.behind.packs,
            bytes: still.behind.bytes,
            signed_packs: still.signed.packs,
            lost_packs: still.lost.packs,
        }
    };
    Ok(all.into_iter().map(reader).collect())
}

/// Each device of the vault makes anew what it claims itself.
fn others(
    core: &Core,
    member: &Member,
    log: &DeviceLog,
    (up_to, names): (u32, &BTreeMap<DeviceId, String>),
) -> Result<Vec<OtherClaims>, EngineError> {
    let gone: Vec<DeviceId> = log.removed().map(|(device, _)| device).collect();
    let older = replaceable(core, &core.state.claimed_of(&gone)?, up_to)?;
    let mut all = Vec::new();
    for device in log.devices().map(|device| device.public.id) {
        if device == member.keys.id() || gone.contains(&device) {
            continue;
        }
        let mut amount = Amount::default();
        for root in core.state.claimed_of(&[device])? {
            if let Some(bytes) = older.get(&root) {
                amount.add(*bytes);
            }
        }
        if amount.packs > 0 {
            all.push(OtherClaims {
                device: device.to_string(),
                name: names.get(&device).cloned().unwrap_or_default(),
                packs: amount.packs,
                bytes: amount.bytes,
            });
        }
    }
    Ok(all)
}

/// Bytes of packs of before epoch `up_to` that whoever claims them can make anew: not lists that removed devices
/// have signed, and not what nobody has. `left` is what those claim.
pub(super) fn replaceable(
    core: &Core,
    left: &BTreeSet<ShardRoot>,
    up_to: u32,
) -> Result<BTreeMap<ShardRoot, u64>, EngineError> {
    let (seals, nowhere) = (core.state.pack_seals()?, core.rekeyer.nowhere().clone());
    let is_replaceable = |facts: &PackFacts| {
        let ShardRef { root, .. } = facts.shard;
        let Some(seal) = seals.get(&facts.number) else { return false };
        let is_signed = seal.is_of_commits && left.contains(&root);
        let is_lost = nowhere.contains(&root) || facts.is_given_up && !left.contains(&root);
        seal.epoch < up_to && !is_signed && !is_lost
    };
    let all = core.state.pack_facts()?.into_iter().filter(is_replaceable);
    Ok(all.map(|facts| (facts.shard.root, facts.shard.bytes)).collect())
}
