//! Vectors of specs/discovery.md.

use serde_json::{Value, json};

use super::{Beacon, BeaconKey};
use crate::{
    keys::DeviceKeys,
    time::Timestamp,
    vectors::{self, hex},
};

const SEED: [u8; 32] = [0x11; 32];

fn shown(key: &BeaconKey, nonce: u8, clock: u64) -> Value {
    let beacon = key.beacon([nonce; 16], Timestamp(clock));
    let is_of = |days: u64| key.is_of(&beacon, Timestamp(clock + days * 86_400));
    json!({
        "nonce": hex([nonce; 16]),
        "clock": clock,
        "beacon": hex(beacon.as_bytes()),
        "known_after_days": (0..4).filter(|days| is_of(*days)).collect::<Vec<u64>>(),
    })
}

fn page() -> Value {
    let keys = DeviceKeys::from_seeds(SEED, [0x22; 32]);
    let of_epoch = |epoch: u32| {
        let key = BeaconKey::derive(&keys, epoch);
        let material = [&SEED[..], &epoch.to_le_bytes()].concat();
        let bytes = blake3::derive_key("larder 2026 beacon key v1", &material);
        assert_eq!(BeaconKey::from_bytes(bytes), key);
        let beacons = [(0xaa, 0), (0xaa, 86_399), (0xaa, 86_400), (0xbb, 1_800_000_000)];
        json!({
            "epoch": epoch,
            "beacon_key": hex(bytes),
            "beacons": beacons.map(|(nonce, clock)| shown(&key, nonce, clock)),
        })
    };
    let other = Beacon::from_bytes([0xcc; 32]);
    assert!(!BeaconKey::derive(&keys, 1).is_of(&other, Timestamp(0)));
    json!({ "signing_seed": hex(SEED), "epochs": [of_epoch(1), of_epoch(2)] })
}

// DISC-11
#[test]
fn vectors_hold() {
    vectors::check("discovery", &page());
}

#[test]
#[ignore = "writes specs/vectors/discovery.json"]
fn write_vectors() {
    vectors::write("discovery", &page());
}
