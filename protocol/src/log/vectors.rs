//! Vectors of specs/device_log.md.

use serde_json::{Value, json};

use super::{entry::EntryBody, tests::*, *};
use crate::{
    cbor,
    ids::HeadHash,
    keys::sign,
    vectors::{self, hex},
};

/// Genesis by device 1; device 2 and device 3 taken in apart, by device 1 and by the phrase;
/// device 4 taken in by device 3 after both.
fn grown() -> DeviceLog {
    let (mut log, _) = vault();
    let mut apart = log.clone();
    add(&mut log, 1, 2);
    let by_phrase = apart.enrol(&recovery(), &device(3), &newcomer(3), &mut rng(3)).unwrap();
    log.merge(&by_phrase).unwrap();
    add(&mut log, 3, 4);
    log
}

fn entry(log: &DeviceLog, bytes: &[u8]) -> Value {
    let entry = LogEntry::decode(bytes).unwrap();
    let body = entry.body();
    let author = match body.author {
        Author::Device(device) => hex(device.as_bytes()),
        Author::Recovery => "recovery".to_owned(),
    };
    json!({
        "entry": hex(bytes),
        "hash": hex(entry.hash().as_bytes()),
        "parents": body.parents.iter().map(|parent| hex(parent.as_bytes())).collect::<Vec<_>>(),
        "author": author,
        "time": body.time.0,
        "is_genesis": *entry.hash().as_bytes() == *log.vault().as_bytes(),
    })
}

fn devices(log: &DeviceLog) -> Value {
    let keys = log.epoch_keys(&recovery()).unwrap();
    let devices = log.devices().map(|device| {
        let label = log.label(&device.public.id, &keys).unwrap();
        json!({
            "id": hex(device.public.id.as_bytes()),
            "hpke": hex(device.public.hpke),
            "name": label.name,
            "site": label.site,
            "entry": hex(device.entry.as_bytes()),
        })
    });
    devices.collect()
}

/// Entries that must be refused by whoever has the log's first entry, and why.
fn refused() -> Value {
    let (mut log, _) = vault();
    let before = log.clone();
    let good = add(&mut log, 1, 2);
    let stranger = |body: &mut EntryBody| body.author = Author::Device(device(5).id());
    let foreign = |body: &mut EntryBody| body.vault = Some(VaultId::from_bytes([1; 32]));
    let unknown = |body: &mut EntryBody| body.parents = vec![EntryHash::from_bytes([9; 32])];
    let newer = |body: &mut EntryBody| body.version = 2;
    let swapped = |body: &mut EntryBody| addition(body).device.id = device(5).id();
    let cases = [
        ("author is no device", resigned(&good, 5, 2, stranger)),
        ("another vault", resigned(&good, 1, 2, foreign)),
        ("parent unknown", resigned(&good, 1, 2, unknown)),
        ("newer version", resigned(&good, 1, 2, newer)),
        ("device swapped, old consent", resigned(&good, 1, 2, swapped)),
        ("author's signature by another", resigned(&good, 5, 2, |_| {})),
        ("consent by another", resigned(&good, 1, 5, |_| {})),
        ("trailing byte", [good.as_slice(), &[0]].concat()),
    ];
    json!(cases.map(|(why, bytes)| {
        let refusal = before.clone().merge(&bytes).unwrap_err();
        json!({ "why": why, "entry": hex(bytes), "this_code_says": refusal.to_string() })
    }))
}

/// First entries that must be refused, and why.
fn refused_first() -> Value {
    let others = crate::keys::phrase::Phrase::from_entropy([1; 32]).recovery().public().access;
    let own = recovery().public().access;
    let cases = [
        ("access key of somebody else", claimed(others, true)),
        ("not signed by the access key", claimed(own, false)),
    ];
    json!(cases.map(|(why, bytes)| {
        let refusal = DeviceLog::begin(&bytes).unwrap_err();
        json!({ "why": why, "entry": hex(bytes), "this_code_says": refusal.to_string() })
    }))
}

