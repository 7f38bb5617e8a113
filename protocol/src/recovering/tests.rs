//! The machine that gathers heads alone.

use super::*;

const T0: Instant = Instant(0);

fn device(seed: u8) -> DeviceId {
    DeviceId::from_bytes([seed; 32])
}

fn hash(seed: u8) -> HeadHash {
    HeadHash::from_bytes([seed; 32])
}

/// Head `seq` of a device, whose hash is `seq` unless it is a fork.
fn head(author: u8, seq: u8) -> HeadSeen {
    HeadSeen {
        device: device(author),
        seq: u64::from(seq),
        hash: hash(seq),
        prev: (seq > 1).then(|| hash(seq - 1)),
        seen: vec![],
    }
}

fn drain(machine: &mut Recovering) -> Vec<Output> {
    std::iter::from_fn(|| machine.poll_output()).collect()
}

fn give(machine: &mut Recovering, input: Input) -> Vec<Output> {
    machine.handle_input(T0, input);
    drain(machine)
}

/// A machine that has asked holders 1 to `count`, in order.
fn asking(count: u8) -> Recovering {
    let mut machine = Recovering::new(30_000);
    for number in 1..=count {
        let holder = device(number);
        let asked = give(&mut machine, Input::HolderKnown { holder });
        assert_eq!(asked, [Output::Ask { order: OrderId(u64::from(number)), holder }]);
    }
    machine
}

fn answer(machine: &mut Recovering, number: u64, heads: &[HeadSeen]) -> Vec<Output> {
    let (order, heads) = (OrderId(number), heads.to_vec());
    give(machine, Input::HeadsAnswered { order, heads, forged: 0 })
}

// RESTORE-1, RESTORE-2
#[test]
fn the_highest_head_wins_and_its_witnesses_are_counted() {
    let mut machine = asking(3);
    assert!(answer(&mut machine, 1, &[head(9, 4)]).is_empty());
    assert!(answer(&mut machine, 2, &[head(9, 5)]).is_empty());
    assert_eq!(answer(&mut machine, 3, &[head(9, 5)]), [Output::Finished { complete: true }]);
    let found = machine.found();
    let best = &found.heads[&device(9)];
    assert_eq!((best.head.seq, best.witnesses.len(), found.answered.len()), (5, 2, 3));
    // Being behind is no crime: it may never have been told.
    let behind = Finding::Behind { holder: device(1), device: device(9), served: 4 };
    assert_eq!(found.findings, [behind]);
}

// RESTORE-3
#[test]
fn two_heads_with_one_number_are_a_fork_however_they_show() {
    let fork_of_four = |machine: &Recovering| {
        machine.found().findings.iter().any(|finding| {
            matches!(finding, Finding::Fork { device: of, seq: 4, hashes }
                if *of == device(9) && hashes.len() == 2)
        })
    };
    let rival = HeadSeen { hash: hash(99), ..head(9, 4) };
    let mut served = asking(2);
    answer(&mut served, 1, &[head(9, 4)]);
    answer(&mut served, 2, std::slice::from_ref(&rival));
    assert!(fork_of_four(&served));
    let mut chained = asking(2);
    answer(&mut chained, 1, &[head(9, 5)]);
    answer(&mut chained, 2, &[rival]);
    assert!(fork_of_four(&chained));
    let mut seen = asking(1);
    let other = HeadSeen { seen: vec![(device(9), 4, hash(99))], ..head(8, 1) };
    answer(&mut seen, 1, &[head(9, 4), other]);
    assert!(fork_of_four(&seen));
}

// RESTORE-4
#[test]
fn a_head_that_others_have_seen_and_nobody_serves_is_reported() {
    let mut machine = asking(1);
    let other = HeadSeen { seen: vec![(device(9), 7, hash(7))], ..head(8, 1) };
    answer(&mut machine, 1, &[head(9, 5), other]);
    let missing = Finding::Missing { device: device(9), found: 5, exists: 7 };
    assert!(machine.found().findings.contains(&missing));
}

