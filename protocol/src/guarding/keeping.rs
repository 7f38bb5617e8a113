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
    limits::{GUARD_BYTES_MAX, RELEASE_REQUESTS_MAX},
    log::DeviceLog,
    time::Timestamp,
};

/// What one node keeps of one vault's guardians.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Guard {
    set: Option<GuardianSet>,
    sealed: Option<SealedPhrase>,
    requests: Vec<KeptRequest>,
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
    /// [`SetError`] when it cannot be read. A request that does not verify is left out: it asks anew.
    pub fn decode(bytes: &[u8], log: &DeviceLog) -> Result<Self, SetError> {
        let stored: Stored = cbor::decode(bytes, GUARD_BYTES_MAX)?;
        if stored.version > super::set::VERSION {
            return Err(SetError::Newer { version: stored.version });
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
        Ok(Self { set: Some(set), sealed, requests })
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
        })
    }

    /// The set that counts here.
    pub const fn set(&self) -> Option<&GuardianSet> {
        self.set.as_ref()
    }

    /// The phrase, sealed, as the devices of the vault hand it on.
    pub const fn sealed(&self) -> Option<SealedPhrase> {
        self.sealed
    }

    /// Its number, 0 while there is none.
    pub fn number(&self) -> u64 {
        self.set.as_ref().map_or(0, |set| set.body().number)
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
            *self = Self { set: Some(set), sealed, requests: Vec::new() };
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
    pub fn ask(&mut self, request: ReleaseRequest, now: Timestamp) -> Result<bool, AskError> {
        if self.find(request.body().id).is_some() {
            return Ok(false);
        }
        if self.requests.len() >= RELEASE_REQUESTS_MAX {
            // What was stopped first makes room: asked again it waits from the beginning.
            let stopped = self.requests.iter().position(|kept| kept.stop.is_some());
            self.requests.remove(stopped.ok_or(AskError::Full)?);
        }
        self.requests.push(KeptRequest { request, asked: now, stop: None });
        Ok(true)
    }

    /// How it stands with a request that was taken.
    pub fn state(&self, id: RequestId, log: &DeviceLog, now: Timestamp) -> ReleaseState {
        let (Some(kept), Some(phrase)) = (self.find(id), self.sealed) else {
            return ReleaseState::Absent;
        };
        if kept.is_stopped(log) {
            return ReleaseState::Stopped;
        }
        match self.due(kept).0.saturating_sub(now.0) {
            0 => ReleaseState::Open { phrase },
            left_s => ReleaseState::Waiting { left_s },
        }
    }

    /// Takes what another node tells of requests and of words against them; returns whether anything is
    /// new. A request that was not known here waits from now on.
    pub fn learn(&mut self, told: &[ToldRequest], log: &DeviceLog, now: Timestamp) -> bool {
        let mut is_new = false;
        for told in told {
            let Some(set) = &self.set else { return is_new };
            let Ok(request) = ReleaseRequest::decode(&told.request, set) else { continue };
            let stop = told.stop.as_ref();
            let stop = stop.and_then(|stop| ReleaseStop::decode(stop, &request, log).ok());
            let id = request.body().id;
            is_new |= self.ask(request, now).unwrap_or(false);
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
        let appointed = self.set.as_ref().and_then(GuardianSet::appointed);
        let delay = appointed.map_or(u64::MAX, |appointed| appointed.delay_s);
        Timestamp(kept.asked.0.saturating_add(delay))
    }
}

impl KeptRequest {
    fn is_stopped(&self, log: &DeviceLog) -> bool {
        self.stop.as_ref().is_some_and(|stop| stop.counts(log))
    }
}
