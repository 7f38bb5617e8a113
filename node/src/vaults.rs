//! Device logs and heads of the own vault and of every vault held for, as plain files.
//!
//! ```text
//! vaults/<vault hex>/log/<entry hash hex>      one entry, verbatim
//! vaults/<vault hex>/heads/<device hex>-<head hash hex>
//!                                              the highest valid head of a device, verbatim;
//!                                              more than one only if the device is forked
//! vaults/<vault hex>/past/<device hex>-<arrived, 16 hex>-<head hash hex>
//!                                              a superseded head, see larder_protocol::head::past
//! vaults/<vault hex>/introductions             who holds for it, and
//! vaults/<vault hex>/claims/<device hex>       what it needs, see larder_protocol::tending
//! vaults/<vault hex>/errands/<device hex>-<holder hex>
//!                                              what a device has left for a holder, see larder_protocol::errands
//! vaults/<vault hex>/guard                     its guardians, see larder_protocol::guarding::keeping
//! ```
//! Plain files, so that a holder's disk and the phrase are enough to restore, with any program.
//! Everything read back is verified like what comes from the network.
//!
//! **Invariant:** an entry or head is durable here before [`Vaults::merge_log`] or
//! [`Vaults::offer_head`] says that it was taken, and before anybody else sees it (HOME-1).
//! **Invariant:** the lock that every handshake takes is never held while something is verified
//! or written: who changes a vault takes the vault's turn, works on a copy, and swaps it in.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, OnceLock, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use larder_protocol::{
    errands::Board,
    guarding::{keeping::Guard, set::SetError},
    head::{HeadBook, Offered, Seen, SignedHead},
    ids::{DeviceId, EntryHash, VaultId},
    log::{DeviceLog, LogError, Takings, Waiting},
    tending::introduction::Introductions,
};
use thiserror::Error;
use tracing::warn;

mod errands;
mod files;
mod tended;

pub use errands::NotLeft;
use files::Folder;

/// Why a log or head was not taken.
#[derive(Debug, Error)]
pub enum VaultError {
    /// The disk refused.
    #[error("{path}: the vault's records could not be read or written")]
    Disk {
        /// File or directory.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// No such vault is known here.
    #[error("vault {0} is not known here")]
    Unknown(VaultId),
    /// The entry is not valid.
    #[error(transparent)]
    Log(#[from] LogError),
    /// Names a device, or the key of a phrase, that belongs to another vault known here.
    #[error("the log of vault {0} names a key that belongs to another vault known here")]
    Claimed(VaultId),
    /// What is kept of its guardians is of a newer Larder: nothing is said of them, and nothing written over it.
    #[error(
        "what is kept of the guardians of vault {vault} was written by a newer Larder \
         (version {version}): update"
    )]
    NewerGuard {
        /// The vault.
        vault: VaultId,
        /// Version met.
        version: u16,
    },
    /// Its log holds no genesis entry that fits its name.
    #[error("the log of vault {0} on this disk is damaged")]
    Damaged(VaultId),
}

impl VaultError {
    /// Whether this device's own disk is at fault.
    pub const fn is_disk(&self) -> bool {
        matches!(self, Self::Disk { .. })
    }
}

/// What a caller is to a vault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Relation {
    /// One of its devices.
    Device,
    /// Whoever has its phrase.
    Recovery,
    /// Whoever has the secret of its guardians.
    Guardians,
}

/// What became of log entries that were offered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Taken {
    /// Whether any was new.
    pub grown: bool,
    /// Why some could not be taken; that one is newer than this program counts most.
    pub refused: Option<LogError>,
}

/// What is kept of a vault's guardians, or the version of the newer program that has written it: an empty one in its
/// place would let an earlier set come back, and forget who has asked and who has stopped it (GUARD-8).
type KeptGuard = Result<Arc<Guard>, u16>;

/// One vault as this node knows it.
#[derive(Debug)]
pub struct KnownVault {
    log: Arc<DeviceLog>,
    heads: HeadBook,
    guard: KeptGuard,
    introductions: Arc<Introductions>,
    errands: Arc<Board>,
    folder: Folder,
    /// Held by whoever changes this vault.
    turn: Arc<Mutex<()>>,
}