/// Logs with removals: all entries, and what follows from them in whatever order they come.
fn with_removals() -> Value {
    let leaver = |number: u8| Leaver {
        device: device(number).id(),
        reason: Reason::Stolen,
        last: Some(LastHead { seq: 7, head: HeadHash::from_bytes([number; 32]) }),
        undo_removals: false,
        time: Timestamp(1_800_000_000),
    };
    let remove = |log: &mut DeviceLog, by: u8, whom: u8| {
        log.remove(&device(by), &leaver(whom), &mut rng(by + 20)).unwrap();
    };
    let merged = |one: &DeviceLog, other: &DeviceLog| {
        let mut log = one.clone();
        other.entries().for_each(|entry| _ = log.merge(entry).unwrap());
        log
    };
    let family = grown();
    let mut removed = family.clone();
    remove(&mut removed, 1, 2);
    let (mut one, mut other) = (family.clone(), family.clone());
    remove(&mut one, 1, 4);
    add(&mut other, 4, 5);
    remove(&mut other, 4, 3);
    let meanwhile = merged(&one, &other);
    let (mut one, mut other) = (family.clone(), family.clone());
    remove(&mut one, 1, 2);
    remove(&mut other, 3, 4);
    let mut apart = merged(&one, &other);
    apart.rotate(&device(1), Timestamp(1_800_000_000), &mut rng(40)).unwrap();
    let mut undone = family;
    remove(&mut undone, 1, 3);
    let undo = Leaver { undo_removals: true, ..leaver(1) };
    undone.remove(&recovery(), &undo, &mut rng(41)).unwrap();
    let cases = [
        ("a device is removed", removed),
        ("it has removed another and taken one in meanwhile", meanwhile),
        ("two are removed apart, and there is a new epoch", apart),
        ("the founder is removed by the phrase, with what he had removed", undone),
    ];
    json!(cases.map(|(what, log)| {
        let keys = log.epoch_keys(&recovery()).unwrap();
        json!({
            "what": what,
            "entries": log.entries().map(hex).collect::<Vec<_>>(),
            "living": log.devices().map(|it| hex(it.public.id.as_bytes())).collect::<Vec<_>>(),
            "removed": log.removed().map(|(id, _)| hex(id.as_bytes())).collect::<Vec<_>>(),
            "epoch_keys": keys.iter().map(|key| hex(key.expose_secret())).collect::<Vec<_>>(),
        })
    }))
}

/// Logs with new names and with members: all entries, and what follows from them in whatever order they come.
fn with_names_and_roles() -> Value {
    let rename = |log: &mut DeviceLog, by: u8, (whom, name): (u8, u8)| {
        log.rename(&device(by), &called(whom, name), &mut rng(name)).unwrap();
    };
    let merged = |one: &DeviceLog, other: &DeviceLog| {
        let mut log = one.clone();
        other.entries().for_each(|entry| _ = log.merge(entry).unwrap());
        log
    };
    let mut family = grown();
    add_as(&mut family, (1, 5), Role::Member);
    let mut renamed = family.clone();
    rename(&mut renamed, 5, (5, 15));
    rename(&mut renamed, 1, (2, 12));
    renamed.rotate(&device(5), Timestamp(1_800_000_000), &mut rng(60)).unwrap();
    renamed.rename(&recovery(), &called(2, 22), &mut rng(22)).unwrap();
    let (mut one, mut other) = (family.clone(), family.clone());
    rename(&mut one, 1, (3, 13));
    rename(&mut other, 2, (3, 23));
    let apart = merged(&one, &other);
    let (mut owner, mut thief) = (family.clone(), family);
    rename(&mut thief, 4, (1, 11));
    add_as(&mut owner, (1, 9), Role::Member);
    add(&mut thief, 4, 9);
    let leaver = Leaver {
        device: device(4).id(),
        reason: Reason::Stolen,
        last: None,
        undo_removals: false,
        time: Timestamp(1_800_000_000),
    };
    owner.remove(&device(1), &leaver, &mut rng(61)).unwrap();
    let cases = [
        ("a member and a device are renamed, by themselves and by others", renamed),
        ("a device is renamed apart: the smaller hash speaks", apart),
        (
            "what a removed device said meanwhile, a name and an owner, is void",
            merged(&owner, &thief),
        ),
    ];
    json!(cases.map(|(what, log)| {
        let keys = log.epoch_keys(&recovery()).unwrap();
        let devices = log.devices().map(|it| {
            let label = log.label(&it.public.id, &keys).unwrap();
            json!({
                "id": hex(it.public.id.as_bytes()), "name": label.name, "role": it.role.to_string(),
            })
        });
        json!({
            "what": what,
            "entries": log.entries().map(hex).collect::<Vec<_>>(),
            "devices": devices.collect::<Vec<_>>(),
        })
    }))
}

