//! The words that both screens show, and the person who is asked.

use super::{
    super::{compare::Nonces, frame::Terms},
    *,
};

// PAIR-15
#[test]
fn both_sides_show_the_same_two_words_which_follow_from_both_numbers_and_both_devices() {
    for kind in [InviteKind::Device, InviteKind::Circle] {
        let words = |(inviter, joiner): (Side, Side)| {
            let asked = inviter.asked.expect("a person was asked");
            assert_eq!(Some(asked.words), joiner.shown, "{kind:?}");
            assert_eq!(asked.name, label(2).name);
            asked.words.to_string()
        };
        let usual = words(unchanged(kind));
        assert_eq!(usual.split(' ').count(), 2, "{usual}");
        let mut other_joiner = joiner_parts(kind);
        other_joiner.seed = [5; 32];
        assert_ne!(words(run(inviter_parts(kind), other_joiner)), usual);
        let mut other_inviter = inviter_parts(kind);
        other_inviter.seed = [5; 32];
        assert_ne!(words(run(other_inviter, joiner_parts(kind))), usual);
    }
}

// PAIR-15: the same numbers, and one other thing at a time.
#[test]
fn the_words_follow_from_both_devices_both_vaults_and_the_purpose() {
    let nonces = Nonces { joiner: Nonce([1; 32]), inviter: Nonce([2; 32]) };
    let [ours, theirs, others] = [1, 2, 3].map(|number| member(number).log.vault());
    let pair =
        |inviter, joiner| Pair { inviter: device(inviter).id(), joiner: device(joiner).id() };
    let words = |kind, pair, joiner_vault, vault| {
        let terms = Terms { joiner_vault, vault, role: Role::Owner };
        invite(kind).words(pair, &terms, &nonces).to_string()
    };
    let circle = InviteKind::Circle;
    let all = [
        words(circle, pair(1, 2), Some(theirs), ours),
        words(InviteKind::Device, pair(1, 2), Some(theirs), ours),
        words(circle, pair(6, 2), Some(theirs), ours),
        words(circle, pair(1, 6), Some(theirs), ours),
        words(circle, pair(1, 2), Some(others), ours),
        words(circle, pair(1, 2), Some(theirs), others),
        words(circle, pair(1, 2), None, ours),
    ];
    let different: std::collections::BTreeSet<_> = all.iter().collect();
    assert_eq!(different.len(), all.len(), "{all:?}");
}

// PAIR-16
#[test]
fn a_yes_can_be_taken_back_until_the_result_is_stored_and_means_the_vault_as_it_is_then() {
    let kind = InviteKind::Device;
    let until = |stop: fn(&Output) -> bool, inviter: &mut Inviter, joiner: &mut Joiner| loop {
        while let Some(output) = joiner.poll_output() {
            match output {
                Output::Send(bytes) => {
                    inviter.handle_input(START, Input::Frame(bytes[4..].to_vec()));
                }
                Output::Show(..) => joiner.handle_input(START, Input::Confirmed),
                _ => {}
            }
        }
        let output = inviter.poll_output().expect("it goes on");
        if stop(&output) {
            return output;
        }
        match output {
            Output::Send(bytes) => joiner.handle_input(START, Input::Frame(bytes[4..].to_vec())),
            Output::Store(_) => inviter.handle_input(START, Input::Stored),
            Output::Ask(_) => {
                let mut now = member(1);
                now.peers.push(record(9, now.log.vault()));
                inviter.handle_input(START, Input::Accepted(Box::new(now)));
            }
            other => panic!("{other:?}"),
        }
    };
    let sides = || {
        let joiner = Joiner::new(joiner_parts(kind)).unwrap();
        (Inviter::new(inviter_parts(kind)).unwrap(), joiner)
    };
    // With the draft on its way.
    let (mut inviter, mut joiner) = sides();
    let is_draft = |output: &Output| {
        matches!(output, Output::Send(bytes)
            if matches!(Frame::decode(&bytes[4..]), Ok(Frame::Draft { .. })))
    };
    until(is_draft, &mut inviter, &mut joiner);
    inviter.handle_input(START, Input::Declined);
    assert!(matches!(inviter.poll_output(), Some(Output::Send(_))));
    assert_eq!(inviter.poll_output(), Some(Output::Ended(Ending::Declined)));
    // While it is stored, and after: too late.
    let (mut inviter, mut joiner) = sides();
    let is_added = |output: &Output| matches!(output, Output::Store(store) if matches!(**store, Store::Added { .. }));
    until(is_added, &mut inviter, &mut joiner);
    inviter.handle_input(START, Input::Declined);
    inviter.handle_input(START, Input::Stored);
    inviter.handle_input(START, Input::Declined);
    let Some(Output::Send(added)) = inviter.poll_output() else { panic!("it is in") };
    let Ok(Frame::Added { peers, .. }) = Frame::decode(&added[4..]) else { panic!("it is in") };
    assert_eq!(peers.len(), 2, "one more is known since it was asked");
}

