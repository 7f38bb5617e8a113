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
    holding::Caller,
    ids::{DeviceId, VaultId},
    trail::TrailEvent,
    wire::message::{Answer, Refusal},
};
use minicbor::bytes::ByteVec;
use tracing::{debug, warn};

use crate::engine::{Core, clock::wall, guardians, on_disk, trail};

/// Whoever has the key of the guardians of this very vault. Asked for the one vault and not for all: others
/// may name any key in sets of their own.
pub(super) fn asker(core: &Core, from: DeviceId, vault: VaultId) -> Option<Caller> {
    let guard = core.vaults.guard_of(&vault).ok()?;
    (guard.release_key() == Some(from)).then_some(Caller::Guardians { key: from, vault })
}

/// Takes a set that counts more than the one here, and gives the one that counts.
pub(super) async fn guardians(
    core: Arc<Core>,
    vault: VaultId,
    set: Option<ByteVec>,
    sealed: Option<SealedPhrase>,
) -> Result<Answer, Refusal> {
    let brought = set.clone();
    // A device of the vault keeps the sealed phrase only where the guardians were appointed.
    let is_ours = core.member().is_ok_and(|member| member.vault == vault);
    let sealed = sealed.filter(|_| !is_ours);
    if let Some(set) = set {
        guardians::take_set(&core, vault, set.to_vec(), sealed).await.map_err(|error| {
            debug!("guardians of vault {} were not taken: {error}", vault.short());
            if error.is_own_fault() { Refusal::Internal } else { Refusal::Invalid }
        })?;
    }
    let guard = core.vaults.guard_of(&vault).map_err(|_| Refusal::Forbidden)?;
    let known = guard.set().map(|set| ByteVec::from(set.bytes().to_vec()));
    Ok(Answer::GuardiansAt { set: if known == brought { None } else { known } })
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
            match guard.ask(request, log, now) {
                Ok(is_new) => (is_new, Ok((is_new, guard.state(id, log, now)))),
                Err(AskError::Full) => (false, Err(Refusal::Busy)),
            }
        })
    });
    let (is_new, state) = asked.await.map_err(|_| Refusal::Internal)??;
    if is_new {
        warn!("guardians of vault {} ask for its phrase", vault.short());
        trail::note_apart(&core, TrailEvent::ReleaseAsked { vault });
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

#[cfg(test)]
mod tests {
    use larder_protocol::{
        guarding::set::{Appointment, Guardian, SetBody},
        holding::Action,
        keys::{
            epoch::{ContentKey, EpochKey},
            phrase::Phrase,
            sign,
        },
        log::{DeviceLog, Founding, Label},
        time::Timestamp,
    };
    use minicbor::{
        Encode,
        bytes::{ByteArray, ByteVec},
    };
    use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

    use super::*;
    use crate::engine::testing::TestNode;

    /// A vault that `node` knows, and a set of its guardians.
    fn vault(node: &TestNode, seed: u8) -> (DeviceLog, GuardianSet) {
        let phrase = Phrase::from_entropy([seed; 32]);
        let device = larder_protocol::keys::DeviceKeys::from_seeds([seed; 32], [seed; 32]);
        let label = Label { name: "laptop".to_owned(), site: "home".to_owned() };
        let recovery = phrase.recovery();
        let founding =
            Founding { device: &device, recovery: &recovery, label: &label, time: Timestamp(1) };
        let mut rng = ChaCha20Rng::from_seed([seed; 32]);
        let log = DeviceLog::found(&founding, &mut rng).unwrap().log;
        node.node.core.vaults.add(&log).unwrap();
        let epoch = EpochKey::new(1, [seed; 32]);
        let content = ContentKey::derive(&epoch);
        let receiving = epoch.receiving().public();
        let guardian = Guardian { vault: log.vault(), name: "anna".to_owned(), receiving };
        let parts = Appointment {
            vault: log.vault(),
            number: 5,
            time: Timestamp(1),
            phrase: &phrase,
            content: &content,
            threshold: 1,
            delay_s: 60,
            guardians: vec![guardian],
        };
        let (set, sealed) = GuardianSet::appoint(parts, &mut rng).unwrap();
        offer(node, &log, set.clone(), Some(sealed));
        (log, set)
    }

    fn offer(node: &TestNode, log: &DeviceLog, set: GuardianSet, sealed: Option<SealedPhrase>) {
        let taken = node
            .node
            .core
            .vaults
            .change_guard(log.vault(), |guard, _| (guard.offer(set, sealed), ()));
        taken.unwrap();
    }

    #[derive(Encode)]
    struct Signed(#[n(0)] ByteVec, #[n(1)] ByteArray<64>);

    // GUARD-16: whoever keeps a set knows its key, and can put it into a set of his own.
    #[tokio::test]
    async fn a_key_that_another_vault_claims_still_asks_for_its_own() {
        let node = TestNode::new("holder").await;
        let (victim, set) = vault(&node, 1);
        let key = set.appointed().unwrap().release;
        for seed in 2..12 {
            let (log, own) = vault(&node, seed);
            let mut appointed = own.appointed().unwrap().clone();
            appointed.release = key;
            let body = SetBody { number: 9, appointed: Some(appointed), ..own.body().clone() };
            let body = larder_protocol::cbor::encode(&body);
            let recovery = Phrase::from_entropy([seed; 32]).recovery();
            let signature = recovery.sign(sign::GUARDIANS, &body);
            let signed = larder_protocol::cbor::encode(&Signed(body.into(), signature.into()));
            let forged = GuardianSet::decode(&signed, &log.vault(), log.recovery()).unwrap();
            offer(&node, &log, forged, None);
            assert_eq!(node.node.core.vaults.guard_of(&log.vault()).unwrap().number(), 9);
        }
        let asker = asker(&node.node.core, key, victim.vault()).unwrap();
        assert_eq!(asker.permit(Action::AskRelease, victim.vault()), Ok(()));
        assert!(
            super::asker(
                &node.node.core,
                victim.devices().next().unwrap().public.id,
                victim.vault()
            )
            .is_none()
        );
    }
}
