//! Bounds on what one peer may take, idleness, and peers that come back.

use std::{
    net::UdpSocket,
    sync::Arc,
    time::{Duration, Instant},
};

use larder_protocol::wire::message::Request;
use tokio::{runtime::Runtime, task::JoinSet, time::timeout};

use super::world::{Node, bare, until};
use crate::{
    depot::tests::bytes,
    net::{
        NetError, Protocol,
        tuning::{CONNECTIONS_PER_PEER, STREAMS_PER_CONNECTION},
    },
};

fn hello() -> Request {
    Request::Hello { versions: vec![1], beacon_key: None, site: None, name: None }
}

/// NET-8
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_has_so_many_streams_and_no_more() {
    let (source, holder) = (Node::start(1).await, Node::start(2).await);
    let connection = bare(&source, &holder, Protocol::Control).await;
    let mut open = Vec::new();
    for _ in 0..STREAMS_PER_CONNECTION {
        let (mut send, recv) = connection.open_bi().await.unwrap();
        send.write_all(&[0]).await.unwrap();
        open.push((send, recv));
    }
    let more = timeout(Duration::from_millis(200), connection.open_bi()).await;
    assert!(more.is_err(), "one more has to wait");
    assert!(timeout(Duration::from_millis(200), connection.open_uni()).await.is_err());
    // Once these are over there is room again.
    drop(open);
    timeout(Duration::from_secs(20), connection.open_bi()).await.unwrap().unwrap();
}

