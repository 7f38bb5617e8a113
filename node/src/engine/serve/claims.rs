//! What devices tell of what they need, and what this device lets go because of it. Decided in
//! `larder_protocol::holding`; here rows are written and erased.

use std::sync::Arc;

use larder_protocol::{
    holding::{Caller, Circumstances, Input, Output, Row},
    ids::{ShardRoot, VaultId},
    wire::message::{Answer, ClaimsPart, Refusal},
};
use tracing::{debug, info, warn};

use super::{super::on_disk, Core, EngineError, wall};
use crate::depot::{ClaimNote, Origin};

/// Takes a part of a device's list, and carries out what follows from it.
pub(crate) async fn told(
    core: &Arc<Core>,
    caller: Caller,
    vault: VaultId,
    part: ClaimsPart,
) -> Result<Answer, Refusal> {
    let now = circumstances(core, &caller, vault).ok_or(Refusal::Forbidden)?;
    let orders = {
        let mut machine = core.holding.lock();
        let request = machine.request();
        machine.tell(Input::ClaimsTold { request, caller, vault, part, now })
    };
    let mut answer = Err(Refusal::Internal);
    let (mut rows, mut erased) = (Vec::new(), Vec::new());
    let mut claimed = None;
    for order in orders {
        match order {
            Output::AnswerClaims { .. } => answer = Ok(Answer::ClaimsTaken),
            Output::Refuse { reason, .. } => answer = Err(reason),
            Output::NoteRows { rows: noted } => rows.extend(noted),
            Output::EraseRow { vault, root } => erased.push((vault, root)),
            Output::KeepClaimed { vault, device, roots } => {
                claimed = Some(((vault, device), roots))
            }
            other => debug!("an order out of turn: {other:?}"),
        }
    }
    if let Some((whose, roots)) = claimed {
        super::tend::keep_claimed(core, whose, roots).await;
    }
    if rows.is_empty() && erased.is_empty() {
        return answer;
    }
    let core = Arc::clone(core);
    let carried_out = on_disk(move || {
        note(&core, &rows)?;
        erased.iter().for_each(|(vault, root)| erase(&core, *vault, *root));
        Ok::<_, EngineError>(())
    });
    if let Err(error) = carried_out.await {
        // Nothing is promised by these rows: what was not noted is kept for longer.
        warn!("what no device claims could not be noted: {error}");
    }
    answer
}

/// What logs and heads here say of a vault and of who calls.
fn circumstances(core: &Core, caller: &Caller, vault: VaultId) -> Option<Circumstances> {
    let vaults = core.vaults.read();
    let known = vaults.get(&vault)?;
    let (log, book) = (known.log(), known.heads());
    let head = book.highest(&caller.key()).map(|head| (head.body().seq, head.body().claims));
    let is_forked = log.devices().any(|device| book.fork(&device.public.id).is_some());
    let devices = log.devices().map(|device| device.public.id).collect();
    Some(Circumstances { head, is_forked, devices, wall: wall() })
}

/// Promises again what an offer is about to be told to be kept; the orders after it.
pub(super) async fn revive(core: &Arc<Core>, orders: Vec<Output>) -> Vec<Output> {
    let mut after = Vec::new();
    for order in orders {
        let Output::Revive { request, rows } = order else {
            after.push(order);
            continue;
        };
        let writing = Arc::clone(core);
        let written = on_disk(move || note(&writing, &rows)).await;
        if let Err(error) = &written {
            warn!("shards could not be promised again: {error}");
        }
        let is_durable = written.is_ok();
        after.extend(core.holding.lock().tell(Input::Revived { request, is_durable }));
    }
    after
}

/// Somebody who may is reading a shard.
pub(super) fn served(core: &Arc<Core>, vault: VaultId, root: ShardRoot) {
    let orders = core.holding.lock().tell(Input::Served { vault, root });
    for order in orders {
        match order {
            Output::NoteRows { rows } => {
                let core = Arc::clone(core);
                tokio::task::spawn_blocking(move || {
                    if let Err(error) = note(&core, &rows) {
                        warn!("{error}");
                    }
                });
            }
            Output::UnclaimedServed { vault, root } => warn!(
                "shard {} of vault {} was read though no device claims it: it is kept again",
                root.short(),
                vault.short()
            ),
            other => debug!("an order out of turn: {other:?}"),
        }
    }
}

fn note(core: &Core, rows: &[Row]) -> Result<(), EngineError> {
    let note = |row: &Row| ClaimNote {
        root: row.shard.root,
        vault: row.vault,
        keep_until: row.keep_until,
        unclaimed: row.unclaimed,
    };
    Ok(core.depot.note_claims(&rows.iter().map(note).collect::<Vec<_>>())?)
}

/// Erases everything that is kept for a vault. What cannot be erased stays, and is there to be erased again.
///
/// # Errors
/// [`EngineError`] of the disk.
pub(crate) fn drop_all(core: &Core, vault: VaultId) -> Result<(), EngineError> {
    let rows = core.depot.rows(Some(&vault))?;
    let held = rows.into_iter().filter(|(_, row)| row.origin == Origin::Held);
    let orders: Vec<Output> = {
        // All under one lock: none of them is promised to anybody while others go.
        let mut machine = core.holding.lock();
        held.flat_map(|(root, _)| machine.tell(Input::DeleteAsked { vault, root })).collect()
    };
    for order in orders {
        match order {
            Output::EraseRow { vault, root } => erase(core, vault, root),
            other => debug!("an order out of turn: {other:?}"),
        }
    }
    Ok(())
}

/// The row goes first, durably, then the file with its last row.
fn erase(core: &Core, vault: VaultId, root: ShardRoot) {
    let input = match core.depot.remove(&root, &vault) {
        Ok(_) => {
            info!("shard {} of vault {} was let go", root.short(), vault.short());
            Input::RowErased { vault, root }
        }
        Err(error) => {
            warn!("shard {} could not be let go: {error}", root.short());
            Input::EraseFailed { vault, root }
        }
    };
    // The depot removed the file as well, unless another row names it.
    core.holding.lock().tell(input);
}
