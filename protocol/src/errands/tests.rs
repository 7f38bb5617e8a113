//! Errands as records, and what is kept of them for others.

use proptest::prelude::*;

use super::*;
use crate::{
    head::SignedHead,
    ids::{ShardRoot, VaultId},
    index::{PackClass, ShardRef},
    keys::DeviceKeys,
    limits::{
        CLOCK_AHEAD_S_MAX, ERRAND_AGAIN_MS, ERRAND_BYTES_MAX, ERRAND_EVERY_MS,
        ERRAND_FILE_BYTES_MAX, ERRAND_FIRST_MS, ERRAND_LOOK_MS, ERRAND_PACKS_MAX, ERRANDS_MAX,
        HEAD_BYTES_MAX, REPLY_BYTES_MAX, RETENTION_DAYS_MIN, SHARD_BYTES_MAX, TEND_SILENCE_S,
    },
    receipt::{Receipt, ReceiptBody},
    tending::tests::records::Owner,
    time::{Instant, Timestamp},
    wire::message::OfferedShard,
};

mod story;

const NOW: Timestamp = Timestamp(1_800_000_000);

pub(super) fn pack(seed: u8, class: PackClass) -> OfferedShard {
    let shard = ShardRef { root: ShardRoot::from_bytes([seed; 32]), bytes: 16_384 };
    OfferedShard { shard, class }
}

fn data(seeds: &[u8]) -> Vec<OfferedShard> {
    seeds.iter().map(|seed| pack(*seed, PackClass::Data)).collect()
}

pub(super) fn holder(seed: u8) -> DeviceKeys {
    DeviceKeys::from_seeds([seed; 32], [seed; 32])
}

pub(super) fn body(owner: &Owner, number: u64, packs: Vec<OfferedShard>) -> ErrandBody {
    ErrandBody {
        version: VERSION,
        vault: owner.log.vault(),
        device: owner.device.id(),
        number,
        holder: holder(7).id(),
        packs,
        head: None,
        void: None,
    }
}

fn errand(owner: &Owner, number: u64, seeds: &[u8]) -> Errand {
    Errand::sign(body(owner, number, data(seeds)), &owner.device).unwrap()
}

pub(super) fn reply(owner: &Owner, number: u64, by: &DeviceKeys) -> Reply {
    let (vault, device) = (owner.log.vault(), owner.device.id());
    let holder = by.id();
    Reply::sign(ReplyBody { version: VERSION, vault, holder, device, number, head_seq: 3 }, by)
        .unwrap()
}

pub(super) fn receipt(vault: VaultId, pack: OfferedShard, by: &DeviceKeys) -> Receipt {
    let keep_until = NOW.after_days(RETENTION_DAYS_MIN);
    let (shard, holder) = (pack.shard, by.id());
    Receipt::sign(ReceiptBody { vault, shard, holder, stored: NOW, keep_until }, by).unwrap()
}

fn receipts(owner: &Owner, seeds: &[u8]) -> Vec<Receipt> {
    data(seeds).into_iter().map(|it| receipt(owner.log.vault(), it, &holder(7))).collect()
}

fn post(board: &mut Board, errand: Errand, owner: &Owner) -> bool {
    let renewed = board.renewed(errand, &owner.log).unwrap();
    let is_news = renewed.is_some();
    if let Some(posted) = renewed {
        assert_eq!(board.keep(posted, &owner.log), [], "there is room");
    }
    is_news
}

fn answer(board: &mut Board, owner: &Owner, number: u64, given: Vec<Receipt>) -> Result<(), Unfit> {
    let mut posted = board.of(&owner.device.id(), &holder(7).id()).unwrap().clone();
    posted.answer(reply(owner, number, &holder(7)), given)?;
    board.keep(posted, &owner.log);
    Ok(())
}

// ERR-2
#[test]
fn an_errand_is_the_word_of_a_device_that_belongs_to_the_vault() {
    let (owner, other) = (Owner::new(1), Owner::new(2));
    let good = errand(&owner, 5, &[1, 2]);
    assert_eq!(Errand::decode(good.bytes(), &owner.log), Ok(good.clone()));
    assert_eq!(Errand::decode(good.bytes(), &other.log), Err(ErrandError::Stranger));
    let mut forged = good.bytes().to_vec();
    *forged.last_mut().unwrap() ^= 1;
    assert_eq!(Errand::decode(&forged, &owner.log), Err(ErrandError::Signature));
    let ahead = errand(&owner, NOW.0 + CLOCK_AHEAD_S_MAX + 1, &[]);
    assert_eq!(ahead.check_number(NOW), Err(ErrandError::Ahead));
    assert_eq!(errand(&owner, NOW.0 + CLOCK_AHEAD_S_MAX, &[]).check_number(NOW), Ok(()));
}

