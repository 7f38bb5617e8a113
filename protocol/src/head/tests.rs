//! What heads and the book of heads must withstand.

use proptest::prelude::*;
use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};

use super::*;
use crate::{
    ids::ShardRoot,
    keys::phrase::Phrase,
    log::{Founding, Label, LastHead, Leaver, Newcomer, Reason, Role},
};

pub(super) fn device(number: u8) -> DeviceKeys {
    DeviceKeys::from_seeds([number; 32], [number.wrapping_add(100); 32])
}

/// A vault of devices 1 and 2.
pub(super) fn vault() -> DeviceLog {
    let recovery = Phrase::from_entropy([0x77; 32]).recovery();
    let label = Label { name: "one".into(), site: "home".into() };
    let time = Timestamp(1);
    let mut rng = ChaCha8Rng::from_seed([1; 32]);
    let one = device(1);
    let founding = Founding { device: &one, recovery: &recovery, label: &label, time };
    let mut log = DeviceLog::found(&founding, &mut rng).unwrap().log;
    let newcomer = Newcomer { device: device(2).public(), label, role: Role::Owner, time };
    log.enrol(&recovery, &device(2), &newcomer, &mut rng).unwrap();
    log
}

pub(super) fn body(log: &DeviceLog, number: u8, seq: u64, prev: Option<&SignedHead>) -> HeadBody {
    let commit = ShardRef { root: ShardRoot::from_bytes([3; 32]), bytes: 16_384 };
    HeadBody {
        version: HEAD_VERSION,
        vault: log.vault(),
        device: device(number).id(),
        seq,
        prev: prev.map(SignedHead::hash),
        log: log.heads(),
        commit,
        claims: Claims::of([commit]),
        seen: Vec::new(),
        time: Timestamp(seq),
    }
}

pub(super) fn head(log: &DeviceLog, number: u8, seq: u64, prev: Option<&SignedHead>) -> SignedHead {
    SignedHead::sign(body(log, number, seq, prev), &device(number)).unwrap()
}

/// A head as a clone would write it: same number and parent, other content.
pub(super) fn twin(log: &DeviceLog, number: u8, seq: u64, prev: Option<&SignedHead>) -> SignedHead {
    let mut body = body(log, number, seq, prev);
    body.time = Timestamp(999);
    SignedHead::sign(body, &device(number)).unwrap()
}

/// Heads 1 to `count` of a device.
pub(super) fn chain(log: &DeviceLog, number: u8, count: u64) -> Vec<SignedHead> {
    let mut heads: Vec<SignedHead> = Vec::new();
    for seq in 1..=count {
        heads.push(head(log, number, seq, heads.last()));
    }
    heads
}

// HEAD-1
#[test]
fn a_head_round_trips_and_is_the_word_of_its_device() {
    let log = vault();
    let head = head(&log, 1, 1, None);
    let read = SignedHead::decode(head.bytes()).unwrap();
    assert_eq!(read, head);
    assert_eq!(read.verify(&log), Ok(()));
    let other = SignedHead::sign(body(&log, 1, 1, None), &device(2));
    assert_eq!(other, Err(HeadError::Stranger { device: device(1).id() }));
}

// HEAD-2
#[test]
fn forged_and_foreign_heads_are_refused() {
    let log = vault();
    let stranger = SignedHead::sign(body(&log, 5, 1, None), &device(5)).unwrap();
    assert_eq!(stranger.verify(&log), Err(HeadError::Stranger { device: device(5).id() }));
    let mut foreign = body(&log, 1, 1, None);
    foreign.vault = VaultId::from_bytes([8; 32]);
    let foreign = SignedHead::sign(foreign, &device(1)).unwrap();
    assert_eq!(foreign.verify(&log), Err(HeadError::ForeignVault));
    let mut ahead = body(&log, 1, 1, None);
    let entry = EntryHash::from_bytes([0xfe; 32]);
    ahead.log.push(entry);
    ahead.log.sort_unstable();
    let ahead = SignedHead::sign(ahead, &device(1)).unwrap();
    assert_eq!(ahead.verify(&log), Err(HeadError::LogBehind { entry }));
    let mut forged = head(&log, 1, 1, None);
    forged.signature[40] ^= 1;
    assert_eq!(forged.verify(&log), Err(HeadError::Signature));
    let mut book = HeadBook::default();
    assert_eq!(book.offer(&log, forged), Offered::Invalid(HeadError::Signature));
    assert_eq!(book.heads().count(), 0);
}

