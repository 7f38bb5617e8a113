//! Where this node is, as one text.

use larder_protocol::{
    limits::ADDRESSES_MAX,
    ticket::{AddressTicket, Ticket},
};

use super::super::{Core, EngineError};
use crate::command::TicketOutcome;

/// Socket addresses at which others may reach this device.
pub(crate) fn own_addresses(core: &Core) -> Vec<String> {
    let mut addresses = core.net.own_addresses();
    // Loopback leads nowhere from another machine: it comes last.
    addresses.sort_by_key(|address| (address.ip().is_loopback(), *address));
    addresses.dedup();
    addresses.iter().take(ADDRESSES_MAX).map(ToString::to_string).collect()
}

/// The ticket of this node. One without a vault has nobody who could call it.
pub(crate) fn ticket(core: &Core) -> Result<TicketOutcome, EngineError> {
    let vault = core.member()?.vault;
    let addresses = own_addresses(core);
    let device = core.keys.id();
    let ticket = Ticket::Address(AddressTicket { device, vault, addresses: addresses.clone() });
    Ok(TicketOutcome { ticket: ticket.to_text(), device: device.to_string(), addresses })
}
