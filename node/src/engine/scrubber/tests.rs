//! Real nodes whose disks rot, and ages that are told rather than waited for.

use std::{
    collections::BTreeMap,
    fs,
    path::PathBuf,
    time::{Duration, Instant},
};

use super::*;
use crate::{
    command::{Command, DoctorOutcome, ExitKind, Health, Outcome, StatusOutcome, Wait},
    depot::{LastRead, Origin, ShardState},
    engine::testing::{PATIENCE, TestNode, pair},
};

const DAY_S: u64 = 86_400;

fn last_reads(node: &TestNode) -> BTreeMap<ShardRoot, LastRead> {
    node.node.core.depot.last_reads().unwrap()
}

/// Has it look as if everything had been read so many days ago.
fn age_all(node: &TestNode, days: u64) {
    let roots: Vec<ShardRoot> = last_reads(node).into_keys().collect();
    let at = Timestamp(wall().0 - days * DAY_S);
    node.node.core.depot.note_read(&roots, at).unwrap();
}

async fn set_period(node: &TestNode, days: &str) {
    let (key, value) = ("depot.scrub_days".to_owned(), Some(days.to_owned()));
    node.ask(Command::ConfigSet { key, value }).await;
}

async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let begun = Instant::now();
    while !is_so().await {
        assert!(begun.elapsed() < PATIENCE, "{what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn is_fresh(last: &LastRead) -> bool {
    wall().0.saturating_sub(last.at.0) < DAY_S
}

fn file_of(node: &TestNode, root: &ShardRoot) -> PathBuf {
    let name = root.to_string();
    node.home().join("depot").join(&name[..2]).join(&name)
}

/// Flips one bit in the middle of a shard.
fn rot(node: &TestNode, root: &ShardRoot) {
    let file = file_of(node, root);
    let mut bytes = fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&file, &bytes).unwrap();
}

async fn status(node: &TestNode) -> StatusOutcome {
    let Outcome::Status(status) = node.ask(Command::Status).await else { panic!() };
    status
}

async fn doctor_of_depot(node: &TestNode) -> (Health, String) {
    let Outcome::Doctor(DoctorOutcome { checks }) = node.ask(Command::Doctor).await else {
        panic!()
    };
    let check = checks.into_iter().find(|check| check.name == "depot").unwrap();
    (check.state, check.found)
}

/// A node with one small backup in its depot.
async fn with_backup() -> TestNode {
    let node = TestNode::new("one").await;
    let folder = node.folder("docs");
    fs::write(folder.join("a"), crate::depot::tests::bytes(1, 300_000)).unwrap();
    node.backup(&folder, Wait::Local).await;
    node
}

// SCRUB-10, HOLD-7
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_holder_finds_rot_without_being_asked_and_its_source_mends_it() {
    let (source, holder) = (TestNode::new("source").await, TestNode::holder("holder").await);
    pair(&source, &holder).await;
    let folder = source.folder("docs");
    fs::write(folder.join("a"), crate::depot::tests::bytes(1, 300_000)).unwrap();
    source.backup(&folder, Wait::Safe).await;
    let vault = source.node.core.member().unwrap().vault;
    let kept_bytes = || holder.node.core.holding.kept_bytes(vault);
    let before = kept_bytes();
    let (victim, last) = last_reads(&holder).into_iter().next().unwrap();
    rot(&holder, &victim);
    age_all(&holder, 100);
    set_period(&holder, "89").await;
    until("the rot is found", async || kept_bytes() == before - last.bytes).await;
    let row = holder.node.core.depot.row(&victim, &vault).unwrap().unwrap();
    assert_eq!((row.origin, row.state), (Origin::Held, ShardState::Corrupt));
    // Who asks is told, and sends it again.
    let verify = Command::Verify { percent: 100 };
    let Outcome::Verify(asked) = source.ask(verify).await else { panic!() };
    assert_eq!((asked.holders[0].answered, asked.holders[0].lacking), (true, 1));
    until("it is mended", async || kept_bytes() == before).await;
    let mended = last_reads(&holder)[&victim];
    assert!(is_fresh(&mended) && mended.is_well);
}

