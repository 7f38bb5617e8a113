//! The engine: carries out commands and the orders of the protocol's machines.
//!
//! ```text
//! command ──▶ Node ──▶ backup, restore, look, join, recover, report …
//!                │
//!                ├── Core    what every home has: keys, state, depot, vaults, network
//!                └── Member  what a device of a vault has beside: epoch keys, custody, fetcher
//! ```
//! Decides nothing about where data lives or when it is safe: that is `larder-protocol`.

use std::sync::{Arc, Mutex, RwLock};

use larder_protocol::{
    ids::{DeviceId, ShardRoot, VaultId},
    keys::{device::DeviceKeys, epoch::ContentKey},
    log::DeviceLog,
    placing::Moves,
    relaying::RelayAddress,
};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::{
    depot::Depot,
    home::{Config, Home},
    net::Net,
    state::{State, scan_cache::ScanCache},
    vaults::Vaults,
};

mod aside;
mod backup;
mod backups;
mod clock;
mod collect;
mod commit;
mod contact;
mod custody;
mod devices;
mod drill;
mod driver;
mod errands;
mod error;
mod expect;
mod exposed;
mod fetcher;
mod forget;
mod guardians;
mod inside;
mod invitations;
mod join;
mod keyring;
mod launch;
mod leaving;
mod locating;
mod look;
mod meter;
mod names;
mod neighbours;
mod node;
mod offering;
mod opening;
mod phrase;
mod reception;
mod recover;
mod recurrer;
mod rekey;
mod rename;
mod report;
mod restore;
mod revoke;
mod roster;
mod scrubber;
mod serve;
mod settings;
mod sites;
mod source;
mod spoken;
mod sync;
mod telling;
mod tending;
#[cfg(test)]
mod testing;
mod trail;
mod waiting;

pub use error::EngineError;
pub use launch::{Launcher, has_vault};
pub use node::Node;
pub(crate) use sites::generated as generated_site;

use clock::Clock;
use keyring::Keyring;
use source::{ChunkSource, chunk_here};

/// Blames remembered for `status`; older ones go.
const BLAMES_MAX: usize = 64;

/// What every home has, member of a vault or not.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) keys: DeviceKeys,
    pub(crate) state: State,
    pub(crate) cache: ScanCache,
    pub(crate) depot: Depot,
    pub(crate) vaults: Arc<Vaults>,
    pub(crate) net: Net,
    /// Relays that the user named.
    pub(crate) relays: Vec<RelayAddress>,
    /// Relays that others are told of instead, on the machine of a relay.
    pub(crate) relays_told: Option<Vec<RelayAddress>>,
    pub(crate) clock: Clock,
    /// Whether this device shows itself on its local networks.
    pub(crate) shows_itself: bool,
    /// Who is in the same network.
    pub(crate) neighbours: neighbours::Neighbours,
    /// Whether this is a node that goes on running (`up`), not one opened for a single command.
    pub(crate) serves: bool,
    /// Cancelled when the node closes.
    pub(crate) closing: CancellationToken,
    /// Invitations that are open, see `join`.
    pub(crate) invitations: Arc<invitations::Invitations>,
    /// Devices that have been given keys in a pairing that goes on.
    pub(crate) exposed: exposed::Pending,
    /// Heads of forked devices that lead to nothing that could be read.
    pub(crate) sides: sync::UnreadSides,
    /// Spoken codes that are open.
    pub(crate) codes: spoken::Codes,
    /// Who came with a phrase.
    pub(crate) callers: Mutex<larder_protocol::trail::Callers>,
    /// Which shards are asked of whom just now.
    pub(crate) examined: custody::Examined,
    /// Reads back what the depot keeps.
    pub(crate) scrubber: scrubber::Scrubber,
    /// Backs up by itself.
    pub(crate) recurrer: recurrer::Recurrer,
    /// Makes anew what is sealed under older keys.
    pub(crate) rekeyer: rekey::Rekeyer,
    /// Goes apart from other vaults.
    pub(crate) leaving: leaving::Leaver,
    /// Held during a restore drill.
    drilling: tokio::sync::Mutex<()>,
    /// What this device decides as a holder.
    pub(crate) holding: serve::Holder,
    /// Looks after vaults of which no device is heard of.
    pub(crate) tending: tending::Tender,
    /// Fetches what devices have left word of elsewhere.
    pub(crate) errands: errands::Errands,
    /// What bytes cost that leave the local network.
    pub(crate) meter: meter::Meter,
    /// Held while it is seen to that there is a key to seal with: one epoch is begun, and not one for each who asks.
    pub(crate) rotating: tokio::sync::Mutex<()>,
    /// Held from when it is looked which snapshots there are until those that go are gone, or others are pinned.
    pub(crate) choosing: tokio::sync::Mutex<()>,
    /// Held during a commit: heads are numbered one after the other.
    pub(crate) committing: Mutex<()>,
    /// Shared by whoever relies on what is in packs: backups and restores. Had alone while packs leave
    /// the index.
    pub(crate) relying: tokio::sync::RwLock<()>,
    /// Held while other devices' heads are followed.
    pub(crate) following: tokio::sync::Mutex<()>,
    /// What the user sets; written back to `config.toml` when it changes.
    pub(crate) config: RwLock<Config>,
    blames: Mutex<Vec<Blamed>>,
    /// When callers last said that they stand elsewhere.
    moves: Mutex<Moves>,
    /// Of which vaults a device has called.
    heard: offering::Heard,
    member: RwLock<Option<Arc<Member>>>,
    // Last, for fields are dropped in order: the lock of the home outlives the files that it guards.
    pub(crate) home: Home,
}

