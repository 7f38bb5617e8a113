//! Where strangers meet: a network of its own, under the key of a spoken code's channel or of an
//! invitation for help.
//!
//! It is found in the local network by that key, and at the relays of the user. Whoever comes is a
//! stranger, and proves by the code alone that he is meant.
//! Source: specs/meeting.md, specs/guarding.md.

use larder_protocol::relaying::RelayAddress;
use tokio::time::timeout;
use zeroize::Zeroizing;

use super::{
    FrameStream, Net, NetError, Protocol,
    aside::Guest,
    tuning::{MEETINGS, PAIRING_IDLE},
};

impl Net {
    /// A network for one meeting: of a host, under the key that everybody can make of its channel or
    /// that an invitation names; of a guest, under one that is used this once.
    ///
    /// # Errors
    /// [`NetError::Bind`].
    pub async fn for_strangers(
        &self,
        seed: Zeroizing<[u8; 32]>,
        relays: Vec<RelayAddress>,
        purpose: Protocol,
    ) -> Result<Self, NetError> {
        let net = self.aside(seed, relays, purpose).await?;
        net.placed().await;
        Ok(net)
    }

    /// Has `meet` speak with everybody who comes for `purpose`, a few at a time, until it is dropped.
    pub async fn host<F, M>(&self, purpose: Protocol, meet: M)
    where
        F: Future<Output = ()> + Send + 'static,
        M: Fn(FrameStream) -> F + Clone + Send + 'static,
    {
        let host = move |guest| meeting(guest, meet.clone());
        self.guests(purpose, MEETINGS, host).await;
    }
}

/// One stranger: one stream, soon.
async fn meeting<F: Future<Output = ()>>(
    Guest { connection, .. }: Guest,
    meet: impl FnOnce(FrameStream) -> F,
) {
    if let Ok(Ok((send, recv))) = timeout(PAIRING_IDLE, connection.accept_bi()).await {
        meet(FrameStream::new(connection.clone(), send, recv)).await;
    }
}
