//! Looks after vaults of which no device is heard of: one task carries out what the tending machine
//! orders.
//!
//! ```text
//! greetings, user, watching ──facts──▶ [ tending ] ──orders──▶ ask fellows, look here, fetch, note
//! ```
//! Decides nothing: whose turn it is, and what is missing, is `larder_protocol::tending`.

use std::sync::{Arc, Mutex, MutexGuard};

use larder_protocol::{
    ids::{DeviceId, VaultId},
    tending::{Input, Output, Status, Tending, Vigil, introduction::Circle},
    time::Instant,
    watching::{History, Presence},
};
use tokio::sync::Notify;
use tracing::warn;

use super::{Core, EngineError, Member, leaving, on_disk};

mod asking;
mod fetching;
mod introducing;
#[cfg(test)]
mod tests;

use asking::Told;
pub(super) use fetching::fetch;
pub(super) use introducing::met;

/// The machine with its lock.
#[derive(Debug)]
pub(crate) struct Tender {
    machine: Mutex<Tending>,
    /// There is a new fact.
    told: Notify,
}

impl Tender {
    /// Knows nothing before [`start`].
    pub(crate) fn new(own: DeviceId) -> Self {
        let mut machine = Tending::new(own);
        // A process that only carries out a command looks after nothing.
        machine.handle_input(Instant::default(), Input::Switched { is_on: false });
        Self { machine: Mutex::new(machine), told: Notify::new() }
    }

    /// Whether no device of a vault has been heard of for long, and this node is willing.
    pub(crate) fn is_unattended(&self, vault: &VaultId) -> bool {
        self.lock().is_unattended(vault)
    }

    /// Vaults whose devices are silent.
    pub(crate) fn status(&self) -> Vec<Status> {
        self.lock().status()
    }

    /// A device called, or answered.
    pub(crate) fn heard(&self, core: &Core, vault: VaultId, device: DeviceId) {
        self.tell(core, Input::Heard { vault, device });
    }

    /// Whether a device is presumed lost: then what it says of holders and claims is a thief's word.
    pub(crate) fn is_lost(&self, device: &DeviceId) -> bool {
        self.lock().is_lost(device)
    }

    /// Devices of a vault say anew who holds for it.
    pub(crate) fn introduced(&self, core: &Core, vault: VaultId) {
        self.know(core, vault, Vigil::default());
        // Whose devices have waived what is here, or are about to, is not looked after.
        let circle = match leaving::is_apart(core, &vault) {
            true => Circle::default(),
            false => core.vaults.circle_of(&vault),
        };
        self.tell(core, Input::Introduced { vault, circle });
        let peers = core.state.peers().unwrap_or_default();
        let watched = peers.iter().filter(|peer| peer.is_holder && peer.vault == vault);
        let devices = watched.map(|peer| peer.device).collect();
        self.tell(core, Input::DevicesWatched { vault, devices });
    }

    /// The log of a vault has grown: other introductions count, of other devices.
    pub(crate) fn log_grew(&self, core: &Core, vault: VaultId) {
        if core.vaults.read().get(&vault).is_some_and(|known| known.introductions().is_empty()) {
            return;
        }
        self.introduced(core, vault);
    }

    /// Somebody is presumed lost, or counted on again.
    pub(crate) fn presumed(&self, core: &Core, device: DeviceId, is_lost: bool) {
        self.tell(core, Input::Presumed { device, is_lost });
    }

    /// The user wants this, or not any more.
    pub(crate) fn switch(&self, core: &Core, is_on: bool) {
        self.tell(core, Input::Switched { is_on });
    }

    fn know(&self, core: &Core, vault: VaultId, vigil: Vigil) {
        // Its own devices see to a node's own vault.
        if core.member().is_ok_and(|member| member.vault != vault) {
            self.tell(core, Input::VaultKnown { vault, vigil });
        }
    }

    fn tell(&self, core: &Core, input: Input) {
        self.lock().handle_input(core.clock.now(), input);
        self.told.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, Tending> {
        self.machine.lock().expect("no code panics while holding this lock")
    }
}

/// Tells the machine what was known before, and carries out its orders until the node closes.
pub(super) fn start(core: &Arc<Core>, member: &Arc<Member>) -> Result<(), EngineError> {
    let mut vigils = core.state.vigils()?;
    let is_lost = |history: &History| history.presence() == Presence::Lost;
    let histories = core.state.histories()?.into_iter();
    for (device, _) in histories.filter(|(_, history)| is_lost(history)) {
        core.tending.presumed(core, device, true);
    }
    let vaults: Vec<VaultId> = core.vaults.read().keys().copied().collect();
    for vault in vaults {
        core.tending.know(core, vault, vigils.remove(&vault).unwrap_or_default());
        core.tending.log_grew(core, vault);
    }
    core.tending.switch(core, core.config().tends());
    fetching::clear(core);
    let (core, member) = (Arc::clone(core), Arc::clone(member));
    tokio::spawn(async move {
        let closing = core.closing.clone();
        let _closed = closing.run_until_cancelled(tend(&core, &member)).await;
    });
    Ok(())
}

async fn tend(core: &Arc<Core>, member: &Arc<Member>) {
    loop {
        let (outputs, timeout) = {
            let mut machine = core.tending.lock();
            let outputs: Vec<Output> = std::iter::from_fn(|| machine.poll_output()).collect();
            (outputs, machine.poll_timeout())
        };
        for output in outputs {
            carry_out(core, member, output).await;
        }
        tokio::select! {
            () = core.tending.told.notified() => {}
            () = core.clock.reached(timeout) => core.tending.tell(core, Input::TimePassed),
        }
    }
}

async fn carry_out(core: &Arc<Core>, member: &Arc<Member>, output: Output) {
    if let Output::Note { vault, vigil } = output {
        let keeping = Arc::clone(core);
        if let Err(error) = on_disk(move || keeping.state.keep_vigil(&vault, &vigil)).await {
            warn!("how long vault {} is silent could not be noted: {error}", vault.short());
        }
        return;
    }
    let (core, member) = (Arc::clone(core), Arc::clone(member));
    tokio::spawn(async move {
        let closing = core.closing.clone();
        let answer = closing.run_until_cancelled(answer(&core, &member, output)).await;
        if let Some(Some(input)) = answer {
            core.tending.tell(&core, input);
        }
    });
}

async fn answer(core: &Arc<Core>, member: &Arc<Member>, output: Output) -> Option<Input> {
    Some(match output {
        Output::Ask { order, vault, fellow } => {
            match asking::ask(core, member, vault, &fellow).await {
                Told::All { kept, is_shown } => Input::Answered { order, kept, is_shown },
                Told::Nothing => Input::Refused { order },
                Told::Silence => Input::Silent { order },
            }
        }
        Output::Look { order, vault } => {
            let (claimed, here) = fetching::look(core, vault).await;
            Input::Looked { order, claimed, here }
        }
        Output::Fetch { order, vault, wanted } => {
            let fetched = fetch(core, vault, wanted).await;
            Input::Fetched { order, fetched }
        }
        Output::Note { .. } => return None,
    })
}
