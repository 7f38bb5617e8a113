//! The audit trail: notes what this node saw, and shows it beside the device log.
//!
//! A note that cannot be written keeps nothing from happening: it is warned of. Source: specs/trail.md.

mod words;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use data_encoding::BASE64;
use larder_protocol::{
    ids::{DeviceId, VaultId},
    log::LogEntry,
    time::{Instant, Timestamp},
    trail::{TrailEntry, TrailEvent},
};
use tracing::warn;

use super::{Core, EngineError, clock::wall, look, on_disk};
use crate::command::{EventSink, Failure, LogLine, LogOutcome, LogSource, Outcome, Row};

/// Whoever has a phrase is noted so often, however often he calls.
const PHRASE_AGAIN: Duration = Duration::from_secs(60 * 60);

/// When somebody with the phrase of each vault was noted.
#[derive(Debug, Default)]
pub(crate) struct Callers(Mutex<BTreeMap<VaultId, Instant>>);

impl Callers {
    /// Whether a call at `now` is to be noted.
    fn is_new(&self, vault: VaultId, now: Instant) -> bool {
        let mut noted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let again_ms = u64::try_from(PHRASE_AGAIN.as_millis()).unwrap_or(u64::MAX);
        let is_new = noted.get(&vault).is_none_or(|last| last.after_ms(again_ms) <= now);
        if is_new {
            noted.insert(vault, now);
        }
        is_new
    }
}

/// Notes that something happened.
pub(super) async fn note(core: &Arc<Core>, event: TrailEvent) {
    let noting = Arc::clone(core);
    let noted = on_disk(move || {
        let what = (wall(), event);
        let after = |last: Option<&TrailEntry>| TrailEntry::after(last, what, &noting.keys);
        noting.state.lengthen_trail(after).map_err(EngineError::from)
    });
    if let Err(error) = noted.await {
        warn!("something was not noted in the audit trail: {error}");
    }
}

/// Notes that somebody with the phrase of a vault asks here.
pub(super) async fn phrase_came(core: &Arc<Core>, vault: VaultId) {
    if core.callers.is_new(vault, core.clock.now()) {
        note(core, TrailEvent::PhraseCame { vault }).await;
    }
}

/// The `log` command: what happened to this vault and at this node, oldest first.
pub(crate) async fn show(core: &Arc<Core>, events: &EventSink) -> Result<Outcome, Failure> {
    let member = core.member()?;
    let vault = member.vault;
    let reading = Arc::clone(core);
    let lines = on_disk(move || {
        let core = &reading;
        let names = look::device_names(core, &member);
        let mut lines = of_device_log(core, vault, &names)?;
        for entry in core.state.trail()? {
            let (what, text) = words::of_event(entry.event(), &names);
            lines.push((entry.time(), line(&entry, what, text)));
        }
        // Stable: what one clock says to be of one second stays in order.
        lines.sort_by_key(|(time, _)| *time);
        Ok::<_, EngineError>(lines)
    });
    let lines = lines.await?;
    let count = u64::try_from(lines.len()).unwrap_or(u64::MAX);
    for (_, line) in lines {
        events.row(Row::Logged(line)).await?;
    }
    let device = core.keys.id().to_string();
    Ok(Outcome::Log(LogOutcome { vault: vault.to_string(), device, lines: count }))
}

fn line(entry: &TrailEntry, what: &str, text: String) -> LogLine {
    LogLine {
        time: entry.time().into(),
        source: LogSource::Trail,
        what: what.to_owned(),
        text,
        counts: true,
        signed: BASE64.encode(entry.bytes()),
    }
}

fn of_device_log(
    core: &Core,
    vault: VaultId,
    names: &BTreeMap<DeviceId, String>,
) -> Result<Vec<(Timestamp, LogLine)>, EngineError> {
    let log = core.log_of(&vault)?;
    let mut lines = Vec::with_capacity(log.len());
    for bytes in log.entries() {
        let Ok(entry) = LogEntry::decode(bytes) else { continue };
        let time = entry.body().time;
        let words::Told { what, text, counts } = words::of_entry(&entry, &log, names);
        let line = LogLine {
            time: time.into(),
            source: LogSource::DeviceLog,
            what: what.to_owned(),
            text,
            counts,
            signed: BASE64.encode(bytes),
        };
        lines.push((time, line));
    }
    Ok(lines)
}

#[cfg(test)]
mod tests;
