//! Ties the machine that decides about clients to iroh's relay: numbers, counters, the file of
//! invitations. Decides nothing.

use std::{
    collections::{BTreeMap, HashMap},
    net::{IpAddr, Shutdown, TcpStream},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use hyper::header::HeaderName;
use iroh_base::EndpointId;
use iroh_relay::server::{Access, AccessControl, ClientRequest, ConnectionId as IrohConnection};
use larder_protocol::{
    ids::{DeviceId, LocatorSlot},
    locating::LocatorRecord,
    relaying::{
        ArrivalId, Board, Client, ConnectionId, Invitation, NotKept, RelayToken, Relaying, Rules,
        Source, Turned,
    },
    time::{Instant as CoreInstant, Timestamp},
};
use tracing::{debug, info, warn};

use crate::invitations::{Invitations, InvitationsError, Stamp, new_token};

/// On requests inside this process: on which socket they came. Taken off what comes from outside.
pub(crate) const ARRIVAL: HeaderName = HeaderName::from_static("larder-relay-arrival");

/// The door of a running relay. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Door(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    start: Instant,
    invitations: Invitations,
    state: Mutex<State>,
    admitted: AtomicU64,
    turned: BTreeMap<Turned, AtomicU64>,
}

#[derive(Debug)]
struct State {
    relaying: Relaying,
    board: Board,
    /// Which version of the invitations is known; `None` before the first look.
    seen: Option<Stamp>,
    /// Of the holder in this process, as long as it runs.
    own: Option<Invitation>,
    numbers: HashMap<IrohConnection, ConnectionId>,
    clients: BTreeMap<ConnectionId, (EndpointId, IrohConnection)>,
    /// What it takes to end a socket in whatever state it is.
    sockets: BTreeMap<ArrivalId, TcpStream>,
    next: u64,
}

impl State {
    fn close(&mut self, arrival: ArrivalId) {
        if let Some(socket) = self.sockets.remove(&arrival) {
            // It may be closed already, which is as well.
            let _closed = socket.shutdown(Shutdown::Both);
        }
    }
}

/// Who is there, and who came so far.
#[derive(Debug)]
pub(crate) struct Counts {
    /// Sockets that have not shown yet whose they are.
    pub(crate) arrivals: usize,
    pub(crate) clients: usize,
    /// What holders have left.
    pub(crate) records: usize,
    pub(crate) admitted: u64,
    /// Turned away so far, by reason.
    pub(crate) turned: Vec<(&'static str, u64)>,
}

/// A socket that was let in; counted until the last clone is dropped.
#[derive(Debug, Clone)]
pub(crate) struct Arrived(Arc<Arrival>);

#[derive(Debug)]
struct Arrival {
    door: Door,
    id: ArrivalId,
    from: Source,
}

impl Drop for Arrival {
    fn drop(&mut self) {
        let mut state = self.door.lock();
        state.relaying.leave(self.id);
        state.sockets.remove(&self.id);
    }
}

impl Arrived {
    /// For [`ARRIVAL`].
    pub(crate) fn number(&self) -> u64 {
        self.0.id.0
    }

    /// Whether who shows this token may leave records and read them.
    pub(crate) fn allows(&self, token: Option<&RelayToken>) -> Result<(), Turned> {
        let door = &self.0.door;
        door.reload();
        let allowed = door.lock().relaying.allows(wall(), token);
        allowed.inspect_err(|why| door.note_turned(*why))
    }

    /// Keeps a record.
    pub(crate) fn keep(&self, slot: LocatorSlot, record: LocatorRecord) -> Result<(), NotKept> {
        let now = self.0.door.now();
        self.0.door.lock().board.put(now, self.0.from, slot, record)
    }

    /// The records of a slot, one after the other.
    pub(crate) fn records(&self, slot: &LocatorSlot) -> Vec<u8> {
        let now = self.0.door.now();
        let state = self.0.door.lock();
        state.board.records(now, slot).into_iter().flat_map(|it| *it.as_bytes()).collect()
    }
}

impl Door {
    pub(crate) fn new(rules: Rules, invitations: Invitations) -> Self {
        let state = State {
            relaying: Relaying::new(rules),
            board: Board::new(),
            seen: None,
            own: None,
            numbers: HashMap::new(),
            clients: BTreeMap::new(),
            sockets: BTreeMap::new(),
            next: 0,
        };
        let turned = Turned::ALL.into_iter().map(|why| (why, AtomicU64::new(0))).collect();
        Self(Arc::new(Inner {
            start: Instant::now(),
            invitations,
            state: Mutex::new(state),
            admitted: AtomicU64::new(0),
            turned,
        }))
    }

