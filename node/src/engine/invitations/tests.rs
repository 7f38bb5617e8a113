//! Waiting beside an invitation: asked, answered, left; by two nodes in one process.

use std::time::Duration;

use larder_protocol::{ids::DeviceId, trail::TrailEvent};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::{
    command::{ByteSize, Command, Engine, EventStream, ExitKind, Guest},
    engine::testing::TestNode,
};

type Ended = JoinHandle<Result<Outcome, Failure>>;

async fn two_nodes() -> (Arc<TestNode>, Arc<TestNode>) {
    (Arc::new(TestNode::new("one").await), Arc::new(TestNode::new("two").await))
}

/// A node that waits beside an invitation, with the code.
async fn waiting(node: &Arc<TestNode>, waiting: Waiting) -> (String, Ended, EventStream) {
    let (sink, mut events) = EventSink::channel(CancellationToken::new());
    let command = Command::Invite {
        kind: InviteKind::Circle,
        role: DeviceRole::Owner,
        guest: Guest::default(),
        expires_s: 600,
        waiting,
    };
    let inviting = Arc::clone(node);
    let ended = tokio::spawn(async move { inviting.node.run(command, sink).await });
    loop {
        match events.next().await.expect("it waits") {
            Event::Invited(invited) => return (invited.code, ended, events),
            Event::Notice { .. } => {}
            other => panic!("{other:?}"),
        }
    }
}

async fn question(events: &mut EventStream) -> Question {
    loop {
        match events.next().await.expect("somebody comes") {
            Event::Question(question) => return *question,
            Event::Notice { .. } => {}
            other => panic!("{other:?}"),
        }
    }
}

fn joining(node: &Arc<TestNode>, code: &str) -> Ended {
    let command = Command::Join { code: code.to_owned(), name: None, site: None, asks: false };
    let (sink, mut events) = EventSink::channel(CancellationToken::new());
    tokio::spawn(async move { while events.next().await.is_some() {} });
    let node = Arc::clone(node);
    tokio::spawn(async move { node.node.run(command, sink).await })
}

// PAIR-15, PAIR-16, PAIR-17
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn somebody_is_let_in_when_a_person_says_so_and_both_screens_show_the_same() {
    let (one, two) = two_nodes().await;
    two.ask(Command::Offer { bytes: Some(ByteSize(1 << 30)), to: None }).await;
    let (code, invited, mut events) = waiting(&one, Waiting::Ask).await;
    let joined = joining(&two, &code);
    let asked = question(&mut events).await;
    let About::Vault { name, site, granted_bytes, .. } = &asked.about else { panic!("{asked:?}") };
    assert_eq!((name.as_str(), site.as_str(), *granted_bytes), ("two", "two", 1 << 30));
    // Nothing is kept on either side until the answer is there.
    sleep(Duration::from_millis(300)).await;
    assert!(!joined.is_finished() && !invited.is_finished());
    assert!(one.node.core.state.peers().unwrap().is_empty());
    let yes = |question| Command::Answer { question, yes: true };
    let wrong = one.run(yes(asked.number + 7)).await.err().expect("nobody asked that");
    assert!(wrong.message.contains("waits for this answer"), "{wrong}");
    assert_eq!(one.ask(yes(asked.number)).await, Outcome::Answered);
    let Ok(Outcome::Join(joined)) = joined.await.unwrap() else { panic!("not let in") };
    let Ok(Outcome::Invite(invited)) = invited.await.unwrap() else { panic!("nobody came") };
    let came = invited.joined.expect("somebody");
    assert_eq!(Some(&came.words), joined.words.as_ref());
    assert_eq!(came.words, asked.words);
    assert!(came.confirmed && came.vault.is_some());
    assert_eq!(one.node.core.state.peers().unwrap().len(), 1);
}

// PAIR-16
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_is_no_and_the_invitation_is_used_up() {
    let (one, two) = two_nodes().await;
    let (code, invited, mut events) = waiting(&one, Waiting::Ask).await;
    let joined = joining(&two, &code);
    let asked = question(&mut events).await;
    one.ask(Command::Answer { question: asked.number, yes: false }).await;
    let failure = joined.await.unwrap().expect_err("it was not let in");
    assert!(failure.message.contains("somebody there said no"), "{failure}");
    let failure = invited.await.unwrap().expect_err("nobody was let in");
    assert!(failure.message.contains("nobody was let in, and nothing was told"), "{failure}");
    for node in [&one, &two] {
        assert!(node.node.core.state.peers().unwrap().is_empty());
    }
    // TRAIL-5
    let trail = one.node.core.state.trail().unwrap().entries;
    let declined = TrailEvent::Declined { device: two.node.core.keys.id() };
    assert_eq!(trail.last().map(|entry| entry.event().clone()), Some(declined));
    let failure = joining(&two, &code).await.unwrap().expect_err("it is used up");
    assert!(failure.message.contains("used already"), "{failure}");
}

