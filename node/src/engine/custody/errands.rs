//! Leaves errands for holders that are away with those that can be reached, and takes what was said to them.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use larder_protocol::{
    errands::{Errand, ErrandBody, Reply, VERSION},
    ids::{DeviceId, ShardRoot},
    limits::{CLOCK_AHEAD_S_MAX, ERRANDS_MAX},
    order::OrderId,
    placing::{Claim, Input, Wish},
    receipt::Receipt,
    time::Timestamp,
    watching,
    wire::message::{Answer, Request},
};
use minicbor::bytes::ByteVec;
use tokio::sync::mpsc;
use tracing::{debug, info};

use super::{Fact, Task};
use crate::engine::{Core, EngineError, Member, clock::wall, commit, on_disk};

/// The last errand for each holder, with the turn of the wish that it says.
pub(super) type Made = Mutex<BTreeMap<DeviceId, (u64, Errand)>>;

impl Task {
    pub(super) fn run_errands(&self, order: OrderId, carrier: DeviceId, wishes: Vec<Wish>) {
        let (core, member, facts) = self.worker();
        let made = Arc::clone(&self.made);
        tokio::spawn(async move {
            let run = async {
                // What cannot be left keeps nothing from being heard.
                let mut left = Ok(());
                for wish in wishes {
                    left = left.and(leave(&core, &member, &made, (carrier, wish)).await);
                }
                take_replies(&core, &member, &facts, carrier).await.and(left)
            };
            let ended = run.await;
            if let Err(error) = &ended {
                debug!("errands at {}: {error}", carrier.short());
            }
            let is_done = ended.is_ok();
            let _ = facts.send(Fact::Input(Input::ErrandsEnded { order, is_done })).await;
        });
    }
}

/// Leaves what one holder is to fetch with another one.
async fn leave(
    core: &Arc<Core>,
    member: &Member,
    made: &Made,
    (carrier, wish): (DeviceId, Wish),
) -> Result<(), EngineError> {
    let head = head_for(core, member, wish.head_seq).await?;
    let void = met(core, wish.holder).await?;
    let errand = made_of(member, made, &wish, (head.clone(), void), 0)?;
    let kept = hand_over(core, carrier, &errand).await?;
    if kept <= errand.body().number {
        return Ok(());
    }
    // This device has made that one by a clock that was ahead; no more than any holder takes.
    if kept > wall().0.saturating_add(CLOCK_AHEAD_S_MAX) {
        return Err(EngineError::OutOfTurn);
    }
    let errand = made_of(member, made, &wish, (head, void), kept)?;
    match hand_over(core, carrier, &errand).await? {
        kept if kept <= errand.body().number => Ok(()),
        _ => Err(EngineError::OutOfTurn),
    }
}

/// Leaves it; the number of the one that is kept there then.
async fn hand_over(core: &Core, carrier: DeviceId, errand: &Errand) -> Result<u64, EngineError> {
    let (vault, errand) = (errand.body().vault, errand.bytes().to_vec().into());
    match core.net.peer(carrier).request(&Request::LeaveErrand { vault, errand }).await? {
        Answer::ErrandLeft { number } => Ok(number),
        Answer::Refused { reason } => Err(EngineError::Refused(reason)),
        _ => Err(EngineError::OutOfTurn),
    }
}

/// The signed head of this number. Noted before it leaves that it does (PLACE-24).
async fn head_for(
    core: &Arc<Core>,
    member: &Member,
    seq: Option<u64>,
) -> Result<Option<ByteVec>, EngineError> {
    let Some(seq) = seq else { return Ok(None) };
    // Another machine with this key may have come to light since the commit.
    commit::check_no_clone(core, member)?;
    let reading = Arc::clone(core);
    on_disk(move || {
        let head = reading.state.own_head(seq)?;
        reading.state.raise_shown_seq(seq)?;
        Ok::<_, EngineError>(head.map(ByteVec::from))
    })
    .await
}

/// The number up to which replies of a holder count no more: it was met since.
async fn met(core: &Arc<Core>, holder: DeviceId) -> Result<Option<u64>, EngineError> {
    let reading = Arc::clone(core);
    on_disk(move || Ok::<_, EngineError>(reading.state.met(&holder)?.map(|at| at.0))).await
}

