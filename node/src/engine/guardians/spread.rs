//! What nodes tell each other of guardians: sets to those who keep them, requests to those who can
//! stop them. Source: specs/guarding.md.

use std::{sync::Arc, time::Duration};

use larder_protocol::{
    guarding::{SealedPhrase, keeping::ToldRequest, set::GuardianSet},
    ids::{DeviceId, VaultId},
    wire::message::{Answer, Guarding, Request},
};
use tokio::time::timeout;
use tracing::{debug, warn};

use crate::{
    engine::{Core, EngineError, Member, clock::wall, contact, on_disk},
    vaults::VaultError,
};

/// How long one node is told.
pub(super) const TELL: Duration = Duration::from_secs(10);

/// What this node says of guardians to a device of `vault`.
pub(in crate::engine) fn standing(core: &Core, vault: &VaultId) -> Option<Guarding> {
    let member = core.member().ok();
    let receiving = member.and_then(|member| member.keyring().receiving());
    // Asked for at every greeting: a log can be long, and is looked at where it is.
    let vaults = core.vaults.read();
    let known = vaults.get(vault)?;
    let guard = known.guard()?;
    let open = guard.pending(known.log()).iter().filter(|it| it.stopped.is_none()).count();
    let open_requests = u64::try_from(open).unwrap_or(u64::MAX);
    Some(Guarding { number: guard.complete_number(), open_requests, receiving })
}

/// A holder was met: both sides come to keep the same set, and to know the same requests.
pub(in crate::engine) async fn met(
    core: &Arc<Core>,
    member: &Member,
    holder: DeviceId,
    guarding: Option<&Guarding>,
) {
    let Some(guarding) = guarding else { return };
    let settled = async {
        let guard = core.vaults.guard_of(&member.vault)?;
        if guard.number() != guarding.number {
            exchange(core, member.vault, holder).await?;
        }
        // Also those that were stopped: the word may not have come there.
        let guard = core.vaults.guard_of(&member.vault)?;
        if guarding.open_requests > 0 || !guard.told(wall()).is_empty() {
            tell_requests(core, member.vault, holder).await?;
        }
        Ok::<_, EngineError>(())
    };
    if let Err(error) = settled.await {
        debug!("{} was not told of guardians: {error}", holder.short());
    }
}

/// Hands over the set that is known here, or takes a newer one.
pub(super) async fn exchange(
    core: &Arc<Core>,
    vault: VaultId,
    holder: DeviceId,
) -> Result<(), EngineError> {
    let guard = core.vaults.guard_of(&vault)?;
    let set = guard.set().map(|set| set.bytes().to_vec().into());
    let request = Request::Guardians { vault, set, sealed: guard.sealed() };
    match core.net.peer(holder).request(&request).await? {
        Answer::GuardiansAt { set: Some(set) } => take_set(core, vault, set.to_vec(), None).await,
        Answer::GuardiansAt { set: None } => {
            // Devices of the vault do not keep it.
            let is_holder = core.vaults.relation(&holder).is_some_and(|(of, _)| of != vault);
            if is_holder && guard.sealed().is_some() {
                note_handed_on(core, vault).await?;
            }
            Ok(())
        }
        Answer::Refused { reason } => Err(EngineError::Refused(reason)),
        _ => Err(EngineError::OutOfTurn),
    }
}

/// A holder has the sealed phrase now.
async fn note_handed_on(core: &Arc<Core>, vault: VaultId) -> Result<(), EngineError> {
    let noting = Arc::clone(core);
    on_disk(move || noting.vaults.change_guard(vault, |guard, _| (guard.handed_on(), ()))).await?;
    let_go(core, vault, false).await
}

/// Lets go of the sealed phrase where it is not needed any more.
pub(super) async fn let_go(
    core: &Arc<Core>,
    vault: VaultId,
    all_have_it: bool,
) -> Result<(), EngineError> {
    let letting_go = Arc::clone(core);
    on_disk(move || {
        letting_go.vaults.change_guard(vault, |guard, _| (guard.let_go(all_have_it, wall()), ()))
    })
    .await
}

/// The log of a vault has grown: what somebody had stopped who is gone now waits anew, and all are warned.
pub(in crate::engine) async fn log_grew(
    core: &Arc<Core>,
    vault: VaultId,
) -> Result<(), EngineError> {
    let settling = Arc::clone(core);
    let is_news = on_disk(move || {
        settling.vaults.change_guard(vault, |guard, log| {
            let is_news = guard.settle(log, wall());
            (is_news, is_news)
        })
    });
    if unless_newer(is_news.await)? {
        alarm(core, vault);
    }
    Ok(())
}

