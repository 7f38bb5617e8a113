//! Taking in a device, in two steps: a side that knows the vault drafts, the new device checks
//! and consents, the first side signs and appends. Source: specs/device_log.md.

use rand_core::CryptoRng;
use thiserror::Error;

use super::{
    DeviceLog, Label, LogEntry, LogError, Role,
    entry::{
        self, Act, Addition, Author, ENTRY_VERSION, EntryBody, EpochWrap, Signatures, decode_body,
    },
};
use crate::{
    cbor,
    ids::EntryHash,
    keys::{
        DeviceKeys, DevicePublic, Principal, RecoveryKeys,
        epoch::EpochKey,
        sign,
        wrap::{WrapError, unwrap, wrap},
    },
    time::Timestamp,
};

/// A device that is to be taken in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Newcomer {
    /// Its public keys.
    pub device: DevicePublic,
    /// Its name and site.
    pub label: Label,
    /// What it may do.
    pub role: Role,
    /// Wall-clock time of the side that drafts.
    pub time: Timestamp,
}

/// Why a draft could not be made, or why the new device does not consent to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum DraftError {
    /// The entry could not stand in this log.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The side that drafts cannot open the vault's keys, or the keys for the newcomer are wrong.
    #[error(transparent)]
    Key(#[from] WrapError),
    /// Name or site cannot be used, or are not those that the newcomer gave.
    #[error("the name or site in the draft is not the one that was given")]
    Label,
    /// Adds another device, or this one with another key.
    #[error("the draft adds other keys than those of this device")]
    OtherDevice,
    /// Gives another role than the newcomer was told.
    #[error("the draft gives another role than was told")]
    Role,
}

/// The body of an `add` entry that nobody has signed yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddDraft {
    bytes: Vec<u8>,
    body: EntryBody,
}

impl AddDraft {
    /// Reads a draft from the other side.
    ///
    /// # Errors
    /// [`LogError`] of form and shape; [`LogError::Genesis`] when it is no addition.
    pub fn decode(bytes: &[u8]) -> Result<Self, LogError> {
        let body = decode_body(bytes)?;
        match body.act {
            Act::Add(_) => Ok(Self { bytes: bytes.to_vec(), body }),
            Act::Genesis(_) | Act::Epoch(_) | Act::Remove(_) | Act::Rename(_) => {
                Err(LogError::Genesis)
            }
        }
    }

    /// The bytes to send; what both sides sign.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The name that the entry will have.
    pub fn hash(&self) -> EntryHash {
        entry::hash_body(&self.bytes)
    }

    fn addition(&self) -> Option<&Addition> {
        match &self.body.act {
            Act::Add(addition) => Some(addition),
            Act::Genesis(_) | Act::Epoch(_) | Act::Remove(_) | Act::Rename(_) => None,
        }
    }

    /// The new device's part: checks that the draft adds this very device, under the name given and in
    /// the role told, to the vault of `log`, with keys that open and are those of the vault; then consents.
    ///
    /// # Errors
    /// [`DraftError`]; nothing is signed.
    pub fn consent(
        &self,
        log: &DeviceLog,
        own: &DeviceKeys,
        (label, role): (&Label, Role),
    ) -> Result<[u8; 64], DraftError> {
        let addition = self.addition().ok_or(LogError::Genesis)?;
        if self.body.vault != Some(log.vault()) {
            return Err(LogError::ForeignVault.into());
        }
        if addition.device != own.public() {
            return Err(DraftError::OtherDevice);
        }
        if addition.role != role {
            return Err(DraftError::Role);
        }
        let past = log.past_of(&self.body.parents)?;
        log.check_addition(&self.body.author, addition, &past)?;
        let open =
            |(terms, sealed): (_, &EpochWrap)| unwrap(&sealed.wrap, &terms, own.hpke_secret());
        let mut opened = log.epochs_within(&past.entries).zip(&addition.wraps).map(open);
        // The first names everything that is stored. Of a later one the author himself may not have the key:
        // whoever began it may have wrapped rubbish, and must not keep everybody else out by that.
        let first = opened.next().ok_or(WrapError::NotForUs)??;
        let keys: Vec<_> = std::iter::once(first).chain(opened.flatten()).collect();
        if addition.label.open(&own.id(), &keys).as_ref() != Some(label) {
            return Err(DraftError::Label);
        }
        Ok(own.sign(sign::LOG_CONSENT, &self.bytes))
    }
}

