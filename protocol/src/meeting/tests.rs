//! Both machines against each other, and against whoever does not have the code.

use proptest::prelude::*;

use super::{
    Ending, Failed, Guest, Host, Input, Offer, Output, Party, Refusal, Search, SpokenCode, VERSION,
    code::{CHANNELS, Channel, CodeError},
    cpace::{answer, begin, finish},
    frame::Frame,
};
use crate::{
    discovering::Beacon,
    ids::DeviceId,
    limits::{DISCOVERY_TRIES_MAX, MEETING_MS_MAX, SPOKEN_CODE_S_MAX},
    ticket::{Invite, InviteKind, InviteSecret},
    time::{Instant, Timestamp},
    wire::frame::FRAME_PREFIX_BYTES,
};

mod guesses;
mod renewal;

const START: Instant = Instant(1_000);
const NOW: Timestamp = Timestamp(1_600_000_000);

pub(super) fn code(text: &str) -> SpokenCode {
    text.parse().unwrap()
}

pub(super) fn invite() -> Invite {
    Invite {
        kind: InviteKind::Device,
        inviter: DeviceId::from_bytes([1; 32]),
        addresses: vec!["192.0.2.1:4711".to_owned()],
        secret: InviteSecret([7; 32]),
        expires: Timestamp(1_700_000_000),
    }
}

pub(super) fn host(text: &str) -> Host {
    Host::new(code(text), invite(), [3; 32], START)
}

pub(super) fn guest(text: &str) -> Guest {
    Guest::new(&code(text), [4; 32], START)
}

/// What one side did.
#[derive(Debug, Default)]
pub(super) struct Side {
    pub(super) sent: Vec<Vec<u8>>,
    pub(super) ending: Option<Ending>,
    pub(super) taken: u32,
}

/// Lets a side say what it wants to; a code is there to be taken once in all.
pub(super) fn settle(party: &mut impl Party, side: &mut Side) {
    while let Some(output) = party.poll_output() {
        assert!(side.ending.is_none(), "nothing comes after the end");
        match output {
            Output::Send(frame) => side.sent.push(frame[FRAME_PREFIX_BYTES..].to_vec()),
            Output::Take => {
                side.taken += 1;
                party.handle_input(START, Input::Taken(side.taken == 1));
            }
            Output::Ended(ending) => side.ending = Some(ending),
        }
    }
}

/// Carries all frames over, each as `change` leaves it.
pub(super) fn meet(
    host: &mut impl Party,
    guest: &mut impl Party,
    mut change: impl FnMut(usize, Vec<u8>) -> Vec<u8>,
) -> (Side, Side) {
    let (mut at_host, mut at_guest) = (Side::default(), Side::default());
    let (mut heard_by_host, mut heard_by_guest, mut number) = (0, 0, 0);
    loop {
        settle(guest, &mut at_guest);
        settle(host, &mut at_host);
        if let Some(frame) = at_guest.sent.get(heard_by_host) {
            heard_by_host += 1;
            number += 1;
            host.handle_input(START, Input::Frame(change(number, frame.clone())));
        } else if let Some(frame) = at_host.sent.get(heard_by_guest) {
            heard_by_guest += 1;
            number += 1;
            guest.handle_input(START, Input::Frame(change(number, frame.clone())));
        } else {
            break;
        }
    }
    (at_host, at_guest)
}

fn unchanged(_: usize, frame: Vec<u8>) -> Vec<u8> {
    frame
}

// MEET-1
#[test]
fn who_has_the_code_is_brought_the_invitation() {
    let (mut host, mut guest) = (host("7-maple-orbit-candy"), guest("7 Maple, orbi candy"));
    let (at_host, at_guest) = meet(&mut host, &mut guest, unchanged);
    assert_eq!(at_host.ending, Some(Ending::Given));
    assert_eq!(at_guest.ending, Some(Ending::Invited(Box::new(invite()))));
    assert_eq!(at_host.taken, 1);
    assert!(host.poll_timeout().is_none() && guest.poll_timeout().is_none());
    let secret = invite().secret.0;
    let shows = |frame: &Vec<u8>| frame.windows(32).any(|part| part == secret);
    assert!(!at_host.sent.iter().any(shows), "the secret went over in clear");
}

