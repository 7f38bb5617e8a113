//! Recovers a vault on a fresh home: phrase, device log, heads, and this device's own entry.
//!
//! ```text
//! phrase ──▶ access key ──▶ holders named by tickets ──▶ device log ──▶ heads of all devices
//!                                                            │
//!                            this device's entry, signed by the phrase, pushed to a holder
//!                                                            ▼
//!                              a device like any other: manifests and indexes follow
//! ```
//! Nothing of the vault's living devices is changed. Which heads are the newest, and who bears
//! witness, is decided in `larder_protocol::recovering`.

use std::{sync::Arc, time::Duration};

use larder_protocol::{
    ids::DeviceId,
    keys::{phrase::Phrase, recovery::RecoveryKeys},
    log::{DeviceLog, Label, LogError, add::Newcomer},
    peer::PeerRecord,
    ticket::{AddressTicket, Ticket},
    wire::{
        frame::lists_that_fit,
        message::{Answer, Refusal, Request, Standing, VERSION},
    },
};
use minicbor::bytes::ByteVec;
use tokio::time::timeout;
use tracing::{debug, warn};
use zeroize::Zeroizing;

use super::{Core, EngineError, clock::wall, join, launch, look, names};
use crate::{
    command::{
        EventSink, ExitKind, Failure, Level, Outcome, Progress, RecoverOutcome, Secret, Stage,
    },
    net::{Admission, Entry, Listen, Net, NetError, Protocol, Settings},
};

mod gather;

/// How long the first holder is tried.
const FIRST_CONTACT: Duration = Duration::from_secs(20);

/// What was asked for.
pub(crate) struct Wish {
    pub(crate) phrase: Secret,
    pub(crate) connect: Vec<String>,
    pub(crate) name: Option<String>,
    pub(crate) site: Option<String>,
}

/// The `recover` command.
pub(crate) async fn recover(
    core: &Arc<Core>,
    wish: Wish,
    events: &EventSink,
) -> Result<Outcome, Failure> {
    if core.member().is_ok() {
        return Err(Failure::usage("this home belongs to a vault already")
            .hint("recover into a fresh home: name one with --home"));
    }
    let phrase = Phrase::parse(wish.phrase.expose()).map_err(|error| {
        Failure::new(ExitKind::Key, error.to_string())
            .hint("check each word against the sheet; 24 words of the English BIP39 list")
    })?;
    let tickets = tickets(&wish.connect)?;
    events.progress(Progress::new(Stage::Asking));
    let recovery = phrase.recovery();
    let access = Access::open(core, &recovery).await?;
    let found = access.find_vault(&recovery, &tickets, events).await;
    let (holder, mut log) = match found {
        Ok(found) => found,
        Err(failure) => {
            access.close().await;
            return Err(failure);
        }
    };
    let label = label(core, wish.name, wish.site);
    enrol(core, &recovery, &mut log, &label)?;
    access.introduce(holder, &log).await?;
    launch::remember_names(&core.home, &label)?;
    core.reload_config()?;
    join::become_member(core, log).await?;
    // Manifests that are found will say more of them.
    join::keep_peers(core, tickets.iter().map(provisional).collect()).await?;
    let member = core.member()?;
    let access = Arc::new(access);
    let witnesses = gather::gather(core, &member, &access, &tickets, events).await;
    access.close().await;
    let witnesses = witnesses?;
    let shelf = look::Shelf::of(core).await?;
    let live = names::live_snapshots(core)?;
    let snapshots: Vec<_> = live.iter().map(|one| shelf.line(one)).collect();
    if snapshots.is_empty() {
        events.notice(Level::Warning, "the holders that answered know of no snapshot yet");
    }
    Ok(Outcome::Recover(RecoverOutcome {
        vault: member.vault.to_string(),
        device: core.keys.id().to_string(),
        name: label.name,
        witnesses_answered: witnesses.answered,
        witnesses_known: witnesses.known,
        snapshots,
    }))
}

fn tickets(texts: &[String]) -> Result<Vec<AddressTicket>, Failure> {
    let mut tickets = Vec::with_capacity(texts.len());
    for text in texts {
        match text.parse::<Ticket>() {
            Ok(Ticket::Address(ticket)) => tickets.push(ticket),
            Ok(Ticket::Invite(_)) => {
                return Err(Failure::usage("this is an invitation, not a ticket with addresses")
                    .hint("give --connect the text that `larder ticket` prints on a holder"));
            }
            Err(error) => {
                return Err(Failure::usage(error.to_string())
                    .hint("copy the whole text that `larder ticket` printed, in one piece"));
            }
        }
    }
    if tickets.is_empty() {
        return Err(Failure::usage("it is not known whom to ask")
            .hint("name a holder: --connect TICKET, as `larder ticket` prints it there"));
    }
    Ok(tickets)
}

/// A holder of which only the ticket is known.
fn provisional(ticket: &AddressTicket) -> PeerRecord {
    let short = ticket.device.short();
    PeerRecord {
        device: ticket.device,
        vault: ticket.vault,
        name: short.clone(),
        addresses: ticket.addresses.clone(),
        site: short,
    }
}

fn label(core: &Core, name: Option<String>, site: Option<String>) -> Label {
    let name = name.unwrap_or_else(|| core.own_name());
    Label { site: site.unwrap_or_else(|| name.clone()), name }
}

/// Adds this device's entry to the log, unless an earlier try has done so already.
fn enrol(
    core: &Core,
    recovery: &RecoveryKeys,
    log: &mut DeviceLog,
    label: &Label,
) -> Result<(), Failure> {
    if log.is_device(&core.keys.id()) {
        return Ok(());
    }
    let newcomer = Newcomer { device: core.keys.public(), label: label.clone(), time: wall() };
    let entry = log.enrol(recovery, &core.keys, &newcomer, &mut launch::rng()?);
    entry.map(|_| ()).map_err(|error| Failure::usage(error.to_string()))
}

