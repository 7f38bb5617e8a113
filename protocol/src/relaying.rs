//! Relaying: whom a relay lets in, how many at once, and when somebody has to go.
//!
//! ```text
//!  socket ──arrive──> Arrival ──admit──> Connection ──ended──> gone
//!             │          │ turned, leave    │ review: its invitation is gone or over
//!             │          │ overdue, displaced
//!             └ turned   └ to be closed     └ to be closed
//! ```
//! The relay's shell has the sockets, the handshake that proves a client's key, and the clock; it
//! asks here and does what it is told. Bytes do not come here: how fast a connection may send is a
//! number that the shell enforces.
//!
//! Plain calls instead of a queue of orders: every question has its answer at once.
//! Invariants: arrivals, connections and what is remembered of addresses are bounded whatever comes;
//! strangers who have not been admitted take no place of those who have.
//! Source: specs/relay.md.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use thiserror::Error;

use crate::{
    ids::DeviceId,
    limits::{
        RELAY_ARRIVAL_MS, RELAY_ARRIVAL_MS_MAX, RELAY_ARRIVALS_BURST, RELAY_ARRIVALS_MAX,
        RELAY_CONNECTIONS_PER_ADDRESS_MAX, RELAY_CONNECTIONS_PER_INVITATION_MAX,
        RELAY_CONNECTIONS_PER_KEY_MAX, RELAY_INVITATIONS_MAX, RELAY_SOURCES_MAX,
    },
    time::{Instant, Timestamp},
};

mod address;
mod board;

pub use address::{Pin, RelayAddress, RelayAddressError, RelayToken, Scheme, TokenHash};
pub use board::{Board, NotKept};

/// Who is let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// Anybody, within the limits.
    Open,
    /// Who shows the token of an invitation.
    Invited,
}

/// What whoever runs the relay has decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// Who is let in.
    pub admission: Admission,
    /// Clients connected at once.
    pub connections_max: usize,
}

/// The right of whoever has its token to use the relay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invitation {
    /// How whoever runs the relay calls it; given once.
    pub name: String,
    /// Tells the token; not the token.
    pub token: TokenHash,
    /// Not valid at this time or later.
    pub expires: Option<Timestamp>,
}

/// Where a socket comes from, as far as limits go: an IPv4 address, or a network of IPv6 as one
/// household gets it (64 bits).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Source([u8; 8]);

impl From<IpAddr> for Source {
    fn from(address: IpAddr) -> Self {
        match address.to_canonical() {
            // Under ff00::/8, where no sender is.
            IpAddr::V4(address) => {
                let [a, b, c, d] = address.octets();
                Self([0xff, 0, 0, 0, a, b, c, d])
            }
            IpAddr::V6(address) => {
                let [a, b, c, d, e, f, g, h, ..] = address.octets();
                Self([a, b, c, d, e, f, g, h])
            }
        }
    }
}

/// A socket that was let in and has not shown yet who it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ArrivalId(pub u64);

/// A socket that was let in, and what that means for others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arrived {
    /// How it is called.
    pub id: ArrivalId,
    /// Is to be closed for it: the one that has been silent for longest, when there are too many.
    pub displaced: Option<ArrivalId>,
}

/// A client that was admitted; numbered by the shell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ConnectionId(pub u64);

/// A client at the moment when it has proved its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Client<'a> {
    /// On which socket.
    pub arrival: ArrivalId,
    /// How the shell calls the connection that this will be.
    pub connection: ConnectionId,
    /// The proven key.
    pub key: DeviceId,
    /// The token that it showed.
    pub token: Option<&'a RelayToken>,
}

/// A connection that has to be closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Closed {
    /// Which.
    pub connection: ConnectionId,
    /// Whose.
    pub key: DeviceId,
}

/// Why somebody is turned away. The text is told to the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Error)]
pub enum Turned {
    /// Its address has too much open.
    #[error("too many connections from this address")]
    Address,
    /// Its address comes too often.
    #[error("too many connections from this address in a short time")]
    Hurry,
    /// The relay is full.
    #[error("this relay is full")]
    Full,
    /// It showed no token, or one that is none.
    #[error("this relay asks for a token")]
    NoToken,
    /// No invitation has this token; perhaps none has it any more.
    #[error("this relay does not know the token")]
    Unknown,
    /// The invitation is over.
    #[error("the token has expired")]
    Expired,
    /// Its key has too much open.
    #[error("too many connections of this device")]
    Key,
    /// Its invitation has too much open.
    #[error("too many connections with this token")]
    Invitation,
    /// The shell named a socket that is not there.
    #[error("the connection was lost")]
    Lost,
}

