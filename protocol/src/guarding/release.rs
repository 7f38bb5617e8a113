//! Asking holders for the phrase, and stopping whoever asks. Source: specs/guarding.md.

use minicbor::{Decode, Encode};
use thiserror::Error;

use super::{
    SetId, SetSecret,
    set::{GuardianSet, VERSION},
};
use crate::{
    cbor,
    ids::{DeviceId, VaultId},
    keys::{Principal, sign, verify},
    limits::{GUARDIAN_NAME_BYTES_MAX, RELEASE_RECORD_BYTES_MAX},
    log::{Author, DeviceLog},
    signed::Signed,
    text,
    time::Timestamp,
};

/// Names one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
#[cbor(transparent)]
pub struct RequestId(#[cbor(n(0), with = "minicbor::bytes")] pub [u8; 16]);

/// What whoever has the secret of a set asks for.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct RequestBody {
    /// [`VERSION`].
    #[n(0)]
    pub version: u16,
    /// Whose phrase.
    #[n(1)]
    pub vault: VaultId,
    /// Of which set the secret is.
    #[n(2)]
    pub set: SetId,
    /// Random: names this request.
    #[n(3)]
    pub id: RequestId,
    /// When, by the clock of who asks. For people.
    #[n(4)]
    pub time: Timestamp,
    /// What the machine calls itself that asks. A hint.
    #[n(5)]
    pub from: String,
}

/// The word of a device of the vault, or of the phrase: not this one.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct StopBody {
    /// [`VERSION`].
    #[n(0)]
    pub version: u16,
    /// Whose phrase.
    #[n(1)]
    pub vault: VaultId,
    /// Of which set.
    #[n(2)]
    pub set: SetId,
    /// Which request.
    #[n(3)]
    pub request: RequestId,
    /// Who says so.
    #[n(4)]
    pub author: Author,
    /// When, by its clock. For people.
    #[n(5)]
    pub time: Timestamp,
}

/// Why a request or a stop is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ReleaseError {
    /// No such record.
    #[error("not a record of this kind: {0}")]
    Decode(#[from] cbor::DecodeError),
    /// From a newer Larder.
    #[error("made by a newer Larder, of version {version}")]
    Newer {
        /// Version met.
        version: u16,
    },
    /// It contradicts itself, or breaks a limit.
    #[error("it makes no sense")]
    Shape,
    /// Of another vault or of a set that does not count.
    #[error("it is of another set of guardians")]
    OtherSet,
    /// Not by who may say so.
    #[error("it is not signed by who may say so")]
    Signature,
}

/// A signed request with the bytes it came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReleaseRequest {
    bytes: Vec<u8>,
    body: RequestBody,
}

impl ReleaseRequest {
    /// Asks as whoever has the secret.
    pub fn sign(
        secret: &SetSecret,
        (vault, id): (VaultId, RequestId),
        time: Timestamp,
        from: &str,
    ) -> Self {
        let plain = text::is_plain_within(from, GUARDIAN_NAME_BYTES_MAX);
        let from = if plain { from.to_owned() } else { "unknown".to_owned() };
        let body = RequestBody { version: VERSION, vault, set: secret.set(), id, time, from };
        let encoded = cbor::encode(&body);
        let signature = sign::sign(&secret.signing_key(), sign::RELEASE_REQUEST, &encoded);
        let bytes = Signed::record(encoded, signature);
        Self { bytes, body }
    }

    /// Reads a request that is of this set.
    ///
    /// # Errors
    /// [`ReleaseError`].
    pub fn decode(bytes: &[u8], set: &GuardianSet) -> Result<Self, ReleaseError> {
        let signed = read(bytes)?;
        let body: RequestBody = cbor::decode(&signed.body, RELEASE_RECORD_BYTES_MAX)?;
        if body.version != VERSION || !text::is_plain_within(&body.from, GUARDIAN_NAME_BYTES_MAX) {
            return Err(ReleaseError::Shape);
        }
        let appointed = set.appointed().filter(|appointed| appointed.id == body.set);
        let appointed = appointed.filter(|_| set.body().vault == body.vault);
        let key = appointed.ok_or(ReleaseError::OtherSet)?.release;
        if !verify(sign::RELEASE_REQUEST, &key, &signed.body, &signed.signature) {
            return Err(ReleaseError::Signature);
        }
        Ok(Self { bytes: bytes.to_vec(), body })
    }

    /// The bytes, as received.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// What it says.
    pub const fn body(&self) -> &RequestBody {
        &self.body
    }
}

/// A signed stop with the bytes it came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReleaseStop {
    bytes: Vec<u8>,
    body: StopBody,
}

impl ReleaseStop {
    /// Stops a request, as a device of the vault or by the phrase.
    pub fn sign(by: Principal<'_>, request: &RequestBody, time: Timestamp) -> Self {
        let author = match by {
            Principal::Device(keys) => Author::Device(keys.id()),
            Principal::Recovery(_) => Author::Recovery,
        };
        let RequestBody { vault, set, id, .. } = *request;
        let body = StopBody { version: VERSION, vault, set, request: id, author, time };
        let encoded = cbor::encode(&body);
        let signature = by.sign(sign::RELEASE_STOP, &encoded);
        let bytes = Signed::record(encoded, signature);
        Self { bytes, body }
    }

    /// Reads a stop of this very request. Whether its author may say so is another question, asked anew
    /// whenever it matters: see [`counts`](Self::counts).
    ///
    /// # Errors
    /// [`ReleaseError`].
    pub fn decode(
        bytes: &[u8],
        request: &ReleaseRequest,
        log: &DeviceLog,
    ) -> Result<Self, ReleaseError> {
        let signed = read(bytes)?;
        let body: StopBody = cbor::decode(&signed.body, RELEASE_RECORD_BYTES_MAX)?;
        let RequestBody { vault, set, id, .. } = request.body;
        if body.version != VERSION {
            return Err(ReleaseError::Shape);
        }
        if (body.vault, body.set, body.request) != (vault, set, id) {
            return Err(ReleaseError::OtherSet);
        }
        let key = match body.author {
            Author::Device(device) => device,
            Author::Recovery => log.recovery().signing_id(),
        };
        if !verify(sign::RELEASE_STOP, &key, &signed.body, &signed.signature) {
            return Err(ReleaseError::Signature);
        }
        Ok(Self { bytes: bytes.to_vec(), body })
    }

    /// Whether its author belongs to the vault: the word of a device that was removed is void.
    pub fn counts(&self, log: &DeviceLog) -> bool {
        match self.body.author {
            Author::Device(device) => log.is_device(&device),
            Author::Recovery => true,
        }
    }

    /// The bytes, as received.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// What it says.
    pub const fn body(&self) -> &StopBody {
        &self.body
    }

    /// The device that says so; `None` of the phrase.
    pub const fn device(&self) -> Option<DeviceId> {
        match self.body.author {
            Author::Device(device) => Some(device),
            Author::Recovery => None,
        }
    }
}

fn read(bytes: &[u8]) -> Result<Signed, ReleaseError> {
    let signed = Signed::decode(bytes, RELEASE_RECORD_BYTES_MAX)?;
    signed.newer(VERSION).map_or(Ok(signed), |version| Err(ReleaseError::Newer { version }))
}
