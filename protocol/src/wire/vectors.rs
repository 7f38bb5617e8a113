//! Vectors of specs/control_protocol.md, and what decoders do with bytes that are none.

use minicbor::bytes::ByteVec;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{
    frame::{FrameError, decode_body, encode_frame},
    message::{
        Answer, ClaimsPart, Guarding, OfferedShard, Refusal, Request, Shown, Standing, Verdict,
    },
};
use crate::{
    discovering::BeaconKey,
    guarding::{
        SealedPhrase,
        keeping::{ReleaseState, ToldRequest},
    },
    ids::{DeviceId, EntryHash, ShardRoot, VaultId},
    index::{PackClass, ShardRef},
    keys::epoch::ReceivingPublic,
    proof::Challenge,
    receipt::{Receipt, ReceiptBody},
    time::Timestamp,
    vectors::{self, hex},
};

const VAULT: VaultId = VaultId::from_bytes([0x11; 32]);
const SEALED: SealedPhrase = SealedPhrase([0x88; 48]);

const fn shard() -> ShardRef {
    ShardRef { root: ShardRoot::from_bytes([0x22; 32]), bytes: 49_152 }
}

const fn challenge(chunk: u32) -> Challenge {
    Challenge { shard: shard(), chunk }
}

fn claims(seq: u64, roots: &[u8]) -> ClaimsPart {
    let roots = roots.iter().map(|byte| ShardRoot::from_bytes([*byte; 32])).collect();
    ClaimsPart { seq, time: Timestamp(1_800_000_000), part: 0, is_last: true, roots }
}

fn receipt() -> Receipt {
    let stored = Timestamp(1_800_000_000);
    let holder = DeviceId::from_bytes([0x33; 32]);
    let keep_until = stored.after_days(30);
    let body = ReceiptBody { vault: VAULT, shard: shard(), holder, stored, keep_until };
    Receipt { body, signature: [0x44; 64] }
}

fn site() -> Option<String> {
    Some("home-maple-orbit".to_owned())
}

fn errand_requests() -> Vec<(&'static str, Request)> {
    let (vault, device) = (VAULT, DeviceId::from_bytes([0x33; 32]));
    vec![
        ("LeaveErrand", Request::LeaveErrand { vault, errand: vec![6].into() }),
        ("PullErrands", Request::PullErrands { vault }),
        (
            "LeaveReply",
            Request::LeaveReply { vault, reply: vec![6].into(), receipts: vec![receipt()] },
        ),
        ("PullReply", Request::PullReply { vault, after: None }),
        ("PullReply, the rest", Request::PullReply { vault, after: Some(device) }),
    ]
}

fn all_requests() -> Vec<(&'static str, Request)> {
    [requests(), errand_requests()].concat()
}

fn requests() -> Vec<(&'static str, Request)> {
    let vault = VAULT;
    let device = DeviceId::from_bytes([0x33; 32]);
    let beacon_key = Some(BeaconKey::from_bytes([0x66; 32]));
    let entry: ByteVec = vec![1, 2, 3].into();
    let have = vec![EntryHash::from_bytes([0x55; 32])];
    let shards = [PackClass::Data, PackClass::Metadata]
        .map(|class| OfferedShard { shard: shard(), class })
        .to_vec();
    vec![
        ("Hello", Request::Hello { versions: vec![1], beacon_key: None, site: None, name: None }),
        (
            "Hello, shown on its network",
            Request::Hello { versions: vec![1], beacon_key, site: None, name: None },
        ),
        ("PushLog", Request::PushLog { vault, entries: vec![entry.clone()] }),
        ("PullLog", Request::PullLog { vault, have }),
        ("PushHead", Request::PushHead { vault, head: entry }),
        ("PullHeads", Request::PullHeads { vault, after: None }),
        ("PullHeads, the rest", Request::PullHeads { vault, after: Some(device) }),
        ("Offer, one shard", Request::Offer { vault, shards: shards[..1].to_vec() }),
        ("Offer, refused: one shard twice", Request::Offer { vault, shards }),
        ("Put", Request::Put { vault, shard: shard(), class: PackClass::Metadata }),
        ("PullPast", Request::PullPast { vault, device, below: None }),
        ("PullPast, the rest", Request::PullPast { vault, device, below: Some(7) }),
        ("Audit", Request::Audit { vault, challenges: vec![challenge(47)] }),
        (
            "Audit, refused: no such chunk",
            Request::Audit { vault, challenges: vec![challenge(48)] },
        ),
        ("Claim", Request::Claim { vault, part: claims(7, &[0x22, 0x23]) }),
        ("Claim, nothing", Request::Claim { vault, part: claims(0, &[]) }),
        ("Guardians, a question", Request::Guardians { vault, set: None, sealed: None }),
        (
            "Guardians",
            Request::Guardians { vault, set: Some(vec![6].into()), sealed: Some(SEALED) },
        ),
        ("AskRelease", Request::AskRelease { vault, request: vec![1, 2].into() }),
        ("Releases", Request::Releases { vault, told: vec![] }),
        ("Claim, refused: not ascending", Request::Claim { vault, part: claims(7, &[0x23, 0x22]) }),
        (
            "Hello, with its site",
            Request::Hello { versions: vec![1], beacon_key: None, site: site(), name: None },
        ),
        (
            "Hello, with its name",
            Request::Hello {
                versions: vec![1],
                beacon_key: None,
                site: site(),
                name: Some("laptop".to_owned()),
            },
        ),
        ("Introduce", Request::Introduce { vault, introduction: vec![6].into() }),
        ("ListKept, the first part", Request::ListKept { vault, after: None }),
        ("ListKept", Request::ListKept { vault, after: Some(ShardRoot::from_bytes([0x22; 32])) }),
        ("ListClaimed, the first part", Request::ListClaimed { vault, device, after: None }),
        ("Leaving, a question", Request::Leaving { words: vec![] }),
        ("Leaving", Request::Leaving { words: vec![vec![6].into()] }),
        (
            "ListClaimed",
            Request::ListClaimed { vault, device, after: Some(ShardRoot::from_bytes([0x22; 32])) },
        ),
    ]
}

