//! When there is another code, and when there are no more.

use proptest::{collection::vec, prelude::*};

use RenewalInput::{Closed, Expired, Guessed, NotOpened, Opened, TimePassed, Tried};
use RenewalOutput::{Ended, Open, Show};

use crate::{
    limits::{SPOKEN_AGAIN_MS, SPOKEN_COMES_MS_MAX, SPOKEN_GUESSES_MAX, SPOKEN_NEXT_MS},
    meeting::{Audience, NoMore, Renewal, RenewalInput, RenewalOutput, Why},
    time::Instant,
};

fn at(ms: u64) -> Instant {
    Instant(0).after_ms(ms)
}

/// What is ordered after an input.
fn after(codes: &mut Renewal, ms: u64, input: RenewalInput) -> Option<RenewalOutput> {
    codes.handle_input(at(ms), input);
    let output = codes.poll_output();
    assert_eq!(codes.poll_output(), None, "one order for one input");
    output
}

/// With its first code on the screen.
fn showing(audience: Audience) -> Renewal {
    let mut codes = Renewal::new(audience);
    assert_eq!(codes.poll_output(), Some(Open));
    assert_eq!(after(&mut codes, 0, Opened), Some(Show(Why::First)));
    assert_eq!(codes.poll_timeout(), None);
    codes
}

// MEET-16
#[test]
fn a_code_whose_time_is_over_is_followed_by_another_for_as_long_as_it_takes() {
    let mut codes = showing(Audience::One);
    for _ in 0..10_000 {
        assert_eq!(after(&mut codes, 1, Expired), Some(Open));
        assert_eq!(after(&mut codes, 1, Expired), None, "the same one");
        assert_eq!(after(&mut codes, 1, Opened), Some(Show(Why::Expired)));
    }
}

// MEET-16
#[test]
fn four_wrong_guesses_are_followed_by_another_code_and_the_fifth_by_none() {
    for audience in [Audience::One, Audience::Several] {
        let mut codes = showing(audience);
        for _ in 0..SPOKEN_GUESSES_MAX {
            assert_eq!(after(&mut codes, 1, Tried), None);
            assert_eq!(after(&mut codes, 1, Guessed), Some(Open));
            assert_eq!(after(&mut codes, 1, Guessed), None, "told once");
            assert_eq!(after(&mut codes, 1, Opened), Some(Show(Why::Guessed)));
            // Other ends in between count for nothing, and give no guess back.
            assert_eq!(after(&mut codes, 1, Expired), Some(Open));
            assert_eq!(after(&mut codes, 1, Opened), Some(Show(Why::Expired)));
        }
        assert_eq!(after(&mut codes, 1, Guessed), Some(Ended(NoMore::Guessed)));
        for input in [Opened, NotOpened, Expired, Tried, Guessed, Closed, TimePassed] {
            assert_eq!(after(&mut codes, u64::MAX, input), None);
        }
        assert_eq!(codes.poll_timeout(), None);
    }
}

// MEET-16
#[test]
fn whoever_was_given_the_invitation_has_some_time_to_come_with_it() {
    for (audience, patience_ms) in
        [(Audience::One, SPOKEN_COMES_MS_MAX), (Audience::Several, SPOKEN_NEXT_MS)]
    {
        let mut codes = showing(audience);
        assert_eq!(after(&mut codes, 5, Tried), None);
        assert_eq!(codes.poll_timeout(), Some(at(5 + patience_ms)));
        assert_eq!(after(&mut codes, 4 + patience_ms, TimePassed), None, "early");
        assert_eq!(after(&mut codes, 4 + patience_ms, Expired), None, "it was used before");
        assert_eq!(after(&mut codes, 5 + patience_ms, TimePassed), Some(Open));
        assert_eq!(after(&mut codes, 5 + patience_ms, Opened), Some(Show(Why::Given)));
    }
    // He comes.
    let mut codes = showing(Audience::One);
    assert_eq!(after(&mut codes, 5, Tried), None);
    assert_eq!(after(&mut codes, 6, Closed), Some(Ended(NoMore::Closed)));
    assert_eq!(after(&mut codes, u64::MAX, TimePassed), None);
}

// MEET-16
#[test]
fn where_none_can_be_made_it_is_tried_again_and_the_reason_is_not_forgotten() {
    let mut codes = Renewal::new(Audience::One);
    assert_eq!(codes.poll_output(), Some(Open));
    for round in 0..3 {
        let begun = round * SPOKEN_AGAIN_MS;
        assert_eq!(after(&mut codes, begun, NotOpened), None);
        assert_eq!(codes.poll_timeout(), Some(at(begun + SPOKEN_AGAIN_MS)));
        assert_eq!(after(&mut codes, begun + 1, TimePassed), None);
        assert_eq!(after(&mut codes, begun + SPOKEN_AGAIN_MS, TimePassed), Some(Open));
    }
    assert_eq!(after(&mut codes, 0, Opened), Some(Show(Why::Late)));
    assert_eq!(after(&mut codes, 0, Guessed), Some(Open));
    assert_eq!(after(&mut codes, 0, NotOpened), None);
    assert_eq!(after(&mut codes, SPOKEN_AGAIN_MS, TimePassed), Some(Open));
    assert_eq!(after(&mut codes, 0, Opened), Some(Show(Why::Guessed)));
}

// MEET-16
#[test]
fn an_invitation_that_is_taken_back_has_no_codes_wherever_they_are() {
    let opening = Renewal::new(Audience::One);
    let mut resting = opening.clone();
    resting.handle_input(at(1), NotOpened);
    let shown = showing(Audience::One);
    let mut coming = shown.clone();
    coming.handle_input(at(1), Tried);
    for mut codes in [opening, resting, shown, coming] {
        codes.handle_input(at(2), Closed);
        let orders: Vec<_> = std::iter::from_fn(|| codes.poll_output()).collect();
        assert_eq!(orders.last(), Some(&Ended(NoMore::Closed)));
        assert_eq!(after(&mut codes, 3, Opened), None);
    }
}

fn inputs() -> impl Strategy<Value = Vec<(u64, RenewalInput)>> {
    let input = prop_oneof![
        40 => Just(Opened),
        10 => Just(NotOpened),
        10 => Just(Expired),
        20 => Just(Tried),
        20 => Just(Guessed),
        40 => Just(TimePassed),
        1 => Just(Closed),
    ];
    vec((0_u64..40_000, input), 0..200)
}

proptest! {
    // MEET-16
    #[test]
    fn whatever_happens_orders_alternate_and_guesses_are_counted(steps in inputs()) {
        let mut codes = Renewal::new(Audience::One);
        let (mut now, mut is_ordered, mut is_over, mut guesses) = (0, false, false, 0);
        for (ms, input) in steps {
            let output = codes.poll_output();
            match output {
                Some(Open) => {
                    prop_assert!(!is_ordered && !is_over);
                    is_ordered = true;
                }
                Some(Show(why)) => {
                    prop_assert!(is_ordered && !is_over);
                    is_ordered = false;
                    guesses += u32::from(why == Why::Guessed);
                    prop_assert!(guesses <= SPOKEN_GUESSES_MAX);
                }
                Some(Ended(_)) => {
                    prop_assert!(!is_over);
                    is_over = true;
                }
                None => {}
            }
            prop_assert_eq!(codes.poll_output(), None);
            now += ms;
            is_ordered &= input != NotOpened;
            codes.handle_input(at(now), input);
        }
    }
}
