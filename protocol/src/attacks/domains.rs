//! Every kind of signed record against every domain, every other verifier and another vault.

use std::collections::BTreeSet;

use ed25519_dalek::SigningKey;
use minicbor::{
    Decode, Encode,
    bytes::{ByteArray, ByteVec},
};
use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};

use crate::{
    cbor,
    errands::{self, Errand, ErrandBody, Reply, ReplyBody},
    guarding::{
        release::{ReleaseRequest, ReleaseStop, RequestBody, RequestId, StopBody},
        set::{self, Appointment, Guardian, GuardianSet, SetBody},
    },
    head::{Claims, HEAD_VERSION, HeadBody, SignedHead},
    ids::{DeviceId, LocatorSlot, ShardRoot, VaultId},
    index::ShardRef,
    keys::{
        DeviceKeys, RecoveryKeys,
        epoch::{ContentKey, EpochKey},
        phrase::Phrase,
        sign, verify,
    },
    leaving::{self, LeavingWord, WordBody},
    limits::LOCATOR_RECORD_BYTES,
    locating::{Locator, LocatorRecord},
    log::{Author, DeviceLog, Founding, Label, Newcomer, Role},
    receipt::{Receipt, ReceiptBody},
    signed::Signed,
    tending::introduction::{self, Introduction, IntroductionBody},
    time::Timestamp,
    trail::{TrailEntry, TrailEvent},
};

const NOW: Timestamp = Timestamp(1_800_000_000);

type Signature = [u8; 64];

/// What a verifier has: two of these differ in as little as two vaults can.
struct Vault {
    log: DeviceLog,
    set: GuardianSet,
    request: ReleaseRequest,
    slot: LocatorSlot,
}

/// One kind of signed record.
struct Kind {
    domain: &'static [u8],
    /// Signs with the key that is due.
    sign: fn(&[u8], &[u8]) -> Signature,
    /// What is signed, in a vault.
    body: fn(&Vault) -> Vec<u8>,
    /// The one way in that a record of this kind has.
    accepts: fn(&Vault, &[u8], Signature) -> bool,
    /// Whether the verifier itself tells vaults apart; else whoever asked for it compares.
    is_bound: bool,
}

/// An entry of a device log, with signatures of whatever kind.
#[derive(Encode, Decode)]
struct Entry {
    #[n(0)]
    body: ByteVec,
    #[cbor(n(1), with = "minicbor::bytes")]
    signature: Signature,
    #[n(2)]
    consent: Option<ByteArray<64>>,
    #[n(3)]
    access: Option<ByteArray<64>>,
}

fn device(number: u8) -> DeviceKeys {
    DeviceKeys::from_seeds([number; 32], [number + 100; 32])
}

fn phrase() -> Phrase {
    Phrase::from_entropy([0x77; 32])
}

fn recovery() -> RecoveryKeys {
    phrase().recovery()
}

/// The key of whoever has a set's secret, and that of who leaves a record at a relay.
fn apart() -> SigningKey {
    SigningKey::from_bytes(&[9; 32])
}

fn apart_id() -> DeviceId {
    DeviceId::from_bytes(apart().verifying_key().to_bytes())
}

fn label() -> Label {
    Label { name: "laptop".into(), site: "home".into() }
}

fn by_device(domain: &[u8], body: &[u8]) -> Signature {
    device(1).sign(domain, body)
}

fn by_newcomer(domain: &[u8], body: &[u8]) -> Signature {
    device(2).sign(domain, body)
}

fn by_phrase(domain: &[u8], body: &[u8]) -> Signature {
    recovery().sign(domain, body)
}

fn by_access(domain: &[u8], body: &[u8]) -> Signature {
    recovery().sign_access(domain, body)
}

fn by_apart(domain: &[u8], body: &[u8]) -> Signature {
    sign::sign(&apart(), domain, body)
}

