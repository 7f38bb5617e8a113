//! Snapshots that somebody names: pinned, unpinned, forgotten.

use std::fs;

use super::*;
use crate::{
    command::{Command, Wait},
    engine::testing::{TestNode, named},
};

fn forget(ids: &[&str], even_last: bool, dry_run: bool) -> Command {
    let snapshots = ids.iter().map(|id| named(id)).collect();
    Command::ForgetNamed { snapshots, even_last, dry_run }
}

fn pin(id: &str, pinned: bool) -> Command {
    Command::Pin { snapshots: vec![named(id)], pinned }
}

async fn listed(node: &TestNode) -> Vec<(String, bool)> {
    match node.ask(Command::Snapshots { device: None, path: None }).await {
        Outcome::Snapshots(done) => {
            done.snapshots.into_iter().map(|one| (one.snapshot, one.pinned)).collect()
        }
        other => panic!("{other:?}"),
    }
}

/// So many snapshots of one folder, oldest first.
async fn saved(node: &TestNode, folder: &str, count: u8) -> Vec<String> {
    let folder = node.folder(folder);
    let mut ids = Vec::new();
    for number in 0..count {
        fs::write(folder.join("file"), [number; 100]).unwrap();
        ids.push(node.backup(&folder, Wait::Local).await);
    }
    ids
}

// RET-10
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pin_outlives_rules_restarts_and_later_backups() {
    let node = TestNode::new("one").await;
    let ids = saved(&node, "docs", 3).await;
    let Outcome::Pin(done) = node.ask(pin(&ids[0], true)).await else { panic!() };
    assert!(done.pinned && done.snapshots.len() == 1 && done.snapshots[0].pinned, "{done:?}");
    // Once more changes nothing: no commit is made.
    let seq = |node: &TestNode| {
        let core = &node.node.core;
        core.state.commit_of(&core.keys.id()).unwrap().unwrap().seq
    };
    let before = seq(&node);
    node.ask(pin(&ids[0], true)).await;
    assert_eq!(seq(&node), before);
    let node = node.reopen().await;
    let keep = Keep { last: 1, ..Keep::default() };
    let Outcome::Forget(done) = node.ask(Command::Forget { keep, dry_run: false }).await else {
        panic!()
    };
    assert_eq!(done.forgotten.len(), 1);
    assert_eq!(listed(&node).await, [(ids[0].clone(), true), (ids[2].clone(), false)]);
    let more = saved(&node, "more", 1).await;
    assert!(listed(&node).await.contains(&(ids[0].clone(), true)));
    let failure = node.run(forget(&[&ids[0]], false, false)).await.err().expect("it is pinned");
    assert!(failure.message.contains("is pinned"), "{failure}");
    assert!(failure.hint.unwrap().contains("larder unpin"));
    node.ask(pin(&ids[0], false)).await;
    node.ask(forget(&[&ids[0]], false, false)).await;
    assert_eq!(listed(&node).await, [(ids[2].clone(), false), (more[0].clone(), false)]);
}

// RET-11
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_named_goes_as_a_whole_or_not_at_all() {
    let node = TestNode::new("one").await;
    let (docs, mail) = (saved(&node, "docs", 3).await, saved(&node, "mail", 1).await);
    let Outcome::Forget(done) = node.ask(forget(&[&docs[1]], false, true)).await else { panic!() };
    assert!(done.dry_run && done.forgotten.len() == 1 && done.kept.len() == 3, "{done:?}");
    assert_eq!(listed(&node).await.len(), 4);
    // One that has to stay keeps the others from going.
    let failure = node.run(forget(&[&docs[0], &mail[0]], false, false)).await.err().unwrap();
    assert!(failure.message.contains("no complete one of its folder"), "{failure}");
    assert!(node.run(forget(&[&docs[0], "ffff"], false, false)).await.is_err());
    assert_eq!(listed(&node).await.len(), 4);
    let busy = node.node.core.relying.read().await;
    let failure = node.run(forget(&[&docs[0]], false, false)).await.err().unwrap();
    assert!(failure.message.contains("is running"), "{failure}");
    drop(busy);
    node.ask(forget(&[&docs[0], &docs[2], &mail[0]], true, false)).await;
    assert_eq!(listed(&node).await, [(docs[1].clone(), false)]);
}
