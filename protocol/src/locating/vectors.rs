//! Vectors of specs/locating.md.

use serde_json::{Value, json};

use super::{Locator, LocatorRecord};
use crate::{
    keys::{DeviceKeys, phrase::Phrase},
    time::Timestamp,
    vectors::{self, hex},
};

fn page() -> Value {
    let phrase = Phrase::from_entropy([0x11; 32]).recovery().public();
    let locator = Locator::of(&phrase);
    let keys = DeviceKeys::from_seeds([0x22; 32], [0x33; 32]);
    let addresses = ["192.168.1.20:40123".to_owned(), "https://relay.example.org/".to_owned()];
    let made = Timestamp(1_800_000_000);
    let record = LocatorRecord::seal(&locator, &keys, &addresses, made, [0x44; 32]);
    let found = record.open(&locator).unwrap();
    let beacon = locator.seek_key().beacon([0xaa; 16], made);
    json!({
        "phrase_entropy": hex([0x11; 32]),
        "signing_public": hex(phrase.signing),
        "access_public": hex(phrase.access),
        "hpke_public": hex(phrase.hpke),
        "locator": hex(locator.0),
        "slot": locator.slot().to_string(),
        "seek_beacon": { "nonce": hex([0xaa; 16]), "clock": made.0, "beacon": hex(beacon.as_bytes()) },
        "device_signing_seed": hex([0x22; 32]),
        "salt": hex([0x44; 32]),
        "made": made.0,
        "publisher": record.publisher().to_string(),
        "record": hex(record.as_bytes()),
        "device": found.device.to_string(),
        "addresses": found.addresses,
    })
}

// LOC-9
#[test]
fn vectors_hold() {
    vectors::check("locating", &page());
}

#[test]
#[ignore = "writes specs/vectors/locating.json"]
fn write_vectors() {
    vectors::write("locating", &page());
}
