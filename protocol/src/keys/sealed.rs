//! A secret of 32 bytes for one recipient: HPKE, base mode (RFC 9180).
//!
//! Base mode says nothing about who sealed: a signed record around it does. Source: specs/keys.md.

use hpke::{
    Deserializable, OpModeR, OpModeS, Serializable, aead::ChaCha20Poly1305, kdf::HkdfSha256,
    kem::X25519HkdfSha256, setup_receiver, setup_sender_with_rng,
};
use minicbor::{Decode, Encode};
use rand_core::CryptoRng;
use thiserror::Error;
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::Zeroizing;

use super::sign::is_reduced;

type Kem = X25519HkdfSha256;
type HpkePublic = <Kem as hpke::Kem>::PublicKey;
type HpkePrivate = <Kem as hpke::Kem>::PrivateKey;
type Encapsulated = <Kem as hpke::Kem>::EncappedKey;

/// A sealed secret: 32 bytes and the tag.
pub const SEALED_BYTES: usize = 48;

/// One secret, readable by one recipient.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
#[cbor(map)]
pub struct SealedSecret {
    /// HPKE's encapsulated key.
    #[cbor(n(0), with = "minicbor::bytes")]
    pub encapsulated: [u8; 32],
    /// The secret, sealed, with its tag.
    #[cbor(n(1), with = "minicbor::bytes")]
    pub sealed: [u8; SEALED_BYTES],
}

/// What a secret is sealed for; it opens for nothing else.
#[derive(Debug, Clone, Copy)]
pub struct Purpose<'a> {
    /// HPKE's `info`: the kind of secret. Ends in a NUL.
    pub info: &'static [u8],
    /// HPKE's associated data: this one secret.
    pub associated: &'a [u8],
}

/// Why a secret was not sealed or opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum SealError {
    /// A public key is of low order or not in canonical form.
    #[error("the key is not one that a device makes")]
    WeakKey,
    /// Damaged, or sealed for another purpose or recipient.
    #[error("the sealed secret does not open")]
    Damaged,
}

/// Whether these 32 bytes can be somebody's X25519 key: canonical and not of low order.
pub fn is_usable(public: &[u8; 32]) -> bool {
    // Any secret shows it: with a low-order point the shared secret is always zero.
    let probe = StaticSecret::from([0x42; 32]).diffie_hellman(&PublicKey::from(*public));
    is_reduced(public) && probe.was_contributory()
}

/// Seals a secret to the X25519 public key `to`.
///
/// # Errors
/// [`SealError::WeakKey`].
pub fn seal(
    secret: &[u8; 32],
    to: &[u8; 32],
    purpose: Purpose<'_>,
    rng: &mut impl CryptoRng,
) -> Result<SealedSecret, SealError> {
    if !is_usable(to) {
        return Err(SealError::WeakKey);
    }
    let recipient = HpkePublic::from_bytes(to).map_err(|_| SealError::WeakKey)?;
    let (encapsulated, mut context) = setup_sender_with_rng::<ChaCha20Poly1305, HkdfSha256, Kem>(
        &OpModeS::Base,
        &recipient,
        purpose.info,
        rng,
    )
    .map_err(|_| SealError::WeakKey)?;
    let sealed = context.seal(secret, purpose.associated);
    let sealed = sealed.expect("the first message of a context can always be sealed");
    Ok(SealedSecret {
        encapsulated: encapsulated.to_bytes().into(),
        sealed: sealed.try_into().expect("32 bytes and a tag of 16"),
    })
}

/// Opens a secret with the recipient's X25519 secret key.
///
/// # Errors
/// [`SealError`].
pub fn open(
    sealed: &SealedSecret,
    key: &[u8; 32],
    purpose: Purpose<'_>,
) -> Result<Zeroizing<[u8; 32]>, SealError> {
    if !is_usable(&sealed.encapsulated) {
        return Err(SealError::WeakKey);
    }
    let private = HpkePrivate::from_bytes(key).map_err(|_| SealError::WeakKey)?;
    let encapsulated = Encapsulated::from_bytes(&sealed.encapsulated);
    let encapsulated = encapsulated.map_err(|_| SealError::WeakKey)?;
    let mut context = setup_receiver::<ChaCha20Poly1305, HkdfSha256, Kem>(
        &OpModeR::Base,
        &private,
        &encapsulated,
        purpose.info,
    )
    .map_err(|_| SealError::Damaged)?;
    let opened = context.open(&sealed.sealed, purpose.associated);
    let opened = Zeroizing::new(opened.map_err(|_| SealError::Damaged)?);
    let bytes = <[u8; 32]>::try_from(opened.as_slice()).map_err(|_| SealError::Damaged)?;
    Ok(Zeroizing::new(bytes))
}
