//! Learns what the vault's other devices have backed up: head, manifest, index.
//!
//! A newer head of another device leads to its commit pack, the manifest in it names index
//! segments, and their records enter the index: known at once, usable only after this device has
//! itself seen receipts that meet the policy (HOME-6).

use std::{
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use larder_protocol::{
    head::SignedHead,
    ids::{DeviceId, HeadHash, VaultId},
    index::{PackRecord, Segment},
    limits::SIDE_AGAIN_MS,
    manifest::Manifest,
    placing::{Input, KnownPack},
    time,
};
use tokio::time::timeout;
use tracing::{debug, warn};

use super::{ChunkSource, Core, EngineError, Member, contact, fetcher::Want, on_disk};
use crate::state::{commits::CommitRow, index::Standing};

/// How long holders are asked for other devices' heads before a backup.
const ASK_OTHERS: Duration = Duration::from_secs(5);
/// How long receipts for other devices' packs are waited for before a backup.
const AWAIT_RECEIPTS: Duration = Duration::from_secs(5);

/// Packs that some of those asked do not have must not hold up every backup for so long.
const NO_MORE_RECEIPTS: Duration = Duration::from_secs(2);

/// Begins to follow the vault's other devices.
pub(super) fn start(core: &Arc<Core>, member: &Arc<Member>) {
    let (core, member) = (Arc::clone(core), Arc::clone(member));
    tokio::spawn(async move {
        if let Err(error) = follow(&core, &member).await {
            debug!("other devices of the vault could not be followed: {error}");
        }
    });
}

/// Greets every node that is known, once: so the others learn where this one is now, and both
/// sides are up to date. For a node that stays.
pub(super) fn meet_everybody(core: &Arc<Core>, member: &Arc<Member>) {
    for peer in core.state.peers().unwrap_or_default() {
        let (core, member) = (Arc::clone(core), Arc::clone(member));
        tokio::spawn(async move {
            if let Err(error) = contact::greet(&core, &member, peer.device).await {
                debug!("{} could not be greeted: {error}", peer.device.short());
            }
        });
    }
}

/// A head of some vault was taken. If it is the own one's, its device has something new.
pub(super) fn head_came(core: &Arc<Core>, vault: VaultId) {
    if let Ok(member) = core.member()
        && member.vault == vault
    {
        start(core, &member);
    }
}

/// Before a backup of a vault of several devices: asks the holders that can be reached for newer
/// heads of the others, follows them, and waits a little for receipts, so that what the others
/// have stored is not stored again. Never a reason for a backup to fail.
pub(super) async fn refresh(core: &Arc<Core>, member: &Arc<Member>) {
    let is_alone = core.log_of(&member.vault).is_ok_and(|log| log.devices().count() < 2);
    if is_alone {
        return;
    }
    let asked = core.state.peers().unwrap_or_default().into_iter().map(|peer| {
        let (core, vault) = (Arc::clone(core), member.vault);
        tokio::spawn(async move {
            contact::hello(&core, peer.device).await?;
            contact::pull_log(&core, peer.device, vault).await?;
            contact::pull_heads(&core, peer.device, vault).await
        })
    });
    let asked: Vec<_> = asked.collect();
    let all = async {
        for one in asked {
            // A holder that cannot be asked now is asked when it is met.
            let _ = one.await;
        }
    };
    let _ = timeout(ASK_OTHERS, all).await;
    if let Err(error) = follow(core, member).await {
        debug!("other devices of the vault could not be followed: {error}");
        return;
    }
    let _ = timeout(AWAIT_RECEIPTS, await_receipts(core)).await;
}

/// Waits until all packs are vouched for, or no more come to be.
async fn await_receipts(core: &Core) {
    let (mut fewest, mut since) = (usize::MAX, Instant::now());
    loop {
        let waiting = core.state.pack_facts().unwrap_or_default();
        let waiting = waiting.iter().filter(|facts| !facts.usable && !facts.own).count();
        if waiting < fewest {
            (fewest, since) = (waiting, Instant::now());
        }
        if waiting == 0 || since.elapsed() >= NO_MORE_RECEIPTS {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Takes in every head of another device that is newer than what is known of it.
pub(super) async fn follow(core: &Arc<Core>, member: &Arc<Member>) -> Result<(), EngineError> {
    let _one_at_a_time = core.following.lock().await;
    let heads = heads_of_others(core, member);
    seat(core, &heads).await?;
    let mut unread = BTreeSet::new();
    for (head, place) in &heads {
        let device = head.body().device;
        if is_taken_in(core, head, *place)? {
            continue;
        }
        unread.insert(device);
        // A thief may have signed what leads to nothing: it is not looked for at every backup.
        if *place == Place::Side && !core.sides.is_due(&head.hash(), core.clock.now()) {
            continue;
        }
        match take_as(core, member, head, *place).await {
            Ok(_) => _ = unread.remove(&device),
            Err(error) if core.closing.is_cancelled() => debug!("{error}"),
            Err(error) => {
                warn!("head {} of device {}: {error}", head.body().seq, device.short());
                core.sides.failed(head.hash(), core.clock.now());
            }
        }
    }
    prune(core, member, &heads, unread).await
}

/// Which heads of forks could not be read, and when.
#[derive(Debug, Default)]
pub(crate) struct UnreadSides(Mutex<BTreeMap<HeadHash, time::Instant>>);

impl UnreadSides {
    fn is_due(&self, head: &HeadHash, now: time::Instant) -> bool {
        let failed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        failed.get(head).is_none_or(|at| at.after_ms(SIDE_AGAIN_MS) <= now)
    }

    fn failed(&self, head: HeadHash, now: time::Instant) {
        let mut failed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        failed.retain(|_, at| at.after_ms(SIDE_AGAIN_MS) > now);
        failed.insert(head, now);
    }
}

/// What was known of the sides of forks, where it belongs by the heads that there are now.
async fn seat(core: &Arc<Core>, heads: &[(SignedHead, Place)]) -> Result<(), EngineError> {
    let of = |place: Place| heads.iter().filter(move |(_, other)| *other == place);
    let mut sides: BTreeMap<DeviceId, BTreeSet<HeadHash>> = BTreeMap::new();
    for (head, _) in of(Place::Side) {
        sides.entry(head.body().device).or_default().insert(head.hash());
    }
    for (head, _) in of(Place::Highest) {
        let (device, highest) = (head.body().device, head.hash());
        let Some(sides) = sides.remove(&device) else { continue };
        let seating = Arc::clone(core);
        on_disk(move || seating.state.seat_sides(&device, &highest, &sides)).await?;
    }
    Ok(())
}

/// Forgets sides that count no more, and those from which somebody has gone on to what is known as well: what a side
/// led to before stays until it is known what it leads to now.
async fn prune(
    core: &Arc<Core>,
    member: &Member,
    heads: &[(SignedHead, Place)],
    unread: BTreeSet<DeviceId>,
) -> Result<(), EngineError> {
    let tips: BTreeSet<(DeviceId, HeadHash)> =
        heads.iter().map(|(head, _)| (head.body().device, head.hash())).collect();
    let log = core.log_of(&member.vault)?;
    let keeping = Arc::clone(core);
    on_disk(move || {
        let numbers: BTreeMap<HeadHash, u64> =
            keeping.state.sides()?.iter().map(|side| (side.head, side.commit.seq)).collect();
        keeping.state.retain_sides(|device, head| {
            let seq = numbers.get(head).copied().unwrap_or_default();
            let is_wanted = tips.contains(&(*device, *head)) || unread.contains(device);
            log.head_counts(device, (seq, head)) && is_wanted
        })
    })
    .await
}

/// What a head is to its device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// The highest one.
    Highest,
    /// Of a forked device one beside the highest.
    Side,
}

/// The newest heads of other devices that are kept here.
fn heads_of_others(core: &Core, member: &Member) -> Vec<(SignedHead, Place)> {
    let vaults = core.vaults.read();
    let Some(known) = vaults.get(&member.vault) else { return Vec::new() };
    let (own, book) = (member.keys.id(), known.heads());
    let others = book.tips().filter(|head| head.body().device != own);
    let placed = others.map(|head| {
        let is_highest = book.highest(&head.body().device) == Some(head);
        (head.clone(), if is_highest { Place::Highest } else { Place::Side })
    });
    placed.collect()
}

/// Whether everything is taken in that the highest heads of other devices here lead to. The other side of a fork is not
/// waited for: it may lead to nothing, and holders let nothing go while the fork is one of the vault (DEL-3).
pub(super) fn is_up_to_date(core: &Core, member: &Member) -> Result<bool, EngineError> {
    for (head, place) in heads_of_others(core, member) {
        if place == Place::Highest && !is_taken_in(core, &head, place)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Other devices of the vault of whose newest heads it is not known what each of them leads to.
pub(super) fn not_taken_in(core: &Core, member: &Member) -> Result<Vec<DeviceId>, EngineError> {
    let mut missing = BTreeSet::new();
    for (head, place) in heads_of_others(core, member) {
        if !is_taken_in(core, &head, place)? {
            missing.insert(head.body().device);
        }
    }
    Ok(missing.into_iter().collect())
}

/// Whether what a head leads to is known here, and what it claims. A home of an earlier version knows the
/// former alone.
fn is_taken_in(core: &Core, head: &SignedHead, place: Place) -> Result<bool, EngineError> {
    let (device, seq) = (&head.body().device, head.body().seq);
    if place == Place::Side {
        return Ok(core.state.has_side(device, &head.hash())?);
    }
    let known = core.state.commit_of(device)?;
    let is_known = known.is_some_and(|known| match known.seq.cmp(&seq) {
        Ordering::Less => false,
        // Of a fork the other side was the highest before.
        Ordering::Equal => known.head == head.bytes(),
        Ordering::Greater => true,
    });
    Ok(is_known && core.state.has_claims_of(device)?)
}

/// Takes in what the highest head of a device leads to.
pub(super) async fn take(
    core: &Arc<Core>,
    member: &Arc<Member>,
    head: &SignedHead,
) -> Result<Manifest, EngineError> {
    take_as(core, member, head, Place::Highest).await
}

async fn take_as(
    core: &Arc<Core>,
    member: &Arc<Member>,
    head: &SignedHead,
    place: Place,
) -> Result<Manifest, EngineError> {
    let (manifest, commit) = fetch_manifest(core, member, head).await?;
    let source = ChunkSource::new(core, member);
    let (taking, segments) = (Arc::clone(core), manifest.segments.clone());
    let device: DeviceId = head.body().device;
    let (packs, claimed) = on_disk(move || {
        let mut packs: Vec<PackRecord> = vec![commit];
        for location in &segments {
            let segment = Segment::decode(&source.chunk_at(location)?)?;
            taking.state.add_packs(&segment.packs, Standing::Known)?;
            packs.extend(segment.packs);
            packs.extend(source.record_of(location.shard)?);
        }
        let of_index = segments.iter().map(|location| location.shard.root);
        let claimed = packs.iter().map(|pack| pack.shard.root).chain(of_index).collect();
        if place == Place::Highest {
            taking.state.keep_claimed(&device, &claimed)?;
        }
        Ok::<_, EngineError>((packs, claimed))
    })
    .await?;
    if let Ok(custody) = member.custody() {
        for pack in packs {
            custody
                .tell(Input::PackKnown(KnownPack {
                    shard: pack.shard,
                    class: pack.class,
                    here: false,
                    promised_sites: 0,
                    kept_by: Vec::new(),
                }))
                .await;
        }
    }
    let row = CommitRow {
        seq: head.body().seq,
        pack: head.body().commit,
        manifest: manifest.encode(),
        head: head.bytes().to_vec(),
    };
    let (keeping, hash) = (Arc::clone(core), head.hash());
    on_disk(move || match place {
        Place::Highest => keeping.state.keep_commit(&device, &row),
        Place::Side => keeping.state.keep_side((&device, &hash), row, &claimed),
    })
    .await?;
    Ok(manifest)
}

/// The manifest in the commit pack that a head names, read as a stranger to the index would.
async fn fetch_manifest(
    core: &Arc<Core>,
    member: &Arc<Member>,
    head: &SignedHead,
) -> Result<(Manifest, PackRecord), EngineError> {
    let shard = head.body().commit;
    let bytes = match core.depot.read_range(&shard.root, 0..shard.bytes) {
        Ok(bytes) => bytes,
        Err(_) => {
            let whole = 0..shard.bytes;
            let want = Want { shard, ranges: vec![whole.clone()], priority: 0, from: Vec::new() };
            let partial = member.fetcher.fetch(want).await?;
            let bytes = partial.read(whole)?;
            drop(partial);
            // The next head has another one, and what is in this one is kept elsewhere.
            member.fetcher.discard(&shard.root);
            bytes
        }
    };
    let (manifest, record) = member.opening().manifest(shard, &bytes)?;
    manifest.check_author(head.body().device, head.body().seq)?;
    core.state.add_packs(std::slice::from_ref(&record), Standing::Known)?;
    Ok((manifest, record))
}
