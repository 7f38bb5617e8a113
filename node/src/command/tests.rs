//! The JSON of outcomes and commands, against the vectors of the spec. A key that is renamed or
//! dropped breaks somebody's script: when this fails, the code is wrong, not the vector.

use std::{collections::BTreeSet, fs, path::PathBuf};

use larder_protocol::tree::entry::FileTime;
use serde_json::{Value, json};

use super::*;

mod leaving;
mod rekey;
mod removal;
mod renamed;
mod status;
mod trial;

fn vectors_file() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../specs/vectors/command_line.json")
}

fn id(digit: &str) -> String {
    digit.repeat(64)
}

fn time(seconds: u64) -> Time {
    larder_protocol::time::Timestamp(seconds).into()
}

fn snapshot() -> Snapshot {
    Snapshot {
        snapshot: id("3"),
        time: time(1_700_000_000),
        device: id("d"),
        device_name: "laptop".to_owned(),
        path: PathField::new(b"/home/anna/caf\xe9"),
        files: 12,
        bytes: 34_567,
        complete: true,
        automatic: true,
        pinned: true,
        safety: Safety::Safe,
        safe_since: Some(time(1_700_000_100)),
    }
}

fn origin() -> SnapshotOrigin {
    SnapshotOrigin {
        time: time(1_700_000_000),
        device: id("d"),
        device_name: "laptop".to_owned(),
        path: PathField::new(b"/home/anna/caf\xe9"),
        others: 2,
    }
}

fn folder() -> Folder {
    Folder {
        path: PathField::new(b"/home/anna"),
        excludes: vec!["*.tmp".to_owned()],
        last: Some(snapshot()),
        saved: Some(time(1_700_000_200)),
        listed: true,
    }
}

fn snapshots() -> SnapshotsOutcome {
    SnapshotsOutcome { snapshots_total: 1, devices_total: 2, snapshots: vec![snapshot()] }
}

fn entry() -> Entry {
    let before_1970 = FileTime { seconds: -1, nanoseconds: 500_000_000 };
    Entry {
        path: PathField::new(b"letters/now"),
        kind: EntryKind::Symlink,
        bytes: 0,
        mode: 0o777,
        uid: 1000,
        gid: 1000,
        modified: Time::of_file(before_1970),
        target: Some(TargetField::new(b"2025/\xff")),
    }
}

fn rows() -> Vec<Value> {
    let change = Change {
        path: PathField::new(b"a"),
        change: ChangeKind::Changed,
        kind: EntryKind::File,
        bytes_old: Some(1),
        bytes_new: Some(2),
    };
    let found = Found { snapshot: id("3"), time: time(1_700_000_000), entry: entry() };
    let logged = LogLine {
        time: time(1_700_000_000),
        source: LogSource::DeviceLog,
        what: "add".to_owned(),
        text: "laptop (dddddddd) let phone (eeeeeeee) in".to_owned(),
        counts: true,
        signed: "c2lnbmVk".to_owned(),
    };
    let problem = Problem { path: PathField::new(b"/x\xff"), what: "permission denied".to_owned() };
    vec![
        json!({ "entry": entry() }),
        json!({ "change": change }),
        json!({ "found": found }),
        json!({ "logged": logged }),
        json!({ "problem": problem }),
    ]
}

fn asked_holder() -> AskedHolder {
    let (device, name) = (id("a"), "nas".to_owned());
    AskedHolder { device, name, answered: true, shards: 400, lacking: 0 }
}

fn restored() -> Outcome {
    let blame =
        Blame { device: id("e"), name: "nas".to_owned(), what: "served wrong bytes".to_owned() };
    Outcome::Restore(RestoreOutcome {
        snapshot: id("3"),
        origin: origin(),
        path: PathField::new(b"/tmp/restored"),
        dry_run: false,
        files_written: 10,
        files_same: 1,
        files_left: 1,
        directories: 3,
        bytes: 30_000,
        fetched_bytes: 20_000,
        problems_total: 0,
        blamed: vec![blame],
        duration_ms: 1234,
    })
}