impl DeviceLog {
    /// Drafts the entry that takes in `newcomer`, authored by a device of the vault or by the
    /// phrase.
    ///
    /// # Errors
    /// [`DraftError`].
    pub fn draft_add<'p>(
        &self,
        author: impl Into<Principal<'p>>,
        newcomer: &Newcomer,
        rng: &mut impl CryptoRng,
    ) -> Result<AddDraft, DraftError> {
        let principal = author.into();
        let author = author_of(&principal);
        let parents = self.parents_of_addition(&author);
        let past = self.past_of(&parents)?;
        let keys = self.epoch_keys(principal)?;
        let device = newcomer.device;
        // The newest that the newcomer gets: the phrase may build on less than there is.
        let is_within =
            |key: &&EpochKey| self.epochs_within(&past.entries).any(|terms| terms.is_of(key));
        let newest = keys.iter().rev().find(is_within).ok_or(WrapError::NotForUs)?;
        let label = newcomer.label.seal(&device.id, newest, rng).ok_or(DraftError::Label)?;
        let mut wraps = Vec::with_capacity(keys.len());
        for terms in self.epochs_within(&past.entries) {
            let known = keys.iter().find(|key| terms.is_of(key)).cloned();
            let key = known.unwrap_or_else(|| filler(terms.epoch, rng));
            let wrap = wrap(&key, &terms.salt, &device.hpke, rng)?;
            wraps.push(EpochWrap { epoch: terms.epoch, wrap });
        }
        let addition = Addition { device, label, wraps, role: newcomer.role };
        self.check_addition(&author, &addition, &past)?;
        let body = EntryBody {
            version: ENTRY_VERSION,
            vault: Some(self.vault()),
            parents,
            author,
            time: newcomer.time,
            act: Act::Add(addition),
        };
        Ok(AddDraft::decode(&cbor::encode(&body))?)
    }

    /// Signs a draft to which the new device consented, and appends it. Returns the entry's
    /// bytes, to be made durable and sent on.
    ///
    /// # Errors
    /// [`LogError`]; the log is then unchanged.
    pub fn append_add<'p>(
        &mut self,
        draft: &AddDraft,
        consent: [u8; 64],
        author: impl Into<Principal<'p>>,
    ) -> Result<Vec<u8>, LogError> {
        let principal = author.into();
        if draft.body.author != author_of(&principal) {
            return Err(LogError::Stranger);
        }
        let signature = principal.sign(sign::LOG_ENTRY, draft.bytes());
        let signatures = Signatures { author: signature, consent: Some(consent), access: None };
        let bytes = LogEntry::assemble(draft.bytes(), signatures);
        self.merge(&bytes)?;
        Ok(bytes)
    }

    /// Takes in this very device in the name of the phrase: both signatures are made here.
    /// Returns the entry's bytes.
    ///
    /// # Errors
    /// [`DraftError`]; the log is then unchanged.
    pub fn enrol(
        &mut self,
        recovery: &RecoveryKeys,
        device: &DeviceKeys,
        newcomer: &Newcomer,
        rng: &mut impl CryptoRng,
    ) -> Result<Vec<u8>, DraftError> {
        let draft = self.draft_add(recovery, newcomer, rng)?;
        let consent = draft.consent(self, device, (&newcomer.label, newcomer.role))?;
        Ok(self.append_add(&draft, consent, recovery)?)
    }
}

/// Stands for a key that the author has not got: it opens to nothing that the log commits to. The place has to be
/// filled, since every epoch has one.
fn filler(epoch: u32, rng: &mut impl CryptoRng) -> EpochKey {
    let mut secret = [0; 32];
    rng.fill_bytes(&mut secret);
    EpochKey::new(epoch, secret)
}

pub(super) fn author_of(principal: &Principal<'_>) -> Author {
    match principal {
        Principal::Device(keys) => Author::Device(keys.id()),
        Principal::Recovery(_) => Author::Recovery,
    }
}
