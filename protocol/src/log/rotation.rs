//! A new epoch: its key, wrapped to those who live and to the phrase, and the keys before it.
//!
//! ```text
//! phrase ◄─┐
//! laptop ◄─┼─ wraps ── key of epoch 3 ── seals ──► keys of epochs 1 and 2
//! phone  ◄─┘
//! ```
//! So whoever has the newest key reads all that was stored, and whoever was removed reads nothing that is
//! sealed from then on. Source: specs/device_log.md.

use std::collections::{BTreeMap, BTreeSet};

use minicbor::{Decode, Encode};
use rand_core::CryptoRng;
use zeroize::Zeroize;

use super::{
    DeviceLog, DraftError, LogEntry, LogError,
    add::author_of,
    entry::{Act, Author, ENTRY_VERSION, EntryBody, Signatures},
    past::{Entries, Past},
    view::View,
};
use crate::{
    cbor,
    ids::{DeviceId, EntryHash},
    keys::{
        DeviceKeys, Principal, RecoveryKeys,
        epoch::{EpochKey, PRIOR_SEALED_BYTES},
        sign,
        wrap::{Wrap, WrapError, is_usable, wrap},
    },
    limits::EPOCHS_AT_ONCE,
    time::Timestamp,
};

/// The beginning of an epoch.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Rotation {
    /// One more than the highest that the ancestors know.
    #[n(0)]
    pub number: u32,
    /// Commitment of its key.
    #[cbor(n(1), with = "minicbor::bytes")]
    pub commitment: [u8; 32],
    /// The key, to every device that lives and to the phrase, ascending by recipient.
    #[n(2)]
    pub wraps: Vec<Wrap>,
    /// Keys of epochs before, ascending.
    #[n(3)]
    pub prior: Vec<PriorKey>,
}

/// The key of an epoch, sealed under a later one.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct PriorKey {
    /// Its number.
    #[n(0)]
    pub number: u32,
    /// Its commitment.
    #[cbor(n(1), with = "minicbor::bytes")]
    pub commitment: [u8; 32],
    /// See [`EpochKey::seal_prior`].
    #[cbor(n(2), with = "minicbor::bytes")]
    pub sealed: [u8; PRIOR_SEALED_BYTES],
}

/// Which epoch: two that began apart may have one number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct EpochId {
    /// Its number, from 1.
    pub number: u32,
    /// Commitment of its key.
    pub commitment: [u8; 32],
}

impl EpochId {
    /// Whether this is the epoch of this key.
    pub fn is_of(&self, key: &EpochKey) -> bool {
        self.number == key.number() && self.commitment == key.commitment()
    }
}

impl Rotation {
    pub(super) const fn id(&self) -> EpochId {
        EpochId { number: self.number, commitment: self.commitment }
    }

    pub(super) fn check(&self) -> Result<(), LogError> {
        let wraps = self.wraps.is_sorted_by(|one, next| one.to < next.to);
        let order = |prior: &PriorKey| (prior.number, prior.commitment);
        let prior = self.prior.is_sorted_by(|one, next| order(one) < order(next));
        if !wraps || !prior || self.number == 0 {
            return Err(LogError::Shape);
        }
        if self.wraps.iter().all(|wrap| is_usable(&wrap.to)) { Ok(()) } else { Err(LogError::Key) }
    }
}

impl DeviceLog {
    /// Whether no epoch is to be sealed with: somebody who is gone has the key of each, or somebody who
    /// lives has not. Whoever notices begins a new one with [`rotate`](Self::rotate) (LOG-20).
    pub fn is_epoch_due(&self) -> bool {
        self.current_epoch().is_none()
    }

    /// Whether a device that has these keys, and no others, begins an epoch before it seals anything: none is in force,
    /// or it lacks the key of the one that is, or a member began it and it is an owner itself. What a member has
    /// wrapped to the phrase no device can look at; the key goes on in the owner's epoch, from which the phrase
    /// opens it (LOG-20, LOG-30).
    pub fn needs_epoch(&self, own: &DeviceId, keys: &[EpochKey]) -> bool {
        let Some(current) = self.current_epoch() else { return true };
        let is_known = keys.iter().any(|key| current.is_of(key));
        !is_known || (self.is_owner(own) && !self.is_begun_by_owner(&current))
    }