fn about_work() -> Vec<Outcome> {
    let backup_snapshot = BackupSnapshot {
        snapshot: id("3"),
        path: PathField::new(b"/home/anna"),
        unchanged: false,
        files: 12,
        directories: 3,
        bytes: 34_567,
        files_new: 2,
        files_changed: 1,
        read_bytes: 4096,
        new_bytes: 2048,
        stored_bytes: 1024,
    };
    vec![
        Outcome::Folders(FoldersOutcome { folders: vec![folder()] }),
        Outcome::Backup(BackupOutcome {
            snapshots: vec![backup_snapshot],
            wanted: Wait::Safe,
            reached: Wait::Safe,
            copies_wanted: 2,
            copies_reached: 2,
            problems_total: 0,
            sent_bytes: 2048,
            duration_ms: 1234,
            advice: None,
        }),
        Outcome::Snapshots(snapshots()),
        Outcome::List(ListOutcome {
            snapshot: id("3"),
            origin: origin(),
            entries_total: 1,
            bytes: 0,
        }),
        Outcome::Cat(CatOutcome { snapshot: id("3"), origin: origin(), bytes: 6 }),
        Outcome::Diff(DiffOutcome {
            old: id("2"),
            new: id("3"),
            old_origin: SnapshotOrigin { others: 0, ..origin() },
            new_origin: origin(),
            added: 1,
            removed: 2,
            changed: 3,
            attributes: 4,
        }),
        Outcome::Find(FindOutcome { matches_total: 1, snapshots_searched: 2 }),
        restored(),
        Outcome::Verify(VerifyOutcome {
            shards: 9,
            bytes: 900,
            damaged: 1,
            missing: 0,
            roots: vec![id("b")],
            holders: vec![asked_holder()],
        }),
        drilled(&[DrillFailure::Lost, DrillFailure::Differs]),
        Outcome::Forget(ForgetOutcome {
            dry_run: true,
            kept: vec![snapshot()],
            forgotten: Vec::new(),
            freed_bytes: Some(1_000_000),
            retention_days: 30,
        }),
    ]
}

fn drilled(failures: &[DrillFailure]) -> Outcome {
    let failed = failures.iter().map(|why| FailedFile {
        path: PathField::new(b"/home/anna/caf\xe9"),
        why: *why,
        what: "no holder can give shard bbbbbbbb".to_owned(),
    });
    let (device, name) = (id("e"), "nas".to_owned());
    let what = "served wrong bytes".to_owned();
    Outcome::Drill(DrillOutcome {
        folders: 2,
        files: 64,
        bytes: 200_000_000,
        compared: 60,
        holders: vec![ServingHolder {
            device: device.clone(),
            name: name.clone(),
            bytes: 210_000_000,
        }],
        failed: failed.collect(),
        blamed: vec![Blame { device, name, what }],
        fetched_bytes: 210_000_000,
        duration_ms: 12_345,
    })
}

fn peer() -> Peer {
    Peer {
        device: id("e"),
        name: "nas".to_owned(),
        vault: id("a"),
        own: false,
        site: "parents".to_owned(),
        state: PeerState::Online,
        last_seen: Some(time(1_700_000_000)),
        attendance: Some(attendance()),
        granted_bytes: Some(1_000_000),
        holds_bytes: 2048,
        holds_shards: 2,
        proven_shards: 1,
        last_proof: Some(time(1_700_000_000)),
        unclaimed_bytes: 512,
        kept_bytes: 4096,
        path: Some(PeerPath::Relayed),
        addresses: vec!["192.0.2.1:4242".to_owned()],
    }
}

fn attendance() -> Attendance {
    Attendance {
        presence: Presence::Away,
        kind: HolderKind::AlwaysOn,
        said_lost: false,
        away_until: Some(time(1_750_000_000)),
        availability_percent: Some(97),
        silent_ms: 7_200_000,
        lost_after_ms: 259_200_000,
    }
}

