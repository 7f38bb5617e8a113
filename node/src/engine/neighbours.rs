//! Finds the nodes of the circle that are in the same network: no addresses, no server.
//!
//! This device shows a beacon, and looks at those of others. Which of them are ours is decided in
//! `protocol::discovering`; whoever may be there is looked for there first, and called at once if it
//! was away. Who shows that he has the phrase of a vault that is known here is called as well.
//! Source: specs/discovery.md, specs/locating.md.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use larder_protocol::{
    discovering::{BeaconKey, Discovering, Input, NONCE_BYTES, Output, is_stale},
    ids::DeviceId,
    locating::Locator,
    watching,
};
use tokio::{sync::mpsc, time::interval};
use tracing::{debug, info, warn};

use super::{Core, EngineError, Member, clock::wall, on_disk};
use crate::{
    net::{LookEnd, Sighting},
    state::circle::PeerRow,
    vaults::Relation,
};

/// So often is looked whether the day of a beacon is over: clocks are set, and machines sleep.
const DAY_CHECK: Duration = Duration::from_secs(60);
/// Rest after somebody showed more than any home has, and after the system refused.
const REST: Duration = Duration::from_secs(60);
/// Sightings that wait to be looked at.
const SIGHTINGS: usize = 64;

/// How looking around goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Looking {
    /// The user does not want it, or there is no network but this machine's own.
    #[default]
    Off,
    /// This device shows itself, and has found so many others since it was started.
    On {
        /// Devices of the circle that were seen.
        found: usize,
    },
    /// Somebody makes up more devices than any home has.
    Crowded,
    /// The system does not allow it.
    Refused,
}

/// What is told of it: the state, and that the beacon key is another one now.
#[derive(Debug, Default)]
pub(crate) struct Neighbours {
    looking: Mutex<Looking>,
    key_changed: tokio::sync::Notify,
}

