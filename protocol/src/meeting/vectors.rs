//! Vectors of specs/meeting.md.

use std::convert::Infallible;

use pakery_cpace::{CpaceInitiator, CpaceMode};
use pakery_crypto::CpaceRistretto255;
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng as _};
use rand_core::{CryptoRng, Rng as _, TryCryptoRng, TryRng};
use serde_json::{Value, json};

use super::{
    Channel, VERSION,
    cpace::{GUEST, HOST, Keys, context, said_in},
    frame::Frame,
    tests::{code, guest, host, invite, meet},
};
use crate::{
    cbor,
    ticket::Ticket,
    vectors::{self, hex},
};

const TEXT: &str = "7-maple-orbit-candy";

/// Draws the scalar 1, so that the point which is sent is the generator itself.
struct One;

impl TryRng for One {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(1)
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(1)
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        bytes.fill(0);
        bytes[0] = 1;
        Ok(())
    }
}

impl TryCryptoRng for One {}

/// The 64 bytes of which a side with this seed makes its scalar.
fn drawn(seed: [u8; 32]) -> String {
    let mut wide = [0; 64];
    ChaCha20Rng::from_seed(seed).fill_bytes(&mut wide);
    hex(wide)
}

/// What goes into the key of a meeting, and the key: from the password to ISK.
fn agreed(hello: &[u8], answer: &[u8]) -> Value {
    let Ok(Frame::Hello { point: guest, .. }) = Frame::decode(hello) else { unreachable!() };
    let Ok(Frame::Answer { point: host }) = Frame::decode(answer) else { unreachable!() };
    let code = code(TEXT);
    let (ad_a, ad_b, ci) = (said_in(GUEST, VERSION), said_in(HOST, VERSION), context(&code));
    let password = code.password();
    let start = |rng: &mut dyn CryptoRng| {
        let (said, mut rng) = (&ad_a, rng);
        let words = password.as_bytes();
        let begun = CpaceInitiator::<CpaceRistretto255>::start(words, &ci, b"", said, &mut rng);
        begun.expect("no password leads to the neutral element")
    };
    let (generator, _) = start(&mut One);
    let (_, state) = start(&mut ChaCha20Rng::from_seed([4; 32]));
    let output = state.finish(&host, &ad_b, CpaceMode::InitiatorResponder);
    let isk = output.unwrap_or_else(|_| unreachable!("the host's point is good")).isk;
    json!({
        "password": *password,
        "ci": hex(ci),
        "ad_a": hex(ad_a),
        "ad_b": hex(ad_b),
        "generator": hex(&generator),
        "random_a": drawn([4; 32]),
        "random_b": drawn([3; 32]),
        "point_a": hex(guest),
        "point_b": hex(host),
        "isk": hex(isk.as_bytes()),
    })
}

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
        "cpace": agreed(&at_guest.sent[0], &at_host.sent[0]),
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
