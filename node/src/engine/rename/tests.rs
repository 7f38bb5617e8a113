//! Names and roles between real nodes.

use std::time::{Duration, Instant};

use crate::{
    command::{
        Command, Device, DeviceRole, Guest, InviteKind, Outcome, RemovalReason, RenameOutcome, Row,
        Waiting,
    },
    engine::testing::{PATIENCE, TestNode, admit, admit_as, pair},
};

async fn rename(node: &TestNode, name: &str, device: Option<&str>) -> RenameOutcome {
    let (name, device) = (name.to_owned(), device.map(str::to_owned));
    match node.ask(Command::Rename { name, device }).await {
        Outcome::Rename(done) => done,
        other => panic!("{other:?}"),
    }
}

async fn devices(node: &TestNode) -> Vec<Device> {
    match node.ask(Command::Devices).await {
        Outcome::Devices(done) => done.devices,
        other => panic!("{other:?}"),
    }
}

/// Names of all devices, sorted: those that joined within one second come in any order.
async fn names(node: &TestNode) -> Vec<String> {
    let mut names: Vec<String> = devices(node).await.into_iter().map(|it| it.name).collect();
    names.sort();
    names
}

async fn eventually_names(node: &TestNode, expected: &[&str]) {
    let begun = Instant::now();
    while names(node).await != expected {
        assert!(begun.elapsed() < PATIENCE, "{:?}", names(node).await);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// What a node calls another one that it knows.
fn known(node: &TestNode, peer: &TestNode) -> String {
    let device = peer.node.core.keys.id();
    node.node.core.state.peer(&device).unwrap().unwrap().name
}

async fn eventually_known(node: &TestNode, peer: &TestNode, name: &str) {
    let begun = Instant::now();
    while known(node, peer) != name {
        assert!(begun.elapsed() < PATIENCE, "{}", known(node, peer));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

// LOG-23, CLI-23
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_name_is_shown_on_all_devices_and_told_to_the_circle() {
    let (one, two) = (TestNode::new("one").await, TestNode::bare().await);
    let friend = TestNode::new("friend").await;
    admit(&one, &two, "two").await;
    pair(&one, &friend).await;
    pair(&two, &friend).await;
    let done = rename(&one, "Anna's laptop", None).await;
    assert_eq!((done.before.as_str(), done.name.as_str()), ("one", "Anna's laptop"));
    assert!(done.told.contains(&"two".to_owned()) && done.told.contains(&"friend".to_owned()));
    for node in [&one, &two] {
        eventually_names(node, &["Anna's laptop", "two"]).await;
    }
    eventually_known(&friend, &one, "Anna's laptop").await;
    eventually_known(&two, &one, "Anna's laptop").await;
    assert_eq!(one.node.core.own_name(), "Anna's laptop");
    assert_eq!(one.node.core.own_site(), "one", "it stays where it is");

    // An owner names another device, which takes the name, and tells it where nobody reads the log.
    rename(&one, "cellar", Some("two")).await;
    for node in [&one, &two] {
        eventually_names(node, &["Anna's laptop", "cellar"]).await;
    }
    eventually_known(&friend, &two, "cellar").await;
    assert_eq!(two.node.core.config().name(), Some("cellar"));

    // By the settings it is the same; and whoever has it already makes no entry.
    let (key, value) = ("device.name".to_owned(), Some("attic".to_owned()));
    two.ask(Command::ConfigSet { key, value }).await;
    eventually_names(&one, &["Anna's laptop", "attic"]).await;
    let length = || two.node.core.log_of(&two.node.core.member().unwrap().vault).unwrap().len();
    let before = length();
    assert_eq!(rename(&two, "attic", None).await.before, "attic");
    assert_eq!(length(), before);
    let two = two.reopen().await;
    assert_eq!(names(&two).await, ["Anna's laptop", "attic"]);

    let said = one.run(Command::Log).await.unwrap();
    let renames = said.rows.iter().filter_map(|row| match row {
        Row::Logged(line) if line.what == "rename" => Some(line.text.as_str()),
        _ => None,
    });
    let renames: Vec<&str> = renames.collect();
    assert_eq!(renames.len(), 3);
    assert!(renames[1].contains("Anna's laptop") && renames[1].ends_with("the name cellar"));
}

// CLI-23
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_a_name_or_names_nobody_is_refused() {
    let one = TestNode::new("one").await;
    for (name, device) in
        [("a\nb", None), ("", None), (&*"x".repeat(65), None), ("a", Some("nobody"))]
    {
        let (name, device) = (name.to_owned(), device.map(str::to_owned));
        let failure = one.run(Command::Rename { name, device }).await.err().expect("refused");
        assert!(failure.hint.is_some(), "{failure}");
    }
    let bare = TestNode::bare().await;
    let command = Command::Rename { name: "a".to_owned(), device: None };
    assert!(bare.run(command).await.is_err(), "it has no vault");
    let (key, value) = ("device.name".to_owned(), Some("b".to_owned()));
    bare.ask(Command::ConfigSet { key, value }).await;
    assert_eq!(bare.node.core.own_name(), "b");
}

// PAIR-20, PAIR-22, LOG-27, CLI-23
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_is_told_at_once_what_only_owners_say_and_who_they_are() {
    let (one, two) = (TestNode::new("one").await, TestNode::bare().await);
    let three = TestNode::bare().await;
    admit_as(DeviceRole::Member, &one, &two, "two").await;
    admit(&one, &three, "three").await;
    eventually_names(&two, &["one", "three", "two"]).await;
    for device in devices(&two).await {
        let is_member = device.role == DeviceRole::Member;
        assert_eq!(is_member, device.name == "two", "{device:?}");
    }
    let (kind, role) = (InviteKind::Device, DeviceRole::Member);
    let reason = RemovalReason::Stolen;
    let device = || "one".to_owned();
    for command in [
        Command::Invite {
            kind,
            role,
            guest: Guest::default(),
            expires_s: 600,
            waiting: Waiting::No,
        },
        Command::Revoke { device: device(), reason, undo: false, phrase: None },
        Command::Rename { name: "mine".to_owned(), device: Some(device()) },
    ] {
        let failure = two.run(command).await.err().expect("refused");
        assert!(failure.message.contains("a member"), "{failure}");
        let hint = failure.hint.unwrap();
        assert!(hint.contains("one") && hint.contains("three") && !hint.contains("two"), "{hint}");
    }
    assert!(two.node.core.invitations.ids().is_empty());
    rename(&two, "tablet", None).await;
    for node in [&one, &two, &three] {
        eventually_names(node, &["one", "tablet", "three"]).await;
    }
    // Another vault it may ask into the circle.
    pair(&two, &TestNode::new("friend").await).await;
}