// MEET-2, MEET-3
#[test]
fn a_wrong_word_or_channel_uses_the_code_up_and_brings_nothing() {
    for wrong in ["7-maple-orbit-cargo", "7-orbit-maple-candy", "8-maple-orbit-candy"] {
        let (mut host, mut guest) = (host("7-maple-orbit-candy"), guest(wrong));
        let (at_host, at_guest) = meet(&mut host, &mut guest, unchanged);
        assert_eq!(at_host.ending, Some(Ending::Failed(Failed::WrongCode)), "{wrong}");
        assert_eq!(at_guest.ending, Some(Ending::Failed(Failed::WrongCode)));
        assert_eq!(at_host.taken, 1, "one guess, right or wrong");
        assert_eq!(at_host.sent.len(), 2, "its point and a refusal, nothing to test a guess with");
    }
}

// MEET-3
#[test]
fn nothing_is_shown_before_the_code_is_taken_and_nothing_when_it_is_gone() {
    let (mut host, mut guest) = (host("7-maple-orbit-candy"), guest("7-maple-orbit-candy"));
    let mut at_guest = Side::default();
    settle(&mut guest, &mut at_guest);
    host.handle_input(START, Input::Frame(at_guest.sent.remove(0)));
    let Some(Output::Send(answer)) = host.poll_output() else { panic!() };
    guest.handle_input(START, Input::Frame(answer[FRAME_PREFIX_BYTES..].to_vec()));
    settle(&mut guest, &mut at_guest);
    host.handle_input(START, Input::Frame(at_guest.sent.remove(0)));
    assert_eq!(host.poll_output(), Some(Output::Take));
    assert_eq!(host.poll_output(), None, "it waits until nobody else can take it");
    host.handle_input(START, Input::Taken(false));
    let mut at_host = Side::default();
    settle(&mut host, &mut at_host);
    assert_eq!(at_host.ending, Some(Ending::Failed(Failed::Gone)));
    let refused = Frame::Refuse { reason: Refusal::Gone };
    assert_eq!(Frame::decode(&at_host.sent[0]).unwrap(), refused);
}

// MEET-19: a host that speaks an older version as well is told, by somebody between, that the guest does.
#[test]
fn who_names_another_version_than_the_guest_did_leaves_them_with_two_keys() {
    let code = code("7-maple-orbit-candy");
    let agree = |guest: u16, host: u16| {
        let (point, state) = begin(&code, guest, [4; 32]);
        let (answered, at_host) = answer(&code, host, [3; 32], &point).unwrap();
        let at_guest = finish(state, guest, &answered).unwrap();
        at_guest.guest_proof() == at_host.guest_proof()
    };
    assert!(agree(1, 1) && agree(2, 2));
    assert!(!agree(2, 1) && !agree(1, 2) && !agree(0x0101, 1));
}

// MEET-4: somebody stands between the two, and has no more than what goes over.
#[test]
fn whoever_stands_between_and_changes_anything_ends_it() {
    let text = "7-maple-orbit-candy";
    // Frames 1 to 4 are point, answer, proof, invitation.
    for (number, at) in (1..=4).flat_map(|number| (0..120).map(move |at| (number, at))) {
        let mut is_changed = false;
        let (mut host, mut guest) = (host(text), guest(text));
        let (at_host, at_guest) = meet(&mut host, &mut guest, |found, mut frame| {
            if found == number
                && let Some(byte) = frame.get_mut(at)
            {
                *byte ^= 1;
                is_changed = true;
            }
            frame
        });
        if is_changed {
            assert!(
                !matches!(at_guest.ending, Some(Ending::Invited(_))),
                "byte {at} of frame {number} does not matter"
            );
            assert!(number == 4 || at_host.ending != Some(Ending::Given));
        }
    }
}

