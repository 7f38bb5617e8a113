//! The nodes that this one knows, and how they stand.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use larder_protocol::{
    ids::DeviceId,
    placing::{Condition, HolderStatus, Status},
    time::Timestamp,
    watching::{self, History, Presence},
};
use tokio::{task::JoinSet, time::timeout};

use super::super::{Blamed, Core, EngineError, clock::wall, contact, expect};
use crate::{
    command::{Failure, Outcome, Peer, PeerPath, PeerState, PeersOutcome, Time},
    net,
    state::circle::PeerRow,
};

/// How long peers that are not connected may take to answer.
const ASK_TIMEOUT: Duration = Duration::from_secs(3);
/// An answer so long ago still counts as being there.
const LATELY_S: u64 = 60;

/// Lists peers, ascending by name.
pub(crate) async fn peers(core: &Arc<Core>) -> Result<Outcome, Failure> {
    let status = placing_status(core).await?;
    let asked = ask_absent(core, status.as_ref()).await?;
    meet(core, status.as_ref(), ASK_TIMEOUT).await;
    let own_vault = core.member().ok().map(|member| member.vault);
    let blames = core.blames();
    let proofs = core.state.proofs().map_err(EngineError::from)?;
    let histories = histories(core).await?;
    let proven = |device: &DeviceId| proofs.get(device);
    let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
    let mut peers = Vec::new();
    for peer in core.state.peers().map_err(EngineError::from)? {
        let holder = status.as_ref().and_then(|status| status.holders.get(&peer.device));
        let presence = histories.get(&peer.device).map(History::presence);
        let asked = asked.get(&peer.device);
        let view = View { holder, presence, asked, blames: &blames, now: wall() };
        let is_own = own_vault == Some(peer.vault);
        peers.push(Peer {
            device: peer.device.to_string(),
            name: peer.name.clone(),
            vault: peer.vault.to_string(),
            own: is_own,
            site: peer.site.clone(),
            state: view.state(&peer),
            last_seen: met(&peer).map(Time::from),
            attendance: histories.get(&peer.device).map(expect::attendance),
            granted_bytes: met(&peer).map(|_| peer.granted_bytes),
            holds_bytes: holder.map_or(0, |holder| holder.kept_bytes),
            holds_shards: holder.map_or(0, |holder| holder.kept_packs),
            proven_shards: proven(&peer.device).map_or(0, |it| count(it.len())),
            last_proof: proven(&peer.device)
                .and_then(|it| it.values().max().copied().map(Time::from)),
            unclaimed_bytes: peer.unclaimed_bytes,
            kept_bytes: core.holding.kept_bytes(peer.vault),
            path: core.net.path(&peer.device).map(path),
            addresses: peer.addresses.clone(),
        });
    }
    peers.sort_by(|a, b| (&a.name, &a.device).cmp(&(&b.name, &b.device)));
    Ok(Outcome::Peers(PeersOutcome { peers }))
}

const fn path(path: net::Path) -> PeerPath {
    match path {
        net::Path::Direct => PeerPath::Direct,
        net::Path::Relayed => PeerPath::Relayed,
    }
}

/// With relays there is more than one path: whoever is known to be there is greeted, so that it shows
/// which one is taken. An idle node has no connection that would tell.
async fn meet(core: &Arc<Core>, status: Option<&Status>, limit: Duration) {
    let Some(status) = status.filter(|_| !core.relays.is_empty()) else { return };
    let mut meeting = JoinSet::new();
    let connected = status.holders.iter().filter(|(_, holder)| holder.connected);
    for device in connected.map(|(device, _)| *device) {
        if core.net.path(&device).is_none() {
            let core = Arc::clone(core);
            // Whoever does not answer is noticed by those whose task it is.
            meeting
                .spawn(async move { timeout(limit, contact::hello(&core, device)).await.is_ok() });
        }
    }
    meeting.join_all().await;
}