/// One that belongs to the vault, and one that was removed.
fn devices() -> Vec<Device> {
    let device = Device {
        device: id("d"),
        name: "laptop".to_owned(),
        this: true,
        role: DeviceRole::Owner,
        added: Some(time(1_600_000_000)),
        last_seen: None,
        last_snapshot: Some(time(1_700_000_000)),
        removed: None,
    };
    let removal = Removal {
        reason: RemovalReason::Stolen,
        at: Some(time(1_740_000_000)),
        by: Some("laptop".to_owned()),
    };
    let phone = Device {
        device: id("f"),
        name: "phone".to_owned(),
        this: false,
        role: DeviceRole::Member,
        removed: Some(removal),
        ..device.clone()
    };
    vec![device, phone]
}

fn sheet() -> Outcome {
    let holder = SheetHolder {
        device: id("e"),
        name: "nas".to_owned(),
        site: "parents".to_owned(),
        ticket: "larder…".to_owned(),
        last_seen: Some(time(1_700_000_000)),
        holds_bytes: 2048,
    };
    let device = SheetDevice {
        device: id("d"),
        name: "laptop".to_owned(),
        head: Some(17),
        time: Some(time(1_700_000_000)),
    };
    let phone = SheetDevice { device: id("f"), name: "phone".to_owned(), head: None, time: None };
    Outcome::Sheet(SheetOutcome {
        vault: id("a"),
        device: id("d"),
        name: "laptop".to_owned(),
        made: time(1_700_000_000),
        holders: vec![holder],
        relays: vec!["https://relay.example.org:8443".to_owned()],
        devices: vec![device, phone],
        commands: SheetOutcome::commands(true),
        aside: None,
    })
}

fn about_nodes() -> Vec<Outcome> {
    vec![
        Outcome::Offer(OfferOutcome {
            offered_bytes: 500_000_000_000,
            kept_bytes: 4096,
            disk_free_bytes: 900_000_000_000,
            vaults: vec![OfferedTo {
                vault: id("b"),
                name: "anna".to_owned(),
                allowed_bytes: Some(200_000_000_000),
                kept_bytes: 4096,
                kept_shards: 1,
                last_seen: Some(time(1_700_000_000)),
                leaving: false,
            }],
        }),
        Outcome::Ticket(TicketOutcome {
            ticket: "larder…".to_owned(),
            device: id("d"),
            addresses: vec!["192.0.2.1:4242".to_owned()],
        }),
        Outcome::Connect(ConnectOutcome {
            device: id("e"),
            name: Some("nas".to_owned()),
            reached: true,
            rtt_ms: Some(3),
            relays_unused: vec!["https://relay.example.org:8443".to_owned()],
        }),
        sheet(),
        Outcome::Devices(DevicesOutcome { devices: devices() }),
        Outcome::Rename(renamed::sample()),
        Outcome::Revoke(removal::sample()),
        Outcome::Rekey(rekey::sample()),
        Outcome::Leave(leaving::sample()),
        Outcome::Peers(PeersOutcome { peers: vec![peer()] }),
        Outcome::Expect(ExpectOutcome {
            device: id("e"),
            name: "nas".to_owned(),
            attendance: attendance(),
        }),
        Outcome::Status(status::sample()),
    ]
}

fn about_this_node() -> Vec<Outcome> {
    let check = Check {
        name: "clock".to_owned(),
        state: Health::Poor,
        found: "3 minutes behind".to_owned(),
        hint: Some("set it".to_owned()),
    };
    vec![
        Outcome::Doctor(DoctorOutcome { checks: vec![check] }),
        Outcome::Config(ConfigOutcome {
            settings: vec![Setting {
                key: "policy.copies".to_owned(),
                value: "auto".to_owned(),
                default: true,
                help: "copies".to_owned(),
            }],
        }),
        Outcome::Passphrase(PassphraseOutcome {
            done: PassphraseDone::Set,
            seal: Some(SealKind {
                kdf: "argon2id".to_owned(),
                memory_bytes: ByteSize(64 << 20),
                passes: 3,
            }),
            opened_by: Some(OpenedBy::Keyring),
        }),
        Outcome::Log(LogOutcome { vault: id("a"), device: id("d"), lines: 7 }),
        Outcome::Answered,
        Outcome::Stopping,
    ]
}

