//! The network: this device's one UDP port, on iroh.
//!
//! Moves frames and shards between devices; decides nothing about them. Who may connect is asked
//! of [`Admission`], what to answer of [`Serve`].
//!
//! | protocol | ALPN | on it |
//! |---|---|---|
//! | control | `larder/control/1` | one request and its answer on each stream, uploads included |
//! | shards | `/iroh-bytes/4` | verified ranges of one shard on each stream, the iroh-blobs wire |
//! | pairing | `larder/pair/1` | frames on one stream, open only while an invite is outstanding |
//! | meeting | `larder/meet/1` | frames on one stream, under a key of its own, while a code is outstanding |
//! | helping | `larder/help/1` | one frame and its answer, under a key of its own: a guardian hands over |
//! | seeking | `larder/seek/1` | nothing: holders call whoever has the phrase of a vault that they hold |
//!
//! **Invariant:** no server of anybody's is contacted but the relays that the user named: no other
//! relay, no DNS but for their names, no port mapping. Packets go to addresses that the caller gave,
//! and to whoever connects. Without a relay an idle node sends none: connections without streams
//! are closed.
//! Source: specs/network.md, specs/control_protocol.md.

mod accept;
mod addresses;
mod admission;
mod aside;
mod control;
mod endpoint;
mod error;
mod frames;
mod lan;
mod links;
mod meeting;
mod pace;
mod pumps;
mod quota;
mod records;
mod relays;
mod seeking;
mod shards;
#[cfg(test)]
mod tests;
mod tuning;

pub use accept::{Reservation, Serve, Serving};
pub use admission::{Admission, AdmitAll, Entry};
pub use control::Peer;
pub use endpoint::{Listen, Net, Settings};
pub use error::{FetchError, NetError, PutError};
pub use frames::FrameStream;
pub use lan::{LookEnd, Sighting};
pub use links::Path;
pub use pace::Rates;
pub use records::{leave_record, records};
pub use relays::{RelayFault, RelayStanding, probe};
pub use seeking::Caller;

/// What is spoken on a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// Requests and answers, uploads.
    Control,
    /// Verified ranges of shards.
    Shards,
    /// Making a stranger known.
    Pairing,
    /// Bringing an invitation over by a spoken code.
    Meeting,
    /// Handing a share to somebody who has lost everything.
    Helping,
    /// Showing oneself as a holder to whoever has the phrase.
    Seeking,
}

impl Protocol {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Control, Self::Shards, Self::Pairing, Self::Meeting, Self::Helping, Self::Seeking];
    /// Those of a node under its own key.
    const OF_NODES: [Self; 3] = [Self::Control, Self::Shards, Self::Pairing];

    /// Its name in the TLS handshake.
    pub const fn alpn(self) -> &'static [u8] {
        match self {
            Self::Control => b"larder/control/1",
            Self::Shards => iroh_blobs::ALPN,
            Self::Pairing => larder_protocol::pairing::ALPN,
            Self::Meeting => larder_protocol::meeting::ALPN,
            Self::Helping => larder_protocol::guarding::handing::ALPN,
            Self::Seeking => larder_protocol::locating::ALPN,
        }
    }

    /// The protocol of this name.
    pub fn of_alpn(alpn: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|protocol| protocol.alpn() == alpn)
    }
}
