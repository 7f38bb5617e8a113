//! Asks the holders for the phrase, under the key that follows from the shares.

use std::{sync::Arc, time::Duration};

use larder_protocol::{
    guarding::{
        gathering::{Gathering, HolderAnswer, Verdict},
        keeping::ReleaseState,
    },
    keys::phrase::Phrase,
    peer::PeerRecord,
    time::Timestamp,
    wire::message::{Answer, Refusal, Request, VERSION},
};
use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};
use tracing::debug;

use super::keep;
use crate::{
    command::{EventSink, ExitKind, Failure, Level, WaitingOutcome},
    engine::{Core, EngineError, clock::wall, launch},
    net::{Net, NetError, Peer, Protocol},
};

/// How long a holder may take to answer.
const PATIENCE: Duration = Duration::from_secs(20);
/// Once one has answered that it has the phrase, the others have so long for each answer more.
const SETTLE: Duration = Duration::from_secs(3);
/// A delay that is over so soon is waited for, and no longer altogether.
const WAIT_HERE_S: u64 = 90;
/// Between two askings at least.
const AGAIN_S: u64 = 2;

/// What the holders gave.
pub(super) enum Given {
    Phrase(Phrase),
    Later(WaitingOutcome),
}

/// Asks all holders for the phrase; waits for it when that is not long.
pub(super) async fn asked(
    core: &Arc<Core>,
    gathering: &mut Gathering,
    holders: &[PeerRecord],
    events: &EventSink,
) -> Result<Given, Failure> {
    let secret = gathering.secret().ok_or(EngineError::OutOfTurn)?;
    let net = core.net.aside(secret.release_seed(), core.relays.clone(), Protocol::Control);
    let net = net.await.map_err(EngineError::from)?;
    let result = ask_on(&net, gathering, holders, events).await;
    net.close().await;
    if let Err((Verdict::Stopped, _)) = &result {
        // Said again, it is another request: the shares are as good as before.
        gathering.ask_again();
        keep(core, gathering).await?;
    }
    result.map_err(|(_, failure)| failure)
}

async fn ask_on(
    net: &Net,
    gathering: &Gathering,
    holders: &[PeerRecord],
    events: &EventSink,
) -> Result<Given, (Verdict, Failure)> {
    let mut waited_s = 0;
    loop {
        let answers = answers(net, gathering, holders).await;
        match gathering.verdict(&answers) {
            Verdict::Phrase(phrase) => return Ok(Given::Phrase(phrase)),
            Verdict::Waiting { left_s, holders } => {
                let wait_s = left_s.max(AGAIN_S);
                waited_s += wait_s;
                if waited_s > WAIT_HERE_S {
                    return Ok(Given::Later(waiting(gathering, left_s, holders)));
                }
                let said = format!("the holders wait: {left_s} s are left of the delay");
                events.notice(Level::Normal, said);
                tokio::select! {
                    () = sleep(Duration::from_secs(wait_s)) => {}
                    () = events.cancelled() => {
                        return Err((Verdict::Nobody, Failure::interrupted()));
                    }
                }
            }
            failed => {
                let failure = failure(&failed);
                return Err((failed, failure));
            }
        }
    }
}

fn waiting(gathering: &Gathering, left_s: u64, holders: usize) -> WaitingOutcome {
    WaitingOutcome {
        vault: gathering.chosen().map(|vault| vault.to_string()).unwrap_or_default(),
        helpers: gathering.helpers(),
        holders: u32::try_from(holders).unwrap_or(u32::MAX),
        due: Timestamp(wall().0.saturating_add(left_s)).into(),
    }
}

fn failure(verdict: &Verdict) -> Failure {
    match verdict {
        Verdict::Stopped => {
            Failure::new(ExitKind::Key, "a device of this vault has stopped the request").hint(
                "say the same again to ask once more, with the shares that are here; whoever has that \
                 device can stop it again, until the device is removed (`larder revoke` on another one)",
            )
        }
        Verdict::Unknown => {
            Failure::new(ExitKind::Key, "no holder that answered knows these guardians").hint(
                "name a holder with --connect TICKET (`larder ticket` there); if the guardians were \
                 appointed anew since, ask those: their shares are taken beside these",
            )
        }
        _ => Failure::new(ExitKind::Holders, "no holder that has the phrase could be reached").hint(
            "start a holder with `larder up`, and say the same again; name it with --connect TICKET \
             if it has moved (`larder ticket` there)",
        ),
    }
}

/// What the holders answer: those that answer soon after the first one that has the phrase, and nobody is
/// waited for once it is there.
async fn answers(net: &Net, gathering: &Gathering, holders: &[PeerRecord]) -> Vec<HolderAnswer> {
    let mut asking = JoinSet::new();
    let (Some(vault), Some(request)) = (gathering.chosen(), gathering.asked()) else {
        return Vec::new();
    };
    for holder in holders {
        net.set_addresses(holder.device, launch::socket_addresses(&holder.addresses));
        let (peer, request) = (net.peer(holder.device), request.bytes().to_vec());
        asking.spawn(answer(peer, Request::AskRelease { vault, request: request.into() }));
    }
    let mut answers = Vec::with_capacity(holders.len());
    let mut patience = PATIENCE;
    while let Ok(Some(Ok(answer))) = timeout(patience, asking.join_next()).await {
        answers.push(answer);
        if let HolderAnswer::State(ReleaseState::Waiting { .. } | ReleaseState::Open { .. }) =
            answer
        {
            patience = SETTLE;
        }
        if matches!(gathering.verdict(&answers), Verdict::Phrase(_)) {
            return answers;
        }
    }
    // Those that were not waited for have not answered.
    answers.resize(holders.len().max(answers.len()), HolderAnswer::Silent);
    answers
}

async fn answer(peer: Peer, ask: Request) -> HolderAnswer {
    // Under the key of guardians, which stands nowhere.
    let hello =
        Request::Hello { versions: vec![VERSION], beacon_key: None, site: None, name: None };
    let asked = timeout(PATIENCE, async {
        peer.request(&hello).await?;
        peer.request(&ask).await
    });
    match asked.await {
        Ok(Ok(Answer::Release { state })) => HolderAnswer::State(state),
        Ok(
            Ok(Answer::Refused { reason: Refusal::Forbidden | Refusal::Invalid })
            | Err(NetError::Refused),
        ) => HolderAnswer::Unknown,
        other => {
            debug!("holder {} gave no answer: {other:?}", peer.id().short());
            HolderAnswer::Silent
        }
    }
}
