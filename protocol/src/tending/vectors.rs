//! Vectors of specs/tending.md.

use serde_json::{Value, json};

use super::{
    Vigil,
    claimed::ClaimedList,
    introduction::{Fellow, Introductions, SiteTag},
    tests::records::Owner,
};
use crate::{
    ids::{DeviceId, ShardRoot},
    keys::epoch::{ContentKey, EpochKey},
    vectors::{self, hex},
};

fn page() -> Value {
    let owner = Owner::new(0x11);
    let content = ContentKey::derive(&EpochKey::new(1, [0xcc; 32]));
    let sites = ["home", "cabin"].map(|name| (name, SiteTag::of(&content, name)));
    let holders = vec![
        Fellow {
            device: DeviceId::from_bytes([0x21; 32]),
            site: sites[0].1,
            addresses: vec!["192.0.2.7:4711".into(), "https://relay.example".into()],
        },
        Fellow { device: DeviceId::from_bytes([0x22; 32]), site: sites[1].1, addresses: vec![] },
    ];
    let introduction = owner.introduce(1_800_000_000, holders);
    let mut kept = Introductions::default();
    assert!(kept.offer(introduction.clone(), &owner.log));
    let mut roots: Vec<ShardRoot> = (0_u8..3).map(|it| ShardRoot::from_bytes([it; 32])).collect();
    roots.sort();
    let list = ClaimedList::new(owner.head(1, &roots), roots.clone(), &owner.log).unwrap();
    let vigil = Vigil::new(259_200, [(DeviceId::from_bytes([0x21; 32]), 86_400)].into());
    json!({
        "epoch_key_1": hex([0xcc; 32]),
        "site_tags": sites.map(|(name, tag)| json!({ "name": name, "tag": hex(tag.0) })),
        "log": owner.log.entries().map(hex).collect::<Vec<_>>(),
        "vault": owner.log.vault().to_string(),
        "device": owner.device.id().to_string(),
        "introduction": hex(introduction.bytes()),
        "introductions_file": hex(kept.encode()),
        "claimed_roots": roots.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "claimed_file": hex(list.encode()),
        "vigil": hex(vigil.encode()),
    })
}

// TEND-13
#[test]
fn vectors_hold() {
    vectors::check("tending", &page());
}

#[test]
#[ignore = "writes specs/vectors/tending.json"]
fn write_vectors() {
    vectors::write("tending", &page());
}