impl KnownVault {
    /// Its verified device log.
    pub fn log(&self) -> &DeviceLog {
        &self.log
    }

    /// Its guardians, and who has asked for its phrase; `None` where a newer program has written of them.
    pub fn guard(&self) -> Option<&Guard> {
        self.guard.as_deref().ok()
    }

    fn kept_guard(&self) -> Result<Arc<Guard>, VaultError> {
        let vault = self.log.vault();
        self.guard.clone().map_err(|version| VaultError::NewerGuard { vault, version })
    }

    /// The highest heads of its devices.
    pub const fn heads(&self) -> &HeadBook {
        &self.heads
    }
}

/// All vaults that this node knows.
#[derive(Debug)]
pub struct Vaults {
    directory: PathBuf,
    all: RwLock<BTreeMap<VaultId, KnownVault>>,
    own: OnceLock<VaultId>,
    /// Held while a vault is begun: two logs that claim one key must not pass each other.
    adding: Mutex<()>,
}

impl Vaults {
    /// Reads `directory`, making it when there is none. What does not verify is reported, left
    /// where it is, and not used.
    ///
    /// # Errors
    /// [`VaultError::Disk`].
    pub fn open(directory: &Path) -> Result<Self, VaultError> {
        let mut all = BTreeMap::new();
        for folder in files::vault_folders(directory)? {
            let vault = folder.vault();
            match Self::load(folder) {
                Ok(known) => {
                    all.insert(vault, known);
                }
                Err(error) => warn!("vault {}: {error}", vault.short()),
            }
        }
        let (all, own) = (RwLock::new(all), OnceLock::new());
        Ok(Self { directory: directory.to_owned(), all, own, adding: Mutex::default() })
    }

    fn load(folder: Folder) -> Result<KnownVault, VaultError> {
        let entries = folder.log_entries()?;
        let log = assemble(folder.vault(), entries)?;
        let mut heads = HeadBook::default();
        for bytes in folder.heads()? {
            let verdict = SignedHead::decode(&bytes).map(|head| heads.offer(&log, head));
            if let Ok(Offered::Invalid(error)) | Err(error) = verdict {
                warn!("vault {}: a stored head is not valid: {error}", folder.vault().short());
            }
        }
        let guard = guard_in(&folder, &log);
        let introductions = Arc::new(tended::introductions_in(&folder, &log));
        let errands = Arc::new(errands::errands_in(&folder, &log));
        let (log, turn) = (Arc::new(log), Arc::default());
        Ok(KnownVault { log, heads, guard, introductions, errands, folder, turn })
    }

    /// Says which vault this node belongs to: its devices are known as such whatever other
    /// vaults say of them.
    pub fn set_own(&self, vault: VaultId) {
        // A node never changes its vault.
        let _ = self.own.set(vault);
    }

