//! The guardians of this vault: appoints and dissolves them, tells who they are and who asks for the
//! phrase, stops whoever asks. Source: specs/guarding.md.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use larder_protocol::{
    guarding::{
        SealedPhrase,
        gathering::Gathering,
        keeping::{Pending, ToldRequest},
        release::{ReleaseRequest, ReleaseStop},
        set::{AppointError, Appointment, Guardian, GuardianSet, Named},
    },
    ids::{DeviceId, VaultId},
    keys::{Principal, phrase::Phrase},
    time::Timestamp,
};

use super::{Core, EngineError, Member, clock::wall, contact, launch, look, on_disk, phrase};
use crate::{
    command::{
        EventSink, Failure, GuardianName, GuardianOf, GuardiansAct, GuardiansOutcome, Level,
        Outcome, PhraseRequest,
    },
    state::circle::PeerRow,
    vaults::VaultError,
};

mod give;
mod spread;

pub(super) use give::{give, is_named};
pub(super) use spread::{alarm, learn, log_grew, met, standing, take_set};

/// A delay shorter than this is hardly seen by anybody.
const SHORT_DELAY_S: u64 = 86_400;

/// The `guardians` commands.
pub(super) async fn act(
    core: &Arc<Core>,
    act: GuardiansAct,
    events: &EventSink,
) -> Result<Outcome, Failure> {
    let member = core.member()?;
    let mut outcome = match act {
        GuardiansAct::Show => GuardiansOutcome::default(),
        GuardiansAct::Appoint { threshold, delay_s, peers, phrase } => {
            let phrase = phrase::of_vault(core, &member, &phrase)?;
            warn_of(threshold, peers.len(), delay_s, events);
            let guardians = guardians(core, &member, &peers, events).await?;
            let wish = Appointing { threshold, delay_s, guardians };
            put_in_force(core, &member, |number| wish.set(&member, &phrase, number)).await?
        }
        GuardiansAct::Dissolve { phrase } => {
            let phrase = phrase::of_vault(core, &member, &phrase)?;
            let set = |number| GuardianSet::dissolve((member.vault, number, wall()), &phrase);
            put_in_force(core, &member, |number| Ok((set(number), None))).await?
        }
        GuardiansAct::Stop => stop(core, &member).await?,
    };
    describe(core, &member, &mut outcome)?;
    Ok(Outcome::Guardians(outcome))
}

/// What is allowed, and may not be meant.
fn warn_of(threshold: u8, count: usize, delay_s: u64, events: &EventSink) {
    if threshold == 1 {
        let said = "with a threshold of 1 every single guardian can ask for the phrase alone";
        events.notice(Level::Warning, said);
    }
    if usize::from(threshold) == count && count > 1 {
        let said = "all of them are needed: if one cannot help any more, none can";
        events.notice(Level::Warning, said);
    }
    if delay_s < SHORT_DELAY_S {
        let said =
            "with a delay of less than a day nobody may see in time that the phrase is asked for";
        events.notice(Level::Warning, said);
    }
}

fn not_appointed(error: &AppointError) -> Failure {
    let hint = match error {
        AppointError::WeakKey(_) => "that node is broken or hostile: choose somebody else",
        AppointError::Delay => "give a shorter --delay, such as 7d",
        _ => "such as: larder guardians set --threshold 2 anna bob carol",
    };
    Failure::usage(error.to_string()).hint(hint)
}

/// What a person has asked for, with everything that is needed for it.
struct Appointing {
    threshold: u8,
    delay_s: u64,
    guardians: Vec<Guardian>,
}

impl Appointing {
    fn set(
        &self,
        member: &Member,
        phrase: &Phrase,
        number: u64,
    ) -> Result<(GuardianSet, Option<SealedPhrase>), Failure> {
        let parts = Appointment {
            vault: member.vault,
            number,
            time: wall(),
            phrase,
            content: &member.content,
            threshold: self.threshold,
            delay_s: self.delay_s,
            guardians: self.guardians.clone(),
        };
        let made = GuardianSet::appoint(parts, &mut launch::rng()?);
        let (set, sealed) = made.map_err(|error| not_appointed(&error))?;
        Ok((set, Some(sealed)))
    }
}

