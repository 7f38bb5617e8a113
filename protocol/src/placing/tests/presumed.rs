//! Holders that are presumed lost, and packs that are on fewer sites than are asked for now.

use super::*;

fn presume(driven: &mut Driven, seed: u8, is_lost: bool) {
    driven.give(Input::HolderPresumed { holder: holder(seed), is_lost });
}

fn lose_line(driven: &mut Driven, seed: u8) {
    driven.give(Input::HolderLost { holder: holder(seed) });
}

/// Uploads and receipts until nothing is under way.
pub(super) fn settle(driven: &mut Driven) {
    loop {
        driven.want_all();
        if driven.uploads.is_empty() {
            return;
        }
        let (by, shard) = driven.finish_upload();
        driven.keep(by, shard);
    }
}

/// What is to be brought back is, until nothing is.
pub(super) fn bring_all(driven: &mut Driven) -> usize {
    let mut brought = 0;
    loop {
        settle(driven);
        let is_order = |output: &Output| matches!(output, Output::BringBack { .. });
        let Some(index) = driven.said.iter().position(is_order) else { return brought };
        let Output::BringBack { order, .. } = driven.said.remove(index) else { return brought };
        driven.give(Input::BroughtBack { order, came: true });
        brought += 1;
    }
}

pub(super) fn placed(sites: &[(u8, &str)], packs: std::ops::RangeInclusive<u8>) -> Driven {
    let policy = Policy { copies: Copies::Auto, keep_own: false };
    let mut driven = Driven::new(sites, policy);
    for seed in packs {
        driven.store(seed, PackClass::Data);
    }
    settle(&mut driven);
    driven
}

pub(super) fn kept_by(driven: &Driven, seed: u8) -> u64 {
    driven.machine.status().holders[&holder(seed)].kept_packs
}

// PLACE-22
#[test]
fn what_a_holder_presumed_lost_keeps_is_placed_elsewhere_and_counts_again_when_it_is_met() {
    let mut driven = placed(&[(1, "a"), (2, "b"), (3, "c")], 10..=29);
    let (of_1, of_2, of_3) = (kept_by(&driven, 1), kept_by(&driven, 2), kept_by(&driven, 3));
    assert_eq!(of_1 + of_2 + of_3, 40);
    lose_line(&mut driven, 1);
    assert_eq!(driven.machine.status().safe_packs, 20, "away is not lost");
    presume(&mut driven, 1, true);
    let status = driven.machine.status();
    assert_eq!(status.copies, 2);
    assert_eq!((status.safe_packs, status.nowhere_packs), (20 - of_1, 0));

    assert_eq!(u64::try_from(bring_all(&mut driven)).unwrap(), of_1);
    assert_eq!(driven.machine.status().safe_packs, 20);
    assert_eq!(driven.machine.spool_bytes(), 0);
    assert_eq!((kept_by(&driven, 2), kept_by(&driven, 3)), (20, 20));
    // It is met after all: what it keeps counts, and nothing is sent again.
    driven.said.clear();
    presume(&mut driven, 1, false);
    driven.connect(1);
    settle(&mut driven);
    assert_eq!(kept_by(&driven, 1), of_1);
    let moves =
        |output: &Output| matches!(output, Output::BringBack { .. } | Output::ForgetReceipt { .. });
    assert!(!driven.said.iter().any(moves), "{:?}", driven.said);
}

// PLACE-22
#[test]
fn a_head_that_only_a_holder_presumed_lost_has_is_not_published() {
    let mut driven = placed(&[(1, "a"), (2, "b"), (3, "c")], 10..=10);
    presume(&mut driven, 1, true);
    bring_all(&mut driven);
    driven.give(Input::HeadCommitted { seq: 1, needs: vec![(shard(10), PackClass::Data)] });
    driven.give(Input::HeadHeld { holder: holder(1), seq: 1 });
    driven.give(Input::HeadHeld { holder: holder(2), seq: 1 });
    assert!(!driven.has_said(&Output::HeadPublished { seq: 1 }));
    driven.give(Input::HeadHeld { holder: holder(3), seq: 1 });
    assert!(driven.has_said(&Output::HeadPublished { seq: 1 }));
}

