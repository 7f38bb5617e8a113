//! Times and bounds of the network, each with its reason. Sizes of messages are in the protocol.

use std::time::Duration;

/// Times that a test has to wait for run ten times faster there.
const fn waited_for(seconds: u64) -> Duration {
    if cfg!(test) { Duration::from_millis(seconds * 100) } else { Duration::from_secs(seconds) }
}

/// A silent connection is dead after this. Short, because a peer that restarted on another port
/// cannot be dialled while its old connection seems alive (iroh #3602).
pub(super) const IDLE_TIMEOUT: Duration = Duration::from_secs(10);
/// Keeps a connection with open streams alive while neither side has anything to say.
pub(super) const KEEP_ALIVE: Duration = Duration::from_secs(3);
/// A live peer sends something in this time when it is asked something: an acknowledgement, or a
/// keep-alive. Above [`KEEP_ALIVE`] and a slow link's round trip.
pub(super) const SILENCE: Duration = Duration::from_secs(4);
/// We close what we dialled after so long without a stream, so that an idle node sends no packets.
pub(super) const UNUSED_OUTGOING: Duration = waited_for(20);
/// We close what others dialled later than they do: closing at once would cross their requests.
pub(super) const UNUSED_INCOMING: Duration = waited_for(60);
/// Handshake of an incoming connection.
pub(super) const HANDSHAKE: Duration = Duration::from_secs(5);
/// One attempt to dial. Above a WAN handshake with one lost packet, below [`IDLE_TIMEOUT`].
pub(super) const DIAL: Duration = Duration::from_secs(6);
/// Peers that are there acknowledge a goodbye in this time.
pub(super) const GOODBYE: Duration = Duration::from_secs(1);
/// A relay that is asked whether it works answers in this time, TLS included.
pub(super) const RELAY_PROBE: Duration = Duration::from_secs(6);
/// Others ask so often who is on the local network, once they have asked for a while: a query that
/// was lost is made up for.
pub(super) const LAN_QUERY: Duration = Duration::from_secs(300);
/// What was shown is in sight for so long. Short, so that who comes back is seen to come.
pub(super) const BEACON_TTL: Duration = Duration::from_secs(30);
/// A network that was just joined gives its addresses within it.
pub(super) const LAN_SETTLE: Duration = Duration::from_millis(300);
/// More in sight than any home has, of whatever speaks libp2p, which itself has no bound.
pub(super) const SHOWN_MAX: usize = 1024;
/// Where a device showed itself is where it is looked for, so long.
pub(super) const HINT_LIFE: Duration = Duration::from_secs(60);
/// Such places for one device.
pub(super) const HINTS_PER_PEER: usize = 4;
/// A request frame must be complete after this.
pub(super) const REQUEST: Duration = waited_for(10);
/// An answer frame must be complete after this: the callee may have to read or sync a disk.
pub(super) const ANSWER: Duration = Duration::from_secs(30);
/// The receipt of an upload: the callee's disk may be slow and shared.
pub(super) const RECEIPT: Duration = Duration::from_secs(120);
/// Bytes that should flow and do not for so long have stalled.
pub(super) const STALL: Duration = waited_for(15);
/// Slowest upload that is waited for, as an average: below it a stream is held for nothing.
pub(super) const UPLOAD_BYTES_PER_S_MIN: u64 = 4 * 1024;
/// Grace before that average counts.
pub(super) const UPLOAD_GRACE: Duration = waited_for(60);

/// Streams that one connection may have open at once; QUIC itself holds the peer to it.
pub(super) const STREAMS_PER_CONNECTION: u32 = 32;
/// Unread bytes of one connection. iroh's default is "no bound"; the window of one stream stays
/// at its default of 1.25 MB (larger ones kill connections in noq 1.4).
pub(super) const CONNECTION_WINDOW: u32 = 8 * 1024 * 1024;
/// Connections of one peer: three protocols, twice while it restarts, and room.
pub(super) const CONNECTIONS_PER_PEER: usize = 8;
/// Connections of all peers.
pub(super) const CONNECTIONS: usize = 256;
/// Connections of strangers who pair, apart from all others.
pub(super) const PAIRINGS: usize = 8;
/// Connections on which one stranger pairs: one, and one that was lost without a word.
pub(super) const PAIRINGS_PER_PEER: usize = 2;
/// A network beside that of the node knows its own addresses in this time, where there are any.
pub(super) const ASIDE_SETTLE: Duration = Duration::from_secs(1);
/// Strangers who try one spoken code at a time.
pub(super) const MEETINGS: usize = 16;
/// Holders that call whoever seeks, at a time.
pub(super) const CALLS: usize = 32;
/// A relay that is asked for records, or given one, answers in this time, TLS included.
pub(super) const RECORDS: Duration = Duration::from_secs(6);
/// A stranger opens its stream in this time or goes.
pub(super) const PAIRING_IDLE: Duration = waited_for(10);
/// Handshakes at once; beyond it, newcomers are turned away and try again.
pub(super) const HANDSHAKES: usize = 64;
/// Handshakes at once from which on a newcomer must prove its address first.
pub(super) const HANDSHAKES_UNPROVEN: usize = 16;
/// Downloads served at once, each on a thread of its own while it lasts.
pub(super) const DOWNLOADS: usize = 64;
/// Downloads served at once to one peer: four streams for each of a restore's stripes and room.
pub(super) const DOWNLOADS_PER_PEER: usize = 24;
/// Uploads taken at once, each on a thread of its own while it lasts.
pub(super) const UPLOADS: usize = 32;
/// Uploads taken at once from one peer.
pub(super) const UPLOADS_PER_PEER: usize = 8;
/// Known addresses of one peer.
pub(super) const ADDRESSES_PER_PEER: usize = 16;

/// Bytes handed between the network and a disk thread at once.
pub(super) const PIECE_BYTES: usize = 128 * 1024;
/// Such pieces under way: bounds memory, hides the disk's jitter.
pub(super) const PIECES: usize = 4;
/// Verified groups (16 KiB each) under way from the network to the disk: what a kill loses of each
/// stream, beside what QUIC has not handed on.
pub(super) const GROUPS: usize = 8;

/// Close code: nothing wrong.
pub(super) const CODE_DONE: u32 = 0;
/// Close code: the peer is not known here.
pub(super) const CODE_REFUSED: u32 = 403;
/// Close and reset code: too much at once.
pub(super) const CODE_BUSY: u32 = 429;
/// Reset code: the stream broke the protocol or stalled.
pub(super) const CODE_BROKEN: u32 = 400;
