//! Recovers a vault on a fresh home: phrase, device log, heads, and this device's own entry.
//!
//! ```text
//! phrase ──▶ access key ──▶ holders: they call, a relay has word of them, tickets name them
//!                              │
//!                              ▼
//!                          device log ──▶ heads of all devices
//!                              │
//!            this device's entry, signed by the phrase, pushed to a holder
//!                              ▼
//!            a device like any other: manifests and indexes follow
//! ```
//! Nothing of the vault's living devices is changed. Which heads are the newest, and who bears
//! witness, is decided in `larder_protocol::recovering`, and so is who is asked first.

use std::{collections::BTreeSet, sync::Arc};

use larder_protocol::{
    ids::{DeviceId, VaultId},
    keys::recovery::RecoveryKeys,
    log::{DeviceLog, Label, Role, add::Newcomer},
    peer::PeerRecord,
    ticket::{AddressTicket, Ticket},
    trail::TrailEvent,
};
use tracing::debug;

use super::{
    Core, EngineError, Member, clock::wall, join, launch, look, names, phrase, sites, trail,
};
use crate::command::{
    EventSink, ExitKind, Failure, Level, Outcome, Progress, RecoverOutcome, Secret, Stage,
};

mod access;
mod again;
mod gather;
mod guarded;
mod missing_keys;
mod search;
mod trial;

pub(super) use access::Access;
use gather::Witnesses;
pub(super) use guarded::{Wish as GuardedWish, recover_by_guardians};
use missing_keys::MissingKeys;
use search::Found;
pub(crate) use trial::{Proof, proof, run as trial};

/// The vault of a holder that called, until a manifest names it: no genesis entry has this hash.
const NOT_KNOWN: VaultId = VaultId::from_bytes([0; 32]);

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
    let phrase = phrase::parse(&wish.phrase)?;
    let tickets = tickets(&wish.connect)?;
    events.progress(Progress::new(Stage::Asking));
    let recovery = phrase.recovery();
    let member = core.member().ok();
    if let Some(member) = &member {
        check_ours(core, member, &recovery)?;
    }
    let access = Arc::new(Access::open(core, &recovery, core.relays.clone()).await?);
    let names = (wish.name, wish.site);
    let witnesses = match &member {
        None => recovered(core, &access, &recovery, (names, &tickets), events).await,
        Some(member) => again::again(core, member, (&access, &recovery), &tickets, events).await,
    };
    access.close().await;
    let witnesses = witnesses?;
    guarded::over(core, events).await;
    trial::note(core)?;
    shown(core, &witnesses, events).await
}

/// What there is to restore now.
async fn shown(
    core: &Arc<Core>,
    witnesses: &Witnesses,
    events: &EventSink,
) -> Result<Outcome, Failure> {
    let member = core.member()?;
    let shelf = look::Shelf::of(core).await?;
    let live = names::live_snapshots(core)?;
    let snapshots: Vec<_> = live.iter().map(|one| shelf.line(one)).collect();
    if snapshots.is_empty() {
        events.notice(Level::Warning, "the holders that answered know of no snapshot yet");
    }
    Ok(Outcome::Recover(RecoverOutcome {
        vault: member.vault.to_string(),
        device: core.keys.id().to_string(),
        name: core.own_name(),
        site: core.own_site(),
        witnesses_answered: witnesses.answered,
        witnesses_known: witnesses.known,
        snapshots,
    }))
}

/// On a device that has its vault the phrase is said once more, but not that of another vault.
fn check_ours(core: &Core, member: &Member, recovery: &RecoveryKeys) -> Result<(), Failure> {
    if *core.log_of(&member.vault)?.recovery() == recovery.public() {
        return Ok(());
    }
    Err(Failure::new(
        ExitKind::Key,
        "this home belongs to a vault already, and these are not its words",
    )
    .hint("recover into a fresh home: name one with --home"))
}

/// No home is two vaults' device.
fn check_fresh(core: &Core) -> Result<(), Failure> {
    if core.member().is_err() {
        return Ok(());
    }
    Err(Failure::usage("this home belongs to a vault already")
        .hint("recover into a fresh home: name one with --home"))
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
    Ok(tickets)
}

/// Finds the vault, makes this home one of its devices, and gathers its newest heads.
async fn recovered(
    core: &Arc<Core>,
    access: &Arc<Access>,
    recovery: &RecoveryKeys,
    ((name, site), tickets): ((Option<String>, Option<String>), &[AddressTicket]),
    events: &EventSink,
) -> Result<Witnesses, Failure> {
    let Found { holders, mut log } =
        search::search(core, access, recovery, tickets, events).await?;
    let name = name.unwrap_or_else(|| core.own_name());
    let label = Label { name, site: site_of(core, recovery, &log, site)? };
    enrol(core, recovery, &mut log, &label)?;
    introduce(access, &holders, &log).await?;
    launch::remember_names(&core.home, &label.name, Some(&label.site))?;
    core.reload_config()?;
    let named = tickets.iter().map(|ticket| ticket.device);
    let witnesses: BTreeSet<DeviceId> = holders.into_iter().chain(named).collect();
    let known = witnesses.iter().map(|holder| {
        let ticket = tickets.iter().find(|ticket| ticket.device == *holder);
        let of_device = log.is_device(holder).then(|| log.vault());
        let vault = ticket.map(|ticket| ticket.vault).or(of_device).unwrap_or(NOT_KNOWN);
        provisional(access, *holder, vault)
    });
    // Before this is a home of the vault: one that was interrupted then knows whom to ask. Manifests that
    // are found will say more of them, and of the others.
    join::keep_peers(core, known.collect()).await?;
    join::become_member(core, log).await?;
    let member = core.member()?;
    trail::note(core, TrailEvent::Became { vault: member.vault, by: None }).await;
    let missing = Arc::new(MissingKeys::of(recovery));
    gather::gather(core, &member, (access, &missing), &witnesses, events).await
}

/// Makes this device known to one holder at least; others are told when they are asked.
async fn introduce(
    access: &Access,
    holders: &[DeviceId],
    log: &DeviceLog,
) -> Result<(), EngineError> {
    let mut last = EngineError::Stranger;
    for holder in holders {
        match access.introduce(*holder, log).await {
            Ok(()) => return Ok(()),
            Err(error) => {
                debug!("holder {}: {error}", holder.short());
                last = error;
            }
        }
    }
    Err(last)
}

/// A holder of which is known only where it was found.
fn provisional(access: &Access, device: DeviceId, vault: VaultId) -> PeerRecord {
    let short = device.short();
    let addresses = access.net.addresses(&device).iter().map(ToString::to_string).collect();
    PeerRecord { device, vault, name: short, addresses, site: sites::NOT_KNOWN.to_owned() }
}

/// Where this device stands: as is said; else with the device of the vault that was taken in last, so that
/// one household never counts as two.
fn site_of(
    core: &Core,
    recovery: &RecoveryKeys,
    log: &DeviceLog,
    said: Option<String>,
) -> Result<String, EngineError> {
    let said = said.or_else(|| core.config().site().map(str::to_owned));
    let usual = || log.usual_site(&log.epoch_keys(recovery).unwrap_or_default());
    said.or_else(usual).map_or_else(sites::generated, Ok)
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
    let (device, label, role) = (core.keys.public(), label.clone(), Role::Owner);
    let newcomer = Newcomer { device, label, role, time: wall() };
    let entry = log.enrol(recovery, &core.keys, &newcomer, &mut launch::rng()?);
    entry.map(|_| ()).map_err(|error| Failure::usage(error.to_string()))
}
