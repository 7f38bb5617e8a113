//! Asks holders for log and heads under the access key, and reads what the heads lead to, from them alone.
//!
//! The shell of `larder_protocol::recovering` without a home of the vault: all of it is in memory, but for
//! fetched bytes, which are sealed as they are.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use larder_protocol::{
    head::SignedHead,
    ids::{DeviceId, HeadHash},
    index::{Segment, ShardRef},
    keys::{epoch::ContentKey, recovery::RecoveryKeys},
    log::DeviceLog,
    manifest::Manifest,
    order::OrderId,
    recovering::{FoundHead, HeadSeen, Input, Output, Recovering},
};
use tokio::{
    sync::mpsc,
    time::{sleep_until, timeout},
};
use tracing::{debug, warn};

use super::{
    super::{Access, access::joined, gather::PATIENCE_MS},
    Tried, blame,
};
use crate::{
    command::{EventSink, ExitKind, Failure},
    depot::PartialShard,
    engine::{Core, EngineError, Keyring, launch, opening::Opening, source::range_of},
    net::{FetchError, NetError},
};

/// How long one holder may take for what is fetched at once.
const FETCH_MAX: Duration = Duration::from_secs(120);

/// What a holder that was asked said.
struct Asked {
    order: OrderId,
    holder: DeviceId,
    answer: Result<(Option<DeviceLog>, Vec<SignedHead>), EngineError>,
}

/// A trial at work.
pub(super) struct Asking<'a> {
    core: &'a Core,
    access: Arc<Access>,
    recovery: &'a RecoveryKeys,
    /// As all who answered have it together.
    log: DeviceLog,
    keyring: Arc<Keyring>,
    content: ContentKey,
    directory: PathBuf,
    machine: Recovering,
    heads: BTreeMap<HeadHash, SignedHead>,
    /// Of each device what was read last, and by which head.
    manifests: BTreeMap<DeviceId, (HeadHash, Manifest)>,
}

impl<'a> Asking<'a> {
    /// Opens the keys of the vault. Fetched bytes go to the directory.
    pub(super) fn new(
        core: &'a Core,
        access: &Arc<Access>,
        recovery: &'a RecoveryKeys,
        (log, directory): (DeviceLog, PathBuf),
    ) -> Result<Self, Failure> {
        let (keyring, content) = keys(&log, recovery)?;
        Ok(Self {
            core,
            access: Arc::clone(access),
            recovery,
            log,
            keyring: Arc::new(keyring),
            content,
            directory,
            machine: Recovering::new(PATIENCE_MS),
            heads: BTreeMap::new(),
            manifests: BTreeMap::new(),
        })
    }

    /// Asks everybody, and whoever is named by what is found, until there are no new ones.
    pub(super) async fn gather(
        &mut self,
        witnesses: &BTreeSet<DeviceId>,
        events: &EventSink,
    ) -> Result<(), Failure> {
        let (answers, mut inbox) = mpsc::channel(64);
        for holder in witnesses {
            self.tell(Input::HolderKnown { holder: *holder });
        }
        let mut is_finished = false;
        loop {
            self.carry_out(&answers, &mut is_finished, events);
            let has_told = tokio::select! {
                told = self.follow_found(events) => told,
                () = events.cancelled() => return Err(Failure::interrupted()),
            };
            if has_told {
                continue;
            }
            if is_finished {
                return Ok(());
            }
            let late = self.machine.poll_timeout();
            tokio::select! {
                Some(asked) = inbox.recv() => self.take(asked)?,
                () = sleep_until_some(late.map(|late| self.core.clock.moment(late))) => {
                    self.tell(Input::TimePassed);
                }
                () = events.cancelled() => return Err(Failure::interrupted()),
            }
        }
    }

