//! Both sides of a pairing, in one thread: every way to go well, every place to be cut, and a
//! hostile other side.

use proptest::prelude::*;
use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};

use super::{compare::Nonce, frame::Frame, *};
use crate::{
    keys::phrase::Phrase,
    limits::{FRAME_BYTES_MAX, PAIRING_ASKING_MS_MAX, PAIRING_MS_MAX},
    log::{Founding, Label, Newcomer, Role},
    ticket::{InviteKind, InviteSecret},
    time::{Instant, Timestamp},
    wire::frame::FrameDecoder,
};

mod asking;
mod guesses;
mod roles;

const NOW: Timestamp = Timestamp(1_800_000_000);
const START: Instant = Instant(0);

pub(super) fn device(number: u8) -> DeviceKeys {
    DeviceKeys::from_seeds([number; 32], [number.wrapping_add(100); 32])
}

fn label(number: u8) -> Label {
    Label { name: format!("device {number}"), site: format!("site {number}") }
}

fn record(number: u8, vault: VaultId) -> PeerRecord {
    let Label { name, site } = label(number);
    let addresses = vec![format!("192.0.2.{number}:4711")];
    PeerRecord { device: device(number).id(), vault, name, addresses, site }
}

/// A vault founded by this device.
pub(super) fn member(number: u8) -> Member {
    let recovery = Phrase::from_entropy([number; 32]).recovery();
    let (device, label) = (device(number), label(number));
    let founding = Founding { device: &device, recovery: &recovery, label: &label, time: NOW };
    let mut rng = ChaCha8Rng::from_seed([number; 32]);
    let log = DeviceLog::found(&founding, &mut rng).unwrap().log;
    let peers = vec![record(number, log.vault())];
    Member { log, peers, offered_bytes: 1_000 * u64::from(number) }
}

pub(super) fn invite(kind: InviteKind) -> Invite {
    Invite {
        kind,
        inviter: device(1).id(),
        addresses: vec!["192.0.2.1:4711".into()],
        secret: InviteSecret([0x5e; 32]),
        expires: Timestamp(NOW.0 + 600),
    }
}

fn inviter_parts(kind: InviteKind) -> InviterParts {
    InviterParts {
        keys: device(1),
        member: member(1),
        invites: vec![Invitation { invite: invite(kind), role: Role::Owner, allowed_bytes: None }],
        peer: device(2).id(),
        time: NOW,
        start: START,
        seed: [3; 32],
    }
}

fn joiner_parts(kind: InviteKind) -> JoinerParts {
    let join_as = match kind {
        InviteKind::Device | InviteKind::Help => {
            let (Label { name, site }, addresses) = (label(2), vec!["192.0.2.2:4711".into()]);
            JoinAs::Device { name, site: Some(site), addresses }
        }
        InviteKind::Circle | InviteKind::OneWay => JoinAs::Circle(Box::new(member(2))),
    };
    JoinerParts { keys: device(2), invite: invite(kind), join_as, start: START, seed: [4; 32] }
}

/// One side with its shell: what was stored, and how it ended.
#[derive(Debug, Default)]
struct Side {
    /// All but who is about to get keys.
    stored: Vec<Store>,
    exposed: Option<DeviceId>,
    asked: Option<Asked>,
    shown: Option<CompareWords>,
    shown_role: Option<Role>,
    /// What the person answers who is asked; yes if nothing is said.
    says_no: bool,
    ending: Option<Ending>,
    sent: usize,
}

/// Runs both sides. `cut` frames are delivered, then the connection is lost; `change` may alter
/// each frame on its way.
struct Run {
    inviter: Inviter,
    joiner: Joiner,
    frames_left: usize,
    says_no: bool,
    joiner_says_no: bool,
}

impl Run {
    fn new(inviter: InviterParts, joiner: JoinerParts) -> Self {
        let (inviter, joiner) = (Inviter::new(inviter).unwrap(), Joiner::new(joiner).unwrap());
        Self { inviter, joiner, frames_left: usize::MAX, says_no: false, joiner_says_no: false }
    }

