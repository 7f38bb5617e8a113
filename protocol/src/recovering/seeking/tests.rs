//! Tests of seeking; each names the requirement of specs/locating.md that it is about.

use super::*;

const START: Instant = Instant(0);

fn device(of: u8) -> DeviceId {
    DeviceId::from_bytes([of; 32])
}

fn at(last: u8) -> SocketAddr {
    SocketAddr::from(([192, 168, 1, last], 4711))
}

fn lead(of: u8, places: &[u8]) -> Lead {
    Lead { device: device(of), addresses: places.iter().map(|last| at(*last)).collect() }
}

fn ask(of: u8, places: &[u8]) -> SeekOutput {
    SeekOutput::Ask(lead(of, places))
}

fn recorded(of: u8, places: &[u8]) -> SeekInput {
    SeekInput::Recorded(lead(of, places))
}

fn called(of: u8, last: u8) -> SeekInput {
    let own = vec!["192.168.1.1".parse().unwrap()];
    SeekInput::Called { device: device(of), address: Some(at(last)), own }
}

fn said(of: u8, answer: SeekAnswer) -> SeekInput {
    SeekInput::Answered { device: device(of), answer }
}

fn found(of: &[u8]) -> SeekOutput {
    SeekOutput::Ended(SeekEnd::Found(of.iter().map(|of| device(*of)).collect()))
}

fn tell(machine: &mut Seeking, at_ms: u64, input: SeekInput) -> Vec<SeekOutput> {
    machine.handle_input(START.after_ms(at_ms), input);
    std::iter::from_fn(|| machine.poll_output()).collect()
}

/// A search by somebody who names nobody, which has begun to look around.
fn open() -> Seeking {
    let mut machine = Seeking::new(START, Vec::new(), true);
    assert_eq!(tell(&mut machine, 0, SeekInput::TimePassed), [SeekOutput::LookAround]);
    machine
}

/// A search by somebody who names these.
fn naming(of: &[u8], can_look: bool) -> Seeking {
    let named = of.iter().map(|of| lead(*of, &[*of])).collect();
    let mut machine = Seeking::new(START, named, can_look);
    let asked: Vec<_> = of.iter().map(|of| ask(*of, &[*of])).collect();
    assert_eq!(tell(&mut machine, 0, SeekInput::TimePassed), asked);
    machine
}

// LOC-8
#[test]
fn the_first_that_holds_is_enough_and_others_get_a_moment() {
    let mut machine = open();
    assert_eq!(tell(&mut machine, 10, called(1, 1)), [ask(1, &[1])]);
    assert_eq!(tell(&mut machine, 20, recorded(2, &[2, 3])), [ask(2, &[2, 3])]);
    assert_eq!(tell(&mut machine, 30, said(1, SeekAnswer::Holds)), []);
    assert_eq!(machine.poll_timeout(), Some(START.after_ms(30 + SEEK_SETTLE_MS)));
    assert_eq!(tell(&mut machine, 40, said(2, SeekAnswer::Holds)), []);
    assert_eq!(tell(&mut machine, 50, called(3, 3)), [ask(3, &[3])]);
    let end = tell(&mut machine, 30 + SEEK_SETTLE_MS, SeekInput::TimePassed);
    assert_eq!(end, [found(&[1, 2])]);
    assert_eq!(machine.poll_timeout(), None);
    assert_eq!(tell(&mut machine, 9_000, called(4, 4)), [], "it is over");
}

// LOC-8, LOC-12
#[test]
fn nobody_is_looked_for_while_one_of_those_named_answers() {
    let mut machine = naming(&[1, 2], true);
    assert_eq!(tell(&mut machine, 5, said(1, SeekAnswer::Silent)), []);
    assert_eq!(tell(&mut machine, 6, said(2, SeekAnswer::Holds)), [found(&[2])]);

    let mut machine = naming(&[1, 2], true);
    assert_eq!(tell(&mut machine, 5, said(2, SeekAnswer::Holds)), []);
    let end = tell(&mut machine, 5 + SEEK_SETTLE_MS, SeekInput::TimePassed);
    assert_eq!(end, [found(&[2])], "a slow one is not waited for");

    let mut machine = naming(&[1, 2], true);
    assert_eq!(tell(&mut machine, 5, said(1, SeekAnswer::Silent)), []);
    let end = tell(&mut machine, 9, said(2, SeekAnswer::Unknown));
    assert_eq!(end, [SeekOutput::Ended(SeekEnd::Unknown)]);
}

