//! Guardians: relatives of whom any few can give the recovery phrase back, together with a holder.
//!
//! ```text
//! phrase ──sealed under──▶ R, a fresh secret ──split──▶ shares, one sealed to each guardian's vault
//!    │                                                     │
//!    ▼                                                     ▼
//! holders keep the sealed phrase                        whoever has `threshold` of them has R,
//! and give it to nobody before a delay                  and can ask the holders
//!    │                                                     │
//!    └──── told to all devices of the vault, each of which can stop it ────┘
//! ```
//! Neither the guardians nor the holders can read anything by themselves. What both together can is
//! said in specs/threat_model.md. Source: specs/guarding.md.

use std::fmt;

use chacha20poly1305::{
    ChaCha20Poly1305, KeyInit,
    aead::{Aead, Payload},
};
use ed25519_dalek::SigningKey;
use minicbor::{Decode, Encode};
use zeroize::Zeroizing;

use crate::{
    ids::{DeviceId, VaultId},
    keys::{phrase::Phrase, sealed::SEALED_BYTES},
};

pub mod gathering;
pub mod handing;
pub mod keeping;
mod names;
pub mod release;
pub mod set;
pub mod sharing;

#[cfg(test)]
mod tests;
#[cfg(test)]
mod vectors;

/// Names one set of guardians: random, so that no set can be taken for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
#[cbor(transparent)]
pub struct SetId(#[cbor(n(0), with = "minicbor::bytes")] pub [u8; 16]);

/// The phrase, sealed under the secret that was split: what holders keep back until the delay is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(transparent)]
pub struct SealedPhrase(#[cbor(n(0), with = "minicbor::bytes")] pub [u8; SEALED_BYTES]);

impl SealedPhrase {
    /// What the set says of it.
    pub fn hash(&self) -> [u8; 32] {
        blake3::derive_key("larder 2026 guardian sealed phrase v1", &self.0)
    }
}

/// The secret R of a set: whoever has it may ask for the phrase, and can read it once it is given.
#[derive(Clone)]
pub struct SetSecret {
    set: SetId,
    secret: Zeroizing<[u8; 32]>,
}

impl SetSecret {
    /// 32 random bytes, or what shares gave back.
    pub const fn new(set: SetId, secret: Zeroizing<[u8; 32]>) -> Self {
        Self { set, secret }
    }

    /// Of which set.
    pub const fn set(&self) -> SetId {
        self.set
    }

    /// The secret itself, to split it and to keep it while the delay runs.
    pub fn expose(&self) -> &[u8; 32] {
        &self.secret
    }

    /// Seed of the Ed25519 key under which holders are asked, and with which requests are signed.
    pub fn release_seed(&self) -> Zeroizing<[u8; 32]> {
        self.derive("larder 2026 guardian release v1")
    }

    /// The key that belongs to [`release_seed`](Self::release_seed): who asks, to the holders.
    pub fn release_key(&self) -> DeviceId {
        DeviceId::from_bytes(self.signing_key().verifying_key().to_bytes())
    }

    fn signing_key(&self) -> SigningKey {
        SigningKey::from_bytes(&self.release_seed())
    }

    fn derive(&self, context: &str) -> Zeroizing<[u8; 32]> {
        let material = Zeroizing::new([&self.secret[..], &self.set.0].concat());
        Zeroizing::new(blake3::derive_key(context, &material))
    }

    /// The key is used for one message, so that its nonce can be zero.
    fn cipher(&self) -> ChaCha20Poly1305 {
        ChaCha20Poly1305::new((&*self.derive("larder 2026 guardian phrase v1")).into())
    }

    fn seal_phrase(&self, vault: &VaultId, phrase: &Phrase) -> SealedPhrase {
        let payload = Payload { msg: phrase.entropy(), aad: vault.as_bytes() };
        let sealed = self.cipher().encrypt(&[0; 12].into(), payload);
        let sealed = sealed.expect("32 bytes can always be sealed");
        SealedPhrase(sealed.try_into().expect("32 bytes and a tag of 16"))
    }

    /// The phrase of `vault`; `None` of bytes that are not its phrase sealed under this secret.
    pub fn open_phrase(&self, vault: &VaultId, sealed: &SealedPhrase) -> Option<Phrase> {
        let payload = Payload { msg: &sealed.0, aad: vault.as_bytes() };
        let opened = Zeroizing::new(self.cipher().decrypt(&[0; 12].into(), payload).ok()?);
        let entropy = <[u8; 32]>::try_from(opened.as_slice()).ok()?;
        Some(Phrase::from_entropy(entropy))
    }
}

impl fmt::Debug for SetSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SetSecret(secret)")
    }
}
