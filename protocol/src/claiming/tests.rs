//! Tests of claiming.

use super::*;

/// Of a list that is told once a day.
const MANY: u64 = CLAIMS_SOON_MAX + 1;

const fn holder(number: u8) -> DeviceId {
    DeviceId::from_bytes([number; 32])
}

const fn at(ms: u64) -> Instant {
    Instant(0).after_ms(ms)
}

fn orders(machine: &mut Claiming) -> Vec<(OrderId, DeviceId, u64)> {
    let outputs = std::iter::from_fn(|| machine.poll_output());
    outputs.map(|Output::Tell { order, holder, seq }| (order, holder, seq)).collect()
}

// DEL-11
#[test]
fn a_holder_hears_the_claims_of_the_newest_head_once_it_has_it_and_then_once_a_day() {
    let mut machine = Claiming::new();
    let one = holder(1);
    machine.handle_input(at(0), Input::HeadCommitted { seq: 3 });
    machine.handle_input(at(0), Input::HolderKnown { holder: one });
    machine.handle_input(at(1), Input::HeadHeld { holder: one, seq: 2 });
    assert_eq!(orders(&mut machine), [], "an older head signs for another list");
    assert_eq!(machine.poll_timeout(), None, "nothing to wake for");
    machine.handle_input(at(2), Input::HeadHeld { holder: one, seq: 3 });
    assert_eq!(orders(&mut machine), [], "what an older head needs is needed until then");
    machine.handle_input(at(2), Input::HeadPublished { seq: 3 });
    let told = orders(&mut machine);
    let [(order, whom, 3)] = told[..] else { panic!("{told:?}") };
    assert_eq!((whom, machine.is_telling()), (one, true));
    machine.handle_input(at(3), Input::Told { order, packs: MANY });
    assert!(!machine.is_telling());
    assert_eq!(machine.poll_timeout(), Some(at(3 + CLAIM_EVERY_MS)));
    machine.handle_input(at(CLAIM_EVERY_MS), Input::HolderConnected { holder: one });
    assert_eq!(orders(&mut machine), [], "a greeting after all went well is no reason");
    machine.handle_input(at(3 + CLAIM_EVERY_MS), Input::TimePassed);
    assert_eq!(orders(&mut machine).len(), 1);
}

// DEL-11
#[test]
fn a_device_without_a_head_says_so() {
    let mut machine = Claiming::new();
    machine.handle_input(at(0), Input::HolderKnown { holder: holder(1) });
    assert_eq!(orders(&mut machine), [(OrderId(1), holder(1), 0)]);
}

// DEL-11
#[test]
fn one_list_is_under_way_and_a_failed_one_is_told_later_or_when_its_holder_is_met() {
    let mut machine = Claiming::new();
    for number in [1, 2] {
        machine.handle_input(at(0), Input::HolderKnown { holder: holder(number) });
    }
    let first = orders(&mut machine);
    assert_eq!(first.len(), 1, "one after the other");
    machine.handle_input(at(5), Input::NotTold { order: first[0].0 });
    let second = orders(&mut machine);
    assert_eq!(second[0].1, holder(2));
    machine.handle_input(at(6), Input::Told { order: first[0].0, packs: MANY });
    machine.handle_input(at(6), Input::Told { order: second[0].0, packs: MANY });
    assert_eq!(orders(&mut machine), [], "the first one waits");
    // One failure may be an accident.
    let again = 5 + SOON_MS;
    assert_eq!(machine.poll_timeout(), Some(at(again)));
    machine.handle_input(at(again), Input::TimePassed);
    let third = orders(&mut machine);
    assert_eq!(third[0].1, holder(1));
    machine.handle_input(at(again), Input::NotTold { order: third[0].0 });
    let waits = machine.poll_timeout().expect("it is told again");
    let (least, most) = (again + BACKOFF.first_ms, again + 2 * BACKOFF.first_ms);
    assert!(waits >= at(least) && waits < at(most), "{waits:?}");
    for ms in again + 60..again + 100 {
        machine.handle_input(at(ms), Input::HolderConnected { holder: holder(1) });
        assert_eq!(orders(&mut machine), [], "it was tried a moment ago");
    }
    assert_eq!(machine.poll_timeout(), Some(at(again + SOON_MS)));
    machine.handle_input(at(again + SOON_MS), Input::TimePassed);
    assert_eq!(orders(&mut machine)[0].1, holder(1));
    // No answer at all.
    let over = again + SOON_MS + CLAIM_MS_MAX;
    machine.handle_input(at(over), Input::TimePassed);
    assert_eq!(orders(&mut machine), []);
    assert!(machine.poll_timeout() > Some(at(over)));
}

