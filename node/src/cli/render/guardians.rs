//! Guardians, for people.

use super::{line, plain, short, when};
use crate::command::{
    GatheredOutcome, GaveOutcome, GuardianOf, GuardiansOutcome, PhraseRequest, WaitingOutcome,
    count,
};

pub(super) fn guardians(text: &mut String, known: &GuardiansOutcome) {
    match (known.threshold, known.delay_ms, known.appointed) {
        (Some(threshold), Some(delay), Some(since)) => {
            let names: Vec<String> = known.guardians.iter().map(|it| plain(&it.name)).collect();
            let number = known.guardians.len();
            line(
                text,
                &format!(
                    "Any {threshold} of {number} guardians give the phrase back, {} after they ask: {} \
                 (appointed {}).",
                    span(delay / 1000),
                    names.join(", "),
                    when(since)
                ),
            );
        }
        _ => line(text, "This vault has no guardians."),
    }
    let renewed = known.guardians.iter().filter(|it| it.has_new_key);
    let renewed: Vec<String> = renewed.map(|it| plain(&it.name)).collect();
    if !renewed.is_empty() {
        line(
            text,
            &format!(
                "There is a new key since then at {}: a device that was thrown out there may still open the share. \
                 Appoint your guardians anew (larder guardians set).",
                renewed.join(", ")
            ),
        );
    }
    if known.stopped > 0 {
        line(text, &format!("{} stopped.", count(u64::from(known.stopped), "request")));
        line(
            text,
            "Their shares are out: speak with your guardians, then appoint them anew (larder guardians set).",
        );
    }
    for request in &known.requests {
        line(text, &asked(request));
    }
    if known.requests.iter().any(|request| request.stopped_by.is_none()) {
        line(text, "If that is not you: larder guardians stop");
    }
    names(text, "Known to", &known.told);
    names(text, "Not reached, told when they are met:", &known.not_told);
    for other in &known.guardian_of {
        line(text, &guardian_of(other));
    }
}

fn names(text: &mut String, what: &str, all: &[String]) {
    if !all.is_empty() {
        let names: Vec<String> = all.iter().map(|name| plain(name)).collect();
        line(text, &format!("{what} {}.", names.join(", ")));
    }
}

fn asked(request: &PhraseRequest) -> String {
    let from = plain(&request.from);
    let (since, due) = (when(request.asked), when(request.due));
    match &request.stopped_by {
        Some(by) => format!(
            "A machine that calls itself {from} asked for the phrase ({since}): stopped by {}.",
            plain(by)
        ),
        None => format!(
            "SOMEBODY WITH ENOUGH SHARES ASKS FOR THE PHRASE: a machine that calls itself {from}, \
             since {since}. It is given from {due} on."
        ),
    }
}

fn guardian_of(other: &GuardianOf) -> String {
    let gave = other.gave.map(|time| format!("; handed to somebody {}", when(time)));
    format!(
        "This vault is one of {} guardians of {} ({}), of whom {} are enough{}.",
        other.guardians,
        plain(&other.name),
        short(&other.vault),
        other.threshold,
        gave.unwrap_or_default()
    )
}

pub(super) fn gave(text: &mut String, done: &GaveOutcome) {
    line(
        text,
        &format!(
            "The share of {} (vault {}) is handed over: {} of {} are there.",
            plain(&done.name),
            short(&done.vault),
            done.have,
            done.needed
        ),
    );
}

pub(super) fn gathered(text: &mut String, known: &GatheredOutcome) {
    line(
        text,
        "Shares enough are here. Is this your vault? Anybody who had the code can bring shares of his:",
    );
    for vault in &known.vaults {
        let names: Vec<String> = vault.helpers.iter().map(|name| plain(name)).collect();
        line(
            text,
            &format!(
                "  {}  made {}, {} of {} shares, of {}, from {}; its holders wait {}",
                short(&vault.vault),
                when(vault.founded),
                vault.have,
                vault.needed,
                count(u64::from(vault.guardians), "guardian"),
                names.join(", "),
                span(vault.delay_ms / 1000)
            ),
        );
    }
    line(
        text,
        "Ask your guardians whether they see the same number, then say the same again with --vault NUMBER.",
    );
}

pub(super) fn waiting(text: &mut String, known: &WaitingOutcome) {
    let names: Vec<String> = known.helpers.iter().map(|name| plain(name)).collect();
    line(text, &format!("Shares enough are here, from {}.", names.join(", ")));
    line(
        text,
        &format!(
            "{} of vault {} keep the phrase back until {}, and warn every device of that vault.",
            count(u64::from(known.holders), "holder"),
            short(&known.vault),
            when(known.due)
        ),
    );
    line(text, "Keep this home, and say the same again then.");
}

/// A span of time in the largest unit that is whole.
fn span(seconds: u64) -> String {
    let units = [(86_400, "day"), (3600, "hour"), (60, "minute")];
    let whole = units.into_iter().find(|(unit, _)| seconds > 0 && seconds.is_multiple_of(*unit));
    whole.map_or_else(|| count(seconds, "second"), |(unit, name)| count(seconds / unit, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_told_in_its_largest_whole_unit() {
        for (seconds, text) in [
            (604_800, "7 days"),
            (3600, "1 hour"),
            (90, "90 seconds"),
            (120, "2 minutes"),
            (0, "0 seconds"),
        ] {
            assert_eq!(span(seconds), text);
        }
    }
}
