//! Vectors of specs/pairing.md.

use serde_json::{Value, json};

use super::{
    Pair,
    compare::{Nonce, Nonces},
    frame::{Frame, Refusal, Terms},
    tests::{device, invite, member},
};
use crate::{
    cbor,
    log::Role,
    ticket::{AddressTicket, InviteKind, Ticket, TicketError},
    vectors::{self, hex},
};

fn tickets() -> Value {
    let address = AddressTicket {
        device: device(1).id(),
        vault: member(1).log.vault(),
        addresses: vec!["192.0.2.1:4711".into(), "[2001:db8::1]:4711".into()],
    };
    let content = cbor::encode(&address);
    let invitation = invite(InviteKind::Device);
    let secret = cbor::encode(&invitation);
    json!([
        { "text": Ticket::Address(address).to_text(), "kind": 0, "content": hex(content) },
        { "text": Ticket::Invite(invitation).to_text(), "kind": 1, "content": hex(secret) },
    ])
}

fn refused_tickets() -> Value {
    let good = Ticket::Invite(invite(InviteKind::Circle)).to_text();
    let cut = good[..good.len() - 3].to_owned();
    let mut mistyped = good.clone();
    let at = mistyped.len() - 20;
    let other = if &mistyped[at..=at] == "a" { "b" } else { "a" };
    mistyped.replace_range(at..=at, other);
    let texts = ["hello".to_owned(), cut, mistyped];
    json!(texts.map(|text| {
        let error = match text.parse::<Ticket>().unwrap_err() {
            TicketError::NotATicket => "not a ticket",
            TicketError::Truncated => "truncated",
            TicketError::Mistyped => "mistyped",
            TicketError::Newer { .. } => "newer",
            TicketError::Malformed => "malformed",
        };
        json!({ "text": text, "error": error })
    }))
}

fn proofs(kind: InviteKind) -> Value {
    let invite = invite(kind);
    let pair = Pair { inviter: device(1).id(), joiner: device(2).id() };
    let joiner_vault = (kind == InviteKind::Circle).then(|| member(2).log.vault());
    let inviter_vault = member(1).log.vault();
    let terms = Terms { joiner_vault, vault: inviter_vault, role: Role::Owner };
    let joiner = invite.joiner_proof(pair, joiner_vault);
    let inviter = invite.inviter_proof(pair, &terms);
    let nonces = Nonces { joiner: Nonce([0x17; 32]), inviter: Nonce([0x29; 32]) };
    let (commitment, nonce) = (nonces.joiner.commitment(), nonces.inviter);
    let hello = Frame::Hello {
        version: super::VERSION,
        kind,
        invite: invite.id(),
        vault: joiner_vault,
        proof: *joiner.as_bytes(),
        commitment,
    };
    let proof = *inviter.as_bytes();
    let (vault, role) = (inviter_vault, Role::Owner);
    let welcome = Frame::Welcome { vault, proof, site: None, nonce, role };
    let site = (kind == InviteKind::Device).then(|| "home-maple-orbit".to_owned());
    let with_site = site.map(|site| Frame::Welcome { vault, proof, site: Some(site), nonce, role });
    let words = invite.words(pair, &terms, &nonces);
    let as_member = (kind == InviteKind::Device).then(|| {
        let terms = Terms { role: Role::Member, ..terms };
        let proof = *invite.inviter_proof(pair, &terms).as_bytes();
        let site = Some("home-maple-orbit".to_owned());
        let welcome = Frame::Welcome { vault, proof, site, nonce, role: Role::Member };
        json!({
            "inviter_proof": hex(proof),
            "words": invite.words(pair, &terms, &nonces).to_string(),
            "welcome": hex(cbor::encode(&welcome)),
        })
    });
    json!({
        "secret": hex(&invite.secret.0),
        "id": hex(invite.id().0),
        "inviter": hex(pair.inviter.as_bytes()),
        "joiner": hex(pair.joiner.as_bytes()),
        "joiner_vault": joiner_vault.map(|vault| hex(vault.as_bytes())),
        "inviter_vault": hex(inviter_vault.as_bytes()),
        "joiner_proof": hex(joiner.as_bytes()),
        "inviter_proof": hex(inviter.as_bytes()),
        "joiner_nonce": hex(nonces.joiner.0),
        "inviter_nonce": hex(nonces.inviter.0),
        "words": words.to_string(),
        "hello": hex(cbor::encode(&hello)),
        "welcome": hex(cbor::encode(&welcome)),
        "as_member": as_member,
        "welcome_with_site": with_site.map(|frame| hex(cbor::encode(&frame))),
    })
}

fn page() -> Value {
    let refuse = Frame::Refuse { reason: Refusal::Expired };
    json!({
        "spec": "specs/pairing.md",
        "tickets": tickets(),
        "refused_tickets": refused_tickets(),
        "invitations": [proofs(InviteKind::Device), proofs(InviteKind::Circle)],
        "frames": {
            "bye": hex(cbor::encode(&Frame::Bye)),
            "refuse_expired": hex(cbor::encode(&refuse)),
        },
    })
}

// PAIR-11, VERSIONS-2
#[test]
fn tickets_proofs_and_frames_are_as_the_vectors_say() {
    vectors::check("pairing", &page());
}

#[test]
#[ignore = "writes specs/vectors/pairing.json"]
fn write_vectors() {
    vectors::write("pairing", &page());
}
