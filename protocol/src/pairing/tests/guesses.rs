//! Ten thousand strangers who guess at an invitation that is open.

use rand_chacha::rand_core::Rng as _;

use super::*;
use crate::{cbor, wire::frame::FRAME_PREFIX_BYTES};

const GUESSES: u32 = 10_000;

/// A first word with a secret that was guessed, or with the right id and a proof that was.
fn guess(rng: &mut ChaCha8Rng, number: u32, from: &DeviceKeys) -> Vec<u8> {
    let mut random = [0; 32];
    rng.fill_bytes(&mut random);
    let kind = if number.is_multiple_of(2) { InviteKind::Device } else { InviteKind::Circle };
    let vault = (kind == InviteKind::Circle).then(|| VaultId::from_bytes([9; 32]));
    let real = invite(kind);
    let guessed = Invite { secret: InviteSecret(random), ..real.clone() };
    let pair = Pair { inviter: device(1).id(), joiner: from.id() };
    let (invite, proof) = match number % 4 {
        0 | 1 => (guessed.id(), guessed.joiner_proof(pair, vault)),
        _ => (real.id(), guessed.joiner_proof(pair, vault)),
    };
    let (proof, commitment) = (*proof.as_bytes(), Nonce(random).commitment());
    cbor::encode(&Frame::Hello { version: VERSION, kind, invite, vault, proof, commitment })
}

// PAIR-19
#[test]
fn ten_thousand_guesses_at_an_invitation_spend_store_and_tell_nothing() {
    let mut rng = ChaCha8Rng::seed_from_u64(10_000);
    let stranger = device(6);
    let mut parts = inviter_parts(InviteKind::Device);
    let other = Invite { secret: InviteSecret([0x5f; 32]), ..invite(InviteKind::Circle) };
    parts.invites.push(Invitation { invite: other, role: Role::Owner, allowed_bytes: None });
    parts.peer = stranger.id();
    let greeting = Inviter::new(parts.clone()).unwrap();
    let refused = Frame::Refuse { reason: Refusal::UnknownInvite };
    for number in 0..GUESSES {
        let mut inviter = greeting.clone();
        inviter.handle_input(START, Input::Frame(guess(&mut rng, number, &stranger)));
        let said: Vec<_> = std::iter::from_fn(|| inviter.poll_output()).collect();
        let [Output::Send(frame), Output::Ended(Ending::Fault(_) | Ending::Refused(_))] = &said[..]
        else {
            panic!("{said:?}")
        };
        assert_eq!(Frame::decode(&frame[FRAME_PREFIX_BYTES..]).as_ref(), Ok(&refused));
        // Nothing that follows is heard.
        for late in [Input::Stored, Input::Frame(guess(&mut rng, number, &stranger))] {
            inviter.handle_input(START, late);
            assert_eq!(inviter.poll_output(), None);
        }
        assert_eq!(inviter.poll_timeout(), None);
    }
    // Whoever has the invitation is let in by it as before.
    parts.peer = device(2).id();
    let (inviter, joiner) = run(parts, joiner_parts(InviteKind::Device));
    assert_eq!((inviter.ending, joiner.ending), (Some(Ending::Done), Some(Ending::Done)));
    assert!(inviter.stored.contains(&Store::Spent(invite(InviteKind::Device).id())));
}
