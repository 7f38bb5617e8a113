//! Looks for those who hold the vault of a phrase: in the same network, at the relays, by tickets.
//!
//! The shell of `larder_protocol::recovering::Seeking`: who may hold comes in from all sides, and who is
//! asked, and when that is enough, is decided there. Source: specs/locating.md.

use std::{
    collections::{BTreeMap, BTreeSet},
    convert::Infallible,
    future::pending,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use larder_protocol::{
    discovering::{NONCE_BYTES, is_believable},
    ids::DeviceId,
    keys::recovery::RecoveryKeys,
    locating::{Locator, Whereabouts},
    log::DeviceLog,
    recovering::{SeekAnswer, SeekEnd, SeekInput, SeekOutput, Seeking},
    relaying::RelayAddress,
    ticket::AddressTicket,
    time::Timestamp,
};
use tokio::{
    sync::mpsc,
    task::JoinSet,
    time::{sleep, timeout},
};
use tracing::{debug, warn};

use super::access::{Access, extend};
use crate::{
    command::{EventSink, ExitKind, Failure, Level},
    engine::{Core, EngineError, clock::wall, launch},
    net::{Caller, Net, NetError, RelayFault, records},
};

/// How long one that may hold is asked.
const ASK: Duration = Duration::from_secs(20);
/// The beacon is shown anew so often until somebody is found: multicast gets lost, in radio networks above all.
const SHOW: Duration = Duration::from_secs(3);
/// A relay that did not answer is asked again.
const ASK_RELAY_AGAIN: Duration = Duration::from_secs(5);
/// Devices at one address that are believed to hold: nobody fills the search from one.
const CALLERS_PER_ADDRESS: usize = 4;
/// Addresses of a holder that are taken from a record. It is looked for behind the relays in any case.
const ADDRESSES_OF_RECORD: usize = 4;
/// Candidates that wait to be looked at.
const CANDIDATES: usize = 64;
/// No clock that is right shows less: 2026-01-01.
const EARLIEST: Timestamp = Timestamp(1_767_225_600);

/// Those who hold the vault, and its device log as they have it.
pub(super) struct Found {
    pub(super) holders: Vec<DeviceId>,
    pub(super) log: DeviceLog,
}

/// Somebody who may hold, and where he may be.
struct Candidate {
    device: DeviceId,
    addresses: Vec<SocketAddr>,
}

/// Finds at least one device that holds the vault of this phrase. Whoever names holders has them asked, and
/// nobody else while one of them answers.
pub(super) async fn search(
    core: &Core,
    access: &Access,
    recovery: &RecoveryKeys,
    tickets: &[AddressTicket],
    events: &EventSink,
) -> Result<Found, Failure> {
    let named: Vec<Candidate> = tickets.iter().map(Candidate::of).collect();
    let is_named = !named.is_empty();
    if is_named {
        let mut search = Search::new(core, access, recovery, false);
        named.into_iter().for_each(|candidate| search.candidate(candidate));
        let end = search.run(&mut mpsc::channel(1).1, events).await?;
        if matches!(end, SeekEnd::Found(_) | SeekEnd::Unknown) {
            return search.result(end);
        }
    }
    let is_lan = core.config().lan() && access.is_in_a_network().await;
    if !is_lan && core.relays.is_empty() {
        let nobody =
            if is_named { silent() } else { Failure::usage("it is not known whom to ask") };
        return Err(nobody.hint(HOW));
    }
    if is_named {
        events.notice(Level::Warning, "none of those named answers: others are looked for");
    }
    let locator = Locator::of(&recovery.public());
    let (candidates, mut inbox) = mpsc::channel(CANDIDATES);
    let mut search = Search::new(core, access, recovery, true);
    tokio::select! {
        end = search.run(&mut inbox, events) => search.result(end?),
        never = look(core, access, &locator, is_lan, (candidates, events)) => match never {},
    }
}

/// Looks for candidates in this network and at the relays, for ever.
async fn look(
    core: &Core,
    access: &Access,
    locator: &Locator,
    is_lan: bool,
    (candidates, events): (mpsc::Sender<Candidate>, &EventSink),
) -> Infallible {
    let near = async {
        if is_lan {
            tokio::join!(hear(&access.net, candidates.clone()), show(&access.net, locator));
        }
    };
    tokio::join!(near, ask_relays(core, locator, &candidates, events));
    pending().await
}

impl Candidate {
    fn of(ticket: &AddressTicket) -> Self {
        let addresses = launch::socket_addresses(&ticket.addresses);
        Self { device: ticket.device, addresses }
    }
}

struct Search<'a> {
    core: &'a Core,
    access: &'a Access,
    recovery: &'a RecoveryKeys,
    machine: Seeking,
    asked: JoinSet<(DeviceId, Result<DeviceLog, EngineError>)>,
    /// The log of the vault, as those who answered have it together.
    log: Option<DeviceLog>,
}