impl Vault {
    /// A vault of the one phrase and the one device, with a salt of its own.
    fn new(seed: u8) -> Self {
        let (device, recovery, label) = (device(1), recovery(), label());
        let mut rng = ChaCha8Rng::from_seed([seed; 32]);
        let founding = Founding { device: &device, recovery: &recovery, label: &label, time: NOW };
        let log = DeviceLog::found(&founding, &mut rng).unwrap().log;
        let vault = log.vault();
        let body = cbor::encode(&set_of(vault));
        let record = Signed::record(body.clone(), by_phrase(sign::GUARDIANS, &body));
        let set = GuardianSet::decode(&record, &vault, log.recovery()).unwrap();
        let body = cbor::encode(&request_of(&set));
        let record = Signed::record(body.clone(), by_apart(sign::RELEASE_REQUEST, &body));
        let request = ReleaseRequest::decode(&record, &set).unwrap();
        let locator = Phrase::from_entropy([seed; 32]).recovery().public();
        Self { log, set, request, slot: Locator::of(&locator).slot() }
    }

    fn accepts(&self, body: &[u8], signatures: (Signature, Option<Signature>)) -> bool {
        let (signature, consent) = signatures;
        let consent = consent.map(ByteArray::from);
        let entry = Entry { body: body.to_vec().into(), signature, consent, access: None };
        self.log.check(&cbor::encode(&entry)).is_ok()
    }

    fn genesis(&self) -> Vec<u8> {
        let entry = self.log.entries().next().unwrap();
        cbor::decode::<Entry>(entry, entry.len()).unwrap().body.to_vec()
    }

    fn addition(&self) -> Vec<u8> {
        let newcomer =
            Newcomer { device: device(2).public(), label: label(), role: Role::Owner, time: NOW };
        let mut rng = ChaCha8Rng::from_seed([4; 32]);
        self.log.draft_add(&device(1), &newcomer, &mut rng).unwrap().bytes().to_vec()
    }
}

/// A set of guardians whose release key is the one that is known here.
fn set_of(vault: VaultId) -> SetBody {
    let content = ContentKey::derive(&EpochKey::new(1, [5; 32]));
    let receiving = EpochKey::new(1, [5; 32]).receiving().public();
    let guardian = Guardian { vault: VaultId::from_bytes([6; 32]), name: "anna".into(), receiving };
    let phrase = phrase();
    let parts = Appointment {
        vault,
        number: 1,
        time: NOW,
        phrase: &phrase,
        content: &content,
        threshold: 1,
        delay_s: 60,
        guardians: vec![guardian],
    };
    let (set, _) = GuardianSet::appoint(parts, &mut ChaCha8Rng::from_seed([7; 32])).unwrap();
    let mut body = set.body().clone();
    body.appointed.as_mut().unwrap().release = apart_id();
    body
}

fn request_of(set: &GuardianSet) -> RequestBody {
    RequestBody {
        version: set::VERSION,
        vault: set.body().vault,
        set: set.appointed().unwrap().id,
        id: RequestId([1; 16]),
        time: NOW,
        from: "nas".into(),
    }
}

fn shard() -> ShardRef {
    ShardRef { root: ShardRoot::from_bytes([3; 32]), bytes: 16_384 }
}

fn record(body: &[u8], signature: Signature) -> Vec<u8> {
    Signed::record(body.to_vec(), signature)
}

const RECEIPT: Kind = Kind {
    domain: sign::RECEIPT,
    sign: by_device,
    body: |vault| {
        cbor::encode(&ReceiptBody {
            vault: vault.log.vault(),
            shard: shard(),
            holder: device(1).id(),
            stored: NOW,
            keep_until: NOW.after_days(30),
        })
    },
    accepts: |_, body, signature| {
        let body: Result<ReceiptBody, _> = cbor::decode(body, body.len());
        body.is_ok_and(|body| Receipt { body, signature }.verify())
    },
    is_bound: false,
};

