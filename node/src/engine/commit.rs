//! The commit: index segment, manifest and head, in that order, each durable before the next.
//!
//! ```text
//! packs durable ──▶ commit pack (manifest, newest segments) durable ──▶ rows ──▶ head signed,
//!                                                  durable here ──▶ pushed once all of it is safe
//! ```
//! Source: specs/invariants.md.

use std::{collections::BTreeSet, sync::Arc};

use larder_protocol::{
    head::{Claims, HEAD_VERSION, HeadBody, SignedHead},
    ids::{ChunkId, DeviceId, ShardRoot},
    index::{ChunkKind, PackClass, PackRecord, Segment, ShardRef, encode_segments, merge},
    manifest::{Manifest, SnapshotSummary},
    pack::PackBuilder,
    peer::PeerRecord,
    placing::Input,
};
use tracing::{info, warn};

use super::{Core, EngineError, Member, clock::wall, custody::Custody};
use crate::{
    depot::{Origin, Tenure},
    state::{
        StateError,
        commits::{ClaimChange, CommitRow},
        index::{PackFacts, PackNumber, Standing},
        rekey::LeftChange,
    },
};

/// Note in `meta`: ids of own snapshots, see [`in_doubt`].
const DOUBTFUL: &str = "doubtful snapshots";

/// Note in `meta`, see [`correct_listed`].
const LISTED_CORRECTED: &str = "listed corrected";

/// What changes with a commit.
#[derive(Debug, Default)]
pub(crate) struct Change {
    /// A new snapshot.
    pub(crate) add: Option<SnapshotSummary>,
    /// Checkpoints that it replaces.
    pub(crate) replace: Vec<ChunkId>,
    /// Snapshots that are forgotten.
    pub(crate) forget: Vec<ChunkId>,
    /// Snapshots that are pinned, or are not any more.
    pub(crate) pin: Option<(Vec<ChunkId>, bool)>,
    /// Packs of earlier backups, of any device, that the snapshot relies on.
    pub(crate) relied_on: Vec<PackNumber>,
    /// Packs that no snapshot of this device needs any more: they are not claimed from now on.
    pub(crate) drop: BTreeSet<ShardRoot>,
    /// The index is written anew if it is sealed under a key of before this epoch.
    pub(crate) reseal_below: u32,
    /// Packs of removed devices that are among those dropped, and where what is in them is now.
    pub(crate) left: LeftChange,
}

/// The manifest of this device as it is now; an empty one before the first commit.
pub(crate) fn own_manifest(core: &Core, member: &Member) -> Result<Manifest, EngineError> {
    match core.state.commit_of(&member.keys.id())? {
        Some(commit) => Ok(Manifest::decode(&commit.manifest)?),
        None => Ok(Manifest::new(member.keys.id(), 0)),
    }
}

