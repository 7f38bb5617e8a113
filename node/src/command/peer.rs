//! The nodes that this one knows.

use serde::{Deserialize, Serialize};

use super::{Attendance, Time};

/// See [`Outcome::Peers`](super::Outcome::Peers).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeersOutcome {
    /// Ascending by name.
    pub peers: Vec<Peer>,
}

/// A node that this one knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peer {
    /// Id of its device.
    pub device: String,
    /// Its name.
    pub name: String,
    /// Its vault.
    pub vault: String,
    /// Whether that is our own vault.
    pub own: bool,
    /// Its household.
    pub site: String,
    /// How it stands.
    pub state: PeerState,
    /// When it was last heard of.
    pub last_seen: Option<Time>,
    /// Whether it is there, as was learnt; `null` of one that keeps nothing for us.
    pub attendance: Option<Attendance>,
    /// Bytes it has promised to keep for us, when it told.
    pub granted_bytes: Option<u64>,
    /// Bytes it has signed for.
    pub holds_bytes: u64,
    /// Shards it has signed for.
    pub holds_shards: u64,
    /// Those of them of which it has shown a chunk at least once.
    pub proven_shards: u64,
    /// When it last showed one; `null` for never.
    pub last_proof: Option<Time>,
    /// Bytes that it keeps still though no device of ours claims them, as it last said.
    pub unclaimed_bytes: u64,
    /// Bytes that we keep for its vault.
    pub kept_bytes: u64,
    /// How packets go there just now; `null` while there is no connection.
    #[serde(default)]
    pub path: Option<PeerPath>,
    /// Its addresses as far as known.
    pub addresses: Vec<String>,
}

/// How packets go to a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PeerPath {
    /// From device to device.
    Direct,
    /// Through a relay, which cannot read them.
    Relayed,
}

/// How a peer stands. Four states that must never be mixed up: silence is no failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PeerState {
    /// Answered within the last minute.
    Online,
    /// Did not answer when asked last.
    Offline,
    /// Not asked yet.
    Unknown,
    /// Served wrong bytes, or lost what it had signed for.
    Failed,
    /// Refuses us.
    Refusing,
}