    fn finish(mut self, mut change: impl FnMut(usize, Vec<u8>) -> Vec<u8>) -> (Side, Side) {
        let (mut at_inviter, mut at_joiner) = (Side::default(), Side::default());
        (at_inviter.says_no, at_joiner.says_no) = (self.says_no, self.joiner_says_no);
        let mut number = 0;
        while at_inviter.ending.is_none() || at_joiner.ending.is_none() {
            let mut quiet = true;
            while let Some(output) = self.joiner.poll_output() {
                quiet = false;
                for input in at_joiner.carry_out(output) {
                    match input {
                        Input::Frame(body) if self.frames_left > 0 => {
                            self.frames_left -= 1;
                            number += 1;
                            let body = change(number, body);
                            self.inviter.handle_input(START, Input::Frame(body));
                        }
                        Input::Frame(_) => self.lose(),
                        other => self.joiner.handle_input(START, other),
                    }
                }
            }
            while let Some(output) = self.inviter.poll_output() {
                quiet = false;
                for input in at_inviter.carry_out(output) {
                    match input {
                        Input::Frame(body) if self.frames_left > 0 => {
                            self.frames_left -= 1;
                            number += 1;
                            let body = change(number, body);
                            self.joiner.handle_input(START, Input::Frame(body));
                        }
                        Input::Frame(_) => self.lose(),
                        other => self.inviter.handle_input(START, other),
                    }
                }
            }
            if quiet {
                self.lose();
            }
        }
        assert!(self.inviter.poll_timeout().is_none() && self.joiner.poll_timeout().is_none());
        (at_inviter, at_joiner)
    }

    fn lose(&mut self) {
        self.inviter.handle_input(START, Input::Lost);
        self.joiner.handle_input(START, Input::Lost);
    }
}

impl Side {
    /// Does what the shell would do; returns what comes of it: a frame for the other side, or an
    /// answer to this one.
    fn carry_out(&mut self, output: Output) -> Vec<Input> {
        assert!(self.ending.is_none(), "nothing comes after the end");
        match output {
            Output::Send(bytes) => {
                self.sent += 1;
                let mut decoder = FrameDecoder::new(FRAME_BYTES_MAX);
                let body = decoder.feed(&mut bytes.as_slice()).unwrap().unwrap();
                // PAIR-23: the draft has all keys in it.
                let is_draft = matches!(Frame::decode(&body), Ok(Frame::Draft { .. }));
                assert!(!is_draft || self.exposed.is_some(), "nobody noted who gets the keys");
                vec![Input::Frame(body)]
            }
            Output::Store(store) => {
                match *store {
                    Store::Exposed(device) => self.exposed = Some(device),
                    store => self.stored.push(store),
                }
                vec![Input::Stored]
            }
            Output::Show(words, role) => {
                (self.shown, self.shown_role) = (Some(words), Some(role));
                vec![if self.says_no { Input::Declined } else { Input::Confirmed }]
            }
            Output::Ask(asked) => {
                self.asked = Some(*asked);
                let yes = || Input::Accepted(Box::new(member(1)));
                vec![if self.says_no { Input::Declined } else { yes() }]
            }
            Output::Ended(ending) => {
                self.ending = Some(ending);
                Vec::new()
            }
        }
    }

    /// What was stored beside the spent invitation.
    fn result(&self) -> Option<&Store> {
        self.stored.iter().find(|store| !matches!(store, Store::Spent(_)))
    }
}

fn run(inviter: InviterParts, joiner: JoinerParts) -> (Side, Side) {
    Run::new(inviter, joiner).finish(|_, body| body)
}

fn unchanged(kind: InviteKind) -> (Side, Side) {
    run(inviter_parts(kind), joiner_parts(kind))
}

// PAIR-3
#[test]
fn a_new_device_is_taken_in_and_reads_the_vault() {
    let (inviter, joiner) = unchanged(InviteKind::Device);
    assert_eq!((inviter.ending, joiner.ending), (Some(Ending::Done), Some(Ending::Done)));
    assert_eq!(inviter.stored[0], Store::Spent(invite(InviteKind::Device).id()));
    let Some(Store::Added { entry, peer }) = inviter.result() else { panic!("no device") };
    let Some(Store::Joined { log, peers, site }) = joiner.result() else { panic!("not in") };
    let mut ours = member(1).log;
    ours.merge(entry).unwrap();
    assert_eq!(ours, *log);
    assert_eq!(*peer, record(2, log.vault()));
    assert_eq!(*peers, member(1).peers);
    assert_eq!(*site, label(2).site);
    let keys = log.epoch_keys(&device(2)).unwrap();
    assert_eq!(log.label(&device(2).id(), &keys), Some(label(2)));
}

