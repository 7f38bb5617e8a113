//! Calls holders to see whether they are there, and tells placing who is presumed lost.

use std::{collections::BTreeMap, sync::Arc};

use larder_protocol::{
    ids::DeviceId,
    placing,
    watching::{History, Input, Output, Watching},
};
use tracing::{debug, info};

use super::{Custody, Fact, Task, log_failure};
use crate::engine::{
    Core, EngineError, clock::wall, contact, guardians, leaving, on_disk, tending,
};

/// A fresh machine that knows every holder, and what was learnt of it.
pub(super) fn prime(core: &Core) -> Result<Watching, EngineError> {
    let mut machine = Watching::new();
    let mut histories = core.state.histories()?;
    let own_site = core.own_site();
    for peer in core.state.peers()?.into_iter().filter(|peer| peer.is_holder) {
        let (holder, is_elsewhere) = (peer.device, peer.site != own_site);
        let history = histories.remove(&holder).map(Box::new);
        let known = Input::HolderKnown { holder, is_elsewhere, history };
        machine.handle_input(core.clock.now(), wall(), known);
    }
    Ok(machine)
}

impl Custody {
    /// Tells what the user said of a holder.
    pub(crate) async fn expect(&self, input: Input) {
        let _ = self.facts.send(Fact::Watch(input)).await;
    }

    /// What was learnt of every holder.
    pub(crate) async fn histories(&self) -> Option<BTreeMap<DeviceId, History>> {
        let (answer, histories) = tokio::sync::oneshot::channel();
        self.facts.send(Fact::AskHistories(answer)).await.ok()?;
        histories.await.ok()
    }
}

impl Task {
    pub(super) fn watch(&mut self, input: Input) {
        self.watching.handle_input(self.core.clock.now(), wall(), input);
    }

    /// What watching learns from what placing hears.
    pub(super) fn heard_of_presence(&mut self, input: &placing::Input) {
        match input {
            placing::Input::HolderKnown { holder, site, .. } => {
                let is_elsewhere = site.0 != self.core.own_site();
                let holder = *holder;
                self.watch(Input::HolderKnown { holder, is_elsewhere, history: None });
            }
            placing::Input::HolderConnected { holder, .. }
            | placing::Input::HolderHeard { holder }
            // It is there, whatever it thinks of us.
            | placing::Input::HolderRefused { holder } => {
                self.watch(Input::Heard { holder: *holder });
            }
            placing::Input::HolderLost { holder } => {
                self.watch(Input::Doubted { holder: *holder });
            }
            placing::Input::HolderRemoved { holder } => {
                self.watch(Input::HolderRemoved { holder: *holder });
            }
            _ => {}
        }
    }

    pub(super) async fn carry_out_watch(&mut self, output: Output) {
        match output {
            Output::Call { order, holder } => self.call(order, holder),
            Output::Keep { holder, history } => {
                let core = Arc::clone(&self.core);
                let kept = on_disk(move || core.state.keep_history(&holder, &history)).await;
                log_failure(kept);
            }
            Output::Presumed { holder, is_lost } => {
                let what = if is_lost { "presumed lost" } else { "counted on again" };
                info!("holder {} is {what}", holder.short());
                self.take(placing::Input::HolderPresumed { holder, is_lost });
                self.core.tending.presumed(&self.core, holder, is_lost);
            }
        }
    }

    fn call(&self, order: larder_protocol::order::OrderId, holder: DeviceId) {
        let (core, member, facts) = self.worker();
        tokio::spawn(async move {
            let answered = match contact::hello(&core, holder).await {
                Ok(standing) => {
                    log_failure(contact::note_met(&core, holder, standing.as_ref()));
                    if let Some(standing) = &standing {
                        guardians::met(&core, &member, holder, standing.guarding.as_ref()).await;
                        tending::met(&core, &member, holder, standing).await;
                        log_failure(leaving::met(&core, &member, holder).await);
                    }
                    // Whoever waited to place something there need not wait any longer.
                    let _ = facts.send(Fact::Input(placing::Input::HolderHeard { holder })).await;
                    true
                }
                Err(error) => {
                    debug!("holder {}: {error}", holder.short());
                    // One that is busy is there, and no worse than before.
                    if error.turns_away() || !error.is_refusal() {
                        let _ = facts.send(Fact::Input(super::missed(holder, &error))).await;
                    }
                    error.is_refusal()
                }
            };
            let _ = facts.send(Fact::Watch(Input::CallEnded { order, answered })).await;
        });
    }
}
