//! How two vaults stand that go apart, for people.

use std::{collections::BTreeSet, sync::Arc};

use larder_protocol::{
    ids::{DeviceId, VaultId},
    leaving::{Cover, Side},
    limits::LEAVING_DAYS,
    time::Timestamp,
};

use super::{Stand, apart_from, guards, is_known, words};
use crate::{
    command::{Advice, ByteSize, Kept, LeavingCircle, LeavingSide, WhoLeaves, count},
    engine::{Core, EngineError, Member, look},
    state::circle::PeerRow,
};

/// What a vault is called in a line that is kept: by one of its devices.
pub(super) fn name_of(core: &Core, vault: &VaultId) -> Result<String, EngineError> {
    let peers = core.state.peers()?;
    let first = peers.into_iter().find(|peer| peer.vault == *vault);
    Ok(first.map_or_else(|| vault.short(), |peer| peer.name))
}

/// How this vault and another one stand.
pub(super) async fn circle(
    core: &Arc<Core>,
    member: &Arc<Member>,
    other: VaultId,
) -> Result<LeavingCircle, EngineError> {
    let stand = Stand::of(core, member.vault, other)?;
    let peers: Vec<PeerRow> =
        core.state.peers()?.into_iter().filter(|peer| peer.vault == other).collect();
    let holders: BTreeSet<DeviceId> =
        peers.iter().filter(|peer| peer.is_holder).map(|peer| peer.device).collect();
    let cover = member.custody()?.cover_without(holders).await.ok_or(EngineError::Stopped)?;
    let (kept_shards, kept_bytes) = core.holding.kept_for(other);
    let days = core.state.leaving_days(&other)?;
    let (guards_us, guards_them) = guards(core, member, &other);
    let is_done = stand.since.is_some() && !is_known(core, &other)?;
    let ours = look::device_names(core, member);
    let name_of = |device: &DeviceId| {
        let known = ours.get(device).cloned();
        let peer = || peers.iter().find(|it| it.device == *device).map(|it| it.name.clone());
        known.or_else(peer).unwrap_or_else(|| device.short())
    };
    Ok(LeavingCircle {
        vault: other.to_string(),
        name: name_of_vault(&peers, &other),
        who: who(&stand),
        since: stand.since.map(|since| Timestamp(since).into()),
        ours: side(&stand.ours, stand.since, name_of),
        theirs: side(&stand.theirs, stand.since, name_of),
        there: kept(&cover),
        copies_now: copies(cover.copies_now),
        copies_after: copies(cover.copies_after),
        kept_shards,
        kept_bytes,
        days_left: days.map(|days| days.left()),
        wait_days: LEAVING_DAYS,
        told: words::is_told(core, member.vault, other)?,
        guards_us,
        guards_them,
        done: is_done,
    })
}

fn name_of_vault(peers: &[PeerRow], vault: &VaultId) -> String {
    let names: Vec<&str> = peers.iter().map(|peer| peer.name.as_str()).take(3).collect();
    if names.is_empty() { vault.short() } else { names.join(", ") }
}

fn copies(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

const fn kept(cover: &Cover) -> Kept {
    Kept {
        packs: cover.kept_packs,
        bytes: cover.kept_bytes,
        moving_packs: cover.moving_packs,
        moving_bytes: cover.moving_bytes,
        head_elsewhere: cover.is_head_elsewhere,
    }
}

fn who(stand: &Stand) -> Option<WhoLeaves> {
    match (stand.ours.leaves().is_some(), stand.theirs.leaves().is_some()) {
        (true, true) => Some(WhoLeaves::Both),
        (true, false) => Some(WhoLeaves::Us),
        (false, true) => Some(WhoLeaves::Them),
        (false, false) => None,
    }
}

fn side(side: &Side, since: Option<u64>, name_of: impl Fn(&DeviceId) -> String) -> LeavingSide {
    let Some(since) = since else { return LeavingSide::default() };
    let waits_for = side.unwaived(since).map(|device| name_of(&device)).collect();
    LeavingSide { waived: side.has_waived(since), waits_for }
}

/// What `status` says of vaults that go apart.
pub(in crate::engine) async fn advice(core: &Arc<Core>) -> Result<Vec<Advice>, EngineError> {
    let Ok(member) = core.member() else { return Ok(Vec::new()) };
    let mut all = Vec::new();
    for other in apart_from(core, &member.vault)? {
        let circle = circle(core, &member, other).await?;
        if !circle.done {
            all.push(advised(&circle));
        }
    }
    Ok(all)
}

fn advised(circle: &LeavingCircle) -> Advice {
    let name = &circle.name;
    let what = match circle.who {
        Some(WhoLeaves::Them) => format!("{name} leaves this circle"),
        _ => format!("this vault leaves the circle of {name}"),
    };
    let there = &circle.there;
    let (state, hint) = if circle.guards_them && circle.theirs.waived {
        ("you are its guardian still".to_owned(), "it has to appoint others first".to_owned())
    } else if there.moving_packs > 0 || (there.packs > 0 && !there.head_elsewhere) {
        let packs = count(there.moving_packs, "pack");
        let bytes = ByteSize(there.moving_bytes);
        let state = format!("{packs} ({bytes}) of yours have to be placed elsewhere first");
        (
            state,
            "this goes on by itself while other holders have room; `larder leave` says more"
                .to_owned(),
        )
    } else if there.packs > 0 && circle.copies_after < circle.copies_now {
        let after = circle.copies_after;
        let state =
            format!("without it there are places for {after} of {} copies only", circle.copies_now);
        let hint =
            format!("invite somebody else, or accept it: `larder leave {name} --give-up-copies`");
        (state, hint)
    } else if let Some(days) = circle.days_left {
        let bytes = ByteSize(circle.kept_bytes);
        let state = format!(
            "{bytes} kept here for it are needed no more, and go in {}",
            count(u64::from(days), "day")
        );
        (state, format!("`larder leave {name} --drop-theirs` makes the room free now"))
    } else {
        let waits = circle.theirs.waits_for.iter().chain(&circle.ours.waits_for);
        let waits: Vec<&str> = waits.map(String::as_str).collect();
        let state = match waits.is_empty() {
            true => "it has to hear of it".to_owned(),
            false => format!("waits for {}", waits.join(", ")),
        };
        (
            state,
            "devices have to be on at the same time, each once; `larder leave` says more"
                .to_owned(),
        )
    };
    Advice { text: format!("{what}: {state}"), hint }
}
