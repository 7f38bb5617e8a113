//! What `state.redb` still knows after it was closed and opened again, and whom it trusts.

use std::collections::BTreeSet;

use larder_protocol::{
    ids::{ChunkId, DeviceId, ShardRoot, VaultId},
    index::{ChunkKind, ChunkRecord, PackClass, PackRecord, ShardRef},
    keys::DeviceKeys,
    placing::Acquaintance,
    receipt::{Receipt, ReceiptBody},
    time::Timestamp,
    tree::entry::Content,
};

use super::{
    State, StateError,
    circle::{GrantRow, PeerRow},
    commits::{ClaimChange, CommitRow},
    index::Standing,
    scan_cache::{FolderKey, Note, ScanCache},
};
use crate::{
    depot::tests::full::SmallDisk,
    files::{DirectoryKey, Remembered, Remembers, Stamp},
};

fn shard(number: u8) -> ShardRef {
    ShardRef { root: ShardRoot::from_bytes([number; 32]), bytes: 16_384 }
}

fn pack(number: u8, chunk: u8) -> PackRecord {
    let record = ChunkRecord {
        id: ChunkId::from_bytes([chunk; 32]),
        kind: ChunkKind::Data,
        sealed_bytes: 100,
        plain_bytes: 83,
    };
    let chunks = vec![record];
    PackRecord { shard: shard(number), class: PackClass::Data, epoch: 1, salt: [9; 32], chunks }
}

// HOME-3
#[test]
fn what_was_acknowledged_is_there_after_a_restart() {
    let home = tempfile::tempdir().unwrap();
    let keys = DeviceKeys::from_seeds([1; 32], [2; 32]);
    let vault = VaultId::from_bytes([7; 32]);
    let body = ReceiptBody {
        vault,
        shard: shard(1),
        holder: keys.id(),
        stored: Timestamp(1),
        keep_until: Timestamp(2),
    };
    let receipt = Receipt::sign(body, &keys).unwrap();
    let grant = GrantRow { allowed_bytes: Some(5), ..GrantRow::new(vault, "friend".to_owned()) };
    {
        let state = State::open(home.path()).unwrap();
        state.keep_receipts(std::slice::from_ref(&receipt)).unwrap();
        state.change_grant(&vault, |_| Some(grant.clone())).unwrap();
        state.raise_published_seq(4).unwrap();
        state.raise_published_seq(3).unwrap();
    }
    let state = State::open(home.path()).unwrap();
    assert_eq!(state.receipts_for(&shard(1).root).unwrap(), [receipt]);
    assert_eq!(state.receipts_for(&shard(2).root).unwrap(), []);
    assert!(state.proofs().unwrap().is_empty());
    let holder = keys.id();
    let (roots, at) = ([shard(1).root, shard(2).root], Timestamp(7));
    state.note_proven(&holder, &roots, at).unwrap();
    state.note_proven(&holder, &roots[..1], Timestamp(9)).unwrap();
    let proven = state.proofs().unwrap().remove(&holder).unwrap();
    assert_eq!(proven.into_iter().collect::<Vec<_>>(), [(roots[0], Timestamp(9)), (roots[1], at)]);
    state.drop_receipt(&roots[0], &holder).unwrap();
    assert_eq!(state.proofs().unwrap()[&holder].len(), 1);
    assert_eq!(state.grants().unwrap(), [grant]);
    assert_eq!(state.published_seq().unwrap(), 4, "never goes back");
}

// ERR-15
#[test]
fn when_a_holder_was_met_never_goes_back_and_outlives_it() {
    let home = tempfile::tempdir().unwrap();
    let [one, two] = [1, 2].map(|seed| DeviceId::from_bytes([seed; 32]));
    let state = State::open(home.path()).unwrap();
    state.note_met(&[one, two], Timestamp(50)).unwrap();
    state.note_met(&[one], Timestamp(40)).unwrap();
    state.note_met(&[two], Timestamp(60)).unwrap();
    state.forget_circle(&VaultId::from_bytes([7; 32])).unwrap();
    drop(state);
    let state = State::open(home.path()).unwrap();
    let met = [one, two, DeviceId::from_bytes([3; 32])].map(|holder| state.met(&holder).unwrap());
    assert_eq!(met, [Some(Timestamp(50)), Some(Timestamp(60)), None]);
}

// HOME-4
#[test]
fn a_head_is_there_under_its_number_before_it_is_shown() {
    let home = tempfile::tempdir().unwrap();
    let own = DeviceId::from_bytes([1; 32]);
    let row = CommitRow { seq: 9, pack: shard(1), manifest: vec![1], head: vec![2, 3] };
    State::open(home.path()).unwrap().keep_own_commit(&own, &row, &ClaimChange::default()).unwrap();
    let state = State::open(home.path()).unwrap();
    assert_eq!(state.commit_of(&own).unwrap(), Some(row));
    assert_eq!(state.own_head(9).unwrap(), Some(vec![2, 3]));
    assert_eq!(state.own_head(8).unwrap(), None);
}

