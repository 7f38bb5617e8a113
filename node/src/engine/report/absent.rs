//! Holders that are presumed lost or silent for longer than usual, and devices of the vault without
//! whose word nothing is let go: in words.

use std::collections::BTreeMap;

use larder_protocol::{
    ids::DeviceId,
    placing::Status,
    time::Timestamp,
    watching::{History, Presence, Word},
};

use super::{
    super::{Core, EngineError, Member, clock::wall, look, sync},
    blocked::Names,
};
use crate::command::{Advice, ByteSize, Check, Health, count};

/// A device of the vault that was silent for so long holds up what its own silence keeps.
const MUTE_DAYS: u64 = 30;

/// What to say of holders that are missed.
pub(super) fn missed(
    histories: &BTreeMap<DeviceId, History>,
    status: &Status,
    names: &Names,
) -> Vec<Advice> {
    let mut all = Vec::new();
    for (device, history) in histories {
        let kept = status.holders.get(device).map_or(0, |holder| holder.kept_bytes);
        let name = names.get(device).cloned().unwrap_or_else(|| device.short());
        all.extend(word_on(&name, history, ByteSize(kept)));
    }
    if status.stranded_packs > 0 {
        let packs = count(status.stranded_packs, "pack");
        all.push(Advice {
            text: format!("of {packs} the only copies are at holders that are presumed lost"),
            hint: "what is still on this device is stored anew by `larder backup`; the rest comes \
                   back when one of them does"
                .into(),
        });
    }
    all
}

fn word_on(name: &str, history: &History, kept: ByteSize) -> Option<Advice> {
    let days = count(history.silent_s() / 86_400, "day");
    let (text, hint) = match (history.presence(), history.word()) {
        (Presence::Lost, Word::Lost) => (
            format!("{name} is lost, as you said: the {kept} that it keeps do not count"),
            format!("found again: `larder expect {name} --back`"),
        ),
        (Presence::Lost, _) => (
            format!(
                "{name} is presumed lost after {days} of silence: the {kept} that it keeps do not \
                 count"
            ),
            format!(
                "what others keep as well is copied again as far as they have room; only away: \
                 `larder expect {name} --away 30d`"
            ),
        ),
        (Presence::Suspect, _) => (
            format!("{name} has been silent for {days}, longer than usual"),
            format!(
                "ask its owner whether it still runs; if it is gone: `larder expect {name} --lost`"
            ),
        ),
        (Presence::Unknown | Presence::Here | Presence::Away, _) => return None,
    };
    Some(Advice { text, hint })
}

/// Who keeps what was forgotten from being let go. Nothing for a vault of one device.
pub(super) fn letting_go(core: &Core, member: &Member) -> Result<Option<Check>, EngineError> {
    let own = member.keys.id();
    let names = look::device_names(core, member);
    if names.len() < 2 {
        return Ok(None);
    }
    let mut found = Vec::new();
    for device in sync::not_taken_in(core, member)? {
        let name = names.get(&device).cloned().unwrap_or_else(|| device.short());
        found.push(format!("what {name} needs could not be fetched yet"));
    }
    for (device, seen) in last_words(core, member)? {
        let days = wall().0.saturating_sub(seen.0) / 86_400;
        if device != own && days >= MUTE_DAYS {
            let name = names.get(&device).cloned().unwrap_or_else(|| device.short());
            let heard = if seen.0 == 0 { "ever".into() } else { format!("for {days} days") };
            found.push(format!("{name} was not heard of {heard}"));
        }
    }
    let name = "letting-go".into();
    Ok(Some(if found.is_empty() {
        let found = "every device of the vault was heard of lately".into();
        Check { name, state: Health::Good, found, hint: None }
    } else {
        let text = format!("holders keep what was forgotten: {}", found.join("; "));
        let hint = "nothing is lost by it, and space comes back when those devices run again. A \
                    device that is gone for good: `larder revoke NAME`";
        Check { name, state: Health::Poor, found: text, hint: Some(hint.into()) }
    }))
}

/// When each device of the vault was last heard of, by itself or by a head.
fn last_words(core: &Core, member: &Member) -> Result<BTreeMap<DeviceId, Timestamp>, EngineError> {
    let vaults = core.vaults.read();
    let Some(known) = vaults.get(&member.vault) else { return Ok(BTreeMap::new()) };
    let mut all = BTreeMap::new();
    for device in known.log().devices() {
        let id = device.public.id;
        let head = known.heads().highest(&id).map(|head| head.body().time);
        let met = core.state.peer(&id)?.map(|peer| Timestamp(peer.last_seen));
        // One that was just added has not had the time to say anything.
        all.insert(id, head.max(met).unwrap_or_default().max(device.added));
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use larder_protocol::{
        time::Instant,
        watching::{Input, Output, Watching},
    };

    use super::*;

    const NAS: DeviceId = DeviceId::from_bytes([1; 32]);

    /// What is known of a holder that was there for a day, and silent for so many days since.
    fn silent_for(days: u64, word: Word) -> History {
        let witness = DeviceId::from_bytes([2; 32]);
        let mut machine = Watching::new();
        let mut at = 0;
        let mut give = |at: u64, input| {
            machine.handle_input(Instant(at * 1_000_000_000), Timestamp(1_800_000_000 + at), input);
            std::iter::from_fn(|| machine.poll_output()).collect::<Vec<_>>()
        };
        for holder in [NAS, witness] {
            give(at, Input::HolderKnown { holder, is_elsewhere: true, history: None });
        }
        give(at, Input::Heard { holder: NAS });
        give(at, Input::Said { holder: NAS, word });
        while at < days * 86_400 {
            at += 4 * 3_600;
            for output in give(at, Input::TimePassed) {
                if let Output::Call { order, holder } = output {
                    give(at, Input::CallEnded { order, answered: holder == witness });
                }
            }
        }
        machine.history(&NAS).expect("it is known").clone()
    }

    // WATCH-8
    #[test]
    fn who_is_missed_is_named_with_what_to_do() {
        let table = [
            (silent_for(9, Word::Nothing), Some(("silent for 9 days", "expect nas --lost"))),
            (silent_for(16, Word::Nothing), Some(("presumed lost", "expect nas --away"))),
            (silent_for(1, Word::Lost), Some(("as you said", "expect nas --back"))),
            (silent_for(2, Word::Nothing), None),
        ];
        for (history, expected) in table {
            let said = word_on("nas", &history, ByteSize(7));
            let words = said.as_ref().map(|advice| (advice.text.clone(), advice.hint.clone()));
            match (words, expected) {
                (None, None) => {}
                (Some((text, hint)), Some((of_text, of_hint))) => {
                    assert!(text.contains(of_text) && hint.contains(of_hint), "{text} {hint}");
                }
                (words, expected) => panic!("{words:?} {expected:?}"),
            }
        }
    }
}