impl<'a> Search<'a> {
    fn new(core: &'a Core, access: &'a Access, recovery: &'a RecoveryKeys, goes_on: bool) -> Self {
        let machine = Seeking::new(core.clock.now(), goes_on);
        Self { core, access, recovery, machine, asked: JoinSet::new(), log: None }
    }

    /// Asks those who may hold until it is known who does.
    async fn run(
        &mut self,
        candidates: &mut mpsc::Receiver<Candidate>,
        events: &EventSink,
    ) -> Result<SeekEnd, Failure> {
        self.tell(SeekInput::TimePassed);
        loop {
            if let Some(end) = self.carry_out() {
                return Ok(end);
            }
            tokio::select! {
                Some(candidate) = candidates.recv() => self.candidate(candidate),
                Some(answered) = self.asked.join_next() => self.take(answered),
                () = self.core.clock.reached(self.machine.poll_timeout()) => {
                    self.tell(SeekInput::TimePassed);
                }
                () = events.cancelled() => return Err(Failure::interrupted()),
            }
        }
    }

    fn tell(&mut self, input: SeekInput) {
        self.machine.handle_input(self.core.clock.now(), input);
    }

    fn candidate(&mut self, Candidate { device, addresses }: Candidate) {
        if device == self.core.keys.id() || device == self.access.net.id() {
            return;
        }
        self.access.found_at(device, addresses);
        self.tell(SeekInput::Candidate { device });
    }

    fn carry_out(&mut self) -> Option<SeekEnd> {
        while let Some(output) = self.machine.poll_output() {
            match output {
                SeekOutput::Ask { device } => {
                    let access = self.access.clone();
                    self.asked.spawn(async move {
                        let asked = timeout(ASK, access.log_of(device)).await;
                        (device, asked.unwrap_or_else(|_| Err(NetError::Timeout.into())))
                    });
                }
                SeekOutput::Ended(end) => return Some(end),
            }
        }
        None
    }

    fn take(
        &mut self,
        answered: Result<(DeviceId, Result<DeviceLog, EngineError>), tokio::task::JoinError>,
    ) {
        let Ok((device, answered)) = answered else { return };
        let answer = match answered {
            Ok(log) if *log.recovery() == self.recovery.public() => self.learn(device, log),
            Ok(_) => {
                warn!("device {} serves another vault", device.short());
                SeekAnswer::Unknown
            }
            Err(error) => {
                debug!("device {}: {error}", device.short());
                if error.is_refusal() { SeekAnswer::Unknown } else { SeekAnswer::Silent }
            }
        };
        self.tell(SeekInput::Answered { device, answer });
    }

    /// Puts the log that a holder served to what is known.
    fn learn(&mut self, device: DeviceId, log: DeviceLog) -> SeekAnswer {
        let known = match self.log.take() {
            None => Ok(log),
            Some(known) => extend(Some(known.clone()), log.entries()).or_else(|error| {
                warn!("the log of device {} is passed over: {error}", device.short());
                Ok::<_, EngineError>(known)
            }),
        };
        self.log = known.ok();
        SeekAnswer::Holds
    }