/// NET-8
#[tokio::test(flavor = "multi_thread")]
async fn a_peer_has_so_many_connections_and_others_still_get_in() {
    let (greedy, holder) = (Node::start(1).await, Node::start(2).await);
    let mut open = Vec::new();
    for _ in 0..=CONNECTIONS_PER_PEER {
        open.push(bare(&greedy, &holder, Protocol::Control).await);
    }
    // One too many; which one does not matter, each is seen to by a task of its own.
    let mut closed = JoinSet::new();
    for connection in open.clone() {
        closed.spawn(async move {
            connection.closed().await;
            NetError::of(&connection)
        });
    }
    let first = closed.join_next().await.unwrap().unwrap();
    assert!(matches!(first, NetError::Busy), "{first:?}");
    open.retain(|connection| connection.close_reason().is_none());
    assert_eq!(open.len(), CONNECTIONS_PER_PEER);
    let other = Node::start(3).await;
    holder.seen_by(&other).request(&hello()).await.unwrap();
    open.pop().unwrap().close(0_u32.into(), b"");
    let peer = holder.seen_by(&greedy);
    for _ in 0..100 {
        if peer.request(&hello()).await.is_ok() {
            return;
        }
        // The other side hears of it a moment later.
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("a place was given back, and not taken again");
}

/// NET-11
#[tokio::test(flavor = "multi_thread")]
async fn an_unused_connection_is_closed_by_whoever_dialled_it() {
    let (source, holder) = (Node::start(1).await, Node::start(2).await);
    holder.seen_by(&source).request(&hello()).await.unwrap();
    let lease = source.net.lease(holder.net.id(), Protocol::Control).await.unwrap();
    let connection = lease.connection.clone();
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(connection.close_reason().is_none(), "in use as long as the lease lives");
    drop(lease);
    timeout(Duration::from_secs(20), connection.closed()).await.unwrap();
    holder.seen_by(&source).request(&hello()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unused_connection_is_closed_by_the_other_side_as_well() {
    let (source, holder) = (Node::start(1).await, Node::start(2).await);
    let connection = bare(&source, &holder, Protocol::Control).await;
    timeout(Duration::from_secs(30), connection.closed()).await.unwrap();
}

/// A node on a runtime of its own, so that it can be killed without a goodbye.
struct Victim {
    runtime: Runtime,
    node: Node,
}

impl Victim {
    async fn start(seed: u8, port: u16) -> Self {
        let runtime = Runtime::new().unwrap();
        let node = runtime.spawn(Node::start_on(seed, port)).await.unwrap();
        Self { runtime, node }
    }

    /// Returns the port it had.
    async fn kill(self) -> u16 {
        let port = self.node.net.port();
        self.runtime.shutdown_background();
        // Nothing is left that could say goodbye.
        drop(self.node);
        until("the port is free", || UdpSocket::bind(("127.0.0.1", port)).is_ok()).await;
        port
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_said_goodbye_is_redialled_on_the_same_and_on_another_port() {
    let source = Node::start(1).await;
    let holder = Node::start(2).await;
    holder.seen_by(&source).request(&hello()).await.unwrap();
    let port = holder.net.own_addresses()[0].port();
    holder.net.close().await;
    drop(holder);
    let holder = Node::start_on(2, port).await;
    holder.seen_by(&source).request(&hello()).await.unwrap();
    holder.net.close().await;
    drop(holder);
    let holder = Node::start(2).await;
    let begun = Instant::now();
    holder.seen_by(&source).request(&hello()).await.unwrap();
    println!("redialled on another port after {:?}", begun.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_peer_is_an_error_in_time_and_others_go_on() {
    let (source, other) = (Node::start(1).await, Node::start(3).await);
    let holder = Victim::start(2, 0).await;
    let peer = holder.node.seen_by(&source);
    peer.request(&hello()).await.unwrap();
    holder.kill().await;
    let begun = Instant::now();
    assert!(peer.request(&hello()).await.is_err());
    println!("a dead peer was noticed after {:?}", begun.elapsed());
    assert!(begun.elapsed() < Duration::from_secs(25));
    other.seen_by(&source).request(&hello()).await.unwrap();
    let unknown = source.net.peer(larder_protocol::ids::DeviceId::from_bytes([1; 32]));
    assert!(unknown.request(&hello()).await.is_err());
}

/// NET-10
#[tokio::test(flavor = "multi_thread")]
async fn a_killed_peer_is_redialled_where_it_comes_back() {
    let source = Node::start(1).await;
    for (same_port, told) in [(true, false), (false, true), (false, false)] {
        let holder = Victim::start(2, 0).await;
        holder.node.seen_by(&source).request(&hello()).await.unwrap();
        // And a connection the other way round, which is not ours to keep.
        let dial_back = source.seen_by(&holder.node);
        holder
            .runtime
            .spawn(async move { dial_back.request(&hello()).await })
            .await
            .unwrap()
            .unwrap();
        let port = holder.kill().await;
        let holder = Victim::start(2, if same_port { port } else { 0 }).await;
        let begun = Instant::now();
        let peer = holder.node.seen_by(&source);
        if told {
            source.net.forget_connections(&holder.node.net.id());
        }
        // A call may end before the newcomer answers on a machine that is busy; the next one does not.
        while let Err(error) = peer.request(&hello()).await {
            assert!(begun.elapsed() < Duration::from_secs(30), "{error}");
        }
        println!("same port {same_port}, told {told}: back after {:?}", begun.elapsed());
        assert!(begun.elapsed() < Duration::from_secs(45));
        source.net.forget_connections(&holder.node.net.id());
        holder.kill().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_requests_at_once_share_one_connection() {
    let (source, holder) = (Node::start(1).await, Node::start(2).await);
    let shard = holder.keep(&bytes(1, 200_000));
    let peer = holder.seen_by(&source);
    let mut tasks = JoinSet::new();
    for _ in 0..100 {
        let (peer, partial) = (peer.clone(), source.partial(shard));
        tasks.spawn(async move {
            peer.request(&hello()).await.unwrap();
            partial
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    let lease = source.net.lease(holder.net.id(), Protocol::Control).await.unwrap();
    assert!(!lease.fresh);
    until("nothing is left open", || holder.script.open_reservations() == 0).await;
}

/// NET-8: a crowd of newcomers is asked to prove its addresses, and gets in.
#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_at_the_door_gets_in() {
    let holder = Arc::new(Node::start(200).await);
    let mut crowd = JoinSet::new();
    for seed in 1..=12 {
        let holder = Arc::clone(&holder);
        crowd.spawn(async move {
            let newcomer = Node::start(seed).await;
            let dials = (0..5).map(|_| bare(&newcomer, &holder, Protocol::Control));
            let mut connections = Vec::new();
            for dialled in n0_future::join_all(dials).await {
                let (mut send, recv) = dialled.open_bi().await.unwrap();
                send.write_all(&[0]).await.unwrap();
                connections.push((dialled, send, recv));
            }
            holder.seen_by(&newcomer).request(&hello()).await
        });
    }
    while let Some(answered) = crowd.join_next().await {
        answered.unwrap().unwrap();
    }
}
