//! Signatures: one algorithm, one way to check it, one domain for each thing that is signed.
//!
//! A signature is Ed25519 over `domain || body`, where the domain ends in a NUL and `body` is the
//! one canonical encoding of what is signed. Source: specs/keys.md, KEYS-4 and KEYS-5.

use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};

use crate::ids::DeviceId;

/// A holder's receipt.
pub const RECEIPT: &[u8] = b"larder receipt v1\0";
/// A head.
pub const HEAD: &[u8] = b"larder head v1\0";
/// An entry of a device log, by its author.
pub const LOG_ENTRY: &[u8] = b"larder log entry v1\0";
/// An entry of a device log, by the other side: the device added, or the recovery key of a
/// genesis.
pub const LOG_CONSENT: &[u8] = b"larder log consent v1\0";
/// The genesis of a device log, by the recovery access key that it names: a key that others
/// admit must not be claimed by somebody who does not have it.
pub const LOG_ACCESS: &[u8] = b"larder log access v1\0";
/// A set of guardians, by the phrase.
pub const GUARDIANS: &[u8] = b"larder guardians v1\0";
/// A request for the phrase, by the secret of a set of guardians.
pub const RELEASE_REQUEST: &[u8] = b"larder release request v1\0";
/// The word against such a request.
pub const RELEASE_STOP: &[u8] = b"larder release stop v1\0";
/// Whom a device of a vault names to its holders.
pub const INTRODUCTION: &[u8] = b"larder introduction v1\0";
/// What a device has one holder fetch from others.
pub const ERRAND: &[u8] = b"larder errand v1\0";
/// What that holder replies.
pub const ERRAND_REPLY: &[u8] = b"larder errand reply v1\0";
/// How a device stands to a vault that its own leaves, or is left by.
pub const LEAVING: &[u8] = b"larder leaving v1\0";
/// An entry of an audit trail.
pub const TRAIL: &[u8] = b"larder trail v1\0";
/// What a holder leaves at a relay, by a key made for that.
pub const LOCATOR_RECORD: &[u8] = b"larder locator record v1\0";

/// Whether `signature` is `key`'s over `body` in `domain`.
///
/// Strict: refuses weak (low-order) keys, keys and points that are not in their one canonical
/// form, and signatures whose scalar is not reduced. So whatever verifies here verifies
/// everywhere, and nobody can make a second signature out of a first.
pub fn verify(domain: &[u8], key: &DeviceId, body: &[u8], signature: &[u8; 64]) -> bool {
    let Some(key) = usable_key(key) else { return false };
    key.verify_strict(&message(domain, body), &Signature::from_bytes(signature)).is_ok()
}

/// Whether these 32 bytes can be somebody's signing key at all.
pub fn is_usable(key: &DeviceId) -> bool {
    usable_key(key).is_some()
}

fn usable_key(key: &DeviceId) -> Option<VerifyingKey> {
    let mut coordinate = *key.as_bytes();
    let [.., top] = &mut coordinate;
    *top &= 0x7f; // The sign of x is not part of the coordinate.
    if !is_reduced(&coordinate) {
        return None;
    }
    VerifyingKey::from_bytes(key.as_bytes()).ok().filter(|key| !key.is_weak())
}

/// Whether a little-endian number is below 2^255 - 19, that is, the canonical form of itself.
pub(super) fn is_reduced(number: &[u8; 32]) -> bool {
    let [first, middle @ .., last] = number;
    *last < 0x7f || (*last == 0x7f && (*first < 0xed || middle.iter().any(|byte| *byte != 0xff)))
}

pub(crate) fn sign(key: &SigningKey, domain: &[u8], body: &[u8]) -> [u8; 64] {
    key.sign(&message(domain, body)).to_bytes()
}

fn message(domain: &[u8], body: &[u8]) -> Vec<u8> {
    debug_assert!(
        domain.ends_with(b"\0"),
        "a domain ends in a NUL, so none is the start of another"
    );
    [domain, body].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> (SigningKey, DeviceId) {
        let key = SigningKey::from_bytes(&[7; 32]);
        let id = DeviceId::from_bytes(key.verifying_key().to_bytes());
        (key, id)
    }

    // KEYS-4
    #[test]
    fn a_signature_holds_for_its_domain_body_and_key_alone() {
        let (key, id) = key();
        let signature = sign(&key, HEAD, b"body");
        assert!(verify(HEAD, &id, b"body", &signature));
        assert!(!verify(RECEIPT, &id, b"body", &signature));
        assert!(!verify(HEAD, &id, b"bodz", &signature));
        let other = SigningKey::from_bytes(&[8; 32]).verifying_key().to_bytes();
        assert!(!verify(HEAD, &DeviceId::from_bytes(other), b"body", &signature));
    }

    // KEYS-5: S + L is the same scalar to a careless verifier.
    #[test]
    fn a_signature_in_another_form_is_refused() {
        const ORDER: [u8; 32] = [
            0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9,
            0xde, 0x14, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
        ];
        let (key, id) = key();
        let mut signature = sign(&key, HEAD, b"body");
        let mut carry = 0;
        for (byte, order) in signature.iter_mut().skip(32).zip(ORDER) {
            let sum = u16::from(*byte) + u16::from(order) + carry;
            *byte = sum.to_le_bytes()[0];
            carry = sum >> 8;
        }
        assert!(!verify(HEAD, &id, b"body", &signature));
    }

    // KEYS-5: with the identity as key, R = identity and S = 0 would sign everything.
    #[test]
    fn weak_and_malformed_keys_are_refused() {
        let mut identity = [0; 32];
        identity[0] = 1;
        let mut forgery = [0; 64];
        forgery[0] = 1;
        let mut above = [0xff; 32];
        above[31] = 0x7f;
        let mut unreduced_identity = above;
        unreduced_identity[0] = 0xee;
        for weak in [identity, [0; 32], above, unreduced_identity] {
            assert!(!is_usable(&DeviceId::from_bytes(weak)));
            assert!(!verify(HEAD, &DeviceId::from_bytes(weak), b"anything", &forgery));
        }
    }

    #[test]
    fn the_bound_of_the_field_is_exact() {
        let mut number = [0xff; 32];
        number[31] = 0x7f;
        number[0] = 0xec;
        assert!(is_reduced(&number));
        number[0] = 0xed;
        assert!(!is_reduced(&number));
        assert!(!is_reduced(&[0xff; 32]));
        assert!(is_reduced(&[0x7e; 32]));
    }
}
