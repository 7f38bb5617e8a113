//! Looks for those who hold the vault of a phrase: in the same network, at the relays, by tickets.
//!
//! The shell of `larder_protocol::recovering::Seeking`: who may hold comes in from all sides, and who is
//! asked, and when that is enough, is decided there. Source: specs/locating.md.

use std::{
    convert::Infallible, future::pending, net::SocketAddr, pin::pin, sync::Arc, time::Duration,
};

use larder_protocol::{
    discovering::NONCE_BYTES,
    ids::DeviceId,
    keys::recovery::RecoveryKeys,
    limits::SEEK_MS_MAX,
    locating::{Locator, Whereabouts},
    log::DeviceLog,
    recovering::{Lead, SeekAnswer, SeekEnd, SeekInput, SeekOutput, Seeking},
    relaying::RelayAddress,
    ticket::AddressTicket,
    time::Timestamp,
};
use tokio::{
    sync::mpsc,
    task::{JoinError, JoinSet},
    time::{sleep, timeout},
};
use tracing::{debug, warn};

use super::access::{Access, joined};
use crate::{
    command::{EventSink, ExitKind, Failure, Level},
    engine::{Core, EngineError, clock::wall, launch},
    net::{Caller, Net, NetError, RelayFault, records},
};

/// How long one that may hold is asked.
const ASK: Duration = Duration::from_secs(20);
/// The beacon is shown anew so often until somebody is found: multicast gets lost, in radio networks above all.
const SHOW: Duration = Duration::from_secs(3);
/// Relays are asked again so often: a holder may have just been switched on.
const ASK_RELAY_AGAIN: Duration = Duration::from_secs(5);
/// What was seen and waits to be looked at.
const SIGHTINGS: usize = 64;
/// No clock that is right shows less: 2026-01-01.
const EARLIEST: Timestamp = Timestamp(1_767_225_600);

/// Those who hold the vault, and its device log as they have it.
pub(super) struct Found {
    pub(super) holders: Vec<DeviceId>,
    pub(super) log: DeviceLog,
}

/// Finds at least one device that holds the vault of this phrase.
pub(super) async fn search(
    core: &Arc<Core>,
    access: &Access,
    recovery: &RecoveryKeys,
    tickets: &[AddressTicket],
    events: &EventSink,
) -> Result<Found, Failure> {
    let wants_lan = core.config().lan();
    let is_lan = wants_lan && access.is_in_a_network().await;
    let can_look = is_lan || !access.relays.is_empty();
    if !can_look && tickets.is_empty() {
        let nobody = if wants_lan {
            Failure::new(ExitKind::Holders, "this device is in no network, and no relay is named")
        } else {
            Failure::usage("it is not known whom to ask: `net.lan` is off, and no relay is named")
        };
        return Err(nobody.hint(HOW));
    }
    let named = tickets.iter().map(lead).collect();
    let mut search = Search {
        core,
        access,
        recovery,
        machine: Seeking::new(core.clock.now(), named, can_look),
        asked: JoinSet::new(),
        log: None,
    };
    let (seen, mut sightings) = mpsc::channel(SIGHTINGS);
    let locator = Locator::of(&recovery.public());
    // Shows nothing and asks nobody before it is polled.
    let mut looking = pin!(look(access, &locator, is_lan, (seen, events)));
    let mut is_looking = false;
    search.tell(SeekInput::TimePassed);
    loop {
        while let Some(output) = search.machine.poll_output() {
            match output {
                SeekOutput::Ask(lead) => search.ask(lead),
                SeekOutput::LookAround => {
                    is_looking = true;
                    if !tickets.is_empty() {
                        let said = "none of those named answers: others are looked for";
                        events.notice(Level::Warning, said);
                    }
                    events.notice(Level::Normal, where_it_looks(is_lan, access.relays.len()));
                }
                SeekOutput::Ended(end) => return search.result(end),
            }
        }
        tokio::select! {
            never = &mut looking, if is_looking => match never {},
            Some(input) = sightings.recv() => search.sighted(input),
            Some(answered) = search.asked.join_next() => search.take(answered),
            () = core.clock.reached(search.machine.poll_timeout()) => {
                search.tell(SeekInput::TimePassed);
            }
            () = events.cancelled() => return Err(Failure::interrupted()),
        }
    }
}

fn where_it_looks(is_lan: bool, relays: usize) -> String {
    let seconds = SEEK_MS_MAX / 1000;
    let near = if is_lan { "in this network" } else { "" };
    let joined = if is_lan && relays > 0 { " and " } else { "" };
    let far = match relays {
        0 => String::new(),
        1 => "at the relay".to_owned(),
        many => format!("at {many} relays"),
    };
    format!("looking for holders of this vault {near}{joined}{far}, for {seconds} s or so")
}

