//! What others bring and ask of guardians. When the phrase is given is decided in
//! `larder_protocol::guarding::keeping`. Source: specs/guarding.md.

use std::sync::Arc;

use larder_protocol::{
    guarding::{
        SealedPhrase,
        keeping::{AskError, ToldRequest},
        release::ReleaseRequest,
        set::GuardianSet,
    },
    ids::VaultId,
    wire::message::{Answer, Refusal},
};
use minicbor::bytes::ByteVec;
use tracing::{debug, warn};

use crate::engine::{Core, clock::wall, guardians, on_disk};

/// Takes a set that counts more than the one here, and gives the one that counts.
pub(super) async fn guardians(
    core: Arc<Core>,
    vault: VaultId,
    set: Option<ByteVec>,
    sealed: Option<SealedPhrase>,
) -> Result<Answer, Refusal> {
    let brought = set.clone();
    if let Some(set) = set {
        guardians::take_set(&core, vault, set.to_vec(), sealed).await.map_err(|error| {
            debug!("guardians of vault {} were not taken: {error}", vault.short());
            if error.is_own_fault() { Refusal::Internal } else { Refusal::Invalid }
        })?;
    }
    let guard = core.vaults.guard_of(&vault).map_err(|_| Refusal::Forbidden)?;
    let known = guard.set().map(|set| ByteVec::from(set.bytes().to_vec()));
    let is_same = known == brought;
    let sealed = guard.sealed().filter(|_| !is_same);
    Ok(Answer::GuardiansAt { set: known.filter(|_| !is_same), sealed })
}

/// Somebody who has the secret of the guardians asks for the phrase.
pub(super) async fn ask_release(
    core: Arc<Core>,
    vault: VaultId,
    request: ByteVec,
) -> Result<Answer, Refusal> {
    let (asking, now) = (Arc::clone(&core), wall());
    let asked = on_disk(move || {
        asking.vaults.change_guard(vault, |guard, log| {
            let set: Option<&GuardianSet> = guard.set();
            let request = set.and_then(|set| ReleaseRequest::decode(&request, set).ok());
            let Some(request) = request else { return (false, Err(Refusal::Invalid)) };
            let id = request.body().id;
            match guard.ask(request, now) {
                Ok(is_new) => (is_new, Ok((is_new, guard.state(id, log, now)))),
                Err(AskError::Full) => (false, Err(Refusal::Busy)),
            }
        })
    });
    let (is_new, state) = asked.await.map_err(|_| Refusal::Internal)??;
    if is_new {
        warn!("guardians of vault {} ask for its phrase", vault.short());
        guardians::alarm(&core, vault);
    }
    Ok(Answer::Release { state })
}

/// Learns what the caller knows of requests, and tells it what is known here, if it may know.
pub(super) async fn releases(
    core: Arc<Core>,
    vault: VaultId,
    told: Vec<ToldRequest>,
    is_told: bool,
) -> Result<Answer, Refusal> {
    guardians::learn(&core, vault, told).await.map_err(|_| Refusal::Internal)?;
    let guard = core.vaults.guard_of(&vault).map_err(|_| Refusal::Forbidden)?;
    let told = if is_told { guard.told(wall()) } else { Vec::new() };
    Ok(Answer::ReleasesAre { told })
}