    fn result(self, end: SeekEnd) -> Result<Found, Failure> {
        let failure = match end {
            SeekEnd::Found(holders) => match self.log {
                Some(log) => return Ok(Found { holders, log }),
                None => EngineError::OutOfTurn.into(),
            },
            SeekEnd::Unknown => {
                Failure::new(ExitKind::Key, "no holder that was asked knows this phrase").hint(
                    "check that these are the 24 words of this vault, and its holder's ticket",
                )
            }
            SeekEnd::Silent => silent(),
            SeekEnd::Nobody if wall() < EARLIEST => {
                let message = "the clock of this device is wrong, so that no holder knows it";
                Failure::new(ExitKind::Holders, message).hint("set the clock, then try again")
            }
            SeekEnd::Nobody => {
                let relays =
                    if self.core.relays.is_empty() { "" } else { ", and none at the relays" };
                let message = format!("no holder of this vault is in this network{relays}");
                Failure::new(ExitKind::Holders, message).hint(HOW)
            }
        };
        Err(failure)
    }
}

fn silent() -> Failure {
    Failure::new(ExitKind::Holders, "no holder could be reached")
        .hint("start a holder with `larder up`, get its ticket anew with `larder ticket`")
}

/// Tells who calls.
async fn hear(net: &Net, candidates: mpsc::Sender<Candidate>) {
    let (callers, mut calls) = mpsc::channel::<Caller>(CANDIDATES);
    let mut heard_from: BTreeMap<IpAddr, BTreeSet<DeviceId>> = BTreeMap::new();
    let heard = async {
        while let Some(caller) = calls.recv().await {
            let own: Vec<_> = net.lan_addresses().iter().map(SocketAddr::ip).collect();
            let from_there = heard_from.entry(caller.address.ip()).or_default();
            let is_one_of_few =
                from_there.len() < CALLERS_PER_ADDRESS || from_there.contains(&caller.device);
            if is_one_of_few && is_believable(caller.address, &own) {
                from_there.insert(caller.device);
                debug!("{} calls from {}", caller.device.short(), caller.address);
                let candidate =
                    Candidate { device: caller.device, addresses: vec![caller.address] };
                let _told = candidates.send(candidate).await;
            }
        }
    };
    tokio::join!(net.callers(callers), heard);
}

/// Shows that the holders of this vault are looked for, until it is dropped.
async fn show(net: &Net, locator: &Locator) {
    loop {
        let mut nonce = [0; NONCE_BYTES];
        if getrandom::fill(&mut nonce).is_err() {
            return;
        }
        let (sightings, _) = mpsc::channel(1);
        let beacon = locator.seek_key().beacon(nonce, wall());
        if let Ok(end) = timeout(SHOW, net.look_around(beacon, sightings)).await {
            debug!("looking around ended: {end:?}");
            sleep(SHOW).await;
        }
    }
}

/// Asks the relays for the records of the vault's holders, again and again, until it is dropped.
async fn ask_relays(
    core: &Core,
    locator: &Locator,
    candidates: &mpsc::Sender<Candidate>,
    events: &EventSink,
) {
    let mut left: Vec<&RelayAddress> = core.relays.iter().collect();
    let mut told = Vec::new();
    while !left.is_empty() {
        let mut left_over = Vec::new();
        for relay in left {
            match records(relay, &locator.slot()).await {
                Ok(records) => {
                    let found = records.iter().filter_map(|record| record.open(locator));
                    for Whereabouts { device, addresses } in found {
                        let mut addresses = launch::socket_addresses(&addresses);
                        // Whoever knows the locator can say where others are: not too much of it.
                        addresses.truncate(ADDRESSES_OF_RECORD);
                        let _told = candidates.send(Candidate { device, addresses }).await;
                    }
                    // Another may have just been switched on.
                    left_over.push(relay);
                }
                Err(fault) => {
                    if !told.contains(&fault) {
                        events.notice(Level::Warning, format!("the relay {relay} {fault}"));
                        told.push(fault.clone());
                    }
                    if !matches!(fault, RelayFault::Denied(_)) {
                        left_over.push(relay);
                    }
                }
            }
        }
        left = left_over;
        sleep(ASK_RELAY_AGAIN).await;
    }
}

const HOW: &str = "start a holder of this vault in this network; or name the relay that its holders use: \
     --relay URL; or name a holder: --connect TICKET, as `larder ticket` prints it there";
