//! What a holder does the moment it hears of a removal.

use std::time::{Duration, Instant};

use larder_protocol::wire::message::Request;

use super::*;
use crate::{
    command::{Command, RemovalReason},
    engine::testing::{PATIENCE, TestNode, admit, pair},
};

async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < PATIENCE, "{what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

// LOG-16: "drops open connections": not only the next request is refused.
#[tokio::test(flavor = "multi_thread")]
async fn open_connections_of_a_removed_device_are_closed() {
    let (anna, phone, ben) =
        (TestNode::new("anna").await, TestNode::bare().await, TestNode::holder("ben").await);
    pair(&anna, &ben).await;
    admit(&anna, &phone, "phone").await;
    let [of_phone, of_ben] = [&phone, &ben].map(|node| &node.node.core);
    contact::hello(of_phone, of_ben.keys.id()).await.unwrap();
    // Which way it goes may be known a moment later.
    eventually("the phone is not connected", || of_phone.net.path(&of_ben.keys.id()).is_some())
        .await;
    let (device, reason) = ("phone".to_owned(), RemovalReason::Stolen);
    anna.ask(Command::Revoke { device, reason, undo: false, phrase: None }).await;
    // The phone asks nothing: its connection ends all the same.
    eventually("the connection of the removed device stays open", || {
        of_phone.net.path(&of_ben.keys.id()).is_none()
    })
    .await;
    let hello = Request::Hello { versions: vec![1], beacon_key: None, site: None, name: None };
    let asked = of_phone.net.peer(of_ben.keys.id()).request(&hello).await;
    asked.unwrap_err();
}