/// Commits a change; returns the number of the new head. Blocks on the disk. All packs that the
/// change leads to are durable and in the index.
pub(crate) fn commit(
    core: &Arc<Core>,
    member: &Member,
    custody: &Custody,
    change: Change,
) -> Result<u64, EngineError> {
    let _one_at_a_time = core.committing.lock().expect("no code panics while holding this lock");
    let device = member.keys.id();
    let before = core.state.commit_of(&device)?;
    let last = before.as_ref().map(|commit| SignedHead::decode(&commit.head)).transpose()?;
    let mut manifest = match &before {
        Some(commit) => Manifest::decode(&commit.manifest)?,
        None => Manifest::new(device, 0),
    };
    check_no_clone(core, member)?;
    let seq = last.as_ref().map_or(0, |head| head.body().seq) + 1;
    manifest.seq = seq;
    apply(&mut manifest, &change);
    manifest.peers = peer_records(core)?;
    check_relied_on(core, &change.relied_on)?;
    let mut left = left_behind(core, member)?;
    left.retain(|root| !change.left.released.contains(root));
    let drop: BTreeSet<ShardRoot> = change.drop.difference(&left).copied().collect();
    let Unlisted { new, mut dropped } = unlisted(core, (&left, &drop), &change.relied_on)?;
    let roots: BTreeSet<ShardRoot> = new.iter().map(|record| record.shard.root).collect();
    let again = rewritten(core, member, &mut manifest, (&drop, change.reseal_below))?;
    dropped.extend(drop);
    let store = Store::own(core, member, custody, PackClass::Metadata);
    for record in store.put(ChunkKind::Index, &encode_segments(new.into_iter().chain(again)))? {
        manifest.segments.extend(record.locations());
    }
    let packs = store.put(ChunkKind::Manifest, &[manifest.encode()])?;
    let shard = packs.first().ok_or(EngineError::CommitTooLarge)?.shard;
    for location in &manifest.segments {
        dropped.remove(&location.shard.root);
    }
    let mut given_up = lost(core, &change.relied_on)?;
    given_up.retain(|root| !left.contains(root));
    if !given_up.is_empty() {
        doubt(core, before.as_ref())?;
    }
    // No snapshot of this device leads to them: its head waits for none of them.
    given_up.extend(unusable(core, &left)?);
    let all = claims_of(core, &manifest, shard, &roots, &dropped)?;
    let claims = Claims::of(all.iter().map(|claimed| claimed.shard));
    let needs = needs_of(all, &given_up);
    let claim_change = ClaimChange { listed: roots, given_up, dropped, left: change.left };
    let head = SignedHead::sign(
        HeadBody {
            version: HEAD_VERSION,
            vault: member.vault,
            device,
            seq,
            prev: last.map(|head| head.hash()),
            log: core.vaults.log_tips_beside_names(&member.vault),
            commit: shard,
            claims,
            seen: core.vaults.seen_by(&member.vault, &device),
            time: wall(),
        },
        &member.keys,
    )?;
    let row =
        CommitRow { seq, pack: shard, manifest: manifest.encode(), head: head.bytes().to_vec() };
    // HOME-4: the number is used up before anybody can see the head. HOME-7: what the manifest
    // lists counts as listed with it, and not before. DEL-10: so with what it claims no more.
    core.state.keep_own_commit(&device, &row, &claim_change)?;
    core.vaults.offer_head(member.vault, head)?;
    custody.tell_blocking(Input::HeadCommitted { seq, needs });
    info!("head {seq} committed");
    Ok(seq)
}

/// Everything that the newest own head needs, the commit pack included.
pub(crate) fn needs(
    core: &Core,
    member: &Member,
) -> Result<Vec<(ShardRef, PackClass)>, EngineError> {
    match core.state.commit_of(&member.keys.id())? {
        Some(commit) => {
            let manifest = Manifest::decode(&commit.manifest)?;
            let (new, dropped) = (BTreeSet::new(), BTreeSet::new());
            let all = claims_of(core, &manifest, commit.pack, &new, &dropped)?;
            Ok(needs_of(all, &BTreeSet::new()))
        }
        None => Ok(Vec::new()),
    }
}

/// The newest own head's number, and the roots of all packs that it claims, ascending; 0 and none
/// before the first commit.
pub(crate) fn claimed(core: &Core, member: &Member) -> Result<(u64, Vec<ShardRoot>), EngineError> {
    let _no_commit = core.committing.lock().expect("no code panics while holding this lock");
    let Some(commit) = core.state.commit_of(&member.keys.id())? else { return Ok((0, Vec::new())) };
    let manifest = Manifest::decode(&commit.manifest)?;
    let (new, dropped) = (BTreeSet::new(), BTreeSet::new());
    let all = claims_of(core, &manifest, commit.pack, &new, &dropped)?;
    let roots: BTreeSet<ShardRoot> = all.iter().map(|claimed| claimed.shard.root).collect();
    Ok((commit.seq, roots.into_iter().collect()))
}

/// A pack that a manifest claims.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Claimed {
    shard: ShardRef,
    class: PackClass,
    /// It was given up before.
    is_given_up: bool,
}

