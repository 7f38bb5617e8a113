//! `verify`: reads back what this device keeps, for itself and for others.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use larder_protocol::{ids::ShardRoot, placing::Input};

use super::super::{Core, EngineError, on_disk};
use crate::{
    command::{EventSink, Failure, Level, Outcome, Progress, Stage, VerifyOutcome},
    depot::{DepotError, Origin},
};

/// Roots named in the outcome.
const ROOTS_MAX: usize = 1000;
/// How often progress is told.
const PROGRESS_EVERY: Duration = Duration::from_millis(150);

/// Reads shards back, all or a random sample.
pub(crate) async fn verify(
    core: &Arc<Core>,
    percent: u8,
    events: &EventSink,
) -> Result<Outcome, Failure> {
    let (reading, sink) = (Arc::clone(core), events.clone());
    let work = move || scrub(&reading, percent, &sink);
    let found = tokio::task::spawn_blocking(work).await.map_err(|_| EngineError::Stopped)??;
    for (root, origin) in &found.bad {
        match origin {
            Origin::Own => {
                if let Ok(member) = core.member() {
                    member.custody()?.tell(Input::PackLost { root: *root }).await;
                }
            }
            Origin::Held => core.holding.bytes_lost(*root),
        }
    }
    ask_holders(core, events).await?;
    Ok(Outcome::Verify(found.outcome))
}

struct Scrubbed {
    outcome: VerifyOutcome,
    bad: Vec<(ShardRoot, Origin)>,
}

fn scrub(core: &Core, percent: u8, events: &EventSink) -> Result<Scrubbed, Failure> {
    let chosen = choose(core, percent)?;
    let bytes_total: u64 = chosen.values().map(|(bytes, _)| bytes).sum();
    let files_total = u64::try_from(chosen.len()).unwrap_or(u64::MAX);
    let mut outcome =
        VerifyOutcome { shards: 0, bytes: 0, damaged: 0, missing: 0, roots: Vec::new() };
    let mut bad = Vec::new();
    let mut told = Instant::now();
    let mut bytes_done = 0;
    for (root, (bytes, origin)) in chosen {
        events.check()?;
        match core.depot.scrub(&root) {
            Ok(ranges) if ranges.is_empty() => outcome.bytes += bytes,
            Ok(_) | Err(DepotError::Corrupt(_)) => {
                outcome.damaged += 1;
                bad.push((root, origin));
            }
            Err(DepotError::Missing(_)) => {
                outcome.missing += 1;
                bad.push((root, origin));
            }
            // Taken off the disk by its owner's own doing since it was chosen.
            Err(DepotError::Unknown(_)) => continue,
            Err(error) => return Err(EngineError::from(error).into()),
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
    outcome.roots = bad.iter().take(ROOTS_MAX).map(|(root, _)| root.to_string()).collect();
    Ok(Scrubbed { outcome, bad })
}

/// So many percent of the shards here, rounded up, each as likely as any other. A shard that is
/// kept for itself and for another counts once, as held: a receipt was given for it.
fn choose(core: &Core, percent: u8) -> Result<BTreeMap<ShardRoot, (u64, Origin)>, EngineError> {
    let mut all: BTreeMap<ShardRoot, (u64, Origin)> = BTreeMap::new();
    for (root, row) in core.depot.rows(None)? {
        let kept = all.entry(root).or_insert((row.bytes, row.origin));
        kept.1 = kept.1.max(row.origin);
    }
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
        .filter_map(|(_, root)| all.get(&root).map(|kept| (root, *kept)))
        .collect())
}

/// Asks every holder whether it still has what it signed for. What it says shows up in `status`.
async fn ask_holders(core: &Arc<Core>, events: &EventSink) -> Result<(), EngineError> {
    let Ok(member) = core.member() else { return Ok(()) };
    let custody = member.custody()?;
    let reading = Arc::clone(core);
    let peers = on_disk(move || reading.state.peers()).await?;
    let Some(status) = custody.status().await else { return Err(EngineError::Stopped) };
    let mut asked = 0_u32;
    for peer in peers {
        if status.holders.get(&peer.device).is_some_and(|holder| holder.kept_packs > 0) {
            custody.tell(Input::AskAgain { holder: peer.device }).await;
            asked += 1;
        }
    }
    if asked > 0 {
        let holders =
            if asked == 1 { "1 holder is".to_owned() } else { format!("{asked} holders are") };
        let text =
            format!("{holders} asked for what they signed for; `larder status` names who lacks it");
        events.notice(Level::Normal, text);
    }
    Ok(())
}