const HEAD: Kind = Kind {
    domain: sign::HEAD,
    sign: by_device,
    body: |vault| {
        cbor::encode(&HeadBody {
            version: HEAD_VERSION,
            vault: vault.log.vault(),
            device: device(1).id(),
            seq: 1,
            prev: None,
            log: vault.log.heads(),
            commit: shard(),
            claims: Claims::of([shard()]),
            seen: Vec::new(),
            time: NOW,
        })
    },
    accepts: |vault, body, signature| {
        let head = SignedHead::decode(&record(body, signature));
        head.is_ok_and(|head| head.verify(&vault.log).is_ok())
    },
    is_bound: true,
};

const LOG_ENTRY: Kind = Kind {
    domain: sign::LOG_ENTRY,
    sign: by_device,
    body: Vault::addition,
    accepts: |vault, body, signature| {
        vault.accepts(body, (signature, Some(by_newcomer(sign::LOG_CONSENT, body))))
    },
    is_bound: true,
};

const LOG_CONSENT: Kind = Kind {
    domain: sign::LOG_CONSENT,
    sign: by_newcomer,
    body: Vault::addition,
    accepts: |vault, body, consent| {
        vault.accepts(body, (by_device(sign::LOG_ENTRY, body), Some(consent)))
    },
    is_bound: true,
};

const LOG_ACCESS: Kind = Kind {
    domain: sign::LOG_ACCESS,
    sign: by_access,
    body: Vault::genesis,
    accepts: |vault, body, access| {
        let entry = Entry {
            body: body.to_vec().into(),
            signature: by_device(sign::LOG_ENTRY, body),
            consent: Some(by_phrase(sign::LOG_CONSENT, body).into()),
            access: Some(access.into()),
        };
        let log = DeviceLog::begin(&cbor::encode(&entry));
        log.is_ok_and(|log| log.vault() == vault.log.vault())
    },
    is_bound: true,
};

const GUARDIANS: Kind = Kind {
    domain: sign::GUARDIANS,
    sign: by_phrase,
    body: |vault| cbor::encode(&set_of(vault.log.vault())),
    accepts: |vault, body, signature| {
        let (log, record) = (&vault.log, record(body, signature));
        GuardianSet::decode(&record, &log.vault(), log.recovery()).is_ok()
    },
    is_bound: true,
};

const RELEASE_REQUEST: Kind = Kind {
    domain: sign::RELEASE_REQUEST,
    sign: by_apart,
    body: |vault| cbor::encode(&request_of(&vault.set)),
    accepts: |vault, body, signature| {
        ReleaseRequest::decode(&record(body, signature), &vault.set).is_ok()
    },
    is_bound: true,
};

const RELEASE_STOP: Kind = Kind {
    domain: sign::RELEASE_STOP,
    sign: by_device,
    body: |vault| {
        let RequestBody { vault, set, id, .. } = *vault.request.body();
        let author = Author::Device(device(1).id());
        let version = set::VERSION;
        cbor::encode(&StopBody { version, vault, set, request: id, author, time: NOW })
    },
    accepts: |vault, body, signature| {
        let stop = ReleaseStop::decode(&record(body, signature), &vault.request, &vault.log);
        stop.is_ok_and(|stop| stop.counts(&vault.log))
    },
    is_bound: true,
};

const INTRODUCTION: Kind = Kind {
    domain: sign::INTRODUCTION,
    sign: by_device,
    body: |vault| {
        cbor::encode(&IntroductionBody {
            version: introduction::VERSION,
            vault: vault.log.vault(),
            device: device(1).id(),
            number: 1,
            copies: 1,
            holders: Vec::new(),
        })
    },
    accepts: |vault, body, signature| {
        Introduction::decode(&record(body, signature), &vault.log).is_ok()
    },
    is_bound: true,
};

