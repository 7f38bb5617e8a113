//! Every decoder on mutated inputs, for some seconds: the smoke test of `tests/fuzz/`.
//!
//! Seeds are every hex string of `specs/vectors/`, and well-formed values made here, so that
//! mutations get past the first check. `LARDER_FUZZ_SECONDS` makes it longer.

use std::{
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
    time::{Duration, Instant},
};

use larder_node::command::Command;
use larder_protocol::{
    cbor,
    chunk::codec,
    ids::{DeviceId, ShardRoot, VaultId},
    index::{ChunkKind, PackClass, ShardRef},
    keys::{
        epoch::{ContentKey, EpochKey},
        phrase::Phrase,
    },
    pack::PackBuilder,
    ticket::{AddressTicket, Ticket},
    wire::message::{Answer, OfferedShard, Refusal, Request},
};
use larder_tests::{
    dice::{Dice, number_from_env},
    fuzz_targets::{TARGETS, acts, pairings, trails},
    workspace,
};

fn vectors() -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    let Ok(files) = fs::read_dir(workspace().join("specs/vectors")) else { return found };
    for file in files {
        let path = file.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let text = fs::read_to_string(path).unwrap();
        let value = serde_json::from_str(&text).expect("vectors are JSON");
        strings(&value, &mut found);
    }
    found
}

fn strings(value: &serde_json::Value, found: &mut Vec<Vec<u8>>) {
    match value {
        serde_json::Value::String(text) => {
            found.push(text.as_bytes().to_vec());
            found.extend(unhex(text));
        }
        serde_json::Value::Array(items) => items.iter().for_each(|item| strings(item, found)),
        serde_json::Value::Object(map) => {
            found.push(serde_json::to_vec(value).unwrap());
            map.values().for_each(|item| strings(item, found));
        }
        _ => {}
    }
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let pairs = text.as_bytes().chunks(2);
    pairs.map(|pair| u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok()).collect()
}

fn well_formed() -> Vec<Vec<u8>> {
    let vault = VaultId::from_bytes([7; 32]);
    let shard = ShardRef { root: ShardRoot::from_bytes([3; 32]), bytes: 1 << 20 };
    let offered = OfferedShard { shard, class: PackClass::Data };
    let device = DeviceId::from_bytes([5; 32]);
    let addresses = vec!["127.0.0.1:4242".to_owned()];
    let ticket = Ticket::Address(AddressTicket { device, vault, addresses });
    let mut seeds = vec![
        cbor::encode(&Request::Hello {
            versions: vec![1, 2],
            beacon_key: None,
            site: None,
            name: None,
        }),
        cbor::encode(&Request::Offer { vault, shards: vec![offered; 3] }),
        cbor::encode(&Request::PushLog { vault, entries: vec![vec![1, 2, 3].into()] }),
        cbor::encode(&Answer::Refused { reason: Refusal::Busy }),
        cbor::encode(&Answer::Heads { heads: vec![vec![0x80].into()] }),
        ticket.to_text().into_bytes(),
        Phrase::from_entropy([4; 32]).words().to_string().into_bytes(),
        serde_json::to_vec(&Command::Folders).unwrap(),
        b"{\"command\":\"offer\",\"bytes\":\"20GB\"}".to_vec(),
        pack(vault),
        // Two of a code of two data shards, for a third.
        [&[2, 0, 3, 5][..], b"three", &[7, 5], b"seven"].concat(),
    ];
    for plain in [&b"short"[..], &[0; 5000], &Dice::new(1).bytes(600)] {
        let mut frame = u32::try_from(plain.len()).unwrap().to_le_bytes().to_vec();
        frame.extend_from_slice(codec::compress(plain, 3).as_bytes());
        seeds.push(frame);
    }
    let message = larder_protocol::wire::frame::encode_frame(&Answer::HeadTaken).unwrap();
    seeds.push([&[200][..], &message, &message].concat());
    seeds
}

/// A small pack under the key that the target knows.
fn pack(vault: VaultId) -> Vec<u8> {
    let epoch = EpochKey::new(1, [9; 32]);
    let content = ContentKey::derive(&epoch);
    let mut builder = PackBuilder::new(PackClass::Data, &epoch, vault, [2; 32]);
    builder.add(&content, ChunkKind::Data, b"a chunk").unwrap();
    builder.finish().unwrap().bytes
}

