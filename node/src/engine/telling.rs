//! Tells everybody who can be reached of something new in the device log of this vault, and says who knows.

use std::{sync::Arc, time::Duration};

use larder_protocol::{head::SignedHead, keys::recovery::RecoveryKeys};
use tokio::time::timeout;
use tracing::debug;

use super::{Core, EngineError, Member, contact, recover::Access};
use crate::{command::Failure, state::circle::PeerRow};

/// How long everybody is told together.
const TELL: Duration = Duration::from_secs(15);

/// What everybody is told besides the log.
#[derive(Default)]
pub(super) struct News<'a> {
    /// The last head of a removed device that counts.
    pub(super) newest: Option<SignedHead>,
    /// Whoever was removed by a thief is let in by the phrase alone.
    pub(super) recovery: Option<&'a RecoveryKeys>,
}

/// Tells everybody at once; returns the names of those who know, and of those who do not.
pub(super) async fn tell(
    core: &Arc<Core>,
    member: &Arc<Member>,
    peers: Vec<PeerRow>,
    news: News<'_>,
) -> Result<(Vec<String>, Vec<String>), Failure> {
    let access = match news.recovery {
        Some(recovery) => Some(Arc::new(Access::open(core, recovery, core.relays.clone()).await?)),
        None => None,
    };
    let log = Arc::new(core.log_of(&member.vault)?);
    let told = peers.into_iter().map(|peer| {
        let (core, vault) = (Arc::clone(core), member.vault);
        let (access, log) = (access.clone(), Arc::clone(&log));
        let newest = news.newest.clone();
        tokio::spawn(async move {
            let told = async {
                if let Some(access) = &access {
                    // Whoever was removed by a thief is refused, but for the phrase.
                    access.reach(&core, peer.device);
                    access.introduce(peer.device, &log).await?;
                }
                contact::hello(&core, peer.device).await?;
                contact::push_log(&core, peer.device, vault).await?;
                // It counts up to here, wherever it was before.
                match &newest {
                    Some(head) => contact::hand_on_head(&core, peer.device, vault, head).await,
                    None => Ok(()),
                }
            };
            let result = timeout(TELL, told).await;
            if let Ok(Err(error)) = &result {
                debug!("{} was not told: {error}", peer.device.short());
                contact::missed(&core, peer.device, error).await;
            }
            (peer.name, matches!(result, Ok(Ok(()))))
        })
    });
    let told: Vec<_> = told.collect();
    let (mut know, mut not) = (Vec::new(), Vec::new());
    for one in told {
        match one.await {
            Ok((name, true)) => know.push(name),
            Ok((name, false)) => not.push(name),
            Err(_) => return Err(EngineError::Stopped.into()),
        }
    }
    if let Some(access) = access {
        access.close().await;
    }
    Ok((know, not))
}
