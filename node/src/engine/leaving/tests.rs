//! Real nodes that go apart: what is moved, what stays, what a crash leaves.

use std::{fs, time::Instant};

use larder_protocol::{
    leaving::DaysSeen,
    limits::{LEAVING_DAY_S, LEAVING_DAYS},
    time::Timestamp,
    wire::message::{Answer, Request},
};

use super::*;
use crate::{
    command::{Command, ExitKind, LeavingCircle, Overwrite, SnapshotName, Wait, WhoLeaves},
    engine::testing::{PATIENCE, TestNode, admit, pair, raw},
};

fn leave(whom: &str, act: LeaveAct) -> Command {
    Command::Leave { whom: Some(whom.to_owned()), act }
}

fn vault_of(node: &TestNode) -> VaultId {
    node.node.core.member().unwrap().vault
}

async fn circle(node: &TestNode, of: &TestNode) -> LeavingCircle {
    said(node, &vault_of(of).to_string(), LeaveAct::Show).await
}

async fn said(node: &TestNode, whom: &str, act: LeaveAct) -> LeavingCircle {
    match node.ask(leave(whom, act)).await {
        Outcome::Leave(mut done) => done.circles.remove(0),
        other => panic!("{other:?}"),
    }
}

/// Has both look again and again until it is so.
async fn until(what: &str, nodes: &[&TestNode], test: impl AsyncFn() -> bool) {
    let begun = Instant::now();
    while !test().await {
        assert!(begun.elapsed() < PATIENCE, "{what}");
        for node in nodes {
            node.node.core.leaving.wake();
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Anna backs up to Bob and Carol, who back up to each other and to her.
async fn three() -> [TestNode; 3] {
    let nodes = [
        TestNode::holder("anna").await,
        TestNode::holder("bob").await,
        TestNode::holder("carol").await,
    ];
    let [anna, bob, carol] = &nodes;
    pair(anna, bob).await;
    pair(anna, carol).await;
    pair(bob, carol).await;
    for node in &nodes {
        let folder = node.folder("data");
        fs::write(folder.join("dear"), vec![7; 300_000]).unwrap();
        node.backup(&folder, Wait::Safe).await;
    }
    nodes
}

fn knows(node: &TestNode, other: &TestNode) -> bool {
    let core = &node.node.core;
    let vault = vault_of(other);
    let is_peer = core.state.peers().unwrap().iter().any(|peer| peer.vault == vault);
    is_peer || core.vaults.read().contains_key(&vault)
}

fn kept(node: &TestNode, of: &TestNode) -> u64 {
    node.node.core.holding.kept_for(vault_of(of)).0
}

// LEAVE-1, LEAVE-3, LEAVE-7
#[tokio::test]
async fn two_vaults_part_and_both_can_still_restore_everything() {
    let [anna, bob, carol] = three().await;
    let before = circle(&anna, &bob).await;
    assert_eq!((before.who, before.copies_now, before.copies_after), (None, 2, 1));
    assert!(before.there.packs > 0 && before.kept_shards > 0);
    let begun = said(&anna, "bob", LeaveAct::Want).await;
    assert_eq!(begun.who, Some(WhoLeaves::Us));
    assert!(kept(&bob, &anna) > 0 && kept(&anna, &bob) > 0);
    // She accepted that there is one place less; he has not.
    until("anna waives", &[&anna], async || circle(&anna, &bob).await.ours.waived).await;
    until("bob hears of it", &[&anna, &bob], async || {
        circle(&bob, &anna).await.days_left.is_some()
    })
    .await;
    let his = circle(&bob, &anna).await;
    assert_eq!((his.who, his.ours.waived), (Some(WhoLeaves::Them), false));
    assert!(his.days_left.is_some_and(|days| days >= LEAVING_DAYS - 1), "{his:?}");
    assert!(kept(&bob, &anna) > 0, "against thieves it waits");
    said(&bob, "anna", LeaveAct::GiveUp).await;
    until("anna knows", &[&anna, &bob], async || circle(&anna, &bob).await.theirs.waived).await;
    // Whichever ends first, the other one finds it gone.
    for (node, other) in [(&bob, &anna), (&anna, &bob)] {
        if knows(node, other) {
            said(node, &vault_of(other).to_string(), LeaveAct::Drop).await;
        }
    }
    let over = async || !knows(&anna, &bob) && !knows(&bob, &anna);
    until("both forget", &[&anna, &bob], over).await;
    assert_eq!((kept(&anna, &bob), kept(&bob, &anna)), (0, 0));
    assert!(circle(&anna, &bob).await.done && circle(&bob, &anna).await.done);
    for node in [&anna, &bob] {
        let target = node.folder("restored");
        let restore = Command::Restore {
            snapshot: SnapshotName::Latest,
            paths: Vec::new(),
            to: raw(&target),
            overwrite: Overwrite::Never,
            dry_run: false,
        };
        node.ask(restore).await;
    }
    // What is new goes to who is left, and nobody else is touched.
    let folder = anna.folder("more");
    fs::write(folder.join("new"), b"the next day").unwrap();
    anna.backup(&folder, Wait::Safe).await;
    assert!(knows(&anna, &carol) && knows(&carol, &bob));
}

// LEAVE-2
#[tokio::test]
async fn a_device_that_has_not_waived_keeps_everything_where_it_is() {
    let anna = TestNode::holder("anna").await;
    let bob = TestNode::holder("bob").await;
    pair(&anna, &bob).await;
    let folder = anna.folder("data");
    fs::write(folder.join("dear"), vec![7; 300_000]).unwrap();
    anna.backup(&folder, Wait::Safe).await;
    let at_bob = kept(&bob, &anna);
    // Bob wants out, and she has nobody else.
    said(&bob, "anna", LeaveAct::Want).await;
    said(&bob, "anna", LeaveAct::Drop).await;
    until("anna hears", &[&bob], async || circle(&anna, &bob).await.who == Some(WhoLeaves::Them))
        .await;
    for _ in 0..10 {
        anna.node.core.leaving.wake();
        bob.node.core.leaving.wake();
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let hers = circle(&anna, &bob).await;
    assert!(!hers.ours.waived && hers.there.moving_packs > 0, "{hers:?}");
    assert_eq!(kept(&bob, &anna), at_bob, "it may be the only copy");
    let his = circle(&bob, &anna).await;
    assert_eq!(his.theirs.waits_for, ["anna"]);
    // It is his disk all the same.
    said(&bob, "anna", LeaveAct::DropRegardless).await;
    until("bob forgets", &[&bob], async || !knows(&bob, &anna)).await;
    assert_eq!(kept(&bob, &anna), 0);
    assert!(knows(&anna, &bob), "she goes on looking for a place");
}

// LEAVE-1, LEAVE-2
#[tokio::test]
async fn every_device_of_a_vault_is_waited_for_and_learns_from_the_others() {
    let [anna, bob, carol] = three().await;
    let phone = TestNode::bare().await;
    admit(&anna, &phone, "anna-phone").await;
    let folder = phone.folder("pictures");
    fs::write(folder.join("one"), vec![3; 200_000]).unwrap();
    phone.backup(&folder, Wait::Safe).await;
    said(&anna, "bob", LeaveAct::Want).await;
    // The phone has never met Bob: it hears of it from the laptop.
    until("both waive", &[&anna, &phone], async || circle(&anna, &bob).await.ours.waived).await;
    until("bob hears", &[&anna, &bob, &phone], async || circle(&bob, &anna).await.theirs.waived)
        .await;
    assert!(
        !phone
            .node
            .core
            .state
            .peers()
            .unwrap()
            .iter()
            .any(|peer| { peer.vault == vault_of(&bob) && peer.is_holder })
    );
    let receipts = phone.node.core.state.all_receipts().unwrap();
    let of_bob = bob.node.core.keys.id();
    assert!(receipts.iter().all(|receipt| receipt.body.holder != of_bob), "no copy there counts");
    assert!(knows(&anna, &carol));
}

// LEAVE-4
#[tokio::test]
async fn what_was_said_outlives_a_crash_at_each_step() {
    let [anna, bob, _carol] = three().await;
    said(&anna, "bob", LeaveAct::Want).await;
    until("anna waives", &[&anna], async || circle(&anna, &bob).await.ours.waived).await;
    // As a crash would leave it: the word is durable, and the holder counts still.
    anna.node.core.state.rely_anew(&vault_of(&bob)).unwrap();
    let anna = anna.reopen().await;
    let is_holder = || {
        let peers = anna.node.core.state.peers().unwrap();
        peers.iter().any(|peer| peer.vault == vault_of(&bob) && peer.is_holder)
    };
    until("it counts no more", &[], async || !is_holder()).await;
    let stands = circle(&anna, &bob).await;
    assert_eq!((stands.who, stands.ours.waived), (Some(WhoLeaves::Us), true));
    // Days that were seen are seen after a restart.
    until("bob hears", &[&anna, &bob], async || circle(&bob, &anna).await.days_left.is_some())
        .await;
    let bob = bob.reopen().await;
    assert!(circle(&bob, &anna).await.days_left.is_some());
}

// LEAVE-3
#[tokio::test]
async fn after_ninety_days_that_were_seen_it_goes_by_itself() {
    let [anna, bob, _carol] = three().await;
    said(&anna, "bob", LeaveAct::Want).await;
    until("bob hears", &[&anna, &bob], async || circle(&bob, &anna).await.days_left.is_some())
        .await;
    let state = &bob.node.core.state;
    let of = vault_of(&anna);
    let since = state.leaving_days(&of).unwrap().unwrap().since();
    let day = |number: u64| {
        Timestamp(wall().0 - u64::from(LEAVING_DAYS) * LEAVING_DAY_S + number * LEAVING_DAY_S)
    };
    let mut days = DaysSeen::begin(since, day(0));
    for number in 1..u64::from(LEAVING_DAYS) {
        days = days.seen(day(number)).unwrap();
    }
    assert_eq!(days.left(), 1);
    state.keep_leaving_days(&of, Some(days)).unwrap();
    // The last one is seen now.
    until("it goes", &[&bob], async || kept(&bob, &anna) == 0).await;
}

// LEAVE-6
#[tokio::test]
async fn who_stays_after_all_is_a_holder_as_before() {
    let [anna, bob, _carol] = three().await;
    said(&anna, "bob", LeaveAct::Want).await;
    until("bob hears", &[&anna, &bob], async || circle(&bob, &anna).await.theirs.waived).await;
    let refused = bob.run(leave("anna", LeaveAct::Cancel)).await.err().unwrap();
    assert_eq!(refused.kind, ExitKind::Usage, "only who wished it can take it back");
    said(&anna, "bob", LeaveAct::Cancel).await;
    until("together", &[&anna, &bob], async || {
        let (hers, his) = (circle(&anna, &bob).await, circle(&bob, &anna).await);
        hers.who.is_none() && his.who.is_none() && his.days_left.is_none()
    })
    .await;
    let folder = anna.folder("more");
    fs::write(folder.join("new"), vec![9; 200_000]).unwrap();
    anna.backup(&folder, Wait::Safe).await;
    until("bob keeps it", &[&anna], async || circle(&anna, &bob).await.there.packs > 0).await;
}

// LEAVE-6
#[tokio::test]
async fn who_has_left_can_be_paired_again() {
    let anna = TestNode::holder("anna").await;
    let bob = TestNode::holder("bob").await;
    pair(&anna, &bob).await;
    said(&anna, "bob", LeaveAct::Want).await;
    let over = async || !knows(&anna, &bob) && !knows(&bob, &anna);
    until("they part", &[&anna, &bob], over).await;
    pair(&bob, &anna).await;
    until("together", &[&anna, &bob], async || {
        circle(&anna, &bob).await.who.is_none() && circle(&bob, &anna).await.who.is_none()
    })
    .await;
    let folder = anna.folder("data");
    fs::write(folder.join("dear"), vec![7; 300_000]).unwrap();
    anna.backup(&folder, Wait::Safe).await;
    assert!(kept(&bob, &anna) > 0);
}

/// A word of a device with a number that nobody has heard yet.
fn said_by(node: &TestNode, about: &TestNode, number: u64) -> LeavingWord {
    let member = node.node.core.member().unwrap();
    let body = WordBody {
        version: VERSION,
        vault: member.vault,
        device: member.keys.id(),
        other: vault_of(about),
        number,
        wish: Some(Wish { number, leaves: true, stayed: 0 }),
        waives: Some(number),
    };
    LeavingWord::sign(body, &member.keys).unwrap()
}

async fn tell(from: &TestNode, to: &TestNode, words: &[LeavingWord]) -> Vec<Vec<u8>> {
    let words = words.iter().map(|word| word.bytes().to_vec().into()).collect();
    let peer = from.node.core.net.peer(to.node.core.keys.id());
    match peer.request(&Request::Leaving { words }).await.unwrap() {
        Answer::LeavingIs { words } => words.into_iter().map(Into::into).collect(),
        other => panic!("{other:?}"),
    }
}

// LEAVE-5
#[tokio::test]
async fn nobody_says_anything_for_others_and_a_third_is_told_nothing() {
    let [anna, bob, carol] = three().await;
    let hers = said_by(&anna, &bob, wall().0);
    // Carol brings Bob what Anna has said: it is not between Carol and him.
    assert!(tell(&carol, &bob, std::slice::from_ref(&hers)).await.is_empty());
    assert_eq!(*bob.node.core.leaving.words(), Words::default());
    // Anna does, and he shows that he knows it; Carol hears nothing of it.
    assert_eq!(tell(&anna, &bob, std::slice::from_ref(&hers)).await, [hers.bytes()]);
    assert!(
        bob.node
            .core
            .leaving
            .words()
            .of(Pair { vault: vault_of(&anna), other: vault_of(&bob) }, &anna.node.core.keys.id())
            .is_some()
    );
    assert!(tell(&carol, &bob, &[]).await.is_empty());
    // What he says of himself nobody says for him.
    let his = said_by(&bob, &anna, wall().0);
    tell(&anna, &bob, std::slice::from_ref(&his)).await;
    let pair = Pair { vault: vault_of(&bob), other: vault_of(&anna) };
    let own = bob.node.core.leaving.words().of(pair, &bob.node.core.keys.id()).cloned();
    assert_ne!(own, Some(his));
}

// LEAVE-5, LEAVE-4
#[tokio::test]
async fn who_does_not_believe_a_word_is_offered_nothing() {
    let [anna, bob, _carol] = three().await;
    let core = &anna.node.core;
    // Of a clock that is years ahead: Bob passes it over.
    core.leaving.words().say(said_by(&anna, &bob, wall().0 + 100_000_000));
    let member = core.member().unwrap();
    for _again in 0..2 {
        let told = met(core, &member, bob.node.core.keys.id()).await;
        assert!(matches!(told, Err(EngineError::NotTold)), "{told:?}");
    }
}

// LEAVE-7
#[tokio::test]
async fn the_side_that_is_left_ends_as_well_however_many_devices_it_has() {
    let [anna, bob, carol] = three().await;
    let phone = TestNode::bare().await;
    admit(&bob, &phone, "bob-phone").await;
    pair(&carol, &anna).await;
    said(&anna, "bob", LeaveAct::Want).await;
    until("bob hears", &[&anna, &bob], async || circle(&bob, &anna).await.who.is_some()).await;
    // Taken in after the wish, and by somebody who has waived: it hears of it from him.
    said(&bob, "anna", LeaveAct::GiveUp).await;
    until("bob waives", &[&bob], async || {
        let waiting = circle(&bob, &anna).await.ours.waits_for;
        !waiting.contains(&"bob".to_owned())
    })
    .await;
    let late = TestNode::bare().await;
    admit(&bob, &late, "bob-desk").await;
    let all = [&anna, &bob, &phone, &late, &carol];
    until("all of his waive", &all, async || circle(&anna, &bob).await.theirs.waived).await;
    said(&anna, "bob", LeaveAct::Drop).await;
    said(&bob, "anna", LeaveAct::Drop).await;
    let over = async || !knows(&anna, &bob) && !knows(&bob, &anna);
    until("both forget", &all, over).await;
    for _ in 0..5 {
        all.iter().for_each(|node| node.node.core.leaving.wake());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let pair = Pair { vault: vault_of(&bob), other: vault_of(&anna) };
    for device in [&bob, &phone, &late] {
        let words = device.node.core.leaving.words();
        let own = words.of(pair, &device.node.core.keys.id());
        assert!(own.is_some_and(|word| word.body().waives.is_some()), "it stays waived");
    }
    assert!(circle(&anna, &bob).await.done && circle(&bob, &anna).await.done);
}

// LEAVE-6, LEAVE-4
#[tokio::test]
async fn what_was_erased_meanwhile_counts_for_nothing_when_the_two_are_together_again() {
    let anna = TestNode::holder("anna").await;
    let bob = TestNode::holder("bob").await;
    pair(&anna, &bob).await;
    let folder = anna.folder("data");
    fs::write(folder.join("dear"), vec![7; 300_000]).unwrap();
    anna.backup(&folder, Wait::Safe).await;
    let before = kept(&bob, &anna);
    // She has nobody else, so she has waived nothing; he erases all the same.
    said(&bob, "anna", LeaveAct::Want).await;
    until("anna hears", &[&bob], async || circle(&anna, &bob).await.who.is_some()).await;
    said(&bob, "anna", LeaveAct::DropRegardless).await;
    until("bob forgets", &[&bob], async || !knows(&bob, &anna)).await;
    let anna = anna.reopen().await;
    pair(&bob, &anna).await;
    until("together", &[&anna, &bob], async || circle(&anna, &bob).await.who.is_none()).await;
    fs::write(folder.join("new"), b"the next day").unwrap();
    anna.backup(&folder, Wait::Safe).await;
    assert!(kept(&bob, &anna) >= before, "everything was sent once more");
    let id = bob.node.core.keys.id();
    let held = anna.node.core.state.heads_held().unwrap();
    let newest = anna.node.core.state.commit_of(&anna.node.core.keys.id()).unwrap().unwrap().seq;
    assert!(held.contains(&(id, newest)), "{held:?}");
}

// LEAVE-4
#[tokio::test]
async fn a_crash_while_a_waiver_is_taken_back_leaves_no_holder_out() {
    let [anna, bob, _carol] = three().await;
    said(&anna, "bob", LeaveAct::Want).await;
    until("anna waives", &[&anna], async || circle(&anna, &bob).await.ours.waived).await;
    said(&anna, "bob", LeaveAct::Cancel).await;
    until("together", &[&anna], async || circle(&anna, &bob).await.who.is_none()).await;
    let of = vault_of(&bob);
    let is_holder = |node: &TestNode| {
        let peers = node.node.core.state.peers().unwrap();
        peers.iter().any(|peer| peer.vault == of && peer.is_holder)
    };
    until("it counts", &[&anna], async || is_holder(&anna)).await;
    // As a crash would leave it: the words are back, the holder is not.
    anna.node.core.state.go_apart(&of).unwrap();
    anna.node.core.state.stop_relying(&of).unwrap();
    let anna = anna.reopen().await;
    until("it counts again", &[], async || is_holder(&anna)).await;
    let folder = anna.folder("more");
    fs::write(folder.join("new"), vec![9; 200_000]).unwrap();
    anna.backup(&folder, Wait::Safe).await;
    until("bob keeps it", &[&anna], async || circle(&anna, &bob).await.there.packs > 0).await;
}
