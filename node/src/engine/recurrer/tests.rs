//! Real nodes that back up by themselves; when they do is the machine's, and is not waited for here.

use std::{
    collections::BTreeSet,
    fs,
    sync::atomic::{AtomicBool, Ordering},
};

use larder_protocol::{ids::ChunkId, retention::Rules};

use super::{
    super::commit::{Change, commit, own_manifest},
    *,
};
use crate::{
    command::{Command, FoldersOutcome, Outcome, Snapshot, StatusOutcome, Wait},
    engine::testing::{TestNode, raw},
};

/// A node with these folders on its list, a file in each.
async fn node_with(names: &[&str]) -> (TestNode, Vec<PathBuf>) {
    let node = TestNode::new("here").await;
    let folders: Vec<PathBuf> = names.iter().map(|name| node.folder(name)).collect();
    for folder in &folders {
        fs::write(folder.join("file"), b"x").unwrap();
    }
    let paths = folders.iter().map(|folder| raw(folder)).collect();
    node.ask(Command::Add { paths, excludes: Vec::new() }).await;
    (node, folders)
}

async fn snapshots(node: &TestNode) -> Vec<Snapshot> {
    match node.ask(Command::Snapshots { device: None, path: None }).await {
        Outcome::Snapshots(listed) => listed.snapshots,
        other => panic!("{other:?}"),
    }
}

async fn status(node: &TestNode) -> StatusOutcome {
    match node.ask(Command::Status).await {
        Outcome::Status(status) => status,
        other => panic!("{other:?}"),
    }
}

async fn list(node: &TestNode) -> FoldersOutcome {
    match node.ask(Command::Folders).await {
        Outcome::Folders(folders) => folders,
        other => panic!("{other:?}"),
    }
}

async fn saved_all(node: &TestNode) {
    assert_eq!(back_up(&node.node.core).await, Came::Whole);
}

fn oldest(node: &TestNode) -> Option<u64> {
    oldest_ms(&node.node.core, wall()).unwrap()
}

// RECUR-1, RECUR-6
#[tokio::test(flavor = "multi_thread")]
async fn all_folders_are_saved_and_what_is_unchanged_makes_no_snapshot() {
    let (node, paths) = node_with(&["first", "last"]).await;
    assert_eq!(oldest(&node), Some(u64::MAX), "never");
    saved_all(&node).await;
    let made = snapshots(&node).await;
    assert_eq!(made.iter().map(|one| one.automatic).collect::<Vec<_>>(), [true, true]);
    assert!(oldest(&node).unwrap() < 60_000);
    let at = Timestamp(wall().0 - 7200);
    for path in &paths {
        node.node.core.state.note_saved(path, at).unwrap();
    }
    assert!(oldest(&node).unwrap() >= 7_200_000);
    saved_all(&node).await;
    assert_eq!(snapshots(&node).await, made);
    assert!(oldest(&node).unwrap() < 60_000, "it is known that nothing has changed");
    let listed = list(&node).await.folders;
    assert!(listed.iter().all(|folder| folder.saved > Some(at.into())), "{listed:?}");
    // Only of one: the other is as old as it is, and comes first.
    node.node.core.state.note_saved(&paths[1], at).unwrap();
    node.backup(&paths[0], Wait::Local).await;
    assert!(oldest(&node).unwrap() >= 7_200_000);
    assert_eq!(in_turn(&node.node.core).unwrap()[0].path, paths[1]);
    // A note of a clock that was wrong says nothing, and one that is a little ahead is fresh.
    node.node.core.state.note_saved(&paths[1], Timestamp(wall().0 + 2 * CLOCK_SLACK_S)).unwrap();
    assert_eq!(oldest(&node), Some(u64::MAX));
    node.node.core.state.note_saved(&paths[1], Timestamp(wall().0 + CLOCK_SLACK_S / 2)).unwrap();
    assert!(oldest(&node).unwrap() < 60_000);
    let paths = paths.iter().map(|path| raw(path)).collect();
    node.ask(Command::Remove { paths }).await;
    assert_eq!(oldest(&node), None);
    assert!(node.node.core.state.saved().unwrap().is_empty());
}

// RECUR-6: part of a folder is not the folder.
#[tokio::test(flavor = "multi_thread")]
async fn a_backup_without_some_of_a_folder_is_none_of_it() {
    let (node, _) = node_with(&["folder"]).await;
    let (paths, excludes) = (Vec::new(), vec!["file".to_owned()]);
    let (wait, timeout_s) = (Wait::Local, None);
    node.ask(Command::Backup { paths, excludes, wait, timeout_s }).await;
    assert_eq!(oldest(&node), Some(u64::MAX));
}