// MEET-4: what one side says is of no use as a word of the other, nor in another meeting.
#[test]
fn what_was_said_is_of_no_use_again() {
    let text = "7-maple-orbit-candy";
    let (first, second) = meet(&mut host(text), &mut guest(text), unchanged);
    let mut again = Host::new(code(text), invite(), [5; 32], START);
    let mut at_again = Side::default();
    for frame in &second.sent {
        again.handle_input(START, Input::Frame(frame.clone()));
        settle(&mut again, &mut at_again);
    }
    assert_eq!(at_again.ending, Some(Ending::Failed(Failed::WrongCode)), "replayed to a host");
    let mut other = Guest::new(&code(text), [6; 32], START);
    let mut at_other = Side::default();
    settle(&mut other, &mut at_other);
    for frame in &first.sent {
        other.handle_input(START, Input::Frame(frame.clone()));
        settle(&mut other, &mut at_other);
    }
    assert_eq!(at_other.ending, Some(Ending::Failed(Failed::WrongCode)), "replayed to a guest");
    // Its own words come back to a guest.
    let mut alone = guest(text);
    let mut at_alone = Side::default();
    settle(&mut alone, &mut at_alone);
    let Frame::Hello { point, .. } = Frame::decode(&at_alone.sent[0]).unwrap() else { panic!() };
    let answer = Frame::Answer { point }.encode()[FRAME_PREFIX_BYTES..].to_vec();
    alone.handle_input(START, Input::Frame(answer));
    settle(&mut alone, &mut at_alone);
    alone.handle_input(START, Input::Frame(at_alone.sent[1].clone()));
    settle(&mut alone, &mut at_alone);
    assert!(matches!(at_alone.ending, Some(Ending::Failed(_))));
}

// MEET-4: the points that would make a key that everybody knows.
#[test]
fn no_point_of_the_curve_that_gives_the_key_away_is_taken() {
    let mut large = [0xff; 32];
    large[31] = 0x7f;
    for point in [[0; 32], [0xff; 32], large] {
        let mut host = host("7-maple-orbit-candy");
        let first = Frame::Hello { version: VERSION, point }.encode();
        host.handle_input(START, Input::Frame(first[FRAME_PREFIX_BYTES..].to_vec()));
        let mut side = Side::default();
        settle(&mut host, &mut side);
        assert_eq!(side.ending, Some(Ending::Failed(Failed::OutOfTurn)));
        assert_eq!(side.taken, 0, "nothing was guessed");
        let mut guest = guest("7-maple-orbit-candy");
        let mut side = Side::default();
        settle(&mut guest, &mut side);
        let answer = Frame::Answer { point }.encode()[FRAME_PREFIX_BYTES..].to_vec();
        guest.handle_input(START, Input::Frame(answer));
        settle(&mut guest, &mut side);
        assert_eq!(side.ending, Some(Ending::Failed(Failed::OutOfTurn)));
        assert_eq!(side.sent.len(), 2, "its point and a refusal");
    }
}

// MEET-13
#[test]
fn of_many_who_come_to_one_code_one_is_heard() {
    let text = "7-maple-orbit-candy";
    let mut offer = Offer::new(&invite(), NOW);
    // A wrong guess comes first: the right words are of no use after it, however many bring them.
    for (number, words) in ["7-maple-orbit-cargo", text, text].into_iter().enumerate() {
        let (mut host, mut guest) = (host(text), guest(words));
        let (mut at_host, mut at_guest) = (Side::default(), Side::default());
        settle(&mut guest, &mut at_guest);
        host.handle_input(START, Input::Frame(at_guest.sent[0].clone()));
        let Some(Output::Send(answer)) = host.poll_output() else { panic!() };
        guest.handle_input(START, Input::Frame(answer[FRAME_PREFIX_BYTES..].to_vec()));
        settle(&mut guest, &mut at_guest);
        host.handle_input(START, Input::Frame(at_guest.sent[1].clone()));
        assert_eq!(host.poll_output(), Some(Output::Take));
        host.handle_input(START, Input::Taken(offer.take(NOW, [invite().id()])));
        settle(&mut host, &mut at_host);
        let failed = if number == 0 { Failed::WrongCode } else { Failed::Gone };
        assert_eq!(at_host.ending, Some(Ending::Failed(failed)));
        guest.handle_input(START, Input::Frame(at_host.sent[0].clone()));
        settle(&mut guest, &mut at_guest);
        assert_eq!(at_guest.ending, Some(Ending::Failed(failed)), "it is told why");
    }
}

