//! A set of guardians: signed by the phrase, kept by every holder, read by everybody who keeps it.
//!
//! It names nobody: each guardian finds the share that opens with the key of its vault, and the names
//! are sealed to the devices of the vault. A later number replaces an earlier one, with all its shares.
//! Source: specs/guarding.md.

use minicbor::{Decode, Encode, bytes::ByteVec};
use rand_core::{CryptoRng, Rng};
use thiserror::Error;
use zeroize::Zeroizing;

pub use super::names::Named;
use super::{
    SealedPhrase, SetId, SetSecret,
    names::{self, SEALED_NAMES_BYTES},
    sharing::{self, Share},
};
use crate::{
    cbor,
    ids::{DeviceId, VaultId},
    keys::{
        RecoveryPublic,
        epoch::{ContentKey, EpochKey, ReceivingKey, ReceivingPublic},
        phrase::Phrase,
        sealed::{self, Purpose, SealedSecret},
        sign, verify,
    },
    limits::{GUARDIAN_DELAY_S_MAX, GUARDIANS_MAX, GUARDIANS_RECORD_BYTES_MAX},
    signed::Signed,
    time::Timestamp,
};

/// Version of the records of guardians that this code writes and reads.
pub const VERSION: u16 = 1;
/// HPKE's `info` of every share.
const SHARE: &[u8] = b"larder guardian share v1\0";

/// What is signed.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct SetBody {
    /// [`VERSION`].
    #[n(0)]
    pub version: u16,
    /// Whose phrase.
    #[n(1)]
    pub vault: VaultId,
    /// The higher one counts.
    #[n(2)]
    pub number: u64,
    /// When it was made, by the clock of who made it. For people.
    #[n(3)]
    pub time: Timestamp,
    /// Who the guardians are; `None` where there are to be none any more.
    #[n(4)]
    pub appointed: Option<Appointed>,
}

/// The guardians of a set.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Appointed {
    /// Names it.
    #[n(0)]
    pub id: SetId,
    /// So many of them give the secret back.
    #[n(1)]
    pub threshold: u8,
    /// So long a holder keeps the phrase back after it was asked, in seconds.
    #[n(2)]
    pub delay_s: u64,
    /// The key of whoever has the secret.
    #[n(3)]
    pub release: DeviceId,
    /// Hash of the sealed phrase, which stands beside the record.
    #[cbor(n(4), with = "minicbor::bytes")]
    pub phrase: [u8; 32],
    /// Their names, sealed.
    #[n(5)]
    pub names: ByteVec,
    /// One share each, ascending by place, which tells nothing of whose it is.
    #[n(6)]
    pub shares: Vec<SealedShare>,
}

/// A share that one guardian opens.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct SealedShare {
    /// Its place.
    #[n(0)]
    pub place: u8,
    /// By which everybody who has the record knows it.
    #[cbor(n(1), with = "minicbor::bytes")]
    pub commitment: [u8; 32],
    /// Its 32 bytes, to the receiving key of the guardian's vault.
    #[n(2)]
    pub sealed: SealedSecret,
}

/// A signed set with the bytes it came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuardianSet {
    bytes: Vec<u8>,
    body: SetBody,
}

/// Why bytes are not a set of guardians of this vault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum SetError {
    /// No such record.
    #[error("the record of guardians is damaged: {0}")]
    Decode(#[from] cbor::DecodeError),
    /// From a newer Larder.
    #[error("the record of guardians has version {version}, this Larder reads {VERSION}: update")]
    Newer {
        /// Version met.
        version: u16,
    },
    /// It contradicts itself, or breaks a limit.
    #[error("the record of guardians makes no sense")]
    Shape,
    /// Of another vault.
    #[error("the record of guardians is of another vault")]
    Vault,
    /// Not by the phrase of this vault.
    #[error("the record of guardians was not signed with the phrase of its vault")]
    Signature,
}

/// Somebody who is to be a guardian.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guardian {
    /// Its vault: each of its devices, now and later, opens the share.
    pub vault: VaultId,
    /// What it is called here.
    pub name: String,
    /// The receiving key of its vault, of the epoch that is in force there.
    pub receiving: ReceivingPublic,
}

/// All that a new set is made of.
#[derive(Debug)]
pub struct Appointment<'a> {
    /// Whose phrase.
    pub vault: VaultId,
    /// Above that of the set before.
    pub number: u64,
    /// Now.
    pub time: Timestamp,
    /// The phrase itself: it signs, and is sealed.
    pub phrase: &'a Phrase,
    /// For the names.
    pub content: &'a ContentKey,
    /// How many of them are enough.
    pub threshold: u8,
    /// How long holders wait, in seconds.
    pub delay_s: u64,
    /// Who they are.
    pub guardians: Vec<Guardian>,
}

