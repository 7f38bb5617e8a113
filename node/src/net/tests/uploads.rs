//! Put, from the asking side's depot to the answering side's.

use std::{sync::atomic::Ordering, time::Duration};

use larder_protocol::{
    index::{PackClass, ShardRef},
    limits::FRAME_BYTES_MAX,
    wire::message::{Answer, Refusal, Request},
};

use super::world::{Node, VAULT, bare, until};
use crate::{
    depot::tests::{bytes, full::SmallDisk},
    net::{FrameStream, NetError, Protocol, PutError},
};

const SOON: Duration = Duration::from_secs(20);

/// A put that follows the protocol up to the bytes, which the test sends itself.
async fn begin(from: &Node, to: &Node, shard: ShardRef) -> FrameStream {
    let connection = bare(from, to, Protocol::Control).await;
    let (send, recv) = connection.open_bi().await.unwrap();
    let mut stream = FrameStream::new(connection, send, recv);
    stream.send(&Request::Put { vault: VAULT, shard, class: PackClass::Data }).await.unwrap();
    let answer: Answer = stream.receive(FRAME_BYTES_MAX, SOON).await.unwrap();
    assert_eq!(answer, Answer::Go);
    stream
}

async fn ends_refused(mut stream: FrameStream, expected: Refusal) {
    let answer: Answer = stream.receive(FRAME_BYTES_MAX, SOON).await.unwrap();
    assert_eq!(answer, Answer::Refused { reason: expected });
}

