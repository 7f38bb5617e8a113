//! Looking into snapshots, against the engine in this process.

use std::{ffi::OsStr, fs, os::unix::ffi::OsStrExt, path::Path};

use tokio_util::sync::CancellationToken;

use super::super::testing::{TestNode, named, pair, raw};
use crate::command::{
    ByteSize, ChangeKind, Command, Engine, EntryKind, Event, EventSink, Keep, Outcome, RawPath,
    Row, Safety, SnapshotName, Stage, Wait,
};

/// Bytes without repetition.
fn noise(bytes: usize) -> Vec<u8> {
    let mut out = vec![0; bytes];
    blake3::Hasher::new().update(b"noise").finalize_xof().fill(&mut out);
    out
}

fn plant(folder: &Path) {
    fs::create_dir_all(folder.join("sub/deep")).unwrap();
    fs::write(folder.join("a.txt"), b"hello\n").unwrap();
    fs::write(folder.join("sub/big"), noise(900_000)).unwrap();
    fs::write(folder.join(OsStr::from_bytes(b"sub/deep/bad\xff")), b"x").unwrap();
    std::os::unix::fs::symlink("a.txt", folder.join("link")).unwrap();
    for number in 0..20 {
        fs::write(folder.join(format!("small{number:02}")), format!("{number}")).unwrap();
    }
    let sparse = fs::File::create(folder.join("sub/sparse")).unwrap();
    sparse.set_len(3_000_000).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&sparse, b"end", 2_999_997).unwrap();
}

fn paths(rows: &[Row]) -> Vec<Vec<u8>> {
    let path = |row: &Row| match row {
        Row::Entry(entry) => entry.path.to_bytes(),
        Row::Change(change) => change.path.to_bytes(),
        Row::Logged(line) => panic!("{line:?}"),
        Row::Found(found) => found.entry.path.to_bytes(),
    };
    rows.iter().map(path).collect()
}