impl Turned {
    /// All of them, for counters.
    pub const ALL: [Self; 9] = [
        Self::Address,
        Self::Hurry,
        Self::Full,
        Self::NoToken,
        Self::Unknown,
        Self::Expired,
        Self::Key,
        Self::Invitation,
        Self::Lost,
    ];

    /// One word, for counters.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Address => "address",
            Self::Hurry => "hurry",
            Self::Full => "full",
            Self::NoToken => "no_token",
            Self::Unknown => "unknown",
            Self::Expired => "expired",
            Self::Key => "key",
            Self::Invitation => "invitation",
            Self::Lost => "lost",
        }
    }
}

/// What came from one address.
#[derive(Debug, Clone)]
struct Visits {
    /// Arrivals and connections there now.
    open: usize,
    /// A leaky bucket: so many milliseconds of arrivals are still to drain...
    owed_ms: u64,
    /// ... as seen then.
    at: Instant,
}

impl Visits {
    fn drain(&mut self, now: Instant) {
        self.owed_ms = self.owed_ms.saturating_sub(now.ms_since(self.at));
        self.at = self.at.max(now);
    }
}

#[derive(Debug, Clone)]
struct Connection {
    key: DeviceId,
    source: Source,
    /// `None` of one that needed none.
    token: Option<TokenHash>,
}

/// The door of a relay.
#[derive(Debug, Clone)]
pub struct Relaying {
    rules: Rules,
    invitations: BTreeMap<TokenHash, Invitation>,
    sources: BTreeMap<Source, Visits>,
    /// Numbered in the order in which they came.
    arrivals: BTreeMap<ArrivalId, (Source, Instant)>,
    connections: BTreeMap<ConnectionId, Connection>,
    next_arrival: u64,
}

impl Relaying {
    /// A relay where nobody is yet.
    pub const fn new(rules: Rules) -> Self {
        Self {
            rules,
            invitations: BTreeMap::new(),
            sources: BTreeMap::new(),
            arrivals: BTreeMap::new(),
            connections: BTreeMap::new(),
            next_arrival: 0,
        }
    }

    /// Replaces the invitations; those beyond [`RELAY_INVITATIONS_MAX`] are left out. Who came with
    /// one that is gone is named by the next [`review`](Self::review).
    pub fn set_invitations(&mut self, invitations: impl IntoIterator<Item = Invitation>) {
        let known = invitations.into_iter().take(RELAY_INVITATIONS_MAX);
        self.invitations = known.map(|one| (one.token, one)).collect();
    }

    /// A socket was opened.
    ///
    /// # Errors
    /// [`Turned`]: it is to be closed, before anything is read from it.
    pub fn arrive(&mut self, now: Instant, source: Source) -> Result<Arrived, Turned> {
        if self.sources.len() >= RELAY_SOURCES_MAX && !self.sources.contains_key(&source) {
            // Whoever has many addresses could fill the table: nobody is kept out for that, and
            // how often they came is forgotten instead.
            self.sources.retain(|_, visits| visits.open > 0);
        }
        let fresh = Visits { open: 0, owed_ms: 0, at: now };
        let visits = self.sources.entry(source).or_insert(fresh);
        visits.drain(now);
        if visits.open >= RELAY_CONNECTIONS_PER_ADDRESS_MAX {
            return Err(Turned::Address);
        }
        if visits.owed_ms >= RELAY_ARRIVALS_BURST * RELAY_ARRIVAL_MS {
            return Err(Turned::Hurry);
        }
        visits.owed_ms += RELAY_ARRIVAL_MS;
        visits.open += 1;
        // Who means well is a client's within a second: whoever is slow makes room, so that nobody
        // shuts the door by holding sockets.
        let oldest = self.arrivals.first_key_value().map(|(id, _)| *id);
        let displaced = oldest.filter(|_| self.arrivals.len() >= RELAY_ARRIVALS_MAX);
        if let Some(slow) = displaced {
            self.leave(slow);
        }
        let id = ArrivalId(self.next_arrival);
        self.next_arrival += 1;
        self.arrivals.insert(id, (source, now));
        Ok(Arrived { id, displaced })
    }