fn about_membership() -> Vec<Outcome> {
    vec![
        Outcome::Init(InitOutcome {
            vault: id("a"),
            device: id("d"),
            name: "laptop".to_owned(),
            site: "home".to_owned(),
            sealed: true,
        }),
        Outcome::Ready(ReadyOutcome {
            device: id("d"),
            name: "laptop".to_owned(),
            vault: Some(id("a")),
            addresses: vec!["192.0.2.1:4242".to_owned()],
            ticket: "larder…".to_owned(),
            pid: 77,
        }),
        Outcome::Invite(InviteOutcome {
            code: "larder…".to_owned(),
            kind: InviteKind::Circle,
            role: DeviceRole::Owner,
            allowed_bytes: Some(200_000_000_000),
            expires: time(1_700_003_600),
            spoken: Some("7-maple-orbit-candy".to_owned()),
            spoken_expires: Some(time(1_700_000_300)),
            joined: Some(Joined {
                name: "desktop".to_owned(),
                site: "home-maple-orbit".to_owned(),
                vault: Some(id("b")),
                words: "maple orbit".to_owned(),
                confirmed: true,
            }),
        }),
        Outcome::Join(JoinOutcome {
            kind: InviteKind::Device,
            role: DeviceRole::Member,
            vault: id("a"),
            device: id("e"),
            name: "desktop".to_owned(),
            words: Some("maple orbit".to_owned()),
            compared: true,
            site: "home-maple-orbit".to_owned(),
            same_site: true,
        }),
        Outcome::Recover(RecoverOutcome {
            vault: id("a"),
            device: id("f"),
            name: "new".to_owned(),
            site: "home-maple-orbit".to_owned(),
            witnesses_answered: 2,
            witnesses_known: 3,
            snapshots: vec![snapshot()],
        }),
        Outcome::Trial(trial::sample()),
    ]
}

fn about_guardians() -> Vec<Outcome> {
    let request = PhraseRequest {
        id: "ab".repeat(16),
        from: "new-laptop".to_owned(),
        asked: time(1_700_000_000),
        due: time(1_700_604_800),
        stopped_by: Some("desktop".to_owned()),
    };
    let other = GuardianOf {
        vault: id("c"),
        name: "carol".to_owned(),
        threshold: 2,
        guardians: 3,
        gave: None,
    };
    let gathered = GatheredVault {
        vault: id("a"),
        founded: time(1_600_000_000),
        have: 2,
        needed: 2,
        guardians: 3,
        delay_ms: 604_800_000,
        helpers: vec!["anna".to_owned(), "bob".to_owned()],
    };
    let (vault, name) = (id("b"), "anna".to_owned());
    let anna = GuardianName { vault, name, has_new_key: true };
    vec![
        Outcome::Gathered(GatheredOutcome { vaults: vec![gathered] }),
        Outcome::Waiting(WaitingOutcome {
            vault: id("a"),
            helpers: vec!["anna".to_owned(), "bob".to_owned()],
            holders: 2,
            due: time(1_700_604_800),
        }),
        Outcome::Guardians(GuardiansOutcome {
            threshold: Some(2),
            delay_ms: Some(604_800_000),
            appointed: Some(time(1_690_000_000)),
            guardians: vec![anna],
            requests: vec![request],
            stopped: 1,
            told: vec!["anna".to_owned()],
            not_told: vec!["bob".to_owned()],
            guardian_of: vec![other],
        }),
        Outcome::Pin(PinOutcome { pinned: true, snapshots: vec![snapshot()] }),
        Outcome::Gave(GaveOutcome { vault: id("c"), name: "carol".to_owned(), have: 1, needed: 2 }),
    ]
}

fn samples() -> Vec<Outcome> {
    [about_membership(), about_guardians(), about_work(), about_nodes(), about_this_node()].concat()
}