// HEAD-3, VERSIONS-1
#[test]
fn a_newer_version_says_so() {
    let log = vault();
    let mut newer = body(&log, 1, 1, None);
    newer.version = 2;
    let newer = SignedHead::sign(newer, &device(1)).unwrap();
    let refused = SignedHead::decode(newer.bytes());
    assert_eq!(refused, Err(HeadError::Newer { version: 2 }));
}

// HEAD-4
#[test]
fn heads_that_contradict_themselves_are_not_even_signed() {
    let log = vault();
    let first = head(&log, 1, 1, None);
    let seen = Seen { device: device(2).id(), seq: 1, head: first.hash() };
    let cases: [fn(&mut HeadBody, Seen); 8] = [
        |body, _| body.seq = 0,
        |body, _| body.seq = 2,
        |body, seen| body.prev = Some(seen.head),
        |body, _| body.log.clear(),
        |body, _| body.log.push(body.log[0]),
        |body, seen| body.seen = vec![seen, seen],
        |body, seen| body.seen = vec![Seen { device: body.device, ..seen }],
        |body, _| body.commit.bytes = 0,
    ];
    for (number, case) in cases.into_iter().enumerate() {
        let mut body = body(&log, 1, 1, None);
        case(&mut body, seen);
        let refused = SignedHead::sign(body, &device(1));
        assert_eq!(refused, Err(HeadError::Shape), "case {number}");
    }
}

// HEAD-5
#[test]
fn the_highest_head_is_kept_and_an_older_one_is_answered_with_it() {
    let log = vault();
    let heads = chain(&log, 1, 5);
    let mut book = HeadBook::default();
    assert_eq!(book.offer(&log, heads[1].clone()), Offered::Taken);
    assert_eq!(book.offer(&log, heads[4].clone()), Offered::Taken);
    assert_eq!(book.offer(&log, heads[4].clone()), Offered::Known);
    for old in &heads[..4] {
        assert_eq!(book.offer(&log, old.clone()), Offered::Older(Box::new(heads[4].clone())));
    }
    assert_eq!(book.highest(&device(1).id()), Some(&heads[4]));
    assert_eq!(book.heads().count(), 1);
}

// HEAD-6
#[test]
fn both_sides_of_a_fork_are_kept_and_may_go_on() {
    let log = vault();
    let heads = chain(&log, 1, 3);
    let clone = twin(&log, 1, 3, Some(&heads[1]));
    let mut book = HeadBook::default();
    book.offer(&log, heads[2].clone());
    let Offered::Forked(proof) = book.offer(&log, clone.clone()) else {
        panic!("two heads of one number are a fork")
    };
    assert!(proof.contains(&heads[2]) && proof.contains(&clone));
    assert_eq!(book.fork(&device(1).id()), Some(&*proof));
    let ours = head(&log, 1, 4, Some(&heads[2]));
    let theirs = head(&log, 1, 4, Some(&clone));
    for next in [&ours, &theirs] {
        assert!(matches!(book.offer(&log, next.clone()), Offered::Forked(_)));
    }
    assert_eq!(book.heads_of(&device(1).id()).count(), 4);
    // HEAD-14: one of each side, and none that somebody went on from.
    let tips: BTreeSet<_> = book.tips().map(SignedHead::hash).collect();
    assert_eq!(tips, [ours.hash(), theirs.hash()].into());
    assert!(matches!(book.offer(&log, heads[0].clone()), Offered::Older(_)));
    // Whoever is shown all of it comes to the same proof, in whatever order.
    let mut other = HeadBook::default();
    for head in book.heads().collect::<Vec<_>>().into_iter().rev() {
        other.offer(&log, head.clone());
    }
    assert!(other.fork(&device(1).id()).is_some());
}

