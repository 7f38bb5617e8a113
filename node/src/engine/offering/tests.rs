//! Room for one vault: by the invitation, by word afterwards, through a restart and through going apart.

use std::time::Instant;

use super::*;
use crate::{
    command::{Command, DeviceRole, Guest, InviteKind, LeaveAct, Waiting},
    engine::{
        contact,
        testing::{PATIENCE, TestNode},
    },
    state::circle::PeerRow,
};

const MIB: u64 = 1 << 20;

/// `guest` comes to `host` by such an invitation.
async fn come(host: &TestNode, guest: &TestNode, kind: InviteKind, terms: Guest) {
    let role = DeviceRole::Owner;
    let invite = Command::Invite { kind, role, guest: terms, expires_s: 600, waiting: Waiting::No };
    let Outcome::Invite(invited) = host.ask(invite).await else { panic!() };
    let join = Command::Join { code: invited.code, name: None, site: None, asks: false };
    guest.ask(join).await;
}

fn terms(allowed: u64, called: &str) -> Guest {
    Guest { allowed: Some(ByteSize(allowed)), called: Some(called.to_owned()) }
}

async fn offer(node: &TestNode, bytes: Option<u64>, to: &str) -> OfferedTo {
    let (bytes, to) = (bytes.map(ByteSize), Some(to.to_owned()));
    match node.ask(Command::Offer { bytes, to }).await {
        Outcome::Offer(mut done) => done.vaults.remove(0),
        other => panic!("{other:?}"),
    }
}

/// What a node knows of the only other one.
fn peer(node: &TestNode) -> PeerRow {
    node.node.core.state.peers().unwrap().remove(0)
}

/// Waits until a node that greets the other one is told that so much is granted to it.
async fn is_granted(node: &TestNode, bytes: u64) {
    let begun = Instant::now();
    while peer(node).granted_bytes != bytes {
        assert!(begun.elapsed() < PATIENCE, "{} bytes are granted", peer(node).granted_bytes);
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        let (core, member) = (&node.node.core, node.node.core.member().unwrap());
        // The other one may be on its way up.
        let _greeted = contact::greet(core, &member, peer(node).device).await;
    }
}

// PAIR-24, PAIR-25, HOLD-11
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guest_has_its_room_gives_none_and_both_stay_so_after_a_restart() {
    let (host, guest) = (TestNode::holder("host").await, TestNode::holder("guest").await);
    come(&host, &guest, InviteKind::OneWay, terms(300 * MIB, "anna")).await;
    assert_eq!(peer(&guest).granted_bytes, 300 * MIB);
    assert_eq!(peer(&host).granted_bytes, 0);
    // The guest, which goes on running, is called by the host from where that is now.
    let host = host.reopen().await;
    let there = offer(&host, None, "anna").await;
    assert_eq!((there.name.as_str(), there.allowed_bytes), ("anna", Some(300 * MIB)));
    assert_eq!(offer(&guest, None, "host").await.allowed_bytes, Some(0));
    is_granted(&guest, 300 * MIB).await;
    // The guest places there, and the host not with the guest.
    let folder = guest.folder("photos");
    std::fs::write(folder.join("one"), vec![7; 100_000]).unwrap();
    guest.backup(&folder, crate::command::Wait::Safe).await;
    let there = offer(&host, None, "anna").await;
    assert!(there.kept_bytes > 0 && there.kept_shards > 0, "{there:?}");
    let here = offer(&guest.reopen().await, None, "host").await;
    assert_eq!((here.allowed_bytes, here.kept_shards), (Some(0), 0));
}

// HOLD-11
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_room_is_told_at_once_and_less_takes_nothing_away() {
    let (host, guest) = (TestNode::holder("host").await, TestNode::holder("guest").await);
    come(&host, &guest, InviteKind::Circle, terms(300 * MIB, "anna")).await;
    let folder = guest.folder("photos");
    std::fs::write(folder.join("one"), vec![7; 100_000]).unwrap();
    guest.backup(&folder, crate::command::Wait::Safe).await;
    let kept = offer(&host, None, "anna").await.kept_bytes;
    assert!(kept > 0);
    for bytes in [400 * MIB, 0, 5 * MIB] {
        // By what it is called here, by its device's name, and by its id.
        let vault = guest.node.core.member().unwrap().vault.to_string();
        for whom in ["anna", "guest", &vault[..12]] {
            assert_eq!(offer(&host, Some(bytes), whom).await.allowed_bytes, Some(bytes));
        }
        is_granted(&guest, bytes).await;
        assert_eq!(offer(&host, None, "anna").await.kept_bytes, kept);
    }
    // More than is offered in all is no more than that.
    offer(&host, Some(1 << 40), "anna").await;
    is_granted(&guest, 1 << 30).await;
    let command = Command::Offer { bytes: Some(ByteSize(1)), to: Some("nobody".to_owned()) };
    let failure = host.run(command).await.err().expect("nobody is meant");
    assert!(failure.message.contains("nobody in this circle"), "{failure}");
}