// PAIR-14
#[test]
fn a_new_device_that_names_no_site_stands_with_its_inviter() {
    let kind = InviteKind::Device;
    let mut parts = joiner_parts(kind);
    let JoinAs::Device { site, .. } = &mut parts.join_as else { panic!() };
    *site = None;
    let (inviter, joiner) = run(inviter_parts(kind), parts);
    let Some(Store::Joined { log, site, .. }) = joiner.result() else { panic!("not in") };
    assert_eq!(*site, label(1).site);
    let keys = log.epoch_keys(&device(2)).unwrap();
    assert_eq!(log.label(&device(2).id(), &keys).unwrap().site, label(1).site);
    assert_eq!(log.usual_site(&keys), Some(label(1).site));
    let Some(Store::Added { peer, .. }) = inviter.result() else { panic!("no device") };
    assert_eq!(peer.site, label(1).site);
}

// PAIR-14: nor is a text believed that could not be shown.
#[test]
fn an_inviter_that_says_nothing_of_its_site_or_nonsense_is_at_fault() {
    for said in [None, Some("a\u{1b}[2J".to_owned())] {
        let kind = InviteKind::Device;
        let mut parts = joiner_parts(kind);
        let JoinAs::Device { site, .. } = &mut parts.join_as else { panic!() };
        *site = None;
        let change = |number, body: Vec<u8>| match (number, Frame::decode(&body)) {
            (2, Ok(Frame::Welcome { vault, proof, nonce, role, .. })) => {
                let site = said.clone();
                crate::cbor::encode(&Frame::Welcome { vault, proof, site, nonce, role })
            }
            _ => body,
        };
        let (_, joiner) = Run::new(inviter_parts(kind), parts).finish(change);
        assert_eq!(joiner.ending, Some(Ending::Fault(Fault::Implausible)));
        assert!(joiner.stored.is_empty());
    }
}

// PAIR-4
#[test]
fn two_vaults_learn_each_others_logs_nodes_and_grants() {
    let (inviter, joiner) = unchanged(InviteKind::Circle);
    assert_eq!((inviter.ending, joiner.ending), (Some(Ending::Done), Some(Ending::Done)));
    for (side, other) in [(inviter, 2), (joiner, 1)] {
        let Member { log, peers, offered_bytes: granted_bytes } = member(other);
        let (allowed_bytes, keeps_for_us) = (None, true);
        let befriended =
            Store::Befriended { log, peers, granted_bytes, allowed_bytes, keeps_for_us };
        assert_eq!(side.result(), Some(&befriended));
    }
}

/// What each side lets the other keep, by what it stored and by what it was told: inviter, joiner.
fn room(
    mut parts: InviterParts,
    kind: InviteKind,
    allowed: Option<u64>,
) -> [(u64, Option<u64>); 2] {
    parts.invites[0].allowed_bytes = allowed;
    let (inviter, joiner) = run(parts, joiner_parts(kind));
    assert_eq!((inviter.ending, joiner.ending), (Some(Ending::Done), Some(Ending::Done)));
    [inviter, joiner].map(|side| match side.result() {
        Some(Store::Befriended { granted_bytes, allowed_bytes, .. }) => {
            (*granted_bytes, *allowed_bytes)
        }
        other => panic!("{other:?}"),
    })
}

// PAIR-24
#[test]
fn who_joins_one_way_gets_room_and_gives_none() {
    let kind = InviteKind::OneWay;
    assert_eq!(room(inviter_parts(kind), kind, Some(300)), [(0, Some(300)), (300, Some(0))]);
    // A joiner that grants something all the same is not taken at its word.
    let change = |_, body: Vec<u8>| match Frame::decode(&body) {
        Ok(Frame::Introduction { peers, nonce: nonce @ Some(_), .. }) => {
            crate::cbor::encode(&Frame::Introduction { peers, granted_bytes: 9, nonce })
        }
        _ => body,
    };
    let (inviter, _) = Run::new(inviter_parts(kind), joiner_parts(kind)).finish(change);
    let stored = inviter.result();
    let Some(Store::Befriended { granted_bytes: 0, keeps_for_us: false, .. }) = stored else {
        panic!()
    };
    // Nor does an invitation become another one on the way.
    for (invited, joins) in [(kind, InviteKind::Circle), (InviteKind::Circle, kind)] {
        let (_, joiner) = run(inviter_parts(invited), joiner_parts(joins));
        assert!(matches!(joiner.ending, Some(Ending::Refused(_))), "{:?}", joiner.ending);
    }
}