// PAIR-15: who stands between two and plays the other side in each.
#[test]
fn who_stands_between_two_shows_other_words_to_each() {
    let kind = InviteKind::Circle;
    let mut thief_joins = joiner_parts(kind);
    (thief_joins.keys, thief_joins.seed) = (device(6), [6; 32]);
    thief_joins.join_as = JoinAs::Circle(Box::new(member(6)));
    let mut at_home = inviter_parts(kind);
    at_home.peer = device(6).id();
    let (home, _) = run(at_home, thief_joins);

    let mut thief_invites = inviter_parts(kind);
    (thief_invites.keys, thief_invites.member, thief_invites.seed) =
        (device(6), member(6), [6; 32]);
    thief_invites.invites[0].invite.inviter = device(6).id();
    let mut guest = joiner_parts(kind);
    guest.invite.inviter = device(6).id();
    let (_, guest) = run(thief_invites, guest);
    assert_eq!(guest.ending, Some(Ending::Done), "the guest alone cannot know");
    assert_ne!(home.asked.map(|asked| asked.words), guest.shown);
}

// PAIR-15: a number that is chosen after the other one was seen.
#[test]
fn a_number_other_than_the_one_that_was_fixed_is_a_fault_and_nothing_is_told() {
    for kind in [InviteKind::Device, InviteKind::Circle] {
        let other = Nonce([9; 32]);
        let change = |_, body: Vec<u8>| match Frame::decode(&body) {
            Ok(Frame::Joining { device, label, addresses, .. }) => {
                crate::cbor::encode(&Frame::Joining { device, label, addresses, nonce: other })
            }
            Ok(Frame::Introduction { peers, granted_bytes, nonce: Some(_) }) => {
                let nonce = Some(other);
                crate::cbor::encode(&Frame::Introduction { peers, granted_bytes, nonce })
            }
            _ => body,
        };
        let (inviter, joiner) = Run::new(inviter_parts(kind), joiner_parts(kind)).finish(change);
        assert_eq!(inviter.ending, Some(Ending::Fault(Fault::Number)));
        assert!(inviter.asked.is_none() && inviter.result().is_none());
        assert!(joiner.result().is_none());
    }
}

// PAIR-16
#[test]
fn who_is_not_let_in_gets_nothing_but_the_vaults_name_and_a_no() {
    for kind in [InviteKind::Device, InviteKind::Circle] {
        let mut run = Run::new(inviter_parts(kind), joiner_parts(kind));
        run.says_no = true;
        let mut told = Vec::new();
        let (inviter, joiner) = run.finish(|_, body| {
            told.push(Frame::decode(&body).unwrap());
            body
        });
        assert_eq!(inviter.ending, Some(Ending::Declined));
        assert_eq!(joiner.ending, Some(Ending::Refused(Refusal::Declined)));
        assert_eq!(inviter.stored, [Store::Spent(invite(kind).id())], "used up");
        assert!(joiner.stored.is_empty());
        let of_vault = |frame: &&Frame| match frame {
            Frame::Log { entries, .. } => {
                DeviceLog::begin(&entries[0]).unwrap().vault() == member(1).log.vault()
            }
            Frame::Introduction { nonce, .. } => nonce.is_none(),
            frame => matches!(frame, Frame::Draft { .. } | Frame::Added { .. }),
        };
        assert_eq!(told.iter().find(of_vault), None, "{kind:?}");
    }
}

