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
pub(crate) struct Pending(Mutex<BTreeSet<DeviceId>>);

impl Pending {
    fn with<T>(&self, act: impl FnOnce(&mut BTreeSet<DeviceId>) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Before a device gets the keys.
pub(super) async fn begin(core: &Arc<Core>, device: DeviceId) -> Result<(), EngineError> {
    core.exposed.with(|pending| pending.insert(device));
    change(core, move |noted| _ = noted.insert(device)).await
}

/// A pairing with this device has ended. Unless it is in the log now, its keys are used no more.
pub(super) async fn end(core: &Arc<Core>, device: DeviceId) {
    if !core.exposed.with(|pending| pending.remove(&device)) {
        return;
    }
    let Ok(member) = core.member() else { return };
    if let Err(error) = roster::ensure_epoch(core, &member).await {
        warn!("a device got keys and is none of the vault; a new key follows later: {error}");
    }
}

/// Whether somebody has the newest key whom no log names and no pairing is going to.
pub(super) fn is_epoch_due(core: &Core, log: &DeviceLog) -> Result<bool, EngineError> {
    let pending = core.exposed.with(|pending| pending.clone());
    Ok(noted(core)?.iter().any(|device| !log.knows(device) && !pending.contains(device)))
}

/// A new key is in use: whoever is not in the midst of a pairing lacks it, or is a device of the log.
pub(super) async fn strike_out(core: &Arc<Core>) -> Result<(), EngineError> {
    let pending = core.exposed.with(|pending| pending.clone());
    change(core, move |noted| noted.retain(|device| pending.contains(device))).await
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
