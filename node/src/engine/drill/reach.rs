//! Who could be reached for a drill. Everybody is asked once, at its beginning: a holder that is away
//! then costs the drill seconds, and not a minute for each file.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use larder_protocol::{
    drilling::{Circumstances, Lack},
    ids::{DeviceId, ShardRoot, VaultId},
};
use tokio::{runtime::Handle, task::JoinSet, time::timeout};

use crate::{
    command::DrillFailure,
    depot::ShardState,
    engine::{Core, EngineError, contact},
};

/// How long a holder may take to say that it is there.
const HELLO_MAX: Duration = Duration::from_secs(15);

/// What is known of those who might have the bytes.
#[derive(Debug, Clone)]
pub(super) struct Reached {
    names: BTreeMap<DeviceId, String>,
    away: BTreeSet<DeviceId>,
    runtime: Handle,
    /// Shards that nobody gave, and why.
    lacking: BTreeMap<ShardRoot, (DrillFailure, String)>,
}

impl Reached {
    /// Asks everybody at once.
    pub(super) async fn ask(core: &Arc<Core>) -> Result<Self, EngineError> {
        let peers = core.state.peers()?.into_iter();
        let names: BTreeMap<DeviceId, String> =
            peers.map(|peer| (peer.device, peer.name)).collect();
        let away = silent(core, names.keys().copied().collect()).await;
        Ok(Self { names, away, runtime: Handle::current(), lacking: BTreeMap::new() })
    }

    pub(super) fn name(&self, device: &DeviceId) -> String {
        self.names.get(device).cloned().unwrap_or_else(|| device.short())
    }

    /// Why asking for a shard is in vain, where that is known.
    pub(super) fn is_in_vain(
        &mut self,
        core: &Core,
        root: &ShardRoot,
    ) -> Result<bool, EngineError> {
        if self.lacking.contains_key(root) {
            return Ok(true);
        }
        let (suspects, _) = self.suspects(core, root)?;
        Ok(!suspects.is_empty() && suspects.is_subset(&self.away))
    }

    /// What it means that no holder gave a shard.
    pub(super) fn lack(
        &mut self,
        core: &Arc<Core>,
        vault: &VaultId,
        root: &ShardRoot,
    ) -> Result<(DrillFailure, String), EngineError> {
        if let Some(known) = self.lacking.get(root) {
            return Ok(known.clone());
        }
        let (suspects, is_signed_for) = self.suspects(core, root)?;
        // Who went away since has lost nothing.
        let there = suspects.difference(&self.away).copied().collect();
        self.away.extend(self.runtime.block_on(silent(core, there)));
        let away: Vec<String> =
            suspects.intersection(&self.away).map(|device| self.name(device)).collect();
        let row = core.depot.row(root, vault)?;
        let lack = Lack::of(Circumstances {
            is_signed_for,
            is_anybody_away: !away.is_empty(),
            is_here: row.is_some_and(|row| row.state == ShardState::Ok),
        });
        let shard = root.short();
        let told = match lack {
            Lack::Lost => (DrillFailure::Lost, format!("no holder can give shard {shard}")),
            Lack::Away => {
                let away = away.join(", ");
                (DrillFailure::Away, format!("shard {shard}: could not reach {away}"))
            }
            Lack::OnlyHere => {
                (DrillFailure::OnlyHere, format!("shard {shard} is only on this device so far"))
            }
        };
        self.lacking.insert(*root, told.clone());
        Ok(told)
    }

    /// Who has signed for a shard, or everybody where nobody has; and whether anybody has.
    fn suspects(
        &self,
        core: &Core,
        root: &ShardRoot,
    ) -> Result<(BTreeSet<DeviceId>, bool), EngineError> {
        let receipts = core.state.receipts_for(root)?;
        let signed: BTreeSet<DeviceId> =
            receipts.iter().map(|receipt| receipt.body.holder).collect();
        Ok(match signed.is_empty() {
            true => (self.names.keys().copied().collect(), false),
            false => (signed, true),
        })
    }
}

/// Who of these says nothing.
async fn silent(core: &Arc<Core>, devices: BTreeSet<DeviceId>) -> BTreeSet<DeviceId> {
    let mut asked = JoinSet::new();
    for device in devices.iter().copied() {
        let core = Arc::clone(core);
        asked.spawn(async move {
            let answer = timeout(HELLO_MAX, contact::hello(&core, device)).await;
            (device, matches!(answer, Ok(Ok(_))))
        });
    }
    let mut silent = devices;
    while let Some(answered) = asked.join_next().await {
        if let Ok((device, true)) = answered {
            silent.remove(&device);
        }
    }
    silent
}
