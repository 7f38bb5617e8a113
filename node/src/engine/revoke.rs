//! Removes a device from the vault, and tells everybody who can be reached.

use std::{sync::Arc, time::Duration};

use larder_protocol::{
    head::SignedHead,
    ids::DeviceId,
    keys::recovery::RecoveryKeys,
    log::{DeviceLog, LastHead, Leaver, LogError, Reason, add::DraftError},
};
use tokio::time::timeout;
use tracing::debug;

use super::{
    Core, EngineError, Member, clock::wall, contact, guardians, launch, look, phrase,
    recover::Access, roster, sync,
};
use crate::{
    command::{Failure, Outcome, RemovalReason, RevokeOutcome, Secret, Time},
    state::circle::PeerRow,
};

/// How long everybody is told together.
const TELL: Duration = Duration::from_secs(15);

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
    // What it saved last, as far as anybody knows, is what counts of it.
    sync::refresh(core, &member).await;
    let mut log = core.log_of(&member.vault)?;
    let device = named(core, &member, &log, &wish.device)?;
    let name = look::device_names(core, &member).remove(&device).unwrap_or_default();
    let newest = newest_head(core, &member, &device);
    let leaver = Leaver {
        device,
        reason: known_reason(wish.reason),
        last: newest.as_ref().map(|it| LastHead { seq: it.body().seq, head: it.hash() }),
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
    let entry = entry.map_err(|error| refusal(&error, &name))?;
    // Those who keep something are told, but for the one that is thrown out.
    let peers: Vec<PeerRow> = core.state.peers().map_err(EngineError::from)?;
    let peers = peers.into_iter().filter(|peer| peer.device != device).collect();
    roster::keep_entry(core, member.vault, entry).await?;
    // The phrase may build on little: then those who stay get their key by a second entry.
    if let Some(recovery) = &recovery
        && log.is_epoch_due()
    {
        let entry = log.rotate(recovery, wall(), rng).map_err(|error| refusal(&error, &name))?;
        roster::keep_entry(core, member.vault, entry).await?;
    }
    let news = News { newest: newest.clone(), recovery: recovery.as_ref() };
    let (told, not_told) = tell(core, &member, peers, news).await?;
    Ok(Outcome::Revoke(RevokeOutcome {
        device: device.to_string(),
        name,
        reason: wish.reason,
        last_saved: newest.map(|head| Time::from(head.body().time)),
        told,
        not_told,
    }))
}

/// The device that a person means: by name, or by the beginning of its id.
fn named(core: &Core, member: &Member, log: &DeviceLog, text: &str) -> Result<DeviceId, Failure> {
    let names = look::device_names(core, member);
    let all: Vec<DeviceId> = log.devices().map(|device| device.public.id).collect();
    let is_called = |id: &&DeviceId| names.get(*id).is_some_and(|name| name == text);
    let prefix = text.to_ascii_lowercase();
    let begins = |id: &&DeviceId| !prefix.is_empty() && id.to_string().starts_with(&prefix);
    let mut meant: Vec<&DeviceId> = all.iter().filter(is_called).collect();
    if meant.is_empty() {
        meant = all.iter().filter(begins).collect();
    }
    match meant.as_slice() {
        [one] if **one == core.keys.id() => Err(Failure::usage("a device cannot remove itself")
            .hint(
                "say it on another device of the vault, or recover the vault on a new one first",
            )),
        [one] => Ok(**one),
        [] => Err(Failure::failed(format!("no device of this vault is called {text}"))
            .hint("see `larder devices` for their names and ids")),
        several => {
            let ids: Vec<String> = several.iter().map(|id| id.short()).collect();
            Err(Failure::failed(format!("{} devices are meant by {text}", several.len()))
                .hint(format!("give the beginning of an id: {}", ids.join(", "))))
        }
    }
}

fn newest_head(core: &Core, member: &Member, device: &DeviceId) -> Option<SignedHead> {
    let vaults = core.vaults.read();
    vaults.get(&member.vault)?.heads().highest(device).cloned()
}

const fn known_reason(reason: RemovalReason) -> Reason {
    match reason {
        RemovalReason::Lost => Reason::Lost,
        RemovalReason::Stolen => Reason::Stolen,
        RemovalReason::Replaced => Reason::Replaced,
    }
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

/// What everybody is told besides the log.
struct News<'a> {
    /// The last head of the removed device that counts.
    newest: Option<SignedHead>,
    /// Whoever was removed by a thief is let in by the phrase alone.
    recovery: Option<&'a RecoveryKeys>,
}

/// Tells everybody at once; returns the names of those who know, and of those who do not.
async fn tell(
    core: &Arc<Core>,
    member: &Arc<Member>,
    peers: Vec<PeerRow>,
    news: News<'_>,
) -> Result<(Vec<String>, Vec<String>), Failure> {
    let access = match news.recovery {
        Some(recovery) => Some(Arc::new(Access::open(core, recovery, core.relays.clone()).await?)),
        None => None,
    };
    let log = Arc::new(core.log_of(&member.vault)?);
    let told = peers.into_iter().map(|peer| {
        let (core, vault) = (Arc::clone(core), member.vault);
        let (access, log) = (access.clone(), Arc::clone(&log));
        let newest = news.newest.clone();
        tokio::spawn(async move {
            let told = async {
                if let Some(access) = &access {
                    // Whoever was removed by a thief is refused, but for the phrase.
                    access.reach(&core, peer.device);
                    access.introduce(peer.device, &log).await?;
                }
                contact::hello(&core, peer.device).await?;
                contact::push_log(&core, peer.device, vault).await?;
                // It counts up to here, wherever it was before.
                match &newest {
                    Some(head) => contact::hand_on_head(&core, peer.device, vault, head).await,
                    None => Ok(()),
                }
            };
            let result = timeout(TELL, told).await;
            if let Ok(Err(error)) = &result {
                debug!("{} was not told: {error}", peer.device.short());
                contact::missed(&core, peer.device, error).await;
            }
            (peer.name, matches!(result, Ok(Ok(()))))
        })
    });
    let told: Vec<_> = told.collect();
    let (mut know, mut not) = (Vec::new(), Vec::new());
    for one in told {
        match one.await {
            Ok((name, true)) => know.push(name),
            Ok((name, false)) => not.push(name),
            Err(_) => return Err(EngineError::Stopped.into()),
        }
    }
    if let Some(access) = access {
        access.close().await;
    }
    Ok((know, not))
}
