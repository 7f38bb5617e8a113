//! What holders that are away are to fetch from others.

use super::*;
use crate::limits::{ERRAND_ASK_MS, ERRAND_PAUSE_MS, ERRAND_RENEW_MS, ERRAND_VAIN_MS};

/// When what has changed is told, of a few packs.
const SOON_MS: u64 = ERRAND_PAUSE_MS + 1_000;

const DATA: PackClass = PackClass::Data;
const METADATA: PackClass = PackClass::Metadata;

fn upload_all(driven: &mut Driven) {
    driven.want_all();
    while !driven.uploads.is_empty() {
        let (by, shard) = driven.finish_upload();
        driven.keep(by, shard);
    }
}

fn leaves(driven: &mut Driven, seed: u8) {
    driven.give(Input::HolderLost { holder: holder(seed) });
}

/// Seeds of the packs that are left with one holder for another.
fn left(driven: &Driven, with: u8, to: u8) -> Option<Vec<u8>> {
    let wish = driven.left.get(&(holder(with), holder(to)))?;
    Some(wish.packs.iter().map(|pack| pack.shard.root.as_bytes()[0]).collect())
}

fn replies(driven: &mut Driven, by: u8, seeds: &[u8]) {
    let claim = |seed: &u8| (shard(*seed).root, Claim::Kept(receipt(holder(by), shard(*seed))));
    let claims = seeds.iter().map(claim).collect();
    driven.give(Input::Replied { holder: holder(by), claims });
}

/// One household is up and has all, the other one is away.
fn one_awake() -> Driven {
    let mut driven = Driven::new(&[(1, "a"), (2, "b")], fixed(2));
    leaves(&mut driven, 2);
    driven.store(8, DATA);
    driven.store(9, METADATA);
    let needs = vec![(shard(8), DATA), (shard(9), METADATA)];
    driven.give(Input::HeadCommitted { seq: 1, needs });
    upload_all(&mut driven);
    driven
}

// ERR-1, ERR-6, ERR-8
#[test]
fn a_holder_that_is_never_met_gets_everything_by_way_of_another_and_the_backup_is_safe() {
    let mut driven = one_awake();
    driven.pass_ms(SOON_MS);
    assert_eq!(left(&driven, 1, 2), Some(vec![8, 9]));
    assert_eq!(driven.left[&(holder(1), holder(2))].head_seq, Some(1));
    assert!(left(&driven, 2, 1).is_none(), "nothing is left with whom nobody reaches");

    replies(&mut driven, 2, &[8, 9]);
    assert!(!driven.has_said(&Output::HeadSafe { seq: 1 }), "not before they are durable here");
    driven.keep(holder(2), shard(8));
    driven.keep(holder(2), shard(9));
    assert!(driven.has_said(&Output::HeadSafe { seq: 1 }));
    assert!(driven.has_said(&Output::DropLocal { shard: shard(8), sites: 2 }));
    for seed in [1, 2] {
        driven.give(Input::HeadHeld { holder: holder(seed), seq: 1 });
    }
    assert!(driven.has_said(&Output::HeadPublished { seq: 1 }));
    driven.pass_ms(SOON_MS);
    assert_eq!(left(&driven, 1, 2), Some(vec![]), "its reply alone is wanted now");
    assert_eq!(driven.left[&(holder(1), holder(2))].head_seq, None);
}

// ERR-5
#[test]
fn a_pack_is_named_until_its_receipt_is_durable_here() {
    let mut driven = one_awake();
    driven.pass_ms(SOON_MS);
    replies(&mut driven, 2, &[8]);
    driven.pass_ms(SOON_MS);
    assert_eq!(left(&driven, 1, 2), Some(vec![8, 9]), "it is at the carrier alone");
    driven.give(Input::ReceiptNotKept { holder: holder(2), root: shard(8).root });
    driven.pass_ms(ERRAND_ASK_MS);
    assert_eq!(left(&driven, 1, 2), Some(vec![8, 9]));
    replies(&mut driven, 2, &[8]);
    driven.keep(holder(2), shard(8));
    driven.pass_ms(SOON_MS);
    assert_eq!(left(&driven, 1, 2), Some(vec![9]));
}

// ERR-6
#[test]
fn a_receipt_for_something_else_counts_no_more_for_having_been_carried() {
    let mut driven = one_awake();
    let mut short = receipt(holder(2), shard(8));
    short.body.keep_until = Timestamp(1_001);
    let claims = vec![(shard(8).root, Claim::Kept(short))];
    driven.give(Input::Replied { holder: holder(2), claims });
    let is_kept = |it: &Output| matches!(it, Output::KeepReceipt { receipt } if receipt.body.holder == holder(2));
    assert!(!driven.said.iter().any(is_kept));
    let blamed =
        Output::Blame { holder: holder(2), fault: Fault::WrongReceipt, root: Some(shard(8).root) };
    assert!(driven.has_said(&blamed));
    // Of packs and holders that are not known nothing is heard.
    replies(&mut driven, 2, &[77]);
    replies(&mut driven, 99, &[8]);
}

