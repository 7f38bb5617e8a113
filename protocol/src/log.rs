//! The device log: a vault's signed record of who its devices are and which keys they hold.
//!
//! ```text
//! genesis ◄── add laptop ◄── add phone  ◄─┐
//!    ▲                                    ├── add desk     (parents: all heads its author knew)
//!    └─────── add tablet ◄────────────────┘
//! ```
//! Entries name their parents, so the log is a graph without cycles; entries made apart are both
//! kept, and two nodes with the same entries have the same view, in whatever order they came.
//! **Invariant:** whether an entry is valid depends on the entry and its ancestors alone, never
//! on what arrived before it. Whether there is room for it is another question: see `room` and `backing`.
//! **Invariant:** every entry here is verified: by itself ([`DeviceLog::merge`]), with what builds on it
//! ([`DeviceLog::take`]), or once more as it is read back ([`DeviceLog::read_back`]).
//! Who lives and who was removed follows from the whole set of entries: see `view`.
//! Not here: policy, guardians. Their act numbers are reserved, and a log that holds one is refused
//! with [`LogError::Newer`]. Source: specs/device_log.md.

use std::collections::{BTreeMap, BTreeSet};

use thiserror::Error;

use crate::{
    cbor::DecodeError,
    ids::{DeviceId, EntryHash, HeadHash, VaultId},
    keys::{
        DevicePublic, Principal, RecoveryPublic,
        epoch::{EpochKey, FIRST_EPOCH},
        wrap::{Wrap, WrapError, WrapTerms},
    },
    limits::{
        ADDS_OF_DEVICE_MAX, DEVICES_MAX, EPOCHS_MAX, LOG_BYTES_MAX, LOG_DEVICES_MAX,
        LOG_ENTRIES_MAX, LOG_PARENTS_MAX, RENAMES_MAX, RENAMES_OF_DEVICE_MAX,
    },
    time::Timestamp,
};

pub mod add;
pub mod backing;
pub mod entry;
pub mod found;
pub mod label;
mod parents;
mod past;
pub mod pushed;
pub mod remove;
pub mod rename;
pub mod role;
mod room;
pub mod rotation;
pub mod site;
pub mod view;

pub use add::{AddDraft, DraftError, Newcomer};
pub use backing::{Takings, Waiting};
pub use entry::{Author, Deed, LogEntry};
pub use found::{Founded, Founding};
pub use label::{Label, SealedLabel};
pub use pushed::Pushed;
pub use remove::{LastHead, Leaver, Reason};
pub use rename::NewLabel;
pub use role::Role;
pub use rotation::EpochId;
pub use view::Removed;

use backing::Voice;
use entry::{Act, Addition, Genesis};
use past::{Entries, Past};
use room::Share;
use view::{Judgement, View};

/// Why an entry was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum LogError {
    /// Not a log entry.
    #[error("the device log entry cannot be read: {0}")]
    Decode(DecodeError),
    /// Of a version or act that this code does not know. The log cannot be trusted without it.
    #[error("the device log was written by a newer Larder (version {version}, act {act}): update")]
    Newer {
        /// Version met.
        version: u16,
        /// Number of the act met.
        act: u32,
    },
    /// Fields that do not go together.
    #[error("the device log entry contradicts itself")]
    Shape,
    /// A key that no device makes, or one key in two roles.
    #[error("the device log entry names a key that cannot be a device's")]
    Key,
    /// The first entry is not a genesis, or a later one is.
    #[error("a device log begins with exactly one founding entry")]
    Genesis,
    /// Belongs to another vault.
    #[error("the device log entry belongs to another vault")]
    ForeignVault,
    /// An ancestor is missing: it must come first.
    #[error("the device log entry builds on {parent}, which is not known here")]
    UnknownParent {
        /// The missing entry.
        parent: EntryHash,
    },
    /// The author is no device that the entry's ancestors know.
    #[error("the device log entry is signed by a stranger")]
    Stranger,
    /// The author is a member, and this is an owner's to say.
    #[error("only an owner of the vault takes in, removes or names other devices")]
    NotOwner,
    /// A signature of the author or of the consenting side does not verify.
    #[error("a signature on the device log entry is not valid")]
    Signature,
    /// Adds a device that its ancestors already know.
    #[error("device {device} is already in the device log")]
    Duplicate {
        /// The device.
        device: DeviceId,
    },
    /// Removes the only device that is left.
    #[error("the only device of a vault cannot be removed")]
    LastDevice,
    /// More devices than a vault may have.
    #[error("a vault has at most {DEVICES_MAX} devices")]
    TooManyDevices,
    /// More entries, bytes, epochs, renames, or devices in all branches, than a log may have.
    #[error(
        "a device log has at most {LOG_ENTRIES_MAX} entries of {LOG_BYTES_MAX} bytes together, \
         {LOG_DEVICES_MAX} devices, each taken in {ADDS_OF_DEVICE_MAX} times, {EPOCHS_MAX} epochs and \
         {RENAMES_MAX} new names, {RENAMES_OF_DEVICE_MAX} by one device"
    )]
    Full,
}

