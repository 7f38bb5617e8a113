//! Devices that got the vault's keys while they were being taken in, and of which no log knows yet.
//!
//! ```text
//! noted ──▶ draft with all keys is sent ──▶ entry durable: struck out
//!                       │
//!                       └─▶ cut off: the note stays, and an epoch is due before anything is sealed
//! ```
//! Nobody could remove such a device, since no log names it. Source: specs/pairing.md, PAIR-23.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
};

use larder_protocol::{ids::DeviceId, log::DeviceLog};
use tracing::warn;

use super::{Core, EngineError, on_disk, roster};

/// Note in `state.redb`: ids of such devices, one after the other.
const NOTE: &str = "exposed";

/// Those with whom a pairing goes on: what becomes of them is not known yet.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    devices: Mutex<BTreeSet<DeviceId>>,
    /// Held while the note is read and written.
    noting: Mutex<()>,
}

impl Pending {
    fn with<T>(&self, act: impl FnOnce(&mut BTreeSet<DeviceId>) -> T) -> T {
        act(&mut self.devices.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A pairing in which somebody may get the keys; over when this is dropped, however it ended.
pub(super) struct Exposure<'a> {
    core: &'a Arc<Core>,
    device: DeviceId,
}

impl<'a> Exposure<'a> {
    pub(super) const fn of(core: &'a Arc<Core>, device: DeviceId) -> Self {
        Self { core, device }
    }

    /// Sees to it at once that its keys are used no more, unless it is in the log now.
    pub(super) async fn end(self) {
        let core = self.core;
        if core.exposed.with(|pending| pending.remove(&self.device)) {
            settle(core).await;
        }
    }
}

impl Drop for Exposure<'_> {
    fn drop(&mut self) {
        self.core.exposed.with(|pending| pending.remove(&self.device));
    }
}

/// Before a device gets the keys.
pub(super) async fn begin(core: &Arc<Core>, device: DeviceId) -> Result<(), EngineError> {
    core.exposed.with(|pending| pending.insert(device));
    change(core, move |noted| _ = noted.insert(device)).await
}

/// A pairing has ended after its device got keys.
async fn settle(core: &Arc<Core>) {
    let Ok(member) = core.member() else { return };
    if let Err(error) = roster::ensure_epoch(core, &member).await {
        warn!("a device got keys and is none of the vault; a new key follows later: {error}");
    }
}

/// Those who have the newest key and whom no log names and no pairing is going to: with them an epoch is due.
pub(super) fn stray(core: &Core, log: &DeviceLog) -> Result<BTreeSet<DeviceId>, EngineError> {
    let pending = core.exposed.with(|pending| pending.clone());
    let is_stray = |device: &DeviceId| !log.knows(device) && !pending.contains(device);
    Ok(noted(core)?.into_iter().filter(is_stray).collect())
}

/// A new key is in use, which those lack who were strays before it was made.
pub(super) async fn strike_out(
    core: &Arc<Core>,
    strays: BTreeSet<DeviceId>,
) -> Result<(), EngineError> {
    change(core, move |noted| noted.retain(|device| !strays.contains(device))).await
}

fn noted(core: &Core) -> Result<BTreeSet<DeviceId>, EngineError> {
    let bytes = core.state.note(NOTE)?.unwrap_or_default();
    let (ids, _) = bytes.as_chunks::<32>();
    Ok(ids.iter().map(|id| DeviceId::from_bytes(*id)).collect())
}

async fn change(
    core: &Arc<Core>,
    act: impl FnOnce(&mut BTreeSet<DeviceId>) + Send + 'static,
) -> Result<(), EngineError> {
    let core = Arc::clone(core);
    on_disk(move || {
        let _one_at_a_time = core.exposed.noting.lock().unwrap_or_else(PoisonError::into_inner);
        let before = noted(&core)?;
        let mut after = before.clone();
        act(&mut after);
        if after != before {
            let ids: Vec<u8> = after.iter().flat_map(|id| *id.as_bytes()).collect();
            core.state.keep_note(NOTE, &ids)?;
        }
        Ok::<_, EngineError>(())
    })
    .await
}

#[cfg(test)]
mod tests;