/// Everything that the index of a manifest names, the packs of the index and the commit pack.
fn claims_of(
    core: &Core,
    manifest: &Manifest,
    commit_pack: ShardRef,
    new: &BTreeSet<ShardRoot>,
    dropped: &BTreeSet<ShardRoot>,
) -> Result<BTreeSet<Claimed>, EngineError> {
    let segments = manifest.segments.iter().map(|location| location.shard);
    let of_index: BTreeSet<ShardRef> = segments.chain([commit_pack]).collect();
    let is_listed = |facts: &PackFacts| {
        (facts.listed || new.contains(&facts.shard.root))
            && !of_index.contains(&facts.shard)
            && !dropped.contains(&facts.shard.root)
    };
    let listed = core.state.pack_facts()?.into_iter().filter(is_listed).map(|facts| Claimed {
        shard: facts.shard,
        class: facts.class,
        is_given_up: facts.is_given_up,
    });
    let claimed = |shard: &ShardRef| Claimed {
        shard: *shard,
        class: PackClass::Metadata,
        is_given_up: false,
    };
    Ok(listed.chain(of_index.iter().map(claimed)).collect())
}

/// What is claimed and not given up: what a head waits for.
fn needs_of(
    claimed: BTreeSet<Claimed>,
    given_up: &BTreeSet<ShardRoot>,
) -> Vec<(ShardRef, PackClass)> {
    let needed = claimed
        .into_iter()
        .filter(|claimed| !claimed.is_given_up && !given_up.contains(&claimed.shard.root));
    needed.map(|claimed| (claimed.shard, claimed.class)).collect()
}

/// Packs that earlier commits listed, that are lost, and that the new commit does not rely on.
fn lost(core: &Core, relied_on: &[PackNumber]) -> Result<BTreeSet<ShardRoot>, EngineError> {
    let all = core.state.pack_facts()?;
    let lost = all.iter().filter(|facts| is_lost(facts) && !relied_on.contains(&facts.number));
    Ok(lost.map(|facts| facts.shard.root).collect())
}

const fn is_lost(facts: &PackFacts) -> bool {
    facts.listed && !facts.usable && !facts.is_given_up
}

/// Whether a new snapshot is needed even if the folder is as it was: what the newest one needs was lost.
pub(crate) fn is_any_lost(core: &Core) -> Result<bool, EngineError> {
    Ok(core.state.pack_facts()?.iter().any(is_lost))
}

/// Whether any of these packs is listed by no manifest of this device yet.
pub(crate) fn is_any_unlisted(core: &Core, relied_on: &[PackNumber]) -> Result<bool, EngineError> {
    let all = core.state.pack_facts()?;
    Ok(all.iter().any(|facts| !facts.listed && relied_on.contains(&facts.number)))
}

/// Notes that the snapshots so far may need what is given up now.
fn doubt(core: &Core, before: Option<&CommitRow>) -> Result<(), EngineError> {
    let Some(before) = before else { return Ok(()) };
    let mut all = doubtful(core)?;
    all.extend(Manifest::decode(&before.manifest)?.snapshots.iter().map(|snapshot| snapshot.id));
    let bytes: Vec<u8> = all.iter().flat_map(|id| *id.as_bytes()).collect();
    Ok(core.state.keep_note(DOUBTFUL, &bytes)?)
}

/// Own snapshots that may need a pack that was given up.
pub(crate) fn in_doubt(core: &Core) -> Result<BTreeSet<ChunkId>, EngineError> {
    // Of what was found again nothing is missing.
    let is_any_given_up = core.state.pack_facts()?.iter().any(|facts| facts.is_given_up);
    if is_any_given_up { doubtful(core) } else { Ok(BTreeSet::new()) }
}

fn doubtful(core: &Core) -> Result<BTreeSet<ChunkId>, EngineError> {
    let bytes = core.state.note(DOUBTFUL)?.unwrap_or_default();
    let (ids, _) = bytes.as_chunks::<32>();
    Ok(ids.iter().map(|id| ChunkId::from_bytes(*id)).collect())
}

