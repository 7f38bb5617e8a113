//! Who counts as a holder, who is waited for, and who rests.

use super::*;

#[test]
fn automatic_copies_follow_the_sites_and_never_a_grant_taken_back() {
    let policy = Policy::default();
    let copies = |driven: &Driven| driven.machine.status().copies;
    let mut driven = Driven::new(&[(1, "a")], policy);
    assert_eq!(copies(&driven), 1);
    driven.give(named(2, "b"));
    assert_eq!(copies(&driven), 2, "not met yet, so it counts");
    driven.give(Input::HolderConnected { holder: holder(2), granted_bytes: 0 });
    assert_eq!(copies(&driven), 1, "it was met and is no holder");
    driven.connect(2);
    assert_eq!(copies(&driven), 2);
    driven.give(Input::HolderConnected { holder: holder(2), granted_bytes: 0 });
    assert_eq!(copies(&driven), 2, "nobody lowers the number of copies from outside");
    driven.give(Input::HolderRemoved { holder: holder(2) });
    assert_eq!(copies(&driven), 1, "the user does");
}

// PLACE-18
#[test]
fn a_holder_that_only_others_tell_of_counts_until_it_was_called_in_vain() {
    let mut driven = Driven::new(&[(1, "a")], Policy { keep_own: true, ..Policy::default() });
    driven.give(named(2, "b"));
    driven.store(9, PackClass::Data);
    driven.want_all();
    let (by, kept) = driven.finish_upload();
    driven.keep(by, kept);
    assert!(!driven.machine.is_safe(&kept.root), "the other may be there in a moment");
    let silent = Output::Acquainted { holder: holder(2), acquaintance: Acquaintance::Silent };
    driven.pass_time_until(|driven| driven.has_said(&silent));
    assert!(driven.ms > 3_000, "one call in vain says nothing: {}", driven.ms);
    let status = driven.machine.status();
    assert_eq!((status.copies, status.sites), (1, 1));
    assert!(driven.machine.is_safe(&kept.root), "nothing waits for a device that may be dead");
    // It lives: it counts from then on, and what is here is given to it as well.
    driven.connect(2);
    assert_eq!(driven.machine.status().copies, 2);
    driven.want_all();
    let (by, kept) = driven.finish_upload();
    assert_eq!(by, holder(2));
    driven.keep(by, kept);
    assert!(driven.machine.is_safe(&kept.root));
}

// PLACE-18
#[test]
fn a_holder_that_granted_room_counts_however_long_it_sleeps() {
    for acquaintance in [Acquaintance::Granted, Acquaintance::Named] {
        let mut driven = Driven::new(&[(1, "a")], Policy::default());
        driven.give(known(2, "b", acquaintance));
        if acquaintance == Acquaintance::Named {
            driven.connect(2);
            driven.give(Input::HolderLost { holder: holder(2) });
        }
        driven.store(9, PackClass::Data);
        driven.want_all();
        let (by, kept) = driven.finish_upload();
        driven.keep(by, kept);
        let week_ms = 7 * 86_400_000;
        driven.pass_time_until(|driven| driven.ms > week_ms);
        assert_eq!(driven.machine.status().copies, 2);
        assert!(!driven.machine.is_safe(&kept.root), "one copy was enough while somebody slept");
    }
}

// PLACE-18
#[test]
fn what_is_known_of_a_holder_outlives_a_restart() {
    let table = [
        (Acquaintance::Named, 2),
        (Acquaintance::Silent, 1),
        (Acquaintance::Idle, 1),
        (Acquaintance::Granted, 2),
    ];
    for (acquaintance, copies) in table {
        let mut driven = Driven::new(&[(1, "a")], Policy::default());
        driven.give(known(2, "b", acquaintance));
        assert_eq!(driven.machine.status().copies, copies, "{acquaintance:?}");
        // Heard of once more; only pairing anew, with a grant, says more than was known.
        driven.give(named(2, "b"));
        assert_eq!(driven.machine.status().copies, copies, "{acquaintance:?}");
        driven.give(known(2, "b", Acquaintance::Granted));
        assert_eq!(driven.machine.status().copies, 2);
    }
}