// MEET-14
#[test]
fn a_code_ends_with_its_time_and_with_its_invitation() {
    let open = [invite().id()];
    let fresh = || Offer::new(&invite(), NOW);
    let end = Timestamp(NOW.0 + SPOKEN_CODE_S_MAX);
    assert_eq!(fresh().expires(), end);
    assert!(fresh().take(Timestamp(end.0 - 1), open));
    // A machine that slept wakes up with a clock that has gone on.
    assert!(!fresh().take(end, open));
    assert!(!fresh().take(NOW, []), "the invitation was used by its long text");
    let soon = Invite { expires: Timestamp(NOW.0 + 9), ..invite() };
    assert_eq!(Offer::new(&soon, NOW).expires(), soon.expires);
    let mut late = fresh();
    assert!(!late.take(end, open));
    assert!(!late.take(NOW, open), "a clock that is set back opens nothing again");
}

// MEET-15
#[test]
fn few_places_are_tried_and_near_ones_alone() {
    let channel = Channel::new(7).unwrap();
    let meant = Beacon::from_bytes(*channel.id().as_bytes());
    let own = ["10.0.0.9".parse().unwrap()];
    let mut search = Search::new(channel);
    let mut tries = |beacon: &Beacon, address: &str| {
        search.is_worth_a_try(beacon, address.parse().unwrap(), &own)
    };
    assert!(!tries(&Beacon::from_bytes([1; 32]), "10.0.0.1:4711"), "somebody else");
    for far in ["192.0.2.1:4711", "127.0.0.1:4711", "10.0.0.1:0", "224.0.0.251:5353"] {
        assert!(!tries(&meant, far), "{far}");
    }
    for place in 0..DISCOVERY_TRIES_MAX {
        let address = format!("10.0.0.{}:4711", place + 1);
        assert!(tries(&meant, &address));
        assert!(!tries(&meant, &address), "once");
    }
    assert!(!tries(&meant, "10.0.0.200:4711"), "enough");
}

// MEET-5
#[test]
fn who_goes_away_or_stays_silent_uses_nothing_up() {
    let late = START.after_ms(MEETING_MS_MAX);
    for (input, failed) in [(Input::Lost, Failed::Lost), (Input::TimePassed, Failed::TimedOut)] {
        let mut parties: [Box<dyn Party>; 2] =
            [Box::new(host("7-maple-orbit-candy")), Box::new(guest("7-maple-orbit-candy"))];
        for party in &mut parties {
            while party.poll_output().is_some() {}
            assert_eq!(party.poll_timeout(), Some(late));
            party.handle_input(START, Input::TimePassed);
            assert_eq!(party.poll_output(), None, "too early");
            party.handle_input(late, input.clone());
            assert_eq!(party.poll_output(), Some(Output::Ended(Ending::Failed(failed))));
            assert_eq!(party.poll_timeout(), None);
            party.handle_input(late, Input::Frame(vec![0]));
            assert_eq!(party.poll_output(), None, "over is over");
        }
    }
}

// MEET-6
#[test]
fn a_newer_version_is_refused_by_name() {
    let mut host = host("7-maple-orbit-candy");
    let newer = Frame::Hello { version: VERSION + 1, point: [9; 32] }.encode();
    host.handle_input(START, Input::Frame(newer[FRAME_PREFIX_BYTES..].to_vec()));
    let mut side = Side::default();
    settle(&mut host, &mut side);
    let refused = Frame::Refuse { reason: Refusal::Version };
    assert_eq!(Frame::decode(&side.sent[0]).unwrap(), refused);
}