/// What must be refused after two entries, the second of which takes device 2 in as a member.
fn refused_of_members() -> Value {
    let (founded, _) = vault();
    let mut log = founded.clone();
    let member = add_as(&mut log, (1, 2), Role::Member);
    let by_member = |body: &mut EntryBody| body.author = Author::Device(device(2).id());
    let added = add(&mut log.clone(), 1, 3);
    let renamed = log.clone().rename(&device(1), &called(1, 9), &mut rng(9)).unwrap();
    let as_phrase = |body: &mut EntryBody| body.author = Author::Recovery;
    let mut limited =
        LogEntry::decode(&add_as(&mut log.clone(), (1, 3), Role::Member)).unwrap().body().clone();
    as_phrase(&mut limited);
    let limited = cbor::encode(&limited);
    let signatures = entry::Signatures {
        author: recovery().sign(sign::LOG_ENTRY, &limited),
        consent: Some(device(3).sign(sign::LOG_CONSENT, &limited)),
        access: None,
    };
    let cases = [
        ("a member takes in a device", resigned(&added, 2, 3, by_member)),
        ("a member renames an owner", signed(&renamed, 2, by_member)),
        ("an owner is written down", said_role(&member, 0)),
        ("a role that there is not", said_role(&member, 2)),
        ("the phrase takes in a member", LogEntry::assemble(&limited, signatures)),
    ];
    let first = founded.entries().map(hex).next();
    json!({
        "first": [first, Some(hex(&member))],
        "refused": cases.map(|(why, bytes)| {
            let refusal = log.clone().merge(&bytes).unwrap_err();
            json!({ "why": why, "entry": hex(bytes), "this_code_says": refusal.to_string() })
        }),
    })
}

fn page() -> Value {
    let log = grown();
    let epochs = log.epoch_keys(&recovery()).unwrap();
    let seeds = [1, 2, 3, 4].map(|number: u8| {
        let keys = device(number);
        json!({
            "id": hex(keys.id().as_bytes()),
            "signing_seed": hex(*keys.signing_seed()),
            "receiving_secret": hex(keys.hpke_secret()),
        })
    });
    json!({
        "spec": "specs/device_log.md",
        "words": phrase().words().to_string(),
        "device_secrets": seeds,
        "vault": hex(log.vault().as_bytes()),
        "entries": log.entries().map(|bytes| entry(&log, bytes)).collect::<Vec<_>>(),
        "heads": log.heads().iter().map(|head| hex(head.as_bytes())).collect::<Vec<_>>(),
        "epoch_keys": epochs.iter().map(|key| hex(key.expose_secret())).collect::<Vec<_>>(),
        "devices": devices(&log),
        "refused_after_the_first_entry": refused(),
        "refused_as_first_entry": refused_first(),
        "with_removals": with_removals(),
        "with_names_and_roles": with_names_and_roles(),
        "refused_of_members": refused_of_members(),
    })
}

// LOG-12, VERSIONS-2
#[test]
fn a_log_is_read_as_the_vectors_say() {
    vectors::check("device_log", &page());
}

#[test]
#[ignore = "writes specs/vectors/device_log.json"]
fn write_vectors() {
    vectors::write("device_log", &page());
}
