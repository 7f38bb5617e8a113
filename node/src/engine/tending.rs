//! Looks after vaults of which no device is heard of: one task carries out what the tending machine
//! orders.
//!
//! ```text
//! greetings, user, watching ──facts──▶ [ tending ] ──orders──▶ ask fellows, look here, fetch, note
//! ```
//! Decides nothing: whose turn it is, and what is missing, is `larder_protocol::tending`.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, MutexGuard},
};

use larder_protocol::{
    ids::{DeviceId, VaultId},
    tending::{Input, Output, Status, Tending, Vigil},
    time::Instant,
    watching::{History, Presence},
};
use tokio::sync::Notify;
use tracing::warn;

use super::{Core, EngineError, Member, on_disk};

mod asking;
mod fetching;
mod introducing;
#[cfg(test)]
mod tests;

use asking::Told;
pub(super) use introducing::met;

/// The machine with its lock.
#[derive(Debug)]
pub(crate) struct Tender {
    inside: Mutex<Inside>,
    /// There is a new fact.
    told: Notify,
}

#[derive(Debug)]
struct Inside {
    machine: Tending,
    /// Who is presumed lost.
    lost: BTreeSet<DeviceId>,
}

impl Tender {
    /// Knows nothing before [`start`].
    pub(crate) fn new(own: DeviceId) -> Self {
        let mut machine = Tending::new(own);
        // A process that only carries out a command looks after nothing.
        machine.handle_input(Instant::default(), Input::Switched { is_on: false });
        let inside = Inside { machine, lost: BTreeSet::new() };
        Self { inside: Mutex::new(inside), told: Notify::new() }
    }

    /// Whether no device of a vault has been heard of for long, and this node is willing.
    pub(crate) fn is_unattended(&self, vault: &VaultId) -> bool {
        self.lock().machine.is_unattended(vault)
    }

    /// Vaults whose devices are silent.
    pub(crate) fn status(&self) -> Vec<Status> {
        self.lock().machine.status()
    }

    /// A device called, or answered.
    pub(crate) fn heard(&self, core: &Core, vault: VaultId, device: DeviceId) {
        self.tell(core, Input::Heard { vault, device });
    }

    /// Whether a device is presumed lost: then what it says of holders and claims is a thief's word.
    pub(crate) fn is_lost(&self, device: &DeviceId) -> bool {
        self.lock().lost.contains(device)
    }

    /// Devices of a vault say anew who holds for it.
    pub(crate) fn introduced(&self, core: &Core, vault: VaultId) {
        self.know(core, vault, Vigil::default());
        let circle = core.vaults.circle_of(&vault);
        self.tell(core, Input::Introduced { vault, circle });
    }

    /// The log of a vault has grown: other introductions count, of other devices.
    pub(crate) fn log_grew(&self, core: &Core, vault: VaultId) {
        if core.vaults.read().get(&vault).is_some_and(|known| known.introductions().is_empty()) {
            return;
        }
        self.introduced(core, vault);
    }

    /// Somebody is presumed lost, or counted on again.
    pub(crate) fn presumed(&self, core: &Core, holder: DeviceId, is_lost: bool) {
        match is_lost {
            true => self.lock().lost.insert(holder),
            false => self.lock().lost.remove(&holder),
        };
        self.tell(core, Input::FellowPresumed { fellow: holder, is_lost });
        if let Some((vault, _)) = core.vaults.relation(&holder) {
            self.look_at_devices(core, vault);
        }
    }

    /// The user wants this, or not any more.
    pub(crate) fn switch(&self, core: &Core, is_on: bool) {
        self.tell(core, Input::Switched { is_on });
    }

    /// TEND-3: whether every device of a vault that is watched here is presumed lost.
    fn look_at_devices(&self, core: &Core, vault: VaultId) {
        let peers = core.state.peers().unwrap_or_default();
        let watched = peers.iter().filter(|peer| peer.is_holder && peer.vault == vault);
        let devices: BTreeSet<DeviceId> = watched.map(|peer| peer.device).collect();
        let are_lost = !devices.is_empty() && devices.is_subset(&self.lock().lost);
        self.tell(core, Input::DevicesPresumed { vault, are_lost });
    }

    fn know(&self, core: &Core, vault: VaultId, vigil: Vigil) {
        // Its own devices see to a node's own vault.
        if core.member().is_ok_and(|member| member.vault != vault) {
            self.tell(core, Input::VaultKnown { vault, vigil });
        }
    }

    fn tell(&self, core: &Core, input: Input) {
        self.lock().machine.handle_input(core.clock.now(), input);
        self.told.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().expect("no code panics while holding this lock")
    }
}

/// Tells the machine what was known before, and carries out its orders until the node closes.
pub(super) fn start(core: &Arc<Core>, member: &Arc<Member>) -> Result<(), EngineError> {
    let mut vigils = core.state.vigils()?;
    let is_lost = |history: &History| history.presence() == Presence::Lost;
    let histories = core.state.histories()?.into_iter();
    for (holder, _) in histories.filter(|(_, history)| is_lost(history)) {
        core.tending.lock().lost.insert(holder);
        core.tending.tell(core, Input::FellowPresumed { fellow: holder, is_lost: true });
    }
    let vaults: Vec<VaultId> = core.vaults.read().keys().copied().collect();
    for vault in vaults {
        core.tending.know(core, vault, vigils.remove(&vault).unwrap_or_default());
        core.tending.log_grew(core, vault);
        core.tending.look_at_devices(core, vault);
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
            let machine = &mut core.tending.lock().machine;
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
            let fetched = fetching::fetch(core, vault, wanted).await;
            Input::Fetched { order, fetched }
        }
        Output::Note { .. } => return None,
    })
}
