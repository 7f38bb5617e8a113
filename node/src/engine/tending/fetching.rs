//! Fetches a pack for a vault that is tended, and keeps it like one that was uploaded.

use std::{collections::BTreeSet, sync::Arc};

use larder_protocol::{
    holding::Caller,
    ids::{ShardRoot, VaultId},
    tending::{Fetched, Wanted},
    wire::message::Refusal,
};
use tracing::{debug, info, warn};

use crate::engine::{Core, EngineError, Member, fetcher::Want, on_disk, serve};

/// After what somebody waits for, and after this device's own repairs.
const PRIORITY: u8 = 3;

/// What a vault needs, and what of it is here.
pub(super) async fn look(
    core: &Arc<Core>,
    vault: VaultId,
) -> (BTreeSet<ShardRoot>, BTreeSet<ShardRoot>) {
    let reading = Arc::clone(core);
    let claimed = on_disk(move || reading.vaults.claimed(&vault)).await.unwrap_or_else(|error| {
        warn!("what vault {} needs cannot be read: {error}", vault.short());
        BTreeSet::new()
    });
    let here = claimed.iter().filter(|root| core.holding.keeps(vault, **root)).copied().collect();
    (claimed, here)
}

/// Fetches; durable here when it returns that it is kept.
pub(super) async fn fetch(
    core: &Arc<Core>,
    member: &Member,
    vault: VaultId,
    wanted: Wanted,
) -> Fetched {
    let shard = wanted.shard;
    let caller = Caller::Tender { node: core.keys.id(), vault };
    let reservation = match serve::reserve(core, caller, vault, (shard, wanted.class)) {
        Ok(reservation) => reservation,
        Err(serve::NotReserved::Kept(_)) => return Fetched::Kept,
        Err(serve::NotReserved::Refused(reason)) => {
            info!("{} of vault {} is not taken: {reason}", shard.root.short(), vault.short());
            let is_full = matches!(reason, Refusal::Quota | Refusal::Full);
            return if is_full { Fetched::NoRoom } else { Fetched::Failed };
        }
    };
    let fetched = async {
        let ranges = std::iter::once(0..shard.bytes).collect();
        let want = Want { shard, ranges, priority: PRIORITY, from: wanted.from };
        let partial = member.fetcher.fetch(want).await?;
        let (adopting, tenure) = (Arc::clone(core), reservation.tenure);
        on_disk(move || Ok::<_, EngineError>(adopting.depot.adopt(&partial, tenure)?)).await
    };
    match fetched.await {
        Ok(()) if serve::stored(core, &reservation).is_ok() => {
            info!("shard {} is kept for vault {} as well", shard.root.short(), vault.short());
            Fetched::Kept
        }
        Ok(()) => Fetched::Failed,
        Err(error) => {
            serve::aborted(core, &reservation);
            debug!("{} was not fetched for vault {}: {error}", shard.root.short(), vault.short());
            Fetched::Failed
        }
    }
}
