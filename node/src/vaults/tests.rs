//! What of a vault survives a restart, a crash and a damaged disk.

use std::fs;

use larder_protocol::{
    guarding::{
        SealedPhrase,
        set::{Appointment, Guardian, GuardianSet},
    },
    head::{Claims, HEAD_VERSION, HeadBody},
    ids::ShardRoot,
    index::ShardRef,
    keys::{
        DeviceKeys,
        epoch::{ContentKey, EpochKey},
        phrase::Phrase,
    },
    log::{Founding, Label, Newcomer, Role},
    time::Timestamp,
};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
use tempfile::TempDir;

use super::*;

struct Founder {
    keys: DeviceKeys,
    log: DeviceLog,
}

fn founder() -> Founder {
    founder_of(1, 3)
}

/// A vault of this device and this phrase.
fn founder_of(device: u8, phrase: u8) -> Founder {
    let keys = DeviceKeys::from_seeds([device; 32], [2; 32]);
    let recovery = Phrase::from_entropy([phrase; 32]).recovery();
    let label = Label { name: "laptop".to_owned(), site: "home".to_owned() };
    let time = Timestamp(1_700_000_000);
    let founding = Founding { device: &keys, recovery: &recovery, label: &label, time };
    let founded = DeviceLog::found(&founding, &mut ChaCha20Rng::from_seed([4; 32])).unwrap();
    Founder { log: founded.log, keys }
}

impl Founder {
    fn head(&self, seq: u64, prev: Option<&SignedHead>, time: u64) -> SignedHead {
        let commit = ShardRef { root: ShardRoot::from_bytes([5; 32]), bytes: 16_384 };
        let body = HeadBody {
            version: HEAD_VERSION,
            vault: self.log.vault(),
            device: self.keys.id(),
            seq,
            prev: prev.map(SignedHead::hash),
            log: self.log.heads(),
            commit,
            claims: Claims::of([commit]),
            seen: Vec::new(),
            time: Timestamp(time),
        };
        SignedHead::sign(body, &self.keys).unwrap()
    }
}

fn opened(directory: &TempDir) -> Vaults {
    Vaults::open(&directory.path().join("vaults")).unwrap()
}

// HOME-1
#[test]
fn what_was_taken_is_there_after_a_restart_and_nothing_unfinished_is() {
    let (directory, founder) = (tempfile::tempdir().unwrap(), founder());
    let vault = founder.log.vault();
    let vaults = opened(&directory);
    vaults.add(&founder.log).unwrap();
    let first = founder.head(1, None, 10);
    assert_eq!(vaults.offer_head(vault, first.clone()).unwrap(), Offered::Taken);
    let second = founder.head(2, Some(&first), 20);
    assert_eq!(vaults.offer_head(vault, second.clone()).unwrap(), Offered::Taken);
    drop(vaults);

    let heads = directory.path().join("vaults").join(vault.to_string()).join("heads");
    fs::write(heads.join(".new-torn"), b"half").unwrap();
    let vaults = opened(&directory);
    assert!(!heads.join(".new-torn").exists());
    assert_eq!(fs::read_dir(&heads).unwrap().count(), 1, "the older head has gone");
    assert_eq!(vaults.heads_of(&vault).unwrap(), [second.bytes().to_vec()]);
    assert_eq!(vaults.log_heads(&vault), founder.log.heads());
    assert_eq!(vaults.relation(&founder.keys.id()), Some((vault, Relation::Device)));
    // HEAD-12
    assert_eq!(vaults.past_heads(&vault, &founder.keys.id()).unwrap(), [first]);
}

// HEAD-12: whoever has the key publishes heads that lead to nothing, as many as he likes.
#[test]
fn a_superseded_head_outlives_a_flood_of_newer_ones() {
    let (directory, founder) = (tempfile::tempdir().unwrap(), founder());
    let vault = founder.log.vault();
    let vaults = opened(&directory);
    vaults.add(&founder.log).unwrap();
    let honest = founder.head(1, None, 10);
    vaults.offer_head(vault, honest.clone()).unwrap();
    let mut last = honest.clone();
    for seq in 2..40 {
        last = founder.head(seq, Some(&last), 20);
        assert_eq!(vaults.offer_head(vault, last.clone()).unwrap(), Offered::Taken);
    }
    drop(vaults);
    let past = opened(&directory).past_heads(&vault, &founder.keys.id()).unwrap();
    assert!(past.contains(&honest));
    assert!(past.len() <= 8, "{}", past.len());
}