/// The errand that says this, the same one for each carrier; with a number above `last`.
fn made_of(
    member: &Member,
    made: &Made,
    wish: &Wish,
    (head, void): (Option<ByteVec>, Option<u64>),
    last: u64,
) -> Result<Errand, EngineError> {
    let mut made = made.lock().expect("no code panics while holding this lock");
    let last = last.max(void.unwrap_or(0));
    let before = made.get(&wish.holder);
    if let Some((turn, errand)) = before
        && *turn == wish.turn
        && errand.body().number > last
    {
        return Ok(errand.clone());
    }
    let last = before.map_or(0, |(_, errand)| errand.body().number).max(last);
    let body = ErrandBody {
        version: VERSION,
        vault: member.vault,
        device: member.keys.id(),
        number: wall().number_after(last),
        holder: wish.holder,
        packs: wish.packs.clone(),
        head,
        void,
    };
    let errand = Errand::sign(body, &member.keys)?;
    made.insert(wish.holder, (wish.turn, errand.clone()));
    Ok(errand)
}

/// Takes what all that this device has left errands for have left with one holder.
async fn take_replies(
    core: &Arc<Core>,
    member: &Member,
    facts: &mpsc::Sender<Fact>,
    carrier: DeviceId,
) -> Result<(), EngineError> {
    let mut after = None;
    // No more than a holder keeps: this ends whatever the carrier does.
    for _ in 0..=ERRANDS_MAX {
        let request = Request::PullReply { vault: member.vault, after };
        let (holder, reply, receipts) = match core.net.peer(carrier).request(&request).await? {
            Answer::Replied { holder: Some(holder), reply, receipts } => (holder, reply, receipts),
            Answer::Replied { holder: None, .. } => return Ok(()),
            Answer::Refused { reason } => return Err(EngineError::Refused(reason)),
            _ => return Err(EngineError::OutOfTurn),
        };
        after = Some(holder);
        let is_known = core.state.peer(&holder)?.is_some_and(|peer| peer.is_holder);
        let Some(reply) = reply.filter(|_| is_known) else { continue };
        let is_meant = |reply: &Reply| {
            let (said, own) = (reply.body(), (member.vault, member.keys.id()));
            said.holder == holder && (said.vault, said.device) == own
        };
        let Some(reply) = Reply::decode(&reply).ok().filter(is_meant) else {
            core.blame(carrier, "served a reply that is none", None);
            continue;
        };
        if met(core, holder).await?.is_some_and(|met| reply.body().number <= met) {
            continue;
        }
        let claims = claims(member, holder, receipts).await?;
        let Some(claims) = claims else {
            core.blame(carrier, "served receipts that are none", None);
            continue;
        };
        heard_of(core, facts, (holder, &reply)).await?;
        if !claims.is_empty() {
            info!(
                "{} receipts of {} came by way of {}",
                claims.len(),
                holder.short(),
                carrier.short()
            );
        }
        let _ = facts.send(Fact::Input(Input::Replied { holder, claims })).await;
    }
    Err(EngineError::OutOfTurn)
}

/// ERR-6: what a holder has given, as whoever passes it on cannot make it up; `None` if some of it is made up.
async fn claims(
    member: &Member,
    holder: DeviceId,
    receipts: Vec<Receipt>,
) -> Result<Option<Vec<(ShardRoot, Claim)>>, EngineError> {
    let vault = member.vault;
    let is_given = move |receipt: &Receipt| {
        (receipt.body.vault, receipt.body.holder) == (vault, holder) && receipt.verify()
    };
    on_disk(move || {
        let are_given = receipts.iter().all(is_given);
        let claim = |receipt: Receipt| (receipt.body.shard.root, Claim::Kept(receipt));
        Ok::<_, EngineError>(are_given.then(|| receipts.into_iter().map(claim).collect()))
    })
    .await
}

/// What a reply says of its holder: that it was there, and which head it keeps.
async fn heard_of(
    core: &Arc<Core>,
    facts: &mpsc::Sender<Fact>,
    (holder, reply): (DeviceId, &Reply),
) -> Result<(), EngineError> {
    let said = reply.body().clone();
    let since = Timestamp(said.number.min(wall().0));
    let noting = Arc::clone(core);
    let is_kept = on_disk(move || {
        noting.state.change_peer(&holder, |known| {
            known.map(|mut peer| {
                peer.last_seen = peer.last_seen.max(since.0);
                peer
            })
        })?;
        // No head that was never made is one that it keeps.
        let own = noting.state.commit_of(&noting.keys.id())?;
        let is_made = said.head_seq > 0 && own.is_some_and(|own| said.head_seq <= own.seq);
        if is_made {
            noting.state.keep_head_held(&holder, said.head_seq)?;
        }
        Ok::<_, EngineError>(is_made)
    });
    let is_kept = is_kept.await?;
    let _ = facts.send(Fact::Watch(watching::Input::HeardOf { holder, since })).await;
    if is_kept {
        let seq = reply.body().head_seq;
        let _ = facts.send(Fact::Input(Input::HeadHeld { holder, seq })).await;
    }
    Ok(())
}