// HOME-7
#[test]
fn a_pack_counts_as_listed_with_the_commit_that_lists_it() {
    let home = tempfile::tempdir().unwrap();
    let state = State::open(home.path()).unwrap();
    let listed = |number| state.facts_of(&shard(number).root).unwrap().unwrap().listed;
    state.add_packs(&[pack(1, 1), pack(2, 2)], Standing::Own).unwrap();
    state.add_packs(&[pack(3, 3)], Standing::Known).unwrap();
    let row = CommitRow { seq: 1, pack: shard(9), manifest: vec![1], head: vec![2] };
    let roots = [1, 2, 3].map(|number| shard(number).root).into();
    let change = ClaimChange { listed: roots, ..ClaimChange::default() };
    state.keep_own_commit(&DeviceId::from_bytes([1; 32]), &row, &change).unwrap();
    assert!(listed(1) && listed(2) && listed(3));
    // A home in which packs were marked before a commit that never came.
    state.correct_listed(&BTreeSet::from([shard(1).root])).unwrap();
    assert_eq!([listed(1), listed(2), listed(3)], [true, false, false]);
    let relied_on = |number| state.facts_of(&shard(number).root).unwrap().unwrap().is_relied_on;
    assert_eq!([relied_on(2), relied_on(3)], [false, true], "own packs are listed anyway");
}

// HOME-6
#[test]
fn only_what_this_device_vouches_for_lets_a_backup_leave_a_chunk_out() {
    let home = tempfile::tempdir().unwrap();
    let state = State::open(home.path()).unwrap();
    let (chunk, other) = (ChunkId::from_bytes([1; 32]), ChunkId::from_bytes([2; 32]));
    state.add_packs(&[pack(1, 1)], Standing::Known).unwrap();
    assert_eq!(state.locate(&chunk).unwrap().unwrap().shard, shard(1), "good for restoring");
    assert_eq!(state.usable_pack_of(&chunk).unwrap(), None, "and for nothing else");
    state.add_packs(&[pack(2, 1), pack(3, 2)], Standing::Own).unwrap();
    assert_eq!(state.locate(&chunk).unwrap().unwrap().shard, shard(2), "the better place wins");
    assert!(state.usable_pack_of(&chunk).unwrap().is_some());
    drop(state);

    let state = State::open(home.path()).unwrap();
    assert!(state.usable_pack_of(&other).unwrap().is_some(), "known again after a restart");
    state.vouch(&shard(1).root, 2).unwrap();
    let vouched = state.facts_of(&shard(1).root).unwrap().unwrap();
    assert!(vouched.usable && vouched.promised_sites == 2);
    state.add_packs(&[pack(2, 1)], Standing::Known).unwrap();
    assert!(state.facts_of(&shard(2).root).unwrap().unwrap().own, "trust only grows");
}

// HOME-8
#[test]
fn a_chunk_whose_pack_is_nowhere_is_stored_anew() {
    let home = tempfile::tempdir().unwrap();
    let chunk = ChunkId::from_bytes([1; 32]);
    {
        let state = State::open(home.path()).unwrap();
        state.add_packs(&[pack(1, 1)], Standing::Own).unwrap();
        state.revoke(&shard(1).root).unwrap();
        assert_eq!(state.usable_pack_of(&chunk).unwrap(), None);
        assert_eq!(state.locate(&chunk).unwrap().unwrap().shard, shard(1), "named all the same");
    }
    let state = State::open(home.path()).unwrap();
    assert_eq!(state.usable_pack_of(&chunk).unwrap(), None, "after a restart too");
    state.add_packs(&[pack(2, 1)], Standing::Own).unwrap();
    assert!(state.usable_pack_of(&chunk).unwrap().is_some());
    assert_eq!(state.locate(&chunk).unwrap().unwrap().shard, shard(2), "in its new place");
    state.vouch(&shard(1).root, 1).unwrap();
    assert!(state.facts_of(&shard(1).root).unwrap().unwrap().usable, "a holder has it after all");
}

// INDEX-7
#[test]
fn a_chunk_has_several_places_and_the_most_trusted_comes_first() {
    let home = tempfile::tempdir().unwrap();
    let chunk = ChunkId::from_bytes([1; 32]);
    let roots = |state: &State| -> Vec<u8> {
        let places = state.locations(&chunk).unwrap();
        places.iter().map(|place| place.shard.root.as_bytes()[0]).collect()
    };
    {
        let state = State::open(home.path()).unwrap();
        state.add_packs(&[pack(1, 1), pack(2, 1)], Standing::Known).unwrap();
        state.add_packs(&[pack(2, 1)], Standing::Known).unwrap();
        assert_eq!(roots(&state), [1, 2]);
        state.vouch(&shard(2).root, 1).unwrap();
        assert_eq!(roots(&state), [2, 1], "holders say that they have it");
        state.add_packs(&[pack(3, 1)], Standing::Own).unwrap();
        assert_eq!(roots(&state), [3, 2, 1], "whoever else claims to have it");
        // However many more are claimed, the trusted ones are never pushed out.
        let more: Vec<PackRecord> = (10..30).map(|number| pack(number, 1)).collect();
        state.add_packs(&more, Standing::Known).unwrap();
        assert_eq!(roots(&state), [3, 2, 1, 10]);
        state.add_packs(&[pack(4, 1)], Standing::Own).unwrap();
        assert_eq!(roots(&state), [4, 3, 2, 1], "of its own the newest");
    }
    let state = State::open(home.path()).unwrap();
    assert_eq!(roots(&state), [4, 3, 2, 1], "after a restart too");
    state.revoke(&shard(3).root).unwrap();
    state.revoke(&shard(4).root).unwrap();
    assert_eq!(roots(&state), [2, 1, 4, 3], "lost ones are tried last");
    let number = state.facts_of(&shard(2).root).unwrap().unwrap().number;
    assert_eq!(state.usable_pack_of(&chunk).unwrap(), Some(number));
}

