//! Introduces the holders of this device's own vault to each other.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use larder_protocol::{
    ids::DeviceId,
    limits::{COPIES_MAX, FELLOWS_MAX, INTRODUCTION_BYTES_MAX},
    placing::Acquaintance,
    tending::{
        Fellow, Introduction, SiteTag,
        introduction::{IntroductionBody, IntroductionError, VERSION},
    },
    time::Timestamp,
    wire::message::{Answer, Request, Standing},
};
use tracing::debug;

use crate::{
    engine::{Core, EngineError, Member, clock::wall, launch, leaving, on_disk},
    state::circle::PeerRow,
};

/// Addresses of one holder that are named.
const ADDRESSES: usize = 4;

/// A holder was met: it is told who else holds, unless it knows.
pub(in crate::engine) async fn met(
    core: &Arc<Core>,
    member: &Member,
    holder: DeviceId,
    standing: &Standing,
) {
    // Devices of the vault itself look after it as such.
    if core.vaults.relation(&holder).is_none_or(|(vault, _)| vault == member.vault) {
        return;
    }
    let introduced = async {
        let introduction = current(core, member).await?;
        if introduction.body().number != standing.introduced {
            introduce(core, member, holder, &introduction).await?;
        }
        Ok::<_, EngineError>(())
    };
    if let Err(error) = introduced.await {
        debug!("{} was not told who else holds: {error}", holder.short());
    }
}

async fn introduce(
    core: &Arc<Core>,
    member: &Member,
    holder: DeviceId,
    introduction: &Introduction,
) -> Result<(), EngineError> {
    let introduction = introduction.bytes().to_vec().into();
    let request = Request::Introduce { vault: member.vault, introduction };
    match core.net.peer(holder).request(&request).await? {
        Answer::Introduced => Ok(()),
        Answer::Refused { reason } => Err(EngineError::Refused(reason)),
        _ => Err(EngineError::OutOfTurn),
    }
}

/// What this device says now; made anew, and durable here first, when it is something else than it said last.
async fn current(core: &Arc<Core>, member: &Member) -> Result<Introduction, EngineError> {
    let body = body(core, member)?;
    let last = {
        let vaults = core.vaults.read();
        vaults.get(&member.vault).and_then(|it| it.introductions().of(&body.device).cloned())
    };
    if let Some(last) = last.as_ref().filter(|last| last.body().says_the_same(&body)) {
        return Ok(last.clone());
    }
    let number = wall().number_after(last.map_or(0, |last| last.body().number));
    let made = signed(IntroductionBody { number, ..body }, member)?;
    let (keeping, vault, bytes) = (Arc::clone(core), member.vault, made.bytes().to_vec());
    // However wrong this device's own clock was before.
    let clock = Timestamp(number);
    on_disk(move || keeping.vaults.take_introduction(vault, &bytes, clock)).await??;
    Ok(made)
}

/// Signed; with fewer addresses if they are too long.
fn signed(mut body: IntroductionBody, member: &Member) -> Result<Introduction, EngineError> {
    for addresses in (0..=ADDRESSES).rev() {
        body.holders.iter_mut().for_each(|it| it.addresses.truncate(addresses));
        match Introduction::sign(body.clone(), &member.keys) {
            Err(IntroductionError::Shape) if addresses > 0 => {}
            other => return Ok(other?),
        }
    }
    unreachable!("the last round returns; {INTRODUCTION_BYTES_MAX} bytes are enough without any")
}

/// A few of them, in an order of their own: so that nothing is news that is none.
fn some(addresses: &[String]) -> Vec<String> {
    let sorted: BTreeSet<&String> = addresses.iter().collect();
    sorted.into_iter().take(ADDRESSES).cloned().collect()
}

fn body(core: &Core, member: &Member) -> Result<IntroductionBody, EngineError> {
    let is_named = |peer: &PeerRow| {
        let is_granted = peer.is_holder
            && !leaving::is_apart(core, &peer.vault)
            && peer.acquaintance() == Acquaintance::Granted;
        is_granted && core.vaults.relation(&peer.device).is_some_and(|(of, _)| of != member.vault)
    };
    let peers: Vec<PeerRow> = core.state.peers()?.into_iter().filter(is_named).collect();
    let sites: BTreeMap<&str, ()> = peers.iter().map(|peer| (peer.site.as_str(), ())).collect();
    let wanted = launch::policy(&core.config()).copies.wanted(sites.len());
    let mut holders: Vec<Fellow> = peers
        .iter()
        .map(|peer| Fellow {
            device: peer.device,
            site: SiteTag::of(&member.content, &peer.site),
            addresses: some(&peer.addresses),
        })
        .collect();
    holders.sort_by_key(|fellow| fellow.device);
    holders.truncate(FELLOWS_MAX);
    Ok(IntroductionBody {
        version: VERSION,
        vault: member.vault,
        device: member.keys.id(),
        // Given where it is signed.
        number: 1,
        copies: u8::try_from(wanted).unwrap_or(COPIES_MAX).clamp(1, COPIES_MAX),
        holders,
    })
}