    /// All that was found.
    pub(super) fn into_tried(self) -> Tried {
        let name = |id: DeviceId| {
            let label = self.log.label(&id, self.keyring.all());
            (id, label.map_or_else(|| id.short(), |label| label.name))
        };
        let devices = self.log.all_devices().map(|device| name(device.public.id)).collect();
        let found = self.machine.found();
        // What was passed over meanwhile is not what would come back.
        let counts = |device: &DeviceId, hash: &HeadHash| {
            found.heads.get(device).is_some_and(|found| found.head.hash == *hash)
        };
        let manifests = self.manifests.into_iter();
        let manifests = manifests.filter(|(device, (hash, _))| counts(device, hash));
        let manifests = manifests.map(|(device, (_, manifest))| (device, manifest)).collect();
        Tried { log: self.log, found, manifests, devices }
    }

    fn tell(&mut self, input: Input) {
        self.machine.handle_input(self.core.clock.now(), input);
    }

    fn carry_out(
        &mut self,
        answers: &mpsc::Sender<Asked>,
        is_finished: &mut bool,
        events: &EventSink,
    ) {
        let vault = self.log.vault();
        while let Some(output) = self.machine.poll_output() {
            let (access, answers) = (Arc::clone(&self.access), answers.clone());
            match output {
                Output::Ask { order, holder } => {
                    *is_finished = false;
                    tokio::spawn(async move {
                        let answer = async {
                            // The log first: it explains the heads.
                            let log = access.log_of(holder).await?;
                            Ok((Some(log), access.heads_of(holder, vault).await?))
                        };
                        let answer = answer.await;
                        let _ = answers.send(Asked { order, holder, answer }).await;
                    });
                }
                Output::AskPast { order, holder, device, below } => {
                    *is_finished = false;
                    tokio::spawn(async move {
                        let past = access.past_of(holder, (vault, device), below).await;
                        let answer = past.map(|heads| (None, heads));
                        let _ = answers.send(Asked { order, holder, answer }).await;
                    });
                }
                Output::Blame { holder, .. } => blame(events, &holder, "kept back a newer head"),
                Output::Finished { .. } => *is_finished = true,
            }
        }
    }

    fn take(&mut self, Asked { order, holder, answer }: Asked) -> Result<(), Failure> {
        let (log, heads) = match answer {
            Ok((Some(log), _)) if log.vault() != self.log.vault() => {
                debug!("holder {} serves another vault", holder.short());
                self.tell(Input::HolderFailed { order });
                return Ok(());
            }
            Ok(answer) => answer,
            Err(error) => {
                debug!("holder {}: {error}", holder.short());
                self.tell(Input::HolderFailed { order });
                return Ok(());
            }
        };
        if let Some(log) = log {
            self.log = joined(&self.log, &log)?;
            let (keyring, content) = keys(&self.log, self.recovery)?;
            (self.keyring, self.content) = (Arc::new(keyring), content);
        }
        let valid: Vec<SignedHead> =
            heads.into_iter().filter(|head| head.verify(&self.log).is_ok()).collect();
        let seen = valid.iter().map(HeadSeen::from).collect();
        self.heads.extend(valid.into_iter().map(|head| (head.hash(), head)));
        self.tell(Input::HeadsAnswered { order, heads: seen, forged: 0 });
        Ok(())
    }

    /// Reads what the newest heads found so far lead to; returns whether the machine was told anything.
    async fn follow_found(&mut self, events: &EventSink) -> bool {
        let mut has_told = false;
        let found = self.machine.found();
        for (device, FoundHead { head, witnesses }) in found.heads {
            if self.manifests.get(&device).is_some_and(|(hash, _)| *hash == head.hash) {
                continue;
            }
            let Some(signed) = self.heads.get(&head.hash).cloned() else { continue };
            let others = found.answered.difference(&witnesses).copied();
            let holders: Vec<DeviceId> = witnesses.iter().copied().chain(others).collect();
            match self.manifest_of(&signed, &holders, events).await {
                Ok(manifest) => {
                    has_told |= self.meet(&manifest);
                    self.manifests.insert(device, (head.hash, manifest));
                }
                Err(error) => {
                    warn!("head {} of device {}: {error}", head.seq, device.short());
                    self.tell(Input::HeadUnreadable { hash: head.hash });
                    has_told = true;
                }
            }
        }
        has_told
    }

