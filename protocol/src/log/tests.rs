//! What a device log must withstand.

use proptest::prelude::*;
use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};

use super::*;
use crate::{
    cbor,
    keys::{DeviceKeys, RecoveryKeys, phrase::Phrase, sign},
    log::entry::{EntryBody, Signatures},
};

const NOW: Timestamp = Timestamp(1_800_000_000);
const UNSIGNED: Signatures = Signatures { author: [0; 64], consent: Some([0; 64]), access: None };

pub(super) fn rng(seed: u8) -> ChaCha8Rng {
    ChaCha8Rng::from_seed([seed; 32])
}

pub(super) fn device(number: u8) -> DeviceKeys {
    DeviceKeys::from_seeds([number; 32], [number.wrapping_add(100); 32])
}

pub(super) fn phrase() -> Phrase {
    Phrase::from_entropy([0x77; 32])
}

pub(super) fn recovery() -> RecoveryKeys {
    phrase().recovery()
}

pub(super) fn label(number: u8) -> Label {
    Label { name: format!("device {number}"), site: "home".into() }
}

pub(super) fn newcomer(number: u8) -> Newcomer {
    let (device, role) = (device(number).public(), Role::Owner);
    Newcomer { device, label: label(number), role, time: NOW }
}

/// A vault of device 1.
pub(super) fn vault() -> (DeviceLog, EpochKey) {
    let (device, recovery, label) = (device(1), recovery(), label(1));
    let founding = Founding { device: &device, recovery: &recovery, label: &label, time: NOW };
    let Founded { log, epoch } = DeviceLog::found(&founding, &mut rng(1)).unwrap();
    (log, epoch)
}

/// Device `by` takes in device `new`; the bytes of the entry.
pub(super) fn add(log: &mut DeviceLog, by: u8, new: u8) -> Vec<u8> {
    add_as(log, (by, new), Role::Owner)
}

/// Device `by` takes in device `new` in this role.
pub(super) fn add_as(log: &mut DeviceLog, (by, new): (u8, u8), role: Role) -> Vec<u8> {
    let newcomer = Newcomer { role, ..newcomer(new) };
    let draft = log.draft_add(&device(by), &newcomer, &mut rng(new)).unwrap();
    let consent = draft.consent(log, &device(new), (&label(new), role)).unwrap();
    log.append_add(&draft, consent, &device(by)).unwrap()
}

/// The addition of a member, device 2, by device 1, whose map says this number as its role.
pub(super) fn said_role(good: &[u8], number: u8) -> Vec<u8> {
    let body = cbor::encode(LogEntry::decode(good).unwrap().body());
    // The role ends the content of the act, which ends the body.
    let (last, before) = body.split_last().unwrap();
    assert_eq!(*last, 1, "a member");
    let body = [before, &[number]].concat();
    let author = device(1).sign(sign::LOG_ENTRY, &body);
    let consent = Some(device(2).sign(sign::LOG_CONSENT, &body));
    LogEntry::assemble(&body, Signatures { author, consent, access: None })
}

/// A new name for device `whom`, of the number `name`.
pub(super) fn called(whom: u8, name: u8) -> NewLabel {
    NewLabel { device: device(whom).id(), label: label(name), time: NOW }
}

/// Signs a changed body with the keys of these devices, as an attacker who has them could.
pub(super) fn resigned(
    bytes: &[u8],
    author: u8,
    consenting: u8,
    change: impl FnOnce(&mut EntryBody),
) -> Vec<u8> {
    let mut body = LogEntry::decode(bytes).unwrap().body().clone();
    change(&mut body);
    let body = cbor::encode(&body);
    let author = device(author).sign(sign::LOG_ENTRY, &body);
    let consent = device(consenting).sign(sign::LOG_CONSENT, &body);
    LogEntry::assemble(&body, Signatures { author, consent: Some(consent), access: None })
}

/// The same of an entry to which nobody consents.
pub(super) fn signed(bytes: &[u8], author: u8, change: impl FnOnce(&mut EntryBody)) -> Vec<u8> {
    let mut body = LogEntry::decode(bytes).unwrap().body().clone();
    change(&mut body);
    let body = cbor::encode(&body);
    let author = device(author).sign(sign::LOG_ENTRY, &body);
    LogEntry::assemble(&body, Signatures { author, consent: None, access: None })
}

