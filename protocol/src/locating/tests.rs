//! Who reads a record, what it shows, and what is none.

use proptest::prelude::*;

use super::{record::publisher, *};
use crate::{
    keys::{DeviceKeys, phrase::Phrase, sign},
    limits::{ADDRESS_BYTES_MAX, ADDRESSES_MAX, LOCATOR_RECORD_BYTES},
    time::Timestamp,
};

fn locator(of: u8) -> Locator {
    Locator::of(&Phrase::from_entropy([of; 32]).recovery().public())
}

fn keys(of: u8) -> DeviceKeys {
    DeviceKeys::from_seeds([of; 32], [of; 32])
}

fn record(of: u8, by: u8, addresses: &[String]) -> LocatorRecord {
    LocatorRecord::seal(&locator(of), &keys(by), addresses, Timestamp(77), [by; 32])
}

// LOC-1
#[test]
fn whoever_has_the_phrase_reads_who_holds_and_nobody_else_does() {
    let addresses = ["10.0.0.1:4".to_owned()];
    let sealed = record(1, 2, &addresses);
    let read = LocatorRecord::read(&locator(1).slot(), sealed.as_bytes()).unwrap();
    assert_eq!(read, sealed);
    assert_eq!(read.made(), Timestamp(77));
    let found = read.open(&locator(1)).unwrap();
    assert_eq!(found, Whereabouts { device: keys(2).id(), addresses: addresses.to_vec() });
    assert_eq!(read.open(&locator(3)), None);
}

// LOC-2
#[test]
fn what_a_relay_sees_names_no_device_and_links_no_two_vaults() {
    let (one, other) = (record(1, 2, &[]), record(3, 2, &[]));
    assert_ne!(one.publisher(), other.publisher());
    assert_ne!(one.publisher(), keys(2).id());
    assert_eq!(one.publisher(), record(1, 2, &["1.2.3.4:5".to_owned()]).publisher());
    let id = keys(2).id();
    assert!(!one.as_bytes().windows(32).any(|window| window == id.as_bytes()));
    let public = Phrase::from_entropy([1; 32]).recovery().public();
    let slot = locator(1).slot();
    for key in [public.signing, public.access, public.hpke] {
        assert_ne!(*slot.as_bytes(), key);
        assert!(!one.as_bytes().windows(32).any(|window| window == key));
    }
    // The access key alone, which relays see, does not lead to the slot.
    let mut guessed = Phrase::from_entropy([9; 32]).recovery().public();
    guessed.access = public.access;
    assert_ne!(Locator::of(&guessed).slot(), slot);
}

// LOC-3
#[test]
fn a_record_holds_for_its_slot_and_as_it_is() {
    let (slot, sealed) = (locator(1).slot(), record(1, 2, &[]));
    assert_eq!(
        LocatorRecord::read(&locator(3).slot(), sealed.as_bytes()),
        Err(RecordError::Signature)
    );
    for place in 0..LOCATOR_RECORD_BYTES {
        let mut bytes = *sealed.as_bytes();
        bytes[place] ^= 1;
        let error = LocatorRecord::read(&slot, &bytes);
        assert_eq!(error, Err(RecordError::Signature), "byte {place}");
    }
    for bytes in [&[][..], &sealed.as_bytes()[1..], &[0; LOCATOR_RECORD_BYTES + 1]] {
        assert_eq!(LocatorRecord::read(&slot, bytes), Err(RecordError::Length));
    }
    assert!(LocatorRecord::read(&slot, &[0; LOCATOR_RECORD_BYTES]).is_err());
}

// LOC-3
#[test]
fn somebody_who_has_the_locator_cannot_speak_for_a_holder() {
    // With the seal of one holder and the key of another, nothing verifies as the first one's.
    let (one, other) = (record(1, 2, &[]), record(1, 4, &[]));
    let mut forged = *other.as_bytes();
    forged[..32].copy_from_slice(one.publisher().as_bytes());
    assert_eq!(LocatorRecord::read(&locator(1).slot(), &forged), Err(RecordError::Signature));
    // Nor does what one has sealed open under the name of another.
    let publisher = publisher(&keys(4), &locator(1).slot());
    let mut stolen = *one.as_bytes();
    stolen[..32].copy_from_slice(other.publisher().as_bytes());
    let body = [locator(1).slot().as_bytes(), &stolen[..LOCATOR_RECORD_BYTES - 64]].concat();
    let signature = sign::sign(&publisher, sign::LOCATOR_RECORD, &body);
    stolen[LOCATOR_RECORD_BYTES - 64..].copy_from_slice(&signature);
    let stolen = LocatorRecord::read(&locator(1).slot(), &stolen).unwrap();
    assert_eq!(stolen.open(&locator(1)), None);
}

// LOC-4
#[test]
fn all_records_have_one_length_and_addresses_without_room_are_left_out() {
    let long = vec!["x".repeat(ADDRESS_BYTES_MAX); ADDRESSES_MAX];
    let found = record(1, 2, &long).open(&locator(1)).unwrap();
    assert_eq!(found.addresses.len(), 3);
    let short = vec!["192.168.1.1:40000".to_owned(); 2 * ADDRESSES_MAX];
    assert_eq!(record(1, 2, &short).open(&locator(1)).unwrap().addresses.len(), ADDRESSES_MAX);
}

// LOC-5
#[test]
fn who_seeks_is_recognised_by_those_who_hold_and_by_nobody_else() {
    let now = Timestamp(1_800_000_000);
    let beacon = locator(1).seek_key().beacon([7; 16], now);
    assert!(locator(1).seek_key().is_of(&beacon, now));
    assert!(!locator(2).seek_key().is_of(&beacon, now));
    assert_eq!(format!("{:?}", locator(1)), "Locator(secret)");
}

proptest! {
    // LOC-3
    #[test]
    fn whatever_is_read_nothing_panics(
        bytes in prop::collection::vec(any::<u8>(), 0..LOCATOR_RECORD_BYTES + 2),
    ) {
        let slot = LocatorSlot::from_bytes([1; 32]);
        prop_assert!(LocatorRecord::read(&slot, &bytes).is_err());
    }
}
