//! How holders make themselves known to whoever has nothing but the phrase.
//!
//! Who seeks shows a beacon; who holds recognises it and calls. The connection is the whole message: each
//! side has proved its key, and the seeker knows now whom to ask, and where.
//! Source: specs/locating.md.

use std::net::SocketAddr;

use larder_protocol::ids::DeviceId;
use tokio::sync::mpsc;

use super::{Net, NetError, Peer, Protocol, aside::Guest, tuning::CALLS};

/// Somebody who says that it holds the vault, by calling.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caller {
    /// The key that it proved.
    pub device: DeviceId,
    /// From where it called, which is where it listens; `None` of one that came by way of a relay.
    pub address: Option<SocketAddr>,
}

impl Net {
    /// Tells who calls, until it is dropped.
    pub async fn callers(&self, callers: mpsc::Sender<Caller>) {
        let host = move |Guest { connection, address }| {
            let device = DeviceId::from_bytes(*connection.remote_id().as_bytes());
            // Who makes up more than can be asked is passed over.
            let _told = callers.try_send(Caller { device, address });
            std::future::ready(())
        };
        self.guests(Protocol::Seeking, CALLS, host).await;
    }
}

impl Peer {
    /// Calls whoever seeks, under the key of the phrase.
    ///
    /// # Errors
    /// [`NetError`].
    pub async fn answer_seeker(&self) -> Result<(), NetError> {
        self.net.lease(self.id, Protocol::Seeking).await.map(|_| ())
    }
}
