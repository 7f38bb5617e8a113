//! How safe everything is.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use larder_protocol::{
    drilling::overdue_days,
    head::SignedHead,
    ids::{DeviceId, ShardRoot},
    placing::{Copies, Status},
    relaying::RelayAddress,
    time::Timestamp,
    watching::History,
};

use super::{
    super::{
        Core, EngineError,
        clock::wall,
        drill, guardians, launch, leaving, names, on_disk, recover, rekey,
        scrubber::{read_age, read_since},
        settings, sync,
    },
    absent::missed,
    advice::{Facts, least_safe},
    blocked::Names,
    peers::{Answered, View, ask_absent, histories, placing_status},
    tended::{self, tended},
};
use crate::{
    command::{
        Failure, Outcome, PeerState, RekeyProgress, Relay, RelayState, Safety, StatusOutcome,
        TendedVault,
    },
    depot::{Origin, ShardState},
    home::Config,
    net::{Path, RelayStanding},
    state::circle::PeerRow,
};

/// A holder that has shown nothing for so long is worth a word.
const UNPROVEN_DAYS: u64 = 30;

/// Sites on which the least-held pack of the newest snapshot is.
pub(crate) fn copies_reached(status: &Status) -> u32 {
    u32::try_from(status.copies_least).unwrap_or(u32::MAX)
}

/// Tells how safe everything is, and what to do about what is not.
pub(crate) async fn status(core: &Arc<Core>) -> Result<Outcome, Failure> {
    let placing = placing_status(core).await?;
    // A node that goes on running knows without asking.
    let asked = match core.serves {
        true => BTreeMap::new(),
        false => ask_absent(core, placing.as_ref()).await?,
    };
    let is_member = placing.is_some();
    let folders = if is_member { settings::all_lines(core).await? } else { Vec::new() };
    let histories = histories(core).await?;
    let (online, total) = count_peers(core, placing.as_ref(), &asked, &histories)?;
    let config = core.config();
    let name = core.own_name();
    let totals = core.depot.totals();
    let measuring = Arc::clone(core);
    let found = on_disk(move || gather(&measuring)).await?;
    let wanted = match launch::policy(&config).copies {
        Copies::Fixed(copies) => usize::from(copies),
        Copies::Auto => placing.as_ref().map_or(1, |status| status.copies),
    };
    let safety = least_safe(&folders);
    let mut facts = Facts {
        has_vault: is_member,
        running: core.serves,
        names: peer_names(core)?,
        own_site: core.own_site(),
        placing,
        now_s: i64::try_from(wall().0).unwrap_or(i64::MAX),
        peers_total: total,
        phrase_requests: guardians::open_requests(core)?,
        folders,
        unsaved: core.recurrer.advice(&config),
        every_s: config.every_s(),
        ..found
    };
    note_proofs(core, &mut facts)?;
    let tending = note_tended(core, &mut facts)?;
    facts.leaving = leaving::advice(core).await?;
    if let Some(placing) = &facts.placing {
        facts.missed = missed(&histories, placing, &facts.names);
    }
    let rekey = rekey_progress(core, &mut facts).await?;
    let survives = facts.placing.as_ref().map_or((0, 0), survives);
    facts.unread_days = unread_days(facts.read_since, &config);
    Ok(Outcome::Status(StatusOutcome {
        running: core.serves,
        vault: core.member().ok().map(|member| member.vault.to_string()),
        device: core.keys.id().to_string(),
        site: core.own_site(),
        name,
        safety: if facts.cloned { safety.min(Safety::Partly) } else { safety },
        copies_wanted: u32::try_from(wanted).unwrap_or(u32::MAX),
        survives_households: survives.0,
        survives_holders: survives.1,
        backup_every_s: config.every_s(),
        spool_bytes: facts.placing.as_ref().map_or(0, |status| status.waiting_bytes),
        kept_bytes: totals.all(Origin::Held).bytes,
        offered_bytes: config.offer_bytes(),
        depot_read_since: facts.read_since.map(Into::into),
        last_drill: facts.last_drill,
        phrase_proved: facts.phrase.last.map(Into::into),
        peers_online: online,
        peers_total: total,
        peers_relayed: relayed(core)?,
        relays: core.net.relays().into_iter().map(relay).collect(),
        tending,
        rekey,
        advice: facts.advice(),
        folders: facts.folders,
    }))
}

/// For how many days some of the depot was not read back, where that is far too long.
fn unread_days(since: Option<Timestamp>, config: &Config) -> Option<u64> {
    let age = read_age(since?, wall(), config);
    age.is_overdue.then_some(age.days)
}

/// How far packs of older keys are made anew, for the advice as well.
async fn rekey_progress(
    core: &Arc<Core>,
    facts: &mut Facts,
) -> Result<Option<RekeyProgress>, EngineError> {
    let Ok(member) = core.member() else { return Ok(None) };
    let looking = Arc::clone(core);
    let far = on_disk(move || rekey::progress(&looking, &member)).await?;
    facts.rekey = far;
    Ok(far)
}

/// Peers that are reached through a relay just now.
fn relayed(core: &Core) -> Result<u32, EngineError> {
    let peers = core.state.peers()?;
    let is_relayed = |peer: &&PeerRow| core.net.path(&peer.device) == Some(Path::Relayed);
    Ok(u32::try_from(peers.iter().filter(is_relayed).count()).unwrap_or(u32::MAX))
}

