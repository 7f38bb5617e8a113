//! What is noted, by nodes that do it, and how it is told.

use LogSource::{DeviceLog, Trail};

use super::*;
use crate::{
    command::{ByteSize, Command, Engine, LogSource, RemovalReason, Time},
    engine::testing::{TestNode, admit, pair},
};

fn whats(lines: &[Row]) -> Vec<(LogSource, String)> {
    let logged = lines.iter().map(|row| match row {
        Row::Logged(line) => (line.source, line.what.clone()),
        other => panic!("{other:?}"),
    });
    logged.collect()
}

fn time(row: &Row) -> Time {
    match row {
        Row::Logged(line) => line.time,
        other => panic!("{other:?}"),
    }
}

// TRAIL-5, TRAIL-6
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_sides_note_who_joined_and_what_was_offered_and_a_restart_goes_on() {
    let (one, two) = (TestNode::new("one").await, TestNode::new("two").await);
    two.ask(Command::Offer { bytes: Some(ByteSize(1 << 30)), to: None }).await;
    pair(&one, &two).await;
    let trail = |node: &TestNode| node.node.core.state.trail().unwrap().entries;
    let events = |node: &TestNode| -> Vec<TrailEvent> {
        trail(node).iter().map(|entry| entry.event().clone()).collect()
    };
    let [TrailEvent::Accepted { .. }, TrailEvent::Befriended { device, granted_bytes, name, .. }] =
        &events(&one)[..]
    else {
        panic!("{:?}", events(&one))
    };
    assert_eq!((name.as_str(), *granted_bytes), ("two", 1 << 30));
    assert_eq!(*device, two.node.core.keys.id());
    assert!(matches!(
        &events(&two)[..],
        [TrailEvent::Offered { bytes: 1_073_741_824 }, TrailEvent::Befriended { .. }]
    ));
    let two = two.reopen().await;
    two.ask(Command::Offer { bytes: Some(ByteSize(7)), to: None }).await;
    let entries = trail(&two);
    assert!(entries.windows(2).all(|pair| pair[1].follows(&pair[0]).is_ok()));
    assert_eq!(entries.len(), 3);
}

// TRAIL-6
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_list_has_both_records_in_the_order_of_their_times() {
    let one = TestNode::new("one").await;
    let phone = TestNode::bare().await;
    admit(&one, &phone, "phone").await;
    let reason = RemovalReason::Stolen;
    let device = "phone".to_owned();
    one.ask(Command::Revoke { device, reason, undo: false, phrase: None }).await;
    let said = one.run(Command::Log).await.unwrap();
    let shown = whats(&said.rows);
    let of = |wanted| -> Vec<&str> {
        let of_source = shown.iter().filter(|(source, _)| *source == wanted);
        of_source.map(|(_, what)| what.as_str()).collect()
    };
    assert_eq!(of(DeviceLog), ["genesis", "add", "remove"]);
    assert_eq!(of(Trail), ["accepted", "took-in"]);
    let times: Vec<Time> = said.rows.iter().map(time).collect();
    assert!(times.is_sorted(), "{times:?}");
}

// TRAIL-5: changed while no node was there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_offer_that_was_changed_in_the_settings_is_noted_at_the_next_start_and_once() {
    let one = TestNode::holder("one").await;
    let home = one.home();
    let offers = |node: &TestNode| node.node.core.state.trail().unwrap().entries.len();
    assert_eq!(offers(&one), 1);
    one.ask(Command::Offer { bytes: Some(ByteSize(1 << 30)), to: None }).await;
    assert_eq!(offers(&one), 1, "it is what it was");
    let one = one.reopen().await;
    one.node.close().await;
    let TestNode { node, directory } = one;
    drop(node);
    crate::home::Home::open(&home, "test")
        .unwrap()
        .change_setting("depot.offer", Some("7"))
        .unwrap();
    let one = TestNode { node: crate::engine::testing::open(&home).await, directory };
    assert_eq!(offers(&one), 2);
}