#[test]
fn both_sides_of_a_fork_are_kept() {
    let (directory, founder) = (tempfile::tempdir().unwrap(), founder());
    let vault = founder.log.vault();
    let vaults = opened(&directory);
    vaults.add(&founder.log).unwrap();
    let (one, other) = (founder.head(1, None, 10), founder.head(1, None, 11));
    vaults.offer_head(vault, one).unwrap();
    assert!(matches!(vaults.offer_head(vault, other).unwrap(), Offered::Forked(_)));
    drop(vaults);
    assert_eq!(opened(&directory).heads_of(&vault).unwrap().len(), 2);
}

// HOME-2
#[test]
fn what_does_not_verify_is_not_used_and_not_deleted() {
    let (directory, founder) = (tempfile::tempdir().unwrap(), founder());
    let vault = founder.log.vault();
    let vaults = opened(&directory);
    vaults.add(&founder.log).unwrap();
    vaults.offer_head(vault, founder.head(1, None, 10)).unwrap();
    drop(vaults);
    let folder = directory.path().join("vaults").join(vault.to_string());
    let head = fs::read_dir(folder.join("heads")).unwrap().next().unwrap().unwrap().path();
    let mut bytes = fs::read(&head).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&head, &bytes).unwrap();
    let stray = folder.join("log").join("f".repeat(64));
    fs::write(&stray, b"no entry").unwrap();

    let vaults = opened(&directory);
    assert_eq!(vaults.heads_of(&vault).unwrap(), Vec::<Vec<u8>>::new());
    assert_eq!(vaults.log_heads(&vault), founder.log.heads());
    assert!(head.exists() && stray.exists(), "nothing is deleted on doubt");

    // Offered again, it is acknowledged: so it has to be whole again.
    let whole = founder.head(1, None, 10);
    assert_eq!(vaults.offer_head(vault, whole.clone()).unwrap(), Offered::Taken);
    assert_eq!(fs::read(&head).unwrap(), whole.bytes());
    drop(vaults);
    assert_eq!(opened(&directory).heads_of(&vault).unwrap(), [whole.bytes().to_vec()]);
}

// LOG-14
#[test]
fn no_vault_takes_the_keys_of_another_away() {
    let directory = tempfile::tempdir().unwrap();
    let (victim, same_device, same_phrase) = (founder(), founder_of(1, 4), founder_of(5, 3));
    let vault = victim.log.vault();
    let vaults = opened(&directory);
    vaults.add(&victim.log).unwrap();
    for other in [&same_device, &same_phrase] {
        assert!(matches!(vaults.add(&other.log), Err(VaultError::Claimed(_))));
    }
    vaults.add(&victim.log).unwrap();
    let access = Phrase::from_entropy([3; 32]).recovery().access_id();
    assert_eq!(vaults.relation(&victim.keys.id()), Some((vault, Relation::Device)));
    assert_eq!(vaults.relation(&access), Some((vault, Relation::Recovery)));
}

// LOG-14: a device that consented to two vaults, one before the other was known here.
#[test]
fn the_own_vault_comes_first() {
    let directory = tempfile::tempdir().unwrap();
    let (own, other) = (founder(), founder_of(5, 4));
    let vaults = opened(&directory);
    for founder in [&own, &other] {
        vaults.add(&founder.log).unwrap();
    }
    let shared = DeviceKeys::from_seeds([9; 32], [2; 32]);
    for (founder, phrase) in [(&own, 3), (&other, 4)] {
        let mut log = founder.log.clone();
        let label = Label { name: "both".to_owned(), site: "home".to_owned() };
        let (device, role) = (shared.public(), Role::Owner);
        let newcomer = Newcomer { device, label, role, time: Timestamp(1) };
        let recovery = Phrase::from_entropy([phrase; 32]).recovery();
        let mut rng = ChaCha20Rng::from_seed([phrase; 32]);
        let entry = log.enrol(&recovery, &shared, &newcomer, &mut rng).unwrap();
        vaults.merge_log(log.vault(), &[entry]).unwrap();
    }
    vaults.set_own(own.log.vault());
    assert_eq!(vaults.relation(&shared.id()), Some((own.log.vault(), Relation::Device)));
    drop(vaults);
    let vaults = opened(&directory);
    vaults.set_own(other.log.vault());
    assert_eq!(vaults.relation(&shared.id()), Some((other.log.vault(), Relation::Device)));
}