fn relay((address, standing): (RelayAddress, RelayStanding)) -> Relay {
    let state = match standing {
        RelayStanding::Connected => RelayState::Connected,
        RelayStanding::Idle => RelayState::Idle,
        RelayStanding::Denied => RelayState::Denied,
        RelayStanding::Unreachable => RelayState::Unreachable,
    };
    Relay { address: address.url(), state }
}

/// How many households, and how many holders, may be lost at once beside this device, whichever they
/// are: from the least-held pack of the newest snapshot.
fn survives(status: &Status) -> (u32, u32) {
    let less_one = |least: usize| u32::try_from(least.saturating_sub(1)).unwrap_or(u32::MAX);
    (less_one(status.copies_least), less_one(status.holders_least))
}

fn peer_name(core: &Core, device: &DeviceId) -> Result<String, EngineError> {
    Ok(core.state.peer(device)?.map_or_else(|| device.short(), |peer| peer.name))
}

/// Who broke its word, who lost copies and owned up to it, and who has shown nothing for long.
fn note_proofs(core: &Core, facts: &mut Facts) -> Result<(), EngineError> {
    for blamed in core.blames() {
        facts.blame(peer_name(core, &blamed.device)?, &blamed);
    }
    let Some(placing) = &facts.placing else { return Ok(()) };
    let blamed: BTreeSet<DeviceId> = core.blames().iter().map(|blamed| blamed.device).collect();
    let (proofs, now) = (core.state.proofs()?, wall());
    for (device, holder) in &placing.holders {
        if holder.lost_packs > 0 && !blamed.contains(device) {
            facts.ailing.push((peer_name(core, device)?, holder.lost_packs));
        }
        let last = proofs.get(device).and_then(|proven| proven.values().max());
        let days = last.map_or(0, |last| now.0.saturating_sub(last.0) / 86_400);
        if days >= UNPROVEN_DAYS && holder.kept_packs > 0 {
            facts.unproven.push((peer_name(core, device)?, days));
        }
    }
    Ok(())
}

/// Vaults whose devices are silent, for the outcome as well.
fn note_tended(core: &Core, facts: &mut Facts) -> Result<Vec<TendedVault>, EngineError> {
    let tending = tended(core)?;
    facts.tended = tended::advice(&tending).collect();
    Ok(tending)
}

/// What the nodes that are known are called.
pub(crate) fn peer_names(core: &Core) -> Result<Names, EngineError> {
    Ok(core.state.peers()?.into_iter().map(|peer| (peer.device, peer.name)).collect())
}

fn count_peers(
    core: &Core,
    placing: Option<&Status>,
    asked: &BTreeMap<DeviceId, Answered>,
    histories: &BTreeMap<DeviceId, History>,
) -> Result<(u32, u32), EngineError> {
    let blames = core.blames();
    let (mut online, mut total) = (0, 0);
    for peer in core.state.peers()? {
        let holder = placing.and_then(|status| status.holders.get(&peer.device));
        let presence = histories.get(&peer.device).map(History::presence);
        let asked = asked.get(&peer.device);
        let view = View { holder, presence, asked, blames: &blames, now: wall() };
        total += 1;
        online += u32::from(view.state(&peer) == PeerState::Online);
    }
    Ok((online, total))
}

/// What the disk and the vault's records tell.
fn gather(core: &Core) -> Result<Facts, EngineError> {
    let mut facts = Facts {
        disk_free_bytes: core.depot.free_bytes()?,
        read_since: read_since(core)?,
        ..Facts::default()
    };
    let mut damaged: BTreeSet<(Origin, ShardRoot)> = BTreeSet::new();
    for (root, row) in core.depot.rows(None)? {
        if row.state != ShardState::Ok {
            damaged.insert((row.origin, root));
        }
    }
    let count = |origin| damaged.iter().filter(|(of, _)| *of == origin).map(|_| 1).sum();
    (facts.damaged_own, facts.damaged_held) = (count(Origin::Own), count(Origin::Held));
    let Ok(member) = core.member() else { return Ok(facts) };
    let own = member.keys.id();
    facts.phrase = recover::proof(core, &core.log_of(&member.vault)?)?;
    let drilled = drill::last(core)?;
    facts.last_drill = drilled.map(|(_, last)| last);
    facts.undrilled_days = match drilled {
        Some((at, _)) => overdue_days(at, wall()),
        // There is nothing to drill before there is a snapshot.
        None => {
            let all = names::live_snapshots(core)?;
            let starts = all.iter().filter(|one| one.device == own).map(|one| one.started);
            starts.min().and_then(|since| overdue_days(since, wall()))
        }
    };
    let names = super::super::look::device_names(core, &member);
    if core.log_of(&member.vault)?.has_keys_beyond(member.keyring().all()) {
        let closed = sync::not_taken_in(core, &member)?;
        facts.closed = closed.iter().filter_map(|device| names.get(device).cloned()).collect();
    }
    let last = core.state.commit_of(&own)?;
    let last = last.map(|commit| SignedHead::decode(&commit.head)).transpose()?;
    if let Some(known) = core.vaults.read().get(&member.vault) {
        facts.cloned = known.heads().may_publish(&own, last.as_ref()).is_err();
        let forked = names.iter().filter(|(id, _)| known.heads().fork(id).is_some());
        facts.forked = forked.map(|(_, name)| name.clone()).collect();
    }
    Ok(facts)
}