/// What an earlier own head needs, as far as its manifest and index are here still.
pub(crate) fn needs_of_head(
    core: &Core,
    member: &Member,
    seq: u64,
) -> Option<Vec<(ShardRef, PackClass)>> {
    let head = SignedHead::decode(&core.state.own_head(seq).ok()??).ok()?;
    let commit = head.body().commit;
    let manifest = manifest_of(core, member, commit).ok()?;
    let mut needs = BTreeSet::from([(commit, PackClass::Metadata)]);
    for location in &manifest.segments {
        needs.insert((location.shard, PackClass::Metadata));
        let segment = Segment::decode(&super::chunk_here(core, member, location).ok()?).ok()?;
        needs.extend(segment.packs.iter().map(|pack| (pack.shard, pack.class)));
    }
    Some(needs.into_iter().collect())
}

/// The manifest in a commit pack that is here.
pub(crate) fn manifest_of(
    core: &Core,
    member: &Member,
    commit: ShardRef,
) -> Result<Manifest, EngineError> {
    let bytes = core.depot.read_range(&commit.root, 0..commit.bytes)?;
    Ok(member.opening().manifest(commit, &bytes)?.0)
}

/// Puts a home in order in which packs were marked as listed by a commit that was cut off: earlier
/// versions marked them before. Once for each home, since it reads the whole index.
pub(crate) fn correct_listed(core: &Core, member: &Member) -> Result<(), EngineError> {
    if core.state.note(LISTED_CORRECTED)?.is_some() {
        return Ok(());
    }
    let manifest = own_manifest(core, member)?;
    let mut listed = BTreeSet::new();
    for location in &manifest.segments {
        let Ok(plain) = super::chunk_here(core, member, location) else {
            warn!("a part of the index is not here; which packs it lists is not checked now");
            return Ok(());
        };
        listed.extend(Segment::decode(&plain)?.packs.iter().map(|pack| pack.shard.root));
    }
    core.state.correct_listed(&listed)?;
    Ok(core.state.keep_note(LISTED_CORRECTED, &[1])?)
}

/// HEAD-7: two machines with one key would end in a fork. Nothing is published then.
pub(crate) fn check_no_clone(core: &Core, member: &Member) -> Result<(), EngineError> {
    let own = member.keys.id();
    let last = core.state.commit_of(&own)?;
    let last = last.map(|commit| SignedHead::decode(&commit.head)).transpose()?;
    let vaults = core.vaults.read();
    let Some(known) = vaults.get(&member.vault) else { return Ok(()) };
    Ok(known.heads().may_publish(&own, last.as_ref())?)
}

/// What is added comes last: a snapshot that is taken again is wanted again.
fn apply(manifest: &mut Manifest, change: &Change) {
    manifest.forget(&change.forget);
    if let Some((ids, pinned)) = &change.pin {
        manifest.pin(ids, *pinned);
    }
    manifest.snapshots.retain(|snapshot| !change.replace.contains(&snapshot.id));
    manifest.snapshots.extend(change.add.clone());
}

/// Takes out of a manifest the segments that are to be written anew, and returns their records:
/// many small ones, or all of them when one is lost, names what is dropped, or is sealed under a key
/// that is to be needed no more.
fn rewritten(
    core: &Core,
    member: &Member,
    manifest: &mut Manifest,
    (drop, reseal_below): (&BTreeSet<ShardRoot>, u32),
) -> Result<Vec<PackRecord>, EngineError> {
    let facts = core.state.pack_facts()?;
    let nowhere: BTreeSet<ShardRoot> =
        facts.iter().filter(|facts| !facts.usable).map(|facts| facts.shard.root).collect();
    let is_any_nowhere =
        manifest.segments.iter().any(|location| nowhere.contains(&location.shard.root));
    let is_any_old = manifest.segments.iter().any(|location| location.epoch < reseal_below);
    if is_any_nowhere || is_any_old || !drop.is_empty() {
        let is_listed = |facts: &&PackFacts| facts.listed && !drop.contains(&facts.shard.root);
        let listed = facts.iter().filter(is_listed);
        let record = |facts: &PackFacts| {
            core.state.pack(facts.number)?.ok_or(StateError::Damaged { table: "packs" })
        };
        let records: Result<Vec<_>, StateError> = listed.map(record).collect();
        manifest.segments.clear();
        return Ok(records?);
    }
    let small = manifest.segments_to_merge();
    let mut segments = Vec::with_capacity(small.len());
    for location in &small {
        let Ok(plain) = super::chunk_here(core, member, location) else {
            warn!("a part of the index is not here; it is not merged now");
            return Ok(Vec::new());
        };
        segments.push(Segment::decode(&plain)?);
    }
    manifest.segments.retain(|location| !small.contains(location));
    Ok(merge(segments).into_iter().collect())
}

