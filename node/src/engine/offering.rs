//! What this device keeps for others: for all together, and for each vault.
//!
//! How much is taken is decided in `protocol::holding`; what is kept is never let go of because less is
//! offered. Source: specs/holding.md, "Room".

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use larder_protocol::{ids::VaultId, text::is_plain, time::Timestamp};
use tracing::{info, warn};

use super::{
    Core, EngineError,
    clock::wall,
    leaving, on_disk,
    settings::{OFFER, config_set},
    sync,
};
use crate::{
    command::{ByteSize, Failure, OfferOutcome, OfferedTo, Outcome, Time},
    depot::Origin,
    state::circle::GrantRow,
};

/// That a vault was heard of is noted so often.
const HEARD_NOTED_S: u64 = 3_600;

/// The `offer` command: sets, or shows, how much this device keeps for all others, or for one vault.
pub(crate) async fn offer(
    core: &Arc<Core>,
    bytes: Option<ByteSize>,
    to: Option<String>,
) -> Result<Outcome, Failure> {
    let only = match (&to, bytes) {
        (None, Some(size)) => {
            config_set(core, OFFER.to_owned(), Some(size.0.to_string())).await?;
            None
        }
        (Some(whom), size) => {
            let member = core.member()?;
            let vault = leaving::named(core, &member, whom)?;
            if let Some(size) = size {
                allow(core, vault, whom, size).await?;
                if core.serves {
                    // Who was refused for want of room hears that there may be some.
                    sync::meet_everybody(core, &member);
                }
            }
            Some(vault)
        }
        (None, None) => None,
    };
    let looking = Arc::clone(core);
    let (disk_free_bytes, vaults) = on_disk(move || {
        Ok::<_, EngineError>((looking.depot.free_bytes()?, offered_to(&looking, only)?))
    })
    .await?;
    Ok(Outcome::Offer(OfferOutcome {
        offered_bytes: core.config().offer_bytes(),
        kept_bytes: core.depot.totals().all(Origin::Held).bytes,
        disk_free_bytes,
        vaults,
    }))
}

async fn allow(
    core: &Arc<Core>,
    vault: VaultId,
    whom: &str,
    size: ByteSize,
) -> Result<(), Failure> {
    let allowing = Arc::clone(core);
    let grant = on_disk(move || {
        let allowed_bytes = Some(size.0);
        let change = |grant: GrantRow| GrantRow { allowed_bytes, ..grant };
        let grant = allowing.state.change_grant(&vault, |known| known.map(change))?;
        allowing.holding.set_terms(&allowing.state, allowing.config().offer_bytes())?;
        Ok::<_, EngineError>(grant)
    })
    .await?;
    if grant.is_none() {
        return Err(Failure::failed(format!("nothing is kept for {whom} any more: it was left"))
            .hint("invite it again with `larder invite`"));
    }
    info!("vault {} may keep {size}", vault.short());
    Ok(())
}

/// Whether a vault that is invited can be called so here.
///
/// # Errors
/// [`Failure`] where the name is none, or means somebody else already: it is by names that room is given.
pub(super) fn check_name(core: &Core, name: &str) -> Result<(), Failure> {
    if !is_plain(name) {
        return Err(Failure::usage("this cannot be what a vault is called")
            .hint("letters, digits and spaces do; control characters and long texts do not"));
    }
    let grants = core.state.grants().map_err(EngineError::from)?;
    let is_given = grants.iter().any(|grant| grant.name == name);
    if is_given || core.invitations.is_name_given(name, wall()) {
        return Err(Failure::failed(format!("somebody is called {name} here already"))
            .hint("choose another name"));
    }
    Ok(())
}

/// Of which vaults a device has called, as far as that was noted since the start.
#[derive(Debug, Default)]
pub(crate) struct Heard(Mutex<BTreeMap<VaultId, u64>>);

impl Heard {
    /// Whether it is time to note it again.
    fn is_due(&self, vault: VaultId, now: u64) -> bool {
        let mut noted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let last = noted.entry(vault).or_default();
        let is_due = now.abs_diff(*last) >= HEARD_NOTED_S;
        if is_due {
            *last = now;
        }
        is_due
    }
}

/// A device of a vault has called: noted once an hour, for whoever wonders who is still there.
pub(super) async fn heard(core: &Arc<Core>, vault: VaultId) {
    let now = wall().0;
    if !core.heard.is_due(vault, now) {
        return;
    }
    let noting = Arc::clone(core);
    let note = move || {
        let change = |grant: GrantRow| GrantRow { heard: now, ..grant };
        noting.state.change_grant(&vault, |known| known.map(change))
    };
    if let Err(error) = on_disk(note).await {
        warn!("that vault {} was heard of could not be noted: {error}", vault.short());
    }
}

/// The vaults that may keep something here, ascending by name; only this one, where one is meant.
fn offered_to(core: &Core, only: Option<VaultId>) -> Result<Vec<OfferedTo>, EngineError> {
    let own = core.member().ok().map(|member| member.vault);
    // Those that this device has called itself.
    let mut seen: BTreeMap<VaultId, u64> = BTreeMap::new();
    for peer in core.state.peers()? {
        let last = seen.entry(peer.vault).or_default();
        *last = peer.last_seen.max(*last);
    }
    let is_meant = |grant: &GrantRow| {
        Some(grant.vault) != own && only.is_none_or(|vault| vault == grant.vault)
    };
    let mut all: Vec<OfferedTo> = Vec::new();
    for grant in core.state.grants()?.into_iter().filter(is_meant) {
        let (kept_shards, kept_bytes) = core.holding.kept_for(grant.vault);
        let called = seen.get(&grant.vault).copied().unwrap_or_default();
        let last = Some(grant.heard.max(called)).filter(|seconds| *seconds > 0);
        all.push(OfferedTo {
            vault: grant.vault.to_string(),
            allowed_bytes: grant.allowed_bytes,
            leaving: grant.is_apart(),
            name: grant.name,
            kept_bytes,
            kept_shards,
            last_seen: last.map(|seconds| Time::from(Timestamp(seconds))),
        });
    }
    all.sort_by(|one, other| (&one.name, &one.vault).cmp(&(&other.name, &other.vault)));
    Ok(all)
}

#[cfg(test)]
mod tests;
