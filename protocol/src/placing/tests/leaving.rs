//! Holders whose vault goes apart from this one.

use super::{
    presumed::{bring_all, kept_by, placed, settle},
    *,
};
use crate::leaving::Cover;

fn leave(driven: &mut Driven, seed: u8) {
    driven.give(Input::HolderLeaves { holder: holder(seed) });
}

fn cover(driven: &Driven, seeds: &[u8]) -> Cover {
    driven.machine.cover_without(&seeds.iter().map(|seed| holder(*seed)).collect())
}

// LEAVE-1
#[test]
fn what_a_leaving_holder_keeps_is_placed_elsewhere_and_fetched_from_it_where_need_be() {
    let mut driven = placed(&[(1, "a"), (2, "b"), (3, "c")], 10..=29);
    let of_1 = kept_by(&driven, 1);
    let before = cover(&driven, &[1]);
    assert_eq!((before.kept_packs, before.moving_packs), (of_1, of_1));
    assert_eq!((before.copies_now, before.copies_after), (2, 2));
    assert!(!before.is_covered(true));
    leave(&mut driven, 1);
    assert_eq!(driven.machine.status().safe_packs, 20 - of_1);
    // The other copy is at somebody who sleeps: then the leaving one is who has it.
    for seed in [2, 3] {
        driven.give(Input::HolderLost { holder: holder(seed) });
    }
    assert_eq!(driven.machine.status().nowhere_packs, 0);
    for seed in [2, 3] {
        driven.connect(seed);
    }
    assert_eq!(u64::try_from(bring_all(&mut driven)).unwrap(), of_1);
    assert_eq!(driven.machine.status().safe_packs, 20);
    let after = cover(&driven, &[1]);
    assert_eq!((after.kept_packs, after.moving_packs), (of_1, 0));
    assert!(after.is_covered(false));
}

// LEAVE-1
#[test]
fn a_pack_that_only_a_leaving_holder_has_is_not_nowhere_and_comes_back() {
    let mut driven = placed(&[(1, "a")], 10..=12);
    leave(&mut driven, 1);
    let status = driven.machine.status();
    assert_eq!((status.nowhere_packs, status.safe_packs, status.copies), (0, 0, 1));
    assert!(!cover(&driven, &[1]).is_covered(true));
    driven.give(named(2, "b"));
    driven.connect(2);
    assert_eq!(bring_all(&mut driven), 3);
    assert_eq!(driven.machine.status().safe_packs, 3);
    assert!(cover(&driven, &[1]).is_covered(true));
}

// LEAVE-1
#[test]
fn fewer_sites_than_before_are_no_cover_without_a_persons_word() {
    let mut driven = placed(&[(1, "a"), (2, "b")], 10..=12);
    leave(&mut driven, 1);
    let cover = cover(&driven, &[1]);
    // One copy is all that can be had: every pack has it, and yet one is lost by leaving.
    assert_eq!((cover.moving_packs, cover.copies_now, cover.copies_after), (0, 2, 1));
    assert!(!cover.is_covered(false), "the other vault leaves: nobody here has accepted that");
    assert!(cover.is_covered(true));
}

// LEAVE-1
#[test]
fn nothing_new_goes_to_a_leaving_holder_and_no_head_is_published_because_of_it() {
    let mut driven = placed(&[(1, "a"), (2, "b"), (3, "c")], 10..=10);
    leave(&mut driven, 1);
    bring_all(&mut driven);
    for seed in 11..=20 {
        driven.store(seed, PackClass::Data);
    }
    driven.store(30, PackClass::Metadata);
    assert!(!driven.offers.values().any(|(to, _)| *to == holder(1)), "it is asked for nothing");
    settle(&mut driven);
    assert_eq!(driven.machine.status().safe_packs, 12);
    driven.said.clear();
    driven.give(Input::HeadCommitted { seq: 1, needs: vec![(shard(11), PackClass::Data)] });
    let pushes_to_1 =
        |output: &Output| matches!(output, Output::PushHead { holder: to, .. } if *to == holder(1));
    assert!(!driven.said.iter().any(pushes_to_1));
    driven.give(Input::HeadHeld { holder: holder(1), seq: 1 });
    driven.give(Input::HeadHeld { holder: holder(2), seq: 1 });
    assert!(!driven.has_said(&Output::HeadPublished { seq: 1 }));
    driven.give(Input::HeadHeld { holder: holder(3), seq: 1 });
    assert!(driven.has_said(&Output::HeadPublished { seq: 1 }));
}

// LEAVE-1
#[test]
fn a_head_that_only_the_leaving_one_has_beside_one_other_is_no_cover() {
    let mut driven = placed(&[(1, "a"), (2, "b"), (3, "c")], 10..=29);
    driven.give(Input::HeadCommitted { seq: 1, needs: vec![(shard(10), PackClass::Data)] });
    for seed in [1, 2] {
        driven.give(Input::HeadHeld { holder: holder(seed), seq: 1 });
    }
    assert!(driven.has_said(&Output::HeadPublished { seq: 1 }));
    leave(&mut driven, 1);
    bring_all(&mut driven);
    assert!(!cover(&driven, &[1]).is_head_elsewhere);
    driven.give(Input::HeadHeld { holder: holder(3), seq: 1 });
    assert!(cover(&driven, &[1]).is_covered(false));
}

// LEAVE-1
#[test]
fn what_only_another_device_relies_on_is_for_that_one_to_place() {
    let mut driven = placed(&[(1, "a"), (2, "b"), (3, "c")], 10..=10);
    let strange = |seed| KnownPack {
        shard: shard(seed),
        class: PackClass::Data,
        here: false,
        promised_sites: 0,
        kept_by: vec![holder(1)],
    };
    let before = cover(&driven, &[1]).kept_packs;
    for seed in [50, 51] {
        driven.give(Input::PackKnown(strange(seed)));
    }
    assert_eq!(cover(&driven, &[1]).kept_packs, before);
    // One that an own head needs is this device's as well.
    driven.give(Input::HeadCommitted { seq: 1, needs: vec![(shard(51), PackClass::Data)] });
    assert_eq!(cover(&driven, &[1]).kept_packs, before + 1);
}

// LEAVE-6
#[test]
fn who_stays_after_all_counts_for_nothing_before_it_was_asked_and_nothing_is_sent_again() {
    let mut driven = placed(&[(1, "a"), (2, "b")], 10..=12);
    driven.give(Input::HeadCommitted { seq: 1, needs: vec![(shard(10), PackClass::Data)] });
    for seed in [1, 2] {
        driven.give(Input::HeadHeld { holder: holder(seed), seq: 1 });
    }
    leave(&mut driven, 1);
    driven.give(Input::HolderRemoved { holder: holder(1) });
    driven.give(known(1, "a", Acquaintance::Granted));
    // It may have erased everything meanwhile, heads included.
    assert_eq!((kept_by(&driven, 1), driven.machine.status().safe_packs), (0, 0));
    driven.said.clear();
    driven.connect(1);
    driven.answer_offers(|by, shard| Claim::Kept(receipt(by, shard)));
    for seed in 10..=12 {
        driven.keep(holder(1), shard(seed));
    }
    let status = driven.machine.status();
    assert_eq!((status.safe_packs, status.copies, status.below_policy_packs), (3, 2, 0));
    assert!(driven.uploads.is_empty());
    let pushes = |output: &Output| matches!(output, Output::PushHead { seq: 1, .. });
    assert!(driven.said.iter().any(pushes), "the head goes there once more");
}
