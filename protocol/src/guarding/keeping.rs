//! What a holder keeps of a vault's guardians, and when it gives the sealed phrase out.
//!
//! **Invariant:** the sealed phrase goes to who has the secret of the set that counts here, after the
//! delay since this holder was asked, by its own clock, and while nobody who may has stopped it.
//! Whoever changes a [`Guard`] makes it durable before anybody is answered. Source: specs/guarding.md.

use minicbor::{Decode, Encode, bytes::ByteVec};
use thiserror::Error;

use super::{
    SealedPhrase,
    release::{ReleaseRequest, ReleaseStop, RequestId},
    set::{GuardianSet, SetError},
};
use crate::{
    cbor,
    ids::DeviceId,
    limits::{GUARD_BYTES_MAX, GUARDIAN_HANDING_DAYS, RELEASE_REQUESTS_MAX},
    log::DeviceLog,
    time::Timestamp,
};

/// What one node keeps of one vault's guardians.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Guard {
    set: Option<GuardianSet>,
    sealed: Option<SealedPhrase>,
    requests: Vec<KeptRequest>,
    is_handed_on: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct KeptRequest {
    request: ReleaseRequest,
    asked: Timestamp,
    stop: Option<ReleaseStop>,
}

/// How it stands with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub enum ReleaseState {
    /// The delay runs.
    #[n(0)]
    Waiting {
        /// What is left of it, in seconds.
        #[n(0)]
        left_s: u64,
    },
    /// A device of the vault, or the phrase, has said no.
    #[n(1)]
    Stopped,
    /// The delay is over.
    #[n(2)]
    Open {
        /// The phrase, under the secret of the set.
        #[n(0)]
        phrase: SealedPhrase,
    },
    /// This node knows the set, and was never given the sealed phrase.
    #[n(3)]
    Absent,
}

/// A request as one node tells another of it.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct ToldRequest {
    /// As it was signed.
    #[n(0)]
    pub request: ByteVec,
    /// The word against it, as it was signed.
    #[n(1)]
    pub stop: Option<ByteVec>,
    /// What is left of the delay at who tells, in seconds.
    #[n(2)]
    pub left_s: u64,
}

/// A request as people are told of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pending {
    /// Which.
    pub id: RequestId,
    /// What the machine calls itself that asks. Whoever asks says so.
    pub from: String,
    /// When this node came to know of it.
    pub asked: Timestamp,
    /// When this node gives the phrase out.
    pub due: Timestamp,
    /// Whether it was stopped, by whom: a device, or nobody for the phrase.
    pub stopped: Option<Option<DeviceId>>,
}

/// Why a request is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum AskError {
    /// As many are open as there may be.
    #[error("too many requests are open for this vault")]
    Full,
}

#[derive(Encode, Decode)]
#[cbor(map)]
struct Stored {
    #[n(0)]
    version: u16,
    #[n(1)]
    set: Option<ByteVec>,
    #[n(2)]
    sealed: Option<SealedPhrase>,
    #[n(3)]
    requests: Vec<StoredRequest>,
    #[n(4)]
    is_handed_on: bool,
}

#[derive(Encode, Decode)]
#[cbor(map)]
struct StoredRequest {
    #[n(0)]
    request: ByteVec,
    #[n(1)]
    asked: Timestamp,
    #[n(2)]
    stop: Option<ByteVec>,
}

impl Guard {
    /// Reads what was kept; all of it is verified again.
    ///
    /// # Errors
    /// [`SetError`] when it cannot be read; [`SetError::Newer`] when it, or the set in it, is of a newer
    /// program, and must be left as it is. A request that does not verify is left out: it asks anew.
    pub fn decode(bytes: &[u8], log: &DeviceLog) -> Result<Self, SetError> {
        // Before anything else of it is understood: what a newer program keeps is not damaged.
        let version = cbor::peek_version(bytes);
        if let Some(version) = version.filter(|version| *version > super::set::VERSION) {
            return Err(SetError::Newer { version });
        }
        let stored: Stored = cbor::decode(bytes, GUARD_BYTES_MAX)?;
        if stored.version != super::set::VERSION {
            return Err(SetError::Shape);
        }
        let Some(set) = stored.set else { return Ok(Self::default()) };
        let set = GuardianSet::decode(&set, &log.vault(), log.recovery())?;
        let sealed = stored.sealed.filter(|sealed| set.is_for(sealed));
        let kept = |stored: StoredRequest| {
            let request = ReleaseRequest::decode(&stored.request, &set).ok()?;
            let stop = stored.stop.map(|stop| ReleaseStop::decode(&stop, &request, log));
            let stop = stop.transpose().ok()?;
            Some(KeptRequest { request, asked: stored.asked, stop })
        };
        let requests = stored.requests.into_iter().filter_map(kept).collect();
        let is_handed_on = stored.is_handed_on;
        Ok(Self { set: Some(set), sealed, requests, is_handed_on })
    }