// LOC-8, LOC-12
#[test]
fn when_none_of_those_named_answers_others_are_looked_for() {
    let mut machine = naming(&[1], true);
    let silent = said(1, SeekAnswer::Silent);
    assert_eq!(tell(&mut machine, 5, silent.clone()), [SeekOutput::LookAround]);
    // The one that was named has moved, and shows where it is now.
    assert_eq!(tell(&mut machine, 50, called(1, 9)), [ask(1, &[9, 1])]);

    let mut machine = naming(&[1], true);
    let late = tell(&mut machine, SEEK_MS_MAX, SeekInput::TimePassed);
    assert_eq!(late, [SeekOutput::LookAround], "it does not even fail");

    let mut machine = naming(&[1], false);
    assert_eq!(tell(&mut machine, 5, silent), [SeekOutput::Ended(SeekEnd::Silent)]);
}

// LOC-8
#[test]
fn who_does_not_answer_is_asked_again_a_few_times_when_he_shows_himself() {
    let mut machine = open();
    for at in 0..3 {
        assert_eq!(tell(&mut machine, at, called(1, 1)), [ask(1, &[1])]);
        assert_eq!(tell(&mut machine, at, said(1, SeekAnswer::Silent)), []);
    }
    assert_eq!(tell(&mut machine, 9, called(1, 1)), []);
    let end = tell(&mut machine, SEEK_MS_MAX, SeekInput::TimePassed);
    assert_eq!(end, [SeekOutput::Ended(SeekEnd::Silent)]);
}

// LOC-8
#[test]
fn who_shows_himself_elsewhere_while_he_is_asked_is_asked_there_as_soon_as_that_has_failed() {
    let mut machine = open();
    assert_eq!(tell(&mut machine, 1, recorded(1, &[1])), [ask(1, &[1])]);
    assert_eq!(tell(&mut machine, 2, called(1, 2)), []);
    assert_eq!(tell(&mut machine, 3, said(1, SeekAnswer::Silent)), [ask(1, &[2, 1])]);
}

// LOC-8
#[test]
fn it_ends_whatever_strangers_do_and_their_no_says_nothing_of_the_phrase() {
    let mut machine = open();
    tell(&mut machine, 1, called(1, 1));
    assert_eq!(tell(&mut machine, 2, said(1, SeekAnswer::Unknown)), []);
    let end = tell(&mut machine, SEEK_MS_MAX, SeekInput::TimePassed);
    assert_eq!(end, [SeekOutput::Ended(SeekEnd::Nobody)]);

    let mut machine = open();
    tell(&mut machine, 1, called(1, 1));
    assert_eq!(tell(&mut machine, SEEK_MS_MAX, called(2, 2)), [], "too late to be asked");
    let last = START.after_ms(2 * SEEK_MS_MAX);
    assert_eq!(machine.poll_timeout(), Some(last));
    let end = tell(&mut machine, 2 * SEEK_MS_MAX, SeekInput::TimePassed);
    assert_eq!(end, [SeekOutput::Ended(SeekEnd::Silent)]);
}

// LOC-14
#[test]
fn callers_leave_room_for_others_and_few_from_one_address_are_believed() {
    let mut machine = open();
    let asked: Vec<_> = (0..20).flat_map(|of| tell(&mut machine, 1, called(of, 7))).collect();
    assert_eq!(asked.len(), SEEK_CALLERS_PER_ADDRESS_MAX);
    for of in 20..200 {
        assert_eq!(tell(&mut machine, 2, called(of, of)), [], "their places are taken");
    }
    assert_eq!(machine.candidates.len(), SEEK_CANDIDATES_MAX / 2);
    assert_eq!(tell(&mut machine, 3, recorded(201, &[1])), [ask(201, &[1])]);
    assert_eq!(tell(&mut machine, 4, called(202, 202)), []);
    let far = "203.0.113.5:1".parse().ok();
    let input = SeekInput::Called { device: device(203), address: far, own: Vec::new() };
    assert_eq!(tell(&mut machine, 5, input), []);
    assert!(!machine.candidates.contains_key(&device(203)), "no device of this network");
}

// LOC-14
#[test]
fn what_a_record_says_of_somebody_comes_after_what_is_known_and_is_little() {
    let mut machine = open();
    assert_eq!(tell(&mut machine, 1, called(1, 1)), [ask(1, &[1])]);
    tell(&mut machine, 2, recorded(1, &[2, 3, 4, 5, 6, 7]));
    let again = tell(&mut machine, 3, said(1, SeekAnswer::Silent));
    assert_eq!(again, [ask(1, &[1, 2, 3, 4, 5])]);
}

// LOC-8
#[test]
fn few_are_asked_at_once() {
    let mut machine = open();
    let asked: Vec<_> = (0..100).flat_map(|of| tell(&mut machine, 1, recorded(of, &[]))).collect();
    assert_eq!(asked.len(), SEEK_ASKED_MAX);
    let next = tell(&mut machine, 2, said(0, SeekAnswer::Unknown));
    assert_eq!(next, [ask(8, &[])]);
    assert_eq!(machine.candidates.len(), SEEK_CANDIDATES_MAX);
}