pub(super) fn addition(body: &mut EntryBody) -> &mut Addition {
    match &mut body.act {
        Act::Add(addition) => addition,
        _ => unreachable!("only additions are changed here"),
    }
}

/// What everybody with the same entries must agree on.
fn view(log: &DeviceLog) -> impl PartialEq + std::fmt::Debug + use<> {
    let entries: Vec<_> = log.entries.keys().copied().collect();
    let names = |device: &LogDevice<'_>| -> Vec<SealedLabel> {
        log.names_of(&device.public.id).into_iter().cloned().collect()
    };
    let devices: Vec<_> = log
        .all_devices()
        .map(|device| (device.public, device.entry, device.role, names(&device)))
        .collect();
    (log.vault(), log.heads(), entries, devices, log.view.clone(), log.current_epoch())
}

// LOG-1, LOG-2
#[test]
fn a_vault_is_named_by_its_genesis_and_both_sides_hold_its_key() {
    let (log, epoch) = vault();
    assert_eq!(log.vault().as_bytes(), log.heads()[0].as_bytes());
    for keys in [log.epoch_keys(&device(1)), log.epoch_keys(&recovery())] {
        assert_eq!(keys.unwrap()[0].expose_secret(), epoch.expose_secret());
    }
    assert_eq!(log.epoch_keys(&device(2)).unwrap_err(), WrapError::NotForUs);
    assert_eq!(log.label(&device(1).id(), &[epoch]), Some(label(1)));
    assert_eq!(*log.recovery(), recovery().public());
}

// LOG-3
#[test]
fn a_device_taken_in_reads_the_vault_and_takes_in_the_next() {
    let (mut log, epoch) = vault();
    add(&mut log, 1, 2);
    add(&mut log, 2, 3);
    assert!(log.is_device(&device(3).id()) && !log.is_device(&device(4).id()));
    let keys = log.epoch_keys(&device(3)).unwrap();
    assert_eq!(keys[0].expose_secret(), epoch.expose_secret());
    assert_eq!(log.label(&device(2).id(), &keys), Some(label(2)));
    let copy = DeviceLog::from_entries(log.entries()).unwrap();
    assert_eq!(copy, log);
}

// LOG-3
#[test]
fn the_phrase_alone_takes_in_a_fresh_device() {
    let (log, _) = vault();
    let mut log = DeviceLog::from_entries(log.entries()).unwrap();
    log.enrol(&recovery(), &device(9), &newcomer(9), &mut rng(9)).unwrap();
    assert!(log.epoch_keys(&device(9)).is_ok());
    let stranger = Phrase::from_entropy([1; 32]).recovery();
    assert!(log.enrol(&stranger, &device(8), &newcomer(8), &mut rng(8)).is_err());
}

