//! Carries out the orders of the auditing machine: asks holders to show what they signed for, notes
//! what they showed, and tells placing of copies that are none.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard},
};

use larder_protocol::{
    auditing::{Auditing, Failure, Finding, Input, Output},
    ids::{DeviceId, ShardRoot},
    order::OrderId,
    placing::{self, Fault},
    proof::Challenge,
    watching,
    wire::message::{Answer, Request},
};
use tracing::debug;

use super::{Fact, Task, log_failure};
use crate::engine::{Core, EngineError, clock::wall, on_disk};

/// Which shards are asked of whom just now: they are not served to it meanwhile.
#[derive(Debug, Default)]
pub(crate) struct Examined(Mutex<BTreeMap<DeviceId, BTreeSet<ShardRoot>>>);

impl Examined {
    /// Whether this holder is to show that shard, and must not get it here.
    pub(crate) fn has_to_show(&self, holder: &DeviceId, root: &ShardRoot) -> bool {
        self.lock().get(holder).is_some_and(|roots| roots.contains(root))
    }

    pub(crate) fn begin(&self, holder: DeviceId, challenges: &[Challenge]) {
        let roots = challenges.iter().map(|challenge| challenge.shard.root).collect();
        self.lock().insert(holder, roots);
    }

    pub(crate) fn end(&self, holder: DeviceId) {
        self.lock().remove(&holder);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<DeviceId, BTreeSet<ShardRoot>>> {
        self.0.lock().expect("no code panics while holding this lock")
    }
}

/// A fresh machine that knows every receipt, and when each holder last showed something.
pub(super) fn prime(core: &Core) -> Result<Auditing, EngineError> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(|_| EngineError::Randomness)?;
    let mut machine = Auditing::new(seed);
    let now = core.clock.now();
    for receipt in core.state.all_receipts()? {
        let (holder, shard) = (receipt.body.holder, receipt.body.shard);
        // Of a pack that has left the index nobody asks any more.
        if core.state.facts_of(&shard.root)?.is_some() {
            machine.handle_input(now, Input::Kept { holder, shard });
        }
    }
    for (holder, proven) in core.state.proofs()? {
        if let Some(last) = proven.values().max() {
            // A process for one command audits nobody of its own accord.
            let age_s = if core.serves { wall().0.saturating_sub(last.0) } else { 0 };
            let age_ms = age_s.saturating_mul(1000);
            machine.handle_input(now, Input::ProvenBefore { holder, age_ms });
        }
    }
    Ok(machine)
}

/// What auditing learns from what placing hears.
pub(super) const fn heard(input: &placing::Input) -> Option<Input> {
    match input {
        placing::Input::HolderConnected { holder, .. } => {
            Some(Input::HolderConnected { holder: *holder })
        }
        placing::Input::HolderRemoved { holder } => Some(Input::HolderRemoved { holder: *holder }),
        _ => None,
    }
}

impl Task {
    pub(super) fn audit(&mut self, input: Input) {
        self.auditing.handle_input(self.core.clock.now(), input);
    }

    pub(super) async fn carry_out_audit(&mut self, output: Output) {
        match output {
            Output::Challenge { order, holder, challenges } => {
                self.challenge(order, holder, challenges);
            }
            Output::NoteProven { holder, roots } => {
                let core = Arc::clone(&self.core);
                let noting = move || core.state.note_proven(&holder, &roots, wall());
                log_failure(on_disk(noting).await);
            }
            Output::CopyFailed { holder, root, failure } => {
                let fault = match failure {
                    Failure::Wrong => Some(Fault::WrongProof),
                    Failure::Absent => Some(Fault::LostShard),
                    Failure::Again => Some(Fault::LostAgain),
                    Failure::Damaged => None,
                };
                self.take(placing::Input::CopyFailed { holder, root, fault });
            }
        }
    }

    fn challenge(&self, order: OrderId, holder: DeviceId, challenges: Vec<Challenge>) {
        let (core, member, facts) = self.worker();
        tokio::spawn(async move {
            core.examined.begin(holder, &challenges);
            let request = Request::Audit { vault: member.vault, challenges: challenges.clone() };
            let answer = core.net.peer(holder).request(&request).await;
            core.examined.end(holder);
            let input = match answer {
                Ok(Answer::Shown { shown }) => {
                    let findings =
                        challenges.iter().zip(&shown).map(|(asked, it)| Finding::of(asked, it));
                    Input::Answered { order, findings: findings.collect() }
                }
                other => {
                    debug!("{} shows nothing: {other:?}", holder.short());
                    let doubted = watching::Input::Doubted { holder };
                    let _ = facts.send(Fact::Watch(doubted)).await;
                    Input::Failed { order }
                }
            };
            let _ = facts.send(Fact::Audit(input)).await;
        });
    }
}

#[cfg(test)]
mod tests;