impl From<DecodeError> for LogError {
    fn from(error: DecodeError) -> Self {
        Self::Decode(error)
    }
}

/// What became of an entry that was valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Merged {
    /// New; the log must be made durable again.
    Added(EntryHash),
    /// Already here.
    Known(EntryHash),
}

/// A device as the log knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogDevice<'a> {
    /// Its public keys.
    pub public: DevicePublic,
    /// Its name and site as it was taken in, sealed. It may have been renamed: see
    /// [`label`](DeviceLog::label).
    pub label: &'a SealedLabel,
    /// What it may do.
    pub role: Role,
    /// The entry that took it in.
    pub entry: EntryHash,
    /// When, by the clock of that entry's author.
    pub added: Timestamp,
}

/// A verified device log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceLog {
    vault: VaultId,
    salt: [u8; 32],
    recovery: RecoveryPublic,
    entries: BTreeMap<EntryHash, Node>,
    /// In the order of arrival, so parents first.
    order: Vec<EntryHash>,
    heads: BTreeSet<EntryHash>,
    /// Every device, with the entries that took it in: more than one when two devices did so
    /// apart. The first in order of hashes speaks for it.
    devices: BTreeMap<DeviceId, Membership>,
    /// Every epoch, and the entries that began it: a thief may name the key of another.
    epochs: BTreeMap<EpochId, BTreeSet<EntryHash>>,
    /// All removals, whether they count or not.
    removals: BTreeSet<EntryHash>,
    /// The renames of each device, whether they count or not.
    renames: BTreeMap<DeviceId, BTreeSet<EntryHash>>,
    /// What counts and who lives, as all entries together have it.
    judgement: Judgement,
    view: View,
    /// Bytes of all entries.
    bytes: usize,
    /// How much of this the phrase wrote.
    phrase: Share,
    /// What the phrase wrote, and what it builds on.
    settled: Entries,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Membership {
    /// Local number, for rosters.
    number: u16,
    entries: BTreeSet<EntryHash>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Node {
    entry: LogEntry,
    /// Its place in the order of arrival.
    place: usize,
    past: Past,
    voice: Voice,
    /// Numbers of the devices that this entry and its ancestors took in, ascending.
    roster: Vec<u16>,
}

/// Whether there is room for an entry that builds on this.
type HasRoom = fn(&DeviceLog, &LogEntry, &Past) -> bool;

/// An entry that may come in.
enum Admission {
    Known(EntryHash),
    New { entry: Box<LogEntry>, past: Past },
}

impl DeviceLog {
    /// Begins a log with its genesis entry.
    ///
    /// # Errors
    /// [`LogError`]; [`LogError::Genesis`] when it is another entry.
    pub fn begin(genesis: &[u8]) -> Result<Self, LogError> {
        let entry = LogEntry::decode(genesis)?;
        let Act::Genesis(Genesis { salt, recovery, device, commitment, .. }) = &entry.body().act
        else {
            return Err(LogError::Genesis);
        };
        entry.verify(recovery)?;
        let hash = entry.hash();
        let membership = Membership { number: 0, entries: BTreeSet::from([hash]) };
        let epoch = EpochId { number: FIRST_EPOCH, commitment: *commitment };
        let view = View {
            living: BTreeSet::from([device.id]),
            owners: BTreeSet::from([device.id]),
            epochs: BTreeSet::from([epoch]),
            ..View::default()
        };
        Ok(Self {
            vault: VaultId::from_bytes(*hash.as_bytes()),
            salt: *salt,
            recovery: *recovery,
            order: vec![hash],
            heads: BTreeSet::from([hash]),
            devices: BTreeMap::from([(device.id, membership)]),
            epochs: BTreeMap::from([(epoch, BTreeSet::from([hash]))]),
            removals: BTreeSet::new(),
            renames: BTreeMap::new(),
            judgement: Judgement::of_genesis(),
            view,
            entries: BTreeMap::from([(
                hash,
                Node {
                    place: 0,
                    past: Past::default(),
                    roster: vec![0],
                    entry,
                    voice: Voice::Owner,
                },
            )]),
            bytes: genesis.len(),
            phrase: Share::default(),
            settled: Entries::default(),
        })
    }

    /// Reads a whole log that was taken before, parents before children, genesis first.
    ///
    /// # Errors
    /// The first [`LogError`] met; [`LogError::Genesis`] for no entries at all.
    pub fn from_entries<B: AsRef<[u8]>>(
        entries: impl IntoIterator<Item = B>,
    ) -> Result<Self, LogError> {
        let mut entries = entries.into_iter();
        let mut log = Self::begin(entries.next().ok_or(LogError::Genesis)?.as_ref())?;
        for bytes in entries {
            log.read_back(bytes.as_ref())?;
        }
        Ok(log)
    }

    /// Takes an entry that was in this log before, or in that of somebody who is believed to have taken it rightly. Everything
    /// about it is checked, but for whether there is room: that was asked when it came, and depends on the order.
    ///
    /// # Errors
    /// [`LogError`]; the log is then unchanged.
    pub fn read_back(&mut self, bytes: &[u8]) -> Result<Merged, LogError> {
        self.merge_if(bytes, Self::has_place_for)
    }

    /// Takes one more entry, from whoever it comes, after checking everything.
    ///
    /// # Errors
    /// [`LogError`]; the log is then unchanged.
    pub fn merge(&mut self, bytes: &[u8]) -> Result<Merged, LogError> {
        self.merge_if(bytes, Self::has_room_for)
    }

    fn merge_if(&mut self, bytes: &[u8], has_room: HasRoom) -> Result<Merged, LogError> {
        let (entry, past) = match self.admit(bytes, has_room)? {
            Admission::Known(hash) => return Ok(Merged::Known(hash)),
            Admission::New { entry, past } => (entry, past),
        };
        let hash = entry.hash();
        let author = entry.body().author;
        let voice = self.voice(&author, &past);
        let is_of_phrase = voice == Voice::Phrase;
        self.bytes += bytes.len();
        if is_of_phrase {
            self.phrase.entries += 1;
            self.phrase.bytes += bytes.len();
        }
        let mut roster = past.roster.clone();
        match &entry.body().act {
            Act::Add(addition) => {
                let device = addition.device.id;
                self.phrase.devices += usize::from(is_of_phrase && !self.knows(&device));
                roster.insert(self.enlist(device, hash));
            }
            Act::Epoch(rotation) => {
                self.begin_epoch(rotation.id(), hash);
            }
            Act::Remove(removal) => {
                self.begin_epoch(removal.rotation.id(), hash);
                self.removals.insert(hash);
            }
            Act::Rename(renaming) => {
                self.renames.entry(renaming.device).or_default().insert(hash);
            }
            Act::Genesis(_) => {}
        }
        for parent in &entry.body().parents {
            self.heads.remove(parent);
        }
        self.heads.insert(hash);
        let (place, roster) = (self.order.len(), roster.into_iter().collect());
        self.order.push(hash);
        if is_of_phrase {
            self.settled.join(&past.entries);
            self.settled.insert(place);
        }
        self.entries.insert(hash, Node { entry: *entry, place, past, voice, roster });
        self.judge_newest();
        Ok(Merged::Added(hash))
    }

    /// What [`merge`](Self::merge) would answer, without taking the entry: for making it durable
    /// before it counts.
    ///
    /// # Errors
    /// [`LogError`].
    pub fn check(&self, bytes: &[u8]) -> Result<Merged, LogError> {
        Ok(match self.admit(bytes, Self::has_room_for)? {
            Admission::Known(hash) => Merged::Known(hash),
            Admission::New { entry, .. } => Merged::Added(entry.hash()),
        })
    }

    /// Everything that decides whether an entry may come in.
    fn admit(&self, bytes: &[u8], has_room: HasRoom) -> Result<Admission, LogError> {
        let entry = LogEntry::decode(bytes)?;
        let hash = entry.hash();
        if let Some(known) = self.entry(&hash) {
            // Another signature over the same body is no news, but it must not pass as valid.
            if *known != entry {
                entry.verify(&self.recovery)?;
            }
            return Ok(Admission::Known(hash));
        }
        let body = entry.body();
        if matches!(body.act, Act::Genesis(_)) || body.vault != Some(self.vault) {
            return Err(LogError::ForeignVault);
        }
        let past = self.past_of(&body.parents)?;
        let author = &body.author;
        match &body.act {
            Act::Add(addition) => self.check_addition(author, addition, &past)?,
            Act::Epoch(rotation) => self.check_rotation(author, rotation, &past, None)?,
            Act::Remove(removal) => {
                self.check_rotation(author, &removal.rotation, &past, Some(&removal.device))?;
            }
            Act::Rename(renaming) => self.check_rename(author, &renaming.device, &past)?,
            Act::Genesis(_) => {}
        }
        entry.verify(&self.recovery)?;
        if has_room(self, &entry, &past) {
            Ok(Admission::New { entry: Box::new(entry), past })
        } else {
            Err(LogError::Full)
        }
    }

    fn past_of(&self, parents: &[EntryHash]) -> Result<Past, LogError> {
        let mut past = Past::default();
        for parent in parents {
            let node =
                self.entries.get(parent).ok_or(LogError::UnknownParent { parent: *parent })?;
            past.entries.join(&node.past.entries);
            past.entries.insert(node.place);
            past.roster.extend(&node.roster);
            past.depth = past.depth.max(node.past.depth.saturating_add(1));
        }
        Ok(past)
    }

    /// Everything about an addition that depends on its ancestors.
    fn check_addition(
        &self,
        author: &Author,
        addition: &Addition,
        past: &Past,
    ) -> Result<(), LogError> {
        let roster = &past.roster;
        let knows = |device: &DeviceId| {
            self.devices.get(device).is_some_and(|member| roster.contains(&member.number))
        };
        let device = addition.device.id;
        self.check_author(author, true, past)?;
        if knows(&device) {
            return Err(LogError::Duplicate { device });
        }
        if [self.recovery.signing_id(), self.recovery.access_id()].contains(&device) {
            return Err(LogError::Key);
        }
        if roster.len() >= DEVICES_MAX {
            return Err(LogError::TooManyDevices);
        }
        let epochs = addition.wraps.iter().map(|wrap| wrap.epoch);
        let known = self.epoch_ids_within(&past.entries).map(|id| id.number);
        if epochs.eq(known) { Ok(()) } else { Err(LogError::Shape) }
    }

    /// Whether somebody may write an entry after these; `needs_owner`: whether only an owner may.
    fn check_author(
        &self,
        author: &Author,
        needs_owner: bool,
        past: &Past,
    ) -> Result<(), LogError> {
        let Author::Device(device) = author else { return Ok(()) };
        let before = |hash: &EntryHash| {
            self.entries.get(hash).filter(|node| past.entries.contains(node.place))
        };
        if self.removals.iter().any(|hash| before(hash).is_some()) {
            return self.view_after(past).check_author(author, needs_owner);
        }
        // Where nobody was removed, whoever was taken in lives, and every entry counts.
        let entries = self.devices.get(device).into_iter().flat_map(|member| &member.entries);
        let taken_in = entries.filter_map(before).filter_map(|it| it.entry.body().act.taken_in());
        let roles: BTreeSet<Role> = taken_in.map(|(_, role)| role).collect();
        match roles.first() {
            None => Err(LogError::Stranger),
            Some(Role::Member) if needs_owner => Err(LogError::NotOwner),
            Some(Role::Owner | Role::Member) => Ok(()),
        }
    }

    /// As who an author writes what builds on this.
    fn voice(&self, author: &Author, past: &Past) -> Voice {
        match author {
            Author::Recovery => Voice::Phrase,
            Author::Device(_) => match self.check_author(author, true, past) {
                Err(LogError::NotOwner) => Voice::Member,
                _ => Voice::Owner,
            },
        }
    }

    /// The epochs that these entries began, ascending.
    fn epoch_ids_within(&self, entries: &Entries) -> impl Iterator<Item = EpochId> {
        let is_within = move |entry: &EntryHash| {
            self.entries.get(entry).is_some_and(|node| entries.contains(node.place))
        };
        let epochs = self.epochs.iter();
        epochs.filter(move |(_, began)| began.iter().any(is_within)).map(|(id, _)| *id)
    }

    /// The same, as the terms under which their keys are wrapped.
    fn epochs_within(&self, entries: &Entries) -> impl Iterator<Item = WrapTerms> {
        self.epoch_ids_within(entries).map(|id| self.terms(&id))
    }

    const fn terms(&self, id: &EpochId) -> WrapTerms {
        WrapTerms { epoch: id.number, commitment: id.commitment, salt: self.salt }
    }

    fn begin_epoch(&mut self, id: EpochId, entry: EntryHash) {
        self.epochs.entry(id).or_default().insert(entry);
    }

    /// Local number of a device, in the order in which they came to be known here.
    fn number_of(&self, device: &DeviceId) -> Option<u16> {
        self.devices.get(device).map(|member| member.number)
    }

    fn enlist(&mut self, device: DeviceId, entry: EntryHash) -> u16 {
        let next = u16::try_from(self.devices.len());
        let number = next.expect("no log takes so many devices");
        let fresh = || Membership { number, entries: BTreeSet::new() };
        let member = self.devices.entry(device).or_insert_with(fresh);
        member.entries.insert(entry);
        member.number
    }

    /// The vault: the hash of the genesis entry.
    pub const fn vault(&self) -> VaultId {
        self.vault
    }

    /// The public half of the phrase.
    pub const fn recovery(&self) -> &RecoveryPublic {
        &self.recovery
    }

    /// The newest entries: those without children, ascending. Only the first
    /// [`LOG_PARENTS_MAX`] of them: whoever is told of fewer is sent more than it lacks, no harm.
    pub fn heads(&self) -> Vec<EntryHash> {
        self.heads.iter().copied().take(LOG_PARENTS_MAX).collect()
    }

    /// How many entries there are without children: more than an entry builds on, where somebody has written so many beside each
    /// other.
    pub fn head_count(&self) -> usize {
        self.heads.len()
    }

    /// Whether this entry is here.
    pub fn contains(&self, entry: &EntryHash) -> bool {
        self.entries.contains_key(entry)
    }

    /// How many entries; never zero.
    #[expect(clippy::len_without_is_empty, reason = "a log has at least its genesis entry")]
    pub const fn len(&self) -> usize {
        self.order.len()
    }

    /// One entry.
    pub fn entry(&self, hash: &EntryHash) -> Option<&LogEntry> {
        self.entries.get(hash).map(|node| &node.entry)
    }

    /// Whether an entry counts: whoever wrote it lived, and was not removed without its knowing
    /// (specs/device_log.md, "Meaning").
    pub fn counts(&self, hash: &EntryHash) -> bool {
        self.entries.get(hash).is_some_and(|node| self.judgement.counts(node.place))
    }

    /// All entries as bytes, parents before children.
    pub fn entries(&self) -> impl Iterator<Item = &[u8]> {
        self.order.iter().filter_map(|hash| self.entry(hash)).map(LogEntry::bytes)
    }

    /// The entries that somebody lacks who has `have` and their ancestors, parents before
    /// children. Hashes that are not known here are passed over: they say nothing.
    pub fn entries_beyond(&self, have: &[EntryHash]) -> Vec<&[u8]> {
        let mut known = BTreeSet::new();
        let mut open: Vec<EntryHash> = have.to_vec();
        while let Some(hash) = open.pop() {
            if let Some(entry) = self.entry(&hash)
                && known.insert(hash)
            {
                open.extend(&entry.body().parents);
            }
        }
        let missing = self.order.iter().filter(|hash| !known.contains(*hash));
        missing.filter_map(|hash| self.entry(hash)).map(LogEntry::bytes).collect()
    }

    /// The devices that belong to the vault now, ascending by id.
    pub fn devices(&self) -> impl Iterator<Item = LogDevice<'_>> {
        self.view.living.iter().filter_map(|device| self.device(device))
    }

    /// All that were ever taken in, those that were removed or never counted included, ascending by id.
    pub fn all_devices(&self) -> impl Iterator<Item = LogDevice<'_>> {
        self.devices.values().filter_map(|member| self.log_device(member))
    }

    /// Those that were removed, ascending by id.
    pub fn removed(&self) -> impl Iterator<Item = (DeviceId, &Removed)> {
        self.view.removed.iter().map(|(device, removed)| (*device, removed))
    }

    /// Whether a head of a device counts: any of one that lives, of a removed one those up to the head that
    /// its removal names (HEAD-13).
    pub fn head_counts(&self, device: &DeviceId, (seq, head): (u64, &HeadHash)) -> bool {
        let last = self.removal_of(device).and_then(|removed| removed.last);
        let is_before = last.is_some_and(|last| seq < last.seq || *head == last.head);
        self.is_device(device) || is_before
    }

    /// Whether anybody was ever removed, with effect or without.
    pub fn has_removals(&self) -> bool {
        !self.removals.is_empty()
    }

    /// How a device was removed, if it was.
    pub fn removal_of(&self, device: &DeviceId) -> Option<&Removed> {
        self.view.removed.get(device)
    }

    /// One device, whether it still belongs to the vault or not.
    pub fn device(&self, device: &DeviceId) -> Option<LogDevice<'_>> {
        self.log_device(self.devices.get(device)?)
    }

    /// The device that an entry took in.
    fn device_of(&self, entry: &EntryHash) -> Option<DevicePublic> {
        self.entry(entry)?.body().act.taken_in().map(|(device, _)| *device)
    }

    fn log_device(&self, member: &Membership) -> Option<LogDevice<'_>> {
        let hash = member.entries.first()?;
        let body = self.entry(hash)?.body();
        let (public, label) = match &body.act {
            Act::Genesis(genesis) => (genesis.device, &genesis.label),
            Act::Add(addition) => (addition.device, &addition.label),
            Act::Epoch(_) | Act::Remove(_) | Act::Rename(_) => return None,
        };
        let role = if self.is_owner(&public.id) { Role::Owner } else { Role::Member };
        Some(LogDevice { public, label, role, entry: *hash, added: body.time })
    }

    /// Whether `device` belongs to the vault now.
    pub fn is_device(&self, device: &DeviceId) -> bool {
        self.view.living.contains(device)
    }

    /// Whether `device` was ever taken in.
    pub fn knows(&self, device: &DeviceId) -> bool {
        self.devices.contains_key(device)
    }

    /// Whether an entry that counts took `device` in as owner, removed since or not.
    pub fn is_owner(&self, device: &DeviceId) -> bool {
        self.view.owners.contains(device)
    }

    /// The keys of all epochs that can be opened, ascending, as a device or the phrase does.
    ///
    /// # Errors
    /// [`WrapError::NotForUs`] when this principal has no wrap of the first epoch and nothing that
    /// leads to it; another [`WrapError`] when it has, and none opens.
    pub fn epoch_keys<'p>(
        &self,
        principal: impl Into<Principal<'p>>,
    ) -> Result<Vec<EpochKey>, WrapError> {
        let principal = principal.into();
        self.keys_of(principal.hpke_public(), principal.hpke_secret())
    }

    /// Every wrap of the key of an epoch: by the entry that began it, and to those taken in later.
    fn wraps(&self, epoch: &EpochId) -> Vec<&Wrap> {
        let began = self.epochs.get(epoch);
        let mut wraps: Vec<&Wrap> = Vec::new();
        for entry in began.into_iter().flatten().filter_map(|hash| self.entry(hash)) {
            match &entry.body().act {
                Act::Genesis(genesis) => wraps.extend(&genesis.wraps),
                Act::Epoch(rotation) => wraps.extend(&rotation.wraps),
                Act::Remove(removal) => wraps.extend(&removal.rotation.wraps),
                Act::Add(_) | Act::Rename(_) => {}
            }
        }
        for node in self.entries.values() {
            if let Act::Add(addition) = &node.entry.body().act {
                let epochs = self.epoch_ids_within(&node.past.entries).zip(&addition.wraps);
                let of_this = epochs.filter(|(id, _)| id == epoch);
                wraps.extend(of_this.map(|(_, wrap)| &wrap.wrap));
            }
        }
        wraps
    }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod vectors;