// LOG-4, LOG-5: every attack that needs no stolen key, and some that do.
#[test]
fn forged_entries_are_refused() {
    let (mut log, _) = vault();
    let before = log.clone();
    let good = add(&mut log, 1, 2);
    let by_stranger = |body: &mut EntryBody| body.author = Author::Device(device(5).id());
    let as_recovery = |body: &mut EntryBody| body.author = Author::Recovery;
    let swapped = |body: &mut EntryBody| addition(body).device.id = device(5).id();
    let foreign = |body: &mut EntryBody| body.vault = Some(VaultId::from_bytes([1; 32]));
    let unparented = |body: &mut EntryBody| body.parents.clear();
    let wild = EntryHash::from_bytes([9; 32]);
    let other_parent = |body: &mut EntryBody| body.parents = vec![wild];
    let twice = |body: &mut EntryBody| body.parents.push(body.parents[0]);
    let unwrapped = |body: &mut EntryBody| addition(body).wraps.clear();
    let weak = |body: &mut EntryBody| addition(body).device.id = DeviceId::from_bytes([0; 32]);
    let itself = device(1).id();
    let cases = [
        (resigned(&good, 5, 2, by_stranger), LogError::Stranger),
        (resigned(&good, 5, 2, as_recovery), LogError::Signature),
        (resigned(&good, 5, 2, |_| {}), LogError::Signature),
        (resigned(&good, 1, 5, |_| {}), LogError::Signature),
        (resigned(&good, 1, 2, swapped), LogError::Signature),
        (resigned(&good, 1, 2, foreign), LogError::ForeignVault),
        (resigned(&good, 1, 2, unparented), LogError::Shape),
        (resigned(&good, 1, 2, other_parent), LogError::UnknownParent { parent: wild }),
        (resigned(&good, 1, 2, twice), LogError::Shape),
        (resigned(&good, 1, 2, unwrapped), LogError::Shape),
        (resigned(&good, 1, 2, weak), LogError::Key),
        (
            resigned(&good, 1, 1, |body| addition(body).device.id = itself),
            LogError::Duplicate { device: itself },
        ),
    ];
    for (number, (bytes, expected)) in cases.into_iter().enumerate() {
        let mut log = before.clone();
        assert_eq!(log.check(&bytes), Err(expected), "case {number}");
        assert_eq!(log.merge(&bytes), Err(expected), "case {number}");
        assert_eq!(log, before, "case {number}");
    }
    let mut log = before;
    assert!(matches!(log.check(&good), Ok(Merged::Added(_))));
    assert!(matches!(log.merge(&good), Ok(Merged::Added(_))));
    assert!(matches!(log.check(&good), Ok(Merged::Known(_))));
    assert!(matches!(log.merge(&good), Ok(Merged::Known(_))));
}

// LOG-5: an entry of one vault says nothing in another, even of the same phrase and device.
#[test]
fn an_addition_of_another_vault_is_refused() {
    let (mut log, _) = vault();
    let (device, recovery, label) = (device(1), recovery(), label(1));
    let founding = Founding { device: &device, recovery: &recovery, label: &label, time: NOW };
    let mut other = DeviceLog::found(&founding, &mut rng(2)).unwrap().log;
    assert_ne!(log.vault(), other.vault());
    let foreign = add(&mut other, 1, 2);
    assert_eq!(log.merge(&foreign), Err(LogError::ForeignVault));
    let genesis = other.entries().next().unwrap().to_vec();
    assert_eq!(log.merge(&genesis), Err(LogError::ForeignVault));
    assert_eq!(DeviceLog::begin(&foreign).unwrap_err(), LogError::Genesis);
    assert_eq!(DeviceLog::from_entries::<&[u8]>([]).unwrap_err(), LogError::Genesis);
}

/// What somebody founds who names another phrase's access key, signing it with his own.
pub(super) fn claimed(access: [u8; 32], sign_access: bool) -> Vec<u8> {
    let (log, _) = vault();
    let genesis = log.entries().next().unwrap();
    let mut body = LogEntry::decode(genesis).unwrap().body().clone();
    if let Act::Genesis(genesis) = &mut body.act {
        genesis.recovery.access = access;
    }
    let body = cbor::encode(&body);
    let author = device(1).sign(sign::LOG_ENTRY, &body);
    let consent = recovery().sign(sign::LOG_CONSENT, &body);
    let access = sign_access.then(|| recovery().sign_access(sign::LOG_ACCESS, &body));
    LogEntry::assemble(&body, Signatures { author, consent: Some(consent), access })
}

// LOG-14: nobody founds a vault in the name of a key that he does not have.
#[test]
fn an_access_key_is_named_by_its_owner_alone() {
    let own = recovery().public().access;
    let others = Phrase::from_entropy([1; 32]).recovery().public().access;
    assert!(DeviceLog::begin(&claimed(own, true)).is_ok());
    assert_eq!(DeviceLog::begin(&claimed(others, true)).unwrap_err(), LogError::Signature);
    assert_eq!(DeviceLog::begin(&claimed(others, false)).unwrap_err(), LogError::Shape);
    assert_eq!(DeviceLog::begin(&claimed(own, false)).unwrap_err(), LogError::Shape);
}

