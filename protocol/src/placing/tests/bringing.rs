//! Packs that lost a copy come back to be placed anew.

use super::*;
use crate::limits::BROUGHT_BACK_MAX;

/// Two holders of two households that keep these packs; their local copies are gone.
fn placed(seeds: std::ops::RangeInclusive<u8>) -> Driven {
    let mut driven = Driven::new(&[(1, "a"), (2, "b")], fixed(2));
    for seed in seeds.clone() {
        driven.store(seed, PackClass::Data);
    }
    driven.want_all();
    while !driven.uploads.is_empty() {
        let (by, shard) = driven.finish_upload();
        driven.keep(by, shard);
    }
    for seed in seeds {
        assert!(driven.has_said(&Output::DropLocal { shard: shard(seed), sites: 2 }));
    }
    driven.said.clear();
    driven
}

/// The order to bring something back, if one was given.
fn brings(driven: &Driven) -> Option<OrderId> {
    driven.said.iter().rev().find_map(|output| match output {
        Output::BringBack { order, .. } => Some(*order),
        _ => None,
    })
}

// PLACE-17
#[test]
fn a_pack_that_a_holder_lost_is_brought_back_and_placed_anew() {
    let mut driven = placed(9..=9);
    driven.give(Input::HeadCommitted { seq: 1, needs: vec![(shard(9), PackClass::Data)] });
    driven.lose(1, 9);
    let order = brings(&driven).expect("holder 2 keeps it and holder 1 wants it");
    assert!(!driven.machine.is_safe(&shard(9).root));

    // The first fetch fails: it is tried again, later.
    driven.said.clear();
    driven.give(Input::BroughtBack { order, came: false });
    assert!(brings(&driven).is_none());
    driven.pass_time_until(|driven| brings(driven).is_some());
    assert!(driven.ms >= 60_000, "after {} ms already", driven.ms);
    let order = brings(&driven).unwrap();
    driven.give(Input::BroughtBack { order, came: true });
    let (by, again) = driven.finish_upload();
    assert_eq!((by, again), (holder(1), shard(9)));
    driven.keep(by, again);
    assert!(driven.machine.is_safe(&shard(9).root));
    assert!(driven.has_said(&Output::DropLocal { shard: shard(9), sites: 2 }));
}

// PLACE-17
#[test]
fn a_short_pack_that_nobody_would_take_costs_nothing() {
    let mut driven = placed(9..=9);
    driven.give(Input::HolderRemoved { holder: holder(1) });
    assert!(!driven.machine.is_safe(&shard(9).root));
    assert!(brings(&driven).is_none());
    assert_eq!(driven.machine.poll_timeout(), None, "an idle device is not woken for it");
    // A holder of a third household is found, and wants it.
    driven.give(named(3, "c"));
    driven.connect(3);
    driven.want_all();
    assert!(brings(&driven).is_some());
}

// PLACE-17
#[test]
fn only_a_few_packs_are_here_to_be_placed_anew() {
    let mut driven = placed(1..=9);
    for seed in 1..=9 {
        driven.lose(1, seed);
    }
    let mut fetched = 0;
    while let Some(order) = brings(&driven) {
        driven.said.clear();
        driven.give(Input::BroughtBack { order, came: true });
        fetched += 1;
    }
    assert_eq!(fetched, BROUGHT_BACK_MAX);
    // As each is placed, the next one comes.
    let (by, shard) = driven.finish_upload();
    driven.keep(by, shard);
    assert!(brings(&driven).is_some());
}

// PLACE-17
#[test]
fn a_short_pack_is_brought_back_when_who_wants_it_has_rested() {
    let mut driven = placed(9..=9);
    driven.store(8, PackClass::Data);
    driven.want_all();
    let (holder, root) = (holder(1), shard(9).root);
    driven.give(Input::CopyFailed { holder, root, fault: Some(Fault::LostShard) });
    let to_first = |(_, (by, _)): &(&OrderId, &(DeviceId, ShardRef))| *by == holder;
    let order = *driven.uploads.iter().find(to_first).expect("pack 8 is under way").0;
    driven.give(Input::UploadEnded { order, upload: Upload::Refused(Refusal::Busy) });
    driven.want_all();
    assert!(brings(&driven).is_none(), "it wants the pack and rests");
    driven.pass_time_until(|driven| driven.ms >= 1_000 && !driven.offers.is_empty());
    assert!(brings(&driven).is_some());
}
