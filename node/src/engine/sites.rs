//! Where devices stand: tells others where this one does, and takes over what they say of themselves.
//!
//! Copies count by distinct sites, so a device that moved, or was named wrongly, is to be known by its new
//! site to all who place with it. What a site is worth is decided in `larder_protocol::placing`.

use std::sync::Arc;

use larder_protocol::{
    ids::DeviceId,
    log::site::{SITE_RANDOM_BYTES, generated_site},
    placing::{self, Input},
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

/// Where this device stands, as far as `peer` may know it: the devices of vaults that are known here.
pub(super) fn told_to(core: &Core, peer: &DeviceId) -> Option<String> {
    let is_device = matches!(core.vaults.relation(peer), Some((_, Relation::Device)));
    is_device.then(|| core.own_site())
}

/// Where this device stood when it was taken in.
pub(super) fn at_first(core: &Core) -> Option<String> {
    let member = core.member().ok()?;
    let vaults = core.vaults.read();
    let label = vaults.get(&member.vault)?.log().label(&core.keys.id(), member.keyring().all());
    label.map(|label| label.site)
}

/// Takes over where a device stands that calls.
pub(super) async fn called(core: &Arc<Core>, device: DeviceId, site: Option<String>) {
    let Some(site) = site else { return };
    let is_news = core.state.peer(&device).is_ok_and(|peer| peer.is_some_and(|it| it.site != site));
    if is_news && core.may_move(device) {
        answered(core, device, Some(site)).await;
    }
}

/// Takes over where a device stands that answered.
pub(super) async fn answered(core: &Arc<Core>, device: DeviceId, site: Option<String>) {
    let Some(site) = site else { return };
    let keeping = Arc::clone(core);
    let moved = on_disk(move || {
        let mut moved = None;
        keeping.state.change_peer(&device, |known| {
            let peer = known.filter(|peer| peer.site != site)?;
            moved = Some(PeerRow { site, ..peer });
            moved.clone()
        })?;
        Ok::<_, EngineError>(moved)
    });
    match moved.await {
        Ok(Some(peer)) => {
            info!("{} stands at another site now", device.short());
            tell(core, &peer).await;
        }
        Ok(None) => {}
        Err(error) => warn!("where {} stands could not be kept: {error}", device.short()),
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