// ERR-2
#[test]
fn an_errand_that_makes_no_sense_is_refused() {
    let owner = Owner::new(1);
    let good = body(&owner, 5, data(&[1, 2]));
    let foreign: Vec<u8> =
        Owner::new(2).head(1, &[ShardRoot::from_bytes([1; 32])]).bytes().to_vec();
    let mut huge = data(&[1]);
    huge[0].shard.bytes = SHARD_BYTES_MAX + 1;
    let bad = [
        ErrandBody { number: 0, ..good.clone() },
        ErrandBody { version: 2, ..good.clone() },
        ErrandBody { holder: owner.device.id(), ..good.clone() },
        ErrandBody { packs: data(&[2, 1]), ..good.clone() },
        ErrandBody { packs: data(&[1, 1]), ..good.clone() },
        ErrandBody { packs: huge, ..good.clone() },
        ErrandBody { head: Some(foreign.into()), ..good.clone() },
        ErrandBody { head: Some(vec![1, 2, 3].into()), ..good },
    ];
    for body in bad {
        assert_eq!(Errand::sign(body, &owner.device), Err(ErrandError::Shape));
    }
    let mine = owner.head(1, &[ShardRoot::from_bytes([1; 32])]);
    let with_head =
        ErrandBody { head: Some(mine.bytes().to_vec().into()), ..body(&owner, 5, vec![]) };
    let signed = Errand::sign(with_head, &owner.device).unwrap();
    assert_eq!(signed.head(), Some(SignedHead::clone(&mine)));
}

#[test]
fn the_largest_errand_and_all_that_is_left_for_it_fit_their_bounds() {
    let owner = Owner::new(1);
    let all: Vec<OfferedShard> = (0..u32::try_from(ERRAND_PACKS_MAX).unwrap())
        .map(|number| {
            let mut root = [0xff; 32];
            root[..4].copy_from_slice(&number.to_be_bytes());
            let root = ShardRoot::from_bytes(root);
            let shard = ShardRef { root, bytes: SHARD_BYTES_MAX };
            OfferedShard { shard, class: PackClass::Metadata }
        })
        .collect();
    let largest = Errand::sign(body(&owner, u64::MAX, all.clone()), &owner.device).unwrap();
    assert!(largest.bytes().len() + HEAD_BYTES_MAX <= ERRAND_BYTES_MAX);
    let mut posted = Posted::new(largest);
    let given = all.iter().map(|it| receipt(owner.log.vault(), *it, &holder(7))).collect();
    let said = reply(&owner, u64::MAX, &holder(7));
    assert!(said.bytes().len() <= REPLY_BYTES_MAX);
    posted.answer(said, given).unwrap();
    assert!(posted.is_done());
    assert!(posted.encode().len() <= ERRAND_FILE_BYTES_MAX);
    assert_eq!(Posted::decode(&posted.encode(), &owner.log), Ok(posted));
}

// ERR-2, ERR-5
#[test]
fn a_newer_errand_takes_the_place_of_the_one_before_and_of_receipts_that_it_does_not_name() {
    let (owner, mut board) = (Owner::new(1), Board::default());
    assert!(post(&mut board, errand(&owner, 5, &[1, 2, 3]), &owner));
    assert_eq!(answer(&mut board, &owner, 5, receipts(&owner, &[1, 2])), Ok(()));
    let at = |board: &Board| {
        let posted = board.of(&owner.device.id(), &holder(7).id()).unwrap();
        let given: Vec<u8> = posted.receipts().map(|it| it.body.shard.root.as_bytes()[0]).collect();
        (posted.errand().body().number, given, posted.is_done())
    };
    assert_eq!(at(&board), (5, vec![1, 2], false));
    for old in [4, 5] {
        assert!(!post(&mut board, errand(&owner, old, &[9]), &owner));
    }
    assert_eq!(at(&board), (5, vec![1, 2], false), "nothing older counts");
    assert!(post(&mut board, errand(&owner, 6, &[2, 3]), &owner));
    assert_eq!(at(&board), (6, vec![2], false), "the device has the other one");
    let said = board.of(&owner.device.id(), &holder(7).id()).unwrap().reply();
    assert_eq!(said.unwrap().body().number, 5, "what was said last stays");
    assert_eq!(answer(&mut board, &owner, 6, receipts(&owner, &[3])), Ok(()));
    assert_eq!(at(&board), (6, vec![2, 3], true));
    assert!(post(&mut board, errand(&owner, 7, &[]), &owner));
    assert_eq!(at(&board), (7, vec![], false), "a reply is wanted");
    assert_eq!(answer(&mut board, &owner, 7, vec![]), Ok(()));
    assert_eq!(at(&board), (7, vec![], true));
}

