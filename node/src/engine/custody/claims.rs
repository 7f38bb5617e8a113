//! Tells holders what this device needs, once a day, and lets go here what no device does.

use std::sync::Arc;

use larder_protocol::{
    claiming::{Claiming, Input, Output},
    holding::Caller,
    ids::{DeviceId, ShardRoot},
    limits::CLAIMS_PART_MAX,
    placing,
    wire::message::{Answer, ClaimsPart, Refusal, Request},
};
use tracing::debug;

use super::{Fact, Task};
use crate::engine::{
    Core, EngineError, Member, clock::wall, collect, commit, contact, on_disk, serve, sync,
};

/// A fresh machine that knows every holder, this device among them.
pub(super) fn prime(core: &Core) -> Result<Claiming, EngineError> {
    let mut machine = Claiming::new();
    let (now, own) = (core.clock.now(), core.keys.id());
    let mut give = |input| machine.handle_input(now, input);
    let newest = core.state.commit_of(&own)?.map_or(0, |commit| commit.seq);
    give(Input::HeadCommitted { seq: newest });
    give(Input::HeadPublished { seq: core.state.published_seq()? });
    give(Input::HeadHeld { holder: own, seq: newest });
    for peer in core.state.peers()?.into_iter().filter(|peer| peer.is_holder) {
        give(Input::HolderKnown { holder: peer.device });
    }
    for (holder, seq) in core.state.heads_held()? {
        give(Input::HeadHeld { holder, seq });
    }
    Ok(machine)
}

impl Task {
    pub(super) fn claim(&mut self, input: Input) {
        self.claiming.handle_input(self.core.clock.now(), input);
    }

    /// What claiming learns from what placing hears.
    pub(super) fn heard_of_claims(&mut self, input: &placing::Input) {
        match input {
            placing::Input::HolderKnown { holder, .. } => {
                self.claim(Input::HolderKnown { holder: *holder });
            }
            placing::Input::HolderConnected { holder, .. }
            | placing::Input::HolderHeard { holder } => {
                self.claim(Input::HolderConnected { holder: *holder });
            }
            placing::Input::HolderRemoved { holder } => {
                self.claim(Input::HolderRemoved { holder: *holder });
            }
            placing::Input::HeadCommitted { seq, .. } => {
                self.claim(Input::HeadCommitted { seq: *seq });
                self.claim(Input::HeadHeld { holder: self.core.keys.id(), seq: *seq });
            }
            _ => {}
        }
    }

    pub(super) fn carry_out_claim(&self, output: &Output) {
        let Output::Tell { order, holder, seq } = *output;
        let (core, member, facts) = self.worker();
        tokio::spawn(async move {
            let input = match tell(&core, &member, holder, seq).await {
                Ok(packs) => Input::Told { order, packs },
                Err(error) => {
                    debug!("{} was not told what is needed: {error}", holder.short());
                    Input::NotTold { order }
                }
            };
            let _ = facts.send(Fact::Claim(input)).await;
        });
    }
}

async fn tell(
    core: &Arc<Core>,
    member: &Arc<Member>,
    holder: DeviceId,
    seq: u64,
) -> Result<u64, EngineError> {
    let is_own = holder == core.keys.id();
    if !is_own {
        contact::hello(core, holder).await?;
        contact::pull_log(core, holder, member.vault).await?;
        // Whom it does not know as a device it does not wait for.
        contact::push_log(core, holder, member.vault).await?;
        contact::pull_heads(core, holder, member.vault).await?;
    }
    sync::follow(core, member).await?;
    let roots = settled_claims(core, member, seq).await?;
    for part in parts(seq, &roots) {
        let answer = if is_own {
            let caller = Caller::Member { device: holder, vault: member.vault };
            let told = serve::told(core, caller, member.vault, part).await;
            told.unwrap_or_else(|reason| Answer::Refused { reason })
        } else {
            let request = Request::Claim { vault: member.vault, part };
            core.net.peer(holder).request(&request).await?
        };
        match answer {
            Answer::ClaimsTaken => {}
            Answer::Refused { reason } => {
                // It may have been set back to before it had this head.
                if reason == Refusal::Invalid && !is_own {
                    contact::push_head(core, member, holder, seq).await?;
                }
                return Err(EngineError::Refused(reason));
            }
            _ => return Err(EngineError::OutOfTurn),
        }
    }
    Ok(u64::try_from(roots.len()).unwrap_or(u64::MAX))
}

/// What head `seq` needs, once nothing here relies on what no device claims (DEL-7).
async fn settled_claims(
    core: &Arc<Core>,
    member: &Arc<Member>,
    seq: u64,
) -> Result<Vec<ShardRoot>, EngineError> {
    // What others claim must not change while it is asked for. This comes first: when several holders are
    // told at once, each waits for the one before, and none takes it for somebody who relies on packs.
    let _nobody_follows = core.following.lock().await;
    let Ok(_nobody_relies) = core.relying.try_write() else { return Err(EngineError::Busy) };
    if !sync::is_up_to_date(core, member)? {
        return Err(EngineError::Busy);
    }
    collect::sweep(core, member).await?;
    commit::check_no_clone(core, member)?;
    let (working, of) = (Arc::clone(core), Arc::clone(member));
    let (newest, roots) = on_disk(move || commit::claimed(&working, &of)).await?;
    // There may be a newer head by now, which has to reach the holder first.
    if newest == seq { Ok(roots) } else { Err(EngineError::Busy) }
}

/// A list in parts, the last one marked; one part when nothing is needed.
fn parts(seq: u64, roots: &[ShardRoot]) -> impl Iterator<Item = ClaimsPart> {
    let time = wall();
    let count = roots.len().div_ceil(CLAIMS_PART_MAX).max(1);
    (0..count).map(move |number| {
        let of_part = roots.chunks(CLAIMS_PART_MAX).nth(number).unwrap_or_default();
        ClaimsPart {
            seq,
            time,
            part: u32::try_from(number).unwrap_or(u32::MAX),
            is_last: number + 1 == count,
            roots: of_part.to_vec(),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    // DEL-2
    #[test]
    fn a_long_list_is_told_in_parts_and_an_empty_one_in_one() {
        let none: Vec<_> = parts(0, &[]).collect();
        assert_eq!(none.len(), 1);
        assert!(none[0].is_last && none[0].roots.is_empty());
        let root = |number: u32| {
            let mut bytes = [0; 32];
            bytes[..4].copy_from_slice(&number.to_be_bytes());
            ShardRoot::from_bytes(bytes)
        };
        let most = u32::try_from(CLAIMS_PART_MAX).unwrap();
        let roots: Vec<_> = (0..2 * most + 1).map(root).collect();
        let told: Vec<_> = parts(7, &roots).collect();
        assert_eq!(
            told.iter().map(|part| part.roots.len()).collect::<Vec<_>>(),
            [CLAIMS_PART_MAX, CLAIMS_PART_MAX, 1]
        );
        assert_eq!(told.iter().map(|part| part.is_last).collect::<Vec<_>>(), [false, false, true]);
        assert!(told.iter().zip(0..).all(|(part, number)| part.part == number && part.seq == 7));
        let all: Vec<_> = told.into_iter().flat_map(|part| part.roots).collect();
        assert_eq!(all, roots);
    }
}