/// Every variant, by the compiler's word: a new one does not compile until it is listed here.
fn tag(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Init(_) => "init",
        Outcome::Ready(_) => "ready",
        Outcome::Folders(_) => "folders",
        Outcome::Backup(_) => "backup",
        Outcome::Snapshots(_) => "snapshots",
        Outcome::List(_) => "list",
        Outcome::Cat(_) => "cat",
        Outcome::Diff(_) => "diff",
        Outcome::Find(_) => "find",
        Outcome::Restore(_) => "restore",
        Outcome::Offer(_) => "offer",
        Outcome::Invite(_) => "invite",
        Outcome::Join(_) => "join",
        Outcome::Ticket(_) => "ticket",
        Outcome::Connect(_) => "connect",
        Outcome::Recover(_) => "recover",
        Outcome::Gathered(_) => "gathered",
        Outcome::Waiting(_) => "waiting",
        Outcome::Guardians(_) => "guardians",
        Outcome::Gave(_) => "gave",
        Outcome::Trial(_) => "trial",
        Outcome::Sheet(_) => "sheet",
        Outcome::Devices(_) => "devices",
        Outcome::Peers(_) => "peers",
        Outcome::Expect(_) => "expect",
        Outcome::Rename(_) => "rename",
        Outcome::Revoke(_) => "revoke",
        Outcome::Rekey(_) => "rekey",
        Outcome::Leave(_) => "leave",
        Outcome::Status(_) => "status",
        Outcome::Verify(_) => "verify",
        Outcome::Drill(_) => "drill",
        Outcome::Forget(_) => "forget",
        Outcome::Pin(_) => "pin",
        Outcome::Doctor(_) => "doctor",
        Outcome::Config(_) => "config",
        Outcome::Passphrase(_) => "passphrase",
        Outcome::Log(_) => "log",
        Outcome::Answered => "answered",
        Outcome::Stopping => "stopping",
    }
}

fn document() -> Value {
    json!({ "outcomes": samples(), "rows": rows() })
}

/// Writes the vectors: only to be run when something was added, never to make the test pass.
#[test]
#[ignore = "writes specs/vectors/command_line.json"]
fn write_vectors() {
    let text = serde_json::to_string_pretty(&document()).unwrap();
    fs::write(vectors_file(), text + "\n").unwrap();
}

// CLI-5
#[test]
fn outcomes_are_written_as_the_vectors_say() {
    let vectors: Value = serde_json::from_slice(&fs::read(vectors_file()).unwrap()).unwrap();
    let samples = samples();
    assert_eq!(vectors["outcomes"].as_array().unwrap().len(), samples.len());
    for (vector, sample) in vectors["outcomes"].as_array().unwrap().iter().zip(&samples) {
        assert_eq!(serde_json::to_value(sample).unwrap(), *vector);
        assert_eq!(vector["outcome"], tag(sample));
        assert_eq!(serde_json::from_value::<Outcome>(vector.clone()).unwrap(), *sample);
    }
    assert_eq!(vectors["rows"], Value::from(rows()));
    let tags: BTreeSet<_> = samples.iter().map(tag).collect();
    assert_eq!(tags.len(), samples.len(), "one sample of each");
}

// CLI-6
#[test]
fn every_byte_string_survives_json() {
    for bytes in [&b"plain"[..], b"caf\xe9", b"new\nline", b"\xff\xfe", b"", "ä".as_bytes()] {
        let path = RawPath::from(bytes);
        let text = serde_json::to_string(&path).unwrap();
        assert_eq!(serde_json::from_str::<RawPath>(&text).unwrap(), path);
        let field = PathField::new(bytes);
        let text = serde_json::to_string(&field).unwrap();
        let back: PathField = serde_json::from_str(&text).unwrap();
        assert_eq!(back.to_bytes(), bytes);
        assert_eq!(text.contains("path_base64"), str::from_utf8(bytes).is_err());
    }
}