const ERRAND: Kind = Kind {
    domain: sign::ERRAND,
    sign: by_device,
    body: |vault| {
        cbor::encode(&ErrandBody {
            version: errands::VERSION,
            vault: vault.log.vault(),
            device: device(1).id(),
            number: 1,
            holder: DeviceId::from_bytes([8; 32]),
            packs: Vec::new(),
            head: None,
            void: None,
        })
    },
    accepts: |vault, body, signature| Errand::decode(&record(body, signature), &vault.log).is_ok(),
    is_bound: true,
};

const ERRAND_REPLY: Kind = Kind {
    domain: sign::ERRAND_REPLY,
    sign: by_device,
    body: |vault| {
        cbor::encode(&ReplyBody {
            version: errands::VERSION,
            vault: vault.log.vault(),
            holder: device(1).id(),
            device: DeviceId::from_bytes([8; 32]),
            number: 1,
            head_seq: 0,
        })
    },
    accepts: |_, body, signature| Reply::decode(&record(body, signature)).is_ok(),
    is_bound: false,
};

const LEAVING: Kind = Kind {
    domain: sign::LEAVING,
    sign: by_device,
    body: |vault| {
        cbor::encode(&WordBody {
            version: leaving::VERSION,
            vault: vault.log.vault(),
            device: device(1).id(),
            other: VaultId::from_bytes([8; 32]),
            number: 1,
            wish: None,
            waives: None,
        })
    },
    accepts: |vault, body, signature| {
        let word = LeavingWord::decode(&record(body, signature));
        word.is_ok_and(|word| word.check(&vault.log, NOW).is_ok())
    },
    is_bound: true,
};

const TRAIL: Kind = Kind {
    domain: sign::TRAIL,
    sign: by_device,
    body: |_| {
        let event = TrailEvent::Offered { bytes: 5 };
        let entry = TrailEntry::after(None, (NOW, event), &device(1)).unwrap();
        Signed::decode(entry.bytes(), entry.bytes().len()).unwrap().body.to_vec()
    },
    accepts: |_, body, signature| TrailEntry::decode(&record(body, signature)).is_ok(),
    is_bound: false,
};

const LOCATOR_RECORD: Kind = Kind {
    domain: sign::LOCATOR_RECORD,
    sign: by_apart,
    body: |vault| {
        let mut record = [0x5a; LOCATOR_RECORD_BYTES - 64];
        record[..32].copy_from_slice(apart_id().as_bytes());
        [&vault.slot.as_bytes()[..], &record].concat()
    },
    accepts: |vault, body, signature| {
        let record = [body.get(32..).unwrap_or_default(), &signature].concat();
        LocatorRecord::read(&vault.slot, &record).is_ok()
    },
    is_bound: true,
};

const KINDS: [Kind; 14] = [
    RECEIPT,
    HEAD,
    LOG_ENTRY,
    LOG_CONSENT,
    LOG_ACCESS,
    GUARDIANS,
    RELEASE_REQUEST,
    RELEASE_STOP,
    INTRODUCTION,
    ERRAND,
    ERRAND_REPLY,
    LEAVING,
    TRAIL,
    LOCATOR_RECORD,
];

// KEYS-4: whoever adds a domain adds what is signed in it to the table here, and to the page.
#[test]
fn every_domain_is_in_the_table_and_on_the_page() {
    let source = include_str!("../keys/sign.rs");
    let constants = source.lines().filter(|line| line.starts_with("pub const "));
    let written: BTreeSet<String> = constants
        .map(|line| {
            let text = line.split_once(": &[u8] = b\"").expect("a domain is one line").1;
            text.strip_suffix("\\0\";").expect("a domain ends in a NUL").to_owned()
        })
        .collect();
    let known = KINDS.map(|kind| {
        let (_, text) = kind.domain.split_last().unwrap();
        String::from_utf8(text.to_vec()).unwrap()
    });
    assert_eq!(written, known.iter().cloned().collect());
    assert_eq!(written.len(), KINDS.len(), "two kinds share a domain");
    let page = include_str!("../../../specs/keys.md");
    let on_page = page.lines().filter(|line| line.starts_with("| `larder "));
    let on_page: BTreeSet<String> =
        on_page.filter_map(|line| Some(line.split('`').nth(1)?.to_owned())).collect();
    assert_eq!(written, on_page);
}