fn lead(ticket: &AddressTicket) -> Lead {
    Lead { device: ticket.device, addresses: launch::socket_addresses(&ticket.addresses) }
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

impl Search<'_> {
    fn tell(&mut self, input: SeekInput) {
        self.machine.handle_input(self.core.clock.now(), input);
    }

    /// What this very device keeps says nothing of what others would give.
    fn sighted(&mut self, input: SeekInput) {
        let device = match &input {
            SeekInput::Called { device, .. } | SeekInput::Recorded(Lead { device, .. }) => *device,
            SeekInput::Answered { .. } | SeekInput::TimePassed => return,
        };
        if device != self.core.keys.id() {
            self.tell(input);
        }
    }

    fn ask(&mut self, Lead { device, addresses }: Lead) {
        self.access.net.set_addresses(device, addresses);
        let access = self.access.clone();
        self.asked.spawn(async move {
            let asked = timeout(ASK, access.log_of(device)).await;
            (device, asked.unwrap_or_else(|_| Err(NetError::Timeout.into())))
        });
    }

    fn take(&mut self, answered: Result<(DeviceId, Result<DeviceLog, EngineError>), JoinError>) {
        // It never panics; if a library did, the machine stops waiting for it.
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
        self.log = Some(match self.log.take() {
            None => log,
            Some(known) => joined(&known, &log).unwrap_or_else(|error| {
                warn!("the log of device {} is passed over: {error}", device.short());
                known
            }),
        });
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
            SeekEnd::Silent => Failure::new(ExitKind::Holders, "no holder could be reached")
                .hint("start a holder with `larder up`, get its ticket anew with `larder ticket`"),
            SeekEnd::Nobody if wall() < EARLIEST => {
                let message = "the clock of this device is wrong, so that no holder knows it";
                Failure::new(ExitKind::Holders, message).hint("set the clock, then try again")
            }
            SeekEnd::Nobody => {
                let relays =
                    if self.access.relays.is_empty() { "" } else { ", and none at the relays" };
                let message = format!("no holder of this vault is in this network{relays}");
                Failure::new(ExitKind::Holders, message).hint(HOW)
            }
        };
        Err(failure)
    }
}

/// Looks for holders in this network and at the relays, for ever.
async fn look(
    access: &Access,
    locator: &Locator,
    is_lan: bool,
    (seen, events): (mpsc::Sender<SeekInput>, &EventSink),
) -> Infallible {
    let mut relays = JoinSet::new();
    for relay in access.relays.iter().cloned() {
        relays.spawn(ask_relay(relay, locator.clone(), seen.clone(), events.clone()));
    }
    if is_lan {
        tokio::join!(hear(&access.net, seen), show(&access.net, locator));
    }
    while relays.join_next().await.is_some() {}
    pending().await
}

/// Tells who calls.
async fn hear(net: &Net, seen: mpsc::Sender<SeekInput>) {
    let (callers, mut calls) = mpsc::channel(SIGHTINGS);
    let heard = async {
        while let Some(Caller { device, address }) = calls.recv().await {
            debug!("{} calls from {address:?}", device.short());
            let own = net.lan_addresses().iter().map(SocketAddr::ip).collect();
            let _told = seen.send(SeekInput::Called { device, address, own }).await;
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

/// Asks a relay for the records of the vault's holders, again and again, until it says no.
async fn ask_relay(
    relay: RelayAddress,
    locator: Locator,
    seen: mpsc::Sender<SeekInput>,
    events: EventSink,
) {
    let mut has_warned = false;
    loop {
        match records(&relay, &locator.slot()).await {
            Ok(records) => {
                for found in records.iter().filter_map(|record| record.open(&locator)) {
                    let Whereabouts { device, addresses } = found;
                    debug!("{} has left word at {relay}", device.short());
                    let addresses = launch::socket_addresses(&addresses);
                    let _told = seen.send(SeekInput::Recorded(Lead { device, addresses })).await;
                }
            }
            Err(fault) => {
                if !has_warned {
                    events.notice(Level::Warning, format!("the relay {relay} {fault}"));
                    has_warned = true;
                }
                if matches!(fault, RelayFault::Denied(_)) {
                    return;
                }
            }
        }
        sleep(ASK_RELAY_AGAIN).await;
    }
}

const HOW: &str = "start a holder of this vault in this network; or name the relay that its holders use: \
     --relay URL; or name a holder: --connect TICKET, as `larder ticket` prints it there";
