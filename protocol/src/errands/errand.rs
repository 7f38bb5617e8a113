//! A device's word to one holder, left at others: which packs it is to fetch, and the head that goes with them.

use minicbor::{Decode, Encode, bytes::ByteVec};

use super::{ErrandError, VERSION};
use crate::{
    cbor,
    head::SignedHead,
    ids::{DeviceId, ShardRoot, VaultId},
    keys::{DeviceKeys, sign, verify},
    limits::{CLOCK_AHEAD_S_MAX, ERRAND_BYTES_MAX, ERRAND_PACKS_MAX, TEND_SILENCE_S},
    log::DeviceLog,
    signed::Signed,
    time::Timestamp,
    wire::message::OfferedShard,
};

/// What is signed.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct ErrandBody {
    /// [`VERSION`].
    #[n(0)]
    pub version: u16,
    /// Whose packs.
    #[n(1)]
    pub vault: VaultId,
    /// The device whose word it is, and that signs.
    #[n(2)]
    pub device: DeviceId,
    /// Of one device and addressee the highest one counts: the greater of its clock in seconds and one more than
    /// its last.
    #[n(3)]
    pub number: u64,
    /// The addressee.
    #[n(4)]
    pub holder: DeviceId,
    /// Ascending by root, at most [`ERRAND_PACKS_MAX`]. None: it is asked for a reply alone.
    #[n(5)]
    pub packs: Vec<OfferedShard>,
    /// A signed head of this very device, for whoever has all of `packs`.
    #[n(6)]
    pub head: Option<ByteVec>,
    /// What the addressee said to errands with this or a lower number counts no more: the device has met it since.
    #[n(7)]
    pub void: Option<u64>,
}

impl ErrandBody {
    fn check(&self) -> Result<(), ErrandError> {
        let is_own = |head: &ByteVec| {
            let head = SignedHead::decode(head);
            head.is_ok_and(|head| {
                (head.body().vault, head.body().device) == (self.vault, self.device)
            })
        };
        let sound = self.version == VERSION
            && self.number > 0
            && self.void.is_none_or(|void| void < self.number)
            && self.holder != self.device
            && self.packs.len() <= ERRAND_PACKS_MAX
            && self.packs.is_sorted_by(|one, next| one.shard.root < next.shard.root)
            && self.packs.iter().all(|pack| pack.shard.is_plausible())
            && self.head.as_ref().is_none_or(is_own);
        if sound { Ok(()) } else { Err(ErrandError::Shape) }
    }
}

/// A signed errand with the bytes it came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Errand {
    bytes: Vec<u8>,
    body: ErrandBody,
}

impl Errand {
    /// Signs one, as the device that `body` names.
    ///
    /// # Errors
    /// [`ErrandError::Shape`] for what no reader would accept.
    pub fn sign(body: ErrandBody, device: &DeviceKeys) -> Result<Self, ErrandError> {
        body.check()?;
        let encoded = cbor::encode(&body);
        let signature = device.sign(sign::ERRAND, &encoded);
        let bytes = Signed::record(encoded, signature);
        let fits = bytes.len() <= ERRAND_BYTES_MAX && body.device == device.id();
        if fits { Ok(Self { bytes, body }) } else { Err(ErrandError::Shape) }
    }

    /// Reads one that counts by this log.
    ///
    /// # Errors
    /// [`ErrandError`].
    pub fn decode(bytes: &[u8], log: &DeviceLog) -> Result<Self, ErrandError> {
        let signed = Signed::decode(bytes, ERRAND_BYTES_MAX)?;
        if let Some(version) = signed.newer(VERSION) {
            return Err(ErrandError::Newer { version });
        }
        let body: ErrandBody = cbor::decode(&signed.body, ERRAND_BYTES_MAX)?;
        body.check()?;
        if body.vault != log.vault() || !log.is_device(&body.device) {
            return Err(ErrandError::Stranger);
        }
        if !verify(sign::ERRAND, &body.device, &signed.body, &signed.signature) {
            return Err(ErrandError::Signature);
        }
        Ok(Self { bytes: bytes.to_vec(), body })
    }

    /// Whether its number is one that a clock like this one could have given.
    ///
    /// # Errors
    /// [`ErrandError::Ahead`].
    pub const fn check_number(&self, clock: Timestamp) -> Result<(), ErrandError> {
        let most = clock.0.saturating_add(CLOCK_AHEAD_S_MAX);
        if self.body.number <= most { Ok(()) } else { Err(ErrandError::Ahead) }
    }

    /// Whether it says that its device was there lately.
    pub const fn is_fresh(&self, clock: Timestamp) -> bool {
        self.body.number.saturating_add(TEND_SILENCE_S) >= clock.0
    }

    /// Whether what was said to an errand with this number counts (ERR-15).
    pub fn counts(&self, number: u64) -> bool {
        self.body.void.is_none_or(|void| number > void)
    }

    /// A pack that it names.
    pub fn pack(&self, root: &ShardRoot) -> Option<&OfferedShard> {
        let found = self.body.packs.binary_search_by_key(root, |pack| pack.shard.root);
        self.body.packs.get(found.ok()?)
    }

    /// In which order its packs are fetched: metadata first, without which the rest cannot be read.
    pub fn in_turn(&self) -> Vec<OfferedShard> {
        let mut packs = self.body.packs.clone();
        packs.sort_by_key(|pack| (std::cmp::Reverse(pack.class), pack.shard.root));
        packs
    }

    /// The head that goes with it.
    pub fn head(&self) -> Option<SignedHead> {
        self.body.head.as_ref().and_then(|head| SignedHead::decode(head).ok())
    }

    /// The bytes, as received.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// What it says.
    pub const fn body(&self) -> &ErrandBody {
        &self.body
    }
}