// DEL-11
#[test]
fn a_holder_met_while_its_list_went_astray_is_told_soon() {
    let mut machine = Claiming::new();
    machine.handle_input(at(0), Input::HolderKnown { holder: holder(1) });
    let [(order, ..)] = orders(&mut machine)[..] else { panic!() };
    // It is somewhere else now, and says so before the call to where it was has come to its end.
    machine.handle_input(at(1_000), Input::HolderConnected { holder: holder(1) });
    machine.handle_input(at(30_000), Input::NotTold { order });
    assert_eq!(machine.poll_timeout(), Some(at(30_000 + SOON_MS)));
    machine.handle_input(at(30_000 + SOON_MS), Input::TimePassed);
    let [(order, ..)] = orders(&mut machine)[..] else { panic!() };
    machine.handle_input(at(60_000), Input::NotTold { order });
    assert!(machine.poll_timeout() > Some(at(60_000 + SOON_MS)), "not met since");
}

// DEL-11
#[test]
fn a_holder_that_was_removed_is_told_nothing() {
    let mut machine = Claiming::new();
    machine.handle_input(at(0), Input::HolderKnown { holder: holder(1) });
    let [(order, ..)] = orders(&mut machine)[..] else { panic!() };
    machine.handle_input(at(1), Input::HolderRemoved { holder: holder(1) });
    machine.handle_input(at(2), Input::NotTold { order });
    machine.handle_input(at(CLAIM_EVERY_MS * 2), Input::TimePassed);
    assert_eq!(orders(&mut machine), []);
    assert_eq!(machine.poll_timeout(), None);
}

// DEL-11
#[test]
fn who_was_not_told_because_of_a_backup_is_told_when_it_has_ended() {
    let mut machine = Claiming::new();
    machine.handle_input(at(0), Input::HolderKnown { holder: holder(1) });
    let [(order, ..)] = orders(&mut machine)[..] else { panic!() };
    machine.handle_input(at(1), Input::NotTold { order });
    assert_eq!(orders(&mut machine), []);
    machine.handle_input(at(2), Input::Freed);
    let [(order, ..)] = orders(&mut machine)[..] else { panic!() };
    machine.handle_input(at(3), Input::Told { order, packs: MANY });
    machine.handle_input(at(4), Input::Freed);
    assert_eq!(orders(&mut machine), [], "it was told a moment ago");
}

// DEL-11
#[test]
fn a_short_list_is_told_again_soon_when_there_is_a_newer_head() {
    let mut machine = Claiming::new();
    let one = holder(1);
    machine.handle_input(at(0), Input::HolderKnown { holder: one });
    let [(order, ..)] = orders(&mut machine)[..] else { panic!() };
    machine.handle_input(at(1), Input::Told { order, packs: 5 });
    assert_eq!(machine.poll_timeout(), Some(at(1 + CLAIM_EVERY_MS)), "there is no news");
    let publish = |machine: &mut Claiming, ms, seq| {
        machine.handle_input(at(ms), Input::HeadCommitted { seq });
        machine.handle_input(at(ms), Input::HeadPublished { seq });
        machine.handle_input(at(ms), Input::HeadHeld { holder: one, seq });
    };
    publish(&mut machine, 60_000, 1);
    assert_eq!(orders(&mut machine), []);
    assert_eq!(machine.poll_timeout(), Some(at(1 + CLAIM_SOON_MS)));
    machine.handle_input(at(1 + CLAIM_SOON_MS), Input::TimePassed);
    let [(order, _, 1)] = orders(&mut machine)[..] else { panic!() };
    // A long one is not.
    machine.handle_input(at(2 + CLAIM_SOON_MS), Input::Told { order, packs: MANY });
    publish(&mut machine, 3 + CLAIM_SOON_MS, 2);
    assert_eq!(machine.poll_timeout(), Some(at(2 + CLAIM_SOON_MS + CLAIM_EVERY_MS)));
}