    /// All vaults, for looking.
    pub fn read(&self) -> RwLockReadGuard<'_, BTreeMap<VaultId, KnownVault>> {
        self.all.read().expect("no code panics while holding this lock")
    }

    fn write(&self) -> RwLockWriteGuard<'_, BTreeMap<VaultId, KnownVault>> {
        self.all.write().expect("no code panics while holding this lock")
    }

    /// The turn to change a vault, to be locked.
    fn turn(&self, vault: VaultId) -> Result<Arc<Mutex<()>>, VaultError> {
        let all = self.read();
        Ok(Arc::clone(&all.get(&vault).ok_or(VaultError::Unknown(vault))?.turn))
    }

    /// Begins to keep a vault whose log is `log`; merges if it is known.
    ///
    /// # Errors
    /// [`VaultError`]; [`VaultError::Claimed`] for a log that names keys of another vault.
    pub fn add(&self, log: &DeviceLog) -> Result<(), VaultError> {
        let vault = log.vault();
        let _one_at_a_time = lock(&self.adding);
        if self.read().values().any(|known| known.log.vault() != vault && share(&known.log, log)) {
            return Err(VaultError::Claimed(vault));
        }
        if !self.read().contains_key(&vault) {
            let folder = Folder::create(&self.directory, vault)?;
            folder.keep_entries(log.entries())?;
            let (log, heads) = (Arc::new(log.clone()), HeadBook::default());
            let (introductions, turn) = (Arc::default(), Arc::default());
            let (guard, errands) = (Ok(Arc::default()), Arc::default());
            let known = KnownVault { log, heads, guard, introductions, errands, folder, turn };
            self.write().entry(vault).or_insert(known);
        }
        let entries: Vec<Vec<u8>> = log.entries().map(<[u8]>::to_vec).collect();
        let taken = self.take_log(vault, &entries, &mut Waiting::default())?;
        match taken.refused {
            None => Ok(()),
            // Somebody has filled it with something else, and all who belong to the vault are known all the same.
            Some(LogError::Full | LogError::UnknownParent { .. }) if self.knows_all_of(log) => {
                Ok(())
            }
            Some(error) => Err(error.into()),
        }
    }

    fn knows_all_of(&self, log: &DeviceLog) -> bool {
        let all = self.read();
        let known = all.get(&log.vault()).map(|known| &known.log);
        known.is_some_and(|known| log.devices().all(|device| known.knows(&device.public.id)))
    }

    /// Forgets a vault: its log, its heads and whatever else is kept of it, but for shards. What a crash leaves
    /// of its folder is removed at the next start.
    ///
    /// # Errors
    /// [`VaultError`] of the disk: it is forgotten all the same, until the next start.
    pub fn forget(&self, vault: VaultId) -> Result<(), VaultError> {
        let Ok(turn) = self.turn(vault) else { return Ok(()) };
        let _one_at_a_time = lock(&turn);
        let known = self.write().remove(&vault);
        known.map_or(Ok(()), |known| known.folder.remove())
    }

    /// Takes log entries, parents first; durable when it returns. True if any was new.
    ///
    /// # Errors
    /// [`VaultError`]; what could be taken stays.
    pub fn merge_log<B: AsRef<[u8]>>(
        &self,
        vault: VaultId,
        entries: &[B],
    ) -> Result<bool, VaultError> {
        let taken = self.take_log(vault, entries, &mut Waiting::default())?;
        taken.refused.map_or(Ok(taken.grown), |error| Err(error.into()))
    }

    /// Takes those log entries that can be taken, parents first, with those that wait; durable when it returns.
    ///
    /// # Errors
    /// [`VaultError`] of the disk, or for an unknown vault.
    pub fn take_log<B: AsRef<[u8]>>(
        &self,
        vault: VaultId,
        entries: &[B],
        waiting: &mut Waiting,
    ) -> Result<Taken, VaultError> {
        let turn = self.turn(vault)?;
        let _one_at_a_time = lock(&turn);
        let (before, folder) = {
            let all = self.read();
            let known = all.get(&vault).ok_or(VaultError::Unknown(vault))?;
            (Arc::clone(&known.log), known.folder.clone())
        };
        let Takings { log, new, refused } = before.take(entries, waiting);
        let mut taken = Taken { grown: false, refused };
        if let Some(log) = log {
            folder.keep_entries(new.iter().map(Vec::as_slice))?;
            let heads = self.read().get(&vault).map(|known| known.heads.clone());
            let heads = heads_after(&log, heads.unwrap_or_default(), &folder)?;
            if let Some(known) = self.write().get_mut(&vault) {
                known.log = Arc::new(log);
                known.heads = heads;
            }
            taken.grown = true;
        }
        Ok(taken)
    }

    /// Offers a signed head; durable when it returns [`Offered::Taken`] or [`Offered::Forked`].
    ///
    /// # Errors
    /// [`VaultError`].
    pub fn offer_head(&self, vault: VaultId, head: SignedHead) -> Result<Offered, VaultError> {
        let device = head.body().device;
        let turn = self.turn(vault)?;
        let _one_at_a_time = lock(&turn);
        let (log, mut part, folder) = {
            let all = self.read();
            let known = all.get(&vault).ok_or(VaultError::Unknown(vault))?;
            (Arc::clone(&known.log), known.heads.part(&device), known.folder.clone())
        };
        let offered = part.offer(&log, head);
        if let Offered::Taken | Offered::Forked(_) = &offered {
            folder.keep_heads(&device, part.heads_of(&device))?;
            if let Some(known) = self.write().get_mut(&vault) {
                known.heads.put_back(part);
            }
        }
        Ok(offered)
    }

    /// What is kept of a vault's guardians.
    ///
    /// # Errors
    /// [`VaultError::Unknown`], [`VaultError::NewerGuard`].
    pub fn guard_of(&self, vault: &VaultId) -> Result<Arc<Guard>, VaultError> {
        let all = self.read();
        all.get(vault).ok_or(VaultError::Unknown(*vault))?.kept_guard()
    }

    /// Changes what is kept of a vault's guardians; durable when it returns. `change` says whether it
    /// has changed anything.
    ///
    /// # Errors
    /// [`VaultError`]; nothing is changed then.
    pub fn change_guard<T>(
        &self,
        vault: VaultId,
        change: impl FnOnce(&mut Guard, &DeviceLog) -> (bool, T),
    ) -> Result<T, VaultError> {
        let turn = self.turn(vault)?;
        let _one_at_a_time = lock(&turn);
        let (log, before, folder) = {
            let all = self.read();
            let known = all.get(&vault).ok_or(VaultError::Unknown(vault))?;
            (Arc::clone(&known.log), known.kept_guard()?, known.folder.clone())
        };
        let mut guard = Guard::clone(&before);
        let (is_changed, result) = change(&mut guard, &log);
        if is_changed {
            folder.keep_guard(&guard.encode())?;
            if let Some(known) = self.write().get_mut(&vault) {
                known.guard = Ok(Arc::new(guard));
            }
        }
        Ok(result)
    }

    /// Whose device (or phrase, or secret of guardians) `peer` is. The own vault comes first, then the
    /// vaults of which it is a device, then those whose phrase it has: what a vault says of others' keys must not
    /// take them away from theirs.
    pub fn relation(&self, peer: &DeviceId) -> Option<(VaultId, Relation)> {
        let all = self.read();
        let device = |known: &KnownVault| known.log.is_device(peer);
        let own = self.own.get().and_then(|own| all.get_key_value(own));
        let vaults = || own.into_iter().chain(&*all);
        let found = |relation, is: &dyn Fn(&KnownVault) -> bool| {
            vaults().find(|(_, known)| is(known)).map(|(vault, _)| (*vault, relation))
        };
        let phrase = |known: &KnownVault| known.log.recovery().access_id() == *peer;
        let guardians =
            |known: &KnownVault| known.guard().and_then(Guard::release_key) == Some(*peer);
        found(Relation::Device, &device)
            .or_else(|| found(Relation::Recovery, &phrase))
            .or_else(|| found(Relation::Guardians, &guardians))
    }

    /// The newest entries of a vault's log.
    pub fn log_heads(&self, vault: &VaultId) -> Vec<EntryHash> {
        self.read().get(vault).map(|known| known.log.heads()).unwrap_or_default()
    }

    /// What a head of a vault has to name of its log.
    pub fn log_tips_beside_names(&self, vault: &VaultId) -> Vec<EntryHash> {
        self.read().get(vault).map(|known| known.log.tips_beside_names()).unwrap_or_default()
    }

    /// Log entries that somebody lacks who has `have`.
    pub fn log_beyond(&self, vault: &VaultId, have: &[EntryHash]) -> Option<Vec<Vec<u8>>> {
        let all = self.read();
        let known = all.get(vault)?;
        Some(known.log.entries_beyond(have).into_iter().map(<[u8]>::to_vec).collect())
    }

    /// What `device` writes into its next head of a vault: the newest heads of its others.
    pub fn seen_by(&self, vault: &VaultId, device: &DeviceId) -> Vec<Seen> {
        self.read().get(vault).map(|known| known.heads.seen_by(device)).unwrap_or_default()
    }

    /// The highest heads of a vault's devices, encoded; both sides of a fork.
    pub fn heads_of(&self, vault: &VaultId) -> Option<Vec<Vec<u8>>> {
        let all = self.read();
        Some(all.get(vault)?.heads.heads().map(|head| head.bytes().to_vec()).collect())
    }
}

