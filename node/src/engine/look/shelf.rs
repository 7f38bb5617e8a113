//! The list of snapshots, and how safe each is.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use larder_protocol::{
    head::SignedHead,
    ids::{ChunkId, DeviceId},
    manifest::SnapshotSummary,
    placing::Status,
    time::Timestamp,
};

use super::super::{Core, EngineError, Member, clock::wall, commit, names, on_disk, settings};
use crate::command::{
    Failure, Outcome, PathField, RawPath, Safety, Snapshot, SnapshotsOutcome, Time,
};

/// Lists snapshots of all devices, oldest first.
pub(crate) async fn snapshots(
    core: &Arc<Core>,
    device: Option<String>,
    path: Option<RawPath>,
) -> Result<Outcome, Failure> {
    let shelf = Shelf::of(core).await?;
    let wanted = device.map(|text| shelf.devices_called(&text)).transpose()?;
    let reading = Arc::clone(core);
    let all = on_disk(move || names::live_snapshots(&reading)).await?;
    // As it was typed, or the folder that stands there now.
    let path = path.map(|path| {
        let path = path.as_path();
        let typed: std::path::PathBuf = path.components().collect();
        [typed, settings::real(path)].map(|path| RawPath::from(path).as_bytes().to_vec())
    });
    let snapshots = all
        .iter()
        .filter(|one| wanted.as_ref().is_none_or(|wanted| wanted.contains(&one.device)))
        .filter(|one| {
            path.as_ref().is_none_or(|paths| paths.iter().any(|path| *path == *one.root_path))
        })
        .map(|one| shelf.line(one))
        .collect();
    let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
    Ok(Outcome::Snapshots(SnapshotsOutcome {
        snapshots_total: count(all.len()),
        devices_total: count(shelf.names.len()),
        snapshots,
    }))
}

/// What is known beside a snapshot itself when it is shown: what its device is called, and how
/// far it has come.
#[derive(Debug)]
pub(crate) struct Shelf {
    own: DeviceId,
    names: BTreeMap<DeviceId, String>,
    /// Own snapshots that a published head names.
    published: BTreeSet<ChunkId>,
    /// How safe those are: `Safe`, unless holders have lost some of it since.
    published_safety: Safety,
    /// Since when they have been.
    safe_since: BTreeMap<ChunkId, Timestamp>,
    /// How safe the other own snapshots are.
    unpublished_safety: Safety,
}

impl Shelf {
    /// Gathers it. Of a home without a vault there is nothing to show.
    pub(crate) async fn of(core: &Arc<Core>) -> Result<Self, EngineError> {
        let member = core.member()?;
        let status = member.custody()?.status().await.ok_or(EngineError::Stopped)?;
        Self::with(core, &member, &status).await
    }

    /// The same with a status that is at hand.
    pub(crate) async fn with(
        core: &Arc<Core>,
        member: &Arc<Member>,
        status: &Status,
    ) -> Result<Self, EngineError> {
        let (reading, looking) = (Arc::clone(core), Arc::clone(member));
        let (published, seq) = on_disk(move || published(&reading, &looking)).await?;
        let so_far = if status.copies_least > 0 { Safety::Partly } else { Safety::Local };
        Ok(Self {
            own: member.keys.id(),
            names: device_names(core, member),
            published,
            safe_since: core.state.safe_since()?,
            published_safety: if status.is_whole(seq) { Safety::Safe } else { so_far },
            unpublished_safety: so_far,
        })
    }

    /// How safe a snapshot is. Those of other devices are known by their published heads.
    pub(crate) fn safety(&self, snapshot: &SnapshotSummary) -> Safety {
        if snapshot.device != self.own {
            Safety::Safe
        } else if self.published.contains(&snapshot.id) {
            self.published_safety
        } else {
            self.unpublished_safety
        }
    }

