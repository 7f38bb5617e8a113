//! What is asked when, and what an answer takes away.

use super::*;

const DAY_MS: u64 = AUDIT_EVERY_MS;

fn id(seed: u8) -> DeviceId {
    DeviceId::from_bytes([seed; 32])
}

fn shard(seed: u8) -> ShardRef {
    ShardRef { root: ShardRoot::from_bytes([seed; 32]), bytes: 1 << 20 }
}

/// A machine with one holder that keeps so many shards.
struct Driven {
    machine: Auditing,
    now: Instant,
}

impl Driven {
    fn new(shards: u8) -> Self {
        let mut driven = Self { machine: Auditing::new([9; 32]), now: Instant(1) };
        for seed in 1..=shards {
            driven.give(Input::Kept { holder: id(1), shard: shard(seed) });
        }
        driven
    }

    fn give(&mut self, input: Input) -> Vec<Output> {
        self.machine.handle_input(self.now, input);
        std::iter::from_fn(|| self.machine.poll_output()).collect()
    }

    fn later(&mut self, ms: u64) -> Vec<Output> {
        self.now = self.now.after_ms(ms);
        self.give(Input::TimePassed)
    }

    fn connect(&mut self) -> Vec<Output> {
        self.give(Input::HolderConnected { holder: id(1) })
    }

    /// Answers the challenge in `outputs`, if there is one.
    fn answer(&mut self, outputs: &[Output], of: impl Fn(&Challenge) -> Finding) -> Vec<Output> {
        let Some((order, challenges)) = challenge(outputs) else { return Vec::new() };
        let findings = challenges.iter().map(of).collect();
        self.give(Input::Answered { order, findings })
    }
}

fn challenge(outputs: &[Output]) -> Option<(OrderId, Vec<Challenge>)> {
    outputs.iter().find_map(|output| match output {
        Output::Challenge { order, challenges, .. } => Some((*order, challenges.clone())),
        _ => None,
    })
}

fn failures(outputs: &[Output]) -> Vec<(ShardRoot, Failure)> {
    let failure = |output: &Output| match output {
        Output::CopyFailed { root, failure, .. } => Some((*root, *failure)),
        _ => None,
    };
    outputs.iter().filter_map(failure).collect()
}

// AUDIT-3
#[test]
fn a_holder_is_asked_soon_after_its_first_receipt_and_then_daily() {
    let mut driven = Driven::new(3);
    assert_eq!(driven.connect(), []);
    assert_eq!(driven.later(AUDIT_FIRST_MS - 1), []);
    let asked = driven.later(1);
    let (_, challenges) = challenge(&asked).unwrap();
    assert!(challenges.len() > 400, "of 3,072 chunks few are drawn twice: {}", challenges.len());
    let noted = driven.answer(&asked, |_| Finding::Proven);
    let roots = [1, 2, 3].map(|seed| shard(seed).root).to_vec();
    assert_eq!(noted, [Output::NoteProven { holder: id(1), roots }]);
    assert_eq!(driven.later(DAY_MS - 1), []);
    assert!(challenge(&driven.later(1)).is_some());
}

// AUDIT-3
#[test]
fn a_restart_does_not_ask_again_what_was_shown_lately() {
    let mut driven = Driven::new(3);
    driven.give(Input::ProvenBefore { holder: id(1), age_ms: DAY_MS / 2 });
    driven.connect();
    assert_eq!(driven.later(DAY_MS / 2 - 1), []);
    assert!(challenge(&driven.later(1)).is_some());
    let mut late = Driven::new(3);
    let asked = late.give(Input::ProvenBefore { holder: id(1), age_ms: 9 * DAY_MS });
    assert!(challenge(&asked).is_some());
}