    /// Whether one principal opens the key of an epoch that another one does not. The phrase may do so for a device that
    /// was taken in by a log without the newest epochs: one that it begins then hands all keys on (LOG-31).
    ///
    /// # Errors
    /// [`WrapError`] when either of them opens nothing.
    fn opens_more<'p>(
        &self,
        one: impl Into<Principal<'p>>,
        than: impl Into<Principal<'p>>,
    ) -> Result<bool, WrapError> {
        let (opened, known) = (self.epoch_keys(one)?, self.epoch_keys(than)?);
        let names = |key: &EpochKey| (key.number(), key.commitment());
        let known: BTreeSet<_> = known.iter().map(names).collect();
        Ok(!opened.iter().all(|key| known.contains(&names(key))))
    }

    /// Whether some epoch that counts has a key that is none of these: what is sealed with it stays closed.
    pub fn has_keys_beyond(&self, known: &[EpochKey]) -> bool {
        !self.view.epochs.iter().all(|id| known.iter().any(|key| id.is_of(key)))
    }

    fn is_begun_by_owner(&self, epoch: &EpochId) -> bool {
        let began = self.epochs.get(epoch).into_iter().flatten();
        let authors = began.filter_map(|hash| Some(&self.entry(hash)?.body().author));
        authors.into_iter().any(|author| match author {
            Author::Device(device) => self.is_owner(device),
            Author::Recovery => true,
        })
    }

    /// The epoch with whose key new data is sealed: of those that count, with the highest number, the one whose key
    /// exactly those have who live, and the phrase.
    pub fn current_epoch(&self) -> Option<EpochId> {
        let all = Entries::first(self.order.len());
        let wanted = self.recipients(&self.view, &all, None);
        let has = |id: &EpochId| -> BTreeSet<[u8; 32]> {
            self.wraps(id).into_iter().map(|wrap| wrap.to).collect()
        };
        let newest = self.view.epochs.last()?.number;
        // Of two with one number the one with the smaller commitment.
        self.view.epochs.iter().find(|id| id.number == newest && has(id) == wanted).copied()
    }

    /// Number of the epoch that is sealed with, if no other one that is known, void or not, has this number or a higher one: then
    /// the number that a pack says tells it from those before.
    pub fn clear_epoch(&self) -> Option<u32> {
        let number = self.current_epoch()?.number;
        let is_clear = self.epochs.keys().filter(|id| id.number >= number).count() == 1;
        is_clear.then_some(number)
    }

    /// The number that the next epoch will have.
    pub fn next_epoch(&self) -> u32 {
        self.epochs.keys().map(|id| id.number).max().unwrap_or(0).saturating_add(1)
    }

    /// Number of the newest epoch whose key a device was ever given, removed or not: whoever has its
    /// secrets opens what is sealed under that one and every one before.
    pub fn newest_epoch_of(&self, device: &DeviceId) -> Option<u32> {
        let entries = &self.devices.get(device)?.entries;
        let own: BTreeSet<[u8; 32]> =
            entries.iter().filter_map(|entry| Some(self.device_of(entry)?.hpke)).collect();
        let has = |id: &&EpochId| self.wraps(id).into_iter().any(|wrap| own.contains(&wrap.to));
        self.epochs.keys().filter(has).map(|id| id.number).max()
    }

    /// X25519 keys of those who live by these entries, without `but`, and of the phrase. Of a device that
    /// was taken in more than once the first of these entries speaks.
    fn recipients(
        &self,
        view: &View,
        within: &Entries,
        but: Option<&DeviceId>,
    ) -> BTreeSet<[u8; 32]> {
        let living = view.living.iter().filter(|device| Some(*device) != but);
        let is_within = |hash: &&EntryHash| {
            self.entries.get(*hash).is_some_and(|node| within.contains(node.place))
        };
        let key_of = |device: &DeviceId| {
            let first = self.devices.get(device)?.entries.iter().find(is_within)?;
            self.device_of(first).map(|public| public.hpke)
        };
        living.filter_map(key_of).chain([self.recovery.hpke]).collect()
    }

    /// Begins an epoch. Returns the entry's bytes, to be made durable and sent on.
    ///
    /// # Errors
    /// [`DraftError`]; the log is then unchanged.
    pub fn rotate<'p>(
        &mut self,
        author: impl Into<Principal<'p>>,
        time: Timestamp,
        rng: &mut impl CryptoRng,
    ) -> Result<Vec<u8>, DraftError> {
        let principal = author.into();
        // The phrase too: one that builds on little is wrapped to few, and not in force.
        let parents = self.heads_for(&author_of(&principal), None);
        self.rotate_on(parents, &principal, time, rng)
    }

    /// Begins an epoch, and another one where that one is not in force: somebody has written more beside each other than an entry can
    /// name. As long as each leaves fewer heads, [`EPOCHS_AT_ONCE`] at the most (LOG-35). Returns the entries' bytes, to be made durable and sent on.
    ///
    /// # Errors
    /// [`DraftError`] of the first; the log is then unchanged.
    pub fn rotate_into_force<'p>(
        &mut self,
        author: impl Into<Principal<'p>> + Copy,
        time: Timestamp,
        rng: &mut impl CryptoRng,
    ) -> Result<Vec<Vec<u8>>, DraftError> {
        let mut heads = self.head_count();
        let mut entries = vec![self.rotate(author, time, rng)?];
        while self.is_epoch_due() && self.head_count() < heads && entries.len() < EPOCHS_AT_ONCE {
            heads = self.head_count();
            let Ok(entry) = self.rotate(author, time, rng) else { break };
            entries.push(entry);
        }
        Ok(entries)
    }

    /// Hands every key that the phrase opens on to a device that lacks some, by an epoch of the phrase on top of all
    /// that is known. `None` where it lacks none; one that would not help is not begun, since the phrase has few
    /// (LOG-31). Returns the entry's bytes, to be made durable and sent on.
    ///
    /// # Errors
    /// [`LogError::Stranger`] for one that does not belong to the vault; [`DraftError`]. The log is then unchanged.
    pub fn hand_keys_on(
        &mut self,
        recovery: &RecoveryKeys,
        device: &DeviceKeys,
        time: Timestamp,
        rng: &mut impl CryptoRng,
    ) -> Result<Option<Vec<u8>>, DraftError> {
        if !self.is_device(&device.id()) {
            return Err(LogError::Stranger.into());
        }
        if !self.opens_more(recovery, device)? {
            return Ok(None);
        }
        let mut after = self.clone();
        let principal = Principal::from(recovery);
        let parents = after.heads_for(&author_of(&principal), Some(&device.id()));
        let entry = after.rotate_on(parents, &principal, time, rng)?;
        if after.opens_more(recovery, device)? {
            return Err(WrapError::NotForUs.into());
        }
        *self = after;
        Ok(Some(entry))
    }

    fn rotate_on(
        &mut self,
        parents: Vec<EntryHash>,
        principal: &Principal<'_>,
        time: Timestamp,
        rng: &mut impl CryptoRng,
    ) -> Result<Vec<u8>, DraftError> {
        let past = self.past_of(&parents)?;
        let view = self.view_after(&past);
        let rotation = self.new_epoch(principal, (&past, &view), None, rng)?;
        self.append(principal, (parents, time), Act::Epoch(rotation))
    }

    /// A new key for those who live after `past`, without `but`.
    pub(super) fn new_epoch(
        &self,
        principal: &Principal<'_>,
        (past, view): (&Past, &View),
        but: Option<&DeviceId>,
        rng: &mut impl CryptoRng,
    ) -> Result<Rotation, DraftError> {
        let keys = self.keys_of(principal.hpke_public(), principal.hpke_secret())?;
        let known: Vec<EpochId> = self.epoch_ids_within(&past.entries).collect();
        let number = known.last().map_or(0, |id| id.number).saturating_add(1);
        let mut secret = [0; 32];
        rng.fill_bytes(&mut secret);
        let key = EpochKey::new(number, secret);
        secret.zeroize();
        let salt = self.salt;
        let mut wraps = Vec::new();
        for to in self.recipients(view, &past.entries, but) {
            wraps.push(wrap(&key, &salt, &to, rng)?);
        }
        let prior = known.iter().filter_map(|id| {
            let prior = keys.iter().find(|key| id.is_of(key))?;
            let sealed = key.seal_prior(prior, &salt);
            Some(PriorKey { number: id.number, commitment: id.commitment, sealed })
        });
        let commitment = key.commitment();
        Ok(Rotation { number, commitment, wraps, prior: prior.collect() })
    }

    /// Signs an act that needs nobody's consent, and takes it in.
    pub(super) fn append(
        &mut self,
        principal: &Principal<'_>,
        (parents, time): (Vec<EntryHash>, Timestamp),
        act: Act,
    ) -> Result<Vec<u8>, DraftError> {
        let body = cbor::encode(&EntryBody {
            version: ENTRY_VERSION,
            vault: Some(self.vault()),
            parents,
            author: author_of(principal),
            time,
            act,
        });
        let author = principal.sign(sign::LOG_ENTRY, &body);
        let bytes = LogEntry::assemble(&body, Signatures { author, consent: None, access: None });
        self.merge(&bytes)?;
        Ok(bytes)
    }

    /// Everything about a new epoch that depends on its ancestors. `but`: who is removed with it.
    pub(super) fn check_rotation(
        &self,
        author: &Author,
        rotation: &Rotation,
        past: &Past,
        but: Option<&DeviceId>,
    ) -> Result<(), LogError> {
        let view = self.view_after(past);
        view.check_author(author, but.is_some())?;
        if let Some(device) = but {
            if !view.living.contains(device) {
                return Err(LogError::Stranger);
            }
            // Who would be left to open what is sealed from then on?
            if view.living.len() < 2 {
                return Err(LogError::LastDevice);
            }
        }
        let known: BTreeSet<EpochId> = self.epoch_ids_within(&past.entries).collect();
        let number = known.last().map_or(0, |id| id.number).saturating_add(1);
        let to: BTreeSet<[u8; 32]> = rotation.wraps.iter().map(|wrap| wrap.to).collect();
        let is_known = |prior: &PriorKey| {
            known.contains(&EpochId { number: prior.number, commitment: prior.commitment })
        };
        let is_new = known.iter().all(|id| id.commitment != rotation.commitment);
        let is_right = rotation.number == number
            && is_new
            && to == self.recipients(&view, &past.entries, but)
            && rotation.prior.iter().all(is_known);
        if is_right { Ok(()) } else { Err(LogError::Shape) }
    }

    /// Every epoch key that can be opened with this X25519 secret: directly, or from a later key.
    pub(super) fn keys_of(
        &self,
        public: [u8; 32],
        secret: &[u8; 32],
    ) -> Result<Vec<EpochKey>, WrapError> {
        let mut failure = WrapError::NotForUs;
        let mut keys = BTreeMap::new();
        // The newest first: a later key opens earlier ones without a wrap for each.
        for id in self.epochs.keys().rev() {
            if keys.contains_key(id) {
                continue;
            }
            let terms = self.terms(id);
            for wrap in self.wraps(id).into_iter().filter(|wrap| wrap.to == public) {
                match crate::keys::wrap::unwrap(wrap, &terms, secret) {
                    Ok(key) => {
                        keys.insert(*id, key);
                        self.open_priors(id, &mut keys);
                        break;
                    }
                    Err(error) => failure = error,
                }
            }
        }
        // Without the first nothing can be named.
        let has_first = self.epochs.keys().next().is_some_and(|first| keys.contains_key(first));
        if has_first { Ok(keys.into_values().collect()) } else { Err(failure) }
    }

    /// What the key of an epoch opens, and what these keys open.
    fn open_priors(&self, id: &EpochId, keys: &mut BTreeMap<EpochId, EpochKey>) {
        let mut open = vec![*id];
        while let Some(id) = open.pop() {
            let (Some(key), Some(began)) = (keys.get(&id).cloned(), self.epochs.get(&id)) else {
                continue;
            };
            let rotations = began.iter().filter_map(|entry| self.rotation(entry));
            for prior in rotations.flat_map(|rotation| &rotation.prior) {
                let of = EpochId { number: prior.number, commitment: prior.commitment };
                let is_wanted = !keys.contains_key(&of) && self.epochs.contains_key(&of);
                if is_wanted
                    && let Some(opened) =
                        key.open_prior((of.number, of.commitment), &prior.sealed, &self.salt)
                {
                    keys.insert(of, opened);
                    open.push(of);
                }
            }
        }
    }

    /// The epoch that an entry begins, but for the founding one.
    pub(super) fn rotation(&self, entry: &EntryHash) -> Option<&Rotation> {
        match &self.entry(entry)?.body().act {
            Act::Epoch(rotation) => Some(rotation),
            Act::Remove(removal) => Some(&removal.rotation),
            Act::Genesis(_) | Act::Add(_) | Act::Rename(_) => None,
        }
    }
}
