//! Strangers, garbage, floods: refused early, bounded always, and nobody else suffers.

use std::{
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use larder_protocol::{
    limits::FRAME_BYTES_MAX,
    wire::message::{Answer, Refusal, Request},
};

use super::world::{Node, bare};
use crate::{
    depot::tests::bytes,
    net::{FetchError, FrameStream, NetError, Protocol},
};

const SOON: Duration = Duration::from_secs(20);

fn hello() -> Request {
    Request::Hello { versions: vec![1], beacon_key: None, site: None, name: None }
}

/// NET-1
#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_is_turned_away_before_any_work_on_every_protocol() {
    let (stranger, holder) = (Node::start(1).await, Node::start(2).await);
    let shard = holder.keep(&bytes(1, 100_000));
    holder.script.strangers.lock().unwrap().insert(stranger.net.id());
    let peer = holder.seen_by(&stranger);
    let begun = Instant::now();
    for _ in 0..20 {
        let asked = peer.request(&hello()).await;
        assert!(matches!(asked, Err(NetError::Refused)), "{asked:?}");
    }
    println!("a refused handshake, both sides: {:?}", begun.elapsed() / 20);
    let fetched = peer.fetch(&[0..10], stranger.partial(shard), |_| {}).await;
    assert!(matches!(fetched, Err(FetchError::Net(NetError::Refused))), "{fetched:?}");
    let said = async {
        let mut pairing = peer.pair().await?;
        pairing.send(&hello()).await?;
        pairing.receive::<Request>(1000, SOON).await
    };
    assert!(matches!(said.await, Err(NetError::Refused)));
    assert_eq!(holder.script.requests.load(Ordering::SeqCst), 0);
    // Known from now on, without a restart.
    holder.script.strangers.lock().unwrap().clear();
    peer.request(&hello()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn pairing_carries_frames_both_ways() {
    let (a, b) = (Node::start(1).await, Node::start(2).await);
    let mut stream = b.seen_by(&a).pair().await.unwrap();
    stream.send(&hello()).await.unwrap();
    assert_eq!(stream.receive::<Request>(1000, SOON).await.unwrap(), hello());
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_and_oversized_frames_are_answered_malformed() {
    let (source, holder) = (Node::start(1).await, Node::start(2).await);
    let connection = bare(&source, &holder, Protocol::Control).await;
    let huge = [0xff; 8].to_vec();
    let empty = vec![0; 4];
    let noise = [&100_u32.to_le_bytes()[..], &bytes(1, 100)].concat();
    let trailing = {
        let mut frame = larder_protocol::wire::frame::encode_frame(&hello()).unwrap();
        frame[0] += 1;
        frame.push(0);
        frame
    };
    for raw in [huge, empty, noise, trailing] {
        let (mut send, recv) = connection.open_bi().await.unwrap();
        send.write_all(&raw).await.unwrap();
        let mut stream = FrameStream::new(connection.clone(), send, recv);
        let answer: Answer = stream.receive(FRAME_BYTES_MAX, SOON).await.unwrap();
        assert_eq!(answer, Answer::Refused { reason: Refusal::Malformed });
    }
    for seed in 0..20 {
        let shards = bare(&source, &holder, Protocol::Shards).await;
        let (mut send, mut recv) = shards.open_bi().await.unwrap();
        send.write_all(&bytes(seed, 200)).await.unwrap();
        send.finish().unwrap();
        assert!(recv.read_to_end(1_000_000).await.is_err(), "reset, with nothing sent");
        shards.close(0_u32.into(), b"");
    }
    assert_eq!(holder.script.requests.load(Ordering::SeqCst), 0);
    holder.seen_by(&source).request(&hello()).await.unwrap();
}

/// NET-7
#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_trickles_in_is_given_up() {
    let (source, holder) = (Node::start(1).await, Node::start(2).await);
    for protocol in [Protocol::Control, Protocol::Shards] {
        let connection = bare(&source, &holder, protocol).await;
        let (mut send, mut recv) = connection.open_bi().await.unwrap();
        send.write_all(&[0]).await.unwrap();
        let ended = tokio::time::timeout(SOON, recv.read_to_end(1000)).await;
        assert!(ended.expect("given up in time").is_err());
    }
}

/// NET-9
#[tokio::test(flavor = "multi_thread")]
async fn a_handler_that_panics_ends_only_its_stream() {
    let (source, holder) = (Node::start(1).await, Node::start(2).await);
    let peer = holder.seen_by(&source);
    peer.request(&hello()).await.unwrap();
    holder.script.panics.store(true, Ordering::SeqCst);
    assert!(peer.request(&hello()).await.is_err());
    holder.script.panics.store(false, Ordering::SeqCst);
    let dialled = source.net.lease(holder.net.id(), Protocol::Control).await.unwrap();
    assert!(!dialled.fresh, "the connection is still the same");
    drop(dialled);
    peer.request(&hello()).await.unwrap();
}