    /// A socket is closed, or is a client's now.
    pub fn leave(&mut self, arrival: ArrivalId) {
        if let Some((source, _)) = self.arrivals.remove(&arrival) {
            self.release(source);
        }
    }

    /// Sockets that have taken too long, and are to be closed. Named again at each call until they
    /// leave.
    pub fn overdue(&self, now: Instant) -> Vec<ArrivalId> {
        let is_over = |since: Instant| now.ms_since(since) >= RELAY_ARRIVAL_MS_MAX;
        // In the order in which they came: the first that is not over ends it.
        let over = self.arrivals.iter().take_while(|(_, (_, since))| is_over(*since));
        over.map(|(id, _)| *id).collect()
    }

    /// Somebody has proved to have a key and asks to be relayed.
    ///
    /// # Errors
    /// [`Turned`]: it is to be told, and closed.
    pub fn admit(&mut self, now: Timestamp, client: Client<'_>) -> Result<(), Turned> {
        let (source, _) = *self.arrivals.get(&client.arrival).ok_or(Turned::Lost)?;
        let token = self.permission(now, client.token)?;
        if self.connections.len() >= self.rules.connections_max {
            return Err(Turned::Full);
        }
        let of_key = self.connections.values().filter(|one| one.key == client.key).count();
        if of_key >= RELAY_CONNECTIONS_PER_KEY_MAX {
            return Err(Turned::Key);
        }
        let of_token = || self.connections.values().filter(|one| one.token == token).count();
        if token.is_some() && of_token() >= RELAY_CONNECTIONS_PER_INVITATION_MAX {
            return Err(Turned::Invitation);
        }
        let new = Connection { key: client.key, source, token };
        if let Some(old) = self.connections.insert(client.connection, new) {
            self.release(old.source);
        }
        // The arrival still counts until it leaves, so its address is over its limit by one at most.
        if let Some(visits) = self.sources.get_mut(&source) {
            visits.open += 1;
        }
        Ok(())
    }

    /// Whether somebody who is no client, and shows this token, may leave records here and read them.
    ///
    /// # Errors
    /// [`Turned`]: it is to be told.
    pub fn allows(&self, now: Timestamp, token: Option<&RelayToken>) -> Result<(), Turned> {
        self.permission(now, token).map(|_| ())
    }

    /// A client is gone.
    pub fn ended(&mut self, connection: ConnectionId) {
        if let Some(gone) = self.connections.remove(&connection) {
            self.release(gone.source);
        }
    }

    /// Who has to go now. Named again at each call until the shell reports them as ended.
    pub fn review(&self, now: Timestamp) -> Vec<Closed> {
        let valid: BTreeSet<TokenHash> = self
            .invitations
            .values()
            .filter(|one| one.expires.is_none_or(|end| now < end))
            .map(|one| one.token)
            .collect();
        self.connections
            .iter()
            .filter(|(_, one)| one.token.is_some_and(|token| !valid.contains(&token)))
            .map(|(connection, one)| Closed { connection: *connection, key: one.key })
            .collect()
    }

    /// Clients connected now.
    pub fn connections(&self) -> usize {
        self.connections.len()
    }

    /// Sockets that have not shown yet whose they are.
    pub fn arrivals(&self) -> usize {
        self.arrivals.len()
    }

    /// The invitation that a client came with; `None` in an open relay.
    fn permission(
        &self,
        now: Timestamp,
        token: Option<&RelayToken>,
    ) -> Result<Option<TokenHash>, Turned> {
        match self.rules.admission {
            // A token is not looked at: it may be that of another relay.
            Admission::Open => Ok(None),
            Admission::Invited => {
                let hash = token.ok_or(Turned::NoToken)?.hash();
                let invitation = self.invitations.get(&hash).ok_or(Turned::Unknown)?;
                let is_over = invitation.expires.is_some_and(|end| now >= end);
                if is_over { Err(Turned::Expired) } else { Ok(Some(hash)) }
            }
        }
    }

    fn release(&mut self, source: Source) {
        if let Some(visits) = self.sources.get_mut(&source) {
            visits.open = visits.open.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests;
