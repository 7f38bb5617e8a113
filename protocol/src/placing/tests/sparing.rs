//! On a metered line.

use super::*;
use crate::pacing::{Line, Side};

fn sites() -> Driven {
    Driven::new(&[(1, "home"), (2, "away")], fixed(2))
}

fn bound_for(driven: &Driven) -> BTreeSet<DeviceId> {
    driven.uploads.values().map(|(by, _)| *by).collect()
}

// PACE-6
#[test]
fn packs_wait_on_a_metered_line_and_go_when_it_is_another() {
    let mut driven = sites();
    driven.give(Input::LineIs(Line::Metered));
    for seed in 10..20 {
        driven.store(seed, PackClass::Data);
    }
    driven.store(30, PackClass::Metadata);
    driven.want_all();
    assert!(driven.uploads.is_empty());
    assert_eq!(driven.machine.status().blocked, Some(Blocked::Metered));
    driven.give(Input::LineIs(Line::Free));
    assert_eq!(bound_for(&driven).len(), 2);
    while !driven.uploads.is_empty() {
        let (by, shard) = driven.finish_upload();
        driven.keep(by, shard);
    }
    assert_eq!(driven.machine.status().safe_packs, 11);
}

// PACE-6
#[test]
fn what_is_near_gets_its_packs_and_a_head_waits_for_nobody_beyond_the_line() {
    let mut driven = Driven::new(&[(1, "home"), (2, "away")], fixed(1));
    driven.give(Input::LineIs(Line::Metered));
    driven.give(Input::HolderStands(holder(1), Side::Near));
    driven.store(9, PackClass::Data);
    driven.store(30, PackClass::Metadata);
    let needs = [(9, PackClass::Data), (30, PackClass::Metadata)];
    let needs = needs.map(|(seed, class)| (shard(seed), class)).to_vec();
    driven.give(Input::HeadCommitted { seq: 1, needs });
    driven.want_all();
    assert_eq!(bound_for(&driven), BTreeSet::from([holder(1)]));
    while !driven.uploads.is_empty() {
        let (by, shard) = driven.finish_upload();
        driven.keep(by, shard);
    }
    assert!(driven.has_said(&Output::HeadSafe { seq: 1 }));
    // Metadata goes to all of them once it may.
    driven.give(Input::LineIs(Line::Free));
    driven.want_all();
    assert_eq!(driven.finish_upload(), (holder(2), shard(30)));
}

// PACE-6, PACE-4
#[test]
fn what_is_under_way_is_stopped_and_nobody_is_to_blame() {
    let mut driven = sites();
    driven.give(Input::HolderStands(holder(1), Side::Near));
    driven.store(9, PackClass::Data);
    driven.want_all();
    assert_eq!(bound_for(&driven).len(), 2);
    driven.give(Input::LineIs(Line::Metered));
    let far = driven.uploads.iter().find(|(_, (by, _))| *by == holder(2)).map(|(order, _)| *order);
    let order = far.expect("it was under way");
    assert!(driven.has_said(&Output::CancelUpload { order }));
    driven.uploads.remove(&order);
    let stopped = driven.said.iter().filter(|it| matches!(it, Output::CancelUpload { .. }));
    assert_eq!(stopped.count(), 1, "what is near goes on");
    let status = driven.machine.status();
    assert_eq!(status.holders[&holder(2)].condition, Condition::Fine);
    assert_eq!(status.holders[&holder(2)].failures, 0);
    // Late word of it changes nothing; the receipt may have been given all the same.
    driven.give(Input::UploadEnded { order, upload: Upload::Lost });
    driven.answer_offers(|by, shard| Claim::Kept(receipt(by, shard)));
    assert!(driven.said.iter().any(|it| matches!(it, Output::KeepReceipt { .. })));
    assert_eq!(driven.machine.status().holders[&holder(2)].failures, 0);
    // It leaves the local network in the middle.
    driven.give(Input::HolderStands(holder(1), Side::Beyond));
    assert_eq!(driven.machine.status().holders[&holder(1)].uploads, 0);
}

// PACE-6
#[test]
fn nothing_is_brought_back_over_a_metered_line() {
    let mut driven = Driven::new(&[(1, "home"), (2, "away"), (3, "far")], fixed(2));
    driven.store(9, PackClass::Data);
    driven.want_all();
    let kept: Vec<DeviceId> = (0..2)
        .map(|_| {
            let (by, shard) = driven.finish_upload();
            driven.keep(by, shard);
            by
        })
        .collect();
    driven.give(Input::LineIs(Line::Metered));
    let is_order = |it: &Output| matches!(it, Output::BringBack { .. });
    let root = shard(9).root;
    driven.give(Input::CopyFailed { holder: kept[0], root, fault: None });
    driven.want_all();
    assert!(!driven.said.iter().any(is_order));
    driven.give(Input::LineIs(Line::Free));
    assert!(driven.said.iter().any(is_order));
}