/// What a target takes for good that no other does: most of its inputs are made of these. Empty for those
/// that share all seeds.
fn own_seeds(target: &str, dice: &mut Dice) -> Vec<Vec<u8>> {
    let mut seeds = match target {
        "trail" => trails(),
        "pairing" => pairings(),
        "log_acts" => acts(),
        _ => return Vec::new(),
    };
    seeds.extend((0..40).map(|_| dice.bytes(64)));
    seeds
}

/// Changes some of it: bits, lengths, ends, repetitions, or half of another seed.
fn mutate(dice: &mut Dice, seed: &[u8], other: &[u8]) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    for _ in 0..=dice.below(4) {
        let at = if bytes.is_empty() { 0 } else { dice.index(bytes.len()) };
        match dice.below(8) {
            0 if !bytes.is_empty() => bytes[at] ^= 1 << dice.below(8),
            1 if !bytes.is_empty() => bytes[at] = [0, 0x7f, 0x80, 0xff, 0x1b, 0x9f][dice.index(6)],
            2 => bytes.truncate(at),
            3 => bytes.insert(at, dice.bytes(1)[0]),
            4 if !bytes.is_empty() => {
                bytes.remove(at);
            }
            5 => {
                // An absurd CBOR length: four or eight bytes of it.
                let kind = [0x1a, 0x1b, 0x5a, 0x5b, 0x7b, 0x9a, 0x9b, 0xba, 0xbb][dice.index(9)];
                let length = [0, 1, 0x7f, 0xff][dice.index(4)];
                bytes.splice(at..at, [kind, length, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]);
            }
            6 => {
                let rest = bytes.split_off(at);
                let from = if other.is_empty() { 0 } else { dice.index(other.len()) };
                bytes.extend_from_slice(&other[from..]);
                bytes.extend_from_slice(&rest[..rest.len().min(64)]);
            }
            _ => {
                let copy = bytes[at..(at + 40).min(bytes.len())].to_vec();
                bytes.splice(at..at, copy);
            }
        }
    }
    bytes
}

// CTRL-7, TEND-18, TRAIL-2, TRAIL-7, PAIR-9, LOG-8
#[test]
fn no_decoder_panics_on_mutated_input() {
    let seconds = number_from_env("LARDER_FUZZ_SECONDS").unwrap_or(8);
    let mut dice = Dice::from_env("LARDER_SEED", 151);
    let mut seeds = well_formed();
    seeds.extend(vectors());
    let each = Duration::from_secs(seconds) / u32::try_from(TARGETS.len()).unwrap();
    for (name, target) in TARGETS {
        let own = own_seeds(name, &mut dice);
        // The seeds themselves first, then mutations until the time is up.
        for seed in if own.is_empty() { &seeds } else { &own } {
            target(seed);
        }
        let end = Instant::now() + each;
        let mut runs = 0_u64;
        while Instant::now() < end {
            for _ in 0..20 {
                let of = if own.is_empty() || dice.hits(8) { &seeds } else { &own };
                let (one, other) = (dice.index(of.len()), dice.index(of.len()));
                let input = mutate(&mut dice, &of[one], &of[other]);
                let started = Instant::now();
                let result = catch_unwind(AssertUnwindSafe(|| target(&input)));
                if result.is_err() {
                    let hex: String = input.iter().map(|byte| format!("{byte:02x}")).collect();
                    panic!("{name} panicked on {hex}");
                }
                assert!(started.elapsed() < Duration::from_secs(2), "{name} took too long");
                runs += 1;
            }
        }
        println!("{name}: {runs} inputs");
    }
}

#[test]
fn every_decoder_has_a_libfuzzer_target_of_its_name() {
    let directory = workspace().join("tests/fuzz/fuzz_targets");
    let manifest = fs::read_to_string(workspace().join("tests/fuzz/Cargo.toml")).unwrap();
    for (name, _) in TARGETS {
        let source = fs::read_to_string(directory.join(format!("{name}.rs")));
        let source = source.unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(source.contains(&format!("fuzz_targets::{name}(")), "{name} calls another");
        assert!(manifest.contains(&format!("name = \"{name}\"")), "{name} is not in Cargo.toml");
    }
}
