//! Leaves word at the relays that this device holds, for whoever has nothing but the phrase.
//!
//! When and where is decided in `protocol::locating`. Without a relay it does nothing.
//! Source: specs/locating.md.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use iroh::Watcher as _;
use larder_protocol::{
    ids::LocatorSlot,
    locating::{Locator, LocatorRecord, Publishing},
};
use tokio::time::sleep;
use tracing::{debug, info, warn};

use super::{Core, EngineError, clock::wall, report::own_addresses};
use crate::net::leave_record;

/// So often is looked which vaults are known here: nobody says when one comes or goes.
const LOOK: Duration = Duration::from_secs(60);

/// Leaves records until the node closes.
pub(super) fn start(core: &Arc<Core>) {
    if core.relays.is_empty() {
        return;
    }
    let core = Arc::clone(core);
    tokio::spawn(async move {
        let closing = core.closing.clone();
        let _closed = closing.run_until_cancelled(publish(&core)).await;
    });
}

async fn publish(core: &Arc<Core>) {
    let mut machine = Publishing::new(core.relays.len());
    let mut changes = core.net.relay_changes();
    loop {
        let locators = locators(core);
        machine.slots(core.clock.now(), &locators.keys().copied().collect());
        for place in machine.due(core.clock.now()) {
            let was_kept = leave(core, &locators, place).await;
            machine.tried(core.clock.now(), place, was_kept);
        }
        tokio::select! {
            () = sleep(LOOK) => {}
            () = core.clock.reached(machine.poll_timeout()) => {}
            changed = changes.updated() => match changed {
                Ok(_) => machine.connections_changed(core.clock.now()),
                Err(_) => return,
            },
        }
    }
}

/// Of each vault that is known here.
fn locators(core: &Core) -> BTreeMap<LocatorSlot, Locator> {
    let vaults = core.vaults.read();
    let locators = vaults.values().map(|known| Locator::of(known.log().recovery()));
    locators.map(|locator| (locator.slot(), locator)).collect()
}

async fn leave(
    core: &Core,
    locators: &BTreeMap<LocatorSlot, Locator>,
    (relay, slot): (usize, LocatorSlot),
) -> bool {
    let (Some(relay), Some(locator)) = (core.relays.get(relay), locators.get(&slot)) else {
        return false;
    };
    let record = match record(core, locator) {
        Ok(record) => record,
        Err(error) => {
            warn!("no word could be left at {relay}: {error}");
            return false;
        }
    };
    match leave_record(relay, &slot, &record).await {
        Ok(()) => {
            info!("left word at {relay} that this device holds a vault");
            true
        }
        Err(fault) => {
            debug!("could not leave word at {relay}: it {fault}");
            false
        }
    }
}

fn record(core: &Core, locator: &Locator) -> Result<LocatorRecord, EngineError> {
    let mut salt = [0; 32];
    getrandom::fill(&mut salt).map_err(|_| EngineError::Randomness)?;
    Ok(LocatorRecord::seal(locator, &core.keys, &own_addresses(core), wall(), salt))
}