fn named_welcome(standing: &Standing, name: Option<&str>) -> Answer {
    let (standing, site, name) = (Some(standing.clone()), site(), name.map(str::to_owned));
    Answer::Welcome { version: 1, standing, beacon_key: None, site, name }
}

/// Greetings with everything that one may tell.
fn welcomes() -> Vec<(&'static str, Answer)> {
    let standing = Standing {
        vault: VAULT,
        granted_bytes: 1 << 40,
        used_bytes: 49_152,
        free_bytes: 1 << 30,
        unclaimed_bytes: 0,
        guarding: None,
        introduced: 0,
        leaving: 0,
    };
    let receiving = Some(ReceivingPublic { epoch: 3, key: [0x77; 32] });
    let guarding = Some(Guarding { number: 5, open_requests: 1, receiving });
    let guarding = Standing { guarding, ..standing.clone() };
    let introduced = Standing { introduced: 1_800_000_000, ..standing.clone() };
    let leaving = Standing { leaving: 77, ..standing.clone() };
    let letting_go = Standing { unclaimed_bytes: 16_384, ..standing.clone() };
    let beacon_key = Some(BeaconKey::from_bytes([0x66; 32]));
    let welcome = |standing, beacon_key| {
        let (site, name) = (None, None);
        Answer::Welcome { version: 1, standing, beacon_key, site, name }
    };
    vec![
        ("Welcome", welcome(Some(standing.clone()), None)),
        ("Welcome, some is let go", welcome(Some(letting_go), None)),
        ("Welcome, shown on its network", welcome(Some(standing.clone()), beacon_key.clone())),
        ("Welcome, guardians", welcome(Some(guarding), None)),
        ("Welcome, no vault", welcome(None, None)),
        ("Welcome, no vault, shown on its network", welcome(None, beacon_key)),
        ("Welcome, with its site", named_welcome(&standing, None)),
        ("Welcome, with its name", named_welcome(&standing, Some("laptop"))),
        ("Welcome, introduced", welcome(Some(introduced), None)),
        ("Welcome, with words of who leaves whom", welcome(Some(leaving), None)),
    ]
}

fn answers() -> Vec<(&'static str, Answer)> {
    let offered = vec![OfferedShard { shard: shard(), class: PackClass::Metadata }];
    let roots = vec![ShardRoot::from_bytes([0x22; 32]), ShardRoot::from_bytes([0x23; 32])];
    let told = vec![
        ToldRequest { request: vec![1, 2].into(), stop: None, left_s: 604_800 },
        ToldRequest { request: vec![3, 4].into(), stop: Some(vec![5].into()), left_s: 0 },
    ];
    let verdicts =
        vec![Verdict::Wanted, Verdict::Kept(receipt()), Verdict::Refused(Refusal::Quota)];
    let shown = vec![
        Shown::Proof(vec![7, 8, 9].into()),
        Shown::Absent,
        Shown::Damaged,
        Shown::Unable(Refusal::Internal),
    ];
    let mut all = welcomes();
    all.extend([
        ("LogAt", Answer::LogAt { heads: vec![EntryHash::from_bytes([0x55; 32])] }),
        ("Log", Answer::Log { entries: vec![vec![1, 2, 3].into()] }),
        ("HeadTaken", Answer::HeadTaken),
        ("Heads", Answer::Heads { heads: vec![vec![4, 5, 6].into()] }),
        ("Verdicts", Answer::Verdicts { verdicts }),
        ("Go", Answer::Go),
        ("Stored", Answer::Stored { receipt: receipt() }),
        ("Refused", Answer::Refused { reason: Refusal::Internal }),
        ("Shown", Answer::Shown { shown }),
        ("ClaimsTaken", Answer::ClaimsTaken),
        ("GuardiansAt, the same", Answer::GuardiansAt { set: None }),
        ("GuardiansAt", Answer::GuardiansAt { set: Some(vec![6].into()) }),
        ("Release, waiting", Answer::Release { state: ReleaseState::Waiting { left_s: 604_800 } }),
        ("Release, stopped", Answer::Release { state: ReleaseState::Stopped }),
        ("Release, open", Answer::Release { state: ReleaseState::Open { phrase: SEALED } }),
        ("Release, absent", Answer::Release { state: ReleaseState::Absent }),
        ("ReleasesAre", Answer::ReleasesAre { told }),
        ("LeavingIs", Answer::LeavingIs { words: vec![vec![6].into(), vec![7, 8].into()] }),
        ("Introduced", Answer::Introduced),
        ("ErrandLeft", Answer::ErrandLeft { number: 1_800_000_000 }),
        ("Errands", Answer::Errands { errands: vec![vec![6].into(), vec![7, 8].into()] }),
        ("ReplyTaken", Answer::ReplyTaken),
        (
            "Replied",
            Answer::Replied {
                holder: Some(DeviceId::from_bytes([0x33; 32])),
                reply: Some(vec![6].into()),
                receipts: vec![receipt()],
            },
        ),
        ("Replied, no more", Answer::Replied { holder: None, reply: None, receipts: vec![] }),
        ("Kept, no more", Answer::Kept { shards: vec![] }),
        ("Kept", Answer::Kept { shards: offered }),
        ("Claimed", Answer::Claimed { head: Some(vec![4, 5, 6].into()), roots }),
        ("Claimed, nothing", Answer::Claimed { head: None, roots: vec![] }),
    ]);
    all
}