/// DEL-7: a snapshot is not committed that relies on a pack which has left, or is about to.
fn check_relied_on(core: &Core, relied_on: &[PackNumber]) -> Result<(), EngineError> {
    let all = core.state.pack_facts()?;
    let there: BTreeSet<PackNumber> =
        all.iter().filter(|facts| facts.dropped_at == 0).map(|facts| facts.number).collect();
    if relied_on.iter().all(|number| there.contains(number)) {
        Ok(())
    } else {
        Err(EngineError::Dropped)
    }
}

/// Has packs listed that a backup stored which never came to its commit: new backups rely on them, so
/// they have to be claimed (DEL-15).
pub(crate) fn list_left_over(core: &Arc<Core>, member: &Member) -> Result<(), EngineError> {
    // DEL-17: nobody else claims what a removed device has left.
    if unlisted(core, (&left_behind(core, member)?, &BTreeSet::new()), &[])?.new.is_empty() {
        return Ok(());
    }
    commit(core, member, member.custody()?, Change::default())?;
    Ok(())
}

/// What no segment of this device lists yet.
struct Unlisted {
    /// Packs to be listed: its own, and others' that it relies on.
    new: Vec<PackRecord>,
    /// Own packs that held only manifest and index of commits before: nothing leads to them from a
    /// newer head, so none is listed, and none is claimed once it has been superseded.
    dropped: BTreeSet<ShardRoot>,
}

fn unlisted(
    core: &Core,
    (left, drop): (&BTreeSet<ShardRoot>, &BTreeSet<ShardRoot>),
    relied_on: &[PackNumber],
) -> Result<Unlisted, EngineError> {
    let mut unlisted = Unlisted { new: Vec::new(), dropped: BTreeSet::new() };
    for facts in core.state.pack_facts()? {
        let is_left = left.contains(&facts.shard.root);
        let wanted =
            is_left || facts.own || facts.is_relied_on || relied_on.contains(&facts.number);
        let is_settled = facts.listed || facts.dropped_at > 0 || drop.contains(&facts.shard.root);
        if !wanted || is_settled {
            continue;
        }
        let Some(record) = core.state.pack(facts.number)? else { continue };
        if is_left {
            unlisted.new.push(record);
        } else if record.chunks.iter().all(|chunk| is_of_commits(chunk.kind)) {
            unlisted.dropped.insert(facts.shard.root);
        } else {
            unlisted.new.push(record);
        }
    }
    Ok(unlisted)
}

/// Those of these packs that are not known to be safe.
fn unusable(core: &Core, roots: &BTreeSet<ShardRoot>) -> Result<BTreeSet<ShardRoot>, EngineError> {
    let all = core.state.pack_facts()?;
    let unusable = all.iter().filter(|it| !it.usable && roots.contains(&it.shard.root));
    Ok(unusable.map(|facts| facts.shard.root).collect())
}

/// Packs that the devices which were removed need, this one's removal aside, or the packs in which that is
/// since rekeying has made them anew.
pub(crate) fn left_behind(
    core: &Core,
    member: &Member,
) -> Result<BTreeSet<ShardRoot>, EngineError> {
    let log = core.log_of(&member.vault)?;
    let removed: Vec<DeviceId> = log.removed().map(|(device, _)| device).collect();
    let mut left = core.state.adopted()?;
    if !removed.is_empty() {
        let released = core.state.released()?;
        left.extend(core.state.claimed_of(&removed)?.difference(&released));
    }
    Ok(left)
}

