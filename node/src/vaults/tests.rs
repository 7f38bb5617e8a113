//! What of a vault survives a restart, a crash and a damaged disk.

use std::fs;

use larder_protocol::{
    head::{Claims, HEAD_VERSION, HeadBody},
    ids::ShardRoot,
    index::ShardRef,
    keys::{DeviceKeys, phrase::Phrase},
    log::{Founding, Label},
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
    let keys = DeviceKeys::from_seeds([1; 32], [2; 32]);
    let recovery = Phrase::from_entropy([3; 32]).recovery();
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
}
