//! Real nodes: a source that drills, and holders that may have lost what they signed for.

use std::{fs, path::Path};

use super::*;
use crate::{
    command::{ByteSize, Command, DrillFailure, Engine, ExitKind, StatusOutcome, Wait},
    engine::testing::{TestNode, pair},
};

/// A source whose own packs are all here, and a holder that has them as well.
async fn circle() -> (TestNode, TestNode, PathBuf) {
    let (source, holder) = (TestNode::new("source").await, TestNode::new("holder").await);
    holder.ask(Command::Offer { bytes: Some(ByteSize(1 << 30)), to: None }).await;
    pair(&source, &holder).await;
    let folder = source.folder("docs");
    fs::create_dir(folder.join("deep")).unwrap();
    fs::write(folder.join("large"), crate::depot::tests::bytes(1, 6_000_000)).unwrap();
    for number in 0..20_u8 {
        let bytes = crate::depot::tests::bytes(number.into(), 1_000 + 500 * usize::from(number));
        fs::write(folder.join("deep").join(format!("small{number}")), bytes).unwrap();
    }
    fs::write(folder.join("empty"), b"").unwrap();
    // Mostly a hole.
    let sparse = fs::File::create(folder.join("sparse")).unwrap();
    sparse.set_len(3_000_000).unwrap();
    source.backup(&folder, Wait::Safe).await;
    (source, holder, folder)
}

async fn drill(node: &TestNode) -> (ExitKind, DrillOutcome) {
    let outcome = node.ask(Command::Drill).await;
    let exit = outcome.exit_kind();
    let Outcome::Drill(done) = outcome else { panic!() };
    (exit, done)
}

async fn status(node: &TestNode) -> StatusOutcome {
    let Outcome::Status(status) = node.ask(Command::Status).await else { panic!() };
    status
}

/// Shard files of a node.
fn shards(node: &TestNode) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for bucket in fs::read_dir(node.home().join("depot")).unwrap().flatten() {
        let Ok(files) = fs::read_dir(bucket.path()) else { continue };
        let is_shard = |path: &PathBuf| path.file_name().is_some_and(|name| name.len() == 64);
        all.extend(files.flatten().map(|file| file.path()).filter(is_shard));
    }
    all
}

fn lies_about(node: &TestNode) -> bool {
    fs::read_dir(node.home().join("fetch")).unwrap().next().is_some()
}

fn modified(path: &Path) -> std::time::SystemTime {
    fs::metadata(path).unwrap().modified().unwrap()
}

/// Writes other bytes of the same length, with the same time.
fn rewrite(path: &Path) {
    let before = modified(path);
    let mut bytes = fs::read(path).unwrap();
    bytes.iter_mut().for_each(|byte| *byte ^= 1);
    fs::write(path, bytes).unwrap();
    fs::File::options().write(true).open(path).unwrap().set_modified(before).unwrap();
}

// DRILL-2, DRILL-3, DRILL-6
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_drawn_comes_from_holders_is_compared_and_leaves_nothing_behind() {
    let (source, holder, folder) = circle().await;
    assert_eq!(status(&source).await.last_drill, None);
    let (exit, done) = drill(&source).await;
    assert_eq!((exit, &done.failed, &done.blamed), (ExitKind::Done, &vec![], &vec![]), "{done:?}");
    assert_eq!(done.folders, 1);
    // Few files: the sample is nearly all of them, though this device has every byte itself.
    assert!(done.files >= 10 && done.compared == done.files, "{done:?}");
    assert!(done.bytes > 4_000_000 && done.fetched_bytes > 3_000_000, "{done:?}");
    let [served] = done.holders.as_slice() else { panic!("{done:?}") };
    assert_eq!((served.name.as_str(), served.bytes), ("holder", done.fetched_bytes));
    assert!(!lies_about(&source));
    let last = status(&source).await.last_drill.unwrap();
    assert_eq!((last.files, last.bytes, last.failed), (done.files, done.bytes, 0));

    // A file that was changed since is compared with its names alone; one that was not is told from
    // another of the same length and time.
    fs::write(folder.join("large"), b"quite another").unwrap();
    let (exit, again) = drill(&source).await;
    assert_eq!((exit, again.compared), (ExitKind::Done, again.files - 1), "{again:?}");
    assert!(again.fetched_bytes > 3_000_000, "nothing counts that was fetched before: {again:?}");
    for number in 0..20 {
        rewrite(&folder.join("deep").join(format!("small{number}")));
    }
    let (exit, done) = drill(&source).await;
    assert_eq!(exit, ExitKind::Failed);
    assert!(done.failed.iter().all(|one| one.why == DrillFailure::Differs), "{done:?}");
    let first = done.failed[0].path.to_bytes();
    assert!(first.starts_with(folder.join("deep/small").as_os_str().as_encoded_bytes()));
    assert!(status(&source).await.advice.iter().any(|one| one.text.contains("restore drill")));
    // It is remembered.
    let source = source.reopen().await;
    let last = status(&source).await.last_drill.unwrap();
    assert_eq!(last.failed, u64::try_from(done.failed.len()).unwrap());
    drop(holder);
}

// DRILL-4, DRILL-5
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_no_holder_has_is_lost_and_whoever_signed_for_it_is_named() {
    let (source, holder, _folder) = circle().await;
    for shard in shards(&holder) {
        let mut bytes = fs::read(&shard).unwrap();
        bytes.iter_mut().for_each(|byte| *byte ^= 1);
        fs::write(&shard, bytes).unwrap();
    }
    // This device has every byte itself, which helps nobody who has lost it.
    let (exit, done) = drill(&source).await;
    assert_eq!(exit, ExitKind::Failed, "{done:?}");
    assert!(done.failed.iter().all(|one| one.why == DrillFailure::Lost), "{done:?}");
    let failed = u64::try_from(done.failed.len()).unwrap();
    assert_eq!((failed, done.bytes), (done.files, 0), "{done:?}");
    let [blame] = done.blamed.as_slice() else { panic!("{done:?}") };
    assert_eq!((blame.name.as_str(), blame.what.contains("damaged")), ("holder", true));
}

// DRILL-4
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_not_sent_or_is_with_somebody_away_is_not_lost() {
    let alone = TestNode::new("alone").await;
    let failure = alone.run(Command::Drill).await.err().unwrap();
    assert!(failure.message.contains("no complete snapshot"), "{failure:?}");
    let folder = alone.folder("docs");
    fs::write(folder.join("a"), b"some text").unwrap();
    alone.backup(&folder, Wait::Local).await;
    let (exit, done) = drill(&alone).await;
    assert_eq!((exit, done.failed.len()), (ExitKind::Holders, 1));
    assert_eq!(done.failed[0].why, DrillFailure::OnlyHere);

    let (source, holder, _folder) = circle().await;
    holder.node.close().await;
    let begun = Instant::now();
    let (exit, done) = drill(&source).await;
    assert_eq!(exit, ExitKind::Holders, "{done:?}");
    assert!(done.failed.iter().all(|one| one.why == DrillFailure::Away), "{done:?}");
    assert!(done.failed[0].what.contains("holder"), "{done:?}");
    assert!(begun.elapsed() < Duration::from_secs(50), "asked once, not for each file");
}
