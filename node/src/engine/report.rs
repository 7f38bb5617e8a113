//! What people ask about: status, peers, devices, tickets, the doctor.

use std::sync::Arc;

use larder_protocol::placing::{Blocked, Status};

use super::{Core, EngineError};
use crate::command::{EventSink, Failure, Outcome, TicketOutcome};

pub(crate) fn own_addresses(core: &Core) -> Vec<String> {
    core.net.own_addresses().iter().map(ToString::to_string).collect()
}
pub(crate) fn ticket(core: &Core) -> Result<TicketOutcome, EngineError> {
    let _ = core;
    Err(EngineError::NoVault)
}
pub(crate) async fn connect(core: &Arc<Core>, ticket: String) -> Result<Outcome, Failure> {
    let _ = (core, ticket);
    Err(Failure::failed("stub"))
}
pub(crate) async fn devices(core: &Arc<Core>) -> Result<Outcome, Failure> {
    let _ = core;
    Err(Failure::failed("stub"))
}
pub(crate) async fn peers(core: &Arc<Core>) -> Result<Outcome, Failure> {
    let _ = core;
    Err(Failure::failed("stub"))
}
pub(crate) async fn status(core: &Arc<Core>) -> Result<Outcome, Failure> {
    let _ = core;
    Err(Failure::failed("stub"))
}
pub(crate) async fn verify(
    core: &Arc<Core>,
    percent: u8,
    events: &EventSink,
) -> Result<Outcome, Failure> {
    let _ = (core, percent, events);
    Err(Failure::failed("stub"))
}
pub(crate) async fn doctor(core: &Arc<Core>) -> Result<Outcome, Failure> {
    let _ = core;
    Err(Failure::failed("stub"))
}
/// Copies that the least-held pack has on distinct sites.
pub(crate) fn copies_reached(status: &Status, safe: bool) -> u32 {
    if safe { u32::try_from(status.copies).unwrap_or(u32::MAX) } else { 0 }
}
/// Why nothing gets on, and what to do, in one line.
pub(crate) fn say_blocked(blocked: &Blocked) -> String {
    format!("{blocked:?}")
}
/// Whether waiting cannot help: the user has to do something first.
pub(crate) fn is_hopeless(blocked: Option<&Blocked>) -> bool {
    matches!(blocked, Some(Blocked::NoHolder | Blocked::TooFewSites { .. }))
}
