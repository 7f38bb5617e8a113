//! Epoch keys and what is derived from them: content key, pack keys, commitments.
//!
//! All derivations are BLAKE3 `derive_key` with a context of their own, so that no two purposes
//! ever share a key. Source: specs/keys.md.

use std::fmt;

use chacha20poly1305::{
    ChaCha20Poly1305, KeyInit,
    aead::{Aead, Payload},
};
use minicbor::{Decode, Encode};
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::{ids::ChunkId, index::ChunkKind};

/// The number of the first epoch. Its key also yields the [`ContentKey`].
pub const FIRST_EPOCH: u32 = 1;
/// The key of an earlier epoch, sealed under a later one: 32 bytes and the tag.
pub const PRIOR_SEALED_BYTES: usize = 48;

/// The secret of one epoch of a vault: 32 random bytes known to the devices of that epoch.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct EpochKey {
    number: u32,
    secret: [u8; 32],
}

impl EpochKey {
    /// Takes 32 random bytes as the key of epoch `number` (from 1).
    pub const fn new(number: u32, secret: [u8; 32]) -> Self {
        Self { number, secret }
    }

    /// Which epoch.
    pub const fn number(&self) -> u32 {
        self.number
    }

    /// The secret itself, for wrapping and for the key file only.
    pub const fn expose_secret(&self) -> &[u8; 32] {
        &self.secret
    }

    /// What the device log publishes about this key, so that a recipient knows that it got the
    /// right one.
    pub fn commitment(&self) -> [u8; 32] {
        blake3::derive_key("larder 2026 epoch commitment v1", &self.secret)
    }

    /// The key that seals one pack.
    pub fn pack_key(&self, salt: &[u8; 32]) -> PackKey {
        PackKey(self.derive_salted("larder 2026 pack key v1", salt))
    }

    /// What a pack's header publishes about its key (key commitment).
    pub fn pack_commitment(&self, salt: &[u8; 32]) -> [u8; 32] {
        self.derive_salted("larder 2026 pack commitment v1", salt)
    }

    /// The key that seals the label (name, site) of one log entry.
    pub fn label_key(&self, salt: &[u8; 32]) -> [u8; 32] {
        self.derive_salted("larder 2026 label key v1", salt)
    }

    /// Seals the key of an earlier epoch to whoever has this one, in the vault with this salt.
    /// ChaCha20-Poly1305 under a key of its own, so that the nonce can be zero.
    pub fn seal_prior(&self, prior: &Self, vault_salt: &[u8; 32]) -> [u8; PRIOR_SEALED_BYTES] {
        let commitment = prior.commitment();
        let payload = Payload { msg: &prior.secret, aad: &prior_terms(prior.number, vault_salt) };
        let sealed = self.prior_cipher(&commitment).encrypt(&[0; 12].into(), payload);
        let sealed = sealed.expect("32 bytes can always be sealed");
        sealed.try_into().expect("32 bytes and a tag of 16")
    }

    /// Opens what [`seal_prior`](Self::seal_prior) made; `None` if it is not the key of epoch `number`
    /// with this commitment.
    pub fn open_prior(
        &self,
        (number, commitment): (u32, [u8; 32]),
        sealed: &[u8; PRIOR_SEALED_BYTES],
        vault_salt: &[u8; 32],
    ) -> Option<Self> {
        let payload = Payload { msg: sealed, aad: &prior_terms(number, vault_salt) };
        let opened = self.prior_cipher(&commitment).decrypt(&[0; 12].into(), payload).ok()?;
        let opened = Zeroizing::new(opened);
        let prior = Self::new(number, <[u8; 32]>::try_from(opened.as_slice()).ok()?);
        (prior.commitment() == commitment).then_some(prior)
    }

    fn prior_cipher(&self, commitment: &[u8; 32]) -> ChaCha20Poly1305 {
        let key = Zeroizing::new(self.derive_salted("larder 2026 epoch prior v1", commitment));
        ChaCha20Poly1305::new((&*key).into())
    }

    /// With what a vault receives a share of another vault's phrase in this epoch: every device of it can make it, those
    /// of later years as well, since a later key leads to this one; one that was removed before cannot.
    pub fn receiving(&self) -> ReceivingKey {
        let secret = blake3::derive_key("larder 2026 guardian receiving v1", &self.secret);
        ReceivingKey { epoch: self.number, secret }
    }

