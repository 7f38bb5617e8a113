//! Sites between real nodes: what is assumed of whom, and how a change comes to be known.

use std::time::Instant;

use crate::{
    command::{Command, DeviceRole, Guest, InviteKind, JoinOutcome, Outcome, Waiting},
    engine::testing::{PATIENCE, TestNode, pair},
};

async fn join(inviting: &TestNode, joining: &TestNode, kind: InviteKind) -> JoinOutcome {
    let invite = Command::Invite {
        kind,
        role: DeviceRole::Owner,
        guest: Guest::default(),
        expires_s: 600,
        waiting: Waiting::No,
    };
    let Outcome::Invite(invited) = inviting.ask(invite).await else { panic!() };
    let join =
        Command::Join { code: invited.code, name: Some("new".to_owned()), site: None, asks: false };
    let Outcome::Join(joined) = joining.ask(join).await else { panic!() };
    joined
}

async fn move_to(node: &TestNode, site: &str) {
    let (key, value) = ("device.site".to_owned(), Some(site.to_owned()));
    node.ask(Command::ConfigSet { key, value }).await;
}

/// Where a peer stands as a node knows it, and as its placing counts it.
async fn known(node: &TestNode, peer: &TestNode) -> (String, String) {
    let (core, device) = (&node.node.core, peer.node.core.keys.id());
    let placing = core.member().unwrap().custody().unwrap().status().await.unwrap();
    let row = core.state.peer(&device).unwrap().unwrap();
    (row.site, placing.holders[&device].site.0.clone())
}

async fn eventually_known(node: &TestNode, peer: &TestNode, site: &str) {
    let (begun, expected) = (Instant::now(), (site.to_owned(), site.to_owned()));
    while known(node, peer).await != expected {
        assert!(begun.elapsed() < PATIENCE, "{:?}", known(node, peer).await);
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
}

// PAIR-14
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_that_joins_stands_with_its_inviter_unless_it_is_said() {
    let (one, two) = (TestNode::new("one").await, TestNode::bare().await);
    move_to(&one, "home-maple-orbit").await;
    let joined = join(&one, &two, InviteKind::Device).await;
    assert_eq!((joined.site.as_str(), joined.same_site), ("home-maple-orbit", true));
    assert_eq!(two.node.core.config().site(), Some("home-maple-orbit"));
    assert_eq!(known(&one, &two).await.0, "home-maple-orbit");
    // What the settings lose, the entry in the log still says.
    two.ask(Command::ConfigSet { key: "device.site".to_owned(), value: None }).await;
    assert_eq!(two.node.core.own_site(), "home-maple-orbit");
    // A site that was chosen before stays.
    let three = TestNode::bare().await;
    move_to(&three, "parents").await;
    let joined = join(&one, &three, InviteKind::Device).await;
    assert_eq!((joined.site.as_str(), joined.same_site), ("parents", false));
}

// PLACE-26
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_site_that_is_changed_reaches_those_who_place_there() {
    let (one, two) = (TestNode::holder("one").await, TestNode::holder("two").await);
    let three = TestNode::holder("three").await;
    for other in [&two, &three] {
        move_to(other, "raspberrypi").await;
    }
    let joined = join(&one, &two, InviteKind::Circle).await;
    assert!(!joined.same_site && joined.site == "raspberrypi", "{joined:?}");
    pair(&one, &three).await;
    let sites = async || {
        let custody = one.node.core.member().unwrap();
        custody.custody().unwrap().status().await.unwrap().sites
    };
    assert_eq!(sites().await, 1, "two families by one name");
    move_to(&three, "home-maple-orbit").await;
    eventually_known(&one, &three, "home-maple-orbit").await;
    assert_eq!(sites().await, 2);
    // The one that invited moves as well: whoever calls tells it, and so does whoever is called.
    move_to(&one, "raspberrypi").await;
    eventually_known(&two, &one, "raspberrypi").await;
    let joined = join(&one, &two, InviteKind::Circle).await;
    assert!(joined.same_site, "{joined:?}");
    // One that does not answer now is told when the two next meet.
    let three = three.reopen().await;
    eventually_known(&three, &one, "raspberrypi").await;
}