    /// The bytes to keep.
    pub fn encode(&self) -> Vec<u8> {
        let stored = |kept: &KeptRequest| StoredRequest {
            request: kept.request.bytes().to_vec().into(),
            asked: kept.asked,
            stop: kept.stop.as_ref().map(|stop| stop.bytes().to_vec().into()),
        };
        cbor::encode(&Stored {
            version: super::set::VERSION,
            set: self.set.as_ref().map(|set| set.bytes().to_vec().into()),
            sealed: self.sealed,
            requests: self.requests.iter().map(stored).collect(),
            is_handed_on: self.is_handed_on,
        })
    }

    /// The set that counts here.
    pub const fn set(&self) -> Option<&GuardianSet> {
        self.set.as_ref()
    }

    /// The phrase, sealed, as the device that has appointed the guardians hands it on.
    pub const fn sealed(&self) -> Option<SealedPhrase> {
        self.sealed
    }

    /// Its number, 0 while there is none.
    pub fn number(&self) -> u64 {
        self.set.as_ref().map_or(0, |set| set.body().number)
    }

    /// The number of the set that a holder has with all that belongs to it; 0 while something is missing.
    pub fn complete_number(&self) -> u64 {
        let is_bare = self.release_key().is_some() && self.sealed.is_none();
        if is_bare { 0 } else { self.number() }
    }

    /// A holder has taken the sealed phrase; returns whether that is the first one.
    pub const fn handed_on(&mut self) -> bool {
        !std::mem::replace(&mut self.is_handed_on, true)
    }

    /// Lets go of the sealed phrase on a device of the vault: who steals the device, and talks guardians
    /// into helping, is to wait for the delay like everybody else. Only once a holder has it, and when all
    /// have it, or [`GUARDIAN_HANDING_DAYS`] are over. Returns whether it went.
    pub fn let_go(&mut self, all_have_it: bool, now: Timestamp) -> bool {
        let Some(set) = self.set.as_ref().filter(|_| self.sealed.is_some()) else { return false };
        let is_over = now >= set.body().time.after_days(GUARDIAN_HANDING_DAYS);
        let goes = self.is_handed_on && (all_have_it || is_over);
        if goes {
            self.sealed = None;
        }
        goes
    }

    /// The key under which somebody with the secret comes; `None` while there are no guardians.
    pub fn release_key(&self) -> Option<DeviceId> {
        Some(self.set.as_ref()?.appointed()?.release)
    }

    /// Takes a set, and the phrase sealed for it. Returns whether anything changed: what is replaced goes
    /// with its phrase and all its requests.
    pub fn offer(&mut self, set: GuardianSet, sealed: Option<SealedPhrase>) -> bool {
        let sealed = sealed.filter(|sealed| set.is_for(sealed));
        if self.set.as_ref().is_none_or(|known| set.replaces(known)) {
            *self = Self { set: Some(set), sealed, ..Self::default() };
            return true;
        }
        let adds = self.set.as_ref() == Some(&set) && self.sealed.is_none() && sealed.is_some();
        if adds {
            self.sealed = sealed;
        }
        adds
    }

    /// Takes a request of the set that counts; returns whether it is a new one, whose delay begins now.
    ///
    /// # Errors
    /// [`AskError`].
    pub fn ask(
        &mut self,
        request: ReleaseRequest,
        log: &DeviceLog,
        now: Timestamp,
    ) -> Result<bool, AskError> {
        let is_news = self.settle(log, now);
        if self.find(request.body().id).is_some() {
            return Ok(is_news);
        }
        if self.requests.len() >= RELEASE_REQUESTS_MAX {
            // What was stopped first makes room: asked again it waits from the beginning.
            let stopped = self.requests.iter().position(|kept| kept.is_stopped(log));
            self.requests.remove(stopped.ok_or(AskError::Full)?);
        }
        let asked = self.no_earlier(now);
        self.requests.push(KeptRequest { request, asked, stop: None });
        Ok(true)
    }

    /// A clock that stands before the set was made is wrong, and may be put right at any moment: it must
    /// not make the delay a short one.
    fn no_earlier(&self, now: Timestamp) -> Timestamp {
        self.set.as_ref().map_or(now, |set| now.max(set.body().time))
    }