/// Guardians of the vault of [`founder`], with this number.
fn guardians(founder: &Founder, number: u64) -> (GuardianSet, SealedPhrase) {
    let epoch = EpochKey::new(1, [6; 32]);
    let content = ContentKey::derive(&epoch);
    let guardian = Guardian {
        vault: VaultId::from_bytes([8; 32]),
        name: "anna".to_owned(),
        receiving: epoch.receiving().public(),
    };
    let phrase = Phrase::from_entropy([3; 32]);
    let parts = Appointment {
        vault: founder.log.vault(),
        number,
        time: Timestamp(1_700_000_000),
        phrase: &phrase,
        content: &content,
        threshold: 1,
        delay_s: 60,
        guardians: vec![guardian],
    };
    GuardianSet::appoint(parts, &mut ChaCha20Rng::from_seed([9; 32])).unwrap()
}

fn take(vaults: &Vaults, founder: &Founder, number: u64) -> Result<bool, VaultError> {
    let (set, sealed) = guardians(founder, number);
    vaults.change_guard(founder.log.vault(), |guard, _| {
        let is_changed = guard.offer(set, Some(sealed));
        (is_changed, is_changed)
    })
}

// GUARD-18
#[test]
fn guardians_are_durable_before_anybody_is_answered_and_damage_harms_nothing_else() {
    let (directory, founder) = (tempfile::tempdir().unwrap(), founder());
    let vault = founder.log.vault();
    let vaults = opened(&directory);
    vaults.add(&founder.log).unwrap();
    assert!(take(&vaults, &founder, 5).unwrap());
    let key = vaults.guard_of(&vault).unwrap().release_key().unwrap();
    assert_eq!(vaults.relation(&key), Some((vault, Relation::Guardians)));
    drop(vaults);
    let vaults = opened(&directory);
    assert_eq!(vaults.guard_of(&vault).unwrap().number(), 5);
    assert_eq!(vaults.relation(&key), Some((vault, Relation::Guardians)));

    // The disk takes nothing: nobody is told otherwise, and what was there stays.
    let own = directory.path().join("vaults").join(vault.to_string());
    fs::create_dir(own.join(".new-guard")).unwrap();
    assert!(take(&vaults, &founder, 6).unwrap_err().is_disk());
    assert_eq!(vaults.guard_of(&vault).unwrap().number(), 5);
    fs::remove_dir(own.join(".new-guard")).unwrap();
    // A start that was cut short.
    fs::write(own.join(".new-guard"), b"half").unwrap();
    let vaults = opened(&directory);
    assert!(!own.join(".new-guard").exists());
    assert_eq!(vaults.guard_of(&vault).unwrap().number(), 5);

    for damage in [&b"no record"[..], &[0; 40_000], &[]] {
        fs::write(own.join("guard"), damage).unwrap();
        let vaults = opened(&directory);
        assert_eq!(vaults.guard_of(&vault).unwrap().number(), 0);
        assert_eq!(fs::read(own.join("guard")).unwrap(), damage, "it is left where it is");
        assert_eq!(vaults.log_heads(&vault), founder.log.heads(), "and harms nothing else");
    }
    // What a newer program has written is no damage: nothing is said of it, and nothing written over it.
    let newer = [0xa2, 0x00, 0x02, 0x01, 0x63, b'n', b'e', b'w'];
    fs::write(own.join("guard"), newer).unwrap();
    let vaults = opened(&directory);
    let is_newer = |error| matches!(error, VaultError::NewerGuard { version: 2, .. });
    assert!(is_newer(vaults.guard_of(&vault).unwrap_err()));
    assert!(is_newer(take(&vaults, &founder, 6).unwrap_err()), "no set comes in its place");
    assert_eq!(vaults.relation(&key), None);
    assert_eq!(fs::read(own.join("guard")).unwrap(), newer);
    assert_eq!(vaults.log_heads(&vault), founder.log.heads());
    // Also one that is longer than any that this program writes.
    let longer = [&newer[..], &[0; 4_000_000]].concat();
    fs::write(own.join("guard"), &longer).unwrap();
    assert!(is_newer(opened(&directory).guard_of(&vault).unwrap_err()));
    // Not even one that cannot be read at all.
    fs::remove_file(own.join("guard")).unwrap();
    fs::create_dir(own.join("guard")).unwrap();
    assert_eq!(opened(&directory).log_heads(&vault), founder.log.heads());
    fs::remove_dir(own.join("guard")).unwrap();
    let vaults = opened(&directory);
    assert!(take(&vaults, &founder, 5).unwrap(), "a device of the vault brings it again");
    assert_eq!(opened(&directory).guard_of(&vault).unwrap().number(), 5);
}