// PAIR-25
#[test]
fn an_invitation_can_allow_less_than_is_offered_and_not_more() {
    let kind = InviteKind::Circle;
    for (allowed, told) in [(None, 1_000), (Some(400), 400), (Some(0), 0), (Some(5_000), 1_000)] {
        assert_eq!(room(inviter_parts(kind), kind, allowed), [(2_000, allowed), (told, None)]);
    }
}

// PAIR-4: nodes of other circles are nobody's business.
#[test]
fn a_circle_learns_nothing_of_other_vaults() {
    let mut parts = inviter_parts(InviteKind::Circle);
    parts.member.peers.push(record(9, VaultId::from_bytes([9; 32])));
    let (_, joiner) = run(parts, joiner_parts(InviteKind::Circle));
    let Some(Store::Befriended { peers, .. }) = joiner.result() else { panic!("not paired") };
    assert_eq!(peers.len(), 1);
}

// PAIR-5
#[test]
fn without_the_secret_nobody_comes_in_and_nothing_is_spent() {
    for kind in [InviteKind::Device, InviteKind::Circle] {
        let mut parts = joiner_parts(kind);
        parts.invite.secret = InviteSecret([0; 32]);
        let (inviter, joiner) = run(inviter_parts(kind), parts);
        assert_eq!(joiner.ending, Some(Ending::Refused(Refusal::UnknownInvite)));
        assert!(inviter.stored.is_empty() && joiner.stored.is_empty());
    }
}

// PAIR-5: the proof is bound to both keys, so that it is of no use in another connection.
#[test]
fn a_proof_overheard_is_of_no_use_to_another_device() {
    let kind = InviteKind::Device;
    let mut parts = inviter_parts(kind);
    parts.peer = device(6).id();
    let (inviter, joiner) = run(parts, joiner_parts(kind));
    assert_eq!(inviter.ending, Some(Ending::Fault(Fault::Proof)));
    assert_eq!(joiner.ending, Some(Ending::Refused(Refusal::UnknownInvite)));
    assert!(inviter.stored.is_empty());
}

// PAIR-5: an impostor who answers in the inviter's place has no proof either.
#[test]
fn an_inviter_without_the_secret_is_found_out() {
    let kind = InviteKind::Device;
    let forge = |number, body: Vec<u8>| {
        if number != 2 {
            return body;
        }
        let (vault, proof) = (member(1).log.vault(), [0; 32]);
        let nonce = Nonce([0; 32]);
        let role = Role::Owner;
        crate::cbor::encode(&Frame::Welcome { vault, proof, site: None, nonce, role })
    };
    let (_, joiner) = Run::new(inviter_parts(kind), joiner_parts(kind)).finish(forge);
    assert_eq!(joiner.ending, Some(Ending::Fault(Fault::Proof)));
    assert!(joiner.stored.is_empty());
}

// PAIR-6
#[test]
fn an_invitation_is_good_once_in_time_and_for_its_purpose() {
    let kind = InviteKind::Device;
    let mut spent = inviter_parts(kind);
    spent.invites.clear();
    let mut late = inviter_parts(kind);
    late.time = late.invites[0].invite.expires;
    let mut other = inviter_parts(kind);
    other.invites[0].invite.kind = InviteKind::Circle;
    for (parts, refusal) in [(spent, Refusal::UnknownInvite), (late, Refusal::Expired)] {
        let (inviter, joiner) = run(parts, joiner_parts(kind));
        assert_eq!(joiner.ending, Some(Ending::Refused(refusal)));
        assert!(inviter.stored.is_empty());
    }
    // The kind is part of the proof.
    let (inviter, joiner) = run(other, joiner_parts(kind));
    assert_eq!(joiner.ending, Some(Ending::Refused(Refusal::UnknownInvite)));
    assert!(inviter.stored.is_empty());
}