// AUDIT-10
#[test]
fn nothing_more_goes_for_a_while_to_who_lost_the_same_again() {
    let mut driven = Driven::new(&[(1, "a")], Policy { keep_own: true, ..fixed(1) });
    driven.store(9, PackClass::Data);
    driven.want_all();
    let (by, shard) = driven.finish_upload();
    driven.keep(by, shard);
    driven.lose(1, 9);
    let (by, shard) = driven.finish_upload();
    driven.keep(by, shard);
    let (holder, root) = (by, shard.root);
    driven.give(Input::CopyFailed { holder, root, fault: Some(Fault::LostAgain) });
    driven.want_all();
    assert!(driven.uploads.is_empty(), "it rests");
    assert_eq!(driven.machine.status().holders[&by].condition, Condition::Distrusted);
    driven.pass_time_until(|driven| !driven.offers.is_empty());
    assert!(driven.ms >= 1_800_000, "{} ms", driven.ms);
}

// PLACE-21
#[test]
fn a_holder_that_calls_is_waited_for_no_longer() {
    let mut driven = Driven::new(&[(1, "a")], fixed(1));
    driven.store(9, PackClass::Data);
    driven.answer_offers(|_, _| Claim::Refused(Refusal::Quota));
    driven.said.clear();
    let (holder, connect) = (holder(1), Output::Connect { holder: holder(1) });
    driven.give(Input::HolderHeard { holder });
    assert!(driven.has_said(&connect), "it may have room now");
    driven.said.clear();
    driven.give(Input::HolderHeard { holder });
    assert!(!driven.has_said(&connect), "once for several calls");
    driven.connect(1);
    driven.answer_offers(|_, _| Claim::Wanted);
    assert_eq!(driven.uploads.len(), 1);

    for _ in 0..6 {
        driven.give(Input::HolderLost { holder });
        driven.pass_time_until(|driven| driven.has_said(&connect));
        driven.said.clear();
    }
    driven.give(Input::HolderLost { holder });
    assert!(!driven.has_said(&connect), "it waits");
    driven.ms += 10_000;
    driven.give(Input::HolderHeard { holder });
    assert!(driven.has_said(&connect), "and now it need not");
}

/// Refuses every offer that is there, as a whole.
fn fail_offers(driven: &mut Driven, refusal: Refusal) -> usize {
    let orders: Vec<OrderId> = std::mem::take(&mut driven.offers).into_keys().collect();
    for order in &orders {
        driven.give(Input::OfferFailed { order: *order, refusal: Some(refusal) });
    }
    orders.len()
}

// PLACE-21
#[test]
fn a_call_soon_after_another_is_answered_a_little_later_and_many_count_once() {
    let mut driven = Driven::new(&[(1, "a")], fixed(1));
    driven.store(9, PackClass::Data);
    driven.answer_offers(|_, _| Claim::Refused(Refusal::Quota));
    let (holder, connect) = (holder(1), Output::Connect { holder: holder(1) });
    driven.give(Input::HolderHeard { holder });
    driven.connect(1);
    driven.answer_offers(|_, _| Claim::Refused(Refusal::Quota));
    driven.said.clear();

    // It came up, and a second later its user gives more room.
    for ms in [1_000, 2_000, 3_000] {
        driven.ms = ms;
        driven.give(Input::HolderHeard { holder });
    }
    assert!(!driven.has_said(&connect), "not at once");
    driven.pass_time_until(|driven| driven.has_said(&connect));
    assert_eq!(driven.ms, 10_000, "and not as late as it would be asked anyway");
    driven.connect(1);
    driven.answer_offers(|_, _| Claim::Refused(Refusal::Quota));
    driven.said.clear();
    driven.ms = 30_000;
    driven.give(Input::TimePassed);
    assert!(!driven.has_said(&connect), "three calls, one answer");

    // One that left meanwhile is called, as after any call.
    driven.give(Input::HolderHeard { holder });
    driven.connect(1);
    driven.want_all();
    driven.ms += 1;
    driven.give(Input::HolderHeard { holder });
    for _ in 0..6 {
        driven.give(Input::HolderLost { holder });
        driven.give(Input::HolderConnected { holder, granted_bytes: 0 });
    }
    driven.give(Input::HolderLost { holder });
    driven.said.clear();
    driven.pass_time_until(|driven| driven.has_said(&connect));
    assert_eq!(driven.ms, 40_000);
}

