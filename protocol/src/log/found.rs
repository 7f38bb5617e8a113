//! Founding a vault: the genesis entry. Source: specs/device_log.md.

use rand_core::CryptoRng;
use thiserror::Error;

use super::{
    DeviceLog, Label, LogEntry,
    entry::{Act, Author, ENTRY_VERSION, EntryBody, Genesis, Signatures},
};
use crate::{
    cbor,
    keys::{
        DeviceKeys, RecoveryKeys,
        epoch::{EpochKey, FIRST_EPOCH},
        sign,
        wrap::wrap,
    },
    time::Timestamp,
};

/// Who founds a vault.
#[derive(Debug, Clone, Copy)]
pub struct Founding<'a> {
    /// The first device.
    pub device: &'a DeviceKeys,
    /// The phrase that will be able to recover the vault.
    pub recovery: &'a RecoveryKeys,
    /// Name and site of the device.
    pub label: &'a Label,
    /// Wall-clock time.
    pub time: Timestamp,
}

/// A new vault.
#[derive(Debug, Clone)]
pub struct Founded {
    /// Its log: one entry.
    pub log: DeviceLog,
    /// Its first epoch key.
    pub epoch: EpochKey,
}

/// The name or site cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a name has 1 to 256 bytes and no control characters")]
pub struct LabelError;

impl DeviceLog {
    /// Founds a vault.
    ///
    /// # Errors
    /// [`LabelError`].
    pub fn found(founding: &Founding<'_>, rng: &mut impl CryptoRng) -> Result<Founded, LabelError> {
        let mut random = || {
            let mut bytes = [0; 32];
            rng.fill_bytes(&mut bytes);
            bytes
        };
        let salt = random();
        let epoch = EpochKey::new(FIRST_EPOCH, random());
        let (device, recovery) = (founding.device.public(), founding.recovery.public());
        let label = founding.label.seal(&device.id, &epoch, rng).ok_or(LabelError)?;
        let wraps = [device.hpke, recovery.hpke]
            .into_iter()
            .map(|to| wrap(&epoch, &salt, &to, rng).expect("keys made from a secret are not weak"));
        let genesis = Genesis {
            salt,
            recovery,
            device,
            label,
            commitment: epoch.commitment(),
            wraps: wraps.collect(),
        };
        let body = cbor::encode(&EntryBody {
            version: ENTRY_VERSION,
            vault: None,
            parents: Vec::new(),
            author: Author::Device(device.id),
            time: founding.time,
            act: Act::Genesis(genesis),
        });
        let signatures = Signatures {
            author: founding.device.sign(sign::LOG_ENTRY, &body),
            consent: Some(founding.recovery.sign(sign::LOG_CONSENT, &body)),
            access: Some(founding.recovery.sign_access(sign::LOG_ACCESS, &body)),
        };
        let bytes = LogEntry::assemble(&body, signatures);
        let log = Self::begin(&bytes).expect("a genesis made here is valid");
        Ok(Founded { log, epoch })
    }
}
