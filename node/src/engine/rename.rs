//! Gives a device of the vault another name, and follows what others have said of names.
//!
//! The newest rename in the device log says what a device is called. The settings of this device and what
//! is kept of the others follow it, and devices of other vaults, which cannot read it, are told.

use std::sync::Arc;

use larder_protocol::{
    ids::DeviceId,
    log::{DeviceLog, Label, LogError, NewLabel, add::DraftError},
};
use tracing::warn;

use super::{
    Core, EngineError, Member,
    clock::wall,
    contact, devices, host_name, launch, look, on_disk, roster, sync,
    telling::{News, tell},
};
use crate::{
    command::{Failure, Outcome, RenameOutcome},
    home::{Config, DEVICE_NAME},
    state::circle::PeerRow,
};

/// The `rename` command; `device` by name or the beginning of its id, this one if nothing is said.
pub(crate) async fn rename(
    core: &Arc<Core>,
    name: String,
    device: Option<String>,
) -> Result<Outcome, Failure> {
    let member = core.member()?;
    let name = checked(&name)?;
    // Of somebody else: before anybody is asked.
    let device = match device {
        None => core.keys.id(),
        Some(text) => devices::named(core, &member, &core.log_of(&member.vault)?, &text)?,
    };
    if device != core.keys.id() {
        devices::check_owner(core, &member, "names other devices than itself")?;
    }
    // A name that builds on what the others have said comes after it.
    sync::refresh(core, &member).await;
    let before = look::device_names(core, &member).remove(&device).unwrap_or_default();
    let (told, not_told) = if say(core, &member, (device, &name)).await? {
        let peers: Vec<PeerRow> = core.state.peers().map_err(EngineError::from)?;
        tell(core, &member, peers, News::default()).await?
    } else {
        (Vec::new(), Vec::new())
    };
    let device = device.to_string();
    Ok(Outcome::Rename(RenameOutcome { device, name, before, told, not_told }))
}

/// Gives this very device another name, the host's where none is said. A node that goes on running tells
/// others without being waited for.
pub(super) async fn rename_this(core: &Arc<Core>, name: Option<String>) -> Result<(), Failure> {
    let member = core.member()?;
    let name = checked(&name.unwrap_or_else(host_name))?;
    if !say(core, &member, (core.keys.id(), &name)).await? {
        return Ok(());
    }
    if core.serves {
        contact::spread_log(core, member.vault);
    } else {
        let peers: Vec<PeerRow> = core.state.peers().map_err(EngineError::from)?;
        tell(core, &member, peers, News::default()).await?;
    }
    Ok(())
}

/// A name as the settings keep one.
fn checked(name: &str) -> Result<String, Failure> {
    let mut config = Config::default();
    config.set(DEVICE_NAME, Some(name)).map_err(|_| {
        Failure::usage("this cannot be the name of a device").hint(
            "a name has at most 64 bytes; letters, digits and spaces do, control characters do not",
        )
    })?;
    Ok(config.name().unwrap_or(name).to_owned())
}

/// Writes an entry that gives a device this name, unless it has it; whether one was written.
async fn say(
    core: &Arc<Core>,
    member: &Arc<Member>,
    (device, name): (DeviceId, &str),
) -> Result<bool, Failure> {
    // What is sealed from now on is for those who belong to the vault.
    roster::ensure_epoch(core, member).await?;
    let mut log = core.log_of(&member.vault)?;
    let label = log.label(&device, member.keyring().all());
    if label.as_ref().is_some_and(|label| label.name == name) {
        follow(core, member, &log).await?;
        return Ok(false);
    }
    // It stays where it is. Of one whose label cannot be read that is what is known here.
    let known = core.state.peer(&device).map_err(EngineError::from)?.map(|peer| peer.site);
    let site = label.map(|label| label.site).or(known).unwrap_or_else(|| core.own_site());
    let new = NewLabel { device, label: Label { name: name.to_owned(), site }, time: wall() };
    let entry =
        log.rename(&member.keys, &new, &mut launch::rng()?).map_err(|error| refusal(&error))?;
    roster::keep_entry(core, member.vault, entry).await?;
    Ok(true)
}

fn refusal(error: &DraftError) -> Failure {
    match error {
        DraftError::Log(LogError::Full) => {
            Failure::failed("this device has given as many names as one can give")
                .hint("let another device of the vault say it")
        }
        other => Failure::failed(other.to_string()),
    }
}

/// Takes over what the log says: what this device is called in its settings, what the others of the vault
/// are called in what is kept of them.
pub(super) async fn follow(
    core: &Arc<Core>,
    member: &Arc<Member>,
    log: &DeviceLog,
) -> Result<(), EngineError> {
    let (own, keyring) = (core.keys.id(), member.keyring());
    let said = log.renamed(&own, keyring.all()).map(|label| label.name);
    let is_news = said.filter(|name| *name != core.own_name());
    if let Some(name) = is_news {
        take_name(core, name).await;
    }
    for peer in core.state.peers()?.into_iter().filter(|peer| peer.vault == member.vault) {
        let Some(label) = log.renamed(&peer.device, keyring.all()) else { continue };
        let (keeping, name) = (Arc::clone(core), label.name);
        if peer.name != name {
            on_disk(move || {
                let change = |known: Option<PeerRow>| known.map(|peer| PeerRow { name, ..peer });
                keeping.state.change_peer(&peer.device, change)
            })
            .await?;
        }
    }
    Ok(())
}

/// This device is called so now, and those who cannot read the log are told.
async fn take_name(core: &Arc<Core>, name: String) {
    let keeping = Arc::clone(core);
    let kept = on_disk(move || keeping.remember_name(&name));
    if let Err(error) = kept.await {
        // It is shown as the log says all the same.
        warn!("the new name of this device could not be written to its settings: {error}");
        return;
    }
    if let Ok(member) = core.member()
        && core.serves
    {
        sync::meet_everybody(core, &member);
    }
}

#[cfg(test)]
mod tests;
