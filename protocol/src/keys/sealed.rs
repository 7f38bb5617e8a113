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

/// The u-coordinates below 2^255 - 19 of the points of low order, of the curve and of its twist: 0 of order 2, 1 and -1 of
/// order 4, two of order 8. With one of them a shared secret is zero whatever the other key is (RFC 7748, section 6.1).
#[rustfmt::skip]
const LOW_ORDER: [[u8; 32]; 5] = [
    [0; 32],
    *b"\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
    *b"\xec\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f",
    *b"\xe0\xeb\x7a\x7c\x3b\x41\xb8\xae\x16\x56\xe3\xfa\xf1\x9f\xc4\x6a\xda\x09\x8d\xeb\x9c\x32\xb1\xfd\x86\x62\x05\x16\x5f\x49\xb8\x00",
    *b"\x5f\x9c\x95\xbc\xa3\x50\x8c\x24\xb1\xd0\xb1\x55\x9c\x83\xef\x5b\x04\x44\x5c\xc4\x58\x1c\x8e\x86\xd8\x22\x4e\xdd\xd0\x9f\x11\x57",
];

/// Whether these 32 bytes can be somebody's X25519 key: canonical and not of low order.
pub fn is_usable(public: &[u8; 32]) -> bool {
    is_reduced(public) && !LOW_ORDER.contains(public)
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use x25519_dalek::{PublicKey, StaticSecret};

    use super::*;

    /// What the list stands for: with a point of low order no secret has a say in what is shared.
    fn has_low_order(public: &[u8; 32]) -> bool {
        let any = StaticSecret::from([0x42; 32]);
        !any.diffie_hellman(&PublicKey::from(*public)).was_contributory()
    }

    // KEYS-9
    #[test]
    fn keys_of_low_order_are_those_with_which_every_shared_secret_is_zero() {
        for weak in LOW_ORDER {
            assert!(is_reduced(&weak) && has_low_order(&weak) && !is_usable(&weak));
            for bit in 0..256 {
                let mut other = weak;
                other[bit / 8] ^= 1 << (bit % 8);
                assert_eq!(is_usable(&other), is_reduced(&other) && !has_low_order(&other));
            }
        }
        // 2^255 - 19 and 2^255 - 18 are 0 and 1 in another form.
        for first in [0xed, 0xee] {
            let mut again = [0xff; 32];
            (again[0], again[31]) = (first, 0x7f);
            assert!(has_low_order(&again) && !is_usable(&again));
        }
    }

    proptest! {
        // KEYS-9
        #[test]
        fn any_other_key_is_usable(public: [u8; 32]) {
            prop_assert_eq!(is_usable(&public), is_reduced(&public) && !has_low_order(&public));
        }
    }
}