/// The network as whoever has the phrase: only dials, answers nobody.
pub(super) struct Access {
    net: Net,
}

#[derive(Debug)]
struct Nobody;

impl Admission for Nobody {
    fn admit(&self, _: &DeviceId, _: Protocol) -> Entry {
        Entry::Refused
    }
}

impl Access {
    pub(super) async fn open(core: &Core, recovery: &RecoveryKeys) -> Result<Self, EngineError> {
        let listen = Listen::Everywhere { port: 0 };
        let seed = Zeroizing::new(*recovery.access_seed());
        let settings = Settings { seed, listen, relays: core.relays.clone() };
        Ok(Self { net: Net::start(settings, Arc::new(Nobody)).await? })
    }

    /// The first holder that knows the phrase, and the log that it serves.
    async fn find_vault(
        &self,
        recovery: &RecoveryKeys,
        tickets: &[AddressTicket],
        events: &EventSink,
    ) -> Result<(DeviceId, DeviceLog), Failure> {
        let own = recovery.public();
        let mut was_refused = false;
        let mut last = None;
        for ticket in tickets {
            events.check()?;
            self.net.set_addresses(ticket.device, launch::socket_addresses(&ticket.addresses));
            match timeout(FIRST_CONTACT, self.ask_for_log(ticket.device)).await {
                Ok(Ok(log)) if *log.recovery() == own => return Ok((ticket.device, log)),
                Ok(Ok(_)) => {
                    warn!("holder {} serves another vault", ticket.device.short());
                    was_refused = true;
                    last = Some(EngineError::Stranger);
                }
                Ok(Err(error)) => {
                    debug!("holder {}: {error}", ticket.device.short());
                    was_refused |= error.is_refusal();
                    last = Some(error);
                }
                Err(_) => last = Some(NetError::Timeout.into()),
            }
        }
        if was_refused {
            return Err(Failure::new(ExitKind::Key, "no holder that was asked knows this phrase")
                .hint("check that these are the 24 words of this vault, and its holder's ticket"));
        }
        let told = last.map_or_else(String::new, |error| format!(": {error}"));
        Err(Failure::new(ExitKind::Holders, format!("no holder could be reached{told}"))
            .hint("start a holder with `larder up`, get its ticket anew with `larder ticket`"))
    }

    async fn ask_for_log(&self, holder: DeviceId) -> Result<DeviceLog, EngineError> {
        let standing = self.hello(holder).await?.ok_or(EngineError::Stranger)?;
        let mut log: Option<DeviceLog> = None;
        loop {
            let have = log.as_ref().map(DeviceLog::heads).unwrap_or_default();
            let request = Request::PullLog { vault: standing.vault, have };
            let entries = match self.net.peer(holder).request(&request).await? {
                Answer::Log { entries } => entries,
                Answer::Refused { reason } => return Err(EngineError::Refused(reason)),
                _ => return Err(EngineError::OutOfTurn),
            };
            let before = log.as_ref().map_or(0, DeviceLog::len);
            log = Some(extend(log, &entries)?);
            if log.as_ref().is_some_and(|log| log.len() == before) {
                break;
            }
        }
        log.filter(|log| log.vault() == standing.vault).ok_or(EngineError::OutOfTurn)
    }

    /// Takes over where a holder was met.
    pub(super) fn reach(&self, core: &Core, holder: DeviceId) {
        self.net.set_addresses(holder, core.net.addresses(&holder));
    }

    pub(super) async fn close(&self) {
        self.net.close().await;
    }

    async fn hello(&self, holder: DeviceId) -> Result<Option<Standing>, EngineError> {
        // Under the key of the phrase, which is nobody on any network.
        let hello = Request::Hello { versions: vec![VERSION], beacon_key: None };
        match self.net.peer(holder).request(&hello).await? {
            Answer::Welcome { version: VERSION, standing, .. } => Ok(standing),
            Answer::Refused { reason } => Err(EngineError::Refused(reason)),
            _ => Err(EngineError::OutOfTurn),
        }
    }

    /// Makes this device known to a holder, which would refuse its own key otherwise.
    pub(super) async fn introduce(
        &self,
        holder: DeviceId,
        log: &DeviceLog,
    ) -> Result<(), EngineError> {
        let entries: Vec<ByteVec> = log.entries().map(|entry| entry.to_vec().into()).collect();
        for entries in lists_that_fit(&entries) {
            let request = Request::PushLog { vault: log.vault(), entries };
            match self.net.peer(holder).request(&request).await? {
                // What it has no room for is passed over. Whether it knows this device is found
                // out when it is greeted.
                Answer::LogAt { .. } | Answer::Refused { reason: Refusal::Invalid } => {}
                Answer::Refused { reason } => return Err(EngineError::Refused(reason)),
                _ => return Err(EngineError::OutOfTurn),
            }
        }
        Ok(())
    }
}

fn extend(log: Option<DeviceLog>, entries: &[ByteVec]) -> Result<DeviceLog, EngineError> {
    let mut entries = entries.iter();
    let mut log = match log {
        Some(log) => log,
        None => {
            let genesis = entries.next().ok_or(EngineError::OutOfTurn)?;
            DeviceLog::begin(genesis).map_err(crate::vaults::VaultError::from)?
        }
    };
    for entry in entries {
        match log.merge(entry) {
            Err(error @ LogError::Newer { .. }) => {
                return Err(crate::vaults::VaultError::from(error).into());
            }
            Err(error) => debug!("an entry of the log is passed over: {error}"),
            Ok(_) => {}
        }
    }
    Ok(log)
}
