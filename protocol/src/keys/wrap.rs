//! Handing an epoch key to one recipient: HPKE, base mode (RFC 9180).
//!
//! Base mode says nothing about who wrapped; the signed log entry around it does, and the
//! commitment in the log says whether the key is the right one. Source: specs/keys.md.

use minicbor::{Decode, Encode};
use rand_core::CryptoRng;
use thiserror::Error;
use x25519_dalek::{PublicKey, StaticSecret};

pub use super::sealed::is_usable;
use super::{
    epoch::EpochKey,
    sealed::{self, Purpose, SEALED_BYTES, SealError, SealedSecret},
};

/// `info` of every wrap.
const INFO: &[u8] = b"larder epoch wrap v1\0";

/// One epoch key, readable by one recipient.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
#[cbor(map)]
pub struct Wrap {
    /// Recipient's X25519 public key.
    #[cbor(n(0), with = "minicbor::bytes")]
    pub to: [u8; 32],
    /// HPKE's encapsulated key.
    #[cbor(n(1), with = "minicbor::bytes")]
    pub encapsulated: [u8; 32],
    /// The key, sealed, with its tag.
    #[cbor(n(2), with = "minicbor::bytes")]
    pub sealed: [u8; SEALED_BYTES],
}

/// What a wrap is bound to: it opens nowhere else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WrapTerms {
    /// Number of the epoch.
    pub epoch: u32,
    /// The epoch key's commitment, as in the log.
    pub commitment: [u8; 32],
    /// The vault's salt, from its genesis entry.
    pub salt: [u8; 32],
}

/// Why a key was not wrapped or unwrapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum WrapError {
    /// The recipient's key is of low order or not in canonical form.
    #[error("the recipient's key is not one that a device makes")]
    WeakKey,
    /// For somebody else.
    #[error("the epoch key is wrapped to another recipient")]
    NotForUs,
    /// Damaged, or bound to another vault, epoch or recipient.
    #[error("the wrapped epoch key does not open")]
    Damaged,
    /// Opens, but is not the key that the log commits to.
    #[error("the wrapped key is not the one that the device log commits to")]
    WrongKey,
}

impl WrapTerms {
    /// The terms under which `epoch` is wrapped in the vault with this salt.
    pub fn of(epoch: &EpochKey, salt: [u8; 32]) -> Self {
        Self { epoch: epoch.number(), commitment: epoch.commitment(), salt }
    }

    /// Whether they are those of this key.
    pub fn is_of(&self, epoch: &EpochKey) -> bool {
        self.epoch == epoch.number() && self.commitment == epoch.commitment()
    }

    fn associated(&self, to: &[u8; 32]) -> Vec<u8> {
        [&self.epoch.to_le_bytes()[..], &self.commitment, &self.salt, to].concat()
    }
}

/// Wraps `epoch` to the X25519 public key `to`, in the vault with this salt.
///
/// # Errors
/// [`WrapError::WeakKey`].
pub fn wrap(
    epoch: &EpochKey,
    salt: &[u8; 32],
    to: &[u8; 32],
    rng: &mut impl CryptoRng,
) -> Result<Wrap, WrapError> {
    let associated = WrapTerms::of(epoch, *salt).associated(to);
    let purpose = Purpose { info: INFO, associated: &associated };
    let SealedSecret { encapsulated, sealed } =
        sealed::seal(epoch.expose_secret(), to, purpose, rng)?;
    Ok(Wrap { to: *to, encapsulated, sealed })
}

/// Opens a wrap with the recipient's X25519 secret and checks it against the log's commitment.
///
/// # Errors
/// Every [`WrapError`]; no key is returned unless it is the committed one.
pub fn unwrap(wrap: &Wrap, terms: &WrapTerms, secret: &[u8; 32]) -> Result<EpochKey, WrapError> {
    let own = PublicKey::from(&StaticSecret::from(*secret)).to_bytes();
    if own != wrap.to {
        return Err(WrapError::NotForUs);
    }
    let associated = terms.associated(&wrap.to);
    let purpose = Purpose { info: INFO, associated: &associated };
    let sealed = SealedSecret { encapsulated: wrap.encapsulated, sealed: wrap.sealed };
    let opened = sealed::open(&sealed, secret, purpose)?;
    let key = EpochKey::new(terms.epoch, *opened);
    if key.commitment() == terms.commitment { Ok(key) } else { Err(WrapError::WrongKey) }
}

impl From<SealError> for WrapError {
    fn from(error: SealError) -> Self {
        match error {
            SealError::WeakKey => Self::WeakKey,
            SealError::Damaged => Self::Damaged,
        }
    }
}

#[cfg(test)]
mod tests {
    use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};

    use super::*;
    use crate::keys::device::DeviceKeys;

    const SALT: [u8; 32] = [0x11; 32];

    fn parts() -> (EpochKey, DeviceKeys, ChaCha8Rng) {
        let keys = DeviceKeys::from_seeds([1; 32], [2; 32]);
        (EpochKey::new(1, [0xee; 32]), keys, ChaCha8Rng::from_seed([5; 32]))
    }

    // KEYS-8
    #[test]
    fn the_recipient_alone_opens_a_wrap() {
        let (epoch, keys, mut rng) = parts();
        let wrapped = wrap(&epoch, &SALT, &keys.public().hpke, &mut rng).unwrap();
        let terms = WrapTerms::of(&epoch, SALT);
        let opened = unwrap(&wrapped, &terms, keys.hpke_secret()).unwrap();
        assert_eq!(opened.expose_secret(), epoch.expose_secret());
        assert_eq!(unwrap(&wrapped, &terms, &[9; 32]).unwrap_err(), WrapError::NotForUs);
    }

    // KEYS-8
    #[test]
    fn a_wrap_opens_in_its_own_vault_and_epoch_alone() {
        let (epoch, keys, mut rng) = parts();
        let wrapped = wrap(&epoch, &SALT, &keys.public().hpke, &mut rng).unwrap();
        let terms = WrapTerms::of(&epoch, SALT);
        let others = [
            WrapTerms { epoch: 2, ..terms },
            WrapTerms { commitment: [0; 32], ..terms },
            WrapTerms { salt: [0; 32], ..terms },
        ];
        for other in others {
            let refused = unwrap(&wrapped, &other, keys.hpke_secret()).unwrap_err();
            assert_eq!(refused, WrapError::Damaged);
        }
        for bit in 0..SEALED_BYTES * 8 {
            let mut damaged = wrapped.clone();
            damaged.sealed[bit / 8] ^= 1 << (bit % 8);
            let refused = unwrap(&damaged, &terms, keys.hpke_secret()).unwrap_err();
            assert_eq!(refused, WrapError::Damaged);
        }
    }

    // KEYS-9
    #[test]
    fn low_order_and_unreduced_keys_are_refused() {
        let (epoch, keys, mut rng) = parts();
        let mut one = [0; 32];
        one[0] = 1;
        let mut unreduced = [0xff; 32];
        unreduced[31] = 0x7f;
        let mut high_bit = keys.public().hpke;
        high_bit[31] |= 0x80;
        for weak in [[0; 32], one, unreduced, high_bit] {
            assert_eq!(wrap(&epoch, &SALT, &weak, &mut rng).unwrap_err(), WrapError::WeakKey);
        }
        let mut wrapped = wrap(&epoch, &SALT, &keys.public().hpke, &mut rng).unwrap();
        wrapped.encapsulated = [0; 32];
        let refused = unwrap(&wrapped, &WrapTerms::of(&epoch, SALT), keys.hpke_secret());
        assert_eq!(refused.unwrap_err(), WrapError::WeakKey);
    }
}