    fn derive_salted(&self, context: &str, salt: &[u8; 32]) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new_derive_key(context);
        hasher.update(&self.secret).update(salt);
        let derived = *hasher.finalize().as_bytes();
        // It still holds the secret as it was fed.
        hasher.zeroize();
        derived
    }
}

/// What a sealed earlier key is bound to.
fn prior_terms(number: u32, vault_salt: &[u8; 32]) -> Vec<u8> {
    [&number.to_le_bytes()[..], vault_salt].concat()
}

impl fmt::Debug for EpochKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EpochKey({}, secret)", self.number)
    }
}

/// The key of one pack, for ChaCha20-Poly1305.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct PackKey(pub(crate) [u8; 32]);

/// Names chunks and places cuts. Derived from the key of the first epoch and never changed, so
/// that deduplication outlives key rotation; see specs/threat_model.md for what that costs.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct ContentKey {
    secret: [u8; 32],
}

impl ContentKey {
    /// Derives the content key. `first` must be the key of [`FIRST_EPOCH`].
    pub fn derive(first: &EpochKey) -> Self {
        debug_assert_eq!(first.number, FIRST_EPOCH, "the content key comes from the first epoch");
        Self { secret: blake3::derive_key("larder 2026 content key v1", &first.secret) }
    }

    /// The identifier of a chunk with this plaintext. Kinds have keys of their own, so a data
    /// chunk can never have the identifier of a directory node.
    pub fn chunk_id(&self, kind: ChunkKind, plaintext: &[u8]) -> ChunkId {
        let key = Zeroizing::new(blake3::derive_key(chunk_id_context(kind), &self.secret));
        ChunkId::from_bytes(*blake3::keyed_hash(&key, plaintext).as_bytes())
    }

    /// The digest of a slice of a bundle: first 16 bytes of a keyed hash.
    pub fn slice_digest(&self, slice: &[u8]) -> [u8; 16] {
        let key = blake3::derive_key("larder 2026 slice digest v1", &self.secret);
        let key = Zeroizing::new(key);
        let hash = blake3::keyed_hash(&key, slice);
        let mut digest = [0; 16];
        for (to, from) in digest.iter_mut().zip(hash.as_bytes()) {
            *to = *from;
        }
        digest
    }

    /// By which devices of the vault tell that two nodes stand at one site, without naming it.
    pub fn site_hash(&self, name: &str) -> [u8; 32] {
        let key = blake3::derive_key("larder 2026 site tag v1", &self.secret);
        let key = Zeroizing::new(key);
        *blake3::keyed_hash(&key, name.as_bytes()).as_bytes()
    }

    /// A key for choosing cuts, by purpose (gear table, bundles, nodes).
    pub fn cut_key(&self, context: &str) -> [u8; 32] {
        blake3::derive_key(context, &self.secret)
    }
}

impl fmt::Debug for ContentKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ContentKey(secret)")
    }
}

/// The X25519 secret of a vault as a guardian: see specs/guarding.md.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct ReceivingKey {
    epoch: u32,
    secret: [u8; 32],
}

/// To which shares are sealed, and since which epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
#[cbor(map)]
pub struct ReceivingPublic {
    /// Number of the epoch of the vault: of two keys that it has told the one with the higher number is the newer.
    #[n(0)]
    pub epoch: u32,
    /// X25519.
    #[cbor(n(1), with = "minicbor::bytes")]
    pub key: [u8; 32],
}

impl ReceivingKey {
    /// To which shares are sealed.
    pub fn public(&self) -> ReceivingPublic {
        let key = PublicKey::from(&StaticSecret::from(self.secret)).to_bytes();
        ReceivingPublic { epoch: self.epoch, key }
    }

    pub(crate) const fn expose(&self) -> &[u8; 32] {
        &self.secret
    }
}

impl fmt::Debug for ReceivingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ReceivingKey(secret)")
    }
}

const fn chunk_id_context(kind: ChunkKind) -> &'static str {
    match kind {
        ChunkKind::Data => "larder 2026 chunk id data v1",
        ChunkKind::Directory => "larder 2026 chunk id directory v1",
        ChunkKind::Extents => "larder 2026 chunk id extents v1",
        ChunkKind::Snapshot => "larder 2026 chunk id snapshot v1",
        ChunkKind::Index => "larder 2026 chunk id index v1",
        ChunkKind::Manifest => "larder 2026 chunk id manifest v1",
    }
}