/// What is kept of the guardians of a vault. What cannot be read is left where it is, harms nothing else, and
/// is replaced by the next set that somebody brings; but what a newer program has written stays.
fn guard_in(folder: &Folder, log: &DeviceLog) -> KeptGuard {
    let unread = |error: &dyn std::error::Error| {
        warn!("vault {}: its guardians cannot be read: {error}", folder.vault().short());
        Guard::default()
    };
    let guard = match folder.guard() {
        Ok(Some(bytes)) => match Guard::decode(&bytes, log) {
            Err(SetError::Newer { version }) => {
                let vault = log.vault();
                warn!("{}", VaultError::NewerGuard { vault, version });
                return Err(version);
            }
            decoded => decoded.unwrap_or_else(|error| unread(&error)),
        },
        Ok(None) => Guard::default(),
        Err(error) => unread(&error),
    };
    Ok(Arc::new(guard))
}

fn lock(turn: &Mutex<()>) -> MutexGuard<'_, ()> {
    turn.lock().expect("no code panics while holding this lock")
}

/// Whether two logs name one device, or a device of one is the phrase's key of the other.
fn share(one: &DeviceLog, other: &DeviceLog) -> bool {
    let keys = |log: &DeviceLog| -> BTreeSet<DeviceId> {
        let devices = log.all_devices().map(|device| device.public.id);
        devices.chain([log.recovery().access_id()]).collect()
    };
    !keys(one).is_disjoint(&keys(other))
}