/// What placing knows; nothing in a home without a vault.
pub(super) async fn placing_status(core: &Core) -> Result<Option<Status>, EngineError> {
    match core.member() {
        Ok(member) => Ok(Some(member.custody()?.status().await.ok_or(EngineError::Stopped)?)),
        Err(EngineError::NoVault) => Ok(None),
        Err(error) => Err(error),
    }
}

/// What was learnt of every holder; nothing in a home without a vault.
pub(super) async fn histories(core: &Core) -> Result<BTreeMap<DeviceId, History>, EngineError> {
    match core.member() {
        Ok(member) => member.custody()?.histories().await.ok_or(EngineError::Stopped),
        Err(EngineError::NoVault) => Ok(BTreeMap::new()),
        Err(error) => Err(error),
    }
}

fn met(peer: &PeerRow) -> Option<Timestamp> {
    (peer.last_seen > 0).then_some(Timestamp(peer.last_seen))
}

/// How one peer answered just now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answered {
    Yes,
    /// It is there and does not know us.
    Refused,
    No,
}

/// Asks every peer that placing is not connected with, all at once.
pub(super) async fn ask_absent(
    core: &Arc<Core>,
    status: Option<&Status>,
) -> Result<BTreeMap<DeviceId, Answered>, EngineError> {
    let is_met = |device: &DeviceId| {
        status.and_then(|status| status.holders.get(device)).is_some_and(|one| one.connected)
    };
    let peers = core.state.peers()?.into_iter().map(|peer| peer.device);
    Ok(ask(core, peers.filter(|device| !is_met(device)), ASK_TIMEOUT)
        .await
        .into_iter()
        .map(|(device, (answered, _))| (device, answered))
        .collect())
}

/// Greets peers, all at once; tells how each answered and how long its answer took.
pub(super) async fn ask(
    core: &Arc<Core>,
    devices: impl Iterator<Item = DeviceId>,
    limit: Duration,
) -> BTreeMap<DeviceId, (Answered, Duration)> {
    let mut asking = JoinSet::new();
    for device in devices {
        let core = Arc::clone(core);
        asking.spawn(async move {
            let begun = std::time::Instant::now();
            let answered = match timeout(limit, contact::hello(&core, device)).await {
                Ok(Ok(standing)) => {
                    if let Err(error) = contact::note_met(&core, device, standing.as_ref()) {
                        tracing::warn!("{error}");
                    }
                    // What was learnt of it is told as well, so that everybody says the same.
                    if let Ok(member) = core.member()
                        && let Ok(custody) = member.custody()
                    {
                        custody.expect(watching::Input::Heard { holder: device }).await;
                    }
                    Answered::Yes
                }
                Ok(Err(error)) if error.is_refusal() => Answered::Refused,
                Ok(Err(_)) | Err(_) => Answered::No,
            };
            (device, (answered, begun.elapsed()))
        });
    }
    let mut answers = BTreeMap::new();
    while let Some(answer) = asking.join_next().await {
        answers.extend(answer.ok());
    }
    answers
}

/// What is known of one peer beside its row.
pub(super) struct View<'a> {
    pub(super) holder: Option<&'a HolderStatus>,
    pub(super) presence: Option<Presence>,
    pub(super) asked: Option<&'a Answered>,
    pub(super) blames: &'a [Blamed],
    pub(super) now: Timestamp,
}