// ERR-3
#[test]
fn an_errand_opens_what_it_names_to_its_addressee_until_there_is_a_receipt() {
    let (owner, mut board) = (Owner::new(1), Board::default());
    post(&mut board, errand(&owner, 5, &[1, 2]), &owner);
    let opens = |board: &Board, to: u8, seed: u8| {
        let root = ShardRoot::from_bytes([seed; 32]);
        board.openers(&holder(to).id(), &root, &owner.log).next() == Some(owner.device.id())
    };
    assert!(opens(&board, 7, 1) && opens(&board, 7, 2));
    assert!(!opens(&board, 7, 3), "it is not named");
    assert!(!opens(&board, 8, 1), "it is meant for somebody else");
    answer(&mut board, &owner, 5, receipts(&owner, &[1])).unwrap();
    assert!(!opens(&board, 7, 1), "what it dropped it does not get back here");
    assert!(opens(&board, 7, 2));
    let root = ShardRoot::from_bytes([2; 32]);
    let (addressee, heir) = (holder(7).id(), Owner::new(2).log);
    assert_eq!(board.openers(&addressee, &root, &heir).next(), None, "it belongs no more");
    assert_eq!(board.meant_for(&holder(7).id(), &Owner::new(2).log).count(), 0);
}

// ERR-4
#[test]
fn only_what_its_addressee_gave_for_it_is_taken() {
    let (owner, other) = (Owner::new(1), Owner::new(2));
    let vault = owner.log.vault();
    let posted = Posted::new(errand(&owner, 5, &[1, 2]));
    let given = |pack: OfferedShard, by: u8| receipt(vault, pack, &holder(by));
    let mut forged = given(pack(1, PackClass::Data), 7);
    forged.signature[9] ^= 1;
    let mut longer = pack(1, PackClass::Data);
    longer.shard.bytes += 1;
    let bad = [
        given(pack(3, PackClass::Data), 7),
        given(pack(1, PackClass::Data), 8),
        given(longer, 7),
        receipt(other.log.vault(), pack(1, PackClass::Data), &holder(7)),
        forged,
    ];
    for receipt in bad {
        let mut taking = posted.clone();
        let all = vec![given(pack(2, PackClass::Data), 7), receipt];
        assert_eq!(taking.answer(reply(&owner, 5, &holder(7)), all), Err(Unfit::Invalid));
        assert_eq!(taking, posted, "nothing of it");
    }
    let said = [
        (reply(&owner, 6, &holder(7)), Unfit::Unasked),
        (reply(&owner, 5, &holder(8)), Unfit::Invalid),
        (reply(&other, 5, &holder(7)), Unfit::Invalid),
    ];
    for (reply, unfit) in said {
        assert_eq!(posted.clone().answer(reply, vec![]), Err(unfit));
    }
}

// ERR-5
#[test]
fn what_was_fetched_for_an_errand_counts_for_the_one_after_it() {
    let (owner, mut board) = (Owner::new(1), Board::default());
    post(&mut board, errand(&owner, 5, &[1, 2]), &owner);
    post(&mut board, errand(&owner, 6, &[2, 3]), &owner);
    assert_eq!(answer(&mut board, &owner, 5, receipts(&owner, &[1, 2])), Ok(()));
    let at = |board: &Board| board.of(&owner.device.id(), &holder(7).id()).unwrap().clone();
    assert_eq!(at(&board).receipts().cloned().collect::<Vec<_>>(), receipts(&owner, &[2]));
    assert_eq!(at(&board).reply(), Some(&reply(&owner, 5, &holder(7))));
    assert!(!at(&board).is_done());
    assert_eq!(answer(&mut board, &owner, 6, receipts(&owner, &[3])), Ok(()));
    assert_eq!(answer(&mut board, &owner, 5, vec![]), Ok(()));
    assert_eq!(at(&board).reply(), Some(&reply(&owner, 6, &holder(7))), "the later word stays");
    assert!(at(&board).is_done());
}

