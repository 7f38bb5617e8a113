//! Every decoder of the project as a function of arbitrary bytes.
//!
//! Each function must neither panic nor hang nor grow beyond its limits, whatever it is given; what
//! it accepts must come out again as it went in. `cargo test` runs them for some seconds on mutated
//! vectors (`cases/decoders.rs`); `tests/fuzz/` gives the same functions to libFuzzer.

use std::sync::LazyLock;

use larder_node::command::{ByteSize, Command};
use larder_protocol::{
    cbor,
    chunk::codec,
    coding::{CodedPack, ShardNumber, rebuild_shard},
    errands::{Errand, Posted, Reply},
    guarding::{
        gathering::Gathering,
        handing::{Handed, HandedAnswer},
        keeping::Guard,
        set::GuardianSet,
    },
    head::SignedHead,
    ids::{DeviceId, LocatorSlot, ShardRoot, VaultId},
    index::{Segment, ShardRef},
    keys::{KeyFile, epoch::EpochKey, phrase::Phrase},
    leaving::{DaysSeen, LeavingWord, Words},
    limits::{CHUNK_BYTES_MAX, FELLOWS_MAX, FRAME_BYTES_MAX, LEAVING_DAYS, WHEREABOUTS_BYTES_MAX},
    locating::{LocatorRecord, Whereabouts},
    log::{AddDraft, DeviceLog, LogEntry},
    manifest::Manifest,
    meeting::{Channel, Guest, Input, Output, Party as _, SpokenCode},
    pack::{PackReader, header::Header, reader},
    proof::Challenge,
    receipt::Receipt,
    snapshot::Snapshot,
    tending::{Introduction, Vigil, claimed::ClaimedList, introduction::Introductions},
    ticket::{Invite, InviteKind, InviteSecret, Ticket},
    time::{Instant, Timestamp},
    tree::node::{DirectoryNode, ExtentNode},
    wire::{
        frame::{FrameDecoder, decode_body},
        message::{Answer, Request},
    },
};

mod log_acts;
mod pairing;
mod pieces;
mod trail;
mod world;

pub use log_acts::{acts, log_acts};
pub use pairing::{pairing, pairings};
pub use trail::{trail, trails};