impl View<'_> {
    /// Whether it did not answer when it was called last.
    fn is_missed(&self) -> bool {
        let away = [Presence::Away, Presence::Suspect, Presence::Lost];
        self.presence.is_some_and(|presence| away.contains(&presence))
    }

    /// Four states that are never mixed up: only proof makes a peer failed.
    pub(super) fn state(&self, peer: &PeerRow) -> PeerState {
        let condition = self.holder.map(|holder| holder.condition);
        let is_blamed = self.blames.iter().any(|blamed| blamed.device == peer.device);
        let lately = self.now.0.saturating_sub(peer.last_seen) <= LATELY_S && peer.last_seen > 0;
        if is_blamed || condition == Some(Condition::Distrusted) {
            PeerState::Failed
        } else if self.asked == Some(&Answered::Refused) {
            PeerState::Refusing
        } else if self.asked == Some(&Answered::Yes) {
            PeerState::Online
        } else if self.asked == Some(&Answered::No) || self.is_missed() {
            PeerState::Offline
        } else if self.holder.is_some_and(|holder| holder.connected) {
            PeerState::Online
        } else if self.presence != Some(Presence::Here)
            && self.holder.is_some_and(|holder| holder.failures > 0)
        {
            PeerState::Offline
        } else if lately {
            PeerState::Online
        } else {
            PeerState::Unknown
        }
    }
}

#[cfg(test)]
mod tests {
    use larder_protocol::{
        ids::VaultId,
        placing::{Acquaintance, Site},
    };

    use super::*;

    fn peer(last_seen: u64) -> PeerRow {
        PeerRow {
            device: DeviceId::from_bytes([1; 32]),
            vault: VaultId::from_bytes([2; 32]),
            name: "nas".into(),
            site: "office".into(),
            addresses: Vec::new(),
            last_seen,
            granted_bytes: 0,
            used_bytes: 0,
            unclaimed_bytes: 0,
            beacon_key: None,
            receiving: None,
            is_holder: true,
            acquaintance: Acquaintance::Named,
        }
    }

    fn holder(connected: bool, condition: Condition, failures: u32) -> HolderStatus {
        HolderStatus {
            site: Site("office".into()),
            connected,
            condition,
            acquaintance: Acquaintance::Granted,
            presumed_lost: false,
            is_leaving: false,
            kept_packs: 0,
            kept_bytes: 0,
            pending_packs: 0,
            lost_packs: 0,
            uploads: 0,
            failures,
        }
    }

    fn state(holder: Option<&HolderStatus>, asked: Option<&Answered>, seen: u64) -> PeerState {
        let view = View { holder, presence: None, asked, blames: &[], now: Timestamp(1000) };
        view.state(&peer(seen))
    }

    #[test]
    fn silence_is_not_failure_and_not_being_asked_is_not_silence() {
        let away = holder(false, Condition::Away, 0);
        assert_eq!(state(Some(&away), None, 0), PeerState::Unknown);
        assert_eq!(state(Some(&away), None, 100), PeerState::Unknown);
        assert_eq!(state(Some(&away), None, 950), PeerState::Online);
        assert_eq!(state(Some(&away), Some(&Answered::No), 0), PeerState::Offline);
        assert_eq!(state(Some(&holder(false, Condition::Away, 2)), None, 100), PeerState::Offline);
        assert_eq!(state(None, None, 0), PeerState::Unknown);
        assert_eq!(state(None, Some(&Answered::Yes), 0), PeerState::Online);
        assert_eq!(state(None, Some(&Answered::Refused), 0), PeerState::Refusing);
        let up = |condition| holder(true, condition, 0);
        assert_eq!(state(Some(&up(Condition::Fine)), None, 0), PeerState::Online);
        assert_eq!(state(Some(&up(Condition::Full)), None, 0), PeerState::Online);
        // It is a device that grants nothing, not one that does not know us.
        assert_eq!(state(Some(&up(Condition::Forbidden)), None, 0), PeerState::Online);
        assert_eq!(state(Some(&up(Condition::Distrusted)), None, 0), PeerState::Failed);
    }

    #[test]
    fn who_broke_its_word_has_failed_whatever_else_it_does() {
        let blamed = Blamed {
            device: DeviceId::from_bytes([1; 32]),
            what: "served wrong bytes".into(),
            root: None,
        };
        let up = holder(true, Condition::Fine, 0);
        let blames = [blamed];
        let (holder, presence) = (Some(&up), None);
        let view = View { holder, presence, asked: None, blames: &blames, now: Timestamp(0) };
        assert_eq!(view.state(&peer(0)), PeerState::Failed);
    }
}
