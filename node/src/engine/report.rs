//! What people ask about: status, peers, devices, tickets, recovery sheets, verification, the doctor.
//!
//! Gathers facts and says them in words; the words and the advice are made by functions without
//! side effects, so that tests can go through every case.

mod absent;
mod advice;
mod blocked;
mod connect;
mod devices;
mod doctor;
mod peers;
mod sheet;
mod status;
mod tended;
mod ticket;
mod verify;

pub(crate) use blocked::{all_on_one_site, is_hopeless, why_blocked};
pub(crate) use connect::connect;
pub(crate) use devices::devices;
pub(crate) use doctor::doctor;
pub(crate) use peers::peers;
pub(crate) use sheet::sheet;
pub(crate) use status::{copies_reached, peer_names, status};
pub(crate) use ticket::{addresses_of, own_addresses, ticket};
pub(crate) use verify::verify;

#[cfg(test)]
mod tests;