// PAIR-16
#[test]
fn a_person_has_time_and_silence_is_a_no() {
    let kind = InviteKind::Device;
    let (mut inviter, mut joiner) =
        (Inviter::new(inviter_parts(kind)).unwrap(), Joiner::new(joiner_parts(kind)).unwrap());
    let now = START.after_ms(1_000);
    while inviter.exchange_has_not_asked(&mut joiner, now) {}
    while let Some(Output::Send(bytes)) = joiner.poll_output() {
        inviter.handle_input(now, Input::Frame(bytes[4..].to_vec()));
    }
    let limit = inviter.poll_timeout().unwrap();
    assert_eq!(limit, now.after_ms(PAIRING_ASKING_MS_MAX));
    assert!(joiner.poll_timeout().unwrap() > limit, "who waits has more");
    // Neither one ends before, nor does a word out of turn make an answer.
    inviter.handle_input(now.after_ms(PAIRING_MS_MAX), Input::TimePassed);
    inviter.handle_input(now, Input::Stored);
    assert_eq!(inviter.poll_output(), None);
    inviter.handle_input(limit, Input::TimePassed);
    assert!(matches!(inviter.poll_output(), Some(Output::Send(_))));
    assert_eq!(inviter.poll_output(), Some(Output::Ended(Ending::Declined)));
    inviter.handle_input(limit, Input::Accepted(Box::new(member(1))));
    assert_eq!(inviter.poll_output(), None, "too late");
}

impl Inviter {
    /// Carries one output over to the other side; false once a person is asked.
    fn exchange_has_not_asked(&mut self, joiner: &mut Joiner, now: Instant) -> bool {
        while let Some(output) = joiner.poll_output() {
            match output {
                Output::Send(bytes) => {
                    self.handle_input(now, Input::Frame(bytes[4..].to_vec()));
                }
                Output::Show(..) => joiner.handle_input(now, Input::Confirmed),
                _ => {}
            }
        }
        match self.poll_output().expect("it goes on") {
            Output::Send(bytes) => joiner.handle_input(now, Input::Frame(bytes[4..].to_vec())),
            Output::Store(_) => self.handle_input(now, Input::Stored),
            Output::Ask(_) => return false,
            other => panic!("{other:?}"),
        }
        true
    }
}

// PAIR-16: the person who joins says no, before or after the other one has said yes.
#[test]
fn a_joiner_whose_words_differ_gets_nothing_and_gives_nothing_more() {
    for kind in [InviteKind::Device, InviteKind::Circle] {
        let mut run = Run::new(inviter_parts(kind), joiner_parts(kind));
        run.joiner_says_no = true;
        let (inviter, joiner) = run.finish(|_, body| body);
        assert_eq!(joiner.ending, Some(Ending::Declined));
        assert_eq!(inviter.ending, Some(Ending::Refused(Refusal::Declined)));
        assert_eq!(inviter.stored, [Store::Spent(invite(kind).id())]);
        assert!(joiner.stored.is_empty());
    }
}

// PAIR-16: an inviter that does not wait for the word of the person who joins.
#[test]
fn a_log_that_comes_before_the_words_were_compared_is_a_fault() {
    let kind = InviteKind::Device;
    let mut joiner = Joiner::new(joiner_parts(kind)).unwrap();
    let mut inviter = Inviter::new(inviter_parts(kind)).unwrap();
    while joiner.poll_output().is_some_and(|output| match output {
        Output::Send(bytes) => {
            inviter.handle_input(START, Input::Frame(bytes[4..].to_vec()));
            true
        }
        other => panic!("{other:?}"),
    }) {}
    assert!(matches!(inviter.poll_output(), Some(Output::Store(_))));
    inviter.handle_input(START, Input::Stored);
    let Some(Output::Send(welcome)) = inviter.poll_output() else { panic!("not welcome") };
    joiner.handle_input(START, Input::Frame(welcome[4..].to_vec()));
    let entries = member(1).log.entries().map(|entry| entry.to_vec().into()).collect();
    let early = crate::cbor::encode(&Frame::Log { entries, last: true });
    joiner.handle_input(START, Input::Frame(early));
    let ending = std::iter::from_fn(|| joiner.poll_output()).last();
    assert_eq!(ending, Some(Output::Ended(Ending::Fault(Fault::OutOfTurn))));
}