    /// The manifest that a head leads to, and with it all of the index that a restore needs.
    async fn manifest_of(
        &self,
        head: &SignedHead,
        holders: &[DeviceId],
        events: &EventSink,
    ) -> Result<Manifest, EngineError> {
        let (vault, content) = (self.log.vault(), &self.content);
        let opening = Opening { vault, keyring: Arc::clone(&self.keyring), content };
        let body = head.body();
        let whole = 0..body.commit.bytes;
        let bytes = self.bytes(body.commit, whole, holders, events).await?;
        let (manifest, _) = opening.manifest(body.commit, &bytes)?;
        manifest.check_author(body.device, body.seq)?;
        for location in &manifest.segments {
            let range = range_of(location);
            let sealed = self.bytes(location.shard, range, holders, events).await?;
            Segment::decode(&opening.chunk(location, &sealed)?)?;
        }
        Ok(manifest)
    }

    /// A part of a shard, from the first of these holders that gives it.
    async fn bytes(
        &self,
        shard: ShardRef,
        range: Range<u64>,
        holders: &[DeviceId],
        events: &EventSink,
    ) -> Result<Vec<u8>, EngineError> {
        let partial = Arc::new(PartialShard::open(&self.directory, shard)?);
        for holder in holders {
            let peer = self.access.net.peer(*holder);
            let wanted = std::slice::from_ref(&range);
            let fetched = peer.fetch(wanted, Arc::clone(&partial), |_| ());
            match timeout(FETCH_MAX, fetched).await {
                Ok(Ok(())) => return Ok(partial.read(range)?),
                Ok(Err(FetchError::Local(error))) => return Err(error.into()),
                Ok(Err(error)) => {
                    if matches!(error, FetchError::WrongBytes) {
                        blame(events, holder, "served wrong bytes");
                    }
                    debug!("holder {}: {error}", holder.short());
                }
                Err(_) => debug!("holder {}: {}", holder.short(), NetError::Timeout),
            }
        }
        Err(EngineError::NoHolder(shard.root))
    }

    /// Goes on to the holders that a manifest names; returns whether there are any.
    fn meet(&mut self, manifest: &Manifest) -> bool {
        let own = self.core.keys.id();
        let others = manifest.peers.iter().filter(|peer| peer.device != own);
        let named: Vec<DeviceId> = others
            .map(|peer| {
                // Where somebody was found just now comes first.
                let mut addresses = self.access.net.addresses(&peer.device);
                let said = launch::socket_addresses(&peer.addresses).into_iter();
                let new: Vec<_> = said.filter(|one| !addresses.contains(one)).collect();
                addresses.extend(new);
                self.access.net.set_addresses(peer.device, addresses);
                peer.device
            })
            .collect();
        for holder in &named {
            self.tell(Input::HolderKnown { holder: *holder });
        }
        !named.is_empty()
    }
}

/// The keys to what the vault has stored, as the phrase opens them.
fn keys(log: &DeviceLog, recovery: &RecoveryKeys) -> Result<(Keyring, ContentKey), Failure> {
    let refused = || {
        Failure::new(ExitKind::Key, "the phrase does not open the keys of this vault")
            .hint("update larder, then try again; keep every device that still works")
    };
    let epochs = log.epoch_keys(recovery).map_err(|_| refused())?;
    let content = ContentKey::derive(epochs.first().ok_or_else(refused)?);
    let keyring = Keyring::of(log, epochs);
    // What is saved from now on is sealed with the newest.
    if log.current_epoch().is_some() && keyring.sealing().is_err() {
        return Err(refused());
    }
    Ok((keyring, content))
}

async fn sleep_until_some(moment: Option<tokio::time::Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => std::future::pending().await,
    }
}