#[test]
fn a_home_of_a_newer_program_is_refused() {
    let home = tempfile::tempdir().unwrap();
    let state = State::open(home.path()).unwrap();
    state.keep_note("layout", &9_u32.to_le_bytes()).unwrap();
    drop(state);
    let refused = State::open(home.path()).unwrap_err();
    assert!(matches!(refused, StateError::Newer { found: 9, known: 2 }));
}

// HOME-10
#[test]
fn a_disk_that_was_full_for_a_moment_does_not_end_the_memory_of_a_node() {
    let Some(disk) = SmallDisk::mount() else { return };
    let state = State::open(disk.path()).unwrap();
    state.keep_note("before", &[1]).unwrap();
    let filler = disk.fill();
    let large = vec![7; 1024 * 1024];
    let refused = (0..64).find(|number| state.keep_note(&format!("{number}"), &large).is_err());
    assert!(refused.is_some(), "the disk is full");
    assert_eq!(state.note("before").unwrap(), Some(vec![1]), "read while it is full");
    std::fs::remove_file(filler).unwrap();
    state.keep_note("after", &large).unwrap();
    assert_eq!(state.note("after").unwrap(), Some(large));
}

// HOME-5
#[test]
fn a_scan_cache_that_cannot_be_written_costs_time_only() {
    let Some(disk) = SmallDisk::mount() else { return };
    let cache = ScanCache::open(disk.path());
    let key = |number: u32| DirectoryKey(*number.to_le_bytes().repeat(4).first_chunk().unwrap());
    let folder = FolderKey::of(key(0));
    let entry = Remembered {
        name: b"a".to_vec(),
        stamp: [7; Stamp::BYTES],
        looked: 0,
        xattrs: None,
        target: vec![7; 16_000],
        content: Some(Content::Inline(Vec::new())),
    };
    let keep = |from: u32| {
        let note = |number| Note::Part {
            directory: key(number),
            entries: vec![entry.clone()],
            is_whole: true,
        };
        cache.keep(folder, &(from..from + 500).map(note).collect::<Vec<_>>());
        cache.flush();
    };
    let is_there = |number| {
        let found = cache.view(folder, 0).remembered(key(number), b"a", b"a");
        found.entries == [entry.clone()]
    };
    keep(0);
    assert!(is_there(1));
    let filler = disk.fill();
    (1..8).for_each(|batch| keep(batch * 500));
    assert!(is_there(1), "what was kept before is there");
    assert!((1..8).any(|batch| !is_there(batch * 500)), "the disk is full");
    std::fs::remove_file(filler).unwrap();
    keep(10_000);
    assert!(is_there(10_001), "and it goes on");
}

// HOME-16
#[test]
fn what_is_learnt_of_a_peer_at_once_is_all_kept() {
    let directory = tempfile::tempdir().unwrap();
    let state = State::open(directory.path()).unwrap();
    let device = DeviceId::from_bytes([1; 32]);
    let row = PeerRow {
        device,
        vault: VaultId::from_bytes([2; 32]),
        name: String::new(),
        site: String::new(),
        addresses: Vec::new(),
        last_seen: 0,
        granted_bytes: 0,
        used_bytes: 0,
        is_holder: true,
        acquaintance: Acquaintance::default(),
        unclaimed_bytes: 0,
        beacon_key: None,
        receiving: None,
    };
    state.change_peer(&device, |known| known.or(Some(row))).unwrap();
    let count = |change: fn(&mut PeerRow)| {
        for _ in 0..40 {
            let changed = state.change_peer(&device, |known| {
                let mut row = known?;
                change(&mut row);
                Some(row)
            });
            changed.unwrap();
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(|| count(|row| row.used_bytes += 1));
        scope.spawn(|| count(|row| row.granted_bytes += 1));
        scope.spawn(|| count(|row| row.name.push('x')));
    });
    let row = state.peer(&device).unwrap().unwrap();
    assert_eq!((row.used_bytes, row.granted_bytes, row.name.len()), (40, 40, 40));

    state.set_peer_aside(&device).unwrap();
    count(|row| row.used_bytes += 1);
    assert_eq!(state.peer(&device).unwrap(), None);
}