/// Packs that some device of the vault beside this one needs, or a removed one has left.
pub(crate) fn claimed_by_others(
    core: &Core,
    member: &Member,
) -> Result<BTreeSet<ShardRoot>, EngineError> {
    let mut claimed = claimed_by_living(core, member)?;
    claimed.extend(left_behind(core, member)?);
    Ok(claimed)
}

/// Packs that other devices need which belong to the vault.
pub(crate) fn claimed_by_living(
    core: &Core,
    member: &Member,
) -> Result<BTreeSet<ShardRoot>, EngineError> {
    let log = core.log_of(&member.vault)?;
    let removed: Vec<DeviceId> = log.removed().map(|(device, _)| device).collect();
    Ok(core.state.claimed_but_of(&removed)?)
}

/// Whether a chunk serves the commit that it came with alone.
const fn is_of_commits(kind: ChunkKind) -> bool {
    matches!(kind, ChunkKind::Manifest | ChunkKind::Index)
}

/// The way of chunks into durable packs of their own.
pub(crate) struct Store<'a> {
    pub(crate) core: &'a Core,
    pub(crate) member: &'a Member,
    pub(crate) custody: &'a Custody,
    pub(crate) class: PackClass,
    pub(crate) standing: Standing,
}

impl<'a> Store<'a> {
    /// For what this device itself needs.
    pub(crate) const fn own(
        core: &'a Core,
        member: &'a Member,
        custody: &'a Custody,
        class: PackClass,
    ) -> Self {
        Self { core, member, custody, class, standing: Standing::Own }
    }

    /// Puts chunks of one kind into as few packs as they fit into, in order.
    fn put(&self, kind: ChunkKind, chunks: &[Vec<u8>]) -> Result<Vec<PackRecord>, EngineError> {
        let mut records = Vec::new();
        let mut pack: Option<PackBuilder> = None;
        for plain in chunks {
            let mut open = match pack.take() {
                Some(open) => open,
                None => self.begin()?,
            };
            if open.add(&self.member.content, kind, plain)?.is_none() {
                records.push(self.keep(open)?);
                open = self.begin()?;
                open.add(&self.member.content, kind, plain)?.ok_or(EngineError::CommitTooLarge)?;
            }
            pack = Some(open);
        }
        if let Some(open) = pack {
            records.push(self.keep(open)?);
        }
        Ok(records)
    }

    pub(crate) fn begin(&self) -> Result<PackBuilder, EngineError> {
        let mut salt = [0; 32];
        getrandom::fill(&mut salt).map_err(|_| EngineError::Randomness)?;
        let keyring = self.member.keyring();
        Ok(PackBuilder::new(self.class, keyring.sealing()?, self.member.vault, salt))
    }

    pub(crate) fn keep(&self, pack: PackBuilder) -> Result<PackRecord, EngineError> {
        let stored = wall();
        let tenure = Tenure {
            vault: self.member.vault,
            class: self.class,
            origin: Origin::Own,
            stored,
            keep_until: stored,
        };
        let pack = pack.finish()?;
        let shard = self.core.depot.import(&pack.bytes, tenure)?;
        let record = pack.into_record(shard);
        self.core.state.add_packs(std::slice::from_ref(&record), self.standing)?;
        self.custody.tell_blocking(Input::PackStored { shard, class: self.class });
        Ok(record)
    }
}

/// The circle as a new device needs to know it.
pub(crate) fn peer_records(core: &Core) -> Result<Vec<PeerRecord>, EngineError> {
    // Those of a vault that this one has left keep nothing for it.
    let peers = core.state.peers()?.into_iter().filter(|peer| peer.is_holder);
    Ok(peers.map(super::join::record_of).collect())
}

#[cfg(test)]
mod tests;
