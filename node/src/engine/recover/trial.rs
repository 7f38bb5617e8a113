//! `recover --dry-run`: does all that a recovery does to read, and nothing that it does to write.
//!
//! ```text
//! phrase ──▶ holders ──▶ device log ──▶ epoch keys ──▶ heads ──▶ manifests and index, from holders
//! ```
//! It is a guest under the access key of the phrase from beginning to end: no entry is made, nothing is
//! sent that a holder keeps, and what this home has of its vault is neither read nor changed. When the phrase is
//! proved is decided in `larder_protocol::recovering`. Source: specs/trial.md.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::Arc,
};

use larder_protocol::{
    ids::DeviceId,
    keys::recovery::RecoveryKeys,
    limits::RELAYS_MAX,
    log::DeviceLog,
    manifest::Manifest,
    recovering::{Finding, Found, unproved_days},
    relaying::RelayAddress,
    ticket::AddressTicket,
    time::Timestamp,
};
use tracing::warn;

use super::{Access, phrase, search, tickets};
use crate::{
    command::{
        EventSink, ExitKind, Failure, Level, Outcome, PathField, Progress, Secret, Stage, Time,
        TrialHolder, TrialLack, TrialOutcome, TrialSnapshot,
    },
    engine::{Core, EngineError, clock::wall, launch, names},
};

mod asking;

use asking::Asking;

/// The note of the last proof in `state.redb`: when.
const LAST: &str = "phrase proved";

/// All that a trial found.
struct Tried {
    log: DeviceLog,
    found: Found,
    manifests: BTreeMap<DeviceId, Manifest>,
    /// What the vault's devices are called.
    devices: BTreeMap<DeviceId, String>,
}

/// The `recover --dry-run` command.
pub(crate) async fn run(
    core: &Arc<Core>,
    (words, connect, relays): (Secret, Vec<String>, Vec<Secret>),
    events: &EventSink,
) -> Result<Outcome, Failure> {
    let recovery = phrase::parse(&words)?.recovery();
    let tickets = tickets(&connect)?;
    if tickets.iter().any(|ticket| ticket.device == core.keys.id()) {
        return Err(Failure::usage("a ticket is of this very device, which proves nothing")
            .hint("give the ticket of another device, as `larder ticket` prints it there"));
    }
    check_is_ours(core, &recovery)?;
    let relays = relays_of(core, &relays)?;
    events.progress(Progress::new(Stage::Asking));
    let access = Arc::new(Access::open(core, &recovery, relays).await?);
    let tried = tried(core, &access, &recovery, &tickets, events).await;
    access.close().await;
    let tried = tried?;
    let own = launch::own_vault(core)? == Some(tried.log.vault());
    let is_proved = tried.found.proves_the_phrase();
    if own && is_proved {
        note(core)?;
    }
    Ok(Outcome::Trial(outcome(&tried, own, is_proved.then(wall))))
}

/// A phrase of another vault is told before anybody is asked.
fn check_is_ours(core: &Core, recovery: &RecoveryKeys) -> Result<(), Failure> {
    let Some(vault) = launch::own_vault(core)? else { return Ok(()) };
    if *core.log_of(&vault)?.recovery() == recovery.public() {
        return Ok(());
    }
    let vault = vault.short();
    let message =
        format!("this is not the phrase of this home's vault, {vault}, but of another one");
    Err(Failure::new(ExitKind::Key, message).hint(
        "take the 24 words of this vault; to try those of another one, name a fresh home: --home DIR",
    ))
}

/// Those of this home, and those that are named for this one time.
fn relays_of(core: &Core, named: &[Secret]) -> Result<Vec<RelayAddress>, Failure> {
    let mut relays = core.relays.clone();
    for text in named {
        let relay: RelayAddress = text
            .expose()
            .parse()
            .map_err(|_| Failure::usage("a relay that is named has no address of a relay"))?;
        relays.retain(|known| known.url() != relay.url());
        relays.insert(0, relay);
    }
    relays.truncate(RELAYS_MAX);
    Ok(relays)
}

async fn tried(
    core: &Arc<Core>,
    access: &Arc<Access>,
    recovery: &RecoveryKeys,
    tickets: &[AddressTicket],
    events: &EventSink,
) -> Result<Tried, Failure> {
    let search::Found { holders, log } =
        search::search(core, access, recovery, tickets, events).await?;
    let named = tickets.iter().map(|ticket| ticket.device);
    let witnesses: BTreeSet<DeviceId> = holders.into_iter().chain(named).collect();
    let directory = Directory::make(core)?;
    let mut asking = Asking::new(core, access, recovery, (log, directory.0.clone()))?;
    asking.gather(&witnesses, events).await?;
    Ok(asking.into_tried())
}