    /// Makes an invitation for the holder in this process, which is kept nowhere.
    pub(crate) fn invite_holder(&self) -> Result<RelayToken, InvitationsError> {
        let token = new_token()?;
        let (name, hash) = ("the holder of this relay".to_owned(), token.hash());
        let mut state = self.lock();
        state.own = Some(Invitation { name, token: hash, expires: None });
        // Read anew, with this one.
        state.seen = None;
        Ok(token)
    }

    /// A socket was opened, of which `handle` is a second handle; `None` when it is to be closed at
    /// once.
    pub(crate) fn arrive(&self, from: IpAddr, handle: TcpStream) -> Option<Arrived> {
        let now = self.now();
        let mut state = self.lock();
        let from = Source::from(from);
        match state.relaying.arrive(now, from) {
            Ok(arrived) => {
                if let Some(slow) = arrived.displaced {
                    state.close(slow);
                }
                state.sockets.insert(arrived.id, handle);
                drop(state);
                Some(Arrived(Arc::new(Arrival { door: self.clone(), id: arrived.id, from })))
            }
            Err(why) => {
                drop(state);
                self.note_turned(why);
                None
            }
        }
    }

    /// Ends sockets that take too long, and tells which clients have to go, after the invitations
    /// were looked at again.
    pub(crate) fn review(&self) -> Vec<(EndpointId, IrohConnection)> {
        self.reload();
        let now = self.now();
        let mut state = self.lock();
        for slow in state.relaying.overdue(now) {
            state.close(slow);
        }
        let closed = state.relaying.review(wall());
        closed.iter().filter_map(|one| state.clients.get(&one.connection).copied()).collect()
    }

    /// Numbers for those who watch the relay.
    pub(crate) fn counts(&self) -> Counts {
        let turned = self.0.turned.iter();
        let turned = turned.map(|(why, count)| (why.word(), count.load(Ordering::Relaxed)));
        let state = self.lock();
        Counts {
            arrivals: state.relaying.arrivals(),
            clients: state.relaying.connections(),
            records: state.board.len(),
            admitted: self.0.admitted.load(Ordering::Relaxed),
            turned: turned.collect(),
        }
    }

    /// Reads the invitations again when they have changed. Those known stay when that fails: a file
    /// that is being repaired shuts nobody out.
    fn reload(&self) {
        let stamp = self.0.invitations.stamp();
        if self.lock().seen == Some(stamp) {
            return;
        }
        match self.0.invitations.list() {
            Ok(invitations) => {
                info!(count = invitations.len(), "invitations read");
                let mut state = self.lock();
                let all: Vec<Invitation> =
                    state.own.clone().into_iter().chain(invitations).collect();
                state.relaying.set_invitations(all);
                state.seen = Some(stamp);
            }
            Err(error) => warn!(%error, "the invitations stay as they were"),
        }
    }

    fn admit(&self, request: &ClientRequest) -> Result<(), Turned> {
        self.reload();
        let arrival = request.headers().get(ARRIVAL).and_then(|value| value.to_str().ok());
        let arrival = arrival.and_then(|text| text.parse().ok()).ok_or(Turned::Lost)?;
        let token: Option<RelayToken> = request.auth_token().and_then(|text| text.parse().ok());
        let mut state = self.lock();
        let connection = ConnectionId(state.next);
        let client = Client {
            arrival: ArrivalId(arrival),
            connection,
            key: DeviceId::from_bytes(*request.endpoint_id().as_bytes()),
            token: token.as_ref(),
        };
        state.relaying.admit(wall(), client)?;
        state.next += 1;
        state.numbers.insert(request.connection_id(), connection);
        state.clients.insert(connection, (request.endpoint_id(), request.connection_id()));
        Ok(())
    }

    fn note_turned(&self, why: Turned) {
        debug!(why = why.word(), "turned away");
        if let Some(count) = self.0.turned.get(&why) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn now(&self) -> CoreInstant {
        let elapsed = self.0.start.elapsed().as_nanos();
        CoreInstant(u64::try_from(elapsed).unwrap_or(u64::MAX))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AccessControl for Door {
    async fn on_connect(&self, request: &ClientRequest) -> Access {
        match self.admit(request) {
            Ok(()) => {
                self.0.admitted.fetch_add(1, Ordering::Relaxed);
                debug!("a client came");
                Access::Allow
            }
            Err(why) => {
                self.note_turned(why);
                Access::Deny { reason: Some(why.to_string()) }
            }
        }
    }

    fn on_disconnect(&self, _: EndpointId, connection: IrohConnection) {
        let mut state = self.lock();
        if let Some(number) = state.numbers.remove(&connection) {
            state.clients.remove(&number);
            state.relaying.ended(number);
            debug!("a client went");
        }
    }
}

fn wall() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    Timestamp(since.map_or(0, |since| since.as_secs()))
}
