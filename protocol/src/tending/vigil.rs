//! What a node remembers of a vault whose devices are silent, across restarts.

use std::collections::BTreeMap;

use minicbor::{Decode, Encode};

use crate::{
    cbor::{self, DecodeError},
    ids::DeviceId,
    limits::{FELLOWS_MAX, TEND_ABSENCE_S, TEND_VIGIL_BYTES_MAX},
    time::Instant,
};

/// Version of the record that this code writes and reads.
const VERSION: u16 = 1;

/// For how long no device of a vault was heard of, and fellows were silent, in seconds that count.
#[derive(Debug, Clone, PartialEq, Eq, Default, Encode, Decode)]
#[cbor(map)]
pub struct Vigil {
    #[n(0)]
    version: u16,
    #[n(1)]
    silent_s: u64,
    #[n(2)]
    absences: Vec<(DeviceId, u64)>,
}

impl Vigil {
    pub(super) fn new(silent_s: u64, absences: BTreeMap<DeviceId, u64>) -> Self {
        Self { version: VERSION, silent_s, absences: absences.into_iter().collect() }
    }

    /// For how long no device of the vault was heard of.
    pub const fn silent_s(&self) -> u64 {
        self.silent_s
    }

    pub(super) fn absences(&self) -> impl Iterator<Item = (DeviceId, u64)> {
        self.absences.iter().copied().take(FELLOWS_MAX)
    }

    /// The record.
    pub fn encode(&self) -> Vec<u8> {
        cbor::encode(self)
    }

    /// Reads a record. One that is damaged, or of a newer version, costs patience: who reads it begins anew.
    ///
    /// # Errors
    /// [`DecodeError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let vigil: Self = cbor::decode(bytes, TEND_VIGIL_BYTES_MAX)?;
        if vigil.version == VERSION { Ok(vigil) } else { Err(DecodeError::Malformed) }
    }
}

/// How long a fellow was silent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Absence {
    pub(super) absent_s: u64,
    /// When it was last asked in this run.
    pub(super) asked: Option<Instant>,
}

impl Absence {
    /// One more silence: the time since the one before counts, within a bound.
    pub(super) fn count(&mut self, now: Instant) {
        if let Some(before) = self.asked {
            let passed_s = (now.ms_since(before) / 1000).min(TEND_ABSENCE_S);
            self.absent_s = self.absent_s.saturating_add(passed_s);
        }
        self.asked = Some(now);
    }
}
