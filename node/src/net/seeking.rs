//! How holders make themselves known to whoever has nothing but the phrase.
//!
//! Who seeks shows a beacon; who holds recognises it and calls. The connection is the whole message: each
//! side has proved its key, and the seeker knows now whom to ask, and where.
//! Source: specs/locating.md.

use std::{future::IntoFuture as _, net::SocketAddr};

use iroh::endpoint::{Incoming, IncomingAddr};
use larder_protocol::ids::DeviceId;
use tokio::{sync::mpsc, task::JoinSet, time::timeout};

use super::{
    Net, NetError, Peer, Protocol,
    tuning::{CALLS, CODE_DONE, HANDSHAKE},
};

/// Somebody who says that it holds the vault, by calling.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caller {
    /// The key that it proved.
    pub device: DeviceId,
    /// From where it called, which is where it listens.
    pub address: SocketAddr,
}

impl Net {
    /// Tells who calls, until it is dropped.
    pub async fn callers(&self, callers: mpsc::Sender<Caller>) {
        let endpoint = &self.inner.endpoint;
        endpoint.set_alpns(vec![Protocol::Seeking.alpn().to_vec()]);
        let mut calls = JoinSet::new();
        while let Some(incoming) = endpoint.accept().await {
            while calls.try_join_next().is_some() {}
            if calls.len() >= CALLS {
                incoming.refuse();
            } else if incoming.remote_addr_validated() {
                calls.spawn(call(incoming, callers.clone()));
            } else {
                // Places are few, as in a meeting. The error says it is validated: it is not.
                let _ = incoming.retry();
            }
        }
    }
}

async fn call(incoming: Incoming, callers: mpsc::Sender<Caller>) {
    let seen_at = incoming.remote_addr();
    let Ok(Ok(connection)) = timeout(HANDSHAKE, incoming.into_future()).await else { return };
    let device = DeviceId::from_bytes(*connection.remote_id().as_bytes());
    if let IncomingAddr::Ip(address) = seen_at {
        // Who makes up more than can be asked is passed over.
        let _told = callers.try_send(Caller { device, address });
    }
    connection.close(CODE_DONE.into(), b"heard");
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