// PAIR-17
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_stops_waiting_takes_the_invitation_back_and_a_question_with_it() {
    let (one, two) = two_nodes().await;
    // Before anybody has come.
    let (code, invited, events) = waiting(&one, Waiting::Ask).await;
    drop(events);
    let failure = invited.await.unwrap().expect_err("it was broken off");
    assert_eq!(failure.kind, ExitKind::Interrupted);
    assert!(joining(&two, &code).await.unwrap().is_err());
    assert!(!one.node.core.invitations.is_any_open(wall()));
    // While he is asked.
    let (code, invited, mut events) = waiting(&one, Waiting::Ask).await;
    let joined = joining(&two, &code);
    let asked = question(&mut events).await;
    drop(events);
    assert!(invited.await.unwrap().is_err());
    let failure = joined.await.unwrap().expect_err("nobody was there to say yes");
    assert!(failure.message.contains("said no"), "{failure}");
    let late = Command::Answer { question: asked.number, yes: true };
    assert!(one.run(late).await.is_err(), "too late");
    assert!(one.node.core.state.peers().unwrap().is_empty());
}

// PAIR-17: whoever comes and goes again is told of, not waited for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_leaves_while_he_is_asked_about_ends_it() {
    let (one, two) = two_nodes().await;
    let (code, invited, mut events) = waiting(&one, Waiting::Ask).await;
    let (sink, guest) = EventSink::channel(CancellationToken::new());
    let node = Arc::clone(&two);
    let command = Command::Join { code, name: None, site: None, asks: false };
    let joined = tokio::spawn(async move { node.node.run(command, sink).await });
    let asked = question(&mut events).await;
    drop(guest);
    let failure = joined.await.unwrap().expect_err("he left");
    assert_eq!(failure.kind, ExitKind::Interrupted);
    let failure = invited.await.unwrap().expect_err("nobody is there any more");
    assert!(failure.message.contains("broke off"), "{failure}");
    let late = Command::Answer { question: asked.number, yes: true };
    assert!(one.run(late).await.is_err());
}

// PAIR-17: another invitation meanwhile does not make it forget.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_invitation_that_expires_while_somebody_waits_is_told_as_that() {
    let one = Arc::new(TestNode::new("one").await);
    let (sink, mut events) = EventSink::channel(CancellationToken::new());
    tokio::spawn(async move { while events.next().await.is_some() {} });
    let (kind, waiting) = (InviteKind::Device, Waiting::Ask);
    let command = Command::Invite {
        kind,
        role: DeviceRole::Owner,
        guest: Guest::default(),
        expires_s: 1,
        waiting,
    };
    let inviting = Arc::clone(&one);
    let ended = tokio::spawn(async move { inviting.node.run(command, sink).await });
    sleep(Duration::from_millis(1_200)).await;
    one.ask(Command::Invite {
        kind,
        role: DeviceRole::Owner,
        guest: Guest::default(),
        expires_s: 600,
        waiting: Waiting::No,
    })
    .await;
    let failure = ended.await.unwrap().expect_err("nobody came");
    assert!(failure.message.contains("expired"), "{failure}");
    assert_eq!(one.node.core.invitations.ids().len(), 1);
}

// PAIR-18
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_nobody_can_be_asked_he_is_let_in_and_told_of() {
    let (one, two) = two_nodes().await;
    let (code, invited, _events) = waiting(&one, Waiting::Report).await;
    let Ok(Outcome::Join(joined)) = joining(&two, &code).await.unwrap() else { panic!() };
    let Ok(Outcome::Invite(invited)) = invited.await.unwrap() else { panic!("nobody came") };
    assert_eq!(invited.joined.map(|came| came.words), joined.words);
}

// PAIR-6: both were let in while the invitation was open.
#[test]
fn an_invitation_is_spent_once() {
    let invitations = Invitations::default();
    let invite = Invite {
        kind: Kind::Device,
        inviter: DeviceId::from_bytes([1; 32]),
        addresses: Vec::new(),
        secret: InviteSecret([2; 32]),
        expires: Timestamp(10),
    };
    let id = invite.id();
    invitations
        .keep(
            Open { invite, role: Role::Owner, guest: Guest::default(), waits: None },
            Timestamp(1),
        )
        .unwrap();
    assert!(invitations.spend(id).is_some());
    assert!(invitations.spend(id).is_none());
    assert!(!invitations.is_any_open(Timestamp(1)));
}