/// What a newer program keeps of guardians is left as it is, and harms nothing else.
pub(super) fn unless_newer<T: Default>(result: Result<T, EngineError>) -> Result<T, EngineError> {
    match result {
        Err(EngineError::Vault(VaultError::NewerGuard { .. })) => Ok(T::default()),
        other => other,
    }
}

/// Takes a set that somebody brings, if it counts more than the one here.
pub(in crate::engine) async fn take_set(
    core: &Arc<Core>,
    vault: VaultId,
    set: Vec<u8>,
    sealed: Option<SealedPhrase>,
) -> Result<(), EngineError> {
    let taking = Arc::clone(core);
    on_disk(move || {
        let taken = taking.vaults.change_guard(vault, |guard, log| {
            match GuardianSet::decode(&set, &vault, log.recovery()) {
                Ok(set) => (guard.offer(set, sealed), Ok(())),
                Err(error) => (false, Err(error)),
            }
        })?;
        taken.map_err(EngineError::from)
    })
    .await
}

/// Takes what somebody tells of requests.
pub(in crate::engine) async fn learn(
    core: &Arc<Core>,
    vault: VaultId,
    told: Vec<ToldRequest>,
) -> Result<(), EngineError> {
    if told.is_empty() {
        return Ok(());
    }
    let learning = Arc::clone(core);
    let is_new = on_disk(move || {
        learning.vaults.change_guard(vault, |guard, log| {
            let is_new = guard.learn(&told, log, wall());
            (is_new, is_new)
        })
    });
    if is_new.await? && core.member().is_ok_and(|member| member.vault == vault) {
        // The other devices of this vault may be out of reach of whoever told it.
        alarm(core, vault);
        if core.serves {
            warn!(
                "guardians have asked for the recovery phrase of this vault, or somebody has \
                 stopped them: `larder guardians` says more"
            );
        }
    }
    Ok(())
}

/// Tells a node which requests are known here, and learns which are known there. Returns whether none of
/// them is open there any more.
pub(super) async fn tell_requests(
    core: &Arc<Core>,
    vault: VaultId,
    peer: DeviceId,
) -> Result<bool, EngineError> {
    let told = core.vaults.guard_of(&vault)?.told(wall());
    match core.net.peer(peer).request(&Request::Releases { vault, told }).await? {
        Answer::ReleasesAre { told } => {
            let is_quiet = told.iter().all(|it| it.stop.is_some());
            learn(core, vault, told).await.map(|()| is_quiet)
        }
        Answer::Refused { reason } => Err(EngineError::Refused(reason)),
        _ => Err(EngineError::OutOfTurn),
    }
}

/// Calls every device of the vault that is known here: somebody asks for its phrase. Those that are away
/// are told when they call.
pub(in crate::engine) fn alarm(core: &Arc<Core>, vault: VaultId) {
    let Ok(log) = core.log_of(&vault) else { return };
    let own = core.keys.id();
    for device in log.devices().map(|device| device.public.id).filter(|device| *device != own) {
        let core = Arc::clone(core);
        tokio::spawn(async move {
            let told = async {
                contact::hello(&core, device).await?;
                tell_requests(&core, vault, device).await
            };
            match timeout(TELL, told).await {
                Ok(Ok(_)) => {}
                Ok(Err(error)) => debug!("{} was not warned: {error}", device.short()),
                Err(_) => debug!("{} was not warned in time", device.short()),
            }
        });
    }
}

/// Does something with every node that is known, at once; returns who was reached and who was not, by
/// name.
pub(super) async fn with_everybody<F>(
    core: &Arc<Core>,
    act: impl Fn(Arc<Core>, DeviceId) -> F,
) -> Result<(Vec<String>, Vec<String>), EngineError>
where
    F: Future<Output = Result<(), EngineError>> + Send + 'static,
{
    let mut acts = Vec::new();
    for peer in core.state.peers()? {
        let (core, device) = (Arc::clone(core), peer.device);
        let act = act(Arc::clone(&core), device);
        let act = async move {
            contact::hello(&core, device).await?;
            act.await
        };
        acts.push((peer, tokio::spawn(timeout(TELL, act))));
    }
    let (mut reached, mut not) = (Vec::new(), Vec::new());
    for (peer, act) in acts {
        match act.await {
            Ok(Ok(Ok(()))) => reached.push(peer.name),
            Ok(Ok(Err(error))) => {
                debug!("{} was not reached: {error}", peer.device.short());
                not.push(peer.name);
            }
            Ok(Err(_)) => not.push(peer.name),
            Err(_) => return Err(EngineError::Stopped),
        }
    }
    Ok((reached, not))
}
