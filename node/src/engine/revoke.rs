//! Removes a device from the vault, and tells everybody who can be reached.

use std::sync::Arc;

use larder_protocol::{
    head::SignedHead,
    ids::DeviceId,
    log::{DeviceLog, LastHead, Leaver, LogError, Reason, add::DraftError},
};
use tracing::warn;

use super::{
    Core, EngineError, Member,
    clock::wall,
    devices, guardians, launch, look, phrase, roster, sync,
    telling::{News, tell},
};
use crate::{
    command::{Failure, Outcome, RemovalReason, RevokeOutcome, Secret, Time},
    state::circle::PeerRow,
};

/// What was asked for.
pub(crate) struct Wish {
    /// Name, or the beginning of the id.
    pub(crate) device: String,
    pub(crate) reason: RemovalReason,
    /// What that device removed comes back.
    pub(crate) undo: bool,
    /// The word of the phrase comes before that of every device.
    pub(crate) phrase: Option<Secret>,
}

/// The `revoke` command.
pub(crate) async fn revoke(core: &Arc<Core>, wish: Wish) -> Result<Outcome, Failure> {
    let member = core.member()?;
    let phrase = wish.phrase.as_ref().map(|words| phrase::of_vault(core, &member, words));
    let recovery = phrase.transpose()?.map(|phrase| phrase.recovery());
    if recovery.is_none() {
        devices::check_owner(core, &member, "removes devices (or the phrase: --phrase-file FILE)")?;
    }
    // What it saved last, as far as anybody knows, is what counts of it.
    sync::refresh(core, &member).await;
    let mut log = core.log_of(&member.vault)?;
    let device = devices::named(core, &member, &log, &wish.device)?;
    if device == core.keys.id() {
        return Err(Failure::usage("a device cannot remove itself").hint(
            "say it on another device of the vault, or recover the vault on a new one first",
        ));
    }
    let name = look::device_names(core, &member).remove(&device).unwrap_or_default();
    let newest = newest_head(core, &member, &device);
    let leaver = Leaver {
        device,
        reason: known_reason(wish.reason),
        last: last_head(core, &member, &device),
        undo_removals: wish.undo,
        time: wall(),
    };
    let rng = &mut launch::rng()?;
    // A thief's word is to be void; that of one that is replaced was right.
    if wish.reason != RemovalReason::Stolen {
        guardians::say_again_for(core, &member, device).await?;
    }
    let entry = match &recovery {
        Some(recovery) => log.remove(recovery, &leaver, rng),
        None => log.remove(&member.keys, &leaver, rng),
    };
    let entry = entry.map_err(|error| match error {
        DraftError::Log(LogError::Full) => {
            no_room(core, &member, (&log, &device), wish.phrase.is_some())
        }
        error => refusal(&error, &name),
    })?;
    // Those who keep something are told, but for the one that is thrown out.
    let peers: Vec<PeerRow> = core.state.peers().map_err(EngineError::from)?;
    let peers = peers.into_iter().filter(|peer| peer.device != device).collect();
    roster::keep_entry(core, member.vault, entry).await?;
    // The phrase may build on little: then those who stay get their key by another entry.
    if let Some(recovery) = &recovery
        && log.is_epoch_due()
    {
        match log.rotate_into_force(recovery, wall(), rng) {
            Ok(entries) => {
                for entry in entries {
                    roster::keep_entry(core, member.vault, entry).await?;
                }
            }
            // The removal stands, and is to be told. Whoever seals something next begins one.
            Err(error) => warn!("the phrase began no new key: {error}"),
        }
    }
    let news = News { newest: newest.clone(), recovery: recovery.as_ref() };
    let wards = guardians::guardian_of(core, &member)?;
    let guardian_of = wards.into_iter().map(|ward| ward.name).collect();
    let (told, not_told) = tell(core, &member, peers, news).await?;
    Ok(Outcome::Revoke(RevokeOutcome {
        device: device.to_string(),
        name,
        reason: wish.reason,
        last_saved: newest.map(|head| Time::from(head.body().time)),
        told,
        not_told,
        guardian_of,
    }))
}

fn newest_head(core: &Core, member: &Member, device: &DeviceId) -> Option<SignedHead> {
    let vaults = core.vaults.read();
    vaults.get(&member.vault)?.heads().highest(device).cloned()
}

/// What counts of a device from its removal on: everything up to its newest head. Where it is forked, both
/// sides: heads below the number named count, and so the number after the highest is named (HEAD-13).
fn last_head(core: &Core, member: &Member, device: &DeviceId) -> Option<LastHead> {
    let vaults = core.vaults.read();
    let book = vaults.get(&member.vault)?.heads();
    let highest = book.highest(device)?;
    let is_forked = book.fork(device).is_some();
    let seq = highest.body().seq.saturating_add(u64::from(is_forked));
    Some(LastHead { seq, head: highest.hash() })
}

const fn known_reason(reason: RemovalReason) -> Reason {
    match reason {
        RemovalReason::Lost => Reason::Lost,
        RemovalReason::Stolen => Reason::Stolen,
        RemovalReason::Replaced => Reason::Replaced,
    }
}

/// Why nobody was thrown out where the log has no room for it, and who is to be thrown out first. By id as well: a thief gives what
/// names he likes.
fn no_room(
    core: &Core,
    member: &Member,
    (log, device): (&DeviceLog, &DeviceId),
    is_by_phrase: bool,
) -> Failure {
    if is_by_phrase {
        return Failure::failed("the phrase has thrown out as many as it can").hint(
            "on an owner's device that is older than the stolen one it may still work without the phrase",
        );
    }
    let names = look::device_names(core, member);
    let first = log.filled_by(&[*device, core.keys.id()]);
    let hint = first.map_or_else(
        || "say it with the phrase: --phrase-file FILE".to_owned(),
        |first| {
            let (id, name) = (first.short(), names.get(&first).map_or("", String::as_str));
            format!(
                "{name} ({id}) has filled most of it: if that one is none of yours, throw it out first \
                 (larder revoke {id}); else say it with the phrase: --phrase-file FILE"
            )
        },
    );
    Failure::failed("there is no room in the list of devices to throw anybody out").hint(hint)
}

fn refusal(error: &DraftError, name: &str) -> Failure {
    match error {
        DraftError::Log(LogError::LastDevice) => {
            Failure::usage(format!("{name} is the only device of this vault"))
                .hint("recover the vault on another device first, and say it there")
        }
        DraftError::Log(LogError::Stranger) => Failure::failed(
            "this device does not belong to the vault any more",
        )
        .hint("if somebody else removed it, say this with the phrase: --phrase-file FILE --undo"),
        other => Failure::failed(other.to_string()),
    }
}

#[cfg(test)]
mod tests;
