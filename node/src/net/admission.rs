//! The door: who may open a connection at all.
//!
//! Asked once per connection, right after the handshake proved the peer's key and before any
//! stream of it is looked at. Nobody is known by default.

use std::{fmt, sync::Arc};

use iroh::endpoint::{AfterHandshakeOutcome, Connection, EndpointHooks, Side};
use larder_protocol::ids::DeviceId;

use super::{Protocol, tuning::CODE_REFUSED};

/// The verdict on a newcomer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entry {
    /// May come in.
    Admitted,
    /// Is turned away; learns that, and nothing else.
    Refused,
}

/// Decides who may connect. Must answer at once: every handshake waits for it.
pub trait Admission: Send + Sync + 'static {
    /// Whether the proven holder of key `peer` may speak `protocol` with us.
    fn admit(&self, peer: &DeviceId, protocol: Protocol) -> Entry;
}

/// Admits everybody: for tests of what lies behind the door.
#[derive(Debug, Clone, Copy)]
pub struct AdmitAll;

impl Admission for AdmitAll {
    fn admit(&self, _: &DeviceId, _: Protocol) -> Entry {
        Entry::Admitted
    }
}

/// Ties the door to iroh.
#[derive(Clone)]
pub(super) struct Door(pub(super) Arc<dyn Admission>);

impl fmt::Debug for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Door")
    }
}

impl EndpointHooks for Door {
    async fn after_handshake<'a>(&'a self, connection: &'a Connection) -> AfterHandshakeOutcome {
        // Whom we dialled was our own choice, and the handshake proved the key we chose.
        if connection.side() == Side::Client {
            return AfterHandshakeOutcome::accept();
        }
        let peer = DeviceId::from_bytes(*connection.remote_id().as_bytes());
        let entry = Protocol::of_alpn(connection.alpn())
            .map_or(Entry::Refused, |protocol| self.0.admit(&peer, protocol));
        match entry {
            Entry::Admitted => AfterHandshakeOutcome::accept(),
            Entry::Refused => AfterHandshakeOutcome::Reject {
                error_code: CODE_REFUSED.into(),
                reason: b"unknown device".to_vec(),
            },
        }
    }
}
