//! Where devices stand and what they are called: tells others of this one, and takes over what they say of
//! themselves.
//!
//! Copies count by distinct sites, so a device that moved, or was named wrongly, is to be known by its new
//! site to all who place with it. What a site is worth is decided in `larder_protocol::placing`.

use std::sync::Arc;

use larder_protocol::{
    ids::DeviceId,
    log::site::{SITE_RANDOM_BYTES, generated_site},
    placing::{self, Input},
    text::is_plain,
};
use tracing::{info, warn};

use super::{Core, EngineError, on_disk, sync};
use crate::{state::circle::PeerRow, vaults::Relation};

/// Of a holder of which it is not known yet: all of them count as one household until they say more.
pub(super) const NOT_KNOWN: &str = "not known yet";

/// A name for a household that nobody named.
pub(crate) fn generated() -> Result<String, EngineError> {
    let mut random = [0; SITE_RANDOM_BYTES];
    getrandom::fill(&mut random).map_err(|_| EngineError::Randomness)?;
    Ok(generated_site(random))
}

/// What a device tells of itself in a greeting.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Card {
    /// Where it stands.
    pub(super) site: Option<String>,
    /// What it is called.
    pub(super) name: Option<String>,
}

/// What `peer` may know of this device: the devices of vaults that are known here are told, others are not.
pub(super) fn told_to(core: &Core, peer: &DeviceId) -> Card {
    match core.vaults.relation(peer) {
        Some((_, Relation::Device)) => Card {
            site: Some(core.own_site()),
            // The host's name may be anything.
            name: Some(core.own_name()).filter(|name| is_plain(name)),
        },
        Some((_, Relation::Recovery | Relation::Guardians)) | None => Card::default(),
    }
}

/// What is to be kept of a peer that has told this of itself; nothing where it is no news.
fn with_card(core: &Core, peer: PeerRow, card: &Card) -> Option<PeerRow> {
    let site = card.site.clone().unwrap_or_else(|| peer.site.clone());
    // What the own vault's devices are called is in its log.
    let is_ours = core.member().is_ok_and(|member| member.vault == peer.vault);
    let said = card.name.clone().filter(|name| !is_ours && !is_taken(core, &peer, name));
    let name = said.unwrap_or_else(|| peer.name.clone());
    let is_news = site != peer.site || name != peer.name;
    is_news.then_some(PeerRow { site, name, ..peer })
}

/// Whether another device is called so that is known here: nobody gives himself the name by which a person means
/// somebody else.
fn is_taken(core: &Core, of: &PeerRow, name: &str) -> bool {
    let peers = core.state.peers().unwrap_or_default();
    let is_other = |peer: &PeerRow| peer.device != of.device && peer.name == name;
    name == core.own_name() || peers.iter().any(is_other)
}

/// Where this device stood when it was taken in.
pub(super) fn at_first(core: &Core) -> Option<String> {
    let member = core.member().ok()?;
    let vaults = core.vaults.read();
    let label = vaults.get(&member.vault)?.log().label(&core.keys.id(), member.keyring().all());
    label.map(|label| label.site)
}

/// Takes over what a device says of itself that calls.
pub(super) async fn called(core: &Arc<Core>, device: DeviceId, card: Card) {
    let known = core.state.peer(&device).ok().flatten();
    let is_news = known.is_some_and(|peer| with_card(core, peer, &card).is_some());
    if is_news && core.may_move(device) {
        answered(core, device, card).await;
    }
}

/// Takes over what a device says of itself that answered.
pub(super) async fn answered(core: &Arc<Core>, device: DeviceId, card: Card) {
    let keeping = Arc::clone(core);
    let moved = on_disk(move || {
        let mut moved = None;
        keeping.state.change_peer(&device, |known| {
            let known = known?;
            let before = known.site.clone();
            let peer = with_card(&keeping, known, &card)?;
            moved = (peer.site != before).then(|| peer.clone());
            Some(peer)
        })?;
        Ok::<_, EngineError>(moved)
    });
    match moved.await {
        Ok(Some(peer)) => {
            info!("{} stands at another site now", device.short());
            tell(core, &peer).await;
        }
        Ok(None) => {}
        Err(error) => warn!("what {} says of itself could not be kept: {error}", device.short()),
    }
}

/// This device stands elsewhere now: whose silence means what depends on it, and others are told.
pub(super) async fn moved(core: &Arc<Core>) -> Result<(), EngineError> {
    let Ok(member) = core.member() else { return Ok(()) };
    for peer in core.state.peers()? {
        tell(core, &peer).await;
    }
    if core.serves {
        sync::meet_everybody(core, &member);
    }
    Ok(())
}

async fn tell(core: &Core, peer: &PeerRow) {
    if let Ok(member) = core.member()
        && let Ok(custody) = member.custody()
        && peer.is_holder
    {
        let (holder, site) = (peer.device, placing::Site(peer.site.clone()));
        let acquaintance = peer.acquaintance();
        custody.tell(Input::HolderKnown { holder, site, acquaintance }).await;
    }
}

#[cfg(test)]
mod tests;