// HEAD-6: the numbers differ, but the later head's parent is not the earlier head.
#[test]
fn a_broken_link_is_a_fork() {
    let log = vault();
    let heads = chain(&log, 1, 3);
    let clone = twin(&log, 1, 2, Some(&heads[0]));
    let (later, earlier) = (heads[2].clone(), clone);
    for (first, second) in [(later.clone(), earlier.clone()), (earlier, later)] {
        let mut book = HeadBook::default();
        book.offer(&log, first);
        assert!(matches!(book.offer(&log, second), Offered::Forked(_)));
    }
}

// HEAD-6: a thief with the key cannot make the book grow without end.
#[test]
fn a_forked_device_fills_no_memory() {
    let log = vault();
    let heads = chain(&log, 1, 2);
    let mut book = HeadBook::default();
    book.offer(&log, heads[1].clone());
    book.offer(&log, twin(&log, 1, 2, Some(&heads[0])));
    for seq in 0..50 {
        book.offer(&log, head(&log, 1, 10 + 2 * seq, Some(&heads[0])));
    }
    assert!(book.heads().count() <= 8);
}

// HEAD-7: a device that was cloned or set back finds a head that it did not write.
#[test]
fn a_device_does_not_publish_over_a_head_that_it_did_not_write() {
    let log = vault();
    let id = device(1).id();
    let heads = chain(&log, 1, 4);
    let mut book = HeadBook::default();
    assert_eq!(book.may_publish(&id, None), Ok(()));
    book.offer(&log, heads[2].clone());
    assert!(book.may_publish(&id, None).is_err());
    assert!(book.may_publish(&id, Some(&heads[1])).is_err());
    assert_eq!(book.may_publish(&id, Some(&heads[2])), Ok(()));
    assert_eq!(book.may_publish(&id, Some(&heads[3])), Ok(()));
    let clone = twin(&log, 1, 3, Some(&heads[1]));
    assert!(book.may_publish(&id, Some(&clone)).is_err());
    book.offer(&log, clone.clone());
    let refused = book.may_publish(&id, Some(&heads[2])).unwrap_err();
    assert_eq!(*refused.met, clone);
}

// HEAD-8
#[test]
fn a_hidden_head_is_missed() {
    let log = vault();
    let hidden = chain(&log, 2, 3);
    let mut body = body(&log, 1, 1, None);
    body.seen = vec![hidden[2].seen()];
    let witness = SignedHead::sign(body, &device(1)).unwrap();
    let mut book = HeadBook::default();
    book.offer(&log, witness.clone());
    assert_eq!(book.missing(), [hidden[2].seen()]);
    book.offer(&log, hidden[1].clone());
    assert_eq!(book.missing(), [hidden[2].seen()]);
    assert_eq!(book.witnesses(&hidden[2]), 1);
    book.offer(&log, hidden[2].clone());
    assert_eq!(book.missing(), []);
    assert_eq!(book.seen_by(&device(1).id()), [hidden[2].seen()]);
    assert_eq!(book.witnesses(&witness), 0);
}

// HEAD-11: heads that name devices nobody knows would make every answer too long to serve.
#[test]
fn a_head_has_seen_devices_of_the_vault_alone() {
    let log = vault();
    let seen = |number: u8| Seen { device: device(number).id(), seq: 1, head: hash_of(number) };
    let mut honest = body(&log, 1, 1, None);
    honest.seen = vec![seen(2)];
    let honest = SignedHead::sign(honest, &device(1)).unwrap();
    assert_eq!(honest.verify(&log), Ok(()));
    let mut stuffed = body(&log, 1, 1, None);
    stuffed.seen = vec![seen(77)];
    let stuffed = SignedHead::sign(stuffed, &device(1)).unwrap();
    let device = device(77).id();
    assert_eq!(stuffed.verify(&log), Err(HeadError::Stranger { device }));
}

fn hash_of(number: u8) -> HeadHash {
    HeadHash::from_bytes([number; 32])
}

// HEAD-9
#[test]
fn claims_are_a_set() {
    let shard = |byte| ShardRef { root: ShardRoot::from_bytes([byte; 32]), bytes: 1 };
    let one = Claims::of([shard(1), shard(2)]);
    assert_eq!(one, Claims::of([shard(2), shard(1), shard(2)]));
    assert_eq!(one.count, 2);
    assert_ne!(one.root, Claims::of([shard(1)]).root);
}