/// Where a trial fetches to; goes with it.
struct Directory(PathBuf);

impl Directory {
    fn make(core: &Core) -> Result<Self, Failure> {
        let path = core.home.fetch_directory().join("trial");
        let _nothing_there = std::fs::remove_dir_all(&path);
        std::fs::create_dir(&path).map_err(|error| {
            Failure::from_error("cannot make the directory of the trial", &error)
                .hint("see that the disk of the home is not full and can be written")
        })?;
        Ok(Self(path))
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            warn!("what the trial fetched stays until the next one: {error}");
        }
    }
}

fn outcome(tried: &Tried, own: bool, proved: Option<Timestamp>) -> TrialOutcome {
    let Tried { log, found, manifests, .. } = tried;
    let peers = manifests.values().flat_map(|manifest| &manifest.peers);
    let mut nodes: BTreeMap<DeviceId, String> =
        peers.map(|peer| (peer.device, peer.name.clone())).collect();
    nodes.extend(tried.devices.clone());
    let holder = |device: &DeviceId, answered| TrialHolder {
        device: device.to_string(),
        name: nodes.get(device).cloned().unwrap_or_else(|| device.short()),
        answered,
    };
    let answered = found.answered.iter().map(|device| holder(device, true));
    let silent = found.silent.iter().map(|device| holder(device, false));
    let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    let of_all: Vec<(DeviceId, Manifest)> =
        manifests.iter().map(|(device, manifest)| (*device, manifest.clone())).collect();
    let snapshots = names::in_order(&of_all, None, wall()).into_iter();
    TrialOutcome {
        vault: log.vault().to_string(),
        own,
        proved: proved.map(Time::from),
        witnesses_answered: count(found.answered.len()),
        witnesses_known: count(found.answered.len() + found.silent.len()),
        holders: answered.chain(silent).collect(),
        snapshots: snapshots
            .map(|one| TrialSnapshot {
                snapshot: one.id.to_string(),
                time: one.started.into(),
                device: one.device.to_string(),
                device_name: tried.device_name(&one.device),
                path: PathField::new(&one.root_path),
                files: one.files,
                bytes: one.bytes,
                complete: one.complete,
            })
            .collect(),
        unread: found.findings.iter().filter_map(|finding| tried.lack(finding)).collect(),
    }
}

impl Tried {
    fn device_name(&self, device: &DeviceId) -> String {
        self.devices.get(device).cloned().unwrap_or_else(|| device.short())
    }

    /// What does not come back because of a finding.
    fn lack(&self, finding: &Finding) -> Option<TrialLack> {
        let (device, what) = match finding {
            Finding::Unreadable { device, seq } => {
                (device, format!("its state {seq} cannot be read from those that answered"))
            }
            Finding::Missing { device, exists, .. } => (
                device,
                format!("its state {exists} is known to be, and nobody that answered has it"),
            ),
            Finding::Fork { device, .. } => {
                (device, "it has two histories: it was cloned or set back".to_owned())
            }
            Finding::Behind { .. } => return None,
        };
        let device_name = self.device_name(device);
        Some(TrialLack { device: device.to_string(), device_name, what })
    }
}

/// Remembers that the phrase was proved just now.
pub(super) fn note(core: &Core) -> Result<(), EngineError> {
    Ok(core.state.keep_note(LAST, &wall().0.to_le_bytes())?)
}

/// When the phrase of this home's vault was proved last.
fn last(core: &Core) -> Result<Option<Timestamp>, EngineError> {
    let bytes = core.state.note(LAST)?;
    let at = bytes.and_then(|bytes| <[u8; 8]>::try_from(bytes).ok());
    Ok(at.map(|at| Timestamp(u64::from_le_bytes(at))))
}

/// How long ago the phrase was proved.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Proof {
    /// When it was, if it ever was.
    pub(crate) last: Option<Timestamp>,
    /// For how many days it was not, where that is too long.
    pub(crate) overdue_days: Option<u64>,
}

/// How the phrase of this home's vault stands, whose log this is.
pub(crate) fn proof(core: &Core, log: &DeviceLog) -> Result<Proof, EngineError> {
    let last = last(core)?;
    Ok(Proof { last, overdue_days: unproved_days(last, log.founded(), wall()) })
}

/// A holder that broke its word.
fn blame(events: &EventSink, holder: &DeviceId, what: &str) {
    events.notice(Level::Warning, format!("holder {} {what}", holder.short()));
}
