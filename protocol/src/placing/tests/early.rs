//! Heads that are not safe yet, at holders that have all of them.

use super::*;

fn needs(seeds: &[u8]) -> Vec<(ShardRef, PackClass)> {
    seeds.iter().map(|seed| (shard(*seed), PackClass::Data)).collect()
}

fn pushes(driven: &Driven) -> Vec<(DeviceId, u64)> {
    let push = |output: &Output| match output {
        Output::PushHead { holder, seq, .. } => Some((*holder, *seq)),
        _ => None,
    };
    driven.said.iter().filter_map(push).collect()
}

fn answer_push(driven: &mut Driven, taken: bool) {
    let push = |output: &Output| match output {
        Output::PushHead { order, .. } => Some(*order),
        _ => None,
    };
    let order = driven.said.iter().filter_map(push).next_back().expect("a push");
    driven.give(Input::HeadPushed { order, taken });
}

fn upload_all(driven: &mut Driven) {
    driven.want_all();
    while !driven.uploads.is_empty() {
        let (by, shard) = driven.finish_upload();
        driven.keep(by, shard);
    }
}

/// Two households; the second sleeps.
fn one_awake() -> Driven {
    let mut driven = Driven::new(&[(1, "a"), (2, "b")], fixed(2));
    driven.give(Input::HolderLost { holder: holder(2) });
    driven.store(8, PackClass::Data);
    driven.store(9, PackClass::Data);
    driven.give(Input::HeadCommitted { seq: 1, needs: needs(&[8, 9]) });
    driven
}

// PLACE-24
#[test]
fn a_holder_that_has_everything_is_given_the_head_while_the_other_household_sleeps() {
    let mut driven = one_awake();
    driven.want_all();
    let (by, kept) = driven.finish_upload();
    driven.keep(by, kept);
    assert!(pushes(&driven).is_empty(), "it has one of two packs");
    upload_all(&mut driven);
    assert_eq!(pushes(&driven), [(holder(1), 1)]);
    answer_push(&mut driven, true);
    assert!(!driven.has_said(&Output::HeadSafe { seq: 1 }));
    assert_eq!(driven.machine.status().published_seq, 0, "that makes it no safer");

    driven.connect(2);
    upload_all(&mut driven);
    assert!(driven.has_said(&Output::HeadSafe { seq: 1 }));
    assert_eq!(pushes(&driven), [(holder(1), 1), (holder(2), 1)], "to each once");
    answer_push(&mut driven, true);
    assert!(driven.has_said(&Output::HeadPublished { seq: 1 }));
}

// PLACE-5
#[test]
fn a_holder_that_lacks_something_is_given_no_head_before_it_is_safe() {
    let mut driven = Driven::new(&[(1, "a"), (2, "b"), (3, "c")], fixed(3));
    driven.store(8, PackClass::Data);
    driven.store(9, PackClass::Data);
    driven.give(Input::HeadCommitted { seq: 1, needs: needs(&[8, 9]) });
    driven.answer_offers(|by, offered| match (by == holder(1), offered == shard(8)) {
        (true, true) => Claim::Refused(Refusal::Quota),
        _ => Claim::Wanted,
    });
    upload_all(&mut driven);
    let mut to: Vec<DeviceId> = pushes(&driven).into_iter().map(|(holder, _)| holder).collect();
    to.sort_unstable();
    assert_eq!(to, [holder(2), holder(3)]);
    assert!(!driven.has_said(&Output::HeadSafe { seq: 1 }));
}

// PLACE-5
#[test]
fn a_holder_that_lost_something_is_complete_no_more() {
    let mut driven = one_awake();
    upload_all(&mut driven);
    answer_push(&mut driven, false);
    driven.give(Input::CopyFailed { holder: holder(1), root: shard(8).root, fault: None });
    driven.said.clear();
    driven.pass_time_until(|driven| !driven.offers.is_empty());
    assert!(pushes(&driven).is_empty(), "the rest after the failed push is over, and it lacks one");
    upload_all(&mut driven);
    assert_eq!(pushes(&driven), [(holder(1), 1)]);
}

// PLACE-24: what is safe already need not be at the holder that gets the head.
#[test]
fn only_what_is_not_safe_has_to_be_there() {
    let mut driven = Driven::new(&[(1, "a"), (2, "b"), (3, "c")], fixed(2));
    driven.give(Input::PackKnown(KnownPack {
        shard: shard(7),
        class: PackClass::Data,
        here: false,
        promised_sites: 2,
        kept_by: vec![holder(2), holder(3)],
    }));
    for away in [2, 3] {
        driven.give(Input::HolderLost { holder: holder(away) });
    }
    driven.store(9, PackClass::Data);
    driven.give(Input::HeadCommitted { seq: 4, needs: needs(&[7, 9]) });
    upload_all(&mut driven);
    assert_eq!(pushes(&driven), [(holder(1), 4)]);
}
