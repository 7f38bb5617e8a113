//! What a device is called and where it stands, sealed: holders keep the log and read neither.
//!
//! Padded before it is sealed, so that lengths say nothing either. Source: specs/device_log.md.

use chacha20poly1305::{
    ChaCha20Poly1305, KeyInit,
    aead::{Aead, Payload},
};
use minicbor::{Decode, Encode, bytes::ByteVec};
use rand_core::CryptoRng;
use zeroize::Zeroizing;

use crate::{cbor, ids::DeviceId, keys::epoch::EpochKey, text};

/// Plaintext of every sealed label: two texts of at most 256 bytes, their framing, and zeros.
const LABEL_PLAIN_BYTES: usize = 640;
/// The same with its tag.
const LABEL_SEALED_BYTES: usize = LABEL_PLAIN_BYTES + 16;

/// What people call a device, and the household where it stands.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Label {
    /// Name of the device.
    #[n(0)]
    pub name: String,
    /// Its site: devices of one site are lost together (fire, theft, flood).
    #[n(1)]
    pub site: String,
}

/// A label that only devices of the vault read.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct SealedLabel {
    /// Epoch whose key seals it.
    #[n(0)]
    pub epoch: u32,
    /// Salt of its key.
    #[cbor(n(1), with = "minicbor::bytes")]
    pub salt: [u8; 32],
    /// ChaCha20-Poly1305, nonce zero (the key is used once), the device's id as associated data.
    #[n(2)]
    pub sealed: ByteVec,
}

impl Label {
    /// Whether both texts may be shown to people.
    pub fn is_plain(&self) -> bool {
        text::is_plain(&self.name) && text::is_plain(&self.site)
    }

    /// Seals this label as `device`'s; `None` when it is not [plain](Self::is_plain).
    pub(crate) fn seal(
        &self,
        device: &DeviceId,
        epoch: &EpochKey,
        rng: &mut impl CryptoRng,
    ) -> Option<SealedLabel> {
        if !self.is_plain() {
            return None;
        }
        let mut salt = [0; 32];
        rng.fill_bytes(&mut salt);
        let mut plain = cbor::encode(self);
        debug_assert!(plain.len() <= LABEL_PLAIN_BYTES, "two bounded texts and their framing");
        plain.resize(LABEL_PLAIN_BYTES, 0);
        let payload = Payload { msg: &plain, aad: device.as_bytes() };
        let sealed = cipher(epoch, &salt).encrypt(&[0; 12].into(), payload).ok()?;
        Some(SealedLabel { epoch: epoch.number(), salt, sealed: sealed.into() })
    }
}

impl SealedLabel {
    pub(super) fn is_plausible(&self) -> bool {
        self.sealed.len() == LABEL_SEALED_BYTES && self.epoch > 0
    }

    /// Opens the label of `device` with the key of its epoch, if that is among `epochs`.
    pub fn open(&self, device: &DeviceId, epochs: &[EpochKey]) -> Option<Label> {
        // Two epochs that began apart may have one number.
        let mut keys = epochs.iter().filter(|key| key.number() == self.epoch);
        let plain = keys.find_map(|epoch| {
            let payload = Payload { msg: &self.sealed, aad: device.as_bytes() };
            cipher(epoch, &self.salt).decrypt(&[0; 12].into(), payload).ok()
        })?;
        let mut decoder = minicbor::Decoder::new(&plain);
        let label: Label = decoder.decode().ok()?;
        let padding = plain.get(decoder.position()..)?;
        let canonical = plain.starts_with(&cbor::encode(&label));
        let padded = padding.iter().all(|byte| *byte == 0);
        (canonical && padded && label.is_plain()).then_some(label)
    }
}

fn cipher(epoch: &EpochKey, salt: &[u8; 32]) -> ChaCha20Poly1305 {
    let key = Zeroizing::new(epoch.label_key(salt));
    ChaCha20Poly1305::new((&*key).into())
}

#[cfg(test)]
mod tests {
    use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};

    use super::*;

    // LOG-9
    #[test]
    fn labels_open_for_their_device_and_all_have_one_length() {
        let epoch = EpochKey::new(1, [1; 32]);
        let mut rng = ChaCha8Rng::from_seed([2; 32]);
        let device = DeviceId::from_bytes([3; 32]);
        let short = Label { name: "a".into(), site: "b".into() };
        let long = Label { name: "ü".repeat(128), site: "x".repeat(256) };
        for label in [short, long] {
            let sealed = label.seal(&device, &epoch, &mut rng).unwrap();
            assert!(sealed.is_plausible());
            assert_eq!(sealed.open(&device, std::slice::from_ref(&epoch)), Some(label));
            let other = DeviceId::from_bytes([4; 32]);
            assert_eq!(sealed.open(&other, std::slice::from_ref(&epoch)), None);
            assert_eq!(sealed.open(&device, &[EpochKey::new(1, [9; 32])]), None);
            assert_eq!(sealed.open(&device, &[]), None);
        }
        let treacherous = Label { name: "\u{1b}[2J".into(), site: "b".into() };
        assert_eq!(treacherous.seal(&device, &epoch, &mut rng), None);
    }
}