/// Why no set was made.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum AppointError {
    /// None, or more than there may be.
    #[error("there can be 1 to {GUARDIANS_MAX} guardians, not {0}")]
    Count(usize),
    /// None would be needed, or more than there are.
    #[error("{threshold} of {count} guardians cannot be asked for: the threshold is 1 to {count}")]
    Threshold {
        /// What was asked for.
        threshold: u8,
        /// How many there are.
        count: usize,
    },
    /// Two shares would lie in one hand.
    #[error("{0} is named twice: two devices of one vault are one guardian")]
    Twice(String),
    /// Its key is none.
    #[error("the key that {0} gave is not one that a device makes")]
    WeakKey(String),
    /// Longer than a year.
    #[error("a delay has at most {GUARDIAN_DELAY_S_MAX} seconds")]
    Delay,
}

impl GuardianSet {
    /// Appoints guardians: makes the secret, splits it, seals the phrase under it. The secret itself is
    /// forgotten.
    ///
    /// # Errors
    /// [`AppointError`].
    pub fn appoint(
        mut parts: Appointment<'_>,
        rng: &mut impl CryptoRng,
    ) -> Result<(Self, SealedPhrase), AppointError> {
        let count = parts.guardians.len();
        let small = u8::try_from(count)
            .ok()
            .filter(|count| (1..=GUARDIANS_MAX).contains(&usize::from(*count)));
        let small = small.ok_or(AppointError::Count(count))?;
        let threshold = parts.threshold;
        if threshold == 0 || threshold > small {
            return Err(AppointError::Threshold { threshold, count });
        }
        if parts.delay_s > GUARDIAN_DELAY_S_MAX {
            return Err(AppointError::Delay);
        }
        let mut vaults = std::collections::BTreeSet::new();
        if let Some(twice) = parts.guardians.iter().find(|it| !vaults.insert(it.vault)) {
            return Err(AppointError::Twice(twice.name.clone()));
        }
        shuffle(&mut parts.guardians, rng);
        let (mut id, mut secret) = (SetId([0; 16]), Zeroizing::new([0; 32]));
        rng.fill_bytes(&mut id.0);
        rng.fill_bytes(&mut *secret);
        let secret = SetSecret::new(id, secret);
        let shares = sharing::split(secret.expose(), (threshold, small), rng);
        let shares = shares.ok_or(AppointError::Count(count))?;
        let terms = Terms { vault: parts.vault, set: id, threshold };
        let mut sealed_shares = Vec::with_capacity(count);
        for (guardian, share) in parts.guardians.iter().zip(&shares) {
            let sealed = terms.seal(share, &guardian.receiving.key, rng);
            let sealed = sealed.map_err(|_| AppointError::WeakKey(guardian.name.clone()))?;
            sealed_shares.push(sealed);
        }
        let phrase = secret.seal_phrase(&parts.vault, parts.phrase);
        let appointed = Appointed {
            id,
            threshold,
            delay_s: parts.delay_s,
            release: secret.release_key(),
            phrase: phrase.hash(),
            names: names::seal(parts.content, id, &parts.guardians),
            shares: sealed_shares,
        };
        let of = (parts.vault, parts.number, parts.time);
        Ok((Self::sign(of, Some(appointed), parts.phrase), phrase))
    }

    /// A set of nobody: the shares of the one before are of no use any more.
    pub fn dissolve(of: (VaultId, u64, Timestamp), phrase: &Phrase) -> Self {
        Self::sign(of, None, phrase)
    }

    fn sign(
        (vault, number, time): (VaultId, u64, Timestamp),
        appointed: Option<Appointed>,
        phrase: &Phrase,
    ) -> Self {
        let body = SetBody { version: VERSION, vault, number, time, appointed };
        let encoded = cbor::encode(&body);
        let signature = phrase.recovery().sign(sign::GUARDIANS, &encoded);
        let bytes = Signed::record(encoded, signature);
        Self { bytes, body }
    }

    /// Reads a set of the vault whose phrase has these public keys.
    ///
    /// # Errors
    /// [`SetError`].
    pub fn decode(
        bytes: &[u8],
        vault: &VaultId,
        phrase: &RecoveryPublic,
    ) -> Result<Self, SetError> {
        let signed = Signed::decode(bytes, GUARDIANS_RECORD_BYTES_MAX)?;
        if let Some(version) = signed.newer(VERSION) {
            return Err(SetError::Newer { version });
        }
        let body: SetBody = cbor::decode(&signed.body, GUARDIANS_RECORD_BYTES_MAX)?;
        if body.version != VERSION || !body.appointed.as_ref().is_none_or(Appointed::is_sound) {
            return Err(SetError::Shape);
        }
        if body.vault != *vault {
            return Err(SetError::Vault);
        }
        let key = phrase.signing_id();
        if !verify(sign::GUARDIANS, &key, &signed.body, &signed.signature) {
            return Err(SetError::Signature);
        }
        Ok(Self { bytes: bytes.to_vec(), body })
    }

    /// The bytes, as received.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// What it says.
    pub const fn body(&self) -> &SetBody {
        &self.body
    }

