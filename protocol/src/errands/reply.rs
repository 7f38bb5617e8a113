//! What the addressee of an errand says: that it has met it, and which head it keeps.

use minicbor::{Decode, Encode};

use super::{ErrandError, VERSION};
use crate::{
    cbor,
    ids::{DeviceId, VaultId},
    keys::{DeviceKeys, sign, verify},
    limits::REPLY_BYTES_MAX,
    signed::Signed,
};

/// What is signed.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct ReplyBody {
    /// [`VERSION`].
    #[n(0)]
    pub version: u16,
    /// Whose packs.
    #[n(1)]
    pub vault: VaultId,
    /// The addressee, that signs.
    #[n(2)]
    pub holder: DeviceId,
    /// Whose errand it was.
    #[n(3)]
    pub device: DeviceId,
    /// Number of the errand.
    #[n(4)]
    pub number: u64,
    /// Number of the newest head of that device that the addressee keeps; 0 for none.
    #[n(5)]
    pub head_seq: u64,
}

/// A signed reply with the bytes it came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    bytes: Vec<u8>,
    body: ReplyBody,
}

impl Reply {
    /// Signs one, as the holder that `body` names.
    ///
    /// # Errors
    /// [`ErrandError::Shape`] when it names another.
    pub fn sign(body: ReplyBody, holder: &DeviceKeys) -> Result<Self, ErrandError> {
        let encoded = cbor::encode(&body);
        let signature = holder.sign(sign::ERRAND_REPLY, &encoded);
        let bytes = Signed::record(encoded, signature);
        let is_sound = body.holder == holder.id() && body.version == VERSION && body.number > 0;
        if is_sound { Ok(Self { bytes, body }) } else { Err(ErrandError::Shape) }
    }

    /// Reads one, signed by whom it names. Whether it is about an errand that was made is for the caller to compare.
    ///
    /// # Errors
    /// [`ErrandError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, ErrandError> {
        let signed = Signed::decode(bytes, REPLY_BYTES_MAX)?;
        if let Some(version) = signed.newer(VERSION) {
            return Err(ErrandError::Newer { version });
        }
        let body: ReplyBody = cbor::decode(&signed.body, REPLY_BYTES_MAX)?;
        if body.version != VERSION || body.number == 0 {
            return Err(ErrandError::Shape);
        }
        if !verify(sign::ERRAND_REPLY, &body.holder, &signed.body, &signed.signature) {
            return Err(ErrandError::Signature);
        }
        Ok(Self { bytes: bytes.to_vec(), body })
    }

    /// The bytes, as received.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// What it says.
    pub const fn body(&self) -> &ReplyBody {
        &self.body
    }
}