// ERR-15
#[test]
fn what_was_said_before_the_two_met_does_not_come_back_and_is_fetched_anew() {
    let (owner, mut board) = (Owner::new(1), Board::default());
    let at = |board: &Board| board.of(&owner.device.id(), &holder(7).id()).unwrap().clone();
    let anew =
        |number, void| ErrandBody { void: Some(void), ..body(&owner, number, data(&[1, 2])) };
    let signed = |body| Errand::sign(body, &owner.device);
    post(&mut board, errand(&owner, 5, &[1, 2]), &owner);
    let given = receipts(&owner, &[1]);
    assert_eq!(answer(&mut board, &owner, 5, given.clone()), Ok(()));
    post(&mut board, signed(anew(6, 4)).unwrap(), &owner);
    assert_eq!(at(&board).receipts().count(), 1, "it was said after they had met");
    // The device has met it, and heard that it does not have the pack.
    post(&mut board, signed(anew(8, 6)).unwrap(), &owner);
    assert_eq!((at(&board).receipts().count(), at(&board).reply()), (0, None));
    assert!(at(&board).opens(&pack(1, PackClass::Data).shard.root), "it may be read once more");
    // Word that was on its way meanwhile is no fault, and counts for nothing.
    assert_eq!(answer(&mut board, &owner, 6, given.clone()), Ok(()));
    assert_eq!((at(&board).receipts().count(), at(&board).reply()), (0, None));
    assert_eq!(answer(&mut board, &owner, 8, given), Ok(()));
    assert_eq!(at(&board).receipts().count(), 1);
    assert_eq!(Posted::decode(&at(&board).encode(), &owner.log).unwrap(), at(&board));
    assert!(signed(anew(9, 9)).is_err(), "nobody could answer it");
}

// ERR-12
#[test]
fn errands_of_a_vault_are_bounded_and_those_of_removed_devices_make_room() {
    let owner = Owner::new(1);
    let for_holder = |owner: &Owner, seed: u8| {
        let to = ErrandBody { holder: holder(seed).id(), ..body(owner, 5, vec![]) };
        Errand::sign(to, &owner.device).unwrap()
    };
    let mut board = Board::default();
    let count = u8::try_from(ERRANDS_MAX).unwrap();
    for seed in 0..count {
        assert!(post(&mut board, for_holder(&owner, 100 + seed), &owner));
    }
    assert_eq!(board.renewed(for_holder(&owner, 99), &owner.log), Err(Unfit::Full));
    let newer = ErrandBody { holder: holder(100).id(), ..body(&owner, 6, vec![]) };
    let newer = Errand::sign(newer, &owner.device).unwrap();
    assert!(post(&mut board, newer, &owner), "one that is there may be renewed");

    // By the log of somebody else none of these devices belongs.
    let heir = Owner::new(2);
    let mut stale = board;
    let posted = stale.renewed(for_holder(&heir, 99), &heir.log).unwrap().unwrap();
    let gone = stale.keep(posted, &heir.log);
    assert_eq!(gone.len(), 1);
    assert_eq!(gone[0].0, owner.device.id());
    assert!(stale.of(&heir.device.id(), &holder(99).id()).is_some());
}

#[test]
fn what_a_device_left_is_given_back_by_addressee_until_there_is_no_more() {
    let (owner, mut board) = (Owner::new(1), Board::default());
    let mut to: Vec<_> = (11..14_u8).map(|seed| holder(seed).id()).collect();
    for holder in &to {
        let one = ErrandBody { holder: *holder, ..body(&owner, 5, vec![]) };
        post(&mut board, Errand::sign(one, &owner.device).unwrap(), &owner);
    }
    to.sort();
    let (mut after, mut met) = (None, Vec::new());
    while let Some(posted) = board.by(owner.device.id(), after).next() {
        after = Some(posted.errand().body().holder);
        met.extend(after);
    }
    assert_eq!(met, to);
    assert_eq!(board.by(holder(11).id(), None).count(), 0, "it left none");
}