// PLACE-22, PLACE-12
#[test]
fn nothing_new_relies_on_what_only_a_holder_presumed_lost_keeps() {
    let mut driven = placed(&[(1, "a")], 10..=11);
    driven.said.clear();
    presume(&mut driven, 1, true);
    for seed in 10..=11 {
        assert!(driven.has_said(&Output::PackNowhere { root: shard(seed).root }));
    }
    let status = driven.machine.status();
    assert_eq!((status.stranded_packs, status.nowhere_packs, status.lost_packs), (2, 2, 0));
    presume(&mut driven, 1, false);
    for seed in 10..=11 {
        assert!(driven.has_said(&Output::PackSafe { root: shard(seed).root, sites: 1 }));
    }
}

// PLACE-22, PLACE-18
#[test]
fn backups_go_on_with_one_site_while_the_other_is_presumed_lost() {
    let mut driven = placed(&[(1, "a"), (2, "b")], 10..=12);
    lose_line(&mut driven, 2);
    driven.store(13, PackClass::Data);
    settle(&mut driven);
    assert!(!driven.machine.is_safe(&shard(13).root), "absence alone lowers nothing");
    presume(&mut driven, 2, true);
    settle(&mut driven);
    let status = driven.machine.status();
    assert_eq!((status.copies, status.one_site_only), (1, true));
    assert_eq!(status.safe_packs, 4);
    assert!(driven.machine.spool_bytes() == 0);
    // It comes back: what it missed is brought to it, what it keeps is not.
    presume(&mut driven, 2, false);
    driven.connect(2);
    assert_eq!(driven.machine.status().copies, 2);
    assert_eq!(bring_all(&mut driven), 1);
    assert_eq!(kept_by(&driven, 2), 4);
    assert_eq!(driven.machine.status().below_policy_packs, 0);
}

// PLACE-23
#[test]
fn what_was_placed_before_a_second_site_came_is_raised_to_two() {
    let mut driven = placed(&[(1, "a")], 10..=29);
    assert_eq!(driven.machine.status().copies, 1);
    assert_eq!(driven.machine.spool_bytes(), 0);
    driven.give(named(2, "b"));
    driven.connect(2);
    let status = driven.machine.status();
    assert_eq!((status.copies, status.safe_packs, status.below_policy_packs), (2, 20, 20));
    // Safe all the while, and only a few at a time are here.
    let mut most = 0;
    loop {
        driven.want_all();
        most = most.max(driven.machine.spool_bytes() / 16_384);
        assert_eq!(driven.machine.status().safe_packs, 20);
        let is_order = |output: &Output| matches!(output, Output::BringBack { .. });
        let order = driven.said.iter().position(is_order).map(|index| driven.said.remove(index));
        match order {
            Some(Output::BringBack { order, .. }) => {
                driven.give(Input::BroughtBack { order, came: true });
            }
            _ if driven.uploads.is_empty() => break,
            _ => {
                let (by, shard) = driven.finish_upload();
                driven.keep(by, shard);
            }
        }
    }
    assert!((1..=u64::try_from(crate::limits::BROUGHT_BACK_MAX).unwrap()).contains(&most));
    let status = driven.machine.status();
    assert_eq!((status.below_policy_packs, kept_by(&driven, 2)), (0, 20));
    assert_eq!(driven.machine.spool_bytes(), 0);
    assert!(driven.has_said(&Output::DropLocal { shard: shard(10), sites: 2 }));
}

// PLACE-23
#[test]
fn what_is_short_comes_before_what_is_lean() {
    let mut driven = placed(&[(1, "a"), (4, "d")], 10..=19);
    driven.said.clear();
    // Packs of two sites become short, one of them is asked for by a third.
    driven.give(Input::PolicyChanged(fixed(3)));
    driven.give(named(3, "c"));
    driven.connect(3);
    driven.want_all();
    assert_eq!(driven.machine.status().below_policy_packs, 10);
    driven.lose(4, 15);
    // The one under way ends; the next one is the short one.
    let order = driven.said.iter().find_map(|output| match output {
        Output::BringBack { order, .. } => Some(*order),
        _ => None,
    });
    driven.said.clear();
    driven.give(Input::BroughtBack { order: order.expect("a lean one is fetched"), came: true });
    let next = driven.said.iter().find_map(|output| match output {
        Output::BringBack { shard, .. } => Some(*shard),
        _ => None,
    });
    assert_eq!(next, Some(shard(15)));
}

/// Orders the fetch that was asked for last, and brings it.
fn bring_one(driven: &mut Driven) {
    let is_order = |output: &Output| matches!(output, Output::BringBack { .. });
    let index = driven.said.iter().position(is_order).expect("something is to be fetched");
    let Output::BringBack { order, .. } = driven.said.remove(index) else { unreachable!() };
    driven.give(Input::BroughtBack { order, came: true });
}

