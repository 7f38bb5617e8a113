//! A network beside that of the node: under another key, for one purpose, for a short time.
//!
//! Strangers meet on one by a spoken code, and whoever has nothing but the phrase seeks holders on one.

use std::{net::SocketAddr, sync::Arc};

use larder_protocol::{ids::DeviceId, relaying::RelayAddress};
use tokio::time::timeout;
use zeroize::Zeroizing;

use super::{
    Admission, Entry, Listen, Net, NetError, Protocol, Settings, lan::moved, tuning::ASIDE_SETTLE,
};

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
        Self::start(Settings { seed, listen, relays }, Arc::new(Only(purpose))).await
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
}