impl Vaults {
    /// Superseded heads of a device that are kept here and valid, from the highest number down.
    /// Blocks on the disk.
    ///
    /// # Errors
    /// [`VaultError`].
    pub fn past_heads(
        &self,
        vault: &VaultId,
        device: &DeviceId,
    ) -> Result<Vec<SignedHead>, VaultError> {
        let (log, folder) = {
            let all = self.read();
            let known = all.get(vault).ok_or(VaultError::Unknown(*vault))?;
            (Arc::clone(&known.log), known.folder.clone())
        };
        let mut heads: Vec<SignedHead> =
            folder.past(device)?.into_iter().map(|(_, _, head)| head).collect();
        heads.retain(|head| head.verify(&log).is_ok());
        heads.sort_by_key(|head| Reverse(head.body().seq));
        Ok(heads)
    }
}

/// The heads that count by a log that has grown: of a removed device those up to the one that its
/// removal names, of one that lives again all, even if they were superseded here (HEAD-13).
fn heads_after(
    log: &DeviceLog,
    mut heads: HeadBook,
    folder: &Folder,
) -> Result<HeadBook, VaultError> {
    if !log.has_removals() {
        return Ok(heads);
    }
    let mut looked_at = heads.drop_void(log);
    looked_at.extend(log.devices().map(|device| device.public.id));
    for device in looked_at {
        let mut past: Vec<SignedHead> =
            folder.past(&device)?.into_iter().map(|(_, _, head)| head).collect();
        past.sort_by_key(|head| head.body().seq);
        let before: Vec<_> = heads.heads_of(&device).map(SignedHead::hash).collect();
        let highest = heads.highest(&device).map_or(0, |head| head.body().seq);
        let mut newer = past.into_iter().filter(|head| head.body().seq > highest);
        if let Some(newest) = newer.rfind(|head| head.verify(log).is_ok()) {
            heads.offer(log, newest);
        }
        let after: Vec<_> = heads.heads_of(&device).map(SignedHead::hash).collect();
        if before != after || !log.is_device(&device) {
            folder.keep_heads(&device, heads.heads_of(&device))?;
        }
    }
    Ok(heads)
}

/// Puts entries into an order in which each finds its parents.
fn assemble(vault: VaultId, mut entries: Vec<Vec<u8>>) -> Result<DeviceLog, VaultError> {
    let genesis = entries
        .iter()
        .position(|entry| DeviceLog::begin(entry).is_ok_and(|log| log.vault() == vault));
    let genesis = entries.swap_remove(genesis.ok_or(VaultError::Damaged(vault))?);
    let mut log = DeviceLog::begin(&genesis)?;
    loop {
        let before = entries.len();
        let mut problem = None;
        entries.retain(|entry| match log.read_back(entry) {
            Ok(_) => false,
            Err(error) => {
                problem = Some(error);
                true
            }
        });
        match problem {
            None => return Ok(log),
            // No entry found its parents in this round: the rest is damaged or incomplete.
            Some(error) if entries.len() == before => {
                warn!("vault {}: {before} log entries do not verify: {error}", vault.short());
                return Ok(log);
            }
            Some(_) => {}
        }
    }
}

#[cfg(test)]
mod tests;