impl Neighbours {
    pub(crate) fn looking(&self) -> Looking {
        *self.looking.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Somebody was removed: what it was told must not show it this device any more.
    pub(crate) fn change_key(&self) {
        self.key_changed.notify_one();
    }

    fn set(&self, looking: Looking) {
        *self.looking.lock().unwrap_or_else(PoisonError::into_inner) = looking;
    }
}

/// By which others recognise this device; nothing for one that does not show itself.
fn own_key(core: &Core) -> Option<BeaconKey> {
    let member = core.member().ok().filter(|_| core.shows_itself)?;
    Some(BeaconKey::derive(&core.keys, member.keyring().newest_number()))
}

/// The same, as far as `peer` may know it: the devices of vaults that are known here. Not a stranger, not
/// who was removed, and not whoever has no more than the phrase.
pub(crate) fn key_for(core: &Core, peer: &DeviceId) -> Option<BeaconKey> {
    let is_device = matches!(core.vaults.relation(peer), Some((_, Relation::Device)));
    own_key(core).filter(|_| is_device)
}

/// Remembers by what a peer is recognised.
pub(crate) async fn learn_key(core: &Arc<Core>, device: DeviceId, key: Option<BeaconKey>) {
    let Some(key) = key else { return };
    let core = Arc::clone(core);
    let learnt = |peer| PeerRow { beacon_key: Some(key), ..peer };
    let learnt = on_disk(move || core.state.change_peer(&device, |known| known.map(learnt))).await;
    if let Err(error) = learnt {
        warn!("how {} shows itself could not be kept: {error}", device.short());
    }
}

/// Looks around until the node closes.
pub(super) fn start(core: &Arc<Core>, member: &Arc<Member>) {
    let (core, member) = (Arc::clone(core), Arc::clone(member));
    tokio::spawn(async move {
        let closing = core.closing.clone();
        let _closed = closing.run_until_cancelled(look_around(&core, &member)).await;
    });
}

async fn look_around(core: &Arc<Core>, member: &Member) {
    let mut machine = Discovering::new();
    let mut found = BTreeSet::new();
    loop {
        let rest = match round(core, member, &mut machine, &mut found).await {
            Ok(Some(LookEnd::Moved) | None) => continue,
            Ok(Some(LookEnd::Crowded)) => {
                warn!("more devices show themselves on this network than any home has");
                Looking::Crowded
            }
            Ok(Some(LookEnd::Failed(error))) => {
                info!("no discovery on the local network: {error}");
                Looking::Refused
            }
            Err(error) => {
                warn!("no discovery on the local network: {error}");
                Looking::Refused
            }
        };
        core.neighbours.set(rest);
        tokio::time::sleep(REST).await;
    }
}

/// One beacon's time. `None` when another is due.
async fn round(
    core: &Arc<Core>,
    member: &Member,
    machine: &mut Discovering,
    found: &mut BTreeSet<DeviceId>,
) -> Result<Option<LookEnd>, EngineError> {
    let mut nonce = [0; NONCE_BYTES];
    getrandom::fill(&mut nonce).map_err(|_| EngineError::Randomness)?;
    let key = own_key(core).ok_or(EngineError::NoVault)?;
    let (sightings, mut seen) = mpsc::channel(SIGHTINGS);
    let made = wall();
    let looking = core.net.look_around(key.beacon(nonce, made), sightings);
    let (mut looking, mut day_check) = (std::pin::pin!(looking), interval(DAY_CHECK));
    let tell = |found: usize| {
        let is_alone = core.net.lan_addresses().is_empty();
        core.neighbours.set(if is_alone { Looking::Off } else { Looking::On { found } });
    };
    tell(found.len());
    loop {
        tokio::select! {
            end = &mut looking => return Ok(Some(end)),
            _ = day_check.tick() => if is_stale(made, wall()) {
                return Ok(None);
            },
            () = core.neighbours.key_changed.notified() => return Ok(None),
            Some(sighting) = seen.recv() => {
                let Some(new) = take(core, member, machine, sighting).await? else {
                    return Ok(Some(LookEnd::Crowded));
                };
                found.extend(new);
                tell(found.len());
            }
        }
    }
}

/// Has the machine look at a sighting, and does what it says. Returns who was found; `None` when it is
/// time to look away.
async fn take(
    core: &Arc<Core>,
    member: &Member,
    machine: &mut Discovering,
    Sighting { beacon, address }: Sighting,
) -> Result<Option<Vec<DeviceId>>, EngineError> {
    let reading = Arc::clone(core);
    let peers = on_disk(move || reading.state.peers()).await?;
    let keys = peers.into_iter().filter_map(|peer| Some((peer.device, peer.beacon_key?)));
    let own = core.net.lan_addresses().iter().map(SocketAddr::ip).collect();
    let known = Input::PeersKnown { keys: keys.collect() };
    let vaults = Input::VaultsKnown { seekers: seekers(core) };
    for input in [known, vaults, Input::Placed { own }, Input::Seen { beacon, address }] {
        machine.handle_input(core.clock.now(), wall(), input);
    }
    let mut found = Vec::new();
    while let Some(output) = machine.poll_output() {
        match output {
            Output::Try { device, address } => {
                debug!("{} shows itself at {address}", device.short());
                core.net.hint_address(device, address);
                if let Ok(custody) = member.custody() {
                    custody.expect(watching::Input::Sighted { holder: device }).await;
                }
                found.push(device);
            }
            Output::Answer { seeker, address } => answer(core, seeker, address),
            Output::Rest => return Ok(None),
        }
    }
    Ok(Some(found))
}

/// Of each vault that is known here: who is called, and by what he is recognised, when he has its phrase
/// and looks for its holders.
fn seekers(core: &Core) -> BTreeMap<DeviceId, BeaconKey> {
    let vaults = core.vaults.read();
    let phrases = vaults.values().map(|known| known.log().recovery());
    phrases.map(|phrase| (phrase.access_id(), Locator::of(phrase).seek_key())).collect()
}

/// Calls whoever has the phrase of a vault that is held here.
fn answer(core: &Arc<Core>, seeker: DeviceId, address: SocketAddr) {
    info!("somebody at {address} looks for the holders of a vault that is known here");
    core.net.hint_address(seeker, address);
    let core = Arc::clone(core);
    tokio::spawn(async move {
        if let Err(error) = core.net.peer(seeker).answer_seeker().await {
            debug!("whoever looks for a vault at {address} could not be called: {error}");
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        command::Wait,
        engine::testing::{TestNode, pair},
    };

    fn told(node: &TestNode, of: &TestNode) -> Option<BeaconKey> {
        let peer = node.node.core.state.peer(&of.node.core.keys.id()).unwrap();
        peer.and_then(|peer| peer.beacon_key)
    }

    // DISC-8
    #[tokio::test(flavor = "multi_thread")]
    async fn those_who_are_paired_tell_each_other_how_they_show_themselves() {
        let (source, keeper) = (TestNode::new("source").await, TestNode::holder("keeper").await);
        pair(&source, &keeper).await;
        source.backup(&source.folder("docs"), Wait::Safe).await;
        assert_eq!(told(&source, &keeper), own_key(&keeper.node.core));
        assert_eq!(told(&keeper, &source), own_key(&source.node.core));
        assert!(told(&keeper, &source).is_some());
        assert_eq!(source.node.core.neighbours.looking(), Looking::Off, "on loopback alone");

        let core = &source.node.core;
        assert_eq!(key_for(core, &keeper.node.core.keys.id()), own_key(core));
        let log = core.log_of(&core.member().unwrap().vault).unwrap();
        let with_phrase = log.recovery().access_id();
        for other in [with_phrase, DeviceId::from_bytes([9; 32])] {
            assert_eq!(key_for(core, &other), None, "neither the phrase nor a stranger is told");
        }
    }
}
