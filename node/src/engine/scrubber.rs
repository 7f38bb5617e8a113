//! Carries out the orders of the scrubbing machine: reads shards back when it says so, notes the day,
//! and tells whoever relied on bytes that are lost. `verify` reads with the same code.
//!
//! Runs in a node that goes on running, member of a vault or not. Decides nothing: what is read when
//! is `larder_protocol::scrubbing`.

use std::sync::Arc;

use larder_protocol::{
    ids::ShardRoot,
    order::OrderId,
    placing,
    scrubbing::{Found, Input, Kept, Output, Scrubbing},
    time::Timestamp,
};
use tracing::warn;

use super::{
    Core, EngineError,
    clock::{age_ms, wall},
    driver::{self, Facts, Inbox, Machine},
    on_disk,
};
use crate::{depot::DepotError, home::Config};

/// A note that lies further ahead of the clock was made by a clock that was wrong.
const CLOCK_SLACK_S: u64 = 86_400;

/// The handle of the task.
pub(crate) type Scrubber = Facts<Input>;

/// What the settings ask for, as the machine takes it.
pub(super) fn period_ms(config: &Config) -> Option<u64> {
    config.scrub_days().map(|days| u64::from(days) * 86_400_000)
}

/// Starts the task. It ends with the node.
pub(super) fn start(core: &Arc<Core>, inbox: Inbox<Input>) {
    driver::start(core, Scrubbing::new(period_ms(&core.config())), inbox);
}

impl Machine for Scrubbing {
    driver::forwards!();

    async fn carry_out(core: Arc<Core>, output: Output) {
        match output {
            Output::List { order } => drop(tokio::spawn(list(core, order))),
            Output::Scrub { order, root } => drop(tokio::spawn(scrub(core, order, root))),
            Output::NoteScrubbed { roots } => {
                let noting = move || core.depot.note_read(&roots, wall());
                if let Err(error) = on_disk(noting).await {
                    warn!("what was read back could not be noted and will be read again: {error}");
                }
            }
            Output::Damaged { root } => {
                warn!("shard {} was found damaged when it was read back", root.short());
                tell_lost(&core, root).await;
            }
        }
    }
}

async fn list(core: Arc<Core>, order: OrderId) {
    let listing = Arc::clone(&core);
    let input = match on_disk(move || kept(&listing, wall())).await {
        Ok(shards) => Input::Listed { order, shards },
        Err(error) => {
            warn!("what is to be read back could not be listed: {error}");
            Input::ListFailed { order }
        }
    };
    core.scrubber.tell(input).await;
}

/// What is kept and not known to be damaged, with its age.
fn kept(core: &Core, now: Timestamp) -> Result<Vec<Kept>, DepotError> {
    let all = core.depot.last_reads()?;
    let well = all.into_iter().filter(|(_, last)| last.is_well);
    Ok(well
        .map(|(root, last)| Kept { root, age_ms: age_ms(last.at, now, CLOCK_SLACK_S) })
        .collect())
}

async fn scrub(core: Arc<Core>, order: OrderId, root: ShardRoot) {
    let reading = Arc::clone(&core);
    let found = match on_disk(move || read_back(&reading, &root)).await {
        Ok(ReadBack::Whole) => Found::Whole,
        Ok(ReadBack::Damaged | ReadBack::Missing) => Found::Damaged,
        Ok(ReadBack::Gone) => Found::Gone,
        Ok(ReadBack::Unable) => Found::Unable,
        Err(error) => {
            warn!("shard {} could not be read back: {error}", root.short());
            Found::Unable
        }
    };
    core.scrubber.tell(Input::Scrubbed { order, found }).await;
}

/// What reading a shard back came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ReadBack {
    /// Every byte has its hash.
    Whole,
    /// Some have not.
    Damaged,
    /// There is no file.
    Missing,
    /// Taken off the disk by its owner's own doing since it was chosen.
    Gone,
    /// The disk failed in a way that says nothing of the bytes.
    Unable,
}

/// Reads one shard whole. Its row says what was found.
pub(super) fn read_back(core: &Core, root: &ShardRoot) -> Result<ReadBack, DepotError> {
    match core.depot.scrub(root) {
        Ok(bad) if bad.is_empty() => Ok(ReadBack::Whole),
        Ok(_) | Err(DepotError::Corrupt(_)) => Ok(ReadBack::Damaged),
        Err(DepotError::Missing(_)) => Ok(ReadBack::Missing),
        Err(DepotError::Unknown(_)) => Ok(ReadBack::Gone),
        Err(error @ (DepotError::Disk { .. } | DepotError::NoSpace)) => {
            warn!("shard {} could not be read: {error}", root.short());
            Ok(ReadBack::Unable)
        }
        Err(error) => Err(error),
    }
}

/// Tells whoever relies on the bytes of a shard that they are lost: what this device has signed for,
/// and its own packs. It may be both, and each knows what is its own.
pub(super) async fn tell_lost(core: &Core, root: ShardRoot) {
    core.holding.bytes_lost(root);
    let custody = core.member().and_then(|member| member.custody().cloned());
    match custody {
        Ok(custody) => custody.tell(placing::Input::PackLost { root }).await,
        // A home without a vault has no packs of its own.
        Err(EngineError::NoVault) => {}
        Err(error) => warn!("the loss of {} could not be told: {error}", root.short()),
    }
}

/// Since when everything is known to have been whole, what is known to be damaged left out.
pub(super) fn read_since(core: &Core) -> Result<Option<Timestamp>, DepotError> {
    let all = core.depot.last_reads()?;
    Ok(all.values().filter(|last| last.is_well).map(|last| last.at).min())
}

/// How long ago the shard that was read least lately was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ReadAge {
    /// Whole days.
    pub(super) days: u64,
    /// Whether that is longer than a node that runs would leave it.
    pub(super) is_overdue: bool,
}

/// How old a reading is, by the settings.
pub(super) fn read_age(since: Timestamp, now: Timestamp, config: &Config) -> ReadAge {
    let days = now.0.saturating_sub(since.0) / 86_400;
    let is_overdue = config.scrub_days().is_some_and(|period| days >= 2 * u64::from(period));
    ReadAge { days, is_overdue }
}

#[cfg(test)]
mod tests;