/// Makes a set that counts more than every other one that is heard of, keeps it, and hands it to everybody
/// who can be reached.
async fn put_in_force(
    core: &Arc<Core>,
    member: &Arc<Member>,
    make: impl Fn(u64) -> Result<(GuardianSet, Option<SealedPhrase>), Failure>,
) -> Result<GuardiansOutcome, Failure> {
    let vault = member.vault;
    loop {
        let known = core.vaults.guard_of(&vault).map_err(EngineError::from)?.number();
        let (set, sealed) = make(wall().0.max(known.saturating_add(1)))?;
        take_set(core, vault, set.bytes().to_vec(), sealed).await?;
        let exchange =
            move |core: Arc<Core>, peer| async move { spread::exchange(&core, vault, peer).await };
        let (told, not_told) = spread::with_everybody(core, exchange).await?;
        let after = core.vaults.guard_of(&vault).map_err(EngineError::from)?;
        if after.set() == Some(&set) {
            if not_told.is_empty() {
                spread::let_go(core, vault, true).await?;
            }
            return Ok(GuardiansOutcome { told, not_told, ..GuardiansOutcome::default() });
        }
        // Another device of the vault had appointed others meanwhile, by a later clock: above that one then.
    }
}

/// Stops whoever asks for the phrase, here and at everybody who can be reached.
async fn stop(core: &Arc<Core>, member: &Arc<Member>) -> Result<GuardiansOutcome, EngineError> {
    let stopped = Arc::new(AtomicUsize::new(0));
    let (by, count) = (Arc::clone(member), Arc::clone(&stopped));
    count.fetch_add(stop_here(core, &by).await?, Ordering::Relaxed);
    let tell = move |core: Arc<Core>, peer| {
        let (by, count) = (Arc::clone(&by), Arc::clone(&count));
        async move {
            // A word of a device that it has not heard of, or on a set that it does not keep, is lost there.
            contact::push_log(&core, peer, by.vault).await?;
            spread::exchange(&core, by.vault, peer).await?;
            let mut is_quiet = spread::tell_requests(&core, by.vault, peer).await?;
            // It may have known of requests that were not heard of here.
            let more = stop_here(&core, &by).await?;
            if more > 0 {
                count.fetch_add(more, Ordering::Relaxed);
                is_quiet = spread::tell_requests(&core, by.vault, peer).await?;
            }
            if is_quiet { Ok(()) } else { Err(EngineError::OutOfTurn) }
        }
    };
    let (told, not_told) = spread::with_everybody(core, tell).await?;
    let stopped = u32::try_from(stopped.load(Ordering::Relaxed)).unwrap_or(u32::MAX);
    Ok(GuardiansOutcome { stopped, told, not_told, ..GuardiansOutcome::default() })
}

/// The request of this home was answered, and the vault is here: it is closed, so that nobody takes it for
/// one of somebody else.
pub(super) async fn answered(core: &Arc<Core>, gathering: &Gathering) -> Result<(), EngineError> {
    let member = core.member()?;
    let is_of = gathering.chosen() == Some(member.vault);
    let asked = gathering.set().zip(gathering.asked()).filter(|_| is_of);
    let Some((set, request)) = asked else { return Ok(()) };
    let (set, request) = (set.clone(), request.bytes().to_vec().into());
    let (keeping, vault) = (Arc::clone(core), member.vault);
    on_disk(move || {
        keeping.vaults.change_guard(vault, |guard, log| {
            let is_newer = guard.offer(set, None);
            let told = ToldRequest { request, stop: None, left_s: 0 };
            (guard.learn(&[told], log, wall()) || is_newer, ())
        })
    })
    .await?;
    stop(core, &member).await.map(|_| ())
}

/// What a device that is about to leave has stopped is stopped by this one as well.
pub(super) async fn say_again_for(
    core: &Arc<Core>,
    by: &Arc<Member>,
    leaver: DeviceId,
) -> Result<(), EngineError> {
    let (core, by) = (Arc::clone(core), Arc::clone(by));
    let said = on_disk(move || {
        core.vaults.change_guard(by.vault, |guard, _| {
            let stop = |asked: &ReleaseRequest| {
                ReleaseStop::sign(Principal::Device(&by.keys), asked.body(), wall())
            };
            (guard.say_again_for(leaver, stop), ())
        })
    });
    // Whoever is to be removed is removed all the same.
    spread::unless_newer(said.await)
}

