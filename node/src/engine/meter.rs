//! Watches what the line out of the local network costs, and tells those that send or fetch packs.
//!
//! ```text
//! setting, NetworkManager ──▶ line ──changed──▶ placing; serving and fetching ask when they need it
//! while it is metered: which holders are in the local network ──▶ placing
//! ```
//! What may cross decides `larder_protocol::pacing::Line`. Source: specs/pacing.md, "Metered lines".

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use larder_protocol::{
    ids::DeviceId,
    pacing::Line,
    placing::Input,
    wire::message::{Refusal, Verdict},
};
use tokio::{
    sync::Notify,
    time::{Instant, sleep},
};
use tracing::{info, warn};

use super::{Core, EngineError, Member, on_disk};
use crate::{
    home::{Config, Metered},
    metering,
};

/// Between two looks at the addresses of this device and of its holders.
const LOOK: Duration = Duration::from_secs(30);
/// The system is asked after so long, also if this device seems to be where it was.
const ASK_AGAIN: Duration = Duration::from_secs(600);

/// The line, as far as it is known.
#[derive(Debug)]
pub(crate) struct Meter {
    line: Mutex<Line>,
    told: Notify,
}

impl Meter {
    /// A node asks the system before it begins, which blocks; a process that carries out one command does not
    /// wait for that.
    pub(crate) fn new(config: &Config, serves: bool) -> Self {
        let line = match config.metered() {
            Metered::On => Line::Metered,
            Metered::Auto if serves => metering::line(),
            Metered::Auto | Metered::Off => Line::Free,
        };
        Self { line: Mutex::new(line), told: Notify::new() }
    }

    /// The line now.
    pub(crate) fn line(&self) -> Line {
        *self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The setting, or where this device is, may be another one.
    pub(crate) fn look(&self) {
        self.told.notify_one();
    }

    fn set(&self, line: Line) -> bool {
        std::mem::replace(&mut *self.line.lock().unwrap_or_else(PoisonError::into_inner), line)
            != line
    }
}

/// Whether packs may come from a device, or go to it, for which nobody waits.
pub(super) fn carries_packs(core: &Core, peer: &DeviceId) -> bool {
    core.meter.line().carries_packs(core.net.side_of(peer).unwrap_or_default())
}

/// What is here is told; what is not is not asked for over a line on which it would cost.
pub(super) fn spared(core: &Core, from: &DeviceId, verdicts: Vec<Verdict>) -> Vec<Verdict> {
    if carries_packs(core, from) {
        return verdicts;
    }
    let later = |verdict| match verdict {
        Verdict::Wanted => Verdict::Refused(Refusal::Busy),
        other => other,
    };
    verdicts.into_iter().map(later).collect()
}

/// Watches until the node closes.
pub(super) fn start(core: &Arc<Core>, member: &Arc<Member>) {
    let (core, member) = (Arc::clone(core), Arc::clone(member));
    tokio::spawn(async move {
        let closing = core.closing.clone();
        let _closed = closing.run_until_cancelled(watch(&core, &member)).await;
    });
}

async fn watch(core: &Arc<Core>, member: &Arc<Member>) {
    let mut asked: Option<(Instant, Vec<SocketAddr>, Line)> = None;
    loop {
        let line = match core.config().metered() {
            Metered::On => Line::Metered,
            Metered::Off => Line::Free,
            Metered::Auto => {
                let addresses = core.net.own_addresses();
                let is_new = |(at, before, _): &(Instant, Vec<SocketAddr>, Line)| {
                    at.elapsed() >= ASK_AGAIN || *before != addresses
                };
                if asked.as_ref().is_none_or(is_new) {
                    let said = on_disk(|| Ok::<_, EngineError>(metering::line())).await;
                    asked = Some((Instant::now(), addresses, said.unwrap_or_default()));
                }
                asked.as_ref().map_or(Line::Free, |(_, _, line)| *line)
            }
        };
        if let Err(error) = tell(core, member, line).await {
            warn!("placing is not told of the line: {error}");
        }
        tokio::select! {
            () = core.meter.told.notified() => asked = None,
            () = sleep(LOOK) => {}
        }
    }
}

async fn tell(core: &Arc<Core>, member: &Member, line: Line) -> Result<(), EngineError> {
    let custody = member.custody()?;
    if line == Line::Metered {
        // First, so that nothing is stopped that may go on.
        for holder in core.state.peers()?.into_iter().filter(|peer| peer.is_holder) {
            if let Some(side) = core.net.side_of(&holder.device) {
                custody.tell(Input::HolderStands(holder.device, side)).await;
            }
        }
    }
    if core.meter.set(line) {
        info!("the line out of the local network is {line:?} now");
    }
    custody.tell(Input::LineIs(line)).await;
    Ok(())
}
