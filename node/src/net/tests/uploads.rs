//! Put, from the asking side's depot to the answering side's.

use std::sync::atomic::Ordering;

use larder_protocol::{
    index::PackClass,
    wire::message::{Answer, Refusal, Request},
};

use super::world::{Node, VAULT};
use crate::{depot::tests::bytes, net::PutError};

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
    let hello = Request::Hello { versions: vec![1] };
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
