//! The network as whoever has the phrase, until this device is in the log under its own key.

use larder_protocol::{
    head::SignedHead,
    ids::{DeviceId, VaultId},
    keys::recovery::RecoveryKeys,
    limits::{HEADS_OF_DEVICE_MAX, HEADS_PAST_MAX, LOG_DEVICES_BACKED_MAX},
    log::{DeviceLog, LogError},
    relaying::RelayAddress,
    wire::{
        frame::lists_that_fit,
        message::{Answer, Refusal, Request, Standing, VERSION},
    },
};
use minicbor::bytes::ByteVec;
use tracing::debug;
use zeroize::Zeroizing;

use crate::{
    engine::{Core, EngineError},
    net::{Net, Protocol},
    vaults::VaultError,
};

/// Heads that a holder can have: of every device of the log, each forked.
const HEADS_MAX: usize = HEADS_OF_DEVICE_MAX * LOG_DEVICES_BACKED_MAX;

/// A network under the access key. Nobody is answered there; holders may call. Clones share it.
#[derive(Clone)]
pub(in crate::engine) struct Access {
    pub(super) net: Net,
    /// By way of which others are reached and found.
    pub(super) relays: Vec<RelayAddress>,
}

impl Access {
    pub(in crate::engine) async fn open(
        core: &Core,
        recovery: &RecoveryKeys,
        relays: Vec<RelayAddress>,
    ) -> Result<Self, EngineError> {
        let seed = Zeroizing::new(*recovery.access_seed());
        let net = core.net.aside(seed, relays.clone(), Protocol::Seeking).await?;
        Ok(Self { net, relays })
    }

    /// Whether others may be in the same network.
    pub(super) async fn is_in_a_network(&self) -> bool {
        self.net.placed().await;
        !self.net.lan_addresses().is_empty()
    }

    /// The device log of the vault that this phrase belongs to, as `holder` has it.
    pub(super) async fn log_of(&self, holder: DeviceId) -> Result<DeviceLog, EngineError> {
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
            log = Some(extend(log, entries.iter().map(|entry| entry.as_slice()))?);
            if log.as_ref().is_some_and(|log| log.len() == before) {
                break;
            }
        }
        log.filter(|log| log.vault() == standing.vault).ok_or(EngineError::OutOfTurn)
    }

    /// Heads that `holder` serves of the devices of `vault`, not verified.
    pub(super) async fn heads_of(
        &self,
        holder: DeviceId,
        vault: VaultId,
    ) -> Result<Vec<SignedHead>, EngineError> {
        let (mut all, mut after) = (Vec::new(), None);
        loop {
            let heads = self.heads(holder, &Request::PullHeads { vault, after }).await?;
            // Ascending, so this ends whatever the holder does.
            let last = heads.iter().map(|head| head.body().device).max();
            all.extend(heads);
            if last.is_none() || last <= after || all.len() > HEADS_MAX {
                return Ok(all);
            }
            after = last;
        }
    }

    /// Heads of one device with lower numbers than `below` that others have superseded, not verified.
    pub(super) async fn past_of(
        &self,
        holder: DeviceId,
        (vault, device): (VaultId, DeviceId),
        below: u64,
    ) -> Result<Vec<SignedHead>, EngineError> {
        let (mut all, mut lowest) = (Vec::new(), below);
        loop {
            let request = Request::PullPast { vault, device, below: Some(lowest) };
            let mut past = self.heads(holder, &request).await?;
            past.retain(|head| head.body().device == device && head.body().seq < lowest);
            let Some(next) = past.iter().map(|head| head.body().seq).min() else { return Ok(all) };
            all.extend(past);
            if all.len() >= HEADS_PAST_MAX {
                return Ok(all);
            }
            lowest = next;
        }
    }

    async fn heads(
        &self,
        holder: DeviceId,
        request: &Request,
    ) -> Result<Vec<SignedHead>, EngineError> {
        match self.net.peer(holder).request(request).await? {
            // What is none is passed over; the shell of a recovery names who served it.
            Answer::Heads { heads } => {
                Ok(heads.iter().filter_map(|bytes| SignedHead::decode(bytes).ok()).collect())
            }
            Answer::Refused { reason } => Err(EngineError::Refused(reason)),
            _ => Err(EngineError::OutOfTurn),
        }
    }

    /// Each side of this home learns from the other where a holder is.
    pub(in crate::engine) fn reach(&self, core: &Core, holder: DeviceId) {
        let mut places = self.net.addresses(&holder);
        let known = core.net.addresses(&holder).into_iter();
        let others: Vec<_> = known.filter(|one| !places.contains(one)).collect();
        places.extend(others);
        self.net.set_addresses(holder, places.clone());
        core.net.set_addresses(holder, places);
    }

    pub(in crate::engine) async fn close(&self) {
        self.net.close().await;
    }

    async fn hello(&self, holder: DeviceId) -> Result<Option<Standing>, EngineError> {
        // Under the key of the phrase, which is nobody on any network.
        let hello =
            Request::Hello { versions: vec![VERSION], beacon_key: None, site: None, name: None };
        match self.net.peer(holder).request(&hello).await? {
            Answer::Welcome { version: VERSION, standing, .. } => Ok(standing),
            Answer::Refused { reason } => Err(EngineError::Refused(reason)),
            _ => Err(EngineError::OutOfTurn),
        }
    }

    /// Makes this device known to a holder, which would refuse its own key otherwise.
    pub(in crate::engine) async fn introduce(
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

/// What is known, with what another one knows.
pub(super) fn joined(known: &DeviceLog, other: &DeviceLog) -> Result<DeviceLog, EngineError> {
    extend(Some(known.clone()), other.entries())
}

/// Takes in what it can of entries that somebody served, who has taken all of it: what somebody saved there is sealed with
/// keys that stand in it.
fn extend<'a>(
    log: Option<DeviceLog>,
    mut entries: impl Iterator<Item = &'a [u8]>,
) -> Result<DeviceLog, EngineError> {
    let mut log = match log {
        Some(log) => log,
        None => {
            let genesis = entries.next().ok_or(EngineError::OutOfTurn)?;
            DeviceLog::begin(genesis).map_err(VaultError::from)?
        }
    };
    for entry in entries {
        match log.read_back(entry) {
            Err(error @ LogError::Newer { .. }) => {
                return Err(VaultError::from(error).into());
            }
            Err(error) => debug!("an entry of the log is passed over: {error}"),
            Ok(_) => {}
        }
    }
    Ok(log)
}