/// Stops every request that is known here; returns how many were open.
async fn stop_here(core: &Arc<Core>, by: &Arc<Member>) -> Result<usize, EngineError> {
    let (core, by) = (Arc::clone(core), Arc::clone(by));
    on_disk(move || {
        core.vaults.change_guard(by.vault, |guard, log| {
            let stop = |asked: &ReleaseRequest| {
                ReleaseStop::sign(Principal::Device(&by.keys), asked.body(), wall())
            };
            let stopped = guard.stop_all(log, stop);
            (stopped > 0, stopped)
        })
    })
    .await
}

/// Those who are meant, one for each vault, with the keys of their vaults.
async fn guardians(
    core: &Arc<Core>,
    member: &Arc<Member>,
    texts: &[String],
    events: &EventSink,
) -> Result<Vec<Guardian>, Failure> {
    // Asked anew, all at once: a vault that has thrown a device out since has another key.
    let mut meetings = Vec::with_capacity(texts.len());
    for text in texts {
        let peer = peer_named(core, member, text)?;
        meetings.push(tokio::spawn(introduced(Arc::clone(core), Arc::clone(member), peer)));
    }
    let mut all = Vec::with_capacity(texts.len());
    for meeting in meetings {
        let (peer, is_met) = meeting.await.map_err(|error| Failure::internal(&error))??;
        let receiving = peer.receiving.ok_or_else(|| {
            Failure::failed(format!("{} could not be asked for its key", peer.name)).hint(
                "start that node with `larder up`, with a Larder as new as this one, and say this \
                 again",
            )
        })?;
        if !is_met {
            let said = format!(
                "{} could not be asked now, so the key is used that it told before: if a device was thrown out there \
                 since, say this again when that node is up",
                peer.name
            );
            events.notice(Level::Warning, &said);
        }
        all.push(Guardian { vault: peer.vault, name: peer.name, receiving });
    }
    Ok(all)
}

/// Meets a node, to hear the key of its vault; whether that went well. One that is away is as it was.
async fn introduced(
    core: Arc<Core>,
    member: Arc<Member>,
    peer: PeerRow,
) -> Result<(PeerRow, bool), Failure> {
    let met = tokio::time::timeout(spread::TELL, contact::greet(&core, &member, peer.device)).await;
    if let Ok(Err(error)) = &met {
        tracing::debug!("{} was not met: {error}", peer.device.short());
    }
    let known = core.state.peer(&peer.device).map_err(EngineError::from)?;
    Ok((known.unwrap_or(peer), matches!(met, Ok(Ok(_)))))
}

/// The node of another vault that a person means: by name, or by the beginning of an id.
fn peer_named(core: &Core, member: &Member, text: &str) -> Result<PeerRow, Failure> {
    let peers = core.state.peers().map_err(EngineError::from)?;
    let meant = |peer: &&PeerRow| {
        is_named(text, &peer.name, [&peer.device.to_string(), &peer.vault.to_string()])
    };
    let (own, others): (Vec<PeerRow>, Vec<PeerRow>) =
        peers.iter().filter(meant).cloned().partition(|peer| peer.vault == member.vault);
    let vaults: BTreeSet<VaultId> = others.iter().map(|peer| peer.vault).collect();
    match (vaults.len(), own.is_empty()) {
        (0, false) => Err(Failure::usage(format!("{text} is a device of this very vault")).hint(
            "guardians are other persons: they help when all devices of this vault are lost",
        )),
        (0, true) => Err(Failure::failed(format!("nobody in this circle is called {text}"))
            .hint("see `larder peers` for names; whoever is not there yet: `larder invite`")),
        (1, _) => {
            // The one that has told the newest key, and was seen last.
            let known = others.into_iter().max_by_key(|peer| (peer.receiving, peer.last_seen));
            known.ok_or_else(|| Failure::internal(&"nobody of one"))
        }
        (many, _) => Err(Failure::failed(format!("{many} vaults are meant by {text}"))
            .hint("give the beginning of an id, as `larder peers --json` shows it")),
    }
}