// SCRUB-10
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_loss_of_an_own_pack_is_told_to_placing() {
    let node = with_backup().await;
    let custody = node.node.core.member().unwrap().custody().unwrap().clone();
    assert_eq!(custody.status().await.unwrap().nowhere_packs, 0);
    let victim = *last_reads(&node).keys().next().unwrap();
    fs::remove_file(file_of(&node, &victim)).unwrap();
    age_all(&node, 100);
    set_period(&node, "89").await;
    until("the loss is told", async || custody.status().await.unwrap().nowhere_packs == 1).await;
    until("all are noted", async || last_reads(&node).values().all(is_fresh)).await;
    assert!(status(&node).await.advice.iter().any(|it| it.text.contains("damage on this disk")));
}

// SCRUB-7
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_read_when_outlives_a_restart() {
    let node = with_backup().await;
    assert!(last_reads(&node).values().all(is_fresh), "it was hashed when it came");
    age_all(&node, 50);
    set_period(&node, "55").await;
    until("all is read", async || last_reads(&node).values().all(is_fresh)).await;
    let read = last_reads(&node);
    let node = node.reopen().await;
    assert_eq!(last_reads(&node), read);
    let kept = kept(&node.node.core, wall()).unwrap();
    assert_eq!(kept.len(), read.len());
    assert!(kept.iter().all(|kept| kept.age_ms < DAY_S * 1000), "{kept:?}");
}

// SCRUB-9
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn verify_notes_what_it_has_read() {
    let node = with_backup().await;
    age_all(&node, 100);
    let fresh = |node: &TestNode| last_reads(node).values().filter(|last| is_fresh(last)).count();
    assert_eq!(fresh(&node), 0);
    // The machine begins with a new list after it; it has nothing to do with the other shards here.
    set_period(&node, "0").await;
    node.ask(Command::Verify { percent: 1 }).await;
    assert_eq!(fresh(&node), 1);
    let victim = *last_reads(&node).keys().next().unwrap();
    rot(&node, &victim);
    let outcome = node.ask(Command::Verify { percent: 100 }).await;
    assert_eq!(outcome.exit_kind(), ExitKind::Failed);
    assert_eq!(fresh(&node), last_reads(&node).len());
    assert!(!last_reads(&node)[&victim].is_well);
    // It is known, and nothing that the scrub would read.
    assert_eq!(kept(&node.node.core, wall()).unwrap().len(), last_reads(&node).len() - 1);
}

// SCRUB-11
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn status_and_doctor_tell_how_long_ago_it_was() {
    let node = with_backup().await;
    let overdue = |status: &StatusOutcome| {
        status.advice.iter().any(|advice| advice.text.contains("not read back for"))
    };
    let (health, found) = doctor_of_depot(&node).await;
    assert_eq!(health, Health::Good);
    assert!(found.ends_with("read back within 1 day"), "{found}");
    assert!(!overdue(&status(&node).await));
    // A node that was off for long; it looks at what is due ten minutes after its start.
    age_all(&node, 179);
    assert!(!overdue(&status(&node).await));
    assert_eq!(doctor_of_depot(&node).await.0, Health::Good);
    age_all(&node, 181);
    let late = status(&node).await;
    assert!(overdue(&late), "{late:?}");
    let since = late.depot_read_since.unwrap().0.as_second();
    assert_eq!((i64::try_from(wall().0).unwrap() - since) / 86_400, 181);
    let (health, found) = doctor_of_depot(&node).await;
    assert_eq!(health, Health::Poor);
    assert!(found.ends_with("read back within 182 days"), "{found}");
    // Who has set it to never knows.
    set_period(&node, "0").await;
    assert!(!overdue(&status(&node).await));
    node.ask(Command::Verify { percent: 100 }).await;
    assert!(doctor_of_depot(&node).await.1.ends_with("read back within 1 day"));
    // Nothing kept, nothing to tell.
    let bare = TestNode::bare().await;
    assert_eq!(status(&bare).await.depot_read_since, None);
    assert_eq!(doctor_of_depot(&bare).await.1, "0 shards, 0 B");
    bare.reopen().await;
}

// SCRUB-7
#[test]
fn a_note_from_the_future_says_nothing() {
    let now = Timestamp(1_800_000_000);
    assert_eq!(age_ms(Timestamp(now.0 - 5), now, DAY_S), 5000);
    assert_eq!(age_ms(Timestamp(now.0 + 60), now, DAY_S), 0, "clocks are set back by a little");
    assert_eq!(age_ms(Timestamp(now.0 + 2 * DAY_S), now, DAY_S), u64::MAX);
    assert_eq!(age_ms(Timestamp(0), Timestamp(u64::MAX), DAY_S), u64::MAX);
}
