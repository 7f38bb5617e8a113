//! What follows when a device log has grown: who was removed is let go of, and new keys are taken up.

use std::sync::Arc;

use larder_protocol::{
    head::SignedHead,
    ids::{DeviceId, VaultId},
    log::{DeviceLog, LogError, add::DraftError},
    placing::{Input, Site},
};
use tracing::{info, warn};

use super::{
    Core, EngineError, Keyring, Member, clock::wall, contact, exposed, launch, leaving, on_disk,
    rename,
};
use crate::state::commits::CommitRow;

/// Acts on a log that has grown. What fails is done at the next start.
pub(super) async fn log_grew(core: &Arc<Core>, vault: VaultId) {
    if let Err(error) = settle(core, vault).await {
        warn!("vault {}: a change of its devices was not fully acted upon: {error}", vault.short());
    }
}

/// The same, for every log: at the start, when a crash may have come in between.
pub(super) async fn settle_all(core: &Arc<Core>) {
    let vaults: Vec<VaultId> = core.vaults.read().keys().copied().collect();
    for vault in vaults {
        log_grew(core, vault).await;
    }
}

async fn settle(core: &Arc<Core>, vault: VaultId) -> Result<(), EngineError> {
    let log = core.log_of(&vault)?;
    // First: whatever fails below, nothing more is sealed with a key that somebody has who is gone.
    if let Ok(member) = core.member()
        && member.vault == vault
    {
        take_up_keys(core, &member, &log)?;
        // A name is no reason to keep anybody who was removed.
        if let Err(error) = Box::pin(rename::follow(core, &member, &log)).await {
            warn!("names in the log were not taken over: {error}");
        }
        super::sync::head_came(core, vault);
    }
    for (device, _) in log.removed() {
        let_go(core, device).await?;
        // What it wrote after the head that counts leads nowhere any more.
        let known = core.state.commit_of(&device)?;
        let counts = |known: CommitRow| {
            let head = SignedHead::decode(&known.head);
            head.is_ok_and(|head| log.head_counts(&device, (head.body().seq, &head.hash())))
        };
        if known.is_some_and(|known| !counts(known)) && device != core.keys.id() {
            let forgetting = Arc::clone(core);
            on_disk(move || forgetting.state.forget_commit(&device)).await?;
        }
    }
    super::guardians::log_grew(core, vault).await?;
    core.tending.log_grew(core, vault);
    leaving::log_grew(core, &log).await?;
    bring_back(core).await
}

fn take_up_keys(core: &Core, member: &Member, log: &DeviceLog) -> Result<(), EngineError> {
    let before = member.keyring().newest_number();
    member.set_keyring(Keyring::of(log, log.epoch_keys(&core.keys)?));
    if member.keyring().newest_number() != before {
        core.neighbours.change_key();
    }
    Ok(())
}

/// Those come back whose removal is void: what they keep counts again.
async fn bring_back(core: &Arc<Core>) -> Result<(), EngineError> {
    for row in core.state.peers_aside()? {
        if core.vaults.relation(&row.device).is_none() {
            continue;
        }
        let (device, bringing) = (row.device, Arc::clone(core));
        on_disk(move || bringing.state.take_back_peer(&device)).await?;
        core.net.set_addresses(device, launch::socket_addresses(&row.addresses));
        if let Ok(member) = core.member()
            && let Ok(custody) = member.custody()
        {
            let (site, acquaintance) = (Site(row.site.clone()), row.acquaintance());
            custody.tell(Input::HolderKnown { holder: device, site, acquaintance }).await;
        }
    }
    Ok(())
}

/// Nothing is said to a removed device any more, and nothing counted on that it keeps.
async fn let_go(core: &Arc<Core>, device: DeviceId) -> Result<(), EngineError> {
    if core.vaults.relation(&device).is_some() || device == core.keys.id() {
        return Ok(());
    }
    core.net.set_addresses(device, Vec::new());
    core.net.forget_connections(&device);
    if core.state.peer(&device)?.is_none() {
        return Ok(());
    }
    if let Ok(member) = core.member()
        && let Ok(custody) = member.custody()
    {
        custody.tell(Input::HolderRemoved { holder: device }).await;
    }
    // Last: until then a crash makes it begin anew.
    let forgetting = Arc::clone(core);
    on_disk(move || forgetting.state.set_peer_aside(&device)).await?;
    info!("device {} was removed from its vault: nothing is kept there any more", device.short());
    Ok(())
}

/// Sees to it that there is a key to seal with that exactly those have who belong to the vault
/// (LOG-20), and that others have room for what a head will name (LOG-34). Before anything is sealed.
///
/// # Errors
/// [`EngineError::Removed`] when this very device does not belong to it any more.
pub(super) async fn ensure_epoch(
    core: &Arc<Core>,
    member: &Arc<Member>,
) -> Result<(), EngineError> {
    let _turn = core.rotating.lock().await;
    ensure_key(core, member).await?;
    // Others may then refuse a head, which `status` says; what is backed up is backed up all the same.
    if let Err(error) = tie_up(core, member).await {
        warn!("what a removed device has left in the list of devices was not built on: {error}");
    }
    Ok(())
}

async fn tie_up(core: &Arc<Core>, member: &Member) -> Result<(), EngineError> {
    // It ends when there is nothing more to build on, when that does not help, or half of the names are said.
    while let Some(entry) =
        core.log_of(&member.vault)?.tie_up(&member.keys, wall(), &mut launch::rng()?)?
    {
        keep_entry(core, member.vault, entry).await?;
        info!("what a removed device has left in the list of devices was built on");
        contact::spread_log(core, member.vault);
    }
    Ok(())
}

async fn ensure_key(core: &Arc<Core>, member: &Arc<Member>) -> Result<(), EngineError> {
    let mut log = core.log_of(&member.vault)?;
    if !log.is_device(&core.keys.id()) {
        return Err(EngineError::Removed);
    }
    let strays = exposed::stray(core, &log)?;
    let is_due = log.needs_epoch(&core.keys.id(), &log.epoch_keys(&core.keys)?);
    if !is_due && strays.is_empty() {
        return take_up_keys(core, member, &log);
    }
    let entries = match log.rotate_into_force(&member.keys, wall(), &mut launch::rng()?) {
        // Where the log takes no more, backups go on with the key that there is.
        Err(DraftError::Log(LogError::Full)) if !is_due => {
            warn!(
                "somebody who is no device has the newest key, and the log is full: revoke needs the phrase"
            );
            return take_up_keys(core, member, &log);
        }
        drafted => drafted?,
    };
    for entry in entries {
        keep_entry(core, member.vault, entry).await?;
    }
    exposed::strike_out(core, strays).await?;
    info!(
        "a new key is used from now on: devices were removed, taken in apart, or cut off while they joined"
    );
    contact::spread_log(core, member.vault);
    Ok(())
}

/// Makes an entry of one's own durable and acts on it.
pub(super) async fn keep_entry(
    core: &Arc<Core>,
    vault: VaultId,
    entry: Vec<u8>,
) -> Result<(), EngineError> {
    let keeping = Arc::clone(core);
    on_disk(move || keeping.vaults.merge_log(vault, &[entry])).await?;
    settle(core, vault).await
}

#[cfg(test)]
mod tests;
