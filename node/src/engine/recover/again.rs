//! The phrase said once more, on a device that has its vault: for keys that it lacks.
//!
//! It was taken in by a log without the newest epochs, and whoever knew of them was met later, when the
//! phrase was gone. Source: specs/device_log.md, LOG-31.

use std::{sync::Arc, time::Duration};

use larder_protocol::{keys::recovery::RecoveryKeys, ticket::AddressTicket};
use tokio::time::timeout;
use tracing::debug;

use super::{MissingKeys, gather::Witnesses};
use crate::{
    command::{ExitKind, Failure},
    engine::{Core, EngineError, Member, contact, launch, sync},
};

/// How long one holder is asked for what is new.
const ASK: Duration = Duration::from_secs(8);

/// Opens what the phrase opens and this device does not; refuses when there is no such thing.
pub(super) async fn again(
    core: &Arc<Core>,
    member: &Arc<Member>,
    recovery: &RecoveryKeys,
    tickets: &[AddressTicket],
) -> Result<Witnesses, Failure> {
    let is_ours = *core.log_of(&member.vault)?.recovery() == recovery.public();
    let taken = if is_ours {
        "this home belongs to this vault already, and has all keys that the phrase opens"
    } else {
        "this home belongs to another vault already"
    };
    let refused = || Failure::usage(taken).hint("recover into a fresh home: name one with --home");
    if !is_ours {
        return Err(refused());
    }
    for AddressTicket { device, addresses, .. } in tickets {
        core.net.set_addresses(*device, launch::socket_addresses(addresses));
    }
    let witnesses = ask(core, member).await?;
    if !MissingKeys::of(recovery).open(core, member.vault).await? {
        if witnesses.answered == 0 && witnesses.known > 0 {
            return Err(Failure::new(ExitKind::Holders, "no holder answered").hint(
                "this device has all keys that it knows of; start a holder, then try again",
            ));
        }
        return Err(refused());
    }
    contact::spread_log(core, member.vault);
    sync::follow(core, member).await?;
    Ok(witnesses)
}

/// Asks every holder that is known for log and heads.
async fn ask(core: &Arc<Core>, member: &Arc<Member>) -> Result<Witnesses, EngineError> {
    let mut asked = Vec::new();
    for peer in core.state.peers()? {
        let (core, vault) = (Arc::clone(core), member.vault);
        asked.push(tokio::spawn(timeout(ASK, async move {
            contact::hello(&core, peer.device).await?;
            contact::pull_log(&core, peer.device, vault).await?;
            contact::pull_heads(&core, peer.device, vault).await
        })));
    }
    let mut witnesses = Witnesses { answered: 0, known: 0 };
    for one in asked {
        witnesses.known += 1;
        match one.await {
            Ok(Ok(Ok(_))) => witnesses.answered += 1,
            silent => debug!("a holder did not answer: {silent:?}"),
        }
    }
    Ok(witnesses)
}
