//! Vectors of specs/meeting.md.

use serde_json::{Value, json};

use super::{
    Channel,
    cpace::Keys,
    tests::{code, guest, host, invite, meet},
};
use crate::{
    cbor,
    ticket::Ticket,
    vectors::{self, hex},
};

const TEXT: &str = "7-maple-orbit-candy";

fn page() -> Value {
    let (at_host, at_guest) = meet(&mut host(TEXT), &mut guest(TEXT), |_, frame| frame);
    let channel = |number| {
        let channel = Channel::new(number).expect("it is one");
        json!({ "number": number, "seed": hex(channel.seed()), "id": hex(channel.id().as_bytes()) })
    };
    let (isk, ticket) = ([0x2a; 64], Ticket::Invite(invite()).to_text());
    let keys = Keys::of(&isk);
    let sealed = keys.seal(&ticket);
    json!({
        "after_cpace": {
            "isk": hex(isk),
            "guest_proof": hex(keys.guest_proof().as_bytes()),
            "ticket": ticket,
            "sealed": hex(&sealed),
            "host_proof": hex(keys.host_proof(&sealed).as_bytes()),
        },
        "channels": [channel(1), channel(7), channel(999)],
        "meeting": {
            "code": TEXT,
            "password": *code(TEXT).password(),
            "invitation": hex(cbor::encode(&invite())),
            "hello": hex(&at_guest.sent[0]),
            "answer": hex(&at_host.sent[0]),
            "proof": hex(&at_guest.sent[1]),
            "invited": hex(&at_host.sent[1]),
        },
    })
}

// MEET-11
#[test]
fn vectors_hold() {
    vectors::check("meeting", &page());
}

#[test]
#[ignore = "writes specs/vectors/meeting.json"]
fn write_vectors() {
    vectors::write("meeting", &page());
}