/// Who the guardians are, who asks for the phrase, and whose guardian this vault is.
fn describe(
    core: &Core,
    member: &Member,
    outcome: &mut GuardiansOutcome,
) -> Result<(), EngineError> {
    let guard = core.vaults.guard_of(&member.vault)?;
    let set = guard.set();
    if let Some((set, appointed)) = set.and_then(|set| Some((set, set.appointed()?))) {
        outcome.threshold = Some(appointed.threshold);
        outcome.delay_ms = Some(appointed.delay_s.saturating_mul(1000));
        outcome.appointed = Some(set.body().time.into());
        let peers = core.state.peers()?;
        let names = set.names(&member.content).unwrap_or_default();
        outcome.guardians = names.into_iter().map(|named| guardian_name(named, &peers)).collect();
        outcome.guardians.sort_by(|one, other| one.name.cmp(&other.name));
    }
    let log = core.log_of(&member.vault)?;
    let devices = look::device_names(core, member);
    let told = guard.pending(&log).into_iter().map(|pending| request(pending, &devices));
    outcome.requests = told.collect();
    outcome.guardian_of = guardian_of(core, member)?;
    Ok(())
}

/// A guardian, and whether its vault has told another key since.
fn guardian_name(named: Named, peers: &[PeerRow]) -> GuardianName {
    let of_vault = peers.iter().filter(|peer| peer.vault == named.vault);
    let told = of_vault.filter_map(|peer| peer.receiving).max();
    // One of its nodes may not have heard of the newest epoch yet.
    let has_new_key = told.is_some_and(|told| told.epoch > named.receiving.epoch);
    GuardianName { vault: named.vault.to_string(), name: named.name, has_new_key }
}

fn request(pending: Pending, devices: &BTreeMap<DeviceId, String>) -> PhraseRequest {
    let by = |author: Option<DeviceId>| match author {
        Some(device) => devices.get(&device).cloned().unwrap_or_else(|| device.short()),
        None => "the phrase".to_owned(),
    };
    PhraseRequest {
        id: data_encoding::HEXLOWER.encode(&pending.id.0),
        from: pending.from,
        asked: pending.asked.into(),
        due: pending.due.into(),
        stopped_by: pending.stopped.map(by),
    }
}

/// Whether this vault is a guardian of another one.
pub(super) fn is_guardian_of(core: &Core, member: &Member, other: &VaultId) -> bool {
    let keyring = member.keyring();
    let guard = core.vaults.guard_of(other);
    match guard {
        Ok(guard) => guard.set().is_some_and(|set| set.share_for(keyring.all()).is_some()),
        Err(VaultError::Unknown(_)) => false,
        // What cannot be read is not forgotten.
        Err(_) => true,
    }
}

/// Whether another vault is a guardian of this one.
pub(super) fn is_our_guardian(core: &Core, member: &Member, other: &VaultId) -> bool {
    // What cannot be read may name it.
    let Ok(guard) = core.vaults.guard_of(&member.vault) else { return true };
    let names = guard.set().and_then(|set| set.names(&member.content));
    names.is_some_and(|names| names.iter().any(|named| named.vault == *other))
}

/// Every other vault whose guardian this one is.
pub(super) fn guardian_of(core: &Core, member: &Member) -> Result<Vec<GuardianOf>, EngineError> {
    let keyring = member.keyring();
    let peers = core.state.peers()?;
    let sets: Vec<(VaultId, GuardianSet)> = {
        let vaults = core.vaults.read();
        let others = vaults.iter().filter(|(vault, _)| **vault != member.vault);
        others.filter_map(|(vault, known)| Some((*vault, known.guard()?.set()?.clone()))).collect()
    };
    let mut all = Vec::new();
    for (vault, set) in sets {
        let is_ours = set.share_for(keyring.all()).is_some();
        let Some(appointed) = set.appointed().filter(|_| is_ours) else {
            continue;
        };
        let name = peers.iter().find(|peer| peer.vault == vault);
        all.push(GuardianOf {
            vault: vault.to_string(),
            name: name.map_or_else(|| vault.short(), |peer| peer.name.clone()),
            threshold: appointed.threshold,
            guardians: u32::try_from(appointed.shares.len()).unwrap_or(u32::MAX),
            gave: give::last(core, &vault)?.map(Into::into),
        });
    }
    Ok(all)
}

/// Requests for the phrase of this vault that nobody has stopped, for `status`: who asks, and until when
/// it can be stopped.
pub(super) fn open_requests(core: &Core) -> Result<Vec<(String, Timestamp)>, EngineError> {
    let Ok(member) = core.member() else { return Ok(Vec::new()) };
    let log = core.log_of(&member.vault)?;
    let guard = core.vaults.guard_of(&member.vault).map_err(EngineError::from);
    let pending = spread::unless_newer(guard)?.pending(&log);
    let open = pending.into_iter().filter(|pending| pending.stopped.is_none());
    Ok(open.map(|pending| (pending.from, pending.due)).collect())
}
