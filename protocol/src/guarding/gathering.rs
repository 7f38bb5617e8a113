//! The side that has lost everything: gathers shares, asks holders, waits.
//!
//! Whoever was given the code may bring something, also of a vault of his own: shares are gathered for each
//! set by itself, and a person says which vault is meant before anybody is asked. All of it is one record
//! that is kept on the fresh home, so that days may lie between two steps. Source: specs/guarding.md.

use std::{cmp::Reverse, fmt};

use minicbor::{Decode, Encode, bytes::ByteVec};
use thiserror::Error;
use zeroize::Zeroizing;

use super::{
    SetSecret,
    handing::{HandRefusal, Handed},
    keeping::ReleaseState,
    release::{ReleaseRequest, RequestId},
    set::{GuardianSet, VERSION},
    sharing::Share,
};
use crate::{
    cbor,
    ids::{DeviceId, VaultId},
    keys::phrase::Phrase,
    limits::{ADDRESSES_MAX, GATHERED_SETS_MAX, GATHERING_BYTES_MAX},
    log::DeviceLog,
    peer::PeerRecord,
    ticket::Invite,
    time::Timestamp,
};

/// What was gathered so far.
#[derive(Clone, Default)]
pub struct Gathering {
    sets: Vec<Gathered>,
    chosen: Option<VaultId>,
    request: Option<ReleaseRequest>,
}

/// A set, and what was brought of it.
#[derive(Clone)]
struct Gathered {
    log: DeviceLog,
    set: GuardianSet,
    handed: Vec<Handed>,
}

/// How many shares are there, and how many are enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Shares of the set.
    pub have: u8,
    /// Its threshold.
    pub needed: u8,
}

/// What a person has to know of a vault to say whether it is the one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// The vault.
    pub vault: VaultId,
    /// When it was made, as its first entry says.
    pub founded: Timestamp,
    /// How many shares are there.
    pub progress: Progress,
    /// How many guardians it has.
    pub guardians: usize,
    /// How long holders wait, in seconds.
    pub delay_s: u64,
    /// Names of the devices that have brought shares.
    pub helpers: Vec<String>,
}

/// Why what was kept cannot be gone on with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum GatheringError {
    /// No such record.
    #[error("what guardians had handed over is damaged")]
    Damaged,
    /// From a newer Larder.
    #[error("what guardians had handed over was kept by a newer Larder, of version {version}")]
    Newer {
        /// Version met.
        version: u16,
    },
}

/// What one holder answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HolderAnswer {
    /// How it stands there.
    State(ReleaseState),
    /// It does not know the set: it keeps another one, or none, or nothing of that vault.
    Unknown,
    /// Nothing.
    Silent,
}

/// What the answers of all holders come to.
#[derive(Debug)]
pub enum Verdict {
    /// The phrase.
    Phrase(Phrase),
    /// The delay runs.
    Waiting {
        /// Until the first of them gives it, in seconds.
        left_s: u64,
        /// How many wait.
        holders: usize,
    },
    /// Somebody who may has said no.
    Stopped,
    /// All have answered, and none knows this set of guardians.
    Unknown,
    /// Nobody answered who has the phrase.
    Nobody,
}

#[derive(Encode, Decode)]
#[cbor(map)]
struct Stored {
    #[n(0)]
    version: u16,
    #[n(1)]
    handed: Vec<Handed>,
    #[n(2)]
    request: Option<ByteVec>,
    #[n(3)]
    chosen: Option<VaultId>,
}

