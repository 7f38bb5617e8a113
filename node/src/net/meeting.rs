//! Where strangers meet by a spoken code: a network of its own, under the key of the code's channel.
//!
//! It is found in the local network by that key, and at the relays of the user. Whoever comes is a
//! stranger, and proves by the code alone that he is meant.
//! Source: specs/meeting.md.

use std::future::IntoFuture as _;

use iroh::endpoint::Incoming;
use larder_protocol::relaying::RelayAddress;
use tokio::{task::JoinSet, time::timeout};
use zeroize::Zeroizing;

use super::{
    FrameStream, Net, NetError, Protocol,
    tuning::{CODE_DONE, HANDSHAKE, MEETINGS, PAIRING_IDLE},
};

impl Net {
    /// A network for one meeting: of a host, under the key that everybody can make of its channel; of a
    /// guest, under one that is used this once.
    ///
    /// # Errors
    /// [`NetError::Bind`].
    pub async fn for_meeting(
        &self,
        seed: Zeroizing<[u8; 32]>,
        relays: Vec<RelayAddress>,
    ) -> Result<Self, NetError> {
        let net = self.aside(seed, relays, Protocol::Meeting).await?;
        net.placed().await;
        Ok(net)
    }

    /// Has `meet` speak with everybody who comes, a few at a time, until it is dropped.
    pub async fn host<F, M>(&self, meet: M)
    where
        F: Future<Output = ()> + Send + 'static,
        M: Fn(FrameStream) -> F + Clone + Send + 'static,
    {
        let endpoint = &self.inner.endpoint;
        endpoint.set_alpns(vec![Protocol::Meeting.alpn().to_vec()]);
        let mut meetings = JoinSet::new();
        while let Some(incoming) = endpoint.accept().await {
            while meetings.try_join_next().is_some() {}
            if meetings.len() >= MEETINGS {
                incoming.refuse();
            } else if incoming.remote_addr_validated() {
                meetings.spawn(meeting(incoming, meet.clone()));
            } else {
                // Places are few: nobody holds one in the name of an address that is not his. The error
                // says it is validated: it is not.
                let _ = incoming.retry();
            }
        }
    }
}

/// One stranger: one stream, soon.
async fn meeting<F: Future<Output = ()>>(incoming: Incoming, meet: impl FnOnce(FrameStream) -> F) {
    let Ok(Ok(connection)) = timeout(HANDSHAKE, incoming.into_future()).await else { return };
    if let Ok(Ok((send, recv))) = timeout(PAIRING_IDLE, connection.accept_bi()).await {
        meet(FrameStream::new(connection.clone(), send, recv)).await;
    }
    connection.close(CODE_DONE.into(), b"over");
}