// AUDIT-4
#[test]
fn silence_and_refusals_take_no_copy_away() {
    let mut driven = Driven::new(3);
    driven.connect();
    let asked = driven.later(AUDIT_FIRST_MS);
    assert_eq!(driven.later(AUDIT_MS_MAX), [], "it is given up, and rests");
    let late = driven.answer(&asked, |_| Finding::Wrong);
    assert_eq!(late, [], "an answer that comes too late is none");
    let mut asked = driven.later(10 * BACKOFF.first_ms);
    assert!(challenge(&asked).is_some());
    assert_eq!(driven.answer(&asked, |_| Finding::Unable(Refusal::Busy)), []);
    asked = driven.later(20 * BACKOFF.first_ms);
    let (order, _) = challenge(&asked).unwrap();
    assert_eq!(driven.give(Input::Failed { order }), []);
    asked = driven.later(40 * BACKOFF.first_ms);
    let (order, _) = challenge(&asked).unwrap();
    assert_eq!(driven.give(Input::Failed { order }), []);
    assert_eq!(driven.machine.status()[&id(1)].failures, 4);
    assert!(challenge(&driven.connect()).is_some(), "it is there: no need to wait");
    let (order, findings) = (OrderId(999), vec![Finding::Absent]);
    assert_eq!(driven.give(Input::Answered { order, findings }), []);
}

// AUDIT-4
#[test]
fn an_answer_with_another_number_of_findings_is_none() {
    let mut driven = Driven::new(3);
    driven.connect();
    let (order, _) = challenge(&driven.later(AUDIT_FIRST_MS)).unwrap();
    assert_eq!(driven.give(Input::Answered { order, findings: vec![Finding::Absent] }), []);
    assert_eq!(driven.machine.status()[&id(1)].failures, 1);
}

// AUDIT-5
#[test]
fn one_hole_makes_everything_else_be_asked_about_at_once() {
    let mut driven = Driven::new(20);
    driven.connect();
    let asked = driven.later(AUDIT_FIRST_MS);
    let gone = |challenge: &Challenge| match challenge.shard.root.as_bytes()[0] {
        1 => Finding::Absent,
        2 => Finding::Damaged,
        _ => Finding::Proven,
    };
    let outputs = driven.answer(&asked, gone);
    let expected = [(shard(1).root, Failure::Absent), (shard(2).root, Failure::Damaged)];
    assert_eq!(failures(&outputs), expected);
    // All others were proven by this very audit, so nothing is left to ask.
    assert_eq!(challenge(&outputs), None);
    assert_eq!(driven.machine.status()[&id(1)].failed, 2);

    let mut large = Driven { machine: Auditing::new([9; 32]), now: Instant(1) };
    for seed in 0..=255_u8 {
        let bytes = if seed == 7 { 60 << 20 } else { 1024 };
        let shard = ShardRef { root: ShardRoot::from_bytes([seed; 32]), bytes };
        large.give(Input::Kept { holder: id(1), shard });
    }
    large.connect();
    let asked = large.later(AUDIT_FIRST_MS);
    let seventh = ShardRoot::from_bytes([7; 32]);
    let is_seventh = |it: &Challenge| it.shard.root == seventh;
    let outputs = large.answer(&asked, |it| match is_seventh(it) {
        true => Finding::Wrong,
        false => Finding::Proven,
    });
    assert_eq!(failures(&outputs), [(seventh, Failure::Wrong)]);
    let (_, next) = challenge(&outputs).unwrap();
    assert!(next.len() > 200 && !next.iter().any(is_seventh), "{}", next.len());
    assert_eq!(failures(&large.answer(&outputs, |_| Finding::Proven)), []);
    assert_eq!(large.later(1000), [], "each of them once");
}

// AUDIT-6
#[test]
fn a_new_receipt_for_what_failed_before_is_proven_at_once() {
    let mut driven = Driven::new(1);
    driven.connect();
    let asked = driven.later(AUDIT_FIRST_MS);
    let outputs = driven.answer(&asked, |_| Finding::Wrong);
    assert_eq!(failures(&outputs), [(shard(1).root, Failure::Wrong)]);
    assert_eq!(driven.later(2 * DAY_MS), [], "nothing is kept there any more");
    let asked = driven.give(Input::Kept { holder: id(1), shard: shard(1) });
    assert_eq!(challenge(&asked).unwrap().1.len(), 1);
    assert_eq!(driven.answer(&asked, |_| Finding::Proven).len(), 1);
    driven.give(Input::Forgotten { holder: id(1), root: shard(1).root });
    let again = driven.give(Input::Kept { holder: id(1), shard: shard(1) });
    assert_eq!(challenge(&again), None, "it has made up for it");
}