// MEET-7
#[test]
fn a_code_is_read_as_people_type_it() {
    let meant = code("7-maple-orbit-candy");
    for text in [
        "7-maple-orbit-candy",
        " 7 maple orbit candy\n",
        "7-MAPL-Orbi-cand",
        "7, maple, orbit, candy.",
        "007-maple-orbit-candy",
    ] {
        assert_eq!(code(text), meant, "{text}");
    }
    assert_eq!(meant.to_text(), "7-maple-orbit-candy");
    let error = |text: &str| text.parse::<SpokenCode>().unwrap_err();
    assert_eq!(error("maple-orbit-candy"), CodeError::NotACode);
    assert_eq!(error(""), CodeError::NotACode);
    assert_eq!(error(&"7-".repeat(200)), CodeError::NotACode);
    for number in ["0", "1000", "7x", "99999999999999999999"] {
        assert_eq!(error(&format!("{number}-maple-orbit-candy")), CodeError::Channel, "{number}");
    }
    assert_eq!(error("7-maple-orbit"), CodeError::WordCount { words: 2 });
    assert_eq!(error("7-maple-orbit-candy-candy"), CodeError::WordCount { words: 4 });
    for (wrong, meant) in
        [("mapel", "maple"), ("maqle", "maple"), ("mple", "maple"), ("mapple", "maple")]
    {
        let CodeError::UnknownWord { position: 1, like } = error(&format!("7-{wrong}-orbit-candy"))
        else {
            panic!("{wrong}")
        };
        assert!(like.contains(&meant), "{wrong}: {like:?}");
    }
    let said = error("7-maple-orbit-candl").to_string();
    assert!(said.starts_with("word 3 of the code"), "{said}");
    assert!(!said.contains("candl,"), "an error repeats no more than it must");
}

// MEET-7, MEET-8
#[test]
fn every_code_that_is_made_can_be_read_and_no_channel_comes_twice_in_a_row() {
    for number in 1..=CHANNELS {
        let channel = Channel::new(number).unwrap();
        let [low, high] = number.wrapping_mul(31).to_le_bytes();
        let made = SpokenCode::random(channel, [low, high, high, low, 255, 255]);
        assert_eq!(code(&made.to_text()), made);
        assert_ne!(channel.following(), channel);
        assert!(Channel::new(channel.following().number()).is_some());
        assert_eq!(Channel::of_random(number - 1), channel);
    }
    assert_eq!(Channel::new(0), None);
    assert_eq!(Channel::new(CHANNELS + 1), None);
    let (one, two) = (Channel::new(1).unwrap(), Channel::new(2).unwrap());
    assert_ne!(one.id(), two.id());
}

// MEET-9
#[test]
fn a_code_is_not_written_where_logs_are_read() {
    let said = format!(
        "{:?} {:?} {:?}",
        code("7-maple-orbit-candy"),
        host("7-maple-orbit-candy"),
        guest("7-maple-orbit-candy")
    );
    assert!(!said.contains("maple") && !said.contains("candy"), "{said}");
    assert!(!said.contains("3, 3"), "the seed is in it: {said}");
}

proptest! {
    // MEET-10
    #[test]
    fn no_bytes_and_no_text_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), text in ".{0,60}") {
        let _ = text.parse::<SpokenCode>();
        let _ = format!("7-{text}").parse::<SpokenCode>();
        for number in 0..3_u8 {
            let mut party: Box<dyn Party> = if number == 0 {
                Box::new(host("7-maple-orbit-candy"))
            } else {
                Box::new(guest("7-maple-orbit-candy"))
            };
            party.handle_input(START, Input::Frame(bytes.clone()));
            while party.poll_output().is_some() {}
            prop_assert!(party.poll_timeout().is_none(), "garbage ends it");
        }
    }
}
