//! Devices and vaults that the targets have in common, the same in each run.

use larder_protocol::{
    keys::{DeviceKeys, RecoveryKeys, phrase::Phrase},
    log::{DeviceLog, Founding, Label},
    time::Timestamp,
};
use rand_chacha::ChaCha8Rng;
use rand_core::SeedableRng as _;

/// The wall clock.
pub(super) const NOW: Timestamp = Timestamp(1_800_000_000);

pub(super) fn device(number: u8) -> DeviceKeys {
    DeviceKeys::from_seeds([number; 32], [number.wrapping_add(100); 32])
}

pub(super) fn label(number: u8) -> Label {
    Label { name: format!("device {number}"), site: format!("site {number}") }
}

pub(super) fn recovery(number: u8) -> RecoveryKeys {
    Phrase::from_entropy([number; 32]).recovery()
}

/// A vault that this device has founded.
pub(super) fn found(number: u8) -> DeviceLog {
    let (device, label, recovery) = (device(number), label(number), recovery(number));
    let founding = Founding { device: &device, recovery: &recovery, label: &label, time: NOW };
    let mut rng = ChaCha8Rng::from_seed([number; 32]);
    DeviceLog::found(&founding, &mut rng).expect("the label is plain").log
}
