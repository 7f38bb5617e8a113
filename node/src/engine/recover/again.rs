//! The phrase said once more, on a device that has its vault: it is made known to holders that do not know it yet, and
//! keys are opened that it lacks.
//!
//! It was taken in by a log without the newest epochs, and whoever knows of them did not answer while the
//! phrase was there. Source: specs/device_log.md, LOG-31.

use std::{collections::BTreeSet, sync::Arc};

use larder_protocol::{ids::DeviceId, keys::recovery::RecoveryKeys, ticket::AddressTicket};

use super::{
    Access, MissingKeys,
    gather::{self, Witnesses},
    provisional,
};
use crate::{
    command::{EventSink, ExitKind, Failure},
    engine::{Core, EngineError, Member, join, launch},
};

/// Asks everybody who is known or named, as a recovery does.
pub(super) async fn again(
    core: &Arc<Core>,
    member: &Arc<Member>,
    (access, recovery): (&Arc<Access>, &RecoveryKeys),
    tickets: &[AddressTicket],
    events: &EventSink,
) -> Result<Witnesses, Failure> {
    let known: BTreeSet<DeviceId> =
        core.state.peers().map_err(EngineError::from)?.iter().map(|peer| peer.device).collect();
    let mut witnesses = known.clone();
    for AddressTicket { device, vault, addresses } in tickets {
        let addresses = launch::socket_addresses(addresses);
        access.net.set_addresses(*device, addresses.clone());
        core.net.set_addresses(*device, addresses);
        if !known.contains(device) {
            join::keep_peers(core, vec![provisional(access, *device, *vault)]).await?;
        }
        witnesses.insert(*device);
    }
    let missing = Arc::new(MissingKeys::of(recovery));
    let witnesses = gather::gather(core, member, (access, &missing), &witnesses, events).await?;
    // By what was known here, or what holders have told just now.
    if !core.log_of(&member.vault)?.is_device(&core.keys.id()) {
        return Err(EngineError::Removed.into());
    }
    if witnesses.answered == 0 {
        return Err(Failure::new(ExitKind::Holders, "no holder answered")
            .hint("start a holder, or name one: --connect TICKET"));
    }
    Ok(witnesses)
}