// RECUR-7
#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_asks_for_is_a_snapshot_of_its_own() {
    let (node, paths) = node_with(&["folder"]).await;
    saved_all(&node).await;
    node.backup(&paths[0], Wait::Local).await;
    let made: Vec<bool> = snapshots(&node).await.iter().map(|one| one.automatic).collect();
    assert_eq!(made, [true, false], "nothing has changed, and it was asked for");
    node.backup(&paths[0], Wait::Local).await;
    saved_all(&node).await;
    assert_eq!(snapshots(&node).await.len(), 2);
}

// RECUR-8, RET-7
#[tokio::test(flavor = "multi_thread")]
async fn only_what_was_saved_without_being_asked_for_is_thinned_out() {
    let (node, paths) = node_with(&["folder"]).await;
    let rules = Rules { last: 1, ..Rules::default() };
    assert_eq!(forget::thin(&node.node.core, rules).await.unwrap(), 0);
    for round in 0..4_u8 {
        fs::write(paths[0].join("file"), [round; 100]).unwrap();
        match round {
            1 => drop(node.backup(&paths[0], Wait::Local).await),
            _ => saved_all(&node).await,
        }
    }
    let before = snapshots(&node).await;
    assert_eq!(forget::thin(&node.node.core, Rules::default()).await.unwrap(), 0);
    assert_eq!(forget::thin(&node.node.core, rules).await.unwrap(), 2);
    let after = snapshots(&node).await;
    let ids = |all: &[Snapshot]| all.iter().map(|one| one.snapshot.clone()).collect::<Vec<_>>();
    assert_eq!(ids(&after), [ids(&before)[1].clone(), ids(&before)[3].clone()]);
    thin(&node.node.core).await;
    assert_eq!(snapshots(&node).await.len(), 2, "the settings keep both");
}

// RECUR-4, RECUR-10
#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_cannot_be_saved_is_told_of_until_it_can() {
    let (node, paths) = node_with(&["away", "here"]).await;
    let away = paths[0].with_file_name("elsewhere");
    fs::rename(&paths[0], &away).unwrap();
    assert_eq!(back_up(&node.node.core).await, Came::Partly);
    assert_eq!(snapshots(&node).await.len(), 1, "the other is saved");
    assert_eq!(oldest(&node), Some(u64::MAX));
    let says = |status: &StatusOutcome| {
        status.advice.iter().any(|advice| advice.text.contains("there is no folder"))
    };
    assert!(says(&status(&node).await));
    fs::rename(&away, &paths[0]).unwrap();
    node.backup(&paths[0], Wait::Local).await;
    assert!(!says(&status(&node).await), "it was saved since");
    fs::remove_dir_all(&paths[0]).unwrap();
    assert_eq!(back_up(&node.node.core).await, Came::Partly);
    node.ask(Command::Remove { paths: vec![raw(&paths[0])] }).await;
    assert!(!says(&status(&node).await), "it is on the list no more");
}

// RECUR-11
#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_has_lost_everything_is_not_saved_until_somebody_says_so() {
    let (node, paths) = node_with(&["disk"]).await;
    saved_all(&node).await;
    fs::remove_file(paths[0].join("file")).unwrap();
    assert_eq!(back_up(&node.node.core).await, Came::Nothing);
    let last = snapshots(&node).await.pop().unwrap();
    assert_eq!(last.files, 1, "what was saved stays the newest");
    let said = status(&node).await;
    assert!(said.advice.iter().any(|advice| advice.text.contains("is empty, and 1 file")));
    // Somebody looks after it, and means it.
    node.backup(&paths[0], Wait::Local).await;
    assert_eq!(snapshots(&node).await.pop().unwrap().files, 0);
    saved_all(&node).await;
    // A directory is left: that is no disk that is not there.
    fs::write(paths[0].join("file"), b"x").unwrap();
    saved_all(&node).await;
    fs::remove_file(paths[0].join("file")).unwrap();
    fs::create_dir(paths[0].join("empty")).unwrap();
    saved_all(&node).await;
}

// RECUR-11: the first backup was cut off, and the disk is not there when it is to go on.
#[tokio::test(flavor = "multi_thread")]
async fn what_has_been_saved_of_a_folder_so_far_is_not_given_up_for_nothing() {
    let (node, paths) = node_with(&["disk", "other"]).await;
    fs::remove_file(paths[0].join("file")).unwrap();
    let core = &node.node.core;
    assert_eq!(back_up(core).await, Came::Partly, "empty from the beginning: nobody has said so");
    let member = core.member().unwrap();
    let mut checkpoint = own_manifest(core, &member).unwrap().snapshots.pop().unwrap();
    checkpoint.root_path = paths[0].as_os_str().as_encoded_bytes().to_vec().into();
    (checkpoint.id, checkpoint.complete) = (ChunkId::from_bytes([7; 32]), false);
    (checkpoint.files, checkpoint.bytes) = (1000, 1 << 30);
    let change = Change { add: Some(checkpoint), ..Change::default() };
    let working = Arc::clone(core);
    let work = move || commit(&working, &member, member.custody()?, change);
    on_disk(work).await.unwrap();
    assert_eq!(back_up(core).await, Came::Partly);
    assert_eq!(snapshots(&node).await.len(), 2, "the checkpoint is there");
    let said = status(&node).await;
    assert!(said.advice.iter().any(|advice| advice.text.contains("and 1000 files")), "{said:?}");
}