#[test]
fn metadata_is_fetched_first() {
    let owner = Owner::new(1);
    let mut packs = data(&[1, 2, 3]);
    packs[1].class = PackClass::Metadata;
    let errand = Errand::sign(body(&owner, 5, packs), &owner.device).unwrap();
    let order: Vec<u8> = errand.in_turn().iter().map(|it| it.shard.root.as_bytes()[0]).collect();
    assert_eq!(order, [2, 1, 3]);
}

// ERR-11
#[test]
fn an_old_errand_is_no_sign_of_its_device() {
    let owner = Owner::new(1);
    let made = |ago_s: u64| errand(&owner, NOW.0 - ago_s, &[]);
    assert!(made(0).is_fresh(NOW));
    assert!(made(TEND_SILENCE_S).is_fresh(NOW));
    assert!(!made(TEND_SILENCE_S + 1).is_fresh(NOW));
}

#[test]
fn a_vault_is_asked_for_soon_after_the_start_then_seldom_and_one_at_a_time() {
    let vaults = [1, 2].map(|seed| VaultId::from_bytes([seed; 32]));
    let at = |ms: u64| Instant(0).after_ms(ms);
    let mut rounds = Rounds::default();
    vaults.iter().for_each(|vault| rounds.known(at(0), *vault));
    assert_eq!(rounds.next(at(ERRAND_FIRST_MS - 1)), None);
    assert_eq!(rounds.poll_timeout(), Some(at(ERRAND_FIRST_MS)));
    let now = at(ERRAND_FIRST_MS);
    assert_eq!(rounds.next(now), Some(vaults[0]));
    assert_eq!((rounds.next(now), rounds.poll_timeout()), (None, None), "one at a time");
    rounds.ended(now, Round { has_fetched: true, is_open: true });
    assert_eq!(rounds.next(now), Some(vaults[1]));
    rounds.ended(now, Round { has_fetched: false, is_open: true });
    assert_eq!(rounds.poll_timeout(), Some(now.after_ms(ERRAND_AGAIN_MS)));
    // Told of again, it is not asked for sooner.
    rounds.known(now, vaults[1]);
    let again = now.after_ms(ERRAND_AGAIN_MS);
    assert_eq!(rounds.next(again), Some(vaults[0]));
    rounds.ended(again, Round { has_fetched: true, is_open: false });
    assert_eq!(rounds.poll_timeout(), Some(now.after_ms(ERRAND_EVERY_MS)));
    rounds.forget(&vaults[1]);
    assert_eq!(rounds.poll_timeout(), Some(again.after_ms(ERRAND_EVERY_MS)));

    // Awake again, it asks soon; a clock that was set right by a little, or back, is no sleep.
    let look = |rounds: &mut Rounds, ms: u64, clock_s: u64| {
        rounds.look(again.after_ms(ms), Timestamp(NOW.0 + clock_s));
        rounds.poll_timeout()
    };
    let first_look = Some(again.after_ms(ERRAND_LOOK_MS));
    assert_eq!(look(&mut rounds, 0, 0), first_look);
    assert_eq!(look(&mut rounds, 0, 60), first_look);
    assert_eq!(look(&mut rounds, 0, 30), first_look);
    assert_eq!(look(&mut rounds, 0, 7_200), Some(again.after_ms(ERRAND_FIRST_MS)));
}

proptest! {
    // ERR-14
    #[test]
    fn no_bytes_make_a_decoder_panic(bytes in prop::collection::vec(any::<u8>(), 0..512)) {
        let log = Owner::new(1).log;
        let _ = Errand::decode(&bytes, &log);
        let _ = Reply::decode(&bytes);
        let _ = Posted::decode(&bytes, &log);
    }

    // ERR-14, ERR-2
    #[test]
    fn a_changed_record_is_none(at in any::<prop::sample::Index>(), flip in 1_u8..) {
        let owner = Owner::new(1);
        let good = errand(&owner, 5, &[1, 2]);
        let mut bytes = good.bytes().to_vec();
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        prop_assert!(Errand::decode(&bytes, &owner.log).is_err());
        let mut posted = Posted::new(good);
        posted.answer(reply(&owner, 5, &holder(7)), receipts(&owner, &[1])).unwrap();
        let mut bytes = posted.encode();
        let at = at % bytes.len();
        bytes[at] ^= flip;
        if let Ok(read) = Posted::decode(&bytes, &owner.log) {
            prop_assert_eq!(read.errand(), posted.errand());
            prop_assert!(read.receipts().all(Receipt::verify));
        }
    }
}
