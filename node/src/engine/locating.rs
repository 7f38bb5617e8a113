//! Leaves word at the relays that this device holds, for whoever has nothing but the phrase.
//!
//! When and where is decided in `protocol::locating`. Without a relay it does nothing.
//! Source: specs/locating.md.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use iroh::Watcher as _;
use larder_protocol::{
    ids::LocatorSlot,
    locating::{Locator, LocatorRecord, Publishing},
};
use tokio::time::sleep;
use tracing::{debug, info};

use super::{Core, EngineError, clock::wall, report::own_addresses};
use crate::net::{RelayStanding, leave_record};

/// So often is looked what is to be left: vaults come and go, and so do relays.
const LOOK: Duration = Duration::from_secs(60);
/// After a change: others of the same cause follow it, and a relay that comes and goes is not told each time.
const SETTLE: Duration = Duration::from_secs(20);

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
        machine.connected(core.clock.now(), &connected_relays(core));
        let locators = locators(core);
        machine.slots(core.clock.now(), &locators.keys().copied().collect());
        for place in machine.due(core.clock.now()) {
            let was_kept = leave(core, &locators, place).await;
            machine.tried(core.clock.now(), place, was_kept);
        }
        tokio::select! {
            () = sleep(LOOK) => {}
            changed = changes.updated() => {
                if changed.is_err() {
                    return;
                }
                // A relay that was restarted may be back already: it was away all the same.
                machine.connected(core.clock.now(), &BTreeSet::new());
                sleep(SETTLE).await;
            }
        }
    }
}

/// The relays that this device is connected with, by their number.
fn connected_relays(core: &Core) -> BTreeSet<usize> {
    let standings = core.net.relays();
    let is_connected = |standing: &RelayStanding| *standing == RelayStanding::Connected;
    let connected = standings.iter().filter(|(_, standing)| is_connected(standing));
    let number = |address| core.relays.iter().position(|own| own == address);
    connected.filter_map(|(address, _)| number(address)).collect()
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
    let Ok(record) = record(core, locator) else { return false };
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