    /// The guardians, unless there are to be none.
    pub const fn appointed(&self) -> Option<&Appointed> {
        self.body.appointed.as_ref()
    }

    /// Whether it replaces `other`: by its number, and if two have one number by its bytes, so that all
    /// come to keep the same.
    pub fn replaces(&self, other: &Self) -> bool {
        (self.body.number, &self.bytes) > (other.body.number, &other.bytes)
    }

    /// Whether this is the phrase that was sealed for it.
    pub fn is_for(&self, phrase: &SealedPhrase) -> bool {
        self.appointed().is_some_and(|appointed| appointed.phrase == phrase.hash())
    }

    /// The share that the vault with these epoch keys, ascending, is guardian of; `None` if it is not one.
    pub fn share_for(&self, epochs: &[EpochKey]) -> Option<Share> {
        let appointed = self.appointed()?;
        let terms = self.terms(appointed);
        // Mostly it was sealed to the newest.
        let mut keys = epochs.iter().rev().map(EpochKey::receiving);
        keys.find_map(|key| appointed.shares.iter().find_map(|sealed| terms.open(sealed, &key)))
    }

    /// Whether this is a share of this very set.
    pub fn has_share(&self, share: &Share) -> bool {
        let Some(appointed) = self.appointed() else { return false };
        let commitment = self.terms(appointed).commitment(share);
        let at = appointed.shares.iter().find(|sealed| sealed.place == share.place);
        at.is_some_and(|sealed| sealed.commitment == commitment)
    }

    /// The secret that these shares give back: those that are of this set, each counted once.
    pub fn secret(&self, shares: &[Share]) -> Option<SetSecret> {
        let appointed = self.appointed()?;
        let mut own: Vec<Share> =
            shares.iter().filter(|share| self.has_share(share)).cloned().collect();
        own.sort_by_key(|share| share.place);
        own.dedup_by_key(|share| share.place);
        let secret = SetSecret::new(appointed.id, sharing::join(appointed.threshold, &own)?);
        (secret.release_key() == appointed.release).then_some(secret)
    }

    /// Who the guardians are, for the devices of the vault.
    pub fn names(&self, content: &ContentKey) -> Option<Vec<Named>> {
        let appointed = self.appointed()?;
        names::open(content, appointed.id, &appointed.names)
    }

    const fn terms(&self, appointed: &Appointed) -> Terms {
        Terms { vault: self.body.vault, set: appointed.id, threshold: appointed.threshold }
    }
}

impl Appointed {
    fn is_sound(&self) -> bool {
        let count = self.shares.len();
        let places = self.shares.iter().map(|share| usize::from(share.place));
        (1..=GUARDIANS_MAX).contains(&count)
            && places.eq(1..=count)
            && (1..=count).contains(&usize::from(self.threshold))
            && self.delay_s <= GUARDIAN_DELAY_S_MAX
            && self.names.len() == SEALED_NAMES_BYTES
            && sign::is_usable(&self.release)
    }
}

/// What a share is bound to.
#[derive(Debug, Clone, Copy)]
struct Terms {
    vault: VaultId,
    set: SetId,
    threshold: u8,
}

impl Terms {
    fn bound(&self, place: u8) -> Vec<u8> {
        [self.vault.as_bytes(), &self.set.0[..], &[self.threshold, place]].concat()
    }

    fn commitment(&self, share: &Share) -> [u8; 32] {
        let material = Zeroizing::new([&self.bound(share.place)[..], &share.bytes].concat());
        blake3::derive_key("larder 2026 guardian share commitment v1", &material)
    }

    fn seal(
        &self,
        share: &Share,
        to: &[u8; 32],
        rng: &mut impl CryptoRng,
    ) -> Result<SealedShare, sealed::SealError> {
        let associated = self.bound(share.place);
        let purpose = Purpose { info: SHARE, associated: &associated };
        let sealed = sealed::seal(&share.bytes, to, purpose, rng)?;
        Ok(SealedShare { place: share.place, commitment: self.commitment(share), sealed })
    }

    fn open(&self, sealed: &SealedShare, receiving: &ReceivingKey) -> Option<Share> {
        let associated = self.bound(sealed.place);
        let purpose = Purpose { info: SHARE, associated: &associated };
        let bytes = sealed::open(&sealed.sealed, receiving.expose(), purpose).ok()?;
        let share = Share { place: sealed.place, bytes: *bytes };
        (self.commitment(&share) == sealed.commitment).then_some(share)
    }
}

/// Each order as likely as any other (Fisher and Yates), but for the last bit of a 64-bit number.
fn shuffle<T>(all: &mut [T], rng: &mut impl Rng) {
    for last in (1..all.len()).rev() {
        let among = u64::try_from(last).unwrap_or(u64::MAX).saturating_add(1);
        let other = usize::try_from(rng.next_u64() % among).unwrap_or(0);
        all.swap(last, other);
    }
}