// LOG-6, VERSIONS-1
#[test]
fn a_newer_version_and_an_unknown_act_say_so() {
    let (mut log, _) = vault();
    let good = add(&mut log, 1, 2);
    let newer = resigned(&good, 1, 2, |body| body.version = 7);
    assert_eq!(log.merge(&newer), Err(LogError::Newer { version: 7, act: 1 }));
    // {0: 1, 5: [5, [..]]}: a policy, should there ever be one.
    let policy = [0xa2, 0x00, 0x01, 0x05, 0x82, 0x05, 0x81, 0x00];
    let bytes = LogEntry::assemble(&policy, UNSIGNED);
    assert_eq!(log.merge(&bytes), Err(LogError::Newer { version: 1, act: 5 }));
    // {0: 65536, 5: [1, ..]}: more than this version can tell.
    let distant = [0xa2, 0x00, 0x1a, 0x00, 0x01, 0x00, 0x00, 0x05, 0x82, 0x01, 0x81, 0x00];
    let bytes = LogEntry::assemble(&distant, UNSIGNED);
    assert_eq!(log.merge(&bytes), Err(LogError::Newer { version: u16::MAX, act: 1 }));
    // {0: 2}: whatever a later version is like.
    let bytes = LogEntry::assemble(&[0xa1, 0x00, 0x02], UNSIGNED);
    assert_eq!(log.merge(&bytes), Err(LogError::Newer { version: 2, act: 0 }));
}

// LOG-7: the device that joins signs only what it asked for.
#[test]
fn the_joining_device_checks_the_draft_before_it_consents() {
    let (log, _) = vault();
    let draft = log.draft_add(&device(1), &newcomer(2), &mut rng(2)).unwrap();
    assert!(draft.consent(&log, &device(2), (&label(2), Role::Owner)).is_ok());
    let refusal = |draft: &AddDraft, log: &DeviceLog, own: u8, name: u8| {
        draft.consent(log, &device(own), (&label(name), Role::Owner)).unwrap_err()
    };
    assert_eq!(refusal(&draft, &log, 3, 2), DraftError::OtherDevice);
    assert_eq!(refusal(&draft, &log, 2, 3), DraftError::Label);
    let mut swapped = newcomer(2);
    swapped.device.hpke = device(3).public().hpke;
    let swapped = log.draft_add(&device(1), &swapped, &mut rng(2)).unwrap();
    assert_eq!(refusal(&swapped, &log, 2, 2), DraftError::OtherDevice);
    let mut body = entry::decode_body(draft.bytes()).unwrap();
    addition(&mut body).wraps[0].wrap.sealed[0] ^= 1;
    let damaged = AddDraft::decode(&cbor::encode(&body)).unwrap();
    assert_eq!(refusal(&damaged, &log, 2, 2), DraftError::Key(WrapError::Damaged));
    let stranger = vault_of(8);
    let foreign = LogError::ForeignVault.into();
    assert_eq!(refusal(&draft, &stranger, 2, 2), foreign);
}

// LOG-7: a draft without the new device's own signature is void.
#[test]
fn nobody_is_taken_in_without_consent() {
    let (mut log, _) = vault();
    let draft = log.draft_add(&device(1), &newcomer(2), &mut rng(2)).unwrap();
    let before = log.clone();
    for consent in [[0; 64], device(1).sign(sign::LOG_CONSENT, draft.bytes())] {
        assert_eq!(log.append_add(&draft, consent, &device(1)), Err(LogError::Signature));
    }
    let wrong_domain = device(2).sign(sign::LOG_ENTRY, draft.bytes());
    assert_eq!(log.append_add(&draft, wrong_domain, &device(1)), Err(LogError::Signature));
    assert_eq!(log, before);
}

// LOG-8: two devices take in the same third one, apart.
#[test]
fn a_device_taken_in_twice_apart_is_one_device() {
    let (mut base, _) = vault();
    add(&mut base, 1, 2);
    let (mut one, mut other) = (base.clone(), base);
    let draft_one = add(&mut one, 1, 3);
    let draft_other = add(&mut other, 2, 3);
    one.merge(&draft_other).unwrap();
    other.merge(&draft_one).unwrap();
    assert_eq!(view(&one), view(&other));
    assert_eq!(one.devices().count(), 3);
    assert_eq!(one.heads().len(), 2);
    add(&mut one, 3, 4);
    assert_eq!(one.heads().len(), 1);
    assert!(one.epoch_keys(&device(4)).is_ok());
}

