//! What a new device will be: told, shown and drafted alike.

use super::*;

fn members(kind: InviteKind) -> InviterParts {
    let mut parts = inviter_parts(kind);
    parts.invites[0].role = Role::Member;
    parts
}

// PAIR-20
#[test]
fn a_member_is_shown_as_one_on_both_sides_before_anybody_says_yes_and_taken_in_as_one() {
    let kind = InviteKind::Device;
    for (parts, role) in [(inviter_parts(kind), Role::Owner), (members(kind), Role::Member)] {
        let (inviter, joiner) = run(parts, joiner_parts(kind));
        assert_eq!((inviter.ending, joiner.ending), (Some(Ending::Done), Some(Ending::Done)));
        assert_eq!(joiner.shown_role, Some(role));
        assert_eq!(inviter.asked.as_ref().map(|asked| asked.role), Some(role));
        let Some(Store::Joined { log, .. }) = joiner.result() else { panic!("not in") };
        assert_eq!(log.device(&device(2).id()).unwrap().role, role);
        assert!(log.epoch_keys(&device(2)).is_ok(), "it reads everything");
    }
}

// PAIR-20: the same numbers and devices, and another role.
#[test]
fn the_words_follow_from_the_role_as_well() {
    let kind = InviteKind::Device;
    let (as_owner, _) = unchanged(kind);
    let (as_member, joiner) = run(members(kind), joiner_parts(kind));
    let words = |side: &Side| side.asked.as_ref().map(|asked| asked.words);
    assert_ne!(words(&as_owner), words(&as_member));
    assert_eq!(words(&as_member), joiner.shown);
}

// PAIR-21
#[test]
fn a_role_that_was_not_proved_and_a_draft_with_another_one_are_faults() {
    let kind = InviteKind::Device;
    // Told as owner, with the proof of a member.
    let change = |number, body: Vec<u8>| match (number, Frame::decode(&body)) {
        (2, Ok(Frame::Welcome { vault, proof, site, nonce, .. })) => {
            let role = Role::Owner;
            crate::cbor::encode(&Frame::Welcome { vault, proof, site, nonce, role })
        }
        _ => body,
    };
    let (inviter, joiner) = Run::new(members(kind), joiner_parts(kind)).finish(change);
    assert_eq!(joiner.ending, Some(Ending::Fault(Fault::Proof)));
    assert!(joiner.stored.is_empty() && inviter.result().is_none());
    // Told as owner, drafted as member.
    let newcomer =
        Newcomer { device: device(2).public(), label: label(2), role: Role::Member, time: NOW };
    let mut rng = ChaCha8Rng::from_seed([1; 32]);
    let draft = member(1).log.draft_add(&device(1), &newcomer, &mut rng).unwrap();
    let swap = |_, body: Vec<u8>| match Frame::decode(&body) {
        Ok(Frame::Draft { .. }) => {
            crate::cbor::encode(&Frame::Draft { body: draft.bytes().to_vec().into() })
        }
        _ => body,
    };
    let (inviter, joiner) = Run::new(inviter_parts(kind), joiner_parts(kind)).finish(swap);
    assert_eq!(joiner.ending, Some(Ending::Fault(Fault::Draft(DraftError::Role))));
    assert!(joiner.stored.is_empty() && inviter.result().is_none());
}

// PAIR-21: a vault has no role in another one.
#[test]
fn a_role_for_another_vault_is_none() {
    let kind = InviteKind::Circle;
    let (inviter, joiner) = run(members(kind), joiner_parts(kind));
    assert_eq!((inviter.ending, joiner.ending), (Some(Ending::Done), Some(Ending::Done)));
    assert_eq!(joiner.shown_role, Some(Role::Owner));
}

// PAIR-22
#[test]
fn whoever_is_in_already_keeps_its_role_whatever_the_new_invitation_says() {
    let kind = InviteKind::Device;
    let (inviter, _) = run(members(kind), joiner_parts(kind));
    let Some(Store::Added { entry, .. }) = inviter.result() else { panic!("not taken in") };
    let mut again = inviter_parts(kind);
    again.member.log.merge(entry).unwrap();
    let (inviter, joiner) = run(again, joiner_parts(kind));
    // The shell of these tests says yes with the log as it was before: the draft is of a member too.
    assert_eq!(inviter.asked.map(|asked| asked.role), Some(Role::Member));
    assert_eq!(joiner.shown_role, Some(Role::Member));
    assert_eq!(joiner.ending, Some(Ending::Done));
}

// PAIR-22
#[test]
fn a_member_lets_no_device_in_but_other_vaults_into_the_circle() {
    for (kind, is_refused) in [(InviteKind::Device, true), (InviteKind::Circle, false)] {
        let mut parts = inviter_parts(kind);
        let (inviter, _) = run(members(InviteKind::Device), joiner_parts(InviteKind::Device));
        let Some(Store::Added { entry, .. }) = inviter.result() else { panic!("not taken in") };
        parts.member.log.merge(entry).unwrap();
        parts.member.peers = vec![record(2, parts.member.log.vault())];
        (parts.keys, parts.peer) = (device(2), device(3).id());
        parts.invites[0].invite.inviter = device(2).id();
        let mut joiner = joiner_parts(kind);
        (joiner.keys, joiner.invite.inviter) = (device(3), device(2).id());
        if kind == InviteKind::Circle {
            joiner.join_as = JoinAs::Circle(Box::new(member(3)));
        }
        let (inviter, joiner) = run(parts, joiner);
        let refused = Some(Ending::Refused(Refusal::WrongKind));
        assert_eq!(joiner.ending == refused, is_refused, "{:?}", joiner.ending);
        assert_eq!(inviter.stored.is_empty(), is_refused, "not even used up");
    }
}
