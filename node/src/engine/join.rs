//! Invitations and joining: how two devices come to know each other.

use std::sync::{Arc, Mutex};

use larder_protocol::{ids::DeviceId, peer::PeerRecord, time::Timestamp};

use super::{Core, EngineError};
use crate::{
    command::{EventSink, Failure, InviteKind, Outcome},
    net::FrameStream,
    state::circle::PeerRow,
};

/// Invitations that are open.
#[derive(Debug, Default)]
pub(crate) struct Invitations(Mutex<Vec<Timestamp>>);

impl Invitations {
    pub(crate) fn is_any_open(&self, now: Timestamp) -> bool {
        self.0.lock().is_ok_and(|all| all.iter().any(|until| *until > now))
    }
}
pub(crate) fn record_of(peer: PeerRow) -> PeerRecord {
    PeerRecord {
        device: peer.device,
        vault: peer.vault,
        name: peer.name,
        addresses: peer.addresses,
        site: peer.site,
    }
}
pub(crate) async fn invite(
    core: &Arc<Core>,
    kind: InviteKind,
    expires_s: u64,
    events: &EventSink,
) -> Result<Outcome, Failure> {
    let _ = (core, kind, expires_s, events);
    Err(Failure::failed("stub"))
}
pub(crate) async fn join(
    core: &Arc<Core>,
    code: String,
    name: Option<String>,
    site: Option<String>,
) -> Result<Outcome, Failure> {
    let _ = (core, code, name, site);
    Err(Failure::failed("stub"))
}
pub(crate) async fn answer_stranger(
    core: &Arc<Core>,
    from: DeviceId,
    stream: FrameStream,
) -> Result<(), EngineError> {
    let _ = (core, from, stream);
    Ok(())
}