proptest! {
    // HEAD-2
    #[test]
    fn no_bytes_make_the_decoder_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = SignedHead::decode(&bytes);
    }

    // HEAD-2
    #[test]
    fn no_changed_head_is_taken(
        at in any::<prop::sample::Index>(),
        change in 1_u8..,
        cut in any::<bool>(),
    ) {
        let log = vault();
        let mut bytes = head(&log, 1, 1, None).bytes().to_vec();
        let at = at.index(bytes.len());
        if cut { bytes.truncate(at) } else { bytes[at] ^= change }
        let taken = SignedHead::decode(&bytes).is_ok_and(|head| head.verify(&log).is_ok());
        prop_assert!(!taken);
    }
}

// HEAD-13, HEAD-14: a clone is removed by whoever knows of both sides.
#[test]
fn of_a_removed_fork_both_sides_count_and_what_comes_later_does_not() {
    let mut log = vault();
    let heads = chain(&log, 2, 3);
    let clone = twin(&log, 2, 3, Some(&heads[1]));
    let device_id = device(2).id();
    let mut book = HeadBook::default();
    for head in [&heads[2], &clone] {
        book.offer(&log, head.clone());
    }
    // Each goes on once where this has not been heard of.
    let later = head(&log, 2, 4, Some(&clone));
    let mut elsewhere = book.clone();
    elsewhere.offer(&log, later.clone());
    let highest = book.highest(&device_id).unwrap();
    let last = Some(LastHead { seq: highest.body().seq + 1, head: highest.hash() });
    let (reason, time) = (Reason::Replaced, Timestamp(9));
    let leaver = Leaver { device: device_id, reason, last, undo_removals: false, time };
    log.remove(&device(1), &leaver, &mut ChaCha8Rng::from_seed([3; 32])).unwrap();

    let sides: BTreeSet<_> = [heads[2].hash(), clone.hash()].into();
    let tips = |book: &HeadBook| book.tips().map(SignedHead::hash).collect::<BTreeSet<_>>();
    assert!(book.drop_void(&log).is_empty());
    assert_eq!(tips(&book), sides);
    elsewhere.drop_void(&log);
    assert_eq!(tips(&elsewhere), sides);
    assert!(matches!(book.offer(&log, later), Offered::Invalid(HeadError::Removed { .. })));
}

// HEAD-13
#[test]
fn of_a_removed_device_the_heads_up_to_the_last_one_count() {
    let mut log = vault();
    let heads = chain(&log, 2, 4);
    let (mut ahead, mut behind) = (HeadBook::default(), HeadBook::default());
    assert_eq!(ahead.offer(&log, heads[3].clone()), Offered::Taken);
    assert_eq!(behind.offer(&log, heads[1].clone()), Offered::Taken);
    let last = Some(LastHead { seq: 3, head: heads[2].hash() });
    let device_id = device(2).id();
    let leaver = Leaver {
        device: device_id,
        reason: Reason::Stolen,
        last,
        undo_removals: false,
        time: Timestamp(9),
    };
    log.remove(&device(1), &leaver, &mut ChaCha8Rng::from_seed([3; 32])).unwrap();

    // Who had gone on with the thief drops that; who was behind keeps what is restorable.
    assert_eq!(ahead.drop_void(&log), [device_id]);
    assert!(ahead.highest(&device_id).is_none());
    assert!(behind.drop_void(&log).is_empty());
    assert_eq!(behind.highest(&device_id), Some(&heads[1]));
    let removed = Offered::Invalid(HeadError::Removed { device: device_id });
    for book in [&mut ahead, &mut behind] {
        assert_eq!(book.offer(&log, heads[3].clone()), removed);
        assert_eq!(book.offer(&log, twin(&log, 2, 3, Some(&heads[1]))), removed);
        assert_eq!(book.offer(&log, heads[2].clone()), Offered::Taken);
        assert_eq!(book.offer(&log, heads[0].clone()), Offered::Older(Box::new(heads[2].clone())));
    }
}
