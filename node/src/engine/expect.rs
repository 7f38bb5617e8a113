//! What the user says of a holder, and what was learnt of it.

use std::sync::Arc;

use larder_protocol::{
    ids::DeviceId,
    time::Timestamp,
    watching::{self, History, Input, Kind, Word},
};

use super::{Core, EngineError, clock::wall};
use crate::{
    command::{Attendance, ExpectOutcome, Expectation, Failure, HolderKind, Outcome, Presence},
    state::circle::PeerRow,
};

/// Takes the user's word, if there is one, and shows how the holder stands then.
pub(crate) async fn expect(
    core: &Arc<Core>,
    device: &str,
    expectation: Option<Expectation>,
) -> Result<Outcome, Failure> {
    let member = core.member()?;
    let custody = member.custody()?;
    let peers = core.state.peers().map_err(EngineError::from)?;
    let peer = named(peers.into_iter().filter(|peer| peer.is_holder).collect(), device)?;
    if let Some(expectation) = expectation {
        custody.expect(input(peer.device, expectation)).await;
    }
    // Answered by the task that keeps it, after what was said just now.
    let histories = custody.histories().await.ok_or(EngineError::Stopped)?;
    let history = histories.get(&peer.device).cloned().unwrap_or_default();
    if expectation.is_some() {
        let kept = core.state.histories().map_err(EngineError::from)?;
        let is_kept =
            |kept: &History| (kept.word(), kept.kind()) == (history.word(), history.kind());
        if !kept.get(&peer.device).is_some_and(is_kept) {
            return Err(Failure::failed("what was said could not be written down")
                .hint("free some space on the disk of the home, and say it again"));
        }
    }
    Ok(Outcome::Expect(ExpectOutcome {
        device: peer.device.to_string(),
        name: peer.name,
        attendance: attendance(&history),
    }))
}

fn input(holder: DeviceId, expectation: Expectation) -> Input {
    let say = |word| Input::Said { holder, word };
    match expectation {
        Expectation::Lost => say(Word::Lost),
        Expectation::Back => say(Word::Nothing),
        Expectation::Away(seconds) => {
            say(Word::AwayUntil(Timestamp(wall().0.saturating_add(seconds))))
        }
        Expectation::Kind(kind) => Input::KindSaid { holder, kind: known_kind(kind) },
    }
}

const fn known_kind(kind: HolderKind) -> Kind {
    match kind {
        HolderKind::AlwaysOn => Kind::AlwaysOn,
        HolderKind::Laptop => Kind::Laptop,
        HolderKind::Phone => Kind::Phone,
    }
}

/// The holder that a person means: by name, or by the beginning of its id.
fn named(peers: Vec<PeerRow>, text: &str) -> Result<PeerRow, Failure> {
    let by_name = |peer: &&PeerRow| peer.name == text;
    let by_id = |peer: &&PeerRow| peer.device.to_string().starts_with(&text.to_ascii_lowercase());
    let peers = if text.is_empty() { Vec::new() } else { peers };
    let mut meant: Vec<&PeerRow> = peers.iter().filter(by_name).collect();
    if meant.is_empty() {
        meant = peers.iter().filter(by_id).collect();
    }
    match meant.as_slice() {
        [one] => Ok((*one).clone()),
        [] => Err(Failure::failed(format!("no holder is called {text}"))
            .hint("see `larder peers` for their names and ids")),
        several => {
            let ids: Vec<String> = several.iter().map(|peer| peer.device.short()).collect();
            Err(Failure::failed(format!("{} holders are meant by {text}", several.len()))
                .hint(format!("give the beginning of an id: {}", ids.join(", "))))
        }
    }
}

/// What is known of a holder, for people.
pub(crate) fn attendance(history: &History) -> Attendance {
    let away_until = match history.word() {
        Word::AwayUntil(until) if until > wall() => Some(until.into()),
        Word::AwayUntil(_) | Word::Nothing | Word::Lost => None,
    };
    Attendance {
        presence: match history.presence() {
            watching::Presence::Unknown => Presence::Unknown,
            watching::Presence::Here => Presence::Here,
            watching::Presence::Away => Presence::Away,
            watching::Presence::Suspect => Presence::Suspect,
            watching::Presence::Lost => Presence::Lost,
        },
        kind: match history.kind() {
            Kind::AlwaysOn => HolderKind::AlwaysOn,
            Kind::Laptop => HolderKind::Laptop,
            Kind::Phone => HolderKind::Phone,
        },
        said_lost: history.word() == Word::Lost,
        away_until,
        availability_percent: history.availability_percent(),
        silent_ms: history.silent_s().saturating_mul(1_000),
        lost_after_ms: history.limit_s().saturating_mul(1_000),
    }
}
