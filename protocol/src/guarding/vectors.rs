//! Vectors of specs/guarding.md.

use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
use serde_json::{Value, json};

use super::{
    handing::{HandRefusal, Handed, HandedAnswer, VERSION},
    keeping::{Guard, ToldRequest},
    release::{ReleaseRequest, ReleaseStop, RequestId},
    set::GuardianSet,
    sharing::{Share, split},
    tests::{Owner, epoch},
};
use crate::{
    ids::{DeviceId, VaultId},
    keys::Principal,
    ticket::{Invite, InviteKind, InviteSecret},
    time::Timestamp,
    vectors::{self, hex},
};

const TIME: Timestamp = Timestamp(1_800_000_000);

/// Shares of the secret 00 01 02 ... 1f, whose coefficients are bytes of a stream.
fn splitting(threshold: u8, count: u8) -> Value {
    let secret = std::array::from_fn(|index| u8::try_from(index).unwrap());
    let mut rng = ChaCha8Rng::from_seed([threshold; 32]);
    let shares = split(&secret, (threshold, count), &mut rng).unwrap();
    let shares: Vec<_> =
        shares.iter().map(|it| json!({ "place": it.place, "bytes": hex(it.bytes) })).collect();
    json!({ "threshold": threshold, "secret": hex(secret), "shares": shares })
}

/// A guardian with all its secrets.
fn guardian((seed, share): &(u8, Share)) -> Value {
    let receiving = epoch(*seed).receiving();
    json!({
        "vault": VaultId::from_bytes([*seed; 32]).to_string(),
        "name": format!("guardian {seed}"),
        "epoch": receiving.public().epoch,
        "epoch_key": hex([*seed; 32]),
        "receiving_secret": hex(receiving.expose()),
        "receiving_public": hex(receiving.public().key),
        "place": share.place,
        "share": hex(share.bytes),
    })
}

fn page() -> Value {
    let mut owner = Owner::new(0x11);
    let vault = owner.log.vault();
    let (set, sealed) = owner.appoint(5, 2, &[0x21, 0x22, 0x23]);
    let shares: Vec<_> =
        [0x21, 0x22, 0x23].map(|it| (it, set.share_for(&[epoch(it)]).unwrap())).into();
    let guardians: Vec<_> = shares.iter().map(guardian).collect();
    let secret = set.secret(&shares.iter().map(|it| it.1.clone()).collect::<Vec<_>>()).unwrap();
    let asked = ReleaseRequest::sign(&secret, (vault, RequestId([0x44; 16])), TIME, "new-laptop");
    let stop = ReleaseStop::sign(Principal::Device(&owner.device), asked.body(), TIME);
    let none = GuardianSet::dissolve((vault, 6, TIME), &owner.phrase);
    let mut guard = Guard::default();
    guard.offer(set.clone(), Some(sealed));
    guard.ask(asked.clone(), &owner.log, TIME).unwrap();
    let told = ToldRequest {
        request: asked.bytes().to_vec().into(),
        stop: Some(stop.bytes().to_vec().into()),
        left_s: 0,
    };
    guard.learn(&[told], &owner.log, TIME);
    let invite = Invite {
        kind: InviteKind::Help,
        inviter: DeviceId::from_bytes([0xa5; 32]),
        addresses: vec![],
        secret: InviteSecret([0x5a; 32]),
        expires: TIME,
    };
    let helper = DeviceId::from_bytes([0xb6; 32]);
    let genesis = owner.log.entries().next().unwrap().to_vec();
    let handed = Handed {
        version: VERSION,
        proof: *invite.help_proof(&helper).as_bytes(),
        name: "nas".into(),
        genesis: genesis.clone().into(),
        set: set.bytes().to_vec().into(),
        share: shares[0].1.clone(),
        holders: vec![],
    };
    let reason = HandRefusal::OtherVault;
    let answers = [HandedAnswer::Taken { have: 1, needed: 2 }, HandedAnswer::Refused { reason }];
    json!({
        "splitting": [splitting(1, 1), splitting(2, 3), splitting(3, 5), splitting(16, 16)],
        "vault": vault.to_string(),
        "phrase_entropy": hex([0x11; 32]),
        "recovery_signing_public": hex(owner.log.recovery().signing),
        "genesis": hex(genesis),
        "epoch_key_1": hex([0xcc; 32]),
        "guardians": guardians,
        "set": hex(set.bytes()),
        "set_secret": hex(secret.expose()),
        "release_seed": hex(*secret.release_seed()),
        "release_key": secret.release_key().to_string(),
        "sealed_phrase": hex(sealed.0),
        "dissolved": hex(none.bytes()),
        "request": hex(asked.bytes()),
        "stop": hex(stop.bytes()),
        "stopped_by": owner.device.id().to_string(),
        "guard_file": hex(guard.encode()),
        "invite_secret": hex(invite.secret.0),
        "asks": invite.inviter.to_string(),
        "helps": helper.to_string(),
        "handed": hex(handed.frame().unwrap()),
        "answers": answers.map(|answer| hex(answer.frame())),
    })
}

// GUARD-15
#[test]
fn vectors_hold() {
    vectors::check("guarding", &page());
}

#[test]
#[ignore = "writes specs/vectors/guarding.json"]
fn write_vectors() {
    vectors::write("guarding", &page());
}
