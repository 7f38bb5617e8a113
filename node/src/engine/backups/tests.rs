//! Backups of several folders at once.

use std::fs;

use larder_protocol::placing::{Acquaintance, Input, Site};

use super::*;
use crate::{
    command::{Command, ExitKind},
    engine::testing::{TestNode, raw},
};

fn backup(paths: &[&std::path::Path]) -> Command {
    let paths = paths.iter().map(|path| raw(path)).collect();
    Command::Backup { paths, excludes: Vec::new(), wait: Wait::Local, timeout_s: None }
}

// FILES-38
#[tokio::test(flavor = "multi_thread")]
async fn one_folder_that_is_not_there_does_not_keep_the_others_from_being_saved() {
    let node = TestNode::new("here").await;
    let folders = ["first", "away", "last"].map(|name| node.folder(name));
    for folder in &folders {
        fs::write(folder.join("file"), b"x").unwrap();
    }
    let paths = folders.iter().map(|folder| raw(folder)).collect();
    node.ask(Command::Add { paths, excludes: Vec::new() }).await;
    fs::remove_dir_all(&folders[1]).unwrap();
    let outcome = node.ask(backup(&[])).await;
    assert_eq!(outcome.exit_kind(), ExitKind::Unreadable);
    let Outcome::Backup(done) = outcome else { panic!("{outcome:?}") };
    let saved: Vec<_> = done.snapshots.iter().map(|one| one.path.to_bytes()).collect();
    let expected = [&folders[0], &folders[2]].map(|folder| raw(folder).as_bytes().to_vec());
    assert_eq!(saved.len(), 2);
    assert!(expected.iter().all(|path| saved.contains(path)), "{saved:?}");
    assert_eq!(done.problems_total, 1);
}

// FILES-38
#[tokio::test(flavor = "multi_thread")]
async fn a_lone_folder_that_cannot_be_saved_is_a_failure_that_names_it() {
    let node = TestNode::new("here").await;
    let folder = node.folder("folder");
    fs::write(folder.join("file"), b"x").unwrap();
    for (name, says) in [("file", "is a file, not a folder"), ("absent", "there is no folder")] {
        let path = folder.join(name);
        let failure = node.run(backup(&[&path])).await.err().expect("this was to fail");
        assert_eq!(failure.kind, ExitKind::Failed);
        assert!(failure.message.contains(says), "{failure}");
        assert!(failure.message.contains(&path.display().to_string()), "{failure}");
    }
    let find = Command::Snapshots { device: None, path: None };
    let Outcome::Snapshots(listed) = node.ask(find).await else { panic!() };
    assert!(listed.snapshots.is_empty());
}

// CLI-16
#[tokio::test(flavor = "multi_thread")]
async fn the_clock_of_a_backup_starts_with_the_command() {
    let node = TestNode::new("here").await;
    let member = node.node.core.member().unwrap();
    let custody = member.custody().unwrap();
    // Somebody who is silent for now, and who is waited for: it has granted room.
    let holder = larder_protocol::ids::DeviceId::from_bytes([9; 32]);
    let (site, acquaintance) = (Site("away".to_owned()), Acquaintance::Granted);
    custody.tell(Input::HolderKnown { holder, site, acquaintance }).await;
    let folder = node.folder("folder");
    fs::write(folder.join("file"), b"x").unwrap();
    let Command::Backup { paths, .. } = backup(&[&folder]) else { panic!() };
    let (excludes, wait, timeout_s) = (Vec::new(), Wait::Safe, Some(0));
    let outcome = node.ask(Command::Backup { paths, excludes, wait, timeout_s }).await;
    assert_eq!(outcome.exit_kind(), ExitKind::Holders);
    let Outcome::Backup(done) = outcome else { panic!("{outcome:?}") };
    assert_eq!((done.snapshots.len(), done.snapshots[0].files), (1, 1), "it is complete");
    // What was left when the scanning was over: nothing.
    let sink = EventSink::nobody(tokio_util::sync::CancellationToken::new());
    let (begun, over) = (Instant::now(), Some(Instant::now()));
    let reached = wait_until_safe(&node.node.core, &member, over, &sink).await.unwrap();
    assert_eq!(reached, Wait::Local);
    assert!(begun.elapsed() < Duration::from_secs(5), "it went on waiting");
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_came_and_changed_are_counted() {
    let node = TestNode::new("here").await;
    let folder = node.folder("folder");
    fs::create_dir(folder.join("dir")).unwrap();
    for name in ["same", "changed", "dir/changed", "touched", "moved", "gone"] {
        fs::write(folder.join(name), name).unwrap();
    }
    node.ask(backup(&[&folder])).await;
    for name in ["changed", "dir/changed", "new", "dir/new"] {
        fs::write(folder.join(name), "other").unwrap();
    }
    fs::write(folder.join("touched"), "touched").unwrap();
    fs::rename(folder.join("moved"), folder.join("moved to")).unwrap();
    fs::remove_file(folder.join("gone")).unwrap();
    let Outcome::Backup(done) = node.ask(backup(&[&folder])).await else { panic!() };
    let snapshot = &done.snapshots[0];
    assert_eq!((snapshot.files_new, snapshot.files_changed), (3, 2), "{snapshot:?}");
}