// PLACE-23
#[test]
fn a_lean_pack_whose_upload_breaks_stays_for_the_next_one_and_is_not_fetched_again() {
    let mut driven = placed(&[(1, "a")], 10..=10);
    driven.give(named(2, "b"));
    driven.connect(2);
    driven.want_all();
    bring_one(&mut driven);
    driven.said.clear();
    for _ in 0..20 {
        let (order, _) = driven.uploads.pop_first().expect("it is sent again");
        driven.give(Input::UploadEnded { order, upload: Upload::Lost });
        driven.pass_time_until(|driven| !driven.offers.is_empty());
        driven.want_all();
        if driven.uploads.is_empty() {
            driven.pass_time_until(|driven| !driven.uploads.is_empty());
        }
    }
    let moves =
        |output: &Output| matches!(output, Output::BringBack { .. } | Output::DropLocal { .. });
    assert!(!driven.said.iter().any(moves), "{:?}", driven.said);
    assert_eq!(driven.machine.spool_bytes(), 16_384);
}

// PLACE-23
#[test]
fn lean_packs_that_were_here_before_a_restart_are_bounded_and_let_go_like_others() {
    let mut driven = Driven::new(&[(1, "a"), (2, "b")], Policy::default());
    for seed in 10..=19 {
        driven.give(Input::PackKnown(KnownPack {
            shard: shard(seed),
            class: PackClass::Data,
            here: seed < 14,
            promised_sites: 1,
            kept_by: vec![holder(1)],
        }));
    }
    driven.want_all();
    assert!(!driven.said.iter().any(|output| matches!(output, Output::BringBack { .. })));
    while let Some((order, _)) = driven.uploads.pop_first() {
        driven.give(Input::UploadEnded { order, upload: Upload::Refused(Refusal::Full) });
        driven.answer_offers(|_, _| Claim::Refused(Refusal::Full));
    }
    assert_eq!(driven.machine.spool_bytes(), 0, "{:?}", driven.said);
}

// PLACE-22
#[test]
fn who_is_presumed_lost_is_not_dialled_by_placing() {
    let mut driven = placed(&[(1, "a"), (2, "b"), (3, "c")], 10..=12);
    lose_line(&mut driven, 1);
    driven.store(13, PackClass::Metadata);
    presume(&mut driven, 1, true);
    settle(&mut driven);
    driven.said.clear();
    let dials = |driven: &Driven| driven.has_said(&Output::Connect { holder: holder(1) });
    for _ in 0..50 {
        driven.ms += 600_000;
        driven.give(Input::TimePassed);
    }
    assert!(!dials(&driven));
    presume(&mut driven, 1, false);
    assert!(dials(&driven));
}

// PLACE-23
#[test]
fn lean_packs_that_nobody_takes_after_all_do_not_stay() {
    let mut driven = placed(&[(1, "a")], 10..=19);
    driven.give(named(2, "b"));
    driven.connect(2);
    driven.want_all();
    for _ in 0..crate::limits::BROUGHT_BACK_MAX {
        bring_one(&mut driven);
    }
    assert!(driven.machine.spool_bytes() > 0);
    // It is full: whatever is sent is refused, and the offers that follow as well.
    while let Some((order, _)) = driven.uploads.pop_first() {
        driven.give(Input::UploadEnded { order, upload: Upload::Refused(Refusal::Full) });
        driven.answer_offers(|_, _| Claim::Refused(Refusal::Full));
    }
    assert_eq!(driven.machine.status().safe_packs, 10);
    assert_eq!(driven.machine.spool_bytes(), 0, "{:?}", driven.said);
}

// PLACE-26
#[test]
fn holders_that_turn_out_to_be_one_household_are_one_copy_and_a_third_gets_what_is_short() {
    let mut driven = placed(&[(1, "a"), (2, "b")], 10..=12);
    let status = driven.machine.status();
    assert_eq!((status.sites, status.copies, status.one_site_only), (2, 2, false));
    driven.give(named(2, "a"));
    let status = driven.machine.status();
    assert_eq!((status.sites, status.copies, status.one_site_only), (1, 1, true));
    // And the other way round: two families that had one name by chance.
    driven.give(named(2, "b"));
    let status = driven.machine.status();
    assert_eq!((status.sites, status.copies, status.one_site_only), (2, 2, false));
    driven.give(named(2, "a"));
    driven.give(named(3, "c"));
    driven.connect(3);
    assert_eq!(bring_all(&mut driven), 3);
    assert_eq!((kept_by(&driven, 3), driven.machine.status().below_policy_packs), (3, 0));
}
