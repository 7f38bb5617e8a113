//! Fetches a pack for a vault that is tended, and keeps it like one that was uploaded.

use std::{collections::BTreeSet, fs, path::PathBuf, sync::Arc, time::Duration};

use larder_protocol::{
    holding::Caller,
    ids::{ShardRoot, VaultId},
    limits::TEND_FETCH_MS_MAX,
    pacing::Side,
    tending::{Fetched, Wanted},
    wire::message::Refusal,
};
use tokio::time::timeout;
use tracing::{debug, info, warn};

use crate::{
    depot::PartialShard,
    engine::{
        Core, EngineError,
        fetcher::{Fetcher, Want},
        on_disk, serve,
    },
};

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

/// Removes what is left of fetches that were cut off.
pub(super) fn clear(core: &Core) {
    let _nothing_there = fs::remove_dir_all(directory_of(core));
}

fn directory_of(core: &Core) -> PathBuf {
    core.home.fetch_directory().join("tended")
}

/// Fetches; durable here when it returns that it is kept.
pub(in crate::engine) async fn fetch(core: &Arc<Core>, vault: VaultId, wanted: Wanted) -> Fetched {
    let shard = wanted.shard;
    // Whoever has it may be far, and can wait.
    if !core.meter.line().carries_packs(Side::Beyond) {
        return Fetched::Failed;
    }
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
        let want = Want { shard, ranges, priority: 0, from: wanted.from };
        // One of its own: whom it learns to distrust, for a length that somebody else made up, say, is not
        // distrusted by the restores of this device.
        let fetcher = Fetcher::start(core, directory_of(core));
        let within = Duration::from_millis(TEND_FETCH_MS_MAX);
        let partial =
            timeout(within, fetcher.fetch(want)).await.map_err(|_| EngineError::Busy)??;
        let (adopting, tenure) = (Arc::clone(core), reservation.tenure);
        on_disk(move || Ok::<_, EngineError>(adopting.depot.adopt(&partial, tenure)?)).await
    };
    let fetched = fetched.await;
    // What came of one that failed takes no room that nobody has granted.
    let directory = directory_of(core);
    let discarded = on_disk(move || PartialShard::discard(&directory, &shard.root)).await;
    if let Err(error) = discarded {
        debug!("{}: {error}", shard.root.short());
    }
    match fetched {
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
