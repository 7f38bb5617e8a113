//! Vectors of specs/keys.md.

use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
use serde_json::{Value, json};

use super::{
    DeviceKeys, KeyFile, Passphrase, Principal, SealedKeys,
    epoch::{ContentKey, EpochKey},
    key_file::SealCost,
    phrase::{Phrase, PhraseError},
    sign, verify,
    wrap::{WrapTerms, unwrap, wrap},
};
use crate::{
    cbor,
    ids::DeviceId,
    index::ChunkKind,
    vectors::{self, hex},
};

fn counting(from: u8) -> [u8; 32] {
    let mut next = from;
    [(); 32].map(|()| {
        next = next.wrapping_add(1);
        next
    })
}

fn phrase(entropy: [u8; 32]) -> Value {
    let phrase = Phrase::from_entropy(entropy);
    let keys = phrase.recovery();
    let public = keys.public();
    let derive = |context| hex(blake3::derive_key(context, &entropy));
    json!({
        "words": phrase.words().to_string(),
        "entropy": hex(entropy),
        "recovery_signing_seed": derive("larder 2026 recovery signing v1"),
        "recovery_signing_public": hex(public.signing),
        "recovery_access_seed": hex(keys.access_seed()),
        "recovery_access_public": hex(public.access),
        "recovery_hpke_secret": hex(keys.hpke_secret()),
        "recovery_hpke_public": hex(public.hpke),
        "recovery_public": hex(cbor::encode(&public)),
    })
}

fn refused_phrases() -> Value {
    let good = Phrase::from_entropy([0; 32]).words().to_string();
    let short = good.rsplit_once(' ').unwrap().0.to_owned();
    let misspelt = good.replacen("abandon", "abandom", 1);
    let swapped = good.replace("art", "zoo");
    let texts = [short, misspelt, swapped];
    json!(texts.map(|words| {
        let error = match Phrase::parse(&words).unwrap_err() {
            PhraseError::WordCount { words } => format!("{words} words"),
            PhraseError::UnknownWord { position } => format!("unknown word {position}"),
            PhraseError::Check => "check".to_owned(),
        };
        json!({ "words": words, "error": error })
    }))
}

fn epoch(key: &EpochKey) -> Value {
    let salt = counting(0x80);
    let content = ContentKey::derive(key);
    let id = |kind| hex(content.chunk_id(kind, b"Larder").as_bytes());
    json!({
        "number": key.number(),
        "secret": hex(key.expose_secret()),
        "commitment": hex(key.commitment()),
        "salt": hex(salt),
        "pack_key": hex(key.pack_key(&salt).0),
        "pack_commitment": hex(key.pack_commitment(&salt)),
        "label_key": hex(key.label_key(&salt)),
        "content_key": hex(blake3::derive_key("larder 2026 content key v1", key.expose_secret())),
        "plaintext": hex(b"Larder"),
        "chunk_id_data": id(ChunkKind::Data),
        "chunk_id_directory": id(ChunkKind::Directory),
        "chunk_id_extents": id(ChunkKind::Extents),
        "chunk_id_snapshot": id(ChunkKind::Snapshot),
        "chunk_id_index": id(ChunkKind::Index),
        "chunk_id_manifest": id(ChunkKind::Manifest),
        "slice_digest": hex(content.slice_digest(b"Larder")),
    })
}

fn wrapped(key: &EpochKey, to: Principal<'_>) -> Value {
    let salt = counting(0xa0);
    let mut rng = ChaCha8Rng::from_seed([1; 32]);
    let wrap = wrap(key, &salt, &to.hpke_public(), &mut rng).unwrap();
    let terms = WrapTerms::of(key, salt);
    assert!(unwrap(&wrap, &terms, to.hpke_secret()).is_ok());
    json!({
        "info": hex(b"larder epoch wrap v1\0"),
        "epoch": terms.epoch,
        "commitment": hex(terms.commitment),
        "salt": hex(salt),
        "recipient_secret": hex(to.hpke_secret()),
        "to": hex(wrap.to),
        "encapsulated": hex(wrap.encapsulated),
        "sealed": hex(wrap.sealed),
        "opens_to": hex(key.expose_secret()),
        "record": hex(cbor::encode(&wrap)),
    })
}

