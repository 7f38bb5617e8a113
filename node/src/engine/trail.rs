//! The audit trail: notes what this node saw, and shows it beside the device log.
//!
//! A note that cannot be written keeps nothing from happening: it is warned of. Source: specs/trail.md.

use std::sync::{Arc, MutexGuard, PoisonError};

use larder_protocol::{
    holding::Caller,
    log::LogEntry,
    time::Timestamp,
    trail::{Callers, TrailEntry, TrailEvent},
};
use tracing::warn;

use super::{Core, EngineError, clock::wall, look, on_disk};
use crate::{
    command::{EventSink, Failure, Level, LogLine, LogOutcome, Outcome, Row},
    state::{StateError, trail::Trail},
};

/// Note in `state.redb`: the offer that was noted last.
const OFFERED: &str = "offer noted";

/// Notes that something happened; whether that is written.
pub(super) async fn note(core: &Arc<Core>, event: TrailEvent) -> bool {
    let noting = Arc::clone(core);
    let noted = on_disk(move || Ok::<_, EngineError>(is_noted(write(&noting, event))));
    noted.await.unwrap_or(false)
}

/// Notes something whatever becomes of the task that saw it: a caller that hangs up ends that one.
pub(super) fn note_apart(core: &Arc<Core>, event: TrailEvent) {
    let core = Arc::clone(core);
    tokio::spawn(async move { note(&core, event).await });
}

/// Notes that somebody with the phrase of a vault asks here, if `caller` is one.
pub(super) fn came(core: &Arc<Core>, caller: &Caller) {
    let Caller::Recovery { vault, .. } = *caller else { return };
    if callers(core).is_to_be_noted(vault, core.clock.now()) {
        let core = Arc::clone(core);
        tokio::spawn(async move {
            if !note(&core, TrailEvent::PhraseCame { vault }).await {
                callers(&core).was_not_noted(vault);
            }
        });
    }
}

fn callers(core: &Core) -> MutexGuard<'_, Callers> {
    core.callers.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Notes what this device keeps for others, if it is another figure than the last one noted: it may have
/// been changed while no node was there to see it.
pub(super) fn note_offer(core: &Core) -> Result<(), EngineError> {
    let bytes = core.config().offer_bytes();
    // Not looked for in the trail: each entry that is read there has a signature to be checked.
    let last =
        core.state.note(OFFERED)?.and_then(|last| Some(u64::from_le_bytes(last.try_into().ok()?)));
    if last.unwrap_or(0) != bytes && is_noted(write(core, TrailEvent::Offered { bytes })) {
        core.state.keep_note(OFFERED, &bytes.to_le_bytes())?;
    }
    Ok(())
}

fn write(core: &Core, event: TrailEvent) -> Result<(), StateError> {
    let what = (wall(), event);
    let after = |last: Option<&TrailEntry>| TrailEntry::after(last, what, &core.keys);
    core.state.lengthen_trail(after)
}

fn is_noted(written: Result<(), StateError>) -> bool {
    if let Err(error) = &written {
        warn!("something was not noted in the audit trail: {error}");
    }
    written.is_ok()
}

/// The `log` command: what happened to this vault and at this node, oldest first.
pub(crate) async fn show(core: &Arc<Core>, events: &EventSink) -> Result<Outcome, Failure> {
    let member = core.member()?;
    let vault = member.vault;
    let reading = Arc::clone(core);
    let lines = on_disk(move || {
        let core = &reading;
        let (names, keyring) = (look::device_names(core, &member), member.keyring());
        let log = core.log_of(&vault)?;
        let entries = log.entries().filter_map(|bytes| LogEntry::decode(bytes).ok());
        let mut lines: Vec<(Timestamp, LogLine)> = entries
            .map(|entry| {
                let given = log.given_in(&entry.hash(), keyring.all()).map(|label| label.name);
                let said = (&names, given.as_deref());
                (entry.body().time, LogLine::of_log(&entry, &log, said))
            })
            .collect();
        let Trail { entries, unreadable } = core.state.trail()?;
        let of_trail = entries.iter().map(|it| (it.time(), LogLine::of_trail(it, &names)));
        lines.extend(of_trail);
        // Stable: what one clock says to be of one second stays in order.
        lines.sort_by_key(|(time, _)| *time);
        Ok::<_, EngineError>((lines, unreadable))
    });
    let (lines, unreadable) = lines.await?;
    for number in unreadable {
        let said =
            format!("entry {number} of the trail is damaged: a document of it has a gap there");
        events.notice(Level::Warning, said);
    }
    let count = u64::try_from(lines.len()).unwrap_or(u64::MAX);
    for (_, line) in lines {
        events.row(Row::Logged(line)).await?;
    }
    let device = core.keys.id().to_string();
    Ok(Outcome::Log(LogOutcome { vault: vault.to_string(), device, lines: count }))
}

#[cfg(test)]
mod tests;
