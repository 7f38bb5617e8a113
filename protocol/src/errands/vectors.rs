//! Vectors of specs/errands.md.

use serde_json::{Value, json};

use super::{
    Errand, ErrandBody, Posted,
    tests::{body, holder, pack, receipt, reply},
};
use crate::{
    ids::ShardRoot,
    index::PackClass,
    tending::tests::records::Owner,
    vectors::{self, hex},
};

fn page() -> Value {
    let owner = Owner::new(0x11);
    let packs = vec![pack(0x21, PackClass::Data), pack(0x22, PackClass::Metadata)];
    let head = owner.head(3, &[ShardRoot::from_bytes([0x22; 32])]);
    let head = Some(head.bytes().to_vec().into());
    let said = ErrandBody { head, ..body(&owner, 1_800_000_000, packs.clone()) };
    let errand = Errand::sign(said, &owner.device).unwrap();
    let asks = Errand::sign(body(&owner, 1_800_043_200, vec![]), &owner.device).unwrap();
    let void = Some(1_800_050_000);
    let anew = ErrandBody { void, ..body(&owner, 1_800_086_400, packs.clone()) };
    let anew = Errand::sign(anew, &owner.device).unwrap();
    let reply = reply(&owner, 1_800_000_000, &holder(7));
    let mut posted = Posted::new(errand.clone());
    let given = receipt(owner.log.vault(), packs[0], &holder(7));
    posted.answer(reply.clone(), vec![given]).unwrap();
    json!({
        "log": owner.log.entries().map(hex).collect::<Vec<_>>(),
        "vault": owner.log.vault().to_string(),
        "device": owner.device.id().to_string(),
        "holder": holder(7).id().to_string(),
        "errand": hex(errand.bytes()),
        "errand_for_a_reply_alone": hex(asks.bytes()),
        "errand_after_a_meeting": hex(anew.bytes()),
        "reply": hex(reply.bytes()),
        "file": hex(posted.encode()),
    })
}

// ERR-13
#[test]
fn vectors_hold() {
    vectors::check("errands", &page());
}

#[test]
#[ignore = "writes specs/vectors/errands.json"]
fn write_vectors() {
    vectors::write("errands", &page());
}