/// A signature and ways to spoil it.
fn signatures(keys: &DeviceKeys) -> Value {
    let body = b"what is signed";
    let good = keys.sign(sign::HEAD, body);
    let mut unreduced = good;
    let order = data_encoding::HEXLOWER
        .decode(b"edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010")
        .unwrap();
    let mut carry = 0;
    for (byte, order) in unreduced.iter_mut().skip(32).zip(order) {
        let sum = u16::from(*byte) + u16::from(order) + carry;
        *byte = sum.to_le_bytes()[0];
        carry = sum >> 8;
    }
    let mut identity = [0; 32];
    identity[0] = 1;
    let mut of_identity = [0; 64];
    of_identity[0] = 1;
    let case = |why: &str, domain: &[u8], key: DeviceId, signature: &[u8; 64]| {
        json!({
            "why": why,
            "domain": hex(domain),
            "key": hex(key.as_bytes()),
            "body": hex(body),
            "signature": hex(signature),
            "valid": verify(domain, &key, body, signature),
        })
    };
    json!([
        case("good", sign::HEAD, keys.id(), &good),
        case("another domain", sign::RECEIPT, keys.id(), &good),
        case("scalar not reduced", sign::HEAD, keys.id(), &unreduced),
        case("weak key", sign::HEAD, DeviceId::from_bytes(identity), &of_identity),
    ])
}

/// The file in clear, and sealed with passphrases that are typed in one way and another.
fn key_files(keys: &DeviceKeys) -> Value {
    let cheap = SealCost { memory_kib: 64, passes: 2, lanes: 2 };
    let typed = ["correct horse battery", "cafe\u{301}\u{a0}au lait"];
    let sealed = typed.into_iter().zip([cheap, SealCost::default()]).map(|(typed, cost)| {
        let passphrase = Passphrase::typed(typed).unwrap();
        let salt = *counting(0x80).first_chunk().unwrap();
        let sealed = SealedKeys::seal(keys, &passphrase, salt, cost).unwrap();
        json!({
            "passphrase": typed,
            "passphrase_bytes": hex(passphrase.as_bytes()),
            "text": *KeyFile::Sealed(sealed).text(),
        })
    });
    json!({ "clear": *KeyFile::Clear(keys.clone()).text(), "sealed": Value::from_iter(sealed) })
}

fn page() -> Value {
    let keys = DeviceKeys::from_seeds(counting(0), counting(0x20));
    let key = EpochKey::new(1, counting(0x40));
    let recovery = Phrase::from_entropy(counting(0x60)).recovery();
    json!({
        "spec": "specs/keys.md",
        "phrases": [phrase([0; 32]), phrase(counting(0x60))],
        "refused_phrases": refused_phrases(),
        "device": {
            "signing_seed": hex(*keys.signing_seed()),
            "receiving_secret": hex(keys.hpke_secret()),
            "id": hex(keys.id().as_bytes()),
            "hpke_public": hex(keys.public().hpke),
            "device_public": hex(cbor::encode(&keys.public())),
        },
        "key_files": key_files(&keys),
        "epoch": epoch(&key),
        "wraps": [wrapped(&key, Principal::from(&keys)), wrapped(&key, Principal::from(&recovery))],
        "signatures": signatures(&keys),
    })
}

// KEYS-10, VERSIONS-2
#[test]
fn keys_are_derived_as_the_vectors_say() {
    let page = page();
    let valid: Vec<_> =
        page["signatures"].as_array().unwrap().iter().map(|s| &s["valid"]).collect();
    assert_eq!(valid, [true, false, false, false]);
    vectors::check("keys", &page);
}

#[test]
#[ignore = "writes specs/vectors/keys.json"]
fn write_vectors() {
    vectors::write("keys", &page());
}