/// Bodies that no decoder of requests may accept.
fn bad() -> [(&'static str, Vec<u8>); 7] {
    [
        ("nothing", vec![]),
        ("no message", vec![0x00]),
        ("unknown number", vec![0x82, 0x18, 0x63, 0x80]),
        ("a list of indefinite length", vec![0x82, 0x00, 0x81, 0x9f, 0x01, 0xff]),
        ("a number in more bytes than needed", vec![0x82, 0x00, 0x81, 0x81, 0x18, 0x01]),
        ("a byte behind the end", vec![0x82, 0x00, 0x81, 0x81, 0x01, 0x00]),
        ("a list longer than the body", vec![0x82, 0x00, 0x81, 0x9a, 0xff, 0xff, 0xff, 0xff]),
    ]
}

fn page() -> Value {
    let frame = |name: &str, frame: Vec<u8>, sound: bool| json!({ "name": name, "frame": hex(frame), "sound": sound });
    let requests = all_requests().into_iter().map(|(name, request)| {
        frame(name, encode_frame(&request).unwrap(), request.check().is_ok())
    });
    let answers = answers()
        .into_iter()
        .map(|(name, answer)| frame(name, encode_frame(&answer).unwrap(), true));
    json!({
        "spec": "specs/control_protocol.md",
        "requests": requests.collect::<Vec<_>>(),
        "answers": answers.collect::<Vec<_>>(),
        "not_requests": bad().map(|(why, body)| json!({ "why": why, "body": hex(body) })),
    })
}

// CTRL-6
#[test]
fn messages_are_the_bytes_of_the_vectors() {
    vectors::check("control_protocol", &page());
    for (name, request) in all_requests() {
        let frame = encode_frame(&request).unwrap();
        assert_eq!(decode_body::<Request>(&frame[4..]), Ok(request), "{name}");
    }
    for (name, answer) in answers() {
        let frame = encode_frame(&answer).unwrap();
        assert_eq!(decode_body::<Answer>(&frame[4..]), Ok(answer), "{name}");
    }
    for (why, body) in bad() {
        let decoded = decode_body::<Request>(&body);
        assert!(matches!(decoded, Err(FrameError::Content(_))), "{why}: {decoded:?}");
    }
}

#[test]
#[ignore = "writes specs/vectors/control_protocol.json"]
fn write_vectors() {
    vectors::write("control_protocol", &page());
}

proptest! {
    // CTRL-7
    #[test]
    fn any_bytes_are_refused_or_are_what_they_decode_to(
        which in 0_usize..25,
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        cut in any::<prop::sample::Index>(),
        noise in prop::collection::vec(any::<u8>(), 0..64),
    ) {
        let frames: Vec<Vec<u8>> = all_requests()
            .iter()
            .map(|(_, request)| encode_frame(request).unwrap())
            .chain(answers().iter().map(|(_, answer)| encode_frame(answer).unwrap()))
            .collect();
        let mut body = frames[which % frames.len()][4..].to_vec();
        for (at, byte) in flips {
            let at = at.index(body.len());
            body[at] = byte;
        }
        body.truncate(cut.index(body.len()) + 1);
        for body in [body, noise] {
            if let Ok(request) = decode_body::<Request>(&body) {
                prop_assert_eq!(&encode_frame(&request).unwrap()[4..], &body[..]);
                let _ = request.check();
            }
            if let Ok(answer) = decode_body::<Answer>(&body) {
                prop_assert_eq!(&encode_frame(&answer).unwrap()[4..], &body[..]);
                let _ = answer.check(&requests()[5].1);
            }
        }
    }
}
