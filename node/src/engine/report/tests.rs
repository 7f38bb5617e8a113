//! What status, peers and doctor say, against the engine in this process.

use std::{
    fs,
    path::PathBuf,
    time::{Duration, Instant},
};

use larder_protocol::ticket::Ticket;

use super::super::testing::{PATIENCE, TestNode, admit, named, pair, raw};
use crate::command::{
    ByteSize, Command, DoctorOutcome, Engine, ExitKind, Health, Keep, Outcome, PeerState, Safety,
    SheetOutcome, SnapshotName, StatusOutcome, Wait,
};

async fn status(node: &TestNode) -> StatusOutcome {
    match node.ask(Command::Status).await {
        Outcome::Status(status) => status,
        other => panic!("{other:?}"),
    }
}

fn says(status: &StatusOutcome, text: &str) -> bool {
    status.advice.iter().any(|advice| advice.text.contains(text))
}

async fn doctor(node: &TestNode) -> DoctorOutcome {
    match node.ask(Command::Doctor).await {
        Outcome::Doctor(doctor) => doctor,
        other => panic!("{other:?}"),
    }
}

fn state(doctor: &DoctorOutcome, name: &str) -> Health {
    doctor.checks.iter().find(|check| check.name == name).unwrap().state
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn status_leads_from_an_empty_home_to_what_is_missing() {
    let node = TestNode::new("one").await;
    let first = status(&node).await;
    assert_eq!((first.safety, first.peers_total), (Safety::Local, 0));
    assert!(says(&first, "no folder is backed up"), "{first:?}");
    let folder = node.folder("docs");
    let add = |excludes: &[&str]| Command::Add {
        paths: vec![raw(&folder)],
        excludes: excludes.iter().map(ToString::to_string).collect(),
    };
    node.ask(add(&["*.o"])).await;
    let Outcome::Folders(list) = node.ask(add(&["*.o", "tmp/"])).await else { panic!() };
    assert_eq!(list.folders[0].excludes, ["*.o", "tmp/"]);
    assert_eq!(node.run(add(&["[z-a]"])).await.err().unwrap().kind, ExitKind::Usage);
    assert!(says(&status(&node).await, "never backed up"));
    fs::write(folder.join("a"), b"1").unwrap();
    node.backup(&folder, Wait::Local).await;
    let then = status(&node).await;
    assert!(!says(&then, "never backed up") && says(&then, "nobody keeps a copy"), "{then:?}");
    assert_eq!(then.folders[0].last.as_ref().unwrap().files, 1);
    assert!(then.spool_bytes > 0);
    let Outcome::Folders(left) = node.ask(Command::Remove { paths: vec![raw(&folder)] }).await
    else {
        panic!()
    };
    assert!(left.folders.is_empty());
    // CLI-17: what was backed up stays so.
    let unlisted = status(&node).await;
    assert_eq!(unlisted.folders.len(), 1, "{unlisted:?}");
    assert!(!unlisted.folders[0].listed && unlisted.folders[0].last.is_some());
    assert!(says(&unlisted, "no folder is on the list"), "{unlisted:?}");
    assert!(node.run(Command::Remove { paths: vec![raw(&folder)] }).await.is_err());
}

// DEPOT-17
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn verify_goes_on_past_a_shard_that_cannot_be_looked_at() {
    let node = TestNode::new("one").await;
    let folder = node.folder("docs");
    fs::write(folder.join("a"), crate::depot::tests::bytes(1, 300_000)).unwrap();
    node.backup(&folder, Wait::Local).await;
    let verify = Command::Verify { percent: 100 };
    let Outcome::Verify(well) = node.ask(verify.clone()).await else { panic!() };
    // Something is where the outboard should be, and cannot be replaced by a new one.
    let mut outboards = shard_files(&node.home().join("depot"));
    outboards.retain(|file| file.with_extension("obao").exists());
    let outboard = outboards[0].with_extension("obao");
    fs::remove_file(&outboard).unwrap();
    fs::create_dir(&outboard).unwrap();
    let Outcome::Verify(found) = node.ask(verify.clone()).await else { panic!() };
    assert_eq!((found.shards, found.damaged, found.missing), (well.shards, 1, 0));
    assert!(outboards[0].ends_with(&found.roots[0]), "{found:?}");
    fs::remove_dir(&outboard).unwrap();
    let Outcome::Verify(healed) = node.ask(verify).await else { panic!() };
    assert_eq!(healed.damaged, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_shard_is_found_by_verify_and_told_until_it_is_healed() {
    let node = TestNode::new("one").await;
    let folder = node.folder("docs");
    fs::write(folder.join("a"), vec![7; 100_000]).unwrap();
    node.backup(&folder, Wait::Local).await;
    let verify = Command::Verify { percent: 100 };
    let Outcome::Verify(well) = node.ask(verify.clone()).await else { panic!() };
    assert!(well.shards > 1 && well.damaged + well.missing == 0, "{well:?}");
    let Outcome::Verify(some) = node.ask(Command::Verify { percent: 1 }).await else { panic!() };
    assert_eq!(some.shards, 1);
    assert_eq!(state(&doctor(&node).await, "depot"), Health::Good);

    let file = shard_files(&node.home().join("depot")).remove(0);
    let mut bytes = fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&file, &bytes).unwrap();
    let outcome = node.ask(verify.clone()).await;
    assert_eq!(outcome.exit_kind(), ExitKind::Failed);
    let Outcome::Verify(bad) = outcome else { panic!() };
    assert_eq!((bad.damaged, bad.missing), (1, 0));
    assert!(file.ends_with(&bad.roots[0]), "{file:?} {bad:?}");
    assert!(says(&status(&node).await, "damage on this disk: 1 shard of this vault"));
    assert_eq!(state(&doctor(&node).await, "depot"), Health::Bad);

    bytes[middle] ^= 1;
    fs::write(&file, &bytes).unwrap();
    let Outcome::Verify(healed) = node.ask(verify).await else { panic!() };
    assert_eq!(healed.damaged, 0);
    assert!(!says(&status(&node).await, "damage"));
}

/// Data files of shards: those whose name is a root.
fn shard_files(directory: &std::path::Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(shard_files(&path));
        } else if path.file_name().unwrap().len() == 64 {
            files.push(path);
        }
    }
    files.sort();
    files
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_of_settings_takes_effect_at_once() {
    let node = TestNode::new("one").await;
    let Outcome::Offer(offer) =
        node.ask(Command::Offer { bytes: Some(ByteSize(5_000_000)), to: None }).await
    else {
        panic!()
    };
    assert_eq!((offer.offered_bytes, offer.kept_bytes), (5_000_000, 0));
    let set = |key: &str, value: &str| Command::ConfigSet {
        key: key.to_owned(),
        value: Some(value.to_owned()),
    };
    node.ask(set("policy.copies", "3")).await;
    assert_eq!(status(&node).await.copies_wanted, 3);
    node.ask(set("device.site", "attic")).await;
    assert_eq!(status(&node).await.site, "attic");
    assert_eq!(node.run(set("no.such", "1")).await.err().unwrap().kind, ExitKind::Usage);
    let Outcome::Config(all) = node.ask(Command::ConfigGet { key: None }).await else { panic!() };
    let offer = all.settings.iter().find(|setting| setting.key == "depot.offer").unwrap();
    assert_eq!(offer.value, "5MB");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn doctor_notices_an_open_home_and_nobody_to_keep_copies() {
    use std::os::unix::fs::PermissionsExt;
    let node = TestNode::new("one").await;
    let found = doctor(&node).await;
    for name in ["home", "device-key", "database", "depot", "disk", "clock", "vault", "network"] {
        assert_eq!(state(&found, name), Health::Good, "{found:?}");
    }
    assert_eq!(state(&found, "holders"), Health::Poor);
    fs::set_permissions(node.home(), fs::Permissions::from_mode(0o755)).unwrap();
    assert_eq!(state(&doctor(&node).await, "home"), Health::Poor);
    // HOME-15
    let key = node.home().join("device.key");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    let found = doctor(&node).await;
    let told = found.checks.iter().find(|check| check.name == "device-key").unwrap();
    assert_eq!(told.state, Health::Bad);
    assert!(told.hint.as_deref().unwrap().contains("chmod 600"), "{told:?}");
    let told = crate::command::Failure::from(node.node.core.home.is_key_sealed().unwrap_err());
    assert!(told.hint.unwrap().contains(&format!("chmod 600 {}", key.display())));
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(node.home().join("device.key"), b"damaged").unwrap();
    let found = doctor(&node).await;
    assert_eq!(state(&found, "device-key"), Health::Bad);
    assert_eq!(Outcome::Doctor(found).exit_kind(), ExitKind::Failed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn safety_follows_the_holder() {
    let (source, holder) = (TestNode::new("source").await, TestNode::new("holder").await);
    holder.ask(Command::Offer { bytes: Some(ByteSize(1 << 30)), to: None }).await;
    pair(&source, &holder).await;
    let folder = source.folder("docs");
    fs::write(folder.join("a"), vec![1; 200_000]).unwrap();
    source.ask(Command::Add { paths: vec![raw(&folder)], excludes: Vec::new() }).await;
    let first = source.backup(&folder, Wait::Safe).await;
    let safe = status(&source).await;
    assert_eq!(
        (safe.safety, safe.peers_online, safe.spool_bytes),
        (Safety::Safe, 1, 0),
        "{safe:?}"
    );
    assert!(says(&safe, "one site"), "{safe:?}");
    let Outcome::Peers(peers) = source.ask(Command::Peers).await else { panic!() };
    let peer = &peers.peers[0];
    assert_eq!((peer.name.as_str(), peer.state, peer.own), ("holder", PeerState::Online, false));
    assert!(peer.holds_shards > 1 && peer.holds_bytes > 200, "{peer:?}");
    let Outcome::Peers(other) = holder.ask(Command::Peers).await else { panic!() };
    assert_eq!(other.peers[0].kept_bytes, peer.holds_bytes);
    assert_eq!(status(&holder).await.kept_bytes, peer.holds_bytes);

    let verify = Command::Verify { percent: 100 };
    let Outcome::Verify(done) = source.ask(verify.clone()).await else { panic!() };
    let asked = &done.holders[0];
    assert_eq!((asked.answered, asked.lacking, asked.shards), (true, 0, peer.holds_shards));
    // It loses a shard, finds that out by itself, says so, and gets it again.
    fs::remove_file(shard_files(&holder.home().join("depot")).remove(0)).unwrap();
    let Outcome::Verify(found) = holder.ask(verify.clone()).await else { panic!() };
    assert_eq!((found.missing, found.damaged), (1, 0));
    let outcome = source.ask(verify).await;
    assert_eq!(outcome.exit_kind(), ExitKind::Failed);
    let Outcome::Verify(done) = outcome else { panic!() };
    assert_eq!(done.holders[0].lacking, 1, "{done:?}");
    assert!(says(&status(&source).await, "holder lost 1 shard"));

    let begun = Instant::now();
    while status(&source).await.safety != Safety::Safe {
        assert!(begun.elapsed() < PATIENCE, "it is not sent again");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    // The holder goes away: what it has stays safe, what comes then is not.
    holder.node.close().await;
    drop(holder);
    fs::write(folder.join("b"), vec![2; 200_000]).unwrap();
    let second = source.backup(&folder, Wait::Local).await;
    let list = Command::Snapshots { device: None, path: None };
    for round in 0..2 {
        let Outcome::Snapshots(all) = source.ask(list.clone()).await else { panic!() };
        let found: Vec<_> = all.snapshots.iter().map(|one| (&one.snapshot, one.safety)).collect();
        let expected = [(&first, Safety::Safe), (&second, Safety::Local)];
        assert_eq!(found, expected, "round {round}");
    }
    let source = source.reopen().await;
    let Outcome::Snapshots(all) = source.ask(list).await else { panic!() };
    let found: Vec<Safety> = all.snapshots.iter().map(|one| one.safety).collect();
    assert_eq!(found, [Safety::Safe, Safety::Local]);
    assert_eq!(status(&source).await.safety, Safety::Local);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connect_tells_apart_silence_strangers_and_friends() {
    let (one, two) = (TestNode::new("one").await, TestNode::new("two").await);
    let Outcome::Ticket(ticket) = two.ask(Command::Ticket).await else { panic!() };
    let connect = Command::Connect { ticket: ticket.ticket.clone() };
    let stranger = one.run(connect.clone()).await.err().unwrap();
    assert!(stranger.message.contains("does not know"), "{stranger}");
    // Its address is kept all the same, and it is no holder.
    let Outcome::Peers(peers) = one.ask(Command::Peers).await else { panic!() };
    assert_eq!(peers.peers[0].addresses, ticket.addresses);
    assert_eq!(status(&one).await.advice.iter().filter(|a| a.text.contains("keeps")).count(), 0);
    pair(&two, &one).await;
    let Outcome::Connect(friend) = one.ask(connect).await else { panic!() };
    assert!(friend.reached && friend.rtt_ms.is_some(), "{friend:?}");
    assert_eq!(friend.name.as_deref(), Some("two"));
    let own = Command::Connect { ticket: one.node.ready().await.ticket };
    assert_eq!(one.run(own).await.err().unwrap().kind, ExitKind::Usage);
    let garbage = Command::Connect { ticket: "larder-garbage".into() };
    assert_eq!(one.run(garbage).await.err().unwrap().kind, ExitKind::Usage);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_home_without_a_vault_says_what_it_is_for() {
    let node = TestNode::bare().await;
    let first = status(&node).await;
    assert_eq!(first.vault, None);
    assert!(says(&first, "belongs to no vault"), "{first:?}");
    assert_eq!(first.advice.len(), 1);
    assert_eq!(state(&doctor(&node).await, "vault"), Health::Poor);
    let Outcome::Peers(peers) = node.ask(Command::Peers).await else { panic!() };
    assert!(peers.peers.is_empty());
    node.ask(Command::Offer { bytes: Some(ByteSize(7)), to: None }).await;
    let latest = SnapshotName::Latest;
    let refused = [
        Command::Folders,
        Command::Add { paths: vec!["/".into()], excludes: Vec::new() },
        Command::Snapshots { device: None, path: None },
        Command::List { snapshot: latest.clone(), path: "".into(), recursive: false },
        Command::Cat { snapshot: latest, path: "a".into() },
        Command::Find { pattern: "*".into(), snapshot: None },
        Command::Devices,
        Command::Ticket,
        Command::Forget { keep: Keep { last: 1, ..Keep::default() }, dry_run: false },
    ];
    for command in refused {
        let failure = node.run(command.clone()).await.err().unwrap();
        assert!(failure.hint.unwrap().contains("larder init"), "{command:?}");
    }
    // What is kept for others can be verified all the same.
    let Outcome::Verify(done) = node.ask(Command::Verify { percent: 100 }).await else { panic!() };
    assert_eq!((done.shards, done.holders.len()), (0, 0));
}

// RET-6
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_device_sees_everything_and_forgets_nothing_of_the_first() {
    let (first, second) = (TestNode::new("first").await, TestNode::bare().await);
    second.ask(Command::Offer { bytes: Some(ByteSize(1 << 30)), to: None }).await;
    admit(&first, &second, "second").await;
    let folder = first.folder("docs");
    fs::write(folder.join("a"), vec![1; 70_000]).unwrap();
    first.backup(&folder, Wait::Safe).await;
    fs::write(folder.join("a"), vec![2; 70_000]).unwrap();
    let newest = first.backup(&folder, Wait::Safe).await;
    let list = Command::Snapshots { device: Some("first".into()), path: None };
    let started = Instant::now();
    let snapshots = loop {
        // It follows the head that it was given by and by.
        match second.ask(list.clone()).await {
            Outcome::Snapshots(all) if all.snapshots.len() == 2 => break all.snapshots,
            Outcome::Snapshots(_) => {
                assert!(started.elapsed() < PATIENCE, "it does not follow");
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(snapshots[1].snapshot, newest);
    assert_eq!((snapshots[1].safety, snapshots[1].device_name.as_str()), (Safety::Safe, "first"));
    let cat = Command::Cat { snapshot: SnapshotName::Latest, path: "a".into() };
    assert_eq!(second.run(cat).await.unwrap().bytes, vec![2; 70_000]);
    let keep = Keep { last: 1, ..Keep::default() };
    let Outcome::Forget(done) = second.ask(Command::Forget { keep, dry_run: false }).await else {
        panic!()
    };
    assert_eq!((done.kept.len(), done.forgotten.len()), (0, 0));
    let snapshots = || vec![named(&newest)];
    for command in [
        Command::ForgetNamed { snapshots: snapshots(), even_last: true, dry_run: false },
        Command::Pin { snapshots: snapshots(), pinned: true },
    ] {
        let failure = second.run(command).await.err().expect("it is of the first");
        assert!(failure.message.contains("is of first, which alone"), "{failure}");
    }
    let Outcome::Devices(devices) = second.ask(Command::Devices).await else { panic!() };
    let names: Vec<(&str, bool)> =
        devices.devices.iter().map(|device| (device.name.as_str(), device.this)).collect();
    assert_eq!(names, [("first", false), ("second", true)]);
    assert!(devices.devices[0].last_snapshot.is_some());
    let Outcome::Peers(peers) = first.ask(Command::Peers).await else { panic!() };
    assert!(peers.peers[0].own && peers.peers[0].holds_shards > 1, "{peers:?}");
    let found = doctor(&first).await;
    assert_eq!(state(&found, "peer second"), Health::Good, "{found:?}");
}

async fn sheet(node: &TestNode) -> SheetOutcome {
    match node.ask(Command::Sheet).await {
        Outcome::Sheet(sheet) => sheet,
        other => panic!("{other:?}"),
    }
}

// SHEET-8
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sheet_names_the_newest_state_that_holders_have() {
    let (node, holder) = (TestNode::new("one").await, TestNode::holder("two").await);
    let folder = node.folder("docs");
    fs::write(folder.join("a"), b"1").unwrap();
    node.backup(&folder, Wait::Local).await;
    let first = sheet(&node).await;
    assert_eq!(
        (first.devices.len(), first.devices[0].head, first.devices[0].time),
        (1, None, None)
    );
    assert!(first.holders.is_empty() && first.relays.is_empty());
    pair(&node, &holder).await;
    fs::write(folder.join("b"), b"2").unwrap();
    node.backup(&folder, Wait::Safe).await;
    let safe = sheet(&node).await;
    let head = safe.devices[0].head.unwrap();
    assert!(head > 0 && safe.devices[0].time.is_some(), "{safe:?}");
    let [only] = &safe.holders[..] else { panic!("{safe:?}") };
    assert_eq!((only.name.as_str(), only.site.as_str()), ("two", "two"));
    assert!(only.holds_bytes > 0 && only.last_seen.is_some());
    let Ok(Ticket::Address(ticket)) = only.ticket.parse() else { panic!("{only:?}") };
    assert_eq!(ticket.device.to_string(), only.device);
    assert!(!ticket.addresses.is_empty());
    // What is not yet there is not promised.
    holder.node.close().await;
    fs::write(folder.join("c"), b"3").unwrap();
    node.backup(&folder, Wait::Local).await;
    let then = sheet(&node).await;
    assert_eq!(then.devices, safe.devices);
    assert_eq!(then.holders.len(), 1);
}