    /// After the log of the vault has grown: the word of who is gone is void, and the delay of what he had
    /// stopped begins anew. Returns whether there was any.
    pub fn settle(&mut self, log: &DeviceLog, now: Timestamp) -> bool {
        let asked = self.no_earlier(now);
        let is_void = |kept: &&mut KeptRequest| kept.stop.is_some() && !kept.is_stopped(log);
        let void = self.requests.iter_mut().filter(is_void);
        void.map(|kept| (kept.stop, kept.asked) = (None, asked)).count() > 0
    }

    /// Says again, by the words that `stop` makes, what `device` has said: it is about to leave, and was
    /// right. Returns whether there was anything.
    pub fn say_again_for(
        &mut self,
        device: DeviceId,
        stop: impl Fn(&ReleaseRequest) -> ReleaseStop,
    ) -> bool {
        let by = |kept: &KeptRequest| kept.stop.as_ref().and_then(ReleaseStop::device);
        let its = self.requests.iter_mut().filter(|kept| by(kept) == Some(device));
        its.map(|kept| kept.stop = Some(stop(&kept.request))).count() > 0
    }

    /// How it stands with a request that was taken.
    pub fn state(&self, id: RequestId, log: &DeviceLog, now: Timestamp) -> ReleaseState {
        let (Some(kept), Some(phrase)) = (self.find(id), self.sealed) else {
            return ReleaseState::Absent;
        };
        if kept.is_stopped(log) {
            return ReleaseState::Stopped;
        }
        if kept.stop.is_some() {
            // Void, and not settled yet: nobody has been warned anew.
            return ReleaseState::Waiting { left_s: self.delay_s() };
        }
        match self.due(kept).0.saturating_sub(now.0) {
            0 => ReleaseState::Open { phrase },
            left_s => ReleaseState::Waiting { left_s },
        }
    }

    /// Takes what another node tells of requests and of words against them; returns whether anything is
    /// new. A request that was not known here waits from now on.
    pub fn learn(&mut self, told: &[ToldRequest], log: &DeviceLog, now: Timestamp) -> bool {
        let mut is_new = self.settle(log, now);
        for told in told {
            let Some(set) = &self.set else { return is_new };
            let Ok(request) = ReleaseRequest::decode(&told.request, set) else { continue };
            let stop = told.stop.as_ref();
            let stop = stop.and_then(|stop| ReleaseStop::decode(stop, &request, log).ok());
            let id = request.body().id;
            is_new |= self.ask(request, log, now).unwrap_or(false);
            let Some(stop) = stop.filter(|stop| stop.counts(log)) else { continue };
            let open = self.requests.iter_mut().find(|kept| kept.request.body().id == id);
            if let Some(kept) = open.filter(|kept| !kept.is_stopped(log)) {
                kept.stop = Some(stop);
                is_new = true;
            }
        }
        is_new
    }

    /// Stops every request that is open, by the words that `stop` makes; returns how many.
    pub fn stop_all(
        &mut self,
        log: &DeviceLog,
        stop: impl Fn(&ReleaseRequest) -> ReleaseStop,
    ) -> usize {
        let open = self.requests.iter_mut().filter(|kept| !kept.is_stopped(log));
        open.map(|kept| kept.stop = Some(stop(&kept.request))).count()
    }

    /// All requests, as other nodes are told of them.
    pub fn told(&self, now: Timestamp) -> Vec<ToldRequest> {
        let told = |kept: &KeptRequest| ToldRequest {
            request: kept.request.bytes().to_vec().into(),
            stop: kept.stop.as_ref().map(|stop| stop.bytes().to_vec().into()),
            left_s: self.due(kept).0.saturating_sub(now.0),
        };
        self.requests.iter().map(told).collect()
    }

    /// All requests, as people are told of them.
    pub fn pending(&self, log: &DeviceLog) -> Vec<Pending> {
        let pending = |kept: &KeptRequest| Pending {
            id: kept.request.body().id,
            from: kept.request.body().from.clone(),
            asked: kept.asked,
            due: self.due(kept),
            stopped: kept.stop.as_ref().filter(|stop| stop.counts(log)).map(ReleaseStop::device),
        };
        self.requests.iter().map(pending).collect()
    }

    fn find(&self, id: RequestId) -> Option<&KeptRequest> {
        self.requests.iter().find(|kept| kept.request.body().id == id)
    }

    fn due(&self, kept: &KeptRequest) -> Timestamp {
        Timestamp(kept.asked.0.saturating_add(self.delay_s()))
    }

    fn delay_s(&self) -> u64 {
        let appointed = self.set.as_ref().and_then(GuardianSet::appointed);
        appointed.map_or(u64::MAX, |appointed| appointed.delay_s)
    }
}

impl KeptRequest {
    fn is_stopped(&self, log: &DeviceLog) -> bool {
        self.stop.as_ref().is_some_and(|stop| stop.counts(log))
    }
}