// RECUR-13
#[tokio::test(flavor = "multi_thread")]
async fn a_run_makes_way_for_what_somebody_asks_for() {
    let (node, folders) = node_with(&["folder"]).await;
    let core = &node.node.core;
    let events = EventSink::nobody(CancellationToken::new());
    let way = core.recurrer.make_way(&events).await.unwrap();
    assert_eq!(back_up(core).await, Came::MadeWay, "somebody is at work");
    let is_told = async || {
        let told = |advice: &Advice| advice.text.contains("by itself for 4 hours");
        status(&node).await.advice.iter().any(told)
    };
    assert!(!is_told().await);
    // RECUR-14: after long it is told of, for as long as it goes on.
    let long_ago = Timestamp(wall().0 - 4 * 3_600);
    core.recurrer.last().kept_away = Some(long_ago);
    assert_eq!(back_up(core).await, Came::MadeWay);
    assert!(is_told().await);
    drop(way);
    assert!(!is_told().await);
    // Who is waited for in vain can be given up.
    let alone = core.recurrer.way.try_write().unwrap();
    let gone = EventSink::nobody(CancellationToken::new());
    gone.token().cancel();
    core.recurrer.make_way(&gone).await.unwrap_err();
    drop(alone);
    // A run that is under way ends, and takes less time than the whole of it would.
    many_files(&folders[0]);
    let (came, way) = tokio::join!(back_up(core), async {
        while core.recurrer.way.try_read().is_ok() {
            tokio::task::yield_now().await;
        }
        core.recurrer.make_way(&events).await
    });
    assert_eq!(came, Came::MadeWay);
    drop(way.unwrap());
    saved_all(&node).await;
    assert_eq!(snapshots(&node).await.pop().unwrap().files, 5001);
}

/// So many that a backup of them takes its time.
fn many_files(folder: &Path) {
    for number in 0..5000_u32 {
        fs::write(folder.join(number.to_string()), number.to_le_bytes().repeat(500)).unwrap();
    }
}

// RECUR-12
#[tokio::test(flavor = "multi_thread")]
async fn a_run_steps_back_behind_the_work_of_people() {
    let (node, folders) = node_with(&["folder"]).await;
    many_files(&folders[0]);
    let is_over = Arc::new(AtomicBool::new(false));
    let watched = Arc::clone(&is_over);
    let watching = std::thread::spawn(move || {
        let mut seen = BTreeSet::new();
        while !watched.load(Ordering::Relaxed) {
            seen.extend(nice_threads());
        }
        seen
    });
    saved_all(&node).await;
    is_over.store(true, Ordering::Relaxed);
    // The thread itself, and some of those that it starts.
    let seen = watching.join().unwrap();
    assert!(seen.len() >= 3, "{seen:?}");
}

/// Threads of this process that come from `aside` and have stepped back.
fn nice_threads() -> BTreeSet<u32> {
    let wanted = (rustix::process::nice(0).unwrap() + 10).min(19).to_string();
    let stepped_back = |task: &Path| {
        let stat = fs::read_to_string(task.join("stat")).unwrap_or_default();
        let (name, facts) = stat.rsplit_once(')')?;
        let nice = facts.split_whitespace().nth(16)?;
        (name.ends_with("(aside") && nice == wanted).then_some(())
    };
    let tasks = fs::read_dir("/proc/self/task").unwrap().flatten();
    let tasks = tasks.filter(|task| stepped_back(&task.path()).is_some());
    tasks.filter_map(|task| task.file_name().to_str()?.parse().ok()).collect()
}

// RECUR-10
#[test]
fn what_was_not_read_is_told_in_words() {
    let said = |number| Trouble::Unreadable(number).told(Path::new("/docs")).text;
    assert_eq!(said(1), "in /docs there is 1 entry that could not be read, and was not saved");
    assert_eq!(said(2), "in /docs there are 2 entries that could not be read, and were not saved");
}

// RECUR-5
#[test]
fn a_fault_of_this_program_is_an_answer_as_well() {
    let order = OrderId(4);
    for output in [Output::Look { order }, Output::BackUp { order }, Output::Thin { order }] {
        let (Input::Looked { order: answered, .. }
        | Input::BackedUp { order: answered, .. }
        | Input::Thinned { order: answered }) = without_answer(output)
        else {
            panic!("no answer to {output:?}")
        };
        assert_eq!(answered, order);
    }
}
