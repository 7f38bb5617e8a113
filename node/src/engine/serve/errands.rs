//! What is left here by devices for holders that they do not reach, and what those ask for and say.
//! Source: specs/errands.md.

use std::sync::Arc;

use larder_protocol::{
    errands::{ErrandError, Posted, Reply, Unfit},
    holding::{Action, Caller},
    ids::{DeviceId, ShardRoot, VaultId},
    receipt::Receipt,
    wire::message::{Answer, Refusal, Request},
};
use minicbor::bytes::ByteVec;
use tracing::debug;

use super::fitting;
use crate::{
    engine::{Core, clock::wall, on_disk},
    vaults::NotLeft,
};

/// Answers what is asked about errands, if the caller may.
pub(super) async fn answer(
    core: Arc<Core>,
    caller: Caller,
    request: Request,
) -> Result<Answer, Refusal> {
    let from = caller.key();
    match request {
        Request::LeaveErrand { vault, errand } => {
            caller.permit(Action::LeaveErrands, vault)?;
            leave(core, from, vault, errand).await
        }
        Request::PullErrands { vault } => errands_for(&core, &caller, vault),
        Request::LeaveReply { vault, reply, receipts } => {
            take_reply(core, (from, vault), reply, receipts).await
        }
        Request::PullReply { vault, after } => {
            caller.permit(Action::LeaveErrands, vault)?;
            if core.tending.is_lost(&from) {
                return Err(Refusal::Busy);
            }
            next_reply(&core, (from, vault), after)
        }
        _ => Err(Refusal::Malformed),
    }
}

/// A device leaves an errand.
async fn leave(
    core: Arc<Core>,
    from: DeviceId,
    vault: VaultId,
    errand: ByteVec,
) -> Result<Answer, Refusal> {
    // What a thief has others fetch takes room that their owners granted to somebody else.
    if core.tending.is_lost(&from) {
        return Err(Refusal::Busy);
    }
    let left = on_disk(move || core.vaults.leave_errand(vault, &errand, wall())).await;
    match left.map_err(|_| Refusal::Internal)? {
        Ok(number) => Ok(Answer::ErrandLeft { number }),
        // Until then its clock, or this one, may be set right; or there is room again.
        Err(NotLeft::Errand(ErrandError::Ahead) | NotLeft::Full) => Err(Refusal::Busy),
        Err(NotLeft::Errand(error)) => {
            debug!("{} left an errand that is none: {error}", from.short());
            Err(Refusal::Invalid)
        }
    }
}

/// A holder asks whether anything was left for it. Who knows of the vault is told that nothing was.
fn errands_for(core: &Core, caller: &Caller, vault: VaultId) -> Result<Answer, Refusal> {
    let from = caller.key();
    let vaults = core.vaults.read();
    let known = vaults.get(&vault).ok_or(Refusal::Forbidden)?;
    let meant: Vec<_> = known.errands().meant_for(&from, known.log()).collect();
    let is_fellow = || known.introductions().names(&from, known.log());
    if meant.is_empty() && caller.vault() != Some(vault) && !is_fellow() {
        return Err(Refusal::Forbidden);
    }
    let is_open = |posted: &&&Posted| {
        !posted.is_done() && !core.tending.is_lost(&posted.errand().body().device)
    };
    let open = meant.iter().filter(is_open);
    let open = open.map(|posted| posted.errand().bytes().to_vec()).collect();
    Ok(Answer::Errands { errands: fitting(open) })
}

/// A holder says what came of an errand.
async fn take_reply(
    core: Arc<Core>,
    (from, vault): (DeviceId, VaultId),
    reply: ByteVec,
    receipts: Vec<Receipt>,
) -> Result<Answer, Refusal> {
    let reply = Reply::decode(&reply).map_err(|_| Refusal::Invalid)?;
    if (reply.body().vault, reply.body().holder) != (vault, from) {
        return Err(Refusal::Forbidden);
    }
    let left = on_disk(move || core.vaults.leave_reply(vault, reply, receipts)).await;
    match left.map_err(|_| Refusal::Internal)? {
        Ok(()) => Ok(Answer::ReplyTaken),
        Err(Unfit::Unasked) => Err(Refusal::Forbidden),
        Err(Unfit::Full | Unfit::Invalid) => Err(Refusal::Invalid),
    }
}

/// A device asks what was said to the next one of its errands.
fn next_reply(
    core: &Core,
    (from, vault): (DeviceId, VaultId),
    after: Option<DeviceId>,
) -> Result<Answer, Refusal> {
    let vaults = core.vaults.read();
    let known = vaults.get(&vault).ok_or(Refusal::Forbidden)?;
    let Some(posted) = known.errands().by(from, after).next() else {
        return Ok(Answer::Replied { holder: None, reply: None, receipts: Vec::new() });
    };
    Ok(Answer::Replied {
        holder: Some(posted.errand().body().holder),
        reply: posted.reply().map(|reply| reply.bytes().to_vec().into()),
        receipts: posted.receipts().cloned().collect(),
    })
}

/// Whether whoever asks may have the log of a vault because something was left here for it: it cannot check that
/// without.
pub(super) fn may_have_log(core: &Core, caller: &Caller, vault: VaultId) -> bool {
    let left = core.vaults.with_errands_for(&caller.key());
    left.iter().any(|(of, device)| *of == vault && !core.tending.is_lost(device))
}

/// ERR-3: whether a shard may be read because an errand names it.
pub(super) fn may_read(core: &Core, from: &DeviceId, root: &ShardRoot) -> bool {
    core.vaults.opened_by_errand(from, root).into_iter().any(|(vault, device)| {
        if core.tending.is_lost(&device) {
            return false;
        }
        let caller = Caller::Fellow { node: *from, vault };
        core.holding.is_readable(&caller, *root)
    })
}