// LOG-10
#[test]
fn entries_beyond_sends_what_is_missing_and_nothing_else() {
    let (mut log, _) = vault();
    let at_genesis = log.heads();
    add(&mut log, 1, 2);
    let after_two = log.heads();
    add(&mut log, 2, 3);
    assert_eq!(log.entries_beyond(&at_genesis).len(), 2);
    assert_eq!(log.entries_beyond(&after_two).len(), 1);
    assert_eq!(log.entries_beyond(&log.heads()).len(), 0);
    let unknown = EntryHash::from_bytes([1; 32]);
    assert_eq!(log.entries_beyond(&[unknown]).len(), 3);
    assert_eq!(log.entries_beyond(&[]).len(), log.len());
}

/// A device of which there are many.
fn numbered(number: u16) -> DeviceKeys {
    let [low, high] = number.to_le_bytes();
    let mut seed = [low; 32];
    seed[30] = 0xff;
    seed[31] = high;
    DeviceKeys::from_seeds(seed, seed)
}

/// Device `by` takes in one of many.
fn add_numbered(log: &mut DeviceLog, by: u8, number: u16) -> Result<Vec<u8>, DraftError> {
    let keys = numbered(number);
    let newcomer =
        Newcomer { device: keys.public(), label: label(2), role: Role::Owner, time: NOW };
    let draft = log.draft_add(&device(by), &newcomer, &mut rng(2))?;
    let consent = draft.consent(log, &keys, (&label(2), Role::Owner))?;
    Ok(log.append_add(&draft, consent, &device(by))?)
}

fn enrol_numbered(log: &mut DeviceLog, number: u16) -> Result<Vec<u8>, DraftError> {
    let keys = numbered(number);
    let newcomer =
        Newcomer { device: keys.public(), label: label(2), role: Role::Owner, time: NOW };
    log.enrol(&recovery(), &keys, &newcomer, &mut rng(2))
}

