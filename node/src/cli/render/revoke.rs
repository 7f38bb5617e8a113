//! A removed device, for people.

use super::{line, plain, when};
use crate::command::{RemovalReason, RevokeOutcome};

/// What stands behind the name of a removed device.
pub(super) const fn mark(reason: RemovalReason) -> &'static str {
    match reason {
        RemovalReason::Lost => " (removed: lost)",
        RemovalReason::Stolen => " (removed: stolen)",
        RemovalReason::Replaced => " (removed: replaced)",
    }
}

pub(super) fn revoke(text: &mut String, done: &RevokeOutcome) {
    let name = plain(&done.name);
    line(text, &format!("{name} does not belong to this vault any more."));
    match done.last_saved {
        Some(time) => line(
            text,
            &format!("What it saved until {} stays, and can be restored here.", when(time)),
        ),
        None => line(text, "It had saved nothing."),
    }
    line(text, "What is saved from now on is sealed with a new key, which it does not have.");
    if !done.told.is_empty() {
        let names: Vec<String> = done.told.iter().map(|name| plain(name)).collect();
        line(text, &format!("It is refused by: {}.", names.join(", ")));
    }
    if !done.not_told.is_empty() {
        let names: Vec<String> = done.not_told.iter().map(|name| plain(name)).collect();
        line(
            text,
            &format!(
                "Not reached, told when they are met: {}. Until then they answer it.",
                names.join(", ")
            ),
        );
    }
    if done.reason != RemovalReason::Replaced {
        line(
            text,
            "What was saved before is sealed with keys that it has: `larder rekey` seals it anew, \
             `larder rekey --dry-run` tells how much that is.",
        );
    }
    if done.reason != RemovalReason::Replaced && !done.guardian_of.is_empty() {
        let names: Vec<String> = done.guardian_of.iter().map(|name| plain(name)).collect();
        line(
            text,
            &format!(
                "It opens the shares that you keep as a guardian, until they are appointed anew: tell {} to say \
                 `larder guardians set` again.",
                names.join(", ")
            ),
        );
    }
    if done.reason == RemovalReason::Stolen {
        line(
            text,
            "Whoever has it can read what is on it, and has the keys of all that was saved until \
             now, though not the data that others keep. Change the passwords that were on it.",
        );
    }
}