/// A decoder with its name, as `cargo fuzz run NAME` takes it.
pub type Target = (&'static str, fn(&[u8]));

/// All of them.
pub const TARGETS: &[Target] = &[
    ("frame", frame),
    ("request", request),
    ("answer", answer),
    ("log_entry", log_entry),
    ("device_log", device_log),
    ("head", head),
    ("receipt", receipt),
    ("proof", proof),
    ("ticket", ticket),
    ("phrase", phrase),
    ("key_file", key_file),
    ("pack_header", pack_header),
    ("pack", pack),
    ("chunk_frame", chunk_frame),
    ("coded_pack", coded_pack),
    ("coding", coding),
    ("segment", segment),
    ("directory_node", directory_node),
    ("extent_node", extent_node),
    ("snapshot", snapshot),
    ("manifest", manifest),
    ("control_command", control_command),
    ("size", size),
    ("locator_record", locator_record),
    ("spoken_code", spoken_code),
    ("meeting", meeting),
    ("guardians", guardians),
    ("tending", tending),
    ("errands", errands),
    ("leaving", leaving),
    ("trail", trail),
    ("pairing", pairing),
    ("log_acts", log_acts),
];

/// Frames of the control protocol, in pieces as a network would deliver them.
pub fn frame(bytes: &[u8]) {
    let (max, bytes) = match bytes.split_first() {
        Some((&first, rest)) => (usize::from(first) * 64, rest),
        None => return,
    };
    let mut decoder = FrameDecoder::new(max);
    for mut piece in bytes.chunks(7) {
        while !piece.is_empty() {
            let before = piece.len();
            match decoder.feed(&mut piece) {
                Ok(Some(body)) => assert!(body.len() <= max.min(FRAME_BYTES_MAX)),
                Ok(None) => assert!(piece.len() < before, "it takes no byte and wants more"),
                Err(_) => return,
            }
        }
    }
}

/// Requests, and what is checked of them before anything is done.
pub fn request(bytes: &[u8]) {
    if let Ok(request) = decode_body::<Request>(bytes) {
        assert_eq!(cbor::encode(&request), bytes);
        let _breach = request.check();
    }
}

/// Answers, each checked against every kind of question.
pub fn answer(bytes: &[u8]) {
    if let Ok(answer) = decode_body::<Answer>(bytes) {
        assert_eq!(cbor::encode(&answer), bytes);
        let vault = VaultId::from_bytes([1; 32]);
        let questions = [
            Request::Hello { versions: vec![1], beacon_key: None, site: None, name: None },
            Request::PullHeads { vault, after: None },
            Request::PullLog { vault, have: Vec::new() },
            Request::Offer { vault, shards: Vec::new() },
            Request::Audit { vault, challenges: Vec::new() },
        ];
        for question in questions {
            let _breach = answer.check(&question);
        }
    }
}

/// Entries of a device log, and drafts of additions.
pub fn log_entry(bytes: &[u8]) {
    if let Ok(entry) = LogEntry::decode(bytes) {
        assert_eq!(entry.bytes(), bytes);
    }
    let _wrong = AddDraft::decode(bytes);
}

/// A whole log from pieces: first a genesis, then anything.
pub fn device_log(bytes: &[u8]) {
    let mut pieces = bytes.split(|byte| *byte == 0xf7);
    let Ok(mut log) = DeviceLog::begin(pieces.next().unwrap_or_default()) else { return };
    for piece in pieces.take(16) {
        let _refused = log.merge(piece);
    }
}

/// Heads.
pub fn head(bytes: &[u8]) {
    if let Ok(head) = SignedHead::decode(bytes) {
        assert_eq!(head.bytes(), bytes);
    }
}

/// Receipts: whatever decodes has a signature that can be checked.
pub fn receipt(bytes: &[u8]) {
    if let Ok(receipt) = cbor::decode::<Receipt>(bytes, 1024) {
        assert_eq!(cbor::encode(&receipt), bytes);
        let _forged = receipt.verify();
    }
}

/// Proofs of possession: first the length of a shard, then the number of a chunk, then what is shown, or
/// what a prover has on its disk. Made up, it proves nothing.
pub fn proof(bytes: &[u8]) {
    let Some((numbers, shown)) = bytes.split_first_chunk::<8>() else { return };
    let number = |at: usize| u32::from_le_bytes([0, 1, 2, 3].map(|i| numbers[at + i]));
    let (length, chunk) = (u64::from(number(0) % (1 << 27)), number(4));
    // No hash is all zeros: whatever is accepted is a fault.
    let shard = ShardRef { root: ShardRoot::from_bytes([0; 32]), bytes: length };
    let challenge = Challenge { shard, chunk };
    assert!(challenge.verify(shown).is_err());
    if challenge.is_plausible() {
        let pairs = vec![[0xaa; 64]; challenge.pairs().len()];
        assert!(challenge.prove(shown, &pairs).is_err());
    }
}

/// Tickets and invitations.
pub fn ticket(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Ok(ticket) = text.parse::<Ticket>() {
        let again = ticket.to_text().parse::<Ticket>();
        assert!(again.is_ok(), "a ticket that was read can be shown and read again");
    }
}

/// Recovery phrases.
pub fn phrase(bytes: &[u8]) {
    let _wrong = Phrase::parse(&String::from_utf8_lossy(bytes));
}

/// The file with a device's keys.
pub fn key_file(bytes: &[u8]) {
    if let Ok(file) = KeyFile::parse(bytes) {
        assert_eq!(file.text().as_bytes(), bytes, "a key file has one form");
    }
}

/// Headers of packs.
pub fn pack_header(bytes: &[u8]) {
    if let Ok(header) = Header::decode(bytes) {
        assert_eq!(header.encode()[..], bytes[..header.encode().len()]);
    }
}

/// Whole packs, opened with a key that is known to the attacker: trailer, footer, chunks.
pub fn pack(bytes: &[u8]) {
    let vault = VaultId::from_bytes([7; 32]);
    let epoch = EpochKey::new(1, [9; 32]);
    let length = u64::try_from(bytes.len()).expect("a length fits 64 bits");
    let root = ShardRoot::from_bytes([3; 32]);
    let shard = ShardRef { root, bytes: length };
    let _range = reader::trailer_range(length);
    if let Ok(record) = PackReader::read_record(bytes, shard, &epoch, vault) {
        assert!(
            record.chunks.iter().map(|chunk| u64::from(chunk.sealed_bytes)).sum::<u64>() < length
        );
    }
}

/// Compressed chunks: the first four bytes are the length that is promised elsewhere.
pub fn chunk_frame(bytes: &[u8]) {
    let Some((length, frame)) = bytes.split_first_chunk::<4>() else { return };
    let length = u32::from_le_bytes(*length);
    if let Ok(plain) = codec::decompress(frame, length) {
        assert!(plain.len() <= CHUNK_BYTES_MAX);
        assert_eq!(u32::try_from(plain.len()), Ok(length));
    }
}

/// Records of coded packs: whatever decodes can be planned for.
pub fn coded_pack(bytes: &[u8]) {
    if let Ok(pack) = CodedPack::decode(bytes) {
        assert_eq!(pack.encode(), bytes);
        let (coding, layout) = (pack.coding(), pack.layout());
        for number in coding.numbers() {
            let shard = pack.shard(number).expect("each number has a shard");
            assert!(shard.is_plausible() && pack.number_of(&shard.root).is_some());
        }
        let last: Vec<ShardNumber> = coding.numbers().collect();
        let last = &last[last.len() - usize::from(coding.data_shards())..];
        let plan = layout.plan(0..layout.pack_bytes(), last);
        let plan = plan.expect("enough shards for a range of the pack");
        assert!(plan.decode(&[]).is_err());
    }
}

/// Shards of any numbers and lengths: first `k` and a lost shard, then the number and length of each
/// other, with its bytes. What is rebuilt rebuilds what it came from.
pub fn coding(bytes: &[u8]) {
    let Some((&[data, lost], mut rest)) = bytes.split_first_chunk::<2>() else { return };
    let mut others: Vec<(ShardNumber, &[u8])> = Vec::new();
    while let Some((&[number, length], after)) = rest.split_first_chunk::<2>() {
        let Ok(number) = ShardNumber::try_from(number) else { return };
        let (bytes, after) = after.split_at(after.len().min(usize::from(length)));
        others.push((number, bytes));
        rest = after;
    }
    let Ok(lost) = ShardNumber::try_from(lost) else { return };
    let Ok(rebuilt) = rebuild_shard(data, lost, &others) else { return };
    assert!(others.iter().all(|(_, bytes)| bytes.len() == rebuilt.len()));
    if others.iter().all(|(number, _)| *number != lost) {
        let (first, bytes) = others[0];
        others[0] = (lost, &rebuilt);
        let back = rebuild_shard(data, first, &others);
        assert_eq!(back.as_deref(), Ok(bytes));
    }
}

/// Index segments.
pub fn segment(bytes: &[u8]) {
    if let Ok(segment) = Segment::decode(bytes) {
        assert_eq!(segment.encode(), bytes);
    }
}

/// Directory nodes: no name that leaves the directory gets through.
pub fn directory_node(bytes: &[u8]) {
    if let Ok(node) = DirectoryNode::decode(bytes) {
        assert_eq!(node.encode(), bytes);
        if let DirectoryNode::Leaf(entries) = node {
            for entry in entries {
                assert!(!entry.name.contains(&b'/') && !entry.name.contains(&0));
                assert!(!matches!(&entry.name[..], b"" | b"." | b".."));
            }
        }
    }
}

/// Lists of extents.
pub fn extent_node(bytes: &[u8]) {
    if let Ok(node) = ExtentNode::decode(bytes) {
        assert_eq!(node.encode(), bytes);
    }
}

/// Snapshots.
pub fn snapshot(bytes: &[u8]) {
    if let Ok(snapshot) = Snapshot::decode(bytes) {
        assert_eq!(snapshot.encode(), bytes);
    }
}

/// Manifests.
pub fn manifest(bytes: &[u8]) {
    if let Ok(manifest) = Manifest::decode(bytes) {
        assert_eq!(cbor::encode(&manifest), bytes);
    }
}

/// Commands on the control socket.
pub fn control_command(bytes: &[u8]) {
    if let Ok(command) = serde_json::from_slice::<Command>(bytes) {
        let text = serde_json::to_vec(&command).expect("a command can be written");
        let again: Command = serde_json::from_slice(&text).expect("and read again");
        assert!(again == command);
    }
}

/// Sizes as people type them.
pub fn size(bytes: &[u8]) {
    let _wrong = String::from_utf8_lossy(bytes).parse::<ByteSize>();
}

/// Records at a relay, and what is sealed in them.
pub fn locator_record(bytes: &[u8]) {
    if let Some((slot, record)) = bytes.split_first_chunk::<32>()
        && let Ok(read) = LocatorRecord::read(&LocatorSlot::from_bytes(*slot), record)
    {
        assert_eq!(read.as_bytes(), record);
    }
    if let Ok(found) = cbor::decode::<Whereabouts>(bytes, WHEREABOUTS_BYTES_MAX) {
        assert_eq!(cbor::encode(&found), bytes);
    }
}

/// Spoken codes as people type them.
pub fn spoken_code(bytes: &[u8]) {
    if let Ok(code) = String::from_utf8_lossy(bytes).parse::<SpokenCode>() {
        let again: SpokenCode = code.to_text().parse().expect("what it writes it reads");
        assert_eq!(again.to_text(), code.to_text());
    }
}

/// Frames of a meeting, each behind its length in one byte, as a guest takes them from anybody.
pub fn meeting(mut bytes: &[u8]) {
    let channel = Channel::new(7).expect("there is such a channel");
    let mut guest = Guest::new(&SpokenCode::random(channel, [1; 6]), [2; 32], Instant::default());
    while let Some((&length, rest)) = bytes.split_first() {
        let (frame, rest) = rest.split_at(rest.len().min(usize::from(length)));
        guest.handle_input(Instant::default(), Input::Frame(frame.to_vec()));
        bytes = rest;
    }
    let ended = std::iter::from_fn(|| guest.poll_output());
    assert!(ended.filter(|output| matches!(output, Output::Ended(_))).count() <= 1);
}

/// The vault of the vectors: what is made of them is valid there.
fn tended_log() -> DeviceLog {
    let page = include_str!("../../specs/vectors/tending.json");
    let page: serde_json::Value = serde_json::from_str(page).expect("the vectors are JSON");
    let genesis = page["log"][0].as_str().expect("the vectors have a log").as_bytes();
    let digits = |pair: &[u8]| {
        let text = std::str::from_utf8(pair).expect("hexadecimal digits");
        u8::from_str_radix(text, 16).expect("hexadecimal digits")
    };
    let genesis: Vec<u8> = genesis.chunks(2).map(digits).collect();
    DeviceLog::begin(&genesis).expect("the vault of the vectors")
}

/// The vault of the vectors of tending and of errands.
static TENDED: LazyLock<DeviceLog> = LazyLock::new(tended_log);

/// What is left for somebody else, and what is kept of it.
pub fn errands(bytes: &[u8]) {
    let log = &*TENDED;
    if let Ok(errand) = Errand::decode(bytes, log) {
        assert_eq!(errand.bytes(), bytes);
        let posted = Posted::new(errand);
        assert_eq!(Posted::decode(&posted.encode(), log).as_ref(), Ok(&posted));
    }
    if let Ok(reply) = Reply::decode(bytes) {
        assert_eq!(reply.bytes(), bytes);
    }
    if let Ok(posted) = Posted::decode(bytes, log) {
        assert!(posted.receipts().all(Receipt::verify));
    }
}

/// What devices and fellows bring, and what is kept of it.
pub fn tending(bytes: &[u8]) {
    let log = &*TENDED;
    if let Ok(introduction) = Introduction::decode(bytes, log) {
        assert_eq!(introduction.bytes(), bytes);
        let mut all = Introductions::default();
        assert!(all.offer(introduction, log));
        assert_eq!(Introductions::decode(&all.encode(), log).as_ref(), Ok(&all));
    }
    if let Ok(all) = Introductions::decode(bytes, log) {
        assert!(all.circle(log).fellows.len() <= FELLOWS_MAX);
    }
    if let Ok(list) = ClaimedList::decode(bytes, log) {
        assert_eq!(list.encode(), bytes);
    }
    if let Ok(vigil) = Vigil::decode(bytes) {
        assert_eq!(vigil.encode(), bytes);
    }
}

/// What devices say of who leaves whom, and how long somebody has waited.
pub fn leaving(bytes: &[u8]) {
    if let Ok(word) = LeavingWord::decode(bytes) {
        assert_eq!(word.bytes(), bytes);
        let pair = word.body().pair();
        let mut words = Words::default();
        assert!(words.offer(word.clone()) && !words.offer(word));
        assert_eq!(words.between(pair).count(), words.between(pair.turned()).count());
    }
    if let Ok(days) = DaysSeen::decode(bytes) {
        assert_eq!(days.encode(), bytes);
        assert!(days.left() <= LEAVING_DAYS);
    }
}

/// What guardians and holders bring, and what is kept of it.
pub fn guardians(bytes: &[u8]) {
    let helper = DeviceId::from_bytes([1; 32]);
    let invite = Invite {
        kind: InviteKind::Help,
        inviter: DeviceId::from_bytes([2; 32]),
        addresses: Vec::new(),
        secret: InviteSecret([3; 32]),
        expires: Timestamp(1),
    };
    if let Ok(mut handed) = Handed::decode(bytes) {
        assert_eq!(cbor::encode(&handed), bytes);
        // As from somebody who was told the code.
        handed.proof = *invite.help_proof(&helper).as_bytes();
        let (genesis, set) = (handed.genesis.clone(), handed.set.clone());
        let mut gathering = Gathering::default();
        if let Ok(progress) = gathering.take(&invite, (&helper, Timestamp(0)), handed) {
            assert!(progress.have <= 1 && progress.needed >= 1);
            let again = Gathering::decode(&gathering.encode()).expect("what is kept can be read");
            assert_eq!(again.candidates()[0].progress, progress);
        }
        if let Ok(log) = DeviceLog::begin(&genesis)
            && let Ok(set) = GuardianSet::decode(&set, &log.vault(), log.recovery())
        {
            let mut guard = Guard::default();
            guard.offer(set, None);
            assert_eq!(Guard::decode(&guard.encode(), &log), Ok(guard));
        }
    }
    if let Some(answer) = HandedAnswer::decode(bytes) {
        assert_eq!(cbor::encode(&answer), bytes);
    }
    let _ = Gathering::decode(bytes);
}
