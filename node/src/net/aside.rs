//! A network beside that of the node: under another key, for one purpose, for a short time.
//!
//! Strangers meet on one by a spoken code, and whoever has nothing but the phrase seeks holders on one.

use std::{future::IntoFuture as _, net::SocketAddr, sync::Arc};

use iroh::endpoint::{Connection, Incoming, IncomingAddr};
use larder_protocol::{ids::DeviceId, relaying::RelayAddress};
use tokio::{task::JoinSet, time::timeout};
use zeroize::Zeroizing;

use super::{
    Admission, Entry, Listen, Net, NetError, Protocol, Rates, Settings,
    lan::moved,
    tuning::{ASIDE_SETTLE, CODE_DONE, HANDSHAKE},
};

/// Somebody who came to such a network.
pub(super) struct Guest {
    pub(super) connection: Connection,
    /// From where, when it was not by way of a relay.
    pub(super) address: Option<SocketAddr>,
}

/// Anybody may come for this one purpose; nothing else is answered.
#[derive(Debug)]
struct Only(Protocol);

impl Admission for Only {
    fn admit(&self, _: &DeviceId, protocol: Protocol) -> Entry {
        if protocol == self.0 { Entry::Admitted } else { Entry::Refused }
    }
}

impl Net {
    /// A network beside this one, under the key of `seed`, where others may come for `purpose` alone.
    ///
    /// # Errors
    /// [`NetError::Bind`].
    pub async fn aside(
        &self,
        seed: Zeroizing<[u8; 32]>,
        relays: Vec<RelayAddress>,
        purpose: Protocol,
    ) -> Result<Self, NetError> {
        // Where this node may listen, so may what is beside it.
        let listen = match self.inner.listen {
            Listen::Only(address) => Listen::Only(SocketAddr::new(address.ip(), 0)),
            Listen::Everywhere { .. } => Listen::Everywhere { port: 0 },
        };
        let rates = Rates::default();
        Self::start(Settings { seed, listen, relays, rates }, Arc::new(Only(purpose))).await
    }

    /// Waits a moment until this network knows its own addresses, where there are any. What looks around
    /// before begins anew when they come, and a question that was not answered is asked again seconds later.
    pub async fn placed(&self) {
        if matches!(self.inner.listen, Listen::Only(address) if address.ip().is_loopback()) {
            return;
        }
        let is_placed = || !self.lan_addresses().is_empty();
        let _in_time = timeout(ASIDE_SETTLE, moved(&self.inner.endpoint, is_placed)).await;
    }

    /// Has `host` see to everybody who comes for `purpose`, so many at a time, until it is dropped.
    pub(super) async fn guests<F, H>(&self, purpose: Protocol, places: usize, host: H)
    where
        F: Future<Output = ()> + Send + 'static,
        H: Fn(Guest) -> F + Clone + Send + 'static,
    {
        let endpoint = &self.inner.endpoint;
        endpoint.set_alpns(vec![purpose.alpn().to_vec()]);
        let mut guests = JoinSet::new();
        while let Some(incoming) = endpoint.accept().await {
            while guests.try_join_next().is_some() {}
            if guests.len() >= places {
                incoming.refuse();
            } else if incoming.remote_addr_validated() {
                guests.spawn(guest(incoming, host.clone()));
            } else {
                // Places are few: nobody holds one in the name of an address that is not his. The error
                // says it is validated: it is not.
                let _ = incoming.retry();
            }
        }
    }
}

async fn guest<F: Future<Output = ()>>(incoming: Incoming, host: impl FnOnce(Guest) -> F) {
    let address = match incoming.remote_addr() {
        IncomingAddr::Ip(address) => Some(address),
        _ => None,
    };
    let Ok(Ok(connection)) = timeout(HANDSHAKE, incoming.into_future()).await else { return };
    host(Guest { connection: connection.clone(), address }).await;
    connection.close(CODE_DONE.into(), b"over");
}