// RESTORE-5
#[test]
fn hiding_is_blamed_only_with_proof() {
    // Its own head says that it had seen number 5; it serves number 4.
    let mut machine = asking(2);
    let own = HeadSeen { seen: vec![(device(9), 5, hash(5))], ..head(1, 3) };
    assert!(answer(&mut machine, 1, &[head(9, 4), head(1, 2)]).is_empty());
    // The proof came after its answer, which may have been honest then: it is asked again.
    let again = answer(&mut machine, 2, &[head(9, 5), own.clone()]);
    assert_eq!(again, [Output::Ask { order: OrderId(3), holder: device(1) }]);
    let mut honest = machine.clone();
    let outputs = answer(&mut honest, 3, &[head(9, 5), own]);
    assert_eq!(outputs, [Output::Finished { complete: true }]);
    let hides = |author, served, knew| Output::Blame {
        holder: device(1),
        fault: Fault::HidesHead { device: device(author), served, knew },
    };
    let outputs = answer(&mut machine, 3, &[head(9, 4), head(1, 2)]);
    assert_eq!(outputs[..2], [hides(1, 2, 3), hides(9, 4, 5)]);
    // It acknowledged number 5 to us.
    let mut machine = asking(1);
    let (holder, author) = (device(1), device(9));
    give(&mut machine, Input::HeadAcknowledged { holder, device: author, seq: 5 });
    // Asked before that fact was known here, so it is asked once more.
    answer(&mut machine, 1, &[head(9, 4)]);
    let outputs = answer(&mut machine, 2, &[head(9, 4)]);
    assert_eq!(outputs[0], hides(9, 4, 5));
}

// RESTORE-6
#[test]
fn silence_is_waited_out_and_a_late_holder_opens_it_again() {
    let mut machine = asking(2);
    answer(&mut machine, 1, &[head(9, 4)]);
    let mut now = T0;
    let mut finished = Vec::new();
    while now < T0.after_ms(31_000) {
        now = machine.poll_timeout().expect("somebody is still waited for").max(now);
        machine.handle_input(now, Input::TimePassed);
        finished.extend(
            drain(&mut machine).into_iter().filter(|o| matches!(o, Output::Finished { .. })),
        );
    }
    assert_eq!(finished, [Output::Finished { complete: false }]);
    assert_eq!(machine.found().silent.len(), 1);
    machine.handle_input(now, Input::HolderKnown { holder: device(3) });
    let order = drain(&mut machine).into_iter().find_map(|output| match output {
        Output::Ask { order, .. } => Some(order),
        Output::AskPast { .. } | Output::Blame { .. } | Output::Finished { .. } => None,
    });
    let heads = vec![head(9, 5)];
    let order = order.expect("the new holder is asked");
    machine.handle_input(now, Input::HeadsAnswered { order, heads, forged: 0 });
    assert_eq!(machine.found().heads[&device(9)].head.seq, 5);
}

// RESTORE-16
#[test]
fn a_head_that_leads_to_nothing_is_passed_over_for_the_one_before_it() {
    let mut machine = asking(2);
    answer(&mut machine, 1, &[head(9, 5)]);
    answer(&mut machine, 2, &[head(9, 4)]);
    assert_eq!(machine.found().heads[&device(9)].head.seq, 5);

    // Whoever showed it is asked for what it replaced; what another serves is taken meanwhile.
    let asked = give(&mut machine, Input::HeadUnreadable { hash: hash(5) });
    let ask = Output::AskPast { order: OrderId(3), holder: device(1), device: device(9), below: 5 };
    assert_eq!(asked, [ask]);
    let found = machine.found();
    assert_eq!(found.heads[&device(9)].head.seq, 4);
    let unreadable = Finding::Unreadable { device: device(9), seq: 5 };
    assert!(found.findings.contains(&unreadable), "{:?}", found.findings);
    assert!(!found.findings.iter().any(|finding| matches!(finding, Finding::Missing { .. })));
    let answered = answer(&mut machine, 3, &[head(9, 3), head(9, 4)]);
    assert_eq!(answered, [Output::Finished { complete: true }]);
    assert_eq!(machine.found().heads[&device(9)].witnesses.len(), 2, "the past counts as served");

    // One that turns up may have what was missing.
    give(&mut machine, Input::HolderKnown { holder: device(3) });
    answer(&mut machine, 4, &[head(9, 4)]);
    assert_eq!(machine.found().heads[&device(9)].head.seq, 5, "it is looked at again");
    let again = give(&mut machine, Input::HeadUnreadable { hash: hash(5) });
    assert_eq!(again, [Output::Finished { complete: true }], "and nobody is asked twice");
    assert_eq!(machine.found().heads[&device(9)].head.seq, 4);
}

// RESTORE-16
#[test]
fn a_vault_whose_every_head_leads_to_nothing_has_none() {
    let mut machine = asking(1);
    answer(&mut machine, 1, &[head(9, 2)]);
    give(&mut machine, Input::HeadUnreadable { hash: hash(2) });
    answer(&mut machine, 2, &[head(9, 1)]);
    give(&mut machine, Input::HeadUnreadable { hash: hash(1) });
    let found = machine.found();
    assert!(found.heads.is_empty());
    assert_eq!(found.findings.len(), 2, "{:?}", found.findings);
    assert_eq!(give(&mut machine, Input::HeadUnreadable { hash: hash(77) }), [], "never met");
}