// KEYS-4
#[test]
fn a_signature_counts_in_its_own_domain_and_for_its_own_kind_alone() {
    let vault = Vault::new(1);
    for own in &KINDS {
        let name = String::from_utf8_lossy(own.domain);
        let body = (own.body)(&vault);
        assert!((own.accepts)(&vault, &body, (own.sign)(own.domain, &body)), "{name}");
        for other in KINDS.iter().filter(|other| other.domain != own.domain) {
            let meant = String::from_utf8_lossy(other.domain);
            // The right key and the right body, in the domain of something else.
            let strange = (own.sign)(other.domain, &body);
            assert!(!(own.accepts)(&vault, &body, strange), "{name}, signed as {meant}");
            // A good record of one kind, handed over as one of another.
            let good = (own.sign)(own.domain, &body);
            assert!(!(other.accepts)(&vault, &body, good), "{name}, read as {meant}");
            // And signed for that one.
            let good = (other.sign)(other.domain, &body);
            let is_same_body = (other.body)(&vault) == body;
            assert_eq!((other.accepts)(&vault, &body, good), is_same_body, "{name} for {meant}");
        }
    }
}

// KEYS-4
#[test]
fn no_other_key_and_no_changed_body_passes() {
    let vault = Vault::new(1);
    for kind in &KINDS {
        let name = String::from_utf8_lossy(kind.domain);
        let body = (kind.body)(&vault);
        let others = [by_device, by_newcomer, by_phrase, by_access, by_apart];
        let own = (kind.sign)(kind.domain, &body);
        let strangers = others.iter().map(|sign| sign(kind.domain, &body));
        let refused = strangers.filter(|signature| *signature != own);
        assert_eq!(refused.clone().count(), 4, "{name}");
        for signature in refused {
            assert!(!(kind.accepts)(&vault, &body, signature), "{name}");
        }
        // The slot of a record at a relay is the one that the verifier asked for.
        let first = if kind.domain == sign::LOCATOR_RECORD { 32 } else { 0 };
        for at in first..body.len() {
            let mut changed = body.clone();
            changed[at] ^= 1;
            assert!(!(kind.accepts)(&vault, &changed, own), "{name}, byte {at}");
        }
    }
}

// KEYS-4, LOG-5: the same phrase, the same device, another salt.
#[test]
fn nothing_that_was_signed_for_one_vault_counts_in_another() {
    let (vault, other) = (Vault::new(1), Vault::new(2));
    assert_ne!(vault.log.vault(), other.log.vault());
    for kind in &KINDS {
        let name = String::from_utf8_lossy(kind.domain);
        let body = (kind.body)(&vault);
        let signature = (kind.sign)(kind.domain, &body);
        assert_eq!((kind.accepts)(&other, &body, signature), !kind.is_bound, "{name}");
    }
    let free = KINDS.iter().filter(|kind| !kind.is_bound).map(|kind| kind.domain);
    // Who asked for a receipt compares holder, vault and shard, who made an errand all that a reply says; a trail is
    // of a node, not of a vault.
    assert!(free.eq([sign::RECEIPT, sign::ERRAND_REPLY, sign::TRAIL]));
}

// KEYS-4
#[test]
fn no_domain_is_the_start_of_another() {
    let key = device(1);
    for kind in &KINDS {
        assert!(
            kind.domain.ends_with(b"\0") && kind.domain.iter().filter(|it| **it == 0).count() == 1
        );
        for other in KINDS.iter().filter(|other| other.domain != kind.domain) {
            assert!(!other.domain.starts_with(kind.domain));
            let signature = key.sign(kind.domain, b"body");
            assert!(!verify(other.domain, &key.id(), b"body", &signature));
        }
    }
}
