//! Who the guardians are, as the devices of the vault alone read it.

use chacha20poly1305::{
    ChaCha20Poly1305, KeyInit,
    aead::{Aead, Payload},
};
use minicbor::{Decode, Encode, bytes::ByteVec};
use zeroize::Zeroizing;

use super::{SetId, set::Guardian};
use crate::{
    cbor,
    ids::VaultId,
    keys::epoch::{ContentKey, ReceivingPublic},
    limits::{GUARDIAN_NAME_BYTES_MAX, GUARDIANS_MAX},
};

/// All names of a set, and zeros: [`GUARDIANS_MAX`] of the longest.
const PLAIN_BYTES: usize = 2432;
/// The same with its tag.
pub(super) const SEALED_NAMES_BYTES: usize = PLAIN_BYTES + 16;

#[derive(Encode, Decode)]
#[cbor(map)]
struct Names {
    #[n(0)]
    guardians: Vec<Named>,
}

/// One guardian, at the place of its share.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Named {
    /// The vault whose devices open the share.
    #[n(0)]
    pub vault: VaultId,
    /// What its device was called when it was named.
    #[n(1)]
    pub name: String,
    /// The key of its vault to which the share is sealed.
    #[n(2)]
    pub receiving: ReceivingPublic,
}

fn cipher(content: &ContentKey, set: SetId) -> ChaCha20Poly1305 {
    let key = Zeroizing::new(content.cut_key("larder 2026 guardian names v1"));
    let material = Zeroizing::new([&key[..], &set.0].concat());
    let key = Zeroizing::new(blake3::derive_key("larder 2026 guardian names of set v1", &material));
    ChaCha20Poly1305::new((&*key).into())
}

pub(super) fn seal(content: &ContentKey, set: SetId, guardians: &[Guardian]) -> ByteVec {
    let named = |guardian: &Guardian| Named {
        vault: guardian.vault,
        name: short(&guardian.name),
        receiving: guardian.receiving,
    };
    let mut plain = cbor::encode(&Names { guardians: guardians.iter().map(named).collect() });
    debug_assert!(plain.len() <= PLAIN_BYTES && guardians.len() <= GUARDIANS_MAX);
    plain.resize(PLAIN_BYTES, 0);
    let payload = Payload { msg: &plain, aad: &set.0 };
    let sealed = cipher(content, set).encrypt(&[0; 12].into(), payload);
    sealed.expect("a few KiB can always be sealed").into()
}

pub(super) fn open(content: &ContentKey, set: SetId, sealed: &[u8]) -> Option<Vec<Named>> {
    let payload = Payload { msg: sealed, aad: &set.0 };
    let plain = cipher(content, set).decrypt(&[0; 12].into(), payload).ok()?;
    let mut decoder = minicbor::Decoder::new(&plain);
    let names: Names = decoder.decode().ok()?;
    Some(names.guardians)
}

/// As much of a name as there is room for.
fn short(name: &str) -> String {
    name.chars()
        .scan(0, |bytes, letter| {
            *bytes += letter.len_utf8();
            (*bytes <= GUARDIAN_NAME_BYTES_MAX).then_some(letter)
        })
        .collect()
}
