//! A device that the phrase took in by an old log, or by one that somebody has filled.

use super::{
    removal::{family, leaver, merged, remove, rotate},
    *,
};
use crate::limits::{LOG_BYTES_MAX, LOG_BYTES_RESERVED};

/// Leaves room for the phrase alone.
pub(super) fn crowd(log: &mut DeviceLog) {
    log.bytes = LOG_BYTES_MAX - LOG_BYTES_RESERVED;
    assert!(log.is_crowded());
}

fn enrol(log: &mut DeviceLog, number: u8) {
    log.enrol(&recovery(), &device(number), &newcomer(number), &mut rng(number)).unwrap();
}

fn hand_on(log: &mut DeviceLog, number: u8) -> Result<Option<Vec<u8>>, DraftError> {
    log.hand_keys_on(&recovery(), &device(number), NOW, &mut rng(number + 100))
}

fn keys<'p>(log: &DeviceLog, who: impl Into<Principal<'p>>) -> Vec<[u8; 32]> {
    log.epoch_keys(who).unwrap().iter().map(EpochKey::commitment).collect()
}

// LOG-31: a holder that serves an old device log.
#[test]
fn the_phrase_hands_on_the_keys_of_which_the_first_log_said_nothing() {
    let old = family(2);
    let (mut newer, mut log) = (old.clone(), old);
    remove(&mut newer, 1, 2);
    enrol(&mut log, 9);
    assert_eq!(hand_on(&mut log, 9).unwrap(), None, "nothing is missing yet");
    let mut log = merged(&log, &newer);
    assert!(log.has_keys_beyond(&log.epoch_keys(&device(9)).unwrap()));
    let entry = hand_on(&mut log, 9).unwrap().expect("a key was missing");
    assert_eq!(keys(&log, &device(9)), keys(&log, &recovery()));
    assert_eq!(hand_on(&mut log, 9).unwrap(), None, "and is no more");
    // Whoever lives goes on with it, and whoever was removed has nothing of it.
    let all = merged(&newer, &log);
    assert!(all.check(&entry).is_ok());
    assert_eq!(keys(&all, &device(1)), keys(&all, &recovery()));
    assert_eq!(keys(&all, &device(2)).len(), 1);
    // Nothing is handed to who is none of the vault.
    let mut after = all.clone();
    after.remove(&device(1), &leaver(9), &mut rng(3)).unwrap();
    let refused = hand_on(&mut after, 9).unwrap_err();
    assert!(matches!(refused, DraftError::Log(LogError::Stranger)), "{refused:?}");
}

// LOG-31: where the phrase's own entries build on the genesis alone.
#[test]
fn a_log_that_somebody_has_filled_costs_the_phrase_one_epoch_and_no_more() {
    let mut log = family(2);
    rotate(&mut log, 1, 5);
    crowd(&mut log);
    enrol(&mut log, 9);
    assert_eq!(keys(&log, &device(9)).len(), 1);
    assert!(hand_on(&mut log, 9).unwrap().is_some());
    assert_eq!(keys(&log, &device(9)), keys(&log, &recovery()));
    assert_eq!(hand_on(&mut log, 9).unwrap(), None);
}
