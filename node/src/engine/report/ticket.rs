//! Where this node is, as one text.

use larder_protocol::{
    limits::{ADDRESSES_MAX, RELAYS_MAX},
    relaying::RelayAddress,
    ticket::{AddressTicket, Ticket},
};

use super::super::{Core, EngineError};
use crate::{command::TicketOutcome, net::Net};

/// Where others may reach this device: what its user announces, its socket addresses, and the relays that it
/// uses. A ticket is no secret, so their tokens are not in it.
pub(crate) fn own_addresses(core: &Core) -> Vec<String> {
    addresses_of(core, &core.net)
}

/// The same of a network beside that of the node.
pub(crate) fn addresses_of(core: &Core, net: &Net) -> Vec<String> {
    let mut found = net.own_addresses();
    // Loopback leads nowhere from another machine: it comes last.
    found.sort_by_key(|address| (address.ip().is_loopback(), *address));
    found.dedup();
    let mut addresses = core.config().announced().to_vec();
    found.retain(|address| !addresses.contains(address));
    addresses.append(&mut found);
    let direct = addresses.iter().take(ADDRESSES_MAX - RELAYS_MAX).map(ToString::to_string);
    let relays = core.relays_told.as_ref().unwrap_or(&core.relays);
    direct.chain(relays.iter().map(RelayAddress::url)).collect()
}

/// The ticket of this node. One without a vault has nobody who could call it.
pub(crate) fn ticket(core: &Core) -> Result<TicketOutcome, EngineError> {
    let vault = core.member()?.vault;
    let addresses = own_addresses(core);
    let device = core.keys.id();
    let ticket = Ticket::Address(AddressTicket { device, vault, addresses: addresses.clone() });
    Ok(TicketOutcome { ticket: ticket.to_text(), device: device.to_string(), addresses })
}