impl Gathering {
    /// Reads what was kept. A share that does not hold any more is left out.
    ///
    /// # Errors
    /// [`GatheringError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, GatheringError> {
        match cbor::peek_version(bytes) {
            Some(version) if version > VERSION => return Err(GatheringError::Newer { version }),
            _ => {}
        }
        let stored: Stored =
            cbor::decode(bytes, GATHERING_BYTES_MAX).map_err(|_| GatheringError::Damaged)?;
        let mut gathering = Self::default();
        for handed in stored.handed {
            // It was sound when it was taken: damage of one does not take the others away.
            let _left_out = gathering.keep(handed);
        }
        gathering.chosen = stored.chosen;
        let request = gathering.best().zip(stored.request);
        let request = request.and_then(|(of, bytes)| ReleaseRequest::decode(&bytes, &of.set).ok());
        gathering.request = request;
        Ok(gathering)
    }

    /// The bytes to keep: they hold the shares.
    pub fn encode(&self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(cbor::encode(&Stored {
            version: VERSION,
            handed: self.sets.iter().flat_map(|of| of.handed.iter().cloned()).collect(),
            request: self.request.as_ref().map(|request| request.bytes().to_vec().into()),
            chosen: self.chosen,
        }))
    }

    /// Takes what a guardian of this key brings, who was given `invite`.
    ///
    /// # Errors
    /// [`HandRefusal`]; nothing is changed then.
    pub fn take(
        &mut self,
        invite: &Invite,
        (guardian, now): (&DeviceId, Timestamp),
        handed: Handed,
    ) -> Result<Progress, HandRefusal> {
        // Of equal length, compared in constant time.
        if now >= invite.expires || invite.help_proof(guardian) != handed.proof {
            return Err(HandRefusal::WrongCode);
        }
        let before = self.clone();
        let progress = self.keep(handed)?;
        if self.encode().len() > GATHERING_BYTES_MAX {
            *self = before;
            return Err(HandRefusal::OtherVault);
        }
        Ok(progress)
    }

    fn keep(&mut self, handed: Handed) -> Result<Progress, HandRefusal> {
        let log = DeviceLog::begin(&handed.genesis).map_err(|_| HandRefusal::Invalid)?;
        let set = GuardianSet::decode(&handed.set, &log.vault(), log.recovery());
        let set = set.map_err(|_| HandRefusal::Invalid)?;
        if !set.has_share(&handed.share) {
            return Err(HandRefusal::Invalid);
        }
        if self.chosen.is_some_and(|chosen| chosen != log.vault()) {
            return Err(HandRefusal::OtherVault);
        }
        let known = self.sets.iter().position(|of| of.set == set);
        if known.is_none() {
            if self.sets.len() >= GATHERED_SETS_MAX {
                return Err(HandRefusal::OtherVault);
            }
            self.sets.push(Gathered { log, set, handed: Vec::new() });
        }
        let at = known.unwrap_or(self.sets.len() - 1);
        let of = &mut self.sets[at];
        // A guardian that comes again brings newer addresses.
        of.handed.retain(|known| known.share.place != handed.share.place);
        of.handed.push(handed);
        of.progress().ok_or(HandRefusal::Invalid)
    }

    /// Every set of which something was brought, the fullest first.
    pub fn candidates(&self) -> Vec<Candidate> {
        let mut all: Vec<Candidate> = self.sets.iter().filter_map(Gathered::candidate).collect();
        all.sort_by_key(|it| Reverse((it.progress.have >= it.progress.needed, it.progress.have)));
        all
    }

    /// The vault that a person said is meant.
    pub const fn chosen(&self) -> Option<VaultId> {
        self.chosen
    }

    /// A person says which vault is meant. What belongs to others is forgotten.
    pub fn choose(&mut self, vault: VaultId) {
        self.sets.retain(|of| of.log.vault() == vault);
        if self.chosen.replace(vault) != Some(vault) {
            self.request = None;
        }
    }

    /// Whether there are shares enough of some set: of the chosen vault, if one was chosen.
    pub fn is_enough(&self) -> bool {
        self.sets.iter().any(|of| of.secret().is_some())
    }

    /// Of the chosen vault the newest set that is complete, else the newest.
    fn best(&self) -> Option<&Gathered> {
        let of_vault = self.sets.iter().filter(|of| Some(of.log.vault()) == self.chosen);
        of_vault.max_by_key(|of| (of.secret().is_some(), of.set.body().number))
    }

    /// The set that is asked for.
    pub fn set(&self) -> Option<&GuardianSet> {
        self.best().map(|of| &of.set)
    }

    /// Who has brought a share of it.
    pub fn helpers(&self) -> Vec<String> {
        self.best().map(Gathered::helpers).unwrap_or_default()
    }

    /// Its secret, once there are shares enough.
    pub fn secret(&self) -> Option<SetSecret> {
        self.best()?.secret()
    }

    /// Who may hold, as the guardians say; each node once.
    pub fn holders(&self) -> Vec<PeerRecord> {
        let mut holders: Vec<PeerRecord> = Vec::new();
        let handed = self.sets.iter().flat_map(|of| of.handed.iter().rev());
        for record in handed.flat_map(|handed| &handed.holders) {
            match holders.iter_mut().find(|known| known.device == record.device) {
                Some(known) => {
                    let new = record.addresses.iter().filter(|one| !known.addresses.contains(one));
                    let new: Vec<String> = new.cloned().collect();
                    known.addresses.extend(new);
                    known.addresses.truncate(ADDRESSES_MAX);
                }
                None => holders.push(record.clone()),
            }
        }
        holders
    }

    /// The request of this home: made once there are shares enough, the same ever after, unless a newer
    /// set has become complete.
    pub fn request(
        &mut self,
        id: RequestId,
        time: Timestamp,
        from: &str,
    ) -> Option<&ReleaseRequest> {
        let (secret, vault) = (self.secret()?, self.chosen?);
        if self.request.as_ref().is_none_or(|asked| asked.body().set != secret.set()) {
            self.request = Some(ReleaseRequest::sign(&secret, (vault, id), time, from));
        }
        self.request.as_ref()
    }

    /// The request, once it was made.
    pub const fn asked(&self) -> Option<&ReleaseRequest> {
        self.request.as_ref()
    }

    /// After a stop: the next request is another one, by the same shares.
    pub fn ask_again(&mut self) {
        self.request = None;
    }

    /// What the answers of all holders come to.
    pub fn verdict(&self, answers: &[HolderAnswer]) -> Verdict {
        let (mut waiting, mut holders) = (None, 0);
        let has = |wanted: HolderAnswer| answers.contains(&wanted);
        for answer in answers {
            match answer {
                HolderAnswer::State(ReleaseState::Open { phrase }) => {
                    let opened = self.secret().zip(self.chosen);
                    let opened =
                        opened.and_then(|(secret, vault)| secret.open_phrase(&vault, phrase));
                    // A holder that gives something else has nothing.
                    if let Some(phrase) = opened.filter(|phrase| self.is_phrase(phrase)) {
                        return Verdict::Phrase(phrase);
                    }
                }
                HolderAnswer::State(ReleaseState::Waiting { left_s }) => {
                    waiting = Some(waiting.map_or(*left_s, |least: u64| least.min(*left_s)));
                    holders += 1;
                }
                _ => {}
            }
        }
        match waiting {
            Some(left_s) => Verdict::Waiting { left_s, holders },
            None if has(HolderAnswer::State(ReleaseState::Stopped)) => Verdict::Stopped,
            // While somebody is silent it is not known.
            None if has(HolderAnswer::Unknown) && !has(HolderAnswer::Silent) => Verdict::Unknown,
            None => Verdict::Nobody,
        }
    }

    fn is_phrase(&self, phrase: &Phrase) -> bool {
        self.best().is_some_and(|of| *of.log.recovery() == phrase.recovery().public())
    }
}

impl Gathered {
    fn progress(&self) -> Option<Progress> {
        let have = u8::try_from(self.handed.len()).ok()?;
        Some(Progress { have, needed: self.set.appointed()?.threshold })
    }

    fn secret(&self) -> Option<SetSecret> {
        let shares: Vec<Share> = self.handed.iter().map(|handed| handed.share.clone()).collect();
        self.set.secret(&shares)
    }

    fn helpers(&self) -> Vec<String> {
        self.handed.iter().map(|handed| handed.name.clone()).collect()
    }

    fn candidate(&self) -> Option<Candidate> {
        let appointed = self.set.appointed()?;
        Some(Candidate {
            vault: self.log.vault(),
            founded: self.log.founded(),
            progress: self.progress()?,
            guardians: appointed.shares.len(),
            delay_s: appointed.delay_s,
            helpers: self.helpers(),
        })
    }
}

impl fmt::Debug for Gathering {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Gathering({} sets, secret)", self.sets.len())
    }
}