// PLACE-21
#[test]
fn an_offer_refused_as_a_whole_for_want_of_room_is_made_again_after_a_call() {
    for refusal in [Refusal::Quota, Refusal::Full] {
        let mut driven = Driven::new(&[(1, "a")], fixed(1));
        driven.store(9, PackClass::Data);
        fail_offers(&mut driven, refusal);
        driven.said.clear();
        let (holder, connect) = (holder(1), Output::Connect { holder: holder(1) });
        driven.give(Input::HolderHeard { holder });
        assert!(driven.has_said(&connect), "it may have room now");
        driven.give(Input::HolderConnected { holder, granted_bytes: 0 });
        assert!(driven.offers.is_empty(), "it has none");
        driven.connect(1);
        driven.want_all();
        assert_eq!(driven.uploads.len(), 1);
    }
}

// PLACE-21
#[test]
fn no_call_and_no_greeting_ends_a_rest_that_is_not_for_want_of_room() {
    let receipt = receipt(holder(1), shard(7));
    let wrong_and_full = vec![Claim::Kept(receipt), Claim::Refused(Refusal::Quota)];
    let rests: [fn(&mut Driven, Vec<Claim>); 3] = [
        |driven, _| _ = fail_offers(driven, Refusal::Busy),
        |driven, _| _ = fail_offers(driven, Refusal::Forbidden),
        |driven, claims| {
            let (order, _) = driven.offers.pop_first().expect("it was offered both");
            driven.give(Input::OfferAnswered { order, claims });
        },
    ];
    for rest in rests {
        let mut driven = Driven::new(&[], fixed(1));
        for seed in [8, 9] {
            driven.store(seed, PackClass::Data);
        }
        driven.give(known(1, "a", Acquaintance::Granted));
        driven.connect(1);
        rest(&mut driven, wrong_and_full.clone());
        driven.give(Input::HolderHeard { holder: holder(1) });
        driven.connect(1);
        assert!(driven.offers.is_empty(), "it rests");
    }
}

// PLACE-21
#[test]
fn who_calls_all_the_time_is_offered_no_more_than_one_call_in_ten_seconds_would() {
    for as_a_whole in [false, true] {
        let mut driven = Driven::new(&[(1, "a")], fixed(1));
        driven.store(9, PackClass::Data);
        let (mut offers, mut connects) = (0, 0);
        for ms in (0..600_000).step_by(250) {
            driven.ms = ms;
            driven.give(Input::HolderHeard { holder: holder(1) });
            let ordered = std::mem::take(&mut driven.said);
            if ordered.contains(&Output::Connect { holder: holder(1) }) {
                connects += 1;
                driven.connect(1);
            }
            if as_a_whole {
                offers += fail_offers(&mut driven, Refusal::Full);
            } else {
                offers += driven.offers.len();
                driven.answer_offers(|_, _| Claim::Refused(Refusal::Full));
            }
        }
        assert!(connects <= 61, "{connects} in ten minutes");
        assert!(offers <= 61, "{offers} in ten minutes");
    }
}

/// Two holders; the first keeps metadata pack 9, the second has it as `at_second` left it, with an
/// upload of pack 8 under way.
fn kept_at_one_awaited_at_the_other(at_second: impl Fn(&mut Driven)) -> Driven {
    let mut driven = Driven::new(&[(1, "a"), (2, "b")], fixed(1));
    driven.store(8, PackClass::Metadata);
    driven.want_all();
    driven.store(9, PackClass::Metadata);
    let (first, offer) = driven.offers.pop_first().expect("offered to both");
    assert_eq!(offer.0, holder(1));
    at_second(&mut driven);
    driven.give(Input::OfferAnswered { order: first, claims: vec![Claim::Wanted] });
    let to_first =
        |(_, (by, of)): &(&OrderId, &(DeviceId, ShardRef))| *by == holder(1) && *of == shard(9);
    let order = *driven.uploads.iter().find(to_first).expect("it is sent").0;
    driven.uploads.remove(&order);
    let upload = Upload::Stored(receipt(holder(1), shard(9)));
    driven.give(Input::UploadEnded { order, upload });
    driven.keep(holder(1), shard(9));
    assert!(!driven.machine.is_safe(&shard(9).root), "the second may take it in a moment");
    driven
}

/// The upload of pack 8 to the second holder fails: it rests.
fn fail_at_second(driven: &mut Driven) {
    let to_second =
        |(_, (by, of)): &(&OrderId, &(DeviceId, ShardRef))| *by == holder(2) && *of == shard(8);
    let order = *driven.uploads.iter().find(to_second).expect("it is under way").0;
    driven.give(Input::UploadEnded { order, upload: Upload::Refused(Refusal::Busy) });
}