// LOG-11, LOG-15: a thief with a device's key takes in throwaway devices until no more fit.
#[test]
fn whoever_fills_the_log_does_not_shut_the_phrase_out() {
    let (founded, _) = vault();
    let mut log = founded.clone();
    let mut number = 2;
    let error = loop {
        match add_numbered(&mut log, 1, number) {
            Ok(_) => number += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(error, LogError::TooManyDevices.into());
    assert_eq!(log.devices().count(), DEVICES_MAX);
    // Beside the crowd: entries that know of few devices.
    let mut apart = founded.clone();
    let beside = add_numbered(&mut apart, 1, 1000).unwrap();
    assert_eq!(log.merge(&beside), Err(LogError::Full));
    for number in 2000.. {
        match enrol_numbered(&mut log, number) {
            // It stands in every log of the vault, whatever that one is filled with.
            Ok(entry) => assert!(founded.clone().merge(&entry).is_ok()),
            Err(error) => {
                assert_eq!(error, LogError::Full.into());
                break;
            }
        }
    }
    assert_eq!(log.devices().count(), LOG_DEVICES_MAX);
    let copy = DeviceLog::from_entries(log.entries()).unwrap();
    assert_eq!(view(&copy), view(&log));
}

// LOG-15, LOG-3: the phrase builds on the founding entry alone, and names the newcomer so that it can read it.
#[test]
fn the_phrase_takes_in_a_device_where_the_log_is_full_and_epochs_have_begun() {
    let (mut log, _) = vault();
    log.rotate(&device(1), NOW, &mut rng(3)).unwrap();
    let mut number = 2;
    while add_numbered(&mut log, 1, number).is_ok() {
        number += 1;
    }
    enrol_numbered(&mut log, 2000).unwrap();
    let keys = log.epoch_keys(&numbered(2000)).unwrap();
    assert_eq!(log.label(&numbered(2000).id(), &keys), Some(label(2)));
}

/// A vault founded by another device than the first.
fn vault_of(number: u8) -> DeviceLog {
    let (device, recovery, label) = (device(number), recovery(), label(number));
    let founding = Founding { device: &device, recovery: &recovery, label: &label, time: NOW };
    DeviceLog::found(&founding, &mut rng(number)).unwrap().log
}

/// A log that grew on two replicas which exchanged entries now and then. Each step: which replica
/// takes in the next device, and whether they exchange afterwards.
fn grown(steps: &[(bool, bool)]) -> Vec<Vec<u8>> {
    let (mut left, _) = vault();
    let mut right = left.clone();
    for (number, (on_left, exchange)) in (2..).zip(steps) {
        let log = if *on_left { &mut left } else { &mut right };
        add(log, 1, number);
        if *exchange {
            exchange_all(&mut left, &mut right);
        }
    }
    exchange_all(&mut left, &mut right);
    assert_eq!(view(&left), view(&right));
    left.entries().map(<[u8]>::to_vec).collect()
}

fn exchange_all(left: &mut DeviceLog, right: &mut DeviceLog) {
    let (before_left, before_right) = (left.clone(), right.clone());
    for (from, to) in [(before_left, right), (before_right, left)] {
        for entry in from.entries_beyond(&to.heads()) {
            to.merge(entry).unwrap();
        }
    }
}

/// Merges entries in the order of `ranks`, each as soon as its parents are there.
fn merged_in_order(entries: &[Vec<u8>], ranks: &[u32]) -> DeviceLog {
    let mut log = DeviceLog::begin(&entries[0]).unwrap();
    let mut rest: Vec<_> = ranks.iter().zip(&entries[1..]).collect();
    rest.sort();
    while !rest.is_empty() {
        let before = rest.len();
        rest.retain(|(_, entry)| match log.merge(entry) {
            Ok(merged) => {
                assert!(matches!(merged, Merged::Added(_)));
                assert!(matches!(log.merge(entry), Ok(Merged::Known(_))));
                false
            }
            Err(LogError::UnknownParent { .. }) => true,
            Err(error) => panic!("a valid entry was refused: {error}"),
        });
        assert!(rest.len() < before, "parents never arrive");
    }
    log
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    // LOG-8: any order that respects parents, any repetition, one view.
    #[test]
    fn merging_is_commutative_associative_and_idempotent(
        steps in proptest::collection::vec(any::<(bool, bool)>(), 0..7),
        one in proptest::collection::vec(any::<u32>(), 7),
        other in proptest::collection::vec(any::<u32>(), 7),
        split in any::<prop::sample::Index>(),
    ) {
        let entries = grown(&steps);
        let first = merged_in_order(&entries, &one);
        let second = merged_in_order(&entries, &other);
        prop_assert_eq!(view(&first), view(&second));
        // (a + b) + c = a + (b + c): merge a part of the one into a part of the other.
        let at = split.index(entries.len()) + 1;
        let mut part = DeviceLog::from_entries(&entries[..at]).unwrap();
        for entry in second.entries_beyond(&part.heads()) {
            part.merge(entry).unwrap();
        }
        prop_assert_eq!(view(&part), view(&first));
        prop_assert!(part.epoch_keys(&device(1)).is_ok());
    }

    // LOG-4
    #[test]
    fn no_bytes_make_the_decoders_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        let _ = LogEntry::decode(&bytes);
        let _ = AddDraft::decode(&bytes);
        let _ = DeviceLog::begin(&bytes);
    }

    // LOG-4: any change to a valid entry is refused, wherever it is.
    #[test]
    fn no_changed_entry_is_taken(
        at in any::<prop::sample::Index>(),
        change in 1_u8..,
        cut in any::<bool>(),
    ) {
        let (mut log, _) = vault();
        let before = log.clone();
        let mut bytes = add(&mut log, 1, 2);
        let at = at.index(bytes.len());
        if cut { bytes.truncate(at) } else { bytes[at] ^= change }
        let mut log = before.clone();
        prop_assert!(log.merge(&bytes).is_err());
        prop_assert_eq!(log, before);
    }
}

pub(super) mod backing;
mod clocks;
mod handing;
mod parents;
mod removal;
mod rename;
mod roles;
mod room;
