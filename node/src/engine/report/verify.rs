//! `verify`: reads back what this device keeps, for itself and for others, and has holders show what
//! they signed for: one chunk of every shard, which they could not foresee. What was read is noted, so
//! that the node does not read it again by itself soon.

use std::{
    collections::BTreeMap,
    mem,
    sync::Arc,
    time::{Duration, Instant},
};

use larder_protocol::{
    auditing::HolderAudits,
    ids::{DeviceId, ShardRoot},
    limits::SCRUB_SEGMENT_SHARDS_MAX,
    scrubbing,
};

use tracing::warn;

use super::super::{
    Core, EngineError,
    clock::wall,
    custody::Custody,
    scrubber::{ReadBack, read_back, tell_lost},
};
use crate::command::{AskedHolder, EventSink, Failure, Outcome, Progress, Stage, VerifyOutcome};

/// Roots named in the outcome.
const ROOTS_MAX: usize = 1000;
/// How often progress is told.
const PROGRESS_EVERY: Duration = Duration::from_millis(150);
/// Without any new answer of a holder for so long, nothing more is waited for.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// How often it is looked for answers.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Reads shards back, all or a random sample.
pub(crate) async fn verify(
    core: &Arc<Core>,
    percent: u8,
    events: &EventSink,
) -> Result<Outcome, Failure> {
    let (reading, sink) = (Arc::clone(core), events.clone());
    let work = move || read_chosen(&reading, percent, &sink);
    let found = tokio::task::spawn_blocking(work).await.map_err(|_| EngineError::Stopped)?;
    core.scrubber.tell(scrubbing::Input::ReadElsewhere).await;
    let found = found?;
    for root in &found.bad {
        tell_lost(core, *root).await;
    }
    let holders = ask_holders(core, events).await?;
    Ok(Outcome::Verify(VerifyOutcome { holders, ..found.outcome }))
}

struct Verified {
    outcome: VerifyOutcome,
    bad: Vec<ShardRoot>,
}

/// Roots that were read and are not yet noted. Noted when it goes, so that a verification that is
/// interrupted was not for nothing.
struct Unnoted<'a> {
    core: &'a Core,
    roots: Vec<ShardRoot>,
}

impl Unnoted<'_> {
    fn add(&mut self, root: ShardRoot) {
        self.roots.push(root);
        if self.roots.len() >= SCRUB_SEGMENT_SHARDS_MAX {
            self.note();
        }
    }

    fn note(&mut self) {
        let roots = mem::take(&mut self.roots);
        if let Err(error) = self.core.depot.note_read(&roots, wall()) {
            warn!("what was read back could not be noted: {error}");
        }
    }
}

impl Drop for Unnoted<'_> {
    fn drop(&mut self) {
        if !self.roots.is_empty() {
            self.note();
        }
    }
}

fn read_chosen(core: &Core, percent: u8, events: &EventSink) -> Result<Verified, Failure> {
    let chosen = choose(core, percent)?;
    let bytes_total: u64 = chosen.values().sum();
    let files_total = u64::try_from(chosen.len()).unwrap_or(u64::MAX);
    let mut outcome = VerifyOutcome {
        shards: 0,
        bytes: 0,
        damaged: 0,
        missing: 0,
        roots: Vec::new(),
        holders: Vec::new(),
    };
    let (mut bad, mut unread) = (Vec::new(), Vec::new());
    let mut unnoted = Unnoted { core, roots: Vec::new() };
    let mut told = Instant::now();
    let mut bytes_done = 0;
    for (root, bytes) in chosen {
        events.check()?;
        let found = read_back(core, &root).map_err(EngineError::from)?;
        match found {
            ReadBack::Whole => outcome.bytes += bytes,
            ReadBack::Damaged => outcome.damaged += 1,
            ReadBack::Missing => outcome.missing += 1,
            ReadBack::Gone => continue,
            // Nothing is known to be lost: whoever keeps it or asks for it is not told so. But it
            // could not be read back, and the others are to be looked at all the same.
            ReadBack::Unable => {
                outcome.damaged += 1;
                unread.push(root);
            }
        }
        if matches!(found, ReadBack::Damaged | ReadBack::Missing) {
            bad.push(root);
        }
        if found != ReadBack::Unable {
            unnoted.add(root);
        }
        outcome.shards += 1;
        bytes_done += bytes;
        if told.elapsed() >= PROGRESS_EVERY {
            told = Instant::now();
            events.progress(Progress {
                stage: Stage::Verifying,
                bytes_done,
                bytes_total: Some(bytes_total),
                files_done: outcome.shards,
                files_total: Some(files_total),
            });
        }
    }
    let roots = bad.iter().chain(&unread);
    outcome.roots = roots.take(ROOTS_MAX).map(ToString::to_string).collect();
    Ok(Verified { outcome, bad })
}