// HOLD-11
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_stays_after_all_has_the_room_that_it_had() {
    let (host, guest) = (TestNode::holder("host").await, TestNode::holder("guest").await);
    come(&host, &guest, InviteKind::Circle, terms(300 * MIB, "anna")).await;
    // What is kept keeps them together until it is elsewhere.
    let folder = guest.folder("photos");
    std::fs::write(folder.join("one"), vec![7; 100_000]).unwrap();
    guest.backup(&folder, crate::command::Wait::Safe).await;
    let leave = |act| Command::Leave { whom: Some("anna".to_owned()), act };
    host.ask(leave(LeaveAct::Want)).await;
    is_granted(&guest, 0).await;
    let there = offer(&host, None, "anna").await;
    assert!(there.leaving && there.allowed_bytes == Some(300 * MIB), "{there:?}");
    host.ask(leave(LeaveAct::Cancel)).await;
    is_granted(&guest, 300 * MIB).await;
    assert!(!offer(&host, None, "anna").await.leaving);
}

// PAIR-24: whatever a guest says and does afterwards, it holds nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guest_stays_one_when_it_comes_again_or_stays_after_all() {
    let (host, guest) = (TestNode::holder("host").await, TestNode::holder("guest").await);
    let is_holder = |node: &TestNode| peer(node).is_holder;
    come(&host, &guest, InviteKind::OneWay, terms(300 * MIB, "anna")).await;
    assert!(!is_holder(&host) && is_holder(&guest));
    come(&host, &guest, InviteKind::OneWay, Guest { called: None, ..terms(200 * MIB, "") }).await;
    assert!(!is_holder(&host) && is_holder(&guest));
    let there = offer(&host, None, "anna").await;
    assert_eq!((there.name.as_str(), there.allowed_bytes), ("anna", Some(200 * MIB)));
    // The guest leaves and stays, and offers room all the same.
    let folder = guest.folder("photos");
    std::fs::write(folder.join("one"), vec![7; 100_000]).unwrap();
    guest.backup(&folder, crate::command::Wait::Safe).await;
    for act in [LeaveAct::Want, LeaveAct::Cancel] {
        guest.ask(Command::Leave { whom: Some("host".to_owned()), act }).await;
        let leaves = act == LeaveAct::Want;
        let begun = Instant::now();
        while offer(&host, None, "anna").await.leaving != leaves {
            assert!(begun.elapsed() < PATIENCE, "the host hears of it");
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    }
    offer(&guest, Some(100 * MIB), "host").await;
    is_granted(&host, 100 * MIB).await;
    assert!(!is_holder(&host), "nothing is placed with a guest");
    let status = host.node.core.member().unwrap().custody().unwrap().status().await.unwrap();
    assert!(status.holders.is_empty(), "{status:?}");
}

// HOLD-11
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_are_the_hosts_to_give_and_who_calls_is_noted() {
    let host = TestNode::holder("host").await;
    let (ben, anna) = (TestNode::new("anna").await, TestNode::new("laptop").await);
    come(&host, &ben, InviteKind::OneWay, terms(MIB, "ben")).await;
    come(&host, &anna, InviteKind::OneWay, terms(2 * MIB, "anna")).await;
    // Ben calls his device so.
    assert_eq!(offer(&host, None, "anna").await.allowed_bytes, Some(2 * MIB));
    for name in ["anna", "a\nb", ""] {
        let guest = terms(MIB, name);
        let (kind, role, waiting) = (InviteKind::OneWay, DeviceRole::Owner, Waiting::No);
        let invite = Command::Invite { kind, role, guest, expires_s: 600, waiting };
        assert!(host.run(invite).await.is_err(), "{name}");
    }
    is_granted(&ben, MIB).await;
    let (core, member) = (&ben.node.core, ben.node.core.member().unwrap());
    contact::greet(core, &member, peer(&ben).device).await.unwrap();
    let row = host.node.core.state.grant(&member.vault).unwrap().unwrap();
    assert!(row.heard > 0, "{row:?}");
    assert!(offer(&host, None, "ben").await.last_seen.is_some());
}