async fn list(node: &TestNode, path: &[u8], recursive: bool) -> Vec<Row> {
    let path = RawPath::from(path);
    let said = node.run(Command::List { snapshot: SnapshotName::Latest, path, recursive }).await;
    let said = said.unwrap();
    let Outcome::List(done) = said.outcome else { panic!() };
    assert_eq!(usize::try_from(done.entries_total), Ok(said.rows.len()));
    said.rows
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn directories_are_listed_alone_or_with_all_below() {
    let node = TestNode::new("one").await;
    let folder = node.folder("folder");
    plant(&folder);
    node.backup(&folder, Wait::Local).await;
    let rows = list(&node, b"", false).await;
    assert_eq!(rows.len(), 23);
    assert!(paths(&rows).is_sorted());
    let all = list(&node, b"", true).await;
    assert_eq!(all.len(), 27);
    let below: Vec<&[u8]> = vec![b"sub/big", b"sub/deep", b"sub/deep/bad\xff", b"sub/sparse"];
    assert_eq!(paths(&list(&node, b"sub", true).await), below);
    // What is no directory is listed itself.
    let Row::Entry(link) = list(&node, b"link", false).await.remove(0) else { panic!() };
    assert_eq!((link.kind, link.target.unwrap().to_bytes()), (EntryKind::Symlink, b"a.txt".into()));
    let Row::Entry(odd) = list(&node, b"sub/deep/bad\xff", true).await.remove(0) else { panic!() };
    assert_eq!((odd.path.to_bytes(), odd.bytes), (b"sub/deep/bad\xff".to_vec(), 1));
    for (path, code) in [("sub/none", 1), ("a.txt/x", 1)] {
        let command =
            Command::List { snapshot: SnapshotName::Latest, path: path.into(), recursive: false };
        assert_eq!(node.run(command).await.err().unwrap().kind.code(), code, "{path}");
    }
}

// CLI-14
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn paths_count_from_the_root_or_are_those_of_the_device() {
    let node = TestNode::new("one").await;
    let folder = node.folder("folder");
    plant(&folder);
    let old = node.backup(&folder, Wait::Local).await;
    fs::write(folder.join("sub/new"), b"1").unwrap();
    let new = node.backup(&folder, Wait::Local).await;
    for path in [bytes_of(&folder.join("sub")), b"sub".into(), b"/sub/".into()] {
        let listed = list(&node, &path, false).await;
        assert_eq!(paths(&listed), [&b"sub/big"[..], b"sub/deep", b"sub/new", b"sub/sparse"]);
        let path = RawPath::from(path.as_slice());
        let diff = Command::Diff { old: named(&old), new: named(&new), path };
        assert_eq!(paths(&node.run(diff).await.unwrap().rows), [b"sub/new"]);
    }
    assert_eq!(list(&node, &bytes_of(&folder), false).await.len(), 23);
    for path in [raw(&folder.join("a.txt")), RawPath::from("a.txt")] {
        let cat = Command::Cat { snapshot: SnapshotName::Latest, path };
        assert_eq!(node.run(cat).await.unwrap().bytes, b"hello\n");
    }
    let pattern = folder.join("*.txt").to_str().unwrap().to_owned();
    let find = Command::Find { pattern, snapshot: Some(SnapshotName::Latest) };
    assert_eq!(paths(&node.run(find).await.unwrap().rows), [b"a.txt"]);
}

// CLI-12
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_document_says_what_latest_was_of_and_what_it_left_out() {
    let node = TestNode::new("one").await;
    let (first, second) = (node.folder("first"), node.folder("second"));
    fs::write(first.join("file"), b"1").unwrap();
    fs::write(second.join("file"), b"2").unwrap();
    let old = node.backup(&first, Wait::Local).await;
    let (latest, path) = (SnapshotName::Latest, RawPath::from("file"));
    let list = |snapshot: &SnapshotName| Command::List {
        snapshot: snapshot.clone(),
        path: path.clone(),
        recursive: false,
    };
    let Outcome::List(alone) = node.run(list(&latest)).await.unwrap().outcome else { panic!() };
    assert_eq!((alone.origin.path.to_bytes(), alone.origin.others), (bytes_of(&first), 0));
    assert_eq!(alone.origin.device_name, "one");
    let new = node.backup(&second, Wait::Local).await;
    let Outcome::List(listed) = node.run(list(&latest)).await.unwrap().outcome else { panic!() };
    assert_eq!((listed.origin.path.to_bytes(), listed.origin.others), (bytes_of(&second), 1));
    let cat = Command::Cat { snapshot: named(&old), path: path.clone() };
    let Outcome::Cat(shown) = node.run(cat).await.unwrap().outcome else { panic!() };
    assert_eq!((shown.origin.path.to_bytes(), shown.origin.others), (bytes_of(&first), 0));
    assert_eq!(shown.snapshot, old);
    let diff = Command::Diff { old: named(&old), new: latest.clone(), path: RawPath::from("") };
    let Outcome::Diff(compared) = node.run(diff).await.unwrap().outcome else { panic!() };
    assert_eq!(compared.new, new);
    assert_eq!((compared.old_origin.others, compared.new_origin.others), (0, 1));
    let restore = Command::Restore {
        snapshot: latest,
        paths: Vec::new(),
        to: RawPath::from(node.home().join("../to").as_path()),
        overwrite: crate::command::Overwrite::Changed,
        dry_run: true,
    };
    let Outcome::Restore(done) = node.run(restore).await.unwrap().outcome else { panic!() };
    assert_eq!(done.origin, compared.new_origin);
}

// CLI-13
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_looks_hears_that_holders_are_away() {
    let (node, holder) = (TestNode::new("here").await, TestNode::new("there").await);
    holder.ask(Command::Offer { bytes: Some(ByteSize(1 << 30)), to: None }).await;
    pair(&node, &holder).await;
    let folder = node.folder("folder");
    plant(&folder);
    node.backup(&folder, Wait::Safe).await;
    for shard in fs::read_dir(node.home().join("depot")).unwrap() {
        let shard = shard.unwrap().path();
        if shard.is_dir() {
            fs::remove_dir_all(&shard).unwrap();
        }
    }
    holder.node.close().await;
    drop(holder);
    let cancel = CancellationToken::new();
    let (sink, mut events) = EventSink::channel(cancel.clone());
    let command =
        Command::List { snapshot: SnapshotName::Latest, path: RawPath::from(""), recursive: true };
    let listening = async {
        while let Some(event) = events.next().await {
            if let Event::Progress(progress) = event
                && progress.stage == Stage::Looking
            {
                cancel.cancel();
                return Some((progress.files_done, progress.files_total));
            }
        }
        None
    };
    let (ended, heard) = tokio::join!(node.node.run(command, sink), listening);
    assert_eq!(heard, Some((0, Some(1))), "{ended:?}");
    // So does a restore, which lets its thread end: it ends at once when it is told to.
    let cancel = CancellationToken::new();
    let (sink, mut events) = EventSink::channel(cancel.clone());
    let command = Command::Restore {
        snapshot: SnapshotName::Latest,
        paths: Vec::new(),
        to: RawPath::from(node.home().join("../to").as_path()),
        overwrite: crate::command::Overwrite::Changed,
        dry_run: false,
    };
    let listening = async {
        while let Some(event) = events.next().await {
            if matches!(event, Event::Progress(progress) if progress.stage == Stage::Looking) {
                cancel.cancel();
                return Some(std::time::Instant::now());
            }
        }
        None
    };
    let (ended, heard) = tokio::join!(node.node.run(command, sink), listening);
    assert_eq!(ended.unwrap_err().kind.code(), 130);
    assert!(heard.unwrap().elapsed().as_secs() < 30, "the wait for holders goes on");
}

// RESTORE-13
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_nobody_is_known_nobody_is_waited_for() {
    let node = TestNode::new("one").await;
    let folder = node.folder("folder");
    plant(&folder);
    node.backup(&folder, Wait::Local).await;
    for shard in fs::read_dir(node.home().join("depot")).unwrap() {
        let shard = shard.unwrap().path();
        if shard.is_dir() {
            fs::remove_dir_all(&shard).unwrap();
        }
    }
    let begun = std::time::Instant::now();
    let command =
        Command::List { snapshot: SnapshotName::Latest, path: RawPath::from(""), recursive: true };
    assert_eq!(node.run(command).await.err().unwrap().kind.code(), 4);
    assert!(begun.elapsed().as_secs() < 30);
}

fn bytes_of(path: &Path) -> Vec<u8> {
    path.as_os_str().as_bytes().to_vec()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_streams_in_bounded_pieces_with_its_holes() {
    let node = TestNode::new("one").await;
    let folder = node.folder("folder");
    plant(&folder);
    node.backup(&folder, Wait::Local).await;
    let cat = |path: &str| Command::Cat { snapshot: SnapshotName::Latest, path: path.into() };
    for name in ["a.txt", "small07", "sub/big", "sub/sparse"] {
        let said = node.run(cat(name)).await.unwrap();
        assert_eq!(said.bytes, fs::read(folder.join(name)).unwrap(), "{name}");
        assert!(said.piece_bytes_max <= 256 * 1024, "{name}");
        let Outcome::Cat(done) = said.outcome else { panic!() };
        assert_eq!(usize::try_from(done.bytes), Ok(said.bytes.len()));
    }
    for (name, word) in [("sub", "directory"), ("link", "symlink"), ("", "directory")] {
        let failure = node.run(cat(name)).await.err().unwrap();
        assert!(failure.message.contains(word), "{failure}");
    }
}

// TREE-19
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_what_changed_differs() {
    let node = TestNode::new("one").await;
    let folder = node.folder("folder");
    plant(&folder);
    let old = node.backup(&folder, Wait::Local).await;
    fs::write(folder.join("small03"), b"a neighbour of many in one bundle").unwrap();
    fs::rename(folder.join("sub/deep"), folder.join("moved")).unwrap();
    fs::remove_file(folder.join("link")).unwrap();
    fs::create_dir(folder.join("link")).unwrap();
    fs::write(folder.join("link/in"), b"1").unwrap();
    let new = node.backup(&folder, Wait::Local).await;
    let diff = |path: &str| Command::Diff { old: named(&old), new: named(&new), path: path.into() };
    let said = node.run(diff("")).await.unwrap();
    let changes: Vec<(ChangeKind, Vec<u8>)> = said
        .rows
        .iter()
        .map(|row| match row {
            Row::Change(change) => (change.change, change.path.to_bytes()),
            other => panic!("{other:?}"),
        })
        .collect();
    let expected: Vec<(ChangeKind, Vec<u8>)> = vec![
        (ChangeKind::Removed, b"link".into()),
        (ChangeKind::Added, b"link".into()),
        (ChangeKind::Added, b"link/in".into()),
        (ChangeKind::Added, b"moved".into()),
        (ChangeKind::Added, b"moved/bad\xff".into()),
        (ChangeKind::Changed, b"small03".into()),
        (ChangeKind::Attributes, b"sub".into()),
        (ChangeKind::Removed, b"sub/deep".into()),
        (ChangeKind::Removed, b"sub/deep/bad\xff".into()),
    ];
    assert_eq!(changes, expected);
    let below = node.run(diff("sub")).await.unwrap();
    assert_eq!(paths(&below.rows), [b"sub/deep".to_vec(), b"sub/deep/bad\xff".to_vec()]);
    let lone = node.run(diff("moved")).await.unwrap();
    assert_eq!(paths(&lone.rows), [b"moved".to_vec(), b"moved/bad\xff".to_vec()]);
    assert!(node.run(diff("nowhere")).await.is_err());
    let Outcome::Diff(done) = node.run(diff("")).await.unwrap().outcome else { panic!() };
    assert_eq!((done.added, done.removed, done.changed, done.attributes), (4, 3, 1, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_are_found_in_every_snapshot_until_it_is_forgotten() {
    let node = TestNode::new("one").await;
    let folder = node.folder("folder");
    plant(&folder);
    let first = node.backup(&folder, Wait::Local).await;
    fs::write(folder.join("sub/small99"), b"new").unwrap();
    let second = node.backup(&folder, Wait::Local).await;
    let find = |pattern: &str, snapshot| Command::Find { pattern: pattern.to_owned(), snapshot };
    let said = node.run(find("small?9", None)).await.unwrap();
    let found: Vec<(String, Vec<u8>)> = said
        .rows
        .iter()
        .map(|row| match row {
            Row::Found(found) => (found.snapshot.clone(), found.entry.path.to_bytes()),
            other => panic!("{other:?}"),
        })
        .collect();
    let of = |id: &String, path: &str| (id.clone(), path.as_bytes().to_vec());
    let expected = vec![
        of(&first, "small09"),
        of(&first, "small19"),
        of(&second, "small09"),
        of(&second, "small19"),
        of(&second, "sub/small99"),
    ];
    assert_eq!(found, expected);
    let one = node.run(find("sub/**", Some(named(&first)))).await.unwrap();
    assert_eq!(one.rows.len(), 4);

    let keep = Keep { last: 1, ..Keep::default() };
    let forget = |dry_run| Command::Forget { keep, dry_run };
    for dry_run in [true, false] {
        let Outcome::Forget(done) = node.ask(forget(dry_run)).await else { panic!() };
        assert_eq!(done.forgotten.len(), 1);
        assert_eq!(done.forgotten[0].snapshot, first);
        assert_eq!(done.kept[0].snapshot, second);
    }
    let Outcome::Forget(done) = node.ask(forget(false)).await else { panic!() };
    assert_eq!((done.kept.len(), done.forgotten.len()), (1, 0));
    assert!(node.run(find("*", Some(named(&first)))).await.is_err());
    let list = Command::Snapshots { device: Some("one".into()), path: Some(raw(&folder)) };
    let Outcome::Snapshots(done) = node.ask(list).await else { panic!() };
    let all: Vec<_> = done.snapshots.iter().map(|one| (&one.snapshot, one.safety)).collect();
    assert_eq!(all, [(&second, Safety::Local)]);
    // An empty set of rules is refused by the engine as well.
    let nothing = Command::Forget { keep: Keep::default(), dry_run: false };
    assert_eq!(node.run(nothing).await.err().unwrap().kind.code(), 2);
}