// AUDIT-10
#[test]
fn who_loses_the_same_shard_again_is_told_from_who_lost_it_once() {
    for finding in [Finding::Absent, Finding::Damaged] {
        let mut driven = Driven::new(1);
        driven.connect();
        let asked = driven.later(AUDIT_FIRST_MS);
        let first = failures(&driven.answer(&asked, |_| finding));
        assert!(matches!(first[..], [(_, Failure::Absent | Failure::Damaged)]), "{first:?}");
        let asked = driven.give(Input::Kept { holder: id(1), shard: shard(1) });
        let second = failures(&driven.answer(&asked, |_| finding));
        assert_eq!(second, [(shard(1).root, Failure::Again)]);
    }
}

// AUDIT-7
#[test]
fn the_user_can_have_everything_asked_for() {
    let mut driven = Driven::new(200);
    for seed in 0..=255 {
        let root = ShardRoot::from_bytes([[seed; 16], [0xee; 16]].concat().try_into().unwrap());
        driven.give(Input::Kept { holder: id(1), shard: ShardRef { root, bytes: 1 } });
    }
    driven.connect();
    let mut outputs = driven.give(Input::AskAll { holder: id(1) });
    assert_eq!(driven.machine.status()[&id(1)].pending, 456);
    let mut met = BTreeSet::new();
    let mut rounds = 0;
    while let Some((_, challenges)) = challenge(&outputs) {
        assert!(challenges.len() <= AUDIT_CHALLENGES_MAX);
        met.extend(challenges.iter().map(|challenge| challenge.shard.root));
        outputs = driven.answer(&outputs, |_| Finding::Proven);
        rounds += 1;
    }
    assert_eq!((met.len(), rounds), (456, 1));
    assert_eq!(driven.machine.status()[&id(1)].pending, 0);
}

#[test]
fn nobody_else_waits_for_a_silent_holder_and_who_was_removed_is_asked_nothing() {
    let mut driven = Driven::new(2);
    driven.give(Input::Kept { holder: id(2), shard: shard(9) });
    driven.connect();
    driven.give(Input::HolderConnected { holder: id(2) });
    let asked = driven.later(AUDIT_FIRST_MS);
    assert_eq!(asked.len(), 2);
    assert_eq!(driven.machine.orders_pending(), 2);
    driven.give(Input::HolderRemoved { holder: id(1) });
    assert_eq!(driven.machine.orders_pending(), 1);
    let late = driven.answer(&asked[..1], |_| Finding::Wrong);
    assert_eq!(late, []);
    assert_eq!(driven.answer(&asked[1..], |_| Finding::Proven).len(), 1);
}

// AUDIT-1
#[test]
fn what_a_holder_shows_is_checked() {
    let bytes = [7; 3000];
    let root = ShardRoot::from_bytes(*blake3::hash(&bytes).as_bytes());
    let challenge = Challenge { shard: ShardRef { root, bytes: 3000 }, chunk: 2 };
    let proof = challenge.prove(&bytes, &[]).unwrap();
    let of = |shown: Shown| Finding::of(&challenge, &shown);
    assert_eq!(of(Shown::Proof(proof.clone().into())), Finding::Proven);
    assert_eq!(of(Shown::Proof(proof[1..].to_vec().into())), Finding::Wrong);
    assert_eq!(of(Shown::Absent), Finding::Absent);
    assert_eq!(of(Shown::Damaged), Finding::Damaged);
    assert_eq!(of(Shown::Unable(Refusal::Busy)), Finding::Unable(Refusal::Busy));
}