fn nothing_left(holder: &Node) {
    assert_eq!((holder.temps(), holder.script.open_reservations()), (0, 0));
    assert!(holder.depot.rows(None).unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shard_put_is_durable_before_its_receipt_comes() {
    let (source, holder) = (Node::start(1).await, Node::start(2).await);
    let content = bytes(1, 5_000_000);
    let shard = source.keep(&content);
    let opened = source.depot.open_shard(&shard.root).unwrap();
    let peer = holder.seen_by(&source);
    let receipt = peer.put(VAULT, PackClass::Data, opened).await.unwrap();
    assert_eq!(receipt.body.shard, shard);
    assert_eq!(holder.depot.read_range(&shard.root, 0..shard.bytes).unwrap(), content);
    assert_eq!((holder.temps(), holder.script.open_reservations()), (0, 0));
    let hello = Request::Hello { versions: vec![1], beacon_key: None, site: None, name: None };
    assert!(matches!(peer.request(&hello).await, Ok(Answer::Welcome { version: 1, .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_comes_before_any_byte() {
    let (source, holder) = (Node::start(1).await, Node::start(2).await);
    *holder.script.refuse_puts.lock().unwrap() = Some(Refusal::Quota);
    let shard = source.keep(&bytes(2, 1_000_000));
    let opened = source.depot.open_shard(&shard.root).unwrap();
    let put = holder.seen_by(&source).put(VAULT, PackClass::Data, opened).await;
    assert!(matches!(put, Err(PutError::Refused(Refusal::Quota))));
    assert_eq!(holder.script.reserved.load(Ordering::SeqCst), 0);
}

/// NET-5, DEPOT-3
#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_are_not_the_promised_shard_are_refused() {
    let (source, holder) = (Node::start(1).await, Node::start(2).await);
    let content = bytes(3, 200_000);
    let shard = source.keep(&content);
    let mut changed = content.clone();
    changed[150_000] ^= 1;
    let longer = [&content[..], b"x"].concat();
    for wrong in [&changed[..], &content[..199_999], &longer, &[]] {
        let mut stream = begin(&source, &holder, shard).await;
        // The peer may stop taking bytes before all are sent.
        let _ = stream.send.write_all(wrong).await;
        stream.finish();
        ends_refused(stream, Refusal::WrongBytes).await;
        until("the reservation has ended", || holder.script.open_reservations() == 0).await;
        nothing_left(&holder);
    }
    // A lying length: the root is right for the bytes, the length is not.
    for lie in [shard.bytes - 1, shard.bytes + 1, shard.bytes + 16_384] {
        let mut stream = begin(&source, &holder, ShardRef { bytes: lie, ..shard }).await;
        let _ = stream.send.write_all(&content).await;
        stream.finish();
        ends_refused(stream, Refusal::WrongBytes).await;
    }
    until("the reservations have ended", || holder.script.open_reservations() == 0).await;
    nothing_left(&holder);
}

#[tokio::test(flavor = "multi_thread")]
async fn absurd_lengths_are_refused_without_a_reservation() {
    let (source, holder) = (Node::start(1).await, Node::start(2).await);
    let shard = source.keep(&bytes(3, 20_000));
    for bytes in [0, 64 * 1024 * 1024 + 1, u64::MAX] {
        let shard = ShardRef { bytes, ..shard };
        let request = Request::Put { vault: VAULT, shard, class: PackClass::Data };
        let answer = holder.seen_by(&source).request(&request).await.unwrap();
        assert_eq!(answer, Answer::Refused { reason: Refusal::Malformed });
    }
    assert_eq!(holder.script.reserved.load(Ordering::SeqCst), 0);
}

/// NET-5
#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_breaks_off_leaves_nothing() {
    let (source, holder) = (Node::start(1).await, Node::start(2).await);
    let content = bytes(4, 3_000_000);
    let shard = source.keep(&content);
    // The sender goes away in the middle.
    let mut stream = begin(&source, &holder, shard).await;
    stream.send.write_all(&content[..1_000_000]).await.unwrap();
    source.net.close().await;
    until("the upload is given up", || holder.script.open_reservations() == 0).await;
    nothing_left(&holder);
}

/// HOLD-9: the sender has sent everything and goes while its shard is being made durable.
#[tokio::test(flavor = "multi_thread")]
async fn an_upload_whose_sender_left_during_the_commit_is_counted() {
    let (source, holder) = (Node::start(1).await, Node::start(2).await);
    let content = bytes(8, 300_000);
    let shard = source.keep(&content);
    // The commit waits as long as another thread works on the same shard.
    let (release, released) = std::sync::mpsc::sync_channel::<()>(1);
    let (depot, root) = (holder.depot.clone(), shard.root);
    let (locked, is_locked) = tokio::sync::oneshot::channel();
    let holding = std::thread::spawn(move || {
        let _guard = depot.lock(&root);
        locked.send(()).unwrap();
        released.recv().unwrap();
    });
    is_locked.await.unwrap();
    let mut stream = begin(&source, &holder, shard).await;
    stream.send.write_all(&content).await.unwrap();
    stream.finish();
    until("the bytes are durable", || holder.temps() == 2).await;
    let sender = source.net.id();
    until("the connection is gone", || !holder.net.inner.links.close(&sender)).await;
    drop(stream);
    // What was aborted with the connection has ended by then.
    tokio::time::sleep(Duration::from_millis(200)).await;
    release.send(()).unwrap();
    holding.join().unwrap();
    until("the reservation has ended", || holder.script.open_reservations() == 0).await;
    assert_eq!(holder.script.aborted.load(Ordering::SeqCst), 0);
    assert_eq!(holder.script.stored.load(Ordering::SeqCst), 1);
    assert_eq!(holder.depot.rows(None).unwrap().len(), 1);
}

/// NET-5, NET-7
#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_stalls_or_is_reset_is_given_up() {
    let (source, holder) = (Node::start(1).await, Node::start(2).await);
    let content = bytes(4, 300_000);
    let shard = source.keep(&content);
    let mut stalled = begin(&source, &holder, shard).await;
    stalled.send.write_all(&content[..100_000]).await.unwrap();
    let mut reset = begin(&source, &holder, shard).await;
    reset.send.write_all(&content[..100_000]).await.unwrap();
    reset.abandon(1);
    until("both are given up", || holder.script.open_reservations() == 0).await;
    nothing_left(&holder);
    let answer: Result<Answer, NetError> = stalled.receive(FRAME_BYTES_MAX, SOON).await;
    assert!(answer.is_err());
    // The same connection, and the same shard, go on.
    let opened = source.depot.open_shard(&shard.root).unwrap();
    holder.seen_by(&source).put(VAULT, PackClass::Data, opened).await.unwrap();
}

/// NET-6, DEPOT-11
#[tokio::test(flavor = "multi_thread")]
async fn a_full_holder_says_so_before_any_byte_and_goes_on_serving() {
    let Some(disk) = SmallDisk::mount() else { return };
    let source = Node::start(1).await;
    let home = tempfile::tempdir().unwrap();
    let holder = Node::start_with(2, 0, home, &disk.path().join("depot")).await;
    let small = bytes(5, 1_000_000);
    let kept = holder.keep(&small);
    let shard = source.keep(&bytes(6, 40_000_000));
    let opened = source.depot.open_shard(&shard.root).unwrap();
    let peer = holder.seen_by(&source);
    let put = peer.put(VAULT, PackClass::Data, opened).await;
    assert!(matches!(put, Err(PutError::Refused(Refusal::Full))), "{put:?}");
    assert_eq!((holder.temps(), holder.script.open_reservations()), (0, 0));
    let partial = source.partial(kept);
    peer.fetch(&[0..kept.bytes], partial.clone(), |_| {}).await.unwrap();
    assert!(partial.is_complete());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_copy_of_our_own_is_our_own_fault() {
    let (source, holder) = (Node::start(1).await, Node::start(2).await);
    let shard = source.keep(&bytes(7, 1_000_000));
    let name = format!("{:02x}/{}", shard.root.as_bytes()[0], shard.root);
    let path = source.depot.dir().join(name);
    let mut content = std::fs::read(&path).unwrap();
    content[700_000] ^= 1;
    std::fs::write(&path, content).unwrap();
    let opened = source.depot.open_shard(&shard.root).unwrap();
    let put = holder.seen_by(&source).put(VAULT, PackClass::Data, opened).await;
    assert!(matches!(put, Err(PutError::Local(_))), "{put:?}");
    until("the upload is given up", || holder.script.open_reservations() == 0).await;
    nothing_left(&holder);
}
