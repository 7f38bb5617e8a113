//! What fellows ask: nodes that hold for the same vault, while none of its devices is heard of.
//! Source: specs/tending.md.

use std::sync::Arc;

use larder_protocol::{
    head::SignedHead,
    holding::{Action, Caller},
    ids::{DeviceId, ShardRoot, VaultId},
    limits::INVENTORY_PART_MAX,
    proof::Challenge,
    tending::{claimed::ClaimedList, introduction::IntroductionError},
    wire::message::{Answer, Refusal, Request},
};
use minicbor::bytes::ByteVec;
use tracing::{debug, warn};

use crate::engine::{Core, EngineError, clock::wall, on_disk};

/// The caller as one who may do this: a fellow of this very vault, if it may not be done otherwise.
pub(super) fn permitted(
    core: &Core,
    caller: Caller,
    action: Action,
    vault: VaultId,
) -> Result<Caller, Refusal> {
    if caller.permit(action, vault).is_ok() {
        return Ok(caller);
    }
    let node = caller.key();
    let is_fellow =
        core.tending.is_unattended(&vault) && core.vaults.fellow_of(&node).contains(&vault);
    let caller = if is_fellow { Caller::Fellow { node, vault } } else { caller };
    caller.permit(action, vault).map(|()| caller)
}

/// Whether a shard may be read for some vault that is tended by whoever asks.
pub(super) fn may_read(core: &Core, from: &DeviceId, root: &ShardRoot) -> bool {
    let tended = core.vaults.fellow_of(from).into_iter();
    tended.filter(|vault| core.tending.is_unattended(vault)).any(|vault| {
        let caller = Caller::Fellow { node: *from, vault };
        core.holding.is_readable(&caller, *root)
    })
}

/// Whether a chunk may be shown to whoever asks: not to a fellow that has to show it here, nor what goes
/// soon.
pub(super) fn may_be_shown(core: &Core, caller: &Caller, challenge: &Challenge) -> bool {
    let Caller::Fellow { node, vault } = caller else { return true };
    let root = challenge.shard.root;
    core.holding.keeps(*vault, root) && !core.examined.has_to_show(node, &root)
}

/// Answers what is asked so that copies can be looked after, if the caller may.
pub(super) async fn answer(
    core: Arc<Core>,
    caller: Caller,
    request: Request,
) -> Result<Answer, Refusal> {
    match request {
        Request::Introduce { vault, introduction } => {
            caller.permit(Action::Introduce, vault)?;
            introduced(core, caller.key(), vault, introduction).await
        }
        Request::ListKept { vault, after } => {
            permitted(&core, caller, Action::ReadLists, vault)?;
            Ok(list_kept(&core, vault, after))
        }
        Request::ListClaimed { vault, device, after } => {
            permitted(&core, caller, Action::ReadLists, vault)?;
            list_claimed(core, vault, device, after).await
        }
        _ => Err(Refusal::Malformed),
    }
}

/// A device names the other holders of its vault.
async fn introduced(
    core: Arc<Core>,
    from: DeviceId,
    vault: VaultId,
    introduction: ByteVec,
) -> Result<Answer, Refusal> {
    if core.tending.is_lost(&from) {
        return Err(Refusal::Busy);
    }
    let taking = Arc::clone(&core);
    let taken =
        on_disk(move || taking.vaults.take_introduction(vault, &introduction, wall())).await;
    match taken.map_err(|_| Refusal::Internal)? {
        Ok(is_news) => {
            if is_news {
                core.tending.introduced(&core, vault);
                core.errands.known(&core, vault);
            }
            Ok(Answer::Introduced)
        }
        // Until then its clock, or this one, may be set right.
        Err(IntroductionError::Ahead) => Err(Refusal::Busy),
        Err(error) => {
            debug!("an introduction of vault {} was not taken: {error}", vault.short());
            Err(Refusal::Invalid)
        }
    }
}

/// What is kept for a vault.
fn list_kept(core: &Core, vault: VaultId, after: Option<ShardRoot>) -> Answer {
    Answer::Kept { shards: core.holding.list(vault, after, INVENTORY_PART_MAX) }
}

/// What a device told last that it needs.
async fn list_claimed(
    core: Arc<Core>,
    vault: VaultId,
    device: DeviceId,
    after: Option<ShardRoot>,
) -> Result<Answer, Refusal> {
    let list = on_disk(move || core.vaults.claimed_by(&vault, &device)).await;
    let Some(list) = list.map_err(|_| Refusal::Internal)? else {
        return Ok(Answer::Claimed { head: None, roots: Vec::new() });
    };
    let head = after.is_none().then(|| list.head().bytes().to_vec().into());
    let roots = list.after(after.as_ref(), INVENTORY_PART_MAX).to_vec();
    Ok(Answer::Claimed { head, roots })
}

/// A device has told all that its newest head needs.
pub(super) async fn keep_claimed(
    core: &Arc<Core>,
    (vault, device): (VaultId, DeviceId),
    roots: Vec<ShardRoot>,
) {
    // A thief may say that nothing is needed: what was needed before stays known.
    if core.tending.is_lost(&device) {
        return;
    }
    let keeping = Arc::clone(core);
    let kept = on_disk(move || {
        let head = {
            let vaults = keeping.vaults.read();
            vaults.get(&vault).and_then(|known| known.heads().highest(&device).cloned())
        };
        let log = keeping.log_of(&vault)?;
        let list = head.and_then(|head: SignedHead| ClaimedList::new(head, roots, &log).ok());
        list.map_or(Ok(()), |list| Ok::<_, EngineError>(keeping.vaults.keep_claimed(vault, &list)?))
    });
    if let Err(error) = kept.await {
        warn!("what {} claims could not be kept for fellows: {error}", device.short());
    }
}
