//! The side that has lost everything: gathers shares, asks holders, waits.
//!
//! All of it is one record that is kept on the fresh home, so that days may lie between two steps.
//! Source: specs/guarding.md.

use std::fmt;

use minicbor::{Decode, Encode, bytes::ByteVec};

use super::{
    SetSecret,
    handing::{HandRefusal, Handed},
    keeping::ReleaseState,
    release::{ReleaseRequest, RequestId},
    set::GuardianSet,
    sharing::Share,
};
use crate::{
    cbor,
    ids::{DeviceId, VaultId},
    keys::phrase::Phrase,
    limits::{GATHERING_BYTES_MAX, GUARDIANS_MAX},
    log::DeviceLog,
    peer::PeerRecord,
    ticket::Invite,
    time::Timestamp,
};

/// What was gathered so far.
#[derive(Clone, Default)]
pub struct Gathering {
    vault: Option<Of>,
    handed: Vec<Handed>,
    request: Option<ReleaseRequest>,
}

/// The vault, and the newest set of it that a guardian has brought.
#[derive(Clone)]
struct Of {
    log: DeviceLog,
    set: GuardianSet,
}

/// How many shares are there, and how many are enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Shares of the newest set.
    pub have: u8,
    /// Its threshold.
    pub needed: u8,
}

/// What one holder answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HolderAnswer {
    /// How it stands there.
    State(ReleaseState),
    /// It does not know the set: it keeps another one, or none.
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
    /// Those who answered do not know this set of guardians: it was replaced.
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
}

impl Gathering {
    /// Reads what was kept; `None` if it cannot be read.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let stored: Stored = cbor::decode(bytes, GATHERING_BYTES_MAX).ok()?;
        let mut gathering = Self::default();
        for handed in stored.handed {
            gathering.keep(handed).ok()?;
        }
        if let (Some(of), Some(request)) = (&gathering.vault, stored.request) {
            gathering.request = ReleaseRequest::decode(&request, &of.set).ok();
        }
        Some(gathering)
    }

    /// The bytes to keep: they hold the shares.
    pub fn encode(&self) -> zeroize::Zeroizing<Vec<u8>> {
        zeroize::Zeroizing::new(cbor::encode(&Stored {
            version: super::set::VERSION,
            handed: self.handed.clone(),
            request: self.request.as_ref().map(|request| request.bytes().to_vec().into()),
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
        self.keep(handed)
    }

    fn keep(&mut self, handed: Handed) -> Result<Progress, HandRefusal> {
        let log = DeviceLog::begin(&handed.genesis).map_err(|_| HandRefusal::Invalid)?;
        let set = GuardianSet::decode(&handed.set, &log.vault(), log.recovery());
        let set = set.map_err(|_| HandRefusal::Invalid)?;
        if !set.has_share(&handed.share) {
            return Err(HandRefusal::Invalid);
        }
        match &self.vault {
            None => self.vault = Some(Of { log, set }),
            Some(known) if known.log.vault() != log.vault() => return Err(HandRefusal::OtherVault),
            Some(known) if known.set == set => {}
            Some(known) if set.replaces(&known.set) => {
                self.vault = Some(Of { log, set });
                self.request = None;
            }
            Some(_) => return Err(HandRefusal::Replaced),
        }
        // A guardian that comes again brings newer addresses.
        let same =
            |known: &Handed| known.set == handed.set && known.share.place == handed.share.place;
        self.handed.retain(|known| !same(known));
        self.handed.push(handed);
        if self.handed.len() > GUARDIANS_MAX {
            self.handed.remove(0);
        }
        Ok(self.progress().expect("a set is known now"))
    }

    /// How far it is; `None` while nobody has brought anything.
    pub fn progress(&self) -> Option<Progress> {
        let appointed = self.vault.as_ref()?.set.appointed()?;
        let have = u8::try_from(self.shares().len()).unwrap_or(u8::MAX);
        Some(Progress { have, needed: appointed.threshold })
    }

    fn shares(&self) -> Vec<Share> {
        let set = self.vault.as_ref().map(|of| of.set.bytes());
        let of_set = self.handed.iter().filter(|handed| set == Some(&handed.set[..]));
        of_set.map(|handed| handed.share.clone()).collect()
    }

    /// The vault, once a guardian has brought something.
    pub fn vault(&self) -> Option<VaultId> {
        self.vault.as_ref().map(|of| of.log.vault())
    }

    /// The set, once a guardian has brought something.
    pub fn set(&self) -> Option<&GuardianSet> {
        self.vault.as_ref().map(|of| &of.set)
    }

    /// Who has brought a share of the newest set.
    pub fn helpers(&self) -> Vec<&str> {
        let set = self.vault.as_ref().map(|of| of.set.bytes());
        let of_set = self.handed.iter().filter(|handed| set == Some(&handed.set[..]));
        of_set.map(|handed| handed.name.as_str()).collect()
    }

    /// The secret, once there are shares enough.
    pub fn secret(&self) -> Option<SetSecret> {
        self.vault.as_ref()?.set.secret(&self.shares())
    }

    /// Who may hold, as the guardians say; each node once.
    pub fn holders(&self) -> Vec<PeerRecord> {
        let mut holders: Vec<PeerRecord> = Vec::new();
        for record in self.handed.iter().rev().flat_map(|handed| &handed.holders) {
            match holders.iter_mut().find(|known| known.device == record.device) {
                Some(known) => {
                    let new = record.addresses.iter().filter(|one| !known.addresses.contains(one));
                    let new: Vec<String> = new.cloned().collect();
                    known.addresses.extend(new);
                    known.addresses.truncate(crate::limits::ADDRESSES_MAX);
                }
                None => holders.push(record.clone()),
            }
        }
        holders
    }

    /// The request of this home: made once there are shares enough, the same ever after.
    pub fn request(
        &mut self,
        id: RequestId,
        time: Timestamp,
        from: &str,
    ) -> Option<&ReleaseRequest> {
        let secret = self.secret()?;
        let vault = self.vault()?;
        let make = || ReleaseRequest::sign(&secret, (vault, id), time, from);
        Some(self.request.get_or_insert_with(make))
    }

    /// The request, once it was made.
    pub const fn asked(&self) -> Option<&ReleaseRequest> {
        self.request.as_ref()
    }

    /// What the answers of all holders come to.
    pub fn verdict(&self, answers: &[HolderAnswer]) -> Verdict {
        let (mut waiting, mut holders) = (None, 0);
        let (mut is_stopped, mut is_unknown) = (false, false);
        for answer in answers {
            match answer {
                HolderAnswer::State(ReleaseState::Open { phrase }) => {
                    let opened = self.secret().zip(self.vault());
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
                HolderAnswer::State(ReleaseState::Stopped) => is_stopped = true,
                HolderAnswer::Unknown => is_unknown = true,
                HolderAnswer::State(ReleaseState::Absent) | HolderAnswer::Silent => {}
            }
        }
        match waiting {
            Some(left_s) => Verdict::Waiting { left_s, holders },
            None if is_stopped => Verdict::Stopped,
            None if is_unknown => Verdict::Unknown,
            None => Verdict::Nobody,
        }
    }

    fn is_phrase(&self, phrase: &Phrase) -> bool {
        self.vault.as_ref().is_some_and(|of| *of.log.recovery() == phrase.recovery().public())
    }
}

impl fmt::Debug for Gathering {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Gathering({} brought, secret)", self.handed.len())
    }
}