    fn safe_since(&self, snapshot: &SnapshotSummary) -> Option<Time> {
        let is_safe = snapshot.device == self.own && self.safety(snapshot) == Safety::Safe;
        let since = self.safe_since.get(&snapshot.id).filter(|_| is_safe);
        since.copied().map(Time::from)
    }

    /// The snapshot as lists show it.
    pub(crate) fn line(&self, snapshot: &SnapshotSummary) -> Snapshot {
        let name = self.names.get(&snapshot.device).cloned();
        Snapshot {
            snapshot: snapshot.id.to_string(),
            time: Time::from(snapshot.started),
            device: snapshot.device.to_string(),
            device_name: name.unwrap_or_else(|| snapshot.device.short()),
            path: PathField::new(&snapshot.root_path),
            files: snapshot.files,
            bytes: snapshot.bytes,
            complete: snapshot.complete,
            automatic: snapshot.is_automatic(),
            pinned: snapshot.is_pinned(),
            safety: self.safety(snapshot),
            safe_since: self.safe_since(snapshot),
        }
    }

    /// The devices of a name, or whose id begins so.
    fn devices_called(&self, text: &str) -> Result<BTreeSet<DeviceId>, Failure> {
        let prefix = text.to_ascii_lowercase();
        let is_called = |id: &DeviceId, name: &String| {
            name == text || (!prefix.is_empty() && id.to_string().starts_with(&prefix))
        };
        let called: BTreeSet<DeviceId> =
            self.names.iter().filter(|(id, name)| is_called(id, name)).map(|(id, _)| *id).collect();
        if called.is_empty() {
            return Err(Failure::failed(format!("no device of this vault is called {text}"))
                .hint("`larder devices` shows names and ids"));
        }
        Ok(called)
    }
}

/// What the devices of the vault are called. This one by its setting, as long as nobody has renamed it:
/// the setting may be newer than the entry that took it in.
pub(crate) fn device_names(core: &Core, member: &Member) -> BTreeMap<DeviceId, String> {
    let (own, keyring) = (member.keys.id(), member.keyring());
    let vaults = core.vaults.read();
    let Some(known) = vaults.get(&member.vault) else { return BTreeMap::new() };
    let name = |id: DeviceId| {
        let (log, keys) = (known.log(), keyring.all());
        let renamed = log.renamed(&id, keys).map(|label| label.name);
        let set = if id == own { core.config().name().map(str::to_owned) } else { None };
        let taken_in = || log.label(&id, keys).map(|label| label.name);
        (id, renamed.or(set).or_else(taken_in).unwrap_or_else(|| id.short()))
    };
    known.log().all_devices().map(|device| name(device.public.id)).collect()
}

/// Remembers of the own snapshots that a published head names since when they have been safe.
pub(crate) fn note_safe(core: &Core, member: &Member) -> Result<(), EngineError> {
    let (safe, _) = published(core, member)?;
    Ok(core.state.note_safe(&safe, wall())?)
}

/// The own snapshots that the newest published head names and that can be whole, and its number.
fn published(core: &Core, member: &Member) -> Result<(BTreeSet<ChunkId>, u64), EngineError> {
    let published_seq = core.state.published_seq()?;
    let newest = core.state.commit_of(&member.keys.id())?;
    let is_newest = newest.is_none_or(|commit| commit.seq <= published_seq);
    let manifest = if is_newest {
        Some(commit::own_manifest(core, member)?)
    } else {
        match core.state.own_head(published_seq)? {
            Some(head) => {
                let commit = SignedHead::decode(&head)?.body().commit;
                Some(commit::manifest_of(core, member, commit)?)
            }
            // Too many heads have been written since: nothing is claimed then.
            None => None,
        }
    };
    let snapshots = manifest.map(|manifest| manifest.snapshots).unwrap_or_default();
    let in_doubt = commit::in_doubt(core)?;
    let ids = snapshots.into_iter().map(|snapshot| snapshot.id);
    Ok((ids.filter(|id| !in_doubt.contains(id)).collect(), published_seq))
}