// CLI-4
#[test]
fn a_phrase_is_not_in_what_debug_prints() {
    let phrase = Secret::new("abandon".to_owned());
    let command = Command::Recover { phrase, connect: Vec::new(), name: None, site: None };
    assert!(!format!("{command:?}").contains("abandon"));
    let text = serde_json::to_string(&command).unwrap();
    assert_eq!(serde_json::from_str::<Command>(&text).unwrap(), command);
}

// CLI-2
// CLI-18
#[test]
fn what_could_not_be_reached_is_no_success_and_damage_comes_before_it() {
    let connect = |reached| {
        let (device, name, rtt_ms, relays_unused) = (id("e"), None, None, Vec::new());
        let done = ConnectOutcome { device, name, reached, rtt_ms, relays_unused };
        Outcome::Connect(done).exit_kind()
    };
    assert_eq!((connect(true), connect(false)), (ExitKind::Done, ExitKind::Holders));
    let verify = |damaged, answered, lacking| {
        let holders = vec![AskedHolder { answered, lacking, ..asked_holder() }];
        let (shards, bytes, missing, roots) = (9, 900, 0, Vec::new());
        let done = VerifyOutcome { shards, bytes, damaged, missing, roots, holders };
        Outcome::Verify(done).exit_kind()
    };
    assert_eq!(verify(0, true, 0), ExitKind::Done);
    assert_eq!(verify(0, false, 0), ExitKind::Holders);
    assert_eq!(verify(1, false, 0), ExitKind::Failed);
    assert_eq!(verify(0, false, 1), ExitKind::Failed);
    let drill = |failures: &[DrillFailure]| drilled(failures).exit_kind();
    assert_eq!(drill(&[]), ExitKind::Done);
    assert_eq!(drill(&[DrillFailure::Away, DrillFailure::OnlyHere]), ExitKind::Holders);
    assert_eq!(drill(&[DrillFailure::Away, DrillFailure::Lost]), ExitKind::Failed);
    assert_eq!(drill(&[DrillFailure::Differs, DrillFailure::Away]), ExitKind::Failed);
    let backup = |wanted, reached, problems_total| {
        let mut samples = about_work().into_iter();
        let Some(Outcome::Backup(done)) = samples.find(|one| matches!(one, Outcome::Backup(_)))
        else {
            panic!()
        };
        Outcome::Backup(BackupOutcome { wanted, reached, problems_total, ..done }).exit_kind()
    };
    assert_eq!(backup(Wait::Safe, Wait::Safe, 1), ExitKind::Unreadable);
    assert_eq!(backup(Wait::Safe, Wait::Local, 1), ExitKind::Holders);
    assert_eq!(backup(Wait::Local, Wait::Local, 1), ExitKind::Unreadable);
}

#[test]
fn exit_codes_are_those_of_the_contract() {
    let kinds = [
        (ExitKind::Done, 0),
        (ExitKind::Failed, 1),
        (ExitKind::Usage, 2),
        (ExitKind::Unreadable, 3),
        (ExitKind::Holders, 4),
        (ExitKind::Key, 5),
        (ExitKind::Interrupted, 130),
    ];
    for (kind, code) in kinds {
        assert_eq!(kind.code(), code);
    }
}

#[tokio::test]
async fn progress_never_waits_and_rows_always_do() {
    let cancel = tokio_util::sync::CancellationToken::new();
    let (sink, mut stream) = EventSink::channel(cancel.clone());
    for _ in 0..1000 {
        sink.progress(Progress::new(Stage::Reading));
    }
    let worker = sink.clone();
    let rows = tokio::spawn(async move {
        for _ in 0..1000 {
            worker.row(entry()).await?;
        }
        Ok::<_, Cancelled>(())
    });
    let mut seen = 0;
    while seen < 1000 {
        seen += usize::from(matches!(stream.next().await, Some(Event::Row(_))));
    }
    rows.await.unwrap().unwrap();
    sink.check().unwrap();
    drop(stream);
    assert_eq!(sink.check(), Err(Cancelled));
    assert_eq!(sink.row(entry()).await, Err(Cancelled));
    sink.cancelled().await;
    assert!(cancel.is_cancelled());
}