// ERR-7
#[test]
fn data_is_fetched_by_whose_turn_it_is_and_by_one_more_each_day_in_vain_metadata_by_all() {
    let mut driven = Driven::new(&[(1, "a"), (2, "b"), (3, "c")], fixed(2));
    leaves(&mut driven, 2);
    leaves(&mut driven, 3);
    driven.store(4, METADATA);
    driven.store(9, DATA);
    upload_all(&mut driven);
    driven.pass_ms(SOON_MS);
    let named = |driven: &Driven, to: u8| left(driven, 1, to).unwrap();
    assert!([2, 3].iter().all(|to| named(&driven, *to).contains(&4)));
    let takers =
        |driven: &Driven| [2, 3].iter().filter(|to| named(driven, **to).contains(&9)).count();
    assert_eq!(takers(&driven), 1, "one copy is missing");
    driven.pass_ms(ERRAND_VAIN_MS + ERRAND_RENEW_MS);
    assert_eq!(takers(&driven), 2);
}

// ERR-7
#[test]
fn who_can_be_reached_and_would_take_it_is_sent_it_and_nobody_fetches_it() {
    let mut driven = Driven::new(&[(1, "a"), (2, "b"), (3, "c")], fixed(2));
    leaves(&mut driven, 3);
    driven.store(9, DATA);
    driven.want_all();
    let (by, kept) = driven.finish_upload();
    driven.keep(by, kept);
    driven.pass_ms(SOON_MS);
    let other = if by == holder(1) { 1 } else { 2 };
    assert_eq!(left(&driven, other, 3), Some(vec![]), "the other upload is under way");
}

// ERR-7
#[test]
fn what_it_has_no_room_for_and_what_nobody_keeps_is_not_named() {
    let mut driven = Driven::new(&[(1, "a"), (2, "b")], fixed(2));
    driven.store(8, DATA);
    driven.answer_offers(|by, _| match by == holder(2) {
        true => Claim::Refused(Refusal::Full),
        false => Claim::Wanted,
    });
    let (by, kept) = driven.finish_upload();
    driven.keep(by, kept);
    leaves(&mut driven, 2);
    driven.store(9, DATA);
    driven.pass_ms(SOON_MS);
    assert_eq!(left(&driven, 1, 2), Some(vec![]), "it is full for one, nobody has the other");
}

// ERR-10
#[test]
fn who_is_presumed_lost_is_asked_for_a_reply_alone() {
    let mut driven = one_awake();
    driven.give(Input::HolderPresumed { holder: holder(2), is_lost: true });
    driven.pass_ms(SOON_MS);
    assert_eq!(left(&driven, 1, 2), Some(vec![]));
    driven.give(Input::HolderPresumed { holder: holder(2), is_lost: false });
    driven.pass_ms(SOON_MS);
    assert_eq!(left(&driven, 1, 2), Some(vec![8, 9]));
}

#[test]
fn an_errand_is_said_anew_while_its_addressee_is_away_and_no_more_when_it_is_met() {
    let mut driven = one_awake();
    driven.pass_ms(SOON_MS);
    let turn = |driven: &Driven| driven.left[&(holder(1), holder(2))].turn;
    let first = turn(&driven);
    driven.pass_ms(ERRAND_RENEW_MS + ERRAND_ASK_MS);
    assert!(turn(&driven) > first);
    driven.connect(2);
    upload_all(&mut driven);
    driven.pass_ms(SOON_MS);
    let last = turn(&driven);
    driven.pass_ms(2 * ERRAND_RENEW_MS);
    assert_eq!(turn(&driven), last);
}

#[test]
fn nothing_wakes_a_device_whose_holders_are_all_there() {
    let mut driven = Driven::new(&[(1, "a"), (2, "b")], fixed(2));
    driven.store(9, DATA);
    upload_all(&mut driven);
    driven.pass_ms(SOON_MS);
    assert_eq!(driven.machine.poll_timeout(), None);
    assert!(driven.left.is_empty());
}

#[test]
fn a_carrier_that_takes_nothing_is_asked_again_later_and_not_all_the_time() {
    let mut driven = one_awake();
    driven.pass_ms(ERRAND_PAUSE_MS - 1);
    driven.ms += 1;
    let mut asked = 0;
    for _ in 0..50 {
        driven.machine.handle_input(at(driven.ms), Input::TimePassed);
        while let Some(output) = driven.machine.poll_output() {
            if let Output::Errands { order, wishes, .. } = output {
                assert_eq!(wishes.len(), 1, "it was not left");
                asked += 1;
                let refused = Input::ErrandsEnded { order, is_done: false };
                driven.machine.handle_input(at(driven.ms), refused);
            }
        }
        let Some(timeout) = driven.machine.poll_timeout() else { break };
        let ms = timeout.0.div_ceil(1_000_000);
        if ms > driven.ms + ERRAND_ASK_MS {
            break;
        }
        driven.ms = ms.max(driven.ms + 1);
        if driven.ms >= 10 * ERRAND_ASK_MS {
            break;
        }
    }
    assert!((2..=11).contains(&asked), "{asked} times in 100 minutes");
}