// PAIR-7, VERSIONS-1
#[test]
fn a_future_version_is_refused_by_name() {
    let kind = InviteKind::Device;
    let newer = |number, mut body: Vec<u8>| {
        if number == 1 {
            assert_eq!(body[..5], [0x82, 0x00, 0xa5, 0x00, 0x02]);
            body[4] = 9;
        }
        body
    };
    let (inviter, joiner) = Run::new(inviter_parts(kind), joiner_parts(kind)).finish(newer);
    assert_eq!(joiner.ending, Some(Ending::Refused(Refusal::Version)));
    assert!(inviter.stored.is_empty());
}

// PAIR-8: cut after every number of frames; what each side is left with.
#[test]
fn a_cut_at_any_step_leaves_nothing_half_joined() {
    for kind in [InviteKind::Device, InviteKind::Circle] {
        let (all_inviter, all_joiner) = unchanged(kind);
        let frames = all_inviter.sent + all_joiner.sent;
        for cut in 0..frames {
            let mut run = Run::new(inviter_parts(kind), joiner_parts(kind));
            run.frames_left = cut;
            let (inviter, joiner) = run.finish(|_, body| body);
            let (ours, theirs) = (inviter.result().is_some(), joiner.result().is_some());
            assert!(ours || !theirs, "the inviter stores first: {kind:?} cut at {cut}");
            let in_doubt = Some(Ending::Unconfirmed);
            assert_eq!(ours, inviter.ending == in_doubt, "{kind:?} cut at {cut}");
            if ours && !theirs {
                assert_eq!(joiner.ending, in_doubt, "{kind:?} cut at {cut}");
            }
        }
    }
}

// PAIR-8
#[test]
fn pairing_again_after_a_cut_finishes_it() {
    let kind = InviteKind::Device;
    let (all_inviter, all_joiner) = unchanged(kind);
    let mut cut = Run::new(inviter_parts(kind), joiner_parts(kind));
    cut.frames_left = all_inviter.sent + all_joiner.sent - 2;
    let (inviter, joiner) = cut.finish(|_, body| body);
    assert_eq!(joiner.ending, Some(Ending::Unconfirmed));
    let Some(Store::Added { entry, .. }) = inviter.result() else { panic!("not taken in") };
    let mut again = inviter_parts(kind);
    again.member.log.merge(entry).unwrap();
    let log_before = again.member.log.clone();
    let (inviter, joiner) = run(again, joiner_parts(kind));
    assert_eq!((inviter.ending, joiner.ending), (Some(Ending::Done), Some(Ending::Done)));
    // The entry is there already; where the device is may not have been stored.
    let Some(Store::Added { entry: known, peer }) = inviter.result() else { panic!("not stored") };
    assert_eq!((known, peer.device), (entry, device(2).id()));
    let Some(Store::Joined { log, .. }) = joiner.result() else { panic!("not in") };
    assert_eq!(*log, log_before);
}

// PAIR-9: a joiner that asks for one device and gets an entry for another.
#[test]
fn a_joiner_does_not_consent_to_another_entry() {
    let kind = InviteKind::Device;
    let other =
        Newcomer { device: device(7).public(), label: label(2), role: Role::Owner, time: NOW };
    let mut rng = ChaCha8Rng::from_seed([1; 32]);
    let draft = member(1).log.draft_add(&device(1), &other, &mut rng).unwrap();
    let swap = |_, body: Vec<u8>| match Frame::decode(&body) {
        Ok(Frame::Draft { .. }) => {
            crate::cbor::encode(&Frame::Draft { body: draft.bytes().to_vec().into() })
        }
        _ => body,
    };
    let (inviter, joiner) = Run::new(inviter_parts(kind), joiner_parts(kind)).finish(swap);
    assert_eq!(joiner.ending, Some(Ending::Fault(Fault::Draft(DraftError::OtherDevice))));
    assert_eq!(inviter.ending, Some(Ending::Refused(Refusal::Invalid)));
    assert!(joiner.stored.is_empty() && inviter.result().is_none());
}