/// What a device of a vault has beside.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) vault: VaultId,
    pub(crate) keys: DeviceKeys,
    keyring: RwLock<Arc<Keyring>>,
    pub(crate) content: ContentKey,
    pub(crate) fetcher: fetcher::Fetcher,
    /// Set once the placing task runs.
    custody: std::sync::OnceLock<custody::Custody>,
}

/// Something a peer did that no honest peer does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Blamed {
    pub(crate) device: DeviceId,
    pub(crate) what: String,
    pub(crate) root: Option<ShardRoot>,
}

impl Core {
    /// Names a peer that broke its word: in the log, in `status`, in the outcome of a restore.
    pub(crate) fn blame(&self, device: DeviceId, what: &str, root: Option<ShardRoot>) {
        warn!("device {} {what}", device.short());
        let blamed = Blamed { device, what: what.to_owned(), root };
        let mut blames = self.blames.lock().expect("no code panics while holding this lock");
        if blames.contains(&blamed) {
            return;
        }
        if blames.len() >= BLAMES_MAX {
            blames.remove(0);
        }
        blames.push(blamed);
    }

    /// The settings as they are now.
    pub(crate) fn config(&self) -> Config {
        self.config.read().expect("no code panics while holding this lock").clone()
    }

    /// Reads the settings again after they were changed on disk.
    pub(crate) fn reload_config(&self) -> Result<(), EngineError> {
        let config = self.home.config()?;
        *self.config.write().expect("no code panics while holding this lock") = config;
        Ok(())
    }

    /// Writes another name of this device into the settings. The lock is held over file and memory, so that it
    /// does not cross another change.
    pub(crate) fn remember_name(&self, name: &str) -> Result<(), EngineError> {
        let mut config = self.config.write().expect("no code panics while holding this lock");
        launch::remember_names(&self.home, name, None)?;
        *config = self.home.config()?;
        Ok(())
    }

    /// The verified log of a vault.
    pub(crate) fn log_of(&self, vault: &VaultId) -> Result<DeviceLog, EngineError> {
        let vaults = self.vaults.read();
        let known = vaults.get(vault).ok_or(crate::vaults::VaultError::Unknown(*vault))?;
        Ok(known.log().clone())
    }

    /// What this device is called.
    pub(crate) fn own_name(&self) -> String {
        let config = self.config();
        config.name().map_or_else(host_name, str::to_owned)
    }

    /// Where this device stands: the household that its owner named.
    pub(crate) fn own_site(&self) -> String {
        let said = self.config().site().map(str::to_owned);
        said.or_else(|| sites::at_first(self)).unwrap_or_else(|| self.own_name())
    }

    /// Whether a caller that names another site than before is believed now.
    fn may_move(&self, caller: DeviceId) -> bool {
        let mut moves = self.moves.lock().expect("no code panics while holding this lock");
        moves.may_move(self.clock.now(), caller)
    }

    /// Whether something may be shown on the local networks for a command: what the settings say holds
    /// for a command as well.
    pub(crate) fn may_show_itself(&self) -> bool {
        if self.serves { self.shows_itself } else { self.config().lan() }
    }

    /// What was said so far of peers that broke their word.
    pub(crate) fn blames(&self) -> Vec<Blamed> {
        self.blames.lock().expect("no code panics while holding this lock").clone()
    }

    /// This home as a device of a vault.
    pub(crate) fn member(&self) -> Result<Arc<Member>, EngineError> {
        let member = self.member.read().expect("no code panics while holding this lock");
        member.clone().ok_or(EngineError::NoVault)
    }

    fn set_member(&self, member: Arc<Member>) {
        *self.member.write().expect("no code panics while holding this lock") = Some(member);
    }
}

impl Member {
    /// The epoch keys as the log has them now.
    pub(crate) fn keyring(&self) -> Arc<Keyring> {
        Arc::clone(&self.keyring.read().expect("no code panics while holding this lock"))
    }

    fn set_keyring(&self, keyring: Keyring) {
        *self.keyring.write().expect("no code panics while holding this lock") = Arc::new(keyring);
    }

    /// Tells placing what may be of use and is no loss when nobody hears it.
    pub(crate) fn hint(&self, input: larder_protocol::placing::Input) {
        if let Some(custody) = self.custody.get() {
            custody.hint(input);
        }
    }

    /// The task that places packs.
    pub(crate) fn custody(&self) -> Result<&custody::Custody, EngineError> {
        self.custody.get().ok_or(EngineError::Stopped)
    }
}

/// What the machine calls itself: a name until somebody gives a better one.
fn host_name() -> String {
    let system = rustix::system::uname();
    let name = system.nodename().to_string_lossy();
    if name.is_empty() { "this device".to_owned() } else { name.into_owned() }
}

/// Runs blocking work of the disk on a thread that may block.
pub(crate) async fn on_disk<T, E>(
    work: impl FnOnce() -> Result<T, E> + Send + 'static,
) -> Result<T, EngineError>
where
    T: Send + 'static,
    E: Send + 'static,
    EngineError: From<E>,
{
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => Ok(result?),
        Err(_) => Err(EngineError::Stopped),
    }
}