#[test]
fn nobody_waits_for_what_a_resting_holder_gave_back() {
    let root = shard(9).root;
    for claims in [None, Some(vec![])] {
        let mut driven = kept_at_one_awaited_at_the_other(|_| {});
        fail_at_second(&mut driven);
        let (order, _) = driven.offers.pop_first().expect("the offer is open");
        driven.give(match claims {
            None => Input::OfferFailed { order, refusal: None },
            Some(claims) => Input::OfferAnswered { order, claims },
        });
        assert!(driven.machine.is_safe(&root), "an offer without an answer");
    }

    let mut driven = kept_at_one_awaited_at_the_other(|driven| {
        driven.answer_offers(|by, shard| Claim::Kept(receipt(by, shard)));
    });
    fail_at_second(&mut driven);
    driven.give(Input::ReceiptNotKept { holder: holder(2), root });
    assert!(driven.machine.is_safe(&root), "a receipt that was not kept");

    let mut driven = kept_at_one_awaited_at_the_other(Driven::want_all);
    driven.give(Input::PackLost { root });
    assert!(driven.machine.is_safe(&root), "what is not here cannot be sent");
}

// PLACE-19: whoever turns us away is there, and is said to refuse, not to be away.
#[test]
fn a_holder_that_turns_us_away_is_not_said_to_be_away() {
    let mut driven = Driven::new(&[(1, "a"), (2, "b")], fixed(2));
    for seed in [1, 2] {
        driven.give(Input::HolderLost { holder: holder(seed) });
    }
    driven.store(9, PackClass::Data);
    driven.pass_time_until(|driven| {
        [1, 2].iter().all(|seed| driven.has_said(&Output::Connect { holder: holder(*seed) }))
    });
    driven.give(Input::HolderLost { holder: holder(1) });
    assert_eq!(driven.machine.status().blocked, Some(Blocked::NotConnected));
    driven.give(Input::HolderRefused { holder: holder(2) });
    let status = driven.machine.status();
    assert_eq!(status.blocked, Some(Blocked::Refused));
    assert_eq!(status.holders[&holder(2)].condition, Condition::Forbidden);
    assert_eq!(status.holders[&holder(1)].condition, Condition::Away);
    assert!(driven.machine.poll_timeout().is_some(), "it is called again, less and less often");
}

// PLACE-25: nothing is to be placed, yet it may have missed what everybody was told.
#[test]
fn who_was_away_and_calls_is_called_back_once_though_nothing_is_to_be_sent() {
    let mut driven = Driven::new(&[(1, "a")], fixed(1));
    let connect = Output::Connect { holder: holder(1) };
    driven.said.clear();
    driven.give(Input::HolderHeard { holder: holder(1) });
    assert!(!driven.has_said(&connect), "who is there is not called for calling");
    driven.give(Input::HolderLost { holder: holder(1) });
    driven.pass_ms(600_000);
    assert!(!driven.has_said(&connect), "nor who is away, for nothing");
    driven.give(Input::HolderHeard { holder: holder(1) });
    assert!(driven.has_said(&connect), "it is called back at once");
    driven.said.clear();
    driven.give(Input::HolderLost { holder: holder(1) });
    driven.pass_ms(600_000);
    assert!(!driven.has_said(&connect), "once");
}

// PLACE-19: it says that it is there while it is still being called where it was before.
#[test]
fn who_calls_while_it_is_called_elsewhere_is_called_again_soon() {
    let mut driven = Driven::new(&[(1, "a")], fixed(1));
    driven.give(Input::HolderLost { holder: holder(1) });
    driven.store(9, PackClass::Data);
    let connect = Output::Connect { holder: holder(1) };
    driven.pass_time_until(|driven| driven.has_said(&connect));
    // In vain several times, so that the usual wait is long.
    for _ in 0..6 {
        driven.said.clear();
        driven.give(Input::HolderLost { holder: holder(1) });
        driven.pass_time_until(|driven| driven.has_said(&connect));
    }
    driven.said.clear();
    driven.give(Input::HolderHeard { holder: holder(1) });
    let heard = driven.ms;
    driven.give(Input::HolderLost { holder: holder(1) });
    driven.pass_time_until(|driven| driven.has_said(&connect));
    let waited_ms = driven.ms - heard;
    assert!(waited_ms <= scheduling::HEARD_PAUSE_MS, "it is called again after {waited_ms} ms");
}