// PAIR-9: logs of others, and nodes that are not in the log.
#[test]
fn a_foreign_log_or_node_is_refused() {
    let kind = InviteKind::Circle;
    let mut foreign = joiner_parts(kind);
    let mut stranger = member(2);
    stranger.peers[0].device = device(8).id();
    foreign.join_as = JoinAs::Circle(Box::new(stranger));
    let (inviter, _) = run(inviter_parts(kind), foreign);
    assert_eq!(inviter.ending, Some(Ending::Fault(Fault::Implausible)));
    assert!(inviter.result().is_none());
    let swap = |_, body: Vec<u8>| match Frame::decode(&body) {
        Ok(Frame::Log { entries, .. })
            if *entries[0] == *member(1).log.entries().next().unwrap() =>
        {
            let log = member(5).log;
            let entries = log.entries().map(|entry| entry.to_vec().into()).collect();
            crate::cbor::encode(&Frame::Log { entries, last: true })
        }
        _ => body,
    };
    let (_, joiner) = Run::new(inviter_parts(kind), joiner_parts(kind)).finish(swap);
    assert_eq!(joiner.ending, Some(Ending::Fault(Fault::WrongVault)));
    assert!(joiner.stored.is_empty());
}

// PAIR-10
#[test]
fn silence_ends_it_and_a_failed_store_is_said() {
    let kind = InviteKind::Device;
    let mut inviter = Inviter::new(inviter_parts(kind)).unwrap();
    let limit = inviter.poll_timeout().unwrap();
    assert!(limit < START.after_ms(PAIRING_MS_MAX), "strangers get little time");
    assert!(inviter.frame_bytes_max() < 1024, "and little room");
    inviter.handle_input(START, Input::TimePassed);
    assert_eq!(inviter.poll_output(), None);
    inviter.handle_input(limit, Input::TimePassed);
    assert_eq!(inviter.poll_output(), Some(Output::Ended(Ending::TimedOut)));
    assert_eq!((inviter.poll_output(), inviter.poll_timeout()), (None, None));

    let mut joiner = Joiner::new(joiner_parts(kind)).unwrap();
    let Some(Output::Send(hello)) = joiner.poll_output() else { panic!("no first word") };
    let mut inviter = Inviter::new(inviter_parts(kind)).unwrap();
    inviter.handle_input(START, Input::Frame(hello[4..].to_vec()));
    assert!(matches!(inviter.poll_output(), Some(Output::Store(_))));
    inviter.handle_input(START, Input::StoreFailed);
    assert!(matches!(inviter.poll_output(), Some(Output::Send(_))));
    assert_eq!(inviter.poll_output(), Some(Output::Ended(Ending::StoreFailed)));
}

#[test]
fn a_shell_that_mixes_things_up_is_told_at_once() {
    let mut wrong = joiner_parts(InviteKind::Device);
    wrong.invite.kind = InviteKind::Circle;
    assert_eq!(Joiner::new(wrong).unwrap_err(), PartsError::WrongKind { device: false });
    let mut own = joiner_parts(InviteKind::Device);
    own.keys = device(1);
    assert_eq!(Joiner::new(own).unwrap_err(), PartsError::OwnInvitation);
    let mut foreign = inviter_parts(InviteKind::Device);
    foreign.keys = device(3);
    assert_eq!(Inviter::new(foreign).unwrap_err(), PartsError::Own);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    // PAIR-9: one byte wrong anywhere, or garbage: an end, no panic, and never half of it.
    #[test]
    fn no_changed_frame_makes_a_half_pairing(
        circle in any::<bool>(),
        frame in 1_usize..9,
        at in any::<prop::sample::Index>(),
        change in 1_u8..,
        garbage in proptest::option::of(proptest::collection::vec(any::<u8>(), 1..50)),
    ) {
        let kind = if circle { InviteKind::Circle } else { InviteKind::Device };
        let alter = |number, mut body: Vec<u8>| {
            if number == frame {
                if let Some(garbage) = &garbage {
                    return garbage.clone();
                }
                let at = at.index(body.len());
                body[at] ^= change;
            }
            body
        };
        let (inviter, joiner) = Run::new(inviter_parts(kind), joiner_parts(kind)).finish(alter);
        if joiner.result().is_some() {
            prop_assert!(inviter.result().is_some());
        }
        if let Some(Store::Joined { log, .. }) = joiner.result() {
            prop_assert!(log.epoch_keys(&device(2)).is_ok());
        }
    }
}