/// So many percent of the shards here with their lengths, rounded up, each as likely as any other.
fn choose(core: &Core, percent: u8) -> Result<BTreeMap<ShardRoot, u64>, EngineError> {
    let rows = core.depot.rows(None)?.into_iter();
    let all: BTreeMap<ShardRoot, u64> = rows.map(|(root, row)| (root, row.bytes)).collect();
    let wanted = (all.len() * usize::from(percent.clamp(1, 100))).div_ceil(100);
    if wanted == all.len() {
        return Ok(all);
    }
    // The smallest of random numbers: a uniform sample in one pass.
    let mut key = [0; 32];
    getrandom::fill(&mut key).map_err(|_| EngineError::Randomness)?;
    let mut order: Vec<([u8; 32], ShardRoot)> = all
        .keys()
        .map(|root| (*blake3::keyed_hash(&key, root.as_bytes()).as_bytes(), *root))
        .collect();
    order.sort_unstable();
    Ok(order
        .into_iter()
        .take(wanted)
        .filter_map(|(_, root)| all.get(&root).map(|bytes| (root, *bytes)))
        .collect())
}

/// Has every holder show a chunk of everything that it signed for, and waits for the answers as long
/// as they come. A holder that is away is not waited for, and not blamed; one that is presumed lost is
/// not asked, for nothing counts on it.
async fn ask_holders(
    core: &Arc<Core>,
    events: &EventSink,
) -> Result<Vec<AskedHolder>, EngineError> {
    let Ok(member) = core.member() else { return Ok(Vec::new()) };
    let custody = member.custody()?;
    let kept = custody.status().await.ok_or(EngineError::Stopped)?.holders;
    let kept: Vec<(DeviceId, u64)> = kept
        .into_iter()
        .filter(|(_, holder)| holder.kept_packs > 0 && !holder.presumed_lost)
        .map(|(device, holder)| (device, holder.kept_packs))
        .collect();
    let before = custody.audits().await.ok_or(EngineError::Stopped)?;
    for (holder, _) in &kept {
        custody.audit(*holder).await;
    }
    let after = await_answers(custody, &kept, &before, events).await?;
    let mut done = Vec::with_capacity(kept.len());
    for (device, shards) in kept {
        let of = |audits: &Audits| audits.get(&device).copied().unwrap_or_default();
        let (before, after) = (of(&before), of(&after));
        done.push(AskedHolder {
            device: device.to_string(),
            name: core.state.peer(&device)?.map_or_else(|| device.short(), |peer| peer.name),
            answered: after.pending == 0,
            shards,
            lacking: after.failed.saturating_sub(before.failed),
        });
    }
    Ok(done)
}

type Audits = BTreeMap<DeviceId, HolderAudits>;

/// Waits until each of these has shown everything, or failed to answer once.
async fn await_answers(
    custody: &Custody,
    kept: &[(DeviceId, u64)],
    before: &Audits,
    events: &EventSink,
) -> Result<Audits, EngineError> {
    let total: u64 = kept.iter().map(|(_, shards)| shards).sum();
    let mut last_left = total;
    let mut give_up = Instant::now() + ANSWER_TIMEOUT;
    loop {
        let audits = custody.audits().await.ok_or(EngineError::Stopped)?;
        let of = |device: &DeviceId| audits.get(device).copied().unwrap_or_default();
        let failures = |device: &DeviceId| before.get(device).map_or(0, |audits| audits.failures);
        let left: u64 = kept.iter().map(|(device, _)| of(device).pending).sum();
        let is_done = |(device, _): &(DeviceId, u64)| {
            of(device).pending == 0 || of(device).failures > failures(device)
        };
        let now = Instant::now();
        if left < last_left {
            (last_left, give_up) = (left, now + ANSWER_TIMEOUT);
        }
        if kept.iter().all(is_done) || now >= give_up {
            return Ok(audits);
        }
        events.check()?;
        events.progress(Progress {
            stage: Stage::Confirming,
            bytes_done: 0,
            bytes_total: None,
            files_done: total.saturating_sub(left),
            files_total: Some(total),
        });
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
